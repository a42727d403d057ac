"""Settings of the documentation."""

from galenic import __version__

project = "galenic"
author = "The galenic developers"
copyright = "2026, the galenic developers"
version = release = __version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.mathjax", "numpydoc", "myst_nb"]
html_theme = "furo"
html_title = "galenic"
myst_enable_extensions = ["deflist", "dollarmath"]
nb_execution_mode = "off"
numpydoc_show_class_members = False
autodoc_typehints = "none"
autosummary_generate = True
exclude_patterns = ["_build", "README.md"]
suppress_warnings = ["myst.header", "misc.highlighting_failure"]
