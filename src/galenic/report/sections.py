"""The sections of the report in their order; each is a plain function of the run and may find nothing to show."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from galenic.report.biology import atoms, biomarkers, patients, ranked_drugs, same_leaders
from galenic.report.blocks import Cell, Facts, Section, Table, Text
from galenic.report.calibration import calibration
from galenic.report.cells import CELL_GLOSSARY, calls, drug_ranking, is_of_cells, maps
from galenic.report.cells_genes import faithful, genes, sets
from galenic.report.cells_scores import cell_calibration, cell_scores, cell_shift, few_shot, source
from galenic.report.cells_single import by_value, forces
from galenic.report.codes import codes, interactions, similar
from galenic.report.downstream import LABEL_GLOSSARY, LABEL_SPLITS
from galenic.report.ensembles import ENSEMBLE_GLOSSARY, agreed, dimensions, pathways
from galenic.report.neighbours import neighbours
from galenic.report.performance import beside_floors, predicted_and_observed, scores_by_drug
from galenic.report.perturbation import conditions
from galenic.report.run import Run
from galenic.report.scores import EFFECTS, Outcome, Scores, sentence
from galenic.report.search import asked, enriched, hits
from galenic.report.skill import KINDS as SKILL_KINDS
from galenic.report.skill import by_skill, skills
from galenic.report.targets import TARGET_GLOSSARY, targets
from galenic.report.training import training
from galenic.report.words import (
    EFFECT_GLOSSARY,
    EFFECT_SPLITS,
    GLOSSARY,
    SEARCH_GLOSSARY,
    SPLITS,
    UNITS,
    count,
    metric_name,
    number,
    split_name,
)

DATA = ("pairs", "cells", "drugs", "profiles", "perturbagens", "conditions", "contexts", "perturbations", "genes")
SAID = ("judged", "direction", "shift", "source")
"""Fields that other sections put into words."""
SHORT = 40
"""Characters of a setting that stands beside others."""
EFFECT_TABLES = ("conditions", "effects", "skill", "codes", "similar", "interaction")
KINDS = {"beats": "good", "not": "bad", "worse": "bad", "unknown": "note"}


def answers(run: Run) -> list[tuple[Outcome, str]]:
    """The outcome of each split, and what it says in one sentence.

    Of effects of perturbations the skill over conditions decides, against the floor that is best by the metric.
    """
    scores = Scores.of_run(run)
    if scores is None:
        return []
    unit = run.record["data"].get("unit", "")
    outcomes = [scores.outcome(split) for split in scores.splits]
    said = [(it, sentence(it, split_name(it.split), metric_name(it.metric, unit=unit))) for it in outcomes]
    return [by_skill(run, outcome) or (outcome, words) for outcome, words in said]


def headline(run: Run) -> Section | None:
    """What each split asked, and the answer in one sentence."""
    found = answers(run)
    is_of_effects = any(outcome.metric == EFFECTS for outcome, _ in found)
    questions = SPLITS | EFFECT_SPLITS if is_of_effects else SPLITS
    questions = SPLITS | LABEL_SPLITS if run.record["verb"] == "downstream" else questions
    blocks: list[Text] = []
    for outcome, said in found:
        question = questions.get(outcome.split, ("", ""))[1]
        blocks += [Text(question, "question")] if question else []
        blocks.append(Text(said, (SKILL_KINDS if is_of_effects else KINDS)[outcome.verdict]))
        untested = (run.record["data"].get("untested") or {}).get(outcome.split, "")
        blocks += [Text(f"On {split_name(outcome.split)}, {untested}", "note")] if untested else []
    if not found:
        blocks += _predicted(run)
    if not blocks:
        return None
    how = (
        "'Best' is the model with the best mean on the data that score it, so with many models its score is a little "
        "too good; a floor is a simple baseline that "
    )
    how += "adds up means of measured effects." if is_of_effects else "learned nothing from genes."
    return Section("answer", "The answer", how if found else "", blocks)


def _predicted(run: Run) -> list[Text]:
    """What a run without scores predicted, with which model, and how far that model can be trusted."""
    predictions, ranking = run.table("predictions"), run.table("ranking")
    if predictions is None:
        return []
    pairs, cells, drugs = (count(n) for n in (len(predictions), *predictions[["cell", "drug"]].nunique()))
    model = run.record["fields"].get("model")
    by = f" by {model}" if isinstance(model, str) else ""
    blocks = [Text(f"Responses predicted{by}: {pairs} ({cells} cells × {drugs} drugs).", "note")]
    same = "" if ranking is None else same_leaders(ranking)
    blocks += [Text(same, "note")] if same else []
    judged = run.record["fields"].get("judged") or []
    return blocks + [Text("How far to trust this", "heading")] * bool(judged) + [Text(said, "note") for said in judged]


def data(run: Run) -> Section | None:
    """What the run was computed on, and what reading dropped and why."""
    facts = run.record["data"]
    coverage = run.table("coverage")
    tiles = [(name, count(facts[name])) for name in DATA if name in facts]
    tiles += [("unit", UNITS.get(facts["unit"], str(facts["unit"])))] if "unit" in facts else []
    modalities = facts.get("modalities") or {}
    tiles += (
        [(f"{name} features", count(n)) for name, n in modalities.items()] if isinstance(modalities, Mapping) else []
    )
    blocks: list[Facts | Table] = [Facts(tiles)] if tiles else []
    if coverage is not None and len(coverage):
        rows: list[list[Cell | str]] = [
            [
                _text(row["step"]),
                *(Cell(count(row[name]), sort=row[name]) for name in ("kept", "dropped")),
                _text(row["why"]),
                Cell(_text(row.get("examples")), kind="quiet"),
            ]
            for row in coverage.to_dict("records")
        ]
        blocks.append(Table(["step", "kept", "dropped", "why", "examples"], rows, "What reading kept and dropped."))
    if not blocks:
        return None
    how = "If much was dropped for a reason you do not expect, stop here: ids of two files may not be of one kind."
    return Section("data", "The data", how if isinstance(blocks[-1], Table) else "", blocks)


def warnings(run: Run) -> Section | None:
    """The warnings raised during the run."""
    notes = [Text(str(note), "warning") for note in run.record["warnings"]]
    how = "They did not stop the run; each may make its results poorer."
    return Section("warnings", f"Warnings ({len(notes)})", how, list(notes)) if notes else None


def provenance(run: Run) -> Section:
    """Command, settings, versions, hashes and timings: what it takes to repeat the run."""
    record = run.record
    blocks: list[Text | Facts | Table] = [Text(record["command"], "code")] if record["command"] else []
    if record["inputs"]:
        blocks.append(hashes(record["inputs"]))
    memory = record.get("peak_memory_mb")
    groups = {
        "Settings": [
            ("seed", record["seed"]),
            *((name, value) for name, value in record["fields"].items() if name not in (*SAID, "seed")),
        ],
        "Versions": list({"galenic": record["galenic"], **record["versions"]}.items()),
        "Time and memory": [
            ("started", moment(record["started"])),
            ("finished", moment(record.get("finished"))),
            *((name, f"{number(value, 1)} s") for name, value in record["seconds"].items()),
            ("peak memory", f"{count(memory)} MB, largest process" if memory else ""),
        ],
    }
    for title, pairs in groups.items():
        items = [(name, setting(value)) for name, value in pairs if value not in (None, "", [])]
        short = [item for item in items if len(item[1]) <= SHORT]
        long = [item for item in items if len(item[1]) > SHORT]
        blocks += [Text(title, "heading")] if items else []
        blocks += [Facts(short, is_grid=True)] if short else []
        blocks += [Facts(long, is_list=True)] if long else []
    how = "The command repeats the run; equal hashes mean equal inputs."
    return Section("provenance", "How to repeat this", how if record["command"] else "", blocks)


def hashes(inputs: list[dict[str, Any]]) -> Table:
    """Files that were read, with size and hash."""
    rows: list[list[Cell | str]] = [
        [str(item["path"]), Cell(count(item.get("bytes")), sort=item.get("bytes")), Cell(item["sha256"], kind="code")]
        for item in inputs
    ]
    return Table(["input", "bytes", "sha256"], rows, "Files that were read.")


def glossary(run: Run, shown: Sequence[Section] | None = None) -> Section | None:
    """The words of the report, of those the ones that these sections use; a search has its own, and so have others."""
    scores = Scores.of_run(run)
    is_of_effects = scores is not None and any(map(scores.is_of_effects, scores.splits))
    is_of_effects = is_of_effects or any(run.table(name) is not None for name in EFFECT_TABLES)
    words = EFFECT_GLOSSARY if is_of_effects else SEARCH_GLOSSARY if run.record["verb"] == "search" else GLOSSARY
    words = ENSEMBLE_GLOSSARY if run.table("latents") is not None else words
    words = CELL_GLOSSARY if is_of_cells(run) else words
    words = {"targets": TARGET_GLOSSARY, "downstream": LABEL_GLOSSARY}.get(run.record["verb"], words)
    return words_of(words, shown)


def words_of(words: Mapping[str, str], shown: Sequence[Section] | None = None) -> Section | None:
    """Explanations of words; where sections are given, of those that occur in them or in what explains these."""
    if shown is not None:
        text = repr(list(shown)).lower()
        used = [said for word, said in words.items() if any(part in text for part in _forms(word))]
        text += " ".join(used).lower()
        words = {word: said for word, said in words.items() if any(part in text for part in _forms(word))}
    return Section("glossary", "Words", "", [Facts(list(words.items()), is_list=True)]) if words else None


def _forms(word: str) -> list[str]:
    """The words that one entry of a glossary explains, as they may stand in a text.

    >>> _forms("Fold, seed"), _forms("Structure (Tanimoto)"), _forms("AUROC of a mechanism")
    (['fold', 'seed'], ['structure'], ['auroc'])
    >>> _forms("Pathway by top genes")
    ['pathway']
    """
    parts = re.split(r",\s*", re.sub(r"\s*\(.*?\)", "", word).lower())
    return [re.sub(r" of (a|an|the) .*| of enrichment| by (top|all) .*", "", part) for part in parts]


SECTIONS: tuple[Callable[[Run], Section | None], ...] = (
    # The answer, and what speaks against it.
    headline,
    asked,
    hits,
    calls,
    drug_ranking,
    genes,
    targets,
    warnings,
    # Scores beside floors, with intervals.
    beside_floors,
    cell_scores,
    skills,
    few_shot,
    source,
    calibration,
    cell_calibration,
    # Details.
    ranked_drugs,
    predicted_and_observed,
    conditions,
    scores_by_drug,
    enriched,
    neighbours,
    agreed,
    dimensions,
    pathways,
    biomarkers,
    atoms,
    maps,
    faithful,
    forces,
    by_value,
    sets,
    patients,
    codes,
    similar,
    interactions,
    # What it was computed from, and how.
    cell_shift,
    data,
    training,
)
"""All but the last two, which are the same in every report: the words, and how to repeat it."""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def setting(value: Any) -> str:
    """A setting as text.

    >>> setting({"lr": 0.1, "sizes": [3, 5], "bias": True}), setting([])
    ('lr = 0.1, sizes = 3, 5, bias = yes', 'none')
    """
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {setting(item)}" for name, item in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return (", ".join(map(setting, value)) or "none") if isinstance(value, list) else str(value)


def moment(time: object) -> str:
    """Date and time of a record, in words.

    >>> moment("2026-11-26T02:49:33+00:00"), moment(None)
    ('2026-11-26 02:49:33 UTC', '')
    """
    text = time if isinstance(time, str) else ""
    return text.replace("T", " ").replace("+00:00", " UTC")
