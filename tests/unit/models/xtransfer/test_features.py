"""Inputs of the correction of genes: against plain loops, and without the own measurement."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import galenic
from galenic.data.simulate import perturbations
from galenic.models.perturbation.known import Conditions, Known
from galenic.models.perturbation.stacked import PARTS, simple_effects
from galenic.models.xtransfer.features import NAMES, gene_features, learn
from galenic.models.xtransfer.lesson import Lesson, lesson_of


def cells() -> AnnData:
    """Two conditions of twelve are lacking, so that numbers of sources differ: of P02 there is none elsewhere."""
    adata = perturbations(n_contexts=3, n_perturbations=4, n_genes=7, n_cells=3, interaction=1.0, seed=4)
    where, what = adata.obs["cell_type"], adata.obs["perturbation"]
    lacking = ((where == "type B") & (what == "P01")) | ((where != "type C") & (what == "P02"))
    return adata[~lacking].copy()


@pytest.fixture(scope="module")
def lesson() -> Lesson:
    return lesson_of(galenic.StackedShift().fit(cells()))


def plain(lesson: Lesson, row: int, gene: int) -> dict[str, float]:
    """Inputs of one gene of one condition, word for word."""
    known, told = lesson.known, lesson.told
    context, what = lesson.conditions.context[row], lesson.conditions.perturbation[row]
    size, unit = told["effect_size"][0], told["control_size"][0]
    sources = [k for k in range(len(known.at)) if known.at.perturbation[k] == what and known.at.context[k] != context]
    values = [known.effects[k, gene] for k in sources]
    own = known.controls[context]
    places = [known.at.context[k] for k in sources]
    alike = [np.corrcoef(own, known.controls[place])[0, 1] for place in places]
    nearest = places[int(np.argmax(alike))] if sources else context
    found = {name: lesson.parts[number, row, gene] / size for number, name in enumerate(PARTS)}
    return found | {
        "start": lesson.start[row, gene] / size,
        "spread of sources": np.std(values) / size if sources else 0.0,
        "lowest source": min(values, default=0) / size,
        "highest source": max(values, default=0) / size,
        "control": (own[gene] - known.controls.mean()) / unit,
        "control less that of the nearest source": (own[gene] - known.controls[nearest, gene]) / unit,
        "control less that of the sources": (
            own[gene] - np.mean([known.controls[p, gene] for p in places or [context]])
        )
        / unit,
        "slope of the gene": told["gene_slope"][gene],
        "spread of the gene": told["gene_spread"][gene] / size,
    }


def test_they_are_what_plain_loops_say(lesson: Lesson) -> None:
    found = lesson.features(np.arange(len(lesson.own)))
    assert found.shape == (9, 7, len(NAMES))
    assert found.dtype == np.float32
    for row in range(9):
        for gene in range(7):
            expected = plain(lesson, row, gene)
            assert list(expected) == list(NAMES)
            np.testing.assert_allclose(found[row, gene], list(expected.values()), rtol=1e-4, atol=1e-5)


def with_own(known: Known, asked: Conditions, effect: np.ndarray) -> Known:
    """The same measurements, but for those of one condition."""
    own = known.itself(asked)[0]
    effects, means = known.effects.copy(), known.means.copy()
    effects[own], means[own] = effect, effect
    return replace(known, effects=effects, means=means)


def test_the_own_measurement_is_never_inside(lesson: Lesson, rng: np.random.Generator) -> None:
    for row in range(len(lesson.own)):
        asked, controls = lesson.conditions.take(np.array([row])), lesson.controls[[row]]
        told, found = lesson.told, []
        for known in (lesson.known, with_own(lesson.known, asked, rng.normal(size=7) * 1e6)):
            parts = simple_effects(asked, known, controls, "pearson")[0]
            parts = np.concatenate([parts, lesson.parts[4:, [row]]])
            found.append(gene_features(asked, known, controls, parts, lesson.start[[row]], told))
        np.testing.assert_array_equal(*found)


def test_slopes_and_spreads_are_those_of_excess_effects(lesson: Lesson) -> None:
    known, told = lesson.known, learn(lesson.conditions, lesson.known)
    own, elsewhere = [], []
    for context, what in zip(known.at.context, known.at.perturbation, strict=True):

        def excess(where: int, p: int) -> np.ndarray:
            here = known.at.context == where
            others = known.effects[here & (known.at.perturbation != p)].mean(axis=0)
            return known.effects[here & (known.at.perturbation == p)][0] - others

        places = [c for c, p in zip(known.at.context, known.at.perturbation, strict=True) if p == what and c != context]
        if places:
            own.append(excess(context, what))
            elsewhere.append(np.mean([excess(place, what) for place in places], axis=0))
    x, y = np.array(elsewhere), np.array(own)
    squares = (x**2).sum(axis=0)
    np.testing.assert_allclose(told["gene_slope"], (x * y).sum(axis=0) / (squares + np.median(squares)), rtol=1e-4)
    np.testing.assert_allclose(told["gene_spread"], y.std(axis=0), rtol=1e-4)
    assert told["effect_size"][0] == pytest.approx(np.sqrt((known.effects**2).mean()))


def test_a_context_without_controls_is_no_gap() -> None:
    """A source that came with the question, where only treated cells were measured."""
    adata = perturbations(n_contexts=4, n_perturbations=4, n_genes=7, n_cells=3, seed=4)
    where, what = adata.obs["cell_type"], adata.obs["perturbation"]
    train = adata[(where <= "type B") & (what != "P03")].copy()
    given = adata[(where != "type D") | (what == "P03")].copy()
    model = galenic.XTransferCDR(n_networks=2, towers=False).fit(train)
    model.spec_["share_genes"] = 1.0
    asked = pd.DataFrame({"context": ["type A", "type B", "type C"], "perturbation": ["P03", "P01", "P02"]})
    predicted = model.predict(given, asked)
    assert np.isfinite(predicted.X).all()
    known = Known(
        lesson_of(galenic.StackedShift().fit(train)).known.at,
        *(np.zeros((6, 7)), np.ones((6, 7)), np.array([[1.0] * 7, [np.nan] * 7])),
        np.ones(6, dtype=bool),
    )
    conditions = known.at
    parts = np.zeros((len(PARTS), 6, 7))
    told = {name: np.ones(7 if "gene" in name else 1) for name in ("gene_slope", "gene_spread", "effect_size")}
    told |= {"control_mean": np.zeros(1), "control_size": np.ones(1)}
    controls = np.ones((6, 7))
    assert np.isfinite(gene_features(conditions, known, controls, parts, parts[0], told)).all()
