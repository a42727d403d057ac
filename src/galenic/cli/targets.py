"""``galenic targets WEIGHTS``: pairs of targets from weights of genes, beside chance and popularity."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import typer

from galenic.cli.flags import add, collect

if TYPE_CHECKING:
    import pandas as pd

    from galenic.explain import TargetCombinations
    from galenic.report.run import Run

SHOWN = 10
MODES: dict[str, tuple[str, int]] = {"evaluation": ("none", 100), "prediction": ("auto", 50)}
"""Threshold and number of pairs of each mode, where no flag names them."""


@dataclass(frozen=True, kw_only=True)
class TargetFlags:
    """What is paired, and what is known.

    Parameters
    ----------
    pairs
        Table of pairs of targets (tpid, genename1, genename2), with --mapping and --combinations.
    mapping
        Table that tells which combination of drugs hits which pair (dcid, tpid).
    combinations
        Table of combinations of drugs and their diseases (dcid, fd_name).
    known
        In place of the three: one table with gene_a, gene_b and disease, or genename1, genename2 and fd_name.
    disease
        Its genes are the candidates, unless --candidates names some; its pairs are the known ones.
    candidates
        File of genes to be paired: its column SYMBOL, or its first column.
    drop
        Rows or columns of the weights that are no genes, separated by commas: dose.
    as_published
        The published procedure in every step, averages and all.
    mode
        evaluation lists 100 pairs without a threshold (published: 0.8), prediction 50 with --threshold auto.
    threshold
        Smallest |r| of a pair, 0 to 1; auto; none.
    n_pairs
        Number of pairs to list; all of them where absent.
    clusters
        Clusters of the genes that matter most.
    reference
        How many genes are clustered.
    permutations
        Shuffles of gene labels behind p-values.
    seed
        Seed of the shuffles.
    overwrite
        Replace an earlier run in the same folder.
    """

    pairs: str | None = None
    mapping: str | None = None
    combinations: str | None = None
    known: str | None = None
    disease: str | None = None
    candidates: str | None = None
    drop: tuple[str, ...] = ()
    as_published: bool = False
    mode: Literal["evaluation", "prediction"] = "evaluation"
    threshold: str | None = None
    n_pairs: int | None = None
    clusters: int = 4
    reference: int = 50
    permutations: int = 999
    seed: int = 0
    overwrite: bool = False


def command() -> Any:
    """The verb, for the command line."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

    def run(
        weights: str = typer.Argument(
            ..., metavar="WEIGHTS", help="Table of weights, genes and latent variables either way round."
        ),
        out: str = typer.Option(..., "--out", help="Run folder to write."),
        **flags: Any,
    ) -> None:
        """Rank pairs of targets by their weights on latent variables, beside chance and popularity."""
        targets(weights, out, collect(TargetFlags, flags))

    app.command()(add(run, TargetFlags))
    return typer.main.get_command(app)


def targets(weights: str, out: str, flags: TargetFlags) -> None:
    """Write pairs, what chance gives and the floors into a run folder, and print the first pairs."""
    from galenic.cli import summary
    from galenic.data.read.target_pairs import gene_list, gene_weights
    from galenic.explain import target_combinations
    from galenic.explain.target_pairs import read_known
    from galenic.report import run as run_folder

    threshold, n_pairs = list_of(flags)
    known = known_of(flags)
    candidates = gene_list(flags.candidates) if flags.candidates else None
    symbols = [] if known is None else [*read_known(known)["gene_a"], *read_known(known)["gene_b"]]
    table = gene_weights(weights, [*symbols, *(candidates or [])])
    files = [weights, flags.pairs, flags.mapping, flags.combinations, flags.known, flags.candidates]
    fields = {name: value for name, value in asdict(flags).items() if value not in (None, (), False)}
    with (
        run_folder.start(
            out,
            verb="targets",
            command=summary.typed(),
            fields=fields,
            title=f"Pairs of targets{f' in {flags.disease}' if flags.disease else ''}",
            inputs=[path for path in files if path],
            seed=flags.seed,
            overwrite=flags.overwrite,
        ) as run,
        summary.kept_warnings(run),
    ):
        with run.timed("pairs"):
            found = target_combinations(
                table, known, disease=flags.disease, candidates=candidates, n_clusters=flags.clusters,
                n_reference=flags.reference, threshold=threshold, n_pairs=n_pairs, drop=flags.drop, seed=flags.seed,
                as_published=flags.as_published,
            )  # fmt: skip
        run.record["data"] = {"genes": int((~table.index.isin([*flags.drop, "dose"])).sum())}
        run.write("target_pairs", found.pairs.assign(disease=flags.disease))
        if known is not None:
            judge(run, table, known, found, flags)
    show(found, told=run.record["warnings"])
    summary.finish(run)


