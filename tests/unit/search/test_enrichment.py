"""Enrichment against scipy label by label; planted mechanisms; shuffled labels give chance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from galenic.search import enrichment
from galenic.search.enrichment import benjamini_hochberg


@pytest.fixture
def example(rng):
    ids = np.array([f"d{i:03d}" for i in range(300)])
    labels = ["|".join(rng.choice([f"m{j}" for j in range(25)], rng.integers(1, 3))) for _ in ids]
    annotations = pd.DataFrame({"moa": labels}, index=ids)
    annotations.loc[ids[:40], "moa"] = None
    return pd.DataFrame({"id": ids, "similarity": rng.normal(size=300).round(1)}).sample(
        frac=1, random_state=1
    ), annotations


def test_equals_scipy_label_by_label(example):
    ranking, annotations = example
    table = enrichment(ranking, annotations, k=50)
    known = ranking.merge(annotations.dropna(), left_on="id", right_index=True)
    known = known.sort_values(["similarity", "id"], ascending=[False, True], ignore_index=True)
    assert len(table) == 25
    for _, row in table.iterrows():
        inside = known["moa"].map(lambda label: row["label"] in label.split("|"))  # noqa: B023
        hits = int(inside[:50].sum())
        assert (row["n"], row["n_in_hits"]) == (inside.sum(), hits)
        cross = [[hits, 50 - hits], [inside.sum() - hits, len(known) - 50 - inside.sum() + hits]]
        assert row["p_value"] == pytest.approx(stats.fisher_exact(cross, alternative="greater")[1])
        assert row["odds"] == pytest.approx(stats.fisher_exact(cross)[0])
        test = stats.mannwhitneyu(
            known.loc[inside, "similarity"], known.loc[~inside, "similarity"], method="asymptotic"
        )
        assert row["p_rank"] == pytest.approx(test.pvalue)
        assert row["auroc"] == pytest.approx(test.statistic / inside.sum() / (~inside).sum())
    np.testing.assert_allclose(table["q_value"], stats.false_discovery_control(table["p_value"]))
    np.testing.assert_allclose(table["q_rank"], stats.false_discovery_control(table["p_rank"]))
    assert table["p_value"].is_monotonic_increasing


def test_planted_mimics_and_reversers_are_found(example):
    ranking, annotations = example
    ranking = ranking.set_index("id")["similarity"]
    mimics, reversers = (annotations.index[annotations["moa"].fillna("").str.contains(name)] for name in ("m3", "m17"))
    ranking[mimics] += 3
    ranking[reversers.difference(mimics)] -= 3
    table = enrichment(ranking.reset_index(), annotations, k=30).set_index("label")
    assert table.index[0] == "m3"
    assert table.loc["m3", "q_value"] < 1e-4
    assert table.loc["m17", "auroc"] < 0.2
    assert table.loc["m17", "q_rank"] < 1e-3


def test_shuffled_labels_give_chance():
    p_values = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        annotations = pd.Series(rng.permutation(np.repeat([f"m{j}" for j in range(20)], 10)), index=range(200))
        table = enrichment(pd.DataFrame({"id": range(200), "similarity": rng.normal(size=200)}), annotations)
        p_values.append(table["p_rank"])
    p_values = np.concatenate(p_values)
    assert 0.45 < p_values.mean() < 0.55
    assert 0.03 < (p_values < 0.05).mean() < 0.07


def test_small_sets_and_ids_without_annotation_are_left_out(example):
    ranking, annotations = example
    whole = enrichment(ranking, annotations, k=50)
    few = enrichment(ranking, annotations, k=50, minimum=15)
    assert (few["n"] >= 15).all()
    assert 0 < len(few) < len(whole)
    more = pd.concat([ranking, pd.DataFrame({"id": ["unknown"] * 1, "similarity": 99.0})])
    pd.testing.assert_frame_equal(enrichment(more, annotations, k=50), whole)
    assert len(enrichment(ranking, annotations, minimum=300)) == 0
    rows = annotations["moa"].str.split("|").explode()  # one row a label says the same as one row an id
    pd.testing.assert_frame_equal(enrichment(ranking, rows, k=50), whole)


def test_undefined_rank_tests_are_nan():
    table = enrichment(
        pd.DataFrame({"id": list("abc"), "similarity": [1.0, 2.0, 3.0]}), pd.Series("m", index=list("abc"))
    )
    assert table[["auroc", "p_rank", "q_rank"]].isna().all(axis=None)  # nothing without the label
    flat = enrichment(
        pd.DataFrame({"id": list("abcd"), "similarity": 1.0}), pd.Series(list("mmmn"), index=list("abcd"))
    )
    assert flat["auroc"].tolist() == [0.5]
    assert flat["p_rank"].isna().all()


@pytest.mark.parametrize("n", [0, 1, 50])
def test_benjamini_hochberg_equals_scipy(rng, n):
    p_values = rng.random(n)
    np.testing.assert_allclose(benjamini_hochberg(p_values), stats.false_discovery_control(p_values) if n else [])


def test_refusals(example):
    ranking, annotations = example
    with pytest.raises(ValueError, match="needs the column"):
        enrichment(ranking.drop(columns="id"), annotations)
    with pytest.raises(ValueError, match="needs the column"):
        enrichment(ranking, annotations, label="target")
    with pytest.raises(ValueError, match="name each id once; 300 of 600 rows repeat"):
        enrichment(pd.concat([ranking, ranking]), annotations)
    with pytest.raises(ValueError, match="none of 300 ranked"):
        enrichment(ranking, annotations.set_axis([f"x{i}" for i in range(300)]))
    with pytest.raises(ValueError, match="at least 1; received 0"):
        enrichment(ranking, annotations, k=0)
    with pytest.raises(ValueError, match="similarity should be finite; 260 of 260"):
        enrichment(ranking.assign(similarity=np.nan), annotations)
