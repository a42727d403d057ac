"""What models of profiles share: fit on labelled profiles, embed new ones, say how similar they are."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.aligned import Aligned, require_scores
from galenic.data.checks import first, require_columns, require_unique
from galenic.data.gctx.metadata import as_text
from galenic.models.base import Model

CHECKED = 2000
"""Profiles that are looked at before they are taken for z-scores."""


@dataclass(kw_only=True, repr=False)
class ProfileModel(Model):
    """Base of the models that embed profiles; :meth:`embed` gives rows whose inner product is their similarity."""

    needs_labels: ClassVar[bool] = False

    def fit(
        self,
        adata: AnnData,
        *,
        label: str = "pert_id",
        valid: AnnData | None = None,
        n_jobs: int = 1,
        device: str = "cpu",
        progress: bool = False,
        checkpoint: str | Path | None = None,
    ) -> Self:
        """Learn from profiles.

        Parameters
        ----------
        adata
            Profiles x genes, z-scores (level 4 or 5). Not changed.
        label
            Column of ``obs`` that says which perturbagen each is of; profiles without are not learned from.
        valid
            Profiles that are only watched.
        n_jobs
            Networks that are trained at the same time.
        device
            Where networks are trained: ``"cpu"``, ``"cuda"``, ``"auto"``.
        progress
            Show a progress bar.
        checkpoint
            Folder that keeps what is done, so that a fit that was broken off goes on, to the same numbers; models
            without networks are soon done again and keep nothing.

        Raises
        ------
        ValueError
            If the label is missing, genes stand twice, values are infinite, they are not z-scores, or ``checkpoint``
            is of other profiles or settings.

        Warns
        -----
        UserWarning
            If profiles are empty (no value, or all 0).
        """
        require_unique(adata.var_names, "gene ids of the profiles")
        if self.needs_labels:
            require_columns(adata.obs, [label], f"{type(self).__name__}: the table of profiles")
        symbols = adata.var["symbol"].astype(str).tolist() if "symbol" in adata.var else None
        require_learnable(adata, type(self).__name__)
        spec: dict[str, Any] = {"genes": list(map(str, adata.var_names)), "symbols": symbols, "label": label}
        rows = self._rows(adata, spec)
        how = {"valid": valid, "n_jobs": n_jobs, "device": device, "progress": progress, "checkpoint": checkpoint}
        self._restore(*self._learn(adata, rows, spec, **how))
        return self

    def embed(self, adata: AnnData, *, device: str = "cpu") -> np.ndarray:
        """Vectors of profiles, ``(n_profiles, width)`` float32.

        Parameters
        ----------
        adata
            Profiles with the genes of the fit, in any order; a few may be missing. Labels are not read.
        device
            Where networks compute.

        Raises
        ------
        NotFittedError
            Before :meth:`fit`.
        ValueError
            If fewer than 80 % of the genes are there.

        Warns
        -----
        UserWarning
            If some genes are missing.
        """
        self._check_fitted()
        rows = self._rows(adata, self.spec_)
        # Put in place as they come: joined at the end, all vectors would be there twice.
        first = self._embed_rows(rows[:0], adata.obs.iloc[:0], device)
        vectors = np.empty((len(rows), first.shape[1]), dtype=first.dtype)
        for numbers, part in rows.blocks():
            vectors[numbers] = self._embed_rows(part, adata.obs.iloc[numbers], device)
        return vectors

    def similarity(self, queries: np.ndarray, references: np.ndarray) -> np.ndarray:
        """Similarity of each query to each reference, higher = more alike, from what :meth:`embed` gave.

        Parameters
        ----------
        queries
            Embedded profiles, ``(n_queries, n_dims)``.
        references
            Embedded profiles, ``(n_references, n_dims)``.

        Returns
        -------
        ndarray, (n_queries, n_references), float32
        """
        self._check_fitted()
        offsets = self.offsets(queries)[:, None] + self.offsets(references)
        return np.asarray(queries, dtype=np.float32) @ np.asarray(references, dtype=np.float32).T - offsets

    def offsets(self, vectors: np.ndarray) -> np.ndarray:
        """What is subtracted from every similarity of a vector, ``(n,)`` float32; 0 in most models.

        Parameters
        ----------
        vectors
            Embedded profiles, ``(n, n_dims)``.
        """
        return np.zeros(len(vectors), dtype=np.float32)

    def _rows(self, adata: AnnData, spec: dict[str, Any]) -> Aligned:
        return Aligned(adata, spec["genes"], spec["symbols"])

    def _learn(
        self, adata: AnnData, rows: Aligned, spec: dict[str, Any], **how: Any
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What :meth:`fit` learns, as JSON and arrays."""
        return spec, {}

    def _embed_rows(self, part: np.ndarray, obs: pd.DataFrame, device: str) -> np.ndarray:
        raise NotImplementedError


def require_learnable(adata: AnnData, who: str) -> None:
    """Refuse profiles that are no z-scores or all empty; warn of some that are empty."""
    rows, empty, checked = Aligned(adata, list(map(str, adata.var_names))), 0, 0
    for numbers, part in rows.blocks():
        if not np.isfinite(part).all():
            n = int((~np.isfinite(part)).sum())
            raise ValueError(f"{who} needs finite or missing values; {n:,} are infinite. Check how they were made.")
        empty += int((part == 0).all(axis=1).sum())
        if checked < CHECKED:
            require_scores(part, f"profiles for {who}")
        checked += len(numbers)
    if empty == len(rows):
        raise ValueError(f"{who} needs profiles with values; all {empty:,} are empty or 0. Check the file.")
    if empty:
        warnings.warn(f"{empty:,} of {len(rows):,} profiles are empty (no value, or all 0).", stacklevel=3)


def classes(adata: AnnData, label: str, *, least: int = 2) -> tuple[np.ndarray, list[str]]:
    """Class of each profile (-1 where the label is missing) and the names of the classes, in sorted order.

    Raises
    ------
    ValueError
        If no ``least`` classes have two profiles: there is nothing to learn from.
    """
    texts = as_text(adata.obs[label])
    names = sorted(set(texts) - {""})
    codes = pd.Index(names).get_indexer(pd.Index(texts))
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    if (counts > 1).sum() < least:
        raise ValueError(
            f"at least {least} values of {label!r} should have two profiles or more; {int((counts > 1).sum()):,} of "
            f"{len(names):,} do (first: {first(names)}). Name the column that replicates share."
        )
    return codes, names


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1, float32; rows of zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
