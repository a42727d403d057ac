"""Genes behind predictions and pairs of targets: ranked, beside chance and floors; knows nothing of models."""

from galenic.explain.biomarkers import biomarkers, recovered
from galenic.explain.target_floors import score_diseases
from galenic.explain.target_pairs import known_pairs, popularity
from galenic.explain.target_scores import match_known
from galenic.explain.targets import TargetCombinations, target_combinations

__all__ = [
    "TargetCombinations",
    "biomarkers",
    "known_pairs",
    "match_known",
    "popularity",
    "recovered",
    "score_diseases",
    "target_combinations",
]
