"""The published target combinations, pair by pair, and what they are worth."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from galenic.data.read.target_pairs import gene_list, gene_weights, pair_tables
from galenic.explain import known_pairs, match_known, score_diseases, target_combinations
from galenic.explain.target_published import published_pairs, scaled

pytestmark = pytest.mark.real
EXACT = 1e-12


@pytest.fixture(scope="module")
def known(deeppert_folder: Path) -> pd.DataFrame:
    names = ("target_pair_information", "target_pair_to_drug_combination", "drug_combination_clinical_phase")
    return known_pairs(*pair_tables(*(deeppert_folder / "target_combination" / f"{name}.tsv.gz" for name in names)))


@pytest.fixture(scope="module")
def weights(deeppert_folder: Path) -> pd.DataFrame:
    return gene_weights(deeppert_folder / "target_combination" / "OV7_ensemble_gene_importance_95L.tsv.gz", ["EGFR"])


def found(weights: pd.DataFrame, known: pd.DataFrame, disease: str = "Ovarian Cancer", **named: object):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return target_combinations(weights, known, disease=disease, **named)


def test_joined_tables_are_the_published_ones(known: pd.DataFrame, deeppert_folder: Path) -> None:
    published = pd.read_csv(
        deeppert_folder / "target_combination" / "known_target_combinations.csv.gz", index_col=0
    ).rename(columns={"genename1": "gene_a", "genename2": "gene_b", "fd_name": "disease"})
    assert len(known) == 3297
    pd.testing.assert_frame_equal(known[published.columns], published.reset_index(drop=True), check_dtype=False)


def test_scaled_matrix_is_the_published_one(weights: pd.DataFrame, deeppert_folder: Path) -> None:
    golden = pd.read_csv(deeppert_folder / "golden" / "published_Colorectal_target_essential.csv.gz", index_col=0)
    pd.testing.assert_frame_equal(scaled(weights.drop(index="dose")), golden, rtol=0, atol=EXACT, check_names=False)


RUNS = {
    "rerun_eval_{}.csv": {"threshold": 0.8, "n_pairs": 100},
    "rerun_auto_50_{}.csv": {"threshold": "auto", "n_pairs": 50},
    "rerun_auto_100_{}.csv": {"threshold": "auto", "n_pairs": 100},
    "published_{}.csv.gz": {"threshold": "auto", "n_pairs": 50},
}


@pytest.mark.parametrize("name", RUNS)
def test_every_pair_and_score_is_the_published_one(
    weights: pd.DataFrame, known: pd.DataFrame, deeppert_folder: Path, name: str
) -> None:
    golden = pd.read_csv(deeppert_folder / "golden" / name.format("target_combinations"))
    result = found(weights, known, as_published=True, **RUNS[name])
    assert result.pairs["gene_a"].tolist() == golden["GeneA"].tolist()
    assert result.pairs["gene_b"].tolist() == golden["GeneB"].tolist()
    columns = {"a_score": "ClustA_Score", "b_score": "ClustB_Score", "score": "Total_Score", "r": "PairCorr_Signed"}
    for own, theirs in columns.items():
        np.testing.assert_allclose(result.pairs[own], golden[theirs], rtol=0, atol=EXACT)
    assert result.columns == ("10", "89")
    statistics = pd.read_csv(deeppert_folder / "golden" / name.format("match_statistics"))
    match = match_known(result.pairs, known, "Ovarian Cancer", result.candidates, steps=statistics["TOP_N"].tolist())
    assert match.table["listed"].tolist() == statistics["Total_Pairs"].tolist()
    assert match.table["hits"].tolist() == statistics["Matched_Pairs"].tolist()
    np.testing.assert_allclose(match.table["rate"], statistics["Match_Rate"], rtol=0, atol=EXACT)
    assert (match.n_known, match.n_pairs) == (4, 55)


def test_clusters_are_those_of_the_source(weights: pd.DataFrame, known: pd.DataFrame, deeppert_folder: Path) -> None:
    golden = json.loads((deeppert_folder / "golden" / "rerun_ov_gene_clusters_top50_k4.json").read_text())
    result = found(weights, known, as_published=True)
    reference = result.clusters[result.clusters["role"] == "reference"]
    own = {f"Cluster {number}": rows["gene"].tolist() for number, rows in reference.groupby("cluster")}
    assert {name: sorted(genes) for name, genes in own.items()} == {
        name: sorted(genes) for name, genes in golden.items()
    }
    candidates = result.clusters[result.clusters["role"] == "candidate"]
    assert len(candidates) == 11
    assert (candidates["cluster"] == 4).all()


def test_pairs_of_the_other_published_matrix(deeppert_folder: Path) -> None:
    """31 pairs of two clusters, of a matrix whose raw weights are not public; columns 10 and 90, threshold 0.6."""
    matrix = pd.read_csv(deeppert_folder / "golden" / "published_Ovarian_target_essential.csv.gz", index_col=0)
    golden = pd.read_csv(deeppert_folder / "golden" / "published_target_pair_comb_NEW.csv.gz")
    groups = {frozenset({"pik3ca", "notch1", "erbb3", "chek1", "mknk1", "parp1"}): 15}
    groups[frozenset({*golden["GeneA"], *golden["GeneB"]} - set(*groups))] = 16
    tables = []
    for genes, n in groups.items():
        symbols = [name for name in matrix.index if name.lower() in genes]
        tables.append(published_pairs(matrix, symbols, ("10", "90"), 0.6))
        assert len(tables[-1]) == n
    own = pd.concat(tables).sort_values("score", ascending=False, ignore_index=True)
    assert [frozenset(pair) for pair in own[["gene_a", "gene_b"]].to_numpy()] == [
        frozenset(pair) for pair in golden[["GeneA", "GeneB"]].to_numpy()
    ]
    for name, theirs in {"a_score": "ClustA_Score", "b_score": "ClustB_Score", "r": "PairCorr_Signed"}.items():
        np.testing.assert_allclose(own[name], golden[theirs], rtol=0, atol=EXACT)


@pytest.mark.parametrize(("threshold", "n_diseases", "hits", "expected"), [(0.8, 22, 59, 63.7), ("auto", 24, 82, 84.5)])
def test_matches_over_all_diseases_are_no_more_than_chance(
    weights: pd.DataFrame, known: pd.DataFrame, threshold: float | str, n_diseases: int, hits: int, expected: float
) -> None:
    rows = []
    for disease in pd.unique(known["disease"]):
        try:
            result = found(weights, known, disease, threshold=threshold, as_published=True)
        except ValueError:
            continue  # fewer than two genes are measured
        if len(result.pairs):
            match = match_known(result.pairs, known, disease, result.candidates, steps=[100], n_permutations=1)
            rows.append(match.table.iloc[0])
    table = pd.DataFrame(rows)
    assert len(table) == n_diseases
    assert table["hits"].sum() == hits
    assert table["expected"].sum() == pytest.approx(expected, abs=0.06)


def test_no_ranking_by_weights_reaches_a_floor(weights: pd.DataFrame, known: pd.DataFrame) -> None:
    table = score_diseases(weights, known, drop=["dose"])
    auroc = table.groupby("method")["auroc"].mean()
    assert table["disease"].nunique() == 13
    assert auroc["importance"] == pytest.approx(0.52, abs=0.005)
    assert auroc["correlation"] == pytest.approx(0.46, abs=0.005)
    assert auroc["popularity"] == pytest.approx(0.75, abs=0.015)
    assert auroc["residual"] == pytest.approx(0.48, abs=0.005)
    assert auroc["known elsewhere"] > auroc["popularity"]
    assert not (table.loc[~table["is_floor"], "q_value"] < 0.05).any()
    lung = table[(table["disease"] == "Lung Cancer") & (table["method"] == "popularity")].iloc[0]
    assert (lung["n_candidates"], lung["n_known"]) == (40, 28)


def test_what_the_weights_are(weights: pd.DataFrame, known: pd.DataFrame, deeppert_folder: Path) -> None:
    assert weights.shape == (979, 95)
    with pytest.raises(ValueError, match="'dose' is neither"):
        target_combinations(weights, known, disease="Ovarian Cancer")
    with pytest.warns(UserWarning, match=r"One component holds 99\.4 %"):
        result = target_combinations(weights, known, disease="Ovarian Cancer", drop=["dose"])
    assert result.effective_rank == pytest.approx(1.04, abs=0.01)
    assert result.pairs["known"].sum() == 4
    assert gene_list(deeppert_folder / "target_combination" / "nash_candidate_genes.csv.gz")[:2] == ["ACACB", "FASN"]
