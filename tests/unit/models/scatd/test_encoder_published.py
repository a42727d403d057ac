"""Published weights as an encoder: from tensors or files, on an embedding or on genes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from anndata import AnnData
from safetensors.torch import save_file

import galenic
from galenic.models.scatd.encoder import ScATDEncoder
from galenic.models.scatd.presets import PRESETS
from galenic.nn.residual_vae import Activation, ResidualVAE, Spectral
from galenic.train import seeded

OURS = {
    "encoder.blocks": "Encoder_resblocks", "decoder.blocks": "Decoder_resblocks", "encoder.mean": "fc21",
    "encoder.log_variance": "fc22", "decoder.out": "fc4", ".linear.": ".fc.", ".norm.": ".bn.",
    ".activation.": ".swish.", ".shortcut.": ".downsample.", "parametrizations.weight.original": "weight_orig",
    "parametrizations.weight.0._u": "weight_u", "parametrizations.weight.0._v": "weight_v",
}  # fmt: skip


def network(activation: Activation, spectral: Spectral) -> ResidualVAE:
    with seeded(0):
        net = ResidualVAE(12, 3, encoder=(10, 8), decoder=(10,), activation=activation, spectral=spectral)
        net.train()
        for _ in range(3):
            net(2 * torch.randn(20, 12) + 1)
    return net.eval()


def as_published(net: ResidualVAE) -> dict[str, torch.Tensor]:
    state = {}
    for name, tensor in net.state_dict().items():
        for ours, theirs in OURS.items():
            name = name.replace(ours, theirs)
        state[name] = tensor.clone()
    return state


def cells() -> AnnData:
    X = np.random.default_rng(0).poisson(3, size=(9, 12)).astype(np.float32)
    made = AnnData(X)
    made.var_names = [f"GENE{number:02d}" for number in range(12)]
    made.obsm["X_rep"] = np.random.default_rng(1).normal(size=(9, 12))
    return made


@pytest.mark.parametrize(
    ("activation", "spectral"),
    [("leaky_relu", "none"), ("swish", "all"), ("shared_swish", "skips_and_heads"), ("shared_swish", "all")],
)
@pytest.mark.parametrize("form", ["tensors", "pt", "safetensors", "checkpoint"])
def test_every_layout_and_file_gives_the_same_latents(
    activation: Activation, spectral: Spectral, form: str, tmp_path: Path
) -> None:
    net = network(activation, spectral)
    weights: object = as_published(net)
    if form != "tensors":
        path = tmp_path / f"weights.{form}"
        if form == "safetensors":
            save_file(weights, path)
        else:
            torch.save({"epoch": 3, "state_dict": weights} if form == "checkpoint" else weights, path)
        weights = path
    model = ScATDEncoder.from_published(weights, use_rep="X_rep")
    with torch.no_grad():
        expected = net.encode(torch.from_numpy(cells().obsm["X_rep"].astype(np.float32))).numpy()
    np.testing.assert_allclose(model.embed(cells()), expected, atol=1e-5)
    again = galenic.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.embed(cells()), model.embed(cells()))


def test_weights_on_genes_read_raw_counts_by_name() -> None:
    net, data = network("swish", "none"), cells()
    names = list(data.var_names)[::-1]
    model = ScATDEncoder.from_published(as_published(net), features=names)
    with torch.no_grad():
        expected = net.encode(torch.from_numpy(data.X[:, ::-1].copy())).numpy()
    np.testing.assert_allclose(model.embed(data), expected, atol=1e-4)
    logged = ScATDEncoder.from_published(as_published(net), features=names, normalise=True)
    x = np.log1p(1e4 * data.X / data.X.sum(axis=1, keepdims=True))
    with torch.no_grad():
        expected = net.encode(torch.from_numpy(x[:, ::-1].astype(np.float32))).numpy()
    np.testing.assert_allclose(logged.embed(data), expected, atol=1e-4)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    state = as_published(network("swish", "none"))
    with pytest.raises(ValueError, match=r"read 12 features; received no names\. Name the genes"):
        ScATDEncoder.from_published(state)
    with pytest.raises(ValueError, match=r"read 12 features; received 2 names"):
        ScATDEncoder.from_published(state, features=["A", "B"])
    with pytest.raises(ValueError, match=r"features must be unique"):
        ScATDEncoder.from_published(state, features=["A"] * 12)
    with pytest.raises(FileNotFoundError, match="weights should be a file"):
        ScATDEncoder.from_published(tmp_path / "none.pt", use_rep="X_rep")
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(ValueError, match=r"cannot be read as one .*Save its state_dict alone"):
        ScATDEncoder.from_published(tmp_path / "text.pt", use_rep="X_rep")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="holds a list"):
        ScATDEncoder.from_published(tmp_path / "list.pt", use_rep="X_rep")


def test_a_file_that_would_run_code_is_not_opened(tmp_path: Path) -> None:
    torch.save({"fc4.bias": Path("anything")}, tmp_path / "code.pt")
    with pytest.raises(ValueError, match="cannot be read as one"):
        ScATDEncoder.from_published(tmp_path / "code.pt", use_rep="X_rep")


def test_the_preset_is_told_from_the_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network("leaky_relu", "none")
    assert ScATDEncoder.from_published(as_published(net), use_rep="X_rep").preset == "small"
    monkeypatch.setitem(PRESETS, "VAE_sf", PRESETS["VAE_sf"]._replace(encoder=(10, 8)))
    model = ScATDEncoder.from_published(as_published(net), use_rep="X_rep")
    assert (model.preset, model.encoder, model.decoder, model.n_latent) == ("VAE_sf", (10, 8), (10,), 3)


@pytest.mark.real
@pytest.mark.parametrize("name", ["scatd_vae_sf", "scatd_vae_dist"])
def test_golden_latents_of_the_published_code(shared: Path, name: str) -> None:
    golden = {key: torch.from_numpy(value) for key, value in np.load(shared / "golden" / f"{name}.npz").items()}
    state = {key.removeprefix("weights/"): value for key, value in golden.items() if key.startswith("weights/")}
    data = AnnData(obsm={"X_rep": golden["x"].numpy()}, shape=(len(golden["x"]), 0))
    mean, log_variance = ScATDEncoder.from_published(state, use_rep="X_rep").distribution(data)
    np.testing.assert_allclose(mean, golden["mu"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(log_variance, golden["logvar"], rtol=1e-5, atol=1e-5)
