"""GDSC: fitted dose responses, expression arrays and binary event matrices, in their official layouts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.checks import first
from galenic.data.numbers import as_numbers
from galenic.data.read.columns import CELL, as_ids, find, plain
from galenic.data.read.layout import files_by_layout, layout_of, only, peek
from galenic.data.read.matrices import Source, matrix
from galenic.data.read.response import Repeats, TableSource, as_table, response_data
from galenic.data.read.tables import table
from galenic.data.response import ResponseData

GDSC_CELL = ("COSMIC_ID", "SANGER_MODEL_ID", "CELL_LINE_NAME")
GDSC_DRUG = ("DRUG_ID", "DRUG_NAME")


def gdsc(
    response: TableSource,
    *,
    expression: Source | None = None,
    mutation: Source | None = None,
    methylation: Source | None = None,
    drugs: TableSource | None = None,
    cells: TableSource | None = None,
    unit: str | None = None,
    repeats: Repeats = "refuse",
    study: str | None = None,
    symbols: Mapping[str, str] | None = None,
) -> ResponseData:
    """The Genomics of Drug Sensitivity in Cancer: response, omics, drugs and cell lines.

    Parameters
    ----------
    response
        Fitted dose responses (``GDSC1_fitted_dose_response``, ``GDSC2_...``; xlsx or CSV), any table with the same
        columns, or a folder whose files are recognised by their content.
    expression
        ``Cell_line_RMA_proc_basalExp`` or any matrix of log expression. Cell lines with several arrays are averaged,
        genes without symbol left out.
    mutation, methylation
        Binary event matrices (0/1): features in rows or columns (``PANCAN_simple_MOBEM``,
        ``METH_CELLLINES_BEMs_PANCAN``), or one event a row (``PANCANCER_Genetic_feature``).
    drugs
        Ids or names, and SMILES: GDSC's own list of compounds has no structures. Without it drugs are those of the
        response table, without structures.
    cells
        Cell line annotation. Without it tissues are the TCGA classes of the response table.
    unit
        ``"auc"`` reads the area under the curve; else ln IC50.
    repeats, study, symbols
        See :func:`galenic.data.read.response_data`.

    Returns
    -------
    ResponseData
        ``obsm["mutation"]`` and ``obsm["methylation"]`` where given; ``pairs["study"]`` is GDSC1 or GDSC2 where stated.

    Raises
    ------
    ValueError
        If a folder holds several candidates for one role, the table has no ids of GDSC, or as for
        :func:`galenic.data.read.response_data`.

    References
    ----------
    Iorio et al., A Landscape of Pharmacogenomic Interactions in Cancer, Cell 2016.

    Examples
    --------
    >>> rows = {"DATASET": "GDSC2", "COSMIC_ID": [683665, 683667], "DRUG_ID": 1003, "DRUG_NAME": "Camptothecin",
    ...         "PUTATIVE_TARGET": "TOP1", "LN_IC50": [-4.1, -2.2], "AUC": [0.61, 0.74]}
    >>> arrays = pd.DataFrame({"GENE_SYMBOLS": ["TP53"], "GENE_title": ["tumor protein p53"],
    ...                        "DATA.683665": [6.5], "DATA.683667": [7.1]})
    >>> gdsc(pd.DataFrame(rows), expression=arrays)
    ResponseData(2 pairs: 2 cells x 1 drug, ln_ic50; expression 1)
    """
    if not isinstance(response, pd.DataFrame) and Path(response).is_dir():
        found = _folder(Path(response), expression, mutation, methylation, drugs, cells)
        response, expression, mutation, methylation, drugs, cells = found
    modalities = {"mutation": mutation, "methylation": methylation}
    frame = as_table(response)
    _require_gdsc(frame)
    if unit is None and any(plain(column) == "lnic50" for column in frame.columns):
        unit = "ln_ic50"
    return response_data(
        frame,
        expression=None if expression is None else gdsc_expression(expression),
        modalities={name: events(source) for name, source in modalities.items() if source is not None},
        drugs=drugs,
        cells=cells,
        unit=unit,
        repeats=repeats,
        study=study,
        symbols=symbols,
        missing="drop",
    )


def _require_gdsc(frame: pd.DataFrame) -> None:
    """Raise ``ValueError`` unless cells and drugs go by ids or names that GDSC uses."""
    lacking = [
        f"{what} ({first(names)})"
        for what, names in (("a cell", GDSC_CELL), ("a drug", GDSC_DRUG))
        if not find(frame.columns, names)
    ]
    if lacking:
        raise ValueError(
            f"a GDSC table should have columns for {' and '.join(lacking)}; it has {first(frame.columns, 8)}. "
            "Read it as a plain table with response_data (--layout tables), or with the reader of its own layout, such "
            "as prism (--layout prism)."
        )


def gdsc_expression(source: Source) -> pd.DataFrame | AnnData:
    """Array expression, cells x genes; AnnData stays as it is. Lines that were hybridised twice are averaged."""
    return source if isinstance(source, AnnData) else matrix(source, repeats="mean")


def events(source: Source) -> pd.DataFrame:
    """A matrix of events, cells x features, 0 or 1.

    Parameters
    ----------
    source
        A matrix in either orientation, or one row an event: columns ``genetic_feature``, ``is_mutated`` and an id of
        the cell; or ``V1`` (cell), ``V2`` (feature), ``V3`` (0/1).

    Raises
    ------
    ValueError
        If a value is neither 0 nor 1, or a column is missing.

    Examples
    --------
    >>> rows = pd.DataFrame({"V1": [1, 1, 2, 2], "V2": ["a", "b", "a", "b"], "V3": [0, 1, 1, 0]})
    >>> events(rows).to_numpy().tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    frame = _long(source)
    found = matrix(source) if frame is None else frame
    known = found.to_numpy()
    known = known[~np.isnan(known)]
    wrong = known[(known != 0) & (known != 1)]
    if wrong.size:
        raise ValueError(
            f"an event matrix should hold 0 and 1; {wrong.size:,} values are neither (first: {first(wrong)}). "
            "Binarise it, or read it as a modality of numbers with response_data(modalities=...) (--modality)."
        )
    return found


