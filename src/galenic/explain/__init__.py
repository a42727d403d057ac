"""Genes behind predictions: ranked, with stability and false discovery rate; knows nothing of models."""

from galenic.explain.biomarkers import biomarkers, recovered

__all__ = ["biomarkers", "recovered"]
