"""Genes are deleted and over-expressed in silico from the command line: tables as from Python, or words."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from geneformer_folder import cells, write_model

from galenic.cli.embed import command
from galenic.cli.main import _explain
from galenic.foundation import Geneformer
from galenic.foundation.geneformer_perturb import perturb


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, and cells of two states."""
    folder = tmp_path_factory.mktemp("perturb")
    write_model(folder / "model")
    adata = cells("v1")
    adata.obs["state"] = ["sensitive", "resistant", "resistant"] * 4
    adata.write_h5ad(folder / "cells.h5ad")
    adata.to_df().rename_axis("cell").to_csv(folder / "cells.csv")
    return folder


def run(folder: Path, *arguments: object) -> None:
    with chdir(folder):
        words = ["geneformer", "cells.h5ad", "--weights", "model", "--device", "cpu", *map(str, arguments)]
        command().main(words, standalone_mode=False)


def test_tables_are_those_of_python(folder: Path) -> None:
    run(folder, "--delete", "SYM3,SYM5", "--overexpress", "SYM7", "--goal", "state=sensitive", "--out", "genes.csv",
        "--cells-out", "each.parquet", "--emb-layer", "0")  # fmt: skip
    genes, each = pd.read_csv(folder / "genes.csv"), pd.read_parquet(folder / "each.parquet")
    adata, encoder = anndata.read_h5ad(folder / "cells.h5ad"), Geneformer.load(folder / "model", emb_layer=0)
    goal = (adata.obs["state"] == "sensitive").to_numpy()
    mean = encoder.embed(adata[goal].copy(), device="cpu").mean(axis=0)
    how = {"goal": mean, "device": "cpu"}
    deleted = perturb(encoder, adata[~goal].copy(), ["SYM3", "SYM5"], kind="delete", **how)
    put = perturb(encoder, adata[~goal].copy(), ["SYM7"], kind="overexpress", **how)
    expected = pd.concat([deleted.genes.sort_values("cosine"), put.genes], ignore_index=True)
    pd.testing.assert_frame_equal(genes, expected, check_dtype=False, atol=1e-6)
    assert genes["kind"].tolist() == ["delete", "delete", "overexpress"]
    assert genes.loc[2, "n_cells"] == 8, "put first in every cell that is not in the goal's state"
    assert len(each) == len(deleted.cells) + len(put.cells)
    assert set(each["cell"]) <= set(adata.obs_names[~goal])
    np.testing.assert_allclose(each.groupby("kind")["goal_shift"].mean()["overexpress"], genes.loc[2, "goal_shift"])


def test_what_is_wrong_is_told_before_the_model_is_read(folder: Path) -> None:
    cases = {
        "should end in .csv or .parquet": ("--delete", "SYM3", "--out", "new.h5ad"),
        "--checkpoint is for vectors": ("--delete", "SYM3", "--out", "new.csv", "--checkpoint", "kept"),
        "none are named": ("--goal", "state=sensitive", "--out", "new.csv"),
        "should each have a token": ("--delete", "NONE", "--out", "new.csv"),
        "column=value of a column of obs ('state')": ("--delete", "SYM3", "--goal", "type=a", "--out", "new.csv"),
        "0 of 12 have state = 'dead'": ("--delete", "SYM3", "--goal", "state=dead", "--out", "new.csv"),
        "--cells-out should end in": ("--delete", "SYM3", "--out", "new.csv", "--cells-out", "each.txt"),
    }
    for said, arguments in cases.items():
        with pytest.raises(ValueError) as caught:
            run(folder, *arguments)
        assert said in str(caught.value)
        assert _explain(caught.value) == 2
    assert not (folder / "new.csv").exists()
