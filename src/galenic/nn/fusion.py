"""Fusion of what was measured in a cell: expression re-weighted by its other modalities."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class CrossAttention(nn.Module):
    """Each token of expression asks the tokens of all other modalities, and becomes their weighted sum.

    Parameters
    ----------
    width
        Width of every token, of expression and of the others.
    n_heads
        Heads of the attention; the width is shared out among them evenly.
    dropout
        Share of attention weights set to 0 in training, in [0, 1).

    Raises
    ------
    ValueError
        If the width cannot be shared out evenly.

    Notes
    -----
    As published in KDRUG: scores are divided by the root of the width of a head, and there is no residual, norm or
    position; expression enters through the weights alone. The layers bear the published names, so that published
    weights load as they are. New here: modalities may be missing, and a cell with none but expression keeps its
    tokens unchanged.

    Examples
    --------
    >>> attention = CrossAttention(64)
    >>> expression, mutation, methylation = torch.rand(2, 33, 64), torch.rand(2, 23, 64), torch.rand(2, 10, 64)
    >>> present = torch.tensor([[True, True], [True, False]])
    >>> attention(expression, mutation, methylation, present=present).shape
    torch.Size([2, 33, 64])
    """

    def __init__(self, width: int, n_heads: int = 8, dropout: float = 0.1) -> None:
        super().__init__()
        if n_heads < 1 or width % n_heads or not 0 <= dropout < 1:
            raise ValueError(
                "the width should be a multiple of n_heads, and dropout in [0, 1); "
                f"received {width} for {n_heads} heads and {dropout!r}. Change one of them."
            )
        self.n_heads, self.dropout = n_heads, dropout
        self.linear_q = nn.Linear(width, width)
        self.linear_k = nn.Linear(width, width)
        self.linear_v = nn.Linear(width, width)
        self.linear_out = nn.Linear(width, width)

    def forward(self, expression: Tensor, *others: Tensor, present: Tensor | None = None) -> Tensor:
        """Tokens of expression after re-weighting, ``(b, n_tokens, width)``.

        Parameters
        ----------
        expression
            Tokens that ask, ``(b, n_tokens, width)``.
        *others
            Tokens of each other modality, ``(b, its tokens, width)``; finite, where it is missing too.
        present
            Which of the others were measured in each cell, ``(b, number of others)``, bool; ``None``: all.

        Raises
        ------
        ValueError
            If ``present`` is of another shape.
        """
        if not others:
            return expression
        tokens = torch.cat(others, dim=1)
        query = self._heads(self.linear_q(expression))
        key, value = self._heads(self.linear_k(tokens)), self._heads(self.linear_v(tokens))
        allowed = None
        if present is not None:
            if present.shape != (len(expression), len(others)):
                raise ValueError(
                    f"present should have a row a cell and a column a modality, {(len(expression), len(others))}; "
                    f"received {tuple(present.shape)}. Say for each of the other modalities whether it was measured."
                )
            # A softmax over nothing may be NaN, in gradients too: such cells attend to all and are then set aside.
            usable = present | ~present.any(dim=1, keepdim=True)
            allowed = torch.cat([usable[:, i : i + 1].expand(other.shape[:2]) for i, other in enumerate(others)], dim=1)
            allowed = allowed[:, None, None, :]
        dropout = self.dropout if self.training else 0.0
        heads = functional.scaled_dot_product_attention(query, key, value, attn_mask=allowed, dropout_p=dropout)
        attended = self.linear_out(heads.transpose(1, 2).flatten(2))
        return attended if present is None else torch.where(present.any(dim=1)[:, None, None], attended, expression)

    def _heads(self, x: Tensor) -> Tensor:
        """``(b, tokens, width)`` to ``(b, heads, tokens, width / heads)``."""
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
