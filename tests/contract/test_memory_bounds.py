"""Memory does not grow with the matrix: of rows too many to hold only blocks are read, whatever is learned or asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import cell_cases
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from made_matrix import MadeData, most_memory

from galenic.data import aligned, cell_matrix, condition_means, neighbourhood
from galenic.data.simulate import perturbations, profiles
from galenic.models import find
from galenic.models.deeppert import components, front, latents, member
from galenic.models.readacross import model as readacross
from galenic.models.scatd import fitting, pretraining, reading
from galenic.nn import blocks as nn_blocks
from galenic.train import Batches, Training

pytestmark = pytest.mark.filterwarnings("ignore:labels should not depend on the platform", "ignore:.*profiles are")
BLOCK = 2**15
"""Values at once in these tests; 2**22 and 2**23 in earnest."""
GENES, N = 200, 2000
ONCE = Training(max_epochs=1, batch_size=256, patience=0, monitor="none")


@cache
def few() -> AnnData:
    """Profiles of perturbed cells."""
    return profiles(n_perturbagens=20, n_genes=GENES, n_cells=3, seed=1)


@cache
def treated() -> AnnData:
    """Treated and control cells."""
    return perturbations(n_contexts=3, n_perturbations=6, n_genes=GENES, n_cells=8, seed=0)


@cache
def lines_and_cells() -> tuple[AnnData, AnnData]:
    """Labelled lines and single cells in logs."""
    from galenic.data.simulate.single_cell import bulk_and_cells

    bulk, cells = bulk_and_cells(n_genes=GENES, n_lines=40, n_cells=120, seed=1)
    return bulk, AnnData(cell_cases.log_of(cells.layers["counts"]), obs=cells.obs, var=cells.var)


@dataclass(frozen=True)
class Bound:
    """Bytes that may be added for each further row, by a fit and by an answer."""

    name: str
    data: Callable[[], AnnData]
    fit: Callable[[AnnData], Any]
    ask: Callable[[Any, AnnData], Any]
    fit_row: int
    ask_row: int

    def __str__(self) -> str:
        return self.name


def _profile(name: str, fit_row: int, ask_row: int, **fields: Any) -> Bound:
    return Bound(
        name,
        few,
        lambda adata: find(name)(**fields).fit(adata),
        lambda model, adata: model.embed(adata),
        fit_row,
        ask_row,
    )


def _perturbation(name: str, fit_row: int, ask_row: int, **fields: Any) -> Bound:
    asked = pd.DataFrame({"context": ["type A"], "perturbation": ["P02"]})
    return Bound(
        name + "-cells" * ("level" in fields),
        treated,
        lambda adata: find(name)(**fields).fit(adata),
        lambda model, adata: model.predict(adata, asked),
        fit_row,
        ask_row,
    )


def _cell(name: str, fit_row: int, ask_row: int, **fields: Any) -> Bound:
    return Bound(
        name,
        lambda: lines_and_cells()[1],
        lambda adata: find(name)(n_folds=2, **fields).fit(lines_and_cells()[0], target=adata, line="line"),
        lambda model, adata: model.predict(adata),
        fit_row,
        ask_row,
    )


NETWORK = {"n_members": 1, "n_latent": 4, "width": 8, "n_layers": 1, "growth": 8, "training": ONCE}
ENSEMBLE = {"families": ("pca", "ae"), "sizes": (2, 3), "runs": 1, "n_components": 5, "training": ONCE}
TOWERS = {"n_networks": 1, "genes": False, "widths": (8, 8, 8, 4), "training": ONCE, "gene_training": ONCE}
BOUNDS = (
    _profile("ReadAcross", 200, 40, **NETWORK, shrinkage=0.3, reliability=0.5),
    _profile("DeepPert", 200, 40, **ENSEMBLE, n_consensus=2, shared=0.0),
    _profile("WhitenedPCA", 100, 40, n_latent=4),
    _profile("ShrinkageLDA", 100, 40, n_latent=4),
    _perturbation("MeanShift", 200, 200),
    _perturbation("XTransferCDR", 200, 200, **TOWERS),
    _perturbation("XTransferCDR", 200, 200, **TOWERS, level="cells", start="none"),
    _cell("CellLogistic", 100, 100),
    _cell("ScATD", 200, 2000, n_latent=4, widths=(8,), training=ONCE, pretraining=ONCE),
    Bound(
        "ScATDEncoder",
        lambda: lines_and_cells()[1],
        lambda adata: find("ScATDEncoder")(n_genes=50, n_latent=4, encoder=(8,), training=ONCE).fit(adata),
        lambda model, adata: model.embed(adata),
        100,
        100,
    ),
)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few hundred rows, and nothing that is held because it happens to be small."""
    for module in (aligned, condition_means, components, front, latents):
        monkeypatch.setattr(module, "BLOCK", BLOCK)
    for module, name in (
        (components, "HELD"),
        (latents, "HELD"),
        (cell_matrix, "VALUES"),
        (neighbourhood, "VALUES"),
        (readacross, "RESIDENT"),
    ):
        monkeypatch.setattr(module, name, BLOCK)
    monkeypatch.setattr(member, "ROWS", 256)
    monkeypatch.setattr(nn_blocks, "CHUNK", BLOCK)
    monkeypatch.setattr(reading, "VALUES", BLOCK)
    monkeypatch.setattr(pretraining, "RESIDENT", BLOCK)
    # Samples of which some or all are taken; here they are smaller than the rows, as in earnest.
    monkeypatch.setattr(fitting, "MOST_CELLS", 250)
    monkeypatch.setattr(readacross, "COHORT", 250)
    monkeypatch.setitem(neighbourhood.components.__kwdefaults__, "most", 250)
    monkeypatch.setitem(neighbourhood.Neighbourhood.of.__func__.__kwdefaults__, "n_landmarks", 250)
    monkeypatch.setitem(Batches.__init__.__kwdefaults__, "resident", BLOCK)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("system", BOUNDS, ids=str)
def test_memory_grows_with_rows_by_less_than_stated(system: Bound) -> None:
    """A row of the matrix has 800 bytes in single precision; a few numbers of each are kept."""
    system.ask(system.fit(system.data()), system.data())  # what is imported and kept the first time is no row's
    fits, answers = [], []
    for n in (N, 2 * N):
        big = MadeData(system.data(), n)
        with most_memory() as most:
            model = system.fit(big)
            fits.append(most())
        with most_memory() as most:
            system.ask(model, big)
            answers.append(most())
        assert big.made.most <= max(2 * BLOCK, 4 * ONCE.batch_size * GENES)
    assert np.diff(fits)[0] / N <= system.fit_row
    assert np.diff(answers)[0] / N <= system.ask_row


@pytest.mark.parametrize("name", ["ReadAcross", "MeanShift", "CellLogistic"])
def test_a_large_matrix_is_asked_about_in_a_part_of_its_size(name: str) -> None:
    """In earnest: 60,000 rows of 978 columns, 470 MB in double precision."""
    system = next(system for system in BOUNDS if system.name == name)
    model, small = system.fit(system.data()), system.data()
    wide = np.tile(np.asarray(small.X), (1, 5))[:, :978]
    names = [*small.var_names, *(f"OTHER{number}" for number in range(978 - GENES))]
    big = MadeData(AnnData(wide, obs=small.obs, var=pd.DataFrame(index=names)), 60_000)
    with most_memory() as most:
        system.ask(model, big)
        held = most()
    assert big.made.most <= cell_matrix.VALUES
    assert held < 260e6, held
