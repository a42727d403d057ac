"""Profiles on the command line: every format into every other, and bad files told in words."""

from __future__ import annotations

import gzip
import inspect
from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from commands import DATA, galenic

from galenic.cli.profiles import SimulatedFlags
from galenic.data.convert import convert
from galenic.data.gctx.gct import write_gct
from galenic.data.gctx.gctx import write_gctx
from galenic.data.read import profiles
from galenic.data.simulate import profiles as simulated


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two phases of one study, with tables beside them."""
    folder = tmp_path_factory.mktemp("profiles")
    rng = np.random.default_rng(0)
    for name, n, order in (
        ("GSE92742_level3.gctx", 40, slice(None)),
        ("GSE70138_level3.gct", 30, slice(None, None, -1)),
    ):
        ids = [f"{name[:8]}:{i}" for i in range(n)]
        var = pd.DataFrame(index=[str(i) for i in range(100, 120)])
        adata = AnnData(rng.normal(8, 2, size=(n, 20)).astype(np.float32), obs=pd.DataFrame(index=ids), var=var)[
            :, order
        ]
        (write_gctx if name.endswith("x") else write_gct)(adata.copy(), folder / name)
        info = pd.DataFrame({"inst_id": ids, "pert_id": [f"BRD-{i % 8}" for i in range(n)], "cell_id": "A549"})
        info["pert_type"] = ["ctl_vehicle" if i % 8 == 0 else "trt_cp" for i in range(n)]
        info["pert_dose"], info["pert_time"] = 10, 24
        info["rna_plate" if n == 40 else "det_plate"] = [f"P{i % 2}" for i in range(n)]
        info.to_csv(folder / f"{name[:8]}_inst_info.txt", sep="\t", index=False)
    genes = pd.DataFrame({"pr_gene_id": range(100, 120), "pr_gene_symbol": "X", "pr_is_lm": [1, 0] * 10})
    genes.assign(pr_gene_symbol=[f"G{i}" for i in range(20)]).to_csv(folder / "gene_info.txt", sep="\t", index=False)
    return folder


TABLES = ("--gene-info", "gene_info.txt", "--sample-info", "GSE92742_inst_info.txt")


def test_every_format_gives_the_same_profiles(folder: Path) -> None:
    first = profiles(
        folder / "GSE92742_level3.gctx",
        genes="landmark",
        gene_info=folder / "gene_info.txt",
        sample_info=folder / "GSE92742_inst_info.txt",
    )
    source, tables = "GSE92742_level3.gctx", TABLES
    for out in ("store", "a.gct", "a.gct.gz", "a.gctx", "a.h5ad"):
        shown = galenic("data", "convert", source, *tables, "--out", out, cwd=folder)
        assert shown.returncode == 0, shown.stderr
        assert "40 profiles x 10 genes" in shown.stdout
        assert "trt_cp 35, ctl_vehicle 5" in shown.stdout
        again = profiles(folder / out)
        np.testing.assert_array_equal(again.X, first.X)
        pd.testing.assert_frame_equal(again.obs[list(first.obs)], first.obs)
        assert again.var["symbol"].tolist() == first.var["symbol"].tolist()
        source, tables = out, ()


@pytest.mark.parametrize("out", ["both", "both.h5ad"])
def test_phases_are_joined(folder: Path, out: str) -> None:
    infos = "GSE92742_inst_info.txt,GSE70138_inst_info.txt"
    files = ("GSE92742_level3.gctx", "GSE70138_level3.gct")
    flags = ("--gene-info", "gene_info.txt", "--sample-info", infos, "--out", out)
    shown = galenic("data", "convert", *files, *flags, cwd=folder)
    assert shown.returncode == 0, shown.stderr
    assert "- GSE92742 genes: 10 kept, 0 dropped (in every release)" in shown.stdout
    assert "- GSE70138 profiles: 30 kept, 0 dropped (all are kept)" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 120
    joined = profiles(folder / out)
    assert joined.shape == (70, 10)
    assert joined.obs["phase"].astype(str).value_counts().to_dict() == {"GSE92742": 40, "GSE70138": 30}
    assert joined.obs["plate"].notna().all()
    for file in files:
        own = profiles(folder / file)
        np.testing.assert_array_equal(joined[own.obs_names].X, own[:, joined.var_names].X)


def test_levels_are_computed(folder: Path) -> None:
    shown = galenic("data", "convert", "GSE92742_level3.gctx", *TABLES, "--out", "z.h5ad", "--level", 4, cwd=folder)
    assert shown.returncode == 0, shown.stderr
    assert "robust z against the population of each plate" in shown.stdout
    shown = galenic("data", "convert", "z.h5ad", "--out", "signatures", "--level", 5, cwd=folder)
    assert shown.returncode == 0, shown.stderr
    assert "8 profiles x 10 genes" in shown.stdout
    shown = galenic("data", "check", "z.h5ad", cwd=folder)
    assert shown.returncode == 0, shown.stderr
    assert "z-scores" in shown.stdout
    for file, level, message in (("GSE92742_level3.gctx", 5, "should be z-scores"), ("z.h5ad", 4, "scores already")):
        shown = galenic("data", "convert", file, *TABLES, "--out", "never.h5ad", "--level", level, cwd=folder)
        assert shown.returncode == 2, shown.stdout
        assert message in shown.stderr
    assert profiles(folder / "signatures").obs["n_replicates"].tolist() == [5] * 8


def test_check_says_what_a_file_of_profiles_is(folder: Path) -> None:
    for file, what in (("GSE92742_level3.gctx", "GCTX"), ("GSE70138_level3.gct", "GCT")):
        shown = galenic("data", "check", file, cwd=folder)
        assert shown.returncode == 0, shown.stderr
        text = " ".join(shown.stdout.split())
        assert f"profiles ({what})" in text
        assert "level 3" in text
        assert "--gene-info" in text


def bad(folder: Path, name: str) -> Path:
    """A file with one fault."""
    path = folder / f"bad-{name}.gctx"
    whole = (folder / "GSE92742_level3.gctx").read_bytes()
    text = (folder / "GSE70138_level3.gct").read_text()
    contents = {
        "empty": b"",
        "page": b"<!doctype html><html>Sign in</html>",
        "cut": whole[: len(whole) // 2],
        "gzip": gzip.compress(text.encode())[:-20],
        "sizes": text.replace("20\t30\t", "21\t30\t", 1).encode(),
        "huge": b"#1.3\n1000000000\t1000000000\t0\t0\nid\tp1\n",
        "text": text.replace("\n119\t", "\n119\thigh", 1).encode(),
        "repeated": text.replace("GSE70138:1\t", "GSE70138:2\t", 1).encode(),
    }
    if name == "folder":
        path.mkdir(exist_ok=True)
    elif name == "other":
        with h5py.File(path, "w") as file:
            file["x"] = [1]
    else:
        path.write_bytes(contents[name])
    return path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty", "0 bytes"),
        ("page", "should be GCT"),
        ("cut", "whole HDF5 file"),
        ("gzip", "whole compressed file"),
        ("sizes", "should hold 21 genes"),
        ("huge", "1,000,000,001 fields"),
        ("text", "should be a number; gene '119' holds 'high"),
        ("repeated", "must be unique; 1 stand more than once"),
        ("folder", "should hold store.json"),
        ("other", "other HDF5, which holds 'x'"),
    ],
)
def test_bad_files_end_with_words_and_exit_code_2(folder: Path, name: str, message: str) -> None:
    path = bad(folder, name)
    shown = galenic("data", "convert", path.name, "--genes", "all", "--out", "never", cwd=folder)
    assert shown.returncode == 2, shown.stdout + shown.stderr
    assert shown.stderr.strip().startswith("Error: ")
    assert message in shown.stderr
    assert not list(folder.glob("*never*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("GSE92742_level3.gctx", "--out", "never"), "Give gene_info= (--gene-info)"),
        (("GSE92742_level3.gctx", "--genes", "all", "--out", "never.csv"), "which ends in '.csv'. Correct the name."),
        (("GSE92742_level3.gctx", "--genes", "all", "--out", "gene_info.txt/never.gct"), "gene_info.txt, where never"),
        (("nowhere.gctx", "--out", "never"), "does not exist"),
        (("GSE92742_level3.gctx", "--genes", "all", "--out", "store"), "new folder; store exists"),
        (("GSE92742_level3.gctx", "--out", "never", "--response", "x.csv"), "--response is for responses"),
        (("GSE92742_level3.gctx", "--out", "never", "--layout", "gdsc"), "--layout is for responses"),
        ((*DATA, "--out", "never", "--genes", "all"), "--genes is for profiles"),
        (("GSE92742_level3.gctx", "--genes", "all", "--out", "a.gct", "--dtype", "float16"), "--dtype is for a folder"),
        (("a.h5ad", "a.gct", "--out", "never"), "should differ in name"),
        (("a.gct", "--sample-info", "a,b", "--out", "never"), "one for each of the 1; it names 2"),
        (
            ("GSE92742_level3.gctx", "--genes", "all", "--out", "never.h5ad", "--level", "4"),
            "needs the column(s) 'plate'",
        ),
    ],
)
def test_flags_that_do_not_fit(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    (folder / "store").mkdir(exist_ok=True)
    shown = galenic("data", "convert", *arguments, cwd=folder)
    assert shown.returncode == 2, shown.stdout + shown.stderr
    assert message in shown.stderr
    assert not (folder / "never").exists()


def test_nothing_is_replaced_unasked_and_an_input_never(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "self.gct"
    source.write_bytes((folder / "GSE70138_level3.gct").read_bytes())
    (tmp_path / "link.gct").symlink_to(source)
    before = source.read_bytes()
    flags = ("--genes", "all")
    for out in ("self.gct", "link.gct", "./self.gct"):
        for more in ((), ("--overwrite",)):
            shown = galenic("data", "convert", "self.gct", *flags, "--out", out, *more, cwd=tmp_path)
            assert shown.returncode == 2, shown.stdout
            assert f"new file; {out} is read as input. Name another." in shown.stderr
    for out, noun in (("a.gctx", "file"), ("a.h5ad", "file"), ("a.gct.gz", "file"), ("a", "folder")):
        assert galenic("data", "convert", "self.gct", *flags, "--out", out, cwd=tmp_path).returncode == 0
        shown = galenic("data", "convert", "self.gct", *flags, "--out", out, cwd=tmp_path)
        assert shown.returncode == 2, shown.stdout
        assert f"a new {noun}; {out} exists" in shown.stderr
        assert "replace it with --overwrite." in shown.stderr
        shown = galenic("data", "convert", "self.gct", *flags, "--out", out, "--overwrite", cwd=tmp_path)
        assert shown.returncode == 0, shown.stderr
        assert profiles(tmp_path / out).shape == (30, 20)
    shown = galenic("data", "convert", "a", *flags, "--out", "a", "--overwrite", cwd=tmp_path)
    assert "new folder; a is read as input" in shown.stderr
    (tmp_path / "mine").mkdir()
    shown = galenic("data", "convert", "self.gct", *flags, "--out", "mine", "--overwrite", cwd=tmp_path)
    assert "a folder that is no store of profiles. Name another, or remove it first." in shown.stderr
    assert source.read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("out", ["q.gct", "q.gctx", "q.h5ad", "q"])
def test_where_the_system_lets_nothing_be_written(folder: Path, out: str) -> None:
    """Names of 300 letters are refused by the system only once they are written."""
    out = "q" * 300 + out
    shown = galenic("data", "convert", "GSE70138_level3.gct", "--genes", "all", "--out", out, cwd=folder)
    assert shown.returncode == 2, shown.stderr
    assert "should be a place to write to; the system refuses it (File name too long). Check" in shown.stderr


def test_commands_leave_a_converted_folder_on_disk(tmp_path: Path) -> None:
    from galenic.cli.profiles import on_disk

    simulated(n_perturbagens=4, n_genes=30).write_h5ad(tmp_path / "given.h5ad")
    convert(tmp_path / "given.h5ad", tmp_path / "store", dtype="float16")
    folder = [str(tmp_path / "store")]
    adata = on_disk(folder, None)
    assert adata is not None
    assert adata.X.dtype == np.float16
    assert not adata.X.flags.writeable  # a memory map, as open_store gives it
    assert on_disk(folder, "landmark") is not None  # all of them are
    assert on_disk(folder, None, "genes.csv") is None
    assert on_disk([*folder, *folder], None) is None
    assert on_disk([str(tmp_path / "given.h5ad")], None) is None


def test_profiles_are_simulated_from_the_command_line(tmp_path: Path) -> None:
    signature = inspect.signature(simulated).parameters
    assert asdict(SimulatedFlags()) == {name: parameter.default for name, parameter in signature.items()}
    flags = ("--n-perturbagens", 6, "--n-genes", 12, "--n-cells", 2, "--seed", 3)
    shown = galenic("data", "simulate", "profiles", *flags, "--out", "new/s.h5ad", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "12 profiles x 12 genes" in shown.stdout
    expected = simulated(6, 12, n_cells=2, seed=3)
    found = profiles(tmp_path / "new" / "s.h5ad")
    np.testing.assert_array_equal(found.X, expected.X)
    assert found.obs["moa"].tolist() == expected.obs["moa"].tolist()
    assert galenic("data", "check", "new/s.h5ad", cwd=tmp_path).returncode == 0
    shown = galenic("data", "simulate", "profiles", *flags, "--out", "new/s.h5ad", cwd=tmp_path)
    assert shown.returncode == 2
    assert "s.h5ad exists" in shown.stderr
    shown = galenic("data", "simulate", "profiles", *flags, "--out", "new/s.h5ad", "--overwrite", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    shown = galenic("data", "simulate", "profiles", *flags, "--out", "s.gct", cwd=tmp_path)
    assert "should end in .h5ad" in shown.stderr


@pytest.mark.real
def test_the_published_files(shared: Path, tmp_path: Path) -> None:
    folder = shared / "l1000"
    for path in sorted((folder / "original").glob("*.gct*")):
        shown = galenic("data", "convert", path, "--genes", "all", "--out", path.stem, cwd=tmp_path)
        assert shown.returncode == 0, shown.stderr
        np.testing.assert_array_equal(profiles(tmp_path / path.stem).X, profiles(path).X)
