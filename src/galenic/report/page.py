"""A run folder as one HTML page that opens anywhere, offline, and loads nothing from outside."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from galenic.models.saved import parts_explained
from galenic.plots import palette
from galenic.report.alt import described
from galenic.report.blocks import Figures, Section, Text
from galenic.report.run import REPORT, Run, read, replace
from galenic.report.sections import SECTIONS, glossary, provenance

RESUMABLE = ("benchmark", "fit")  # the verbs that know --resume
_TEMPLATES = Path(__file__).parent / "templates"
# What a drawing may be made of, and attributes that could run or load something.
_SHAPES = frozenset({"svg", "g", "path", "ellipse", "circle", "rect", "line", "polyline", "polygon", "text", "tspan"})
_UNSAFE = re.compile(r"\bon\w+\s*=|\bhref\s*=|\bsrc\s*=|url\s*\(", re.IGNORECASE)


def write_report(folder: str | Path) -> Path:
    """Write ``report.html`` into a run folder, from the files that lie in it.

    Parameters
    ----------
    folder
        A run folder; tables that it lacks are left out of the page.

    Returns
    -------
    pathlib.Path
        The page. It is replaced whole if it was there.

    Raises
    ------
    FileNotFoundError
        If the folder is no run folder.
    ValueError
        If a file in it cannot be read.

    Notes
    -----
    The page carries Plotly, compressed, once and only if it has a figure. Its content security policy allows the
    scripts it was written with, by their hash, and no address on the network; names from the data cannot become markup.

    Examples
    --------
    >>> import tempfile
    >>> from galenic.report.run import start
    >>> with start(tempfile.mkdtemp(), verb="fit", command="galenic fit Ridge", fields={"alpha": 1.0}) as run:
    ...     pass
    >>> write_report(run.folder).name
    'report.html'
    """
    run = read(folder)
    html = render(head_of(run), sections_of(run))
    place = run.folder / REPORT
    replace(place, lambda path: path.write_text(html, encoding="utf-8"))
    return place


def sections_of(run: Run) -> list[Section]:
    """What the page says, part by part; ``ValueError`` where the tables of a run do not fit together."""
    with parts_explained("run", run.folder, "Repeat the run"):
        sections = [section for make in SECTIONS if (section := make(run)) is not None]
        words = glossary(run, sections)
        return [*sections, *([words] if words else []), provenance(run)]


@dataclass(frozen=True)
class Head:
    """What stands above the sections of a page.

    Parameters
    ----------
    title, verb
        Heading, and the verb that made it.
    version
        The galenic that computed what is shown.
    facts
        When, with which seed, ...
    trouble
        Why the page is not whole; ``None`` where it is.
    """

    title: str
    verb: str
    version: str
    facts: Sequence[str] = ()
    trouble: Text | None = None


def head_of(run: Run) -> Head:
    """Title, date, version, seed and state of a run."""
    record = run.record
    facts = [f"{record['started'][:16].replace('T', ' ')} UTC"] if record["started"] else []
    facts.append(f"galenic {record['galenic']}")
    facts += [f"seed {record['seed']}"] if record["seed"] is not None else []
    trouble, rest = None, "What follows is what it had written by then."
    if record["state"] in ("failed", "stopped"):
        again = "go on with --resume" if record["verb"] in RESUMABLE else "repeat it with --overwrite"
        why = record["message"].rstrip(". ")
        trouble = Text(f"This run did not finish: {why}; {again}. {rest}", "bad")
    elif record["state"] == "running":
        trouble = Text(f"This run is not finished, or was interrupted. {rest}", "warning")
    return Head(record["title"] or record["verb"], record["verb"], record["galenic"], facts, trouble)


def render(head: Head | Run, sections: list[Section]) -> str:
    """HTML text of a page with these sections.

    Parameters
    ----------
    head
        Title and state, or the run that has them.
    sections
        Parts of the page, in order.

    Returns
    -------
    str
        The page.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["figure_json"] = _figure_json
    environment.filters["drawing"] = _drawing
    environment.filters["described"] = described
    environment.tests["block"] = lambda block, name: type(block).__name__ == name
    script = (_TEMPLATES / "page.js").read_text(encoding="utf-8")
    has_figures = any(isinstance(block, Figures) for section in sections for block in section.blocks)
    library, library_hash = _plotly() if has_figures else ("", "")
    return environment.get_template("page.html.j2").render(
        head=head if isinstance(head, Head) else head_of(head),
        sections=sections,
        style=Markup(_colours() + (_TEMPLATES / "page.css").read_text(encoding="utf-8")),  # noqa: S704, our own file
        script=Markup(script),  # noqa: S704
        hashes=[_hash(script.encode()), *([library_hash] if has_figures else [])],
        library=library,
    )


def _colours() -> str:
    """The palette of the figures, as variables of the style sheet."""
    names = ("BLUE", "GREY", "GREEN", "ORANGE", "RED", "SENSITIVE", "RESISTANT")
    return f":root {{ {' '.join(f'--{name.lower()}: {getattr(palette, name)};' for name in names)} }}\n"


@cache
def _plotly() -> tuple[str, str]:
    """Plotly's script, compressed and in base64, and the hash by which the page allows it."""
    script = get_plotlyjs().encode()
    return base64.b64encode(gzip.compress(script, mtime=0)).decode(), _hash(script)


def _hash(script: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"


def _figure_json(figure: go.Figure) -> Markup:
    """Figure as JSON that cannot end the script element it stands in."""
    text = figure.to_json()
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704


def _drawing(svg: str) -> Markup:
    """SVG as markup, if it is made of shapes and of nothing else."""
    text = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL).strip()
    odd = {f"<{tag}>" for tag in re.findall(r"<\s*/?\s*([^\s<>/]*)", text) if tag not in _SHAPES}
    odd |= {found.group() for found in _UNSAFE.finditer(text)}
    if odd or not (text.startswith("<svg") and text.endswith("</svg>")):
        raise ValueError(
            f"a drawing should be <svg>...</svg> made of {', '.join(sorted(_SHAPES))}; received {text[:20]!r}... "
            f"with {', '.join(sorted(odd)) or 'another beginning or end'}. Draw it with galenic.drugs.draw_atoms."
        )
    return Markup(text)  # noqa: S704, checked above
