"""Parts of a network that can stand still while the rest learns."""

from __future__ import annotations

from typing import Self

from torch import nn


class Freezable(nn.Module):
    """A part of a network that can be frozen: no gradients, and its statistics stand still.

    ``train()`` of the part, or of any network that holds it, leaves it in evaluation mode while it is frozen: running
    means of batch norm and the vectors of spectral norm would otherwise move although no weight learns.

    Examples
    --------
    >>> class Part(Freezable):
    ...     def __init__(self) -> None:
    ...         super().__init__()
    ...         self.norm = nn.BatchNorm1d(2)
    >>> whole = nn.ModuleDict({"part": Part().freeze(), "head": nn.Linear(2, 1)}).train()
    >>> whole["part"].norm.training, whole["head"].training
    (False, True)
    """

    frozen = False

    def freeze(self) -> Self:
        """Stop learning until :meth:`unfreeze`."""
        self.frozen = True
        self.requires_grad_(False)
        return self.eval()

    def unfreeze(self) -> Self:
        """Learn again, in the training mode."""
        self.frozen = False
        self.requires_grad_(True)
        return self.train()

    def train(self, mode: bool = True) -> Self:
        """Training or evaluation mode; evaluation whatever is asked while frozen.

        Parameters
        ----------
        mode
            True: training.
        """
        return super().train(mode and not self.frozen)
