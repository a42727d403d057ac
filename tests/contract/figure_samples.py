"""One figure of every kind, from made-up tables."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from galenic.plots.figures import (
    calibration,
    cell_genes,
    cells,
    ensembles,
    perturbation,
    responses,
    scores,
    search,
    targets,
    training,
)

GENES = ["TP53", "EGFR", "MYC", "KRAS", "CDKN2A", "MDM2", "ERBB2", "PTEN", "BRAF", "RB1", "ABCB1", "SLFN11"]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def intervals(names: list[str], column: str = "model") -> pd.DataFrame:
    value = np.linspace(0.8, 0.2, len(names))
    return pd.DataFrame({column: names, "value": value, "low": value - 0.05, "high": value + 0.1})


def pairs(n: int) -> pd.DataFrame:
    truth = rng().normal(size=n)
    return pd.DataFrame(
        {
            "cell": [f"line {number % 40}" for number in range(n)],
            "drug": [f"drug {number % 7}" for number in range(n)],
            "response": truth,
            "prediction": 0.6 * truth + rng(1).normal(size=n) / 2,
        }
    )


def some_cells(n: int = 300) -> pd.DataFrame:
    x, y = rng().normal(size=(2, n))
    probability = 1 / (1 + np.exp(-2 * x))
    return pd.DataFrame(
        {
            "cell": [f"AAAC-{number}" for number in range(n)],
            "x": x,
            "y": y,
            "probability": np.where(np.arange(n) % 29 == 0, np.nan, probability),
            "abstain": np.abs(probability - 0.5) < 0.1,
        }
    )


def by_drug() -> pd.DataFrame:
    value = rng().normal(0.4, 0.2, 60)
    return pd.DataFrame(
        {"split": ["new cells", "new drugs"] * 30, "drug": [f"d{n}" for n in range(60)], "value": value}
    )


def losses(n_members: int) -> pd.DataFrame:
    rows = [
        {"term": term, "part": part, "member": member, "epoch": epoch, "value": start / epoch + 0.01 * member + 0.02}
        for term, start in (("fit", 2.0), ("prior", 0.4))
        for part in ("train", "valid")
        for member in range(n_members)
        for epoch in range(1, 13)
    ]
    return pd.DataFrame(rows)


def effects() -> pd.DataFrame:
    measured = np.linspace(-2, 3, len(GENES))
    return pd.DataFrame({"gene": GENES, "measured": measured, "predicted": 0.5 * measured + 0.1})


def skill() -> pd.DataFrame:
    table = pd.DataFrame(
        [(model, floor) for model in ("XTransferCDR", "LowRankEffect") for floor in ("MeanShift", "NoEffect")],
        columns=["model", "floor"],
    )
    value = np.array([0.2, 0.5, -0.1, 0.3])
    return table.assign(skill=value, low=value - 0.1, high=value + 0.1, best=table["floor"] == "MeanShift")


def links() -> pd.DataFrame:
    r = np.eye(6)
    table = pd.DataFrame({"latent": list("abcdef"), "cluster": [0, 0, 1, 1, 1, -1]})
    return table.assign(**{f"r_{number}": r[number] for number in range(6)})


def contributions() -> pd.DataFrame:
    return pd.DataFrame(rng().normal(size=(40, 8)), [f"c{n}" for n in range(40)], GENES[:8])


def curves() -> pd.DataFrame:
    n = np.array([0, 5, 10, 50, 100])
    return pd.DataFrame(
        {
            "n_features": n,
            "value": 0.9 - n / 300,
            "random": 0.9 - n / 900,
            "low": 0.85 - n / 900,
            "high": 0.95 - n / 900,
        }
    )


def hits() -> pd.DataFrame:
    n = 30
    x, y = rng().normal(size=(2, n))
    return pd.DataFrame(
        {
            "role": ["query", *["hit"] * 9, *["other"] * 20],
            "name": [f"compound {number}" for number in range(n)],
            "moa": [None, *["HDAC inhibitor"] * 4, *["mTOR inhibitor"] * 3, None, "BET inhibitor", *[None] * 20],
            "rank": np.arange(n),
            "similarity": np.linspace(1, 0, n),
            "x": x,
            "y": y,
        }
    )


def importances() -> pd.DataFrame:
    toward = ["sensitive", "resistant", "neither"] * 4
    return pd.DataFrame({"gene": GENES, "importance": np.linspace(1, 0.1, 12), "toward": toward})


def points(n: int) -> pd.DataFrame:
    value = rng().normal(size=n)
    return pd.DataFrame(
        {"value": value, "contribution": np.tanh(value) + 0.1 * rng(1).normal(size=n), "other": rng(2).normal(size=n)}
    )


def matched() -> pd.DataFrame:
    n = np.array([10, 20, 50])
    return pd.DataFrame({"listed": n, "hits": [4, 6, 9], "expected": n / 10, "low": n / 20, "high": n / 5})


def codes() -> pd.DataFrame:
    return pd.DataFrame(
        {"name": GENES, "context": ["K562", "A375"] * 6, "x": rng().normal(size=12), "y": np.arange(12)}
    )


def levels() -> pd.DataFrame:
    level = np.array([0.5, 0.8, 0.9, 0.95])
    return pd.DataFrame({"level": level, "coverage": level - 0.03, "low": level - 0.1, "high": level + 0.04})


SAMPLES: dict[str, Callable[[], go.Figure]] = {
    "score_dots": lambda: scores.score_dots(
        intervals(["KDRUG", "Ridge", "DrugMean"]), {"DrugMean"}, "Pearson", 0.3, 0.9
    ),
    "forest": lambda: scores.forest(intervals(["Erlotinib", "$Taxol$ & <b>"], "label"), "AUROC", 0.5),
    "drug_curves": lambda: scores.drug_curves(by_drug(), "Pearson"),
    "observed": lambda: responses.observed(pairs(200), "ln IC50"),
    "observed_many": lambda: responses.observed(pairs(2500), "ln IC50"),
    "loss_curves": lambda: training.loss_curves(losses(3), ["fit", "prior"]),
    "loss_band": lambda: training.loss_curves(losses(6), ["fit", "prior"]),
    "coverage_points": lambda: calibration.coverage_points(levels()),
    "probability_map": lambda: cells.probability_map(some_cells()),
    "group_map": lambda: cells.group_map(
        some_cells(), ["A", "B", "C"] * 100, dict(zip("ABC", scores.OTHER[:3], strict=True))
    ),
    "probability_histogram": lambda: cells.probability_histogram(some_cells(), 0.6),
    "reliability": lambda: cells.reliability(
        {
            "cells": pd.DataFrame(
                {"probability": [0.1, 0.5], "share": [0.2, 0.4], "low": [0.1, 0.3], "high": [0.3, 0.6], "n": [9, 8]}
            )
        }
    ),
    "few_shot_curves": lambda: cells.few_shot_curves(
        intervals(["ScATD", "ScATD", "CellRidge", "CellRidge"], "method").assign(n_per_class=[1, 5, 1, 5]),
        "AUROC",
        {"CellRidge"},
    ),
    "shift_dumbbells": lambda: cells.shift_dumbbells(
        pd.DataFrame({"feature": GENES, "before": np.arange(12) / 5, "after": np.arange(12) / 20})
    ),
    "importance_bars": lambda: cell_genes.importance_bars(importances()),
    "importance_spread": lambda: cell_genes.importance_spread(importances()),
    "importance_by_rank": lambda: cell_genes.importance_by_rank(importances()),
    "dependence": lambda: cell_genes.dependence(points(150), "TP53"),
    "dependence_many": lambda: cell_genes.dependence(points(2200), "TP53"),
    "interaction": lambda: cell_genes.interaction(points(150), "TP53", "MDM2"),
    "contribution_map": lambda: cell_genes.contribution_map(
        contributions(), pd.Series(np.linspace(0, 1, 40), [f"c{n}" for n in range(40)])
    ),
    "force": lambda: cell_genes.force(
        pd.DataFrame({"gene": GENES[:4], "contribution": [0.8, -0.5, 0.3, -0.1], "value": [1.0, 2.0, -1.0, 0.0]}),
        0.9,
        0.2,
        0.2,
    ),
    "curve_pair": lambda: cell_genes.curve_pair(curves(), "deletion", "AUROC"),
    "link_map": lambda: ensembles.link_map(links()),
    "stability_curve": lambda: ensembles.stability_curve(
        pd.DataFrame(
            {
                "n_clusters": [2, 5, 10, 50],
                "stability": [0.5, 0.8, 0.7, 0.4],
                "error": [0.02] * 4,
                "chosen": [False, True, False, False],
            }
        )
    ),
    "seed_dots": lambda: ensembles.seed_dots(
        intervals(["ensemble", "VAE", "PCA"], "what").rename(columns={"value": "again"})
    ),
    "skill_forest": lambda: perturbation.skill_forest(skill()),
    "effect_points": lambda: perturbation.effect_points(effects()),
    "code_map": lambda: perturbation.code_map(codes()),
    "departure_bars": lambda: perturbation.departure_bars(
        pd.DataFrame({"gene": GENES, "residual": np.linspace(-1, 1, 12)}), 1.2
    ),
    "neighbour_map": lambda: search.neighbour_map(hits()),
    "match_curve": lambda: targets.match_curve(matched()),
}
