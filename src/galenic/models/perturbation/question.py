"""What is asked of a model of perturbations: conditions, controls of their contexts, and what may be read besides."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.checks import first, require_columns, require_unique
from galenic.data.condition_means import ConditionMeans, condition_means
from galenic.data.gctx.metadata import as_text
from galenic.data.genes import clean_names
from galenic.data.numbers import as_numbers
from galenic.data.perturbation import (
    CONTROLS,
    PerturbationColumns,
    parts_of,
    perturbation_columns,
    same_perturbation,
)
from galenic.work.near import nearest_name

LEAST = 0.8
"""Share of the genes of a model that cells need to have."""


@dataclass(frozen=True, eq=False)
class Question:
    """Conditions that are asked, and what the cells given with them may say.

    Parameters
    ----------
    table
        One row an asked condition: ``context, perturbation``, (``dose``); index = ``context|perturbation(|dose)``.
    columns
        What the table of the cells says.
    readable
        bool, ``(n_rows,)``: controls, and sources: profiles of asked perturbations in conditions that neither the fit
        knows nor anybody asks for. No other row is ever looked at.
    means
        Means of what is readable, genes in the order of the fit; conditions that are not have ``n_cells = 0``.
    context
        Code of each asked condition's context in ``means.contexts``, ``(n_asked,)``.
    """

    table: pd.DataFrame
    columns: PerturbationColumns
    readable: np.ndarray
    means: ConditionMeans
    context: np.ndarray

    @property
    def controls(self) -> np.ndarray:
        """Mean of the controls of each asked condition's context, ``(n_asked, n_genes)``."""
        result: np.ndarray = self.means.control_means[self.context]
        return result


def ask(
    adata: AnnData,
    conditions: pd.DataFrame | None,
    spec: dict[str, Any],
    typical: np.ndarray,
    *,
    unknown: Literal["refuse", "keep"] = "refuse",
    non_negative: bool = False,
) -> Question:
    """Check what is asked and read what may be read.

    Parameters
    ----------
    adata
        Cells with the controls of the asked contexts. Not changed.
    conditions
        Columns ``context, perturbation`` and, for a model of doses, ``dose``; None = all that ``adata`` holds.
    spec
        Of the fitted model.
    typical
        Value of each gene where the cells lack it, ``(n_genes,)``.
    unknown
        What to do about perturbations that neither the fit nor the cells name.
    non_negative
        Refuse values below 0.

    Raises
    ------
    ValueError
        If conditions lack a column, repeat, are of a context without controls or of an unknown perturbation; or genes
        are missing.
    """
    by_dose = spec["dose"] is not None
    columns = perturbation_columns(
        adata,
        context=spec["context"],
        perturbation=spec["perturbation"],
        control=spec["control"],
        dose=spec["dose"] or "dose",
        without_controls="keep",
    )
    held, codes = columns.conditions(by_dose=by_dose)
    table = held.drop(columns="n_cells") if conditions is None else _checked(conditions, by_dose)
    _require_controls(table, columns)
    if unknown == "refuse":
        _require_named(table, columns, spec)
    asked, own = set(condition_keys(table)), condition_keys(held)
    known = set(condition_keys(fitted_table(spec)))
    old_contexts, old_perturbations = {key[0] for key in known}, {key[1] for key in known}
    wanted = {key[1] for key in asked} | {part for name in table["perturbation"] for part in parts_of(name)}
    # Of a perturbation and a context that were both fitted, the fit has said what there is to say.
    source = [
        key not in asked
        and key[1] in wanted
        and key not in known
        and (key[1] not in old_perturbations or key[0] not in old_contexts)
        for key in own
    ]
    readable = columns.is_control | np.r_[np.array(source, dtype=bool), False][codes]
    places = _places(adata, spec["genes"])
    means = condition_means(
        adata,
        columns,
        rows=readable,
        genes=None if np.array_equal(places, np.arange(adata.n_vars)) else places[places >= 0],
        by_dose=by_dose,
        non_negative=non_negative,
    )
    means = _spread(means, places, typical)
    context = pd.Index(columns.contexts).get_indexer(pd.Index(table["context"]))
    return Question(table.set_axis(_ids(table), axis=0), columns, readable, means, np.asarray(context))


def condition_keys(table: pd.DataFrame) -> list[tuple[str, str, float]]:
    """What makes two conditions one: context, perturbation in any spelling, dose to six digits (-1 = none)."""
    doses = table["dose"].to_numpy(dtype=float) if "dose" in table else np.full(len(table), np.nan)
    doses = np.array([float(f"{dose:.6g}") for dose in np.nan_to_num(doses, nan=-1.0)])
    names = [same_perturbation(name) for name in table["perturbation"]]
    return list(zip(table["context"].tolist(), names, doses.tolist(), strict=True))


def fitted_table(spec: dict[str, Any]) -> pd.DataFrame:
    """The conditions that a model was fitted on."""
    table = pd.DataFrame(spec["conditions"], columns=["context", "perturbation"])
    return table if spec["dose"] is None else table.assign(dose=[np.nan if d is None else d for d in spec["doses"]])


