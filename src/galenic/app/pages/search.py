"""The page of searches: what acts like a compound, a profile or lists of genes, or against it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from galenic.app import blocks, choose, parts, searching, uploads, words
from galenic.app.own_files import example_or_upload
from galenic.app.searching import Query

COMPOUND, PROFILE, LISTS = "A compound of the reference", "A measured profile", "Lists of genes"
LIKE, AGAINST = "What acts like it", "What acts against it"
ENDINGS = ("gct", "gct.gz", "gctx", *uploads.MATRICES)
WIDE = 3
"""Drawings side by side."""


def page() -> None:
    """Draw the page."""
    st.title("What acts like my signature, or against it?")
    st.write(
        "Search a reference of compounds for those that change the same genes in the same way (mimics), or in the "
        "opposite way (reversers)."
    )
    with st.container(border=True):
        left, right = st.columns(2, gap="medium")
        with left:
            chosen = choose.choose("search")
            if chosen is None:
                return
            reference = opened(chosen)
            side = st.radio("Find", [LIKE, AGAINST], key="search-side", horizontal=True)
            where = _where(reference)
        with right:
            query = _query(reference, chosen, reverse=side == AGAINST, where=where)
    if query is None:
        return
    key = (chosen.key, query.name, str(query.path), query.row, query.up, query.down, query.reverse, repr(query.where))
    answer, notes = words.computed(
        "search", f"Searching {len(reference):,} compounds", key, lambda _: searching.ask(reference, query)
    )
    _answer(answer, query, chosen, notes)
    _hits(answer)
    _more(answer, query)


def opened(chosen: choose.Chosen) -> Any:
    """The reference of a folder; opened once for all windows."""
    with words.working("Opening the reference"):
        return _open(str(chosen.folder), chosen.key)


@st.cache_resource(max_entries=2, show_spinner=False)
def _open(folder: str, key: str) -> Any:
    from galenic.models.reference import open_reference

    return open_reference(folder)


def _where(reference: Any) -> tuple[tuple[str, Any], ...]:
    """Filters, as far as the reference knows what to filter by."""
    found: list[tuple[str, Any]] = []
    with st.expander("Search only a part of the reference"):
        for column, values in searching.filters(reference).items():
            chosen = st.multiselect(searching.FILTERS[column], values, key=f"search-{column}", placeholder="all")
            found += [(column, frozenset(chosen))] if chosen else []
        ends = searching.doses(reference)
        if ends is not None:
            low, high = st.slider("Dose (µM)", *ends, value=ends, key="search-dose")
            found += [("dose", (low, high))] if (low, high) != ends else []
        st.caption("The query itself keeps all its profiles.")
    return tuple(found)


def _query(reference: Any, chosen: choose.Chosen, *, reverse: bool, where: tuple[tuple[str, Any], ...]) -> Query | None:
    """What is searched for; ``None`` until it is named."""
    kind = st.radio("Search for", [COMPOUND, PROFILE, LISTS], key="search-kind")
    if kind == COMPOUND:
        names = searching.compounds(reference)
        place = names.index(DEMO_NAME) if DEMO_NAME in names else 0
        name = st.selectbox(f"Compound (of {len(names):,}; type to find)", names[: searching.MOST_VALUES], index=place,
                            key="search-name", accept_new_options=True)  # fmt: skip
        return Query(name=name, reverse=reverse, where=where) if name else None
    if kind == PROFILE:
        return _profile(reference, chosen, reverse=reverse, where=where)
    return _lists(chosen, reverse=reverse, where=where)


DEMO_NAME = "compound 4"
"""What is searched for at first, where it is in the reference."""


def _profile(
    reference: Any, chosen: choose.Chosen, *, reverse: bool, where: tuple[tuple[str, Any], ...]
) -> Query | None:
    """A row of the example file or of an upload."""
    from galenic.models.reference.queries import profile_names

    given, is_example = example_or_upload(
        chosen.folder / "query.csv",
        "profiles",
        about="Simulated compounds in a cell line that the reference lacks.",
        hint="z-scores against controls: one row a profile, one column a gene (or the other way round).",
        endings=ENDINGS,
        key="search",
    )
    if given is None:
        return None
    names, _ = words.computed(
        "search-rows", "Reading the file", (given.sha256, chosen.key),
        lambda _: profile_names(str(given.path), reference.genes),
    )  # fmt: skip
    place = min(4, len(names) - 1) if is_example else 0
    row = st.selectbox(f"Profile (of {len(names):,})", names, index=place, key="search-row")
    return Query(path=given.path, row=row, reverse=reverse, where=where) if row else None


def _lists(chosen: choose.Chosen, *, reverse: bool, where: tuple[tuple[str, Any], ...]) -> Query | None:
    """Genes that were pasted."""
    texts = {}
    for side, label in (("up", "Raised genes"), ("down", "Lowered genes")):
        file = chosen.folder / f"{side}.txt"
        first = file.read_text(encoding="utf-8") if chosen.is_demo and file.is_file() else ""
        texts[side] = st.text_area(label, first.replace("\n", " ").strip(), key=f"search-{side}", height=100,
                                   placeholder="TP53 MYC EGFR")  # fmt: skip
    st.caption("Symbols or Entrez ids, parted by spaces, commas or lines. One of the two lists may be empty.")
    up, down = (searching.gene_names(texts[side]) for side in ("up", "down"))
    searching.require_lists(up, down)
    return Query(up=up, down=down, reverse=reverse, where=where) if up or down else None


def _answer(answer: Any, query: Query, chosen: choose.Chosen, notes: list[str]) -> None:
    from galenic.report.search import asked

    st.header("Answer")
    st.success(words.plain(searching.headline(answer, query)), icon=":material/search:")
    trust = asked(searching.shown(answer, query))
    if trust is not None:
        blocks.show(trust, key="search-trust", headed=False)
    for said in parts.judged(chosen):
        st.info(words.plain(said), icon=":material/balance:")
    words.show_notes(notes)


def _hits(answer: Any) -> None:
    st.header("Hits")
    table = searching.hit_rows(answer.hits)
    columns: dict[str, Any] = {
        name: st.column_config.NumberColumn(format="%.3f", help=searching.HELP.get(name))
        for name in table if table[name].dtype.kind == "f"
    }  # fmt: skip
    if "above chance pairs" in table:
        table["above chance pairs"] *= 100
        columns["above chance pairs"] = st.column_config.ProgressColumn(
            format="%.1f %%", min_value=0, max_value=100, help=searching.HELP["above chance pairs"]
        )
    st.dataframe(table, hide_index=True, column_config=columns, height=388, alt="Hits, the first on top")
    st.caption(f"The first {len(table):,} hits. Hold the pointer over a heading to read what it means.")
    words.download("Download all hits (CSV)", answer.hits, "hits.csv", key="search-hits")
    drawn = searching.drawings(answer)
    if drawn:
        st.subheader("Structures of the first hits")
        for start in range(0, len(drawn), WIDE):
            for column, (name, about, svg) in zip(st.columns(WIDE), drawn[start : start + WIDE], strict=False):
                column.image(svg, width="content", alt=f"Structure of {name}")
                column.caption(f"**{words.plain(name)}**  \n{words.plain(about)}")


def _more(answer: Any, query: Query) -> None:
    from galenic.report.neighbours import neighbours
    from galenic.report.search import enriched

    found = searching.shown(answer, query)
    blocks.sections([enriched], found, key="search")
    if len(answer.enrichment):
        words.download("Download all mechanisms and targets (CSV)", answer.enrichment, "enrichment.csv",
                       key="search-enriched")  # fmt: skip
    blocks.sections([neighbours], found, key="search")
