"""Splits of perturbation data by what is unseen: pairs, contexts, perturbations or combinations; given profiles."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from galenic.evaluate.checks import first, labels, require_columns
from galenic.evaluate.splits import Fold, split
from galenic.work.near import did_you_mean

UNSEEN = ("pair", "context", "perturbation", "combination")


def perturbation_split(
    table: pd.DataFrame,
    unseen: str = "pair",
    *,
    context: str = "context",
    perturbation: str = "perturbation",
    control: str | None = "control",
    n_folds: int | None = 5,
    seed: int = 0,
    separator: str | None = "+",
    hold_in: Collection[str] | None = None,
) -> list[Fold]:
    """Divide cells, wells or conditions into folds that each leave something of the kind ``unseen`` out of training.

    The same group falls into the same fold whatever the order of the rows. Controls always train, also those of an
    unseen context: a model is told what untreated cells of the target look like.

    Parameters
    ----------
    table
        One row a cell, well or condition: ``obs`` of an AnnData.
    unseen
        - ``"pair"``: a perturbation in a context. The perturbation trains in another context, and the context with
          another perturbation; pairs that cannot be held out so always train.
        - ``"context"``: all treated cells of a context.
        - ``"perturbation"``: a perturbation, in all contexts. No training row has a part of it: where ``A`` is tested,
          ``A+B`` does not train, and ``A+B`` is tested where both parts are unseen; rows in between take no part in
          that fold. Its profile in another context may still be *given* at prediction: see :func:`given_profiles`.
        - ``"combination"``: whole combinations; all single perturbations train. See :func:`singles_seen`.
    context, perturbation
        Columns of the table.
    control
        The value of ``perturbation`` in control rows, or a boolean column that marks them; ``None`` if there are none.
        A column of that name comes first.
    n_folds
        Number of folds, at least 2; ``None``: as many as there are groups (leave one out), for all but ``"pair"``.
    seed
        Which of the many divisions.
    separator
        Stands between the parts of a combination; ``A+B`` and ``B+A`` are one. ``None``: there are no combinations.
    hold_in
        Contexts that are never tested. Their rows train; with ``unseen="perturbation"`` those of a tested perturbation
        do not, and can be given at prediction.

    Returns
    -------
    list of Fold
        Row positions. Tests are disjoint.

    Raises
    ------
    ValueError
        For a missing column or value, an unknown kind or context, no controls, or fewer groups than folds.

    Examples
    --------
    >>> table = pd.DataFrame({"context": list("AAABBB"), "perturbation": ["control", "x", "y"] * 2})
    >>> [fold.test.tolist() for fold in perturbation_split(table, "pair", n_folds=2)]
    [[2, 4], [1, 5]]
    >>> [fold.test.tolist() for fold in perturbation_split(table, "perturbation", n_folds=2)]
    [[1, 4], [2, 5]]
    """
    if unseen not in UNSEEN:
        raise ValueError(
            f"unseen should be one of {', '.join(UNSEEN)}; received {unseen!r}. "
            f"{did_you_mean(unseen, UNSEEN, 'Choose one of those.')}"
        )
    rows = rows_of(table, context, perturbation, control, separator)
    held = _held_in(rows, hold_in)
    kept = rows["is_control"].to_numpy() | held
    if unseen == "pair":
        folds = _pairs(rows, kept, 5 if n_folds is None else n_folds, seed)
    elif unseen == "perturbation":
        folds = _perturbations(rows, kept, n_folds, seed)
    else:
        if unseen == "combination":
            kept |= ~_is_combination(rows)
        _require_some(rows, kept, unseen, separator)
        column = "context" if unseen == "context" else "perturbation"
        number = rows.loc[~kept, column].nunique() if n_folds is None else n_folds
        folds = split(rows, by=column, n_folds=number, seed=seed, keep=kept)
    return folds


def given_profiles(
    table: pd.DataFrame,
    fold: Fold,
    *,
    context: str = "context",
    perturbation: str = "perturbation",
    control: str | None = "control",
    separator: str | None = "+",
) -> pd.DataFrame:
    """Where else each tested condition was measured: the profiles that may be given to a model at prediction.

    Parameters
    ----------
    table, context, perturbation, control, separator
        As in :func:`perturbation_split`.
    fold
        One of its folds.

    Returns
    -------
    pandas.DataFrame
        One row a tested condition and other context with that perturbation: ``context, perturbation, source`` (the
        other context), ``n_rows`` measured there, and ``trained``: whether they were trained on. A condition that
        was measured nowhere else has no row.

    Examples
    --------
    >>> table = pd.DataFrame({"context": list("AAABBB"), "perturbation": ["control", "x", "y"] * 2})
    >>> fold = perturbation_split(table, "perturbation", n_folds=2, hold_in=["A"])[0]
    >>> fold.test.tolist(), fold.train.tolist()
    ([4], [0, 2, 3, 5])
    >>> given_profiles(table, fold)
      context perturbation source  n_rows  trained
    0       B            x      A       1    False
    """
    rows = rows_of(table, context, perturbation, control, separator)
    trains = np.zeros(len(rows), dtype=bool)
    trains[fold.train] = True
    treated = rows.assign(trained=trains)[~rows["is_control"]]
    measured = treated.groupby(["context", "perturbation"])["trained"].agg(n_rows="size", trained="all").reset_index()
    tested = rows.iloc[fold.test][["context", "perturbation"]].drop_duplicates()
    found = tested.merge(measured.rename(columns={"context": "source"}), on="perturbation")
    found = found[found["context"] != found["source"]].sort_values(["context", "perturbation", "source"])
    names = {"context": context, "perturbation": perturbation}
    return (
        found[["context", "perturbation", "source", "n_rows", "trained"]].rename(columns=names).reset_index(drop=True)
    )


def singles_seen(
    table: pd.DataFrame,
    fold: Fold,
    *,
    context: str = "context",
    perturbation: str = "perturbation",
    control: str | None = "control",
    separator: str = "+",
) -> np.ndarray:
    """How many parts of each tested combination were trained on alone, in its context.

    Parameters
    ----------
    table, context, perturbation, control, separator
        As in :func:`perturbation_split`.
    fold
        One of its folds.

    Returns
    -------
    numpy.ndarray
        0, 1, 2, ... for each row of ``fold.test``: the additive baseline needs all parts; score the groups apart.

    Examples
    --------
    >>> table = pd.DataFrame({"context": "K562", "perturbation": ["control", "A", "A+B", "B", "A+C"]})
    >>> singles_seen(table, Fold(np.array([0, 1, 3]), np.array([2, 4])))
    array([2, 1])
    """
    rows = rows_of(table, context, perturbation, control, separator)
    trained = rows.iloc[fold.train]
    alone = pd.MultiIndex.from_frame(trained.loc[~trained["is_control"], ["context", "perturbation"]].drop_duplicates())
    parts = _parts(rows.iloc[fold.test].reset_index(drop=True))
    seen = pd.MultiIndex.from_frame(parts[["context", "part"]]).isin(alone)
    return np.bincount(parts["row"], seen, len(fold.test)).astype(np.int64)


def rows_of(
    table: pd.DataFrame, context: str, perturbation: str, control: str | None, separator: str | None
) -> pd.DataFrame:
    """The columns ``context``, ``perturbation``, ``parts`` and ``is_control`` of a table, combinations in one order."""
    require_columns(table, [context, perturbation], "a split of perturbations: the table")
    is_control = control_rows(table, perturbation, control)
    names = labels(table, perturbation, "a split of perturbations").reset_index(drop=True)
    # A part that is the control, as in "KLF1+ctrl", is no part.
    parts = {
        name: tuple(sorted(set(name.split(separator)) - {control}) if separator else [name]) or (name,)
        for name in names.unique()
    }
    return pd.DataFrame(
        {
            "context": labels(table, context, "a split of perturbations").to_numpy(),
            "perturbation": names.map({name: (separator or "").join(some) for name, some in parts.items()}),
            "parts": names.map(parts),
            "is_control": is_control,
        }
    )


def control_rows(table: pd.DataFrame, perturbation: str, control: str | None) -> np.ndarray:
    """Which rows are controls, ``(n_rows,)`` bool: by a boolean column of that name, or by the perturbation's value."""
    if control is None:
        return np.zeros(len(table), dtype=bool)
    if control in table.columns and pd.api.types.is_bool_dtype(table[control].dtype):
        found = table[control].to_numpy(dtype=bool)
    else:
        found = (table[perturbation].astype(str) == control).to_numpy()
    if not found.any():
        raise ValueError(
            f"controls should be marked by a boolean column {control!r} or by the value {control!r} of "
            f"{perturbation!r}; none of {len(table):,} rows are (values: {first(table[perturbation].unique(), 5)}). "
            "Name the control, or pass control=None if there are none."
        )
    return found


