"""Profiles of perturbed cells: which are controls, which are treatments, and releases joined into one."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.checks import first, steps_of
from galenic.data.gctx.metadata import as_names, as_text, canonical_profiles
from galenic.data.gctx.selection import require_memory
from galenic.data.response import COVERAGE_COLUMNS
from galenic.data.scores import require_profile_columns, scale_of, warn_of_mixture

TREATMENTS = ("trt_cp", "trt_lig", "trt_sh", "trt_oe", "trt_oe.mut", "trt_xpr")
"""Compounds, ligands, hairpins, overexpression, mutated genes, CRISPR."""
POSITIVE_CONTROL = "trt_poscon"
CONSENSUS = (".cgs", ".cns", ".css")
"""Ends of the types that stand for several hairpins or signatures at once: a consensus has no profile of its own."""
NUMBERS = frozenset({"integer", "floating", "mixed-integer-float"})
"""What pandas calls columns of numbers."""
BLOCK = 4 << 20


@dataclass(frozen=True, eq=False)
class Joined:
    """The tables of several releases as one, before their numbers are put together.

    Parameters
    ----------
    obs, var
        All profiles, and the genes that every release has.
    genes
        For each release the places of those genes in it.
    coverage
        Columns ``step, kept, dropped, why, examples``.
    """

    obs: pd.DataFrame
    var: pd.DataFrame
    genes: list[np.ndarray]
    coverage: pd.DataFrame


def is_control(obs: pd.DataFrame) -> np.ndarray:
    """Which profiles are controls: vehicle, untreated, empty vectors (every type that starts with ``ctl_``).

    Parameters
    ----------
    obs
        A table of profiles with the column ``pert_type``.

    Returns
    -------
    ndarray of bool, (n_profiles,)

    Examples
    --------
    >>> is_control(pd.DataFrame({"pert_type": ["ctl_vehicle", "trt_cp", None]})).tolist()
    [True, False, False]
    """
    require_profile_columns(obs, ["pert_type"], "the table of profiles")
    return np.array([text.startswith("ctl_") for text in as_text(obs["pert_type"])], dtype=bool)


def treatments(
    adata: AnnData,
    *,
    keep: Sequence[str] = TREATMENTS,
    poscon: Literal["drop", "keep"] = "drop",
    consensus: bool = False,
    label: Literal["pert_id", "gene"] = "pert_id",
) -> tuple[AnnData, pd.DataFrame]:
    """Only the profiles of treatments, each with a label that says of which.

    Parameters
    ----------
    adata
        Profiles with ``obs["pert_type"]`` and ``obs["pert_id"]``. It is not changed.
    keep
        Types that are treatments.
    poscon
        What to do with positive controls (``trt_poscon``): compounds that stand on every plate, and so have hundreds of
        profiles where others have a few.
    consensus
        Keep the consensus types of hairpins and signatures too (``trt_sh.cgs``, ``.cns``), which level 5 has.
        ``trt_sh.css``, the seed effect of hairpins, is no treatment and always leaves.
    label
        What makes two profiles the same: the ``pert_id``, which of hairpins is the hairpin, or for hairpins the
        ``gene`` that they silence (``pert_name``).

    Returns
    -------
    profiles : AnnData
        A copy with ``obs["label"]``, text; over the same memory map where the profiles are one and all stay.
    coverage : DataFrame
        Columns ``step, kept, dropped, why, examples``; one row for each kind of profile that left.

    Raises
    ------
    ValueError
        If a column is missing, or no profile is left.

    Examples
    --------
    >>> obs = pd.DataFrame({"pert_type": ["trt_cp", "ctl_vehicle"], "pert_id": ["BRD-A", "DMSO"]}, index=["p1", "p2"])
    >>> kept, coverage = treatments(AnnData(np.zeros((2, 3), dtype="float32"), obs=obs))
    >>> kept.obs["label"].tolist(), coverage["dropped"].tolist()
    (['BRD-A'], [1])
    """
    for name, value, known in (("poscon", poscon, ("drop", "keep")), ("label", label, ("pert_id", "gene"))):
        if value not in known:
            raise ValueError(f"{name} should be {known[0]!r} or {known[1]!r}; received {value!r}. Choose one.")
    needed = ["pert_type", "pert_id", *(["pert_name"] if label == "gene" else [])]
    require_profile_columns(adata.obs, needed, "the table of profiles")
    types = as_text(adata.obs["pert_type"])
    labels = as_text(adata.obs["pert_id"])
    if label == "gene":
        hairpin = np.array([text.split(".")[0] == "trt_sh" for text in types], dtype=bool)
        labels = np.where(hairpin, as_text(adata.obs["pert_name"]), labels)
    reasons = _reasons(types, labels, keep, poscon, consensus)
    left = reasons == ""
    rows = []
    for why in pd.unique(reasons[~left]):
        gone = reasons == why
        kinds = pd.Series(types[gone]).value_counts()
        rows.append(("profiles", int(left.sum()), int(gone.sum()), why, first(kinds.index)))
    coverage = pd.DataFrame(rows, columns=list(COVERAGE_COLUMNS))
    if not left.any():
        raise ValueError(
            f"some of the {adata.n_obs:,} profiles should be treatments ({first(keep, 6)}); none is: "
            f"{'; '.join(f'{row[2]:,} {row[3]} ({row[4]})' for row in rows)}. Name their types with keep=."
        )
    X = adata.X
    if left.all() and isinstance(X, np.ndarray) and not X.flags.writeable:  # a memory map stays one
        kept = AnnData(X, obs=adata.obs.copy(), var=adata.var.copy(), uns=dict(adata.uns))
    else:
        kept = adata[left].copy()
    kept.obs["label"] = labels[left]
    return kept, coverage


def join_phases(phases: Mapping[str, AnnData]) -> tuple[AnnData, pd.DataFrame]:
    """Profiles of several releases as one matrix: genes are matched by id, never by place.

    Parameters
    ----------
    phases
        Releases by name, for example ``{"GSE92742": ..., "GSE70138": ...}``. They are not changed.

    Returns
    -------
    profiles : AnnData
        The profiles of all, one release after the other, with the genes that every one has, in the order of the first;
        ``obs["phase"]`` holds the name. Ids that several releases use get the name in front.
    coverage : DataFrame
        Columns ``step, kept, dropped, why, examples``.

    Raises
    ------
    ValueError
        If no gene is in all of them.

    Warns
    -----
    UserWarning
        If a release loses more than a tenth of its genes, ids had to be changed, or one release looks like levels and
        another like z-scores.

    Examples
    --------
    >>> def phase(genes): return AnnData(pd.DataFrame([[1.0, 2.0]], index=["p"], columns=genes))
    >>> with warnings.catch_warnings(action="ignore"):
    ...     joined, _ = join_phases({"I": phase(["780", "466"]), "II": phase(["466", "9"])})
    >>> joined.obs_names.tolist(), joined.var_names.tolist(), joined.X.ravel().tolist()
    (['I:p', 'II:p'], ['466'], [2.0, 1.0])
    """
    tables = join_tables({name: (adata.obs, adata.var) for name, adata in phases.items()})
    shape = (len(tables.obs), len(tables.var))
    require_memory(shape, "the joined phases")
    warn_of_mixture({name: scale_of(adata.X) for name, adata in phases.items()})
    X = np.empty(shape, dtype=np.float32)
    start, steps = 0, list[str]()
    for (name, adata), genes in zip(phases.items(), tables.genes, strict=True):
        height = max(1, BLOCK // max(adata.n_vars, 1))
        for i in range(0, adata.n_obs, height):
            rows = adata.X[i : i + height]
            rows = rows.toarray() if hasattr(rows, "toarray") else np.asarray(rows)
            X[start + i : start + i + len(rows)] = rows[:, genes]
        start += adata.n_obs
        steps += [f"{name}: {step}" for step in steps_of(adata.uns)]
    joined = AnnData(X=X, obs=tables.obs, var=tables.var)
    joined.uns["steps"] = [*steps, f"joined {first(phases, 4)} by gene id", *coverage_lines(tables.coverage)]
    return joined, tables.coverage


def coverage_lines(coverage: pd.DataFrame) -> list[str]:
    """A table of coverage as one short line a row: what was kept, what was dropped, and why.

    Examples
    --------
    >>> coverage_lines(pd.DataFrame([("I genes", 978, 2, "not in every release", "")], columns=COVERAGE_COLUMNS))
    ['I genes: 978 kept, 2 dropped (not in every release)']
    """
    return [f"{row.step}: {row.kept:,} kept, {row.dropped:,} dropped ({row.why})" for row in coverage.itertuples()]


def join_tables(phases: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]]) -> Joined:
    """The tables of :func:`join_phases`, without the numbers: ``{name: (obs, var)}``."""
    if not phases:
        raise ValueError("one release or more should be joined; there is none. Name them.")
    genes = [var.index for _, var in phases.values()]
    common = genes[0][np.logical_and.reduce([genes[0].isin(other) for other in genes])]
    if len(common) == 0:
        shown = "; ".join(f"{name}: {first(var.index)}" for name, (_, var) in phases.items())
        raise ValueError(
            f"releases should share genes by id; the {len(phases):,} named share none ({shown}). Read each with "
            "gene_info=, so that all are named by Entrez id."
        )
    rows = [_genes_lost(name, var, common) for name, (_, var) in phases.items()]
    obs = _below_each_other({str(name): table for name, (table, _) in phases.items()})
    repeated = obs.index.duplicated(keep=False)
    if repeated.any():
        warnings.warn(
            f"ids of profiles should differ between releases; {int(repeated.sum()):,} profiles share theirs (first: "
            f"{first(obs.index[repeated].unique())}). Each gets the name of its release in front.",
            stacklevel=3,
        )
        own = np.asarray(obs.index, dtype="object")
        obs.index = pd.Index(np.where(repeated, obs["phase"].astype(str).to_numpy() + ":" + own, own))
    for name, (table, _) in phases.items():
        rows.append((f"{name} profiles", len(table), 0, "all are kept", first(table.index)))
    coverage = pd.DataFrame(rows, columns=list(COVERAGE_COLUMNS))
    return Joined(obs, _merged_genes(phases, common), [index.get_indexer(common) for index in genes], coverage)


def _reasons(types: np.ndarray, labels: np.ndarray, keep: Sequence[str], poscon: str, consensus: bool) -> np.ndarray:
    """Why each profile leaves; ``""`` where it stays."""

    def reason(kind: str) -> str:
        if kind.startswith("ctl_"):
            return "they are controls"
        if kind == POSITIVE_CONTROL and kind not in keep:
            return "" if poscon == "keep" else "they are positive controls"
        if kind.endswith(CONSENSUS) and kind not in keep:
            seed = kind.endswith(".css")
            return (
                "" if consensus and not seed and kind.rpartition(".")[0] in keep else "they are a consensus of others"
            )
        return "" if kind in keep else "their type is not among those to keep"

    by_type = {kind: reason(kind) for kind in pd.unique(types)}
    reasons = np.array([by_type[kind] for kind in types], dtype="object")
    return np.where((reasons == "") & (labels == ""), "they have no label", reasons)


def _genes_lost(name: str, var: pd.DataFrame, common: pd.Index) -> tuple[str, int, int, str, str]:
    lost = var.index[~var.index.isin(common)]
    if len(lost) > 0.1 * len(var):
        warnings.warn(
            f"releases should share most genes; {len(lost):,} of the {len(var):,} of {name} are not in all (first: "
            f"{first(lost)}). They are left out: check that all were read with the same genes=.",
            stacklevel=4,
        )
    why = "not in every release" if len(lost) else "in every release"
    return (f"{name} genes", len(common), len(lost), why, first(lost if len(lost) else common))


def _merged_genes(phases: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]], common: pd.Index) -> pd.DataFrame:
    """What the first release that knows says of each gene."""
    merged = pd.DataFrame(index=common)
    for _, var in phases.values():
        table = var.loc[common]
        for column in table:
            merged[column] = (
                merged[column].where(merged[column].notna(), table[column]) if column in merged else table[column]
            )
    return merged


def _below_each_other(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Rows of all tables; columns of text or of numbers as they were, missing where a table lacks one."""
    columns = pd.unique(np.array([column for table in tables.values() for column in table], dtype="object"))
    index = pd.Index(np.concatenate([np.asarray(table.index, dtype="object") for table in tables.values()]))
    joined = {}
    for column in columns:
        parts = [
            table[column].to_numpy(dtype="object") if column in table else np.full(len(table), None, dtype="object")
            for table in tables.values()
        ]
        values = np.concatenate(parts)
        kind = pd.api.types.infer_dtype(values, skipna=True)
        # A column that is text in one release and numbers in another is text; so is a flag that one lacks.
        plain = kind in NUMBERS or (kind == "boolean" and not pd.isna(values).any())
        joined[column] = pd.Series(values).infer_objects().to_numpy() if plain else as_names(values)
    joined["phase"] = np.repeat(np.array(list(tables), dtype="object"), [len(table) for table in tables.values()])
    return pd.DataFrame(joined, index=index)


