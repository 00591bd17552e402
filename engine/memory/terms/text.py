"""Words of prose and code as the text index sees them: subtokens, lower-cased and stemmed.

An identifier is split on underscores, case and digits, so `parseHTTPHeader_v2` and "parsing http headers" meet.
Stemming is Porter2 for English (snowball).
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain
from typing import cast

from aqe.engine.errors import UserError

QUERY_TERMS = 64
LONG_QUERY = 512
"""The terms of a long prompt that are weighed, so that the telling ones among them can be asked for."""

_LONGEST = 64
_RUN = re.compile(r"[^\W\d_]+|\d+")
_CASE = re.compile(r"(?<=[a-zß-öø-ÿ])(?=[A-ZÀ-ÖØ-Þ])|(?<=[A-ZÀ-ÖØ-Þ])(?=[A-ZÀ-ÖØ-Þ][a-zß-öø-ÿ])")
_PLAIN = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")  # in ASCII what the two above find together
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_local = threading.local()


def subtokens(text: str) -> list[str]:
    """The subtokens of `text`, in order, with repetitions.

    >>> subtokens("parseHTTPHeader_v2 parses the headers")
    ['pars', 'http', 'header', 'v', '2', 'pars', 'the', 'header']
    """
    if text.isascii():
        if len(_words) > _KEPT:
            _words.clear()
        words = text.encode("ascii").translate(_APART).split()
        return [*chain.from_iterable(map(_words.__getitem__, words))]  # `_words[word]` takes three times as long
    return [token for run in _RUN.findall(unicodedata.normalize("NFKC", text)) for token in _tokens(run)]


def subtokens_of(word: bytes) -> list[str]:
    """The subtokens of a run of ASCII letters and digits.

    >>> subtokens_of(b"HTTPHeaders")
    ['http', 'header']
    """
    if len(_words) > _KEPT:
        _words.clear()
    return _words[word]


def check_query(query: object, *, has_vector: bool) -> None:
    """Refuse a search for nothing, or for what is no text. Raises `UserError` (bad-query)."""
    if query is None and not has_vector:
        raise UserError("The search has neither a text nor a vector.", code="bad-query", fix="Give one of them.")
    if query is not None and not isinstance(query, str):
        raise UserError(f"The query is {type(query).__name__}, not a text.", code="bad-query", fix="Give a string.")


def index_text(text: str) -> str:
    """The subtokens of `text` with blanks between them, as the text index is told them.

    >>> index_text("parseHTTPHeader_v2")
    'pars http header v 2'
    """
    if not text.isascii():
        return " ".join(subtokens(text))
    if len(_joined) > _KEPT:
        _joined.clear()
    return " ".join(map(_joined.__getitem__, text.encode("ascii").translate(_APART).split()))


def query_terms(text: str, *, most: int = QUERY_TERMS) -> list[str]:
    """The distinct subtokens of a query, the first `most` of them."""
    return [*_query_terms(text, most)]


@lru_cache(maxsize=128)
def _query_terms(text: str, most: int) -> tuple[str, ...]:
    return tuple(dict.fromkeys(subtokens(text)))[:most]


def match_expression(terms: Sequence[str]) -> str:
    """An FTS5 expression that finds any of `terms`; each is quoted, so nothing in it is syntax.

    >>> match_expression(["near", "x"])
    '"near" OR "x"'
    """
    return " OR ".join('"' + term.replace('"', '""') + '"' for term in terms)


@lru_cache(maxsize=65_536)
def _tokens(run: str) -> tuple[str, ...]:
    """The subtokens of a run of letters or of digits."""
    if _UNSPACED.search(run):  # scripts without spaces: overlapping pairs
        return tuple(run[at : at + 2] for at in range(max(1, len(run) - 1)))
    return tuple(_stem(part) for part in _CASE.split(run))


class _Words(dict[bytes, list[str]]):
    """The subtokens of runs of letters and digits."""

    def __missing__(self, word: bytes) -> list[str]:
        text = word.decode("ascii")
        found = [_stem(part) for part in ((text,) if word.isalpha() and word.islower() else _PLAIN.findall(text))]
        if len(word) <= _LONGEST:
            self[word] = found
        return found


class _Joined(dict[bytes, str]):
    """The subtokens of runs of letters and digits, with blanks between them."""

    def __missing__(self, word: bytes) -> str:
        found = " ".join(_words[word])
        if len(word) <= _LONGEST:
            self[word] = found
        return found


_KEPT = 65_536
_APART = bytes(byte if chr(byte).isalnum() and byte < 128 else 32 for byte in range(256))
_words = _Words()
_joined = _Joined()


def _stem(word: str) -> str:
    word = word.casefold()[:_LONGEST]
    if len(word) < 3 or word.isdigit():
        return word
    stem = getattr(_local, "stem", None)
    if stem is None:
        stem = _local.stem = _new_stemmer()
    return str(stem(word))


def _new_stemmer() -> Callable[[str], str]:
    """Porter2 for one thread (a snowball stemmer holds the word it works on): Snowball's C, or where that cannot be
    loaded its Python, which gives the same stems and takes thirty times as long."""
    try:
        from Stemmer import Stemmer
    except ImportError:
        from snowballstemmer.english_stemmer import EnglishStemmer

        return cast("Callable[[str], str]", EnglishStemmer().stemWord)
    return cast("Callable[[str], str]", Stemmer("english", 0).stemWord)  # 0: words are kept here, not there
