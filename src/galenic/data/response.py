"""ResponseData: measured pairs of cells and drugs, with the matrices that describe both."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.checks import first, require_columns, require_known, require_unique
from galenic.data.numbers import as_numbers
from galenic.work.near import nearest_name

UNITS = ("ln_ic50", "ic50", "auc", "viability")
PAIR_KEYS = ("cell", "drug", "study", "replicate")
COVERAGE_COLUMNS = ("step", "kept", "dropped", "why", "examples")


def empty_coverage() -> pd.DataFrame:
    """A coverage report with no rows: nothing was matched or dropped."""
    return pd.DataFrame({name: pd.Series(dtype="object") for name in COVERAGE_COLUMNS})


@dataclass(frozen=True, eq=False)
class ResponseData:
    """Drug response of cells: one row a measurement, joined to cells and drugs by id.

    Checked once, here; every function downstream may rely on it. Nothing edits it: methods
    return a new container that shares the matrices.

    Parameters
    ----------
    pairs
        One row a measurement: ``cell`` and ``drug`` (ids, text), ``response`` (number; absent when the pairs
        are only to be predicted), and any further columns (``study``, ``replicate``, ...). A (cell, drug) pair may
        stand more than once only if ``study`` or ``replicate`` tells the rows apart.
    cells
        ``obs_names`` = cell ids, ``var_names`` = gene symbols, ``X`` = expression (log scale); a row of NaN means that
        expression was not measured. Other modalities are data frames in ``obsm`` (``obsm["mutation"]``,
        ``obsm["methylation"]``, ...), rows of NaN where not measured. ``obs["tissue"]`` where known.
    drugs
        Index = drug ids; column ``smiles`` (missing where there is no structure), ``name``, ``targets``, ...
    unit
        What ``response`` is: ``"ln_ic50"`` (natural log of micromolar), ``"ic50"`` (micromolar), ``"auc"``
        (area under the dose response curve as a fraction of full viability) or ``"viability"``. In all four, lower
        means more sensitive.
    coverage
        What reading matched and dropped, and why: columns ``step, kept, dropped, why, examples``.

    Raises
    ------
    ValueError
        If an id cannot be resolved or stands twice, or a response is not a finite number.

    Examples
    --------
    >>> import pandas as pd, anndata
    >>> cells = anndata.AnnData(pd.DataFrame({"EGFR": [1.0, 2.0]}, index=["A549", "PC9"]))
    >>> drugs = pd.DataFrame({"smiles": ["CCO"]}, index=["ethanol"])
    >>> pairs = pd.DataFrame({"cell": ["A549", "PC9"], "drug": "ethanol", "response": [2.3, -1.0]})
    >>> ResponseData(pairs, cells, drugs)
    ResponseData(2 pairs: 2 cells x 1 drug, ln_ic50; expression 1)
    """

    pairs: pd.DataFrame
    cells: AnnData
    drugs: pd.DataFrame
    unit: str = "ln_ic50"
    coverage: pd.DataFrame = field(default_factory=empty_coverage)

    def __post_init__(self) -> None:
        require_columns(self.pairs, ["cell", "drug"], "the pair table")
        require_unique(self.cells.obs_names, "cell ids")
        require_unique(self.cells.var_names, "gene names")
        require_unique(self.drugs.index, "drug ids")
        require_columns(self.drugs, ["smiles"], "the drug table")
        if self.unit not in UNITS:
            raise ValueError(f"unit should be one of {UNITS}; received {self.unit!r}. Convert the response first.")
        require_known(self.pairs["cell"], self.cells.obs_names, "cell of the pair table", "the cell matrix")
        require_known(self.pairs["drug"], self.drugs.index, "drug of the pair table", "the drug table")
        keys = [name for name in PAIR_KEYS if name in self.pairs.columns]
        twice = self.pairs.duplicated(keys)
        if twice.any():
            rows = self.pairs.loc[twice, ["cell", "drug"]].agg(" + ".join, axis=1)
            raise ValueError(
                f"each (cell, drug) pair should stand once; {int(twice.sum()):,} rows repeat (first: {first(rows)}). "
                "Average them, or tell them apart with a 'replicate' or 'study' column."
            )
        if "response" in self.pairs.columns:
            _require_finite(self.pairs["response"])
        for name, table in self.cells.obsm.items():
            if isinstance(table, pd.DataFrame):
                require_unique(table.columns, f"feature names of {name!r}")

    def __len__(self) -> int:
        return len(self.pairs)

    def __repr__(self) -> str:
        n_cells, n_drugs = self.pairs["cell"].nunique(), self.pairs["drug"].nunique()
        parts = [f"expression {self.cells.n_vars:,}"] if self.cells.n_vars else []
        parts += [f"{name} {table.shape[1]:,}" for name, table in self.cells.obsm.items()]
        plural = "" if n_drugs == 1 else "s"
        return (
            f"ResponseData({len(self):,} pairs: {n_cells:,} cells x {n_drugs:,} drug{plural}, {self.unit}; "
            f"{', '.join(parts)})"
        )

    @property
    def cell_rows(self) -> np.ndarray:
        """Row of each pair's cell in ``cells``, ``(n_pairs,)``."""
        return self.cells.obs_names.get_indexer(self.pairs["cell"])

    @property
    def drug_rows(self) -> np.ndarray:
        """Row of each pair's drug in ``drugs``, ``(n_pairs,)``."""
        return self.drugs.index.get_indexer(self.pairs["drug"])

    @property
    def response(self) -> np.ndarray:
        """A copy of the responses, ``(n_pairs,)``, float64. Raises ``ValueError`` where none were measured."""
        require_columns(self.pairs, ["response"], "fitting or scoring: the pair table")
        return self.pairs["response"].to_numpy(dtype=np.float64, copy=True)

    def take(self, rows: np.ndarray) -> Self:
        """The pairs at ``rows`` (positions or a boolean mask), sharing cells and drugs."""
        rows = np.asarray(rows)
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        return replace(self, pairs=self.pairs.iloc[rows].reset_index(drop=True))

    def pairs_with(self, *columns: str) -> pd.DataFrame:
        """The pair table with ``columns`` looked up in ``cells.obs`` or ``drugs`` (``tissue``, ``structure``, ...).

        Where a drug has no ``structure`` its id stands in, so that it forms a group of its own.
        """
        table = self.pairs.copy()
        for column in columns:
            if column in table.columns:
                continue
            if column in self.cells.obs.columns:
                table[column] = self.cells.obs[column].to_numpy()[self.cell_rows]
            elif column in self.drugs.columns:
                values = self.drugs[column]
                if column == "structure":
                    values = values.where(values.notna(), self.drugs.index.to_series())
                table[column] = values.to_numpy()[self.drug_rows]
            else:
                places = {"pairs": self.pairs, "cells.obs": self.cells.obs, "drugs": self.drugs}
                known = [str(name) for one in places.values() for name in one.columns]
                said = ", ".join(f"{name}: {first(one.columns, 8)}" for name, one in places.items())
                raise ValueError(
                    f"no column {column!r} is in the pairs, the cells or the drugs; there are {said}"
                    f"{nearest_name(column, known)} Add it to one of them before reading."
                )
        return table

    def measured(self, modality: str) -> np.ndarray:
        """Which cells have ``modality`` (``"expression"`` or a key of ``cells.obsm``) measured, ``(n_cells,)`` bool."""
        if modality == "expression":
            if self.cells.X is None or self.cells.n_vars == 0:
                return np.zeros(self.cells.n_obs, dtype=bool)
            X: Any = self.cells.X
            X = X if isinstance(X, np.ndarray) else X.toarray()
            return np.asarray(~np.isnan(X).all(axis=1))
        if modality not in self.cells.obsm:
            raise ValueError(
                f"no modality {modality!r}; these data have {first(['expression', *self.cells.obsm], 8)}. "
                "Read it with modalities={name: file}."
            )
        return np.asarray(~pd.isna(self.cells.obsm[modality]).to_numpy().all(axis=1))

    def complete(self, *modalities: str) -> Self:
        """Only the pairs of cells in which every one of ``modalities`` was measured; unused cells and drugs leave."""
        keep = np.logical_and.reduce([self.measured(name) for name in modalities] or [np.ones(self.cells.n_obs, bool)])
        kept = self.take(keep[self.cell_rows]).trim()
        lost = self.cells.obs_names[~keep]
        return kept.noted("complete cells", kept.cells.n_obs, lost, f"measured: {', '.join(modalities)}")

    def trim(self) -> Self:
        """The same pairs without the cells and drugs that no pair names."""
        cells = self.cells[self.cells.obs_names.isin(self.pairs["cell"])]
        drugs = self.drugs[self.drugs.index.isin(self.pairs["drug"])]
        return replace(self, cells=cells.copy(), drugs=drugs)

    def one_screen_per_compound(self) -> Self:
        """Drop repeated screens of one structure, keeping the last drug id in sorted order (the latest screen in GDSC).

        Drugs without a structure leave too: they cannot be told apart from others.
        """
        require_columns(self.drugs, ["structure"], "telling compounds apart: the drug table")
        known = self.drugs[self.drugs["structure"].notna()]
        # Ids of one kind are numbers in GDSC: 1495 must come after 1017 and after 29.
        order = as_numbers(known.index)
        known = known.assign(_order=order).sort_values("_order", kind="stable", na_position="first")
        kept = known.groupby("structure", sort=False).tail(1).index
        chosen = self.take(self.pairs["drug"].isin(kept).to_numpy()).trim()
        lost = self.drugs.index[~self.drugs.index.isin(kept)]
        why = "an earlier screen of a compound that has a later one, or no structure"
        return chosen.noted("one screen of each compound", len(chosen.drugs), lost, why)

    def noted(self, step: str, kept: int, lost: pd.Index, why: str) -> Self:
        """The same data with one more row of coverage.

        Parameters
        ----------
        step
            What was done.
        kept
            How many were left.
        lost
            What was dropped.
        why
            The reason, in a few words.
        """
        row = {"step": step, "kept": kept, "dropped": len(lost), "why": why, "examples": first(lost)}
        return replace(self, coverage=pd.concat([self.coverage, pd.DataFrame([row])], ignore_index=True))

    def grid(self) -> Self:
        """Every cell with every drug, without responses: what there is to predict."""
        n_cells, n_drugs = self.cells.n_obs, len(self.drugs)
        pairs = pd.DataFrame(
            {
                "cell": np.repeat(self.cells.obs_names.to_numpy(), n_drugs),
                "drug": np.tile(self.drugs.index.to_numpy(), n_cells),
            }
        )
        return replace(self, pairs=pairs)

    def label(self, cut: str | float = "waterfall") -> Self:
        """Add ``label`` to the pairs: 1 = sensitive, 0 = resistant, decided within each drug.

        Parameters
        ----------
        cut
            ``"waterfall"``: cells sorted by response; the cut is the point of the curve farthest from the
            chord when the curve is bent (|Pearson r| of rank and response below 0.95), the median otherwise
            (Barretina et al., Nature 2012). ``"median"``: the lower half. A number in (0, 1): that quantile of each
            drug.
        """
        if not (cut in ("waterfall", "median") or (isinstance(cut, float) and 0 < cut < 1)):
            raise ValueError(f"cut should be 'waterfall', 'median' or a quantile in (0, 1); received {cut!r}.")
        response = pd.Series(self.response)
        thresholds = response.groupby(self.pairs["drug"].to_numpy()).transform(lambda values: _cut(values, cut))
        return replace(self, pairs=self.pairs.assign(label=(response <= thresholds).astype(int).to_numpy()))

    def cells_for(self, drug: str) -> AnnData:
        """The cells measured with ``drug``, with ``obs["response"]`` (and ``obs["label"]`` after :meth:`label`)."""
        if drug not in self.drugs.index:
            raise ValueError(f"no drug {drug!r}; these data have {first(self.drugs.index)}. Check its id.")
        rows = self.pairs[self.pairs["drug"] == drug]
        require_unique(pd.Index(rows["cell"]), f"cells measured with {drug!r}")
        adata = self.cells[rows["cell"].to_numpy()].copy()
        for name in ("response", "label"):
            if name in rows:
                adata.obs[name] = rows[name].to_numpy()
        return adata


def _require_finite(response: pd.Series) -> None:
    numbers = as_numbers(response)
    text = response[numbers.isna() & response.notna()]
    if len(text):
        raise ValueError(
            f"response should be a number in every row; {len(text):,} rows hold text (first: {first(text)}). "
            "Remove or correct those rows."
        )
    bad = ~np.isfinite(numbers.to_numpy(dtype=np.float64))
    if bad.any():
        rows = np.flatnonzero(bad)
        raise ValueError(
            f"response should be finite in every row; {bad.sum():,} rows are missing or infinite "
            f"(first rows: {first(rows)}). Remove those rows."
        )


def _cut(values: pd.Series, cut: str | float) -> float:
    if isinstance(cut, float):
        return float(values.quantile(cut))
    ordered = np.sort(values.to_numpy())
    if cut == "median" or len(ordered) < 3 or ordered[0] == ordered[-1]:
        return float(np.median(ordered))
    rank = np.linspace(0, 1, len(ordered))
    height = (ordered - ordered[0]) / (ordered[-1] - ordered[0])
    if abs(np.corrcoef(rank, height)[0, 1]) >= 0.95:
        return float(np.median(ordered))
    return float(ordered[np.argmax(np.abs(height - rank))])
