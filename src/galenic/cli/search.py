"""``galenic search``: build a reference of perturbagens, and query it for those that act alike or the opposite way."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import typer

from galenic.cli.flags import add, collect
from galenic.cli.query_flags import QueryFlags

if TYPE_CHECKING:
    import pandas as pd

N_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class BuildFlags:
    """What a reference is made of.

    Parameters
    ----------
    annotations
        Table of perturbagens by pert_id or pert_name, with moa, target or smiles.
    gene_info
        Table of genes that was published with the profiles (pr_gene_id, pr_gene_symbol, pr_is_lm, ...).
    sample_info
        Table of profiles that was published with them (inst_id, pert_id, ...); for several files one table for all, or
        one for each in their order, separated by commas.
    aggregate
        How the profiles of a perturbagen become one vector: their mean, or weighted by how they agree (modz).
    gene_sets
        Rank the profiles too, so that lists of raised and lowered genes can be searched for.
    controls
        Keep controls (types that start with ctl_).
    device
        Where networks compute: cpu, cuda, auto.
    overwrite
        Replace an earlier reference.
    """

    annotations: str | None = None
    gene_info: str | None = None
    sample_info: tuple[str, ...] = ()
    aggregate: Literal["mean", "modz"] = "mean"
    gene_sets: bool = False
    controls: bool = False
    device: str = "cpu"
    overwrite: bool = False


def command() -> Any:
    """The verb, for the command line."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

    @app.callback()
    def search() -> None:
        """Find perturbagens that act alike, or the opposite way."""

    def build_one(
        model: str = typer.Argument(..., metavar="MODEL", help="Run folder of 'galenic fit', or a model folder."),
        profiles: list[str] = typer.Argument(
            ..., metavar="PROFILES", help="Profiles to be found: GCT, GCTX, h5ad or a folder; several are joined."
        ),
        out: str = typer.Option(..., "--out", help="Folder to write the reference to."),
        **flags: Any,
    ) -> None:
        """Embed profiles and write what queries go through. Convert large files first: 'galenic data convert'."""
        build(model, profiles, out, collect(BuildFlags, flags))

    def query_one(
        reference: str = typer.Argument(..., metavar="REFERENCE", help="Folder of 'galenic search build'."),
        out: str = typer.Option(..., "--out", help="Run folder to write."),
        **flags: Any,
    ) -> None:
        """Search with one of --name, --profile, --up/--down or --counts; hits, enriched mechanisms and a page."""
        query(reference, out, collect(QueryFlags, flags))

    app.command("build")(add(build_one, BuildFlags))
    app.command("query")(add(query_one, QueryFlags))
    return typer.main.get_command(app)


def build(model_folder: str, files: list[str], out: str, flags: BuildFlags) -> None:
    """Write a reference, and say what is in it."""
    from galenic.cli import queries
    from galenic.data import read
    from galenic.models.base import load
    from galenic.models.reference import build as write
    from galenic.models.reference import open_reference
    from galenic.work.bar import progress_bar, watcher

    model = load(model_folder)
    adata = queries.reference_profiles(files, model, flags.gene_info, flags.sample_info)
    with progress_bar("profiles", adata.n_obs) as advance:
        folder = write(
            model,
            adata,
            out,
            annotations=read.table(flags.annotations) if flags.annotations else None,
            how=flags.aggregate,
            gene_sets=flags.gene_sets,
            controls=flags.controls,
            overwrite=flags.overwrite,
            device=flags.device,
            progress=watcher(advance),
        )
    reference = open_reference(folder)
    typer.echo(f"{len(reference):,} perturbagens, {len(reference.profiles):,} profiles, {type(model).__name__}: {out}")
    for row in reference.coverage.itertuples():
        typer.echo(f"- {row.step}: {row.kept:,} kept, {row.dropped:,} not ({row.why})")


