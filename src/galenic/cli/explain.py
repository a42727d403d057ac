"""``galenic explain RUN``: the genes behind predictions of responses, calls of cells, or dimensions of an ensemble."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import typer

from galenic.cli.compute import ENGINE, EngineFlags, engaged
from galenic.cli.explain_cells import CellExplainFlags
from galenic.cli.explain_cells import explain as explain_cells
from galenic.cli.flags import add, collect
from galenic.cli.inputs import DataFlags
from galenic.work.bar import counted


@dataclass(frozen=True, kw_only=True)
class ExplainFlags(EngineFlags):
    """How biomarkers are found, and pathways.

    Parameters
    ----------
    refits
        Refits on random halves of the cells; stability is the share of them that agree.
    shuffles
        Shuffles of the responses, 4 refits each; q-values are measured against them. 0 leaves the q-values out.
    keep
        Genes to list for each drug, or for each dimension and direction.
    drawn
        Drugs whose atoms are explained and drawn, by models that read atoms.
    gene_sets
        Of deeppert and cells: pathways to look for, a GMT file (a line a set: name, description, genes).
    top
        Of deeppert and cells: top genes in which pathways are counted; of cells, rankings are compared by them too.
    minimum
        Of deeppert: pathways with fewer measured genes are not tested.
    weights
        Of deeppert: table to write of how much each gene counts in each dimension (CSV), for 'galenic targets'.
    """

    refits: int = 20
    shuffles: int = 5
    keep: int = 50
    drawn: int = 12
    gene_sets: str | None = None
    top: int = 100
    minimum: int = 5
    weights: str | None = None


RESPONSES, DIMENSIONS = ("refits", "shuffles", "drawn", *ENGINE), ("gene_sets", "top", "minimum", "weights")
"""Flags for models of responses alone, and for ensembles alone."""


def command() -> Any:
    """The verb, for the command line."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    def run(
        folder: str = typer.Argument(..., metavar="RUN", help="Run folder of 'galenic fit'."),
        single: str = typer.Argument(None, metavar="CELLS", help="Single cells to explain (h5ad), of a ScATD run."),
        out: str = typer.Option(None, "--out", help="Table to write besides (CSV); of cells, a run folder."),
        **flags: Any,
    ) -> None:
        """Rank the genes behind each drug's predictions, with stability and q-value.

        The data of the fit are read again, unless other data are named.

        Of a run of 'galenic fit deeppert': the genes that raise and lower each dimension and, with --gene-sets, its
        pathways; no data are read.

        Of a run of 'galenic fit scatd transfer', with CELLS and --out: what each gene contributes to the call of each
        cell, the genes by importance with stability and q-value, and whether the calls fall without them.
        """
        from galenic.cli.predict_cells import is_of_cells

        how, of_cells = collect(ExplainFlags, flags), collect(CellExplainFlags, flags)
        if is_of_cells(folder):
            given = collect(DataFlags, flags).recipe()
            require_absent(how, (*RESPONSES, "keep", "minimum", "weights"), "other models", *given)
            return explain_cells(folder, single, of_cells, how, out)
        if single is not None or of_cells != CellExplainFlags():
            raise ValueError(
                f"cells, and the flags for them, are for a run of 'galenic fit scatd transfer'; {folder} is none. "
                "Leave them out."
            )
        with engaged(how) as engine:
            explain(folder, collect(DataFlags, flags), engine, out)

    app.command()(add(run, DataFlags, ExplainFlags, CellExplainFlags))
    return typer.main.get_command(app)


def explain(folder: str, data_flags: DataFlags, how: ExplainFlags, out: str | None = None) -> None:
    """Add ``biomarkers.csv``, or dimensions and pathways of an ensemble, to a run folder; write its page anew."""
    import shutil

    from galenic.cli import inputs, summary
    from galenic.explain.biomarkers import biomarkers
    from galenic.models.folders import class_in
    from galenic.models.importance import resampled_importance
    from galenic.report import run as run_folder
    from galenic.report.written import named
    from galenic.work.atomic import written

    if class_in(folder) == "DeepPert":
        from galenic.cli import ensembles

        require_absent(how, RESPONSES, "models of responses", *data_flags.recipe())
        return ensembles.explain(folder, how, out)
    require_absent(how, DIMENSIONS, "deeppert")
    if how.refits < 2 or how.shuffles < 0:
        raise ValueError(
            f"stability needs --refits of 2 or more, and --shuffles 0 or more; received {how.refits} and "
            f"{how.shuffles}. Correct the flags."
        )
    model = inputs.response_model(folder, "explain")
    run = run_folder.read(folder)
    if not data_flags.recipe():
        data_flags = inputs.from_recipe(run.record["fields"].get("data", {}))
    data = inputs.choose(inputs.read_all(data_flags), data_flags)
    with run.timed("explain"):
        refits = run.folder / "refits"
        weights, null, index, drugs = resampled_importance(
            model, data, n_repeats=how.refits, n_null=how.shuffles, n_jobs=how.jobs, parts=refits
        )
        table = biomarkers(
            weights,
            list(index.get_level_values("feature")),
            drugs,
            null=null if how.shuffles else None,
            modality=list(index.get_level_values("modality")),
            keep=how.keep,
        )
    table = named(table, data.drugs)
    run.write("biomarkers", table)
    shutil.rmtree(refits, ignore_errors=True)
    if hasattr(model, "atoms"):
        with run.timed("atoms"):
            run.write("atoms", atoms_of(model, data, how.drawn))
    if out:
        with written(out) as draft:
            table.to_csv(draft, index=False)
    best = (
        table[table["rank"] == 1].sort_values(["q_value", "stability"], ascending=[True, False], kind="stable").head(10)
    )
    for row in best.itertuples():
        typer.echo(
            f"{row.name}: {row.gene} (weight {row.weight:+.3f}, stability {row.stability:.2f}, q {row.q_value:.3f})"
        )
    summary.finish(run)


def require_absent(how: ExplainFlags, names: Iterable[str], whose: str, *more: str) -> None:
    """Refuse flags that this kind of model does not read; ``more`` were given beside those of ``how``."""
    plain = ExplainFlags()
    given = [*(name for name in names if getattr(how, name) != getattr(plain, name)), *more]
    if given:
        raise ValueError(
            f"--{given[0].replace('_', '-')} is for {whose}; the run holds a model of another kind. Leave it out."
        )


def atoms_of(model: Any, data: Any, n_drugs: int) -> Any:
    """Contributions of the atoms of the first drugs that have a structure."""
    import pandas as pd

    drugs = data.drugs[data.drugs["smiles"].notna()].head(n_drugs)
    tables = [
        model.atoms(data, drug).assign(drug=drug, smiles=drugs.loc[drug, "smiles"])
        for drug in counted(drugs.index, "drugs")
    ]
    columns = ["drug", "smiles", "atom", "element", "contribution"]
    table = pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)
    from galenic.report.written import named

    return named(table, data.drugs)
