"""Reads aqe-quarantine.toml on every Python: with tomllib where there is one (3.11+), else the forms that aqe writes.

Those forms are: comments, `[[test]]`, and `key = value` with a value on one line that is a string, a date, a number or
a boolean. Anything else is refused with its line, never guessed at; both readings give the same entries.
"""

import ast
import datetime
import importlib
import re
from typing import Any, Dict, List, Optional, Tuple

FILE = "aqe-quarantine.toml"
_PAIR = re.compile(r"([A-Za-z0-9_-]+)\s*=\s*(.+)")
_BASIC = re.compile(r'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\(?:[btnfr"\\]|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}))*"')
_LITERAL = re.compile(r"'[^'\x00-\x08\x0a-\x1f\x7f]*'")
_BARE = re.compile(r"[^\s#]+")
_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)")
_NUMBER = re.compile(r"[+-]?(?:0|[1-9]\d*)(?:\.\d+)?")


class Unreadable(ValueError):
    """The file is not what it should be; the text says where."""


class Entry:
    """A test in quarantine: its node id, the reason, and the last day on which its failures do not count."""

    def __init__(self, id: str, reason: str, expires: Optional[datetime.date]) -> None:
        self.id = id
        self.reason = reason
        self.expires = expires

    def holds(self, today: datetime.date) -> bool:
        """Whether it is still in quarantine."""
        return self.expires is None or today <= self.expires


def read_entries(text: str) -> List[Entry]:
    """The entries of the file's text; raises `Unreadable`."""
    try:
        tomllib: Any = importlib.import_module("tomllib")
    except ImportError:
        return [_entry(number, table) for number, table in enumerate(parse_plain(text), 1)]
    try:
        tables = tomllib.loads(text).get("test", [])
    except ValueError as error:
        raise Unreadable(str(error)) from None
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise Unreadable("`test` is not a list of tables")
    return [_entry(number, table) for number, table in enumerate(tables, 1)]


def parse_plain(text: str) -> List[Dict[str, Any]]:
    """The `[[test]]` tables of a file in the forms that aqe writes; raises `Unreadable`."""
    tables: List[Dict[str, Any]] = []
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if re.match(r"\[\[\s*test\s*\]\]\s*(#.*)?$", line):
            tables.append({})
            continue
        pair = _PAIR.match(line)
        if pair is None or not tables:
            raise Unreadable("line %d is neither [[test]] nor `key = value` below it" % number)
        value, rest = _value(pair.group(2), number)
        if rest.strip() and not rest.strip().startswith("#"):
            raise Unreadable("line %d goes on after its value" % number)
        if pair.group(1) in tables[-1]:
            raise Unreadable("line %d says %r a second time" % (number, pair.group(1)))
        tables[-1][pair.group(1)] = value
    return tables


def _value(text: str, number: int) -> Tuple[Any, str]:
    """The value that the text begins with, and what follows it."""
    for pattern in (_BASIC, _LITERAL):
        found = pattern.match(text)
        if found and not text.startswith(('"""', "'''")):
            body = found.group()
            return (ast.literal_eval(body) if pattern is _BASIC else body[1:-1]), text[found.end() :]
    bare = _BARE.match(text)
    word = bare.group() if bare else ""
    date = _DATE.fullmatch(word)
    if date:
        try:
            return datetime.date(*(int(part) for part in date.groups())), text[len(word) :]
        except ValueError:
            raise Unreadable("line %d has a date that does not exist: %s" % (number, word)) from None
    if word in ("true", "false"):
        return word == "true", text[len(word) :]
    if _NUMBER.fullmatch(word):
        return ast.literal_eval(word), text[len(word) :]
    raise Unreadable("line %d has a value that only Python 3.11 and newer can read here: %s" % (number, text[:40]))


def _entry(number: int, table: Dict[str, Any]) -> Entry:
    name, expires = table.get("id"), table.get("expires")
    if not isinstance(name, str) or not name:
        raise Unreadable("entry %d has no `id`" % number)
    if expires is not None and type(expires) is not datetime.date:
        raise Unreadable("`expires` of entry %d is not a date like 2026-01-31" % number)
    return Entry(name, str(table.get("reason", "")), expires)
