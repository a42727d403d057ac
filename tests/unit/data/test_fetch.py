"""Whatever the line and the server do: the right file, each byte once where that can be, or words that say why not."""

from __future__ import annotations

import errno
import gzip
import hashlib
import warnings
from dataclasses import replace
from urllib.parse import urlsplit

import numpy as np
import pytest
from web import Page, Web, write_catalogue

from galenic.data.fetch import FetchError, fetch, find, read_catalogue
from galenic.data.fetch.catalogue import HOUSES, PLAIN_NAME, SHIPPED, DataSet, Licence, RemoteFile
from galenic.data.fetch.download import Resuming
from galenic.work.atomic import NoRoomError

CONTENT = np.random.default_rng(0).bytes(3_000_000)
SHA = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
FREE = Licence(name="CC BY", url="https://example.org/by", accept=False)
STRICT = Licence(name="Academic only", url="https://example.org/strict", accept=True)


@pytest.fixture
def web():
    with Web() as web:
        web.pages["/a"], web.pages["/b"] = Page(CONTENT), Page(CONTENT)
        yield web


@pytest.fixture
def waited(monkeypatch):
    """The pauses that would have been made."""
    pauses = []
    monkeypatch.setattr("galenic.data.fetch.download.time.sleep", pauses.append)
    return pauses


def a_set(web, *, hashes=(SHA,), licence=FREE, urls=("a",), **of_file):
    file = RemoteFile(name="x.bin", role="h5ad", urls=tuple(f"{web.url}/{u}" for u in urls), hashes=hashes, **of_file)
    words = dict.fromkeys(("title", "holds", "organism", "version", "citation", "then"), "words")
    return DataSet(name="small", licence=licence, house="cells as they are", doi=("10/1",), files=(file,), **words)


@pytest.fixture
def get(tmp_path):
    """Fetch a set into a cache of its own."""

    def get(data, **options):
        catalogue = write_catalogue(tmp_path / "catalogue.toml", [data])
        return fetch("small", cache=tmp_path / "cache", catalogue=catalogue, **options)

    return get


def download(web, tmp_path, urls=("a",), hashes=(SHA,), **options):
    """The downloader alone; gives the file it made."""
    target, out = tmp_path / "x.bin", tmp_path / "out"
    options.setdefault("pause", lambda seconds: None)
    Resuming(target, [f"{web.url}/{url}" for url in urls], hashes, **options)("", out, None)
    return out.read_bytes()


# ------------------------------------------------------------------------------------------------------ the line


@pytest.mark.parametrize("seed", range(3))
def test_a_line_that_drops_costs_no_byte_twice(web, tmp_path, seed):
    rng = np.random.default_rng(seed)
    web.pages["/a"].does = [("drop", int(n)) for n in rng.integers(1, 700_000, size=4)]
    assert download(web, tmp_path) == CONTENT
    assert web.sent == len(CONTENT)
    assert len(web.asked) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_line_that_brings_something_each_time_may_drop_ever_so_often(web, tmp_path):
    web.pages["/a"].does = [("drop", 100_000)] * 20
    assert download(web, tmp_path, tries=1) == CONTENT


def test_a_line_that_brings_nothing_is_given_up_and_the_next_call_goes_on(web, tmp_path):
    web.pages["/a"].does = [("drop", 1_000_000), *[("drop", 0)] * 4]
    pauses = []
    with pytest.raises(FetchError, match=r"x.bin should come whole.*/a .*\(4 times\).*goes on where it stopped"):
        download(web, tmp_path, pause=pauses.append)
    assert pauses == [1.0, 1.0, 2.0, 4.0]
    assert (tmp_path / ".x.bin.part").stat().st_size == 1_000_000
    assert download(web, tmp_path) == CONTENT
    assert web.sent == len(CONTENT)


@pytest.mark.parametrize("hashes", [(SHA,), ()])
def test_a_server_without_ranges_sends_it_all_again(web, tmp_path, hashes):
    web.pages["/a"] = Page(CONTENT, ranges=False, does=[("drop", 500_000)])
    assert download(web, tmp_path, hashes=hashes) == CONTENT
    assert web.ranges("/a") == ["", "bytes=500000-"]
    assert web.sent == 500_000 + len(CONTENT)


