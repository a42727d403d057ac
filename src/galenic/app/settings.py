"""What the command line told the app: where the user's models lie, and how large an upload may be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MOST_MB = 500
"""Megabytes of an upload unless the command line says otherwise."""


@dataclass
class Settings:
    """One process has one; ``serve`` sets it before the first page is asked for.

    Parameters
    ----------
    models
        Folder whose run and model folders the pages offer; ``None`` for none.
    max_upload_mb
        Megabytes that one uploaded file may have.
    """

    models: Path | None = None
    max_upload_mb: int = MOST_MB


SETTINGS = Settings()
