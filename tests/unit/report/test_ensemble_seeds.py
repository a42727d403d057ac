"""Stability over seeds in words and as a figure: what the table says, and nothing where it says nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from galenic.report.blocks import Figures
from galenic.report.ensemble_seeds import come_back, spreads


def table(ensemble: list[float], single: list[float], other: list[float]) -> pd.DataFrame:
    rows = [
        (division, what, value, 5)
        for what, values in (("ae of 5", other), ("ensemble", ensemble), ("ae of 10", single))
        for division, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=["division", "what", "again", "n"])


@pytest.mark.parametrize(
    ("ensemble", "words"),
    [([0.9, 0.92, 0.91], "more than"), ([0.1, 0.12, 0.11], "less than"), ([0.5, 0.9, 0.7], "not clearly other than")],
)
def test_the_verdict_is_the_paired_difference(ensemble: list[float], words: str) -> None:
    found = table(ensemble, [0.7, 0.6, 0.8], [0.2, 0.3, 0.4])
    text, figures = come_back(found)
    assert f"{words} the latents of the best single members, ae of 10" in text.text
    gain = np.array(ensemble) - [0.7, 0.6, 0.8]
    low, high = np.quantile(gain, [0.025, 0.975])
    assert f"[{low:.2f}, {high:.2f}]".replace("-", "−") in text.text
    assert "3 divisions" in text.text
    assert isinstance(figures, Figures)


def test_the_figure_shows_the_ensemble_first_and_every_interval() -> None:
    found = table([0.9, 0.92, 0.91], [0.7, 0.6, 0.8], [0.2, 0.3, 0.4])
    figure = come_back(found)[1].figures[0][1]
    assert list(figure.layout.yaxis.categoryarray) == ["one ae of 5", "one ae of 10", "ensemble"]
    ensemble, single = figure.data
    assert list(ensemble.x) == [0.91]
    assert list(single.x) == [0.3, 0.7]
    for trace in figure.data:
        for value, minus, plus in zip(trace.x, trace.error_x.arrayminus, trace.error_x.array, strict=True):
            assert minus > 0
            assert plus > 0
            assert 0 <= value - minus <= value + plus <= 1


@pytest.mark.parametrize("what", [["ensemble"], ["ae of 5"], []])
def test_nothing_is_said_without_both_sides(what: list[str]) -> None:
    found = table([0.9, 0.8], [0.5, 0.5], [0.4, 0.4])
    assert come_back(found[found["what"].isin(what)]) == []
    assert come_back(None) == []
    assert come_back(found.assign(again=found["again"].where(found["what"] != "ensemble"))) == []


def test_divisions_without_a_consensus_are_counted_and_not_averaged() -> None:
    found = table([0.9, np.nan, 0.8], [0.7, 0.1, 0.6], [0.2, 0.2, 0.2])
    text = come_back(found)[0].text
    assert "In 1 more, half the members shared too few latents" in text
    assert "95 % of 2 divisions" in text
    assert spreads(found).set_index("what").loc["ensemble", "again"] == pytest.approx(0.85)
    assert "difference +0.20" in text
