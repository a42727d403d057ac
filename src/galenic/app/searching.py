"""What the Search page computes: a query put to a reference, and its answer as tables that people read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from galenic.app.perturbing import natural
from galenic.app.shown import Shown, on_paper
from galenic.data.numbers import as_numbers
from galenic.plots.figures.search import listed

if TYPE_CHECKING:
    from galenic.models.reference import Answer, Reference

K = 50
"""Hits that are asked for."""
FILTERS = {"cell": "Cell line", "moa": "Mechanism", "target": "Target", "time": "Time (hours)", "pert_type": "Type"}
"""Columns that are filtered by value."""
MOST_VALUES = 2000
"""Values that a list on the page can hold."""


@dataclass(frozen=True)
class Query:
    """What is searched for: one of a name, a profile of a file, or lists of genes.

    Parameters
    ----------
    name
        Of a perturbagen of the reference.
    path, row
        File of profiles, and which of them.
    up, down
        Raised and lowered genes.
    reverse
        Whether what acts against it is wanted.
    where
        Values that profiles should have, by column; a pair in round brackets is a range.
    """

    name: str = ""
    path: Path | None = None
    row: str = ""
    up: tuple[str, ...] = ()
    down: tuple[str, ...] = ()
    reverse: bool = False
    where: tuple[tuple[str, Any], ...] = ()

    @property
    def title(self) -> str:
        """What the query is called in a sentence."""
        return self.name or self.row or ("your lists of genes" if self.up and self.down else "your list of genes")


def ask(reference: Reference, query: Query, k: int = K) -> Answer:
    """The answer of a reference.

    Raises
    ------
    ValueError
        If nothing is asked, or as the reference does: an unknown name (with the nearest ones), too few known genes.
    """
    from galenic.models.reference.queries import query_profiles

    where: dict[str, Any] = {
        name: list(value) if isinstance(value, frozenset) else value for name, value in query.where
    }
    how: dict[str, Any] = {"reverse": query.reverse, "where": where or None, "k": k}
    if query.path is not None:
        return reference.by_profiles(query_profiles(str(query.path), query.row, reference.genes), **how)
    if query.up or query.down:
        return reference.by_gene_sets(query.up, query.down, name=query.title, **how)
    if not query.name.strip():
        raise ValueError("the name of a compound of the reference is expected; none was given. Choose or type one.")
    return reference.by_name(query.name, **how)


def gene_names(text: str) -> tuple[str, ...]:
    r"""Genes out of what was pasted: parted by lines, spaces, commas or semicolons; each once.

    >>> gene_names("TP53, MYC\n EGFR;TP53")
    ('TP53', 'MYC', 'EGFR')
    """
    return tuple(dict.fromkeys(one.strip("\"'") for one in re.split(r"[\s,;]+", text) if one.strip("\"'")))


def require_lists(up: tuple[str, ...], down: tuple[str, ...]) -> None:
    """Raise ``ValueError`` where a gene is on both lists: it cannot rise and fall."""
    both = sorted(set(map(str.upper, up)) & set(map(str.upper, down)))
    if both:
        raise ValueError(
            f"a gene should be raised or lowered; {len(both):,} are on both lists (first: {', '.join(both[:3])}). "
            "Take each off one of them."
        )


def compounds(reference: Reference) -> list[str]:
    """Names of the perturbagens of a reference, as people count; ids where there is no name."""
    table = reference.perturbagens.table
    ids = pd.Series(table.index.astype(str), index=table.index)
    names = table["pert_name"].fillna(ids) if "pert_name" in table else ids
    return natural(dict.fromkeys(names.astype(str)))


def filters(reference: Reference) -> dict[str, list[Any]]:
    """Values that can be filtered by, of each column of :data:`FILTERS` that has two or more and not too many."""
    found = {}
    for column in FILTERS:
        values = known_values(reference, column)
        if 1 < len(values) <= MOST_VALUES:
            found[column] = values
    return found


def doses(reference: Reference) -> tuple[float, float] | None:
    """The lowest and the highest dose, where doses differ."""
    from pandas.api.types import is_numeric_dtype

    table = reference.profiles.table
    if "dose" not in table or not is_numeric_dtype(table["dose"]) or table["dose"].nunique() < 2:
        return None
    return float(table["dose"].min()), float(table["dose"].max())


def known_values(reference: Reference, column: str) -> list[Any]:
    """What stands in a column of profiles or perturbagens, sorted."""
    for table in (reference.profiles.table, reference.perturbagens.table):
        if column in table:
            values = table[column].dropna().unique().tolist()
            return natural(values) if values and isinstance(values[0], str) else sorted(values)
    return []


def shown(answer: Answer, query: Query) -> Shown:
    """The answer in the form that the report's sections on a search read."""
    return Shown.of(
        {"fields": {"reverse": query.reverse}},
        query=answer.queries,
        hits=answer.hits,
        enrichment=answer.enrichment,
        map=answer.map,
    )


