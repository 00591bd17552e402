"""Files of vectors that somebody made, or changes beneath an open store: refused in one sentence, or harmless."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from aqe.simd import Bound, Hybrid, Postings, Vectors

Header = dict[str, Any]
HEAD = struct.Struct("<8sII")
ROWS, DIM = 1100, 128
QUERY = np.ones(DIM, np.float32)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file with codes, an inverted file and rows of all levels."""
    vectors = Vectors(DIM)
    vectors.add(np.arange(ROWS), np.random.default_rng(0).normal(size=(ROWS, DIM)).astype(np.float32))
    vectors.demote(range(9), "int8")
    vectors.build(4)
    file = tmp_path_factory.mktemp("saved") / "rows.vec"
    vectors.save(file)
    return file.read_bytes()


def header_of(data: bytes) -> Header:
    """The header of a file."""
    length = HEAD.unpack(data[: HEAD.size])[1]
    found: Header = json.loads(data[HEAD.size : HEAD.size + length])
    return found


def with_header(data: bytes, header: str) -> bytes:
    """The file with another header, and the right checksum of that."""
    said = header.encode()
    head = HEAD.pack(b"aqevec1\n", len(said), zlib.crc32(said)) + said
    assert len(head) < 4096
    return head + b"\0" * (4096 - len(head)) + data[4096:]


def test_the_premise_a_header_written_anew_opens(saved: bytes, tmp_path: Path) -> None:
    """A file whose header was written anew without a change opens and answers."""
    (tmp_path / "rows.vec").write_bytes(with_header(saved, json.dumps(header_of(saved))))
    opened = Vectors.open(tmp_path / "rows.vec")
    assert (opened.structure, len(opened.search(QUERY, ROWS)[0])) == ("ivf", ROWS)


