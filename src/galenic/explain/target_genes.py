"""Weights and candidates of target combinations, checked: genes are genes, and candidates are among them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from galenic.explain.target_pairs import first, known_matrix, near, of_disease
from galenic.explain.target_published import AVERAGES

COVARIATES = frozenset({
    "dose", "dose_um", "dosage", "concentration", "pert_dose", "pert_dose_um", "time", "time_h", "pert_time",
    "pert_itime", "pert_idose", "plate", "well", "batch", "replicate", "cell", "cell_id",
})  # fmt: skip
"""What stands among genes in some tables and is no gene."""


def gene_weights(weights: pd.DataFrame, drop: Sequence[str] = ()) -> tuple[pd.DataFrame, list[str]]:
    """Weights of genes, and notes on what was left out.

    Parameters
    ----------
    weights
        Genes x latent variables.
    drop
        Rows or columns to leave out.

    Returns
    -------
    weights : DataFrame
        Float64, without ``drop`` and without averages over the variables.
    notes : list of str

    Raises
    ------
    TypeError
        If it is no data frame.
    ValueError
        If a gene stands twice, a value is not finite, a row is a dose or the like, or a name to drop is not there.
    """
    if not isinstance(weights, pd.DataFrame):
        raise TypeError(
            f"weights should be a data frame of genes x latent variables; received {type(weights).__name__}. "
            "Name the genes in its index."
        )
    rows, columns = weights.index.astype(str), weights.columns.astype(str)
    unknown = [name for name in drop if name not in rows and name not in columns]
    if unknown:
        raise ValueError(
            f"what is dropped should be a gene or a latent variable of the weights; {first(unknown)} is not. "
            f"{near(unknown, [*rows, *columns])}"
        )
    notes = [f"Left out, being no genes or no variables: {first(drop)}."] if len(drop) else []
    averages = [name for name in columns if name in AVERAGES]
    if averages:
        notes.append(f"Averages over the latent variables are no variables and were left out: {first(averages)}.")
    table = weights.set_axis(rows, axis=0).set_axis(columns, axis=1)
    table = table.loc[~rows.isin(list(drop)), ~columns.isin([*drop, *averages])]
    _require_genes(table)
    return table.astype(np.float64), notes


def _require_genes(table: pd.DataFrame) -> None:
    """Raise ``ValueError`` unless rows are different genes and values are finite numbers."""
    odd = [str(name) for name in [*table.index, *table.columns] if str(name).casefold() in COVARIATES]
    if odd:
        raise ValueError(
            f"rows of the weights should be genes and columns latent variables; {first(odd)} is neither, and its size "
            f"hides that of the genes. Drop it: drop=[{odd[0]!r}], or --drop {odd[0]}."
        )
    names = table.index.str.upper()
    twice = table.index[names.duplicated()]
    if len(twice):
        raise ValueError(
            f"each gene should stand once in the weights; {len(twice):,} stand more than once (first: {first(twice)}; "
            "case does not count). Merge or drop the repeats."
        )
    if min(table.shape) < 1 or len(table) < 3:
        raise ValueError(
            f"weights should hold three genes and one latent variable at least; received {len(table):,} x "
            f"{table.shape[1]:,}. Name the genes in the index, the latent variables in the columns."
        )
    text = [name for name, kind in table.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]
    bad = 0 if text else int((~np.isfinite(table.to_numpy(dtype=np.float64))).sum())
    if text or bad:
        what = f"column {text[0]!r} holds text" if text else f"{bad:,} are missing or infinite"
        raise ValueError(f"every weight should be a finite number; {what}. Fill in or drop these.")


def find_candidates(
    weights: pd.DataFrame, known: pd.DataFrame | None, disease: str | None, candidates: Sequence[str] | None
) -> tuple[list[str], list[str]]:
    """Candidates as the weights spell them, in the order of the weights, and notes.

    Parameters
    ----------
    weights
        From :func:`gene_weights`.
    known
        From :func:`~galenic.explain.target_pairs.read_known`.
    disease
        Its genes are the candidates, where none are named.
    candidates
        Genes named by the user, in any case.

    Raises
    ------
    TypeError
        If candidates are one text.
    ValueError
        If it is not said which, the disease is unknown, or fewer than two are measured.
    """
    if isinstance(candidates, str):
        raise TypeError(
            f"candidates should be a list of genes; received the text {candidates!r}. Write [{candidates!r}]."
        )
    if candidates is not None:
        asked = list(dict.fromkeys(str(name).strip() for name in candidates))
        whose = "candidates"
    elif known is not None and disease is not None:
        table, name = of_disease(known, disease)
        asked = [str(gene) for gene in pd.unique(table[["gene_a", "gene_b"]].to_numpy().ravel())]
        whose = f"genes in known pairs of {name}"
    else:
        raise ValueError(
            "target combinations need candidates, or a disease and its known pairs; received "
            f"{'known pairs without a disease' if known is not None else 'neither'}. Name candidates=, or known= and "
            "disease=."
        )
    upper = {name.upper() for name in asked}
    found = [str(gene) for gene in weights.index if gene.upper() in upper]
    there = {gene.upper() for gene in found}
    absent = [name for name in asked if name.upper() not in there]
    if len(found) < 2:
        turned = sum(str(name).upper() in upper for name in weights.columns) > len(found)
        remedy = "The weights lie the other way round: pass their transpose." if turned else near(absent, weights.index)
        raise ValueError(
            f"two {whose} at least should be among the {len(weights):,} genes of the weights; {len(found):,} of "
            f"{len(asked):,} are (not: {first(absent)}). {remedy}"
        )
    notes = [f"{len(found):,} of {len(asked):,} {whose} are measured."]
    if absent and candidates is not None:
        notes = [f"{notes[0][:-1]}; not: {first(absent)}. {near(absent, weights.index)}"]
    return found, notes


def is_known(pairs: pd.DataFrame, known: pd.DataFrame, disease: str, genes: Sequence[str]) -> pd.Series:
    """Whether each row of ``pairs`` (``gene_a, gene_b``, of ``genes``, in any case) is a known pair of the disease."""
    truth = known_matrix(of_disease(known, disease)[0], genes)
    places = pd.Index([gene.upper() for gene in genes])
    rows, columns = (places.get_indexer(pairs[name].str.upper()) for name in ("gene_a", "gene_b"))
    return pd.Series(truth[rows, columns], index=pairs.index)
