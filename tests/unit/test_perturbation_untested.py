"""What no fold tests is counted as a loop over folds counts it, and every reason adds up."""

from __future__ import annotations

import re

import numpy as np
import pytest
from anndata import AnnData

from galenic.data.simulate import perturbations
from galenic.tasks import PerturbationTask
from galenic.tasks.perturbation_untested import untested


def cells(pairs: int = 2) -> AnnData:
    """P01 in one context only; combinations."""
    adata = perturbations(n_contexts=3, n_perturbations=5, n_genes=6, n_cells=2, pairs=pairs, seed=1)
    return adata[(adata.obs["perturbation"] != "P01") | (adata.obs["cell_type"] == "type A")].copy()


@pytest.mark.parametrize("by", ["pair", "context", "perturbation", "combination"])
def test_counts_are_those_of_a_loop(by: str) -> None:
    task = PerturbationTask(cells())
    parts = task.folds(by, 2, 0)
    tested = {
        tuple(pair) for part in parts for pair in task.measured(part.test).table[["context", "perturbation"]].values
    }
    left = {tuple(pair) for pair in task.means.table[["context", "perturbation"]].values} - tested
    said = untested(task, by, parts)
    if not left:
        assert said == ""
        return
    total, reasons = re.match(r"([\d,]+) of [\d,]+ conditions (?:is|are) tested in no fold: (.*)\.$", said).groups()
    assert int(total) == len(left)
    assert sum(int(reason.split()[0]) for reason in reasons.split("; ")) == len(left)
    single = sum(name == "P01" for _, name in left)
    assert by != "pair" or f"{single} of a perturbation that was measured in one context only" in said


def test_all_tested_needs_no_word() -> None:
    task = PerturbationTask(perturbations(n_contexts=3, n_perturbations=6, n_genes=6, n_cells=2))
    assert untested(task, "context", task.folds("context", 3, 0)) == ""
    assert np.all([len(part.test) for part in task.folds("context", 3, 0)])
