"""Effects of perturbations where nobody measured them: XTransferCDR beside the floors on three public data sets.

python benchmarks/perturbation.py --data ../shared/data --out runs/perturbation --page docs/benchmarks.md
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import anndata
import numpy as np
import pandas as pd
from anndata import AnnData
from tables import markdown, number

import galenic
from galenic.data.condition_means import condition_means
from galenic.data.perturbation import perturbation_columns
from galenic.evaluate import perturbation_by_condition, skill, split_half
from galenic.evaluate.statistics import bootstrap_interval

SEEDS = range(5)
"""Of divisions and networks; other ones by ``--seeds 5 10``."""
MODELS = {
    "NoEffect": galenic.NoEffect(),
    "CopySource": galenic.CopySource(),
    "GlobalMeanEffect": galenic.GlobalMeanEffect(),
    "ContextMeanEffect": galenic.ContextMeanEffect(),
    "MeanShift": galenic.MeanShift(),
    "ScaledShift": galenic.ScaledShift(),
    "NearestContextShift": galenic.NearestContextShift(),
    "LowRankEffect": galenic.LowRankEffect(),
    "StackedShift (our start)": galenic.StackedShift(),
    "XTransferCDR": galenic.XTransferCDR(),
    "XTransferCDR without towers": galenic.XTransferCDR(towers=False),
    "XTransferCDR, spread as measured": galenic.XTransferCDR(towers=False, spread="measured"),
    "XTransferCDR, towers alone": galenic.XTransferCDR(start="none", genes=False),
    "XTransferCDR, published": galenic.XTransferCDR(as_published=True, training=galenic.Training(max_epochs=20)),
}
FLOORS = tuple(MODELS)[:8]
ONCE = {"XTransferCDR, published": 1, "XTransferCDR, towers alone": 1}
"""Models that take minutes: the number of seeds they get."""
METRICS = ("pearson_delta", "pearson_delta_top50", "mae", "discrimination", "sign_top50", "r2_absolute")
HEADINGS = {
    "pearson_delta": "Pearson of effects",
    "pearson_delta_top50": "of the top 50",
    "mae": "MAE",
    "discrimination": "discrimination",
    "sign_top50": "signs, top 50",
    "r2_absolute": "R² absolute",
}
TITLES = {
    "kang": "Interferon in blood cells (Kang): one of five cell types left out",
    "glioma": "Knock-downs in three glioma lines (McFaline-Figueroa): five of nine genes left out of one line",
    "l1000": "L1000 CPC006, A375 to HT115: 100 of 344 compounds left out of HT115",
    "l1000_back": "L1000 CPC006, HT115 to A375: 100 of 344 compounds left out of A375",
}


@dataclass(frozen=True)
class Part:
    """One question: cells, the column of perturbations, and what is left out of which context."""

    adata: AnnData
    column: str
    seed: int
    context: str
    held: list[str]


def parts(folder: Path, name: str) -> Iterator[Part]:
    """The divisions of a data set, seed by seed."""
    if name == "kang":
        adata = anndata.read_h5ad(folder / "kang_ifnb_pbmc.h5ad")
        for seed in SEEDS:
            for context in sorted(set(adata.obs["cell_type"])):
                yield Part(adata, "perturbation", seed, context, ["IFNb"])
    elif name == "glioma":
        adata = anndata.read_h5ad(folder / "norman_mcfaline_crispr.h5ad")
        adata = adata[adata.obs["cell_type"] != "k562"].copy()
        genes = sorted(set(adata.obs["perturbation"]) - {"control"})
        for seed in SEEDS:
            held = np.random.default_rng(seed).permutation(genes)[:5].tolist()
            for context in ("A172", "T98G", "U87MG"):
                yield Part(adata, "perturbation", seed, context, held)
    else:
        adata = anndata.read_h5ad(folder / "l1000_level3_3plates.h5ad")
        adata = adata[adata.obs["compound_plate"] == "CPC006"].copy()
        treated = adata.obs[~adata.obs["control"]]
        found = [set(part) for _, part in treated.groupby("cell_type", observed=True)["pert_id"]]
        shared = sorted(set.intersection(*found))
        for seed in SEEDS:
            held = np.random.default_rng(seed).permutation(shared)[:100].tolist()
            yield Part(adata, "pert_id", seed, "A375" if name.endswith("back") else "HT115", held)


def scored(part: Part, model: galenic.models.base.Model) -> pd.DataFrame:
    """Scores of each left-out condition, with the seconds it took."""
    adata, column = part.adata, part.column
    test = (adata.obs["cell_type"] == part.context) & adata.obs[column].isin(part.held)
    asked = pd.DataFrame({"context": part.context, "perturbation": part.held})
    began = perf_counter()
    fitted = (
        galenic.with_params(model, {"seed": part.seed}) if hasattr(model, "seed") else galenic.with_params(model, {})
    )
    fitted.fit(adata[~test].copy(), perturbation=column)
    predicted = fitted.predict(adata, asked)
    seconds = perf_counter() - began
    means = condition_means(adata, perturbation_columns(adata, perturbation=column))
    truth = pd.DataFrame(means.means, index=pd.MultiIndex.from_frame(means.table[["context", "perturbation"]]))
    true = truth.loc[list(zip(asked["context"], asked["perturbation"], strict=True))].to_numpy()
    control = means.control_means[means.contexts.index(part.context)]
    scores = perturbation_by_condition(asked, true, np.asarray(predicted.X, dtype=np.float64), control)
    told = {name: fitted.spec_.get(name, np.nan) for name in ("share_genes", "share_towers", "stretch")}
    return scores.assign(seed=part.seed, seconds=seconds, **told)


def run(folder: Path, out: Path, names: list[str], models: list[str]) -> None:
    """Score every model on every part; what is there already is kept."""
    for name in names:
        for number_, part in enumerate(parts(folder, name)):
            for label in models:
                place = out / name / f"{number_:02d} {label}.csv"
                if place.is_file() or part.seed - SEEDS.start >= ONCE.get(label, len(SEEDS)):
                    continue
                place.parent.mkdir(parents=True, exist_ok=True)
                scores = scored(part, MODELS[label])
                scores.to_csv(place, index=False)
                mean = scores["pearson_delta"].fillna(0).mean()
                print(f"{name} {number_} {label}: {mean:.4f}, MAE {scores['mae'].mean():.4f}", flush=True)


def table(out: Path, name: str) -> str:
    """Means of every model, and its difference to the best floor with an interval over conditions."""
    files = sorted((out / name).glob("*.csv"))
    scores = pd.concat([pd.read_csv(path).assign(model=path.stem[3:]) for path in files], ignore_index=True)
    for metric in METRICS:  # no effect has no direction: it counts as 0
        if not metric.startswith(("mae", "discrimination")):
            scores[metric] = scores[metric].fillna(0)
    means = scores.groupby("model")[[*METRICS, "seconds"]].mean()
    means = means.loc[[label for label in MODELS if label in means.index]]
    floors = [label for label in FLOORS if label in means.index]
    best = {metric: means.loc[floors, metric].agg("idxmin" if metric == "mae" else "idxmax") for metric in METRICS}
    rows = []
    for label, row in means.iterrows():
        name_ = f"{label} (floor)" if label in floors else str(label)
        cells = [number(row[metric]) for metric in METRICS]
        cells += [difference(scores, str(label), best[metric], metric) for metric in ("pearson_delta", "mae")]
        rows.append([name_, *cells, f"{row['seconds']:.1f}"])
    said = ", ".join(f"{HEADINGS[metric]} {best[metric]}" for metric in ("pearson_delta", "mae", "discrimination"))
    header = ["model", *HEADINGS.values(), f"Pearson less {best['pearson_delta']}", f"MAE less {best['mae']}", "s"]
    return f"Best floors: {said}.\n\n{markdown(rows, header)}\n\n{skills(scores, floors)}"


def difference(scores: pd.DataFrame, label: str, floor: str, metric: str) -> str:
    """Mean paired difference over conditions (averaged over the seeds that both have), with a bootstrap interval."""
    if label == floor:
        return ""
    keys = ["context", "perturbation"]
    seeds = set(scores.loc[scores["model"] == label, "seed"])
    both = scores[scores["seed"].isin(seeds)].pivot_table(index=keys, columns="model", values=metric)
    gain = (both[label] - both[floor]).dropna().to_numpy()
    low, high = bootstrap_interval(lambda rows: rows.mean(axis=1), gain, n=4000, seed=0, vectorised=True)
    text = f"{gain.mean():+.4f} [{low:+.4f}, {high:+.4f}]"
    wins = high < 0 if metric == "mae" else low > 0
    return f"**{text}**" if wins else text


def skills(scores: pd.DataFrame, floors: list[str]) -> str:
    """Skill of our models against the best floor of each metric."""
    keys, rows = ["context", "perturbation"], []
    for label in ("XTransferCDR", "XTransferCDR, spread as measured"):
        seeds = set(scores.loc[scores["model"] == label, "seed"])
        both = scores[scores["seed"].isin(seeds)].groupby("model")
        means = {name: part.groupby(keys)[list(METRICS)].mean().reset_index() for name, part in both}
        if label not in means:
            continue
        known = {floor: means[floor] for floor in floors}
        found = skill(means[label], known, ["pearson_delta", "mae", "discrimination"])
        for row in found[found["n"] > 0].itertuples():
            rows.append([label, HEADINGS[row.metric], str(row.floor), number(row.value), number(row.floor_value),
                         f"{row.skill:+.3f} [{row.low:+.3f}, {row.high:+.3f}]", str(row.n)])  # fmt: skip
    return markdown(rows, ["model", "metric", "best floor", "model's", "floor's", "skill", "conditions"])


def ceilings(folder: Path) -> str:
    """Agreement of halves of the data: what a predictor that knew the truth could reach with other controls."""
    kang, glioma, plates = (next(parts(folder, name)).adata for name in ("kang", "glioma", "l1000"))
    asked = {
        "kang, halves of cells": (kang, "perturbation", None),
        "glioma, halves of cells": (glioma, "perturbation", None),
        "l1000, HT115, one plate against the other": (plates[plates.obs["cell_type"] == "HT115"], "pert_id", "plate"),
    }
    rows = []
    for label, (adata, column, replicates) in asked.items():
        X = adata.X.toarray() if hasattr(adata.X, "toarray") else np.asarray(adata.X)
        found = split_half(
            X, adata.obs, contexts="cell_type", perturbations=column, control="control", replicates=replicates
        ).set_index("metric")
        row = found.loc["pearson_delta"]
        discrimination = found["value"].get("discrimination", np.nan)
        rows.append([label, number(row["value"]), number(row["ceiling"]), number(discrimination), str(int(row["n"]))])
    header = ["data", "Pearson, half against half", "ceiling of Pearson", "discrimination, half", "conditions"]
    return markdown(rows, header)


def main() -> None:
    """Run what is not there yet, and put the tables into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", default=",".join(TITLES))
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 5), help="first seed, and the one after the last")
    parser.add_argument("--page", type=Path)
    arguments = parser.parse_args()
    global SEEDS
    SEEDS = range(*arguments.seeds)
    folder, names = arguments.data / "perturb", arguments.only.split(",")
    run(folder, arguments.out, names, arguments.models)
    text = "\n\n".join(f"### {TITLES[name]}\n\n{table(arguments.out, name)}" for name in names)
    text += f"\n\n### How much agreement there is to find\n\n{ceilings(folder)}\n"
    print(text)
    if arguments.page:
        page = arguments.page.read_text(encoding="utf-8")
        begin, end = "<!-- perturbation -->\n", "\n<!-- end of perturbation -->"
        head, rest = page.split(begin)
        arguments.page.write_text(f"{head}{begin}\n{text}{end}{rest.split(end)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
