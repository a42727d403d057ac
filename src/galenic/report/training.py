"""The section on training: how the losses of networks went down, stage by stage."""

from __future__ import annotations

import pandas as pd

from galenic.plots.figures.training import PARTS, loss_curves, losses_of
from galenic.report.blocks import Block, Figures, Section, Text
from galenic.report.run import Run
from galenic.report.words import count, number


def training(run: Run) -> Section | None:
    """The losses of every stage of training, by term, and on the pairs that were held out of it."""
    table = run.table("history")
    stages = {} if table is None else dict(list(table.groupby("stage", sort=False)))
    found = {stage: losses_of(rows) for stage, rows in stages.items()}
    terms = list(dict.fromkeys(term for losses in found.values() for term in losses["term"]))
    figures, notes = [], []
    for stage, losses in found.items():
        caption = f"{stage[:1].upper()}{stage[1:]}. {_extent(losses)}{_kept(stages[stage])}."
        if len(losses["epoch"].unique()) > 1:
            figures.append((caption, loss_curves(losses, terms)))
        elif len(losses):
            notes.append(Text(f"{caption} Too short for a curve; losses: {_means(losses)}."))
    blocks: list[Block] = [Figures(figures)] if figures else []
    blocks += notes
    if not blocks:
        return None
    how = (
        "Solid lines are losses on the pairs of training, dashed lines on pairs held out, one colour a term; thick "
        "lines are means over members, thin lines or bands the single members. Where a dashed line rises while the "
        "solid one falls, the network learns its pairs by heart; where both still fall at the end, more epochs may "
        "help."
    )
    return Section("training", "Training", how if figures else "", blocks)


def _extent(losses: pd.DataFrame) -> str:
    """How many members and epochs there are."""
    epochs = losses.groupby("member")["epoch"].max()
    low, high = epochs.min(), epochs.max()
    members = f"{count(len(epochs))} member{'' if len(epochs) == 1 else 's'}"
    if low == high:
        return f"{members}, {count(high)} epoch{'' if high == 1 else 's'}"
    return f"{members}, {count(low)} to {count(high)} epochs; the mean is of those still training"


def _kept(history: pd.DataFrame) -> str:
    """Which epochs' weights were kept, where that is known and was not simply the last."""
    if "best" not in history:
        return ""
    best = history["best"].astype(str).str.lower().isin(["true", "1", "1.0"])
    kept = history.loc[best, "epoch"]
    last = history.groupby("member")["epoch"].transform("max")[best]
    if kept.empty or (kept == last).all():
        return ""
    low, high = count(kept.min()), count(kept.max())
    return f"; the weights of {f'epoch {low}' if low == high else f'epochs {low} to {high}'} were kept"


def _means(losses: pd.DataFrame) -> str:
    means = losses.groupby(["term", "part"], sort=False)["value"].agg(["mean", "min", "max"])
    return ", ".join(
        f"{term} ({PARTS[part]}) {number(mean)}{f' [{number(low)} to {number(high)}]' if low < high else ''}"
        for (term, part), mean, low, high in means.itertuples()
    )
