"""Biomarkers: planted weights rank first, chance stays chance, every number agrees with its definition."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from galenic.explain import biomarkers, recovered

N_REPEATS, N_FEATURES, N_DRUGS = 8, 60, 4
FEATURES = [f"G{i}" for i in range(N_FEATURES)]
DRUGS = [f"d{i}" for i in range(N_DRUGS)]


@pytest.fixture
def weights(rng: np.random.Generator) -> np.ndarray:
    """Noise, with +5 planted in feature 3 and -4 in feature 10 of every drug."""
    values = rng.normal(size=(N_REPEATS, N_FEATURES, N_DRUGS))
    values[:, 3] += 5
    values[:, 10] -= 4
    return values


def test_planted_weights_rank_first_with_their_sign(weights: np.ndarray, rng: np.random.Generator) -> None:
    null = rng.normal(size=(50, N_FEATURES, N_DRUGS)) / np.sqrt(N_REPEATS)
    table = biomarkers(weights, FEATURES, DRUGS, null=null, top=5)
    first = table[table["rank"] <= 2]
    assert first["gene"].tolist() == ["G3", "G10"] * N_DRUGS
    assert (np.sign(first["weight"]) == [1, -1] * N_DRUGS).all()
    assert (first["stability"] > 0.9).all()
    assert (first["q_value"] < 0.01).all()
    assert (table[table["rank"] > 2]["q_value"] > 0.05).mean() > 0.97


def naive(weights: np.ndarray, null: np.ndarray, kinds: list[str], top: int) -> pd.DataFrame:
    """The table as its columns are defined, with a loop over everything."""
    pools = {}
    for kind in set(kinds):
        rows = [i for i, other in enumerate(kinds) if other == kind]
        pools[kind] = np.concatenate([np.abs(null[:, rows, d]).ravel() for d in range(N_DRUGS)])
    parts = []
    for d in range(N_DRUGS):
        tops = [set(np.argsort(-np.abs(repeat))[:top]) for repeat in weights[:, :, d]]
        rows = []
        for i in range(N_FEATURES):
            values = weights[:, i, d]
            pool = pools[kinds[i]]
            hits = [i in tops[r] and np.sign(values[r]) == np.sign(values.mean()) for r in range(N_REPEATS)]
            p = (1 + (pool >= abs(values.mean())).sum()) / (1 + len(pool))
            rows.append((DRUGS[d], FEATURES[i], kinds[i], values.mean(), values.std(), np.mean(hits), p))
        part = pd.DataFrame(rows, columns=["drug", "gene", "modality", "weight", "spread", "stability", "p"])
        part["q_value"] = stats.false_discovery_control(part.pop("p"))
        part = part.sort_values("weight", key=np.abs, ascending=False, ignore_index=True)
        part.insert(1, "rank", np.arange(1, N_FEATURES + 1))
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def test_every_column_equals_its_definition(weights: np.ndarray, rng: np.random.Generator) -> None:
    kinds = ["expression"] * 40 + ["mutation"] * 20
    null = rng.normal(size=(5, N_FEATURES, N_DRUGS)) * np.arange(1, N_DRUGS + 1)
    before = weights.copy()
    table = biomarkers(weights, FEATURES, DRUGS, null=null, modality=kinds, top=7)
    pd.testing.assert_frame_equal(table, naive(weights, null, kinds, 7), check_dtype=False)
    np.testing.assert_array_equal(weights, before)


def test_p_values_of_weights_drawn_from_the_null_are_uniform(rng: np.random.Generator) -> None:
    """With one feature a drug there is nothing to correct for: the q-value is the p-value."""
    scale = rng.uniform(0.1, 10, size=400)
    table = biomarkers(
        rng.normal(size=(1, 1, 400)) * scale,
        ["G"],
        [f"d{i}" for i in range(400)],
        null=rng.normal(size=(200, 1, 400)) * scale,
    )
    assert stats.kstest(table["q_value"], "uniform").pvalue > 0.05


def test_weights_drawn_from_the_null_give_no_finds(rng: np.random.Generator) -> None:
    null = rng.normal(size=(40, 500, 6)) * np.arange(1, 7)
    table = biomarkers(
        rng.normal(size=(1, 500, 6)) * np.arange(1, 7), [f"G{i}" for i in range(500)], list("abcdef"), null=null
    )
    assert (table["q_value"] < 0.1).mean() < 0.005


def test_weights_and_null_in_other_units_give_the_same_table(weights: np.ndarray, rng: np.random.Generator) -> None:
    null = rng.normal(size=(6, N_FEATURES, N_DRUGS))
    one = biomarkers(weights, FEATURES, DRUGS, null=null)
    columns = ["drug", "rank", "gene", "stability", "q_value"]
    for unit in (2.0**-10, 2.0**13):
        other = biomarkers(weights * unit, FEATURES, DRUGS, null=null * unit)
        pd.testing.assert_frame_equal(one[columns], other[columns])


def test_a_drug_whose_null_happens_to_be_small_gets_no_finds(rng: np.random.Generator) -> None:
    """A null of few fits may be small for one drug by luck of its penalty; noise of that drug must not look real."""
    null = rng.normal(size=(5, 100, 8)) * rng.choice([0.001, 1.0], size=(5, 1, 8))
    null[:, :, 0] *= 0.001
    table = biomarkers(rng.normal(size=(1, 100, 8)), [f"G{i}" for i in range(100)], list("abcdefgh"), null=null)
    assert (table["q_value"] < 0.05).mean() < 0.01


def test_flipping_the_sign_flips_the_weight_and_nothing_else(weights: np.ndarray, rng: np.random.Generator) -> None:
    null = rng.normal(size=(6, N_FEATURES, N_DRUGS))
    one, other = (biomarkers(sign * weights, FEATURES, DRUGS, null=null) for sign in (1, -1))
    pd.testing.assert_frame_equal(one.assign(weight=-one["weight"]), other)


def test_a_sign_that_wavers_is_not_stable() -> None:
    weights = np.zeros((4, 3, 1))
    weights[:, 0, 0] = [9, 9, 9, -9]
    weights[:, 1, 0] = 1
    table = biomarkers(weights, ["A", "B", "C"], ["x"], top=1).set_index("gene")
    assert table["stability"].to_dict() == {"A": 0.75, "B": 0.0, "C": 0.0}
    assert table["q_value"].isna().all()


def test_a_feature_of_weight_zero_is_never_found() -> None:
    table = biomarkers(np.zeros((3, 5, 1)), list("ABCDE"), ["x"], null=np.zeros((2, 5, 1)), top=5)
    assert (table["stability"] == 0).all()
    assert (table["q_value"] == 1).all()


def test_refits_that_lack_a_drug_or_a_feature_do_not_count(weights: np.ndarray) -> None:
    some = weights.copy()
    some[:3, :, 0] = np.nan
    some[:, 20] = np.nan
    table = biomarkers(some, FEATURES, DRUGS, null=weights, top=N_FEATURES)
    drug = table[table["drug"] == "d0"].set_index("gene")
    assert drug.loc["G3", "weight"] == pytest.approx(weights[3:, 3, 0].mean())
    assert drug.loc["G3", "stability"] == 1
    last = table[table["gene"] == "G20"]
    assert (last["rank"] == N_FEATURES).all()
    assert last["weight"].isna().all()
    assert (last["stability"] == 0).all()
    assert (last["q_value"] == 1).all()


def test_a_drug_without_null_weights_has_no_q_value(weights: np.ndarray, rng: np.random.Generator) -> None:
    null = rng.normal(size=(3, N_FEATURES, N_DRUGS))
    null[:, :, 1] = np.nan
    table = biomarkers(weights, FEATURES, DRUGS, null=null).set_index("drug")
    assert table.loc["d1", "q_value"].isna().all()
    assert table.drop("d1")["q_value"].notna().all()


def test_keep_is_the_head_of_the_whole_table(weights: np.ndarray) -> None:
    whole = biomarkers(weights, FEATURES, DRUGS)
    best = biomarkers(weights, FEATURES, DRUGS, keep=5)
    pd.testing.assert_frame_equal(best, whole[whole["rank"] <= 5].reset_index(drop=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": np.zeros((2, 3, 1))}, "weights should be .*2 features.*received \\(2, 3, 1\\)"),
        ({"weights": np.zeros((0, 2, 1))}, "none of them 0"),
        ({"null": np.zeros((4, 2))}, "null should be"),
        ({"top": 0}, "top should be 1 or more"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        biomarkers(**{"weights": np.zeros((2, 2, 1)), "features": ["A", "B"], "drugs": ["x"], **arguments})


def test_recovered_counts_hits_among_the_first() -> None:
    ranked = biomarkers(np.arange(10, 0, -1.0).reshape(1, 10, 1), list("ABCDEFGHIJ"), ["x"])
    truth = pd.DataFrame({"drug": "x", "feature": ["A", "C", "J", "absent"]})
    result = recovered(ranked, truth).iloc[0]
    assert result[["drug", "planted", "top", "found"]].tolist() == ["x", 4, 4, 2]
    assert result["expected"] == pytest.approx(1.6)
    assert recovered(ranked, truth, top=1)["found"].tolist() == [1]
    assert recovered(ranked, truth, top=10)["found"].tolist() == [3]


def test_expected_is_what_a_random_order_finds(rng: np.random.Generator) -> None:
    truth = pd.DataFrame({"drug": "x", "feature": ["G1", "G2", "G3"]})
    finds = [
        recovered(biomarkers(rng.normal(size=(1, 20, 1)), FEATURES[:20], ["x"]), truth, top=5)["found"].iloc[0]
        for _ in range(200)
    ]
    expected = recovered(biomarkers(np.ones((1, 20, 1)), FEATURES[:20], ["x"]), truth, top=5)["expected"].iloc[0]
    assert expected == stats.hypergeom(20, 3, 5).mean() == 0.75
    assert np.mean(finds) == pytest.approx(expected, abs=0.2)


def test_recovered_compares_like_with_like() -> None:
    """One name in two modalities is two features, and only modalities that both tables hold count."""
    weights = np.array([9.0, 8.0, 7.0, 1.0]).reshape(1, 4, 1)
    table = biomarkers(
        weights, ["TP53", "EGFR", "MYC", "TP53"], ["x"], modality=["mutation", "expression", "expression", "expression"]
    )
    kinds = ["expression", "expression", "methylation"]
    truth = pd.DataFrame({"drug": "x", "feature": ["EGFR", "TP53", "KRAS"], "modality": kinds})
    result = recovered(table, truth).iloc[0]
    assert result[["planted", "top", "found"]].tolist() == [2, 2, 1]
    assert result["expected"] == pytest.approx(2 * 2 / 3)
    both = recovered(table, truth.assign(modality=["mutation", "expression", "methylation"])).iloc[0]
    assert both[["planted", "top", "found"]].tolist() == [2, 2, 0]


def test_a_drug_that_was_not_ranked_is_undefined_not_zero() -> None:
    table = biomarkers(np.ones((1, 2, 1)), ["A", "B"], ["x"])
    truth = pd.DataFrame({"drug": ["x", "y"], "feature": ["A", "A"]})
    result = recovered(table, truth).set_index("drug")
    assert result.loc["y", "found"] == 0
    assert np.isnan(result.loc["y", "expected"])
