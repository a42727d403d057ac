"""Random forest and boosted trees on expression components and drug fingerprints."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor

from galenic.data.drugs import fingerprints
from galenic.data.response import ResponseData
from galenic.models.baselines.baseline import Baseline, Learned, locate, response_matrix
from galenic.models.baselines.forest import answer, flatten_boosting, flatten_forest
from galenic.models.baselines.inputs import feature_index, learn_inputs, read_inputs
from galenic.models.baselines.means import known_cells, mean_effects
from galenic.models.baselines.new_drugs import N_BITS, neighbour_weights
from galenic.models.fields import param

NEIGHBOURS = 10
OFFSETS: tuple[Literal["drug", "drug and cell", "none"], ...] = ("drug", "drug and cell", "none")
N_REPEATS, N_CELLS = 3, 60


@dataclass(kw_only=True, repr=False)
class Trees(Baseline):
    """What the two tree ensembles share: pair features, the offset from mean effects, permutation importance.

    Parameters
    ----------
    inputs
        Modalities to read: expression, tissue (used where known), or any key of cells.obsm; those with more than
        n_components features as principal components of the training cells.
    n_components
        Components of each modality.
    n_drug_components
        Components of the drugs' Morgan fingerprints.
    offset
        What the trees are grown on: the response less the "drug" mean, less "drug and cell" effects, or the response
        itself ("none"). A new drug takes the mean of the most similar structures. None = chosen on the validation
        pairs.
    seed
        Of the trees and the held-out cells.
    """

    inputs: tuple[str, ...] = ("expression", "tissue")
    n_components: int = param(20, low=1)
    n_drug_components: int = param(32, low=1)
    offset: Literal["drug", "drug and cell", "none"] | None = None
    seed: int = 0

    def _grow(self, X: np.ndarray, y: np.ndarray, n_jobs: int, share: float = 1.0) -> dict[str, np.ndarray]:
        """Grow ``share`` of the trees and flatten them."""
        raise NotImplementedError

    def _learn(self, data: ResponseData, y: np.ndarray, held: np.ndarray, n_jobs: int) -> Learned:
        features, arrays = learn_inputs(data.cells, self.inputs)
        for name, block in read_inputs(data.cells, features, arrays).items():
            if block.shape[1] > self.n_components and name != "tissue":
                n = min(self.n_components, *block.shape)
                arrays[f"loading.{name}"] = (
                    PCA(n, svd_solver="randomized", random_state=self.seed).fit(block).components_.T
                )
        arrays["drug_loading"] = _loading(data.drugs, self.n_drug_components)
        spec: dict[str, Any] = {"inputs": features, "cells": list(data.cells.obs_names)}
        if not held.any():
            held = np.isin(
                data.cell_rows,
                np.random.default_rng(self.seed).permutation(data.cells.n_obs)[: data.cells.n_obs // 10 + 1],
            )
        X = self._features(data, spec["inputs"], arrays)
        offset: str = self.offset or min(OFFSETS, key=lambda how: self._error(data, X, y, held, how, n_jobs))
        arrays |= _effects(data, y)
        forest = self._grow(X, y - self._base(data, arrays, spec, data.drugs, offset), n_jobs)
        return {**spec, "offset": offset}, arrays | {f"forest.{name}": array for name, array in forest.items()}

    def _error(
        self, data: ResponseData, X: np.ndarray, y: np.ndarray, held: np.ndarray, how: str, n_jobs: int
    ) -> float:
        """Squared error on the held-out pairs when the trees are grown on the others."""
        inner = data.take(~held).trim()
        spec = {"cells": list(inner.cells.obs_names)}
        arrays = _effects(inner, y[~held])
        base = self._base(data, arrays, spec, inner.drugs, how)
        forest = self._grow(X[~held], (y - base)[~held], n_jobs, share=0.25)
        return float(np.mean((y[held] - base[held] - answer(forest, X[held])) ** 2))

    def _base(
        self, data: ResponseData, arrays: dict[str, np.ndarray], spec: dict[str, Any], known: pd.DataFrame, how: str
    ) -> np.ndarray:
        """Mean effects of each pair, by drug structure where the drug is new."""
        if how == "none":
            return np.full(len(data), float(arrays["grand_mean"][0]))
        used, at = np.unique(data.drug_rows, return_inverse=True)
        drugs = data.drugs.iloc[used]
        where = locate(drugs, known)
        means = arrays["drug_mean"][where].copy()
        if (where < 0).any():
            near = neighbour_weights(drugs["smiles"][where < 0], known["smiles"], NEIGHBOURS)
            means[where < 0] = near @ arrays["drug_mean"]
        base: np.ndarray = means[at]
        if how == "drug and cell":
            base = base + known_cells(data.cells, spec["cells"], arrays["cell_effect"], 0.0)[data.cell_rows]
        return base

    def _cell_blocks(self, cells: AnnData, inputs: dict[str, list[str]], arrays: dict[str, np.ndarray]) -> np.ndarray:
        blocks = read_inputs(cells, inputs, arrays)
        return np.hstack([b @ arrays[f"loading.{n}"] if f"loading.{n}" in arrays else b for n, b in blocks.items()])

    def _features(self, data: ResponseData, inputs: dict[str, list[str]], arrays: dict[str, np.ndarray]) -> np.ndarray:
        cells = self._cell_blocks(data.cells, inputs, arrays).astype(np.float32)
        drugs = _components(data.drugs, arrays)
        return np.hstack([cells[data.cell_rows], drugs[data.drug_rows]])

    def _answer(self, data: ResponseData) -> np.ndarray:
        data = data.trim()
        spec, arrays = self.spec_, self.arrays_
        base = self._base(data, arrays, spec, self.drugs_, spec["offset"])
        return base + answer(self._forest(), self._features(data, spec["inputs"], arrays))

    def _forest(self) -> dict[str, np.ndarray]:
        return {name[7:]: array for name, array in self.arrays_.items() if name.startswith("forest.")}

    def importance(self, data: ResponseData) -> pd.DataFrame:
        """Signed permutation importance of each feature for each drug.

        Up to 60 cells of ``data`` are predicted for every drug of ``data``; one feature is shuffled over the cells
        (3 times) and the root mean squared change of the prediction is taken, with the sign of the correlation
        between the feature and the prediction. Positive: higher values go with resistance. The trees read components,
        so a feature's change passes through its loadings.

        Returns
        -------
        DataFrame, features x drugs
            Index levels ``modality`` and ``feature``. Tissues are not listed.
        """
        self._check_fitted()
        spec, arrays, forest = self.spec_, self.arrays_, self._forest()
        rng = np.random.default_rng(self.seed)
        cells = data.cells[np.sort(rng.permutation(data.cells.n_obs)[:N_CELLS])]
        blocks = read_inputs(cells, spec["inputs"], arrays)
        drugs = _components(data.drugs, arrays)
        whole = self._cell_blocks(cells, spec["inputs"], arrays)
        grid = _on_grid(forest, whole, drugs)
        centred = (grid - grid.mean(axis=0)) / (grid.std(axis=0) + 1e-12)
        rows, begin = [], 0
        for name, block in blocks.items():
            loading = arrays.get(f"loading.{name}", np.eye(block.shape[1]))
            columns = slice(begin, begin + loading.shape[1])
            begin = columns.stop
            for j in range(block.shape[1] if name != "tissue" else 0):
                change = np.zeros(grid.shape[1])
                for _ in range(N_REPEATS):
                    shuffled = whole.copy()
                    delta = block[rng.permutation(len(block)), j] - block[:, j]
                    shuffled[:, columns] += delta[:, None] * loading[j]
                    change += ((_on_grid(forest, shuffled, drugs) - grid) ** 2).mean(axis=0) / N_REPEATS
                sign = np.sign((block[:, j] - block[:, j].mean()) @ centred)
                rows.append(sign * np.sqrt(change))
        names = [name for name in blocks if name != "tissue"]
        return pd.DataFrame(rows, index=feature_index(spec["inputs"], names), columns=data.drugs.index)


def _effects(data: ResponseData, y: np.ndarray) -> dict[str, np.ndarray]:
    mean, drug, cell = mean_effects(response_matrix(data, y), shrink=1.0)
    return {"grand_mean": np.array([mean]), "drug_mean": mean + drug, "cell_effect": cell}


def _loading(drugs: pd.DataFrame, n: int) -> np.ndarray:
    """Principal directions of the known fingerprints, (n_bits, n)."""
    known = drugs["smiles"][drugs["smiles"].notna()]
    if len(known) < 2:
        return np.zeros((N_BITS, 1))
    bits = fingerprints(known, n_bits=N_BITS).astype(np.float64)
    return PCA(min(n, *bits.shape), svd_solver="full").fit(bits).components_.T


def _components(drugs: pd.DataFrame, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Fingerprint components of the drugs, (n_drugs, n); as of an empty fingerprint without structure."""
    with warnings.catch_warnings():
        # A drug without structure is told of once, where its mean is borrowed from the others.
        warnings.simplefilter("ignore")
        bits = fingerprints(drugs["smiles"], n_bits=N_BITS)
    return (bits @ arrays["drug_loading"]).astype(np.float32)


