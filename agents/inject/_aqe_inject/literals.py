"""Values to source, and values to a comparable form that never runs the subject's own methods."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import inspect
import math
import os
import pathlib
import re
import types
import uuid
from typing import Any, Dict, List, Optional, Tuple

from .namespace import Namespace

LONGEST = 400
"""Characters beyond which a literal is no longer readable and is left out."""

_ADDRESS = re.compile(r"\b(?:at )?0x[0-9a-fA-F]{6,}")
_ATOMS = (type(None), bool, int, str, bytes)
_NAMED_REPR = (
    datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone, decimal.Decimal,
    fractions.Fraction, uuid.UUID, complex, range, bytearray, slice,
)  # fmt: skip
_CALLABLES = (
    types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.MethodDescriptorType,
    types.WrapperDescriptorType,
)  # fmt: skip


class Unrenderable(Exception):
    """The value has no short source that evaluates back to it."""


def qualified(kind: type) -> str:
    """`module.Name` of a class; builtins stand bare."""
    home = kind.__module__
    return kind.__qualname__ if home == "builtins" else "%s.%s" % (home, kind.__qualname__)


# ---------------------------------------------------------------- comparable form


def freeze(value: Any, depth: int = 5) -> Any:
    """A hashable picture of a value: exact types, content, public and private state; addresses are masked."""
    kind = type(value)
    if kind is str:
        return value if len(value) < 40 and "0x" not in value else ("str", mask(value))
    if kind is float:
        return ("float", "%.12g" % value, math.copysign(1.0, value) < 0)
    if kind in _ATOMS:
        return (kind.__name__, value)
    if depth <= 0:
        return ("deep", qualified(kind))
    if kind is list or kind is tuple:
        return (kind.__name__, tuple([freeze(item, depth - 1) for item in value[:2000]]), len(value))
    if kind is dict:
        return ("dict", _frozen_pairs(value, depth))
    if kind is set or kind is frozenset:
        return (kind.__name__, tuple(sorted((freeze(item, depth - 1) for item in value), key=repr)))
    return _freeze_other(value, kind, depth)


def mask(text: str) -> str:
    """Text without memory addresses."""
    return _ADDRESS.sub("0x", text)


def _frozen_pairs(value: Any, depth: int) -> Any:
    pairs = [(freeze(k, depth - 1), freeze(v, depth - 1)) for k, v in dict.items(value)]
    return tuple(sorted(pairs, key=repr)) if len(pairs) > 1 else tuple(pairs)


def _freeze_other(value: Any, kind: type, depth: int) -> Any:
    if kind in _NAMED_REPR:
        return (kind.__name__, repr(value))
    if isinstance(value, type):
        return ("class", qualified(value))
    if isinstance(value, _CALLABLES):
        return ("callable", getattr(value, "__qualname__", ""))
    if isinstance(value, types.ModuleType):
        return ("module", value.__name__)
    if isinstance(value, enum.Enum):
        return ("enum", qualified(kind), value._name_)
    if isinstance(value, pathlib.PurePath):
        return (kind.__name__, str(value))
    if isinstance(value, re.Pattern):
        return ("pattern", value.pattern, value.flags)
    if isinstance(value, re.Match):
        return ("match", value.span(), value.group(0))
    return ("object", qualified(kind), _content(value, depth), _state(value, depth))


def _content(value: Any, depth: int) -> Any:
    """What a subclass of a builtin holds, read by the builtin's own methods."""
    if isinstance(value, dict):
        return _frozen_pairs(value, depth)
    for builtin in (list, tuple, set, frozenset, collections.deque):
        if isinstance(value, builtin):
            items = [freeze(item, depth - 1) for item in _elements(builtin, value)]
            return tuple(items if builtin in (list, tuple, collections.deque) else sorted(items, key=repr))
    for atom in (str, bytes, int, float):
        if isinstance(value, atom):
            return atom.__repr__(value)
    if isinstance(value, BaseException):
        return freeze(value.args, depth - 1)
    if hasattr(type(value), "getvalue"):
        try:
            return freeze(value.getvalue(), depth - 1)
        except Exception:
            return None
    return None


def _state(value: Any, depth: int) -> Any:
    found: Dict[str, Any] = {}
    try:
        inner = object.__getattribute__(value, "__dict__")
        if isinstance(inner, dict):
            found.update((k, v) for k, v in inner.items() if isinstance(k, str))
    except Exception:
        pass
    kind: Any = type(value)
    for name in _slots(kind):
        try:
            found[name] = object.__getattribute__(value, name)
        except Exception:
            pass
    return tuple((name, freeze(found[name], depth - 1)) for name in sorted(found))


