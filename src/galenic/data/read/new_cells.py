"""New cells, to be predicted: a matrix and no responses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd
from anndata import AnnData

from galenic.data.checks import first, require_unique
from galenic.data.drugs import standardise
from galenic.data.read.columns import DRUG, find
from galenic.data.read.drug_table import named_smiles, read_drugs, unparsable
from galenic.data.read.files import kind_of_file
from galenic.data.read.folder import read_folder
from galenic.data.read.join import id_columns
from galenic.data.read.layout import layout_of, peek
from galenic.data.read.matrices import Source, matrix
from galenic.data.read.response import TableSource, as_table, response_data
from galenic.data.read.tables import with_index_as_column
from galenic.data.response import ResponseData, empty_coverage


def cells_to_predict(
    source: Source,
    *,
    modalities: Mapping[str, Source] | None = None,
    cells: TableSource | None = None,
    drugs: TableSource | None = None,
    known: pd.DataFrame | None = None,
    symbols: Mapping[str, str] | None = None,
) -> ResponseData:
    """Every cell of a matrix with every drug, without responses.

    Parameters
    ----------
    source
        Expression of the new cells (file, DataFrame, AnnData), or a data folder, whose cells are then taken.
    modalities, cells, symbols
        Further matrices, the table of the cells and the symbols of gene ids, as in
        :func:`galenic.data.read.response_data`.
    drugs
        Table of drugs with SMILES; ``known`` where absent.
    known
        Drugs as a fitted model holds them (``model.drugs_``): index = id; ``smiles``, ``structure``, ``name``.

    Returns
    -------
    ResponseData
        The full grid of cells x drugs.

    Raises
    ------
    ValueError
        If neither ``drugs`` nor ``known`` is given, the matrix cannot be read or is a response table, or a SMILES of
        ``drugs`` does not parse.

    Examples
    --------
    >>> genes = pd.DataFrame({"TP53": [1.0, 2.0], "EGFR": [3.0, 4.0]}, index=["patient 1", "patient 2"])
    >>> drugs = pd.DataFrame({"drug": ["aspirin"], "smiles": ["CC(=O)Oc1ccccc1C(=O)O"]})
    >>> cells_to_predict(genes, drugs=drugs)
    ResponseData(2 pairs: 2 cells x 1 drug, ln_ic50; expression 2)
    """
    if drugs is None and known is None:
        raise ValueError("predicting needs drugs: a table with a SMILES column, or those of a fitted model. Name one.")
    if isinstance(source, (str, Path)) and Path(source).is_dir():
        data = read_folder(source)
    else:
        _require_matrix(source)
        data = _from_matrix(source, modalities, cells, symbols)
    asked, coverage = (known, empty_coverage()) if drugs is None else _drugs(drugs)
    coverage = pd.concat([table for table in (data.coverage, coverage) if len(table)] or [coverage], ignore_index=True)
    return replace(data, pairs=data.pairs.iloc[:0], drugs=asked, coverage=coverage).grid()


def _require_matrix(source: Source) -> None:
    """Raise ``ValueError`` if ``source`` is a table of responses."""
    if isinstance(source, AnnData) or (not isinstance(source, pd.DataFrame) and kind_of_file(source) == "h5ad"):
        return
    rows = with_index_as_column(source.head(20)) if isinstance(source, pd.DataFrame) else peek(source)
    if layout_of(rows) == "response":
        raise ValueError(
            "new cells should come as a matrix of expression, cells x genes; this is a response table, a matrix of "
            f"expression is expected (columns: {first(rows.columns, 6)}). Name the matrix; which drugs to predict is "
            "said with drugs= (--drugs)."
        )


def _from_matrix(
    source: Source,
    modalities: Mapping[str, Source] | None,
    cells: TableSource | None,
    symbols: Mapping[str, str] | None,
) -> ResponseData:
    ids = source.obs_names if isinstance(source, AnnData) else matrix(source).index
    pairs = pd.DataFrame({"cell": ids.astype(str), "drug": "any"})
    data = response_data(
        pairs,
        expression=source,
        modalities=modalities,
        cells=cells,
        columns={"response": None},
        unit="ln_ic50",
        symbols=symbols,
    )
    about_the_placeholder = data.coverage["step"].isin(["drug table", "pairs", "no structure"])
    return replace(data, coverage=data.coverage[~about_the_placeholder].reset_index(drop=True))


def _drugs(source: TableSource) -> tuple[pd.DataFrame, pd.DataFrame]:
    table = as_table(source)
    key = str([*find(table.columns, DRUG), table.columns[0]][0])
    ids = id_columns(table, [key])
    require_unique(pd.Index(ids[key].dropna()), "drug ids")
    _, drugs = read_drugs(ids, table, None, chosen=None, steps=[])
    standard, coverage = standardise(drugs)
    bad = unparsable(drugs, standard)
    if len(bad):
        raise ValueError(
            f"every SMILES of the drugs should parse; {len(bad):,} of {int(drugs['smiles'].notna().sum()):,} do not "
            f"({named_smiles(bad)}). Correct them in the table of drugs= (--drugs), or remove those drugs."
        )
    return standard, coverage
