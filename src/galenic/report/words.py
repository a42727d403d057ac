"""The report's words: how numbers are printed and what splits, metrics and terms are called."""

from __future__ import annotations

import math
from numbers import Real

import pandas as pd

from galenic.evaluate.metrics import FEW_GENES

# Name of a split: what is unseen, and the question it answers.
SPLITS = {
    "pair": ("unseen pairs", "Cell and drug are both known; this pair was not measured. Can gaps be filled?"),
    "cell": ("unseen cells", "How will a new cell respond to a drug that other cells were tested with?"),
    "drug": ("unseen drugs", "How will known cells respond to a new drug, one of a structure never trained on?"),
    "tissue": ("unseen tissues", "How will cells of a tissue that training never saw respond to a known drug?"),
    "structure": ("unseen structures", "What of a drug of a structure that training never saw?"),
    "scaffold": ("unseen scaffolds", "What of a drug that is built on rings that training never saw?"),
    "both drugs": ("pairs of unseen drugs", "What of a pair of drugs of which training saw neither?"),
    "row": ("unseen rows", "What of a row of which drugs and cell were seen in others?"),
    "perturbagen": ("unseen perturbagens", "Do profiles of a compound that training never saw find each other?"),
    "plate": ("unseen plates", "Do profiles of plates that training never saw find those of their compound?"),
    "profile": ("unseen profiles", "Does a new profile find others of its compound?"),
}
# Of effects of perturbations; here a pair is a perturbation in a context.
EFFECT_SPLITS = {
    "pair": ("unseen pairs", "What does a known perturbation do in a known context where it was not measured?"),
    "context": ("unseen contexts", "What do known perturbations do in a context where none was measured?"),
    "perturbation": (
        "unseen perturbations",
        "What does a perturbation do that training did not see in any context? At prediction a model is given its "
        "profiles in the other contexts, where there are any.",
    ),
    "combination": ("unseen combinations", "What do perturbations do together that were seen only alone?"),
}
METRICS = {"rmse": "RMSE", "mae": "MAE", "r2": "R²", "pearson": "Pearson", "spearman": "Spearman",
           "auroc": "AUROC", "auprc": "AUPRC", "map": "mAP", "median_quantile": "median quantile",
           "recall_at_1pct": "recall in the first 1 %", "recall_at_10pct": "recall in the first 10 %",
           "auroc_pooled": "AUROC of pairs", "map_normalised": "mAP beyond chance",
           "found_beyond_chance": "found beyond chance", "balanced_accuracy": "balanced accuracy"}  # fmt: skip
EFFECT_METRICS = {"pearson_delta": "Pearson of effects", "spearman_delta": "Spearman of effects",
                  "cosine_delta": "cosine of effects", "pearson_delta_perturbed": "Pearson beyond the mean effect",
                  "r2_absolute": "R² of expression", "sign": "direction", "de_overlap": "overlap",
                  "precision": "precision", "discrimination": "discrimination",
                  "centroid_accuracy": "centroid accuracy", "collapse": "collapse (1 is best)",
                  "energy_distance": "energy distance", "mmd": "MMD"}  # fmt: skip
