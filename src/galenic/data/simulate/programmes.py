"""Simulated profiles in which programmes of genes are planted, at several doses."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.simulate.profiles import CELLS

DOSES = (0.04, 0.12, 0.37, 1.11, 3.33, 10.0)
"""Micromolar."""
TIMES = (6.0, 24.0)


def programmes(
    n_perturbagens: int = 100,
    n_genes: int = 200,
    *,
    n_programmes: int = 8,
    genes_per_programme: int = 20,
    n_cells: int = 2,
    noise: float = 1.0,
    strength: float = 1.5,
    dose_effect: float = 0.0,
    plate_effect: float = 0.0,
    seed: int = 0,
) -> AnnData:
    """Level-5 profiles of perturbagens that switch programmes of genes on, more so at higher doses.

    A profile is activities x loadings + noise (+ what dose and plate do to every profile). Each perturbagen activates
    one programme, half of them a second one, by potency x dose / (dose + EC50); the other programmes stay silent.

    Parameters
    ----------
    n_perturbagens
        Compounds; each in every cell line at every one of six doses, at 6 or 24 hours.
    n_genes
        Genes, named by numbers as Entrez ids are, with symbols.
    n_programmes
        Programmes; perturbagens take their first in turn.
    genes_per_programme
        Genes of a programme, drawn anew for each: programmes may share some. About half of them fall.
    n_cells
        Cell lines, at most 8.
    noise
        Standard deviation of each z-score's own noise.
    strength
        Mean size of a loading.
    dose_effect
        How much each gene moves along one fixed direction for a tenfold dose, whatever the perturbagen: a nuisance.
    plate_effect
        Standard deviation of what a plate adds to each gene.
    seed
        Of everything random.

    Returns
    -------
    AnnData
        ``obs``: ``pert_id, pert_name, pert_type, cell, dose, dose_unit, time, time_unit, plate, moa`` (the first
        programme); ``var``: ``symbol``, ``landmark``. The truth: ``obsm["programmes"]`` activities ``(n_profiles,
        n_programmes)``, ``varm["programmes"]`` loadings ``(n_genes, n_programmes)``, ``uns["programmes"]`` names.

    Raises
    ------
    ValueError
        If there are more cells than names, or more genes in a programme than genes.

    Examples
    --------
    >>> adata = programmes(n_perturbagens=5, n_genes=40, n_programmes=2, genes_per_programme=5, n_cells=1)
    >>> adata.shape, adata.obsm["programmes"].shape, int((adata.varm["programmes"] != 0).sum())
    ((30, 40), (30, 2), 10)
    """
    if not (1 <= n_cells <= len(CELLS) and 1 <= genes_per_programme <= n_genes and n_programmes >= 1):
        raise ValueError(
            f"n_cells should be 1 to {len(CELLS)}, genes_per_programme 1 to n_genes and n_programmes 1 or more; "
            f"received {n_cells}, {genes_per_programme} of {n_genes} genes and {n_programmes}. Ask for fewer."
        )
    rng = np.random.default_rng(seed)
    own = rng.permuted(np.tile(np.arange(n_genes), (n_programmes, 1)), axis=1) < genes_per_programme
    sizes = strength * rng.gamma(4, 0.25, size=own.shape) * rng.choice([-1.0, 1.0], size=own.shape)
    loadings = np.where(own, sizes, 0).T
    obs = _wells(n_perturbagens, n_cells, rng)
    compound, dose = obs["number"].to_numpy(), obs["dose"].to_numpy()
    potency = np.zeros((n_perturbagens, n_programmes))
    everyone, first = np.arange(n_perturbagens), np.arange(n_perturbagens) % n_programmes
    second, two = rng.integers(n_programmes, size=n_perturbagens), rng.random(n_perturbagens) < 0.5
    potency[everyone[two], second[two]] = rng.gamma(4, 0.25, size=two.sum())
    potency[everyone, first] = rng.gamma(4, 0.25, size=n_perturbagens) + 0.5
    half = 10 ** rng.uniform(-1, 0.5, size=n_perturbagens)
    activity = potency[compound] * (dose / (dose + half[compound]))[:, None]
    plates, plate = np.unique(obs["plate"], return_inverse=True)
    z = activity @ loadings.T + noise * rng.normal(size=(len(obs), n_genes))
    z += dose_effect * np.log10(dose / np.median(DOSES))[:, None] * rng.normal(size=n_genes)
    z += plate_effect * rng.normal(size=(len(plates), n_genes))[plate]
    names = [str(1000 + gene) for gene in range(n_genes)]
    var = pd.DataFrame({"symbol": [f"GENE{name}" for name in names], "landmark": True}, index=names)
    titles = [f"programme {number}" for number in range(n_programmes)]
    obs = obs.drop(columns="number").assign(moa=np.array(titles)[first[compound]])
    return AnnData(
        z.astype(np.float32),
        obs=obs,
        var=var,
        obsm={"programmes": activity},
        varm={"programmes": loadings},
        uns={"programmes": titles},
    )


def _wells(n_perturbagens: int, n_cells: int, rng: np.random.Generator) -> pd.DataFrame:
    """One row a compound, cell line and dose."""
    compound = np.repeat(np.arange(n_perturbagens), n_cells * len(DOSES))
    cells = np.tile(np.repeat(CELLS[:n_cells], len(DOSES)), n_perturbagens)
    doses = np.tile(DOSES, n_perturbagens * n_cells)
    times = rng.choice(TIMES, size=len(compound))
    plates = [f"SIM{number // 20:03d}_{cell}" for number, cell in zip(compound, cells, strict=True)]
    return pd.DataFrame(
        {
            "number": compound,
            "pert_id": [f"SIM-{number:05d}" for number in compound],
            "pert_name": [f"compound {number}" for number in compound],
            "pert_type": "trt_cp",
            "cell": cells,
            "dose": doses,
            "dose_unit": "uM",
            "time": times,
            "time_unit": "h",
            "plate": plates,
        },
        index=[f"{plate}:SIM-{n:05d}:{dose:g}" for plate, n, dose in zip(plates, compound, doses, strict=True)],
    )
