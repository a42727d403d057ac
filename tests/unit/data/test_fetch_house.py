"""Every public set becomes what the commands take, with the values that stood in its files."""

from __future__ import annotations

import gzip
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import published
import pytest

from galenic.data import read
from galenic.data.fetch.catalogue import SHIPPED, read_catalogue
from galenic.data.fetch.house import to_house
from galenic.data.fetch.unpack import unpack
from galenic.data.store import open_store

SETS = read_catalogue(SHIPPED)
FAMILIES = sorted({data.family or name for name, data in SETS.items()})
ONE_EACH = [next(name for name, data in SETS.items() if name == one or data.family == one) for one in FAMILIES]
LAYOUTS = {
    "gdsc responses": {"response": "response"},
    "prism responses": {"response": "response"},
    "expression": {"expression": "expression"},
    "depmap expression": {"expression": "expression", "cells": "cells"},
    "cells": {"cells": "cells"},
    "patients": {"expression": "expression"},
    "cells as they are": {"h5ad": "expression"},
}
"""What a reader should take a file for, by how it is converted and its role."""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files by set and role."""
    folder = tmp_path_factory.mktemp("published")
    for name in ONE_EACH:
        published.write_files(SETS[name], folder / name)
    return {name: {file.role: folder / name / file.name for file in SETS[name].files} for name in ONE_EACH}


@pytest.fixture(scope="module")
def house(files, tmp_path_factory):
    """What each set was converted to, converted once."""
    made = {}

    def house(name: str) -> Path:
        if name not in made:
            made[name] = to_house(SETS[name], files, tmp_path_factory.mktemp("house") / name)
        return made[name]

    return house


@pytest.mark.parametrize("name", ONE_EACH)
def test_every_set_is_converted_and_never_over_what_is_there(files, house, name):
    made = house(name)
    assert made.exists()
    out = made if made.is_dir() else made.parent
    with pytest.raises(FileExistsError, match="converted into a new folder"):
        to_house(SETS[name], files, out)
    assert not [path for path in out.parent.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("name", ONE_EACH)
def test_readers_know_the_files(files, name):
    for role, layout in LAYOUTS.get(SETS[name].house, {}).items():
        if role in files[name]:
            assert read.layout(files[name][role]) == layout, role


def test_responses_of_gdsc_come_with_expression(house):
    data = read.read_folder(house("gdsc2-response"))
    assert data.unit == "ln_ic50"
    assert len(data) == 24
    table = data.pairs.assign(drug=data.pairs["drug"].astype(str)).pivot_table("response", "cell", "drug")
    np.testing.assert_allclose(table.loc[published.COSMIC, ["1003", "1004"]], published.LN_IC50)
    np.testing.assert_allclose(
        data.cells[published.COSMIC, published.SYMBOLS].X, published.EXPRESSION.astype(np.float32)
    )


def test_curves_of_prism_come_with_expression_tissue_and_structures(house):
    data = read.read_folder(house("prism-secondary"))
    assert data.unit == "auc"
    assert len(data) == 22  # one line did not pass profiling
    assert set(data.drugs["smiles"]) == {"CCO", "CCN"}
    assert set(data.cells.obs["tissue"]) == {"Lung", "Skin"}
    assert data.cells.shape == (11, 10)


def test_one_dose_of_prism_is_viability(house):
    data = read.read_folder(house("prism-primary"))
    assert data.unit == "viability"
    table = data.pairs.pivot_table("response", "cell", "drug").loc[published.MODELS[:-1], ["BRD-K1", "BRD-K2"]]
    np.testing.assert_allclose(table, 2.0 ** published.CHANGES[:-1], rtol=1e-5)
    assert published.MODELS[-1] not in set(data.pairs["cell"])


@pytest.mark.parametrize(
    ("name", "cells", "values"),
    [
        ("gdsc-expression", published.COSMIC, published.EXPRESSION),
        ("depmap-expression", published.MODELS, published.EXPRESSION),
        ("ccle-expression", published.MODELS, published.EXPRESSION),
        ("tcga-pancan", [code[:15] for code in published.BARCODES[:3]], published.TUMOURS[:3]),
        ("tcga-acc", published.BARCODES[:3], published.TUMOURS[:3]),
    ],
)
def test_expression_is_cells_by_symbols(house, name, cells, values):
    made = house(name)
    found = anndata.read_h5ad(made / "expression.h5ad")
    assert sorted(found.obs_names) == sorted(cells)
    np.testing.assert_allclose(found[cells, published.SYMBOLS].X, values.astype(np.float32))
    assert read.matrix(made / "expression.h5ad").shape == (len(cells), 10)


@pytest.mark.parametrize("name", ["tcga-pancan", "tcga-acc"])
def test_outcomes_lie_beside_the_expression_of_patients(house, name):
    files = {path.name for path in house(name).iterdir()}
    assert files == {
        "expression.h5ad",
        *(file.name for file in SETS[name].files if file.role in ("survival", "phenotype")),
    }


def test_events_are_matrices_that_the_reader_takes(house):
    made = house("gdsc-binary")
    mutation, methylation = read.events(made / "mutation.csv"), read.events(made / "methylation.csv")
    np.testing.assert_array_equal(mutation.loc[published.COSMIC].to_numpy(), published.EVENTS)
    assert mutation.shape == (12, 4)  # neither tissue nor instability is an event
    assert methylation.shape == (3, 2)
    assert methylation.to_numpy().sum() == 4
    assert methylation.columns.str.startswith("chr").all()


@pytest.mark.parametrize("name", [name for name in SETS if SETS[name].house == "profiles"])
def test_profiles_become_a_store_of_landmarks(house, files, name):
    store = open_store(house(name), mmap=False)
    assert store.var["symbol"].tolist() == published.SYMBOLS[::2]
    np.testing.assert_array_equal(store.X, published.SCORES[:, ::2])
    assert store.obs["cell"].tolist() == ["A375"] * 6
    assert store.obs["pert_id"].tolist() == [f"BRD-K{i}" for i in range(6)]
    assert not files[name]["matrix"].with_suffix("").exists()  # the unpacked matrix left


def test_drugs_of_the_hub_are_one_row_a_compound(house):
    table = pd.read_csv(house("repurposing-hub") / "drugs.csv")
    assert table["pert_id"].tolist() == ["BRD-K70401845", "BRD-A00000001"]
    assert table["pert_name"].tolist() == ["erlotinib", "β-thing"]
    assert table["smiles"].tolist() == ["CCO", "CCN"]
    assert table["moa"].tolist()[0] == "EGFR inhibitor"
    assert read.layout(house("repurposing-hub") / "drugs.csv") == "drugs"


def test_a_hub_in_latin_letters_is_read_too(files, tmp_path):
    changed = dict(files["repurposing-hub"])
    for role, path in changed.items():
        text = path.read_text(encoding="utf-8").replace("β", "é")
        changed[role] = tmp_path / path.name
        changed[role].write_bytes(text.encode("latin-1"))
    made = to_house(SETS["repurposing-hub"], {"repurposing-hub": changed}, tmp_path / "hub")
    assert "é-thing" in set(pd.read_csv(made / "drugs.csv")["pert_name"])


@pytest.mark.parametrize("name", ["kang", "sci-plex"])
def test_cells_stay_as_they_are(house, files, name):
    assert house(name).read_bytes() == files[name]["h5ad"].read_bytes()


@pytest.mark.parametrize(
    ("name", "role", "message"),
    [
        ("gdsc-binary", "mutation", "should have a column COSMIC_ID"),
        ("gdsc-binary", "alterations", "should have columns for"),
        ("tcga-acc", "symbols", "should have ids and a column of symbols"),
        ("repurposing-hub", "samples", "the table of samples needs the column"),
        ("prism-primary", "drugs", "the table of treatments needs the column"),
    ],
)
def test_a_file_of_another_layout_is_told(files, tmp_path, name, role, message):
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("one\ttwo\n1\t2\n" if name == "repurposing-hub" else "one,two\n1,2\n")
    changed = {**files, name: {**files[name], role: wrong}}
    with pytest.raises(ValueError, match=message):
        to_house(SETS[name], changed, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["wrong.csv"]


def test_what_cannot_be_unpacked_leaves_nothing(tmp_path):
    packed = tmp_path / "x.gctx.gz"
    packed.write_bytes(gzip.compress(np.random.default_rng(0).bytes(100_000))[:-50])
    (tmp_path / ".x-killed.part.gctx").write_bytes(b"what a killed process left")
    with pytest.raises(ValueError, match=r"x\.gctx\.gz should be a whole compressed file"):
        unpack(packed)
    assert [path.name for path in tmp_path.iterdir()] == ["x.gctx.gz"]


def test_what_unpacks_to_fill_the_disk_is_refused(tmp_path, monkeypatch):
    packed = tmp_path / "x.gctx.gz"
    packed.write_bytes(gzip.compress(bytes(50_000_000)))
    monkeypatch.setattr("galenic.data.limits.memory_left", lambda: 10_000_000)
    with pytest.raises(ValueError, match=r"x\.gctx\.gz should unpack to a table"):
        unpack(packed)
    assert [path.name for path in tmp_path.iterdir()] == ["x.gctx.gz"]
