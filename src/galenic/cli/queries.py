"""What a search is asked with: the one kind of query that the flags name, read into what the reference takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from galenic.data.checks import first

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from anndata import AnnData

    from galenic.cli.query_flags import QueryFlags
    from galenic.models.reference import Answer, Reference

LISTS = (".txt", ".csv", ".tsv", ".grp", ".gmt", ".list")


def kind_of(flags: QueryFlags) -> str:
    """Which of the four kinds of query is asked; the others must not be named."""
    given = {
        "--name": flags.name,
        "--profile": flags.profile,
        "--up or --down": flags.up or flags.down,
        "--counts": flags.counts,
    }
    named = [name for name, value in given.items() if value]
    if len(named) != 1:
        raise ValueError(
            f"a search takes one kind of query: {', '.join(given)}; received {' and '.join(named) or 'none'}. "
            "Name one of them."
        )
    if (named[0] == "--counts") != bool(flags.controls):
        raise ValueError(
            "counts are compared with their controls: --counts TABLE with --controls NAMES; received one without the "
            "other. Name both."
        )
    alone = {"--row": (flags.row, ("--profile", "--counts")), "--gene-info": (flags.gene_info, ("--counts",))}
    for name, (value, kinds) in alone.items():
        if value and named[0] not in kinds:
            raise ValueError(f"{name} goes with {' or '.join(kinds)}; received {named[0]}. Leave {name} out.")
    if named[0] == "--up or --down" and flags.combine != "mean":
        raise ValueError(
            "connectivity with lists of genes is always combined by its 67th or 33rd percentile; received --combine "
            f"{flags.combine}. Leave --combine out."
        )
    if flags.level == "profile" and flags.combine != "mean":
        raise ValueError(
            "--combine merges the similarities of a perturbagen's profiles, and --level profile has nothing to merge; "
            f"received --combine {flags.combine}. Leave one of the two out."
        )
    return named[0]


def title(flags: QueryFlags) -> str:
    """What the query is called in headings."""
    if flags.name:
        return flags.name
    file = flags.profile or flags.counts
    return (
        f"{flags.row or Path(file).name}"
        if file
        else "two lists of genes"
        if flags.up and flags.down
        else "a gene list"
    )


def files(flags: QueryFlags) -> list[str]:
    """The files that the query is read from."""
    named = [flags.profile, flags.counts, flags.gene_info]
    named += [text for text in (flags.up, flags.down, flags.controls) if text and _is_file(text)]
    return [path for path in named if path]


def ask(reference: Reference, flags: QueryFlags, kind: str) -> tuple[Answer, pd.DataFrame | None]:
    """The answer of the reference, and what reading counts matched and dropped."""
    from galenic.models.reference.queries import query_profiles

    how: dict[str, Any] = {"reverse": flags.reverse, "level": flags.level, "k": flags.k}
    how["where"] = wanted(flags.where, reference) or None
    if kind == "--name":
        return reference.by_name(str(flags.name), combine=flags.combine, **how), None
    if kind == "--up or --down":
        return reference.by_gene_sets(names(flags.up), names(flags.down), **how), None
    coverage = None
    if kind == "--profile":
        adata = query_profiles(str(flags.profile), flags.row, reference.genes)
    else:
        adata, coverage = counted(flags, reference)
    return reference.by_profiles(adata, combine=flags.combine, **how), coverage


def wanted(items: tuple[str, ...], reference: Reference) -> dict[str, Any]:
    """``("cell=A375|PC3", "dose=1..10")`` as a filter; numbers where the column holds numbers."""
    from pandas.api.types import is_numeric_dtype

    chosen: dict[str, Any] = {}
    for item in items:
        column, equals, text = item.partition("=")
        column = "pert_type" if column == "type" else column
        if not equals or not column or not text:
            raise ValueError(
                f"a filter is written column=value, column=one|other or column=1..10; received {item!r}. Write it so."
            )
        tables = (reference.profiles.table, reference.perturbagens.table)
        numeric = any(column in table and is_numeric_dtype(table[column]) for table in tables)
        ends = text.split("..")
        if numeric and len(ends) == 2:
            chosen[column] = (_number(ends[0], item), _number(ends[1], item))
        else:
            chosen[column] = [_number(part, item) if numeric else part for part in text.split("|")]
    return chosen


def names(text: str | None) -> list[str]:
    """Names out of a list, or a file: one a line, or parted by tabs or commas; lines that start with # do not count."""
    if not text:
        return []
    if not _is_file(text):
        return [name.strip() for name in text.split(",") if name.strip()]
    from galenic.data.checks import require_file

    path = require_file(text, "a list of names")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path.name} should be a text file with one name a line; it is not text in UTF-8. Save the list as text."
        ) from error
    rows = [line.replace("\t", ",").split(",") for line in lines if not line.startswith("#")]
    return [name.strip().strip('"') for row in rows for name in row if name.strip().strip('"')]


