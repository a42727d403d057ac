"""Models of a plan without a label are called by what was changed, briefly, and no two alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from galenic.plan import LONGEST, read


def labels(folder: Path, *models: str) -> list[str]:
    (folder / "plan.toml").write_text("\n".join(f"[[model]]\n{model}" for model in models))
    return list(read(folder / "plan.toml").models)


def test_only_changes_are_named_those_of_nested_settings_too(tmp_path: Path) -> None:
    transfer = 'name = "XTransferCDR"\nn_networks = 1\ntraining = {max_epochs = 3}'
    assert labels(tmp_path, transfer) == ["XTransferCDR, n_networks=1, max_epochs=3"]
    assert labels(tmp_path, 'name = "MeanShift"', 'name = "LowRankEffect"\nrank = [1, 2]') == [
        "MeanShift", "LowRankEffect, rank=1", "LowRankEffect, rank=2",
    ]  # fmt: skip
    assert labels(tmp_path, 'name = "LowRankEffect"\nlabel = "mine"\nrank = [1, 2]') == ["mine, rank=1", "mine, rank=2"]


def test_long_labels_are_cut_and_stay_apart(tmp_path: Path) -> None:
    many = 'name = "XTransferCDR"\nn_networks = 1\nspread = "expected"\ndropout = [0.05, 0.15, 0.35]'
    found = labels(tmp_path, many, many)
    assert len(found) == len(set(found)) == 6
    assert all(len(label) <= LONGEST for label in found)
    (tmp_path / "plan.toml").write_text(f"[[model]]\n{many}")
    assert sorted({model.dropout for model in read(tmp_path / "plan.toml").models.values()}) == [0.05, 0.15, 0.35]


@pytest.mark.parametrize("name", ["Ridge", "KDRUG"])
def test_plain_models_keep_their_name(tmp_path: Path, name: str) -> None:
    assert labels(tmp_path, f'name = "{name}"') == [name]
