"""The shape that an answer was asked for: whether a JSON Schema is one, and whether a text is JSON that fits it.

Servers are told the schema too, but many ignore it or hold a part of it; so what comes back is checked here. References
are followed within the schema only: nothing is fetched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from aqe.engine.errors import UserError

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

SHOWN = 80
"""Characters of a part of a schema that are told."""
_SAMPLES: tuple[Any, ...] = (None, 0, "", [], {}, [0], {"": 0})
_FENCE = re.compile(r"\A\s*```[A-Za-z]*[ \t]*\n(.*)\n[ \t]*```\s*\Z", re.DOTALL)
_DATA = frozenset(("const", "default", "enum", "examples"))
"""Keywords below which stands data, and no schema."""


def check_shape(schema: object) -> None:
    """Raises `UserError` (bad-argument) unless `schema` is an object of JSON that is a JSON Schema by itself.

    >>> check_shape({"type": "object", "required": ["name"]})
    """
    if not isinstance(schema, Mapping):
        raise _bad(f"The JSON schema is {type(schema).__name__}, not an object.")
    if not schema:
        return
    from jsonschema.exceptions import SchemaError

    try:
        json.dumps(plain := _plain(schema), allow_nan=False)
        validator = _validator(plain)
        validator.check_schema(plain)
        _check_references(validator, plain)
    except SchemaError as error:
        where = "/".join(str(part) for part in error.absolute_path) or "its top"
        raise _bad(f"The JSON schema is none: at {where}, {_short(error.message)}.") from None
    except RecursionError:
        raise _bad("The JSON schema is nested too deep, or refers to itself without end.") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise _bad(f"The JSON schema is no JSON Schema: {_short(str(error))}.") from None


def fitted(text: str, schema: Mapping[str, Any]) -> tuple[str, str]:
    """The JSON of an answer, without a fence around it, and what is wrong with it ("": it fits the schema).

    >>> fitted('{"name": "a"}', {"type": "object"})
    ('{"name": "a"}', '')
    >>> fitted("Sure!", {"type": "object"})[1]
    'it is no JSON'
    """
    fenced = _FENCE.match(text)
    bare = text if fenced is None else fenced[1]
    try:
        value = json.loads(bare, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return text, "it is no JSON"
    if not schema:
        return bare, ""
    from jsonschema.exceptions import best_match

    try:
        error = best_match(_validator(_plain(schema)).iter_errors(value))
    except RecursionError:
        return text, "it is nested too deep to be checked"
    if error is None:
        return bare, ""
    where = _short("/".join(str(part) for part in error.absolute_path)) or "its top"
    asked = _short(json.dumps(error.validator_value, ensure_ascii=False))
    return text, f'at {where} it does not hold "{error.validator}": {asked}'  # none of its own words: this is logged


def _validator(schema: dict[str, Any]) -> Validator:
    from jsonschema.validators import Draft202012Validator, validator_for
    from referencing.jsonschema import EMPTY_REGISTRY

    kind = validator_for(schema, default=Draft202012Validator)
    return kind(schema, registry=EMPTY_REGISTRY)


def _check_references(validator: Validator, schema: dict[str, Any]) -> None:
    """Refuses what would be found only while an answer is checked: a reference that leads nowhere, or round in a
    circle."""
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012, EMPTY_REGISTRY

    if not any(_names_itself(part) for part in _objects(schema) if part is not schema):
        resource = DRAFT202012.create_resource(schema)
        here = resource.id() or ""
        resolver = EMPTY_REGISTRY.with_resource(here, resource).resolver(here)
        for reference in dict.fromkeys(_references(schema)):
            try:
                resolver.lookup(reference)
            except Unresolvable:
                raise _bad(f"The JSON schema refers to {_short(reference)}, which is not in it.") from None
    try:
        for sample in _SAMPLES:
            for _ in validator.iter_errors(sample):
                pass
    except Unresolvable as error:
        raise _bad(f"The JSON schema refers to {_short(str(error.ref))}, which is not in it.") from None


def _names_itself(part: Mapping[str, Any]) -> bool:
    """Whether references within this part are meant from an address of its own."""
    return isinstance(part.get("$id"), str) or isinstance(part.get("id"), str)


def _objects(schema: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(schema, Mapping):
        yield schema
        for name, below in schema.items():
            if name not in _DATA:
                yield from _objects(below)
    elif isinstance(schema, list):
        for below in schema:
            yield from _objects(below)


def _references(schema: object) -> Iterator[str]:
    for part in _objects(schema):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]


def _plain(value: Any) -> Any:
    """The same of plain dicts and lists, as a check of JSON takes them."""
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise TypeError("a name in it is no text")
        return {name: _plain(below) for name, below in value.items()}
    return [_plain(below) for below in value] if isinstance(value, (list, tuple)) else value


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _short(text: str) -> str:
    line = " ".join(text.split()).removesuffix(".")
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 3]}..."


def _bad(message: str) -> UserError:
    return UserError(message, code="bad-argument", fix="Give a JSON Schema whose references stay within it.")
