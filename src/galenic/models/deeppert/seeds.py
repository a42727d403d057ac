"""Do dimensions come back with other seeds? Halves of the members that share none, beside single members."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from galenic.models.deeppert.consensus import consensus
from galenic.models.deeppert.member import encoded

if TYPE_CHECKING:
    from anndata import AnnData

    from galenic.models.deeppert.model import DeepPert

ENSEMBLE = "ensemble"
MOST_PROFILES = 5000
"""Profiles that correlations are taken over."""
IDLE = 1e-9
"""Standard deviation up to which a latent is constant."""


def stability_over_seeds(
    model: DeepPert, adata: AnnData, *, n_divisions: int = 40, seed: int = 0
) -> pd.DataFrame | None:
    r"""How well dimensions of half the seeds are found again by the other half, and latents of single members.

    The runs of each family and size are divided at random into two halves. Each half makes its own consensus, with as
    many dimensions as the ensemble has; *again* is the median over dimensions :math:`i` of one half of

    .. math:: \max_j |\mathrm{corr}(d_i, d'_j)|

    over dimensions :math:`j` of the other, mean of both directions. For single members of a family and size it is the
    same of the latents of one run and another, mean over the pairs of runs that the division parts. Latents that are
    constant count in neither. Correlations are over the given profiles.

    Parameters
    ----------
    model
        A fitted ensemble.
    adata
        Profiles, usually those of the fit; of very many, every so-manieth counts.
    n_divisions
        Divisions of the seeds into halves, 1 or more. They share members: their spread says how much depends on which
        seeds were drawn, and is no standard error.
    seed
        Of the divisions.

    Returns
    -------
    DataFrame or None
        A row a division and kind: ``division``, ``what`` ("ensemble" or, of single members, "ae of 10"), ``again``
        (0 to 1; NaN where a half shares too few latents for a consensus), ``n`` (dimensions, or latents of a member).
        ``None`` where no family has two runs.

    Notes
    -----
    Halves have half the members, so the whole ensemble is at least as stable.

    Examples
    --------
    >>> from galenic.data.simulate import programmes
    >>> from galenic.models.deeppert.model import DeepPert
    >>> adata = programmes(n_perturbagens=20, n_genes=60, n_programmes=3, genes_per_programme=10, seed=0)
    >>> model = DeepPert(sizes=(3,), runs=2, n_components=10, families=("ica",), n_consensus=3).fit(adata)
    >>> table = stability_over_seeds(model, adata, n_divisions=2)
    >>> table["what"].unique().tolist(), bool((table["again"] <= 1).all())
    (['ensemble', 'ica of 3'], True)
    """
    groups = _groups(model)
    if not groups:
        return None
    latents, owners = _latents(model, adata)
    covariance = np.cov(latents, rowvar=False, bias=True).reshape(latents.shape[1], -1)
    twins = {name: _twins(covariance, owners, members) for name, members in groups.items()}
    sizes = {name: int((owners == members[0]).sum()) for name, members in groups.items()}
    n, rng, rows = model.weights().shape[1], np.random.default_rng(seed), []
    for division in range(n_divisions):
        first = _half(groups, rng)
        sides = [np.isin(owners, [m for group in groups.values() for m in group if (m in first) == side])
                 for side in (True, False)]  # fmt: skip
        rows.append((division, ENSEMBLE, _both(model, latents, owners, covariance, sides, n), n))
        for name, table in twins.items():
            parted = [value for (a, b), value in table.items() if (a in first) != (b in first)]
            rows.append((division, name, float(np.mean(parted)), sizes[name]))
    return pd.DataFrame(rows, columns=["division", "what", "again", "n"])


def _groups(model: DeepPert) -> dict[str, list[int]]:
    """Numbers of the members of each family and size of which there are several; they differ in seed."""
    groups: dict[str, list[int]] = {}
    for number, one in enumerate(model.spec_["members"]):
        groups.setdefault(f"{one['family']} of {one['size']}", []).append(number)
    return {name: members for name, members in groups.items() if len(members) > 1}


def _latents(model: DeepPert, adata: AnnData) -> tuple[np.ndarray, np.ndarray]:
    """Latents of all members side by side, and the member that each is of."""
    step = max(1, int(np.ceil(adata.n_obs / MOST_PROFILES)))
    scores = model._front().scores(model._all_deviations(adata[::step].copy() if step > 1 else adata))
    latents = np.concatenate([encoded(layers, scores) for layers in model._encoders()], axis=1)
    owners = np.repeat(np.arange(len(model.spec_["members"])), [one["size"] for one in model.spec_["members"]])
    return latents.astype(np.float64), owners


def _half(groups: dict[str, list[int]], rng: np.random.Generator) -> set[int]:
    """Half of the members of each group; where their number is odd, by chance the smaller or the larger half."""
    found: set[int] = set()
    for members in groups.values():
        n = (len(members) + int(rng.integers(2))) // 2
        found |= {int(one) for one in rng.permutation(members)[:n]}
    return found


def _twins(covariance: np.ndarray, owners: np.ndarray, members: list[int]) -> dict[tuple[int, int], float]:
    """How well the latents of each member are found again in each other."""
    places = {member: np.flatnonzero((owners == member) & (np.diag(covariance) > IDLE**2)) for member in members}
    eye = np.eye(len(owners))
    return {(a, b): _again(covariance, eye[:, places[a]], eye[:, places[b]]) for a, b in combinations(members, 2)}


def _both(
    model: DeepPert, latents: np.ndarray, owners: np.ndarray, covariance: np.ndarray, sides: list[np.ndarray], n: int
) -> float:
    """How well the dimensions of one half are found again by the other."""
    how, mixing = model._effective(), []
    for side in sides:
        try:
            found = consensus(latents[:, side], owners[side], n_consensus=n, shared=how.shared,
                              align=not model.as_published, seed=model.seed)  # fmt: skip
        except ValueError:  # fewer latents are shared than there are dimensions
            return float("nan")
        whole = np.zeros((len(owners), n))
        whole[side] = found.mixing()
        mixing.append(whole)
    return _again(covariance, *mixing)


def _again(covariance: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
    """Median best absolute correlation of combinations of latents with those of another kind, mean of both ways."""
    lengths = [np.sqrt(np.maximum(np.einsum("ij,ij->j", mix, covariance @ mix), IDLE**2)) for mix in (one, other)]
    r = np.minimum(np.abs(one.T @ covariance @ other) / lengths[0][:, None] / lengths[1], 1)
    if not r.size:
        return float("nan")
    return float((np.median(r.max(axis=1)) + np.median(r.max(axis=0))) / 2)
