"""Labels and platforms: against a naive count, planted truths, and the published labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from galenic.evaluate.confounding import confounding, confounding_sentence


def planted(rng: np.random.Generator, gap: float, agreeing: float, n: int = 400) -> pd.DataFrame:
    """Lines on two platforms; the second says the same for a share of them, and calls ``gap`` more sensitive."""
    a = rng.random(n) < 0.5 - gap / 2
    b = np.where(rng.random(n) < agreeing, a, rng.random(n) < 0.5 + gap / 2)
    line = [f"L{number}" for number in range(n)]
    return pd.DataFrame(
        {"line": line * 2, "platform": ["A"] * n + ["B"] * n, "label": np.concatenate([a, b]).astype(int)}
    )


def naive(table: pd.DataFrame) -> dict[str, float]:
    share = table.groupby("platform")["label"].mean()
    score = table["platform"].map(share).to_numpy()
    ones, zeros = score[table["label"] == 1], score[table["label"] == 0]
    wins = np.mean([(one > zero) + 0.5 * (one == zero) for one in ones for zero in zeros])
    wide = table.pivot_table(index="line", columns="platform", values="label").dropna()
    counts = np.zeros((2, 2))
    for first, second in wide.itertuples(index=False):
        counts[int(first), int(second)] += 1
    shares = counts / counts.sum()
    chance = (shares.sum(axis=1) * shares.sum(axis=0)).sum()
    return {"platform_alone": wins, "agreement": np.trace(shares), "kappa": (np.trace(shares) - chance) / (1 - chance)}


@pytest.mark.parametrize(("gap", "agreeing"), [(0.0, 0.0), (0.6, 0.0), (0.2, 0.8)])
def test_as_a_naive_count(rng: np.random.Generator, gap: float, agreeing: float) -> None:
    table = planted(rng, gap, agreeing, n=60)
    found = confounding(table).iloc[0]
    for name, value in naive(table).items():
        assert found[name] == pytest.approx(value)
    assert found["n_repeated"] == 60


def test_what_is_planted_is_found_and_said(rng: np.random.Generator) -> None:
    fine = confounding(planted(rng, 0.0, 1.0)).iloc[0]
    assert fine["kappa"] == 1
    assert fine["platform_alone"] < 0.55
    assert confounding_sentence(fine) == ""
    bad = confounding(planted(rng, 0.8, 0.0)).iloc[0]
    assert bad["platform_alone"] > 0.85
    said = confounding_sentence(bad)
    assert "The platform alone tells the labels" in said
    assert "agree little beyond chance" in said


def test_order_and_names_do_not_matter(rng: np.random.Generator) -> None:
    table = planted(rng, 0.3, 0.5)
    shuffled = table.sample(frac=1, random_state=1).replace({"platform": {"A": "Z"}})
    expected, found = confounding(table), confounding(shuffled)
    pd.testing.assert_frame_equal(expected, found, atol=1e-12)


def test_one_platform_and_unlabelled_rows() -> None:
    table = pd.DataFrame({"line": list("abc"), "platform": "A", "label": [1.0, 0.0, np.nan]})
    found = confounding(table).iloc[0]
    assert (found["n"], found["n_platforms"], found["platform_alone"], found["n_repeated"]) == (2, 1, 0.5, 0)
    assert confounding_sentence(found) == ""


def test_bad_tables_are_refused() -> None:
    table = pd.DataFrame({"line": ["a", "b"], "platform": ["A", None], "label": [1, 0]})
    with pytest.raises(ValueError, match="needs a value in every row of 'platform'"):
        confounding(table)
    with pytest.raises(ValueError, match=r"labels should be 1 \(sensitive\) or 0"):
        confounding(table.assign(platform="A", label=2))
    with pytest.raises(ValueError, match="needs the column"):
        confounding(table.drop(columns="line"))


@pytest.mark.real
def test_published_labels_are_mostly_the_platform(shared: Path) -> None:
    """Of scDEAL and scATD: the platform alone reaches 0.93 for docetaxel, and labels of one line agree by chance."""
    folder = shared / "singlecell"
    labels = pd.read_csv(folder / "bulk_binary_labels_1280x83.csv.gz")
    names = pd.read_csv(folder / "bulk_sample_names.csv.gz")
    names["name"] = names["name"].fillna(names["sample"])
    table = labels.melt("sample", var_name="drug", value_name="label").merge(names, on="sample")
    found = confounding(table, platform="source", line="name", drug="drug").set_index("drug")
    assert len(found) == 83
    assert found.loc["DOCETAXEL", "platform_alone"] == pytest.approx(0.93, abs=0.005)
    assert found.loc["BORTEZOMIB", "platform_alone"] == pytest.approx(0.92, abs=0.005)
    assert found.loc["PACLITAXEL", "platform_alone"] == pytest.approx(0.875, abs=0.005)
    assert int((found["platform_alone"] > 0.7).sum()) == 29
    assert found["kappa"].median() == pytest.approx(0.05, abs=0.005)
    assert (found["n_repeated"] == 301).all()
    assert found.loc["DOCETAXEL", "share_lowest"] == pytest.approx(0.049, abs=0.001)
    assert found.loc["DOCETAXEL", "share_highest"] == pytest.approx(0.899, abs=0.001)
    assert found.loc["DOCETAXEL", "agreement"] == pytest.approx(0.13, abs=0.005)
