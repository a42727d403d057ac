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
    """Row numbers of one division: what models learn from, what they choose settings on, what they answer.

    Parameters
    ----------
    train
        Rows to learn from.
    valid
        Rows to choose settings on.
    test
        Rows to answer.
    """

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


class Answered(NamedTuple):
    """An answer, and whose of what it is; ``is_judged``: of a model that was named, not of a floor run unasked.

    Parameters
    ----------
    model
        Label of the model.
    split
        What was left out.
    fold
        Number of the fold.
    seed
        Of the division.
    is_judged
        Whether the model was named, and is no floor that ran unasked.
    test
        Rows that were asked about.
    answer
        What the model answered, by name.
    """

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
        """The divisions that hold out what ``by`` names, for one seed.

        Parameters
        ----------
        by
            What the folds leave out.
        n_folds
            How many there are.
        seed
            Which of the many divisions.
        """

    def answer(self, model: Model, train: np.ndarray, valid: np.ndarray, test: np.ndarray) -> Answer:
        """Fit ``model`` on the train (and valid) rows and answer for the test rows.

        Parameters
        ----------
        model
            Unfitted; fitted here.
        train, valid, test
            Row numbers of a :class:`Part`.
        """

    def is_whole(self, answer: Answer, test: np.ndarray) -> bool:
        """Whether an answer that was kept is one to these test rows.

        Parameters
        ----------
        answer
            What :meth:`answer` gave.
        test
            Row numbers.
        """

    def scores(self, test: np.ndarray, answer: Answer, reference: Answer | None) -> pd.DataFrame:
        """Score an answer: ``group, metric, value, n``.

        Parameters
        ----------
        test
            Row numbers.
        answer
            What :meth:`answer` gave for them.
        reference
            Answer of the model named ``reference``, if there is one.
        """

    def scores_by_drug(self, test: np.ndarray, answer: Answer) -> pd.DataFrame:
        """Score an answer for each drug: ``drug, metric, value, n``.

        Parameters
        ----------
        test
            Row numbers.
        answer
            What :meth:`answer` gave for them.
        """

    def predictions(self, test: np.ndarray, answer: Answer, reference: Answer | None) -> pd.DataFrame | None:
        """The test rows with truth and answer, where that is a table worth keeping.

        Parameters
        ----------
        test
            Row numbers.
        answer
            What :meth:`answer` gave for them.
        reference
            Answer of the model named ``reference``, if there is one.
        """

    def tables(self, answered: Sequence[Answered]) -> dict[str, pd.DataFrame]:
        """What else all answers together say: more tables of a run folder, by name.

        Parameters
        ----------
        answered
            All answers, with whose they are.
        """

    def leaking(self, train: np.ndarray, test: np.ndarray) -> list[str]:
        """What the user's own folds share between train and test: warnings.

        Parameters
        ----------
        train, test
            Row numbers.
        """

    def require(self, label: str, model: Model) -> None:
        """Refuse a model that answers another question.

        Parameters
        ----------
        label
            Of the model, for the message.
        model
            That is to answer.
        """

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
