"""Uploads: what is refused, and where the others lie."""

from __future__ import annotations

import gc
import hashlib
from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="streamlit is in the extra [app]")

from galenic.app import uploads, windows


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [
        ("cells.csv", 0, "0 bytes"),
        ("cells.csv", 10_000_001, "10 MB at most"),
        ("cells.exe", 5, "should end in .csv"),
        ("cells", 5, "should end in .csv"),
        ("../../etc/cells.csv", 5, "plain name"),
        ("a\\b.csv", 5, "plain name"),
        ("a\x00b.csv", 5, "plain name"),
        ("a\nb.csv", 5, "plain name"),
        ("\u202egpj.csv", 5, "plain name"),
        ("x" * 300 + ".csv", 5, "plain name"),
        (" . ", 5, "plain name"),
    ],
)
def test_what_is_not_taken_is_refused_in_three_parts(name: str, size: int, said: str) -> None:
    with pytest.raises(ValueError) as refused:
        uploads.require(name, size, ("csv", "csv.gz"), 10)
    words = str(refused.value)
    assert said in words
    assert words.startswith("an uploaded file should")
    assert "; " in words
    assert words.count(". ") >= 1
    assert all(character.isprintable() for character in words)


@pytest.mark.parametrize("name", ["cells.csv", "Zellen (2) ä.CSV", "a.b.csv.gz", "細胞.csv"])
def test_plain_names_are_taken(name: str) -> None:
    uploads.require(name, 10_000_000, ("csv", "csv.gz"), 10)


@pytest.mark.parametrize("name", ["cells.csv", "x.csv.gz", "My Cells.H5AD"])
def test_a_file_lies_under_its_checksum_and_not_under_its_name(name: str, tmp_path: Path) -> None:
    content = b"cell,TP53\nA,1\n"
    found = uploads.stored(tmp_path, name, memoryview(content))
    assert found.sha256 == hashlib.sha256(content).hexdigest() == uploads.checksum(found.path)
    assert found.path.parent == tmp_path
    assert found.path.read_bytes() == content
    assert found.path.name.split(".")[0] == found.sha256[:32]
    assert found.path.suffix == Path(name.lower()).suffix
    assert uploads.stored(tmp_path, name, content) == found
    assert uploads.stored(tmp_path, name, content + b"B,2\n").path != found.path


def test_one_file_in_two_places_is_refused(tmp_path: Path) -> None:
    one, other = (uploads.stored(tmp_path, name, b"same") for name in ("a.csv", "b.csv"))
    third = uploads.stored(tmp_path, "c.csv", b"another")
    uploads.require_different(one, None, third)
    with pytest.raises(ValueError, match=r"'b\.csv' and 'a.csv' are the same file"):
        uploads.require_different(one, third, other)


def test_the_folder_of_a_window_goes_with_it() -> None:
    one = windows.Window()
    uploads.stored(one.path, "a.csv", b"x")
    place = one.path
    assert place.stat().st_mode & 0o077 == 0
    del one
    gc.collect()
    assert not place.exists()


def test_windows_that_stay_closed_are_swept_and_no_others() -> None:
    there = {name: windows.Window() for name in ("open", "closed", "back")}
    kept = dict(there)
    begin = there["open"].seen
    windows.sweep(there, lambda name: name == "open", begin + windows.GONE - 1)
    windows.sweep(there, lambda name: name != "closed", begin + windows.GONE)
    there["closed"].shelf["it"] = ("", 1, [])
    windows.sweep(there, lambda name: False, begin + windows.GONE + 2)
    assert set(there) == {"open", "back"}
    assert [one.path.exists() for one in kept.values()] == [True, False, True]
    assert not kept["closed"].shelf
    for one in kept.values():
        one.close()


def test_no_window_is_open_where_streamlit_does_not_run() -> None:
    assert not windows._is_open("a session of before")
