"""What the Perturb page computes: one predicted effect, beside floors and what was measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

FLOOR_NAMES = {
    "AdditivePairs": "sum of its parts",
    "MeanShift": "its mean effect in other cell types",
    "ContextMeanEffect": "mean of all drugs in this cell type",
    "GlobalMeanEffect": "mean of all drugs everywhere",
}
"""Floors in plain words."""
COLUMN_NAMES = {
    "effect": "predicted",
    "AdditivePairs": "floor: sum of parts",
    "MeanShift": "floor: this drug elsewhere",
    "ContextMeanEffect": "floor: all drugs here",
    "GlobalMeanEffect": "floor: all drugs everywhere",
}
"""Headings of a table of genes."""


@dataclass(frozen=True, eq=False)
class Choices:
    """What can be asked of a model and cells.

    Parameters
    ----------
    contexts
        With controls among the cells.
    perturbations
        That the fit or the cells know.
    measured
        Conditions that the cells hold and the fit did not see: there a prediction can be judged.
    doses
        Of a model of doses; empty where there are none.
    """

    contexts: list[str]
    perturbations: list[str]
    measured: list[tuple[str, str]]
    doses: list[float]


@dataclass(frozen=True, eq=False)
class Effect:
    """The answer to one question.

    Parameters
    ----------
    genes
        One row a gene, the largest predicted effect first: ``gene, effect``; ``spread, steadiness`` where the
        perturbation was measured in two other contexts or more; ``measured`` where it is; one column a floor.
    floors
        Names of those columns.
    scores
        ``who, correlation, error, is_floor`` against what was measured; ``None`` where nothing was.
    n_contexts
        Other contexts in which the perturbation was measured.
    is_known
        Whether the fit or the cells name the perturbation.
    near
        Known names like it, where they do not.
    is_fitted
        Whether the model has learned from this very condition.
    fallback
        The simpler model that answered; empty where the model itself did.
    """

    genes: pd.DataFrame
    floors: list[str]
    scores: pd.DataFrame | None
    n_contexts: int
    is_known: bool
    near: list[str]
    is_fitted: bool
    fallback: str


def choices(model: Any, adata: AnnData) -> Choices:
    """Contexts, perturbations and doses that may be asked, those that can be judged first."""
    from galenic.models.perturbation.question import condition_keys, fitted_table

    columns = columns_of(model, adata)
    by_dose = model.spec_["dose"] is not None
    fitted, held = fitted_table(model.spec_), columns.conditions(by_dose=by_dose)[0]
    seen = set(condition_keys(fitted))
    new = [key not in seen for key in condition_keys(held)]
    contexts = [columns.contexts[code] for code in np.unique(columns.context[columns.is_control])]
    measured = [
        (context, name)
        for context, name in held.loc[new, ["context", "perturbation"]].itertuples(index=False)
        if context in contexts
    ]
    names = dict.fromkeys([*fitted["perturbation"], *held["perturbation"]])
    doses = sorted(set(fitted["dose"].dropna())) if by_dose else []
    return Choices(contexts, natural(names), list(dict.fromkeys(measured)), doses)


def natural(names: Iterable[str]) -> list[str]:
    """Names in the order in which people count.

    >>> natural(["drug 10", "drug 2", "aspirin"])
    ['aspirin', 'drug 2', 'drug 10']
    """
    import re

    def key(name: str) -> list[tuple[int, int, str]]:
        parts = re.split(r"(\d+)", str(name))
        return [(1, int(part), "") if part.isdecimal() else (0, 0, part.casefold()) for part in parts if part]

    return sorted(names, key=key)


def columns_of(model: Any, adata: AnnData) -> Any:
    """Which row is of which context and perturbation, by the columns that the model was fitted with."""
    from galenic.data.perturbation import perturbation_columns

    spec = model.spec_
    names = {name: spec[name] for name in ("context", "perturbation", "control")}
    return perturbation_columns(adata, **names, dose=spec["dose"] or "dose", without_controls="keep")


def effect_of(model: Any, adata: AnnData, context: str, perturbation: str, dose: float | None = None) -> Effect:
    """Predict one condition, and put what is known beside it.

    Parameters
    ----------
    model
        Fitted model of perturbations.
    adata
        Cells with controls of the context; where they hold the condition itself, the prediction is judged by it.
    context, perturbation, dose
        What is asked. A perturbation that nobody knows is answered by what is usual in the context, and said to be.
    """
    from galenic.models.perturbation.beside import beside
    from galenic.search.names import nearest_names

    asked = pd.DataFrame({"context": [context], "perturbation": [perturbation]})
    if model.spec_["dose"] is not None:
        asked["dose"] = dose
    predicted = model.predict(adata, asked, unknown="keep")
    found = beside(model, adata, asked)
    table = pd.DataFrame({"gene": predicted.var_names.astype(str), "effect": predicted.layers["effect"][0]})
    if found.spread is not None:
        table["spread"] = found.spread
        table["steadiness"] = steadiness(table["effect"].to_numpy(), found.spread)
    measured = measured_effect(model, adata, asked)
    measured = found.fitted if measured is None else measured
    if measured is not None:
        table["measured"] = measured
    floors = list(found.floors)
    for name in floors:
        table[name] = found.floors[name].to_numpy()
    known = choices(model, adata).perturbations
    is_known = perturbation in known or found.n_contexts > 0
    order = table["effect"].abs().sort_values(ascending=False, kind="stable").index
    return Effect(
        table.loc[order].reset_index(drop=True),
        floors,
        None if measured is None else scores(table, floors),
        found.n_contexts,
        is_known,
        [] if is_known else nearest_names(perturbation, known),
        found.fitted is not None,
        str(predicted.obs["fallback"].iloc[0]),
    )


def steadiness(effect: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """How large each effect is beside its spread over contexts, ``(n_genes,)``: no statistic of any test.

    To each spread half the median one is added, so that a gene that happens to repeat exactly does not come first.

    >>> steadiness(np.array([1.0, -1.0, 0.0]), np.array([0.0, 1.0, 1.0])).round(2).tolist()
    [2.0, 0.67, 0.0]
    """
    usual = 0.5 * float(np.median(spread))
    total = spread + usual
    result: np.ndarray = np.divide(np.abs(effect), total, out=np.zeros_like(total), where=total > 0)
    return result


def measured_effect(model: Any, adata: AnnData, asked: pd.DataFrame) -> np.ndarray | None:
    """What the cells themselves show for the asked condition, ``(n_genes,)``; ``None`` where they do not hold it.

    Genes that the cells lack are NaN.
    """
    from galenic.data.condition_means import condition_means
    from galenic.data.genes import clean_names
    from galenic.models.perturbation.question import condition_keys

    columns = columns_of(model, adata)
    by_dose = model.spec_["dose"] is not None
    held, codes = columns.conditions(by_dose=by_dose)
    keys = condition_keys(held)
    wanted = condition_keys(asked)[0]
    if wanted not in keys:
        return None
    place = keys.index(wanted)
    code = columns.contexts.index(held["context"].iloc[place])
    rows = (codes == place) | (columns.is_control & (columns.context == code))
    means = condition_means(adata, columns, rows=rows, by_dose=by_dose)
    places = pd.Index(clean_names(adata.var_names)).get_indexer(pd.Index(clean_names(model.spec_["genes"])))
    result: np.ndarray = np.where(places >= 0, means.effects[place][places], np.nan)
    return result


def scores(table: pd.DataFrame, floors: list[str]) -> pd.DataFrame:
    """Correlation and mean absolute error of the model and of each floor against ``measured``, over genes."""
    from galenic.evaluate.deltas import pearson_rows

    known = table[table["measured"].notna()]
    truth = known["measured"].to_numpy(dtype=float)[None]
    rows = []
    for who in ("effect", *floors):
        said = known[who].to_numpy(dtype=float)[None]
        correlation = float(pearson_rows(truth, said)[0])
        error = float(np.abs(truth - said).mean()) if len(known) else float("nan")
        rows.append((who, correlation, error, who != "effect"))
    return pd.DataFrame(rows, columns=["who", "correlation", "error", "is_floor"])


def headline(found: Effect, context: str, perturbation: str, n: int = 3) -> str:
    """The answer in a sentence: which genes rise and fall most."""
    perturbation = perturbation if found.is_known else "the usual drug"
    up, down = (found.genes[found.genes["effect"] * sign > 0].head(n) for sign in (1, -1))
    if up.empty and down.empty:
        return f"{perturbation} is predicted to change no gene in {context}."
    parts = [
        f"{word} {', '.join(f'{row.gene} ({row.effect:+.2f})' for row in rows.itertuples())}".replace("-", "−")
        for word, rows in (("raise most", up), ("lower most", down))
        if len(rows)
    ]
    return f"In {context}, {perturbation} is predicted to {'; to '.join(parts)}."


def verdict(scores: pd.DataFrame, *, is_fitted: bool) -> tuple[str, bool]:
    """How the prediction did beside the best floor, in a sentence, and whether it was better than that."""
    own = scores[~scores["is_floor"]].iloc[0]
    floors = scores[scores["is_floor"]].dropna(subset=["correlation"])
    said = f"Predicted and measured effects correlate at {own['correlation']:.2f} over genes"
    better = True
    if len(floors):
        best = floors.loc[floors["correlation"].idxmax()]
        better = bool(own["correlation"] > best["correlation"])
        word = "above" if better else "not above"
        said += f", {word} the best floor, {FLOOR_NAMES.get(best['who'], best['who'])} ({best['correlation']:.2f})"
    said += ". One condition proves nothing: see the scores of the model."
    if is_fitted:
        said = "The model has learned from this very condition, so this says nothing of new ones. " + said
    return said.replace("-0.", "−0."), better and not is_fitted


def doubts(found: Effect, perturbation: str) -> list[str]:
    """What speaks against relying on the answer."""
    said = []
    if not found.is_known:
        near = f" Did you mean {', '.join(found.near)}?" if found.near else ""
        said.append(
            f"Neither the model nor your cells know {perturbation}: the answer is what drugs usually do in this cell "
            "type, and says nothing of this one. Choose a name from the list, or add cells treated with it elsewhere."
            f"{near}"
        )
    elif found.n_contexts == 0:
        said.append(f"{perturbation} was measured in no other cell type: the answer is what is usual in this one.")
    elif found.fallback:
        floor = FLOOR_NAMES.get(found.fallback, found.fallback)
        said.append(f"The model had nothing to go by; a simpler one answered ({floor}).")
    return said


def score_rows(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores under headings in plain words."""
    names = COLUMN_NAMES | {"effect": "the model"}
    return pd.DataFrame(
        {
            "who": scores["who"].map(names).fillna(scores["who"]),
            "correlation": scores["correlation"],
            "mean error": scores["error"],
        }
    )
