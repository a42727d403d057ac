"""The drugs of a response table, with their structures and what else is known of them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from galenic.data.checks import first
from galenic.data.read.columns import DRUG, DRUG_NAME, MOA, SMILES, TARGETS, find
from galenic.data.read.coverage import Step, step
from galenic.data.read.join import best_link, id_columns
from galenic.data.read.tables import without_marks

ROLES = {"smiles": SMILES, "name": DRUG_NAME, "targets": TARGETS, "moa": MOA}


def read_drugs(
    ids: pd.DataFrame,
    response: pd.DataFrame,
    info: pd.DataFrame | None,
    *,
    chosen: str | None,
    steps: list[Step],
) -> tuple[pd.Series, pd.DataFrame]:
    """The id of each row's drug, and the table of drugs.

    Parameters
    ----------
    ids
        The columns of ids of the response table, one row a measurement.
    response
        The response table itself; it stands in where there is no drug table.
    info
        The drug table.
    chosen
        The user's column of drug ids, also looked for in the drug table.
    steps
        Rows of the coverage report are appended.

    Returns
    -------
    ids : Series
        One a measurement, missing where there is none.
    drugs : DataFrame
        Index = ids; ``smiles`` and, where known, ``name, targets, moa``; other columns as they are called.

    Raises
    ------
    ValueError
        If the tables share fewer than 10 % of their drugs, or a drug stands twice.
    """
    if info is None:
        key, source, source_ids = str(ids.columns[0]), response, ids.iloc[:, 0]
        why = f"none given; drugs are the {key} of the response table"
        steps.append(step("drug table", int(source_ids.nunique()), 0, why))
        others: list[str] = []
    else:
        wanted = [*find(info.columns, DRUG), *([chosen] if chosen in info.columns else []), str(info.columns[0])]
        candidates = id_columns(info, list(dict.fromkeys(map(str, wanted))))
        link = best_link(ids, candidates).require(ids, candidates, "the response table", "the drug table")
        key, source, source_ids = link.left, info, candidates[link.right]
        _require_once(source_ids[source_ids.isin(ids[key])], link.right)
        here = int(source_ids.isin(ids[key]).sum())
        why = f"drugs joined by {key} = {link.right}; {len(info) - here:,} drugs of the table have no response"
        steps.append(step("drug table", here, int(ids[key].nunique()) - here, why, _absent(ids[key], source_ids)))
        used = {link.right} | {found for aliases in ROLES.values() for found in find(info.columns, aliases)[:1]}
        others = [str(column) for column in info if column not in used and column not in ROLES]
    named = {role: find(source.columns, aliases) for role, aliases in ROLES.items()}
    known = {role: source[found[0]] for role, found in named.items() if found}
    known = {role: column if role == "name" else without_marks(column) for role, column in known.items()}
    if "smiles" in known:
        known["smiles"] = _first_of_list(known["smiles"])
    drugs = pd.DataFrame(known, index=source.index)
    if "smiles" not in drugs:
        drugs.insert(0, "smiles", pd.Series(np.nan, index=drugs.index, dtype="object"))
    drugs = drugs.join(source[others])[(source_ids.notna() & ~source_ids.duplicated()).to_numpy()]
    return ids[key], drugs.set_axis(pd.Index(source_ids.dropna().drop_duplicates().to_numpy().astype(str)), axis=0)


def unparsable(given: pd.DataFrame, standard: pd.DataFrame) -> pd.Series:
    """The SMILES that were given and have no standard form, by drug id."""
    texts = given["smiles"].dropna()
    return texts[standard["smiles"].reindex(texts.index.astype(str)).isna().to_numpy()]


def named_smiles(bad: pd.Series) -> str:
    """The first drugs of ``bad``, id and SMILES."""
    return ", ".join(f"{drug}: {text!r}" for drug, text in bad.head(3).items()) + (", ..." if len(bad) > 3 else "")


def _absent(ids: pd.Series, known: pd.Series) -> np.ndarray:
    return ids[~ids.isin(known)].dropna().unique()


def _require_once(ids: pd.Series, column: str) -> None:
    twice = ids[ids.duplicated()].dropna().unique()
    if len(twice):
        raise ValueError(
            f"each drug should stand once in the drug table; {len(twice):,} of column {column!r} stand more than once "
            f"(first: {first(twice)}). Keep one row for each, or join by an id that tells them apart."
        )


def _first_of_list(smiles: pd.Series) -> pd.Series:
    """The first of several SMILES, as PRISM lists them; no SMILES has a comma in it."""
    values = [text.split(",")[0].strip() or np.nan if isinstance(text, str) else text for text in smiles]
    return pd.Series(values, index=smiles.index, dtype="object")
