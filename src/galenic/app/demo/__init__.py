"""The small simulated examples that every page shows at first: data inside the package, made by ``make``."""

from __future__ import annotations

from pathlib import Path

KINDS = ("response", "cells", "search", "perturbation", "explain", "benchmark")
"""One folder each."""


def folders() -> dict[str, Path]:
    """Where the examples lie, by kind.

    Returns
    -------
    dict
        ``response``: a run folder with a model, and ``cells.csv``, expression of samples it has not seen.
        ``cells``: a run folder with a model, and ``cells.h5ad``, single cells.
        ``search``: a reference that is searched, ``query.csv`` (profiles), ``up.txt`` and ``down.txt`` (genes).
        ``perturbation``: a run folder with a model, and ``cells.h5ad``: controls, and treated cells it has not seen.
        ``explain``: a run folder with biomarkers and atoms; in it ``targets``, a run folder with pairs of targets.
        ``benchmark``: a run folder with the scores of several models and floors.

        Those with a model hold ``answer.csv`` too: what that model predicted for these files when it was made.

    Examples
    --------
    >>> sorted(folders())
    ['benchmark', 'cells', 'explain', 'perturbation', 'response', 'search']
    >>> (folders()["response"] / "model" / "model.json").is_file()
    True
    """
    return {kind: Path(__file__).parent / kind for kind in KINDS}
