"""Whether features said to matter do: cells lose them, or regain them, and the model is asked again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from galenic.evaluate.deletion import curve_areas, curve_band, feature_curves
from galenic.evaluate.metrics import auroc
from galenic.models.scatd.explaining import precision

N_CELLS = 100
"""Cells that are scored at every step."""


def faithfulness(
    function: Callable[[Tensor], Tensor],
    x: np.ndarray,
    ranking: Sequence[int] | np.ndarray,
    background: np.ndarray,
    *,
    truth: np.ndarray | None = None,
    n_cells: int = N_CELLS,
    n_steps: int = 20,
    n_random: int = 20,
    seed: int = 0,
    device: str = "cpu",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    r"""Deletion and insertion curves of a ranking of features, beside random orders.

    Parameters
    ----------
    function
        Logits ``(n,)`` of standardised features ``(n, n_features)``.
    x
        Cells, ``(n_cells, n_features)``. Not changed.
    ranking
        Positions of the features, the most important first; each once. Random orders are of the same features.
    background
        What a feature is set to when it is taken away, ``(n_rows, n_features)``: the mean of the rows.
    truth
        Label of each cell (1 = sensitive, 0 = resistant, NaN = unknown), for curves of the AUROC besides; it chooses
        nothing.
    n_cells
        Cells that are scored, drawn where there are more.
    n_steps, n_random, seed
        As for :func:`galenic.evaluate.deletion.feature_curves`.
    device
        Where networks compute.

    Returns
    -------
    curves : DataFrame
        ``kind`` ("deletion", "insertion"), ``score`` ("kept", "auroc"), ``n_features, share, value, random, low, high``
        (90 % of the random orders).
    areas : DataFrame
        ``kind, score, area, random, gain`` (above 0 = better than random orders), ``p_value, n_random``.

    Notes
    -----
    *Kept* is how much of the calls is left: 1 with all features, 0 at the background,

    .. math:: \sum_c s_c\,(f(x_c) - f(x')) \Big/ \sum_c |f(x^\circ_c) - f(x')|, \quad
       s_c = \mathrm{sign}(f(x^\circ_c) - f(x'))

    with :math:`x^\circ` the cell as it is. It may pass 1, or fall below 0. It judges whether the ranking is true to the
    *model*; only the AUROC says something of the cells. Petsiuk et al., BMVC 2018.

    Examples
    --------
    >>> x = np.array([[1.0, 0.1], [-1.0, 0.1]])
    >>> curves, areas = faithfulness(lambda x: x @ x.new_tensor([1.0, 0.1]), x, [0, 1], np.zeros((1, 2)), n_random=2)
    >>> curves.loc[curves["kind"] == "deletion", "value"].round(2).tolist()
    [1.0, 0.0, 0.0]
    """
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(len(x), size=min(n_cells, len(x)), replace=False))
    kind = precision(function)
    numbers = np.float32 if kind == torch.float32 else np.float64
    cells, fill = np.asarray(x)[rows].astype(numbers), np.asarray(background).mean(axis=0).astype(numbers)

    def logits(values: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return np.asarray(function(torch.as_tensor(values, dtype=kind, device=device)).cpu().numpy(), np.float64)

    start = float(logits(fill[None])[0])
    way = logits(cells) - start
    signs, whole = np.sign(way), float(np.abs(way).sum())
    scores: dict[str, tuple[np.ndarray, Callable[[np.ndarray], float]]] = {}
    if whole > 0:
        scores["kept"] = (cells, lambda values: float(signs @ (logits(values) - start)) / whole)
    label = np.full(len(rows), np.nan) if truth is None else np.asarray(truth, dtype=np.float64)[rows]
    known = np.isfinite(label)
    if len(np.unique(label[known])) == 2:
        scores["auroc"] = (cells[known], lambda values: float(auroc(label[known], logits(values))))
    curves, areas = [], []
    for name, (values, score) in scores.items():
        for way_of in ("deletion", "insertion"):
            found = feature_curves(
                score, values, ranking, background=fill, kind=way_of, n_steps=n_steps, n_random=n_random, seed=seed
            )
            curves.append(curve_band(found).assign(kind=way_of, score=name))
            areas.append({"kind": way_of, "score": name, **curve_areas(found, way_of)})
    if not curves:
        raise ValueError(
            f"curves need cells whose logits differ from the background's; the {len(x):,} cells received do not. Give "
            "other cells or another background."
        )
    columns = ["kind", "score", "n_features", "share", "value", "random", "low", "high"]
    return pd.concat(curves, ignore_index=True)[columns], pd.DataFrame(areas)
