"""What models of perturbations share: fit on treated cells and controls, predict conditions nobody measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.checks import first, require_unique
from galenic.data.condition_means import ConditionMeans, condition_means
from galenic.data.perturbation import PerturbationColumns, perturbation_columns
from galenic.models.base import Model
from galenic.models.perturbation.question import Question, ask


@dataclass(kw_only=True, repr=False)
class PerturbationModel(Model):
    """Base of the models that predict mean expression of a context under a perturbation.

    A subclass says what it learns in :meth:`_learn` and what it answers in :meth:`_answer`.
    """

    def fit(
        self,
        adata: AnnData,
        *,
        context: str = "cell_type",
        perturbation: str = "perturbation",
        control: str = "control",
        dose: str | None = None,
        valid: AnnData | None = None,
        n_jobs: int = 1,
        device: str = "cpu",
        progress: bool = False,
        checkpoint: str | Path | None = None,
    ) -> Self:
        """Learn from treated cells and controls.

        Parameters
        ----------
        adata
            Cells or profiles x genes, logs of normalised counts or intensities. Not changed.
        context, perturbation
            Columns of ``obs``; where the defaults are absent, their usual other names are looked for. Combinations are
            written ``A+B``.
        control
            A column of true and false, or the name of controls among the perturbations.
        dose
            Column of doses that are conditions of their own; None = means over doses.
        valid
            Cells that are only watched.
        n_jobs
            Networks that are trained at the same time.
        device
            Where networks are trained: ``"cpu"``, ``"cuda"``, ``"auto"``.
        progress
            Show a progress bar.
        checkpoint
            Folder that keeps what is done, so that a fit that was broken off goes on, to the same numbers; models
            without networks are soon done again and keep nothing.

        Raises
        ------
        ValueError
            If a column is missing, a context has no controls, nothing is treated, genes stand twice, or values are
            missing, infinite or raw counts; or if ``checkpoint`` is of other cells or settings.
        """
        how = {"valid": valid, "n_jobs": n_jobs, "device": device, "progress": progress, "checkpoint": checkpoint}
        return self._fit(adata, context, perturbation, control, dose, **how)

    def _fit(self, adata: AnnData, context: str, perturbation: str, control: str, dose: str | None, **how: Any) -> Self:
        """:meth:`fit` with whatever else :meth:`_learn` takes."""
        require_cells(adata)
        require_unique(adata.var_names, "genes of adata")
        columns = perturbation_columns(
            adata, context=context, perturbation=perturbation, control=control, dose=dose or "dose"
        )
        if columns.is_control.all() or (dose is not None and columns.dose is None):
            lacks = f"the column {dose!r} holds no numbers" if not columns.is_control.all() else "all are controls"
            raise ValueError(
                f"treated cells{' with doses' if dose else ''} are needed to learn from; of {adata.n_obs:,} {lacks} "
                f"(columns: {first(adata.obs.columns, 8)}). Check the columns that perturbation=, control= and dose= "
                "name."
            )
        means = condition_means(adata, columns, by_dose=dose is not None, non_negative=self._non_negative())
        spec: dict[str, Any] = {
            "genes": list(map(str, adata.var_names)),
            "context": context,
            "perturbation": perturbation,
            "control": control,
            "dose": dose,
            "contexts": list(means.contexts),
            "conditions": means.table[["context", "perturbation"]].to_numpy().tolist(),
        }
        if dose is not None:
            spec["doses"] = [None if np.isnan(value) else float(value) for value in means.table["dose"]]
        learned, arrays = self._learn(adata, columns, means, spec, **how)
        self._restore(learned, measured(means) | arrays)
        return self

    def predict(
        self,
        adata: AnnData,
        conditions: pd.DataFrame | None = None,
        *,
        unknown: Literal["refuse", "keep"] = "refuse",
        device: str = "cpu",
    ) -> AnnData:
        """Mean expression of conditions, one row each.

        Parameters
        ----------
        adata
            Controls of the contexts that are asked and, for a perturbation or a context that was not fitted, profiles
            of that perturbation in other contexts. Genes in any order. Rows of an asked condition are never read.
        conditions
            Columns ``context, perturbation`` and, where the model was fitted with doses, ``dose``; None = every
            condition that ``adata`` holds.
        unknown
            What to do about perturbations that neither the fit nor ``adata`` names: "refuse" them, or "keep" them, to
            be answered by what is usual in the context.
        device
            Where networks compute.

        Returns
        -------
        AnnData, (n_conditions, n_genes)
            ``X``: mean expression, float32; ``layers["effect"]``: X less the mean of that context's controls in
            ``adata``; ``obs``: the condition, ``n_sources`` (measured conditions that speak of the perturbation, or
            were averaged) and ``fallback`` (the simpler model that answered in place of this one, or ``""``).

        Raises
        ------
        NotFittedError
            Before :meth:`fit`.
        ValueError
            If a context that is asked has no controls in ``adata``, a perturbation is unknown, conditions repeat, or
            genes are missing.

        Warns
        -----
        UserWarning
            If some genes are missing.
        """
        self._check_fitted()
        require_cells(adata)
        typical = self.arrays_["controls"].mean(axis=0)
        non_negative = self._non_negative()
        question = ask(adata, conditions, self.spec_, typical, unknown=unknown, non_negative=non_negative)
        expression, n_sources, fallback = self._answer(adata, question, device)
        obs = question.table.assign(n_sources=n_sources, fallback=fallback)
        X = expression.astype(np.float32)
        effect = (expression - question.controls).astype(np.float32)
        return AnnData(X, obs=obs, var=pd.DataFrame(index=self.spec_["genes"]), layers={"effect": effect})

    def _non_negative(self) -> bool:
        """Is the output of this model never negative, so that its input should not be?"""
        return False

    def _learn(
        self, adata: AnnData, columns: PerturbationColumns, means: ConditionMeans, spec: dict[str, Any], **how: Any
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What :meth:`fit` learns besides the means of conditions, as JSON and arrays."""
        return spec, {}

    def _answer(self, adata: AnnData, question: Question, device: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Expression ``(n_asked, n_genes)``, number of sources and name of the fallback of each asked condition."""
        raise NotImplementedError


def require_cells(adata: object) -> None:
    """Raise ``TypeError`` unless it is an AnnData."""
    if not isinstance(adata, AnnData):
        raise TypeError(
            f"cells should be an AnnData, cells x genes with obs columns of context and perturbation; received "
            f"{type(adata).__name__}. Build one: anndata.AnnData(X, obs=table, var=genes)."
        )


def measured(means: ConditionMeans) -> dict[str, np.ndarray]:
    """What every fitted model keeps of its cells: means of conditions and of controls, and how many cells they are of.

    ``means`` (n_conditions, n_genes) in the order of ``spec_["conditions"]`` and ``controls`` (n_contexts, n_genes) in
    that of ``spec_["contexts"]``, float32; ``n_cells``, ``n_controls``.
    """
    return {
        "means": means.means.astype(np.float32),
        "controls": means.control_means.astype(np.float32),
        "n_cells": means.table["n_cells"].to_numpy(dtype=np.int64),
        "n_controls": means.control_counts.astype(np.int64),
    }
