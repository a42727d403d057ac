"""Questions that a benchmark asks: what is split, how a model answers, how the answer is scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from galenic.data.response import ResponseData
from galenic.evaluate.response import overview
from galenic.models import find
from galenic.models.base import Model

FLOORS = ("DrugMean", "CellMean", "MeanEffects", "TissueDrugMean", "NearestDrugs")


class Task(Protocol):
    """A question: what is split, how a model answers, how the answer is scored. Each system brings one."""

    def table(self, by: str) -> tuple[pd.DataFrame, Any]:
        """What :func:`split` splits, and the columns to split by."""

    def answer(self, model: Model, train: np.ndarray, valid: np.ndarray, test: np.ndarray) -> np.ndarray:
        """Fit ``model`` on the train (and valid) rows and answer for the test rows."""

    def score(self, test: np.ndarray, answer: np.ndarray, floor: np.ndarray) -> pd.DataFrame:
        """Score an answer: ``group, metric, value, n``."""

    def floors(self) -> dict[str, Model]:
        """The floors that can run on these data."""


@dataclass(frozen=True)
class ResponseTask:
    """Predict the response of (cell, drug) pairs.

    ``by`` is ``"pair"``, ``"cell"``, ``"drug"`` (whole structures), ``"tissue"``, ``"study"``, any column of the
    pairs, cells or drugs, or ``"file"``: the user's own folds in the column ``fold`` of the pairs.
    """

    data: ResponseData

    def table(self, by: str) -> tuple[pd.DataFrame, Any]:
        """The pairs with the column to split by."""
        if by in ("pair", "file"):
            return self.data.pairs, None
        column = "structure" if by == "drug" and "structure" in self.data.drugs else by
        table = self.data.pairs_with(column)
        if table[column].isna().any():
            table[column] = table[column].astype("object").where(table[column].notna(), "unknown")
        return table, column

    def answer(self, model: Any, train: np.ndarray, valid: np.ndarray, test: np.ndarray) -> np.ndarray:
        """Predicted responses of the test pairs; the model never sees their responses."""
        held = self.data.take(valid) if len(valid) else None
        asked = self.data.take(test)
        asked = ResponseData(asked.pairs.drop(columns="response"), asked.cells, asked.drugs, asked.unit)
        model.fit(self.data.take(train), valid=held)
        prediction: np.ndarray = model.predict(asked)["prediction"].to_numpy()
        return prediction

    def score(self, test: np.ndarray, answer: np.ndarray, floor: np.ndarray) -> pd.DataFrame:
        """Overall, within drugs, within cells and beyond the floor."""
        return overview(self.predictions(test, answer, floor))

    def predictions(self, test: np.ndarray, answer: np.ndarray, floor: np.ndarray) -> pd.DataFrame:
        """The test pairs with truth, prediction and the floor's prediction."""
        table = self.data.pairs.iloc[test][["cell", "drug", "response"]]
        return table.assign(prediction=answer, floor=floor).reset_index(drop=True)

    def floors(self) -> dict[str, Model]:
        """Every floor, less the tissue means where no tissue is known."""
        known = "tissue" in self.data.cells.obs
        return {name: find(name)() for name in FLOORS if known or name != "TissueDrugMean"}


def floors_of(data: ResponseData) -> list[str]:
    """Names of the floors that a benchmark of ``data`` runs unasked."""
    return list(ResponseTask(data).floors())
