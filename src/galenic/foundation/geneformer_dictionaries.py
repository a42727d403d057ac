"""What Geneformer's tokens stand for: its dictionaries, found in the user's folder; nothing in them is executed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from galenic.data.checks import first
from galenic.data.read.tables import table
from galenic.foundation.weights import read_pickle

NAMES = re.compile(r"(token_dictionary|token_dict|_tokens?\b|^tokens?\b|median|ensembl_mapping|name_id|symbol)", re.I)
SUFFIXES = (".pkl", ".pickle", ".json", ".tsv", ".csv", ".txt", ".tsv.gz", ".csv.gz", ".txt.gz")
ENSEMBL_ID = re.compile(r"ENS[A-Z]*G\d{11}")
COLUMNS = {
    "ensembl": ("ensembl_id", "ensembl", "ensembl_gene_id", "gene_id"),
    "token": ("token", "token_id"),
    "median": ("median", "gene_median", "nonzero_median"),
    "symbol": ("symbol", "gene_symbol", "gene_name"),
    "collapsed": ("ensembl_id_collapsed", "collapsed", "current_ensembl_id"),
}
PAD, CLS, EOS = "<pad>", "<cls>", "<eos>"
MEANINGS = {"tokens": "genes to tokens", "medians": "genes to medians"}
Pairs: TypeAlias = list[tuple[str, Any]]


@dataclass(frozen=True)
class Dictionaries:
    """Tokens and medians of genes by Ensembl id, and how other names lead to these ids.

    Parameters
    ----------
    tokens
        Ensembl ids, ``<pad>`` and, of newer models, ``<cls>`` and ``<eos>``, to whole numbers from 0.
    medians
        Ensembl id to the median of the gene's non-zero values in the cells that the model was trained on.
    collapsed
        Ensembl ids that mean the same gene as an id of ``tokens``.
    symbols
        Symbols to Ensembl ids.

    Raises
    ------
    ValueError
        If tokens repeat, ``<pad>`` or the median of a gene is absent, or only one of ``<cls>`` and ``<eos>`` is there.
    """

    tokens: Mapping[str, int]
    medians: Mapping[str, float]
    collapsed: Mapping[str, str] = field(default_factory=dict)
    symbols: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        numbers = np.array(list(self.tokens.values()))
        if PAD not in self.tokens or len(np.unique(numbers)) < len(numbers) or int(numbers.min(initial=0)) < 0:
            raise ValueError(
                f"a dictionary of tokens should have {PAD} and a number of its own for each gene, from 0; it has "
                f"{len(numbers):,} names (first: {first(self.tokens)}) and {len(np.unique(numbers)):,} numbers. "
                "Name the dictionary that was published with the model."
            )
        if (CLS in self.tokens) != (EOS in self.tokens):
            raise ValueError(
                f"a dictionary of tokens should have both {CLS} and {EOS} or neither; it has one of them. "
                "Name the dictionary that was published with the model."
            )
        lost = [gene for gene in self.genes if not self.medians.get(gene, np.nan) > 0]
        if lost:
            raise ValueError(
                f"every gene with a token should have a median above 0; {len(lost):,} of {len(self.genes):,} have none "
                f"(first: {first(lost)}). Name the medians that were published with these tokens."
            )

    @property
    def genes(self) -> list[str]:
        """Ensembl ids that have a token."""
        return [name for name in self.tokens if not name.startswith("<")]

    @property
    def ends(self) -> tuple[int, int] | None:
        """Tokens that begin and end each cell (``<cls>``, ``<eos>``); None for models without."""
        return (self.tokens[CLS], self.tokens[EOS]) if CLS in self.tokens else None

    def require_fit(self, vocab_size: int, pad: int) -> Dictionaries:
        """These dictionaries, if they are those of a model with ``vocab_size`` tokens; ``ValueError`` otherwise."""
        highest = max(self.tokens.values())
        if len(self.tokens) != vocab_size or highest >= vocab_size or self.tokens[PAD] != pad:
            raise ValueError(
                f"the dictionary of tokens should be that of the model ({vocab_size:,} tokens, {PAD} = {pad}); it has "
                f"{len(self.tokens):,} tokens up to {highest:,}, {PAD} = {self.tokens[PAD]}. The dictionaries of one "
                "series of models (30M, 95M, 104M cells) do not serve another: name those of this one."
            )
        return self


def read_dictionaries(places: Path | str | Sequence[Path | str]) -> Dictionaries:
    """Read dictionaries from a folder or from files.

    Parameters
    ----------
    places
        A folder, in which files are told by their names (``*token_dictionary*``, ``*median*``, ``*ensembl_mapping*``,
        ``*name_id*``, ``*symbol*``) and content, or a list of files. Pickles (restricted: nothing in them is executed),
        JSON objects, and tables (TSV, CSV, also compressed) with columns of ``ensembl_id``, ``token``, ``median``,
        ``symbol``, ``ensembl_id_collapsed``.

    Raises
    ------
    FileNotFoundError
        If a place does not exist.
    ValueError
        If tokens or medians are not found, one is found twice, or a file is damaged or asks for code.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "tokens.json").write_text('{"<pad>": 0, "ENSG00000141510": 1}')
    ...     _ = Path(folder, "medians.json").write_text('{"ENSG00000141510": 2.5}')
    ...     read_dictionaries(folder).genes
    ['ENSG00000141510']
    """
    files = _files(places)
    found: dict[str, dict[str, Any]] = {}
    holders: dict[str, Path] = {}
    symbols: list[tuple[str, str]] = []
    for path in files:
        for role, values in _read(path).items():
            if role == "symbols":
                symbols += values
            elif role in found and role != "collapsed":
                raise ValueError(
                    f"one file should lead {MEANINGS[role]}; {holders[role].name} and {path.name} both do. "
                    "Name the files of this model, as a list."
                )
            else:
                found[role], holders[role] = {**found.get(role, {}), **dict(values)}, path
    lost = [role for role in ("tokens", "medians") if role not in found]
    if lost:
        raise ValueError(
            f"dictionaries of {' and '.join(MEANINGS[role] for role in lost)} are expected; there are none in "
            f"{_shown(places)} ({len(files):,} files looked at: {first(path.name for path in files)}). They are "
            "published beside the model, in its folder 'geneformer': name that folder, or the files, as dictionaries."
        )
    return Dictionaries(**found, symbols=_one_id(symbols, found["tokens"], found.get("collapsed", {})))


def _one_id(pairs: list[tuple[str, str]], tokens: Mapping[str, int], collapsed: Mapping[str, str]) -> dict[str, str]:
    """One Ensembl id for each symbol: of several the first that has a token, else the first."""
    with_token = {symbol: gene for symbol, gene in reversed(pairs) if collapsed.get(gene, gene) in tokens}
    return dict(reversed(pairs)) | with_token


def places_of(folder: Path) -> list[Path]:
    """Folders in which the dictionaries of a model usually lie: its own, and those of the published repository."""
    beside = [
        place
        for root in (folder, folder.parent)
        for place in (root / "geneformer", *sorted((root / "geneformer").glob("gene_dictionaries*")))
    ]
    return [place for place in (folder, folder / "dictionaries", *beside) if place.is_dir()]


def find_dictionaries(folder: Path, vocab_size: int, pad: int) -> Dictionaries:
    """Those dictionaries near a model's folder that fit it; ``ValueError`` that says where was looked if none does."""
    said = []
    for place in places_of(folder):
        if _files(place):
            try:
                return read_dictionaries(place).require_fit(vocab_size, pad)
            except ValueError as error:
                if place in (folder, folder / "dictionaries"):
                    raise
                said.append(str(error))
    raise ValueError(
        f"the dictionaries of the model should lie in {folder} or beside it, as published (geneformer/); in "
        f"{first(places_of(folder), 6)} there are none that fit{': ' + said[0] if said else ''}. Name their folder, or "
        "the files, as dictionaries."
    )


