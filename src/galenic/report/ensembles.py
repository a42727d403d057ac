"""Sections on an ensemble: what its members agree on, the genes of each dimension, and its pathways."""

from __future__ import annotations

from typing import Any

import pandas as pd

from galenic.plots.figures.ensembles import link_map, stability_curve
from galenic.plots.figures.search import text_of
from galenic.report.blocks import Block, Cell, Figures, Section, Table, Text
from galenic.report.ensemble_seeds import come_back
from galenic.report.run import Run
from galenic.report.words import GLOSSARY, count, number, p_value

N_GENES, N_ROWS, N_PATHWAYS = 5, 2000, 300
LEVEL = 0.05
FEW = 3
"""Members that a dimension should rest on."""
WEAK = 0.5
"""Agreement of latents, or of random halves of the members, below which it means little."""
ENSEMBLE_GLOSSARY = {
    "Member, latent": "A member is one fitted model of a family, a size and a seed; its latents are the numbers that "
    "it turns a profile into.",
    "Dimension": "The mean of latents of several members that go together, each standardised and with its sign turned. "
    "Its own sign is chosen so that its extremes are positive.",
    "Agreement": "Mean correlation of a latent with the others of its dimension, over the profiles of the fit.",
    "Set aside": "A latent that goes with none of another member, or is constant. It counts in no dimension.",
    "Weight": "What a dimension gains where a gene rises by one standard deviation, in standard deviations of a "
    "latent: the mean slope over profiles, by integrated gradients, averaged over latents; ± its standard deviation "
    "over these.",
    "Pathway by top genes": "Fisher's exact test, one-sided: more genes of the pathway among the top ones of the "
    "dimension than chance puts there. The genes that were measured are the universe.",
    "Pathway by all weights": "Slope of the signed weights on being in the pathway (univariate linear model). It finds "
    "pathways whose genes move one way. Genes that go together make its p-values too small.",
    "q-value": "Expected share of false finds (Benjamini-Hochberg), over all dimensions and pathways together.",
    **{name: GLOSSARY[name] for name in ("Floor", "mAP", "Found beyond chance", "Median quantile", "Fold, seed")},
    "Interval": GLOSSARY["Interval"],
}


def agreed(run: Run) -> Section | None:
    """How many latents there are, which were set aside, how they go together, and how many clusters are stable."""
    latents = run.table("latents")
    if latents is None or latents.empty:
        return None
    blocks: list[Block] = [Text(said, "note") for said in (_counted(latents, run.record["fields"]), _inside(latents))]
    figures = []
    links, curve = run.table("latent_links"), run.table("stability")
    if links is not None and len(links):
        n = int(((latents["cluster"] >= 0) | latents["link"].notna()).sum())
        part = f"{count(len(links))} of {count(n)} latents that vary" if len(links) < n else "All latents that vary"
        said = f"{part}: correlations over profiles, signs turned. A square along the diagonal is a dimension"
        figures.append((f"{said}{'; those set aside come last' if (links['cluster'] < 0).any() else ''}.",
                        link_map(links)))  # fmt: skip
    if curve is not None and len(curve):
        said = "Random halves of the members are clustered, and all latents given to the nearest centre of either half."
        figures.append((f"{said} Bars: one standard error.", stability_curve(curve)))
    blocks += [Figures(figures)] if figures else []
    blocks.append(Text(_chosen(latents, curve, run.record["fields"])))
    blocks += come_back(run.table("seeds"))
    how = (
        "A dimension is a direction in these profiles that several fits find again. That shows that it is no accident "
        "of a seed, not that it is a mechanism: plates, cell lines, doses and batches are found as reliably."
    )
    return Section("ensemble", "What the members agree on", how, blocks)


def dimensions(run: Run) -> Section | None:
    """Each dimension in one row, and its genes."""
    genes, latents, found = run.table("dimensions"), run.table("latents"), run.table("pathways")
    if genes is None or genes.empty or latents is None:
        return None
    if "symbol" in genes:
        genes = genes.assign(gene=genes["symbol"].fillna(genes["gene"]))
    blocks: list[Block] = [_summary(genes, latents, found), _gene_table(genes)]
    how = (
        "Genes on top are those that the dimension reads, by weight. A gene that goes with them may weigh little, and "
        "one that weighs much need not be a cause of anything."
    )
    return Section("dimensions", "Dimensions and their genes", how, blocks)


