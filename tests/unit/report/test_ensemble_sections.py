"""The sections on an ensemble count right, in words, and show nothing that the tables did not say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from galenic.plots.figures.ensembles import link_map, stability_curve
from galenic.report import Run, start, write_report
from galenic.report.blocks import Figures, Table, Text
from galenic.report.ensembles import agreed, dimensions, pathways
from galenic.report.sections import glossary

EVIL = '<script>alert("1")</script>'


def tables() -> dict[str, pd.DataFrame]:
    """Six members of two families with five latents each: 20 latents in 3 dimensions, 7 alone, 3 idle."""
    latents = pd.DataFrame(
        [(family, 5, run, node) for family in ("ae", "vae") for run in range(3) for node in range(5)],
        columns=["family", "size", "run", "node"],
    )
    ae = [0, 1, 2, -1, -1, 0, 1, 2, -1, 0, 0, 1, 1, -1, 1]
    vae = [0, 1, -1, -1, -1, 0, 1, 0, -1, 0, 0, 1, 0, -1, -1]
    cluster = np.array(ae + vae)
    latents["cluster"] = cluster
    latents["sign"] = 1.0
    latents["agreement"] = np.where(cluster >= 0, 0.9 - 0.2 * cluster, np.nan)
    latents["link"] = np.where(cluster >= 0, 0.9, 0.3)
    latents.loc[latents.index[cluster < 0][-3:], "link"] = np.nan
    r = np.where(cluster[:, None] == cluster, 0.8, 0.0) + 0.2 * np.eye(30)
    order = np.argsort(np.where(cluster < 0, 9, cluster), kind="stable")[:-3]
    links = pd.DataFrame(r[np.ix_(order, order)], columns=[f"r_{i}" for i in range(27)])
    links.insert(0, "latent", [f"m/{i}" for i in order])
    links.insert(1, "cluster", cluster[order])
    curve = pd.DataFrame({"n_clusters": [2, 3, 4, 60], "stability": [0.5, 0.9, 0.88, 0.2], "error": 0.03})
    curve["chosen"] = curve["n_clusters"] == 4
    genes = pd.DataFrame(
        [(d, side, rank) for d in range(3) for side in ("up", "down") for rank in range(1, 8)],
        columns=["dimension", "direction", "rank"],
    )
    genes["gene"] = [f"{1000 + i}" for i in range(len(genes))]
    genes["symbol"] = [f"G{i}" for i in range(len(genes))]
    genes.loc[0, "symbol"] = EVIL
    genes.loc[1, "symbol"] = "NA"
    genes["weight"] = np.where(genes["direction"] == "up", 1.0, -1.0) / genes["rank"]
    genes["spread"] = 0.1
    found = pd.DataFrame({"dimension": [0, 1, 0, 2], "pathway": ["p53", "p53", EVIL, "stress"], "n": 10})
    found = found.assign(n_top=[9, 8, 3, 0], odds=[np.inf, 30.0, 2.0, 0.0], p_value=[1e-9, 1e-5, 0.03, 1.0])
    found = found.assign(q_value=[4e-9, 2e-5, 0.04, 1.0], t=[1.0, 0.5, -6.0, 0.0], p_ulm=0.5, q_ulm=0.9)
    return {"latents": latents, "latent_links": links, "stability": curve, "dimensions": genes, "pathways": found}


FIELDS = {"shared": 0.5, "merge": 0.9, "n_consensus": None, "choose": "stability"}


def written(folder: Path, found: dict[str, pd.DataFrame], **fields: object) -> Run:
    with start(folder, verb="fit", command="galenic fit deeppert", fields=FIELDS | fields, title="An ensemble") as run:
        for name, table in found.items():
            run.write(name, table)
    return run


def texts(section) -> str:
    return " ".join(block.text for block in section.blocks if isinstance(block, Text))


def test_latents_are_counted_in_words(tmp_path: Path) -> None:
    said = texts(agreed(written(tmp_path / "run", tables())))
    assert "6 members gave 30 latents. 20 (67 %) form 3 dimensions." in said
    assert "7 (23 %) were set aside, as no latent of another member correlates with them by 0.50 or more" in said
    assert "and 3 more, as they are constant" in said
    assert "Used, by family: ae 73 %, vae 60 %." in said
    assert "(0.50 to 0.90 over dimensions)" in said
    assert "1 dimension rests on fewer than 3 members: trust it less." in said
    assert "4 clusters is the largest number" in said
    assert "correlate by 0.90 or more became one, which leaves 3 dimensions" in said
    assert "Halves agree poorly" not in said


def test_dimensions_that_hardly_agree_are_counted(tmp_path: Path) -> None:
    found = tables()
    found["latents"]["agreement"] -= 0.25
    said = texts(agreed(written(tmp_path / "run", found)))
    assert "(0.25 to 0.65 over dimensions). In 2 of 3 dimensions it is below 0.5" in said


def test_the_order_of_rows_says_nothing(tmp_path: Path) -> None:
    found = tables()
    one = written(tmp_path / "one", found)
    shuffled = found | {
        name: found[name].sample(frac=1, random_state=0) for name in ("dimensions", "pathways", "stability")
    }
    other = written(tmp_path / "other", shuffled)
    for section in (dimensions, pathways, agreed):
        assert texts(section(one)) == texts(section(other))
    for a, b in zip(dimensions(one).blocks, dimensions(other).blocks, strict=True):
        assert a == b


@pytest.mark.parametrize(
    ("change", "fields", "words"),
    [
        ({"stability": 0.3}, {}, "Halves agree poorly"),
        (None, {"n_consensus": 3}, "The number of dimensions, 3, was given."),
        (None, {"choose": "g-means"}, "comes from G-means"),
    ],
)
def test_how_the_number_came_about(tmp_path: Path, change, fields, words: str) -> None:
    found = tables()
    curve = found.pop("stability")
    if change:
        found["stability"] = curve.assign(**change)
    assert words in texts(agreed(written(tmp_path / "run", found, **fields)))


def test_nothing_was_set_aside_and_latents_stand_alone(tmp_path: Path) -> None:
    latents = tables()["latents"].assign(cluster=np.arange(30), agreement=np.nan, link=np.nan)
    said = texts(agreed(written(tmp_path / "run", {"latents": latents})))
    assert "None was set aside." in said
    assert "No dimension has two latents that could agree." in said
    assert "30 dimensions rest on fewer than 3 members" in said


def test_dimensions_and_genes(tmp_path: Path) -> None:
    run = written(tmp_path / "run", tables())
    summary, genes = dimensions(run).blocks
    assert isinstance(summary, Table)
    assert [row[0].text for row in summary.rows] == ["0", "1", "2"]
    assert summary.rows[0][4] == f"{EVIL}, NA, G2, G3, G4"
    assert summary.rows[0][5] == "G7, G8, G9, G10, G11"
    assert [getattr(row[6], "text", row[6]) for row in summary.rows] == ["p53", "p53", "–"]
    assert len(genes.rows) == 42
    assert genes.is_searchable
    bars = [row[2].bar for row in genes.rows]
    assert max(bars) == 1.0
    assert min(bars) == -1.0
    without = tables()
    del without["pathways"]
    assert "first pathway" not in dimensions(written(tmp_path / "other", without)).blocks[0].head


def test_a_pathway_counts_once(tmp_path: Path) -> None:
    run = written(tmp_path / "run", tables(), pathways={"top": 50})
    section = pathways(run)
    assert "Of 3 pathways, 2 stand out among the top 50 genes of one dimension at least" in texts(section)
    assert "By the signed weights of all genes none stands out." in texts(section)
    assert "all 4 tests together, 3 dimensions × 3 pathways" in section.how
    table = section.blocks[1]
    assert [row[1] for row in table.rows] == ["p53", "p53", EVIL]
    assert table.rows[0][3].text == "∞"
    none = tables()["pathways"].assign(q_value=1.0)
    section = pathways(written(tmp_path / "none", {"pathways": none}))
    assert [block.kind for block in section.blocks] == ["bad"]
    assert "none stands out among the top genes" in texts(section)


def test_the_map_shows_what_the_table_holds() -> None:
    found = tables()
    figure = link_map(found["latent_links"])
    heat = figure.data[0]
    np.testing.assert_allclose(np.array(heat.z, dtype=float), found["latent_links"].filter(like="r_"), atol=0.005)
    assert list(heat.x) == list(heat.y)
    assert figure.layout.xaxis.ticktext == ("0", "1", "2", "aside")
    many = pd.DataFrame(np.eye(90), columns=[f"r_{i}" for i in range(90)])
    many.insert(0, "latent", [f"m/{i}" for i in range(90)])
    many.insert(1, "cluster", [*([0] * 40), *range(1, 41), *([-1] * 10)])
    shown = link_map(many).layout.xaxis
    places = [list(link_map(many).data[0].x).index(name) for name in shown.tickvals]
    assert np.diff(places).min() >= 90 / 18
    assert shown.ticktext[-1] == "aside"
    # Three edges between four groups, a line each way.
    assert len(figure.layout.shapes) == 6
    places = {shape.x0 for shape in figure.layout.shapes if shape.x0 == shape.x1}
    counts = found["latent_links"]["cluster"].value_counts()
    assert places == {counts[0] - 0.5, counts[0] + counts[1] - 0.5, 19.5}
    curve = stability_curve(found["stability"])
    assert curve.layout.xaxis.type == "log"
    assert list(curve.data[1].x) == [4]


def test_the_page_escapes_names_and_explains_words(tmp_path: Path) -> None:
    run = written(tmp_path / "run", tables())
    page = write_report(run.folder).read_text(encoding="utf-8")
    assert EVIL not in page
    assert "What the members agree on" in page
    words = dict(glossary(run).blocks[0].items)
    assert "Set aside" in words
    assert "RMSE" not in words


def test_a_run_without_an_ensemble_has_no_such_section(tmp_path: Path) -> None:
    run = written(tmp_path / "run", {})
    assert agreed(run) is dimensions(run) is pathways(run) is None
    alone = written(tmp_path / "alone", {"latents": tables()["latents"]})
    assert not any(isinstance(block, Figures) for block in agreed(alone).blocks)
    assert dimensions(alone) is None
