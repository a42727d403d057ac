"""Shapes and numbers of an encoder by name, and what of them counts in one fit."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from galenic.nn.residual_vae import Activation, ResidualVAE, Spectral
from galenic.nn.residual_vae_published import PUBLISHED, Published
from galenic.train import Training, seeded

if TYPE_CHECKING:
    from galenic.models.scatd.encoder import ScATDEncoder

Preset = Literal["small", "VAE_sf", "VAE_gf", "Dist_VAE"]
SMALL = Published(
    2000, 32, (256, 128), (128, 256), "swish", "all", 5,
    lr=1e-3, weight_decay=1e-4, epochs=100, beta=100.0, cosine=100.0,
)  # fmt: skip
"""Trains on a laptop within minutes. Spectral norm in every layer holds the reconstruction of cells left out."""
PRESETS: dict[str, Published] = {"small": SMALL, **PUBLISHED}
TUNED = ("lr", "weight_decay", "max_epochs")
"""Numbers of a training that follow the preset where they are those of ``Training()``."""


@dataclass(frozen=True)
class Recipe:
    """Every number of one fit, after the preset and ``as_published`` were looked up.

    ``n_genes`` 0: all. ``sampled``: latents of teacher and student are samples, else means.
    """

    n_latent: int
    encoder: tuple[int, ...]
    decoder: tuple[int, ...]
    activation: Activation
    spectral: Spectral
    n_power_iterations: int
    beta: float
    cosine: float
    n_genes: int
    standardise: bool
    normalise: bool
    sampled: bool
    training: Training

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> Recipe:
        """The recipe that :meth:`to_json` wrote."""
        plain: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in values.items()}
        plain["training"] = Training(**values["training"])
        return cls(**plain)


def recipe_of(model: ScATDEncoder, n_latent: int | None = None) -> Recipe:
    """What counts of the fields of an encoder.

    Parameters
    ----------
    model
        The encoder.
    n_latent
        Latents of a teacher, if there is one.

    Raises
    ------
    ValueError
        If an encoder is to have other latents than its teacher, or "small" is asked for as published.
    """
    preset = PRESETS[model.preset]
    if model.as_published and model.preset == "small":
        raise ValueError(
            "as_published needs a published preset (VAE_sf, VAE_gf or Dist_VAE); received preset='small'. Choose one "
            "of them, or leave as_published out."
        )
    if n_latent is not None and model.n_latent not in (None, n_latent):
        raise ValueError(
            f"a student should have as many latents as its teacher, {n_latent}; received n_latent={model.n_latent}. "
            "Leave n_latent out."
        )
    recipe = Recipe(
        n_latent=n_latent or model.n_latent or preset.n_latent,
        encoder=model.encoder or preset.encoder,
        decoder=model.decoder or (model.encoder[::-1] if model.encoder else preset.decoder),
        activation=model.activation or preset.activation,
        spectral=model.spectral or preset.spectral,
        n_power_iterations=preset.n_power_iterations,
        beta=preset.beta if model.beta is None else model.beta,
        cosine=(preset.cosine or SMALL.cosine) if model.cosine is None else model.cosine,
        n_genes=(SMALL.n_features if preset is SMALL else 0) if model.n_genes is None else model.n_genes,
        standardise=model.standardise,
        normalise=model.normalise,
        sampled=model.sampled_teacher,
        training=_tuned(model.training, preset),
    )
    return _as_published(recipe, preset) if model.as_published else recipe


def _tuned(training: Training, preset: Published) -> Training:
    """A training with the numbers of a preset in place of those that were left alone."""
    alone = Training()
    own: dict[str, Any] = {"lr": preset.lr, "weight_decay": preset.weight_decay, "max_epochs": preset.epochs}
    left = [name for name in TUNED if getattr(training, name) == getattr(alone, name)]
    return replace(training, **{name: own[name] for name in left})


def _as_published(recipe: Recipe, preset: Published) -> Recipe:
    training = Training(
        lr=preset.lr, weight_decay=preset.weight_decay, max_epochs=preset.epochs, batch_size=128, patience=0,
        monitor="none",
    )  # fmt: skip
    n_latent = recipe.n_latent if preset.cosine else preset.n_latent
    return replace(
        recipe, n_latent=n_latent, encoder=preset.encoder, decoder=preset.decoder, activation=preset.activation,
        spectral=preset.spectral, beta=preset.beta, cosine=preset.cosine or recipe.cosine, n_genes=0,
        standardise=False, normalise=False, sampled=True, training=training,
    )  # fmt: skip


def new_net(recipe: Recipe, n_features: int) -> ResidualVAE:
    """An untrained network. Latents wider than the layer before them are told of, but not those of a preset."""
    shape = (recipe.n_latent, recipe.encoder, recipe.decoder)
    known = any(shape == (preset.n_latent, preset.encoder, preset.decoder) for preset in PRESETS.values())
    with warnings.catch_warnings():
        if known:
            warnings.simplefilter("ignore", UserWarning)
        return ResidualVAE(
            n_features, recipe.n_latent, encoder=recipe.encoder, decoder=recipe.decoder, activation=recipe.activation,
            spectral=recipe.spectral, n_power_iterations=recipe.n_power_iterations,
        )  # fmt: skip


def state_of(net: ResidualVAE) -> dict[str, np.ndarray]:
    """Weights of a network as arrays that are its own no more."""
    return {name: tensor.detach().cpu().numpy().copy(order="C") for name, tensor in net.state_dict().items()}


def rebuilt(recipe: Recipe, n_features: int, state: Mapping[str, np.ndarray]) -> ResidualVAE:
    """The network that :func:`state_of` was told of, in evaluation mode; it shares nothing with ``state``."""
    with seeded(0), warnings.catch_warnings():  # first weights are drawn even where they are replaced at once
        warnings.simplefilter("ignore", UserWarning)
        net = new_net(recipe, n_features)
    wanted = net.state_dict()
    tensors = {name: torch.from_numpy(np.array(value)).reshape(wanted[name].shape) for name, value in state.items()}
    net.load_state_dict(tensors, assign=True)
    return net.eval()
