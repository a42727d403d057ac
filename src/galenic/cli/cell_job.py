"""One run of a model of cells: learn from labelled lines, ask about the target, set floors beside, write it all."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from galenic.work.bar import counted

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from galenic.cli.cells import LineFlags
    from galenic.cli.fit_cells import TargetFlags
    from galenic.report.run import Run


OPPOSITE = -0.5
"""Correlation of what few labels and lines say of the cells, below which they contradict each other."""


@dataclass
class Job:
    """One run: the same target asked about one drug, or about several."""

    run: Run
    model: Any
    target: AnnData
    how: TargetFlags
    truth: pd.Series | None
    few: pd.Series | None
    sizes: list[int]
    encoder: Any
    place: Path

    def learn(self, model: Any, bulk: AnnData, cut: bool, encoder: Any = None, checkpoint: Path | None = None) -> Any:
        """A fitted copy of a model."""
        from galenic.cli.cells import columns_of
        from galenic.models.fields import with_params

        more = {} if encoder is None else {"encoder": encoder}
        return with_params(model, {}).fit(
            bulk, **columns_of(bulk, cut=cut), target=self.target, few=self.few, device=self.how.device,
            n_jobs=self.how.jobs, progress=True, checkpoint=checkpoint, **more,
        )  # fmt: skip

    def one(self, bulk: AnnData, *, cut: bool) -> None:
        """Fit, judge on lines, ask about the target, and set the floors beside."""
        from galenic.cli import cell_tables as tables
        from galenic.cli.cells import columns_of, say_confounding
        from galenic.models.cells.answers import prediction_table, with_places

        run = self.run
        describe(run, bulk, self.target)
        confounded = say_confounding(run, bulk, columns_of(bulk, cut=cut))
        with run.timed("fit"):
            model = self.learn(self.model, bulk, cut, self.encoder, self.place)
        say_source(run, model)
        with run.timed("shift"):
            shift = tables.shift_of(model, bulk, self.target)
        if shift is not None:
            shift.act(allow=self.how.allow_far)
            run.write("shift", shift.features)
            run.write("shift_summary", shift.summary)
            run.record["fields"]["shift"] = shift.sentences
        with run.timed("predict"):
            predicted = model.predict(self.target)
        model.save(run.path("model"))
        if confounded is not None:
            tables.write_csv(run, "confounding", confounded)
        run.write("source", model.source_.rename_axis("sample").reset_index())
        run.write("source_scores", tables.source_scores(model))
        write_coverage(run, bulk, self.target, model)
        if getattr(model, "history_", None) is not None and len(model.history_):
            run.write("history", model.history_)
        table = prediction_table(predicted, self.target, by=self.how.by, truth=self.truth)
        run.write("cells", with_places(table, self.target, model.use_rep))
        run.record["fields"]["threshold"] = model.spec_["threshold"]
        if "direction" in predicted.attrs:
            run.record["fields"]["direction"] = predicted.attrs["direction"]
        tables.say_prediction(predicted, str(bulk.uns.get("drug", "the drug")))
        say_contradiction(run, model, self.target, predicted)
        tables.write_summaries(run, table, self.how.by)
        with run.timed("floors"):
            self.floors(bulk, cut)
        if self.sizes:
            with run.timed("few-shot curve"):
                self.few_shot(model)
        if self.truth is not None:
            say_truth(run, self.truth, table)

    def floors(self, bulk: AnnData, cut: bool) -> None:
        """What simple models say of the same cells."""
        import pandas as pd

        from galenic.models import find

        found, said = [], []
        for name in self.names_of_floors():
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "labels should not depend on the platform")  # said of the model
                floor = self.learn(find(name)(use_rep=self.model.use_rep, seed=self.model.seed), bulk, cut)  # type: ignore[call-arg]
            answer = floor.predict(self.target)
            found.append(pd.DataFrame({"floor": name, "cell": answer.index, "probability": answer["probability"],
                                       "label": answer["label"]}))  # fmt: skip
            said.append({"floor": name, **floor.spec_["source"]})
        if found:
            from galenic.cli.cell_tables import write_csv

            self.run.write("floors", pd.concat(found, ignore_index=True))
            write_csv(self.run, "floors_source", pd.DataFrame(said))
            best = max(said, key=lambda row: row.get("auroc") or 0.0)
            typer.echo(f"best floor on lines: {best['floor']}, AUROC {best['auroc']:.2f}")

    def names_of_floors(self) -> list[str]:
        """The floors that are asked for; the model itself is none."""
        return [name for name in self.how.floors if name not in ("none", type(self.model).__name__)]

    def few_shot(self, model: Any) -> None:
        """Scores of cells that were not given, by how many were."""
        from galenic.cli.cell_tables import truth_of
        from galenic.evaluate.transfer import transfer_scores
        from galenic.models import find
        from galenic.tasks.cells import few_shot

        truth = truth_of(self.target, self.how.few_shot_truth, self.how.truth_convention)
        assert truth is not None
        how = {"use_rep": model.use_rep, "seed": model.seed}
        models = {type(model).__name__: model} | {
            name: find(name)(**how) for name in self.names_of_floors() if name != "CellPrior"
        }
        found = few_shot(
            models, None, self.target, truth, sizes=self.sizes, repeats=self.how.few_shot_repeats, n_jobs=self.how.jobs
        )
        scores = transfer_scores(found).rename(columns={"model": "method", "size": "n_per_class"})
        self.run.write("few_shot", scores[["method", "n_per_class", "seed", "metric", "value", "n"]])

    def several(self, lines: LineFlags, asked: list[str], data: Any) -> None:
        """One model a drug, in ``models/``, and a ranking of the drugs; drugs that cannot be learned are told."""
        import pandas as pd

        from galenic.cli import cell_tables as tables
        from galenic.cli.cells import labelled
        from galenic.cli.predict_cells import write_ranking

        answers: dict[str, pd.DataFrame] = {}
        source: list[pd.DataFrame] = []
        index: dict[str, str] = {}
        self.run.record["data"] = {"cells": self.target.n_obs}
        for number, drug in enumerate(counted(asked, "drugs")):
            try:
                bulk = labelled(lines, drug, data)
                place = self.place / slug(str(bulk.uns["drug"]))
                model = self.learn(self.model, bulk, not lines.labels, self.encoder, place)
            except ValueError as error:
                self.run.note(f"{drug} is left out: {error}")
                continue
            name = str(bulk.uns["drug"])
            if not answers:
                shift = tables.shift_of(model, bulk, self.target)
                if shift is not None:
                    shift.act(allow=self.how.allow_far)
            index[name] = slug(name)
            model.save(self.run.path("models") / index[name])
            answers[name] = model.predict(self.target)
            source.append(tables.source_scores(model).assign(drug=name))
            typer.echo(f"{number + 1} of {len(asked)}: {name}", err=True)
        if not answers:
            raise ValueError(f"some drug should be learned; of {len(asked):,} none could be. Ask for one to see why.")
        self.run.record["fields"]["models"] = index
        self.run.write("source_scores", pd.concat(source, ignore_index=True))
        write_ranking(self.run, answers, self.target, self.how.by)


def slug(drug: str) -> str:
    """A drug's name as the name of a folder."""
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", drug).strip("._") or "drug"


