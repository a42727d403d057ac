"""A folder of ResponseData reads back equal, and appears whole or not at all."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from galenic.data.read import read_folder, write
from galenic.data.response import ResponseData
from galenic.data.simulate import screen


def awkward():
    """Slashes and spaces in names, whole missing columns, categories, arrays and frames in obsm."""
    cells = AnnData(np.array([[1.5, np.nan], [2.5, 0.1]], dtype=np.float32))
    cells.obs_names, cells.var_names = ["A549", "NA"], ["TP53", "HLA-A"]
    cells.var["chromosome"] = ["17", "6"]
    cells.obs["tissue"] = pd.Series(["lung", np.nan], index=cells.obs_names, dtype="object")
    cells.obs["nothing"] = pd.Series([np.nan, np.nan], index=cells.obs_names, dtype="object")
    cells.obs["n"] = [1, 2]
    cells.obs["grade"] = pd.Categorical(["b", "a"], categories=["b", "a", "c"])
    events = pd.DataFrame([[0, 1], [np.nan, np.nan]], index=cells.obs_names, columns=["gain:1 (A/B)", "TP53_mut"])
    cells.obsm["mutation"] = events.astype(np.float32)
    cells.obsm["X_embedding"] = np.arange(4, dtype=np.float32).reshape(2, 2)
    cells.obsm["another"] = events
    drugs = pd.DataFrame(
        {"smiles": ["CCO", None], "cid": [176870.0, np.nan], "weight": [1 / 3, 2.0], "n": [1, 2], "yes": [True, False]},
        index=["007", "1,2"],
    )
    drugs["smiles"] = drugs["smiles"].astype("object").where(drugs["smiles"].notna(), np.nan)
    pairs = pd.DataFrame({"cell": ["A549", "NA"], "drug": ["007", "1,2"], "response": [1 / 3, -2.0], "label": [1, 0]})
    coverage = pd.DataFrame([{"step": "pairs", "kept": 2, "dropped": 0, "why": "a, b", "examples": ""}])
    return ResponseData(pairs, cells, drugs, unit="auc", coverage=coverage)


def texts_alike(frame: pd.DataFrame) -> pd.DataFrame:
    """Texts as objects: pandas has two kinds for them."""
    return frame.astype({name: "object" for name, kind in frame.dtypes.items() if isinstance(kind, pd.StringDtype)})


@pytest.mark.parametrize("make", [awkward, lambda: screen(30, 6, 60, missing_modalities=0.2, replicates=0.1)[0]])
def test_what_is_written_reads_back_equal(tmp_path, make):
    data = make()
    before = data.cells.copy()
    back = read_folder(write(data, tmp_path / "deep" / "data"))
    pd.testing.assert_frame_equal(back.pairs, data.pairs)
    pd.testing.assert_frame_equal(texts_alike(back.drugs), texts_alike(data.drugs))
    pd.testing.assert_frame_equal(back.coverage, data.coverage)
    assert back.unit == data.unit
    np.testing.assert_array_equal(back.cells.X, data.cells.X)
    pd.testing.assert_frame_equal(texts_alike(back.cells.obs), texts_alike(data.cells.obs))
    pd.testing.assert_frame_equal(back.cells.var, data.cells.var)
    assert list(back.cells.obsm) == list(data.cells.obsm)
    for name, found in data.cells.obsm.items():
        if isinstance(found, pd.DataFrame):
            pd.testing.assert_frame_equal(back.cells.obsm[name], found)
        else:
            np.testing.assert_array_equal(back.cells.obsm[name], found)
    pd.testing.assert_frame_equal(data.cells.obs, before.obs)
    assert repr(back) == repr(data)


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(AnnData, "write_h5ad", broken)
    with pytest.raises(OSError, match="disk full"):
        write(awkward(), tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_overwrite_leaves_the_old_folder(tmp_path, monkeypatch):
    write(awkward(), tmp_path / "data")
    monkeypatch.setattr(AnnData, "write_h5ad", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write(screen(10, 4, 40)[0], tmp_path / "data", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert len(read_folder(tmp_path / "data")) == 2


def test_what_exists_is_replaced_only_on_request(tmp_path):
    write(awkward(), tmp_path / "data")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        write(awkward(), tmp_path / "data")
    write(screen(30, 6, 60)[0], tmp_path / "data", overwrite=True)
    assert len(read_folder(tmp_path / "data")) > 2
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("x")
    with pytest.raises(FileExistsError, match="Choose another folder"):
        write(awkward(), tmp_path / "precious", overwrite=True)


def test_other_folders_and_later_formats_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"lacks 'pairs.parquet', 'cells.h5ad'"):
        read_folder(tmp_path)
    folder = write(awkward(), tmp_path / "data")
    manifest = json.loads((folder / "data.json").read_text())
    (folder / "data.json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(ValueError, match="it is of format 99"):
        read_folder(folder)