def annotate(adata: AnnData, table: pd.DataFrame) -> AnnData:
    """Profiles with what a table knows of their perturbagens: mechanism, target, structure.

    Parameters
    ----------
    adata
        Profiles with ``obs["pert_id"]`` or ``obs["pert_name"]``. Not changed.
    table
        One row a perturbagen: ``pert_id`` (BRD ids are compared by their first 13 characters) or ``pert_name``, and
        some of ``moa, target, smiles, pert_name``.

    Returns
    -------
    AnnData
        A copy whose ``obs`` has these columns; what profiles say of themselves stays.

    Raises
    ------
    ValueError
        If table and profiles share no column to join by, the table annotates nothing, or it knows no perturbagen.

    Examples
    --------
    >>> obs = pd.DataFrame({"pert_id": ["BRD-K12345678"]}, index=["p"])
    >>> known = pd.DataFrame({"pert_id": ["BRD-K12345678-001-01-1"], "moa": ["HDAC inhibitor"]})
    >>> annotate(AnnData(np.zeros((1, 2), dtype="float32"), obs=obs), known).obs["moa"].tolist()
    ['HDAC inhibitor']
    """
    table = canonical_profiles(table)
    told = [name for name in ("pert_name", "moa", "target", "smiles") if name in table]
    keys = [name for name in ("pert_id", "pert_name") if name in table and name in adata.obs]
    if not keys or not set(told) - {keys[0]}:
        raise ValueError(
            f"a table of perturbagens has pert_id or pert_name, as the profiles do, and moa, target or smiles; it has "
            f"{first(table.columns, 8)}. Rename its columns."
        )
    obs, known = adata.obs.copy(), 0
    for key in keys:
        own, theirs = _compound(obs[key], key), _compound(table[key], key)
        rows = pd.Index(theirs)
        once = table[~rows.duplicated() & (rows != "")].set_axis(rows[~rows.duplicated() & (rows != "")])
        known += int(pd.Index(own).isin(once.index).sum())
        for name in told:
            if name != key:
                found = once[name].reindex(own).set_axis(obs.index).astype("object")
                mine = obs[name].astype("object") if name in obs else pd.Series(None, index=obs.index, dtype="object")
                obs[name] = mine.where(mine.notna() & (mine != ""), found)
    if not known:
        raise ValueError(
            f"the table should know some perturbagens of the profiles (first: {first(pd.unique(adata.obs[keys[0]]))}); "
            f"it knows none (its first: {first(table[keys[0]])}). Check that both use the same kind of id."
        )
    annotated = adata.copy()
    annotated.obs = obs
    return annotated


def _compound(values: pd.Series, key: str) -> np.ndarray:
    """Ids as they are compared: compounds of the Broad without batch and salt, names in small letters."""
    texts = pd.Series(as_text(values))
    if key == "pert_name":
        return texts.str.lower().to_numpy()
    return texts.where(~texts.str.startswith("BRD-"), texts.str[:13]).to_numpy()
