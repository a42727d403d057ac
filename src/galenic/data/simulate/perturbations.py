"""Simulated perturbation data: the effect of a perturbation is added to the state of a cell type."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData

LOWEST = 0.2
"""Of the mean of any gene in any condition: a logarithm of counts is not below 0."""
RANK = 2
"""Of the interaction between contexts and perturbations."""


def perturbations(
    n_contexts: int = 4,
    n_perturbations: int = 20,
    n_genes: int = 100,
    n_cells: int = 30,
    *,
    interaction: float = 0.0,
    pairs: int = 0,
    noise: float = 0.3,
    seed: int = 0,
) -> AnnData:
    """Cells of several types under perturbations: state + effect + interaction + noise, on a scale like log1p.

    Without interaction the effect of a perturbation is the same in every context, and that of a pair ``A+B`` is the sum
    of both: what one context shows can be carried over to another exactly.

    Parameters
    ----------
    n_contexts, n_perturbations
        Every perturbation is in every context, which also has controls.
    n_genes
        Genes; a fifth of them, others for each perturbation, respond.
    n_cells
        Cells of each condition, and of the controls of each context.
    interaction
        Standard deviation of what is special to a context and a perturbation together, of rank two, in units of that
        of the effects.
    pairs
        Number of combinations, drawn without repeats from all pairs of perturbations.
    noise
        Standard deviation of each cell's own noise.
    seed
        Of everything random.

    Returns
    -------
    AnnData
        ``obs``: ``cell_type, perturbation, control``; ``varm``: ``state`` (genes x contexts), ``effect`` (genes x
        perturbations); ``uns["truth"]``: ``conditions``, a table of ``context, perturbation``, and ``means`` and
        ``effects``, one row each for every row of it.

    Raises
    ------
    ValueError
        If a number is below 1, or more pairs are wanted than there are.

    Examples
    --------
    >>> adata = perturbations(n_contexts=2, n_perturbations=3, n_genes=10, n_cells=5, pairs=1)
    >>> adata.shape, adata.uns["truth"]["means"].shape, sorted(set(adata.obs["perturbation"]))
    ((50, 10), (8, 10), ['P00', 'P00+P02', 'P01', 'P02', 'control'])
    """
    if (
        min(n_contexts, n_perturbations, n_genes, n_cells) < 1
        or not 0 <= pairs <= n_perturbations * (n_perturbations - 1) // 2
    ):
        raise ValueError(
            f"numbers should be 1 or more, and pairs at most those of {n_perturbations} perturbations; received "
            f"{n_contexts} contexts, {n_genes} genes, {n_cells} cells and {pairs} pairs. Ask for fewer pairs."
        )
    rng = np.random.default_rng(seed)
    state = 1 + rng.gamma(2, 0.5, size=n_genes) + rng.gamma(1, 0.5, size=(n_contexts, n_genes))
    effect = rng.normal(scale=0.6, size=(n_perturbations, n_genes)) * (rng.random((n_perturbations, n_genes)) < 0.2)
    # Half at most, so that a pair of effects does not fall below what any state has.
    effect = np.maximum(effect, -(state.min(axis=0) - LOWEST) / 2)
    chosen = _pairs(rng, n_perturbations, pairs)
    members = np.vstack([np.eye(n_perturbations), np.zeros((len(chosen), n_perturbations))])
    members[n_perturbations + np.arange(len(chosen))[:, None], chosen] = 1
    special = np.einsum(
        "ck,pk,kg->cpg",
        rng.normal(size=(n_contexts, RANK)),
        members @ rng.normal(size=(n_perturbations, RANK)),
        rng.normal(size=(RANK, n_genes)),
    )
    effects = members @ effect + interaction * effect.std() * special / np.sqrt(RANK)
    effects = np.maximum(effects, LOWEST - state[:, None])
    names = [f"P{number:02d}" for number in range(n_perturbations)]
    names += [f"{names[one]}+{names[other]}" for one, other in chosen]
    return _cells(rng, state, effect, effects, names, n_cells, noise)


def _pairs(rng: np.random.Generator, n: int, pairs: int) -> np.ndarray:
    one, other = np.triu_indices(n, 1)
    drawn = np.sort(rng.permutation(len(one))[:pairs])
    return np.stack([one[drawn], other[drawn]], axis=1)


def _cells(
    rng: np.random.Generator,
    state: np.ndarray,
    effect: np.ndarray,
    effects: np.ndarray,
    names: list[str],
    n_cells: int,
    noise: float,
) -> AnnData:
    """Noisy cells of every condition, and the truth beside them."""
    n_contexts, n_conditions, n_genes = effects.shape
    contexts = [f"type {chr(ord('A') + i)}" if n_contexts <= 26 else f"type {i:03d}" for i in range(n_contexts)]
    shift = np.concatenate([np.zeros((n_contexts, 1, n_genes)), effects], axis=1)
    mean = (state[:, None] + shift).reshape(-1, n_genes)
    X = np.repeat(mean, n_cells, axis=0)
    X = np.maximum(X + noise * rng.normal(size=X.shape), 0).astype(np.float32)
    labels = ["control", *names]
    obs = pd.DataFrame(
        {
            "cell_type": np.repeat(contexts, (n_conditions + 1) * n_cells),
            "perturbation": np.tile(np.repeat(labels, n_cells), n_contexts),
        },
        index=[f"cell{number}" for number in range(len(X))],
    )
    obs["control"] = obs["perturbation"] == "control"
    adata = AnnData(X, obs=obs, var=pd.DataFrame(index=[f"GENE{number:03d}" for number in range(n_genes)]))
    adata.varm["state"], adata.varm["effect"] = state.T, effect.T
    conditions = pd.DataFrame(
        {"context": np.repeat(contexts, n_conditions), "perturbation": np.tile(names, n_contexts)},
        index=[f"{context}|{name}" for context in contexts for name in names],
    )
    means = (state[:, None] + effects).reshape(-1, n_genes)
    adata.uns["truth"] = {"conditions": conditions, "means": means, "effects": effects.reshape(-1, n_genes)}
    return adata
