"""Train on GDSC1, test on GDSC2, and the other way round: the same lines, another assay and year.

python benchmarks/cross_study.py --data ../shared/data --out runs/cross_study
"""

from __future__ import annotations

import argparse
from pathlib import Path

import galenic
from galenic.data.studies import combine
from galenic.evaluate import agreement, summary

MODELS = {
    "Factorisation": galenic.Factorisation(),
    "Ridge": galenic.Ridge(),
    "KernelRidge": galenic.KernelRidge(),
    "ElasticNet": galenic.ElasticNet(),
}


def read(folder: Path, response: str, drugs: str) -> galenic.ResponseData:
    """One study on the array expression that both share."""
    return galenic.read.response_data(
        folder / response,
        expression=folder / "expression_array_z_656genes.csv.gz",
        drugs=folder / drugs,
        cells=folder / "cell_lines.csv.gz",
    ).complete("expression")


def main() -> None:
    """Write the tidy tables of both directions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("runs/cross_study"))
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    folder = arguments.data / "gdsc"
    first = read(folder, "response_gdsc1_v17_lnic50.csv.gz", "drugs.csv.gz").one_screen_per_compound()
    second = read(folder, "response_gdsc2_lnic50.csv.gz", "drugs_gdsc2.csv.gz").one_screen_per_compound()
    both = combine({"GDSC1": first, "GDSC2": second})
    shared = set(both.pairs.loc[both.pairs["study"] == "GDSC1", "drug"]) & set(
        both.pairs.loc[both.pairs["study"] == "GDSC2", "drug"]
    )
    both = both.take(both.pairs["drug"].isin(shared).to_numpy()).trim()
    result = galenic.benchmark(MODELS, both, by="study", n_jobs=arguments.jobs, progress=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    result.scores_by_drug.to_csv(arguments.out / "scores_by_drug.csv", index=False)
    parts = [both.pairs[both.pairs["study"] == name] for name in ("GDSC1", "GDSC2")]
    ceilings = summary(agreement(*parts, names=("GDSC1", "GDSC2")))
    ceilings.to_csv(arguments.out / "ceilings.csv", index=False)
    tested = {
        i: both.pairs["study"].iloc[fold.test[0]]
        for i, fold in enumerate(galenic.split(both.pairs, "study", n_folds=2))
    }
    scores = result.metrics.assign(tested=result.metrics["fold"].map(tested))
    shown = scores.pivot_table(index=["tested", "model"], columns=["group", "metric"], values="value")
    scores.to_csv(arguments.out / "metrics.csv", index=False)
    print(f"{len(shared)} compounds in both; trained on the one study, tested on the other")
    print(shown[[("all", "rmse"), ("all", "pearson"), ("within_drug", "pearson"), ("beyond_floor", "r2")]].round(3))
    print(ceilings)


if __name__ == "__main__":
    main()
