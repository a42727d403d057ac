"""What of an ensemble comes back with other seeds, beside single members."""

from __future__ import annotations

import pandas as pd

from galenic.plots.figures.ensembles import ENSEMBLE, seed_dots
from galenic.report.blocks import Block, Figures, Text
from galenic.report.words import count, number

ENDS = (0.025, 0.975)


def come_back(table: pd.DataFrame | None) -> list[Block]:
    """A sentence and a figure on stability over seeds; nothing where the run has no numbers.

    Parameters
    ----------
    table
        ``division, what, again, n``: of the dimensions of half the seeds ("ensemble") and of the latents of members of
        each kind, how well those of other seeds find them again, by division of the seeds.
    """
    if table is None or not {ENSEMBLE} < set(table.loc[table["again"].notna(), "what"]):
        return []
    spread = spreads(table)
    own = spread[spread["what"] == ENSEMBLE].iloc[0]
    single = spread[spread["what"] != ENSEMBLE].sort_values("again", ascending=False, kind="stable").iloc[0]
    wide = table.pivot_table(index="division", columns="what", values="again")
    gain = (wide[ENSEMBLE] - wide[single["what"]]).dropna()
    low, high = gain.quantile(ENDS[0]), gain.quantile(ENDS[1])
    verdict = "more than" if low > 0 else "less than" if high < 0 else "not clearly other than"
    n = count(wide[ENSEMBLE].notna().sum())
    said = (
        f"With other seeds, dimensions of half the members come back with a correlation of {_span(own)} in the median, "
        f"{verdict} the latents of the best single members, {single['what']}: {_span(single)}; difference "
        f"{number(gain.mean(), 2, signed=True)} [{number(low, 2)}, {number(high, 2)}]. In brackets: 95 % of {n} "
        "divisions of the seeds into halves."
    )
    lost = int(table.loc[table["what"] == ENSEMBLE, "again"].isna().sum())
    if lost:
        said += f" In {count(lost)} more, half the members shared too few latents for a consensus."
    caption = (
        "Best correlation of each dimension, or latent, with one of other seeds, without sign, median; bars: 95 % of "
        "divisions. The whole ensemble has twice the members of a half."
    )
    return [Text(said, "good" if low > 0 else "note"), Figures([(caption, seed_dots(spread))])]


def spreads(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over divisions and where 95 % of them lie: ``what, again, low, high``.

    >>> table = pd.DataFrame({"what": ["ensemble"] * 3, "again": [0.5, 0.6, float("nan")]})
    >>> spreads(table).round(2).to_dict("records")
    [{'what': 'ensemble', 'again': 0.55, 'low': 0.5, 'high': 0.6}]
    """
    groups = table.dropna(subset=["again"]).groupby("what", sort=False)["again"]
    found = {"again": groups.mean(), "low": groups.quantile(ENDS[0]), "high": groups.quantile(ENDS[1])}
    return pd.DataFrame(found).reset_index()


def _span(row: pd.Series) -> str:
    return f"{number(row['again'], 2)} [{number(row['low'], 2)}, {number(row['high'], 2)}]"
