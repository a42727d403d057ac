"""The map of a search: query, hits and others as points that lie near each other where they act alike."""

from __future__ import annotations

from galenic.plots.figures.search import neighbour_map
from galenic.report.blocks import Figures, Section, Text
from galenic.report.run import Run
from galenic.report.words import count

N_MAPS = 4  # queries that are mapped


def neighbours(run: Run) -> Section | None:
    """Query, hits and others as points that lie near each other where they act alike."""
    table = run.table("map")
    if table is None or table.empty:
        return None
    names = list(dict.fromkeys(table["query"]))
    figures = []
    for name in names[:N_MAPS]:
        rows = table[table["query"] == name]
        has_star = (rows["role"] == "query").any()
        where = "The star is the query." if has_star else "Lists of genes have no place of their own."
        n_hits, n_others = ((rows["role"] == role).sum() for role in ("hit", "other"))
        said = f"{name}: {count(n_hits)} hits and {count(n_others)} others. {where}"
        figures.append((said, neighbour_map(rows)))
    how = (
        "The two directions in which these vectors differ most. Most of what tells them apart lies in directions that "
        "a page cannot show: points that are far apart differ, but points that touch need not be alike."
    )
    left = f"Maps of the first {N_MAPS} of {len(names)} queries; map.csv has all."
    rest = [Text(left)] if len(names) > N_MAPS else []
    return Section("neighbours", "Map of the neighbours", how, [Figures(figures), *rest])
