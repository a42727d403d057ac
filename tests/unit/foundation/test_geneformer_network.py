"""The network against the reference library, and files that are not what they should be."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from geneformer_folder import CONFIG, LAYERS, VOCAB, WIDTH, tensors, write_model
from safetensors.torch import save_file

from galenic.foundation.geneformer import Geneformer
from galenic.foundation.geneformer_network import pooled, read_network, read_shape


@pytest.fixture
def batch(rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens of five cells of unlike length, padded."""
    lengths = torch.tensor([16, 3, 9, 1, 12])
    tokens = torch.tensor(rng.integers(2, VOCAB, size=(5, 16)))
    return tokens * (torch.arange(16) < lengths[:, None]), lengths


@pytest.mark.parametrize("weights", ["safetensors", "bin"])
@pytest.mark.parametrize("layer", range(LAYERS + 1))
def test_equals_the_reference(
    tmp_path: Path, batch: tuple[torch.Tensor, torch.Tensor], layer: int, weights: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the library, about itself
        transformers = pytest.importorskip("transformers", reason="transformers is in the extra [fm]")
        write_model(tmp_path, weights=weights)
        config = transformers.BertConfig(**CONFIG)
        reference = transformers.BertModel(config, add_pooling_layer=False).eval()
    named = {name[5:]: tensor for name, tensor in tensors().items() if name.startswith("bert.")}
    reference.load_state_dict(named, strict=True)
    tokens, lengths = batch
    there = (torch.arange(16) < lengths[:, None]).long()
    network = read_network(tmp_path, read_shape(tmp_path / "config.json"))[0]
    with torch.inference_mode():
        expected = reference(input_ids=tokens, attention_mask=there, output_hidden_states=True).hidden_states[layer]
        found = network(tokens, lengths, layer=layer)
    real = there.bool()
    assert torch.allclose(found[real], expected[real], atol=1e-5)
    assert float(expected[real].std()) > 0.1


def test_published_loading_gives_the_same_weights(tmp_path: Path, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    """The folder is one that the reference library reads by itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers = pytest.importorskip("transformers", reason="transformers is in the extra [fm]")
        write_model(tmp_path)
        reference = transformers.BertForMaskedLM.from_pretrained(tmp_path, local_files_only=True).eval()
    tokens, lengths = batch
    there = (torch.arange(16) < lengths[:, None]).long()
    network = read_network(tmp_path, read_shape(tmp_path / "config.json"))[0]
    with torch.inference_mode():
        states = reference(input_ids=tokens, attention_mask=there, output_hidden_states=True).hidden_states
        found = network(tokens, lengths, layer=LAYERS - 1)
    assert torch.allclose(found[there.bool()], states[-2][there.bool()], atol=1e-5)


def test_equals_torch_own_layers(tmp_path: Path, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    """Without the reference library: torch's encoder layers hold the same equations."""
    write_model(tmp_path)
    network = read_network(tmp_path, read_shape(tmp_path / "config.json"))[0]
    tokens, lengths = batch
    pad = torch.arange(16) >= lengths[:, None]
    x = network(tokens, lengths, layer=0)
    for layer in network.layers:
        twin = torch.nn.TransformerEncoderLayer(WIDTH, 2, 32, dropout=0, batch_first=True, layer_norm_eps=1e-12).eval()
        parts = (layer.query, layer.key, layer.value)
        twin.load_state_dict(
            {
                "self_attn.in_proj_weight": torch.cat([part.weight for part in parts]),
                "self_attn.in_proj_bias": torch.cat([part.bias for part in parts]),
                "self_attn.out_proj.weight": layer.joined.weight,
                "self_attn.out_proj.bias": layer.joined.bias,
                "norm1.weight": layer.attended.weight,
                "norm1.bias": layer.attended.bias,
                "linear1.weight": layer.wide.weight,
                "linear1.bias": layer.wide.bias,
                "linear2.weight": layer.narrow.weight,
                "linear2.bias": layer.narrow.bias,
                "norm2.weight": layer.norm.weight,
                "norm2.bias": layer.norm.bias,
            }
        )
        x = twin(x, src_key_padding_mask=pad)
    found = network(tokens, lengths, layer=LAYERS)
    assert torch.allclose(found[~pad], x[~pad], atol=1e-5)


def test_old_names_are_the_same_model(tmp_path: Path, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    tokens, lengths = batch
    found = []
    for weights in ("safetensors", "bin", "old"):
        folder = write_model(tmp_path / weights, weights=weights)
        network = read_network(folder, read_shape(folder / "config.json"))[0]
        found.append(network(tokens, lengths, layer=2))
    assert all(torch.equal(found[0], other) for other in found[1:])


def test_pooled_by_hand() -> None:
    vectors = torch.arange(24.0).reshape(2, 4, 3)
    lengths = torch.tensor([4, 3])
    assert torch.equal(pooled(vectors, lengths, mode="cell", ends=False)[1], vectors[1, :3].mean(0))
    assert torch.equal(pooled(vectors, lengths, mode="cell", ends=True)[0], vectors[0, 1:3].mean(0))
    assert torch.equal(pooled(vectors, lengths, mode="cell", ends=True)[1], vectors[1, 1])
    assert torch.equal(pooled(vectors, lengths, mode="cls", ends=True), vectors[:, 0])
    # What stands at padding is noise, even where it is not a number.
    vectors[1, 3] = torch.nan
    assert torch.equal(pooled(vectors, lengths, mode="cell", ends=False)[1], vectors[1, :3].mean(0))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hidden_act": "swish"}, "hidden_act 'swish', not one of 'relu', 'gelu'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type 'relative_key', not 'absolute'"),
        ({"model_type": "gpt2"}, "model_type 'gpt2', not 'bert'"),
        ({"num_attention_heads": 3}, "hidden_size 16, no multiple of 3 heads"),
        ({"vocab_size": None}, "cannot be read as one"),
    ],
)
def test_other_networks_are_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    write_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | change))
    with pytest.raises(ValueError, match=said):
        Geneformer.load(tmp_path)


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    write_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | {"intermediate_size": 64}))
    with pytest.raises(
        ValueError, match=r"of another shape \(first: 'layers.0.wide.weight \(32, 16\), not \(64, 16\)'"
    ):
        Geneformer.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    some = {name: tensor for name, tensor in tensors().items() if "layer.1.attention" not in name}
    save_file(some, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"10 missing \(first: 'layers.1.query.weight'"):
        Geneformer.load(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"should hold model.safetensors or pytorch_model.bin"):
        Geneformer.load(tmp_path)
    (tmp_path / "config.json").write_text("<html>")
    with pytest.raises(ValueError, match="should be the configuration of a BERT model"):
        Geneformer.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="is none"):
        Geneformer.load(tmp_path / "absent")