RETRIEVAL = ("map", "median_quantile", "recall_at_1pct", "recall_at_10pct", "map_normalised", "found_beyond_chance")
GROUPS = {
    "all": "all pairs",
    "within_drug": "within drug",
    "within_cell": "within cell",
    "beyond_floor": "beyond floor",
    "moa": "same mechanism",
    "target": "same target",
}
UNITS = {"ln_ic50": "ln IC50, µM", "ic50": "IC50, µM", "auc": "area under the curve", "viability": "viability"}
GLOSSARY = {
    "Floor": "A simple baseline that learns nothing from genes: means of drugs (DrugMean), cells (CellMean), both "
    "(MeanEffects) or a tissue (TissueDrugMean), or the means of the drugs nearest in structure (NearestDrugs). "
    "A model that does not beat its best floor has not shown that it learned from expression. Of retrieval: "
    "similarities without a network, from the cosine of z-scores to linear discriminants.",
    "mAP": "Mean average precision: how high the profiles that belong with a profile rank among all others; 1 is "
    "perfect.",
    "Found beyond chance": "Share of perturbagens whose profiles find each other better than random rankings would, "
    "at a false discovery rate of 5 %.",
    "Median quantile": "Of the profiles that belong with a profile: the share of others that rank above the "
    "middle one.",
    "Ceiling": "The score that a perfect predictor would reach on data this noisy: the square root of the mean "
    "correlation of repeated measurements of one drug.",
    "Fold, seed": "Each fold holds out another part of the data; each seed repeats the fit with other random numbers.",
    "Within drug": "The metric inside each drug, averaged over drugs with enough cells: "
    "can the model order cells for one drug?",
    "Within cell": "The metric inside each cell, averaged over cells with enough drugs: "
    "can the model order drugs for one cell?",
    "Beyond floor": "The metric after the drug and cell means are subtracted from both truth and prediction: "
    "what is left is what the model knows beyond means. R² is 0 for those means themselves.",
    "Interval": "95 %. Of a score: Student's t over folds, seeds averaged first; folds share training data, so it is "
    "rather too narrow than too wide. Of a difference: paired over folds and seeds, widened for that sharing.",
    "RMSE": "Root of the mean squared error, in the unit of the response. Lower is better.",
    "Stability": "Share of refits on resampled data in which the gene is among the top genes of the drug.",
    "q-value": "Expected share of false finds among genes at least as strong (false discovery rate).",
    "AUROC": "Chance that a patient who responded is ranked above one who did not; 0.5 is a coin.",
}
EFFECT_GLOSSARY = {
    "Context, condition, effect": "A context is the cell type or line; a condition is a perturbation in a context; its "
    "effect is its mean expression less that of the context's controls.",
    "Floor": "A simple baseline that trains no network: no effect, mean effects of a context or of a perturbation "
    "elsewhere, or a weighted sum of these. A model that does not beat its best floor has shown no skill.",
    "Skill": "1 − error / error of the floor, on the same conditions: 1 is perfect, 0 is the floor, below 0 is worse.",
    "Pearson of effects": "Correlation over genes of predicted with measured effect, averaged over conditions. Where "
    "no effect is predicted it has no value, and counts as 0 in means.",
    "Pearson beyond the mean effect": "The same after the mean effect of the context's training conditions is taken "
    "from both sides: what all perturbations share no longer helps.",
    "MAE, RMSE": "Mean absolute error, and root of the mean squared error, of expression over all genes; most genes "
    "hardly change, so no effect at all looks good by it. Lower is better.",
    "Discrimination": "Share of the other perturbations of the context whose measured effect lies farther from the "
    "prediction than the right one; 1 is best, 0.5 is chance.",
    "First 20 genes": "The 20 that changed most in the measurement. Direction: share of them predicted to rise or fall "
    "as they did, 0.5 is chance. Overlap: share of them among the 20 with the largest predicted effect.",
    "Collapse": "Variance of the predicted effects over that of the measured ones, between the conditions of a "
    "context. Near 0 the model says the same for all; measured effects hold noise, so a fair model stays below 1.",
    "Ceiling": "What a perfect predictor would reach on data this noisy, from the agreement of random halves of the "
    "measurements. Where halves share a plate or a donor it is too high; where prediction and measurement "
    "share the noise of few controls, which halves do not, a score can pass it.",
    "State code, effect code": "Numbers in which a model holds what untreated cells are and what a perturbation does; "
    "their sum is turned into treated expression.",
    "Interaction, departure": "What happens in one condition beyond the additive solution, in which an effect is the "
    "same in every context and a combination is the sum of its parts.",
    "Fold, seed": "Each fold holds out another part of the data; each seed repeats the fit with other random numbers.",
    "Interval": "95 %. Of a score and of a difference: over folds, seeds averaged first. Of a skill: over conditions, "
    "resampled with model and floor together.",
}
SEARCH_GLOSSARY = {
    "Perturbagen, profile": "A perturbagen is what cells were treated with; each of its profiles is what one treatment "
    "did to the genes, as z-scores against controls.",
    "Similarity, cosine": "The cosine of two vectors: 1 points in one direction, 0 has nothing in common, −1 is the "
    "opposite. Where a model corrects for profiles that resemble everything, similarity is the cosine minus how near "
    "both lie to profiles in general.",
    "Above": "Share of pairs of different perturbagens in the reference, of the same kind as query and hit, that are "
    "less similar: what a similarity is worth where everything is somewhat alike. It is no p-value of a mechanism.",
    "Connectivity, tau": "How far the raised and lowered genes of a query stand at the ends of a ranked profile; tau "
    "is the percentage of reference queries with a weaker connectivity.",
    "Structure (Tanimoto)": "Shared substructures over all, of Morgan fingerprints with radius 2: 1 is the same, below "
    "0.3 is another.",
    "Agreement": "Mean cosine between the profiles of one perturbagen. Where it is low, their mean may stand for none "
    "of them.",
    "Far": "The nearest profile that the model knows is farther away than for 99 % of the known ones: neighbours may "
    "mean little.",
    "Weak": "Fewer changed genes (|z| above 2) than 95 % of the known profiles, or no more than vehicles have: "
    "direction and neighbours may be chance.",
    "Vehicle": "A treatment with the solvent alone, as DMSO, or none. What it reaches, chance reaches.",
    "AUROC of a mechanism": "Chance that a perturbagen with the mechanism ranks above one with another; 0.5 is a coin, "
    "near 0 is the opposite.",
    "q-value of enrichment": "Expected share of false finds among mechanisms (or targets) at least as surprising "
    "(Benjamini-Hochberg).",
}
NOTHING = "–"
SAME = 1e-6
"""Scores, and differences of scores, below this are rounding of single precision."""


