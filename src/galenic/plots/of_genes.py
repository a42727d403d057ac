"""What a scientist draws of genes and structures: effects, biomarkers, atoms."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from galenic.plots.figures.cell_genes import importance_bars
from galenic.plots.figures.genes import effect_cloud, weight_bars
from galenic.plots.figures.molecules import atom_map
from galenic.plots.figures.perturbation import effect_points
from galenic.plots.saving import drawn
from galenic.plots.style import one_of, require

EFFECTS = {"effect": "effect", "delta": "effect", "weight": "weight", "logfoldchanges": "log2 fold change"}
"""Columns that hold an effect, and what they are called; the last is scanpy's."""
DOUBTS = ("q_value", "pvals_adj", "p_value", "pvals", "spread", "sd")
"""Columns that say how sure it is, the first that is there."""


@drawn
def effects(table: pd.DataFrame, *, n_named: int = 10, level: float = 0.05) -> go.Figure:
    """Effects of genes against how sure they are: a volcano.

    Parameters
    ----------
    table
        ``gene`` (or ``names``), an effect (``effect, delta, weight`` or scanpy's ``logfoldchanges``) and how sure it is
        (``q_value, pvals_adj, p_value, pvals``: drawn as -log10; or ``spread, sd``: drawn as they are).
    n_named
        Genes that are named, the largest effects of those that are told apart from none.
    level
        Of the p- or q-value up to which a gene is coloured; of a spread, genes are coloured whose effect is larger than
        twice it.

    Returns
    -------
    plotly.graph_objects.Figure
        Rising genes orange triangles, falling ones blue triangles upside down, others grey.

    Raises
    ------
    ValueError
        If columns lack.

    Examples
    --------
    >>> table = pd.DataFrame({"gene": ["A", "B"], "delta": [1.0, 0.1], "q_value": [0.001, 0.5]})
    >>> [trace.name for trace in effects(table).data]
    ['not told apart', 'rise']
    """
    named = table.rename(columns={"names": "gene"}) if isinstance(table, pd.DataFrame) else table
    require(named, ["gene"], "plots.effects")
    effect = next((name for name in EFFECTS if name in named), "effect")
    doubt = next((name for name in DOUBTS if name in named), "q_value")
    require(named, ["gene", effect, doubt], "plots.effects")
    rows = pd.DataFrame({"gene": named["gene"], "effect": named[effect], "doubt": named[doubt]})
    return effect_cloud(rows.dropna(), EFFECTS[effect], doubt, n_named, level)


@drawn
def effect_against(predicted: pd.DataFrame | pd.Series, measured: pd.Series | None = None) -> go.Figure:
    """Predicted against measured effects of one condition, a point a gene.

    Parameters
    ----------
    predicted
        Effects by gene; or a table of ``gene, measured, predicted``.
    measured
        Effects by gene; not given with a table. Genes that both have are drawn.

    Returns
    -------
    plotly.graph_objects.Figure
        The ten genes that changed most are named.

    Raises
    ------
    ValueError
        If columns lack, or no gene is in both.

    Examples
    --------
    >>> genes = ["TP53", "MYC"]
    >>> figure = effect_against(pd.Series([0.5, -0.2], genes), pd.Series([1.0, -0.5], genes))
    >>> figure.layout.yaxis.title.text
    'predicted effect'
    """
    table = predicted
    if measured is not None:
        table = pd.DataFrame({"measured": measured, "predicted": predicted}).rename_axis("gene").reset_index()
    require(table, ["gene", "measured", "predicted"], "plots.effect_against")
    return effect_points(require(table.dropna(subset=["measured", "predicted"]), [], "plots.effect_against"))


@drawn
def biomarkers(table: pd.DataFrame, drug: str | None = None, *, n: int = 20) -> go.Figure:
    """The genes that drive the predictions of a drug.

    Parameters
    ----------
    table
        ``drug, gene, weight``, optional ``spread`` and ``stability``, as ``galenic explain`` writes them; or of cells
        ``gene, importance, toward``.
    drug
        Which drug; by default the only one.
    n
        Genes that are drawn, in the order of ``rank``, or else of the size of the weight.

    Returns
    -------
    plotly.graph_objects.Figure
        Orange to the right: more of the gene, more resistant; blue to the left: more sensitive. Whiskers are the
        standard deviation over refits.

    Raises
    ------
    ValueError
        If columns lack, or several drugs are there and none is chosen.

    Examples
    --------
    >>> table = pd.DataFrame({"drug": "x", "gene": ["A", "B"], "weight": [0.5, -0.2]})
    >>> list(biomarkers(table).data[0].x)
    [-0.2, 0.5]
    """
    if isinstance(table, pd.DataFrame) and {"importance", "toward"} <= set(table):
        rows = one_of(require(table, ["gene"], "plots.biomarkers"), "drug", drug, "plots.biomarkers")
        return importance_bars(rows.nlargest(n, "importance"))
    rows = one_of(require(table, ["gene", "weight"], "plots.biomarkers"), "drug", drug, "plots.biomarkers")
    order = rows["rank"] if "rank" in rows else rows["weight"].abs().rank(ascending=False, method="first")
    return weight_bars(rows.loc[order.nsmallest(n).index])


@drawn
def molecule(table: pd.DataFrame, drug: str | None = None) -> go.Figure:
    """A drug's structure, each atom in a disc coloured by what it adds to the predicted response.

    Parameters
    ----------
    table
        ``smiles, atom, element, contribution``, one row an atom, as ``galenic explain`` writes them; ``drug`` where
        there are several.
    drug
        Which drug; by default the only one.

    Returns
    -------
    plotly.graph_objects.Figure
        Blue pulls towards sensitivity, orange towards resistance; the strongest atom has the full colour.

    Raises
    ------
    ValueError
        If columns lack, the SMILES does not parse, or it does not have as many atoms as the table.

    Examples
    --------
    >>> atoms = {"smiles": "CCO", "atom": [0, 1, 2], "element": list("CCO"), "contribution": [0.1, 0.0, -0.4]}
    >>> len(molecule(pd.DataFrame(atoms)).data[-1].x)
    3
    """
    require(table, ["smiles", "atom", "element", "contribution"], "plots.molecule")
    return atom_map(one_of(table, "drug", drug, "plots.molecule").sort_values("atom"))
