"""The question of transfer: what does a perturbation do to the expression of a context where nobody measured it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from galenic.data.checks import first, require_columns, require_unique
from galenic.data.condition_means import ConditionMeans, condition_means
from galenic.data.perturbation import PerturbationColumns, perturbation_columns
from galenic.evaluate.halves import split_half
from galenic.evaluate.perturbation_splits import UNSEEN, perturbation_split, singles_seen
from galenic.evaluate.split_files import leakage, read_split
from galenic.evaluate.splits import Fold, split_from
from galenic.models import PERTURBATION_MODELS, find
from galenic.models.base import Model
from galenic.tasks.perturbation_given import COLUMNS, JOINT, calls, spelled
from galenic.tasks.perturbation_scores import (
    Measured,
    by_condition,
    by_group,
    by_perturbation,
    effects,
    labels_of,
    skills,
)
from galenic.tasks.task import Answer, Answered, Part, require_kind
from galenic.work.near import nearest_name

FLOORS = (
    *("NoEffect", "CopySource", "GlobalMeanEffect", "ContextMeanEffect", "MeanShift", "ScaledShift"),
    *("NearestContextShift", "LowRankEffect", "AdditivePairs"),
)
"""The last only where there are combinations."""


@dataclass(frozen=True, eq=False)
class PerturbationTask:
    """Predict mean expression of conditions (a perturbation in a context) that training never saw.

    ``by`` is ``"pair"`` (the perturbation trains in other contexts, the context with other perturbations),
    ``"context"``, ``"perturbation"``, ``"combination"`` (see :func:`galenic.evaluate.perturbation_split`), or
    ``"file"``: the user's own folds, in ``split_file`` or in the column ``fold`` of ``obs``. Controls always train.

    Parameters
    ----------
    adata
        Cells or profiles x genes, logs of normalised counts or intensities, treated and control. Not changed.
    context, perturbation, control, dose
        As in the models' ``fit``.
    replicates
        Column of the replicate (plate, donor, batch), for :meth:`ceiling`.
    top
        How many genes count as the most changed.
    split_file
        Folds that :func:`galenic.evaluate.write_split` wrote.
    device
        Where networks compute: ``"cpu"``, ``"cuda"``, ``"auto"``.

    Raises
    ------
    ValueError
        If a column is missing, a context has no controls, nothing is treated, genes stand twice, or values are missing
        or raw counts.

    Notes
    -----
    Truth is the mean over the test rows of a condition. Effects, of truth and prediction alike, are taken against the
    *measured* controls of the context. A correlation that is undefined counts as 0 in ``scores`` and ``scores_by_drug``
    (predicting no effect has no direction), so that all models are scored on the same conditions; the table
    ``conditions`` keeps it NaN. ``pearson_delta_perturbed`` is taken around the mean of the training conditions of
    the context, or of all where it has none.

    A model is given at prediction: controls, and profiles of asked perturbations in other contexts that neither train
    nor are tested. A single perturbation of which nothing trains is asked one context at a time, each of a fresh copy
    of the model, and its profiles in the other contexts are given. No model ever holds a row of what it is asked.

    Groups: ``"all"``, each context, and for combinations ``"0 seen"``, ``"1 seen"``, ``"2 seen"``: parts that were
    trained on alone in that context.

    Examples
    --------
    >>> import galenic
    >>> adata = galenic.simulate.perturbations(n_contexts=3, n_perturbations=6, n_genes=20, n_cells=5)
    >>> result = galenic.benchmark([galenic.StackedShift()], PerturbationTask(adata), by="pair", n_folds=3)
    >>> sorted(result.tables)
    ['conditions', 'effects', 'skill']
    """

    adata: AnnData
    context: str = "cell_type"
    perturbation: str = "perturbation"
    control: str = "control"
    dose: str | None = None
    replicates: str | None = None
    top: Sequence[int] = (20, 50, 100)
    split_file: str | Path | None = None
    device: str = "cpu"
    columns: PerturbationColumns = field(init=False, repr=False)
    means: ConditionMeans = field(init=False, repr=False)
    codes: np.ndarray = field(init=False, repr=False)

    reference: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        require_unique(self.adata.var_names, "genes of adata")
        columns = perturbation_columns(
            self.adata,
            context=self.context,
            perturbation=self.perturbation,
            control=self.control,
            dose=self.dose or "dose",
        )
        if columns.is_control.all():
            raise ValueError(
                f"treated cells are needed besides controls; all {self.adata.n_obs:,} rows are controls by "
                f"{self.control!r}. Check the columns that perturbation= and control= name."
            )
        if self.dose is not None and columns.names.get("dose") != self.dose:
            raise ValueError(
                f"doses should be a column of numbers; {self.dose!r} is none (obs has "
                f"{first(self.adata.obs.columns, 8)}){nearest_name(self.dose, map(str, self.adata.obs.columns))} "
                "Name the column with dose=."
            )
        if self.replicates is not None:
            require_columns(self.adata.obs, [self.replicates], "the ceiling of replicates: obs")
            missing = self.adata.obs[self.replicates].isna()
            if missing.any():
                raise ValueError(
                    f"every row should have a replicate; {int(missing.sum()):,} of {len(missing):,} have none in "
                    f"{self.replicates!r} (first: {first(missing.index[missing])}). Fill or leave out those rows."
                )
        by_dose = self.dose is not None
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "means", condition_means(self.adata, columns, by_dose=by_dose))
        object.__setattr__(self, "codes", columns.conditions(by_dose=by_dose)[1])

    @property
    def table(self) -> pd.DataFrame:
        """One row a row of the data: ``context, perturbation, is_control``, and all else that ``obs`` says."""
        return spelled(self.adata.obs, self.columns)

    @property
    def has_combinations(self) -> bool:
        """Whether anything was treated with two perturbations at once."""
        return any(len(parts) > 1 for parts in self.columns.parts)

    def folds(self, by: str, n_folds: int, seed: int) -> list[Part]:
        """Folds of rows; models choose their settings inside the training rows."""
        if by == "file":
            folds = [self._with_controls(fold, number) for number, fold in enumerate(self._given_folds())]
        elif by in UNSEEN:
            folds = perturbation_split(self.table, by, n_folds=n_folds, seed=seed, **COLUMNS)
        else:
            raise ValueError(
                f"perturbations are split by {', '.join(UNSEEN)} or file; received {by!r}{nearest_name(by, UNSEEN)} "
                "Choose one of those."
            )
        return [Part(fold.train, fold.train[:0], fold.test) for fold in folds]

    def answer(self, model: Any, train: np.ndarray, valid: np.ndarray, test: np.ndarray) -> Answer:
        """Predicted expression of the test conditions; the model never holds their cells."""
        rows = np.union1d(train, valid)
        named = {name: getattr(self, name) for name in ("context", "perturbation", "control", "dose")}
        model.fit(self._take(rows), **named, device=self.device)
        asked = self._conditions(test)
        found: Answer = {
            "prediction": np.empty((len(asked), self.adata.n_vars), dtype=np.float32),
            "n_sources": np.zeros(len(asked), dtype=np.int64),
            "fallback": np.zeros(len(asked), dtype="<U40"),
        }
        for places, given in calls(self.table, self.columns, rows, test, self.means.context[asked]):
            conditions = self.means.table.iloc[asked[places]].drop(columns="n_cells").reset_index(drop=True)
            # A copy: what one call was given must not help to answer another.
            told = copy.deepcopy(model).predict(self._take(given), conditions, unknown="keep", device=self.device)
            found["prediction"][places] = _expression(told, self.adata.var_names)
            for name in ("n_sources", "fallback"):
                found[name][places] = told.obs[name] if name in told.obs else found[name][places]
        return found | {"trained_mean": self._trained_means(rows, asked), "seen": self._seen(rows, test)}

    def is_whole(self, answer: Answer, test: np.ndarray) -> bool:
        """Whether there is one prediction for each test condition."""
        return bool(answer["prediction"].shape == (len(self._conditions(test)), self.adata.n_vars))

    def scores(self, test: np.ndarray, answer: Answer, reference: Answer | None) -> pd.DataFrame:
        """Means over conditions, by group; a correlation without a value counts as 0."""
        measured = self.measured(test)
        return by_group(measured, answer["prediction"], self._values(measured, answer), answer["seen"])

    def scores_by_drug(self, test: np.ndarray, answer: Answer) -> pd.DataFrame:
        """Error and correlation of each perturbation over its contexts."""
        measured = self.measured(test)
        return by_perturbation(measured.table, self._values(measured, answer))

    def predictions(self, test: np.ndarray, answer: Answer, reference: Answer | None) -> None:
        """No table: expression of all conditions is too much to keep; ``effects`` holds that of the judged models."""

    def tables(self, answered: Sequence[Answered]) -> dict[str, pd.DataFrame]:
        """``conditions``: scores of each; ``effects`` of the judged models (first seed); ``skill`` against floors."""
        scored = [self._scored(one) for one in answered]
        conditions = pd.concat(scored, ignore_index=True)
        judged = list(dict.fromkeys(one.model for one in answered if one.is_judged))
        found = {"conditions": conditions}
        groups: dict[tuple[str, str], list[Answered]] = {}
        for one in answered:
            if one.is_judged and one.seed == answered[0].seed:
                groups.setdefault((one.model, one.split), []).append(one)
        if groups:
            kept = [self._effects(some).assign(model=model, split=split) for (model, split), some in groups.items()]
            names = ("model", "split", "context", "perturbation", "gene")
            found["effects"] = pd.concat(kept, ignore_index=True).astype(dict.fromkeys(names, "category"))
        skill = skills(conditions, judged, list(self.floors()))
        self.__dict__.pop("_kept", None)
        return found | ({"skill": skill} if len(skill) else {})

    def leaking(self, train: np.ndarray, test: np.ndarray) -> list[str]:
        """Conditions, wells and cells on both sides of the user's own folds: the answer was seen."""
        found = leakage(self.table, Fold(train, test), None, **COLUMNS)
        found = found[found["shares"].isin(["condition", "well", "cell barcode", "id"]) & (found["n_shared"] > 0)]
        return [
            f"the given folds share {row.n_shared:,} values of {row.shares} between train and test (first: "
            f"{str(row.examples).replace(JOINT, '+')}): what is asked was seen"
            for row in found.itertuples()
        ]

    def require(self, label: str, model: Model) -> None:
        """Refuse a model that does not predict effects of perturbations, or whose fit would refuse these values."""
        require_kind(label, model, PERTURBATION_MODELS, "effects of perturbations")
        if getattr(model, "_non_negative", bool)():
            condition_means(self.adata, self.columns, non_negative=True)

    def floors(self) -> dict[str, Model]:
        """Every floor, less the sum of effects where there are no combinations."""
        return {name: find(name)() for name in FLOORS if name != "AdditivePairs" or self.has_combinations}

    def ceiling(self, *, n_splits: int = 10) -> pd.DataFrame | None:
        """How well one half of the measurements predicts the other: :func:`galenic.evaluate.split_half`.

        ``None`` where no condition was measured twice in a context with two controls.

        Raises
        ------
        ValueError
            If no condition has two replicates that were named.
        """
        table = self.table[["context", "is_control"]].assign(perturbation="control")
        treated = ~self.columns.is_control
        table.loc[treated, "perturbation"] = labels_of(self.means.table)[self.codes[treated]]
        if self.replicates is not None:
            table["replicate"] = self.adata.obs[self.replicates].to_numpy()
        top = [k for k in self.top if k <= self.adata.n_vars]
        twice = (self.means.table["n_cells"] > 1) & (self.means.control_counts[self.means.context] > 1)
        if not twice.any():
            return None
        return split_half(
            self._take(np.arange(self.adata.n_obs)).X,
            table,
            control="is_control",
            replicates=None if self.replicates is None else "replicate",
            top=top,
            n_splits=n_splits,
        )

    def measured(self, rows: np.ndarray) -> Measured:
        """The conditions of some rows, their mean over these rows and that of their controls.

        Parameters
        ----------
        rows
            Row numbers.
        """
        asked = self._conditions(rows)
        table = self.means.table.iloc[asked].reset_index(drop=True)
        counts = np.bincount(self.codes[rows][self.codes[rows] >= 0], minlength=len(self.means.table))[asked]
        truth = self.means.means[asked] if (counts == table["n_cells"]).all() else self._means(rows)[asked]
        control = self.means.control_means[self.means.context[asked]]
        return Measured(table.assign(n_cells=counts), truth, control, self.adata.var_names.to_numpy(dtype="object"))

    def _take(self, rows: np.ndarray) -> AnnData:
        """Some rows and nothing else: what simulated data know of the truth stays here."""
        X = self.adata.X[rows]
        X = sparse.csr_matrix(X) if sparse.issparse(X) else np.asarray(X)
        return AnnData(X, obs=self.adata.obs.iloc[rows].copy(), var=self.adata.var[[]].copy())

    def _conditions(self, rows: np.ndarray) -> np.ndarray:
        """Numbers of the treated conditions that some rows are of, sorted."""
        found = np.unique(self.codes[rows])
        return found[found >= 0]

    def _means(self, rows: np.ndarray) -> np.ndarray:
        """Mean of every condition over some rows, ``(n_conditions, n_genes)``."""
        wanted = np.zeros(self.adata.n_obs, dtype=bool)
        wanted[rows] = True
        by_dose = self.dose is not None
        return condition_means(self.adata, self.columns, rows=wanted, by_dose=by_dose).means

    def _given_folds(self) -> list[Fold]:
        if self.split_file is not None:
            return read_split(self.adata.obs, self.split_file)
        if "fold" not in self.adata.obs:
            raise ValueError(
                "a split by file needs a split file or a column 'fold' in obs; neither is there (obs has "
                f"{first(self.adata.obs.columns, 8)}). Name the file (--fold-file, split_file=), or add the column."
            )
        return split_from(self.adata.obs)

    def _with_controls(self, fold: Fold, number: int) -> Fold:
        """The fold with every control among the training rows, wherever the user put it."""
        control = self.columns.is_control
        test = fold.test[~control[fold.test]]
        train = np.union1d(fold.train, np.flatnonzero(control))
        if not len(test) or control[train].all():
            raise ValueError(
                f"every fold of a file needs treated rows to train on and to test; fold {number} has "
                f"{int((~control[train]).sum()):,} and {len(test):,}. Correct the file."
            )
        return Fold(train, test)

    def _trained_means(self, train: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """Mean expression of the training conditions of each asked one's context, or of all; float32."""
        known = self._conditions(train)
        counts = np.bincount(self.codes[train][self.codes[train] >= 0], minlength=len(self.means.table))[known]
        whole = (counts == self.means.table["n_cells"].to_numpy()[known]).all()
        values = (self.means.means if whole else self._means(train))[known]
        context, n_contexts = self.means.context, len(self.means.contexts)
        member = sparse.csr_matrix(
            (np.ones(len(known)), (context[known], np.arange(len(known)))), shape=(n_contexts, len(known))
        )
        number = np.asarray(member.sum(axis=1))
        by_context = np.where(number > 0, (member @ values) / np.maximum(number, 1), values.mean(axis=0))
        result: np.ndarray = by_context[context[asked]].astype(np.float32)
        return result

    def _seen(self, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        """Parts of each asked combination that were trained on alone in its context; -1 for single perturbations."""
        treated = test[self.codes[test] >= 0]
        rows = treated[np.unique(self.codes[treated], return_index=True)[1]]
        combined = np.array([len(self.columns.parts[code]) > 1 for code in self.columns.perturbation[rows]])
        return np.where(combined, singles_seen(self.table, Fold(train, rows), **COLUMNS), -1)

    def _values(self, measured: Measured, answer: Answer) -> pd.DataFrame:
        """Scores of each condition; computed once an answer, which is asked for them four times."""
        kept: dict[int, tuple[np.ndarray, pd.DataFrame]] = self.__dict__.setdefault("_kept", {})
        prediction = answer["prediction"]
        if id(prediction) not in kept:
            # The array is kept with its scores, so that no other takes its number.
            kept[id(prediction)] = (prediction, by_condition(measured, prediction, answer["trained_mean"], self.top))
        return kept[id(prediction)][1]

    def _scored(self, one: Answered) -> pd.DataFrame:
        measured = self.measured(one.test)
        where = {"model": one.model, "split": one.split, "fold": one.fold, "seed": one.seed}
        keys = measured.table.assign(n_sources=one.answer["n_sources"], fallback=one.answer["fallback"])
        return pd.concat([pd.DataFrame(where, index=keys.index), keys, self._values(measured, one.answer)], axis=1)

    def _effects(self, answered: Sequence[Answered]) -> pd.DataFrame:
        """Effects of the conditions of all folds of one model and split."""
        each = [self.measured(one.test) for one in answered]
        whole = Measured(
            pd.concat([some.table for some in each], ignore_index=True),
            np.concatenate([some.truth for some in each]),
            np.concatenate([some.control for some in each]),
            each[0].genes,
        )
        values = [self._values(some, one.answer) for some, one in zip(each, answered, strict=True)]
        prediction = np.concatenate([one.answer["prediction"] for one in answered])
        return effects(whole, prediction, pd.concat(values, ignore_index=True))


def _expression(told: AnnData, genes: pd.Index) -> np.ndarray:
    """What a model predicted, genes in the order of the data."""
    X = told.X if told.var_names.equals(genes) else told[:, genes].X
    return np.asarray(X, dtype=np.float32)
