"""``galenic evaluate PREDICTED.h5ad``: score anyone's predictions of perturbations against measured cells."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from anndata import AnnData

    from galenic.cli.evaluate import EvaluateFlags
    from galenic.report.run import Run
    from galenic.tasks import PerturbationTask

TOP = (20, 50, 100)


def evaluate(source: str, out: str, how: EvaluateFlags) -> None:
    """Write scores of predicted conditions to a run folder."""
    from galenic.cli import summary
    from galenic.cli.perturbed import PerturbationDataFlags, describe, read, task_of
    from galenic.report import run as run_folder

    if not how.truth:
        raise ValueError(
            "predicted expression is scored against measured cells: --truth FILE (h5ad with treated and control "
            "cells). Name it."
        )
    if how.labels or how.reference or how.target:
        raise ValueError("--labels, --reference and --target are for predicted responses. Leave them out.")
    columns = {name: getattr(how, name) for name in ("context", "perturbation", "control", "dose")}
    task = task_of(PerturbationDataFlags(perturbed=how.truth, **columns))
    predicted = read(source)
    with (
        run_folder.start(
            out,
            verb="evaluate",
            command=summary.typed(),
            fields={"source": source, **asdict(how)},
            title=f"Evaluation of {source}",
            inputs=[source, how.truth],
            overwrite=how.overwrite,
        ) as run,
        summary.kept_warnings(run),
    ):
        describe(run, task)
        scores(run, predicted, task)
    summary.finish(run)


def scores(run: Run, predicted: AnnData, task: PerturbationTask) -> None:
    """Scores of all conditions that were both predicted and measured; floors are not fitted anew."""
    import pandas as pd

    from galenic.report.words import score
    from galenic.tasks.perturbation_scores import Measured, by_condition, by_group, by_perturbation, effects

    measured, prediction = _joined(run, predicted, task)
    values = by_condition(measured, prediction, None, TOP)
    model = str(predicted.uns["model"]) if isinstance(predicted.uns.get("model"), str) else "predictions"
    where: dict[str, Any] = {"model": model, "split": "given", "fold": 0, "seed": 0}
    found = by_group(Measured(*measured), prediction, values)
    run.write("metrics", found.assign(**where))
    run.write("conditions", pd.concat([measured.table.assign(**where), values], axis=1))
    run.write("effects", effects(measured, prediction, values).assign(model=model, split="given"))
    run.write("scores_by_drug", by_perturbation(measured.table, values).assign(model=model, split="given"))
    ceiling = task.ceiling()
    if ceiling is not None:
        run.write("ceiling_halves", ceiling)
    whole = found[found["group"] == "all"].set_index("metric")["value"]
    for metric in ("mae", "pearson_delta", "discrimination"):
        typer.echo(f"{metric}: {score(whole[metric])}")


def _joined(run: Run, predicted: AnnData, task: PerturbationTask) -> tuple[Any, np.ndarray]:
    """Measured conditions that were predicted, and the prediction of each, over the genes that both have."""
    import numpy as np
    import pandas as pd

    from galenic.data.checks import first
    from galenic.tasks.perturbation_scores import Measured

    table, values = condition_rows(predicted, task)
    keys = [name for name in ("context", "perturbation", "dose") if name in table]
    whole = task.measured(np.arange(task.adata.n_obs))
    known = whole.table.assign(row=np.arange(len(whole.table)), same=_same(whole.table))
    asked = table.assign(place=np.arange(len(table)), same=_same(table))
    on = ["context", "same", *keys[2:]]
    both = known.merge(asked[[*on, "place"]], on=on)
    if both.empty:
        raise ValueError(
            f"some predicted conditions should have been measured; of {len(table):,} none was (predicted first: "
            f"{first(table['context'] + '|' + table['perturbation'])}; measured: "
            f"{first(whole.table['context'] + '|' + whole.table['perturbation'])}). Check names and columns."
        )
    if len(both) < len(table):
        run.note(f"{len(table) - len(both):,} of {len(table):,} predicted conditions were not measured: left out.")
    n_fitted = int(table["fitted"].to_numpy()[both["place"]].sum())
    if n_fitted:
        said = (
            f"{n_fitted:,} of {len(both):,} scored conditions were part of the fit: their scores tell how well the "
            "model remembers, not how well it predicts."
        )
        run.note(said)
        typer.echo(f"Warning: {said}", err=True)
    shared = pd.Index(whole.genes).intersection(predicted.var_names, sort=False)
    if shared.empty:
        raise ValueError(
            f"predictions and measured cells should share genes; 0 of {predicted.n_vars:,} do (first: "
            f"{first(predicted.var_names)}; measured: {first(whole.genes)}). Use the same kind of names."
        )
    if len(shared) < len(whole.genes):
        run.note(f"{len(whole.genes) - len(shared):,} of {len(whole.genes):,} measured genes were not predicted.")
    rows, genes = both["row"].to_numpy(), pd.Index(whole.genes).get_indexer(shared)
    chosen = Measured(
        whole.table.iloc[rows].reset_index(drop=True),
        whole.truth[np.ix_(rows, genes)],
        whole.control[np.ix_(rows, genes)],
        shared.to_numpy(dtype="object"),
    )
    columns = predicted.var_names.get_indexer(shared)
    return chosen, values[np.ix_(both["place"].to_numpy(), columns)]


def condition_rows(predicted: AnnData, task: PerturbationTask) -> tuple[pd.DataFrame, np.ndarray]:
    """Predicted conditions, rows of one condition averaged, controls left out: table and ``(n_conditions, n_genes)``.

    Columns are called ``context, perturbation, dose``, or as those of the measured cells, or one of their usual names.
    ``fitted``, where the predictions have it, says which conditions were part of the fit.
    """
    import numpy as np
    import pandas as pd

    from galenic.data.condition_means import Sums, blocks
    from galenic.data.gctx.metadata import as_text
    from galenic.data.numbers import as_numbers
    from galenic.data.perturbation import CONTROLS

    labels = {label.casefold() for label in (*CONTROLS, task.control)}
    table = pd.DataFrame(
        {name: as_text(predicted.obs[_column(predicted, name, task)]) for name in ("context", "perturbation")}
    )
    treated = ~table["perturbation"].str.casefold().isin(labels).to_numpy()
    name = task.columns.names["control"]
    if name in predicted.obs:
        treated &= ~np.isin(as_text(predicted.obs[name]), ["True", "true", "1"])
    if task.dose is not None:
        doses = as_numbers(predicted.obs[_column(predicted, "dose", task)], strict=True)
        table["dose"] = [float(f"{dose:.6g}") for dose in doses]
    # However a combination is spelled, it is one.
    keys = table.assign(perturbation=_same(table))
    group = keys.groupby(list(keys), sort=False, dropna=False).ngroup().to_numpy()
    first_rows = np.unique(group, return_index=True)[1]
    sums = Sums(len(first_rows), predicted.n_vars)
    for numbers, part in blocks(predicted, treated):
        sums.add(part, group[numbers])
    kept = np.unique(group[treated])
    told = as_text(predicted.obs["fitted"]) if "fitted" in predicted.obs else np.full(len(table), "")
    table = table.assign(fitted=np.isin(told.astype(str), ["True", "true", "1"]))
    return table.iloc[first_rows[kept]].reset_index(drop=True), sums.means()[kept]


def _column(predicted: AnnData, name: str, task: PerturbationTask) -> str:
    from galenic.data.checks import first
    from galenic.data.perturbation import ALIASES

    usual = ALIASES["cell_type" if name == "context" else name]
    candidates = (name, task.columns.names.get(name, name), "cell_type" if name == "context" else name, *usual)
    found = next((column for column in candidates if column in predicted.obs), None)
    if found is None:
        raise ValueError(
            f"predictions should have a column {name!r} in obs, or one called {candidates[1]!r} as in the measured "
            f"cells; they have {first(predicted.obs.columns, 8)}. Rename the column."
        )
    return found


def _same(table: pd.DataFrame) -> list[str]:
    from galenic.data.perturbation import same_perturbation

    return [same_perturbation(name) for name in table["perturbation"]]
