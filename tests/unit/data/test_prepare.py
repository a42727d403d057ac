"""Scores of plates, signatures of replicates and counts as profiles, each against a plain loop."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.stats import spearmanr

from galenic.data.prepare import counts_to_z, modz, replicate_weights, robust_z
from galenic.data.read import profiles
from galenic.data.scores import Scale, scale_of


def plates(rng, n_plates=3, n=20, n_genes=15):
    X = rng.normal(8, 2, size=(n_plates * n, n_genes)).astype(np.float32)
    obs = pd.DataFrame(
        {
            "plate": np.tile([f"P{i}" for i in range(n_plates)], n),
            "pert_type": ["ctl_vehicle" if i < 4 * n_plates else "trt_cp" for i in range(len(X))],
            "pert_id": [f"BRD-{i % 7}" for i in range(len(X))],
        },
        index=[f"w{i}" for i in range(len(X))],
    )
    return AnnData(X, obs=obs)


def loop_z(adata, against, floor, clip):
    Z = np.full(adata.shape, np.nan)
    for i in range(adata.n_obs):
        same = adata.obs["plate"] == adata.obs["plate"].iloc[i]
        if against == "vehicle":
            same &= adata.obs["pert_type"] == "ctl_vehicle"
        for j in range(adata.n_vars):
            values = adata.X[same.to_numpy(), j].astype(float)
            values = values[~np.isnan(values)]
            median = np.median(values)
            deviation = max(np.median(np.abs(values - median)), floor)
            z = (adata.X[i, j] - median) / (1.4826 * deviation)
            Z[i, j] = z if clip is None or np.isnan(z) else min(max(z, -clip), clip)
    return Z


@pytest.mark.parametrize("against", ["population", "vehicle"])
@pytest.mark.parametrize(("floor", "clip"), [(0.1, 10.0), (3.0, 1.0), (1e-9, None)])
@pytest.mark.parametrize("missing", [False, True])
def test_robust_z_equals_the_loop(rng, against, floor, clip, missing):
    adata = plates(rng)
    if missing:
        adata.X[::11, ::3] = np.nan
    before = adata.X.copy()
    z = robust_z(adata, against=against, floor=floor, clip=clip)
    np.testing.assert_allclose(z.X, loop_z(adata, against, floor, clip), rtol=2e-6, atol=1e-6)
    np.testing.assert_array_equal(adata.X, before)
    assert "steps" not in adata.uns
    assert z.X.dtype == np.float32
    assert len(z.uns["steps"]) == (1 if clip is None else 2)
    assert f"against the {against} of each plate" in z.uns["steps"][0]


def test_robust_z_does_not_see_the_order_or_the_other_plates(rng):
    adata = plates(rng)
    z = robust_z(adata)
    order = rng.permutation(adata.n_obs)
    np.testing.assert_array_equal(robust_z(adata[order].copy()).X, z.X[order])
    alone = adata[adata.obs["plate"] == "P1"].copy()
    np.testing.assert_array_equal(robust_z(alone).X, z[alone.obs_names].X)
    np.testing.assert_array_equal(robust_z(alone, by=None).X, z[alone.obs_names].X)


def test_a_gene_that_does_not_vary_is_not_infinite(rng):
    adata = plates(rng)
    adata.X[:, 0], adata.X[:, 1] = 5.0, np.nan
    z = robust_z(adata)
    assert (z.X[:, 0] == 0).all()
    assert np.isnan(z.X[:, 1]).all()


def test_clipping_is_counted(rng):
    adata = plates(rng)
    adata.X[3, 2], adata.X[4, 2] = 1000, -1000
    assert robust_z(adata, clip=10.0).uns["steps"][-1] == "clipped to -10 to 10: 2 of 900 values"


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (None, {}, r"'plate'; it has no columns at all. Give .*--sample-info"),
        ({}, {"against": "dmso"}, "'population' or 'vehicle'"),
        ({"plate": None}, {}, r"every profile should have a 'plate'; 60 of 60 have none"),
        ({}, {"by": "batch"}, r"needs the column\(s\) 'batch'"),
        (
            {"pert_type": "trt_cp"},
            {"against": "vehicle"},
            r"3 groups .* 3 vehicle wells .* 3 have fewer \(first: 'P0: 0'",
        ),
        ({}, {"by": ["plate", "pert_id"]}, r"21 groups .* should have 3 wells .* have fewer"),
        ({}, {"clip": -1}, "clip should be a number above 0"),
    ],
)
def test_what_robust_z_refuses(rng, change, options, message):
    adata = plates(rng)
    adata.obs = adata.obs[[]] if change is None else adata.obs.assign(**change)
    with pytest.raises(ValueError, match=message):
        robust_z(adata, **options)


def test_scores_are_not_scored_again_unless_forced(rng):
    z = robust_z(plates(rng))
    with pytest.raises(ValueError, match=r"should be log2 .*; of these [45]\d\.\d% of \d+ .*: they are scores"):
        robust_z(z)
    assert robust_z(z, force=True).shape == z.shape
    few = plates(rng)
    few.X[:2] = -0.1
    assert robust_z(few).shape == few.shape


def test_levels_are_no_replicates(rng):
    adata = plates(rng)
    with pytest.raises(ValueError, match=r"replicates should be z-scores.*0\.0% of 900 values .*--level 4"):
        modz(adata, by=["pert_id"])
    assert modz(robust_z(adata), by=["pert_id"]).n_obs == 7
    adata.X[:] = 0
    assert (modz(adata, by=["pert_id"]).X == 0).all()


def test_rounded_levels_are_told_with_numbers(rng):
    adata = plates(rng)
    adata.X[:] = 8
    adata.X[3] = 9
    with pytest.warns(UserWarning, match=r"all 900 values .* whole numbers \(8 to 9\).*of 6\.74: 1\.7% of the scores"):
        z = robust_z(adata)
    np.testing.assert_allclose(z.X[3], 1 / 0.14826, rtol=1e-6)


def test_a_scale_does_not_depend_on_parts_and_a_large_matrix_is_sampled(rng, monkeypatch):
    X = rng.normal(size=(50, 10))
    X[::7, 2], X[3] = np.nan, 0
    parts = Scale()
    for start in range(0, 50, 9):
        parts = parts.plus(X[start : start + 9])
    assert parts == Scale().plus(X) == scale_of(X) == scale_of(sparse.csr_matrix(X))
    assert parts.negative == (X < 0).sum()
    assert parts.known == np.isfinite(X).sum()
    assert parts.nonzero == np.count_nonzero(X[np.isfinite(X)])
    monkeypatch.setattr("galenic.data.scores.BLOCK", 100)
    assert scale_of(X) == Scale().plus(X[::5])


def loop_modz(adata, landmark):
    found = {}
    for name in pd.unique(adata.obs["pert_id"]):
        values = adata.X[(adata.obs["pert_id"] == name).to_numpy()].astype(float)
        n = len(values)
        raw = []
        for i in range(n):
            others = [max(0.0, spearmanr(values[i, landmark], values[j, landmark])[0]) for j in range(n) if j != i]
            raw.append(max(0.01, sum(others) / len(others)) if others else 1.0)
        found[name] = sum(raw[i] / sum(raw) * values[i] for i in range(n))
    return np.array(list(found.values())), list(found)


@pytest.mark.parametrize("marked", [False, True])
def test_modz_equals_the_loop(rng, marked):
    n = 23
    centres = rng.normal(size=(6, 12))
    which = np.minimum(rng.integers(0, 6, size=n), 5)
    which[:3] = [0, 1, 1]
    which[which == 0] = np.r_[0, np.full((which == 0).sum() - 1, 2)]
    X = (centres[which] + rng.normal(size=(n, 12))).round(1).astype(np.float32)
    adata = AnnData(X, obs=pd.DataFrame({"pert_id": [f"B{i}" for i in which]}, index=[f"w{i}" for i in range(n)]))
    if marked:
        adata.var["landmark"] = np.arange(12) < 7
    expected, names = loop_modz(adata, np.arange(12) < 7 if marked else np.ones(12, dtype=bool))
    signatures = modz(adata, by=["pert_id"], clip=None)
    np.testing.assert_allclose(signatures.X, expected, rtol=1e-5, atol=1e-6)
    assert signatures.obs_names.tolist() == names
    assert signatures.obs["n_replicates"].tolist() == [int((adata.obs["pert_id"] == name).sum()) for name in names]
    np.testing.assert_array_equal(signatures["B0"].X[0], X[0])


def test_modz_keeps_what_replicates_agree_in(rng):
    obs = pd.DataFrame(
        {
            "pert_id": ["A", "A", "B", "A"],
            "dose": [1.0, 1.0, np.nan, 2.0],
            "cell": "A549",
            "plate": ["P1", "P2", "P1", "P3"],
        },
        index=["w0", "w1", "w2", "w3"],
    )
    signatures = modz(AnnData(rng.normal(size=(4, 5)).astype(np.float32), obs=obs), by=["pert_id", "cell", "dose"])
    assert signatures.obs_names.tolist() == ["A:A549:1", "B:A549:", "A:A549:2"]
    assert list(signatures.obs) == ["pert_id", "dose", "cell", "n_replicates", "weights", "profiles"]
    assert signatures.obs["profiles"].tolist() == ["w0|w1", "w2", "w3"]
    assert signatures.obs["weights"].tolist() == ["0.5000|0.5000", "1.0000", "1.0000"]


def test_modz_of_many_sets_does_not_depend_on_blocks(rng, monkeypatch):
    n = 400
    obs = pd.DataFrame({"pert_id": [f"B{i}" for i in rng.integers(0, 90, size=n)]}, index=[f"w{i}" for i in range(n)])
    adata = AnnData(rng.normal(size=(n, 20)).astype(np.float32), obs=obs)
    whole = modz(adata, by="pert_id")
    monkeypatch.setattr("galenic.data.prepare.BLOCK", 60)
    parts = modz(adata, by="pert_id")
    np.testing.assert_array_equal(parts.X, whole.X)
    pd.testing.assert_frame_equal(parts.obs, whole.obs)


def test_modz_with_missing_values(rng):
    X = rng.normal(size=(3, 9)).astype(np.float32)
    X[0, 0] = X[:, 1] = np.nan
    obs = pd.DataFrame({"pert_id": "A"}, index=["w0", "w1", "w2"])
    signature = modz(AnnData(X, obs=obs), by="pert_id")
    weights = np.array([float(text) for text in signature.obs["weights"].iloc[0].split("|")])
    assert signature.X[0, 0] == pytest.approx((weights[1:] @ X[1:, 0]) / weights[1:].sum(), rel=1e-3)
    assert np.isnan(signature.X[0, 1])
    assert np.isfinite(signature.X[0, 2:]).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 6), st.integers(0, 10**6))
def test_weights_are_a_distribution_with_a_floor(n, seed):
    correlation = np.corrcoef(np.random.default_rng(seed).normal(size=(n, 4)))
    weights = replicate_weights(correlation)
    assert weights.sum() == pytest.approx(1)
    assert (weights > 0).all()
    if n == 2:
        np.testing.assert_allclose(weights, 0.5)


GENES = pd.DataFrame(
    {
        "gene_id": [7157, 60, 2597, 1956, 207],
        "gene_symbol": ["TP53", "ACTB", "GAPDH", "EGFR", "AKT1"],
        "ensembl_id": [f"ENSG0000000000{i}" for i in range(1, 6)],
        "feature_space": "landmark",
    }
)


def counts(rng, n=8, names=None):
    names = [*GENES["gene_symbol"], "OTHER1", "OTHER2"] if names is None else names
    X = rng.poisson(rng.uniform(20, 400, size=len(names)), size=(n, len(names))).astype(np.float32)
    obs = pd.DataFrame(
        {"control": np.arange(n) % 2 == 0, "batch": np.arange(n) // (n // 2)}, index=[f"s{i}" for i in range(n)]
    )
    return AnnData(X, obs=obs, var=pd.DataFrame(index=names))


def loop_counts(adata, genes, by):
    expected = np.zeros((adata.n_obs, len(genes)))
    levels = np.log2(adata.X / adata.X.sum(axis=1, keepdims=True, dtype=float) * 1e6 + 1)
    for i in range(adata.n_obs):
        own = adata.obs["control"].to_numpy().copy()
        if by:
            own &= (adata.obs[by] == adata.obs[by].iloc[i]).to_numpy()
        for j, gene in enumerate(genes):
            values = levels[own, adata.var_names.get_loc(gene)]
            deviation = max(np.median(np.abs(values - np.median(values))), 0.1)
            z = (levels[i, adata.var_names.get_loc(gene)] - np.median(values)) / (1.4826 * deviation)
            expected[i, j] = min(max(z, -10), 10)
    return expected


@pytest.mark.parametrize("by", [None, "batch"])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_counts_equal_the_loop(rng, by, kind):
    adata = counts(rng, n=12)
    expected = loop_counts(adata, GENES["gene_symbol"], by)
    adata.X = kind(adata.X)
    z, coverage = counts_to_z(adata, controls="control", landmarks=GENES, by=by)
    np.testing.assert_allclose(z.X, expected, rtol=1e-4, atol=1e-5)
    assert z.var_names.tolist() == ["7157", "60", "2597", "1956", "207"]
    assert z.var["symbol"].tolist() == GENES["gene_symbol"].tolist()
    assert z.var["measured"].all()
    assert coverage.loc[0, ["kept", "dropped"]].tolist() == [5, 0]


@pytest.mark.parametrize(
    "names",
    [
        ["7157", "60", "2597", "1956", "207", "1", "2"],
        [f"ENSG0000000000{i}.{i}" for i in range(1, 8)],
        ["P53", "ACTB", "GAPDH", "EGFR (1956)", "AKT1", "x1", "x2"],
    ],
)
def test_kinds_of_names_give_the_same(rng, names):
    adata = counts(rng)
    expected, _ = counts_to_z(adata, controls="control", landmarks=GENES)
    renamed = AnnData(adata.X, obs=adata.obs, var=pd.DataFrame(index=names))
    for old in ("TP53", "7157"):
        z, _ = counts_to_z(renamed, controls="control", landmarks=GENES, symbols={"P53": old})
        np.testing.assert_array_equal(z.X, expected.X)


def test_depth_does_not_matter_and_order_of_genes_neither(rng):
    adata = counts(rng)
    z, _ = counts_to_z(adata, controls="control", landmarks=GENES)
    deeper = adata.copy()
    deeper.X = adata.X * np.arange(1, 9)[:, None].astype(np.float32)
    np.testing.assert_allclose(counts_to_z(deeper, controls="control", landmarks=GENES)[0].X, z.X, atol=1e-3)
    turned = counts_to_z(adata[:, ::-1].copy(), controls="control", landmarks=GENES)[0]
    np.testing.assert_allclose(turned.X, z.X, atol=1e-5)


def test_repeated_genes_are_added(rng):
    adata = counts(rng)
    split = np.concatenate([adata.X, adata.X[:, :1]], axis=1)
    split[:, 0] = np.floor(adata.X[:, 0] / 2)
    split[:, -1] = adata.X[:, 0] - split[:, 0]
    names = ["ENSG00000000001.1", *[f"ENSG0000000000{i}" for i in range(2, 8)], "ENSG00000000001.2"]
    z, coverage = counts_to_z(
        AnnData(split, obs=adata.obs, var=pd.DataFrame(index=names)), controls="control", landmarks=GENES
    )
    np.testing.assert_allclose(z.X, counts_to_z(adata, controls="control", landmarks=GENES)[0].X, atol=1e-5)
    assert coverage["step"].tolist()[-1] == "repeated genes"


def test_absent_landmarks_are_zero_and_reported(rng):
    adata = counts(rng)[:, [0, 1, 2, 3, 5, 6]].copy()
    z, coverage = counts_to_z(adata, controls="control", landmarks=GENES)
    assert (z[:, "207"].X == 0).all()
    assert z.var["measured"].tolist() == [True] * 4 + [False]
    assert coverage.loc[0, ["kept", "dropped", "examples"]].tolist() == [4, 1, "'207'"]
    with pytest.raises(ValueError, match=r"90% of the 5 landmark genes should be measured; 4 \(80%\) are"):
        counts_to_z(adata, controls="control", landmarks=GENES, minimum_coverage=0.9)
    with pytest.raises(ValueError, match=r"0 \(0%\) are .* of the kind symbol"):
        counts_to_z(adata, controls="control", landmarks=[7157, 60, 2597])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: np.log2(X + 1), r"should not be logged; the highest of 56 values is \d"),
        (lambda X: X - 100, r"counts should be 0 or more; of 56 values \d+ are negative"),
        (lambda X: np.where(X.max() == X, np.nan, X), "1 missing"),
        (
            lambda X: X * (np.arange(8) > 1)[:, None],
            r"every sample should have counts; 2 of 8 have none \(first: 's0', 's1'",
        ),
    ],
)
def test_what_are_no_counts_is_refused(rng, change, message):
    adata = counts(rng)
    adata.X = change(adata.X).astype(np.float32)
    with pytest.raises(ValueError, match=message):
        counts_to_z(adata, controls="control", landmarks=GENES)


def test_controls_must_be_there_in_every_batch(rng):
    adata = counts(rng)
    with pytest.raises(ValueError, match=r"2 groups .* 3 controls .* 2 have fewer \(first: '0: 2', '1: 2'"):
        counts_to_z(adata, controls="control", landmarks=GENES, by="batch")
    with pytest.raises(ValueError, match="true or false for each of the 8 samples"):
        counts_to_z(adata, controls=["s0"], landmarks=GENES)


def test_mapping_by_rank_gives_the_distribution_of_the_reference(rng):
    adata = counts(rng, n=40)
    reference = AnnData((rng.standard_t(3, size=(500, 5)) * 2).clip(-10, 10).astype(np.float32))
    plain, _ = counts_to_z(adata, controls="control", landmarks=GENES)
    mapped, _ = counts_to_z(adata, controls="control", landmarks=GENES, reference=reference)
    assert (
        np.argsort(plain.X, axis=None, kind="stable") == np.argsort(mapped.X, axis=None, kind="stable")
    ).mean() > 0.99
    shares = [0.05, 0.25, 0.5, 0.75, 0.95]
    np.testing.assert_allclose(np.quantile(mapped.X, shares), np.quantile(reference.X, shares), atol=0.2)
    # Strong samples stay stronger than weak ones.
    strength = [np.abs(z.X).mean(axis=1) for z in (plain, mapped)]
    assert spearmanr(*strength)[0] > 0.9
    assert mapped.uns["steps"][1] == "mapped by rank to the scores of 500 profiles"


@pytest.mark.real
@pytest.mark.parametrize(
    ("before", "after"),
    [("level3_ht115_cpc006", "level4pc_ht115_cpc006"), ("level3_ljp005_a375_n377", "level4pc_ljp005_a375_n377")],
)
def test_level_4_of_measured_plates(shared, before, after):
    folder = shared / "l1000"
    stored, expected = np.load(folder / f"{before}.npz"), np.load(folder / f"{after}.npz")
    obs = pd.read_csv(folder / f"{before}_obs.tsv.gz", sep="\t", index_col="inst_id")
    adata = AnnData(stored["X"].astype(np.float32), obs=obs, var=pd.DataFrame(index=stored["gene_id"].astype(str)))
    z = robust_z(adata, by="rna_plate")
    # Half a step of float16 at 8 to 16.
    assert np.abs(z.X - expected["X"].astype(np.float32)).max() <= 2**-8
    assert (z.X.astype(np.float16) == expected["X"]).mean() > 0.99


@pytest.mark.real
def test_published_weights_of_signatures_follow_the_rule(shared):
    """Three published signatures: one replicate stays itself, two count the same, three add up to one."""
    signatures = profiles(shared / "l1000" / "original" / "modzs_gct_n3x978.gctx")
    for row in signatures.obs.itertuples():
        weights = [float(text) for text in str(row.distil_wt).split(",")]
        assert len(weights) == row.distil_nsample
        assert sum(weights) == pytest.approx(1, abs=0.011)
        if row.distil_nsample <= 2:
            assert set(weights) == {1 / row.distil_nsample}


@pytest.mark.real
def test_vehicle_wells_as_replicates(shared):
    """Twelve vehicle wells of one plate become one signature; it agrees with the mean of those that agree."""
    adata = profiles(shared / "l1000" / "original" / "testDistilBrew_input_ds_n12x978.gctx", genes="landmark")
    assert set(adata.obs["pert_type"]) == {"ctl_vehicle"}
    signatures = modz(adata)
    expected, _ = loop_modz(adata, np.ones(978, dtype=bool))
    for name, signature in zip(signatures.obs_names, expected, strict=True):
        np.testing.assert_allclose(signatures[name].X[0], np.clip(signature, -10, 10), rtol=1e-4, atol=1e-5)
