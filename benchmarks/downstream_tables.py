"""Put the tables of benchmarks/deeppert_downstream.py into docs/benchmarks.md, between the marks of their names.

python benchmarks/downstream_tables.py runs/downstream docs/benchmarks.md
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from tables import markdown, number

READS = {
    "onehot": "which drug", "fingerprint": "fingerprint", "properties": "properties", "dose": "dose",
    "genes": "978 genes", "pca": "PCA 10", "deeppert": "DeepPert", "readacross": "ReadAcross",
}  # fmt: skip
FLOORS = ("onehot", "fingerprint", "properties", "dose")
ONE_LINE = (
    "synergy A375", "synergy HT29", "Loewe score A375", "Loewe score HT29", "renal, HA1E", "neuro, NPC",
    "synergy, 33 lines, drugs with profiles",
)  # fmt: skip
"""Questions that every representation was asked."""
JUDGED = (
    "synergy A375", "Loewe score A375", "synergy HT29", "Loewe score HT29", "renal, HA1E",
    "renal, HA1E, fitted in the folds", "neuro, NPC", "neuro, NPC, fitted in the folds", "renal, A549 latents",
    "neuro, A549 latents", "sensitivity A549 (ln IC50)", "synergy, 33 lines, drugs with profiles",
    "synergy, 33 lines, drugs with A549 latents", "synergy A375, other heads",
)  # fmt: skip
CURVE = ("synergy A375", "pair")


def main_metric(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of what decides: AUROC of classes, Pearson of numbers."""
    return table[table["metric"] == ("auroc" if "auroc" in set(table["metric"]) else "pearson")]


def splits(table: pd.DataFrame, names: tuple[str, ...]) -> list[tuple[str, str, pd.DataFrame]]:
    """Rows of each question and split, in the order of ``names``."""
    found = []
    for name in names:
        part = table[table["question"] == name]
        found += [(name, by, main_metric(part[part["split"] == by])) for by in part["split"].unique()]
    return found


def scores(metrics: pd.DataFrame) -> str:
    """Mean score of forests on each representation; the best floor and the best other in bold."""
    rows = []
    for name, by, part in splits(metrics[metrics["train_share"] == 1], ONE_LINE):
        means = part.groupby("model")["value"].mean().rename(lambda model: model.removesuffix(", forest"))
        means = means.reindex(list(READS))
        best = {means[list(FLOORS)].max(), means.drop(list(FLOORS)).max()}
        shown = [f"**{number(value)}**" if value in best else number(value) for value in means]
        n_folds = len(part.groupby(["fold", "seed"]))
        rows.append([name, by, f"{part['rows'].iloc[0]:,}", str(n_folds), *shown])
    return markdown(rows, ["task", "unseen", "rows", "folds", *READS.values()])


def verdicts(compared: pd.DataFrame) -> str:
    """The best of what is no floor against the best floor."""
    rows = []
    for name, by, part in splits(compared[compared["train_share"] == 1], JUDGED):
        if not part["difference"].notna().any():
            continue
        row = part.loc[part["difference"].idxmax()]
        verdict = "beats" if row["low"] > 0 else "worse" if row["high"] < 0 else "undecided"
        difference = f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
        needed = f"{row['needed']:,.0f}" if row["difference"] > 0 else ""
        rows.append([name, by, row["model"], row["floor"], difference, number(row["detectable"]), needed, verdict])
    header = ["task", "unseen", "best other", "best floor", "difference", "detectable", "needed", "verdict"]
    return markdown(rows, header)


def curve(metrics: pd.DataFrame) -> str:
    """Scores by the share of the training groups."""
    part = metrics[(metrics["question"] == CURVE[0]) & (metrics["split"] == CURVE[1])]
    table = main_metric(part).pivot_table(index="model", columns="train_share", values="value", sort=False)
    table = table[sorted(table.columns)].rename(index=lambda model: model.removesuffix(", forest"))
    rows = [[str(model), *map(number, row)] for model, row in table.iterrows()]
    return markdown(rows, ["reads", *(f"{share:.0%}" for share in table.columns)])


def written(metrics: pd.DataFrame, compared: pd.DataFrame, page: Path) -> None:
    """Exchange what stands between the marks of the page."""
    tables = {"scores": scores(metrics), "verdicts": verdicts(compared), "curve": curve(metrics)}
    text = page.read_text(encoding="utf-8")
    for name, table in tables.items():
        before, rest = text.split(f"<!-- downstream {name} -->")
        after = rest.split(f"<!-- end of downstream {name} -->")[1]
        text = f"{before}<!-- downstream {name} -->\n\n{table}\n\n<!-- end of downstream {name} -->{after}"
    page.write_text(text, encoding="utf-8")


def main() -> None:
    """Render the run's tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("page", type=Path)
    given = parser.parse_args()
    written(pd.read_csv(given.run / "metrics.csv"), pd.read_csv(given.run / "comparison.csv"), given.page)


if __name__ == "__main__":
    main()
