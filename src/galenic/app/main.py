"""The frame of all pages: their list, and a first page that says what each answers."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from galenic.app.words import refusals_told
from galenic.version import __version__

ICON = Path(__file__).parent / "icon.svg"
"""A file: named icons and emoji of a page are fetched from the network."""
PAGES = {
    "predict": ("Predict", ":material/medication:", "Which drugs is my sample sensitive to?",
                "Upload gene expression of cell lines or tumours; get drugs ranked for each sample. Or train a model "
                "on a screen of your own."),
    "cells": ("Cells", ":material/scatter_plot:", "Which of my single cells respond to a drug?",
              "Upload single cells; get the chance that each is sensitive, and the groups that stand out."),
    "search": ("Search", ":material/search:", "What acts like my signature, or against it?",
               "Upload a signature of genes; get perturbagens that do the same, or the reverse."),
    "perturb": ("Perturb", ":material/experiment:", "What would a drug do to the genes of my cells?",
                "Upload untreated cells; get the expression that is expected under a perturbation."),
    "explain": ("Explain", ":material/lightbulb:", "Which genes are behind a prediction?",
                "Choose a drug; get the genes that the model reads, its atoms, and pairs of targets."),
    "benchmark": ("Benchmark", ":material/balance:", "How well do the models predict, beside simple baselines?",
                  "See scores with intervals, beside floors that read no genes."),
}  # fmt: skip
"""Module of ``galenic.app.pages``: title, icon, the question it answers, and how."""


def main() -> None:
    """Draw the page that is asked for."""
    st.set_page_config(page_title="galenic", page_icon=str(ICON), layout="wide",
                       initial_sidebar_state="auto", menu_items={})  # fmt: skip
    pages = {name: st.Page(shown(name), title=title, icon=icon, url_path=name)
             for name, (title, icon, _, _) in PAGES.items()}  # fmt: skip
    first = st.Page(lambda: home(pages), title="Start", icon=":material/home:", default=True)
    chosen = st.navigation([first, *pages.values()])
    with st.sidebar:
        st.caption(f"galenic {__version__}. Everything is computed on this computer; nothing is sent anywhere.")
    chosen.run()


def shown(name: str) -> Callable[[], None]:
    """The function that draws a page; its module is imported when it is asked for."""

    def draw() -> None:
        with refusals_told():
            importlib.import_module(f"galenic.app.pages.{name}").page()

    draw.__name__ = name
    return draw


def home(pages: dict[str, st.Page]) -> None:
    """What each page answers, with a way to it."""
    st.title("Drug response from gene expression")
    st.write(
        "Choose a question. Every page shows a small simulated example first, so that you can look around before you "
        "upload anything; replace it by your own file when you are ready."
    )
    names = list(PAGES)
    for row in (names[:3], names[3:]):
        for column, name in zip(st.columns(3), row, strict=True):
            _, _, question, how = PAGES[name]
            with column.container(border=True, height="stretch"):
                st.header(question)
                st.write(how)
                st.page_link(pages[name], label=f"Open {PAGES[name][0]}", icon=PAGES[name][1])
    st.caption(
        "For research. Predictions are not advice for treating anyone: read the scores beside the floors on each page "
        "before you rely on them."
    )
