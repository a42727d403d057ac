"""One pass over many cells: in whatever batches, chunks, processes and attempts, the vectors are the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from joblib._parallel_backends import ThreadingBackend
from torch import nn

from galenic.foundation.chunks import MANIFEST
from galenic.foundation.ragged import Ragged, batches
from galenic.foundation.running import encode_cells

N, WIDTH = 23, 5


class Weighted(nn.Module):
    """Sum over the tokens of a cell, each a learned vector times its value, then squashed; counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(1)
        self.vectors = nn.Embedding.from_pretrained(torch.randn(40, WIDTH, generator=random))
        self.register_buffer("scale", torch.tensor(0.5))
        self.n_cells = 0
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, fields, real):
        assert fields["gene"].dtype == torch.int64
        assert fields["value"].dtype == torch.float32
        assert not self.training
        assert not torch.is_grad_enabled()
        self.n_cells += len(real)
        self.shapes.append(tuple(real.shape))
        weighted = self.vectors(fields["gene"]) * fields["value"][..., None] * real[..., None]
        return torch.tanh(self.scale * weighted.sum(1))


def cells(seed: int = 0, n: int = N) -> Ragged:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 12, n)
    lengths[4] = 0
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    value = rng.random(indptr[-1]).astype(np.float32)
    return Ragged(indptr, {"gene": rng.integers(0, 40, indptr[-1]).astype(np.int32), "value": value})


def part(tokens: Ragged, start: int, stop: int) -> Ragged:
    indptr = tokens.indptr[start : stop + 1]
    inside = slice(indptr[0], indptr[-1])
    return Ragged(indptr - indptr[0], {name: values[inside] for name, values in tokens.fields.items()})


def run(net: nn.Module | None = None, tokens: Ragged | None = None, **more) -> np.ndarray:
    tokens = cells() if tokens is None else tokens
    how = {"n_cells": len(tokens), "width": WIDTH, "device": "cpu", "chunk_cells": 4, **more}
    return encode_cells(lambda start, stop: part(tokens, start, stop), net or Weighted(), **how)


def slowly(tokens: Ragged) -> np.ndarray:
    """One cell at a time, without padding."""
    net, found = Weighted().eval(), np.full((len(tokens), WIDTH), np.nan, dtype=np.float32)
    for i in range(len(tokens)):
        inside = slice(tokens.indptr[i], tokens.indptr[i + 1])
        if inside.start == inside.stop:
            continue
        fields = {
            "gene": torch.from_numpy(tokens.fields["gene"][inside]).long()[None],
            "value": torch.from_numpy(tokens.fields["value"][inside])[None],
        }
        with torch.no_grad():
            found[i] = net(fields, torch.ones(1, len(fields["gene"][0]), dtype=torch.bool))[0].numpy()
    return found


def test_vectors_are_those_of_one_cell_at_a_time_in_the_order_of_the_cells():
    found = run()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, slowly(cells()), atol=1e-6)
    assert np.isnan(found[4]).all()
    assert np.isfinite(np.delete(found, 4, axis=0)).all()


@pytest.mark.parametrize("chunk_cells", [1, 3, 23, 100])
@pytest.mark.parametrize("max_tokens", [1, 20, 10_000])
def test_sizes_of_chunks_and_batches_do_not_matter(chunk_cells, max_tokens):
    found = run(chunk_cells=chunk_cells, max_tokens_in_batch=max_tokens)
    np.testing.assert_allclose(found, run(), atol=1e-6)


def test_batches_take_every_cell_once_within_the_bound_and_of_like_length(rng):
    lengths = rng.integers(0, 300, 500)
    found = list(batches(lengths, 2_000))
    assert sorted(np.concatenate(found).tolist()) == np.flatnonzero(lengths > 0).tolist()
    padded = sum(len(one) * lengths[one].max() for one in found)
    assert all(len(one) * lengths[one].max() <= 2_000 for one in found)
    assert padded < 1.1 * lengths.sum()
    assert len(found) < 60
    assert [one.tolist() for one in batches(np.array([5, 50, 5]), 10)] == [[1], [0, 2]]
    assert list(batches(np.zeros(3, dtype=int), 10)) == []


def test_padding_is_a_loop_over_the_cells():
    tokens, chosen = cells(), np.array([7, 4, 0, 7])
    tables, real = tokens.padded(chosen)
    for row, cell in enumerate(chosen):
        inside = slice(tokens.indptr[cell], tokens.indptr[cell + 1])
        assert real[row].sum() == tokens.lengths[cell]
        for name, table in tables.items():
            assert table[row][real[row]].tolist() == tokens.fields[name][inside].tolist()
            assert not table[row][~real[row]].any()


