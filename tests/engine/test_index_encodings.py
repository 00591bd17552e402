"""The project index: files of other encodings than UTF-8, and vectors of another embedder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aqe.engine.embedding import open_embedder
from aqe.engine.index import IndexReport, index_project
from aqe.engine.memory import Store
from aqe.engine.retrieval import waiting
from aqe.engine.settings import Settings


@pytest.fixture
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store beside the project."""
    with Store.open(tmp_path_factory.mktemp("store") / "aqe.db") as store:
        yield store


def run(memory: Store, project: Path) -> IndexReport:
    return index_project(memory, None, project)


def test_declared_encoding_of_a_module_counts_where_it_is_read_as_text_too(memory: Store, tmp_path: Path) -> None:
    """A module that declares Latin-1 is read as such, also one that does not parse."""
    (tmp_path / "fine.py").write_bytes(b'# coding: latin-1\nWORD = "caf\xe9 parcel"\n')
    (tmp_path / "half.py").write_bytes(b'# coding: latin-1\nWORD = "caf\xe9 letter\n')
    run(memory, tmp_path)
    texts = " ".join(hit.memory.text for hit in memory.search("caf\xe9 parcel letter", namespace="index/").hits)
    assert ("caf\xe9 parcel" in texts, "caf\xe9 letter" in texts, "\ufffd" in texts) == (True, True, False)


@pytest.mark.parametrize("coding", ["undefined", "punycode", "unicode_escape", "raw_unicode_escape", "utf-7", "rot13"])
def test_an_odd_coding_line_stops_nothing(memory: Store, tmp_path: Path, coding: str) -> None:
    """A module whose coding line names what gives no text is found by its words, and so is what comes after it."""
    body = "WORD = 'parcel+2AA-'" if coding == "utf-7" else r"WORD = 'parcel \ud800'"
    (tmp_path / "odd.py").write_bytes(f"# coding: {coding}\n{body}\n".encode())
    (tmp_path / "zz.md").write_text("# Letters\n\nA parcel is no letter.\n")
    report = run(memory, tmp_path)
    found = {hit.memory.provenance.file for hit in memory.search("parcel", namespace="index/").hits}
    assert (report.files, found) == (2, {"odd.py", "zz.md"})


def test_text_that_is_not_utf_8_is_indexed_and_named_with_its_place(memory: Store, tmp_path: Path) -> None:
    """A Latin-1 page is found by its other words, and named each time with the first byte that is not UTF-8; a UTF-16
    one is a text, and one that only begins as UTF-16 is binary."""
    (tmp_path / "latin.md").write_bytes(b"# Prices\n\nThe caf\xe9 takes a surcharge.\n")
    (tmp_path / "wide.md").write_bytes("The postage of a letter.\n".encode("utf-16"))
    (tmp_path / "data.md").write_bytes(b"\xff\xfe\x00\x00odd bytes\x00\x00")
    (tmp_path / "more.md").write_bytes(b"\xff\xfe\x00\xd8\x00\xd8 odd bytes")
    for report in (run(memory, tmp_path), run(memory, tmp_path)):
        assert {one.file: one.reason.partition(";")[0] for one in report.left_out} == {
            "data.md": "binary",
            "latin.md": "not UTF-8: byte 0xe9 in line 3",
            "more.md": "binary",
        }
    found = {hit.memory.provenance.file for hit in memory.search("surcharge postage odd", namespace="index/").hits}
    assert found == {"latin.md", "wide.md"}


def test_vectors_of_another_embedder_are_made_anew_with_a_count(tmp_path: Path) -> None:
    """An index that no file changed in embeds what waits for a vector, and says how many of how many are done."""
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "page.md").write_text("# Page\n\nA parcel costs 390 cents.\n")
    with Store.open(tmp_path / "aqe.db") as store:
        index_project(store, None, tmp_path / "p")
        embedder, seen = open_embedder(Settings()), list[str]()
        report = index_project(store, embedder, tmp_path / "p", progress=lambda text, *_: seen.append(text))
        assert (report.new, waiting(store, embedder)) == (0, 0)
    assert seen[-1] == "Embedding memories anew: 1 of 1"