def _files(places: Path | str | Sequence[Path | str]) -> list[Path]:
    paths = [Path(place) for place in ([places] if isinstance(places, str | Path) else places)]
    absent = [str(path) for path in paths if not path.exists()]
    if absent:
        raise FileNotFoundError(
            f"dictionaries should be a folder or files; {len(absent):,} do not exist (first: {first(absent)}). "
            "Check the paths."
        )
    inside = [path for place in paths if place.is_dir() for path in sorted(place.iterdir()) if _is_candidate(path)]
    return [*(path for path in paths if path.is_file()), *inside]


def _is_candidate(path: Path) -> bool:
    return path.is_file() and path.name.lower().endswith(SUFFIXES) and NAMES.search(path.name) is not None


def _read(path: Path) -> dict[str, Pairs]:
    """What a file leads from and to, by role; empty if it is none of the dictionaries."""
    name = path.name.lower()
    if name.endswith((".pkl", ".pickle")):
        return _told(read_pickle(path), path)
    if name.endswith(".json"):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{path.name} should be a JSON object; it cannot be read ({error}). Export it again."
            ) from error
        return _told(content, path)
    return _from_table(path)


def _told(content: Any, path: Path) -> dict[str, Pairs]:
    """A dictionary by what it holds."""
    if not isinstance(content, Mapping) or not content:
        raise ValueError(
            f"{path.name} should be a dictionary of genes with content; it holds a {type(content).__name__}. "
            "Name the published files."
        )
    pairs = [(str(key), value) for key, value in content.items()]
    n_ensembl = sum(ENSEMBL_ID.match(key) is not None for key, _ in pairs)
    are_ensembl = n_ensembl > 0.5 * sum(not key.startswith("<") for key, _ in pairs)
    if all(isinstance(value, str) for _, value in pairs):
        return {"collapsed" if are_ensembl else "symbols": pairs}
    if all(isinstance(value, int | float | np.number) and not isinstance(value, bool) for _, value in pairs):
        if PAD in content:
            return {"tokens": _whole(pairs, path)}
        if are_ensembl:
            return {"medians": [(gene, _number(value, path)) for gene, value in pairs]}
    return {}  # a file of another kind with a similar name


