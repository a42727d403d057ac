"""The page of single cells: where the sensitive ones lie, in which groups, and how sure that is."""

from __future__ import annotations

from typing import Any, Literal

import pandas as pd
import streamlit as st

from galenic.app import choose, parts, single_cells, words
from galenic.app.uploads import CELLS, TABLES
from galenic.plots.figures.cells import group_map, probability_histogram, probability_map
from galenic.plots.figures.scores import forest
from galenic.plots.palette import colours_of

STATISTICS: dict[Literal["stored", "own"] | None, str] = {
    None: "as fitted",
    "own": "of these cells",
    "stored": "of the cells of fitting",
}


def page() -> None:
    """Draw the page."""
    st.title("Which of my single cells respond to a drug?")
    st.write(
        "Upload single cells (h5ad). A model that learned from labelled cell lines says how likely each cell is "
        "sensitive, and leaves open what it cannot tell."
    )
    with st.container(border=True):
        left, right = st.columns(2, gap="medium")
        chosen = cells = None
        with left, words.refusals_told():
            chosen = choose.choose("cells")
            with st.expander("How genes are aligned"):
                statistics = st.radio(
                    "Means and standard deviations", list(STATISTICS), key="cells-statistics",
                    format_func=lambda one: STATISTICS[one],
                )  # fmt: skip
        with right, words.refusals_told():
            cells = parts.source("cells", "cells.h5ad", what="cells", key="cells", endings=(*CELLS, *TABLES))
    if chosen is None or cells is None:
        return
    models = choose.load_by_drug(chosen)
    found, notes = words.computed(
        "cells", f"Scoring {parts.named(cells)}", (chosen.key, cells.sha256, statistics),
        lambda _: single_cells.predict(models, cells.path, statistics),
    )  # fmt: skip
    drug, table = _answer(found, chosen, notes)
    _map(table, drug)
    _groups(table, found)
    _details(found, models[drug].spec_["threshold"], table)


def _answer(found: single_cells.CellAnswers, chosen: choose.Chosen, notes: list[str]) -> tuple[str, pd.DataFrame]:
    st.header("Answer")
    drugs = list(found.answers)
    drug = drugs[0]
    if len(drugs) > 1:
        ranking = single_cells.ranking(found)
        drug = st.selectbox(f"Drug (of {len(drugs):,})", list(ranking["drug"]), key="cells-drug") or drug
    table = single_cells.of_drug(found, drug)
    what = "samples" if found.are_patients else "cells"
    st.success(words.plain(single_cells.answer(table, drug, what)), icon=":material/scatter_plot:")
    said, is_sure = single_cells.why(found.answers[drug])
    if said:
        (st.info if is_sure else st.warning)(words.plain(said), icon=":material/explore:")
    for line in parts.judged(chosen):
        st.info(words.plain(line), icon=":material/balance:")
    words.show_notes(notes)
    if len(drugs) > 1:
        with st.expander(f"All {len(drugs):,} drugs, ranked"):
            parts.table(
                single_cells.in_words(ranking), "A rank suggests what to test first; it does not compare doses."
            )
    return drug, table


def _map(table: pd.DataFrame, drug: str) -> None:
    st.header("Where the sensitive cells lie")
    parts.figure(probability_map(table), f"Each mark is a cell, coloured by P(sensitive to {drug}); rings are cells "
                 "that the model leaves open. Cells lie by their UMAP where the file has one, else by principal "
                 "components.", key="cells-map")  # fmt: skip


def _groups(table: pd.DataFrame, found: single_cells.CellAnswers) -> None:
    st.header("Groups of cells")
    names = single_cells.groupings(found)
    if not names:
        st.write("The file has no column of clusters or samples (a few values, one for each cell) to sum cells up by.")
        return
    column = st.selectbox("Sum up by", names, key="cells-by") or names[0]
    groups = single_cells.summary(table, found, column)
    left, right = st.columns(2, gap="medium")
    rows = groups.assign(label=groups["group"].astype(str), value=groups["probability"]).dropna(subset=["value"])
    with left:
        if len(rows):
            parts.figure(_chances(rows), f"Mean P of each {column}, with its 95 % interval.",
                         key="cells-forest")  # fmt: skip
    with right:
        values = found.cells.obs[column].astype(str)
        parts.figure(group_map(table, list(values), {str(name): colour for name, colour in
                     colours_of(sorted(values.unique())).items()}), f"The same cells by {column}.",
                     key="cells-groups")  # fmt: skip
    said = (
        "Means and shares are over the cells that were not left open. Their 95 % intervals hold for other cells of the "
        "same samples, not for other samples."
    )
    parts.table(single_cells.in_words(groups), said)


def _chances(rows: pd.DataFrame) -> Any:
    """Groups with intervals, over all that a probability can be."""
    figure = forest(rows, "mean P(sensitive)", float("nan"))
    return figure.update_xaxes(range=[-0.03, 1.03])


def _details(found: single_cells.CellAnswers, threshold: float, table: pd.DataFrame) -> None:
    st.header("How sure, and how well the file fits")
    parts.figure(probability_histogram(table, threshold), "How many cells have which probability.",
                 key="cells-histogram")  # fmt: skip
    parts.coverage(found.coverage)
    st.header("Keep the results")
    left, right = st.columns(2, gap="medium")
    left.download_button("Download the table (CSV)", single_cells.as_csv(found), "cells.csv", "text/csv",
                         key="cells-csv", icon=":material/download:", on_click="ignore")  # fmt: skip
    right.download_button("Download the cells with predictions (h5ad)", lambda: single_cells.as_h5ad(found),
                          "cells.h5ad", "application/x-hdf5", key="cells-h5ad", icon=":material/download:",
                          on_click="ignore")  # fmt: skip
