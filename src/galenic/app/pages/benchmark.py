"""The page of benchmarks: scores with intervals, beside floors and ceilings."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from galenic.app import blocks, choose, comparing, uploads, words
from galenic.report.performance import score_figures, score_tables, scores_by_drug
from galenic.report.run import read
from galenic.report.sections import data, headline, provenance, warnings

FOLDER, TABLE = "A run folder", "A table of scores (metrics.csv)"
RUNS = "galenic: uploaded scores"


def page() -> None:
    """Draw the page."""
    st.title("How well do the models predict, beside simple baselines?")
    st.write(
        "A floor is a simple baseline that reads no genes, such as the mean of each drug. A model that does not beat "
        "its best floor has not shown that it learned anything from expression."
    )
    with st.container(border=True):
        said = st.radio("What to look at", [FOLDER, TABLE], key="benchmark-source", horizontal=True)
        folder = _chosen() if said == FOLDER else _uploaded()
    if folder is None:
        return
    run = read(folder)
    st.header("Answer")
    blocks.sections([headline], run, key="benchmark", headed=False)
    blocks.sections([warnings, score_figures, score_tables, scores_by_drug, data], run, key="benchmark")
    with st.expander("How to repeat this"):
        blocks.sections([provenance], run, key="benchmark-how", headed=False)
    st.download_button("Download the report (one HTML page)", lambda: comparing.report(folder), "report.html",
                       "text/html", key="benchmark-report", icon=":material/download:", on_click="ignore")  # fmt: skip


def _chosen() -> Path | None:
    chosen = choose.choose("benchmark")
    return None if chosen is None else chosen.folder


def _uploaded() -> Path | None:
    given = uploads.uploader("Scores", ("csv",), key="benchmark-upload",
                             hint="One row a score: model, split, fold, seed, group, metric, value, n.")  # fmt: skip
    if given is None:
        return None
    scores = comparing.read_scores(given.path)
    models = list(dict.fromkeys(scores["model"].astype(str)))
    floors = st.multiselect("Which of the models are floors", models, comparing.floors_in(scores),
                            key=f"benchmark-floors-{given.sha256[:8]}")  # fmt: skip
    place = uploads.session_folder() / f"scores-{given.sha256[:16]}"
    folder, _ = words.computed("scores", "Comparing each model with its best floor", (given.sha256, floors),
                               lambda _: comparing.as_run(scores, floors, place))  # fmt: skip
    return folder
