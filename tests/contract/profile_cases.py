"""The models of profiles that have to obey the laws: one row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from anndata import AnnData

from galenic.data.simulate import profiles
from galenic.models import find
from galenic.train import Training

BRIEF = Training(lr=2e-3, max_epochs=2, batch_size=64, patience=0, monitor="none")


@cache
def few_profiles() -> AnnData:
    """20 perturbagens in 3 cell lines."""
    return profiles(n_perturbagens=20, n_genes=50, n_cells=3, seed=1)


@dataclass(frozen=True)
class ProfileCase:
    """How the laws build a small model of one class."""

    name: str
    make: Callable[[], Any]
    form: str = ""
    reads_labels: bool = False
    draws: bool = False

    def __str__(self) -> str:
        return f"{self.name}-{self.form}" if self.form else self.name

    def fitted(self) -> Any:
        """A fitted model; the same object for every law, which must not change it."""
        return _fitted(self)


@cache
def _fitted(case: ProfileCase) -> Any:
    return case.make().fit(few_profiles())


def _of(name: str, **fields: Any) -> Callable[[], Any]:
    return lambda: find(name)(**fields)


SMALL = {"n_members": 2, "n_latent": 8, "width": 8, "growth": 16, "training": BRIEF}

FEW = {"sizes": (2, 3), "runs": 2, "n_components": 10, "shared": 0.2, "training": BRIEF}

CASES = (
    ProfileCase("ReadAcross", _of("ReadAcross", **SMALL), reads_labels=True, draws=True),
    ProfileCase(
        "ReadAcross",
        _of("ReadAcross", **SMALL, start=0.0, loss="arcface", margin=0.2, n_centres=2, mechanism=0.5,
            context=("cell", "dose")),
        form="arcface", reads_labels=True, draws=True,
    ),
    ProfileCase(
        "ReadAcross", _of("ReadAcross", as_published=True, training=BRIEF), form="published", reads_labels=True,
        draws=True,
    ),
    ProfileCase("DeepPert", _of("DeepPert", **FEW), draws=True),
    ProfileCase(
        "DeepPert", _of("DeepPert", **FEW, families=("linear", "pca", "ica", "rp"), covariates=("dose", "cell"),
                        n_consensus=4),
        form="covariates", draws=True,
    ),
    ProfileCase(
        "DeepPert", _of("DeepPert", **FEW | {"shared": 0.0}, families=("ae", "vae"), covariates=("cell",),
                        adjust="decoder", choose="g-means", merge=1.0, scale_genes=False),
        form="decoder", draws=True,
    ),
    ProfileCase("RawCosine", _of("RawCosine")),
    ProfileCase("Spearman", _of("Spearman")),
    ProfileCase("Euclidean", _of("Euclidean")),
    ProfileCase("WhitenedPCA", _of("WhitenedPCA", n_latent=5)),
    ProfileCase("Connectivity", _of("Connectivity", n_genes=5)),
    ProfileCase("ShrinkageLDA", _of("ShrinkageLDA", n_latent=8), reads_labels=True),
)  # fmt: skip
