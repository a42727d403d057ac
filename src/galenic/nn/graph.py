"""Networks over the atoms of drugs: padded molecules, attention strictly inside each, in plain torch."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

N_BUCKETS = 8
"""Groups of drugs of like size that are encoded one after the other."""


class GraphAttention(nn.Module):
    """One graph attention layer (GAT) on padded graphs.

    Parameters
    ----------
    n_in, n_out
        Features of a node before, and of each head after.
    n_heads
        Heads, laid side by side: ``n_heads * n_out`` features come out.

    Notes
    -----
    Equation 3 of Veličković et al. 2018: node ``i`` weighs itself and its neighbours ``j`` by a softmax of
    ``LeakyReLU(att_dst . W x_i + att_src . W x_j)``, slope 0.2. Names and shapes of the tensors are those of
    ``torch_geometric.nn.GATConv``, so its weights load as they are.

    Examples
    --------
    >>> GraphAttention(78, 8, n_heads=10)(torch.zeros(2, 5, 78), torch.eye(5, dtype=torch.bool).expand(2, 5, 5)).shape
    torch.Size([2, 5, 80])
    """

    def __init__(self, n_in: int, n_out: int, n_heads: int) -> None:
        super().__init__()
        self.lin = nn.Linear(n_in, n_heads * n_out, bias=False)
        self.att_src = nn.Parameter(torch.empty(1, n_heads, n_out))
        self.att_dst = nn.Parameter(torch.empty(1, n_heads, n_out))
        self.bias = nn.Parameter(torch.zeros(n_heads * n_out))
        for weight in (self.lin.weight, self.att_src, self.att_dst):
            nn.init.xavier_uniform_(weight)

    def forward(self, x: Tensor, adjacent: Tensor) -> Tensor:
        """Nodes ``(b, a, n_in)`` to ``(b, a, heads * n_out)``; neighbours ``(b, a, a)``, bool with a true diagonal."""
        nodes = self.lin(x).unflatten(-1, self.att_src.shape[1:]).transpose(1, 2)
        source = (nodes * self.att_src[:, :, None]).sum(dim=-1)
        target = (nodes * self.att_dst[:, :, None]).sum(dim=-1)
        scores = functional.leaky_relu(target[..., :, None] + source[..., None, :], 0.2)
        weights = scores.masked_fill(~adjacent[:, None], -torch.inf).softmax(dim=-1)
        return (weights @ nodes).transpose(1, 2).flatten(2) + self.bias


class GraphConvolution(nn.Module):
    """One graph convolution layer (GCN) on padded graphs.

    Parameters
    ----------
    n_in, n_out
        Features of a node before and after.

    Notes
    -----
    Equation 2 of Kipf and Welling 2017: ``D^-1/2 A D^-1/2 X W + bias``, with self loops in ``A`` and its degrees in
    ``D``. Names and shapes of the tensors are those of ``torch_geometric.nn.GCNConv``.

    Examples
    --------
    >>> GraphConvolution(80, 16)(torch.zeros(2, 5, 80), torch.eye(5, dtype=torch.bool).expand(2, 5, 5)).shape
    torch.Size([2, 5, 16])
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.lin = nn.Linear(n_in, n_out, bias=False)
        self.bias = nn.Parameter(torch.zeros(n_out))
        nn.init.xavier_uniform_(self.lin.weight)

    def forward(self, x: Tensor, adjacent: Tensor) -> Tensor:
        """Nodes ``(b, a, n_in)`` to ``(b, a, n_out)``; neighbours ``(b, a, a)``, bool with a true diagonal."""
        nodes = self.lin(x)
        scale = adjacent.sum(dim=-1, keepdim=True).to(nodes.dtype).rsqrt()
        return scale * (adjacent.to(nodes.dtype) @ (scale * nodes)) + self.bias


