"""Blocks every network shares: layers in a row, standardising and projecting as part of the network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

Activation = Literal["relu", "gelu", "silu", "elu", "leaky_relu", "tanh"]
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
}
NORMS: dict[str, type[nn.Module]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
CHUNK = 2**18  # values read at once while fitting: a piece that stays in the processor's cache


class MLP(nn.Sequential):
    """Linear layers in a row; between two of them norm, activation and dropout, after the last nothing.

    Parameters
    ----------
    widths
        Number of features in, of each hidden layer, and out: two numbers at least.
    activation
        ``"relu"``, ``"gelu"``, ``"silu"``, ``"elu"``, ``"leaky_relu"`` or ``"tanh"``.
    dropout
        Share of hidden values set to 0 in training, in [0, 1).
    norm
        ``"batch"``, ``"layer"`` or ``None``, before the activation.

    Raises
    ------
    ValueError
        If a value is not allowed.

    Examples
    --------
    >>> MLP([978, 64, 8], norm="layer")(torch.zeros(5, 978)).shape
    torch.Size([5, 8])
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        activation: Activation = "relu",
        dropout: float = 0.0,
        norm: Literal["batch", "layer"] | None = None,
    ) -> None:
        if len(widths) < 2 or min(widths) < 1:
            raise ValueError(
                f"widths should be two or more numbers of 1 or more; received {list(widths)}. Give features in and out."
            )
        if activation not in ACTIVATIONS or norm not in (None, *NORMS) or not 0 <= dropout < 1:
            raise ValueError(
                f"activation should be one of {tuple(ACTIVATIONS)}, norm None or one of {tuple(NORMS)}, "
                f"dropout in [0, 1); received {activation!r}, {norm!r} and {dropout!r}. Choose among these."
            )
        layers: list[nn.Module] = []
        for width, after in pairwise(widths[:-1]):
            layers += [nn.Linear(width, after)]
            layers += [NORMS[norm](after)] if norm else []
            layers += [ACTIVATIONS[activation]()]
            layers += [nn.Dropout(dropout)] if dropout else []
        super().__init__(*layers, nn.Linear(widths[-2], widths[-1]))


class Standardize(nn.Module):
    """Each feature minus its mean, over its standard deviation, as learned from training rows.

    Mean and scale are buffers: saved with the network, never learned by gradients. Missing values (NaN) become 0,
    that is the mean. A feature that was constant (or never measured) becomes 0, whatever its value.

    Parameters
    ----------
    n_features
        Width of the input. Until :meth:`fit`, or weights are loaded, the output is NaN.

    Examples
    --------
    >>> layer = Standardize(2).fit([[1.0, 5.0], [3.0, 5.0], [float("nan"), 5.0]])
    >>> layer(torch.tensor([[3.0, 6.0], [float("nan"), 5.0]])).tolist()
    [[1.0, 0.0], [0.0, 0.0]]
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((n_features,), torch.nan))
        self.register_buffer("scale", torch.full((n_features,), torch.nan))

    def fit(self, values: Any) -> Self:
        """Learn from the rows of a matrix ``(n_rows, n_features)``: array, memory map, h5py dataset or sparse.

        It is read in pieces of rows. The standard deviation is that of the population: divided by the number of values.

        Raises
        ------
        ValueError
            If the number of features differs, or a value is infinite.
        """
        n_features = len(self.mean)
        count, mean, squares = np.zeros(n_features), np.zeros(n_features), np.zeros(n_features)
        low, high = np.full(n_features, np.inf), np.full(n_features, -np.inf)
        for part in _parts(values, n_features):
            known = ~np.isnan(part)
            n = known.sum(axis=0)
            new = np.where(known, part, 0).sum(axis=0) / np.maximum(n, 1)
            shift, both = new - mean, np.maximum(count + n, 1)
            # Chan et al. 1979: merging two sets of rows; sums of squares would lose digits where the mean is large.
            squares += (np.where(known, part - new, 0) ** 2).sum(axis=0) + shift**2 * count * n / both
            mean, count = mean + shift * n / both, count + n
            low = np.minimum(low, np.where(known, part, np.inf).min(axis=0))
            high = np.maximum(high, np.where(known, part, -np.inf).max(axis=0))
        scale = np.where(high > low, np.sqrt(squares / np.maximum(count, 1)), 0)
        self.mean.copy_(torch.from_numpy(mean))
        self.scale.copy_(torch.from_numpy(scale))
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Standardised values, of the shape of ``x``: ``(..., n_features)``."""
        x = torch.where(x.isnan(), self.mean, x)
        return (x - self.mean) * torch.where(self.scale == 0, 0.0, 1 / self.scale)

    def inverse(self, z: Tensor) -> Tensor:
        """Values on the scale of the data; constant features become their mean."""
        return z * self.scale + self.mean


