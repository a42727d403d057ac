"""A saved model: plain, whole, refused with reasons when damaged."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

import galenic
from galenic.data.simulate import screen


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    data, _ = screen(n_cells=20, n_drugs=4, n_genes=20, seed=0)
    return galenic.KernelRidge().fit(data).save(tmp_path / "model")


def edit(folder: Path, **changes: object) -> None:
    header = json.loads((folder / "model.json").read_text()) | changes
    (folder / "model.json").write_text(json.dumps(header))


def test_other_users_may_read_a_saved_model(tmp_path: Path) -> None:
    folder = galenic.DrugMean().fit(screen(n_cells=10, n_drugs=3, n_genes=20)[0]).save(tmp_path / "m")
    assert all(path.stat().st_mode & stat.S_IROTH for path in folder.iterdir())


def test_a_saved_model_holds_no_code_and_no_pickle(saved: Path) -> None:
    assert {path.name for path in saved.iterdir()} == {"model.json", "weights.safetensors"}
    assert json.loads((saved / "model.json").read_text())["class"] == "KernelRidge"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 99}, "format 99. Update galenic"),
        ({"class": "os.system"}, "a model should be one of KDRUG, DrugMean"),
        ({"class": "KernalRidge"}, "did you mean 'KernelRidge'"),
        ({"fields": {"kernal": "rbf"}}, "no parameter 'kernal'; did you mean 'kernel'"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(saved: Path, changes: dict[str, object], words: str) -> None:
    edit(saved, **changes)
    with pytest.raises(ValueError, match=words):
        galenic.load(saved)


def test_truncated_weights_are_refused(saved: Path) -> None:
    weights = saved / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"cannot be read as saved weights .* fit anew"):
        galenic.load(saved)


def test_a_header_that_is_not_json_is_refused(saved: Path) -> None:
    (saved / "model.json").write_text("{")
    with pytest.raises(ValueError, match="should be a model header"):
        galenic.load(saved)


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no model\.json"):
        galenic.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        galenic.load(tmp_path / "absent")


def test_other_files_are_never_replaced(saved: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years")
    with pytest.raises(ValueError, match="holds other files"):
        galenic.load(saved).save(mine)
    assert (mine / "thesis.txt").read_text() == "years"


def test_an_earlier_model_is_replaced_whole(saved: Path) -> None:
    data, _ = screen(n_cells=20, n_drugs=4, n_genes=20, seed=0)
    galenic.DrugMean().fit(data).save(saved)
    assert type(galenic.load(saved)).__name__ == "DrugMean"
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


def test_a_run_folder_is_read_as_its_model(saved: Path) -> None:
    assert repr(galenic.load(saved.parent)) == "KernelRidge()"


def test_altered_weights_are_refused(saved: Path) -> None:
    weights = saved / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 255
    weights.write_bytes(content)
    with pytest.raises(ValueError, match="not the file that was saved"):
        galenic.load(saved)
