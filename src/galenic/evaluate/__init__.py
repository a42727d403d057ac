"""Splits, metrics, floors, ceilings and claims: tables in, tidy tables out; knows nothing of models."""

from galenic.evaluate.ceilings import agreement, ceiling, summary
from galenic.evaluate.metrics import METRICS, Metric, auprc, auroc, grouped, mae, pearson, r2, rmse, spearman
from galenic.evaluate.patients import responders, stratified_rank_test
from galenic.evaluate.response import denormalised, normalised, overview, response
from galenic.evaluate.shift import domain_shift
from galenic.evaluate.splits import Fold, holdout, leaks, require_disjoint, split, split_from
from galenic.evaluate.statistics import (
    benjamini_hochberg,
    best_floor,
    bootstrap_interval,
    compare,
    holm,
    paired,
)

__all__ = [
    "METRICS",
    "Fold",
    "Metric",
    "agreement",
    "auprc",
    "auroc",
    "benjamini_hochberg",
    "best_floor",
    "bootstrap_interval",
    "ceiling",
    "compare",
    "denormalised",
    "domain_shift",
    "grouped",
    "holdout",
    "holm",
    "leaks",
    "mae",
    "normalised",
    "overview",
    "paired",
    "pearson",
    "r2",
    "require_disjoint",
    "responders",
    "response",
    "rmse",
    "spearman",
    "split",
    "split_from",
    "stratified_rank_test",
    "summary",
]
