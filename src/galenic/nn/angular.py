"""Losses that place profiles of one class close together on the unit sphere, all with one interface."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from galenic.work.processes import gathered

Loss = Literal["contrastive", "cosine", "arcface", "cosface"]
SMALLEST = 1e-6
"""Cosines are kept this far from 1, where the slope of the angle is infinite."""
BLOCK = 2**24
"""Cosines that are held at once: 64 MB. Larger batches times classes are computed in blocks of classes."""


class AngularLoss(nn.Module):
    r"""Loss of unit embeddings and their classes; the class directions and the scale are learned with the network.

    With unit embeddings :math:`e_i`, unit class directions :math:`w_c`, the class :math:`y` of each profile, a learned
    scale :math:`s` and :math:`\cos\theta_{ic} = e_i^\top w_c`:

    - ``"cosine"``: cross entropy of :math:`s \cos\theta_{ic}` (normalised softmax);
    - ``"arcface"``: the cosine of the true class becomes :math:`\cos(\theta_{iy} + m)`, and
      :math:`\cos\theta_{iy} - m \sin m` where :math:`\theta_{iy} > \pi - m`, so that it stays monotone;
    - ``"cosface"``: it becomes :math:`\cos\theta_{iy} - m`;
    - ``"contrastive"``: no class directions; each profile is drawn to the others of its class in the batch and pushed
      from the rest,
      :math:`-\frac{1}{|P_i|}\sum_{p \in P_i} \log \frac{\exp(s\,e_i^\top e_p)}{\sum_{j \ne i} \exp(s\,e_i^\top e_j)}`,
      the mean over profiles that are not alone.

    Parameters
    ----------
    kind
        One of the above.
    counts
        Profiles of each class, ``(n_classes,)``; also the number of classes.
    n_latent
        Width of the embeddings.
    scale
        What the scale starts from; its logarithm is learned. 1 / scale is the temperature.
    margin
        m, in radians for ``"arcface"``, a difference of cosines for ``"cosface"``.
    ramp
        Share of the training over which the margin grows from 0.
    rare
        b of a dynamic margin :math:`m_c = m\,(n_c / n_{min})^{-b}`, so that rare classes get the full margin;
        0 = the same for all.
    n_centres
        Directions of each class; the nearest counts (sub-centre ArcFace).
    smoothing
        Share of the target that is spread over all classes.
    balance
        Weight of class c: :math:`n_c^{-balance}`, scaled to mean 1 over profiles. 0 = every profile counts the same.

    Raises
    ------
    ValueError
        If a value is not allowed.

    Notes
    -----
    Deng et al., CVPR 2019 (ArcFace); Wang et al., CVPR 2018 (CosFace); Deng et al., ECCV 2020 (sub-centres); Ha et al.
    2020 (dynamic margin); Khosla et al., NeurIPS 2020 (supervised contrastive, the form with the sum outside the
    logarithm). Batches times classes beyond 16.8 million are computed in blocks of classes whose cosines are computed
    again for the gradient, so that memory does not grow with the number of classes; the numbers are the same.

    Examples
    --------
    >>> loss = AngularLoss("arcface", torch.tensor([5, 3]), n_latent=4, margin=0.2)
    >>> loss(F.normalize(torch.ones(2, 4), dim=1), torch.tensor([0, 1])).ndim
    0
    """

    margins: Tensor
    weights: Tensor

    def __init__(
        self,
        kind: Loss,
        counts: Tensor,
        n_latent: int,
        *,
        scale: float = 16.0,
        margin: float = 0.0,
        ramp: float = 0.5,
        rare: float = 0.0,
        n_centres: int = 1,
        smoothing: float = 0.0,
        balance: float = 0.0,
    ) -> None:
        super().__init__()
        if not (scale > 0 and 0 <= margin < math.pi / 2 and 0 <= ramp <= 1 and n_centres >= 1 and 0 <= smoothing < 1):
            raise ValueError(
                "scale should be above 0, margin in [0, pi / 2), ramp in [0, 1], n_centres 1 or more and smoothing in "
                f"[0, 1); received {scale}, {margin}, {ramp}, {n_centres} and {smoothing}. Correct them."
            )
        counts = counts.float().clamp(min=1)
        self.kind, self.ramp, self.smoothing = kind, ramp, smoothing
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))
        self.register_buffer("margins", margin * (counts / counts.min()) ** -rare)
        weights = counts**-balance
        self.register_buffer("weights", weights * counts.sum() / (weights * counts).sum())
        if kind != "contrastive":
            self.centres = nn.Parameter(torch.randn(len(counts), n_centres, n_latent))

    def forward(self, embedding: Tensor, label: Tensor, progress: float = 1.0) -> Tensor:
        """Loss of unit rows ``(n, n_latent)`` of classes ``(n,)``; ``progress`` in [0, 1] grows the margin.

        Profiles of class -1 have none and are left out; without any other the loss is 0. Where several processes divide
        a batch, each computes the loss of all of it.

        Parameters
        ----------
        embedding
            Rows of length 1, ``(n, n_latent)``.
        label
            Class of each row, ``(n,)``.
        """
        embedding, label = gathered(embedding), gathered(label)
        known = label >= 0
        embedding, label = embedding[known], label[known]
        scale, weights = self.log_scale.exp(), self.weights[label]
        if self.kind == "contrastive":
            losses, weights = contrastive(embedding, label, scale, weights)
        else:
            margins = self.margins[label] * (1.0 if self.ramp == 0 else min(1.0, progress / self.ramp))
            centres = F.normalize(self.centres, dim=2)
            losses = class_losses(embedding, label, centres, scale, margins, self.kind, self.smoothing)
        if not len(losses):
            return embedding.sum() * 0
        return (losses * weights).sum() / weights.sum()


def contrastive(embedding: Tensor, label: Tensor, scale: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Supervised contrastive loss of each profile that is not alone in its class, and these profiles' weights."""
    alone = torch.eye(len(label), dtype=torch.bool, device=label.device)
    positive = (label[:, None] == label) & ~alone
    n_positive = positive.sum(1)
    logs = (scale * embedding @ embedding.T).masked_fill(alone, -torch.inf).log_softmax(dim=1)
    kept = n_positive > 0
    losses = -logs.masked_fill(~positive, 0).sum(1)[kept] / n_positive[kept]
    return losses, weights[kept]


