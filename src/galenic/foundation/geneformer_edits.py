"""Tokens of cells before and after one gene was deleted or put first."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from galenic.foundation.geneformer_network import gene_positions

Kind = Literal["delete", "overexpress"]


class Edited(NamedTuple):
    """Cells in which one gene was perturbed."""

    rows: Tensor
    """Which of the cells that were given."""
    expressed: Tensor
    """Whether they had the gene."""
    others: Tensor
    """Where the other genes stand before, ``(n, n_tokens)`` bool."""
    full: Tensor
    """Whether a gene fell out at the end; before and after are then without it."""
    before: Tensor
    """Tokens of those that are ``full``, without that gene."""
    after: Tensor
    """Tokens of all, ``(n, n_tokens after)``."""
    after_lengths: Tensor
    after_others: Tensor
    """Where the other genes stand after, in the same order."""


def edit(table: Tensor, lengths: Tensor, token: int, *, kind: Kind, ends: bool, longest: int) -> Edited:
    """Tokens of cells before and after one gene was deleted or put first.

    Parameters
    ----------
    table, lengths
        Tokens, ``(n_cells, n_tokens)``, padded at the end, and how many of each cell are none.
    token
        Of the gene.
    kind
        As for :func:`galenic.foundation.geneformer_perturb.perturb`.
    ends
        Whether cells begin with ``<cls>`` and end with ``<eos>``.
    longest
        Most tokens of a cell, those two among them.

    Examples
    --------
    >>> table, lengths = torch.tensor([[5, 6, 7], [7, 5, 0]]), torch.tensor([3, 2])
    >>> edit(table, lengths, 6, kind="delete", ends=False, longest=4).after.tolist()
    [[5, 7]]
    >>> edit(table, lengths, 6, kind="overexpress", ends=False, longest=4).after.tolist()
    [[6, 5, 7], [6, 7, 5]]
    """
    positions = torch.arange(table.shape[1], device=table.device)
    at = (table == token) & (positions < lengths[:, None])
    expressed = at.any(dim=1)
    rows = expressed.nonzero()[:, 0] if kind == "delete" else torch.arange(len(table), device=table.device)
    table, lengths, at, expressed = table[rows], lengths[rows], at[rows], expressed[rows]
    kept = (positions < lengths[:, None]) & ~at
    full = (kept.sum(dim=1) >= longest) & (kind == "overexpress")
    kept[full, (lengths - 1 - int(ends))[full]] = False
    first_place = int(ends) if kind == "overexpress" else None
    after, after_lengths = _closed_up(table, kept, first_place, token)
    genes_after = gene_positions(after.shape[1], after_lengths, ends=ends)
    if first_place is not None:
        genes_after[:, first_place] = False
    return Edited(
        rows=rows,
        expressed=expressed,
        others=kept & gene_positions(table.shape[1], lengths, ends=ends),
        full=full,
        before=_closed_up(table[full], kept[full], None, token)[0],
        after=after,
        after_lengths=after_lengths,
        after_others=genes_after,
    )


def _closed_up(table: Tensor, kept: Tensor, gap: int | None, token: int) -> tuple[Tensor, Tensor]:
    """The kept tokens without holes, one more at ``gap``; and their number."""
    lengths = kept.sum(dim=1) + (gap is not None)
    positions = torch.arange(max(1, int(lengths.max()) if len(lengths) else 1), device=table.device)
    there = positions < lengths[:, None]
    if gap is not None:
        there = there & (positions != gap)
    result = torch.zeros(there.shape, dtype=table.dtype, device=table.device)
    result[there] = table[kept]
    if gap is not None:
        result[:, gap] = token
    return result, lengths
