"""Shapes of values: from type hints (a bad annotation harms no other), from docstring words, and a check of values."""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import decimal
import enum
import fractions
import inspect
import io
import pathlib
import re
import types
import typing
import uuid
from typing import Any, Dict, Optional, Tuple

_UNION_TYPES = (typing.Union, getattr(types, "UnionType", typing.Union))


@dataclasses.dataclass(frozen=True)
class Shape:
    """What a value looks like: a kind word, the shapes inside, and the class or values that it stands for."""

    kind: str
    inner: Tuple[Shape, ...] = ()
    value: Any = None


ANY = Shape("any")
NONE = Shape("none")
_PLAIN: Dict[Any, str] = {
    bool: "bool", int: "int", float: "float", complex: "complex", str: "str", bytes: "bytes", bytearray: "bytearray",
    list: "list", tuple: "tuples", dict: "dict", set: "set", frozenset: "frozenset", type(None): "none", object: "any",
    datetime.date: "date", datetime.datetime: "datetime", datetime.time: "time", datetime.timedelta: "timedelta",
    datetime.tzinfo: "tzinfo", datetime.timezone: "tzinfo", decimal.Decimal: "decimal", fractions.Fraction: "fraction",
    pathlib.Path: "path", pathlib.PurePath: "path", pathlib.PurePosixPath: "path", uuid.UUID: "uuid",
        re.Pattern: "pattern",
    type: "type", io.StringIO: "textio", io.BytesIO: "bytesio", io.TextIOBase: "textio", io.IOBase: "textio",
    collections.abc.Iterable: "list", collections.abc.Iterator: "iterator", collections.abc.Sequence: "list",
    collections.abc.MutableSequence: "list", collections.abc.Collection: "list", collections.abc.Container: "list",
    collections.abc.Mapping: "dict", collections.abc.MutableMapping: "dict", collections.abc.Set: "set",
    collections.abc.MutableSet: "set", collections.abc.Generator: "iterator", collections.abc.Callable: "callable",
    collections.abc.Hashable: "any", collections.abc.Awaitable: "awaitable", collections.abc.Coroutine: "awaitable",
    collections.abc.Sized: "list", collections.OrderedDict: "dict",
    collections.deque: "deque", collections.defaultdict: "dict", collections.Counter: "dict", range: "range",
    types.SimpleNamespace: "any",
}  # fmt: skip
_NAMED_IO = {"TextIO": "textio", "BinaryIO": "bytesio", "IO": "textio"}


def shape_of(hint: Any, depth: int = 6) -> Shape:
    """The shape that a resolved hint describes; ANY for what is not understood."""
    if hint is None:
        return NONE
    if hint is Any or depth <= 0 or isinstance(hint, str):
        return ANY
    try:
        return _shape(hint, depth)
    except Exception:
        return ANY


def _shape(hint: Any, depth: int) -> Shape:
    origin = typing.get_origin(hint)
    inside = typing.get_args(hint)
    if origin is None:
        return _bare(hint, depth)
    if origin in _UNION_TYPES:
        return Shape("union", tuple(shape_of(part, depth - 1) for part in inside))
    if origin is getattr(typing, "Literal", None):
        return Shape("literal", value=tuple(inside))
    if str(origin).endswith(("Annotated", "Final", "ClassVar", "Required", "NotRequired")) or hasattr(
        hint, "__metadata__"
    ):
        return shape_of(inside[0], depth - 1)
    if origin is collections.abc.Callable:
        parameters = inside[0] if inside and isinstance(inside[0], list) else None
        result = shape_of(inside[-1], depth - 1) if inside else ANY
        return Shape("callable", (result,), len(parameters) if parameters is not None else None)
    if origin is tuple:
        return _tuple_shape(inside, depth)
    if origin is type:
        return Shape("type", (shape_of(inside[0], depth - 1),) if inside else ())
    kind = _PLAIN.get(origin)
    if kind is not None:
        return Shape(kind, tuple(shape_of(part, depth - 1) for part in inside))
    return _bare(origin, depth) if isinstance(origin, type) else ANY


def _tuple_shape(inside: Tuple[Any, ...], depth: int) -> Shape:
    if len(inside) == 2 and inside[1] is Ellipsis:
        return Shape("tuples", (shape_of(inside[0], depth - 1),))
    return Shape("tuple", tuple(shape_of(part, depth - 1) for part in inside if part != ()))


