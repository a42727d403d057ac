"""Why cells are called sensitive, as a user asks for it; and what is said of what cannot be explained."""

from __future__ import annotations

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from commands import galenic

from galenic.data.simulate.single_cell import bulk_and_cells
from galenic.evaluate import auroc
from galenic.models.scatd.model import ScATD
from galenic.train import Training

FAST = {
    "training": Training(max_epochs=2, monitor="none"),
    "pretraining": Training(max_epochs=2),
    "n_latent": 6,
    "widths": (16,),
    "n_folds": 3,
}
TABLES = {"biomarkers.csv", "contributions.parquet", "curves.csv", "curve_areas.csv", "explained.csv", "forces.csv",
          "gene_sets.csv", "importance_agreement.csv", "attributions.h5ad"}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lines, cells, a model of them and gene sets, of which one is the planted drivers."""
    folder = tmp_path_factory.mktemp("why")
    bulk, cells = bulk_and_cells(n_genes=80, n_lines=120, n_cells=150, n_drivers=10, shift=0.3, seed=3)
    drivers = [str(gene) for gene in cells.uns["truth"]["drivers"]]
    model = ScATD(**FAST).fit(bulk, response="ln_ic50", line="line", platform="platform", target=cells)
    model.save(folder / "run" / "model")
    few = cells.obs.groupby("label").head(2)["label"]
    model.with_few(cells, few).save(folder / "few" / "model")
    others = [f"GENE{number:03d}" for number in range(80) if f"GENE{number:03d}" not in drivers]
    lines = ["\t".join(["planted", "", *drivers]), "\t".join(["others", "", *others[:15]])]
    (folder / "sets.gmt").write_text("\n".join(lines) + "\n")
    for adata, name in ((bulk, "bulk"), (cells, "cells")):
        adata.uns.clear()
        adata.write_h5ad(folder / f"{name}.h5ad")
    pd.Series(drivers).to_csv(folder / "drivers.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def explained(files: Path) -> Path:
    shown = galenic(
        "explain", "run", "cells.h5ad", "--out", "why", "--bulk", "bulk.h5ad", "--gene-sets", "sets.gmt",
        "--top", 20, "--truth", "label", cwd=files,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert "deletion: area" in shown.stdout
    return files / "why"


def test_every_table_is_there_and_on_the_page(explained: Path) -> None:
    record = json.loads((explained / "run.json").read_text())
    assert record["state"] == "done"
    assert set(record["outputs"]) == TABLES
    page = (explained / "report.html").read_text()
    for name in ("cell-genes", "curves", "forces", "by-value", "gene-sets"):
        assert f'<section id="{name}" ' in page


def test_planted_drivers_come_first(explained: Path) -> None:
    table = pd.read_csv(explained / "biomarkers.csv")
    drivers = pd.read_csv(explained.parent / "drivers.csv")["0"]
    planted = table["gene"].isin(drivers)
    assert auroc(planted.astype(int).to_numpy(), table["importance"].to_numpy()) > 0.9
    assert (table.loc[planted, "q_value"] < 0.05).mean() > 0.3
    assert (table.loc[~planted, "q_value"] < 0.05).mean() < 0.1
    found = pd.read_csv(explained / "gene_sets.csv").set_index("gene_set")
    assert found.loc["planted", "q_value"] < 0.01
    assert found.loc["others", "q_value"] > 0.05


def test_contributions_add_up_in_every_file(explained: Path) -> None:
    whole = anndata.read_h5ad(explained / "attributions.h5ad")
    way = whole.obs["prediction"] - whole.obs["baseline"]
    np.testing.assert_allclose(np.asarray(whole.X).sum(axis=1), way, atol=1e-4)
    forces = pd.read_csv(explained / "forces.csv")
    for _, rows in forces.groupby(["cell", "why"]):
        first = rows.iloc[0]
        total = rows["contribution"].sum() + first["rest"]
        assert total == pytest.approx(first["prediction"] - first["baseline"], abs=1e-4)
    long = pd.read_parquet(explained / "contributions.parquet")
    row = long.iloc[7]
    assert row["contribution"] == pytest.approx(whole[row["cell"], row["gene"]].X.item(), abs=1e-6)


def test_curves_fall_sooner_than_by_chance(explained: Path) -> None:
    areas = pd.read_csv(explained / "curve_areas.csv").set_index(["kind", "score"])
    assert (areas["gain"] > 0).all()
    assert set(areas.index.get_level_values("score")) == {"kept", "auroc"}


def test_without_lines_there_is_stability_and_no_q_value(files: Path) -> None:
    shown = galenic("explain", "run", "cells.h5ad", "--out", "plain", "--method", "eg", "--background", "random",
                    "--draws", 20, cwd=files)  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert "genes have no q-value" in shown.stderr
    table = pd.read_csv(files / "plain" / "biomarkers.csv")
    assert "q_value" not in table
    assert table["stability"].between(0, 1).all()
    assert "seeds" in pd.read_csv(files / "plain" / "importance_agreement.csv")["among"].tolist()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run"], "cells to explain and a folder to write are expected"),
        (["run", "cells.h5ad"], "received no --out"),
        (["run", "cells.h5ad", "--out", "x", "--truth", "lable"], "--truth should name columns of the cells"),
        (["run", "cells.h5ad", "--out", "x", "--noise", "0.1"], "noise is for method 'eg'"),
        (["run", "cells.h5ad", "--out", "x", "--refits", "5"], "--refits is for other models"),
        (["run", "cells.h5ad", "--out", "x", "--bulk", "absent.h5ad"], "absent.h5ad"),
        (["few", "cells.h5ad", "--out", "x"], "answers from 4 labelled cells"),
    ],
)
def test_what_cannot_be_explained_is_said(files: Path, arguments: list[str], said: str) -> None:
    shown = galenic("explain", *arguments, cwd=files)
    assert shown.returncode == 2, shown.stdout
    assert said in " ".join(shown.stderr.split())
    assert not (files / "x").exists()
