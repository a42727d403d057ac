"""The genes behind latents: exact, through the principal components that the networks read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from galenic.explain.attribution import Rule, backprojected, mean_slopes, path
from galenic.models.deeppert.consensus import Consensus, averaging
from galenic.models.deeppert.member import Layers, encoded

SAMPLES = 256
"""Profiles whose slopes are computed at once."""


@dataclass(frozen=True)
class GeneWeights:
    """Genes behind the latents of one member, ``(n_genes, n_latent)`` each.

    Attributes
    ----------
    signed
        Mean slope: what a latent gains where the gene rises by one standard deviation.
    absolute
        Mean absolute contribution to the latent, over profiles.
    mean
        Mean contribution. It says little: where an encoder is nearly linear, profiles above and below the mean cancel.
    gap
        Mean absolute difference between a latent's change from the baseline and the sum of its contributions,
        ``(n_latent,)``.
    """

    signed: np.ndarray
    absolute: np.ndarray
    mean: np.ndarray
    gap: np.ndarray


def gene_weights(
    layers: Layers,
    matrix: np.ndarray,
    deviations: np.ndarray,
    *,
    n_steps: int = 16,
    rule: Rule = "midpoint",
    as_published: bool = False,
) -> GeneWeights:
    r"""Integrated gradients of every latent of a member, from the mean profile, averaged over profiles.

    Scores are :math:`s = d M` of deviations :math:`d` of genes, so that with the mean gradient :math:`\bar g` along the
    path the contribution of a gene is :math:`d_g \sum_k M_{gk} \bar g_k`: exact, and complete up to the rule.

    Parameters
    ----------
    layers
        Of the encoder.
    matrix
        Scores for a unit of each deviation, ``(n_genes, n_components)``.
    deviations
        Profiles less the mean profile, which is the baseline, ``(n, n_genes)``.
    n_steps, rule
        Of :func:`galenic.explain.attribution.integrated_gradients`.
    as_published
        Spread contributions of components over genes by the loadings instead; see
        :func:`galenic.explain.attribution.backprojected`.
    """
    scores = deviations @ matrix
    slopes = score_slopes(layers, scores, n_steps=n_steps, rule=rule)  # (n, n_components, n_latent)
    change = encoded(layers, scores) - encoded(layers, np.zeros_like(scores[:1]))
    gap = np.abs(change - np.einsum("nk,nkl->nl", scores, slopes)).mean(axis=0)
    shape = (len(matrix), slopes.shape[2])
    signed, absolute, mean = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for node in range(shape[1]):
        by_gene = slopes[:, :, node] @ matrix.T
        parts = by_gene * deviations
        if as_published:
            parts = backprojected(scores * slopes[:, :, node], matrix.T)
        signed[:, node] = by_gene.mean(axis=0)
        absolute[:, node], mean[:, node] = np.abs(parts).mean(axis=0), parts.mean(axis=0)
    return GeneWeights(signed, absolute, mean, gap)


def ensemble_weights(
    encoders: Sequence[Layers],
    matrix: np.ndarray,
    deviations: Any,
    found: Consensus,
    *,
    most: int,
    n_steps: int,
    rule: Rule,
    as_published: bool = False,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Gene weights of the dimensions, averaged as the latents are, and the completeness gap of each latent.

    Parameters
    ----------
    encoders
        Of all members, in the order of the latents of ``found``.
    matrix, deviations, n_steps, rule, as_published
        See :func:`gene_weights`; deviations may be what gives rows of them for sorted numbers.
    found
        The consensus.
    most
        Profiles that weights are averaged over, at most; more are drawn from.
    seed
        Of the draw.

    Returns
    -------
    dict
        ``"weights/signed"``, ``"weights/absolute"``, ``"weights/mean"``, ``"weights/spread"``: ``(n_genes,
        n_dimensions)``; ``"latent/gap"``: ``(n_latents,)``.
    """
    rows = np.arange(len(deviations))
    if len(rows) > most:
        rows = np.sort(np.random.default_rng([seed, 2]).choice(rows, most, replace=False))
    parts = [
        gene_weights(layers, matrix, deviations[rows], n_steps=n_steps, rule=rule, as_published=as_published)
        for layers in encoders
    ]
    mixing, average = found.mixing(), averaging(found.labels, found.n)
    each = np.concatenate([part.signed for part in parts], axis=1) * (found.signs / found.deviation)
    n = (average > 0).sum(axis=0)
    spread = np.sqrt(np.maximum(each**2 @ average - (each @ average) ** 2, 0) * n / np.maximum(n - 1, 1))
    tables = {
        "weights/signed": each @ average,
        "weights/absolute": np.concatenate([part.absolute for part in parts], axis=1) / found.deviation @ average,
        "weights/mean": np.concatenate([part.mean for part in parts], axis=1) @ mixing,
        "weights/spread": np.where(n > 1, spread, np.nan),
        "latent/gap": np.concatenate([part.gap for part in parts]) / found.deviation,
    }
    return {name: table.astype(np.float32) for name, table in tables.items()}


