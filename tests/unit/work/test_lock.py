"""One process at a time has a folder; a lock ends with its process, however that ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from galenic.work.lock import Lock

pytestmark = pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")


def elsewhere(work: Callable[[], object]) -> int:
    """Exit code of another process: 0 it worked, 3 ``ValueError``."""
    number = os.fork()
    if number == 0:
        code = 1
        try:
            work()
            code = 0
        except ValueError as error:
            code = 3 if "another one is writing" in str(error) else 4
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def test_another_process_is_refused_until_the_last_of_nested_locks_is_released(tmp_path: Path) -> None:
    outer = Lock(tmp_path)
    with Lock(tmp_path / ".." / tmp_path.name):
        assert elsewhere(lambda: Lock(tmp_path)) == 3
    assert elsewhere(lambda: Lock(tmp_path)) == 3
    assert elsewhere(lambda: Lock(tmp_path / "within")) == 0
    outer.release()
    outer.release()
    assert elsewhere(lambda: Lock(tmp_path)) == 0
    assert [one.name for one in tmp_path.iterdir()] == ["within"]


def test_what_a_forked_process_inherits_it_does_not_release(tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    assert elsewhere(lock.release) == 0
    assert elsewhere(lambda: Lock(tmp_path)) == 3
    lock.release()


def test_a_killed_process_has_no_lock(tmp_path: Path) -> None:
    def killed() -> None:
        Lock(tmp_path)
        os.kill(os.getpid(), signal.SIGKILL)

    assert elsewhere(killed) == -signal.SIGKILL
    with Lock(tmp_path):
        pass


def test_a_lock_does_not_outlast_its_owner_in_a_process_that_was_forked(tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    read, write = os.pipe()
    number = os.fork()
    if number == 0:
        os.close(write)
        os.read(read, 1)  # lives on until the test is done
        os._exit(0)
    os.close(read)
    lock.release()
    assert elsewhere(lambda: Lock(tmp_path)) == 0
    os.close(write)
    os.waitpid(number, 0)
