"""Counts to answers: cells and lines are embedded, an encoder learns from cells, labels of lines go over to cells."""

from __future__ import annotations

from contextlib import chdir
from itertools import product
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from commands import galenic
from geneformer_folder import genes_of, write_model
from scfoundation_cases import GENES, checkpoint, write
from scipy import sparse

from galenic.cli.embed import command
from galenic.cli.fit_encoders import AtlasFlags, keep_published
from galenic.data.simulate.single_cell import bulk_and_cells
from galenic.evaluate import auroc
from galenic.foundation import Geneformer, ScFoundation
from galenic.models.base import load
from galenic.models.scatd.encoder import ScATDEncoder
from galenic.nn.residual_vae import ResidualVAE
from galenic.train import seeded

N_CELLS = 120
SMALL = ("--n-latent", "6", "--encoder", "16", "--training.max-epochs", "5", "--groups", "sample")
FAST = ("--pretraining.max-epochs", "2", "--training.max-epochs", "5", "--widths", "16", "--floors", "CellRidge")


def write_counts(folder: Path, genes: list[str]) -> None:
    """Cells as counts, and labelled lines in natural units, whose drivers of response are the same."""
    bulk, cells = bulk_and_cells(n_genes=len(genes), n_lines=100, n_cells=N_CELLS, n_drivers=10, shift=0.3, seed=3)
    cells.X = sparse.csr_matrix(cells.layers.pop("counts"))
    bulk.X = np.expm1(np.asarray(bulk.X, dtype=np.float64)).astype(np.float32)
    for name, adata in {"cells": cells, "lines": bulk}.items():
        adata.uns.clear()
        adata.var = pd.DataFrame(index=genes)
        adata.write_h5ad(folder / f"{name}.h5ad")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny weights of both encoders, laid out as they are published, and counts with the genes of each."""
    folder = tmp_path_factory.mktemp("chain")
    for name in ("scfoundation", "geneformer"):
        (folder / name).mkdir()
    write(folder / "scfoundation" / "models.ckpt")
    pd.DataFrame({"gene_name": GENES, "index": range(len(GENES))}).to_csv(
        folder / "scfoundation" / "genes.tsv", sep="\t", index=False
    )
    write_model(folder / "geneformer" / "model")
    write_counts(folder / "scfoundation", list(GENES))
    write_counts(folder / "geneformer", genes_of("v1"))
    for encoder, data in product(FILES, ("cells", "lines")):
        kind = ("--kind", "bulk") if (encoder, data) == ("scfoundation", "lines") else ()
        words = (encoder, f"{data}.h5ad", *FILES[encoder], *kind, "--out", f"{data}_embedded.h5ad")
        with chdir(folder / encoder):
            command().main([*words, "--device", "cpu"], standalone_mode=False)
    return folder


FILES = {
    "scfoundation": ("--weights", "models.ckpt", "--genes", "genes.tsv", "--min-genes", "1"),
    "geneformer": ("--weights", "model", "--emb-layer", "0"),
}


def done(*arguments: object, cwd: Path) -> str:
    shown = galenic(*arguments, cwd=cwd)
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


@pytest.mark.parametrize("encoder", list(FILES))
def test_from_counts_to_answers(folder: Path, encoder: str) -> None:
    here, rep = folder / encoder, f"X_{encoder}"
    done("fit", "scatd", "pretrain", "--cells", "cells_embedded.h5ad", "--use-rep", rep, *SMALL, "--out", "atlas",
         cwd=here)  # fmt: skip
    done("fit", "scatd", "transfer", "--bulk", "lines_embedded.h5ad", "--target", "cells_embedded.h5ad", "--use-rep",
         rep, "--encoder", "atlas", *FAST, "--out", "run", cwd=here)  # fmt: skip
    done("predict", "run", "cells_embedded.h5ad", "--out", "answers.csv", cwd=here)
    cells, answers = anndata.read_h5ad(here / "cells_embedded.h5ad"), pd.read_csv(here / "answers.csv")
    assert answers["cell"].tolist() == list(cells.obs_names)
    assert answers["probability"].between(0, 1).all()
    assert (here / "run" / "report.html").is_file()
    model = load(here / "run")
    assert set(model.spec_["features"]) == {f"{rep}_{number}" for number in range(cells.obsm[rep].shape[1])}
    np.testing.assert_allclose(answers["probability"], model.predict(cells)["probability"], atol=1e-6)
    if encoder == "scfoundation":
        source = pd.read_csv(here / "run" / "source.csv")
        assert auroc(source["label"], source["probability"]) > 0.6, "what is planted survives random weights"


def test_published_weights_are_kept_as_they_are_and_carry_labels(folder: Path) -> None:
    """A checkpoint with the published names: from the file to answers, without training it."""
    here = folder / "scfoundation"
    with seeded(0):
        net = ResidualVAE(96, 5, encoder=(12, 8), decoder=(10,), activation="leaky_relu", spectral="none").eval()
    torch.save({"state_dict": as_published(net)}, here / "vae.pt")
    rep = ("--use-rep", "X_scfoundation")
    said = done("fit", "scatd", "pretrain", "--published", "vae.pt", *rep, "--out", "published", cwd=here)
    assert "96 features, 5 latents" in said
    cells = anndata.read_h5ad(here / "cells_embedded.h5ad")
    with torch.no_grad():
        expected = net.encode(torch.from_numpy(cells.obsm["X_scfoundation"])).numpy()
    np.testing.assert_allclose(load(here / "published").embed(cells), expected, atol=1e-5)
    done("fit", "scatd", "transfer", "--bulk", "lines_embedded.h5ad", "--target", "cells_embedded.h5ad", *rep,
         "--encoder", "published", *FAST[2:], "--out", "with_published", cwd=here)  # fmt: skip
    assert pd.read_csv(here / "with_published" / "cells.csv")["probability"].between(0, 1).all()
    for more, names, words in (
        ({}, None, "received neither"),
        ({"use_rep": "X_scfoundation"}, "genes.tsv", "received both"),
        ({}, "genes.tsv", "read 96 features; received 34 names"),
        ({"use_rep": "X_scfoundation", "n_latent": 4}, None, "--n-latent is for training"),
    ):
        with chdir(here), pytest.raises(ValueError, match=words):
            keep_published(ScATDEncoder(**more), "none", AtlasFlags(), "vae.pt", names)
        assert not (here / "none").exists()


def as_published(net: ResidualVAE) -> dict[str, torch.Tensor]:
    """The weights under the names of the published program."""
    names = {"encoder.blocks": "Encoder_resblocks", "decoder.blocks": "Decoder_resblocks", "encoder.mean": "fc21",
             "encoder.log_variance": "fc22", "decoder.out": "fc4", ".linear.": ".fc.", ".norm.": ".bn.",
             ".shortcut.": ".downsample."}  # fmt: skip
    state = {}
    for name, tensor in net.state_dict().items():
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        state[name] = tensor
    return state


# The published names and sizes, on counts as they came from the sequencer.

PC9 = "pc9_erlotinib_day11_counts.h5ad"


@pytest.mark.real
def test_real_counts_with_the_published_gene_list_and_dictionaries(shared: Path, tmp_path: Path) -> None:
    """``galenic embed`` and ``embed`` of 2,121 PC9 cells by tiny weights of both layouts: finite, and the same."""
    data, dicts = shared / "singlecell" / PC9, shared / "singlecell" / "dicts"
    if not dicts.is_dir():
        pytest.skip(f"gene lists are not in {dicts}; set GALENIC_REAL_DATA to the folder that has them")
    write_model(tmp_path / "model", config={"vocab_size": 25_426, "max_position_embeddings": 2_048})
    torch.save({"cell": checkpoint(hidden=8, depth=1, heads=1, places=19_266)}, tmp_path / "models.ckpt")
    genes = dicts / "scfoundation_19264_genes.tsv.gz"
    tables = [dicts / f"geneformer_v1_{name}.tsv.gz" for name in ("tokens", "symbol_to_ensembl")]
    flags = {
        "scfoundation": ("--weights", tmp_path / "models.ckpt", "--genes", genes),
        "geneformer": ("--weights", tmp_path / "model", "--dictionaries", ",".join(map(str, tables))),
    }
    few = anndata.read_h5ad(data)[:40].copy()
    few.write_h5ad(tmp_path / "few.h5ad")
    python = {
        "scfoundation": ScFoundation.load(tmp_path / "models.ckpt", genes=genes),
        "geneformer": Geneformer.load(tmp_path / "model", dictionaries=tables),
    }
    for encoder, files in flags.items():
        said = done("embed", encoder, tmp_path / "few.h5ad", *files, "--device", "cpu", "--out",
                    tmp_path / f"{encoder}.h5ad", cwd=tmp_path)  # fmt: skip
        assert "40 cells, " in said
        found = anndata.read_h5ad(tmp_path / f"{encoder}.h5ad").obsm[f"X_{encoder}"]
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found, python[encoder].embed(few, device="cpu"), atol=1e-5)
        coverage = python[encoder].coverage(few).set_index("step")["kept"]
        assert coverage["cells"] == 40
        assert coverage["genes of the model" if encoder == "scfoundation" else "genes with a token"] > 13_000
