"""Laws of the encoder of scATD: how it reads cells, what it may depend on, and what it leaves alone."""

from __future__ import annotations

import random
import tracemalloc
import warnings
from dataclasses import fields, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData, read_h5ad
from commands import program
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from torch import nn

import galenic
from galenic.data.simulate.single_cell import bulk_and_cells
from galenic.models.base import NotFittedError
from galenic.models.fields import helps, with_params
from galenic.models.scatd import pretraining, reading
from galenic.models.scatd.encoder import ScATDEncoder
from galenic.models.scatd.presets import PRESETS, Recipe, new_net, recipe_of
from galenic.models.scatd.reading import held_out
from galenic.nn.residual_vae_published import PUBLISHED
from galenic.train import Batches, Training, train

FEW = Training(max_epochs=3, batch_size=32)
SMALL = {"encoder": (16, 8), "n_latent": 4, "training": FEW}


@cache
def _cells(n: int = 90) -> AnnData:
    cells = bulk_and_cells(n_genes=40, n_cells=n, n_drivers=8, seed=3)[1]
    made = AnnData(cells.layers["counts"].copy(), obs=cells.obs.copy(), var=cells.var.copy())
    made.obsm["X_rep"] = np.random.default_rng(0).normal(size=(n, 12)) + cells.obs["label"].to_numpy()[:, None]
    return made


def counts(n: int = 90) -> AnnData:
    return _cells(n).copy()


@cache
def fitted(use_rep: str | None = None) -> ScATDEncoder:
    return ScATDEncoder(use_rep=use_rep, **SMALL).fit(counts())


every_input = pytest.mark.parametrize("use_rep", [None, "X_rep"], ids=str)


@every_input
def test_a_cell_alone_is_embedded_as_among_others(use_rep: str | None) -> None:
    cells, model = counts(), fitted(use_rep)
    alone = np.concatenate([model.embed(cells[number].copy()) for number in range(8)])
    np.testing.assert_allclose(alone, model.embed(cells)[:8], atol=1e-5)


def test_order_of_genes_does_not_matter(rng: np.random.Generator) -> None:
    cells = counts()
    shuffled = cells[:, rng.permutation(cells.n_vars)].copy()
    np.testing.assert_array_equal(fitted().embed(shuffled), fitted().embed(cells))
    again = ScATDEncoder(**SMALL).fit(shuffled)
    assert again.spec_ == fitted().spec_
    np.testing.assert_allclose(again.embed(cells), fitted().embed(cells), atol=1e-5)


@pytest.mark.parametrize("form", ["csr", "csc", "backed csr", "backed dense"])
def test_sparse_dense_and_backed_are_the_same(form: str, tmp_path: Path) -> None:
    cells = counts()
    if form != "backed dense":
        cells.X = (sparse.csc_matrix if form == "csc" else sparse.csr_matrix)(cells.X)
    if form.startswith("backed"):
        cells.write_h5ad(tmp_path / "cells.h5ad")
        cells = read_h5ad(tmp_path / "cells.h5ad", backed="r")
    np.testing.assert_array_equal(fitted().embed(cells), fitted().embed(counts()))
    again = ScATDEncoder(**SMALL).fit(cells)
    np.testing.assert_allclose(again.embed(counts()), fitted().embed(counts()), atol=1e-5)


def test_rows_are_drawn_as_they_are_needed_or_held_with_one_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretraining, "RESIDENT", 0)
    monkeypatch.setattr(reading, "VALUES", 130)  # three cells at once
    again = ScATDEncoder(**SMALL).fit(counts())
    np.testing.assert_allclose(again.embed(counts()), fitted().embed(counts()), atol=1e-5)


@every_input
def test_what_is_read_equals_the_formula(use_rep: str | None) -> None:
    cells, model = counts(), fitted(use_rep)
    x = cells.obsm["X_rep"] if use_rep else np.log1p(1e4 * cells.X / cells.X.sum(axis=1, keepdims=True))
    learned = held_out(np.arange(90), None, 0.1, 0)[0]
    mean, sd = x[learned].mean(axis=0), x[learned].std(axis=0)
    expected = np.clip((x - mean) / np.where(sd > 1e-6, sd, 1), -10, 10)
    names = list(cells.var_names) if use_rep is None else model.spec_["features"]
    order = [names.index(name) for name in model.spec_["features"]]
    np.testing.assert_allclose(model.rows(cells)[:], expected[:, order], atol=1e-5)
    with torch.no_grad():
        means = model.net().encode(torch.from_numpy(expected[:, order].astype(np.float32))).numpy()
    np.testing.assert_allclose(model.embed(cells), means, atol=1e-4)


