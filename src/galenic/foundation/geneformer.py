"""Geneformer: counts to one vector a cell, by the published weights that the user names."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from anndata import AnnData
    from scipy import sparse

    from galenic.foundation.counts import CountRows
    from galenic.foundation.geneformer_dictionaries import Dictionaries
    from galenic.foundation.geneformer_genes import MatchedGenes
    from galenic.foundation.geneformer_network import CellVectors, GeneformerNetwork
    from galenic.foundation.ragged import Ragged

Mode = Literal["cell", "cls"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Geneformer:
    """Geneformer of any published series (V1 of 30 million cells, V2 of 104 million), read from the user's folder.

    Nothing is downloaded. Everything that differs between the series (width, layers, longest cell, ``<cls>`` and
    ``<eos>``) is decided by ``config.json`` and the dictionaries, never by names.

    Parameters
    ----------
    emb_layer
        Layer that vectors come from: 0 is the last, -1 the one before, as published (the last is made for guessing
        masked genes), -2 before that, and so on.
    mode
        cell: mean over the genes of the cell; cls: the vector of the token that begins it, of models that have one.
    precision
        float32, or bfloat16: faster where the device has it, right to about three digits.

    Attributes
    ----------
    network_ : GeneformerNetwork
        The encoder.
    dictionaries_ : Dictionaries
        Tokens, medians, symbols.
    weights_ : Path
        The file of the weights.

    Notes
    -----
    Genes of a cell are sorted by ``counts / median`` (:func:`galenic.foundation.geneformer_tokens.rank_tokens`), the
    first 2048 (V1) or 4094 (V2) go through the network, and their vectors of layer ``L + emb_layer`` are averaged.

    Differences from the published programs: symbols are accepted, versions and ``_SYMBOL`` behind Ensembl ids are cut
    off, columns of one gene are summed; ties are in the order of tokens; cells without any token are rows of NaN in
    place of being dropped; the last layers are not computed where they are not used; padding never enters a mean.

    References
    ----------
    Theodoris et al., Transfer learning enables predictions in network biology, Nature 2023. Chen et al., Quantized
    multi-task learning for context-specific representations of gene network dynamics, bioRxiv 2024 (V2).

    Examples
    --------
    ::

        encoder = Geneformer.load("gf-12L-30M-i2048", dictionaries="gene_dictionaries_30m")
        print(encoder.coverage(adata))
        adata.obsm["X_geneformer"] = encoder.embed(adata)
    """

    emb_layer: int = -1
    mode: Mode = "cell"
    precision: Precision = "float32"

    if TYPE_CHECKING:
        network_: GeneformerNetwork
        dictionaries_: Dictionaries
        weights_: Path

    def __post_init__(self) -> None:
        for name, kinds in (("mode", Mode), ("precision", Precision)):
            if getattr(self, name) not in get_args(kinds):
                raise ValueError(
                    f"Geneformer.{name} should be one of {get_args(kinds)}; received {getattr(self, name)!r}. "
                    f"Choose one, for example {get_args(kinds)[0]!r}."
                )
        if isinstance(self.emb_layer, bool) or not isinstance(self.emb_layer, int) or self.emb_layer > 0:
            raise ValueError(
                f"Geneformer.emb_layer should be 0 (the last layer), -1 (the one before), ...; received "
                f"{self.emb_layer!r}. Use -1, as published."
            )

    def __repr__(self) -> str:
        said = f"emb_layer={self.emb_layer}, mode={self.mode!r}, precision={self.precision!r}"
        if not hasattr(self, "network_"):
            return f"Geneformer({said})"
        shape = self.network_.shape
        return (
            f"Geneformer({shape.num_hidden_layers} layers of {shape.hidden_size}, up to {self.longest:,} of "
            f"{len(self.dictionaries_.genes):,} genes; {said})"
        )

    @classmethod
    def load(
        cls, folder: str | Path, *, dictionaries: str | Path | Sequence[str | Path] | None = None, **fields: Any
    ) -> Self:
        """Read a published model.

        Parameters
        ----------
        folder
            Holds ``config.json`` and ``model.safetensors`` or ``pytorch_model.bin``.
        dictionaries
            Folder or files of the dictionaries (see
            :func:`galenic.foundation.geneformer_dictionaries.read_dictionaries`); None: looked for in ``folder`` and
            where the published repository keeps them beside it.
        **fields
            ``emb_layer``, ``mode``, ``precision``.

        Raises
        ------
        FileNotFoundError
            If the folder, its configuration or its weights do not exist.
        ValueError
            If a file is damaged, asks for code, is of another model, or dictionaries and weights do not fit.
        """
        from galenic.foundation.geneformer_dictionaries import find_dictionaries, read_dictionaries
        from galenic.foundation.geneformer_network import read_network, read_shape

        folder, encoder = Path(folder), cls(**fields)
        if not folder.is_dir():
            raise FileNotFoundError(
                f"a folder with config.json and weights is expected; {folder} is none. Name the folder of the model."
            )
        shape = read_shape(folder / "config.json")
        if -encoder.emb_layer > shape.num_hidden_layers:
            raise ValueError(
                f"emb_layer should be from {-shape.num_hidden_layers} to 0, as the model has "
                f"{shape.num_hidden_layers} layers; received {encoder.emb_layer}. Use -1, as published."
            )
        needed = (shape.vocab_size, shape.pad_token_id)
        if dictionaries is None:
            known = find_dictionaries(folder, *needed)
        else:
            known = read_dictionaries(dictionaries).require_fit(*needed)
        if encoder.mode == "cls" and known.ends is None:
            raise ValueError(
                "mode='cls' needs a model whose cells begin with <cls>; the dictionary of this one has no such token. "
                "Use mode='cell'."
            )
        network, weights = read_network(folder, shape)
        for name, value in (("dictionaries_", known), ("network_", network), ("weights_", weights)):
            object.__setattr__(encoder, name, value)
        return encoder

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return self.network_.shape.hidden_size

    @property
    def longest(self) -> int:
        """Genes of a cell that are encoded at most."""
        return self.network_.shape.max_position_embeddings - (0 if self.dictionaries_.ends is None else 2)

    @cached_property
    def vectors(self) -> CellVectors:
        """The network as :func:`galenic.foundation.running.encode_cells` runs it."""
        from galenic.foundation.geneformer_network import CellVectors

        layer = self.network_.shape.num_hidden_layers + self.emb_layer
        return CellVectors(self.network_, layer=layer, mode=self.mode, ends=self.dictionaries_.ends is not None)

    def embed(
        self,
        adata: AnnData,
        *,
        genes: str | None = None,
        layer: str | None = None,
        aliases: Mapping[str, str] | None = None,
        chunk_cells: int = 256,
        max_tokens_in_batch: int = 16_384,
        device: str | torch.device = "auto",
        n_jobs: int = 1,
        fabric: Any = None,
        checkpoint: str | Path | None = None,
        out: np.ndarray | None = None,
        progress: bool = False,
    ) -> np.ndarray:
        """Vectors of cells.

        Parameters
        ----------
        adata
            Counts of human cells, all genes that were measured, in ``X`` or a layer; in memory or backed. Not changed.
        genes
            Column of ``var`` with Ensembl ids or symbols; None: ``var_names``.
        layer
            Layer that holds the counts; None: ``X``.
        aliases
            Old symbols, or names of your own, to symbols or Ensembl ids.
        chunk_cells, max_tokens_in_batch, device, n_jobs, fabric, checkpoint, out, progress
            Where and how fast, see :func:`galenic.foundation.running.encode_cells`.

        Returns
        -------
        ndarray, (n_cells, width), float32
            In the order of the cells. Assign it to ``adata.obsm["X_geneformer"]``.

        Raises
        ------
        ValueError
            If the values are no counts, no gene is known, or the genes are those of mice.

        Warns
        -----
        UserWarning
            If cells express no gene that has a token (their rows are NaN), or few names are known.
        """
        import numpy as np

        from galenic.data.checks import first
        from galenic.foundation.running import encode_cells

        matched, rows = self.matched(adata, genes=genes, aliases=aliases), count_rows(adata, layer)
        found = encode_cells(
            lambda start, stop: self.tokens(rows(start, stop), matched),
            self.vectors,
            n_cells=adata.n_obs,
            width=self.width,
            chunk_cells=chunk_cells,
            max_tokens_in_batch=max_tokens_in_batch,
            precision=self.precision,
            device=device,
            n_jobs=n_jobs,
            fabric=fabric,
            checkpoint=checkpoint,
            settings=self._settings() if checkpoint is not None else None,
            out=out,
            progress=progress,
        )
        empty = np.flatnonzero(np.isnan(found[:, 0]))
        if len(empty):
            warnings.warn(
                f"every cell should express a gene that has a token; {len(empty):,} of {adata.n_obs:,} do not (first: "
                f"{first(adata.obs_names[empty[:3]])}). Their rows are NaN: leave them out of what follows.",
                stacklevel=2,
            )
        return found

    def matched(
        self, adata: AnnData, *, genes: str | None = None, aliases: Mapping[str, str] | None = None
    ) -> MatchedGenes:
        """The token of each column of ``adata``; arguments as for :meth:`embed`."""
        from galenic.data.checks import first
        from galenic.foundation.geneformer_genes import match_genes

        self._require_loaded()
        if genes is not None and genes not in adata.var:
            raise ValueError(
                f"genes should be a column of var; {genes!r} is none of {first(adata.var.columns, 8)}. "
                "Name one, or leave it out to use var_names."
            )
        names = adata.var_names if genes is None else adata.var[genes]
        return match_genes(names, self.dictionaries_, aliases=aliases)

    def tokens(self, counts: sparse.csr_matrix, matched: MatchedGenes) -> Ragged:
        """What the network reads of each cell: the tokens of its genes, between ``<cls>`` and ``<eos>`` if it has them.

        Parameters
        ----------
        counts
            Cells x genes, the columns that ``matched`` was made of.
        matched
            Of :meth:`matched`.
        """
        from galenic.foundation.geneformer_tokens import rank_tokens
        from galenic.foundation.ragged import Ragged

        ranked = rank_tokens(*matched.counts(counts), max_tokens=self.longest)
        if self.dictionaries_.ends is not None:
            ranked = ranked.between(*self.dictionaries_.ends)
        return Ragged(ranked.indptr, {"token": ranked.tokens})

    def coverage(
        self,
        adata: AnnData,
        *,
        genes: str | None = None,
        layer: str | None = None,
        aliases: Mapping[str, str] | None = None,
    ) -> pd.DataFrame:
        """What the encoder sees of the data, and what it cannot; arguments as for :meth:`embed`.

        Returns
        -------
        DataFrame
            Columns ``step, kept, dropped, why, examples``: genes with an Ensembl id and with a token, repeated genes,
            counts, cells that have a token, and cells whose genes all fit.
        """
        from galenic.foundation.geneformer_genes import data_coverage

        matched = self.matched(adata, genes=genes, aliases=aliases)
        return data_coverage(count_rows(adata, layer), matched, longest=self.longest)

    def _require_loaded(self) -> None:
        if not hasattr(self, "network_"):
            raise ValueError(
                "this Geneformer should have weights; it has none yet. Call Geneformer.load with the folder of a model."
            )

    def _settings(self) -> dict[str, Any]:
        with self.weights_.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return {"encoder": "geneformer", "weights": digest, "emb_layer": self.emb_layer, "mode": self.mode}


def count_rows(adata: AnnData, layer: str | None) -> CountRows:
    """Rows of counts; ``ValueError`` where they are logarithms."""
    from galenic.foundation.counts import CountRows

    rows = CountRows(adata, layer)
    look = rows.look()
    if look.are_logged:
        raise ValueError(
            f"counts are expected, as they came from the sequencer; {rows.where} holds {look}. Logarithms would come "
            "out in another order: give the counts, often in layers['counts'] or raw."
        )
    return rows
