"""``galenic embed RUN DATA``: vectors of profiles by a saved model, or of cells by a published encoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from galenic.cli.encode import ENCODERS, WithEncoders
from galenic.cli.flags import add, collect

if TYPE_CHECKING:
    from anndata import AnnData

SUFFIXES = (".h5ad", ".parquet", ".csv")


@dataclass(frozen=True, kw_only=True)
class EmbedFlags:
    """How profiles are read and their vectors written.

    Parameters
    ----------
    gene_info
        Table of genes that was published with the profiles.
    sample_info
        Table of profiles that was published with them.
    device
        Where networks compute: cpu, cuda, auto.
    overwrite
        Replace the file.
    """

    gene_info: str | None = None
    sample_info: str | None = None
    device: str = "cpu"
    overwrite: bool = False


def command() -> Any:
    """The verb, for the command line."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    def run(
        folder: str = typer.Argument(
            ...,
            metavar="RUN",
            help="Run folder of 'galenic fit', or a model folder. Or first scfoundation or geneformer, each with flags "
            "of its own: 'galenic embed scfoundation --help'. A folder of that name is written ./scfoundation.",
        ),
        data: str = typer.Argument(
            ..., help="Profiles: GCT, GCTX, h5ad, a table, or a folder of 'galenic data convert'."
        ),
        out: str = typer.Option(..., "--out", help="File to write: .h5ad (profiles with obsm), .parquet or .csv."),
        **flags: Any,
    ) -> None:
        """Embed profiles with a saved model; in h5ad as obsm["X_<model>"], with flags of what it cannot speak of."""
        embed(folder, data, out, collect(EmbedFlags, flags))

    app.command(cls=WithEncoders)(add(run, EmbedFlags))
    return typer.main.get_command(app)


def embed(folder: str, data: str, out: str, how: EmbedFlags) -> None:
    """Read profiles, embed them, and write vectors and flags whole or not at all."""
    import pandas as pd

    from galenic.cli.profiles import on_disk, say_columns
    from galenic.data import read
    from galenic.models.base import load
    from galenic.models.profiles.profile_model import ProfileModel
    from galenic.work.atomic import written

    if folder in ENCODERS:
        raise ValueError(
            f"an encoder is named right after 'galenic embed'; {folder!r} came after a flag. Write 'galenic embed "
            f"{folder} DATA' and then the flags, or ./{folder} for a folder of that name."
        )
    place = Path(out)
    if place.suffix not in SUFFIXES:
        raise ValueError(f"--out should end in {', '.join(SUFFIXES)}; received {out!r}. Choose one of them.")
    if place.exists() and not how.overwrite:
        raise ValueError(f"--out should be a new file; {out} is there. Choose another name, or --overwrite.")
    model = load(folder)
    if not isinstance(model, ProfileModel):
        raise ValueError(
            f"a model of profiles is expected (readacross, shrinkage-lda, ...); {folder} holds a "
            f"{type(model).__name__}. Name another run."
        )
    adata = on_disk([data], None, how.gene_info, how.sample_info)
    if adata is None:
        adata = read.profiles(data, gene_info=how.gene_info, sample_info=how.sample_info)
    say_columns(data, adata)
    vectors = model.embed(adata, device=how.device)
    name = f"X_{type(model).__name__.lower()}"
    flags = model.judge(adata, vectors) if hasattr(model, "judge") else pd.DataFrame(index=adata.obs_names)
    if place.suffix == ".h5ad":
        adata = _whole(adata)
        adata.obsm[name] = vectors
        adata.obs = adata.obs.join(flags[[column for column in ("flag", "distance_quantile") if column in flags]])
        with written(place) as draft:
            adata.write_h5ad(draft)
    else:
        columns = [f"{name}_{number}" for number in range(vectors.shape[1])]
        table = pd.DataFrame(vectors, index=adata.obs_names, columns=columns)
        table = pd.concat([table, flags[["flag"]]], axis=1) if "flag" in flags else table
        table = table.rename_axis("profile").reset_index()
        write = table.to_parquet if place.suffix == ".parquet" else table.to_csv
        with written(place) as draft:
            write(draft, index=False)
    typer.echo(f"{len(vectors):,} profiles, {vectors.shape[1]} numbers each: {out}")
    if "flag" in flags and (flags["flag"] != "").any():
        counted = flags["flag"][flags["flag"] != ""].value_counts()
        said = ", ".join(f"{flag}: {count:,}" for flag, count in counted.items())
        typer.echo(f"flagged, of {len(vectors):,}: {said}")


def _whole(adata: AnnData) -> AnnData:
    """A copy in memory, which may be written again."""
    import numpy as np

    copied = adata.copy()
    copied.X = np.array(copied.X, dtype=np.float32) if isinstance(copied.X, np.ndarray) else copied.X
    return copied