@pytest.mark.parametrize("mark", [{"etag": '"two"'}, {"etag": "", "modified": "Wed, 25 Nov 2026 00:00:00 GMT"}])
@pytest.mark.parametrize("if_range", [True, False])
def test_a_file_that_changed_meanwhile_comes_whole(web, tmp_path, mark, if_range):
    first = {**mark, **({"etag": '"one"'} if mark["etag"] else {"modified": "Tue, 24 Nov 2026 00:00:00 GMT"})}
    web.pages["/a"] = Page(b"old" * 400_000, **first, does=[("drop", 600_000), *[500] * 4])
    with pytest.raises(FetchError):
        download(web, tmp_path, hashes=())
    web.pages["/a"] = Page(CONTENT, **mark, if_range=if_range)
    assert download(web, tmp_path, hashes=()) == CONTENT


def test_without_a_mark_or_a_hash_a_part_is_not_continued(web, tmp_path):
    web.pages["/a"] = Page(CONTENT, etag="", does=[("drop", 500_000)])
    assert download(web, tmp_path, hashes=()) == CONTENT
    assert web.ranges("/a") == ["", ""]


def test_pieces_of_two_versions_that_nothing_marks_are_told_by_the_hash(web, tmp_path):
    web.pages["/a"] = Page(bytes(len(CONTENT)), etag="", does=[("drop", 500_000), *[500] * 4])
    with pytest.raises(FetchError):
        download(web, tmp_path)
    web.pages["/a"] = Page(CONTENT, etag="")
    assert download(web, tmp_path) == CONTENT
    assert web.ranges("/a")[-2:] == ["bytes=500000-", ""]


def test_a_part_that_is_whole_already_needs_no_byte(web, tmp_path):
    web.pages["/a"].does = [("drop", len(CONTENT) - 1), *[500] * 4]
    with pytest.raises(FetchError):
        download(web, tmp_path)
    with (tmp_path / ".x.bin.part").open("ab") as part:
        part.write(CONTENT[-1:])
    sent = web.sent
    assert download(web, tmp_path) == CONTENT
    assert web.sent == sent


def test_a_part_longer_than_the_file_begins_anew(web, tmp_path):
    web.pages["/a"].does = [("drop", 500_000), *[500] * 4]
    with pytest.raises(FetchError):
        download(web, tmp_path)
    (tmp_path / ".x.bin.part").write_bytes(bytes(len(CONTENT) + 5))
    assert download(web, tmp_path) == CONTENT


def test_a_server_that_is_slow_to_answer_is_not_waited_for(web, tmp_path):
    web.pages["/a"].does = [("stall", 0)] * 9
    assert download(web, tmp_path, urls=("a", "b"), tries=0, timeout=(1.0, 0.05)) == CONTENT


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
def test_a_server_in_trouble_is_asked_again(web, tmp_path, status):
    web.pages["/a"].does = [status, status]
    assert download(web, tmp_path) == CONTENT


def test_it_is_asked_again_when_it_says_but_not_next_year(web, tmp_path):
    web.pages["/a"].does = [(503, 7), (503, 10_000_000)]
    pauses = []
    assert download(web, tmp_path, pause=pauses.append) == CONTENT
    assert pauses == [7.0, 60.0]


def test_no_network_is_said(tmp_path):
    nobody = "http://127.0.0.1:9/x.bin"
    with pytest.raises(FetchError, match=r"none gave it: http://127.0.0.1:9/x.bin cannot be reached"):
        Resuming(tmp_path / "x.bin", [nobody], pause=lambda seconds: None)("", tmp_path / "out", None)
    assert not list(tmp_path.iterdir())


# -------------------------------------------------------------------------------------------------- the addresses


@pytest.mark.parametrize("first", [404, 403, 410, 202, 204, "html"])
def test_the_next_address_is_asked_where_one_has_no_file(web, tmp_path, first):
    web.pages["/a"].does = [first]
    assert download(web, tmp_path, urls=("a", "b")) == CONTENT
    assert [path for path, _ in web.asked] == ["/a", "/b"]


def test_the_next_address_is_asked_where_one_has_another_file(web, tmp_path):
    web.pages["/a"] = Page(b"another")
    assert download(web, tmp_path, urls=("a", "b")) == CONTENT


def test_one_of_several_hashes_is_enough(web, tmp_path):
    other = f"sha256:{'0' * 64}"
    md5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
    for hashes in ((other, SHA), (other, md5), (md5, SHA)):
        assert download(web, tmp_path, hashes=hashes) == CONTENT


def test_a_part_is_continued_where_it_came_from(web, tmp_path):
    web.pages["/a"].does = [404]
    web.pages["/b"].does = [("drop", 800_000), *[500] * 4]
    with pytest.raises(FetchError):
        download(web, tmp_path, urls=("a", "b"))
    assert download(web, tmp_path, urls=("a", "b")) == CONTENT
    assert web.ranges("/b")[-1] == "bytes=800000-"
    assert web.sent == len(CONTENT)


