"""Single cells told sensitive or resistant by bulk lines: ScATD beside the floors on two public targets.

python benchmarks/cells.py --data ../shared/data --out runs/cells --page docs/benchmarks.md
"""

from __future__ import annotations

import argparse
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

import anndata
import numpy as np
import pandas as pd
from anndata import AnnData
from tables import markdown, number

import galenic
from galenic.data.bulk import labelled_bulk
from galenic.data.cell_matrix import CellMatrix
from galenic.data.drug_names import plain_name
from galenic.data.neighbourhood import Neighbourhood, components
from galenic.evaluate import auroc, transfer_differences, transfer_scores
from galenic.models.cells.cell_model import CellModel, sigmoid
from galenic.tasks import few_shot, within_target, zero_shot

SEEDS = range(5)
"""Of the draws of nine tenths of the lines, and of the folds."""
SIZES, REPEATS = (1, 3, 5, 10), 30
TARGETS = {
    "A375": ("a375_plx4720_scad.h5ad", {"PLX-4720": "response_PLX4720"}),
    "JHU006": (
        "jhu006_scad.h5ad",
        {name: f"response_{name}" for name in ("Afatinib", "Cetuximab", "NVP-TAE684", "Sorafenib")},
    ),
}
"""File, and the column of the truth for each drug. The four drugs of JHU006 are one split of the cells, of which
sorafenib has the other sign: they count as one target."""
SOURCES = {
    "array": ("expression_array_z_656genes.csv.gz", False),
    "RNA-seq": ("expression_rnaseq_log2tpm_697genes.csv.gz", False),
    "published labels": ("expression_array_z_656genes.csv.gz", True),
}
"""Expression of the lines, and whether labels are the published ones instead of the cut of ln IC50."""
PUBLISHED = "ScATD, published"
"""150 epochs for each fold: from one source only."""
UNLABELLED = ("Cetuximab", "NVP-TAE684")
"""Drugs that the published labels lack."""
TITLES = {
    "array": "Lines: GDSC1, expression by array, labels by the waterfall cut of ln IC50",
    "RNA-seq": "Lines: GDSC1, expression by RNA-seq, labels by the waterfall cut of ln IC50",
    "published labels": "Lines: GDSC1, expression by array, the published binary labels (no ln IC50)",
}


class Spread:
    """Scores are spread over the graph of nearest cells: what ScATD does, without networks or doubts."""

    def predict(self, cells: AnnData, **how: Any) -> pd.DataFrame:
        """As the model itself; probabilities are of the smoothed logits."""
        table = super().predict(cells, **how)  # type: ignore[misc]
        found = components(CellMatrix.of(cells, use_rep=self.use_rep), seed=self.seed)  # type: ignore[attr-defined]
        p = table["probability"].fillna(0.5).clip(1e-12, 1 - 1e-12).to_numpy()
        table["probability"] = sigmoid(Neighbourhood.of(found).smooth(np.log(p / (1 - p))))
        table["label"] = (table["probability"] >= self.spec_["threshold"]).astype("Int64")  # type: ignore[attr-defined]
        return table


class RidgeWithNeighbours(Spread, galenic.CellRidge):
    """Ridge regression and neighbours."""


class CentroidWithNeighbours(Spread, galenic.CellCentroid):
    """Nearest centroid and neighbours."""


FLOORS: dict[str, CellModel] = {
    "CellPrior": galenic.CellPrior(),
    "CellCentroid": galenic.CellCentroid(),
    "CellSignature": galenic.CellSignature(),
    "CellLogistic": galenic.CellLogistic(),
    "AlignedLogistic": galenic.AlignedLogistic(),
    "CellRidge": galenic.CellRidge(),
    "CellBoosting": galenic.CellBoosting(),
}


def models() -> dict[str, CellModel]:
    """Floors, ScATD and what is left of it without its parts."""
    ours: dict[str, CellModel] = {
        "CellRidge with neighbours": RidgeWithNeighbours(),
        "CellCentroid with neighbours": CentroidWithNeighbours(),
        "ScATD": galenic.ScATD(),
        "ScATD without neighbours": galenic.ScATD(neighbours=0),
        PUBLISHED: galenic.ScATD(as_published=True),
    }
    return FLOORS | ours


