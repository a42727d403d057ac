"""Autoencoders of profiles: plain, denoising, variational, and variational with a linear decoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor, nn

Kind = Literal["ae", "dae", "vae", "linear"]
WIDTHS = {5: (100, 25), 10: (250, 50)}
"""Published widths of the two hidden layers for a latent size; others have ``(250, 100)``."""


def widths_of(n_latent: int) -> tuple[int, int]:
    """Widths of the hidden layers for a latent size, as published.

    Examples
    --------
    >>> widths_of(5), widths_of(50)
    ((100, 25), (250, 100))
    """
    return WIDTHS.get(n_latent, (250, 100))


class Autoencoder(nn.Module):
    """Encoder and decoder around ``n_latent`` numbers.

    - ``"ae"``: one hidden layer (batch norm, ReLU, dropout), linear latents; decoder with one hidden layer.
    - ``"dae"``: the same with fresh noise on the input of every training step.
    - ``"vae"``: two hidden layers, mean and log-variance of each latent; the decoder mirrors them. Latents are means;
      they are sampled in training only.
    - ``"linear"``: encoder of "vae", linear decoder: its weights are loadings.

    Parameters
    ----------
    n_features, n_latent
        Width of the input and number of latents.
    kind
        One of the four.
    widths
        Of the hidden layers; by default those that were published for this latent size. Kinds "ae" and "dae" have one
        hidden layer, of the first width.
    n_context
        Numbers of each profile that the decoder is given besides the latents, so that these need not carry them.
    noise
        Standard deviation of the noise of "dae", in units of the input.
    dropout
        Share of hidden values that "ae" and "dae" set to 0 in training, [0, 1).
    as_published
        Decoder of "vae" with its widths in the order of the encoder (narrow layer last) in place of mirrored.

    Raises
    ------
    ValueError
        If a value is not allowed.

    Notes
    -----
    Weights start Glorot-uniform, biases at 0; batch norm has epsilon 1e-3. After Deep-pert, itself after DeepProfile
    (Qiu et al. 2022). Differences: the decoder is mirrored, latents are means and not samples.

    Examples
    --------
    >>> net = Autoencoder(150, 5, kind="vae")
    >>> reconstruction, mean, log_variance = net(torch.zeros(8, 150))
    >>> reconstruction.shape, mean.shape, net.encode(torch.zeros(8, 150)).shape
    (torch.Size([8, 150]), torch.Size([8, 5]), torch.Size([8, 5]))
    """

    def __init__(
        self,
        n_features: int,
        n_latent: int,
        *,
        kind: Kind = "vae",
        widths: tuple[int, int] | None = None,
        n_context: int = 0,
        noise: float = 1.0,
        dropout: float = 0.1,
        as_published: bool = False,
    ) -> None:
        super().__init__()
        first, second = widths or widths_of(n_latent)
        if kind not in get_args(Kind) or min(n_features, n_latent, first, second) < 1 or n_context < 0:
            raise ValueError(
                f"kind should be one of {get_args(Kind)}, and n_features, n_latent and widths 1 or more; received "
                f"{kind!r}, {n_features}, {n_latent} and {(first, second)}. Correct these."
            )
        if noise < 0 or not 0 <= dropout < 1:
            raise ValueError(
                f"noise should be 0 or more and dropout in [0, 1); received {noise} and {dropout}. Correct these."
            )
        self.kind, self.variational, self.noise = kind, kind in ("vae", "linear"), noise
        n_in = n_latent + n_context
        if not self.variational:
            self.body = nn.Sequential(*_hidden(n_features, first), nn.Dropout(dropout))
            self.mean = nn.Linear(first, n_latent)
            self.decoder = nn.Sequential(
                nn.Linear(n_in, first), nn.ReLU(), nn.Dropout(dropout), nn.Linear(first, n_features)
            )
        else:
            self.body = nn.Sequential(*_hidden(n_features, first), *_hidden(first, second))
            self.mean, self.log_variance = nn.Linear(second, n_latent), nn.Linear(second, n_latent)
            one, two = (first, second) if as_published else (second, first)
            deep = [nn.Linear(n_in, one), nn.ReLU(), nn.Linear(one, two), nn.ReLU(), nn.Linear(two, n_features)]
            self.decoder = nn.Sequential(*([nn.Linear(n_in, n_features)] if kind == "linear" else deep))
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def encode(self, x: Tensor) -> Tensor:
        """Latents ``(n, n_latent)`` of inputs ``(n, n_features)``; means where there is a distribution.

        Parameters
        ----------
        x
            Inputs, ``(n, n_features)``.
        """
        latents: Tensor = self.mean(self.body(x))
        return latents

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Reconstruction, latents (means), and their log-variance (``None`` where there is none).

        Parameters
        ----------
        x
            Inputs, ``(n, n_features)``.
        context
            What the decoder is given besides, ``(n, n_context)``; None: nothing.
        """
        if self.kind == "dae" and self.training:
            x = x + self.noise * torch.randn_like(x)
        hidden = self.body(x)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden) if self.variational else None
        z = mean
        if log_variance is not None and self.training:
            z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        return self.decoder(z if context is None else torch.cat([z, context], dim=1)), mean, log_variance

    def layers(self) -> list[tuple[Tensor, Tensor]]:
        """The encoder in evaluation mode as affine maps ``x @ weight.T + bias`` with a ReLU between two of them.

        Batch norm is folded into the map before it.
        """
        found: list[tuple[Tensor, Tensor]] = []
        for layer in [*self.body, self.mean]:
            if isinstance(layer, nn.Linear):
                found.append((layer.weight.detach(), layer.bias.detach()))
            elif isinstance(layer, nn.BatchNorm1d):
                assert layer.running_mean is not None
                assert layer.running_var is not None
                scale = layer.weight.detach() / (layer.running_var + layer.eps).sqrt()
                weight, bias = found[-1]
                shift = layer.bias.detach() - scale * layer.running_mean
                found[-1] = (scale[:, None] * weight, scale * bias + shift)
        return found


