"""A benchmark plan: which data, which splits, which models, written in TOML."""

from __future__ import annotations

import dataclasses
import itertools
import math
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galenic.models import find
from galenic.models.base import Model
from galenic.models.fields import field_types, with_params
from galenic.work.near import did_you_mean

PARTS = ("title", "data", "split", "model")
SPLIT = {"by": ["cell"], "folds": 5, "seeds": [0]}
PATHS = (
    *("data", "response", "expression", "drugs", "cells", "symbols", "fold_file"),
    *("profiles", "gene_info", "sample_info", "annotations", "perturbed"),
)
"""Flags of the data that name files."""
MOST = 10_000
"""Models that the lists of one entry may stand for."""
LONGEST = 40
"""Letters of a label that a plan does not give."""


@dataclass(frozen=True)
class Plan:
    """A plan that was read and checked.

    Attributes
    ----------
    title
        Heading of the report.
    data
        Where the data lie: the flags of the command line by name.
    by, folds, seeds
        The splits.
    models
        Unfitted models by label.
    text
        The plan as it was written.
    """

    title: str
    data: dict[str, Any]
    by: tuple[str, ...]
    folds: int
    seeds: tuple[int, ...]
    models: dict[str, Model]
    text: str


def read(path: str | Path) -> Plan:
    """Read a plan file; paths in it are taken from the folder it lies in.

    A list given for a field that holds one value is a grid: one model for each value.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not TOML, or names an unknown table, model or field.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"a plan file is expected; {path} does not exist. Check the path.")
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} should be TOML; {error}. Correct that line.") from error
    unknown = set(content) - set(PARTS)
    if unknown:
        raise ValueError(
            f"a plan has title, [data], [split] and [[model]]; {path} also has {sorted(unknown)}. "
            f"{did_you_mean(min(unknown), PARTS, 'Remove them.')}"
        )
    if _largest(content) >= 1 << 63:
        raise ValueError(
            f"whole numbers of a plan should have 64 bits, as TOML says; {path} has a larger one. Correct it."
        )
    _require_kinds(content, path)
    split = SPLIT | content.get("split", {})
    if set(split) != set(SPLIT):
        hint = did_you_mean(min(set(split) - set(SPLIT)), SPLIT, "Correct the names.")
        raise ValueError(f"[split] has by, folds and seeds; {path} has {sorted(split)}. {hint}")
    by = [split["by"]] if isinstance(split["by"], str) else split["by"]
    lists = isinstance(by, list) and isinstance(split["seeds"], list)
    if not (
        lists and all(isinstance(one, str) for one in by) and all(map(_is_whole, [split["folds"], *split["seeds"]]))
    ):
        raise ValueError(
            f"[split] should have names in by, and whole numbers in folds and seeds = [...]; {path} has "
            f"{split!r:.200}. Correct the values."
        )
    return Plan(
        title=content.get("title", path.stem),
        data=_resolved(content.get("data", {}), path.parent),
        by=tuple(by),
        folds=split["folds"],
        seeds=tuple(split["seeds"]),
        models=_labelled(item for entry in content.get("model", []) for item in _models(entry)),
        text=text,
    )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _largest(content: Any) -> int:
    """The largest size of a whole number, anywhere in tables and lists."""
    if isinstance(content, (dict, list)):
        inner = content.values() if isinstance(content, dict) else content
        return max(map(_largest, inner), default=0)
    return abs(content) if isinstance(content, int) else 0


def _require_kinds(content: dict[str, Any], path: Path) -> None:
    """Raise ``ValueError`` where a table of the plan is something else."""
    title, data, split, models = (content.get(key) for key in ("title", "data", "split", "model"))
    wrong = {
        "title = 'text'": title is not None and not isinstance(title, str),
        "a table [data]": data is not None and not isinstance(data, dict),
        "a table [split]": split is not None and not isinstance(split, dict),
        "tables [[model]]": models is not None
        and not (isinstance(models, list) and all(isinstance(one, dict) for one in models)),
    }
    said = [what for what, is_wrong in wrong.items() if is_wrong]
    texts = [(name, (data or {}).get(name)) for name in PATHS] if not said else []
    texts += [(name, file) for name, file in _modalities(data).items()] if not said else []
    said += [
        f"names of files in {name}"
        for name, value in texts
        if value is not None
        and not all(isinstance(one, str) for one in (value if isinstance(value, list) else [value]))
    ]
    if said:
        raise ValueError(f"a plan should have {' and '.join(said)}; {path} has something else there. Correct it.")


def _modalities(data: dict[str, Any] | None) -> dict[str, Any]:
    named = (data or {}).get("modality")
    return named if isinstance(named, dict) else {}


def _resolved(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The flags of the data with their paths taken from ``folder``."""
    found = dict(data)
    for name in PATHS:
        if isinstance(found.get(name), list):
            found[name] = [str(folder / path) for path in found[name]]
        elif name in found:
            found[name] = str(folder / found[name])
    if isinstance(found.get("modality"), dict):
        found["modality"] = [f"{name}={folder / file}" for name, file in found["modality"].items()]
    return found


def _models(entry: dict[str, Any]) -> Iterator[tuple[str, Model]]:
    """Each model that a [[model]] table stands for, with its label."""
    fields = {key: value for key, value in entry.items() if key not in ("name", "label")}
    model = find(str(entry.get("name", "")))()
    kinds = field_types(type(model))
    grids = {
        key: value if isinstance(value, list) and "tuple" not in str(kinds.get(key)) else [value]
        for key, value in fields.items()
    }
    if not isinstance(entry.get("label", ""), str):
        raise ValueError(f"the label of a model should be text; received {entry['label']!r:.60}. Correct it.")
    n_models = math.prod(len(values) for values in grids.values())
    if n_models > MOST:
        raise ValueError(
            f"a [[model]] should stand for {MOST:,} models at most; the lists of {type(model).__name__} make "
            f"{n_models:,}. Shorten them."
        )
    for values in itertools.product(*grids.values()):
        changed = with_params(model, dict(zip(grids, values, strict=True)))
        varied = [f"{key}={value}" for key, value in zip(grids, values, strict=True) if len(grids[key]) > 1]
        named = [entry["label"], *varied] if "label" in entry else [type(model).__name__, *_changes(changed, model)]
        label = ", ".join(named)
        yield label if "label" in entry or len(label) <= LONGEST else f"{label[: LONGEST - 1]}…", changed


def _changes(model: object, usual: object) -> list[str]:
    """The fields in which two of a kind differ, those inside nested settings by their own names alone."""
    found = []
    for field in dataclasses.fields(model):  # type: ignore[arg-type]
        value, other = getattr(model, field.name), getattr(usual, field.name)
        if value != other:
            is_nested = dataclasses.is_dataclass(value) and type(value) is type(other)
            found += _changes(value, other) if is_nested else [f"{field.name}={value}"]
    return found


def _labelled(models: Iterable[tuple[str, Model]]) -> dict[str, Model]:
    """Models by label; a label that stood before gets a number."""
    found: dict[str, Model] = {}
    for label, model in models:
        name, number = label, 2
        while name in found:
            end = f" ({number})"
            # Cut like the others, number included.
            name = (label if len(label) + len(end) <= LONGEST else f"{label[: LONGEST - len(end) - 1]}…") + end
            number += 1
        found[name] = model
    return found
