"""Laws of splits: no group on both sides, every row tested once, folds balanced, row order irrelevant."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galenic.evaluate import Fold, holdout, leaks, require_disjoint, split, split_from


def screen(n_cells=20, n_drugs=12, seed=0, filled=0.7):
    rng = np.random.default_rng(seed)
    cells, drugs = np.divmod(np.arange(n_cells * n_drugs), n_drugs)
    table = pd.DataFrame({"cell": [f"c{i}" for i in cells], "drug": [f"d{i}" for i in drugs]})
    # Drugs d0 and d1 are one compound, as are d2 and d3.
    table["structure"] = [f"s{max(i // 2, i - 2)}" for i in drugs]
    table["tissue"] = [f"t{i % 7}" for i in cells]
    return table[rng.random(len(table)) < filled].reset_index(drop=True)


BY = [None, "cell", "structure", "tissue", ["cell", "drug"], ["tissue", "structure"]]


@pytest.mark.parametrize("by", BY, ids=str)
@given(seed=st.integers(0, 1000), n_folds=st.integers(2, 6))
@settings(max_examples=10, deadline=None)
def test_every_row_is_tested_once_and_no_group_is_on_both_sides(by, seed, n_folds):
    table = screen(seed=seed)
    folds = split(table, by=by, n_folds=n_folds, seed=seed)
    assert len(folds) == n_folds
    np.testing.assert_array_equal(np.sort(np.concatenate([fold.test for fold in folds])), np.arange(len(table)))
    for fold in folds:
        np.testing.assert_array_equal(np.sort(np.concatenate(fold)), np.arange(len(table)))
        require_disjoint(table, fold, by)


@pytest.mark.parametrize("by", BY, ids=str)
def test_the_order_of_rows_does_not_matter(by, rng):
    table = screen()
    order = rng.permutation(len(table))
    for fold, shuffled in zip(split(table, by=by, seed=3), split(table.iloc[order], by=by, seed=3), strict=True):
        np.testing.assert_array_equal(np.sort(order[shuffled.test]), fold.test)
        np.testing.assert_array_equal(np.sort(order[shuffled.train]), fold.train)


def test_folds_are_balanced_to_the_largest_group():
    table = screen(n_cells=60)
    table = pd.concat([table, *[table[table["cell"] == "c0"].assign(replicate=i) for i in range(5)]])
    largest = table["cell"].value_counts().max()
    for seed in range(20):
        sizes = [len(fold.test) for fold in split(table, by="cell", seed=seed)]
        assert max(sizes) - min(sizes) <= largest


def test_seeds_differ_and_repeat():
    table = screen(n_cells=40)
    tests = [tuple(split(table, by="tissue", n_folds=3, seed=seed)[0].test) for seed in (0, 1, 2, 3, 0)]
    assert len(set(tests)) > 2
    assert tests[0] == tests[-1]


def test_random_pairs_keep_repeated_measurements_and_repeated_compounds_together():
    table = pd.concat([screen(), screen()], ignore_index=True)
    pair = table["cell"] + table["structure"]
    for fold in split(table, seed=1):
        assert not set(pair.iloc[fold.train]) & set(pair.iloc[fold.test])
    by_id = table.drop(columns="structure")
    pair = by_id["cell"] + by_id["drug"]
    for fold in split(by_id, seed=1):
        assert not set(pair.iloc[fold.train]) & set(pair.iloc[fold.test])


def test_combinations_are_not_confused_by_their_names():
    table = pd.DataFrame({"cell": ["A + B", "A", "A", "B"], "drug": ["C", "B + C", "D", "D"]})
    assert len(split(table, by=["cell", "drug"], n_folds=4)) == 4


def test_a_table_without_pairs_is_split_by_rows():
    tests = np.concatenate([fold.test for fold in split(pd.DataFrame({"x": range(10)}), n_folds=3)])
    np.testing.assert_array_equal(np.sort(tests), np.arange(10))


@given(seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_each_unseen_shares_no_part(seed):
    table = screen(seed=seed, filled=1.0)
    folds = split(table, by=["cell", "structure"], n_folds=3, seed=seed, each_unseen=True)
    seen = np.concatenate([fold.test for fold in folds])
    assert len(np.unique(seen)) == len(seen)
    for column in ("cell", "structure"):
        assert {value for fold in folds for value in table[column].iloc[fold.test]} == set(table[column])
        for fold in folds:
            require_disjoint(table, fold, column)


def test_each_unseen_of_one_column_is_the_ordinary_split():
    for a, b in zip(split(screen(), by="cell"), split(screen(), by="cell", each_unseen=True), strict=True):
        np.testing.assert_array_equal(a.test, b.test)
        np.testing.assert_array_equal(a.train, b.train)


@pytest.mark.parametrize("each_unseen", [False, True])
def test_kept_rows_always_train(each_unseen):
    table = screen()
    keep = (table["drug"] == "d5").to_numpy()
    for fold in split(table, by=["cell", "drug"], keep=keep, each_unseen=each_unseen):
        assert set(np.flatnonzero(keep)) <= set(fold.train)
        assert not keep[fold.test].any()


@pytest.mark.parametrize(
    ("by", "n_folds", "message"),
    [
        ("tissue", 8, "at least 8 groups; there are 7 .*Lower n_folds"),
        ("cell", 1, "at least 2; received 1"),
        ("tisue", 5, "needs the column.*'tisue'"),
    ],
)
def test_refusals(by, n_folds, message):
    with pytest.raises(ValueError, match=message):
        split(screen(), by=by, n_folds=n_folds)


def test_missing_groups_and_structures_are_refused_with_the_remedy():
    table = screen()
    table["tissue"] = table["tissue"].where(table["tissue"] != "t1")
    with pytest.raises(ValueError, match=r"are missing.*'unknown'"):
        split(table, by="tissue")
    with pytest.raises(ValueError, match=r"pairs_with\('structure'\)"):
        split(table.drop(columns="structure"), by="structure")


def test_parts_that_do_not_cross_leave_nothing_to_test():
    table = screen()
    clone = table.assign(clone="clone of " + table["cell"])
    with pytest.raises(ValueError, match="rows to train on and to test; fold"):
        split(clone, by=["cell", "clone"], each_unseen=True, n_folds=20)


def test_a_drug_without_a_structure_is_its_own_group():
    table = screen()
    table["structure"] = table["structure"].where(table["structure"] != "s5")
    for fold in split(table, by="structure"):
        assert not set(table["drug"].iloc[fold.train]) & set(table["drug"].iloc[fold.test])


def test_a_split_by_drug_id_warns_of_repeated_structures():
    table = screen()
    with pytest.warns(UserWarning, match=r"structures stand under several drug ids \('d"):
        folds = split(table, by="drug", n_folds=6, seed=0)
    leaking = [fold for fold in folds if leaks(table, fold, ["structure"])["shared"].iloc[0]]
    assert leaking
    require_disjoint(table, leaking[0], "drug")
    with pytest.raises(ValueError, match="share no structure"):
        require_disjoint(table, leaking[0], "structure")
    # Without repeats there is nothing to warn of, and warnings are errors here.
    split(table.assign(structure=table["drug"]), by="drug")


def test_leaks_equal_the_loop():
    table = screen()
    fold = split(table, by="cell")[0]
    found = leaks(table, fold, ["cell", "drug", "tissue", ["cell", "drug"]]).set_index("column")["shared"]
    for column in ("cell", "drug", "tissue"):
        assert found[column] == len(set(table[column].iloc[fold.train]) & set(table[column].iloc[fold.test]))
    assert found["cell + drug"] == 0
    assert found["drug"] == 12
    assert leaks(table, fold)["column"].tolist() == ["cell", "drug", "structure", "tissue"]


def test_a_row_on_both_sides_is_found():
    with pytest.raises(ValueError, match="share no row; 1 stand in both"):
        require_disjoint(screen(), Fold(np.array([0, 1]), np.array([1, 2])), "cell")


def test_split_from_follows_the_user():
    table = pd.DataFrame({"fold": [10, 2, 10, 2, 1]})
    assert [fold.test.tolist() for fold in split_from(table)] == [[4], [1, 3], [0, 2]]
    named = pd.DataFrame({"part": ["train", "b", "a", "b"]})
    assert [fold.train.tolist() for fold in split_from(named, "part")] == [[0, 1, 3], [0, 2]]
    with pytest.raises(ValueError, match="at least one fold besides 'train'"):
        split_from(named.assign(part="train"), "part")
    with pytest.raises(ValueError, match="rows to train on"):
        split_from(named.assign(part="a"), "part")


@given(seed=st.integers(0, 1000), share=st.floats(0.05, 0.6))
@settings(max_examples=20, deadline=None)
def test_holdout_takes_about_its_share(seed, share):
    table = screen(seed=seed)
    keep = (table["drug"] == "d5").to_numpy()
    fold = holdout(table, by="cell", share=share, seed=seed, keep=keep)
    largest = table.loc[~keep, "cell"].value_counts().max()
    assert abs(len(fold.test) - share * (~keep).sum()) <= largest
    assert len(fold.test)
    assert not set(table["cell"].iloc[fold.test]) & set(
        table.loc[~keep].loc[lambda t: t.index.isin(fold.train), "cell"]
    )
    np.testing.assert_array_equal(np.sort(np.concatenate(fold)), np.arange(len(table)))


def test_inputs_and_random_state_stay_untouched():
    table = screen()
    before, state = table.copy(), np.random.get_state()[1].copy()  # noqa: NPY002
    split(table, by="structure")
    holdout(table)
    pd.testing.assert_frame_equal(table, before)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
