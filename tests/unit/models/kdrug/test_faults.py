"""The faults of the published code, by their number in docs/methods/kdrug.md: none of them is here."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from galenic.data.response import ResponseData
from galenic.data.simulate import screen
from galenic.models.kdrug.encode import drug_arrays, grid
from galenic.models.kdrug.fitting import Fit, left_out
from galenic.models.kdrug.model import KDRUG
from galenic.models.kdrug.network import Network
from galenic.models.kdrug.stages import distil_step, fit_step, privileged_step
from galenic.nn.losses import distill_soft
from galenic.train import Training, Where, seeded, unreached

WIDTHS = {"expression": 130, "mutation": 120, "methylation": 118}
BRIEF = Training(lr=2e-3, max_epochs=2, batch_size=4096, patience=0, monitor="none")


@pytest.fixture(scope="module")
def data() -> ResponseData:
    return screen(n_cells=40, n_drugs=8, n_genes=130, seed=2)[0]


def network(**fields: object) -> Network:
    with seeded(0):
        return Network(WIDTHS, n_latent=8, hidden=16, **{"n_heads": 2, **fields})


@pytest.fixture(scope="module")
def batch() -> dict:
    rng = np.random.default_rng(0)
    drugs = pd.DataFrame({"smiles": ["CCO", "c1ccccc1O", "CC(=O)N"]}, index=list("xyz"))
    cells = {name: torch.tensor(rng.normal(size=(4, n)), dtype=torch.float32) for name, n in WIDTHS.items()}
    cells |= {f"has {name}": torch.ones(4, dtype=torch.bool) for name in WIDTHS}
    place = np.arange(12)
    return {
        "cells": cells,
        "drugs": {name: torch.from_numpy(array) for name, array in drug_arrays(drugs, drugs).items()},
        "cell": torch.from_numpy(place // 3),
        "drug": torch.from_numpy(place % 3),
        "target": torch.tensor(rng.normal(size=12), dtype=torch.float32),
    }


def changed(batch: dict, name: str) -> dict:
    return {**batch, "cells": {**batch["cells"], name: batch["cells"][name] + 1}}


@pytest.mark.parametrize("fusion", ["split", "attention"])
def test_fault_1_the_expression_head_reads_expression(batch: dict, fusion: str) -> None:
    net = network(fusion=fusion, head="mlp").eval()
    before, after = net(batch), net(changed(batch, "expression"))
    assert (before["main"] - after["main"]).abs().max() > 1e-5
    assert torch.equal(before["others"], after["others"])
    published = network(fusion=fusion, head="mlp", as_published=True).eval()
    assert torch.equal(published(batch)["main"], published(changed(batch, "expression"))["main"])


@pytest.mark.parametrize("fusion", ["split", "attention", "plain"])
@pytest.mark.parametrize("head", ["product", "mlp"])
def test_fault_1_and_8_every_trainable_tensor_learns(batch: dict, fusion: str, head: str) -> None:
    """The published code leaves attention and the expression head without gradient."""
    net = network(fusion=fusion, head=head, n_drugs=0)
    assert unreached(net, batch, fit_step(0.0)) == []
    if fusion != "plain":
        frozen = ("other_head", "cells.of_mutation", "cells.of_methylation")
        assert [name for name in unreached(net, batch, privileged_step(0.5)) if not name.startswith(frozen)] == []


def taught(batch: dict) -> dict:
    rng = np.random.default_rng(1)
    cells = {**batch["cells"], "teacher": torch.tensor(rng.normal(size=(4, 5)), dtype=torch.float32)}
    drugs = {**batch["drugs"], "teacher": torch.tensor(rng.normal(size=(3, 6)), dtype=torch.float32)}
    return {**batch, "cells": cells, "drugs": drugs, "teacher": batch["target"] + 0.5}


def test_fault_2_relations_are_a_mean_over_pairs_whatever_their_order(batch: dict) -> None:
    net, step, given = network().eval(), distil_step(0, 0, 1.0, 0.0, True, False), taught(batch)
    one = step(net, given, 1.0)["relation"]
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    mixed = {**given, **{name: given[name][order] for name in ("cell", "drug", "target", "teacher")}}
    torch.testing.assert_close(step(net, mixed, 1.0)["relation"], one, rtol=1e-4, atol=1e-6)


def test_fault_3_relations_do_not_pull_predictions_unless_asked(batch: dict) -> None:
    """With weights held constant the head gets no gradient from relations."""
    given = taught(batch)
    for detach, learns in ((True, False), (False, True)):
        net = network(head="mlp").eval()
        distil_step(0, 0, 1.0, 0.0, detach, False)(net, given, 1.0)["relation"].backward()
        assert (net.head.last.weight.grad is not None) == learns


@pytest.mark.parametrize("head", ["product", "mlp"])
def test_fault_4_a_pair_alone_is_predicted_as_in_any_batch(batch: dict, head: str) -> None:
    net = network(fusion="attention", head=head).eval()
    whole = net(batch)["prediction"]
    for row in range(12):
        cell, drug = batch["cell"][row], batch["drug"][row]
        one = {
            "cells": {name: values[cell][None] for name, values in batch["cells"].items()},
            "drugs": {name: values[drug][None] for name, values in batch["drugs"].items()},
            "cell": torch.zeros(1, dtype=torch.long),
            "drug": torch.zeros(1, dtype=torch.long),
        }
        torch.testing.assert_close(net(one)["prediction"][0], whole[row], atol=1e-5, rtol=0)


def test_fault_5_the_teacher_is_bit_identical_after_distillation(data: ResponseData) -> None:
    model = KDRUG(n_members=2, n_latent=8, relation=0.1, training=BRIEF)
    fit = Fit(model, data, np.zeros(len(data), dtype=bool), Where(device="cpu"))
    teacher = fit.role("teacher", None)
    before = {name: array.copy() for name, array in teacher.arrays.items()}
    said = [member.grid.copy() for member in teacher.members]
    fit.role("student", teacher)
    for name, array in teacher.arrays.items():
        np.testing.assert_array_equal(array, before[name])
    for member, before_it in zip(teacher.members, said, strict=True):
        np.testing.assert_array_equal(member.grid, before_it)


def test_fault_5_dropout_is_off_in_what_a_teacher_says(batch: dict) -> None:
    net = network().train()
    cells = {name: values.numpy() for name, values in batch["cells"].items()}
    drugs = {name: values.numpy() for name, values in batch["drugs"].items()}
    said = [grid(net, cells, drugs) for _ in range(2)]
    np.testing.assert_array_equal(*said)
    drawn = [grid(net, cells, drugs, draw=n) for n in (0, 1)]
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-6
    assert net.training


def test_faults_6_and_7_scales_are_learned_on_training_cells_gene_by_gene(data: ResponseData) -> None:
    known = data.take(data.cell_rows < 30)
    model = KDRUG(n_members=2, n_latent=8, teacher=(), training=BRIEF).fit(known)
    expression = data.cells.to_df().iloc[:30]
    genes = model.spec_["inputs"]["expression"]
    np.testing.assert_allclose(model.arrays_["mean.expression"], expression[genes].mean(), rtol=1e-5)
    np.testing.assert_allclose(model.arrays_["scale.expression"], expression[genes].std(ddof=0), rtol=1e-5)


def test_fault_6_two_new_cells_do_not_get_one_answer(data: ResponseData) -> None:
    """The published kernel makes every cell an arbitrary code and every new cell the same one."""
    known, new = data.take(data.cell_rows < 30), data.take(data.cell_rows >= 30)
    for start in ("completion", "means"):
        model = KDRUG(n_members=2, n_latent=8, teacher=(), start=start, training=BRIEF).fit(known)
        found = model.predict(new)
        assert found.groupby("drug")["prediction"].nunique().min() == new.pairs.groupby("drug")["cell"].nunique().min()


def test_fault_9_the_default_encoder_knows_no_order_of_features() -> None:
    net = network()
    with torch.no_grad():
        x = torch.randn(2, 130, generator=torch.Generator().manual_seed(0))
        order = torch.randperm(130, generator=torch.Generator().manual_seed(1))
        encoder = net.cells["of_expression"].eval()
        before = encoder(x)[1]
        encoder.layers[1].weight.copy_(encoder.layers[1].weight[:, order].clone())
        torch.testing.assert_close(encoder(x[:, order])[1], before, atol=1e-5, rtol=0)


def test_fault_10_columns_against_rows_do_not_broadcast() -> None:
    student, teacher = torch.arange(6.0)[:, None], torch.arange(6.0) + 1
    assert distill_soft(student, teacher).item() == 1.0
    assert inspect.signature(KDRUG.intervals).parameters["n_draws"].default == 0


def test_fault_11_validation_is_a_mean_over_pairs_not_over_batches(data: ResponseData) -> None:
    """Uneven batches weigh by their pairs: the last value of the curve is the error over all held-out pairs."""
    held = data.cell_rows % 5 == 0
    model = KDRUG(n_members=1, n_latent=8, teacher=(), start="means", training=replace(BRIEF, monitor="total"))
    model.fit(data.take(~held), valid=data.take(held))
    best = model.history_[(model.history_["stage"] == "student") & model.history_["best"]].iloc[0]
    role = model.role()
    found = role.members(data.take(held))[0]
    error = ((found - data.response[held]) ** 2).mean() / role.scale**2
    assert best["valid_total"] == pytest.approx(error, rel=1e-4)


def test_fault_12_nothing_is_read_from_a_path_and_seeds_decide(data: ResponseData) -> None:
    folder = Path(inspect.getfile(KDRUG)).parent
    assert not [path for path in folder.glob("*.py") if "open(" in path.read_text() or "/home" in path.read_text()]
    make = KDRUG(n_members=2, n_latent=8, teacher=(), start="means", training=BRIEF)
    first, again, other = (replace(make, seed=seed).fit(data).predict(data)["prediction"] for seed in (0, 0, 1))
    assert first.equals(again)
    assert not first.equals(other)


def test_fault_13_ids_of_one_structure_are_left_out_together() -> None:
    structures = pd.Series(["A", "B", "A", "C", None, None, "B"])
    for number in range(8):
        rows = left_out(structures, 7, KDRUG(), number)
        assert rows[0] == rows[2]
        assert rows[1] == rows[6]


def test_fault_14_pairs_are_indices(data: ResponseData) -> None:
    """No array of a fitted model grows with the pairs."""
    model = KDRUG(n_members=2, n_latent=8, training=BRIEF).fit(data)
    assert len(data) not in {size for array in model.arrays_.values() for size in array.shape}


def test_the_student_ignores_what_only_the_teacher_reads(data: ResponseData) -> None:
    model = KDRUG(n_members=2, n_latent=8, start="means", training=BRIEF).fit(data)
    cells = data.cells.copy()
    for name in list(cells.obsm):
        del cells.obsm[name]
    bare = replace(data, cells=cells)
    np.testing.assert_array_equal(model.predict(bare)["prediction"], model.predict(data)["prediction"])
    assert np.isfinite(model.predict(bare, using="teacher")["prediction"]).all()


def test_a_term_of_weight_0_is_absent(data: ResponseData) -> None:
    make = KDRUG(n_members=2, n_latent=8, start="means", training=BRIEF)
    without = replace(make, soft=0.0).fit(data)
    assert "train_distil" not in without.history_
    alone = replace(make, teacher=()).fit(data)
    np.testing.assert_array_equal(without.predict(data)["prediction"], alone.predict(data)["prediction"])
