"""Batches of pairs: the rows they name, what comes with them, and what they depend on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import torch
from anndata import AnnData
from scipy import sparse

import galenic
from galenic.data.condition_means import condition_means
from galenic.data.condition_pairs import pair_index
from galenic.data.perturbation import perturbation_columns
from galenic.data.simulate import perturbations
from galenic.models.xtransfer.lesson import lesson_of
from galenic.models.xtransfer.network import Weights
from galenic.models.xtransfer.pairs import Pairs, Profiles, Scale, Triples
from galenic.models.xtransfer.training_pairs import can_pair, scale_of, training_pairs

SIDES = ("left", "right", "control_left", "control_right")
NONE = np.zeros(0, dtype=int)


@pytest.fixture(scope="module")
def adata() -> AnnData:
    """The first gene is the number of the row, so that batches tell which rows they hold."""
    adata = perturbations(n_contexts=3, n_perturbations=5, n_genes=12, n_cells=4, pairs=3, seed=1)
    adata.X[:, 0] = np.arange(adata.n_obs)
    return adata


def profiles_of(adata: AnnData, X: Any, scale: Scale, groups: np.ndarray | None = None) -> Profiles:
    codes = np.unique(adata.obs["cell_type"], return_inverse=True)[1]
    return Profiles(X, codes, groups, groups, scale)


def pairs_of(adata: AnnData, profiles: Profiles, mode: str = "both", triples: Triples | None = None) -> Pairs:
    index = pair_index(perturbation_columns(adata), mode)
    return Pairs(profiles, index, triples, batch_size=7, n_batches=5)


def rows_of(batch: dict[str, torch.Tensor], side: str) -> np.ndarray:
    return batch[side][:, 0].numpy().round().astype(int)


def trained_on(adata: AnnData, held: np.ndarray, **fields: Any) -> Pairs:
    """Pairs as a model makes them; expression as it is."""
    model = galenic.XTransferCDR(start="none", difference=False, **fields)
    columns = perturbation_columns(adata)
    means, start = condition_means(adata, columns), galenic.StackedShift().fit(adata)
    lesson = lesson_of(start)
    cells = adata if model.level == "cells" else None
    return training_pairs(model, cells, columns, means, lesson, scale_of(model, start.arrays_), held)


def assert_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    assert one["kind"] == other["kind"]
    for name in one.keys() - {"kind"}:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=0)


@pytest.mark.parametrize("form", ["dense", "sparse", "backed", "backed-sparse"])
def test_a_batch_holds_exactly_the_rows_it_names(adata: AnnData, form: str, tmp_path: Path) -> None:
    stored = AnnData(sparse.csr_matrix(adata.X) if "sparse" in form else adata.X, obs=adata.obs, var=adata.var)
    if "backed" in form:
        stored.write_h5ad(tmp_path / "cells.h5ad")
        stored = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    pairs = pairs_of(adata, profiles_of(adata, stored.X, Scale(np.zeros(1), 1.0)))
    for batch in pairs.epoch():
        for side in SIDES:
            assert batch[side].dtype == torch.float32
            np.testing.assert_array_equal(batch[side].numpy(), adata.X[rows_of(batch, side)])
    if stored.isbacked:
        stored.file.close()


def test_sides_share_one_factor_and_come_with_their_controls(adata: AnnData) -> None:
    pairs = pairs_of(adata, profiles_of(adata, adata.X, Scale(np.zeros(1), 1.0)))
    context, what = (adata.obs[name].to_numpy(dtype=str) for name in ("cell_type", "perturbation"))
    for batch in pairs.epoch():
        left, right, *controls = (rows_of(batch, side) for side in SIDES)
        assert ((context[left] == context[right]) == (batch["kind"] == "cell")).all()
        assert ((what[left] == what[right]) == (batch["kind"] == "drug")).all()
        for own, control in zip((left, right), controls, strict=True):
            assert (context[own] == context[control]).all()
            assert (what[control] == "control").all()
            assert (what[own] != "control").all()


def test_units_base_and_shift_are_of_the_group_of_each_row(adata: AnnData, rng: np.random.Generator) -> None:
    groups, scale = rng.normal(size=(3, 12)), Scale(rng.normal(size=12), 2.0)
    plain = pairs_of(adata, profiles_of(adata, adata.X, Scale(np.zeros(1), 1.0)))
    scaled = pairs_of(adata, profiles_of(adata, adata.X, scale, groups))
    codes = np.unique(adata.obs["cell_type"], return_inverse=True)[1]
    for one, other in zip(plain.epoch(2, seed=4), scaled.epoch(2, seed=4), strict=True):
        for side in SIDES:
            rows = rows_of(one, side)
            for name, expected in {
                side: (adata.X[rows] - scale.centre) / 2,
                f"base_{side}": (groups[codes[rows]] - scale.centre) / 2,
                f"shift_{side}": (adata.X[rows] - groups[codes[rows]]) / 2,
            }.items():
                np.testing.assert_allclose(other[name].numpy(), expected, atol=1e-4)


def test_a_batch_depends_on_seed_epoch_and_number_alone(adata: AnnData) -> None:
    pairs = pairs_of(adata, profiles_of(adata, adata.X, Scale(np.zeros(1), 1.0)))
    once = list(pairs.epoch(3, seed=1))
    for one, other in zip(once, pairs.epoch(3, seed=1), strict=True):
        assert_equal(one, other)
    for others in (pairs.epoch(4, seed=1), pairs.epoch(3, seed=2), once[1:]):
        assert not torch.equal(once[0]["left"], next(iter(others))["left"])
    for n in (2, 3):
        shared = [list(pairs.epoch(3, seed=1, rank=rank, world_size=n)) for rank in range(n)]
        for whole, *parts in zip(once, *shared, strict=True):
            tensors = {name: torch.cat([part[name] for part in parts]) for name in whole if name != "kind"}
            assert_equal(whole, {"kind": parts[0]["kind"], **tensors})


def test_kinds_take_turns(adata: AnnData) -> None:
    pairs = trained_on(adata, NONE, level="cells")
    assert [batch["kind"] for batch in pairs.epoch()][:6] == ["cell", "drug", "pair"] * 2
    for mode in ("cell", "drug"):
        pairs = trained_on(adata, NONE, level="cells", mode=mode, terms=Weights(pair=0))
        assert {batch["kind"] for batch in pairs.epoch()} == {mode}


def test_combinations_come_with_their_parts_of_the_same_context(adata: AnnData) -> None:
    context, what = (adata.obs[name].to_numpy(dtype=str) for name in ("cell_type", "perturbation"))
    pairs = trained_on(adata, NONE, level="cells")
    seen = set()
    for epoch in range(4):
        for batch in pairs.epoch(epoch):
            if batch["kind"] == "pair":
                one, other, both = (rows_of(batch, side) for side in ("left", "right", "pair"))
                assert [f"{a}+{b}" for a, b in zip(what[one], what[other], strict=True)] == what[both].tolist()
                assert (context[one] == context[other]).all()
                assert (context[one] == context[both]).all()
                seen |= set(zip(context[both], what[both], strict=True))
            else:
                assert "pair" not in batch
    assert len(seen) == 9


@pytest.mark.parametrize("level", ["cells", "conditions"])
def test_conditions_that_are_held_out_are_in_no_pair(adata: AnnData, level: str) -> None:
    columns = perturbation_columns(adata)
    table, codes = columns.conditions()
    held = np.flatnonzero(table["perturbation"].isin(["P01"]) | (table["perturbation"].str.contains(r"\+")))[1:]
    if level == "cells":
        forbidden = adata.X[np.isin(codes, held)]
        allowed = adata.X[~np.isin(codes, held)]
    else:
        means = condition_means(adata, columns)
        forbidden, kept = means.means[held], np.delete(means.means, held, axis=0)
        allowed = np.concatenate([kept, means.control_means])
    drawn = set()
    for epoch in range(6):
        for batch in trained_on(adata, held, level=level).epoch(epoch):
            for side in (*SIDES, "pair"):
                if side in batch:
                    drawn |= {row.tobytes() for row in batch[side].numpy()}
    assert not drawn & {row.tobytes() for row in forbidden.astype(np.float32)}
    assert drawn <= {row.tobytes() for row in allowed.astype(np.float32)}
    if level == "conditions":  # and everything else is used
        assert len(drawn) == len(allowed)


def test_means_are_bases_and_origins_of_their_own_condition() -> None:
    """With a start, towers learn what it lacks: own effect less that of the start, and nothing of controls."""
    adata = perturbations(n_contexts=3, n_perturbations=6, n_genes=8, n_cells=3, seed=3)
    model, start = galenic.XTransferCDR(), galenic.StackedShift().fit(adata)
    columns, lesson = perturbation_columns(adata), lesson_of(start)
    means, scale = condition_means(adata, columns), scale_of(model, start.arrays_ | lesson.told)
    pairs = training_pairs(model, None, columns, means, lesson, scale, NONE)
    for batch in pairs.epoch():
        for side in ("left", "right"):
            lacking = (batch[side] - batch[f"base_{side}"]).numpy()
            distance = np.abs(lacking[:, None] - lesson.left(np.arange(18))).max(axis=2)
            assert (distance.min(axis=1) < 1e-4).all()
            own = lesson.own[distance.argmin(axis=1)] / scale.size
            np.testing.assert_allclose(batch[f"shift_{side}"].numpy(), own, atol=1e-3)
            control = f"control_{side}"
            np.testing.assert_allclose(batch[control].numpy(), batch[f"base_{control}"].numpy(), atol=1e-5)
            np.testing.assert_allclose(batch[f"shift_{control}"].numpy(), 0, atol=1e-5)


def test_what_can_be_paired() -> None:
    adata = perturbations(n_contexts=3, n_perturbations=2, n_genes=5, n_cells=2)
    means = condition_means(adata, perturbation_columns(adata))
    assert all(can_pair(means, mode) for mode in ("cell", "drug", "both"))
    assert can_pair(means, "cell", np.arange(4))
    assert not can_pair(means, "drug", np.arange(4))
    assert can_pair(means, "both", np.arange(4))
    assert not can_pair(means, "both", np.arange(5))
    dosed = replace(means, table=means.table.assign(dose=np.arange(6.0)))
    assert not can_pair(dosed, "drug")
    assert can_pair(dosed, "cell")