def _bare(hint: Any, depth: int) -> Shape:
    if hint in _PLAIN:
        return Shape(_PLAIN[hint])
    if isinstance(hint, typing.TypeVar):
        if hint.__constraints__:
            return shape_of(hint.__constraints__[0], depth - 1)
        return shape_of(hint.__bound__, depth - 1) if hint.__bound__ is not None else ANY
    if hasattr(hint, "__supertype__"):
        return shape_of(hint.__supertype__, depth - 1)
    if isinstance(hint, type):
        if issubclass(hint, enum.Enum):
            return Shape("enum", value=hint)
        if hint.__name__ in _NAMED_IO and hint.__module__ == "typing":
            return Shape(_NAMED_IO[hint.__name__])
        if is_typed_dict(hint):
            return Shape("typeddict", value=hint)
        return Shape("class", value=hint)
    return ANY


def is_typed_dict(hint: Any) -> bool:
    """Whether a class was written as a TypedDict."""
    return isinstance(hint, type) and issubclass(hint, dict) and hasattr(hint, "__total__")


def resolve(annotation: Any, scope: Dict[str, Any], local: Optional[Dict[str, Any]] = None) -> Any:
    """The object behind one annotation; Any when it cannot be evaluated on this Python."""
    if annotation is inspect.Parameter.empty:
        return Any
    if isinstance(annotation, typing.ForwardRef):
        annotation = annotation.__forward_arg__
    if not isinstance(annotation, str):
        return annotation
    for text in (annotation, _older(annotation)):
        try:
            return eval(text, _typing_names(scope), local)
        except Exception:
            continue
    return Any


def _older(text: str) -> str:
    """`X | Y` in words that Python 3.9 evaluates; good enough for unions outside brackets."""
    if "|" not in text or ("[" in text and "|" in text[text.index("[") : text.rindex("]")]):
        return text
    return "Union[%s]" % text.replace("|", ",")


def _typing_names(scope: Dict[str, Any]) -> Dict[str, Any]:
    names = {name: getattr(typing, name) for name in typing.__all__}
    names.update((name, getattr(collections.abc, name)) for name in ("Iterable", "Mapping", "Sequence", "Callable"))
    names.update({"datetime": datetime, "date": datetime.date, "Decimal": decimal.Decimal, "Path": pathlib.Path})
    names.update(scope)
    return names


# ---------------------------------------------------------------- words

_WORDS = {
    "str": "str", "string": "str", "strings": "str", "text": "str", "unicode": "str", "int": "int", "integer": "int",
    "integers": "int", "ints": "int", "float": "float", "floats": "float", "double": "float", "number": "float",
    "numeric": "float",
    "bool": "bool", "boolean": "bool", "bytes": "bytes", "list": "list", "tuple": "tuples", "dict": "dict",
    "dictionary": "dict",
    "mapping": "dict", "set": "set", "iterable": "list", "sequence": "list", "array": "list", "iterator": "iterator",
    "callable": "callable", "function": "callable", "none": "none", "date": "date", "datetime": "datetime",
    "timedelta": "timedelta",
    "decimal": "decimal", "path": "path", "object": "any", "any": "any", "collection": "list", "strs": "str",
    "decimal.decimal": "decimal", "datetime.date": "date", "datetime.datetime": "datetime",
    "datetime.timedelta": "timedelta",
}  # fmt: skip
_BRACKETS = re.compile(r"^(\w+)\[(.*)\]$")
_OF = re.compile(r"^(\w+) (?:of|with) (.+)$")


def shape_of_words(text: str, scope: Optional[Dict[str, Any]] = None, depth: int = 4) -> Shape:
    """The shape that a docstring names: `str`, `list of int`, `int or None`, `Optional[str]`, a class of the module."""
    text = text.strip().strip("`*:.").replace(":class:", "").replace("`", "").replace("typing.", "").strip()
    text = re.sub(r",?\s*(optional|default.*)$", "", text, flags=re.I).strip()
    if not text or depth <= 0:
        return ANY
    if "[" not in text:
        parts = re.split(r"\s+or\s+|\s*\|\s*|\s*,\s*|/", text)
        if len(parts) > 1:
            shapes = tuple(shape_of_words(part, scope, depth - 1) for part in parts if part)
            return Shape("union", shapes) if ANY not in shapes else ANY
    of = _OF.match(text)
    if of and _WORDS.get(of.group(1).lower()) in ("list", "set", "tuples", "iterator"):
        return Shape(_WORDS[of.group(1).lower()], (shape_of_words(of.group(2), scope, depth - 1),))
    if _BRACKETS.match(text):
        return shape_of(resolve(text, scope or {}))
    word = _WORDS.get(text.lower())
    if word is not None:
        return Shape(word)
    found = (scope or {}).get(text)
    return shape_of(found) if isinstance(found, type) else ANY


