"""A file like the published weights of scFoundation, small and random, and what reads it the slow way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

HIDDEN, DEPTH, HEADS, BINS, PLACES, ALPHA = 24, 2, 3, 10, 36, 0.7
GENES = tuple(f"GENE{number}A" for number in range(PLACES - 2))


def checkpoint(*, hidden: int = HIDDEN, depth: int = DEPTH, heads: int = HEADS, places: int = PLACES) -> dict[str, Any]:
    """``{"config", "state_dict"}`` with the published names, decoder and all."""
    random = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random) * 0.3

    state = {
        "token_emb.mlp.weight": drawn(BINS, 1),
        "token_emb.mlp.bias": drawn(BINS),
        "token_emb.mlp2.weight": drawn(BINS, BINS),
        "token_emb.mlp2.bias": drawn(BINS),
        "token_emb.emb.weight": drawn(BINS, hidden),
        "token_emb.emb_mask.weight": drawn(1, hidden),
        "token_emb.emb_pad.weight": drawn(1, hidden),
        "pos_emb.weight": drawn(places + 1, hidden),
        "decoder_embed.weight": drawn(16, hidden),
        "decoder.performer.net.layers.0.0.fn.to_q.weight": drawn(16, 16),
        "decoder.norm.weight": drawn(16),
        "norm.weight": drawn(16),
        "to_final.weight": drawn(1, 16),
        "encoder.norm.weight": 1 + drawn(hidden),
        "encoder.norm.bias": drawn(hidden),
    }
    for layer in range(depth):
        reference = nn.TransformerEncoderLayer(hidden, heads, 4 * hidden, batch_first=True)
        for name, tensor in reference.state_dict().items():
            state[f"encoder.transformer_encoder.{layer}.{name}"] = drawn(*tensor.shape) + float("norm" in name)
    inside = {
        "encoder": {"hidden_dim": hidden, "depth": depth, "heads": heads, "module_type": "transformer"},
        "decoder": {"hidden_dim": 16, "depth": 1, "heads": 2, "dim_head": 8, "module_type": "performer"},
        "bin_num": BINS,
        "bin_alpha": ALPHA,
        "pad_token_id": 103,
        "mask_token_id": 102,
    }
    config = {
        "model": "mae_autobin",
        "model_config": {"mae_autobin": inside},
        "dataset_config": {"rnaseq": {"seq_len": places}},
    }
    return {"config": config, "state_dict": {f"model.{name}": tensor for name, tensor in state.items()}}


def write(path: Path) -> Path:
    """The file, with the same weights under the three published keys but for the bias of the last norm."""
    parts = {}
    for shift, key in enumerate(("cell", "rde", "gene")):
        parts[key] = checkpoint()
        parts[key]["state_dict"]["model.encoder.norm.bias"] += shift
    torch.save(parts, path)
    return path


def slow_tokens(counts: np.ndarray, depth: str) -> tuple[list[float], list[int]]:
    """Values and places of one cell by a loop over its genes."""
    total = sum(float(count) for count in counts)
    source = np.log10(total)
    number = float(depth[1:])
    made = {"t": lambda: number, "f": lambda: np.log10(total * number), "a": lambda: source + number}
    target = made[depth[0]]()
    values, places = [], []
    for place, count in enumerate(counts):
        if count > 0:
            values.append(float(np.log1p(count / total * 1e4)))
            places.append(place)
    return [*values, float(target), float(source)], [*places, len(counts), len(counts) + 1]


@torch.no_grad()
def slow_vector(part: dict[str, Any], values: list[float], places: list[int], pool: str = "all") -> np.ndarray:
    """Vector of one cell by torch's own layers, one cell at a time, as the published code goes about it."""
    state = {name.removeprefix("model."): tensor for name, tensor in part["state_dict"].items()}
    inside = part["config"]["model_config"]["mae_autobin"]
    value = torch.tensor(values, dtype=torch.float32)[:, None]
    active = nn.functional.leaky_relu(value @ state["token_emb.mlp.weight"].T + state["token_emb.mlp.bias"], 0.1)
    cross = active @ state["token_emb.mlp2.weight"].T + state["token_emb.mlp2.bias"]
    weight = torch.softmax(inside["bin_alpha"] * active + cross, dim=-1)
    x = (weight @ state["token_emb.emb.weight"] + state["pos_emb.weight"][places])[None]
    hidden, heads = inside["encoder"]["hidden_dim"], inside["encoder"]["heads"]
    for layer in range(inside["encoder"]["depth"]):
        reference = nn.TransformerEncoderLayer(hidden, heads, 4 * hidden, batch_first=True).train()
        for module in reference.modules():
            if isinstance(module, (nn.Dropout, nn.MultiheadAttention)):
                module.dropout = 0.0
                module.p = 0.0
        start = f"encoder.transformer_encoder.{layer}."
        reference.load_state_dict({k.removeprefix(start): v for k, v in state.items() if k.startswith(start)})
        x = reference(x)
    norm = nn.LayerNorm(hidden)
    norm.load_state_dict({"weight": state["encoder.norm.weight"], "bias": state["encoder.norm.bias"]})
    h = norm(x)[0]
    if pool == "max":
        return h.max(dim=0).values.numpy()
    return torch.cat([h[-1], h[-2], h[:-2].max(dim=0).values, h[:-2].mean(dim=0)]).numpy()
