"""The command as a user types it, a program in a process of its own, and the flags that name the fixture's files."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest

GALENIC = Path(sys.executable).with_name("galenic")
LONGEST = 300
"""Seconds that a command may take."""
COLD = bool(os.environ.get("GALENIC_NIGHTLY"))
"""Whether each command gets a new interpreter, as a user's does; by day it is a fork of one that has imported all."""


def galenic(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command; every failure must be told in words."""
    argv = [str(GALENIC), *map(str, arguments)]
    if COLD:
        shown = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=LONGEST)
    else:
        shown = forked(argv, cwd)
    assert "Traceback" not in shown.stderr + shown.stdout, shown.stderr
    return shown


def program(code: str, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run lines of Python in a process that knows nothing of this one, and has to come to a good end."""
    argv = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    if COLD:
        done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=LONGEST)
    else:
        done = forked(["-c", *argv[5:]], cwd or Path.cwd(), code)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def forked(argv: list[str], cwd: Path, code: str | None = None) -> subprocess.CompletedProcess[str]:
    """The command, or ``code``, in a fork of the warm process."""
    server = warm_process()
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        task = {"argv": argv, "code": code, "cwd": str(cwd), "env": dict(os.environ), "out": str(out), "err": str(err)}
        server.stdin.write(json.dumps(task).encode() + b"\n")
        child = int(server.stdout.readline())
        if not select.select([server.stdout], [], [], LONGEST)[0]:
            os.kill(child, signal.SIGKILL)
            server.stdout.readline()
            pytest.fail(f"{argv} took more than {LONGEST} s")
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(argv, code, out.read_text(), err.read_text())


@cache
def warm_process() -> subprocess.Popen[bytes]:
    """One for each process of the tests; it ends when its input does, which is when they end."""
    program = [sys.executable, str(Path(__file__).with_name("warm.py"))]
    # Unbuffered: an answer that waits in a buffer is not seen by select.
    return subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)


DATA = ("--response", "response.csv", "--expression", "expression.tsv", "--drugs", "drugs.csv", "--cells", "cells.csv")
