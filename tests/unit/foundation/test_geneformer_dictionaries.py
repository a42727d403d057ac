"""Dictionaries from pickles, JSON and tables; names of genes to tokens."""

from __future__ import annotations

import gzip
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from geneformer_folder import VOCAB, dictionaries, genes_of, write_model
from scipy import sparse

from galenic.foundation.geneformer_dictionaries import Dictionaries, find_dictionaries, read_dictionaries
from galenic.foundation.geneformer_genes import match_genes


class Runs:
    """A pickle that would write a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.fixture
def known() -> Dictionaries:
    given = dictionaries("v2")
    return Dictionaries(
        given["token_dictionary"],
        given["gene_median_dictionary"],
        given["ensembl_mapping_dict"],
        given["gene_name_id_dict"],
    )


@pytest.mark.parametrize("kind", ["pkl", "json"])
@pytest.mark.parametrize("series", ["v1", "v2"])
def test_folder_as_published(tmp_path: Path, series: str, kind: str) -> None:
    found = find_dictionaries(write_model(tmp_path, series, kind=kind), VOCAB, 0)
    given = dictionaries(series)
    assert dict(found.tokens) == given["token_dictionary"]
    assert dict(found.medians) == {gene: float(one) for gene, one in given["gene_median_dictionary"].items()}
    assert dict(found.symbols) == given["gene_name_id_dict"]
    assert dict(found.collapsed) == given["ensembl_mapping_dict"]
    assert found.ends == ((2, 3) if series == "v2" else None)
    assert found.genes == genes_of(series)


def test_one_table_and_one_of_symbols(tmp_path: Path) -> None:
    given = dictionaries("v1")
    tokens = pd.DataFrame({"ensembl_id": list(given["token_dictionary"]), "token": range(VOCAB)})
    tokens["median"] = tokens["ensembl_id"].map(given["gene_median_dictionary"])
    tokens["symbol"] = [None, None, *(f"OWN{number}" for number in range(VOCAB - 2))]
    with gzip.open(tmp_path / "geneformer_tokens.tsv.gz", "wt") as stream:
        tokens.to_csv(stream, sep="\t", index=False)
    # TWICE leads to a gene without a token and to one with: the second must win.
    symbols = pd.DataFrame(
        {"symbol": ["NEW", "TWICE", "TWICE"], "ensembl_id": [genes_of("v1")[0], "ENSG00000777777", genes_of("v1")[1]]}
    )
    symbols.to_csv(tmp_path / "symbol_to_ensembl.csv", index=False)
    found = read_dictionaries(tmp_path).require_fit(VOCAB, 0)
    assert dict(found.tokens) == given["token_dictionary"]
    assert found.medians == pytest.approx(given["gene_median_dictionary"])
    assert [found.symbols[name] for name in ("OWN0", "NEW", "TWICE")] == [*genes_of("v1")[:1] * 2, genes_of("v1")[1]]


def test_looked_for_where_the_repository_keeps_them(tmp_path: Path) -> None:
    model = write_model(tmp_path / "gf-12L", "v1")
    for place, series in (("geneformer", "v2"), ("geneformer/gene_dictionaries_30m", "v1")):
        other = write_model(tmp_path / place, series)
        (other / "config.json").unlink()
    tokens = tmp_path / "geneformer" / "token_dictionary.pkl"
    smaller = dictionaries("v2")["token_dictionary"] | {"ENSG00000888888": VOCAB}
    tokens.write_bytes(pickle.dumps(smaller))
    (tmp_path / "geneformer" / "gene_median_dictionary.pkl").write_bytes(
        pickle.dumps(dictionaries("v2")["gene_median_dictionary"] | {"ENSG00000888888": 1.0})
    )
    for path in model.glob("*.pkl"):
        path.unlink()
    assert find_dictionaries(model, VOCAB, 0).ends is None
    assert find_dictionaries(tmp_path, VOCAB, 0).ends is None  # the repository as a whole is a model too
    shutil.rmtree(tmp_path / "geneformer" / "gene_dictionaries_30m")
    with pytest.raises(ValueError, match=r"should lie in .* none that fit: .*51 tokens"):
        find_dictionaries(model, VOCAB, 0)


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    (tmp_path / "model" / "token_dictionary.pkl").write_bytes(pickle.dumps({"<pad>": Runs(tmp_path / "ran")}))
    with pytest.raises(ValueError, match=r"token_dictionary.pkl asks for .*[Nn]othing of it was run"):
        find_dictionaries(tmp_path / "model", VOCAB, 0)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ENSG00000888888": 50}, r"\(50 tokens, <pad> = 0\); it has 51"),
        ({"<pad>": 50}, "<pad> = 50"),
    ],
)
def test_dictionary_of_another_model(tmp_path: Path, change: dict[str, int], said: str) -> None:
    write_model(tmp_path)
    tokens = dictionaries("v1")["token_dictionary"] | change
    (tmp_path / "token_dictionary.pkl").write_bytes(pickle.dumps(tokens))
    medians = dictionaries("v1")["gene_median_dictionary"] | {"ENSG00000888888": 1.0}
    (tmp_path / "gene_median_dictionary.pkl").write_bytes(pickle.dumps(medians))
    with pytest.raises(ValueError, match=said):
        find_dictionaries(tmp_path, VOCAB, 0)


@pytest.mark.parametrize(
    ("tokens", "medians", "said"),
    [
        ({"<pad>": 0, "ENSG00000000001": 1}, {}, "1 of 1 have none"),
        ({"<pad>": 0, "ENSG00000000001": 1}, {"ENSG00000000001": 0.0}, "1 of 1 have none"),
        ({"<pad>": 0, "ENSG00000000001": 0}, {"ENSG00000000001": 1.0}, "a number of its own"),
        ({"ENSG00000000001": 0}, {"ENSG00000000001": 1.0}, "should have <pad>"),
        ({"<pad>": 0, "<cls>": 1}, {}, "both <cls> and <eos> or neither"),
    ],
)
def test_broken_dictionaries(tokens: dict[str, int], medians: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Dictionaries(tokens, medians)


def test_missing_twice_and_unreadable(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="1 do not exist"):
        read_dictionaries(tmp_path / "absent")
    with pytest.raises(ValueError, match="there are none in"):
        read_dictionaries(tmp_path)
    (tmp_path / "token_dictionary.json").write_text("{")
    with pytest.raises(ValueError, match="should be a JSON object"):
        read_dictionaries(tmp_path)
    for name in ("token_dictionary.json", "old_token_dictionary.json"):
        (tmp_path / name).write_text(json.dumps(dictionaries("v1")["token_dictionary"]))
    with pytest.raises(ValueError, match="both do"):
        read_dictionaries(tmp_path)
    (tmp_path / "tokens.tsv").write_text("name\ttoken\nA\t1\n")
    with pytest.raises(ValueError, match="should have a column of Ensembl ids"):
        read_dictionaries(tmp_path / "tokens.tsv")
    (tmp_path / "tokens.tsv").write_text("ensembl_id\ttoken\nENSG00000000001\t1.5\n")
    with pytest.raises(ValueError, match="should be whole numbers"):
        read_dictionaries(tmp_path / "tokens.tsv")


def test_every_spelling_of_a_gene_leads_to_its_token(known: Dictionaries) -> None:
    gene = genes_of("v2")[3]
    names = [gene, f"{gene}.12", f"{gene}_SYM3", f"{gene}.12_SYM3", f"{gene}_PAR_Y", gene.lower(), f" {gene} "]
    names += ["SYM3", "ENSG00000999999", "OLD3", "MINE"]
    matched = match_genes(names, known, aliases={"OLD3": "SYM3", "MINE": f"{gene}.1", "SYM3": "SYM4"})
    assert matched.tokens.tolist() == [known.tokens[gene]] * len(names)
    assert matched.medians == pytest.approx(known.medians[gene])


def test_repeats_are_summed_and_counted(known: Dictionaries) -> None:
    names = ["SYM1", "SYM0", f"{genes_of('v2')[1]}.4", "LOST", "ENSG00000123456"]
    matched = match_genes(names, known)
    X = sparse.csr_matrix(np.array([[1.0, 2.0, 4.0, 8.0, 16.0], [0.0, 0.0, 0.0, 1.0, 1.0]]))
    counts, medians, tokens = matched.counts(X)
    by_gene = {known.tokens[gene]: known.medians[gene] for gene in genes_of("v2")[:2]}
    assert tokens.tolist() == sorted(by_gene)
    assert medians == pytest.approx([by_gene[token] for token in sorted(by_gene)])
    assert counts.toarray().tolist() == [[2.0, 5.0], [0.0, 0.0]]
    assert matched.coverage.set_index("step")[["kept", "dropped"]].to_numpy().tolist() == [[4, 1], [3, 1], [2, 1]]
    assert "'LOST'" in matched.coverage["examples"][0]


def test_refused_and_doubtful_names(known: Dictionaries) -> None:
    with pytest.raises(ValueError, match="should be human; the names look like those of mice"):
        match_genes(["Trp53", "Egfr", "Kras", "Myc"], known)
    with pytest.raises(ValueError, match=r"of 2 names .* none has a token"):
        match_genes(["LOST", "GONE"], known)
    with pytest.warns(UserWarning, match="1 of 9 have one"):
        match_genes(["SYM1", *(f"NONE{number}" for number in range(8))], known)