def describe(run: Run, bulk: AnnData, target: AnnData) -> None:
    """Put the size of lines and cells on record, and on the screen."""
    n_sensitive = int((bulk.obs["label"] == 1).sum())
    run.record["data"] = {"cells": target.n_obs, "genes": target.n_vars, "lines": bulk.n_obs, "sensitive": n_sensitive}
    typer.echo(
        f"{bulk.n_obs:,} labelled lines ({n_sensitive:,} sensitive, {bulk.n_obs - n_sensitive:,} resistant); "
        f"{target.n_obs:,} cells x {target.n_vars:,} genes"
    )


def write_coverage(run: Run, bulk: AnnData, target: AnnData, model: Any) -> None:
    """What of lines and cells was used."""
    import pandas as pd

    from galenic.data.diagnose_cells import coverage_of_cells

    parts = [coverage_of_cells(target, model.spec_["features"], rep=model.use_rep)]
    if isinstance(bulk.uns.get("coverage"), pd.DataFrame):
        parts = [bulk.uns["coverage"], *parts]
    run.write("coverage", pd.concat(parts, ignore_index=True))
    typer.echo(f"{len(model.spec_['features']):,} features that lines and cells share")


def say_source(run: Run, model: Any) -> None:
    """What members say of the lines that they left out."""
    source = model.spec_["source"]
    run.record["fields"]["source"] = source
    said = f"lines left out: AUROC {source['auroc']:.2f}"
    if source.get("auroc_within") is not None:
        said += f", within platforms {source['auroc_within']:.2f} (the platform alone {source['platform_alone']:.2f})"
    typer.echo(said)


def say_contradiction(run: Run, model: Any, target: AnnData, predicted: pd.DataFrame) -> None:
    """A warning where a few labels turn round what the lines say of the target with confidence."""
    import numpy as np

    from galenic.models.fields import with_params

    if not {"few/weights", "start/weights"} <= set(model.arrays_):
        return
    lines = with_params(model, {})
    learned = {name: array for name, array in model.arrays_.items() if not name.startswith("few/")}
    lines._restore({**model.spec_, "few": 0}, learned)
    said = lines.predict(target)
    both = np.stack([said["score"], predicted["score"]])
    both = both[:, np.isfinite(both).all(axis=0)]
    if said["abstain"].all() or (both.std(axis=1) == 0).any():
        return
    alike = float(np.corrcoef(both)[0, 1])
    if alike < OPPOSITE:
        warnings.warn(
            f"a few labels should say of the cells what lines say; scores of the two correlate at {alike:.2f}, while "
            f"lines are sure of their direction ({said.attrs['direction']['confidence']:.2f}). The labels decide. If 1 "
            "means resistant in them, give --label-convention sensitive=0.",
            stacklevel=2,
        )


def say_truth(run: Run, truth: pd.Series, table: pd.DataFrame) -> None:
    """Scores of the target where labels are known; calls are those that the model made."""
    from galenic.cli.evaluate_cells import score_cells

    known = table[table["truth"].notna() & table["probability"].notna()]
    scores = score_cells(known, known["truth"].to_numpy(dtype=float))
    run.write("cell_scores", scores)
    value = scores.set_index(["group", "metric"])["value"]
    typer.echo(f"target, {len(known):,} of {len(truth):,} labelled cells: AUROC {value[('all', 'auroc')]:.2f}")
