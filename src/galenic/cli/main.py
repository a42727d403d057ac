"""The command ``galenic``: verbs are imported when called; errors end in words and an exit code."""

from __future__ import annotations

import os
import re
import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from galenic.cli.completing import COMPLETES, typed_so_far
from galenic.cli.document import about, document, steps, write
from galenic.cli.hints import hinted
from galenic.cli.manual import with_ends
from galenic.cli.voice import FLAGS, Voice, speaking, voice, without_flags

VERBS = {
    "demo": "the main job on a simulated screen, from nothing to an HTML report",
    "fit": "fit a model, score it beside its floors, save it",
    "predict": "predict responses of new cells, or effects of perturbations, with a saved model",
    "embed": "turn profiles into vectors with a saved model, or cells with scFoundation or Geneformer",
    "evaluate": "score predictions of responses or of perturbations, or test them on patients",
    "benchmark": "compare models on the same folds, from a plan file",
    "downstream": "predict synergy, toxicity or sensitivity from profiles, beside floors without genes",
    "search": "find perturbagens that act alike, in profiles of gene expression",
    "explain": "rank the genes behind each drug's predictions",
    "targets": "rank pairs of targets from gene weights, beside chance and popularity",
    "report": "write the HTML page of a run folder",
    "app": "open the pages in a browser of this machine, without writing code",
    "data": "fetch, check, convert, split and simulate data",
    "doctor": "say whether everything that galenic needs is there and works",
}


INSIDE = (("evaluate", "cells"), ("evaluate", "downstream"), ("embed", "scfoundation"), ("embed", "geneformer"))
"""Verbs of two words whose first is also a verb by itself."""


