"""Batches: every row once, from anything that gives rows; pairs with each cell and drug encoded once."""

from __future__ import annotations

import threading
from itertools import chain, pairwise

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from galenic.train import Batches, PairBatches


class Counted:
    """A matrix on a disk that is slow to read and only gives ascending rows."""

    def __init__(self, matrix):
        self.matrix, self.shape, self.reads = matrix, matrix.shape, []

    def __getitem__(self, rows):
        assert (np.diff(rows) > 0).all()
        self.reads.append(len(rows))
        return self.matrix[rows]


def seen(batches, **where):
    return [batch["row"].tolist() for batch in batches.epoch(**where)]


def flat(epoch):
    return list(chain.from_iterable(epoch))


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 40), size=st.integers(1, 12), shuffle=st.booleans())
def test_every_row_comes_once_and_no_row_alone(n, size, shuffle):
    batches = Batches({"row": np.arange(n)}, batch_size=size, shuffle=shuffle)
    epoch = seen(batches, epoch=3, seed=1)
    assert sorted(flat(epoch)) == list(range(n))
    assert len(epoch) == len(batches)
    if size > 1 and n > 1:
        assert min(map(len, epoch)) > 1
    if not shuffle:
        assert flat(epoch) == list(range(n))


def test_the_order_depends_on_seed_and_epoch_alone():
    batches = Batches({"row": np.arange(50)}, batch_size=8)
    first = seen(batches, epoch=2, seed=5)
    assert first == seen(batches, epoch=2, seed=5)
    assert first != seen(batches, epoch=3, seed=5)
    assert first != seen(batches, epoch=2, seed=6)


@pytest.mark.parametrize("world_size", [2, 3])
@pytest.mark.parametrize("n", [50, 51])
def test_processes_divide_each_batch(n, world_size):
    batches = Batches({"row": np.arange(n)}, batch_size=8)
    shares = [seen(batches, seed=1, rank=rank, world_size=world_size) for rank in range(world_size)]
    together = [flat(parts) for parts in zip(*shares, strict=True)]
    assert [len(batch) for batch in together] == batches.sizes(world_size).tolist()
    alone = seen(batches, seed=1)
    few = n % 8 < world_size  # rows left over for which there are too many processes join the batch before
    assert together == ([*alone[:-2], sorted(alone[-2] + alone[-1])] if few and len(alone) > len(together) else alone)


def test_a_batch_smaller_than_the_number_of_processes_is_refused():
    with pytest.raises(ValueError, match=r"a row for each of 9 processes at least; the smallest has 8"):
        Batches({"row": np.arange(40)}, batch_size=8).epoch(world_size=9)


class Slow:
    """Rows that come from far away, and whether two were ever read at the same time."""

    def __init__(self, n):
        self.shape, self.reads, self.open = (n, 1), [], 0

    def __getitem__(self, rows):
        assert self.open == 0
        self.open += 1
        self.reads.append(threading.current_thread().name)
        self.open -= 1
        return np.asarray(rows, dtype=np.float32)[:, None]


def test_what_is_not_in_memory_is_read_ahead_by_one_other_thread():
    far = Slow(40)
    batches = Batches({"x": far}, batch_size=8, resident=0)
    one = batches.epoch(seed=1)
    first = next(one)
    assert len(far.reads) <= 3
    rest = list(one)
    assert flat([batch["x"][:, 0].tolist() for batch in [first, *rest]]) == flat(seen_rows(40, 8, seed=1))
    assert threading.current_thread().name not in far.reads
    stopped = batches.epoch(seed=2)
    next(stopped)
    stopped.close()
    assert not [thread for thread in threading.enumerate() if thread.name in far.reads]


def test_an_error_of_the_reading_thread_arrives():
    class Broken(Slow):
        def __getitem__(self, rows):
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(Batches({"x": Broken(20)}, batch_size=8, resident=0))


def seen_rows(n, size, seed):
    return seen(Batches({"row": np.arange(n)}, batch_size=size), seed=seed)


@pytest.fixture
def matrix(rng):
    values = rng.normal(size=(60, 7)).astype("float32")
    values[values < 0] = 0
    return values


