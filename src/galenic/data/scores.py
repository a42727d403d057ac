"""Levels and z-scores: which of the two numbers are, and robust z-scores within groups."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.checks import first, require_columns, steps_of
from galenic.data.gctx.metadata import as_text

TO_DEVIATION = 1.4826
"""The median absolute deviation of a normal distribution times this is its standard deviation."""
FEWEST = 3
"""Profiles below which a median and a deviation say nothing."""
LEAST_NEGATIVE = 0.05
"""Share of the values that are not 0: of z-scores at least so many lie below 0, of log2 expression hardly any."""
LARGEST_LEVEL_3 = 20.0
"""Level 3 is in log2, from 0 to about 15."""
LARGEST_CLIPPED = 10.0
BLOCK = 4 << 20
"""Values that are looked at: enough for the range, whatever the number of profiles."""


@dataclass(frozen=True)
class Scale:
    """What numbers look like, gathered part by part.

    Parameters
    ----------
    seen, known, nonzero, negative
        Values that were looked at; those of them that are not missing, not 0 either, and below 0.
    low, high
        The range of those that are known.
    whole
        Whether every known value is a whole number.

    Examples
    --------
    >>> print(Scale().plus(np.array([[2.5, 14.0, np.nan]])))
    level 3 (log2 expression), 2.5 to 14
    """

    seen: int = 0
    known: int = 0
    nonzero: int = 0
    negative: int = 0
    low: float = np.inf
    high: float = -np.inf
    whole: bool = True

    def plus(self, values: np.ndarray) -> Scale:
        """The scale of these values and those before."""
        known = values[np.isfinite(values)]
        return Scale(
            seen=self.seen + values.size,
            known=self.known + known.size,
            nonzero=self.nonzero + int(np.count_nonzero(known)),
            negative=self.negative + int((known < 0).sum()),
            low=min(self.low, float(known.min(initial=np.inf))),
            high=max(self.high, float(known.max(initial=-np.inf))),
            whole=self.whole and bool((known == np.round(known)).all()),
        )

    @property
    def are_scores(self) -> bool:
        """Whether values lie on both sides of 0, as z-scores do."""
        return self.negative >= LEAST_NEGATIVE * self.nonzero > 0

    @property
    def are_levels(self) -> bool:
        """Whether hardly a value lies below 0, as of expression."""
        return self.negative < LEAST_NEGATIVE * self.nonzero

    @property
    def span(self) -> str:
        """How many lie below 0, and the range."""
        share = self.negative / max(self.nonzero, 1)
        return (
            f"{share:.1%} of {self.nonzero:,} values that are not 0 lie below it, {self.low:,.4g} to {self.high:,.4g}"
        )

    def __str__(self) -> str:
        if self.known == 0:
            return "no numbers"
        if self.are_scores:
            clipped = max(-self.low, self.high) <= LARGEST_CLIPPED
            name = "z-scores, clipped (level 4 or 5)" if clipped else "z-scores (level 4 or 5)"
        elif not self.are_levels:
            name = "zeros"
        else:
            name = "level 3 (log2 expression)" if self.high <= LARGEST_LEVEL_3 else "not logged: counts or fluorescence"
        return f"{name}, {self.low:,.4g} to {self.high:,.4g}"


def scale_of(X: Any) -> Scale:
    """What a matrix looks like by all its rows, or of a large one by evenly spaced rows.

    Parameters
    ----------
    X
        ``(n, n_genes)``, dense or sparse; NaN where missing.

    Examples
    --------
    >>> scale_of(np.array([[0.5, -1.5], [1.0, -0.2]])).are_scores
    True
    """
    step = max(1, -(-X.shape[0] * X.shape[1] // BLOCK))
    rows = X[::step]
    return Scale().plus(np.asarray(rows.toarray() if hasattr(rows, "toarray") else rows, dtype=np.float64))


def require_scores(X: Any, what: str) -> None:
    """Raise ``ValueError`` if a matrix is of levels, not of z-scores."""
    scale = scale_of(X)
    if scale.are_levels:
        raise ValueError(
            f"{what} should be z-scores, of which about half lie below 0; of these {scale.span}. Compute z-scores "
            "first: 'galenic data convert --level 4', or galenic.data.prepare.robust_z."
        )


def require_levels(X: Any, what: str) -> None:
    """Raise ``ValueError`` if a matrix is of z-scores already."""
    scale = scale_of(X)
    if scale.are_scores:
        raise ValueError(
            f"{what} should be log2 expression (level 3), of which hardly any lies below 0; of these {scale.span}: "
            "they are scores already. Leave out --level 4; of centred levels compute with force=True of "
            "galenic.data.prepare.robust_z."
        )


def warn_of_mixture(scales: Mapping[str, Scale]) -> None:
    """Warn if some releases look like levels and others like z-scores."""
    levels = {name: scale for name, scale in scales.items() if scale.are_levels}
    scores = {name: scale for name, scale in scales.items() if scale.are_scores}
    if levels and scores:
        one, two = next(iter(levels.items())), next(iter(scores.items()))
        warnings.warn(
            f"releases that are joined should be of one level; {len(levels):,} look like expression ({one[0]}: "
            f"{one[1].span}) and {len(scores):,} like z-scores ({two[0]}: {two[1].span}). They cannot be compared: "
            "compute z-scores of the former first ('galenic data convert --level 4'), then join.",
            stacklevel=3,
        )


def require_profile_columns(table: pd.DataFrame, columns: Iterable[str], what: str) -> None:
    """Raise ``ValueError`` unless the table of profiles has every one of ``columns``."""
    columns = list(columns)
    if columns and table.shape[1] == 0:
        raise ValueError(
            f"{what} needs the column(s) {first(columns, 5)}; it has no columns at all. Give the table that was "
            "published with the profiles: --sample-info, or sample_info= of galenic.data.read.profiles."
        )
    require_columns(table, columns, what)


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
    require_profile_columns(obs, columns, "the table of profiles")
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
    result.uns["steps"] = [*steps_of(before.uns), *steps]
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
