"""The folder of a fit: the same numbers with it as without, and none of other data or other settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from galenic.data.simulate import perturbations, profiles, screen
from galenic.data.simulate.single_cell import bulk_and_cells
from galenic.models import find
from galenic.train import Training

BRIEF = Training(lr=2e-3, max_epochs=2, batch_size=64, patience=0, monitor="none")
SCATD = {"n_folds": 2, "widths": (8,), "n_latent": 4, "training": BRIEF, "pretraining": BRIEF}


def lines(seed: int) -> tuple[Any, Any]:
    return bulk_and_cells(n_genes=40, n_lines=50, n_cells=60, n_drivers=10, seed=seed)


def kdrug(seed: int, how: dict[str, Any]) -> Any:
    data = screen(n_cells=16, n_drugs=4, n_genes=20, n_drivers=2, seed=seed)[0]
    model = find("KDRUG")(n_members=2, n_latent=8, hidden=16, teacher=(), start="means", training=BRIEF,
                          structure_epochs=1)  # fmt: skip
    return model, lambda model: model.fit(data, device="cpu", **how)


def readacross(seed: int, how: dict[str, Any]) -> Any:
    adata = profiles(n_perturbagens=12, n_genes=30, seed=seed)
    model = find("ReadAcross")(
        n_latent=8, n_members=2, width=8, growth=8, shrinkage=1.0, reliability=0.5, training=BRIEF
    )
    return model, lambda model: model.fit(adata, **how)


def xtransfer(seed: int, how: dict[str, Any]) -> Any:
    adata = perturbations(n_contexts=3, n_perturbations=5, n_genes=8, n_cells=4, seed=seed)
    model = find("XTransferCDR")(n_networks=1, widths=(8, 8, 4, 4), training=BRIEF, gene_training=BRIEF)
    return model, lambda model: model.fit(adata, **how)


def scatd(seed: int, how: dict[str, Any]) -> Any:
    bulk, cells = lines(seed)
    return find("ScATD")(**SCATD), lambda model: model.fit(bulk, response="ln_ic50", target=cells, **how)


def encoder(seed: int, how: dict[str, Any]) -> Any:
    model = find("ScATDEncoder")(n_latent=4, encoder=(8,), training=BRIEF)
    return model, lambda model: model.fit(lines(seed)[1], **how)


SYSTEMS = (kdrug, readacross, xtransfer, scatd, encoder)


def same(one: Any, other: Any) -> bool:
    return one.arrays_.keys() == other.arrays_.keys() and all(
        np.array_equal(array, other.arrays_[name], equal_nan=True) for name, array in one.arrays_.items()
    )


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.__name__)
def test_a_kept_fit_is_the_same_and_of_one_work_only(system: Callable[..., Any], tmp_path: Path) -> None:
    model, fit = system(0, {})
    alone = fit(model)
    kept = tmp_path / "kept"
    model, fit = system(0, {"checkpoint": kept})
    assert same(fit(replace(model)), alone)
    assert not list(kept.rglob("*.pt"))
    times = {file: file.stat().st_mtime_ns for file in kept.rglob("*") if file.is_file()}
    assert len(times) >= 2
    assert same(fit(replace(model)), alone)
    assert {file: file.stat().st_mtime_ns for file in kept.rglob("*") if file.is_file()} == times
    with pytest.raises(ValueError, match=r"same data and settings; .* seed was 0, now 1\. Use the former ones"):
        fit(replace(model, seed=1))
    model, fit = system(1, {"checkpoint": kept})
    with pytest.raises(ValueError, match=r"same data and settings; .* data was .*, now .*\. Use the former ones"):
        fit(model)
    assert {file: file.stat().st_mtime_ns for file in kept.rglob("*") if file.is_file()} == times


def test_members_of_scatd_are_trained_in_several_processes_too() -> None:
    """Its encoder has spectral norms, which no process can send to another."""
    alone, fit = scatd(0, {})
    several, fit_in_two = scatd(0, {"n_jobs": 2})
    assert same(fit(alone), fit_in_two(several))
