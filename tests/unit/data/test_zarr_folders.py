"""Zarr folders: opened where h5ad is, read by rows, refused in words."""

from __future__ import annotations

import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import anndata
import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from galenic.cli import perturbed
from galenic.data.diagnose import diagnose
from galenic.data.read import profiles as read_profiles
from galenic.data.read.files import kind_of_file
from galenic.data.read.matrices import matrix, open_h5ad
from galenic.data.read.single_cells import single_cells
from galenic.data.read.zarr_folders import open_zarr
from galenic.data.simulate import perturbations, profiles


def written(adata: AnnData, path: Path, version: int = 2) -> Path:
    before = anndata.settings.zarr_write_format
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of zarr, about its formats
        anndata.settings.zarr_write_format = version
        try:
            adata.write_zarr(path)
        finally:
            anndata.settings.zarr_write_format = before
    return path


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("backed", [True, False])
def test_everything_comes_back(form: object, version: int, backed: bool, tmp_path: Path) -> None:
    adata = profiles(n_perturbagens=5, n_genes=20, seed=0)
    dense = np.array(adata.X)
    adata.X, adata.obsm["X_pca"], adata.layers["more"] = form(dense), dense[:, :3], form(dense)
    found = open_h5ad(written(adata, tmp_path / "a.zarr", version), backed=backed)
    assert found.obs.equals(adata.obs)
    assert found.var.equals(adata.var)
    np.testing.assert_array_equal(found.obsm["X_pca"], dense[:, :3])
    for values in (found.X, found.layers["more"]):
        for rows in (np.array([1, 4, 7]), slice(2, 6), slice(0, 0)):
            part = values[rows]
            np.testing.assert_array_equal(part.toarray() if sparse.issparse(part) else part, dense[rows])
    in_memory = isinstance(found.X, np.ndarray) or sparse.issparse(found.X)
    assert in_memory == (not backed or form is sparse.csc_matrix)


def test_columns_of_a_backed_file_come_by_rows(tmp_path: Path) -> None:
    X = sparse.random(30, 10, 0.3, format="csc", random_state=0)
    AnnData(X).write_h5ad(tmp_path / "a.h5ad")
    found = open_h5ad(tmp_path / "a.h5ad", backed=True)
    assert found.X.format == "csr"
    np.testing.assert_array_equal(found.X.toarray(), X.toarray())


def test_a_zarr_folder_is_taken_wherever_h5ad_is(tmp_path: Path) -> None:
    z, treated = profiles(n_perturbagens=5, n_genes=20, seed=0), perturbations(n_contexts=2, n_perturbations=3)
    place, cells = written(z, tmp_path / "profiles.zarr"), written(treated, tmp_path / "cells.zarr")
    assert kind_of_file(place) == "h5ad"
    np.testing.assert_array_equal(read_profiles(place).X, z.X)
    np.testing.assert_array_equal(matrix(cells), treated.X)
    np.testing.assert_array_equal(single_cells(str(cells)).X[:5], treated.X[:5])
    some = perturbed.read(str(cells), ("cell_type=type A",))
    np.testing.assert_array_equal(some.X, treated[treated.obs["cell_type"] == "type A"].X)
    assert diagnose(place)["finding"].iloc[0] == "profiles (zarr)"
    assert "perturbation data" in set(diagnose(cells)["finding"])


def test_what_is_no_whole_zarr_folder_is_refused(tmp_path: Path) -> None:
    place = written(profiles(n_perturbagens=5, n_genes=20, seed=0), tmp_path / "a.zarr")
    for part in ("obs", "X/.zarray"):
        shutil.copytree(place, tmp_path / "bad.zarr")
        bad = tmp_path / "bad.zarr" / part
        shutil.rmtree(bad) if bad.is_dir() else bad.write_text("{")
        with pytest.raises(ValueError, match=r"bad\.zarr should be a whole zarr folder .* Write it again with"):
            open_zarr(tmp_path / "bad.zarr")
        shutil.rmtree(tmp_path / "bad.zarr")
    with pytest.raises(FileNotFoundError, match=r"a zarr folder is expected; .* does not exist"):
        open_zarr(tmp_path / "absent.zarr")
    (tmp_path / "plain").mkdir()
    with pytest.raises(ValueError, match=r"it has neither \.zgroup nor zarr\.json"):
        open_zarr(tmp_path / "plain")


def test_zarr_is_not_imported_for_help() -> None:
    code = "import sys, galenic, galenic.cli.main; print([name for name in sys.modules if name.startswith('zarr')])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
