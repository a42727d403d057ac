"""What a fitted XTransferCDR says: its networks, as they were trained, beside the start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import nn

from galenic.models.perturbation.known import Conditions, Known
from galenic.models.perturbation.stacked import StackedShift
from galenic.models.xtransfer.features import NAMES, gene_features
from galenic.models.xtransfer.genes import GeneNet, corrections
from galenic.models.xtransfer.member import inputs_of
from galenic.models.xtransfer.network import Towers
from galenic.models.xtransfer.training_pairs import scale_of
from galenic.train import seeded

if TYPE_CHECKING:
    from galenic.models.xtransfer.model import XTransferCDR

Net = TypeVar("Net", bound=nn.Module)


def new_towers(model: XTransferCDR, n_genes: int) -> Towers:
    """Untrained towers with the widths of a model; with a start they begin at 0."""
    has_start = model.start != "none"
    towers = Towers(
        n_genes,
        model.widths,
        noise=model.noise,
        norm=model.norm,
        dropout=model.dropout,
        output="identity" if has_start else model.output,
        n_residual=model.n_residual,
    )
    if has_start:
        towers.start_from_nothing()
    return towers


@dataclass(frozen=True)
class Answers:
    """What was learned, as networks.

    Parameters
    ----------
    model
        Its effective fields.
    spec, arrays
        What it learned.
    device
        Where networks compute.
    """

    model: XTransferCDR
    spec: dict[str, Any]
    arrays: dict[str, np.ndarray]
    device: str = "cpu"

    @property
    def start(self) -> StackedShift:
        """The start, fitted."""
        start = StackedShift()
        start._restore(self.spec, self.arrays)
        return start

    def corrections(self, asked: Conditions, known: Known, controls: np.ndarray) -> np.ndarray:
        """What the networks add to the effects of the start, ``(n_asked, n_genes)``."""
        total = np.zeros_like(controls)
        if self.spec["share_genes"]:
            said, able = self.genes_say(asked, known, controls)
            total += np.where(able[:, None], self.spec["share_genes"] * said, 0.0)
        if self.spec["share_towers"]:
            said, able = self.towers_say(asked, known, controls)
            total += np.where(able[:, None], self.spec["share_towers"] * said, 0.0)
        return total

    def genes_say(self, asked: Conditions, known: Known, controls: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean correction of genes, ``(n_asked, n_genes)``, and where there is a source."""
        parts, count = self.start.parts(asked, known, controls)
        effects = np.einsum("k,kng->ng", self.arrays["weights"], parts)
        features = gene_features(asked, known, controls, parts, effects, self.arrays)
        said = [corrections(net, features, self.device) for net in self.gene_nets()]
        size = float(self.arrays["effect_size"][0])
        return np.stack(said).mean(axis=0, dtype=np.float64) * size, count > 0

    def towers_say(self, asked: Conditions, known: Known, controls: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean output of the towers, ``(n_asked, n_genes)``, and where there is a source."""
        scale = scale_of(self.model, self.arrays)
        given = inputs_of(self.model, asked, known, controls, scale)
        able = given["weights"].any(dim=1).numpy()
        parts = [tensor.to(self.device) for tensor in given.values()]
        with torch.no_grad():
            said = [net.to(self.device).transfer(*parts).cpu().numpy() for net in self.towers()]
        return np.stack(said).mean(axis=0, dtype=np.float64) * scale.size, able

    def towers(self) -> Iterator[Towers]:
        """The towers, in evaluation mode."""
        for number in range(self.model.n_networks if self.spec["has_towers"] else 0):
            with seeded(0):  # first weights are drawn even where they are replaced at once
                towers = new_towers(self.model, self.arrays["means"].shape[1])
            yield self._loaded(towers, f"towers {number}/")

    def gene_nets(self) -> Iterator[GeneNet]:
        """The corrections of genes, in evaluation mode."""
        for number in range(self.model.n_networks):
            with seeded(0):
                net = GeneNet(len(NAMES), dropout=self.model.dropout)
            yield self._loaded(net, f"genes {number}/")

    def states(self) -> np.ndarray:
        """State codes of the fitted contexts by the first towers, or their mean controls, ``(n_contexts, width)``."""
        controls = self.arrays["controls"].astype(np.float64)
        towers = next(self.towers(), None)
        if towers is None:
            return controls
        with torch.no_grad():
            codes: np.ndarray = towers.state(scale_of(self.model, self.arrays)(controls)).numpy()
        return codes

    def effects(self, known: Known) -> np.ndarray:
        """Effect codes of measured conditions by the first towers, or their effects, ``(n_known, width)``."""
        towers = next(self.towers(), None)
        if towers is None:
            return known.effects
        scale = scale_of(self.model, self.arrays)
        inputs = known.effects / scale.size if self.model.difference else (known.means - scale.centre) / scale.size
        with torch.no_grad():
            codes: np.ndarray = towers.effect(torch.from_numpy(inputs.astype(np.float32))).numpy()
        return codes

    def _loaded(self, net: Net, head: str) -> Net:
        state = {
            name.removeprefix(head): torch.from_numpy(np.array(value))
            for name, value in self.arrays.items()
            if name.startswith(head)
        }
        net.load_state_dict(state)
        return net.eval()
