"""Rounds of a search: trials that are tried together, drawn from those of earlier rounds alone.

So a round is the same wherever its trials run, in whatever order they end, and whether or not it was interrupted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from galenic.models.scatd.objective import Objective
from galenic.models.scatd.search_space import Space, encoder_of
from galenic.work.fan_out import fan_out

FEWEST_TRIALS = 5
"""Trials before one is given up for its first folds."""
DONE = ("COMPLETE", "PRUNED")


def rounds(
    study: Any, objective: Objective, space: Space, *, n_trials: int, size: int, n_jobs: int, seed: int
) -> Iterator[Any]:
    """Finished trials of a study by their places, the lacking ones tried and put into it."""
    done = by_place(study)
    for start in range(0, n_trials, size):
        places = range(start, min(start + size, n_trials))
        lacking = [place for place in places if place not in done]
        if lacking:
            before = [done[place] for place in range(start)]
            numbers = proposed(space, before, len(places), seed)
            jobs = {f"trial {place}": (objective, space, before, numbers[place - start], place) for place in lacking}
            for _, trial in fan_out(tried, jobs, n_jobs=n_jobs):
                study.add_trial(trial)
                done[trial.user_attrs["place"]] = trial
        yield from (done[place] for place in places)


def by_place(study: Any) -> dict[int, Any]:
    """Finished trials by their places in the search; that of a place which was there first."""
    found: dict[int, Any] = {}
    for trial in study.get_trials(deepcopy=False):
        if trial.state.name in DONE:
            found.setdefault(trial.user_attrs["place"], trial)
    return found


def proposed(space: Space, before: list[Any], size: int, seed: int) -> list[dict[str, Any]]:
    """Numbers of the trials of a round; each knows the numbers of those beside it, and no results but earlier ones."""
    import optuna

    own = np.random.SeedSequence([seed, len(before), 0]).generate_state(1)[0]
    sampler = optuna.samplers.TPESampler(seed=int(own), constant_liar=True)
    with quiet():
        study = optuna.create_study(sampler=sampler)
        study.add_trials(before)
        return [space.suggest(study.ask()) for _ in range(size)]


def tried(objective: Objective, space: Space, before: list[Any], numbers: dict[str, Any], place: int) -> Any:
    """A trial with its numbers, given up where it does worse than the median of those before."""
    import optuna

    pruner = optuna.pruners.MedianPruner(n_startup_trials=FEWEST_TRIALS)
    with quiet():
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), pruner=pruner)
        study.add_trials(before)
        study.enqueue_trial(numbers, user_attrs={"place": place})

        def value(trial: Any) -> float:
            losses: list[float] = []
            try:
                for fold, loss in enumerate(objective.minima(encoder_of(space.suggest(trial), objective.base))):
                    losses.append(loss)
                    trial.set_user_attr("folds", losses)
                    trial.report(float(np.mean(losses)), step=fold)
                    if trial.should_prune():
                        raise optuna.TrialPruned
            except FloatingPointError as error:
                raise optuna.TrialPruned("the loss was no longer finite") from error
            return float(np.mean(losses))

        study.optimize(value, n_trials=1)
        return study.trials[-1]


def opened(path: Path) -> Any:
    """The study of a journal file."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    storage = JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))
    return optuna.create_study(study_name="encoder", storage=storage, load_if_exists=True)


@contextmanager
def quiet() -> Iterator[None]:
    """Without a line of Optuna's for each trial."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
