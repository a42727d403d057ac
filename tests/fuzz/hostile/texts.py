"""Valid small tables and texts, and what reads them."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save

from galenic import plan
from galenic.data import read
from galenic.data.read.gene_sets import gene_sets
from galenic.data.read.new_cells import cells_to_predict
from galenic.data.read.target_pairs import gene_list, gene_weights
from galenic.evaluate.split_files import read_split
from galenic.foundation.geneformer_dictionaries import read_dictionaries
from galenic.foundation.weights import read_pickle, read_tensors
from hostile.edits import Edit, as_json, edited, edited_json
from hostile.target import Target

MATRIX = b"cell,EGFR,TP53,KRAS,tissue\nA549,5.5,9.1,0.2,lung\nPC9,NA,3.25,1e-3,lung\nHeLa,7,8,9,cervix\n"
RESPONSE = b"cell;drug;ln_ic50;smiles\nA549;erlotinib;1,5;CCO\nPC9;erlotinib;-3;CCO\nA549;x2;0,5;c1ccccc1\n"
DRUGS = b"drug\tname\tsmiles\ttargets\n1\tethanol\tOCC\tEGFR\n2\tacetate\tCC(=O)[O-].[Na+]\t\n3\tbenzene\tc1ccccc1\tA\n"
PROFILES = (
    b"profile_id,pert_id,pert_type,cell_id,dose,TP53,EGFR\n"
    b"p1,BRD-1,trt_cp,A375,10,0.5,-1\np2,BRD-2,trt_cp,PC3,1,-666,2\n"
)
GENES_IN_ROWS = b"GENE_SYMBOLS\tGENE_title\tDATA.683665\tDATA.683667\nTP53\tx\t5.1\t6.2\nEGFR\ty\t7.3\t8.4\n"
GMT = b"cell cycle\tfrom a book\tCDK1\tCCNB1\tCDK1\n\nstress\t\tHSPA5\nrepair\thttp://x\tBRCA1\tATM\n"
GCT12 = b"#1.2\n2\t3\nName\tDescription\tp1\tp2\tp3\n5720\tPSME1\t0.5\t-1\t2\n466\tATF1\t-666\t1e-3\tNA\n"
GCT13 = (
    b"#1.3\n2\t3\t1\t2\nid\tpr_gene_symbol\tp1\tp2\tp3\npert_iname\tna\terlotinib\tDMSO\tx\npert_dose\tna\t10\t-666\t0.1\n"
    b"5720\tPSME1\t0.5\t-1\t2\n466\tATF1\t-666\t1e-3\t7\n"
)
PLAN = b"""title = "a plan"
[data]
response = "response.csv"
expression = ["a.csv", "b.csv"]
modality = {mutation = "m.csv"}
[split]
by = ["cell", "drug"]
folds = 3
seeds = [0, 1]
[[model]]
name = "Ridge"
label = "ridge"
[[model]]
name = "KDRUG"
training = {lr = 0.01, max_epochs = 3}
stages = [1, 2]
[[model]]
name = "KernelRidge"
inputs = ["expression"]
kernel = ["rbf", "linear"]
"""
SPLIT = b"id,fold_0,fold_1\na,train,test\nb,test,train\nc,out,train\n"


def packed(name: str, content: bytes) -> bytes:
    """A zip of one file."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return stream.getvalue()


def parquet(frame: pd.DataFrame) -> bytes:
    """A frame as Parquet."""
    stream = io.BytesIO()
    frame.to_parquet(stream)
    return stream.getvalue()


@cache
def workbook() -> bytes:
    """A spreadsheet of two sheets."""
    stream = io.BytesIO()
    with pd.ExcelWriter(stream, engine="openpyxl") as book:
        pd.read_csv(io.BytesIO(MATRIX)).to_excel(book, sheet_name="one", index=False)
        pd.read_csv(io.BytesIO(DRUGS), sep="\t").to_excel(book, sheet_name="two", index=False)
    return stream.getvalue()


