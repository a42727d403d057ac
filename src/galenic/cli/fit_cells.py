"""``galenic fit scatd transfer`` and its floors: labelled lines in, a model of cells and its answers out."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import typer

from galenic.cli.cells import LineFlags
from galenic.cli.compute import DEVICES, ENGINE, DeviceFlags, EngineFlags, engaged
from galenic.cli.flags import add, collect
from galenic.work.near import did_you_mean

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


SIZES = (1, 3, 5, 10)
"""Labelled cells of each class in the few-shot curve."""


@dataclass(frozen=True, kw_only=True)
class TargetFlags(EngineFlags, DeviceFlags):
    """Which cells are asked about, and what is known of them.

    Parameters
    ----------
    target
        Unlabelled cells x genes that are to be predicted (h5ad); labels in it are not read for learning.
    few
        Table of a few labelled cells of the target (cell, label): the model learns from them too.
    by
        Columns of the target (cluster, sample) over which predictions are summed up, separated by commas.
    truth
        Column of the target with known labels, for judging alone; cells of --few are left out.
    truth_convention
        What 1 and 0 mean in --truth and --few-shot-truth: sensitive=1 or sensitive=0; words mean what they say.
    few_shot_truth
        Column of known labels from which a few-shot curve is drawn: 1, 3, 5 and 10 labelled cells of each class.
    few_shot_repeats
        Draws of labelled cells for each size of the curve.
    floors
        Floors that are fitted on the same lines and asked about the same cells, separated by commas; none leaves them
        out.
    allow_far
        Go on with cells that do not resemble the lines after alignment.
    device
        Where networks compute: cpu, cuda, auto.
    overwrite
        Replace an earlier run in the same folder.
    resume
        Go on with an interrupted run in the same folder.
    """

    target: str | None = None
    few: str | None = None
    by: tuple[str, ...] = ()
    truth: str | None = None
    truth_convention: Literal["sensitive=1", "sensitive=0"] = "sensitive=1"
    few_shot_truth: str | None = None
    few_shot_repeats: int = 10
    floors: tuple[str, ...] = ("CellPrior", "CellCentroid", "CellSignature", "CellLogistic", "AlignedLogistic",
                               "CellRidge")  # fmt: skip
    allow_far: bool = False
    device: str = "cpu"
    overwrite: bool = False
    resume: bool = False


@dataclass(frozen=True, kw_only=True)
class EncoderFlag:
    """The encoder of a model that has one.

    Parameters
    ----------
    encoder
        Run folder of 'galenic fit scatd pretrain' or 'distil'; without, an encoder is trained on lines and target.
    """

    encoder: str | None = None


def command_of(model_class: type) -> Any:
    """The function of one model's command."""
    own: list[type] = [LineFlags, TargetFlags, *([EncoderFlag] if has_encoder(model_class) else [])]

    def run(out: str = typer.Option(..., "--out", help="Run folder to write."), **flags: Any) -> None:
        given: list[Any] = [collect(cls, flags) for cls in own]
        lines, how, *encoder = given
        with engaged(how) as how:
            fit(collect(model_class, flags), out, lines, how, *encoder)

    return add(run, *own, model_class)


def has_encoder(model_class: type) -> bool:
    """Whether ``fit`` of the class takes an encoder."""
    import inspect

    return "encoder" in inspect.signature(model_class.fit).parameters  # type: ignore[attr-defined]


