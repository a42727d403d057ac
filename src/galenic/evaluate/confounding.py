"""Labels that depend on the platform they come from: what it alone would score, and how far platforms agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from galenic.evaluate.checks import first, labels, require_columns
from galenic.evaluate.metrics import auroc

TRUSTED = 0.7
"""AUROC of the platform alone above which labels are told to depend on it: what many a published model reaches."""
AGREEING = 0.4
"""Cohen's kappa below which two labels of the same lines are told to disagree: at most "fair" (Landis and Koch)."""
COLUMNS = ["drug", "n", "n_platforms", "platform_alone", "share_lowest", "share_highest", "n_repeated", "agreement",
           "kappa"]  # fmt: skip


def confounding(
    table: pd.DataFrame,
    *,
    label: str = "label",
    platform: str = "platform",
    line: str = "line",
    drug: str | None = None,
) -> pd.DataFrame:
    """Say how much of the labels is the platform, for one drug or for each of several.

    Parameters
    ----------
    table
        One row a labelled sample (and drug).
    label
        Column: 1 = sensitive, 0 = resistant; rows without are left out.
    platform
        Column of the platform or study.
    line
        Column of the cell line: lines that stand on two platforms say how far these agree.
    drug
        Column of the drug; ``None``: all rows are of one.

    Returns
    -------
    pandas.DataFrame
        One row a drug: ``drug, n`` (samples), ``n_platforms``; ``platform_alone``: AUROC of the share of sensitive
        samples of each sample's platform, from the same samples, 0.5 = labels do not depend on it; ``share_lowest,
        share_highest``: of sensitive samples, on the platforms where it is lowest and highest; ``n_repeated``: pairs of
        samples of one line on two platforms; ``agreement``: share of these pairs whose labels are the same; ``kappa``:
        Cohen's, 0 = no more than by chance. NaN where there is nothing to say it from.

    Raises
    ------
    ValueError
        For a missing column, a missing platform or line, or labels that are not 0 and 1.

    Notes
    -----
    Cohen, Educ. Psychol. Meas. 1960, 20:37: ``(p_o - p_e) / (1 - p_e)``. A pair counts in the order of the platforms'
    names. Where a line has several samples on a platform, its label there is the rounded mean (half = sensitive).

    Examples
    --------
    >>> table = pd.DataFrame({"line": list("abcabc"), "platform": list("AAABBB"), "label": [0, 0, 1, 1, 1, 1]})
    >>> found = confounding(table).iloc[0]
    >>> float(round(found["platform_alone"], 2)), float(round(found["agreement"], 2)), float(found["kappa"])
    (0.88, 0.33, 0.0)
    """
    named = [label, platform, line, *([drug] if drug else [])]
    require_columns(table, named, "telling labels from platforms: the table")
    known = table.loc[table[label].notna().to_numpy(), named]
    _require_labels(known[label], label)
    text = {name: labels(known, name, f"telling labels from platforms by {name!r}") for name in named[1:]}
    tidy = pd.DataFrame(
        {
            "label": known[label].to_numpy(dtype=np.float64),
            "platform": text[platform].to_numpy(),
            "line": text[line].to_numpy(),
            "drug": text[drug].to_numpy() if drug else "",
        }
    )
    rows = [{"drug": name, **_of_drug(part)} for name, part in tidy.groupby("drug", sort=False)]
    return pd.DataFrame(rows, columns=COLUMNS)


def confounding_sentence(row: pd.Series | dict[str, Any]) -> str:
    """What one row of :func:`confounding` means; empty where there is nothing to worry about.

    Examples
    --------
    >>> row = {"platform_alone": 0.93, "share_lowest": 0.05, "share_highest": 0.9, "kappa": float("nan")}
    >>> confounding_sentence(row)
    'The platform alone tells the labels with an AUROC of 0.93 (5 % to 90 % sensitive): learn from one platform.'
    """
    said = []
    if row["platform_alone"] > TRUSTED:
        said.append(
            f"The platform alone tells the labels with an AUROC of {row['platform_alone']:.2f} "
            f"({row['share_lowest']:.0%} to {row['share_highest']:.0%} sensitive): learn from one platform.".replace(
                "%", " %"
            )
        )
    if row["kappa"] < AGREEING:
        said.append(
            f"The {int(row['n_repeated']):,} lines that two platforms labelled agree little beyond chance (kappa "
            f"{row['kappa']:.2f})."
        )
    return " ".join(said)


def _of_drug(part: pd.DataFrame) -> dict[str, float]:
    shares = part.groupby("platform")["label"].mean()
    alone = auroc(part["label"].to_numpy(), shares.loc[part["platform"]].to_numpy())
    return {
        "n": len(part),
        "n_platforms": len(shares),
        "platform_alone": float(alone),
        "share_lowest": float(shares.min()),
        "share_highest": float(shares.max()),
        **_repeated(part),
    }


def _repeated(part: pd.DataFrame) -> dict[str, float]:
    """Agreement of the two labels of lines that stand on two platforms."""
    called = part.groupby(["line", "platform"], sort=True)["label"].mean().ge(0.5).astype(int).reset_index()
    pairs = called.merge(called, on="line", suffixes=("_a", "_b"))
    pairs = pairs[pairs["platform_a"] < pairs["platform_b"]]
    if pairs.empty:
        return {"n_repeated": 0, "agreement": np.nan, "kappa": np.nan}
    a, b = pairs["label_a"].to_numpy(), pairs["label_b"].to_numpy()
    observed = float((a == b).mean())
    expected = float(a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean()))
    kappa = (observed - expected) / (1 - expected) if expected < 1 else np.nan
    return {"n_repeated": len(pairs), "agreement": observed, "kappa": kappa}


def _require_labels(values: pd.Series, column: str) -> None:
    odd = values[~values.isin([0, 1])]
    if len(odd):
        raise ValueError(
            f"labels should be 1 (sensitive) or 0 (resistant); {len(odd):,} rows of {column!r} are neither (first: "
            f"{first(odd.unique())}). Convert them first."
        )
