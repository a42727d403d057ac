"""Official layouts, generated small with the columns and quirks of the real files."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

from galenic.data.read import ctrp, depmap_expression, events, gdsc, layout, prism, response_data, xena

COSMIC = [683665, 683667, 684052, 684055]
NAMES = ["MC-CAR", "PFSK-1", "A673", "ES3"]


def gdsc_response():
    cell, drug = np.divmod(np.arange(12), 3)
    return pd.DataFrame(
        {
            "DATASET": "GDSC2",
            "NLME_RESULT_ID": 343,
            "NLME_CURVE_ID": np.arange(12) + 15946310,
            "COSMIC_ID": np.array(COSMIC)[cell],
            "CELL_LINE_NAME": np.array(NAMES)[cell],
            "SANGER_MODEL_ID": [f"SIDM{i:05d}" for i in cell],
            "TCGA_DESC": np.array(["MM", "MB", "UNCLASSIFIED", "UNCLASSIFIED"])[cell],
            "DRUG_ID": np.array([1003, 1004, 1005])[drug],
            "DRUG_NAME": np.array(["Camptothecin", "Vinblastine", "Cisplatin"])[drug],
            "PUTATIVE_TARGET": np.array(["TOP1", "Microtubule destabiliser", "DNA crosslinker"])[drug],
            "PATHWAY_NAME": np.array(["DNA replication", "Mitosis", "DNA replication"])[drug],
            "COMPANY_ID": 1046,
            "WEBRELEASE": "Y",
            "MIN_CONC": 0.0001,
            "MAX_CONC": 0.1,
            "LN_IC50": np.linspace(-4, 6, 12),
            "AUC": np.linspace(0.4, 0.99, 12),
            "RMSE": 0.05,
            "Z_SCORE": 0.1,
        }
    )


def gdsc_arrays():
    """Genes in rows; one gene has no symbol, one line was hybridised twice."""
    values = np.arange(16.0).reshape(4, 4) / 4 + 3
    arrays = pd.DataFrame(values, columns=[f"DATA.{cosmic}" for cosmic in COSMIC])
    arrays.insert(0, "GENE_SYMBOLS", ["TSPAN6", "TNMD", "", "DPM1"])
    arrays.insert(1, "GENE_title", ["tetraspanin 6, [Source:HGNC]", "tenomodulin", "", "dolichyl-phosphate"])
    arrays["DATA.683665.1"] = arrays["DATA.683665"] + 1
    return arrays


def event_matrix(features):
    return pd.DataFrame([[0, 1, 0, 1], [1, 1, 0, 0]], index=features, columns=COSMIC)


@pytest.fixture
def gdsc_folder(tmp_path):
    gdsc_response().to_csv(tmp_path / "GDSC2_fitted_dose_response.csv", index=False)
    gdsc_arrays().to_csv(tmp_path / "Cell_line_RMA_proc_basalExp.txt", sep="\t", index=False)
    event_matrix(["TP53_mut", "gain:cnaPANCAN301 (CDK4/OS9)"]).to_csv(tmp_path / "PANCAN_simple_MOBEM.tsv", sep="\t")
    event_matrix(["chr1:10-20(RPTOR)", "chr2:30-40()"]).to_csv(tmp_path / "METH_BEM.txt", sep="\t")
    (tmp_path / "README.txt").write_text("Data of GDSC.\n")
    return tmp_path


def test_a_gdsc_folder_is_recognised_by_content(gdsc_folder):
    with pytest.warns(UserWarning, match="1 cells of Cell_line_RMA_proc_basalExp.txt stand more than once"):
        data = gdsc(gdsc_folder)
    assert repr(data) == ("ResponseData(12 pairs: 4 cells x 3 drugs, ln_ic50; expression 3, mutation 2, methylation 2)")
    assert data.cells.var_names.tolist() == ["TSPAN6", "TNMD", "DPM1"]
    np.testing.assert_allclose(data.cells["683665"].X[0], [3.5, 4.5, 6.5])
    np.testing.assert_allclose(data.cells["684055"].X[0], [3.75, 4.75, 6.75])
    assert data.cells.obsm["mutation"].loc["683667"].tolist() == [1, 1]
    assert data.cells.obs["tissue"].tolist() == ["MM", "MB", "UNCLASSIFIED", "UNCLASSIFIED"]
    assert data.cells.obs["name"].tolist() == NAMES
    assert data.drugs.loc["1003", ["name", "targets", "moa"]].tolist() == ["Camptothecin", "TOP1", "DNA replication"]
    assert data.drugs["smiles"].isna().all()
    assert data.pairs["study"].unique().tolist() == ["GDSC2"]
    np.testing.assert_allclose(data.response, gdsc_response()["LN_IC50"])


def test_auc_and_structures_and_xlsx(tmp_path):
    gdsc_response().to_excel(tmp_path / "response.xlsx", index=False)
    drugs = pd.DataFrame({"name": ["Camptothecin", "Vinblastine", "Cisplatin"], "smiles": ["CCO", "CCN", "CCC"]})
    data = gdsc(tmp_path / "response.xlsx", drugs=drugs, unit="auc")
    assert data.unit == "auc"
    assert data.drugs.loc["Vinblastine", "smiles"] == "CCN"
    np.testing.assert_allclose(data.response, gdsc_response()["AUC"])


def test_two_candidates_are_not_chosen_between(gdsc_folder):
    gdsc_response().to_csv(gdsc_folder / "GDSC1_fitted_dose_response.csv", index=False)
    with pytest.raises(ValueError, match=r"one file of responses; it holds 2.*response="):
        gdsc(gdsc_folder)
    (gdsc_folder / "GDSC1_fitted_dose_response.csv").unlink()
    (gdsc_folder / "GDSC2_fitted_dose_response.csv").unlink()
    with pytest.raises(ValueError, match="should hold a table of responses"):
        gdsc(gdsc_folder)


@pytest.mark.parametrize("shape", ["features in rows", "cells in rows", "V1 V2 V3", "genetic features"])
def test_events_are_the_same_in_every_layout(tmp_path, shape):
    wide = event_matrix(["TP53_mut", "chr1:10-20"])
    long = wide.melt(ignore_index=False, var_name="cosmic").reset_index(names="feature")
    frame = {
        "features in rows": wide,
        "cells in rows": wide.T,
        "V1 V2 V3": long.rename(columns={"cosmic": "V1", "feature": "V2", "value": "V3"})[["V1", "V2", "V3"]],
        "genetic features": long.rename(
            columns={"cosmic": "cosmic_sample_id", "feature": "genetic_feature", "value": "is_mutated"}
        ).assign(cell_line_name="x", recurrent_gain_loss=""),
    }[shape]
    frame.to_csv(tmp_path / "events.csv")
    for source in (tmp_path / "events.csv", frame):
        found = events(source).loc[[str(cosmic) for cosmic in COSMIC], ["TP53_mut", "chr1:10-20"]]
        np.testing.assert_array_equal(found, wide.T)


def test_what_is_named_comes_before_what_is_found(gdsc_folder):
    arrays = pd.DataFrame({"KRAS": [1.0, 2.0]}, index=["683665", "683667"])
    events_ = pd.DataFrame({"KRAS_mut": [1, 0]}, index=["683665", "683667"])
    cells = pd.DataFrame({"COSMIC_ID": COSMIC, "tissue": "blood"})
    drugs = pd.DataFrame({"DRUG_ID": [1003, 1004, 1005], "smiles": "CCO"})
    data = gdsc(gdsc_folder, expression=arrays, mutation=events_, methylation=events_, cells=cells, drugs=drugs)
    assert repr(data) == "ResponseData(6 pairs: 2 cells x 3 drugs, ln_ic50; expression 1, mutation 1, methylation 1)"
    assert data.cells.obs["tissue"].tolist() == ["blood", "blood"]


def test_events_are_zero_or_one():
    with pytest.raises(ValueError, match=r"1 values are neither \(first: '2.0'\)"):
        events(pd.DataFrame({"cell": ["A", "B"], "TP53_mut": [0, 2]}))


def test_depmap_models_keep_their_default_run(tmp_path):
    frame = pd.DataFrame(
        {
            "SequencingID": ["CDS-1", "CDS-2", "CDS-3"],
            "ModelID": ["ACH-000001", "ACH-000001", "ACH-000002"],
            "IsDefaultEntryForModel": ["No", "Yes", "Yes"],
            "TSPAN6 (7105)": [1.0, 2.0, 3.0],
            "TNMD (64102)": [4.0, 5.0, 6.0],
        }
    )
    frame.to_csv(tmp_path / "Omics.csv")
    adata = depmap_expression(tmp_path / "Omics.csv")
    assert adata.obs_names.tolist() == ["ACH-000001", "ACH-000002"]
    assert adata.var_names.tolist() == ["TSPAN6", "TNMD"]
    assert adata.X.tolist() == [[2, 5], [3, 6]]
    assert adata.obs["SequencingID"].tolist() == ["CDS-2", "CDS-3"]
    older = frame.iloc[1:, [1, 3, 4]].rename(columns={"ModelID": ""})
    assert depmap_expression(older).X.tolist() == adata.X.tolist()


def prism_table():
    return pd.DataFrame(
        {
            "broad_id": ["BRD-K1", "BRD-K1", "BRD-K1", "BRD-K2", "BRD-K2"],
            "depmap_id": ["ACH-000001", "ACH-000001", "ACH-000002", "ACH-000001", "ACH-000003"],
            "ccle_name": ["A_LUNG", "A_LUNG", "B_SKIN", "A_LUNG", "C_BONE"],
            "screen_id": ["HTS002", "MTS010", "MTS010", "MTS010", "MTS010"],
            "auc": [0.5, 0.7, 1.2, 0.9, 0.8],
            "ec50": 1.0,
            "ic50": [0.1, 0.4, np.nan, 2.0, 1.0],
            "name": ["erlotinib"] * 3 + ["ethanol"] * 2,
            "moa": ["EGFR inhibitor"] * 3 + [None] * 2,
            "target": ["EGFR"] * 3 + [None] * 2,
            "smiles": ["C#Cc1cccc(N)c1, CCC"] * 3 + ["CCO"] * 2,
            "passed_str_profiling": [True, True, True, True, False],
        }
    )


def test_prism_averages_screens_or_tells_them_apart(tmp_path):
    prism_table().to_csv(tmp_path / "secondary.csv", index=False)
    data = prism(tmp_path / "secondary.csv")
    assert data.unit == "auc"
    found = data.pairs.set_index(["cell", "drug"])["response"].to_dict()
    assert found == pytest.approx(
        {("ACH-000001", "BRD-K1"): 0.6, ("ACH-000002", "BRD-K1"): 1.2, ("ACH-000001", "BRD-K2"): 0.9}
    )
    assert data.drugs.loc["BRD-K1", ["smiles", "targets", "name"]].tolist() == ["C#Cc1cccc(N)c1", "EGFR", "erlotinib"]
    apart = prism(tmp_path / "secondary.csv", repeats="keep")
    assert sorted(apart.pairs["study"]) == ["HTS002", "MTS010", "MTS010", "MTS010"]
    assert len(prism(tmp_path / "secondary.csv", passed_only=False)) == 4


def test_prism_as_a_plain_table_names_the_response_and_keeps_structures():
    with pytest.warns(UserWarning, match=r"'ic50' is read, 'auc' not"):
        data = response_data(prism_table(), missing="drop")
    assert data.unit == "ln_ic50"
    pd.testing.assert_series_equal(data.drugs["smiles"], prism(prism_table()).drugs["smiles"])
    assert data.drugs["structure"].notna().all()


def test_gdsc_refuses_a_table_of_another_study():
    with pytest.raises(ValueError, match=r"columns for a cell .* and a drug .*it has 'broad_id'.*--layout prism"):
        gdsc(prism_table())


def test_prism_ic50_is_logged_and_may_be_missing():
    data = prism(prism_table(), unit="ic50")
    assert data.unit == "ln_ic50"
    assert len(data) == 2
    np.testing.assert_allclose(data.response, [np.log([0.1, 0.4]).mean(), np.log(2)])
    with pytest.raises(ValueError, match="'keep' or 'mean'"):
        prism(prism_table(), repeats="refuse")


@pytest.fixture
def ctrp_folder(tmp_path):
    def save(name, **columns):
        pd.DataFrame(columns).to_csv(tmp_path / name, sep="\t", index=False)

    save(
        "v20.data.curves_post_qc.txt",
        experiment_id=[1, 2, 3, 1],
        conc_pts_fit=[16, 16, 11, 8],
        apparent_ec50_umol=1.0,
        area_under_curve=[15.0, 12.0, 7.5, 14.4],
        master_cpd_id=[1788, 1788, 1788, 3588],
    )
    save("v20.meta.per_experiment.txt", experiment_id=[1, 1, 2, 3], master_ccl_id=[130, 130, 130, 569], run_id="x")
    save(
        "v20.meta.per_cell_line.txt",
        master_ccl_id=[130, 569],
        ccl_name=["CAS1", "A549"],
        ccle_primary_site=["cns", "lung"],
    )
    save(
        "v20.meta.per_compound.txt",
        master_cpd_id=[1788, 3588],
        cpd_name=["CIL55", "BRD4132"],
        target_or_activity_of_compound="screening hit",
        cpd_smiles=["CCO", "CCN"],
    )
    return tmp_path


def test_ctrp_areas_become_fractions(ctrp_folder):
    data = ctrp(ctrp_folder)
    found = data.pairs.set_index(["cell", "drug"])["response"].to_dict()
    assert found == pytest.approx({("CAS1", "1788"): 0.9, ("A549", "1788"): 0.5, ("CAS1", "3588"): 0.96})
    assert data.unit == "auc"
    assert data.drugs.loc["1788", ["smiles", "name", "moa"]].tolist() == ["CCO", "CIL55", "screening hit"]
    assert data.cells.obs.loc["A549", "tissue"] == "lung"
    apart = ctrp(ctrp_folder, repeats="keep", doublings=10.0)
    assert sorted(apart.response) == pytest.approx([0.75, 1.2, 1.44, 1.5])
    assert sorted(apart.pairs["replicate"]) == ["1", "1", "2", "3"]


def test_ctrp_joins_models_through_a_table_of_cells(ctrp_folder):
    expression = pd.DataFrame({"TP53": [1.0, 2.0]}, index=["ACH-000001", "ACH-000002"])
    models = pd.DataFrame({"ModelID": ["ACH-000001", "ACH-000002"], "StrippedCellLineName": ["A549", "CAS1"]})
    data = ctrp(ctrp_folder, expression=expression, cells=models)
    assert data.cells["CAS1"].X.tolist() == [[2.0]]


def test_an_incomplete_ctrp_release_is_named(ctrp_folder):
    (ctrp_folder / "v20.meta.per_compound.txt").unlink()
    with pytest.raises(ValueError, match=r"missing: compounds \(master_cpd_id, cpd_name\)"):
        ctrp(ctrp_folder)
    with pytest.raises(ValueError, match="Unpack the zip"):
        ctrp(ctrp_folder / "CTRPv2.zip")


def tcga(tmp_path, genes=("ENSG00000141510.16", "ENSG00000146648.14")):
    barcodes = ["TCGA-02-0002-01A", "TCGA-02-0001-11A", "TCGA-02-0001-01B", "TCGA-02-0001-01A", "TCGA-AB-2803-03A"]
    frame = pd.DataFrame(np.arange(10.0).reshape(2, 5), index=pd.Index(genes, name="Ensembl_ID"), columns=barcodes)
    path = tmp_path / "TCGA.htseq_fpkm.tsv.gz"
    path.write_bytes(gzip.compress(frame.to_csv(sep="\t").encode()))
    return path


def test_xena_keeps_primary_tumours_and_names_patients(tmp_path):
    symbols = {"ENSG00000141510": "TP53", "ENSG00000146648": "EGFR"}
    adata = xena(tcga(tmp_path), symbols=symbols)
    assert adata.var_names.tolist() == ["TP53", "EGFR"]
    assert adata.obs_names.tolist() == ["TCGA-02-0001-01A", "TCGA-02-0001-01B", "TCGA-02-0002-01A", "TCGA-AB-2803-03A"]
    assert adata["TCGA-02-0001-01A"].X.tolist() == [[3, 8]]
    patients = xena(tcga(tmp_path), symbols=symbols, patients=True)
    assert patients.obs_names.tolist() == ["TCGA-02-0001", "TCGA-02-0002", "TCGA-AB-2803"]
    assert patients.obs["barcode"].tolist()[0] == "TCGA-02-0001-01A"
    assert patients.uns["coverage"].set_index("step").loc[["primary tumours", "patients"], "dropped"].tolist() == [1, 1]
    assert xena(tcga(tmp_path), symbols=symbols, primary_only=False).n_obs == 5


def test_xena_says_what_is_wrong(tmp_path):
    with pytest.warns(UserWarning, match="genes are Ensembl ids"):
        assert xena(tcga(tmp_path)).var_names[0] == "ENSG00000141510"
    with pytest.raises(ValueError, match=r"TCGA barcodes.*1 of 1 are not \(first: 'A549'\)"):
        xena(pd.DataFrame({"gene": ["TP53"], "A549": [1.0]}))
    with pytest.raises(ValueError, match="primary_only=False"):
        xena(pd.DataFrame({"gene": ["TP53"], "TCGA-02-0001-11A": [1.0]}))
    with pytest.warns(UserWarning, match="log2"):
        xena(pd.DataFrame({"gene": ["TP53"], "TCGA-02-0001-01A": [1000.0]}))


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (gdsc_response(), "response"),
        (prism_table(), "response"),
        (gdsc_arrays(), "expression"),
        (event_matrix(["a_mut", "b_mut"]).T.rename_axis("cosmic_id").reset_index(), "events"),
        (pd.DataFrame({"drug_id": [1], "smiles": ["C"]}), "drugs"),
        (pd.DataFrame({"DRUG_ID": [1], "DRUG_NAME": ["x"], "TARGET": ["y"]}), "drugs"),
        (pd.DataFrame({"ModelID": ["ACH-000001"], "OncotreeLineage": ["Lung"]}), "cells"),
        (pd.DataFrame({"V1": [1], "V2": ["a"], "V3": [1]}), "long events"),
        (pd.DataFrame({"a": ["b"], "c": ["d"]}), "unknown"),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "parquet", "xlsx"])
def test_layouts_are_recognised(tmp_path, frame, kind, suffix):
    path = tmp_path / f"file.{suffix}"
    frame.columns = frame.columns.astype(str)
    getattr(frame, {"csv": "to_csv", "parquet": "to_parquet", "xlsx": "to_excel"}[suffix])(path, index=False)
    assert layout(path) == kind
