"""Published networks of Deep-pert, and attributions of them by an independent program, are reproduced."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from galenic.explain.attribution import Rule, integrated_gradients
from galenic.models.deeppert.attribution import gene_weights, score_slopes
from galenic.models.deeppert.consensus import averaging
from galenic.nn.autoencoders import Autoencoder, widths_of

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    if not (shared / "deeppert").is_dir():
        pytest.skip(f"published results are not in {shared}; set GALENIC_REAL_DATA to the folder that holds 'deeppert'")
    return shared / "deeppert"


def published(folder: Path, size: int, run: int = 0) -> Autoencoder:
    """A network with published weights, in double precision, in evaluation mode."""
    arrays = np.load(folder / "a549_vae" / "vae_models.npz")
    net = Autoencoder(150, size, kind="vae", widths=widths_of(size), as_published=True).double()
    dense = [*(m for m in net.body if isinstance(m, torch.nn.Linear)), net.mean, net.log_variance]
    norms = [m for m in net.body if isinstance(m, torch.nn.BatchNorm1d)]
    out = [m for m in net.decoder if isinstance(m, torch.nn.Linear)]

    def stored(half: str, kind: str) -> list[str]:
        layers = {key.split("/")[2] for key in arrays if key.startswith(f"{size}L_run{run}/{half}/{kind}")}
        numbered = sorted(layers, key=lambda name: int(name.rsplit("_", 1)[1]))
        return [f"{size}L_run{run}/{half}/{name}" for name in numbered]

    def tensor(key: str) -> torch.Tensor:
        return torch.from_numpy(arrays[key].astype(np.float64))

    with torch.no_grad():
        for layer, key in zip([*dense, *out], stored("encoder", "dense") + stored("decoder", "dense"), strict=True):
            layer.weight.copy_(tensor(f"{key}/kernel").T)
            layer.bias.copy_(tensor(f"{key}/bias"))
        for norm, key in zip(norms, stored("encoder", "batch"), strict=True):
            norm.weight.copy_(tensor(f"{key}/gamma"))
            norm.bias.copy_(tensor(f"{key}/beta"))
            norm.running_mean.copy_(tensor(f"{key}/moving_mean"))
            norm.running_var.copy_(tensor(f"{key}/moving_variance"))
    return net.eval()


@pytest.mark.parametrize(("rule", "n_steps", "name"), [("left", 50, "ig_left_riemann_50"),
                                                       ("midpoint", 50, "ig_midpoint_50"),
                                                       ("midpoint", 5000, "ig_midpoint_5000")])  # fmt: skip
def test_integrated_gradients_are_those_on_record(folder: Path, rule: Rule, n_steps: int, name: str) -> None:
    golden, net = np.load(folder / "golden" / "ig_a549_5L_run0.npz"), published(folder, 5)
    x = torch.from_numpy(golden["x_pc"])
    np.testing.assert_allclose(net.encode(x).detach().numpy(), golden["z_mean"], atol=1e-6)
    np.testing.assert_allclose(net(x)[2].detach().numpy(), golden["z_log_var"], atol=1e-6)
    found = integrated_gradients(net.encode, [x], [torch.zeros(1, 150, dtype=x.dtype)], n_steps=n_steps, rule=rule)
    np.testing.assert_allclose(found.contributions[0], golden[name], atol=1e-6)
    # The fast way to the same slopes, as the ensemble takes it: in single precision.
    layers = [(weight.numpy(), bias.numpy()) for weight, bias in net.float().layers()]
    if n_steps == 50:
        slopes = score_slopes(layers, golden["x_pc"], n_steps=n_steps, rule=rule)
        close = np.isclose(golden["x_pc"][:, :, None] * slopes, golden[name], atol=1e-4)
        assert close.mean() > 0.99  # a kink may lie on either side of a point


def test_gaps_are_those_on_record(folder: Path) -> None:
    x, net = torch.from_numpy(np.load(folder / "golden" / "ig_a549_5L_run0.npz")["x_pc"]), published(folder, 5)
    largest = {
        rule: np.abs(integrated_gradients(net.encode, [x], [torch.zeros_like(x)], n_steps=50, rule=rule).gap).max()
        for rule in ("left", "midpoint", "gauss-legendre")
    }
    assert largest["left"] == pytest.approx(0.06427679, abs=1e-6)
    assert largest["midpoint"] == pytest.approx(0.04076038, abs=1e-6)
    assert largest["gauss-legendre"] == pytest.approx(0.04608230, abs=1e-6)


def test_published_latents_come_back(folder: Path) -> None:
    table, net = pd.read_parquet(folder / "a549_vae" / "latents_35.parquet"), published(folder, 5)
    columns = [name for name in table.columns if "5L_run0" in name]
    z = table[columns].to_numpy(np.float64)
    with torch.no_grad():
        again = net.encode(net.decoder(torch.from_numpy(z))).numpy()
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(z.T, again.T, strict=True)]
    np.testing.assert_allclose(r, [0.906, 0.996, 0.804, 0.989, 0.976], atol=5e-4)


def test_consensus_of_one_cluster_is_the_published_one(folder: Path) -> None:
    place = folder / "a549_vae"
    labels = np.loadtxt(place / "ensemble_labels_1L.txt.gz", ndmin=1).astype(int)
    weights = pd.read_csv(place / "ig_gene_weights_5L_run0.tsv.gz", sep="\t", index_col=0)
    expected = pd.read_csv(place / "ensemble_gene_importance_1L.tsv.gz", sep="\t", index_col=0)
    ours = weights.to_numpy() @ averaging(labels, 1)
    np.testing.assert_allclose(ours.T, expected[weights.index].to_numpy(), atol=1e-15)
    table = pd.read_parquet(place / "latents_35.parquet")
    latents = table[[name for name in table.columns if "5L_run0" in name]].to_numpy(np.float64)
    embedding = pd.read_parquet(place / "training_embedding_1L.parquet").select_dtypes("number").to_numpy()
    np.testing.assert_allclose(latents @ averaging(labels, 1), embedding, atol=1e-6)


def test_the_published_back_projection_is_no_attribution(folder: Path, rng: np.random.Generator) -> None:
    """With the same slopes, loadings times contributions leave a gap that the chain rule does not."""
    net = published(folder, 5).float()
    layers = [(weight.numpy(), bias.numpy()) for weight, bias in net.layers()]
    matrix = np.linalg.qr(rng.normal(size=(300, 150)))[0]
    deviations = np.load(folder / "golden" / "ig_a549_5L_run0.npz")["x_pc"] @ matrix.T
    exact, old = (gene_weights(layers, matrix, deviations, n_steps=50, as_published=p) for p in (False, True))
    change = net.encode(torch.from_numpy((deviations @ matrix).astype(np.float32))) - net.encode(torch.zeros(1, 150))
    change = change.mean(dim=0).detach().numpy()
    assert np.abs(exact.mean.sum(axis=0) - change).max() < 0.02
    assert np.abs(old.mean.sum(axis=0) - change).max() > 0.2
