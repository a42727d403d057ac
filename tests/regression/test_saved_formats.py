"""Models saved by every earlier format still load and answer as they did.

``python tests/regression/test_saved_formats.py`` writes the folder of the current format; it is committed once and
never again.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import galenic
from galenic.data.response import ResponseData
from galenic.data.simulate import screen
from galenic.models.base import FORMAT

HERE = Path(__file__).parent
SAVED = sorted(path for path in HERE.glob("format-*/*") if path.is_dir())
MODELS = {
    "KernelRidge": {"inputs": ("expression", "tissue", "mutation")},
    "NearestDrugs": {},
    "Boosting": {"n_trees": 5, "n_components": 4, "min_leaf": 5, "offset": "drug"},
}


def probe() -> ResponseData:
    """Cells and drugs whose predictions are kept."""
    return screen(n_cells=24, n_drugs=6, n_genes=30, n_drivers=2, seed=7)[0]


def test_every_format_is_kept() -> None:
    assert {path.parent.name for path in SAVED} == {f"format-{number}" for number in range(1, FORMAT + 1)}


@pytest.mark.parametrize("folder", SAVED, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_saved_model_answers_as_it_did(folder: Path) -> None:
    expected = pd.read_csv(folder.with_suffix(".csv"))["prediction"]
    np.testing.assert_allclose(galenic.load(folder).predict(probe())["prediction"], expected, atol=1e-5)


if __name__ == "__main__":
    for name, fields in MODELS.items():
        place = HERE / f"format-{FORMAT}" / name
        model = getattr(galenic, name)(**fields).fit(probe())
        model.save(place)
        model.predict(probe())[["cell", "drug", "prediction"]].to_csv(place.with_suffix(".csv"), index=False)