def _from_table(path: Path) -> dict[str, Pairs]:
    frame = table(path)
    named = {role: next((name for name in names if name in frame), None) for role, names in COLUMNS.items()}
    if named["ensembl"] is None:
        raise ValueError(
            f"{path.name} should have a column of Ensembl ids ({first(COLUMNS['ensembl'], 4)}); it has "
            f"{first(frame.columns, 8)}. Rename it."
        )
    ids = frame[named["ensembl"]].astype(str)
    pairs: dict[str, Pairs] = {}
    for role, column in named.items():
        if role != "ensembl" and column is not None:
            known = frame[column].notna()
            pairs[role] = list(zip(ids[known], frame.loc[known, column], strict=True))
    found: dict[str, Pairs] = {"collapsed": [(gene, str(value)) for gene, value in pairs.get("collapsed", [])]}
    found["symbols"] = [(str(symbol), gene) for gene, symbol in pairs.get("symbol", []) if not gene.startswith("<")]
    found["medians"] = [(gene, _number(value, path)) for gene, value in pairs.get("median", [])]
    found["tokens"] = _whole(pairs.get("token", []), path)
    return {role: values for role, values in found.items() if values}


def _whole(pairs: Pairs, path: Path) -> Pairs:
    broken = [value for _, value in pairs if not _number(value, path).is_integer()]
    if broken:
        raise ValueError(
            f"the tokens of {path.name} should be whole numbers; {len(broken):,} are not (first: {first(broken)}). "
            "Export it again."
        )
    # By way of the number that was looked at: int() reads '3' but not the text '3.0'.
    return [(gene, int(_number(value, path))) for gene, value in pairs]


def _number(value: Any, path: Path) -> float:
    try:
        return float(value)
    except (ValueError, TypeError, OverflowError):
        shown = repr(value)[:40] if isinstance(value, str) else type(value).__name__
        raise ValueError(
            f"tokens and medians of {path.name} should be numbers; one is {shown}. Export it again."
        ) from None


def _shown(places: Path | str | Sequence[Path | str]) -> str:
    return str(places) if isinstance(places, str | Path) else first(str(place) for place in places)