def query(folder: str, out: str, flags: QueryFlags) -> None:
    """Search, write the tables and the page, and print the first hits."""
    from pathlib import Path

    from galenic.cli import queries, summary
    from galenic.models.reference import open_reference
    from galenic.report import run as run_folder

    kind = queries.kind_of(flags)
    reference = open_reference(folder)
    how = {
        name: value for name, value in asdict(flags).items() if value not in (None, (), False) and name != "overwrite"
    }
    about = {"model": reference.about["model"], "profiles merged by": reference.about["how"]}
    if kind == "--up or --down":
        about["reference queries of tau"] = reference.about["n_queries"]
    with (
        run_folder.start(
            out,
            verb="search",
            command=summary.typed(),
            fields={**how, "reference": folder, **about},
            title=f"{'What opposes' if flags.reverse else 'What acts like'} {queries.title(flags)}",
            inputs=[Path(folder) / "reference.json", *queries.files(flags)],
            overwrite=flags.overwrite,
        ) as run,
        summary.kept_warnings(run),
    ):
        with run.timed("search"):
            answer, coverage = queries.ask(reference, flags, kind)
        run.record["data"] = {"perturbagens": len(reference), "profiles": len(reference.profiles)}
        run.write("query", answer.queries)
        run.write("hits", answer.hits)
        run.write("enrichment", answer.enrichment)
        run.write("map", answer.map)
        if coverage is not None:
            run.write("coverage", coverage)
    show(answer.hits, answer.queries)
    summary.finish(run)


def shorten(text: str, length: int) -> str:
    """What fits a column of the screen."""
    return text if len(text) <= length else text[: length - 1] + "…"


def show(hits: pd.DataFrame, asked: pd.DataFrame) -> None:
    """Print the first hits of every query, and what speaks against trusting it."""
    from rich.console import Console
    from rich.table import Table

    screen = Console()
    for row in asked.to_dict("records"):
        own = hits[hits["query"] == row["query"]].head(N_SHOWN)
        texts, numbers = _columns(own)
        # Headings and numbers are whole; texts share what is left. Every column has a blank on either side.
        room = screen.width - 4 - sum(max(map(len, (name, *shown))) + 2 for name, shown in numbers.items())
        widths = _widths({name: max(map(len, (name, *shown))) for name, shown in texts.items()}, room - 2 * len(texts))
        table = Table(title=f"{row['query']}, {row['searched']:,} searched", title_justify="left", box=None)
        table.add_column("", justify="right")
        cells = [[str(rank) for rank in own["rank"]]]
        order = ["perturbagen", *numbers, *(name for name in texts if name != "perturbagen")]
        for name in order:
            table.add_column(name, justify="right" if name in numbers else "left", no_wrap=True)
            cells.append(numbers[name] if name in numbers else [shorten(text, widths[name]) for text in texts[name]])
        for line in zip(*cells, strict=True):
            table.add_row(*line)
        screen.print(table)
        if row.get("flag"):
            typer.echo(f"{row['query']}: {row['flag']} ({row['reason']})")
    if "above" in hits:
        typer.echo("above: share of pairs of perturbagens in the reference that are less similar")


def _columns(own: pd.DataFrame) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """What is shown of hits, texts and numbers, by heading."""
    # Corrected for hubs, similarity is near 0 even for twins: the cosine is what people know.
    corrected = "cosine" in own and bool(((own["similarity"] - own["cosine"]).abs() > 1e-6).any())
    more = corrected or "cell" in own
    texts = {"perturbagen": [str(name) for name in own["pert_name"]]}
    for name in ("cell", "moa", *([] if more else ["target"])):
        if name in own and own[name].notna().any():
            texts[name] = ["–" if value != value or value is None else str(value) for value in own[name]]
    numbers = {"similarity": [f"{value:.3f}" for value in own["similarity"]]}
    if "above" in own and own["above"].notna().any():
        numbers["above"] = [percent(value) for value in own["above"]]
    for name, heading in (("cosine", "cosine"), ("tanimoto", "structure")):
        if name in own and own[name].notna().any() and (corrected or name != "cosine"):
            numbers[heading] = ["–" if value != value else f"{value:.2f}" for value in own[name]]
    return texts, numbers


def percent(share: float) -> str:
    """A share near 1 without rounding it to all.

    >>> percent(0.9981), percent(0.99999), percent(0.5)
    ('99.8%', '>99.9%', '50.0%')
    """
    return "–" if share != share else ">99.9%" if share > 0.9995 else f"{share:.1%}"


def _widths(wanted: dict[str, int], room: int) -> dict[str, int]:
    """Widths of columns of text that together fit: the widest give way first, headings stay whole."""
    widths = {name: min(n, 22) for name, n in wanted.items()}
    while sum(widths.values()) > room:
        widest = max(widths, key=lambda name: widths[name] - len(name))
        if widths[widest] <= len(widest):
            break
        widths[widest] -= 1
    return widths
