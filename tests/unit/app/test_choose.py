"""Which folders a page offers, and that what is kept of a folder does not outlive its content."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="streamlit is in the extra [app]")

from galenic.app import choose, settings
from galenic.data.simulate import screen
from galenic.models import find


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    data = screen(20, 4, 30, n_drivers=2, seed=0)[0]
    find("Ridge")().fit(data).save(tmp_path / "first" / "model")
    find("DrugMean")().fit(data).save(tmp_path / "deep" / "second")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "note.txt").write_text("x")
    monkeypatch.setattr(settings.SETTINGS, "models", tmp_path)
    return tmp_path


def test_folders_are_offered_where_they_fit(models: Path) -> None:
    assert [one.name for one in choose.own("response")] == ["first", "deep/second"]
    assert choose.own("cells") == []
    assert choose.own("benchmark") == []
    assert choose.fits(models / "first", "explain")
    assert not choose.fits(models / "first", "perturbation")


def test_a_typed_folder_is_checked(models: Path) -> None:
    assert choose.require(models / "first", "response") == models / "first"
    with pytest.raises(FileNotFoundError, match="the path of a folder is expected"):
        choose.require(models / "absent", "response")
    with pytest.raises(ValueError, match="it holds a Ridge"):
        choose.require(models / "first", "cells")
    with pytest.raises(ValueError, match="a run folder that holds scores"):
        choose.require(models / "first", "benchmark")


def test_a_changed_folder_is_read_again(models: Path) -> None:
    chosen = choose.Chosen("first", models / "first")
    before, model = chosen.key, choose.load(chosen)
    assert choose.load(chosen) is model
    find("CellMean")().fit(screen(20, 4, 30, n_drivers=2, seed=1)[0]).save(models / "first" / "model")
    os.utime(models / "first" / "model" / "model.json", ns=(1, 1))
    assert chosen.key != before
    assert type(choose.load(chosen)).__name__ == "CellMean"
    assert choose.described(models / "first") == {"facts": ["System: CellMean."], "judged": []}


def test_every_shipped_example_fits_its_page() -> None:
    for kind in ("response", "cells", "benchmark"):
        folder = choose.demo(kind)
        assert folder is not None
        assert choose.fits(folder, kind)
