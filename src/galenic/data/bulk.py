"""Bulk lines with labels for one drug: what a model of single cells learns from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.checks import first
from galenic.data.drug_names import find_drug, names_of
from galenic.data.read.coverage import Step, coverage_table, step
from galenic.data.read.response import TableSource
from galenic.data.response import ResponseData
from galenic.data.sample_lines import lines_of, require_some
from galenic.data.sensitivity_labels import Convention, labels_of_drug, require_both
from galenic.work.near import nearest_name

SUSPICIOUS = 3.0
"""Standard errors by which lines called sensitive may answer *less* than the others before labels are refused."""
FEWEST_COMPARED = 5
"""Lines of each class with a measured response, below which the two are not held against each other."""


def labelled_bulk(
    data: ResponseData,
    drug: str,
    *,
    labels: TableSource | None = None,
    cut: str | float = "waterfall",
    convention: Convention = "sensitive=1",
    samples: TableSource | None = None,
    platform: str | None = None,
) -> AnnData:
    """Expression of the lines that have a label for one drug.

    Parameters
    ----------
    data
        Lines with expression, and responses where they were measured.
    drug
        Its id, name or a synonym, in any spelling (:func:`galenic.data.drug_names.find_drug`). A compound that was
        screened more than once is averaged over its screens, unless an id is asked for.
    labels
        Table of labels (:func:`galenic.data.sensitivity_labels.labels_of_drug`); without it the measured response is
        cut.
    cut
        Where the response is cut (:meth:`galenic.data.response.ResponseData.label`); in each study by itself, where the
        pairs name a study.
    convention
        What 1 and 0 of ``labels`` mean.
    samples
        Table of ids of the samples in ``labels`` (:func:`galenic.data.sample_lines.lines_of`).
    platform
        Keep only samples of this platform (study).

    Returns
    -------
    AnnData
        Samples x genes. ``obs``: ``label`` (1 = sensitive, 0 = resistant), ``response`` where measured (lower = more
        sensitive), ``line``, ``platform`` where known, and what the data say of the lines. A line that was labelled on
        two platforms stands twice. ``uns["drug"]`` is its name, ``uns["coverage"]`` what was left out and why.

    Raises
    ------
    ValueError
        If the drug is unknown, nothing is measured or matches, one class is missing, or the labels contradict the
        measured response: lines called sensitive answer clearly less than the others.

    Examples
    --------
    >>> import galenic
    >>> data, _ = galenic.simulate.screen(n_cells=40, n_drugs=3, n_genes=20)
    >>> bulk = labelled_bulk(data, data.drugs.index[0])
    >>> bulk.n_vars, bool(bulk.obs.groupby("label")["response"].mean().is_monotonic_decreasing)
    (20, True)
    """
    ids, name, called = _drug(data, drug, labels is not None)
    steps: list[Step] = []
    whole = data.measured("expression")
    pairs = _averaged(data, ids, steps)
    if labels is None:
        table = _cut(data, pairs, ids, cut, drug)
    else:
        table = _labelled(data, pairs, labels_of_drug(labels, called, convention=convention), samples, steps)
    table = _of_platform(table, platform, steps)
    rows = data.cells.obs_names.get_indexer(table["line"])
    there = whole[rows]
    lost = table["line"][~there]
    steps.append(step("lines with expression", int(there.sum()), len(lost), "their expression was not measured", lost))
    table, rows = table[there], rows[there]
    what = f"labels for {name}"
    if not len(table):
        raise ValueError(
            f"some lines with {what} should have expression; 0 of {len(lost):,} do. Use the expression of these lines."
        )
    require_both(table["label"], what, "Choose another cut, drug or platform, or give labels of your own.")
    require_agreement(table["label"].to_numpy(), table["response"].to_numpy(dtype=np.float64), name)
    bulk = _samples(data.cells, rows, table.index)
    for column in ("label", "response", "line", "platform"):
        if not table[column].isna().all():
            bulk.obs[column] = table[column].to_numpy()
    bulk.obs["label"] = bulk.obs["label"].astype(np.int64)
    bulk.uns["drug"] = name
    bulk.uns["coverage"] = coverage_table(steps)
    return bulk


def require_agreement(label: np.ndarray, response: np.ndarray, drug: str) -> None:
    """Refuse labels that say the opposite of the measured response.

    Parameters
    ----------
    label
        1 and 0, ``(n,)``.
    response
        ln IC50, AUC, ...: lower = more sensitive; NaN where not measured.
    drug
        For the message.

    Raises
    ------
    ValueError
        If the mean response of sensitive lines is more than 3 standard errors *above* that of resistant ones.

    Examples
    --------
    >>> require_agreement(np.repeat([0, 1], 10), np.tile(np.arange(10.0), 2) - np.repeat([0, 9], 10), "erlotinib")
    """
    known = np.isfinite(response)
    sides = [response[known & (label == one)] for one in (1, 0)]
    if min(map(len, sides)) < FEWEST_COMPARED:
        return
    means = [float(side.mean()) for side in sides]
    error = float(np.sqrt(sum(side.var(ddof=1) / len(side) for side in sides)))
    if means[0] - means[1] > SUSPICIOUS * error:
        raise ValueError(
            f"lines labelled 1 should be the sensitive ones, whose response is lower; for {drug} theirs is "
            f"{means[0]:.3g} on average, that of lines labelled 0 {means[1]:.3g} (n = {len(sides[0]):,} and "
            f"{len(sides[1]):,}). If 1 means resistant in these labels, read them with convention='sensitive=0' "
            "(--label-convention sensitive=0); if you trust them more than this response, leave the response out."
        )


def _samples(cells: AnnData, rows: np.ndarray, names: pd.Index) -> AnnData:
    """The lines of some samples under the samples' names; a line may stand twice."""
    names = pd.Index(names.astype(str))
    values: Any = cells.X[rows]
    parts: dict[str, Any] = {
        key: found.iloc[rows].set_axis(names, axis=0) if isinstance(found, pd.DataFrame) else np.asarray(found)[rows]
        for key, found in cells.obsm.items()
    }
    obs = cells.obs.iloc[rows].set_axis(names, axis=0)
    return AnnData(values.copy(), obs=obs.copy(), var=cells.var.copy(), obsm=parts)


