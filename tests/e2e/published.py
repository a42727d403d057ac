"""Small files in the layouts of the public data sets, with planted values."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.fetch.catalogue import DataSet
from galenic.data.gctx.gctx import write_gctx

COSMIC = [str(683660 + i) for i in range(12)]
MODELS = [f"ACH-{i:06d}" for i in range(12)]
SYMBOLS = ["TP53", "EGFR", "KRAS", "BRAF", "MYC", "PTEN", "RB1", "ALK", "MET", "KIT"]
ENTREZ = [7157, 1956, 3845, 673, 4609, 5728, 5925, 238, 4233, 3815]
BARCODES = ["TCGA-02-0001-01A", "TCGA-02-0002-01A", "TCGA-02-0003-01A", "TCGA-02-0003-11A"]
RNG = np.random.default_rng(0)
EXPRESSION = RNG.normal(7, 2, size=(12, 10)).round(3)
TUMOURS = RNG.uniform(0, 12, size=(4, 10)).round(3)
LN_IC50 = np.linspace(-4, 6, 24).reshape(12, 2).round(4)
EVENTS = RNG.integers(0, 2, size=(12, 4))
SCORES = RNG.normal(size=(6, 10)).astype(np.float32)
CHANGES = RNG.normal(-0.5, 0.8, size=(12, 2)).round(4)


def write_files(data: DataSet, folder: Path) -> None:
    """Write each file of a set by its role."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in data.files:
        special = f"{data.house}: {file.role}"
        (WRITERS.get(special) or WRITERS[file.role])(folder / file.name)


def _gdsc_response(path: Path) -> None:
    cell, drug = np.divmod(np.arange(24), 2)
    rows = {"DATASET": "GDSC2", "NLME_RESULT_ID": 343, "NLME_CURVE_ID": range(24)}
    rows |= {"COSMIC_ID": [int(COSMIC[i]) for i in cell], "CELL_LINE_NAME": [f"L-{i}" for i in cell]}
    rows |= {"SANGER_MODEL_ID": [f"SIDM{i:05d}" for i in cell], "TCGA_DESC": "LUAD", "DRUG_ID": 1003 + drug}
    rows |= {"DRUG_NAME": [("Camptothecin", "Erlotinib")[i] for i in drug], "PUTATIVE_TARGET": "TOP1"}
    rows |= {
        "PATHWAY_NAME": "DNA replication",
        "COMPANY_ID": 1046,
        "WEBRELEASE": "Y",
        "MIN_CONC": 0.001,
        "MAX_CONC": 0.1,
    }
    rows |= {"LN_IC50": LN_IC50.ravel(), "AUC": 0.5 + 0.01 * cell, "RMSE": 0.05, "Z_SCORE": 0.1}
    pd.DataFrame(rows).to_excel(path, index=False)


def _rma(path: Path) -> None:
    frame = pd.DataFrame(EXPRESSION.T, columns=[f"DATA.{cell}" for cell in COSMIC])
    frame.insert(0, "GENE_SYMBOLS", SYMBOLS)
    frame.insert(1, "GENE_title", "a gene")
    nameless = pd.DataFrame([["", "", *[5.0] * 12]], columns=frame.columns)
    text = pd.concat([frame, nameless]).to_csv(sep="\t", index=False)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Cell_line_RMA_proc_basalExp.txt", text)


def _features(path: Path) -> None:
    frame = pd.DataFrame(EVENTS, columns=["TP53_mut", "KRAS_mut", "gain:cnaPANCAN1", "loss:cnaPANCAN2"])
    frame.insert(0, "COSMIC_ID", COSMIC)
    frame.insert(1, "TISSUE_FACTOR", "lung_NSCLC")
    frame.insert(2, "MSI_FACTOR", [i % 2 for i in range(12)])
    frame.to_csv(path, index=False)


