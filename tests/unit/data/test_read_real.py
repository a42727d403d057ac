"""The real GDSC folder: counts that were established independently of this code."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from galenic.data.diagnose import diagnose
from galenic.data.read import gdsc, read_folder, response_data, write

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def gdsc1(shared):
    folder = shared / "gdsc"
    return gdsc(
        folder / "response_gdsc1_v17_lnic50.csv.gz",
        expression=folder / "expression_array_z_656genes.csv.gz",
        mutation=folder / "genomic_features_binary.csv.gz",
        methylation=folder / "methylation_binary_338islands.csv.gz",
        drugs=folder / "drugs.csv.gz",
        cells=folder / "cell_lines.csv.gz",
    )


def test_gdsc1_has_the_published_counts(gdsc1):
    assert (len(gdsc1), gdsc1.cells.n_obs, len(gdsc1.drugs)) == (213_787, 988, 265)
    assert gdsc1.drugs["smiles"].notna().sum() == 253
    assert gdsc1.cells.obs["tissue"].notna().all()
    assert gdsc1.measured("expression").sum() == 797
    complete = gdsc1.complete("expression", "mutation", "methylation")
    assert complete.cells.n_obs == 640
    single = complete.one_screen_per_compound()
    assert (len(single), len(single.drugs), single.cells.n_obs) == (124_686, 237, 640)


def test_gdsc1_values_are_those_of_the_files(gdsc1, shared):
    raw = pd.read_csv(shared / "gdsc" / "response_gdsc1_v17_lnic50.csv.gz").sample(200, random_state=0)
    found = gdsc1.pairs.set_index(["cell", "drug"])["response"]
    for cell, drug, value in raw.itertuples(index=False):
        assert found[str(int(cell)), str(int(drug))] == value
    genes = pd.read_csv(shared / "gdsc" / "expression_array_z_656genes.csv.gz", index_col=0)
    for cell in genes.index[:50]:
        if str(cell) in gdsc1.cells.obs_names:
            assert gdsc1.cells[str(cell)].X[0] == pytest.approx(genes.loc[cell].to_numpy(), abs=1e-6)


def test_gdsc1_survives_the_folder(gdsc1, tmp_path):
    back = read_folder(write(gdsc1, tmp_path / "gdsc1"))
    assert repr(back) == repr(gdsc1)
    pd.testing.assert_frame_equal(back.pairs, gdsc1.pairs)
    pd.testing.assert_frame_equal(back.drugs, gdsc1.drugs.map(lambda value: np.nan if value is None else value))
    pd.testing.assert_frame_equal(back.cells.obs, gdsc1.cells.obs)
    pd.testing.assert_frame_equal(back.cells.obsm["methylation"], gdsc1.cells.obsm["methylation"])


def test_gdsc2_joins_by_drug_name(shared):
    folder = shared / "gdsc"
    data = response_data(
        folder / "response_gdsc2_lnic50.csv.gz", drugs=folder / "drugs_gdsc2.csv.gz", cells=folder / "cell_lines.csv.gz"
    )
    assert (len(data), data.cells.n_obs, len(data.drugs)) == (82_833, 580, 170)
    assert data.drugs.loc["Gemcitabine", "smiles"].startswith("Nc1ccn")


def test_the_real_files_are_recognised(shared):
    kinds = {
        "response_gdsc1_v17_lnic50.csv.gz": "response table",
        "drugs.csv.gz": "drug table",
        "cell_lines.csv.gz": "table of cells",
        "expression_array_z_656genes.csv.gz": "expression",
        "genomic_features_binary.csv.gz": "binary events",
    }
    for name, kind in kinds.items():
        report = diagnose(shared / "gdsc" / name)
        assert report["finding"][0] == kind
        assert "error" not in set(report["severity"])
