"""The tables of a run folder: their names, endings and columns, how they are written and read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pyarrow.parquet

# Name of a table: its ending and the columns that whoever reads it may rely on. More columns are welcome.
TABLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "metrics": (".csv", ("model", "split", "fold", "seed", "group", "metric", "value", "n")),
    "comparison": (".csv", ("split", "metric", "group", "model", "floor", "difference", "low", "high")),
    "scores_by_drug": (".csv", ("model", "split", "drug", "metric", "value", "n")),
    "ceilings": (".csv", ("between", "drug", "metric", "value", "n")),
    "predictions": (".parquet", ("cell", "drug", "prediction")),
    "ranking": (".csv", ("cell", "rank", "drug", "prediction")),
    "biomarkers": (".csv", ("drug", "rank", "gene", "weight")),
    "truth": (".csv", ("drug", "feature", "found")),
    "patients": (".csv", ("drug", "cohort", "n", "auroc")),
    "shift": (".csv", ()),  # of patients by measure, of cells by feature, of samples to predict by cell
    "history": (".csv", ("stage", "member", "epoch")),
    "calibration": (".csv", ("level", "coverage", "n")),
    "atoms": (".csv", ("drug", "name", "smiles", "atom", "element", "contribution")),
    "coverage": (".csv", ("step", "kept", "dropped", "why")),
    "query": (".csv", ("query", "kind", "flag", "reason")),
    "hits": (".csv", ("query", "rank", "id", "pert_id", "pert_name", "similarity")),
    "enrichment": (".csv", ("query", "kind", "label", "n", "n_in_hits", "k", "p_value", "q_value")),
    "map": (".csv", ("query", "role", "id", "name", "x", "y")),
    "conditions": (
        ".csv",
        ("model", "split", "fold", "seed", "context", "perturbation", "n_cells", "pearson_delta", "mae"),
    ),
    "effects": (".parquet", ("model", "split", "context", "perturbation", "gene", "measured", "predicted")),
    "skill": (
        ".csv",
        ("model", "split", "metric", "floor", "value", "floor_value", "skill", "low", "high", "n", "best"),
    ),
    "ceiling_halves": (".csv", ("group", "metric", "value", "full", "ceiling", "n")),
    "codes": (".csv", ("kind", "name", "context", "x", "y")),
    "similar": (".csv", ("perturbation", "rank", "neighbour", "similarity")),
    "interaction": (".csv", ("context", "perturbation", "gene", "residual")),
    "target_pairs": (".csv", ("disease", "rank", "gene_a", "gene_b", "score")),
    "target_match": (".csv", ("disease", "n", "hits", "expected", "p_value")),
    "target_diseases": (".csv", ("disease", "method", "n_pairs", "n_known", "auroc", "ap")),
    "latents": (".csv", ("family", "size", "run", "node", "cluster", "sign", "agreement", "link")),
    "latent_links": (".csv", ("latent", "cluster")),
    "stability": (".csv", ("n_clusters", "stability", "error", "chosen")),
    "seeds": (".csv", ("division", "what", "again", "n")),
    "dimensions": (".csv", ("dimension", "direction", "rank", "gene", "weight")),
    "pathways": (".csv", ("dimension", "pathway", "n", "n_top", "p_value", "q_value")),
    "cells": (".csv", ("cell", "probability", "abstain")),
    "floors": (".csv", ("floor", "cell", "probability")),
    "source": (".csv", ("line", "label", "probability")),
    "source_scores": (".csv", ("group", "metric", "value")),
    "cell_scores": (".csv", ("group", "metric", "value", "low", "high", "n")),
    "drug_ranking": (".csv", ("rank", "drug", "probability", "low", "high", "share_sensitive", "abstained")),
    "few_shot": (".csv", ("method", "n_per_class", "metric", "value")),
    "shift_summary": (".csv", ("when", "measure", "value")),
    "explained": (".csv", ("cell", "prediction", "baseline", "gap")),
    "contributions": (".parquet", ("cell", "gene", "contribution", "value")),
    "forces": (".csv", ("cell", "why", "gene", "contribution", "value")),
    "importance_agreement": (".csv", ("among", "n", "spearman", "overlap", "chance", "top")),
    "gene_sets": (".csv", ("gene_set", "n", "n_top", "p_value", "q_value")),
    "curves": (".csv", ("kind", "score", "n_features", "share", "value", "random", "low", "high")),
    "curve_areas": (".csv", ("kind", "score", "area", "random", "gain", "p_value")),
}
# Ids are text even where they look like numbers, and a drug may be called "NA".
_TEXT = ("cell", "drug", "name", "gene", "feature", "modality", "model", "floor", "split", "group", "metric", "cohort",
         "tissue", "measure", "between", "step", "why", "examples", "stage", "smiles", "element", "query",
         "id", "pert_id", "pert_name", "kind", "label", "role", "moa", "target", "flag", "reason", "plate",
         "unknown", "context", "perturbation", "neighbour", "fallback", "disease", "method", "gene_a",
         "gene_b", "family", "latent", "symbol", "direction", "pathway",
         "line", "platform", "sample", "toward", "among", "gene_set", "when")  # fmt: skip


def require_table(name: str, table: pd.DataFrame, what: str) -> None:
    """Raise ``ValueError`` unless the table has the columns that readers of ``name`` rely on."""
    missing = [column for column in TABLES[name][1] if column not in table.columns]
    if missing:
        raise ValueError(
            f"{what} needs the columns {', '.join(TABLES[name][1])}; it lacks {', '.join(missing)} "
            f"and has {', '.join(str(column) for column in table.columns)}. Rename or add them."
        )


def file_of(name: str) -> str:
    """File name of a table; ``ValueError`` for a name that is not in ``TABLES``."""
    if name not in TABLES:
        raise ValueError(f"a table of a run folder is one of {', '.join(TABLES)}; received {name!r}. Use one of them.")
    return name + TABLES[name][0]


def write_table(table: pd.DataFrame, place: Path, name: str) -> None:
    """Write the rows of a table as CSV or Parquet, without the index."""
    if TABLES[name][0] == ".parquet":
        table.to_parquet(place, index=False)
    else:
        table.to_csv(place, index=False)


def read_table(path: Path, name: str, where: Mapping[str, str]) -> pd.DataFrame:
    """Read a table and keep the rows whose columns equal the values of ``where``; columns it lacks are not asked.

    Parquet is filtered while it is read: the predictions of a large benchmark need not fit into memory at once.
    """
    try:
        if path.suffix == ".parquet":
            known = pyarrow.parquet.read_schema(path).names
            filters = [(column, "==", value) for column, value in where.items() if column in known]
            table = pd.read_parquet(path, filters=filters or None)
        else:
            text = dict.fromkeys(_TEXT, str)
            table = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""], float_precision="round_trip")
            for column, value in where.items():
                table = table[table[column] == value] if column in table else table
    except Exception as error:  # what is said of pandas inside a Parquet file may be anything
        raise ValueError(
            f"{path} should be a {path.suffix[1:]} table; reading it failed ({error}). "
            "Restore it, or delete it: the report leaves out what is absent."
        ) from error
    require_table(name, table, str(path))
    return table
