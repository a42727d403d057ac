"""Profiles by name: genes, side tables, phases and treatments, whatever file they lie in."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from galenic.data.convert import convert
from galenic.data.gctx.gct import write_gct
from galenic.data.gctx.gctx import write_gctx
from galenic.data.gctx.metadata import canonical_genes, canonical_profiles
from galenic.data.profiles import is_control, join_phases, treatments
from galenic.data.read import profiles


def example(n=6, n_genes=8, seed=0):
    X = np.random.default_rng(seed).normal(size=(n, n_genes)).astype(np.float32)
    X[0, 1] = np.nan
    obs = pd.DataFrame(
        {
            "pert_id": [f"BRD-{i % 3}" for i in range(n)],
            "pert_type": ["trt_cp", "ctl_vehicle"] * (n // 2),
            "dose": [10.0, np.nan] * (n // 2),
            "own": range(n),
        },
        index=[f"p{i}" for i in range(n)],
    )
    var = pd.DataFrame(
        {"symbol": [f"GENE{i}" for i in range(n_genes)], "landmark": np.arange(n_genes) % 3 != 1},
        index=[str(100 + i) for i in range(n_genes)],
    )
    return AnnData(X, obs=obs, var=var)


def write(adata, folder, kind):
    if kind == "h5ad":
        adata.write_h5ad(folder / "a.h5ad")
    elif kind == "store":
        convert(adata, folder / "a", genes=None)
    else:
        {"gct": write_gct, "gctx": write_gctx}[kind](adata, folder / f"a.{kind}")
    return folder / ("a" if kind == "store" else f"a.{kind}")


KINDS = ("gct", "gctx", "h5ad", "store")


@pytest.fixture(params=KINDS)
def path(request, tmp_path):
    return write(example(), tmp_path, request.param)


def test_every_kind_of_file_gives_the_same(path):
    adata, expected = profiles(path), example()
    np.testing.assert_array_equal(adata.X, expected.X)
    pd.testing.assert_frame_equal(adata.obs, expected.obs)
    pd.testing.assert_frame_equal(adata.var, expected.var)
    assert adata.X.dtype == np.float32


@pytest.mark.parametrize("genes", [None, "landmark", ["107", "100"], [103], ["GENE2", "GENE1"]])
@pytest.mark.parametrize("rows", [None, ["p4", "p1"], [5, 0], slice(1, 4), np.arange(6) % 2 == 0])
def test_a_subset_is_the_whole_and_then_the_subset(path, genes, rows):
    whole, adata = profiles(path), profiles(path, genes=genes, rows=rows)
    if genes is None or genes == "landmark":
        names = whole.var_names[whole.var["landmark"] | (genes is None)]
    else:
        names = [str(gene).replace("GENE", "10") for gene in genes]
    expected = whole[slice(None) if rows is None else rows, names].copy()
    np.testing.assert_array_equal(adata.X, expected.X)
    pd.testing.assert_frame_equal(adata.obs, expected.obs)
    pd.testing.assert_frame_equal(adata.var, expected.var)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"genes": ["100", "TP53"]}, r"2 wanted genes should be in .* once; 1 are not \(first: 'TP53'"),
        (
            {"genes": ["GENE1", "100", "102"]},
            r"of the 3 wanted of .* 2 are ids \(first: '100', '102'\) and 1 symbols \(first: 'GENE1'\)\. Name all",
        ),
        ({"genes": ["100", "100"]}, "wanted genes must be unique"),
        ({"genes": "all"}, "None, 'landmark' or a list"),
        ({"rows": ["p9"]}, r"1 wanted profiles should be in .* once; 1 are not"),
        ({"rows": [0, 6]}, r"places of profiles should be 0 to 5"),
        ({"rows": [-1]}, r"places of profiles should be 0 to 5"),
        ({"rows": [2, 2]}, "wanted profiles must be unique"),
        ({"rows": np.array([True, False])}, "one entry for each of the 6"),
    ],
)
def test_what_is_not_there_cannot_be_wanted(path, wanted, message):
    with pytest.raises(ValueError, match=message):
        profiles(path, **wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_landmarks_need_a_source(tmp_path, kind):
    adata = example()
    del adata.var["landmark"]
    path = write(adata, tmp_path, kind)
    with pytest.raises(ValueError, match=r"nothing in .* says which of its 8 genes.*Give gene_info="):
        profiles(path, genes="landmark")
    info = pd.DataFrame({"gene_id": [104, 101, 999], "feature_space": ["landmark", "inferred", "landmark"]})
    found = profiles(path, genes="landmark", gene_info=info)
    assert found.var_names.tolist() == ["104"]
    np.testing.assert_array_equal(found.X, profiles(path)[:, "104"].X)


@pytest.mark.parametrize("wanted", [{"rows": []}, {"genes": []}, {"rows": slice(0, 0)}])
def test_nothing_may_be_wanted(path, wanted):
    assert 0 in profiles(path, **wanted).shape


def test_978_genes_are_landmarks_whatever_is_said(tmp_path):
    adata = AnnData(np.ones((2, 978), dtype=np.float32))
    found = profiles(write_gctx(adata, tmp_path / "a.gctx"), genes="landmark")
    assert found.n_vars == 978
    assert found.var["landmark"].all()


def test_a_table_of_genes_may_be_keyed_by_probe(tmp_path):
    adata = AnnData(np.array([[1, 2]], dtype=np.float32), var=pd.DataFrame(index=["a_at", "b_at"]))
    info = pd.DataFrame(
        {"gene_id": [7157, 60], "pr_id": ["b_at", "a_at"], "pr_gene_symbol": ["TP53", "ACTB"], "is_landmark": [1, 0]}
    )
    found = profiles(write_gctx(adata, tmp_path / "a.gctx"), gene_info=info)
    assert found.var_names.tolist() == ["60", "7157"]
    assert found.var["symbol"].tolist() == ["ACTB", "TP53"]
    assert found.var["row_id"].tolist() == ["a_at", "b_at"]


PHASE_1 = {"rna_plate": "R", "rna_well": "A01", "pert_iname": "x", "pert_time": 24, "pert_time_unit": "h"}
PHASE_2 = {"det_plate": "D", "det_well": "A01", "pert_mfc_id": "BRD-A-001", "pert_iname": "x", "pert_time": 24}


@pytest.mark.parametrize("phase", [PHASE_1, PHASE_2])
def test_a_table_of_profiles_is_joined_by_id(tmp_path, phase):
    info = pd.DataFrame({"inst_id": ["p2", "p1", "p0"], "pert_id": ["C", "B", "-666"], "cell_id": "A549", **phase})
    adata = AnnData(np.ones((3, 2), dtype=np.float32), obs=pd.DataFrame({"pert_id": "Z"}, index=["p0", "p1", "p2"]))
    found = profiles(write_gctx(adata, tmp_path / "a.gctx"), sample_info=info).obs
    assert [name if isinstance(name, str) else None for name in found["pert_id"]] == [None, "B", "C"]
    assert found["plate"].tolist() == ["R" if phase is PHASE_1 else "D"] * 3
    assert found["well"].tolist() == ["A01"] * 3
    assert (found["time"] == 24).all()
    with pytest.warns(UserWarning, match=r"does not know 1 of 3 \(first: 'p0'\)"):
        profiles(tmp_path / "a.gctx", sample_info=info.iloc[:2])
    with pytest.raises(ValueError, match=r"knows none of them \(it has 'q'\)"):
        profiles(tmp_path / "a.gctx", sample_info=info.iloc[:1].assign(inst_id="q"))
    with pytest.raises(ValueError, match="inst_id of the side table must be unique"):
        profiles(tmp_path / "a.gctx", sample_info=info.assign(inst_id="p1"))


def test_names_of_columns_in_all_releases():
    raw = pd.DataFrame(
        {
            "rna_plate": ["-666", None],
            "det_plate": ["D1", "D2"],
            "pert_dose_uM": ["10", "-666.0"],
            "pert_time_h": [24, 6],
            "cell_iname": ["A549", "na"],
            "cmap_name": ["x", "y"],
            "pert": ["ST1", "ST2"],
            "canonical_smiles": ["C", ""],
            "moa": ["NaN", "nan"],
            "own": ["1", "007"],
        }
    )
    found = canonical_profiles(raw)
    assert found["plate"].tolist() == ["D1", "D2"]
    assert found["dose_unit"].tolist() == ["uM", "uM"]
    assert found["time_unit"].tolist() == ["h", "h"]
    assert found["pert_id"].tolist() == ["ST1", "ST2"]
    assert found["own"].tolist() == ["1", "007"]
    assert found.isna().sum().to_dict() == {
        **dict.fromkeys(found, 0), "dose": 1, "cell": 1, "smiles": 1, "moa": 2, "rna_plate": 2
    }  # fmt: skip
    pd.testing.assert_frame_equal(canonical_profiles(found), found)
    with_ids = canonical_profiles(raw.assign(pert_id=["BRD", None]))
    assert with_ids["pert_id"].iloc[0] == "BRD"
    assert with_ids["pert"].tolist() == ["ST1", "ST2"]


def test_doses_that_are_text_are_kept_beside():
    with pytest.warns(
        UserWarning, match=r"pert_dose should hold numbers; 1 of 2 profiles have text \(first: '10\|20'\)"
    ):
        found = canonical_profiles(pd.DataFrame({"pert_dose": ["10|20", "5"]}))
    assert np.isnan(found["dose"].iloc[0])
    assert found["dose_text"].tolist() == ["10|20", "5"]


def test_genes_without_their_own_entrez_id_keep_the_name_of_the_row():
    with pytest.warns(UserWarning, match=r"1 of 3 have none and 1 repeat one"):
        found = canonical_genes(pd.DataFrame({"pr_gene_id": [7.0, 7.0, -666.0]}, index=["a", "b", "c"]), "a file")
    assert found.index.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, FileNotFoundError, "does not exist"),
        (b"", ValueError, "0 bytes"),
        (b"cell,drug\nA,B\n", ValueError, "should be GCT"),
        (b"hello world\n", ValueError, r"starts with 'hello world\\n'"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), ValueError, "whole HDF5 file"),
        (b"\x1f\x8b" + bytes(100), ValueError, "whole compressed file"),
        ("folder", ValueError, r"should hold store.json, .* holds nothing"),
    ],
)
def test_other_files_are_refused(tmp_path, content, error, message):
    path = tmp_path / "a.gctx"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=message):
        profiles(path)


def test_phases_are_joined_by_gene_id_and_not_by_place():
    one, two = example(n_genes=11, seed=1), example(n=4, n_genes=12, seed=2)[:, ::-1].copy()
    two.var = two.var.drop(columns="symbol")
    two.obs = two.obs.rename(columns={"own": "another"})
    before = one.copy(), two.copy()
    with pytest.warns(UserWarning, match=r"8 profiles share theirs"):
        joined, coverage = join_phases({"I": one, "II": two})
    assert joined.shape == (10, 11)
    assert joined.obs["phase"].tolist() == ["I"] * 6 + ["II"] * 4
    assert joined.obs_names.is_unique
    assert joined.obs_names[0] == "I:p0"
    assert joined.obs_names[5] == "p5"
    for gene in joined.var_names:
        np.testing.assert_array_equal(joined[:6, gene].X, one[:, gene].X)
        np.testing.assert_array_equal(joined[6:, gene].X, two[:, gene].X)
    assert joined.var["symbol"].tolist() == one.var["symbol"].tolist()
    assert coverage.set_index("step").loc["II genes", ["kept", "dropped", "examples"]].tolist() == [11, 1, "'111'"]
    for given, kept in zip((one, two), before, strict=True):
        pd.testing.assert_frame_equal(given.obs, kept.obs)
        pd.testing.assert_frame_equal(given.var, kept.var)


def test_columns_of_phases_stay_text_or_numbers(tmp_path):
    var = pd.DataFrame(index=["100"])
    tables = [
        {"text": ["x", None], "number": [1.0, np.nan], "flag": [True, False], "mixed": ["a", "b"], "empty": np.nan},
        {"text": np.nan, "number": [2, 3], "mixed": [1, 2], "empty": np.nan},
    ]
    one, two = (
        AnnData(np.zeros((2, 1), dtype=np.float32), obs=pd.DataFrame(table, index=[f"{i}a", f"{i}b"]), var=var)
        for i, table in enumerate(tables)
    )
    joined, _ = join_phases({"I": one, "II": two})
    obs = joined.obs.astype("object").where(joined.obs.notna(), None)
    assert obs["text"].tolist() == ["x", None, None, None]
    assert obs["number"].tolist() == [1, None, 2, 3]
    assert obs["flag"].tolist() == ["True", "False", None, None]
    assert obs["mixed"].tolist() == ["a", "b", "1", "2"]
    joined.copy().write_h5ad(tmp_path / "joined.h5ad")
    back = profiles(tmp_path / "joined.h5ad").obs
    pd.testing.assert_frame_equal(back[["text", "number"]], joined.obs[["text", "number"]])


def test_what_was_joined_says_what_was_kept():
    one, two = example(seed=1), example(seed=2)
    two.obs_names = [f"q{i}" for i in range(6)]
    joined, _ = join_phases({"I": one, "II": two})
    assert joined.uns["steps"][-4:] == [
        "I genes: 8 kept, 0 dropped (in every release)",
        "II genes: 8 kept, 0 dropped (in every release)",
        "I profiles: 6 kept, 0 dropped (all are kept)",
        "II profiles: 6 kept, 0 dropped (all are kept)",
    ]


@pytest.mark.parametrize("to_folder", [False, True])
def test_levels_are_not_joined_with_scores_unsaid(tmp_path, to_folder):
    levels, scores = example(seed=1), example(seed=2)
    levels.X = levels.X + 9
    scores.obs_names = [f"q{i}" for i in range(6)]
    phases = {"I": levels, "II": scores}
    join = (lambda: convert(phases, tmp_path / "both", genes=None)) if to_folder else (lambda: join_phases(phases))
    with pytest.warns(UserWarning, match=r"1 look like expression \(I: 0\.0% of 47 .* 1 like z-scores \(II: \d+\.\d%"):
        join()


def test_repeated_ids_are_refused_once_and_without_other_words(tmp_path):
    adata = example()
    for axis, names in (("obs", ["p0", "p0", *"abcd"]), ("var", ["100", "100", *"abcdef"])):
        twice = adata.copy()
        with warnings.catch_warnings(action="ignore"):
            setattr(twice, f"{axis}_names", names)
            twice.write_h5ad(tmp_path / f"{axis}.h5ad")
        what = "profile ids" if axis == "obs" else "gene ids"
        with pytest.raises(ValueError, match=rf"{what} of {axis}.h5ad must be unique; 1 stand more than once"):
            profiles(tmp_path / f"{axis}.h5ad")
        with pytest.raises(ValueError, match=rf"{what} of {axis}.h5ad must be unique"):
            convert(tmp_path / f"{axis}.h5ad", tmp_path / "folder", genes=None)
        with pytest.raises(ValueError, match=rf"{what} of the AnnData must be unique"):
            convert(twice, tmp_path / "folder", genes=None)


def test_the_missing_of_cmap_are_missing_in_every_format(tmp_path):
    adata = example()
    adata.X[2, 3] = -666
    adata.write_h5ad(tmp_path / "a.h5ad")
    assert np.isnan(profiles(tmp_path / "a.h5ad").X[2, 3])
    convert(tmp_path / "a.h5ad", tmp_path / "a", genes=None)
    assert np.isnan(profiles(tmp_path / "a").X[2, 3])


def test_phases_without_common_genes_are_refused():
    other = example()
    other.var_names = [f"g{i}" for i in range(8)]
    with pytest.raises(ValueError, match=r"the 2 named share none \(I: '100', '101', '102' and 5 more; II: 'g0'"):
        join_phases({"I": example(), "II": other})


TYPES = [
    "trt_cp",
    "trt_sh",
    "trt_sh",
    "trt_sh.cgs",
    "trt_sh.css",
    "trt_poscon",
    "ctl_vehicle",
    "ctl_vector.cns",
    "trt_x",
    "trt_cp",
]


def typed_profiles():
    ids = ["BRD-A", "TRCN1", "TRCN2", "CGS1", "CSS1", "BRD-P", "DMSO", "LACZ", "X1", None]
    names = ["drug", "TP53", "TP53", "TP53", "seed", "poscon", "DMSO", "LACZ", "x", "y"]
    obs = pd.DataFrame({"pert_type": TYPES, "pert_id": ids, "pert_name": names}, index=[f"p{i}" for i in range(10)])
    return AnnData(np.arange(20, dtype=np.float32).reshape(10, 2), obs=obs)


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        ({}, ["BRD-A", "TRCN1", "TRCN2"]),
        ({"label": "gene"}, ["BRD-A", "TP53", "TP53"]),
        ({"poscon": "keep"}, ["BRD-A", "TRCN1", "TRCN2", "BRD-P"]),
        ({"consensus": True}, ["BRD-A", "TRCN1", "TRCN2", "CGS1"]),
        ({"keep": ["trt_cp"], "consensus": True}, ["BRD-A"]),
        ({"keep": ["trt_x"]}, ["X1"]),
    ],
)
def test_only_treatments_are_kept(options, labels):
    adata = typed_profiles()
    kept, coverage = treatments(adata, **options)
    assert kept.obs["label"].tolist() == labels
    np.testing.assert_array_equal(kept.X, adata[kept.obs_names].X)
    assert coverage["dropped"].sum() == 10 - len(labels)
    assert "label" not in adata.obs


def test_no_control_is_a_treatment():
    adata = typed_profiles()
    kept, _ = treatments(adata, poscon="keep", consensus=True, keep=("trt_cp", "trt_sh", "trt_x"))
    assert is_control(adata.obs).sum() == 2
    assert not is_control(kept.obs).any()
    with pytest.raises(ValueError, match=r"none is: .*controls"):
        treatments(adata, keep=["trt_oe"])
    with pytest.raises(ValueError, match="needs the column"):
        treatments(AnnData(np.zeros((1, 1), dtype=np.float32), obs=pd.DataFrame({"x": [1]}, index=["p"])))
    with pytest.raises(ValueError, match=r"'pert_type', 'pert_id'; it has no columns at all. Give .*--sample-info"):
        treatments(AnnData(np.zeros((1, 1), dtype=np.float32)))


@pytest.mark.real
def test_slinky_with_its_published_tables(shared):
    folder = shared / "l1000"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        adata = profiles(
            folder / "original" / "slinky_demo.gctx",
            genes="landmark",
            gene_info=folder / "landmark_genes.tsv",
            sample_info=folder / "original" / "slinky_demo_inst_info.txt",
        )
    stored = np.load(folder / "level3_slinky_mcf7_n131_int.npz")
    order = adata.var_names.get_indexer(stored["gene_id"].astype(str))
    np.testing.assert_array_equal(adata.X[:, order], stored["X"])
    counts = adata.obs["pert_type"].value_counts().to_dict()
    assert counts == {"ctl_vehicle": 59, "ctl_vector": 55, "trt_sh": 12, "trt_cp": 5}
    kept, _ = treatments(adata, label="gene")
    assert kept.obs["label"].value_counts().to_dict() == {"E2F3": 12, "BRD-K55044200": 5}
    assert is_control(adata.obs).sum() == 114


@pytest.mark.real
def test_files_of_different_row_order_are_joined(shared):
    folder = shared / "l1000" / "original"
    one = profiles(folder / "CORE_A_level4_ZSPCINF_n40x12328.gctx")
    two = profiles(folder / "slinky_demo.gctx")
    assert one.var_names[0] != two.var_names[0]
    with pytest.warns(UserWarning, match=r"1 look like expression \(old: 0.0% .* and 1 like z-scores \(new: 48.1% of"):
        joined, coverage = join_phases({"new": one, "old": two})
    # 25 of the ids were changed between the releases.
    assert joined.shape == (171, 12_303)
    assert coverage["dropped"].tolist() == [25, 25, 0, 0]
    np.testing.assert_array_equal(joined[two.obs_names, "5720"].X, two[:, "5720"].X)


def test_a_memory_map_stays_one_where_every_profile_is_a_treatment(tmp_path: Path) -> None:
    values = np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", dtype=np.float16, shape=(3, 2))
    values.flush()
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r").view(np.ndarray)
    obs = pd.DataFrame({"pert_type": ["trt_cp"] * 3, "pert_id": list("aab")}, index=list("xyz"))
    given = AnnData(mapped, obs=obs)
    kept, _ = treatments(given)
    assert np.shares_memory(kept.X, mapped)
    assert kept.obs["label"].tolist() == list("aab")
    assert "label" not in given.obs
    given.obs.loc["x", "pert_type"] = "ctl_vehicle"
    assert not np.shares_memory(treatments(given)[0].X, mapped)
