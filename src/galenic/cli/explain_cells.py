"""``galenic explain RUN CELLS --out FOLDER``: why single cells are called sensitive."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from galenic.work.near import nearest_name

if TYPE_CHECKING:
    from galenic.cli.explain import ExplainFlags
    from galenic.models.scatd.explanation import Explanation
    from galenic.report.run import Run

SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class CellExplainFlags:
    """How calls of single cells are explained.

    Parameters
    ----------
    method
        Of cells: ig (integrated gradients, from one background) or eg (expected gradients, GradientSHAP).
    background
        Of cells: what a cell is compared with: mean, zero (an average line), random or mixed.
    reference
        Of cells: other cells (h5ad) that the background is made of.
    steps
        Of cells: places on the path of ig.
    draws
        Of cells: draws of each cell in eg.
    noise
        Of cells: standard deviation of noise on standardised features in eg; 0.09 as published.
    bulk
        Of cells: labelled lines (h5ad) in place of those of the fit, which are read again for stability and q-values.
    bulk_label
        Of cells: column of their labels.
    bulk_response
        Of cells: column of their response, lower = more sensitive.
    truth
        Of cells: column of the cells' table with labels, for judging alone.
    drug
        Of cells: drug to explain, where the run holds several.
    device
        Of cells: where networks compute: cpu, cuda.
    seed
        Of cells: seed of everything that is drawn.
    overwrite
        Of cells: replace an earlier run in the same folder.
    """

    method: Literal["ig", "eg"] = "ig"
    background: Literal["mean", "zero", "random", "mixed"] = "mean"
    reference: str | None = None
    steps: int = 32
    draws: int = 100
    noise: float = 0.0
    bulk: str | None = None
    bulk_label: str = "label"
    bulk_response: str | None = None
    truth: str | None = None
    drug: str | None = None
    device: str = "cpu"
    seed: int = 0
    overwrite: bool = False


def explain(folder: str, source: str | None, how: CellExplainFlags, more: ExplainFlags, out: str | None) -> None:
    """Write contributions, genes, curves and the page to a run folder of their own."""
    if source is None or out is None:
        raise ValueError(
            "cells to explain and a folder to write are expected: galenic explain RUN cells.h5ad --out why/; received "
            f"{'no cells' if source is None else 'no --out'}. Name both."
        )
    from galenic.cli import summary
    from galenic.cli.cell_tables import truth_of
    from galenic.data import read
    from galenic.data.read.single_cells import single_cells
    from galenic.models.scatd import explanation_tables as tables
    from galenic.models.scatd.explanation import explain as explained_by
    from galenic.report import run as run_folder

    model, drug = model_of(folder, how.drug)
    cells = single_cells(source, use_rep=model.use_rep)
    reference = single_cells(how.reference, "the reference") if how.reference else None
    truth = truth_of(cells, how.truth, "sensitive=1")
    truth = None if truth is None else truth.reindex(cells.obs_names).to_numpy()
    sets = read.gene_sets(more.gene_sets) if more.gene_sets else None
    files, lines = lines_of(folder, drug, how)
    inputs = [source, *(path for path in (how.reference, more.gene_sets, *files) if path)]
    fields = {"model": type(model).__name__, "folder": folder, "top": more.top, **asdict(how)}
    fields = {name: value for name, value in fields.items() if name not in ("overwrite", "device", "seed")}
    with (
        run_folder.start(
            out, verb="explain", command=summary.typed(), fields=fields, seed=how.seed, inputs=inputs,
            title=f"Why {cells.n_obs:,} cells are called sensitive{f' to {drug}' if drug else ''}",
            overwrite=how.overwrite,
        ) as run,
        summary.kept_warnings(run),
    ):  # fmt: skip
        with run.timed("explain"):
            found = explained_by(
                model, cells, method=how.method, background=how.background, reference=reference, n_steps=how.steps,
                n_samples=how.draws, noise=how.noise, gene_sets=sets, truth=truth, top=more.top, seed=how.seed,
                device=how.device, **lines,
            )  # fmt: skip
        with run.timed("predict"):
            predicted = model.predict(cells, device=how.device)
        told = predicted.attrs.get("direction", {})
        run.record["data"] = {"cells": cells.n_obs, "genes": found.attributed.n_vars, "drug": drug}
        run.record["fields"]["direction"] = told
        run.write("explained", tables.explained(found.attributed, predicted))
        run.write("contributions", tables.top_contributions(found.attributed, found.genes))
        run.write("forces", tables.forces(found.attributed, predicted))
        write(run, found, drug)
    summary.finish(run)


def write(run: Run, found: Explanation, drug: str) -> None:
    """Tables of an explanation, and its whole matrix; the first genes on the screen."""
    genes = found.genes.assign(drug=drug or "the drug")
    run.write("biomarkers", genes[["drug", *(name for name in genes if name != "drug")]])
    run.write("importance_agreement", found.agreement)
    run.write("curves", found.curves)
    run.write("curve_areas", found.areas)
    if found.gene_sets is not None:
        run.write("gene_sets", found.gene_sets)
    # What the cells came with may hold what h5ad cannot; the contributions are what is kept.
    kept = found.attributed[:, :].copy()
    kept.obs = kept.obs[["prediction", "baseline", "gap"]]
    kept.write_h5ad(run.path("attributions.h5ad"))
    for row in genes.head(SHOWN).itertuples():
        q = getattr(row, "q_value", float("nan"))
        shown = "" if q != q else ", q below 0.001" if q < 0.001 else f", q {q:.3f}"
        typer.echo(f"{row.rank}. {row.gene}: more of it, {row.toward} (importance {row.importance:.4f}{shown})")
    area = found.areas.iloc[0]
    typer.echo(f"deletion: area {area['area']:.2f}, random orders {area['random']:.2f} (p {area['p_value']:.3f})")


def model_of(folder: str, drug: str | None) -> tuple[Any, str]:
    """The model of a run and its drug; a run of several drugs holds one for each in ``models/``."""
    from galenic.data.checks import first
    from galenic.models.base import load
    from galenic.models.scatd.model import ScATD
    from galenic.report import run as run_folder

    several = Path(folder, "models")
    if several.is_dir():
        index = run_folder.read(folder).record["fields"].get("models", {})
        near = {name.casefold(): name for name in index}
        if drug is None or drug.casefold() not in near:
            raise ValueError(
                f"--drug should be one of the {len(index)} of the run ({first(list(index), 5)}); received {drug!r}"
                f"{nearest_name(drug or '', index)} Name one."
            )
        model = load(several / index[near[drug.casefold()]])
    else:
        model = load(folder)
    if not isinstance(model, ScATD):
        raise ValueError(
            f"cells are explained by ScATD; {folder} holds a {type(model).__name__}. Fit 'galenic fit scatd transfer'."
        )
    return model, str(model.spec_.get("drug") or drug or "")


def lines_of(folder: str, drug: str, how: CellExplainFlags) -> tuple[list[str], dict[str, Any]]:
    """Files of the labelled lines, and the lines with their columns; nothing where there are none to read."""
    from galenic.cli.cells import LineFlags, columns_of, from_recipe, labelled, labelled_file, read_lines
    from galenic.report import run as run_folder

    if how.bulk:
        flags = LineFlags(bulk=how.bulk, label_column=how.bulk_label, response_column=how.bulk_response)
    else:
        is_run = Path(folder, "run.json").is_file()
        recipe = run_folder.read(folder).record["fields"].get("lines", {}) if is_run else {}
        flags = from_recipe(recipe)
        absent = [path for path in flags.files if not Path(path).exists()]
        if absent or not flags.files:
            said = f"the lines of the fit are not there any more ({absent[0]})" if absent else "no lines are known"
            typer.echo(f"{said}: genes have no q-value; --bulk names lines", err=True)
            return [], {}
    bulk = labelled_file(flags) if flags.bulk else labelled(flags, drug, read_lines(flags))
    return flags.files, {"bulk": bulk, **columns_of(bulk, cut=not flags.labels)}
