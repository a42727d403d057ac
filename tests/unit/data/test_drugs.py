"""Drugs: one form for every spelling, features that follow the atoms, similarity as RDKit has it."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator, rdMolDescriptors

from galenic.data.drugs import (
    ELEMENTS,
    _shared_counts,
    atom_names,
    draw_atoms,
    fingerprints,
    graphs,
    require_parsable,
    similarity,
    standardise,
    tanimoto,
)
from galenic.plots import palette

IMATINIB = "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1"
ERLOTINIB = "COCCOc1cc2ncnc(Nc3cccc(C#C)c3)c2cc1OCCOC"
DRUGS = [IMATINIB, ERLOTINIB, "CC(=O)Oc1ccccc1C(=O)O", "C[C@H](N)C(=O)O", "CCO", "F/C=C/F"]


def table(*smiles: str | None) -> pd.DataFrame:
    return pd.DataFrame({"smiles": list(smiles)}, index=[f"d{i}" for i in range(len(smiles))])


def spellings(smiles: str, rng: np.random.Generator, n: int = 5) -> list[str]:
    molecule = Chem.MolFromSmiles(smiles)
    orders = [rng.permutation(molecule.GetNumAtoms()).tolist() for _ in range(n)]
    return [Chem.MolToSmiles(Chem.RenumberAtoms(molecule, order), canonical=False) for order in orders]


@pytest.mark.parametrize("smiles", DRUGS)
def test_every_spelling_of_a_molecule_becomes_one(smiles: str, rng: np.random.Generator) -> None:
    standard, _ = standardise(table(smiles, *spellings(smiles, rng)))
    assert standard["smiles"].nunique() == standard["structure"].nunique() == 1


def test_standard_form_is_its_own_standard_form() -> None:
    once, _ = standardise(
        table(*DRUGS, "CC(=O)[O-].[Na+]", "C[N+](C)(C)CC(=O)[O-]", "N.N.[Cl-].[Cl-].[Pt+2]", "c1cc[cH-]c1.[Na+]")
    )
    twice, _ = standardise(once)
    pd.testing.assert_frame_equal(once, twice)


def test_salts_and_charges_leave_no_trace() -> None:
    standard, coverage = standardise(table("CN(C)CCO", "C[NH+](C)CCO.[Cl-]", "Cl.CN(C)CCO"))
    assert len(set(standard["structure"])) == len(set(standard["smiles"])) == 1
    row = coverage.set_index("step").loc["salts stripped"]
    assert row["why"].startswith("2 ")
    assert row["examples"] == "'d1', 'd2'"
    assert row["dropped"] == 0


def test_stereoisomers_keep_their_smiles_and_share_a_structure() -> None:
    standard, coverage = standardise(table("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"))
    assert len(set(standard["smiles"])) == 2
    assert len(set(standard["structure"])) == 1
    assert coverage["step"].tolist() == ["shared structure"]


def test_a_complex_without_carbon_is_not_cut_to_ammonia() -> None:
    standard, coverage = standardise(table("N.N.[Cl-].[Cl-].[Pt+2]"))
    assert "Pt" in standard.loc["d0", "smiles"]
    assert coverage["step"].tolist() == ["no organic fragment"]


def test_a_charge_that_cannot_be_taken_away_stays() -> None:
    standard, _ = standardise(table("C1=CC=C[CH-]1.[Na+]"))
    assert standard.loc["d0", "smiles"] == "c1cc[cH-]c1"
    assert standard["structure"].notna().all()


def test_what_cannot_be_read_is_missing_and_reported(capfd: pytest.CaptureFixture[str]) -> None:
    given = table("CCO", "not a molecule", None, np.nan, "  ", "[Li+]").assign(name="x")
    before = given.copy()
    standard, coverage = standardise(given)
    pd.testing.assert_frame_equal(given, before)
    assert standard["structure"].isna().tolist() == standard["smiles"].isna().tolist()
    assert standard["smiles"].isna().tolist() == [False, True, True, True, True, False]
    assert standard["name"].eq("x").all()
    report = coverage.set_index("step")
    assert report.loc["unparsable", ["kept", "dropped", "examples"]].tolist() == [2, 1, "'d1'"]
    assert report.loc["no structure", ["kept", "dropped"]].tolist() == [2, 3]
    assert report.loc["single atoms", "examples"] == "'d5'"
    assert capfd.readouterr() == ("", "")


def test_ids_become_text_and_must_be_unique() -> None:
    standard, coverage = standardise(pd.DataFrame({"smiles": ["CCO", "CCN"]}, index=[1, 29]))
    assert standard.index.tolist() == ["1", "29"]
    assert coverage.empty
    with pytest.raises(ValueError, match="drug ids must be unique"):
        standardise(pd.DataFrame({"smiles": ["CCO", "CCN"]}, index=["a", "a"]))
    with pytest.raises(ValueError, match="smiles"):
        standardise(pd.DataFrame({"SMILES": ["CCO"]}, index=["a"]))


@pytest.mark.parametrize("read", [require_parsable, graphs, fingerprints])
def test_a_structure_that_does_not_parse_is_refused(read, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=r"2 of 3 are not \(first: 'C\(', 'xx'\)"):
        read(["CCO", "C(", "xx"])
    assert capfd.readouterr() == ("", "")


def test_missing_structures_are_refused_or_give_zero_rows() -> None:
    with pytest.raises(ValueError, match="1 of 2"):
        graphs(["CCO", None])
    with pytest.warns(UserWarning, match=r"1 of 2 drugs have no structure \(first rows: '1'\)"):
        bits = fingerprints(["CCO", None])
    assert bits[0].any()
    assert not bits[1].any()


def test_fingerprints_follow_the_molecule_not_its_spelling(rng: np.random.Generator) -> None:
    bits = fingerprints([IMATINIB, *spellings(IMATINIB, rng)], radius=3, n_bits=512)
    assert bits.shape == (6, 512)
    assert bits.dtype == np.uint8
    assert (bits == bits[0]).all()
    assert set(np.unique(bits)) == {0, 1}


def test_tanimoto_equals_rdkit() -> None:
    bits = np.vstack([fingerprints(DRUGS), np.zeros((1, 2048), dtype=np.uint8)])
    vectors = [DataStructs.CreateFromBitString("".join(map(str, row))) for row in bits]
    expected = [DataStructs.BulkTanimotoSimilarity(vector, vectors[:5]) for vector in vectors]
    np.testing.assert_allclose(tanimoto(bits, bits[:5]), expected, atol=1e-12)
    assert tanimoto(bits[6:], bits[6:]) == 0


def published_features(atom: Chem.Atom) -> np.ndarray:
    """The atom features as the published code writes them down."""

    def one_of(value: object, known: list) -> list[bool]:
        return [(value if value in known else known[-1]) == option for option in known]

    features = np.array(
        one_of(atom.GetSymbol(), list(ELEMENTS))
        + one_of(atom.GetDegree(), list(range(11)))
        + one_of(atom.GetTotalNumHs(), list(range(11)))
        + one_of(atom.GetValence(Chem.ValenceType.IMPLICIT), list(range(11)))
        + [atom.GetIsAromatic()]
    )
    return features / features.sum()


@pytest.mark.parametrize("smiles", [*DRUGS, "c1cc[nH]c1", "[Na+].[Cl-]", "[He]", "C[Se]C", "[UH12]", "O=S(=O)(O)O"])
def test_atom_features_are_the_published_ones(smiles: str) -> None:
    molecule = Chem.MolFromSmiles(smiles)
    expected = np.array([published_features(atom) for atom in molecule.GetAtoms()])
    graph = graphs([smiles])
    assert graph.atoms.shape == (1, molecule.GetNumAtoms(), 78)
    assert graph.atoms.dtype == np.float32
    np.testing.assert_allclose(graph.atoms[0], expected, rtol=1e-6)


def test_graphs_are_padded_symmetric_and_without_loops() -> None:
    graph = graphs([*DRUGS, "[Li+]"])
    n_atoms = [Chem.MolFromSmiles(smiles).GetNumAtoms() for smiles in DRUGS] + [1]
    n_bonds = [Chem.MolFromSmiles(smiles).GetNumBonds() for smiles in DRUGS] + [0]
    assert len(graph) == 7
    assert graph.mask.sum(axis=1).tolist() == n_atoms
    assert graph.bonds.sum(axis=(1, 2)).tolist() == [2 * n for n in n_bonds]
    np.testing.assert_array_equal(graph.bonds, graph.bonds.transpose(0, 2, 1))
    assert not np.diagonal(graph.bonds, axis1=1, axis2=2).any()
    assert not graph.atoms[~graph.mask].any()
    assert not (graph.bonds & ~graph.mask[:, :, None]).any()
    np.testing.assert_allclose(graph.atoms.sum(axis=2), graph.mask, rtol=1e-6)


def test_no_drugs_give_empty_arrays() -> None:
    assert graphs([]).atoms.shape == (0, 0, 78)
    assert fingerprints([]).shape == (0, 2048)


@pytest.mark.parametrize("smiles", DRUGS)
def test_renumbering_atoms_permutes_rows_and_nothing_else(smiles: str, rng: np.random.Generator) -> None:
    molecule = Chem.MolFromSmiles(smiles)
    order = rng.permutation(molecule.GetNumAtoms())
    written = Chem.MolToSmiles(Chem.RenumberAtoms(molecule, order.tolist()), canonical=False)
    one, other = graphs([smiles]), graphs([written])
    # Where each atom of the new spelling stands in the old one, told by matching the whole molecules.
    match = list(Chem.MolFromSmiles(smiles).GetSubstructMatch(Chem.MolFromSmiles(written)))
    np.testing.assert_array_equal(one.atoms[0][match], other.atoms[0])
    np.testing.assert_array_equal(one.bonds[0][np.ix_(match, match)], other.bonds[0])


def test_shared_counts_equal_the_loop(rng: np.random.Generator) -> None:
    a, b = rng.poisson(0.7, size=(6, 20)), rng.poisson(0.7, size=(4, 20))
    a[2] = b[1] = 0
    expected = np.zeros((6, 4))
    for i in range(6):
        for j in range(4):
            smaller = sum(min(x, y) for x, y in zip(a[i], b[j], strict=True))
            larger = sum(max(x, y) for x, y in zip(a[i], b[j], strict=True))
            expected[i, j] = smaller / larger if larger else 0.0
    np.testing.assert_allclose(_shared_counts(a, b), expected, atol=1e-12)
    assert _shared_counts(a, b)[2, 1] == 0


def views(smiles: str) -> list:
    """Morgan bits, counts of atom pairs and MACCS keys as RDKit holds them."""
    molecule = Chem.MolFromSmiles(smiles)
    return [
        rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048).GetFingerprint(molecule),
        rdFingerprintGenerator.GetAtomPairGenerator(fpSize=4096).GetCountFingerprint(molecule),
        rdMolDescriptors.GetMACCSKeysFingerprint(molecule),
    ]


def atom_pairs(smiles: str) -> dict[int, int]:
    """How often each kind of pair of atoms occurs."""
    return views(smiles)[1].GetNonzeroElements()


def test_similarity_is_the_mean_of_three_views() -> None:
    expected = np.zeros((len(DRUGS), 3))
    for i, a in enumerate(DRUGS):
        for j, b in enumerate(DRUGS[:3]):
            bits, _, keys = [DataStructs.TanimotoSimilarity(*pair) for pair in zip(views(a), views(b), strict=True)]
            counts_a, counts_b = atom_pairs(a), atom_pairs(b)
            kinds = counts_a.keys() | counts_b.keys()
            smaller = sum(min(counts_a.get(kind, 0), counts_b.get(kind, 0)) for kind in kinds)
            larger = sum(max(counts_a.get(kind, 0), counts_b.get(kind, 0)) for kind in kinds)
            expected[i, j] = (bits + smaller / larger + keys) / 3
    np.testing.assert_allclose(similarity(DRUGS, DRUGS[:3]), expected, atol=1e-6)
    assert len(np.unique(expected.round(6))) > 10


def test_similarity_is_a_kernel() -> None:
    more = [
        "CCN",
        "CCCO",
        "Cc1ccccc1",
        "O=C(O)c1ccccc1O",
        "Cn1c(=O)c2c(ncn2C)n(C)c1=O",
        "FC(F)(F)c1ccccc1",
        "[Na+].[Cl-]",
    ]
    K = similarity([*DRUGS, *more], [*DRUGS, *more])
    np.testing.assert_array_equal(K, K.T)
    np.testing.assert_allclose(np.diag(K)[:-1], 1, atol=1e-7)
    assert K.min() >= 0
    assert K.max() <= 1 + 1e-7
    assert np.linalg.eigvalsh(K).min() > -1e-9


@pytest.mark.parametrize("smiles", ["[Li+]", "C", "[Na+].[Cl-]"])
def test_a_single_atom_has_no_pairs_to_share(smiles: str) -> None:
    assert similarity([smiles], [smiles]) == pytest.approx(2 / 3)


@pytest.mark.parametrize("smiles", DRUGS)
def test_similarity_follows_the_molecule_not_its_spelling(smiles: str, rng: np.random.Generator) -> None:
    other = [*DRUGS, "CCN"]
    written = spellings(smiles, rng)
    np.testing.assert_array_equal(similarity(written, other), similarity([smiles] * len(written), other))
    np.testing.assert_allclose(similarity(written, [smiles]), 1, atol=1e-7)


def test_similarity_orders_kin_before_strangers() -> None:
    gefitinib = "COc1cc2ncnc(Nc3ccc(F)c(Cl)c3)c2cc1OCCCN1CCOCC1"
    to_erlotinib = similarity([ERLOTINIB], [gefitinib, IMATINIB, "CCO"])[0]
    assert (np.diff(to_erlotinib) < 0).all()
    assert to_erlotinib[0] > 0.4


@pytest.mark.parametrize("bad", ["C(", "", None])
def test_similarity_refuses_what_is_no_structure(bad: str | None, capfd: pytest.CaptureFixture[str]) -> None:
    for a, b in (([bad, "CCO"], ["CCO"]), (["CCO"], ["CCO", bad])):
        with pytest.raises(ValueError, match=r"should be a SMILES that parses; 1 of 2 are not.*Correct them"):
            similarity(a, b)
    assert capfd.readouterr() == ("", "")


def test_no_drugs_have_no_similarity() -> None:
    assert similarity([], []).shape == (0, 0)


def test_no_drugs_beside_some_have_no_similarity() -> None:
    assert similarity([], ["CCO"]).shape == (0, 1)


@pytest.mark.parametrize("smiles", DRUGS)
def test_atom_names_are_in_the_order_of_graphs(smiles: str) -> None:
    names, atoms = atom_names(smiles), graphs([smiles]).atoms[0]
    assert names.columns.tolist() == ["atom", "element", "aromatic"]
    assert names["atom"].tolist() == list(range(len(atoms)))
    assert [ELEMENTS[column] for column in atoms[:, : len(ELEMENTS)].argmax(axis=1)] == names["element"].tolist()
    np.testing.assert_array_equal(atoms[:, -1] > 0, names["aromatic"])


def test_atom_names_follow_the_spelling() -> None:
    assert atom_names("OCC")["element"].tolist() == ["O", "C", "C"]
    assert atom_names("Clc1ccccc1")["aromatic"].tolist() == [False] + [True] * 6
    with pytest.raises(ValueError, match="1 of 1 are not"):
        atom_names("C(")


BLUE, ORANGE, WHITE = (
    tuple(int(text[i : i + 2], 16) / 255 for i in (1, 3, 5))
    for text in (palette.SENSITIVE, palette.RESISTANT, "#ffffff")
)  # of every other figure


def discs(svg: str) -> list[np.ndarray]:
    """Colour of the disc of each atom, 0 to 1, in the order of the atoms."""
    found = re.findall(r"<ellipse [^>]*class='atom-(\d+)'[^>]*fill:#([0-9A-Fa-f]{6})", svg)
    colours = {int(atom): np.array([int(text[i : i + 2], 16) for i in (0, 2, 4)]) / 255 for atom, text in found}
    return [colours[atom] for atom in sorted(colours)]


def test_atoms_are_drawn_blue_and_orange_by_their_sign() -> None:
    svg = draw_atoms("CCON", [-1.0, 0.0, 1.0, 0.5], width=200, height=150)
    assert svg.startswith("<svg")
    assert svg.rstrip().endswith("</svg>")
    assert "width='200px' height='150px'" in svg
    assert "<rect" not in svg  # no background
    half = tuple((1 + part) / 2 for part in ORANGE)
    np.testing.assert_allclose(discs(svg), [BLUE, WHITE, ORANGE, half], atol=0.01)


def test_colours_are_relative_to_the_strongest_atom() -> None:
    values = np.array([-0.2, 0.1, 0.4])
    assert draw_atoms("CCO", values) == draw_atoms("CCO", 100 * values)
    # Turned round, blue and orange trade places.
    other = discs(draw_atoms("CCO", -values))
    np.testing.assert_allclose(other[2], BLUE, atol=0.01)
    assert other[0][0] > other[0][2]


@pytest.mark.parametrize("smiles", [*DRUGS, "[Na+].[Cl-]"])
def test_every_atom_has_a_disc(smiles: str, rng: np.random.Generator) -> None:
    values = rng.normal(size=len(atom_names(smiles)))
    colours = discs(draw_atoms(smiles, values))
    assert len(colours) == len(values)
    for colour, value in zip(colours, values, strict=True):
        # Blue has more blue than red, orange more red than blue.
        assert np.sign(colour[0] - colour[2]) == np.sign(value) or abs(value) < 0.02 * np.abs(values).max()


def test_atoms_without_contributions_are_drawn_too() -> None:
    np.testing.assert_array_equal(discs(draw_atoms("CCO", [0.0, 0.0, 0.0])), [WHITE] * 3)


@pytest.mark.parametrize("values", [[], [0.1], [0.1] * 4])
def test_as_many_numbers_as_atoms_are_needed(values: list[float]) -> None:
    words = rf"3 atoms need as many finite numbers; received {len(values)}\. Give one for each"
    with pytest.raises(ValueError, match=words):
        draw_atoms("CCO", values)


@pytest.mark.real
def test_the_drugs_of_gdsc(shared) -> None:
    drugs = pd.read_csv(shared / "gdsc" / "drugs.csv.gz").set_index("drug_id")
    standard, coverage = standardise(drugs)
    assert standard["structure"].nunique() == 237
    report = coverage.set_index("step")
    assert report.loc["no structure", "dropped"] == 12
    assert report.loc["shared structure", "why"].startswith("32 ")
    assert "unparsable" not in report.index
    heavy = graphs(standard["smiles"].dropna().tolist()).mask.sum(axis=1)
    np.testing.assert_array_equal(heavy, drugs["n_heavy_atoms"].dropna().astype(int))


def test_without_the_libraries_of_a_screen_structures_are_blank_and_all_else_works() -> None:
    """Small images of Linux lack them, and RDKit's drawing alone is linked to them."""
    program = """
import sys, warnings
sys.modules["rdkit.Chem.Draw"] = None
import galenic
galenic.drugs.fingerprints(["CCO"])
with warnings.catch_warnings(record=True) as told:
    print(galenic.drugs.draw("CCO"), galenic.drugs.draw_atoms("CCO", [0.1, 0, 0]))
print(told[0].message)
"""
    done = subprocess.run([sys.executable, "-W", "always", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("<svg") == done.stdout.count("></svg>") == 2
    assert "apt-get install libxrender1" in done.stdout
