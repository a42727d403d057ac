"""The flags of ``galenic search query``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class QueryFlags:
    """What is searched for, and where.

    Parameters
    ----------
    name
        A perturbagen of the reference, by id or name.
    profile
        File of profiles (GCT, GCTX, h5ad, a folder of 'galenic data convert') or table of z-scores (CSV, TSV, ...).
    row
        With --profile or --counts: the one profile or sample that is the query.
    up
        Raised genes: a file with one a line, or a list separated by commas; Entrez ids or symbols.
    down
        Lowered genes: a file with one a line, or a list separated by commas; Entrez ids or symbols.
    counts
        RNA-seq or TempO-Seq: table of counts, samples and genes either way round, or h5ad.
    controls
        With --counts: the control samples, as a file with one a line, a list separated by commas, or a column of an
        h5ad that is true for them. The other samples are replicates of one query, unless --row names one.
    gene_info
        With --counts: table of genes (gene_id, gene_symbol, ensembl_id), for counts named otherwise than the reference.
    reverse
        Search for what acts in the opposite way.
    level
        Find perturbagens, or single profiles (which leave nothing to --combine).
    combine
        Similarity to a perturbagen: to the mean of its profiles, or the highest (max) or 67th percentile (q67) of those
        to its profiles.
    k
        Number of hits.
    where
        Compare with these profiles only, as cell=A375|PC3,dose=1..10,time=24,type=trt_cp; the query itself keeps all
        its profiles.
    overwrite
        Replace an earlier run in the same folder.
    """

    name: str | None = None
    profile: str | None = None
    row: str | None = None
    up: str | None = None
    down: str | None = None
    counts: str | None = None
    controls: str | None = None
    gene_info: str | None = None
    reverse: bool = False
    level: Literal["perturbagen", "profile"] = "perturbagen"
    combine: Literal["mean", "max", "q67"] = "mean"
    k: int = 50
    where: tuple[str, ...] = ()
    overwrite: bool = False
