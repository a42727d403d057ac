"""Search of an encoder's shape and numbers by Optuna, over the space of the publication or a smaller one."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.models.fields import to_dict
from galenic.models.scatd.encoder import ScATDEncoder
from galenic.models.scatd.objective import Objective, drawn
from galenic.models.scatd.search_space import SPACES, Space, encoder_of
from galenic.work.engines import workers
from galenic.work.fan_out import fan_out

DONE = ("COMPLETE", "PRUNED")
FEWEST_TRIALS = 5
"""Trials before one is given up for its first folds."""


@dataclass(frozen=True, eq=False)
class Found:
    """What a search came to.

    Attributes
    ----------
    encoder
        The best one, not fitted.
    value
        Its mean over folds of the lowest validation loss.
    trials
        A row a finished trial: ``number, value`` (NaN where it was given up), ``state`` ("COMPLETE", "PRUNED"),
        ``folds`` (lowest loss of each fold that was trained), and its numbers.
    """

    encoder: ScATDEncoder
    value: float
    trials: pd.DataFrame


def search(
    cells: AnnData,
    *,
    space: Literal["VAE_sf", "VAE_gf", "small"] | Space = "small",
    base: ScATDEncoder | None = None,
    n_trials: int = 100,
    n_folds: int = 5,
    share: float = 0.3,
    groups: str | None = None,
    storage: str | Path | None = None,
    n_jobs: int = 1,
    seed: int = 42,
    device: str = "cpu",
) -> Found:
    """Look for the shape and numbers with which an encoder tells most of cells that it did not see.

    Each trial trains an encoder on every division into folds. Its value is the **mean over folds of the lowest
    validation loss of that fold**, and depends on its numbers alone, not on trials before it.

    Parameters
    ----------
    cells
        Unlabelled cells, as for :meth:`ScATDEncoder.fit`.
    space
        A name of :data:`SPACES`, or ranges of one's own.
    base
        Fields that are not searched: ``use_rep``, ``preset`` (loss, activation, spectral norm), ``seed``, ...
    n_trials
        Finished trials in the end, those that ``storage`` holds included, 1 or more.
    n_folds
        2 or more.
    share
        Share of the cells that is drawn for the search, in (0, 1].
    groups
        Column of ``obs`` (donor, sample): a fold leaves out whole groups.
    storage
        Journal file. An interrupted search goes on from it, and several processes may work on it at once; with
        ``n_jobs=1`` the trials are then those of an uninterrupted search.
    n_jobs
        Processes; -1: all cores, or workers of a cluster that see ``storage`` (:func:`galenic.work.engines.engine`).
        Several try other numbers than one: each learns from what the others have finished by then.
    seed
        Of the cells drawn, the folds and the numbers tried.
    device
        Where networks compute.

    Returns
    -------
    Found

    Raises
    ------
    ImportError
        If optuna is not installed.
    ValueError
        If a number is not allowed, cells are too few, or ``storage`` holds another search.

    Notes
    -----
    Tree-structured Parzen estimators (Bergstra et al., NeurIPS 2011) as in the publication, and median pruning: after
    each fold the mean so far is reported (step = number of the fold, so that trials of different lengths compare), and
    a trial worse than the median of those before it ends. Differences: the lowest loss is that of each fold (there the
    lowest of all trials before went into every mean); the step that is reported goes up (there every fold began at 0
    again); names are read as they are written; the decoder runs backwards.

    ``search(cells, n_trials=20, storage="search.journal", n_jobs=4).encoder.fit(cells)`` searches, and fits what was
    found.
    """
    base = ScATDEncoder() if base is None else base
    ranges = SPACES[space] if isinstance(space, str) and space in SPACES else space
    _check(ranges, base, n_trials, n_folds, share)
    objective = drawn(cells, base, n_folds, share, groups, seed, device)
    optuna = _optuna()
    settings = {
        "space": {name: list(np.atleast_1d(value).tolist()) for name, value in asdict(ranges).items()},  # type: ignore[arg-type]
        "base": to_dict(base), "n_folds": n_folds, "share": share, "seed": seed, "n_cells": objective.matrix.n,
        "n_features": len(objective.matrix.features),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, _quiet(optuna):
        own = Path(folder) / "search.journal" if storage is None else Path(storage)
        own = own.absolute()  # workers may stand in another folder
        own.parent.mkdir(parents=True, exist_ok=True)
        study = _study(own, create=True)
        _require_same(study, settings, own)
        begun, left = len(study.trials), max(0, n_trials - len(_finished(study)))
        n_workers = 1 if n_jobs == 1 else workers(n_jobs)
        shares = [left // n_workers + (number < left % n_workers) for number in range(n_workers)]
        jobs = {
            f"searcher {number}": (own, objective, ranges, n_workers > 1, seed, begun, number, n)
            for number, n in enumerate(shares)
            if n
        }
        for _ in fan_out(_worked, jobs, n_jobs=n_jobs):
            pass
        finished = _finished(_study(own))
    return _found(finished, base)


@dataclass(frozen=True, eq=False)
class _Trial:
    objective: Objective
    space: Space
    worker: int

    def __call__(self, trial: Any) -> float:
        from optuna import TrialPruned

        trial.set_user_attr("worker", self.worker)
        losses: list[float] = []
        try:
            for fold, loss in enumerate(
                self.objective.minima(encoder_of(self.space.suggest(trial), self.objective.base))
            ):
                losses.append(loss)
                trial.set_user_attr("folds", losses)
                trial.report(float(np.mean(losses)), step=fold)
                if trial.should_prune():
                    raise TrialPruned
        except FloatingPointError as error:
            raise TrialPruned("the loss was no longer finite") from error
        return float(np.mean(losses))


def _worked(
    storage: Path, objective: Objective, space: Space, parallel: bool, seed: int, begun: int, number: int, n: int
) -> None:
    """``n`` trials of one process after those that were ``begun`` before. Each draws from the seed and the number of
    trials finished before it; those of a process that was killed are counted when it is started again.
    """
    import optuna

    if not storage.is_file():
        raise ValueError(
            f"workers of a search should see its storage; {storage} is not there on one of them. Name a file on a disk "
            "that all machines share."
        )
    with _quiet(optuna):
        study = _study(storage)
        while sum(one.number >= begun and one.user_attrs.get("worker") == number for one in _finished(study)) < n:
            own = np.random.SeedSequence([seed, len(_finished(study)), number]).generate_state(1)[0]
            study.sampler = optuna.samplers.TPESampler(seed=int(own), constant_liar=parallel)
            study.optimize(_Trial(objective, space, number), n_trials=1)


def _study(path: Path, create: bool = False) -> Any:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    storage = JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))
    pruner = optuna.pruners.MedianPruner(n_startup_trials=FEWEST_TRIALS)
    how: dict[str, Any] = {"study_name": "encoder", "storage": storage, "pruner": pruner}
    return optuna.create_study(**how, load_if_exists=True) if create else optuna.load_study(**how)


def _finished(study: Any) -> list[Any]:
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.name in DONE]


def _found(finished: list[Any], base: ScATDEncoder) -> Found:
    complete = [trial for trial in finished if trial.state.name == "COMPLETE"]
    if not complete:
        raise ValueError(
            f"one trial at least should be finished; all {len(finished):,} were given up, because losses were no "
            "longer finite. Lower the range of lr."
        )
    best = min(complete, key=lambda trial: trial.value)
    rows = [
        {"number": trial.number, "value": trial.value if trial.state.name == "COMPLETE" else np.nan,
         "state": trial.state.name, "folds": trial.user_attrs.get("folds", []), **trial.params}
        for trial in finished
    ]  # fmt: skip
    return Found(encoder_of(best.params, base), float(best.value), pd.DataFrame(rows))


def _require_same(study: Any, settings: dict[str, Any], path: Path) -> None:
    """Write down what is searched, or refuse to go on with another search."""
    known = study.user_attrs.get("settings")
    if known is None:
        study.set_user_attr("settings", settings)
    elif known != json.loads(json.dumps(settings)):
        other = [name for name in settings if known.get(name) != json.loads(json.dumps(settings[name]))]
        raise ValueError(
            f"a search should go on with the settings it began with; {path} was begun with other {', '.join(other)}. "
            "Use the former settings, or name another file."
        )


def _check(space: object, base: ScATDEncoder, n_trials: int, n_folds: int, share: float) -> None:
    if not isinstance(space, Space):
        raise ValueError(f"space should be one of {', '.join(SPACES)}, or a Space; received {space!r}. Choose one.")
    if n_trials < 1 or n_folds < 2 or not 0 < share <= 1 or base.as_published:
        raise ValueError(
            "a search needs n_trials of 1 or more, n_folds of 2 or more, share in (0, 1] and a base that is not "
            f"as_published; received {n_trials}, {n_folds}, {share} and as_published={base.as_published}. Correct "
            "these."
        )


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ImportError(
            "the search of an encoder needs optuna, which is not installed. Install it: pip install 'galenic[hpo]'."
        ) from error
    return optuna


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Without a line for each trial."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
