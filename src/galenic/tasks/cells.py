"""Judging models of cells on targets whose labels are known, and which they never see, or see a few of."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from sklearn.model_selection import StratifiedKFold

from galenic.data.checks import first
from galenic.evaluate.transfer import KEYS, PREDICTIONS
from galenic.models.cells.cell_model import CellModel
from galenic.models.cells.source import labels_of
from galenic.models.fields import with_params
from galenic.work.bar import counted
from galenic.work.contents import contents
from galenic.work.fan_out import fan_out
from galenic.work.kept import Kept
from galenic.work.near import did_you_mean

SHARE = 0.9
"""Of the lines, drawn anew for each seed."""
SIZES = (1, 3, 5, 10)


def zero_shot(
    models: Mapping[str, CellModel],
    bulk: AnnData,
    target: AnnData,
    truth: str | pd.Series,
    *,
    name: str = "target",
    seeds: Sequence[int] = range(5),
    share: float = SHARE,
    n_jobs: int = 1,
    parts: str | Path | None = None,
    **columns: Any,
) -> pd.DataFrame:
    """Learn from lines alone, and answer for every cell of a target.

    Parameters
    ----------
    models
        By name; not changed. Each seed is given to a copy.
    bulk
        Labelled lines (:func:`galenic.data.bulk.labelled_bulk`).
    target
        Cells. Models are given them without ``obs``.
    truth
        Labels of the cells, 1 = sensitive: a column of ``target.obs``, or a Series by cell id.
    name
        Of the target, for the table.
    seeds
        Each seed draws the lines anew and sets the folds, so that the spread over seeds is also one over lines.
    share
        Of the cell lines that are drawn, without replacement, (0, 1]. The spread is then smaller than that between
        independent sets of lines.
    n_jobs
        Models and seeds at the same time; -1: all cores, or workers of a cluster
        (:func:`galenic.work.engines.engine`).
    parts
        Folder in which finished answers are kept, so that interrupted work goes on where it was; refused where they are
        of other data or models.
    **columns
        ``label, response, line, platform`` of :meth:`~galenic.models.cells.cell_model.CellModel.fit`.

    Returns
    -------
    pandas.DataFrame
        One row a model, seed and cell, for :func:`galenic.evaluate.transfer_scores`.

    Examples
    --------
    >>> from galenic import AlignedLogistic, CellPrior, evaluate
    >>> from galenic.data.simulate.single_cell import bulk_and_cells
    >>> bulk, cells = bulk_and_cells(n_genes=50, n_lines=60, n_cells=100)
    >>> models = {"aligned": AlignedLogistic(), "prior": CellPrior()}
    >>> found = evaluate.transfer_scores(zero_shot(models, bulk, cells, "label", seeds=[0, 1], line="line"), ["auroc"])
    >>> means = found[found["metric"] == "auroc"].groupby("model")["value"].mean()
    >>> bool(means["aligned"] > 0.8), float(means["prior"])
    (True, 0.5)
    """
    known, cells = _truth(target, truth), blinded(target)

    def answer(label: str, model: CellModel, seed: int) -> pd.DataFrame:
        some = some_lines(bulk, columns.get("line"), share, seed)
        fitted = _quiet(with_params(model, {"seed": seed}).fit, some, target=cells, **columns)
        return _answer(fitted, cells, known, (label, name, _drug(bulk), "zero-shot", 0, seed))

    asked = {f"{label}, seed {seed}": (label, model, seed) for seed in seeds for label, model in models.items()}
    return _answers(answer, asked, n_jobs, parts, (models, bulk, cells, known, name, share, columns))


def few_shot(
    models: Mapping[str, CellModel],
    bulk: AnnData | None,
    target: AnnData,
    truth: str | pd.Series,
    *,
    name: str = "target",
    sizes: Sequence[int] = SIZES,
    repeats: int = 30,
    seed: int = 0,
    n_jobs: int = 1,
    parts: str | Path | None = None,
    **columns: Any,
) -> pd.DataFrame:
    """Learn from a few labelled cells of the target, with or without lines, and answer for the other cells.

    Parameters
    ----------
    models, target, truth, name, n_jobs, parts, **columns
        As for :func:`zero_shot`.
    bulk
        Lines to learn from as well; None: the few cells alone. A model with ``with_few`` learns from lines once.
    sizes
        Cells of each class that are given labels.
    repeats
        Draws of these cells; every model is given the same.
    seed
        Of the draws, and of the models.

    Returns
    -------
    pandas.DataFrame
        As from :func:`zero_shot`, ``seed`` = number of the draw. Cells whose labels were given are not in it.

    Raises
    ------
    ValueError
        If a class has no cell left to be asked about.

    Examples
    --------
    >>> from galenic import CellCentroid, evaluate
    >>> from galenic.data.simulate.single_cell import bulk_and_cells
    >>> _, cells = bulk_and_cells(n_genes=50, n_cells=100)
    >>> found = few_shot({"centroid": CellCentroid()}, None, cells, "label", sizes=[1, 10], repeats=5)
    >>> scores = evaluate.transfer_scores(found, ["auroc"])
    >>> scores = scores[scores["metric"] == "auroc"].groupby("size")["value"].mean()
    >>> bool(scores[10] > scores[1])
    True
    """
    known, cells = _truth(target, truth), blinded(target)
    ids = [known.index[known == one] for one in (0, 1)]
    if min(map(len, ids)) <= max(sizes):
        raise ValueError(
            f"each class should have more cells than are given labels ({max(sizes)}); the target has {len(ids[1])} "
            f"sensitive and {len(ids[0])} resistant ones. Ask for fewer."
        )
    models = {label: with_params(model, {"seed": seed}) for label, model in models.items()}
    fitted: dict[str, Any] = {}
    if bulk is not None:
        able = {label: model for label, model in models.items() if hasattr(model, "with_few")}
        fitted = {label: _quiet(model.fit, bulk, target=cells, **columns) for label, model in able.items()}

    def answer(label: str, model: CellModel, size: int, repeat: int) -> pd.DataFrame:
        rng = np.random.default_rng([seed, size, repeat])
        given = known[np.concatenate([rng.choice(some, size, replace=False) for some in ids])]
        if label in fitted:
            seen = _quiet(fitted[label].with_few, cells, given)
        else:
            seen = _quiet(with_params(model, {}).fit, bulk, target=cells, few=given, **columns)
        return _answer(seen, cells, known.drop(given.index), (label, name, _drug(bulk), "few-shot", size, repeat))

    asked = {
        f"{label}, {size} a class, draw {repeat}": (label, model, size, repeat)
        for size in sizes
        for repeat in range(repeats)
        for label, model in models.items()
    }
    return _answers(answer, asked, n_jobs, parts, (models, bulk, cells, known, name, seed, columns))


def within_target(
    models: Mapping[str, CellModel],
    target: AnnData,
    truth: str | pd.Series,
    *,
    name: str = "target",
    n_folds: int = 5,
    seeds: Sequence[int] = range(5),
    n_jobs: int = 1,
    parts: str | Path | None = None,
) -> pd.DataFrame:
    """The ceiling: learn from the labels of most cells of the target, and answer for the others.

    No question anybody has: where most cells have labels there is nothing left to predict. It says whether the labels
    can be read from these features at all.

    Parameters
    ----------
    models, target, truth, name, n_jobs, parts
        As for :func:`zero_shot`.
    n_folds, seeds
        Folds of cells, and seeds of their division.

    Returns
    -------
    pandas.DataFrame
        As from :func:`zero_shot`; every cell was answered for by a model that did not see its label. ``seed`` numbers
        the folds of all divisions, so that each is scored by itself; ``size`` = cells it was trained on.

    Examples
    --------
    >>> from galenic import AlignedLogistic, evaluate
    >>> from galenic.data.simulate.single_cell import bulk_and_cells
    >>> _, cells = bulk_and_cells(n_genes=50, n_cells=100)
    >>> found = within_target({"logistic": AlignedLogistic()}, cells, "label", seeds=[0])
    >>> bool(evaluate.transfer_scores(found, ["auroc"])["value"].max() > 0.95)
    True
    """
    known, cells = _truth(target, truth), blinded(target)

    def answer(label: str, model: CellModel, seed: int, fold: int) -> pd.DataFrame:
        folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(known, known)
        train, test = list(folds)[fold]
        fitted = _quiet(with_params(model, {"seed": seed}).fit, None, target=cells, few=known.iloc[train])
        key = (label, name, "", "within target", len(train), seed * n_folds + fold)
        return _answer(fitted, cells, known.iloc[test], key)

    asked = {
        f"{label}, seed {seed}, fold {fold}": (label, model, seed, fold)
        for seed in seeds
        for fold in range(n_folds)
        for label, model in models.items()
    }
    return _answers(answer, asked, n_jobs, parts, (models, cells, known, name, n_folds))


def some_lines(bulk: AnnData, line: str | None, share: float, seed: int) -> AnnData:
    """A share of the cell lines, each with all its samples, in the order they had."""
    if not 0 < share <= 1:
        raise ValueError(f"the share of lines should be above 0 and at most 1; received {share}. 0.9 is usual.")
    names = pd.Index(bulk.obs_names if line is None else bulk.obs[line].astype(str))
    lines = np.unique(names)
    chosen = np.random.default_rng(seed).permutation(lines)[: max(round(share * len(lines)), 1)]
    return bulk[names.isin(chosen)].copy()


def blinded(target: AnnData) -> AnnData:
    """Cells with nothing said of them: no ``obs`` and no ``uns``. The matrix is shared, not copied."""
    if target.isbacked:
        target = target.to_memory()
    obs = pd.DataFrame(index=target.obs_names.copy())
    return AnnData(target.X, obs=obs, var=target.var.copy(), obsm=dict(target.obsm))


def _answers(
    answer: Callable[..., pd.DataFrame], asked: dict[str, tuple[Any, ...]], n_jobs: int, parts: Any, of: Any
) -> pd.DataFrame:
    """The answers below each other, in the order they were asked for; kept in ``parts`` as those ``of`` these data."""
    kept = Kept(parts, {"data and models": contents(of)}) if parts else None
    found = dict(counted(fan_out(answer, asked, n_jobs=n_jobs, kept=kept), "fits", len(asked)))
    return pd.concat([found[name] for name in asked], ignore_index=True)


def _truth(target: AnnData, truth: str | pd.Series) -> pd.Series:
    """Labels of the cells that have one, by cell id, in the order of the target."""
    if isinstance(truth, str):
        if truth not in target.obs:
            raise ValueError(
                f"the truth should be a column of obs; there is no {truth!r}, only {first(target.obs, 8)}. "
                f"{did_you_mean(truth, target.obs, 'Name one.')}"
            )
        truth = target.obs[truth]
    known = labels_of(truth, "the target").reindex(target.obs_names).dropna()
    if known.nunique() < 2:
        raise ValueError(
            f"the target should have sensitive and resistant cells; of {target.n_obs:,} cells {len(known):,} have a "
            "label, all the same. Judge on another target."
        )
    return known.astype(np.int64)


def _answer(model: CellModel, cells: AnnData, known: pd.Series, key: tuple[Any, ...]) -> pd.DataFrame:
    table = _quiet(model.predict, cells).loc[known.index]
    return pd.DataFrame(
        {
            **dict(zip(KEYS, key, strict=True)),
            "cell": known.index,
            "label": known.to_numpy(),
            "probability": table["probability"].to_numpy(),
            "called": table["label"].to_numpy(),
            "abstain": table["abstain"].to_numpy(),
        }
    )[PREDICTIONS]


def _drug(bulk: AnnData | None) -> str:
    return "" if bulk is None else str(bulk.uns.get("drug", ""))


def _quiet(function: Any, *arguments: Any, **named: Any) -> Any:
    """Without the warnings, which would be the same for every seed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return function(*arguments, **named)
