"""Secrets that span lines: private keys, `curl` with credentials, the values of Kubernetes secrets.

Each finder goes through the text once; the patterns within have upper bounds.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator

CURL_REACH = 1000
CURL_LINES = 6
LONGEST_KEY = 20_000
_KEY_BEGIN = re.compile(r"-----begin[ a-z0-9_-]{0,100}?private key(?: block)?-----")
_KEY_END = re.compile(r"-----end[ a-z0-9_-]{0,100}?private key(?: block)?-----")
_KEY_LINES = re.compile(r"(?:(?:\s|\\[nr]|['\"+,#*/>| ]){0,20}[A-Za-z0-9+/=]{20,200}){1,400}")
_KEY_LINE = re.compile(r"[\s'\"+,#*/>|]{0,20}([A-Za-z0-9+/=]{1,200})(?:\\[nr])?['\",+\\\s]{0,9}")
LEAST_HALF, LEAST_LINE, MOST_KEY_LINES = 40, 20, 400
_CURL = re.compile(r"curl\b(?<!\wcurl)")
_CURL_HEADER = re.compile(
    r"""(?i)\s(?:-H|--header)(?:=|[ \t]{0,5})\\?["']"""
    r"""(?:authorization:[ \t]{0,5}(?:(?:basic|bearer|(?:api-)?token)[ \t]{1,5})?"""
    r"""|(?:x-(?:[a-z]{1,30}-){0,3})?(?:api-?)?(?:key|token):[ \t]{0,5})"""
    r"""([\w=~@.+/-]{8,1000}+)(?=\\?["'])"""
)
_CURL_USER = re.compile(
    r"""\s(?:-[a-zA-Z]{0,6}u|--user)(?:=|[ \t]{0,5})"""
    r"""\\?["']?([^\s"':$<{\\]{1,100}+:[^\s"'$<{\\*]{3,200}+)(?=\\?["']|\s|\Z)"""
)
_PLAIN_PASSWORD = re.compile(r"(?i).*:(?:change(?:it|me)|pass(?:word|wd)?|pwd|test|token|secret|x+)")
_SECRET_KIND = re.compile(r"(?m)^[ \t]{0,20}kind:[ \t]{0,5}[\"']?secret[\"']?[ \t]{0,20}\r?$")
_DATA = re.compile(r"(?m)^([ \t]{0,20})(?:data|stringdata):[ \t]{0,20}\r?$")
_ENTRY = re.compile(
    r"([ \t]{1,40})[\w.\"'-]{1,200}:[ \t]{1,20}(?:[>|][-+]?[ \t]{0,5}\r?$|[\"']?([^\s\"'{}]{4,4000}+)[\"']?)"
)


def find_private_keys(text: str, lowered: str) -> Iterator[tuple[int, int, str]]:
    """Private keys in PEM form; one that was cut off ends with its last line of key text, or begins with its first."""
    if "private key" not in lowered:
        return
    begins = list(_KEY_BEGIN.finditer(lowered))
    closes = [found.span() for found in _KEY_END.finditer(lowered)]
    ends = [end for _, end in closes]
    yield from _second_halves(text, [found.start() for found in begins], closes)
    last = 0
    for begin in begins:
        if begin.start() < last:
            continue
        place = bisect_left(ends, begin.end() + 64)
        if place < len(ends) and ends[place] - begin.start() <= LONGEST_KEY:
            last = ends[place]
        else:
            cut = _KEY_LINES.match(text, begin.end())
            if cut is None:
                continue
            last = cut.end()
        yield begin.start(), last, "private-key"


def _second_halves(text: str, begins: list[int], closes: list[tuple[int, int]]) -> Iterator[tuple[int, int, str]]:
    """The end of a key whose begin is not there: the lines of key text before `-----END`."""
    least = 0
    for close, end in closes:
        number = bisect_left(begins, close)
        if number > 0 and begins[number - 1] >= least:  # this one is whole
            least = end
            continue
        start = begin = last = text.rfind("\n", least, close) + 1 or least
        for _ in range(MOST_KEY_LINES):
            if begin <= least:
                break
            begin = text.rfind("\n", max(least, begin - 300), begin - 1) + 1 or max(least, begin - 300)
            line = _KEY_LINE.fullmatch(text, begin, start - 1)
            if line is None or (start != last and len(line[1]) < LEAST_LINE):
                break
            start = begin
        if close - start >= LEAST_HALF:
            yield start, end, "private-key"
        least = end


def find_curl_credentials(text: str, lowered: str) -> Iterator[tuple[int, int, str]]:
    """What follows -u and -H "Authorization: ..." of a curl command within six lines."""
    for begin, end in _curl_windows(lowered):
        for found in _CURL_HEADER.finditer(text, begin, end):
            if any(char.isdigit() for char in found[1]):
                yield *found.span(1), "curl-auth-header"
        for found in _CURL_USER.finditer(text, begin, end):
            if _PLAIN_PASSWORD.fullmatch(found[1]) is None and not found[1].endswith(("@", ":")):
                yield *found.span(1), "curl-auth-user"


def find_kubernetes_values(text: str, lowered: str) -> Iterator[tuple[int, int, str]]:
    """Each value below `data` and `stringData` of a YAML document of kind Secret."""
    if "kind:" not in lowered or _SECRET_KIND.search(lowered) is None:
        return
    start = 0
    for document in re.split(r"(?m)(?<=^---)", text):
        if _SECRET_KIND.search(document.lower()) is not None:
            yield from _values(document, start)
        start += len(document)


def _values(document: str, start: int) -> Iterator[tuple[int, int, str]]:
    depth: int | None = None
    block: int | None = None
    place = start
    for line in document.splitlines(keepends=True):
        indent = len(line) - len(line.lstrip(" \t"))
        if not line.strip():
            pass
        elif block is not None and indent > block:
            yield place + indent, place + len(line.rstrip()), "kubernetes-secret-yaml"
        elif depth is not None and indent > depth:
            block = None
            entry = _ENTRY.match(line)
            if entry is not None and entry[2]:
                yield place + entry.start(2), place + entry.end(2), "kubernetes-secret-yaml"
            elif entry is not None:
                block = indent
        else:
            block = depth = None
            if _DATA.match(line.lower()) is not None:
                depth = indent
        place += len(line)


def _curl_windows(lowered: str) -> Iterator[tuple[int, int]]:
    """The text that belongs to each curl command; windows that touch become one."""
    begin = end = -1
    for found in _CURL.finditer(lowered):
        if found.start() > end and begin >= 0:
            yield begin, end
            begin = -1
        begin = found.start() if begin < 0 else begin
        end = _reach(lowered, found.end())
    if begin >= 0:
        yield begin, end


def _reach(text: str, place: int) -> int:
    limit = min(len(text), place + CURL_REACH)
    for _ in range(CURL_LINES):
        line = text.find("\n", place, limit)
        if line < 0:
            return limit
        place = line + 1
    return place
