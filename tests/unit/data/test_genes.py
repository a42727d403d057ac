"""Gene names: one form for all spellings, nothing merged in silence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from galenic.data.genes import clean_names, kind_of_names, look_like_mouse, standardise_genes


def expression(columns, rng, rows=4):
    return pd.DataFrame(rng.normal(size=(rows, len(columns))).astype(np.float32), columns=columns)


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("TP53 (7157)", "TP53"),
        ("TP53..7157.", "TP53"),
        ("HLA-A (3105)", "HLA-A"),
        ("TSPAN6 (ENSG00000000003)", "TSPAN6"),
        ("ENSG00000141510.16", "ENSG00000141510"),
        ("ENSG00000182378.14_PAR_Y", "ENSG00000182378_PAR_Y"),
        ("RP11-34P13.7", "RP11-34P13.7"),
        ("C1orf112", "C1orf112"),
        (" EGFR ", "EGFR"),
        (None, ""),
        (np.nan, ""),
    ],
)
def test_names_are_cleaned(name, clean):
    assert clean_names([name]) == [clean]
    assert clean_names([clean]) == [clean], "cleaning twice changes nothing"


def test_kinds_of_names():
    assert kind_of_names(["ENSG00000141510.16", "ENSMUSG00000059552", "X"]) == "ensembl"
    assert kind_of_names(["7157", "1956"]) == "entrez"
    assert kind_of_names(["TP53", "EGFR (1956)"]) == "symbol"
    assert kind_of_names(["", "?"]) == "unknown"
    assert kind_of_names([]) == "unknown"


def test_mouse_is_told_from_human_and_from_placeholders():
    assert look_like_mouse(["Trp53", "Egfr", "Kras", "Myc"])
    assert not look_like_mouse(["TP53", "C1orf112", "HLA-A"])
    assert not look_like_mouse([f"Gene{i}" for i in range(50)])
    assert not look_like_mouse([])


def test_mouse_genes_are_kept_with_a_warning(rng):
    with pytest.warns(UserWarning, match="look like mouse"):
        table, _ = standardise_genes(expression(["Trp53", "Egfr", "Kras"], rng))
    assert list(table.columns) == ["Trp53", "Egfr", "Kras"]


def test_repeats_become_their_mean_like_a_naive_loop(rng):
    table = expression(["TP53 (7157)", "EGFR (1956)", "TP53..7157.", "KRAS", "EGFR"], rng)
    table.iloc[0, 0] = np.nan
    before = table.copy()
    with pytest.warns(UserWarning, match="2 genes of expression stand more than once"):
        merged, coverage = standardise_genes(table)
    pd.testing.assert_frame_equal(table, before)
    assert list(merged.columns) == ["TP53", "EGFR", "KRAS"]
    for name, places in {"TP53": [0, 2], "EGFR": [1, 4], "KRAS": [3]}.items():
        loop = [np.nanmean([table.iloc[row, place] for place in places]) for row in range(len(table))]
        np.testing.assert_allclose(merged[name], loop, rtol=1e-6)
    assert coverage.set_index("step").loc["expression repeated genes", ["kept", "dropped"]].tolist() == [3, 2]
    with pytest.raises(ValueError, match=r"2 stand more than once.*duplicates='mean'"):
        standardise_genes(table, duplicates="refuse")


def test_ensembl_becomes_symbols_whatever_the_versions(rng):
    table = expression(["ENSG00000141510.16", "ENSG00000146648", "ENSG00000999999.1"], rng)
    mapping = {"ENSG00000141510": "TP53", "ENSG00000146648.17": "EGFR"}
    genes, coverage = standardise_genes(table, symbols=mapping)
    assert list(genes.columns) == ["TP53", "EGFR"]
    np.testing.assert_array_equal(genes.to_numpy(), table.iloc[:, :2].to_numpy())
    assert coverage["dropped"].tolist() == [1, 0]
    assert "ENSG00000999999.1" in coverage["examples"][0]
    with pytest.raises(ValueError, match="knows none"):
        standardise_genes(table, symbols={"ENSG00000000001": "X"})


def test_symbols_need_no_table(rng):
    table = expression(["TP53", "EGFR"], rng)
    genes, _ = standardise_genes(table, symbols={"ENSG00000141510": "TP53"})
    assert list(genes.columns) == ["TP53", "EGFR"]


def test_aliases_do_not_run_into_genes_that_are_there(rng):
    table = expression(["MLL2", "KMT2B", "WDR33"], rng)
    genes, _ = standardise_genes(table, aliases={"MLL2": "KMT2D", "WDR33": "KMT2B"})
    assert list(genes.columns) == ["KMT2D", "KMT2B", "WDR33"]


def test_genes_without_a_name_leave(rng):
    genes, coverage = standardise_genes(expression(["TP53", "", "EGFR"], rng))
    assert list(genes.columns) == ["TP53", "EGFR"]
    assert coverage["dropped"].sum() == 1
    with pytest.raises(ValueError, match="'mean' or 'refuse'"):
        standardise_genes(genes, duplicates="first")
