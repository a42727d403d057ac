"""Put the tables of a benchmark run into docs/benchmarks.md, between the marks of its name.

python benchmarks/tables.py runs/gdsc1 docs/benchmarks.md
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

COLUMNS = {
    ("all", "rmse"): "RMSE",
    ("all", "mae"): "MAE",
    ("all", "r2"): "R²",
    ("all", "pearson"): "Pearson",
    ("all", "spearman"): "Spearman",
    ("within_drug", "pearson"): "Pearson within drug",
    ("within_cell", "pearson"): "Pearson within cell",
    ("beyond_floor", "r2"): "R² beyond mean effects",
}
QUESTIONS = {
    "pair": "Random pairs",
    "cell": "Unseen cells",
    "drug": "Unseen drugs (by structure)",
    "tissue": "Unseen tissues",
}
FLOORS = ("DrugMean", "CellMean", "MeanEffects", "TissueDrugMean", "NearestDrugs")


def number(value: float) -> str:
    """Three decimals; a dash where undefined."""
    return "–" if pd.isna(value) else f"{value:.3f}"


def markdown(rows: list[list[str]], header: list[str]) -> str:
    """A table in Markdown."""
    lines = ["| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows]]
    return "\n".join(lines)


def table(metrics: pd.DataFrame, comparison: pd.DataFrame, split: str) -> str:
    """Scores of every model on one split, and the difference to the best floor."""
    part = metrics[metrics["split"] == split]
    means = part.groupby(["model", "group", "metric"], sort=False)["value"].mean()
    order = means.xs(("all", "rmse"), level=("group", "metric")).sort_values().index
    paired = comparison[
        (comparison["split"] == split) & (comparison["group"] == "all") & (comparison["metric"] == "rmse")
    ]
    paired = paired.set_index("model")
    rows = []
    for model in order:
        row = [f"{model} (floor)" if model in FLOORS else model]
        row += [number(means.get((model, *key), float("nan"))) for key in COLUMNS]
        if model in paired.index:
            found = paired.loc[model]
            verdict = f"{found['difference']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]"
            row.append(f"**{verdict}**" if found["better"] else verdict)
        else:
            row.append("")
        rows.append(row)
    best = paired["floor"].iloc[0] if len(paired) else ""
    return markdown(rows, ["model", *COLUMNS.values(), f"RMSE less that of {best}"])


def main() -> None:
    """Render the run's tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("page", type=Path)
    arguments = parser.parse_args()
    metrics = pd.read_csv(arguments.run / "metrics.csv")
    comparison = pd.read_csv(arguments.run / "comparison.csv")
    n_folds, n_seeds = metrics["fold"].nunique(), metrics["seed"].nunique()
    parts = [
        f"Means over {n_folds} folds x {n_seeds} seeds. Bold: the 95 % interval of the paired difference excludes 0.\n"
    ]
    for split in metrics["split"].unique():
        parts.append(f"### {QUESTIONS.get(split, split)}\n\n{table(metrics, comparison, split)}\n")
    name = arguments.run.name
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    text = arguments.page.read_text()
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    arguments.page.write_text(f"{before}{begin}\n\n" + "\n".join(parts) + f"\n{end}{after}")


if __name__ == "__main__":
    main()
