"""The model and the metric of the contributing guide are put in as it says, and obey the laws."""

from __future__ import annotations

import doctest
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import test_models as laws
from cases import Case, small_screen

import galenic
from galenic import models
from galenic.evaluate import metrics
from galenic.models import find

GUIDE = Path(__file__).parents[2] / "CONTRIBUTING.md"
NEW_PROCESS = "test_save_and_load_in_a_new_process_is_bit_equal"
"""In a new process the model is not registered."""
GIVEN = ({"case"}, {"case", "rng"}, {"case", "tmp_path"})


def is_for_all(law: Callable[..., None]) -> bool:
    """Whether a law asks every model, and needs no more than a case."""
    asks = set(inspect.signature(law).parameters)
    return asks in GIVEN and "reads_genes" not in inspect.getsource(law).split("def ")[0]


LAWS = [law for name, law in vars(laws).items() if name.startswith("test_") and name != NEW_PROCESS and is_for_all(law)]


def shown(mark: str) -> str:
    """The block of code that follows a mark of the guide."""
    (found,) = re.findall(rf"<!-- {mark} -->\n```python\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.S | re.M)
    return str(found)


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    """The model, registered as the guide says: its module and its line."""
    (tmp_path / "similar_cells_of_the_guide.py").write_text(shown("the model"), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "similar_cells_of_the_guide", raising=False)
    line = ("similar_cells_of_the_guide", "mean response in the most similar cells")
    for table in (models.RESPONSE_MODELS, models.MODELS):
        monkeypatch.setitem(table, "SimilarCells", line)
    monkeypatch.setitem(galenic._NAMES, "SimilarCells", line[0])
    return Case("SimilarCells", lambda: find("SimilarCells")(n_cells=3), reads_genes=False, form=str(tmp_path))


def test_the_laws_are_many() -> None:
    assert len(LAWS) >= 12


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__.removeprefix("test_"))
def test_the_model_of_the_guide_obeys(
    law: Callable[..., None], case: Case, rng: np.random.Generator, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"case": case, "rng": rng, "tmp_path": tmp_path}
    law(**{name: given[name] for name in inspect.signature(law).parameters})


def test_the_model_of_the_guide_is_a_mean_over_the_nearest(case: Case) -> None:
    """A naive loop."""
    data = galenic.simulate.screen(n_cells=20, n_drugs=3, n_genes=20, missing=0.0, seed=0)[0]
    model = find("SimilarCells")(n_cells=2).fit(data)
    found = model.predict(data).set_index(["cell", "drug"])["prediction"]
    X = data.cells.to_df().to_numpy(float)
    z = (X - X.mean(axis=0)) / X.std(axis=0)
    wide = data.pairs.pivot_table(index="cell", columns="drug", values="response").reindex(data.cells.obs_names)
    for i, cell in enumerate(data.cells.obs_names[:5]):
        near = np.argsort(((z - z[i]) ** 2).sum(axis=1))[:2]
        for drug in wide.columns:
            assert found[cell, drug] == pytest.approx(wide[drug].iloc[near].mean(), rel=1e-5)


def test_the_metric_of_the_guide_is_known_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for tables in (metrics.METRICS, metrics._GROUPED):
        monkeypatch.setitem(tables, "concordance", None)  # and taken out again at the end
    names = dict(vars(metrics))
    exec(compile(shown("the metric"), GUIDE.name, "exec"), names)
    example = doctest.DocTestFinder().find(names["concordance"], "concordance", globs=names)
    assert sum(doctest.DocTestRunner().run(one).failed for one in example) == 0
    table = small_screen().pairs.assign(prediction=lambda pairs: pairs["response"])
    scores = galenic.evaluate.response(table, metrics=["concordance"])
    assert scores["value"].item() == pytest.approx(1.0)
    shifted = table.assign(prediction=table["response"] + 1.0)
    within = galenic.evaluate.response(shifted, within="drug", metrics=["concordance"])
    for drug, rows in shifted.groupby("drug", observed=True):
        t, p = rows["response"], rows["prediction"]
        naive = 2 * np.mean((t - t.mean()) * (p - p.mean())) / (np.var(t) + np.var(p) + 1.0)
        assert within.set_index("group").loc[str(drug), "value"] == pytest.approx(naive)
    constant = pd.DataFrame({"response": [1.0, 1.0], "prediction": [1.0, 1.0]})
    assert np.isnan(galenic.evaluate.response(constant, metrics=["concordance"])["value"].item())
