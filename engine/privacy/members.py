"""What the members of an object tell of each other: a value beside its name, and the lines of a key in a list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from aqe.engine.privacy.blocks import find_private_keys
from aqe.engine.privacy.national_ids import NAMES
from aqe.engine.privacy.redactor import scan
from aqe.engine.privacy.rules import load_rules, lower_ascii

LONGEST_NAME, LONGEST_VALUE = 100, 200
"""Characters of a name and of a value that are looked at together; a longer value is a text that tells by itself."""
_STEMS = ("tel", "t\u00e9l", "phone", "mobil", "handy", "fax", "ssn", "social", "cookie", *NAMES)
_OF_A_LINE = ("text", "line", "content", "code", "source", "value")
"""What the objects of a listing call the text of a line."""


def told_by_name(name: str, value: str | int) -> Iterator[tuple[str, str]]:
    """The pieces of a value that are secret or personal where it stands beside this name, each with its class."""
    written = str(abs(value)) if isinstance(value, int) else value
    if len(name) > LONGEST_NAME or not 4 <= len(written) <= LONGEST_VALUE or not _may_tell(name):
        return
    before = f'"{name}": ' + ('"' if isinstance(value, str) else "")
    begin, end = len(before), len(before) + len(written)
    for span in scan(before + written + before[-1]):
        if span.start < end and span.end > begin:
            yield written[max(0, span.start - begin) : span.end - begin], span.kind


@lru_cache(maxsize=4096)
def _may_tell(name: str) -> bool:
    """Whether the name holds a word at which a rule begins."""
    lowered = lower_ascii(f'"{name}": "')
    return any(stem in lowered for stem in _STEMS) or any(anchor in lowered for anchor in load_rules().by_anchor)


def lines_of_keys(value: Sequence[Any]) -> Iterator[tuple[str, str]]:
    """The pieces of private keys in PEM form whose lines stand as texts of a list, or as the texts of its objects."""
    texts = [_line_of(one) for one in value]
    if not any("PRIVATE KEY" in text for text in texts):
        return
    joined = "\n".join(texts)
    spans = sorted(find_private_keys(joined, lower_ascii(joined)))
    begin = 0
    for text in texts:
        end = begin + len(text)
        for start, stop, kind in spans:
            is_within = begin <= start and stop <= end  # which the text tells by itself
            if start < end and stop > begin and not is_within:
                yield text[max(0, start - begin) : stop - begin], kind
        begin = end + 1


def _line_of(one: Any) -> str:
    if isinstance(one, Mapping):
        one = next((one[name] for name in _OF_A_LINE if isinstance(one.get(name), str)), "")
    return one if isinstance(one, str) else ""
