"""The numbered faults of the published code (docs/methods/scatd.md), each with the test that keeps it out."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from galenic.data.simulate.single_cell import bulk_and_cells
from galenic.models.scatd.model import ScATD
from galenic.train import Training

ROOT = Path(__file__).parents[3]
HELD_BY = {
    1: ("unit/models/scatd/test_model.py", "test_stored_statistics_make_published_cells_like_raw_lines"),
    2: ("unit/models/scatd/test_member.py", "test_the_frozen_encoder_stands_still_with_its_statistics"),
    3: ("unit/models/scatd/test_model.py", "test_latents_are_means_and_draws_only_widen_the_doubt"),
    4: ("contract/test_cell_models.py", "test_counts_and_their_logarithm_are_the_same"),
    5: ("unit/foundation/test_scfoundation_input.py",
        "test_logged_cells_are_taken_as_they_are_with_the_depth_of_their_logarithms"),
    6: ("contract/test_cell_models.py", "test_samples_of_one_line_share_a_fold"),
    7: ("unit/models/scatd/test_faults.py", "test_fault_7_what_is_left_out_moves_nothing_of_its_member"),
    8: ("unit/models/scatd/test_faults.py", "test_fault_8_all_folds_answer_and_the_cut_is_made_on_lines"),
    9: ("unit/models/scatd/test_faults.py", "test_fault_9_rows_are_joined_by_id"),
    10: ("unit/models/scatd/test_encoder.py", "test_fault_10_and_11_every_layer_is_one_and_loads_again"),
    11: ("unit/models/scatd/test_encoder_published.py", "test_every_layout_and_file_gives_the_same_latents"),
    12: ("unit/models/scatd/test_encoder_search.py",
         "test_fault_12_the_objective_is_the_mean_of_the_lowest_loss_of_each_fold"),
    13: ("unit/models/scatd/test_encoder.py", "test_fault_13_more_latents_than_the_last_layer_is_wide_is_said"),
    14: ("unit/models/scatd/test_encoder.py", "test_fault_14_the_learning_rate_falls_once"),
    15: ("unit/foundation/test_scfoundation_input.py", "test_settings_are_checked"),
    16: ("unit/models/scatd/test_member.py", "test_decoded_expression_is_not_below_zero"),
    17: ("contract/test_cell_models.py", "test_labels_of_the_target_are_never_read"),
    18: ("unit/foundation/test_geneformer.py", "test_repeated_columns_are_summed"),
    19: ("contract/test_cell_models.py", "test_repeated_symbols_are_one_gene"),
    20: ("unit/models/scatd/test_faults.py", "test_fault_20_both_domains_are_encoded_in_one_pass"),
    21: ("unit/models/scatd/test_faults.py", "test_fault_21_one_cell_can_be_judged_and_few_are_warned_of"),
    22: ("unit/models/scatd/test_importance.py", "test_shuffled_labels_find_nothing"),
    23: ("unit/models/scatd/test_faults.py", "test_fault_23_nothing_is_asked_and_no_path_is_fixed"),
    24: ("unit/models/scatd/test_faults.py", "test_fault_24_mouse_genes_are_refused"),
}  # fmt: skip
BRIEF = Training(lr=2e-3, max_epochs=2, batch_size=32, patience=0, monitor="none")
SMALL = {"n_folds": 3, "n_latent": 4, "widths": (8,), "training": BRIEF, "pretraining": BRIEF}
HOW = {"response": "ln_ic50", "line": "line"}


@cache
def data() -> tuple[AnnData, AnnData]:
    return bulk_and_cells(n_genes=40, n_lines=60, n_cells=100, n_drivers=10, seed=3)


def test_every_fault_has_a_test_that_exists() -> None:
    assert set(HELD_BY) == set(range(1, 25))
    for number, (file, name) in HELD_BY.items():
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE), f"fault {number}: {name}"


def test_fault_7_what_is_left_out_moves_nothing_of_its_member() -> None:
    """Neither statistics nor multipliers nor weights of a member know the lines of its own fold."""
    bulk, cells = data()
    model = ScATD(**SMALL, start="centroid").fit(bulk, target=cells, **HOW)
    fold = model.source_["fold"].to_numpy()
    moved = bulk[model.source_.index].copy()
    moved.X = np.array(moved.X)
    moved.X[fold == 1] += np.random.default_rng(0).normal(size=(int((fold == 1).sum()), bulk.n_vars)).astype(np.float32)
    again = ScATD(**SMALL, start="centroid").fit(moved, target=cells, **HOW)
    assert (again.source_["fold"].to_numpy() == fold).all()
    before, after = (np.asarray(one.arrays_["start/weights"]) / one.spec_["start_weight"] for one in (model, again))
    np.testing.assert_allclose(after[1], before[1], atol=1e-6)
    assert np.abs(after[0] - before[0]).max() > 1e-3


def test_fault_8_all_folds_answer_and_the_cut_is_made_on_lines() -> None:
    bulk, cells = data()
    model = ScATD(**SMALL, neighbours=0).fit(bulk, target=cells, **HOW)
    assert model.spec_["n_members"] == 3
    table = model.predict(cells)
    threshold = model.spec_["threshold"]
    left_out = model.source_
    called = left_out["probability"] >= threshold
    assert 0 < called.mean() < 1
    pd.testing.assert_series_equal(
        table["label"] == 1, 1 / (1 + np.exp(-table["score"])) >= threshold, check_names=False, check_dtype=False
    )


def test_fault_9_rows_are_joined_by_id() -> None:
    _, cells = data()
    few = pd.Series({cells.obs_names[5]: 1, cells.obs_names[0]: 0, cells.obs_names[9]: 1})
    told = ScATD(**SMALL).fit(None, target=cells, few=few).predict(cells)
    turned = ScATD(**SMALL).fit(None, target=cells[::-1].copy(), few=few[::-1]).predict(cells)
    np.testing.assert_allclose(turned["probability"], told["probability"], atol=1e-6)
    with pytest.raises(ValueError, match="are not"):
        ScATD(**SMALL).fit(None, target=cells, few=few.rename({cells.obs_names[5]: "another"}))


def test_fault_20_both_domains_are_encoded_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    from galenic.models.scatd import network

    sizes: list[int] = []
    real = network.CellClassifier.forward

    def forward(self: network.CellClassifier, x: object, *more: object, **named: object) -> object:
        if self.training:
            sizes.append(len(x))  # type: ignore[arg-type]
        return real(self, x, *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(network.CellClassifier, "forward", forward)
    bulk, cells = data()
    ScATD(**SMALL, augment="none", tomek=False).fit(bulk, target=cells, **HOW)
    # A batch of lines with as many cells, once a step: 40 lines in steps of 10 at most, two epochs, three members.
    assert set(sizes) == {20}
    assert len(sizes) == 4 * 2 * 3


def test_fault_21_one_cell_can_be_judged_and_few_are_warned_of() -> None:
    bulk, cells = data()
    model = ScATD(**SMALL, neighbours=0).fit(bulk, target=cells, **HOW)
    alone = model.predict(cells[7].copy())
    np.testing.assert_allclose(alone["probability"], model.predict(cells)["probability"].iloc[[7]], atol=1e-6)
    with pytest.warns(UserWarning, match="50 cells"):
        model.predict(cells[:20].copy(), statistics="own")


def test_fault_23_nothing_is_asked_and_no_path_is_fixed() -> None:
    source = "\n".join(file.read_text() for file in (ROOT.parent / "src" / "galenic" / "models").rglob("*.py"))
    assert not re.search(r"\binput\(|set_detect_anomaly|[\"'](/home|/Users|[A-Z]:\\\\)", source)


def test_fault_24_mouse_genes_are_refused() -> None:
    bulk, cells = data()
    mouse = cells.copy()
    syllables = ["Trp", "Egf", "Kra", "Mycn", "Pten", "Brca", "Rbf", "Cdk", "Akt", "Gata"]
    mouse.var_names = [f"{syllables[n % 10]}{'abcdefgh'[n // 10]}{n}" for n in range(40)]
    with pytest.raises(ValueError, match="mouse"):
        ScATD(**SMALL).fit(bulk, target=mouse, **HOW)
