"""What a baseline reads of a cell: standardised blocks, one a modality, learned on the training cells."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.checks import first
from galenic.data.expression import align, modality
from galenic.models.shift import USUAL, usual

N_FEATURES = 5000
"""Most features of a modality that a kernel reads."""


def learn_inputs(
    cells: AnnData, names: tuple[str, ...], n_features: int = N_FEATURES
) -> tuple[dict[str, list[str]], dict[str, np.ndarray]]:
    """Features, means and scales of the modalities ``names``.

    ``"tissue"`` is ``obs["tissue"]``, one column a tissue, and is left out where the cells have no such column. Of
    each modality the ``n_features`` that vary most over these cells are read.

    Returns
    -------
    tuple of dict, dict
        Feature names of each modality; arrays ``mean.<name>`` and ``scale.<name>``, and how far out training cells lie
        in expression (:func:`galenic.models.shift.usual`).

    Raises
    ------
    ValueError
        If a modality is absent, or no cell has it measured.
    """
    features: dict[str, list[str]] = {}
    arrays: dict[str, np.ndarray] = {}
    for name in names:
        if name == "tissue":
            if "tissue" in cells.obs and cells.obs["tissue"].notna().any():
                features[name] = sorted(cells.obs["tissue"].dropna().astype(str).unique())
            continue
        table = modality(cells, name)
        values = table.to_numpy(dtype=np.float64)
        measured = ~np.isnan(values).all(axis=1)
        if not measured.any() or values.shape[1] == 0:
            raise ValueError(
                f"fitting needs {name} of some cells; none of the {len(values):,} has it. Check the ids of its file."
            )
        mean, scale = np.nanmean(values[measured], axis=0), np.nanstd(values[measured], axis=0)
        kept = np.sort(np.argsort(-np.nan_to_num(scale), kind="stable")[:n_features])
        kept = kept[np.nan_to_num(scale[kept]) > 1e-12]
        if len(kept) == 0:
            raise ValueError(
                f"fitting needs {name} that differs between cells; every feature is constant. Check its file."
            )
        features[name] = [str(table.columns[i]) for i in kept]
        arrays[f"mean.{name}"], arrays[f"scale.{name}"] = mean[kept], scale[kept]
        if name == "expression":
            arrays[USUAL] = usual((values[:, kept] - mean[kept]) / scale[kept])
    return features, arrays


def read_inputs(cells: AnnData, features: dict[str, list[str]], arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Standardised blocks of ``cells``, ``(n_cells, n_features)`` each; 0 (the average) where not measured."""
    blocks = {}
    for name, wanted in features.items():
        if name == "tissue":
            _warn_of_unknown_tissues(cells, wanted)
            tissue = (
                cells.obs["tissue"] if "tissue" in cells.obs else pd.Series(None, index=cells.obs_names, dtype="object")
            )
            known = np.asarray(tissue.astype(str))[:, None] == np.asarray(wanted)
            blocks[name] = known.astype(np.float64)
            continue
        values = (align(modality(cells, name), wanted, name) - arrays[f"mean.{name}"]) / arrays[f"scale.{name}"]
        empty = cells.obs_names[np.isnan(values).all(axis=1)]
        if len(empty):
            warnings.warn(
                f"{len(empty):,} of {cells.n_obs:,} cells have no {name} (first: {first(empty)}); "
                "each is taken for the average cell.",
                stacklevel=2,
            )
        blocks[name] = np.nan_to_num(values, nan=0.0)
    return blocks


def _warn_of_unknown_tissues(cells: AnnData, wanted: list[str]) -> None:
    known = cells.obs["tissue"].astype(str).isin(wanted) if "tissue" in cells.obs else np.zeros(cells.n_obs, dtype=bool)
    unknown = cells.obs_names[~np.asarray(known)]
    if len(unknown):
        warnings.warn(
            f"the model reads tissues; {len(unknown):,} of {cells.n_obs:,} cells have none that it was fitted on "
            f"(first: {first(unknown)}), so they are predicted without. "
            "Give a table of cells with a tissue column (--cells).",
            stacklevel=3,
        )


def alignment(cells: AnnData, features: dict[str, list[str]]) -> pd.DataFrame:
    """How the features of cells match those that a model was fitted on, a row for each modality.

    Returns
    -------
    DataFrame
        ``step, kept, dropped, why, examples``, as the coverage of a container: features found and features missing.
    """
    rows = []
    for name, wanted in features.items():
        if name == "tissue":
            continue
        there = cells.var_names if name == "expression" else getattr(cells.obsm.get(name), "columns", [])
        missing = pd.Index(wanted).difference(pd.Index([str(column) for column in there]), sort=False)
        why = "all that the model reads are here" if not len(missing) else "taken at the average of the training cells"
        if len(missing) == len(wanted):
            why = "not measured in these cells; the model answers without"
        rows.append((f"features of {name}", len(wanted) - len(missing), len(missing), why, first(missing)))
    return pd.DataFrame(rows, columns=["step", "kept", "dropped", "why", "examples"])


def feature_index(features: dict[str, list[str]], names: Any = None) -> pd.MultiIndex:
    """Modality and feature of each column when the blocks stand side by side."""
    pairs = [
        (name, feature) for name, wanted in features.items() if names is None or name in names for feature in wanted
    ]
    return pd.MultiIndex.from_tuples(pairs, names=["modality", "feature"])
