"""A reference written from a model and profiles, block by block; it appears whole or not at all."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.aligned import Aligned, require_scores
from galenic.data.checks import first, require_columns, require_unique
from galenic.data.profiles import is_control
from galenic.data.response import COVERAGE_COLUMNS
from galenic.models.profiles.profile_model import ProfileModel, unit
from galenic.models.reference import gene_sets as ranked
from galenic.models.reference.chance import N_SIDE, N_VEHICLES, pairs, vehicle_rows
from galenic.models.reference.folder import free_place, write_record
from galenic.models.reference.perturbagens import (
    OF_PERTURBAGENS,
    annotated,
    merged,
    perturbagen_table,
    profile_table,
    with_structures,
)
from galenic.models.reference.trust import has_signal
from galenic.search.applicability import Applicability, signature_strength
from galenic.search.index import SimilarityIndex
from galenic.work.atomic import written_folder

USUAL = 4_096
"""Profiles whose distances and strengths tell what is usual."""
CHECKED = 10_000
"""Profiles that must look like z-scores."""
Watch = Callable[[int, int], None]
Row = tuple[object, ...]


def build(
    model: ProfileModel,
    adata: AnnData,
    folder: str | Path,
    *,
    annotations: pd.DataFrame | None = None,
    how: Literal["mean", "modz"] = "mean",
    gene_sets: bool = False,
    controls: bool = False,
    n_queries: int = 200,
    seed: int = 0,
    overwrite: bool = False,
    device: str = "cpu",
    progress: Watch | None = None,
) -> Path:
    """Embed profiles and write everything that a search needs into a folder of its own.

    Profiles are read in blocks, so they may be a memory map; memory is a block, the tables and one vector a
    perturbagen.

    Parameters
    ----------
    model
        Fitted; its similarity must be the inner product of its vectors. It is copied into the folder.
    adata
        Profiles, z-scores, with ``obs["pert_id"]``; also read: ``pert_name, pert_type, cell, dose, time, plate, moa,
        target, smiles``. Not changed.
    folder
        Where it is written.
    annotations
        Table with ``pert_id`` or ``pert_name``, and ``moa``, ``target`` or ``smiles``.
    how
        How the profiles of a perturbagen become one vector; see :func:`galenic.search.aggregate`.
    gene_sets
        Rank the profiles too, for queries by lists of raised and lowered genes; takes 4 bytes a z-score.
    controls
        Keep controls (types that start with ``ctl_``).
    n_queries
        Profiles of the reference that serve as reference queries of tau, chosen with ``seed``.
    seed
        Of that choice, and of the profiles that tell what is usual.
    overwrite
        Replace an earlier reference.
    device
        Where networks compute.
    progress
        Called with the number of profiles done and of all.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    ValueError
        If the model cannot be indexed, the folder holds something else, genes are too few, values are infinite or no
        z-scores, ids repeat or no profile is left.

    Warns
    -----
    UserWarning
        If profiles are left out because they are empty.

    Notes
    -----
    Vehicles (``ctl_vehicle``, ``ctl_untrt``) among the profiles are embedded, up to 500 of them, and so are pairs of
    different perturbagens, up to 2,000 x 2,000: how strong and how alike they are tells what chance gives.

    Examples
    --------
    >>> import tempfile
    >>> from galenic.data.simulate import profiles
    >>> from galenic.models.profiles.similarities import RawCosine
    >>> adata = profiles(n_perturbagens=20, n_genes=60)
    >>> folder = build(RawCosine().fit(adata), adata, tempfile.mkdtemp())
    >>> sorted(path.name for path in folder.iterdir())
    ['chance.npz', 'coverage.csv', 'model', 'perturbagens', 'profiles', 'reference.json', 'reversed.npy', 'usual.npz']
    """
    _require_indexable(model)
    if how not in ("mean", "modz"):
        raise ValueError(f"how should be 'mean' or 'modz'; received {how!r}. Choose one.")
    folder = free_place(Path(folder), overwrite)
    rows, table, coverage = _kept(adata, controls)
    source = Aligned(adata, model.spec_["genes"], model.spec_["symbols"], "profiles of the reference")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with written_folder(folder) as draft:
        model.save(draft / "model")
        strong, strength = _embed_all(model, source, rows, draft, device, progress)
        coverage += _left_out(table, strong)
        rows, table = rows[strong], table[strong].assign(strength=strength[strong])
        coverage += _write_indexes(model, table, draft, how, annotations)
        _write_usual(draft, table, seed)
        coverage += _write_chance(model, source, draft, seed, device)
        for name in ("vectors", "opposites"):
            (draft / f"{name}.npy").unlink()
        if gene_sets:
            _write_ranked(source, rows, table, draft, n_queries, seed)
        report = pd.DataFrame(coverage, columns=list(COVERAGE_COLUMNS))
        report.to_csv(draft / "coverage.csv", index=False)
        asked = min(n_queries, len(table)) if gene_sets else 0
        about = {"model": type(model).__name__, "how": how, "gene_sets": gene_sets, "n_queries": asked, "chance": True}
        write_record(draft, about)
    return folder


def embed(model: ProfileModel, values: np.ndarray, obs: pd.DataFrame, device: str = "cpu") -> np.ndarray:
    """Vectors of z-scores that already stand on the model's genes."""
    var = pd.DataFrame(index=pd.Index(model.spec_["genes"]))
    return model.embed(AnnData(values, obs=obs, var=var), device=device)


