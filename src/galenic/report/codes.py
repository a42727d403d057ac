"""Sections on what a model of perturbations holds inside: its codes, which effects are alike, what does not add up."""

from __future__ import annotations

import pandas as pd

from galenic.plots.figures.perturbation import N_NAMES, code_map, departure_bars
from galenic.report.blocks import Block, Cell, Figures, Section, Table, Text
from galenic.report.run import Run
from galenic.report.words import count, number

N_ROWS = 400  # neighbours, and genes with departures: what a page can show
N_NEAREST = 6  # neighbours told of each
N_CONDITIONS, N_GENES = 4, 12  # with the largest departures that are drawn, and genes of each
CODES = {"state": "State codes, of untreated cells", "effect": "Effect codes, of perturbations"}


def codes(run: Run) -> Section | None:
    """Maps of state codes and effect codes."""
    table = run.table("codes")
    if table is None or not {"kind", "name", "x", "y"} <= set(table):
        return None
    table = table.dropna(subset=["x", "y"])
    context = table["context"] if "context" in table else pd.Series("", table.index)
    table = table.assign(context=context.fillna("").astype(str), name=table["name"].fillna("").astype(str))
    figures = []
    for kind, title in CODES.items():
        rows = table[table["kind"] == kind]
        if kind == "state":
            # A colour a context would only repeat the name.
            names = rows["name"].where(rows["name"] != "", rows["context"])
            rows = rows.assign(name=names, context="")
        if len(rows):
            n_contexts = rows["context"].nunique()
            where = f", in {n_contexts} contexts" if n_contexts > 1 else ""
            point = "" if len(rows) <= N_NAMES else " Point at one for its name."
            figures.append((f"{title}: {count(rows['name'].nunique())} names{where}.{point}", code_map(rows)))
    if not figures:
        return None
    how = (
        "The model adds a state code and an effect code. Codes have many directions, of which a page shows two: points "
        "that are far apart differ, but points that touch need not be alike, and groups may be made by the projection. "
        "A map is an aid to looking, no evidence; what the model knows is in its scores."
    )
    return Section("codes", "Map of the codes", how, [*_without_part(run), Figures(figures)])


def _without_part(run: Run) -> list[Block]:
    """Where the share of the networks is 0: there the start alone answers."""
    start = "share of the networks, "
    told = {key.removeprefix(start): value for key, value in run.record["fields"].items() if key.startswith(start)}
    silent = [name for name, value in told.items() if str(value).startswith("0.00")]
    if not silent:
        return []
    where = "" if len(silent) == len(told) else f" for {', '.join(silent)}"
    said = f"The share of the networks is 0{where}: the codes play no part in what the model answers"
    return [Text(f"{said}{where and ' there'}.", "note")]


def similar(run: Run) -> Section | None:
    """Perturbations whose effect codes are nearest to each other."""
    table = run.table("similar")
    if table is None or table.empty or not {"perturbation", "rank", "neighbour", "similarity"} <= set(table):
        return None
    table = table.dropna(subset=["perturbation", "neighbour"]).sort_values("rank", kind="stable")
    near = table.groupby("perturbation", sort=False).head(N_NEAREST)
    closest = near.groupby("perturbation")["similarity"].transform("max")
    near = near.assign(closest=closest).sort_values(
        ["closest", "perturbation", "rank"], ascending=[False, True, True], kind="stable"
    )
    rows: list[list[Cell | str]] = [
        [
            str(row["perturbation"]),
            str(row["neighbour"]),
            Cell(number(row["similarity"], 2), sort=row["similarity"]),
            Cell(count(row["rank"]), sort=row["rank"]),
        ]
        for row in near.head(N_ROWS).to_dict("records")
    ]
    n_names = near["perturbation"].nunique()
    caption = f"Up to {N_NEAREST} of each of {count(n_names)} perturbations, those with the most similar ones first."
    if len(near) > N_ROWS:
        caption += f" The first {count(N_ROWS)} rows; similar.csv has all."
    how = (
        "Perturbations with similar effect codes should change cells alike, as far as the model has learned. This is a "
        "reason to look at both, no proof of a common mechanism; and codes of weak effects are mostly chance."
    )
    block = Table(["perturbation", "neighbour", "similarity", "rank"], rows, caption, is_searchable=True)
    return Section("similar", "Nearest perturbations by effect code", how, [*_without_part(run), block])


def interactions(run: Run) -> Section | None:
    """Genes that depart most from the additive solution."""
    table = run.table("interaction")
    if table is None or not {"context", "perturbation", "gene", "residual"} <= set(table):
        return None
    table = table.dropna(subset=["residual", "context", "perturbation", "gene"])
    if table.empty:
        return None
    table = table.assign(size=table["residual"].abs()).sort_values("size", ascending=False, kind="stable")
    drawn = list(table.groupby(["context", "perturbation"], sort=False))[:N_CONDITIONS]
    limit = float(table["size"].iloc[0]) or 1.0
    figures = [
        (f"{perturbation} in {context}.", departure_bars(rows.head(N_GENES), limit))
        for (context, perturbation), rows in drawn
    ]
    n_conditions = table[["context", "perturbation"]].drop_duplicates().shape[0]
    rows: list[list[Cell | str]] = [
        [
            str(row["gene"]),
            Cell(number(row["residual"], signed=True), sort=row["residual"]),
            str(row["perturbation"]),
            str(row["context"]),
        ]
        for row in table.head(N_ROWS).to_dict("records")
    ]
    caption = "The largest departures first."
    if len(table) > N_ROWS:
        caption += f" The first {count(N_ROWS)} of {count(len(table))} rows; interaction.csv has all."
    blocks: list[Block] = [
        Text("These departures are the model's claim, not a measurement: measure before you believe one.", "note"),
        Text(
            f"Drawn are the {len(drawn)} of {count(n_conditions)} conditions with the largest departure, on one scale."
        ),
        Figures(figures),
        Table(["gene", "departure", "perturbation", "context"], rows, caption, is_searchable=True),
    ]
    how = (
        "In the additive solution a perturbation does the same in every context, and a combination does the sum of its "
        "parts. The departure is what the model predicts for a gene beyond that, orange above it and blue below it."
    )
    return Section("interactions", "Interactions", how, blocks)
