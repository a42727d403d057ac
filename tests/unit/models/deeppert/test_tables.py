"""The tables of an ensemble say what the model says, and sample latents fairly."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from galenic import DeepPert
from galenic.data.simulate import programmes
from galenic.models.deeppert import tables
from galenic.models.deeppert.tables import latent_links, shown, top_genes
from galenic.train import Training


@pytest.fixture(scope="module")
def adata():
    return programmes(20, 60, n_programmes=3, genes_per_programme=10, n_cells=1, seed=1)


@pytest.fixture(scope="module")
def model(adata):
    training = Training(max_epochs=6, monitor="none")
    return DeepPert(sizes=(3, 4), runs=2, n_components=8, families=("ae", "pca"), training=training).fit(adata)


def test_top_genes_are_the_largest_weights_of_each_sign(model) -> None:
    weights = model.weights()
    table = top_genes(model, keep=60)
    assert len(table) == (weights != 0).to_numpy().sum()
    for dimension, own in table.groupby("dimension"):
        up, down = (own[own["direction"] == side] for side in ("up", "down"))
        positive = weights[dimension][weights[dimension] > 0].sort_values(ascending=False)
        assert up["gene"].tolist() == positive.index.tolist()
        assert (np.diff(down["weight"]) >= 0).all()
        assert (down["weight"] < 0).all()
        assert up["rank"].tolist() == list(range(1, len(up) + 1))
    expected = model.weights("absolute")
    for row in table.itertuples():
        assert row.absolute == expected.loc[row.gene, row.dimension]
    assert top_genes(model, keep=2).groupby(["dimension", "direction"]).size().max() == 2
    with pytest.raises(ValueError, match="1 or more; received 0"):
        top_genes(model, 0)


def test_missing_symbols_are_replaced_by_ids(adata) -> None:
    changed = adata.copy()
    changed.var["symbol"] = ["nan", "", *adata.var["symbol"][2:]]
    fitted = DeepPert(sizes=(3,), runs=2, n_components=5, families=("ica",), n_consensus=2, shared=0.0).fit(changed)
    table = top_genes(fitted, keep=60).drop_duplicates("gene").set_index("gene")["symbol"]
    assert table[changed.var_names[0]] == changed.var_names[0]
    assert table[changed.var_names[1]] == changed.var_names[1]
    assert table[changed.var_names[2]] == changed.var["symbol"].iloc[2]


def test_links_are_the_agreement_of_the_manifest(model, adata) -> None:
    links = latent_links(model, adata, most=1000)
    latents = model.latents_
    member = latents["family"] + "-" + latents["size"].astype(str) + "-" + latents["run"].astype(str)
    latents.index = member + "/" + latents["node"].astype(str)
    assert set(links["latent"]) <= set(latents.index)
    used = latents[latents["cluster"] >= 0]
    assert set(used.index) <= set(links["latent"])
    r = pd.DataFrame(links.filter(like="r_").to_numpy(), index=links["latent"], columns=links["latent"])
    for name, row in used.iterrows():
        others = used.index[(used["cluster"] == row["cluster"]) & (used.index != name)]
        if len(others):
            assert r.loc[name, others].mean() == pytest.approx(row["agreement"], abs=2e-3)
    assert links["cluster"].replace(-1, 99).is_monotonic_increasing


def test_links_of_some_profiles_resemble_those_of_all(model, adata, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = latent_links(model, adata)
    monkeypatch.setattr(tables, "MOST_PROFILES", adata.n_obs // 2)
    half = latent_links(model, adata)
    assert half["latent"].tolist() == whole["latent"].tolist()
    gap = np.abs(half.filter(like="r_").to_numpy() - whole.filter(like="r_").to_numpy())
    assert 0 < gap.mean() < 0.15


def test_every_dimension_gets_its_share() -> None:
    sizes = [600, 300, 90, 2, 1]
    cluster = np.repeat(np.arange(5), sizes)
    rng = np.random.default_rng(0)
    latents = pd.DataFrame({"cluster": np.r_[cluster, np.full(500, -1)]})
    latents["agreement"] = np.where(latents["cluster"] >= 0, rng.random(len(latents)), np.nan)
    latents["link"] = rng.random(len(latents))
    latents.loc[latents.index[-100:], "link"] = np.nan  # idle
    latents = latents.sample(frac=1, random_state=0).reset_index(drop=True)
    chosen = shown(latents, 200)
    assert len(np.unique(chosen)) == len(chosen) <= 203
    counts = latents.iloc[chosen]["cluster"].value_counts()
    assert counts[-1] == 40
    assert counts[0] == pytest.approx(2 * counts[1], abs=2)
    assert counts[3] == counts[4] == 1
    assert not latents.iloc[chosen]["link"].isna().any()
    first = latents.iloc[chosen][lambda t: t["cluster"] == 0]["agreement"]
    assert first.is_monotonic_decreasing
    own = latents.loc[latents["cluster"] == 0, "agreement"]
    assert (first.iloc[0], first.iloc[-1]) == (own.max(), own.min())