def groups_of(profiles: pd.DataFrame, types: np.ndarray | None) -> np.ndarray:
    """Cell line and perturbagen type of each profile as one label."""
    cells = profiles["cell"].astype("object").fillna("").to_numpy() if "cell" in profiles else np.array("")
    labels = np.char.add(np.asarray(cells, dtype=str), " ")
    kinds = np.array("") if types is None else pd.Series(types).astype("object").fillna("").to_numpy().astype(str)
    return np.broadcast_to(np.char.add(labels, kinds), len(profiles))


def _require_indexable(model: ProfileModel) -> None:
    if not isinstance(model, ProfileModel) or type(model).similarity is not ProfileModel.similarity:
        raise ValueError(
            f"a reference needs a model whose similarity is the inner product of vectors, as ReadAcross, RawCosine, "
            f"Spearman, WhitenedPCA or ShrinkageLDA; {type(model).__name__} is not one. Fit another model; lists of "
            "genes are scored by connectivity in any reference that was built with gene sets."
        )
    model._check_fitted()


def _kept(adata: AnnData, controls: bool) -> tuple[np.ndarray, pd.DataFrame, list[Row]]:
    """The profiles that a search should find: their rows and table, and why others left."""
    require_unique(adata.obs_names, "ids of profiles")
    table = profile_table(adata.obs)
    require_columns(table, ["pert_id"], "the table of profiles, where it knows anything,")
    named = table["pert_id"].notna().to_numpy()
    treated = ~is_control(table) if "pert_type" in table and not controls else np.ones(len(table), dtype=bool)
    keep = named & treated
    coverage: list[Row] = []
    for lost, why in ((~treated, "they are controls"), (treated & ~named, "they have no pert_id")):
        if lost.any():
            coverage.append(("profiles", int(keep.sum()), int(lost.sum()), why, first(table.index[lost])))
    _require_some(int(keep.sum()), len(table))
    return np.flatnonzero(keep), table[keep], coverage


def _require_some(n: int, n_all: int) -> None:
    if n < 2:
        raise ValueError(
            f"a reference needs at least 2 profiles of treatments; {n:,} of {n_all:,} are. Check the columns pert_id "
            "and pert_type: types that start with 'ctl_' are controls."
        )


