"""Tables that a run of cells leaves: what lines say of the model, and what the model says of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from galenic.report.run import Run

MOST = 1000
"""Lines and cells that a shift is measured on, drawn at random where there are more."""


def write_csv(run: Run, name: str, table: pd.DataFrame) -> None:
    """A table that is not in the list of known ones, because its name depends on the data."""
    from galenic.report.run import replace

    replace(run.path(f"{name}.csv"), lambda place: table.to_csv(place, index=False))


def source_scores(model: Any) -> pd.DataFrame:
    """Scores of the lines that members left out, with intervals over lines, and within platforms."""
    import pandas as pd

    from galenic.evaluate.single_cell import overview_within, single_cell_intervals

    table = model.source_
    threshold = float(model.spec_["threshold"])
    found = [single_cell_intervals(table, "line", threshold=threshold)]
    if "platform" in table:
        within = overview_within(table, "platform")
        found.append(within[within["group"] != "all"])
    return pd.concat(found, ignore_index=True)


def require_groups(cells: AnnData, by: tuple[str, ...], flag: str = "--by") -> None:
    """Refuse columns that the cells do not have."""
    from galenic.data.checks import first
    from galenic.work.near import nearest_name

    absent = [name for name in by if name not in cells.obs]
    if absent:
        raise ValueError(
            f"{flag} should name columns of the cells; they have {first(cells.obs.columns, 8) or 'none'}, and no "
            f"{absent[0]!r}{nearest_name(absent[0], map(str, cells.obs.columns))} Correct the name."
        )


def truth_of(cells: AnnData, column: str | None, convention: str, flag: str = "--truth") -> pd.Series | None:
    """Labels of the cells for judging alone, 1 and 0 by cell id."""
    import pandas as pd

    from galenic.data.sensitivity_labels import as_labels

    if column is None:
        return None
    require_groups(cells, (column,), flag)
    labels = as_labels(cells.obs[column], convention=convention, what=f"column {column!r}")  # type: ignore[arg-type]
    return pd.Series(labels, index=cells.obs_names).dropna()


def shift_of(model: Any, bulk: AnnData, cells: AnnData, seed: int = 0) -> Any:
    """How far cells lie from the lines before and after alignment; ``None`` where there are too few to say."""
    import numpy as np

    from galenic.data.cell_matrix import CellMatrix
    from galenic.models.cells.cell_model import standardised
    from galenic.models.cells.trust import FEWEST, shift_report

    features = model.spec_["features"]
    lines = CellMatrix.of(bulk, use_rep=model.use_rep, features=features, kind=model.spec_["kind"])
    target = CellMatrix.of(cells, use_rep=model.use_rep, features=features)
    if min(lines.n, target.n) < FEWEST:
        return None
    rng = np.random.default_rng(seed)
    parts = [
        np.nan_to_num(it.rows(np.sort(rng.choice(it.n, min(it.n, MOST), replace=False)))) for it in (lines, target)
    ]
    source = (model.arrays_["source/mean"], model.arrays_["source/sd"])
    own = source if model.align == "none" else model.standard(target, None)
    known, before = (standardised(part, *source) for part in parts)
    return shift_report(known, before, standardised(parts[1], *own), features, seed=seed)


def write_summaries(run: Run, table: pd.DataFrame, by: tuple[str, ...]) -> None:
    """A table of groups for each column that was asked for; printed too."""
    import pandas as pd

    from galenic.evaluate.cell_summary import summarise_cells

    for name in by:
        summary = summarise_cells(table, name)
        write_csv(run, f"summary_{name}", summary)
        shown = summary[["group", "n", "abstained", "probability", "low", "high", "share_sensitive"]]
        with pd.option_context("display.float_format", "{:.2f}".format):
            typer.echo(f"by {name}:\n{shown.head(20).to_string(index=False)}")


def say_prediction(table: pd.DataFrame, name: str) -> None:
    """One line of what was predicted, and what the model says of its direction."""
    from galenic.evaluate.cell_summary import summarise_cells

    row = summarise_cells(table).iloc[0]
    said = f"{name}: {int(row['n']):,} cells, {row['abstained']:.0%} abstained from"
    if row["answered"]:
        said += f"; of the others {row['share_sensitive']:.0%} are called sensitive, mean P {row['probability']:.2f}"
    typer.echo(said.replace("%", " %"))
    n_empty = int(table["probability"].isna().sum())
    if n_empty:
        typer.echo(f"{n_empty:,} cells without any counts have no probability")
    why = table.attrs.get("direction", {}).get("why")
    if why:
        typer.echo(why)
