"""Simulated profiles of perturbed cells: mechanisms are planted, under stress that all perturbagens share."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData

MECHANISMS = ("kinase inhibitor", "HDAC inhibitor", "channel blocker", "receptor agonist", "tubulin inhibitor",
              "proteasome inhibitor", "statin", "steroid", "topoisomerase inhibitor", "antioxidant")  # fmt: skip
CELLS = ("A375", "A549", "HT29", "MCF7", "PC3", "VCAP", "HEPG2", "HA1E")
N_STRESS = 10
"""Directions in which profiles differ whatever the perturbagen: stress, growth, well position."""


def profiles(
    n_perturbagens: int = 60,
    n_genes: int = 200,
    *,
    n_cells: int = 4,
    n_mechanisms: int = 10,
    noise: float = 1.0,
    stress: float = 0.5,
    seed: int = 0,
) -> AnnData:
    """Level-5 profiles of perturbagens, each in several cell lines.

    A profile is potency x (direction of the mechanism + own direction, weaker) + stress + noise. Stress lies in ten
    directions that no mechanism needs: plain cosine sees it as likeness, a method that knows replicates need not.

    Parameters
    ----------
    n_perturbagens
        Compounds; they take mechanisms in turn.
    n_genes
        Genes, named by numbers as Entrez ids are, with symbols.
    n_cells
        Cell lines, at most 8; every compound is in each.
    n_mechanisms
        At most 10.
    noise
        Standard deviation of each z-score's own noise.
    stress
        Standard deviation of a profile along each direction of stress.
    seed
        Of everything random.

    Returns
    -------
    AnnData
        ``obs``: ``pert_id, pert_name, pert_type, cell, dose, dose_unit, time, time_unit, plate, moa``;
        ``var``: ``symbol``, ``landmark``.

    Raises
    ------
    ValueError
        If there are more cells or mechanisms than names.

    Examples
    --------
    >>> adata = profiles(n_perturbagens=5, n_genes=20, n_cells=2)
    >>> adata.shape, adata.obs["pert_id"].nunique()
    ((10, 20), 5)
    """
    if not (1 <= n_cells <= len(CELLS) and 1 <= n_mechanisms <= len(MECHANISMS)):
        raise ValueError(
            f"n_cells should be 1 to {len(CELLS)} and n_mechanisms 1 to {len(MECHANISMS)}; received {n_cells} and "
            f"{n_mechanisms}. Ask for fewer."
        )
    rng = np.random.default_rng(seed)
    mechanism = np.arange(n_perturbagens) % n_mechanisms
    common = rng.normal(size=(n_mechanisms, n_genes))[mechanism]
    effect = rng.gamma(4, 0.25, size=(n_perturbagens, 1)) * (0.5 * common + rng.normal(size=(n_perturbagens, n_genes)))
    compound = np.repeat(np.arange(n_perturbagens), n_cells)
    n = len(compound)
    shared = rng.normal(size=(n, N_STRESS)) @ rng.normal(size=(N_STRESS, n_genes))
    z = effect[compound] + stress * shared + noise * rng.normal(size=(n, n_genes))
    cells = np.tile(CELLS[:n_cells], n_perturbagens)
    obs = pd.DataFrame(
        {
            "pert_id": [f"SIM-{number:05d}" for number in compound],
            "pert_name": [f"compound {number}" for number in compound],
            "pert_type": "trt_cp",
            "cell": cells,
            "dose": 10.0,
            "dose_unit": "uM",
            "time": 24.0,
            "time_unit": "h",
            "plate": [f"SIM001_{cell}_24H" for cell in cells],
            "moa": np.array(MECHANISMS)[mechanism[compound]],
        },
        index=[f"SIM001_{cell}_24H:SIM-{number:05d}" for cell, number in zip(cells, compound, strict=True)],
    )
    names = [str(1000 + gene) for gene in range(n_genes)]
    var = pd.DataFrame({"symbol": [f"GENE{name}" for name in names], "landmark": True}, index=names)
    return AnnData(z.astype(np.float32), obs=obs, var=var)