def _left_out(table: pd.DataFrame, strong: np.ndarray) -> list[Row]:
    """What is said of empty profiles, which lie nowhere; an error where hardly any other is left."""
    lost = table.index[~strong]
    if strong.sum() < 2:
        raise ValueError(
            f"a reference needs at least 2 profiles with values; {len(lost):,} of {len(table):,} are empty: no value, "
            f"all 0, or the same in most genes (first: {first(lost)}). Check the files: -666 stands for missing."
        )
    if not len(lost):
        return []
    warnings.warn(
        f"{len(lost):,} of {len(table):,} profiles are empty (no value, all 0, or the same in most genes) and left out "
        f"(first: {first(lost)}).",
        stacklevel=3,
    )
    return [
        (
            "profiles with values",
            int(strong.sum()),
            len(lost),
            "empty: no value, or the same in most genes",
            first(lost),
        )
    ]


def _embed_all(
    model: ProfileModel, source: Aligned, rows: np.ndarray, draft: Path, device: str, progress: Watch | None
) -> tuple[np.ndarray, np.ndarray]:
    """Write vectors of all profiles, and of their opposites; which have a direction, and how strong each is."""
    strong, strength = np.zeros(len(rows), dtype=bool), np.zeros(len(rows), dtype=np.int32)
    arrays: list[np.ndarray] = []
    done = at = 0
    for numbers, part in source.blocks(rows):
        _require_finite(part)
        signal = has_signal(part)
        if done < CHECKED:
            require_scores(part[signal], "profiles of a reference")
        obs = source.adata.obs.iloc[numbers]
        own, opposite = (embed(model, values, obs, device) for values in (part, -part))
        if not arrays:
            shape = (len(rows), own.shape[1])
            arrays = [_new(draft / f"{name}.npy", shape) for name in ("vectors", "opposites")]
        good = signal & (np.abs(own).max(axis=1) > 0) & (np.abs(opposite).max(axis=1) > 0)
        for array, values in zip(arrays, (own, opposite), strict=True):
            array[at : at + good.sum()] = values[good]
        strong[done : done + len(part)], strength[done : done + len(part)] = good, signature_strength(part)
        done, at = done + len(part), at + int(good.sum())
        if progress is not None:
            progress(done, len(rows))
    return strong, strength


def _write_indexes(
    model: ProfileModel, table: pd.DataFrame, draft: Path, how: str, annotations: pd.DataFrame | None
) -> list[Row]:
    """The two indexes and the vectors of opposites; what annotating and reading structures did."""
    vectors, opposites = (
        np.load(draft / f"{name}.npy", mmap_mode="r", allow_pickle=False)[: len(table)]
        for name in ("vectors", "opposites")
    )
    perturbagens, coverage = perturbagen_table(table), []
    if annotations is not None:
        perturbagens, found = annotated(perturbagens, annotations)
        coverage.append(found)
    perturbagens, found = with_structures(perturbagens)
    coverage.append(found)
    codes = perturbagens.index.get_indexer(pd.Index(table["pert_id"]))
    everything = np.arange(len(table))
    _, own, counted = merged(vectors, everything, codes, how)
    np.save(draft / "reversed.npy", merged(opposites, everything, codes, how)[1], allow_pickle=False)
    columns = pd.concat([counted.set_axis(perturbagens.index), perturbagens], axis=1)
    SimilarityIndex(own, columns).save(draft / "perturbagens")
    kept = table.drop(columns=[name for name in OF_PERTURBAGENS if name in table])
    texts = {name: "category" for name in ("pert_id", "cell", "dose_unit", "time_unit", "plate") if name in kept}
    SimilarityIndex(vectors, kept.astype(texts), offsets=_offsets(model, vectors)).save(draft / "profiles")
    return [tuple(row) for part in coverage for row in part.itertuples(index=False)]


def _offsets(model: ProfileModel, vectors: np.ndarray) -> np.ndarray | None:
    if type(model).offsets is ProfileModel.offsets:
        return None
    size = 16_384
    return np.concatenate([model.offsets(vectors[start : start + size]) for start in range(0, len(vectors), size)])