def class_losses(
    embedding: Tensor,
    label: Tensor,
    centres: Tensor,
    scale: Tensor,
    margins: Tensor,
    kind: Loss = "cosine",
    smoothing: float = 0.0,
    block: int = BLOCK,
) -> Tensor:
    """Cross entropy of each profile against all classes, with a margin for its own.

    Parameters
    ----------
    embedding
        Unit rows, ``(n, n_latent)``.
    label
        Class of each, ``(n,)``.
    centres
        Unit directions, ``(n_classes, n_centres, n_latent)``.
    scale
        What cosines are multiplied by, a scalar.
    margins
        Of each profile, ``(n,)``.
    kind
        ``"cosine"`` (no margin), ``"arcface"`` or ``"cosface"``.
    smoothing
        Share of the target spread over all classes.
    block
        Cosines held at once; with more, classes are taken in blocks and computed again for the gradient.

    Returns
    -------
    Tensor
        ``(n,)``.

    Examples
    --------
    >>> unit = F.normalize(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), dim=1)
    >>> args = unit, torch.tensor([0, 1]), unit[:, None], torch.tensor(10.0), torch.zeros(2)
    >>> class_losses(*args).allclose(class_losses(*args, block=1))
    True
    """
    n_classes, n_centres, _ = centres.shape
    width = max(1, block // max(1, len(label) * n_centres))

    def part(embedding: Tensor, centres: Tensor, start: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        cosines, own, inside = _cosines(embedding, label - start, centres, margins, kind)
        logits = scale * cosines
        total = logits.sum(1) if smoothing else torch.zeros_like(own)
        return logits.logsumexp(1), torch.where(inside, scale * own, 0), total

    starts = range(0, n_classes, width)
    parts = [
        part(embedding, centres, torch.tensor(0))
        if n_classes <= width
        else checkpoint(part, embedding, centres[start : start + width], torch.tensor(start), use_reentrant=False)
        for start in starts
    ]
    sums, owns, totals = (torch.stack(values) for values in zip(*parts, strict=True))
    target = (1 - smoothing) * owns.sum(0) + smoothing * totals.sum(0) / n_classes
    losses: Tensor = sums.logsumexp(0) - target
    return losses


def _cosines(
    embedding: Tensor, place: Tensor, centres: Tensor, margins: Tensor, kind: Loss
) -> tuple[Tensor, Tensor, Tensor]:
    """Cosines ``(n, n_classes)`` with the margin taken from those at ``place``; these, and whether place is inside."""
    n_classes, n_centres, _ = centres.shape
    cosines = embedding @ centres.flatten(0, 1).T
    if n_centres > 1:
        cosines = cosines.unflatten(1, (n_classes, n_centres)).amax(2)
    inside = (place >= 0) & (place < n_classes)
    place = place.clamp(0, n_classes - 1)[:, None]
    own = cosines.gather(1, place)
    if kind != "cosine":
        own = torch.where(inside[:, None], _with_margin(own, margins[:, None], kind), own)
        cosines = cosines.scatter(1, place, own)
    return cosines, own[:, 0], inside


def _with_margin(cosine: Tensor, margin: Tensor, kind: Loss) -> Tensor:
    if kind == "cosface":
        return cosine - margin
    cosine = cosine.clamp(SMALLEST - 1, 1 - SMALLEST)
    turned = cosine * margin.cos() - (1 - cosine.square()).sqrt() * margin.sin()
    # Beyond pi - m the cosine of the sum would rise again and reward the worst profiles.
    return torch.where(cosine > -margin.cos(), turned, cosine - margin * margin.sin())