def test_a_checksum_changes_with_anything_that_is_seen():
    tokens = cells()
    digests = {tokens.digest(), Ragged(tokens.indptr, {**tokens.fields, "more": tokens.fields["gene"]}).digest()}
    for name, values in tokens.fields.items():
        changed = values.copy()
        changed[3] += 1
        digests.add(Ragged(tokens.indptr, {**tokens.fields, name: changed}).digest())
    moved = tokens.indptr.copy()
    moved[1] += 1
    digests.add(Ragged(moved, tokens.fields).digest())
    assert len(digests) == 5
    assert cells().digest() in digests


class OneByOne(ThreadingBackend):
    """A backend that can only give all results at once, as those of some clusters."""

    supports_return_generator = False


joblib.register_parallel_backend("all at once", OneByOne)


@pytest.mark.parametrize("backend", ["threading", "all at once"])
def test_processes_do_not_matter(backend, tmp_path):
    net = Weighted()
    with joblib.parallel_config(backend=backend):
        found = run(net, n_jobs=3, checkpoint=tmp_path / "kept", chunk_cells=2)
        again = run(net, n_jobs=3, checkpoint=tmp_path / "kept", chunk_cells=2)
    np.testing.assert_allclose(found, run(), atol=1e-6)
    assert np.array_equal(found, again, equal_nan=True)


@pytest.mark.slow
def test_processes_of_their_own_give_the_same():
    script = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
import numpy as np
from test_running import run
if __name__ == "__main__":
    assert np.allclose(run(n_jobs=2), run(), atol=1e-6, equal_nan=True)
"""
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=200)
    assert shown.returncode == 0, shown.stderr


def test_interrupted_work_goes_on_and_ends_the_same(tmp_path):
    class StoppedError(Exception):
        pass

    def source(start, stop):
        if start >= 12 and dies:
            raise StoppedError
        return part(cells(), start, stop)

    how = {"n_cells": N, "width": WIDTH, "device": "cpu", "chunk_cells": 4, "checkpoint": tmp_path / "kept"}
    dies = True
    with pytest.raises(StoppedError):
        encode_cells(source, Weighted(), **how)
    dies, net = False, Weighted()
    assert np.array_equal(encode_cells(source, net, **how), run(), equal_nan=True)
    assert net.n_cells == N - 12
    net = Weighted()
    encode_cells(source, net, **how)
    assert net.n_cells == 0
    assert not list((tmp_path / "kept").glob("*.part"))


def test_a_killed_process_leaves_whole_chunks(tmp_path):
    script = f"""
import os, sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_running import *
def source(start, stop):
    if start >= 12:
        os._exit(9)
    return part(cells(), start, stop)
