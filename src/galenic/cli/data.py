"""``galenic data``: fetch, check, convert, split and simulate data."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import typer

from galenic.cli import completing, data_fetch, perturbations, profiles, simulate_cells
from galenic.cli.flags import add, collect
from galenic.cli.inputs import DataFlags
from galenic.cli.voice import voice

CATALOGUE = "Another table of public data and their addresses; also GALENIC_CATALOGUE."


@dataclass(frozen=True, kw_only=True)
class ScreenFlags:
    """A simulated screen with planted truth.

    Parameters
    ----------
    n_cells
        Number of cells.
    n_drugs
        Number of drugs.
    n_genes
        Number of genes.
    n_drivers
        Genes that drive each drug's response.
    missing
        Share of the pairs that are not measured.
    missing_modalities
        Share of the cells that lack a modality.
    seed
        Seed of all random numbers; the same seed gives the same data.
    """

    n_cells: int = 200
    n_drugs: int = 30
    n_genes: int = 500
    n_drivers: int = 3
    missing: float = 0.1
    missing_modalities: float = 0.0
    seed: int = 0


def command() -> Any:
    """The verb, for the command line."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

    @app.callback()
    def data() -> None:
        """Fetch public data; check, convert, split and simulate data."""

    @app.command()
    def check(
        file: str = typer.Argument(..., help="A file, or a data folder."),
        cells: bool = typer.Option(False, "--cells", help="It holds single cells whose sensitivity is asked for."),
        model: str = typer.Option(None, "--model", help="With --cells: run folder of the model that will be asked."),
    ) -> None:
        """Say what a file is and what is wrong with it; exit code 2 if it cannot be used."""
        check_file(file, cells=cells, model=model)

    def convert_all(
        files: list[str] | None = typer.Argument(
            None, metavar="[FILE]...", help="L1000 profiles: GCT, GCTX, h5ad or a folder; several are joined."
        ),
        out: str = typer.Option(
            ..., "--out", help="Data folder to write; for profiles also a file that ends in .gct, .gctx or .h5ad."
        ),
        layout: Literal["tables", "gdsc", "prism", "ctrp"] = typer.Option(
            "tables", "--layout", help="Layout of the response: plain tables, or an official one."
        ),
        **flags: Any,
    ) -> None:
        """Join files into one data folder: pairs, cells and drugs, with a report of what was matched and dropped.

        With FILE: profiles of perturbed cells from one format into another, or into a folder that opens at once.
        """
        if files:
            profiles.convert(files, out, only_profiles(flags, layout))
        else:
            convert(out, layout, only_responses(flags))

    def simulate_screen(
        out: str = typer.Option(..., "--out", help="Data folder to write; the planted truth goes to truth.csv in it."),
        **flags: Any,
    ) -> None:
        """Simulate a screen: drivers, targets and structures are planted, so that what a model finds can be judged."""
        simulate(out, collect(ScreenFlags, flags))

    def simulate_profiles(
        out: str = typer.Option(..., "--out", help="File of profiles to write, which ends in .h5ad."),
        overwrite: bool = typer.Option(False, "--overwrite", help="Replace the file that --out names."),
        **flags: Any,
    ) -> None:
        """Simulate profiles of perturbed cells: mechanisms are planted, under stress that all perturbagens share."""
        profiles.simulate(out, collect(profiles.SimulatedFlags, flags), overwrite=overwrite)

    def simulate_perturbations(
        out: str = typer.Option(..., "--out", help="File of cells to write, which ends in .h5ad."),
        overwrite: bool = typer.Option(False, "--overwrite", help="Replace the file that --out names."),
        **flags: Any,
    ) -> None:
        """Simulate treated and control cells of several types: the effects of perturbations are planted."""
        perturbations.simulate(out, collect(perturbations.SimulatedCellsFlags, flags), overwrite=overwrite)

    def simulate_subclones(
        out: str = typer.Option(..., "--out", help="Folder to write: bulk.h5ad, cells.h5ad, few.csv, truth.csv."),
        overwrite: bool = typer.Option(False, "--overwrite", help="Replace these files."),
        **flags: Any,
    ) -> None:
        """Simulate labelled bulk lines and single cells of two subclones: the reason for sensitivity is planted."""
        simulate_cells.simulate(out, collect(simulate_cells.SimulatedSubclonesFlags, flags), overwrite=overwrite)

    def split(
        file: str = typer.Argument(..., help="Treated and control cells or profiles (h5ad)."),
        out: str = typer.Option(..., "--out", help="File to write, which ends in .csv."),
        **flags: Any,
    ) -> None:
        """Divide perturbed cells into folds by what is unseen, as a file for 'fit --by file --fold-file'."""
        perturbations.split(file, out, collect(perturbations.SplitFlags, flags))

    @app.command("list")
    def list_public(
        as_json: bool = typer.Option(False, "--json", help="Everything that is known of each set, as JSON ('sets')."),
        verbose: bool = typer.Option(False, "--verbose", help="Files, addresses, and which have been seen to answer."),
        catalogue: str = typer.Option(None, "--catalogue", help=CATALOGUE),
    ) -> None:
        """List public data that can be fetched: name, what it holds, size, licence, citation."""
        data_fetch.show(as_json=as_json or voice().as_json, verbose=verbose or voice().verbose, catalogue=catalogue)

    @app.command("fetch")
    def fetch_public(
        name: str = typer.Argument(..., help="As 'galenic data list' says it.", autocompletion=completing.data_sets),
        out: str = typer.Option(None, "--out", help="Folder for the converted data, or for copies with --no-convert."),
        accept_licence: bool = typer.Option(
            False, "--accept-licence", help="You have read the licence of the data, and accept it."
        ),
        cache: str = typer.Option(None, "--cache", help="Where files are kept; else GALENIC_CACHE, else your cache."),
        offline: bool = typer.Option(False, "--offline", help="Use what is in the cache; also GALENIC_OFFLINE=1."),
        convert: bool = typer.Option(
            False, "--convert/--no-convert", help="Convert the files, and those that belong to them, for galenic."
        ),
        mirror: list[str] = typer.Option(
            [], "--mirror", help="Address that holds copies as NAME/FILE, tried first; also GALENIC_MIRROR."
        ),
        catalogue: str = typer.Option(None, "--catalogue", help=CATALOGUE),
    ) -> None:
        """Fetch public data, checked and resumed; shows the licence and asks for it."""
        places = data_fetch.Places(cache=cache, offline=offline, mirrors=tuple(mirror), catalogue=catalogue)
        data_fetch.fetch(name, out, places, accept_licence=accept_licence, convert=convert)

    @app.command("combine")
    def combine_all(
        folders: list[str] = typer.Argument(..., metavar="FOLDER", help="Data folders, one a study."),
        out: str = typer.Option(..., "--out", help="Data folder to write."),
    ) -> None:
        """Join studies, cells by id and drugs by structure, for 'fit --by study'."""
        combine(folders, out)

    app.command("convert")(add(convert_all, DataFlags, profiles.ProfileFlags))
    app.command("split")(add(split, perturbations.SplitFlags))
    kinds = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)
    kinds.command("screen")(add(simulate_screen, ScreenFlags))
    kinds.command("profiles")(add(simulate_profiles, profiles.SimulatedFlags))
    kinds.command("perturbations")(add(simulate_perturbations, perturbations.SimulatedCellsFlags))
    kinds.command("cells")(add(simulate_subclones, simulate_cells.SimulatedSubclonesFlags))

    @kinds.callback()
    def simulated() -> None:
        """Simulate data with planted truth."""

    app.add_typer(kinds, name="simulate")
    return typer.main.get_command(app)


