"""The page of explanations: genes behind a drug's predictions, atoms, and pairs of targets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from galenic.app import blocks, choose, explaining, parts, words
from galenic.report.run import Run


def page() -> None:
    """Draw the page."""
    st.title("Which genes are behind a prediction?")
    st.write(
        "A model may be right for reasons that do not hold. Here is what it reads: genes that most refits agree on, "
        "atoms of the drug, and pairs of targets, each beside what chance gives."
    )
    opened = None
    with words.refusals_told():
        opened = _run()
    genes, atoms, targets = st.tabs(["Genes of a drug", "Atoms of a drug", "Pairs of targets"])
    with genes, words.refusals_told():
        if opened is not None:
            _genes(*opened)
    with atoms, words.refusals_told():
        if opened is not None:
            _atoms(opened[1])
    with targets, words.refusals_told():
        _targets()


def _run() -> tuple[choose.Chosen, Run] | None:
    """The run that is explained."""
    from galenic.report.run import read

    with st.container(border=True):
        chosen = choose.choose("explain")
        st.caption("Your own: a run of 'galenic fit' on which 'galenic explain RUN' was run.")
    return None if chosen is None else (chosen, read(chosen.folder))


def _genes(chosen: choose.Chosen, run: Run) -> None:
    table = run.table("biomarkers")
    if table is None or table.empty:
        raise ValueError(
            f"a run with biomarkers is expected; {chosen.folder} has none. Make them first: galenic explain "
            f"{chosen.folder}"
        )
    drugs = explaining.titles(table)
    title = st.selectbox(f"Drug (of {len(drugs):,})", list(drugs), key="explain-drug")
    if title is None:
        return
    rows = explaining.of_drug(table, drugs[title])
    planted = explaining.drivers(chosen.folder, drugs[title]) if chosen.is_demo else None
    st.header("Answer")
    st.success(words.plain(explaining.headline(rows, title)), icon=":material/lightbulb:")
    if planted is not None and len(planted):
        n_genes = explaining.n_genes(run)
        st.info(words.plain(explaining.planted_said(rows, planted, n_genes)), icon=":material/check_circle:")
    for said in parts.judged(chosen):
        st.info(words.plain(said), icon=":material/balance:")
    _weights(rows, title)
    _gene_table(rows, planted, table)


def _weights(rows: Any, title: str) -> None:
    from galenic.plots.figures.scores import forest

    drawn = explaining.forest_rows(rows)
    parts.figure(
        forest(drawn, "weight: right of 0 resistance, left of 0 sensitivity", 0.0),
        f"Weights of the first {len(drawn):,} genes of {title}; whiskers: one standard deviation over refits. "
        "Correlated genes may stand in for each other.",
        key="explain-forest",
    )


def _gene_table(rows: Any, planted: Any, table: Any) -> None:
    shown = explaining.gene_rows(rows, planted)
    columns: dict[str, Any] = {name: st.column_config.Column(help=said) for name, said in explaining.HELP.items()}
    columns["weight"] = st.column_config.NumberColumn(format="%+.3f", help=explaining.HELP["weight"])
    columns["stability"] = st.column_config.ProgressColumn(
        format="%.2f", min_value=0, max_value=1, help=explaining.HELP["stability"]
    )
    st.dataframe(shown, hide_index=True, column_config=columns, alt="Genes of one drug, by rank")
    if "q-value" not in shown:
        st.caption("No q-values: the responses were not shuffled (--shuffles 0), so chance is not known.")
    st.caption("Trust genes with a stability near 1 and a q-value near 0.")
    words.download("Download the genes of all drugs (CSV)", table, "biomarkers.csv", key="explain-download")


def _atoms(run: Run) -> None:
    table = run.table("atoms")
    if table is None or table.empty:
        st.info("This model reads no atoms, or no drug of the run has a structure. KDRUG reads them.",
                icon=":material/info:")  # fmt: skip
        return
    drugs = explaining.titles(table)
    title = st.selectbox(f"Drug (of {len(drugs):,} that are drawn)", list(drugs), key="explain-atoms")
    rows = explaining.of_drug(table, drugs[title]) if title else table.head(0)
    left, right = st.columns(2, gap="medium")
    svg = explaining.molecule(rows)
    with left:
        if svg is None:
            st.info("The structure of this drug cannot be drawn.", icon=":material/info:")
        else:
            st.image(svg, width="stretch", alt=f"Structure of {title}, atoms coloured by contribution")
        st.caption(
            "Blue pulls towards sensitivity, orange towards resistance. The strongest atom has the full colour, so "
            "compare drugs by the numbers; neighbouring atoms may stand in for each other."
        )
        said = explaining.share_said(run)
        if said:
            st.info(words.plain(said), icon=":material/balance:")
    with right:
        order = rows["contribution"].abs().sort_values(ascending=False).index
        shown = rows.loc[order, ["atom", "element", "contribution"]]
        parts.table(shown, "What each atom adds to the part of the prediction that is read from the structure.")
    words.download("Download the atoms of all drugs (CSV)", table, "atoms.csv", key="explain-atoms-download")


def _targets() -> None:
    from galenic.report.run import read
    from galenic.report.targets import targets

    shipped = choose.demo("explain")
    place = st.text_input(
        "Run folder of 'galenic targets' (empty: the shipped example)", key="explain-targets", placeholder="runs/pairs"
    ).strip().strip("\"'")  # fmt: skip
    folder = Path(place).expanduser() if place else (None if shipped is None else shipped / "targets")
    if folder is None:
        return
    section = targets(read(folder))
    if section is None:
        raise ValueError(
            f"a run folder with pairs of targets is expected; {folder} has none. Make one: galenic targets WEIGHTS "
            "--out FOLDER"
        )
    blocks.show(section, key="explain-targets", headed=False)
    pairs = read(folder).table("target_pairs")
    words.download("Download all pairs (CSV)", pairs, "target_pairs.csv", key="explain-pairs")