@pytest.fixture(
    params=[
        "array",
        "double",
        "memmap",
        "h5py",
        "backed",
        "backed sparse",
        "csr",
        "csr_array",
        "coo",
        "tensor",
        "frame",
        "read only",
    ]
)
def source(request, matrix, tmp_path):
    kind = request.param
    if kind.startswith("backed"):
        adata = anndata.AnnData(sp.csr_matrix(matrix) if "sparse" in kind else matrix)
        adata.write_h5ad(tmp_path / "x.h5ad")
        backed = anndata.read_h5ad(tmp_path / "x.h5ad", backed="r")
        yield backed.X
        backed.file.close()
    elif kind == "h5py":
        with h5py.File(tmp_path / "x.h5", "w") as file:
            yield file.create_dataset("x", data=matrix)
    elif kind == "memmap":
        np.save(tmp_path / "x.npy", matrix)
        yield np.load(tmp_path / "x.npy", mmap_mode="r")
    elif kind == "read only":
        matrix = matrix.copy()
        matrix.flags.writeable = False
        yield matrix
    else:
        make = {
            "double": lambda x: x.astype("float64"),
            "csr": sp.csr_matrix,
            "csr_array": sp.csr_array,
            "coo": sp.coo_matrix,
            "tensor": torch.tensor,
            "frame": pd.DataFrame,
        }
        yield make.get(kind, np.asarray)(matrix)


@pytest.mark.parametrize("resident", [0, 2**20])
@pytest.mark.parametrize("shuffle", [True, False])
def test_any_source_gives_the_same_rows(source, matrix, resident, shuffle):
    rows = np.array([5, 3, 3, 40, 59, 0, 7])  # unordered and repeated, as in a bootstrap
    batches = Batches({"x": source, "row": np.arange(60)}, batch_size=3, rows=rows, shuffle=shuffle, resident=resident)
    for batch in batches.epoch(1):
        assert batch["x"].dtype == torch.float32
        assert batch["x"].numpy() == pytest.approx(matrix[batch["row"].numpy()])
    assert sorted(flat(seen(batches))) == sorted(rows)


def test_of_a_large_matrix_only_the_rows_of_the_batch_are_read(matrix):
    source = Counted(matrix)
    batches = Batches(source, batch_size=8, rows=np.arange(31), resident=0)
    batches = list(batches)
    assert source.reads == [len(batch["x"]) for batch in batches]
    assert max(source.reads) <= 9
    assert sum(source.reads) == 31


def test_inputs_are_not_edited_by_what_happens_to_a_batch(matrix):
    before = matrix.copy()
    for batch in Batches(matrix, batch_size=60, shuffle=False):
        batch["x"].zero_()
    assert (matrix == before).all()


def test_numbers_keep_their_kind():
    arrays = {"x": np.float64([1.5, 2]), "label": np.uint8([1, 2]), "known": [True, False]}
    batch = next(iter(Batches(arrays, batch_size=2)))
    assert {name: tensor.dtype for name, tensor in batch.items()} == {
        "x": torch.float32,
        "label": torch.int64,
        "known": torch.bool,
    }


def test_a_mask_selects_rows():
    assert seen(Batches({"row": np.arange(4)}, batch_size=4, rows=np.array([True, False, True, False]))) == [[0, 2]]


@pytest.mark.parametrize(
    ("arrays", "more", "message"),
    [
        ({"x": np.zeros(3), "y": np.zeros(4)}, {}, "'x' 3, 'y' 4"),
        ({}, {}, "no array"),
        (np.array(["a", "b"]), {}, "should hold numbers"),
        (np.zeros(()), {}, "should give rows"),
        (np.zeros(3), {"rows": [0, -1]}, "1 of 2 are not"),
        (np.zeros(3), {"rows": [3]}, "from 0 to 2"),
        (np.zeros(3), {"rows": ["a"]}, "row numbers or a mask"),
        (np.zeros(3), {"rows": []}, "received 0 rows"),
        (np.zeros(3), {"batch_size": 0}, "batch_size=0"),
    ],
)
def test_what_cannot_be_batched_is_refused(arrays, more, message):
    with pytest.raises(ValueError, match=message):
        Batches(arrays, **{"batch_size": 2, **more})


@pytest.fixture
def pairs(rng):
    """Every other of 12 x 9 pairs."""
    cell, drug = np.divmod(np.flatnonzero(rng.random(108) < 0.5), 9)
    return {"cell": cell, "drug": drug, "response": rng.normal(size=len(cell))}


