"""Figures for papers and files: ``to_matplotlib``, ``save``, and the choice of who draws."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from galenic.plots.values import data_of
from galenic.work.atomic import written

WIDTHS = {"single": 85.0, "double": 180.0}
"""Of one column and of a page, in millimetres."""
FONT = 7.0
DOTS = 300
"""Dots an inch of a picture."""
EMBEDDED: dict[Any, Any] = {"pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "galenic"}
"""Text stays text, and the same figure gives the same file."""
BACKENDS = ("plotly", "matplotlib")


def to_matplotlib(
    figure: go.Figure, width: str | float = "single", height: float | None = None, *, font_size: float = FONT
) -> Any:
    """The same figure drawn by matplotlib, for papers.

    Parameters
    ----------
    figure
        A figure of galenic, or any other of points, lines, bars and heat maps.
    width
        ``"single"`` (85 mm), ``"double"`` (180 mm), or millimetres.
    height
        Millimetres; by default in proportion to the height on the screen.
    font_size
        Of text, in points.

    Returns
    -------
    matplotlib.figure.Figure
        Apart from pyplot: nothing global is changed, and nothing needs to be closed. What a pointer would show is left
        out.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        For a kind of trace that is none of the above, or another width.

    Examples
    --------
    >>> paper = to_matplotlib(go.Figure(go.Scatter(x=[1, 2], y=[3, 4])))
    >>> round(paper.get_figwidth() * 25.4)
    85
    """
    across = WIDTHS.get(width, width) if isinstance(width, str) else width
    if not isinstance(across, (int, float)) or not across > 0:
        raise ValueError(
            f"width should be {', '.join(map(repr, WIDTHS))} or millimetres; received {width!r}. Use one of them."
        )
    try:
        from galenic.plots.paper.figure import printed
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        raise ImportError(
            "figures for papers are drawn by matplotlib; it is not installed. Install it with "
            "pip install 'galenic[sc]', or take the Plotly figure."
        ) from error
    return printed(figure, float(across), height, font_size)


def save(
    figure: Any, path: str | Path, width: str | float = "single", height: float | None = None, *, overwrite: bool = True
) -> Path:
    """Write a figure: the ending says as what.

    Parameters
    ----------
    figure
        A figure of galenic; one of matplotlib is written as ``.svg``, ``.pdf`` or ``.png``.
    path
        ``.svg`` and ``.pdf`` for papers (text stays text), ``.png`` (300 dots an inch), ``.html`` (one file that
        answers the pointer, without a network), ``.csv`` (the data of the figure, see :func:`data_of`).
    width, height
        As in :func:`to_matplotlib`.
    overwrite
        Whether a file that exists is replaced.

    Returns
    -------
    pathlib.Path
        Where it is.

    Raises
    ------
    ValueError
        For another ending, or a file that exists with ``overwrite=False``.

    Examples
    --------
    >>> import tempfile
    >>> figure = go.Figure(go.Scatter(x=[1, 2], y=[3, 4], name="A"))
    >>> save(figure, Path(tempfile.mkdtemp()) / "figure.csv").read_text().splitlines()
    ['trace,x,y', 'A,1.0,3.0', 'A,2.0,4.0']
    """
    place = Path(path)
    kind, is_plotly = place.suffix.lower(), isinstance(figure, go.Figure)
    known = (".svg", ".pdf", ".png", *((".html", ".csv") if is_plotly else ()))
    if kind not in known:
        raise ValueError(f"a figure is saved as {', '.join(known)}; received {place.name!r}. Choose one of these.")
    if place.exists() and not overwrite:
        raise ValueError(f"a figure is saved as a new file; {place} exists. Choose another name, or overwrite=True.")
    with written(place) as draft:
        if kind == ".csv":
            data_of(figure).to_csv(draft, index=False)
        elif kind == ".html":
            figure.write_html(draft, include_plotlyjs=True)
        else:
            paper = to_matplotlib(figure, width, height) if is_plotly else figure
            import matplotlib as mpl

            dates = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
            with mpl.rc_context(EMBEDDED):
                paper.savefig(draft, format=kind[1:], dpi=DOTS, metadata=dates.get(kind))
    return place


def drawn(draw: Callable[..., go.Figure]) -> Callable[..., Any]:
    """A function that draws with Plotly, with an argument ``backend`` by which matplotlib draws the same."""

    @functools.wraps(draw)
    def either(*args: Any, backend: str = "plotly", **named: Any) -> Any:
        if backend not in BACKENDS:
            raise ValueError(f"backend should be one of {', '.join(BACKENDS)}; received {backend!r}. Use one of them.")
        figure = draw(*args, **named)
        return figure if backend == "plotly" else to_matplotlib(figure)

    own = inspect.signature(draw)
    extra = inspect.Parameter("backend", inspect.Parameter.KEYWORD_ONLY, default="plotly", annotation="str")
    either.__signature__ = own.replace(parameters=[*own.parameters.values(), extra], return_annotation="Any")  # type: ignore[attr-defined]
    return either
