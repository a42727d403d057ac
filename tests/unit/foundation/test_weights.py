"""Files of strangers: read whole or refused in words, and nothing in them is run."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from galenic.foundation.unpickling import NotAllowedError, loads
from galenic.foundation.weights import match, read_pickle, read_tensors, shapes_of


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self):
        return os.mkdir, (str(self.flag),)


class Mine:
    """A class of the user's own."""

    def __init__(self, n: int) -> None:
        self.n = n


def nested() -> dict:
    return {"cell": {"config": {"depth": 2, "names": ["a"], "x": (1, None)}, "state_dict": OrderedDict(w=torch.eye(3))}}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_nested_dictionaries_come_back_in_every_format(tmp_path, zipped, protocol):
    place = tmp_path / "models.ckpt"
    torch.save(nested(), place, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    found, how = read_tensors(place)
    assert how == "weights only" if protocol == 2 else how in ("weights only", "restricted")
    assert found["cell"]["config"] == nested()["cell"]["config"]
    assert torch.equal(found["cell"]["state_dict"]["w"], torch.eye(3))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
def test_numbers_of_numpy_are_read_by_the_restricted_reader(tmp_path, zipped, protocol):
    place = tmp_path / "models.ckpt"
    content = {**nested(), "lr": np.float64(0.5), "table": np.arange(6.0).reshape(2, 3), "half": torch.ones(2).half()}
    content["part"] = torch.arange(12.0).reshape(3, 4)[:, 1]  # a view, with strides
    content["weight"] = torch.nn.Parameter(torch.ones(2))
    torch.save(content, place, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    found, how = read_tensors(place)
    assert how == "restricted"
    assert found["lr"] == 0.5
    assert found["table"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["part"].tolist() == [1, 5, 9]
    assert found["half"].dtype == torch.float16
    assert found["weight"].tolist() == [1, 1]
    assert torch.equal(found["cell"]["state_dict"]["w"], torch.eye(3))


def test_the_state_of_a_network_keeps_its_metadata_from_breaking_anything(tmp_path):
    net = torch.nn.BatchNorm1d(3)
    torch.save({"net": net.state_dict(), "lr": np.float32(1)}, tmp_path / "a.pt")
    found, how = read_tensors(tmp_path / "a.pt")
    assert how == "restricted"
    torch.nn.BatchNorm1d(3).load_state_dict(found["net"])


def test_safetensors_are_told_by_content(tmp_path):
    for name in ("model.safetensors", "model.bin"):
        save_file({"w": torch.eye(2)}, tmp_path / name)
        found, how = read_tensors(tmp_path / name)
        assert how == "safetensors"
        assert found["w"].tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
def test_what_is_bad_is_named_and_not_run(tmp_path, zipped, protocol):
    flag, place = tmp_path / "flag", tmp_path / "models.ckpt"
    content = {"cell": {"state_dict": {"w": torch.ones(1)}, "config": Evil(flag)}}
    torch.save(content, place, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    with pytest.raises(ValueError, match=r"asks for (posix|nt)\.mkdir.*Nothing of it was run"):
        read_tensors(place)
    assert not flag.exists()
    torch.load(place, weights_only=False)  # what any careless reader does
    assert flag.exists()


def test_a_bad_dictionary_is_named_and_not_run(tmp_path):
    flag, place = tmp_path / "flag", tmp_path / "tokens.pkl"
    place.write_bytes(pickle.dumps({"ENSG": 1, "more": Evil(flag)}))
    with pytest.raises(ValueError, match=r"mkdir"):
        read_pickle(place)
    assert not flag.exists()
    pickle.loads(place.read_bytes())
    assert flag.exists()


PROGRAMS = {
    "eval": b"cbuiltins\neval\n(S'1'\ntR.",
    "getattr": b"cbuiltins\ngetattr\n(cbuiltins\ndict\nS'fromkeys'\ntR.",
    "a name with a dot": b"\x80\x04\x8c\x08builtins\x8c\x08str.join\x93.",
    "a module by name": b"c__builtin__\n__import__\n(S'os'\ntR.",
    "an attribute of a function": b"ctorch._utils\n_rebuild_tensor_v2\n(dS'__doc__'\nS'x'\nsb.",
    "a slot of a function": b"ctorch._utils\n_rebuild_tensor_v2\n(N(dS'__defaults__'\nNstb.",
    "the class of arrays called": b"cnumpy\nndarray\n(I3\ntR.",
    "another class of arrays": b"cnumpy._core.multiarray\n_reconstruct\n(cbuiltins\ndict\n(I0\ntS'b'\ntR.",
    "objects": b"cnumpy\ndtype\n(S'O8'\ntR.",
    "a codec that unpacks": b"c_codecs\nencode\n(S'x'\nS'zlib'\ntR.",
    "bytes of any size": b"cbuiltins\nbytes\n(I1000000000000\ntR.",
    "what hides the items": b"ccollections\nOrderedDict\n(tR(dS'items'\nS'x'\nsb.",
    "an extension": b"\x80\x02\x82\x01.",
    "something kept elsewhere": b"Pelsewhere\n.",
}


NOT_CALLABLE = ("the class of arrays called", "bytes of any size", "an extension", "something kept elsewhere")


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_written_by_hand_are_refused(tmp_path, name):
    before = torch._utils._rebuild_tensor_v2.__doc__, torch._utils._rebuild_tensor_v2.__defaults__
    place = tmp_path / "tokens.pkl"
    place.write_bytes(b"\x80\x02" + PROGRAMS[name].removeprefix(b"\x80\x02").removeprefix(b"\x80\x04"))
    told = "damaged" if name in NOT_CALLABLE else "asks for"
    with pytest.raises(ValueError, match=told):
        read_pickle(place)
    assert before == (torch._utils._rebuild_tensor_v2.__doc__, torch._utils._rebuild_tensor_v2.__defaults__)


def test_types_with_hidden_objects_are_refused():
    """A type of fields whose flags lie about objects inside would read any place of the memory."""
    for array in (np.array([{}], dtype=object), np.zeros(2, dtype=[("a", "f4")]), np.zeros(1, dtype="M8[s]")):
        with pytest.raises(NotAllowedError):
            loads(io.BytesIO(pickle.dumps(array)))
    kind = b"cnumpy\ndtype\n(S'f8'\n"
    lying = kind + b"I00\nI01\ntR(I3\nS'|'\nN(S'a'\nt(dS'a'\n(" + kind + b"tRI800\ntsI8\nI1\nI0\ntb."
    with pytest.raises(NotAllowedError, match="fields"):
        loads(io.BytesIO(lying))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_dictionaries_come_back_from_every_protocol(tmp_path, protocol):
    content = {
        "gene": np.int64(7), "median": np.float64(1.5), "text": "é", "raw": b"\xff", "none": b"", "set": {1, 2},
        "yes": np.bool_(True), "array": np.arange(6.0).reshape(2, 3).T, "names": np.array(["ab", "c"]), "big": 10**30,
        "swapped": np.arange(3, dtype=">i4"), "deep": [({"a": (None, True)},)],
    }  # fmt: skip
    place = tmp_path / "tokens.pkl"
    place.write_bytes(pickle.dumps(content, protocol))
    if protocol < 2:  # nothing marks these as pickles
        with pytest.raises(ValueError, match=r"is text|no kind"):
            read_pickle(place)
        found = loads(io.BytesIO(place.read_bytes()))
    else:
        found = read_pickle(place)
    assert list(found) == list(content)
    for name, value in content.items():
        assert type(found[name]) is type(value)
        assert np.array_equal(found[name], value)


def test_a_class_may_be_allowed_by_name(tmp_path):
    torch.save({"args": Mine(3), "w": torch.ones(1)}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"asks for .*Mine"):
        read_tensors(tmp_path / "a.pt")
    found, how = read_tensors(tmp_path / "a.pt", allow=[Mine])
    assert (found["args"].n, how) == (3, "restricted")


def written(folder: Path) -> dict[str, Path]:
    """Whole files of every kind."""
    made = {name: folder / name for name in ("zip.ckpt", "legacy.ckpt", "model.safetensors", "tokens.pkl")}
    content = {"w": torch.arange(500.0), "b": torch.ones(3)}
    torch.save(content, made["zip.ckpt"])
    torch.save(content, made["legacy.ckpt"], _use_new_zipfile_serialization=False)
    save_file(content, made["model.safetensors"])
    made["tokens.pkl"].write_bytes(pickle.dumps({f"gene {i}": i for i in range(300)}))
    return made


@pytest.mark.parametrize("kind", ["zip.ckpt", "legacy.ckpt", "model.safetensors", "tokens.pkl"])
def test_cut_off_files_are_refused_wherever_the_cut_is(tmp_path, kind):
    place = written(tmp_path)[kind]
    content = place.read_bytes()
    read = read_pickle if kind == "tokens.pkl" else read_tensors
    read(place)
    for share in (0.01, 0.1, 0.3, 0.5, 0.8, 0.95, 0.999):
        place.write_bytes(content[: max(2, int(len(content) * share))])
        with pytest.raises(ValueError, match=r"should be .*; .*\. .*"):
            read(place)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "a web page"),
        (b"\n  <html lang='en'>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "a Git LFS pointer"),
        (b"gene_name\tindex\nA1BG\t0\n", "text"),
        (b"\x89HDF\r\n\x1a\n" + bytes(50), "an HDF5 file"),
        (b"\x1f\x8b" + bytes(50), "a gzip file"),
        (bytes(range(200, 250)), "of no kind"),
    ],
)
@pytest.mark.parametrize("name", ["models.ckpt", "pytorch_model.bin"])
def test_other_files_are_told_by_what_they_are(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=said):
        read_tensors(tmp_path / name)
    with pytest.raises(ValueError, match=said):
        read_pickle(tmp_path / name)


def test_missing_empty_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_tensors(tmp_path / "models.ckpt")
    (tmp_path / "empty.ckpt").touch()
    with pytest.raises(ValueError, match="0 bytes"):
        read_tensors(tmp_path / "empty.ckpt")
    with pytest.raises(ValueError, match="folder"):
        read_tensors(tmp_path)


def test_zips_of_other_things_and_compiled_programs_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones(2))
    with pytest.raises(ValueError, match="zip of other files"):
        read_tensors(tmp_path / "a.npz")
    torch.save({"w": torch.ones(1)}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt", "a") as archive:
        archive.writestr("a/constants.pkl", b"")
    with pytest.raises(ValueError, match="TorchScript"):
        read_tensors(tmp_path / "a.pt")


def test_a_lone_tensor_or_a_whole_network_is_no_dictionary_of_tensors(tmp_path):
    torch.save(torch.ones(2), tmp_path / "a.pt")
    with pytest.raises(ValueError, match="holds a Tensor"):
        read_tensors(tmp_path / "a.pt")
    torch.save(torch.nn.Linear(1, 1), tmp_path / "b.pt")
    with pytest.raises(ValueError, match=r"asks for torch\.nn\.modules\.linear\.Linear"):
        read_tensors(tmp_path / "b.pt")


def test_weights_named_as_a_dictionary_are_told(tmp_path):
    with pytest.raises(ValueError, match="is weights"):
        read_pickle(written(tmp_path)["zip.ckpt"])


def test_nothing_is_imported_for_a_file(tmp_path):
    import sys

    place = tmp_path / "tokens.pkl"
    place.write_bytes(b"\x80\x02ctabnanny\ncheck\n.")
    assert "tabnanny" not in sys.modules
    with pytest.raises(ValueError, match="tabnanny"):
        read_pickle(place)
    assert "tabnanny" not in sys.modules


def test_match_tells_missing_unexpected_and_wrong_shapes():
    net = torch.nn.Linear(2, 3)
    given = {"weight": torch.ones(3, 2), "bias": torch.ones(4), "decoder.w": torch.ones(1), "else": torch.ones(1)}
    found = match(shapes_of(net), given, ignore=["decoder.*"])
    assert found.missing == ()
    assert found.unexpected == ("else",)
    assert found.wrong_shape == ("bias (4,), not (3,)",)
    assert list(found.state) == ["weight"]
    with pytest.raises(
        ValueError, match=r"models\.ckpt should hold 2 tensors.*1 without a place \(first: 'else'\); 1 of"
    ):
        found.require("models.ckpt")
    whole = match(shapes_of(net), {"weight": torch.ones(3, 2), "bias": torch.ones(3)})
    assert set(whole.require("models.ckpt")) == {"weight", "bias"}
    with pytest.raises(ValueError, match="1 missing"):
        match(shapes_of(net), {"weight": torch.ones(3, 2), "bias": "not a tensor"}).require("models.ckpt")


def test_safetensors_with_a_damaged_header(tmp_path):
    header = json.dumps({"w": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(ValueError, match="damaged"):
        read_tensors(tmp_path / "model.safetensors")
