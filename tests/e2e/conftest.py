"""Files that the tests of the command line share."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import browser  # noqa: F401, a fixture for all tests of this folder


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's own files, with other names than ours: 40 cells, 8 drugs, 60 genes."""
    from galenic.data.simulate import screen

    folder = tmp_path_factory.mktemp("files")
    data, _ = screen(n_cells=40, n_drugs=8, n_genes=60, n_drivers=2, noise=0.4, seed=0)
    pairs = data.pairs[["cell", "drug", "response"]]
    pairs.rename(columns={"cell": "CELL_LINE_NAME", "drug": "DRUG_NAME", "response": "LN_IC50"}).to_csv(
        folder / "response.csv", index=False
    )
    genes = data.cells.to_df()
    genes.rename_axis("cell_line").to_csv(folder / "expression.tsv", sep="\t")
    genes.iloc[:5, ::-1].rename(index=lambda cell: f"new-{cell}").rename_axis("sample").to_csv(folder / "new.csv")
    data.cells.obsm["mutation"].rename_axis("cell_line").to_csv(folder / "mutation.csv")
    data.drugs[["smiles", "name"]].rename_axis("drug").to_csv(folder / "drugs.csv")
    data.cells.obs[["tissue"]].rename_axis("cell").to_csv(folder / "cells.csv")
    return folder
