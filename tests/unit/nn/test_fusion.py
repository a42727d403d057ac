"""Cross-attention between modalities, and the published teacher put together from the parts of this room."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from galenic.models.kdrug.network import Network
from galenic.nn import graph
from galenic.nn.encoders import ConvEncoder
from galenic.nn.fusion import CrossAttention
from galenic.nn.graph import DrugGraphEncoder


@pytest.fixture
def attention():
    torch.manual_seed(0)
    return CrossAttention(8, n_heads=2).eval()


@pytest.fixture
def tokens(rng):
    """Expression, mutation and methylation of five cells: 4, 3 and 2 tokens."""
    return [torch.tensor(rng.normal(size=(5, n, 8)), dtype=torch.float32) for n in (4, 3, 2)]


def test_attention_equals_the_loop(attention, tokens):
    expression, *others = tokens
    out = attention(expression, *others)
    for cell in range(5):
        heard = torch.cat([other[cell] for other in others])
        for i in range(4):
            mixed = []
            for head in (slice(0, 4), slice(4, 8)):
                query = attention.linear_q(expression[cell, i])[head]
                scores = torch.stack([query @ attention.linear_k(token)[head] / 2 for token in heard])
                mixed.append(
                    sum(w * attention.linear_v(token)[head] for w, token in zip(scores.softmax(0), heard, strict=True))
                )
            torch.testing.assert_close(out[cell, i], attention.linear_out(torch.cat(mixed)), atol=1e-5, rtol=0)


def test_a_missing_modality_is_as_if_it_were_not_there(attention, tokens):
    expression, mutation, methylation = tokens
    everything = attention(expression, mutation, methylation)
    present = torch.tensor([[True, True], [True, False], [False, True], [False, False], [True, True]])
    out = attention(expression, mutation, methylation, present=present)
    expected = [everything, attention(expression, mutation), attention(expression, methylation), expression, everything]
    for cell, reference in enumerate(expected):
        torch.testing.assert_close(out[cell], reference[cell], atol=1e-5, rtol=0)
    noise = attention(expression, mutation * 1e3, methylation, present=torch.tensor([[False, True]] * 5))
    torch.testing.assert_close(noise, expected[2], atol=1e-5, rtol=0)
    assert torch.equal(attention(expression), expression)


def test_gradients_stay_finite_and_spare_what_is_missing(attention, tokens):
    for part in tokens:
        part.requires_grad_()
    present = torch.tensor([[False, False], [True, False]] + [[True, True]] * 3)
    attention.train()(*tokens, present=present).square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in attention.parameters())
    # The same number added to all scores of a query changes no softmax: the bias of the keys has no effect.
    assert all(p.grad.abs().sum() > 1e-3 for name, p in attention.named_parameters() if name != "linear_k.bias")
    assert attention.linear_k.bias.grad.abs().max() < 1e-4
    assert all((part.grad[0] == 0).all() for part in tokens[1:])
    assert (tokens[2].grad[1] == 0).all()
    assert (tokens[1].grad[1] != 0).any()


def test_order_of_the_others_and_of_their_tokens_does_not_matter(attention, tokens, rng):
    expression, mutation, methylation = tokens
    out = attention(expression, mutation, methylation)
    order = torch.tensor(rng.permutation(3))
    torch.testing.assert_close(attention(expression, methylation, mutation[:, order]), out, atol=1e-5, rtol=0)


def test_dropout_is_for_training_only(attention, tokens):
    attention.dropout = 0.5
    assert torch.equal(attention(*tokens), attention(*tokens))
    attention.train()
    assert not torch.equal(attention(*tokens), attention(*tokens))


def test_what_does_not_fit_is_refused(attention, tokens):
    with pytest.raises(ValueError, match=r"multiple of n_heads.*received 10 for 4 heads"):
        CrossAttention(10, 4)
    with pytest.raises(ValueError, match=r"a column a modality, \(5, 2\); received \(5, 3\)"):
        attention(*tokens, present=torch.ones(5, 3, dtype=torch.bool))


@pytest.fixture
def golden(shared):
    """Tensors of a published network and what it computed."""

    def read(name):
        with np.load(shared / "golden" / name) as stored:
            values = {key: torch.from_numpy(stored[key]) for key in stored.files}
        weights = {key.removeprefix("weights/"): values[key] for key in values if key.startswith("weights/")}
        return weights, values

    return read


def under(state, **prefixes):
    """The tensors under published prefixes, renamed to ours."""
    return {
        ours + name.removeprefix(theirs.rstrip(".")): tensor
        for ours, theirs in prefixes.items()
        for name, tensor in state.items()
        if name.startswith(theirs)
    }


@pytest.mark.real
def test_published_attention_number_by_number(golden):
    weights, values = golden("kdrug_cross_attention.npz")
    attention = CrossAttention(16, n_heads=8).eval()
    attention.load_state_dict(weights)  # the layers bear the published names
    out = attention(values["query"], values["key_value"])
    torch.testing.assert_close(out, values["output"], atol=1e-5, rtol=1e-5)
    split = values["key_value"].split([10, 23], dim=1)
    torch.testing.assert_close(attention(values["query"], *split), values["output"], atol=1e-5, rtol=1e-5)


def published_drug_encoder(state):
    encoder = DrugGraphEncoder(6, 16, n_heads=10, head_width=6, feedforward=16, hidden=20).eval()
    names = {
        "transformer_1": "ugformer_layer_1.layers.0.",
        "attention": "conv1.",
        "transformer_2": "ugformer_layer_2.layers.0.",
        "convolution": "conv2.",
        "head.0": "fc_g1.",
        "head.3": "fc_g2.",
    }
    encoder.load_state_dict(under(state, **names))
    return encoder


def published_omic_encoder(state, name, n_features, *, attended):
    encoder = ConvEncoder(n_features, 16, n_filters=4).eval()
    names = {f"layers.{3 * i}": f"conv_xt_{name}_{i + 1}." for i in range(3)}
    renamed = under(state, summary=f"fc1_xt_{name}.", **names)
    if not attended:  # these flatten channel by channel; ours token by token
        weight = renamed["summary.weight"].unflatten(1, (encoder.width, encoder.n_tokens))
        renamed["summary.weight"] = weight.transpose(1, 2).flatten(1)
    encoder.load_state_dict(renamed)
    return encoder


def published_head(state, *names):
    layers = [nn.Linear(*reversed(state[f"{name}.weight"].shape)) for name in names]
    for layer, name in zip(layers, names, strict=True):
        layer.load_state_dict({"weight": state[f"{name}.weight"], "bias": state[f"{name}.bias"]})
    return layers


def assembled(encoders, drug_encoder, attention, heads):
    """KDRUG's own network with published parts in their places; its drugs read mutation before methylation."""

    def build(as_published):
        names = ("expression", "mutation", "methylation")
        net = Network(
            dict.fromkeys(names, 1000), fusion="attention", n_latent=16, encoder="conv", head="mlp", hidden=24,
            as_published=as_published,
        ).eval()  # fmt: skip
        net.drug, net.attention = drug_encoder, attention
        for name in names:
            net.cells[f"of_{name}"] = encoders[name]
        for head, (first, second, last) in zip((net.other_head, net.head), heads, strict=True):
            head.n_drug, head.first, head.rest[2], head.last = 16, first, second, last
        return net

    def whole(as_published):
        net = build(as_published)
        forward = net.forward
        return lambda batch: forward(
            {**batch, "cells": {**batch["cells"], "has mutation": torch.ones(3), "has methylation": torch.ones(3)}}
        )

    return whole


