"""Mistyped verbs, flags and choices: what may have been meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from galenic.cli.voice import FLAGS
from galenic.work.near import did_you_mean


@contextmanager
def hinted() -> Iterator[None]:
    """Add to an error of usage the name that is nearest to the one typed, where there is one."""
    try:
        yield
    except Exception as error:
        if getattr(error, "ctx", None) is not None and hasattr(error, "format_message"):
            _hint(error)
        raise


def _hint(error: Any) -> None:
    """Change the message of one error; the library's own guess gives way to that of all other errors."""
    message = re.sub(r"\.? Did you mean .*$", ".", str(error.message)).removeprefix("Value error, ")
    if hasattr(error, "option_name"):
        near = did_you_mean(error.option_name, _flags_of(error.ctx.command))
        error.possibilities = None
        message = f"No such option: {error.option_name}."
    elif found := re.match(r"No such command '(.*)'\.", message):
        near = did_you_mean(found[1], _commands_of(error.ctx), n=2)
    elif found := re.search(r"'(.*)' is not one of (.*)\.$", message):
        near = did_you_mean(found[1], re.findall(r"'([^']*)'", found[2]))
    else:
        return
    error.message = f"{message} {near}".strip()


def _flags_of(command: Any) -> list[str]:
    spelled = [name for one in command.params for name in (*one.opts, *one.secondary_opts) if name.startswith("--")]
    return [*spelled, *FLAGS, "--help"]


def _commands_of(ctx: Any) -> list[str]:
    known = list(ctx.command.list_commands(ctx))
    if ctx.parent is None:  # whoever types a model means to fit it
        from galenic.cli.fit import NAMES

        known += [f"fit {name}" for name in NAMES]
    return known
