"""Files and folders are the former or the new ones, wherever a process is killed and whatever the disk says."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from galenic.work import atomic
from galenic.work.atomic import NoRoomError, is_draft, sweep, written, written_folder

forking = pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")


def killed_at(line: int, work: Callable[[], object]) -> bool:
    """Do some work in a process that is killed before the given line of ``atomic``; whether it came that far."""
    number = os.fork()
    if number == 0:
        count = 0

        def trace(frame: Any, event: str, _: Any) -> Any:
            nonlocal count
            if frame.f_code.co_filename != atomic.__file__:
                return None
            if event == "line":
                count += 1
                if count == line:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        try:
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(number, 0)[1])


def every_line(work: Callable[[], object], check: Callable[[], object]) -> int:
    line = 1
    while killed_at(line, work):
        check()
        line += 1
    check()
    return line


@forking
@pytest.mark.parametrize("there", [True, False])
def test_a_file_is_the_former_or_the_new_one_wherever_it_is_killed(tmp_path: Path, there: bool) -> None:
    path, seen = tmp_path / "numbers.txt", set()

    def work() -> None:
        with written(path) as draft:
            draft.write_text("new" * 1000)

    def check() -> None:
        found = path.read_text() if path.exists() else None
        assert found in ("old" if there else None, "new" * 1000)
        seen.add(found)
        assert all(is_draft(one) for one in tmp_path.iterdir() if one != path)
        path.write_text("old") if there else path.unlink(missing_ok=True)
        sweep(tmp_path)
        assert {one.name for one in tmp_path.iterdir()} == ({path.name} if there else set())

    path.write_text("old") if there else None
    assert every_line(work, check) > 20
    assert len(seen) == 2


@forking
@pytest.mark.parametrize("at_once", [True, False])
def test_a_folder_is_the_former_or_the_new_one(tmp_path: Path, at_once: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, seen = tmp_path / "model", set()

    def fill(place: Path, text: str) -> None:
        for name in ("a", "b"):
            (place / name).write_text(text)

    def work() -> None:
        with written_folder(folder) as draft:
            fill(draft, "new")

    def content(place: Path) -> str:
        (found,) = {(place / name).read_text() for name in ("a", "b")}
        return found

    def check() -> None:
        if folder.exists() or at_once:
            seen.add(content(folder))
        else:  # both are there under other names
            assert {content(one) for one in tmp_path.iterdir()} == {"old", "new"}
        for one in tmp_path.iterdir():
            assert one == folder or is_draft(one) or one.suffix == ".former"
            if one.suffix == ".former":
                shutil.rmtree(one)
        sweep(tmp_path)
        with written_folder(folder) as draft:
            fill(draft, "old")

    if not at_once:
        monkeypatch.setattr(atomic, "_exchanged", lambda one, other: False)
    elif not atomic._exchanged(*(Path(place) for place in two_folders(tmp_path / "try"))):
        pytest.skip("this disk cannot give two folders each other's names")
    shutil.rmtree(tmp_path / "try", ignore_errors=True)
    folder.mkdir()
    fill(folder, "old")
    assert every_line(work, check) > 20
    assert seen == {"old", "new"}


def two_folders(place: Path) -> tuple[Path, Path]:
    for name in ("one", "other"):
        (place / name).mkdir(parents=True)
    return place / "one", place / "other"


def test_an_error_leaves_the_former_and_no_draft(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "one").write_text("old")

    def broken(stop: BaseException, write: Any, place: Path, within: str) -> None:
        with write(place) as draft:
            (draft / within).write_text("half")
            raise stop

    for stop in (KeyboardInterrupt(), ValueError("wrong"), SystemExit(1)):
        for write, place, within in ((written, "a.txt", ""), (written_folder, "b", "one")):
            with pytest.raises(type(stop)):
                broken(stop, write, tmp_path / place, within)
    assert (tmp_path / "a.txt").read_text() == (tmp_path / "b" / "one").read_text() == "old"
    assert {one.name for one in tmp_path.iterdir()} == {"a.txt", "b"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_with_what_was_written_and_where(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    told = r"writing weights\.bin needs room; the disk of .* is full .*\. Free some"
    with pytest.raises(NoRoomError, match=told) as error, written(path) as draft:
        draft.write_bytes(b"new")
    assert str(tmp_path) in str(error.value)
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["weights.bin"]


@pytest.fixture
def small_files() -> Any:
    """No file may be larger than 20 kB: libraries then fail in the middle of writing, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("library", ["numpy", "safetensors", "pandas", "pyarrow", "anndata"])
def test_every_library_that_finds_no_room_is_understood(library: str, tmp_path: Path, small_files: None) -> None:
    import anndata
    import pandas as pd
    import safetensors.numpy

    values = np.random.default_rng(0).normal(size=(200, 200))
    table = pd.DataFrame(values)
    writers: dict[str, Callable[[Path], object]] = {
        "numpy": lambda draft: np.save(draft.with_suffix(".npy"), values) or draft,
        "safetensors": lambda draft: safetensors.numpy.save_file({"a": values}, draft),
        "pandas": table.to_csv,
        "pyarrow": table.rename(columns=str).to_parquet,
        "anndata": anndata.AnnData(values).write_h5ad,
    }
    with pytest.raises(NoRoomError, match="needs room"), written(tmp_path / "a.npy") as draft:
        writers[library](draft)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_may_not_be_written_is_named_as_the_user_knows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(source: str, place: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(source))

    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(PermissionError) as error, written(tmp_path / "a.csv") as draft:
        draft.write_text("new")
    assert error.value.filename == str(tmp_path / "a.csv")


def test_permissions_stay_and_are_usual(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    (tmp_path / "old").chmod(0o640)
    (tmp_path / "usual").write_text("")
    for name in ("old", "new"):
        with written(tmp_path / name) as draft:
            draft.write_text("new")
    assert (tmp_path / "old").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode
