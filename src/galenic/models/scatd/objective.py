"""What a search makes small: the loss of an encoder on cells left out."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.cell_matrix import CellMatrix
from galenic.models.scatd.encoder import ScATDEncoder
from galenic.models.scatd.presets import recipe_of
from galenic.models.scatd.pretraining import Lesson, pretrained
from galenic.models.scatd.reading import full_rows, groups_of, learned_rows, matrix_of
from galenic.train import Where


@dataclass(frozen=True, eq=False)
class Objective:
    """Loss of an encoder on cells left out: a pure function of its numbers.

    Attributes
    ----------
    base
        Fields that are not searched.
    matrix
        The cells that were drawn.
    folds
        Fold of each of them.
    """

    base: ScATDEncoder
    matrix: CellMatrix
    folds: np.ndarray
    device: str = "cpu"

    def minima(self, encoder: ScATDEncoder) -> Iterator[float]:
        """The lowest validation loss of each fold, over the epochs of that fold alone."""
        recipe = recipe_of(encoder)
        recipe = replace(recipe, training=replace(recipe.training, monitor="none"))
        for fold in range(int(self.folds.max()) + 1):
            rows, away = np.flatnonzero(self.folds != fold), np.flatnonzero(self.folds == fold)
            n_genes = recipe.n_genes if encoder.use_rep is None else 0
            x = learned_rows(self.matrix, rows, n_genes=n_genes, standardise=recipe.standardise)
            lessons = Lesson({"x": x}, rows), Lesson({"x": x}, away)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # many trials have more latents than their last layer
                where = Where(device=self.device)
                _, history = pretrained(recipe, *lessons, seed=encoder.seed + fold, where=where)
            yield float(history["valid_total"].min())


def drawn(
    cells: AnnData, base: ScATDEncoder, n_folds: int, share: float, groups: str | None, seed: int, device: str = "cpu"
) -> Objective:
    """The objective on a random share of the cells, which alone are held in memory, sparse where they are."""
    recipe = recipe_of(base)
    matrix = matrix_of(cells, use_rep=base.use_rep, features=None, kind=None, normalise=recipe.normalise)
    rng, full = np.random.default_rng([seed, 3]), full_rows(matrix)
    rows = np.sort(rng.permutation(full)[: max(2 * n_folds, round(share * len(full)))])
    named = groups_of(cells, groups)
    codes = np.arange(len(rows)) if named is None else pd.factorize(named.iloc[rows].astype(str))[0]
    if codes.max() + 1 < n_folds:
        raise ValueError(
            f"{n_folds} folds need as many groups of cells at least; received {codes.max() + 1:,}. Ask for fewer "
            "folds, or leave groups out."
        )
    folds = (rng.permutation(codes.max() + 1) % n_folds)[codes]
    taken = matrix.values[rows]  # noqa: PD011
    return Objective(base, replace(matrix, values=taken, n=len(rows)), folds, device)
