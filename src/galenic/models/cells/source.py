"""What models of cells learn from: bulk lines with labels, the features they share with the cells, and their folds."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from sklearn.model_selection import StratifiedGroupKFold

from galenic.data.cell_matrix import CellMatrix, Kind
from galenic.data.checks import first, require_columns, require_unique
from galenic.data.numbers import as_numbers

FEWEST_FEATURES = 10
"""Shared features below which nothing can be carried over."""
FEWEST_OF_CLASS = 5
"""Lines of each class below which folds cannot judge."""


@dataclass(frozen=True, eq=False)
class Source:
    """Labelled bulk lines, in the order of their ids.

    Attributes
    ----------
    x
        Values of the shared features, ``(n_lines, n_features)``; not standardised.
    y
        1 = sensitive, 0 = resistant.
    response
        Lower = more sensitive; where none was given, 1 - label.
    line
        Cell line of each sample: samples of one line share a fold.
    platform
        Of each sample, or ``None``.
    """

    ids: np.ndarray
    x: np.ndarray
    y: np.ndarray
    response: np.ndarray
    line: np.ndarray
    platform: np.ndarray | None
    features: list[str]
    kind: Kind

    def folds(self, n_folds: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Training and held-out rows; a line is in one fold, classes are spread evenly."""
        per_class = pd.DataFrame({"line": self.line, "y": self.y}).groupby("y")["line"].nunique()
        if per_class.min() < n_folds:
            raise ValueError(
                f"{n_folds} folds need {n_folds} sensitive and {n_folds} resistant cell lines or more; received "
                f"{per_class.get(1, 0)} and {per_class.get(0, 0)}. Set fewer folds, or cut the response elsewhere."
            )
        # The seed must reach rows that share a label in one way, whatever the version: shuffled by the library.
        split = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
        yield from split.split(self.x, self.y, self.line)


def read_source(
    bulk: AnnData,
    target: AnnData | None,
    *,
    use_rep: str | None,
    label: str,
    response: str | None,
    line: str | None,
    platform: str | None,
    wanted: list[str] | None = None,
) -> Source:
    """Take labelled lines and the features they share with the target; raise ``ValueError`` where that cannot be."""
    named = [name for name in (label, response, line, platform) if name is not None]
    require_columns(bulk.obs, named, "the table of bulk lines")
    require_unique(bulk.obs_names, "ids of the bulk lines")
    if use_rep is not None and use_rep not in bulk.obsm:
        raise ValueError(
            f"lines should carry obsm[{use_rep!r}] as the cells do; they have {first(list(bulk.obsm), 8) or 'none'}. "
            "Embed them too ('galenic embed') and give them as --bulk, or read genes (no use_rep): a student that "
            "'fit scatd distil' makes of an encoder reads genes."
        )
    y = labels_of(bulk.obs[label], "bulk lines")
    matrix = CellMatrix.of(bulk, use_rep=use_rep)
    features = shared_features(matrix, target, use_rep, wanted)
    kept = np.flatnonzero(y.notna().to_numpy())
    kept = kept[np.argsort(bulk.obs_names.to_numpy(str)[kept], kind="stable")]
    known = y.to_numpy(dtype=np.float64)[kept].astype(np.intp)
    counts = np.bincount(known, minlength=2)
    if counts.min() < FEWEST_OF_CLASS:
        raise ValueError(
            f"learning needs {FEWEST_OF_CLASS} sensitive and {FEWEST_OF_CLASS} resistant lines or more; received "
            f"{counts[1]} and {counts[0]} (of {bulk.n_obs:,} lines, {bulk.n_obs - len(kept):,} unlabelled). Label more "
            "lines, or cut the response elsewhere."
        )
    if len(kept) < bulk.n_obs:
        warnings.warn(f"{bulk.n_obs - len(kept):,} of {bulk.n_obs:,} lines have no label; left out.", stacklevel=3)
    matrix = CellMatrix.of(bulk, use_rep=use_rep, features=features, kind=matrix.kind)
    order = np.argsort(kept)
    x = np.empty((len(kept), len(features)))
    x[order] = matrix.rows(kept[order])
    numbers = 1.0 - known
    if response is not None:
        numbers = as_numbers(bulk.obs[response]).to_numpy(dtype=np.float64)[kept]
        if not np.isfinite(numbers).all():
            raise ValueError(
                f"the response should be a number wherever there is a label; {int((~np.isfinite(numbers)).sum()):,} "
                f"of {len(kept):,} values of {response!r} are not. Correct them, or learn from labels alone."
            )
        _require_convention(known, numbers, label, response)
    groups = bulk.obs_names if line is None else bulk.obs[line]
    return Source(
        bulk.obs_names.to_numpy(str)[kept], x, known, numbers, np.asarray(groups, dtype=str)[kept],
        None if platform is None else bulk.obs[platform].to_numpy(str)[kept], features, matrix.kind,
    )  # fmt: skip


