"""Settings of the documentation."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from galenic import __version__

project = "galenic"
author = "The galenic developers"
copyright = "2026, the galenic developers"
version = release = __version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.mathjax", "numpydoc", "myst_nb"]
html_theme = "furo"
html_title = "galenic"
html_static_path = ["_static"]
html_css_files = ["figures.css"]
exclude_patterns = ["_build", "README.md"]
suppress_warnings = ["myst.header", "misc.highlighting_failure"]

myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3

# The tutorials are computed each time, and one that fails fails the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_execution_in_temp = True
nb_merge_streams = True

numpydoc_show_class_members = False
autodoc_typehints = "none"
autosummary_generate = True

# What the kernels of the tutorials inherit: figures as HTML, one thread.
os.environ["PLOTLY_RENDERER"] = "sphinx_gallery"
os.environ.setdefault("OMP_NUM_THREADS", "1")
ELSEWHERE = re.compile(r'<script[^>]*src="https://(?:cdn\.plot\.ly|cdnjs\.cloudflare\.com)/[^"]*"[^>]*></script>')


def with_own_plotly(app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Figures are drawn by a copy beside the pages, so that they need no network."""
    body = context.get("body", "")
    if ELSEWHERE.search(body):
        own = f'<script src="{context["pathto"]("_static/plotly.min.js", 1)}"></script>'
        context["body"] = own + ELSEWHERE.sub("", body)


def copy_plotly(app: Any, exception: Exception | None) -> None:
    """Plotly as it is installed, beside the pages."""
    from plotly.offline import get_plotlyjs

    if exception is None and app.builder.format == "html":
        Path(app.outdir, "_static", "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")


def setup(app: Any) -> None:
    """Connect both."""
    app.connect("html-page-context", with_own_plotly)
    app.connect("build-finished", copy_plotly)
