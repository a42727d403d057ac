"""The page of perturbations: what a drug does to the genes of a cell type, beside floors and measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from galenic.app import choose, parts, perturbing, uploads, words
from galenic.app.own_files import example_or_upload
from galenic.app.perturbing import COLUMN_NAMES, Choices, Effect

HINT = (
    "One row a cell, logs of normalised counts; in the table of the cells (obs) a column of cell types and one of "
    "perturbations, in which untreated cells are called control."
)


def page() -> None:
    """Draw the page."""
    st.title("What would a drug do to the genes of my cells?")
    st.write(
        "Choose a cell type and a drug. A model that has seen drugs in some cell types predicts what this one does to "
        "every gene here, from your untreated cells."
    )
    with st.container(border=True):
        left, right = st.columns(2, gap="medium")
        with left:
            chosen = choose.choose("perturbation")
        with right:
            given, _ = example_or_upload(
                (choose.demo("perturbation") or Path()) / "cells.h5ad", "cells", about="Simulated cells.", hint=HINT,
                endings=uploads.CELLS, key="perturb",
            )  # fmt: skip
        if chosen is None or given is None:
            return
        with words.working("Loading the model"):
            model = choose.load(chosen)
        adata = words.computed("perturb-cells", "Reading the cells", given.sha256, lambda _: read(str(given.path)))[0]
        asked = _ask(perturbing.choices(model, adata))
    if asked is None:
        return
    context, name, dose = asked
    found, notes = words.computed(
        "perturb", f"Predicting {name} in {context}", (chosen.key, given.sha256, asked),
        lambda _: perturbing.effect_of(model, adata, context, name, dose),
    )  # fmt: skip
    _answer(found, context, name, chosen, notes)
    _figure(found)
    _against(found)
    _genes(found, context, name)


def read(path: str) -> Any:
    """The cells of a file."""
    from galenic.data.read.matrices import open_h5ad

    return open_h5ad(path)


def _ask(known: Choices) -> tuple[str, str, float | None] | None:
    """Cell type, drug and dose; at first a pair that was measured and that the model has not seen."""
    if not known.contexts:
        raise ValueError(
            "untreated cells of one cell type or more are expected; the file has none. Add controls, and call them "
            "control in the column of perturbations."
        )
    first = known.measured[0] if known.measured else (known.contexts[0], known.perturbations[0])
    columns = st.columns(3 if known.doses else 2, gap="medium")
    context = columns[0].selectbox("Cell type", known.contexts, index=known.contexts.index(first[0]),
                                   key="perturb-context")  # fmt: skip
    name = columns[1].selectbox(f"Drug (of {len(known.perturbations):,}; type to find, or a new one)",
                                known.perturbations, index=known.perturbations.index(first[1]), key="perturb-name",
                                accept_new_options=True)  # fmt: skip
    dose = columns[2].selectbox("Dose", known.doses, key="perturb-dose") if known.doses else None
    if known.measured:
        here = perturbing.natural(other for place, other in known.measured if place == context)
        said = ", ".join(here) if here else "none"
        st.caption(words.plain(f"Measured in {context} and not seen by the model, so that it can be judged: {said}."))
    return (context, name, dose) if context and name else None


def _answer(found: Effect, context: str, name: str, chosen: choose.Chosen, notes: list[str]) -> None:
    st.header("Answer")
    show = st.success if found.is_known else st.info
    show(words.plain(perturbing.headline(found, context, name)), icon=":material/experiment:")
    for said in perturbing.doubts(found, name):
        st.warning(words.plain(said), icon=":material/warning:")
    if found.scores is not None:
        said, better = perturbing.verdict(found.scores, is_fitted=found.is_fitted)
        (st.info if better else st.warning)(words.plain(said), icon=":material/balance:")
    for said in parts.judged(chosen):
        st.info(words.plain(said), icon=":material/balance:")
    words.show_notes(notes)


def _figure(found: Effect) -> None:
    from galenic.plots.figures.effects import effect_bars, volcano

    st.header("Size and steadiness of the effect")
    if "steadiness" in found.genes:
        parts.figure(
            volcano(found.genes),
            f"Across: the predicted effect, a log ratio to untreated cells. Up: its size divided by how much the "
            f"measured effect of this drug differs between the {found.n_contexts} other cell types (standard "
            "deviation, plus half of the usual one). High points do the same everywhere; it is no p-value.",
            key="perturb-volcano",
        )
        return
    parts.figure(
        effect_bars(found.genes),
        "The largest predicted effects. The drug was measured in fewer than two other cell types, so nothing tells how "
        "steady they are.",
        key="perturb-bars",
    )


def _against(found: Effect) -> None:
    from galenic.plots.figures.perturbation import effect_points

    if found.scores is None:
        return
    st.header("Against what was measured")
    left, right = st.columns(2, gap="medium")
    known = found.genes[found.genes["measured"].notna()]
    with left:
        said = f"Each point a gene ({len(known):,}); on the dashed line both agree."
        parts.figure(effect_points(known.rename(columns={"effect": "predicted"})), said, key="perturb-points")
    with right:
        how = (
            "The prediction beside the floors, on this one condition: simple averages of measured effects, without any "
            "network. Higher correlation and lower error are better."
        )
        parts.table(perturbing.score_rows(found.scores), how)


def _genes(found: Effect, context: str, name: str) -> None:
    st.header("Genes")
    n = st.slider("Genes with the largest predicted effects", 10, min(500, len(found.genes)), 20, key="perturb-n") if (
        len(found.genes) > 20) else len(found.genes)  # fmt: skip
    said = (
        "Effects are differences of logs to untreated cells. Spread: standard deviation of the measured effect over "
        "other cell types. Steadiness: the size of the effect beside it, as in the figure. Floors are averages of "
        "measured effects: of this drug in other cell types, of all drugs in this cell type, and of all drugs "
        "everywhere."
    )
    parts.table(found.genes.head(n).rename(columns=COLUMN_NAMES), said)
    words.download("Download all genes (CSV)", found.genes, f"{name} in {context}.csv".replace("/", "_"),
                   key="perturb-download")  # fmt: skip
