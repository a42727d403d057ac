"""The published residual autoencoders: their shapes and tuned numbers, and their saved weights under our names."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from galenic.nn.residual_vae import Activation, ResidualVAE, Spectral


class Published(NamedTuple):
    """A published residual autoencoder: shape, and the numbers it was trained with."""

    n_features: int
    """Width of the published input; any other may be given."""
    n_latent: int
    encoder: tuple[int, ...]
    decoder: tuple[int, ...]
    activation: Activation
    spectral: Spectral
    n_power_iterations: int
    lr: float
    weight_decay: float
    epochs: int
    beta: float
    """Weight of the reconstruction."""
    cosine: float
    """Weight of the angle to the teacher's latents; 0 where there is no teacher."""


# fmt: off
PUBLISHED = {
    "VAE_sf": Published(
        3072, 421, (1926, 850, 262), (850, 1926), "leaky_relu", "none", 1,
        lr=1.993e-5, weight_decay=8.194e-3, epochs=25, beta=1000.0, cosine=0.0,
    ),
    "VAE_gf": Published(
        512, 498, (1415, 1250, 1050, 293), (650, 1450, 1415), "swish", "all", 5,
        lr=4.943e-4, weight_decay=3.552e-3, epochs=55, beta=10_000.0, cosine=0.0,
    ),
    "Dist_VAE": Published(
        19_264, 421, (1664, 359), (1664,), "shared_swish", "skips_and_heads", 1,
        lr=6.450e-5, weight_decay=2.224e-2, epochs=30, beta=500.0, cosine=158.0,
    ),
}
"""Of scATD: on scFoundation embeddings, on Geneformer embeddings, and the student on expression. AdamW, batches of 128.
Epochs of VAE_gf: one published table says 55, another 39."""
# fmt: on


def published_vae(name: str, n_features: int | None = None) -> ResidualVAE:
    """A network of published shape with fresh weights, for an input of any width.

    Parameters
    ----------
    name
        A name of :data:`PUBLISHED`.
    n_features
        Width of the input; by default the published one.

    Raises
    ------
    ValueError
        For another name.

    Notes
    -----
    All three have more latents than the layer before them is wide; that warning is not repeated here.

    Examples
    --------
    >>> published_vae("VAE_gf", 20).encode(torch.zeros(2, 20)).shape
    torch.Size([2, 498])
    """
    if name not in PUBLISHED:
        raise ValueError(f"name should be one of {', '.join(PUBLISHED)}; received {name!r}. Choose one of those.")
    shape = PUBLISHED[name]
    return _quiet(
        shape.n_features if n_features is None else n_features, shape.n_latent, shape.encoder, shape.decoder,
        shape.activation, shape.spectral, shape.n_power_iterations,
    )  # fmt: skip


class Renamed(NamedTuple):
    """Published weights under our names."""

    state: dict[str, Tensor]
    """What the network takes, ready for ``load_state_dict``."""
    missing: tuple[str, ...]
    """Our names that nothing was found for."""
    unexpected: tuple[str, ...]
    """Published names that the network has no place for."""


HEADS = {"fc21": "encoder.mean", "fc22": "encoder.log_variance", "fc4": "decoder.out"}
BLOCKS = {"Encoder_resblocks": "encoder.blocks", "Decoder_resblocks": "decoder.blocks"}
INSIDE = {"fc": "linear", "bn": "norm", "swish": "activation", "downsample": "shortcut"}
ORIGINAL = "parametrizations.weight.original"
WRAPPED = {
    "weight_orig": ORIGINAL,
    "weight_u": "parametrizations.weight.0._u",
    "weight_v": "parametrizations.weight.0._v",
}
"""Names of a weight under the spectral norm of older torch, and of ``torch.nn.utils.parametrizations``."""


def renamed(state: Mapping[str, Tensor], net: nn.Module) -> Renamed:
    """Put published weights under the names of a network; neither is changed.

    Parameters
    ----------
    state
        Tensors by published name: ``Encoder_resblocks.<i>.fc.weight``, ``.bn.*``, ``.downsample.*``, ``.swish.beta``,
        ``Decoder_resblocks.*``, ``fc21``, ``fc22``, ``fc4``; weights under spectral norm as ``weight_orig``,
        ``weight_u`` and ``weight_v`` (older torch) or under their present names; perhaps all behind ``module.``.
    net
        A :class:`~galenic.nn.residual_vae.ResidualVAE`, or its encoder alone as ``net.encoder``.

    Returns
    -------
    Renamed
        The state and what did not fit. A weight saved under spectral norm that is plain in ``net`` is divided by its
        singular value, which is what it counted as. The published classifier has an ``fc4`` of its own: beside ``fc3``
        and without a decoder it is not taken for the decoder's.

    Examples
    --------
    >>> net = ResidualVAE(3, 1, encoder=(2,), decoder=())
    >>> found = renamed({"fc21.weight": torch.ones(1, 2), "fc3.bias": torch.ones(1)}, net)
    >>> list(found.state), found.missing[:2], found.unexpected
    (['encoder.mean.weight'], ('encoder.blocks.0.linear.weight', 'encoder.blocks.0.linear.bias'), ('fc3.bias',))
    """
    given = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    wanted = net.state_dict()
    prefix = "" if any(name.startswith("encoder.") for name in wanted) else "encoder."
    classifier = any(name.startswith("fc3.") for name in given) and not any("Decoder" in name for name in given)
    found: dict[str, Tensor] = {}
    used: set[str] = set()
    for name, tensor in given.items():
        ours = "" if classifier and name.startswith("fc4.") else _place(name).removeprefix(prefix)
        plain = ours.replace(ORIGINAL, "weight")
        if ours in wanted:
            found[ours] = tensor
            used.add(name)
        elif ours.endswith(ORIGINAL) and plain in wanted and (vectors := _vectors(given, name)):
            u, v = (given[vector] for vector in vectors)
            found[plain] = tensor / torch.dot(u, tensor @ v)
            used |= {name, *vectors}
    missing = tuple(name for name in wanted if name not in found)
    return Renamed(found, missing, tuple(name for name in given if name not in used))


