"""scFoundation: what a model of 50 million cells makes of yours."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from galenic.foundation.scfoundation_fields import ScFoundationFields, plain

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from anndata import AnnData

    from galenic.foundation.counts import CountRows, Look
    from galenic.foundation.ragged import Ragged
    from galenic.foundation.scfoundation_genes import GeneOrder


@dataclass(frozen=True, kw_only=True)
class ScFoundation(ScFoundationFields):
    """Vectors of cells by scFoundation (0.1B), from counts.

    Parameters
    ----------
    kind, depth, pool, pre_normalised, total_counts, target_sum, min_genes, precision
        As in :class:`~galenic.foundation.scfoundation_fields.ScFoundationFields`.

    Notes
    -----
    The weights and the list of 19,264 genes are published by their authors (see ``docs/methods/scfoundation.md``) and
    are not part of galenic. The weights are for non-commercial research only.

    What is different from the published script: columns of one gene are summed; logged and scaled data are told by
    their numbers and refused instead of logged twice; the depth tokens are found by their place instead of as the last
    two that are above 0; cells of unequal length are encoded together, and padding is left out of attention, maximum
    and mean; attention needs memory in proportion to the number of genes, not to its square.

    References
    ----------
    Hao et al., Large-scale foundation model on single-cell transcriptomics, Nature Methods 2024.

    Examples
    --------
    ::

        encoder = ScFoundation.load("models.ckpt", genes="OS_scRNA_gene_index.19264.tsv")
        print(encoder.coverage(adata))
        adata.obsm["X_scfoundation"] = encoder.embed(adata)
    """

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        genes: str | Path | Sequence[str],
        key: str = "cell",
        allow: Sequence[Any] = (),
        **fields: Any,
    ) -> Self:
        """Read weights; nothing in the file is executed.

        Parameters
        ----------
        path
            ``models.ckpt`` as published: ``{key: {"config": ..., "state_dict": ...}}``, or one of its parts.
        genes
            The order of the genes: ``OS_scRNA_gene_index.19264.tsv`` of the scFoundation repository, or a list. It is
            not in the weights.
        key
            Which of the models in the file: ``"cell"`` (for vectors of cells), ``"rde"`` (for read depth enhancement)
            or ``"gene"``.
        allow
            Classes that the file may use besides tensors and plain values, see
            :func:`galenic.foundation.weights.read_tensors`.
        **fields
            Settings that change the numbers.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is damaged, asks for anything executable, lacks tensors or settings, or the list of genes is not of
            the length that the model was trained with.
        """
        from galenic.foundation.scfoundation_genes import read_genes
        from galenic.foundation.scfoundation_network import build
        from galenic.foundation.weights import read_tensors

        encoder = cls(**fields)
        tensors, _ = read_tensors(path, allow=allow)
        net = build(_part(tensors, key, Path(path).name), encoder.pool, f"{Path(path).name}[{key!r}]")
        order = read_genes(genes)
        if len(order) + 2 != net.shape.n_places:
            raise ValueError(
                f"the list should have the {net.shape.n_places - 2:,} genes that {Path(path).name} was trained with; "
                f"it has {len(order):,} (first: {', '.join(order[:3])}). Use the list that is published with it."
            )
        object.__setattr__(encoder, "net_", net)
        object.__setattr__(encoder, "genes_", order)
        return encoder

    @property
    def width(self) -> int:
        """Numbers in the vector of a cell: 3,072 with ``pool="all"``, 768 with ``"max"``, of the published model."""
        return int(self._net().width)

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
        """Vectors of cells; nothing is written into ``adata``.

        Parameters
        ----------
        adata
            Cells x genes, in memory or backed: counts, or logarithms with ``pre_normalised``.
        genes
            Column of ``var`` with the symbols; None: ``var_names``.
        layer
            Layer that holds the values; None: ``X``.
        aliases
            Other names of genes (old symbols, Ensembl ids) to symbols of the list.
        chunk_cells, max_tokens_in_batch, device, n_jobs, fabric, checkpoint, out, progress
            As in :func:`galenic.foundation.running.encode_cells`.

        Returns
        -------
        ndarray, (n_cells, width), float32
            In the order of the cells. Cells with fewer than ``min_genes`` genes are rows of NaN.

        Raises
        ------
        ValueError
            If values are negative or missing, logged without ``pre_normalised`` or counts with it, or no gene is known.

        Warns
        -----
        UserWarning
            If cells have too few genes, or less than half of the model's genes are there.
        """
        from galenic.foundation.running import encode_cells

        prepared = self._prepare(adata, genes, layer, aliases)
        settings = {"encoder": "scfoundation", **plain(self), "target_sum": prepared.target_sum}
        vectors = encode_cells(
            prepared,
            self._net(),
            n_cells=adata.n_obs,
            width=self.width,
            chunk_cells=chunk_cells,
            max_tokens_in_batch=max_tokens_in_batch,
            precision=self.precision,
            device=device,
            n_jobs=n_jobs,
            fabric=fabric,
            checkpoint=checkpoint,
            settings=settings if checkpoint is None else {**settings, "weights": _digest(self._net())},
            out=out,
            progress=progress,
        )
        _warn_of_few(vectors, self.min_genes)
        return vectors

    def coverage(
        self,
        adata: AnnData,
        *,
        genes: str | None = None,
        layer: str | None = None,
        aliases: Mapping[str, str] | None = None,
    ) -> pd.DataFrame:
        """What of the data reaches the model; the whole data are read once.

        Parameters
        ----------
        adata, genes, layer, aliases
            As in :meth:`embed`.

        Returns
        -------
        DataFrame
            Columns ``step, kept, dropped, why, examples``: genes found and filled with 0, columns dropped and summed,
            cells with too few genes, what kind of numbers these are, depths and lengths.

        Raises
        ------
        ValueError
            As in :meth:`embed`.
        """
        from galenic.foundation.scfoundation_coverage import coverage

        return coverage(self._prepare(adata, genes, layer, aliases), self)

    def _prepare(
        self, adata: AnnData, genes: str | None, layer: str | None, aliases: Mapping[str, str] | None
    ) -> Prepared:
        from galenic.data.checks import first
        from galenic.foundation.counts import CountRows
        from galenic.foundation.scfoundation_coverage import median_total, require_kind, totals_of
        from galenic.foundation.scfoundation_genes import order_genes

        self._net()
        if genes is not None and genes not in adata.var:
            raise ValueError(
                f"genes should be a column of var; {genes!r} is not among {first(adata.var, 5) or 'them: none'}. "
                "Name another, or leave it out for var_names."
            )
        names = adata.var_names if genes is None else adata.var[genes]
        order = order_genes(names, self.genes_, aliases=aliases)
        counts = CountRows(adata, layer)
        look = counts.look()
        require_kind(look, counts.where, self)
        totals = totals_of(adata, self.total_counts)
        wanted = self.target_sum
        if self.kind == "bulk" and not self.pre_normalised and wanted is None:
            wanted = median_total(counts, order)
        return Prepared(self, counts, order, look, wanted, totals)

    def _net(self) -> Any:
        if not hasattr(self, "net_"):
            raise ValueError(
                "this ScFoundation should have weights; it has none yet. "
                "Call ScFoundation.load('models.ckpt', genes='OS_scRNA_gene_index.19264.tsv')."
            )
        return self.net_

    if TYPE_CHECKING:
        net_: Any
        genes_: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Prepared:
    """Data that were looked at and can be turned into tokens, chunk by chunk."""

    fields: ScFoundationFields
    counts: CountRows
    order: GeneOrder
    look: Look
    target_sum: float | None
    totals: np.ndarray | None

    def __call__(self, start: int, stop: int) -> Ragged:
        """Tokens of the cells from a row to before another."""
        from galenic.foundation.scfoundation_input import tokens

        rows = self.order(self.counts(start, stop), logged=self.fields.pre_normalised)
        totals = None if self.totals is None else self.totals[start:stop]
        return tokens(rows, self.fields, target_sum=self.target_sum, totals=totals)


def _part(tensors: Mapping[str, Any], key: str, name: str) -> Mapping[str, Any]:
    """One of the models in a file."""
    found = tensors if {"config", "state_dict"} <= tensors.keys() else tensors.get(key)
    if not isinstance(found, Mapping) or not {"config", "state_dict"} <= found.keys():
        has = ", ".join(repr(one) for one in list(tensors)[:5]) or "nothing"
        raise ValueError(
            f"{name} should hold {{{key!r}: {{'config': ..., 'state_dict': ...}}}}; it holds {has}. Take the published "
            "models.ckpt, or name another key= (--key)."
        )
    return found


def _digest(net: Any) -> str:
    found = hashlib.sha256()
    for name, tensor in net.state_dict().items():
        found.update(name.encode())
        found.update(tensor.cpu().numpy().tobytes())
    return found.hexdigest()


def _warn_of_few(vectors: np.ndarray, min_genes: int) -> None:
    import numpy as np

    n_few = int(np.isnan(vectors[:, 0]).sum())
    if n_few:
        warnings.warn(
            f"{n_few:,} of {len(vectors):,} cells have fewer than {max(1, min_genes):,} genes that the model knows; "
            "their rows are NaN. Drop these cells, or lower min_genes (--min-genes).",
            stacklevel=3,
        )