def check_file(file: str, *, cells: bool = False, model: str | None = None) -> None:
    """Print the findings of ``galenic.data.diagnose``, or of single cells; exit with 2 if one is an error."""
    from rich.table import Table

    from galenic.data.diagnose import diagnose

    found = findings_of_cells(file, model) if cells or model else diagnose(file)
    table = Table(show_lines=False)
    for name in ("severity", "finding", "detail", "remedy"):
        table.add_column(name, overflow="fold")
    for row in found.itertuples():
        table.add_row(row.severity, row.finding, row.detail, row.remedy)
    voice().screen().print(table)
    voice().give(findings=found.to_dict("records"))
    if (found["severity"] == "error").any():
        raise typer.Exit(2)


def findings_of_cells(file: str, model: str | None) -> Any:
    """What there is to say of a file of single cells, and of what a model needs of them, as a table."""
    import pandas as pd

    from galenic.data.checks import require_file
    from galenic.data.diagnose import COLUMNS
    from galenic.data.diagnose_cells import cell_findings
    from galenic.models.folders import models_by_drug

    first = next(iter(models_by_drug(model).values())) if model else None
    asked = {} if first is None else {"features": first.spec_["features"], "rep": first.use_rep}
    return pd.DataFrame(cell_findings(require_file(file, "cells", or_zarr=True), **asked), columns=list(COLUMNS))