def _checked(conditions: pd.DataFrame, by_dose: bool) -> pd.DataFrame:
    columns = ["context", "perturbation", *(["dose"] if by_dose else [])]
    if not isinstance(conditions, pd.DataFrame):
        raise TypeError(
            f"conditions should be a DataFrame with the columns {', '.join(columns)}; received "
            f"{type(conditions).__name__}. Build one: pd.DataFrame({{'context': [...], 'perturbation': [...]}})."
        )
    require_columns(conditions, columns, "the table of conditions that are asked")
    table = pd.DataFrame({name: as_text(conditions[name]) for name in columns[:2]})
    if by_dose:
        table["dose"] = as_numbers(conditions["dose"], strict=True).to_numpy(dtype=float)
    empty = (table[columns[:2]] == "").any(axis=1).to_numpy()
    if not len(table) or empty.any():
        raise ValueError(
            f"one condition or more should be asked, each with context and perturbation; {int(empty.sum()):,} of "
            f"{len(table):,} lack one. Fill or leave out those rows, or give conditions=None for all of adata."
        )
    keys = pd.Series(condition_keys(table))
    if keys.duplicated().any():
        twice = pd.Series(_ids(table))[keys.duplicated()]
        raise ValueError(
            f"every condition should be asked once; {len(twice):,} of {len(table):,} repeat (first: {first(twice)}). "
            "Leave the repeats out; A+B and B+A are one."
        )
    controls = table["perturbation"].str.casefold().isin({label.casefold() for label in CONTROLS})
    if controls.any():
        raise ValueError(
            f"conditions that are asked should be treated; {int(controls.sum()):,} of {len(table):,} are controls "
            f"(first: {first(table['perturbation'][controls])}), which adata itself gives. Leave them out."
        )
    return table


def _require_controls(table: pd.DataFrame, columns: PerturbationColumns) -> None:
    have = np.unique(columns.context[columns.is_control])
    known = [columns.contexts[code] for code in have]
    lacking = sorted(set(table["context"]) - set(known))
    if lacking:
        raise ValueError(
            f"adata should hold controls of every context that is asked; of {len(lacking):,} there are none (first: "
            f"{first(lacking)}; adata has those of {first(known, 5)}){nearest_name(lacking[0], known)} Add controls of "
            "these contexts, or correct their names."
        )


def _require_named(table: pd.DataFrame, columns: PerturbationColumns, spec: dict[str, Any]) -> None:
    """Refuse what nobody has heard of: it is more often a slip than a question."""
    names = [*fitted_table(spec)["perturbation"], *columns.perturbations]
    known = {part for name in names for part in parts_of(str(name))} | set(spec.get("factor_names", ()))
    asked = {part: None for name in table["perturbation"] for part in parts_of(name)}
    strange = [part for part in asked if part not in known]
    if strange:
        raise ValueError(
            f"perturbations that are asked should be named in the fit or in adata; {len(strange):,} are not (first: "
            f"{first(strange)}){nearest_name(strange[0], known)} Correct the names, give a profile of them in another "
            "context, or pass unknown='keep' for the usual effect of the context."
        )


def _ids(table: pd.DataFrame) -> list[str]:
    ids = [f"{context}|{name}" for context, name in zip(table["context"], table["perturbation"], strict=True)]
    return [f"{id_}|{dose:g}" for id_, dose in zip(ids, table["dose"], strict=True)] if "dose" in table else ids


def _places(adata: AnnData, genes: Sequence[str]) -> np.ndarray:
    """Column of each gene of the fit, -1 where it is missing."""
    require_unique(adata.var_names, "genes of adata")
    places = pd.Index(clean_names(adata.var_names)).get_indexer(pd.Index(clean_names(genes)))
    missing = np.array(genes)[places < 0]
    if len(missing) > (1 - LEAST) * len(genes):
        raise ValueError(
            f"adata should have at least {LEAST:.0%} of the {len(genes):,} genes of the fit; {len(missing):,} are "
            f"missing (first: {first(missing)}; adata names its genes {first(adata.var_names)}). Use the same kind of "
            "names as at fitting."
        )
    if len(missing):
        warnings.warn(
            f"{len(missing):,} of {len(genes):,} genes of the fit are missing from adata (first: {first(missing)}); "
            "each is taken at its mean over the fitted controls.",
            stacklevel=4,
        )
    return np.asarray(places)


def _spread(means: ConditionMeans, places: np.ndarray, typical: np.ndarray) -> ConditionMeans:
    """The same means with a column for every gene of the fit."""
    found = places >= 0
    if found.all():
        return means

    def wide(values: np.ndarray) -> np.ndarray:
        result = np.tile(typical.astype(np.float64), (len(values), 1))
        result[:, found] = values
        return result

    return ConditionMeans(
        means.table, wide(means.means), means.contexts, wide(means.control_means), means.control_counts
    )
