"""The network of KDRUG: a drug and what is measured in a cell to a response, each distinct one encoded once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from galenic.models.kdrug.heads import MLPHead, ProductHead
from galenic.nn.encoders import ConvEncoder, DenseEncoder, Encoder
from galenic.nn.fusion import CrossAttention
from galenic.nn.graph import DrugGraphEncoder

Fusion = Literal["attention", "split", "plain"]


class Network(nn.Module):
    """Drug graph encoder, one encoder a modality, fusion, and one head or two.

    Parameters
    ----------
    widths
        Features of each modality by name. The first (expression) is the *main* one; the others are privileged.
    fusion
        ``"plain"``: one head on ``[drug, all modalities]``. ``"split"``: a head on ``[drug, main]`` and one on
        ``[drug, others]``; the prediction is their mean. ``"attention"``: split, with the tokens of the main modality
        re-weighted by those of the others. With one modality only there is one head.
    n_latent
        Width of the vector of a drug and of each modality.
    encoder
        ``"dense"``, for which the order of features means nothing, or ``"conv"``, as published.
    drug_encoder
        ``"small"`` or ``"published"`` widths of :class:`~galenic.nn.graph.DrugGraphEncoder`.
    head
        ``"product"`` or ``"mlp"``, as published; see :mod:`galenic.models.kdrug.heads`.
    n_drugs
        Drugs of fitting, each of which has a learned vector: its *identity*. Its graph speaks only for a drug without
        one. 0 = no identities, graphs alone.
    hidden, dropout, n_heads
        Width of the first hidden layer of MLP heads; share of values dropped in encoders and heads; heads of attention.
    as_published
        Sigmoid outputs, and the expression head reads the hidden layer of the other modalities (fault 1).
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        *,
        fusion: Fusion = "plain",
        n_latent: int = 128,
        encoder: Literal["dense", "conv"] = "dense",
        drug_encoder: Literal["small", "published"] = "small",
        head: Literal["product", "mlp"] = "product",
        n_drugs: int = 0,
        hidden: int = 1024,
        dropout: float = 0.5,
        n_heads: int = 8,
        as_published: bool = False,
    ) -> None:
        super().__init__()
        self.main, *self.others = widths
        self.fusion: Fusion = fusion if self.others else "plain"
        self.as_published = as_published
        # The product of two vectors needs one more number a drug: what is added for every cell.
        n_drug = n_latent + 1 if head == "product" else n_latent
        published = drug_encoder == "published"
        self.drug = DrugGraphEncoder.published(n_out=n_drug) if published else _small(n_drug)
        self.identity = nn.Embedding(n_drugs, n_drug) if n_drugs else None
        if self.identity is not None:
            nn.init.uniform_(self.identity.weight, -(n_latent**-0.5), n_latent**-0.5)
        self.cells = nn.ModuleDict({_key(name): _encoder(encoder, n, n_latent, dropout) for name, n in widths.items()})
        width = self._encoder_of(self.main).width
        self.attention = CrossAttention(width, n_heads) if self.fusion == "attention" else None
        n_others = n_latent * len(self.others)

        def new_head(n_cell: int, hidden: int = hidden) -> MLPHead | ProductHead:
            return MLPHead(n_drug, n_cell, hidden, dropout) if head == "mlp" else ProductHead(n_drug, n_cell, dropout)

        if self.fusion == "plain":
            self.head = new_head(n_latent + n_others)
        else:
            self.head, self.other_head = new_head(n_latent), new_head(n_others)

    def _encoder_of(self, name: str) -> Encoder:
        return self.cells[_key(name)]  # type: ignore[return-value]

    def encode_cells(self, cells: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Vectors of the main modality ``(n, n_latent)`` and of the others, side by side; 0 where not measured.

        ``cells`` holds, for each modality, standardised values by its name, and ``"has <name>"`` (bool) beside each
        privileged one.
        """
        tokens = {name: self._encoder_of(name).tokens(cells[name]) for name in (self.main, *self.others)}
        main = tokens[self.main]
        present = [cells[f"has {name}"].bool() for name in self.others]
        if self.attention is not None:
            others = [tokens[name] for name in self.others]
            main = self.attention(main, *others, present=torch.stack(present, dim=1))
        vector = self._encoder_of(self.main).vector(main).relu()
        blocks = [
            self._encoder_of(name).vector(tokens[name]).relu() * has[:, None]
            for name, has in zip(self.others, present, strict=True)
        ]
        return vector, torch.cat(blocks, dim=1) if blocks else vector[:, :0]

    def encode_drugs(self, drugs: Mapping[str, Tensor]) -> Tensor:
        """Vectors of drugs, ``(n, width)``: the learned one of a drug of fitting, else what its graph says.

        ``drugs`` holds ``atoms``, ``bonds``, ``mask`` and ``known`` (row of the identity, -1 = none).
        """
        if self.identity is None:
            return self.drug(drugs["atoms"], drugs["bonds"], drugs["mask"])
        known = drugs["known"]
        vectors = self.identity(known.clamp(min=0))
        new = (known < 0).nonzero()[:, 0]
        if len(new):
            graphs = self.drug(drugs["atoms"][new], drugs["bonds"][new], drugs["mask"][new])
            vectors = vectors.index_copy(0, new, graphs.to(vectors.dtype))  # half as long where precision is mixed
        return vectors

    def forward(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Answers for the pairs of a batch of :class:`~galenic.train.PairBatches`.

        Returns
        -------
        dict
            ``prediction``, ``main`` and ``others`` (one number a pair; all the same in a plain network), and
            the encoded vectors: ``main_cells``, ``other_cells`` and ``drugs``.
        """
        main, others = self.encode_cells(batch["cells"])
        drugs = self.encode_drugs(batch["drugs"])
        answers = self.pairs(main, others, drugs, batch["drug"], batch["cell"])
        return {**answers, "main_cells": main, "other_cells": others, "drugs": drugs}

    def pairs(self, main: Tensor, others: Tensor, drugs: Tensor, drug: Tensor, cell: Tensor) -> dict[str, Tensor]:
        """Answers for pairs of encoded cells and drugs, given by their places; as :meth:`forward`."""
        if self.fusion == "plain":
            first = second = self.head(drugs, torch.cat([main, others], dim=1), drug, cell)
        else:
            second = self.other_head(drugs, others, drug, cell)
            first = self.head(drugs, main, drug, cell)
            if self.as_published:
                assert isinstance(self.head, MLPHead)
                assert isinstance(self.other_head, MLPHead)
                first = self.head.last(self.other_head.trunk(drugs, others, drug, cell)).squeeze(-1)
        if self.as_published:
            first, second = first.sigmoid(), second.sigmoid()
        return {"prediction": (first + second) / 2, "main": first, "others": second}

    def grid(self, main: Tensor, others: Tensor, drugs: Tensor) -> Tensor:
        """Predictions for every encoded cell and drug, ``(n_cells, n_drugs)``."""
        n_cells, n_drugs = len(main), len(drugs)
        place = torch.arange(n_cells * n_drugs, device=main.device)
        pairs = self.pairs(main, others, drugs, place % max(n_drugs, 1), place // max(n_drugs, 1))
        return pairs["prediction"].unflatten(0, (n_cells, n_drugs))


def _small(n_out: int) -> DrugGraphEncoder:
    return DrugGraphEncoder(n_out=n_out, n_heads=4, feedforward=64, hidden=64)


def _encoder(kind: str, n_features: int, n_latent: int, dropout: float) -> Encoder:
    # A convolution needs 118 features; a handful of tissues or pathways has no order either.
    if kind == "conv" and n_features >= 118:
        return ConvEncoder(n_features, n_latent)
    return DenseEncoder(n_features, n_latent, width=128 if kind == "conv" else 64, dropout=dropout)


def _key(name: str) -> str:
    """A modality's name as the name of a layer: dots would read as nesting."""
    return "of_" + name.replace(".", "_")
