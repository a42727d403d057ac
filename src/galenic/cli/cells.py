"""The flags that say where labelled lines and single cells lie, and how both are read."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import typer

from galenic.work.bar import progress_bar

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from galenic.data.response import ResponseData
    from galenic.report.run import Run

EVERY = "all"
"""What is said for every drug."""
RESPONSES = ("response", "ln_ic50", "ic50", "auc")
LINES = ("line", "cell_line", "cell_line_name")
PLATFORMS = ("platform", "study", "source")
LINES_READ = ("response table", "expression", "expression genes", "cells without matrices")
"""Steps of reading that concern lines; the others are of drugs and their structures."""


@dataclass(frozen=True, kw_only=True)
class LineFlags:
    """Which labelled bulk lines a model of cells learns from.

    Parameters
    ----------
    bulk
        Labelled lines x genes (h5ad; obs: label, and response, line, platform where known), in place of the flags for
        tables below.
    data
        A data folder written by 'galenic data convert', in place of the tables.
    response
        Table with one row a measurement of a line and a drug.
    expression
        Expression matrix of the lines, cells x genes (CSV, TSV, Parquet, xlsx, h5ad).
    drugs
        Table of drugs with names and synonyms.
    cells
        Table of the lines, with further ids of theirs (COSMIC, DepMap).
    cell_column
        Column of the response table that holds the line, where it is not recognised.
    drug_column
        Column of the response table that holds the drug, where it is not recognised.
    response_column
        Column of the response, in the table or in obs of --bulk, where it is not recognised.
    unit
        Unit of the response where the column's name does not tell.
    repeats
        What to do where a line and a drug stand twice: refuse or take the mean.
    missing
        What to do with rows whose response is empty or infinite: refuse or drop them.
    symbols
        Table that translates the ids of the genes into symbols: ids in the first column.
    drug
        The drug: its id, name or a synonym, in any spelling; several separated by commas, or all.
    cut
        Where the response is cut into sensitive and resistant: waterfall, median, or a quantile such as 0.2.
    labels
        Table of labels (lines x drugs, or line, drug, label) in place of a cut.
    label_samples
        Table of other ids of the samples in --labels, where these are none of the lines' own (sample, name, platform).
    label_convention
        What 1 and 0 mean in --labels, --few and obs of --bulk: sensitive=1 or sensitive=0; words mean what they say.
    label_column
        Column of the label in obs of --bulk.
    platform
        Keep only lines of this platform (study).
    """

    bulk: str | None = None
    data: str | None = None
    response: str | None = None
    expression: str | None = None
    drugs: str | None = None
    cells: str | None = None
    cell_column: str | None = None
    drug_column: str | None = None
    response_column: str | None = None
    unit: str | None = None
    repeats: Literal["refuse", "mean"] = "refuse"
    missing: Literal["refuse", "drop"] = "refuse"
    symbols: str | None = None
    drug: tuple[str, ...] = ()
    cut: str = "waterfall"
    labels: str | None = None
    label_samples: str | None = None
    label_convention: Literal["sensitive=1", "sensitive=0"] = "sensitive=1"
    label_column: str = "label"
    platform: str | None = None

    @property
    def files(self) -> list[str]:
        """Every file or folder that is read."""
        named = (self.bulk, self.data, self.response, self.expression, self.drugs, self.cells, self.symbols)
        return [path for path in (*named, self.labels, self.label_samples) if path]

    def recipe(self) -> dict[str, Any]:
        """What differs from the defaults, as plain JSON."""
        plain = type(self)()
        given = {key: value for key, value in asdict(self).items() if value != getattr(plain, key)}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}


def from_recipe(recipe: dict[str, Any]) -> LineFlags:
    """The flags that :meth:`LineFlags.recipe` came from."""
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in recipe.items()}
    return LineFlags(**values)


def names_of_drugs(flags: LineFlags, data: ResponseData) -> list[str]:
    """The drugs that are asked for; each compound once where all are."""
    if flags.drug != (EVERY,):
        return list(flags.drug)
    drugs = data.drugs
    if flags.labels:
        from galenic.data import read

        table = read.table(flags.labels)
        return [str(name) for name in table.columns[1:]]
    known = drugs["name"].fillna(drugs.index.to_series()) if "name" in drugs else drugs.index.to_series()
    compound = drugs["structure"].fillna(known) if "structure" in drugs else known
    return [str(name) for name in known[~compound.duplicated().to_numpy()].drop_duplicates()]


@progress_bar("reading lines")
def read_lines(flags: LineFlags) -> ResponseData:
    """Expression of the lines, and responses where a table of them is named."""
    import pandas as pd

    from galenic.cli import inputs
    from galenic.data import read

    own = ("data", "response", "expression", "drugs", "cells", "cell_column", "drug_column", "response_column", "unit",
           "repeats", "missing", "symbols")  # fmt: skip
    if flags.labels and not (flags.response or flags.data):
        if not flags.expression:
            raise ValueError("labels belong to lines with expression; --expression is absent. Name the matrix.")
        known = pd.DataFrame({"smiles": pd.Series(dtype="object")})
        return read.cells_to_predict(
            flags.expression, cells=flags.cells, known=known, symbols=inputs.symbols(flags.symbols)
        )
    if not (flags.response or flags.data):
        raise ValueError(
            "labelled lines are expected: --bulk FILE (h5ad with obs label), or --response TABLE (or --labels TABLE) "
            "with --expression MATRIX. 'galenic data simulate cells --out FOLDER' makes files to try."
        )
    return inputs.read_all(inputs.DataFlags(**{name: getattr(flags, name) for name in own}))


def labelled(flags: LineFlags, drug: str, data: ResponseData) -> AnnData:
    """Labelled lines of one drug out of tables, with what reading the tables left out."""
    import pandas as pd

    from galenic.data.bulk import labelled_bulk

    cut: str | float = flags.cut
    if re.fullmatch(r"[\d.]+", flags.cut):
        cut = float(flags.cut)
    bulk = labelled_bulk(
        data,
        drug,
        labels=flags.labels,
        cut=cut,
        convention=flags.label_convention,
        samples=flags.label_samples,
        platform=flags.platform,
    )
    read = data.coverage[data.coverage["step"].isin(LINES_READ)]
    if len(read):
        bulk.uns["coverage"] = pd.concat([read, bulk.uns["coverage"]], ignore_index=True)
    return bulk


def labelled_file(flags: LineFlags) -> AnnData:
    """Labelled lines out of h5ad or zarr: labels in our convention, columns under our names."""
    import numpy as np

    from galenic.data.bulk import require_agreement
    from galenic.data.checks import first, require_columns, require_file
    from galenic.data.read.columns import find
    from galenic.data.read.matrices import open_h5ad
    from galenic.data.sensitivity_labels import as_labels, require_both

    other = [name for name in flags.recipe() if name in ("data", "response", "expression", "labels", "drugs", "cells")]
    if other or not flags.bulk:
        raise ValueError(f"--bulk names labelled lines; --{other[0] if other else 'bulk'} names others. Give one.")
    bulk = open_h5ad(require_file(flags.bulk, "labelled lines", or_zarr=True))
    require_columns(bulk.obs, [flags.label_column], "the table of lines (name the label with --label-column): obs")
    label = as_labels(bulk.obs[flags.label_column], convention=flags.label_convention, what="labels of the lines")
    obs = bulk.obs.copy()
    obs["label"] = label
    named = {"response": [flags.response_column] if flags.response_column else find(obs, RESPONSES),
             "line": find(obs, LINES), "platform": find(obs, PLATFORMS)}  # fmt: skip
    for name, found in named.items():
        if found:
            require_columns(obs, found[:1], "the table of lines: obs")
            obs[name] = obs[found[0]].to_numpy()
    bulk.obs = obs
    if flags.platform is not None:
        here = (
            bulk.obs["platform"].astype(str).str.casefold() == flags.platform.casefold() if "platform" in obs else None
        )
        if here is None or not here.any():
            known = first(obs["platform"].unique()) if "platform" in obs else "none is known"
            raise ValueError(f"--platform should be one of the lines' ({known}); received {flags.platform!r}. Correct.")
        bulk = bulk[here.to_numpy()].copy()
    bulk = bulk[np.isfinite(bulk.obs["label"].to_numpy())].copy()
    require_both(bulk.obs["label"], "labels of the lines", "Label more lines, or name another column (--label-column).")
    if "response" in bulk.obs:
        bulk.obs["response"] = bulk.obs["response"].astype(np.float64)
        require_agreement(bulk.obs["label"].to_numpy(), bulk.obs["response"].to_numpy(), "the drug")
    bulk.obs["label"] = bulk.obs["label"].astype(np.int64)
    if flags.drug:
        bulk.uns["drug"] = flags.drug[0]
    return bulk


def columns_of(bulk: AnnData, *, cut: bool) -> dict[str, str]:
    """What ``fit`` is told of the columns: the response only where it is whole and labels come from it."""
    import numpy as np

    found = {"line": "line", "platform": "platform"}
    found |= {"response": "response"} if cut else {}
    known = {key: name for key, name in found.items() if name in bulk.obs}
    if "response" in known and not np.isfinite(bulk.obs["response"].to_numpy(dtype=np.float64)).all():
        del known["response"]
    if "platform" in known and (bulk.obs["platform"].isna().any() or bulk.obs["platform"].nunique() < 2):
        del known["platform"]
    if "line" in known and bulk.obs["line"].isna().any():
        del known["line"]
    return known


def say_confounding(run: Run, bulk: AnnData, columns: dict[str, str]) -> pd.DataFrame | None:
    """How far labels depend on the platform, on record and on the screen; ``None`` where there is one platform."""
    from galenic.evaluate.confounding import confounding, confounding_sentence

    if "platform" not in columns:
        return None
    line = columns.get("line")
    obs = bulk.obs if line else bulk.obs.assign(line=bulk.obs_names)
    table = confounding(obs, line=line or "line").assign(drug=str(bulk.uns.get("drug", "")))
    said = confounding_sentence(table.iloc[0])
    if said:
        run.note(said)
        typer.echo(f"Warning: {said}", err=True)
    return table
