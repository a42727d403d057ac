"""Cells are embedded by published encoders from the command line: the file comes back with vectors, or words do."""

from __future__ import annotations

import os
from contextlib import chdir
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from commands import galenic
from scfoundation_cases import GENES, HIDDEN, checkpoint, write
from scipy import sparse

from galenic.cli.embed import command
from galenic.cli.main import _explain
from galenic.foundation import ScFoundation

N = 25


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights, the list of genes, and counts as h5ad (sparse, with an embedding of its own) and as CSV."""
    folder = tmp_path_factory.mktemp("encode")
    write(folder / "models.ckpt")
    pd.DataFrame({"gene_name": GENES, "index": range(len(GENES))}).to_csv(folder / "genes.tsv", sep="\t", index=False)
    X = np.random.default_rng(0).poisson(1.5, (N, len(GENES))).astype(np.float32)
    X[3] = 0
    names = [f"cell {number}" for number in range(N)]
    adata = AnnData(sparse.csr_matrix(X), obs=pd.DataFrame({"type": ["a", "b"] * 12 + ["a"]}, index=names))
    adata.var_names = list(GENES)
    adata.var["ensembl"] = [f"ENSG{number:011}" for number in range(len(GENES))]
    adata.obsm["X_pca"] = np.ones((N, 2), dtype=np.float32)
    adata.layers["logged"] = sparse.csr_matrix(np.log1p(X))
    adata.write_h5ad(folder / "cells.h5ad")
    adata.to_df().rename_axis("cell").to_csv(folder / "cells.csv")
    by_id = AnnData(adata.X, obs=adata.obs, var=adata.var.reset_index(names="symbol").set_index("ensembl"))
    by_id.write_h5ad(folder / "ids.h5ad")
    pd.DataFrame({"id": adata.var["ensembl"], "symbol": GENES}).to_csv(folder / "aliases.csv", index=False)
    return folder


FILES = ("--weights", "models.ckpt", "--genes", "genes.tsv", "--min-genes", "1", "--device", "cpu")


def run(folder: Path, *arguments: object) -> None:
    with chdir(folder), pytest.warns(UserWarning, match="1 of 25 cells have fewer than 1 genes"):
        command().main([*map(str, arguments)], standalone_mode=False)


def refused(folder: Path, *arguments: object) -> str:
    """What is said of what must not work, with exit code 2."""
    with chdir(folder), pytest.raises(Exception) as caught:
        command().main([*map(str, arguments)], standalone_mode=False)
    assert _explain(caught.value) == 2
    return str(caught.value)


@pytest.fixture(scope="module")
def expected(folder: Path) -> np.ndarray:
    encoder = ScFoundation.load(folder / "models.ckpt", genes=GENES, min_genes=1)
    with pytest.warns(UserWarning, match="1 of 25"):
        return encoder.embed(anndata.read_h5ad(folder / "cells.h5ad"), device="cpu")


def test_as_a_user_types_it(folder: Path, expected: np.ndarray, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out.h5ad"
    kept = ("--checkpoint", tmp_path / "kept", "--coverage", tmp_path / "coverage.csv")
    done = galenic("embed", "scfoundation", "cells.h5ad", *FILES, "--out", out, *kept, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "genes of the model: 34 kept, 0 not" in done.stdout
    assert "cells: 24 kept, 1 not" in done.stdout
    assert "(first: 'cell 3')" in done.stdout
    assert f"25 cells, {4 * HIDDEN} numbers each" in done.stdout
    assert "Warning: 1 of 25 cells" in done.stderr
    adata, before = anndata.read_h5ad(out), anndata.read_h5ad(folder / "cells.h5ad")
    assert np.array_equal(adata.obsm["X_scfoundation"], expected, equal_nan=True)
    assert np.isnan(adata.obsm["X_scfoundation"][3]).all()
    assert (adata.X != before.X).nnz == 0
    assert adata.obs.equals(before.obs)
    assert adata.var.equals(before.var)
    assert set(adata.obsm) == {"X_pca", "X_scfoundation"}
    assert pd.read_csv(tmp_path / "coverage.csv")["step"].tolist()[:2] == ["genes of the model", "genes of the data"]
    assert list((tmp_path / "kept").glob("chunk-*.npy"))
    again = galenic("embed", "scfoundation", "cells.h5ad", *FILES, "--out", out, cwd=folder)
    assert again.returncode == 2
    assert "is there" in again.stderr


@pytest.mark.parametrize("name", ["out.csv", "out.parquet", "from_csv.h5ad"])
def test_tables_come_and_go(folder: Path, expected: np.ndarray, tmp_path: Path, name: str) -> None:
    data = "cells.csv" if name.startswith("from") else "cells.h5ad"
    run(folder, "scfoundation", data, *FILES, "--out", tmp_path / name)
    if name.endswith("h5ad"):
        adata = anndata.read_h5ad(tmp_path / name)
        ids, found = adata.obs_names, adata.obsm["X_scfoundation"]
    else:
        table = pd.read_csv(tmp_path / name) if name.endswith("csv") else pd.read_parquet(tmp_path / name)
        ids, found = table["cell"], table.drop(columns="cell").to_numpy()
        assert table.columns[1] == "X_scfoundation_0"
    assert list(ids) == [f"cell {number}" for number in range(N)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_file_may_be_its_own_result(folder: Path, expected: np.ndarray, tmp_path: Path) -> None:
    place = tmp_path / "cells.h5ad"
    place.write_bytes((folder / "cells.h5ad").read_bytes())
    run(folder, "scfoundation", place, *FILES, "--out", place, "--overwrite")
    assert np.array_equal(anndata.read_h5ad(place).obsm["X_scfoundation"], expected, equal_nan=True)
    run(folder, "scfoundation", place, *FILES, "--out", place, "--overwrite", "--depth", "a5")
    changed = anndata.read_h5ad(place).obsm["X_scfoundation"]
    assert np.nanmax(np.abs(changed - expected)) > 1e-3


def test_genes_are_found_by_column_or_by_aliases(folder: Path, expected: np.ndarray, tmp_path: Path) -> None:
    for number, flags in enumerate((("--gene-column", "symbol"), ("--aliases", "aliases.csv"))):
        out = tmp_path / f"{number}.h5ad"
        run(folder, "scfoundation", "ids.h5ad", *FILES, "--out", out, *flags)
        assert np.array_equal(anndata.read_h5ad(out).obsm["X_scfoundation"], expected, equal_nan=True)


def test_settings_reach_the_encoder(folder: Path, tmp_path: Path) -> None:
    run(folder, "scfoundation", "cells.h5ad", *FILES, "--out", tmp_path / "o.h5ad", "--pool", "max", "--key", "rde")
    encoder = ScFoundation.load(folder / "models.ckpt", genes=GENES, key="rde", pool="max", min_genes=1)
    with pytest.warns(UserWarning, match="1 of 25"):
        expected = encoder.embed(anndata.read_h5ad(folder / "cells.h5ad"), device="cpu")
    assert np.array_equal(anndata.read_h5ad(tmp_path / "o.h5ad").obsm["X_scfoundation"], expected, equal_nan=True)


def test_what_is_wrong_is_told_and_nothing_is_written(folder: Path, tmp_path: Path) -> None:
    (folder / "page.ckpt").write_text("<!DOCTYPE html><html>Sign in</html>")
    (folder / "cut.ckpt").write_bytes((folder / "models.ckpt").read_bytes()[:5_000])
    asked = ("scfoundation", "cells.h5ad", *FILES, "--out", tmp_path / "out.h5ad")
    cases = {
        "a web page": (*asked, "--weights", "page.ckpt"),
        "cut off or damaged": (*asked, "--weights", "cut.ckpt"),
        "does not exist": (*asked, "--weights", "none.ckpt"),
        "column gene_name": (*asked, "--genes", "cells.csv"),
        "look like ensembl": ("scfoundation", "ids.h5ad", *asked[2:]),
        "should hold counts": (*asked, "--layer", "logged"),
        "depth should be": (*asked, "--depth", "deep"),
        "it holds 'cell', 'rde', 'gene'": (*asked, "--key", "ce"),
        "--out should end in": (*asked[:-1], tmp_path / "out.txt"),
        "target_sum is for counts of bulk": (*asked, "--target-sum", "1e6"),
    }
    for said, arguments in cases.items():
        assert said in refused(folder, *arguments)
    assert not list(tmp_path.iterdir())


def test_bad_weights_are_not_run(folder: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "flag"),)

    part = checkpoint()
    part["config"]["hook"] = Evil()
    torch.save({"cell": part}, tmp_path / "evil.ckpt")
    flags = (*FILES, "--weights", tmp_path / "evil.ckpt", "--out", tmp_path / "out.h5ad")
    done = galenic("embed", "scfoundation", "cells.h5ad", *flags, cwd=folder)
    assert done.returncode == 2
    assert "mkdir, which could run anything. Nothing of it was run" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["evil.ckpt"]


def test_words_are_encoders_and_paths_are_folders(folder: Path, tmp_path: Path) -> None:
    (folder / "scfoundation").mkdir(exist_ok=True)
    said = refused(folder, "./scfoundation", "cells.h5ad", "--out", tmp_path / "out.h5ad")
    assert "model.json" in said
    said = refused(folder, "--device", "cpu", "scfoundation", "cells.h5ad", "--out", tmp_path / "out.h5ad")
    assert "right after 'galenic embed'" in said
    for word in ("scfoundation", "geneformer"):
        shown = galenic("embed", word, "--help", cwd=folder)
        assert shown.returncode == 0
        assert f"Usage: galenic embed {word}" in shown.stdout
        assert "--checkpoint" in shown.stdout


def test_where_weights_are_published_is_told(folder: Path) -> None:
    """In the help, and where they are missing: the place and the licence."""
    told = {
        "scfoundation": ("biomap-research/scFoundation", "non-commercial research only"),
        "geneformer": ("huggingface.co/ctheodoris/Geneformer", "Apache-2.0"),
    }
    for word, said in told.items():
        shown = galenic("embed", word, "--help", cwd=folder)
        lacking = galenic("embed", word, "cells.h5ad", "--out", "out.h5ad", cwd=folder)
        assert lacking.returncode == 2
        assert "weights are expected: --weights" in lacking.stderr
        for words in said:
            assert words in " ".join(shown.stdout.split())
            assert words in lacking.stderr
    assert "genes are expected: --genes" in refused(
        folder, "scfoundation", "cells.h5ad", "--weights", "models.ckpt", "--out", "out.h5ad"
    )


@pytest.mark.slow
def test_several_devices_share_the_work(folder: Path, expected: np.ndarray, tmp_path: Path) -> None:
    pytest.importorskip("lightning", reason="lightning is in the extra [scale]")
    flags = (*FILES, "--devices", "2", "--chunk-cells", "4", "--checkpoint", tmp_path / "kept")
    done = galenic("embed", "scfoundation", "cells.h5ad", *flags, "--out", tmp_path / "out.h5ad", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("25 cells, ") == 1, "one process writes and tells"
    found = anndata.read_h5ad(tmp_path / "out.h5ad").obsm["X_scfoundation"]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert len(list((tmp_path / "kept").glob("chunk-*.npy"))) == 7


def test_devices_that_are_not_here_are_refused(folder: Path, tmp_path: Path) -> None:
    asked = ("scfoundation", "cells.h5ad", *FILES, "--out", tmp_path / "out.h5ad")
    assert "--devices should be from 1 to" in refused(folder, *asked, "--devices", "0")


def test_geneformer_from_its_folder(tmp_path: Path) -> None:
    from geneformer_folder import cells, write_model

    from galenic.foundation import Geneformer

    model = write_model(tmp_path / "model")
    adata = cells("v1")
    adata.write_h5ad(tmp_path / "cells.h5ad")
    flags = ("--weights", model, "--device", "cpu", "--emb-layer", "0", "--checkpoint", tmp_path / "kept")
    with chdir(tmp_path):
        arguments = ["geneformer", "cells.h5ad", *flags, "--out", "out.h5ad"]
        command().main([*map(str, arguments)], standalone_mode=False)
    found = anndata.read_h5ad(tmp_path / "out.h5ad")
    expected = Geneformer.load(model, emb_layer=0).embed(adata, device="cpu")
    assert np.array_equal(found.obsm["X_geneformer"], expected, equal_nan=True)
    assert (found.X != adata.X).nnz == 0
    assert "does not exist" in refused(tmp_path, "geneformer", "none.h5ad", "--weights", model, "--out", "new.h5ad")
