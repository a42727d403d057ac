"""Labels of drugs and of pairs of drugs from what stands for a drug: planted truths, symmetry, splits, refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import galenic
from galenic.evaluate import METRICS, auroc
from galenic.tasks import DownstreamTask, Learned, Predictor, components, embedding, represented
from galenic.tasks.downstream_features import symmetric
from galenic.tasks.downstream_splits import folds_of, shared_drugs
from galenic.tasks.heads import HEADS, fitted

ALKYL = ["C" * n for n in range(2, 7)]
SMILES = [f"{tail}{ring}" for ring in ("c1ccccc1", "c1ccncc1", "C1CCCCC1", "c1ccoc1") for tail in ALKYL] + ALKYL


def drugs_of(n: int = 25) -> pd.DataFrame:
    table = pd.DataFrame({"smiles": SMILES[:n]}, index=[f"d{i}" for i in range(n)])
    return galenic.data.drugs.standardise(table)[0]


def vectors(n: int, seed: int = 0, width: int = 6) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(seed).normal(size=(n, width)), index=[f"d{i}" for i in range(n)])


def pairs_of(table: pd.DataFrame, label: str = "label") -> pd.DataFrame:
    """All pairs; a pair is synergistic where the first numbers of its drugs have one sign."""
    a, b = np.triu_indices(len(table), 1)
    signs = np.sign(table[0].to_numpy())
    return pd.DataFrame({"drug_a": table.index[a], "drug_b": table.index[b], label: (signs[a] == signs[b]).astype(int)})


def mean_score(result: galenic.benchmarking.Result, model: str, metric: str = "auroc") -> float:
    rows = result.metrics.query("model == @model and metric == @metric")
    return float(rows["value"].mean())


def test_a_label_that_depends_on_the_embedding_is_found_for_drugs_never_seen() -> None:
    table = vectors(26)
    task = DownstreamTask(pairs_of(table), {"X_mine": table})
    mine = {"mine": Predictor(features=("X_mine",))}
    found = galenic.benchmark(mine, task, by="drug", n_folds=4, seeds=(0, 1))
    assert mean_score(found, "mine") > 0.85
    assert mean_score(found, "onehot, forest") < 0.7
    row = task.compare(found.metrics, "drug", 4).query("metric == 'auroc'").iloc[0]
    assert row["better"]
    assert row["detectable"] > 0


@pytest.mark.parametrize("by", ["pair", "drug", "both drugs"])
def test_a_label_that_depends_on_nothing_is_not_found(by: str) -> None:
    table, rng = vectors(34), np.random.default_rng(3)
    labels = pairs_of(table)
    labels["label"] = rng.integers(0, 2, len(labels))
    task = DownstreamTask(labels, {"X_mine": table})
    found = galenic.benchmark({"mine": Predictor(features=("X_mine",))}, task, by=by, n_folds=3, seeds=(0, 1))
    for model in ("mine", "onehot, forest"):
        assert mean_score(found, model) == pytest.approx(0.5, abs=0.1)
    assert not task.compare(found.metrics, by, 3)["better"].any()


@pytest.mark.parametrize("head", HEADS)
def test_every_head_learns_classes_and_numbers(head: str) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(160, 4)).astype(np.float32)
    truth = X[:, 0].astype(float) + 0.5 * X[:, 1]
    answer = fitted(head, X[:100], truth[:100] * 10 - 70, is_class=False, seed=0)(X[100:])
    assert np.corrcoef(answer, truth[100:])[0, 1] > 0.8
    assert abs(answer.mean() + 70) < 3
    chance = fitted(head, X[:100], (truth[:100] > 0.8).astype(float), is_class=True, seed=0)(X[100:])
    assert ((chance >= 0) & (chance <= 1)).all()
    assert auroc(truth[100:] > 0.8, chance) > 0.85
    again = fitted(head, X[:100], (truth[:100] > 0.8).astype(float), is_class=True, seed=0)(X[100:])
    np.testing.assert_array_equal(chance, again)


def test_without_features_the_answer_is_the_mean_label() -> None:
    answer = fitted("forest", np.zeros((4, 0)), np.array([0.0, 0, 0, 1]), is_class=True, seed=0)
    assert answer(np.zeros((2, 0))).tolist() == [0.25, 0.25]


@pytest.mark.parametrize("head", HEADS)
def test_exchanging_the_two_drugs_changes_no_answer(head: str) -> None:
    table, rng = vectors(14), np.random.default_rng(1)
    labels = pairs_of(table).assign(cell=lambda t: rng.choice(["A549", "PC9"], len(t)))
    swapped = labels.copy()
    turn = rng.random(len(labels)) < 0.5
    swapped.loc[turn, ["drug_a", "drug_b"]] = labels.loc[turn, ["drug_b", "drug_a"]].to_numpy()
    made = {"X_mine": table, "pca": Learned(table, components(3))}
    tasks = [DownstreamTask(rows, made, drugs=drugs_of(14)) for rows in (labels, swapped)]
    names = ("X_mine", "pca", "onehot", "fingerprint", "properties")
    for by in ("drug", "pair", "scaffold"):
        one, other = (task.folds(by, 3, 0)[0] for task in tasks)
        np.testing.assert_array_equal(one.test, other.test)
    model = Predictor(features=names, head=head)  # type: ignore[arg-type]
    answers = [task.answer(model, one.train, one.valid, one.test)["answer"] for task in tasks]
    np.testing.assert_array_equal(*answers)


def test_features_of_a_pair_against_the_naive_ones() -> None:
    table = vectors(8)
    labels = pairs_of(table)
    task = DownstreamTask(labels, {"X_mine": table})
    train = np.arange(7)  # d0 with every other drug: all drugs are seen
    scaled = (table - table.mean()) / table.std(ddof=0)
    rows = [
        np.concatenate(
            [scaled.loc[a] + scaled.loc[b], abs(scaled.loc[a] - scaled.loc[b]), scaled.loc[a] * scaled.loc[b]]
        )
        for a, b in labels[["drug_a", "drug_b"]].to_numpy()
    ]
    np.testing.assert_allclose(task.features(("X_mine",), train), np.array(rows), atol=1e-5)
    onehot = task.features(("onehot",), train)
    assert onehot.shape == (28, 8)
    assert (onehot.sum(axis=1) == 2).all()
    a, b = np.random.default_rng(0).normal(size=(2, 5, 3))
    np.testing.assert_array_equal(symmetric(a, b), symmetric(b, a))


def test_nothing_of_test_drugs_is_learned_from() -> None:
    """What is learned in a fold is the same whatever the profiles of its test drugs hold."""
    table = vectors(20)
    labels = pd.DataFrame({"drug": table.index, "label": (table[0] > 0).astype(int).to_numpy()})
    part = DownstreamTask(labels, {"X": table}).folds("drug", 4, 0)[0]
    seen: list[list[str]] = []

    def fit(rows: pd.DataFrame):
        seen.append(rows.index.tolist())
        mean = rows.to_numpy().mean(axis=0)
        return lambda asked: asked.to_numpy() - mean

    changed = table.copy()
    changed.iloc[part.test] += 100.0
    features = []
    for given in (table, changed):
        task = DownstreamTask(labels, {"mine": Learned(given, fit), "pca": Learned(given, components(3))})
        features.append(task.features(("mine", "pca"), part.train)[part.train])
    np.testing.assert_allclose(*features, atol=1e-5)
    assert set(seen[0]) == set(labels["drug"].iloc[part.train])


def test_an_embedding_is_fitted_in_the_fold_and_its_model_is_left_alone() -> None:
    genes = vectors(30, width=40)
    model = galenic.WhitenedPCA()
    labels = pd.DataFrame({"drug": genes.index, "label": [0, 1] * 15})
    task = DownstreamTask(labels, {"own": Learned(genes, embedding(model))})
    part = task.folds("drug", 3, 0)[0]
    answer = task.answer(Predictor(features=("own",)), part.train, part.valid, part.test)
    assert np.isfinite(answer["answer"]).all()
    assert not hasattr(model, "spec_")


@pytest.mark.parametrize("by", ["drug", "structure", "scaffold"])
def test_a_split_by_drugs_tests_every_pair_with_one_unseen(by: str) -> None:
    table, drugs = vectors(25), drugs_of()
    labels = pairs_of(table)
    tested = np.zeros(len(labels), dtype=int)
    for part in folds_of(labels, drugs, by, 4, 0):
        before = labels.iloc[part.train][["drug_a", "drug_b"]].to_numpy().ravel()
        for a, b in labels.iloc[part.test][["drug_a", "drug_b"]].to_numpy():
            assert not {a, b} <= set(before)
        assert len(np.intersect1d(part.train, part.test)) == 0
        tested[part.test] += 1
    assert set(tested) <= {1, 2}


def test_both_drugs_unseen_shares_no_drug_at_all() -> None:
    labels = pairs_of(vectors(25))
    for part in folds_of(labels, drugs_of(), "both drugs", 3, 0):
        assert shared_drugs(labels, None, part.train, part.test) == 0
        sides = [set(labels.iloc[rows][["drug_a", "drug_b"]].to_numpy().ravel()) for rows in (part.train, part.test)]
        assert not sides[0] & sides[1]


def test_pairs_stay_together_over_cells_in_either_order_and_scaffolds_over_drugs() -> None:
    one = pairs_of(vectors(10)).assign(cell="A549")
    two = one.assign(cell="PC9", drug_a=one["drug_b"], drug_b=one["drug_a"])
    labels = pd.concat([one, two], ignore_index=True)
    for part in folds_of(labels, None, "pair", 4, 0):
        assert set(part.test % len(one)).isdisjoint(part.train % len(one))
    assert any(set(part.test % len(one)) & set(part.train % len(one)) for part in folds_of(labels, None, "row", 4, 0))
    cells = [set(labels["cell"].iloc[part.test]) for part in folds_of(labels, None, "cell", 2, 0)]
    assert cells in ([{"A549"}, {"PC9"}], [{"PC9"}, {"A549"}])
    single = pd.DataFrame({"drug": [f"d{i}" for i in range(25)], "label": [0, 1] * 12 + [1]})
    for part in folds_of(single, drugs_of(), "scaffold", 4, 0):
        rings = [{i // 5 for i in rows if i < 20} for rows in (part.train, part.test)]
        assert not rings[0] & rings[1]


def test_salts_and_stereoisomers_are_one_drug_in_a_split_by_drug() -> None:
    table = pd.DataFrame(
        {"smiles": ["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "CCO", "CCN", "CCC", "CCCl"]}, index=list("abcdef")
    )
    drugs = galenic.data.drugs.standardise(table)[0]
    labels = pd.DataFrame({"drug": list("abcdef"), "label": [0, 1] * 3})
    for part in folds_of(labels, drugs, "drug", 3, 0):
        assert (0 in part.test) == (1 in part.test)


def test_the_users_own_folds_are_told_where_they_leak() -> None:
    table = vectors(6)
    labels = pd.DataFrame({"drug": [*table.index, "d0", "d1"], "label": [0, 1] * 4, "fold": ["train"] * 5 + ["1"] * 3})
    task = DownstreamTask(labels, {"X_mine": table})
    found = galenic.benchmark({"mine": Predictor(features=("X_mine",))}, task, by="file")
    assert any("2 of 3 test rows have all their drugs in train" in note for note in found.notes)
    clean = replace(task, labels=labels[:6])
    assert clean.leaking(np.arange(5), np.array([5])) == []


def test_representations_by_drug_and_cell_differ_between_cells() -> None:
    index = pd.MultiIndex.from_product([["x", "y"], ["A549", "PC9"]])
    table = pd.DataFrame({"gene": [0.0, 1.0, 2.0, 3.0]}, index=index)
    labels = pd.DataFrame({"drug": ["x", "y", "x"], "cell": ["PC9", "A549", "A549"], "label": [0, 1, 1]})
    task = DownstreamTask(labels, {"genes": table})
    features = task.features(("genes",), np.arange(3))
    assert features[:, 0].tolist() == [1.0, 2.0, 0.0]
    assert features[:, 1:].tolist() == [[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]
    with_time = replace(task, labels=labels.assign(time=[6, 24, 6]), covariates=("time",))
    assert with_time.features(("genes",), np.arange(3))[:, -1].tolist() == [6.0, 24.0, 6.0]


def test_scores_are_those_of_the_metrics_and_a_smaller_share_trains_on_fewer() -> None:
    table = vectors(40)
    labels = pd.DataFrame({"drug": table.index, "pld50": table[0].to_numpy()})
    task = DownstreamTask(labels, {"X": table}, target="pld50")
    part = task.folds("drug", 4, 0)[0]
    answer = task.answer(Predictor(features=("X",)), *part)
    scores = task.scores(part.test, answer, None).set_index("metric")["value"]
    assert set(scores.index) == {"pearson", "spearman", "rmse"}
    for metric, value in scores.items():
        assert value == METRICS[metric].function(labels["pld50"].iloc[part.test], answer["answer"])
    by_drug = task.scores_by_drug(part.test, answer)
    assert by_drug["value"].mean() == pytest.approx(np.abs(table[0].iloc[part.test] - answer["answer"]).mean())
    half = replace(task, train_share=0.5).folds("drug", 4, 0)[0]
    assert len(half.train) == 15
    assert set(half.train) < set(part.train)
    np.testing.assert_array_equal(half.test, part.test)


def test_a_benchmark_resumes_with_every_floor(tmp_path: Path) -> None:
    table = vectors(25)
    labels = pd.DataFrame({"drug": table.index, "label": [0, 1] * 12 + [0]})
    made = {"genes": table, "dose": table[[1]]}
    task = DownstreamTask(labels, made, drugs=drugs_of(), heads=("forest", "boosting"))
    how = {"by": "scaffold", "n_folds": 3, "parts": tmp_path}
    found = galenic.benchmark({"mine": Predictor(features=("genes",))}, task, **how)
    assert set(found.floors) == {"prior"} | {
        f"{name}, {head}" for name in ("onehot", "fingerprint", "properties", "dose") for head in task.heads
    }
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")}
    again = galenic.benchmark({"mine": Predictor(features=("genes",))}, task, **how)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")} == before
    assert again.metrics["value"].equals(found.metrics["value"])


LABELS = pd.DataFrame({"drug": ["d0", "d1", "d2", "d3"], "label": [0, 1, 0, 1]})


@pytest.mark.parametrize(
    ("labels", "changes", "said"),
    [
        (LABELS.assign(drug=["d0", "d1", "d2", "zz"]), {}, r"1 have none \(first: 'zz'\), in 1 of 4 rows.*represented"),
        (LABELS.assign(label=1), {}, "labels should differ; all 4 .* Add rows"),
        (LABELS.assign(label=["a", "b", "a", "b"]), {}, "should be finite numbers.*Write classes as 0 and 1"),
        (LABELS.assign(label=[0, 1, np.nan, 1]), {}, "should be finite numbers"),
        (LABELS.assign(label=[0, 1, 2, 1]), {"kind": "classification"}, "classes should be 0 and 1"),
        (LABELS.drop(columns="label"), {}, "label"),
        (LABELS.rename(columns={"drug": "compound"}), {}, "drug"),
        (LABELS, {"heads": ("tree",)}, "heads should be among forest, boosting, network"),
        (LABELS, {"representations": {"onehot": vectors(4)}}, "made here; 'onehot' .* Name yours otherwise"),
        (LABELS, {"representations": {"g": vectors(4).rename(index={"d1": "d0"})}}, "1 stand twice.*Average"),
        (LABELS, {"representations": {"g": vectors(4).assign(name="x")}}, "columns of text.*'name'.*Leave"),
        (LABELS, {"representations": {"g": vectors(4).where(lambda t: t < 0.5)}}, "empty entries"),
        (LABELS, {"drugs": pd.DataFrame({"smiles": ["CCO"]}, index=["d0"])}, "a SMILES for each drug.*3 of 4 lack one"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(labels: pd.DataFrame, changes: dict, said: str) -> None:
    given = {"representations": {"genes": vectors(4)}} | changes
    with pytest.raises(ValueError, match=said):
        DownstreamTask(labels, **given)


def test_splits_and_models_that_cannot_be_are_refused_in_words() -> None:
    task = DownstreamTask(LABELS, {"genes": vectors(4)})
    with pytest.raises(ValueError, match="5 folds by drug need at least 5 groups; there are 4"):
        task.folds("drug", 5, 0)
    with pytest.raises(ValueError, match="needs a table of drugs with 'smiles'; none is given"):
        task.folds("scaffold", 2, 0)
    with pytest.raises(ValueError, match="needs drug_a and drug_b"):
        task.folds("both drugs", 2, 0)
    with pytest.raises(ValueError, match="training rows of both classes; all 2 of a fold are 0"):
        task.answer(Predictor(features=("genes",)), np.array([0, 2]), np.array([], dtype=int), np.array([1]))
    with pytest.raises(ValueError, match="mine should read onehot, genes; it asks for 'X_deeppert'"):
        galenic.benchmark({"mine": Predictor(features=("X_deeppert",))}, task, n_folds=2)
    with pytest.raises(ValueError, match="predicted by a Predictor"):
        galenic.benchmark([galenic.RawCosine()], task, n_folds=2)
    trio = pd.DataFrame({"drug_a": ["x", "x"], "drug_b": ["y", "z"], "label": [0, 1]})
    with pytest.raises(ValueError, match="needs pairs to train on and to test"):
        folds_of(trio, None, "drug", 3, 0)


def test_labels_without_profiles_are_left_out_and_counted() -> None:
    labels = pd.DataFrame({"drug_a": list("abc"), "drug_b": list("bcd"), "label": [0, 1, 1]})
    table = pd.DataFrame({"g": [1.0, 2.0, 3.0]}, index=list("abc"))
    kept, coverage = represented(labels, {"genes": table})
    assert kept["drug_b"].tolist() == ["b", "c"]
    assert coverage[["kept", "dropped", "examples"]].to_numpy().tolist() == [[2, 1, "'d'"]]
    assert len(labels) == 3