@pytest.mark.real
def test_the_published_teacher_from_our_parts(golden, monkeypatch):
    monkeypatch.setattr(graph, "N_BUCKETS", 1)
    state, values = golden("kdrug_teacher.npz")
    drug_encoder = published_drug_encoder(state)
    mutation_encoder = published_omic_encoder(state, "mut", 735, attended=False)
    methylation_encoder = published_omic_encoder(state, "meth", 377, attended=False)
    expression_encoder = published_omic_encoder(state, "ge", 1000, attended=True)
    attention = CrossAttention(16, n_heads=8).eval()
    attention.load_state_dict(
        under(
            state,
            **{f"linear_{x}": f"multi_head_attention1.linear_{x}." for x in "qkv"},
            linear_out="multi_head_attention1.linear_out.",
        )
    )
    others_1, others_2, others_out = published_head(state, "reg1", "reg2", "out1")
    rna_1, rna_2, rna_out = published_head(state, "reg3", "reg4", "out2")

    # The three molecules as one padded batch: in the published code that would change the predictions (see below).
    molecules = [(values[f"mol{i}/x"], values[f"mol{i}/edge_index"]) for i in range(3)]
    atoms, bonds = torch.zeros(3, 8, 6), torch.zeros(3, 8, 8, dtype=torch.bool)
    mask = torch.zeros(3, 8, dtype=torch.bool)
    for row, (features, (source, target)) in enumerate(molecules):
        atoms[row, : len(features)] = features
        bonds[row, target, source] = mask[row, : len(features)] = True

    with torch.no_grad():
        drug = drug_encoder(atoms, bonds, mask)
        cells = {
            name: torch.cat([values[f"mol{i}/{name}"] for i in range(3)])
            for name in ("mutation", "methylation", "expression")
        }
        mutation_tokens, mutation = mutation_encoder(cells["mutation"])
        methylation_tokens, methylation = methylation_encoder(cells["methylation"])
        attended = attention(expression_encoder.tokens(cells["expression"]), methylation_tokens, mutation_tokens)
        expression = expression_encoder.vector(attended).relu()
        trunk = others_2(others_1(torch.cat([drug, mutation.relu(), methylation.relu()], dim=1)).relu()).relu()
        own_trunk = rna_2(rna_1(torch.cat([drug, expression], dim=1)).relu()).relu()

        published = values["alone_others_rna"].float()
        torch.testing.assert_close(others_out(trunk).sigmoid()[:, 0], published[:, 0], atol=1e-6, rtol=0)
        # The published head for expression reads the trunk of the other modalities: that is matched as well, ...
        torch.testing.assert_close(rna_out(trunk).sigmoid()[:, 0], published[:, 1], atol=1e-6, rtol=0)
        # ... while on its own trunk the same head answers differently, which no published number shows.
        assert (rna_out(own_trunk).sigmoid()[:, 0] - published[:, 1]).abs().min() > 1e-3
        whole = assembled(
            {"expression": expression_encoder, "mutation": mutation_encoder, "methylation": methylation_encoder},
            drug_encoder,
            attention,
            heads=((others_1, others_2, others_out), (rna_1, rna_2, rna_out)),
        )
        drugs = {"atoms": atoms, "bonds": bonds, "mask": mask}
        batch = {"cells": cells, "drugs": drugs, "cell": torch.arange(3), "drug": torch.arange(3)}
        said = whole(as_published=True)(batch)
        torch.testing.assert_close(torch.stack([said["others"], said["main"]], 1), published, atol=1e-6, rtol=0)
        torch.testing.assert_close(said["prediction"], published.mean(dim=1), atol=1e-6, rtol=0)
        repaired = whole(as_published=False)(batch)
        torch.testing.assert_close(repaired["others"].sigmoid(), published[:, 0], atol=1e-6, rtol=0)
        torch.testing.assert_close(repaired["main"], rna_out(own_trunk)[:, 0], atol=1e-6, rtol=0)
    # The published network answers differently in a batch of three, by far more than rounding.
    assert (values["batch_others_rna"] - published).abs().max() > 1e-4
