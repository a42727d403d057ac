"""Splits, metrics, floors, ceilings and claims: tables in, tidy tables out; knows nothing of models."""

from galenic.evaluate.ceilings import agreement, ceiling, summary
from galenic.evaluate.cells import distances_by_condition, energy_distance, mmd
from galenic.evaluate.chance import map_significance
from galenic.evaluate.deletion import curve_areas, curve_band, feature_curves
from galenic.evaluate.differential import de_overlap, differential, precision_at_k
from galenic.evaluate.halves import split_half
from galenic.evaluate.metrics import (
    CALL_METRICS,
    METRICS,
    PERTURBATION_METRICS,
    RETRIEVAL_METRICS,
    Metric,
    Score,
    auprc,
    auroc,
    balanced_accuracy,
    greater_is_better,
    grouped,
    mae,
    pearson,
    r2,
    rmse,
    spearman,
)
from galenic.evaluate.patients import responders, stratified_rank_test
from galenic.evaluate.perturbation import perturbation, perturbation_by_condition
from galenic.evaluate.perturbation_splits import given_profiles, perturbation_split, singles_seen
from galenic.evaluate.power import with_power
from galenic.evaluate.ranking import expected_average_precision
from galenic.evaluate.response import denormalised, normalised, overview, response
from galenic.evaluate.retrieval import external, retrieval, retrieval_by_query
from galenic.evaluate.shift import domain_shift
from galenic.evaluate.single_cell import CELL_METRICS, overview_within, single_cell, single_cell_intervals
from galenic.evaluate.skill import skill
from galenic.evaluate.split_files import leakage, read_split, write_split
from galenic.evaluate.splits import Fold, holdout, leaks, require_disjoint, split, split_from
from galenic.evaluate.statistics import (
    benjamini_hochberg,
    best_floor,
    bootstrap_interval,
    compare,
    holm,
    paired,
)
from galenic.evaluate.transfer import transfer_differences, transfer_scores

__all__ = [
    "CALL_METRICS",
    "CELL_METRICS",
    "METRICS",
    "PERTURBATION_METRICS",
    "RETRIEVAL_METRICS",
    "Fold",
    "Metric",
    "Score",
    "agreement",
    "auprc",
    "auroc",
    "balanced_accuracy",
    "benjamini_hochberg",
    "best_floor",
    "bootstrap_interval",
    "ceiling",
    "compare",
    "curve_areas",
    "curve_band",
    "de_overlap",
    "denormalised",
    "differential",
    "distances_by_condition",
    "domain_shift",
    "energy_distance",
    "expected_average_precision",
    "external",
    "feature_curves",
    "given_profiles",
    "greater_is_better",
    "grouped",
    "holdout",
    "holm",
    "leakage",
    "leaks",
    "mae",
    "map_significance",
    "mmd",
    "normalised",
    "overview",
    "overview_within",
    "paired",
    "pearson",
    "perturbation",
    "perturbation_by_condition",
    "perturbation_split",
    "precision_at_k",
    "r2",
    "read_split",
    "require_disjoint",
    "responders",
    "response",
    "retrieval",
    "retrieval_by_query",
    "rmse",
    "single_cell",
    "single_cell_intervals",
    "singles_seen",
    "skill",
    "spearman",
    "split",
    "split_from",
    "split_half",
    "stratified_rank_test",
    "summary",
    "transfer_differences",
    "transfer_scores",
    "with_power",
    "write_split",
]