def pathways(run: Run) -> Section | None:
    """How many pathways stand out, each counted once, and which."""
    table = run.table("pathways")
    if table is None or table.empty:
        return None
    n_all, n_dimensions = table["pathway"].nunique(), table["dimension"].nunique()
    columns = [name for name in ("q_value", "q_ulm") if name in table]
    is_found = (table[columns] <= LEVEL).any(axis=1)
    by_top, by_all = (table.loc[table[name] <= LEVEL, "pathway"].nunique() for name in (columns[0], columns[-1]))
    settings = run.record["fields"].get("pathways") or {}
    top = f"{count(settings['top'])} genes" if "top" in settings else "genes"
    said = (
        f"Of {count(n_all)} pathways, {_none_or(by_top)} out among the top {top} of one dimension at least (each "
        f"counts once, however many dimensions find it; q ≤ {LEVEL})."
    )
    if len(columns) > 1:
        said += f" By the signed weights of all genes {_none_or(by_all)} out."
    blocks: list[Block] = [Text(said, "good" if is_found.any() else "bad")]
    if is_found.any():
        blocks.append(_pathway_table(table[is_found], n_tests=len(table)))
    how = (
        f"q-values are corrected over all {count(len(table))} tests together, {count(n_dimensions)} dimensions × "
        f"{count(n_all)} pathways. Pathways share genes: several rows may be one finding."
    )
    return Section("pathways", "Pathways", how, blocks)


def _counted(latents: pd.DataFrame, fields: dict[str, Any]) -> str:
    """Members, latents, and what became of them."""
    members = latents[["family", "size", "run"]].drop_duplicates()
    n, used = len(latents), latents["cluster"] >= 0
    idle = int((~used & latents["link"].isna()).sum())
    alone = int((~used).sum()) - idle
    said = (
        f"{count(len(members))} members gave {count(n)} latents. {_share(used.sum(), n)} form "
        f"{_many(int(latents['cluster'].max()) + 1, 'dimension')}."
    )
    least = fields.get("shared")
    if alone:
        limit = f" by {number(least, 2)} or more" if isinstance(least, (int, float)) else ""
        said += f" {_share(alone, n)} were set aside, as no latent of another member correlates with them{limit}"
        said += f", and {count(idle)} more, as they are constant." if idle else "."
    elif idle:
        said += f" {_share(idle, n)} were set aside, as they are constant."
    else:
        said += " None was set aside."
    shares = latents.assign(used=used).groupby("family", sort=False)["used"].mean()
    if len(shares) > 1:
        said += " Used, by family: " + ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items()) + "."
    return said


def _inside(latents: pd.DataFrame) -> str:
    """How well latents agree within dimensions."""
    used = latents[latents["cluster"] >= 0]
    means = used.groupby("cluster")["agreement"].mean().dropna()
    by = used.assign(member=used["family"] + used["size"].astype(str) + "-" + used["run"].astype(str))
    few = int((by.groupby("cluster")["member"].nunique() < FEW).sum())
    said = "No dimension has two latents that could agree."
    if len(means):
        ends = f" ({number(means.min(), 2)} to {number(means.max(), 2)} over dimensions)" if len(means) > 1 else ""
        said = f"Within a dimension latents correlate by {number(means.mean(), 2)} in the mean{ends}."
    loose = int((means < WEAK).sum())
    if loose:
        said += (
            f" In {count(loose)} of {count(used['cluster'].nunique())} dimensions it is below {WEAK}: trust those less."
        )
    if few:
        said += f" {_many(few, 'dimension')} {'rests' if few == 1 else 'rest'} on fewer than {FEW} members: trust "
        said += f"{'it' if few == 1 else 'them'} less."
    return said


def _chosen(latents: pd.DataFrame, curve: pd.DataFrame | None, fields: dict[str, Any]) -> str:
    """How the number of dimensions came about."""
    n = int(latents["cluster"].max()) + 1
    if curve is None:
        if fields.get("n_consensus"):
            return f"The number of dimensions, {count(n)}, was given."
        return (
            f"The number of dimensions, {count(n)}, comes from G-means: clusters are split until each looks Gaussian."
        )
    row = curve[curve["chosen"].isin([True, "True"])].iloc[0]
    k, stability = int(row["n_clusters"]), float(row["stability"])
    said = (
        f"{count(k)} clusters is the largest number whose agreement lies within one standard error of the best: "
        f"{number(stability, 2)}, where 1 is the same clusters from either half and 0 is chance."
    )
    if n < k:
        said += (
            f" Clusters whose averages correlate by {number(fields.get('merge', 0.9), 2)} or more became one, which "
        )
        said += f"leaves {_many(n, 'dimension')}."
    if stability < WEAK:
        said += " Halves agree poorly: with more runs, or other seeds, the dimensions may be others."
    return said


