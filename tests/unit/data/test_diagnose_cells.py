"""What is said of a file of cells before a prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from galenic.data.diagnose_cells import cell_findings, cells_to_keep, coverage_of_cells, findings_of_cells, look

GENES = [f"GENE{number}" for number in range(300)]


def cells(rng: np.random.Generator, n: int = 60) -> AnnData:
    counts = rng.poisson(2.0, size=(n, 300)).astype(np.float32)
    obs = pd.DataFrame({"sample": ["s1", "s2"] * (n // 2)}, index=[f"AAAC{number}-1" for number in range(n)])
    return AnnData(counts, obs=obs, var=pd.DataFrame(index=GENES))


def severity(adata: AnnData, **how: object) -> dict[str, str]:
    return {name: how_bad for name, how_bad, *_ in findings_of_cells(adata, **how)}  # type: ignore[arg-type]


def test_counts_of_two_samples_are_fine(rng: np.random.Generator) -> None:
    assert severity(cells(rng)) == {"single cells": "ok", "values": "ok", "genes": "ok", "several samples": "note"}


@pytest.mark.parametrize("kind", ["counts", "log", "linear", "scaled"])
def test_the_kind_of_values_is_told(rng: np.random.Generator, kind: str) -> None:
    adata = cells(rng)
    X = np.asarray(adata.X)
    adata.X = {"counts": X, "log": np.log1p(X), "linear": 40.5 * X, "scaled": X - X.mean(axis=0)}[kind]
    assert look(adata).kind == kind
    assert severity(adata)["values"] == ("warning" if kind == "scaled" else "ok")
    said = next(detail for name, _, detail, _ in findings_of_cells(adata) if name == "values")
    assert ("genes above 0" in said) == (kind != "scaled"), "of centred values that counts nothing"


def test_a_file_without_cells_is_refused(rng: np.random.Generator) -> None:
    assert severity(cells(rng)[:0].copy()) == {"single cells": "error"}


def test_empty_and_poor_cells_are_counted(rng: np.random.Generator) -> None:
    adata = cells(rng)
    adata.X[3] = 0
    adata.X[7, 100:] = 0
    for values in (adata.X, sparse.csr_matrix(adata.X)):
        adata.X = values
        keep, steps = cells_to_keep(look(adata))
        assert np.flatnonzero(~keep).tolist() == [3, 7]
        assert [row["dropped"] for row in steps] == [1, 1]
        found = {name: detail for name, _, detail, _ in findings_of_cells(adata)}
        assert "'AAAC3-1'" in found["cells with counts"]
        assert "'AAAC7-1'" in found["cells with enough genes"]
    logged = adata.copy()
    logged.X = np.log1p(adata.X.toarray())
    assert int(cells_to_keep(look(logged))[0].sum()) == 59, "how many genes are enough is known of counts alone"


def test_what_is_refused(rng: np.random.Generator) -> None:
    adata = cells(rng)
    twice = adata.copy()
    twice.obs_names = ["same", *twice.obs_names[1:-1], "same"]
    assert severity(twice)["barcodes stand twice"] == "error"
    mouse = adata[:, :6].copy()
    mouse.var_names = ["Trp53", "Egfr", "Kras", "Myc", "Cdk4", "Gapdh"]
    assert severity(mouse)["mouse genes"] == "error"
    missing = adata.copy()
    missing.X[0, 0] = np.nan
    assert severity(missing)["values that are no numbers"] == "error"
    nothing = adata.copy()
    nothing.X[:] = 0
    assert severity(nothing)["no cells"] == "error"
    ids = adata[:, :5].copy()
    ids.var_names = ["7157", "1956", "3845", "4609", "1019"]
    assert severity(ids)["genes"] == "warning"
    named = ids.copy()
    named.var["symbol"] = ["TP53", "EGFR", "KRAS", "MYC", "CDK4"]
    assert severity(named)["genes"] == "ok"


def test_what_a_model_needs_is_looked_for(rng: np.random.Generator) -> None:
    adata = cells(rng)
    adata.obsm["X_rep"] = rng.normal(size=(60, 4))
    assert severity(adata, features=GENES[:10])["features of the model"] == "ok"
    assert severity(adata, features=[*GENES[:10], "TP53"])["features of the model"] == "note"
    assert severity(adata, features=[*GENES[:2], "A1", "B1", "C1"])["features of the model"] == "error"
    assert severity(adata, features=["X_rep_0"], rep="X_rep")["features of the model"] == "ok"
    assert severity(adata, features=["X_rep_0"], rep="X_other")["features of the model"] == "error"
    table = coverage_of_cells(adata, [*GENES[:10], "TP53"])
    assert table.set_index("step").loc["features of the model", ["kept", "dropped"]].tolist() == [10, 1]


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_a_file_is_read_without_loading_it(rng: np.random.Generator, tmp_path: Path) -> None:
    """In memory and backed, dense and sparse, the same is said; genes that stand twice are noted."""
    adata = cells(rng)
    adata.var_names = [*GENES[:-1], GENES[0]]
    expected = findings_of_cells(adata)
    assert {"genes stand twice"} <= {name for name, *_ in expected}
    for number, values in enumerate((adata.X, sparse.csr_matrix(adata.X))):
        place = tmp_path / f"{number}.h5ad"
        AnnData(values, obs=adata.obs, var=adata.var).write_h5ad(place)
        assert cell_findings(place) == expected


@pytest.mark.real
def test_measured_files(shared: Path) -> None:
    folder = shared / "singlecell"
    counts = {name: (how, detail) for name, how, detail, _ in cell_findings(folder / "pc9_erlotinib_day11_counts.h5ad")}
    assert counts["values"][0] == "ok"
    assert "counts" in counts["values"][1]
    assert "2 in 'sample'" in counts["several samples"][1]
    scaled = {name: how for name, how, *_ in cell_findings(folder / "a375_plx4720_scad.h5ad")}
    assert scaled["values"] == "warning"
    assert scaled["genes"] == "ok"
