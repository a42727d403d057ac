"""Simulated bulk and cells: what is handed over as the truth is what they were made of."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from galenic.data.alignment import AlignedStatistics
from galenic.data.simulate.single_cell import bulk_and_cells
from galenic.evaluate import auroc


def transferred(bulk, cells, *, align: bool = True, without: np.ndarray | None = None, shuffle: bool = False) -> float:
    """AUROC over cells of a logistic regression that is fitted on bulk."""
    x, y = np.asarray(bulk.X, float), np.asarray(cells.X, float)
    if align:
        own, towards = (AlignedStatistics.of(side, fewest=2) for side in (y, x))
        y = own.restyle(y, towards)
    label = bulk.obs["label"].to_numpy()
    if shuffle:
        label = np.random.default_rng(0).permutation(label)
    scale = x.std(axis=0) + 1e-9
    model = LogisticRegression(C=0.01, max_iter=500).fit((x - x.mean(axis=0)) / scale, label)
    values = (y - x.mean(axis=0)) / scale
    if without is not None:
        values[:, without] = 0
    return auroc(cells.obs["label"].to_numpy(), model.decision_function(values))


def test_the_plant_carries_over_and_is_all_there_is() -> None:
    bulk, cells = bulk_and_cells(seed=1)
    drivers = np.flatnonzero(cells.uns["truth"]["weights"])
    others = np.setdiff1d(np.arange(200), drivers)[:20]
    assert transferred(bulk, cells) > 0.95
    assert transferred(bulk, cells, without=others) > 0.95
    assert abs(transferred(bulk, cells, without=drivers) - 0.5) < 0.35
    shuffled = [transferred(*bulk_and_cells(seed=seed), shuffle=True) for seed in range(8)]
    assert 0.3 < np.mean(shuffled) < 0.7


def test_nothing_planted_nothing_found() -> None:
    found = [transferred(*bulk_and_cells(strength=0.0, n_clusters=12, seed=seed)) for seed in range(8)]
    assert 0.35 < np.mean(found) < 0.65


def test_a_shift_is_undone_by_alignment_only() -> None:
    aligned, raw = [], []
    for shift in (0.0, 0.5, 1.5):
        pairs = [bulk_and_cells(shift=shift, seed=seed) for seed in range(3)]
        aligned.append(np.mean([transferred(*pair) for pair in pairs]))
        distance = [np.abs(np.asarray(b.X).mean(0) - np.asarray(c.X).mean(0)).mean() for b, c in pairs]
        raw.append(np.mean(distance))
    assert min(aligned) > 0.9
    assert raw[0] < raw[1] < raw[2]


def test_cells_are_counts_and_their_logarithms() -> None:
    _, cells = bulk_and_cells(n_genes=60, n_cells=80, dropout=0.5, n_drivers=5)
    counts = cells.layers["counts"].astype(float)
    np.testing.assert_array_equal(counts, counts.round())
    assert counts.min() == 0
    np.testing.assert_allclose(cells.X, np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True)), rtol=1e-5)


def test_bulk_is_on_the_same_scale() -> None:
    bulk, _ = bulk_and_cells(n_genes=60, n_drivers=5)
    np.testing.assert_allclose(np.expm1(bulk.X.astype(float)).sum(axis=1), 1e4, rtol=1e-4)


@pytest.mark.parametrize("dropout", [0.0, 0.4, 0.8])
def test_dropout_is_the_share_of_lost_counts(dropout: float) -> None:
    _, cells = bulk_and_cells(dropout=dropout, depth=10**6)
    assert (cells.layers["counts"] == 0).mean() == pytest.approx(dropout, abs=0.02)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_imbalance_is_exact_and_clusters_are_pure(share: float) -> None:
    bulk, cells = bulk_and_cells(sensitive_share=share, bulk_share=share, n_clusters=5, n_samples=3)
    assert cells.obs["label"].sum() == round(share * 400)
    assert bulk.obs["label"].mean() == pytest.approx(share, abs=0.01)
    assert cells.obs.groupby("cluster", observed=True)["label"].std(ddof=0).eq(0).all()
    assert (cells.obs.groupby("sample", observed=True)["label"].nunique() == 2).all()
    assert cells.obs["cluster"].nunique() == 5
    assert cells.obs["sample"].nunique() == 3


def test_drivers_are_higher_or_lower_in_sensitive_cells_as_their_weights_say() -> None:
    bulk, cells = bulk_and_cells(n_cells=2000, seed=4)
    truth = cells.uns["truth"]
    drivers = cells.var_names.get_indexer(truth["drivers"])
    np.testing.assert_array_equal(np.flatnonzero(truth["weights"]), np.sort(drivers))
    for adata in (bulk, cells):
        x, one = np.asarray(adata.X), adata.obs["label"].to_numpy() == 1
        difference = x[one].mean(axis=0) - x[~one].mean(axis=0)
        assert np.corrcoef(difference[drivers], truth["weights"][drivers])[0, 1] > 0.8
    assert {-1.0, 1.0} == set(np.sign(truth["weights"][drivers]))


def test_labels_follow_the_response_and_the_platform() -> None:
    bulk, _ = bulk_and_cells(n_lines=400, bulk_share=0.4)
    for _, rows in bulk.obs.groupby("platform"):
        assert rows.loc[rows["label"] == 1, "ln_ic50"].max() < rows.loc[rows["label"] == 0, "ln_ic50"].min()
    shares = bulk.obs.groupby("platform")["label"].mean()
    assert shares["sequencing"] == pytest.approx(shares["array"], abs=0.01)
    bulk, _ = bulk_and_cells(n_lines=400, bulk_share=0.5, confounding=0.8)
    shares = bulk.obs.groupby("platform")["label"].mean()
    assert shares["sequencing"] - shares["array"] == pytest.approx(0.8, abs=0.01)
    assert auroc(bulk.obs["label"], bulk.obs["platform"] == "sequencing") == pytest.approx(0.9, abs=0.01)


def test_lines_may_stand_on_both_platforms() -> None:
    bulk, _ = bulk_and_cells(n_lines=100, repeated=0.3)
    twice = bulk.obs["line"].value_counts()
    assert (twice == 2).sum() == 30
    assert len(bulk) == 130
    assert bulk.obs_names.is_unique
    both = bulk.obs[bulk.obs["line"].isin(twice.index[twice == 2])]
    assert (both.groupby("line")["platform"].nunique() == 2).all()
    pairs = both.pivot_table(index="line", columns="platform", values="ln_ic50")
    assert 0.6 < pairs.corr().iloc[0, 1] < 1


def test_one_seed_gives_one_answer() -> None:
    one, again, other = (bulk_and_cells(n_genes=30, n_lines=20, n_cells=30, n_drivers=3, seed=s) for s in (0, 0, 1))
    for mine, same, different in zip(one, again, other, strict=True):
        np.testing.assert_array_equal(mine.X, same.X)
        pd.testing.assert_frame_equal(mine.obs, same.obs)
        assert not np.array_equal(mine.X, different.X)
    assert one[0].uns["truth"]["weights"] is not one[1].uns["truth"]["weights"]


@pytest.mark.parametrize(
    "wrong",
    [{"n_genes": 0}, {"n_drivers": 201}, {"n_drivers": 0}, {"n_clusters": 1}, {"dropout": 1.0}, {"dropout": -0.1},
     {"sensitive_share": 0.0}, {"bulk_share": 1.0}, {"confounding": 1.0}, {"repeated": 1.1}, {"shift": -1},
     {"noise": float("nan")}, {"strength": -1.0}],
)  # fmt: skip
def test_what_cannot_be_simulated_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"should be .*; received another value for .*\. Correct these\."):
        bulk_and_cells(**wrong)