def test_standardised_values_are_held_within_ten() -> None:
    cells = counts()
    cells.obsm["X_rep"][:2, 0] = 1e6, -1e6
    assert fitted("X_rep").rows(cells)[:2][:, 0].tolist() == [10, -10]
    assert np.isfinite(fitted("X_rep").embed(cells)).all()


@every_input
def test_a_saved_encoder_answers_bit_equal_in_a_new_process(use_rep: str | None, tmp_path: Path) -> None:
    model, cells = fitted(use_rep), counts()
    model.save(tmp_path / "model")
    cells.write_h5ad(tmp_path / "cells.h5ad")
    code = (
        "import sys, galenic, numpy, anndata; folder = sys.argv[1];"
        "model = galenic.load(folder + '/model'); cells = anndata.read_h5ad(folder + '/cells.h5ad');"
        "numpy.save(folder + '/z.npy', numpy.stack(model.distribution(cells)))"
    )
    program(code, tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / "z.npy"), np.stack(model.distribution(cells)))
    again = galenic.load(tmp_path / "model")
    assert again == model
    np.testing.assert_array_equal(again.decode(model.embed(cells)), model.decode(model.embed(cells)))


@every_input
def test_refit_equals_fresh_and_answers_repeat(use_rep: str | None) -> None:
    model = ScATDEncoder(use_rep=use_rep, **SMALL).fit(counts()[:50].copy())
    model.fit(counts())
    np.testing.assert_array_equal(model.embed(counts()), fitted(use_rep).embed(counts()))
    np.testing.assert_array_equal(model.embed(counts()), model.embed(counts()))
    other = ScATDEncoder(use_rep=use_rep, seed=1, **SMALL).fit(counts())
    assert not np.allclose(other.embed(counts()), model.embed(counts()), atol=1e-2)


@every_input
def test_random_state_and_inputs_are_untouched(use_rep: str | None) -> None:
    cells = counts()
    before = [cells.to_df().copy(), cells.obs.copy(), cells.obsm["X_rep"].copy()]
    state = [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]  # noqa: NPY002
    model = ScATDEncoder(use_rep=use_rep, **SMALL).fit(cells, groups="sample")
    model.decode(model.embed(cells))
    assert state == [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]  # noqa: NPY002
    pd.testing.assert_frame_equal(cells.to_df(), before[0])
    pd.testing.assert_frame_equal(cells.obs, before[1])
    np.testing.assert_array_equal(cells.obsm["X_rep"], before[2])


def test_no_label_is_read() -> None:
    blind = counts()
    blind.obs = blind.obs[[]]
    np.testing.assert_array_equal(ScATDEncoder(**SMALL).fit(blind).embed(blind), fitted().embed(counts()))


def test_a_network_that_is_handed_out_is_its_own_and_its_frozen_part_stands_still() -> None:
    """What is trained on top of the encoder changes neither the saved weights nor what was frozen."""
    model, cells = fitted(), counts()
    before = {name: value.copy() for name, value in model.arrays_.items()}
    net, x = model.net(), torch.from_numpy(model.rows(cells)[:])
    net.encoder.freeze()
    kept = {name: tensor.clone() for name, tensor in net.encoder.state_dict().items()}
    whole = nn.ModuleDict({"vae": net, "head": nn.Linear(4, 1)})

    def step(net: nn.ModuleDict, batch: dict[str, torch.Tensor], _: float) -> dict[str, torch.Tensor]:
        return {"error": net["head"](net["vae"].encode(batch["x"])).square().mean() + net["vae"](batch["x"]).z.sum()}

    train(whole, Batches(x.numpy(), batch_size=16), step, Training(lr=0.1, max_epochs=2, monitor="none"), device="cpu")
    assert all(torch.equal(tensor, kept[name]) for name, tensor in net.encoder.state_dict().items())
    net.encoder.unfreeze()
    train(whole, Batches(x.numpy(), batch_size=16), step, Training(lr=0.1, max_epochs=2, monitor="none"), device="cpu")
    assert not all(torch.equal(tensor, kept[name]) for name, tensor in net.encoder.state_dict().items())
    for name, value in model.arrays_.items():
        np.testing.assert_array_equal(value, before[name])


