"""Floors of synergy and toxicity on the published tables, against values that other code measured."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import galenic
from galenic.data.drugs import standardise
from galenic.tasks import DownstreamTask, Predictor, represented

pytestmark = pytest.mark.real
READ = {"genes": Predictor(features=("genes",))}
# AUROC of random forests, 5 folds of pairs, repeated: of which drugs, and of 978 genes.
PAIRS = {"A375": (0.786, 0.784), "HT29": (0.848, 0.767)}


def synergy(folder: Path, line: str) -> DownstreamTask:
    table = pd.read_parquet(folder / "synergy" / f"{line}_profiles.parquet").set_index("drug_name")
    genes = table.drop(columns="dose_um").select_dtypes("float")
    labels = pd.read_csv(folder / "synergy" / "oneil_loewe_labels.csv.gz").query("cell_line == @line")
    labels = labels.rename(columns={"drug_a_name": "drug_a", "drug_b_name": "drug_b"})
    return DownstreamTask(represented(labels, {"genes": genes})[0], {"genes": genes})


@pytest.mark.parametrize("line", PAIRS)
def test_synergy_of_known_drugs_is_told_as_well_without_genes(deeppert_folder: Path, line: str) -> None:
    task = synergy(deeppert_folder, line)
    assert len(task.labels) == {"A375": 153, "HT29": 134}[line]
    found = galenic.benchmark(READ, task, by="pair", seeds=(0, 1))
    scores = found.metrics.query("metric == 'auroc'").groupby("model")["value"].mean()
    onehot, genes = PAIRS[line]
    assert scores["onehot, forest"] == pytest.approx(onehot, abs=0.06)
    assert scores["genes"] == pytest.approx(genes, abs=0.06)
    assert not task.compare(found.metrics, "pair", 5).query("metric == 'auroc'")["better"].any()


def test_the_published_split_of_toxicity_by_rows_leaks(deeppert_folder: Path) -> None:
    """Rows are repeats of a compound: nearly every test row has its compound in train."""
    for name, shared, n_test in (("renal_HA1E", 151, 165), ("neuro_NPC", 5, 30)):
        table = pd.read_csv(deeppert_folder / "toxicity" / f"{name}_published_row_split.csv.gz")
        fold = table["split"].map({"Train": "train", "Test": "1"})
        labels = pd.DataFrame({"drug": table["smiles"], "label": table["label"], "fold": fold})
        task = DownstreamTask(labels, {})
        part = task.folds("file", 5, 0)[0]
        assert len(part.test) == n_test
        assert f"{shared} of {n_test} test rows have all their drugs in train" in task.leaking(part.train, part.test)[0]
        for grouped in task.folds("drug", 5, 0):
            assert task.leaking(grouped.train, grouped.test) == []


def test_structure_alone_tells_the_lethal_dose(deeppert_folder: Path) -> None:
    table = pd.read_csv(deeppert_folder / "toxicity" / "neuro_pld50.csv.gz")
    drugs = standardise(table[["smiles"]].set_axis(table.index.astype(str)))[0].dropna(subset=["structure"])
    labels = pd.DataFrame({"drug": drugs.index, "pld50": table.loc[drugs.index.astype(int), "pld50"].to_numpy()})
    task = DownstreamTask(labels, {}, drugs=drugs, target="pld50")
    found = galenic.benchmark({"both": Predictor(features=("fingerprint", "properties"))}, task, by="drug")
    scores = found.metrics.groupby(["model", "metric"])["value"].mean()
    assert scores["fingerprint, forest", "pearson"] == pytest.approx(0.847, abs=0.04)
    assert scores["fingerprint, forest", "rmse"] == pytest.approx(0.268, abs=0.04)
