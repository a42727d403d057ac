"""Agreement of repeated measurements: against the loop, planted noise, and the figures known for GDSC."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from galenic.evaluate import agreement, ceiling, pearson, summary


def repeats(rng, n_compounds=6, n_cells=300, noise=1.0):
    """Truth of unit variance, two screens with independent noise; compound 0 has three, compound 1 only one."""
    rows = []
    for compound in range(n_compounds):
        truth = rng.normal(size=n_cells)
        for screen in range({0: 3, 1: 1}.get(compound, 2)):
            rows.append(
                pd.DataFrame(
                    {
                        "cell": [f"c{i}" for i in range(n_cells)],
                        "drug": f"{compound}-{screen}",
                        "structure": f"s{compound}",
                        "truth": truth,
                        "response": truth + noise * rng.normal(size=n_cells),
                    }
                )
            )
    table = pd.concat(rows, ignore_index=True)
    return table[rng.random(len(table)) < 0.9]


def test_equals_the_loop(rng):
    table = repeats(rng)
    found = ceiling(table)
    assert list(found.columns[:5]) == ["between", "drug", "metric", "value", "n"]
    assert found["screens"].tolist()[:3] == ["0-0 and 0-1", "0-0 and 0-2", "0-1 and 0-2"]
    assert len(found) == 3 + 4
    wide = table.pivot_table(index="cell", columns="drug", values="response")
    for _, row in found.iterrows():
        both = wide[row["screens"].split(" and ")].dropna()
        assert row["n"] == len(both)
        assert row["value"] == pytest.approx(pearson(both.iloc[:, 0], both.iloc[:, 1]))


def test_a_perfect_predictor_reaches_the_ceiling(rng):
    table = repeats(rng, n_compounds=40)
    row = summary(ceiling(table)).iloc[0]
    reached = np.mean([pearson(rows["truth"], rows["response"]) for _, rows in table.groupby("drug")])
    assert row["agreement"] == pytest.approx(0.5, abs=0.03)
    assert row["ceiling"] == pytest.approx(reached, abs=0.02)
    assert row["n"] == 39


def test_nothing_screened_twice_has_no_ceiling(rng):
    once = repeats(rng).query("structure == 's1'")
    assert ceiling(once).empty
    assert summary(ceiling(once)).empty
    assert ceiling(once.assign(structure=None)).empty


def test_few_shared_cells_are_undefined_and_do_not_count(rng):
    table = repeats(rng)
    table = table[~((table["drug"] == "3-1") & ~table["cell"].isin([f"c{i}" for i in range(8)]))]
    found = ceiling(table).set_index("drug")
    assert np.isnan(found.loc["s3", "value"])
    assert 0 < found.loc["s3", "n"] < 10
    assert summary(found.reset_index())["n"].iloc[0] == 4


def test_replicates_are_screens_too(rng):
    table = repeats(rng).assign(replicate=lambda t: t["drug"].str[-1])
    found = ceiling(table.drop(columns="drug"), screen="replicate")
    np.testing.assert_allclose(found["value"], ceiling(table)["value"])


def test_repeats_within_a_screen_are_averaged(rng):
    table = repeats(rng)
    doubled = pd.concat([table.assign(response=table["response"] + 1), table.assign(response=table["response"] - 1)])
    pd.testing.assert_frame_equal(ceiling(doubled), ceiling(table))


def test_agreement_of_studies_equals_the_loop(rng):
    table = repeats(rng)
    a, b = table[table["drug"].str.endswith("0")], table[table["drug"].str.endswith("1")]
    found = agreement(a, b, on=("cell", "structure"), names=("A", "B"))
    assert found["between"].unique().tolist() == ["A and B"]
    repeated = ceiling(table)
    repeated = repeated[repeated["screens"].str.match(r".-0 and .-1")]
    np.testing.assert_allclose(found["value"], repeated["value"])
    assert found["n"].tolist() == repeated["n"].tolist()
    with pytest.raises(ValueError, match=r"none in common. Bring both to the same ids"):
        agreement(a, b.assign(cell="x" + b["cell"]))


def test_a_negative_agreement_has_no_ceiling():
    table = pd.DataFrame({"between": "x", "drug": ["a"], "metric": "pearson", "value": [-0.2], "n": [30]})
    assert np.isnan(summary(table)["ceiling"].iloc[0])


@pytest.fixture(scope="module")
def gdsc(shared):
    folder = shared / "gdsc"
    first = pd.read_csv(folder / "response_gdsc1_v17_lnic50.csv.gz", dtype={"cosmic_id": str})
    first = first.merge(pd.read_csv(folder / "drugs.csv.gz")[["drug_id", "name", "smiles"]], on="drug_id")
    first = first.rename(columns={"cosmic_id": "cell", "drug_id": "drug", "ln_ic50": "response"})
    second = pd.read_csv(folder / "response_gdsc2_lnic50.csv.gz", dtype={"cosmic_id": str})
    return first, second.rename(columns={"cosmic_id": "cell", "drug": "name", "ln_ic50": "response"})


@pytest.mark.real
def test_gdsc1_agrees_with_itself_at_one_half(gdsc):
    row = summary(ceiling(gdsc[0], compound="smiles")).iloc[0]
    assert row["n"] == 16
    assert row["agreement"] == pytest.approx(0.482, abs=0.001)
    assert row["ceiling"] == pytest.approx(0.694, abs=0.001)


@pytest.mark.real
def test_gdsc1_agrees_with_gdsc2_at_one_half(gdsc):
    # 70 names are spelled alike in both; 54 of them were measured in at least 100 shared lines.
    found = agreement(*gdsc, on=("cell", "name"), names=("GDSC1", "GDSC2"), minimum=100)
    assert len(found) == 70
    row = summary(found).iloc[0]
    assert row["n"] == 54
    assert row["agreement"] == pytest.approx(0.507, abs=0.001)
