"""Encoders of what is measured in a cell: features to tokens (for attention) and to one vector."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

KERNEL, POOL = 8, 3


class Encoder(nn.Module):
    """What both encoders share: tokens of a cell by :meth:`tokens`, and one linear layer from tokens to a vector.

    Parameters
    ----------
    n_tokens, width
        Tokens of a cell, and width of each.
    n_out
        Width of the vector of a cell. It has no activation at its end.
    """

    def __init__(self, n_tokens: int, width: int, n_out: int) -> None:
        super().__init__()
        self.n_tokens, self.width = n_tokens, width
        self.summary = nn.Linear(n_tokens * width, n_out)

    def tokens(self, x: Tensor) -> Tensor:
        """Tokens ``(b, n_tokens, width)`` of cells ``(b, n_features)``; none is negative."""
        raise NotImplementedError

    def vector(self, tokens: Tensor) -> Tensor:
        """Vectors ``(b, n_out)`` of tokens, as they are or re-weighted by attention."""
        return self.summary(tokens.flatten(1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens and vectors of cells ``(b, n_features)``."""
        tokens = self.tokens(x)
        return tokens, self.vector(tokens)


class ConvEncoder(Encoder):
    """The published encoder: three times convolution along the features, ReLU and pooling; then one linear layer.

    Parameters
    ----------
    n_features
        Features of a cell, 118 at least: with fewer nothing is left after the third pooling.
    n_out
        Width of the vector of a cell. It has no activation at its end.
    n_filters
        Channels after the first convolution; twice and four times as many after the others.

    Attributes
    ----------
    n_tokens, width
        Positions left after the third pooling, and channels of each: the shape of the tokens.

    Raises
    ------
    ValueError
        If there are too few features.

    Notes
    -----
    A convolution takes neighbours in the list of features for neighbours in fact; genes have no such order, and
    :class:`DenseEncoder` does without it. Tokens are flattened token by token, with or without attention in between;
    the published code flattens channel by channel without attention and token by token with it, so that the linear
    layer meets its inputs in another order than it learned.

    Examples
    --------
    >>> import torch
    >>> tokens, vector = ConvEncoder(1000)(torch.zeros(2, 1000))
    >>> tokens.shape, vector.shape
    (torch.Size([2, 33, 128]), torch.Size([2, 128]))
    """

    def __init__(self, n_features: int, n_out: int = 128, *, n_filters: int = 32) -> None:
        channels = [1, n_filters, 2 * n_filters, 4 * n_filters]
        n_tokens = n_features
        for _ in channels[1:]:
            n_tokens = max(0, n_tokens - KERNEL + 1) // POOL
        if not n_tokens:
            raise ValueError(
                f"the convolutional encoder needs 118 features or more; received {n_features:,}. "
                "Use DenseEncoder for so few."
            )
        super().__init__(n_tokens, channels[-1], n_out)
        self.layers = nn.Sequential()
        for n, after in pairwise(channels):
            self.layers.extend([nn.Conv1d(n, after, KERNEL), nn.ReLU(), nn.MaxPool1d(POOL)])

    def tokens(self, x: Tensor) -> Tensor:
        """Positions along the features, ``(b, n_tokens, width)``, of cells ``(b, n_features)``."""
        return self.layers(x[:, None]).transpose(1, 2)


class DenseEncoder(Encoder):
    """An encoder for which the order of features means nothing: one hidden layer, read as tokens, and a linear layer.

    Parameters
    ----------
    n_features
        Features of a cell.
    n_out
        Width of the vector of a cell. It has no activation at its end.
    n_tokens, width
        Tokens that the hidden layer is cut into, and width of each: what attention can choose among.
    dropout
        Share of features, and of hidden values, set to 0 in training, in [0, 1). A few hundred cells teach a network
        no more than broad patterns: with most features out of sight it cannot learn single cells by heart.

    Examples
    --------
    >>> import torch
    >>> tokens, vector = DenseEncoder(656)(torch.zeros(2, 656))
    >>> tokens.shape, vector.shape
    (torch.Size([2, 8, 64]), torch.Size([2, 128]))
    """

    def __init__(
        self, n_features: int, n_out: int = 128, *, n_tokens: int = 8, width: int = 64, dropout: float = 0.5
    ) -> None:
        super().__init__(n_tokens, width, n_out)
        hidden = n_tokens * width
        self.layers = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(n_features, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Dropout(dropout)
        )

    def tokens(self, x: Tensor) -> Tensor:
        """The hidden layer in pieces, ``(b, n_tokens, width)``, of cells ``(b, n_features)``."""
        return self.layers(x).unflatten(1, (self.n_tokens, self.width))
