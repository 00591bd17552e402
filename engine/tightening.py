"""What a project's file may say of the settings that keep a user safe: it may tighten them, and never loosen.

Who clones a project has not read its pyproject.toml. So of these keys a value there counts only where it is no looser
than that of the user's own file, or than the default where that is silent; a flag or a variable is the user's own
word of the moment and wins over both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from aqe.engine.layers import Layer

STRICTEST_FIRST: Mapping[str, tuple[tuple[Any, ...], ...]] = {
    "cloud.enabled": ((False,), (True,)),
    "memory.redact": ((True,), (False,)),
    "privacy.mcp_content": (("references",), ("redacted",), ("auto",), ("full",)),
    "privacy.mode": (("strict",), ("balanced",), ("off",)),
    "router.force": (("local",), ("none", "cloud")),
    "sandbox.allow_weak": ((False,), (True,)),
}
"""The values of each key in groups that are equally strict."""
ADDED = frozenset(("privacy.never_send", "router.local_tasks"))
"""Lists that keep things here: those of both files count together."""


def tightened(own: Layer, user: Layer, fields: Mapping[str, FieldInfo]) -> Layer:
    """The project's layer with the values that count beside those of the user's file; the others in `ignored`.

    `fields` are the settings by dotted key. What is no value of its setting is left for the check to refuse.
    """
    kept, ignored = dict(own.values), {}
    for key, groups in STRICTEST_FIRST.items():
        if key not in kept:
            continue
        theirs = _rank(groups, _meant(fields[key], kept[key]))
        mine = _rank(groups, _meant(fields[key], user.values.get(key, fields[key].default)))
        if theirs is not None and mine is not None and theirs > mine:
            ignored[key] = kept.pop(key)
    also = {}
    for key in ADDED & kept.keys() & user.values.keys():
        both = [_meant(fields[key], layer.values[key]) for layer in (user, own)]
        if None not in both:
            kept[key] = list(dict.fromkeys(name for names in both for name in names))
            also[key] = f"{user.origin} and {own.origin}"
    return Layer(own.origin, kept, also, ignored)


def why_ignored(layers: Sequence[Layer], key: str, fields: Mapping[str, FieldInfo]) -> str:
    """What the project's file says of a key without effect, and why; "" where a flag or a variable decides anyway.

    `layers` end with the project's and the user's.
    """
    *above, own, user = layers
    if key not in own.ignored or any(key in layer.values for layer in above):
        return ""
    base = f"the default, {fields[key].default!r}"
    if key in user.values:
        base = f"{user.values[key]!r} in {user.origin}"
    said = f"{own.ignored[key]!r} in {own.origin} has no effect"
    return f"{said}: a project's file may only tighten this, and it is looser than {base}"


def _meant(field: FieldInfo, value: Any) -> Any:
    """The value as the settings will read it (`"yes"` is true), None where they will refuse it."""
    try:
        return TypeAdapter(field.rebuild_annotation()).validate_python(value)
    except ValidationError:
        return None


def _rank(groups: tuple[tuple[Any, ...], ...], value: Any) -> int | None:
    return next((place for place, group in enumerate(groups) if value in group), None)
