"""How ScATD learns: the encoder, a start and a network without each fold of the lines, and how they are joined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from scipy.stats import rankdata

from galenic.data.cell_matrix import CellMatrix
from galenic.data.neighbourhood import Neighbourhood
from galenic.evaluate.metrics import auroc
from galenic.models.cells.cell_model import judge, sigmoid, standardised
from galenic.models.cells.source import Source
from galenic.models.keeping import opened
from galenic.models.scatd.encoder import ScATDEncoder
from galenic.models.scatd.member import MOST_CELLS, Lesson, restored, train_member
from galenic.models.scatd.network import Placed
from galenic.models.scatd.stack import Stack, joined
from galenic.models.scatd.start import Start, agreement, direction, halves
from galenic.train import Where
from galenic.work.bar import counted
from galenic.work.fan_out import fan_out
from galenic.work.kept import digest

if TYPE_CHECKING:
    from galenic.models.scatd.model import ScATD

ALIKE = 0.5
"""Correlation with the start on the target's cells below which networks are not heard."""
STARTS: dict[str, tuple[Start, ...]] = {
    "auto": ("ridge", "centroid"), "ridge": ("ridge",), "centroid": ("centroid",), "none": (),
}  # fmt: skip
EXPRESSION = ("counts", "log", "linear")
"""Kinds of values that are never below 0."""


@dataclass(frozen=True)
class Learned:
    """What was learned without one fold: starts and network, and what each says of the lines of the fold."""

    weights: dict[Start, np.ndarray]
    starts: dict[Start, np.ndarray]
    said: np.ndarray
    state: dict[str, np.ndarray]
    history: pd.DataFrame