@pytest.fixture
def sides(rng):
    return {"x": rng.normal(size=(12, 4))}, {"atoms": rng.normal(size=(9, 3, 5)), "mask": rng.random((9, 3)) < 0.5}


@pytest.mark.parametrize("block", [None, "cell", "drug"])
def test_gathering_equals_encoding_each_pair(pairs, sides, block):
    torch.manual_seed(0)
    cells, drugs = sides
    encode_cell, encode_drug = nn.Linear(4, 2).double(), nn.Linear(15, 2).double()
    x, atoms = torch.tensor(cells["x"]), torch.tensor(drugs["atoms"]).flatten(1)
    truth = {
        (c, d): (encode_cell(x[c]) * encode_drug(atoms[d])).sum().item()
        for c, d in zip(pairs["cell"], pairs["drug"], strict=True)
    }
    asked = {**pairs, "pair": np.arange(len(pairs["cell"]))}
    came = []
    for batch in PairBatches(cells, drugs, asked, batch_size=16, block=block).epoch(1):
        for side, place in (("cells", "cell"), ("drugs", "drug")):
            n = len(next(iter(batch[side].values())))
            assert sorted(set(batch[place].tolist())) == list(range(n))  # each distinct one, once
        encoded = encode_cell(batch["cells"]["x"].double())[batch["cell"]]
        encoded = encoded * encode_drug(batch["drugs"]["atoms"].double().flatten(1))[batch["drug"]]
        for row, value in zip(batch["pair"].tolist(), encoded.sum(1).tolist(), strict=True):
            assert value == pytest.approx(truth[pairs["cell"][row], pairs["drug"][row]], abs=1e-5)
        assert batch["response"].numpy() == pytest.approx(pairs["response"][batch["pair"]].astype("float32"))
        assert batch["drugs"]["mask"].dtype == torch.bool
        came += batch["pair"].tolist()
    assert sorted(came) == list(range(len(pairs["cell"])))


def test_blocks_keep_the_distinct_cells_of_a_batch_few(pairs, sides):
    def distinct(block):
        batches = PairBatches(*sides, pairs, batch_size=16, block=block)
        return max(len(batch["cells"]["x"]) for batch in batches.epoch(1, seed=2))

    # A batch of 16 pairs holds the pairs of about 4 of the 12 cells.
    assert distinct("cell") <= 7 < distinct(None)


def test_blocks_go_through_cells_in_a_new_order(pairs, sides):
    def order(epoch):
        batches = PairBatches(*sides, {**pairs, "number": pairs["cell"]}, batch_size=1, block="cell")
        return [batch["number"].item() for batch in batches.epoch(epoch)]

    first = order(0)
    assert first != order(1)
    assert sum(a != b for a, b in pairwise(first)) == len(set(first)) - 1


def test_pairs_of_some_rows_only(pairs, sides):
    batch = next(iter(PairBatches(*sides, pairs, batch_size=9, rows=[4, 2], shuffle=False)))
    assert batch["response"].numpy() == pytest.approx(pairs["response"][[4, 2]].astype("float32"))


def test_a_cell_that_was_not_found_is_refused(pairs, sides):
    with pytest.raises(ValueError, match=r"cell of the pairs should be from 0 to 11; 1 of .* \(first: -1\)"):
        PairBatches(*sides, {**pairs, "cell": np.r_[-1, pairs["cell"][1:]]}, batch_size=4)
    with pytest.raises(ValueError, match="should have 'cell' and 'drug'"):
        PairBatches(*sides, {"cell": pairs["cell"]}, batch_size=4)
    with pytest.raises(ValueError, match="block should be"):
        PairBatches(*sides, pairs, batch_size=4, block="tissue")


def test_rows_of_a_group_stand_together_in_a_new_order_each_epoch() -> None:
    groups = np.repeat(np.arange(10), 4)[np.random.default_rng(0).permutation(40)]
    batches = Batches({"row": np.arange(40)}, batch_size=8, together=groups)
    epochs = [[groups[batch["row"].numpy()] for batch in batches.epoch(number)] for number in range(2)]
    for epoch in epochs:
        assert all(len(np.unique(batch)) == 2 for batch in epoch)
        assert sorted(np.concatenate(epoch).tolist()) == sorted(groups.tolist())
    assert [batch.tolist() for batch in epochs[0]] != [batch.tolist() for batch in epochs[1]]
