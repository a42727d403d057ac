"""The encoder of scATD: an autoencoder of unlabelled cells, on genes or on any representation of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from anndata import AnnData
from torch import Tensor

from galenic.data.cell_matrix import CellMatrix, Kind
from galenic.models.base import Model
from galenic.models.fields import param
from galenic.models.keeping import opened
from galenic.models.scatd import published
from galenic.models.scatd.distilling import require_teacher, teacher_latents
from galenic.models.scatd.presets import Preset, Recipe, rebuilt, recipe_of, state_of
from galenic.models.scatd.pretraining import Lesson, finished
from galenic.models.scatd.reading import (
    EXPRESSION,
    CellRows,
    Front,
    empty_cells,
    full_rows,
    groups_of,
    held_out,
    learned_rows,
    matrix_of,
    require_alike,
)
from galenic.nn.residual_vae import Activation, ResidualVAE, Spectral
from galenic.train import Training, Where, pick
from galenic.work.fan_out import fan_out
from galenic.work.kept import digest


def _training() -> Training:
    return Training(batch_size=128, schedule="cosine")


@dataclass(kw_only=True, repr=False)
class ScATDEncoder(Model):
    r"""Residual variational autoencoder of cells; its latent means stand for a cell in scATD.

    It learns from unlabelled cells, on genes or on an embedding of them (scFoundation, Geneformer, any key of
    ``obsm``), from

    .. math:: L = \beta\,\mathrm{MSE}(\hat x, x) + \tfrac1d \mathrm{KL}(q(z|x)\,|\,N(0, 1)) + \gamma\,(1 - \cos(z_T, z))

    over :math:`d` latents. The last term is there only if a teacher :math:`T` is given, an encoder of an embedding that
    is costly to compute: its student reads genes alone and learns in which direction the teacher's latents point.

    Parameters
    ----------
    preset
        Shape and tuned numbers: "small" (2,000 genes, 256-128, 32 latents: minutes on a laptop), or as published
        "VAE_sf" (for scFoundation, 3,072 numbers), "VAE_gf" (for Geneformer, 512), "Dist_VAE" (a student on 19,264
        genes).
    use_rep
        What is read: None = genes (X); else a key of obsm that all cells have, such as X_scfoundation.
    n_latent
        Number of latents; None = that of the preset, or of the teacher.
    encoder, decoder
        Widths of hidden layers; empty = those of the preset, or for the decoder the encoder's turned round.
    activation
        "leaky_relu", "swish" or "shared_swish" (one learned slope); None = that of the preset.
    spectral
        Layers whose largest singular value is held at 1: "none", "all", "skips_and_heads"; None = that of the preset.
    beta
        Weight of the reconstruction; None = that of the preset.
    cosine
        Weight of the direction of the teacher's latents; None = that of the preset.
    sampled_teacher
        Latents of the teacher are drawn once and those of the student at each step, as published; otherwise the means
        of both are compared.
    n_genes
        Number of most variable genes; None = 2,000 in "small" and all in the published ones; 0 = all.
    standardise
        Centre and scale each feature by the training cells, and hold it within ±10.
    normalise
        Counts become ln(1 + counts in ten thousand). Otherwise values are taken as they are, raw counts included.
    valid_share
        Share of the cells that are left out and say when to stop, [0, 0.9]; 0 = none: the last epoch is kept.
    training
        Of the network. lr, weight_decay and max_epochs follow the preset where they are those of Training().
    as_published
        The preset as it was trained: shape, loss, fixed epochs at a constant rate, nothing standardised, raw counts,
        all genes, sampled teacher. The fields for these then count for nothing.
    seed
        Of first weights, batches, draws and cells left out.

    Attributes
    ----------
    history_ : DataFrame
        A row an epoch: terms of the loss on training and validation cells.
    spec_ : dict
        ``features``, ``kind``, ``recipe`` (every number that counted), ``n_cells``, ``n_valid``, ``n_empty``;
        ``explained`` (share of the variance of features that is reconstructed), ``n_active`` (latents whose mean
        varies), ``agreement`` (mean cosine to the teacher; None without one), all three on validation cells.

    Notes
    -----
    After scATD (Zhou et al., Briefings in Bioinformatics 2025, bbaf268). Differences: latents are means outside
    training (there samples); one normalisation, kept with the model (there raw counts of cells beside logarithms of
    bulk); the learning rate falls once (there it rises again, or stays); cells left out in whole groups tell the best
    epoch (there ten folds of fixed length, of which the first was used); features are standardised.

    Examples
    --------
    >>> from galenic.data.simulate.single_cell import bulk_and_cells
    >>> _, cells = bulk_and_cells(n_genes=60, n_cells=120)
    >>> model = ScATDEncoder(n_latent=8, encoder=(32,), training=Training(max_epochs=2)).fit(cells)
    >>> model.embed(cells).shape, len(model.spec_["features"])
    ((120, 8), 60)
    """

    preset: Preset = "small"
    use_rep: str | None = None
    n_latent: int | None = param(None, low=1)
    encoder: tuple[int, ...] = param((), low=1)
    decoder: tuple[int, ...] = param((), low=1)
    activation: Activation | None = None
    spectral: Spectral | None = None
    beta: float | None = param(None, low=0)
    cosine: float | None = param(None, low=0)
    sampled_teacher: bool = False
    n_genes: int | None = param(None, low=0)
    standardise: bool = True
    normalise: bool = True
    valid_share: float = param(0.1, low=0, high=0.9)
    training: Training = field(default_factory=_training)
    as_published: bool = False
    seed: int = param(0, low=0)

    def fit(
        self,
        cells: AnnData,
        *,
        teacher: ScATDEncoder | None = None,
        valid: AnnData | None = None,
        features: Sequence[str] | None = None,
        groups: str | None = None,
        kind: Kind | None = None,
        device: str = "cpu",
        progress: bool = False,
        checkpoint: str | Path | None = None,
    ) -> Self:
        """Learn from unlabelled cells.

        Parameters
        ----------
        cells
            In memory or backed, sparse or dense; read a batch at a time. Not changed, and no label is read.
        teacher
            A fitted encoder of another representation of the same cells. It is only read.
        valid
            Cells that say when to stop, in place of a share of ``cells``.
        features
            Genes to learn from (those that bulk has too, say); by default all of the cells.
        groups
            Column of ``obs`` (donor, sample, line): cells are left out in whole groups.
        kind
            Of the values, where what is told from them is wrong; see :class:`galenic.data.cell_matrix.CellMatrix`.
        device
            Where the network computes: ``"cpu"``, ``"cuda"``, ``"auto"``.
        progress
            Show a progress bar.
        checkpoint
            Folder that keeps what is done, so that a fit that was broken off goes on, to the same numbers.

        Raises
        ------
        ValueError
            If there are fewer than 8 cells with values, features are missing, latents do not fit the teacher's, or
            ``checkpoint`` is of other cells or settings.
        TypeError, NotFittedError
            If the teacher is no fitted encoder.
        """
        recipe = recipe_of(self, None if teacher is None else require_teacher(teacher).spec_["recipe"]["n_latent"])
        matrix = matrix_of(cells, use_rep=self.use_rep, features=features, kind=kind, normalise=recipe.normalise)
        full, share = full_rows(matrix), self.valid_share if valid is None else 0.0
        rows, away = held_out(full, groups_of(cells, groups), share, self.seed)
        n_genes = recipe.n_genes if self.use_rep is None else 0
        x = learned_rows(matrix, rows, n_genes=n_genes, standardise=recipe.standardise)
        spec: dict[str, Any] = {
            "features": x.matrix.features, "kind": matrix.kind, "recipe": recipe.to_json(), "n_cells": len(rows),
            "n_valid": len(away), "n_empty": matrix.n - len(full),
        }  # fmt: skip
        front = {"centre": x.front.centre, "scale": x.front.scale, "middle": x.middle}
        arrays: dict[str, Any] = {"x": x}
        how: dict[str, Any] = {"sampled": recipe.sampled, "seed": self.seed, "device": device}
        if teacher is not None:
            arrays["teacher"] = teacher_latents(teacher, cells, **how)
        watched = Lesson(arrays, away) if len(away) else None
        if valid is not None:
            seen = self._rows(valid, spec, front, kind)
            watched = Lesson({"x": seen}, full_rows(seen.matrix))
            spec["n_valid"] = len(watched.rows)
            if teacher is not None:
                watched.arrays["teacher"] = teacher_latents(teacher, valid, **how)
        lesson = Lesson(arrays, rows)
        kept = opened(checkpoint, self, lambda: _read(lesson) + _read(watched), what="trained encoders")
        where = Where(device=device, progress=progress).of(kept, "encoder")
        jobs = {"encoder": (recipe, lesson, watched, self.seed, where)}
        found: dict[str, Any] = dict(fan_out(finished, jobs, kept=kept))["encoder"]
        self.history_ = found["history"]
        self._restore(spec | found["judged"], front | {f"net/{name}": value for name, value in found["state"].items()})
        return self

    def embed(self, cells: AnnData, *, device: str = "cpu", kind: Kind | None = None) -> np.ndarray:
        """Latent means of cells, ``(n_cells, n_latent)`` float32; NaN for cells without any value.

        Parameters
        ----------
        cells
            With the features of the fit in any order; each cell is read for itself.
        device
            Where the network computes.
        kind
            Of the values; by default told from them.

        Raises
        ------
        NotFittedError
            Before :meth:`fit`.
        ValueError
            If values are of another kind than at the fit, or fewer than half of the genes are there.

        Warns
        -----
        UserWarning
            If some genes are missing; each is taken at its mean over the training cells.
        """
        return self.distribution(cells, device=device, kind=kind)[0]

    def distribution(
        self, cells: AnnData, *, device: str = "cpu", kind: Kind | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and log-variance of each latent of cells, ``(n_cells, n_latent)`` float32 each; as :meth:`embed`."""
        rows, encoder = self.rows(cells, kind=kind), self.net().encoder.to(pick(device))
        mean = np.full((len(rows), self.spec_["recipe"]["n_latent"]), np.nan, dtype=np.float32)
        log_variance = mean.copy()
        for part, x in rows.blocks():
            with torch.no_grad():
                said: tuple[Tensor, Tensor] = encoder(torch.from_numpy(x).to(pick(device)))
            mean[part], log_variance[part] = (values.cpu().numpy() for values in said)
        empty = empty_cells(rows.matrix)
        mean[empty] = log_variance[empty] = np.nan
        return mean, log_variance

    def decode(self, z: np.ndarray) -> np.ndarray:
        """Features ``(n, n_features)`` that latents ``(n, n_latent)`` stand for, in the units that were read.

        Expression is not below 0.

        Parameters
        ----------
        z
            Latents, ``(n, n_latent)``.
        """
        with torch.no_grad():
            x = self.net().decode(torch.from_numpy(np.array(z, dtype=np.float32))).numpy()
        values = self._front(self.arrays_).undo(x)
        return np.maximum(values, 0.0) if self.spec_["kind"] in EXPRESSION else values

    def net(self) -> ResidualVAE:
        """The network with its weights, in evaluation mode; a new one each time, so that it may be trained further."""
        self._check_fitted()
        state = {name.removeprefix("net/"): value for name, value in self.arrays_.items() if name.startswith("net/")}
        return rebuilt(Recipe.of_json(self.spec_["recipe"]), len(self.spec_["features"]), state)

    def rows(self, cells: AnnData, *, kind: Kind | None = None) -> CellRows:
        """Cells as :meth:`net` reads them: gives float32 rows for sorted numbers, and holds no dense copy."""
        self._check_fitted()
        return self._rows(cells, self.spec_, self.arrays_, kind)

    def _rows(
        self, cells: AnnData, spec: Mapping[str, Any], arrays: Mapping[str, np.ndarray], kind: Kind | None
    ) -> CellRows:
        learned = spec["kind"]
        # Few cells of a scaled file may have no value below 0; what is taken as it is has no kind.
        given = learned if learned == "scaled" or not spec["recipe"]["normalise"] else kind
        matrix = CellMatrix.of(cells, use_rep=self.use_rep, features=spec["features"], kind=given)
        require_alike(matrix, learned)
        return CellRows(matrix, self._front(arrays, spec), arrays["middle"])

    def _front(self, arrays: Mapping[str, np.ndarray], spec: Mapping[str, Any] | None = None) -> Front:
        largest = Front.of(arrays["middle"], arrays["scale"], (spec or self.spec_)["recipe"]["standardise"]).largest
        return Front(arrays["centre"], arrays["scale"], largest)

    @classmethod
    def from_published(
        cls,
        weights: str | Path | Mapping[str, Tensor],
        *,
        use_rep: str | None = None,
        features: Sequence[str] | None = None,
        normalise: bool = False,
    ) -> Self:
        """An encoder with weights that were published for scATD.

        Parameters
        ----------
        weights
            File of PyTorch (read without running code in it) or safetensors, or tensors by name; the state of the
            autoencoder, as in :func:`galenic.nn.residual_vae_published.from_published`.
        use_rep
            Key of ``obsm`` that the weights are for.
        features
            Names of the genes, in the order of the weights, where ``use_rep`` is ``None``.
        normalise
            Counts become ln(1 + counts in ten thousand) before they are read; published weights on genes were
            trained on raw counts.

        Raises
        ------
        FileNotFoundError, ValueError
            If the weights cannot be read or are others, or names of genes are missing or too few.
        """
        net = published.network(weights)
        names = published.names(net, use_rep, features)
        model = cls(use_rep=use_rep, normalise=normalise, standardise=False, n_genes=0, **published.shape(net))
        kind: Literal["embedding", "log"] = "embedding" if use_rep is not None else "log"
        spec = {"features": names, "kind": kind, "recipe": recipe_of(model).to_json(), "published": True}
        plain = {"centre": np.zeros(len(names)), "scale": np.ones(len(names)), "middle": np.zeros(len(names))}
        model._restore(spec, plain | {f"net/{name}": value for name, value in state_of(net).items()})
        return model


def _read(lesson: Lesson | None) -> str:
    """What tells cells and their order from others: their values, as the network reads them, a block at a time."""
    if lesson is None:
        return ""
    return digest(lesson.rows, *(digest(*part.values()) for part in lesson.blocks(len(lesson.rows))))