def test_a_redirect_is_followed_also_with_a_range(web, tmp_path):
    web.pages["/a"].does = [("to", "/b"), ("to", f"{web.url}/b")]
    web.pages["/b"].does = [("drop", 100_000)]
    assert download(web, tmp_path) == CONTENT
    assert web.sent == len(CONTENT)


@pytest.mark.parametrize("target", ["ftp://example.org/x", "file:///etc/passwd", "gopher://x", "javascript:x"])
def test_a_redirect_out_of_the_web_is_refused(web, tmp_path, target):
    web.pages["/a"].does = [("to", target)]
    with pytest.raises(FetchError, match="which is not http or https"):
        download(web, tmp_path)


def test_redirects_in_a_circle_end(web, tmp_path):
    web.pages["/a"].does = [("to", "/a")] * 50
    with pytest.raises(FetchError, match="more than 10 times"):
        download(web, tmp_path)


# ------------------------------------------------------------------------------------------------------- the disk


def test_a_file_too_large_for_the_disk_is_refused_before_it_is_written(web, tmp_path):
    web.pages["/a"].does = [("length", 10**15)]
    with pytest.raises(NoRoomError, match=r"x.bin needs 1,000,000.0 GB more in .*are free.*--cache"):
        download(web, tmp_path)
    assert (tmp_path / ".x.bin.part").stat().st_size == 0


def test_a_set_too_large_for_the_disk_is_refused_before_anything_is_asked(web, get):
    with pytest.raises(NoRoomError, match=r"small needs 1,000,000.0 GB more"):
        get(a_set(web, bytes=10**15))
    assert not web.asked


def test_a_disk_that_fills_keeps_what_arrived(web, tmp_path, monkeypatch):
    class Full:
        def __init__(self, file):
            self.file, self.left = file, 1

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, block):
            if not self.left:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.left -= 1
            self.file.write(block)

        def flush(self):
            self.file.flush()

    with monkeypatch.context() as patched:
        patched.setattr("galenic.data.fetch.part.Part.open", lambda part: Full(part.path.open("ab")))
        with pytest.raises(NoRoomError, match=r"x.bin needs room; the disk of .* is full\. What arrived is kept"):
            download(web, tmp_path)
    kept = (tmp_path / ".x.bin.part").read_bytes()
    assert 0 < len(kept) < len(CONTENT)
    assert CONTENT.startswith(kept)
    assert download(web, tmp_path) == CONTENT


# ------------------------------------------------------------------------------------------------------ the cache


def test_what_is_there_is_not_fetched_again(web, get, tmp_path):
    (path,) = get(a_set(web))
    assert path == tmp_path / "cache" / "small" / "x.bin"
    assert path.read_bytes() == CONTENT
    assert get(a_set(web)) == [path]
    assert len(web.asked) == 1
    assert sorted(one.name for one in path.parent.iterdir()) == ["LICENCE.txt", "x.bin"]


def test_a_file_that_was_damaged_is_fetched_again(web, get):
    (path,) = get(a_set(web))
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(FetchError, match="changed or damaged since"):
        get(a_set(web), offline=True)
    with pytest.warns(UserWarning, match="changed or damaged since it was fetched; it is fetched again"):
        get(a_set(web))
    assert path.read_bytes() == CONTENT


def test_a_wrong_file_never_gets_the_name(web, get, tmp_path):
    web.pages["/a"] = Page(b"another")
    with pytest.raises(FetchError, match=rf"expected {SHA}; received sha256:{hashlib.sha256(b'another').hexdigest()}"):
        get(a_set(web))
    assert [one.name for one in (tmp_path / "cache" / "small").iterdir()] == ["LICENCE.txt"]


def test_a_file_without_a_published_hash_must_stay_what_it_was(web, get):
    data = a_set(web, hashes=())
    with pytest.warns(UserWarning, match=r"no hash of x.bin is published.*x.bin.sha256"):
        (path,) = get(data)
    noted = path.with_name("x.bin.sha256")
    assert noted.read_text() == f"{SHA.removeprefix('sha256:')}  x.bin\n"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        get(data)
        path.unlink()
        get(data)  # the same again
    path.unlink()
    web.pages["/a"] = Page(b"another")
    with pytest.raises(FetchError, match=f"expected {SHA}"):
        get(data)
    noted.unlink()
    with pytest.warns(UserWarning, match="no hash"):
        get(data)
    assert path.read_bytes() == b"another"


