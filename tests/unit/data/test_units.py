"""Units of response: conversions agree with arithmetic, and values that contradict a name are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galenic.data.units import ACCEPTED, SPELLINGS, family, guess_unit, to_unit, unit_of_name

FROM_MICROMOLAR = {
    "ln_ic50": np.log,
    "ic50": lambda c: c,
    "ic50_nm": lambda c: 1000 * c,
    "log10_ic50": np.log10,
    "log2_ic50": np.log2,
    "pic50": lambda c: -np.log10(c * 1e-6),
}
concentrations = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=5)


@pytest.mark.parametrize("unit", FROM_MICROMOLAR)
@given(concentrations)
def test_every_spelling_of_one_concentration_is_the_same_response(unit, values):
    c = np.array(values)
    np.testing.assert_allclose(to_unit(FROM_MICROMOLAR[unit](c), unit, "ic50"), c, rtol=1e-9)
    np.testing.assert_allclose(to_unit(FROM_MICROMOLAR[unit](c), unit, "ln_ic50"), np.log(c), atol=1e-9)


def test_fractions_convert_within_their_family():
    np.testing.assert_allclose(to_unit([0.25], "aac", "auc"), [0.75])
    np.testing.assert_allclose(to_unit([30.0], "viability_percent", "viability"), [0.3])


@pytest.mark.parametrize("source", SPELLINGS)
@pytest.mark.parametrize("target", ["ln_ic50", "auc", "viability"])
def test_families_do_not_mix(source, target):
    if family(source) == family(target):
        assert np.isfinite(to_unit([0.5], source, target)).all()
    else:
        with pytest.raises(ValueError, match=r"one point of the dose response curve.*already"):
            to_unit([0.5], source, target)


def test_missing_stays_missing_and_input_is_untouched():
    values = np.array([np.nan, 1.0])
    out = to_unit(values, "ic50", "ln_ic50")
    assert np.isnan(out[0])
    assert out[1] == 0
    same = to_unit(values, "ln_ic50", "ln_ic50")
    same[1] = 9
    assert values[1] == 1.0


@pytest.mark.parametrize("bad", [[0.0, 1.0], [-1.0, 2.0]])
def test_concentrations_are_positive(bad):
    with pytest.raises(ValueError, match=r"above zero; 1 of 2 values.*unit='ln_ic50'"):
        to_unit(bad, "ic50", "ln_ic50")
    with pytest.raises(ValueError, match="above zero"):
        guess_unit("IC50", bad)


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("LN_IC50", "ln_ic50"),
        ("IC50", "ic50"),
        ("IC50 (µM)", "ic50"),
        ("ic50_nM", "ic50_nm"),
        ("pIC50", "pic50"),
        ("AUC", "auc"),
        ("area_under_curve", "auc"),
        ("viability", "viability"),
        ("Z_SCORE", None),
        ("drug", None),
    ],
)
def test_names_state_units(name, unit):
    assert unit_of_name(name) == unit


def test_a_log_without_base_is_refused():
    with pytest.raises(ValueError, match="base of its log"):
        unit_of_name("LOG_IC50")


def test_unlogged_values_under_a_log_name_are_refused():
    with pytest.raises(ValueError, match=r"no negative value and reaches 3,000.*--unit ic50"):
        guess_unit("ln_ic50", [0.1, 20.0, 3000.0])
    with pytest.raises(ValueError, match="starts at -500"):
        guess_unit("ln_ic50", [-500.0, 2.0])
    assert guess_unit("ln_ic50", [0.1, 12.8]) == "ln_ic50"
    assert guess_unit("ln_ic50", [np.nan, np.inf, 3.0]) == "ln_ic50"


def test_areas_and_percentages_are_no_fractions():
    with pytest.raises(ValueError, match="area of full viability"):
        guess_unit("auc", [14.0, 15.0, 3.0])
    with pytest.raises(ValueError, match="viability_percent"):
        guess_unit("viability", [90.0, 100.0])
    # Pooled screens have cells that grow; a single such curve is no reason to refuse.
    assert guess_unit("auc", [0.9] * 200 + [7.0]) == "auc"


def test_an_unknown_column_or_unit_is_named():
    with pytest.raises(ValueError, match="'score' does not state a unit"):
        guess_unit("score", [1.0])
    with pytest.raises(ValueError, match="received 'ic90'"):
        family("ic90")
    with pytest.raises(ValueError, match="held in one of"):
        to_unit([1.0], "ic50", "ic50_nm")


def test_every_unit_is_named_where_one_is_wanted():
    assert set(ACCEPTED) == set(SPELLINGS)
    assert ACCEPTED[:4] == ("ln_ic50", "ic50", "auc", "viability")
    for wrong in (lambda: guess_unit("z_score", [1.0]), lambda: family("nm")):
        with pytest.raises(ValueError, match="--unit") as error:
            wrong()
        assert all(repr(unit) in str(error.value) for unit in SPELLINGS)