def _on_grid(forest: dict[str, np.ndarray], cells: np.ndarray, drugs: np.ndarray) -> np.ndarray:
    """Answers for every cell with every drug, (n_cells, n_drugs)."""
    n_cells, n_drugs = len(cells), len(drugs)
    X = np.hstack([np.repeat(cells.astype(np.float32), n_drugs, axis=0), np.tile(drugs, (n_cells, 1))])
    return answer(forest, X).reshape(n_cells, n_drugs)


@dataclass(kw_only=True, repr=False)
class RandomForest(Trees):
    """Random forest over all pairs (Breiman 2001, as in scikit-learn).

    Parameters
    ----------
    n_trees
        Trees.
    max_samples
        Share of the pairs that each tree sees.
    max_features
        Share of the features tried at each split.
    min_leaf
        Pairs in a leaf, at least.
    inputs
        Modalities to read: expression, tissue (used where known), or any key of cells.obsm; those with more than
        n_components features as principal components of the training cells.
    n_components
        Components of each modality.
    n_drug_components
        Components of the drugs' Morgan fingerprints.
    offset
        What the trees are grown on: the response less the "drug" mean, less "drug and cell" effects, or the response
        itself ("none"). None = chosen on the validation pairs.
    seed
        Of the trees and the held-out cells.
    """

    n_trees: int = param(40, low=1)
    max_samples: float = param(0.25, low=0.01, high=1)
    max_features: float = param(0.33, low=0.01, high=1)
    min_leaf: int = param(3, low=1)

    def _grow(self, X: np.ndarray, y: np.ndarray, n_jobs: int, share: float = 1.0) -> dict[str, np.ndarray]:
        model = RandomForestRegressor(
            max(int(share * self.n_trees), 1),
            max_samples=self.max_samples,
            max_features=self.max_features,
            min_samples_leaf=self.min_leaf,
            n_jobs=n_jobs,
            random_state=self.seed,
        )
        return flatten_forest(model.fit(X, y).estimators_)