def labels_of(values: pd.Series, what: str) -> pd.Series:
    """Labels as 1, 0 or missing; raise ``ValueError`` for anything else."""
    numbers = as_numbers(values.astype(object))
    text = values[numbers.isna() & values.notna()]
    odd = numbers[numbers.notna() & ~numbers.isin([0, 1])]
    if len(text) or len(odd):
        raise ValueError(
            f"labels of {what} should be 1 (sensitive) or 0 (resistant), missing where unknown; received "
            f"{first(pd.unique(pd.concat([text, odd]).astype(str)))}. Convert them first: names of classes are not "
            "guessed here."
        )
    return numbers.astype("float64")


def shared_features(
    matrix: CellMatrix, target: AnnData | None, use_rep: str | None, wanted: list[str] | None = None
) -> list[str]:
    """Features of the lines that the target and the encoder have too, in the order of their names."""
    sides = {"lines": matrix.features}
    if target is not None:
        sides["cells"] = CellMatrix.of(target, use_rep=use_rep).features
    if wanted is not None:
        sides["encoder"] = wanted
    shared = sorted(set.intersection(*map(set, sides.values())))
    if len(shared) < FEWEST_FEATURES:
        raise ValueError(
            f"{' and '.join(sides)} should share {FEWEST_FEATURES} features or more; they share {len(shared)} ("
            f"{'; '.join(f'{side}: {first(names)}' for side, names in sides.items())}). Bring all to gene symbols, or "
            "name the same embedding."
        )
    return shared


def few_labels(few: pd.Series, target: AnnData) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the target that have a label, and these labels."""
    require_unique(pd.Index(few.index), "cells with few-shot labels")
    known = labels_of(few, "a few cells").dropna()
    place = target.obs_names.get_indexer(known.index.astype(str))
    absent = known.index[place < 0]
    if len(absent):
        raise ValueError(
            f"cells with labels should be among the target; {len(absent)} of {len(known)} are not (first: "
            f"{first(absent)}). Use the barcodes of the target."
        )
    if known.nunique() < 2:
        received = "no cells" if known.empty else f"only {('resistant', 'sensitive')[int(known.iloc[0])]} cells"
        raise ValueError(
            f"a few labels should name a sensitive and a resistant cell at least; received {received}. Label one of "
            "each."
        )
    order = np.argsort(place)
    return place[order], known.to_numpy(dtype=np.intp)[order]


def _require_convention(y: np.ndarray, response: np.ndarray, label: str, name: str) -> Any:
    """Sensitive lines have the lower response, or somebody counts the other way round."""
    means = [response[y == one].mean() for one in (0, 1)]
    if means[1] > means[0]:
        raise ValueError(
            f"sensitive lines (1) should have the lower response; those with {label} = 1 have a mean {name} of "
            f"{means[1]:.3g}, those with 0 one of {means[0]:.3g}. Swap the labels if 0 stands for sensitive, or turn "
            "the sign of the response if higher means sensitive."
        )