def _drug(data: ResponseData, drug: str, is_labelled: bool) -> tuple[pd.Index, str, list[str]]:
    """Ids of the drug, its name, and all that it is called; a table of labels may have drugs that the data lack."""
    try:
        ids = find_drug(data.drugs, drug)
    except ValueError:
        if is_labelled:
            return pd.Index([]), str(drug), [str(drug)]
        raise
    named = data.drugs.loc[ids, "name"].dropna() if "name" in data.drugs else pd.Series(dtype="object")
    name = str(named.iloc[0] if len(named) else ids[0])
    return ids, name, [name, *(one for one in [str(drug), *names_of(data.drugs, ids)] if one != name)]


def _averaged(data: ResponseData, ids: pd.Index, steps: list[Step]) -> pd.DataFrame:
    """One row a line and study: ``line, platform, response``."""
    columns = ["line", "platform", "response"]
    if "response" not in data.pairs:
        return pd.DataFrame(columns=columns)
    rows = data.pairs[data.pairs["drug"].isin(ids)]
    platform = rows["study"] if "study" in rows else pd.Series(np.nan, index=rows.index, dtype="object")
    table = pd.DataFrame({"line": rows["cell"], "platform": platform, "response": rows["response"]})
    mean = table.groupby(["line", "platform"], sort=False, dropna=False)["response"].mean().reset_index()
    if len(rows["drug"].unique()) > 1 or len(mean) < len(table):
        why = f"screens {first(ids, 6)} are of one compound; lines tested in several are averaged"
        steps.append(step("responses of the drug", len(mean), len(table) - len(mean), why))
    return mean[columns]


def _cut(data: ResponseData, pairs: pd.DataFrame, ids: pd.Index, cut: str | float, drug: str) -> pd.DataFrame:
    """Labels cut from the response, in each study by itself."""
    if pairs.empty:
        raise ValueError(
            f"the response to {drug!r} should be measured in some line, or labels be given; there are neither. Give a "
            "table of labels (--labels), or a response table that has it."
        )
    codes = pd.factorize(pairs["platform"], use_na_sentinel=False)[0]
    one = pairs.rename(columns={"line": "cell"})[["cell", "response"]].assign(drug=ids[0], replicate=codes)
    labels = np.empty(len(one), dtype=np.int64)
    for code in range(codes.max() + 1):
        of_study = codes == code
        part = replace(data, pairs=one[of_study].reset_index(drop=True)).label(cut)
        labels[of_study] = part.pairs["label"]
    names = pairs["line"] if len(set(codes)) == 1 else pairs["line"] + ":" + pairs["platform"].astype(str)
    return pairs.assign(label=labels).set_axis(pd.Index(names), axis=0)


def _labelled(
    data: ResponseData, pairs: pd.DataFrame, labels: pd.Series, samples: TableSource | None, steps: list[Step]
) -> pd.DataFrame:
    """Labels from a table, each sample with its line; the response is that of the line where it was measured."""
    lines = lines_of(labels.index, data.cells, samples)
    require_some(lines, data.cells, "labelled samples")
    known = lines["line"].notna()
    lost = lines.index[~known]
    steps.append(step("labelled samples", int(known.sum()), len(lost), "they are no line with expression", lost))
    response = pairs.groupby("line")["response"].mean()
    table = lines.assign(label=labels, response=lines["line"].map(response).astype(np.float64))
    return table[known]


def _of_platform(table: pd.DataFrame, platform: str | None, steps: list[Step]) -> pd.DataFrame:
    if platform is None:
        return table
    known = table["platform"].dropna().astype(str)
    named = table["platform"].astype("object").map(lambda one: str(one).casefold(), na_action="ignore")
    here = named == platform.casefold()
    if not here.any():
        raise ValueError(
            f"the platform should be one of those of the labels ({first(sorted(known.unique()), 8) or 'none known'}); "
            f"received {platform!r}{nearest_name(platform, known.unique())} Correct the name, or leave it out."
        )
    lost = table.index[~here]
    steps.append(step("platform", int(here.sum()), len(lost), f"not of platform {platform!r}", lost))
    return table[here.to_numpy()]
