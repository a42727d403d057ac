"""The page of a search: what was asked, hits, enriched labels and the map, and nothing that the tables did not say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from galenic.plots.figures.search import neighbour_map
from galenic.report import Run, start, write_report
from galenic.report.blocks import Drawings, Figures, Table, Text
from galenic.report.neighbours import neighbours
from galenic.report.search import asked, enriched, hits
from galenic.report.sections import glossary

EVIL = '<script>alert("1")</script>&amp;<img src=http://x.y onerror=alert(1)>'


def tables(n: int = 12, queries: tuple[str, ...] = ("vorinostat",)) -> dict[str, pd.DataFrame]:
    """What a search writes, with a name that would be markup and one called NA."""
    names = ["NA", EVIL, *(f"compound {i}" for i in range(2, n))]
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in ("query", "hits", "enrichment", "map")}
    for query in queries:
        parts["query"].append(
            pd.DataFrame(
                [
                    {
                        "query": query,
                        "kind": "perturbagen",
                        "pert_id": "BRD-1",
                        "n_profiles": 7,
                        "agreement": 0.4,
                        "strength_quantile": 0.63,
                        "flag": None,
                        "reason": None,
                        "reverse": False,
                        "smiles": "CCO",
                        "level": "perturbagen",
                        "searched": 900,
                        "moa": "HDAC inhibitor",
                    }
                ]
            )
        )
        hit = pd.DataFrame({"query": query, "rank": np.arange(1, n + 1), "id": [f"BRD-{i}" for i in range(n)]})
        hit = hit.assign(pert_id=hit["id"], pert_name=names, similarity=np.linspace(0.9, -0.2, n), n_profiles=3)
        hit["moa"] = ["HDAC inhibitor", "HDAC inhibitor", "statin", "statin|x", *[None] * (n - 4)]
        hit["target"] = ["A|B|C|D|E", *[None] * (n - 1)]
        hit["smiles"], hit["tanimoto"] = ["CCO", "c1ccccc1", *[None] * (n - 2)], [1.0, 0.05, *[np.nan] * (n - 2)]
        parts["hits"].append(hit)
        found = {"n": [9, 4], "n_in_hits": [6, 4], "k": 12, "odds": [21.0, np.inf], "p_value": [1e-6, 0.02]}
        more = {"q_value": [2e-5, 0.06], "auroc": [0.94, 0.7], "p_rank": [0.001, 0.2], "q_rank": [0.01, 0.5]}
        parts["enrichment"].append(
            pd.DataFrame(
                {"query": query, "kind": ["moa", "target"], "label": ["HDAC inhibitor", "HDAC1"], **found, **more}
            )
        )
        point = hit[["query", "id", "rank", "similarity", "moa"]].assign(name=hit["pert_name"], role="hit")
        other = pd.DataFrame({"query": query, "id": [f"o{i}" for i in range(30)], "name": "other", "role": "other"})
        own = pd.DataFrame([{"query": query, "id": query, "name": query, "role": "query"}])
        place = pd.concat([own, point, other.assign(moa=None)], ignore_index=True)
        rng = np.random.default_rng(0)
        parts["map"].append(place.assign(x=rng.normal(size=len(place)), y=rng.normal(size=len(place))))
    return {name: pd.concat(part, ignore_index=True) for name, part in parts.items()}


def written(folder, found: dict[str, pd.DataFrame], **fields: object) -> Run:
    with start(folder, verb="search", command="galenic search query", fields=fields, title="What acts like it") as run:
        for name, table in found.items():
            run.write(name, table)
    return run


@pytest.fixture
def run(tmp_path):
    return written(tmp_path / "run", tables())


def texts(section) -> str:
    return " ".join(block.text for block in section.blocks if isinstance(block, Text))


def test_the_page_has_all_sections_and_no_markup_from_names(run):
    html = write_report(run.folder).read_text(encoding="utf-8")
    for key in ("query", "hits", "enrichment", "neighbours"):
        assert f'<section id="{key}"' in html
    assert EVIL not in html
    assert "onerror=alert" not in html.replace("&lt;img src=http://x.y onerror=alert(1)&gt;", "").replace(
        "\\u003cimg src=http://x.y onerror=alert(1)\\u003e", ""
    ).replace("\\u0026lt;img src=http://x.y onerror=alert(1)\\u0026gt;", "")
    assert "<svg" in html


def test_a_run_without_a_search_has_no_such_section(tmp_path):
    other = written(tmp_path / "other", {})
    assert [make(other) for make in (asked, hits, enriched, neighbours)] == [None] * 4


def test_a_query_without_doubts_is_good_and_others_say_why(tmp_path, run):
    section = asked(run)
    assert "vorinostat (BRD-1): one vector of 7 profiles" in texts(section)
    assert "Compared with 900 perturbagens" in texts(section)
    assert "more genes than 63% of the profiles" in texts(section)
    assert [block.kind for block in section.blocks] == ["", "good"]
    found = tables()
    found["query"] = found["query"].assign(flag="weak, far", reason="fewer changed genes than 95% of the profiles")
    section = asked(written(tmp_path / "weak", found))
    assert section.blocks[1].kind == "warning"
    assert "fewer changed genes than 95%" in section.blocks[1].text
    assert "far from everything" in section.blocks[1].text


@pytest.mark.parametrize(
    ("row", "kind", "words"),
    [
        ({"distance_quantile": 0.2}, "good", "near what is known, nearer than 80% of the known profiles"),
        ({"distance_quantile": 0.7}, "good", "farther from what is known than 70%"),
        ({"distance_quantile": 0.95}, "note", "It lies farther from what is known than 95% of the known profiles lie"),
        ({"vehicles": 40, "vehicle_strength": 0.97, "vehicle_similarity": 1.0}, "good", "than 97% of 40 vehicles"),
        ({"vehicles": 40, "vehicle_strength": 0.97, "vehicle_similarity": 0.6}, "note", "those of 40% of the vehicles"),
        ({"vehicles": 0, "vehicle_strength": np.nan}, "good", "Too few vehicles came with the reference"),
    ],
)
def test_what_chance_gives_is_said_of_a_query(tmp_path, row, kind, words):
    found = tables()
    found["query"] = found["query"].assign(**row)
    block = asked(written(tmp_path / "run", found)).blocks[1]
    assert block.kind == kind
    assert words in block.text
    assert ("Nothing speaks against" in block.text) == (kind == "good")


def test_a_filter_is_told_with_what_it_leaves_whole(tmp_path):
    found = tables()
    found["query"] = found["query"].assign(where="cell BT20", profiles_compared=35)
    said = texts(asked(written(tmp_path / "run", found)))
    assert "Only profiles with cell BT20 were compared, 35 of them; the query itself keeps all its profiles." in said


def test_hits_say_above_how_many_pairs_they_are(tmp_path):
    found = tables()
    found["hits"] = found["hits"].assign(above=[0.99999, 0.998, *[0.5] * 10])
    section = hits(written(tmp_path / "run", found))
    table = section.blocks[0]
    at = table.head.index("above")
    assert at == table.head.index("similarity") + 1
    assert [row[at].text for row in table.rows[:3]] == ["> 99.9 %", "99.8 %", "50.0 %"]
    assert "of the same kind" in table.hints["above"]
    assert "higher than of > 99.9 % of pairs" in section.how


def test_a_search_has_words_of_its_own(run, tmp_path):
    words = dict(glossary(run).blocks[0].items)
    assert {"Similarity, cosine", "Above", "Structure (Tanimoto)", "Agreement", "Far", "Weak"} <= set(words)
    said = " ".join([*words, *words.values()])
    assert not any(word in said for word in ("patient", "RMSE", "Ceiling"))
    with start(tmp_path / "other", verb="benchmark", command="", fields={}, title="") as other:
        pass
    assert "RMSE" in dict(glossary(other).blocks[0].items)


COUNTS = {"up_known": 40, "up_listed": 50, "down_known": 0, "down_listed": 0}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            {"kind": "profile", "genes_known": 90, "genes": 97, "reverse": True},
            "90 of the 97 genes of the model. It was",
        ),
        ({"kind": "gene lists", **COUNTS}, "40 of 50 raised are measured"),
    ],
    ids=["profile", "gene lists"],
)
def test_every_kind_of_query_is_told(tmp_path, row, words):
    found = tables()
    found["query"] = found["query"].drop(columns=["n_profiles", "agreement"]).assign(**row)
    assert words in texts(asked(written(tmp_path / "run", found)))


def test_hits_have_bars_and_structures(run):
    section = hits(run)
    table = next(block for block in section.blocks if isinstance(block, Table))
    assert table.head == ["perturbagen", "rank", "similarity", "mechanism", "target", "structure", "profiles"]
    assert table.is_searchable
    first = table.rows[0]
    assert (first[0].text, first[0].note) == ("NA", "BRD-0")
    assert first[2].bar == 1
    assert table.rows[-1][2].bar == pytest.approx(-0.2 / 0.9)
    assert first[4] == "A, B, C and 2 more"
    assert table.rows[3][3] == "statin, x"
    drawn = next(block for block in section.blocks if isinstance(block, Drawings))
    assert [caption for caption, _ in drawn.items] == [
        "Query: vorinostat",
        "1. NA, structure 1.00",
        f"2. {EVIL}, structure 0.05",
    ]


def test_a_similarity_that_is_corrected_stands_beside_its_cosine(tmp_path):
    found = tables()
    found["hits"] = found["hits"].assign(
        cosine=found["hits"]["similarity"], similarity=found["hits"]["similarity"] - 0.9
    )
    table = hits(written(tmp_path / "run", found)).blocks[0]
    assert table.head[2:4] == ["similarity", "cosine"]
    assert table.rows[0][2].text == "0.000"
    assert (table.rows[0][3].text, table.rows[0][3].bar) == ("0.900", 1)


def test_enriched_labels_are_named(tmp_path, run):
    section = enriched(run)
    assert "HDAC inhibitor (6 of 9, q < 0.001)" in texts(section)
    assert "HDAC1" not in texts(section)
    assert section.blocks[0].kind == "good"
    assert "the first with a known label, a tenth of all that were searched, at least 10" in section.how
    assert "a tenth of all that were searched" in section.blocks[1].hints["among hits"]
    found = tables()
    found["enrichment"]["q_value"] = 0.5
    assert "no mechanism or target is enriched" in texts(enriched(written(tmp_path / "none", found)))
    found["enrichment"] = found["enrichment"].head(0)
    assert "none can be tested" in texts(enriched(written(tmp_path / "empty", found)))


def test_the_map_has_a_star_and_colours_for_frequent_mechanisms(run):
    figure = neighbour_map(run.table("map"))
    named = {trace.name: trace for trace in figure.data}
    assert named["query"].marker.symbol == "star"
    assert len(named["HDAC inhibitor"].x) == 2
    assert len(named["hits, other mechanisms"].x) == 10
    assert len(named["others"].x) == 30
    assert len(figure.layout.annotations) == 5
    assert len({(note.ax, note.ay) for note in figure.layout.annotations}) == 5
    assert not any("<script" in note.text for note in figure.layout.annotations)
    assert "rank 1, similarity 0.90" in named["HDAC inhibitor"].text[0]
    without = run.table("map").query("role != 'query'").assign(moa=np.nan)
    assert [trace.name for trace in neighbour_map(without).data] == ["others", "hits"]


def test_several_queries_share_the_page(tmp_path):
    run = written(tmp_path / "run", tables(queries=tuple(f"q{i}" for i in range(8))))
    assert any(isinstance(block, Table) for block in asked(run).blocks)
    table = hits(run).blocks[0]
    assert table.head[0] == "query"
    assert table.choose == ("query",)
    section = neighbours(run)
    assert len(next(block for block in section.blocks if isinstance(block, Figures)).figures) == 4
    assert "first 4 of 8" in texts(section)
    assert write_report(run.folder).is_file()


def test_a_search_without_finds_says_so(tmp_path):
    found = {name: table.head(0) if name != "query" else table for name, table in tables().items()}
    run = written(tmp_path / "run", found)
    assert "Nothing was left" in texts(hits(run))
    assert neighbours(run) is None
    assert write_report(run.folder).is_file()