def beta_at(progress: float, beta: float, warmup: float) -> float:
    """Weight of the KL term: rises from 0 to ``beta`` over a share of training.

    Parameters
    ----------
    progress
        Share of training that is done, [0, 1].
    beta
        Final weight.
    warmup
        Share of training over which it rises; 0 = ``beta`` from the start.

    Examples
    --------
    >>> [beta_at(progress, 2.0, 0.5) for progress in (0.0, 0.25, 0.5, 1.0)]
    [0.0, 1.0, 2.0, 2.0]
    """
    return beta * min(1.0, progress / warmup) if warmup else beta


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    r"""KL divergence of :math:`N(\mu, \sigma^2)` from N(0, 1), summed over latents: ``(n,)``.

    Examples
    --------
    >>> kl_divergence(torch.tensor([[0.0, 1.0]]), torch.zeros(1, 2))
    tensor([0.5000])
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)


def autoencoder_terms(
    net: nn.Module, batch: Mapping[str, Tensor], progress: float, *, beta: float, warmup: float, unit: float = 1.0
) -> dict[str, Tensor]:
    """Terms of the loss of a batch: ``error``, the squared error summed over features, and beta x ``kl``.

    Parameters
    ----------
    net
        An :class:`Autoencoder`.
    batch
        ``"x"``: ``(n, n_features)``, and perhaps ``"context"``.
    progress
        Share of training that is done.
    beta, warmup
        See :func:`beta_at`.
    unit
        What the input was divided by: errors are given on the scale before that.

    Returns
    -------
    dict
        Means over the batch.
    """
    reconstruction, mean, log_variance = net(batch["x"], batch.get("context"))
    error = (reconstruction - batch["x"]).square().sum(dim=1).mean()
    terms = {"error": unit**2 * error}
    if log_variance is not None:
        terms["kl"] = beta_at(progress, beta, warmup) * kl_divergence(mean, log_variance).mean()
    return terms


def _hidden(n_in: int, n_out: int) -> list[nn.Module]:
    return [nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out, eps=1e-3), nn.ReLU()]
