"""Planted perturbagens and mechanisms are found; shuffled labels give chance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import galenic
from galenic.data.simulate import profiles
from galenic.evaluate import external, retrieval
from galenic.search import aggregate

TRAINING = galenic.Training(lr=2e-3, max_epochs=20, batch_size=128, patience=0, schedule="cosine", monitor="none")


@pytest.fixture(scope="module")
def halves() -> tuple[AnnData, AnnData]:
    """100 perturbagens to learn from and 50 that stay unseen."""
    adata = profiles(n_perturbagens=150, n_genes=100, n_cells=4, seed=7)
    seen = adata.obs["pert_id"] < "SIM-00100"
    return adata[seen].copy(), adata[~seen].copy()


def scores(model: object, asked: AnnData) -> pd.Series:
    vectors = model.embed(asked)
    return retrieval(asked.obs, similarity=model.similarity(vectors, vectors)).set_index("metric")["value"]


def test_learned_embeddings_find_unseen_perturbagens_better_than_the_cosine(halves: tuple[AnnData, AnnData]) -> None:
    known, asked = halves
    floor = scores(galenic.RawCosine().fit(known), asked)
    learned = scores(galenic.ReadAcross(n_members=1, training=TRAINING).fit(known), asked)
    alone = scores(galenic.ReadAcross(n_members=1, start=0.0, training=TRAINING).fit(known), asked)
    assert learned["map"] > floor["map"] + 0.15
    assert alone["map"] > floor["map"] + 0.05
    assert learned["median_quantile"] < floor["median_quantile"]


def test_vectors_of_perturbagens_agree_with_their_mechanism(halves: tuple[AnnData, AnnData]) -> None:
    known, asked = halves
    model = galenic.ReadAcross(n_members=1, training=TRAINING).fit(known)
    vectors, table = aggregate(model.embed(asked), asked.obs["pert_id"].to_numpy())
    first = asked.obs.groupby("pert_id").first().loc[table.index]
    found = external(first, vectors, label="moa").set_index("metric")["value"]
    assert found["auroc_pooled"] > 0.6
    shuffled = first.assign(moa=np.random.default_rng(0).permutation(first["moa"]))
    assert external(shuffled, vectors, label="moa").set_index("metric")["value"]["auroc_pooled"] == pytest.approx(
        0.5, abs=0.08
    )


def test_labels_teach_more_than_whitening_does(halves: tuple[AnnData, AnnData]) -> None:
    """Shuffled labels leave whitening by the covariance of all profiles, which helps by itself."""
    known, asked = halves
    shuffled = known.copy()
    shuffled.obs["pert_id"] = np.random.default_rng(1).permutation(known.obs["pert_id"].to_numpy())
    misled = scores(galenic.ReadAcross(n_members=1, training=TRAINING).fit(shuffled), asked)
    taught = scores(galenic.ReadAcross(n_members=1, training=TRAINING).fit(known), asked)
    assert misled["map"] < taught["map"] - 0.05
