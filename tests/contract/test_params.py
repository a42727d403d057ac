"""Every model has its parameters in the way of scikit-learn, and says so where it is not fitted."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from sklearn.base import clone

from galenic.models import ENCODERS, MODELS, find
from galenic.models.base import NotFittedError

EVERY = sorted(MODELS | ENCODERS)


def other_value(value: Any) -> Any:
    """Another value of the same kind that is likely to be in range."""
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else value


@pytest.mark.parametrize("name", EVERY)
def test_parameters_are_the_fields(name: str) -> None:
    model = find(name)()
    params = model.get_params(deep=False)
    assert list(params) == [field.name for field in dataclasses.fields(model)]
    assert all(params[key] is getattr(model, key) for key in params)
    assert set(params) <= set(model.get_params())


@pytest.mark.parametrize("name", EVERY)
def test_a_clone_has_the_parameters_and_nothing_learned(name: str) -> None:
    model = find(name)()
    first = next((key for key, value in model.get_params(deep=False).items() if key == "seed"), None)
    if first is not None:
        model.set_params(seed=7)
    model.spec_, model.arrays_ = {}, {}
    copied = clone(model)
    assert type(copied) is type(model)
    assert copied == model
    assert copied.get_params() == model.get_params()
    assert not hasattr(copied, "spec_")


@pytest.mark.parametrize("name", EVERY)
def test_what_is_set_is_got_in_place(name: str) -> None:
    model, before = find(name)(), find(name)().get_params()
    assert model.set_params(**before) is model
    assert model.get_params() == before
    for key, value in before.items():
        if key == "seed" or key.endswith("__seed"):
            assert model.set_params(**{key: other_value(value)}).get_params()[key] == other_value(value)
    with pytest.raises(ValueError, match="has no parameter 'no_such'"):
        model.set_params(no_such=1)


def test_a_wrong_value_changes_nothing() -> None:
    seeded = [model for model in (find(name)() for name in EVERY) if "seed" in model.get_params()]
    assert len(seeded) > 5
    for model in seeded:
        before = model.get_params()
        with pytest.raises((TypeError, ValueError), match="should be"):
            model.set_params(seed="seven")
        assert model.get_params() == before


def test_parts_of_a_field_are_set_by_two_underscores() -> None:
    model = find("KDRUG")()
    lr = model.training.lr
    changed = clone(model).set_params(training__lr=2 * lr, seed=3)
    assert (changed.training.lr, changed.seed, model.training.lr) == (2 * lr, 3, lr)
    assert changed.get_params()["training__lr"] == 2 * lr


@pytest.mark.parametrize("name", EVERY)
def test_one_that_is_not_fitted_says_so(name: str) -> None:
    with pytest.raises(NotFittedError, match=rf"this {name} is not fitted; call fit"):
        find(name)()._check_fitted()
    with pytest.raises(ValueError, match="is not fitted"):
        find(name)().save("nowhere")