def test_presets_have_the_published_numbers_of_parameters() -> None:
    """25.7, 15.9 and 99.1 million, and the tuned numbers of the publication."""
    for name, millions in (("VAE_sf", 25.7), ("VAE_gf", 15.9), ("Dist_VAE", 99.1)):
        shape = PUBLISHED[name]
        for model in (ScATDEncoder(preset=name), ScATDEncoder(preset=name, as_published=True)):
            recipe = recipe_of(model)
            with torch.device("meta"), warnings.catch_warnings():
                warnings.simplefilter("error")
                net = new_net(recipe, shape.n_features)
            assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)
            tuned = (recipe.training.lr, recipe.training.weight_decay, recipe.training.max_epochs, recipe.beta)
            assert tuned == (shape.lr, shape.weight_decay, shape.epochs, shape.beta)
            assert recipe.training.batch_size == 128
            assert Recipe.of_json(recipe.to_json()) == recipe
        assert recipe.training.monitor == "none"
        assert (recipe.standardise, recipe.normalise, recipe.sampled, recipe.n_genes) == (False, False, True, 0)


def test_what_is_given_counts_before_the_preset() -> None:
    given = ScATDEncoder(preset="VAE_sf", n_latent=7, encoder=(9, 5), beta=3.0, training=Training(max_epochs=2))
    recipe = recipe_of(given)
    assert (recipe.n_latent, recipe.encoder, recipe.decoder, recipe.beta) == (7, (9, 5), (5, 9), 3.0)
    assert (recipe.training.max_epochs, recipe.training.lr) == (2, PUBLISHED["VAE_sf"].lr)
    assert recipe_of(with_params(given, {"training.lr": 0.5})).training.lr == 0.5
    assert recipe_of(with_params(ScATDEncoder(), {"preset": "VAE_gf"})).n_latent == PUBLISHED["VAE_gf"].n_latent
    with pytest.raises(ValueError, match=r"as_published needs a published preset.*received preset='small'"):
        recipe_of(ScATDEncoder(as_published=True))


def test_as_published_reads_raw_counts_and_keeps_the_last_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = PUBLISHED["Dist_VAE"]._replace(encoder=(12, 6), decoder=(12,), n_latent=5, epochs=2)
    monkeypatch.setitem(PRESETS, "Dist_VAE", tiny)
    cells = counts()
    cells.X = np.minimum(cells.X, 20)  # larger counts end in infinite losses: as published needs data as published
    model = ScATDEncoder(preset="Dist_VAE", as_published=True).fit(cells)
    order = [list(cells.var_names).index(name) for name in model.spec_["features"]]
    np.testing.assert_array_equal(model.rows(cells)[:], cells.X[:, order])
    assert model.history_["lr"].tolist() == [tiny.lr] * 2
    assert model.history_["best"].tolist() == [False, True]


def test_as_published_an_embedding_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = PUBLISHED["VAE_sf"]._replace(encoder=(12, 6), decoder=(12,), n_latent=5, epochs=2)
    monkeypatch.setitem(PRESETS, "VAE_sf", tiny)
    model, cells = ScATDEncoder(preset="VAE_sf", use_rep="X_rep", as_published=True).fit(counts()), counts()
    assert model.spec_["kind"] == "embedding"
    np.testing.assert_array_equal(model.rows(cells)[:], cells.obsm["X_rep"].astype(np.float32))
    assert model.decode(model.embed(cells)).min() < 0


def test_every_field_is_said_and_the_short_repr_builds_the_model() -> None:
    said = helps(ScATDEncoder)
    assert all(said[field.name] for field in fields(ScATDEncoder))
    model = ScATDEncoder(preset="VAE_gf", encoder=(9, 5), training=Training(lr=0.1))
    assert eval(repr(model)) == model
    with pytest.raises(ValueError, match="no parameter 'n_latents'; did you mean 'n_latent'"):
        with_params(model, {"n_latents": 1})


