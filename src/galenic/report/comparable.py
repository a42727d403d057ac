"""Whether two runs were scored on the same rows, and by how much their models then differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galenic.evaluate import compare
from galenic.models.saved import parts_explained
from galenic.plots.figures.scores import FEWEST_FOLDS
from galenic.report.run import Run, read
from galenic.report.scores import Scores, Verdict, is_lower_better, judge
from galenic.report.words import UNITS, counted

ROWS = {"predictions": ("cell", "drug"), "conditions": ("context", "perturbation")}
"""Tables of which the test rows of a fold can be read, and what names a row."""


@dataclass(frozen=True)
class Side:
    """One of the runs that are compared.

    Parameters
    ----------
    label
        What it is called on the page: the name of its folder, or its path where names repeat.
    run
        The run folder, as read.
    metrics
        Its scores of folds; ``None`` where it has none.
    scores
        The same, summarised.
    """

    label: str
    run: Run
    metrics: pd.DataFrame | None
    scores: Scores | None

    @property
    def splits(self) -> list[str]:
        """The splits that it was scored on."""
        return self.scores.splits if self.scores else []


def sides(folders: Sequence[str | Path]) -> list[Side]:
    """Read the run folders that are to be compared.

    Raises
    ------
    FileNotFoundError, ValueError
        If there are fewer than two, if one is named twice, or if one is no run folder or cannot be read.
    """
    paths = [Path(folder) for folder in folders]
    if len(paths) < 2:
        raise ValueError(
            f"two or more run folders are expected; received {len(paths)}. Name them: galenic report --compare RUN RUN."
        )
    places = [path.resolve() for path in paths]
    twice = [str(path) for path, place in zip(paths, places, strict=True) if places.count(place) > 1]
    if twice:
        raise ValueError(f"different run folders are expected; {' and '.join(twice)} are one. Name each once.")
    runs = [read(path) for path in paths]
    names = [place.name for place in places]
    labels = [name if names.count(name) == 1 else str(path) for name, path in zip(names, paths, strict=True)]
    found = []
    for label, run in zip(labels, runs, strict=True):
        with parts_explained("run", run.folder, "Repeat the run"):
            metrics = run.table("metrics")
            metrics = None if metrics is None or metrics.empty else metrics
            found.append(Side(label, run, metrics, None if metrics is None else Scores(run, metrics)))
    return found


def obstacle(one: Side, other: Side, split: str) -> str:
    """Why scores of two runs on a split cannot be compared, as the end of a sentence; empty where they can.

    Runs are comparable if they were scored in one unit on the same test rows with the same responses in every fold.
    That is read from their predictions; where these were not kept, from the scores of floors that both ran, which
    depend on nothing but the rows; else from equal inputs and settings of the division.

    Parameters
    ----------
    one, other
        The runs.
    split
        One that both have, else the answer is that one lacks it.
    """
    if one.metrics is None or other.metrics is None:
        return f"{(other if one.metrics is not None else one).label} has no scores of folds"
    for side in (one, other):
        if split not in side.splits:
            return f"{side.label} was not scored on this split"
    units = [side.run.record["data"].get("unit", "") for side in (one, other)]
    if units[0] != units[1]:
        shown = [str(UNITS.get(unit, unit) or "none") for unit in units]
        return f"their responses have other units: {shown[0]} in {one.label}, {shown[1]} in {other.label}"
    folds = [side.metrics.loc[side.metrics["split"] == split, "fold"].astype(str) for side in (one, other)]  # type: ignore[union-attr,index]
    if set(folds[0]) != set(folds[1]):
        many = [
            f"{counted(len(set(fold)), 'folds')} in {side.label}"
            for fold, side in zip(folds, (one, other), strict=True)
        ]
        return f"the data were divided otherwise: {', '.join(many)}"
    rows = [test_rows(side.run, split) for side in (one, other)]
    if rows[0] is not None and rows[1] is not None and list(rows[0]) == list(rows[1]):
        return _other_rows(*rows)
    return _other_floors(one, other, split)


def test_rows(run: Run, split: str) -> pd.DataFrame | None:
    """Test rows of each fold, in order: ``fold``, what names a row, and ``truth``; ``None`` where they were not kept.

    ``truth`` is the response of a pair, or the number of cells of a condition.
    """
    for name, keys in ROWS.items():
        table = run.table(name, split=split)
        truth = "response" if name == "predictions" else "n_cells"
        if table is not None and len(table) and {"fold", "split", truth, *keys} <= set(table):
            table = table[table["model"] == table["model"].iloc[0]] if "model" in table else table
            rows = table[["fold", *keys, truth]].drop_duplicates(["fold", *keys]).rename(columns={truth: "truth"})
            rows = rows.astype({"fold": str})
            return rows.sort_values(["fold", *keys], ignore_index=True)
    return None


def _other_rows(one: pd.DataFrame, other: pd.DataFrame) -> str:
    keys = [name for name in one if name != "truth"]
    if len(one) == len(other) and one[keys].equals(other[keys]):
        is_same = np.isclose(one["truth"].astype(float), other["truth"].astype(float), equal_nan=True)
        return "" if is_same.all() else f"{counted(int((~is_same).sum()), 'test rows')} have other responses"
    if len(one[keys[1:]].merge(other[keys[1:]])) == len(one) == len(other):
        return "the data were divided otherwise: the same rows lie in other folds"
    shared = len(one[keys].merge(other[keys]))
    return f"they were tested on other rows: {shared:,} are shared, of {len(one):,} and {len(other):,}"


def _other_floors(one: Side, other: Side, split: str) -> str:
    """As :func:`obstacle`, from the scores of floors in each fold, or from inputs and settings."""
    known = set(one.scores.floors) & set(other.scores.floors) if one.scores and other.scores else set()
    keys = ["model", "fold", "group", "metric"]
    parts = []
    for side in (one, other):
        table = side.metrics[(side.metrics["split"] == split) & side.metrics["model"].isin(known)]  # type: ignore[index]
        parts.append(table.astype({"fold": str}).groupby(keys)[["value", "n"]].mean())
    both = parts[0].join(parts[1], how="inner", lsuffix="_one", rsuffix="_other").dropna()
    if len(both):
        is_same = np.isclose(both["value_one"], both["value_other"], rtol=1e-4, atol=1e-6)
        is_same &= np.isclose(both["n_one"], both["n_other"])
        # A floor that is fitted from random numbers may differ; one that gives the same in every fold is enough.
        by_floor = pd.Series(is_same, both.index).groupby("model").all()
        return "" if by_floor.any() else "the floors that both ran have other scores, so the test rows are not the same"
    hashes = [sorted(item.get("sha256", "") for item in side.run.record["inputs"]) for side in (one, other)]
    ways = [{name: side.run.record["fields"].get(name) for name in DIVISION} for side in (one, other)]
    if hashes[0] and hashes[0] == hashes[1] and ways[0] == ways[1]:
        return ""
    return "nothing in the two folders shows that they were tested on the same rows: no predictions, no floor in common"


DIVISION = ("by", "folds", "seeds", "split", "fold_file", "share")
"""Settings that say how data were divided."""


@dataclass(frozen=True)
class Difference:
    """A model of one run less a model of the first, over the folds they share; ends are NaN without an interval."""

    value: float
    low: float
    high: float
    n: int
    verdict: Verdict


def difference(one: Side, model: str, other: Side, reference: str, split: str, metric: str) -> Difference | None:
    """Difference of two models of comparable runs by a metric, paired over folds and seeds.

    Parameters
    ----------
    one, model
        The run and the model whose score is the first term.
    other, reference
        The run and the model that it is compared with.
    split, metric
        Which scores, of all rows.

    Returns
    -------
    Difference or None
        ``None`` where either has no score. Interval as in :func:`galenic.evaluate.paired`, from ``FEWEST_FOLDS`` folds
        on; where the seeds of the two differ they are averaged inside each fold first, as they share its rows.
    """
    parts = [_of_model(side, name, split, metric) for side, name in ((one, model), (other, reference))]
    if any(part.empty for part in parts):
        return None
    runs = [set(zip(part["fold"], part["seed"], strict=True)) for part in parts]
    if runs[0] != runs[1]:
        parts = [part.groupby("fold", as_index=False)["value"].mean().assign(seed="mean") for part in parts]
    fields = {"split": split, "group": "all", "metric": metric}
    joined = pd.concat(
        [part.assign(model=name, **fields) for part, name in zip(parts, ("one", "other"), strict=True)],
        ignore_index=True,
    )
    n_folds = joined["fold"].nunique()
    # With one fold there is no interval, so that the share is not used.
    row: dict[str, Any] = compare(joined, "other", test_share=1 / max(n_folds, 2)).iloc[0].to_dict()
    low, high = (row["low"], row["high"]) if n_folds >= FEWEST_FOLDS else (np.nan, np.nan)
    return Difference(row["difference"], low, high, row["n"], judge(low, high, is_lower_better(metric)))


def _of_model(side: Side, model: str, split: str, metric: str) -> pd.DataFrame:
    table = side.metrics if side.metrics is not None else pd.DataFrame(columns=["split", "model", "metric", "group"])
    for name, value in {"split": split, "model": model, "metric": metric, "group": "all"}.items():
        table = table[table[name] == value]
    return table.astype({"fold": str, "seed": str})[["fold", "seed", "value"]] if len(table) else table


def listed(names: Sequence[str]) -> str:
    """Names as a list in a sentence.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else list(names))
