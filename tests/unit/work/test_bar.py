"""The progress bar: in a terminal with count, rate and time left; nothing anywhere else."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from galenic.work.bar import bars, counted, is_shown, no_bars, progress_bar

NESTED = """
import sys, time
from galenic.work.bar import bars, counted, no_bars, progress_bar
with bars(wanted=sys.argv[1] == "wanted"):
    with progress_bar("folds", 2) as advance:
        for fold in range(2):
            for fit in counted(range(3), "fits"):
                time.sleep(0.06)
            print("said between", file=sys.stderr)
            with no_bars(), progress_bar("hidden", 1) as inner:
                inner()
            advance()
        time.sleep(0.2)
print("end")
"""


def in_terminal(*arguments: str) -> str:
    """What a program writes to a standard error that is a terminal."""
    pty = pytest.importorskip("pty")
    above, below = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(
        [sys.executable, "-c", NESTED, *arguments], stdout=subprocess.PIPE, stderr=below, env=env
    )
    os.close(below)
    shown = b""
    while True:
        try:
            part = os.read(above, 65536)
        except OSError:  # so Linux says that the other end was closed
            break
        if not part:
            break
        shown += part
    os.close(above)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out == b"end\n"  # nothing of the bars
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())


def test_a_terminal_shows_count_rate_and_time_left_of_bars_inside_bars() -> None:
    shown = in_terminal("wanted")
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", shown)]
    assert re.search(r"folds .* 2/2 .*(/s|s each)", shown)
    assert re.search(r"fits .* [123]/3 .*(/s|s each) .*\d:\d\d:\d\d", shown)
    assert "hidden" not in shown
    assert lines.count("said between") == 2, "what is printed stands on lines of its own"
    assert not any(line.count("folds") + line.count("fits") > 1 for line in lines)


def test_who_wants_none_gets_none() -> None:
    assert in_terminal("quiet").replace("\r", "").split("\n")[:-1] == ["said between", "said between"]


def test_a_pipe_gets_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", NESTED, "wanted"], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == ["said between", "said between"]


class Terminal:
    """A standard error that says it is one."""

    def isatty(self) -> bool:
        return True


def test_the_command_line_the_caller_and_jobs_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert [is_shown(), is_shown(True), is_shown(False)] == [False, True, False]
    with bars(True):
        assert [is_shown(), is_shown(False)] == [True, False]
        with no_bars():
            assert [is_shown(), is_shown(True)] == [False, False]
        assert is_shown()
    with bars(False):
        assert not is_shown(True)
    assert not is_shown()


def test_counting_changes_nothing_of_what_is_counted() -> None:
    assert list(counted(iter("abc"), "letters")) == ["a", "b", "c"]


def test_a_step_that_fails_fails_as_it_does_without_a_bar() -> None:
    def step() -> None:
        with progress_bar("steps", 2) as advance:
            advance()
            raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        step()


def would_be_shown(number: int) -> bool:
    return is_shown(True)


def test_jobs_beside_each_other_draw_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import joblib

    from galenic.work.fan_out import fan_out

    monkeypatch.setattr(sys, "stderr", Terminal())
    jobs = {"a": (1,), "b": (2,)}
    assert dict(fan_out(would_be_shown, jobs, n_jobs=1)) == {"a": True, "b": True}
    with joblib.parallel_config("threading"):
        assert dict(fan_out(would_be_shown, jobs, n_jobs=2)) == {"a": False, "b": False}
