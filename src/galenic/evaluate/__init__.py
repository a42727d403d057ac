"""Splits, metrics, floors, ceilings and claims: tables in, tidy tables out; knows nothing of models."""

from galenic.evaluate.ceilings import agreement, ceiling, summary
from galenic.evaluate.chance import map_significance
from galenic.evaluate.metrics import (
    METRICS,
    RETRIEVAL_METRICS,
    Metric,
    Score,
    auprc,
    auroc,
    greater_is_better,
    grouped,
    mae,
    pearson,
    r2,
    rmse,
    spearman,
)
from galenic.evaluate.patients import responders, stratified_rank_test
from galenic.evaluate.ranking import expected_average_precision
from galenic.evaluate.response import denormalised, normalised, overview, response
from galenic.evaluate.retrieval import external, retrieval, retrieval_by_query
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
    "RETRIEVAL_METRICS",
    "Fold",
    "Metric",
    "Score",
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
    "expected_average_precision",
    "external",
    "greater_is_better",
    "grouped",
    "holdout",
    "holm",
    "leaks",
    "mae",
    "map_significance",
    "normalised",
    "overview",
    "paired",
    "pearson",
    "r2",
    "require_disjoint",
    "responders",
    "response",
    "retrieval",
    "retrieval_by_query",
    "rmse",
    "spearman",
    "split",
    "split_from",
    "stratified_rank_test",
    "summary",
]
