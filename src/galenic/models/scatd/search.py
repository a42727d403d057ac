"""Search of an encoder's shape and numbers by Optuna, over the space of the publication or a smaller one."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.models.fields import to_dict
from galenic.models.scatd.encoder import ScATDEncoder
from galenic.models.scatd.objective import drawn
from galenic.models.scatd.rounds import by_place, opened, quiet, rounds
from galenic.models.scatd.search_space import SPACES, Space, encoder_of
from galenic.work.bar import counted
from galenic.work.engines import workers


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
        A row a trial: ``number, value`` (NaN where it was given up), ``state`` ("COMPLETE", "PRUNED"),
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
        Journal file. An interrupted search goes on from it; with the same ``n_jobs`` the trials are then those of an
        uninterrupted search.
    n_jobs
        Trials at the same time; -1: one for each core, or worker of a cluster (:func:`galenic.work.engines.engine`).
        They are tried in rounds of as many, and a round is drawn from the rounds before it: 4 find the same on every
        engine, and other numbers than 1.
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
    ranges: Any = SPACES[space] if isinstance(space, str) and space in SPACES else space
    _check(ranges, base, n_trials, n_folds, share)
    objective = drawn(cells, base, n_folds, share, groups, seed, device)
    _require_optuna()
    settings = {
        "space": {name: list(np.atleast_1d(value).tolist()) for name, value in asdict(ranges).items()},
        "base": to_dict(base), "n_folds": n_folds, "share": share, "seed": seed, "n_cells": objective.matrix.n,
        "n_features": len(objective.matrix.features),
    }  # fmt: skip
    size = n_jobs if n_jobs > 0 else workers(n_jobs)
    with tempfile.TemporaryDirectory() as folder, quiet():
        own = Path(folder) / "search.journal" if storage is None else Path(storage)
        own.parent.mkdir(parents=True, exist_ok=True)
        study = opened(own)
        _require_same(study, settings, own)
        n = max([n_trials, *(place + 1 for place in by_place(study))])
        trials = rounds(study, objective, ranges, n_trials=n, size=size, n_jobs=n_jobs, seed=seed)
        finished = list(counted(trials, "trials", n))
    return _found(finished, base)


def _found(finished: list[Any], base: ScATDEncoder) -> Found:
    complete = [trial for trial in finished if trial.state.name == "COMPLETE"]
    if not complete:
        raise ValueError(
            f"one trial at least should be finished; all {len(finished):,} were given up, because losses were no "
            "longer finite. Lower the range of lr."
        )
    best = min(complete, key=lambda trial: trial.value)
    rows = [
        {"number": trial.user_attrs["place"], "value": trial.value if trial.state.name == "COMPLETE" else np.nan,
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


def _require_optuna() -> None:
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "the search of an encoder needs optuna, which is not installed. Install it: pip install 'galenic[hpo]'."
        ) from error