def test_a_file_that_was_put_there_by_hand_is_taken_and_noted(web, get, tmp_path):
    folder = tmp_path / "cache" / "small"
    folder.mkdir(parents=True)
    (folder / "x.bin").write_bytes(b"from a browser")
    data = a_set(web, hashes=())
    with pytest.warns(UserWarning, match="no hash of x.bin is published"):
        (path,) = get(data)
    assert path.read_bytes() == b"from a browser"
    assert not web.asked
    path.write_bytes(b"changed")
    with pytest.raises(FetchError, match="changed or damaged"):
        get(data, offline=True)
    with pytest.warns(UserWarning, match="changed or damaged"):
        get(a_set(web))  # a published hash is the one that counts
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("listed", ["{digits} *x.bin", "{digits}  suppl/x.bin", "# {digits}\n{digits}  x.bin"])
@pytest.mark.parametrize("right", [True, False])
def test_sums_that_are_published_with_a_file_hold_for_it(web, get, listed, right):
    digits = hashlib.sha512(CONTENT if right else b"another").hexdigest()
    web.pages["/sums"] = Page(gzip.compress(f"{listed.format(digits=digits)}\n{'0' * 128}  y.bin\n".encode()))
    data = a_set(web, hashes=(), sums="SUMS.gz")
    sums = RemoteFile(name="SUMS.gz", role="sums", urls=(f"{web.url}/sums",))
    data = replace(data, files=(sums, *data.files))
    told = pytest.warns(UserWarning, match="no hash of SUMS.gz")
    if right:
        with told:
            paths = get(data)
        assert paths[1].read_bytes() == CONTENT
    else:
        with told, pytest.raises(FetchError, match=f"expected sha512:{digits}"):
            get(data)


def test_offline_uses_the_cache_alone(web, get, monkeypatch):
    with pytest.raises(FetchError, match=r"offline, x.bin should be in .*; it is not"):
        get(a_set(web), offline=True)
    monkeypatch.setenv("GALENIC_OFFLINE", "1")
    with pytest.raises(FetchError, match="offline"):
        get(a_set(web))
    assert not web.asked
    paths = get(a_set(web), offline=False)
    assert get(a_set(web)) == paths


def test_copies_nearby_are_asked_first(web, get, monkeypatch):
    web.pages["/copies/small/x.bin"] = Page(CONTENT)
    (path,) = get(a_set(web), mirrors=[f"{web.url}/copies/"])
    path.unlink()
    monkeypatch.setenv("GALENIC_MIRROR", f"{web.url}/copies")
    get(a_set(web))
    path.unlink()
    get(a_set(web), mirrors=[f"{web.url}/empty"])
    assert [one for one, _ in web.asked] == ["/copies/small/x.bin"] * 2 + ["/empty/small/x.bin", "/a"]
    with pytest.raises(ValueError, match="should start with https://"):
        get(a_set(web), mirrors=["ftp://example.org"])


def test_the_licence_is_accepted_once(web, get, tmp_path):
    data = a_set(web, licence=STRICT)
    with pytest.raises(ValueError, match=r"licence of small should be accepted.*Academic only.*--accept-licence"):
        get(data)
    assert not web.asked
    get(data, accept_licence=True)
    get(data)
    note = (tmp_path / "cache" / "small" / "LICENCE.txt").read_text()
    assert "Academic only" in note
    assert "https://doi.org/10/1" in note
    assert "Accepted by the user on 2" in note
    changed = replace(data, licence=replace(STRICT, name="Something else"))
    with pytest.raises(ValueError, match="Something else"):
        get(changed)


def test_progress_only_rises_and_ends_at_the_size(web, get, waited):
    web.pages["/a"].does = [("drop", 1_500_000)]
    told = []
    get(a_set(web), progress=lambda *one: told.append(one))
    assert {(name, total) for name, _, total in told} == {("x.bin", len(CONTENT))}
    done = [one[1] for one in told]
    assert done == sorted(done)
    assert done[-1] == len(CONTENT)
    assert waited == [1.0]


def test_the_cache_is_where_it_is_said(web, tmp_path, monkeypatch):
    catalogue = write_catalogue(tmp_path / "catalogue.toml", [a_set(web)])
    monkeypatch.setenv("GALENIC_CATALOGUE", str(catalogue))
    monkeypatch.setenv("GALENIC_CACHE", str(tmp_path / "by-variable"))
    assert fetch("small") == [tmp_path / "by-variable" / "small" / "x.bin"]
    assert fetch("small", cache=tmp_path / "named") == [tmp_path / "named" / "small" / "x.bin"]


# ------------------------------------------------------------------------------------------------- the catalogue


