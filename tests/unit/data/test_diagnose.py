"""Each planted fault is found and nothing else; sound files are said to be sound."""

from __future__ import annotations

import gzip
import warnings

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from galenic.data.convert import convert
from galenic.data.diagnose import diagnose
from galenic.data.gctx.gct import write_gct
from galenic.data.gctx.gctx import write_gctx
from galenic.data.read import profiles as read_profiles
from galenic.data.read import write
from galenic.data.simulate import profiles, screen

OTHER_NAMES = "looks like a response table whose columns have other names"


def response():
    cell, drug = np.divmod(np.arange(30), 3)
    return pd.DataFrame(
        {"cell": [f"C{i}" for i in cell], "drug": [f"D{i}" for i in drug], "ln_ic50": np.linspace(-3, 5, 30)}
    )


def expression():
    values = np.random.default_rng(0).uniform(0, 12, size=(6, 9)).round(3)
    names = ["TP53", "EGFR", "KRAS", "BRAF", "MYC", "PTEN", "RB1", "ATM", "ALK"]
    return pd.DataFrame(values, index=[f"ACH-{i:06d}" for i in range(6)], columns=names)


def found(path, severity=None):
    report = diagnose(path)
    assert list(report.columns) == ["finding", "severity", "detail", "remedy"]
    assert set(report["severity"]) <= {"ok", "note", "warning", "error"}
    bad = (
        report[report["severity"].isin(["warning", "error"])]
        if severity is None
        else report[report["severity"] == severity]
    )
    assert (bad["remedy"] != "").all() or severity == "note"
    return dict(zip(bad["finding"], bad["detail"], strict=True))


def save(frame, tmp_path, **options):
    path = tmp_path / "file.csv"
    frame.to_csv(path, **options)
    return path


def test_a_sound_response_table(tmp_path):
    report = diagnose(save(response(), tmp_path, index=False))
    assert report["finding"].tolist() == ["response table", "unit", "size"]
    assert report["severity"].tolist() == ["ok", "ok", "note"]
    assert report["detail"][2] == "30 rows: 10 cells x 3 drugs, 100% filled"


@pytest.mark.parametrize(
    ("fault", "finding", "detail"),
    [
        (lambda t: t.assign(ln_ic50=np.exp(t["ln_ic50"]) * 100), "unit", "no negative value"),
        (lambda t: pd.concat([t, t.head(2)]), "repeated pairs", "4 rows repeat 2 pairs (first: 'C0 + D0'"),
        (lambda t: t.assign(ln_ic50=["high", *t["ln_ic50"][1:]]), "text in the response", "1 rows of 'ln_ic50'"),
        (
            lambda t: t.assign(ln_ic50=[None, np.inf, *t["ln_ic50"][2:]]),
            "missing responses",
            "1 responses are missing, 1",
        ),
        (lambda t: t.assign(cell=[None, *t["cell"][1:]]), "cell ids", "1 rows have none"),
        (lambda t: t.rename(columns={"ln_ic50": "log_ic50"}), "unit", "base of its log"),
        (lambda t: t.rename(columns={"ln_ic50": "ic50"}), "unit", "above zero"),
        (lambda t: t.assign(smiles=["C1CC", *["CCO"] * 29]), "unparsable", "1 drugs"),
    ],
)
def test_each_fault_of_a_response_table_is_found_alone(tmp_path, fault, finding, detail):
    report = found(save(fault(response()), tmp_path, index=False))
    assert list(report) == [finding]
    assert detail in report[finding]


def test_a_sound_matrix_in_both_orientations(tmp_path):
    for frame, place in ((expression(), "columns"), (expression().T.rename_axis("gene"), "rows")):
        report = diagnose(save(frame, tmp_path))
        assert report["finding"].tolist() == ["expression", "scale", "gene names"]
        assert set(report["severity"]) == {"ok"}
        assert f"6 cells x 9 features (features in {place})" in report["detail"][0]


