"""Literals evaluate back to what they stand for, and pictures never run the subject's own code."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import math
import pathlib
import re
import sys
import types

from _aqe_inject import literals, namespace
from hypothesis import given, settings
from hypothesis import strategies as st

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.binary(max_size=8)
    | st.decimals(allow_nan=False)
    | st.dates()
    | st.datetimes(timezones=st.just(datetime.UTC))
    | st.timedeltas()
    | st.uuids()
    | st.fractions(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=3)
        | st.sets(st.integers() | st.text(max_size=3), max_size=3)
        | st.frozensets(st.integers(), max_size=3)
    ),
    max_leaves=8,
)


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.0


class Pair(collections.namedtuple("Pair", "left right")):
    pass


class Interval:
    def __init__(self, low: int, high: int = 9) -> None:
        self.low, self._high = low, high

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Interval) and (self.low, self._high) == (other.low, other._high)

    __hash__ = None  # type: ignore[assignment]


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("looked at")

    __str__ = __hash__ = __eq__ = __repr__  # type: ignore[assignment]


class Shout(str):
    pass


NAMES = namespace.Namespace(sys.modules[__name__])


@settings(max_examples=150, deadline=None)
@given(plain)
def test_plain_values_evaluate_back_with_their_types(value: object) -> None:
    """Whatever source is written for a plain value, evaluating it gives a value of the same types and content."""
    source = literals.source_of(value, NAMES)
    if source is not None:
        assert literals.freeze(NAMES.evaluate(source), 8) == literals.freeze(value, 8)
    else:
        assert len(repr(value)) > literals.LONGEST // 2 or any(part in repr(value) for part in ("0x", "/", "nan"))


def test_classes_are_written_by_their_constructors() -> None:
    """Dataclasses, enums, named tuples and classes with an equality of their own become calls."""
    written = [
        (Point(1, 2.5), "Point(x=1, y=2.5)"),
        (Colour.RED, "Colour.RED"),
        (Pair(1, "a"), 'Pair(left=1, right="a")'),
        (Interval(3), "Interval(3)"),
        (Interval(3, 4), "Interval(3, high=4)"),
        (collections.deque([1], maxlen=3), "deque([1], maxlen=3)"),
        (types.SimpleNamespace(a=1), "types.SimpleNamespace(a=1)"),
    ]
    assert [literals.source_of(value, NAMES) for value, _ in written] == [source for _, source in written]


def test_special_numbers_and_standard_types_are_spelled_out() -> None:
    """nan, infinities, negative zero, dates, decimals, patterns and paths have a source of their own."""
    assert literals.source_of(math.nan, NAMES) == 'float("nan")'
    assert literals.source_of(-math.inf, NAMES) == 'float("-inf")'
    assert literals.source_of(-0.0, NAMES) == "-0.0"
    assert literals.source_of(datetime.timedelta(days=1), NAMES) == "timedelta(days=1)"
    assert literals.source_of(decimal.Decimal("1.50"), NAMES) == 'Decimal("1.50")'
    assert literals.source_of(re.compile("a+", re.I), NAMES) == 're.compile("a+", 2)'
    assert literals.source_of(pathlib.PurePosixPath("a/b"), NAMES) == 'PurePosixPath("a/b")'
    assert NAMES.imports_for("timedelta(days=1)", 'Decimal("1")') == [
        "from datetime import timedelta",
        "from decimal import Decimal",
    ]


def test_what_no_test_should_hold_has_no_source() -> None:
    """Addresses, places of this machine, objects without equality and local classes are left out."""

    class Local:
        pass

    for value in ("<Thing at 0x7f2a3c4d5e6f>", str(pathlib.Path.cwd() / "file"), object(), Local(), Local, lambda: 1):
        assert literals.source_of(value, NAMES) is None


def test_hostile_objects_are_pictured_without_asking_them() -> None:
    """An object whose repr, str and equality raise is compared and left out, never called."""
    assert literals.freeze(Hostile()) == literals.freeze(Hostile())
    assert literals.source_of([Hostile()], NAMES) is None


def test_pictures_tell_types_apart_that_equality_does_not() -> None:
    """True and 1, 0.0 and -0.0, a list and a tuple, a string and its subclass differ."""
    for one, other in ((True, 1), (0.0, -0.0), ([1], (1,)), ("a", Shout("a")), (1, 1.0), ({"a": 1}, {"a": True})):
        assert literals.freeze(one) != literals.freeze(other)
    assert literals.freeze({"a": 1, "b": 2}) == literals.freeze({"b": 2, "a": 1})
