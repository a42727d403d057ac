"""Which model a page uses: a shipped one, one of the user's folders, or a folder whose path is typed."""

from __future__ import annotations

import importlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from galenic.app.settings import SETTINGS
from galenic.app.words import plain
from galenic.models import CELL_MODELS, PERTURBATION_MODELS, PROFILE_MODELS, RESPONSE_MODELS
from galenic.models.folders import class_in, model_folder, models_by_drug, several
from galenic.work.contents import contents

KINDS: dict[str, Collection[str]] = {
    "response": RESPONSE_MODELS,
    "explain": RESPONSE_MODELS,
    "cells": CELL_MODELS,
    "search": PROFILE_MODELS,
    "perturbation": PERTURBATION_MODELS,
}
"""Classes of models that a page can use."""
NEEDED = {
    "response": "a model that predicts responses of samples to drugs",
    "explain": "a model that predicts responses of samples to drugs",
    "cells": "a model of single cells",
    "search": "a model or a run folder of profiles",
    "perturbation": "a model that predicts effects of perturbations",
    "benchmark": "a run folder that holds scores (metrics.csv)",
}
TYPED = "A folder on this computer …"
MADE = "galenic: made here"
NEXT = "galenic: choose next"
DEEPEST = 2
"""Folders below --models that are looked into."""


@dataclass(frozen=True)
class Chosen:
    """A folder that a page uses.

    Attributes
    ----------
    name
        Of the folder, or what it is.
    folder
        Where it lies.
    is_demo
        Whether it came with galenic.
    """

    name: str
    folder: Path
    is_demo: bool = False

    @property
    def key(self) -> str:
        """Changes with the content of the folder: what was computed with a model is not kept beyond it."""
        return checksum(self.folder)


def demo(kind: str) -> Path | None:
    """The folder that is shipped for a page; ``None`` where there is none."""
    try:
        found = importlib.import_module("galenic.app.demo").folders().get(kind)
    except ImportError:
        return None
    return None if found is None or not Path(found).is_dir() else Path(found)


def offer(name: str, folder: Path) -> None:
    """Let this window choose a folder that it made itself; pages that can use it show it at once."""
    made = [one for one in st.session_state.get(MADE, []) if one.name != name]
    st.session_state[MADE] = [Chosen(name, folder), *made]
    st.session_state[NEXT] = name


def choose(kind: str, *, key: str = "") -> Chosen | None:
    """Ask for a folder: what this window made, the shipped one, and the user's own.

    Parameters
    ----------
    kind
        One of ``KINDS``, or ``"benchmark"``.
    key
        Of the widgets; the kind where absent.

    Returns
    -------
    Chosen or None
        ``None`` while no path is typed.

    Raises
    ------
    FileNotFoundError, ValueError
        If the typed folder is absent or holds something else.
    """
    key = key or kind
    shipped = demo(kind)
    made = [one for one in st.session_state.get(MADE, []) if fits(one.folder, kind)]
    places = [*made, *([Chosen("Shipped example (simulated)", shipped, True)] if shipped else []), *own(kind)]
    names = [one.name for one in places]
    if st.session_state.get(NEXT) in names:
        st.session_state[f"{key}-choice"] = st.session_state.pop(NEXT)
    label = "Run folder" if kind == "benchmark" else "Model"
    said = st.selectbox(label, [*names, TYPED], key=f"{key}-choice", help=f"What is needed: {NEEDED[kind]}.")
    if said in names:
        return places[names.index(said)]
    typed = (
        st.text_input("Path of the folder", key=f"{key}-path", placeholder="/home/me/runs/first").strip().strip("\"'")
    )
    if not typed:
        st.caption(f"Type or paste the path of {NEEDED[kind]}.")
        return None
    return Chosen(Path(typed).name or typed, require(Path(typed).expanduser(), kind))


