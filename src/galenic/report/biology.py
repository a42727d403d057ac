"""Sections on what follows from predictions: ranked drugs, biomarkers, atoms, patients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from galenic.plots.figures.scores import forest
from galenic.report.blocks import Block, Cell, Drawings, Figures, Section, Table, Text
from galenic.report.run import Run
from galenic.report.words import NOTHING, UNITS, count, drug_titles, interval, number, p_value

N_CELLS, N_DRUGS = 20, 5  # of the ranking: what a page can show
MIN_CELLS, MOSTLY = 3, 0.9  # cells, and share of them with the same leading drugs, from which that is worth saying
N_GENES, MAX_ROWS = 20, 6000  # of the biomarkers
N_DRAWINGS = 12
MEASURES = {
    "classifier_auroc": "a classifier tells patients from cells (AUROC; 0.5 = it cannot)",
    "mmd2": "maximum mean discrepancy, squared (0 = equal distributions)",
    "outside_share": "share of patients outside the range of the cells (0.01 expected)",
}


def ranked_drugs(run: Run) -> Section | None:
    """The drugs that each new cell is predicted to be most sensitive to."""
    table = run.table("ranking")
    if table is None or table.empty:
        return None
    unit = run.record["data"].get("unit", "")
    cells = list(dict.fromkeys(table["cell"]))
    table = table.assign(title=drug_titles(table))
    top = table[(table["rank"] <= N_DRUGS) & table["cell"].isin(cells[:N_CELLS])].sort_values("rank")
    rows: list[list[Cell | str]] = []
    for cell, group in sorted(top.groupby("cell"), key=lambda item: cells.index(item[0])):
        drugs = [Cell(row["title"], _prediction(row)) for row in group.to_dict("records")[:N_DRUGS]]
        rows.append([str(cell), *drugs, *[NOTHING] * (N_DRUGS - len(drugs))])
    shown = f"The first {N_CELLS} of {count(len(cells))} cells; ranking.csv has all." if len(cells) > N_CELLS else ""
    how = (
        f"For each cell the {N_DRUGS} drugs ranked first, with the predicted {UNITS.get(unit, unit) or 'response'} "
        "and its interval, where the model gives one, below. Some drugs are potent on every cell: compare with the "
        "other rows before reading a rank as specific."
    )
    table_block = Table(["cell", *(f"rank {rank + 1}" for rank in range(N_DRUGS))], rows, shown)
    return Section("ranking", "Drugs ranked for new cells", how, [table_block])


def same_leaders(ranking: pd.DataFrame) -> str:
    """Whether (nearly) all cells have the same drugs on top, in one sentence; empty if they differ.

    >>> cells = pd.DataFrame({"cell": list("abc")}).merge(pd.DataFrame({"drug": ["x", "y"], "rank": [1, 2]}), "cross")
    >>> same_leaders(cells).split(":")[0]
    'The same drug leads in 3 of 3 cells'
    """
    n_cells = ranking["cell"].nunique()
    for k in range(min(N_DRUGS, ranking["drug"].nunique() // 2), 0, -1):
        sets = ranking[ranking["rank"] <= k].groupby("cell")["drug"].agg(frozenset)
        agree = int(sets.value_counts().max()) if len(sets) else 0
        if n_cells >= MIN_CELLS and agree >= MOSTLY * n_cells:
            lead = "drug leads" if k == 1 else f"{k} drugs lead"
            return (
                f"The same {lead} in {count(agree)} of {count(n_cells)} cells: differences between drugs dominate; "
                "compare cells within a drug instead."
            )
    return ""


def biomarkers(run: Run) -> Section | None:
    """The genes that drive the prediction of each drug, and how many planted drivers were found."""
    table, truth = run.table("biomarkers"), run.table("truth")
    table = None if table is not None and "toward" in table else table  # of cells: another section
    blocks: list[Block] = []
    if truth is not None and len(truth):
        blocks.append(Text(_recovered(truth), "note"))
    if table is not None and len(table):
        n_genes = max(3, min(N_GENES, MAX_ROWS // table["drug"].nunique()))
        table = table.assign(drug=drug_titles(table))
        blocks.append(_gene_table(table[table["rank"] <= n_genes].sort_values(["drug", "rank"]), n_genes))
    if not blocks:
        return None
    how = (
        "Choose a drug. A bar to the right: more of the gene, a higher predicted response, that is resistance; "
        "to the left: sensitivity. Trust genes with high stability and low q-value; correlated genes may stand in "
        "for each other."
    )
    return Section("biomarkers", "Biomarkers", how, blocks)


def atoms(run: Run) -> Section | None:
    """The structures of drugs, each atom coloured by what it contributes to the predicted response."""
    table = run.table("atoms")
    found = [] if table is None else table.assign(title=drug_titles(table)).groupby("drug", sort=False)
    drugs = [rows.sort_values("atom") for _, rows in found if _can_be_drawn(rows)]
    if not drugs:
        return None
    blocks: list[Block] = [Drawings([_drawn(rows) for rows in drugs[:N_DRAWINGS]])]
    if len(drugs) > N_DRAWINGS:
        blocks.append(Text(f"The first {N_DRAWINGS} of {count(len(drugs))} drugs; atoms.csv has all."))
    unit = run.record["data"].get("unit", "")
    how = (
        f"What each atom adds to the part of the predicted {UNITS.get(unit, unit) or 'response'} that is read from the "
        "structure: blue pulls towards sensitivity, orange towards resistance. The strongest atom of a drug has the "
        "full colour, so compare drugs by the numbers; neighbouring atoms may stand in for each other."
    )
    return Section("atoms", "Atoms", how, blocks)


def patients(run: Run) -> Section | None:
    """Whether predictions tell responders from non-responders, and how far patients lie from the training cells."""
    table, shift = run.table("patients"), run.table("shift")
    blocks: list[Block] = []
    if table is not None and len(table):
        blocks += _patient_blocks(table)
    if shift is not None and len(shift) and "measure" in shift:
        rows: list[list[Cell | str]] = [
            [
                MEASURES.get(row["measure"], row["measure"]),
                Cell(number(row["value"]), interval(row.get("low"), row.get("high")), row["value"]),
                p_value(row.get("p_value")),
            ]
            for row in shift.to_dict("records")
        ]
        blocks += [
            Text("Distance between patients and training cells", "heading"),
            Table(["measure", "value", "p-value"], rows, "The larger the shift, the less scores on cells say here."),
        ]
    if not blocks:
        return None
    how = (
        "AUROC is the chance that a responder is ranked as more sensitive than a non-responder, compared within "
        "cohorts; 0.5 is a coin. An interval that covers 0.5 shows nothing, and few responders make intervals wide."
    )
    return Section("patients", "Patients", how, blocks)


def _patient_blocks(table: pd.DataFrame) -> list[Block]:
    table = table.assign(drug=drug_titles(table))
    low, high = (
        table[name] if name in table else pd.Series(float("nan"), table.index) for name in ("auroc_low", "auroc_high")
    )
    names = table["drug"] + ", " + table["cohort"].fillna("all").replace("all", "all cohorts")
    points = pd.DataFrame({"label": names, "value": table["auroc"], "low": low, "high": high}).dropna(subset=["value"])
    head = ["drug", "cohort", "patients", "responders", "AUROC", "AUPRC", "base rate", "p-value", "p, Holm"]
    rows: list[list[Cell | str]] = [_patient_row(row) for row in table.to_dict("records")]
    blocks: list[Block] = [Table(head, rows, "Base rate is what AUPRC would be by chance.")]
    if len(points):
        blocks.insert(0, Figures([("AUROC with 95 % interval.", forest(points, "AUROC", 0.5))]))
    return blocks


def _patient_row(row: dict[Any, Any]) -> list[Cell | str]:
    responders = row.get("responders", row.get("n_responders"))
    return [
        str(row["drug"]),
        str(row["cohort"]),
        *(Cell(count(value), sort=value) for value in (row["n"], responders)),
        Cell(number(row["auroc"]), interval(row.get("auroc_low"), row.get("auroc_high")), row["auroc"]),
        *(Cell(number(row.get(name)), sort=row.get(name)) for name in ("auprc", "base_rate")),
        *(Cell(p_value(row.get(name)), sort=row.get(name)) for name in ("p_value", "p_holm")),
    ]


def _gene_table(table: pd.DataFrame, n_genes: int) -> Table:
    largest = table.groupby("drug")["weight"].transform(lambda weight: weight.abs().max())
    table = table.assign(bar=(table["weight"] / largest).fillna(0.0))
    write = {"spread": number, "stability": lambda value: number(value, 2), "q_value": p_value}
    columns = [name for name in write if name in table]
    head = ["drug", "rank", "gene", *(["modality"] if "modality" in table else []), "weight", *columns]
    rows: list[list[Cell | str]] = []
    for row in table.to_dict("records"):
        cells: list[Cell | str] = [str(row["drug"]), Cell(count(row["rank"]), sort=row["rank"]), str(row["gene"])]
        cells += [str(row["modality"])] if "modality" in table else []
        cells.append(Cell(number(row["weight"], signed=True), sort=row["weight"], bar=row["bar"]))
        cells += [Cell(write[name](row[name]), sort=row[name]) for name in columns]
        rows.append(cells)
    head = [name.replace("q_value", "q-value") for name in head]
    caption = f"Up to {n_genes} genes a drug; biomarkers.csv has all."
    return Table(head, rows, caption, is_searchable=True, choose=("drug",))


def _recovered(truth: pd.DataFrame) -> str:
    """How many of the drivers planted in a simulated screen stand among the biomarkers."""
    found = truth["found"].astype(str).str.lower().isin(["true", "1", "1.0"])
    text = f"{count(found.sum())} of {count(len(truth))} planted drivers were found"
    if "modality" in truth and len(truth["modality"].unique()) > 1:
        parts = found.groupby(truth["modality"]).agg(["sum", "size"])
        text += f" ({', '.join(f'{name} {row[0]} of {row[1]}' for name, *row in parts.itertuples())})"
    return f"{text}; this screen was simulated, so the truth is known."


def _prediction(row: dict[Any, Any]) -> str:
    return f"{number(row['prediction'], 2)} {interval(row.get('low'), row.get('high'), 2)}".strip()


def _can_be_drawn(atoms: pd.DataFrame) -> bool:
    # One number missing, and the drug is left out: a white disc would say that the atom contributes nothing.
    return bool(atoms["smiles"].notna().all() and np.isfinite(atoms["contribution"]).all())


def _drawn(atoms: pd.DataFrame) -> tuple[str, str]:
    """Caption and drawing of one drug."""
    from galenic.data.drugs import draw_atoms  # brings RDKit, which other reports do without

    first: dict[Any, Any] = atoms.iloc[0].to_dict()
    strongest: dict[Any, Any] = atoms.loc[atoms["contribution"].abs().idxmax()].to_dict()
    try:
        svg = draw_atoms(first["smiles"], atoms["contribution"].tolist())
    except ValueError as error:
        raise ValueError(f"atoms.csv should have one row an atom; of the drug {first['drug']!r}, {error}") from error
    atom = f"{strongest['element']} (number {count(strongest['atom'])})"
    return f"{first['title']}: strongest is {atom}, {number(strongest['contribution'], signed=True)}.", svg