class Project(nn.Module):
    """Principal components as a layer: ``(x - mean) @ components.T``.

    Exactly linear, so gradients and attributions of what follows reach the features (genes). Mean and components are
    buffers: saved with the network, never learned by gradients.

    Parameters
    ----------
    n_features, n_components
        Width of the input and of the output. Until :meth:`fit`, or weights are loaded, the output is NaN.

    Examples
    --------
    >>> layer = Project(3, 1).fit([[1.0, 1.0, 0.0], [2.0, 2.0, 0.0], [3.0, 3.0, 0.0]])
    >>> layer.inverse(layer(torch.tensor([[5.0, 5.0, 0.0]]))).round(decimals=4).tolist()
    [[5.0, 5.0, 0.0]]
    """

    mean: Tensor
    components: Tensor

    def __init__(self, n_features: int, n_components: int) -> None:
        super().__init__()
        if not 1 <= n_components <= n_features:
            raise ValueError(
                f"n_components should be from 1 to the number of features, {n_features:,}; received {n_components}. "
                "Ask for fewer."
            )
        self.register_buffer("mean", torch.full((n_features,), torch.nan))
        self.register_buffer("components", torch.full((n_components, n_features), torch.nan))

    def fit(self, values: Any, *, seed: int = 0) -> Self:
        """Learn from the rows of a matrix ``(n_rows, n_features)``.

        A singular value decomposition: exact for small matrices or many components, otherwise randomised (Halko,
        Martinsson and Tropp 2011). In each component the largest weight is positive.

        Raises
        ------
        ValueError
            If the shape does not allow so many components, or a value is missing or infinite.
        """
        n_components, n_features = self.components.shape
        matrix = np.concatenate(list(_parts(values, n_features)))
        if np.isnan(matrix).any() or len(matrix) < n_components:
            raise ValueError(
                f"projecting on {n_components} components needs that many rows and no missing value; "
                f"received {len(matrix):,} rows and {int(np.isnan(matrix).sum()):,} missing values. "
                "Standardize first, or ask for fewer components."
            )
        mean = matrix.mean(axis=0)
        matrix -= mean
        if min(matrix.shape) > 1000 and n_components < 0.2 * min(matrix.shape):
            basis = _range(matrix, n_components + 10, seed)
            axes = np.linalg.svd(basis.T @ matrix, full_matrices=False)[2][:n_components]
        else:
            axes = np.linalg.svd(matrix, full_matrices=False)[2][:n_components]
        largest = axes[np.arange(n_components), np.abs(axes).argmax(axis=1)]
        self.mean.copy_(torch.from_numpy(mean))
        self.components.copy_(torch.from_numpy(axes * np.sign(largest)[:, None]))
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Scores, ``(..., n_components)``."""
        return (x - self.mean) @ self.components.T

    def inverse(self, z: Tensor) -> Tensor:
        """The nearest features to scores ``z``, ``(..., n_features)``."""
        return z @ self.components + self.mean


def _range(matrix: np.ndarray, n: int, seed: int, n_iterations: int = 7) -> np.ndarray:
    """Orthonormal ``(n_rows, n)`` that nearly span the strongest columns of a matrix."""
    guess = matrix @ np.random.default_rng(seed).normal(size=(matrix.shape[1], n))
    for _ in range(n_iterations):
        guess = matrix @ np.linalg.qr(matrix.T @ np.linalg.qr(guess)[0])[0]
    return np.linalg.qr(guess)[0]


def _parts(values: Any, n_features: int) -> Iterator[np.ndarray]:
    """The rows of a matrix in pieces, dense, in double precision."""
    values = values if hasattr(values, "shape") else np.asarray(values)
    values = values.to_numpy() if hasattr(values, "iloc") else values
    if len(values.shape) != 2 or values.shape[1] != n_features or not values.shape[0]:
        raise ValueError(
            f"fitting needs a matrix of {n_features:,} features and one row at least; "
            f"received shape {tuple(values.shape)}. Align the features first."
        )
    n_rows = max(1, CHUNK // n_features)
    for start in range(0, values.shape[0], n_rows):
        part = values[start : start + n_rows]
        part = np.asarray(part.toarray() if hasattr(part, "toarray") else part).astype(float)
        if np.isinf(part).any():
            raise ValueError(
                f"fitting needs finite or missing (NaN) values; received {int(np.isinf(part).sum()):,} infinite ones. "
                "Check the logarithm of zeros."
            )
        yield part
