"""JSON Schemas that a caller gives, and answers that are held to them."""

from __future__ import annotations

from typing import Any

import pytest

from aqe.engine.errors import UserError
from aqe.engine.providers import CompletionRequest, Message
from aqe.engine.providers.shapes import check_shape, fitted

PERSON = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string"}, "friends": {"type": "array", "items": {"$ref": "#/$defs/one"}}},
    "$defs": {"one": {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0}}}},
}
DEEP: dict[str, Any] = {}
for _ in range(3000):
    DEEP = {"properties": {"a": DEEP}}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (5, "is int, not an object"),
        ([], "is list"),
        ({"type": "nope"}, "at type, 'nope'"),
        ({"properties": {"a": {"minimum": "x"}}}, "at properties/a/minimum"),
        ({"pattern": "("}, "at pattern"),
        ({"enum": {1, 2}}, "is no JSON Schema"),
        ({"minimum": float("nan")}, "is no JSON Schema"),
        ({1: 2}, "a name in it is no text"),
        ({"$schema": 5}, "is no JSON Schema"),
        ({"$ref": "#"}, "without end"),
        (DEEP, "too deep"),
        ({"properties": {"a": {"$ref": "#/$defs/b"}}}, "refers to #/$defs/b"),
        ({"properties": {"a": {"$ref": "http://192.0.2.1/x.json"}}}, "refers to http://192.0.2.1/x.json"),
        ({"$ref": "file:///etc/hostname"}, "refers to file:///etc/hostname"),
    ],
)
def test_a_schema_that_is_none_is_refused_before_anything_is_asked(schema: Any, said: str) -> None:
    """What is no JSON Schema, or refers to what is not in it, is refused by name, and nothing is fetched."""
    with pytest.raises(UserError) as caught:
        CompletionRequest((Message("user", "x"),), json_schema=schema)
    assert caught.value.code == "bad-argument"
    assert said in caught.value.message


@pytest.mark.parametrize(
    "schema",
    [
        {},
        PERSON,
        {"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/a", "definitions": {"a": {}}},
        {"$ref": "#it", "$defs": {"a": {"$anchor": "it", "type": "string"}}},
        {"properties": {"$ref": {"type": "string"}, "id": {"const": {"$ref": "anything"}}}},
        {"items": {"$ref": "#"}},
    ],
)
def test_schemas_of_every_draft_and_their_own_references_hold(schema: dict[str, Any]) -> None:
    """A schema of any draft, with references within it, is one."""
    check_shape(schema)


def test_an_answer_is_held_to_every_part_of_its_schema() -> None:
    """Types, required names and referred parts all count, and what is missed is told without the answer's words."""
    assert fitted('{"name": "Ann", "friends": [{"age": 3}]}', PERSON)[1] == ""
    assert fitted("{}", PERSON)[1] == 'at its top it does not hold "required": ["name"]'
    assert (
        fitted('{"name": "x", "friends": [{"age": -1}]}', PERSON)[1] == 'at friends/0/age it does not hold "minimum": 0'
    )
    assert "secret words" not in fitted('{"name": ["secret words"]}', PERSON)[1]


@pytest.mark.parametrize("text", ["Sure! {}", "{", "NaN", "[Infinity]", "[" * 100_000, "{'a': 1}"])
def test_what_is_no_json_fits_no_schema(text: str) -> None:
    """Prose, half an object, numbers that JSON lacks and endless nesting are no answer."""
    assert fitted(text, {}) == (text, "it is no JSON")


def test_a_fence_around_json_is_taken_off() -> None:
    """JSON in a fence of Markdown counts, and is handed on bare."""
    assert fitted('```json\n{"name": "a"}\n```\n', PERSON) == ('{"name": "a"}', "")
    assert fitted('  {"name": "a"}\n', PERSON) == ('  {"name": "a"}\n', "")