@pytest.mark.parametrize(
    ("fault", "finding", "detail"),
    [
        (lambda t: (2**t).round(), "counts", "log expression is expected"),
        (lambda t: 2**t, "unlogged expression", "log expression is expected"),
        (lambda t: t.set_axis([f"ENSG{i:011d}.3" for i in range(9)], axis=1), "gene names", "ensembl ids"),
        (lambda t: t.set_axis([str(i) for i in range(100, 109)], axis=1), "may be a wide response table", "9 columns"),
        (
            lambda t: t.set_axis([f"drug{c * 6}" for c in "abcdefghi"], axis=1),
            "may be a wide response table",
            "9 columns",
        ),
        (lambda t: pd.concat([t] * 120, axis=1).set_axis(map(str, range(1080)), axis=1), "gene names", "entrez ids"),
        (
            lambda t: t.set_axis(["Trp53", "Egfr", "Kras", "Braf", "Myc", "Pten", "Rbl", "Atm", "Alk"], axis=1),
            "mouse genes",
            "'Trp53'",
        ),
        (lambda t: t.rename(columns={"ALK": "1-Mar"}), "gene names as dates", "'1-Mar'"),
        (lambda t: t.rename(columns={"ALK": "1-Mar (123)"}), "gene names as dates", "'1-Mar'"),
        (lambda t: t.where(t > 1), "missing values", "of the values"),
        (lambda t: t.where(t > 1, np.inf), "infinite values", "values"),
        (lambda t: t.set_axis(["ACH-000001"] * 2 + list(t.index[2:]), axis=0), "repeated cells", "1 rows"),
    ],
)
def test_each_fault_of_a_matrix_is_found_alone(tmp_path, fault, finding, detail):
    report = found(save(fault(expression()), tmp_path))
    assert list(report) == [finding]
    assert detail in report[finding]


def test_notes_on_a_matrix(tmp_path):
    notes = found(save(expression().assign(MYC=1.0, **{"EGFR (1956)": 2.5}), tmp_path), "note")
    assert notes["constant features"].startswith("2 features (first: 'MYC', 'EGFR (1956)')")
    assert "1 genes stand more than once (first: 'EGFR')" in notes["repeated genes"]


def test_binary_events_and_h5ad(tmp_path):
    events = (expression() > 6).astype(int)
    assert diagnose(save(events, tmp_path))["finding"].tolist() == ["binary events"]
    AnnData(expression().astype(np.float32)).write_h5ad(tmp_path / "cells.h5ad")
    assert diagnose(tmp_path / "cells.h5ad")["finding"].tolist() == ["expression", "scale", "gene names"]


def test_tables_of_drugs_and_cells(tmp_path):
    drugs = pd.DataFrame({"drug": ["a", "b", "b", "c"], "smiles": ["CCO", "C1CC", "CCN", None]})
    assert set(found(save(drugs, tmp_path, index=False))) == {"repeated drugs", "unparsable", "no structure"}
    assert set(found(save(drugs.assign(target="x")[["drug", "target"]].drop(2), tmp_path, index=False))) == {
        "no structures"
    }
    cells = pd.DataFrame({"cosmic_id": [1, 2], "tissue": ["lung", "skin"]})
    assert diagnose(save(cells, tmp_path, index=False))["severity"].tolist() == ["ok"]


def test_folders(tmp_path):
    data, _ = screen(20, 4, 40)
    folder = write(data, tmp_path / "data")
    assert diagnose(folder)["detail"].tolist() == [repr(data)]
    (folder / "pairs.parquet").unlink()
    assert diagnose(folder)["severity"].tolist() == ["error"]
    assert diagnose(tmp_path)["severity"].tolist() == ["error"]
    save(response(), tmp_path, index=False)
    assert "response: 'file.csv'" in diagnose(tmp_path)["detail"][0]


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (gzip.compress(response().to_csv().encode() * 20, mtime=0)[:-30], "cut off"),
        ("cell,drug,ln_ic50\nZürich,x,1\n".encode("latin-1"), "UTF-8"),
        (b"", "empty"),
        (b"<html></html>", "web page"),
        (b"cell,drug,ln_ic50\nA,b\n", "cut off, or a value"),
    ],
)
def test_damage_is_an_error_with_a_remedy(tmp_path, content, detail):
    (tmp_path / "bad.csv").write_bytes(content)
    report = diagnose(tmp_path / "bad.csv")
    assert report["severity"].tolist() == ["error"]
    assert detail in report["detail"][0] + report["remedy"][0]
    assert report["remedy"][0]
    assert diagnose(tmp_path / "none.csv")["severity"].tolist() == ["error"]


