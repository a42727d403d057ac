"""ScATD as a whole: what is drawn, what is stored, whom it listens to."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData

from galenic.data.simulate.single_cell import bulk_and_cells
from galenic.evaluate.metrics import auroc
from galenic.models.scatd import fitting
from galenic.models.scatd.encoder import ScATDEncoder
from galenic.models.scatd.model import ScATD
from galenic.models.scatd.stack import Stack
from galenic.train import Training

BRIEF = Training(lr=2e-3, max_epochs=4, batch_size=32, patience=0, monitor="none")
SMALL = {"n_folds": 3, "n_latent": 8, "widths": (16,), "training": BRIEF, "pretraining": BRIEF}
HOW = {"response": "ln_ic50", "line": "line"}


@cache
def data(**sim: Any) -> tuple[AnnData, AnnData]:
    return bulk_and_cells(n_genes=60, n_lines=80, n_cells=150, n_drivers=15, seed=2, **sim)


@cache
def encoder(standardise: bool = True) -> ScATDEncoder:
    _, other = bulk_and_cells(n_genes=60, n_lines=40, n_cells=200, n_drivers=15, seed=9)
    return ScATDEncoder(n_latent=8, encoder=(16,), n_genes=0, training=BRIEF, standardise=standardise).fit(other)


def heard(monkeypatch: pytest.MonkeyPatch, sign: float = 1.0) -> None:
    """Networks get a share whatever they say."""

    def joined(start: Any, network: Any, y: np.ndarray, fold: np.ndarray, rivals: Any = ()) -> Stack:
        if network is None:
            return Stack(1.0, 0.0, 0.0, 0.0, np.asarray(start))
        return Stack(0.0 if start is None else sign, 1.0, 0.0, 0.5, np.asarray(network))

    monkeypatch.setattr(fitting, "joined", joined)


@pytest.mark.parametrize("given", [None, True, False], ids=["own", "standardised", "plain"])
def test_the_function_is_what_cells_are_told_by_themselves(given: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    heard(monkeypatch)
    monkeypatch.setattr(fitting, "ALIKE", -2.0)
    bulk, cells = data()
    model = ScATD(**SMALL, n_draws=0).fit(bulk, target=cells, encoder=None if given is None else encoder(given), **HOW)
    x = torch.from_numpy(model.features_of(cells)).float()
    with torch.no_grad():
        members = model.function().members(x).numpy()
        np.testing.assert_allclose(members.mean(axis=0), model.function()(x).numpy(), atol=1e-5)
    alone = (1 / (1 + np.exp(-members))).mean(axis=0)
    np.testing.assert_allclose(model.predict(cells)["alone"], alone, atol=1e-5)


def test_networks_that_say_otherwise_than_the_start_on_the_target_are_not_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard(monkeypatch)
    bulk, cells = data()
    model = ScATD(**SMALL).fit(bulk, target=cells, **HOW)
    assert (model.spec_["networks_agree"] >= fitting.ALIKE) == (model.spec_["network_weight"] > 0)
    monkeypatch.setattr(fitting, "ALIKE", 2.0)
    model = ScATD(**SMALL).fit(bulk, target=cells, **HOW)
    assert model.spec_["network_weight"] == 0
    assert not any(name.startswith(("encoder", "member", "placed")) for name in model.arrays_)


def test_latents_are_means_and_draws_only_widen_the_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    heard(monkeypatch)
    monkeypatch.setattr(fitting, "ALIKE", -2.0)
    bulk, cells = data()
    model = ScATD(**SMALL, neighbours=0).fit(bulk, target=cells, **HOW)
    pd.testing.assert_frame_equal(model.predict(cells), model.predict(cells))
    model.n_draws = 0
    still = model.predict(cells)
    model.n_draws = 20
    assert (model.predict(cells)["sd"] != still["sd"]).any()


def test_the_encoder_that_was_given_is_left_as_it_was() -> None:
    bulk, cells = data()
    known = encoder()
    before = {name: array.copy() for name, array in known.arrays_.items()}
    ScATD(**SMALL, tuned_epochs=2).fit(bulk, target=cells, encoder=known, **HOW)
    for name, array in known.arrays_.items():
        np.testing.assert_array_equal(array, before[name])


def test_an_encoder_of_another_representation_is_refused() -> None:
    bulk, cells = data()
    with pytest.raises(ValueError, match="one representation"):
        ScATD(**SMALL, use_rep="X_pca").fit(bulk, target=cells, encoder=encoder(), **HOW)


def test_a_few_labels_afterwards_are_a_few_labels_at_once() -> None:
    bulk, cells = data()
    few = pd.concat([cells.obs["label"][cells.obs["label"] == one].iloc[:3] for one in (0, 1)])
    model = ScATD(**SMALL).fit(bulk, target=cells, **HOW)
    before = model.predict(cells)
    later = model.with_few(cells, few).predict(cells)
    at_once = ScATD(**SMALL).fit(bulk, target=cells, few=few, **HOW).predict(cells)
    pd.testing.assert_frame_equal(later, at_once)
    pd.testing.assert_frame_equal(model.predict(cells), before)
    assert not np.allclose(later["probability"], before["probability"])


def test_stored_statistics_make_published_cells_like_raw_lines() -> None:
    """As published, cells come to the statistics of the lines before these were restyled for the network."""
    bulk, cells = data(shift=1.0)
    model = ScATD(**SMALL, as_published=True).fit(bulk, target=cells, encoder=encoder(), **HOW)
    assert model.spec_["n_members"] == 1
    assert model.spec_["threshold"] == 0.5
    matrix = model.matrix(cells)
    mean, sd = model._published_statistics(*model.standard(matrix))
    restyled = (matrix.dense() - mean) / sd
    reference = model.arrays_["reference/centre"], model.arrays_["reference/scale"]
    some = model.arrays_["source/sd"] > 1e-6
    expected = ((model.arrays_["source/mean"] - reference[0]) / reference[1])[some]
    np.testing.assert_allclose(restyled.mean(axis=0)[some], expected, atol=1e-6)
    again = model.predict(cells)
    pd.testing.assert_frame_equal(again, model.predict(cells))


def test_neighbours_help_and_the_statistics_of_the_cells_decide() -> None:
    bulk, cells = data(shift=1.0)
    y = cells.obs["label"].to_numpy()
    model = ScATD(**SMALL).fit(bulk, target=cells, **HOW)
    table = model.predict(cells)
    assert auroc(y, table["score"].to_numpy()) > auroc(y, table["alone"].to_numpy())
    assert auroc(y, table["score"].to_numpy()) > 0.95
    # A gene that every cell of the domain has more of says nothing of any of them.
    moved = cells.copy()
    moved.X = np.asarray(moved.X) + np.linspace(0, 3, cells.n_vars, dtype=np.float32)
    own = model.predict(moved, statistics="own")
    np.testing.assert_allclose(own["alone"], table["alone"], atol=1e-3)


def test_lines_that_teach_nothing_are_abstained_from() -> None:
    bulk, cells = data()
    bulk = bulk.copy()
    order = np.random.default_rng(0).permutation(bulk.n_obs)
    for name in ("ln_ic50", "label"):
        bulk.obs[name] = bulk.obs[name].to_numpy()[order]
    model = ScATD(**SMALL).fit(bulk, target=cells, **HOW)
    table = model.predict(cells)
    assert table["abstain"].all()
    assert "few labelled cells" in table.attrs["direction"]["why"]


def test_one_neighbour_is_refused() -> None:
    with pytest.raises(ValueError, match="0 \\(none\\) or 2"):
        ScATD(neighbours=1)
