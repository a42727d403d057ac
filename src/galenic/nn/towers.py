"""Deep towers with residual blocks in their middle, as encoders and decoders of expression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from galenic.nn.blocks import NORMS

Norm = Literal["batch", "layer", "none"]
Output = Literal["relu", "softplus", "identity"]
OUTPUTS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "softplus": nn.Softplus, "identity": nn.Identity}


class Residual(nn.Module):
    """Two hidden units and the way around them: ``unit(unit(x)) + x``."""

    def __init__(self, width: int, norm: Norm, dropout: float) -> None:
        super().__init__()
        self.first, self.second = unit(width, width, norm, dropout), unit(width, width, norm, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of ``x``, ``(n, width)``."""
        result: Tensor = self.second(self.first(x)) + x
        return result


class Tower(nn.Sequential):
    """Hidden units, residual blocks after the second of them, one more unit, and a linear layer out.

    Parameters
    ----------
    widths
        In, three hidden, out: ``(n_genes, 1024, 512, 256, 128)`` is the published encoder,
        ``(128, 256, 512, 1024, n_genes)`` the decoder.
    n_residual
        Residual blocks of the second hidden width.
    norm
        ``"batch"`` (published; its statistics depend on the batch), ``"layer"`` or ``"none"``.
    dropout
        Share of hidden values dropped in training, between norm and ReLU.
    output
        ``"relu"`` (published: nothing below 0), ``"softplus"`` (likewise, but a gene cannot get stuck at 0) or
        ``"identity"``.

    Raises
    ------
    ValueError
        If there are not five widths.

    Notes
    -----
    A hidden unit is linear, norm, dropout, ReLU; a residual block adds its input after the second ReLU.

    Examples
    --------
    >>> import torch
    >>> Tower((40, 32, 24, 16, 8), norm="layer")(torch.zeros(3, 40)).shape
    torch.Size([3, 8])
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        n_residual: int = 3,
        norm: Norm = "batch",
        dropout: float = 0.2,
        output: Output = "relu",
    ) -> None:
        if len(widths) != 5 or min(widths) < 1:
            raise ValueError(
                f"a tower has five widths of 1 or more: in, three hidden, out; received {list(widths)}. Correct them."
            )
        given, first, second, third, out = widths
        super().__init__(
            unit(given, first, norm, dropout),
            unit(first, second, norm, dropout),
            *(Residual(second, norm, dropout) for _ in range(n_residual)),
            unit(second, third, norm, dropout),
            nn.Linear(third, out),
            OUTPUTS[output](),
        )

    @property
    def last(self) -> nn.Linear:
        """The linear layer out."""
        layer = self[-2]
        assert isinstance(layer, nn.Linear)
        return layer


def unit(given: int, out: int, norm: Norm, dropout: float) -> nn.Sequential:
    """Linear, norm, dropout, ReLU."""
    between = nn.Identity() if norm == "none" else NORMS[norm](out)
    return nn.Sequential(nn.Linear(given, out), between, nn.Dropout(dropout), nn.ReLU())
