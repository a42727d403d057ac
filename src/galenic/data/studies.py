"""Several studies as one container, for training on one and testing on another."""

from __future__ import annotations

from collections.abc import Mapping

import anndata
import pandas as pd

from galenic.data.checks import first
from galenic.data.response import COVERAGE_COLUMNS, ResponseData

FEWEST_GENES = 10


def combine(studies: Mapping[str, ResponseData]) -> ResponseData:
    """Join studies: cells by id, drugs by structure, genes by name; the pairs say which study they come from.

    Parameters
    ----------
    studies
        Containers by the name of the study, at least two, in one unit.

    Returns
    -------
    ResponseData
        ``pairs["study"]`` names the study. A compound that several studies screened has the id of the first; one
        without structure is matched by id. A cell that stands in several is described by the first that has it; genes
        and features are those that every study has. ``by="study"`` of :func:`galenic.benchmark` then trains on the
        others and tests on each.

    Raises
    ------
    ValueError
        If units differ, fewer than two studies are given, or they share fewer than 10 genes.

    Examples
    --------
    >>> from galenic.data.simulate import screen
    >>> data, _ = screen(n_cells=20, n_drugs=5, n_genes=40, seed=0)
    >>> combine({"first": data, "second": data}).pairs["study"].unique().tolist()
    ['first', 'second']
    """
    if len(studies) < 2:
        raise ValueError(f"combining needs at least two studies; received {len(studies)}. Use the one as it is.")
    units = {name: data.unit for name, data in studies.items()}
    if len(set(units.values())) > 1:
        raise ValueError(f"studies should be in one unit; received {units}. Read them in the same unit.")
    drugs, ids = _drugs(studies)
    cells = _cells(studies)
    pairs = pd.concat(
        [data.pairs.assign(study=name, drug=data.pairs["drug"].map(ids[name])) for name, data in studies.items()],
        ignore_index=True,
    )
    shared = [set(ids[name].values()) for name in studies]
    step = {
        "step": "studies",
        "kept": len(pairs),
        "dropped": 0,
        "why": f"{len(set.intersection(*shared)):,} compounds are in every study",
        "examples": ", ".join(studies),
    }
    unit = next(iter(units.values()))
    return ResponseData(pairs, cells, drugs, unit, pd.DataFrame([step], columns=list(COVERAGE_COLUMNS)))


def _drugs(studies: Mapping[str, ResponseData]) -> tuple[pd.DataFrame, dict[str, dict[str, str]]]:
    """One table of drugs, and each study's ids in terms of it."""
    known: dict[str, str] = {}
    tables: list[pd.DataFrame] = []
    ids: dict[str, dict[str, str]] = {}
    for name, data in studies.items():
        structure = (
            data.drugs["structure"] if "structure" in data.drugs else pd.Series(index=data.drugs.index, dtype="object")
        )
        # Within a study two ids of one structure stay two screens; only the first of them is matched across studies.
        taken: set[str] = set()
        ids[name] = {}
        for drug, key in zip(data.drugs.index, structure, strict=True):
            match = known.get(key) if isinstance(key, str) else None
            ids[name][drug] = match if match is not None and match not in taken else drug
            taken.add(ids[name][drug])
        tables.append(data.drugs.rename(index=ids[name]))
        for drug, key in zip(data.drugs.index, structure, strict=True):
            if isinstance(key, str):
                known.setdefault(key, ids[name][drug])
    drugs = pd.concat(tables)
    return drugs[~drugs.index.duplicated()], ids


def _cells(studies: Mapping[str, ResponseData]) -> anndata.AnnData:
    """One AnnData with the genes, and the features of each modality, that every study has."""
    everyone = [data.cells for data in studies.values()]
    genes = everyone[0].var_names
    for cells in everyone[1:]:
        genes = genes.intersection(cells.var_names, sort=False)
    if len(genes) < FEWEST_GENES:
        raise ValueError(
            f"studies should share at least {FEWEST_GENES} genes; {', '.join(studies)} share {len(genes)} "
            f"(first of each: {first([cells.var_names[0] for cells in everyone])}). Use the same gene names."
        )
    new, seen = [], pd.Index([])
    for cells in everyone:
        mine = cells[~cells.obs_names.isin(seen), genes].copy()
        seen = seen.append(mine.obs_names)
        new.append(mine)
    joined = anndata.concat([part for part in new if part.n_obs], join="outer")
    modalities = set.intersection(*(set(cells.obsm) for cells in everyone))
    for name in set(joined.obsm) - modalities:
        del joined.obsm[name]
    return joined
