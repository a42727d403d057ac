"""Retrieval of L1000 profiles: ReadAcross and its parts beside the floors, on perturbagens that were held out.

python benchmarks/retrieval.py --data ../shared/data --out runs/retrieval --jobs 2 --page docs/benchmarks.md
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from tables import markdown

import galenic
from galenic.data.gctx.metadata import canonical_profiles
from galenic.data.profiles import annotate
from galenic.evaluate import compare
from galenic.tasks import RetrievalTask

MODELS = {
    "ReadAcross": galenic.ReadAcross(),
    "ReadAcross, networks alone": galenic.ReadAcross(start=0.0),
    "ReadAcross, start alone": galenic.ReadAcross(n_members=0),
    "ReadAcross, plain cosine": galenic.ReadAcross(hubs=0.0),
    "ReadAcross, start alone, plain cosine": galenic.ReadAcross(n_members=0, hubs=0.0),
    "ReadAcross, softmax": galenic.ReadAcross(loss="cosine", smoothing=0.05),
    "ReadAcross, ArcFace": galenic.ReadAcross(loss="arcface", margin=0.2, smoothing=0.05),
    "ReadAcross, mechanism too": galenic.ReadAcross(mechanism=0.3),
    "published": galenic.ReadAcross(as_published=True),
}
PARTS = ["ReadAcross", "ReadAcross, networks alone", "ReadAcross, start alone", "ReadAcross, plain cosine",
         "ReadAcross, start alone, plain cosine"]  # fmt: skip
ASKED = {
    "multicell": PARTS,
    "locked": list(MODELS),
    "ht115": ["ReadAcross", "ReadAcross, start alone", "ReadAcross, plain cosine"],
    "ljp005": ["ReadAcross", "ReadAcross, start alone", "ReadAcross, plain cosine"],
}
"""Models of each question besides the floors."""
TITLES = {
    "multicell": "Other cell lines: 1,356 compounds x 24 lines, level 5",
    "locked": "Other cell lines, on three tenths of the compounds that no choice was made on",
    "ht115": "The other plate: HT115, level 4, 354 compounds",
    "ljp005": "Other doses: one plate of A375, level 4, 55 compounds",
}
COMPARED = (
    ("ReadAcross", "ReadAcross, start alone"),
    ("ReadAcross", "ReadAcross, networks alone"),
    ("ReadAcross", "ReadAcross, plain cosine"),
    ("ReadAcross, start alone", "ReadAcross, start alone, plain cosine"),
)
"""What single parts bring: mAP with less without."""
COLUMNS = {
    ("all", "map"): "mAP",
    ("all", "recall_at_1pct"): "recall 1 %",
    ("all", "median_quantile"): "median quantile",
    ("all", "auroc"): "AUROC",
    ("moa", "auroc_pooled"): "mechanism AUROC",
    ("target", "auroc_pooled"): "target AUROC",
}
ALL = {"all", "moa", "target"}


def profiles(folder: Path, name: str) -> AnnData:
    """One file of the corpus with its table, under galenic's names."""
    arrays = np.load(folder / f"{name}.npz", allow_pickle=False)
    obs = pd.read_csv(folder / f"{name}_obs.tsv.gz", sep="\t", dtype=str, keep_default_na=False)
    if "pert" in obs:  # the one id that every row has
        obs = obs.assign(pert_id=obs.pop("pert"))
    obs.index = [f"p{number}" for number in range(len(obs))]
    table = canonical_profiles(obs)
    return AnnData(arrays["X"].astype(np.float32), obs=table, var=pd.DataFrame(index=arrays["gene_id"].astype(str)))


def datasets(folder: Path) -> dict[str, tuple[AnnData, RetrievalTask]]:
    """The three questions: other cell lines, replicates on another plate, other doses."""
    hub = pd.read_csv(folder / "repurposing_hub_20200324.tsv.gz", sep="\t", dtype=str)
    cells = profiles(folder, "level5_multicell_24h_10uM")
    plates = profiles(folder, "level4pc_ht115_cpc006")
    doses = profiles(folder, "level4pc_ljp005_a375_n377")
    plates, doses = (annotate(adata[adata.obs["pert_type"] == "trt_cp"].copy(), hub) for adata in (plates, doses))
    return {
        "multicell": (cells, RetrievalTask(cells)),
        "ht115": (plates, RetrievalTask(plates, different=("plate",))),
        "ljp005": (doses, RetrievalTask(doses)),
    }


