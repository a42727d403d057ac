"""Where numbers come from: hashes of inputs, versions, peak memory."""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def fingerprint(path: Path) -> dict[str, Any]:
    """Path as given, sha256 and size; for a folder, of the names and contents of its files."""
    if not path.exists():
        raise FileNotFoundError(f"an input should be a file or folder; {path} does not exist. Check the path.")
    if path.is_file():
        return {"path": str(path), "sha256": _sha256(path), "bytes": path.stat().st_size}
    files = files_of(path)
    lines = "".join(f"{_sha256(file)}  {file.relative_to(path).as_posix()}\n" for file in files)
    size = sum(file.stat().st_size for file in files)
    return {"path": str(path), "sha256": hashlib.sha256(lines.encode()).hexdigest(), "bytes": size, "files": len(files)}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_of(path: Path) -> list[Path]:
    """All files inside a folder, in order; a file is itself."""
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


def plain(value: Any) -> Any:
    """Value as JSON holds it: tuples as lists, numpy scalars as numbers, paths and the rest as text, no NaN."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    return value if value is None or isinstance(value, str | int) else str(value)


def versions() -> dict[str, str]:
    """Versions of Python, the platform and those libraries behind the numbers that are loaded."""
    names = {"numpy": "numpy", "pandas": "pandas", "scikit-learn": "sklearn", "torch": "torch"}
    loaded = {name: _version_of(name) for name, module in names.items() if module in sys.modules}
    return {"python": platform.python_version(), **loaded, "platform": platform.platform()}


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def now() -> str:
    """Time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def peak_memory() -> float | None:
    """Largest resident size of this process or of one of its workers, in megabytes; ``None`` where not known."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)
