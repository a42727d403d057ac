"""Enrichment of dimensions: Fisher's test and the linear model are those of scipy; corrected over everything."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from galenic.models.deeppert.enrichment import enrich, unique_pathways


@pytest.fixture
def weights(rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame(rng.normal(size=(60, 4)), index=[f"G{i}" for i in range(60)])


def pathways(rng: np.random.Generator) -> dict[str, list[str]]:
    return {f"P{k}": [f"G{i}" for i in rng.choice(80, size=10 + k, replace=False)] for k in range(6)}


def test_both_tests_are_those_of_scipy(weights: pd.DataFrame, rng: np.random.Generator) -> None:
    sets = pathways(rng)
    table = enrich(weights, sets, top=15, minimum=2)
    assert len(table) == 24
    for row in table.itertuples():
        inside = weights.index.isin(sets[row.pathway])
        top = weights[row.dimension].abs().rank(ascending=False).to_numpy() <= 15
        counts = [[(inside & top).sum(), (~inside & top).sum()], [(inside & ~top).sum(), (~inside & ~top).sum()]]
        odds, p = stats.fisher_exact(counts, alternative="greater")
        assert (row.n, row.n_top) == (inside.sum(), (inside & top).sum())
        assert row.p_value == pytest.approx(p, rel=1e-9)
        assert row.odds == pytest.approx(odds)
        line = stats.linregress(inside.astype(float), weights[row.dimension])
        assert row.t == pytest.approx(line.slope / line.stderr, rel=1e-9)
        assert row.p_ulm == pytest.approx(line.pvalue, rel=1e-9)
    np.testing.assert_allclose(table["q_value"], stats.false_discovery_control(table["p_value"]))
    np.testing.assert_allclose(table["q_ulm"], stats.false_discovery_control(table["p_ulm"]))


def test_planted_pathways_are_found_and_counted_once(weights: pd.DataFrame) -> None:
    own = weights.index[:10]
    weights.loc[own] += 4.0  # in all four dimensions
    table = enrich(weights, {"planted": own, "other": weights.index[30:45]}, top=10)
    assert set(table.loc[table["q_value"] < 0.01, "pathway"]) == {"planted"}
    assert (table.loc[table["pathway"] == "planted", "t"] > 5).all()
    assert (table["q_value"] < 0.05).sum() == 4
    assert unique_pathways(table) == 1
    fallen = enrich(-weights, {"planted": own}, top=10)
    assert (fallen["t"] < -5).all()
    assert (fallen["p_value"] < 1e-3).all()


def test_random_pathways_are_as_rare_as_they_should_be(rng: np.random.Generator) -> None:
    weights = pd.DataFrame(rng.normal(size=(300, 20)), index=[f"G{i}" for i in range(300)])
    sets = {f"P{k}": [f"G{i}" for i in rng.choice(300, size=30, replace=False)] for k in range(100)}
    table = enrich(weights, sets, top=50)
    assert (table["p_ulm"] < 0.05).mean() == pytest.approx(0.05, abs=0.015)
    assert (table["p_value"] < 0.05).mean() < 0.06  # counts are whole numbers: the test can only be stricter
    assert unique_pathways(table) <= 2


def test_sizes_may_come_from_another_table(weights: pd.DataFrame) -> None:
    other = weights.abs()[::-1].set_axis(weights.index, axis=0)
    table = enrich(weights, {"P": weights.index[:10]}, absolute=other, top=10)
    top = weights.index[:10]
    expected = [int(other[k].nlargest(10).index.isin(top).sum()) for k in table["dimension"]]
    assert table["n_top"].tolist() == expected


def test_what_cannot_be_tested_is_refused(weights: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"5 genes or more of the 60 .*; none of 1 does\. Name genes"):
        enrich(weights, {"P": ["X", "Y"]}, top=10)
    with pytest.raises(ValueError, match=r"top should be 1 to 59 genes.*received 60"):
        enrich(weights, {"P": weights.index[:10]}, top=60)
    with pytest.raises(ValueError, match="genes of the weights must be unique"):
        enrich(weights.set_axis(["G0"] * 60, axis=0), {"P": ["G0"]}, top=10)