class _Verbs(TyperGroup):
    """Imports a verb when it is called, so that ``--help`` costs nothing."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(VERBS)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        # To judge embeddings by what they predict is to evaluate them, and it is asked for by this name too.
        return super().resolve_command(ctx, args[1:] if args[:2] == ["evaluate", "downstream"] else args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in VERBS:
            return None
        # The list of verbs needs names and one line each, not the verbs.
        if cmd_name not in sys.argv[1:]:
            return typer.main.get_command(_named(cmd_name))
        return with_ends(import_module(f"galenic.cli.{cmd_name}").command(), (cmd_name,))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with hinted():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        with hinted():
            return super().invoke(ctx)


def _named(verb: str) -> typer.Typer:
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name=verb, help=VERBS[verb], short_help=VERBS[verb])(lambda: None)
    return app


app = typer.Typer(cls=_Verbs, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)


@app.callback(invoke_without_command=True)
def _galenic(
    version: bool = typer.Option(False, "--version", help="Print the version and stop."),
    verbose: bool = typer.Option(False, "--verbose", help=FLAGS["--verbose"]),
    quiet: bool = typer.Option(False, "--quiet", help=FLAGS["--quiet"]),
    as_json: bool = typer.Option(False, "--json", help=FLAGS["--json"]),
) -> None:
    """Predict, explain and search drug response from gene expression, with every score beside its floor.

    Every verb says more with --help: galenic fit --help. --verbose, --quiet and --json stand before or after it.
    """
    if version:
        from galenic.version import __version__

        typer.echo(f"galenic {__version__}")
        raise typer.Exit


class Terminated(KeyboardInterrupt):
    """The system, a scheduler, asked the process to end: as if the user had."""


def main() -> None:
    """Run the command line: exit code 0 done, 1 the work failed, 2 bad input or usage, 130 or 143 stopped."""
    import signal
    import warnings

    if COMPLETES in os.environ:
        sys.argv[1:] = typed_so_far()
        app(prog_name="galenic")
    warnings.showwarning = _say
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # what libraries warn of is for developers
    signal.signal(signal.SIGTERM, _terminate)
    try:
        spoken, sys.argv[1:] = without_flags(sys.argv[1:])
        refused = None
    except ValueError as error:
        spoken, refused = Voice(as_json="--json" in sys.argv), error
        sys.argv[1:] = [word for word in sys.argv[1:] if word not in FLAGS]
    with speaking(spoken):
        spoken.tell(about() if spoken.verbose else "")
        code = _ended() if refused is None else _explain(refused)
        spoken.tell("\n".join(steps(spoken)) if spoken.verbose else "")
        if spoken.as_json:
            write(document(spoken, verb_of(sys.argv[1:]), sys.argv[1:], code), spoken)
    sys.exit(code)


def _ended() -> int:
    """Run the verb, tell what it ended with if it failed, and give the exit code."""
    try:
        app(prog_name="galenic")
    except KeyboardInterrupt as stopped:
        return _stopped(stopped)
    except SystemExit as ended:
        if ended.code == 130:  # so ends what was interrupted inside a verb
            return _stopped(ended)
        usage = getattr(ended.__context__, "format_message", None)
        voice().error = usage() if usage is not None else voice().error
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except Exception as error:
        return _explain(error)
    return 0


def verb_of(words: list[str]) -> str:
    """The verb with its sub-verbs, or as much as was typed of it."""
    found = [words[0]] if words and words[0] in VERBS else []
    command: Any = typer.main.get_command(app)
    command = command.get_command(None, words[0]) if found else None
    for word in words[1:]:
        known = getattr(command, "list_commands", None)
        if known is None or word not in known(None):
            break
        command = command.get_command(None, word)
        found.append(word)
    if len(words) > 1 and (words[0], words[1]) in INSIDE:
        found = words[:2]
    return " ".join(found)


def _terminate(number: int, frame: Any) -> None:
    raise Terminated


def _stopped(error: BaseException) -> int:
    """Print what a stopped command leaves behind, as the verb said it or of itself, and give its exit code."""
    from galenic.work.atomic import causes

    stops = [one for one in causes(error) if isinstance(one, KeyboardInterrupt)]
    voice().error = (str(stops[0]) if stops else "") or "stopped before anything was written"
    print(f"\n{voice().error}", file=sys.stderr)
    return 143 if any(isinstance(one, Terminated) for one in stops) else 130


def _say(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """One line for a warning of ours; those of libraries are for developers."""
    if category is UserWarning:
        voice().warnings.append(in_flags(message))
        print(f"Warning: {in_flags(message)}", file=sys.stderr)
    else:
        voice().tell(f"{category.__name__} of a library: {message}")


def in_flags(message: object) -> str:
    """What the library says of arguments, said of the flags of the command line.

    >>> in_flags("Name the column with context=."), in_flags("n_folds should be at least 2")
    ('Name the column with --context.', '--folds should be at least 2')
    >>> in_flags("'context=x.h5ad' is absent; write control='DMSO'")
    "'context=x.h5ad' is absent; write control='DMSO'"
    """
    text = re.sub(r"\b(context|perturbation|control|dose)=(?=[\s.,;)]|$)", r"--\1", str(message))
    text = text.replace("unknown='keep'", "--unknown keep")
    return re.sub(r"\bn_folds\b", "--folds", text)


def _explain(error: Exception) -> int:
    """Print why it ended; 2 where our own code refused what it was given, 1 where something broke."""
    from galenic.work.ends import why

    kind, said = why(error)
    if kind == "refused":
        return _tell("Error", in_flags(said), error)
    code = _tell("Failed", said, error if kind == "full" else None)
    if kind == "failed":
        print(f"The details are in {_logged(error)}", file=sys.stderr)
    return code


def _tell(word: str, what: object, error: Exception | None) -> int:
    """Print an error and keep it for the document; 1 if the work failed, 2 if it was refused."""
    voice().error = str(what)
    print(f"{word}: {what}", file=sys.stderr)
    if error is not None and voice().verbose:
        print(f"The details are in {_logged(error)}", file=sys.stderr)
    return 1 if word == "Failed" else 2


def _logged(error: Exception) -> str:
    """A file with the traceback."""
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="galenic-", suffix=".log", delete=False) as log:
        traceback.print_exception(error, file=log)
    return log.name
