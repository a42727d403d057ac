"""Which cell was treated with what, where: the columns of perturbation data, whatever they are called."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.checks import first
from galenic.data.gctx.metadata import as_text
from galenic.data.numbers import as_numbers
from galenic.work.near import nearest_name

ALIASES: dict[str, tuple[str, ...]] = {
    "cell_type": ("cell_line", "cell_id", "cell_iname", "cell"),
    "perturbation": ("condition", "target_gene", "gene", "drug", "product_name", "pert_id", "pert_iname"),
    "dose": ("pert_dose",),
    "time": ("time_h", "pert_time"),
}
"""Where a column of the default name is absent, the first of these that is there."""
CONTROLS = ("control", "ctrl", "DMSO", "vehicle", "non-targeting", "NT")
"""Names of controls among perturbations, in any case."""
YES, NO = frozenset({"true", "1"}), frozenset({"false", "0"})
Severity = Literal["keep", "warn", "refuse"]


@dataclass(frozen=True, eq=False)
class PerturbationColumns:
    """What the columns of ``obs`` say of every row, as codes.

    Parameters
    ----------
    contexts, perturbations
        Names in sorted order; controls are no perturbation. ``A+B`` and ``B+A`` are one, named as the first of the two.
    context, perturbation
        Their codes, ``(n_rows,)``; perturbation is -1 in controls.
    is_control
        bool, ``(n_rows,)``.
    dose, time
        float64, ``(n_rows,)``, to six digits, NaN where missing; None where there is no column of numbers.
    parts
        For each perturbation what it is made of: one name, or those of a combination; controls left out.
    names
        The columns that were read: ``context``, ``perturbation``, ``control`` and, where there, ``dose`` and ``time``.
    """

    contexts: tuple[str, ...]
    perturbations: tuple[str, ...]
    context: np.ndarray
    perturbation: np.ndarray
    is_control: np.ndarray
    dose: np.ndarray | None
    time: np.ndarray | None
    parts: tuple[tuple[str, ...], ...]
    names: dict[str, str]

    def __len__(self) -> int:
        return len(self.context)

    def conditions(self, *, by_dose: bool = False) -> tuple[pd.DataFrame, np.ndarray]:
        """The treated conditions in sorted order, and that of each row.

        Parameters
        ----------
        by_dose
            Are doses conditions of their own?

        Returns
        -------
        table : DataFrame
            Columns ``context, perturbation``, with ``by_dose`` also ``dose``, and ``n_cells``.
        codes : ndarray, (n_rows,)
            Row of the table; -1 for controls.
        """
        dose = self.dose if by_dose and self.dose is not None else np.full(len(self), np.nan)
        # NaN is a dose like any other here: numbers of distinct values compare where NaN does not.
        levels, level = np.unique(dose, return_inverse=True)
        keys = np.stack([self.context, self.perturbation, level], axis=1)[~self.is_control]
        found, own, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
        codes = np.full(len(self), -1)
        codes[~self.is_control] = own.ravel()
        table = pd.DataFrame(
            {
                "context": np.array(self.contexts, dtype="object")[found[:, 0]],
                "perturbation": np.array(self.perturbations, dtype="object")[found[:, 1]],
            }
        )
        if by_dose:
            table["dose"] = levels[found[:, 2]]
        return table.assign(n_cells=counts), codes


def perturbation_columns(
    adata: AnnData,
    *,
    context: str = "cell_type",
    perturbation: str = "perturbation",
    control: str = "control",
    dose: str = "dose",
    without_controls: Severity = "refuse",
    in_one_context: Severity = "keep",
) -> PerturbationColumns:
    """Read the columns that say which row was treated with what, where.

    Parameters
    ----------
    adata
        Cells or profiles x genes; only ``obs`` is read.
    context, perturbation
        Columns of ``obs``; where a default name is absent its :data:`ALIASES` are looked for.
    control
        A column of true and false, or the name of the controls among the perturbations; where the default is neither,
        one of :data:`CONTROLS` is looked for.
    dose
        A column of numbers; where it is absent, or not numbers, there are no doses.
    without_controls
        What to do about contexts that have no control.
    in_one_context
        What to do about perturbations that were measured in one context only: nothing can be transferred.

    Raises
    ------
    ValueError
        If a column is missing, a row lacks its context or perturbation, nothing marks the controls, or one of the
        two cases above is refused.

    Warns
    -----
    UserWarning
        If one of the two cases above is to be warned of.

    Examples
    --------
    >>> obs = pd.DataFrame({"cell_line": ["A", "A", "B"], "drug": ["DMSO", "x", "DMSO"]}, index=["1", "2", "3"])
    >>> columns = perturbation_columns(AnnData(np.zeros((3, 2), dtype="float32"), obs=obs))
    >>> columns.contexts, columns.perturbations, columns.perturbation.tolist()
    (('A', 'B'), ('x',), [-1, 0, -1])
    """
    names = {
        "context": _column(adata.obs, context, "cell_type", "context"),
        "perturbation": _column(adata.obs, perturbation, "perturbation", "perturbation"),
    }
    where, what = as_text(adata.obs[names["context"]]), as_text(adata.obs[names["perturbation"]])
    is_control, names["control"] = _controls(adata.obs, what, control, names["perturbation"])
    for key, texts in (("context", where), ("perturbation", np.where(is_control, "control", what))):
        _require_filled(texts, adata.obs_names, key, names[key])
    contexts, context_codes = np.unique(where.astype(str), return_inverse=True)
    labels = {str(label) for label in what[is_control]}
    perturbations, parts, codes = _perturbations(what, is_control, labels)
    numbers = {key: _numbers(adata.obs, name, key) for key, name in (("dose", dose), ("time", "time"))}
    columns = PerturbationColumns(
        tuple(map(str, contexts)),
        perturbations,
        context_codes,
        codes,
        is_control,
        numbers["dose"][0],
        numbers["time"][0],
        parts,
        names | {key: name for key, (_, name) in numbers.items() if name},
    )
    _judge_controls(columns, without_controls)
    _judge_single(columns, in_one_context)
    return columns


def parts_of(name: str, controls: Iterable[str] = ()) -> tuple[str, ...]:
    """What a combination ``A+B`` is made of, in its order; any other name is one part.

    Controls in a combination (``A+ctrl``) are left out. Names such as ``(+)-JQ1`` and ``NAD+`` are no combinations.

    Examples
    --------
    >>> parts_of("KLF1+SET"), parts_of("KLF1+ctrl"), parts_of("(+)-JQ1")
    (('KLF1', 'SET'), ('KLF1',), ('(+)-JQ1',))
    """
    pieces = [piece.strip() for piece in name.split("+")]
    if len(pieces) == 1 or not all(piece and piece.count("(") == piece.count(")") for piece in pieces):
        return (name,)
    blank = {label.casefold() for label in (*CONTROLS, *controls)}
    return tuple(piece for piece in pieces if piece.casefold() not in blank) or (name,)


def same_perturbation(name: str, controls: Iterable[str] = ()) -> str:
    """A key that is equal for all spellings of one perturbation: ``A+B`` and ``B+A``, ``A`` and ``A+ctrl``.

    Examples
    --------
    >>> same_perturbation("SET+KLF1"), same_perturbation("KLF1+ctrl")
    ('KLF1+SET', 'KLF1')
    """
    return "+".join(sorted(parts_of(name, controls)))


def _column(obs: pd.DataFrame, name: str, default: str, what: str) -> str:
    if name in obs:
        return name
    aliases = ALIASES[default] if name == default else ()
    found = next((alias for alias in aliases if alias in obs), None)
    if found is None:
        raise ValueError(
            f"obs should have a column {name!r} that says the {what} of each row; it has {first(obs.columns, 8)}"
            f"{nearest_name(name, map(str, obs.columns))} Name the column with {what}=."
        )
    return found


def _controls(obs: pd.DataFrame, what: np.ndarray, control: str, column: str) -> tuple[np.ndarray, str]:
    """Which rows are controls, and what said so."""
    if control in obs and control != column:
        texts = np.char.lower(as_text(obs[control]).astype(str))
        distinct = set(np.unique(texts).tolist())
        if distinct <= YES | NO:
            return np.isin(texts, sorted(YES)), control
    labels = set(np.unique(what.astype(str)).tolist())
    if control in labels:
        return np.asarray(what == control, dtype=bool), control
    known = {label.casefold() for label in CONTROLS}
    found = sorted(label for label in labels if label.casefold() in known) if control == "control" else []
    if not found:
        raise ValueError(
            f"controls should be marked by a column {control!r} of true and false, or be called so in {column!r}; "
            f"neither is so ({len(labels):,} perturbations, first: {first(sorted(labels))})"
            f"{nearest_name(control, labels)} Name the column, or the control's name, with control=."
        )
    return np.isin(what.astype(str), found), found[0]


def _require_filled(texts: np.ndarray, rows: pd.Index, what: str, column: str) -> None:
    missing = texts == ""
    if missing.any():
        raise ValueError(
            f"every row should have a {what}; {int(missing.sum()):,} of {len(texts):,} have none in {column!r} (first: "
            f"{first(rows[missing])}). Leave them out: adata[adata.obs[{column!r}].notna()]."
        )


def _perturbations(
    what: np.ndarray, is_control: np.ndarray, controls: set[str]
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...], np.ndarray]:
    """Names, parts, and the code of each row; spellings of one perturbation share a code."""
    spellings, own = np.unique(what.astype(str), return_inverse=True)
    treated = np.unique(own[~is_control])
    keys = {code: same_perturbation(str(spellings[code]), controls) for code in treated}
    names: dict[str, str] = {}
    for code in treated:
        names.setdefault(keys[code], str(spellings[code]))
    number = {key: place for place, key in enumerate(names)}
    code_of = np.full(len(spellings), -1)
    for code in treated:
        code_of[code] = number[keys[code]]
    parts = tuple(parts_of(name, controls) for name in names.values())
    return tuple(names.values()), parts, np.where(is_control, -1, code_of[own])


def _numbers(obs: pd.DataFrame, name: str, default: str) -> tuple[np.ndarray | None, str]:
    """A column of numbers and its name; None where there is none."""
    for candidate in (name, *(ALIASES[default] if name == default else ())):
        if candidate not in obs:
            continue
        texts = pd.Series(as_text(obs[candidate]))
        values = as_numbers(texts.where(texts != "")).to_numpy(dtype=np.float64)
        # Doses as text, such as "1+1" of combinations, are no numbers.
        if np.isnan(values).sum() == (texts == "").sum() and not np.isnan(values).all():
            distinct, codes = np.unique(values, return_inverse=True)
            # Six digits: 11.1 stored in single precision is 11.1.
            return np.array([float(f"{value:.6g}") for value in distinct])[codes], candidate
    return None, ""


def _judge_controls(columns: PerturbationColumns, severity: Severity) -> None:
    counts = np.bincount(columns.context[columns.is_control], minlength=len(columns.contexts))
    lacking = np.array(columns.contexts)[counts == 0]
    message = (
        f"every context should have controls; {len(lacking):,} of {len(columns.contexts):,} have none (first: "
        f"{first(lacking)}). Add their controls, or leave these contexts out."
    )
    _act(severity, lacking, message)


def _judge_single(columns: PerturbationColumns, severity: Severity) -> None:
    table, _ = columns.conditions()
    counts = table.groupby("perturbation")["context"].nunique()
    single = counts.index[counts == 1].to_numpy()
    message = (
        f"every perturbation should be measured in two contexts or more, so that its effect can be transferred; "
        f"{len(single):,} of {len(counts):,} are in one only (first: {first(single)}). Leave them out, or add profiles "
        "of them in another context."
    )
    _act(severity, single, message)


def _act(severity: Severity, names: Sequence[str] | np.ndarray, message: str) -> None:
    if severity not in ("keep", "warn", "refuse"):
        raise ValueError(f"one of 'keep', 'warn', 'refuse' is expected; received {severity!r}. Choose one.")
    if len(names) and severity == "refuse":
        raise ValueError(message)
    if len(names) and severity == "warn":
        warnings.warn(message, stacklevel=4)
