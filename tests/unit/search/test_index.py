"""Exact search: the naive twin, independence of blocks, batches and filters, saving, refusals."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from galenic.search import SimilarityIndex, nearest_names
from galenic.search import index as module


@pytest.fixture(params=["cosine", "cosine with offsets", "euclidean"])
def index(request, rng):
    vectors = rng.normal(size=(500, 8)).astype(np.float32)
    vectors[100:140] = vectors[60:100]  # exact ties
    table = pd.DataFrame(
        {"cell": rng.choice(["A375", "PC3", "MCF7"], 500), "time": rng.choice([6, 24], 500), "dose": rng.random(500)},
        index=[f"id{i:03d}" for i in rng.permutation(500)],
    )
    offsets = rng.normal(0, 0.3, size=500).astype(np.float32) if "offsets" in request.param else None
    if offsets is not None:
        offsets[100:140] = offsets[60:100]
    return SimilarityIndex(vectors, table, metric=request.param.split()[0], offsets=offsets)


def part_of(index, rows):
    """An index of some of the rows."""
    offsets = None if index.offsets is None else index.offsets[rows]
    return SimilarityIndex(index.vectors[rows], index.table.iloc[rows], metric=index.metric, offsets=offsets)


def naive(index, query, k, rows=None):
    """Ids by sorting all similarities in double precision, ties by id."""
    vectors = index.vectors.astype(np.float64)
    if index.metric == "cosine":
        values = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
        values = values - (0 if index.offsets is None else index.offsets)
    else:
        values = -np.linalg.norm(vectors - query, axis=1)
    rows = range(len(index)) if rows is None else rows
    order = sorted(rows, key=lambda row: (-round(values[row], 12), index.table.index[row]))[:k]
    return [index.table.index[row] for row in order], values[order]


def test_equals_sorting_everything(index, rng):
    queries = np.vstack([rng.normal(size=(6, 8)), index.vectors[60:64]])
    result = index.search(queries, k=25)
    assert list(result) == ["query", "rank", "id", "similarity", "cell", "time", "dose"]
    for at, query in enumerate(queries.astype(np.float64)):
        ids, values = naive(index, query, 25)
        own = result[result["query"] == at]
        assert own["id"].tolist() == ids
        assert own["rank"].tolist() == list(range(1, 26))
        np.testing.assert_allclose(own["similarity"], values, atol=1e-9)
        pd.testing.assert_frame_equal(
            own.set_index("id")[["cell", "time", "dose"]], index.table.loc[ids], check_names=False
        )


def test_division_of_the_work_changes_nothing(index, rng, monkeypatch):
    queries = rng.normal(size=(9, 8))
    whole = index.nearest(queries, 30)
    for at in range(9):
        one = index.nearest(queries[at], 30)
        np.testing.assert_array_equal(one.rows[0], whole.rows[at])
        np.testing.assert_array_equal(one.similarity[0], whole.similarity[at])
    monkeypatch.setattr(module, "ROWS", 37)
    monkeypatch.setattr(module, "BLOCK", 100)
    again = index.nearest(queries, 30)
    np.testing.assert_array_equal(again.rows, whole.rows)
    np.testing.assert_array_equal(again.similarity, whole.similarity)


@pytest.mark.parametrize(
    "where",
    [{"cell": "A375"}, {"cell": ["A375", "PC3"], "time": 24}, {"dose": (0.2, 0.6)}, {"time": 6, "dose": (0, 0.01)}],
    ids=str,
)
def test_a_filter_is_a_search_in_the_subset(index, rng, where):
    queries = rng.normal(size=(4, 8))
    mask = index.mask(where)
    rows = np.flatnonzero(mask)
    subset = part_of(index, rows)
    left, right = index.search(queries, 20, where=where), subset.search(queries, 20)
    pd.testing.assert_frame_equal(left, right)
    pd.testing.assert_frame_equal(index.search(queries, 20, where=mask), left)
    assert len(left) == 4 * min(20, len(rows))


def test_a_filter_that_leaves_nothing_gives_no_hits(index):
    result = index.search(np.ones(8), where=np.zeros(500, dtype=bool))
    assert len(result) == 0
    assert "similarity" in result
    assert len(index.search(np.zeros((0, 8)))) == 0


def test_order_of_rows_changes_nothing(index, rng):
    order = rng.permutation(500)
    moved = part_of(index, order)
    queries = rng.normal(size=(3, 8))
    pd.testing.assert_frame_equal(moved.search(queries, 40), index.search(queries, 40))


@pytest.mark.parametrize("memory_map", [False, True])
def test_a_saved_index_answers_the_same(index, rng, tmp_path, memory_map):
    index.save(tmp_path / "index")
    loaded = SimilarityIndex.load(tmp_path / "index", memory_map=memory_map)
    np.testing.assert_array_equal(loaded.vectors, index.vectors)
    queries = rng.normal(size=(3, 8))
    pd.testing.assert_frame_equal(loaded.search(queries), index.search(queries))
    files = {"index.json", "table.parquet", "vectors.npy"} | ({"offsets.npy"} if index.offsets is not None else set())
    assert {path.name for path in (tmp_path / "index").iterdir()} == files


def test_an_index_of_the_first_format_is_read(index, rng, tmp_path):
    plain = SimilarityIndex(index.vectors, index.table, metric=index.metric)
    index.save(tmp_path)
    plain.save(tmp_path)  # offsets of what lay there before do not stay
    about = json.loads((tmp_path / "index.json").read_text())
    del about["offsets"]
    (tmp_path / "index.json").write_text(json.dumps({**about, "format": 1}))
    queries = rng.normal(size=(3, 8))
    pd.testing.assert_frame_equal(SimilarityIndex.load(tmp_path).search(queries), plain.search(queries))


def test_all_similarities_are_those_of_a_search(index, rng):
    queries = rng.normal(size=(3, 8))
    where = {"cell": "A375"}
    rows = np.flatnonzero(index.mask(where))
    hits, values = index.nearest(queries, 500, where=where), index.similarities(queries, where=where)
    assert values.shape == (3, len(rows))
    for at in range(3):
        np.testing.assert_array_equal(hits.similarity[at], values[at, np.searchsorted(rows, hits.rows[at])])
    assert index.similarities(queries).shape == (3, 500)
    assert index.similarities(queries, where=np.zeros(500, dtype=bool)).shape == (3, 0)


def test_offsets_turn_down_what_resembles_everything(rng):
    vectors = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    index = SimilarityIndex(vectors, pd.DataFrame(index=["hub", "own", "other"]), offsets=np.array([0.5, 0.0, 0.0]))
    found = index.search(np.array([1.0, 0.0]), 2)
    assert found["id"].tolist() == ["own", "hub"]
    assert found["similarity"].iloc[1] == 0.5


def test_vectors_of_ids_find_themselves(index):
    hits = index.search(index.vectors_of(["id007", "id300"]), k=2, names=["seven", "three hundred"])
    assert hits["query"].tolist() == ["seven"] * 2 + ["three hundred"] * 2
    for name, own in hits.groupby("query"):
        if index.offsets is None:  # it, or its exact copy, comes first
            assert {"seven": "id007", "three hundred": "id300"}[name] in own["id"].tolist()
            assert own["similarity"].iloc[0] == pytest.approx(0 if index.metric == "euclidean" else 1)
    with pytest.raises(KeyError, match=r"1 of 2 ids .* Near 'ID0077': 'id077'"):
        index.vectors_of(["id007", "ID0077"])


def test_far_from_the_origin_distances_stay_exact(rng):
    vectors = (1_000 + rng.normal(size=(300, 4))).astype(np.float32)
    index = SimilarityIndex(vectors, pd.DataFrame(index=range(300)), metric="euclidean")
    query = vectors[17].astype(np.float64) + 0.01
    assert index.search(query, 10)["id"].tolist() == naive(index, query, 10)[0]


def test_refusals(index, tmp_path):
    table = pd.DataFrame(index=["a", "b"])
    with pytest.raises(ValueError, match="received 'dot'"):
        SimilarityIndex(np.eye(2), table, metric="dot")
    with pytest.raises(ValueError, match=r"matrix of 2 rows and any columns; received shape \(3, 3\)"):
        SimilarityIndex(np.eye(3), table)
    with pytest.raises(ValueError, match=r"1 of 2 repeat \(first: 'a'\)"):
        SimilarityIndex(np.eye(2), pd.DataFrame(index=["a", "a"]))
    with pytest.raises(ValueError, match="'rank' are those of results"):
        SimilarityIndex(np.eye(2), table.assign(rank=1))
    with pytest.raises(ValueError, match="1 of 2 rows of the vectors of an index are all zero"):
        SimilarityIndex(np.diag([1.0, 0.0]), table)
    for offsets, metric in ((np.zeros(3), "cosine"), (np.array([0.0, np.nan]), "cosine"), (np.zeros(2), "euclidean")):
        with pytest.raises(ValueError, match="one finite number for each of 2 rows of a cosine index"):
            SimilarityIndex(np.eye(2), table, metric=metric, offsets=offsets)
    with pytest.raises(ValueError, match=r"any rows and 8 columns; received shape \(1, 3\)"):
        index.search(np.ones(3))
    with pytest.raises(ValueError, match="at least 1; received 0"):
        index.search(np.ones(8), 0)
    with pytest.raises(ValueError, match="2 names for 1 queries"):
        index.search(np.ones(8), names=["a", "b"])
    with pytest.raises(ValueError, match=r"1 of 2 are in no row \(first: 'A357'\). Near 'A357': 'A375'"):
        index.mask({"cell": ["PC3", "A357"]})
    with pytest.raises(ValueError, match="needs the column"):
        index.mask({"plate": 1})
    with pytest.raises(ValueError, match="range is two numbers"):
        index.mask({"cell": ("A375", "PC3")})
    with pytest.raises(ValueError, match="mask should hold True or False for each of 500"):
        index.search(np.ones(8), where=np.ones(3, dtype=bool))
    with pytest.raises(FileNotFoundError, match="has none"):
        SimilarityIndex.load(tmp_path)
    index.save(tmp_path)
    about = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps({**about, "n": 3}))
    with pytest.raises(ValueError, match="tells of 3 vectors"):
        SimilarityIndex.load(tmp_path)
    (tmp_path / "index.json").write_text(json.dumps({**about, "format": 99}))
    with pytest.raises(ValueError, match="up to format 2"):
        SimilarityIndex.load(tmp_path)


def test_names_near_an_unknown_one():
    known = ["vorinostat", "Trichostatin-A", "BRD-K81418486", "BRD-K81418486-001-03-1", "BRD-A19037878"]
    assert nearest_names("VORINOSTAT", known)[0] == "vorinostat"
    assert nearest_names("trichostatin a", known)[0] == "Trichostatin-A"
    assert nearest_names("BRD-K81418486-999-01-1", known, n=2) == ["BRD-K81418486", "BRD-K81418486-001-03-1"]
    assert nearest_names("nothing like it", known) == []
