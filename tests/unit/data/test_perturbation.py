"""Columns, means and pairs of perturbation data, against plain loops."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import galenic.data.condition_means as condition_means_module
from galenic.data.condition_means import condition_means
from galenic.data.condition_pairs import pair_index
from galenic.data.perturbation import parts_of, perturbation_columns, same_perturbation
from galenic.data.simulate import perturbations


def cells(X: object = None, **columns: object) -> AnnData:
    n = len(next(iter(columns.values())))
    obs = pd.DataFrame(columns, index=[f"cell{i}" for i in range(n)])
    return AnnData(np.zeros((n, 2), dtype=np.float32) if X is None else X, obs=obs)


CONTEXTS, NAMES = ["A", "A", "B", "B"], ["control", "x", "control", "x"]


# --- columns


def test_codes_say_context_and_perturbation_of_every_row() -> None:
    columns = perturbation_columns(cells(cell_type=["B", "A", "A", "B"], perturbation=["y", "control", "x", "control"]))
    assert columns.contexts == ("A", "B")
    assert columns.perturbations == ("x", "y")
    assert columns.context.tolist() == [1, 0, 0, 1]
    assert columns.perturbation.tolist() == [1, -1, 0, -1]
    assert columns.is_control.tolist() == [False, True, False, True]
    assert columns.dose is None


@pytest.mark.parametrize("context", ["cell_line", "cell_id", "cell_iname", "cell"])
@pytest.mark.parametrize("perturbation", ["condition", "target_gene", "gene", "drug", "product_name", "pert_iname"])
def test_other_usual_names_of_columns_are_found(context: str, perturbation: str) -> None:
    columns = perturbation_columns(cells(**{context: CONTEXTS, perturbation: NAMES}))
    assert columns.names["context"] == context
    assert columns.names["perturbation"] == perturbation


@pytest.mark.parametrize("label", ["control", "ctrl", "CTRL", "DMSO", "dmso", "Vehicle", "non-targeting", "NT"])
def test_usual_names_of_controls_are_found(label: str) -> None:
    names = [label if name == "control" else name for name in NAMES]
    columns = perturbation_columns(cells(cell_type=CONTEXTS, perturbation=names))
    assert columns.is_control.tolist() == [True, False, True, False]


@pytest.mark.parametrize("values", [[True, False, True, False], [1, 0, 1, 0], ["True", "False", "true", "false"]])
def test_a_column_of_true_and_false_says_which_are_controls(values: list[object]) -> None:
    names = ["saline", "x", "mock", "x"]
    columns = perturbation_columns(cells(cell_type=CONTEXTS, perturbation=names, control=values))
    assert columns.is_control.tolist() == [True, False, True, False]
    assert columns.perturbations == ("x",)


def test_combinations_are_one_in_any_order_and_without_controls() -> None:
    names = ["ctrl", "B+A", "A+B", "A+ctrl", "A", "(+)-JQ1", "NAD+"]
    columns = perturbation_columns(cells(cell_type=["A"] * 7, perturbation=names))
    assert columns.perturbations == ("(+)-JQ1", "A", "A+B", "NAD+")
    assert columns.parts == (("(+)-JQ1",), ("A",), ("A", "B"), ("NAD+",))
    assert columns.perturbation.tolist() == [-1, 2, 2, 1, 1, 0, 3]
    assert same_perturbation("B+A") == same_perturbation("A + B")
    assert parts_of("A+mock", ["mock"]) == ("A",)


def test_doses_are_numbers_or_nothing() -> None:
    given = cells(cell_type=CONTEXTS, perturbation=NAMES, dose=[0, np.float32(11.1), 0, 11.1], time_h=[6, 6, 24, None])
    columns = perturbation_columns(given)
    assert columns.dose.tolist() == [0, 11.1, 0, 11.1]
    assert columns.names["time"] == "time_h"
    assert np.isnan(columns.time[3])
    assert perturbation_columns(cells(cell_type=CONTEXTS, perturbation=NAMES, dose=["1", "1+1", "1", "1"])).dose is None
    table, codes = columns.conditions(by_dose=True)
    assert table["dose"].tolist() == [11.1, 11.1]
    assert codes.tolist() == [-1, 0, -1, 1]


def test_conditions_without_a_dose_are_one_condition() -> None:
    given = cells(cell_type=["A"] * 4, perturbation=["control", "x", "x", "x"], dose=[0.0, np.nan, np.nan, 3.0])
    table, codes = perturbation_columns(given).conditions(by_dose=True)
    assert table["n_cells"].tolist() == [1, 2]
    assert codes.tolist() == [-1, 1, 1, 0]


@pytest.mark.parametrize(
    ("columns", "how", "message"),
    [
        (
            {"cel_type": CONTEXTS, "perturbation": NAMES},
            {},
            "obs should have a column 'cell_type'.*did you mean 'cel_t",
        ),
        ({"cell_type": CONTEXTS, "perturbation": NAMES}, {"context": "cell"}, "should have a column 'cell'"),
        ({"cell_type": CONTEXTS, "perturbation": ["a", "x", "b", "x"]}, {}, "controls should be marked"),
        ({"cell_type": CONTEXTS, "perturbation": NAMES}, {"control": "DMSO"}, "controls should be marked"),
        ({"cell_type": ["A", None, "B", "B"], "perturbation": NAMES}, {}, "every row should have a context; 1 of 4"),
        ({"cell_type": CONTEXTS, "perturbation": ["control", None, "control", "x"]}, {}, "have a perturbation; 1 of 4"),
        ({"cell_type": ["A", "A", "B", "C"], "perturbation": NAMES}, {}, r"controls; 1 of 3 have none \(first: 'C'\)"),
        (
            {"cell_type": CONTEXTS, "perturbation": ["control", "x", "control", "y"]},
            {"in_one_context": "refuse"},
            "two contexts or more.*2 of 2 are in one only",
        ),
    ],
)
def test_refusals_say_what_is_wrong(columns: dict[str, list[object]], how: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        perturbation_columns(cells(**columns), **how)


def test_what_is_not_refused_may_be_warned_of_or_kept() -> None:
    given = cells(cell_type=["A", "A", "B", "C"], perturbation=NAMES)
    with pytest.warns(UserWarning, match="every context should have controls"):
        perturbation_columns(given, without_controls="warn")
    assert perturbation_columns(given, without_controls="keep").contexts == ("A", "B", "C")
    with pytest.raises(ValueError, match="'keep', 'warn', 'refuse'"):
        perturbation_columns(given, without_controls="never")


# --- means


def loop(adata: AnnData, X: np.ndarray, weights: np.ndarray) -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]:
    """Mean and unbiased variance of every context and perturbation, controls too."""
    found = {}
    for context in set(adata.obs["cell_type"]):
        for name in set(adata.obs["perturbation"]):
            rows = np.flatnonzero((adata.obs["cell_type"] == context) & (adata.obs["perturbation"] == name))
            w, part = weights[rows], X[rows].astype(np.float64)
            mean = (w[:, None] * part).sum(axis=0) / w.sum()
            spread = (w[:, None] * (part - mean) ** 2).sum(axis=0) / (w.sum() - (w**2).sum() / w.sum())
            found[context, name] = mean, spread
    return found


@pytest.mark.parametrize("form", ["dense", "sparse", "csc", "backed", "backed-sparse"])
@pytest.mark.parametrize("block", [7, 10**6])
@pytest.mark.parametrize("weighted", [False, True])
def test_means_and_variances_equal_the_loop(
    form: str, block: int, weighted: bool, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(condition_means_module, "BLOCK", block * 12)
    adata = perturbations(n_contexts=3, n_perturbations=4, n_genes=12, n_cells=6, pairs=1)
    adata = adata[rng.permutation(adata.n_obs)].copy()
    dense = np.where(adata.X < 1.5, 0, adata.X)
    X = {"csc": sparse.csc_matrix, "sparse": sparse.csr_matrix, "backed-sparse": sparse.csr_matrix}.get(form, np.array)
    adata.X = X(dense)
    if "backed" in form:
        adata.write_h5ad(tmp_path / "cells.h5ad")
        adata = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    weights = rng.uniform(0.5, 2, size=adata.n_obs) if weighted else None
    columns = perturbation_columns(adata)
    found = condition_means(adata, columns, weights=weights, variances=True)
    twin = loop(adata, dense, np.ones(adata.n_obs) if weights is None else weights)
    for row, (context, name) in enumerate(found.table[["context", "perturbation"]].to_numpy()):
        np.testing.assert_allclose(found.means[row], twin[context, name][0], rtol=1e-6)
        np.testing.assert_allclose(found.variances[row], twin[context, name][1], rtol=1e-5, atol=1e-9)
        control = twin[context, "control"]
        np.testing.assert_allclose(found.effects[row], twin[context, name][0] - control[0], atol=1e-6)
        np.testing.assert_allclose(
            found.control_variances[found.contexts.index(context)], control[1], rtol=1e-5, atol=1e-9
        )
    assert (found.table["n_cells"] == 6).all()
    assert found.control_counts.tolist() == [6, 6, 6]
    if "backed" in form:
        adata.file.close()


def test_rows_that_do_not_count_are_not_read_and_genes_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(condition_means_module, "BLOCK", 100)
    adata = perturbations(n_contexts=2, n_perturbations=3, n_genes=10, n_cells=5)
    columns = perturbation_columns(adata)
    plain = condition_means(adata, columns)
    rows = ~(adata.obs["perturbation"] == "P01").to_numpy()
    adata.X[~rows] = np.nan
    found = condition_means(adata, columns, rows=rows, genes=np.array([7, 2]))
    kept = (found.table["n_cells"] > 0).to_numpy()
    assert found.table["perturbation"][~kept].tolist() == ["P01", "P01"]
    np.testing.assert_array_equal(found.means[kept], plain.means[kept][:, [7, 2]])
    assert np.isnan(found.means[~kept]).all()


def test_a_single_cell_has_a_mean_and_no_variance() -> None:
    adata = cells(np.array([[1.0, 2], [3, 4]], dtype=np.float32), cell_type=["A", "A"], perturbation=["control", "x"])
    found = condition_means(adata, perturbation_columns(adata), variances=True)
    assert found.means.tolist() == [[3, 4]]
    assert np.isnan(found.variances).all()


def test_values_that_are_no_logs_are_refused() -> None:
    def refused(X: object, message: str, **how: bool) -> None:
        for form in (np.asarray, sparse.csr_matrix):
            adata = cells(form(np.array(X, dtype=np.float32)), cell_type=CONTEXTS, perturbation=NAMES)
            with pytest.raises(ValueError, match=message):
                condition_means(adata, perturbation_columns(adata), **how)

    refused([[0, 1], [0, np.nan], [0, 1], [0, np.inf]], r"finite; 2 of 4 rows .*\(first: 'cell1', 'cell3'\)")
    refused([[0, 1], [0, -0.5], [0, 1], [0, 1]], r"not be negative.*1 of 4 rows .*lowest -0.5", non_negative=True)
    refused([[0, 51], [7, 1], [0, 1], [3, 1]], "raw counts. Normalise first")
    for X in ([[0, 50], [7, 1], [0, 1], [3, 1]], [[0, 510.5], [7, 1], [0, 1], [3, 1]]):
        adata = cells(np.array(X, dtype=np.float32), cell_type=CONTEXTS, perturbation=NAMES)
        condition_means(adata, perturbation_columns(adata))


# --- pairs


def many() -> AnnData:
    """Conditions of 1 to 6 cells, not all perturbations in every context."""
    rng = np.random.default_rng(3)
    rows = [
        (f"c{c}", name)
        for c in range(3)
        for name in ["control", *(f"p{p}" for p in range(5) if (c + p) % 4)]
        for _ in range(rng.integers(1, 7))
    ]
    rows = [rows[i] for i in rng.permutation(len(rows))]
    return cells(cell_type=[row[0] for row in rows], perturbation=[row[1] for row in rows])


@pytest.mark.parametrize("over", ["conditions", "cells"])
@pytest.mark.parametrize("mode", ["cell", "drug", "both"])
def test_pairs_share_exactly_one_factor_and_controls_their_context(mode: str, over: str) -> None:
    columns = perturbation_columns(many())
    pairs = pair_index(columns, mode).draw(np.random.default_rng(0), 5000, over=over)
    left, right = pairs["left"], pairs["right"]
    same_context = columns.context[left] == columns.context[right]
    same_perturbation = columns.perturbation[left] == columns.perturbation[right]
    assert (same_context ^ same_perturbation).all()
    np.testing.assert_array_equal(pairs["shares_context"], same_context)
    assert set(same_context) == {"cell": {True}, "drug": {False}, "both": {True, False}}[mode]
    assert not columns.is_control[np.r_[left, right]].any()
    for side in ("left", "right"):
        assert columns.is_control[pairs[f"control_{side}"]].all()
        np.testing.assert_array_equal(columns.context[pairs[f"control_{side}"]], columns.context[pairs[side]])
    # With so many draws every row that has a partner is met on both sides.
    assert set(left) == set(right)


def test_draws_depend_on_the_generator_alone() -> None:
    columns = perturbation_columns(many())
    one, again = (pair_index(columns).draw(np.random.default_rng(7), 100) for _ in range(2))
    other = pair_index(columns).draw(np.random.default_rng(8), 100)
    assert all(np.array_equal(one[key], again[key]) for key in one)
    assert not np.array_equal(one["left"], other["left"])


@pytest.mark.parametrize("mode", ["cell", "drug"])
def test_conditions_or_cells_are_equally_likely(mode: str) -> None:
    columns = perturbation_columns(many())
    index = pair_index(columns, mode)
    _, codes = columns.conditions()
    n = 40_000
    by_condition = np.bincount(codes[index.draw(np.random.default_rng(0), n)["left"]])
    by_condition = by_condition[by_condition > 0]
    expected = n / len(by_condition)
    assert (np.abs(by_condition - expected) < 5 * np.sqrt(expected)).all()
    by_cell = np.bincount(index.draw(np.random.default_rng(0), n, over="cells")["left"])
    by_cell = by_cell[by_cell > 0]
    expected = n / len(by_cell)
    assert (np.abs(by_cell - expected) < 5 * np.sqrt(expected)).all()


def test_partners_are_equally_likely() -> None:
    columns = perturbation_columns(many())
    pairs = pair_index(columns, "cell").draw(np.random.default_rng(0), 60_000, over="cells")
    chosen = pairs["right"][pairs["left"] == pairs["left"][0]]
    own = pairs["left"][0]
    others = (columns.context == columns.context[own]) & (columns.perturbation != columns.perturbation[own])
    others &= ~columns.is_control
    counts = np.bincount(chosen, minlength=len(columns))[others]
    assert counts.sum() == len(chosen)
    assert (np.abs(counts - counts.mean()) < 5 * np.sqrt(counts.mean())).all()


def test_doses_are_perturbations_of_their_own_where_asked() -> None:
    adata = cells(
        cell_type=["A"] * 3 + ["B"] * 2, perturbation=["control", "x", "x", "control", "x"], dose=[0, 1, 9, 0, 9]
    )
    columns = perturbation_columns(adata)
    pairs = pair_index(columns, "drug", by_dose=True).draw(np.random.default_rng(0), 50)
    assert set(zip(pairs["left"], pairs["right"], strict=True)) == {(2, 4), (4, 2)}
    pairs = pair_index(columns, "cell", by_dose=True).draw(np.random.default_rng(0), 50)
    assert set(zip(pairs["left"], pairs["right"], strict=True)) == {(1, 2), (2, 1)}
    with pytest.raises(ValueError, match="share their context and differ in their perturbation"):
        pair_index(columns, "cell")


def test_what_cannot_be_paired_is_refused() -> None:
    columns = perturbation_columns(cells(cell_type=["A"] * 3, perturbation=["control", "x", "y"]))
    with pytest.raises(ValueError, match=r"share their perturbation and differ in their context.*2 perturbations"):
        pair_index(columns, "drug")
    index = pair_index(columns, "both")
    assert index.draw(np.random.default_rng(0), 9)["shares_context"].all()
    with pytest.raises(ValueError, match="mode should be one of 'cell'"):
        index.draw(np.random.default_rng(0), 9, "drug")
    with pytest.raises(ValueError, match="over should be"):
        index.draw(np.random.default_rng(0), 9, over="drugs")
    with pytest.raises(ValueError, match="mode should be"):
        pair_index(columns, "line")
    loose = perturbation_columns(
        cells(cell_type=["A", "A", "A", "B"], perturbation=["control", "x", "y", "x"]), without_controls="keep"
    )
    with pytest.raises(ValueError, match=r"controls to draw; 1 of 2 have none \(first: 'B'\)"):
        pair_index(loose)


# --- simulated data


def test_simulated_truth_is_additive_and_not_negative() -> None:
    adata = perturbations(n_contexts=3, n_perturbations=6, n_genes=40, n_cells=40, pairs=4, seed=2)
    truth = adata.uns["truth"]
    assert adata.X.min() >= 0
    assert truth["means"].min() > 0
    effects = {key: value for key, value in zip(truth["conditions"].index, truth["effects"], strict=True)}
    pairs = [name for name in set(adata.obs["perturbation"]) if "+" in name]
    assert len(pairs) == 4
    for context in ("type A", "type C"):
        np.testing.assert_allclose(effects[f"{context}|P03"], adata.varm["effect"][:, 3])
        for name in pairs:
            one, other = name.split("+")
            total = effects[f"{context}|{one}"] + effects[f"{context}|{other}"]
            np.testing.assert_allclose(effects[f"{context}|{name}"], total)
    found = condition_means(adata, perturbation_columns(adata))
    order = truth["conditions"].index.get_indexer(found.table["context"] + "|" + found.table["perturbation"])
    assert np.abs(found.means - truth["means"][order]).max() < 0.3


def test_simulated_interaction_has_rank_two_and_is_written_to_files(tmp_path: Path) -> None:
    adata = perturbations(n_contexts=4, n_perturbations=5, n_genes=30, n_cells=2, interaction=0.3)
    effects = adata.uns["truth"]["effects"].reshape(4, 5, 30)
    special = (effects - adata.varm["effect"].T).reshape(4, -1)
    sizes = np.linalg.svd(special, compute_uv=False)
    assert sizes[1] > 1e-3
    assert sizes[2:].max() < 1e-8
    adata.write_h5ad(tmp_path / "simulated.h5ad")
    again = anndata.read_h5ad(tmp_path / "simulated.h5ad")
    np.testing.assert_array_equal(again.uns["truth"]["effects"], adata.uns["truth"]["effects"])
    np.testing.assert_array_equal(perturbations(seed=3).X, perturbations(seed=3).X)
    with pytest.raises(ValueError, match="Ask for fewer pairs"):
        perturbations(n_perturbations=3, pairs=4)