def test_fault_14_the_learning_rate_falls_once() -> None:
    """Published: a cosine of a quarter of the epochs, after which the rate rises again."""
    training = Training(max_epochs=12, schedule="cosine", patience=0)
    lr = ScATDEncoder(**{**SMALL, "training": training}).fit(counts()).history_["lr"].to_numpy()
    assert (np.diff(lr) < 0).all()
    assert lr[-1] == pytest.approx(0.01 * lr[0], rel=0.2)
    assert ScATDEncoder().training.schedule == "cosine"


def test_fault_13_more_latents_than_the_last_layer_is_wide_is_said() -> None:
    with pytest.warns(UserWarning, match="9 latents are read from a layer of width 8"):
        model = ScATDEncoder(encoder=(16, 8), n_latent=9, training=FEW).fit(counts())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert model.embed(counts()).shape == (90, 9)


def test_fault_10_and_11_every_layer_is_one_and_loads_again(tmp_path: Path) -> None:
    """Each weight stands once under spectral norm, and one class saves and loads every published layout."""
    for activation, spectral in (("swish", "all"), ("shared_swish", "skips_and_heads"), ("leaky_relu", "none")):
        model = ScATDEncoder(activation=activation, spectral=spectral, **SMALL).fit(counts())
        wrapped = {name for name in model.arrays_ if name.endswith("original")}
        plain = {name for name in model.arrays_ if name.endswith((".linear.weight", "shortcut.weight", "out.weight"))}
        n_layers = 2 * (2 + 2) + 3  # blocks of encoder and decoder with their shortcuts, two heads and the output
        assert len(wrapped) == {"all": n_layers, "skips_and_heads": n_layers - 4, "none": 0}[spectral]
        assert not {name.split(".parametrizations")[0] for name in wrapped} & {name[:-7] for name in plain}
        again = galenic.load(model.save(tmp_path / spectral))
        np.testing.assert_array_equal(again.embed(counts()), model.embed(counts()))


def test_early_stopping_keeps_the_best_epoch() -> None:
    training = Training(max_epochs=40, patience=3, lr=0.02)
    model = ScATDEncoder(encoder=(32,), n_latent=8, training=training, beta=300.0).fit(counts())
    history = model.history_
    best = history["valid_total"].idxmin()
    assert history["best"].idxmax() == best
    assert len(history) <= best + 1 + 3
    assert (model.spec_["n_cells"], model.spec_["n_valid"]) == (81, 9)
    last = ScATDEncoder(**SMALL, valid_share=0.0).fit(counts()).history_
    assert last["best"].tolist() == [False, False, True]


def test_whole_groups_are_left_out() -> None:
    groups = pd.Series(np.repeat(list("abcdef"), [5, 10, 15, 20, 25, 25]))
    for seed in range(20):
        rows, away = held_out(np.arange(100), groups, 0.3, seed)
        assert not set(groups[rows]) & set(groups[away])
        assert sorted([*rows, *away]) == list(range(100))
        assert 5 <= len(away) < 30 + 25
    with pytest.raises(ValueError, match=r"two groups at least.*Leave groups out"):
        held_out(np.arange(5), pd.Series(["a"] * 5), 0.3, 0)
    model = ScATDEncoder(**SMALL).fit(counts(), groups="sample")
    assert model.spec_["n_valid"] == int((counts().obs["sample"] == "sample 0").sum())
    with pytest.raises(ValueError, match=r"groups=.*needs the column\(s\) 'donor'"):
        ScATDEncoder(**SMALL).fit(counts(), groups="donor")


def test_cells_that_say_when_to_stop_may_be_given() -> None:
    cells = counts()
    model = ScATDEncoder(**SMALL).fit(cells[:60].copy(), valid=cells[60:].copy())
    assert (model.spec_["n_cells"], model.spec_["n_valid"]) == (60, 30)
    assert "valid_total" in model.history_


