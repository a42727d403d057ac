"""From logits to the table: what doubt is counted, and what is said in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from galenic.models.scatd.answer import Answer, answered

N = 60


def asked(logits: np.ndarray, **how: Any) -> pd.DataFrame:
    known: dict[str, Any] = {
        "ids": pd.Index([f"c{number}" for number in range(logits.shape[1])]), "logits": logits,
        "n_members": len(logits), "together": True, "graph": None, "spread": 0.9,
        "empty": np.zeros(logits.shape[1], dtype=bool), "threshold": 0.2, "agreed": 0.9, "sure": 0.975,
    }  # fmt: skip
    return answered(Answer(**(known | how)), needed=0.9, certainty=0.6)


def cells(rng: np.random.Generator, *, apart: float) -> np.ndarray:
    """Logits of one member: one kind of cells, or two."""
    return np.sort(rng.normal(scale=0.02, size=N)) - 2 + apart * (np.arange(N) >= N // 2)


@pytest.mark.parametrize(("apart", "two"), [(0.0, False), (1.0, True)])
def test_members_that_differ_by_a_level_alone_do_not_doubt_how_cells_lie(
    rng: np.random.Generator, apart: float, two: bool
) -> None:
    one = cells(rng, apart=apart)
    levels = np.array([-0.3, 0.0, 0.3])[:, None]
    table = asked(one + levels, spread_of_lines=1.0)
    assert table.attrs["direction"]["two_kinds"] is two
    doubt = 0.0 if two else levels.std() / 4  # no logistic curve is steeper
    assert table["sd"].max() <= doubt + 1e-6
    assert np.allclose(table["probability"], asked(one[None], spread_of_lines=1.0)["probability"])
    # Members that rank cells otherwise are in doubt as ever.
    other = np.stack([one, one[::-1], one])
    assert asked(other, spread_of_lines=1.0)["sd"].max() > 0.1


def test_the_order_of_cells_does_not_matter_and_empty_ones_change_nothing(rng: np.random.Generator) -> None:
    logits = cells(rng, apart=0.0) + rng.normal(scale=0.01, size=(3, N))
    whole = asked(logits, spread_of_lines=0.8)
    order = rng.permutation(N)
    assert np.allclose(asked(logits[:, order], spread_of_lines=0.8)["sd"], whole["sd"].to_numpy()[order])
    more = np.concatenate([logits, np.full((3, 1), 9.0)], axis=1)
    empty = np.arange(N + 1) == N
    found = asked(more, spread_of_lines=0.8, empty=empty)
    assert np.allclose(found[["probability", "sd"]][:N], whole[["probability", "sd"]])
    assert found.iloc[N][["probability", "sd"]].isna().all()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({}, "with a chance of 0.97;"),
        ({"sure": 0.9975}, "with a chance above 0.99;"),
        ({"sure": 1.0, "agreed": None}, "How sure the direction is was not measured;"),
        ({"sure": 0.8}, "right with a chance of 0.80, and 0.90 is asked for"),
        ({"by_chance": 0.2}, "not told better than by chance (p = 0.2)"),
    ],
)
def test_the_sentence_says_what_is_known(rng: np.random.Generator, how: dict[str, Any], words: str) -> None:
    table = asked(cells(rng, apart=1.0)[None], **how)
    told = table.attrs["direction"]
    assert words in told["why"]
    assert told["by_chance"] == how.get("by_chance", 0.0)
    assert bool(table["abstain"].all()) == ("abstained from; a few" in told["why"])


def test_cells_of_one_kind_are_certain_by_their_distance_from_the_cut() -> None:
    """Where lines are called sensitive from 0.1 on, a P of 0.1 is what cannot be told, and 0.5 is far above."""
    logits = np.log(np.array([[0.01, 0.09, 0.1, 0.12, 0.5]]) / (1 - np.array([[0.01, 0.09, 0.1, 0.12, 0.5]])))
    ids = pd.Index(list("abcde"))
    asked = Answer(
        ids=ids, logits=logits, n_members=1, together=False, graph=None, spread=0.0, empty=np.zeros(5, dtype=bool),
        threshold=0.1, agreed=None, sure=1.0,
    )  # fmt: skip
    table = answered(asked, needed=0.9, certainty=0.6)
    assert table["abstain"].tolist() == [False, True, True, True, False]
    assert table["label"].tolist() == [0, 0, 1, 1, 1]
