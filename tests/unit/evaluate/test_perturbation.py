"""Scores of predicted effects against plain loops, scipy and scikit-learn; laws; ceilings of halves; measured cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse, stats
from sklearn.metrics import r2_score
from sklearn.metrics.pairwise import cosine_similarity

from galenic.evaluate import (
    PERTURBATION_METRICS,
    compare,
    greater_is_better,
    perturbation,
    perturbation_by_condition,
    split_half,
)
from galenic.evaluate import deltas as blocks
from galenic.evaluate.deltas import first_k

N_PER_CONTEXT, N_GENES, TOP = 7, 40, [3, 10]


def example(seed=0, noise=0.3):
    """Fourteen conditions in two contexts: table, truth, prediction, control."""
    rng = np.random.default_rng(seed)
    names = [f"drug{i}" for i in range(N_PER_CONTEXT)]
    table = pd.DataFrame({"context": np.repeat(["A375", "PC3"], N_PER_CONTEXT), "perturbation": names * 2})
    control = rng.gamma(2.0, 1.0, size=(2, N_GENES)).repeat(N_PER_CONTEXT, axis=0)
    effect = rng.normal(size=(len(table), N_GENES))
    prediction = control + 0.7 * effect + noise * rng.normal(size=effect.shape)
    return table, control + effect, prediction, control


def naive(table, truth, prediction, control, mean, top):
    """Every metric with loops over conditions, genes and competitors."""
    rows = []
    contexts = table["context"].to_numpy()
    for i in range(len(table)):
        d, e = truth[i] - control[i], prediction[i] - control[i]
        row = {
            "mae": np.mean([abs(a - b) for a, b in zip(truth[i], prediction[i], strict=True)]),
            "rmse": np.sqrt(np.mean([(a - b) ** 2 for a, b in zip(truth[i], prediction[i], strict=True)])),
            "r2_absolute": r2_score(truth[i], prediction[i]),
            "pearson_delta": stats.pearsonr(d, e).statistic,
            "spearman_delta": stats.spearmanr(d, e).statistic,
            "cosine_delta": cosine_similarity([d], [e])[0, 0],
            "pearson_delta_perturbed": stats.pearsonr(truth[i] - mean, prediction[i] - mean).statistic,
        }
        for k in top:
            genes = sorted(range(len(d)), key=lambda g: -abs(d[g]))[:k]
            guess = sorted(range(len(e)), key=lambda g: -abs(e[g]))[:k]
            row[f"mae_top{k}"] = np.mean([abs(d[g] - e[g]) for g in genes])
            row[f"pearson_delta_top{k}"] = stats.pearsonr(d[genes], e[genes]).statistic
            row[f"sign_top{k}"] = np.mean([(d[g] > 0) == (e[g] > 0) for g in genes])
            row[f"de_overlap_top{k}"] = len(set(genes) & set(guess)) / k
        others = [j for j in range(len(table)) if j != i and contexts[j] == contexts[i]]
        for name, order in (("discrimination", 1), ("centroid_accuracy", 2)):
            own = np.linalg.norm(e - d, order)
            far = [np.linalg.norm(e - (truth[j] - control[j]), order) for j in others]
            row[name] = np.mean([(x > own) + (x == own) / 2 for x in far])
        rows.append(row)
    return pd.DataFrame(rows)


def naive_collapse(table, truth, prediction, control):
    sums = []
    for values in (prediction, truth):
        total = 0.0
        for context in table["context"].unique():
            delta = (values - control)[(table["context"] == context).to_numpy()]
            total += sum(np.var(delta[:, gene]) * len(delta) for gene in range(delta.shape[1]))
        sums.append(total)
    return sums[0] / sums[1]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("block", [blocks.BLOCK, 100])
def test_every_metric_equals_the_loop(seed, block, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", block)
    table, *arrays = example(seed)
    mean = arrays[0].mean(axis=0)
    found = perturbation_by_condition(table, *arrays, perturbed_mean=mean, top=TOP)
    expected = naive(table, *arrays, mean, TOP)
    assert set(found.columns) == set(expected.columns) | {"context", "perturbation", "n_others"}
    pd.testing.assert_frame_equal(found[expected.columns], expected, rtol=1e-10)
    assert (found["n_others"] == N_PER_CONTEXT - 1).all()
    scores = perturbation(table, *arrays, perturbed_mean=mean, top=TOP, by_context=True)
    assert scores["group"].unique().tolist() == ["all", "A375", "PC3"]
    for group, rows in (("all", slice(None)), ("PC3", slice(N_PER_CONTEXT, None))):
        some = scores[scores["group"] == group].set_index("metric")
        for metric in expected:
            assert some.loc[metric, "value"] == pytest.approx(expected[metric][rows].mean())
        assert some.loc["collapse", "value"] == pytest.approx(naive_collapse(table[rows], *(a[rows] for a in arrays)))
        assert (some["n"] == len(table[rows])).all()


@pytest.mark.parametrize("distance", ["l1", "l2", "cosine"])
def test_discrimination_equals_the_loop_for_each_distance(distance):
    table, truth, prediction, control = example(4)
    found = perturbation_by_condition(table, truth, prediction, control, top=TOP, distance=distance)
    d, e = truth - control, prediction - control
    measure = {
        "l1": lambda a, b: np.abs(a - b).sum(),
        "l2": lambda a, b: np.sqrt(((a - b) ** 2).sum()),
        "cosine": lambda a, b: 1 - a @ b / np.sqrt((a @ a) * (b @ b)),
    }[distance]
    for i in range(len(table)):
        others = [j for j in range(len(table)) if j != i and table["context"][j] == table["context"][i]]
        share = np.mean([measure(e[i], d[j]) > measure(e[i], d[i]) for j in others])
        assert found["discrimination"][i] == pytest.approx(share)


@given(seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_the_order_of_conditions_and_genes_does_not_matter(seed):
    table, *arrays = example(seed)
    rng = np.random.default_rng(seed)
    rows, genes = rng.permutation(len(table)), rng.permutation(N_GENES)
    mean = arrays[0].mean(axis=0)
    whole = perturbation(table, *arrays, perturbed_mean=mean, top=TOP)
    other = perturbation(table.iloc[rows], *(a[rows][:, genes] for a in arrays), perturbed_mean=mean[genes], top=TOP)
    pd.testing.assert_frame_equal(whole, other)


def test_a_constant_added_to_everything_changes_nothing():
    table, *arrays = example()
    mean = arrays[0].mean(axis=0)
    moved = perturbation(table, *(a + 3.0 for a in arrays), perturbed_mean=mean + 3.0, top=TOP)
    pd.testing.assert_frame_equal(perturbation(table, *arrays, perturbed_mean=mean, top=TOP), moved)


def test_effects_with_zeros_as_control_score_as_expression():
    table, truth, prediction, control = example()
    whole = perturbation(table, truth, prediction, control, top=TOP)
    effects = perturbation(table, truth - control, prediction - control, np.zeros(N_GENES), top=TOP)
    differ = whole["metric"] == "r2_absolute"
    pd.testing.assert_frame_equal(whole[~differ], effects[~differ])


def test_a_larger_prediction_correlates_as_well_and_has_a_larger_error():
    table, truth, prediction, control = example()
    one = perturbation(table, truth, prediction, control, top=TOP).set_index("metric")["value"]
    two = perturbation(table, truth, control + 3 * (prediction - control), control, top=TOP).set_index("metric")[
        "value"
    ]
    same = [name for name in one.index if name.startswith(("pearson", "spearman", "cosine", "sign", "de_overlap"))]
    pd.testing.assert_series_equal(one[same], two[same])
    assert two["collapse"] == pytest.approx(9 * one["collapse"])
    assert two["mae"] > one["mae"]


def test_a_perfect_prediction_has_the_best_value_and_noise_a_worse_one():
    table, truth, prediction, control = example(noise=2.0)
    arguments = {"perturbed_mean": truth.mean(axis=0), "top": TOP}
    best = perturbation(table, truth, truth, control, **arguments).set_index("metric")["value"]
    worse = perturbation(table, truth, prediction, control, **arguments).set_index("metric")["value"]
    for metric, value in best.items():
        whole = metric.split("_top")[0]
        assert value == pytest.approx(PERTURBATION_METRICS[whole].best)
        if metric != "collapse":
            assert bool(value > worse[metric]) is greater_is_better(metric)
    assert set(PERTURBATION_METRICS) == {metric.split("_top")[0] for metric in best.index} | {
        "precision",
        "energy_distance",
        "mmd",
    }


def test_no_effect_is_undefined_where_it_has_no_direction_and_chance_elsewhere():
    table, truth, _, control = example()
    found = perturbation(table, truth, control, control, top=[10]).set_index("metric")
    undefined = ["pearson_delta", "spearman_delta", "cosine_delta", "pearson_delta_top10"]
    assert found.loc[undefined, "value"].isna().all()
    assert (found.loc[undefined, "n"] == 0).all()
    assert found.loc["sign_top10", "value"] == 0.5
    assert found.loc["de_overlap_top10", "value"] == pytest.approx(10 / N_GENES)
    assert found.loc["discrimination", "value"] == pytest.approx(0.5)
    assert found.loc["collapse", "value"] == 0
    by_cosine = perturbation(table, truth, control, control, top=[10], distance="cosine").set_index("metric")
    assert by_cosine.loc["discrimination", "n"] == 0


def test_rounding_of_single_precision_is_no_effect():
    table, truth, _, control = example()
    found = perturbation(table, truth, control.astype(np.float32), control, top=[10]).set_index("metric")
    assert np.isnan(found.loc["pearson_delta", "value"])


def test_one_effect_for_all_scores_half_in_discrimination_and_nothing_against_the_perturbed_mean():
    table, truth, _, control = example()
    mean = truth.mean(axis=0)
    same = np.broadcast_to(mean, truth.shape)
    found = perturbation(table, truth, same, control, perturbed_mean=mean, top=TOP).set_index("metric")
    effect = (truth - control).mean(axis=0)
    constant = perturbation(table, truth, control + effect, control, top=TOP).set_index("metric")
    assert np.isnan(found.loc["pearson_delta_perturbed", "value"])
    assert constant.loc["discrimination", "value"] == pytest.approx(0.5)
    assert constant.loc["centroid_accuracy", "value"] == pytest.approx(0.5)
    assert constant.loc["collapse", "value"] == pytest.approx(0)
    nothing = perturbation(table, truth, control, control, perturbed_mean=mean, top=TOP).set_index("metric")
    assert nothing.loc["pearson_delta_perturbed", "n"] == len(table)


def test_equal_truths_are_tied():
    table = pd.DataFrame({"context": "A375", "perturbation": ["x", "y", "z"]})
    truth = np.array([[1.0, 0.0, 2.0], [1.0, 0.0, 2.0], [5.0, 5.0, 0.0]])
    found = perturbation_by_condition(table, truth, truth, np.zeros(3), top=[1])
    assert found["discrimination"].tolist() == [0.75, 0.75, 1.0]


def test_a_context_with_one_perturbation_has_nothing_to_be_told_from():
    table, *arrays = example()
    few = [0, N_PER_CONTEXT, N_PER_CONTEXT + 1]
    found = perturbation(table.iloc[few], *(a[few] for a in arrays), top=TOP, by_context=True)
    chosen = found[found["metric"].isin(["discrimination", "centroid_accuracy", "collapse"])]
    n = {group: some["n"].unique().tolist() for group, some in chosen.groupby("group")}
    assert n == {"all": [2], "A375": [0], "PC3": [2]}
    assert chosen.loc[chosen["group"] == "A375", "value"].isna().all()


def test_given_gene_lists_as_order_and_as_set(rng):
    table, truth, prediction, control = example()
    ranks = rng.permuted(np.tile(np.arange(N_GENES), (len(table), 1)), axis=1)
    by_order = perturbation_by_condition(table, truth, prediction, control, degs=ranks, top=[10])
    by_set = perturbation_by_condition(table, truth, prediction, control, degs=ranks < 10, top=[5])
    for metric in ("mae", "pearson_delta", "sign"):
        np.testing.assert_allclose(by_order[f"{metric}_top10"], by_set[f"{metric}_degs"])
    error = np.abs(truth - prediction)
    np.testing.assert_allclose(by_order["mae_top10"], [error[i][ranks[i] < 10].mean() for i in range(len(table))])
    size = -np.abs(prediction - control)
    first = [np.argsort(row)[:5] for row in size]
    np.testing.assert_allclose(by_set["precision_top5"], [np.mean(ranks[i][first[i]] < 10) for i in range(len(table))])
    guessed = perturbation_by_condition(table, truth, prediction, control, degs=ranks, predicted_degs=ranks, top=[10])
    assert (guessed["de_overlap_top10"] == 1).all()


def test_more_genes_than_there_are_is_undefined():
    table, *arrays = example()
    found = perturbation(table, *arrays, top=[N_GENES + 1]).set_index("metric")
    assert found.loc[[name for name in found.index if "_top" in name], "n"].eq(0).all()


@given(st.lists(st.integers(0, 4), min_size=3, max_size=12), st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_weights_of_the_first_k_are_the_chance_to_be_drawn_when_ties_fall_at_random(values, k):
    weights = first_k(np.array([values], dtype=np.float64), k)[0]
    edge = sorted(values)[k - 1]
    before, tied = sum(v < edge for v in values), sum(v == edge for v in values)
    expected = [1.0 if v < edge else (k - before) / tied if v == edge else 0.0 for v in values]
    np.testing.assert_allclose(weights, expected)


def test_inputs_are_untouched_and_float32_will_do():
    table, *arrays = example()
    single = [a.astype(np.float32) for a in arrays]
    copies = [a.copy() for a in single]
    found = perturbation(table, *single, top=TOP)
    for array, copy in zip(single, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
    np.testing.assert_allclose(found["value"], perturbation(table, *arrays, top=TOP)["value"], rtol=1e-4)


def test_collapse_has_no_direction_and_says_so():
    with pytest.raises(ValueError, match="only 1 is best"):
        greater_is_better("collapse")
    assert greater_is_better("mae_top37") is False
    assert greater_is_better("pearson_delta_degs") is True
    with pytest.raises(ValueError, match="should be one of"):
        greater_is_better("pearson_top20")
    scores = pd.DataFrame({"model": ["net", "floor"] * 2, "fold": [0, 0, 1, 1], "seed": 0, "group": "all"})
    scores = scores.assign(metric="mae_top20", value=[0.1, 0.2, 0.1, 0.3])
    assert compare(scores, "floor")["wins"].tolist() == [2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"table": lambda t: t.drop(columns="context")}, "needs the column"),
        ({"table": lambda t: t.assign(perturbation="x")}, "stand once in a context; 12 of 14 rows repeat one"),
        ({"truth": lambda a: a[:3]}, "the table has 14 rows"),
        ({"prediction": lambda a: a[:, :5]}, r"prediction should have the shape of the truth, \(14, 40\)"),
        ({"prediction": lambda a: np.where(a == a[0, 0], np.nan, a)}, "prediction should be finite; 1 numbers in 1"),
        ({"control": lambda a: a[:2]}, "control should have the shape"),
        ({"distance": lambda _: "l3"}, "distance should be one of l1, l2, cosine"),
        ({"degs": lambda _: np.ones(N_GENES)}, "degs should hold a number"),
    ],
)
def test_errors_say_what_came(change, message):
    arguments = dict(zip(("table", "truth", "prediction", "control"), example(), strict=True))
    for name, function in change.items():
        arguments[name] = function(arguments.get(name))
    with pytest.raises(ValueError, match=message):
        perturbation(**arguments)


def cells(seed=0, n=60, effect=1.0, replicates=4, shift=0.0):
    """Two contexts, three perturbations and controls; replicates may be shifted as plates are."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        [(c, p, f"plate{i % replicates}") for c in "AB" for p in ["control", "x", "y", "z"] for i in range(n)],
        columns=["context", "perturbation", "plate"],
    )
    effects = {name: effect * rng.normal(size=50) for name in ("x", "y", "z")} | {"control": np.zeros(50)}
    X = rng.normal(size=(len(table), 50)) + np.array([effects[name] for name in table["perturbation"]])
    plates = {name: shift * rng.normal(size=50) for name in sorted(set(table["context"] + table["plate"]))}
    return X + np.array([plates[name] for name in table["context"] + table["plate"]]), table


