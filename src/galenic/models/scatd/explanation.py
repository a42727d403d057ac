"""Everything there is to say of why cells are called sensitive: contributions, genes, and how far to trust them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.models.cells.cell_model import standardised
from galenic.models.cells.source import read_source
from galenic.models.scatd.evidence import listed, with_evidence
from galenic.models.scatd.explaining import Background, Method, attribute, background_of, contributions, precision
from galenic.models.scatd.faithfulness import faithfulness
from galenic.models.scatd.importance import agreement, gene_set_table, importance_table
from galenic.models.scatd.start import ridge

N_CELLS = 100
"""Cells on which rankings by members, backgrounds and seeds are compared."""
BOUNDLESS = 1e6
"""Penalty for each line that leaves the direction between centroids."""
N_STEPS = 10
"""Places on the path, for rankings alone; one is exact where networks count for nothing."""
N_DRAWS = 20
"""Resamples of the cells, and 5 seeds of what is drawn, that are compared."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """What :func:`explain` found.

    Attributes
    ----------
    attributed
        Contributions, as :func:`galenic.models.scatd.explaining.attribute` returns.
    genes
        A row a feature, the most important first: :func:`~galenic.models.scatd.importance.importance_table`, with
        ``stability, p_value, q_value`` where lines were given, ``stability`` alone where the model kept its halves.
    agreement
        Whether rankings agree over members, halves of the lines, resamples of the cells, backgrounds and seeds.
    curves, areas
        Deletion and insertion: :func:`~galenic.models.scatd.faithfulness.faithfulness`.
    gene_sets
        :func:`~galenic.models.scatd.importance.gene_set_table`; ``None`` where no sets were given.
    """

    attributed: AnnData
    genes: pd.DataFrame
    agreement: pd.DataFrame
    curves: pd.DataFrame
    areas: pd.DataFrame
    gene_sets: pd.DataFrame | None


def explain(
    model: Any,
    cells: AnnData,
    *,
    method: Method = "ig",
    background: Background = "mean",
    bulk: AnnData | None = None,
    label: str = "label",
    response: str | None = None,
    line: str | None = None,
    platform: str | None = None,
    gene_sets: Mapping[str, Iterable[str]] | None = None,
    truth: np.ndarray | None = None,
    top: int = 50,
    seed: int = 0,
    device: str = "cpu",
    **how: Any,
) -> Explanation:
    """Contributions of features to the calls of cells, the genes behind them, and how far these can be trusted.

    Parameters
    ----------
    model
        A fitted :class:`~galenic.models.scatd.model.ScATD`.
    cells
        Cells to be explained. Not changed.
    method, background, how
        As for :func:`~galenic.models.scatd.explaining.attribute` (``n_steps, n_samples, n_background, noise``).
    bulk, label, response, line, platform
        The lines of the fit and their columns, as :meth:`ScATD.fit` was given them: for q-values, and stability by
        refits on halves.
    gene_sets
        Genes of each set, to be looked for among the ``top`` most important features.
    truth
        Labels of the cells, for a curve of the AUROC; it chooses nothing.
    top
        Features at the top: of stability, overlap of rankings and gene sets.
    seed, device
        Of everything drawn; where networks compute.

    Raises
    ------
    ValueError
        As :func:`~galenic.models.scatd.explaining.attribute`; if the lines lack features of the model, or the model
        says the same of all cells.

    Examples
    --------
    >>> from galenic.data.simulate.single_cell import bulk_and_cells
    >>> from galenic.models.scatd.model import ScATD
    >>> from galenic.train import Training
    >>> bulk, cells = bulk_and_cells(n_genes=60, n_lines=60, n_cells=80, n_drivers=15, seed=0)
    >>> model = ScATD(training=Training(max_epochs=2, monitor="none"), pretraining=Training(max_epochs=2))
    >>> model = model.fit(bulk, response="ln_ic50", target=cells)
    >>> found = explain(model, cells, bulk=bulk, response="ln_ic50")
    >>> found.attributed.shape, found.agreement["among"].tolist()
    ((80, 60), ['members', 'lines', 'cells', 'backgrounds'])
    """
    attributed = attribute(
        model, cells, method=method, background=background, seed=seed, device=device, **how
    )  # fmt: skip
    _require_calls(attributed)
    features = attributed.var_names.to_list()
    genes = importance_table(attributed, seed=seed)
    x = np.asarray(attributed.layers["value"])
    start = _start(model)
    if bulk is not None and start is not None:
        source = read_source(
            bulk, None, use_rep=model.use_rep, label=label, response=response, line=line, platform=platform,
            wanted=features,
        )  # fmt: skip
        _require_features(source.features, features)
        lines = standardised(source.x, source.x.mean(axis=0), source.x.std(axis=0))
        order = pd.Index(source.features).get_indexer(pd.Index(features))
        # Centroids are ridge on labels with a penalty beyond all bounds.
        of_labels = model.spec_["start"] == "centroid"
        learned = source.y.astype(np.float64) if of_labels else -source.response
        penalty = BOUNDLESS if of_labels else ridge(lines, learned)[1]
        genes = with_evidence(
            genes, features, lines[:, order], learned, penalty=penalty * len(lines), strata=source.platform,
            groups=source.line, top=top, seed=seed,
        )  # fmt: skip
    elif start is not None and "halves" in model.arrays_:
        share = listed(model.arrays_["halves"].reshape(-1, len(features)), start, top)
        genes = genes.join(pd.Series(share, index=pd.Index(features), name="stability"), on="gene")
    curves, areas = faithfulness(
        model.function(device), x, pd.Index(features).get_indexer(pd.Index(genes["gene"])),
        np.asarray(attributed.uns["background"]), truth=truth, seed=seed, device=device,
    )  # fmt: skip
    told = [row for row in _rankings(model, attributed, x, top, seed, device, method, background) if row["n"] > 1]
    sets = None if gene_sets is None else gene_set_table(genes, gene_sets, top=top)
    return Explanation(attributed, genes, pd.DataFrame(told), curves, areas, sets)


def _rankings(
    model: Any,
    attributed: AnnData,
    x: np.ndarray,
    top: int,
    seed: int,
    device: str,
    method: Method,
    background: Background,
) -> list[dict[str, Any]]:
    """Whether rankings agree over what should not matter."""
    rng = np.random.default_rng([seed, 11])
    some = x[np.sort(rng.choice(len(x), size=min(N_CELLS, len(x)), replace=False))]
    function = model.function(device)
    kind, n_steps = precision(function), N_STEPS if function.share else 1

    def by(what: Background, own_seed: int, way: Method = "ig") -> np.ndarray:
        rows = background_of(x, what, method=way, seed=own_seed)
        found = contributions(function, some, rows, method=way, n_steps=n_steps, seed=own_seed, device=device)
        return np.asarray(np.abs(found.contributions[0]).mean(axis=0))

    base = np.asarray(attributed.uns["background"]).mean(axis=0, keepdims=True)
    members = contributions(lambda rows: function.members(rows.to(kind)).T, some, base, n_steps=n_steps, device=device)
    told = [agreement(np.abs(members.contributions[0]).mean(axis=0).T, "members", top=top)]
    if "halves" in model.arrays_ and _start(model) is not None:
        way = np.abs(x - base).mean(axis=0)
        told.append(agreement(model.arrays_["halves"].reshape(-1, x.shape[1]) * way, "lines", top=top))
    sizes = np.abs(np.asarray(attributed.X, dtype=np.float64))
    times = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=N_DRAWS)
    told.append(agreement(times @ sizes, "cells", top=top))
    told.append(agreement(np.stack([by(what, seed) for what in get_args(Background)]), "backgrounds", top=top))
    if method == "eg" or background in ("random", "mixed"):
        seeds = [by(background, seed + number, method) for number in range(5)]
        told.append(agreement(np.stack(seeds), "seeds", top=top))
    return told


def _start(model: Any) -> np.ndarray | None:
    """Weights of the start, mean over members; ``None`` where it says nothing."""
    if not model.spec_.get("start"):
        return None
    weight = np.asarray(model.arrays_["start/weights"].mean(axis=0))
    return weight if np.abs(weight).max() > 0 else None


def _require_calls(attributed: AnnData) -> None:
    """Refuse to explain a model that says the same of every cell."""
    logits = attributed.obs["prediction"]
    if not logits.max() - logits.min() > 1e-6:
        raise ValueError(
            f"cells should be told apart before that is explained; the model says {logits.iloc[0]:.3g} of all "
            f"{len(logits):,}. Its lines taught nothing that counts: see the scores on the lines that were left out."
        )


def _require_features(there: list[str], wanted: list[str]) -> None:
    missing = sorted(set(wanted) - set(there))
    if missing:
        raise ValueError(
            f"the lines should have the {len(wanted):,} features of the model; {len(missing):,} are missing (first: "
            f"{', '.join(missing[:3])}). Give the lines of the fit."
        )