def require(folder: Path, kind: str) -> Path:
    """The folder; raises where it does not hold what a page of this kind uses."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"the path of a folder is expected; {folder} is none. Copy the path from the file manager, or from the "
            "line that 'galenic fit' printed last."
        )
    if not fits(folder, kind):
        found = class_in(folder)
        there = f"it holds a {found}" if found else "it holds none"
        raise ValueError(
            f"{NEEDED[kind]} is expected; {folder} is another ({there}). Choose another folder, or another page."
        )
    return folder


def fits(folder: Path, kind: str) -> bool:
    """Whether a folder holds what a page of this kind uses."""
    if kind == "benchmark":
        return (folder / "run.json").is_file() and (folder / "metrics.csv").is_file()
    if class_in(folder) in KINDS[kind]:
        return True
    if kind == "search" and (folder / "run.json").is_file():
        return (folder / "profiles.h5ad").is_file()
    return kind == "cells" and any(class_in(place) in CELL_MODELS for place in several(folder))


def own(kind: str) -> list[Chosen]:
    """The user's folders under ``--models`` that a page of this kind can use, by name."""
    if SETTINGS.models is None:
        return []
    found, level = [], [SETTINGS.models]
    for _ in range(DEEPEST + 1):
        found += [place for place in level if fits(place, kind)]
        level = [one for place in level if place not in found for one in sorted(place.iterdir()) if _is_open(one)]
    return [Chosen(_named(place), place) for place in found]


def _named(place: Path) -> str:
    assert SETTINGS.models is not None
    return place.name if place == SETTINGS.models else place.relative_to(SETTINGS.models).as_posix()


def _is_open(place: Path) -> bool:
    return place.is_dir() and not place.name.startswith((".", "_"))


def checksum(folder: Path) -> str:
    """Of the sizes and times of the files of a folder, and of where it lies."""
    files = [
        (str(one), one.stat().st_size, one.stat().st_mtime_ns) for one in sorted(folder.rglob("*")) if one.is_file()
    ]
    return contents((str(folder.absolute()), files))


def load(chosen: Chosen) -> Any:
    """The model of a folder; read once for all windows, and again where its files have changed. Not to be modified."""
    return _load(str(chosen.folder), chosen.key)


def load_by_drug(chosen: Chosen) -> dict[str, Any]:
    """Models of single cells by drug, read once."""
    return _load_by_drug(str(chosen.folder), chosen.key)


@st.cache_resource(max_entries=8, show_spinner=False)
def _load(folder: str, key: str) -> Any:
    from galenic.models.base import load

    return load(folder)


@st.cache_resource(max_entries=4, show_spinner=False)
def _load_by_drug(folder: str, key: str) -> dict[str, Any]:
    return models_by_drug(folder)


def describe(chosen: Chosen) -> None:
    """Say what a model is, what it was fitted on, and how it scored beside its best floor."""
    found = described(chosen.folder)
    st.caption("  \n".join(plain(line) for line in found["facts"]))
    for said in found["judged"]:
        st.info(plain(said), icon=":material/balance:")
    if not found["judged"] and found["facts"]:
        st.info("This model was not judged beside floors; how far it can be trusted is not known.",
                icon=":material/balance:")  # fmt: skip


def described(folder: Path) -> dict[str, list[str]]:
    """Sentences about a folder.

    Returns
    -------
    dict
        ``facts``: system, size, what it was fitted on. ``judged``: how it scored beside its best floor.
    """
    from galenic.report.judged import judged
    from galenic.report.run import read

    facts: list[str] = []
    place = model_folder(folder) or next(iter(several(folder)), None)
    if place is not None:
        header = json.loads((place / "model.json").read_text(encoding="utf-8"))
        facts.append(f"System: {header['class']}.")
    if (folder / "run.json").is_file():
        run = read(folder)
        data = run.record["data"]
        sizes = [f"{data[name]:,} {name}" for name in ("cells", "drugs", "pairs", "profiles", "conditions", "genes")
                 if isinstance(data.get(name), int)]  # fmt: skip
        facts += [f"Fitted on {', '.join(sizes)}."] if sizes else []
        facts += [] if sizes or not run.record["title"] else [f"{run.record['title']}."]
    return {"facts": facts, "judged": judged(folder)}
