"""Sections on contributions cell by cell: by the value of the gene, genes x cells, and single cells."""

from __future__ import annotations

import pandas as pd

from galenic.plots.figures.cell_genes import contribution_map, dependence, force, interaction, partner
from galenic.report.blocks import Block, Figures, Section, Text
from galenic.report.cells_direction import chance
from galenic.report.cells_genes import biomarkers_of
from galenic.report.run import Run
from galenic.report.words import number

N_DEPENDENCE, N_MAPPED = 6, 30
STRAIGHT = 0.9999
N_STRAIGHT = 2
"""Figures where all of them are straight lines."""


def by_value(run: Run) -> Section | None:
    """How contributions depend on the gene's own value and on another gene; genes x cells."""
    wide, cells = _wide(run), run.table("explained")
    if wide is None or cells is None:
        return None
    table = biomarkers_of(run)
    first = wide["value"].columns if table is None else [one for one in table["gene"] if one in wide["value"]]
    alone, together, bent = [], [], 0
    for gene in list(first)[:N_DEPENDENCE]:
        points = pd.DataFrame({name: wide[name][gene] for name in ("value", "contribution")})
        bent += not _is_straight(points)
        alone.append((f"{gene}.", dependence(points, gene)))
        other = None if _is_straight(points) else partner(wide, gene)
        if other is not None:
            points = points.assign(other=wide["value"][other])
            together.append((f"{gene}, coloured by {other}.", interaction(points, gene, other)))
    probability = cells.set_index("cell").get("probability", pd.Series(dtype=float))
    heat = wide["contribution"][list(first)[:N_MAPPED]]
    said = (
        "A straight line: the gene counts the same everywhere. A bend, or scatter around the curve: it depends on how "
    )
    said += "much there is of it, or on other genes. Curve: local linear regression on half of the cells."
    if not bent:
        said = (
            "All of them are straight lines: networks count for nothing here, and a gene counts the same in every cell."
        )
    blocks: list[Block] = [
        Figures([("Genes and cells that are alike lie side by side.", contribution_map(heat, probability))]),
        Text("By the value of the gene", "heading"),
        Text(said),
        Figures(alone if bent else alone[:N_STRAIGHT]),
    ]
    if together:
        blocks += [
            Text("By the value of another gene", "heading"),
            Text("The other gene is the one whose value goes best with what the first curve leaves over. Curves: the "
                 "cells with more of it than the median, and those with less."),
            Figures(together),
        ]  # fmt: skip
    how = "Contributions of the most important genes, cell by cell. Blue towards sensitive, orange towards resistant."
    return Section("by-value", "Contributions cell by cell", how, blocks)


def forces(run: Run) -> Section | None:
    """Single cells: how contributions carry them from the background to their logit."""
    table = run.table("forces")
    if table is None or table.empty or not {"prediction", "baseline", "rest"} <= set(table):
        return None
    blocks: list[Block] = []
    for (cell, why), rows in table.groupby(["cell", "why"], sort=False):
        first = rows.iloc[0]
        said = f"{cell}, {why}: logit {number(first['prediction'], 2)} against {number(first['baseline'], 2)}."
        said += "" if pd.isna(first.get("probability")) else f" P(sensitive) {chance(first['probability'])}."
        figure = force(rows, float(first["prediction"]), float(first["baseline"]), float(first["rest"]))
        blocks.append(Figures([(said, figure)]))
    how = (
        "Blue pushes to the right, towards sensitive, orange to the left; they meet at the logit of the cell. Where "
        "'all other genes' is the widest, no few genes explain the cell. The logit is that of the cell by itself; "
        "P(sensitive) also asks its neighbours."
    )
    return Section("forces", "Single cells", how, blocks)


def _is_straight(points: pd.DataFrame) -> bool:
    """Whether contributions are a straight line of the value, as without networks."""
    if points["value"].nunique() < 3 or points["contribution"].nunique() < 3:
        return True
    return bool(points["value"].corr(points["contribution"]) ** 2 > STRAIGHT)


def _wide(run: Run) -> dict[str, pd.DataFrame] | None:
    table = run.table("contributions")
    if table is None or table.empty:
        return None
    return {
        name: table.pivot_table(index="cell", columns="gene", values=name, sort=False)
        for name in ("value", "contribution")
    }
