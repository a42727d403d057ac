"""Tiny models of Geneformer, laid out in folders as they are published, with random weights."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file
from scipy import sparse

SPECIAL = {"v1": ["<pad>", "<mask>"], "v2": ["<pad>", "<mask>", "<cls>", "<eos>"]}
VOCAB, WIDTH, LAYERS, POSITIONS = 50, 16, 2, 16
CONFIG: dict[str, Any] = {
    "architectures": ["BertForMaskedLM"],
    "model_type": "bert",
    "vocab_size": VOCAB,
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": POSITIONS,
    "type_vocab_size": 2,
    "hidden_act": "relu",
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
    "attention_probs_dropout_prob": 0.02,
    "hidden_dropout_prob": 0.02,
}


def genes_of(series: str) -> list[str]:
    """Ensembl ids of the genes that have a token."""
    return [f"ENSG{100 + number:011d}" for number in range(VOCAB - len(SPECIAL[series]))]


def dictionaries(series: str) -> dict[str, dict[str, Any]]:
    """Tokens, medians, symbols and a map of replaced ids, as they are published."""
    genes = genes_of(series)
    medians = np.random.default_rng(1).lognormal(size=len(genes))
    return {
        "token_dictionary": {name: number for number, name in enumerate([*SPECIAL[series], *genes])},
        "gene_median_dictionary": dict(zip(genes, medians, strict=True)),
        "gene_name_id_dict": {f"SYM{number}": gene for number, gene in enumerate(genes)},
        "ensembl_mapping_dict": {"ENSG00000999999": genes[3], **{gene: gene for gene in genes}},
    }


def tensors(config: dict[str, Any] = CONFIG) -> dict[str, torch.Tensor]:
    """Random weights by their published names."""
    rng, f, vocab = np.random.default_rng(0), CONFIG["intermediate_size"], config["vocab_size"]
    shapes = {"embeddings.word_embeddings.weight": (vocab, WIDTH)}
    shapes["embeddings.position_embeddings.weight"] = (config["max_position_embeddings"], WIDTH)
    shapes["embeddings.token_type_embeddings.weight"] = (2, WIDTH)
    shapes |= {f"embeddings.LayerNorm.{part}": (WIDTH,) for part in ("weight", "bias")}
    for i in range(LAYERS):
        at = f"encoder.layer.{i}."
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            shapes |= {f"{at}{part}.weight": (WIDTH, WIDTH), f"{at}{part}.bias": (WIDTH,)}
        for part in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{at}{part}.weight": (WIDTH,), f"{at}{part}.bias": (WIDTH,)}
        shapes |= {f"{at}intermediate.dense.weight": (f, WIDTH), f"{at}intermediate.dense.bias": (f,)}
        shapes |= {f"{at}output.dense.weight": (WIDTH, f), f"{at}output.dense.bias": (WIDTH,)}
    named = {
        f"bert.{name}": torch.tensor(rng.normal(0, 0.5, shape), dtype=torch.float32) for name, shape in shapes.items()
    }
    named["cls.predictions.bias"] = torch.zeros(vocab)
    named["cls.predictions.transform.dense.weight"] = torch.eye(WIDTH)
    named["cls.predictions.transform.dense.bias"] = torch.zeros(WIDTH)
    named["cls.predictions.transform.LayerNorm.weight"] = torch.ones(WIDTH)
    named["cls.predictions.transform.LayerNorm.bias"] = torch.zeros(WIDTH)
    return named


def write_model(
    folder: Path,
    series: str = "v1",
    *,
    weights: str = "safetensors",
    kind: str = "pkl",
    config: dict[str, Any] | None = None,
) -> Path:
    """A folder with configuration (``config`` is what differs in it), weights and dictionaries.

    ``weights``: "safetensors", "bin", or "old" (a bin with the names of old files); ``kind``: "pkl" or "json".
    """
    folder.mkdir(parents=True, exist_ok=True)
    whole = {**CONFIG, **(config or {})}
    (folder / "config.json").write_text(json.dumps(whole))
    named = tensors(whole)
    if weights == "safetensors":
        save_file(named, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        if weights == "old":
            named = {
                name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
                for name, tensor in named.items()
            } | {"bert.embeddings.position_ids": torch.arange(POSITIONS)[None]}
        torch.save(named, folder / "pytorch_model.bin")
    for name, content in dictionaries(series).items():
        if kind == "pkl":
            (folder / f"{name}.pkl").write_bytes(pickle.dumps(content))
        else:
            (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def cells(series: str = "v1", n: int = 12, seed: int = 0) -> anndata.AnnData:
    """Counts of all genes that have a token and one that has none, in cells of unlike depth."""
    rng = np.random.default_rng(seed)
    names = [*genes_of(series), "ENSG00000555555"]
    depth = rng.uniform(0.05, 0.9, size=(n, 1))
    X = rng.poisson(3.0, size=(n, len(names))) * (rng.random((n, len(names))) < depth)
    X[:, 0] += 1
    obs = pd.DataFrame(index=[f"cell {number}" for number in range(n)])
    return anndata.AnnData(sparse.csr_matrix(X.astype(np.float32)), obs=obs, var=pd.DataFrame(index=names))
