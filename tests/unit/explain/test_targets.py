"""Pairs of targets: planted pairs are found, noise is chance, order does not matter, bad input is told."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from galenic.explain import known_pairs, match_known, popularity, score_diseases, target_combinations
from galenic.explain.target_pairs import known_matrix, near, read_known
from galenic.explain.target_profiles import effective_rank, exceeded, random_pairs, residual_profiles
from galenic.explain.target_published import auto_threshold, published_pairs, scaled
from galenic.explain.target_scores import average_precision
from galenic.explain.targets import false_discovery


def weights_of(rng: np.random.Generator, n_genes: int = 300, n_variables: int = 30, noise: float = 0.2) -> pd.DataFrame:
    """Positive weights that all variables nearly agree on, as published ones are."""
    log = rng.normal(size=(n_genes, 1)) + noise * rng.normal(size=(n_genes, n_variables))
    return pd.DataFrame(np.exp(log), index=[f"G{i}" for i in range(n_genes)]).rename(columns="LV{}".format)


@pytest.fixture
def weights(rng: np.random.Generator) -> pd.DataFrame:
    return weights_of(rng)


@pytest.fixture
def known(rng: np.random.Generator) -> pd.DataFrame:
    """Random pairs of 24 genes in three diseases."""
    pairs = list(itertools.combinations([f"G{i}" for i in range(24)], 2))
    rows = [(*pairs[i], disease) for disease in ("x", "y", "z") for i in rng.choice(len(pairs), 30, replace=False)]
    return pd.DataFrame(rows, columns=["gene_a", "gene_b", "disease"])


def quiet(*args: object, **named: object):
    """Without the warning that variables are nearly copies, which is tested by itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return target_combinations(*args, **named)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_planted_pair_comes_first(rng: np.random.Generator, sign: int) -> None:
    """Two genes that are alike, or opposite, in what the variables do not share."""
    weights = weights_of(rng)
    own = rng.normal(size=30)
    for gene, size in (("G5", 1), ("G17", sign)):
        weights.loc[gene] = np.exp(rng.normal() + 0.2 * size * own)
    found = quiet(weights, candidates=[f"G{i}" for i in range(20)])
    first = found.pairs.iloc[0]
    assert {first["gene_a"], first["gene_b"]} == {"G5", "G17"}
    assert np.sign(first["r"]) == sign
    assert first["score"] > 0.9
    assert first["q_value"] < 0.05


def test_what_is_said_of_the_spectrum(rng: np.random.Generator) -> None:
    with pytest.warns(UserWarning, match="nearly copies of each other"):
        found = target_combinations(weights_of(rng, noise=0.05), candidates=["G1", "G2", "G3"])
    assert found.n_shared == 1
    assert found.effective_rank < 1.2
    assert found.residual_rank > 15
    free = weights_of(rng, noise=5)
    assert target_combinations(free, candidates=["G1", "G2"]).effective_rank > 15


def test_order_unit_and_monotone_changes_do_not_matter(rng: np.random.Generator, weights: pd.DataFrame) -> None:
    genes = [f"G{i}" for i in range(12)]
    before = weights.copy()
    expected = quiet(weights, candidates=genes, threshold="auto", n_pairs=None)
    turned = weights.sample(frac=1, random_state=1).sample(frac=1, axis=1, random_state=2)
    other = quiet(turned, candidates=genes[::-1], threshold="auto", n_pairs=None)
    pd.testing.assert_frame_equal(expected.ranking, other.ranking)
    assert expected.threshold == pytest.approx(other.threshold)
    curved = quiet(np.log(weights) * 3 + 7, candidates=genes)
    np.testing.assert_allclose(curved.ranking["r"].sort_values(), expected.ranking["r"].sort_values(), atol=1e-10)
    averaged = quiet(weights.assign(Average_Importance=weights.mean(axis=1)), candidates=genes)
    pd.testing.assert_frame_equal(averaged.ranking, expected.ranking)
    pd.testing.assert_frame_equal(weights, before)


def test_random_state_is_left_alone(weights: pd.DataFrame, known: pd.DataFrame) -> None:
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    found = quiet(weights, known, disease="x")
    match_known(found.ranking, known, "x", found.candidates, n_permutations=9)
    score_diseases(weights, known, n_permutations=9)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("n_variables", [2, 3, 7])
