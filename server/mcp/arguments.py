"""Checks the arguments of a tool call against its schema, and says in one sentence what is wrong.

The schemas are the small JSON Schemas that `slim` leaves: types, enums, bounds, items, required, no extra keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from aqe.engine.errors import UserError

LARGEST_ARGUMENT_BYTES = 2_000_000

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list, tuple),
    "object": (dict,),
}
_MEANT: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("question", "q", "message", "input", "ask"), ("prompt", "query", "text")),
    **dict.fromkeys(("query", "text", "content", "prompt"), ("prompt", "query", "text")),
    **dict.fromkeys(("conversation", "thread", "chat"), ("session",)),
    **dict.fromkeys(("limit", "top_k", "n", "count", "max_results"), ("k", "top")),
    **dict.fromkeys(("path", "file", "files", "folder"), ("paths", "target")),
    **dict.fromkeys(("module", "subject"), ("subjects", "target")),
    **dict.fromkeys(("cwd", "root", "dir", "directory", "repo", "workspace"), ("project",)),
    **dict.fromkeys(("timeout", "budget", "seconds", "time_limit"), ("budget_s",)),
    **dict.fromkeys(("score", "stars"), ("rating",)),
    **dict.fromkeys(("tags", "labels"), ("metadata",)),
    **dict.fromkeys(("base", "ref", "diff"), ("since",)),
    "answer": ("correction",),
    "max_length": ("max_tokens",),
}
"""Names that people give to arguments, each with those that may be meant by it; the first that a tool takes counts."""

_NOUNS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
}


def slim(schema: dict[str, Any]) -> dict[str, Any]:
    """A tool's schema as a model needs it: no titles, no null branches, no default of null, no extra keys.

    >>> slim({"title": "A", "type": "object", "properties": {"x": {"anyOf": [{"type": "string"}, {"type": "null"}],
    ...      "default": None, "title": "X"}}})
    {'type': 'object', 'properties': {'x': {'type': 'string'}}, 'additionalProperties': False}
    """
    return {**_without_titles(schema), "additionalProperties": False}


def slim_output(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a tool's structured answer: the fields that are always there; docs/mcp.md says what they hold.

    >>> slim_output({"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]})
    {'type': 'object', 'required': ['x']}
    """
    return {"type": "object", "required": schema.get("required", [])}


def _without_titles(schema: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in schema.items() if key != "title" and not (key == "default" and value is None)}
    branches = [branch for branch in kept.pop("anyOf", []) if branch.get("type") != "null"]
    if len(branches) == 1:
        kept = {**branches[0], **kept}
    elif branches:
        kept["anyOf"] = [_without_titles(branch) for branch in branches]
    if isinstance(kept.get("properties"), dict):
        kept["properties"] = {name: _without_titles(below) for name, below in kept["properties"].items()}
    if isinstance(kept.get("items"), dict):
        kept["items"] = _without_titles(kept["items"])
    return kept


def check_arguments(tool: str, arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Raise `UserError` for the first argument that does not fit; the sentence names it and what to write."""
    properties: Mapping[str, Any] = schema.get("properties", {})
    for name in arguments:
        if name not in properties:
            near = [one for one in _MEANT.get(name, ()) if one in properties]
            near = near or get_close_matches(name, properties, n=1, cutoff=0.6)
            fix = f"Did you mean `{near[0]}`?" if near else f"It takes: {', '.join(properties) or 'no argument'}."
            raise UserError(f"{tool} has no argument {name!r}.", code="unknown-argument", fix=fix)
    for name in schema.get("required", ()):
        if arguments.get(name) is None:
            what = properties[name].get("description", "").rstrip(".")
            raise UserError(f"{tool} needs `{name}`.", code="missing-argument", fix=f"Give it: {what}." if what else "")
    for name, value in arguments.items():
        if value is not None:
            _check_value(f"`{name}` of {tool}", _unquoted(value, properties[name]), properties[name])


def _unquoted(value: Any, schema: Mapping[str, Any]) -> Any:
    """The list or object that some clients send as its JSON text; the SDK reads it the same way afterwards."""
    if isinstance(value, str) and schema.get("type") in ("array", "object"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _check_value(where: str, value: Any, schema: Mapping[str, Any]) -> None:
    wanted = schema.get("type")
    if wanted in _TYPES and (
        not isinstance(value, _TYPES[wanted]) or (isinstance(value, bool) and wanted != "boolean")
    ):
        raise _bad(where, f"must be {_NOUNS[wanted]}, not {_shown(value)}")
    if "enum" in schema and value not in schema["enum"]:
        near = get_close_matches(str(value), [str(item) for item in schema["enum"]], n=1, cutoff=0.5)
        choices = ", ".join(str(item) for item in schema["enum"])
        raise _bad(
            where, f"must be one of {choices}, not {_shown(value)}", f"Did you mean {near[0]!r}?" if near else ""
        )
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        _check_bounds(where, value, schema)
    if isinstance(value, str) and len(value.encode("utf-8", "surrogatepass")) > LARGEST_ARGUMENT_BYTES:
        raise UserError(
            f"{where} is over 2 MB.", code="argument-too-large", fix="Write it to a file and give its path."
        )
    if isinstance(value, (list, tuple)) and isinstance(schema.get("items"), Mapping):
        for index, item in enumerate(value):
            _check_value(f"item {index} of {where}", item, schema["items"])


def _check_bounds(where: str, value: float, schema: Mapping[str, Any]) -> None:
    low, high = schema.get("minimum"), schema.get("maximum")
    if (low is not None and value < low) or (high is not None and value > high):
        if low is not None and high is not None:
            raise _bad(where, f"must lie between {low} and {high}, not {value}")
        raise _bad(where, f"must be at least {low}, not {value}" if low is not None else f"must be at most {high}")


def _bad(where: str, what: str, fix: str = "") -> UserError:
    return UserError(f"{where} {what}.", code="bad-argument", fix=fix)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
