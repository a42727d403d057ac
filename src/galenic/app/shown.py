"""Tables that stand in memory, in the form that the sections of a report read; and drawings on paper."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from galenic.report.run import Run


@dataclass
class Shown(Run):
    """What was computed on a page, as if a run had written it.

    Parameters
    ----------
    tables
        By the names of a run folder: ``hits``, ``query``, ...

    Examples
    --------
    >>> Shown.of({"fields": {}}, hits=pd.DataFrame({"rank": [1]})).table("hits")["rank"].tolist()
    [1]
    """

    tables: dict[str, pd.DataFrame] = field(default_factory=dict)

    @classmethod
    def of(cls, record: dict[str, Any], **tables: pd.DataFrame) -> Shown:
        """Of a record and tables by name."""
        return cls(Path("."), {"fields": {}, "data": {}, **record}, tables=tables)

    def table(self, name: str, /, **where: str) -> pd.DataFrame | None:
        """A table by its name; ``None`` where there is none. Rows are kept as :meth:`Run.table` keeps them."""
        found = self.tables.get(name)
        for column, value in where.items() if found is not None else ():
            found = found[found[column] == value] if found is not None and column in found else found
        return found


def on_paper(svg: str) -> str:
    """A drawing on white, so that black bonds are seen in the dark too.

    >>> on_paper("<svg width='2px' height='2px'><path/></svg>").count("<rect")
    1
    """
    end = svg.index(">", svg.index("<svg")) + 1
    return f"{svg[:end]}<rect width='100%' height='100%' rx='6' fill='#ffffff'/>{svg[end:]}"
