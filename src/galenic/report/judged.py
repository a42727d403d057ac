"""What is known of a fitted model's skill: for those who use it afterwards."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from galenic.report.run import RECORD, Run, read
from galenic.report.sections import answers
from galenic.report.words import score

FLOORS = "floors_source.csv"


def judged(folder: str | Path) -> list[str]:
    """What the run that fitted a model found of its skill, a sentence a split; empty where it was not judged.

    Of models of cells: how well the lines are told that the model did not learn from, beside the best floor there.
    """
    if not (Path(folder) / RECORD).is_file():
        return []
    run = read(folder)
    return [said for _, said in answers(run)] or _on_lines(run)


def _on_lines(run: Run) -> list[str]:
    known = run.record["fields"].get("source")
    auroc = known.get("auroc") if isinstance(known, dict) else None
    if not isinstance(auroc, (int, float)):
        return []
    said = f"Of lines that it did not learn from, the model tells the sensitive ones with an AUROC of {score(auroc, 2)}"
    floors = (
        pd.read_csv(run.folder / FLOORS, float_precision="round_trip")
        if (run.folder / FLOORS).is_file()
        else pd.DataFrame()
    )
    if {"floor", "auroc"} <= set(floors) and floors["auroc"].notna().any():
        best = floors.loc[floors["auroc"].idxmax()]
        verdict = "beats" if auroc > float(best["auroc"]) else "does not beat"
        said += f" (0.5 is chance), against {score(best['auroc'], 2)} for its best floor there, {best['floor']}"
        said += f": it {verdict} it, as far as one number tells"
    return [f"{said}. How well it tells cells of other experiments is another question."]