def _held_in(rows: pd.DataFrame, hold_in: Collection[str] | None) -> np.ndarray:
    if hold_in is None:
        return np.zeros(len(rows), dtype=bool)
    wanted = [hold_in] if isinstance(hold_in, str) else list(hold_in)
    strange = sorted(set(wanted) - set(rows["context"]))
    if strange:
        raise ValueError(
            f"hold_in should name contexts of the table; {len(strange):,} are not (first: {first(strange)}). "
            f"It has {first(rows['context'].unique(), 5)}."
        )
    return rows["context"].isin(wanted).to_numpy()


def _is_combination(rows: pd.DataFrame) -> np.ndarray:
    return (rows["parts"].str.len() > 1).to_numpy()


def _require_some(rows: pd.DataFrame, kept: np.ndarray, unseen: str, separator: str | None) -> None:
    if kept.all():
        remedy = f"name the separator of combinations (received {separator!r})" if unseen == "combination" else (
            "hold fewer contexts in"
        )  # fmt: skip
        raise ValueError(
            f"a split by unseen {unseen} needs treated rows to test; none of {len(rows):,} are left (perturbations: "
            f"{first(rows['perturbation'].unique(), 5)}). Check the columns, and {remedy}."
        )


def _parts(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a row and part: ``row`` (position), ``context``, ``part``."""
    table = pd.DataFrame({"row": np.arange(len(rows)), "context": rows["context"].to_numpy(), "part": rows["parts"]})
    return table.explode("part", ignore_index=True)


def _perturbations(rows: pd.DataFrame, kept: np.ndarray, n_folds: int | None, seed: int) -> list[Fold]:
    """Parts are divided; a fold tests what has all its parts in it and trains on what has none."""
    _require_some(rows, kept, "perturbation", None)
    parts = _parts(rows[~kept].reset_index(drop=True))
    number = parts["part"].nunique() if n_folds is None else n_folds
    assigned = {}
    for i, fold in enumerate(split(parts, by="part", n_folds=number, seed=seed)):
        assigned.update(dict.fromkeys(parts["part"].iloc[fold.test], i))
    codes = pd.factorize(rows["perturbation"])[0]
    first_row = np.unique(codes, return_index=True)[1]
    known = [{assigned.get(part, -1) for part in some} for some in rows["parts"].iloc[first_row]]
    control = rows["is_control"].to_numpy()
    folds = []
    for i in range(number):
        # Of the few perturbations, not of the many rows.
        touched, within = (np.array([rule(some) for some in known])[codes] for rule in ({i}.issubset, {i}.issuperset))
        folds.append(Fold(np.flatnonzero(~touched | control), np.flatnonzero(within & ~kept)))
    _require_filled(folds, "perturbation")
    return folds


def _pairs(rows: pd.DataFrame, kept: np.ndarray, n_folds: int, seed: int) -> list[Fold]:
    if n_folds < 2:
        raise ValueError(f"n_folds should be at least 2; received {n_folds}. Use 5 for five folds.")
    _require_some(rows, kept, "pair", None)
    keys = ["context", "perturbation"]
    treated = rows[~rows["is_control"]]
    pairs = treated.assign(kept=kept[~rows["is_control"].to_numpy()]).groupby(keys)["kept"].all().reset_index()
    fits = (pairs.groupby("perturbation")["context"].transform("size") > 1) & (
        pairs.groupby("context")["perturbation"].transform("size") > 1
    )
    rng = np.random.default_rng([seed, 0])
    pairs = pairs.assign(order=rng.permutation(len(pairs)), fold=-1)
    # Pairs of one perturbation follow each other, so no fold holds all of them.
    pairs["turn"] = pairs.groupby("perturbation")["order"].transform("min")
    chosen = pairs[fits & ~pairs["kept"]].sort_values(["turn", "order"]).index
    pairs.loc[chosen, "fold"] = np.arange(len(chosen)) % n_folds
    # A context whose pairs all fell into one fold would have nothing to train on there: one of them trains always.
    by_context = pairs.loc[pairs.sort_values("order").index].groupby("context")["fold"]
    lonely = by_context.nunique()[lambda n: n == 1].index
    spared = pairs[pairs["context"].isin(lonely)].drop_duplicates("context").index
    pairs.loc[spared, "fold"] = -1
    # Rows are joined to their pair by name.
    fold_of = rows[keys].merge(pairs[[*keys, "fold"]], on=keys, how="left")["fold"].fillna(-1).to_numpy(copy=True)
    fold_of[rows["is_control"].to_numpy()] = -1
    folds = [Fold(np.flatnonzero(fold_of != i), np.flatnonzero(fold_of == i)) for i in range(n_folds)]
    _require_filled(folds, "pair")
    return folds


def _require_filled(folds: list[Fold], unseen: str) -> None:
    empty = [i for i, fold in enumerate(folds) if not len(fold.test) or not len(fold.train)]
    if empty:
        tested = sum(len(fold.test) for fold in folds)
        raise ValueError(
            f"every fold by unseen {unseen} needs rows to train on and to test; {len(empty)} of {len(folds)} have none "
            f"(first: {first(empty)}; {tested:,} rows can be tested in all). Use fewer folds, or another kind of "
            "unseen: a pair can be held out where its perturbation has another context and its context another "
            "perturbation."
        )