def headline(answer: Answer, query: Query, n: int = 3) -> str:
    """The answer in a sentence: the first hits, and what they have in common."""
    hits = answer.hits
    if hits.empty:
        return f"Nothing was left to compare {query.title} with."
    first = ", ".join(named(row) for row in hits.head(n).to_dict("records"))
    does = "acts most against" if query.reverse else "acts most like"
    said = f"Of {int(answer.queries['searched'].iloc[0]):,} in the reference, what {does} {query.title}: {first}."
    found = answer.enrichment
    found = found[(found["q_value"] < 0.05) & (found["kind"] == "moa")].sort_values("p_value") if len(found) else found
    if len(found):
        best = found.iloc[0]
        said += (
            f" Among the first {int(best['k'])}, the mechanism “{best['label']}” stands out "
            f"({int(best['n_in_hits'])} of its {int(best['n'])})."
        )
    return said


def named(row: dict[Any, Any]) -> str:
    """A hit with its mechanism, where that is known.

    >>> named({"pert_name": "vorinostat", "moa": "HDAC inhibitor"})
    'vorinostat (HDAC inhibitor)'
    """
    return f"{row['pert_name']} ({listed(row['moa'])})" if isinstance(row.get("moa"), str) else str(row["pert_name"])


def hit_rows(hits: pd.DataFrame) -> pd.DataFrame:
    """Hits with the columns that say something, under headings in plain words."""
    table = pd.DataFrame({"rank": hits["rank"], "compound": hits["pert_name"].astype(str)})
    if "moa" in hits and hits["moa"].notna().any():
        table["mechanism"] = [listed(value) for value in hits["moa"]]
    lists = "tau" in hits and hits["tau"].notna().any()
    table["connectivity" if lists else "similarity"] = hits["similarity"].astype(float)
    if not lists and "cosine" in hits and ((hits["similarity"] - hits["cosine"]).abs() > 1e-6).any():
        table["cosine"] = hits["cosine"].astype(float)
    names = {"above": "above chance pairs", "tau": "tau", "tanimoto": "structure likeness", "n_profiles": "profiles"}
    for column, title in names.items():
        if column in hits and hits[column].notna().any():
            table[title] = as_numbers(hits[column])
    if "target" in hits and hits["target"].notna().any():
        table["target"] = [listed(value) for value in hits["target"]]
    return table


HELP = {
    "similarity": "What hits are ranked by; where it is corrected for profiles that resemble everything, 0 is usual.",
    "connectivity": "Normalised connectivity: 1 is the mean of the positive ones in a cell line.",
    "cosine": "Likeness before that correction, −1 to 1.",
    "above chance pairs": "Share of pairs of different compounds in the reference that are less alike: the floor of "
    "chance. Near 100 % is rare by chance.",
    "tau": "Percentage of reference queries with a weaker connectivity, with its sign.",
    "structure likeness": "Shared substructures with the query (Tanimoto), 1 is the same; no part of the search.",
    "profiles": "How many profiles of the compound were compared.",
}
"""What the columns of :func:`hit_rows` mean."""


def drawings(answer: Answer, n: int = 5) -> list[tuple[str, str, str]]:
    """Name, what is known, and SVG of the query and the first hits whose structures are known and can be drawn."""
    from galenic.data.drugs import draw

    rows = []
    asked = answer.queries.iloc[0]
    if isinstance(asked.get("smiles"), str):
        rows.append((f"Query: {asked['query']}", listed(asked.get("moa")), asked["smiles"]))
    if "smiles" in answer.hits:
        known = answer.hits.dropna(subset=["smiles"]).drop_duplicates("smiles").head(n)
        rows += [(f"{row['rank']}. {row['pert_name']}", listed(row.get("moa")), row["smiles"])
                 for row in known.to_dict("records")]  # fmt: skip
    found = []
    for name, about, smiles in rows:
        try:
            found.append((name, about, on_paper(draw(smiles))))
        except ValueError:  # a structure that does not parse is not drawn; the table still has the hit
            continue
    return found
