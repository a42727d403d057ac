"""Perturbation in silico: how far a cell's vector moves when a gene leaves its tokens, or is put first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from torch import Tensor
from torch.nn import functional

from galenic.data.checks import first
from galenic.foundation.geneformer import Geneformer, count_rows
from galenic.foundation.geneformer_edits import Kind, edit
from galenic.foundation.geneformer_genes import ensembl_id
from galenic.foundation.geneformer_network import pooled
from galenic.foundation.ragged import batches
from galenic.train.devices import pick
from galenic.work.bar import progress_bar
from galenic.work.near import did_you_mean

Compare = Literal["genes", "cell"]
CHUNK_CELLS = 1024
"""Cells whose tokens are made at a time."""


class Perturbed(NamedTuple):
    """What perturbing genes did."""

    genes: pd.DataFrame
    """One row a gene: ``gene, ensembl_id, kind, n_cells, n_expressed, cosine, sd`` (and ``goal_shift``)."""
    cells: pd.DataFrame
    """One row a gene and cell: ``gene, cell, expressed, cosine`` (and ``goal_shift``)."""


def perturb(
    encoder: Geneformer,
    adata: AnnData,
    names: Sequence[str],
    *,
    kind: Kind = "delete",
    compare: Compare | None = None,
    goal: np.ndarray | None = None,
    genes: str | None = None,
    layer: str | None = None,
    aliases: Mapping[str, str] | None = None,
    max_tokens_in_batch: int = 16_384,
    device: str | torch.device = "auto",
    progress: bool = False,
) -> Perturbed:
    """Delete or over-express genes in cells, one at a time, and measure how far the cells move.

    Parameters
    ----------
    encoder
        A loaded model; its ``emb_layer``, ``mode`` and ``precision`` hold.
    adata
        Counts of human cells, as for :meth:`galenic.foundation.geneformer.Geneformer.embed`. Not changed.
    names
        Genes to perturb, one by one: symbols or Ensembl ids.
    kind
        ``"delete"``: the gene's token is taken out, in the cells that have it; later tokens move up, nothing else takes
        the last place. ``"overexpress"``: its token is put first, in all cells, whether they had it or not.
    compare
        ``"genes"``: cosine of the vector of each *other* gene before and after, mean over the genes of a cell.
        ``"cell"``: cosine of the cell's vector before and after. None: as published, ``"genes"`` for
        ``encoder.mode="cell"`` and ``"cell"`` for ``"cls"``.
    goal
        Vector of a state, ``(width,)``, such as the mean of sensitive cells by :meth:`Geneformer.embed`. ``goal_shift``
        is then ``cos(after, goal) - cos(before, goal)`` of the cell's vectors: above 0, the cell moves there.
    genes, layer, aliases
        As for :meth:`galenic.foundation.geneformer.Geneformer.embed`.
    max_tokens_in_batch, device, progress
        Where and how fast.

    Returns
    -------
    Perturbed
        ``genes``: mean and sd over cells, where the cosine is defined (``n_cells``); 1 means that nothing moved.
        ``cells``: each cell; NaN where nothing is left to compare.

    Raises
    ------
    ValueError
        If a gene has no token, stands twice, or an argument is not allowed.

    Notes
    -----
    The steps are those of the published ``InSilicoPerturber`` for a set of one gene. A gene beyond the longest cell is
    not among the tokens, hence not expressed. Where a gene is put into a cell that is full already, its last gene falls
    out; that gene is then taken out of the cell *before* too, so that only the new gene makes the difference. ``<cls>``
    stays first, and neither it nor ``<eos>`` is compared as a gene.

    A shift says what the network expects, not what happens in a cell. Compare with genes that stand equally high in the
    same cells before believing a rank.

    References
    ----------
    Theodoris et al., Transfer learning enables predictions in network biology, Nature 2023.

    Examples
    --------
    ::

        found = perturb(encoder, adata, ["EGFR", "MET"], kind="delete")
        found.genes.sort_values("cosine")  # the gene that moves cells most comes first
    """
    names = [names] if isinstance(names, str) else list(names)
    _check(encoder, names, kind, compare, goal)
    tokens = _tokens_of(encoder, names, aliases or {})
    matched, rows = encoder.matched(adata, genes=genes, aliases=aliases), count_rows(adata, layer)
    place = pick(device)
    target = None if goal is None else torch.as_tensor(np.asarray(goal), dtype=torch.float32, device=place)
    compare = compare or ("cell" if encoder.mode == "cls" else "genes")
    shifts = _Shifts(encoder, kind, compare, target)
    encoder.vectors.to(place)
    starts, found = range(0, adata.n_obs, CHUNK_CELLS), []
    bar = progress_bar("cells", adata.n_obs, show=progress or None)
    with bar as advance, torch.inference_mode(), _cast(encoder, place):
        for start in starts:
            ragged = encoder.tokens(rows(start, start + CHUNK_CELLS), matched)
            for cells in batches(ragged.lengths, max_tokens_in_batch):
                fields, real = ragged.padded(cells)
                table, lengths = torch.from_numpy(fields["token"]).to(place), torch.from_numpy(real.sum(1)).to(place)
                found += [(gene, start + cells[part[0]], *part[1:]) for gene, part in shifts(table, lengths, tokens)]
            advance(min(CHUNK_CELLS, adata.n_obs - start))
    ids = [ensembl_id(name, encoder.dictionaries_, aliases or {}) for name in names]
    return _tables(
        found,
        adata.obs_names,
        pd.DataFrame({"gene": names, "ensembl_id": ids, "kind": kind}),
        with_goal=goal is not None,
    )


@dataclass(frozen=True, eq=False)
class _Shifts:
    """Cosines of a batch of cells, gene after gene; the cells as they are go through the network once."""

    encoder: Geneformer
    kind: Kind
    compare: Compare
    goal: Tensor | None

    def __call__(
        self, table: Tensor, lengths: Tensor, tokens: Sequence[int]
    ) -> Iterator[tuple[int, tuple[np.ndarray, ...]]]:
        """Number of the gene; rows, whether expressed, cosine, and shift towards the goal."""
        network, layer, ends = self.encoder.network_, self.encoder.vectors.layer, self.encoder.vectors.ends
        longest = network.shape.max_position_embeddings
        as_is = network(table, lengths, layer=layer)
        for gene, token in enumerate(tokens):
            done = edit(table, lengths, token, kind=self.kind, ends=ends, longest=longest)
            if not len(done.rows):
                continue
            before, before_lengths = as_is[done.rows], lengths[done.rows] - done.full.long()
            if bool(done.full.any()):
                again = network(done.before, before_lengths[done.full], layer=layer)
                before[done.full, : again.shape[1]] = again
            after = network(done.after, done.after_lengths, layer=layer)
            cells = [
                pooled(vectors, n, mode=self.encoder.mode, ends=ends)
                for vectors, n in ((before, before_lengths), (after, done.after_lengths))
            ]
            cosine = _cosine(*cells)
            if self.compare == "genes":
                cosine = _mean_cosine(before, done.others, after, done.after_others)
            shift = _cosine(cells[1], self.goal) - _cosine(cells[0], self.goal) if self.goal is not None else cosine
            yield gene, tuple(part.cpu().numpy() for part in (done.rows, done.expressed, cosine, shift))


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    return functional.cosine_similarity(a.float(), b.float(), dim=-1)


def _mean_cosine(before: Tensor, others: Tensor, after: Tensor, after_others: Tensor) -> Tensor:
    """Mean over the genes that stand in both of the cosine of their vectors, ``(n_cells,)``; NaN where none do."""
    each = _cosine(before[others], after[after_others])
    total = torch.zeros(len(before), device=before.device).index_add_(0, others.nonzero()[:, 0], each)
    return total / others.sum(dim=1)


def _cast(encoder: Geneformer, place: torch.device) -> Any:
    return torch.autocast(place.type, torch.bfloat16) if encoder.precision == "bfloat16" else nullcontext()


def _tables(
    found: list[tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]],
    obs_names: pd.Index,
    genes: pd.DataFrame,
    *,
    with_goal: bool,
) -> Perturbed:
    parts = [
        pd.DataFrame({"number": gene, "row": rows, "expressed": has, "cosine": cosine, "goal_shift": shift})
        for gene, rows, has, cosine, shift in found
    ]
    empty = pd.DataFrame({"number": [], "row": [], "expressed": [], "cosine": [], "goal_shift": []})
    each = pd.concat(parts).sort_values(["number", "row"]) if parts else empty
    numbers = each["number"].to_numpy(dtype=np.int64)
    by_gene = each.groupby("number")
    summary = genes.assign(
        n_cells=by_gene["cosine"].count(),
        n_expressed=by_gene["expressed"].sum(),
        cosine=by_gene["cosine"].mean(),
        sd=by_gene["cosine"].std(),
        goal_shift=by_gene["goal_shift"].mean(),
    ).fillna({"n_cells": 0, "n_expressed": 0})
    cells = pd.DataFrame(
        {
            "gene": genes["gene"].to_numpy()[numbers],
            "cell": np.asarray(obs_names)[each["row"].to_numpy(dtype=np.int64)],
            "expressed": each["expressed"].to_numpy(dtype=bool),
            "cosine": each["cosine"].to_numpy(),
            "goal_shift": each["goal_shift"].to_numpy(),
        }
    )
    summary = summary.astype({"n_cells": np.int64, "n_expressed": np.int64})
    if not with_goal:
        summary, cells = summary.drop(columns="goal_shift"), cells.drop(columns="goal_shift")
    return Perturbed(summary, cells)


def _tokens_of(encoder: Geneformer, names: Sequence[str], aliases: Mapping[str, str]) -> list[int]:
    ids = [ensembl_id(name, encoder.dictionaries_, aliases) for name in names]
    tokens = [encoder.dictionaries_.tokens.get(gene, -1) for gene in ids]
    lost = [name for name, token in zip(names, tokens, strict=True) if token < 0]
    if lost or len(set(tokens)) < len(tokens):
        what = f"{len(lost):,} have none (first: {first(lost)})" if lost else f"some are the same gene ({first(names)})"
        raise ValueError(
            f"genes to perturb should each have a token of their own; of {len(names):,} named {what}. "
            "Give current symbols or Ensembl ids, or aliases for older names."
        )
    return tokens


def _check(
    encoder: Geneformer, names: Sequence[str], kind: Kind, compare: Compare | None, goal: np.ndarray | None
) -> None:
    for what, value, allowed in (("kind", kind, get_args(Kind)), ("compare", compare, (*get_args(Compare), None))):
        if value not in allowed:
            raise ValueError(
                f"{what} should be one of {first(allowed)}; received {value!r}. "
                f"{did_you_mean(value, filter(None, allowed), 'Choose one of them.')}"
            )
    if not names or any(not isinstance(name, str) for name in names):
        raise ValueError(f"names should be a list of genes; received {first(names) or 'none'}. Name one or more.")
    if goal is not None and (np.shape(goal) != (encoder.width,) or not np.isfinite(goal).all()):
        raise ValueError(
            f"goal should be one vector of {encoder.width:,} numbers; received the shape {np.shape(goal)}"
            f"{', or numbers that are not finite' if np.shape(goal) == (encoder.width,) else ''}. Give the mean of the "
            "vectors of cells in that state."
        )
