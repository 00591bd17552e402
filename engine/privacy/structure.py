"""What is secret in an object of texts, lists and objects: in its texts, in its names, and by its names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aqe.engine.privacy.arguments import MOST_ITEMS, find_in_arguments
from aqe.engine.privacy.assignments import CLASS_OF, find_named
from aqe.engine.privacy.redactor import PERSONAL, Placeholders, Redacted, redact_all
from aqe.engine.privacy.rules import looks_like_seed

SHORTEST = 6
"""No secret or personal datum that a rule knows is shorter, unless its name tells it."""
LEAST_NUMBER = 10**12
"""Smaller whole numbers are no payment card."""
LEAST_NAMED_NUMBER = 10**5
"""Smaller whole numbers are no password, whatever their name."""
_KEY_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,60}PRIVATE KEY(?: BLOCK)?-----")
_KEY_LINE = re.compile(r"[A-Za-z0-9+/=:,. -]{0,200}\s{0,4}")
_NAMES, _VALUES = ("name", "key"), ("value", "default")
_KEY_PARTS = frozenset({"d", "p", "q", "dp", "dq", "qi", "k"})
"""What of a key as JSON (RFC 7518, section 6) is its owner's alone."""
_SEED = re.compile(r"(?i).*(?:mnemonic|seed|recovery|secret)[ _-]?(?:phrase|words)?")


class Taken:
    """The texts of one object as they may leave: what is secret in one is taken out of all."""

    def __init__(self, value: Any, placeholders: Placeholders | None = None) -> None:
        self._named = dict(_named(value))
        texts = [text for text in texts_of(value) if len(text) >= SHORTEST or text in self._named]
        texts = list(dict.fromkeys([*texts, *(text for text in self._named if text.isdigit())]))
        done = redact_all(texts, placeholders=placeholders, named=self._named)
        self._done = dict(zip(texts, done, strict=True))

    def text(self, text: str) -> Redacted | None:
        """The text as it may leave; None where it is too short to hold anything."""
        return self._done.get(text)

    def number(self, value: Any) -> Redacted | None:
        """The placeholder of a whole number that is somebody's card or password, None for all other values."""
        done = self._done.get(str(value)) if _is_long(value, LEAST_NAMED_NUMBER) else None
        if done is None or str(value) in self._named:
            return done
        return done if any(span.kind in PERSONAL for span in done.spans) else None

    def of(self, value: Any) -> Any:
        """The object as it may leave."""
        if isinstance(value, str):
            return self._shown(value)
        if isinstance(value, Mapping):
            return {
                self._shown(name) if isinstance(name, str) else name: self.of(below) for name, below in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self.of(below) for below in value]
        done = self.number(value)
        return value if done is None else done.text

    def _shown(self, text: str) -> str:
        done = self._done.get(text)
        return text if done is None else done.text


def redacted(value: Any) -> Any:
    """A text, or an object of texts, lists and objects, without secrets and personal data."""
    return Taken(value).of(value)


def texts_of(value: Any) -> Iterator[str]:
    """Every text of an object of texts, lists and objects, its names and long numbers too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, below in value.items():
            if isinstance(name, str):
                yield name
            yield from texts_of(below)
    elif isinstance(value, (list, tuple)):
        for below in value:
            yield from texts_of(below)
    elif _is_long(value):
        yield str(value)


def with_texts(value: Any, instead: Mapping[str, str]) -> Any:
    """The object with other texts and names in the place of those that `instead` knows."""
    if isinstance(value, str):
        return instead.get(value, value)
    if isinstance(value, Mapping):
        return {instead.get(name, name): with_texts(below, instead) for name, below in value.items()}
    return [with_texts(below, instead) for below in value] if isinstance(value, (list, tuple)) else value


def _named(value: Any) -> Iterator[tuple[str, str]]:
    """The texts that stand under the name of a secret, as `{"password": TEXT}` or `{"name": "DB_PASSWORD", "value":
    TEXT}`, or behind an option in a list of arguments, with their class."""
    if isinstance(value, Mapping):
        named = next((str(value[name]) for name in _NAMES if isinstance(value.get(name), str)), "")
        is_key = "kty" in value
        for name, below in value.items():
            if _is_long(below, LEAST_NAMED_NUMBER):
                if str(name).lower() != "pass" and find_named(str(name), str(below)) == CLASS_OF["password"]:
                    yield str(below), CLASS_OF["password"]
            elif isinstance(below, str) and is_key and name in _KEY_PARTS:
                yield below, "private-key"
            elif isinstance(below, str) and looks_like_seed(below) and _SEED.fullmatch(str(name)):
                yield below, "seed-phrase"
            elif isinstance(below, str):
                kind = find_named(str(name), below) or (find_named(named, below) if named and name in _VALUES else None)
                if kind is not None:
                    yield below, kind
            else:
                yield from _named(below)
    elif isinstance(value, (list, tuple)):
        yield from _arguments(value)
        yield from _lines_of_keys(value)
        for below in value:
            yield from _named(below)


def _arguments(value: Sequence[Any]) -> Iterator[tuple[str, str]]:
    texts = [text for text in value[:MOST_ITEMS] if isinstance(text, str)]
    if len(texts) > 1 and any(text.startswith("-") for text in texts):
        for number, begin, end, kind in find_in_arguments(texts):
            is_whole = begin == 0 and end == len(texts[number])
            if is_whole or " " not in texts[number]:  # what is within a longer one is found there by itself
                yield texts[number], kind


def _lines_of_keys(value: Sequence[Any]) -> Iterator[tuple[str, str]]:
    """The lines of a private key in PEM form that stand as texts of their own one after the other."""
    is_inside = False
    for text in value:
        if not isinstance(text, str):
            is_inside = False
        elif _KEY_BEGIN.search(text) is not None:
            is_inside = "-----END" not in text
        elif is_inside:
            if "-----END" in text or _KEY_LINE.fullmatch(text) is None:
                is_inside = False
            elif text.strip():
                yield text, "private-key"


def _is_long(value: Any, least: int = LEAST_NUMBER) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) >= least
