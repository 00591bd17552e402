"""Passwords in lines whose fields have places instead of names: cookies, `.pgpass`, Postfix's tables, texts of a shell.

Each finder begins at a literal that is looked for first; what is then matched has upper bounds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from aqe.engine.privacy.extents import line_begin
from aqe.engine.privacy.values import is_no_value, is_secret, looks_random

COMMAND, COOKIE, PLACE, HASH = "command-password", "session-cookie", "password-field", "password-hash"
REACH = 300
"""Characters of a line that are looked at."""
_COOKIE_PAIR = re.compile(r"([\w.-]{1,60}+)=([^\s;,\"'<>]{1,4000}+)")
_COOKIE_NAME = re.compile(r"(?i).*(?:sess|sid|auth|token|jwt|remember|login|identity|ticket|csrf|credential).*")
_PGPASS = re.compile(
    r"(?<![^\r\n])[\w.*-]{1,100}:(?:\d{2,5}|\*):[^:\s]{1,60}:[^:\s]{1,60}:"
    r"((?:[^\s:\\]|\\.){3,200}+)(?=[ \t]{0,9}(?:[\r\n]|\Z))"
)
_OF_USER = re.compile(r"(?<![^\n])[^\s:#]{1,100}:([^\s:]{4,300}+)(?=[:\s]|\Z)")
_POSTGRES_PORTS = (":543", ":6432:", "*:*:*:")
_GO_HOSTS = ("@tcp(", "@unix(", "@tcp6(")
_GO_USER = re.compile(r"(?<![\w.-])[\w.-]{1,60}:([^\s@\"'`/:$<{]{3,200}+)\Z")
_SASL = re.compile(r"\]:\d{2,5}[ \t]{1,20}[^\s:]{1,100}:([^\s]{4,200}+)(?=[ \t]{0,9}(?:[\r\n]|\Z))")
_HERE_TEXT = re.compile(r"<<<(?!<)[ \t]?[\"']?([^\s\"'$]{4,200}+)")
_HERE = re.compile(
    r"\bsudo\b.{0,40} -\w{0,5}s|--(?:with-token|password-stdin|stdin)|\bpasswd\b"
    r"|\bread\b.{0,40}\b\w{0,20}(?:pass|pw|pwd|passw\w+)\b"
)


def find_in_fields(text: str, lowered: str, path: str | None) -> Iterator[tuple[int, int, str]]:
    """Begin, end and class of each password or cookie that its field tells, in no order."""
    yield from _cookies(text, lowered)
    yield from _fields(text, path)
    yield from _here_texts(text, lowered)


def _cookies(text: str, lowered: str) -> Iterator[tuple[int, int, str]]:
    place = lowered.find("cookie:")
    while place >= 0:
        end = text.find("\n", place, place + 4000)
        end = min(len(text), place + 4000) if end < 0 else end
        for found in _COOKIE_PAIR.finditer(text, place + 7, end):
            if _COOKIE_NAME.fullmatch(found[1]) and looks_random(found[2]) and not is_no_value(found[2]):
                yield *found.span(2), COOKIE
        place = lowered.find("cookie:", end)


def _fields(text: str, path: str | None) -> Iterator[tuple[int, int, str]]:
    """The last field of .pgpass and the second of Postfix's table of passwords."""
    if path is not None and path.lower().endswith((".pgpass", "pgpass.conf")):
        for found in _PGPASS.finditer(text):
            yield from _plausible(text, *found.span(1), PLACE)
    if path is not None and path.lower().endswith(("htpasswd", "shadow", ".passwd")):
        for found in _OF_USER.finditer(text):
            yield *found.span(1), HASH
    for port in _POSTGRES_PORTS:
        for place in _places(text, port):
            line = _PGPASS.match(text, line_begin(text, place, reach=REACH))
            if line is not None:
                yield from _plausible(text, *line.span(1), PLACE)
    for host in _GO_HOSTS:
        for place in _places(text, host):
            user = _GO_USER.search(text, line_begin(text, place, reach=REACH), place)
            if user is not None:
                yield from _plausible(text, *user.span(1), PLACE)
    for place in _places(text, "]:"):
        sasl = _SASL.match(text, place)
        if sasl is not None and text.startswith("[", line_begin(text, place, reach=REACH)):
            yield from _plausible(text, *sasl.span(1), PLACE)


def _here_texts(text: str, lowered: str) -> Iterator[tuple[int, int, str]]:
    """`command --password-stdin <<< VALUE`."""
    for place in _places(lowered, "<<<"):
        found = _HERE_TEXT.match(lowered, place)
        if found and _HERE.search(lowered, line_begin(lowered, place, reach=REACH), place):
            yield from _plausible(text, *found.span(1), COMMAND)


def _places(text: str, literal: str) -> Iterator[int]:
    place = text.find(literal)
    while place >= 0:
        yield place
        place = text.find(literal, place + 1)


def _plausible(text: str, start: int, end: int, kind: str) -> Iterator[tuple[int, int, str]]:
    if is_secret(text[start:end], "password", quoted=False, sure=True):
        yield start, end, kind
