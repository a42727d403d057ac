"""What a scientist draws of single cells: where they lie, and what is said of them."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from galenic.plots.figures.cells import group_map, probability_map, value_map
from galenic.plots.palette import FLOOR, colours_of
from galenic.plots.saving import drawn

if TYPE_CHECKING:
    from anndata import AnnData

UNKNOWN = "not known"
PROBABILITY, ABSTAIN = "probability", "abstain"


@drawn
def cells(adata: AnnData, *, color: str = PROBABILITY, basis: str = "X_umap", layer: str | None = None) -> go.Figure:
    """Cells where an embedding puts them, coloured by a column of ``obs`` or by a gene.

    Parameters
    ----------
    adata
        Cells; not changed.
    color
        A column of ``obs``, or a gene. ``probability`` and ``<drug>_probability``, as ``galenic predict`` writes them,
        are drawn from orange (resistant) to blue (sensitive), and the cells of which ``abstain`` (``<drug>_abstain``)
        is true as rings. Categories take ``uns["<color>_colors"]`` where scanpy left them.
    basis
        Key of ``obsm``, with or without ``X_``.
    layer
        For a gene: the layer it is read from; ``X`` by default.

    Returns
    -------
    plotly.graph_objects.Figure
        Up to 2,000 cells, evenly over the table. Where no value is known: grey crosses.

    Raises
    ------
    ValueError
        If there is no such embedding, column or gene.

    Examples
    --------
    >>> from anndata import AnnData
    >>> adata = AnnData(np.eye(3), obs=pd.DataFrame({"probability": [0.1, 0.9, None]}, index=list("abc"), dtype=float))
    >>> adata.obsm["X_umap"] = np.eye(3)[:, :2]
    >>> [trace.name for trace in cells(adata).data]
    ['no counts', 'called']
    """
    table = pd.DataFrame(_embedding(adata, basis), columns=["x", "y"]).assign(cell=list(map(str, adata.obs_names)))
    values = _values(adata, color, layer)
    is_number = pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype)
    if not is_number:
        text = values.astype(object).where(values.notna(), UNKNOWN).astype(str)
        return group_map(table, text.tolist(), _colours(adata, color, values))
    numbers = values.to_numpy(float, na_value=np.nan)
    if not color.endswith(PROBABILITY):
        return value_map(table.assign(value=numbers), color)
    own = color.removesuffix(PROBABILITY) + ABSTAIN
    abstained = adata.obs[own].fillna(value=False).astype(bool).to_numpy() if own in adata.obs else np.isnan(numbers)
    return probability_map(table.assign(probability=numbers, abstain=abstained))


def _embedding(adata: AnnData, basis: str) -> np.ndarray:
    key = next((name for name in (basis, f"X_{basis}") if name in adata.obsm), None)
    if key is None:
        there = ", ".join(adata.obsm) or "none"
        raise ValueError(
            f"basis should be a key of obsm; it has {there}, and no {basis!r}. Compute it (scanpy.tl.umap), or name "
            "another."
        )
    found = adata.obsm[key]
    found = found.to_numpy(float) if isinstance(found, pd.DataFrame) else np.asarray(found, dtype=float)
    if found.shape[1] < 2:
        raise ValueError(f"an embedding to draw has two columns; obsm[{key!r}] has {found.shape[1]}. Name another.")
    return found[:, :2]


def _values(adata: AnnData, color: str, layer: str | None) -> pd.Series:
    if color in adata.obs:
        return adata.obs[color].reset_index(drop=True)
    if color in adata.var_names:
        return pd.Series(np.asarray(adata.obs_vector(color, layer=layer), dtype=float))
    from difflib import get_close_matches

    near = get_close_matches(color, [*map(str, adata.obs.columns), *map(str, adata.var_names)], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ". Write predictions into obs first (adata.obs.join)."
    raise ValueError(
        f"color should be a column of obs or a gene; obs has {', '.join(map(str, adata.obs.columns[:12])) or 'none'}; "
        f"received {color!r}{hint}"
    )


def _colours(adata: AnnData, color: str, values: pd.Series) -> dict[str, str]:
    """Colours of the categories, scanpy's own where it left them."""
    is_category = isinstance(values.dtype, pd.CategoricalDtype)
    names: list[Hashable] = list(values.cat.categories) if is_category else sorted(values.dropna().unique(), key=str)
    own = adata.uns.get(f"{color}_colors")
    found = colours_of(names) if own is None or len(own) != len(names) else dict(zip(names, own, strict=True))
    shown = {str(name): str(colour) for name, colour in found.items() if (values == name).any()}
    return {UNKNOWN: FLOOR, **shown} if values.isna().any() else shown
