"""What a setting may be, in the words of an error."""

from __future__ import annotations

from typing import Any, Literal, get_origin

from pydantic.fields import FieldInfo

ANY_TEXT = "a text that is not empty"
"""What is said of a text whose form only the setting's own description tells."""


def allowed_values(field: FieldInfo) -> str:
    """What a setting may be, in words."""
    kind = field.annotation
    if kind is bool:
        return "true or false"
    choices = getattr(kind, "__args__", ())
    if get_origin(kind) is Literal:
        return " or ".join(repr(choice) for choice in choices)
    bounds: dict[str, Any] = {}
    for rule in field.metadata:
        bounds |= {name: getattr(rule, name) for name in ("ge", "le") if hasattr(rule, name)}
    if kind is int:
        return f"a whole number from {bounds['ge']} " + (f"to {bounds['le']}" if "le" in bounds else "on")
    if get_origin(kind) is dict:
        return "a table of namespaces (all below one with a slash at its end), each with a number from 0 to 1"
    if float in choices or (kind is float and "ge" in bounds):
        return (
            f"a number from {bounds['ge']} to {bounds['le']}" if "le" in bounds else f"a number from {bounds['ge']} on"
        )
    if kind is float:
        return "a time above zero like 20, 20s or 2m"
    if get_origin(kind) is tuple:
        return "a list of names that are not empty, or `a,b`"
    return ANY_TEXT
