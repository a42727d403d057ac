"""The models: construct, fit, predict or embed, save, load.

``MODELS`` names every model that galenic ships and where it lives; nothing is imported until asked for. Those of
``RESPONSE_MODELS`` predict responses of cells to drugs; those of ``PROFILE_MODELS`` say how similar profiles are;
those of ``PERTURBATION_MODELS`` predict expression under perturbations; those of ``CELL_MODELS`` say how likely single
cells are sensitive.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from galenic.models.base import Model

RESPONSE_MODELS: dict[str, tuple[str, str]] = {
    "KDRUG": ("galenic.models.kdrug.model", "multi-omic teacher distilled into an expression-only student"),
    "DrugMean": ("galenic.models.baselines.means", "mean response of each drug"),
    "CellMean": ("galenic.models.baselines.means", "mean response of each cell"),
    "MeanEffects": ("galenic.models.baselines.means", "drug effect + cell effect"),
    "TissueDrugMean": ("galenic.models.baselines.means", "mean of each drug in each tissue, shrunk to the drug's mean"),
    "NearestDrugs": ("galenic.models.baselines.neighbours", "mean effects carried to new drugs by structure"),
    "Factorisation": ("galenic.models.baselines.factorisation", "mean effects + low-rank factors of cells and drugs"),
    "Ridge": ("galenic.models.baselines.ridge", "linear ridge on expression, one for each drug"),
    "KernelRidge": ("galenic.models.baselines.ridge", "kernel ridge on any modalities, one for each drug"),
    "KernelCompletion": (
        "galenic.models.baselines.completion",
        "kernel ridge + what a known cell's other responses say",
    ),
    "ElasticNet": ("galenic.models.baselines.elastic", "sparse linear model on expression, one for each drug"),
    "RandomForest": ("galenic.models.baselines.trees", "random forest on expression components and fingerprints"),
    "Boosting": ("galenic.models.baselines.trees", "boosted trees on expression components and fingerprints"),
}
PROFILE_MODELS: dict[str, tuple[str, str]] = {
    "ReadAcross": ("galenic.models.readacross.model", "embedding in which profiles of one perturbagen lie together"),
    "DeepPert": ("galenic.models.deeppert.model", "what many small autoencoders of profiles agree on, with its genes"),
    "RawCosine": ("galenic.models.profiles.similarities", "cosine of z-scores"),
    "Spearman": ("galenic.models.profiles.similarities", "rank correlation of z-scores"),
    "Euclidean": ("galenic.models.profiles.similarities", "distance of standardised z-scores"),
    "WhitenedPCA": ("galenic.models.profiles.similarities", "cosine of whitened principal components"),
    "Connectivity": ("galenic.models.profiles.similarities", "weighted connectivity score of gene sets"),
    "ShrinkageLDA": ("galenic.models.profiles.discriminant", "cosine of linear discriminants of perturbagens"),
}
PERTURBATION_MODELS: dict[str, tuple[str, str]] = {
    "XTransferCDR": ("galenic.models.xtransfer.model", "state and effect encoders beside a stack of simple effects"),
    "NoEffect": ("galenic.models.perturbation.floors", "mean of the controls"),
    "CopySource": ("galenic.models.perturbation.floors", "treated expression of other contexts"),
    "GlobalMeanEffect": ("galenic.models.perturbation.floors", "control + mean effect of everything"),
    "ContextMeanEffect": ("galenic.models.perturbation.floors", "control + mean effect in the context"),
    "MeanShift": ("galenic.models.perturbation.floors", "control + mean effect of the perturbation elsewhere"),
    "ScaledShift": ("galenic.models.perturbation.linear", "context's mean effect + scaled shift of the perturbation"),
    "NearestContextShift": ("galenic.models.perturbation.floors", "control + effect in the most similar context"),
    "AdditivePairs": ("galenic.models.perturbation.floors", "control + sum of the effects of a combination's parts"),
    "StackedShift": (
        "galenic.models.perturbation.stacked",
        "weighted sum of the simpler effects, fitted on held-out ones",
    ),
    "LowRankEffect": ("galenic.models.perturbation.low_rank", "context's mean effect + ridge on low-rank factors"),
}
CELL_MODELS: dict[str, tuple[str, str]] = {
    "ScATD": (
        "galenic.models.scatd.model",
        "sensitivity of single cells from bulk lines: linear start, residual VAE, neighbourhoods",
    ),
    "CellPrior": ("galenic.models.cells.simple", "share of sensitive lines, for every cell"),
    "CellCentroid": ("galenic.models.cells.simple", "nearest centroid of sensitive and resistant lines"),
    "CellSignature": ("galenic.models.cells.simple", "mean of the genes that go with sensitivity"),
    "CellLogistic": ("galenic.models.cells.linear", "logistic regression on lines, cells as they are"),
    "AlignedLogistic": ("galenic.models.cells.linear", "logistic regression on lines, cells by their own mean and sd"),
    "CellRidge": ("galenic.models.cells.linear", "ridge regression of the response of lines"),
    "CellBoosting": ("galenic.models.cells.boosting", "boosted trees on lines"),
}
MODELS = RESPONSE_MODELS | PROFILE_MODELS | PERTURBATION_MODELS | CELL_MODELS
ENCODERS: dict[str, tuple[str, str]] = {
    "ScATDEncoder": ("galenic.models.scatd.encoder", "residual VAE of unlabelled cells, also as student of another"),
}
"""Parts of models that are fitted and saved by themselves."""


def find(name: str) -> type[Model]:
    """Return the model class called ``name``; raise ``ValueError`` with the nearest name where there is none."""
    places = MODELS | ENCODERS
    if name not in places:
        from galenic.work.near import nearest_name

        raise ValueError(f"a model should be one of {', '.join(MODELS)}; received {name!r}{nearest_name(name, places)}")
    model: type[Model] = getattr(import_module(places[name][0]), name)
    return model
