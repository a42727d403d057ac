"""An ensemble on disk: resumed bit for bit, finished members untouched, nothing missing goes unnoticed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import galenic
from galenic.data.simulate import programmes
from galenic.models.deeppert import ensemble
from galenic.models.deeppert.member import FAMILIES, Task

DATA = programmes(20, 40, n_programmes=3, genes_per_programme=10, n_cells=1, seed=0)
BRIEF = galenic.Training(lr=2e-3, max_epochs=2, batch_size=64, patience=0, monitor="none")


def small(**how: Any) -> galenic.DeepPert:
    return galenic.DeepPert(**{"sizes": (2, 3), "runs": 2, "n_components": 8, "shared": 0.0, "training": BRIEF} | how)


def same(a: galenic.DeepPert, b: galenic.DeepPert) -> bool:
    return a.arrays_.keys() == b.arrays_.keys() and all(
        np.array_equal(a.arrays_[name], b.arrays_[name], equal_nan=True) for name in a.arrays_
    )


class Counted:
    """Fits members, counts them, and breaks off at one of them."""

    def __init__(self, stop: Task | None = None) -> None:
        self.fit, self.stop, self.done = ensemble.fit_member, stop, []

    def __call__(self, task: Task, *how: Any) -> Any:
        if task == self.stop:
            raise FloatingPointError("the terms should be finite.")
        self.done.append(task.name)
        return self.fit(task, *how)


def test_a_broken_ensemble_resumes_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = small().fit(DATA)
    broken = Counted(stop=Task("dae", 3, 0))
    monkeypatch.setattr(ensemble, "fit_member", broken)
    with (
        pytest.warns(UserWarning, match=r"dae-3-0 failed: .*; the others go on\."),
        pytest.raises(RuntimeError, match=r"dae-3-0 failed: the terms should be finite\. Correct this") as info,
    ):
        small().fit(DATA, checkpoint=tmp_path / "kept")
    assert str(tmp_path / "kept") in str(info.value)
    assert len(broken.done) == 11
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "kept").glob("*.npz")}
    assert len(times) == 11
    going_on = Counted()
    going_on.fit = broken.fit
    monkeypatch.setattr(ensemble, "fit_member", going_on)
    resumed = small().fit(DATA, checkpoint=tmp_path / "kept")
    assert going_on.done == ["dae-3-0"]
    assert {name: (tmp_path / "kept" / name).stat().st_mtime_ns for name in times} == times
    assert same(resumed, whole)
    assert resumed.latents_.equals(whole.latents_)
    assert resumed.history_.equals(whole.history_)
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {*times, "dae-3-0.npz", "manifest.json"}


def test_what_a_killed_process_left_half_written_is_no_foreign_file(tmp_path: Path) -> None:
    for name in (".manifest-a1b2.part.json", ".ae-2-0-x1y2.part.npz"):
        (tmp_path / name).write_bytes(b"half")
    assert same(small(runs=1).fit(DATA, checkpoint=tmp_path), small(runs=1).fit(DATA))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_members_side_by_side_are_as_one_by_one(tmp_path: Path) -> None:
    assert same(small(runs=1).fit(DATA, n_jobs=2, checkpoint=tmp_path / "kept"), small(runs=1).fit(DATA))
    assert len(list((tmp_path / "kept").glob("*.npz"))) == 6


def test_a_grown_ensemble_keeps_its_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(runs=1).fit(DATA, checkpoint=tmp_path)
    counted = Counted()
    monkeypatch.setattr(ensemble, "fit_member", counted)
    grown = small(runs=2, sizes=(2, 3, 4), n_consensus=3, n_steps=8).fit(DATA, checkpoint=tmp_path)
    assert len(counted.done) == 18 - 6
    monkeypatch.undo()
    assert same(grown, small(runs=2, sizes=(2, 3, 4), n_consensus=3, n_steps=8).fit(DATA))


@pytest.mark.parametrize(
    ("field", "value"), [("beta", 3.0), ("seed", 4), ("n_components", 6), ("scale_genes", False), ("unmix", False),
                         ("covariates", ("dose",)), ("training", replace(BRIEF, lr=1e-3))],
)  # fmt: skip
def test_members_of_other_settings_are_refused(tmp_path: Path, field: str, value: object) -> None:
    small(families=("pca",), n_consensus=2).fit(DATA, checkpoint=tmp_path)
    with pytest.raises(ValueError, match=r"same data and settings; those in .* differ: .* was .*, now .*\. Use"):
        small(families=("pca",), n_consensus=2, **{field: value}).fit(DATA, checkpoint=tmp_path)


def test_members_of_other_profiles_are_refused(tmp_path: Path) -> None:
    small(families=("pca",), n_consensus=2).fit(DATA, checkpoint=tmp_path)
    other = DATA.copy()
    other.X[0, 0] += 1
    with pytest.raises(ValueError, match="same data and settings"):
        small(families=("pca",), n_consensus=2).fit(other, checkpoint=tmp_path)


def test_foreign_and_damaged_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("foreign", "file"):
        with pytest.raises(ValueError, match=r"members of an ensemble are kept in a folder.*Name a"):
            small(families=("pca",), n_consensus=2).fit(DATA, checkpoint=tmp_path / name)
    small(families=("rp",)).fit(DATA, checkpoint=tmp_path / "kept")
    (tmp_path / "kept" / "rp-3-1.npz").write_bytes(b"half")
    with pytest.raises(ValueError, match=r"rp-3-1\.npz is not .*\. Delete it"):
        small(families=("rp",)).fit(DATA, checkpoint=tmp_path / "kept")
    (tmp_path / "kept" / "rp-3-1.npz").write_bytes((tmp_path / "kept" / "rp-2-1.npz").read_bytes())
    with pytest.raises(
        ValueError, match=r"rp-3-1\.npz should be .* of rp-3-1; it is not \(it is of rp-2-1\)\. Delete it"
    ):
        small(families=("rp",)).fit(DATA, checkpoint=tmp_path / "kept")
    (tmp_path / "kept" / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match=r"cannot be read .*\. Name a new folder"):
        small(families=("rp",)).fit(DATA, checkpoint=tmp_path / "kept")


def test_every_fit_that_was_asked_for_is_in_the_manifest() -> None:
    model = small(families=FAMILIES, sizes=(3, 2)).fit(DATA)
    table = model.latents_
    asked = {(f, size, run) for f in FAMILIES if f != "pca" for size in (2, 3) for run in range(2)} | {("pca", 3, 0)}
    found = table.groupby(["family", "size", "run"])["node"].agg(list)
    assert set(found.index) == asked
    assert all(nodes == list(range(size)) for (_, size, _), nodes in found.items())
    assert table["cluster"].max() + 1 == model.embed(DATA).shape[1] == len(model.dimensions_)
    assert (table.loc[table["cluster"] >= 0, "loss"] > 0).all()
