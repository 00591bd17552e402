"""JSON with comments, changed as text: what is not touched stays as it was."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqe.server.clients import jsonc

ENTRY = {"command": "aqe", "args": ["serve", "--project", "x"]}
COMMENT = re.compile(r"/\* note \d+ \*/|// note \d+")
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.floats(-9, 9) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)

GAPS = st.lists(st.sampled_from(["", " ", "\t", "line", "block", "note"]), max_size=2)


class Writer:
    """Writes a value as its owner might have: with gaps, comments and trailing commas wherever they may stand."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.newline = draw(st.sampled_from(["\n", "\r\n"]))
        self.notes = 0

    def gap(self) -> str:
        parts = []
        for kind in self.draw(GAPS):
            if kind in ("block", "note"):
                self.notes += 1
                note = f"note {self.notes}"
                parts.append(f"/* {note} */" if kind == "block" else f"// {note}{self.newline}")
            else:
                parts.append(self.newline if kind == "line" else kind)
        return "".join(parts)

    def value(self, value: Any) -> str:
        if not isinstance(value, (dict, list)):
            return json.dumps(value, ensure_ascii=self.draw(st.booleans()))
        if isinstance(value, dict):
            parts = [f"{json.dumps(name)}{self.gap()}:{self.gap()}{self.value(item)}" for name, item in value.items()]
        else:
            parts = [self.value(item) for item in value]
        inside = ",".join(f"{self.gap()}{part}{self.gap()}" for part in parts)
        if parts and self.draw(st.booleans()):
            inside += "," + self.gap()
        return ("{%s}" if isinstance(value, dict) else "[%s]") % (inside or self.gap())


@st.composite
def configs(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A client's file and what it says; sometimes servers stand in it already, sometimes aqe."""
    whole: dict[str, Any] = draw(st.dictionaries(st.text(max_size=4), VALUES, max_size=3))
    if draw(st.booleans()):
        servers: dict[str, Any] = draw(st.dictionaries(st.sampled_from(["a", "b", "ö"]), VALUES, max_size=2))
        own = st.sampled_from([{}, {"command": "old"}, {"env": {"A": "1"}, "args": None}])
        whole["servers"] = {**servers, "aqe": draw(own)} if draw(st.booleans()) else servers
    writer = Writer(draw)
    return writer.gap() + writer.value(whole) + writer.gap(), whole


@settings(max_examples=70, deadline=None)
@given(configs())
def test_members_are_set_and_all_else_stays(config: tuple[str, dict[str, Any]]) -> None:
    """The entry is set, all other values and each comment stay in their order, and a second time changes nothing."""
    text, whole = config
    assert jsonc.read(text) == whole
    changed = jsonc.set_members(text, ["servers", "aqe"], ENTRY)
    servers = whole.get("servers", {})
    assert jsonc.read(changed) == {**whole, "servers": {**servers, "aqe": {**servers.get("aqe", {}), **ENTRY}}}
    assert COMMENT.findall(changed) == COMMENT.findall(text)
    assert jsonc.set_members(changed, ["servers", "aqe"], ENTRY) == changed
    if "aqe" not in servers:
        left = iter(changed)
        assert all(sign in left for sign in text if not sign.isspace()), "something was taken away"


@settings(max_examples=30, deadline=None)
@given(VALUES)
def test_json_is_read_as_json(value: Any) -> None:
    """What is plain JSON is read as the standard library reads it, indented or not."""
    for indent in (None, 2):
        assert jsonc.read(json.dumps(value, indent=indent)) == value


@settings(max_examples=70, deadline=None)
@given(st.text(alphabet='{}[]:,"a1-. \n\\/*tue', max_size=14))
def test_what_is_no_json_is_said_with_its_place(text: str) -> None:
    """A text is read, or refused with line and column; nothing else is raised."""
    try:
        value = jsonc.read(text)
    except jsonc.NotJson as error:
        place = (error.line, error.column)
        assert place <= (text.count("\n") + 1, len(text) + 1), place
    else:
        assert jsonc.read(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("{", "line 1, column 2"),
        ('{"a": 1 "b": 2}', "line 1, column 9: a comma or }"),
        ('{"a": 01}', "line 1, column 7"),
        ("{'a': 1}", "line 1, column 2: a name in double quotes"),
        ('{\r\n  "a" 1\r\n}', "line 2, column 7: a colon"),
        ("[NaN]", "line 1, column 2: a value"),
        ('{} {"a": 1}', "line 1, column 4: something follows"),
        ("{ /* open", "line 1, column 3"),
        ("[" * 5000, "nested too deeply"),
    ],
)
def test_mistakes_have_their_place(text: str, place: str) -> None:
    """Each mistake is named with line and column."""
    with pytest.raises(jsonc.NotJson, match=re.escape(place)):
        jsonc.read(text)


LAYOUTS = {
    "": '{\n  "servers": {\n    "aqe": {"on": true}\n  }\n}\n',
    "{}": '{\n  "servers": {\n    "aqe": {"on": true}\n  }\n}',
    '{\n\t"a": 1 // one\n\t// last\n}\n': '{\n\t"a": 1, // one\n'
    '\t"servers": {\n\t\t"aqe": {"on": true}\n\t}\n\t// last\n}\n',
    '{"a": 1}': '{"a": 1, "servers": {"aqe": {"on": true}}}',
    '{\r\n    "a": 1,\r\n}': '{\r\n    "a": 1,\r\n    "servers": {\r\n        "aqe": {"on": true}\r\n    },\r\n}',
}


@pytest.mark.parametrize("text", LAYOUTS)
def test_layout_is_the_files_own(text: str) -> None:
    """What is added follows the file's indentation, line ends, trailing comma and comments."""
    changed = jsonc.set_members(text, ["servers"], {"aqe": {"on": True}})
    assert re.sub(r'\{\s*"on": true\s*\}', '{"on": true}', changed) == LAYOUTS[text]


def test_path_through_something_else_is_refused() -> None:
    """A list where an object must be is said, not replaced."""
    for text in ("[]", '{"servers": []}', '{"servers": null}'):
        with pytest.raises(jsonc.NotJson, match="must be an object"):
            jsonc.set_members(text, ["servers"], {"aqe": 1})