class Fit:
    """One fit, from lines to arrays.

    Parameters
    ----------
    model
        The fields that count.
    source
        Labelled lines.
    spec
        Of the model; what is found is added.
    encoder
        Pretrained on other cells, or ``None``.
    target
        Cells that will be asked about, or ``None``.
    graph_of
        Gives the neighbourhood of cells.
    """

    def __init__(
        self,
        model: ScATD,
        source: Source,
        spec: dict[str, Any],
        encoder: ScATDEncoder | None,
        *,
        target: AnnData | None,
        device: str,
        n_jobs: int,
        progress: bool,
        graph_of: Callable[[AnnData], Neighbourhood | None],
        checkpoint: str | Path | None = None,
        few: Any = None,
    ) -> None:
        self.model, self.source, self.spec = model, source, spec
        self.where, self.n_jobs = Where(device=device, progress=progress), n_jobs
        self.graph_of = graph_of
        self.graph: Neighbourhood | None = None
        self.kinds: tuple[Start, ...] = STARTS[model.start]
        self.mean, self.sd = source.x.mean(axis=0), source.x.std(axis=0)
        self.cells = None if target is None else self._cells(target)
        self.kept = opened(checkpoint, model, lambda: _read(source, self.cells, encoder), kinds=(Learned,))
        self.encoder = self._own() if encoder is None else encoder
        self.given = encoder is not None

    def run(self) -> tuple[dict[str, np.ndarray], pd.DataFrame, pd.DataFrame]:
        """Arrays of the model, the history of training, and what members say of lines that they left out."""
        model, source = self.model, self.source
        # Networks with a spectral norm cannot be pickled; the encoder that makes them can.
        given = self.encoder, self._placed(), self.cells, self._low()
        lesson = _lesson(*given)
        folds = list(source.folds(model.n_folds, model.seed))
        names = [f"fold-{number}" for number in range(len(folds))]
        jobs = {
            name: (model, given, source, self.kinds, folds[number], number, self.where.of(self.kept, name))
            for number, name in enumerate(names)
        }
        found: dict[str, Learned] = dict(
            counted(fan_out(_learned, jobs, n_jobs=self.n_jobs, kept=self.kept), "folds", len(jobs))
        )
        learned = [found[name] for name in names]
        network, fold = np.zeros(len(source.y)), np.zeros(len(source.y), dtype=np.intp)
        starts: dict[Start, np.ndarray] = {kind: np.zeros(len(source.y)) for kind in self.kinds}
        for number, (part, (_, test)) in enumerate(zip(learned, folds, strict=True)):
            network[test], fold[test] = part.said, number
            for kind in self.kinds:
                starts[kind][test] = part.starts[kind]
        arrays = self._chosen(starts)
        stack = self._stacked(starts, network, fold, learned, lesson)
        probability = sigmoid(network if model.as_published else stack.left_out)
        judge(model, self.spec, source, probability, fold)
        if model.as_published:
            ranked = [auroc(source.y[test], network[test]) for _, test in folds]
            learned, self.spec["threshold"] = [learned[int(np.nanargmax(ranked))]], 0.5
        arrays |= self._arrays(learned, stack)
        pretraining = getattr(self.encoder, "history_", pd.DataFrame()).assign(stage="autoencoder", member=-1)
        history = [] if self.given else [pretraining]
        history += [part.history.assign(stage="head") for part in learned]
        return arrays, pd.concat(history, ignore_index=True), model.source_

    def _stacked(
        self,
        starts: dict[Start, np.ndarray],
        network: np.ndarray,
        fold: np.ndarray,
        learned: list[Learned],
        lesson: Lesson,
    ) -> Stack:
        """How start and networks are joined; networks have to beat every start, and to say alike of the target."""
        kind: Start | None = self.spec["start"]
        if kind is None:
            return joined(None, network, self.source.y, fold)
        rivals = [said for other, said in starts.items() if other != kind]
        stack = joined(starts[kind], network, self.source.y, fold, rivals)
        alike = self._alike(learned, lesson, kind) if stack.share else None
        self.spec["networks_agree"] = alike
        return stack if alike is None or alike >= ALIKE else joined(starts[kind], None, self.source.y, fold)

    def _arrays(self, learned: list[Learned], stack: Stack) -> dict[str, np.ndarray]:
        """Statistics of the lines, the linear part of each member's logit, and networks if they are heard."""
        kind: Start | None = self.spec["start"]
        published = self.model.as_published
        self.spec |= {
            "n_members": len(learned), "share_network": stack.share, "start_weight": stack.start,
            "network_weight": 1.0 if published else stack.network, "logit_sd": float(stack.left_out.std()),
        }  # fmt: skip
        weights = [part.weights[kind] if kind else np.zeros(self.source.x.shape[1] + 1) for part in learned]
        found = stack.start * np.stack(weights)
        level = 0.0 if published else stack.intercept
        arrays = {
            "source/mean": self.mean, "source/sd": self.sd,
            "start/weights": found[:, :-1], "start/intercepts": found[:, -1] + level,
        }  # fmt: skip
        return arrays | (self._networks([part.state for part in learned]) if self.spec["network_weight"] else {})

    def _chosen(self, starts: dict[Start, np.ndarray]) -> dict[str, np.ndarray]:
        """Choose the start whose halves agree most on the target's cells; without cells, that ranks lines best.

        Returns
        -------
        dict
            ``halves`` of the chosen start, if there is one.
        """
        source = self.source
        x = standardised(source.x, self.mean, self.sd)
        found = {kind: halves(kind, x, source.y, source.response, source.line, self.model.seed) for kind in self.kinds}
        scores = {kind: auroc(source.y, said) for kind, said in starts.items()}
        if self.cells is not None:
            for kind, both in found.items():
                split = self._smooth(self.cells @ both.reshape(-1, both.shape[2]).T)
                scores[kind] = agreement(split[:, 0::2], split[:, 1::2])
        self.spec |= {
            "starts": {kind: float(score) for kind, score in scores.items()},
            "start": None,
            "agreement": None,
        }
        if not scores:
            return {}
        best = max(scores, key=scores.__getitem__)
        self.spec |= {"start": best, "agreement": None if self.cells is None else float(scores[best])}
        return {"halves": found[best].astype(np.float32)}

    def _smooth(self, values: np.ndarray) -> np.ndarray:
        """Values of the target's cells spread over their graph."""
        return values if self.graph is None else self.graph.smooth(values, spread=self.model.spread)

    def _alike(self, learned: list[Learned], lesson: Lesson, kind: Start) -> float | None:
        """Correlation of what starts and networks say of the target's cells, among their neighbours."""
        if self.cells is None:
            return None
        with torch.no_grad():
            inputs = lesson.placed(torch.from_numpy(self.cells.astype(np.float32)))
            nets = [restored(self.model, lesson, part.state) for part in learned]
            networks = np.mean([net(inputs)[0].numpy() for net in nets], axis=0)
        starts = self.cells @ np.mean([part.weights[kind][:-1] for part in learned], axis=0)
        smooth = self._smooth(np.stack([starts, networks], axis=1))
        return float(np.corrcoef(smooth.T)[0, 1]) if (smooth.std(axis=0) > 0).all() else None

    def _cells(self, target: AnnData) -> np.ndarray:
        """Standardised shared features of some cells of the target."""
        matrix = CellMatrix.of(target, use_rep=self.model.use_rep, features=self.source.features)
        rows, some = np.arange(matrix.n), target
        if matrix.n > MOST_CELLS:
            rows = np.sort(np.random.default_rng([self.model.seed, 5]).choice(matrix.n, MOST_CELLS, replace=False))
            some = target[rows].to_memory()
        self.graph = self.graph_of(some)
        own = matrix.statistics()
        mean, sd = (own.mean, own.sd) if self.model.align == "own" else (self.mean, self.sd)
        return standardised(matrix.rows(rows), mean, sd)

    def _own(self) -> ScATDEncoder:
        """An encoder of unlabelled lines and cells, standardised each by their own domain."""
        model = self.model
        parts = [standardised(self.source.x, self.mean, self.sd)] + ([] if self.cells is None else [self.cells])
        x = np.concatenate(parts).astype(np.float32)
        both = AnnData(x, var=pd.DataFrame(index=self.source.features))
        encoder = ScATDEncoder(
            n_latent=model.n_latent, encoder=model.widths, beta=model.beta, n_genes=0, training=model.pretraining,
            seed=model.seed,
        )  # fmt: skip
        kept = None if self.kept is None else self.kept.folder / "encoder"
        where = self.where
        return encoder.fit(both, kind="scaled", device=where.device, progress=where.progress, checkpoint=kept)

    def _placed(self) -> Placed:
        """Shared features in their places; an encoder that standardises takes them as they are."""
        names = self.encoder.spec_["features"]
        place = {name: number for number, name in enumerate(names)}
        places = [place[name] for name in self.source.features]
        if self.encoder.spec_["recipe"]["standardise"]:
            return Placed(places, len(names), None, None)
        centre = torch.from_numpy(np.array(self.encoder.arrays_["middle"], dtype=np.float32))
        scale = torch.ones(len(names))
        centre[places] = torch.from_numpy(self.mean.astype(np.float32))
        scale[places] = torch.from_numpy(self.sd.astype(np.float32))
        return Placed(places, len(names), centre, scale)

    def _low(self) -> np.ndarray | None:
        """Where expression of 0 lies, standardised."""
        if self.source.kind not in EXPRESSION:
            return None
        return standardised(np.zeros((1, len(self.mean))), self.mean, self.sd)[0]

    def _networks(self, states: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Weights of the networks; the encoder once where no member has tuned it."""
        self.spec["encoder"] = {
            "recipe": self.encoder.spec_["recipe"],
            "n_features": len(self.encoder.spec_["features"]),
            "tuned": bool(self.model.tuned_epochs),
            "critic": self.model.adapt_by == "adversarial",
        }
        placed = self._placed()
        arrays = {f"placed/{name}": value.numpy() for name, value in placed.state_dict().items()}
        for number, state in enumerate(states):
            for name, values in state.items():
                shared = name.startswith("encoder.") and not self.model.tuned_epochs
                if not shared or number == 0:
                    arrays[name if shared else f"member {number}/{name}"] = values
        if self.given and self.encoder.spec_["recipe"]["standardise"]:
            places = placed.places.numpy()
            arrays |= {f"reference/{name}": self.encoder.arrays_[name][places] for name in ("centre", "scale")}
        return arrays


def _read(source: Source, cells: np.ndarray | None, encoder: ScATDEncoder | None) -> str:
    """What tells lines, cells and encoder, and their order, from others."""
    lines = source.ids, source.features, source.x, source.y, source.response, source.line
    told = () if encoder is None else (str(encoder.spec_), *encoder.arrays_, *encoder.arrays_.values())
    return digest(*lines, () if cells is None else cells, *told)


def _lesson(encoder: ScATDEncoder, placed: Placed, cells: np.ndarray | None, low: np.ndarray | None) -> Lesson:
    return Lesson(encoder.net(), placed, cells, low)


def _learned(
    model: ScATD,
    given: tuple[ScATDEncoder, Placed, np.ndarray | None, np.ndarray | None],
    source: Source,
    kinds: tuple[Start, ...],
    fold: tuple[np.ndarray, np.ndarray],
    number: int,
    where: Where,
) -> Learned:
    """One member: starts and network from the training rows of a fold, and what they say of its other rows."""
    lesson, (train, test) = _lesson(*given), fold
    mean, sd = source.x[train].mean(axis=0), source.x[train].std(axis=0)
    known, asked = (standardised(source.x[rows], mean, sd) for rows in (train, test))
    weights = {kind: direction(kind, known, source.y[train], source.response[train]) for kind in kinds}
    starts = {kind: asked @ found[:-1] + found[-1] for kind, found in weights.items()}
    wanted = _wanted(model, source, train)
    net, history = train_member(model, lesson, known, source.y[train], wanted, number, where)
    with torch.no_grad():
        inputs = lesson.placed(torch.from_numpy(asked.astype(np.float32)))
        said = net(inputs)[0].numpy().astype(np.float64)
    state = {name: tensor.numpy().copy(order="C") for name, tensor in net.state_dict().items()}
    return Learned(weights, starts, said, state, history)


def _wanted(model: ScATD, source: Source, rows: np.ndarray) -> np.ndarray:
    """What heads learn: labels, or the share of the training lines that respond less."""
    if model.learn == "label":
        return source.y[rows].astype(np.float64)
    return 1 - (rankdata(source.response[rows]) - 0.5) / len(rows)
