"""What the argument checker says, one sentence for each mistake."""

from __future__ import annotations

from typing import Any

import pytest

from aqe.engine.errors import UserError
from aqe.server.mcp.arguments import check_arguments, slim

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["query"],
    "properties": {
        "query": {"type": "string", "description": "words of what is sought"},
        "k": {"type": "integer", "minimum": 1, "maximum": 50},
        "detail": {"type": "string", "enum": ["summary", "tests"]},
        "paths": {"type": "array", "items": {"type": "string"}},
        "deep": {"type": "boolean"},
        "weight": {"type": "number"},
        "metadata": {"type": "object"},
    },
}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param({"qery": "x"}, "find has no argument 'qery'. Did you mean `query`? [unknown-argument]", id="typo"),
        pytest.param(
            {"question": "x"}, "find has no argument 'question'. Did you mean `query`? [unknown-argument]", id="meant"
        ),
        pytest.param(
            {"query": "x", "zzz": 1},
            "find has no argument 'zzz'. It takes: query, k, detail, paths, deep, weight, metadata. [unknown-argument]",
            id="unlike any",
        ),
        pytest.param({}, "find needs `query`. Give it: words of what is sought. [missing-argument]", id="missing"),
        pytest.param({"query": 7}, "`query` of find must be text, not 7. [bad-argument]", id="type"),
        pytest.param(
            {"query": "x", "k": 0}, "`k` of find must lie between 1 and 50, not 0. [bad-argument]", id="bounds"
        ),
        pytest.param(
            {"query": "x", "k": True}, "`k` of find must be a whole number, not True. [bad-argument]", id="bool"
        ),
        pytest.param(
            {"query": "x", "detail": "test"},
            "`detail` of find must be one of summary, tests, not 'test'. Did you mean 'tests'? [bad-argument]",
            id="enum",
        ),
        pytest.param(
            {"query": "x", "paths": ["a", 3]},
            "item 1 of `paths` of find must be text, not 3. [bad-argument]",
            id="item",
        ),
        pytest.param(
            {"query": "x" * 2_000_001},
            "`query` of find is over 2 MB. Write it to a file and give its path. [argument-too-large]",
            id="size",
        ),
    ],
)
def test_wrong_arguments_are_named_in_one_sentence(arguments: dict[str, Any], sentence: str) -> None:
    """A wrong argument is refused with its name, what was seen and what to write."""
    with pytest.raises(UserError) as caught:
        check_arguments("find", arguments, SCHEMA)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    "arguments",
    [
        {"query": "x", "k": 50, "detail": "tests", "paths": ["a"], "deep": False, "weight": 1, "metadata": {}},
        {"query": "x", "k": None},
        {"query": "x", "paths": '["a", "b"]', "metadata": '{"a": 1}'},
    ],
)
def test_right_arguments_pass(arguments: dict[str, Any]) -> None:
    """Fitting arguments, nulls for optional ones, and lists sent as JSON text are accepted."""
    check_arguments("find", arguments, SCHEMA)


def test_slim_schema_keeps_meaning_and_drops_decoration() -> None:
    """A slimmed schema has no titles and no null branches, keeps bounds and choices, and forbids extra keys."""
    fat = {
        "title": "findArguments",
        "type": "object",
        "required": ["k"],
        "properties": {
            "k": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}], "default": None, "title": "K"},
            "names": {"type": "array", "items": {"type": "string", "title": "Name"}, "title": "Names"},
        },
    }
    assert slim(fat) == {
        "type": "object",
        "required": ["k"],
        "properties": {
            "k": {"type": "integer", "minimum": 1},
            "names": {"type": "array", "items": {"type": "string"}},
        },
        "additionalProperties": False,
    }
