"""How far the cells to be predicted lie from the lines that a model learned from, before and after alignment."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from galenic.data.alignment import histogram_kl, shift_by_feature
from galenic.data.checks import first
from galenic.evaluate.cell_shift import cell_shift

FAR_OUTSIDE = 0.5
"""Share of aligned cells farther from all lines than 99 % of lines are, above which a warning is given: most cells then
have no line to be compared with. In three measured sets (JHU006, A375, PC9 against GDSC lines) it is 0.11 to 0.27."""
TOO_FAR_OUTSIDE = 0.9
"""The same share above which prediction is refused: nearly every prediction would be an extrapolation."""
BY_CHANCE = 0.05
"""p-value of shared co-expression above which prediction is refused: genes that move together in lines then do not do
so in the cells, as under wrong names or in noise. It is 0.01 at most in the three sets, and more under wrong names."""
FEWEST_JUDGED = 50
"""Cells, lines and features below which absent co-expression is a warning only: it may be there and not be seen."""
APART = 0.5
"""Kullback-Leibler divergence of a feature after alignment above which it is counted as still apart, in nats: that of
two normal distributions of equal spread one standard deviation apart."""
COARSE = 10
"""Bins in which features are held apart: in the 30 published ones of a few hundred lines, empty bins decide."""
FEWEST = 11
"""Cells, or lines, below which nothing can be measured (folds and neighbours)."""
WHEN = ("before", "after")


@dataclass(frozen=True, eq=False)
class ShiftReport:
    """What :func:`shift_report` found.

    Parameters
    ----------
    features
        ``feature, before, after``: divergence of each feature's histogram (30 bins, as published) from that of the
        lines, most after first; ``apart_before, apart_after``: whether that of coarser histograms is above 0.5 nats.
    summary
        ``when`` (before, after), ``measure, value, low, high, p_value, n_reference, n_target``, as
        :func:`galenic.evaluate.cell_shift.cell_shift`; and ``median_divergence`` and ``share_apart`` of the features.
    sentences
        The same in words.
    verdict
        ``"near"``, ``"far"`` (a warning) or ``"too far"`` (prediction is refused unless asked for).
    """

    features: pd.DataFrame
    summary: pd.DataFrame
    sentences: list[str]
    verdict: Literal["near", "far", "too far"]

    def act(self, *, allow: bool = False) -> None:
        """Warn if the cells are far, refuse them if they are too far.

        Parameters
        ----------
        allow
            Warn in place of refusing.

        Raises
        ------
        ValueError
            If they are too far and ``allow`` is False.

        Warns
        -----
        UserWarning
            If they are far.
        """
        if self.verdict == "too far" and not allow:
            raise ValueError(
                "aligned cells should resemble the lines; "
                f"{self._value('outside_share'):.0%} of them lie outside (at most {TOO_FAR_OUTSIDE:.0%} may), and "
                f"their co-expression agrees with that of the lines at r = {self._value('coexpression'):.2f} (p = "
                f"{self._value('coexpression', column='p_value'):.2g}; at most {BY_CHANCE} may). Check names of genes "
                "and normalisation ('galenic data check'), or predict all the same with --allow-far (allow=True)."
            )
        if self.verdict != "near":
            warnings.warn(" ".join(self.sentences), stacklevel=2)

    def _value(self, measure: str, column: str = "value") -> float:
        rows = self.summary[(self.summary["when"] == "after") & (self.summary["measure"] == measure)]
        return float(rows[column].iloc[0])


def shift_report(
    source: np.ndarray,
    target_before: np.ndarray,
    target_after: np.ndarray,
    names: Sequence[str] | None = None,
    *,
    n_permutations: int = 100,
    max_cells: int = 500,
    seed: int = 0,
) -> ShiftReport:
    """Measure the shift between lines and cells, before and after the cells were aligned.

    Parameters
    ----------
    source
        Lines as the model is trained on them, ``(n_lines, n_features)``.
    target_before, target_after
        The same cells before and after alignment, ``(n_cells, n_features)``, on the scale of ``source``.
    names
        Of the features; by default numbers.
    n_permutations, max_cells, seed
        Of :func:`galenic.evaluate.cell_shift.cell_shift`.

    Returns
    -------
    ShiftReport
        Tables, sentences and a verdict. ``"too far"``: more than 90 % of the aligned cells lie outside the lines, or
        features that move together in lines do not do so in the cells (p > 0.05); ``"far"``: more than half lie
        outside, or the latter with fewer than 50 cells, lines or features.

    Raises
    ------
    ValueError
        If features differ, a number is missing, or a side has fewer than 11 rows.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> together = rng.normal(size=(2, 9))
    >>> lines = rng.normal(size=(80, 2)) @ together + rng.normal(size=(80, 9))
    >>> cells = rng.normal(size=(90, 2)) @ together + rng.normal(3, 1, size=(90, 9))
    >>> report = shift_report(lines, cells, cells - cells.mean(axis=0), list("ABCDEFGHI"), n_permutations=20)
    >>> report.verdict, bool((report.features["after"] < report.features["before"]).all())
    ('near', True)
    """
    sides = [np.asarray(side, dtype=np.float64) for side in (source, target_before, target_after)]
    _check(sides, names)
    lines, before, after = sides
    features = shift_by_feature(before, after, lines, names=names).reset_index()
    for when, cells in zip(WHEN, (before, after), strict=True):
        features[f"apart_{when}"] = histogram_kl(cells, lines, n_bins=COARSE, epsilon=0.5 / len(lines)) > APART
    features = features.sort_values("after", ascending=False, kind="stable", ignore_index=True)
    parts = [
        cell_shift(lines, cells, seed=seed, n_permutations=n_permutations, max_cells=max_cells).assign(when=when)
        for when, cells in zip(WHEN, (before, after), strict=True)
    ]
    rows = [
        {"measure": measure, "value": value, "when": when, "n_reference": len(lines), "n_target": len(before)}
        for when in WHEN
        for measure, value in (
            ("median_divergence", float(features[when].median())),
            ("share_apart", float(features[f"apart_{when}"].mean())),
        )
    ]
    summary = pd.concat([*parts, pd.DataFrame(rows)], ignore_index=True)
    summary = summary[["when", *(column for column in summary if column != "when")]]
    verdict = _verdict(parts[1], (*lines.shape, len(after)))
    return ShiftReport(features, summary, _sentences(summary, features, verdict), verdict)


def _verdict(after: pd.DataFrame, sizes: tuple[int, ...]) -> Literal["near", "far", "too far"]:
    found = after.set_index("measure")
    outside = float(found.loc["outside_share", "value"])
    by_chance = float(found.loc["coexpression", "p_value"]) > BY_CHANCE
    if outside > TOO_FAR_OUTSIDE or (by_chance and min(sizes) >= FEWEST_JUDGED):
        return "too far"
    return "far" if outside > FAR_OUTSIDE or by_chance else "near"


def _sentences(summary: pd.DataFrame, features: pd.DataFrame, verdict: str) -> list[str]:
    told = summary.set_index(["when", "measure"])
    auroc = told.loc[("after", "classifier_auroc")]
    before = float(told.loc[("before", "classifier_auroc"), "value"])
    outside = float(told.loc[("after", "outside_share"), "value"])
    apart = features.loc[features["apart_after"], "feature"]
    n_apart = int(features["apart_before"].sum())
    shared = told.loc[("after", "coexpression")]
    said = [
        f"{outside:.0%} of the cells lie farther from every line than 99 % of lines do.".replace(
            "% of the", " % of the"
        ),
        f"Features that move together in lines do so in the cells with r = {float(shared['value']):.2f} (p = "
        f"{float(shared['p_value']):.2g}).",
        f"{len(apart):,} of {len(features):,} features are still apart after alignment (before: {n_apart:,})"
        + (f", most of all {first(apart)}." if len(apart) else "."),
        f"A classifier tells aligned cells from lines with an AUROC of {float(auroc['value']):.2f} "
        f"({float(auroc['low']):.2f} to {float(auroc['high']):.2f}; before {before:.2f}); single cells and bulk are "
        "always told apart, so that this alone is no reason for doubt.",
    ]
    if verdict != "near":
        said.append("Read their probabilities as a ranking at most, and see what a few labelled cells say.")
    return said


def _check(sides: list[np.ndarray], names: Sequence[str] | None) -> None:
    widths = {side.shape[-1] for side in sides} | ({len(names)} if names is not None else set())
    if len(widths) > 1 or any(side.ndim != 2 for side in sides) or sides[1].shape != sides[2].shape:
        raise ValueError(
            "lines and cells should be matrices of the same features, and cells the same before and after; received "
            f"{', '.join(str(side.shape) for side in sides)}. Align the genes first."
        )
    if min(map(len, sides)) < FEWEST:
        raise ValueError(
            f"a shift is measured on {FEWEST} lines and {FEWEST} cells or more; received {len(sides[0]):,} and "
            f"{len(sides[1]):,}. Leave the measurement out."
        )