def _alterations(path: Path) -> None:
    rows = [("SKCM", "Mutation", "BRAF", "p.V600E"), ("SKCM", "Methylation", "MLH1", "chr3:37034228-37035356")]
    frame = pd.DataFrame(rows * 3, columns=["TISSUE_TYPE", "TYPE", "GENE", "IDENTIFIER"])
    frame.insert(0, "COSMIC_ID", [cell for cell in COSMIC[:3] for _ in range(2)])
    frame.loc[len(frame)] = [COSMIC[0], "SKCM", "Methylation", "CDKN2A", "chr9:21974578-21975306"]
    frame.to_csv(path, index=False)


def _depmap(path: Path) -> None:
    columns = [f"{symbol} ({entrez})" for symbol, entrez in zip(SYMBOLS, ENTREZ, strict=True)]
    pd.DataFrame(EXPRESSION, index=MODELS, columns=columns).to_csv(path)


def _models(path: Path) -> None:
    rows = {
        "ModelID": MODELS,
        "PatientID": [f"PT-{i}" for i in range(12)],
        "CellLineName": [f"L-{i}" for i in range(12)],
    }
    rows |= {"StrippedCellLineName": [f"L{i}" for i in range(12)], "OncotreeLineage": ["Lung", "Skin"] * 6}
    pd.DataFrame(rows).to_csv(path, index=False)


def _samples(path: Path) -> None:
    rows = {"DepMap_ID": MODELS, "cell_line_name": [f"L-{i}" for i in range(12)], "lineage": ["lung", "skin"] * 6}
    pd.DataFrame(rows).to_csv(path, index=False)


def _curves(path: Path) -> None:
    cell, drug = np.divmod(np.arange(24), 2)
    rows = {"broad_id": [("BRD-K1", "BRD-K2")[i] for i in drug], "depmap_id": [MODELS[i] for i in cell]}
    rows |= {"ccle_name": "X", "screen_id": "MTS010", "upper_limit": 1.0, "lower_limit": 0.2, "slope": 1.1, "r2": 0.9}
    rows |= {"auc": 0.4 + 0.02 * np.arange(24), "ec50": 0.3, "ic50": 0.5, "name": [("a", "b")[i] for i in drug]}
    rows |= {
        "moa": "inhibitor",
        "target": "EGFR",
        "disease.area": "oncology",
        "indication": "lung",
        "phase": "Launched",
    }
    rows |= {"smiles": [("CCO, OCC", "CCN")[i] for i in drug], "passed_str_profiling": cell > 0}
    pd.DataFrame(rows).to_csv(path, index=False)


def _changes(path: Path) -> None:
    rows = [*MODELS[:-1], f"{MODELS[-1]}_FAILED_STR"]
    pd.DataFrame(CHANGES, index=rows, columns=["BRD-K1::2.5::HTS", "BRD-K2::2.5::HTS"]).to_csv(path)


def _treatments(path: Path) -> None:
    rows = {"column_name": ["BRD-K1::2.5::HTS", "BRD-K2::2.5::HTS"], "broad_id": ["BRD-K1", "BRD-K2"], "dose": 2.5}
    rows |= {"screen_id": "HTS", "name": ["a", "b"], "moa": "inhibitor", "target": "EGFR", "smiles": ["CCO", "CCN"]}
    pd.DataFrame(rows).to_csv(path, index=False)


def _gctx(path: Path) -> None:
    adata = AnnData(SCORES, obs=pd.DataFrame(index=[f"S:{i}" for i in range(6)]))
    adata.var_names = [str(entrez) for entrez in ENTREZ]
    plain = path.with_suffix("")
    write_gctx(adata, plain)
    path.write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()


def _genes(path: Path) -> None:
    rows = {"pr_gene_id": ENTREZ, "pr_gene_symbol": SYMBOLS, "pr_gene_title": "a gene", "pr_is_lm": [1, 0] * 5}
    pd.DataFrame(rows | {"pr_is_bing": 1}).to_csv(path, sep="\t", index=False)


def _profiles(path: Path) -> None:
    ids = "inst_id" if "inst" in path.name else "sig_id"
    rows = {ids: [f"S:{i}" for i in range(6)], "pert_id": [f"BRD-K{i}" for i in range(6)], "pert_iname": "vorinostat"}
    rows |= {"pert_type": "trt_cp", "cell_id": "A375", "pert_dose": 10.0, "pert_dose_unit": "um", "pert_time": 24}
    rows |= {"pert_time_unit": "h"} | ({"rna_plate": "P1", "rna_well": "A01"} if ids == "inst_id" else {})
    pd.DataFrame(rows).to_csv(path, sep="\t", index=False)


