"""The flags that say where measured responses lie, and how they are read into one container."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from galenic.work.bar import progress_bar

if TYPE_CHECKING:
    from galenic.data.response import ResponseData


@dataclass(frozen=True, kw_only=True)
class DataFlags:
    """Where the data lie.

    Parameters
    ----------
    data
        A data folder written by 'galenic data convert' or 'galenic data simulate', in place of all the flags below.
    response
        Table with one row a measurement (CSV, TSV, Parquet, xlsx; compressed or not).
    expression
        Expression matrix, cells x genes (CSV, TSV, Parquet, xlsx, h5ad).
    modality
        More matrices of the cells, as name=file separated by commas: mutation=mut.csv,methylation=meth.csv.
    drugs
        Table of drugs with a SMILES column.
    cells
        Table of cells with a tissue column.
    cell_column
        Column of the response table that holds the cell, where it is not recognised.
    drug_column
        Column of the response table that holds the drug, where it is not recognised.
    response_column
        Column of the response table that holds the response, where it is not recognised.
    unit
        Unit of the response where the column's name does not tell: ln_ic50, ic50 (micromolar), auc, viability, ic50_nm,
        log10_ic50, pic50, ...
    repeats
        What to do where a (cell, drug) pair stands twice: refuse or take the mean.
    missing
        What to do with rows whose response is empty or infinite: refuse or drop them.
    symbols
        Table that translates the ids of the genes (Ensembl, Entrez) into symbols: ids in the first column.
    fold_file
        Your own folds, for --by file: a table with fold and cell, drug or both.
    complete
        Keep only cells in which these were measured, separated by commas: expression,mutation.
    one_screen
        Keep one screen of each compound: the latest id of each structure; drugs without a structure leave.
    """

    data: str | None = None
    response: str | None = None
    expression: str | None = None
    modality: tuple[str, ...] = ()
    drugs: str | None = None
    cells: str | None = None
    cell_column: str | None = None
    drug_column: str | None = None
    response_column: str | None = None
    unit: str | None = None
    repeats: Literal["refuse", "mean"] = "refuse"
    missing: Literal["refuse", "drop"] = "refuse"
    symbols: str | None = None
    fold_file: str | None = None
    complete: tuple[str, ...] = ()
    one_screen: bool = False

    @property
    def files(self) -> list[str]:
        """Every file or folder that is read."""
        named = (self.data, self.response, self.expression, *modalities(self.modality).values())
        named += (self.drugs, self.cells, self.symbols, self.fold_file)
        return [path for path in named if path]

    def recipe(self) -> dict[str, Any]:
        """What differs from the defaults, as plain JSON: enough to read the same data again."""
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return {key: value for key, value in plain.items() if value not in (None, [], False, "refuse")}


def response_model(folder: str, verb: str) -> Any:
    """The saved model of a run that predicts responses; models of profiles are refused."""
    from galenic.models import RESPONSE_MODELS
    from galenic.models.base import load

    model = load(folder)
    if type(model).__name__ not in RESPONSE_MODELS:
        raise ValueError(
            f"'galenic {verb}' is for models of responses; {folder} holds a {type(model).__name__}. Profiles are "
            "embedded by 'galenic embed' and searched by 'galenic search'; effects of perturbations are predicted by "
            "'galenic predict'."
        )
    return model


def is_of_perturbations(folder: str) -> bool:
    """Whether a folder holds a saved model that predicts effects of perturbations."""
    from galenic.models import PERTURBATION_MODELS
    from galenic.models.folders import class_in

    return class_in(folder) in PERTURBATION_MODELS


def from_recipe(recipe: dict[str, Any]) -> DataFlags:
    """The flags that :meth:`DataFlags.recipe` came from."""
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in recipe.items()}
    return DataFlags(**values)


def modalities(items: tuple[str, ...]) -> dict[str, str]:
    """``("mutation=mut.csv",)`` as a mapping."""
    named = {}
    for item in items:
        name, equals, path = item.partition("=")
        if not equals or not name or not path:
            raise ValueError(f"a modality is written name=file, as in mutation=mut.csv; received {item!r}. Name it so.")
        named[name] = path
    return named


@progress_bar("reading the data")
def read_all(flags: DataFlags) -> ResponseData:
    """Read the files that the flags name, before any screen is left out."""
    from galenic.data import read

    if flags.data:
        given = [name for name in flags.recipe() if name not in ("data", "fold_file", "complete", "one_screen")]
        if given:
            raise ValueError(
                f"--data names a whole data folder; --{given[0].replace('_', '-')} names a part. Give one or the other."
            )
        return read.read_folder(flags.data)
    if not flags.response:
        raise ValueError(
            "measured responses are expected: --data FOLDER, or --response TABLE with --expression MATRIX. "
            "'galenic data simulate screen --out screen/' makes a folder to try."
        )
    columns = {"cell": flags.cell_column, "drug": flags.drug_column, "response": flags.response_column}
    return read.response_data(
        flags.response,
        expression=flags.expression,
        modalities=modalities(flags.modality),
        drugs=flags.drugs,
        cells=flags.cells,
        columns={key: value for key, value in columns.items() if value},
        unit=flags.unit,
        repeats=flags.repeats,
        missing=flags.missing,
        symbols=symbols(flags.symbols),
    )


def choose(data: ResponseData, flags: DataFlags) -> ResponseData:
    """Only the cells, screens and folds that the flags keep."""
    if flags.complete:
        data = data.complete(*flags.complete)
    if flags.one_screen:
        data = data.one_screen_per_compound()
    if flags.fold_file:
        from galenic.data.folds import with_folds

        data = with_folds(data, flags.fold_file)
    return data


def symbols(path: str | None) -> dict[str, str] | None:
    """A table of two columns as a mapping from the first to the second."""
    if path is None:
        return None
    from galenic.data import read

    table = read.table(path)
    if table.shape[1] < 2:
        raise ValueError(
            f"a table of symbols has two columns, ids and symbols; {path} has {table.shape[1]}. Add the other column."
        )
    return dict(zip(table.iloc[:, 0].astype(str), table.iloc[:, 1].astype(str), strict=True))
