"""The page of predictions: drugs ranked for samples, and models trained on the user's own screen."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from galenic.app import choose, parts, predicting, words
from galenic.app.pages import train
from galenic.app.uploads import TABLES, uploader
from galenic.plots.figures.ranked import ranked_drugs

MOST = 15
"""Drugs that are drawn unless more are asked for."""
REACH = (
    "In standard deviations of a gene: level is the mean of all genes, distance their root mean square; extreme is the "
    "share of genes more than 3 out; reach is how far out a sample lies, where 99 of 100 training cells lie within 1."
)


def page() -> None:
    """Draw the page."""
    st.title("Which drugs is my sample sensitive to?")
    st.write(
        "Upload gene expression of cell lines or tumours. A model that learned from a drug screen ranks its drugs for "
        "each of your samples."
    )
    asking, training = st.tabs(["Predict with a model", "Train on your own screen"])
    with asking, words.refusals_told():
        _predict()
    with training, words.refusals_told():
        train.section()


def _predict() -> None:
    with st.container(border=True):
        left, right = st.columns(2, gap="medium")
        chosen = samples = more = None
        with left, words.refusals_told():
            chosen = choose.choose("response")
        with right, words.refusals_told():
            samples = parts.source("response", "cells.csv", what="samples", key="predict")
            more = _more()
    if chosen is None or samples is None or more is None:
        return
    model = choose.load(chosen)
    n = parts.named(samples)
    found, notes = words.computed(
        "prediction", f"Predicting {n}", (chosen.key, samples.sha256, *more),
        lambda _: predicting.predict(model, samples.path, drugs=more[0], cells=more[1]),
    )  # fmt: skip
    _answer(found, chosen, [*predicting.remarks(found), *notes])
    _table(found)
    _details(found)


def _more() -> tuple[Path | None, Path | None]:
    """Tables of drugs and of samples."""
    with st.expander("More files (optional)"):
        drugs = uploader("Other drugs", TABLES, key="predict-drugs",
                         hint="A table with columns drug and smiles, for models that read structures.")  # fmt: skip
        cells = uploader("About the samples", TABLES, key="predict-cells",
                         hint="A table: ids of the samples in the first column, and a column tissue.")  # fmt: skip
    return (None if drugs is None else drugs.path), (None if cells is None else cells.path)


def _answer(found: predicting.Prediction, chosen: choose.Chosen, notes: list[str]) -> None:
    st.header("Answer")
    samples = list(dict.fromkeys(found.table["cell"]))
    sample = st.selectbox(f"Sample (of {len(samples):,})", samples, key="predict-sample")
    if sample is None:
        return
    st.success(words.plain(predicting.answer(found, sample)), icon=":material/medication:")
    for said in parts.judged(chosen):
        st.info(words.plain(said), icon=":material/balance:")
    n_drugs = int((found.table["cell"] == sample).sum())
    rows = predicting.of_sample(found, sample, MOST)
    if n_drugs > MOST and st.toggle(f"All {n_drugs:,} drugs", key="predict-all"):
        rows = predicting.of_sample(found, sample, n_drugs)
    parts.figure(ranked_drugs(rows, found.axis), f"Predicted response of {sample} to its first {len(rows):,} drugs.",
                 key="predict-figure")  # fmt: skip
    how = "Bars hold the measured response with a chance of 90 %. " if found.has_intervals else (
        "This model gives no intervals: how far it is off as a rule is said above (RMSE). "
    )  # fmt: skip
    if "usual" in found.table:
        how += "Hollow diamonds are what the drug does to an average cell: far from it, the sample's own genes speak."
    st.caption(how)
    words.show_notes(notes)


def _table(found: predicting.Prediction) -> None:
    st.header("All samples and drugs")
    asked = st.text_input("Find a sample or a drug", key="predict-find", placeholder="part of a name")
    table = predicting.shown(found, asked)
    parts.table(table, f"{len(table):,} predictions")
    words.download("Download all predictions (CSV)", found.table.drop(columns="title"), "predictions.csv",
                   key="predict-download")  # fmt: skip


def _details(found: predicting.Prediction) -> None:
    st.header("How well the file fits the model")
    genes = predicting.genes_found(found.coverage)
    if genes:
        st.write(f"The model reads {genes[1]:,} genes; {genes[0]:,} of them are in the file.")
        st.progress(genes[0] / max(genes[1], 1), text=f"{genes[0] / max(genes[1], 1):.0%} of the genes found")
    if said := predicting.outside(found):
        st.write(said)
        with st.expander("How far out each sample lies"):
            parts.table(found.shift.rename(columns={"cell": "sample"}), REACH)
    parts.coverage(found.coverage)