def test_the_most_variable_genes_are_learned_from() -> None:
    cells = counts()
    x = np.log1p(1e4 * cells.X / cells.X.sum(axis=1, keepdims=True))
    sd = pd.Series(x[held_out(np.arange(90), None, 0.1, 0)[0]].std(axis=0), index=cells.var_names)
    model = ScATDEncoder(n_genes=10, **SMALL).fit(cells)
    assert set(model.spec_["features"]) == set(sd.nlargest(10).index)
    some = ScATDEncoder(n_genes=10, **SMALL).fit(cells, features=[*cells.var_names[:15], "TP53"])
    assert set(some.spec_["features"]) == set(sd.iloc[:15].nlargest(10).index)
    # Totals are those of all genes of a file, so cells are given whole and the encoder takes its genes.
    kept = set(model.spec_["features"])
    np.testing.assert_array_equal(model.embed(cells[:, ::-1].copy()), model.embed(cells))
    assert kept < set(cells.var_names)


def test_counts_and_their_logarithms_are_one(tmp_path: Path) -> None:
    cells = counts()
    logged = cells.copy()
    logged.X = np.log1p(1e4 * cells.X / cells.X.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(fitted().embed(logged), fitted().embed(cells), atol=1e-4)
    scaled = logged.copy()
    scaled.X = scaled.X - scaled.X.mean(axis=0)
    with pytest.raises(ValueError, match=r"learned from \(counts\); received scaled ones.*Give counts"):
        fitted().embed(scaled)
    model = ScATDEncoder(**SMALL).fit(scaled)
    alone = scaled[0].copy()
    alone.X = np.abs(alone.X)  # nothing below 0 in the few cells given
    assert np.isfinite(model.embed(alone)).all()


def test_missing_genes_are_said_and_too_few_are_refused() -> None:
    cells = counts()
    names = fitted().spec_["features"]
    logged = cells.copy()
    logged.X = np.log1p(1e4 * cells.X / cells.X.sum(axis=1, keepdims=True))
    with pytest.warns(UserWarning, match="1 of 40 features of the encoder are missing"):
        found = fitted().embed(logged[:, logged.var_names != names[5]].copy())
    filled = logged.copy()
    filled.X[:, filled.var_names == names[5]] = fitted().arrays_["middle"][5]
    np.testing.assert_allclose(found, fitted().embed(filled), atol=1e-5)
    with pytest.raises(ValueError, match=r"50% of the 40 features.*25 are missing"):
        fitted().embed(cells[:, :15].copy())
    other = counts()
    other.obsm["X_rep"] = other.obsm["X_rep"][:, :11]
    with pytest.raises(ValueError, match=r"100% of the 12 features.*or the same embedding"):
        fitted("X_rep").embed(other)
    with pytest.raises(ValueError, match="none of them"):
        ScATDEncoder(**SMALL).fit(cells, features=["TP53", "EGFR"])


def test_empty_cells_are_left_out_and_have_no_latents() -> None:
    cells = counts()
    cells.X[:7] = 0
    model = ScATDEncoder(**SMALL).fit(cells)
    assert model.spec_["n_empty"] == 7
    assert np.isnan(model.embed(cells)).all(axis=1).tolist() == [True] * 7 + [False] * 83
    np.testing.assert_allclose(model.embed(cells[7:].copy()), model.embed(cells)[7:], atol=1e-6)
    cells.X[:85] = 0
    with pytest.raises(ValueError, match=r"needs 8 cells at least.*received 90 of which 5"):
        ScATDEncoder(**SMALL).fit(cells)


def test_an_encoder_that_is_not_fitted_says_so(tmp_path: Path) -> None:
    for ask in (lambda model: model.embed(counts()), lambda model: model.net(), lambda model: model.save(tmp_path)):
        with pytest.raises(NotFittedError, match="is not fitted"):
            ask(ScATDEncoder())


def test_an_interrupted_fit_goes_on_to_the_same_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, step = tmp_path / "run.pt", pretraining.Step.__call__
    asked: list[int] = []

    def stopped(self: object, *given: object) -> object:
        asked.append(1)
        if len(asked) == 9:
            raise KeyboardInterrupt
        return step(self, *given)

    monkeypatch.setattr(pretraining.Step, "__call__", stopped)
    with pytest.raises(KeyboardInterrupt):
        ScATDEncoder(**SMALL).fit(counts(), checkpoint=path)
    monkeypatch.setattr(pretraining.Step, "__call__", step)
    assert path.exists()
    model = ScATDEncoder(**SMALL).fit(counts(), checkpoint=path)
    np.testing.assert_array_equal(model.embed(counts()), fitted().embed(counts()))
    assert {file.name for file in path.iterdir()} == {"manifest.json", "encoder.npz"}


def test_decoded_cells_are_in_the_units_read_and_not_below_zero() -> None:
    """Fault 16: genes that were decoded could be negative."""
    cells, training = counts(300), Training(max_epochs=60)
    model = ScATDEncoder(encoder=(32,), n_latent=8, training=training).fit(cells)
    x = np.log1p(1e4 * cells.X / cells.X.sum(axis=1, keepdims=True))
    order = [list(cells.var_names).index(name) for name in model.spec_["features"]]
    again = model.decode(model.embed(cells))
    assert again.min() >= 0
    assert ((again - x[:, order]) ** 2).mean() < 0.95 * ((x - x.mean(axis=0)) ** 2).mean()
    wild = model.decode(100 * model.embed(cells))
    assert (wild == 0).any()


def test_latents_tell_planted_clusters_apart() -> None:
    cells = bulk_and_cells(n_genes=100, n_cells=400, seed=1)[1]
    model = ScATDEncoder(n_latent=8, encoder=(64, 32), training=Training(max_epochs=40, schedule="cosine")).fit(cells)
    untrained = replace(model, training=Training(max_epochs=1, lr=1e-12)).fit(cells)
    cluster = cells.obs["cluster"].to_numpy()

    def told(model: ScATDEncoder) -> float:
        z = model.embed(cells)
        return float(cross_val_score(LogisticRegression(max_iter=2000), z / z.std(axis=0), cluster, cv=5).mean())

    assert told(model) > 0.85
    assert told(model) > told(untrained) + 0.1
    assert model.spec_["explained"] > 0.03
    noise = np.random.default_rng(0).permutation(cluster)
    assert cross_val_score(LogisticRegression(max_iter=2000), model.embed(cells), noise, cv=5).mean() < 0.4


def test_many_genes_are_learned_from_without_a_dense_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretraining, "RESIDENT", 2**20)
    monkeypatch.setattr(reading, "VALUES", 2**18)
    n, width = 3000, 8000
    X = sparse.random(n, width, density=0.02, format="csr", dtype=np.float32, rng=np.random.default_rng(0))
    X.data = np.ceil(5 * X.data)
    cells = AnnData(X, var=pd.DataFrame(index=[f"GENE{number:05d}" for number in range(width)]))
    training = Training(max_epochs=1, batch_size=64)
    tracemalloc.start()
    ScATDEncoder(n_genes=0, n_latent=2, encoder=(4,), training=training).fit(cells)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.4 * 4 * n * width


