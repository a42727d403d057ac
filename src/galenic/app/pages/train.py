"""The part of the page of predictions that trains a model on the user's own screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from galenic.app import choose, training, uploads, words
from galenic.data.units import ACCEPTED
from galenic.report.words import UNITS

COLUMNS = {"cell": "Column of the cells", "drug": "Column of the drugs", "response": "Column of the response"}
GUESS = "find it"
TRAINED = "galenic: trained"


def section() -> None:
    """Ask for files, train, and show what came of it."""
    st.header("Train a model on your own screen")
    st.write(
        "Upload measured responses and the expression of the same cells. The model is judged on cells that it has not "
        "seen, beside floors that read no genes; then it is fitted on all of them, and the page uses it."
    )
    with st.container(border=True):
        left, right = st.columns(2, gap="medium")
        with left:
            said = "One row a measurement: a cell, a drug, a response (such as LN_IC50 or AUC)."
            response = uploads.uploader("Responses", uploads.TABLES, key="train-response", hint=said)
            said = "Columns drug and smiles; KDRUG needs structures."
            drugs = uploads.uploader("Drugs (optional)", uploads.TABLES, key="train-drugs", hint=said)
        with right:
            said = "One row a cell, one column a gene; log expression."
            expression = uploads.uploader("Expression", uploads.MATRICES, key="train-expression", hint=said)
            said = "Ids of the cells, and a column tissue."
            cells = uploads.uploader("About the cells (optional)", uploads.TABLES, key="train-cells", hint=said)
        _examples()
        name = st.radio("Model", list(training.MODELS), format_func=training.MODELS.__getitem__, key="train-model")
        how = _how(response)
    ready = response is not None and expression is not None
    if ready:
        st.caption("Stay on this page until it is done: whoever leaves it stops the training.")
    else:
        st.caption("Responses and expression are needed; the button opens when both are here.")
    if st.button("Train", type="primary", disabled=not ready, key="train-go") and response and expression and name:
        uploads.require_different(response, expression, drugs, cells)
        data = training.read_screen(response.path, expression.path, drugs=_path(drugs), cells=_path(cells), **how)
        number = len(st.session_state.get(choose.MADE, [])) + 1
        folder = uploads.session_folder() / f"screen-{number}"
        with words.working(f"Judging {name} on unseen cells, then fitting it: {data.cells.n_obs:,} cells, "
                           f"{len(data.drugs):,} drugs") as work:  # fmt: skip
            work.notes += training.train(name, data, folder)
        label = f"{name} on your screen {number}"
        choose.offer(label, folder)
        st.session_state[TRAINED] = (label, folder, work.notes)
        st.rerun()
    if TRAINED in st.session_state:
        _show(*st.session_state[TRAINED])


def _examples() -> None:
    made = training.example()
    st.caption("Example files, to see what is expected or to try the page:")
    for column, (file, content) in zip(st.columns(len(made)), made.items(), strict=True):
        column.download_button(file, content, file, "text/csv", key=f"train-example-{file}",
                               icon=":material/download:", on_click="ignore", width="stretch")  # fmt: skip


def _how(response: uploads.Upload | None) -> dict[str, Any]:
    """What else may be said of the responses."""
    with st.expander("If the columns or the unit are not recognised"):
        names = [GUESS, *(training.columns_of(response.path) if response else [])]
        said = {name: st.selectbox(label, names, key=f"train-column-{name}") for name, label in COLUMNS.items()}
        unit = st.selectbox("Unit of the response", [GUESS, *ACCEPTED], key="train-unit",
                            format_func=lambda one: UNITS.get(one, one))  # fmt: skip
        mean = st.checkbox("Take the mean where a cell and a drug stand twice", key="train-repeats")
        drop = st.checkbox("Leave out rows without a response", key="train-missing")
    return {
        "columns": {name: one for name, one in said.items() if one and one != GUESS},
        "unit": None if unit == GUESS else unit,
        "repeats": "mean" if mean else "refuse",
        "missing": "drop" if drop else "refuse",
    }


def _show(label: str, folder: Path, notes: list[str]) -> None:
    from galenic.app import blocks

    st.header("What came of it")
    st.success(words.plain(f"{label} is trained, and chosen under 'Predict with a model'."),
               icon=":material/check:")  # fmt: skip
    blocks.scores(folder, key="train")
    words.show_notes(notes)
    st.subheader("Keep it")
    left, right = st.columns(2, gap="medium")
    with left:
        st.write("As a file: model, scores and report.")
        st.download_button("Download the model (zip)", lambda: training.zipped(folder), f"{folder.name}.zip",
                           "application/zip", key="train-zip", icon=":material/download:",
                           on_click="ignore")  # fmt: skip
    with right:
        place = st.text_input("Or in a new folder on this computer", key="train-place",
                              placeholder=str(Path.home() / "galenic" / "my-screen"))  # fmt: skip
        if st.button("Save", key="train-save", icon=":material/save:"):
            with words.refusals_told():
                st.success(words.plain(f"Saved: {training.save_to(folder, place)}"), icon=":material/check:")


def _path(upload: uploads.Upload | None) -> Path | None:
    return None if upload is None else upload.path
