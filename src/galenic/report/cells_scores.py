"""Sections on what could be checked: scores of cells beside floors, calibration, few labels, the lines, the shift."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from galenic.data.numbers import as_numbers
from galenic.evaluate.single_cell import single_cell_intervals
from galenic.plots.figures.cells import few_shot_curves, reliability, shift_dumbbells
from galenic.plots.figures.scores import score_dots
from galenic.report.blocks import Block, Cell, Figures, Section, Table, Text
from galenic.report.cells import BLANK, cells_of, short, span, threshold_of
from galenic.report.run import Run
from galenic.report.words import count, interval, number, p_value

SHOWN = {"auroc": "AUROC", "auprc": "AUPRC", "mcc": "MCC", "f1": "F1", "balanced_accuracy": "balanced accuracy",
         "brier": "Brier", "ece": "calibration error"}  # fmt: skip
TITLES = {"all": "all lines", "platform_alone": "platform alone"}
OWN = "this model"
N_BOOTSTRAP = 300
MOST = 20_000
"""Cells that scores are computed from; more are thinned evenly."""
TRUSTED = 0.7
"""AUROC of the platform alone above which the labels are said to depend on it."""
N_FEATURES = 20
MEASURES = {
    "classifier_auroc": "a classifier tells cells from lines (AUROC; 0.5 = it cannot)",
    "mmd2": "maximum mean discrepancy, squared (0 = equal distributions)",
    "outside_share": "share of cells outside the range of the lines (0.01 expected)",
    "median_divergence": "divergence of the median feature (nats)",
    "coexpression": "features that move together in lines do so in cells (r; 1 = alike)",
    "share_apart": "share of features that are apart",
}


def cell_scores(run: Run) -> Section | None:
    """Scores on cells whose truth is known, beside floors and the ceiling, with intervals."""
    cells, floors = cells_of(run), run.table("floors")
    if cells is None or cells["truth"].nunique() < 2:
        return None
    name = str(run.record["fields"].get("model") or OWN)
    table = scored(cells, floors, name)
    ceiling = [one for one in table["model"].unique() if one.lower().startswith("ceiling")]
    floor_names = [one for one in table["model"].unique() if one not in {name, *ceiling} and "called only" not in one]
    auroc = table[table["metric"] == "auroc"].drop_duplicates("model").set_index("model")
    best = auroc.loc[floor_names, "value"].idxmax() if floor_names else None
    dots = auroc.drop(index=ceiling).sort_values("value", ascending=False).reset_index()
    top = float(auroc.loc[ceiling[0], "value"]) if ceiling else float("nan")
    low = float(auroc.loc[best, "value"]) if best is not None else float("nan")
    blocks: list[Block] = [_verdict(auroc, name, best)]
    if cells["abstain"].all():
        blocks.append(Text("The model called none of these cells: its score is shown, not claimed.", "note"))
    blocks.append(
        Figures([("AUROC with 95 % interval, by cell.", score_dots(dots, set(floor_names), "AUROC", low, top))])
    )
    blocks.append(_score_table(table, set(floor_names), set(ceiling)))
    n, n_sensitive = int(cells["truth"].notna().sum()), int(cells["truth"].sum())
    how = (
        f"Truth of {count(n)} cells ({count(n_sensitive)} sensitive) that nothing was learned or chosen by: neither "
        "threshold nor direction. One data set with two kinds of cells is close to one yes-or-no question, however "
        "many cells it has: intervals by cell say nothing of the next data set."
    )
    title = "Scores" + " beside floors" * bool(floor_names) + " and the ceiling" * bool(floor_names and ceiling)
    return Section("cell-scores", title, how, blocks)


def scored(cells: pd.DataFrame, floors: pd.DataFrame | None, name: str = OWN) -> pd.DataFrame:
    """Scores with intervals of the model, of its called cells alone and of each floor: ``model, metric, value``."""
    known = cells.dropna(subset=["truth", "probability"])
    known = known.iloc[np.linspace(0, len(known) - 1, min(len(known), MOST)).round().astype(int)]
    parts = {name: known}
    if known["abstain"].any() and known.loc[~known["abstain"], "truth"].nunique() == 2:
        parts[f"{name}, called only"] = known[~known["abstain"]]
    if floors is not None:
        own = known[["cell", "truth"]]
        for floor, rows in floors.groupby("floor", sort=False):
            columns = [one for one in ("cell", "probability", "label") if one in rows]
            parts[str(floor)] = own.merge(rows[columns], on="cell").dropna(subset=["probability"])
    found = []
    for model, rows in parts.items():
        if rows["truth"].nunique() == 2:
            cut = threshold_of(rows)
            told = single_cell_intervals(rows, truth="truth", threshold=cut, n_bootstrap=N_BOOTSTRAP)
            found.append(told.assign(model=model))
    return pd.concat(found, ignore_index=True)


def cell_calibration(run: Run) -> Section | None:
    """Whether probabilities mean what they say: on lines left out, and on cells where the truth is known."""
    source, cells, parts = run.table("source"), cells_of(run), {}
    if source is not None and len(source):
        lines = source.assign(truth=as_numbers(source["label"]))
        parts["lines left out"] = bins_of(lines)
    if cells is not None and cells["truth"].nunique() == 2:
        parts["cells"] = bins_of(cells)
    if not parts:
        return None
    figure = Figures([("Ten bins with equally many; bars are 95 % intervals (Wilson).", reliability(parts))])
    how = (
        "On the dashed line probabilities mean what they say: of those with P = 0.8, 80 % are sensitive. Probabilities "
        "were calibrated on lines at most; in cells the share of sensitive ones is another, and nothing corrects for "
        "that."
    )
    return Section("cell-calibration", "Calibration", how, [figure])


def bins_of(table: pd.DataFrame, n_bins: int = 10) -> pd.DataFrame:
    """Mean probability and share of sensitive ones in bins of equally many rows, with Wilson's 95 % interval."""
    known = table.dropna(subset=["truth", "probability"])
    place = (known["probability"].rank(method="first") - 1) * n_bins // max(len(known), 1)
    bins = known.groupby(place).agg(probability=("probability", "mean"), share=("truth", "mean"), n=("truth", "size"))
    z, n = stats.norm.ppf(0.975), bins["n"]
    middle = (bins["share"] + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(bins["share"] * (1 - bins["share"]) / n + z**2 / (4 * n**2))
    return bins.assign(low=np.minimum(middle - half, bins["share"]), high=np.maximum(middle + half, bins["share"]))


def few_shot(run: Run) -> Section | None:
    """What a few labelled cells bring, beside floors that see the same labels."""
    table = run.table("few_shot")
    if table is None or table.empty:
        return None
    metric = next((name for name in SHOWN if (table["metric"] == name).any()), str(table["metric"].iloc[0]))
    rows = table[table["metric"] == metric]
    if not {"low", "high"} <= set(rows):
        grouped = rows.groupby(["method", "n_per_class"], sort=False)["value"]
        rows = grouped.agg(value="mean", spread="std", n="size").reset_index()
        half = stats.t.ppf(0.975, np.maximum(rows["n"] - 1, 1)) * rows["spread"] / np.sqrt(rows["n"])
        least = -1.0 if metric == "mcc" else 0.0
        low, high = ((rows["value"] + side * half).clip(least, 1.0) for side in (-1, 1))
        rows = rows.assign(low=low, high=high)
    floors = set(rows["method"]) - {one for one in rows["method"].unique() if str(one).lower().startswith("scatd")}
    said = "Mean over draws of the labelled cells, and its 95 % interval; scored on the cells that were not drawn."
    blocks: list[Block] = [
        Figures([(said, few_shot_curves(rows, SHOWN.get(metric, metric), floors))]),
        _few_table(rows, metric),
    ]
    how = (
        "Labels of a few cells say which kind is the sensitive one. Where simple models that see the same labels are "
        "level or ahead, the lines are not needed any more."
    )
    return Section("few-shot", "What a few labelled cells bring", how, blocks)


def source(run: Run) -> Section | None:
    """Scores on the lines that were left out, within platforms and over all, and what the platform alone scores."""
    table = run.table("source_scores")
    if table is None or table.empty:
        return None
    if "drug" in table:
        return _by_drug(table)
    groups = list(dict.fromkeys(table["group"]))
    rows: list[list[Cell | str]] = []
    for metric in dict.fromkeys(table["metric"]):
        own = table[table["metric"] == metric].drop_duplicates("group").set_index("group")
        cells: list[Cell | str] = [SHOWN.get(str(metric), str(metric))]
        for group in groups:
            row = own.loc[group] if group in own.index else None
            cells.append(BLANK if row is None else _scored_cell(row))
        rows.append(cells)
    head = ["score", *(TITLES.get(group, group.replace("_", " ")) for group in groups)]
    alone = table[table["group"].str.endswith("alone") & (table["metric"] == "auroc")]["value"]
    blocks: list[Block] = [] if alone.empty else [_platform(float(alone.iloc[0]))]
    lines = run.table("source")
    caption = "Each line is scored by members that did not learn from it"
    if lines is not None:
        n_lines, n_sensitive = lines["line"].nunique(), int((as_numbers(lines["label"], strict=True) == 1).sum())
        caption += f"; {count(n_lines)} cell lines, {count(len(lines))} samples, {count(n_sensitive)} of them sensitive"
    caption += "."
    blocks.append(Table(head, rows, caption))
    how = (
        "What the model can do where it was trained: whether it has learned anything. Between tissues that is another "
        "question than between the cells of one tumour, which may be told better, worse or the wrong way round."
    )
    return Section("source", "Scores on the lines it learned from", how, blocks)


def _by_drug(table: pd.DataFrame) -> Section:
    """AUROC of the model of each drug on the lines that its members left out."""
    auroc = table[table["metric"] == "auroc"].drop_duplicates(["drug", "group"])
    groups, found = list(dict.fromkeys(auroc["group"])), auroc.set_index(["drug", "group"])
    rows: list[list[Cell | str]] = []
    for drug in dict.fromkeys(auroc["drug"]):
        cells: list[Cell | str] = [str(drug)]
        for group in groups:
            row = found.loc[(drug, group)] if (drug, group) in found.index else None
            cells.append(BLANK if row is None else _scored_cell(row))
        rows.append(cells)
    head = ["drug", *(TITLES.get(group, group.replace("_", " ")) for group in groups)]
    how = "A drug whose lines are not told apart within their platform has no model worth asking."
    shown = Table(head, rows, "AUROC on lines left out.", is_searchable=True)
    return Section("source", "Scores on the lines, by drug", how, [shown])


def cell_shift(run: Run) -> Section | None:
    """How far cells lie from the lines, before and after alignment, over all and by feature."""
    summary, features = run.table("shift_summary"), run.table("shift")
    features = features if features is not None and {"feature", "before", "after"} <= set(features) else None
    if summary is None and features is None:
        return None
    told = run.record["fields"].get("shift")
    blocks: list[Block] = [Text(str(said)) for said in told] if isinstance(told, list) else []
    if summary is not None and len(summary):
        blocks.append(_shift_table(summary))
    if features is not None and len(features):
        ordered = features.dropna(subset=["after"]).sort_values("after", ascending=False)
        n = min(N_FEATURES, max(1, len(ordered) // 2))
        blocks.append(Figures([
            (f"The {n} features that are farthest from the lines after alignment.", shift_dumbbells(ordered.head(n))),
            (f"The {n} that are nearest.", shift_dumbbells(ordered.tail(n).iloc[::-1])),
        ]))  # fmt: skip
    how = (
        "Alignment gives each feature the mean and spread of the lines. What is left are shapes (many zeros) and how "
        "features move together, which it does not touch; a classifier that still tells the domains apart reads these."
    )
    return Section("cell-shift", "Shift between lines and cells", how, blocks)


def _verdict(auroc: pd.DataFrame, name: str, best: str | None) -> Text:
    own = auroc.loc[name]
    said = f"AUROC {number(own['value'], 2)} {interval(own['low'], own['high'], 2)}"
    if own["high"] < 0.5:
        return Text(
            f"{said}: the direction is wrong. The kinds of cells are told apart, and named the wrong way round.", "bad"
        )
    if own["low"] <= 0.5:
        return Text(f"{said}: no better than a coin.", "bad")
    if best is None:
        return Text(f"{said}. No floor was run beside it, so this says little.", "note")
    floor = auroc.loc[best]
    said += f" against {number(floor['value'], 2)} {interval(floor['low'], floor['high'], 2)} of the best floor, {best}"
    if own["low"] > floor["high"]:
        return Text(f"{said}: better than every floor here.", "good")
    return Text(
        f"{said}: {'no better than' if own['value'] <= floor['value'] else 'not clearly better than'} its floor.", "bad"
    )


def _score_table(table: pd.DataFrame, floors: set[str], ceiling: set[str]) -> Table:
    metrics = [metric for metric in SHOWN if (table["metric"] == metric).any()]
    found = table.set_index(["model", "metric"])
    rows: list[list[Cell | str]] = []
    for model in dict.fromkeys(table["model"]):
        badge = "floor" if model in floors else "ceiling" if model in ceiling else ""
        cells: list[Cell | str] = [Cell(model, f"{count(found.loc[(model, 'auroc'), 'n'])} cells", badge=badge)]
        for metric in metrics:
            row = found.loc[(model, metric)]
            cells.append(_scored_cell(row))
        rows.append(cells)
    caption = "Calls by each model's own threshold, chosen without these labels, or 0.5; 95 % intervals by cell."
    return Table(["model", *(SHOWN[metric] for metric in metrics)], rows, caption)


def _scored_cell(row: pd.Series) -> Cell:
    """A score and its interval below."""
    return Cell(short(row["value"]), span(row.get("low"), row.get("high")), row["value"])


def _few_table(rows: pd.DataFrame, metric: str) -> Table:
    numbers = sorted(set(rows["n_per_class"]))
    found = rows.drop_duplicates(["method", "n_per_class"]).set_index(["method", "n_per_class"])
    lines: list[list[Cell | str]] = []
    for method in dict.fromkeys(rows["method"]):
        cells: list[Cell | str] = [str(method)]
        for n in numbers:
            row = found.loc[(method, n)] if (method, n) in found.index else None
            cells.append(BLANK if row is None else _scored_cell(row))
        lines.append(cells)
    return Table([SHOWN.get(metric, metric), *(f"{count(n)} per class" for n in numbers)], lines)


def _platform(alone: float) -> Text:
    said = f"Knowing only the platform of a line scores AUROC {number(alone, 2)}"
    if alone > TRUSTED:
        return Text(
            f"{said}: labels depend on it. Scores over all lines are mostly the platform; read those within.", "bad"
        )
    return Text(f"{said}; scores over all lines are not mostly the platform.", "note")


def _shift_table(summary: pd.DataFrame) -> Table:
    whens = list(dict.fromkeys(summary["when"]))
    found = summary.drop_duplicates(["measure", "when"]).set_index(["measure", "when"])
    rows: list[list[Cell | str]] = []
    for measure in dict.fromkeys(summary["measure"]):
        cells: list[Cell | str] = [MEASURES.get(measure, measure)]
        for when in whens:
            row = found.loc[(measure, when)] if (measure, when) in found.index else None
            note = "" if row is None else span(row.get("low"), row.get("high"))
            if row is not None and row.get("p_value", np.nan) == row.get("p_value", np.nan):
                note = f"{note} p {p_value(row['p_value'])}".strip()
            cells.append(BLANK if row is None else Cell(number(row["value"]), note, row["value"]))
        rows.append(cells)
    return Table(
        ["measure", *whens], rows, "The larger the shift after alignment, the less scores on lines say of cells."
    )