encode_cells(source, Weighted(), n_cells=N, width=WIDTH, device="cpu", chunk_cells=4, checkpoint=sys.argv[1])
"""
    kept = tmp_path / "kept"
    assert subprocess.run([sys.executable, "-c", script, kept], timeout=100).returncode == 9
    assert len(list(kept.glob("chunk-*.npy"))) == 3
    net = Weighted()
    assert np.array_equal(run(net, checkpoint=kept), run(), equal_nan=True)
    assert net.n_cells == N - 12


def test_changed_data_are_encoded_again_and_the_rest_is_not(tmp_path):
    run(checkpoint=tmp_path / "kept")
    tokens = cells()
    tokens.fields["value"][tokens.indptr[9]] += 1
    net = Weighted()
    found = run(net, tokens, checkpoint=tmp_path / "kept")
    assert net.n_cells == 4
    np.testing.assert_allclose(found, slowly(tokens), atol=1e-6)
    assert len(list((tmp_path / "kept").glob("chunk-*.npy"))) == 6


def test_a_damaged_chunk_is_encoded_again(tmp_path):
    run(checkpoint=tmp_path / "kept")
    chunk = sorted((tmp_path / "kept").glob("chunk-*.npy"))[2]
    for content in (chunk.read_bytes()[:-30], b"", b"\x93NUMPY nonsense"):
        chunk.write_bytes(content)
        net = Weighted()
        assert np.array_equal(run(net, checkpoint=tmp_path / "kept"), run(), equal_nan=True)
        assert net.n_cells == 4


def test_folders_of_other_work_are_refused(tmp_path):
    kept = tmp_path / "kept"
    run(checkpoint=kept, settings={"weights": "abc", "depth": "t4"})
    with pytest.raises(ValueError, match=r"differs in 1: depth was 't4', now 'a5'"):
        run(checkpoint=kept, settings={"weights": "abc", "depth": "a5"})
    with pytest.raises(ValueError, match="chunk_cells was 4, now 5"):
        run(checkpoint=kept, settings={"weights": "abc", "depth": "t4"}, chunk_cells=5)
    with pytest.raises(ValueError, match="precision"):
        run(checkpoint=kept, settings={"weights": "abc", "depth": "t4"}, precision="bfloat16")
    (kept / MANIFEST).write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        run(checkpoint=kept)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(ValueError, match="something else"):
        run(checkpoint=tmp_path / "mine")
    with pytest.raises(ValueError, match="something else"):
        run(checkpoint=tmp_path / "mine" / "thesis.txt")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"


def test_out_is_filled_in_place(tmp_path):
    out = np.lib.format.open_memmap(tmp_path / "out.npy", mode="w+", dtype=np.float32, shape=(N, WIDTH))
    assert run(out=out) is out
    assert np.array_equal(np.load(tmp_path / "out.npy"), run(), equal_nan=True)
    for wrong in (np.empty((N, WIDTH)), np.empty((N, 2), dtype=np.float32)):
        with pytest.raises(ValueError, match="out should be"):
            run(out=wrong)


def test_half_the_bits_are_right_to_two_digits():
    np.testing.assert_allclose(run(precision="bfloat16"), run(), atol=0.02)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"chunk_cells": 0}, "chunk_cells"),
        ({"max_tokens_in_batch": 0}, "max_tokens_in_batch"),
        ({"precision": "float16"}, "precision"),
        ({"n_jobs": 0}, "n_jobs"),
        ({"n_jobs": 2, "fabric": object()}, "either"),
        ({"device": "abacus"}, "device"),
        ({"n_cells": N + 2}, "source should give"),
    ],
)
def test_what_is_not_allowed_is_told(wrong, said):
    with pytest.raises(ValueError, match=said):
        run(**wrong)


def test_vectors_that_are_not_finite_are_refused():
    net = Weighted()
    net.vectors.weight[3] = torch.nan
    with pytest.raises(ValueError, match="should be finite"):
        run(net)


def test_the_callers_random_state_and_weights_stay():
    torch.manual_seed(3)
    np_state, state, net = np.random.get_state()[1].copy(), torch.get_rng_state(), Weighted()  # noqa: NPY002
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with joblib.parallel_config(backend="threading"):
        run(net, n_jobs=2)
    run(net)
    assert torch.equal(state, torch.get_rng_state())
    assert (np_state == np.random.get_state()[1]).all()  # noqa: NPY002
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


def test_an_interruption_says_how_far_it_was(tmp_path):
    def source(start, stop):
        if start >= 8:
            raise KeyboardInterrupt
        return part(cells(), start, stop)

    how = {"n_cells": N, "width": WIDTH, "device": "cpu", "chunk_cells": 4}
    with pytest.raises(KeyboardInterrupt, match="8 of 23 cells; name a checkpoint"):
        encode_cells(source, Weighted(), **how)
    with pytest.raises(KeyboardInterrupt, match="8 of 23 cells; the same command goes on"):
        encode_cells(source, Weighted(), checkpoint=tmp_path / "kept", **how)


@pytest.mark.parametrize("terminal", [True, False])
def test_the_bar_shows_on_terminals_only_and_if_it_is_wanted(terminal, capfd, monkeypatch):
    import rich.console

    monkeypatch.setattr(rich.console.Console, "is_terminal", terminal)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    run(progress=False)
    assert capfd.readouterr() == ("", "")
    run(progress=True)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert ("23/23" in shown.err) == terminal


def test_no_cells_give_no_vectors():
    assert run(n_cells=0).shape == (0, WIDTH)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:lightning", "ignore::FutureWarning:lightning")
def test_a_fabric_of_one_gives_the_same():
    lightning = pytest.importorskip("lightning", reason="lightning is in the extra [scale]")
    fabric = lightning.Fabric(accelerator="cpu", devices=1)
    assert np.array_equal(run(fabric=fabric), run(), equal_nan=True)


TWO_PROCESSES = """
import sys
sys.path.insert(0, sys.argv[2])
import lightning, json
from test_running import *

if __name__ == "__main__":
    fabric = lightning.Fabric(accelerator="cpu", devices=2, strategy="ddp")
    fabric.launch()
    folder = Path(sys.argv[1])
    results = []
    for more in ({}, {"chunk_cells": 3}, {"checkpoint": folder / "kept"}, {"checkpoint": folder / "kept"}):
        net = Weighted()
        found = run(net, fabric=fabric, **more)
        same = bool(np.array_equal(found, run(**{**more, "checkpoint": None}), equal_nan=True))
        results.append([list(found.shape), same, net.n_cells])
    (folder / f"{fabric.global_rank}.json").write_text(json.dumps(results))
"""


@pytest.mark.slow
def test_two_processes_of_a_fabric_share_the_work(tmp_path):
    pytest.importorskip("lightning", reason="lightning is in the extra [scale]")
    script = tmp_path / "script.py"
    script.write_text(TWO_PROCESSES)
    shown = subprocess.run(
        [sys.executable, script, tmp_path, Path(__file__).parent], capture_output=True, text=True, timeout=200
    )
    assert shown.returncode == 0, shown.stderr
    one, other = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert [shape for shape, _, _ in one] == [[N, WIDTH]] * 4
    assert all(same for _, same, _ in one)
    assert [shape for shape, _, _ in other] == [[0, WIDTH]] * 4
    encoded = [a[2] + b[2] for a, b in zip(one, other, strict=True)]
    assert encoded == [N - 1, N - 1, N - 1, 0]
    assert one[0][2] < N - 1
