"""Weights that were published for scATD, as a network and its shape."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from galenic.data.checks import require_file, require_unique
from galenic.models.scatd.presets import PRESETS
from galenic.nn.residual_vae import ResidualVAE, Swish
from galenic.nn.residual_vae_published import from_published

NESTED = ("state_dict", "model_state_dict", "model")
"""Where checkpoints keep the state among other things."""


def network(weights: str | Path | Mapping[str, Tensor]) -> ResidualVAE:
    """The network of published weights, from a file or from tensors by name."""
    given: Any = weights if isinstance(weights, Mapping) else _read(require_file(weights, "weights"))
    inside = next((given[name] for name in NESTED if isinstance(given.get(name), Mapping)), given)
    return from_published({name: value for name, value in inside.items() if isinstance(value, Tensor)})


def _read(path: Path) -> Mapping[str, Any]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(
            f"weights should be a file of tensors by name (PyTorch or safetensors); {path} cannot be read as one "
            f"({type(error).__name__}). Save its state_dict alone, and name that file."
        ) from error
    if not isinstance(content, Mapping):
        raise ValueError(
            f"weights should be tensors by name; {path} holds a {type(content).__name__}. Save its state_dict alone."
        )
    return content


def shape(net: ResidualVAE) -> dict[str, Any]:
    """Fields of an encoder that has the shape of a network; the preset whose shape it is, or "small"."""
    encoder, decoder = (
        tuple(block.linear.out_features for block in part.blocks)  # type: ignore[union-attr]
        for part in (net.encoder, net.decoder)
    )
    slopes = {id(layer) for layer in net.modules() if isinstance(layer, Swish)}
    n_blocks = len(encoder) + len(decoder)
    wrapped = [hasattr(layer, "parametrizations") for layer in (net.encoder.mean, net.encoder.blocks[0].linear)]
    return {
        "preset": next((name for name, known in PRESETS.items() if known.encoder == encoder), "small"),
        "n_latent": net.encoder.mean.out_features,
        "encoder": encoder,
        "decoder": decoder,
        "activation": "leaky_relu" if not slopes else "swish" if len(slopes) == n_blocks else "shared_swish",
        "spectral": "none" if not wrapped[0] else "all" if wrapped[1] else "skips_and_heads",
    }


def names(net: ResidualVAE, use_rep: str | None, features: Sequence[str] | None) -> list[str]:
    """Names of the features that a network reads."""
    n = net.decoder.out.out_features
    if features is None and use_rep is not None:
        return [f"{use_rep}_{number}" for number in range(n)]
    if features is None or len(features) != n:
        raise ValueError(
            f"the weights read {n:,} features; received {'no' if features is None else f'{len(features):,}'} names. "
            "Name the genes in the order of the weights with features=, or an embedding with use_rep=."
        )
    import pandas as pd

    require_unique(pd.Index(features), "features")
    return list(map(str, features))
