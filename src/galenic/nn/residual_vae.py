"""Residual variational autoencoders of expression or embeddings, with parts that can be frozen."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from galenic.nn.autoencoders import kl_divergence
from galenic.nn.freezable import Freezable

Activation = Literal["leaky_relu", "swish", "shared_swish"]
Spectral = Literal["none", "all", "skips_and_heads"]
EPSILON = 1e-8
"""Added to the mean squared error, as published."""


class Swish(nn.Module):
    """``x * sigmoid(beta * x)`` with a learned ``beta`` that starts at 1.

    Examples
    --------
    >>> Swish()(torch.zeros(2)).tolist()
    [0.0, 0.0]
    """

    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of ``x``."""
        return x * torch.sigmoid(self.beta * x)


class ResidualBlock(nn.Module):
    """``activation(norm(W x + b)) + shortcut(x)``; the shortcut is linear where the width changes, else ``x`` itself.

    Parameters
    ----------
    given, out
        Widths of the input and of the output.
    activation
        Applied after batch norm, before the shortcut is added.

    Examples
    --------
    >>> ResidualBlock(6, 4, nn.LeakyReLU())(torch.zeros(3, 6)).shape
    torch.Size([3, 4])
    """

    def __init__(self, given: int, out: int, activation: nn.Module) -> None:
        super().__init__()
        self.linear = nn.Linear(given, out)
        self.norm = nn.BatchNorm1d(out)
        self.activation = activation
        self.shortcut: nn.Module = nn.Identity() if given == out else nn.Linear(given, out)

    def forward(self, x: Tensor) -> Tensor:
        """Output ``(n, out)`` of input ``(n, given)``."""
        result: Tensor = self.activation(self.norm(self.linear(x))) + self.shortcut(x)
        return result


