"""Laws of figures for papers: every point of the Plotly figure stands in matplotlib's axes; nothing global moves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from figure_samples import SAMPLES
from scipy.spatial import cKDTree

mpl = pytest.importorskip("matplotlib")

from galenic.plots import data_of, save, to_matplotlib  # noqa: E402
from galenic.plots.values import values_of  # noqa: E402

pytestmark = pytest.mark.filterwarnings("error")


def drawn_points(paper: Any) -> np.ndarray:
    """Every place that matplotlib marks: of points, lines, areas, and both ends of bars."""
    found: list[np.ndarray] = []
    for ax in paper.axes:
        found += [np.asarray(line.get_xydata(), dtype=float) for line in ax.lines]
        for collection in ax.collections:
            if type(collection).__name__ == "PathCollection":
                found.append(np.asarray(collection.get_offsets().filled(np.nan), dtype=float))
            elif type(collection).__name__ == "QuadMesh":
                corners = collection.get_coordinates()
                found.append(((corners[1:, 1:] + corners[:-1, :-1]) / 2).reshape(-1, 2))
        for patch in ax.patches:
            found.append(np.asarray(patch.get_xy(), dtype=float).reshape(-1, 2))
            if hasattr(patch, "get_width"):
                x, y, width, height = patch.get_x(), patch.get_y(), patch.get_width(), patch.get_height()
                found.append(np.array([[x + width, y + height / 2], [x + width / 2, y + height]]))
    return np.concatenate(found)


def numbers(figure: go.Figure, trace: Any, letter: str, n: int) -> np.ndarray:
    values = values_of(trace[letter], n)
    if values.dtype != object:
        return values.astype(float)
    names = list(figure.layout[f"{letter}axis"].categoryarray or ())
    for other in figure.data:
        names += list(other[letter] if other[letter] is not None else ())
    names = list(dict.fromkeys(names))
    return np.array([names.index(value) for value in values], dtype=float)


def expected_points(figure: go.Figure, trace: Any) -> np.ndarray:
    if trace.type == "heatmap":
        across = numbers(figure, trace, "x", len(trace.z[0]))
        up = np.arange(1.0) if trace.yaxis == "y2" else numbers(figure, trace, "y", len(trace.z))
        return np.array([(x, y) for x in across for y in up])
    n = len(trace.x if trace.x is not None else trace.y)
    x, y = numbers(figure, trace, "x", n), numbers(figure, trace, "y", n)
    if trace.type == "bar" and trace.orientation == "h":
        x = x + (0 if trace.base is None else np.asarray(trace.base, dtype=float))
    points = np.column_stack([x, y])
    return points[np.isfinite(points).all(1)]


@pytest.mark.parametrize("name", SAMPLES)
def test_every_point_stands_at_the_same_place(name: str) -> None:
    figure = SAMPLES[name]()
    paper = to_matplotlib(figure)
    found = drawn_points(paper)
    found = found[np.isfinite(found).all(1)]
    stacked = figure.layout.barmode == "stack"
    for trace in figure.data:
        wanted = expected_points(figure, trace)
        if stacked and trace.type == "bar":
            wanted = wanted[wanted[:, 1] > 0]
            heights = [patch.get_height() for ax in paper.axes for patch in ax.patches]
            assert set(wanted[:, 1]) <= set(np.round(heights, 9))
            continue
        distance, _ = cKDTree(found).query(wanted) if len(wanted) else (np.zeros(0), None)
        # Middles of fields are rounded for the page, so they are not quite the middles of their edges.
        assert (distance < (1e-4 if trace.type == "heatmap" else 1e-9)).all(), (name, trace.name)


@pytest.mark.parametrize("name", ["score_dots", "neighbour_map", "contribution_map", "loss_curves", "force"])
def test_text_lies_on_the_paper(name: str) -> None:
    paper = to_matplotlib(SAMPLES[name]())
    paper.draw_without_rendering()
    box, whole = paper.get_tightbbox(), paper.bbox_inches
    assert min(box.x0, box.y0) >= -0.02
    assert max(box.x1 - whole.x1, box.y1 - whole.y1) <= 0.02


def test_titles_names_and_notes_are_told() -> None:
    figure = SAMPLES["forest"]()
    ax = to_matplotlib(figure).axes[0]
    assert ax.get_xlabel() == "AUROC"
    assert [text.get_text() for text in ax.get_yticklabels()] == ["$Taxol$ & <b>", "Erlotinib"]
    assert [text.get_text() for text in ax.texts] == ["no effect"]


def test_whiskers_reach_from_low_to_high() -> None:
    (ax,) = to_matplotlib(SAMPLES["score_dots"]()).axes
    ends = np.concatenate([np.asarray(path.vertices) for one in ax.collections for path in one.get_paths()
                           if type(one).__name__ == "LineCollection"])  # fmt: skip
    for low, high in ((0.75, 0.9), (0.45, 0.6), (0.15, 0.3)):
        assert np.abs(ends[:, 0] - low).min() < 1e-9
        assert np.abs(ends[:, 0] - high).min() < 1e-9


def test_a_logarithmic_axis_stays_one_and_a_turned_axis_is_turned() -> None:
    assert to_matplotlib(SAMPLES["loss_curves"]()).axes[0].get_yscale() == "log"
    low, high = to_matplotlib(SAMPLES["link_map"]()).axes[0].get_ylim()
    assert low > high


def test_floors_are_hollow() -> None:
    (ax,) = to_matplotlib(SAMPLES["score_dots"]()).axes
    faces = [len(one.get_facecolor()) for one in ax.collections if type(one).__name__ == "PathCollection"]
    assert sorted(faces) == [0, 2]


@pytest.mark.parametrize(("width", "inches"), [("single", 85 / 25.4), ("double", 180 / 25.4), (60, 60 / 25.4)])
def test_widths_are_those_of_journals(width: str | float, inches: float) -> None:
    assert to_matplotlib(SAMPLES["forest"](), width).get_figwidth() == pytest.approx(inches)


def test_what_it_cannot_draw_is_said() -> None:
    with pytest.raises(ValueError, match=r"made of scatter.*received pie.*\.html"):
        to_matplotlib(go.Figure(go.Pie(values=[1])))
    with pytest.raises(ValueError, match=r"single.*received 'triple'"):
        to_matplotlib(go.Figure(), "triple")


def test_nothing_global_is_touched() -> None:
    code = (
        "import sys, matplotlib; before = matplotlib.rcParams.copy()\n"
        "import plotly.graph_objects as go; from galenic.plots import save; import tempfile\n"
        "save(go.Figure(go.Scatter(x=[1], y=[1])), tempfile.mkdtemp() + '/a.svg')\n"
        "print('matplotlib.pyplot' in sys.modules, matplotlib.rcParams.copy() == before)"
    )
    shown = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["False", "True"]


def test_absent_matplotlib_is_said_in_three_parts() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import plotly.graph_objects as go; from galenic.plots import to_matplotlib\n"
        "to_matplotlib(go.Figure())"
    )
    shown = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert "drawn by matplotlib; it is not installed. Install it with pip install 'galenic[sc]'" in shown.stderr


@pytest.mark.parametrize("ending", [".svg", ".pdf", ".png", ".html", ".csv"])
def test_a_figure_is_saved_as_what_its_ending_says(ending: str, tmp_path: Path) -> None:
    figure = SAMPLES["forest"]()
    first, second = (save(figure, tmp_path / name / f"figure{ending}").read_bytes() for name in ("a", "b"))
    starts = {".svg": b"<?xml", ".pdf": b"%PDF", ".png": b"\x89PNG", ".html": b"<!doctype html>", ".csv": b"trace,"}
    assert first.startswith(starts[ending])
    if ending != ".html":  # Plotly writes a random id
        assert first == second
    if ending == ".svg":
        assert b"Erlotinib" in first  # text stays text
    with pytest.raises(ValueError, match="exists"):
        save(figure, tmp_path / "a" / f"figure{ending}", overwrite=False)


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"saved as .svg.*received 'figure.docx'"):
        save(SAMPLES["forest"](), tmp_path / "figure.docx")


@pytest.mark.parametrize("name", SAMPLES)
def test_the_data_are_those_of_the_traces(name: str) -> None:
    figure = SAMPLES[name]()
    table = data_of(figure)
    n = 0
    for trace in figure.data:
        n += sum(value is not None and value == value for row in trace.z for value in row) if trace.type == "heatmap" \
            else len(trace.x if trace.x is not None else trace.y)  # fmt: skip
    assert len(table) == n
    assert {"trace", "x", "y"} <= set(table)
    assert not table.astype(str).apply(lambda column: column.str.contains("<br>|&amp;")).any(axis=None)


def test_data_hold_names_and_whiskers() -> None:
    table = data_of(SAMPLES["forest"]())
    assert table["y"].tolist() == ["$Taxol$ & <b>", "Erlotinib"]
    assert table["x_low"].tolist() == pytest.approx([0.15, 0.75])
    assert table["x_high"].tolist() == pytest.approx([0.3, 0.9])
    assert table.attrs["titles"]["x"] == "AUROC"
    fields = data_of(SAMPLES["contribution_map"]())
    assert fields.groupby("trace").size().tolist() == [320, 40]
    assert isinstance(fields, pd.DataFrame)
