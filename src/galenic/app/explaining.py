"""What the Explain page computes: the genes and atoms behind a drug's predictions, from the tables of a run."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from galenic.app.shown import on_paper
from galenic.report.run import Run
from galenic.report.words import drug_titles, p_value

FOUND = 0.05
"""q-value up to which a gene counts as found."""
STABLE = 0.5
"""Share of refits from which it counts as stable."""
DRIVERS = "drivers.csv"
"""Planted drivers of a simulated screen, ``drug, feature, effect``; only in the shipped example."""


def titles(table: pd.DataFrame) -> dict[str, str]:
    """Drugs of a table by what they are called."""
    rows = table.drop_duplicates("drug")
    return dict(zip(drug_titles(rows).astype(str), rows["drug"].astype(str), strict=True))


def of_drug(table: pd.DataFrame, drug: str) -> pd.DataFrame:
    """Rows of one drug, by rank or atom."""
    rows = table[table["drug"].astype(str) == drug]
    return rows.sort_values("rank" if "rank" in rows else "atom").reset_index(drop=True)


def headline(rows: pd.DataFrame, title: str) -> str:
    """Which genes stand behind the predictions of a drug, in a sentence.

    Parameters
    ----------
    rows
        Biomarkers of one drug: ``rank, gene, weight, stability`` and, where responses were shuffled, ``q_value``.
    title
        What the drug is called.
    """
    found = trusted(rows)
    if found.empty:
        return (
            f"No gene behind the predictions of {title} is both stable and beyond chance: read the list below as a "
            "guess."
        )
    parts = [
        f"{row.gene} (more of it: {'resistance' if row.weight > 0 else 'sensitivity'})"
        for row in found.head(3).itertuples()
    ]
    n = len(found)
    many = "One gene stands" if n == 1 else f"{n:,} genes stand"
    if n == len(rows) > 1:
        many = f"All {n:,} genes that are listed stand"
    return f"{many} behind the predictions of {title}, stable and beyond chance. First: {', '.join(parts)}."


def trusted(rows: pd.DataFrame) -> pd.DataFrame:
    """Genes that most refits agree on and whose weight is larger than shuffled responses give."""
    chosen = rows["stability"] >= STABLE
    if "q_value" in rows and rows["q_value"].notna().any():
        chosen &= rows["q_value"] <= FOUND
    return rows[chosen]


def drivers(folder: Path, drug: str) -> pd.DataFrame | None:
    """The genes that were planted for a drug; ``None`` where nothing was."""
    file = folder / DRIVERS
    if not file.is_file():
        return None
    table = pd.read_csv(file, dtype={"drug": str}, float_precision="round_trip")
    return table[table["drug"] == drug]


def planted_said(rows: pd.DataFrame, planted: pd.DataFrame, n_genes: int | None) -> str:
    """How many planted drivers stand first, beside what chance would find."""
    n = len(planted)
    first = rows.sort_values("rank").head(n)["gene"]
    found = int(planted["feature"].isin(first).sum())
    said = f"Simulated, so the truth is known: {found} of the {n} planted drivers are among the first {n} genes"
    said += f" (chance: {n * n / n_genes:.1f})" if n_genes else ""
    others = [name for name in planted["feature"] if name not in set(first)]
    return f"{said}. Missed: {', '.join(others)}." if others else f"{said}."


def gene_rows(rows: pd.DataFrame, planted: pd.DataFrame | None) -> pd.DataFrame:
    """Genes of one drug under headings in plain words."""
    table = pd.DataFrame({"rank": rows["rank"], "gene": rows["gene"].astype(str)})
    if "modality" in rows and len(set(rows["modality"])) > 1:
        table["kind"] = rows["modality"].astype(str)
    table["more of it means"] = np.where(rows["weight"] > 0, "resistance", "sensitivity")
    table["weight"] = rows["weight"].astype(float)
    table["stability"] = rows["stability"].astype(float)
    if "q_value" in rows:
        table["q-value"] = rows["q_value"].map(p_value)
    if planted is not None:
        table["planted driver"] = rows["gene"].isin(planted["feature"])
    return table


HELP = {
    "weight": "Change of the prediction by one standard deviation of the gene; mean over refits.",
    "stability": "Share of refits on random halves of the samples that list the gene first, with the same sign.",
    "q-value": "Expected share of false finds among genes with a weight as large; chance is learned from shuffled "
    "responses.",
    "planted driver": "Whether the simulation made the response depend on it.",
}
"""What the columns of :func:`gene_rows` mean."""


def forest_rows(rows: pd.DataFrame, n: int = 15) -> pd.DataFrame:
    """The first genes with their weights and the spread over refits, as a forest is drawn from."""
    first = rows.head(n)
    spread = first["spread"].astype(float).fillna(0) if "spread" in first else 0.0
    weight = first["weight"].astype(float)
    return pd.DataFrame(
        {"label": first["gene"].astype(str), "value": weight, "low": weight - spread, "high": weight + spread}
    )


def molecule(rows: pd.DataFrame) -> str | None:
    """The drug with each atom coloured by what it contributes; ``None`` where that cannot be drawn."""
    from galenic.data.drugs import draw_atoms

    if rows.empty or rows["smiles"].isna().any() or not np.isfinite(rows["contribution"]).all():
        return None
    try:
        return on_paper(draw_atoms(str(rows["smiles"].iloc[0]), rows["contribution"].tolist()))
    except ValueError:  # more atoms than numbers, or a structure that does not parse: nothing to draw
        return None


def share_said(run: Run) -> str:
    """How much the networks, which alone read atoms, count in the predictions of this model; empty if not told."""
    start = "share of the networks, "
    fields = run.record["fields"]
    shares = {name.removeprefix(start): str(fields[name]) for name in fields if name.startswith(start)}
    numbers = [float(number) for said in shares.values() for number in re.findall(r"\d+\.\d+", said)]
    if not shares:
        return ""
    if numbers and not any(numbers):
        return (
            "In this model the networks, which alone read atoms, count for nothing (share 0.00): the picture shows "
            "what they have learned, and not what decides a prediction."
        )
    said = "; ".join(f"{who} {value}" for who, value in shares.items())
    return f"How much the networks, which alone read atoms, count in a prediction: {said}."


def n_genes(run: Run) -> int | None:
    """Genes that the model of a run reads; ``None`` where the run does not tell."""
    found = run.record["data"].get("modalities", {})
    number = found.get("expression") if isinstance(found, dict) else None
    return number if isinstance(number, int) else None
