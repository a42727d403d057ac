"""What refits of the start say of its genes: stability over halves of the lines, and what shuffled labels give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from galenic.search.enrichment import benjamini_hochberg


def with_evidence(
    table: pd.DataFrame,
    features: Sequence[str],
    x: np.ndarray,
    y: np.ndarray,
    *,
    penalty: float,
    strata: Any = None,
    groups: Any = None,
    n_halves: int = 20,
    n_null: int = 200,
    top: int = 50,
    seed: int = 0,
) -> pd.DataFrame:
    r"""Add stability and false discovery rate, from refits of the start on the labelled lines.

    Parameters
    ----------
    table
        As :func:`importance_table` returns.
    features
        Names of the columns of ``x``.
    x, y
        Lines as the model was trained on them, ``(n_lines, n_features)``, and what its start learned: labels (1 =
        sensitive), or responses with their sign turned; higher = more sensitive.
    penalty
        Ridge penalty of the start on all lines, above 0: the refits are solved in closed form. It shrinks with the
        number of lines of a refit.
    strata
        Platform (study) of each line: labels are shuffled within it only, so that what the platform alone explains
        stays in the null.
    groups
        Cell line of each row: labels of a line that stands on several platforms move together, and halves do not
        divide it.
    n_halves
        Refits on random halves of the lines.
    n_null
        Shuffles of the labels (responses).
    top
        A feature is found by a refit if it is among its first ``top``.
    seed
        Of halves and shuffles.

    Returns
    -------
    DataFrame
        The table with ``start_weight`` (of the refit on all lines), ``stability`` (share of the halves that find the
        feature with the same sign), ``p_value``, ``q_value`` (Benjamini-Hochberg over features).

    Notes
    -----
    Both judge the *start*, not the networks: these would have to be trained anew for every shuffle. Where the share of
    the networks is large, a gene that they alone read has no small q-value here.

    .. math:: p_g = \frac{1 + \#\{(b, h): |w_{bh}| / s_h \ge |w_g| / s_g\}}{1 + B\,G}, \qquad
       s_g^2 = \frac1B \sum_b w_{bg}^2

    with :math:`w_{bg}` the weight of feature g under shuffle b. The mean way of cells from the background multiplies
    weight and null alike, so the test is the same for importance. Pooling over features gives small p-values with few
    shuffles; it takes the standardised null of all features for the same.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, label = rng.normal(size=(80, 30)), np.arange(80) % 2
    >>> x[:, 3] += 2 * label
    >>> table = pd.DataFrame({"gene": [f"G{g}" for g in range(30)]})
    >>> found = with_evidence(table, list(table["gene"]), x, label, penalty=10.0, top=5)
    >>> found.loc[3, "stability"].item(), bool(found.loc[3, "q_value"] < 0.01), int((found["q_value"] < 0.05).sum())
    (1.0, True, 1)
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    _require_lines(x, y, features, penalty, n_halves, n_null)
    lines = np.arange(len(y)) if groups is None else pd.factorize(np.asarray(groups))[0]
    rng = np.random.default_rng(seed)
    weight = ridge_weights(x, y[:, None], penalty)[:, 0]
    null = ridge_weights(x, shuffled(y, n_null, rng, strata=strata, groups=groups), penalty)
    scale = np.sqrt((null**2).mean(axis=1))
    scale = np.where(scale > 0, scale, np.inf)
    pool = np.sort((np.abs(null) / scale[:, None]).ravel())
    at_least = len(pool) - np.searchsorted(pool, np.abs(weight) / scale, side="left")
    p_value = (1 + at_least) / (1 + len(pool))
    found = pd.DataFrame(
        {
            "start_weight": weight,
            "stability": _stability(x, y, lines, weight, penalty, n_halves, min(top, len(features)), rng),
            "p_value": p_value,
            "q_value": benjamini_hochberg(p_value),
        },
        index=pd.Index(features, dtype=str),
    )
    return table.join(found, on="gene")


def ridge_weights(x: np.ndarray, labels: np.ndarray, penalty: float) -> np.ndarray:
    """Weights of ridge regressions on the same rows, one for each column of labels, ``(n_features, n_labels)``.

    >>> ridge_weights(np.array([[-1.0], [1.0]]), np.array([[0.0], [1.0]]), 2.0).tolist()
    [[0.25]]
    """
    centred = x - x.mean(axis=0)
    y = labels - labels.mean(axis=0)
    n, p = centred.shape
    if p <= n:
        return np.asarray(np.linalg.solve(centred.T @ centred + penalty * np.eye(p), centred.T @ y))
    return np.asarray(centred.T @ np.linalg.solve(centred @ centred.T + penalty * np.eye(n), y))


def shuffled(
    label: np.ndarray, n: int, rng: np.random.Generator, *, strata: Any = None, groups: Any = None
) -> np.ndarray:
    """Labels shuffled within strata, those of one group together, ``(n_lines, n)``.

    Groups change places with groups that have the same strata: a line that stands on two platforms with another such.

    >>> label, rng = np.array([0, 0, 1, 1]), np.random.default_rng(0)
    >>> shuffled(label, 3, rng, strata=["a", "a", "b", "b"]).sum(axis=0).tolist()
    [2.0, 2.0, 2.0]
    """
    n_lines = len(label)
    table = pd.DataFrame({"row": np.arange(n_lines)})
    table["stratum"] = 0 if strata is None else pd.factorize(np.asarray(strata))[0]
    table["group"] = table["row"] if groups is None else pd.factorize(np.asarray(groups))[0]
    table = table.sort_values(["group", "stratum", "row"], kind="stable")
    patterns = table.groupby("group")["stratum"].agg(tuple)
    result = np.tile(np.asarray(label, dtype=np.float64)[:, None], n)
    for _, groups_alike in patterns.groupby(patterns):
        rows = table.loc[table["group"].isin(groups_alike.index), "row"].to_numpy().reshape(len(groups_alike), -1)
        order = rng.permuted(np.tile(np.arange(len(rows))[:, None], n), axis=0)
        result[rows] = np.asarray(label, dtype=np.float64)[rows[order]].transpose(0, 2, 1)
    return result


def listed(refits: np.ndarray, weight: np.ndarray, top: int) -> np.ndarray:
    """Share of refits that have a feature among their ``top`` largest weights, with the sign of ``weight``.

    >>> listed(np.array([[3.0, 2.0, 1.0], [-3.0, 2.0, 1.0]]), np.array([1.0, 1.0, 1.0]), 1).tolist()
    [0.5, 0.0, 0.0]
    """
    first = np.argsort(-np.abs(refits), axis=1, kind="stable")[:, : min(top, refits.shape[1])]
    is_first = np.zeros(refits.shape, dtype=bool)
    np.put_along_axis(is_first, first, True, axis=1)
    return np.asarray((is_first & (np.sign(refits) == np.sign(weight))).mean(axis=0))


def _stability(
    x: np.ndarray,
    y: np.ndarray,
    line: np.ndarray,
    weight: np.ndarray,
    penalty: float,
    n_halves: int,
    top: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Share of refits on random halves of the lines that list a feature among their first, with the same sign."""
    found, n_lines = [], line.max() + 1
    for _ in range(n_halves):
        half = np.isin(line, rng.permutation(n_lines)[: (n_lines + 1) // 2])
        found.append(ridge_weights(x[half], y[half, None], penalty * half.mean())[:, 0])
    return listed(np.stack(found), weight, top)


def _require_lines(
    x: np.ndarray, y: np.ndarray, features: Sequence[str], penalty: float, n_halves: int, n_null: int
) -> None:
    if x.ndim != 2 or x.shape != (len(y), len(features)) or not np.isfinite(y).all() or len(np.unique(y)) < 2:
        raise ValueError(
            f"lines should be (n_lines, {len(features):,} features) with a label or response for each that are not all "
            f"the same; received {x.shape} and {len(np.unique(y)):,} different values of {len(y):,}. Give the lines of "
            "the fit."
        )
    if not 0 < penalty < np.inf or n_halves < 1 or n_null < 1:
        raise ValueError(
            "penalty should be above 0, n_halves and n_null 1 or more; received "
            f"{penalty}, {n_halves} and {n_null}. Correct these."
        )
