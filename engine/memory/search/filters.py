"""Which memories are meant, as SQL with bound parameters: a namespace, and filters on metadata: `{key: value}` or
`{key: {operator: value}}`, all must hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aqe.engine.errors import UserError
from aqe.engine.memory.file.namespaces import end_of

_COMPARE = {"eq": "=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
OPERATORS = ("eq", "ne", "lt", "le", "gt", "ge", "in", "has", "exists")
"""`in`: one of a list; `has`: the value is a list that holds this; `exists`: whether the key is there."""


def namespace_sql(namespace: str | None, shelves: Sequence[str]) -> tuple[str, list[object]]:
    """The condition on rows of `memories`, of any revision, that they are of a namespace, or of all below `name/`; with
    None that they are of none that begins as one of the `shelves`."""
    if namespace is None:
        bound: list[object] = [end for shelf in shelves for end in (shelf, end_of(shelf))]
        return " AND ".join(["NOT (namespace >= ? AND namespace < ?)"] * len(shelves)) or "1", bound
    if namespace.endswith("/"):
        return "namespace >= ? AND namespace < ?", [namespace, end_of(namespace)]
    return "namespace = ?", [namespace]


def filter_sql(filter: Mapping[str, Any] | None, column: str = "metadata") -> tuple[str, list[object]]:
    """A condition on the JSON object in `column` and its parameters; "" without a filter.

    Raises `UserError` (bad-filter).
    """
    if filter is not None and not isinstance(filter, Mapping):
        raise _bad(f"The filter is {type(filter).__name__}, not an object.")
    conditions: list[str] = []
    parameters: list[object] = []
    for key, wanted in (filter or {}).items():
        if not isinstance(key, str):
            raise _bad(f"The filter's key {key!r} is not a text.")
        tests = wanted if isinstance(wanted, Mapping) else {"eq": wanted}
        for operator, value in tests.items():
            sql, bound = _condition(column, key, operator, value)
            conditions.append(sql)
            parameters.extend(bound)
    return " AND ".join(conditions), parameters


def _condition(column: str, key: str, operator: str, value: Any) -> tuple[str, list[object]]:
    if operator == "exists":
        if not isinstance(value, bool):
            raise _bad(f"The filter on {key!r} asks exists: {value!r}.")
        sql, bound = _some(column, key, "1", [])
        return (sql if value else f"NOT {sql}"), bound
    if operator == "ne":
        sql, bound = _some(column, key, *_test("eq", key, value))
        return f"NOT {sql}", bound
    if operator == "in":
        if not isinstance(value, (list, tuple, set, frozenset)):
            raise _bad(f"The filter on {key!r} asks in: {value!r}, which is no list.")
        tests = [_test("eq", key, item) for item in value]
        either = " OR ".join(f"({sql})" for sql, _ in tests) or "0"
        return _some(column, key, either, [item for _, bound in tests for item in bound])
    if operator == "has":
        sql, bound = _test("eq", key, value, alias="item")
        inner = f"entry.type = 'array' AND EXISTS (SELECT 1 FROM json_each(entry.value) AS item WHERE {sql})"
        return _some(column, key, inner, bound)
    return _some(column, key, *_test(operator, key, value))


def _some(column: str, key: str, test: str, bound: list[object]) -> tuple[str, list[object]]:
    return f"EXISTS (SELECT 1 FROM json_each({column}) AS entry WHERE entry.key = ? AND ({test}))", [key, *bound]


def _test(operator: str, key: str, value: Any, alias: str = "entry") -> tuple[str, list[object]]:
    """A comparison that never mixes types: the text "1", the number 1 and true are three values."""
    if operator not in _COMPARE:
        raise _bad(f"The filter on {key!r} has no operator {operator!r}.")
    if value is None or isinstance(value, bool):
        if operator != "eq":
            raise _bad(f"The filter on {key!r} compares {value!r} by size.")
        return f"{alias}.type = ?", ["null" if value is None else str(value).lower()]
    if isinstance(value, str):
        if any("\ud800" <= char <= "\udfff" for char in value):
            raise _bad(f"The filter on {key!r} holds a half character.")
        return f"{alias}.type = 'text' AND {alias}.value {_COMPARE[operator]} ?", [value]
    if isinstance(value, (int, float)) and -(1 << 63) <= value < 1 << 63:
        return f"{alias}.type IN ('integer', 'real') AND {alias}.value {_COMPARE[operator]} ?", [value]
    raise _bad(f"The filter on {key!r} compares with {value!r:.80}.")


def _bad(message: str) -> UserError:
    return UserError(
        message,
        code="bad-filter",
        fix=f"Give {{key: value}} or {{key: {{operator: value}}}} with texts, numbers, true, false or null; "
        f"operators: {', '.join(OPERATORS)}.",
    )
