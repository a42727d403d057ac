"""Simulated bulk lines and single cells: one planted reason for sensitivity, seen from two domains."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData

PLATFORMS = ("array", "sequencing")
N_PROGRAMMES = 5
"""Programmes of genes that differ between lines and clusters and have nothing to do with the drug."""
SCALE = 0.25
"""Standard deviation of the logarithm of what a domain stretches each gene by, for a shift of 1."""


def bulk_and_cells(
    n_genes: int = 200,
    n_lines: int = 150,
    n_cells: int = 400,
    *,
    n_drivers: int = 20,
    strength: float = 1.0,
    shift: float = 0.0,
    dropout: float = 0.3,
    sensitive_share: float = 0.5,
    bulk_share: float = 0.5,
    confounding: float = 0.0,
    repeated: float = 0.0,
    n_clusters: int = 4,
    n_samples: int = 2,
    noise: float = 0.3,
    depth: int = 5000,
    seed: int = 0,
) -> tuple[AnnData, AnnData]:
    """Bulk lines with labels for one drug, and cells of a sensitive and a resistant subclone.

    The logarithm of a gene is its base level + sensitivity x weight (drivers only) + programmes + what its platform,
    sample and domain add + noise. Sensitivity differs smoothly between lines; of the two subclones it is +1 and -1.

    Parameters
    ----------
    n_genes, n_lines, n_cells
        Genes, distinct lines, and single cells.
    n_drivers
        Genes whose expression makes cells sensitive; about half are lower in sensitive cells.
    strength
        Mean size of a driver's weight; 0 plants nothing.
    shift
        Distance of the cells' domain from bulk: each gene is moved by a normal number of this standard deviation, and
        its differences between cells are stretched or shrunk. 0 = none; 1 is stronger than the plant.
    dropout
        Share of a cell's counts that are lost (set to 0) at random, besides the zeros of sampling, [0, 1).
    sensitive_share, bulk_share
        Share of sensitive cells, and of sensitive lines, (0, 1).
    confounding
        By how much the share of sensitive lines is higher on platform "sequencing" than on "array", [0, 1): labels are
        then cut in different places, as where two studies are mixed.
    repeated
        Share of the lines that stand twice, once on each platform, each time with its own label, [0, 1].
    n_clusters
        Clusters of cells, each within one subclone, 2 or more; their numbers say nothing.
    n_samples
        Samples of cells; each holds both subclones.
    noise
        Standard deviation of the noise of each value, before counting.
    depth
        Median of the counts of a cell before any are lost.
    seed
        Of everything random.

    Returns
    -------
    bulk, cells : AnnData
        ``X`` = ln(1 + 10,000 x share of the total) in both. Bulk: ``obs``: ``line, platform, ln_ic50, label``. Cells:
        ``obs``: ``label, cluster, sample``; ``layers["counts"]``. Label 1 = sensitive, 0 = resistant. Both have
        ``uns["truth"]``: ``drivers`` (names), ``weights`` (of all genes; above 0 = higher in sensitive cells),
        ``shift`` (what the cells' domain adds to each gene) and ``stretch``.

    Raises
    ------
    ValueError
        If a number is not allowed.

    Examples
    --------
    >>> bulk, cells = bulk_and_cells(n_genes=50, n_lines=30, n_cells=40, n_drivers=5, sensitive_share=0.25)
    >>> bulk.shape, cells.shape, int(cells.obs["label"].sum()), len(cells.uns["truth"]["drivers"])
    ((30, 50), (40, 50), 10, 5)
    """
    _check(
        {"n_genes": n_genes, "n_lines": n_lines, "n_cells": n_cells, "n_drivers": n_drivers, "n_samples": n_samples,
         "depth": depth, "n_clusters": n_clusters - 1, "genes that are no drivers": n_genes - n_drivers + 1},
        {"strength": strength, "shift": shift, "noise": noise, "dropout": dropout, "confounding": confounding},
        {"dropout": 1 - dropout, "confounding": 1 - confounding, "bulk_share": bulk_share * (1 - bulk_share),
         "sensitive_share": sensitive_share * (1 - sensitive_share)},
        repeated,
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    base = rng.normal(size=n_genes)
    weights = np.where(rng.permutation(n_genes) < n_drivers, strength * rng.gamma(4, 0.25, n_genes), 0.0)
    weights *= rng.choice([-1.0, 1.0], size=n_genes)
    loadings = rng.normal(scale=0.3, size=(N_PROGRAMMES, n_genes))
    names = pd.Index([f"GENE{number:03d}" for number in range(n_genes)])
    moved, stretch = shift * rng.normal(size=n_genes), np.exp(SCALE * shift * rng.normal(size=n_genes))
    truth = {"drivers": names[weights != 0].to_numpy(str), "weights": weights, "shift": moved, "stretch": stretch}

    lines, sensitivity, state = _lines(n_lines, bulk_share, confounding, repeated, rng)
    platform = rng.normal(scale=0.3, size=(2, n_genes))[lines["platform"].eq(PLATFORMS[1]).to_numpy(np.intp)]
    logs = base + sensitivity[:, None] * weights + state @ loadings + platform
    X = _per_ten_thousand(np.exp(logs + noise * rng.normal(size=logs.shape)))
    bulk = AnnData(X, obs=lines, var=pd.DataFrame(index=names), uns={"truth": truth})

    obs, state = _cells(n_cells, sensitive_share, n_clusters, n_samples, rng)
    sample = rng.normal(scale=0.2, size=(n_samples, n_genes))[obs["sample"].cat.codes.to_numpy()]
    own = (2 * obs["label"].to_numpy() - 1)[:, None] * weights + state @ loadings + sample
    rates = np.exp(base + moved + stretch * own + noise * rng.normal(size=own.shape))
    sizes = depth * np.exp(0.3 * rng.normal(size=(n_cells, 1)))
    counts = rng.poisson(sizes * rates / rates.sum(axis=1, keepdims=True)) * (rng.random(rates.shape) >= dropout)
    cells = AnnData(
        _per_ten_thousand(counts),
        obs=obs,
        var=pd.DataFrame(index=names),
        layers={"counts": counts.astype(np.float32)},
        uns={"truth": {name: value.copy() for name, value in truth.items()}},
    )
    return bulk, cells


def _lines(
    n_lines: int, share: float, confounding: float, repeated: float, rng: np.random.Generator
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Table of bulk samples, their sensitivity and the state of their programmes."""
    line = np.concatenate([np.arange(n_lines), rng.permutation(n_lines)[: round(repeated * n_lines)]])
    platform = np.arange(n_lines) % 2
    platform = np.concatenate([platform, 1 - platform[line[n_lines:]]])
    sensitivity, state = rng.normal(size=n_lines)[line], rng.normal(size=(n_lines, N_PROGRAMMES))[line]
    response = -sensitivity + 0.3 * rng.normal(size=len(line))
    label = np.zeros(len(line), dtype=np.int64)
    for number, of_platform in enumerate((share - confounding / 2, share + confounding / 2)):
        there = np.flatnonzero(platform == number)
        n_sensitive = round(float(np.clip(of_platform, 0, 1)) * len(there))
        label[there[np.argsort(response[there])[:n_sensitive]]] = 1
    names = [f"LINE{number:03d}" for number in line]
    platforms = np.array(PLATFORMS)[platform]
    obs = pd.DataFrame(
        {"line": names, "platform": platforms, "ln_ic50": response, "label": label},
        index=[f"{name}:{place}" for name, place in zip(names, platforms, strict=True)],
    )
    return obs, sensitivity, state


def _cells(
    n_cells: int, share: float, n_clusters: int, n_samples: int, rng: np.random.Generator
) -> tuple[pd.DataFrame, np.ndarray]:
    """Table of single cells and the state of their programmes: that of their cluster, and a little of their own."""
    label = rng.permutation(np.arange(n_cells) < round(share * n_cells)).astype(np.int64)
    n_resistant = n_clusters // 2
    place = np.where(label == 1, n_resistant, 0) + rng.integers(
        np.where(label == 1, n_clusters - n_resistant, n_resistant)
    )
    cluster = rng.permutation(n_clusters)[place]
    state = rng.normal(size=(n_clusters, N_PROGRAMMES))[place] + 0.3 * rng.normal(size=(n_cells, N_PROGRAMMES))
    sample = rng.permutation(np.arange(n_cells) % n_samples)
    obs = pd.DataFrame(
        {
            "label": label,
            "cluster": pd.Categorical.from_codes(cluster, [str(number) for number in range(n_clusters)]),
            "sample": pd.Categorical.from_codes(sample, [f"sample {number}" for number in range(n_samples)]),
        },
        index=[f"CELL{number:05d}" for number in range(n_cells)],
    )
    return obs, state


def _per_ten_thousand(values: np.ndarray) -> np.ndarray:
    return np.log1p(1e4 * values / np.maximum(values.sum(axis=1, keepdims=True), 1e-12)).astype(np.float32)


def _check(whole: dict[str, int], least: dict[str, float], open_: dict[str, float], repeated: float) -> None:
    wrong = [name for name, value in whole.items() if value < 1]
    wrong += [name for name, value in least.items() if not 0 <= value < np.inf]
    wrong += [name for name, value in open_.items() if not value > 0]
    wrong += [] if 0 <= repeated <= 1 else ["repeated"]
    if wrong:
        raise ValueError(
            "numbers should be 1 or more (n_clusters 2 or more, n_drivers at most n_genes), shares within (0, 1), and "
            f"strength, shift and noise 0 or more; received another value for {', '.join(dict.fromkeys(wrong))}. "
            "Correct these."
        )
