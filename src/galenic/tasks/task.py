"""What a benchmark asks of a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import pandas as pd

from galenic.evaluate.splits import holdout, require_disjoint, split, split_from
from galenic.models import MODELS
from galenic.models.base import Model

Answer = dict[str, np.ndarray]
"""What a model answered of one fold, as arrays that can be kept in a file."""


class Part(NamedTuple):
    """Row numbers of one division: what models learn from, what they choose settings on, what they answer."""

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


class Answered(NamedTuple):
    """An answer, and whose of what it is; ``is_judged``: of a model that was named, not of a floor run unasked."""

    model: str
    split: str
    fold: int
    seed: int
    is_judged: bool
    test: np.ndarray
    answer: Answer


class Task(Protocol):
    """A question: what is split, how a model answers, how the answer is scored. Each system brings one."""

    reference: ClassVar[str | None]
    """The floor whose answers others are measured from, if there is one."""

    def folds(self, by: str, n_folds: int, seed: int) -> list[Part]:
        """The divisions that hold out what ``by`` names, for one seed."""

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

    def tables(self, answered: Sequence[Answered]) -> dict[str, pd.DataFrame]:
        """What else all answers together say: more tables of a run folder, by name."""

    def leaking(self, train: np.ndarray, test: np.ndarray) -> list[str]:
        """What the user's own folds share between train and test: warnings."""

    def require(self, label: str, model: Model) -> None:
        """Refuse a model that answers another question."""

    def floors(self) -> dict[str, Model]:
        """The floors that can run on these data."""


def divided(table: pd.DataFrame, columns: Any, by: str, n_folds: int, seed: int) -> list[Part]:
    """Folds of a table by columns, of which a tenth of the training rows, split in the same way, is for validation.

    ``by="file"`` takes the column ``fold``; ``by="study"`` has a fold for each study.
    """
    if by == "study":
        n_folds = table["study"].nunique()
    folds = split_from(table) if by == "file" else split(table, by=columns, n_folds=n_folds, seed=seed)
    parts = []
    for fold in folds:
        require_disjoint(table, fold, columns)
        known = table.iloc[fold.train].reset_index(drop=True)
        inner = columns
        if columns is not None and known[columns].nunique() < 3:
            inner = "cell" if "cell" in known else None
        chosen = holdout(known, inner, 0.1, seed=seed)
        parts.append(Part(fold.train[chosen.train], fold.train[chosen.test], fold.test))
    return parts


def require_kind(label: str, model: Model, known: Mapping[str, object], what: str) -> None:
    """Raise ``ValueError`` if galenic ships the model for another question; models of your own may pass."""
    name = type(model).__name__
    if name in MODELS and name not in known:
        raise ValueError(f"this question is about {what}, for {', '.join(known)}; {label} is a {name}. Leave it out.")
