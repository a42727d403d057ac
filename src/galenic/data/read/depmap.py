"""DepMap: expression of cell line models, and the PRISM repurposing screens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import pandas as pd
from anndata import AnnData

from galenic.data.checks import first, require_columns
from galenic.data.genes import standardise_genes
from galenic.data.read.columns import CELL, as_ids, find
from galenic.data.read.coverage import Step, coverage_table, step
from galenic.data.read.matrices import Source, default_entries, merge_rows, read_raw, to_anndata
from galenic.data.read.response import TableSource, as_table, response_data
from galenic.data.response import ResponseData


def depmap_expression(path: Source) -> AnnData:
    """Expression of DepMap models, log2(TPM + 1).

    Parameters
    ----------
    path
        ``OmicsExpressionProteinCodingGenesTPMLogp1`` or ``CCLE_expression``: models x ``SYMBOL (entrez)``. Newer
        releases have several sequencing runs a model; the default entry is kept.

    Returns
    -------
    AnnData
        ``obs_names`` = model ids (``ACH-000001``), ``var_names`` = symbols, ``X`` float32; further ids in ``obs``.

    Raises
    ------
    ValueError
        If a model stands more than once with different values.

    Examples
    --------
    >>> models = pd.DataFrame({"": ["ACH-000001", "ACH-000002"], "TP53 (7157)": [5.0, 0.1]})
    >>> depmap_expression(models).var_names.tolist()
    ['TP53']
    """
    raw = default_entries(read_raw(path))
    names = [*find(raw.labels, CELL), str(raw.labels.columns[0])]
    key = next((name for name in names if as_ids(raw.labels[name]).str.startswith("ACH-").any()), names[0])
    ids = as_ids(raw.labels[key])
    frame, _ = merge_rows(raw.X, ids.to_numpy(), "refuse", raw.name)
    frame.columns = pd.Index(raw.columns)
    frame, _ = standardise_genes(frame)
    others = raw.labels.drop(columns=key).set_axis(pd.Index(ids.astype(str)), axis=0)
    return to_anndata(frame, others[~others.index.duplicated()].reindex(frame.index))


def prism(
    path: TableSource,
    *,
    expression: Source | None = None,
    modalities: Mapping[str, Source] | None = None,
    cells: TableSource | None = None,
    unit: str = "auc",
    repeats: Literal["keep", "mean"] = "mean",
    passed_only: bool = True,
) -> ResponseData:
    """The PRISM secondary screen: fitted dose responses of pooled cell lines.

    Parameters
    ----------
    path
        ``secondary-screen-dose-response-curve-parameters.csv``: one row a curve, with the drug's SMILES.
    expression, modalities, cells
        See :func:`galenic.data.read.response_data`; cells are DepMap ids.
    unit
        ``"auc"`` (fraction of full viability; above 1 where cells grew) or ``"ic50"`` (micromolar, read as ln IC50;
        missing where the curve does not reach 50 %).
    repeats
        Drugs that were screened again with the same cells: their mean, or each, told apart by ``study`` (the screen).
    passed_only
        Leave out curves whose cell line failed STR profiling; the coverage says how many.

    Returns
    -------
    ResponseData
        ``drugs`` by Broad id, with the first SMILES where several are listed.

    Raises
    ------
    ValueError
        If a column is missing, every curve failed, or as for :func:`galenic.data.read.response_data`.

    References
    ----------
    Corsello et al., Discovering the anticancer potential of non-oncology drugs, Nature Cancer 2020.

    Examples
    --------
    >>> rows = {"broad_id": "BRD-K1", "depmap_id": ["ACH-000001", "ACH-000002"], "auc": [0.7, 1.1], "ic50": [0.2, None],
    ...         "name": "ethanol", "smiles": "CCO, OCC", "passed_str_profiling": True}
    >>> prism(pd.DataFrame(rows))
    ResponseData(2 pairs: 2 cells x 1 drug, auc; )
    """
    if repeats not in ("keep", "mean"):
        raise ValueError(f"repeats should be 'keep' or 'mean'; received {repeats!r}. Choose one.")
    frame = as_table(path)
    require_columns(frame, ["broad_id", "depmap_id", "ic50" if unit != "auc" else "auc"], "the PRISM table")
    steps: list[Step] = []
    if passed_only and "passed_str_profiling" in frame:
        passed = frame["passed_str_profiling"].astype(str).str.lower().isin(["true", "1", "1.0"])
        failed = frame.loc[~passed, "depmap_id"].dropna().astype(str).unique()
        if not passed.any():
            raise ValueError(
                f"some curves should have passed STR profiling; none of {len(frame):,} did "
                f"(first cells: {first(failed)}). Read them with passed_only=False."
            )
        steps.append(step("STR profiling", passed.sum(), (~passed).sum(), "the cell line did not pass it", failed))
        frame = frame[passed]
    data = response_data(
        frame,
        expression=expression,
        modalities=modalities,
        cells=cells,
        unit=unit,
        columns={"study": None} if repeats == "mean" else None,
        repeats="mean",
        missing="drop",
    )
    if not steps:
        return data
    return replace(data, coverage=pd.concat([coverage_table(steps), data.coverage], ignore_index=True))
