"""An ensemble as tables to be kept and shown: the genes of each dimension, and how latents go together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from galenic.models.deeppert.member import encoded

if TYPE_CHECKING:
    from anndata import AnnData

    from galenic.models.deeppert.model import DeepPert, Kind

MOST_PROFILES = 5000
"""Profiles that correlations of latents are taken over."""
SHARE_ASIDE = 0.2
"""Of the latents that are shown, at most so many were set aside."""


def top_genes(model: DeepPert, keep: int = 50) -> pd.DataFrame:
    """The genes that move each dimension most, those that raise it and those that lower it.

    Parameters
    ----------
    model
        A fitted ensemble.
    keep
        Genes of each direction of each dimension, 1 or more.

    Returns
    -------
    DataFrame
        ``dimension, direction`` ("up": the dimension rises with the gene; "down"), ``rank`` (1 = largest weight of the
        direction), ``gene, symbol`` (the gene where no symbol is known), ``weight`` (signed), ``spread`` (standard
        deviation of the weight over latents), ``absolute`` (mean absolute contribution).

    Raises
    ------
    ValueError
        If ``keep`` is below 1.
    """
    if keep < 1:
        raise ValueError(f"genes to list of each dimension should be 1 or more; received {keep}. Correct the number.")
    weights = model.weights()
    genes, symbols = weights.index.to_numpy(), symbols_of(model)
    kinds: dict[str, Kind] = {"weight": "signed", "spread": "spread", "absolute": "absolute"}
    values = {name: model.weights(kind).to_numpy() for name, kind in kinds.items()}
    parts = []
    for dimension in weights.columns:
        own = values["weight"][:, dimension]
        for direction, sign in (("up", 1), ("down", -1)):
            order = np.argsort(-sign * own, kind="stable")[:keep]
            order = order[sign * own[order] > 0]
            part = pd.DataFrame({name: table[order, dimension] for name, table in values.items()})
            part.insert(0, "dimension", dimension)
            part.insert(1, "direction", direction)
            part.insert(2, "rank", np.arange(1, len(order) + 1))
            part.insert(3, "gene", genes[order])
            part.insert(4, "symbol", symbols[order])
            parts.append(part)
    return pd.concat(parts, ignore_index=True)


def symbols_of(model: DeepPert) -> np.ndarray:
    """Symbol of each gene of the fit, or the gene itself where none is known, ``(n_genes,)``."""
    genes = np.asarray(model.spec_["genes"], dtype=object)
    named = pd.Series(model.spec_["symbols"] or genes, dtype=object)
    return named.where(~named.isin(["", "nan", "None", "-666"]), genes).to_numpy()


def importances(model: DeepPert) -> pd.DataFrame:
    """Mean absolute contribution of each gene to each dimension, genes x dimensions, genes named by their symbols.

    :func:`galenic.explain.target_combinations` pairs genes by them. Symbols that several genes share are left out.
    """
    table = model.weights("absolute").set_axis(pd.Index(symbols_of(model), name="gene"), axis=0)
    return table[~table.index.duplicated(keep=False)]


def latent_links(model: DeepPert, adata: AnnData, *, most: int = 200) -> pd.DataFrame:
    """Correlations of latents over profiles, in the order of their dimensions, signs aligned.

    Parameters
    ----------
    model
        A fitted ensemble.
    adata
        Profiles, usually those of the fit; of very many, every so-manieth counts.
    most
        Latents in the table, about; of more, each dimension gives its share, from the best to the least agreeing one.

    Returns
    -------
    DataFrame
        A row a latent: ``latent`` (``family-size-run/node``), ``cluster`` (its dimension, -1 = set aside; those are the
        last), and ``r_0, r_1, ...``: its correlation with the latent of that row. Latents that are constant are left
        out.
    """
    latents = model.latents_
    chosen = shown(latents, most)
    step = max(1, int(np.ceil(adata.n_obs / MOST_PROFILES)))
    rows = adata[::step].copy() if step > 1 else adata
    scores = model._front().scores(model._all_deviations(rows))
    owners = np.repeat(np.arange(len(model.spec_["members"])), [one["size"] for one in model.spec_["members"]])
    values = np.empty((len(scores), len(chosen)))
    for number, layers in enumerate(model._encoders()):
        here = owners[chosen] == number
        if here.any():
            values[:, here] = encoded(layers, scores)[:, latents["node"].to_numpy()[chosen[here]]]
    values = (values - values.mean(axis=0)) * latents["sign"].to_numpy()[chosen]
    deviation = values.std(axis=0)
    values /= np.where(deviation > 0, deviation, 1)
    r = (values.T @ values / len(values)).round(3)
    part = latents.iloc[chosen]
    member = part["family"] + "-" + part["size"].astype(str) + "-" + part["run"].astype(str)
    named = pd.DataFrame({"latent": member + "/" + part["node"].astype(str), "cluster": part["cluster"]})
    columns = [f"r_{number}" for number in range(len(r))]
    return pd.concat([named.reset_index(drop=True), pd.DataFrame(r, columns=columns)], axis=1)


def shown(latents: pd.DataFrame, most: int) -> np.ndarray:
    """Rows of about ``most`` latents, by dimension and from the best to the least agreeing; set aside ones last."""
    aside = latents["cluster"] < 0
    active = ~(aside & latents["link"].isna())
    by = latents.assign(
        last=aside, how_well=-latents["agreement"].fillna(latents["link"]).fillna(0), place=np.arange(len(latents))
    )[active].sort_values(["last", "cluster", "how_well"], kind="stable")
    n_aside = min(int((aside & active).sum()), int(SHARE_ASIDE * most))
    share = (most - n_aside) / max(int((~aside).sum()), 1)
    parts = []
    for cluster, rows in by.groupby("cluster", sort=False):
        n = n_aside if cluster < 0 else min(len(rows), max(1, int(share * len(rows))))
        parts.append(rows["place"].to_numpy()[np.unique(np.linspace(0, len(rows) - 1, n).round().astype(int))])
    return np.concatenate(parts) if parts else np.zeros(0, dtype=int)
