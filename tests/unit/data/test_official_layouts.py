"""Laws of the official layouts that hold whatever the values are."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from galenic.data.diagnose import diagnose
from galenic.data.read import depmap_expression, events, gdsc, prism, xena

CELLS = [str(683660 + i) for i in range(12)]
GENES = [f"GENE{i}" for i in range(20)]
FEATURES = ["TP53_mut", "KRAS_mut", "gain_1", "loss_2"]


@pytest.fixture
def arrays(rng):
    """Genes in rows as GDSC publishes them, with the values cells x genes."""
    values = rng.normal(7, 2, size=(12, 20)).round(3).astype(np.float32)
    frame = pd.DataFrame(values.T, columns=[f"DATA.{cell}" for cell in CELLS])
    frame.insert(0, "GENE_SYMBOLS", GENES)
    frame.insert(1, "GENE_title", "title")
    return frame, values


@pytest.fixture
def binary(rng):
    return pd.DataFrame(rng.integers(0, 2, size=(12, 4)), index=CELLS, columns=FEATURES)


def responses():
    return pd.DataFrame(
        {
            "COSMIC_ID": [int(cell) for cell in CELLS],
            "DRUG_ID": 1003,
            "DRUG_NAME": "x",
            "LN_IC50": np.linspace(-4, 6, 12),
        }
    )


def curves(passed, screens=("HTS002", "MTS010")):
    """Each cell in each screen, the second 0.2 above the first."""
    cell, screen = np.divmod(np.arange(2 * len(passed)), 2)
    return pd.DataFrame(
        {
            "broad_id": "BRD-K1",
            "depmap_id": [f"ACH-{i:06d}" for i in cell],
            "screen_id": np.array(screens)[screen],
            "auc": 0.5 + 0.01 * cell + 0.2 * screen,
            "smiles": "CCO, CCN",
            "passed_str_profiling": np.array(passed)[cell],
        }
    )


def test_order_of_genes_cells_and_rows_does_not_matter(arrays, binary, rng):
    frame, values = arrays
    table = responses()
    data = gdsc(table, expression=frame, mutation=binary)
    samples = ["GENE_SYMBOLS", "GENE_title", *rng.permutation(frame.columns[2:])]
    mixed = gdsc(
        table.sample(frac=1, random_state=1),
        expression=frame.sample(frac=1, random_state=2, ignore_index=True)[samples],
        mutation=binary.sample(frac=1, random_state=3),
    )
    assert mixed.cells.obs_names.equals(data.cells.obs_names)
    np.testing.assert_array_equal(mixed.cells[:, GENES].X, data.cells[:, GENES].X)
    np.testing.assert_array_equal(data.cells[CELLS, GENES].X, values)
    pd.testing.assert_frame_equal(mixed.cells.obsm["mutation"], data.cells.obsm["mutation"])
    responded = [found.pairs.set_index("cell")["response"].sort_index() for found in (data, mixed)]
    pd.testing.assert_series_equal(*responded)


def test_both_orientations_of_a_matrix_give_the_same_data(arrays, binary, tmp_path):
    frame, values = arrays
    upright = pd.DataFrame(values, index=pd.Index(CELLS, name="COSMIC_ID"), columns=GENES)
    frame.to_csv(tmp_path / "rma.txt", sep="\t", index=False)
    upright.to_csv(tmp_path / "upright.csv")
    binary.T.to_csv(tmp_path / "mobem.tsv", sep="\t")
    binary.rename_axis("COSMIC_ID").to_csv(tmp_path / "bem.csv")
    a = gdsc(responses(), expression=tmp_path / "rma.txt", mutation=tmp_path / "mobem.tsv")
    b = gdsc(responses(), expression=tmp_path / "upright.csv", mutation=tmp_path / "bem.csv")
    np.testing.assert_array_equal(a.cells[CELLS, GENES].X, values)
    np.testing.assert_array_equal(b.cells[CELLS, GENES].X, values)
    for data in (a, b):
        np.testing.assert_array_equal(data.cells.obsm["mutation"].loc[CELLS, FEATURES], binary)


def test_inputs_are_untouched(arrays, binary):
    given = [responses(), arrays[0], binary, curves([True, False])]
    before = [frame.copy(deep=True) for frame in given]
    gdsc(given[0], expression=given[1], mutation=given[2])
    prism(given[3])
    for now, then in zip(given, before, strict=True):
        pd.testing.assert_frame_equal(now, then)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"V1": [1, 2], "V2": ["a", "a"], "V3": ["yes", 1]}, r"'V3'.*1 rows hold text \(first: 'yes'\)"),
        ({"V1": [1, 2], "V2": ["a", "a"], "V3": [2, 1]}, r"1 values are neither \(first: '2.0'\)"),
        ({"genetic_feature": ["a"], "is_mutated": [1]}, "needs a column with the id of the cell"),
    ],
)
def test_a_long_table_of_events_is_refused_and_diagnosed_alike(tmp_path, rows, message):
    frame = pd.DataFrame(rows)
    with pytest.raises(ValueError, match=message):
        events(frame)
    frame.to_csv(tmp_path / "events.csv", index=False)
    report = diagnose(tmp_path / "events.csv")
    assert report.loc[report["severity"] == "error", "finding"].tolist() == ["events"]
    assert (report.loc[report["severity"] == "error", "remedy"] != "").all()


def test_a_sound_long_table_of_events_is_sized(tmp_path, binary):
    long = binary.melt(ignore_index=False, var_name="V2", value_name="V3").reset_index(names="V1")
    long.to_csv(tmp_path / "events.csv", index=False)
    report = diagnose(tmp_path / "events.csv")
    assert report["finding"].tolist() == ["table of events", "size"]
    assert report["detail"][1].startswith("12 cells x 4 features")


def test_curves_that_failed_profiling_leave_and_are_counted():
    data = prism(curves([True, True, False]))
    dropped = data.coverage.set_index("step").loc["STR profiling"]
    assert (dropped["kept"], dropped["dropped"], dropped["examples"]) == (4, 2, "'ACH-000002'")
    assert sorted(data.pairs["cell"]) == ["ACH-000000", "ACH-000001"]
    np.testing.assert_allclose(data.pairs.sort_values("cell")["response"], [0.6, 0.61])
    everything = prism(curves([True, True, False]), passed_only=False)
    assert len(everything) == 3
    assert "STR profiling" not in set(everything.coverage["step"])
    with pytest.raises(
        ValueError, match=r"none of 4 did \(first cells: 'ACH-000000', 'ACH-000001'\).*passed_only=False"
    ):
        prism(curves([False, False]))


@pytest.mark.parametrize("spelling", [(True, False), ("True", "FALSE"), (1, 0), (1.0, 0.0)])
def test_profiling_is_read_however_it_is_spelt(spelling):
    assert len(prism(curves([spelling[0], spelling[1]]))) == 1


def test_expression_of_models_ignores_the_order_of_genes(rng):
    frame = pd.DataFrame(rng.normal(size=(5, 4)), columns=[f"G{i} ({i + 10})" for i in range(4)])
    frame.insert(0, "", [f"ACH-{i:06d}" for i in range(5)])
    other = depmap_expression(frame[["", *frame.columns[:0:-1]]])
    found = depmap_expression(frame)
    np.testing.assert_array_equal(found.X, other[:, found.var_names].X)


def test_samples_of_patients_do_not_depend_on_the_order_of_columns(rng):
    names = ["TCGA-02-0001-01B", "TCGA-02-0001-01A", "TCGA-02-0002-01A", "TCGA-AB-0003-03A", "TCGA-02-0002-11A"]
    frame = pd.DataFrame(rng.uniform(0, 10, size=(3, 5)), columns=names)
    frame.insert(0, "gene", ["TP53", "EGFR", "KRAS"])
    found, mixed = xena(frame, patients=True), xena(frame[["gene", *names[::-1]]], patients=True)
    assert found.obs["barcode"].tolist() == ["TCGA-02-0001-01A", "TCGA-02-0002-01A", "TCGA-AB-0003-03A"]
    np.testing.assert_array_equal(found.X, mixed.X)
    np.testing.assert_allclose(found.X[0], frame["TCGA-02-0001-01A"], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "severity", "detail"),
    [
        (lambda x: (x - x.mean()) / x.std(), "note", "z-scores of each gene"),
        # Published scores were scaled over other cells than those in the file.
        (lambda x: 1.7 * ((x - x.mean()) / x.std()).head(40), "note", "z-scores of each gene"),
        (lambda x: x - x.mean(), "note", "centred on each gene"),
        (lambda x: x, "ok", "log scale"),
        (lambda x: x - 5, "ok", "log scale"),
    ],
)
def test_scaled_expression_is_told_from_log_expression(tmp_path, rng, change, severity, detail):
    spreads, levels = rng.uniform(0.4, 2.5, 30), rng.uniform(5.5, 12, 30)
    log = pd.DataFrame(
        rng.normal(levels, spreads, size=(60, 30)),
        index=[f"ACH-{i:06d}" for i in range(60)],
        columns=[f"GENE{i}" for i in range(30)],
    )
    change(log).to_csv(tmp_path / "x.csv")
    scale = diagnose(tmp_path / "x.csv").set_index("finding").loc["scale"]
    assert scale["severity"] == severity
    assert scale["detail"].startswith(detail)


@pytest.mark.parametrize(("n_cells", "is_few"), [(4, True), (5, False)])
def test_too_few_cells_for_folds_are_noted(tmp_path, n_cells, is_few):
    cells = [f"C{i}" for i in range(n_cells)]
    pd.DataFrame({"cell": cells, "drug": "a", "ln_ic50": 1.0}).to_csv(tmp_path / "x.csv", index=False)
    assert ("few cells" in set(diagnose(tmp_path / "x.csv")["finding"])) == is_few


@pytest.mark.parametrize(
    ("file", "name", "record", "detail"),
    [
        (
            "run.json",
            "run folder",
            {"verb": "benchmark", "galenic": "0.1.0"},
            "verb: benchmark; written by galenic 0.1.0",
        ),
        (
            "model.json",
            "model folder",
            {"class": "KDRUG", "galenic": "0.1.0"},
            "class: KDRUG; written by galenic 0.1.0",
        ),
    ],
)
def test_folders_that_galenic_wrote_are_named(tmp_path, file, name, record, detail):
    (tmp_path / file).write_text(json.dumps(record))
    report = diagnose(tmp_path)
    assert report[["finding", "severity", "detail"]].to_numpy().tolist() == [[name, "ok", detail]]
    for damage in ("{", "[]", "{}", "\udcff"):
        (tmp_path / file).write_text(damage, errors="surrogateescape")
        report = diagnose(tmp_path)
        assert report[["finding", "severity"]].to_numpy().tolist() == [[name, "error"]]
        assert report["remedy"][0]


def test_no_bytes_make_it_raise(tmp_path, rng):
    starts = [b"", b"\x1f\x8b", b"PK\x03\x04", b"PAR1", b"\x89HDF\r\n\x1a\n", b"cell,drug,ln_ic50\n", b"\xff\xfe", b'"']
    for start in starts:
        for size in (0, 1, 200):
            (tmp_path / "x.csv").write_bytes(start + rng.integers(0, 256, size, dtype=np.uint8).tobytes())
            assert "error" in set(diagnose(tmp_path / "x.csv")["severity"]), (start, size)


@pytest.mark.real
def test_real_scales_are_told(shared):
    for name, detail in (("array_z_656genes", "z-scores of each gene"), ("rnaseq_log2tpm_697genes", "log scale")):
        report = diagnose(shared / "gdsc" / f"expression_{name}.csv.gz").set_index("finding")
        assert report.loc["scale", "detail"].startswith(detail)
