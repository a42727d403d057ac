"""The search of an encoder: its objective by hand, independence of trials, going on, and what it finds."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData

from galenic.data.simulate.single_cell import bulk_and_cells
from galenic.models.scatd import pretraining, rounds
from galenic.models.scatd.encoder import ScATDEncoder
from galenic.models.scatd.objective import drawn
from galenic.models.scatd.rounds import FEWEST_TRIALS
from galenic.models.scatd.search import search
from galenic.models.scatd.search_space import SPACES, Space, encoder_of
from galenic.nn.residual_vae import ResidualVAE, residual_vae_terms
from galenic.nn.residual_vae_published import PUBLISHED
from galenic.train import Batches, Training, seeded, train

TINY = Space(
    lr=(1e-3, 1e-2), weight_decay=(1e-5, 1e-2), max_epochs=(1, 3), n_latent=(2, 4), first=(8, 16), last=(4, 8),
    middle=(4, 8), step=2, n_middle=(0, 2),
)  # fmt: skip
HOW: dict[str, Any] = {"space": TINY, "n_folds": 2, "share": 0.8}
NUMBERS = {"lr": 5e-3, "weight_decay": 1e-3, "max_epochs": 3, "n_latent": 3, "first": 8, "last": 5, "n_middle": 0}


@cache
def _cells() -> AnnData:
    return bulk_and_cells(n_genes=30, n_cells=80, n_drivers=5, seed=2)[1]


def cells() -> AnnData:
    return _cells().copy()


def optuna() -> Any:
    return pytest.importorskip("optuna", reason="optuna is in the extra [hpo]")


def test_fault_12_the_objective_is_the_mean_of_the_lowest_loss_of_each_fold() -> None:
    """Naive twin: divide, standardise, train and take the minimum of each fold by itself."""
    base = ScATDEncoder(beta=5.0, spectral="none", seed=4)
    objective = drawn(cells(), base, 3, 0.6, None, 42)
    assert objective.matrix.n == len(objective.folds) == 48
    assert np.bincount(objective.folds).tolist() == [16, 16, 16]
    x = objective.matrix.dense()
    expected, last = [], []
    numbers = {**NUMBERS, "lr": 0.1, "max_epochs": 8}
    for fold in range(3):
        away = objective.folds == fold
        mean, sd = x[~away].mean(axis=0), x[~away].std(axis=0)
        values = np.clip((x - mean) / sd, -10, 10).astype(np.float32)
        with seeded(4 + fold):
            net = ResidualVAE(30, 3, encoder=(8, 5), decoder=(8,), activation="swish")

        def step(net: Any, batch: dict[str, torch.Tensor], _: float) -> dict[str, torch.Tensor]:
            return residual_vae_terms(net(batch["x"]), batch["x"], beta=5.0)

        training = Training(lr=0.1, weight_decay=1e-3, max_epochs=8, schedule="cosine", monitor="none")
        batches = Batches(values, batch_size=8, rows=~away)
        watched = Batches(values, batch_size=512, rows=away, shuffle=False)
        history = train(net, batches, step, training, valid=watched, seed=4 + fold, device="cpu")
        expected.append(min(history["valid_total"]))
        last.append(history["valid_total"].iloc[-1])
    found = list(objective.minima(encoder_of(numbers, base)))
    assert found == pytest.approx(expected, rel=1e-4)
    assert len(set(found)) == 3
    assert max(last) > max(expected)  # the lowest loss was not always that of the last epoch


def test_fault_12_names_are_read_as_written_and_the_decoder_runs_backwards() -> None:
    """The published networks come out of the numbers that they were found by."""
    for name in ("VAE_sf", "VAE_gf"):
        shape, space = PUBLISHED[name], SPACES[name]
        first, *middle, last = shape.encoder
        *inner, outer = shape.decoder
        assert outer == first
        numbers = {**NUMBERS, "first": first, "last": last, "n_latent": shape.n_latent, "n_middle": len(middle)}
        numbers |= {f"encoder_middle_{number}": width for number, width in enumerate(middle)}
        numbers |= {f"decoder_middle_{number}": width for number, width in enumerate(inner[::-1])}
        found = encoder_of(numbers)
        assert (found.encoder, found.decoder, found.n_latent) == (shape.encoder, shape.decoder, shape.n_latent)
        for key in ("first", "last", "n_latent"):
            low, high = getattr(space, key)
            assert low <= numbers[key] <= high
        assert all(space.middle[0] <= width <= space.middle[1] for width in [*middle, *inner])


def test_every_number_that_is_suggested_is_used_and_none_is_lacking() -> None:
    trials = optuna().trial

    class Watched(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            read.add(name)
            return super().__getitem__(name)

    for space in (*SPACES.values(), TINY):
        for seed in range(5):
            rng = random.Random(seed)
            fixed = {"lr": space.lr[0], "weight_decay": space.weight_decay[0]}
            for name in ("max_epochs", "n_latent", "first", "last", "n_middle"):
                fixed[name] = rng.randint(*getattr(space, name))
            for side in ("encoder", "decoder"):
                steps = range(space.middle[0], space.middle[1] + 1, space.step)
                fixed |= {f"{side}_middle_{number}": rng.choice(steps) for number in range(3)}
            read: set[str] = set()
            numbers = space.suggest(trials.FixedTrial(fixed))
            model = encoder_of(Watched(numbers))
            assert read == set(numbers)
            assert len(model.encoder) == 2 + numbers["n_middle"]
            assert len(model.decoder) == 1 + numbers["n_middle"]


def test_a_value_depends_on_its_numbers_alone() -> None:
    """Fault 12: published values hold the lowest loss of all trials before. Any trial alone gives the same."""
    optuna()
    found = search(cells(), n_trials=4, **HOW)
    objective = drawn(cells(), ScATDEncoder(), 2, 0.8, None, 42)
    complete = found.trials[found.trials["state"] == "COMPLETE"].iloc[::-1]
    assert len(complete) >= 3
    for _, row in complete.iterrows():
        numbers = row.dropna().drop(["number", "value", "state", "folds"]).to_dict()
        whole = {name: int(v) if name not in ("lr", "weight_decay") else v for name, v in numbers.items()}
        minima = list(objective.minima(encoder_of(whole)))
        assert row["folds"] == pytest.approx(minima)
        assert row["value"] == pytest.approx(np.mean(minima))
    assert found.value == complete["value"].min()


def test_a_search_goes_on_as_if_it_had_not_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    optuna()
    whole = search(cells(), n_trials=6, **HOW)
    assert whole.trials["lr"].nunique() == 6
    step, asked = pretraining.Step.__call__, []

    def stopped(self: object, *given: object) -> object:
        asked.append(1)
        if len(asked) == 30:
            raise KeyboardInterrupt
        return step(self, *given)

    monkeypatch.setattr(pretraining.Step, "__call__", stopped)
    with pytest.raises(KeyboardInterrupt):
        search(cells(), n_trials=6, storage=tmp_path / "s.journal", **HOW)
    monkeypatch.setattr(pretraining.Step, "__call__", step)
    some = search(cells(), n_trials=4, storage=tmp_path / "s.journal", **HOW)
    assert some.trials["number"].tolist() == [0, 1, 2, 3]
    again = search(cells(), n_trials=6, storage=tmp_path / "s.journal", **HOW)
    pd.testing.assert_frame_equal(again.trials, whole.trials, check_exact=True)
    assert (again.encoder, again.value) == (whole.encoder, whole.value)
    nothing = search(cells(), n_trials=6, storage=tmp_path / "s.journal", **HOW)
    pd.testing.assert_frame_equal(nothing.trials, again.trials)
    with pytest.raises(ValueError, match=r"begun with other n_folds\. Use the former"):
        search(cells(), n_trials=6, storage=tmp_path / "s.journal", **{**HOW, "n_folds": 3})


def test_a_round_that_was_stopped_anywhere_goes_on_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In rounds of three, ended in whatever order, of which the second is stopped after its last trial."""
    optuna()

    def forwards(function: Any, jobs: dict[str, Any], n_jobs: int) -> Any:
        yield from ((name, function(*arguments)) for name, arguments in jobs.items())

    monkeypatch.setattr(rounds, "fan_out", forwards)
    whole = search(cells(), n_trials=7, n_jobs=3, **HOW)
    assert whole.trials["number"].tolist() == list(range(7))
    assert whole.trials["lr"].nunique() == 7

    def backwards(function: Any, jobs: dict[str, Any], n_jobs: int) -> Any:
        yield from forwards(function, dict(list(jobs.items())[::-1]), n_jobs)

    def stopped(function: Any, jobs: dict[str, Any], n_jobs: int) -> Any:
        for name, found in backwards(function, jobs, n_jobs):
            yield name, found
            if name == "trial 5":
                raise KeyboardInterrupt

    place = tmp_path / "s.journal"
    monkeypatch.setattr(rounds, "fan_out", stopped)
    with pytest.raises(KeyboardInterrupt):
        search(cells(), n_trials=7, n_jobs=3, storage=place, **HOW)
    assert sorted(rounds.by_place(rounds.opened(place))) == [0, 1, 2, 5]
    monkeypatch.setattr(rounds, "fan_out", backwards)
    again = search(cells(), n_trials=7, n_jobs=3, storage=place, **HOW)
    pd.testing.assert_frame_equal(again.trials, whole.trials, check_exact=True)


