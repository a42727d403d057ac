"""``galenic report RUN``: the page of a run folder, written anew; ``--compare``: one page of several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from galenic.cli.voice import voice


def command() -> Any:
    """The verb, for the command line."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    @app.command()
    def report(
        folders: list[str] = typer.Argument(..., metavar="RUN...", help="A run folder; with --compare, two or more."),
        compare: bool = typer.Option(
            False, "--compare", help="Write one page that compares these runs with the first of them."
        ),
        out: str = typer.Option("", "--out", help="Page to write, with --compare.  [default: compare.html]"),
    ) -> None:
        """Write report.html into a run folder, or one page on several runs: pages that open offline."""
        from galenic.report.compare import write_comparison
        from galenic.report.page import write_report

        if compare:
            return _told(write_comparison(folders, out or "compare.html"))
        if out or len(folders) > 1:
            received = "--out" if out else f"{len(folders)} folders"
            raise ValueError(
                f"one run folder is expected, whose report.html is written; received {received}. "
                "Add --compare to write one page on several runs."
            )
        _told(write_report(folders[0]))

    return typer.main.get_command(app)


def _told(page: Path) -> None:
    """Say where the page is; in the document too."""
    voice().give(report=str(page))
    typer.echo(f"report: {page}")