def number(value: object, decimals: int = 3, *, signed: bool = False) -> str:
    """Number for people: fixed decimals, a true minus sign, an en dash where there is none.

    Parameters
    ----------
    value
        A number, ``None`` or NaN.
    decimals
        Digits after the point; where all of them would be 0, one significant digit is shown instead.
    signed
        Whether a plus sign is written.

    Returns
    -------
    str
        The text.

    Examples
    --------
    >>> number(1234.5678, 2), number(-0.04, 2), number(0.31, 2, signed=True), number(float("nan"))
    ('1,234.57', '−0.04', '+0.31', '–')
    >>> number(-0.0003), number(2e-9), number(0.0)
    ('−0.0003', '2e−09', '0.000')
    """
    if not isinstance(value, Real) or math.isnan(value):
        return NOTHING
    size = abs(float(value))
    if size and not round(size, decimals):
        decimals = math.ceil(-math.log10(size))
    kind = "f" if decimals <= 5 else "e"
    text = f"{value:{'+' if signed else ''},.{decimals if kind == 'f' else 0}{kind}}"
    return text.replace("-", "−")


def score(value: object, decimals: int = 3, *, signed: bool = False) -> str:
    """A score, as :func:`number` prints it; what is only rounding of single precision is 0.

    >>> score(-1e-08), score(-0.0004), score(0.25, signed=True)
    ('0.000', '−0.0004', '+0.250')
    """
    return number(0.0 if isinstance(value, Real) and abs(float(value)) < SAME else value, decimals, signed=signed)


def counted(value: int, name: str) -> str:
    """A number of things, of which one is called by the singular.

    >>> counted(1, "perturbations"), counted(1200, "genes")
    ('1 perturbation', '1,200 genes')
    """
    return f"{value:,} {name.removesuffix('s') if value == 1 else name}"


def count(value: object) -> str:
    """Whole number with thousands separated; an en dash where there is none.

    >>> count(151234), count(None), count(3.0)
    ('151,234', '–', '3')
    """
    return number(value, 0)


def interval(low: object, high: object, decimals: int = 3) -> str:
    """``[low, high]``, or nothing where either is unknown; ends as in :func:`score`.

    >>> interval(-0.06, 0.02, 2), interval(float("nan"), 1.0)
    ('[−0.06, 0.02]', '')
    """
    ends = [score(low, decimals), score(high, decimals)]
    return "" if NOTHING in ends else f"[{', '.join(ends)}]"


def p_value(value: object) -> str:
    """P-value or q-value: three decimals, and ``< 0.001`` below.

    >>> p_value(0.0312), p_value(1e-9), p_value(None)
    ('0.031', '< 0.001', '–')
    """
    return "< 0.001" if isinstance(value, Real) and 0 <= float(value) < 0.001 else number(value)


def drug_titles(table: pd.DataFrame) -> pd.Series:
    """Drug of each row as people know it: ``name (id)`` where the table has a name that differs from the id.

    >>> drug_titles(pd.DataFrame({"drug": ["292", "Taxol", "7"], "name": ["Vatalanib", "Taxol", None]})).tolist()
    ['Vatalanib (292)', 'Taxol', '7']
    """
    ids = table["drug"].where(table["drug"].notna(), "").astype(str)
    if "name" not in table:
        return ids
    names = table["name"].where(table["name"].notna(), ids).astype(str)
    return ids.where(names == ids, names + " (" + ids + ")")


def split_name(split: str) -> str:
    """Split in plain words: ``"cell"`` is ``"unseen cells"``."""
    return (SPLITS | EFFECT_SPLITS).get(split, (f"split {split!r}", ""))[0]


def effect_metric(metric: str) -> tuple[str, str]:
    """A metric without its ending, and what the ending says: ``_top20`` are the 20 most changed genes.

    >>> effect_metric("sign_top20"), effect_metric("mae_degs"), effect_metric("rmse")
    (('sign', ', first 20 genes'), ('mae', ', changed genes'), ('rmse', ''))
    """
    found = FEW_GENES.search(metric)
    if found is None:
        return metric, ""
    which = found.group(1)
    return metric[: found.start()], ", changed genes" if which == "degs" else f", first {which[3:]} genes"


def metric_name(metric: str, group: str = "all", unit: str = "") -> str:
    """Metric in plain words.

    >>> metric_name("pearson", "within_drug"), metric_name("rmse", unit="ln_ic50")
    ('Pearson, within drug', 'RMSE (ln IC50, µM)')
    >>> metric_name("pearson_delta"), metric_name("sign_top20"), metric_name("mae_degs", "type A")
    ('Pearson of effects', 'direction, first 20 genes', 'MAE, changed genes, type A')
    """
    whole, genes = effect_metric(metric)
    if group == "all" and whole in EFFECT_METRICS:
        return EFFECT_METRICS[whole] + genes
    name = METRICS.get(metric) or EFFECT_METRICS.get(whole, METRICS.get(whole, whole)) + genes
    if metric in ("rmse", "mae") and unit:
        name = f"{name} ({UNITS.get(unit, unit)})"
    if group == "all" and whole in ("rmse", "mae", *RETRIEVAL):
        return name
    return f"{name}, {GROUPS.get(group, group)}"
