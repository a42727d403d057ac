"""The Perturb page: what it computes, beside floors and measurements, and what it says of what nobody knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

pytest.importorskip("streamlit", reason="streamlit is in the extra [app]")

from streamlit.testing.v1 import AppTest

from galenic.app import perturbing
from galenic.app.demo import folders
from galenic.data.simulate import perturbations
from galenic.models.perturbation.beside import beside
from galenic.models.perturbation.floors import ContextMeanEffect, GlobalMeanEffect, MeanShift


@pytest.fixture(scope="module")
def cells() -> AnnData:
    return perturbations(n_contexts=4, n_perturbations=5, n_genes=30, n_cells=4, interaction=0.5)


@pytest.fixture(scope="module")
def fitted(cells: AnnData) -> Any:
    is_kept_out = (cells.obs["cell_type"] == "type A") & (cells.obs["perturbation"] == "P01")
    return MeanShift().fit(cells[~is_kept_out].copy())


def asked(context: str, perturbation: str) -> pd.DataFrame:
    return pd.DataFrame({"context": [context], "perturbation": [perturbation]})


@pytest.mark.parametrize("floor", [MeanShift, ContextMeanEffect, GlobalMeanEffect])
def test_floors_beside_are_the_floors_themselves(floor: Any, cells: AnnData, fitted: Any) -> None:
    alone = floor()
    alone._restore(fitted.spec_, fitted.arrays_)
    for question in (asked("type A", "P01"), asked("type B", "P03")):
        by_itself = alone.predict(cells, question).layers["effect"][0]
        found = beside(fitted, cells, question).floors[floor.__name__]
        np.testing.assert_allclose(found, by_itself, atol=1e-5)


def test_spread_is_that_of_measured_effects_elsewhere(cells: AnnData, fitted: Any) -> None:
    found = beside(fitted, cells, asked("type A", "P01"))
    means = pd.DataFrame(cells.X, columns=cells.var_names).groupby(
        [cells.obs["cell_type"].to_numpy(), cells.obs["perturbation"].to_numpy()]
    ).mean()  # fmt: skip
    others = [means.loc[(c, "P01")] - means.loc[(c, "control")] for c in ("type B", "type C", "type D")]
    np.testing.assert_allclose(found.spread, np.std(others, axis=0, ddof=1), atol=1e-4)
    assert found.n_contexts == 3
    assert found.fitted is None


def test_measured_effects_are_means_less_controls(cells: AnnData, fitted: Any) -> None:
    found = perturbing.effect_of(fitted, cells, "type A", "P01")
    is_in = cells.obs["cell_type"] == "type A"
    treated, control = (
        cells[is_in & (cells.obs["perturbation"] == name)].X.mean(axis=0) for name in ("P01", "control")
    )
    table = found.genes.set_index("gene").loc[cells.var_names]
    np.testing.assert_allclose(table["measured"], treated - control, atol=1e-5)
    assert not found.is_fitted
    assert found.genes["effect"].abs().is_monotonic_decreasing


def test_a_condition_of_the_fit_is_told_as_such(cells: AnnData, fitted: Any) -> None:
    found = perturbing.effect_of(fitted, cells, "type B", "P01")
    said, better = perturbing.verdict(found.scores, is_fitted=found.is_fitted)
    assert found.is_fitted
    assert said.startswith("The model has learned from this very condition")
    assert not better


def test_what_can_be_judged_is_offered_first(cells: AnnData, fitted: Any) -> None:
    known = perturbing.choices(fitted, cells)
    assert known.measured == [("type A", "P01")]
    assert known.contexts == ["type A", "type B", "type C", "type D"]
    assert known.doses == []


def test_a_perturbation_that_nobody_knows_is_told(cells: AnnData, fitted: Any) -> None:
    found = perturbing.effect_of(fitted, cells, "type A", "mystery")
    assert not found.is_known
    assert found.scores is None
    assert "spread" not in found.genes
    assert "says nothing of this one" in perturbing.doubts(found, "mystery")[0]
    assert "the usual drug is predicted" in perturbing.headline(found, "type A", "mystery")
    slip = perturbing.effect_of(fitted, cells, "type A", "p-01")
    assert "Did you mean P01" in perturbing.doubts(slip, "p-01")[0]
    known = perturbing.effect_of(fitted, cells, "type A", "P01")
    assert perturbing.doubts(known, "P01") == []


def test_steadiness_grows_with_size_and_falls_with_spread(rng: np.random.Generator) -> None:
    effect, spread = rng.normal(size=50), rng.uniform(0.1, 1, size=50)
    base = perturbing.steadiness(effect, spread)
    np.testing.assert_allclose(perturbing.steadiness(2 * effect, spread), 2 * base)
    np.testing.assert_allclose(perturbing.steadiness(effect, 2 * spread), base / 2)
    assert (perturbing.steadiness(effect, np.zeros(50)) == 0).all()


def test_the_headline_names_the_largest_of_either_side(cells: AnnData, fitted: Any) -> None:
    found = perturbing.effect_of(fitted, cells, "type A", "P01")
    said = perturbing.headline(found, "type A", "P01", n=1)
    table = found.genes
    assert table.loc[table["effect"].idxmax(), "gene"] in said
    assert table.loc[table["effect"].idxmin(), "gene"] in said


def opened() -> AppTest:
    def script() -> None:
        from galenic.app.main import shown

        shown("perturb")()

    return AppTest.from_function(script, default_timeout=60).run()


def test_the_page_answers_at_first_start_and_for_a_new_name() -> None:
    app = opened()
    assert not app.exception
    assert not app.error
    assert "is predicted to raise most" in app.success[0].value
    assert any("correlate at" in one.value for one in [*app.info, *app.warning])
    assert {"Answer", "Genes", "Against what was measured"} <= {one.value for one in app.header}


def test_an_upload_is_predicted_and_one_without_controls_refused(cells: AnnData, tmp_path: Path) -> None:
    app = opened()
    app.radio(key="perturb-source").set_value("My own file").run()
    assert not app.success
    shipped = anndata.read_h5ad(folders()["perturbation"] / "cells.h5ad")
    for keep, word in ((shipped.obs["control"], "is predicted to"), (~shipped.obs["control"], "")):
        shipped[keep.to_numpy(bool)].copy().write_h5ad(tmp_path / "own.h5ad")
        content = (tmp_path / "own.h5ad").read_bytes()
        app.file_uploader(key="perturb-upload").set_value(("own.h5ad", content, "application/octet-stream")).run()
        assert not app.exception
        assert len(app.error) == (not word)
        assert word in "".join(one.value for one in app.success)


def test_shipped_conditions_can_be_judged() -> None:
    from galenic.data.read.matrices import open_h5ad
    from galenic.models.base import load

    folder = folders()["perturbation"]
    assert len(perturbing.choices(load(folder), open_h5ad(folder / "cells.h5ad")).measured) == 16
