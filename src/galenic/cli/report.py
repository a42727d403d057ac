"""``galenic report RUN``: the page of a run folder, written anew."""

from __future__ import annotations

from typing import Any

import typer


def command() -> Any:
    """The verb, for the command line."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    @app.command()
    def report(folder: str = typer.Argument(..., metavar="RUN", help="A run folder.")) -> None:
        """Write report.html into a run folder: one page that opens offline."""
        from galenic.report.page import write_report

        typer.echo(f"report: {write_report(folder)}")

    return typer.main.get_command(app)