@cache
def lines(folder: Path, source: str, drug: str) -> tuple[AnnData, dict[str, str]]:
    """Labelled lines for one drug, without the lines that the targets are of, and the columns that fitting takes."""
    expression, published = SOURCES[source]
    data = galenic.read.response_data(
        folder / "gdsc" / "response_gdsc1_v17_lnic50.csv.gz",
        expression=folder / "gdsc" / expression,
        drugs=folder / "gdsc" / "drugs.csv.gz",
        cells=folder / "gdsc" / "cell_lines.csv.gz",
    )
    cells = folder / "singlecell"
    labels = {"labels": cells / "bulk_binary_labels_1280x83.csv.gz", "samples": cells / "bulk_sample_names.csv.gz"}
    bulk = labelled_bulk(data, drug, **(labels | {"platform": "GDSC"} if published else {}))
    bulk = bulk[~bulk.obs["name"].map(plain_name).isin([plain_name(target) for target in TARGETS])].copy()
    columns = {"line": "line"} if published else {"line": "line", "response": "response"}
    return bulk, columns


def run(folder: Path, out: Path, names: list[str], sources: list[str], jobs: int) -> None:
    """Answers of every model on every target from every source; what is there already is kept."""
    asked = models()
    for source in sources:
        for target, (file, drugs) in TARGETS.items():
            cells = anndata.read_h5ad(folder / "singlecell" / file)
            for drug, truth in drugs.items():
                if drug in UNLABELLED and SOURCES[source][1]:
                    continue
                for name in names:
                    if name == PUBLISHED and source != "array":
                        continue
                    place = out / "zero_shot" / source / f"{target} {drug} {name}.csv"
                    if place.is_file():
                        continue
                    bulk, columns = lines(folder, source, drug)
                    began = perf_counter()
                    table = zero_shot(
                        {name: asked[name]}, bulk, cells, truth, name=target, seeds=SEEDS, n_jobs=jobs, **columns
                    )
                    table = table.assign(drug=drug, seconds=(perf_counter() - began) / len(SEEDS), n_lines=bulk.n_obs)
                    written(table, place)
                    score = table.groupby("seed").apply(lambda t: auroc(t["label"], t["probability"])).mean()
                    print(f"{source}, {target} {drug}, {name}: {score:.3f}", flush=True)


def run_few(folder: Path, out: Path, names: list[str], jobs: int) -> None:
    """Few-shot answers, from the cells alone and (ScATD) from lines as well, and the ceiling."""
    for target, use_rep, drug, truth in (
        ("A375", None, "PLX-4720", "response_PLX4720"),
        ("JHU006", None, "Afatinib", "response_Afatinib"),
        ("JHU006", "X_scfoundation_t4", "Afatinib", "response_Afatinib"),
    ):
        cells = anndata.read_h5ad(folder / "singlecell" / TARGETS[target][0])
        label = target if use_rep is None else f"{target} {use_rep}"
        for name in names:
            model = galenic.with_params(models()[name], {"use_rep": use_rep})
            how = {"name": label, "n_jobs": jobs}
            place = out / "few_shot" / f"{label} {name}.csv"
            if not place.is_file():
                written(few_shot({name: model}, None, cells, truth, sizes=SIZES, repeats=REPEATS, **how), place)
            place = out / "few_shot" / f"{label} {name} and lines.csv"
            if not place.is_file() and name == "ScATD" and use_rep is None:
                bulk, columns = lines(folder, "array", drug)
                asked = {f"{name} and lines": model}
                written(few_shot(asked, bulk, cells, truth, sizes=SIZES, repeats=REPEATS, **how, **columns), place)
            print(f"few-shot, {label}, {name}", flush=True)
        place = out / "ceiling" / f"{label}.csv"
        if not place.is_file():
            model = galenic.AlignedLogistic(use_rep=use_rep)
            written(within_target({"logistic": model}, cells, truth, name=label, seeds=SEEDS, n_jobs=jobs), place)


