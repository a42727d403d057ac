"""The simulated data that the examples are made of, as the files that a user would have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

SEED = 7
N_NEW = 8
"""Samples, compounds and conditions that no model sees."""


def screen(work: Path) -> None:
    """``screen``: a data folder; ``new.csv``: expression of further samples; ``truth.csv``: planted drivers."""
    from galenic.data import read, simulate
    from galenic.data.expression import dense

    data, truth = simulate.screen(n_cells=120 + N_NEW, n_drugs=24, n_genes=80, seed=SEED)
    is_new = np.isin(data.cell_rows, np.arange(N_NEW))
    read.write(data.take(~is_new).trim(), work / "screen")
    new = data.cells[:N_NEW]
    table = pd.DataFrame(dense(new.X), index=new.obs["name"].astype(str), columns=new.var_names)
    table.round(3).rename_axis("sample").to_csv(work / "new.csv")
    genes = truth[truth["modality"] == "expression"]
    genes.round({"effect": 3}).to_csv(work / "truth.csv", index=False)


def subclones(work: Path) -> None:
    """``bulk.h5ad``: labelled lines; ``cells.h5ad``: cells of two subclones, with a map in two dimensions."""
    from galenic.data.simulate.single_cell import bulk_and_cells

    bulk, cells = bulk_and_cells(
        n_genes=120, n_lines=120, n_cells=240, n_drivers=10, strength=0.6, shift=0.4, n_clusters=5, seed=SEED
    )
    logs = np.asarray(cells.X, dtype=np.float64)
    left, sizes, _ = np.linalg.svd(logs - logs.mean(axis=0), full_matrices=False)
    for adata in (bulk, cells):
        adata.uns.clear()
    bulk.uns["drug"] = "simulated drug"
    cells.obsm["X_pca"] = (left[:, :2] * sizes[:2]).astype(np.float32)
    cells.X = cells.layers.pop("counts")
    bulk.write_h5ad(work / "bulk.h5ad", compression="gzip")
    cells.write_h5ad(work / "cells.h5ad", compression="gzip")


def profiles(work: Path) -> None:
    """``profiles.h5ad``: compounds in three cell lines; ``query.csv``: some in a fourth; ``up.txt``, ``down.txt``."""
    from galenic.data import simulate

    n = 50
    adata = simulate.profiles(n_perturbagens=n, n_genes=100, n_cells=4, stress=0.3, noise=0.8, seed=SEED)
    compound = adata.obs["pert_id"].str[-5:].astype(int).to_numpy()
    mechanism = compound % adata.obs["moa"].nunique()
    # With few genes a mechanism hardly shows; what its compounds share is made twice as strong.
    adata.X = adata.X + pd.DataFrame(adata.X).groupby(mechanism).transform("mean").to_numpy(np.float32)
    # Structures of one scaffold for each mechanism: the drugs of a family share one.
    drugs = simulate.screen(n_cells=4, n_drugs=2 * n, n_genes=200, seed=SEED)[0].drugs
    families = list(drugs.groupby("moa", sort=False)["smiles"].agg(list))
    turn = compound // adata.obs["moa"].nunique()
    adata.obs["smiles"] = [families[kind][place] for kind, place in zip(mechanism, turn, strict=True)]
    adata.obs["target"] = [f"TARGET{number + 1}" for number in mechanism]
    is_asked = (adata.obs["cell"] == "MCF7").to_numpy()
    adata[~is_asked].copy().write_h5ad(work / "profiles.h5ad", compression="gzip")
    asked = adata[is_asked & (compound < N_NEW)]
    names = [f"{name} in MCF7" for name in asked.obs["pert_name"]]
    table = pd.DataFrame(np.asarray(asked.X), index=names, columns=asked.var_names)
    table.round(3).rename_axis("profile").to_csv(work / "query.csv")
    order = adata.var["symbol"].to_numpy()[np.argsort(table.iloc[4].to_numpy())]
    (work / "up.txt").write_text("\n".join(order[::-1][:15]) + "\n", encoding="utf-8")
    (work / "down.txt").write_text("\n".join(order[:15]) + "\n", encoding="utf-8")


def perturbed(work: Path) -> None:
    """``perturbed.h5ad``: what a model learns from; ``unseen.h5ad``: controls, and conditions that are kept from it."""
    from galenic.data import simulate

    adata = simulate.perturbations(
        n_contexts=5, n_perturbations=14, n_genes=100, n_cells=6, interaction=0.6, noise=0.35, seed=SEED
    )
    adata.uns.clear()
    adata.varm.clear()
    adata.obs = adata.obs.replace({"perturbation": {f"P{number:02d}": f"drug {number + 1}" for number in range(14)}})
    table = adata.obs[["cell_type", "perturbation"]]
    is_control = adata.obs["control"].to_numpy(dtype=bool)
    conditions = table[~is_control].drop_duplicates()
    kept = conditions.sample(2 * N_NEW, random_state=SEED)
    held = pd.MultiIndex.from_frame(table).isin(pd.MultiIndex.from_frame(kept))
    adata[~held].copy().write_h5ad(work / "perturbed.h5ad", compression="gzip")
    adata[held | is_control].copy().write_h5ad(work / "unseen.h5ad", compression="gzip")


def target_pairs(work: Path) -> None:
    """``programmes.h5ad``: profiles with planted programmes of genes; ``known.csv``: pairs within programmes."""
    from galenic.data import simulate

    adata = simulate.programmes(
        n_perturbagens=40,
        n_genes=80,
        n_programmes=6,
        genes_per_programme=12,
        n_cells=1,
        strength=3.0,
        noise=0.7,
        seed=SEED,
    )
    loadings, symbols = adata.varm["programmes"], adata.var["symbol"].to_numpy()
    for place in (adata.varm, adata.obsm, adata.uns):
        place.clear()
    adata.write_h5ad(work / "programmes.h5ad", compression="gzip")
    rng = np.random.default_rng(SEED)
    rows = []
    for disease in range(3):
        for number in range(14):
            # Two of three pairs share a programme; every third is of any genes, as knowledge has other reasons too.
            programme = loadings[:, (disease + 2 * (number % 2)) % loadings.shape[1]]
            own = np.flatnonzero(programme) if number % 3 else np.arange(len(symbols))
            one, other = sorted(rng.choice(own, size=2, replace=False))
            rows.append((symbols[one], symbols[other], f"simulated disease {disease + 1}"))
    known = pd.DataFrame(rows, columns=["gene_a", "gene_b", "disease"]).drop_duplicates()
    known.to_csv(work / "known.csv", index=False)