@functools.lru_cache(maxsize=512)
def _slots(kind: type) -> List[str]:
    names: List[str] = []
    for owner in kind.__mro__[:-1]:
        slots = owner.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else tuple(slots):
            if name in ("__dict__", "__weakref__"):
                continue
            hidden = name.startswith("__") and not name.endswith("__")
            names.append("_%s%s" % (owner.__name__.lstrip("_"), name) if hidden else name)
    return names


def is_opaque(frozen: Any) -> bool:
    """Whether the picture shows only a type and neither content nor state."""
    return isinstance(frozen, tuple) and len(frozen) == 4 and frozen[0] == "object" and not frozen[2] and not frozen[3]


# ---------------------------------------------------------------- source


def source_of(value: Any, names: Namespace) -> Optional[str]:
    """Source that evaluates back to an equal value of the same types, or None; checked by evaluating it."""
    try:
        source = _write(value, names, 6)
        if len(source) > LONGEST:
            return None
        back = names.evaluate(source)
        is_equal = bool(back == value) or (type(value) is float and value != value)
    except BaseException:
        return None
    return source if is_equal and freeze(back, 8) == freeze(value, 8) else None


def plain(value: Any) -> Any:
    """The builtin value inside an object of a subclass that has no equality of its own; other values as they are."""
    kind = type(value)
    builtins: Tuple[Any, ...] = (list, tuple, set, frozenset, dict, str, int, float)
    for builtin in builtins:
        if (
            isinstance(value, builtin)
            and kind is not builtin
            and kind.__eq__ is builtin.__eq__
            and not isinstance(value, (bool, enum.Enum))
        ):
            return _base_of(value)
    return value


def _write(value: Any, names: Namespace, depth: int) -> str:
    kind = type(value)
    if depth <= 0:
        raise Unrenderable
    if kind is str or kind is bytes:
        return _write_text(value)
    if kind is float:
        return write_float(value)
    if kind in _ATOMS:
        return repr(value)
    if kind in (list, tuple, set, frozenset, dict):
        return _write_container(value, kind, names, depth)
    if kind in _NAMED_REPR or isinstance(value, (pathlib.PurePath, re.Pattern)):
        return _write_standard(value, kind, names, depth)
    if isinstance(value, type) or isinstance(value, _CALLABLES):
        return _named(value, names)
    if isinstance(value, enum.Enum):
        return _write_member(value, kind, names)
    return _write_object(value, kind, names, depth)


def _write_text(value: Any) -> str:
    if isinstance(value, str):
        if _ADDRESS.search(value) or _names_a_place(value):
            raise Unrenderable
        plain = repr(value)
        if plain[0] == "'" and '"' not in value:
            return '"%s"' % plain[1:-1].replace("\\'", "'")
        return plain
    plain = repr(value)
    return 'b"%s"' % plain[2:-1] if plain[1] == "'" and b'"' not in value else plain


def _names_a_place(text: str) -> bool:
    """Whether text holds a path of this machine."""
    if "/" not in text and "\\" not in text:
        return False
    here = os.getcwd()
    return (len(here) > 3 and here in text) or text.startswith(("/tmp/", "/proc/", "/dev/shm/"))


def write_float(value: float) -> str:
    """A float as source, with nan and the infinities spelled out."""
    if value != value:
        return 'float("nan")'
    if value in (math.inf, -math.inf):
        return 'float("inf")' if value > 0 else 'float("-inf")'
    return repr(value)


def _write_container(value: Any, kind: type, names: Namespace, depth: int) -> str:
    if kind is dict:
        inside = ", ".join(
            "%s: %s" % (_write(k, names, depth - 1), _write(v, names, depth - 1)) for k, v in value.items()
        )
        return "{%s}" % inside
    parts = [_write(item, names, depth - 1) for item in value]
    if kind in (set, frozenset):
        parts.sort()
    body = ", ".join(parts)
    if kind is list:
        return "[%s]" % body
    if kind is tuple:
        return "(%s,)" % body if len(parts) == 1 else "(%s)" % body
    if kind is set:
        return "{%s}" % body if parts else "set()"
    return "frozenset({%s})" % body if parts else "frozenset()"


def _write_standard(value: Any, kind: type, names: Namespace, depth: int) -> str:
    if isinstance(value, re.Pattern):
        flags = value.flags & ~re.UNICODE if isinstance(value.pattern, str) else value.flags
        pattern = _write(value.pattern, names, depth - 1)
        return "re.compile(%s, %d)" % (pattern, flags) if flags else "re.compile(%s)" % pattern
    if isinstance(value, pathlib.PurePath):
        shown = "Path" if kind.__name__ in ("PosixPath", "WindowsPath") else kind.__name__
        return "%s(%s)" % (shown, _write_text(str(value)))
    if kind in (complex, range, slice, bytearray):
        return repr(value)
    if kind in (decimal.Decimal, uuid.UUID):
        return '%s("%s")' % (_named(kind, names), value)
    if kind is fractions.Fraction:
        return "Fraction(%d, %d)" % (value.numerator, value.denominator)
    return repr(value).replace("datetime.", "")