def counted(flags: QueryFlags, reference: Reference) -> tuple[AnnData, pd.DataFrame]:
    """RNA-seq counts as one profile of z-scores against their controls, and what matched."""
    from galenic.data.gctx.sniff import HDF5
    from galenic.data.prepare import counts_to_z, modz
    from galenic.data.read.matrices import open_h5ad
    from galenic.models.reference.queries import one_profile, score_table

    path = str(flags.counts)
    landmarks = _landmarks(reference.genes, flags.gene_info)
    with open(path, "rb") as stream:
        is_h5ad = stream.read(len(HDF5)) == HDF5
    remedy = (
        "Name genes by Entrez id or symbol, or name --gene-info FILE, a table with the columns gene_id (Entrez) and "
        "ensembl_id or gene_symbol as the counts have them."
    )
    counts = open_h5ad(Path(path)) if is_h5ad else score_table(path, landmarks.set_index("gene_id"), "counts", remedy)
    _require_landmarks(counts.var_names, landmarks, Path(path).name, remedy)
    is_control = _controls(counts, str(flags.controls))
    z, coverage = counts_to_z(counts, controls=is_control, landmarks=landmarks)
    if flags.row:
        return one_profile(z, flags.row, path), coverage
    treated = z[~is_control].copy()
    if not treated.n_obs:
        raise ValueError(
            f"some samples should not be controls; all {z.n_obs:,} of {Path(path).name} are. Correct --controls."
        )
    treated.obs = treated.obs[[]].assign(query=Path(path).name)
    return modz(treated, by=["query"]), coverage


def reference_profiles(files: list[str], model: Any, gene_info: str | None, sample_info: tuple[str, ...]) -> AnnData:
    """Profiles of one file or several with the model's genes; a converted folder stays on disk."""
    from galenic.cli.profiles import phases_of, sample_infos
    from galenic.data.profiles import join_phases
    from galenic.data.read.profiles import selection
    from galenic.data.store import is_store, open_store

    if len(files) == 1 and Path(files[0]).is_dir() and is_store(files[0]) and not (gene_info or sample_info):
        return open_store(files[0])
    wanted = set(getattr(model, "spec_", {}).get("genes", ()))
    phases = {}
    for name, file, info in zip(phases_of(files), files, sample_infos(files, sample_info), strict=True):
        chosen = selection(file, gene_info=gene_info, sample_info=info)
        known = [gene for gene in chosen.var.index if gene in wanted]
        # Of 12,328 genes the 978 that the model reads; all of them where genes are named otherwise.
        if len(known) == len(wanted) < len(chosen.var):
            chosen = selection(file, genes=known, gene_info=gene_info, sample_info=info)
        phases[name] = chosen.read()
    return phases.popitem()[1] if len(phases) == 1 else join_phases(phases)[0]


def _is_file(text: str) -> bool:
    """Whether a list of names is a file: one that is there, or one that is called so."""
    return "," not in text and (Path(text).exists() or "/" in text or text.lower().endswith(LISTS))


def _number(text: str, item: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(
            f"{item.partition('=')[0]} holds numbers; received {item!r}. Write it as 10 or 1..10."
        ) from error


def _require_landmarks(names: pd.Index, landmarks: pd.DataFrame, file: str, remedy: str) -> None:
    """Counts of too few of the reference's genes are told in the flags of the command line."""
    from galenic.data.aligned import LEAST
    from galenic.data.genes import clean_names
    from galenic.models.reference.queries import genes_said

    own = set(clean_names(names))
    measured = landmarks.astype(str).isin(own).any(axis=1)
    if measured.mean() < LEAST:
        raise ValueError(
            f"{LEAST:.0%} of the {len(landmarks):,} landmark genes should be measured; {int(measured.sum()):,} "
            f"({measured.mean():.0%}) are (missing first: {first(landmarks['gene_id'][~measured])}; {file} has "
            f"{genes_said(names)}). {remedy}"
        )


def _landmarks(genes: pd.DataFrame, gene_info: str | None) -> pd.DataFrame:
    """The reference's genes in their order, with every other name that a table knows for them."""
    table = genes.rename(columns={"symbol": "gene_symbol"}).rename_axis("gene_id").reset_index()
    if gene_info is None:
        return table
    from galenic.data.gctx.metadata import GENE_ID, as_text
    from galenic.data.read.tables import table as read_table

    given = read_table(gene_info)
    column = next((name for name in GENE_ID if name in given), None)
    if column is None:
        raise ValueError(
            f"a table of genes should have a column {' or '.join(GENE_ID)}; {Path(gene_info).name} has "
            f"{first(given.columns, 8)}. Rename the column of Entrez ids."
        )
    others = given.set_axis(as_text(given[column]), axis=0)
    others = others[~others.index.duplicated()].reindex(table["gene_id"])
    extra = [
        name for name in ("ensembl_id", "ensembl", "ensembl_gene_id", "gene_symbol", "pr_gene_symbol") if name in others
    ]
    return table.assign(**{name: others[name].to_numpy() for name in extra if name not in table})


def _controls(counts: AnnData, text: str) -> np.ndarray:
    """Which samples are controls: a column of the table of samples, or their names."""
    if text in counts.obs:
        return counts.obs[text].astype(str).str.lower().isin(["true", "1", "1.0", "yes", "control"]).to_numpy()
    from galenic.models.reference.queries import known_row

    listed = names(text)
    samples = counts.obs_names.astype(str)
    for name in listed:
        known_row(name, samples, "the counts")
    return samples.isin(listed)
