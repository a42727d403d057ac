"""The floors of perturbation prediction: worked by hand, against plain loops, on planted and on measured data."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from sklearn.linear_model import Ridge as SklearnRidge

from galenic.data.simulate import perturbations
from galenic.models import PERTURBATION_MODELS, find
from galenic.models.perturbation.floors import (
    AdditivePairs,
    ContextMeanEffect,
    CopySource,
    GlobalMeanEffect,
    MeanShift,
    NearestContextShift,
    NoEffect,
    context_similarity,
)
from galenic.models.perturbation.linear import ScaledShift
from galenic.models.perturbation.low_rank import LowRankEffect, leave_one_out, ridge

TABLE = {
    ("A", "control"): [1, 1], ("A", "x"): [2, 1], ("A", "y"): [1, 3], ("A", "x+y"): [3, 4],
    ("B", "control"): [2, 4], ("B", "x"): [4, 5], ("B", "y"): [2, 5],
    ("C", "control"): [5, 4], ("C", "y"): [6, 7],
}  # fmt: skip
"""Mean expression of two genes. Effects: A x (1, 0), A y (0, 2), A x+y (2, 3); B x (2, 1), B y (0, 1); C y (1, 3)."""


def cells(table: dict[tuple[str, str], list[float]], **columns: list[float]) -> AnnData:
    """Two cells of each condition, half a unit to both sides of its mean."""
    means = np.repeat(np.array(list(table.values()), dtype=np.float32), 2, axis=0)
    means[::2] += 0.5
    means[1::2] -= 0.5
    obs = pd.DataFrame(list(table), columns=["cell_type", "perturbation"]).assign(**columns)
    obs = obs.loc[obs.index.repeat(2)].set_axis([f"cell{i}" for i in range(len(means))], axis=0)
    return AnnData(means, obs=obs, var=pd.DataFrame(index=["g1", "g2"]))


def asked(*conditions: tuple[object, ...]) -> pd.DataFrame:
    return pd.DataFrame(conditions, columns=["context", "perturbation", "dose"][: len(conditions[0])])


def answers(model: object, *conditions: tuple[object, ...], adata: AnnData | None = None) -> list[list[float]]:
    adata = cells(TABLE) if adata is None else adata
    return model.predict(adata, asked(*conditions), unknown="keep").layers["effect"].round(4).tolist()


@pytest.mark.parametrize(
    ("model", "condition", "effect", "n_sources"),
    [
        (NoEffect(), ("C", "x"), [0, 0], 0),
        (CopySource(), ("C", "x"), [3 - 5, 3 - 4], 2),  # A x (2, 1), B x (4, 5)
        (GlobalMeanEffect(), ("C", "x"), [1, 10 / 6], 6),
        (GlobalMeanEffect(), ("A", "x+y"), [0.8, 1.4], 5),  # its own measurement is not part of it
        (ContextMeanEffect(), ("B", "z"), [1, 1], 2),
        (ContextMeanEffect(), ("B", "x"), [0, 1], 1),
        (MeanShift(), ("C", "x"), [1.5, 0.5], 2),
        (MeanShift(), ("A", "y"), [0.5, 2], 2),
        # Profiles of two genes correlate at 1 or -1: C falls, so do neither; by distance B is nearer.
        (NearestContextShift(similarity="euclidean"), ("C", "x"), [2, 1], 1),
        (AdditivePairs(), ("A", "x+y"), [1, 2], 2),
        (AdditivePairs(), ("B", "y+x"), [2, 2], 2),
        (AdditivePairs(), ("C", "x+y"), [1.5 + 1, 0.5 + 3], 3),  # x from A and B, y from C itself
    ],
)
def test_worked_by_hand(model: object, condition: tuple[str, str], effect: list[float], n_sources: int) -> None:
    predicted = model.fit(cells(TABLE)).predict(cells(TABLE), asked(condition), unknown="keep")
    np.testing.assert_allclose(predicted.layers["effect"][0], effect, atol=1e-5)
    controls = TABLE[condition[0], "control"]
    np.testing.assert_allclose(predicted.X[0], np.add(controls, effect), atol=1e-5)
    assert predicted.obs["n_sources"].tolist() == [n_sources]
    assert predicted.obs["fallback"].tolist() == [""]


@pytest.mark.parametrize(
    ("model", "condition", "fallback", "effect"),
    [
        (MeanShift(), ("B", "z"), "ContextMeanEffect", [1, 1]),
        (CopySource(), ("B", "z"), "ContextMeanEffect", [1, 1]),
        (NearestContextShift(), ("B", "z"), "ContextMeanEffect", [1, 1]),
        (ContextMeanEffect(), ("C", "y"), "GlobalMeanEffect", [1, 7 / 5]),
        (AdditivePairs(), ("C", "x"), "MeanShift", [1.5, 0.5]),
        (AdditivePairs(), ("B", "x+z"), "ContextMeanEffect", [1, 1]),
        (ScaledShift(), ("B", "z"), "ContextMeanEffect", [1, 1]),
        (LowRankEffect(), ("B", "z"), "ContextMeanEffect", [1, 1]),
    ],
)
def test_what_a_floor_cannot_say_the_next_simpler_one_says(
    model: object, condition: tuple[str, str], fallback: str, effect: list[float]
) -> None:
    predicted = model.fit(cells(TABLE)).predict(cells(TABLE), asked(condition), unknown="keep")
    assert predicted.obs["fallback"].tolist() == [fallback]
    np.testing.assert_allclose(predicted.layers["effect"][0], effect, atol=1e-5)


def test_where_nothing_is_left_nothing_happens() -> None:
    single = {key: value for key, value in TABLE.items() if key[0] == "C"}
    predicted = MeanShift().fit(cells(single)).predict(cells(single), asked(("C", "y")))
    assert predicted.obs["fallback"].tolist() == ["NoEffect"]
    assert predicted.layers["effect"].tolist() == [[0, 0]]


def test_profiles_that_come_with_the_question_speak_for_their_perturbation_alone() -> None:
    fitted = {key: value for key, value in TABLE.items() if key[1] != "x" and key != ("A", "x+y")}
    model = MeanShift().fit(cells(fitted))
    # x was not in the fit: its profiles in A and B are its sources.
    assert answers(model, ("C", "x")) == [[1.5, 0.5]]
    # Asked together, the one in A is not read for the other.
    assert answers(model, ("C", "x"), ("A", "x")) == [[2, 1], [2, 1]]
    # The mean effect of a context is that of the fit, whatever else comes with the question.
    assert answers(ContextMeanEffect().fit(cells(fitted)), ("B", "z")) == [[0, 1]]
    # A pair that was fitted in neither form is built of what is there.
    assert answers(AdditivePairs().fit(cells(fitted)), ("B", "x+y")) == [[2, 2]]
    # Of what was fitted elsewhere already, more profiles are not read.
    partly = {key: value for key, value in TABLE.items() if key != ("B", "x")}
    assert answers(MeanShift().fit(cells(partly)), ("C", "x")) == [[1, 0]]


def test_effects_are_those_against_the_controls_they_were_measured_with() -> None:
    fitted = {key: value for key, value in TABLE.items() if key[1] != "x"}
    # The same experiment on another day: everything is 3 higher.
    later = {key: [value + 3 for value in values] for key, values in TABLE.items()}
    assert answers(MeanShift().fit(cells(fitted)), ("C", "x"), adata=cells(later)) == [[1.5, 0.5]]


def test_a_new_context_needs_its_controls_alone() -> None:
    new = {("D", "control"): [7, 7]}
    predicted = MeanShift().fit(cells(TABLE)).predict(cells(new), asked(("D", "x"), ("D", "y")))
    np.testing.assert_allclose(predicted.X, [[8.5, 7.5], [7 + 1 / 3, 9]], atol=1e-5)


def test_doses_are_carried_over_at_the_nearest() -> None:
    table = {
        ("A", "control"): [1, 1], ("A", "x"): [2, 1], ("A", "x "): [4, 1], ("B", "control"): [2, 4],
        ("B", "x"): [4, 5], ("B", "x "): [3, 4],
    }  # fmt: skip
    adata = cells(table, dose=[0, 1, 10, 0, 1, 30])
    model = MeanShift().fit(adata, dose="dose")
    predicted = model.predict(adata, asked(("A", "x", 1.01), ("A", "x", 20.0), ("B", "x", 10)))
    np.testing.assert_allclose(predicted.layers["effect"], [[2, 1], [1, 0], [3, 0]], atol=1e-5)
    assert predicted.obs_names.tolist() == ["A|x|1.01", "A|x|20", "B|x|10"]
    with pytest.raises(ValueError, match="needs the column\\(s\\) 'dose'"):
        model.predict(adata, asked(("A", "x")))
    # Without, doses are averaged.
    assert answers(MeanShift().fit(adata), ("A", "x"), adata=adata) == [[1.5, 0.5]]
    with pytest.raises(ValueError, match="the column 'perturbation' holds no numbers"):
        MeanShift().fit(adata, dose="perturbation")


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        (asked(("A", "x"), ("A", "x")), "asked once; 1 of 2 repeat"),
        (asked(("A", "x+y"), ("A", "y+x")), "asked once; 1 of 2 repeat"),
        (asked(("A", "DMSO")), "should be treated; 1 of 1 are controls"),
        (asked(("A", None)), "one condition or more should be asked.*1 of 1 lack one"),
        (asked(("A", "x")).iloc[:0], "one condition or more should be asked"),
        (asked(("a", "x")), "controls of every context that is asked.*did you mean 'A'"),
    ],
)
def test_questions_that_make_no_sense_are_refused(conditions: pd.DataFrame, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NoEffect().fit(cells(TABLE)).predict(cells(TABLE), conditions)


# --- similarity of contexts


@pytest.mark.parametrize("kind", ["pearson", "spearman", "euclidean"])
def test_similarity_of_contexts_equals_the_loop(kind: str, rng: np.random.Generator) -> None:
    one, other = rng.normal(size=(3, 9)), rng.normal(size=(4, 9))
    twin = np.zeros((3, 4))
    for i in range(3):
        for j in range(4):
            a, b = one[i], other[j]
            if kind == "spearman":
                a, b = a.argsort().argsort(), b.argsort().argsort()
            twin[i, j] = -np.sqrt(((a - b) ** 2).sum()) if kind == "euclidean" else np.corrcoef(a, b)[0, 1]
    np.testing.assert_allclose(context_similarity(one, other, kind), twin)


# --- least squares


def effects_of(adata: AnnData) -> dict[tuple[str, str], np.ndarray]:
    found = {}
    for context in sorted(set(adata.obs["cell_type"])):
        rows = adata.obs["cell_type"] == context
        control = adata.X[rows & adata.obs["control"]].mean(axis=0, dtype=np.float64)
        for name in sorted(set(adata.obs["perturbation"][rows & ~adata.obs["control"]])):
            own = adata.X[rows & (adata.obs["perturbation"] == name)].mean(axis=0, dtype=np.float64)
            found[context, name] = own - control
    return found


def test_scaled_shift_equals_the_loop() -> None:
    adata = perturbations(n_contexts=3, n_perturbations=6, n_genes=20, interaction=1, seed=1)
    out = (adata.obs["cell_type"] == "type B") & (adata.obs["perturbation"] == "P02")
    effects = effects_of(adata[~out].copy())

    def usual(context: str, name: str) -> np.ndarray:
        return np.mean([e for (c, p), e in effects.items() if c == context and p != name], axis=0)

    def special(context: str, name: str) -> np.ndarray:
        others = [c for c, p in effects if p == name and c != context]
        return np.mean([effects[c, name] - usual(c, name) for c in others], axis=0)

    own = np.array([effect - usual(*key) for key, effect in effects.items()])
    elsewhere = np.array([special(*key) for key in effects])
    slope = SklearnRidge(alpha=0, fit_intercept=False).fit(elsewhere.reshape(-1, 1), own.ravel()).coef_[0]
    model = ScaledShift().fit(adata[~out].copy())
    assert model.arrays_["scale"][0] == pytest.approx(slope, rel=1e-4)
    predicted = model.predict(adata, asked(("type B", "P02")))
    twin = usual("type B", "P02") + slope * special("type B", "P02")
    np.testing.assert_allclose(predicted.layers["effect"][0], twin, atol=1e-5)


def test_leaving_rows_out_in_closed_form_equals_refitting(rng: np.random.Generator) -> None:
    X, Y = rng.normal(size=(15, 4)), rng.normal(size=(15, 3))
    for penalty in (0.1, 10.0):
        amount = penalty * (np.linalg.svd(X, compute_uv=False) ** 2).mean()
        twin = SklearnRidge(alpha=amount, fit_intercept=False)
        np.testing.assert_allclose(ridge(X, Y, penalty), twin.fit(X, Y).coef_.T)
        error = 0.0
        for row in range(15):
            others = np.arange(15) != row
            error += ((Y[row] - twin.fit(X[others], Y[others]).predict(X[[row]])[0]) ** 2).sum()
        assert leave_one_out(X, Y, [penalty])[0] == pytest.approx(error)


def test_low_rank_finds_the_map_between_contexts() -> None:
    """What a perturbation does in one context is turned round in the other: a shift says the opposite."""
    rng = np.random.default_rng(0)
    strength, direction, state = rng.normal(size=(20, 2)), rng.normal(size=(2, 12)), rng.uniform(4, 8, size=(2, 12))
    table = {}
    for context, sign in (("A", 1), ("B", -1)):
        table[context, "control"] = state[sign].tolist()
        for number in range(20):
            table[context, f"p{number:02d}"] = (state[sign] + sign * strength[number] @ direction).tolist()
    held_out = [("B", f"p{number:02d}") for number in range(5)]
    adata = cells_of_many_genes(table)
    train = adata[[key not in held_out for key in table]].copy()
    truth = np.array([np.subtract(table[key], table["B", "control"]) for key in held_out])
    model = LowRankEffect().fit(train)
    found = model.predict(adata, asked(*held_out)).layers["effect"]
    assert np.corrcoef(found.ravel(), truth.ravel())[0, 1] > 0.95
    shifted = MeanShift().fit(train).predict(adata, asked(*held_out)).layers["effect"]
    assert np.corrcoef(shifted.ravel(), truth.ravel())[0, 1] < 0


def cells_of_many_genes(table: dict[tuple[str, str], list[float]]) -> AnnData:
    obs = pd.DataFrame(list(table), columns=["cell_type", "perturbation"])
    obs.index = [f"cell{i}" for i in range(len(obs))]
    return AnnData(np.array(list(table.values()), dtype=np.float32), obs=obs)


def test_factors_from_elsewhere_reach_perturbations_without_a_source(tmp_path: Path) -> None:
    adata = perturbations(n_contexts=2, n_perturbations=30, n_genes=40, seed=5)
    rng = np.random.default_rng(1)
    factors, map_ = rng.normal(size=(30, 2)), rng.normal(size=(2, 40))
    number = adata.obs["perturbation"].str[1:].where(~adata.obs["control"], "0").astype(int).to_numpy()
    noise = 0.05 * rng.normal(size=adata.shape)
    shift = np.where(adata.obs["control"].to_numpy()[:, None], 0, (factors @ map_)[number])
    base = np.array([adata.varm["state"][:, int(c == "type B")] for c in adata.obs["cell_type"]])
    adata.X = (5 + base + shift + noise).astype(np.float32)
    table = pd.DataFrame(factors, index=[f"P{i:02d}" for i in range(30)])
    new = ["P27", "P28", "P29"]
    train = adata[~adata.obs["perturbation"].isin(new)].copy()
    question = asked(*[("type A", name) for name in new])
    predicted = LowRankEffect().fit(train, factors=table).predict(train, question)
    truth = (factors @ map_)[27:]
    assert predicted.obs["fallback"].tolist() == [""] * 3
    assert np.corrcoef(predicted.layers["effect"].ravel(), truth.ravel())[0, 1] > 0.95
    table.to_csv(tmp_path / "factors.csv")
    again = LowRankEffect().fit(train, factors=tmp_path / "factors.csv").predict(train, question)
    np.testing.assert_allclose(again.X, predicted.X, atol=1e-5)
    without = LowRankEffect().fit(train).predict(train, question, unknown="keep")
    assert without.obs["fallback"].tolist() == ["ContextMeanEffect"] * 3


def test_factors_that_do_not_fit_are_refused() -> None:
    adata = perturbations(n_contexts=2, n_perturbations=3, n_genes=10, n_cells=3)
    for factors, error, message in (
        (np.zeros((3, 2)), TypeError, "DataFrame with the perturbations as its index"),
        (pd.DataFrame([[1.0]], index=["q"]), ValueError, "they know none"),
        (pd.DataFrame([[np.nan]], index=["P00"]), ValueError, "finite numbers; 1 of 1"),
        (pd.DataFrame([[1.0], [2.0]], index=["P00", "P00"]), ValueError, "must be unique"),
    ):
        with pytest.raises(error, match=message):
            LowRankEffect().fit(adata, factors=factors)


# --- planted and measured data


def scores(predicted: AnnData, truth: np.ndarray, controls: np.ndarray) -> np.ndarray:
    """Mean over conditions of the Pearson correlation of effects (0 where constant) and of the mean absolute error."""
    found = []
    for x, effect, true, control in zip(predicted.X, predicted.layers["effect"], truth, controls, strict=True):
        flat = effect.std() < 1e-6
        found.append([0 if flat else np.corrcoef(effect, true - control)[0, 1], np.abs(x - true).mean()])
    return np.mean(found, axis=0)


def judged(adata: AnnData, held_out: list[tuple[str, str]], name: str = "perturbation") -> pd.DataFrame:
    """Every floor, fitted without the conditions and asked for them: Pearson-delta and mean absolute error."""
    where, what = adata.obs["cell_type"].astype(str).to_numpy(), adata.obs[name].astype(str).to_numpy()
    control = adata.obs["control"].to_numpy(dtype=bool)
    X = adata.X.toarray() if hasattr(adata.X, "toarray") else adata.X
    out = np.array([pair in set(held_out) for pair in zip(where, what, strict=True)]) & ~control
    truth = np.array([X[(where == c) & (what == p) & ~control].mean(axis=0) for c, p in held_out])
    controls = np.array([X[(where == c) & control].mean(axis=0) for c, _ in held_out])
    train = adata[~out].copy()
    rows = {}
    for model in PERTURBATION_MODELS:
        if find(model).__module__.startswith("galenic.models.perturbation."):
            predicted = find(model)().fit(train, perturbation=name).predict(adata, asked(*held_out))
            rows[model] = scores(predicted, truth, controls)
    return pd.DataFrame(rows, index=["pearson_delta", "mae"]).T


def test_planted_effects_are_carried_to_contexts_where_nobody_measured_them() -> None:
    adata = perturbations(noise=0.1, seed=3)
    held_out = [(f"type {'ABCD'[i % 4]}", f"P{i:02d}") for i in range(12)]
    found = judged(adata, held_out)["pearson_delta"]
    assert found["MeanShift"] > 0.95
    assert found["ScaledShift"] > 0.95
    assert found["LowRankEffect"] > 0.9
    assert found["NoEffect"] == 0
    assert found["ContextMeanEffect"] < 0.3


def test_planted_pairs_are_sums() -> None:
    adata = perturbations(n_contexts=1, pairs=8, seed=3)
    held_out = [("type A", name) for name in sorted(set(adata.obs["perturbation"])) if "+" in name]
    found = judged(adata, held_out)["pearson_delta"]
    assert found["AdditivePairs"] > 0.95
    assert found["StackedShift"] == pytest.approx(found["AdditivePairs"])  # nothing is known of a pair elsewhere
    assert found.drop(["AdditivePairs", "StackedShift"]).max() < 0.6


@pytest.mark.real
def test_the_nearest_cell_type_is_the_best_floor_on_interferon(perturb_folder: Path) -> None:
    kang = anndata.read_h5ad(perturb_folder / "kang_ifnb_pbmc.h5ad")
    types = sorted(set(kang.obs["cell_type"]))
    found = sum(judged(kang, [(one, "IFNb")]) for one in types) / len(types)
    expected = {"NoEffect": (0, 0.172), "CopySource": (0.591, 0.244), "MeanShift": (0.838, 0.132)}
    for model, values in {**expected, "NearestContextShift": (0.881, 0.103)}.items():
        assert found.loc[model].tolist() == pytest.approx(values, abs=6e-4)
    assert found["pearson_delta"].drop("StackedShift").idxmax() == "NearestContextShift"
    assert found.loc["StackedShift", "pearson_delta"] > found.loc["NearestContextShift", "pearson_delta"]


@pytest.mark.real
def test_the_mean_effect_of_the_line_is_the_best_floor_on_glioma(perturb_folder: Path) -> None:
    adata = anndata.read_h5ad(perturb_folder / "norman_mcfaline_crispr.h5ad")
    glioma = adata[adata.obs["cell_type"] != "k562"].copy()
    genes = sorted(set(glioma.obs["perturbation"]) - {"control"})
    five = np.random.default_rng(0).permutation(genes)[:5].tolist()
    lines = ["A172", "T98G", "U87MG"]
    found = sum(judged(glioma, [(line, gene) for gene in five]) for line in lines) / 3
    expected = {"NoEffect": (0, 0.052), "MeanShift": (0.066, 0.071), "ContextMeanEffect": (0.598, 0.043)}
    for model, values in expected.items():
        assert found.loc[model].tolist() == pytest.approx(values, abs=1e-3)
    assert found["pearson_delta"].drop("StackedShift").idxmax() == "ContextMeanEffect"
    assert found.loc["StackedShift", "mae"] < found.loc["ContextMeanEffect", "mae"]


@pytest.mark.real
def test_the_scaled_shift_adds_little_to_the_mean_of_the_line_on_l1000(perturb_folder: Path) -> None:
    plates = anndata.read_h5ad(perturb_folder / "l1000_level3_3plates.h5ad")
    adata = plates[plates.obs["compound_plate"] == "CPC006"].copy()
    treated = adata.obs[~adata.obs["control"]]
    shared = sorted(
        set.intersection(*(set(part) for _, part in treated.groupby("cell_type", observed=True)["pert_id"]))
    )
    assert len(shared) == 344
    held_out = np.random.default_rng(0).permutation(shared)[:100].tolist()
    found = judged(adata, [("HT115", name) for name in held_out], name="pert_id")
    assert found.loc["NoEffect", "mae"] == pytest.approx(0.557, abs=0.02)
    assert found.loc["MeanShift", "pearson_delta"] == pytest.approx(0.082, abs=0.02)
    assert found.loc["ContextMeanEffect", "pearson_delta"] == pytest.approx(0.301, abs=0.02)
    assert found.loc["ScaledShift", "pearson_delta"] == pytest.approx(0.305, abs=0.02)
    assert found.loc["ScaledShift", "pearson_delta"] > found.loc["ContextMeanEffect", "pearson_delta"]


@pytest.mark.real
def test_pairs_of_activated_genes_are_nearly_sums(perturb_folder: Path) -> None:
    adata = anndata.read_h5ad(perturb_folder / "norman_mcfaline_crispr.h5ad")
    adata = adata[adata.obs["cell_type"] == "k562"].copy()
    names = set(adata.obs["perturbation"].astype(str))
    pairs = sorted(name for name in names if "+" in name and set(name.split("+")) <= names)
    assert len(pairs) == 5
    found = judged(adata, [("k562", name) for name in pairs])["pearson_delta"]
    assert found["AdditivePairs"] > 0.8
    assert found["StackedShift"] == pytest.approx(found["AdditivePairs"])
    assert found.drop(["AdditivePairs", "StackedShift"]).max() < 0.5