def _named(value: Any, names: Namespace) -> str:
    found = names.name_of(value)
    if found is None:
        raise Unrenderable
    return found


def _write_member(value: Any, kind: type, names: Namespace) -> str:
    if not isinstance(value._name_, str) or not value._name_.isidentifier():
        raise Unrenderable
    return "%s.%s" % (_named(kind, names), value._name_)


def _write_object(value: Any, kind: type, names: Namespace, depth: int) -> str:
    if isinstance(value, collections.deque) and kind is collections.deque:
        extra = ", maxlen=%d" % value.maxlen if value.maxlen is not None else ""
        return "deque(%s%s)" % (_write(list(value), names, depth - 1), extra)
    if kind in (collections.OrderedDict, collections.Counter):
        return "%s(%s)" % (kind.__name__, _write(dict(value), names, depth - 1))
    if kind is collections.defaultdict:
        inner = _write(dict(value), names, depth - 1)
        return "defaultdict(%s, %s)" % (_write(value.default_factory, names, depth - 1), inner)
    if kind is types.SimpleNamespace:
        return "types.SimpleNamespace(%s)" % _keywords(vars(value), names, depth)
    name = _named(kind, names)
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        fields = {field: tuple.__getitem__(value, i) for i, field in enumerate(kind._fields)}
        return "%s(%s)" % (name, _keywords(fields, names, depth))
    if not compares_by_value(kind):
        raise Unrenderable
    if dataclasses.is_dataclass(kind):
        fields = {f.name: object.__getattribute__(value, f.name) for f in dataclasses.fields(kind) if f.init}
        return "%s(%s)" % (name, _keywords(fields, names, depth))
    if isinstance(value, (list, tuple, set, frozenset, dict, str, int, float)):
        return "%s(%s)" % (name, _write(_base_of(value), names, depth - 1))
    return "%s(%s)" % (name, _constructor_arguments(value, kind, names, depth))


def _elements(builtin: Any, value: Any) -> Any:
    """The elements as the builtin class itself lists them."""
    return builtin.__iter__(value)


def _base_of(value: Any) -> Any:
    for builtin in (list, tuple, set, frozenset):
        if isinstance(value, builtin):
            return builtin(_elements(builtin, value))
    if isinstance(value, dict):
        return dict(dict.items(value))
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__add__(value, 0)  # never the subject's own __int__, which a mutant may break
    if isinstance(value, float):
        return float.__mul__(value, 1.0)
    raise Unrenderable


def _keywords(fields: Dict[str, Any], names: Namespace, depth: int) -> str:
    if not all(name.isidentifier() for name in fields):
        raise Unrenderable
    return ", ".join("%s=%s" % (name, _write(item, names, depth - 1)) for name, item in fields.items())


def _constructor_arguments(value: Any, kind: type, names: Namespace, depth: int) -> str:
    """Arguments that rebuild an object whose attributes carry the names of its parameters."""
    try:
        parameters = list(inspect.signature(kind).parameters.values())
    except (TypeError, ValueError):
        raise Unrenderable from None
    written: List[str] = []
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        found, held = _held(value, parameter.name)
        if not found:
            if parameter.default is parameter.empty:
                raise Unrenderable
            continue
        if parameter.default is not parameter.empty and freeze(held) == freeze(parameter.default):
            continue
        lead = (
            ""
            if parameter.default is parameter.empty and parameter.kind != parameter.KEYWORD_ONLY
            else parameter.name + "="
        )
        written.append(lead + _write(held, names, depth - 1))
    return ", ".join(written)


def _held(value: Any, name: str) -> Tuple[bool, Any]:
    for shown in (name, "_" + name, "_%s__%s" % (type(value).__name__.lstrip("_"), name)):
        try:
            return True, object.__getattribute__(value, shown)
        except Exception:
            continue
    return False, None


def compares_by_value(kind: type) -> bool:
    """Whether `==` on objects of the class is more than identity."""
    return getattr(kind, "__eq__", None) is not getattr(object, "__eq__", None)


def has_float(value: Any, depth: int = 4) -> bool:
    """Whether a plain value holds a float that is not whole, so that equality should allow for rounding."""
    if type(value) is float:
        return value == value and not value.is_integer() and abs(value) != math.inf
    if depth and type(value) in (list, tuple):
        return any(has_float(item, depth - 1) for item in value)
    if depth and type(value) is dict:
        return any(has_float(item, depth - 1) for item in value.values())
    return False
