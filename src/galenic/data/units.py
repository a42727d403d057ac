"""Units of drug response: which there are, which a column is in, and how they convert."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from galenic.data.checks import first
from galenic.data.response import UNITS
from galenic.work.near import did_you_mean

LN10 = float(np.log(10.0))
# fmt: off
SPELLINGS = {
    "ln_ic50": ("lnic50", "naturallogic50", "lnic50um"),
    "ic50": ("ic50", "ic50um", "ic50umol", "ic50micromolar"),
    "ic50_nm": ("ic50nm", "ic50nmol", "ic50nanomolar"),
    "log10_ic50": ("log10ic50", "log10ic50um"),
    "log2_ic50": ("log2ic50", "log2ic50um"),
    "pic50": ("pic50",),
    "auc": ("auc", "aucfraction", "areaundercurve"),
    "aac": ("aac", "activityarea", "areaabovecurve"),
    "viability": ("viability", "survival", "relativeviability"),
    "viability_percent": ("viabilitypercent", "percentviability", "viabilitypct"),
}
# fmt: on
"""Units that can be read, and the column names that say so (in lower case, without marks)."""
ACCEPTED = (*UNITS, *(unit for unit in SPELLINGS if unit not in UNITS))
"""Units that can be read, those that data are held in first."""
AMBIGUOUS = ("logic50", "logic50um")
LARGEST_LN = 30.0
"""Of a natural log of micromolar: exp(30) micromolar is ten million molar."""
LARGEST_FRACTION = 5.0
"""Of a fraction of full viability: curves that grow reach 2 or 3; percentages and areas over doses go far beyond."""


def family(unit: str) -> str:
    """The unit that ``unit`` is converted to for modelling: ``"ln_ic50"``, ``"auc"`` or ``"viability"``."""
    _require_unit(unit)
    return {"auc": "auc", "aac": "auc", "viability": "viability", "viability_percent": "viability"}.get(unit, "ln_ic50")


def to_unit(values: npt.ArrayLike, source: str, target: str) -> np.ndarray:
    """Response values in another unit.

    Parameters
    ----------
    values
        Numbers, any shape; NaN stays NaN.
    source
        ``"ln_ic50"`` (natural log of micromolar), ``"ic50"`` (micromolar), ``"ic50_nm"`` (nanomolar), ``"log10_ic50"``
        and ``"log2_ic50"`` (of micromolar), ``"pic50"`` (minus log10 of molar), ``"auc"`` and ``"viability"``
        (fractions of full viability), ``"aac"`` (1 - AUC), ``"viability_percent"``.
    target
        ``"ln_ic50"``, ``"ic50"``, ``"auc"`` or ``"viability"``.

    Returns
    -------
    ndarray, float64, the shape of ``values``

    Raises
    ------
    ValueError
        If the units do not convert into each other, or a concentration is zero or negative.

    Examples
    --------
    >>> to_unit([6.0, 9.0], "pic50", "ic50").round(6).tolist()
    [1.0, 0.001]
    """
    values = np.asarray(values, dtype=np.float64)
    if target not in UNITS:
        raise ValueError(f"a response is held in one of {UNITS}; received {target!r}. Choose one of these.")
    if family(source) != family(target):
        raise ValueError(
            f"{source} cannot become {target}: an IC50 is one point of the dose response curve, AUC sums the whole "
            "curve over the doses tested, viability is one dose. Convert with the curve's fit, or read a column that "
            f"is already {target}."
        )
    if source == target:
        return values.copy()
    if family(source) == "auc":
        return 1.0 - values
    if family(source) == "viability":
        return values / 100.0
    if source in ("ic50", "ic50_nm"):
        _require_positive(values, source)
    with np.errstate(divide="ignore"):
        ln = {
            "ln_ic50": lambda: values,
            "ic50": lambda: np.log(values),
            "ic50_nm": lambda: np.log(values / 1000.0),
            "log10_ic50": lambda: values * LN10,
            "log2_ic50": lambda: values * np.log(2.0),
            "pic50": lambda: (6.0 - values) * LN10,
        }[source]()
    return ln if target == "ln_ic50" else np.exp(ln)


def unit_of_name(column: str) -> str | None:
    """The unit that a column name states, ``None`` if it states none.

    Raises
    ------
    ValueError
        If it says only that there is a log.

    Examples
    --------
    >>> unit_of_name("LN_IC50"), unit_of_name("IC50 (nM)"), unit_of_name("z_score")
    ('ln_ic50', 'ic50_nm', None)
    """
    name = re.sub(r"[^a-z0-9]", "", column.lower().replace("µ", "u").replace("μ", "u"))
    if name in AMBIGUOUS:
        raise ValueError(
            f"column {column!r} should state the base of its log; it does not. GDSC writes natural logs, others base "
            "10: say unit='ln_ic50' (--unit ln_ic50) or unit='log10_ic50' (--unit log10_ic50)."
        )
    return next((unit for unit, names in SPELLINGS.items() if name in names), None)


def guess_unit(column: str, values: npt.ArrayLike) -> str:
    """The unit of a response column, from its name, checked against its values.

    Returns
    -------
    str
        One of the sources of :func:`to_unit`.

    Raises
    ------
    ValueError
        If the name states no unit, or the values contradict it (an "ln_ic50" that was never logged, an "IC50" with
        zeros or negative values, an "AUC" that is no fraction).

    Examples
    --------
    >>> guess_unit("LN_IC50", [-3.2, 4.1])
    'ln_ic50'
    >>> guess_unit("ln_ic50", [0.1, 250.0, 8000.0])
    Traceback (most recent call last):
    ...
    ValueError: column 'ln_ic50' should be natural logs of micromolar; it has no negative value and reaches 8,000, ...
    """
    unit = unit_of_name(column)
    if unit is None:
        known = [names[0] for names in SPELLINGS.values()]
        raise ValueError(
            f"column {column!r} does not state a unit of response; columns such as {first(known, 10)} do. "
            f"Say which it is: unit= (--unit) one of {first(ACCEPTED, len(ACCEPTED))}."
        )
    require_plausible(values, unit, f"column {column!r}")
    return unit


def require_plausible(values: npt.ArrayLike, unit: str, what: str) -> None:
    """Raise ``ValueError`` if ``values`` cannot be in ``unit``."""
    _require_unit(unit)
    numbers = np.asarray(values, dtype=np.float64)
    finite: np.ndarray = numbers[np.isfinite(numbers)]
    if not finite.size:
        return
    if unit in ("ic50", "ic50_nm"):
        _require_positive(finite, what)
    low, high = float(finite.min()), float(finite.max())
    if unit == "ln_ic50" and max(-low, high) > LARGEST_LN:
        sign = "has no negative value" if low >= 0 else f"starts at {low:,.4g}"
        raise ValueError(
            f"{what} should be natural logs of micromolar; it {sign} and reaches {high:,.4g}, which no log of a "
            "concentration does. If the values are micromolar, say unit='ic50' (--unit ic50)."
        )
    typical = float(np.quantile(np.abs(finite), 0.99))
    if unit in ("auc", "viability") and typical > LARGEST_FRACTION:
        remedy = {
            "auc": "Divide it by the area of full viability (the width of the dose range)",
            "viability": "If it is in percent, say unit='viability_percent' (--unit viability_percent)",
        }[unit]
        raise ValueError(
            f"{what} should be a fraction of full viability, about 0 to 1; it reaches {high:,.4g} "
            f"(99 % below {typical:,.4g}). {remedy}."
        )


def _require_positive(values: np.ndarray, what: str) -> None:
    bad = values[values <= 0]
    if bad.size:
        raise ValueError(
            f"{what}: an IC50 is a concentration above zero; {bad.size:,} of {values.size:,} values are zero or "
            f"negative (first: {first(bad)}). If the values are logs, say unit='ln_ic50' (--unit ln_ic50) or "
            "'log10_ic50'; otherwise remove them."
        )


def _require_unit(unit: str) -> None:
    if unit not in SPELLINGS:
        raise ValueError(
            f"unit= (--unit) should be one of {first(ACCEPTED, len(ACCEPTED))}; received {unit!r}. "
            f"{did_you_mean(unit, ACCEPTED, 'Choose one of these.')}"
        )
