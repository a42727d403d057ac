"""The palette's laws: every two colours can be told apart by everybody, on white and on near-black paper."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

import galenic.plots
from galenic.plots import palette

PAPERS = ("#ffffff", "#fdfdfb", "#15191c", "#0e1117")
SIGHT = {  # Machado, Oliveira & Fernandes 2009, severity 1, for linear RGB
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
NAMED = (palette.BLUE, palette.GREY, palette.GREEN, palette.ORANGE, palette.PURPLE, palette.RED)


def linear(colour: str) -> np.ndarray:
    value = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(light: np.ndarray) -> np.ndarray:
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    part = to_xyz @ light / to_xyz.sum(1)
    x, y, z = np.where(part > 0.008856, np.cbrt(part), 7.787 * part + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def distance(one: str, other: str, sight: np.ndarray) -> float:
    """CIE 1976; about 2 can just be seen."""
    ends = [lab(np.clip(sight @ linear(colour), 0, 1)) for colour in (one, other)]
    return float(np.linalg.norm(ends[0] - ends[1]))


def contrast(one: str, other: str) -> float:
    low, high = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize(("colours", "least"), [(NAMED, 20), ({*NAMED, *palette.MORE}, 10)], ids=["named", "all"])
def test_every_two_colours_can_be_told_apart(sight: str, colours: set[str], least: float) -> None:
    near = min(combinations(sorted(colours), 2), key=lambda two: distance(*two, SIGHT[sight]))
    assert distance(*near, SIGHT[sight]) > least, near


@pytest.mark.parametrize("paper", PAPERS)
def test_every_colour_stands_out_on_the_paper(paper: str) -> None:
    assert min(contrast(colour, paper) for colour in (*NAMED, *palette.MORE)) >= 3


@pytest.mark.parametrize("sight", SIGHT)
def test_values_grow_lighter_and_are_seen_on_every_paper(sight: str) -> None:
    colours = [str(colour) for _, colour in palette.VALUES]
    light = [lab(np.clip(SIGHT[sight] @ linear(colour), 0, 1))[0] for colour in colours]
    assert np.diff(light).min() > 8
    assert min(contrast(colour, paper) for colour in colours for paper in PAPERS) >= 2.4


def test_the_simulation_knows_colours_that_are_confused() -> None:
    red, green = "#b04040", "#507828"
    assert distance(red, green, SIGHT["deuteranopia"]) < distance(red, green, SIGHT["normal"]) / 3


@pytest.mark.parametrize("scale", [palette.TOWARDS, palette.DIVERGING, palette.CONTRIBUTIONS])
@pytest.mark.parametrize("sight", SIGHT)
def test_the_ends_of_a_diverging_scale_lie_far_apart(scale: palette.Scale, sight: str) -> None:
    assert distance(str(scale[0][1]), str(scale[-1][1]), SIGHT[sight]) > 60


def test_colours_stand_in_the_palette_alone() -> None:
    folder = Path(galenic.plots.__file__).parent
    own = {path.name: re.findall(r"#[0-9a-fA-F]{6}\b|rgba?\(\d", path.read_text()) for path in folder.glob("*.py")}
    own.pop("palette.py")
    assert {name: found for name, found in own.items() if found} == {}


def test_kinds_keep_their_order_and_repeat_late() -> None:
    colours = palette.colours_of([*"abcdefgh", "a"])
    assert len(set(colours.values())) == 8
    assert colours["a"] == palette.MODEL
