"""Skill: worked cases, a plain bootstrap, undefined correlations, conditions joined by name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from galenic.evaluate import skill


def scores(values, metric="mae", n_contexts=2):
    names = [f"d{i}" for i in range(len(values) // n_contexts)]
    table = pd.DataFrame({"context": np.repeat(list("AB")[:n_contexts], len(names))})
    return table.assign(perturbation=names * n_contexts, **{metric: values})


def test_the_best_floor_is_the_one_compared_with():
    model = scores([0.1, 0.1, 0.2, 0.2])
    floors = {"no effect": scores([0.4] * 4), "mean": scores([0.2, 0.2, 0.2, 0.2])}
    row = skill(model, floors, "mae").iloc[0]
    assert row["floor"] == "mean"
    assert row["skill"] == pytest.approx(1 - 0.15 / 0.2)
    assert row["value"] == pytest.approx(0.15)
    assert row["low"] <= row["skill"] <= row["high"]


def test_the_error_of_a_similarity_is_its_distance_from_one():
    row = skill(scores([0.8, 0.6], "pearson_delta"), {"f": scores([0.5, 0.3], "pearson_delta")}, "pearson_delta").iloc[
        0
    ]
    assert row["skill"] == pytest.approx(1 - 0.3 / 0.6)


def test_conditions_are_joined_by_name():
    model, floor = scores([0.1, 0.2, 0.3, 0.4]), scores([0.2, 0.4, 0.6, 0.8])
    one, two = skill(model, {"f": floor}, "mae"), skill(model, {"f": floor.iloc[::-1]}, "mae")
    pd.testing.assert_frame_equal(one, two)
    assert one["low"][0] == pytest.approx(0.5)
    with pytest.raises(ValueError, match="1 are not shared"):
        skill(model, {"f": floor.iloc[1:]}, "mae")
    with pytest.raises(ValueError, match="stand once in the scores of the model"):
        skill(pd.concat([model, model]), {"f": floor}, "mae")


def test_an_undefined_correlation_is_left_out_or_counted_as_told():
    model = scores([0.8, 0.6, np.nan, 0.4], "pearson_delta")
    floors = {"no effect": scores([np.nan] * 4, "pearson_delta"), "mean": scores([0.5, 0.5, 0.5, 0.0], "pearson_delta")}
    out = skill(model, floors, "pearson_delta").iloc[0]
    assert (out["floor"], out["n"]) == ("mean", 3)
    assert out["skill"] == pytest.approx(1 - (0.2 + 0.4 + 0.6) / (0.5 + 0.5 + 1.0))
    counted = skill(model, floors, "pearson_delta", undefined_as=0.0).iloc[0]
    assert counted["n"] == 4
    assert counted["skill"] == pytest.approx(1 - (0.2 + 0.4 + 1.0 + 0.6) / (0.5 + 0.5 + 0.5 + 1.0))
    alone = skill(model, {"no effect": floors["no effect"]}, "pearson_delta").iloc[0]
    assert (alone["floor"], alone["n"]) == (None, 0)
    assert np.isnan(alone["skill"])
    nothing = skill(model, {"no effect": floors["no effect"]}, "pearson_delta", undefined_as=0.0).iloc[0]
    assert nothing["skill"] == pytest.approx((0.8 + 0.6 + 0.4) / 4)


def test_the_interval_is_that_of_a_plain_bootstrap(rng):
    ours, theirs = rng.gamma(2, 0.1, 60), rng.gamma(3, 0.1, 60)
    row = skill(scores(ours), {"f": scores(theirs)}, "mae", n=4000).iloc[0]
    ratios = []
    for _ in range(4000):
        rows = rng.integers(60, size=60)
        ratios.append(1 - ours[rows].mean() / theirs[rows].mean())
    np.testing.assert_allclose([row["low"], row["high"]], np.quantile(ratios, [0.025, 0.975]), atol=0.03)


def test_resampling_whole_perturbations_widens_the_interval_of_copies(rng):
    ours, theirs = rng.gamma(2, 0.1, 30), rng.gamma(3, 0.1, 30)
    model, floor = scores(np.tile(ours, 2)), scores(np.tile(theirs, 2))
    single = skill(model, {"f": floor}, "mae").iloc[0]
    whole = skill(model, {"f": floor}, "mae", by="perturbation").iloc[0]
    assert whole["skill"] == pytest.approx(single["skill"])
    assert whole["high"] - whole["low"] > 1.2 * (single["high"] - single["low"])


def test_what_cannot_be_asked_is_refused():
    model = scores([0.1, 0.2])
    with pytest.raises(ValueError, match="at least one floor"):
        skill(model, {}, "mae")
    with pytest.raises(ValueError, match="needs the column"):
        skill(model, {"f": model}, "rmse")
    with pytest.raises(ValueError, match="by should be"):
        skill(model, {"f": model}, "mae", by="plate")
    assert np.isnan(skill(model, {"f": scores([0.0, 0.0])}, "mae")["skill"][0])