def test_an_unknown_table_says_what_is_missing(tmp_path):
    report = found(save(response().rename(columns={"drug": "agent"}), tmp_path, index=False))
    assert list(report) == [OTHER_NAMES]
    report = diagnose(save(pd.DataFrame({"a": ["x", "y"], "b": ["z", "w"]}), tmp_path, index=False))
    assert report["finding"].tolist() == ["no table of responses, drugs or cells, and no matrix"]
    assert report["severity"].tolist() == ["error"]
    assert "--cell-column, --drug-column, --response-column" in report["remedy"][0]


@pytest.mark.parametrize("suffix", ["csv", "de.csv", "xlsx"])
@pytest.mark.parametrize("numbers", [False, True])
def test_a_response_table_with_foreign_names_is_told(tmp_path, suffix, numbers):
    frame = response().set_axis(["Zelllinie", "Wirkstoff", "Wert"], axis=1)
    if numbers:
        frame = frame.assign(Zelllinie=frame.index // 3 + 906798, Wirkstoff=frame.index % 3 + 135)
    path = tmp_path / f"file.{suffix}"
    if suffix == "xlsx":
        frame.to_excel(path, index=False)
    else:
        german = {"sep": ";", "decimal": ","} if suffix == "de.csv" else {}
        frame.to_csv(path, index=False, **german)
    report = diagnose(path)
    assert report["finding"].tolist() == [OTHER_NAMES]
    assert report["severity"].tolist() == ["error"]
    assert "cell 'Zelllinie', drug 'Wirkstoff', response 'Wert'" in report["detail"][0]


def test_a_small_matrix_is_no_response_table(tmp_path):
    small = expression().iloc[:, :3]
    for frame in (small, small.round(), (small > 6).astype(int)):
        assert OTHER_NAMES not in set(diagnose(save(frame, tmp_path))["finding"])


def test_decimal_commas_are_peeked_at_as_they_are_read(tmp_path):
    path = save(expression(), tmp_path, sep=";", decimal=",")
    assert diagnose(path)["finding"].tolist() == ["expression", "scale", "gene names"]


@pytest.mark.parametrize(("n_cells", "repeats"), [(6, 0), (12, 2)])
def test_centred_values_are_told_however_few_or_repeated(tmp_path, n_cells, repeats):
    frame = expression().iloc[[0] * n_cells]
    frame = pd.DataFrame(np.random.default_rng(1).normal(0, 3, frame.shape), columns=frame.columns)
    frame.index = [f"ACH-{max(i, repeats):06d}" for i in range(n_cells)]
    scale = diagnose(save(frame, tmp_path)).set_index("finding").loc["scale"]
    assert scale["severity"] == "note"
    assert "log scale" not in scale["detail"]


def test_logs_with_a_floor_are_no_z_scores(tmp_path):
    rng = np.random.default_rng(0)
    log = np.where(rng.random((40, 9)) < 0.4, -9.97, rng.uniform(0, 12, (40, 9)))
    frame = pd.DataFrame(log, [f"ACH-{i:06d}" for i in range(40)], expression().columns)
    assert abs(frame.to_numpy().mean()) < 1.0
    scale = diagnose(save(frame.iloc[:8], tmp_path)).set_index("finding").loc["scale"]
    assert scale["detail"].startswith("log scale")


def test_several_responses_are_noted(tmp_path):
    notes = found(save(response().assign(auc=0.5), tmp_path, index=False), "note")
    assert notes["several responses"] == "'ln_ic50' is read, 'auc' not"


def saved_profiles(adata, tmp_path, kind):
    path = tmp_path / (f"a.{kind}" if kind != "store" else "a")
    if kind == "h5ad":
        adata.write_h5ad(path)
    elif kind == "store":
        convert(adata, path, genes=None)
    else:
        {"gct": write_gct, "gctx": write_gctx}[kind](adata, path)
    return path


PROFILE_KINDS = ("gct", "gctx", "h5ad", "store")


@pytest.mark.parametrize("kind", PROFILE_KINDS)
@pytest.mark.parametrize(
    ("change", "scale"),
    [
        (lambda X: X, "z-scores"),
        (lambda X: np.clip(X, -1, 1), "z-scores, clipped (level 4 or 5), -1 to 1"),
        (lambda X: np.clip(X + 9, 2, 15), "level 3 (log2 expression)"),
        (lambda X: np.where(np.arange(X.size).reshape(X.shape) == 5, -0.1, np.clip(X + 9, 2, 15)), "level 3"),
        (lambda X: 2 ** np.clip(X + 9, 2, 15), "not logged"),
    ],
)
def test_profiles_of_every_format_are_told_alike(tmp_path, kind, change, scale):
    adata = profiles(n_perturbagens=5, n_genes=20, n_cells=2)
    adata.X = change(adata.X).astype(np.float32)
    report = diagnose(saved_profiles(adata, tmp_path, kind))
    assert report["finding"].tolist()[1:] == ["scale", "landmark genes", "perturbagens"]
    assert report["finding"][0] == "folder of profiles" if kind == "store" else "profiles (" in report["finding"][0]
    assert report["detail"][0].startswith("10 profiles x 20 genes (entrez ids)")
    assert report["detail"][1].startswith(scale)
    assert report["detail"][3] == "5 perturbagens; trt_cp 10"


def test_an_h5ad_that_galenic_wrote_is_of_profiles_though_nothing_names_perturbagens(tmp_path):
    adata = profiles(n_perturbagens=5, n_genes=20, n_cells=2)
    adata.obs = adata.obs[[]]
    read_profiles(saved_profiles(adata, tmp_path, "gctx")).write_h5ad(tmp_path / "b.h5ad")
    report = diagnose(tmp_path / "b.h5ad")
    assert report["finding"][0] == "profiles (h5ad)"
    assert "--sample-info" in report["remedy"][3]


@pytest.mark.parametrize("kind", PROFILE_KINDS)
def test_a_matrix_without_any_number_is_an_error(tmp_path, kind):
    adata = profiles(n_perturbagens=5, n_genes=20, n_cells=2)
    adata.X[:] = -666
    assert found(saved_profiles(adata, tmp_path, kind)) == {"no numbers": "all 200 values are missing (NaN or -666)"}


def test_missing_and_rounded_profiles_are_told(tmp_path):
    adata = profiles(n_perturbagens=5, n_genes=20, n_cells=2)
    adata.X = np.round(np.clip(adata.X + 9, 2, 15))
    adata.X[0, :3] = -666
    report = found(saved_profiles(adata, tmp_path, "h5ad"))
    assert report == {"missing values": "3 of 200", "whole numbers": "all 197 known values"}


def test_repeated_profiles_of_an_h5ad_are_an_error(tmp_path):
    adata = profiles(n_perturbagens=5, n_genes=20, n_cells=2)
    with warnings.catch_warnings(action="ignore"):
        adata.obs_names = ["a", "a", *map(str, range(8))]
        adata.write_h5ad(tmp_path / "a.h5ad")
    assert "must be unique; 1 stand more than once" in found(tmp_path / "a.h5ad")["unreadable"]


@pytest.mark.parametrize("name", ["a.gctx", "a.gct", "a.GCT"])
def test_a_text_that_is_called_profiles_gets_one_advice(tmp_path, name):
    (tmp_path / name).write_text("hello world\n")
    with pytest.raises(ValueError, match="starts with 'hello world") as caught:
        read_profiles(tmp_path / name)
    report = diagnose(tmp_path / name)
    assert [f"{row.detail}. {row.remedy}" for row in report.itertuples()] == [str(caught.value)]
