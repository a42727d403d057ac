"""A reference that is searched: by perturbagen, by profiles, or by lists of raised and lowered genes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.aligned import Aligned, require_scores
from galenic.data.checks import first, require_unique
from galenic.data.limits import load_array, load_arrays
from galenic.models.base import load
from galenic.models.profiles.profile_model import ProfileModel, unit
from galenic.models.reference import gene_sets
from galenic.models.reference.answers import (
    N_MAPPED,
    N_OTHERS,
    Answer,
    enriched,
    hit_table,
    joined,
    named,
    neighbour_map,
)
from galenic.models.reference.building import embed, groups_of
from galenic.models.reference.chance import Chance
from galenic.models.reference.folder import read_record
from galenic.models.reference.perturbagens import profile_table
from galenic.models.reference.ranking import Asked, Combine, Level, Rankings, Where, ordered, said_of
from galenic.models.reference.trust import require_signal, standing
from galenic.models.saved import explained, parts_explained
from galenic.search.applicability import Applicability, signature_strength
from galenic.search.index import SimilarityIndex
from galenic.search.names import nearest_names
from galenic.search.percentiles import summarise_over_cells


class Reference:
    """Perturbagens and their profiles, embedded by a model; made by :func:`open_reference`.

    Parameters
    ----------
    folder
        Where ``galenic search build`` wrote it.
    about
        What ``reference.json`` says.
    memory_map
        Leave vectors on disk until they are read.

    Attributes
    ----------
    about : dict
        What ``reference.json`` says.
    perturbagens, profiles : SimilarityIndex
        One row a perturbagen, and one a profile.
    genes : DataFrame
        Index = ids of the genes that a query needs, ``symbol`` where known.
    model : ProfileModel
        The model that embeds queries.

    Notes
    -----
    Similarity of profiles is that of the model: the cosine of vectors, minus its offsets where it corrects for hubs.
    Vectors of perturbagens are means, which no hub crowds: they are compared by plain cosine. Everything is compared;
    ties are ordered by id. A search for reversers embeds negated z-scores: a network need not map the opposite of a
    profile to the opposite of its vector.

    Examples
    --------
    >>> import tempfile
    >>> from galenic.data.simulate import profiles
    >>> from galenic.models.profiles.similarities import RawCosine
    >>> from galenic.models.reference.building import build
    >>> adata = profiles(stress=0.2, seed=1)
    >>> reference = open_reference(build(RawCosine().fit(adata), adata, tempfile.mkdtemp()))
    >>> answer = reference.by_name("compound 7", k=2)
    >>> answer.hits[["rank", "pert_name", "moa"]].values.tolist()
    [[1, 'compound 27', 'steroid'], [2, 'compound 37', 'steroid']]
    """

    def __init__(self, folder: Path, about: dict[str, Any], *, memory_map: bool = True) -> None:
        self.folder, self.about, self._folder = folder, about, folder
        self.model: ProfileModel = load(folder / "model")
        self.profiles = SimilarityIndex.load(folder / "profiles", memory_map=memory_map)
        self.perturbagens = SimilarityIndex.load(folder / "perturbagens")
        self.reversed = load_array(folder / "reversed.npy")
        self.usual = Applicability.from_state(load_arrays(folder / "usual.npz"))
        self.chance = Chance(load_arrays(folder / "chance.npz") if about.get("chance") else {})
        spec = self.model.spec_
        self.genes = pd.DataFrame({"symbol": spec["symbols"]} if spec["symbols"] else {}, index=pd.Index(spec["genes"]))
        ids = pd.Index(self.profiles.table["pert_id"].astype(str))
        self._codes = self.perturbagens.table.index.get_indexer(ids)
        self._rankings = Rankings(self.model, self.perturbagens, self.profiles, self._codes, about["how"])

    def __len__(self) -> int:
        """Number of perturbagens."""
        return len(self.perturbagens)

    @property
    def coverage(self) -> pd.DataFrame:
        """What building kept and left out: ``step, kept, dropped, why, examples``."""
        return pd.read_csv(self.folder / "coverage.csv", keep_default_na=False, float_precision="round_trip")

    @explained
    def by_name(
        self,
        name: str,
        *,
        reverse: bool = False,
        level: Level = "perturbagen",
        combine: Combine = "mean",
        where: Where = None,
        k: int = 50,
        itself: bool = False,
    ) -> Answer:
        """What acts like a perturbagen of the reference.

        Parameters
        ----------
        name
            Its id or name; case does not matter. Several ids with one name are searched for together.
        reverse
            Search for what acts in the opposite way.
        level
            Find perturbagens, or single profiles.
        combine
            Similarity to a perturbagen: ``"mean"``, to the vector that its profiles were merged into; ``"max"`` or
            ``"q67"``, the highest or the 67th percentile of those to its profiles, whatever the cell line.
        where
            Only profiles of these values: ``{"cell": ["A375", "PC3"], "dose": (1, 10)}``; a pair in round brackets is a
            range. Perturbagens are then merged from those profiles alone; the query keeps all its profiles.
        k
            Number of hits.
        itself
            Whether the perturbagen may be among its own hits.

        Raises
        ------
        ValueError
            If nothing is called so (with the nearest names), or a filter names what is not there.
        """
        asked = Asked(level, combine, where, k)
        rows = self._named(name)
        known = self.perturbagens.table.iloc[rows]
        vectors = (self.reversed if reverse else self.perturbagens.vectors)[rows]
        title = _said(known, "pert_name") or str(known.index[0])
        smiles = _said(known, "smiles")
        strength = float(self.profiles.table["strength"].to_numpy()[np.isin(self._codes, rows)].mean())
        about = {
            "query": title,
            "kind": "perturbagen",
            "moa": _said(known, "moa"),
            "target": _said(known, "target"),
            "pert_id": "|".join(known.index),
            **standing(self.perturbagens.table, strength, rows, self.usual),
        }
        vector = unit(vectors.mean(axis=0, keepdims=True))
        out = np.zeros(0, dtype=np.intp) if itself else rows
        return self._answer(title, vector, about | {"reverse": reverse}, smiles, out, asked)

    @explained
    def by_profiles(
        self,
        adata: AnnData,
        *,
        reverse: bool = False,
        level: Level = "perturbagen",
        combine: Combine = "mean",
        where: Where = None,
        k: int = 50,
        device: str = "cpu",
    ) -> Answer:
        """What acts like measured profiles, each of which is a query of its own.

        Parameters
        ----------
        adata
            Queries x genes, z-scores; the genes of the reference in any order. ``obs["pert_id"]`` and
            ``obs["smiles"]`` are read for structures, where they are there.
        reverse, level, combine, where, k
            As in :meth:`by_name`.
        device
            Where networks compute.

        Raises
        ------
        ValueError
            If fewer than 80 % of the genes are there, a profile has no changed gene or infinite values, values are no
            z-scores, or ids repeat.
        """
        asked = Asked(level, combine, where, k)
        require_unique(adata.obs_names, "ids of query profiles")
        source = Aligned(adata, self.model.spec_["genes"], self.model.spec_["symbols"], "query profiles")
        values = source[np.arange(adata.n_obs)]
        require_signal(values, adata.obs_names)
        require_scores(values, "query profiles")
        values = -values if reverse else values
        vectors = embed(self.model, values, adata.obs, device)
        judged = self._judged(values, adata.obs, vectors)
        known = profile_table(adata.obs)
        answers = []
        for row, name in enumerate(adata.obs_names.astype(str)):
            pert_id, smiles = self._structure(known.iloc[row].to_dict())
            about = {"query": name, "kind": "profile", "pert_id": pert_id, "reverse": reverse}
            about |= {"genes_known": int((source.places >= 0).sum()), "genes": len(source.places)}
            about |= judged.iloc[row].to_dict()
            nobody = np.zeros(0, dtype=np.intp)
            vector = vectors[row : row + 1]
            answers.append(self._answer(name, vector, about, smiles, nobody, asked))
        return joined(answers)

    @explained
    def by_gene_sets(
        self,
        up: Iterable[str],
        down: Iterable[str] = (),
        *,
        name: str = "gene lists",
        reverse: bool = False,
        level: Level = "perturbagen",
        where: Where = None,
        k: int = 50,
    ) -> Answer:
        """What raises and lowers the genes of two lists: connectivity as in the Connectivity Map.

        Parameters
        ----------
        up, down
            Raised and lowered genes, Entrez ids or symbols; one of the two may be empty.
        name
            What the query is called.
        reverse
            Search for what does the opposite.
        level, where, k
            As in :meth:`by_name`.

        Returns
        -------
        Answer
            ``similarity`` is the normalised connectivity (NCS); of a perturbagen the 67th or 33rd percentile over its
            profiles, whichever is larger in size, and so is ``tau``: the share of reference queries, in percent, whose
            connectivity is smaller in size, with the sign.

        Raises
        ------
        ValueError
            If the reference was built without ranked profiles, or too few of the genes are known.
        """
        asked = Asked(level, "mean", where, k)
        if not self.about["gene_sets"]:
            raise ValueError(
                f"lists of genes need ranked profiles; {self.folder} was built without. Build it again with "
                "--gene-sets (gene_sets=True)."
            )
        raised, lowered, counts = gene_sets.find_genes(self.genes, up, down)
        if reverse:
            raised, lowered = lowered, raised
        types = self.perturbagens.table.get("pert_type")
        groups = groups_of(self.profiles.table, None if types is None else types.to_numpy()[self._codes])
        scores = gene_sets.scores(self.folder / "ranked", raised, lowered, groups)
        chosen = self._rankings.fitting(where)
        chosen &= scores["ncs"].notna().to_numpy()
        scores = scores[chosen].rename(columns={"ncs": "similarity"})
        ranking = {"profile": self._rankings.by_profile(np.flatnonzero(chosen), scores)}
        codes = self._codes[chosen]
        both = {name: summarise_over_cells(scores[[name]].to_numpy().T, codes).iloc[0] for name in scores}
        ids = self.perturbagens.table.index[both["similarity"].index.to_numpy(dtype=np.intp)]
        values = {name: found.to_numpy() for name, found in both.items()}
        ranking["perturbagen"] = ordered(pd.DataFrame({"pert_id": ids, "id": ids, **values}))
        about = {"query": name, "kind": "gene lists", "reverse": reverse, **counts, "flag": "", "reason": ""}
        return self._tables(name, None, about, None, ranking[level], ranking["perturbagen"], chosen, asked)

    def _named(self, name: str) -> np.ndarray:
        """Rows of the perturbagens with an id or, if no id is so, a name."""
        table, asked = self.perturbagens.table, str(name).strip().casefold()
        ids = table.index.astype(str)
        names = table["pert_name"].dropna().astype(str) if "pert_name" in table else pd.Series(dtype=str)
        rows = np.flatnonzero(ids.str.casefold() == asked)
        if not len(rows):
            rows = table.index.get_indexer(names.index[names.str.casefold() == asked])
        if not len(rows):
            near = nearest_names(name, [*names, *ids])
            hint = f"Did you mean {first(near)}?" if near else f"The first are {first([*names, *ids])}."
            raise ValueError(
                f"the query should be one of the {len(table):,} perturbagens of the reference, by id or name; {name!r} "
                f"is none. {hint}"
            )
        return rows

    def _judged(self, values: np.ndarray, obs: pd.DataFrame, vectors: np.ndarray) -> pd.DataFrame:
        """What the model, or else the reference, says of how far and how weak queries are."""
        if hasattr(self.model, "judge"):
            part = AnnData(values, obs=obs[[]], var=self.genes[[]])
            judged: pd.DataFrame = self.model.judge(part, vectors)
            return judged
        return self.usual.judge(vectors, signature_strength(values)).drop(columns=["nearest", "activity"])

    def _structure(self, known: dict[Any, Any]) -> tuple[str, str | None]:
        """Id and structure of a query profile, where it says them or the reference knows them."""
        pert_id, smiles = known.get("pert_id"), known.get("smiles")
        pert_id = pert_id if isinstance(pert_id, str) else ""
        table = self.perturbagens.table
        if not isinstance(smiles, str) and "smiles" in table and pert_id in table.index:
            smiles = table.loc[pert_id, "smiles"]
        return pert_id, smiles if isinstance(smiles, str) else None

    def _answer(
        self,
        name: str,
        vector: np.ndarray,
        about: dict[str, Any],
        smiles: str | None,
        left_out: np.ndarray,
        asked: Asked,
    ) -> Answer:
        chosen = self._rankings.fitting(asked.where) & ~np.isin(self._codes, left_out)
        if not chosen.any():
            raise ValueError(
                f"a search needs profiles besides those of {name!r} itself; {dict(asked.where or {})} leaves none. "
                "Widen the filter, or let the perturbagen be among its own hits."
            )
        perturbagens = self._rankings.by_perturbagen(vector, chosen, asked)
        ranking = perturbagens
        if asked.level == "profile":
            rows = np.flatnonzero(chosen)
            ranking = self._rankings.by_profile(rows, self._rankings.scores(self.profiles, vector, rows))
        if asked.combine == "mean":
            kind, reverse = str(about["kind"]), bool(about["reverse"])
            above = self.chance.above(ranking["similarity"].to_numpy(), kind, asked.level, reverse=reverse)
            ranking = ranking if above is None else ranking.assign(above=above)
        # Vehicles were compared with the means of all profiles, as a profile that is searched for.
        alike = about["kind"] == "profile" and asked.combine == "mean" and not (asked.where or about["reverse"])
        best = float(perturbagens["similarity"].iloc[0]) if alike else float("nan")
        about = self.chance.judged(about, best) | {"combine": asked.combine}
        return self._tables(name, vector, about, smiles, ranking, perturbagens, chosen, asked)

    def _tables(
        self,
        name: str,
        vector: np.ndarray | None,
        about: dict[str, Any],
        smiles: str | None,
        ranking: pd.DataFrame,
        perturbagens: pd.DataFrame,
        chosen: np.ndarray,
        asked: Asked,
    ) -> Answer:
        known = self._rankings.compared(chosen, pd.Index(ranking["pert_id"].head(asked.k).unique()))
        hits = hit_table(name, ranking, known, asked.k, smiles)
        about = about | {"smiles": smiles, "level": asked.level, "searched": len(ranking)}
        queries = pd.DataFrame([about | {"where": said_of(asked.where), "profiles_compared": int(chosen.sum())}])
        found = enriched(name, perturbagens, self.perturbagens.table, asked.k)
        return Answer(hits, queries, found, self._mapped(name, vector, hits.head(N_MAPPED), about, asked.level))

    def _mapped(
        self, name: str, vector: np.ndarray | None, hits: pd.DataFrame, about: dict[str, Any], level: Level
    ) -> pd.DataFrame:
        """The map: vectors of the hits, and of a sample of perturbagens that are neither hits nor the query."""
        index = self.profiles if level == "profile" else self.perturbagens
        table = self.perturbagens.table
        taken = {*hits["pert_id"], *str(about.get("pert_id", "")).split("|")}
        rest = np.flatnonzero(~table.index.isin(taken))
        if len(rest) > N_OTHERS:
            rest = np.sort(np.random.default_rng(0).choice(rest, N_OTHERS, replace=False))
        others = named(table.iloc[rest])
        vectors = np.concatenate([index.vectors_of(hits["id"].tolist()), self.perturbagens.vectors[rest]])
        return neighbour_map(name, None if vector is None else unit(vector)[0], hits, vectors, others)


def _said(known: pd.DataFrame, column: str) -> str | None:
    """The first that is known in a column of text."""
    return next(iter(known[column].dropna()), None) if column in known else None


def open_reference(folder: str | Path, *, memory_map: bool = True) -> Reference:
    """Open a folder that :func:`galenic.models.reference.build` wrote.

    Parameters
    ----------
    folder
        The folder.
    memory_map
        Leave the vectors of profiles on disk.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If it is no reference, of a later format, or damaged.
    """
    folder = Path(folder)
    about = read_record(folder)
    try:
        with parts_explained("reference", folder, "Build it anew"):
            return Reference(folder, about, memory_map=memory_map)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"a reference should be whole; {folder} cannot be read ({error}). Copy the folder again, or build anew."
        ) from error