def test_halves_of_noise_do_not_agree_and_their_common_controls_do_not_help():
    X, table = cells(effect=0.0, n=200)
    found = split_half(X, table, top=[5]).set_index("metric")
    assert abs(found.loc["pearson_delta", "value"]) < 0.1


def test_halves_of_strong_effects_agree_and_full_data_agree_more():
    X, table = cells()
    found = split_half(X, table, top=[5]).set_index("metric").loc["pearson_delta"]
    assert 0.9 < found["value"] < found["full"] < found["ceiling"] < 1
    assert found["full"] == pytest.approx(2 * found["value"] / (1 + found["value"]))
    assert found["n"] == 6


def test_spearman_brown_foretells_the_agreement_of_twice_the_cells():
    X, table = cells(effect=0.15, n=400)
    half = (np.arange(len(table)) % 400) < 200
    small = split_half(X[half], table[half], top=[5], n_splits=20).set_index("metric")
    large = split_half(X, table, top=[5], n_splits=20).set_index("metric")
    assert large.loc["pearson_delta", "value"] == pytest.approx(small.loc["pearson_delta", "full"], abs=0.06)


def test_whole_replicates_with_their_controls_go_to_one_half():
    X, table = cells(shift=3.0, effect=1.0)
    found = split_half(X, table, top=[5], replicates="plate").set_index("metric")
    assert found.loc["pearson_delta", "value"] > 0.85
    with pytest.raises(ValueError, match="two replicates or more"):
        split_half(X, table.assign(plate="P1"), replicates="plate")


