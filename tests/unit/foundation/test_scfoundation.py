"""scFoundation on a small random checkpoint of the published layout: the same as torch's own layers, cell by cell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import anndata
import joblib
import numpy as np
import pytest
import torch
from anndata import AnnData
from scfoundation_cases import GENES, HIDDEN, checkpoint, slow_tokens, slow_vector, write
from scipy import sparse
from torch.nn.attention import SDPBackend, sdpa_kernel

from galenic.foundation import ScFoundation

N = 30


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("weights") / "models.ckpt")


@pytest.fixture
def counts() -> np.ndarray:
    """Cells of very different depth."""
    rng = np.random.default_rng(0)
    return rng.poisson(rng.gamma(0.5, 4, (N, 1)) + 0.1, (N, len(GENES))).astype(np.float32)


@pytest.fixture
def cells(counts: np.ndarray) -> AnnData:
    adata = AnnData(counts)
    adata.var_names, adata.obs_names = list(GENES), [f"cell {number}" for number in range(N)]
    return adata


def load(weights: Path, **fields) -> ScFoundation:
    return ScFoundation.load(weights, genes=GENES, **{"min_genes": 0, **fields})


def embed(encoder: ScFoundation, adata: AnnData, **how) -> np.ndarray:
    return encoder.embed(adata, device="cpu", **how)


@pytest.mark.parametrize("depth", ["t4", "t3.5", "f1", "f10", "a5", "a-0.5"])
@pytest.mark.parametrize("pool", ["all", "max"])
def test_vectors_are_those_of_torchs_own_layers(weights, cells, counts, depth, pool):
    found = embed(load(weights, depth=depth, pool=pool), cells)
    part = torch.load(weights)["cell"]
    expected = np.stack([slow_vector(part, *slow_tokens(cell, depth), pool=pool) for cell in counts])
    assert found.shape == (N, 4 * HIDDEN if pool == "all" else HIDDEN)
    assert found.std(axis=0).min() > 1e-3
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_four_parts_stand_in_the_published_order(weights, cells, counts):
    """S, T, maximum, mean; S and T are found by place, whichever of them comes last."""
    source, target, highest, mean = np.split(embed(load(weights), cells), 4, axis=1)
    part = torch.load(weights)["cell"]
    values, places = slow_tokens(counts[0], "t4")
    whole = slow_vector(part, values, places)
    swapped = slow_vector(part, values[:-2] + values[-1:] + values[-2:-1], places[:-2] + places[-1:] + places[-2:-1])
    np.testing.assert_allclose(np.concatenate([source[0], target[0]]), whole[: 2 * HIDDEN], atol=1e-5)
    np.testing.assert_allclose(np.concatenate([target[0], source[0]]), swapped[: 2 * HIDDEN], atol=1e-5)
    assert (highest >= mean - 1e-6).all()


def test_one_cell_is_as_in_a_batch(weights, cells):
    encoder = load(weights)
    together = embed(encoder, cells)
    alone = np.concatenate([embed(encoder, cells[i : i + 1]) for i in range(N)])
    np.testing.assert_allclose(alone, together, atol=2e-6)


@pytest.mark.parametrize("how", [{"chunk_cells": 1}, {"chunk_cells": 7, "max_tokens_in_batch": 60}, {"n_jobs": 2}])
def test_chunks_batches_and_processes_do_not_matter(weights, cells, how):
    encoder = load(weights)
    with joblib.parallel_config(backend="threading"):
        np.testing.assert_allclose(embed(encoder, cells, **how), embed(encoder, cells), atol=2e-6)


def test_what_stands_at_padding_does_not_matter(weights):
    net = load(weights).net_
    rng = torch.Generator().manual_seed(0)
    value, gene = torch.rand(2, 9, generator=rng), torch.randint(0, 34, (2, 9), generator=rng)
    real = torch.ones(2, 9, dtype=torch.bool)
    gene[:, 5:7] = torch.tensor([34, 35])
    gene[1, 7:], real[1, 7:], real[0, 7:] = torch.tensor([34, 35]), False, False
    for pool in ("all", "max"):
        net.pool = pool
        before = net({"value": value, "gene": gene}, real)
        value[:, 7:], gene[:, 7:] = 50.0, 11
        torch.testing.assert_close(net({"value": value, "gene": gene}, real), before)
        short = {"value": value[:, :7], "gene": gene[:, :7]}
        torch.testing.assert_close(net(short, real[:, :7]), before, atol=2e-6, rtol=0)


def test_order_of_the_genes_and_genes_beyond_do_not_matter(weights, cells, rng):
    encoder = load(weights)
    mixed = cells[:, rng.permutation(len(GENES))].copy()
    more = AnnData(np.concatenate([mixed.X, 9 * np.ones((N, 2), dtype=np.float32)], axis=1))
    more.var_names = [*mixed.var_names, "XIST", "ENSG00000000003"]
    assert np.array_equal(embed(encoder, mixed), embed(encoder, cells))
    assert np.array_equal(embed(encoder, more), embed(encoder, cells))


def test_sparse_dense_layers_and_files_give_the_same(weights, cells, counts, tmp_path):
    encoder = load(weights)
    expected = embed(encoder, cells)
    for made in (sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array, np.asarray):
        for dtype in (np.float64, np.int32):
            other = AnnData(made(counts.astype(dtype)), obs=cells.obs, var=cells.var)
            assert np.array_equal(embed(encoder, other), expected)
    layered = AnnData(np.log1p(counts), obs=cells.obs, var=cells.var, layers={"counts": counts})
    assert np.array_equal(embed(encoder, layered, layer="counts"), expected)
    for name, matrix in (
        ("dense", counts),
        ("csr", sparse.csr_matrix(counts)),
        ("csc", sparse.csc_matrix(counts)),
    ):
        AnnData(matrix, obs=cells.obs, var=cells.var).write_h5ad(tmp_path / f"{name}.h5ad")
        backed = anndata.read_h5ad(tmp_path / f"{name}.h5ad", backed="r")
        assert np.array_equal(embed(encoder, backed, chunk_cells=7), embed(encoder, cells, chunk_cells=7))
        assert encoder.coverage(backed).equals(encoder.coverage(cells))
        backed.file.close()


def test_nothing_is_written_into_the_data(weights, cells):
    before = cells.copy()
    encoder = load(weights)
    embed(encoder, cells)
    encoder.coverage(cells)
    assert np.array_equal(before.X, cells.X)
    assert before.obs.equals(cells.obs)
    assert before.var.equals(cells.var)
    assert not [name for name in (*cells.obsm, *cells.uns, *cells.layers) if name is not None]


@pytest.mark.filterwarnings("ignore:Variable names are not unique", "ignore:.* cells have fewer than")
def test_columns_of_one_gene_are_summed_and_missing_genes_are_zero(weights, cells, counts):
    encoder = load(weights)
    split = AnnData(np.concatenate([counts[:, :20] - counts[:, :20] // 2, counts[:, :20] // 2], axis=1))
    split.var_names = [*GENES[:20], *GENES[:20]]
    zeros = counts.copy()
    zeros[:, 20:] = 0
    few = AnnData(zeros)
    few.var_names = list(GENES)
    assert np.array_equal(embed(encoder, split), embed(encoder, few), equal_nan=True)


def test_a_resumed_run_is_that_without_interruption(weights, cells, tmp_path):
    script = f"""
