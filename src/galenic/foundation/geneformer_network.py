"""The network of Geneformer: a BERT encoder, as small as cell embeddings need it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from galenic.data.checks import first, require_file
from galenic.foundation.geneformer import Mode
from galenic.foundation.weights import Matched, match, read_tensors, shapes_of

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": functional.relu, "gelu": functional.gelu}
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
NOT_NEEDED = ("cls.*", "pooler.*", "classifier.*", "score.*", "*position_ids")
"""Heads for other tasks, and a buffer of old files that only counts."""
RENAMED = (
    (r"^(bert\.|base_model\.|module\.)+", ""),
    (r"\.gamma$", ".weight"),
    (r"\.beta$", ".bias"),
    (r"^embeddings\.(word|position|token_type)_embeddings", r"\1"),
    (r"^embeddings\.LayerNorm", "norm"),
    (r"^encoder\.layer\.", "layers."),
    (r"\.attention\.self\.(query|key|value)", r".\1"),
    (r"\.attention\.output\.dense", ".joined"),
    (r"\.attention\.output\.LayerNorm", ".attended"),
    (r"\.intermediate\.dense", ".wide"),
    (r"\.output\.dense", ".narrow"),
    (r"\.output\.LayerNorm", ".norm"),
)
"""Published names of tensors to ours, one after the other."""


LIMITS = {"num_hidden_layers": (1, 1000), "pad_token_id": (0, 10**7), "hidden_size": (1, 10**5)}
"""Smallest and largest sizes that are taken for a network's, beside 1 to ten million for the others."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What ``config.json`` says of a model; nothing is assumed from its name.

    Parameters
    ----------
    vocab_size, max_position_embeddings, type_vocab_size
        Numbers of tokens, of positions and of kinds of tokens.
    hidden_size, num_hidden_layers, num_attention_heads, intermediate_size
        Width, layers, heads, and width inside a layer.
    layer_norm_eps
        Added to variances.
    hidden_act
        relu or gelu.
    pad_token_id
        Token of what is not there.
    """

    vocab_size: int
    max_position_embeddings: int
    type_vocab_size: int = 2
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    layer_norm_eps: float = 1e-12
    hidden_act: str = "gelu"
    pad_token_id: int = 0


class Layer(nn.Module):
    """Attention, then a wide layer; each added to what came in and normalised after (``LN(x + f(x))``)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, self.n_heads = shape.hidden_size, shape.num_attention_heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.joined = nn.Linear(width, width)
        self.attended = nn.LayerNorm(width, eps=shape.layer_norm_eps)
        self.wide = nn.Linear(width, shape.intermediate_size)
        self.narrow = nn.Linear(shape.intermediate_size, width)
        self.norm = nn.LayerNorm(width, eps=shape.layer_norm_eps)
        self.activation = ACTIVATIONS[shape.hidden_act]

    def forward(self, x: Tensor, there: Tensor | None) -> Tensor:
        """Of the shape of ``x``, ``(n_cells, n_tokens, width)``; ``there`` marks tokens that may be looked at."""
        query, key, value = (
            part(x).unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=there)
        x = self.attended(x + self.joined(mixed.transpose(1, 2).flatten(2)))
        result: Tensor = self.norm(x + self.narrow(self.activation(self.wide(x))))
        return result