def judge(run: Run, table: pd.DataFrame, known: pd.DataFrame, found: TargetCombinations, flags: TargetFlags) -> None:
    """Write how many listed pairs are known, and how methods and floors do on all diseases."""
    from galenic.explain import match_known, score_diseases

    if flags.disease is not None:
        with run.timed("chance"):
            match = match_known(
                found.ranking,
                known,
                flags.disease,
                found.candidates,
                n_permutations=flags.permutations,
                seed=flags.seed,
            )
        run.write(
            "target_match",
            match.table.assign(
                n_pairs=match.n_pairs, n_known=match.n_known, auroc=match.auroc, p_permutation=match.p_permutation
            ),
        )
    drop = [*flags.drop, *(["dose"] if "dose" in table.index and "dose" not in flags.drop else [])]
    with run.timed("diseases"):
        try:
            scores = score_diseases(table, known, drop=drop, n_permutations=flags.permutations, seed=flags.seed)
        except ValueError as error:
            run.note(f"Methods and floors were not compared: {error}")
            return
    run.write("target_diseases", scores)


def known_of(flags: TargetFlags) -> pd.DataFrame | None:
    """Known pairs from one table or from three; ``None`` where no file is named."""
    from galenic.data import read
    from galenic.data.read.target_pairs import pair_tables
    from galenic.explain import known_pairs

    three = (flags.pairs, flags.mapping, flags.combinations)
    if (flags.known and any(three)) or any(three) != all(three):
        named = [name for name in ("known", "pairs", "mapping", "combinations") if getattr(flags, name)]
        raise ValueError(
            "known pairs come from --known, or from --pairs, --mapping and --combinations together; received "
            f"{' and '.join(f'--{name}' for name in named)}. Name one or all three."
        )
    if flags.known:
        return read.table(flags.known)
    if flags.pairs and flags.mapping and flags.combinations:
        return known_pairs(*pair_tables(flags.pairs, flags.mapping, flags.combinations))
    if flags.disease or not flags.candidates:
        raise ValueError(
            "known pairs are expected with --disease, and --candidates without; received neither known pairs nor "
            "candidates alone. Name --known FILE, or --pairs, --mapping and --combinations, or --candidates FILE."
        )
    return None


def list_of(flags: TargetFlags) -> tuple[Any, int]:
    """Threshold and number of pairs: the flags', or else those of the mode."""
    usual, n_pairs = MODES[flags.mode]
    text = (flags.threshold or usual).strip().lower()
    n_pairs = n_pairs if flags.n_pairs is None else flags.n_pairs
    if text in ("none", "auto"):
        # Without a flag the published procedure has its own threshold; asked for none, it has none.
        none = 0.0 if flags.as_published and flags.threshold else None
        return (none if text == "none" else "auto"), n_pairs
    try:
        return float(text), n_pairs
    except ValueError:
        raise ValueError(
            f"--threshold should be a number from 0 to 1, auto or none; received {flags.threshold!r}. Correct it."
        ) from None


def show(found: TargetCombinations, told: list[str]) -> None:
    """Print what to know, unless it was told, and the first pairs."""
    from rich.console import Console
    from rich.table import Table

    for note in found.notes:
        if note not in told:
            typer.echo(note)
    table = Table(title=f"{len(found.pairs):,} pairs", title_justify="left", box=None)
    names = [name for name in ("rank", "gene_a", "gene_b", "score", "r", "p_value", "known") if name in found.pairs]
    for name in names:
        table.add_column(name.replace("_", " "), justify="left" if name.startswith("gene") else "right")
    for row in found.pairs.head(SHOWN)[names].to_dict("records"):
        table.add_row(*(f"{row[name]:.3f}" if isinstance(row[name], float) else str(row[name]) for name in names))
    Console().print(table)
