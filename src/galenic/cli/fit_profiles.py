"""``galenic fit readacross``, ``deeppert`` and floors: read profiles, judge retrieval, fit on everything, report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import typer

from galenic.cli.compute import DEVICES, ENGINE, engaged
from galenic.cli.flags import RunFlags, add, collect

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from galenic.report.run import Run
    from galenic.tasks import RetrievalTask


@dataclass(frozen=True, kw_only=True)
class ProfileDataFlags:
    """Which profiles a model learns from.

    Parameters
    ----------
    profiles
        Files of z-scores (GCT, GCTX, h5ad, a table with a row a profile and a column a gene, or a folder of 'galenic
        data convert'), separated by commas; several are joined by gene.
    genes
        Landmark genes or all.
    gene_info
        Table of genes that was published with the profiles (pr_gene_id, pr_is_lm, ...); of a table of profiles it
        says which columns are genes.
    sample_info
        Table of profiles that was published with them (inst_id, pert_id, ...); one for all files, or one for each.
    annotations
        Table of perturbagens (pert_id or pert_name, and moa, target, smiles), to judge the embedding by what is known
        of them.
    label
        Column that profiles of one perturbagen share. Where there is none, models that learn without are not judged.
    controls
        What to do with vehicles, empty vectors and positive controls, where pert_type tells.
    """

    profiles: tuple[str, ...] = ()
    genes: Literal["landmark", "all"] = "landmark"
    gene_info: str | None = None
    sample_info: tuple[str, ...] = ()
    annotations: str | None = None
    label: str = "pert_id"
    controls: Literal["drop", "keep"] = "drop"

    @property
    def files(self) -> list[str]:
        """Every file that is read."""
        return [path for path in (*self.profiles, self.gene_info, *self.sample_info, self.annotations) if path]


@dataclass(frozen=True, kw_only=True)
class JudgeFlags(RunFlags):
    """How a model of profiles is judged before it is fitted on everything.

    Parameters
    ----------
    by
        What the folds leave out: perturbagen, plate, cell, moa, another column, or profile (random ones); several
        separated by commas.
    different
        Columns in which a match must differ from the profile it is sought for, separated by commas: plate.
    strata
        Columns by which matches are scored apart besides, separated by commas: cell, dose.
    folds
        Number of folds; 0 fits without judging.
    """

    by: tuple[str, ...] = ("perturbagen",)
    different: tuple[str, ...] = ()
    strata: tuple[str, ...] = ()
    folds: int = 3


@dataclass(frozen=True, kw_only=True)
class MemberFlags:
    """Where the members of an ensemble are kept.

    Parameters
    ----------
    checkpoint
        Folder that keeps each member as it finishes and gives it to later fits of the same profiles, whose families,
        sizes, runs and consensus may differ; without, members are kept in the run folder until the run is done.
    """

    checkpoint: str | None = None


def command_of(model_class: type) -> Any:
    """The function of one model's command; an ensemble has the flag of where its members are kept besides."""
    own: list[type] = [ProfileDataFlags, JudgeFlags, *([MemberFlags] if is_ensemble(model_class) else [])]

    def run(out: str = typer.Option(..., "--out", help="Run folder to write."), **flags: Any) -> None:
        given: list[Any] = [collect(cls, flags) for cls in own]
        data, how, *members = given
        with engaged(how) as how:
            fit(collect(model_class, flags), out, data, how, *members)

    return add(run, *own, model_class)


def is_ensemble(model_class: type) -> bool:
    """Whether models of the class have members that are kept one by one, and latents."""
    return hasattr(model_class, "latents_")


def fit(model: Any, out: str, data: ProfileDataFlags, how: JudgeFlags, members: MemberFlags | None = None) -> None:
    """Judge ``model`` beside the floors of retrieval, fit it on all profiles and save it to the run folder ``out``."""
    from galenic.cli import ensembles, keeping, summary
    from galenic.models.fields import to_dict
    from galenic.report import run as run_folder

    checkpoint = members.checkpoint if members else None
    if checkpoint and how.overwrite:
        ensembles.require_outside(checkpoint, out)
    adata, coverage = read(data)
    task, unjudged = task_of(model, adata, data, how)
    name, has_members = type(model).__name__, is_ensemble(type(model))
    if has_members and task is not None:
        ensembles.require_room_in_folds(model, adata.n_obs, how.folds)
    judged = {key: value for key, value in asdict(how).items() if key not in (*ENGINE, *DEVICES, "overwrite", "resume")}
    floors = [] if task is None else list(task.floors())
    fields = {"model": name, **to_dict(model), "data": asdict(data), **judged, "floors": floors}
    with (
        run_folder.start(
            out,
            verb="fit",
            command=summary.typed(),
            fields=fields,
            title=f"{name} on {adata.n_obs:,} profiles",
            seed=getattr(model, "seed", None),
            inputs=data.files,
            overwrite=how.overwrite,
            resume=how.resume,
        ) as run,
        summary.kept_warnings(run),
    ):
        describe(run, adata, data.label)
        if unjudged:
            typer.echo(unjudged)
        if has_members:
            # Its members are kept as they finish, and are worth more than its scores: they come first.
            ensembles.fit(run, model, adata, how, checkpoint)
            model.save(run.path("model"))
            _judge(run, model, task, how)
            ensembles.drop_members(run)
        else:
            _judge(run, model, task, how)
            with keeping.unfinished(run, resume=how.resume) as place:
                with run.timed("fit"):
                    model.fit(adata, label=data.label, n_jobs=how.jobs, progress=True, checkpoint=place)
                model.save(run.path("model"))
            if getattr(model, "history_", None) is not None:
                run.write("history", model.history_)
        if coverage is not None and len(coverage):
            run.write("coverage", coverage)
    summary.finish(run)


def task_of(model: Any, adata: AnnData, data: ProfileDataFlags, how: JudgeFlags) -> tuple[RetrievalTask | None, str]:
    """How the model is judged, or ``None`` and why it is not."""
    from galenic.tasks import RetrievalTask

    if not how.folds:
        return None, "Not judged by retrieval: --folds 0."
    # A column that was named and is not there is a slip of the pen, and is refused.
    if data.label not in adata.obs and data.label == ProfileDataFlags().label and not model.needs_labels:
        return None, (
            f"Not judged by retrieval: no column {data.label!r} says which profiles belong together, and "
            f"{type(model).__name__} learns without. Name the column by --label to have it judged."
        )
    return RetrievalTask(adata, label=data.label, different=how.different, strata=how.strata), ""


def read(flags: ProfileDataFlags) -> tuple[AnnData, pd.DataFrame | None]:
    """The profiles that the flags name, treatments alone where that is wanted, and what was dropped."""
    from galenic.cli.profiles import ProfileFlags, read_files
    from galenic.data import read as readers
    from galenic.data.profiles import annotate, treatments

    if not flags.profiles:
        raise ValueError(
            "profiles are expected: --profiles FILE (GCT, GCTX, h5ad, a table or a folder of 'galenic data convert'). "
            "Name one."
        )
    how = ProfileFlags(gene_info=flags.gene_info, sample_info=flags.sample_info, genes=flags.genes)
    adata = read_files(list(flags.profiles), how)
    if flags.annotations:
        adata = annotate(adata, readers.table(flags.annotations))
    if flags.controls == "drop" and {"pert_type", "pert_id"} <= set(adata.obs):
        return treatments(adata, consensus=True)
    if flags.controls == "drop":
        typer.echo(
            "Warning: controls cannot be told apart, as the profiles have no pert_type; all are learned from. Give "
            "--sample-info, or say --controls keep.",
            err=True,
        )
    return adata, None


def _judge(run: Run, model: Any, task: RetrievalTask | None, how: JudgeFlags) -> None:
    from galenic.benchmarking import benchmark
    from galenic.cli import summary

    if task is None:
        return
    with run.timed("judge"):
        result = benchmark(
            {type(model).__name__: model},
            task,
            by=how.by,
            n_folds=how.folds,
            seeds=how.seeds,
            n_jobs=how.jobs,
            parts=run.folder / "parts",
            progress=True,
        )
    summary.write_scores(run, result, names_of(task))


def names_of(task: RetrievalTask) -> pd.DataFrame:
    """What perturbagens are called, by their label: the label itself where nothing is known."""
    obs = task.adata.obs
    names = obs["pert_name"] if "pert_name" in obs else obs[task.label]
    known = names.groupby(obs[task.label], observed=True).first()
    return known.where(known.notna(), known.index.to_series()).to_frame("name")


def describe(run: Run, adata: AnnData, label: str) -> None:
    """Put the size of the profiles on record, and on the screen."""
    counted = {"profiles": adata.n_obs, "genes": adata.n_vars}
    if label in adata.obs:
        counted["perturbagens"] = int(adata.obs[label].nunique())
    if "cell" in adata.obs:
        counted["cells"] = int(adata.obs["cell"].nunique())
    run.record["data"] = counted
    typer.echo(", ".join(f"{count:,} {name}" for name, count in counted.items()))
