"""The question of what a representation of drugs is good for: labels of drugs, or of pairs of drugs, from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from galenic.data.checks import first, require_columns
from galenic.data.drug_properties import properties
from galenic.data.drugs import fingerprints
from galenic.evaluate.metrics import METRICS
from galenic.evaluate.power import with_power
from galenic.evaluate.statistics import compare
from galenic.tasks.downstream_features import Columns, side_by_side
from galenic.tasks.downstream_splits import BY_DRUG, drug_columns, folds_of, groups_of, shared_drugs, units_of
from galenic.tasks.heads import HEADS, Predictor, fitted
from galenic.tasks.representations import Representation, keys_of, require_numbers, table_of
from galenic.tasks.task import Answer, Answered, Part

FLOORS = ("onehot", "fingerprint", "properties", "dose")
SCORED = {True: ("auroc", "auprc", "balanced_accuracy"), False: ("pearson", "spearman", "rmse")}
MAIN = {True: "auroc", False: "rmse"}


@dataclass(frozen=True)
class DownstreamTask:
    """Predict a label of drugs (toxicity, sensitivity), or of pairs of drugs (synergy), from what stands for a drug.

    ``by`` is ``"row"`` (random rows), ``"pair"`` (the two drugs, in whatever cell; or a drug and a cell), ``"drug"``
    (by structure where known), ``"structure"``, ``"scaffold"``, ``"cell"``, another column of ``labels``, or
    ``"file"`` (the column ``fold``). With pairs of drugs, ``"drug"``, ``"structure"`` and ``"scaffold"`` test the rows
    of which one drug or both are unseen, and ``"both drugs"`` only those of which both are.

    Parameters
    ----------
    labels
        One row a measurement: ``drug``, or ``drug_a`` and ``drug_b`` in any order; ``cell`` where there are several;
        the column ``target``; columns to split by. Not changed.
    representations
        What stands for a drug, by name: a table with a row a drug, or a row a drug and cell (two levels of index);
        or :class:`~galenic.tasks.Learned`, which is learned again in each fold from its training drugs. A table is
        taken as it is: an embedding that was fitted on profiles of all drugs is *transductive*, it has seen the
        profiles of test drugs, though no label.
    drugs
        Index = drug ids, column ``smiles``, and ``structure`` where known (:func:`galenic.data.drugs.standardise`).
        Without it there are no fingerprints, properties and scaffolds.
    target
        Column of the label.
    kind
        "classification" (labels 0 and 1) or "regression"; None: the former where all labels are 0 or 1.
    covariates
        Columns of numbers of ``labels`` (dose, time) that every model but the prior reads besides.
    heads
        With which the floors are run; a model that beats one weak head of a floor has beaten nothing.
    train_share
        Share of the training groups (drugs, pairs, rows) that are used, for learning curves.

    Notes
    -----
    Features of a pair are ``a + b``, ``|a - b|`` and ``a * b`` of the two drugs' columns, after these are standardised
    over the training rows, so exchanging the drugs changes nothing. Of columns of 0 and 1 the sum says all. The cell is
    one-hot, where there are several, for every model but the prior.

    Floors: ``prior`` (mean label), ``onehot`` (which drug it is), ``fingerprint`` (Morgan, radius 2, 2048 bits),
    ``properties`` (:func:`galenic.data.drug_properties.properties`), ``dose`` (a representation of that name), each
    that the data allow, with every head. None of them reads a gene.

    Raises
    ------
    ValueError
        If columns or representations are missing, lack drugs, or labels are of one class only.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> genes = pd.DataFrame(rng.normal(size=(60, 5)), index=[f"d{i}" for i in range(60)])
    >>> labels = pd.DataFrame({"drug": genes.index, "label": (genes[0] > 0).astype(int).to_numpy()})
    >>> task = DownstreamTask(labels, {"genes": genes})
    >>> from galenic import benchmark
    >>> scores = benchmark({"genes": Predictor(features=("genes",))}, task, by="drug", n_folds=3).metrics
    >>> scores[scores["metric"] == "auroc"].groupby("model")["value"].mean().round(1).to_dict()
    {'genes': 1.0, 'onehot, forest': 0.5, 'prior': 0.5}
    """

    labels: pd.DataFrame
    representations: Mapping[str, Representation]
    drugs: pd.DataFrame | None = None
    target: str = "label"
    kind: Literal["classification", "regression"] | None = None
    covariates: Sequence[str] = ()
    heads: Sequence[str] = ("forest",)
    train_share: float = 1.0
    _tables: dict[str, Representation] = field(default_factory=dict, init=False, repr=False)

    reference: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        columns = [*drug_columns(self.labels), self.target, *self.covariates]
        require_columns(self.labels, columns, "labels of drugs: the table")
        unknown = [head for head in self.heads if head not in HEADS]
        if unknown or not 0 < self.train_share <= 1:
            raise ValueError(
                f"heads should be among {', '.join(HEADS)} and train_share above 0 and up to 1; received "
                f"{first(self.heads)} and {self.train_share}. Correct these."
            )
        self._require_labels()
        taken = sorted(set(self.representations) & {"onehot", "fingerprint", "properties"})
        if taken:
            raise ValueError(
                f"onehot, fingerprint and properties are made here; {first(taken)} are also given. "
                "Name yours otherwise."
            )
        self._tables.update({**self._made(), **self.representations})
        for name, representation in self._tables.items():
            self._require_drugs(name, require_numbers(name, table_of(representation)))

    @cached_property
    def is_class(self) -> bool:
        """Whether labels are 0 and 1."""
        return self.kind != "regression" and bool(np.isin(self.truth, (0.0, 1.0)).all())

    @cached_property
    def truth(self) -> np.ndarray:
        """The labels as numbers, ``(n,)``."""
        return self.labels[self.target].to_numpy(dtype=np.float64)

    def folds(self, by: str, n_folds: int, seed: int) -> list[Part]:
        """Folds of labels; no rows are set apart for validation, since nothing is tuned."""
        parts = folds_of(self.labels, self.drugs, by, n_folds, seed)
        if self.train_share < 1:
            groups = groups_of(self.labels, self.drugs, by)
            parts = [Part(self._thinned(part.train, groups, seed), part.valid, part.test) for part in parts]
        return parts

    def answer(self, model: Any, train: np.ndarray, valid: np.ndarray, test: np.ndarray) -> Answer:
        """Predicted labels (chances of 1) of the test rows; nothing is learned from these."""
        rows = np.union1d(train, valid)
        X = self.features(model.features, rows)
        head = fitted(model.head, X[rows], self.truth[rows], is_class=self.is_class, seed=model.seed)
        return {"answer": head(X[test])}

    def features(self, names: Sequence[str], train: np.ndarray) -> np.ndarray:
        """Features of all rows from the representations ``names``, learned and standardised on the rows ``train``.

        Returns
        -------
        ndarray, (n_rows, n_features), float32
        """
        if not names:
            return np.zeros((len(self.labels), 0), dtype=np.float32)
        columns = Columns(self.labels, train)
        blocks = [columns.of(self._tables[name]) for name in names]
        if "cell" in self.labels and len(pd.unique(self.labels["cell"])) > 1:
            blocks.append(pd.get_dummies(self.labels["cell"].astype(str), dtype=np.float32).to_numpy())
        if self.covariates:
            blocks.append(self.labels[list(self.covariates)].to_numpy(dtype=np.float32))
        return side_by_side(blocks)

    def is_whole(self, answer: Answer, test: np.ndarray) -> bool:
        """Whether there is one prediction for each test row."""
        return len(answer["answer"]) == len(test)

    def scores(self, test: np.ndarray, answer: Answer, reference: Answer | None) -> pd.DataFrame:
        """AUROC, average precision and balanced accuracy; or Pearson, Spearman and root mean squared error."""
        truth = self.truth[test]
        rows = [("all", name, METRICS[name].function(truth, answer["answer"])) for name in SCORED[self.is_class]]
        return pd.DataFrame(rows, columns=["group", "metric", "value"]).assign(n=len(test))

    def scores_by_drug(self, test: np.ndarray, answer: Answer) -> pd.DataFrame:
        """Mean absolute error over the test rows of each drug."""
        error = np.abs(self.truth[test] - answer["answer"])
        part = self.labels.iloc[test]
        long = pd.concat([pd.DataFrame({"drug": part[name].astype(str), "e": error}) for name in drug_columns(part)])
        scored = long.groupby("drug")["e"].agg(["mean", "size"]).reset_index()
        return scored.set_axis(["drug", "value", "n"], axis=1).assign(metric="mae")

    def predictions(self, test: np.ndarray, answer: Answer, reference: Answer | None) -> pd.DataFrame:
        """The test rows with label (``response``) and prediction; a pair of drugs is named ``a + b``."""
        part = self.labels.iloc[test]
        names = part[drug_columns(part)].astype(str).agg(" + ".join, axis=1).to_numpy()
        cells = part["cell"].astype(str).to_numpy() if "cell" in part else ""
        table = {"cell": cells, "drug": names, "response": self.truth[test], "prediction": answer["answer"]}
        return pd.DataFrame(table, index=range(len(test))).assign(floor=np.nan)

    def tables(self, answered: Sequence[Answered]) -> dict[str, pd.DataFrame]:
        """No more than the predictions."""
        return {}

    def leaking(self, train: np.ndarray, test: np.ndarray) -> list[str]:
        """Drugs on both sides of the user's own folds."""
        shared = shared_drugs(self.labels, self.drugs, train, test)
        said = f"in the given folds {shared:,} of {len(test):,} test rows have all their drugs in train too"
        return [f"{said}: they do not test unseen drugs"] if shared else []

    def require(self, label: str, model: Any) -> None:
        """Refuse what is no :class:`Predictor`, and representations that are not there."""
        names = getattr(model, "features", None)
        if not isinstance(names, tuple) or not hasattr(model, "head"):
            raise ValueError(
                f"labels of drugs are predicted by a Predictor(features=..., head=...); {label} is a "
                f"{type(model).__name__}. Make its vectors a representation."
            )
        unknown = [name for name in names if name not in self._tables]
        if unknown:
            raise ValueError(
                f"{label} should read {', '.join(self._tables)}; it asks for {first(unknown)}. Add the representation."
            )

    def floors(self) -> dict[str, Any]:
        """Every floor that the data allow, with every head."""
        there = [name for name in FLOORS if name in self._tables]
        found = {f"{name}, {head}": Predictor(features=(name,), head=head) for name in there for head in self.heads}  # type: ignore[arg-type]
        return {"prior": Predictor(), **found}

    def compare(self, metrics: pd.DataFrame, by: str, n_folds: int) -> pd.DataFrame:
        """Every model against the best floor of a split, with what the comparison could have found.

        As :func:`galenic.evaluate.compare`, with the share of test rows that this split really has: of pairs of drugs
        more rows hold an unseen drug than there are unseen drugs, which widens the intervals.
        """
        parts = folds_of(self.labels, self.drugs, by, n_folds, 0)
        share = float(np.mean([len(part.test) / (len(part.test) + len(part.train)) for part in parts]))
        found = compare(metrics[metrics["split"] == by], list(self.floors()), test_share=share)
        groups: Any = groups_of(self.labels, self.drugs, by)
        if by in BY_DRUG:  # drugs are drawn, not pairs of them
            unit = "drug" if by == "both drugs" else by
            groups = units_of(self.labels, self.drugs, unit).to_numpy().ravel()
        return with_power(found, len(set(groups)))

    def _made(self) -> dict[str, pd.DataFrame]:
        """Representations that need no measurement: which drug it is, and what is read off its structure."""
        names = pd.Index(pd.unique(self.labels[drug_columns(self.labels)].astype(str).to_numpy().ravel()))
        made = {"onehot": pd.DataFrame(np.eye(len(names)), index=names)}
        if self.drugs is None or "smiles" not in self.drugs:
            return made
        known = self.drugs.set_axis(self.drugs.index.astype(str))["smiles"].reindex(names)
        if known.isna().any():
            raise ValueError(
                f"the table of drugs should have a SMILES for each drug of the labels; {int(known.isna().sum()):,} of "
                f"{len(names):,} lack one (first: {first(names[known.isna()])}). Add them, or leave those rows out."
            )
        bits = pd.DataFrame(fingerprints(known.tolist()).astype(np.float64), index=names)
        return {**made, "fingerprint": bits, "properties": properties(known.tolist()).set_axis(names)}

    def _require_labels(self) -> None:
        try:
            values = self.labels[self.target].to_numpy(dtype=np.float64)
        except (ValueError, TypeError):
            values = np.array([np.nan])
        if not np.isfinite(values).all():
            raise ValueError(
                f"labels should be finite numbers; {self.target!r} has others (first: "
                f"{first(self.labels[self.target].unique())}). Write classes as 0 and 1, and drop empty rows."
            )
        if self.kind == "classification" and not np.isin(values, (0, 1)).all():
            raise ValueError(
                f"classes should be 0 and 1; {self.target!r} holds {first(np.unique(values))}. "
                "Use 0 and 1, or regression."
            )
        if len(np.unique(values)) < 2:
            raise ValueError(
                f"labels should differ; all {len(values):,} of {self.target!r} are "
                f"{first(np.unique(values)) or 'missing'}. Add rows of another class."
            )

    def _require_drugs(self, name: str, table: pd.DataFrame) -> None:
        if table.index.nlevels == 2:
            require_columns(self.labels, ["cell"], f"a representation by drug and cell ({name}): the table of labels")
        keys = [keys_of(self.labels, column, table) for column in drug_columns(self.labels)]
        absent = np.logical_or.reduce([~key.isin(table.index) for key in keys])
        if absent.any():
            missing = pd.unique(np.concatenate([np.asarray(key[~key.isin(table.index)]) for key in keys]))
            raise ValueError(
                f"every drug of the labels should have a row in {name!r}; {len(missing):,} have none (first: "
                f"{first(missing)}), in {int(absent.sum()):,} of {len(absent):,} rows. "
                "Leave them out: labels, coverage = represented(labels, representations)."
            )

    def _thinned(self, train: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
        """A random share of the groups of the training rows."""
        names = np.unique(groups[train])
        n = max(round(self.train_share * len(names)), 2)
        kept = np.random.default_rng([seed, 17]).permutation(names)[:n]
        return train[np.isin(groups[train], kept)]
