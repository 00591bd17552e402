"""Whether the text index says of every current memory what its text says: which words, how often, and where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import apsw

from aqe.engine.memory.care.checks import Looked, Wrong, each
from aqe.engine.memory.terms.text import subtokens

_PLACES = "CREATE VIRTUAL TABLE IF NOT EXISTS temp.places USING fts5vocab('main', 'texts', 'instance')"
_SPREAD = 2_147_483_647
_LISTED = f"SELECT term, count(*), sum((doc * 1000003 + offset * 7919) % {_SPREAD}) FROM temp.places GROUP BY term"
"""Of each word how many places the index lists, and a sum that another row or place of any of them would change."""


@dataclass
class _Texts:
    """What the texts of current memories say: of each row its number of words, and of each word what `_LISTED` says."""

    sizes: dict[int, int] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    words: dict[str, list[int]] = field(default_factory=dict)


def check_text_index(connection: apsw.Connection) -> Looked:
    """Every current memory is in the text index with all its words in their places, and nothing else is."""
    texts = _read_texts(connection)
    sizes: list[Any] = connection.execute("SELECT id, sz FROM texts_docsize").fetchall()
    listed = {int(row): next(_varints(bytes(size)), 0) for row, size in sizes}
    missing = [name for row, name in texts.names.items() if row not in listed]
    different = [texts.names[row] for row, words in listed.items() if row in texts.names and words != texts.sizes[row]]
    strange = [str(row) for row in listed if row not in texts.names]
    wrong = [
        *each(
            missing,
            "memory is not in the text index",
            "memories are not in the text index",
            "no search finds it by words",
        ),
        *each(
            different,
            "entry of the text index has other words",
            "entries of the text index have other words",
            "searches find by wrong words",
        ),
        *each(
            strange,
            "entry of the text index belongs to nothing",
            "entries of the text index belong to nothing",
            "that takes space",
        ),
    ]
    return len(texts.names), wrong or _check_words(connection, texts)


def _read_texts(connection: apsw.Connection) -> _Texts:
    texts = _Texts()
    sql = "SELECT row, namespace, id, CAST(text AS BLOB) FROM memories WHERE valid_to IS NULL"
    for row, namespace, id, raw in connection.execute(sql):
        words = subtokens(bytes(raw or b"").decode("utf-8", "replace"))
        texts.sizes[row], texts.names[row] = len(words), f"{namespace}/{id}"
        for offset, word in enumerate(words):
            found = texts.words.setdefault(word, [0, 0])
            found[0] += 1
            found[1] += (row * 1_000_003 + offset * 7919) % _SPREAD
    return texts


def _check_words(connection: apsw.Connection, texts: _Texts) -> list[Wrong]:
    """Words whose places in the index are not those in the texts, and the totals that ranking takes its averages of."""
    connection.execute(_PLACES)
    listed = {str(term): [int(count), int(places)] for term, count, places in connection.execute(_LISTED)}
    other = sorted(word for word in listed.keys() | texts.words.keys() if listed.get(word) != texts.words.get(word))
    meaning = "searches by these words find other memories"
    wrong = each(
        other,
        "word of the text index is listed in other places than it stands in",
        "words of the text index are listed in other places than they stand in",
        meaning,
    )
    totals = list(_varints(bytes(connection.execute("SELECT block FROM texts_data WHERE id = 1").get or b"")))
    if totals[:2] != [len(texts.sizes), sum(texts.sizes.values())] and (texts.sizes or any(totals)):
        wrong.append(Wrong("the totals of the text index are wrong", "searches by words are ranked in another order"))
    return wrong


def _varints(data: bytes) -> Iterator[int]:
    """The numbers of a list in SQLite's variable-length form (each at most 8 bytes of 7 bits)."""
    value = 0
    for byte in data:
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            yield value
            value = 0
