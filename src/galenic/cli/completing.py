"""Completion in the shell: verbs, flags, models, data sets and choices, without importing what computes."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path

COMPLETES = "_GALENIC_COMPLETE"
"""Set by the shell when it asks for completions."""
BY = {
    "FitFlags": ("pair", "cell", "drug", "tissue", "study", "file"),
    "JudgeFlags": ("perturbagen", "plate", "cell", "moa", "profile"),
    "PerturbationJudgeFlags": ("pair", "context", "perturbation", "combination", "file"),
    "SplitFlags": ("pair", "context", "perturbation", "combination"),
}
"""What folds can leave out, by the class of the flags; columns of the data besides."""
VALUES = {
    "device": ("cpu", "cuda", "auto"),
    "precision": ("32-true", "bf16-mixed", "16-mixed", "64-true"),
    "strategy": ("auto", "ddp"),
    "unit": ("ln_ic50", "ic50", "auc", "viability", "ic50_nm", "log10_ic50", "pic50"),
}
"""Usual values of flags that take others too."""
SCRIPTS = {
    "bash": ".bash_completions/galenic.sh",
    "zsh": ".zfunc/_galenic",
    "fish": ".config/fish/completions/galenic.fish",
}
"""Where the completion of a shell is installed, from the user's home folder."""


def typed_so_far() -> list[str]:
    """The words after ``galenic`` that the shell wants completed, as it hands them over."""
    text = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")
    try:
        words = shlex.split(text)
    except ValueError:  # a quotation mark that is not closed yet
        words = text.split()
    return words[1:]


def values_of(flags: str, name: str) -> Callable[[str], list[str]] | None:
    """What completes the value of one flag; ``None`` where the shell does it, with the names of files.

    Parameters
    ----------
    flags
        Class that the flag is a field of.
    name
        The field.

    Examples
    --------
    >>> values_of("FitFlags", "by")("cell,t")
    ['cell,tissue']
    >>> values_of("DataFlags", "response") is None
    True
    """
    known = BY.get(flags, ()) if name == "by" else VALUES.get(name, ())
    if not known:
        return None

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        named = before.split(",")
        return [f"{before}{comma}{value}" for value in known if value.startswith(last) and value not in named]

    return complete


def data_sets(incomplete: str) -> list[str]:
    """Public data sets that begin so."""
    from galenic.data.fetch.catalogue import read_catalogue

    return [name for name in read_catalogue(None) if name.startswith(incomplete)]


def installed() -> list[str]:
    """Shells that complete ``galenic`` for this user.

    Examples
    --------
    >>> set(installed()) <= set(SCRIPTS)
    True
    """
    return [shell for shell, script in SCRIPTS.items() if (Path.home() / script).is_file()]