@dataclass(kw_only=True, repr=False)
class Boosting(Trees):
    """Histogram gradient boosting over all pairs (Ke et al. 2017, as in scikit-learn).

    Parameters
    ----------
    n_trees
        Trees.
    learning_rate
        Weight of each tree.
    max_leaves
        Leaves of each tree, at most.
    min_leaf
        Pairs in a leaf, at least.
    max_features
        Share of the features tried at each split.
    l2
        Ridge penalty of the leaf values.
    inputs
        Modalities to read: expression, tissue (used where known), or any key of cells.obsm; those with more than
        n_components features as principal components of the training cells.
    n_components
        Components of each modality.
    n_drug_components
        Components of the drugs' Morgan fingerprints.
    offset
        What the trees are grown on: the response less the "drug" mean, less "drug and cell" effects, or the response
        itself ("none"). None = chosen on the validation pairs.
    seed
        Of the trees and the held-out cells.
    """

    n_trees: int = param(200, low=1)
    learning_rate: float = param(0.1, low=0.0001, high=1)
    max_leaves: int = param(63, low=2)
    min_leaf: int = param(40, low=1)
    max_features: float = param(0.3, low=0.01, high=1)
    l2: float = param(5.0, low=0)

    def _grow(self, X: np.ndarray, y: np.ndarray, n_jobs: int, share: float = 1.0) -> dict[str, np.ndarray]:
        model = HistGradientBoostingRegressor(
            max_iter=max(int(share * self.n_trees), 1),
            learning_rate=self.learning_rate,
            max_leaf_nodes=self.max_leaves,
            min_samples_leaf=self.min_leaf,
            max_features=self.max_features,
            l2_regularization=self.l2,
            early_stopping=False,
            random_state=self.seed,
        )
        return flatten_boosting(model.fit(X, y))
