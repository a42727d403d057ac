"""Counts of RNA-seq and TempO-Seq as z-scores of landmark genes, so that they can stand beside L1000 profiles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from scipy.stats import rankdata

from galenic.data.checks import first, require_columns, require_unique
from galenic.data.expression import dense
from galenic.data.gctx.metadata import GENE_ID, LANDMARK, SYMBOL, TRUE, as_names, as_text
from galenic.data.genes import clean_names, kind_of_names
from galenic.data.response import COVERAGE_COLUMNS
from galenic.data.scores import clipped, groups_of, robust_scores, with_steps

ENSEMBL = ("ensembl_id", "ensembl", "ensembl_gene_id")
LARGEST_LOG = 30.0
"""No count in a sequenced sample is all below this unless it was logged: 2 to the 30 is a billion."""
FLOOR = 0.1
Landmarks: TypeAlias = pd.DataFrame | Iterable[object]


def counts_to_z(
    counts: AnnData,
    *,
    controls: str | Sequence[bool] | np.ndarray | pd.Series,
    landmarks: Landmarks,
    symbols: Mapping[str, str] | None = None,
    by: str | Sequence[str] | None = None,
    minimum_coverage: float = 0.8,
    reference: AnnData | None = None,
    clip: float | None = 10.0,
) -> tuple[AnnData, pd.DataFrame]:
    """Counts to ``log2(CPM + 1)`` to robust z-scores per gene against matched controls, for the landmark genes.

    Levels of two technologies cannot be compared; how far a gene moves from its own controls can.

    Parameters
    ----------
    counts
        Samples x genes, ``X`` counts (or estimated counts, or TPM), not logged, not scaled; dense or sparse.
        ``var_names``: symbols, Ensembl ids (versions are ignored) or Entrez ids. It is not changed.
    controls
        Which samples are controls: a mask, or a column of ``obs`` that is true for them.
    landmarks
        The landmark genes, in the order that the result should have: a table with ``gene_id`` (and ``gene_symbol``,
        ``ensembl_id``, by which the counts are matched; of a table that marks landmarks only these are taken), or
        Entrez ids.
    symbols
        Other names of genes, such as old symbols, to the Entrez ids or symbols of ``landmarks``.
    by
        Columns of ``obs`` that tell batches apart; each sample is compared with the controls of its own batch. None:
        one batch.
    minimum_coverage
        Share of the landmarks that must be measured.
    reference
        L1000 profiles (z-scores). The scores are then mapped by rank to their distribution, so that thresholds mean the
        same in both. All scores of the table are mapped together: a handful of samples has no distribution for each
        gene, and within each sample alone weak and strong samples would come out alike.
    clip
        Largest distance from 0 of a score; None: none.

    Returns
    -------
    profiles : AnnData
        Samples x landmarks, z-scores, float32. Landmarks that the counts lack are 0, and ``var["measured"]`` is False.
    coverage : DataFrame
        Columns ``step, kept, dropped, why, examples``.

    Raises
    ------
    ValueError
        If values are negative, missing or logged, a sample is empty, a batch has fewer than three controls, or too few
        landmarks are measured.

    Examples
    --------
    >>> X = np.array([[10, 990], [12, 988], [11, 989], [40, 960]], dtype="float32")
    >>> counts = AnnData(X, var=pd.DataFrame(index=["TP53", "ACTB"]))
    >>> table = pd.DataFrame({"gene_id": ["7157", "60"], "gene_symbol": ["TP53", "ACTB"]})
    >>> z, _ = counts_to_z(counts, controls=[True, True, True, False], landmarks=table)
    >>> z.var_names.tolist(), z.X[3].astype(float).round(1).tolist()
    (['7157', '60'], [10.0, -0.3])
    """
    _require_counts(counts)
    reference_rows = _controls(counts.obs, controls)
    genes, names = _landmark_table(landmarks)
    matched, coverage = _match(counts.var_names, genes, names, symbols)
    measured = np.asarray(matched.sum(axis=0)).ravel() > 0
    _require_coverage(measured, genes.index, counts.var_names, minimum_coverage)
    values = _log_counts_per_million(counts, matched)
    Z = np.zeros(values.shape, dtype=np.float32)
    for rows in groups_of(counts.obs, by, reference_rows, "controls"):
        Z[rows] = robust_scores(values[rows], values[rows][reference_rows[rows]], FLOOR)
    Z[:, ~measured] = 0.0
    steps = [f"log2(CPM + 1) of counts, robust z against {int(reference_rows.sum()):,} controls"]
    if reference is not None:
        Z[:, measured] = _mapped(Z[:, measured], reference)
        steps.append(f"mapped by rank to the scores of {reference.n_obs:,} profiles")
    result = AnnData(X=Z, obs=counts.obs.copy(), var=genes.assign(landmark=True, measured=measured))
    return with_steps(result, counts, [*steps, *clipped(Z, clip)]), coverage


def _require_counts(counts: AnnData) -> None:
    if counts.X is None or 0 in counts.shape:
        raise ValueError(f"counts should be samples x genes in X; there are {counts.shape}. Read them first.")
    values = counts.X.data if sparse.issparse(counts.X) else np.asarray(counts.X)
    missing, negative = int(np.isnan(values).sum()), int((values < 0).sum())
    if missing or negative or np.isinf(values).any():
        raise ValueError(
            f"counts should be 0 or more; of {values.size:,} values {negative:,} are negative, {missing:,} missing; "
            f"the lowest is {np.nanmin(values):,.4g}. They were logged, scaled or damaged: give the counts themselves."
        )
    highest = float(values.max(initial=0))
    broken = int((values != np.round(values)).sum())
    if highest <= LARGEST_LOG and broken:
        raise ValueError(
            f"counts should not be logged; the highest of {values.size:,} values is {highest:,.4g} and {broken:,} are "
            "not whole numbers, as after a logarithm. Give the counts themselves, or TPM without logarithm."
        )


def _controls(obs: pd.DataFrame, controls: str | Sequence[bool] | np.ndarray | pd.Series) -> np.ndarray:
    if isinstance(controls, str):
        require_columns(obs, [controls], "the table of samples")
        controls = obs[controls]
    mask = np.asarray(controls)
    if mask.shape != (len(obs),) or not np.isin(mask, (0, 1)).all():
        raise ValueError(
            f"controls should be true or false for each of the {len(obs):,} samples; received {mask.size:,} values of "
            f"type {mask.dtype} (first: {first(mask.ravel()[:3])}). Give a mask, or a column of true and false."
        )
    return mask.astype(bool)


def _landmark_table(landmarks: Landmarks) -> tuple[pd.DataFrame, dict[str, str]]:
    """The genes of the result, and every name that the table has for one, with its Entrez id."""
    if not isinstance(landmarks, pd.DataFrame):
        ids = as_text(list(landmarks))
        require_unique(pd.Index(ids), "landmark ids")
        return pd.DataFrame(index=pd.Index(ids)), {name: name for name in ids}
    marks = [name for name in LANDMARK if name in landmarks]
    if marks:
        landmarks = landmarks[[text.lower() in TRUE for text in as_text(landmarks[marks[0]])]]
    keys = [name for name in GENE_ID if name in landmarks]
    ids = as_text(landmarks[keys[0]] if keys else landmarks.index)
    index = pd.Index(ids)
    require_unique(index, "landmark ids")
    genes = pd.DataFrame(index=index)
    names: dict[str, str] = {}
    for column in [name for group in (ENSEMBL, SYMBOL) for name in group if name in landmarks]:
        names |= {name: gene for name, gene in zip(clean_names(landmarks[column]), ids, strict=True) if name}
        if column in SYMBOL:
            genes["symbol"] = as_names(landmarks[column])
    return genes, {**names, **{name: name for name in ids}}


def _match(
    given: pd.Index, genes: pd.DataFrame, names: Mapping[str, str], symbols: Mapping[str, str] | None
) -> tuple[sparse.csr_matrix, pd.DataFrame]:
    """Which gene of the counts is which landmark, ``(n_genes, n_landmarks)`` of 0 and 1, and a report."""
    others = {} if symbols is None else {str(key): str(value) for key, value in symbols.items()}
    clean = clean_names(given)
    found = [names.get(name) or names.get(others.get(name, ""), "") for name in clean]
    places = genes.index.get_indexer(pd.Index(found))
    known = np.flatnonzero(places >= 0)
    matched = sparse.csr_matrix(
        (np.ones(len(known)), (known, places[known])), shape=(len(given), len(genes)), dtype=np.float64
    )
    times = np.bincount(places[known], minlength=len(genes))
    kind = kind_of_names(clean[:2000])
    rows = [
        _row("landmark genes", times > 0, "not among the genes of the counts; set to 0", genes.index),
        _row("genes of the counts", places >= 0, f"no landmarks; names are of the kind {kind}", given),
    ]
    if (times > 1).any():
        why = "several genes of the counts are one landmark; their counts are added"
        rows.append(("repeated genes", int((times > 1).sum()), 0, why, first(genes.index[times > 1])))
    return matched, pd.DataFrame(rows, columns=list(COVERAGE_COLUMNS))


def _row(step: str, kept: np.ndarray, why: str, names: pd.Index) -> tuple[str, int, int, str, str]:
    return (step, int(kept.sum()), int((~kept).sum()), why, first(names[~kept]))


def _require_coverage(measured: np.ndarray, landmarks: pd.Index, given: pd.Index, minimum: float) -> None:
    if measured.mean() < minimum:
        raise ValueError(
            f"{minimum:.0%} of the {len(landmarks):,} landmark genes should be measured; {int(measured.sum()):,} "
            f"({measured.mean():.0%}) are (missing first: {first(landmarks[~measured])}; the counts have "
            f"{first(given)}, of the kind {kind_of_names(given[:2000])}). Give landmarks= with the columns gene_symbol "
            "and ensembl_id, symbols= for old names, or a lower minimum_coverage=."
        )


def _log_counts_per_million(counts: AnnData, matched: sparse.csr_matrix) -> np.ndarray:
    totals = np.asarray(counts.X.sum(axis=1), dtype=np.float64).ravel()
    if (totals == 0).any():
        raise ValueError(
            f"every sample should have counts; {int((totals == 0).sum()):,} of {len(totals):,} have none (first: "
            f"{first(counts.obs_names[totals == 0])}). Leave them out."
        )
    X = counts.X.astype(np.float64) if sparse.issparse(counts.X) else np.asarray(counts.X, dtype=np.float64)
    return np.log2(dense(X @ matched) * (1e6 / totals)[:, None] + 1.0)


def _mapped(Z: np.ndarray, reference: AnnData) -> np.ndarray:
    """Each score replaced by the score of the same rank in the reference."""
    values = dense(reference.X).ravel()
    values = np.sort(values[np.isfinite(values)])
    if len(values) == 0:
        raise ValueError("the reference should hold scores; it holds none. Give z-scores of L1000 profiles.")
    ranks = (rankdata(Z.ravel()) - 0.5) / Z.size
    return np.interp(ranks, (np.arange(len(values)) + 0.5) / len(values), values).reshape(Z.shape)
