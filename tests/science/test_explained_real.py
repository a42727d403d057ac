"""Why A375 cells are called sensitive to PLX-4720, a BRAF inhibitor, by what cell lines taught."""

from __future__ import annotations

import warnings
from pathlib import Path

import anndata
import pytest

import galenic
from galenic.data.bulk import labelled_bulk
from galenic.models.scatd.explanation import explain
from galenic.models.scatd.model import ScATD
from galenic.train import Training


@pytest.mark.real
def test_genes_of_melanoma_state_stand_out(shared: Path) -> None:
    data = galenic.read.response_data(
        shared / "gdsc" / "response_gdsc1_v17_lnic50.csv.gz",
        expression=shared / "gdsc" / "expression_rnaseq_log2tpm_697genes.csv.gz",
        drugs=shared / "gdsc" / "drugs.csv.gz",
        cells=shared / "gdsc" / "cell_lines.csv.gz",
    )
    bulk = labelled_bulk(data, "PLX-4720")
    cells = anndata.read_h5ad(shared / "singlecell" / "a375_plx4720_scad.h5ad")
    fast = {"training": Training(max_epochs=2, monitor="none"), "pretraining": Training(max_epochs=2)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the cells of the file are already scaled
        model = ScATD(**fast).fit(bulk, response="response", line="line", target=cells)
        found = explain(model, cells, bulk=bulk, response="response", line="line", top=20)
    table = found.genes.set_index("gene")
    # The lineage factor of melanoma is high in lines that a BRAF inhibitor kills; it is one of 127 shared genes.
    assert table.loc["MITF", "q_value"] < 0.01
    assert table.loc["MITF", "toward"] == "sensitive"
    assert table.loc["MITF", "rank"] <= 25
    told = found.agreement.set_index("among")
    assert told.loc["members", "overlap"] > 3 * told.loc["members", "chance"]
    assert told.loc["backgrounds", "spearman"] > 0.9
    kept = found.areas.set_index(["kind", "score"]).loc[("deletion", "kept")]
    assert kept["area"] < 0.5 * kept["random"]
