"""How far cells lie from lines: verdicts on planted shifts, and on measured cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from galenic.data.alignment import shift_by_feature
from galenic.data.cell_matrix import CellMatrix
from galenic.data.simulate.single_cell import bulk_and_cells
from galenic.models.cells.trust import ShiftReport, shift_report


def standard(x: np.ndarray, by: np.ndarray | None = None) -> np.ndarray:
    by = x if by is None else by
    return np.where(by.std(axis=0) > 1e-8, (x - by.mean(axis=0)) / (by.std(axis=0) + 1e-8), 0.0)


def simulated(shift: float, n_genes: int = 80) -> tuple[np.ndarray, np.ndarray]:
    bulk, cells = bulk_and_cells(n_genes=n_genes, n_lines=90, n_cells=120, shift=shift, seed=3)
    return CellMatrix.of(bulk).dense(), CellMatrix.of(cells).dense()


def report(lines: np.ndarray, cells: np.ndarray, after: np.ndarray | None = None) -> ShiftReport:
    aligned = standard(cells) if after is None else after
    return shift_report(standard(lines), standard(cells, lines), aligned, n_permutations=40)


def test_alignment_mends_a_shift_and_this_is_said() -> None:
    lines, cells = simulated(1.0)
    found = report(lines, cells)
    assert found.verdict == "near"
    found.act()
    told = found.summary.set_index(["when", "measure"])["value"]
    assert told["before", "outside_share"] > 0.9 > 0.6 > told["after", "outside_share"]
    assert told["after", "share_apart"] < told["before", "share_apart"]
    expected = shift_by_feature(standard(cells, lines), standard(cells), standard(lines))
    features = found.features.set_index("feature").sort_index()
    assert np.allclose(features[["before", "after"]], expected)
    assert found.features["after"].is_monotonic_decreasing
    assert any("0.5 % of" in said or "% of the cells" in said for said in found.sentences)


def test_cells_that_were_not_aligned_are_refused_unless_asked_for() -> None:
    lines, cells = simulated(2.0)
    found = report(lines, cells, standard(cells, lines))
    assert found.verdict == "too far"
    with pytest.raises(ValueError, match=r"aligned cells should resemble the lines.*--allow-far"):
        found.act()
    with pytest.warns(UserWarning, match="Read their probabilities as a ranking at most"):
        found.act(allow=True)


def test_wrong_names_and_noise_are_refused(rng: np.random.Generator) -> None:
    """Alignment hides both from means, spreads and distances, and leaves what moves together."""
    lines, cells = simulated(0.0)
    assert report(lines, cells).verdict == "near"
    assert report(lines, cells[:, rng.permutation(cells.shape[1])]).verdict == "too far"
    assert report(lines, rng.normal(size=cells.shape)).verdict == "too far"


def test_few_cells_are_warned_of_and_not_refused(rng: np.random.Generator) -> None:
    lines, cells = simulated(0.0)
    found = report(lines, rng.normal(size=(30, cells.shape[1])))
    assert found.verdict in ("far", "near")
    with pytest.raises(ValueError, match="11 lines and 11 cells"):
        report(lines, cells[:5])
    with pytest.raises(ValueError, match="matrices of the same features"):
        shift_report(lines, cells, cells[:, :5])


@pytest.mark.real
@pytest.mark.parametrize("name", ["jhu006_scad", "a375_plx4720_scad"])
def test_measured_cells_are_near_and_under_wrong_names_are_not(
    shared: Path, rng: np.random.Generator, name: str
) -> None:
    """The limits were set on these: 11 to 28 % outside, co-expression shared with p of 0.01 or less."""
    from anndata import read_h5ad

    from galenic.data import read

    frame = read.matrix(shared / "gdsc" / "expression_array_z_656genes.csv.gz")
    target = read_h5ad(shared / "singlecell" / f"{name}.h5ad")
    genes = sorted(set(frame.columns) & set(CellMatrix.of(target).features))
    lines, cells = frame[genes].to_numpy(float), CellMatrix.of(target, features=genes).dense()
    found = shift_report(standard(lines), standard(cells, lines), standard(cells), genes)
    told = found.summary.set_index(["when", "measure"])
    assert found.verdict == "near"
    assert 0.05 < told.loc[("after", "outside_share"), "value"] < 0.35
    assert told.loc[("after", "coexpression"), "p_value"] < 0.02
    turned = standard(cells)[:, rng.permutation(len(genes))]
    assert shift_report(standard(lines), turned, turned, genes).verdict == "too far"
