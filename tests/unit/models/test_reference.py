"""A reference: what it finds, filters, refuses, keeps on disk; that division of the work changes nothing."""

from __future__ import annotations

import json
import shutil
import warnings

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, concat

from galenic.data import aligned
from galenic.data.simulate import profiles
from galenic.models.profiles.discriminant import ShrinkageLDA
from galenic.models.profiles.similarities import Connectivity, Euclidean, RawCosine, Spearman
from galenic.models.readacross.model import ReadAcross
from galenic.models.reference import build, open_reference, perturbagens
from galenic.search import aggregate, ncs, wtcs
from galenic.search.connectivity import RankedProfiles
from galenic.train import Training

SMILES = ("CCO", "CCN", "c1ccccc1O", "CC(=O)Oc1ccccc1C(=O)O", "not a structure")
SMALL = {"n_latent": 24, "n_members": 1, "growth": 32, "width": 16, "training": Training(max_epochs=2, monitor="none")}


@pytest.fixture(scope="module")
def adata():
    made = profiles(n_perturbagens=60, n_genes=200, stress=0.2, seed=1)
    made.obs["smiles"] = [SMILES[int(name.split()[1]) % len(SMILES)] for name in made.obs["pert_name"]]
    made.obs["target"] = np.where(made.obs["moa"] == "statin", "HMGCR|ABC1", None)
    made.obs["dose"] = np.where(made.obs["cell"] == "A375", 1.0, 10.0)
    return made