class DrugGraphEncoder(nn.Module):
    """Drugs as atom graphs to vectors: transformer, GAT, transformer, GCN, pooling over atoms, two linear layers.

    A drug has the same vector alone, in any batch, behind any padding and in any order of its atoms: no layer looks
    beyond the molecule. A drug without atoms (all of its mask false) gets a finite vector that says nothing.

    Parameters
    ----------
    n_features
        Features of an atom; 78 in :func:`galenic.data.drugs.graphs`.
    n_out
        Width of the vector of a drug. It has no activation at its end.
    n_heads, head_width
        Heads of the graph attention and features of each; all later layers are ``n_heads * head_width`` wide.
    feedforward
        Hidden width of both transformer layers.
    hidden
        Hidden width after pooling.
    dropout
        Share of values set to 0 in training, in [0, 1).

    Notes
    -----
    The order of layers is that of GraTransDRP (Chu et al. 2022) and KDRUG. Their widths come from :meth:`published`;
    the default has 51 times fewer parameters and takes 57 times fewer operations. In their code a transformer layer
    attends over all atoms of all molecules of a batch, so that a prediction depends on its batch; here it does not.

    Examples
    --------
    >>> encoder = DrugGraphEncoder().eval()
    >>> atoms, bonds, mask = torch.rand(2, 5, 78), torch.zeros(2, 5, 5, dtype=torch.bool), torch.ones(2, 5).bool()
    >>> encoder(atoms, bonds, mask).shape
    torch.Size([2, 128])
    """

    def __init__(
        self,
        n_features: int = 78,
        n_out: int = 128,
        *,
        n_heads: int = 10,
        head_width: int = 8,
        feedforward: int = 128,
        hidden: int = 256,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        width = n_heads * head_width
        self.transformer_1 = nn.TransformerEncoderLayer(n_features, 1, feedforward, dropout, batch_first=True)
        self.attention = GraphAttention(n_features, head_width, n_heads)
        self.transformer_2 = nn.TransformerEncoderLayer(width, 1, feedforward, dropout, batch_first=True)
        self.convolution = GraphConvolution(width, width)
        self.head = nn.Sequential(
            nn.Linear(2 * width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, n_out)
        )

    @classmethod
    def published(cls, n_features: int = 78, n_out: int = 128) -> Self:
        """The widths of GraTransDRP and KDRUG: about 9 million parameters."""
        return cls(n_features, n_out, n_heads=10, head_width=78, feedforward=2048, hidden=1500, dropout=0.5)

    def forward(self, atoms: Tensor, bonds: Tensor, mask: Tensor) -> Tensor:
        """Vectors ``(b, n_out)`` of a padded batch of drugs.

        Parameters
        ----------
        atoms
            Features of each atom, ``(b, a, n_features)``; finite, in padding too.
        bonds
            Which atoms are bonded, ``(b, a, a)``, bool, symmetric.
        mask
            Which rows are atoms, ``(b, a)``, bool.
        """
        # One large drug pads all others to its size, and cost grows with its square: drugs of like size go together.
        reach = (mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)).amax(dim=1)
        order = reach.argsort()
        vectors = []
        for part in order.chunk(N_BUCKETS):
            n_atoms = max(1, int(reach[part[-1]]))
            vectors.append(self._encode(atoms[part, :n_atoms], bonds[part, :n_atoms, :n_atoms], mask[part, :n_atoms]))
        return torch.cat(vectors)[order.argsort()]

    def _encode(self, atoms: Tensor, bonds: Tensor, mask: Tensor) -> Tensor:
        # A softmax over nothing may be NaN: a drug without atoms attends to its padding, which pooling leaves out.
        padding = ~mask & mask.any(dim=1, keepdim=True)
        itself = torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
        adjacent = (bonds & mask[:, None, :]) | itself
        x = self.transformer_1(atoms, src_key_padding_mask=padding)
        x = self.attention(x, adjacent).relu()
        x = self.transformer_2(x, src_key_padding_mask=padding)
        # After the ReLU no value is below 0, so zeros in the padding leave the maximum over atoms as it is.
        x = self.convolution(x, adjacent).relu() * mask[..., None]
        mean = x.sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)
        return self.head(torch.cat([x.amax(dim=1), mean], dim=1))