def test_any_number_of_variables(rng: np.random.Generator, n_variables: int) -> None:
    found = quiet(weights_of(rng, n_variables=n_variables), candidates=["g1", "G2", "G3"])
    assert len(found.pairs) == 3
    assert found.candidates == ("G1", "G2", "G3")
    assert len(found.columns) == n_variables
    assert found.n_shared <= n_variables - 2


def test_p_values_are_those_of_random_genes(weights: pd.DataFrame) -> None:
    found = quiet(weights, candidates=list(weights.index), threshold="auto", n_pairs=None)
    assert len(found.pairs) / len(found.ranking) == pytest.approx(0.05, abs=0.001)
    assert (found.pairs["score"] >= found.threshold).all()
    # Of all genes, the null is the ranking itself.
    np.testing.assert_allclose(
        found.ranking["p_value"], (found.ranking["rank"] + 1) / (len(found.ranking) + 1), atol=1e-9
    )
    np.testing.assert_allclose(found.ranking["q_value"], stats.false_discovery_control(found.ranking["p_value"]))


def test_the_pieces_agree_with_naive_ones(rng: np.random.Generator) -> None:
    values = rng.choice(np.arange(6.0), 40)
    truth = rng.random(40) < 0.3
    assert average_precision(truth, values) == pytest.approx(average_precision_score(truth, values))
    p = rng.random(9)
    np.testing.assert_allclose(false_discovery(p), stats.false_discovery_control(p))
    null = np.sort(rng.random(50))
    expected = [(1 + sum(one >= value for one in null)) / 51 for value in (0.2, 0.7, 2.0)]
    np.testing.assert_allclose(exceeded(null, np.array([0.2, 0.7, 2.0])), expected)
    assert effective_rank(np.array([1.0, 1.0, 0.0])) == pytest.approx(2)


def test_residual_profiles_hold_nothing_shared(weights: pd.DataFrame) -> None:
    found = residual_profiles(weights)
    np.testing.assert_allclose(np.linalg.norm(found.rows, axis=1), 1)
    z = stats.norm.ppf((stats.rankdata(weights, axis=0) - 0.5) / len(weights))
    common = np.linalg.svd(z / z.std(axis=0), full_matrices=False)[2][0]
    np.testing.assert_allclose(found.rows @ common, 0, atol=1e-10)
    assert len(random_pairs(found)) == 300 * 299 // 2


def test_scaling_and_pairs_as_published(rng: np.random.Generator) -> None:
    weights = weights_of(rng, n_genes=30, n_variables=5, noise=1)
    weights.loc["G3"] = weights.max(axis=0) + 1
    matrix = scaled(weights)
    assert matrix.shape == (30, 7)
    np.testing.assert_allclose(matrix["Average_Importance"], matrix["Total_Importance"])
    assert (matrix.loc["G3"] == 1).all()
    table = published_pairs(matrix, ["G3", "G4", "G5", "G6"], ("LV0", "LV2"), 0.0)
    # A gene that is largest everywhere has no correlation, and so no pair.
    assert {*table["gene_a"], *table["gene_b"]} == {"g4", "g5", "g6"}
    for row in table.itertuples():
        a, b = matrix.loc[row.gene_a.upper()], matrix.loc[row.gene_b.upper()]
        assert row.r == pytest.approx(stats.pearsonr(a, b)[0])
        assert row.score == pytest.approx(a["LV0"] + b["LV0"] + a["LV2"] + b["LV2"])
    assert table["score"].is_monotonic_decreasing
    assert [auto_threshold(n) for n in (0, 4, 20, 60, 500)] == [0.0, 0.0, 0.1, 0.3, 0.9]


def test_the_published_procedure_drops_dose_by_itself(weights: pd.DataFrame) -> None:
    genes = [f"G{i}" for i in range(12)]
    dosed = pd.concat([weights, pd.DataFrame(50.0, index=["dose"], columns=weights.columns)])
    found = quiet(dosed, candidates=genes, threshold=0.0, as_published=True)
    pd.testing.assert_frame_equal(found.pairs, quiet(weights, candidates=genes, threshold=0.0, as_published=True).pairs)
    assert any("'dose'" in note for note in found.notes)
    with pytest.raises(ValueError, match=r"'dose' is neither.*--drop dose"):
        target_combinations(dosed, candidates=genes)
    pd.testing.assert_frame_equal(
        quiet(dosed, candidates=genes, drop=["dose"]).pairs, quiet(weights, candidates=genes).pairs
    )