def written(table: pd.DataFrame, place: Path) -> None:
    """Write a table, and the folders that it lies in."""
    place.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(place, index=False)


def read(folder: Path) -> pd.DataFrame:
    """All tables of a folder."""
    return pd.concat([pd.read_csv(path) for path in sorted(folder.glob("*.csv"))], ignore_index=True)


ASKED = {
    "auroc": "AUROC", "auprc": "AUPRC", "mcc": "MCC", "balanced_accuracy": "balanced accuracy", "ece": "ECE",
    "abstained": "abstained",
}  # fmt: skip


def known(names: list[str] | pd.Index) -> list[str]:
    """Models in the order of the benchmark."""
    order = list(models())
    return [name for name in order if name in names] + [name for name in names if name not in order]


def of_targets(scores: pd.DataFrame) -> pd.DataFrame:
    """Means over drugs within each target, then over targets: index model, columns metric; seeds averaged."""
    means = scores.groupby(["model", "target", "drug", "metric"])["value"].mean()
    return means.groupby(["model", "target", "metric"]).mean().groupby(["model", "metric"]).mean().unstack()  # noqa: PD010


def table(answers: pd.DataFrame) -> str:
    """Scores of every model, and AUROC less that of the best floor with an interval."""
    scores = transfer_scores(answers.fillna({"drug": ""}))
    means = of_targets(scores)
    floors = [name for name in FLOORS if name in means.index]
    best = means.loc[floors, "auroc"].idxmax()
    spread = scores[scores["metric"] == "auroc"].groupby(["model", "target", "seed"])["value"].mean()
    spread = spread.groupby(["model", "seed"]).mean().groupby("model").std()
    seconds = answers.groupby("model")["seconds"].mean()
    rows = []
    for name in known(means.index):
        row = [f"{name} (floor)" if name in floors else name, f"{means.loc[name, 'auroc']:.3f} ± {spread[name]:.3f}"]
        row += [number(means.loc[name, metric]) for metric in list(ASKED)[1:]]
        row += ["" if name == best else difference(answers, name, best, over) for over in (SEED_CELL, SEED_TARGET)]
        rows.append([*row, f"{seconds[name]:.1f}"])
    header = ["model", *ASKED.values(), f"AUROC less {best}, seeds and cells", "seeds and targets", "s"]
    return f"{markdown(rows, header)}\n\n{by_drug(scores)}"


SEED_CELL, SEED_TARGET = ("seed", "cell"), ("seed", "target")


def difference(answers: pd.DataFrame, name: str, floor: str, over: tuple[str, ...]) -> str:
    """Difference on the mean over targets; bold where its interval lies above 0."""
    row = transfer_differences(answers, name, floor, resample=over).set_index("target").loc["mean"]
    text = f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
    return f"**{text}**" if row["low"] > 0 else text


def by_drug(scores: pd.DataFrame) -> str:
    """AUROC for each drug, mean and standard deviation over seeds."""
    scores = scores[scores["metric"] == "auroc"]
    found = scores.groupby(["model", "target", "drug"], sort=False)["value"].agg(["mean", "std"])
    asked = [(target, drug) for target, (_, drugs) in TARGETS.items() for drug in drugs]
    asked = [key for key in asked if key in found.index.droplevel("model")]
    rows = [
        [name, *(f"{found.loc[(name, *key), 'mean']:.3f} ± {found.loc[(name, *key), 'std']:.3f}" for key in asked)]
        for name in known(scores["model"].unique().tolist())
    ]
    return markdown(rows, ["AUROC", *(f"{target} {drug}" for target, drug in asked)])


