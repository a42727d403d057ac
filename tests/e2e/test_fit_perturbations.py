"""Models of perturbations as a user fits, judges, asks and scores them."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from commands import galenic as run_galenic

import galenic
from galenic.data.simulate import perturbations

COLUMNS = ("--context", "line", "--perturbation", "compound", "--control", "DMSO")
FLOORS = {"NoEffect", "CopySource", "GlobalMeanEffect", "ContextMeanEffect", "MeanShift", "ScaledShift",
          "NearestContextShift", "LowRankEffect", "AdditivePairs"}  # fmt: skip


def simulated() -> AnnData:
    """5 compounds and two of their pairs in 3 lines, on two plates; columns are called as nobody would guess."""
    adata = perturbations(n_contexts=3, n_perturbations=5, n_genes=24, n_cells=6, pairs=2, interaction=0.4, seed=2)
    name = adata.obs["perturbation"].astype(str).replace({"control": "DMSO"})
    obs = pd.DataFrame({"line": adata.obs["cell_type"].astype(str), "compound": name}, index=adata.obs_names)
    obs["plate"] = [f"plate {row % 2}" for row in range(len(obs))]
    obs["uM"] = np.where(name == "DMSO", np.nan, np.where(np.arange(len(obs)) % 4 < 2, 0.1, 10.0))
    return AnnData(adata.X, obs=obs, var=adata.var)


def refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: object
) -> str:
    """What is said of bad input, with exit code 2; in this process, as there are many of them."""
    from galenic.cli.main import main

    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["galenic", *map(str, arguments)])
    with warnings.catch_warnings(), pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 2, said
    assert "Traceback" not in said
    return said


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("perturbed")
    adata = simulated()
    adata.write_h5ad(folder / "cells.h5ad")
    AnnData(np.rint(adata.X * 100), obs=adata.obs, var=adata.var).write_h5ad(folder / "counts.h5ad")
    X = adata.X.copy()
    X[5, 3] = np.nan
    AnnData(X, obs=adata.obs, var=adata.var).write_h5ad(folder / "missing.h5ad")
    lacking = adata[(adata.obs["line"] != "type B") | (adata.obs["compound"] != "DMSO")].copy()
    lacking.write_h5ad(folder / "lacking.h5ad")
    asked = pd.DataFrame({"line": ["type A", "type C"], "compound": ["P02", "never measured"]})
    asked.to_csv(folder / "asked.csv", index=False)
    adata[adata.obs["compound"] == "DMSO"].copy().write_h5ad(folder / "controls.h5ad")
    pd.DataFrame({"context": ["type Z"], "perturbation": ["P02"]}).to_csv(folder / "unknown.csv", index=False)
    pd.DataFrame({"cell": ["type A"], "drug": ["P02"]}).to_csv(folder / "odd.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def fitted(files: Path) -> Path:
    """A judged run."""
    out = files / "run"
    done = run_galenic(
        "fit", "stacked-shift", "--perturbed", "cells.h5ad", *COLUMNS, "--replicates", "plate", "--by",
        "pair,combination", "--folds", "2", "--seeds", "0,1", "--out", out, cwd=files,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "ScaledShift (floor)" in done.stdout
    assert "skill of StackedShift over" in done.stdout
    return out


def test_a_run_holds_scores_skill_effects_ceiling_and_a_model(files: Path, fitted: Path) -> None:
    metrics = pd.read_csv(fitted / "metrics.csv")
    assert set(metrics["model"]) == {*FLOORS, "StackedShift"}
    assert {"all", "type A", "2 seen"} <= set(metrics["group"])
    record = json.loads((fitted / "run.json").read_text())
    assert record["data"]["conditions"] == 21
    assert set(record["fields"]["floors"]) == FLOORS
    skill = pd.read_csv(fitted / "skill.csv")
    assert set(skill["floor"]) == FLOORS
    assert set(skill["metric"]) == {"mae", "pearson_delta", "discrimination"}
    best = skill[skill["best"] & (skill["metric"] == "mae")]
    assert len(best) == 2
    conditions = pd.read_csv(fitted / "conditions.csv")
    tested = conditions[conditions["model"] == "StackedShift"].groupby(["split", "seed"]).size()
    assert tested["pair"].tolist() == [21, 21]
    assert tested["combination"].tolist() == [6, 6]
    assert best["value"].tolist() == pytest.approx(
        [conditions[(conditions["model"] == "StackedShift") & (conditions["split"] == by)]["mae"].mean()
         for by in best["split"]]
    )  # fmt: skip
    effects = pd.read_parquet(fitted / "effects.parquet")
    assert set(effects["model"]) == {"StackedShift"}
    assert len(effects) == 27 * 24
    ceiling = pd.read_csv(fitted / "ceiling_halves.csv").set_index("metric")
    assert 0 < ceiling.loc["pearson_delta", "ceiling"] <= 1
    assert (fitted / "report.html").stat().st_size > 0
    adata = simulated()
    named = {"context": "line", "perturbation": "compound", "control": "DMSO"}
    expected = galenic.StackedShift().fit(adata, **named).predict(adata)
    np.testing.assert_array_equal(galenic.load(fitted).predict(adata).X, expected.X)


def test_predict_and_evaluate(files: Path, fitted: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "predicted.h5ad"
    done = run_galenic("predict", fitted, files / "cells.h5ad", "--out", out, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "21 conditions x 24 genes" in done.stdout
    assert "all answered by StackedShift itself" in done.stdout
    predicted, adata = anndata.read_h5ad(out), simulated()
    np.testing.assert_array_equal(predicted.X, galenic.load(fitted).predict(adata).X)
    assert not list(out.parent.glob(".*"))
    done = run_galenic(
        "evaluate", out, "--truth", files / "cells.h5ad", *COLUMNS, "--out", tmp_path / "scores", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    metrics = pd.read_csv(tmp_path / "scores" / "metrics.csv")
    frame = adata.to_df().groupby([adata.obs["line"].to_numpy(), adata.obs["compound"].to_numpy()]).mean()
    truth = np.stack(
        [frame.loc[key] for key in zip(*predicted.obs[["context", "perturbation"]].T.to_numpy(), strict=True)]
    )
    value = metrics.query("group == 'all' and metric == 'mae'")["value"].iloc[0]
    assert value == pytest.approx(np.abs(truth - predicted.X).mean(), abs=1e-6)
    assert metrics["model"].unique().tolist() == ["StackedShift"]
    assert len(pd.read_csv(tmp_path / "scores" / "conditions.csv")) == 21
    assert len(pd.read_parquet(tmp_path / "scores" / "effects.parquet")) == 21 * 24


def test_cells_that_stay_on_disk_give_the_same_scores_and_answers(files: Path, tmp_path: Path) -> None:
    read_h5ad = anndata.read_h5ad
    with warnings.catch_warnings(action="ignore"):  # of anndata, on the format that is to come
        read_h5ad(files / "cells.h5ad").write_zarr(tmp_path / "cells.zarr")
    for name, cells in (("held", files / "cells.h5ad"), ("disk", tmp_path / "cells.zarr")):
        only = ("--where", "plate=plate 0", "--by", "pair", "--folds", "2")
        run_galenic("fit", "mean-shift", "--perturbed", str(cells), *COLUMNS, *only, "--out", name, cwd=tmp_path)
        run_galenic("predict", name, str(cells), "--out", f"{name}.h5ad", cwd=tmp_path)
    written = {file.name for file in (tmp_path / "held").glob("*.csv")}
    assert {"metrics.csv", "comparison.csv", "skill.csv"} <= written
    for name in written:
        assert (tmp_path / "held" / name).read_bytes() == (tmp_path / "disk" / name).read_bytes()
    held, disk = (read_h5ad(tmp_path / f"{name}.h5ad") for name in ("held", "disk"))
    np.testing.assert_array_equal(disk.X, held.X)


def test_predictions_of_other_tools_are_averaged_and_their_controls_left_out(files: Path, tmp_path: Path) -> None:
    adata = simulated()
    odd = adata[:, ::-1].copy()
    odd.obs = odd.obs.rename(columns={"line": "cell_line"})
    odd.X[(odd.obs["compound"] == "DMSO").to_numpy()] = 1e3
    # One spelling of a combination in every second cell.
    names = odd.obs["compound"].astype(str)
    odd.obs["compound"] = np.where(np.arange(len(names)) % 2, names.str.split("+").str[::-1].str.join("+"), names)
    extra = odd[:2].copy()
    extra.obs["compound"] = "never measured"
    extra.obs_names = ["extra 1", "extra 2"]
    anndata.concat([odd, extra]).write_h5ad(tmp_path / "other.h5ad")
    done = run_galenic(
        "evaluate", "other.h5ad", "--truth", files / "cells.h5ad", *COLUMNS, "--out", "scores", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "of 22 predicted conditions were not measured" in "".join(
        json.loads((tmp_path / "scores" / "run.json").read_text())["warnings"]
    )
    metrics = pd.read_csv(tmp_path / "scores" / "metrics.csv").query("group == 'all'").set_index("metric")["value"]
    assert metrics["mae"] == pytest.approx(0, abs=1e-6)
    assert metrics["pearson_delta"] == pytest.approx(1)


def test_asked_conditions_and_what_fell_back(files: Path, fitted: Path, tmp_path: Path) -> None:
    asked = ["predict", fitted, files / "cells.h5ad", "--conditions", files / "asked.csv", "--out", "p.h5ad"]
    refused = run_galenic(*asked, cwd=tmp_path)
    assert refused.returncode == 2
    assert "'never measured'" in refused.stderr
    assert "--unknown keep" in refused.stderr
    assert not (tmp_path / "p.h5ad").exists()
    done = run_galenic(*asked, "--unknown", "keep", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 of 2 answered by a simpler model (ContextMeanEffect 1)" in done.stdout
    assert anndata.read_h5ad(tmp_path / "p.h5ad").obs_names.tolist() == ["type A|P02", "type C|never measured"]
    saved = galenic.MeanShift().fit(simulated(), context="line", perturbation="compound", control="DMSO")
    saved.save(tmp_path / "from_python")
    done = run_galenic("predict", "from_python", files / "cells.h5ad", "--out", "q.h5ad", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{files}/cells.h5ad", "--conditions", "{files}/unknown.csv", "--out", "x.h5ad"], "'type Z'"),
        (["{files}/cells.h5ad", "--conditions", "{files}/odd.csv", "--out", "x.h5ad"], "needs the column(s) 'context'"),
        (["{files}/cells.h5ad", "--conditions", "absent.csv", "--out", "x.h5ad"], "absent.csv"),
        (["{files}/lacking.h5ad", "--out", "x.h5ad"], "'type B'"),
        (["{files}/missing.h5ad", "--out", "x.h5ad"], "finite"),
        (["{files}/cells.h5ad", "--out", "x.csv"], "should end in .h5ad"),
        (["{files}/cells.h5ad", "--out", "{files}/cells.h5ad"], "cells.h5ad exists"),
        (["{files}/cells.h5ad", "--out", "{files}/cells.h5ad", "--overwrite"], "cells.h5ad exists"),
        (["absent.h5ad", "--out", "x.h5ad"], "absent.h5ad"),
        (["{files}/controls.h5ad", "--out", "x.h5ad"], "Give --conditions TABLE"),
        (["{files}/cells.h5ad", "--out", "x.h5ad", "--drugs", "d.csv"], "--drugs is for models of responses"),
    ],
)
def test_bad_questions_end_in_words(
    files: Path,
    fitted: Path,
    tmp_path: Path,
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = [argument.format(files=files) for argument in arguments]
    assert said in refused(capsys, monkeypatch, tmp_path, "predict", fitted, *given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "perturbed cells are expected: --perturbed FILE"),
        (["--perturbed", "absent.h5ad"], "absent.h5ad"),
        (["--perturbed", "{files}/asked.csv"], "should be a whole h5ad file"),
        (["--perturbed", "{files}/cells.h5ad", "--context", "lines"], "did you mean 'line'"),
        (["--perturbed", "{files}/cells.h5ad", "--perturbation", "compounds"], "did you mean 'compound'"),
        (["--perturbed", "{files}/cells.h5ad", "--control", "dmso"], "did you mean 'DMSO'"),
        (["--perturbed", "{files}/cells.h5ad", "--dose", "um"], "did you mean 'uM'"),
        (["--perturbed", "{files}/cells.h5ad", "--replicates", "batch"], "'batch'"),
        (["--perturbed", "{files}/cells.h5ad", "--replicates", "line"], "halves need a condition with two replicates"),
        (["--perturbed", "{files}/cells.h5ad", "--where", "plat=x"], "did you mean 'plate'"),
        (["--perturbed", "{files}/cells.h5ad", "--where", "plate=plate 7"], "did you mean"),
        (["--perturbed", "{files}/cells.h5ad", "--where", "plate"], "is written column=value"),
        (["--perturbed", "{files}/cells.h5ad", "--by", "pairs"], "did you mean 'pair'"),
        (["--perturbed", "{files}/cells.h5ad", "--by", "context", "--folds", "9"], "9 folds by context"),
        (["--perturbed", "{files}/cells.h5ad", "--by", "file"], "needs a split file or a column 'fold'"),
        (["--perturbed", "{files}/cells.h5ad", "--by", "file", "--fold-file", "absent.csv"], "absent.csv"),
        (["--perturbed", "{files}/counts.h5ad"], "raw counts"),
        (["--perturbed", "{files}/missing.h5ad"], "finite"),
        (["--perturbed", "{files}/controls.h5ad"], "all 18 rows are controls"),
        (["--perturbed", "{files}/lacking.h5ad"], "every context should have controls"),
    ],
)
def test_bad_input_ends_in_words(
    files: Path,
    tmp_path: Path,
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = [argument.format(files=files) for argument in arguments]
    columns = {COLUMNS[i]: COLUMNS[i + 1] for i in range(0, len(COLUMNS), 2)}
    named = [part for flag, value in columns.items() if flag not in given for part in (flag, value)]
    assert said in refused(capsys, monkeypatch, tmp_path, "fit", "scaled-shift", *given, *named, "--out", "run")
    assert not (tmp_path / "run").exists()


def test_bad_predictions_end_in_words(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    adata = simulated()
    adata.obs["compound"] = "never measured"
    adata.write_h5ad(tmp_path / "strange.h5ad")
    genes = simulated()
    genes.var_names = [f"other {name}" for name in genes.var_names]
    genes.write_h5ad(tmp_path / "genes.h5ad")
    blank = simulated()
    blank.X[:, 2] = np.nan
    blank.write_h5ad(tmp_path / "blank.h5ad")
    simulated()[:0].copy().write_h5ad(tmp_path / "empty.h5ad")
    bare = AnnData(adata.X, obs=adata.obs[["plate"]], var=adata.var)
    bare.write_h5ad(tmp_path / "bare.h5ad")
    truth = ("--truth", files / "cells.h5ad")
    for name, more, said in (
        ("strange.h5ad", truth, "some predicted conditions should have been measured"),
        ("genes.h5ad", truth, "should share genes; 0 of 24"),
        ("blank.h5ad", truth, "prediction should be finite"),
        ("empty.h5ad", truth, "some predicted conditions should have been measured"),
        ("bare.h5ad", truth, "should have a column 'context'"),
        ("strange.h5ad", (), "--truth FILE"),
        ("strange.h5ad", ("--truth", files / "lacking.h5ad"), "every context should have controls"),
    ):
        assert said in refused(capsys, monkeypatch, tmp_path, "evaluate", name, *more, *COLUMNS, "--out", "scores")
        assert not (tmp_path / "scores").exists()


PLAN = """
title = "Two floors"
[data]
perturbed = "cells.h5ad"
context = "line"
perturbation = "compound"
control = "DMSO"
where = "plate=plate 0"
{more}
[split]
by = ["pair"]
folds = 2
[[model]]
name = "LowRankEffect"
rank = [1, 2]
"""


def test_a_plan_of_perturbations_compares_models(files: Path, tmp_path: Path) -> None:
    (files / "plan.toml").write_text(PLAN.format(more=""))
    done = run_galenic("benchmark", files / "plan.toml", "--out", tmp_path / "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "72 cells" in done.stdout
    skill = pd.read_csv(tmp_path / "run" / "skill.csv")
    assert set(skill["model"]) == {"LowRankEffect, rank=1", "LowRankEffect, rank=2"}
    (files / "wrong.toml").write_text(PLAN.format(more="drugs = 'x.csv'"))
    done = run_galenic("benchmark", files / "wrong.toml", "--out", tmp_path / "other", cwd=tmp_path)
    assert done.returncode == 2
    assert "also has drugs" in done.stderr


def test_simulate_check_split_and_fit_on_that_split(tmp_path: Path) -> None:
    sizes = ("--n-contexts", "3", "--n-perturbations", "5", "--n-genes", "20", "--n-cells", "4")
    done = run_galenic("data", "simulate", "perturbations", "--out", "cells.h5ad", *sizes, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    expected = perturbations(n_contexts=3, n_perturbations=5, n_genes=20, n_cells=4)
    np.testing.assert_array_equal(anndata.read_h5ad(tmp_path / "cells.h5ad").X, expected.X)
    done = run_galenic("data", "simulate", "perturbations", "--out", "cells.h5ad", *sizes, cwd=tmp_path)
    assert done.returncode == 2
    found = galenic_check(tmp_path / "cells.h5ad")
    assert "3 contexts ('cell_type'), 5 perturbations ('perturbation'), 15 conditions; 12 controls" in found
    done = run_galenic("data", "split", "cells.h5ad", "--by", "context", "--folds", "3", "--out", "s.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "fold 2: 5 conditions tested (20 cells of 1 context)" in done.stdout
    done = run_galenic(
        "fit", "mean-shift", "--perturbed", "cells.h5ad", "--by", "file", "--fold-file", "s.csv", "--seeds", "0,1",
        "--out", "run", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    conditions = pd.read_csv(tmp_path / "run" / "conditions.csv").query("model == 'MeanShift'")
    assert conditions.groupby("fold")["context"].nunique().tolist() == [1, 1, 1]
    assert len(conditions) == 15
    skill = pd.read_csv(tmp_path / "run" / "skill.csv")
    assert set(skill["model"]) == {"MeanShift"}
    assert "MeanShift" not in set(skill["floor"])


def galenic_check(path: Path) -> str:
    """What the check of a file finds of perturbations."""
    from galenic.data.diagnose import diagnose

    return " ".join(diagnose(path).query("finding == 'perturbation data'")["detail"])


def test_check_tells_what_will_trouble_transfer(tmp_path: Path) -> None:
    from galenic.data.diagnose import diagnose

    adata = simulated()
    adata.obs = adata.obs.rename(columns={"line": "cell_line", "compound": "drug", "uM": "dose"})
    keep = (adata.obs["drug"] != "P03") | (adata.obs["cell_line"] == "type A")
    keep &= (adata.obs["drug"] != "DMSO") | (adata.obs["cell_line"] != "type C")
    adata[keep].copy().write_h5ad(tmp_path / "cells.h5ad")
    found = diagnose(tmp_path / "cells.h5ad").set_index("finding")
    assert "'P03'" in found.loc["in one context only", "detail"]
    assert "'type C'" in found.loc["contexts without controls", "detail"]
    assert "2 doses in 'dose', 0.1 to 10" in found.loc["doses", "detail"]
    assert "2 of 7" in found.loc["combinations", "detail"]
    plain = AnnData(adata.X, obs=adata.obs[["cell_line", "plate"]], var=adata.var)
    plain.write_h5ad(tmp_path / "plain.h5ad")
    assert "perturbation data" not in set(diagnose(tmp_path / "plain.h5ad")["finding"])


def test_doses_from_the_fit_to_the_scores(files: Path, tmp_path: Path) -> None:
    done = run_galenic(
        "fit", "low-rank-effect", "--perturbed", files / "cells.h5ad", *COLUMNS, "--dose", "uM", "--folds", "0",
        "--rank", "2", "--out", "run", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert galenic.load(tmp_path / "run").rank == 2
    done = run_galenic("predict", "run", files / "cells.h5ad", "--out", "p.h5ad", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = run_galenic(
        "evaluate", "p.h5ad", "--truth", files / "cells.h5ad", *COLUMNS, "--dose", "uM", "--out", "s", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    conditions = pd.read_csv(tmp_path / "s" / "conditions.csv")
    assert len(conditions) == 42
    assert set(conditions["dose"]) == {0.1, 10.0}


class Tells(galenic.StackedShift):
    """A model that can tell what it learned."""

    def codes(self) -> pd.DataFrame:
        return pd.DataFrame({"kind": ["state"], "name": ["type A"], "context": ["type A"], "x": [0.0], "y": [1.0]})

    def similar(self, n: int) -> pd.DataFrame:
        return pd.DataFrame({"perturbation": ["P00"], "rank": [1], "neighbour": ["P01"], "similarity": [float(n)]})

    def interactions(self, adata: AnnData, n: int) -> pd.DataFrame:
        genes = adata.var_names[:n]
        return pd.DataFrame({"context": "type A", "perturbation": "P00+P01", "gene": genes, "residual": 0.5})


def test_what_a_model_can_tell_of_itself_is_kept(files: Path, tmp_path: Path) -> None:
    from galenic.cli.fit_perturbations import MOST_RESIDUALS, PerturbationJudgeFlags, fit
    from galenic.cli.perturbed import PerturbationDataFlags
    from galenic.report import run as run_folder

    data = PerturbationDataFlags(
        perturbed=str(files / "cells.h5ad"), context="line", perturbation="compound", control="DMSO"
    )
    fit(Tells(), str(tmp_path / "run"), data, PerturbationJudgeFlags(folds=0))
    run = run_folder.read(tmp_path / "run")
    assert run.table("codes")["name"].tolist() == ["type A"]
    assert run.table("similar")["similarity"].tolist() == [10.0]
    assert len(run.table("interaction")) == min(MOST_RESIDUALS, 24)
    assert "codes.csv" in run.record["outputs"]


def test_every_model_of_perturbations_has_a_verb_of_its_own() -> None:
    from galenic.cli.fit import NAMES, kebab
    from galenic.models import MODELS, PERTURBATION_MODELS

    assert len(NAMES) == len(MODELS)
    assert {kebab(name) for name in PERTURBATION_MODELS} <= set(NAMES)
    assert kebab("XTransferCDR") == "xtransfercdr"
    assert kebab("LowRankEffect") == "low-rank-effect"


def test_two_flags_of_one_name_are_refused() -> None:
    from galenic.cli.flags import add
    from galenic.cli.perturbed import ColumnFlags, PerturbationDataFlags

    def run(**flags: object) -> None:
        """Nothing."""

    with pytest.raises(ValueError, match="duplicate parameter name"):
        add(run, PerturbationDataFlags, ColumnFlags)
