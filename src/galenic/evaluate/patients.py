"""Patients: is the predicted response stronger in those who responded to the drug?"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from galenic.evaluate.checks import finite, labels, require_columns
from galenic.evaluate.metrics import grouped, ranks
from galenic.evaluate.statistics import bootstrap_interval, holm
from galenic.work.bar import counted

MINIMUM = 3  # patients of each class, below which a cohort is not tested


def responders(
    table: pd.DataFrame,
    *,
    drug: str = "drug",
    cohort: str | None = "cohort",
    truth: str = "label",
    prediction: str = "prediction",
    n_bootstrap: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Test, for each drug, whether predicted responses are lower (more sensitive) in patients who responded.

    Response rates and expression both differ between cohorts (temozolomide is given for glioma), so patients are
    compared within their cohort only.

    Parameters
    ----------
    table
        One row a patient and drug.
    drug, cohort
        Columns of the drug and the cohort (cancer type, trial). ``cohort=None`` takes all patients as one cohort.
    truth
        Column of the outcome: 1 = responder, 0 = not.
    prediction
        Column of the predicted response; lower = more sensitive.
    n_bootstrap, seed
        Resamples of the 95 % intervals, drawn within cohort and class.

    Returns
    -------
    pandas.DataFrame
        For each drug a row for every cohort and a row ``"all"`` that combines the cohorts with at least 3 patients of
        each class; a cohort with fewer, or a drug without such a cohort, has NaN and its ``n``.

        - ``n, responders``: patients, and responders among them (in ``"all"``: of the cohorts combined).
        - ``auroc, auroc_low, auroc_high``: share of (responder, non-responder) pairs of one cohort in which the
          responder has the lower prediction; 0.5 = chance.
        - ``auprc, auprc_low, auprc_high``: average precision, cohorts weighted by their responders; ``base_rate``,
          weighted alike, is chance.
        - ``p_value``: one-sided. A cohort: Mann-Whitney. Several combined: the stratified rank test of
          :func:`stratified_rank_test`.
        - ``p_holm``: Holm's correction, over drugs for the ``"all"`` rows and over all others for the cohorts.

    Raises
    ------
    ValueError
        For a missing column or value, or an outcome that is not 0 or 1.

    Examples
    --------
    >>> table = pd.DataFrame({"drug": "cisplatin", "cohort": ["BLCA"] * 6, "label": [1, 1, 1, 0, 0, 0],
    ...                       "prediction": [1.0, 2.0, 4.0, 3.0, 5.0, 6.0]})
    >>> responders(table)[["cohort", "n", "auroc", "p_value"]].round(3)
      cohort  n  auroc  p_value
    0    all  6  0.889      0.1
    1   BLCA  6  0.889      0.1
    """
    require_columns(table, [drug, truth, prediction], "a test of responders: the table")
    if cohort is not None:
        require_columns(table, [cohort], "a test within cohorts (cohort=None takes all as one): the table")
    patients = pd.DataFrame(
        {
            "drug": labels(table, drug, "a test of responders").to_numpy(),
            "cohort": "all" if cohort is None else labels(table, cohort, "a test of responders").to_numpy(),
            "label": finite(table, truth, "a test of responders"),
            "prediction": finite(table, prediction, "a test of responders"),
        }
    )
    if not patients["label"].isin([0, 1]).all():
        strange = patients["label"][~patients["label"].isin([0, 1])].unique()
        raise ValueError(
            f"{truth!r} should be 1 (responder) or 0; it holds {len(strange):,} other values "
            f"(first: {strange[:3].tolist()}). Binarise the outcome first."
        )
    rows = []
    for name, some in counted(patients.groupby("drug"), "drugs"):
        ones = some.groupby("cohort")["label"].transform("sum")
        zeros = some.groupby("cohort")["label"].transform("count") - ones
        usable = some[(ones >= MINIMUM) & (zeros >= MINIMUM)]
        rows.append({"drug": name, "cohort": "all", **_test(usable, n_bootstrap, seed)})
        if cohort is not None:
            for part, members in some.groupby("cohort"):
                rows.append({"drug": name, "cohort": part, **_test(members, n_bootstrap, seed)})
    result = pd.DataFrame(rows, columns=_COLUMNS).astype(dict.fromkeys(_COLUMNS[4:], "float64"))
    combined = (result["cohort"] == "all").to_numpy()
    for family in (combined, ~combined):
        result.loc[family, "p_holm"] = holm(result.loc[family, "p_value"].to_numpy())
    return result


