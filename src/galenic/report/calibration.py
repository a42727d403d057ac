"""The section on intervals: whether they hold as many responses as they promise."""

from __future__ import annotations

import pandas as pd

from galenic.plots.figures.calibration import SHORT, coverage_by_level, coverage_points
from galenic.report.blocks import Block, Cell, Figures, Section, Table
from galenic.report.run import Run
from galenic.report.words import NOTHING, UNITS, count, number


def calibration(run: Run) -> Section | None:
    """Whether intervals hold as many responses as they promise, over all pairs and in each drug."""
    table = run.table("calibration")
    levels = pd.DataFrame() if table is None else coverage_by_level(table)
    if levels.empty:
        return None
    caption = f"Coverage at each level: {count(levels['n'].max())} pairs"
    if levels["drugs"].any():
        n_drugs, n_cells = count(levels["drugs"].max()), count(levels["cells"].median())
        caption += f"; {n_drugs} drugs, half of them with at most {n_cells} test cells"
    blocks: list[Block] = [
        Figures([(f"{caption}.", coverage_points(levels))]),
        _level_table(levels, run.record["data"].get("unit", "")),
    ]
    how = (
        "On the dashed line intervals mean what they say: those of level 90 % hold 90 % of the responses; below it "
        "they are too narrow, above it wider than need be. Bars span the drugs, without the lowest and highest 5 %; "
        "where a drug has few test cells, its distance from the line is partly chance."
    )
    return Section("calibration", "Calibration", how, blocks)


def _level_table(levels: pd.DataFrame, unit: str) -> Table:
    titles = {"level": "level", "coverage": "coverage", "short": f"drugs short by over {100 * SHORT:g} points",
              "width": f"mean width{f' ({UNITS.get(unit, unit)})' if unit else ''}"}  # fmt: skip
    columns = [name for name in titles if levels[name].notna().any()]
    write = {"level": lambda share: f"{100 * share:.4g} %", "width": lambda width: number(width, 2)}
    rows: list[list[Cell | str]] = [
        [Cell(write.get(name, _percent)(row[name]), sort=row[name]) for name in columns]
        for row in levels.to_dict("records")
    ]
    hints = {titles["short"]: f"Share of the drugs whose coverage is below the level less {100 * SHORT:g} points."}
    caption = "Level is the share of responses that intervals should hold, coverage the share that they held."
    return Table([titles[name] for name in columns], rows, caption, hints=hints)


def _percent(share: float) -> str:
    text = number(100 * share, 1)
    return text if text == NOTHING else f"{text} %"
