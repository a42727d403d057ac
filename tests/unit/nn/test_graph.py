"""Networks over atoms: a molecule is alone with itself, whatever its batch, padding and order of atoms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from galenic.nn import graph
from galenic.nn.graph import DrugGraphEncoder, GraphAttention, GraphConvolution

SMALL = {"n_features": 6, "n_out": 5, "n_heads": 3, "head_width": 4, "feedforward": 8, "hidden": 9}


@pytest.fixture(params=[1, 3, graph.N_BUCKETS], ids="{} buckets".format)
def encoder(request, monkeypatch):
    """With one bucket all molecules share their padding; with many each of these few has its own."""
    monkeypatch.setattr(graph, "N_BUCKETS", request.param)
    torch.manual_seed(0)
    return DrugGraphEncoder(**SMALL).eval()


def molecule(rng, n_atoms):
    """A ring (or less) of atoms with one more bond across."""
    bonds = np.zeros((n_atoms, n_atoms), dtype=bool)
    bonds[np.arange(n_atoms), np.roll(np.arange(n_atoms), 1)] = True
    bonds[0, n_atoms // 2] = True
    return rng.normal(size=(n_atoms, 6)).astype("float32"), (bonds | bonds.T) & ~np.eye(n_atoms, dtype=bool)


def padded(molecules, n_atoms=None, filling=0.0):
    n_atoms = n_atoms or max(len(atoms) for atoms, _ in molecules)
    atoms = torch.full((len(molecules), n_atoms, 6), filling)
    bonds = torch.zeros(len(molecules), n_atoms, n_atoms, dtype=torch.bool)
    mask = torch.zeros(len(molecules), n_atoms, dtype=torch.bool)
    for row, (features, bonded) in enumerate(molecules):
        atoms[row, : len(features)] = torch.tensor(features)
        bonds[row, : len(features), : len(features)] = torch.tensor(bonded)
        mask[row, : len(features)] = True
    return atoms, bonds, mask


@pytest.fixture
def molecules(rng):
    return [molecule(rng, n_atoms) for n_atoms in (5, 1, 8, 2)]


@pytest.mark.parametrize("gradient", [True, False])  # torch takes another path through a transformer without gradient
def test_a_molecule_alone_is_the_same_in_any_batch(encoder, molecules, gradient):
    with torch.set_grad_enabled(gradient):
        together = encoder(*padded(molecules))
        assert together.std(dim=0).min() > 1e-3  # molecules differ at all
        for row, one in enumerate(molecules):
            torch.testing.assert_close(encoder(*padded([one]))[0], together[row], atol=1e-5, rtol=0)


@pytest.mark.parametrize("gradient", [True, False])
def test_neither_length_nor_content_of_padding_matters(encoder, molecules, gradient):
    with torch.set_grad_enabled(gradient):
        plain = encoder(*padded(molecules))
        torch.testing.assert_close(encoder(*padded(molecules, n_atoms=20, filling=1e3)), plain, atol=1e-5, rtol=0)
        atoms, bonds, mask = padded(molecules, n_atoms=10)
        backwards = encoder(atoms.flip(1), bonds.flip(1, 2), mask.flip(1))  # the padding comes first
        torch.testing.assert_close(backwards, plain, atol=1e-5, rtol=0)
        bonds = bonds | ~mask[:, :, None] | ~mask[:, None, :]  # a careless reader may bond the padding too
        torch.testing.assert_close(encoder(atoms, bonds, mask), plain, atol=1e-5, rtol=0)


def test_renumbering_atoms_changes_nothing(encoder, molecules, rng):
    def renumber(atoms, bonds):
        order = rng.permutation(len(atoms))
        return atoms[order], bonds[np.ix_(order, order)]

    shuffled = [renumber(*one) for one in molecules]
    assert not np.array_equal(shuffled[2][0], molecules[2][0])
    torch.testing.assert_close(encoder(*padded(shuffled)), encoder(*padded(molecules)), atol=1e-5, rtol=0)


def test_bonds_matter(encoder, molecules):
    atoms, bonds, mask = padded(molecules)
    change = (encoder(atoms, bonds, mask) - encoder(atoms, bonds & False, mask)).abs().amax(dim=1)
    assert (change > 1e-3).tolist() == [True, False, True, True]  # the second molecule is a single atom


@pytest.mark.parametrize("gradient", [True, False])
def test_a_drug_without_atoms_harms_nobody(encoder, molecules, gradient):
    atoms, bonds, mask = padded(molecules)
    mask[1] = False
    with torch.set_grad_enabled(gradient):
        out = encoder(atoms, bonds, mask)
        assert out.isfinite().all()
        torch.testing.assert_close(out[[0, 2, 3]], encoder(*padded(molecules))[[0, 2, 3]], atol=1e-5, rtol=0)
        torch.testing.assert_close(out[1], encoder.head(torch.zeros(1, 24))[0], atol=1e-6, rtol=0)


def test_every_tensor_gets_a_gradient(encoder, molecules):
    encoder.train()(*padded(molecules)).square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_no_gradient_crosses_between_molecules(encoder, molecules):
    atoms, bonds, mask = padded(molecules)
    atoms.requires_grad_()
    encoder(atoms, bonds, mask)[0].sum().backward()
    assert (atoms.grad[0, :5].abs().sum(dim=1) > 0).all()
    assert (atoms.grad[0, 5:] == 0).all()
    assert (atoms.grad[1:] == 0).all()


def test_inputs_stay_as_they_were(encoder, molecules):
    given = padded(molecules)
    copies = [tensor.clone() for tensor in given]
    encoder(*given)
    assert all(torch.equal(a, b) for a, b in zip(given, copies, strict=True))


def test_graph_attention_equals_the_loop(molecules):
    torch.manual_seed(0)
    layer = GraphAttention(6, 4, n_heads=3)
    torch.nn.init.normal_(layer.requires_grad_(False).bias)
    atoms, bonds, _ = padded(molecules)
    out = layer(atoms, bonds | torch.eye(8, dtype=torch.bool))
    for row, (features, bonded) in enumerate(molecules):
        nodes = (torch.tensor(features) @ layer.lin.weight.T).reshape(-1, 3, 4)
        for i in range(len(features)):
            for head in range(3):
                heard = [i, *np.flatnonzero(bonded[i])]
                a_dst, a_src = layer.att_dst[0, head], layer.att_src[0, head]
                scores = [float(a_dst @ nodes[i, head] + a_src @ nodes[j, head]) for j in heard]
                powers = np.exp([score if score > 0 else 0.2 * score for score in scores])
                weights = powers / powers.sum()
                expected = sum(w * nodes[j, head] for w, j in zip(weights, heard, strict=True))
                expected = expected + layer.bias[4 * head : 4 * head + 4]
                torch.testing.assert_close(out[row, i, 4 * head : 4 * head + 4], expected, atol=1e-5, rtol=1e-5)


def test_graph_convolution_equals_the_loop(molecules):
    torch.manual_seed(0)
    layer = GraphConvolution(6, 4)
    torch.nn.init.normal_(layer.requires_grad_(False).bias)
    atoms, bonds, _ = padded(molecules)
    out = layer(atoms, bonds | torch.eye(8, dtype=torch.bool))
    for row, (features, bonded) in enumerate(molecules):
        degree = bonded.sum(axis=1) + 1
        for i in range(len(features)):
            heard = [i, *np.flatnonzero(bonded[i])]
            mixed = sum(torch.tensor(features[j]) / float(np.sqrt(degree[i] * degree[j])) for j in heard)
            torch.testing.assert_close(out[row, i], layer.lin.weight @ mixed + layer.bias, atol=1e-5, rtol=1e-5)


def test_the_published_widths_and_the_default():
    with torch.device("meta"):
        published, default = DrugGraphEncoder.published(), DrugGraphEncoder()
    n_published, n_default = (sum(p.numel() for p in net.parameters()) for net in (published, default))
    assert published.head[0].weight.shape == (1500, 1560)
    assert published.transformer_1.linear1.weight.shape == (2048, 78)
    assert {m.p for m in published.modules() if isinstance(m, torch.nn.Dropout)} == {0.5}
    assert published.transformer_2.self_attn.dropout == 0.5
    assert 9.0e6 < n_published < 9.4e6
    assert n_published > 40 * n_default


@pytest.mark.parametrize("publication", [True, False])
def test_it_reads_what_the_drug_reader_gives(publication):
    graphs = pytest.importorskip("galenic.data.drugs").graphs
    torch.manual_seed(0)
    encoder = (DrugGraphEncoder.published() if publication else DrugGraphEncoder()).eval()
    one = graphs(["CC(=O)Oc1ccccc1C(=O)O"])
    several = graphs(["CC(=O)Oc1ccccc1C(=O)O", "O", "OC(=O)c1ccccc1OC(C)=O", "CN1CCC[C@H]1c1cccnc1"])
    out, alone = (
        encoder(*(torch.tensor(part) for part in (drugs.atoms, drugs.bonds, drugs.mask))) for drugs in (several, one)
    )
    torch.testing.assert_close(out[:1], alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(out[2], out[0], atol=1e-5, rtol=0)  # aspirin, its atoms in another order
    assert (out[3] - out[0]).abs().max() > 1e-2