def from_published(state: Mapping[str, Tensor]) -> ResidualVAE:
    """A network of the shape that published weights have, with these weights, in evaluation mode.

    Parameters
    ----------
    state
        Tensors by published name, as in :func:`renamed`.

    Raises
    ------
    ValueError
        If these are not the weights of a whole residual autoencoder: names the missing and unexpected ones.

    Notes
    -----
    The spectral norm of some layers only that is not that of "skips_and_heads" is folded into the weights.

    Examples
    --------
    >>> from_published({})
    Traceback (most recent call last):
        ...
    ValueError: published weights should hold fc21...
    """
    given = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    heights = {_layer(name): len(tensor) for name, tensor in given.items() if name.endswith("bias")}
    if not {"fc21", "fc4"} <= heights.keys():
        raise ValueError(
            "published weights should hold fc21, fc4 and the blocks Encoder_resblocks and Decoder_resblocks; "
            f"received {len(given):,} tensors (first: {', '.join(list(given)[:3]) or 'none'}). Pass the state of the "
            "autoencoder, not of the classifier or of a whole checkpoint."
        )
    encoder, decoder = (
        tuple(heights[name] for name in sorted(heights, key=_number) if name.startswith(side) and name.endswith(".fc"))
        for side in ("Encoder", "Decoder")
    )
    slopes = [tensor.item() for name, tensor in given.items() if name.endswith("swish.beta")]
    activation: Activation = (
        "leaky_relu" if not slopes else "shared_swish" if len(set(slopes)) == 1 < len(slopes) else "swish"
    )
    wrapped = {_layer(name).split(".")[-1] for name in given if name.endswith(("weight_orig", ORIGINAL))}
    spectral: Spectral = "all" if "fc" in wrapped else "skips_and_heads" if wrapped else "none"
    iterations = 5 if spectral == "all" else 1
    net = _quiet(heights["fc4"], heights["fc21"], encoder, decoder, activation, spectral, iterations)
    result = renamed(state, net)
    if result.missing or result.unexpected:
        raise ValueError(
            f"published weights should be those of a whole residual autoencoder; {len(result.missing):,} are missing "
            f"(first: {', '.join(result.missing[:3]) or 'none'}) and {len(result.unexpected):,} have no place (first: "
            f"{', '.join(result.unexpected[:3]) or 'none'}). Load the whole file, or take renamed() and decide."
        )
    net.load_state_dict(result.state)
    return net.eval()


def _place(name: str) -> str:
    """Our name of a published tensor; empty where it has none."""
    first, *rest = name.split(".")
    if first in HEADS:
        layer = HEADS[first]
    elif first in BLOCKS and len(rest) > 2 and rest[1] in INSIDE:
        layer = f"{BLOCKS[first]}.{rest[0]}.{INSIDE[rest[1]]}"
        rest = rest[2:]
    else:
        return ""
    value = ".".join(rest)
    return f"{layer}.{WRAPPED.get(value, value)}"


def _layer(name: str) -> str:
    """Name of the layer that a published tensor belongs to."""
    return name.replace(f".{ORIGINAL}", ".weight").rpartition(".")[0]


def _number(layer: str) -> int:
    """Place of a block in its row."""
    return int(layer.split(".")[1]) if layer.count(".") else -1


def _vectors(given: Mapping[str, Tensor], name: str) -> tuple[str, str] | None:
    """Names of the two vectors that estimate the singular value of a saved weight, if both are there."""
    for weight, u, v in (("weight_orig", "weight_u", "weight_v"), (ORIGINAL, *list(WRAPPED.values())[1:])):
        stem = name.removesuffix(weight)
        if stem != name and stem + u in given and stem + v in given:
            return stem + u, stem + v
    return None


def _quiet(
    n_features: int,
    n_latent: int,
    encoder: tuple[int, ...],
    decoder: tuple[int, ...],
    activation: Activation,
    spectral: Spectral,
    n_power_iterations: int,
) -> ResidualVAE:
    """A network of published widths, without the warning that these are wider than the layer before them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return ResidualVAE(
            n_features, n_latent, encoder=encoder, decoder=decoder, activation=activation, spectral=spectral,
            n_power_iterations=n_power_iterations,
        )  # fmt: skip
