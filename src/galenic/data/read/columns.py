"""What the field calls its columns, and ids as text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from galenic.data.checks import first
from galenic.work.near import did_you_mean

# fmt: off
CELL = (
    "cell", "cell_id", "cosmic_id", "cosmic_sample_id", "cosmic_identifier", "depmap_id", "model_id", "sanger_model_id",
    "cell_line_name", "cell_line", "cell_name", "stripped_cell_line_name", "ccle_name", "ccl_name", "sample",
    "sample_id", "sample_name", "patient", "patient_id", "barcode",
)
DRUG = (
    "drug", "drug_id", "broad_id", "broad_cpd_id", "master_cpd_id", "pert_id", "compound_id", "cpd_id", "drug_name",
    "compound", "compound_name", "cpd_name", "pert_iname", "treatment", "name",
)
STUDY = ("study", "dataset", "screen_id")
REPLICATE = ("replicate", "repeat")
SMILES = ("smiles", "canonical_smiles", "isomeric_smiles", "cpd_smiles")
TARGETS = ("targets", "target", "putative_target", "gene_symbol_of_protein_target")
MOA = (
    "moa", "mechanism", "mechanism_of_action", "pathway", "pathway_name", "target_pathway",
    "target_or_activity_of_compound",
)
DRUG_NAME = ("name", "drug_name", "compound_name", "cpd_name", "pert_iname")
CELL_NAME = ("name", "cell_line_name", "cell_line", "cell_name", "stripped_cell_line_name", "ccl_name", "ccle_name")
TISSUE = (
    "tissue", "gdsc_tissue_descriptor_1", "gdsc_desc1", "oncotree_lineage", "lineage", "primary_tissue",
    "ccle_primary_site", "tissue_type", "gdsc_site", "site", "oncotree_primary_disease", "primary_disease",
    "cancer_type", "tcga_desc", "tcga_class",
)
GENE = (
    "gene_symbols", "gene_symbol", "gene", "genes", "gene_name", "gene_id", "symbol", "hugo_symbol", "hgnc_symbol",
    "ensembl_id", "ensembl", "ensembl_gene_id", "feature", "genetic_feature",
)
DEFAULT_ENTRY = ("is_default_entry_for_model",)
ANNOTATION = (
    *CELL, *TISSUE, *GENE, *DEFAULT_ENTRY, "gene_title", "description", "sequencing_id", "model_condition_id",
    "is_default_entry_for_mc", "profile_id",
)
# fmt: on
"""Columns of a matrix that describe its rows and are never features."""


def plain(name: object) -> str:
    """A column name without case and marks: ``"COSMIC_ID"`` and ``"Cosmic Id"`` are both ``"cosmicid"``."""
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def find(columns: Iterable[object], aliases: Iterable[str]) -> list[str]:
    """Those of ``columns`` that are one of ``aliases``, in the order of the aliases.

    Examples
    --------
    >>> find(["LN_IC50", "CELL_LINE_NAME", "COSMIC_ID"], CELL)
    ['COSMIC_ID', 'CELL_LINE_NAME']
    """
    names = [str(column) for column in columns]
    return [name for alias in aliases for name in names if plain(name) == plain(alias)]


def require_choice(choice: Mapping[str, str | None], known: Iterable[str], columns: Iterable[object]) -> None:
    """Raise ``ValueError`` if a user's choice of columns names a role or a column that does not exist."""
    unknown = [role for role in choice if role not in known]
    if unknown:
        raise ValueError(f"columns may be chosen for {first(known, 8)}; received {first(unknown)}. Correct the role.")
    absent = [column for column in choice.values() if column is not None and column not in list(columns)]
    if absent:
        raise ValueError(
            f"the chosen column {absent[0]!r} should be in the response table; it has {first(columns, 12)}. "
            f"{did_you_mean(absent[0], columns, 'Correct the name.')}"
        )


def as_ids(values: pd.Series | pd.Index) -> pd.Series:
    """Ids as text without blanks around them; missing where there is none.

    Examples
    --------
    >>> as_ids(pd.Series([683665.0, 683667.0])).tolist()
    ['683665', '683667']
    >>> as_ids(pd.Series(["A549 ", None, "697"])).tolist()
    ['A549', nan, '697']
    """
    codes, unique = pd.factorize(np.asarray(values, dtype="object"), use_na_sentinel=True)
    text = [re.sub(r"^(\d+)\.0+$", r"\1", str(value).strip()) for value in unique]
    names = np.array([*(name or np.nan for name in text), np.nan], dtype="object")
    index = values.index if isinstance(values, pd.Series) else None
    return pd.Series(names[codes], index=index, dtype="object")
