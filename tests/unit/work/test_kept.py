"""A folder of finished jobs: of one work only, each job in its own file, rooms that leave with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from galenic.work.kept import Kept, digest

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=300)


def test_jobs_and_their_rooms(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "kept", {"seed": 0})
    room = kept.room("fold 1")
    room.mkdir()
    (room / "network.pt").write_text("half done")
    assert not kept.has("fold 1")
    kept.write("fold 1", 0.5)
    assert not room.exists()
    again = Kept(tmp_path / "kept", {"seed": 0})
    assert (again.read("fold 1"), again.read("fold 2")) == (0.5, None)


@given(names=st.lists(NAMES, min_size=2, max_size=6, unique=True))
def test_every_name_has_a_file_and_a_room_of_its_own(names: list[str]) -> None:
    kept = Kept.__new__(Kept)
    kept.folder = Path("kept")
    places = [kept.path(name) for name in names] + [kept.room(name) for name in names]
    assert len({str(place).casefold() for place in places} | {str(place) for place in places}) >= len(set(places))
    assert len(set(places)) == 2 * len(names)
    assert all(place.parent == kept.folder and len(place.name.encode()) <= 255 for place in places)


@pytest.mark.parametrize("settings", [{"seed": 1}, {}, {"seed": 0, "more": 1}, {"seed": 0.5}])
def test_other_work_is_refused_and_stays(tmp_path: Path, settings: dict[str, object]) -> None:
    Kept(tmp_path, {"seed": 0}).write("a", 1)
    with pytest.raises(ValueError, match=r"should have the same data and settings; those in .* differ: .* was .*, now"):
        Kept(tmp_path, settings)
    assert Kept(tmp_path, {"seed": 0}).read("a") == 1


def test_other_files_and_a_damaged_manifest_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("mine", "file"):
        with pytest.raises(ValueError, match=r"kept in a folder.*Name a"):
            Kept(tmp_path / name, {})
    Kept(tmp_path / "kept", {})
    (tmp_path / "kept" / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match=r"cannot be read .*\. Name a new folder"):
        Kept(tmp_path / "kept", {})


def test_the_file_of_another_job_is_refused(tmp_path: Path) -> None:
    kept = Kept(tmp_path, {})
    kept.write("a", 1)
    kept.path("b").write_bytes(kept.path("a").read_bytes())
    with pytest.raises(ValueError, match=r"b\.npz should be .* of b; it is not \(it is of a\)\. Delete it"):
        kept.read("b")


def test_a_digest_tells_values_shapes_kinds_and_order(rng: np.random.Generator) -> None:
    x = rng.normal(size=(4, 3))
    others = [x.T, x.ravel(), x.astype(np.float32), x[::-1], np.nextafter(x, 9), sparse.csr_matrix(x), x.astype(str)]
    found = [digest(one) for one in (x, *others)]
    assert len(set(found)) == len(found)
    assert digest(x.copy(order="F")) == digest(x)
    assert digest("a", "bc") != digest("ab", "c")
    assert digest(sparse.csr_matrix(x)) == digest(sparse.csr_matrix(x))


def test_the_checksum_of_a_model_is_that_of_its_fields_whatever_they_are_called() -> None:
    from galenic import KDRUG
    from galenic.work.contents import contents

    assert contents(KDRUG()) == contents(KDRUG())
    assert len({contents(model) for model in (KDRUG(), KDRUG(detach=not KDRUG().detach), KDRUG(seed=1))}) == 3
