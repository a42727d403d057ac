"""What models of cells share: learn from labelled bulk lines in folds, then say how likely each cell is sensitive."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.special import ndtr
from sklearn.linear_model import LogisticRegression

from galenic.data.alignment import EPSILON, FEWEST, AlignedStatistics
from galenic.data.cell_matrix import CellMatrix
from galenic.data.checks import first, require_unique
from galenic.evaluate.single_cell import overview_within, single_cell
from galenic.models.base import Model
from galenic.models.cells.source import Source, few_labels, read_source
from galenic.models.fields import param

SMALLEST_SHARE = 0.5
"""Of the features of fitting that cells need, below which a prediction is refused."""
FAR = 0.5
"""Typical shift of a feature, in standard deviations, from which cells are not of the domain that was stored."""
LOOKED_AT = 5000
"""Cells from which the distance of their domain is told."""
SCALES = {"counts": "counts", "log": "logarithms", "linear": "in natural units", "scaled": "already scaled",
          "embedding": "an embedding"}  # fmt: skip
TRUSTED = 0.7
"""AUROC of the platform alone above which labels are told to depend on it."""


@dataclass(kw_only=True, repr=False)
class CellModel(Model):
    """Base of the models of cells: a linear map, trees, networks, ... learned on lines and read on cells.

    Parameters
    ----------
    use_rep
        Key of ``obsm`` that bulk and cells both have; None: genes (``X``).
    align
        "own": cells are standardised by the statistics of their own domain, as lines are by theirs; "none": by those of
        the lines.
    n_folds
        Folds of cell lines; a member is fitted without each, and predictions are the mean over members.
    seed
        Of folds, and of everything random.
    """

    use_rep: str | None = None
    align: Literal["own", "none"] = "own"
    n_folds: int = param(5, low=2)
    seed: int = param(0, low=0)

    def fit(
        self,
        bulk: AnnData | None,
        *,
        label: str = "label",
        response: str | None = None,
        line: str | None = None,
        platform: str | None = None,
        target: AnnData | None = None,
        few: pd.Series | None = None,
        device: str = "cpu",
        n_jobs: int = 1,
        progress: bool = False,
        checkpoint: str | Path | None = None,
    ) -> Self:
        """Learn from labelled lines, from a few labelled cells, or from both.

        Parameters
        ----------
        bulk
            Lines x genes with labels for one drug; None: learn from ``few`` alone. Not changed.
        label
            Column of ``bulk.obs``: 1 = sensitive, 0 = resistant; lines without are left out.
        response
            Column of ``bulk.obs`` with measured responses, lower = more sensitive (ln IC50).
        line
            Column that names the cell line: samples of one line share a fold. By default each sample is a line.
        platform
            Column that names the platform or study; scores are then also given within it.
        target
            Cells that will be asked about: the genes that they share with the lines are learned from, and their means
            and standard deviations kept. Their labels, if any, are not read.
        few
            Labels of a few cells of ``target``, by cell id.
        device, n_jobs, progress
            Where networks are trained, members at the same time, and whether to show a bar.
        checkpoint
            Folder that keeps what is done, so that a fit that was broken off goes on, to the same numbers; models
            without networks are soon done again and keep nothing.

        Raises
        ------
        ValueError
            If bulk and cells share too few features, labels are not 0 and 1 or one class is missing, ids stand twice,
            labels and response disagree in direction, genes are those of mice, or ``checkpoint`` is of other data or
            settings.

        Warns
        -----
        UserWarning
            If lines lack labels, or labels depend on the platform.
        """
        if bulk is None and (few is None or target is None):
            raise ValueError(
                "fitting needs labelled lines, or a target with a few labelled cells; received neither. Name one."
            )
        if few is not None and target is None:
            raise ValueError("a few labels belong to a target; received none. Pass target= the cells they are of.")
        if target is not None:
            require_unique(target.obs_names, "barcodes of the cells")
        how: dict[str, Any] = {"device": device, "n_jobs": n_jobs, "progress": progress, "checkpoint": checkpoint}
        source = None
        if bulk is not None:
            source = read_source(
                bulk, target, use_rep=self.use_rep, label=label, response=response, line=line, platform=platform,
                wanted=self._wanted(),
            )  # fmt: skip
            features, kind = source.features, source.kind
        else:
            assert target is not None
            matrix = CellMatrix.of(target, use_rep=self.use_rep)
            features, kind = sorted(matrix.features), matrix.kind
        spec: dict[str, Any] = {"features": features, "kind": kind, "label": label, "drug": _drug(bulk), "few": 0}
        arrays: dict[str, np.ndarray] = {}
        if target is not None:
            asked = CellMatrix.of(target, use_rep=self.use_rep, features=features)
            own = asked.statistics()
            arrays |= {"target/mean": own.mean, "target/sd": own.sd}
            spec |= {"n_target": own.n, "target_kind": asked.kind}
        given = None
        if few is not None:
            assert target is not None
            rows, known = few_labels(few, target)
            x = np.nan_to_num(CellMatrix.of(target, use_rep=self.use_rep, features=features).rows(rows))
            mean, sd = arrays["target/mean"], arrays["target/sd"]
            if self.align == "none" and source is not None:
                mean, sd = source.x.mean(axis=0), source.x.std(axis=0)
            given = (standardised(x, mean, sd), known)
            spec["few"] = len(known)
        self.source_: pd.DataFrame | None = None
        found = self._members(source, given, spec, target=target, few=few, **how)
        self._restore(spec, arrays | found)
        return self

    def _members(
        self,
        source: Source | None,
        given: tuple[np.ndarray, np.ndarray] | None,
        spec: dict[str, Any],
        **how: Any,
    ) -> dict[str, np.ndarray]:
        """Fit a member without each fold of the lines, and calibrate on what each says of the fold it left out."""
        if source is None:
            assert given is not None
            x, y = given
            spec |= {"n_members": 1, "n_sensitive": int(y.sum()), "n_resistant": int((1 - y).sum()), "threshold": 0.5}
            learned = self._learn(x, y, 1.0 - y, np.ones(len(y)), self.seed)
            arrays = {f"member 0/{name}": value for name, value in learned.items()}
            scores = self._scores(learned, x)
            slope = 1 / max(float(np.std(scores)), 1e-12)
            # Nothing is left out to calibrate on: halfway between the classes is 0.5.
            middle = (scores[y == 0].mean() + scores[y == 1].mean()) / 2
            return arrays | {"calibration": np.array([slope, -slope * middle])}
        arrays = {
            "source/mean": source.x.mean(axis=0),
            "source/sd": source.x.std(axis=0),
        }
        held_out = np.full(len(source.y), np.nan)
        fold_of = np.zeros(len(source.y), dtype=np.intp)
        for number, (train, test) in enumerate(source.folds(self.n_folds, self.seed)):
            mean, sd = source.x[train].mean(axis=0), source.x[train].std(axis=0)
            x, y, response, weight = _with_few(
                standardised(source.x[train], mean, sd), source.y[train], source.response[train], given
            )
            learned = self._learn(x, y, response, weight, self.seed + number)
            held_out[test] = self._scores(learned, standardised(source.x[test], mean, sd))
            fold_of[test] = number
            arrays |= {f"member {number}/{name}": value for name, value in learned.items()}
        calibration = platt(held_out, source.y)
        probability = sigmoid(calibration[0] * held_out + calibration[1])
        judge(self, spec, source, probability, fold_of)
        spec["n_members"] = self.n_folds
        return arrays | {"calibration": calibration}

    def _learn(
        self, x: np.ndarray, y: np.ndarray, response: np.ndarray, weight: np.ndarray, seed: int
    ) -> dict[str, np.ndarray]:
        """What one member learns of standardised rows ``x``: labels 1 and 0, responses, and a weight for each row."""
        raise NotImplementedError

    def _scores(self, learned: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
        """A score of each standardised row, higher = more sensitive."""
        raise NotImplementedError

    def _wanted(self) -> list[str] | None:
        """Features that a model restricts itself to; None: all that lines and cells share."""
        return None

    def _member(self, number: int) -> dict[str, np.ndarray]:
        prefix = f"member {number}/"
        return {name.removeprefix(prefix): a for name, a in self.arrays_.items() if name.startswith(prefix)}

    def predict(self, cells: AnnData, *, statistics: Literal["stored", "own"] | None = None) -> pd.DataFrame:
        """How likely each cell is sensitive.

        Parameters
        ----------
        cells
            Cells x genes, in memory or backed. Labels, if any, are not read. Not changed.
        statistics
            Means and standard deviations by which cells are standardised: "stored", those of the target of fitting, or
            "own", those of ``cells``. By default stored where there are any. Without effect if ``align="none"``.

        Returns
        -------
        DataFrame
            A row a cell, by its id: ``probability`` that it is sensitive, ``sd`` over members, ``label`` (1 from the
            threshold on that was chosen on the lines), ``abstain``. Cells without any counts: NaN, abstained, label
            missing.

        Raises
        ------
        ValueError
            If more than half of the features are missing, barcodes stand twice, or genes are those of mice.
        """
        matrix = self.matrix(cells)
        mean, sd = self.standard(matrix, statistics)
        scores = np.empty((int(self.spec_["n_members"]), matrix.n))
        for rows, part in matrix.blocks():
            x = standardised(np.where(matrix.found, part, mean), mean, sd)
            for number in range(len(scores)):
                scores[number, rows] = self._scores(self._member(number), x)
        slope, intercept = self.arrays_["calibration"]
        return self._table(cells, matrix, sigmoid(slope * scores + intercept))

    def matrix(self, cells: AnnData, features: list[str] | None = None) -> CellMatrix:
        """Features (those of fitting) out of ``cells``; raise ``ValueError`` where too many are missing.

        Parameters
        ----------
        cells
            Single cells or samples; not changed.
        features
            Their names; None: those of fitting.
        """
        self._check_fitted()
        require_unique(cells.obs_names, "barcodes of the cells")
        features = self.spec_["features"] if features is None else features
        matrix = CellMatrix.of(cells, use_rep=self.use_rep, features=features)
        if matrix.found.mean() < SMALLEST_SHARE:
            absent = [name for name, found in zip(features, matrix.found, strict=True) if not found]
            has_more = getattr(cells, "raw", None) is not None and cells.raw.n_vars > cells.n_vars
            remedy = "Pass cells.raw.to_adata(), which has more of them" if has_more else (
                "Bring genes to the names of fitting, or fit with these cells as target"
            )  # fmt: skip
            raise ValueError(
                f"cells should have half of the {len(features):,} features of fitting or more; they have "
                f"{int(matrix.found.sum()):,} (missing: {first(absent)}). {remedy}."
            )
        if not matrix.found.all():
            warnings.warn(
                f"{int((~matrix.found).sum()):,} of {len(features):,} features are not in these cells; they count as "
                "average.",
                stacklevel=3,
            )
        return matrix

    def standard(
        self, matrix: CellMatrix, statistics: Literal["stored", "own"] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Means and standard deviations by which cells are standardised.

        Parameters
        ----------
        matrix
            Cells x features, as read.
        statistics
            "stored": those of fitting; "own": those of these cells; None: as fitted.
        """
        if statistics not in (None, "stored", "own"):
            raise ValueError(f'statistics should be "stored", "own" or None; received {statistics!r}. Choose one.')
        if self.align == "none":
            if "source/mean" not in self.arrays_:
                return self.arrays_["target/mean"], self.arrays_["target/sd"]
            return self.arrays_["source/mean"], self.arrays_["source/sd"]
        stored = "target/mean" in self.arrays_
        if statistics == "stored" and not stored:
            raise ValueError('statistics="stored" needs a target at fitting; there was none. Use "own".')
        if stored and statistics != "own":
            known = AlignedStatistics(self.arrays_["target/mean"], self.arrays_["target/sd"], self.spec_["n_target"])
            if not _warn_if_of_another_kind(matrix, self.spec_.get("target_kind")):
                _warn_if_far(matrix, known)
            return known.mean, known.sd
        own = matrix.statistics()
        if own.n < FEWEST:
            warnings.warn(
                f"means and standard deviations need {FEWEST} cells or more to be trusted; received {own.n}. Fit with "
                "more cells of this domain as target.",
                stacklevel=3,
            )
        return own.mean, own.sd

    def _table(self, cells: AnnData, matrix: CellMatrix, probability: np.ndarray) -> pd.DataFrame:
        mean, sd = probability.mean(axis=0), probability.std(axis=0)
        empty = matrix.empty()
        mean, sd = np.where(empty, np.nan, mean), np.where(empty, np.nan, sd)
        label = pd.array(np.where(empty, 0, mean >= self.spec_["threshold"]).astype(np.int64), dtype="Int64")
        label[empty] = pd.NA
        return pd.DataFrame(
            {"probability": mean, "sd": sd, "label": label, "abstain": empty},
            index=cells.obs_names.copy(),
        )


