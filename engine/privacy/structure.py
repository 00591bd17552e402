"""What is secret in an object of texts, lists and objects: in its texts, in its names, and by its names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aqe.engine.privacy.arguments import MOST_ITEMS, find_in_arguments
from aqe.engine.privacy.assignments import CLASS_OF, find_named
from aqe.engine.privacy.members import lines_of_keys, told_by_name
from aqe.engine.privacy.redactor import PERSONAL, Placeholders, Redacted, Span, put_placeholders, redact_all
from aqe.engine.privacy.rules import looks_like_seed

SHORTEST = 6
"""No secret or personal datum that a rule knows is shorter, unless its name tells it."""
LEAST_NUMBER = 10**12
"""Smaller whole numbers are no payment card."""
LEAST_NAMED_NUMBER = 1000
"""Smaller whole numbers are no password, whatever their name."""
_NAMES, _VALUES = ("name", "key"), ("value", "default")
_KEY_PARTS = frozenset({"d", "p", "q", "dp", "dq", "qi", "k"})
"""What of a key as JSON (RFC 7518, section 6) is its owner's alone."""
_SEED = re.compile(r"(?i).*(?:mnemonic|seed|recovery|secret)[ _-]?(?:phrase|words)?")


class Taken:
    """The texts of one object as they may leave: what is secret in one is taken out of all."""

    def __init__(self, value: Any, placeholders: Placeholders | None = None) -> None:
        names = Placeholders() if placeholders is None else placeholders
        named: dict[str, str] = {}
        numbers: dict[tuple[str, int], str] = {}
        for place, what, kind in _named(value):
            if isinstance(what, int):
                numbers[place, what] = kind
            else:
                named[what] = kind
        texts = [text for text in texts_of(value) if len(text) >= SHORTEST or text in named]
        texts = list(dict.fromkeys(texts))
        for text in texts:
            names.meet(text)
        for what, kind in [*named.items(), *((str(abs(what)), kind) for (_, what), kind in numbers.items())]:
            names.learn(what, [Span(0, len(what), kind)])
        done = redact_all(texts, placeholders=names, named=named)
        self._done = dict(zip(texts, done, strict=True))
        self._numbers = {
            place: put_placeholders(digits, [Span(0, len(digits), kind)], names)
            for place, kind in numbers.items()
            if (digits := str(abs(place[1])))
        }

    def text(self, text: str) -> Redacted | None:
        """The text as it may leave; None where it is too short to hold anything."""
        return self._done.get(text)

    def number(self, value: Any, name: str = "") -> Redacted | None:
        """The placeholder of a whole number that is somebody's card, or that its `name` tells; None for all others."""
        if not _is_long(value, LEAST_NAMED_NUMBER):
            return None
        done = self._numbers.get((name, value))
        if done is not None:
            return done
        done = self._done.get(str(abs(value)))
        return done if done is not None and any(span.kind in PERSONAL for span in done.spans) else None

    def of(self, value: Any, name: str = "") -> Any:
        """The object as it may leave; `name` is what a value stands under."""
        if isinstance(value, str):
            return self._shown(value)
        if isinstance(value, Mapping):
            return {
                self._shown(key) if isinstance(key, str) else key: self.of(below, str(key))
                for key, below in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self.of(below) for below in value]
        done = self.number(value, name)
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
        yield str(abs(value))


def with_texts(value: Any, instead: Mapping[str, str]) -> Any:
    """The object with other texts and names in the place of those that `instead` knows."""
    if isinstance(value, str):
        return instead.get(value, value)
    if isinstance(value, Mapping):
        return {instead.get(name, name): with_texts(below, instead) for name, below in value.items()}
    return [with_texts(below, instead) for below in value] if isinstance(value, (list, tuple)) else value


def _named(value: Any) -> Iterator[tuple[str, str | int, str]]:
    """What stands under the name of a secret, as `{"password": TEXT}` or `{"name": "DB_PASSWORD", "value": TEXT}`, or
    behind an option in a list of arguments, or is a line of a key: its name, the text or number, and its class."""
    if isinstance(value, Mapping):
        named = next((str(value[name]) for name in _NAMES if isinstance(value.get(name), str)), "")
        is_key = "kty" in value
        for name, below in value.items():
            if isinstance(below, str) and is_key and name in _KEY_PARTS:
                yield str(name), below, "private-key"
            elif isinstance(below, str) or _is_long(below, LEAST_NAMED_NUMBER):
                yield from _under(str(name), below, str(name))
                if named and name in _VALUES:
                    yield from _under(named, below, str(name))
            else:
                yield from _named(below)
    elif isinstance(value, (list, tuple)):
        yield from (("", text, kind) for text, kind in (*_arguments(value), *lines_of_keys(value)))
        for below in value:
            yield from _named(below)


def _under(name: str, value: str | int, place: str) -> Iterator[tuple[str, str | int, str]]:
    """What of a text or a number is secret where it stands under `name`."""
    if isinstance(value, int):
        if name.lower() != "pass" and find_named(name, str(abs(value))) == CLASS_OF["password"]:
            yield place, value, CLASS_OF["password"]
        else:
            digits = str(abs(value))
            yield from ((place, value, kind) for piece, kind in told_by_name(name, value) if piece == digits)
        return
    kind = "seed-phrase" if looks_like_seed(value) and _SEED.fullmatch(name) else find_named(name, value)
    if kind is not None:
        yield place, value, kind
    else:
        yield from ((place, piece, kind) for piece, kind in told_by_name(name, value))


def _arguments(value: Sequence[Any]) -> Iterator[tuple[str, str]]:
    texts = [text for text in value[:MOST_ITEMS] if isinstance(text, str)]
    if len(texts) > 1 and any(text.startswith("-") for text in texts):
        for number, begin, end, kind in find_in_arguments(texts):
            is_whole = begin == 0 and end == len(texts[number])
            if is_whole or " " not in texts[number]:  # what is within a longer one is found there by itself
                yield texts[number], kind


def _is_long(value: Any, least: int = LEAST_NUMBER) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) >= least