def test_halves_repeat_with_the_seed_and_take_sparse_expression():
    X, table = cells(n=10)
    X = np.where(X > 0, X, 0)
    one = split_half(X, table, top=[5], n_splits=2, seed=3)
    pd.testing.assert_frame_equal(one, split_half(sparse.csr_matrix(X), table, top=[5], n_splits=2, seed=3))
    assert not one.equals(split_half(X, table, top=[5], n_splits=2, seed=4))


@pytest.mark.real
def test_interferon_in_a_new_cell_type_is_predicted_by_the_shift_of_the_nearest_type(kang):
    X, obs = kang
    kind, treated = obs["cell_type"].to_numpy(), ~obs["control"].to_numpy()
    types = sorted(set(kind))
    control = np.array([X[(kind == name) & ~treated].mean(axis=0) for name in types])
    truth = np.array([X[(kind == name) & treated].mean(axis=0) for name in types])
    shift = truth - control
    apart = np.linalg.norm(control[:, None] - control[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    nearest = control + shift[apart.argmin(axis=1)]
    others = control + (shift.sum(axis=0) - shift) / (len(types) - 1)
    table = pd.DataFrame({"cell_type": types, "perturbation": "IFNb"})
    expected = {
        "nearest": (nearest, {"pearson_delta": 0.881, "mae": 0.103, "r2_absolute": 0.948}),
        "others": (others, {"pearson_delta": 0.838, "mae": 0.132, "r2_absolute": 0.905}),
        "no effect": (control, {"mae": 0.172, "r2_absolute": 0.764}),
    }
    for prediction, values in expected.values():
        found = perturbation(table, truth, prediction, control, contexts="cell_type").set_index("metric")["value"]
        for metric, value in values.items():
            assert found[metric] == pytest.approx(value, abs=0.0006)
    plain = np.mean([np.corrcoef(a - c, b - c)[0, 1] for a, b, c in zip(truth, nearest, control, strict=True)])
    found = perturbation(table, truth, nearest, control, contexts="cell_type").set_index("metric")["value"]
    assert found["pearson_delta"] == pytest.approx(plain)


@pytest.mark.real
def test_the_ceiling_of_interferon_is_above_its_best_floor(kang):
    X, obs = kang
    found = split_half(X, obs, contexts="cell_type", perturbations="perturbation", top=[50]).set_index("metric")
    assert found.loc["pearson_delta", "ceiling"] > 0.95
    by_donor = split_half(X, obs, contexts="cell_type", perturbations="perturbation", replicates="donor", top=[50])
    assert by_donor.set_index("metric").loc["pearson_delta", "value"] < found.loc["pearson_delta", "value"]