def test_every_entry_of_the_shipped_catalogue_is_complete():
    sets = read_catalogue(SHIPPED)
    assert len(sets) >= 40
    for name, data in sets.items():
        assert data.name == name
        assert all((data.title, data.holds, data.organism, data.version, data.citation, data.then))
        assert data.doi
        assert all(one.startswith("10.") for one in data.doi)
        assert urlsplit(data.licence.url).scheme == "https"
        assert "{cohort}" not in repr(replace(data, family=""))
        roles = [file.role for file in data.files]
        assert len(set(roles)) == len(roles), name
        for file in data.files:
            assert PLAIN_NAME.fullmatch(file.name)
            assert all(urlsplit(url).scheme == "https" for url in file.urls)
            assert len(set(file.urls)) == len(file.urls)
            assert not (file.bytes and file.about_bytes)


def test_what_was_asked_for_is_in_the_catalogue():
    names = set(read_catalogue(SHIPPED))
    assert names >= {
        *("gdsc1-response", "gdsc2-response", "gdsc-expression", "gdsc-binary", "depmap-expression", "depmap-models"),
        *("ccle-expression", "prism-secondary", "prism-primary", "l1000-phase1", "l1000-phase2", "repurposing-hub"),
        *("l1000-phase1-level4", "l1000-phase2-level4", "sci-plex", "kang", "tcga-pancan", "tcga-brca", "tcga-luad"),
    }


def test_sums_come_before_the_files_that_they_hold_for():
    for data in read_catalogue(SHIPPED).values():
        names = [file.name for file in data.files]
        for file in data.files:
            assert not file.sums or names.index(file.sums) < names.index(file.name)


def test_a_name_stands_for_the_same_file_wherever_it_stands():
    """A correction in one set must not be forgotten in another."""
    seen = {}
    for data in read_catalogue(SHIPPED).values():
        for file in data.files:
            facts = (file.urls, file.bytes, file.hashes)
            assert seen.setdefault(file.name, facts) == facts, file.name


def test_every_house_is_used_and_every_converter_exists():
    from galenic.data.fetch.house import CONVERTERS

    assert set(CONVERTERS) == set(HOUSES) == {data.house for data in read_catalogue(SHIPPED).values()}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'version = "GSE96583',
            'versoin = "GSE96583',
            r"set 'kang' should have the keys.*'versoin'. Did you mean 'version'",
        ),
        ("[sets.kang]", "[sets.kang", "should be TOML"),
        ('name = "kang_2018.h5ad"', 'name = "../kang_2018.h5ad"', "stays in its folder"),
        ('name = "kang_2018.h5ad"', 'name = ".hidden"', "stays in its folder"),
        ("bytes = 38356412", "bytes = true", "bytes of set 'kang', file 1 should be int; it is True"),
        ("bytes = 38356412", 'bytes = "38"', "bytes of set 'kang', file 1 should be int"),
        ('"sha256:e6a5', '"sha256:E6A5', "and its digits"),
        ('"sha256:e6a5', '"sha1:e6a5', "and its digits"),
        ('"https://exampledata.scverse.org', '"ftp://exampledata.scverse.org', "should start with https://"),
        ('"https://exampledata.scverse.org', '"https:///', "should start with https://"),
        ('licence = "kang"', 'licence = "kong"', "should have a licence, one of gdsc, .*'kong'"),
        ('house = "cells as they are"', 'house = "magic"', "be converted by one of"),
        ('needs = ["gdsc-expression"]', 'needs = ["gdsc-expresion"]', "Did you mean 'gdsc-expression'"),
        ('role = "h5ad"\n', "", "it lacks role"),
        ("[licences.kang]", "[licence.kang]", "should have the keys licences, sets; it has 'licence'. Did you mean"),
    ],
)
def test_a_mistake_in_the_table_is_told(tmp_path, old, new, message):
    text = SHIPPED.read_text()
    assert old in text
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=message):
        read_catalogue(wrong)
    with pytest.raises(FileNotFoundError, match="--catalogue or GALENIC_CATALOGUE"):
        read_catalogue(tmp_path / "absent.toml")


@pytest.mark.parametrize(
    ("name", "near"), [("GDSC2-response", "gdsc2-response"), ("l1000phase1", "l1000-phase1"), ("sciplex", "sci-plex")]
)
def test_a_name_that_is_nearly_right_is_told(name, near):
    with pytest.raises(ValueError, match=f"Did you mean '{near}'"):
        find(name, read_catalogue(SHIPPED))
    with pytest.raises(ValueError, match="Choose one of these"):
        find("zzzzzz", read_catalogue(SHIPPED))
