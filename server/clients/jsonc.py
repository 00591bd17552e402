"""JSON with comments and trailing commas: read with the place of every value, and changed as text.

A client's config is its owner's: `set_members` rewrites only the values that differ and adds only the members that are
missing, so that comments, order, indentation, line ends and trailing commas of all else stay as they were. The grammar
is RFC 8259 with `//` and `/* */` comments and a comma before a closing bracket.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

DEEPEST = 200

_GAP = re.compile(r"(?:[ \t\r\n]+|//[^\r\n]*|/\*(?:[^*]|\*(?!/))*\*/)*")
_REST_OF_LINE = re.compile(r"[ \t]*(?:/\*(?:[^*\r\n]|\*(?!/))*\*/[ \t]*)*(?://[^\r\n]*)?")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_SCALAR = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![0-9A-Za-z_.])|(?:true|false|null)\b")
_WIDE = 88


class NotJson(ValueError):
    """The text is no JSON, also with comments: what was expected, and where (both 1-based)."""

    def __init__(self, text: str, position: int, what: str) -> None:
        before = text[:position].replace("\r\n", "\n").replace("\r", "\n")
        self.line = before.count("\n") + 1
        self.column = len(before) - (before.rfind("\n") + 1) + 1
        super().__init__(f"line {self.line}, column {self.column}: {what}")


@dataclass(frozen=True)
class Node:
    """One value with its place: `text[start:end]`. Objects have members, of which the last one of a name counts."""

    kind: Literal["object", "array", "scalar"]
    start: int
    end: int
    value: Any
    members: tuple[Member, ...] = ()
    comma: int | None = None
    """Where a comma stands before the closing bracket of an object."""

    def member(self, name: str) -> Member | None:
        """The member of that name that a reader takes."""
        return next((found for found in reversed(self.members) if found.name == name), None)


@dataclass(frozen=True)
class Member:
    """A name, the place where it starts, and its value."""

    name: str
    start: int
    node: Node


@dataclass(frozen=True)
class _Edit:
    start: int
    end: int
    text: str


def parse(text: str) -> Node | None:
    """The value of a text, with places; None for a text without any. Raises `NotJson`."""
    start = _skip(text, 0)
    if start == len(text):
        return None
    node = _value(text, start, 0)
    after = _skip(text, node.end)
    if after != len(text):
        raise NotJson(text, after, "something follows the value")
    return node


def read(text: str) -> Any:
    """The plain value of a text; None for a text without any. Raises `NotJson`.

    >>> read('{"a": [1, 2,], // two\\n}')
    {'a': [1, 2]}
    """
    node = parse(text)
    return None if node is None else node.value


def set_members(text: str, path: Sequence[str], members: Mapping[str, Any]) -> str:
    """`text` with `members` set in the object at `path`; objects that are missing on the way are made.

    Raises `NotJson`, also where `path` leads through something else than an object.

    >>> print(set_members('{"a": {"b": 1 /* one */}}', ["a"], {"c": 2}))
    {"a": {"b": 1, "c": 2 /* one */}}
    """
    node = parse(text)
    if node is None:
        gap = "" if not text.strip() else "\n"
        whole: Any = dict(members)
        for name in reversed(path):
            whole = {name: whole}
        end = "" if text.endswith("\n") and not text.strip() else "\n"
        return text.rstrip() + gap + _rendered(whole, "", "  ", "\n") + end
    changed = text
    for name, value in members.items():
        node = parse(changed)
        assert node is not None
        for edit in sorted(_edits(changed, node, (*path, name), value), key=lambda edit: -edit.start):
            changed = changed[: edit.start] + edit.text + changed[edit.end :]
    return changed


def _edits(text: str, root: Node, path: tuple[str, ...], value: Any) -> list[_Edit]:
    """What to change so that the value at `path` is `value`; nothing where it is already."""
    style = _Style.of(text, root)
    node = root
    for depth, name in enumerate(path):
        if node.kind != "object":
            where = ".".join(path[:depth]) or "the file"
            raise NotJson(text, node.start, f"{where} must be an object")
        member = node.member(name)
        if member is None:
            for missing in reversed(path[depth + 1 :]):
                value = {missing: value}
            return _insertion(text, node, name, value, style)
        node = member.node
    if _same(node.value, value):
        return []
    assert member is not None
    return [_Edit(node.start, node.end, style.render(value, _indent_of(text, member.start)))]


@dataclass(frozen=True)
class _Style:
    """How the file is laid out: its line end, the step of its indentation, and whether all stands in one line."""

    newline: str
    step: str
    flat: bool

    @classmethod
    def of(cls, text: str, root: Node) -> _Style:
        newline = "\r\n" if "\r\n" in text else "\n"
        step = "  "
        if root.members and _is_first_in_line(text, root.members[0].start):
            step = _indent_of(text, root.members[0].start)[len(_indent_of(text, root.start)) :] or step
        flat = bool(root.members) and "\n" not in text[root.start : root.end]
        return cls(newline, step, flat)

    def render(self, value: Any, indent: str) -> str:
        if self.flat:
            return json.dumps(value, ensure_ascii=False)
        return _rendered(value, indent, self.step, self.newline)


def _insertion(text: str, node: Node, name: str, value: Any, style: _Style) -> list[_Edit]:
    """The edits that add a member at the end of the object, behind the comment that may follow its last one."""
    key = json.dumps(name, ensure_ascii=False) + ": "
    closing = _indent_of(text, node.start)
    if not node.members:
        member = key + style.render(value, closing if style.flat else closing + style.step)
        inside = text[node.start + 1 : node.end - 1]
        kept = inside.rstrip()
        if style.flat and "\n" not in inside:
            return [_Edit(node.start + 1 + len(kept), node.end - 1, (" " if kept else "") + member)]
        line = style.newline + closing
        return [_Edit(node.start + 1 + len(kept), node.end - 1, line + style.step + member + line)]
    last = node.members[-1]
    comma = "," if node.comma is None else ""
    at = last.node.end if node.comma is None else node.comma + 1
    if "\n" not in text[node.start : node.end]:
        member = key + json.dumps(value, ensure_ascii=False)
        return [_Edit(at, at, f"{comma} {member}" + ("," if node.comma is not None else ""))]
    first = next((one for one in node.members if _is_first_in_line(text, one.start)), None)
    indent = closing + style.step if first is None else _indent_of(text, first.start)
    member = style.newline + indent + key + _rendered(value, indent, style.step, style.newline)
    if node.comma is not None:
        member += ","
    rest = _REST_OF_LINE.match(text, at)
    behind = at if rest is None else rest.end()
    if behind >= node.end - 1:  # the closing bracket stands in the same line
        behind = at
    return [_Edit(at, at, comma + member)] if behind == at else [_Edit(at, at, comma), _Edit(behind, behind, member)]


def _rendered(value: Any, indent: str, step: str, newline: str) -> str:
    """JSON on several lines, lists of plain values on one where they fit."""
    if isinstance(value, Mapping) and value:
        inner = indent + step
        parts = [
            f"{inner}{json.dumps(str(name), ensure_ascii=False)}: {_rendered(item, inner, step, newline)}"
            for name, item in value.items()
        ]
        return "{" + newline + f",{newline}".join(parts) + newline + indent + "}"
    flat = json.dumps(value, ensure_ascii=False)
    if isinstance(value, (list, tuple)) and value and (len(flat) > _WIDE or any(map(_is_nested, value))):
        inner = indent + step
        parts = [inner + _rendered(item, inner, step, newline) for item in value]
        return "[" + newline + f",{newline}".join(parts) + newline + indent + "]"
    return flat


def _is_nested(value: Any) -> bool:
    return isinstance(value, (Mapping, list, tuple)) and bool(value)


def _same(one: Any, other: Any) -> bool:
    """Equality of JSON, in which true is not 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _indent_of(text: str, position: int) -> str:
    line = text[_line_start(text, position) : position]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _is_first_in_line(text: str, position: int) -> bool:
    return not text[_line_start(text, position) : position].strip(" \t") and "\n" in text[:position]