import os, sys, anndata
from galenic.foundation import ScFoundation
from galenic.foundation.scfoundation import Prepared
first = Prepared.__call__
def dies(self, start, stop):
    if start >= 12:
        os._exit(9)
    return first(self, start, stop)
Prepared.__call__ = dies
encoder = ScFoundation.load({str(weights)!r}, genes={GENES!r}, min_genes=0)
encoder.embed(anndata.read_h5ad(sys.argv[1]), device="cpu", chunk_cells=4, checkpoint=sys.argv[2])
"""
    cells.write_h5ad(tmp_path / "cells.h5ad")
    command = [sys.executable, "-c", script, tmp_path / "cells.h5ad", tmp_path / "kept"]
    assert subprocess.run(command, timeout=100).returncode == 9
    assert len(list((tmp_path / "kept").glob("chunk-*.npy"))) == 3
    encoder = load(weights)
    found = embed(encoder, cells, chunk_cells=4, checkpoint=tmp_path / "kept")
    assert np.array_equal(found, embed(encoder, cells, chunk_cells=4))
    for fields in ({"depth": "a5"}, {"key": "rde"}, {"pool": "max"}):
        with pytest.raises(ValueError, match=f"{'weights' if 'key' in fields else next(iter(fields))} was"):
            embed(load(weights, **fields), cells, chunk_cells=4, checkpoint=tmp_path / "kept")


def test_each_key_is_another_model_and_one_part_alone_is_read(weights, cells, tmp_path):
    cell, rde = embed(load(weights), cells), embed(load(weights, key="rde"), cells)
    np.testing.assert_allclose(rde - cell, 1.0, atol=1e-5)
    torch.save(torch.load(weights)["rde"], tmp_path / "rde.ckpt")
    assert np.array_equal(embed(load(tmp_path / "rde.ckpt"), cells), rde)
    with pytest.raises(ValueError, match=r"'ce'.*it holds 'cell', 'rde', 'gene'"):
        load(weights, key="ce")


def changed(tmp_path: Path, change) -> Path:
    part = checkpoint()
    change(part)
    torch.save({"cell": part}, tmp_path / "models.ckpt")
    return tmp_path / "models.ckpt"


def test_only_what_is_needed_must_be_there(tmp_path, weights, cells):
    def without_decoder(part):
        for name in list(part["state_dict"]):
            if "decoder" in name or "to_final" in name or "emb_pad" in name or name == "model.norm.weight":
                del part["state_dict"][name]

    assert np.array_equal(embed(load(changed(tmp_path, without_decoder)), cells), embed(load(weights), cells))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda part: part["state_dict"].pop("model.pos_emb.weight"), r"1 missing \(first: 'pos_emb.weight'\)"),
        (lambda part: part["state_dict"].update({"model.more": torch.ones(1)}), r"1 without a place \(first: 'more'\)"),
        (
            lambda part: part["state_dict"].update({"model.encoder.norm.bias": torch.ones(3)}),
            r"encoder.norm.bias \(3,\), not \(24,\)",
        ),
        (lambda part: part["config"].update(model="performer"), "holds 'performer'"),
        (lambda part: part["config"]["model_config"]["mae_autobin"].pop("bin_alpha"), "does not say 'bin_alpha'"),
        (lambda part: part["config"]["dataset_config"]["rnaseq"].pop("seq_len"), "does not say 'seq_len'"),
        (lambda part: part["config"]["model_config"]["mae_autobin"]["encoder"].update(heads=5), "divide hidden_dim"),
        (lambda part: part["config"]["model_config"]["mae_autobin"]["encoder"].update(depth=3), "missing"),
        (
            lambda part: part["config"]["model_config"]["mae_autobin"]["encoder"].update(module_type="performer"),
            "'performer'",
        ),
        (lambda part: part.pop("config"), "should hold"),
    ],
)
def test_damaged_checkpoints_are_refused_in_words(tmp_path, change, said):
    with pytest.raises(ValueError, match=said):
        load(changed(tmp_path, change))


def test_every_value_of_the_configuration_counts(tmp_path, cells, weights):
    def other(part):
        part["config"]["model_config"]["mae_autobin"]["bin_alpha"] = 3.0

    assert np.abs(embed(load(changed(tmp_path, other)), cells) - embed(load(weights), cells)).max() > 0.01

    def heads(part):
        part["config"]["model_config"]["mae_autobin"]["encoder"]["heads"] = 4

    assert np.abs(embed(load(changed(tmp_path, heads)), cells) - embed(load(weights), cells)).max() > 0.01


def test_the_list_must_be_as_long_as_the_model_says(weights):
    with pytest.raises(ValueError, match=r"34 genes .* has 33"):
        ScFoundation.load(weights, genes=GENES[:-1])


def test_without_weights_there_are_no_vectors(cells):
    with pytest.raises(ValueError, match="has none yet"):
        ScFoundation().embed(cells)


def test_cells_with_few_genes_are_rows_of_nan_and_said(weights, cells, counts):
    fewest = int(np.median((counts > 0).sum(axis=1)))
    expected = (counts > 0).sum(axis=1) < fewest
    with pytest.warns(UserWarning, match=rf"{expected.sum()} of {N} cells have fewer than {fewest} genes"):
        found = embed(load(weights, min_genes=fewest), cells)
    assert np.isnan(found[expected]).all()
    np.testing.assert_allclose(found[~expected], embed(load(weights), cells)[~expected], atol=2e-6)


def test_half_the_bits_are_close(weights, cells):
    found, exact = embed(load(weights, precision="bfloat16"), cells), embed(load(weights), cells)
    assert 0 < np.abs(found - exact).max() < 0.2 * np.abs(exact).max()


def test_a_bad_file_is_refused_and_nothing_of_it_is_run(tmp_path):
    import os

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "flag"),)

    part = checkpoint()
    part["config"]["hook"] = Evil()
    torch.save({"cell": part}, tmp_path / "models.ckpt")
    with pytest.raises(ValueError, match="Nothing of it was run"):
        load(tmp_path / "models.ckpt")
    assert not (tmp_path / "flag").exists()


def test_long_samples_need_no_table_of_tokens_by_tokens(weights):
    """Attention of 6,000 tokens holds 3 x 6,000 x 6,000 numbers (432 MB) where it is written out."""
    from galenic.foundation.scfoundation_network import EncoderLayer

    def largest(work) -> float:
        with torch.inference_mode(), torch.profiler.profile(profile_memory=True) as profile:
            work()
        return max(event.cpu_memory_usage for event in profile.events())

    x, layer = torch.randn(1, 6_000, 24), EncoderLayer(24, 3).eval()
    with sdpa_kernel(SDPBackend.MATH):
        assert largest(lambda: layer(x, None)) > 400e6
    for seen in (None, torch.ones(1, 1, 1, 6_000, dtype=torch.bool)):
        assert largest(lambda: layer(x, seen)) < 60e6  # noqa: B023
