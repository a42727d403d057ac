"""Sections on a search: what was asked, what was found, and what the finds have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from galenic.plots.figures.search import listed, text_of
from galenic.report.blocks import Block, Cell, Drawings, Section, Table, Text
from galenic.report.run import Run
from galenic.report.words import NOTHING, count, number, p_value

N_QUERIES = 6  # that are told of in words, one by one
N_ROWS, N_LABELS, N_DRAWINGS = 500, 40, 11  # hits and labels of a table, structures: what a page can show
FOUND = 0.05  # q-value up to which a label counts as enriched
DISTANT, SURPASSED = 0.9, 0.95  # of known profiles, beyond which a query is far off; of vehicles that it should surpass
KINDS = {"moa": "mechanism", "target": "target"}
FLAGS = {
    "far": "It lies far from everything the model learned from, so its neighbours may mean little",
    "weak": "It changes few genes, or no more than vehicles do, so its direction may be chance",
    "scattered": "Its profiles disagree, so their mean may stand for none of them",
    "single": "It is one profile alone, so nothing says whether it repeats",
}


def asked(run: Run) -> Section | None:
    """What was searched for, and whether the answer can be trusted."""
    table = run.table("query")
    if table is None or table.empty:
        return None
    blocks: list[Block] = []
    for row in table.head(N_QUERIES).to_dict("records"):
        blocks += [Text(_told(row)), _trust(row)]
    if len(table) > N_QUERIES:
        rows: list[list[Cell | str]] = [
            [text_of(row["query"]), Cell(text_of(row["flag"]) or "none"), Cell(text_of(row["reason"]), kind="quiet")]
            for row in table.to_dict("records")
        ]
        blocks.append(Table(["query", "doubt", "why"], rows, f"All {count(len(table))} queries.", is_searchable=True))
    how = "A query that is weak or far from what the model knows still has neighbours; they then say little."
    return Section("query", "The query", how, blocks)


def hits(run: Run) -> Section | None:
    """The first hits of each query, and their structures."""
    table = run.table("hits")
    if table is None:
        return None
    if table.empty:
        return Section("hits", "Hits", "", [Text("Nothing was left to be found.", "note")])
    several = len(set(table["query"])) > 1
    shown = f"The first {N_ROWS} of {count(len(table))} rows; hits.csv has all." if len(table) > N_ROWS else ""
    block = _hit_table(table.head(N_ROWS), several, shown)
    drawn = list(_drawings(run, table[table["query"] == table["query"].iloc[0]]))
    title = "Structures of the first hits" + (f" of {table['query'].iloc[0]}" if several else "")
    opposite = "does the opposite of" if run.record["fields"].get("reverse") else "acts like"
    how = f"The higher the {_measure(table)}, the more the hit {opposite} the query."
    if "above" in table and table["above"].notna().any():
        how += f" Of the first hit it is higher than of {_above(table['above'].iloc[0])} of pairs in the reference."
    if "tanimoto" in table and table["tanimoto"].notna().any():
        how += " Likeness of structure played no part: a hit of another structure and one mechanism is worth a look."
    blocks: list[Block] = [block]
    blocks += [Text(title, "heading"), Drawings(drawn)] if drawn else []
    return Section("hits", "Hits", how, blocks)


def enriched(run: Run) -> Section | None:
    """Mechanisms and targets that stand out among the hits."""
    table = run.table("enrichment")
    if table is None or run.table("hits") is None:
        return None
    if table.empty:
        said = "No mechanism or target with three perturbagens or more is known, so none can be tested."
        return Section("enrichment", "Enriched mechanisms and targets", "", [Text(said, "note")])
    several = len(set(table["query"])) > 1
    blocks: list[Block] = [_found(name, rows, several) for name, rows in list(table.groupby("query", sort=False))[:6]]
    blocks.append(_label_table(table, several))
    how = (
        "Perturbagens of which no mechanism or target is known do not count, so these are not the rows of the table of "
        "hits: counted are the first with a known label, a tenth of all that were searched, at least 10 and at most as "
        "many as hits were asked for. A q-value tells how surprising a find is, not how large."
    )
    return Section("enrichment", "Enriched mechanisms and targets", how, blocks)


def _label_table(table: pd.DataFrame, several: bool) -> Table:
    """The labels of each query with the smallest p-values."""
    queries = table.groupby("query", sort=False)
    first = pd.concat([rows.sort_values("p_value", kind="stable").head(N_LABELS) for _, rows in queries])
    rows: list[list[Cell | str]] = [
        [
            *([text_of(row["query"])] if several else []),
            KINDS.get(row["kind"], row["kind"]),
            text_of(row["label"]),
            Cell(count(row["n"]), sort=row["n"]),
            Cell(count(row["n_in_hits"]), f"of {count(row['k'])}", row["n_in_hits"]),
            Cell(_odds(row.get("odds")), sort=row.get("odds")),
            Cell(p_value(row["q_value"]), sort=row["q_value"], kind="best" if row["q_value"] < FOUND else ""),
            Cell(number(row.get("auroc"), 2), sort=row.get("auroc")),
            Cell(p_value(row.get("q_rank")), sort=row.get("q_rank")),
        ]
        for row in first.to_dict("records")
    ]
    head = ["kind", "label", "known", "among hits", "odds", "q-value", "AUROC", "q, rank"]
    hints = {
        "known": "perturbagens with this label among those that were searched",
        "among hits": "how many of them are among the first perturbagens of which a mechanism (or target) is known; "
        "counted are a tenth of all that were searched, at least 10, and at most as many as hits were asked for",
        "q-value": "share of false finds to be expected (Benjamini-Hochberg), hypergeometric test of the hits",
        "AUROC": "over the whole ranking: 1 where all with the label come first, 0 where all come last, 0.5 by chance",
        "q, rank": "q-value of the AUROC (Mann-Whitney test)",
    }
    caption = f"Up to {N_LABELS} labels a query; enrichment.csv has all."
    return Table(
        ["query", *head] if several else head,
        rows,
        caption,
        is_searchable=True,
        choose=("query",) if several else ("kind",),
        hints=hints,
    )


def _told(row: dict[Any, Any]) -> str:
    """What one query is, in a sentence or two."""
    name, n = row["query"], row.get("searched")
    if row["kind"] == "gene lists":
        known = " and ".join(
            f"{count(row[f'{side}_known'])} of {count(row[f'{side}_listed'])} {word}"
            for side, word in (("up", "raised"), ("down", "lowered"))
            if row.get(f"{side}_listed", 0)
        )
        said = f"Lists of genes, of which {known} are measured in the reference."
    elif row["kind"] == "perturbagen":
        ids = text_of(row.get("pert_id"))
        known = f" ({ids.replace('|', ', ')})" if ids and ids != name else ""
        said = f"{name}{known}: one vector of {_many(row.get('n_profiles'), 'profile')} in the reference."
        said += f" Known mechanism: {listed(row['moa'])}." if text_of(row.get("moa")) else ""
    else:
        said = (
            f"Profile {name}, with {count(row.get('genes_known'))} of the {count(row.get('genes'))} genes of the model."
        )
    if row.get("reverse") in (True, "True"):
        said += " It was turned round: hits do the opposite."
    what = "profile" if row.get("level") == "profile" else "perturbagen"
    said += f" Compared with {_many(n, what)}."
    if text_of(row.get("where")):
        said += f" Only profiles with {row['where']} were compared, {count(row.get('profiles_compared'))} of them"
        said += "; the query itself keeps all its profiles." if row["kind"] == "perturbagen" else "."
    return said


def _trust(row: dict[Any, Any]) -> Text:
    """Whether the query can be trusted, and why not."""
    flags = [flag.strip() for flag in text_of(row["flag"]).split(",") if flag.strip()]
    if flags:
        doubts = "; ".join(FLAGS.get(flag, flag) for flag in flags)
        return Text(f"{doubts} ({text_of(row['reason'])}).", "warning")
    if row["kind"] == "gene lists":
        return Text("Enough of the genes are known. How strong and how far a list is cannot be told.", "note")
    parts = [*_strength(row), *_distance(row)]
    against = [words for words, doubt in parts if doubt]
    if against:
        return Text("; ".join(f"{words[0].upper()}{words[1:]}" for words in against) + ".", "note")
    because = f": {', and '.join(words for words, _ in parts)}" if parts else ""
    silent = "vehicle_strength" in row and _known(row, "vehicle_strength") is None
    blind = " Too few vehicles came with the reference to tell how strong chance is." if silent else ""
    return Text(f"Nothing speaks against the query{because}.{blind}", "good")


def _strength(row: dict[Any, Any]) -> Iterator[tuple[str, bool]]:
    """How strong the query is beside profiles and vehicles, and whether its profiles agree; and what is a doubt."""
    share, vehicles = _known(row, "strength_quantile"), _known(row, "vehicle_strength")
    if share is not None:
        yield f"it changes more genes than {share:.0%} of the profiles", False
    if vehicles is not None:
        yield f"it changes more genes than {vehicles:.0%} of {count(row['vehicles'])} vehicles", False
    alike = _known(row, "vehicle_similarity")
    if alike is not None and alike < SURPASSED:
        yield f"its best hit is no more similar than those of {1 - alike:.0%} of the vehicles", True
    if row["kind"] == "perturbagen" and _known(row, "agreement") is not None:
        yield f"its profiles agree with each other (mean cosine {number(row['agreement'], 2)})", False


def _distance(row: dict[Any, Any]) -> Iterator[tuple[str, bool]]:
    """How near the query lies to what is known, and whether that is a doubt."""
    far = _known(row, "distance_quantile")
    if far is None:
        return
    if far <= 0.5:
        yield f"it lies near what is known, nearer than {1 - far:.0%} of the known profiles lie to their nearest", False
    else:
        words = f"it lies farther from what is known than {far:.0%} of the known profiles lie from their nearest"
        yield words + (", so its neighbours may mean little" if far > DISTANT else ""), far > DISTANT


def _known(row: dict[Any, Any], name: str) -> float | None:
    """A number of a query, if it has one."""
    value = row.get(name)
    return float(value) if isinstance(value, (int, float)) and value == value else None


def _hit_table(table: pd.DataFrame, several: bool, shown: str) -> Table:
    corrected = _is_corrected(table)
    barred = "cosine" if corrected else "similarity"
    largest = table[barred].abs().max() or 1.0
    there = {name for name in table if table[name].notna().any()}
    there -= {name for name in ("dose", "time") if name in there and len(table[name].drop_duplicates()) == 1}
    order = ("above", "cell", "dose", "time", "tau", "moa", "target", "tanimoto", "n_profiles", "agreement")
    columns = [name for name in order if name in there]
    titles = {"moa": "mechanism", "tanimoto": "structure", "n_profiles": "profiles"}
    rows: list[list[Cell | str]] = []
    for row in table.to_dict("records"):
        other = row["pert_id"] if row["pert_id"] != row["pert_name"] else ""
        rows.append(
            [
                *([str(row["query"])] if several else []),
                Cell(str(row["pert_name"]), other),
                Cell(count(row["rank"]), sort=row["rank"]),
                *([Cell(number(row["similarity"]), sort=row["similarity"])] if corrected else []),
                Cell(number(row[barred]), sort=row[barred], bar=row[barred] / largest),
                *(_hit_cell(name, row[name]) for name in columns),
            ]
        )
    hints = {
        "similarity": "what hits are ranked by"
        + (
            ", the cosine minus how near both lie to profiles in general: 0 is as "
            "alike as a profile and its nearest neighbours are"
            if corrected
            else ""
        ),
        "structure": "shared substructures with the query (Tanimoto of Morgan fingerprints, radius 2): 1 is the same, "
        "below 0.3 is another",
        "above": "share of pairs of different perturbagens in the reference, of the same kind as query and hit, that "
        "are less similar: 99.8 % is higher than 99.8 % of pairs",
        "profiles": "how many of the perturbagen were compared",
        "agreement": "mean cosine between those profiles; none where there is one",
        "connectivity": "normalised connectivity (NCS): 1 is the mean of the positive ones in a cell line",
        "tau": "percentage of reference queries with a weaker connectivity, with its sign",
    }
    measures = ["similarity", "cosine"] if corrected else [_measure(table)]
    head = ["perturbagen", "rank", *measures, *(titles.get(name, name) for name in columns)]
    head = ["query", *head] if several else head
    return Table(head, rows, shown, is_searchable=True, choose=("query",) if several else (), hints=hints)


def _measure(table: pd.DataFrame) -> str:
    """What hits are ranked by: lists of genes have no vector, and so no cosine."""
    return "connectivity" if "tau" in table and table["tau"].notna().any() else "similarity"


def _is_corrected(table: pd.DataFrame) -> bool:
    """Whether similarity is another number than the cosine."""
    return "cosine" in table and bool(((table["similarity"] - table["cosine"]).abs() > 1e-6).any())


def _hit_cell(name: str, value: Any) -> Cell | str:
    if name in ("moa", "target", "cell"):
        return listed(value)
    if name == "n_profiles":
        return Cell(count(value), sort=value)
    if name == "above":
        return Cell(_above(value), sort=value)
    decimals = {"dose": 2, "time": 0, "tau": 1, "tanimoto": 2, "agreement": 2}[name]
    return Cell(number(value, decimals), sort=value)


def _above(share: float) -> str:
    """A share of pairs, never rounded to all of them."""
    return NOTHING if share != share else "> 99.9 %" if share > 0.9995 else f"{100 * share:.1f} %"


def _drawings(run: Run, table: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Captions and drawings of the query and of the first hits whose structures are known, each structure once."""
    if "smiles" not in table or not table["smiles"].notna().any():
        return
    from galenic.data.drugs import draw  # brings RDKit, which other reports do without

    asked = run.table("query")
    items: list[tuple[str, str]] = []
    if asked is not None and "smiles" in asked and text_of(asked["smiles"].iloc[0]):
        items.append((f"Query: {asked['query'].iloc[0]}", asked["smiles"].iloc[0]))
    known = table.dropna(subset=["smiles"]).drop_duplicates("smiles").head(N_DRAWINGS)
    for row in known.to_dict("records"):
        likeness = f", structure {number(row['tanimoto'], 2)}" if row.get("tanimoto") == row.get("tanimoto") else ""
        items.append((f"{count(row['rank'])}. {row['pert_name']}{likeness}", row["smiles"]))
    for caption, smiles in items:
        try:
            svg = draw(smiles)
        except ValueError as error:
            raise ValueError(f"hits.csv should hold SMILES that parse; of {caption!r}, {error}") from error
        yield caption, svg


def _found(name: object, rows: pd.DataFrame, several: bool) -> Text:
    """Which labels are enriched among the hits of one query, in a sentence."""
    found = rows[rows["q_value"] < FOUND].sort_values("p_value")
    start = f"{name}: among" if several else "Among"
    n_top = count(rows["k"].iloc[0])
    if found.empty:
        return Text(
            f"{start} the first {n_top} with a known label, no mechanism or target is enriched (q < {FOUND}).", "note"
        )
    said = [
        f"{row['label']} ({count(row['n_in_hits'])} of {count(row['n'])}, q {p_value(row['q_value'])})"
        for row in found.head(4).to_dict("records")
    ]
    more = f" and {count(len(found) - 4)} more" if len(found) > 4 else ""
    return Text(f"{start} the first {n_top} with a known label, these are enriched: {', '.join(said)}{more}.", "good")


def _odds(value: object) -> str:
    return "all are hits" if value == float("inf") else number(value, 1)


def _many(n: object, what: str) -> str:
    return f"{count(n)} {what}" + ("" if n == 1 else "s")
