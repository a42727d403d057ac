"""``galenic fit scatd``: pretrain an encoder, distil it into one of genes, carry labels of lines over to cells."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperGroup

from galenic.cli.compute import DeviceFlags, engaged
from galenic.cli.flags import add, collect
from galenic.cli.manual import with_ends
from galenic.cli.model_fields import is_asked_for, stand_in

STEPS = {
    "pretrain": "train an encoder on unlabelled cells",
    "distil": "train an encoder of genes that follows another one, its teacher",
    "transfer": "learn from labelled lines and predict single cells",
}


@dataclass(frozen=True, kw_only=True)
class AtlasFlags(DeviceFlags):
    """Which unlabelled cells an encoder learns from.

    Parameters
    ----------
    cells
        Unlabelled cells x genes (h5ad); large files are read a block at a time.
    groups
        Column of the donor or sample: cells are left out for validation in whole groups.
    device
        Where networks compute: cpu, cuda, auto.
    overwrite
        Replace an earlier run in the same folder.
    resume
        Go on with an interrupted run in the same folder.
    """

    cells: str | None = None
    groups: str | None = None
    device: str = "cpu"
    overwrite: bool = False
    resume: bool = False


class _Steps(TyperGroup):
    """One command a step; only the one that is called is imported."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(STEPS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of one step."""
        if cmd_name not in STEPS:
            return None
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        if cmd_name in sys.argv:
            app.command(name=cmd_name, help=f"{STEPS[cmd_name].capitalize()}.")(_step(cmd_name))
        else:
            app.command(name=cmd_name, short_help=STEPS[cmd_name])(lambda: None)
        return with_ends(typer.main.get_command(app), ("fit", "scatd", cmd_name))


def command() -> Any:
    """The steps of ScATD, for ``galenic fit``."""
    app = typer.Typer(cls=_Steps, name="scatd", add_completion=False, rich_markup_mode=None, no_args_is_help=True)

    @app.callback()
    def scatd() -> None:
        """Sensitivity of single cells from bulk lines: pretrain and distil are optional, transfer is the model."""

    return typer.main.get_command(app)


def _step(name: str) -> Any:
    from galenic.models import find

    def found(model: str) -> type:
        return (stand_in(model) if is_asked_for() else None) or find(model)

    if name == "transfer":
        from galenic.cli.fit_cells import command_of

        return command_of(found("ScATD"))
    encoder = found("ScATDEncoder")

    def pretrain(
        out: str = typer.Option(..., "--out", help="Run folder to write."),
        published: str | None = typer.Option(
            None,
            "--published",
            help="Take weights that were published for scATD (PyTorch or safetensors), as they are, in place of "
            "training: with --use-rep for those on an embedding, or --genes for those on genes.",
        ),
        genes: str | None = typer.Option(
            None, "--genes", help="Table of the genes that published weights read, in their order (gene_name)."
        ),
        **flags: Any,
    ) -> None:
        model: Any = collect(encoder, flags)
        atlas = collect(AtlasFlags, flags)
        if published is None:
            with engaged(atlas):
                fit(model, out, atlas, None)
        else:
            keep_published(model, out, atlas, published, genes)

    def distil(
        out: str = typer.Option(..., "--out", help="Run folder to write."),
        teacher: str = typer.Option(..., "--teacher", help="Run folder of 'galenic fit scatd pretrain'."),
        **flags: Any,
    ) -> None:
        with engaged(collect(AtlasFlags, flags)) as atlas:
            fit(collect(encoder, flags), out, atlas, teacher)

    return add(pretrain if name == "pretrain" else distil, AtlasFlags, encoder)


def fit(model: Any, out: str, atlas: AtlasFlags, teacher_folder: str | None) -> None:
    """Train an encoder and keep it in the run folder ``out``."""
    from galenic.cli import keeping, summary
    from galenic.cli.fit_cells import load_encoder
    from galenic.data.read.single_cells import single_cells
    from galenic.models.fields import to_dict
    from galenic.report import run as run_folder

    if not atlas.cells:
        raise ValueError("unlabelled cells are expected: --cells FILE (h5ad). Name them.")
    teacher = load_encoder(teacher_folder, "--teacher") if teacher_folder else None
    notes: list[str] = []
    cells = single_cells(atlas.cells, notes=notes, use_rep=model.use_rep)
    name = "ScATDEncoder" if teacher is None else "ScATDEncoder, distilled"
    with (
        run_folder.start(
            out,
            verb="fit",
            command=summary.typed(),
            fields={"model": name, **to_dict(model), "teacher": teacher_folder, "groups": atlas.groups},
            title=f"{name} on {cells.n_obs:,} cells",
            seed=model.seed,
            inputs=[path for path in (atlas.cells, teacher_folder) if path],
            overwrite=atlas.overwrite,
            resume=atlas.resume,
        ) as run,
        summary.kept_warnings(run),
    ):
        for note in notes:
            run.note(note)
        run.record["data"] = {"cells": cells.n_obs, "genes": cells.n_vars}
        with keeping.unfinished(run, resume=atlas.resume) as place:
            with run.timed("fit"):
                where = {"device": atlas.device, "progress": True, "checkpoint": place}
                model.fit(cells, teacher=teacher, groups=atlas.groups, **where)
            model.save(run.path("model"))
        run.write("history", _by_stage(model.history_, teacher is not None))
        for key in ("explained", "n_active", "agreement"):
            value = model.spec_.get(key)
            if value is not None:
                run.record["fields"][key] = value
                typer.echo(f"{WORDS[key]}: {value:.2f}" if isinstance(value, float) else f"{WORDS[key]}: {value}")
    summary.finish(run)


def keep_published(model: Any, out: str, atlas: AtlasFlags, weights: str, genes: str | None) -> None:
    """Keep an encoder with published weights in the run folder ``out``; nothing is trained."""
    from galenic.cli import summary
    from galenic.foundation.scfoundation_genes import read_genes
    from galenic.models.fields import to_dict
    from galenic.report import run as run_folder

    plain = to_dict(type(model)())
    other = [name for name, value in to_dict(model).items() if value != plain[name] and name != "use_rep"]
    other += ["cells"] if atlas.cells else []
    if other:
        raise ValueError(
            f"published weights are taken as they are; --{other[0].replace('_', '-')} is for training. Leave it out."
        )
    if (genes is None) == (model.use_rep is None):
        raise ValueError(
            "published weights read an embedding (--use-rep X_scfoundation) or genes (--genes TABLE, in their order); "
            f"received {'neither' if genes is None else 'both'}. Give one."
        )
    names = None if genes is None else list(read_genes(genes))
    kept = type(model).from_published(weights, use_rep=model.use_rep, features=names)
    with run_folder.start(
        out,
        verb="fit",
        command=summary.typed(),
        fields={"model": "ScATDEncoder, published weights", **to_dict(kept)},
        title=f"ScATDEncoder with published weights on {len(kept.spec_['features']):,} features",
        inputs=[path for path in (weights, genes) if path],
        overwrite=atlas.overwrite,
    ) as run:
        kept.save(run.path("model"))
        typer.echo(f"{len(kept.spec_['features']):,} features, {kept.n_latent} latents, shape of {kept.preset}")
    summary.finish(run)


WORDS = {
    "explained": "share of the variance of features that is reconstructed",
    "n_active": "latents that vary",
    "agreement": "mean cosine to the teacher's latents",
}


def _by_stage(history: Any, is_student: bool) -> Any:
    table = history.copy()
    for name, value in (("stage", "distil" if is_student else "pretrain"), ("member", 0)):
        if name not in table:
            table[name] = value
    return table
