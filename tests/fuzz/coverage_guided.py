"""Look for paths through our own parsers that no file has taken: python tests/fuzz/coverage_guided.py PARSER [-runs=N].

PARSER is one of gct, gctx, gmt, plans, pickles, dictionaries, smiles. Needs atheris (``pip install atheris``), which
galenic does not. What breaks the law ends the run; libFuzzer then writes the bytes to ``crash-*``.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["galenic"]):
    from galenic import plan
    from galenic.data import read
    from galenic.data.drugs import standardise
    from galenic.data.gctx import metadata
    from galenic.foundation import geneformer_dictionaries, weights

import pandas as pd
from hostile.law import outcome
from hostile.registry import target

PLACE = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))


def _read(name: str, how: Callable[[Path], object]) -> Callable[[bytes], None]:
    """A harness that writes bytes to a file and reads it."""

    def harness(content: bytes) -> None:
        path = PLACE / name
        path.write_bytes(content)
        outcome(how, path)

    return harness


def _metadata(content: bytes) -> None:
    """Columns of metadata as they come out of GCTX, from fields of text."""
    data = atheris.FuzzedDataProvider(content)
    names = [*metadata.PROFILE_COLUMNS, "pr_gene_id", "pr_gene_symbol", "pr_is_lm", "cell_id", "pert_dose"]
    n = data.ConsumeIntInRange(1, 4)
    columns = {
        data.PickValueInList(names): [data.ConsumeBytes(data.ConsumeIntInRange(0, 8)) for _ in range(n)]
        for _ in range(data.ConsumeIntInRange(0, 4))
    }
    table = pd.DataFrame(columns, index=[f"p{number}" for number in range(n)])
    outcome(metadata.canonical_profiles, table)
    outcome(metadata.canonical_genes, table, "a file")


def _smiles(content: bytes) -> None:
    texts = content.decode("utf-8", errors="replace").splitlines()[:5]
    outcome(standardise, pd.DataFrame({"smiles": texts}, index=[str(number) for number in range(len(texts))]))


def _pickles(content: bytes) -> None:
    outcome(weights.read_pickle, _written("a.pkl", content))


def _written(name: str, content: bytes) -> Path:
    path = PLACE / name
    path.write_bytes(content)
    return path


PARSERS: dict[str, tuple[str, Callable[[bytes], None]]] = {
    "gct": ("gct", _read("t.gct", read.profiles)),
    "gctx": ("", _metadata),
    "gmt": ("gene sets", _read("t.gmt", read.gene_sets)),
    "plans": ("plans", _read("plan.toml", plan.read)),
    "pickles": ("pickles", _pickles),
    "dictionaries": ("", _read("token_dictionary.json", geneformer_dictionaries.read_dictionaries)),
    "smiles": ("", _smiles),
}


def main() -> None:
    """Fuzz the parser that is named first; everything else goes to libFuzzer."""
    if len(sys.argv) < 2 or sys.argv[1] not in PARSERS:
        sys.exit(f"a parser should be one of {', '.join(PARSERS)}; received {sys.argv[1:2]}. Name one.")
    valid, harness = PARSERS[sys.argv.pop(1)]
    if valid:
        corpus = Path(tempfile.mkdtemp())
        for number, content in enumerate(target(valid).valid):
            if isinstance(content, bytes):
                (corpus / str(number)).write_bytes(content)
        sys.argv.append(str(corpus))
    atheris.Setup(sys.argv, harness)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