def score_slopes(layers: Layers, scores: np.ndarray, *, n_steps: int, rule: Rule) -> np.ndarray:
    """Mean gradient of every latent by every score between 0 and each profile: ``(n, n_components, n_latent)``.

    Up to the first ReLU an encoder is linear: the path is followed behind that layer, where it is as straight.
    """
    first, start = (layers[0][0].astype(np.float64), layers[0][1].astype(np.float64))
    if len(layers) == 1:
        return np.broadcast_to(first.T, (len(scores), *first.T.shape))
    rest = [(torch.from_numpy(weight), torch.from_numpy(bias)) for weight, bias in layers[1:]]
    ways = torch.from_numpy((scores @ first.T).astype(np.float32))
    starts = torch.from_numpy(start.astype(np.float32)).expand_as(ways)
    if len(rest) <= 2:
        blocks = [slice(at, at + SAMPLES) for at in range(0, max(1, len(ways)), SAMPLES)]
        slopes = torch.cat([relu_slopes(rest, starts[rows], ways[rows], n_steps, rule) for rows in blocks])
    else:
        (slopes,) = mean_slopes(behind_first(rest), [starts], [ways], n_steps=n_steps, rule=rule)
    return np.einsum("nhl,hk->nkl", slopes.numpy(), first.astype(np.float32), optimize=True)


def relu_slopes(rest: list[tuple[Tensor, Tensor]], starts: Tensor, ways: Tensor, n_steps: int, rule: Rule) -> Tensor:
    r"""Mean gradients behind the first affine map, of one ReLU layer or two: ``(n, n_hidden, n_latent)``.

    The gradient at step t is :math:`W_3 D_2(t) W_2 D_1(t)` with diagonal masks D of the units that are on. Its mean is
    :math:`W_3 (W_2 \circ C)` with :math:`C_{kh} = \sum_t w_t D_2(t)_k D_1(t)_h`: how long unit k is on together with
    unit h. Steps cost one product of masks, whatever the number of latents.
    """
    places, weights = path(n_steps, rule, ways)
    points = starts[:, None] + places[:, None] * ways[:, None]  # (n, n_steps, n_hidden)
    on = (points > 0).to(ways.dtype)
    if len(rest) == 1:
        return torch.einsum("t,nth,lh->nhl", weights, on, rest[0][0])
    (weight, bias), (last, _) = rest
    after = ((points.relu() @ weight.T + bias) > 0).to(ways.dtype) * weights[:, None]
    together = after.transpose(1, 2) @ on  # (n, n_after, n_hidden)
    return (last @ (weight * together)).transpose(1, 2)


def ensemble_function(encoders: Sequence[Layers], matrix: np.ndarray, mixing: np.ndarray) -> Callable[[Tensor], Tensor]:
    """The dimensions of an ensemble as a function of deviations of genes, in double precision, up to a constant."""
    into, out = torch.from_numpy(matrix).double(), torch.from_numpy(mixing).double()
    members = [[(torch.from_numpy(w).double(), torch.from_numpy(b).double()) for w, b in layers] for layers in encoders]

    def function(x: Tensor) -> Tensor:
        scores = x @ into
        latents = [behind_first(rest)(scores @ weight.T + bias) for (weight, bias), *rest in members]
        return torch.cat(latents, dim=1) @ out

    return function


def behind_first(rest: list[tuple[Tensor, Tensor]]) -> Callable[[Tensor], Tensor]:
    """What follows the first affine map of an encoder."""

    def function(x: Tensor) -> Tensor:
        for weight, bias in rest:
            x = x.relu() @ weight.T + bias
        return x

    return function