@pytest.mark.real
def test_measured_embeddings_and_counts(shared: Path) -> None:
    """Embeddings of scFoundation of 120 cells, and counts of PC9 cells read from the file."""
    cells = read_h5ad(shared / "singlecell" / "jhu006_scad.h5ad")
    cells.obsm["X_scfoundation"] = cells.obsm["X_scfoundation_t4"]
    training = Training(max_epochs=30, schedule="cosine")
    model = ScATDEncoder(use_rep="X_scfoundation", n_latent=8, encoder=(64, 32), training=training).fit(cells)
    assert model.spec_["explained"] > 0.1
    label = next(cells.obs[name] for name in cells.obs if cells.obs[name].nunique() == 2)
    z = model.embed(cells)
    assert cross_val_score(LogisticRegression(max_iter=2000), z / z.std(axis=0), label, cv=5).mean() > 0.8
    path = shared / "singlecell" / "pc9_erlotinib_day11_counts.h5ad"
    backed = read_h5ad(path, backed="r")
    model = ScATDEncoder(n_genes=500, n_latent=8, encoder=(64, 32), training=Training(max_epochs=2)).fit(backed)
    assert model.spec_["kind"] == "counts"
    np.testing.assert_array_equal(model.embed(backed), model.embed(read_h5ad(path)))
