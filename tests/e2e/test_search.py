"""Search on the command line: a reference is built and asked in every way, and bad input is told in words.

What is one process a case for the user is one call here: an interpreter takes longer to start than a search. Some cases
run as the user's do.
"""

from __future__ import annotations

import json
from contextlib import chdir
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad
from commands import galenic

from galenic.cli.main import _explain
from galenic.cli.search import command, show
from galenic.data.convert import convert
from galenic.data.gctx.gct import write_gct
from galenic.data.gctx.gctx import write_gctx
from galenic.data.simulate import profiles
from galenic.models.profiles.similarities import Euclidean, RawCosine


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, profiles in several formats, gene lists, counts, and a reference of them."""
    folder = tmp_path_factory.mktemp("search")
    rng = np.random.default_rng(0)
    adata = profiles(n_perturbagens=60, n_genes=200, stress=0.2, seed=1)
    known = adata.obs.drop_duplicates("pert_id")[["pert_id", "moa"]].assign(smiles="CCO", target=None)
    known.loc[known["moa"] == "statin", "target"] = "HMGCR"
    known.to_csv(folder / "known.csv", index=False)
    adata.obs = adata.obs.drop(columns="moa")
    RawCosine().fit(adata).save(folder / "model")
    adata.write_h5ad(folder / "profiles.h5ad")
    write_gctx(adata[:4].copy(), folder / "query.gctx")
    write_gct(adata[:1].copy(), folder / "query.gct")
    adata[:2].to_df().T.rename_axis("gene").to_csv(folder / "query.csv")
    convert(adata, folder / "store", genes=None)
    order = np.argsort(-adata.X[30])
    (folder / "up.txt").write_text("# raised\n" + "\n".join(adata.var["symbol"].iloc[order[:30]]) + "\n")
    (folder / "down.grp").write_text("\n".join(adata.var_names[order[-30:]]) + "\n")
    base = rng.lognormal(5, 1, 200)
    rates = np.vstack([np.tile(base, (4, 1)), np.tile(base * np.exp(0.2 * adata.X[30]), (3, 1))])
    samples = [*(f"c{i}" for i in range(4)), *(f"t{i}" for i in range(3))]
    counts = pd.DataFrame(
        rng.poisson(rates * rng.lognormal(0, 0.05, rates.shape)), index=samples, columns=adata.var["symbol"].to_numpy()
    )
    counts.T.rename_axis("gene").to_csv(folder / "counts.csv")
    counts.iloc[:, :120].to_csv(folder / "few.csv")
    labelled = AnnData(
        counts.astype("float32"), obs=pd.DataFrame({"is_control": [i < 4 for i in range(7)]}, index=samples)
    )
    labelled.write_h5ad(folder / "counts.h5ad")
    flags = ("--annotations", "known.csv", "--gene-sets", "--out", "reference")
    shown = galenic("search", "build", "model", "profiles.h5ad", *flags, cwd=folder)
    assert shown.returncode == 0, shown.stderr
    assert "60 perturbagens, 240 profiles, RawCosine" in shown.stdout
    assert "perturbagens with moa: 60 kept, 0 not (known of all)" in shown.stdout
    assert "perturbagens with target: 6 kept, 54 not (nothing is known of them)" in shown.stdout
    return folder


def asked(folder: Path, *flags: object) -> pd.DataFrame:
    """Hits of a query that must work."""
    arguments = ["query", "reference", *flags, "--out", "run", "--overwrite"]
    with chdir(folder):
        command().main(list(map(str, arguments)), standalone_mode=False)
    return pd.read_csv(folder / "run" / "hits.csv")


def refused(folder: Path, *arguments: object) -> int:
    """Exit code of what must not work; its words go to the error stream."""
    with chdir(folder), pytest.raises(Exception) as caught:
        command().main([*map(str, arguments), "--out", "never"], standalone_mode=False)
    assert not (folder / "never").exists()
    return _explain(caught.value)


def test_a_query_by_name_writes_a_run_folder_and_prints_hits(folder: Path) -> None:
    shown = galenic("search", "query", "reference", "--name", "Compound 7", "--k", 20, "--out", "run", cwd=folder)
    assert shown.returncode == 0, shown.stderr
    hits = pd.read_csv(folder / "run" / "hits.csv")
    assert len(hits) == 20
    assert hits["pert_name"].iloc[0] in shown.stdout
    names = {path.name for path in (folder / "run").iterdir()}
    assert {"run.json", "hits.csv", "enrichment.csv", "query.csv", "map.csv", "report.html"} <= names
    record = json.loads((folder / "run" / "run.json").read_text())
    assert record["state"] == "done"
    assert record["verb"] == "search"
    assert record["fields"]["name"] == "Compound 7"
    known = pd.read_csv(folder / "known.csv").set_index("pert_id")["moa"]
    first = pd.read_csv(folder / "run" / "enrichment.csv").iloc[0]
    assert first["label"] == known["SIM-00007"]
    assert first["q_value"] < 0.05
    assert (hits["tanimoto"] == 1).all()
    assert hits["above"].is_monotonic_decreasing
    # Headings are whole at 80 columns.
    assert all(word in shown.stdout for word in ("similarity", "above", "structure", "perturbagen"))
    page = (folder / "run" / "report.html").read_text(encoding="utf-8")
    assert "AUROC of a mechanism" in page
    assert "RMSE" not in page
    before = (folder / "run" / "report.html").stat().st_mtime_ns
    assert galenic("report", "run", cwd=folder).returncode == 0
    assert (folder / "run" / "report.html").stat().st_mtime_ns > before


def test_every_format_of_a_profile_asks_the_same(folder: Path) -> None:
    expected = asked(folder, "--profile", "query.gct")
    assert expected["pert_id"].iloc[0] == "SIM-00000"
    row = expected["query"].iloc[0]
    for file in ("query.gctx", "query.csv", "profiles.h5ad", "store"):
        hits = asked(folder, "--profile", file, "--row", row)
        assert hits["pert_id"].tolist() == expected["pert_id"].tolist()
        np.testing.assert_allclose(hits["similarity"], expected["similarity"], atol=1e-5)
    hits = asked(folder, "--profile", "query.gctx", "--k", 3)
    assert len(hits) == 4 * 3


def test_reversed_levels_and_filters(folder: Path) -> None:
    forth = asked(folder, "--profile", "query.gct", "--k", 60)
    back = asked(folder, "--profile", "query.gct", "--k", 60, "--reverse")
    assert back["pert_id"].tolist() == forth["pert_id"].tolist()[::-1]
    where = "cell=A375|A549,dose=5..20,time=24,type=trt_cp"
    hits = asked(folder, "--name", "compound 7", "--level", "profile", "--where", where)
    assert set(hits["cell"]) == {"A375", "A549"}
    for combine in ("mean", "max", "q67"):
        hits = asked(folder, "--name", "compound 7", "--combine", combine, "--where", "cell=A375")
        assert len(hits) == 50


def test_lists_of_genes_from_files_and_from_the_line(folder: Path) -> None:
    hits = asked(folder, "--up", "up.txt", "--down", "down.grp")
    assert hits["pert_id"].iloc[0] == "SIM-00007"
    assert {"tau", "wtcs"} <= set(hits)
    listed = ",".join((folder / "up.txt").read_text().split("\n", 1)[1].split())
    again = asked(folder, "--up", listed, "--down", "down.grp")
    assert again["pert_id"].tolist() == hits["pert_id"].tolist()


@pytest.mark.parametrize(
    "flags", [("counts.csv", "--controls", "c0,c1,c2,c3"), ("counts.h5ad", "--controls", "is_control")]
)
def test_counts_are_compared_with_their_controls(folder: Path, flags: tuple[str, ...]) -> None:
    hits = asked(folder, "--counts", *flags)
    assert set(hits["query"]) == {flags[0]}
    assert hits["pert_id"].iloc[0] == "SIM-00007"
    assert (folder / "run" / "coverage.csv").is_file()
    one = asked(folder, "--counts", *flags, "--row", "t1")
    assert set(one["query"]) == {"t1"}


def test_a_store_and_joined_files_build_the_same_reference(folder: Path) -> None:
    assert galenic("search", "build", "model", "store", "--out", "other", cwd=folder).returncode == 0
    left, right = (np.load(folder / name / "profiles" / "vectors.npy") for name in ("other", "reference"))
    np.testing.assert_array_equal(left, right)
    shown = galenic("search", "build", "model", "query.gctx", "profiles.h5ad", "--out", "two", cwd=folder)
    assert shown.returncode == 0, shown.stderr
    assert "244 profiles" in shown.stdout


QUERIES = {
    "no query": ((), "received none"),
    "two kinds of query": (("--name", "x", "--up", "up.txt"), "received --name and --up or --down"),
    "an unknown name": (("--name", "compuond 3"), "Did you mean 'compound 3'"),
    "counts without controls": (("--counts", "counts.csv"), "--counts TABLE with --controls NAMES"),
    "controls without counts": (("--name", "compound 3", "--controls", "c0"), "received one without the other"),
    "unknown controls": (("--counts", "counts.csv", "--controls", "c0,c1,c9"), "'c9' should be one of the 7"),
    "too few controls": (("--counts", "counts.csv", "--controls", "c0,c1"), "should have 3 controls or more"),
    "only controls": (("--counts", "counts.csv", "--controls", "c0,c1,c2,c3,t0,t1,t2"), "all 7 of counts.csv are"),
    "too few landmarks": (("--counts", "few.csv", "--controls", "c0,c1,c2"), "80% of the 200 landmark genes"),
    "a filter without a value": (("--name", "compound 3", "--where", "cell"), "received 'cell'"),
    "a filter of text on numbers": (("--name", "compound 3", "--where", "dose=high"), "dose holds numbers"),
    "an unknown cell": (("--name", "compound 3", "--where", "cell=A357"), "Near 'A357': 'A375'"),
    "an unknown row": (("--profile", "query.gctx", "--row", "nobody"), "'nobody' should be one of the 4"),
    "a row of a name": (("--name", "compound 3", "--row", "x"), "--row goes with --profile or --counts"),
    "no file": (("--profile", "nowhere.gctx"), "does not exist"),
    "too many profiles": (("--profile", "profiles.h5ad"), "at most 100 profiles"),
    "a cut file": (("--profile", "cut.gctx"), "should be a whole HDF5 file"),
    "a cut h5ad": (("--profile", "cut.h5ad"), "should be a whole HDF5 file"),
    "another gene space": (("--profile", "mouse.h5ad"), "at least 80% of the 200 genes"),
    "a table of other genes": (("--profile", "mouse.csv"), "none of its columns"),
    "text in numbers": (("--profile", "text.csv"), "should be a number"),
    "repeated ids": (("--profile", "twice.csv"), "stand"),
    "a row that stands twice": (("--profile", "repeated.csv", "--row", "p"), "1 stand more than once (first: 'p')"),
    "a row of GCT that stands twice": (("--profile", "repeated.gct", "--row", "p"), "more than once (first: 'p')"),
    "profiles combined": (("--name", "compound 3", "--level", "profile", "--combine", "max"), "nothing to merge"),
    "levels of expression": (("--profile", "levels.csv"), "query profiles should be z-scores"),
    "Ensembl counts": (
        ("--counts", "ensembl.csv", "--controls", "c0,c1,c2"),
        "and 197 more, Ensembl ids) or rows (first: 'c0'",
    ),
    "Ensembl counts, remedy": (("--counts", "ensembl.csv", "--controls", "c0,c1,c2"), "name --gene-info FILE"),
    "Ensembl h5ad": (("--counts", "ensembl.h5ad", "--controls", "is_control"), "name --gene-info FILE"),
    "mouse counts": (("--counts", "mouse_counts.h5ad", "--controls", "is_control"), "translate them by orthologs"),
    "genes that nobody knows": (("--up", "A,B,C"), "0 of 3 are"),
    "lists combined otherwise": (("--up", "up.txt", "--combine", "max"), "Leave --combine out"),
    "no list": (("--up", "nowhere.txt"), "does not exist"),
    "a list that is no text": (("--up", "profiles.h5ad"), "not text in UTF-8"),
}


@pytest.fixture(scope="module")
def bad(folder: Path) -> Path:
    """Files that cannot be queries."""
    for name, source in (("cut.gctx", "query.gctx"), ("cut.h5ad", "profiles.h5ad")):
        content = (folder / source).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])
    frame = pd.read_csv(folder / "query.csv", index_col=0)
    mouse = frame.set_axis([f"Mouse{i}" for i in range(len(frame))]).rename_axis("gene")
    mouse.to_csv(folder / "mouse.csv")
    AnnData(mouse.T.astype("float32")).write_h5ad(folder / "mouse.h5ad")
    text = frame.astype(str)
    text.iloc[3, 0] = "high"
    text.to_csv(folder / "text.csv")
    levels = read_h5ad(folder / "profiles.h5ad")
    levels.X = np.abs(levels.X) + 4
    levels.write_h5ad(folder / "expression.h5ad")
    levels.X[:] = 0
    levels.write_h5ad(folder / "zeros.h5ad")
    Euclidean().fit(profiles(n_perturbagens=10, n_genes=200)).save(folder / "euclidean")
    pd.concat([frame, frame.iloc[:3]]).to_csv(folder / "twice.csv")
    (frame.abs() + 4).to_csv(folder / "levels.csv")
    repeated = frame.T.set_axis(["p", "p"]).rename_axis("profile")
    repeated.to_csv(folder / "repeated.csv")
    head = ["#1.2", f"{repeated.shape[1]}\t2", "\t".join(["NAME", "Description", "p", "p"])]
    body = ["\t".join([str(gene), "na", *map(str, repeated[gene])]) for gene in repeated]
    (folder / "repeated.gct").write_text("\n".join([*head, *body]) + "\n")
    counts = pd.read_csv(folder / "counts.csv", index_col=0).T
    obs = pd.DataFrame({"is_control": [i < 4 for i in range(7)]}, index=counts.index)
    letters = [f"{'BCDFGHJKLM'[i // 20]}{'aeiou'[i // 4 % 5]}{'pqrs'[i % 4]}" for i in range(200)]
    for name, genes in (("ensembl", [f"ENSG{i:011d}" for i in range(200)]), ("mouse_counts", letters)):
        AnnData(counts.set_axis(genes, axis=1).astype("float32"), obs=obs).write_h5ad(folder / f"{name}.h5ad")
    counts.set_axis([f"ENSG{i:011d}" for i in range(200)], axis=1).to_csv(folder / "ensembl.csv")
    return folder


@pytest.mark.parametrize("fault", QUERIES)
def test_bad_queries_end_in_words(fault: str, bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags, words = QUERIES[fault]
    code = refused(bad, "query", "reference", *flags)
    said = capsys.readouterr().err
    assert words in said
    assert code == 2, said


@pytest.mark.parametrize("fault", ["an unknown name", "a cut file", "another gene space"])
def test_bad_queries_end_in_words_for_the_user(fault: str, bad: Path) -> None:
    flags, words = QUERIES[fault]
    shown = galenic("search", "query", "reference", *flags, "--out", "never", cwd=bad)
    assert shown.returncode == 2, shown.stderr
    assert words in shown.stderr
    assert not (bad / "never").exists()


def test_headings_are_whole_at_80_columns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    hits = pd.DataFrame({"query": "q", "rank": range(1, 13), "pert_name": "a name of very many letters"})
    hits = hits.assign(similarity=-0.123, cosine=0.9, above=0.9999, tanimoto=0.5, cell="BT20", moa="x inhibitor " * 4)
    show(hits, pd.DataFrame([{"query": "q", "searched": 12, "flag": "weak", "reason": "few"}]))
    said = capsys.readouterr().out.splitlines()
    assert max(map(len, said)) <= 80
    heads = ["perturbagen", "similarity", "above", "cosine", "structure", "cell", "moa"]
    assert said[1].split() == heads
    for word in ("-0.123", ">99.9%", "0.90", "0.50", "BT20"):
        assert word in said[2]
    assert said[-2] == "q: weak (few)"


BUILDS = {
    "expression": (("model", "expression.h5ad"), "profiles of a reference should be z-scores"),
    "nothing but zeros": (("model", "zeros.h5ad"), "240 of 240 are empty"),
    "a model that cannot be indexed": (("euclidean", "profiles.h5ad"), "Euclidean is not one"),
    "a cut file": (("model", "cut.h5ad"), "should be a whole HDF5 file"),
    "no ids": (("model", "mouse.h5ad"), "pert_id"),
    "no model": (("nowhere", "profiles.h5ad"), "does not exist"),
    "other annotations": (("model", "profiles.h5ad", "--annotations", "counts.csv"), "pert_id or pert_name"),
}


@pytest.mark.parametrize("fault", BUILDS)
def test_bad_builds_end_in_words(fault: str, bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, words = BUILDS[fault]
    code = refused(bad, "build", *arguments)
    said = capsys.readouterr().err
    assert words in said
    assert code == 2, said


def test_a_model_is_no_reference_and_a_reference_is_not_replaced(bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(bad, "query", "model", "--name", "x") == 2
    assert "a reference is a folder with reference.json" in capsys.readouterr().err
    before = (bad / "reference" / "reference.json").read_bytes()
    with chdir(bad), pytest.raises(ValueError, match="holds an earlier one"):
        command().main(["build", "model", "profiles.h5ad", "--out", "reference"], standalone_mode=False)
    assert (bad / "reference" / "reference.json").read_bytes() == before


@pytest.mark.parametrize("verb", [(), ("build",), ("query",)])
def test_help_names_every_flag(verb: tuple[str, ...], tmp_path: Path) -> None:
    shown = galenic("search", *verb, "--help", cwd=tmp_path)
    assert shown.returncode == 0
    for word in {(): ("build", "query"), ("build",): ("--gene-sets", "--annotations"), ("query",): ("--where",)}[verb]:
        assert word in shown.stdout
