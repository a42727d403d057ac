"""The end of each help page: the flags that every verb takes, and a command to begin with."""

from __future__ import annotations

from functools import cache
from typing import Any

import typer

from galenic.cli.voice import FLAGS

SCREEN = "--response response.csv --expression expression.csv --drugs drugs.csv"
EXAMPLES: dict[str, tuple[str, ...]] = {
    "app": ("galenic app",),
    "demo": ("galenic demo --out demo",),
    "fit": (f"galenic fit ridge {SCREEN} --out run", "galenic fit ridge --help"),
    "fit responses": (f"galenic fit {{}} {SCREEN} --by cell,drug --out run",),
    "fit profiles": ("galenic fit {} --profiles level4.gctx --annotations moa.csv --out run",),
    "fit perturbations": ("galenic fit {} --perturbed cells.h5ad --by pair,context --out run",),
    "fit cells": ("galenic fit {} --bulk lines.h5ad --target cells.h5ad --out run",),
    "fit scatd": ("galenic fit scatd transfer --bulk lines.h5ad --target cells.h5ad --out run",),
    "fit scatd pretrain": ("galenic fit scatd pretrain --cells atlas.h5ad --out encoder",),
    "fit scatd distil": ("galenic fit scatd distil --teacher encoder --cells atlas.h5ad --out student",),
    "fit scatd transfer": (
        "galenic fit scatd transfer --bulk lines.h5ad --target cells.h5ad --encoder encoder --out run",
    ),
    "predict": ("galenic predict run new.csv --out predictions.csv",),
    "embed": ("galenic embed run level4.gctx --out embedded.h5ad",),
    "embed scfoundation": (
        "galenic embed scfoundation counts.h5ad --weights models.ckpt --genes gene_index.tsv --out embedded.h5ad",
    ),
    "embed geneformer": ("galenic embed geneformer counts.h5ad --weights geneformer --out embedded.h5ad",),
    "evaluate": ("galenic evaluate predictions.csv --truth response.csv --out scores",),
    "evaluate cells": ("galenic evaluate cells predictions.csv --truth labels.csv --out scores",),
    "benchmark": ("galenic benchmark plan.toml --jobs 2 --out run",),
    "downstream": ("galenic downstream labels.csv --profiles embedded.h5ad --drugs drugs.csv --out run",),
    "search": ("galenic search build run level4.gctx --out reference", "galenic search query --help"),
    "search build": ("galenic search build run level4.gctx --annotations moa.csv --out reference",),
    "search query": ("galenic search query reference --name vorinostat --k 20 --out hits",),
    "explain": ("galenic explain run --out genes.csv",),
    "targets": ("galenic targets weights.csv --known pairs.csv --disease 'Breast Cancer' --out run",),
    "report": ("galenic report run",),
    "doctor": ("galenic doctor",),
    "data": ("galenic data list", "galenic data fetch kang"),
    "data check": ("galenic data check response.csv",),
    "data convert": (f"galenic data convert {SCREEN} --out screen",),
    "data split": ("galenic data split cells.h5ad --by context --folds 3 --out split.csv",),
    "data list": ("galenic data list --verbose",),
    "data fetch": ("galenic data fetch kang",),
    "data combine": ("galenic data combine gdsc ctrp --out both",),
    "data simulate": ("galenic data simulate screen --out screen",),
    "data simulate screen": ("galenic data simulate screen --n-cells 100 --out screen",),
    "data simulate profiles": ("galenic data simulate profiles --out profiles.h5ad",),
    "data simulate perturbations": ("galenic data simulate perturbations --out cells.h5ad",),
    "data simulate cells": ("galenic data simulate cells --out subclones",),
}
"""Commands by verb; ``{}`` stands for the name of the model."""


def with_ends(command: Any, path: tuple[str, ...], kind: str = "") -> Any:
    """The command, and those in it, with the flags of every verb and an example at the end of the help.

    Parameters
    ----------
    command
        As :func:`typer.main.get_command` gives it.
    path
        The verb and its sub-verbs.
    kind
        Of a model: key of ``EXAMPLES`` whose ``{}`` is its name.
    """
    examples = EXAMPLES.get(" ".join(path)) or EXAMPLES.get(kind) or ()
    if examples:
        command.epilog = "\b\nExample:\n" + "\n".join(f"  {one.replace('{}', path[-1])}" for one in examples)
    if not command.short_help and command.help:
        command.short_help = first_clause(command.help)
    for param in command.params:
        if param.param_type_name == "argument" and param.metavar is None:
            param.metavar = param.name.upper()
    if hasattr(command, "list_commands"):
        for name, inner in getattr(command, "commands", {}).items():
            with_ends(inner, (*path, name))
    elif not any("--quiet" in param.opts for param in command.params):
        own = {name for param in command.params for name in param.opts}
        command.params += [param for param in _of_every_verb() if not own & set(param.opts)]
    return command


def first_clause(text: str) -> str:
    """The beginning of a help, for lists of verbs.

    Examples
    --------
    >>> first_clause("Simulate a screen: drivers are planted. More.")
    'Simulate a screen'
    """
    line = " ".join(text.strip().split("\n\n")[0].split())
    return min((line.partition(end)[0] for end in (": ", "; ", ". ")), key=len).rstrip(".")


@cache
def _of_every_verb() -> tuple[Any, ...]:
    """The flags of voice as flags of a verb; they were read before the verb is, and reach no function."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    @app.command()
    def spoken(
        verbose: bool = typer.Option(False, "--verbose", help=FLAGS["--verbose"], expose_value=False),
        quiet: bool = typer.Option(False, "--quiet", help=FLAGS["--quiet"], expose_value=False),
        as_json: bool = typer.Option(False, "--json", help=FLAGS["--json"], expose_value=False),
    ) -> None:
        pass

    return tuple(typer.main.get_command(app).params)
