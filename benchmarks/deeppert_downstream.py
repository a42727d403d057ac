"""What embeddings of perturbation profiles are good for: synergy, toxicity and sensitivity, beside floors.

    OMP_NUM_THREADS=1 python benchmarks/deeppert_downstream.py --data ../shared/data --out runs/downstream
    OMP_NUM_THREADS=1 python benchmarks/deeppert_downstream.py --data ../shared/data --out runs/quick --quick

Every finished question is kept in ``--out`` (``metrics.csv``, ``comparison.csv``), so an interrupted run goes on; one
that was divided another number of times is answered anew. ``tables.md`` in ``--out`` holds the tables of what is there.

Representations: ``genes`` (978); ``pca`` (10 components, learned in each fold); ``deeppert`` and ``readacross`` (fitted
once, on 4,621 other profiles of 24 lines, perhaps of the same compounds, never on a label); ``deeppert own`` (fitted in
each fold on the profiles of the training drugs); ``published`` (35 latents of A549 as the publication left them, mean
over the profiles of a structure: transductive, its autoencoder saw the profiles of all its drugs, though no label).
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic import DeepPert, ReadAcross, benchmark
from galenic.data.drugs import standardise
from galenic.tasks import DownstreamTask, Learned, Predictor, components, embedding, represented
from galenic.train import Training

FOLDS = 5
SHARES = (0.4, 0.6, 0.8)
REPEATS = 5
OWN = ("drug_name", "label", "source_split", "row_in_cell_matrix", "pubchem_cid", "compound_name", "dose_um")
NOT_GENES = (*OWN, "molecular_weight", "alogp")


@dataclass(frozen=True)
class Question:
    """One table of results: a task, what is unseen, what reads what, and the share of training groups that is kept."""

    name: str
    task: DownstreamTask
    by: str
    models: dict[str, Predictor]
    share: float = 1.0

    @property
    def key(self) -> tuple[str, str, float]:
        """What tells it from the others."""
        return self.name, self.by, self.share


class Sources:
    """The files of the folder of measured data."""

    def __init__(self, folder: Path, out: Path, quick: bool) -> None:
        self.folder, self.out, self.quick = folder, out, quick
        self.deeppert = folder / "deeppert"
        self._models: tuple[Any, Any] | None = None
        self._published: pd.DataFrame | None = None

    def drugs(self, smiles: pd.Series) -> pd.DataFrame:
        """Structures by id; rows that do not parse are left out."""
        table = standardise(pd.DataFrame({"smiles": smiles.to_numpy()}, index=smiles.index.astype(str)))[0]
        return table.dropna(subset=["smiles", "structure"])

    def profiles(self, file: str, ids: pd.Index) -> dict[str, Any]:
        """Representations of the drugs of a table of profiles."""
        table = pd.read_parquet(self.deeppert / file)
        columns = [name for name in table.columns if name not in NOT_GENES and not name.endswith("smiles")]
        genes = table[columns].astype(np.float64).set_axis(ids)
        found: dict[str, Any] = {"genes": genes, "pca": Learned(genes, components(10))}
        found["dose"] = np.log1p(table[["dose_um"]]).set_axis(ids)
        for name, model in zip(("deeppert", "readacross"), self.models(), strict=True):
            kept = self.out / f"{Path(file).stem}.{name}.csv"
            if not kept.is_file():
                unit = genes.to_numpy().std()
                asked = AnnData((genes / unit).to_numpy(np.float32), var=pd.DataFrame(index=genes.columns))
                pd.DataFrame(model().embed(asked), index=ids).to_csv(kept)
            found[name] = pd.read_csv(kept, index_col=0, dtype={0: str}).set_axis(ids)
        return found

    def models(self) -> tuple[Callable[[], Any], Callable[[], Any]]:
        """DeepPert and ReadAcross, fitted on other profiles when they are first asked."""

        def both() -> tuple[Any, Any]:
            if self._models is None:
                self._models = self._fitted()
            return self._models

        return (lambda: both()[0]), (lambda: both()[1])

    def _fitted(self) -> tuple[Any, Any]:
        place = self.folder / "l1000"
        packed = np.load(place / "level5_multicell_24h_10uM.npz")
        named = pd.read_csv(place / "landmark_genes.tsv", sep="\t", dtype=str).set_index("gene_id")["gene_symbol"]
        obs = pd.read_csv(place / "level5_multicell_24h_10uM_obs.tsv.gz", sep="\t", dtype=str)
        obs = pd.DataFrame({"pert_id": obs["pert"].to_numpy(), "cell": obs["cell_id"].to_numpy()})
        genes = pd.DataFrame(index=named.reindex(packed["gene_id"]).to_numpy())
        adata = AnnData(packed["X"].astype(np.float32), obs=obs.set_axis(obs.index.astype(str)), var=genes)
        training = Training(lr=2e-3, max_epochs=10, patience=0, schedule="cosine", optimizer="adam", monitor="none")
        small = {"families": ("ae", "vae"), "sizes": (10, 25), "runs": 2, "n_explained": 8, "n_steps": 4}
        n_members = 0 if self.quick else 1
        return DeepPert(training=training, **small).fit(adata), ReadAcross(n_members=n_members).fit(adata)

    def published(self) -> pd.DataFrame:
        """Mean published latents of each structure, A549."""
        if self._published is None:
            kept = self.out / "published.csv"
            if not kept.is_file():
                table = pd.read_parquet(self.deeppert / "a549_vae" / "latents_35.parquet")
                means = table.groupby("l1000_smiles").mean()
                drugs = self.drugs(pd.Series(means.index, index=means.index))
                means.loc[drugs.index].groupby(drugs["structure"]).mean().to_csv(kept)
            self._published = pd.read_csv(kept, index_col=0)
        return self._published


def questions(sources: Sources) -> Iterator[Question]:
    """Every question in turn, the costliest last."""
    for line in ("A375", "HT29"):
        yield from synergy(sources, line)
    yield from toxicity(sources, "renal, HA1E", "renal_HA1E_profiles.parquet")
    yield from toxicity(sources, "neuro, NPC", "neuro_NPC_profiles.parquet")
    yield from from_published(sources)
    yield from lethal_dose(sources)
    yield from other_heads(sources)
    yield from all_lines(sources)
    yield from learning_curve(sources)


def readers(*names: str, heads: tuple[str, ...] = ("forest",)) -> dict[str, Predictor]:
    """Models by label: ``"genes + onehot"`` reads both."""
    return {
        f"{name}, {head}": Predictor(features=tuple(name.split(" + ")), head=head)  # type: ignore[arg-type]
        for name in names
        for head in heads
    }


PAIRED = readers("genes", "pca", "deeppert", "readacross", "deeppert + onehot")


def synergy(sources: Sources, line: str) -> Iterator[Question]:
    """Pairs of one cell line, one profile a drug."""
    task = pairs_of(sources, line)
    yield Question(f"synergy {line}", task, "pair", PAIRED)
    yield Question(f"synergy {line}", task, "drug", PAIRED)
    yield Question(f"Loewe score {line}", replace(task, target="synergy"), "pair", PAIRED)


def learning_curve(sources: Sources) -> Iterator[Question]:
    """Pairs of A375 by share of the training pairs."""
    task = pairs_of(sources, "A375")
    for share in SHARES:
        yield Question("synergy A375", replace(task, train_share=share), "pair", PAIRED, share)


def pairs_of(sources: Sources, line: str) -> DownstreamTask:
    """Labelled pairs of drugs of which both have a profile in the line."""
    file = f"synergy/{line}_profiles.parquet"
    table = pd.read_parquet(sources.deeppert / file)
    ids = pd.Index(table["drug_name"].astype(str))
    made = sources.profiles(file, ids)
    labels = pd.read_csv(sources.deeppert / "synergy" / "oneil_loewe_labels.csv.gz")
    labels = labels[labels["cell_line"] == line].rename(columns={"drug_a_name": "drug_a", "drug_b_name": "drug_b"})
    labels, _ = represented(labels, made)
    drugs = sources.drugs(table.set_axis(ids)["oneil_smiles"])
    return DownstreamTask(labels[["drug_a", "drug_b", "label", "synergy"]], made, drugs=drugs)


def toxicity(sources: Sources, name: str, file: str) -> Iterator[Question]:
    """Compounds with one profile each in one cell line."""
    table = pd.read_parquet(sources.deeppert / "toxicity" / file)
    ids = pd.Index([f"c{row}" for row in range(len(table))])
    made = sources.profiles(f"toxicity/{file}", ids)
    made["deeppert own"] = Learned(made["genes"], embedding(small_deeppert()))
    labels = pd.DataFrame({"drug": ids, "label": table["label"].to_numpy()})
    drugs = sources.drugs(table.set_axis(ids)["source_smiles"])
    labels = labels[labels["drug"].isin(drugs.index)].reset_index(drop=True)
    task = DownstreamTask(labels, made, drugs=drugs)
    models = readers("genes", "pca", "deeppert", "readacross", "deeppert + fingerprint + properties")
    yield Question(name, task, "drug", models)
    yield Question(name, task, "scaffold", models)
    yield Question(f"{name}, fitted in the folds", task, "drug", readers("deeppert own", "deeppert"))


def other_heads(sources: Sources) -> Iterator[Question]:
    """Boosting and networks in place of forests, for floors too."""
    heads = ("boosting", "network")
    task = replace(pairs_of(sources, "A375"), heads=heads)
    yield Question("synergy A375, other heads", task, "pair", readers("deeppert", heads=heads))


def small_deeppert() -> DeepPert:
    """An ensemble that a hundred profiles can feed."""
    training = Training(lr=2e-3, batch_size=64, max_epochs=20, patience=0, optimizer="adam", monitor="none")
    small: dict[str, Any] = {"families": ("ae", "vae"), "sizes": (5, 10), "runs": 2, "n_components": 50}
    return DeepPert(n_explained=8, n_steps=4, training=training, **small)


def from_published(sources: Sources) -> Iterator[Question]:
    """Compounds that the published A549 embedding covers: toxicity, and sensitivity of A549 itself."""
    latents = sources.published()
    names = readers("published", "published + fingerprint", "published + properties")
    folder = sources.deeppert / "toxicity"
    for name in ("renal", "neuro"):
        table = pd.read_csv(folder / f"{name}_compounds.csv.gz")
        yield of_structures(sources, f"{name}, A549 latents", table, "label", latents, names)
    gdsc = sources.folder / "gdsc"
    lines = pd.read_csv(gdsc / "cell_lines.csv.gz")
    response = pd.read_csv(gdsc / "response_gdsc1_v17_lnic50.csv.gz")
    response = response[response["cosmic_id"].isin(lines.loc[lines["cell_line"] == "A549", "cosmic_id"])]
    table = response.merge(pd.read_csv(gdsc / "drugs.csv.gz").dropna(subset=["smiles"]), on="drug_id")
    yield of_structures(sources, "sensitivity A549 (ln IC50)", table, "ln_ic50", latents, names)


def of_structures(
    sources: Sources,
    name: str,
    table: pd.DataFrame,
    target: str,
    latents: pd.DataFrame | None,
    models: dict[str, Predictor],
) -> Question:
    """A question of compounds that are named by their structure; contradictory classes are left out."""
    table = table.reset_index(drop=True)
    drugs = sources.drugs(table["smiles"])
    table = table.loc[drugs.index.astype(int), [target]].assign(drug=drugs["structure"].to_numpy())
    table = table.groupby("drug", as_index=False)[target].mean()
    if target == "label":
        table = table[table["label"].isin([0, 1])]
    made = {} if latents is None else {"published": latents}
    labels, _ = represented(table, made)
    named = drugs.drop_duplicates("structure").set_index("structure", drop=False)
    return Question(name, DownstreamTask(labels, made, drugs=named, target=target), "scaffold", models)


def lethal_dose(sources: Sources) -> Iterator[Question]:
    """Every labelled compound, of which most have no profile: what structure alone does."""
    folder = sources.deeppert / "toxicity"
    two = readers("fingerprint + properties")
    table = pd.read_csv(folder / "neuro_pld50.csv.gz")
    for by in ("drug", "scaffold"):
        question = of_structures(sources, "neuro pLD50, all", table, "pld50", None, two)
        yield replace(question, by=by)
    for name in ("renal", "neuro"):
        table = pd.read_csv(folder / f"{name}_compounds.csv.gz")
        yield replace(of_structures(sources, f"{name}, all", table, "label", None, two), by="drug")


def all_lines(sources: Sources) -> Iterator[Question]:
    """Pairs in 33 cell lines, of the drugs that the published embedding covers."""
    labels = pd.read_csv(sources.deeppert / "synergy" / "oneil_loewe_labels.csv.gz")
    labels = labels.rename(columns={"drug_a_name": "drug_a", "drug_b_name": "drug_b", "cell_line": "cell"})
    given = pd.read_csv(sources.deeppert / "synergy" / "oneil_drugs.csv").set_index("drug_name")
    whole = DownstreamTask(labels, {})
    for by in ("row", "pair", "cell", "drug", "both drugs"):
        yield Question("synergy, 33 lines", whole, by, readers("onehot", heads=("boosting",)))
    drugs = sources.drugs(given["smiles"])
    made = both_lines(sources)
    some, _ = represented(labels, made)
    task = DownstreamTask(some, made, drugs=drugs)
    yield Question("synergy, 33 lines, drugs with profiles", task, "pair", readers("genes", "readacross"))
    yield Question("synergy, 33 lines, drugs with profiles", task, "drug", readers("genes", "readacross"))
    latents = sources.published().reindex(drugs["structure"]).set_axis(drugs.index).dropna()
    some, _ = represented(labels, {"published": latents})
    task = DownstreamTask(some, {"published": latents}, drugs=drugs)
    yield Question("synergy, 33 lines, drugs with A549 latents", task, "drug", readers("published"))


def both_lines(sources: Sources) -> dict[str, Any]:
    """Profiles of A375 and HT29 side by side, of the drugs that have both."""
    found = []
    for line in ("A375", "HT29"):
        file = f"synergy/{line}_profiles.parquet"
        ids = pd.Index(pd.read_parquet(sources.deeppert / file, columns=["drug_name"])["drug_name"].astype(str))
        found.append({name: sources.profiles(file, ids)[name].add_prefix(line) for name in ("genes", "readacross")})
    one, other = found
    return {name: pd.concat([one[name], other[name]], axis=1, join="inner") for name in one}


def answered(question: Question, repeats: int) -> list[pd.DataFrame]:
    """Scores and comparisons of a question, over so many divisions into folds."""
    found = benchmark(question.models, question.task, by=question.by, n_folds=FOLDS, seeds=list(range(repeats)))
    compared = question.task.compare(found.metrics, question.by, FOLDS)
    where = {"question": question.name, "train_share": question.share, "rows": len(question.task.labels)}
    return [found.metrics.assign(**where), compared.assign(**where)]


KEY = ["question", "split", "train_share"]


def repeats_of(metrics: pd.DataFrame) -> dict[tuple[str, str, float], int]:
    """How often each question that is kept was divided into folds."""
    return metrics.groupby(KEY)["seed"].nunique().to_dict() if len(metrics) else {}


def replaced(kept: pd.DataFrame, found: pd.DataFrame, key: tuple[str, str, float]) -> pd.DataFrame:
    """The kept rows with those of one question exchanged."""
    if len(kept):
        kept = kept[~(kept[KEY] == list(key)).all(axis=1)]
    return pd.concat([kept, found], ignore_index=True)


def main_metric(metrics: pd.Series) -> str:
    """What decides: AUROC of classes, Pearson of numbers."""
    return "auroc" if "auroc" in set(metrics) else "pearson"


def markdown(metrics: pd.DataFrame, compared: pd.DataFrame) -> str:
    """Tables: scores by representation, the winner of each question, learning curves."""
    whole, judged = metrics[metrics["train_share"] == 1], compared[compared["train_share"] == 1]
    lines = ["| question | unseen | n | best floor | best other | difference [95 %] | detectable | units needed |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- | --- |")
    keys = ["question", "split"]
    for (name, by), part in whole.groupby(keys, sort=False):
        metric = main_metric(part["metric"])
        means = part[part["metric"] == metric].groupby("model", sort=False)["value"].mean()
        rows = judged[(judged["question"] == name) & (judged["split"] == by) & (judged["metric"] == metric)]
        if not rows["difference"].notna().any():
            continue
        row = rows.loc[rows["difference"].idxmax()]
        needed = "" if row["needed"] != row["needed"] or row["difference"] <= 0 else f"{row['needed']:,.0f}"
        lines.append(
            f"| {name} | {by} | {part['rows'].iloc[0]:,} | {row['floor']} {means[row['floor']]:.3f} | {row['model']} "
            f"{means[row['model']]:.3f} | {row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}] | "
            f"{row['detectable']:.3f} | {needed} |"
        )
    for (name, by), part in whole.groupby(keys, sort=False):
        lines += [
            "",
            f"**{name}, by {by}** ({part['rows'].iloc[0]:,} rows, {len(part.groupby(['fold', 'seed']))} folds)",
        ]
        table = part.pivot_table(index="model", columns="metric", values="value", sort=False)
        lines += ["", "| reads | " + " | ".join(table.columns) + " |", "| --- |" + " --- |" * len(table.columns)]
        for model, row in table.iterrows():
            lines.append(f"| {model} | " + " | ".join("" if v != v else f"{v:.3f}" for v in row) + " |")
    curves = metrics[metrics["question"].isin(metrics.loc[metrics["train_share"] < 1, "question"])]
    for (name, by), part in curves.groupby(keys, sort=False):
        if part["train_share"].nunique() < 2:
            continue
        metric = main_metric(part["metric"])
        part = part[part["metric"] == metric]
        table = part.pivot_table(index="model", columns="train_share", values="value", sort=False)
        lines += ["", f"**Learning curve of {name}, by {by}** ({metric} by share of the training groups)", ""]
        lines += ["| reads | " + " | ".join(f"{c:.0%}" for c in table.columns) + " |"]
        lines += ["| --- |" + " --- |" * len(table.columns)]
        lines += [f"| {model} | " + " | ".join(f"{v:.3f}" for v in row) + " |" for model, row in table.iterrows()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Answer what is not answered yet, and write the tables after each question."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds deeppert/, gdsc/ and l1000/")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--quick", action="store_true", help="one repeat of each question")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    places = [given.out / "metrics.csv", given.out / "comparison.csv"]
    kept = [pd.read_csv(place) if place.is_file() else pd.DataFrame() for place in places]
    repeats = 1 if given.quick else REPEATS
    for question in questions(Sources(given.data, given.out, given.quick)):
        if repeats_of(kept[0]).get(question.key) == repeats:
            continue
        began = pd.Timestamp.now()
        found = answered(question, repeats)
        kept = [replaced(old, new, question.key) for old, new in zip(kept, found, strict=True)]
        for table, place in zip(kept, places, strict=True):
            table.to_csv(place, index=False)
        (given.out / "tables.md").write_text(markdown(*kept), encoding="utf-8")
        share = "" if question.share == 1 else f", {question.share:.0%} of the training groups"
        print(f"{question.name}, by {question.by}{share}: {(pd.Timestamp.now() - began).seconds} s", flush=True)


if __name__ == "__main__":
    main()
