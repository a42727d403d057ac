"""``galenic fit MODEL``: read, cross-validate beside the floors, fit on everything, save, report."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict, dataclass
from typing import Any

import typer
from typer.core import TyperGroup

from galenic.cli.compute import engaged
from galenic.cli.flags import RunFlags, add, collect
from galenic.cli.inputs import DataFlags
from galenic.cli.manual import with_ends
from galenic.cli.model_fields import is_asked_for, stand_in
from galenic.models import CELL_MODELS, MODELS, PERTURBATION_MODELS, PROFILE_MODELS, find

SYSTEMS = {"DeepPert": "deeppert", "ReadAcross": "readacross", "ScATD": "scatd", "XTransferCDR": "xtransfercdr"}
"""Systems are typed as one word."""


def kebab(name: str) -> str:
    """``KernelRidge`` as it is typed: ``kernel-ridge``."""
    return SYSTEMS.get(name) or re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


NAMES = {kebab(name): name for name in MODELS}
KINDS = {
    **dict.fromkeys(MODELS, "fit responses"),
    **dict.fromkeys(PROFILE_MODELS, "fit profiles"),
    **dict.fromkeys(PERTURBATION_MODELS, "fit perturbations"),
    **dict.fromkeys(CELL_MODELS, "fit cells"),
}
"""Example of each model in the manual."""


@dataclass(frozen=True, kw_only=True)
class FitFlags(RunFlags):
    """How a model is judged before it is fitted on everything.

    Parameters
    ----------
    by
        What the folds leave out: pair, cell, drug (by structure), tissue, study, another column, or file (a column
        named fold); several separated by commas.
    folds
        Number of folds; 0 fits without judging.
    """

    by: tuple[str, ...] = ("cell",)
    folds: int = 5


class _Models(TyperGroup):
    """One command a model; only the one that is called is imported."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(NAMES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of one model; its class is imported only if it was called."""
        if cmd_name not in NAMES:
            return None
        if cmd_name == SYSTEMS["ScATD"] and cmd_name in sys.argv:
            from galenic.cli.fit_encoders import command as steps

            return with_ends(steps(), ("fit", "scatd"))
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        summary = MODELS[NAMES[cmd_name]][1]
        if cmd_name in sys.argv:
            app.command(name=cmd_name, help=f"Fit {NAMES[cmd_name]}: {summary}.")(_command(NAMES[cmd_name]))
        else:
            app.command(name=cmd_name, short_help=summary)(lambda: None)
        return with_ends(typer.main.get_command(app), ("fit", cmd_name), KINDS[NAMES[cmd_name]])


def command() -> Any:
    """The verb, for the command line."""
    app = typer.Typer(cls=_Models, add_completion=False, rich_markup_mode=None, no_args_is_help=True)

    @app.callback()
    def fit() -> None:
        """Fit a model, score it beside its floors on the same folds, save it, and write a report."""

    return typer.main.get_command(app)


def _command(name: str) -> Any:
    model_class = (stand_in(name) if is_asked_for() else None) or find(name)
    if name in PROFILE_MODELS:
        from galenic.cli.fit_profiles import command_of

        return command_of(model_class)
    if name in PERTURBATION_MODELS:
        from galenic.cli.fit_perturbations import command_of as command_of_perturbations

        return command_of_perturbations(model_class)
    if name in CELL_MODELS:
        from galenic.cli.fit_cells import command_of as command_of_cells

        return command_of_cells(model_class)

    def run(
        out: str = typer.Option(..., "--out", help="Run folder to write."),
        **flags: Any,
    ) -> None:
        with engaged(collect(FitFlags, flags)) as how:
            fit(collect(model_class, flags), out, collect(DataFlags, flags), how)

    return add(run, DataFlags, FitFlags, model_class)


def fit(model: Any, out: str, data_flags: DataFlags, how: FitFlags) -> None:
    """Judge ``model`` beside its floors, fit it on everything and save it to the run folder ``out``."""
    from galenic.cli import inputs, keeping, summary
    from galenic.models.fields import to_dict
    from galenic.report import run as run_folder
    from galenic.tasks import floors_of

    fields = {
        "model": type(model).__name__,
        **to_dict(model),
        "data": data_flags.recipe(),
        **{key: value for key, value in asdict(how).items() if key in ("by", "folds", "seeds")},
    }
    whole = inputs.read_all(data_flags)
    data = inputs.choose(whole, data_flags)
    fields["floors"] = floors_of(data)
    with (
        run_folder.start(
            out,
            verb="fit",
            command=summary.typed(),
            fields=fields,
            title=f"{type(model).__name__} on {data.cells.n_obs:,} cells and {len(data.drugs):,} drugs",
            seed=getattr(model, "seed", None),
            inputs=data_flags.files,
            overwrite=how.overwrite,
            resume=how.resume,
        ) as run,
        summary.kept_warnings(run),
    ):
        summary.describe(run, data)
        model.require(data)
        if how.folds:
            from galenic.benchmarking import benchmark

            with run.timed("judge"):
                parts = run.folder / "parts"
                result = benchmark(
                    {type(model).__name__: model, **model.companions()},
                    data,
                    by=how.by,
                    n_folds=how.folds,
                    seeds=how.seeds,
                    n_jobs=how.jobs,
                    parts=parts,
                    progress=True,
                )
            summary.write_result(run, result, whole)
            if hasattr(model, "intervals"):
                from galenic.benchmarking import calibration

                with run.timed("calibrate"):
                    run.write("calibration", calibration(model, data, seed=how.seeds[0]))
        with keeping.unfinished(run, resume=how.resume) as place:
            with run.timed("fit"):
                model.fit(data, n_jobs=how.jobs, progress=True, checkpoint=place)
            model.save(run.path("model"))
        if hasattr(model, "history_"):
            run.write("history", model.history_)
            summary.show_shares(run, model)
        summary.write_coverage(run, data)
    summary.finish(run)
