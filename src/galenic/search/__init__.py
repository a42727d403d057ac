"""Search for profiles and drugs that act alike: exact index, connectivity scores, drug vectors, enrichment, flags."""

from galenic.search.applicability import Applicability, activity, signature_strength
from galenic.search.connectivity import RankedProfiles, enrichment_scores, gene_sets, wtcs
from galenic.search.enrichment import enrichment
from galenic.search.index import Hits, SimilarityIndex
from galenic.search.names import nearest_names
from galenic.search.percentiles import ncs, reference_quantiles, summarise_over_cells, tau
from galenic.search.perturbagens import (
    aggregate,
    best_over,
    concentration,
    replicate_correlation,
    replicate_weights,
)

__all__ = [
    "Applicability",
    "Hits",
    "RankedProfiles",
    "SimilarityIndex",
    "activity",
    "aggregate",
    "best_over",
    "concentration",
    "enrichment",
    "enrichment_scores",
    "gene_sets",
    "ncs",
    "nearest_names",
    "reference_quantiles",
    "replicate_correlation",
    "replicate_weights",
    "signature_strength",
    "summarise_over_cells",
    "tau",
    "wtcs",
]
