"""The settings of scFoundation that change its numbers; reading them needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple, get_args

Kind = Literal["single_cell", "bulk"]
Pool = Literal["all", "max"]
Precision = Literal["float32", "bfloat16"]


class Depth(NamedTuple):
    """What the token T says: ``how`` is ``t``, ``f`` or ``a``."""

    how: str
    value: float


@dataclass(frozen=True, kw_only=True)
class ScFoundationFields:
    """How cells are given to scFoundation and what is taken of its answer.

    Parameters
    ----------
    kind
        single_cell: each cell is scaled to 10,000 counts; bulk: each sample is scaled to one total of all samples.
    depth
        What the model is told to read the cell up to (token T), of single cells. t4: 10 to the 4 counts; f1: one time
        the counts that the cell has; a5: 5 more in log10 than it has.
    pool
        all: vectors of the two depth tokens, maximum and mean over genes, one after the other; max: maximum over all.
    pre_normalised
        The values are log(1 + counts per 10,000) already (single cells), or log values of bulk.
    total_counts
        Column of obs with the counts of each cell, which logged values no longer tell; only with pre_normalised.
    target_sum
        Total that bulk samples are scaled to; by default the median of the samples, as published, so that a sample's
        vector depends on its company.
    min_genes
        Cells with fewer genes above 0, of those that the model knows, are not encoded (rows of NaN); 0 keeps all that
        have one.
    precision
        float32, or bfloat16: faster where the device has it, right to about three digits.
    """

    kind: Kind = "single_cell"
    depth: str = "t4"
    pool: Pool = "all"
    pre_normalised: bool = False
    total_counts: str | None = None
    target_sum: float | None = None
    min_genes: int = 200
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        choices = {"kind": Kind, "pool": Pool, "precision": Precision}
        for name, allowed in choices.items():
            _require(self, name, getattr(self, name) in get_args(allowed), f"one of {get_args(allowed)}")
        _require(self, "pre_normalised", isinstance(self.pre_normalised, bool), "True or False")
        whole = isinstance(self.min_genes, int) and not isinstance(self.min_genes, bool)
        _require(self, "min_genes", whole and self.min_genes >= 0, "a whole number of 0 or more")
        total = self.target_sum
        number = total is None or (isinstance(total, (int, float)) and math.isfinite(total) and total > 0)
        _require(self, "target_sum", number, "a number above 0, or None")
        depth(self.depth)
        self._check_together()

    def _check_together(self) -> None:
        bulk, given = self.kind == "bulk", self.total_counts is not None
        if self.target_sum is not None and (not bulk or self.pre_normalised):
            raise ValueError(
                "target_sum is for counts of bulk samples; received "
                f"kind={self.kind!r}, pre_normalised={self.pre_normalised}. Leave it out: single cells are scaled to "
                "10,000, and logged values are taken as they are."
            )
        if given and (bulk or not self.pre_normalised):
            raise ValueError(
                "total_counts is for logged values of single cells; received "
                f"kind={self.kind!r}, pre_normalised={self.pre_normalised}. Leave it out: counts tell their total."
            )


def depth(text: str) -> Depth:
    """What ``"t4"``, ``"f1"``, ``"a5"`` say.

    Raises
    ------
    ValueError
        If it is written otherwise.

    Examples
    --------
    >>> depth("t4"), depth("a-1.5").value
    (Depth(how='t', value=4.0), -1.5)
    """
    how, number = str(text)[:1], str(text)[1:]
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if how not in ("t", "f", "a") or not math.isfinite(value) or (how == "f" and value <= 0):
        raise ValueError(
            "ScFoundation.depth should be t, f or a and a number (t4: 10 to the 4 counts; f2: twice the counts of the "
            f"cell; a5: 5 more in log10); received {text!r}. Write it so, for example depth='t4' (--depth t4)."
        )
    return Depth(how, value)


def plain(instance: ScFoundationFields) -> dict[str, Any]:
    """The settings as plain JSON."""
    return {one.name: getattr(instance, one.name) for one in fields(ScFoundationFields)}


def _require(instance: ScFoundationFields, name: str, holds: bool, wanted: str) -> None:
    if not holds:
        default = ScFoundationFields.__dataclass_fields__[name].default
        raise ValueError(
            f"ScFoundation.{name} should be {wanted}; received {getattr(instance, name)!r}. "
            f"Set it to an allowed value, for example {default!r}."
        )