def _long(source: Source) -> pd.DataFrame | None:
    """Rows of events as a matrix; ``None`` if ``source`` is a matrix already."""
    if isinstance(source, AnnData):
        return None
    if layout_of(source.head(20) if isinstance(source, pd.DataFrame) else peek(source)) != "long events":
        return None
    frame = source if isinstance(source, pd.DataFrame) else table(source)
    by_name = {plain(column): column for column in frame.columns}
    if "v3" in by_name:
        cell, feature, value = (by_name[name] for name in ("v1", "v2", "v3"))
    else:
        ids = find(frame.columns, [alias for alias in CELL if "cosmic" in alias]) or find(frame.columns, CELL)
        if not ids:
            raise ValueError(
                f"a table of events needs a column with the id of the cell, such as 'cosmic_sample_id'; it has "
                f"{first(frame.columns, 8)}. Rename one."
            )
        cell, feature, value = ids[0], by_name["geneticfeature"], by_name["ismutated"]
    numbers = as_numbers(frame[value])
    text = frame[value][numbers.isna() & frame[value].notna()]
    if len(text):
        raise ValueError(
            f"column {value!r} of a table of events should hold 0 and 1; {len(text):,} rows hold text "
            f"(first: {first(text)}). Write 1 where the event is there and 0 where it is not."
        )
    rows = pd.DataFrame({"cell": as_ids(frame[cell]), "feature": frame[feature].astype(str), "value": numbers})
    # The largest, because one line may list the same event from two sources.
    found = rows.pivot_table("value", index="cell", columns="feature", aggfunc="max")
    return found.astype(np.float32).rename_axis(index=None)


def _folder(
    folder: Path,
    expression: Source | None,
    mutation: Source | None,
    methylation: Source | None,
    drugs: TableSource | None,
    cells: TableSource | None,
) -> tuple[Path, Source | None, Source | None, Source | None, TableSource | None, TableSource | None]:
    """The files of a folder by their role; what the user named stays."""
    found = files_by_layout(folder, ["response", "expression", "events", "long events", "drugs", "cells"])
    response = only(found["response"], "responses", folder, "response")
    if response is None:
        raise ValueError(
            f"{folder} should hold a table of responses (COSMIC_ID, DRUG_ID, LN_IC50, ...); none of its "
            f"{sum(map(len, found.values()))} tables is one. Name the file."
        )
    matrices = [*found["events"], *found["long events"]]
    is_methylation = {path: _is_methylation(path) for path in matrices}
    if expression is None:
        expression = only(found["expression"], "expression", folder, "expression")
    if mutation is None:
        mutation = only([path for path in matrices if not is_methylation[path]], "mutations", folder, "mutation")
    if methylation is None:
        methylation = only([path for path in matrices if is_methylation[path]], "methylation", folder, "methylation")
    if drugs is None:
        drugs = only(found["drugs"], "drugs", folder, "drugs")
    if cells is None:
        cells = only(found["cells"], "cell lines", folder, "cells")
    return response, expression, mutation, methylation, drugs, cells


def _is_methylation(path: Path) -> bool:
    """Are most features of an event matrix CpG islands (``chr1:...``, ``..._HypMET``)?"""
    rows = peek(path)
    candidates = [*map(str, rows.columns), *rows.iloc[:, :3].astype(str).to_numpy().ravel()]
    features = [name for name in candidates if not name.replace(".", "").isdecimal()]
    marks = [name.startswith("chr") or name.lower().endswith(("_hypmet", "_meth")) for name in features]
    return sum(marks) > 0.5 * len(features)