def test_three_tables_are_joined_once_a_pair_and_disease() -> None:
    pairs = pd.DataFrame({"tpid": ["T1", "T2"], "genename1": ["A", "C"], "genename2": ["B", "D"], "note": [1, 2]})
    mapping = pd.DataFrame({"dcid": ["D1", "D2", "D3", "D9"], "tpid": ["T1", "T1", "T2", "T1"]})
    combinations = pd.DataFrame({"dcid": ["D1", "D2", "D3"], "fd_name": ["x", "x", "y"]})
    joined = known_pairs(pairs, mapping, combinations)
    assert joined[["gene_a", "gene_b", "disease", "dcid"]].to_numpy().tolist() == [
        ["A", "B", "x", "D1"],
        ["C", "D", "y", "D3"],
    ]
    with pytest.raises(ValueError, match="none of 2 pairs"):
        known_pairs(pairs, mapping.assign(tpid="T7"), combinations)
    with pytest.raises(ValueError, match="'disease' \\(or 'fd_name'\\)"):
        known_pairs(pairs, mapping, combinations.drop(columns="fd_name"))


def test_popularity_leaves_the_disease_out(known: pd.DataFrame) -> None:
    genes = [f"G{i}" for i in range(24)]
    found = popularity(known, genes, without="x")
    others = {tuple(row) for row in known.loc[known["disease"] != "x", ["gene_a", "gene_b"]].to_numpy()}
    assert found.tolist() == [sum(gene in pair for pair in others) for gene in genes]
    more = pd.concat([known, pd.DataFrame({"gene_a": ["G0"], "gene_b": ["G23"], "disease": ["x"]})])
    assert popularity(more, genes, without="x").tolist() == found.tolist()


def test_matches_agree_with_a_naive_count(weights: pd.DataFrame, known: pd.DataFrame) -> None:
    found = quiet(weights, known, disease="x")
    match = match_known(found.ranking, known, "x", found.candidates, steps=[10, 30, 1000])
    truth = found.ranking["known"].to_numpy()
    assert (
        truth.sum()
        == match.n_known
        == known_matrix(read_known(known[known["disease"] == "x"]), found.candidates).sum() / 2
    )
    assert match.n_pairs == len(truth)
    for row in match.table.itertuples():
        n = min(row.n, len(truth))
        assert row.hits == truth[:n].sum()
        assert row.expected == pytest.approx(n * truth.mean())
        chance = stats.hypergeom(len(truth), truth.sum(), n)
        assert row.p_value == pytest.approx(chance.pmf(np.arange(row.hits, n + 1)).sum())
    assert match.auroc == pytest.approx(roc_auc_score(truth, found.ranking["score"]))
    assert match.average_precision == pytest.approx(average_precision_score(truth, found.ranking["score"]))


def test_pairs_that_are_not_listed_stand_below(known: pd.DataFrame) -> None:
    genes = [f"G{i}" for i in range(24)]
    true = known[known["disease"] == "x"][["gene_a", "gene_b"]]
    match = match_known(true.iloc[::-1].rename(columns={"gene_a": "gene_b", "gene_b": "gene_a"}), known, "x", genes)
    assert match.auroc == match.average_precision == 1
    assert match.p_permutation == 1 / 1000
    assert match.table["hits"].tolist() == [10, 20, *[30] * 8]
    assert match_known(true.iloc[:0], known, "x", genes).auroc == 0.5


def test_noise_gives_chance_and_no_small_p_values(rng: np.random.Generator, known: pd.DataFrame) -> None:
    """Over shuffles of the genes, AUROC is 0.5 on average and p-values are uniform."""
    weights = weights_of(rng)
    auroc, p_value = [], []
    for _ in range(60):
        shuffled = weights.set_axis(rng.permutation(weights.index), axis=0)
        table = score_diseases(shuffled, known, n_permutations=99).set_index("method").loc["residual"]
        auroc += table["auroc"].tolist()
        p_value += table["p_value"].tolist()
    assert np.mean(auroc) == pytest.approx(0.5, abs=0.02)
    assert 0.4 < np.mean(p_value) < 0.6
    assert np.mean(np.array(p_value) <= 0.1) < 0.17


