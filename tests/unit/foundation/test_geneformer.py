"""Cells to vectors: laws of the whole encoder."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from geneformer_folder import CONFIG, LAYERS, POSITIONS, WIDTH, cells, dictionaries, genes_of, tensors, write_model
from scipy import sparse

from galenic.foundation import Geneformer

SERIES = [("v1", "cell"), ("v2", "cell"), ("v2", "cls")]


@pytest.fixture(params=SERIES, ids="-".join)
def encoder(request: pytest.FixtureRequest, tmp_path: Path) -> Geneformer:
    series, mode = request.param
    return Geneformer.load(write_model(tmp_path / "model", series), mode=mode)


def series_of(encoder: Geneformer) -> str:
    return "v1" if encoder.dictionaries_.ends is None else "v2"


def embed(encoder: Geneformer, adata: anndata.AnnData, **how: Any) -> np.ndarray:
    return encoder.embed(adata, device="cpu", **how)


def test_equals_published_steps_a_cell_at_a_time(encoder: Geneformer) -> None:
    """A plain loop from counts to the vector, on torch's own layers."""
    series = series_of(encoder)
    given, adata = dictionaries(series), cells(series)
    tokens, medians = given["token_dictionary"], given["gene_median_dictionary"]
    expected = []
    for row in adata.X.toarray().astype(float):
        values = {
            gene: count / row.sum() * 10_000 / medians[gene]
            for gene, count in zip(adata.var_names, row, strict=True)
            if gene in tokens and count > 0
        }
        ranked = [tokens[gene] for gene in sorted(values, key=lambda gene: (-values[gene], tokens[gene]))]
        if series == "v2":
            ranked = [2, *ranked[: POSITIONS - 2], 3]
        states = reference_states(torch.tensor(ranked[:POSITIONS]))[LAYERS - 1]
        if encoder.mode == "cls":
            expected.append(states[0])
        else:
            expected.append(states[1 : len(ranked) - 1].mean(0) if series == "v2" else states.mean(0))
    np.testing.assert_allclose(embed(encoder, adata), torch.stack(expected).numpy(), atol=1e-5)


