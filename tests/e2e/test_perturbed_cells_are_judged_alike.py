"""What a fit of perturbations refuses, the check of the file refuses too, with the same remedy and before any fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData
from commands import galenic as run_galenic
from test_fit_perturbations import refused

from galenic.data.diagnose import diagnose
from galenic.data.simulate import perturbations


def cells(fault: str) -> AnnData:
    """Two lines and four perturbations, with one fault."""
    adata = perturbations(n_contexts=2, n_perturbations=4, n_genes=30, n_cells=4, seed=3)
    if fault == "genes twice":
        adata.var_names = ["same", "same", *adata.var_names[2:]]
    elif fault == "missing":
        adata.X[3, 4] = np.nan
    elif fault == "no controls":
        adata = adata[(adata.obs["cell_type"] != "type B") | (adata.obs["perturbation"] != "control")].copy()
    elif fault == "shallow counts":
        adata.X = np.random.default_rng(0).poisson(0.6, adata.shape).astype(np.float32)
        assert 3 <= adata.X.max() < 20
    elif fault == "deep counts":
        adata.X = np.rint(adata.X * 100)
    elif fault == "no perturbation":
        names = adata.obs["perturbation"].astype("object")
        names.iloc[-1] = None
        adata.obs["perturbation"] = names
    return adata


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
@pytest.mark.parametrize(
    "fault", ["genes twice", "missing", "no controls", "shallow counts", "deep counts", "no perturbation"]
)
def test_check_and_fit_agree(
    fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cells(fault).write_h5ad(tmp_path / "cells.h5ad")
    said = refused(
        capsys, monkeypatch, tmp_path, "fit", "scaled-shift", "--perturbed", "cells.h5ad", "--folds", 0, "--out", "run"
    )
    assert not (tmp_path / "run").exists()
    found = diagnose(tmp_path / "cells.h5ad")
    errors = found[found["severity"] == "error"]
    assert len(errors) == 1
    (remedy,) = errors["remedy"]
    assert remedy.split(":")[0] in said
    assert not found["remedy"].str.contains("log2").any()
    done = run_galenic("data", "check", "cells.h5ad", cwd=tmp_path)
    assert done.returncode == 2


def test_sound_cells_pass_the_check(tmp_path: Path) -> None:
    cells("").write_h5ad(tmp_path / "cells.h5ad")
    assert not (diagnose(tmp_path / "cells.h5ad")["severity"] == "error").any()


def test_profiles_for_a_search_are_only_warned_of(tmp_path: Path) -> None:
    adata = cells("no controls")
    adata.obs = adata.obs.rename(columns={"perturbation": "pert_iname", "cell_type": "cell_id"})
    adata.write_h5ad(tmp_path / "profiles.h5ad")
    found = diagnose(tmp_path / "profiles.h5ad").set_index("finding")
    assert found.loc["contexts without controls", "severity"] == "warning"
    assert not (found["severity"] == "error").any()


def test_negative_values_end_before_the_run_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    adata = cells("")
    adata.X[5, 2] = -0.5
    adata.write_h5ad(tmp_path / "cells.h5ad")
    monkeypatch.setattr("galenic.report.run.start", lambda *_, **__: pytest.fail("a run folder was begun"))
    how = ("--start", "none", "--output", "relu", "--folds", 2)
    said = refused(
        capsys, monkeypatch, tmp_path, "fit", "xtransfercdr", "--perturbed", "cells.h5ad", *how, "--out", "x"
    )
    assert "expression should not be negative" in said
    (tmp_path / "plan.toml").write_text(
        '[data]\nperturbed = "cells.h5ad"\n[split]\nby = "pair"\nfolds = 2\n'
        '[[model]]\nname = "XTransferCDR"\nstart = "none"\noutput = "relu"\n'
    )
    said = refused(capsys, monkeypatch, tmp_path, "benchmark", "plan.toml", "--out", "x")
    assert "expression should not be negative" in said
