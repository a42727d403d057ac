"""The question of a screen: how do cells respond to drugs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from galenic.data.response import ResponseData
from galenic.evaluate.response import overview
from galenic.evaluate.response import response as score_groups
from galenic.evaluate.splits import Fold, leaks
from galenic.models import RESPONSE_MODELS, find
from galenic.models.base import Model
from galenic.tasks.task import Answer, Answered, Part, divided, require_kind

FLOORS = ("DrugMean", "CellMean", "MeanEffects", "TissueDrugMean", "NearestDrugs")


@dataclass(frozen=True)
class ResponseTask:
    """Predict the response of (cell, drug) pairs.

    ``by`` is ``"pair"``, ``"cell"``, ``"drug"`` (whole structures), ``"tissue"``, ``"study"``, any column of the
    pairs, cells or drugs, or ``"file"``: the user's own folds in the column ``fold`` of the pairs.

    Parameters
    ----------
    data
        Measured pairs.
    """

    data: ResponseData

    reference: ClassVar[str | None] = "MeanEffects"

    def table(self, by: str) -> tuple[pd.DataFrame, Any]:
        """The pairs with the column to split by.

        Parameters
        ----------
        by
            What is left out.
        """
        if by in ("pair", "file"):
            return self.data.pairs, None
        column = "structure" if by == "drug" and "structure" in self.data.drugs else by
        table = self.data.pairs_with(column)
        if table[column].isna().any():
            table[column] = table[column].astype("object").where(table[column].notna(), "unknown")
        return table, column

    def folds(self, by: str, n_folds: int, seed: int) -> list[Part]:
        """Folds of pairs, of which a tenth of the training pairs is for validation."""
        return divided(*self.table(by), by, n_folds, seed)

    def answer(self, model: Any, train: np.ndarray, valid: np.ndarray, test: np.ndarray) -> Answer:
        """Predicted responses of the test pairs; the model never sees their responses."""
        held = self.data.take(valid) if len(valid) else None
        asked = self.data.take(test)
        asked = ResponseData(asked.pairs.drop(columns="response"), asked.cells, asked.drugs, asked.unit)
        model.fit(self.data.take(train), valid=held)
        return {"answer": model.predict(asked)["prediction"].to_numpy()}

    def is_whole(self, answer: Answer, test: np.ndarray) -> bool:
        """Whether there is one prediction for each test pair."""
        return len(answer["answer"]) == len(test)

    def scores(self, test: np.ndarray, answer: Answer, reference: Answer | None) -> pd.DataFrame:
        """Overall, within drugs, within cells and beyond the floor."""
        return overview(self.predictions(test, answer, reference))

    def scores_by_drug(self, test: np.ndarray, answer: Answer) -> pd.DataFrame:
        """Error and correlations of each drug over its cells."""
        table = self.data.pairs.iloc[test][["cell", "drug", "response"]].assign(prediction=answer["answer"])
        scored = score_groups(table, "drug", metrics=("rmse", "pearson", "spearman"))
        return scored.rename(columns={"group": "drug"})

    def predictions(self, test: np.ndarray, answer: Answer, reference: Answer | None) -> pd.DataFrame:
        """The test pairs with truth, prediction and the floor's prediction."""
        table = self.data.pairs.iloc[test][["cell", "drug", "response"]]
        floor = np.nan if reference is None else reference["answer"]
        return table.assign(prediction=answer["answer"], floor=floor).reset_index(drop=True)

    def tables(self, answered: Sequence[Answered]) -> dict[str, pd.DataFrame]:
        """No more than the predictions."""
        return {}

    def leaking(self, train: np.ndarray, test: np.ndarray) -> list[str]:
        """Tissues and structures that stand on both sides of the user's own folds."""
        known = [name for name in ("tissue", "structure") if name in self.data.cells.obs or name in self.data.drugs]
        found = leaks(self.data.pairs_with(*known), Fold(train, test))
        return [
            f"the given folds share {row.shared:,} {row.column}s between train and test (first: {row.examples}): "
            f"they do not test unseen {row.column}s"
            for row in found.itertuples()
            if row.shared
        ]

    def require(self, label: str, model: Model) -> None:
        """Refuse a model that does not predict responses."""
        require_kind(label, model, RESPONSE_MODELS, "responses of cells to drugs")

    def floors(self) -> dict[str, Model]:
        """Every floor, less the tissue means where no tissue is known."""
        known = "tissue" in self.data.cells.obs
        return {name: find(name)() for name in FLOORS if known or name != "TissueDrugMean"}


def floors_of(data: ResponseData) -> list[str]:
    """Names of the floors that a benchmark of ``data`` runs unasked.

    Parameters
    ----------
    data
        Measured pairs.
    """
    return list(ResponseTask(data).floors())
