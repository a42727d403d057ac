"""The three towers of XTransferCDR, and the terms they learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from galenic.nn.losses import discrepancy, orthogonality
from galenic.nn.towers import Norm, Output, Tower

Shared = Literal["cell", "drug"]
"""What the two profiles of a pair share: the context (cell) or the perturbation (drug)."""
Discrepancy = Literal["kl", "symmetric", "mse"]


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Weights of the terms of the loss; the defaults are the published ones.

    Parameters
    ----------
    reconstruction
        Each profile from its own state and effect.
    swap
        Each profile with what the pair shares taken from the other one.
    control
        Controls from the states of treated profiles, without an effect.
    discrepancy
        How far the shared codes are apart.
    kind
        Of that: "kl" of their softmax, "symmetric" (both ways) or "mse"; see galenic.nn.losses.discrepancy.
    orthogonality
        How much state and effect have in common.
    cosine
        Whether at length 1, so that small codes do not escape it.
    state_of_control
        Controls from their own states: what the state encoder is given at prediction. Not published.
    null_effect
        Controls from their own states and effects: no effect is none. Not published.
    pair
        Profiles of combinations from a state and the effects of both parts (published in a variant).
    """

    reconstruction: float = 5.0
    swap: float = 5.0
    control: float = 5.0
    discrepancy: float = 5.0
    kind: Discrepancy = "kl"
    orthogonality: float = 0.5
    cosine: bool = False
    state_of_control: float = 0.0
    null_effect: float = 0.0
    pair: float = 5.0

    def __post_init__(self) -> None:
        numbers = {name: value for name, value in vars(self).items() if name not in ("kind", "cosine")}
        wrong = {
            name: value for name, value in numbers.items() if not (isinstance(value, int | float) and 0 <= value < inf)
        }
        if wrong or self.kind not in get_args(Discrepancy):
            raise ValueError(
                f"weights should be numbers of 0 or more, and kind one of {get_args(Discrepancy)}; received "
                f"{wrong or f'kind={self.kind!r}'}. Correct them."
            )


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
    norm, dropout, output, n_residual
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
        widths: Sequence[int] = (1024, 512, 256, 128),
        *,
        noise: float = 0.1,
        norm: Norm = "batch",
        dropout: float = 0.2,
        output: Output = "relu",
        n_residual: int = 3,
    ) -> None:
        super().__init__()
        self.noise = noise
        self.state = Tower((n_genes, *widths), norm=norm, dropout=dropout, n_residual=n_residual)
        self.effect = Tower((n_genes, *widths), norm=norm, dropout=dropout, n_residual=n_residual)
        back = (widths[3], widths[2], widths[1], widths[0], n_genes)
        self.decoder = Tower(back, norm=norm, dropout=dropout, output=output, n_residual=n_residual)

    def start_from_nothing(self) -> None:
        """Make the decoder say 0 of everything: what it is a correction of then answers alone."""
        for parameter in self.decoder.last.parameters():
            nn.init.zeros_(parameter)

    def predict(self, controls: Tensor, treated: list[Tensor]) -> Tensor:
        """Treated profiles ``(n, n_genes)`` of the context of controls, by the effects of profiles treated elsewhere.

        Several effects are summed: two drugs at once.
        """
        effects = torch.stack([self.effect(profiles) for profiles in treated]).sum(dim=0)
        result: Tensor = self.decoder(self.state(controls) + effects)
        return result

    def transfer(self, states: Tensor, profiles: Tensor, weights: Tensor) -> Tensor:
        """As :meth:`predict`, where each answer takes a weighted sum of the effects of several profiles.

        Parameters
        ----------
        states
            Controls, ``(n, n_genes)``.
        profiles
            Profiles whose effects are taken, each encoded once, ``(n_profiles, n_genes)``.
        weights
            Of every profile in every answer, ``(n, n_profiles)``.
        """
        result: Tensor = self.decoder(self.state(states) + weights @ self.effect(profiles))
        return result

    def forward(self, batch: Mapping[str, Tensor], shared: Shared, weights: Weights) -> dict[str, Tensor]:
        """The weighted terms of a batch of pairs. Encoders and decoder each run once on everything stacked.

        Parameters
        ----------
        batch
            ``left, right, control_left, control_right``, ``(n, n_genes)``: two treated profiles that share one factor,
            and controls of their contexts. Optional, of the same shape: ``base_left, base_right, base_control_left,
            base_control_right``, what the output is added to (0), and ``shift_left, shift_right,
            shift_control_left, shift_control_right``, what the effect encoder is given (the profiles). With ``pair``,
            the profile of left and right together, ``base_pair`` may be given.
        shared
            What left and right share.
        weights
            Of the terms.
        """
        n = len(batch["left"])
        profiles, controls = _sides(batch, ""), _sides(batch, "control_")
        noisy = self._noisy(profiles)
        state = self.state(noisy)
        effect = self.effect(self._noisy(_sides(batch, "shift_")) if "shift_left" in batch else noisy)
        terms = self._between(state, effect, n, shared, weights)
        noisy_state, noisy_effect = self._noisy(state), self._noisy(effect)
        (sl, sr), (pl, pr) = noisy_state.split(n), noisy_effect.split(n)
        swapped = [sr + pl, sl + pr] if shared == "cell" else [sl + pr, sr + pl]
        own: Tensor = profiles - _base(batch, "")
        usual: Tensor = controls - _base(batch, "control_")
        decodings: dict[str, tuple[Tensor, Tensor]] = {
            "reconstruction": (noisy_state + noisy_effect, own),
            "swap": (torch.cat(swapped), own),
            "control": (noisy_state, usual),
            **self._of_controls(batch, controls, usual, weights),
        }
        if "pair" in batch:
            decodings["pair"] = (sl + pl + pr, batch["pair"] - batch.get("base_pair", torch.zeros(())))
        codes, targets = zip(*decodings.values(), strict=True)
        decoded = self.decoder(torch.cat(codes)).split([len(code) for code in codes])
        for name, found, target in zip(decodings, decoded, targets, strict=True):
            # Left and right are terms of their own in the publication: their sum is twice the mean of both.
            sides = 1 if name == "pair" else 2
            terms[name] = sides * getattr(weights, name) * F.mse_loss(found, target)
        return terms

    def _between(self, state: Tensor, effect: Tensor, n: int, shared: Shared, weights: Weights) -> dict[str, Tensor]:
        """Terms of the codes: what is shared agrees, and state and effect have nothing in common."""
        left, right = (state if shared == "cell" else effect).split(n)
        sides = ((state[:n], effect[:n]), (state[n:], effect[n:]))
        apart = torch.stack([orthogonality(*side, cosine=weights.cosine) for side in sides]).sum()
        return {
            "discrepancy": weights.discrepancy * discrepancy(left, right, kind=weights.kind),
            "orthogonality": weights.orthogonality * apart,
        }

    def _of_controls(
        self, batch: Mapping[str, Tensor], controls: Tensor, usual: Tensor, weights: Weights
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Codes of controls: the state encoder meets at training what it is given at prediction; no effect is none."""
        if not weights.state_of_control and not weights.null_effect:
            return {}
        noisy = self._noisy(controls)
        state, codes = self._noisy(self.state(noisy)), {}
        if weights.state_of_control:
            codes["state_of_control"] = (state, usual)
        if weights.null_effect:
            shift = self._noisy(_sides(batch, "shift_control_")) if "shift_control_left" in batch else noisy
            codes["null_effect"] = (state + self._noisy(self.effect(shift)), usual)
        return codes

    def _noisy(self, values: Tensor) -> Tensor:
        return values + self.noise * torch.randn_like(values) if self.training and self.noise else values


def _sides(batch: Mapping[str, Tensor], what: str) -> Tensor:
    return torch.cat([batch[f"{what}left"], batch[f"{what}right"]])


def _base(batch: Mapping[str, Tensor], what: str) -> Tensor:
    return _sides(batch, f"base_{what}") if f"base_{what}left" in batch else torch.zeros(())