def _line_start(text: str, position: int) -> int:
    return max(text.rfind("\n", 0, position), text.rfind("\r", 0, position)) + 1


def _skip(text: str, position: int) -> int:
    found = _GAP.match(text, position)
    return position if found is None else found.end()


def _value(text: str, start: int, depth: int) -> Node:
    if depth > DEEPEST:
        raise NotJson(text, start, "it is nested too deeply")
    if text.startswith("{", start):
        return _object(text, start, depth)
    if text.startswith("[", start):
        return _array(text, start, depth)
    found = _STRING.match(text, start) or _SCALAR.match(text, start)
    if found is None:
        raise NotJson(text, start, "a value was expected")
    return Node("scalar", start, found.end(), json.loads(found[0]))


def _object(text: str, start: int, depth: int) -> Node:
    members: list[Member] = []
    comma: int | None = None
    position = _skip(text, start + 1)
    while not text.startswith("}", position):
        if members and comma is None:
            raise NotJson(text, position, "a comma or } was expected")
        name = _STRING.match(text, position)
        if name is None:
            raise NotJson(text, position, "a name in double quotes or } was expected")
        colon = _skip(text, name.end())
        if not text.startswith(":", colon):
            raise NotJson(text, colon, "a colon was expected")
        node = _value(text, _skip(text, colon + 1), depth + 1)
        members.append(Member(json.loads(name[0]), position, node))
        position, comma = _after(text, node.end)
    value = {member.name: member.node.value for member in members}
    return Node("object", start, position + 1, value, tuple(members), comma)


def _array(text: str, start: int, depth: int) -> Node:
    items: list[Any] = []
    comma: int | None = None
    position = _skip(text, start + 1)
    while not text.startswith("]", position):
        if items and comma is None:
            raise NotJson(text, position, "a comma or ] was expected")
        node = _value(text, position, depth + 1)
        items.append(node.value)
        position, comma = _after(text, node.end)
    return Node("array", start, position + 1, items)


def _after(text: str, end: int) -> tuple[int, int | None]:
    """Where the next thing after a value starts, and where the comma between the two stands, if there is one."""
    position = _skip(text, end)
    if text.startswith(",", position):
        return _skip(text, position + 1), position
    return position, None
