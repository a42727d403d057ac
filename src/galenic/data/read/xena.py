"""TCGA expression as UCSC Xena and the GDC hub publish it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.checks import first
from galenic.data.genes import standardise_genes
from galenic.data.read.coverage import coverage_table, step
from galenic.data.read.matrices import Source, matrix, to_anndata

PRIMARY = ("01", "03", "09")
"""Sample types of primary tumours: solid, from peripheral blood, from bone marrow."""
LARGEST_LOG = 30.0


def xena(
    path: Source,
    *,
    primary_only: bool = True,
    patients: bool = False,
    symbols: Mapping[str, str] | None = None,
) -> AnnData:
    """Expression of TCGA samples, log2(x + 1).

    Parameters
    ----------
    path
        Genes x samples (``TCGA-XX-XXXX-01A``): ``TCGA-*.htseq_fpkm.tsv.gz``, ``TCGA-*.star_tpm.tsv.gz``, ``HiSeqV2``.
    primary_only
        Keep only samples of primary tumours (types 01, 03 and 09); not normal tissue, metastases or recurrences.
    patients
        Name samples by patient (``TCGA-XX-XXXX``). Of several samples of a patient the first in alphabetical order is
        kept, which is a primary one and the first vial.
    symbols
        Ensembl id to symbol, for files with Ensembl ids; versions do not matter.

    Returns
    -------
    AnnData
        ``obs_names`` = barcodes, ``obs``: ``patient``, ``sample_type`` (two digits), ``barcode``; ``uns["coverage"]``:
        what was dropped and why.

    Raises
    ------
    ValueError
        If the samples are not TCGA barcodes, or none is left.

    Warns
    -----
    UserWarning
        If values look unlogged, or the genes stay Ensembl ids.

    Examples
    --------
    >>> rows = {"sample": ["TP53", "EGFR"], "TCGA-02-0001-01": [9.1, 8.0], "TCGA-02-0001-11": [8.0, 7.5]}
    >>> xena(pd.DataFrame(rows), patients=True).obs_names.tolist()
    ['TCGA-02-0001']
    """
    frame = matrix(path)
    is_barcode = frame.index.str.match(r"^TCGA-\w{2}-\w{4}-\d{2}")
    if not is_barcode.all():
        raise ValueError(
            f"samples should be TCGA barcodes such as 'TCGA-02-0001-01A'; {int((~is_barcode).sum()):,} of "
            f"{len(frame):,} are not (first: {first(frame.index[~is_barcode])}). "
            "Read other data with galenic.data.read.matrix."
        )
    steps = [step("samples", len(frame), 0, "read")]
    frame = frame.sort_index()
    if primary_only:
        primary = frame.index.str[13:15].isin(PRIMARY)
        why = f"not of a primary tumour (types {', '.join(PRIMARY)})"
        steps.append(step("primary tumours", int(primary.sum()), int((~primary).sum()), why, frame.index[~primary]))
        frame = frame[primary]
    if patients:
        again = frame.index.str[:12].duplicated()
        why = "further samples of a patient; the first is kept"
        steps.append(step("patients", int((~again).sum()), int(again.sum()), why, frame.index[again]))
        frame = frame[~again]
    if frame.empty:
        raise ValueError(
            f"some samples of primary tumours should be left; all {steps[0]['kept']:,} are of other types "
            f"({steps[1]['examples']}). Read them with primary_only=False."
        )
    frame, genes = standardise_genes(frame, symbols=symbols)
    if symbols is None and frame.columns.str.startswith("ENSG").mean() > 0.5:
        warnings.warn(
            f"the genes are Ensembl ids (first: {first(frame.columns)}), while models are mostly fitted on symbols. "
            "Give symbols= (--symbols), Ensembl id to symbol, to translate them.",
            stacklevel=2,
        )
    highest = float(np.nanmax(frame.to_numpy(), initial=0.0))
    if highest > LARGEST_LOG:
        warnings.warn(f"expression should be log2(x + 1); it reaches {highest:,.0f}. Take the logarithm.", stacklevel=2)
    barcodes = frame.index
    frame = frame.set_axis(barcodes.str[:12], axis=0) if patients else frame
    obs = pd.DataFrame({"patient": barcodes.str[:12], "sample_type": barcodes.str[13:15], "barcode": barcodes})
    adata = to_anndata(frame, obs.set_axis(frame.index, axis=0))
    adata.uns["coverage"] = pd.concat([coverage_table(steps), genes], ignore_index=True)
    return adata
