"""The public plots: what they take, what they refuse, and that each is drawn by both."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from anndata import AnnData
from figure_samples import GENES, effects, hits, importances, matched, pairs

from galenic import plots
from galenic.plots.palette import FALL, FLOOR_SYMBOL, RESISTANT, RISE, SENSITIVE


def metrics() -> pd.DataFrame:
    rows = [
        (model, split, fold, seed, "all", metric, base + 0.01 * fold, 50)
        for model, base in (("Ridge", 1.0), ("DrugMean", 1.3), ("CellMean", 2.0))
        for split in ("cell", "drug")
        for fold in range(4)
        for seed in range(2)
        for metric in ("rmse", "pearson")
    ]
    return pd.DataFrame(rows, columns=["model", "split", "fold", "seed", "group", "metric", "value", "n"])


def ranked() -> pd.DataFrame:
    return pd.DataFrame(
        {"cell": ["A"] * 3 + ["B"] * 3, "drug": list("xyz") * 2, "prediction": [2.0, 1.0, 3.0, 0.0, 5.0, 4.0]}
    )


def weights() -> pd.DataFrame:
    table = pd.DataFrame({"drug": ["x"] * 12, "gene": GENES, "weight": np.linspace(-1, 1.2, 12), "spread": 0.1})
    return table.assign(rank=table["weight"].abs().rank(ascending=False).astype(int), stability=0.9)


def volcano() -> pd.DataFrame:
    return pd.DataFrame(
        {"gene": GENES, "delta": np.linspace(-2, 2, 12), "q_value": [1e-320, 0.01, *[0.5] * 8, 0.01, 1e-9]}
    )


def some_cells() -> AnnData:
    obs = pd.DataFrame(
        {
            "probability": [0.1, 0.9, np.nan, 0.5],
            "abstain": [False, False, True, True],
            "x1_probability": [0.2, 0.3, 0.4, 0.5],
            "kind": pd.Categorical(["T", "B", None, "T"], categories=["B", "T", "unused"]),
            "is_late": [True, False, True, False],
        },
        index=list("abcd"),
    )
    return AnnData(np.eye(4), obs=obs, var=pd.DataFrame(index=GENES[:4]), obsm={"X_umap": np.arange(8.0).reshape(4, 2)})


def pairs_of_targets() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "rank": [2, 1],
            "gene_a": ["MEK", "EGFR"],
            "gene_b": ["BRAF", "MET"],
            "score": [0.5, 0.8],
            "known": [True, False],
        }
    )


def found() -> pd.DataFrame:
    table = hits()
    return table[table["role"] == "hit"].drop(columns=["x", "y", "role"]).assign(query="q", pert_name=table["name"])


def history() -> pd.DataFrame:
    return pd.DataFrame({"stage": "student", "member": 0, "epoch": [1, 2, 3], "train_fit": [3.0, 2.0, 1.0]})


def atoms() -> pd.DataFrame:
    elements = ["C", "C", "O", "N", "C", "C", "C", "C", "C", "C"]
    table = pd.DataFrame({"atom": range(10), "element": elements, "contribution": np.linspace(-1, 1, 10)})
    return table.assign(drug="x", smiles="CC(=O)Nc1ccccc1")


CALLS: dict[str, Callable[..., Any]] = {
    "scores": lambda **how: plots.scores(metrics(), split="cell", floors={"DrugMean"}, ceiling=0.8, **how),
    "observed": lambda **how: plots.observed(pairs(50), **how),
    "ranking": lambda **how: plots.ranking(ranked(), **how),
    "calibration": lambda **how: plots.calibration(
        pd.DataFrame({"level": [0.8, 0.9], "coverage": [0.7, 0.9], "n": [9, 9]}), **how
    ),
    "curves": lambda **how: plots.curves(history(), **how),
    "effects": lambda **how: plots.effects(volcano(), **how),
    "effect_against": lambda **how: plots.effect_against(effects(), **how),
    "cells": lambda **how: plots.cells(some_cells(), **how),
    "biomarkers": lambda **how: plots.biomarkers(weights(), "x", **how),
    "molecule": lambda **how: plots.molecule(atoms(), **how),
    "neighbours": lambda **how: plots.neighbours(found(), **how),
    "target_pairs": lambda **how: plots.target_pairs(pairs_of_targets(), **how),
}


def test_every_public_plot_is_called_here() -> None:
    assert {*CALLS, "data_of", "palette", "save", "to_matplotlib"} == set(plots.__all__)


@pytest.mark.parametrize("name", CALLS)
def test_each_is_drawn_by_both(name: str) -> None:
    figure = CALLS[name]()
    assert isinstance(figure, go.Figure)
    assert len(plots.data_of(figure))
    assert {"backend"} <= set(inspect.signature(getattr(plots, name)).parameters)
    pytest.importorskip("matplotlib")
    paper = CALLS[name](backend="matplotlib")
    assert type(paper).__module__ == "matplotlib.figure"
    with pytest.raises(ValueError, match=r"backend should be one of plotly, matplotlib; received 'bokeh'"):
        CALLS[name](backend="bokeh")


@pytest.mark.parametrize("name", sorted(set(CALLS) - {"cells"}))
def test_each_says_what_a_table_lacks(name: str) -> None:
    with pytest.raises(ValueError, match=rf"plots\.{name} is drawn from a table with .*; it lacks .* and has odd"):
        getattr(plots, name)(pd.DataFrame({"odd": [1]}))
    with pytest.raises(TypeError, match="pandas DataFrame; received list"):
        getattr(plots, name)([1, 2])


@pytest.mark.parametrize("name", CALLS)
def test_what_is_given_stays_as_it_was(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "cells":
        adata = some_cells()
        before = adata.copy()
        plots.cells(adata, color="kind")
        pd.testing.assert_frame_equal(adata.obs, before.obs)
        assert dict(adata.uns) == dict(before.uns)
        return
    tables: list[tuple[pd.DataFrame, pd.DataFrame]] = []
    for maker in ("metrics", "ranked", "weights", "volcano", "pairs_of_targets", "found", "history", "atoms"):
        real = globals()[maker]

        def kept(real: Callable[[], pd.DataFrame] = real) -> pd.DataFrame:
            table = real()
            tables.append((table, table.copy()))
            return table

        monkeypatch.setitem(globals(), maker, kept)
    CALLS[name]()
    for table, copy in tables:
        pd.testing.assert_frame_equal(table, copy)


def test_scores_stand_beside_the_best_floor() -> None:
    figure = plots.scores(SimpleNamespace(metrics=metrics(), floors=("DrugMean", "CellMean")), split="cell")
    assert figure.layout.xaxis.title.text == "rmse"
    assert figure.layout.shapes[0].x0 == pytest.approx(1.315)  # the floor with the least error
    models = {trace.name: set(trace.y) for trace in figure.data}
    assert models == {"model": {"Ridge"}, "floor": {"DrugMean", "CellMean"}}
    assert figure.data[1].marker.symbol == FLOOR_SYMBOL
    assert list(figure.layout.yaxis.categoryarray) == ["CellMean", "DrugMean", "Ridge"]
    greater = plots.scores(metrics(), split="cell", metric="pearson", floors={"DrugMean", "CellMean"})
    assert greater.layout.shapes[0].x0 == pytest.approx(2.015)


def test_of_several_splits_one_is_chosen() -> None:
    with pytest.raises(ValueError, match=r"one split, of 'cell', 'drug'; received several. Choose with split="):
        plots.scores(metrics())
    with pytest.raises(ValueError, match="received 'pair'"):
        plots.scores(metrics(), split="pair")


def test_drugs_stand_in_the_order_of_their_prediction() -> None:
    assert list(plots.ranking(ranked()).layout.yaxis.ticktext) == ["z", "x", "y"]  # the last is on top
    assert list(plots.ranking(ranked(), cell="B", n=2).layout.yaxis.ticktext) == ["z", "x"]
    with pytest.raises(ValueError, match="one cell, of 'A', 'B'; received 'C'"):
        plots.ranking(ranked(), cell="C")


def test_a_volcano_tells_rise_from_fall_by_colour_and_shape() -> None:
    traces = {trace.name: trace for trace in plots.effects(volcano(), n_named=2).data}
    assert {name: (one.marker.color, one.marker.symbol, len(one.x)) for name, one in traces.items()} == {
        "not told apart": (plots.palette.FLOOR, "circle", 8),
        "rise": (RISE, "triangle-up", 2),
        "fall": (FALL, "triangle-down", 2),
    }
    assert max(traces["fall"].y) == pytest.approx(300)  # a p-value of 0 is drawn
    assert [name for one in traces.values() for name in one.text if name] == ["SLFN11", "TP53"]


def test_a_spread_is_drawn_as_it_is() -> None:
    figure = plots.effects(weights())
    assert figure.layout.yaxis.title.text == "spread"
    assert sum(len(trace.x) for trace in figure.data) == 12


def test_effects_by_gene_are_joined() -> None:
    genes = effects().set_index("gene")
    shuffled = genes["measured"].sample(frac=1, random_state=0)
    one = plots.effect_against(genes["predicted"], shuffled)
    points = plots.data_of(one).dropna(subset=["text"]).set_index("text")
    for gene, row in genes.iterrows():
        assert points.loc[gene, ["x", "y"]].tolist() == pytest.approx([row["measured"], row["predicted"]], abs=1e-4)


def test_cells_without_a_value_and_abstained_ones_are_seen() -> None:
    shapes = {trace.name: (trace.marker.symbol, len(trace.x)) for trace in plots.cells(some_cells()).data}
    assert shapes == {"no counts": ("x", 1), "abstained": ("circle-open", 1), "called": ("circle", 2)}
    other = plots.cells(some_cells(), color="x1_probability")
    assert [trace.name for trace in other.data] == ["called"]
    kinds = plots.cells(some_cells(), color="kind")
    assert {trace.name: len(trace.x) for trace in kinds.data} == {"not known": 1, "B": 1, "T": 2}
    late = plots.cells(some_cells(), color="is_late")
    assert {trace.name: len(trace.x) for trace in late.data} == {"False": 2, "True": 2}


def test_biomarkers_point_to_resistance_or_sensitivity() -> None:
    bars = plots.biomarkers(weights(), n=4).data[0]
    assert len(bars.x) == 4
    assert list(bars.marker.color) == [RESISTANT if x > 0 else SENSITIVE for x in bars.x]
    assert abs(bars.x[-1]) == max(map(abs, bars.x))  # the first is on top
    of_cells = plots.biomarkers(importances(), n=6)
    assert sum(len(trace.x) for trace in of_cells.data) == 6


def test_of_many_hits_both_ends_are_drawn() -> None:
    many = pd.DataFrame(
        {"rank": range(100), "id": [f"p{n}" for n in range(100)], "similarity": np.linspace(1, -1, 100)}
    )
    figure = plots.neighbours(many, n=10)
    assert {trace.name: len(trace.x) for trace in figure.data} == {"mimics": 5, "reversers": 5}
    assert {trace.name for trace in plots.neighbours(hits()).data} >= {"query", "others"}


def test_target_pairs_known_ones_are_filled() -> None:
    figure = plots.target_pairs(pairs_of_targets())
    assert {trace.name: trace.marker.symbol for trace in figure.data} == {"known": "circle", "not known": "circle-open"}
    assert list(figure.layout.yaxis.ticktext) == ["MEK + BRAF", "EGFR + MET"]
    assert plots.target_pairs(matched()).layout.yaxis.title.text == "known (%)"


def test_a_molecule_has_every_atom_and_bond() -> None:
    figure = plots.molecule(atoms())
    bonds, shown = figure.data
    assert list(shown.marker.color) == pytest.approx(atoms()["contribution"].round(5).tolist())
    assert [text for text in shown.text if text] == ["O", "N"]
    ends = np.column_stack([bonds.x, bonds.y])
    assert np.isnan(ends).any(axis=1).sum() >= 10  # ten bonds, some of several lines
    with pytest.raises(ValueError, match=r"as many atoms as rows \(9\).*it has 10"):
        plots.molecule(atoms().head(9))
    with pytest.raises(ValueError, match="it does not parse"):
        plots.molecule(atoms().assign(smiles="C(("))


def test_a_table_with_markup_stays_text() -> None:
    evil = "<script>alert(1)</script>"
    figure = plots.biomarkers(weights().assign(gene=evil), "x")
    assert evil not in figure.to_html(include_plotlyjs=False)
    assert plots.data_of(figure)["text"].iloc[0].startswith("<script>")


def test_plots_are_imported_when_first_used() -> None:
    code = (
        "import sys, galenic; galenic.plots; galenic.plots.palette.MODEL\n"
        "print([name for name in ('plotly', 'matplotlib', 'anndata', 'rdkit', 'torch') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