def stratified_rank_test(label: np.ndarray, prediction: np.ndarray, cohort: np.ndarray) -> float:
    """One-sided p-value of the van Elteren test: predictions are lower where the label is 1, within cohorts.

    Parameters
    ----------
    label
        1 = responder, 0 = not, ``(n,)``.
    prediction
        Lower = more sensitive, ``(n,)``.
    cohort
        Group of each patient, ``(n,)``; only cohorts with both classes count.

    Returns
    -------
    float
        Normal approximation with the correction for ties; NaN where no cohort has both classes or nothing varies.

    Notes
    -----
    Sum over cohorts of the responders' rank sum times 1 / (n + 1), the weights that are best for a shift equal in all
    cohorts (van Elteren, Bull. Inst. Int. Statist. 1960; Lehmann, Nonparametrics, section 3.3).

    Examples
    --------
    >>> round(stratified_rank_test([1, 1, 0, 0, 1, 0], [1, 2, 3, 4, 7, 8], [0, 0, 0, 0, 1, 1]), 3)
    0.033
    """
    label, prediction = np.asarray(label, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
    codes = np.unique(cohort, return_inverse=True)[1]
    rank = ranks(prediction, codes)
    n = np.bincount(codes)
    ones = np.bincount(codes, label)
    # Variance of the rank sum of `ones` draws without replacement from the cohort's own (tied) ranks.
    spread = np.bincount(codes, (rank - (n[codes] + 1) / 2) ** 2)
    variance = ones * (n - ones) / np.maximum(n * (n - 1), 1) * spread
    weights = 1 / (n + 1)
    total = np.sum(weights**2 * variance)
    if not total > 0:
        return np.nan
    shift = np.sum(weights * (np.bincount(codes, label * rank) - ones * (n + 1) / 2))
    return float(stats.norm.cdf(shift / np.sqrt(total)))


_SCORES = ["auroc", "auroc_low", "auroc_high", "auprc", "auprc_low", "auprc_high"]
_COLUMNS = ["drug", "cohort", "n", "responders", "base_rate", *_SCORES, "p_value", "p_holm"]


def _test(patients: pd.DataFrame, n_bootstrap: int, seed: int) -> dict[str, Any]:
    """Scores and p-value of patients of one drug, each compared within its cohort."""
    label, score = patients["label"].to_numpy(), -patients["prediction"].to_numpy()
    codes, names = pd.factorize(patients["cohort"], sort=True)
    n = np.bincount(codes, minlength=len(names))
    ones = np.bincount(codes, label, len(names))
    row: dict[str, Any] = {"n": len(patients), "responders": int(label.sum())}
    if not len(names) or min(ones.min(), (n - ones).min()) < MINIMUM:
        return {**row, "base_rate": label.mean() if len(label) else np.nan}
    row["base_rate"] = float(np.average(ones / n, weights=ones))
    for metric, weights in (("auroc", ones * (n - ones)), ("auprc", ones)):
        combined = partial(_combined, metric, weights / weights.sum())
        row[metric] = float(combined(label[None], score[None], codes[None])[0])
        row[f"{metric}_low"], row[f"{metric}_high"] = bootstrap_interval(
            combined, label, score, codes, n=n_bootstrap, seed=seed, strata=2 * codes + label, vectorised=True
        )
    if len(names) == 1:
        row["p_value"] = float(stats.mannwhitneyu(score[label == 1], score[label == 0], alternative="greater").pvalue)
    else:
        row["p_value"] = stratified_rank_test(label, -score, codes)
    return row


def _combined(metric: str, share: np.ndarray, label: np.ndarray, score: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Weighted mean over cohorts of a metric, for many resamples ``(n_resamples, n_patients)`` at once."""
    n_resamples, n_cohorts = len(label), len(share)
    within = codes + n_cohorts * np.arange(n_resamples)[:, None]
    return grouped(metric, label, score, within, n_resamples * n_cohorts).reshape(n_resamples, n_cohorts) @ share