def few_table(out: Path) -> str:
    """Few-shot curves, and the ceiling."""
    scores = transfer_scores(read(out / "few_shot").fillna({"drug": ""}))
    ceiling = transfer_scores(read(out / "ceiling").fillna({"drug": ""}))
    parts = []
    for target, part in scores.groupby("target", sort=False):
        top = ceiling[ceiling["target"] == target].groupby("metric")["value"].mean()
        shown = part[part["metric"] == "auroc"].groupby(["model", "size"])["value"].agg(["mean", "std"])
        mcc = part[part["metric"] == "mcc"].groupby(["model", "size"])["value"].mean()
        rows = [
            [
                name,
                *(f"{shown.loc[(name, size), 'mean']:.3f} ± {shown.loc[(name, size), 'std']:.3f}" for size in SIZES),
                *(number(mcc[name, size]) for size in SIZES),
            ]
            for name in known(part["model"].unique().tolist())
        ]
        rows.append(["ceiling: 5-fold logistic", *[""] * 3, number(top["auroc"]), *[""] * 3, number(top["mcc"])])
        header = ["model", *(f"AUROC, {n} of each class" for n in SIZES), *(f"MCC, {n}" for n in SIZES)]
        parts.append(f"**{target}**\n\n{markdown(rows, header)}")
    return "\n\n".join(parts)


def few_differences(out: Path) -> str:
    """AUROC of ScATD less that of logistic regression on the same draws of labelled cells."""
    scores = transfer_scores(read(out / "few_shot").fillna({"drug": ""}))
    scores = scores[scores["metric"] == "auroc"].pivot_table(
        index=["target", "size", "seed"], columns="model", values="value"
    )
    paired = (scores["ScATD"] - scores["AlignedLogistic"]).groupby(["target", "size"], sort=False)
    half = 1.96 * paired.std() / np.sqrt(paired.count())
    shown = {
        key: f"{mean:+.3f} [{mean - half[key]:+.3f}, {mean + half[key]:+.3f}]" for key, mean in paired.mean().items()
    }
    targets = list(dict.fromkeys(target for target, _ in shown))
    rows = [[target, *(shown[target, size] for size in SIZES)] for target in targets]
    return markdown(rows, ["ScATD less logistic regression", *(f"{n} of each class" for n in SIZES)])


def withheld(out: Path) -> str:
    """Fits of ScATD that answer, and fits that abstain from every cell, with the AUROC that each has or would have."""
    rows = []
    for source in SOURCES:
        table = read(out / "zero_shot" / source)
        table = table[table["model"] == "ScATD"]
        fits = table.groupby(["target", "drug", "seed"]).apply(
            lambda part: pd.Series({"auroc": auroc(part["label"], part["probability"]), "all": part["abstain"].all()})
        )
        parts = [fits.loc[fits["all"] == silent, "auroc"].astype(float) for silent in (False, True)]
        shown = [f"{len(part)}: {number(part.mean())} [{number(part.min())}, {number(part.max())}]" for part in parts]
        rows.append([source, *shown, str(int((parts[0] < 0.5).sum())), str(int((parts[1] < 0.5).sum()))])
    header = [
        "lines",
        "fits that answer: AUROC, mean [least, most]",
        "fits that abstain",
        "wrong way, told",
        "wrong way, withheld",
    ]
    return markdown(rows, header)


def main() -> None:
    """Run what is not there yet, and put the tables into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", nargs="*", default=list(models()))
    parser.add_argument("--sources", nargs="*", default=list(SOURCES))
    parser.add_argument("--few", nargs="*", default=["CellCentroid", "AlignedLogistic", "CellRidge", "CellBoosting",
                                                     "ScATD"])  # fmt: skip
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--page", type=Path)
    arguments = parser.parse_args()
    run(arguments.data, arguments.out, arguments.models, arguments.sources, arguments.jobs)
    run_few(arguments.data, arguments.out, arguments.few, arguments.jobs)
    done = [source for source in SOURCES if (arguments.out / "zero_shot" / source).is_dir()]
    text = "\n\n".join(f"### {TITLES[name]}\n\n{table(read(arguments.out / 'zero_shot' / name))}" for name in done)
    text += f"\n\n### What is told and what is withheld\n\n{withheld(arguments.out)}"
    text += f"\n\n### A few labelled cells\n\n{few_table(arguments.out)}\n\n{few_differences(arguments.out)}\n"
    print(text)
    if arguments.page:
        page = arguments.page.read_text(encoding="utf-8")
        begin, end = "<!-- cells -->\n", "\n<!-- end of cells -->"
        head, rest = page.split(begin)
        arguments.page.write_text(f"{head}{begin}\n{text}{end}{rest.split(end)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
