"""What a student learns from its teacher: in which direction each cell's latents point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from anndata import AnnData

from galenic.models.base import NotFittedError

if TYPE_CHECKING:
    from galenic.models.scatd.encoder import ScATDEncoder


def teacher_latents(teacher: ScATDEncoder, cells: AnnData, *, sampled: bool, seed: int, device: str) -> np.ndarray:
    """Latents that a student is to point along, computed once, block by block.

    Parameters
    ----------
    teacher
        A fitted encoder; it is only read.
    cells
        Cells that carry what the teacher reads.
    sampled
        One draw from each latent's distribution, as published, instead of its mean.
    seed
        Of the draws.
    device
        Where the teacher computes.

    Returns
    -------
    ndarray, (n_cells, n_latent), float32
        Zero, which points nowhere, for cells of which the teacher has no values.
    """
    mean, log_variance = teacher.distribution(cells, device=device)
    if sampled:
        noise = np.random.default_rng([seed, 2]).standard_normal(mean.shape, dtype=np.float32)
        mean = mean + np.exp(log_variance / 2) * noise
    return np.nan_to_num(mean).astype(np.float32)


def require_teacher(teacher: object) -> ScATDEncoder:
    """The teacher, if it is one.

    Raises
    ------
    TypeError, NotFittedError
        If it is no encoder, or not fitted.
    """
    from galenic.models.scatd.encoder import ScATDEncoder

    if not isinstance(teacher, ScATDEncoder):
        raise TypeError(
            f"a teacher should be a ScATDEncoder; received {type(teacher).__name__}. Fit one on the representation, "
            "or load it with galenic.load(folder)."
        )
    if not hasattr(teacher, "spec_"):
        raise NotFittedError("the teacher should be fitted; this one is not. Call fit on it first, or load one.")
    return teacher


def agreement(student: ScATDEncoder, teacher: ScATDEncoder, cells: AnnData, *, device: str = "cpu") -> np.ndarray:
    """Cosine between the latents of student and teacher for each cell, ``(n_cells,)``; NaN where either has none.

    Parameters
    ----------
    student, teacher
        Fitted encoders with the same number of latents.
    cells
        Cells that carry what both read. Cells that the student did not learn from tell what it has learned.
    device
        Where both compute.

    Raises
    ------
    ValueError
        If the numbers of latents differ.

    Notes
    -----
    A pair that has nothing to do with each other gives about 0, and ±1 / √n_latent around it for one cell.
    """
    ours, theirs = student.embed(cells, device=device), teacher.embed(cells, device=device)
    if ours.shape != theirs.shape:
        raise ValueError(
            f"student and teacher should have as many latents; received {ours.shape[1]} and {theirs.shape[1]}. Fit the "
            "student with fit(cells, teacher=teacher)."
        )
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return np.einsum("ij,ij->i", ours, theirs) / np.where(lengths > 0, lengths, np.nan)
