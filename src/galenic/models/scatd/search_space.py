"""What a search of an encoder may change: ranges of its numbers, and a trial's numbers as an encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from galenic.models.scatd.encoder import ScATDEncoder

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Space:
    """From where to where each number is searched.

    Parameters
    ----------
    lr
        Learning rate, on a logarithmic scale.
    weight_decay, max_epochs, n_latent
        Evenly.
    first
        Width of the first layer of the encoder, which is the last hidden one of the decoder.
    last
        Width of the last hidden layer of the encoder.
    middle, step
        Widths between, chosen for encoder and decoder separately, in steps of ``step``.
    n_middle
        How many widths lie between, the same in both.
    """

    lr: Range = (1e-6, 5e-4)
    weight_decay: Range = (1e-5, 1e-2)
    max_epochs: tuple[int, int] = (10, 60)
    n_latent: tuple[int, int] = (200, 500)
    first: tuple[int, int] = (1500, 2500)
    last: tuple[int, int] = (250, 500)
    middle: tuple[int, int] = (750, 1500)
    step: int = 50
    n_middle: tuple[int, int] = (1, 3)

    def suggest(self, trial: Any) -> dict[str, Any]:
        """Numbers of one trial, by the names under which :func:`encoder_of` reads them."""
        numbers: dict[str, Any] = {
            "lr": trial.suggest_float("lr", *self.lr, log=True),
            "weight_decay": trial.suggest_float("weight_decay", *self.weight_decay),
        }
        for name in ("max_epochs", "n_latent", "first", "last", "n_middle"):
            numbers[name] = trial.suggest_int(name, *getattr(self, name))
        for side in ("encoder", "decoder"):
            for number in range(numbers["n_middle"]):
                name = f"{side}_middle_{number}"
                numbers[name] = trial.suggest_int(name, *self.middle, step=self.step)
        return numbers


SPACES = {
    "VAE_sf": Space(),
    "VAE_gf": Space(n_latent=(150, 500), first=(250, 2500), last=(150, 500), middle=(250, 1500)),
    "small": Space(
        lr=(1e-4, 1e-2), weight_decay=(1e-5, 1e-1), n_latent=(8, 64), first=(64, 512), last=(32, 256),
        middle=(64, 256), step=16, n_middle=(0, 1),
    ),
}  # fmt: skip
"""Those of the publication for embeddings of scFoundation and Geneformer (none was published for the student on genes),
and one for a laptop."""


def encoder_of(numbers: Mapping[str, Any], base: ScATDEncoder | None = None) -> ScATDEncoder:
    """The encoder of a trial's numbers; the decoder runs backwards, from its innermost width to ``first``.

    Parameters
    ----------
    numbers
        As a trial has them: ``lr, weight_decay, max_epochs, n_latent, first, last, n_middle`` and
        ``encoder_middle_0, ..., decoder_middle_0, ...``, counted from outside in both.
    base
        All other fields.

    Examples
    --------
    >>> numbers = {"lr": 1e-4, "weight_decay": 0.0, "max_epochs": 9, "n_latent": 5, "first": 90, "last": 10}
    >>> middle = {"encoder_middle_0": 70, "encoder_middle_1": 30, "decoder_middle_0": 60, "decoder_middle_1": 20}
    >>> found = encoder_of({**numbers, "n_middle": 2, **middle})
    >>> found.encoder, found.decoder
    ((90, 70, 30, 10), (20, 60, 90))
    """
    base = ScATDEncoder() if base is None else base
    encoder, decoder = (
        [int(numbers[f"{side}_middle_{number}"]) for number in range(numbers["n_middle"])]
        for side in ("encoder", "decoder")
    )
    training = replace(base.training, **{name: numbers[name] for name in ("lr", "weight_decay", "max_epochs")})
    return replace(
        base,
        n_latent=int(numbers["n_latent"]),
        encoder=(int(numbers["first"]), *encoder, int(numbers["last"])),
        decoder=(*decoder[::-1], int(numbers["first"])),
        training=training,
    )
