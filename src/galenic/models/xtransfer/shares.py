"""How much networks count beside the start, by what they said of conditions that they had not seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from scipy.optimize import nnls

from galenic.models.perturbation.linear import usual
from galenic.models.xtransfer.lesson import Lesson
from galenic.models.xtransfer.member import Member

PRIOR = {"genes": 0.5, "towers": 0.0}
"""Shares before anything was left out."""
STRENGTH = 4
"""Groups left out that weigh as much as the prior."""

Said = tuple[np.ndarray, np.ndarray]
"""Corrections of effects ``(n_conditions, n_genes)`` and whether there is one, ``(n_conditions,)``."""


def left_out(members: Sequence[Member], lesson: Lesson) -> Said:
    """Mean over networks of what each said of the conditions that it had not seen."""
    values, counts = np.zeros_like(lesson.own), np.zeros(len(lesson.own))
    for member in members:
        values[member.rows] += member.said
        counts[member.rows] += 1
    return values / np.maximum(counts, 1)[:, None], counts > 0


def learned(found: dict[str, Said], lesson: Lesson, n_groups: int) -> dict[str, float]:
    """Shares of each kind of network, 0 to 1: least squares on what was left out, drawn to :data:`PRIOR`.

    Parameters
    ----------
    found
        By kind, from :func:`left_out`.
    n_groups
        Perturbations or contexts that were left out in turn.
    """
    names = list(found)
    rows = np.logical_and.reduce([known for _, known in found.values()]) if names else np.zeros(0, dtype=bool)
    prior = np.array([PRIOR[name] for name in names])
    if not names or not rows.any():
        return dict(zip((f"share_{name}" for name in names), prior.tolist(), strict=True))
    left = (lesson.own - lesson.start)[rows]
    said = np.stack([values[rows] for values, _ in found.values()])
    products = np.einsum("kng,lng->kl", said, said)
    towards = np.einsum("kng,ng->k", said, left)
    sizes = np.diag(products)
    pull = STRENGTH / n_groups * np.maximum(sizes, 1e-9 * max(sizes.max(), 1e-12))
    whole = np.linalg.cholesky(products + np.diag(pull)).T
    values = nnls(whole, np.linalg.solve(whole.T, towards + pull * prior))[0]
    return {f"share_{name}": float(min(value, 1.0)) for name, value in zip(names, values, strict=True)}


def n_groups(lesson: Lesson, folds: np.ndarray) -> int:
    """Perturbations or contexts that were left out in turn."""
    return len(np.unique(lesson.grouped()[folds >= 0]))


def apart(said: np.ndarray, lesson: Lesson) -> tuple[float, np.ndarray]:
    """How many times farther apart measured effects of one context lie than predictions that did not see them.

    Parameters
    ----------
    said
        Predicted effects of the training conditions, ``(n_conditions, n_genes)``.

    Returns
    -------
    stretch
        Ratio of standard deviations around the mean of each context, 1 where nothing varies.
    middle : ndarray, (n_contexts, n_genes)
        Mean of the predictions less the usual effect of the context, around which they are stretched; 0 where a context
        has no prediction.
    """
    conditions, known = lesson.conditions, lesson.known
    usually = np.concatenate([usual(conditions.take(rows), known) for rows in conditions.blocks()])
    rows = np.flatnonzero(lesson.able)
    one_hot = sparse.csr_matrix(
        (np.ones(len(rows)), (conditions.context[rows], np.arange(len(rows)))), (len(known.controls), len(rows))
    )
    share = sparse.diags(1 / np.maximum(np.asarray(one_hot.sum(axis=1)).ravel(), 1)) @ one_hot
    sizes, middle = [], np.zeros((len(known.controls), said.shape[1]))
    for values in (lesson.own, said):
        beyond = (values - usually)[rows]
        middle = share @ beyond
        sizes.append(float(((beyond - middle[conditions.context[rows]]) ** 2).sum()))
    true, found = sizes
    return float(np.sqrt(true / found)) if found > 1e-12 * true and true > 0 else 1.0, middle