# ---------------------------------------------------------------- checks

_CLASSES: Dict[str, Any] = {
    "bool": bool, "str": str, "bytes": (bytes, bytearray), "bytearray": bytearray, "list": (list, tuple,
    collections.abc.Iterable),
    "tuples": tuple, "tuple": tuple, "dict": collections.abc.Mapping, "set": collections.abc.Set,
    "frozenset": frozenset,
    "date": datetime.date, "datetime": datetime.datetime, "time": datetime.time, "timedelta": datetime.timedelta,
    "tzinfo": datetime.tzinfo, "decimal": decimal.Decimal, "fraction": fractions.Fraction, "path": pathlib.PurePath,
    "uuid": uuid.UUID, "pattern": re.Pattern, "type": type, "iterator": collections.abc.Iterable,
    "deque": collections.deque,
    "textio": io.IOBase, "bytesio": io.IOBase, "range": range, "complex": (int, float, complex), "typeddict": dict,
}  # fmt: skip


def accepts(shape: Shape, value: Any, depth: int = 5) -> bool:
    """Whether a value keeps to a shape, by the rules of type hints (an int is a float, a bool is an int)."""
    kind = shape.kind
    if kind == "any" or depth <= 0:
        return True
    if kind == "none":
        return value is None
    if kind == "union":
        return any(accepts(part, value, depth - 1) for part in shape.inner)
    if kind == "literal":
        return any(type(one) is type(value) and one == value for one in shape.value)
    if kind == "int":
        return isinstance(value, int)
    if kind == "float":
        return isinstance(value, (int, float))
    if kind == "callable":
        return callable(value)
    if kind in ("class", "enum"):
        return _is_protocol(shape.value) or isinstance(value, shape.value)
    allowed = _CLASSES.get(kind)
    if allowed is not None and not isinstance(value, allowed):
        return False
    return _accepts_inside(shape, value, depth)


def keeps_to(shape: Shape, value: Any, depth: int = 5) -> bool:
    """Whether a caller who reads the hint would give this value: as `accepts`, but a sequence is a list here, and no
    text, not even an empty one, stands for a sequence or an iterator."""
    if shape.kind == "union":
        return any(keeps_to(part, value, depth - 1) for part in shape.inner)
    if shape.kind == "list" and not isinstance(value, list):
        return False
    if shape.kind == "iterator" and isinstance(value, (str, bytes, bytearray)):
        return False
    if not accepts(shape, value, depth):
        return False
    if depth > 0 and len(shape.inner) == 1 and isinstance(value, (list, tuple, set, frozenset)):
        return shape.kind == "tuple" or all(keeps_to(shape.inner[0], item, depth - 1) for item in value)
    if depth > 0 and shape.kind == "dict" and len(shape.inner) == 2 and isinstance(value, dict):
        return all(keeps_to(shape.inner[1], item, depth - 1) for item in value.values())
    return True


def _is_protocol(kind: Any) -> bool:
    return bool(getattr(kind, "_is_protocol", False))


def _accepts_inside(shape: Shape, value: Any, depth: int) -> bool:
    if shape.kind == "tuple":
        return len(value) == len(shape.inner) and all(accepts(s, v, depth - 1) for s, v in zip(shape.inner, value))
    if shape.kind == "dict" and len(shape.inner) == 2 and isinstance(value, dict):
        return all(
            accepts(shape.inner[0], k, depth - 1) and accepts(shape.inner[1], v, depth - 1) for k, v in value.items()
        )
    if shape.inner and isinstance(value, (list, tuple, set, frozenset, str, bytes, bytearray, range, dict)):
        return all(accepts(shape.inner[0], item, depth - 1) for item in value)
    return True


def describe(shape: Shape) -> str:
    """A shape in the words of a hint."""
    if shape.kind == "none":
        return "None"
    if shape.kind == "union":
        return " | ".join(describe(part) for part in shape.inner)
    if shape.kind == "literal":
        return "Literal[%s]" % ", ".join(repr(one) for one in shape.value)
    if shape.kind in ("class", "enum", "typeddict"):
        return str(getattr(shape.value, "__name__", shape.value))
    word = {"tuples": "tuple", "decimal": "Decimal", "any": "Any"}.get(shape.kind, shape.kind)
    return "%s[%s]" % (word, ", ".join(describe(part) for part in shape.inner)) if shape.inner else word