@pytest.fixture(scope="module")
def raw(adata, tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw") / "reference"
    return open_reference(build(RawCosine().fit(adata), adata, folder, gene_sets=True, n_queries=40))


@pytest.fixture(scope="module")
def lda(adata, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lda") / "reference"
    return open_reference(build(ShrinkageLDA().fit(adata), adata, folder))


@pytest.fixture(scope="module")
def across(adata, tmp_path_factory):
    """A model whose similarity is corrected for hubs."""
    folder = tmp_path_factory.mktemp("across") / "reference"
    return open_reference(build(ReadAcross(**SMALL).fit(adata), adata, folder))


def test_the_planted_mechanism_is_enriched_and_shuffled_labels_are_not(raw, adata, tmp_path):
    own = adata.obs.set_index("pert_name").loc["compound 7", "moa"].iloc[0]
    found = raw.by_name("compound 7").enrichment
    assert found["label"].iloc[0] == own
    assert found["q_value"].iloc[0] < 0.05
    first = adata.obs.drop_duplicates("pert_id").set_index("pert_id")["moa"]
    shuffled = pd.Series(np.random.default_rng(5).permutation(first), index=first.index)
    other = adata.copy()
    other.obs["moa"] = shuffled.loc[other.obs["pert_id"]].to_numpy()
    chance = open_reference(build(RawCosine().fit(other), other, tmp_path / "reference"))
    assert chance.by_name("compound 7").enrichment["q_value"].min() > 0.05


def test_hits_carry_what_is_known_of_them(raw):
    hits = raw.by_name("SIM-00005", k=59).hits
    columns = ["query", "rank", "id", "pert_id", "pert_name", "similarity"]
    assert list(hits)[:6] == columns
    assert {"cosine", "moa", "target", "smiles", "tanimoto", "n_profiles", "agreement", "concentration"} <= set(hits)
    assert hits["rank"].tolist() == list(range(1, 60))
    assert "SIM-00005" not in hits["pert_id"].tolist()
    same = hits["pert_name"].str.split().str[1].astype(int) % len(SMILES) == 0
    np.testing.assert_allclose(hits.loc[same, "tanimoto"], 1)
    assert hits["tanimoto"].isna().sum() == 12  # structures that do not parse
    assert set(hits.loc[hits["moa"] == "statin", "target"]) == {"HMGCR|ABC1"}
    assert raw.by_name("compound 5", itself=True).hits["pert_id"].iloc[0] == "SIM-00005"


def test_similarity_is_that_of_the_model(across, adata):
    model = across.model
    vectors = model.embed(adata)
    merged, _ = aggregate(vectors, adata.obs["pert_id"])
    names = sorted(set(adata.obs["pert_id"]))
    np.testing.assert_allclose(across.perturbagens.vectors, merged, atol=1e-6)
    expected = pd.Series(merged @ merged[4], index=names).drop("SIM-00004")
    hits = across.by_name("compound 4", k=59).hits
    assert across.perturbagens.offsets is None
    assert across.profiles.offsets is not None
    assert hits["pert_id"].tolist() == expected.sort_values(ascending=False).index.tolist()
    np.testing.assert_allclose(hits["similarity"], expected.loc[hits["pert_id"]], atol=1e-5)
    np.testing.assert_array_equal(hits["cosine"], hits["similarity"])
    profile = across.by_profiles(adata[[9]], level="profile", k=240).hits
    expected = pd.Series(model.similarity(vectors[9:10], vectors)[0], index=adata.obs_names)
    np.testing.assert_allclose(profile["similarity"], expected.loc[profile["id"]], atol=1e-5)


def test_opposites_rank_what_was_last_first_for_a_cosine(raw, adata):
    query = adata[[20]]
    forth, back = (raw.by_profiles(query, k=60, reverse=reverse).hits for reverse in (False, True))
    assert back["pert_id"].tolist() == forth["pert_id"].tolist()[::-1]
    np.testing.assert_allclose(back["similarity"], -forth["similarity"].to_numpy()[::-1], atol=1e-6)
    forth, back = (raw.by_name("compound 20", k=60, reverse=reverse).hits for reverse in (False, True))
    assert back["pert_id"].tolist() == forth["pert_id"].tolist()[::-1]


def test_opposites_embed_the_negated_profile(across, adata):
    negated = AnnData(-adata.X, obs=adata.obs, var=adata.var)
    expected, _ = aggregate(across.model.embed(negated), adata.obs["pert_id"])
    np.testing.assert_allclose(across.reversed, expected, atol=1e-6)
    left = across.by_profiles(adata[[3]], reverse=True).hits
    right = across.by_profiles(negated[[3]]).hits
    # Pairs of an opposite and a profile are another kind of pair.
    assert (left["above"] != right["above"]).any()
    pd.testing.assert_frame_equal(left.drop(columns="above"), right.drop(columns="above"))


@pytest.mark.parametrize("combine", ["max", "q67"])
def test_the_best_over_cell_lines(raw, adata, combine):
    query = adata[[8]]
    hits = raw.by_profiles(query, combine=combine, k=60).hits
    X = adata.X / np.linalg.norm(adata.X, axis=1, keepdims=True)
    cosine = pd.Series(X @ X[8], index=adata.obs["pert_id"].to_numpy())
    expected = cosine.groupby(level=0).quantile(1.0 if combine == "max" else 0.67)
    np.testing.assert_allclose(hits["similarity"], expected.loc[hits["pert_id"]], atol=1e-5)
    assert hits["similarity"].is_monotonic_decreasing


def test_a_filter_is_a_reference_of_those_profiles(raw, adata, tmp_path):
    chosen = adata[adata.obs["cell"].isin(["A375", "MCF7"])].copy()
    small = open_reference(build(RawCosine().fit(chosen), chosen, tmp_path / "reference"))
    query = adata[[2]]
    where = {"cell": ["A375", "MCF7"]}
    for how in ({}, {"combine": "max"}, {"level": "profile"}):
        left, right = raw.by_profiles(query, where=where, **how), small.by_profiles(query, **how)
        assert left.hits["id"].tolist() == right.hits["id"].tolist()
        np.testing.assert_allclose(left.hits["similarity"], right.hits["similarity"], atol=1e-6)
    found = raw.by_name("compound 2", level="profile", where={"dose": (5, 20), "moa": ["statin", "steroid"]}).hits
    assert set(found["moa"]) == {"statin", "steroid"}
    assert set(found["dose"]) == {10.0}
    assert set(raw.by_name("compound 2", where={"moa": "statin"}).hits["moa"]) == {"statin"}
    refused = [
        ({"cell": "A357"}, "Near 'A357': 'A375'"),
        ({"batch": 1}, "needs the column"),
        ({"dose": (100, 200)}, "leaves none of 240"),
        ({"pert_id": "SIM-00002"}, "besides those of"),
    ]
    for wrong, words in refused:
        with pytest.raises(ValueError, match=words):
            raw.by_name("compound 2", where=wrong)


def test_lists_of_genes_are_scored_by_connectivity(raw, adata):
    order = np.argsort(-adata.X[30], kind="stable")
    up, down = adata.var["symbol"].iloc[order[:30]].str.lower().tolist(), adata.var_names[order[-30:]].tolist()
    answer = raw.by_gene_sets([*up, up[0]], [*down, "NOGENE"], level="profile", k=240)
    ranked = RankedProfiles(RankedProfiles.of(adata.X).ranks, np.abs(adata.X.T).astype(np.float16))
    expected = wtcs(ranked, [order[:30]], [order[-30:]])
    rows = adata.obs_names.get_indexer(answer.hits["id"])
    np.testing.assert_allclose(answer.hits["wtcs"], expected[0][rows])
    groups = adata.obs["cell"].astype(str) + " trt_cp"
    np.testing.assert_allclose(answer.hits["similarity"], ncs(expected, groups)[0][rows])
    assert answer.hits["id"].iloc[0] == adata.obs_names[30]
    assert answer.hits["tau"].between(-100, 100).all()
    told = answer.queries.iloc[0]
    assert (told["up_known"], told["up_listed"], told["down_known"], told["down_listed"]) == (30, 30, 30, 31)
    merged = raw.by_gene_sets(up, down)
    assert merged.hits["pert_id"].iloc[0] == adata.obs["pert_id"].iloc[30]
    assert (merged.map["role"] != "query").all()
    opposite = raw.by_gene_sets(up, down, reverse=True, k=60).hits
    assert opposite["pert_id"].iloc[-1] == merged.hits["pert_id"].iloc[0]
    assert len(raw.by_gene_sets(up, where={"cell": "A375"}, level="profile", k=100).hits) == 60


def test_lists_of_genes_that_say_too_little_are_refused(raw, lda):
    known = raw.genes["symbol"].tolist()
    with pytest.raises(ValueError, match=r"9 of 9 are"):
        raw.by_gene_sets(known[:5], known[5:9])
    with pytest.raises(ValueError, match=r"12 of 32 are \(unknown first: 'x0'"):
        raw.by_gene_sets(known[:12], [f"X{i}" for i in range(20)])
    with pytest.raises(ValueError, match="2 are in both lists"):
        raw.by_gene_sets(known[:12], known[10:20])
    with pytest.raises(ValueError, match=r"2 of 2 are \(the reference has .* List more genes"):
        raw.by_gene_sets(known[:1], known[1:2])
    with pytest.raises(ValueError, match=r"was built without. Build it again with --gene-sets"):
        lda.by_gene_sets(known[:12])


def test_an_unknown_name_suggests_the_nearest(raw):
    with pytest.raises(
        ValueError, match=r"one of the 60 perturbagens .* 'compuond 3' is none. Did you mean 'compound 3'"
    ):
        raw.by_name("compuond 3")
    with pytest.raises(ValueError, match="Did you mean 'SIM-000"):
        raw.by_name("SIM-0003")
    assert raw.by_name("  COMPOUND 3 ").hits["query"].iloc[0] == "compound 3"


def test_queries_that_cannot_be_read_are_refused(raw, adata):
    mouse = AnnData(adata.X[:2], obs=adata.obs.iloc[:2], var=pd.DataFrame(index=[f"Gene{i}" for i in range(200)]))
    with pytest.raises(ValueError, match=r"at least 80% of the 200 genes"):
        raw.by_profiles(mouse)
    empty = adata[:3].copy()
    empty.X[1] = 0
    with pytest.raises(ValueError, match="1 of 3 have no changed gene"):
        raw.by_profiles(empty)
    empty.X[1, 4] = np.inf
    with pytest.raises(ValueError, match="1 of 3 hold infinite"):
        raw.by_profiles(empty)
    twice = adata[[0, 1]].copy()
    twice.obs_names = ["a", "a"]
    with pytest.raises(ValueError, match="must be unique"):
        raw.by_profiles(twice)
    for wrong in ({"level": "gene"}, {"combine": "median"}, {"k": 0}):
        with pytest.raises(ValueError, match=r"should be"):
            raw.by_profiles(adata[:1], **wrong)
    with pytest.raises(ValueError, match="nothing to merge; received combine='max'"):
        raw.by_profiles(adata[:1], level="profile", combine="max")
    with pytest.warns(UserWarning, match="10 of 200 genes"):
        assert raw.by_profiles(adata[:1, 10:]).queries["genes_known"].item() == 190


def test_weak_and_far_queries_are_flagged(raw, across, adata, rng):
    strange = AnnData(
        np.vstack([0.2 * rng.normal(size=200), 20 * rng.normal(size=200)]).astype("float32"), var=adata.var
    )
    for reference in (raw, across):
        told = reference.by_profiles(strange).queries
        assert "weak" in told["flag"].iloc[0]
        assert told["flag"].iloc[1] == "far"
        assert reference.by_profiles(adata[[0]]).queries["flag"].item() == ""
    told = raw.by_name("compound 1").queries.iloc[0]
    assert told["n_profiles"] == 4
    X = adata.X[adata.obs["pert_name"] == "compound 1"]
    X = X / np.linalg.norm(X, axis=1, keepdims=True)
    assert told["agreement"] == pytest.approx((X @ X.T)[~np.eye(4, dtype=bool)].mean(), abs=1e-4)


def test_controls_and_unnamed_profiles_are_left_out(adata, tmp_path):
    own = adata.copy()
    own.obs.loc[own.obs_names[:4], "pert_type"] = "ctl_vehicle"
    own.obs.loc[own.obs_names[4:6], "pert_id"] = None
    model = RawCosine().fit(own)
    own.X[6] = 0
    with pytest.warns(UserWarning, match=r"1 of 234 profiles are empty .* left out \(first: "):
        reference = open_reference(build(model, own, tmp_path / "reference"))
    assert len(reference) == 59
    assert reference.coverage["dropped"].tolist()[:3] == [4, 2, 1]
    assert reference.coverage["why"].iloc[0] == "they are controls"
    assert len(reference.profiles) == 233
    with pytest.warns(UserWarning, match="1 of 238 profiles are empty"):
        everything = build(model, own, tmp_path / "all", controls=True)
    assert len(open_reference(everything)) == 60


@pytest.mark.parametrize("value", [np.nan, 0, -666], ids=["missing", "zero", "marked as missing"])
def test_empty_profiles_are_left_out_and_told(adata, tmp_path, value):
    own, model = adata.copy(), RawCosine().fit(adata)
    own.X[[3, 10]] = value
    own.X[3, :60] = 0  # as genes that a file lacks
    with pytest.warns(UserWarning, match="2 of 240 profiles are empty"):
        reference = open_reference(build(model, own, tmp_path / "reference"))
    assert len(reference.profiles) == 238
    row = reference.coverage.iloc[0]
    assert (row["step"], row["kept"], row["dropped"]) == ("profiles with values", 238, 2)
    assert own.obs_names[3] in row["examples"]
    with pytest.raises(ValueError, match="have no changed gene"):
        reference.by_profiles(own[[10]])
    own.X[:] = value
    with pytest.raises(ValueError, match="240 of 240 are empty"):
        build(model, own, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_levels_of_expression_are_no_scores(raw, adata, tmp_path):
    levels = adata.copy()
    levels.X = np.abs(levels.X) + 4
    with pytest.raises(ValueError, match=r"profiles of a reference should be z-scores.*--level 4"):
        build(RawCosine().fit(adata), levels, tmp_path / "reference")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="query profiles should be z-scores"):
        raw.by_profiles(levels[:1])


@pytest.fixture(scope="module")
def among_vehicles(adata, tmp_path_factory):
    """A reference whose profiles came with 40 vehicles, whose z-scores are noise; and those profiles."""
    noise = np.random.default_rng(3).normal(size=(40, 200)).astype("float32")
    obs = pd.DataFrame(
        {"pert_id": "DMSO", "pert_type": "ctl_vehicle", "cell": "A375"}, index=[f"v{i}" for i in range(40)]
    )
    own = concat([adata, AnnData(noise, obs=obs, var=adata.var[[]])], merge="first")
    folder = tmp_path_factory.mktemp("vehicles") / "reference"
    return open_reference(build(RawCosine().fit(adata), own, folder)), own


def test_a_vehicle_is_a_weak_query_and_a_compound_is_not(among_vehicles):
    reference, own = among_vehicles
    row = reference.coverage.iloc[-1]
    assert (row["step"], row["kept"], row["dropped"]) == ("vehicles measured", 40, 0)
    strength = np.sort((np.abs(own.X[240:]) > 2).sum(axis=1))
    told = reference.by_profiles(own[240:]).queries
    expected = np.searchsorted(strength, told["strength"]) / 40
    np.testing.assert_allclose(told["vehicle_strength"], expected)
    np.testing.assert_array_equal(told["reason"].str.contains("no stronger than"), expected < 0.95)
    assert told.loc[expected < 0.95, "flag"].str.contains("weak").all()
    assert (expected < 0.95).sum() >= 36
    row = int(expected.argmin())
    assert f"no stronger than {1 - expected[row]:.0%} of the 40 vehicles" in told["reason"].iloc[row]
    best = np.sort(told["vehicle_similarity"])
    np.testing.assert_allclose(best, np.arange(40) / 40, atol=0.026)  # single precision moves ties by a place
    strong = reference.by_profiles(own[[8]]).queries.iloc[0]
    assert (strong["flag"], strong["vehicle_strength"], strong["vehicle_similarity"]) == ("", 1, 1)
    named = reference.by_name("SIM-00002", where={"cell": "A375"}).queries.iloc[0]
    assert named["vehicle_strength"] == 1
    assert np.isnan(named["vehicle_similarity"])


def test_nothing_is_said_of_too_few_vehicles(raw, adata, tmp_path):
    told = raw.by_profiles(adata[[8]]).queries.iloc[0]
    assert told["vehicles"] == 0
    assert np.isnan(told["vehicle_strength"])


@pytest.mark.parametrize("level", ["perturbagen", "profile"])
@pytest.mark.parametrize("reverse", [False, True])
def test_similarity_stands_beside_that_of_pairs(across, adata, level, reverse):
    vectors, codes = across.profiles.vectors, np.repeat(np.arange(60), 4)
    opposites = across.model.embed(AnnData(-adata.X, obs=adata.obs, var=adata.var))
    own = opposites if reverse else vectors
    if level == "profile":
        pairs = across.model.similarity(own, vectors)[codes[:, None] != codes]
    else:
        pairs = (own @ across.perturbagens.vectors.T)[codes[:, None] != np.arange(60)]
    hits = across.by_profiles(adata[[12]], level=level, reverse=reverse, k=240).hits
    expected = [(pairs < value).mean() for value in hits["similarity"]]
    np.testing.assert_allclose(hits["above"], expected, atol=0.01)
    assert hits["above"].is_monotonic_decreasing
    named = across.by_name("compound 3", level=level, reverse=reverse).hits
    assert named["above"].between(0, 1).all()


def test_the_likeliest_hits_stand_above_nearly_all_pairs(raw, adata):
    assert raw.by_profiles(adata[[12]]).hits["above"].iloc[0] > 0.99
    assert "above" not in raw.by_profiles(adata[[12]], combine="max").hits
    assert "above" not in raw.by_gene_sets(raw.genes["symbol"][:12]).hits


def test_a_reference_of_an_earlier_version_does_not_tell_chance(lda, adata, tmp_path):
    folder = tmp_path / "earlier"
    shutil.copytree(lda.folder, folder)
    (folder / "chance.npz").unlink()
    with pytest.raises(ValueError, match=r"lacks 'chance\.npz'"):
        open_reference(folder)
    record = json.loads((folder / "reference.json").read_text())
    del record["chance"]
    (folder / "reference.json").write_text(json.dumps(record))
    left, right = (reference.by_profiles(adata[[5]]).hits for reference in (open_reference(folder), lda))
    pd.testing.assert_frame_equal(left, right.drop(columns="above"))


def test_hits_count_the_profiles_that_were_compared(raw, adata):
    where = {"cell": ["A375", "MCF7"]}
    chosen = adata[adata.obs["cell"].isin(where["cell"]) & (adata.obs["pert_name"] != "compound 2")]
    X = chosen.X / np.linalg.norm(chosen.X, axis=1, keepdims=True)
    agreement = {name: float(rows @ other) for name, (rows, other) in
                 ((name, X[chosen.obs["pert_id"] == name]) for name in set(chosen.obs["pert_id"]))}  # fmt: skip
    for how in ({}, {"combine": "max"}, {"level": "profile"}):
        answer = raw.by_name("compound 2", where=where, **how)
        hits = answer.hits
        assert set(hits["n_profiles"]) == set(hits["n_cells"]) == {2}
        np.testing.assert_allclose(hits["agreement"], hits["pert_id"].map(agreement), atol=1e-5)
        told = answer.queries.iloc[0]
        assert (told["where"], told["profiles_compared"], told["n_profiles"]) == ("cell A375 or MCF7", 118, 4)
    one = raw.by_gene_sets(raw.genes["symbol"][:12], where={"cell": "A375"}).hits
    assert set(one["n_profiles"]) == {1}
    assert one["agreement"].isna().all()
    assert set(raw.by_name("compound 2").hits["n_profiles"]) == {4}


def test_annotations_are_joined_by_id_or_name(adata, tmp_path):
    bare = adata.copy()
    bare.obs = bare.obs.drop(columns=["moa", "target", "smiles"])
    table = pd.DataFrame(
        {"pert_iname": ["COMPOUND 3", "compound 4"], "moa": ["a|b", "b"], "canonical_smiles": ["CCO", "-666"]}
    )
    reference = open_reference(build(RawCosine().fit(bare), bare, tmp_path / "reference", annotations=table))
    known = reference.perturbagens.table
    assert known.loc["SIM-00003", ["moa", "smiles"]].tolist() == ["a|b", "CCO"]
    assert known["moa"].notna().sum() == 2
    counted = reference.coverage.set_index("step")[["kept", "dropped"]]
    assert counted.loc["perturbagens with moa"].tolist() == [2, 58]
    assert counted.loc["perturbagens with smiles"].tolist() == [1, 59]
    assert reference.by_name("compound 3").hits["tanimoto"].isna().all()
    with pytest.raises(ValueError, match="it knows none"):
        build(RawCosine().fit(bare), bare, tmp_path / "no", annotations=table.assign(pert_iname=["x", "y"]))
    nothing = open_reference(build(RawCosine().fit(bare), bare, tmp_path / "bare"))
    assert nothing.by_name("compound 3").enrichment.empty


@pytest.mark.parametrize("how", ["mean", "modz"])
def test_division_of_the_work_changes_nothing(adata, tmp_path, monkeypatch, how):
    model = Spearman().fit(adata)
    whole = open_reference(build(model, adata, tmp_path / "whole", how=how, gene_sets=True))
    expected, _ = aggregate(model.embed(adata), adata.obs["pert_id"], how)
    np.testing.assert_allclose(whole.perturbagens.vectors, expected, atol=1e-6)
    monkeypatch.setattr(aligned, "BLOCK", 1_400)
    monkeypatch.setattr(perturbagens, "ROWS", 10)
    parts = open_reference(build(model, adata, tmp_path / "parts", how=how, gene_sets=True))
    for name in (
        "profiles/vectors.npy",
        "perturbagens/vectors.npy",
        "reversed.npy",
        "ranked/ranks.npy",
        "ranked/quantiles.npy",
    ):
        np.testing.assert_allclose(np.load(tmp_path / "whole" / name), np.load(tmp_path / "parts" / name), atol=1e-6)
    assert parts.by_name("compound 0").hits["pert_id"].tolist() == whole.by_name("compound 0").hits["pert_id"].tolist()


def test_a_reference_stands_alone_and_answers_the_same(lda, tmp_path, adata):
    moved = tmp_path / "moved"
    shutil.copytree(lda.folder, moved)
    for memory_map in (True, False):
        again = open_reference(moved, memory_map=memory_map)
        for left, right in zip(again.by_profiles(adata[[5, 9]]), lda.by_profiles(adata[[5, 9]]), strict=True):
            pd.testing.assert_frame_equal(left, right)


def test_a_reference_appears_whole_or_not_at_all(adata, tmp_path):
    broken = adata.copy()
    broken.X[100, 3] = np.inf
    model = RawCosine().fit(adata)
    with pytest.raises(ValueError, match="1 in a block of 48,000 are infinite"):
        build(model, broken, tmp_path / "reference")
    assert list(tmp_path.iterdir()) == []
    build(model, adata, tmp_path / "reference")
    with pytest.raises(ValueError, match="holds an earlier one"):
        build(model, adata, tmp_path / "reference")
    before = (tmp_path / "reference" / "reference.json").read_bytes()
    with pytest.raises(ValueError, match="infinite"):
        build(model, broken, tmp_path / "reference", overwrite=True)
    assert (tmp_path / "reference" / "reference.json").read_bytes() == before
    build(model, adata[:100], tmp_path / "reference", overwrite=True)
    assert len(open_reference(tmp_path / "reference").profiles) == 100
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds other files"):
        build(model, adata, tmp_path / "other", overwrite=True)


def test_what_cannot_be_built_or_opened_is_told(adata, lda, tmp_path):
    for model in (Euclidean(), Connectivity()):
        with pytest.raises(ValueError, match=f"{type(model).__name__} is not one"):
            build(model.fit(adata), adata, tmp_path / "reference")
    with pytest.raises(ValueError, match="not fitted"):
        build(RawCosine(), adata, tmp_path / "reference")
    own = adata.copy()
    del own.obs["pert_id"]
    with pytest.raises(ValueError, match="pert_id"):
        build(RawCosine().fit(own), own, tmp_path / "reference")
    own = adata.copy()
    own.obs["pert_type"] = "ctl_vehicle"
    with pytest.raises(ValueError, match="0 of 240 are"):
        build(RawCosine().fit(own), own, tmp_path / "reference")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        open_reference(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"has none"):
        open_reference(tmp_path)
    folder = tmp_path / "copy"
    shutil.copytree(lda.folder, folder)
    vectors = (folder / "profiles" / "vectors.npy").read_bytes()
    (folder / "profiles" / "vectors.npy").write_bytes(vectors[:-1000])
    with pytest.raises(ValueError, match="cannot be read"):
        open_reference(folder)
    shutil.rmtree(folder / "perturbagens")
    with pytest.raises(ValueError, match="lacks 'perturbagens'"):
        open_reference(folder)
    record = json.loads((folder / "reference.json").read_text())
    (folder / "reference.json").write_text(json.dumps(record | {"format": 99}))
    with pytest.raises(ValueError, match="up to format 1"):
        open_reference(folder)
    (folder / "reference.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        open_reference(folder)


def test_the_map_shows_query_hits_and_others(lda):
    points = lda.by_name("compound 2", k=5).map
    assert points["role"].value_counts().to_dict() == {"other": 54, "hit": 5, "query": 1}
    assert points.loc[points["role"] == "hit", "rank"].tolist() == [1, 2, 3, 4, 5]
    place = points.set_index("name")[["x", "y"]].to_numpy()
    assert np.isfinite(place).all()
    order = ["compound 2", *points["name"].iloc[1:]]
    vectors = lda.perturbagens.vectors[[int(name.split()[1]) for name in order]].astype(float)
    centred = vectors - vectors.mean(axis=0)
    expected = np.linalg.svd(centred, compute_uv=False)[:2]
    np.testing.assert_allclose(np.linalg.norm(place, axis=0), expected, rtol=1e-3)


def test_nothing_given_is_changed(adata, tmp_path):
    before = adata.copy()
    model = RawCosine().fit(adata)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reference = open_reference(build(model, adata, tmp_path / "reference"))
        reference.by_profiles(adata[:2], reverse=True)
    np.testing.assert_array_equal(adata.X, before.X)
    pd.testing.assert_frame_equal(adata.obs, before.obs)


@pytest.mark.real
def test_compounds_of_one_mechanism_find_each_other_in_measured_profiles(shared, tmp_path):
    folder = shared / "l1000"
    with np.load(folder / "level5_multicell_24h_10uM.npz") as data:
        X, genes = data["X"].astype(np.float32), data["gene_id"].astype(str)
    told = pd.read_csv(folder / "level5_multicell_24h_10uM_obs.tsv.gz", sep="\t")
    obs = pd.DataFrame({"pert_id": told["pert"], "cell": told["cell_id"], "pert_type": told["pert_type"],
                        "moa": told["moa"], "target": told["target"]})  # fmt: skip
    obs.index = obs["cell"] + ":" + obs["pert_id"]
    symbols = pd.read_csv(folder / "landmark_genes.tsv", sep="\t").set_index("gene_id")["gene_symbol"]
    var = pd.DataFrame({"symbol": symbols.loc[genes.astype(int)].to_numpy()}, index=genes)
    adata = AnnData(X, obs=obs, var=var)
    reference = open_reference(build(RawCosine().fit(adata), adata, tmp_path / "reference"))
    assert (len(reference), len(reference.profiles)) == (1_356, 4_621)
    query = "ST25880"  # an inhibitor of histone deacetylases, in 13 cell lines
    answer = reference.by_name(query)
    first = answer.enrichment.iloc[0]
    assert first["label"] == "HDAC inhibitor"
    assert first["q_value"] < 1e-6
    assert first["n_in_hits"] >= 10
    assert answer.queries["flag"].item() == ""
    assert answer.hits["moa"].iloc[0] == "HDAC inhibitor"
    one = reference.by_profiles(adata[[f"CD34:{query}"]], level="profile", where={"cell": ["BT20", "SKBR3"]})
    assert set(one.hits["cell"]) <= {"BT20", "SKBR3"}
