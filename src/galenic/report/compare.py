"""Several runs on one page: what their scores say of each other, and what differs between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from galenic.plots.figures.scores import score_dots
from galenic.report.blocks import Block, Cell, Facts, Figures, Section, Table, Text
from galenic.report.comparable import Side, difference, listed, obstacle, sides
from galenic.report.page import Head, render
from galenic.report.run import replace
from galenic.report.scores import is_lower_better, is_same
from galenic.report.sections import SAID, glossary, hashes, moment, setting
from galenic.report.words import NOTHING, counted, interval, metric_name, score, split_name
from galenic.version import __version__

OURS = '<meta name="generator" content="galenic '
CLAIMS = {
    "beats": ("better", "good"),
    "not": ("no difference is shown, as the interval covers 0", "note"),
    "worse": ("worse", "bad"),
    "unknown": ("there is no interval, as there are too few folds", "note"),
}
N_HASH = 12
"""Characters of a hash that tell files apart on a page."""


def write_comparison(folders: Sequence[str | Path], out: str | Path = "compare.html") -> Path:
    """Write one page that compares run folders; the first is the one that others are compared with.

    Parameters
    ----------
    folders
        Two or more run folders.
    out
        The page; one that galenic wrote is replaced.

    Returns
    -------
    pathlib.Path
        The page.

    Raises
    ------
    FileNotFoundError, ValueError
        If a folder is no run folder or cannot be read, if fewer than two are named or one twice, or if ``out`` is a
        folder or a file that galenic did not write. Nothing is written then.

    Notes
    -----
    Scores are compared where two runs were tested on the same rows in the same folds (see
    :func:`galenic.report.comparable.obstacle`), with the interval of :func:`galenic.evaluate.paired`; elsewhere the
    page says why they are not.

    Examples
    --------
    >>> import tempfile
    >>> from galenic.report import start
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("one", "two"):
    ...     with start(folder / name, verb="fit", command="galenic fit ridge", fields={"name": name}) as run:
    ...         run.write("truth", pd.DataFrame({"drug": ["5"], "feature": ["G1"], "found": [True]}))
    >>> write_comparison([folder / "one", folder / "two"], folder / "compare.html").name
    'compare.html'
    """
    place = Path(out)
    _require_ours(place)
    found = sides(folders)
    html = render(_head(found), compared(found))
    place.parent.mkdir(parents=True, exist_ok=True)
    replace(place, lambda path: path.write_text(html, encoding="utf-8"))
    return place


def compared(found: Sequence[Side]) -> list[Section]:
    """The sections of the page: the answer, scores, what differs, warnings, words, how to repeat each run."""
    sections = [_answer(found), _scores(found), _differences(found), _warnings(found)]
    shown = [section for section in sections if section is not None]
    items: dict[str, str] = {}
    for side in found:
        words = glossary(side.run, shown)
        items |= dict(words.blocks[0].items) if words and isinstance(words.blocks[0], Facts) else {}
    shown += [Section("glossary", "Words", "", [Facts(list(items.items()), is_list=True)])] if items else []
    return [*shown, _provenance(found)]


def _require_ours(place: Path) -> None:
    """Raise ``ValueError`` where the page would replace something that galenic did not write."""
    if place.is_dir():
        raise ValueError(
            f"--out should be the name of a page; {place} is a folder. Add a name: {place / 'compare.html'}"
        )
    if place.exists() and OURS not in place.read_text(encoding="utf-8", errors="replace")[:4000]:
        raise ValueError(
            f"--out should be a new file, or a page that galenic wrote; {place} is another file. Choose another name."
        )


def _head(found: Sequence[Side]) -> Head:
    verbs = list(dict.fromkeys(side.run.record["verb"] for side in found))
    facts = [f"galenic {__version__}", f"runs of galenic {listed(verbs)}"]
    undone = [side.label for side in found if side.run.record["state"] != "done"]
    trouble = Text(f"Not finished: {listed(undone)}. What they had written by then is compared.", "warning")
    title = f"{listed([side.label for side in found])} compared"
    return Head(title, "report", __version__, facts, trouble if undone else None)


def _splits(found: Sequence[Side]) -> list[str]:
    return list(dict.fromkeys(split for side in found for split in side.splits))


def _model(side: Side, split: str) -> str | None:
    """The model that a run stands for on a split: the one it fits, the best, or, of floors alone, the best floor."""
    if side.scores is None or split not in side.splits:
        return None
    asked = side.scores.fitted
    if asked in set(side.scores.table.loc[side.scores.table["split"] == split, "model"]):
        return str(asked)
    return side.scores.best(split, floor=False) or side.scores.best(split, floor=True)


def _answer(found: Sequence[Side]) -> Section:
    blocks: list[Block] = []
    splits = _splits(found)
    for split in splits:
        blocks += [Text(split_name(split).capitalize(), "heading")] if len(splits) > 1 else []
        reference, *others = [side for side in found if split in side.splits]
        blocks += [_said(side, reference, split) for side in others]
        absent = [side.label for side in found if side.scores is not None and split not in side.splits]
        if absent:
            said = f"{listed(absent)} {'was' if len(absent) == 1 else 'were'} not scored on {split_name(split)}"
            blocks.append(Text(said + ("." if others else f", so that {reference.label} stands alone."), "note"))
    without = [side.label for side in found if side.scores is None]
    if without:
        plural = "has" if len(without) == 1 else "have"
        blocks.append(
            Text(f"{listed(without)} {plural} no scores of folds: only settings and data are compared.", "note")
        )
    how = (
        f"Each run stands for the model it fits, or its best one; all are compared with {found[0].label}, the first "
        "that was named. Differences are claimed only where both were tested on the same rows."
    )
    return Section("answer", "The answer", how if splits else "", blocks)


def _said(side: Side, reference: Side, split: str) -> Text:
    """One sentence on a run and the first: how much better it is, or why that cannot be said."""
    why = obstacle(side, reference, split)
    pair = f"{side.label} and {reference.label}"
    if why:
        return Text(f"On {split_name(split)}, {pair} are not comparable: {why}.", "note")
    model, base = _model(side, split), _model(reference, split)
    metric = _metric(reference, split)
    found = difference(side, str(model), reference, str(base), split, metric) if model and base else None
    if found is None or found.value != found.value:
        return Text(f"On {split_name(split)}, {pair} have no score in common.", "note")
    unit = reference.run.record["data"].get("unit", "")
    values = [_value(one, split, metric, str(name)) for one, name in ((side, model), (reference, base))]
    start = (
        f"On {split_name(split)}, {model} of {side.label} has {metric_name(metric, unit=unit)} {score(values[0])} "
        f"against {score(values[1])} for {base} of {reference.label}"
    )
    if is_same(found.value, found.low, found.high) or (found.verdict == "unknown" and is_same(found.value)):
        return Text(f"{start}: they are the same.", "note")
    words, kind = CLAIMS[found.verdict]
    span = interval(found.low, found.high)
    shown = f"{score(found.value, signed=True)} {span}".strip()
    return Text(f"{start}; the difference over {counted(found.n, 'folds')} is {shown}: {words}.", kind)


def _metric(side: Side, split: str) -> str:
    return side.scores.main_metric(split) if side.scores else ""


def _value(side: Side, split: str, metric: str, model: str) -> float:
    rows = side.scores.of(split, metric).set_index("model")["value"] if side.scores else pd.Series(dtype=float)
    return float(rows.get(model, float("nan")))


def _scores(found: Sequence[Side]) -> Section | None:
    blocks: list[Block] = []
    splits = _splits(found)
    for split in splits:
        reference = next(side for side in found if split in side.splits)
        blocks += [Text(split_name(split).capitalize(), "heading")] if len(splits) > 1 else []
        blocks += _of_split([side for side in found if split in side.splits], reference, split)
    how = (
        "Dots are models, open diamonds are the best floor of each run, bars are 95 % intervals over folds; the dashed "
        "line is the best floor of the run that the others are compared with. Runs that are not comparable with it are "
        "in the table alone."
    )
    return Section("scores", "Scores beside floors", how, blocks) if blocks else None


def _of_split(found: Sequence[Side], reference: Side, split: str) -> Iterator[Block]:
    metric = _metric(reference, split)
    unit = reference.run.record["data"].get("unit", "")
    axis = metric_name(metric, unit=unit)
    apart = {side.label: "" if side is reference else obstacle(side, reference, split) for side in found}
    rows = pd.concat([_rows(side, split, metric) for side in found], ignore_index=True)
    rows = rows.sort_values("value", ascending=is_lower_better(metric), na_position="last", ignore_index=True)
    drawn = rows[rows["label"].map(apart).eq("") & rows["value"].notna()]
    named = drawn.assign(model=drawn["label"] + ": " + drawn["model"])
    floors = drawn[drawn["is_floor"]]
    floor = floors.loc[floors["label"] == reference.label, "value"].mean()
    if len(drawn):
        better = "lower" if is_lower_better(metric) else "higher"
        figure = score_dots(named, set(named.loc[named["is_floor"], "model"]), axis, float(floor), float("nan"))
        yield Figures([(f"{split_name(split).capitalize()}: {axis}; {better} is better.", figure)])
    cells = [_line(row, found, reference, split, metric, apart) for row in rows.to_dict("records")]
    head = ["run", "model", axis, "difference to its best floor", f"difference to {reference.label}"]
    yield Table(head, cells, f"Scores of the runs, {split_name(split)}; 95 % intervals below.")


def _rows(side: Side, split: str, metric: str) -> pd.DataFrame:
    """Scores of a run by a metric: its models, and of its floors the best."""
    if side.scores is None:
        return pd.DataFrame()
    table = side.scores.of(split, metric)
    is_floor = table["model"].isin(side.scores.floors)
    kept = table[~is_floor | (table["model"] == side.scores.best(split, floor=True))]
    return kept.assign(label=side.label, is_floor=is_floor)


def _line(
    row: Mapping[Any, Any], found: Sequence[Side], reference: Side, split: str, metric: str, apart: Mapping[str, str]
) -> list[Cell | str]:
    side = next(side for side in found if side.label == row["label"])
    model = str(row["model"])
    value = Cell(score(row["value"]), interval(row["low"], row["high"]), row["value"])
    badge = "best floor" if row["is_floor"] else ""
    return [row["label"], Cell(model, badge=badge), value, _to_floor(side, split, model, metric),
            _to_reference(side, model, reference, split, metric, apart[side.label])]  # fmt: skip


def _to_floor(side: Side, split: str, model: str, metric: str) -> Cell:
    row = None
    if side.scores is not None and model not in side.scores.floors:
        row = side.scores.against_floor(split, model, metric)
    if row is None:
        return Cell(NOTHING, sort=float("nan"))
    return Cell(score(row["difference"], signed=True), interval(row["low"], row["high"]), row["difference"])


def _to_reference(side: Side, model: str, reference: Side, split: str, metric: str, why: str) -> Cell:
    base = _model(reference, split)
    if why:
        return Cell("not comparable", kind="quiet", sort=float("nan"))
    if side is reference and model == base:
        return Cell("is compared with", kind="quiet", sort=float("nan"))
    found = difference(side, model, reference, str(base), split, metric)
    if found is None or found.value != found.value:
        return Cell(NOTHING, sort=float("nan"))
    if is_same(found.value) and (found.low != found.low or is_same(found.low, found.high)):
        return Cell("the same", kind="quiet", sort=0.0)
    kind = {"beats": "good", "worse": "bad"}.get(found.verdict, "")
    return Cell(score(found.value, signed=True), interval(found.low, found.high), found.value, kind)


def _differences(found: Sequence[Side]) -> Section:
    """What was asked for, read and run with, where the runs differ; the rest is counted."""
    lists = [_facts(side) for side in found]
    names = list(dict.fromkeys(name for facts in lists for name in facts))
    values = {name: [facts.get(name, NOTHING) for facts in lists] for name in names}
    differ = [name for name in names if len(set(values[name])) > 1]
    alone = [name for name in differ if sum(name in facts for facts in lists) == 1]
    rows: list[list[Cell | str]] = [[name, *values[name]] for name in differ if name not in alone]
    blocks: list[Block] = []
    same = f"Of what the runs have on record, {len(names) - len(differ)} of {len(names)} entries are the same in all."
    if rows:
        blocks.append(Table(["what", *(side.label for side in found)], rows, same))
    elif not alone:
        blocks.append(Text("Nothing differs: command, settings, data, seeds and versions are the same.", "note"))
    for side, facts in zip(found, lists, strict=True):
        own = [(name, facts[name]) for name in alone if name in facts]
        blocks += [Text(f"Only {side.label} has", "heading"), Facts(own, is_grid=True)] if own else []
    how = f"Files are told apart by the first {N_HASH} characters of their hash: equal hashes mean equal files."
    return Section("differences", "What differs", how, blocks)


def _facts(side: Side) -> dict[str, str]:
    record = side.run.record
    facts: dict[str, Any] = {"verb": record["verb"], "state": record["state"], "command": record["command"]}
    facts["seed"] = record["seed"]
    fields = {name: value for name, value in record["fields"].items() if name not in (*SAID, "seed")}
    for start, values in (("", fields), ("data read: ", record["data"])):
        for name, value in values.items():
            inner = value if isinstance(value, Mapping) else {"": value}
            facts |= {f"{start}{name}{': ' if key else ''}{key}": one for key, one in inner.items()}
    facts |= {f"file {Path(str(item['path'])).name}": str(item["sha256"])[:N_HASH] for item in record["inputs"]}
    facts |= {"galenic": record["galenic"], **record["versions"]}
    return {str(name): setting(value) for name, value in facts.items() if value not in (None, "", [])}


def _warnings(found: Sequence[Side]) -> Section | None:
    blocks: list[Text] = []
    for side in found:
        notes = side.run.record["warnings"]
        blocks += [Text(side.label, "heading"), *(Text(str(note), "warning") for note in notes)] if notes else []
    n = sum(len(side.run.record["warnings"]) for side in found)
    return Section("warnings", f"Warnings ({n})", "They did not stop the runs.", blocks) if blocks else None


def _provenance(found: Sequence[Side]) -> Section:
    blocks: list[Block] = []
    for side in found:
        record = side.run.record
        blocks.append(Text(side.label, "heading"))
        blocks += [Text(record["command"], "code")] if record["command"] else []
        items = [("folder", str(side.run.folder)), ("galenic", record["galenic"]), ("seed", record["seed"]),
                 ("started", moment(record["started"])), ("finished", moment(record.get("finished")))]  # fmt: skip
        blocks.append(Facts([(name, setting(value)) for name, value in items if value not in (None, "")], is_grid=True))
        blocks += [hashes(record["inputs"])] if record["inputs"] else []
    return Section("provenance", "How to repeat this", "Each command repeats its run.", blocks)
