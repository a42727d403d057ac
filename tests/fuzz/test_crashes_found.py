"""What once ended in a traceback, a hang or a leak: the fewest bytes that did it, read or refused in words now."""

from __future__ import annotations

import io
import json
import pickle
import re
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch
from anndata import AnnData
from hostile.law import outcome
from hostile.texts import TEXTS

from galenic import plan
from galenic.data import read
from galenic.data.cell_matrix import gene_names
from galenic.data.gctx.gctx import write_gctx
from galenic.data.limits import map_array
from galenic.data.read.matrices import open_h5ad
from galenic.data.read.target_pairs import gene_list, gene_weights
from galenic.data.simulate import screen
from galenic.evaluate.split_files import read_split
from galenic.foundation.chunks import Chunks
from galenic.foundation.geneformer_dictionaries import read_dictionaries
from galenic.foundation.geneformer_network import read_shape
from galenic.foundation.weights import read_pickle, read_tensors
from galenic.models.base import load
from galenic.models.baselines.trees import RandomForest
from galenic.models.deeppert.consensus import Consensus
from galenic.report import run as runs
from galenic.search.index import SimilarityIndex

PEAK = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from galenic.data.read.matrices import open_h5ad
from hostile.law import outcome
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(outcome(open_h5ad, Path(sys.argv[1])), before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
"""Says how reading a file ended, and the memory of the process before and at most."""


def split(path: Path) -> None:
    read_split(pd.DataFrame(index=["a"]), path)


def drugs(path: Path) -> None:
    pairs = pd.DataFrame({"cell": ["a"], "drug": ["1"], "ln_ic50": [0.5]})
    read.response_data(pairs, drugs=path)


FILES = {
    "a broken bz2 stream": (read.table, "a.csv", b"BZh9" + bytes(20)),
    "a zip whose list lies outside": (read.table, "a.csv", b"PK\x03\x04PK\x05\x06" + b"\0" * 8 + b"\xff" * 8 + b"\0\0"),
    "nothing but a mark of UTF-8": (read.matrix, "a.csv", b"\xef\xbb\xbf"),
    "a header that is one blank": (read.matrix, "a.csv", b"\xef\xbb\xbf\r\n,,\r\n"),
    "two columns without a name": (gene_list, "a.csv", b",,a\nx,y,1\n"),
    "two columns of drugs without a name": (drugs, "a.csv", b"\tacetate\tCCO\t\n3\tbenzene\tc1ccccc1\tA\n"),
    "two columns of cells with one name": (read.matrix, "a.csv", b"cell,cell,EGFR\nA549,PC9,7.5\n"),
    "nothing but a comma": (gene_list, "a.csv", b"\r\n\r\n,"),
    "a split with too many fields": (split, "a.csv", b"id,fold_0\na,train\nb,c,d,e\n"),
    "a split in another encoding": (split, "a.csv", b"id,\xff\na,train\n"),
    "an empty split": (split, "a.csv", b"\n"),
    "a plan in another encoding": (plan.read, "p.toml", b"title = '\xff'"),
    "a plan with a number of 5,000 digits": (plan.read, "p.toml", b"a = " + b"9" * 5000),
    "a plan with a number of 4,000 digits of 16": (
        plan.read, "p.toml", b"[[model]]\nname = 'KDRUG'\ntraining = {max_epochs = 0x1" + b"9" * 4000 + b"}",
    ),
    "a plan with endless folds": (plan.read, "p.toml", b"[split]\nfolds = inf"),
    "a plan whose split is text": (plan.read, "p.toml", b"split = 'cell'"),
    "a plan whose models are text": (plan.read, "p.toml", b"model = ['KDRUG']"),
    "a plan whose file is a number": (plan.read, "p.toml", b"[data]\nresponse = 3"),
    "a plan with parts of a number": (plan.read, "p.toml", b"[[model]]\nname = 'Ridge'\n'seed.x' = 1"),
    "weights with an exponent beyond an int": (
        lambda path: gene_weights(path, ["EGFR"]), "a.csv", b",0,1\nEGFR,1,-1e2147483648\nB,2,x\n",
    ),
    "responses with an exponent beyond an int": (
        lambda path: TEXTS["responses"].read(path), "a.csv", b"cell,drug,ln_ic50\nA,B,1e2147483648\nC,D,x\n",
    ),
    "a dictionary in another encoding": (read_dictionaries, "token_dictionary.json", b'{"\xdc": 1}'),
    "a dictionary within dictionaries": (read_dictionaries, "token_dictionary.json", b"[" * 9999),
    "a token that is text": (read_dictionaries, "tokens.tsv", b"ensembl_id\ttoken\n<pad>\t1e\nENSG00000141510\tx\n"),
    "a token that is a fraction": (read_dictionaries, "t.tsv", b"ensembl_id\ttoken\n<pad>\t3.0000000000000001_0\n"),
    "weights with names that are no text": (read_tensors, "a.bin", b""),
    "layers without end": (read_shape, "config.json", b""),
    "text of a list of lists": (read_pickle, "a.pkl", b"\x80\x02cbuiltins\nstr\n(]tR."),
    "bytes that are declared and not there": (read_pickle, "a.pkl", b"\x80\x05\x96" + bytes([0, 0, 0, 0, 3, 0, 0, 0])),
    "a header of NumPy that ends early": (map_array, "a.npy", b"\x93NUMPY\x01\x00\x76\x00{'a': (" + b" " * 111 + b"\n"),
}  # fmt: skip


def made(name: str) -> bytes:
    """Content that is not worth writing out."""
    if name == "layers without end":
        sizes = {"vocab_size": 5, "hidden_size": 4, "num_attention_heads": 2, "intermediate_size": 4}
        return json.dumps(sizes | {"max_position_embeddings": 4, "num_hidden_layers": 10**9}).encode()
    stream = io.BytesIO()
    torch.save({"a": torch.ones(1)}, stream)
    content = bytearray(stream.getvalue())
    with zipfile.ZipFile(stream) as archive:
        place = archive.start_dir
    content[place + 46] = 0xC6
    content[place + 9] |= 0x08
    return bytes(content)


@pytest.mark.parametrize("name", FILES)
def test_files(name: str, tmp_path: Path) -> None:
    how, file, content = FILES[name]
    (tmp_path / file).write_bytes(content or made(name))
    assert outcome(how, tmp_path / file) == "refused"


def test_a_column_called_by_5000_digits(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"sig_id,7157," + b"9" * 5000 + b",1956\np,1,2,3\n")
    assert outcome(read.profiles, tmp_path / "a.csv") in ("read", "refused")


def test_a_header_that_is_shorter_than_its_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\t5.1\t6.2\nEGFR\ty\t7.3\t8.4\n")
    assert outcome(read.matrix, tmp_path / "a.csv") in ("read", "refused")


@pytest.mark.parametrize("rows", [b"\t5.1\t-1\nEGFR\ty\t7.3\t8.4\n", b"\t5.1\t\nEGFR\t7.3\tx\nKRAS\t8.4\ty\n"])
def test_two_columns_of_cells_without_a_name(rows: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(rows)
    assert outcome(TEXTS["cells to predict"].read, tmp_path / "a.csv") in ("read", "refused")


@pytest.mark.parametrize("side", ["forest.left", "forest.right"])
def test_trees_that_go_round(side: str) -> None:
    data = screen(n_cells=40, n_drugs=3, n_genes=20, seed=0)[0]
    model = RandomForest(n_trees=2).fit(data)
    model.arrays_[side] = np.where(model.arrays_[side] > 0, 0, -1).astype(np.int32)
    with pytest.raises(ValueError, match=r"should lead to later ones; .* leads to .* Save the model again"):
        model.predict(data)


def test_rows_that_stand_twice_in_a_matrix_without_columns(tmp_path: Path) -> None:
    obs = pd.DataFrame({"cell_line": ["A549", "A549"]}, index=["a", "b"])
    AnnData(np.ones((2, 0), np.float32), obs=obs).write_h5ad(tmp_path / "a.h5ad")
    assert outcome(partial(read.matrix, index="cell_line"), tmp_path / "a.h5ad") in ("read", "refused")


def test_a_column_that_is_named_twice(tmp_path: Path) -> None:
    adata = AnnData(np.ones((2, 1), np.float32), var=pd.DataFrame({"symbol": ["TP53"]}, index=["7157"]))
    adata.write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        file["var"].attrs["column-order"] = ["symbol", "symbol"]
    assert outcome(lambda path: gene_names(open_h5ad(path)), tmp_path / "a.h5ad") == "refused"


def test_symbols_that_are_no_text(tmp_path: Path) -> None:
    adata = AnnData(np.ones((2, 1), np.float32), var=pd.DataFrame({"symbol": ["TP53"]}, index=["7157"]))
    adata.write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        del file["var/symbol"]
        file["var/symbol"] = np.array([b"\xff"])
        file["var/symbol"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    assert outcome(read.matrix, tmp_path / "a.h5ad") in ("read", "refused")


def test_parquet_without_a_column(tmp_path: Path) -> None:
    parquet.write_table(pa.table({}), tmp_path / "a.parquet")
    assert outcome(read.matrix, tmp_path / "a.parquet") == "refused"


@pytest.mark.parametrize(
    "row", ['r="99999999999999999999"', "r = '1048577000'", 'r="&#49;048577000"', 'r="0' + "9" * 300 + '"']
)
@pytest.mark.parametrize("part", ["xl/worksheets/sheet1.xml", "xl/worksheets/table.bin"])
def test_a_row_far_below_in_a_spreadsheet(row: str, part: str, tmp_path: Path) -> None:
    """Libraries make every row up to it; it may be spelled in many ways, in a part of any name."""
    written = io.BytesIO()
    pd.DataFrame({"cell": ["A549", "PC9"], "TP53": [0.5, 1.5]}).to_excel(written, index=False)
    with zipfile.ZipFile(written) as source, zipfile.ZipFile(tmp_path / "a.xlsx", "w") as changed:
        for name in source.namelist():
            text = source.read(name).decode().replace('<row r="3"', f"<row {row}")
            changed.writestr(
                part if name.endswith("sheet1.xml") else name, text.replace("xl/worksheets/sheet1.xml", part)
            )
    assert outcome(read.table, tmp_path / "a.xlsx") == "refused"


@pytest.mark.parametrize("values", [[[1, 2]], [{"a": 1}], [b"\xff"]])
def test_columns_of_lists_records_and_bytes(values: list[object], tmp_path: Path) -> None:
    parquet.write_table(pa.table({"cell": ["a"], "drug": values, "ln_ic50": [0.5]}), tmp_path / "a.csv")
    assert outcome(read.response_data, tmp_path / "a.csv") == "refused"


def test_what_pandas_is_told_in_a_parquet_file(tmp_path: Path) -> None:
    table = pa.table({"a": [1], "b": ["x"]}).replace_schema_metadata({"pandas": "{"})
    parquet.write_table(table, tmp_path / "a.csv")
    assert outcome(read.table, tmp_path / "a.csv") == "refused"


def test_places_of_a_sparse_matrix_outside_of_it(tmp_path: Path) -> None:
    """They were read from, and written to, memory of others."""
    from scipy import sparse

    adata = AnnData(sparse.csr_matrix(np.eye(3, dtype=np.float32)))
    adata.write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        file["X/indices"][1] = 10**6
    for how in (read.matrix, read.profiles, lambda path: open_h5ad(path, backed=True)):
        assert outcome(how, tmp_path / "a.h5ad") == "refused"


def test_a_heap_of_texts_that_ends_nowhere(tmp_path: Path) -> None:
    """HDF5 read it for ever."""
    path = tmp_path / "a.h5ad"
    AnnData(np.eye(2, dtype=np.float32)).write_h5ad(path)
    content = bytearray(path.read_bytes())
    at = content.find(b"GCOL") + 16
    while number := int.from_bytes(content[at : at + 2], "little"):
        assert number
        at += 16 + -(-int.from_bytes(content[at + 8 : at + 16], "little") // 8) * 8
    content[at + 8 : at + 16] = bytes(8)
    path.write_bytes(content)
    assert outcome(open_h5ad, path) == "refused"


def test_texts_that_are_said_to_be_something_unknown(tmp_path: Path) -> None:
    """HDF5 ended the process."""
    path = tmp_path / "a.h5ad"
    AnnData(np.eye(2, dtype=np.float32)).write_h5ad(path)
    content = path.read_bytes()
    places = [found.start() + 1 for found in re.finditer(re.escape(b"\x19\x01\x01\x00\x10"), content)]
    assert len(places) > 10
    for place in places:
        path.write_bytes(content[:place] + b"\x05" + content[place + 1 :])
        assert outcome(open_h5ad, path) == "refused"


def test_a_heap_of_names_whose_free_places_go_round(tmp_path: Path) -> None:
    """HDF5 noted each of them until the memory of the machine was full."""
    path = tmp_path / "a.h5ad"
    AnnData(np.eye(2, dtype=np.float32)).write_h5ad(path)
    content = bytearray(path.read_bytes())
    at = content.find(b"HEAP")
    free, names = (int.from_bytes(content[place : place + 8], "little") for place in (at + 16, at + 24))
    content[names + free : names + free + 8] = free.to_bytes(8, "little")
    path.write_bytes(content)
    command = [sys.executable, "-c", PEAK, str(path), str(Path(__file__).parent)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    said, before, after = done.stdout.split()
    assert said == "refused"
    assert int(after) - int(before) < 700_000  # kB


@pytest.mark.parametrize("name", ["uns/steps", "obs/x", "var/x"])
def test_a_value_that_is_nothing(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.h5ad"
    adata = AnnData(np.eye(2, dtype=np.float32), uns={"steps": ["cut"]})
    adata.obs["x"], adata.var["x"] = ["a", "b"], ["a", "b"]
    adata.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = h5py.Empty("f4")
    for how in (read.matrix, read.profiles):
        outcome(how, path)


@pytest.mark.parametrize("where", ["0/META/COL", "0/META/ROW/id", "0/META/COL/id"])
def test_gctx_with_a_number_where_a_group_should_be(where: str, tmp_path: Path) -> None:
    path = write_gctx(AnnData(pd.DataFrame({"5720": [1.5]}, index=["p1"]).astype("float32")), tmp_path / "a.gctx")
    with h5py.File(path, "r+") as file:
        del file[where]
        file[where] = 3.0
    assert outcome(read.profiles, path) == "refused"


@pytest.mark.parametrize(
    "entry", [{"outputs": [{"a": 1}]}, {"fields": [1]}, {"data": "x"}, {"format": float("inf")}, {"warnings": 0.5}]
)
def test_entries_of_another_kind_in_a_record(entry: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"format": 1, **entry}))
    assert outcome(runs.read, tmp_path) == "refused"


@pytest.mark.parametrize("about", ["{", "[]", '{"format": []}', '{"format": 2}', "\udcff"])
def test_records_of_an_index(about: str, tmp_path: Path) -> None:
    (tmp_path / "index.json").write_bytes(about.encode("utf-8", errors="surrogateescape"))
    assert outcome(SimilarityIndex.load, tmp_path) == "refused"


def test_a_manifest_without_end(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("[" * 9999)
    assert outcome(lambda folder: Chunks(folder, {}), tmp_path) == "refused"


def test_links_that_lead_out_of_a_model(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    header = {"format": 1, "class": "Ridge", "fields": {}, "spec": {}, "weights_sha256": ""}
    (tmp_path / "model" / "model.json").write_text(json.dumps(header))
    for place in ("/dev/zero", "../secret"):
        (tmp_path / "secret").write_bytes(pickle.dumps(1))
        (tmp_path / "model" / "weights.safetensors").unlink(missing_ok=True)
        (tmp_path / "model" / "weights.safetensors").symlink_to(place)
        with pytest.raises(ValueError, match="a folder should hold its own files"):
            load(tmp_path / "model")


def test_a_tensor_that_repeats_one_number(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1).expand(10**12)}, tmp_path / "a.bin")
    with pytest.raises(ValueError, match="should hold all their numbers"):
        read_tensors(tmp_path / "a.bin")


def test_vectors_whose_squares_are_infinite(tmp_path: Path) -> None:
    table = pd.DataFrame(index=["a", "b", "c"])
    SimilarityIndex(np.eye(3, dtype=np.float32), table, metric="euclidean").save(tmp_path / "index")
    vectors = np.load(tmp_path / "index" / "vectors.npy")
    np.save(tmp_path / "index" / "vectors.npy", vectors * np.float32(1e30))
    assert outcome(lambda path: SimilarityIndex.load(path).nearest(np.eye(3), 2), tmp_path / "index") == "refused"


def test_a_row_of_a_spreadsheet_called_1e308(tmp_path: Path) -> None:
    """A reader took it for a number, and read empty rows up to it."""
    path = tmp_path / "a.xlsx"
    pd.DataFrame({"cell": ["A549", "PC9"], "TP53": [1.0, 2.0]}).to_excel(path, index=False)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = "xl/worksheets/sheet1.xml"
    assert b'<row r="3"' in parts[name]
    parts[name] = parts[name].replace(b'<row r="3"', b'<row r="1e308"')
    with zipfile.ZipFile(path, "w") as archive:
        for part, content in parts.items():
            archive.writestr(part, content)
    assert outcome(read.table, path) == "refused"


def test_two_columns_of_one_name_beside_known_cells(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("\t5.1\t-1\nEGFR\ty\t7\n.3\t8.4\t\n")
    outcome(TEXTS["cells to predict"].read, tmp_path / "a.tsv")


def test_a_run_of_a_later_version(tmp_path: Path) -> None:
    with runs.start(tmp_path / "run", verb="predict", command="galenic predict", fields={}, seed=0) as run:
        run.write("predictions", pd.DataFrame({"cell": ["a"], "drug": ["5"], "prediction": [0.5]}))
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps(record | {"format": 99}))
    assert outcome(runs.read, tmp_path / "run") == "refused"


def test_a_latent_of_a_dimension_that_cannot_be() -> None:
    """A matrix of so many dimensions was made."""
    one = np.ones(3)
    with pytest.raises(ValueError, match="as many dimensions as there are latents"):
        Consensus(np.array([0, 1, 10**7]), one, one, one, one, one)
