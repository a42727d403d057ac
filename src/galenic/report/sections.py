"""The sections of the report in their order; each is a plain function of the run and may find nothing to show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from galenic.report.performance import predicted_and_observed, score_figures, score_tables, scores_by_drug
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


def provenance(run: Run) -> Section | None:
    """Command, settings, versions, hashes and timings: what it takes to repeat the run."""
    record = run.record
    blocks: list[Text | Facts | Table] = [Text(record["command"], "code")] if record["command"] else []
    pairs = [("seed", record["seed"]), ("started", record.get("started")), ("finished", record.get("finished"))]
    pairs += [(f"setting: {name}", value) for name, value in record["fields"].items() if name not in SAID]
    pairs += [(name, value) for name, value in {"galenic": record["galenic"], **record["versions"]}.items()]
    pairs += [(f"time: {name}", f"{number(value, 1)} s") for name, value in record["seconds"].items()]
    memory = record.get("peak_memory_mb")
    pairs += [("peak memory", f"{count(memory)} MB, largest process")] if memory else []
    blocks.append(Facts([(name, _setting(value)) for name, value in pairs if value not in (None, "")], is_list=True))
    if record["inputs"]:
        rows: list[list[Cell | str]] = [
            [
                str(item["path"]),
                Cell(count(item.get("bytes")), sort=item.get("bytes")),
                Cell(item["sha256"], kind="code"),
            ]
            for item in record["inputs"]
        ]
        blocks.append(Table(["input", "bytes", "sha256"], rows))
    how = "The command repeats the run; equal hashes mean equal inputs."
    return Section("provenance", "How to repeat this", how, blocks)


def glossary(run: Run) -> Section | None:
    """The words of the report: a search has its own, and so have effects of perturbations."""
    scores = Scores.of_run(run)
    is_of_effects = scores is not None and any(map(scores.is_of_effects, scores.splits))
    is_of_effects = is_of_effects or any(run.table(name) is not None for name in EFFECT_TABLES)
    words = EFFECT_GLOSSARY if is_of_effects else SEARCH_GLOSSARY if run.record["verb"] == "search" else GLOSSARY
    words = ENSEMBLE_GLOSSARY if run.table("latents") is not None else words
    words = CELL_GLOSSARY if is_of_cells(run) else words
    words = {"targets": TARGET_GLOSSARY, "downstream": LABEL_GLOSSARY}.get(run.record["verb"], words)
    return Section("glossary", "Words", "", [Facts(list(words.items()), is_list=True)])


SECTIONS: tuple[Callable[[Run], Section | None], ...] = (
    headline,
    asked,
    calls,
    drug_ranking,
    genes,
    warnings,
    maps,
    cell_scores,
    few_shot,
    source,
    cell_calibration,
    faithful,
    forces,
    by_value,
    sets,
    cell_shift,
    hits,
    enriched,
    neighbours,
    targets,
    agreed,
    dimensions,
    pathways,
    data,
    skills,
    score_figures,
    score_tables,
    predicted_and_observed,
    conditions,
    scores_by_drug,
    calibration,
    ranked_drugs,
    biomarkers,
    atoms,
    patients,
    codes,
    similar,
    interactions,
    training,
    provenance,
    glossary,
)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _setting(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {_setting(item)}" for name, item in value.items())
    return ", ".join(map(_setting, value)) if isinstance(value, list) else str(value)
