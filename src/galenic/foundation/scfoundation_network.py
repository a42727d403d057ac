"""The encoder of scFoundation: values and places of expressed genes to one vector a cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from galenic.data.checks import first
from galenic.foundation.weights import match, shapes_of

UNNEEDED = ("token_emb.emb_mask.*", "token_emb.emb_pad.*", "decoder*", "norm.*", "to_final*")
"""Tensors of the published file that a vector of a cell does not depend on."""
MODEL = "mae_autobin"


class Shape(NamedTuple):
    """What the configuration in a checkpoint says of the network."""

    n_hidden: int
    n_layers: int
    n_heads: int
    n_bins: int
    bin_alpha: float
    n_places: int
    """Genes and the two depth tokens."""


class ScFoundationEncoder(nn.Module):
    """scFoundation without its decoder; tensors have the published names.

    Parameters
    ----------
    shape
        Widths, layers, heads and so on.
    pool
        ``"all"``: vectors of S and T, maximum and mean over the genes, ``4 n_hidden``; ``"max"``: maximum over all
        tokens, ``n_hidden``.

    Notes
    -----
    A value ``v`` at place ``p`` becomes ``x = E^T softmax(alpha a + W2 a + b2) + P_p`` with
    ``a = LeakyReLU(W1 v + b1)``, slope 0.1: a mixture of ``n_bins`` vectors, which are the rows of ``E``. Then
    ``n_layers`` times ``x <- norm1(x + attention(x))``, ``x <- norm2(x + W_b relu(W_a x))``, and a last norm. T and S
    are found by their places, the last two.

    Attention never holds a table of tokens x tokens (``scaled_dot_product_attention``), so that bulk samples of 18,000
    genes fit.
    """

    def __init__(self, shape: Shape, pool: str = "all") -> None:
        super().__init__()
        self.shape, self.pool = shape, pool
        self.token_emb = ValueEmbedding(shape.n_bins, shape.n_hidden, shape.bin_alpha)
        self.pos_emb = nn.Embedding(shape.n_places + 1, shape.n_hidden)
        self.encoder = nn.Module()
        layers = [EncoderLayer(shape.n_hidden, shape.n_heads) for _ in range(shape.n_layers)]
        self.encoder.transformer_encoder = nn.ModuleList(layers)
        self.encoder.norm = nn.LayerNorm(shape.n_hidden)

    @property
    def width(self) -> int:
        """Numbers in the vector of a cell."""
        return self.shape.n_hidden * (4 if self.pool == "all" else 1)

    def forward(self, fields: Mapping[str, Tensor], real: Tensor) -> Tensor:
        """Vectors, ``(n, width)``, of ``"value"`` and ``"gene"`` (places), ``(n, longest)``; False: padding."""
        gene = fields["gene"]
        return self.pooled(self.hidden(fields["value"], gene, real), gene, real)

    def hidden(self, value: Tensor, gene: Tensor, real: Tensor) -> Tensor:
        """Vectors of all tokens, ``(n, longest, n_hidden)``."""
        x = self.token_emb(value) + self.pos_emb(gene)
        seen = None if bool(real.all()) else real[:, None, None, :]
        for layer in self.encoder.transformer_encoder:  # type: ignore[union-attr]
            x = layer(x, seen)
        return self.encoder.norm(x)  # type: ignore[operator]

    def pooled(self, hidden: Tensor, gene: Tensor, real: Tensor) -> Tensor:
        """One vector of all tokens of a cell."""
        hidden = hidden.float()
        if self.pool == "max":
            return hidden.masked_fill(~real[..., None], -torch.inf).amax(1)
        rows = torch.arange(len(hidden), device=hidden.device)
        target, source = ((gene == self.shape.n_places - k) & real for k in (2, 1))
        genes = (real & ~target & ~source)[..., None]
        highest = hidden.masked_fill(~genes, -torch.inf).amax(1)
        mean = (hidden * genes).sum(1) / genes.sum(1)
        return torch.cat([hidden[rows, source.int().argmax(1)], hidden[rows, target.int().argmax(1)], highest, mean], 1)


class ValueEmbedding(nn.Module):
    """A value as a mixture of the vectors of bins; which bins, is learned."""

    def __init__(self, n_bins: int, n_hidden: int, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.mlp, self.mlp2 = nn.Linear(1, n_bins), nn.Linear(n_bins, n_bins)
        self.emb = nn.Embedding(n_bins, n_hidden)

    def forward(self, value: Tensor) -> Tensor:
        """``(...,)`` to ``(..., n_hidden)``."""
        active = F.leaky_relu(self.mlp(value[..., None]), 0.1)
        return (self.alpha * active + self.mlp2(active)).softmax(-1) @ self.emb.weight


class EncoderLayer(nn.Module):
    """What ``torch.nn.TransformerEncoderLayer`` computes (norm after, ReLU, four times as wide inside)."""

    def __init__(self, n_hidden: int, n_heads: int) -> None:
        super().__init__()
        self.self_attn = Attention(n_hidden, n_heads)
        self.linear1, self.linear2 = nn.Linear(n_hidden, 4 * n_hidden), nn.Linear(4 * n_hidden, n_hidden)
        self.norm1, self.norm2 = nn.LayerNorm(n_hidden), nn.LayerNorm(n_hidden)

    def forward(self, x: Tensor, seen: Tensor | None) -> Tensor:
        """``(n, longest, n_hidden)``, the same shape."""
        x = self.norm1(x + self.self_attn(x, seen))
        return self.norm2(x + self.linear2(F.relu(self.linear1(x))))


class Attention(nn.Module):
    """Attention of every token to all that are real."""

    def __init__(self, n_hidden: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * n_hidden, n_hidden))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * n_hidden))
        self.out_proj = nn.Linear(n_hidden, n_hidden)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, x: Tensor, seen: Tensor | None) -> Tensor:
        """``(n, longest, n_hidden)``, the same shape; ``seen`` is False at padding, ``(n, 1, 1, longest)``."""
        n, length, width = x.shape
        parts = F.linear(x, self.in_proj_weight, self.in_proj_bias).view(n, length, 3, self.n_heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        return self.out_proj(found.transpose(1, 2).reshape(n, length, width))


def build(checkpoint: Mapping[str, Any], pool: str, what: str) -> ScFoundationEncoder:
    """The encoder that a checkpoint holds, in evaluation mode.

    Parameters
    ----------
    checkpoint
        ``{"config": ..., "state_dict": ...}``.
    pool
        As in :class:`ScFoundationEncoder`.
    what
        The file, for messages.

    Raises
    ------
    ValueError
        If the configuration lacks a value, is that of another model, or tensors are missing, unexpected or of another
        shape.
    """
    shape = shape_of(checkpoint["config"], what)
    with torch.device("meta"):  # no numbers are drawn for weights that are about to be replaced
        net = ScFoundationEncoder(shape, pool)
    given = {name.partition("model.")[2] or name: tensor for name, tensor in checkpoint["state_dict"].items()}
    state = match(shapes_of(net), given, ignore=UNNEEDED).require(what)
    net.load_state_dict({name: tensor.detach().float().clone() for name, tensor in state.items()}, assign=True)
    return net.requires_grad_(False).eval()


def shape_of(config: Mapping[str, Any], what: str) -> Shape:
    """What the configuration of a checkpoint says of the network.

    Examples
    --------
    >>> encoder = {"hidden_dim": 24, "depth": 2, "heads": 3, "module_type": "transformer"}
    >>> inside = {"encoder": encoder, "bin_num": 10, "bin_alpha": 1.0}
    >>> config = {"model": "mae_autobin", "model_config": {"mae_autobin": inside},
    ...           "dataset_config": {"rnaseq": {"seq_len": 36}}}
    >>> shape_of(config, "models.ckpt").n_places
    36
    """
    name = config.get("model")
    settings = dict((config.get("model_config") or {}).get(name) or {})
    settings |= dict((config.get("dataset_config") or {}).get("rnaseq") or {})
    inside = dict(settings.get("encoder") or {})
    if name != MODEL or inside.get("module_type", "transformer") != "transformer":
        raise ValueError(
            f"{what} should hold the model {MODEL!r} with a transformer as encoder; it holds {name!r} with "
            f"{inside.get('module_type')!r}. Take the published models.ckpt."
        )
    settings |= {f"encoder.{key}": value for key, value in inside.items()}
    keys = ("encoder.hidden_dim", "encoder.depth", "encoder.heads", "bin_num", "bin_alpha", "seq_len")
    lacking = [key for key in keys if not isinstance(settings.get(key), (int, float))]
    if lacking:
        raise ValueError(
            f"the configuration in {what} should say {', '.join(keys)}; it does not say {first(lacking, 6)}. "
            "These cannot be guessed: take the published models.ckpt."
        )
    hidden, layers, heads, bins, alpha, places = (settings[key] for key in keys)
    if hidden % heads:
        raise ValueError(
            f"{what} should have heads that divide hidden_dim; it has {heads} and {hidden}. Take the "
            "published models.ckpt as it is."
        )
    return Shape(int(hidden), int(layers), int(heads), int(bins), float(alpha), int(places))
