"""The three towers of XTransferCDR, and the terms they learn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from galenic.nn.losses import discrepancy, orthogonality
from galenic.nn.towers import Norm, Output, Tower

Shared = Literal["cell", "drug"]
"""What the two profiles of a pair share: the context (cell) or the perturbation (drug)."""


@dataclass(frozen=True)
class Weights:
    """Of the terms of the loss, as published."""

    reconstruction: float = 5.0
    swap: float = 5.0
    control: float = 5.0
    discrepancy: float = 5.0
    orthogonality: float = 0.5
    state_of_control: float = 0.0
    null_effect: float = 0.0


class Towers(nn.Module):
    r"""State and effect encoders and one decoder: ``decode(state(x) + effect(x))`` is the profile itself.

    Parameters
    ----------
    n_genes
        Width of profiles.
    widths
        Hidden widths of the encoders, and of the codes: ``(1024, 512, 256, 128)`` as published; the decoder has them
        in reverse.
    noise
        Standard deviation of the noise on profiles and, after that, on codes, in training.
    norm, dropout, output
        As in :class:`galenic.nn.towers.Tower`; ``output`` of the decoder.

    Examples
    --------
    >>> towers = Towers(40, (32, 24, 16, 8), norm="layer").eval()
    >>> towers.predict(torch.rand(3, 40), [torch.rand(3, 40)]).shape
    torch.Size([3, 40])
    """

    def __init__(
        self,
        n_genes: int,
        widths: tuple[int, int, int, int] = (1024, 512, 256, 128),
        *,
        noise: float = 0.1,
        norm: Norm = "batch",
        dropout: float = 0.2,
        output: Output = "relu",
    ) -> None:
        super().__init__()
        self.noise = noise
        self.state = Tower((n_genes, *widths), norm=norm, dropout=dropout)
        self.effect = Tower((n_genes, *widths), norm=norm, dropout=dropout)
        back = (widths[3], widths[2], widths[1], widths[0], n_genes)
        self.decoder = Tower(back, norm=norm, dropout=dropout, output=output)

    def predict(self, controls: Tensor, treated: list[Tensor]) -> Tensor:
        """Treated profiles ``(n, n_genes)`` of the context of controls, by the effects of profiles treated elsewhere.

        Several effects are summed: two drugs at once.
        """
        effects = torch.stack([self.effect(profiles) for profiles in treated]).sum(dim=0)
        result: Tensor = self.decoder(self.state(controls) + effects)
        return result

    def forward(self, batch: Mapping[str, Tensor], shared: Shared, weights: Weights) -> dict[str, Tensor]:
        """The weighted terms of a batch of pairs: ``left, right, control_left, control_right``, ``(n, n_genes)``.

        Encoders and decoder each run once on everything stacked.
        """
        n = len(batch["left"])
        profiles = self._noisy(torch.cat([batch["left"], batch["right"]]))
        state, effect = self.state(profiles), self.effect(profiles)
        terms = self._between(state, effect, n, shared, weights)
        noisy_state, noisy_effect = self._noisy(state), self._noisy(effect)
        (sl, sr), (pl, pr) = noisy_state.split(n), noisy_effect.split(n)
        swapped = [sr + pl, sl + pr] if shared == "cell" else [sl + pr, sr + pl]
        controls = torch.cat([batch["control_left"], batch["control_right"]])
        codes = [noisy_state + noisy_effect, torch.cat(swapped), noisy_state]
        targets = [torch.cat([batch["left"], batch["right"]])] * 2 + [controls]
        names = ["reconstruction", "swap", "control"]
        if weights.state_of_control or weights.null_effect:
            more, names = self._of_controls(controls, weights, names)
            codes, targets = [*codes, *more], [*targets, *[controls] * len(more)]
        decoded = self.decoder(torch.cat(codes)).split([len(code) for code in codes])
        for name, found, target in zip(names, decoded, targets, strict=True):
            # Left and right are terms of their own in the publication: their sum is twice the mean of both.
            terms[name] = 2 * getattr(weights, name) * F.mse_loss(found, target)
        return terms

    def _between(self, state: Tensor, effect: Tensor, n: int, shared: Shared, weights: Weights) -> dict[str, Tensor]:
        """Terms of the codes: what is shared agrees, and state and effect have nothing in common."""
        left, right = (state if shared == "cell" else effect).split(n)
        apart = orthogonality(state[:n], effect[:n]) + orthogonality(state[n:], effect[n:])
        return {
            "discrepancy": weights.discrepancy * discrepancy(left, right),
            "orthogonality": weights.orthogonality * apart,
        }

    def _of_controls(self, controls: Tensor, weights: Weights, names: list[str]) -> tuple[list[Tensor], list[str]]:
        """Codes of controls: the state encoder meets at training what it is given at prediction; no effect is none."""
        noisy = self._noisy(controls)
        state = self._noisy(self.state(noisy))
        codes: list[Tensor] = []
        names = list(names)
        if weights.state_of_control:
            codes, names = [*codes, state], [*names, "state_of_control"]
        if weights.null_effect:
            codes, names = [*codes, state + self._noisy(self.effect(noisy))], [*names, "null_effect"]
        return codes, names

    def _noisy(self, values: Tensor) -> Tensor:
        return values + self.noise * torch.randn_like(values) if self.training and self.noise else values