def standardised(x: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Features less their mean, over their standard deviation; 0 for constant ones."""
    return np.where(sd > EPSILON, (x - mean) / (sd + EPSILON), 0.0)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), without overflow."""
    return np.asarray((1 + np.tanh(x / 2)) / 2)


def platt(scores: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Slope (0 or more) and intercept of the logistic regression of labels on left-out scores."""
    scale = max(float(scores.std()), 1e-12)
    fitted = LogisticRegression(C=1e4).fit((scores / scale)[:, None], y)
    slope = float(fitted.coef_[0, 0]) / scale
    if slope <= 0:
        return np.array([0.0, float(np.log(y.mean() / (1 - y.mean())))])
    return np.array([slope, float(fitted.intercept_[0])])


def best_threshold(probability: np.ndarray, y: np.ndarray) -> float:
    """Probability from which on lines are called sensitive, where the Matthews correlation is largest."""
    cuts = np.unique(probability)
    called = probability[None, :] >= cuts[:, None]
    n, ones, said, right = len(y), y.sum(), called.sum(axis=1), (called & (y == 1)).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mcc = (n * right - ones * said) / np.sqrt(float(ones * (n - ones)) * said * (n - said))
    if not np.isfinite(mcc).any():
        return 0.5
    best = int(np.nanargmax(mcc))
    return float((cuts[best] + cuts[max(best - 1, 0)]) / 2)


def judge(model: CellModel, spec: dict[str, Any], source: Source, probability: np.ndarray, fold: np.ndarray) -> None:
    """Write into ``spec`` what the members say of the lines they left out; keep the table on the model."""
    threshold = best_threshold(probability, source.y)
    table = pd.DataFrame({"line": source.line, "label": source.y, "probability": probability, "fold": fold})
    table.index = pd.Index(source.ids, name="sample")
    scores = single_cell(table, threshold=threshold, metrics=["auroc", "auprc", "mcc", "brier", "ece"])
    found = {str(row.metric): float(row.value) for row in scores.itertuples()}
    found["p_value"] = _by_chance(found["auroc"], source.y)
    if source.platform is not None:
        table["platform"] = source.platform
        within = overview_within(table, "platform", metrics=["auroc"]).set_index("group")["value"]
        found |= {"auroc_within": float(within["within_platform"]), "platform_alone": float(within["platform_alone"])}
        # What the platform tells is no skill: lines are ranked by chance if they are so within their platforms.
        found["p_value"] = _by_chance(found["auroc_within"], source.y, source.platform)
        if found["platform_alone"] > TRUSTED:
            warnings.warn(
                f"labels should not depend on the platform; it alone tells them with an AUROC of "
                f"{found['platform_alone']:.2f}. Learn from one platform, or label each platform by a cut of its own; "
                f"within platforms this model has {found['auroc_within']:.2f}.",
                stacklevel=4,
            )
    spec |= {
        "threshold": threshold, "n_sensitive": int(source.y.sum()), "n_resistant": int((1 - source.y).sum()),
        "source": {name: (value if np.isfinite(value) else None) for name, value in found.items()},
    }  # fmt: skip
    model.source_ = table


def _by_chance(ranked: float, y: np.ndarray, platform: np.ndarray | None = None) -> float:
    """Chance of an AUROC this high among lines whose labels are drawn at random (normal form of the rank sum).

    With platforms it is the AUROC within them, and labels are drawn within each.
    """
    codes = np.zeros(len(y), dtype=np.intp) if platform is None else np.unique(platform, return_inverse=True)[1]
    n, ones = np.bincount(codes), np.bincount(codes, y)
    pairs = ones * (n - ones)
    if not pairs.any():
        return 1.0
    return float(ndtr(-(ranked - 0.5) * pairs.sum() / np.sqrt((pairs * (n + 1)).sum() / 12)))


def _with_few(
    x: np.ndarray, y: np.ndarray, response: np.ndarray, given: tuple[np.ndarray, np.ndarray] | None
) -> tuple[np.ndarray, ...]:
    """Rows of the lines and of a few cells, which count as much as all lines together."""
    weight = np.ones(len(y))
    if given is None:
        return x, y, response, weight
    means = np.array([response[y == one].mean() for one in (0, 1)])
    return (
        np.concatenate([x, given[0]]),
        np.concatenate([y, given[1]]),
        np.concatenate([response, means[given[1]]]),
        np.concatenate([weight, np.full(len(given[1]), len(y) / len(given[1]))]),
    )


def _warn_if_of_another_kind(matrix: CellMatrix, kind: str | None) -> bool:
    """Say so where cells are on another scale than those whose statistics were stored."""
    if kind is None or (kind == "scaled") == (matrix.kind == "scaled"):
        return False
    warnings.warn(
        f"cells should be on the scale of the target of fitting; their values are {SCALES[matrix.kind]}, those of the "
        f'target were {SCALES[kind]}. Use statistics="own" (--statistics own), or fit with these cells as target.',
        stacklevel=4,
    )
    return True


def _warn_if_far(matrix: CellMatrix, known: AlignedStatistics) -> None:
    """Say so where cells are of another domain than the one whose statistics were stored."""
    if matrix.n < FEWEST:
        return
    rows = np.unique(np.linspace(0, matrix.n - 1, min(matrix.n, LOOKED_AT)).astype(np.intp))
    mean = matrix.rows(rows).mean(axis=0)
    some = matrix.found & (known.sd > EPSILON)
    shift = np.abs(mean - known.mean)[some] / known.sd[some]
    if some.any() and np.median(shift) > FAR:
        warnings.warn(
            "cells should be of the domain of the target of fitting; the typical feature lies "
            f'{np.median(shift):.2f} standard deviations away from it. Use statistics="own" (--statistics own), or fit '
            "with these cells as target.",
            stacklevel=4,
        )


def _drug(bulk: AnnData | None) -> str | None:
    return None if bulk is None or "drug" not in bulk.uns else str(bulk.uns["drug"])