def test_what_is_found_can_be_fitted_and_is_the_best() -> None:
    optuna()
    state = [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]  # noqa: NPY002
    data = cells()
    found = search(data, n_trials=3, base=ScATDEncoder(seed=3, n_genes=12), groups="sample", **HOW)
    assert state == [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]  # noqa: NPY002
    np.testing.assert_array_equal(data.X, cells().X)
    assert (found.encoder.seed, found.encoder.n_genes) == (3, 12)
    best = found.trials.loc[found.trials["value"].idxmin()]
    assert found.encoder.training.lr == best["lr"]
    assert found.encoder.encoder[0] == best["first"]
    with pytest.warns(UserWarning, match="latents") if found.encoder.n_latent > found.encoder.encoder[-1] else _calm():
        assert found.encoder.fit(data).embed(data).shape == (80, found.encoder.n_latent)


def _calm() -> Any:
    from contextlib import nullcontext

    return nullcontext()


def test_poor_trials_end_early_and_diverging_ones_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pruner compares the mean over the folds so far with that of earlier trials after as many folds."""
    optuna()
    values = iter([*[1.0, 1.0] * FEWEST_TRIALS, 9.0, 1.0, 0.5, 0.5])

    def minima(self: object, encoder: ScATDEncoder) -> Any:
        for _ in range(2):
            value = next(values)
            yield value

    monkeypatch.setattr("galenic.models.scatd.objective.Objective.minima", minima)
    found = search(cells(), n_trials=FEWEST_TRIALS + 1, **HOW)
    assert found.trials["state"].tolist() == ["COMPLETE"] * FEWEST_TRIALS + ["PRUNED"]
    assert found.trials["folds"].iloc[-1] == [9.0]

    def broken(self: object, encoder: ScATDEncoder) -> Any:
        raise FloatingPointError("not finite")
        yield

    monkeypatch.setattr("galenic.models.scatd.objective.Objective.minima", broken)
    with pytest.raises(ValueError, match=r"all 2 were given up.*Lower the range of lr"):
        search(cells(), n_trials=2, **HOW)


def test_folds_leave_out_whole_groups() -> None:
    data = cells()
    data.obs["donor"] = np.repeat(list("abcdefgh"), 10)
    objective = drawn(data, ScATDEncoder(), 3, 1.0, "donor", 1)
    assert pd.Series(objective.folds).groupby(data.obs["donor"].to_numpy()).nunique().max() == 1
    with pytest.raises(ValueError, match=r"9 folds need as many groups.*received 8"):
        drawn(data, ScATDEncoder(), 9, 1.0, "donor", 1)


@pytest.mark.parametrize(
    "wrong",
    [{"n_trials": 0}, {"n_folds": 1}, {"share": 0.0}, {"base": ScATDEncoder(preset="VAE_sf", as_published=True)}],
)
def test_what_cannot_be_searched_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"a search needs .*; received .* Correct these"):
        search(cells(), **{**HOW, **wrong})
    with pytest.raises(ValueError, match=r"one of VAE_sf, VAE_gf, small, or a Space; received 'large'"):
        search(cells(), space="large")  # type: ignore[arg-type]


def test_without_optuna_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(ImportError, match=r"needs optuna.*pip install 'galenic\[hpo\]'"):
        search(cells(), **HOW)


def test_spaces_are_those_of_the_publication() -> None:
    space = SPACES["VAE_sf"]
    assert (space.lr, space.weight_decay, space.max_epochs) == ((1e-6, 5e-4), (1e-5, 1e-2), (10, 60))
    assert (space.n_latent, space.first, space.last) == ((200, 500), (1500, 2500), (250, 500))
    assert (space.middle, space.step, space.n_middle) == ((750, 1500), 50, (1, 3))
    other = replace(space, n_latent=(150, 500), first=(250, 2500), last=(150, 500), middle=(250, 1500))
    assert SPACES["VAE_gf"] == other
