"""galenic beside scanpy and MuData, as their users work: obs, obsm, uns, plots, marker genes, modalities."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad
from commands import galenic as run_galenic
from scipy import sparse
from sklearn.base import clone

import galenic
from galenic.data.simulate.single_cell import bulk_and_cells

pytestmark = pytest.mark.filterwarnings("ignore")
GUIDE = Path(__file__).parents[2] / "docs" / "howto" / "scverse.md"
PREDICTED = ["probability", "sd", "label", "abstain"]


@pytest.fixture(scope="module")
def given() -> tuple[AnnData, AnnData]:
    """Labelled lines, and cells as scanpy's users have them: counts in a layer, ln(1 + x) in X, an embedding."""
    bulk, cells = bulk_and_cells(n_genes=60, n_lines=80, n_cells=150, n_drivers=15, shift=0.3, seed=2)
    cells.layers["counts"][7] = 0
    counts = np.asarray(cells.layers["counts"], dtype=np.float64)
    cells.X = np.log1p(1e4 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
    cells.obsm["X_umap"] = np.random.default_rng(0).normal(size=(150, 2))
    cells.obs = cells.obs.rename(columns={"label": "truth"})
    for adata in (bulk, cells):
        adata.uns.clear()
    return bulk, cells


@pytest.fixture(scope="module")
def model(given: tuple[AnnData, AnnData]) -> galenic.CellLogistic:
    bulk, cells = given
    return galenic.CellLogistic().fit(bulk, target=cells)


@pytest.fixture(scope="module")
def predicted(given: tuple[AnnData, AnnData], model: galenic.CellLogistic) -> AnnData:
    """The cells with what was predicted in obs, as the guide tells to do it."""
    cells = given[1].copy()
    table = model.predict(cells)
    cells.obs = cells.obs.join(table)
    cells.obs["state"] = table["label"].map({1: "sensitive", 0: "resistant"}).astype("category")
    cells.uns["galenic"] = {"model": repr(model), "version": galenic.__version__}
    return cells


def test_predictions_go_into_obs_by_the_names_of_the_cells(predicted: AnnData) -> None:
    assert set(PREDICTED) <= set(predicted.obs)
    empty = predicted.obs.iloc[7]
    assert bool(empty["abstain"])
    assert pd.isna(empty["probability"])
    assert predicted.obs["probability"].drop(empty.name).notna().all()


def test_h5ad_comes_back_as_it_was(predicted: AnnData, tmp_path: Path) -> None:
    predicted.write_h5ad(tmp_path / "cells.h5ad")
    back = read_h5ad(tmp_path / "cells.h5ad")
    pd.testing.assert_frame_equal(back.obs, predicted.obs)
    assert back.uns["galenic"]["version"] == galenic.__version__


def test_counts_logarithms_sparse_backed_and_views_say_the_same(
    given: tuple[AnnData, AnnData], model: galenic.CellLogistic, tmp_path: Path
) -> None:
    cells = given[1]
    expected = model.predict(cells)["probability"].to_numpy()
    counts, thin = cells.copy(), cells.copy()
    counts.X = counts.layers["counts"].copy()
    thin.X = sparse.csr_matrix(thin.X)
    thin.write_h5ad(tmp_path / "cells.h5ad")
    same = [counts, thin, read_h5ad(tmp_path / "cells.h5ad", backed="r")]
    for form in same:
        np.testing.assert_allclose(model.predict(form)["probability"], expected, atol=1e-6)
    np.testing.assert_allclose(model.predict(cells[::3])["probability"], expected[::3], atol=1e-12)
    same[-1].file.close()


def test_cells_of_which_only_raw_has_the_genes_are_told_so(
    given: tuple[AnnData, AnnData], model: galenic.CellLogistic
) -> None:
    cells = given[1].copy()
    cells.raw = cells
    few = cells[:, :10].copy()
    with pytest.raises(ValueError, match=r"half of the 60 features.*Pass cells\.raw\.to_adata\(\)"):
        model.predict(few)
    expected = model.predict(given[1])
    pd.testing.assert_frame_equal(model.predict(few.raw.to_adata()), expected)


def test_scanpy_draws_and_ranks_what_was_predicted(predicted: AnnData) -> None:
    sc = pytest.importorskip("scanpy", reason="scanpy is in the extra [sc]")
    import matplotlib as mpl

    mpl.use("Agg")
    cells = predicted.copy()
    for color in (*PREDICTED, "state"):
        assert sc.pl.embedding(cells, basis="umap", color=color, show=False) is not None
    sc.tl.rank_genes_groups(cells, "state", method="t-test")
    table = sc.get.rank_genes_groups_df(cells, "sensitive")
    figure = galenic.plots.effects(table)
    assert {trace.name for trace in figure.data} <= {"rise", "fall", "not told apart"}
    assert sum(len(trace.x) for trace in figure.data) == cells.n_vars
    states = galenic.plots.cells(cells, color="state")
    own = dict(zip(cells.obs["state"].cat.categories, cells.uns["state_colors"], strict=True))
    drawn = {trace.name: trace.marker.color for trace in states.data}
    assert {name: drawn[name] for name in own} == own
    assert len(states.data[0].x) == 1  # the cell without counts
    mpl.pyplot.close("all")


def test_cells_are_drawn_by_probability_gene_and_by_every_category(predicted: AnnData) -> None:
    figure = galenic.plots.cells(predicted)
    assert {trace.name: len(trace.x) for trace in figure.data} == {"no counts": 1, "called": 149}
    gene = galenic.plots.cells(predicted, color=predicted.var_names[3], basis="umap")
    np.testing.assert_allclose(sorted(gene.data[-1].marker.color), sorted(np.asarray(predicted.X)[:, 3]), atol=1e-4)
    with pytest.raises(ValueError, match="basis should be a key of obsm; it has X_umap"):
        galenic.plots.cells(predicted, basis="X_pca")
    with pytest.raises(ValueError, match="did you mean 'probability'"):
        galenic.plots.cells(predicted, color="probabilty")


def test_mudata_is_read_by_its_modality_of_expression(
    given: tuple[AnnData, AnnData], model: galenic.CellLogistic, tmp_path: Path
) -> None:
    mudata = pytest.importorskip("mudata", reason="MuData is in the extra [sc]")
    cells = given[1]
    both = mudata.MuData({"rna": cells.copy(), "protein": cells[:, :5].copy()})
    expected = model.predict(cells)
    pd.testing.assert_frame_equal(model.predict(both.mod["rna"]), expected)
    with pytest.raises(TypeError, match=r"received MuData of .*rna.*Pass that of expression: cells\.mod\['rna'\]"):
        model.predict(both)
    both.mod["rna"].obs = both.mod["rna"].obs.join(expected)
    both.update()
    both.write(tmp_path / "both.h5mu")
    back = mudata.read_h5mu(tmp_path / "both.h5mu")
    pd.testing.assert_frame_equal(back.mod["rna"].obs[PREDICTED], expected)


def test_mudata_without_expression_is_refused(given: tuple[AnnData, AnnData], tmp_path: Path) -> None:
    mudata = pytest.importorskip("mudata", reason="MuData is in the extra [sc]")
    cells = given[1]
    mudata.MuData({"atac": cells.copy(), "protein": cells[:, :5].copy()}).write(tmp_path / "odd.h5mu")
    from galenic.data.read.matrices import open_h5ad

    with pytest.raises(ValueError, match=r"called rna or gex; odd\.h5mu has .*atac.*write_h5ad"):
        open_h5ad(tmp_path / "odd.h5mu")


def test_a_pipeline_clones_sets_and_fits(given: tuple[AnnData, AnnData], model: galenic.CellLogistic) -> None:
    bulk, cells = given
    copied = clone(model).set_params(seed=5)
    assert (copied.seed, model.seed) == (5, 0)
    with pytest.raises(ValueError, match="this CellLogistic is not fitted; call fit"):
        copied.predict(cells)
    assert copied.fit(bulk, target=cells) is copied


def test_a_figure_stays_out_of_pyplot(predicted: AnnData) -> None:
    mpl = pytest.importorskip("matplotlib", reason="matplotlib is in the extra [sc]")
    paper = galenic.plots.cells(predicted, backend="matplotlib")
    assert isinstance(paper, mpl.figure.Figure)
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or paper not in map(pyplot.figure, pyplot.get_fignums())


def test_the_guide_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("scanpy", "mudata", "matplotlib"):
        pytest.importorskip(name, reason=f"{name} is in the extra [sc]")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for language, block in re.findall(r"^```(sh|python)\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.S | re.M):
        if language == "python":
            exec(compile(block, GUIDE.name, "exec"), names)
        for line in block.splitlines() if language == "sh" else []:
            done = run_galenic(*shlex.split(line)[1:], cwd=tmp_path)
            assert done.returncode == 0, done.stderr
    sys.modules["matplotlib.pyplot"].close("all")
    written = pd.read_csv(tmp_path / "from-mudata.csv", index_col="cell")
    np.testing.assert_allclose(written["probability"], names["predicted"]["probability"], atol=1e-6)
    assert (tmp_path / "cells.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert np.isfinite(names["cells"].obsm["X_scatd"]).all()
    assert names["cells"].obsp["connectivities"].shape == (120, 120)
