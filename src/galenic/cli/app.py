"""``galenic app``: the pages in a browser of this machine."""

from __future__ import annotations

from typing import Any

import typer


def command() -> Any:
    """The verb, for the command line."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    @app.command()
    def run(
        port: int = typer.Option(8501, "--port", help="Port of this machine."),
        max_upload_mb: int = typer.Option(500, "--max-upload-mb", help="Megabytes that an uploaded file may have."),
        browser: bool = typer.Option(True, "--browser/--no-browser", help="Open the page in the browser."),
        models: str | None = typer.Option(None, "--models", help="Folder of model and run folders to offer."),
    ) -> None:
        """Open the web app: predict, look at cells, search, compare, without writing code.

        It is served to this machine alone (127.0.0.1), and sends nothing to the network.
        """
        from galenic.app.serve import serve

        serve(port=port, max_upload_mb=max_upload_mb, browser=browser, models=models)

    return typer.main.get_command(app)
