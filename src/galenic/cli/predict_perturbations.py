"""``galenic predict RUN CELLS`` where the model is one of perturbations: expression of conditions, as h5ad."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from galenic.cli.predict import PredictFlags

OWN = ("conditions", "unknown", "device", "overwrite", "with_controls")
"""Flags that a model of perturbations takes; the others are for responses."""


def predict(folder: str, source: str, out: str, how: PredictFlags) -> None:
    """Write the predicted conditions to ``out``, whole or not at all."""
    from galenic.cli.perturbed import read
    from galenic.data.gctx.sniff import writing_explained, written_whole
    from galenic.models.base import load

    _require_own(how)
    place = Path(out)
    if place.suffix != ".h5ad":
        raise ValueError(f"--out should end in .h5ad for predicted expression; received {out!r}. Correct the name.")
    if place.exists() and (not how.overwrite or (Path(source).exists() and place.samefile(source))):
        raise ValueError(f"--out should be a new file; {out} exists. Choose another name, or --overwrite it.")
    model = load(folder)
    adata = read(source)
    asked = _asked(how.conditions, model.spec_) if how.conditions else None
    if asked is None:
        _require_treated(adata, model.spec_, source)
    predicted = model.predict(adata, asked, unknown=how.unknown, device=how.device)
    fitted = _fitted(predicted.obs, model.spec_)
    predicted.obs["fitted"] = fitted
    said = _fallbacks(predicted.obs, type(model).__name__)
    if how.with_controls:
        from galenic.data.perturbed_cells import with_controls

        names = {name: model.spec_[name] for name in ("context", "perturbation", "control")}
        predicted = with_controls(predicted, adata, **names)
        # Controls come first, the conditions in their order after them.
        predicted.obs["fitted"] = [False] * (predicted.n_obs - len(fitted)) + fitted
    predicted.uns["model"] = type(model).__name__
    with writing_explained(out):
        place.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(place) as part:
        predicted.write_h5ad(part)
    rows = "rows" if how.with_controls else "conditions"
    typer.echo(f"{predicted.n_obs:,} {rows} x {predicted.n_vars:,} genes: {out}")
    typer.echo(said)


def _require_own(how: PredictFlags) -> None:
    plain = type(how)()
    for field in fields(how):
        if field.name not in OWN and getattr(how, field.name) != getattr(plain, field.name):
            raise ValueError(
                f"--{field.name} is for models of responses; this one predicts effects of perturbations. Leave it out."
            )


def _require_treated(adata: AnnData, spec: dict[str, Any], source: str) -> None:
    """Without a table of conditions those of the cells are asked; there has to be one."""
    from galenic.data.perturbation import perturbation_columns

    named = {name: spec[name] for name in ("context", "perturbation", "control")}
    if perturbation_columns(adata, **named, without_controls="keep").is_control.all():
        raise ValueError(
            f"something should be asked; all {adata.n_obs:,} cells of {source} are controls, and no conditions are "
            "named. Give --conditions TABLE (context, perturbation)."
        )


def _asked(path: str, spec: dict[str, Any]) -> pd.DataFrame:
    """The table of conditions; its columns may be called as those of the cells that were fitted."""
    from galenic.data import read
    from galenic.data.perturbation import ALIASES

    table = read.table(path)
    own = {}
    for key, default in (("context", "cell_type"), ("perturbation", "perturbation"), ("dose", "dose")):
        usual = (default, *ALIASES[default]) if spec.get(key) == default else ()
        name = next((name for name in (spec.get(key), *usual) if name in table), None)
        if key not in table and name is not None:
            own[name] = key
    return table.rename(columns=own)


def _fitted(obs: pd.DataFrame, spec: dict[str, Any]) -> list[bool]:
    """Which conditions were part of the fit: a score of those says nothing of new ones."""
    from galenic.models.perturbation.question import condition_keys, fitted_table

    known = set(condition_keys(fitted_table(spec)))
    return [key in known for key in condition_keys(obs)]


def _fallbacks(obs: pd.DataFrame, name: str) -> str:
    """How many conditions a simpler model answered."""
    simpler = obs["fallback"][obs["fallback"] != ""]
    if simpler.empty:
        return f"all answered by {name} itself"
    counted = ", ".join(f"{model} {count:,}" for model, count in simpler.value_counts().items())
    return f"{len(simpler):,} of {len(obs):,} answered by a simpler model ({counted}), see obs['fallback']"
