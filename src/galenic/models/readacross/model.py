"""ReadAcross: which compounds act alike, from the expression profiles they leave."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from anndata import AnnData

from galenic.data.aligned import Aligned
from galenic.models.fields import param
from galenic.models.keeping import opened
from galenic.models.profiles.discriminant import (
    N_DIRECTIONS,
    RELIABILITIES,
    SHRINKAGES,
    Scatter,
    chosen,
    discriminants,
    scatter,
    squashed,
    weights,
    whitener,
)
from galenic.models.profiles.profile_model import ProfileModel, classes, unit
from galenic.models.readacross import context as contexts
from galenic.models.readacross.member import Features, Front, Lesson, Member, new_encoder, train_member
from galenic.models.readacross.network import encoded
from galenic.nn.angular import Loss
from galenic.search.applicability import Applicability, signature_strength
from galenic.train import Training, Where, seeded
from galenic.work.bar import counted
from galenic.work.fan_out import fan_out
from galenic.work.kept import digest

COHORT = 4096
"""Training profiles that are kept: they tell how crowded the place of a new one is."""
RESIDENT = 2**31
"""Bytes of features that are computed once and held; more are computed as they are needed."""


def _training() -> Training:
    return Training(
        lr=2e-3,
        weight_decay=0.05,
        batch_size=512,
        max_epochs=60,
        patience=0,
        schedule="cosine",
        warmup=0.1,
        monitor="none",
    )


@dataclass(kw_only=True, repr=False)
class ReadAcross(ProfileModel):
    r"""Embedding of profiles by networks that learn which of them are replicates of one perturbagen.

    Profiles :math:`z` are squashed and whitened by the covariance within perturbagens, and several densely connected
    networks map them to the unit sphere, where replicates are drawn together (other cell lines, doses, plates) and
    different perturbagens apart. Beside the networks stand discriminant directions, which have a closed form (the
    *start*). Both are joined and reduced to ``n_latent`` numbers. The similarity of two profiles,

    .. math:: s(q, r) = e_q^\top e_r - \tfrac{1}{2}\bigl(h(q) + h(r)\bigr),

    subtracts from the cosine how close each lies to the training profiles in general: :math:`h` is ``hubs`` times the
    mean cosine with the 50 nearest of them, so that profiles that resemble everything do not head every list.

    Parameters
    ----------
    n_latent
        Width of the embedding.
    loss
        "contrastive" (supervised), "cosine" (softmax over perturbagens), "arcface" or "cosface"; see
        galenic.nn.angular.
    scale
        What cosines are multiplied by in the loss, at the start; learned.
    margin, ramp
        Margin of "arcface" (radians) and "cosface", and the share of training over which it grows from 0.
    rare
        Exponent by which the margin shrinks for perturbagens of many profiles; 0 = the same for all.
    n_centres
        Directions of each perturbagen, of which the nearest counts.
    smoothing
        Share of the target that is spread over all perturbagens, in losses with classes.
    balance
        Exponent by which profiles of frequent perturbagens count less; 0.5 as in DR3E-Net, 0 = all the same.
    mechanism
        Weight of a second loss on the column moa: profiles of one mechanism belong together too. 0 = none.
    context
        Columns of the profiles that the networks are given besides: cell, dose, time.
    start
        Weight of the discriminant directions beside the networks; 0 = networks alone.
    shrinkage
        How much of the mean variance within perturbagens is added to every direction before whitening; None = the
        best of 0.1, 0.3, 1 and 3 for the start, on a third of the perturbagens that it did not see.
    reliability
        Exponent of the weight b / (1 + b) of a direction of the start with the variance b between perturbagens, in
        units of that within; None = the best of 0, 0.25, 0.5 and 1, chosen together with shrinkage.
    whiten
        Whether networks see whitened profiles; otherwise each gene is standardised.
    squash
        z-scores are squashed to tanh(z / squash); 0 = not.
    n_members
        Networks, which differ in seed; 0 = the start alone.
    width, n_layers, growth
        Of a network: width of its output, number of hidden layers, width of each.
    noise
        Standard deviation of the noise added to whitened profiles in training.
    input_dropout, hidden_dropout
        Share of the input and of hidden values that are dropped in training.
    hubs
        How much of the mean similarity to training profiles is subtracted; 0 = plain cosine.
    as_published
        The network of the publication: 64 layers of 16, 32 dimensions, genes standardised, noise 0.3, softmax of
        cosines with a margin that grows to 0.25; no start, squashing, dropout or correction of hubs. The fields for
        these then count for nothing; training, context and seed still do.
    training
        Of each network.
    seed
        Of first weights, batches and noise.

    Attributes
    ----------
    history_ : DataFrame
        A row a network and epoch: the terms of the loss.

    Notes
    -----
    After Donner, Kazmierczak and Fortney, Molecular Pharmaceutics 2018 (no code was published). Differences: profiles
    are whitened and squashed; replicates are contrasted within a batch in place of a softmax over all perturbagens;
    wide and shallow networks in place of thin and deep ones, several of them; inputs are dropped besides the noise;
    the closed-form start; similarity is corrected for hubs (cross-domain local scaling, Lample et al. 2018, against
    training profiles). docs/methods/readacross.md shows what each brings.

    Examples
    --------
    >>> from galenic.data.simulate import profiles
    >>> adata = profiles(n_perturbagens=20, n_genes=60, seed=0)
    >>> model = ReadAcross(n_latent=16, n_members=1, training=Training(max_epochs=2, monitor="none")).fit(adata)
    >>> vectors = model.embed(adata)
    >>> vectors.shape, model.similarity(vectors[:2], vectors).shape
    ((80, 16), (2, 80))
    """

    n_latent: int = param(256, low=1)
    loss: Loss = "contrastive"
    scale: float = param(16.0, low=0.1)
    margin: float = param(0.0, low=0, high=1.5)
    ramp: float = param(0.5, low=0, high=1)
    rare: float = param(0.0, low=0)
    n_centres: int = param(1, low=1)
    smoothing: float = param(0.0, low=0, high=0.9)
    balance: float = param(0.0, low=0)
    mechanism: float = param(0.0, low=0)
    context: tuple[str, ...] = ()
    start: float = param(1.5, low=0)
    shrinkage: float | None = param(None, low=0)
    reliability: float | None = param(None, low=0)
    whiten: bool = True
    squash: float = param(3.0, low=0)
    n_members: int = param(2, low=0)
    width: int = param(128, low=1)
    n_layers: int = param(4, low=0)
    growth: int = param(64, low=1)
    noise: float = param(1.0, low=0)
    input_dropout: float = param(0.5, low=0, high=0.99)
    hidden_dropout: float = param(0.3, low=0, high=0.99)
    hubs: float = param(1.0, low=0)
    as_published: bool = False
    training: Training = field(default_factory=_training)
    seed: int = 0

    needs_labels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.n_members and not self.start:
            raise ValueError(
                "a ReadAcross needs networks or a start; received n_members=0 and start=0. Set one of them above 0."
            )

    def _effective(self) -> ReadAcross:
        """The fields that count: those of the publication where it is asked for."""
        if not self.as_published:
            return self
        return replace(
            self, as_published=False, n_latent=32, width=32, loss="arcface", margin=0.25, ramp=1.0, rare=0.0,
            n_centres=1, smoothing=0.0, balance=0.0, mechanism=0.0, start=0.0, whiten=False, squash=0.0, n_members=1,
            n_layers=64, growth=16, noise=0.3, input_dropout=0.0, hidden_dropout=0.0, hubs=0.0,
        )  # fmt: skip

    def _learn(
        self,
        adata: AnnData,
        rows: Aligned,
        spec: dict[str, Any],
        *,
        valid: AnnData | None = None,
        n_jobs: int = 1,
        device: str = "cpu",
        progress: bool = False,
        checkpoint: str | Path | None = None,
        **how: Any,
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        model = self._effective()
        codes, _ = classes(adata, spec["label"])
        spread = scatter(rows, codes, model.squash)
        shrinkage, reliability = _settings(model, rows, codes)
        spec |= {"shrinkage": shrinkage, "reliability": reliability}
        front = _front(model, spread, shrinkage)
        spec["context"] = contexts.learn(adata.obs, model.context)
        mechanisms = classes(adata, "moa", least=1)[1] if model.mechanism else []
        arrays = {"mean": front.mean, "matrix": front.matrix}
        if model.start:
            directions, variances = discriminants(spread, shrinkage, N_DIRECTIONS)
            arrays["directions"] = directions * weights(variances, reliability)
        lesson = _lesson(adata, rows, front, spec, codes, mechanisms)
        watched, others = None, None
        if valid is not None:
            known, others = classes(valid, spec["label"], least=0)[0], self._rows(valid, spec)
            watched = _lesson(valid, others, front, spec, known, mechanisms)
        kept = opened(
            checkpoint, model, lambda: _read(rows, lesson) + _read(others, watched), kinds=(Member,), what="networks"
        )
        where = Where(device=device, progress=progress)
        names = [f"network-{number}" for number in range(model.n_members)]
        jobs = {name: (model, lesson, watched, n, where.of(kept, name)) for n, name in enumerate(names)}
        found = dict(
            counted(fan_out(train_member, jobs, n_jobs=n_jobs, kept=kept), "networks", len(jobs), show=progress or None)
        )
        members: list[Member] = [found[name] for name in names]
        self.history_ = pd.concat([member.history for member in members], ignore_index=True) if members else None
        for number, member in enumerate(members):
            arrays |= {f"member {number}/{name}": value for name, value in member.state.items()}
        return spec, arrays | self._placed(model, adata, rows, codes, spec, arrays, device)

    def _placed(
        self,
        model: ReadAcross,
        adata: AnnData,
        rows: Aligned,
        codes: np.ndarray,
        spec: dict[str, Any],
        arrays: dict[str, np.ndarray],
        device: str,
    ) -> dict[str, np.ndarray]:
        """The axes that joined vectors are reduced to, the kept training profiles, and what is usual among them."""
        self._restore(spec, arrays)
        known = np.flatnonzero(codes >= 0)
        rng = np.random.default_rng([model.seed, 1])
        kept = known if len(known) <= COHORT else np.sort(rng.choice(known, COHORT, replace=False))
        products: Any = 0.0
        for numbers, part in rows.blocks(kept):
            joined = self._joined(part, adata.obs.iloc[numbers], device).astype(np.float64)
            products = products + joined.T @ joined
        axes = np.linalg.eigh(products)[1][:, ::-1][:, : model.n_latent]
        self.arrays_["axes"] = np.ascontiguousarray(axes.astype(np.float32))
        parts = [
            (self._embed_rows(part, adata.obs.iloc[numbers], device), signature_strength(part))
            for numbers, part in rows.blocks(kept)
        ]
        cohort, strength = (np.concatenate(values) for values in zip(*parts, strict=True))
        usual = Applicability(cohort, strength).state()
        return {"axes": self.arrays_["axes"], **{f"usual/{name}": value for name, value in usual.items()}}

    def _joined(self, part: np.ndarray, obs: pd.DataFrame, device: str) -> np.ndarray:
        """Unit vectors of the start and the networks side by side, unit again."""
        model, arrays = self._effective(), self.arrays_
        front = Front(model.squash, arrays["mean"], arrays["matrix"])
        parts = []
        if model.start:
            own = unit((squashed(part, model.squash) - front.mean) @ arrays["directions"])
            parts.append(own * np.float32(model.start * max(1, model.n_members) ** 0.5))
        if model.n_members:
            features, context = front(part), contexts.encode(obs, self.spec_["context"])
            parts += [encoded(encoder, features, context, device) for encoder in self._encoders()]
        return unit(np.concatenate(parts, axis=1))

    def _encoders(self) -> Iterator[Any]:
        model, width = self._effective(), self.arrays_["matrix"].shape[-1]
        for number in range(model.n_members):
            head = f"member {number}/"
            state = {
                name.removeprefix(head): torch.from_numpy(np.array(value))
                for name, value in self.arrays_.items()
                if name.startswith(head)
            }
            with seeded(0):  # first weights are drawn even where they are replaced at once
                encoder = new_encoder(model, width, contexts.width(self.spec_["context"]))
            encoder.load_state_dict(state)
            yield encoder

    def _embed_rows(self, part: np.ndarray, obs: pd.DataFrame, device: str) -> np.ndarray:
        return unit(self._joined(part, obs, device) @ self.arrays_["axes"])

    def offsets(self, vectors: np.ndarray) -> np.ndarray:
        """Half of what each vector has in common with the 50 nearest training profiles, times ``hubs``, ``(n,)``.

        Parameters
        ----------
        vectors
            Embedded profiles, ``(n, n_dims)``.
        """
        hubs, cohort = self._effective().hubs, self.arrays_["usual/training"]
        if not hubs:
            return np.zeros(len(vectors), dtype=np.float32)
        n, size = min(50, len(cohort)), max(1, 2**24 // len(cohort))
        means = [
            np.partition(vectors[start : start + size] @ cohort.T, -n, axis=1)[:, -n:].mean(axis=1)
            for start in range(0, len(vectors), size)
        ]
        return (np.concatenate([np.zeros(0), *means]) * (hubs / 2)).astype(np.float32)

    def judge(self, adata: AnnData, vectors: np.ndarray | None = None) -> pd.DataFrame:
        """Whether the model can speak of profiles: how far they are from those it learned from, and how strong.

        Parameters
        ----------
        adata
            Profiles, z-scores.
        vectors
            Their embedding, if it is there.

        Returns
        -------
        DataFrame
            Indexed by profile: ``distance, distance_quantile, strength, strength_quantile, flag`` (``""``, ``"far"``,
            ``"weak"``, ``"weak, far"``) and ``reason``; see :class:`galenic.search.Applicability`.
        """
        self._check_fitted()
        state = {
            name.removeprefix("usual/"): value for name, value in self.arrays_.items() if name.startswith("usual/")
        }
        vectors = self.embed(adata) if vectors is None else vectors
        strength = [signature_strength(part) for _, part in self._rows(adata, self.spec_).blocks()]
        table = Applicability.from_state(state).judge(vectors, np.concatenate([np.zeros(0), *strength]))
        return table.drop(columns=["nearest", "activity"]).set_axis(adata.obs_names)


def _settings(model: ReadAcross, rows: Aligned, codes: np.ndarray) -> tuple[float, float]:
    """Shrinkage and reliability, those that are not given chosen on perturbagens left out."""
    if not model.start and not model.whiten:
        return 0.0, 0.0  # neither counts
    fixed = [None if value is None else (value,) for value in (model.shrinkage, model.reliability)]
    if all(fixed):
        return fixed[0][0], fixed[1][0]  # type: ignore[index]
    return chosen(rows, codes, model.squash, model.seed, fixed[0] or SHRINKAGES, fixed[1] or RELIABILITIES)


def _front(model: ReadAcross, spread: Scatter, shrinkage: float) -> Front:
    """Whitening by the covariance within perturbagens, or genes standardised; either way features of variance 1."""
    total = spread.within + spread.between
    if not model.whiten:
        deviation = np.sqrt(np.maximum(np.diag(total), 0))
        return Front(model.squash, spread.mean, np.where(deviation > 1e-6, 1 / np.maximum(deviation, 1e-6), 0))
    white = whitener(spread, shrinkage)
    deviation = np.sqrt(np.maximum(np.einsum("ij,jk,ki->i", white, total, white, optimize=True), 1e-12))
    return Front(model.squash, spread.mean, white / deviation)


def _read(rows: Aligned | None, lesson: Lesson | None) -> str:
    """What tells profiles, their order and what is said of them from others."""
    if rows is None or lesson is None:
        return ""
    return digest(*(digest(part) for _, part in rows.blocks()), lesson.context, lesson.label, lesson.mechanism)


def _lesson(
    adata: AnnData, rows: Aligned, front: Front, spec: dict[str, Any], codes: np.ndarray, mechanisms: list[str]
) -> Lesson:
    features: Any = Features(rows, front)
    if 4 * features.shape[0] * features.shape[1] <= RESIDENT:
        held = np.empty(features.shape, dtype=np.float32)
        for numbers, part in rows.blocks():
            held[numbers] = front(part)
        features = held
    own = np.zeros(0, dtype=np.int64)
    if mechanisms:
        names = adata.obs["moa"].astype("object").where(adata.obs["moa"].notna(), "").astype(str).str.strip()
        own = pd.Index(mechanisms).get_indexer(pd.Index(names))
    return Lesson(features, contexts.encode(adata.obs, spec["context"]), codes, own)
