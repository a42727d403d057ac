"""Laws of perturbation splits: what is unseen is unseen, controls train, files keep ids, planted leaks are found."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from galenic.evaluate import (
    Fold,
    given_profiles,
    leakage,
    perturbation_split,
    read_split,
    singles_seen,
    write_split,
)


def screen(n_contexts=4, n_drugs=9, filled=0.8, seed=0, n_cells=3):
    """Cells of a screen with holes: controls in every context, a few cells of each measured pair."""
    rng = np.random.default_rng(seed)
    pairs = [
        (f"line{c}", name)
        for c in range(n_contexts)
        for name in ["control", *(f"d{i}" for i in range(n_drugs) if rng.random() < filled)]
    ]
    table = pd.DataFrame([pair for pair in pairs for _ in range(n_cells)], columns=["context", "perturbation"])
    return table.set_index("cell" + pd.RangeIndex(len(table)).astype(str)).sample(frac=1, random_state=seed)


def conditions(table, rows):
    return set(zip(table["context"].iloc[rows], table["perturbation"].iloc[rows], strict=True))


def pairs_screen():
    names = ["control", "A", "B", "C", "D", "A+B", "B+C", "D+E", "E+F", "C+A"]
    return pd.DataFrame([("K562", name) for name in names for _ in range(2)], columns=["context", "perturbation"])


@given(seed=st.integers(0, 1000), n_folds=st.integers(2, 5), filled=st.sampled_from([0.3, 0.6, 1.0]))
@settings(max_examples=40, deadline=None)
def test_a_tested_pair_has_its_perturbation_elsewhere_and_company_in_its_context(seed, n_folds, filled):
    table = screen(seed=seed, filled=filled)
    folds = []
    with suppress(ValueError):  # a screen with many holes may leave too few pairs to hold out
        folds = perturbation_split(table, "pair", n_folds=n_folds, seed=seed)
    assert folds or filled < 1
    assume(folds)
    tested = np.concatenate([fold.test for fold in folds])
    assert len(tested) == len(set(tested))
    for fold in folds:
        np.testing.assert_array_equal(np.sort(np.concatenate(fold)), np.arange(len(table)))
        train, test = conditions(table, fold.train), conditions(table, fold.test)
        assert not train & test
        for context, name in test:
            assert name != "control"
            assert any(other != context and same == name for other, same in train)
            assert any(own == context and other not in (name, "control") for own, other in train)


def test_pairs_that_can_be_are_tested_once_and_folds_are_balanced():
    table = screen(filled=1.0)
    folds = perturbation_split(table, "pair", n_folds=4)
    assert sorted(len(fold.test) for fold in folds) == [27, 27, 27, 27]


@pytest.mark.parametrize("unseen", ["context", "perturbation"])
@given(seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_whole_groups_are_unseen_and_controls_train(unseen, seed):
    table = screen(seed=seed)
    is_control = np.flatnonzero(table["perturbation"] == "control")
    folds = perturbation_split(table, unseen, n_folds=3, seed=seed)
    np.testing.assert_array_equal(
        np.sort(np.concatenate([fold.test for fold in folds])), np.flatnonzero(table["perturbation"] != "control")
    )
    for fold in folds:
        assert set(is_control) <= set(fold.train)
        treated = np.setdiff1d(fold.train, is_control)
        assert not set(table[unseen].iloc[treated]) & set(table[unseen].iloc[fold.test])


@pytest.mark.parametrize("unseen", ["pair", "context", "perturbation"])
def test_the_order_of_rows_does_not_matter_and_seeds_do(unseen, rng):
    table = screen()
    order = rng.permutation(len(table))
    folds = perturbation_split(table, unseen, n_folds=3, seed=1)
    for fold, other in zip(folds, perturbation_split(table.iloc[order], unseen, n_folds=3, seed=1), strict=True):
        np.testing.assert_array_equal(np.sort(order[other.test]), fold.test)
        np.testing.assert_array_equal(np.sort(order[other.train]), fold.train)
    again = [tuple(perturbation_split(table, unseen, n_folds=3, seed=seed)[0].test) for seed in range(6)]
    assert len(set(again)) > 1


def test_one_fold_for_each_context():
    table = screen()
    folds = perturbation_split(table, "context", n_folds=None)
    assert [table["context"].iloc[fold.test].nunique() for fold in folds] == [1] * 4


def test_an_unseen_perturbation_can_be_given_where_its_context_is_held_in():
    table = screen(filled=1.0)
    folds = perturbation_split(table, "perturbation", n_folds=3, hold_in=["line0"])
    for fold in folds:
        tested = set(table["perturbation"].iloc[fold.test])
        assert "line0" not in set(table["context"].iloc[fold.test])
        assert not tested & set(table["perturbation"].iloc[fold.train])
        found = given_profiles(table, fold)
        assert set(found.loc[found["source"] == "line0", "perturbation"]) == tested
        assert not found["trained"].any()
        assert (found["n_rows"] == 3).all()
        # Three lines test it; each may be given the other two and the one that is held in.
        assert len(found) == len(tested) * 3 * 3


def test_profiles_of_an_unseen_pair_have_been_trained_on():
    table = screen(filled=1.0)
    fold = perturbation_split(table, "pair", n_folds=4)[0]
    found = given_profiles(table, fold)
    assert found["trained"].all()
    assert len(found) == 9 * 3
    only = perturbation_split(table, "pair", n_folds=3, hold_in="line1")
    assert "line1" not in set(table["context"].iloc[np.concatenate([fold.test for fold in only])])


def test_no_part_of_an_unseen_perturbation_trains():
    table = pairs_screen()
    for seed in range(10):
        for fold in perturbation_split(table, "perturbation", n_folds=2, seed=seed):
            seen, asked = (
                {part for name in table["perturbation"].iloc[rows] for part in name.split("+")}
                for rows in (fold.train, fold.test)
            )
            assert not seen & asked


def test_combinations_are_tested_whole_and_told_apart_by_the_singles_seen():
    table = pairs_screen()
    folds = perturbation_split(table, "combination", n_folds=5)
    counts = {}
    for fold in folds:
        seen = singles_seen(table, fold)
        names = table["perturbation"].iloc[fold.test]
        assert names.str.contains("+", regex=False).all()
        assert not set(names) & set(table["perturbation"].iloc[fold.train])
        counts |= dict(zip(names, seen.tolist(), strict=True))
    assert counts == {"A+B": 2, "B+C": 2, "D+E": 1, "E+F": 0, "C+A": 2}


def test_the_order_of_parts_and_a_control_as_part_do_not_matter():
    table = pd.DataFrame({"context": "K562", "perturbation": ["ctrl", "A+ctrl", "ctrl+B", "A+B", "B+A", "B+C"]})
    folds = perturbation_split(table, "combination", control="ctrl", n_folds=2)
    sides = sorted(fold.test.tolist() for fold in folds)
    assert sides == [[3, 4], [5]]
    fold = next(fold for fold in folds if len(fold.test) == 2)
    assert singles_seen(table, fold, control="ctrl").tolist() == [2, 2]


def test_controls_by_a_boolean_column():
    table = screen().assign(vehicle=lambda t: t["perturbation"] == "control")
    table["perturbation"] = table["perturbation"].replace("control", "DMSO")
    folds = perturbation_split(table, "context", control="vehicle", n_folds=2)
    assert all("DMSO" not in set(table["perturbation"].iloc[fold.test]) for fold in folds)
    with pytest.raises(ValueError, match="Name the control"):
        perturbation_split(table, "context")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"unseen": "dose"}, "unseen should be one of"),
        ({"context": "cell"}, "needs the column"),
        ({"hold_in": ["line9"]}, "hold_in should name contexts"),
        ({"unseen": "combination"}, "needs treated rows to test"),
        ({"unseen": "context", "n_folds": 9}, "need at least 9 groups"),
        ({"unseen": "pair", "n_folds": 1}, "at least 2"),
        ({"hold_in": [f"line{i}" for i in range(4)]}, "needs treated rows to test"),
    ],
)
def test_what_cannot_be_split_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        perturbation_split(screen(), **arguments)


def test_one_perturbation_cannot_be_held_out_as_a_pair():
    table = pd.DataFrame({"context": list("AABB"), "perturbation": ["control", "IFNb"] * 2})
    with pytest.raises(ValueError, match="another kind of unseen"):
        perturbation_split(table, "pair", n_folds=2)


def test_a_file_keeps_folds_by_id(tmp_path, rng):
    table = screen()
    folds = perturbation_split(table, "perturbation", n_folds=3, hold_in=["line0"])
    write_split(table, folds, tmp_path / "split.csv")
    order = rng.permutation(len(table))
    for fold, other in zip(folds, read_split(table.iloc[order], tmp_path / "split.csv"), strict=True):
        np.testing.assert_array_equal(np.sort(order[other.test]), fold.test)
        np.testing.assert_array_equal(np.sort(order[other.train]), fold.train)
    with pytest.raises(ValueError, match="3 stand in one only"):
        read_split(table.iloc[3:], tmp_path / "split.csv")
    with pytest.raises(ValueError, match="index should name each row once; 1 of"):
        write_split(table.iloc[[0, 0, 1]], folds, tmp_path / "other.csv")
    text = (tmp_path / "split.csv").read_text().replace("test", "tset")
    (tmp_path / "broken.csv").write_text(text)
    with pytest.raises(ValueError, match="it holds 'tset'"):
        read_split(table, tmp_path / "broken.csv")


def test_ids_that_look_like_numbers_or_missing_stay_text(tmp_path):
    table = pd.DataFrame(index=["001", "NA", "1e3"])
    fold = Fold(np.array([0, 1]), np.array([2]))
    write_split(table, [fold], tmp_path / "split.csv")
    np.testing.assert_array_equal(read_split(table, tmp_path / "split.csv")[0].test, fold.test)


def plates():
    table = pd.DataFrame(
        {
            "context": "HT115",
            "perturbation": ["control", "x", "y", "z", "A+B", "B+A", "w", "v"],
            "plate": ["P1", "P1", "P1", "P2", "P3", "P4", "P5", "P6"],
            "well": ["A01", "A02", "A03", "A02", "A04", "A05", "A06", "A07"],
            "barcode": ["c", "b1", "b2", "b3", "b4", "b5", "b6", "b7"],
        }
    )
    return table.rename(index=lambda i: f"row{i}")


def found(table, fold, **arguments):
    return leakage(table, fold, **arguments).set_index("shares")


def test_a_fold_without_leaks_shares_nothing():
    table = plates()
    result = found(table, Fold(np.array([0, 1, 2, 3, 4]), np.array([6, 7])))
    assert result["n_shared"].to_dict() == dict.fromkeys(
        ["condition", "well", "replicate plate", "cell barcode", "id"], 0
    )
    assert (result["n_test"] == 0).all()


def test_planted_leaks_are_found_each_by_its_name():
    table = plates()
    same_condition = found(table, Fold(np.array([0, 1, 4]), np.array([5])))
    assert same_condition.loc["condition", "examples"] == "'HT115 + A+B'"
    same_plate = found(table, Fold(np.array([0, 1]), np.array([2, 3])))
    assert same_plate["n_shared"].to_dict() == {
        "condition": 0, "well": 0, "replicate plate": 1, "cell barcode": 0, "id": 0,
    }  # fmt: skip
    assert same_plate.loc["replicate plate", "n_test"] == 1
    twin = table.copy()
    twin.loc["row3", ["plate", "well"]] = ["P1", "A02"]
    assert found(twin, Fold(np.array([1]), np.array([3]))).loc["well", "n_shared"] == 1
    twin = table.copy()
    twin.loc["row6", "barcode"] = "b1"
    assert found(twin, Fold(np.array([1]), np.array([6]))).loc["cell barcode", "examples"] == "'b1'"
    assert found(table, Fold(np.array([1, 6]), np.array([6]))).loc["id", "n_shared"] == 1


def test_controls_and_missing_values_are_not_shared():
    table = plates()
    assert found(table, Fold(np.array([0]), np.array([1, 2]))).loc["replicate plate", "n_shared"] == 0
    table["plate"] = None
    assert found(table, Fold(np.array([1]), np.array([2]))).loc["replicate plate", "n_shared"] == 0


def test_columns_of_ones_own():
    table = plates().assign(site=["s"] * 8)
    result = found(table, Fold(np.array([1]), np.array([2, 3])), columns={"site": ["site"]})
    assert result.loc["site", ["n_shared", "n_test"]].tolist() == [1, 2]
    with pytest.raises(ValueError, match="leakage by lab needs the column"):
        leakage(table, Fold(np.array([1]), np.array([2])), {"lab": ["lab"]})


@pytest.mark.real
def test_compounds_of_one_line_can_be_given_for_another(l1000_obs):
    obs = l1000_obs[l1000_obs["compound_plate"] == "CPC006"]
    folds = perturbation_split(obs, "perturbation", context="cell_type", n_folds=3, separator=None, hold_in=["A375"])
    given = pd.concat([given_profiles(obs, fold, context="cell_type", separator=None) for fold in folds])
    assert set(given["source"]) == {"A375"}
    assert given["perturbation"].nunique() >= 340
    for fold in folds:
        shared = leakage(obs, fold, context="cell_type", separator=None).set_index("shares")
        assert shared.loc[["condition", "well", "id"], "n_shared"].eq(0).all()
        assert shared.loc["replicate plate", "n_shared"] == 2