def test_a_ranking_that_knows_is_told_from_floors(weights: pd.DataFrame, known: pd.DataFrame) -> None:
    def oracle(genes: list[str], disease: str) -> np.ndarray:
        return known_matrix(read_known(known[known["disease"] == disease]), genes).astype(float)

    table = score_diseases(weights, known, methods={"oracle": oracle}, top=10)
    oracle_rows = table[table["method"] == "oracle"]
    assert (oracle_rows["auroc"] == 1).all()
    assert (oracle_rows["hits"] == 10).all()
    assert (oracle_rows["q_value"] < 0.01).all()
    assert set(table.loc[table["is_floor"], "method"]) == {"popularity", "known elsewhere"}
    # Known pairs were drawn at random, so floors know nothing here.
    assert table.loc[table["is_floor"], "auroc"].mean() == pytest.approx(0.5, abs=0.12)
    for _, part in table.groupby("method"):
        np.testing.assert_allclose(part["q_value"], stats.false_discovery_control(part["p_value"]))


def test_ties_share_their_hits(weights: pd.DataFrame, known: pd.DataFrame) -> None:
    flat = score_diseases(weights, known, methods={"flat": lambda genes, _: np.zeros((len(genes), len(genes)))})
    flat = flat[flat["method"] == "flat"]
    np.testing.assert_allclose(flat["auroc"], 0.5)
    np.testing.assert_allclose(flat["hits"], flat["expected"])
    np.testing.assert_allclose(flat["p_value"], 1)


BAD = {
    "an unknown disease": ({"disease": "xx"}, "one of the 3 of the known pairs; received 'xx'"),
    "no candidates": ({"known": None}, "need candidates, or a disease"),
    "strange candidates": ({"candidates": ["G1x", "EGFR"]}, "0 of 2 are .*Near 'G1x': 'G1"),
    "the other way round": ({"turn": True, "disease": "x"}, "pass their transpose"),
    "a threshold": ({"disease": "x", "threshold": 1.5}, '0 to 1, "auto" or None'),
    "clusters": ({"disease": "x", "n_clusters": 60}, "no fewer reference genes than clusters"),
    "shared": ({"disease": "x", "n_shared": 29}, "should be 0 to 28"),
    "dropped": ({"disease": "x", "drop": ["G1000"]}, "'G1000' is not"),
    "a gene twice": ({"disease": "x", "rename": {"G1": "g2"}}, "stand more than once"),
    "a missing weight": ({"disease": "x", "hole": True}, "1 are missing or infinite"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_told(weights: pd.DataFrame, known: pd.DataFrame, case: str) -> None:
    named, words = BAD[case]
    named = dict(named)
    if named.pop("turn", False):
        weights = weights.T
    if named.pop("hole", False):
        weights = weights.mask(weights == weights.iloc[3, 3])
    weights = weights.rename(index=named.pop("rename", {}))
    with pytest.raises(ValueError, match=words):
        quiet(weights, **{"known": known, **named})


def test_candidates_that_are_not_measured_are_named(weights: pd.DataFrame) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        target_combinations(weights, candidates=["G1", "G2", "G12x"])
    said = str(told[0].message)
    assert "2 of 3 candidates are measured; not: 'G12x'. Near 'G12x': 'G12" in said
    with pytest.raises(TypeError, match="list of genes"):
        target_combinations(weights, candidates="G1")
    with pytest.raises(TypeError, match="data frame"):
        target_combinations(weights.to_numpy(), candidates=["G1", "G2"])


def test_bad_lists_are_told(known: pd.DataFrame) -> None:
    pairs = pd.DataFrame({"gene_a": ["G1", "G2"], "gene_b": ["G2", "G1"]})
    with pytest.raises(ValueError, match="listed once; 1 of 2 rows"):
        match_known(pairs, known, "x", ["G1", "G2", "G3"])
    with pytest.raises(ValueError, match="of two of the 2 candidates"):
        match_known(pairs, known, "x", ["G1", "G3"])
    with pytest.raises(ValueError, match="n_permutations"):
        match_known(pairs.iloc[:1], known, "x", ["G1", "G2"], n_permutations=0)
    with pytest.raises(ValueError, match="should have 90 known pairs"):
        score_diseases(weights_of(np.random.default_rng(0)), known, min_known=90)
    assert near(["ovar"], ["Lung Cancer", "Ovarian Cancer"]) == "Near 'ovar': 'Ovarian Cancer'."