class Encoder(Freezable):
    """Residual blocks, then the mean and the log-variance of each latent."""

    def __init__(self, widths: Sequence[int], n_latent: int, activations: Sequence[nn.Module]) -> None:
        super().__init__()
        self.blocks = _blocks(widths, activations)
        self.mean = nn.Linear(widths[-1], n_latent)
        self.log_variance = nn.Linear(widths[-1], n_latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, ``(n, n_latent)`` each."""
        hidden = self.blocks(x)
        return self.mean(hidden), self.log_variance(hidden)


class Decoder(Freezable):
    """Residual blocks, then a linear layer out."""

    def __init__(self, widths: Sequence[int], n_features: int, activations: Sequence[nn.Module]) -> None:
        super().__init__()
        self.blocks = _blocks(widths, activations)
        self.out = nn.Linear(widths[-1], n_features)

    def forward(self, z: Tensor) -> Tensor:
        """Features ``(n, n_features)`` of latents ``(n, n_latent)``."""
        features: Tensor = self.out(self.blocks(z))
        return features


class Coded(NamedTuple):
    """What a residual autoencoder makes of a batch."""

    reconstruction: Tensor
    mean: Tensor
    log_variance: Tensor
    z: Tensor
    """Latents that were decoded: a sample in training, the mean otherwise."""


class ResidualVAE(nn.Module):
    """Variational autoencoder of residual blocks; its latents are means, and samples in training only.

    Parameters
    ----------
    n_features
        Width of the input: genes, or numbers of an embedding.
    n_latent
        Number of latents.
    encoder, decoder
        Widths of the hidden layers, in the order in which they are passed; empty: linear heads on the input.
    activation
        ``"leaky_relu"`` (slope 0.01), ``"swish"`` (its slope learned in each block) or ``"shared_swish"`` (one learned
        slope in all blocks).
    spectral
        Linear layers whose largest singular value is held at 1: ``"none"``, ``"all"``, or ``"skips_and_heads"``
        (shortcuts, mean, log-variance and output, not the layers inside blocks).
    n_power_iterations
        Steps towards that singular value at each training pass, 1 or more.

    Raises
    ------
    ValueError
        If a value is not allowed.

    Warns
    -----
    UserWarning
        If there are more latents than the last hidden layer is wide: means then lie in an affine subspace.

    Notes
    -----
    The networks of scATD (Zhou et al., Briefings in Bioinformatics 2025, bbaf268); shapes are in
    :data:`galenic.nn.residual_vae_published.PUBLISHED`. Weights of blocks start Kaiming normal, those of heads and
    output Glorot normal, biases as torch has them. Differences: weights are set before spectral norm is wrapped
    around them, latents are means outside training (published: always samples), frozen parts keep their statistics.
    A shared slope belongs to encoder and decoder: freezing either stops it.

    Examples
    --------
    >>> net = ResidualVAE(150, 5, encoder=(64, 32), decoder=(32, 64), activation="swish")
    >>> coded = net(torch.zeros(8, 150))
    >>> coded.reconstruction.shape, coded.mean.shape, net.encode(torch.zeros(8, 150)).shape
    (torch.Size([8, 150]), torch.Size([8, 5]), torch.Size([8, 5]))
    """

    def __init__(
        self,
        n_features: int,
        n_latent: int,
        *,
        encoder: Sequence[int] = (512, 256),
        decoder: Sequence[int] = (256, 512),
        activation: Activation = "leaky_relu",
        spectral: Spectral = "none",
        n_power_iterations: int = 1,
    ) -> None:
        super().__init__()
        _check([n_features, n_latent, n_power_iterations, *encoder, *decoder], activation, spectral)
        encoder, decoder = [n_features, *encoder], [n_latent, *decoder]
        if n_latent > encoder[-1]:
            warnings.warn(
                f"{n_latent} latents are read from a layer of width {encoder[-1]}: their means lie in an affine "
                "subspace, so some say nothing new. Ask for fewer latents or a wider last layer, unless these are the "
                "published widths.",
                stacklevel=2,
            )
        n_blocks = len(encoder) + len(decoder) - 2
        one = _activation(activation)
        activations = [one if activation == "shared_swish" else _activation(activation) for _ in range(n_blocks)]
        self.encoder = Encoder(encoder, n_latent, activations[: len(encoder) - 1])
        self.decoder = Decoder(decoder, n_features, activations[len(encoder) - 1 :])
        self._start()
        self._wrap(spectral, n_power_iterations)

    def _start(self) -> None:
        """Kaiming normal weights in blocks, Glorot normal ones in heads and output."""
        for name, layer in self.named_modules():
            if isinstance(layer, nn.Linear) and ".blocks." in name:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="leaky_relu")
            elif isinstance(layer, nn.Linear):
                nn.init.xavier_normal_(layer.weight)

    def _wrap(self, spectral: Spectral, n_power_iterations: int) -> None:
        """Hold singular values at 1; after :meth:`_start`, since what is written later does not reach the weight."""
        layers = [(name, layer) for name, layer in self.named_modules() if isinstance(layer, nn.Linear)]
        for name, layer in layers:
            if spectral == "all" or (spectral == "skips_and_heads" and not name.endswith(".linear")):
                spectral_norm(layer, n_power_iterations=n_power_iterations)

    def encode(self, x: Tensor) -> Tensor:
        """Latents ``(n, n_latent)`` of inputs ``(n, n_features)``: means.

        Parameters
        ----------
        x
            Inputs, ``(n, n_features)``.
        """
        mean: Tensor = self.encoder(x)[0]
        return mean

    def decode(self, z: Tensor) -> Tensor:
        """Features ``(n, n_features)`` of latents ``(n, n_latent)``; not limited to what expression can be.

        Parameters
        ----------
        z
            Latents, ``(n, n_latent)``.
        """
        features: Tensor = self.decoder(z)
        return features

    def forward(self, x: Tensor) -> Coded:
        """Reconstruction, mean, log-variance and the latents that were decoded.

        Parameters
        ----------
        x
            Inputs, ``(n, n_features)``.
        """
        mean, log_variance = self.encoder(x)
        z = drawn(mean, log_variance) if self.training else mean
        return Coded(self.decoder(z), mean, log_variance, z)


def drawn(mean: Tensor, log_variance: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Latents drawn from their distribution, with gradients to mean and log-variance.

    Parameters
    ----------
    mean, log_variance
        Of each latent, ``(n, n_latent)``.
    generator
        Of the random numbers; by default the one of torch.

    Examples
    --------
    >>> drawn(torch.ones(2, 3), torch.full((2, 3), -torch.inf)).tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
    return mean + (log_variance / 2).exp() * noise


def residual_vae_terms(
    coded: Coded, x: Tensor, *, beta: float, error: Literal["mse", "rmse"] = "mse"
) -> dict[str, Tensor]:
    r"""Terms of the loss of a batch: ``beta`` x ``error``, and ``kl``, both as means.

    Parameters
    ----------
    coded
        What the network made of ``x``.
    x
        Input, ``(n, n_features)``.
    beta
        Weight of the error; published are 500 to 10,000.
    error
        ``"mse"`` (published) or ``"rmse"``, its square root.

    Returns
    -------
    dict
        ``error``: :math:`\beta\,(\mathrm{MSE} + 10^{-8})`; ``kl``: mean over batch **and** latents, that is the usual
        divergence over the number of latents.

    Examples
    --------
    >>> zero = torch.zeros(2, 3)
    >>> terms = residual_vae_terms(Coded(zero + 0.1, zero, zero, zero), zero, beta=100.0)
    >>> round(terms["error"].item(), 4), terms["kl"].item()
    (1.0, 0.0)
    """
    if error not in ("mse", "rmse"):
        raise ValueError(f'error should be "mse" or "rmse"; received {error!r}. Choose one of them.')
    value = functional.mse_loss(coded.reconstruction, x) + EPSILON
    kl = kl_divergence(coded.mean, coded.log_variance).mean() / coded.mean.shape[1]
    return {"error": beta * (value if error == "mse" else value.sqrt()), "kl": kl}


def _blocks(widths: Sequence[int], activations: Sequence[nn.Module]) -> nn.Sequential:
    steps = zip(pairwise(widths), activations, strict=True)
    return nn.Sequential(*(ResidualBlock(given, out, activation) for (given, out), activation in steps))


def _activation(name: Activation) -> nn.Module:
    return nn.LeakyReLU() if name == "leaky_relu" else Swish()


def _check(numbers: Sequence[int], activation: str, spectral: str) -> None:
    if min(numbers) < 1:
        raise ValueError(
            "n_features, n_latent, n_power_iterations and every width should be 1 or more; received "
            f"{', '.join(map(str, numbers))}. Correct these."
        )
    if activation not in get_args(Activation) or spectral not in get_args(Spectral):
        raise ValueError(
            f"activation should be one of {get_args(Activation)} and spectral one of {get_args(Spectral)}; received "
            f"{activation!r} and {spectral!r}. Choose among these."
        )