def convert(out: str, layout: str, flags: DataFlags) -> None:
    """Read the files that the flags name and write a data folder."""
    from galenic.cli import inputs
    from galenic.data import read

    if layout == "tables":
        data = inputs.read_all(flags)
    else:
        if not flags.response:
            raise ValueError(f"--layout {layout} needs --response, the file or folder of the official table. Name it.")
        reader = getattr(read, layout)
        data = reader(flags.response, **_accepted(reader, layout, flags))
    data = inputs.choose(data, flags)
    read.write(data, out)
    typer.echo(f"{data!r}\n{data.coverage.to_string(index=False) if len(data.coverage) else ''}\ndata folder: {out}")


def only_profiles(flags: dict[str, Any], layout: str) -> profiles.ProfileFlags:
    """The flags for profiles; one for responses is refused, not ignored."""
    other = [*collect(DataFlags, flags).recipe(), *(["layout"] if layout != "tables" else [])]
    if other:
        flag = other[0].replace("_", "-")
        raise ValueError(f"FILE names profiles; --{flag} is for responses. Leave out one of them.")
    return collect(profiles.ProfileFlags, flags)


def only_responses(flags: dict[str, Any]) -> DataFlags:
    """The flags for responses; one for profiles is refused, not ignored."""
    given, plain = collect(profiles.ProfileFlags, flags), profiles.ProfileFlags()
    other = [field.name for field in fields(plain) if getattr(given, field.name) != getattr(plain, field.name)]
    if other:
        flag = other[0].replace("_", "-")
        raise ValueError(f"--{flag} is for profiles; no FILE of profiles is named. Name one, or leave the flag out.")
    return collect(DataFlags, flags)


def _accepted(reader: Any, layout: str, flags: DataFlags) -> dict[str, Any]:
    """The flags as arguments of an official reader; a flag that it has no use for is refused, not ignored."""
    import inspect

    from galenic.cli import inputs

    given = {**flags.recipe(), **inputs.modalities(flags.modality), "symbols": inputs.symbols(flags.symbols)}
    for name in ("response", "modality", "complete", "one_screen", "fold_file"):
        given.pop(name, None)
    known = inspect.signature(reader).parameters
    unknown = [name for name, value in given.items() if value is not None and name not in known]
    if unknown:
        flag = f"--{unknown[0].replace('_', '-')}" if hasattr(flags, unknown[0]) else f"--modality {unknown[0]}=..."
        raise ValueError(
            f"--layout {layout} takes its files as they are published; {flag} does not fit it. Leave it out."
        )
    return {name: value for name, value in given.items() if value is not None}


def combine(folders: list[str], out: str) -> None:
    """Write one data folder from several."""
    from pathlib import Path

    from galenic.data import read
    from galenic.data.studies import combine as join

    data = join({Path(folder).name: read.read_folder(folder) for folder in folders})
    read.write(data, out)
    typer.echo(f"{data!r}\n{data.coverage.to_string(index=False)}\ndata folder: {out}")


def simulate(out: str, flags: ScreenFlags) -> None:
    """Write a simulated screen and its truth."""
    from dataclasses import asdict
    from pathlib import Path

    from galenic.data import read
    from galenic.data.simulate import screen
    from galenic.work.atomic import written

    data, truth = screen(**asdict(flags))
    read.write(data, out)
    with written(Path(out) / "truth.csv") as draft:
        truth.to_csv(draft, index=False)
    typer.echo(f"{data!r}\ndata folder: {out}")
