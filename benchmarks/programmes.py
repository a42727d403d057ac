"""DeepPert on simulated profiles with planted programmes: beside its own parts, single members, PCA and ICA.

    python benchmarks/programmes.py --seeds 4 --out runs/programmes
    python benchmarks/programmes.py --seeds 0 --profiles ../shared/data/deeppert/toxicity/renal_HA1E_profiles.parquet

One data set a seed (960 profiles x 200 genes, 8 programmes of 20 genes), two ensembles of other seeds each. Printed:
means over data sets and 95 % intervals (t). ``recovery``: best absolute correlation of a dimension with the activity of
a programme, mean over programmes. ``auroc``: of absolute gene weights of that dimension for the programme's genes.
``again``: best absolute correlation of each dimension with one of the second ensemble, median. ``n``: dimensions.
With ``--profiles`` (columns: genes, ``dose_um``, texts) only what needs no truth is measured. With ``--out`` the table
and ``again`` as a figure with intervals (``stability.html``, which needs nothing beside it) are written there.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import stats
from sklearn.metrics import roc_auc_score

import galenic
from galenic.data.simulate import programmes
from galenic.models.deeppert.member import encoded
from galenic.plots.figures import score_dots

N = 8
SCORES = ("recovery", "auroc", "again")
BASE = galenic.DeepPert(sizes=(5, 10, 20), runs=3, n_components=50)
VARIANTS = {
    "DeepPert": BASE,
    "chosen by G-means": replace(BASE, choose="g-means"),
    "VAE alone": replace(BASE, families=("vae",)),
    "VAE alone, G-means, nothing set aside": replace(BASE, families=("vae",), choose="g-means", shared=0.0),
    "not unmixed, 8 dimensions": replace(BASE, unmix=False, shared=0.0, n_consensus=N),
    "PCA, 20 components": replace(BASE, families=("pca",), n_consensus=20, shared=0.0),
    "ICA, 20 components, one run": replace(BASE, families=("ica",), sizes=(20,), runs=1, n_consensus=20, shared=0.0),
}


def alike(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Absolute correlations of columns."""
    return np.abs(np.corrcoef(a.T, b.T)[: a.shape[1], a.shape[1] :])


def judged(adata: AnnData, variant: str, seed: int, folder: Path) -> list[dict[str, object]]:
    """Scores of a variant on one data set, and of its single members where it is the full ensemble.

    Variants that differ in the consensus alone share the members in ``folder``.
    """
    truth, planted = adata.obsm["programmes"], adata.varm["programmes"] != 0
    one, other = (
        replace(VARIANTS[variant], seed=2 * seed + k).fit(adata, checkpoint=folder / f"{VARIANTS[variant].unmix}-{k}")
        for k in range(2)
    )
    vectors, weights = one.embed(adata), one.weights("absolute")
    found = alike(truth, vectors)
    auroc = np.mean([roc_auc_score(planted[:, p], weights[found[p].argmax()]) for p in range(N)])
    again = np.median(alike(vectors, other.embed(adata)).max(axis=1))
    row = {"recovery": found.max(axis=1).mean(), "auroc": auroc, "again": again}
    rows = [{"variant": variant, **row, "n": vectors.shape[1]}]
    if variant == "DeepPert":
        rows += singles(adata, one, other)
    return rows


def singles(adata: AnnData, one: galenic.DeepPert, other: galenic.DeepPert) -> list[dict[str, object]]:
    """Members of size 20 by themselves; one of each family."""
    rows, members = [], one.spec_["members"]
    pairs = list(zip(one._encoders(), other._encoders(), strict=True))
    scores = [m._front().scores(m._deviations(np.asarray(adata.X), adata.obs)) for m in (one, other)]
    for member, (layers, twin) in zip(members, pairs, strict=True):
        if member["size"] == 20 and member["run"] == 0:
            latents = encoded(layers, scores[0])
            again = np.median(alike(latents, encoded(twin, scores[1])).max(axis=1))
            found = alike(adata.obsm["programmes"], latents).max(axis=1).mean()
            rows.append(
                {"variant": f"one {member['family']} of 20, unmixed", "recovery": found, "again": again, "n": 20}
            )
    return rows


