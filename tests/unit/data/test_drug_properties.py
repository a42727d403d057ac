"""Properties and scaffolds of drugs."""

from __future__ import annotations

import pytest
from rdkit import Chem
from rdkit.Chem import Crippen, Descriptors

from galenic.data.drug_properties import PROPERTIES, properties, scaffolds

ASPIRIN, CAFFEINE = "CC(=O)Oc1ccccc1C(=O)O", "Cn1c(=O)c2c(ncn2C)n(C)c1=O"


def test_properties_against_the_reference_library() -> None:
    table = properties([ASPIRIN, CAFFEINE])
    assert list(table.columns) == list(PROPERTIES)
    for row, smiles in enumerate([ASPIRIN, CAFFEINE]):
        molecule = Chem.MolFromSmiles(smiles)
        assert table["weight"][row] == pytest.approx(Descriptors.MolWt(molecule))
        assert table["logp"][row] == pytest.approx(Crippen.MolLogP(molecule))
        assert table["polar_area"][row] == pytest.approx(Descriptors.TPSA(molecule))
    assert table[["donors", "rotatable_bonds"]].to_numpy().tolist() == [[1, 2], [0, 0]]


def test_a_scaffold_ignores_tails_salts_of_spelling_and_stereo() -> None:
    same = scaffolds(["C[C@H](N)c1ccccc1", "C[C@@H](N)c1ccccc1", "CCCc1ccccc1", "OC1=CC=CC=C1"])
    assert set(same) == {"c1ccccc1"}
    assert len(set(scaffolds(["CCO", "CCN", "CCC"]))) == 3


@pytest.mark.parametrize("function", [properties, scaffolds])
def test_what_does_not_parse_is_refused(function) -> None:
    with pytest.raises(ValueError, match="SMILES that parses; 1 of 2"):
        function(["CCO", "not a drug"])
