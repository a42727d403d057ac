"""How ScATD learns: the encoder, a start and a network without each fold of the lines, and how they are joined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import joblib
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
from galenic.models.scatd.encoder import ScATDEncoder
from galenic.models.scatd.member import MOST_CELLS, Lesson, train_member
from galenic.models.scatd.network import CellClassifier, Placed
from galenic.models.scatd.stack import joined
from galenic.models.scatd.start import halves, ridge

if TYPE_CHECKING:
    from galenic.models.scatd.model import ScATD

ALIKE = 0.5
"""Correlation with the start on the target's cells below which networks are not heard."""
EXPRESSION = ("counts", "log", "linear")
"""Kinds of values that are never below 0."""


@dataclass(frozen=True)
class Learned:
    """What was learned without one fold: scores of its lines, and the network."""

    weights: np.ndarray
    said: tuple[np.ndarray, np.ndarray]
    net: CellClassifier
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
        few: Any = None,
    ) -> None:
        self.model, self.source, self.spec = model, source, spec
        self.target, self.device, self.n_jobs, self.progress = target, device, n_jobs, progress
        self.graph_of = graph_of
        self.mean, self.sd = source.x.mean(axis=0), source.x.std(axis=0)
        self.cells = None if target is None else self._cells(target)
        self.encoder = self._own() if encoder is None else encoder
        self.given = encoder is not None

    def run(self) -> tuple[dict[str, np.ndarray], pd.DataFrame, pd.DataFrame]:
        """Arrays of the model, the history of training, and what members say of lines that they left out."""
        model, source = self.model, self.source
        lesson = Lesson(self.encoder.net(), self._placed(), self.cells, self._low())
        folds = list(source.folds(model.n_folds, model.seed))
        threads = {"inner_max_num_threads": 1} if self.n_jobs != 1 else {}
        with joblib.parallel_config("loky", **threads):
            learned = joblib.Parallel(n_jobs=self.n_jobs)(
                joblib.delayed(self._member)(lesson, number, train, test) for number, (train, test) in enumerate(folds)
            )
        start, network, fold = (np.zeros(len(source.y)) for _ in range(3))
        for number, (part, (_, test)) in enumerate(zip(learned, folds, strict=True)):
            start[test], network[test] = part.said
            fold[test] = number
        stack = joined(start if model.start == "ridge" else None, network, source.y, fold)
        self.spec["networks_agree"] = alike = self._alike(learned, lesson) if stack.share and stack.start else None
        if alike is not None and alike < ALIKE:
            stack = joined(start, None, source.y, fold)
        probability = sigmoid(network if model.as_published else stack.left_out)
        judge(model, self.spec, source, probability, fold.astype(np.intp))
        table: pd.DataFrame = model.source_
        kept = list(range(len(learned)))
        if model.as_published:
            best = [auroc(source.y[test], network[test]) for _, test in folds]
            kept, self.spec["threshold"] = [int(np.nanargmax(best))], 0.5
        self.spec |= {"n_members": len(kept), "share_network": stack.share, "start_weight": stack.start,
                      "network_weight": 1.0 if model.as_published else stack.network,
                      "logit_sd": float(stack.left_out.std())}  # fmt: skip
        arrays = {"source/mean": self.mean, "source/sd": self.sd}
        arrays |= self._starts([learned[number] for number in kept], stack.start, stack.intercept)
        if self.spec["network_weight"]:
            arrays |= self._networks([learned[number].net for number in kept])
        if model.start == "ridge":
            x = standardised(source.x, self.mean, self.sd)
            found = halves(x, source.response, source.line, ridge(x, source.response)[1], model.seed)
            arrays["halves"] = -found.astype(np.float32)
        pretraining = getattr(self.encoder, "history_", pd.DataFrame()).assign(stage="autoencoder", member=-1)
        history = [] if self.given else [pretraining]
        history += [part.history.assign(stage="head") for part in learned]
        return arrays, pd.concat(history, ignore_index=True), table

    def _member(self, lesson: Lesson, number: int, train: np.ndarray, test: np.ndarray) -> Learned:
        source = self.source
        mean, sd = source.x[train].mean(axis=0), source.x[train].std(axis=0)
        known, asked = (standardised(source.x[rows], mean, sd) for rows in (train, test))
        weights, _ = ridge(known, source.response[train])
        wanted = self._wanted(train)
        net, history = train_member(
            self.model, lesson, known, source.y[train], wanted, number, self.device, self.progress
        )
        with torch.no_grad():
            inputs = lesson.placed(torch.from_numpy(asked.astype(np.float32)))
            said = net(inputs)[0].numpy().astype(np.float64)
        return Learned(weights, (-(asked @ weights[:-1] + weights[-1]), said), net, history)

    def _wanted(self, rows: np.ndarray) -> np.ndarray:
        """What heads learn: labels, or the share of the training lines that respond less."""
        if self.model.learn == "label":
            return self.source.y[rows].astype(np.float64)
        return 1 - (rankdata(self.source.response[rows]) - 0.5) / len(rows)

    def _alike(self, learned: list[Learned], lesson: Lesson) -> float | None:
        """Correlation of what starts and networks say of the target's cells, among their neighbours."""
        if self.target is None or self.cells is None:
            return None
        graph = self.graph_of(self.target if self.rows is None else self.target[self.rows].to_memory())
        with torch.no_grad():
            inputs = lesson.placed(torch.from_numpy(self.cells.astype(np.float32)))
            networks = np.mean([part.net(inputs)[0].numpy() for part in learned], axis=0)
        said = np.stack([-self.cells @ np.mean([part.weights[:-1] for part in learned], axis=0), networks], axis=1)
        smooth = said if graph is None else graph.smooth(said, spread=self.model.spread)
        return float(np.corrcoef(smooth.T)[0, 1]) if (smooth.std(axis=0) > 0).all() else None

    def _cells(self, target: AnnData) -> np.ndarray:
        """Standardised shared features of some cells of the target."""
        matrix = CellMatrix.of(target, use_rep=self.model.use_rep, features=self.source.features)
        rows, self.rows = np.arange(matrix.n), None
        if matrix.n > MOST_CELLS:
            rows = np.sort(np.random.default_rng([self.model.seed, 5]).choice(matrix.n, MOST_CELLS, replace=False))
            self.rows = rows
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
        return encoder.fit(both, kind="scaled", device=self.device, progress=self.progress)

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

    def _starts(self, learned: list[Learned], weight: float, intercept: float) -> dict[str, np.ndarray]:
        """Of each member the linear part of its logit."""
        found = -weight * np.stack([part.weights for part in learned])
        level = 0.0 if self.model.as_published else intercept
        return {"start/weights": found[:, :-1], "start/intercepts": found[:, -1] + level}

    def _networks(self, nets: list[CellClassifier]) -> dict[str, np.ndarray]:
        """Weights of the networks; the encoder once where no member has tuned it."""
        self.spec["encoder"] = {
            "recipe": self.encoder.spec_["recipe"],
            "n_features": len(self.encoder.spec_["features"]),
            "tuned": bool(self.model.tuned_epochs),
            "critic": self.model.adapt_by == "adversarial",
        }
        placed = self._placed()
        arrays = {f"placed/{name}": value.numpy() for name, value in placed.state_dict().items()}
        for number, net in enumerate(nets):
            for name, tensor in net.state_dict().items():
                shared = name.startswith("encoder.") and not self.model.tuned_epochs
                if not shared or number == 0:
                    arrays[name if shared else f"member {number}/{name}"] = tensor.numpy().copy(order="C")
        if self.given and self.encoder.spec_["recipe"]["standardise"]:
            places = placed.places.numpy()
            arrays |= {f"reference/{name}": self.encoder.arrays_[name][places] for name in ("centre", "scale")}
        return arrays
