"""The network of ScATD: a frozen encoder, a small head, and the function that members are together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from galenic.nn.residual_vae import Encoder, ResidualVAE, Swish, drawn


class Head(nn.Module):
    """Latents to one logit, above 0 = sensitive: linear, batch norm, Swish, linear, both under spectral norm.

    Examples
    --------
    >>> Head(8)(torch.zeros(4, 8)).shape
    torch.Size([4])
    """

    def __init__(self, n_latent: int) -> None:
        super().__init__()
        width = max(2, n_latent // 2)
        self.hidden = spectral_norm(nn.Linear(n_latent, width))
        self.norm = nn.BatchNorm1d(width)
        self.activation = Swish()
        self.out = spectral_norm(nn.Linear(width, 2))

    def forward(self, z: Tensor) -> Tensor:
        """Logits ``(n,)`` of latents ``(n, n_latent)``."""
        two: Tensor = self.out(self.activation(self.norm(self.hidden(z))))
        return two[:, 1] - two[:, 0]


class CellClassifier(nn.Module):
    """Encoder and head.

    Parameters
    ----------
    encoder
        Of a residual autoencoder; frozen here until :meth:`~galenic.nn.freezable.Freezable.unfreeze`.
    n_latent
        Its number of latents.
    critic
        Also a network that tells domains apart from latents, for the adversarial term.
    """

    def __init__(self, encoder: Encoder, n_latent: int, *, critic: bool = False) -> None:
        super().__init__()
        self.encoder = encoder.freeze()
        self.head = Head(n_latent)
        self.critic = nn.Sequential(nn.Linear(n_latent, 32), nn.ReLU(), nn.Linear(32, 1)) if critic else None

    def forward(
        self, x: Tensor, sampled: bool = False, n_judged: int | None = None, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Logits of the first ``n_judged`` rows (all by default), and latents of all ``(n, n_latent)``.

        Latents are means, draws where ``sampled``, or what ``noise`` (n_latent,) makes of each row. Rows beyond
        ``n_judged`` are of the other domain: they must not move the batch statistics of the head.
        """
        mean, log_variance = self.encoder(x)
        z = drawn(mean, log_variance) if sampled else mean
        if noise is not None:
            z = mean + (log_variance / 2).exp() * noise
        return self.head(z if n_judged is None else z[:n_judged]), z


class Placed(nn.Module):
    """Shared features in their places among those of an encoder; the others are 0, which is their mean."""

    places: Tensor
    centre: Tensor
    scale: Tensor

    def __init__(self, places: Sequence[int], n_features: int, centre: Tensor | None, scale: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("places", torch.as_tensor(list(places), dtype=torch.long))
        self.n_features = n_features
        self.register_buffer("centre", torch.zeros(n_features) if centre is None else centre)
        self.register_buffer("scale", torch.ones(n_features) if scale is None else scale)

    def forward(self, x: Tensor) -> Tensor:
        """Inputs of the encoder, ``(n, n_features)``, of standardised shared features ``(n, n_shared)``."""
        whole = x.new_zeros(len(x), self.n_features).index_copy(1, self.places, x)
        placed: Tensor = whole * self.scale + self.centre
        return placed


class CellFunction(nn.Module):
    """Mean over members of start and network: the logit of a cell by itself, before its neighbours are asked.

    Examples
    --------
    >>> function = CellFunction(torch.ones(2, 3), torch.zeros(2), [], 0.0)
    >>> function(torch.ones(4, 3)).tolist()
    [3.0, 3.0, 3.0, 3.0]
    """

    weights: Tensor
    intercepts: Tensor

    def __init__(
        self,
        weights: Tensor,
        intercepts: Tensor,
        networks: Sequence[nn.Module],
        share: float,
        placed: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("weights", weights)
        self.register_buffer("intercepts", intercepts)
        self.networks = nn.ModuleList(networks)
        self.placed = placed
        self.share = share

    def members(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Logits of each member, ``(n_members, n)``; ``noise`` (n_latent,) draws latents, the same way for each row."""
        logits = self.weights @ x.T + self.intercepts[:, None]
        if not self.share or not len(self.networks):
            return logits
        inputs = x if self.placed is None else self.placed(x)
        said = torch.stack([network(inputs, noise=noise)[0] for network in self.networks])
        return logits + self.share * said

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(n,)`` of standardised features ``(n, n_features)``."""
        return self.members(x).mean(dim=0)


def encoder_of(net: ResidualVAE) -> Encoder:
    """The encoding half of an autoencoder, with weights of its own."""
    import copy

    return copy.deepcopy(net.encoder)