def _write_usual(draft: Path, table: pd.DataFrame, seed: int) -> None:
    """Distances and strengths that are usual, for models that do not know themselves."""
    vectors = np.load(draft / "profiles" / "vectors.npy", mmap_mode="r", allow_pickle=False)
    rows = _sample(len(table), USUAL, seed)
    usual = Applicability(np.array(vectors[rows]), table["strength"].to_numpy()[rows])
    # Strengths are known of all profiles, so those count.
    usual = Applicability.from_state(
        usual.state() | {"strengths": np.quantile(table["strength"], np.linspace(0, 1, 1_001))}
    )
    np.savez(draft / "usual.npz", allow_pickle=False, **usual.state())


def _write_chance(model: ProfileModel, source: Aligned, draft: Path, seed: int, device: str) -> list[Row]:
    """How alike pairs of perturbagens are, and how strong and how alike to perturbagens vehicles are."""
    profiles = SimilarityIndex.load(draft / "profiles", memory_map=True)
    perturbagens = SimilarityIndex.load(draft / "perturbagens")
    reverse = np.load(draft / "reversed.npy", allow_pickle=False)
    opposites = np.load(draft / "opposites.npy", mmap_mode="r", allow_pickle=False)
    codes = perturbagens.table.index.get_indexer(pd.Index(profiles.table["pert_id"].astype(str)))
    few, some = (_sample(len(index), N_SIDE, seed) for index in (perturbagens, profiles))
    queries = {
        "perturbagen": (few, perturbagens.vectors[few], reverse[few]),
        "profile": (codes[some], np.asarray(profiles.vectors[some]), np.asarray(opposites[some])),
    }
    offsets = None if profiles.offsets is None else profiles.offsets[some]
    found = {"perturbagen": (*queries["perturbagen"][:2], None), "profile": (*queries["profile"][:2], offsets)}
    state = pairs(model, queries, found)
    rows = vehicle_rows(profile_table(source.adata.obs))
    vehicles = rows[_sample(len(rows), N_VEHICLES, seed)]
    if len(vehicles):
        values = source[vehicles]
        known = has_signal(values) & np.isfinite(values).all(axis=1)
        vehicles, values = vehicles[known], values[known]
    if len(vehicles):
        # Kept as perturbagens or not, vehicles are no likeness to look for.
        treated = np.ones(len(perturbagens), dtype=bool)
        if "pert_type" in perturbagens.table:
            treated = ~is_control(perturbagens.table)
        near = unit(embed(model, values, source.adata.obs.iloc[vehicles], device)) @ perturbagens.vectors[treated].T
        state["vehicle_strength"] = np.sort(signature_strength(values)).astype(np.float64)
        state["vehicle_similarity"] = np.sort(near.max(axis=1)).astype(np.float64) if treated.any() else np.zeros(0)
    np.savez(draft / "chance.npz", allow_pickle=False, **state)
    why = "what chance gives is measured on a sample" if len(rows) > len(vehicles) else "they tell what chance gives"
    n = len(vehicles)
    return [("vehicles measured", n, len(rows) - n, why, first(source.adata.obs_names[vehicles]))] if n else []


def _write_ranked(
    source: Aligned, rows: np.ndarray, table: pd.DataFrame, draft: Path, n_queries: int, seed: int
) -> None:
    queries = source[rows[_sample(len(rows), n_queries, seed)]]
    types = table["pert_type"].to_numpy() if "pert_type" in table else None

    def blocks() -> Iterator[np.ndarray]:
        return (part for _, part in source.blocks(rows))

    ranked.write(draft / "ranked", blocks, (len(rows), source.shape[1]), groups_of(table, types), queries)


def _sample(n: int, most: int, seed: int) -> np.ndarray:
    return np.arange(n) if n <= most else np.sort(np.random.default_rng(seed).choice(n, most, replace=False))


def _require_finite(part: np.ndarray) -> None:
    infinite = int(np.isinf(part).sum())
    if infinite:
        raise ValueError(
            f"every z-score should be finite or missing; {infinite:,} in a block of {part.size:,} are infinite. "
            "Correct them before building."
        )


def _new(path: Path, shape: tuple[int, int]) -> np.ndarray:
    array: np.ndarray = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    return array