def in_workbook(content: bytes, edits: Sequence[Edit], other: bytes) -> bytes:
    """A spreadsheet of which the parts were changed, packed whole again."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
    except zipfile.BadZipFile:
        return edited(content, edits, other)
    stream = io.BytesIO()
    names = sorted(parts)
    for edit in edits:
        name = names[edit[1] % len(names)]
        parts[name] = edited(parts[name], [edit], parts[names[edit[2] % len(names)]])
    with zipfile.ZipFile(stream, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return stream.getvalue()


def unpacked(content: bytes, edits: Sequence[Edit], other: bytes) -> bytes:
    """Compressed content, changed inside; a Parquet table, with other columns."""
    if content.startswith(b"\x1f\x8b"):
        return gzip.compress(edited(gzip.decompress(content), edits, MATRIX), 1, mtime=0)
    if content.startswith(b"BZh"):
        return bz2.compress(edited(bz2.decompress(content), edits, MATRIX))
    if content.startswith(b"\xfd7zXZ"):
        return lzma.compress(edited(lzma.decompress(content), edits, MATRIX), preset=0)
    if content.startswith(b"PK"):
        return in_workbook(content, edits, other)
    if content.startswith(b"PAR1"):
        return parquet(columns_changed(pd.read_parquet(io.BytesIO(content)), edits))
    return edited(content, edits, other)


def columns_changed(frame: pd.DataFrame, edits: Sequence[Edit]) -> pd.DataFrame:
    """A frame of other kinds of columns: dates, categories, bytes, lists, flags, hostile values, no rows."""
    kinds: tuple[Callable[[pd.Series], object], ...] = (
        lambda values: pd.date_range("2000", periods=len(values)),
        lambda values: pd.Categorical(values.astype(str)),
        lambda values: [b"\xff\x00"] * len(values),
        lambda values: [[1, 2]] * len(values),
        lambda values: np.arange(len(values)) % 2 == 0,
        lambda values: [None] * len(values),
        lambda values: np.full(len(values), np.inf),
        lambda values: np.full(len(values), 2**63, dtype=np.uint64),
        lambda values: [{"a": 1}] * len(values),
        lambda values: pd.to_timedelta(np.arange(len(values)), unit="s"),
        lambda values: pd.array([1, None, *range(len(values) - 2)], dtype="Int8") if len(values) > 1 else [1],
        lambda values: ["1e400"] * len(values),
    )
    frame = frame.copy()
    for kind, at, what in edits:
        if not frame.shape[1]:
            break
        place = at % frame.shape[1]
        name = str(frame.columns[place])
        if (kind := kind % 6) <= 2:
            frame[name] = kinds[what % len(kinds)](frame[name])
        elif kind == 3:
            frame = frame.rename(columns={name: ("", "0", " ", "cell", "\ud7ff", "id")[what % 6]})
            frame = frame.loc[:, ~frame.columns.duplicated()]
        elif kind == 4:
            frame = frame.drop(columns=name) if what % 2 else frame.iloc[: what % 3]
        else:
            frame = frame.set_index(name)
    return frame


def _tables() -> list[bytes]:
    frame = pd.read_csv(io.BytesIO(MATRIX))
    return [
        *(MATRIX, RESPONSE, DRUGS, GENES_IN_ROWS, PROFILES, SPLIT, b"\xef\xbb\xbf" + MATRIX),
        *(gzip.compress(MATRIX, mtime=0), bz2.compress(DRUGS), lzma.compress(RESPONSE), packed("t.csv", MATRIX)),
        *(parquet(frame), parquet(frame.set_index("cell"))),
    ]


def _response_parquet() -> bytes:
    return parquet(pd.read_csv(io.BytesIO(RESPONSE), sep=";", decimal=","))


def _matrices() -> list[bytes]:
    frame = pd.read_csv(io.BytesIO(MATRIX))
    packings = (gzip.compress(MATRIX, mtime=0), lzma.compress(GENES_IN_ROWS), packed("t.csv", MATRIX))
    return [MATRIX, GENES_IN_ROWS, *packings, parquet(frame), parquet(frame.set_index("cell"))]


def _dictionaries() -> list[dict[str, bytes]]:
    tokens = {"<pad>": 0, "<cls>": 2, "<eos>": 3, "ENSG00000141510": 1, "ENSG00000146648": 4}
    medians = {"ENSG00000141510": 2.5, "ENSG00000146648": 1.0}
    symbols, collapsed = {"TP53": "ENSG00000141510"}, {"ENSG00000000003": "ENSG00000141510"}
    parts = {"token_dictionary": tokens, "median": medians, "name_id": symbols, "ensembl_mapping": collapsed}
    table = (
        b"ensembl_id\ttoken\tmedian\tsymbol\n<pad>\t0\t\t\nENSG00000141510\t1\t2.5\tTP53\nENSG00000146648\t2\t1\tEGFR\n"
    )
    numbers = {"median": {name: np.float64(value) for name, value in medians.items()}, "token_dictionary": tokens}
    return [
        {f"{name}.json": json.dumps(part).encode() for name, part in parts.items()},
        {f"{name}.pkl": pickle.dumps(part, 4) for name, part in (parts | numbers).items()},
        {f"{name}.pkl": pickle.dumps(part, 2) for name, part in (parts | numbers).items()},
        {"tokens.tsv": table},
    ]


def _weights() -> list[bytes]:
    state = OrderedDict(a=torch.ones(2, 2), b=torch.arange(3))
    streams = [io.BytesIO() for _ in range(3)]
    torch.save(state, streams[0])
    torch.save({"cell": state, "step": np.float64(3.0)}, streams[1])
    torch.save(state, streams[2], _use_new_zipfile_serialization=False)
    return [save(dict(state)), *(stream.getvalue() for stream in streams)]


def in_header(content: bytes, edits: Sequence[Edit], other: bytes) -> bytes:
    """A safetensors file with another header; of zips, other records."""
    if content.startswith(b"PK"):
        return in_workbook(content, edits, other)
    length = int.from_bytes(content[:8], "little")
    try:
        header = as_json(edited_json(json.loads(content[8 : 8 + length]), edits))
    except ValueError:
        return edited(content, edits, other)
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def _pickles() -> list[bytes]:
    content = {
        "a": np.arange(3.0),
        "b": [1, "x", (2.5, None)],
        "c": np.float32(1),
        "d": {"e": {1, 2}},
        "f": np.array(["x"]),
    }
    return [pickle.dumps(content, protocol) for protocol in (2, 3, 4, 5)]


def _matrix(path: Path) -> None:
    read.matrix(path)
    read.layout(path)


def _response(path: Path) -> None:
    read.response_data(path, repeats="mean", missing="drop")


def _drugs(path: Path) -> None:
    pairs = pd.DataFrame({"cell": ["a", "b", "c"], "drug": ["1", "2", "3"], "ln_ic50": [0.5, 1.0, 2.0]})
    read.response_data(pairs, drugs=path)


def _cells(path: Path) -> None:
    drugs = pd.DataFrame({"drug": ["1"], "smiles": ["CCO"]})
    cells_to_predict(path, drugs=drugs)


def _weights_of_genes(path: Path) -> None:
    gene_weights(path, ["EGFR", "FASN"])


def _split(path: Path) -> None:
    read_split(pd.DataFrame(index=["a", "b", "c"]), path)


TEXTS = {
    target.name: target
    for target in (
        Target("tables", _tables(), read.table, "t.csv", unpacked),
        Target("spreadsheets", [workbook()], read.table, "t.xlsx", in_workbook),
        Target("matrices", _matrices(), _matrix, "t.csv", unpacked),
        Target(
            "responses",
            [RESPONSE, RESPONSE.replace(b",", b".").replace(b";", b"\t"), _response_parquet()],
            _response,
            "t.csv",
            unpacked,
        ),
        Target("drug tables", [DRUGS, parquet(pd.read_csv(io.BytesIO(DRUGS), sep="\t"))], _drugs, "t.csv", unpacked),
        Target("cells to predict", [MATRIX, GENES_IN_ROWS, gzip.compress(MATRIX, mtime=0)], _cells, "t.csv", unpacked),
        Target(
            "gene lists",
            [b"no,SYMBOL\n1,FASN\n2,ACACB\n", b"gene\nA\nB\n"],
            gene_list,
            "t.csv",
            unpacked,
        ),
        Target(
            "gene weights",
            [b"\tEGFR\tCDK4\n0\t0.5\t1\n1\t2\t3\n", b",0,1\nEGFR,1,2\nB,2,1\n"],
            _weights_of_genes,
            "t.csv",
            unpacked,
        ),
        Target("splits", [SPLIT], _split, "split.csv", unpacked),
        Target("gene sets", [GMT, gzip.compress(GMT, mtime=0)], gene_sets, "sets.gmt", unpacked),
        Target(
            "profile tables", [PROFILES, parquet(pd.read_csv(io.BytesIO(PROFILES)))], read.profiles, "t.csv", unpacked
        ),
        Target("gct", [GCT12, GCT13, gzip.compress(GCT13, mtime=0)], read.profiles, "t.gct", unpacked),
        Target("plans", [PLAN], plan.read, "plan.toml"),
        Target("dictionaries", _dictionaries(), read_dictionaries, "dictionaries"),
        Target("weights", _weights(), read_tensors, "model.bin", in_header),
        Target("pickles", _pickles(), read_pickle, "a.pkl"),
    )
}