class GeneformerNetwork(nn.Module):
    """Tokens to vectors of genes in their cell.

    Parameters
    ----------
    shape
        Of the model.

    Notes
    -----
    ``h_0 = LN(E[token] + P[0..n-1] + T[0])``; in each layer ``A = softmax(Q K^T / sqrt(width / heads)) V`` over the
    tokens that are not padding, ``h = LN(h + W_o A)``, ``h = LN(h + W_2 f(W_1 h))``. There is no dropout: the network
    is only ever used to encode. Heads for masked tokens or classes are not built.

    Examples
    --------
    >>> shape = Shape(vocab_size=9, max_position_embeddings=4, hidden_size=8, num_hidden_layers=2,
    ...               num_attention_heads=2, intermediate_size=16)
    >>> GeneformerNetwork(shape)(torch.tensor([[3, 5, 0]]), torch.tensor([2]), layer=1).shape
    torch.Size([1, 3, 8])
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.word = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.position = nn.Embedding(shape.max_position_embeddings, shape.hidden_size)
        self.token_type = nn.Embedding(shape.type_vocab_size, shape.hidden_size)
        self.norm = nn.LayerNorm(shape.hidden_size, eps=shape.layer_norm_eps)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.num_hidden_layers))

    def forward(self, tokens: Tensor, lengths: Tensor, *, layer: int) -> Tensor:
        """Vectors after ``layer`` layers (0: embeddings), ``(n_cells, n_tokens, width)``; those of padding are noise.

        Parameters
        ----------
        tokens
            ``(n_cells, n_tokens)``, padded at the end.
        lengths
            Tokens of each cell that are not padding, ``(n_cells,)``.
        layer
            From 0 to the number of layers; later ones are not computed.
        """
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.norm(self.word(tokens) + self.position(positions) + self.token_type.weight[0])
        there = positions < lengths[:, None]
        # Without padding no mask: attention then runs in its fastest form.
        mask = None if bool(there.all()) else there[:, None, None, :]
        for one in self.layers[:layer]:
            x = one(x, mask)
        return x


def pooled(vectors: Tensor, lengths: Tensor, *, mode: Mode, ends: bool) -> Tensor:
    """One vector for each cell, ``(n_cells, width)``.

    Parameters
    ----------
    vectors
        ``(n_cells, n_tokens, width)``.
    lengths
        Tokens of each cell that are not padding, ``<cls>`` and ``<eos>`` among them.
    mode
        ``"cell"``: mean of its genes. ``"cls"``: what stands first.
    ends
        Whether cells begin with ``<cls>`` and end with ``<eos>``; neither is a gene.
    """
    if mode == "cls":
        return vectors[:, 0].float()
    genes = gene_positions(vectors.shape[1], lengths, ends=ends)
    total = torch.where(genes[..., None], vectors.float(), 0.0).sum(dim=1)
    return total / genes.sum(dim=1, keepdim=True)


def gene_positions(n_tokens: int, lengths: Tensor, *, ends: bool) -> Tensor:
    """Which positions hold genes, ``(n_cells, n_tokens)``: no padding, and neither end."""
    positions = torch.arange(n_tokens, device=lengths.device)
    return (positions >= int(ends)) & (positions < lengths[:, None] - int(ends))


class CellVectors(nn.Module):
    """A network and how its vectors of genes become one of the cell.

    Parameters
    ----------
    network
        Of genes in their cell.
    layer
        Vectors after so many layers are taken.
    mode, ends
        As for :func:`pooled`.
    """

    def __init__(self, network: GeneformerNetwork, *, layer: int, mode: Mode, ends: bool) -> None:
        super().__init__()
        self.network, self.layer, self.mode, self.ends = network, layer, mode, ends

    def forward(self, fields: Mapping[str, Tensor], real: Tensor) -> Tensor:
        """Vectors of cells, ``(n_cells, width)``, of their tokens and where these are."""
        lengths = real.sum(dim=1)
        vectors = self.network(fields["token"], lengths, layer=self.layer)
        return pooled(vectors, lengths, mode=self.mode, ends=self.ends)


def read_shape(path: Path) -> Shape:
    """Read ``config.json``.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is not that of such a network.
    """
    path = require_file(path, "the model's config.json")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        known = {one.name: config[one.name] for one in fields(Shape) if config.get(one.name) is not None}
        shape = Shape(**known)
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path} should be the configuration of a BERT model (vocab_size, hidden_size, num_hidden_layers, ...); "
            f"it cannot be read as one ({error}). Name the folder that holds the published model."
        ) from error
    _require_sizes(shape, path)
    _require_bert(config, shape, path)
    return shape


def _require_sizes(shape: Shape, path: Path) -> None:
    """Sizes of networks that exist; a network of a billion layers would be built for days."""
    said = []
    for one in fields(Shape):
        value = getattr(shape, one.name)
        if one.name == "hidden_act":
            continue
        low, high = (0, 1) if one.name == "layer_norm_eps" else LIMITS.get(one.name, (1, 10**7))
        kind = (int, float) if one.name == "layer_norm_eps" else int
        if not isinstance(value, kind) or isinstance(value, bool) or not low <= value <= high:
            said.append(f"{one.name} = {value!r:.40}, not from {low:,} to {high:,}")
    if said or not isinstance(shape.hidden_act, str):
        said = said or [f"hidden_act = {shape.hidden_act!r:.40}, no name"]
        raise ValueError(
            f"{path} should be the configuration of a BERT model; it has {'; '.join(said)}. Name the folder that holds "
            "the published model."
        )


def _require_bert(config: Mapping[str, Any], shape: Shape, path: Path) -> None:
    positions = config.get("position_embedding_type", "absolute")
    wrong = {
        f"model_type {config.get('model_type')!r}, not 'bert'": config.get("model_type", "bert") != "bert",
        f"hidden_act {shape.hidden_act!r}, not one of {first(ACTIVATIONS)}": shape.hidden_act not in ACTIVATIONS,
        f"position_embedding_type {positions!r}, not 'absolute'": positions != "absolute",
        f"hidden_size {shape.hidden_size}, no multiple of {shape.num_attention_heads} heads": shape.hidden_size
        % shape.num_attention_heads
        != 0,
        "is_decoder true, not false": bool(config.get("is_decoder")),
    }
    said = [what for what, is_wrong in wrong.items() if is_wrong]
    if said:
        raise ValueError(
            f"{path} should be the configuration of a BERT encoder, as Geneformer is; it has {'; '.join(said)}. "
            "Name the folder of a Geneformer model."
        )


def read_network(folder: Path, shape: Shape) -> tuple[GeneformerNetwork, Path]:
    """The network with the weights of ``folder``, and the file that they came from.

    Raises
    ------
    FileNotFoundError
        If the folder has neither ``model.safetensors`` nor ``pytorch_model.bin``.
    ValueError
        If the file is damaged, asks for code, or its tensors are not those of ``config.json``.
    """
    path = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"a model folder should hold {' or '.join(WEIGHTS)}; {folder} holds "
            f"{first(sorted(one.name for one in folder.iterdir()), 8)}. Download the weights into it."
        )
    with torch.device("meta"):  # its numbers come from the file: none is drawn
        network = GeneformerNetwork(shape)
    found = _matched(network, read_tensors(path)[0])
    network.load_state_dict(found.require(f"{path.name} for the network of config.json"), assign=True)
    return network.float().eval().requires_grad_(False), path


def renamed(name: str) -> str:
    """Our name of a published tensor.

    >>> renamed("bert.encoder.layer.3.attention.output.LayerNorm.gamma")
    'layers.3.attended.weight'
    """
    for pattern, new in RENAMED:
        name = re.sub(pattern, new, name)
    return name


def _matched(network: nn.Module, tensors: Mapping[str, Any]) -> Matched:
    nested = tensors.get("state_dict", tensors)
    return match(shapes_of(network), {renamed(name): tensor for name, tensor in nested.items()}, ignore=NOT_NEEDED)
