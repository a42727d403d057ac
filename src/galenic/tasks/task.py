"""What a benchmark asks of a question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
import pandas as pd

from galenic.models import MODELS
from galenic.models.base import Model

Answer = dict[str, np.ndarray]
"""What a model answered of one fold, as arrays that can be kept in a file."""


class Task(Protocol):
    """A question: what is split, how a model answers, how the answer is scored. Each system brings one."""

    reference: ClassVar[str | None]
    """The floor whose answers others are measured from, if there is one."""

    def table(self, by: str) -> tuple[pd.DataFrame, Any]:
        """What :func:`split` splits, and the columns to split by."""

    def answer(self, model: Model, train: np.ndarray, valid: np.ndarray, test: np.ndarray) -> Answer:
        """Fit ``model`` on the train (and valid) rows and answer for the test rows."""

    def is_whole(self, answer: Answer, test: np.ndarray) -> bool:
        """Whether an answer that was kept is one to these test rows."""

    def scores(self, test: np.ndarray, answer: Answer, reference: Answer | None) -> pd.DataFrame:
        """Score an answer: ``group, metric, value, n``."""

    def scores_by_drug(self, test: np.ndarray, answer: Answer) -> pd.DataFrame:
        """Score an answer for each drug: ``drug, metric, value, n``."""

    def predictions(self, test: np.ndarray, answer: Answer, reference: Answer | None) -> pd.DataFrame | None:
        """The test rows with truth and answer, where that is a table worth keeping."""

    def leaking(self, train: np.ndarray, test: np.ndarray) -> list[str]:
        """What the user's own folds share between train and test: warnings."""

    def require(self, label: str, model: Model) -> None:
        """Refuse a model that answers another question."""

    def floors(self) -> dict[str, Model]:
        """The floors that can run on these data."""


def require_kind(label: str, model: Model, known: Mapping[str, object], what: str) -> None:
    """Raise ``ValueError`` if galenic ships the model for another question; models of your own may pass."""
    name = type(model).__name__
    if name in MODELS and name not in known:
        raise ValueError(f"this question is about {what}, for {', '.join(known)}; {label} is a {name}. Leave it out.")
