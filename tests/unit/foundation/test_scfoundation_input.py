"""From counts to what scFoundation reads: against a loop by hand, on made and on measured cells."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scfoundation_cases import GENES, slow_tokens, write
from scipy import sparse

from galenic.foundation import ScFoundation
from galenic.foundation.counts import CountRows
from galenic.foundation.scfoundation_fields import ScFoundationFields, depth
from galenic.foundation.scfoundation_genes import order_genes, read_genes
from galenic.foundation.scfoundation_input import tokens


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("weights") / "models.ckpt")


def named(X, names=GENES) -> AnnData:
    adata = AnnData(X)
    adata.var_names = list(names)
    return adata


def one_by_one(counts: np.ndarray, fields: ScFoundationFields, **more) -> list[tuple[list[float], list[int]]]:
    found = tokens(sparse.csr_matrix(counts), fields, **more)
    parts = [slice(found.indptr[i], found.indptr[i + 1]) for i in range(len(found))]
    return [(found.fields["value"][part].tolist(), found.fields["gene"][part].tolist()) for part in parts]


@pytest.mark.parametrize("setting", ["t4", "f1", "f0.5", "a5"])
def test_tokens_are_a_loop_by_hand(rng, setting):
    counts = rng.poisson(0.7, (12, 40)).astype(float)
    for cell, (values, places) in zip(
        counts, one_by_one(counts, ScFoundationFields(depth=setting, min_genes=0)), strict=True
    ):
        expected, where = slow_tokens(cell, setting)
        np.testing.assert_allclose(values, expected, rtol=1e-6)
        assert places == where


def test_the_depth_tokens_stay_where_they_are_not_above_zero():
    """One count in one gene: S = log10(1) = 0. What is left by the published code are the last two above 0."""
    ((values, places),) = one_by_one(np.array([[0.0, 1.0, 0.0]]), ScFoundationFields(depth="a-1", min_genes=0))
    assert places == [1, 3, 4]
    np.testing.assert_allclose(values, [np.log1p(1e4), -1.0, 0.0])


def test_cells_without_enough_genes_have_no_tokens():
    counts = np.array([[0.0, 0, 0], [1, 0, 0], [1, 2, 0], [1, 2, 3]])
    assert np.diff(tokens(sparse.csr_matrix(counts), ScFoundationFields(min_genes=2)).indptr).tolist() == [0, 0, 4, 5]
    assert np.diff(tokens(sparse.csr_matrix(counts), ScFoundationFields(min_genes=0)).indptr).tolist() == [0, 3, 4, 5]


def test_logged_cells_are_taken_as_they_are_with_the_depth_of_their_logarithms():
    logged = np.array([[0.0, 1.5, 2.5]])
    ((values, places),) = one_by_one(logged, ScFoundationFields(pre_normalised=True, min_genes=0, depth="f1"))
    np.testing.assert_allclose(values, [1.5, 2.5, np.log10(4.0), np.log10(4.0)], rtol=1e-6)
    found = tokens(
        sparse.csr_matrix(logged),
        ScFoundationFields(pre_normalised=True, min_genes=0, total_counts="n"),
        totals=np.array([5_000.0]),
    )
    np.testing.assert_allclose(found.fields["value"][-2:], [4.0, np.log10(5_000)], rtol=1e-6)
    assert places == [1, 2, 3, 4]


def test_bulk_is_scaled_to_one_total_and_logged(rng):
    counts = rng.poisson(30, (4, 6)).astype(float)
    fields = ScFoundationFields(kind="bulk", min_genes=0)
    for sample, (values, places) in zip(counts, one_by_one(counts, fields, target_sum=150.0), strict=True):
        expected = np.log1p(sample * 150.0 / sample.sum())
        np.testing.assert_allclose(values, [*expected, *[np.log10(expected.sum())] * 2], rtol=1e-6)
        assert places == list(range(8))
    logged = np.log1p(counts[:1])
    found = tokens(sparse.csr_matrix(logged), ScFoundationFields(kind="bulk", pre_normalised=True, min_genes=0))
    np.testing.assert_allclose(found.fields["value"], [*logged[0], logged.sum(), logged.sum()], rtol=1e-6)


def test_a_bulk_sample_depends_on_its_company_unless_the_total_is_given(weights, rng):
    counts = rng.poisson(rng.gamma(2, 20, (7, 1)), (7, len(GENES))).astype(np.float32)
    adata, how = named(counts), {"device": "cpu", "chunk_cells": 2}
    median = float(np.median(counts.sum(axis=1)))
    by_median = ScFoundation.load(weights, genes=GENES, kind="bulk", min_genes=0)
    fixed = ScFoundation.load(weights, genes=GENES, kind="bulk", min_genes=0, target_sum=median)
    assert np.array_equal(by_median.embed(adata, **how), fixed.embed(adata, **how))
    np.testing.assert_allclose(fixed.embed(adata[:2], **how), fixed.embed(adata, **how)[:2], atol=2e-6)
    assert np.abs(by_median.embed(adata[:2], **how) - by_median.embed(adata, **how)[:2]).max() > 1e-4
    why = by_median.coverage(adata).set_index("step").loc["total of bulk", "why"]
    assert f"{median:,.4g}" in why


def test_genes_are_put_in_order_summed_filled_and_dropped():
    order = order_genes(["B", "X", "A ", "B", "old", "ENSG00000000003.2"], ["A", "B", "C", "D"], aliases={"old": "D"})
    assert order.places.tolist() == [1, -1, 0, 1, 3, -1]
    rows = sparse.csr_matrix(np.array([[1.0, 50, 2, 3, 4, 60]]))
    assert order(rows).toarray().tolist() == [[2, 4, 0, 4]]
    logged = order(sparse.csr_matrix(np.log1p(rows.toarray())), logged=True).toarray()
    np.testing.assert_allclose(logged, np.log1p([[2.0, 4, 0, 4]]), rtol=1e-12)
    steps = pd.DataFrame(order.coverage()).set_index("step")
    assert steps[["kept", "dropped"]].to_numpy().tolist() == [[3, 1], [4, 2], [3, 1]]
    assert steps["examples"].tolist() == ["'C'", "'X', 'ENSG00000000003'", "'B'"]


def test_an_alias_never_displaces_a_gene_that_is_there():
    assert order_genes(["old", "A"], ["A", "B"], aliases={"old": "A"}).places.tolist() == [-1, 0]
    assert order_genes(["A", "B"], ["A", "B"], aliases={"A": "B"}).places.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["ENSG00000141510.16", "ENSG00000146648"], "look like ensembl"),
        (["7157", "1956"], "look like entrez"),
        (["Trp53", "Egfr", "Kras"], "look like those of mice"),
    ],
)
def test_other_names_are_refused(names, said):
    with pytest.raises(ValueError, match=said):
        order_genes(names, ["TP53", "EGFR", "KRAS"])


def test_few_genes_are_a_warning():
    with pytest.warns(UserWarning, match="knows 3 genes; 1 of them"):
        order_genes(["A", "X"], ["A", "B", "C"])


def test_the_list_is_read_from_the_published_table(tmp_path):
    (tmp_path / "genes.tsv").write_text("gene_name\tindex\nA1CF\t1\nA1BG\t0\nA2M\t2\n")
    assert read_genes(tmp_path / "genes.tsv") == ("A1BG", "A1CF", "A2M")
    for text, said in (
        ("gene_name\tindex\nA1CF\t1\nA1BG\t2\n", "number the genes from 0"),
        ("name\tplace\nA1CF\t1\nA1BG\t2\n", "column gene_name"),
        ("gene_name\tindex\nA1BG\t0\nA1BG\t1\n", "stand twice: 'A1BG'"),
    ):
        (tmp_path / "genes.tsv").write_text(text)
        with pytest.raises(ValueError, match=said):
            read_genes(tmp_path / "genes.tsv")
    with pytest.raises(ValueError, match="the list is empty"):
        read_genes([])


COUNTS = np.random.default_rng(1).poisson(2.0, (9, len(GENES))).astype(np.float32)
CP10K = np.log1p(COUNTS / COUNTS.sum(axis=1, keepdims=True) * 1e4)


@pytest.mark.parametrize(
    ("X", "fields", "said"),
    [
        (np.log1p(COUNTS), {}, "should hold counts.*logarithms.*np.expm1|layers"),
        (CP10K, {}, r"pre_normalised=True \(--pre-normalised\)"),
        (np.log2(COUNTS * 100 + 1), {"kind": "bulk"}, r"2 \*\* x - 1 undoes"),
        (COUNTS, {"pre_normalised": True}, "should hold logarithms.*whole numbers"),
        (COUNTS * 7.5, {"pre_normalised": True}, "should hold logarithms"),
        (COUNTS - 1, {}, "finite and 0 or more"),
        (CP10K - CP10K.mean(axis=0), {"pre_normalised": True}, "scaled, regressed"),
        (np.where(COUNTS == 3, np.nan, COUNTS), {}, "finite and 0 or more"),
        (np.where(COUNTS == 3, np.inf, COUNTS), {}, "finite and 0 or more"),
    ],
)
def test_numbers_that_contradict_are_refused(weights, X, fields, said):
    encoder = ScFoundation.load(weights, genes=GENES, min_genes=0, **fields)
    for ask in (lambda: encoder.embed(named(X), device="cpu"), lambda: encoder.coverage(named(X))):
        with pytest.raises(ValueError, match=said):
            ask()


def test_logarithms_to_another_total_are_a_warning(weights):
    encoder = ScFoundation.load(weights, genes=GENES, min_genes=0, pre_normalised=True)
    with pytest.warns(UserWarning, match="sums to"):
        encoder.embed(named(np.log1p(COUNTS * 1.5)), device="cpu")
    values = encoder.coverage(named(CP10K)).set_index("step").loc["values", "why"]
    assert "logarithms (undone, a cell sums to 10,000)" in values


def test_logged_cells_have_the_same_genes_and_values_as_their_counts(weights):
    """With the totals from obs, the same cells give the same vectors, logged or not."""
    raw = ScFoundation.load(weights, genes=GENES, min_genes=0)
    logged = ScFoundation.load(weights, genes=GENES, min_genes=0, pre_normalised=True, total_counts="n_counts")
    adata = named(CP10K)
    adata.obs["n_counts"] = COUNTS.sum(axis=1)
    np.testing.assert_allclose(logged.embed(adata, device="cpu"), raw.embed(named(COUNTS), device="cpu"), atol=1e-5)
    for broken in (0.0, np.nan, "many"):
        adata.obs["n_counts"] = [broken, *COUNTS.sum(axis=1)[1:]]
        with pytest.raises(ValueError, match="1 of 9 are not"):
            logged.embed(adata, device="cpu")
    del adata.obs["n_counts"]
    with pytest.raises(ValueError, match="n_counts"):
        logged.embed(adata, device="cpu")


def test_counts_with_fractions_are_counts(weights):
    encoder = ScFoundation.load(weights, genes=GENES, min_genes=0)
    adata = named(COUNTS * 7.5)
    assert "not whole" in encoder.coverage(adata).set_index("step").loc["values", "why"]
    assert np.isfinite(encoder.embed(adata, device="cpu")).all()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"depth": "x4"}, "depth should be"),
        ({"depth": "t"}, "depth should be"),
        ({"depth": "f-1"}, "depth should be"),
        ({"depth": "tnan"}, "depth should be"),
        ({"kind": "single cell"}, "kind should be one of"),
        ({"pool": "mean"}, "pool should be one of"),
        ({"min_genes": -1}, "min_genes should be"),
        ({"min_genes": 1.5}, "min_genes should be"),
        ({"pre_normalised": "yes"}, "pre_normalised should be"),
        ({"target_sum": 0.0, "kind": "bulk"}, "target_sum should be"),
        ({"target_sum": 1e6}, "target_sum is for counts of bulk"),
        ({"total_counts": "n"}, "total_counts is for logged"),
        ({"precision": "float16"}, "precision should be"),
    ],
)
def test_settings_are_checked(fields, said):
    with pytest.raises(ValueError, match=said):
        ScFoundationFields(**fields)
    assert depth("f2.5") == ("f", 2.5)


def test_rows_are_read_as_they_are_asked_for(tmp_path):
    adata = named(sparse.csr_matrix(COUNTS))
    assert np.array_equal(CountRows(adata)(2, 7).toarray(), COUNTS[2:7])
    with pytest.raises(ValueError, match="layer should be one of the data; 'raw'"):
        CountRows(adata, "raw")
    with pytest.raises(ValueError, match="is empty"):
        CountRows(AnnData(obs=pd.DataFrame(index=["a"])))
    bad = COUNTS.copy()
    bad[5, 3] = -2
    with pytest.raises(ValueError, match=r"rows 4 to 8 of X are 1 others \(first: -2 in '5'\)"):
        CountRows(named(bad))(4, 8)


@pytest.mark.real
def test_the_published_genes_and_measured_cells_by_hand(shared, tmp_path):
    """Ten cells and ten bulk samples in 19,264 genes: sums and values of tokens against a loop."""
    folder = shared / "singlecell"
    adata = anndata.read_h5ad(folder / "scfoundation_19264_demo.h5ad")
    genes = read_genes(folder / "dicts" / "scfoundation_19264_genes.tsv.gz")
    assert len(genes) == 19_264
    assert (genes[0], genes[-1]) == (adata.var_names[0], adata.var_names[-1])
    cells = adata[adata.obs["set"] == "baron_sc"].to_memory()
    mixed = cells[:, np.random.default_rng(0).permutation(cells.n_vars)[:9_000]].to_memory()
    with pytest.warns(UserWarning, match="9,000 of them"):
        order = order_genes(mixed.var_names, genes)
    whole = order_genes(cells.var_names, genes)
    for data, places in ((cells, whole), (mixed, order)):
        found = tokens(places(CountRows(data)(0, 10)), ScFoundationFields(depth="a5", min_genes=0))
        table = data.to_df().reindex(columns=list(genes)).fillna(0.0).to_numpy(dtype=float)
        for i, cell in enumerate(table):
            values, where = slow_tokens(cell, "a5")
            inside = slice(found.indptr[i], found.indptr[i + 1])
            np.testing.assert_allclose(found.fields["value"][inside], values, rtol=1e-6)
            assert found.fields["gene"][inside].tolist() == where
            assert where[-2:] == [19_264, 19_265]
    looks = {name: CountRows(adata[(adata.obs["set"] == name).to_numpy()]).look() for name in ("gdsc_bulk", "baron_sc")}
    assert looks["gdsc_bulk"].are_logged  # RMA is on a log scale, and would be logged twice
    assert not looks["baron_sc"].are_logged