def is_locked(names: pd.Series) -> np.ndarray:
    """Three tenths of the perturbagens, by a hash of their name: no choice was made on them."""
    return np.array([int(hashlib.md5(str(name).encode()).hexdigest(), 16) % 10 < 3 for name in names])


def locked_folds(
    task: RetrievalTask, n_seeds: int, models: dict[str, galenic.models.base.Model]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores on the locked perturbagens of models that learned from the others, and the AP of each perturbagen."""
    held = is_locked(task.adata.obs[task.label])
    train, test, rows, by_drug = np.flatnonzero(~held), np.flatnonzero(held), [], []
    for label, model in models.items():
        for seed in range(n_seeds if hasattr(model, "seed") else 1):
            seeded = galenic.with_params(model, {"seed": seed}) if hasattr(model, "seed") else model
            answer = task.answer(seeded, train, train[:0], test)
            rows.append(task.scores(test, answer, None).assign(model=label, seed=seed, fold=0, split="locked"))
            by_drug.append(task.scores_by_drug(test, answer).assign(model=label, seed=seed))
            print(f"locked: {label}, seed {seed}: mAP {by_drug[-1]['value'].mean():.3f} over compounds", flush=True)
    return pd.concat(rows, ignore_index=True), pd.concat(by_drug, ignore_index=True)


def over_compounds(by_drug: pd.DataFrame) -> str:
    """Mean AP of compounds less that of the best floor and of the default, with a bootstrap interval over compounds."""
    means = by_drug.pivot_table(index="drug", columns="model", values="value")
    lines = []
    for bar in ("ShrinkageLDA", "ReadAcross"):
        for model in means:
            if model != bar and (bar == "ShrinkageLDA" or model in MODELS):
                gain = (means[model] - means[bar]).to_numpy()
                low, high = galenic.evaluate.bootstrap_interval(np.mean, gain)
                lines.append(
                    f"- {model} less {bar}: {gain.mean():+.3f} [{low:+.3f}, {high:+.3f}], {len(gain)} compounds"
                )
    return "\n".join(lines)


def table(metrics: pd.DataFrame, floors: tuple[str, ...]) -> str:
    """Mean scores, best first, with the paired difference of mAP and mechanism AUROC to a floor."""
    means = metrics.groupby(["model", "group", "metric"])["value"].mean()
    order = means.xs(("all", "map"), level=("group", "metric")).sort_values(ascending=False).index
    repeated = metrics.groupby("model")["fold"].nunique().min() > 1
    best = compare(metrics, list(floors)) if repeated else None
    cosine = compare(metrics[~metrics["model"].isin(set(floors) - {"RawCosine"})], "RawCosine") if repeated else None
    columns = {key: name for key, name in COLUMNS.items() if key in set(means.index.droplevel("model"))}
    rows = []
    for model in order:
        told = [difference(best, model, "all", "map"), difference(cosine, model, "moa", "auroc_pooled")]
        scored = [f"{means.get((model, *key), np.nan):.3f}" for key in columns]
        rows.append([f"{model} (floor)" if model in floors else model, *scored, *(told if repeated else [])])
    head = ["model", *columns.values()]
    return markdown(rows, [*head, "mAP less that of the best floor", "mechanism AUROC less raw cosine"][: len(rows[0])])


def parts_of(metrics: pd.DataFrame) -> str:
    """Paired differences of mAP between forms of the model."""
    lines = []
    for model, other in COMPARED:
        if {model, other} <= set(metrics["model"]):
            told = difference(compare(metrics[metrics["model"].isin([model, other])], other), model, "all", "map")
            lines.append(f"- {model} less {other}: {told}")
    return "\n".join(lines)


def difference(compared: pd.DataFrame | None, model: str, group: str, metric: str) -> str:
    """A paired difference with its interval, bold where that excludes 0."""
    if compared is None:
        return ""
    chosen = (compared["model"] == model) & (compared["group"] == group) & (compared["metric"] == metric)
    if not chosen.any():
        return ""
    row = compared[chosen].iloc[0]
    text = f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
    return f"**{text}**" if row["low"] * row["high"] > 0 else text


def positions(task: RetrievalTask) -> None:
    """How far the place on the plate explains replicates: their wells, and likeness of neighbouring wells."""
    obs = task.adata.obs
    wells = obs["well"].str.extract(r"([A-Z])(\d+)")
    places = np.column_stack([wells[0].map(ord), wells[1].astype(int)])
    apart = np.abs(places[:, None] - places).max(axis=2)
    same = obs["pert_id"].to_numpy()[:, None] == obs["pert_id"].to_numpy()
    other = obs["plate"].to_numpy()[:, None] != obs["plate"].to_numpy()
    print(f"replicates on the other plate that stand in the same well: {(apart[same & other] == 0).mean():.3f}")
    table, columns = task.table("perturbagen")
    for model in (galenic.RawCosine(), galenic.ShrinkageLDA(), galenic.ReadAcross()):
        found = []
        for fold in galenic.split(table, by=columns, n_folds=3, seed=0):
            model.fit(task.adata[fold.train].copy())
            vectors = model.embed(task.adata[fold.test].copy())
            asked = np.ix_(fold.test, fold.test)
            kept = ~same[asked] & other[asked]
            near, similar = apart[asked][kept] <= 1, model.similarity(vectors, vectors)[kept]
            found.append(galenic.evaluate.auroc(near, similar))
        print(f"{model!r}: neighbouring wells of other compounds, AUROC {np.mean(found):.3f}", flush=True)


def write(place: Path, content: str) -> None:
    """Put the tables between their marks."""
    begin, end = "<!-- retrieval -->", "<!-- end of retrieval -->"
    before, rest = place.read_text().split(begin)
    place.write_text(f"{before}{begin}\n\n{content}\n{end}{rest.split(end)[1]}")


def measured(question: str, task: RetrievalTask, args: argparse.Namespace) -> pd.DataFrame:
    """Scores of one question; those that an earlier call kept are taken as they are."""
    kept = args.out / f"{question}.csv"
    if not kept.is_file():
        models = {name: MODELS[name] for name in ASKED[question]}
        if question == "locked":
            metrics, by_drug = locked_folds(task, args.seeds, {**task.floors(), **models})
            args.out.mkdir(parents=True, exist_ok=True)
            by_drug.to_csv(args.out / "locked_by_drug.csv", index=False)
        else:
            metrics = galenic.benchmark(
                models, task, by="perturbagen", n_folds=3, seeds=range(args.seeds), n_jobs=args.jobs,
                parts=args.out / question, progress=True,
            ).metrics  # fmt: skip
        args.out.mkdir(parents=True, exist_ok=True)
        metrics.to_csv(kept, index=False)
    return pd.read_csv(kept)


def main() -> None:
    """Run every question, print and keep the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--questions", default=",".join(ASKED))
    parser.add_argument("--page", type=Path)
    args = parser.parse_args()
    found, parts = datasets(args.data / "l1000"), []
    for question in args.questions.split(","):
        task = found["multicell" if question == "locked" else question][1]
        metrics = measured(question, task, args)
        runs = (
            f"{args.seeds} seeds of the networks, one division"
            if question == "locked"
            else f"3 folds x {args.seeds} seeds"
        )
        shown = table(metrics[metrics["group"].isin(ALL)], tuple(task.floors()))
        if question == "locked":
            told = over_compounds(pd.read_csv(args.out / "locked_by_drug.csv"))
            told = f"Mean over compounds of average precision, with a bootstrap over compounds:\n\n{told}"
        else:
            told = f"mAP of forms of the model, paired:\n\n{parts_of(metrics)}"
        parts.append(f"### {TITLES[question]}\n\nMeans over {runs}.\n\n{shown}\n\n{told}\n")
        print(parts[-1], flush=True)
        if question == "ht115":
            positions(task)
    if args.page:
        write(args.page, "\n".join(parts))


if __name__ == "__main__":
    main()
