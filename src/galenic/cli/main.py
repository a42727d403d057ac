"""The command ``galenic``: verbs are imported when called; errors end in words and an exit code."""

from __future__ import annotations

import errno
import os
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

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
    "data": "fetch, check, convert, split and simulate data",
}


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
        if ctx.resilient_parsing or not _called(cmd_name):
            return typer.main.get_command(_named(cmd_name))
        return import_module(f"galenic.cli.{cmd_name}").command()


def _called(verb: str) -> bool:
    return verb in sys.argv[1:]


def _named(verb: str) -> typer.Typer:
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name=verb, help=VERBS[verb], short_help=VERBS[verb])(lambda: None)
    return app


app = typer.Typer(
    cls=_Verbs, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True
)


@app.callback(invoke_without_command=True)
def _galenic(version: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    """Predict, explain and search drug response from gene expression, with every score beside its floor."""
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

    warnings.showwarning = _say
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # what libraries warn of is for developers
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app(prog_name="galenic")
    except KeyboardInterrupt as stopped:
        sys.exit(_stopped(stopped))
    except SystemExit as ended:
        if ended.code == 130:  # so ends what was interrupted inside a verb
            sys.exit(_stopped(ended))
        raise
    except Exception as error:
        sys.exit(_explain(error))


def _terminate(number: int, frame: Any) -> None:
    raise Terminated


def _stopped(error: BaseException) -> int:
    """Print what a stopped command leaves behind, as the verb said it or of itself, and give its exit code."""
    from galenic.work.atomic import causes

    stops = [one for one in causes(error) if isinstance(one, KeyboardInterrupt)]
    print(f"\n{(str(stops[0]) if stops else '') or 'stopped before anything was written'}", file=sys.stderr)
    return 143 if any(isinstance(one, Terminated) for one in stops) else 130


def _say(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """One line for a warning of ours; those of libraries are for developers."""
    if category is UserWarning:
        print(f"Warning: {in_flags(message)}", file=sys.stderr)


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
    from galenic.work.atomic import NoRoomError, causes, is_full

    if is_full(error):
        told = [one for one in causes(error) if isinstance(one, NoRoomError)]
        what = told[0] if told else f"writing needs room; the disk is full ({error}). Free some space and start again."
        print(f"Failed: {what}", file=sys.stderr)
        return 1
    if isinstance(error, RuntimeError):  # of jobs: the first of them says why
        error = next((one for one in causes(error) if isinstance(one, PermissionError)), error)
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    ours = trace is not None and Path(__file__).parents[1] in Path(trace.tb_frame.f_code.co_filename).parents
    if isinstance(error, PermissionError) or (isinstance(error, OSError) and error.errno == errno.EROFS):
        place = error.filename or "that place"
        print(
            f"Error: a place that may be read and written is expected; {place} may not be ({error.strerror or error}). "
            "Choose another folder, or change its permissions.",
            file=sys.stderr,
        )
        return 2
    if isinstance(error, OSError) or (ours and isinstance(error, (ValueError, TypeError))):
        print(f"Error: {in_flags(error)}", file=sys.stderr)
        return 2
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="galenic-", suffix=".log", delete=False) as log:
        traceback.print_exception(error, file=log)
    print(f"Failed: {type(error).__name__}: {error}\nThe details are in {log.name}", file=sys.stderr)
    return 1