def _perturbagens(path: Path) -> None:
    rows = {"pert_id": [f"BRD-K{i}" for i in range(6)], "pert_iname": "vorinostat", "canonical_smiles": "CCO"}
    pd.DataFrame(rows).to_csv(path, sep="\t", index=False)


def _hub_drugs(path: Path) -> None:
    rows = ["erlotinib\tLaunched\tEGFR inhibitor\tEGFR\toncology\tlung", "β-thing\tPhase 1\t\t\t\t"]
    header = "pert_iname\tclinical_phase\tmoa\ttarget\tdisease_area\tindication"
    path.write_text("\n".join(["!Drug Repurposing Hub", "!Version\t3/24/2020", header, *rows]), encoding="utf-8")


def _hub_samples(path: Path) -> None:
    core = [("BRD-K70401845-001-01-1", "erlotinib", "CCO, OCC"), ("BRD-K70401845-003-02-9", "erlotinib", "CCO")]
    rows = [*core, ("BRD-A00000001-001-01-1", "β-thing", "CCN"), ("BRD-A00000002-001-01-1", "β-thing", "")]
    lines = ["!Samples", "broad_id\tpert_iname\tsmiles", *("\t".join(row) for row in rows)]
    path.write_bytes("\n".join(lines).encode("utf-8"))


def _cells(path: Path) -> None:
    obs = pd.DataFrame({"cell_type": ["B", "T"] * 6, "label": ["ctrl", "stim", "stim", "ctrl"] * 3})
    obs = obs.assign(cell_line=obs["cell_type"], perturbation=obs["label"].replace({"ctrl": "control"}))
    counts = RNG.poisson(2, size=(12, 10)).astype(np.float32)
    AnnData(counts, obs=obs.set_axis(obs.index.astype(str)), var=pd.DataFrame(index=SYMBOLS)).write_h5ad(path)


def _tumours(path: Path) -> None:
    frame = pd.DataFrame(TUMOURS.T, columns=BARCODES)
    pancan = path.name.startswith("EB")
    names = SYMBOLS if pancan else [f"ENSG{i:011d}.{i + 1}" for i in range(10)]
    frame.insert(0, "sample" if pancan else "Ensembl_ID", names)
    if pancan:  # barcodes without the vial
        frame.columns = [name[:15] for name in frame.columns]
    frame.to_csv(path, sep="\t", index=False)


def _probes(path: Path) -> None:
    rows = {"id": [f"ENSG{i:011d}.{i + 1}" for i in range(10)], "gene": SYMBOLS, "chrom": "chr1", "chromStart": 1}
    pd.DataFrame(rows | {"chromEnd": 2, "strand": "+"}).to_csv(path, sep="\t", index=False)


def _survival(path: Path) -> None:
    rows = {"sample": BARCODES, "OS": [0, 1, 1, 1], "_PATIENT": [code[:12] for code in BARCODES], "OS.time": 100}
    pd.DataFrame(rows).to_csv(path, sep="\t", index=False)


def _sums(path: Path) -> None:
    path.write_bytes(gzip.compress(b"no sums here\n"))


WRITERS: dict[str, Callable[[Path], None]] = {
    "gdsc responses: response": _gdsc_response,
    "expression: expression": _rma,
    "mutation": _features,
    "alterations": _alterations,
    "depmap expression: expression": _depmap,
    "cells: cells": _models,
    "depmap expression: cells": _samples,
    "prism responses: response": _curves,
    "prism primary responses: response": _changes,
    "prism primary responses: drugs": _treatments,
    "sums": _sums,
    "genes": _genes,
    "profiles": _profiles,
    "perturbagens": _perturbagens,
    "matrix": _gctx,
    "drugs: drugs": _hub_drugs,
    "samples": _hub_samples,
    "h5ad": _cells,
    "patients: expression": _tumours,
    "symbols": _probes,
    "survival": _survival,
    "phenotype": _survival,
}