def summed(rows: list[dict[str, object]]) -> pd.DataFrame:
    """Means over data sets, and half the width of 95 % intervals (t): ``variant, mean, half`` by score."""
    groups = pd.DataFrame(rows).groupby("variant", sort=False)
    n = groups["recovery"].count()
    half = groups.sem().mul(stats.t.ppf(0.975, n - 1), axis=0)
    return groups.mean().join(half.add_suffix(" half"))


def written(rows: list[dict[str, object]], out: Path) -> None:
    """The scores of every data set, and the figure of what comes back with other seeds."""
    out.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(out / "programmes.csv", index=False)
    table = summed(rows).reset_index().sort_values("again", ascending=False)
    half = table["again half"].fillna(0)
    dots = pd.DataFrame({"model": table["variant"], "value": table["again"], "low": table["again"] - half,
                         "high": (table["again"] + half).clip(upper=1)})  # fmt: skip
    singles = {name for name in dots["model"] if name.startswith("one ") or "components" in name}
    figure = score_dots(dots, singles, "best |r| of a dimension with one of other seeds, median", np.nan, np.nan)
    figure.update_xaxes(range=[0, 1.02])
    figure.update_layout(
        title={"text": "What comes back with other seeds: ensembles (blue), single fits (grey)", "y": 0.97},
        margin={"t": 56}, paper_bgcolor="white", plot_bgcolor="white",
    )  # fmt: skip
    figure.write_html(out / "stability.html", include_plotlyjs=True, config={"displayModeBar": False})


def measured(path: Path) -> None:
    """How well dimensions of measured profiles come back with other seeds, and how much of the dose they carry."""
    table = pd.read_parquet(path)
    place = table.columns.get_loc("dose_um") + 1  # genes are the last columns
    obs = pd.DataFrame({"dose": table["dose_um"].to_numpy()}, index=[f"profile {n}" for n in range(len(table))])
    adata = AnnData(table.iloc[:, place:].to_numpy(np.float32), obs=obs, var=pd.DataFrame(index=table.columns[place:]))
    model = replace(BASE, sizes=(5, 10, 25), n_components=60)
    one, other = model.fit(adata), replace(model, seed=1).fit(adata)
    again = alike(one.embed(adata), other.embed(adata)).max(axis=1)
    print(f"{len(again)} dimensions; again: median {np.median(again):.2f}, {again.min():.2f} to {again.max():.2f}")
    vectors = [m._front().scores(m._deviations(np.asarray(adata.X), adata.obs)) for m in (one, other)]
    pairs = zip(one.spec_["members"], one._encoders(), other._encoders(), strict=True)
    for member, *both in pairs:
        if member["run"] == 0:
            a, b = (encoded(layers, x) for layers, x in zip(both, vectors, strict=True))
            shown = np.median(alike(a[:, a.std(axis=0) > 0], b[:, b.std(axis=0) > 0]).max(axis=1))
            print(f"one {member['family']} of {member['size']}: {shown:.2f}")
    for fitted in (one, replace(model, covariates=("dose",)).fit(adata)):
        dose = alike(fitted.embed(adata), np.log1p(adata.obs[["dose"]].to_numpy())).max()
        print(f"covariates {fitted.covariates}: largest correlation of a dimension with log dose {dose:.2f}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--profiles", type=Path)
    parser.add_argument("--out", type=Path, help="folder to write the table and the figure to")
    arguments = parser.parse_args()
    if arguments.profiles:
        measured(arguments.profiles)
    rows: list[dict[str, object]] = []
    for seed in range(arguments.seeds):
        adata = programmes(80, 200, n_programmes=N, genes_per_programme=20, seed=seed)
        with TemporaryDirectory() as folder:
            for variant in VARIANTS:
                rows += judged(adata, variant, seed, Path(folder))
                print(seed, rows[-1], file=sys.stderr, flush=True)
    if not rows:
        return
    if arguments.out:
        written(rows, arguments.out)
    print("| | recovery | auroc | again | n |\n|---|---|---|---|---|")
    for name, row in summed(rows).iterrows():
        cells = ["" if row[c] != row[c] else f"{row[c]:.3f} ± {row[f'{c} half']:.3f}" for c in SCORES]
        print(f"| {name} | {' | '.join(cells)} | {row['n']:.1f} |")


if __name__ == "__main__":
    main()
