"""Retrieval against plain loops, scikit-learn and hand-worked cases; laws of ranking; measured profiles."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from galenic.evaluate import (
    METRICS,
    RETRIEVAL_METRICS,
    compare,
    expected_average_precision,
    external,
    greater_is_better,
    map_significance,
    paired,
    retrieval,
    retrieval_by_query,
)
from galenic.evaluate import similarity as similarities
from galenic.evaluate.chance import random_average_precision
from galenic.evaluate.ranking import Ranked, ranked

STRATA = {
    "same cell": ("cell", True),
    "different cell": ("cell", False),
    "same cell, other plate": [("cell", True), ("plate", False)],
}


def example(seed, n=60, ties=False, missing=True):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "drug": rng.choice(list("abcdefgh"), n),
            "cell": rng.choice(["A375", "PC3", "MCF7"], n),
            "plate": rng.integers(0, 4, n),
        }
    )
    if missing:
        table["drug"] = table["drug"].mask(rng.random(n) < 0.1)
        table["cell"] = table["cell"].mask(rng.random(n) < 0.1)
    embedding = rng.normal(size=(n, 5)) + 0.8 * table["drug"].map(dict(zip("abcdefgh", range(8), strict=True))).fillna(
        0
    ).to_numpy()[:, None] * rng.normal(size=5)
    similarity = rng.normal(size=(n, n))
    return table, embedding, similarity.round(1) if ties else similarity


def values_of(label, separator):
    return set(str(label).split(separator)) if separator else {label}


def naive_pairs(table, same, different, conditions, separator):
    """Matches and non-matches by three nested questions for each pair."""
    columns = [*same, *different, *(name for name, _ in conditions)]
    match, other = np.zeros((2, len(table), len(table)), dtype=bool)
    rows = table.to_dict("records")
    for i, one in enumerate(rows):
        for j, two in enumerate(rows):
            if i == j or any(pd.isna(row[column]) for row in (one, two) for column in columns):
                continue
            if any((one[name] == two[name]) is not wanted for name, wanted in conditions):
                continue
            shared = all(values_of(one[name], separator) & values_of(two[name], separator) for name in same)
            other[i, j] = not shared
            match[i, j] = shared and all(one[name] != two[name] for name in different)
    return match, other


def naive(table, similarity, match, other, same):
    """Every metric with loops over queries and matches."""
    quantiles, labels, precisions, normalised = [], [], [], []
    hits, recalls = {1: [], 5: [], 10: []}, {1: [], 5: [], 10: []}
    for i in range(len(table)):
        positives, negatives = similarity[i, match[i]], similarity[i, other[i]]
        if not len(positives) or not len(negatives):
            continue
        positions, terms = [], []
        for value in positives:
            above = (negatives > value).sum() + (negatives == value).sum() / 2
            own = (positives > value).sum() + ((positives == value).sum() + 1) / 2
            quantiles.append(above / len(negatives))
            labels.append(tuple(table.iloc[i][same]))
            positions.append(own + above)
            terms.append(own / (own + above))
        total, matches = len(positives) + len(negatives), len(positives)
        expected = np.mean(
            [1 / k + (k - 1) / k * (matches - 1) / (total - 1) if total > 1 else 1 for k in range(1, total + 1)]
        )
        precisions.append(np.mean(terms))
        normalised.append((np.mean(terms) - expected) / (1 - expected))
        for k in hits:
            hits[k].append(min(positions) <= k)
            recalls[k].append(np.mean(np.array(positions) <= k))
    quantiles = np.array(quantiles)
    by_label = pd.Series(quantiles).groupby(pd.Series(labels, dtype=object)).mean() if len(quantiles) else []
    return {
        "median_quantile": np.median(quantiles),
        "recall_at_1pct": np.mean(quantiles <= 0.01),
        "recall_at_10pct": np.mean(quantiles <= 0.1),
        "auroc": 1 - np.mean(by_label),
        "auroc_by_pair": 1 - np.mean(quantiles),
        "map": np.mean(precisions),
        "map_normalised": np.mean(normalised),
        **{f"hit_at_{k}": np.mean(found) for k, found in hits.items()},
        **{f"recall_at_{k}": np.mean(found) for k, found in recalls.items()},
    }


def scores(table, group="all"):
    return table[table["group"] == group].set_index("metric")["value"]


@pytest.mark.parametrize("different", [[], ["plate"]], ids=["any", "other plate"])
@pytest.mark.parametrize("ties", [False, True], ids=["no ties", "ties"])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_loop_in_every_stratum(seed, ties, different):
    table, _, similarity = example(seed, ties=ties)
    result = retrieval(table, similarity=similarity, same=["drug"], different=different, strata=STRATA)
    rules = {"all": [], **{name: [rule] if isinstance(rule, tuple) else rule for name, rule in STRATA.items()}}
    for group, conditions in rules.items():
        match, other = naive_pairs(table, ["drug"], different, conditions, None)
        expected = naive(table, similarity, match, other, ["drug"])
        assert scores(result, group).to_dict() == pytest.approx(expected, abs=1e-12)
        n = result[result["group"] == group].set_index("metric")["n"]
        asked = match.any(axis=1) & other.any(axis=1)
        assert n["median_quantile"] == match[asked].sum()
        assert n["map"] == asked.sum()
        assert n["auroc"] == table.loc[asked, "drug"].nunique()


@pytest.mark.parametrize("seed", range(3))
def test_several_columns_and_sets_of_labels_equal_the_loop(seed):
    rng = np.random.default_rng(seed)
    table, _, similarity = example(seed, n=50)
    table["moa"] = ["|".join(rng.choice(list("xyzuvw"), rng.integers(1, 3), replace=False)) for _ in range(50)]
    table.loc[:4, "moa"] = None
    for same, separator in ((["moa"], "|"), (["moa", "cell"], "|"), (["drug", "cell"], None)):
        result = retrieval(table, similarity=similarity, same=same, different=["plate"], separator=separator)
        match, other = naive_pairs(table, same, ["plate"], [], separator)
        expected = naive(table, similarity, match, other, same)
        assert scores(result).to_dict() == pytest.approx(expected, abs=1e-12)


def test_average_precision_equals_sklearn_without_ties(rng):
    table, _, similarity = example(0, missing=False)
    queries = retrieval_by_query(table, similarity=similarity, same=["drug"])
    for _, row in queries.iterrows():
        others = np.arange(len(table)) != row["row"]
        truth = (table["drug"] == row["drug"])[others]
        assert row["ap"] == pytest.approx(average_precision_score(truth, similarity[row["row"], others]))
        assert 1 - row["mean_quantile"] == pytest.approx(roc_auc_score(truth, similarity[row["row"], others]))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_an_embedding_equals_its_similarity(metric, dtype):
    table, embedding, _ = example(1)
    embedding = embedding.astype(dtype)
    exact = embedding.astype(np.float64)
    unit = exact / np.linalg.norm(exact, axis=1, keepdims=True)
    distance = np.linalg.norm(exact[:, None] - exact[None], axis=2)
    by_hand = unit @ unit.T if metric == "cosine" else -distance
    left = retrieval(table, embedding, metric=metric, same=["drug"], strata=STRATA)
    right = retrieval(table, similarity=by_hand, same=["drug"], strata=STRATA)
    # Single precision may order two of the 3,600 pairs differently.
    np.testing.assert_allclose(left["value"], right["value"], atol=1e-12 if dtype == np.float64 else 2e-3)


@pytest.mark.parametrize("exact", [True, False])
def test_blocks_of_rows_change_nothing(exact, monkeypatch):
    table, embedding, _ = example(2)
    whole = retrieval(table, embedding, same=["drug"], strata=STRATA, exact=exact)
    monkeypatch.setattr(similarities, "BLOCK", 7 * len(table))
    pd.testing.assert_frame_equal(retrieval(table, embedding, same=["drug"], strata=STRATA, exact=exact), whole)


@given(seed=st.integers(0, 10_000), ties=st.booleans())
@settings(max_examples=20, deadline=None)
def test_order_of_rows_and_increasing_functions_change_nothing(seed, ties):
    table, _, similarity = example(seed, n=40, ties=ties)
    whole = retrieval(table, similarity=similarity, same=["drug"], strata=STRATA)["value"].to_numpy()
    order = np.random.default_rng(seed).permutation(40)
    moved = retrieval(table.iloc[order], similarity=similarity[np.ix_(order, order)], same=["drug"], strata=STRATA)
    np.testing.assert_allclose(moved["value"], whole, atol=1e-12)
    bent = retrieval(table, similarity=np.exp(2 * similarity) + 7, same=["drug"], strata=STRATA)
    np.testing.assert_allclose(bent["value"], whole, atol=1e-12)


def test_a_random_embedding_is_at_chance(rng):
    table = pd.DataFrame({"drug": np.arange(600) // 4})
    result = retrieval(table, rng.normal(size=(600, 20)), same=["drug"])
    found = scores(result)
    assert found["auroc"] == pytest.approx(0.5, abs=0.03)
    assert found["median_quantile"] == pytest.approx(0.5, abs=0.06)
    assert found["map_normalised"] == pytest.approx(0, abs=0.01)
    assert found["map"] == pytest.approx(expected_average_precision(np.array([3]), np.array([596]))[0], abs=0.01)
    # A constant similarity cannot tell anything apart: chance, not best and not worst.
    flat = scores(retrieval(table, similarity=np.ones((600, 600)), same=["drug"]))
    assert flat["auroc"] == 0.5
    assert flat["map"] == pytest.approx(2 / 300)  # mid-ranks: the middle of 3 among 599


def test_a_perfect_embedding_has_the_best_values():
    table = pd.DataFrame({"drug": np.arange(40) // 2})
    embedding = np.repeat(np.eye(20), 2, axis=0) + 0.01
    found = scores(retrieval(table, embedding, same=["drug"]))
    for metric, value in found.items():
        assert value == pytest.approx(RETRIEVAL_METRICS[metric].best)
    worst = scores(retrieval(table, similarity=-(embedding @ embedding.T), same=["drug"]))
    for metric in ("median_quantile", "recall_at_1pct", "auroc", "map", "hit_at_1"):
        assert bool(RETRIEVAL_METRICS[metric].best > worst[metric]) is greater_is_better(metric)


def test_the_two_weights_differ_by_the_size_of_drugs():
    """Drug a (3 profiles) is found perfectly and b (2 profiles) is not found: by label 1/2, by pair 6 of 8."""
    table = pd.DataFrame({"drug": list("aaabbc")})
    similarity = np.zeros((6, 6))
    similarity[:3, :3] = 1
    similarity[3, 4] = similarity[4, 3] = -1
    found = scores(retrieval(table, similarity=similarity, same=["drug"]))
    assert found["auroc"] == pytest.approx(0.5)
    assert found["auroc_by_pair"] == pytest.approx(0.75)


def test_undefined_is_nan_with_its_n():
    table = pd.DataFrame({"drug": list("aabb"), "cell": ["x", "y", "x", "y"]})
    result = retrieval(table, np.eye(4) + 0.1, same=["drug"], strata={"same cell": ("cell", True)})
    none = result[result["group"] == "same cell"]
    assert none["value"].isna().all()
    assert (none["n"] == 0).all()
    only = retrieval(table.assign(drug="a"), np.eye(4), same=["drug"])
    assert only["value"].isna().all()  # there is nothing else to find
    assert (only["n"] == 0).all()
    assert len(retrieval_by_query(table.iloc[:0], np.zeros((0, 3)), same=["drug"])) == 0


def test_the_input_is_left_alone():
    table, embedding, similarity = example(3)
    before = table.copy(), embedding.copy(), similarity.copy()
    retrieval(table, similarity=similarity, same=["drug"])
    retrieval(table, embedding, same=["drug"], metric="euclidean")
    external(table, similarity=similarity, label="drug")
    pd.testing.assert_frame_equal(table, before[0])
    np.testing.assert_array_equal(embedding, before[1])
    np.testing.assert_array_equal(similarity, before[2])


@given(seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_histograms_agree_with_sorting(seed):
    rng = np.random.default_rng(seed)
    similarity = rng.normal(size=(5, 3000)).astype(np.float32)
    match = rng.random((5, 3000)) < 0.01
    exact, binned = (ranked(similarity, match, ~match, exact=choice) for choice in (True, False))
    np.testing.assert_array_equal(exact.own, binned.own)
    # At most half of the non-matches that share a bin, of which there may be a few of 3,000.
    assert np.abs(exact.quantile - binned.quantile).max() <= 2 / 3000
    assert np.abs(exact.quantile - binned.quantile).mean() < 3e-5


def test_histograms_with_equal_and_outlying_similarities():
    similarity = np.array([[2.0, 1.0, 1.0, 1.0, 0.0, 1.0]])
    match = np.array([[True, False, False, False, True, True]])
    for exact in (True, False):
        np.testing.assert_array_equal(ranked(similarity, match, ~match, exact=exact).quantile, [0, 1, 0.5])


def test_histograms_score_a_table_as_sorting_does():
    table, embedding, _ = example(4)
    left, right = (retrieval(table, embedding, same=["drug"], strata=STRATA, exact=exact) for exact in (True, False))
    np.testing.assert_allclose(left["value"], right["value"], atol=2e-3)


@pytest.mark.parametrize("matches, others", [(1, 1), (1, 9), (2, 5), (3, 3), (4, 0)])
def test_expected_average_precision_is_the_mean_over_all_rankings(matches, others):
    from itertools import combinations

    places = combinations(range(1, matches + others + 1), matches)
    mean = np.mean([np.mean([(rank + 1) / place for rank, place in enumerate(chosen)]) for chosen in places])
    assert expected_average_precision(np.array([matches]), np.array([others]))[0] == pytest.approx(mean)
    assert np.isnan(expected_average_precision(np.array([0]), np.array([3]))[0])


@pytest.mark.parametrize("matches, others", [(1, 4), (2, 3), (3, 40)])
def test_random_rankings_are_uniform(matches, others, rng):
    """Mean and spread of the drawn average precisions are those of shuffled labels."""
    drawn = random_average_precision(matches, np.array([others]), 20_000, rng)[0]
    shuffled = rng.permuted(np.tile(np.arange(matches + others), (20_000, 1)), axis=1)[:, :matches]
    shuffled.sort(axis=1)
    loop = (np.arange(1, matches + 1) / (shuffled + 1)).mean(axis=1)
    assert drawn.mean() == pytest.approx(loop.mean(), abs=0.01)
    assert drawn.std() == pytest.approx(loop.std(), abs=0.01)
    np.testing.assert_allclose(np.quantile(drawn, [0.1, 0.5, 0.9]), np.quantile(loop, [0.1, 0.5, 0.9]), atol=0.02)


def test_significance_finds_the_planted_drugs_and_only_those(rng):
    drugs = np.repeat(np.arange(40), 5)
    centres = np.where(np.arange(40)[:, None] < 10, rng.normal(size=(40, 20)) * 2, 0)
    embedding = centres[drugs] + rng.normal(size=(200, 20))
    queries = retrieval_by_query(pd.DataFrame({"drug": drugs}), embedding, same=["drug"])
    tested = map_significance(queries, ["drug"], n_permutations=2000).set_index("drug")
    assert (tested.loc[:9, "q_value"] < 0.01).all()
    assert (tested.loc[10:, "q_value"] < 0.05).sum() <= 1
    assert (tested["n"] == 5).all()
    assert tested["map"].mean() == pytest.approx(queries["ap"].mean())
    again = map_significance(queries, ["drug"], n_permutations=2000).set_index("drug")
    pd.testing.assert_frame_equal(tested, again)


def test_significance_equals_the_loop_over_labels():
    table, _, similarity = example(5, missing=False)
    queries = retrieval_by_query(table, similarity=similarity, same=["drug"], strata={"same": ("cell", True)})
    tested = map_significance(queries, ["drug"], n_permutations=4000, seed=1)
    for _, row in tested.iterrows():
        some = queries[(queries["group"] == row["group"]) & (queries["drug"] == row["drug"])]
        rng = np.random.default_rng(7)
        kinds = some[["n_positives", "n_negatives"]].drop_duplicates().to_numpy()
        drawn = {(p, n): random_average_precision(p, np.array([n]), 4000, rng)[0] for p, n in kinds}
        null = np.mean([drawn[p, n] for p, n in some[["n_positives", "n_negatives"]].to_numpy()], axis=0)
        expected = (1 + (null >= some["ap"].mean() - 1e-12).sum()) / 4001
        assert row["p_value"] == pytest.approx(expected, abs=0.035)


def test_external_agreement_equals_the_loop():
    rng = np.random.default_rng(3)
    table = pd.DataFrame({"moa": ["|".join(rng.choice(list("xyzuvw"), rng.integers(1, 3))) for _ in range(40)]})
    table.loc[5, "moa"] = ""
    similarity = rng.normal(size=(40, 40))
    similarity = (similarity + similarity.T).round(1)
    exclude = rng.random((40, 40)) < 0.1
    exclude |= exclude.T
    result = external(table, similarity=similarity, exclude=exclude)
    match, other = naive_pairs(table.replace("", None), ["moa"], [], [], "|")
    for group, kept in (("all", np.ones_like(exclude)), ("not excluded", ~exclude)):
        found = scores(result, group)
        pooled = found.pop("auroc_pooled")
        assert found.to_dict() == pytest.approx(
            naive(table, similarity, match & kept, other & kept, ["moa"]), abs=1e-12
        )
        upper = np.triu(kept & (match | other), 1)
        assert pooled == pytest.approx(roc_auc_score(match[upper], similarity[upper]), abs=1e-6)
    given = external(table, similarity=similarity, label=None, related=match | (similarity > 100))
    assert scores(given)["auroc_by_pair"] != scores(result)["auroc_by_pair"]  # the row without a label is now negative


def test_structure_alone_is_not_agreement_beyond_structure(rng):
    """Similarity that only knows families of structures agrees with mechanisms until those pairs are left out."""
    family = np.repeat(np.arange(30), 4)
    table = pd.DataFrame({"moa": family // 3})
    vectors = np.eye(30)[family] + 0.05 * rng.normal(size=(120, 30))
    result = external(table, vectors, exclude=family[:, None] == family[None, :])
    assert scores(result)["auroc_pooled"] > 0.6
    assert scores(result, "not excluded")["auroc_pooled"] == pytest.approx(0.5, abs=0.05)


def test_levels_of_a_class():
    table = pd.DataFrame({"atc": ["L01XE01", "L01XE02|A10BA02", "L01AA01", "A10BB01", None]})
    vectors = np.random.default_rng(0).normal(size=(5, 3))
    n = {level: external(table, vectors, label="atc", prefix=level).set_index("metric")["n"] for level in (1, 5, 7)}
    assert n[1]["auroc_pooled"] == 4  # three L, and one A shared
    assert n[5]["auroc_pooled"] == 1
    assert n[7]["auroc_pooled"] == 0


def test_every_score_has_its_direction():
    result = external(*example(6)[:2], label="drug")
    assert set(result["metric"]) == set(RETRIEVAL_METRICS) - {"found_beyond_chance"}  # of a task
    assert RETRIEVAL_METRICS["auroc"].greater_is_better is METRICS["auroc"].greater_is_better
    with pytest.raises(ValueError, match=r"one of rmse, mae, .*median_quantile.*received 'rank'"):
        greater_is_better("rank")


def test_scores_of_retrieval_can_be_compared():
    rows = [
        {"model": model, "fold": fold, "seed": 0, "group": "all", "metric": "median_quantile", "value": value}
        for model, values in {"lda": [0.01, 0.02, 0.01], "cosine": [0.05, 0.05, 0.04]}.items()
        for fold, value in enumerate(values)
    ]
    row = paired(pd.DataFrame(rows), "lda", "cosine", metric="median_quantile")
    assert row["wins"] == 3
    assert row["better"]
    assert compare(pd.DataFrame(rows), "cosine")["better"].all()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({}, "embedding or a similarity; received neither"),
        ({"embedding": np.eye(4), "similarity": np.eye(4)}, "received both"),
        ({"embedding": np.eye(3)}, r"\(n, n_dims\) with n = 4; received shape \(3, 3\)"),
        ({"similarity": np.zeros((4, 3))}, r"\(n, n\) with n = 4; received shape \(4, 3\)"),
        ({"embedding": np.eye(4), "metric": "manhattan"}, "'cosine' or 'euclidean'; received 'manhattan'"),
        ({"embedding": np.diag([1.0, 0, 1, np.nan])}, r"finite; 1 of 4 rows hold others \(first: '3'\)"),
        ({"embedding": np.diag([1.0, 0, 1, 0])}, r"direction; 2 of 4 are all zero \(first rows: '1', '3'\)"),
        ({"embedding": np.eye(4), "same": "drug"}, r"Write same=\['drug'\]"),
        ({"embedding": np.eye(4), "same": []}, "received none"),
        ({"embedding": np.eye(4), "different": ["plate"]}, "needs the column"),
        ({"embedding": np.eye(4), "strata": {"s": ("drug", "yes")}}, r"Write \('cell', True\)"),
        ({"embedding": np.eye(4), "strata": {"all": ("drug", True)}}, "another name"),
    ],
)
def test_refusals(arguments, message):
    table = pd.DataFrame({"drug": list("aabb")})
    with pytest.raises(ValueError, match=message):
        retrieval(table, **{"same": ["drug"], **arguments})


def test_refusals_of_external_and_significance():
    table = pd.DataFrame({"moa": list("aabb")})
    with pytest.raises(ValueError, match="label or a matrix of related drugs; received both"):
        external(table, np.eye(4), related=np.eye(4, dtype=bool))
    with pytest.raises(ValueError, match="boolean matrix"):
        external(table, np.eye(4), exclude=np.eye(4))
    queries = retrieval_by_query(table, np.eye(4) + 0.1, same=["moa"])
    with pytest.raises(ValueError, match="at least 1; received 0"):
        map_significance(queries, ["moa"], n_permutations=0)
    with pytest.raises(ValueError, match="needs the column"):
        map_significance(queries, ["drug"])


def test_ranked_of_nothing():
    empty = ranked(np.zeros((2, 3)), np.zeros((2, 3), bool), np.ones((2, 3), bool))
    assert isinstance(empty, Ranked)
    assert len(empty.quantile) == 0


@pytest.mark.real
def test_measured_profiles_of_one_drug_in_several_cells(shared):
    """Raw cosine over all profiles: median quantile 0.0223, recall 0.38 / 0.71 over 27,714 ordered pairs."""
    path = shared / "l1000" / "level5_multicell_24h_10uM"
    with np.load(f"{path}.npz") as file:
        X = file["X"]
    table = pd.read_csv(f"{path}_obs.tsv.gz", sep="\t")
    result = retrieval(table, X, same=["pert"], strata={"different cell": ("cell_id", False)})
    found = scores(result)
    assert found["median_quantile"] == pytest.approx(0.0223, abs=1e-4)
    assert found["recall_at_1pct"] == pytest.approx(0.38, abs=0.005)
    assert found["recall_at_10pct"] == pytest.approx(0.71, abs=0.005)
    assert (result.set_index(["metric", "group"])["n"]["median_quantile"] == 27_714).all()
    binned = scores(retrieval(table, X, same=["pert"], exact=False))
    np.testing.assert_allclose(binned, found.loc[binned.index], atol=5e-4)
