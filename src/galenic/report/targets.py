"""Section on pairs of targets: how many are known beside chance, the list, and methods beside their floors."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from galenic.plots.figures.search import text_of
from galenic.plots.figures.targets import match_curve
from galenic.report.blocks import Block, Cell, Figures, Section, Table, Text
from galenic.report.run import Run
from galenic.report.words import count, interval, number, p_value

N_ROWS = 200
FOUND = 0.05
METHODS = {
    "residual": "residual profiles",
    "correlation": "correlation of weights",
    "importance": "sum of importances",
    "popularity": "popularity of the genes elsewhere",
    "known elsewhere": "pair known elsewhere",
}
TARGET_GLOSSARY = {
    "Known pair": "A pair of genes that a combination of drugs in clinical trials of the disease hits.",
    "Candidate": "A gene that may be paired: those in known pairs of the disease, or those that were named. Taken from "
    "the known pairs themselves, candidates make every list look good; only what exceeds chance counts.",
    "Residual profile": "Ranks of a gene's weights over the latent variables, less what all variables say together.",
    "Chance": "As many pairs drawn from all pairs of candidates (hypergeometric). The p-value of an AUROC is from "
    "shuffled gene labels, which keep how often each gene stands in known pairs.",
    "AUROC": "Chance that a known pair ranks above one that is not; 0.5 is a coin.",
    "Floor": "What reads no weights: in how many known pairs of other diseases the genes stand, and in how many other "
    "diseases the pair itself is known.",
    "q-value": "Expected share of false finds (Benjamini-Hochberg).",
}


def targets(run: Run) -> Section | None:
    """Known pairs in the list beside chance, the pairs, and methods beside floors."""
    pairs, match, diseases = (run.table(name) for name in ("target_pairs", "target_match", "target_diseases"))
    if pairs is None:
        return None
    blocks: list[Block] = []
    if match is not None and len(match):
        blocks.append(_against_chance(match))
        said = "Share of the first pairs that are known, and what chance gives (band: 95 %)."
        blocks.append(Figures([(said, match_curve(match))]))
    blocks.append(_pair_table(pairs))
    if diseases is not None and len(diseases):
        blocks += [Text("Methods and floors, over diseases", "heading"), _against_floors(diseases)]
        blocks.append(_method_table(diseases))
    how = (
        "Pairs rank high where weights of two genes on the latent variables go together, or opposite ways. On "
        "published data no such ranking beat how popular the genes are in other diseases: a list alone is no evidence."
    )
    return Section("targets", "Pairs of targets", how, blocks)


def _against_chance(match: pd.DataFrame) -> Text:
    """The longest list that is whole, in one sentence."""
    whole = match[match["listed"] == match["n"]]
    row = (whole if len(whole) else match).iloc[-1 if len(whole) else 0]
    auroc, p_shuffled = row.get("auroc", np.nan), row.get("p_permutation", np.nan)
    said = (
        f"Of the first {count(row['listed'])} pairs {count(row['hits'])} are known in {row['disease']}; chance gives "
        f"{number(row['expected'], 1)} (95 %: {count(row['low'])} to {count(row['high'])}), "
        f"p {p_value(row['p_value'])}."
    )
    if auroc == auroc:
        said += f" AUROC of the ranking {number(auroc, 2)}, p {p_value(p_shuffled)} against shuffled genes."
    beyond = row["p_value"] < FOUND and not p_shuffled >= FOUND
    return Text(said if beyond else f"{said} That is no more than chance.", "good" if beyond else "bad")


def _pair_table(pairs: pd.DataFrame) -> Table:
    numbers = {"score": 3, "r": 3, "a_score": 3, "b_score": 3, "importance": 4}
    columns = [name for name in numbers if name in pairs]
    tested = [name for name in ("p_value", "q_value") if name in pairs]
    has_known = "known" in pairs
    rows: list[list[Cell | str]] = [
        [
            Cell(count(row["rank"]), sort=row["rank"]),
            text_of(row["gene_a"]),
            text_of(row["gene_b"]),
            *(Cell(number(row[name], numbers[name]), sort=row[name]) for name in columns),
            *(Cell(p_value(row[name]), sort=row[name]) for name in tested),
            *([Cell("known", kind="best") if row["known"] in (True, "True") else ""] if has_known else []),
        ]
        for row in pairs.head(N_ROWS).to_dict("records")
    ]
    titles = {"a_score": "score A", "b_score": "score B", "p_value": "p-value", "q_value": "q-value"}
    head = ["rank", "gene", "gene with it", *(titles.get(name, name) for name in [*columns, *tested])]
    hints = {
        "r": "likeness of the two profiles, −1 to 1",
        "importance": "sum of the mean absolute weights of the two genes",
        "p-value": "share of pairs of genes taken at random with a score at least as large",
        "q-value": "share of false finds to be expected (Benjamini-Hochberg)",
    }
    more = f" The first {N_ROWS}; target_pairs.csv has all." if len(pairs) > N_ROWS else ""
    caption = f"{count(len(pairs))} pairs.{more}"
    return Table([*head, *(["in the clinic"] if has_known else [])], rows, caption, is_searchable=True, hints=hints)


def _against_floors(diseases: pd.DataFrame) -> Text:
    """The best method that reads weights beside the best floor, paired over diseases."""
    wide = diseases.pivot_table(index="disease", columns="method", values="auroc")
    is_floor = diseases.drop_duplicates("method").set_index("method")["is_floor"].isin([True, "True"])
    means = wide.mean()
    own, floor = (means[[name for name in means.index if is_floor[name] == kind]].idxmax() for kind in (False, True))
    gap = wide[own] - wide[floor]
    half = stats.t.ppf(0.975, len(gap) - 1) * gap.std() / np.sqrt(len(gap)) if len(gap) > 1 else np.nan
    beats = gap.mean() - half > 0
    said = (
        f"Over {count(len(wide))} diseases the best that reads weights, {METHODS.get(own, own)}, has a mean AUROC of "
        f"{number(means[own], 2)}; {METHODS.get(floor, floor)}, which reads none, has {number(means[floor], 2)}: "
        f"difference {number(gap.mean(), 2, signed=True)} {interval(gap.mean() - half, gap.mean() + half, 2)}."
    )
    return Text(said if beats else f"{said} Weights show no skill beyond popularity.", "good" if beats else "bad")


def _method_table(diseases: pd.DataFrame) -> Table:
    means = diseases.groupby("method")["auroc"].mean()
    rows: list[list[Cell | str]] = []
    for method in means.sort_values(ascending=False).index:
        part = diseases[diseases["method"] == method]
        n, floor = len(part), part["is_floor"].isin([True, "True"]).all()
        spread = part["auroc"].std() / np.sqrt(n) * stats.t.ppf(0.975, n - 1) if n > 1 else np.nan
        ends = interval(means[method] - spread, means[method] + spread, 2)
        clear = int((part["q_value"] < FOUND).sum())
        rows.append(
            [
                Cell(METHODS.get(method, method), badge="floor" if floor else ""),
                Cell(number(means[method], 2), ends, means[method]),
                Cell(number(part["ap"].mean(), 2), f"chance {number(part['base_rate'].mean(), 2)}", part["ap"].mean()),
                Cell(number(part["hits"].sum(), 1), f"chance {number(part['expected'].sum(), 1)}", part["hits"].sum()),
                Cell(count(clear), f"of {count(n)}", clear),
            ]
        )
    top = count(diseases["top"].max())
    head = ["method", "AUROC", "average precision", f"known in the first {top}", "beyond chance"]
    hints = {
        "AUROC": "mean over diseases, and its 95 % interval (Student's t; diseases share genes and combinations, so it "
        "is rather too narrow)",
        f"known in the first {top}": "summed over diseases",
        "beyond chance": f"diseases with q < {FOUND} (shuffled gene labels)",
    }
    caption = "Each disease is judged with floors from the other diseases alone; target_diseases.csv has every disease."
    return Table(head, rows, caption, hints=hints)