def fit(model: Any, out: str, lines: LineFlags, how: TargetFlags, own: EncoderFlag | None = None) -> None:
    """Learn one model a drug from labelled lines, ask it about the target, and keep both in the run folder ``out``."""
    from galenic.cli import keeping, summary
    from galenic.cli.cell_job import Job
    from galenic.cli.cell_tables import require_groups, truth_of
    from galenic.cli.cells import labelled, labelled_file, names_of_drugs, read_lines
    from galenic.data.read.single_cells import single_cells
    from galenic.models.fields import to_dict
    from galenic.report import run as run_folder

    require_floors(how.floors)
    if not how.target:
        raise ValueError("cells that are to be predicted are expected: --target FILE (h5ad). Name them.")
    if not (lines.bulk or lines.drug):
        raise ValueError("a drug is expected: --drug NAME, several separated by commas, or all. Name one.")
    notes: list[str] = []
    target = single_cells(how.target, "the target", notes, use_rep=model.use_rep)
    require_groups(target, how.by)
    truth = truth_of(target, how.truth, how.truth_convention)
    few = few_labels(how.few, target, lines.label_convention, notes)
    if few is not None and truth is not None:
        truth = truth.drop(few.index, errors="ignore")  # what was learned from is no test
    sizes = sizes_of_curve(target, how.few_shot_truth, how.truth_convention)
    encoder = load_encoder(own.encoder) if own is not None and own.encoder else None
    if lines.bulk:
        bulk, data = labelled_file(lines), None
        asked = [str(bulk.uns.get("drug", "the drug"))]
    else:
        bulk, data = None, read_lines(lines)
        asked = names_of_drugs(lines, data)
        require_drugs(lines, asked, data)
        require_one_drug(asked, how)
    name = type(model).__name__
    kept = {
        key: value
        for key, value in asdict(how).items()
        if key not in (*ENGINE, *DEVICES, "overwrite", "resume", "device")
    }
    fields = {"model": name, **to_dict(model), "lines": lines.recipe(), **kept, "drugs": asked,
              "encoder": own.encoder if own else None}  # fmt: skip
    with (
        run_folder.start(
            out,
            verb="fit",
            command=summary.typed(),
            fields=fields,
            title=f"{name}: {asked[0] if len(asked) == 1 else f'{len(asked):,} drugs'}, {target.n_obs:,} cells",
            seed=model.seed,
            inputs=[path for path in (*lines.files, how.target, how.few, own.encoder if own else None) if path],
            overwrite=how.overwrite,
            resume=how.resume,
        ) as run,
        summary.kept_warnings(run),
        keeping.unfinished(run, resume=how.resume) as place,
    ):
        for note in notes:
            run.note(note)
        job = Job(run, model, target, how, truth, few, sizes, encoder, place)
        if len(asked) == 1:
            job.one(bulk if data is None else labelled(lines, asked[0], data), cut=not lines.labels)
        else:
            assert data is not None
            job.several(lines, asked, data)
    summary.finish(run)


def few_labels(path: str | None, target: AnnData, convention: Any, notes: list[str]) -> pd.Series | None:
    """A few labels of the target, of both classes; what is left out is told and noted."""
    from galenic.data.sensitivity_labels import cell_labels, require_both

    if path is None:
        return None
    from galenic.data import read

    table = read.table(path)
    few: pd.Series = cell_labels(table, target.obs_names, convention=convention, what="a few labels (--few)")
    require_both(few, "a few labels (--few)", "Label one cell more, of the other class.")
    if len(few) < len(table):
        said = (
            f"{len(table) - len(few):,} of {len(table):,} rows of {path} are of other cells or have no label; left out."
        )
        warnings.warn(said, stacklevel=2)
        notes.append(said)
    return few


def sizes_of_curve(target: AnnData, column: str | None, convention: str) -> list[int]:
    """Labelled cells of each class of a few-shot curve that leave some to be asked about."""
    from galenic.cli.cell_tables import truth_of

    truth = truth_of(target, column, convention, "--few-shot-truth")
    if truth is None:
        return []
    rarer = int(min((truth == one).sum() for one in (0, 1)))
    if rarer <= SIZES[0]:
        raise ValueError(
            f"a few-shot curve needs two labelled cells of each class or more; column {column!r} has {rarer} of the "
            "rarer one. Leave --few-shot-truth out."
        )
    return [size for size in SIZES if size < rarer]


def require_floors(names: tuple[str, ...]) -> None:
    """Refuse floors that do not exist."""
    from galenic.models import CELL_MODELS

    unknown = [name for name in names if name not in (*CELL_MODELS, "none")]
    if unknown:
        raise ValueError(
            f"--floors should be of {', '.join(CELL_MODELS)}; received {unknown[0]!r}. "
            f"{did_you_mean(unknown[0], CELL_MODELS, 'Correct the name.')}"
        )


def require_drugs(lines: LineFlags, asked: list[str], data: Any) -> None:
    """Refuse a drug that the data do not know before others are fitted."""
    from galenic.data.drug_names import find_drug

    if not lines.labels:
        for drug in asked:
            find_drug(data.drugs, drug)


def require_one_drug(asked: list[str], how: TargetFlags) -> None:
    """Labels of cells are of one drug: refuse them where several are asked for."""
    named = {"--few": how.few, "--truth": how.truth, "--few-shot-truth": how.few_shot_truth}
    given = [flag for flag, value in named.items() if value]
    if given and len(asked) > 1:
        raise ValueError(
            f"{given[0]} holds labels for one drug; {len(asked):,} are asked for ({', '.join(asked[:3])}"
            f"{', ...' if len(asked) > 3 else ''}). Ask for one drug, or leave {given[0]} out."
        )


def load_encoder(folder: str, flag: str = "--encoder") -> Any:
    """A saved encoder; another model is refused."""
    from galenic.models import ENCODERS
    from galenic.models.base import load

    model = load(folder)
    if type(model).__name__ not in ENCODERS:
        raise ValueError(
            f"{flag} should be a run of 'galenic fit scatd pretrain' or 'distil'; {folder} holds a "
            f"{type(model).__name__}. Name another run."
        )
    return model