def reference_states(tokens: torch.Tensor) -> list[torch.Tensor]:
    """Hidden states of one cell, written out."""
    w = {name[5:]: tensor for name, tensor in tensors().items() if name.startswith("bert.")}

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + CONFIG["layer_norm_eps"]).sqrt()
        return x * w[f"{name}.weight"] + w[f"{name}.bias"]

    x = w["embeddings.word_embeddings.weight"][tokens] + w["embeddings.position_embeddings.weight"][: len(tokens)]
    states = [norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")]
    for i in range(LAYERS):
        x, at, half = states[-1], f"encoder.layer.{i}.", WIDTH // 2
        q, k, v = (linear(x, f"{at}attention.self.{part}") for part in ("query", "key", "value"))
        heads = [slice(0, half), slice(half, WIDTH)]
        mixed = [torch.softmax(q[:, one] @ k[:, one].T / half**0.5, -1) @ v[:, one] for one in heads]
        x = norm(x + linear(torch.cat(mixed, -1), f"{at}attention.output.dense"), f"{at}attention.output.LayerNorm")
        wide = linear(x, f"{at}intermediate.dense").relu()
        states.append(norm(x + linear(wide, f"{at}output.dense"), f"{at}output.LayerNorm"))
    return states


def test_alone_as_in_company_and_in_any_batch(encoder: Geneformer) -> None:
    adata = cells(series_of(encoder))
    together = embed(encoder, adata)
    assert together.dtype == np.float32
    assert together.shape == (adata.n_obs, WIDTH)
    alone = np.concatenate([embed(encoder, adata[[row]]) for row in range(adata.n_obs)])
    np.testing.assert_allclose(alone, together, atol=1e-5)
    for how in ({"max_tokens_in_batch": 20}, {"chunk_cells": 5}, {"chunk_cells": 1, "max_tokens_in_batch": 1}):
        np.testing.assert_allclose(embed(encoder, adata, **how), together, atol=1e-5)


def test_order_names_and_form_of_the_data_do_not_matter(encoder: Geneformer, rng: np.random.Generator) -> None:
    series = series_of(encoder)
    adata = cells(series)
    expected = embed(encoder, adata)
    order = rng.permutation(adata.n_vars)
    np.testing.assert_array_equal(embed(encoder, adata[:, order]), expected)
    symbols = {gene: f"SYM{number}" for number, gene in enumerate(genes_of(series))}
    named = adata.copy()
    named.var_names = [symbols.get(gene, gene) for gene in adata.var_names]
    np.testing.assert_array_equal(embed(encoder, named), expected)
    named.var["versions"] = [f"{gene}.7_X" for gene in adata.var_names]
    np.testing.assert_array_equal(embed(encoder, named, genes="versions"), expected)
    for X in (adata.X.toarray(), sparse.csc_matrix(adata.X), adata.X.astype(np.int64)):
        np.testing.assert_array_equal(embed(encoder, anndata.AnnData(X, adata.obs, adata.var)), expected)
    layered = anndata.AnnData(np.zeros(adata.shape), adata.obs, adata.var, layers={"counts": adata.X})
    np.testing.assert_array_equal(embed(encoder, layered, layer="counts"), expected)


def test_backed_on_disk(encoder: Geneformer, tmp_path: Path) -> None:
    adata = cells(series_of(encoder))
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    np.testing.assert_array_equal(embed(encoder, backed, chunk_cells=5), embed(encoder, adata, chunk_cells=5))
    backed.file.close()


def test_repeated_columns_are_summed(encoder: Geneformer) -> None:
    adata = cells(series_of(encoder))
    half = np.floor(adata.X.toarray() / 2)
    twice = anndata.AnnData(
        np.concatenate([half, adata.X.toarray() - half], axis=1),
        adata.obs,
        pd.DataFrame(index=[*adata.var_names, *(f"{gene}.2" for gene in adata.var_names)]),
    )
    np.testing.assert_array_equal(embed(encoder, twice), embed(encoder, adata))


def test_cells_without_tokens_are_kept_and_told(encoder: Geneformer) -> None:
    adata = cells(series_of(encoder))
    X = adata.X.toarray()
    X[[2, 5]] = 0
    X[5, -1] = 9  # it expresses one gene, which has no token
    empty = anndata.AnnData(X, adata.obs, adata.var)
    with pytest.warns(UserWarning, match="2 of 12 do not .*'cell 2', 'cell 5'"):
        found = embed(encoder, empty)
    assert np.isnan(found).any(axis=1).nonzero()[0].tolist() == [2, 5]
    assert np.isnan(found[2]).all()
    others = np.setdiff1d(np.arange(12), [2, 5])
    np.testing.assert_allclose(found[others], embed(encoder, adata)[others], atol=1e-5)
    coverage = encoder.coverage(empty).set_index("step")
    assert coverage.loc["cells", ["kept", "dropped"]].tolist() == [10, 2]


def test_coverage_counts(encoder: Geneformer) -> None:
    adata = cells(series_of(encoder))
    X = adata.X.toarray()
    table = encoder.coverage(adata).set_index("step")
    assert table.loc["counts", ["kept", "dropped"]].tolist() == [X[:, :-1].sum(), X[:, -1].sum()]
    fits = ((X[:, :-1] > 0).sum(axis=1) <= encoder.longest).sum()
    assert table.loc["whole cells", ["kept", "dropped"]].tolist() == [fits, 12 - fits]
    assert 0 < fits < 12
    assert table.loc["genes with a token", "dropped"] == 1


def test_inputs_and_random_state_stay(encoder: Geneformer) -> None:
    adata = cells(series_of(encoder))
    before, state = adata.copy(), torch.random.get_rng_state()
    np.testing.assert_array_equal(embed(encoder, adata), embed(encoder, adata))
    encoder.coverage(adata)
    assert (adata.X != before.X).nnz == 0
    assert [name for name in (*adata.obsm, *adata.layers) if name is not None] == []  # None is X to some versions
    pd.testing.assert_frame_equal(adata.var, before.var)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_in_other_processes_and_resumed(encoder: Geneformer, tmp_path: Path) -> None:
    adata = cells(series_of(encoder))
    expected = embed(encoder, adata)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # processes that start others, in some versions of Python
        np.testing.assert_allclose(embed(encoder, adata, chunk_cells=6, n_jobs=2), expected, atol=1e-5)
    kept = embed(encoder, adata, chunk_cells=5, checkpoint=tmp_path / "chunks")
    np.testing.assert_array_equal(embed(encoder, adata, chunk_cells=5, checkpoint=tmp_path / "chunks"), kept)
    other = Geneformer.load(tmp_path / "model", mode=encoder.mode, emb_layer=0)
    with pytest.raises(ValueError, match="emb_layer was -1, now 0"):
        embed(other, adata, chunk_cells=5, checkpoint=tmp_path / "chunks")


def test_bfloat16_is_near(encoder: Geneformer, tmp_path: Path) -> None:
    adata = cells(series_of(encoder))
    half = Geneformer.load(tmp_path / "model", mode=encoder.mode, precision="bfloat16")
    found, expected = embed(half, adata), embed(encoder, adata)
    assert 0 < np.abs(found - expected).max() < 0.2


def test_layers_differ_and_stay_in_range(tmp_path: Path) -> None:
    write_model(tmp_path)
    found = [embed(Geneformer.load(tmp_path, emb_layer=layer), cells()) for layer in (0, -1, -2)]
    assert all(np.abs(found[0] - other).max() > 0.1 for other in found[1:])
    with pytest.raises(ValueError, match="from -2 to 0"):
        Geneformer.load(tmp_path, emb_layer=-3)
    with pytest.raises(ValueError, match=r"0 \(the last layer\)"):
        Geneformer.load(tmp_path, emb_layer=1)
    with pytest.raises(ValueError, match="should be one of"):
        Geneformer.load(tmp_path, mode="gene")
    with pytest.raises(ValueError, match="begin with <cls>"):
        Geneformer.load(tmp_path, mode="cls")


def test_what_is_no_count_is_refused(encoder: Geneformer) -> None:
    adata = cells(series_of(encoder))
    logged = adata.copy()
    logged.X = np.log1p(adata.X.toarray())
    with pytest.raises(ValueError, match=r"counts are expected.*logarithms"):
        embed(encoder, logged)
    scaled = adata.copy()
    scaled.X = adata.X.toarray() - 1
    with pytest.raises(ValueError, match="should be finite and 0 or more"):
        embed(encoder, scaled)
    with pytest.raises(ValueError, match="genes should be a column of var"):
        embed(encoder, adata, genes="absent")
    with pytest.raises(ValueError, match="layer should be one of the data"):
        embed(encoder, adata, layer="absent")


def test_a_folder_of_another_series_says_so(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model")
    (model / "config.json").write_text(json.dumps(CONFIG | {"vocab_size": 60}))
    with pytest.raises(ValueError, match=r"\(60 tokens, <pad> = 0\); it has 50 tokens"):
        Geneformer.load(model)


def test_says_what_it_is(encoder: Geneformer) -> None:
    assert repr(encoder).startswith("Geneformer(2 layers of 16, up to ")


def test_settings_are_known_without_heavy_libraries() -> None:
    heavy = ["torch", "numpy", "pandas", "anndata", "scipy"]
    code = f"import sys, galenic.foundation.geneformer; print([one for one in {heavy} if one in sys.modules])"
    shown = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
    assert repr(Geneformer(mode="cls")) == "Geneformer(emb_layer=-1, mode='cls', precision='float32')"
    with pytest.raises(ValueError, match=r"Call Geneformer.load"):
        Geneformer().embed(cells())
