"""Sets of genes are read as they stand in GMT files, and what is no GMT file is refused in words."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from galenic.data.read import gene_sets


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sets = {f"set {i}": [f"G{g}" for g in rng.permutation(50)[: rng.integers(1, 20)]] for i in range(30)}
    lines = ["\t".join([name, "http://somewhere", *genes]) for name, genes in sets.items()]
    (tmp_path / "a.gmt").write_text("\n".join(lines))
    assert gene_sets(tmp_path / "a.gmt") == sets
    # Compressed, from Windows, with a byte order mark, padded by empty fields and blank lines: the same.
    text = "\r\n".join(f"{line}\t\t" for line in lines) + "\r\n\r\n"
    with gzip.open(tmp_path / "a.gmt.gz", "wb") as stream:
        stream.write(text.encode("utf-8-sig"))
    assert gene_sets(tmp_path / "a.gmt.gz") == sets


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"apoptosis,BAX,BCL2\n", "line 1 of x.gmt has 1 field"),
        (b"a\tb\tBAX\nstress\tno genes\n", "line 2 of x.gmt has 2 field"),
        (b"\tno name\tBAX\n", "line 1"),
        (b"a\t\tBAX\nb\t\tBAX\na\t\tBCL2\n", "'a' stands again in line 3"),
        (b"\n\t\n", "only blank lines"),
        (b"", "empty"),
        (b"a\tb\t\xe9\xff\n", "should be text in UTF-8"),
        (b"PAR1" + bytes(20), "parquet. Export it as GMT"),
        (b"{'a': 1}", "JSON"),
    ],
)
def test_what_is_no_gmt_file_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "x.gmt").write_bytes(content)
    with pytest.raises(ValueError, match=words):
        gene_sets(tmp_path / "x.gmt")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.gmt"):
        gene_sets(tmp_path / "nowhere.gmt")