def _summary(genes: pd.DataFrame, latents: pd.DataFrame, found: pd.DataFrame | None) -> Table:
    """A row a dimension: what it rests on, its first genes and its first pathway."""
    used = latents[latents["cluster"] >= 0]
    used = used.assign(member=used["family"] + used["size"].astype(str) + "-" + used["run"].astype(str))
    best = {}
    if found is not None:
        clear = found[found["q_value"] <= LEVEL].sort_values("p_value", kind="stable")
        best = clear.drop_duplicates("dimension").set_index("dimension")[["pathway", "q_value"]].to_dict("index")
    rows: list[list[Cell | str]] = []
    for dimension, own in used.groupby("cluster"):
        part = genes[genes["dimension"] == dimension].sort_values("rank", kind="stable")
        sides = [part[part["direction"] == side]["gene"].head(N_GENES) for side in ("up", "down")]
        agreement = own["agreement"].mean()
        row: list[Cell | str] = [
            Cell(count(dimension), sort=dimension),
            Cell(count(len(own)), f"{count(own['member'].nunique())} members", len(own)),
            ", ".join(own["family"].unique()),
            Cell(number(agreement, 2), sort=agreement),
            *(", ".join(map(text_of, side)) for side in sides),
        ]
        if found is not None:
            one = best.get(dimension)
            row.append("–" if one is None else Cell(text_of(one["pathway"]), f"q {p_value(one['q_value'])}"))
        rows.append(row)
    head = ["dimension", "latents", "families", "agreement", "genes that raise it", "genes that lower it"]
    hints = {
        "families": "kinds of members that its latents come from",
        "agreement": "mean correlation of its latents with each other",
        "first pathway": f"the smallest p-value of Fisher's test, where q ≤ {LEVEL}",
    }
    caption = "The dimension that most latents agree on best comes first."
    return Table([*head, *(["first pathway"] if found is not None else [])], rows, caption, True, hints=hints)


def _gene_table(genes: pd.DataFrame) -> Table:
    """The genes of all dimensions, to be searched."""
    per_side = max(1, N_ROWS // max(1, 2 * genes["dimension"].nunique()))
    shown = genes[genes["rank"] <= per_side]
    shown = shown.assign(size=shown["weight"].abs()).sort_values(
        ["dimension", "size", "direction"], ascending=[True, False, False], kind="stable"
    )
    longest = float(shown["size"].max()) or 1.0
    rows: list[list[Cell | str]] = [
        [
            Cell(count(row["dimension"]), sort=row["dimension"]),
            text_of(row["gene"]),
            Cell(
                number(row["weight"], signed=True),
                f"± {number(row['spread'])}" if row.get("spread") == row.get("spread") and "spread" in row else "",
                row["weight"],
                bar=row["weight"] / longest,
            ),
            Cell(f"{count(row['rank'])} {row['direction']}", sort=row["rank"]),
        ]
        for row in shown.to_dict("records")
    ]
    more = len(shown) < len(genes)
    caption = (
        f"Up to {count(shown['rank'].max())} genes of each direction{'; dimensions.csv has more' if more else ''}."
    )
    hints = {
        "weight": "what the dimension gains where the gene rises by a standard deviation; ±: standard deviation over "
        "the latents of the dimension",
        "rank": "1 up: of all genes this one raises the dimension most; 1 down: lowers it most",
    }
    return Table(["dimension", "gene", "weight", "rank"], rows, caption, True, choose=("dimension",), hints=hints)


def _pathway_table(found: pd.DataFrame, n_tests: int) -> Table:
    has_ulm = {"t", "q_ulm"} <= set(found)
    found = found.sort_values("p_value", kind="stable")
    rows: list[list[Cell | str]] = []
    for row in found.head(N_PATHWAYS).to_dict("records"):
        odds = row.get("odds")
        infinite = odds == float("inf")
        cells: list[Cell | str] = [
            Cell(count(row["dimension"]), sort=row["dimension"]),
            text_of(row["pathway"]),
            Cell(f"{count(row['n_top'])} of {count(row['n'])}", sort=row["n_top"] / row["n"]),
            Cell("∞" if infinite else number(odds, 1), sort=1e9 if infinite else odds),
            _p(row["p_value"]),
            _p(row["q_value"], is_q=True),
        ]
        cells += [Cell(number(row["t"], 1, signed=True), sort=row["t"]), _p(row["q_ulm"], is_q=True)] if has_ulm else []
        rows.append(cells)
    head = ["dimension", "pathway", "among the top", "odds ratio", "p", "q"]
    head += ["t, all genes", "q, all genes"] if has_ulm else []
    hints = {
        "among the top": "genes of the pathway among the top genes of the dimension, of those that were measured",
        "p": "Fisher's exact test, one-sided",
        "q": f"Benjamini-Hochberg over all {count(n_tests)} tests",
        "t, all genes": "of the signed weights; positive where the genes of the pathway raise the dimension",
    }
    more = f" The first {count(N_PATHWAYS)}" if len(found) > N_PATHWAYS else ""
    caption = (
        f"{_many(len(found), 'row')} with q ≤ {LEVEL} by either test.{more + '; pathways.csv has all.' if more else ''}"
    )
    return Table(head, rows, caption, True, choose=("dimension",), hints=hints)


def _p(value: float, *, is_q: bool = False) -> Cell:
    return Cell(p_value(value), sort=value, kind="best" if is_q and value <= LEVEL else "")


def _many(n: int, what: str) -> str:
    return f"{count(n)} {what}{'' if n == 1 else 's'}"


def _none_or(n: int) -> str:
    """``"none stands"``, ``"1 stands"``, ``"7 stand"``."""
    return f"{count(n) if n else 'none'} {'stands' if n <= 1 else 'stand'}"


def _share(n: int, total: int) -> str:
    return f"{count(n)} ({100 * n / max(total, 1):.0f} %)"