CHANGES: dict[str, tuple[tuple[str, ...], Any]] = {
    "times that wrap a size": (("facts", "lists", "times"), 2**51),
    "patience of nothing": (("facts", "lists", "patience"), 0),
    "patience that is no number": (("facts", "lists", "patience"), "x"),
    "lists beyond all rows": (("facts", "lists", "rows"), 10**9),
    "lists that are a number": (("facts", "lists"), 7),
    "a distance of nothing": (("facts", "lists", "distance"), None),
    "rows of a coding": (("facts", "coding", "rows"), "x"),
    "a coding with another fact": (("facts", "coding", "more"), 1),
    "a unit below zero": (("facts", "coding", "unit_f"), -1.0),
    "a spread without end": (("facts", "coding", "spread"), float("inf")),
    "rows without end": (("facts", "rows"), 2**70),
    "a dimension that is a truth": (("facts", "dim"), True),
    "facts that are a list": (("facts",), []),
    "arrays that are nothing": (("arrays",), None),
    "an array that is a word": (("arrays", "ids"), "x"),
    "an odd offset": (("arrays", "ids", "2"), 4097),
    "an offset before the file": (("arrays", "ids", "2"), -4096),
    "a shape without end": (("arrays", "ids", "1"), [2**70]),
    "a checksum of nothing": (("arrays", "ids", "4"), None),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_header_that_cannot_be_is_refused(saved: bytes, tmp_path: Path, kind: str) -> None:
    """A header that says what cannot be, its checksum right, is refused by name when the file is opened."""
    places, value = CHANGES[kind]
    header = header_of(saved)
    at: Any = header
    for place in places[:-1]:
        at = at[place]
    at[int(places[-1]) if isinstance(at, list) else places[-1]] = value
    (tmp_path / "rows.vec").write_bytes(with_header(saved, json.dumps(header)))
    with pytest.raises(ValueError, match=r"rows\.vec is (not a file of vectors|damaged)"):
        Vectors.open(tmp_path / "rows.vec")


@pytest.mark.parametrize("said", ["[]", "7", "{}", "{", "[" * 2000])
def test_a_header_that_is_something_else_is_refused(saved: bytes, tmp_path: Path, said: str) -> None:
    """A header that is no header, its checksum right, is refused by name."""
    (tmp_path / "rows.vec").write_bytes(with_header(saved, said))
    with pytest.raises(ValueError, match=r"rows\.vec is damaged: its header"):
        Vectors.open(tmp_path / "rows.vec")


@pytest.mark.parametrize("name", ["lists row_of", "lists starts"])
def test_lists_that_change_beneath_an_open_store_harm_nothing(saved: bytes, tmp_path: Path, name: str) -> None:
    """A mapped file whose lists come to name rows or blocks that are none is searched without a fault."""
    file = tmp_path / "rows.vec"
    file.write_bytes(saved)
    opened = Vectors.open(file)
    _, _, offset, length, _ = header_of(saved)["arrays"][name]
    with file.open("r+b") as open_file:
        open_file.seek(offset)
        open_file.write(b"\xfe\xff\xff\x7f" * (length // 4))
        os.fsync(open_file.fileno())
    assert len(opened.search(QUERY, 5)[0]) <= 5


def test_a_place_that_is_no_file_is_an_os_error(tmp_path: Path) -> None:
    """A save without a name, or into a folder that is not there, is an OSError that names what was given."""
    vectors = Vectors(2)
    with pytest.raises(OSError, match="names none"):
        vectors.save("")
    with pytest.raises(FileNotFoundError) as missing:
        vectors.save(tmp_path / "none" / "rows.vec")
    assert missing.value.filename == str(tmp_path / "none" / "rows.vec")


def test_a_row_at_an_odd_address_is_taken() -> None:
    """Rows that stand at no multiple of four are held as they are."""
    rows = np.random.default_rng(1).normal(size=(1100, DIM)).astype(np.float32)
    odd = np.frombuffer(b"\0" + rows.tobytes(), np.uint8)[1:].view(np.float32).reshape(rows.shape)
    vectors = Vectors(DIM, "dot")
    vectors.add(np.arange(1100), odd)
    assert (vectors.get([0, 1099]) == rows[[0, 1099]]).all()
    assert vectors.search(odd[7], 1)[0].tolist() == [7]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Vectors(cast("int", 1.5)), "dim must be a whole number, got float"),
        (lambda: Vectors(2).add([True], [[1, 2]]), "ids must be whole numbers .*got bool"),
        (
            lambda: Vectors(2).add([1], np.ma.masked_array([[1, 2]], [[False, True]])),
            "array must not be a masked array",
        ),
        (lambda: Vectors(2).delete(np.ma.masked_array([1], [True])), "ids must not be a masked array"),
        (lambda: Vectors(2).search(np.ma.masked_array([1, 2]), 1), "query must not be a masked array"),
        (lambda: Vectors(DIM).build(), "needs rows, and none are held"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(call: Callable[[], Any], said: str) -> None:
    """A number that is not whole, a truth for an id, a mask and an inverted file of nothing are refused by name."""
    with pytest.raises((TypeError, ValueError), match=said):
        call()


@pytest.mark.parametrize("mask", [False, [True, *[False] * (DIM - 1)]], ids=["nothing masked", "a masked item"])
def test_a_masked_query_is_refused_wherever_one_is_given(mask: Any) -> None:
    """A float32 array with a mask, which the extension could read, is refused as rows with one are."""
    rows = np.eye(DIM, dtype=np.float32)
    vectors = Vectors(DIM)
    vectors.add(np.arange(DIM), rows)
    query = np.ma.masked_array(rows[0], mask)
    asked: list[Callable[[], Any]] = [
        lambda: vectors.search(query, 1),
        lambda: vectors.search(query, 1, allow=[1]),
        lambda: vectors.exact(query, 1),
        lambda: vectors.scores(query, [1]),
        lambda: Bound(rows).of(query),
        lambda: Hybrid(vectors, Postings()).search(query, [b"a"], 1, 0.5),
    ]
    for ask in asked:
        with pytest.raises(TypeError, match="query must not be a masked array"):
            ask()
    vectors.build()
    with pytest.raises(TypeError, match="query must not be a masked array"):
        vectors.search(query, 1)
