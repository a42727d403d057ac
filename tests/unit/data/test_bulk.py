"""Labelled bulk lines: drugs found however they are written, labels from tables, ids joined by rules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from galenic.data.bulk import labelled_bulk, require_agreement
from galenic.data.drug_names import find_drug
from galenic.data.response import ResponseData
from galenic.data.sample_lines import lines_of
from galenic.data.sensitivity_labels import as_labels, cell_labels, labels_of_drug, require_both

N = 24


@pytest.fixture
def data(rng: np.random.Generator) -> ResponseData:
    """24 lines with COSMIC ids; PLX-4720 screened twice, once in half of them, and cisplatin."""
    ids = [str(683660 + number) for number in range(N)]
    obs = pd.DataFrame(
        {"depmap_id": [f"ACH-{number:06d}" for number in range(N)], "name": [f"L-{i}" for i in range(N)]}
    )
    cells = AnnData(rng.normal(size=(N, 5)), obs=obs.set_axis(ids), var=pd.DataFrame(index=list("ABCDE")))
    drugs = pd.DataFrame(
        {
            "smiles": ["CC", "CC", "CO", "CN"],
            "structure": ["ONE", "ONE", "TWO", "THREE"],
            "name": ["PLX-4720", "PLX-4720", "Cisplatin", "5-Fluorouracil"],
            "synonyms": ["PLX4720, RG 7204", None, "CDDP|Platinol", None],
        },
        index=["1036", "1371", "1005", "265"],
    )
    response = np.linspace(-3, 3, N)
    pairs = pd.concat(
        [
            pd.DataFrame({"cell": ids, "drug": "1036", "response": response}),
            pd.DataFrame({"cell": ids[: N // 2], "drug": "1371", "response": response[: N // 2] + 1}),
            pd.DataFrame({"cell": ids, "drug": "1005", "response": -response}),
        ],
        ignore_index=True,
    )
    return ResponseData(pairs, cells, drugs)


@pytest.fixture
def table(data: ResponseData) -> pd.DataFrame:
    """Labels as published: some samples by COSMIC, others by DepMap id; sensitive = the lower half of the response."""
    label = (np.arange(N) < N // 2).astype(int)
    samples = [f"DATA.{name}" for name in data.cells.obs_names] + [f"ACH-{number:06d}" for number in range(4, 20)]
    both = np.concatenate([label, label[4:20]])
    return pd.DataFrame({"sample": samples, "PLX.4720": both, "X5.FLUOROURACIL": 1 - both})


@pytest.mark.parametrize("asked", ["PLX-4720", "plx4720", "PLX 4720", "rg7204", "Plx_4720"])
def test_a_drug_is_found_however_it_is_written(data: ResponseData, asked: str) -> None:
    assert find_drug(data.drugs, asked).tolist() == ["1036", "1371"]


def test_an_id_is_one_screen_and_a_name_every_screen(data: ResponseData) -> None:
    assert find_drug(data.drugs, "1371").tolist() == ["1371"]
    alone = labelled_bulk(data, "1036", cut="median")
    both = labelled_bulk(data, "PLX-4720", cut="median")
    response = alone.obs["response"].to_numpy()
    expected = np.where(np.arange(N) < N // 2, response + 0.5, response)
    assert np.allclose(both.obs["response"], expected)
    assert "averaged" in both.uns["coverage"]["why"].iloc[0]
    assert both.uns["drug"] == "PLX-4720"


def test_an_unknown_drug_is_refused_with_the_nearest(data: ResponseData) -> None:
    with pytest.raises(ValueError, match=r"did you mean 'Cisplatin'\?"):
        labelled_bulk(data, "cisplatine")
    twice = data.drugs.assign(name=["same"] * 4)
    with pytest.raises(ValueError, match="should stand for one compound"):
        find_drug(twice, "SAME")


def test_labels_are_cut_within_each_study(data: ResponseData) -> None:
    """Two studies of which one is shifted: each has half of its lines sensitive."""
    one = data.pairs[data.pairs["drug"] == "1036"]
    pairs = pd.concat([one.assign(study="A"), one.assign(study="B", response=one["response"] + 100)])
    bulk = labelled_bulk(replace(data, pairs=pairs.reset_index(drop=True)), "1036", cut="median")
    assert bulk.n_obs == 2 * N
    assert bulk.obs.groupby("platform")["label"].mean().to_dict() == {"A": 0.5, "B": 0.5}
    assert bulk.obs_names.is_unique


def test_labels_of_a_table_are_joined_by_id_and_column(data: ResponseData, table: pd.DataFrame) -> None:
    shuffled = table.sample(frac=1, random_state=0)
    bulk = labelled_bulk(data, "plx4720", labels=shuffled)
    assert bulk.n_obs == len(table)
    expected = (bulk.obs["line"].astype(int) < 683660 + N // 2).astype(int)
    assert (bulk.obs["label"].to_numpy() == expected.to_numpy()).all()
    where = data.cells.obs_names.get_indexer(bulk.obs["line"])
    assert np.array_equal(bulk.X, data.cells.X[where])
    assert bulk.obs["platform"].value_counts().to_dict() == {"GDSC": N, "CCLE": 16}
    assert labelled_bulk(data, "PLX-4720", labels=table, platform="gdsc").n_obs == N
    # As R writes a name that begins with a digit; without a response there is nothing to contradict.
    assert labelled_bulk(data, "5-fluorouracil", labels=table).obs["label"].sum() == int(table["X5.FLUOROURACIL"].sum())


def test_the_other_convention_is_refused_and_can_be_asked_for(data: ResponseData, table: pd.DataFrame) -> None:
    turned = table.assign(**{"PLX.4720": 1 - table["PLX.4720"]})
    with pytest.raises(ValueError, match="--label-convention sensitive=0"):
        labelled_bulk(data, "PLX-4720", labels=turned)
    words = table.assign(**{"PLX.4720": table["PLX.4720"].map({1: "Sensitive", 0: "R"})})
    asked = labelled_bulk(data, "PLX-4720", labels=turned, convention="sensitive=0")
    for convention in ("sensitive=1", "sensitive=0"):
        said = labelled_bulk(data, "PLX-4720", labels=words, convention=convention)
        assert said.obs["label"].tolist() == asked.obs["label"].tolist()
    unmeasured = replace(data, pairs=data.pairs[data.pairs["drug"] == "1005"].reset_index(drop=True))
    assert labelled_bulk(unmeasured, "PLX-4720", labels=turned).n_obs == len(table)


def test_agreement_is_a_matter_of_evidence(rng: np.random.Generator) -> None:
    """Unrelated labels pass; few lines are not judged."""
    label = rng.integers(2, size=200)
    require_agreement(label, rng.normal(size=200), "x")
    require_agreement(np.array([1, 1, 0, 0]), np.array([9.0, 9.0, 0.0, 0.0]), "x")
    with pytest.raises(ValueError, match="lines labelled 1 should be the sensitive ones"):
        require_agreement(label, label + rng.normal(size=200), "x")


def test_bad_tables_of_labels_are_refused(data: ResponseData, table: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"the table of labels should have the drug 'Cisplatin'"):
        labelled_bulk(data, "cisplatin", labels=table)
    with pytest.raises(ValueError, match="should be of both classes"):
        labelled_bulk(data, "PLX-4720", labels=table.assign(**{"PLX.4720": 1}))
    with pytest.raises(ValueError, match=r"0 of \d+ samples"):
        labelled_bulk(data, "PLX-4720", labels=table.assign(sample=[f"S{row}" for row in range(len(table))]))
    with pytest.raises(ValueError, match="should be 1 and 0, or sensitive and resistant"):
        labelled_bulk(data, "PLX-4720", labels=table.assign(**{"PLX.4720": 0.5}))
    twice = pd.concat([table, table.assign(**{"PLX.4720": 1 - table["PLX.4720"]})])
    with pytest.raises(ValueError, match="should have one label"):
        labelled_bulk(data, "PLX-4720", labels=twice)
    with pytest.raises(ValueError, match="the platform should be one of those"):
        labelled_bulk(data, "PLX-4720", labels=table, platform="PRISM")


def test_samples_by_a_table_of_ids(data: ResponseData) -> None:
    """Names without marks; an id that stands for two lines is used for none."""
    samples = pd.DataFrame({"sample": ["a", "b", "c"], "name": ["L3", "l-5", "nobody"], "source": ["P", "Q", "Q"]})
    found = lines_of(pd.Index(["b", "a", "c"]), data.cells, samples)
    assert found["line"].tolist()[:2] == ["683665", "683663"]
    assert found["line"].isna().tolist() == [False, False, True]
    assert found["platform"].tolist() == ["Q", "P", "Q"]
    two = data.cells.copy()
    two.obs["name"] = ["same", "same", *two.obs["name"].iloc[2:]]
    assert lines_of(pd.Index(["same"]), two)["line"].isna().all()


def test_a_table_of_one_drug_and_a_long_table() -> None:
    short = pd.DataFrame({"cell": ["A", "B"], "label": ["S", "R"]})
    long = pd.DataFrame({"cell": ["A", "B", "A"], "drug": ["plx4720", "PLX-4720", "other"], "label": [1, 0, 0]})
    for table in (short, long):
        assert labels_of_drug(table, ["PLX-4720"]).to_dict() == {"A": 1, "B": 0}


def test_labels_in_every_spelling() -> None:
    said = as_labels([1, "0", True, "False", " Sensitive", "resistant", np.nan, "NA", "non-responder"])
    assert np.array_equal(said, [1, 0, 1, 0, 1, 0, np.nan, np.nan, 0], equal_nan=True)
    assert as_labels([1, 0], convention="sensitive=0").tolist() == [0, 1]
    with pytest.raises(ValueError, match="the convention should be one of"):
        as_labels([1], convention="resistant=1")  # type: ignore[arg-type]


def test_labels_of_cells_and_their_refusals() -> None:
    cells = pd.Index(["A-1", "B-1", "C-1"])
    table = pd.DataFrame({"row": [1, 2, 3], "barcode": ["B-1", "C-1", "Z-9"], "class": [1, 0, 1]})
    few = cell_labels(table, cells)
    assert few.to_dict() == {"B-1": 1, "C-1": 0}
    assert cell_labels(pd.Series([1, 0], index=["A-1", "B-1"]), cells).to_dict() == {"A-1": 1, "B-1": 0}
    with pytest.raises(ValueError, match="same barcodes in both"):
        cell_labels(table.assign(barcode="x"), cells)
    with pytest.raises(ValueError, match="should stand in a column"):
        cell_labels(table, cells, column="nothing")
    require_both(few, "labels", "Add one.")
    with pytest.raises(ValueError, match=r"received 1 sensitive and 0 resistant\. Add one\."):
        require_both(few.iloc[:1], "labels", "Add one.")


def test_inputs_are_not_changed(data: ResponseData, table: pd.DataFrame) -> None:
    before = (data.pairs.copy(), data.cells.obs.copy(), np.array(data.cells.X), table.copy())
    bulk = labelled_bulk(data, "PLX-4720", labels=table)
    bulk.X[:] = 0
    pd.testing.assert_frame_equal(data.pairs, before[0])
    pd.testing.assert_frame_equal(data.cells.obs, before[1])
    assert np.array_equal(data.cells.X, before[2])
    pd.testing.assert_frame_equal(table, before[3])


@pytest.mark.real
def test_published_labels_find_their_lines(shared: Path) -> None:
    """1,098 of the 1,280 published samples are lines of the array expression; PLX-4720's two screens are one."""
    from galenic.data import read

    folder = shared / "gdsc"
    data = read.response_data(
        folder / "response_gdsc1_v17_lnic50.csv.gz", expression=folder / "expression_array_z_656genes.csv.gz",
        drugs=folder / "drugs.csv.gz", cells=folder / "cell_lines.csv.gz",
    )  # fmt: skip
    labels = shared / "singlecell" / "bulk_binary_labels_1280x83.csv.gz"
    cut = labelled_bulk(data, "plx4720")
    assert (cut.n_obs, cut.n_vars) == (781, 656)
    bulk = labelled_bulk(data, "plx4720", labels=labels)
    named = labelled_bulk(data, "plx4720", labels=labels, samples=shared / "singlecell" / "bulk_sample_names.csv.gz")
    assert bulk.n_obs == named.n_obs == 1098
    assert bulk.obs["platform"].value_counts().to_dict() == {"GDSC": 796, "CCLE": 302}
    assert (bulk.obs["line"].to_numpy() == named.obs["line"].to_numpy()).all()
    gdsc = bulk[bulk.obs["platform"] == "GDSC"].obs
    means = gdsc.groupby("label")["response"].mean()
    assert means[1] < means[0] - 1
    with pytest.raises(ValueError, match="sensitive=0"):
        labelled_bulk(data, "plx4720", labels=labels, convention="sensitive=0")
