"""Robust z-scores within groups: what levels of L1000 and counts of RNA have in common."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.checks import first, require_columns
from galenic.data.gctx.metadata import as_text

TO_DEVIATION = 1.4826
"""The median absolute deviation of a normal distribution times this is its standard deviation."""
FEWEST = 3
"""Profiles below which a median and a deviation say nothing."""


def robust_scores(values: np.ndarray, reference: np.ndarray, floor: float) -> np.ndarray:
    """``(x - median) / (1.4826 * max(MAD, floor))`` for each column, with the median and MAD of the reference.

    Parameters
    ----------
    values, reference
        ``(n, n_genes)`` and ``(n_reference, n_genes)``, float64; NaN where missing.
    floor
        Smallest median absolute deviation.

    Returns
    -------
    ndarray, (n, n_genes), float64

    Examples
    --------
    >>> robust_scores(np.array([[4.0]]), np.array([[1.0], [2.0], [3.0]]), floor=0.1).round(3).tolist()
    [[1.349]]
    """
    with warnings.catch_warnings():
        # A gene that no reference has gives NaN, which is what it should give.
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        middle = np.nanmedian if np.isnan(reference).any() else np.median
        median = middle(reference, axis=0)
        deviation = middle(np.abs(reference - median), axis=0)
    return (values - median) / (TO_DEVIATION * np.maximum(deviation, floor))


def groups_of(
    obs: pd.DataFrame, by: str | Sequence[str] | None, reference: np.ndarray, what: str
) -> Iterator[np.ndarray]:
    """Places of the profiles of each group, in the order of their appearance.

    Raises
    ------
    ValueError
        If a column is missing, a profile has no group, or a group has fewer than three profiles in the reference.
    """
    if len(obs) == 0:
        raise ValueError("profiles should be compared with each other; there are none. Keep some.")
    columns = [] if by is None else [by] if isinstance(by, str) else list(by)
    require_columns(obs, columns, "the table of profiles")
    names = _group_names(obs, columns)
    codes, groups = pd.factorize(names)
    counts = np.bincount(codes[reference], minlength=len(groups))
    few = counts < FEWEST
    if few.any():
        shown = [f"{group}: {count}" for group, count in zip(groups[few], counts[few], strict=True)]
        raise ValueError(
            f"each of the {len(groups):,} groups of profiles ({first(columns, 3) or 'all'}) should have {FEWEST} "
            f"{what} or more to compare with; {int(few.sum()):,} have fewer (first: {first(shown)}). Leave these out, "
            "or compare with another reference or by other columns."
        )
    order = np.argsort(codes, kind="stable")
    yield from np.split(order, np.cumsum(np.bincount(codes))[:-1])


def clipped(values: np.ndarray, clip: float | None) -> list[str]:
    """Clip in place; say so, with how many values it changed."""
    if clip is None:
        return []
    if not clip > 0:
        raise ValueError(f"clip should be a number above 0, or None; received {clip!r}. Choose 10 for CMap's own.")
    changed = int((np.abs(values) > clip).sum())
    np.clip(values, -clip, clip, out=values)
    return [f"clipped to -{clip:g} to {clip:g}: {changed:,} of {values.size:,} values"]


def with_steps(result: AnnData, before: AnnData, steps: Sequence[str]) -> AnnData:
    """``result`` with the steps of ``before`` and the new ones in ``uns``."""
    result.uns["steps"] = [*(str(step) for step in before.uns.get("steps", ())), *steps]
    return result


def _group_names(obs: pd.DataFrame, columns: list[str]) -> np.ndarray:
    if not columns:
        return np.full(len(obs), "all profiles", dtype="object")
    texts = [as_text(obs[column]) for column in columns]
    for column, names in zip(columns, texts, strict=True):
        missing = names == ""
        if missing.any():
            raise ValueError(
                f"every profile should have a {column!r}; {int(missing.sum()):,} of {len(obs):,} have none (first: "
                f"{first(obs.index[missing])}). Fill it in, or leave these out."
            )
    return np.array([" / ".join(parts) for parts in zip(*texts, strict=True)], dtype="object")
