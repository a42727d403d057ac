"""Planted drivers rank high and stand out; shuffled labels give nothing; curves fall where they should."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import stats

from galenic.data.simulate.single_cell import bulk_and_cells
from galenic.evaluate.metrics import auroc
from galenic.models.scatd.evidence import ridge_weights, shuffled, with_evidence
from galenic.models.scatd.explaining import attribute, background_of, contributions
from galenic.models.scatd.faithfulness import faithfulness
from galenic.models.scatd.importance import agreement, gene_set_table, importance_table

sys.path.insert(0, str(Path(__file__).parent))
from lines import Lines, standardised


@pytest.fixture(scope="module")
def simulated() -> tuple[AnnData, AnnData]:
    return bulk_and_cells(n_genes=150, n_lines=200, n_cells=120, n_drivers=12, seed=2)


@pytest.fixture(scope="module")
def model(simulated: tuple[AnnData, AnnData]) -> Lines:
    return Lines(*simulated, share=0.03)


@pytest.fixture(scope="module")
def table(model: Lines, simulated: tuple[AnnData, AnnData]) -> pd.DataFrame:
    bulk, cells = simulated
    found = importance_table(attribute(model, cells))
    return with_evidence(
        found, model.spec_["features"], model.source, model.label, penalty=model.penalty,
        strata=bulk.obs["platform"], groups=bulk.obs["line"], top=30,
    )  # fmt: skip


def drivers(simulated: tuple[AnnData, AnnData], table: pd.DataFrame) -> np.ndarray:
    return table["gene"].isin(simulated[1].uns["truth"]["drivers"]).to_numpy()


def test_planted_drivers_rank_high(table: pd.DataFrame, simulated: tuple[AnnData, AnnData]) -> None:
    planted = drivers(simulated, table)
    assert auroc(planted.astype(int), table["importance"].to_numpy()) > 0.85
    assert (table["q_value"][planted] < 0.05).mean() > 0.5
    assert (table["q_value"][~planted] < 0.05).mean() < 0.25
    assert table["stability"][planted].mean() > table["stability"][~planted].mean() + 0.3


def test_they_point_the_way_that_was_planted(table: pd.DataFrame, simulated: tuple[AnnData, AnnData]) -> None:
    truth = pd.Series(simulated[1].uns["truth"]["weights"], index=simulated[1].var_names)
    sure = table[drivers(simulated, table) & (table["q_value"] < 0.05)]
    assert len(sure) > 5
    same = np.sign(sure["weight"]) == np.sign(truth[sure["gene"]].to_numpy())
    assert same.mean() == 1.0
    assert set(sure["toward"]) == {"sensitive", "resistant"}


def test_importance_of_a_linear_model_is_weight_times_way(simulated: tuple[AnnData, AnnData]) -> None:
    linear = Lines(*simulated, share=0.0)
    x = linear.features_of(simulated[1])
    table = importance_table(attribute(linear, simulated[1])).set_index("gene").loc[linear.spec_["features"]]
    weight = linear.weight.numpy()
    np.testing.assert_allclose(table["weight"], weight, atol=1e-6)
    np.testing.assert_allclose(table["importance"], np.abs(weight) * np.abs(x - x.mean(axis=0)).mean(axis=0), rtol=1e-4)
    assert (table["rank_low"] <= table["rank"]).all()
    assert (table["rank"] <= table["rank_high"]).all()


def test_shuffled_labels_find_nothing(simulated: tuple[AnnData, AnnData]) -> None:
    bulk = simulated[0]
    x, names = standardised(bulk.X), list(bulk.var_names)
    plain, p_values = pd.DataFrame({"gene": names}), []
    for seed in range(10):
        label = np.random.default_rng(seed).permutation(bulk.obs["label"].to_numpy(float))
        found = with_evidence(plain, names, x, label, penalty=500.0, n_halves=1, n_null=100, seed=seed)
        p_values.append(found["p_value"].to_numpy())
    values = np.concatenate(p_values)
    # Genes of one programme move together, so that the 1,500 values are worth far fewer.
    assert stats.kstest(values, "uniform").statistic < 0.1
    assert 0.02 < (values < 0.05).mean() < 0.09
    assert np.mean([(np.sort(p) * len(p) / np.arange(1, len(p) + 1)).min() < 0.05 for p in p_values]) <= 0.3


def test_what_the_platform_alone_explains_is_no_biomarker() -> None:
    rng = np.random.default_rng(0)
    platform = np.arange(200) % 2
    label = (rng.random(200) < np.where(platform, 0.9, 0.1)).astype(float)
    x = rng.normal(size=(200, 40))
    x[:, 7] += 3 * platform
    names = [f"G{number}" for number in range(40)]
    plain = pd.DataFrame({"gene": names})
    naive, within = (
        with_evidence(plain, names, x, label, penalty=20.0, strata=strata)["q_value"][7] for strata in (None, platform)
    )
    assert naive < 0.01
    assert within > 0.2


def test_shuffles_keep_strata_and_groups() -> None:
    rng = np.random.default_rng(1)
    line = np.array([0, 1, 2, 3, 4, 0, 1, 2])
    platform = np.array([0, 0, 0, 0, 0, 1, 1, 1])
    label = np.array([0, 1, 2, 10, 11, 100, 101, 102.0])
    found = shuffled(label, 300, rng, strata=platform, groups=line)
    # Lines on both platforms exchange both labels at once; those on one platform exchange among themselves.
    assert {tuple(column) for column in found[[0, 5]].T} == {(0.0, 100.0), (1.0, 101.0), (2.0, 102.0)}
    assert {tuple(sorted(column)) for column in found[[3, 4]].T} == {(10.0, 11.0)}
    np.testing.assert_array_equal(np.sort(found, axis=0), np.sort(np.tile(label[:, None], 300), axis=0))
    assert len(np.unique(found, axis=1).T) == 12


@pytest.mark.parametrize("shape", [(30, 10), (10, 30)])
def test_ridge_of_both_shapes_is_the_library_s(shape: tuple[int, int]) -> None:
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=shape), rng.normal(size=(shape[0], 3))
    np.testing.assert_allclose(ridge_weights(x, y, 4.0), Ridge(4.0).fit(x, y).coef_.T, atol=1e-10)


def test_members_of_one_model_agree_and_noise_does_not(model: Lines, simulated: tuple[AnnData, AnnData]) -> None:
    x = model.features_of(simulated[1])
    parts = contributions(model.function(each=True), x, background_of(x, "mean")).contributions[0]
    assert parts.shape == (120, 150, 3)
    members = agreement(np.abs(parts).mean(axis=0).T, "members", top=20)
    noise = agreement(np.random.default_rng(0).random((3, 150)), "noise", top=20)
    assert members["spearman"] > 0.8
    assert members["overlap"] > 0.6
    assert abs(noise["spearman"]) < 0.25
    assert abs(noise["overlap"] - noise["chance"]) < 0.15
    ranks = [stats.rankdata(row) for row in np.abs(parts).mean(axis=0).T]
    naive = [np.corrcoef(ranks[i], ranks[j])[0, 1] for i, j in [(0, 1), (0, 2), (1, 2)]]
    assert members["spearman"] == pytest.approx(np.mean(naive))


def test_taking_planted_genes_away_takes_the_call_away(
    model: Lines, simulated: tuple[AnnData, AnnData], table: pd.DataFrame
) -> None:
    x, names = model.features_of(simulated[1]), pd.Index(model.spec_["features"])
    truth = simulated[1].obs["label"].to_numpy(float)
    background = background_of(x, "mean")
    ranking = names.get_indexer(table["gene"])
    curves, areas = faithfulness(model.function(), x, ranking, background, truth=truth, n_steps=10)
    areas = areas.set_index(["kind", "score"])
    assert set(areas.index) == {(kind, score) for kind in ("deletion", "insertion") for score in ("kept", "auroc")}
    assert (areas["gain"] > 0).all()
    assert (areas.loc[["deletion"], "p_value"] < 0.06).all()
    kept = curves[(curves["kind"] == "deletion") & (curves["score"] == "kept")]
    assert kept["value"].iloc[0] == pytest.approx(1)
    assert kept["value"].iloc[-1] == pytest.approx(0, abs=1e-9)
    assert kept["value"].iloc[2] < kept["low"].iloc[2]
    # The drivers by name, whatever the model says: without them the calls are lost, without as many others they stay.
    planted = names.get_indexer(simulated[1].uns["truth"]["drivers"])
    without, _ = faithfulness(model.function(), x, planted, background, n_random=0)
    others, _ = faithfulness(model.function(), x, np.setdiff1d(np.arange(150), planted)[:12], background, n_random=0)
    is_deleted = without["kind"] == "deletion"
    assert without[is_deleted]["value"].iloc[-1] < 0.7 * others[is_deleted]["value"].iloc[-1]


def test_a_planted_gene_set_stands_out(table: pd.DataFrame, simulated: tuple[AnnData, AnnData]) -> None:
    names = table["gene"].tolist()
    rng = np.random.default_rng(0)
    sets = {"planted": simulated[1].uns["truth"]["drivers"], "chance": rng.choice(names, 12, replace=False)}
    found = gene_set_table(table, sets, top=20).set_index("gene_set")
    assert found.loc["planted", "q_value"] < 0.01
    assert found.loc["chance", "q_value"] > 0.05


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"y": np.ones(80)}, "1 different values of 80"),
        ({"penalty": 0.0}, "penalty should be above 0"),
        ({"n_null": 0}, "n_null 1 or more"),
        ({"x": np.zeros((80, 3))}, "lines should be"),
    ],
)
def test_what_cannot_be_refitted_is_refused(wrong: dict[str, object], said: str) -> None:
    given = {"x": np.zeros((80, 2)), "y": np.arange(80) % 2, "penalty": 1.0} | wrong
    with pytest.raises(ValueError, match=said):
        with_evidence(pd.DataFrame({"gene": ["A", "B"]}), ["A", "B"], **given)


def test_cells_that_all_sit_on_the_background_have_no_curve() -> None:
    with pytest.raises(ValueError, match="logits differ"):
        faithfulness(lambda x: x.sum(dim=1), np.ones((3, 2)), [0, 1], np.ones((1, 2)))
