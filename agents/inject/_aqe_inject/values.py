"""Own generators of argument values by shape, fed by the constants, examples and patterns of the subject."""

from __future__ import annotations

import dataclasses
import random
import re
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .documents import document
from .hints import ANY, Shape, resolve, shape_of
from .namespace import Namespace
from .patterns import matching_text
from .recipes import Atom, Items, Make, Pairs, Recipe, Text, recipe_of

_WORDS = ("a", "b", "abc", "hello", "Hello World", "x", "foo", "bar", "foo bar", "Ann", "one two three", "a-b",
    "a_b", "A", "test",
          "CamelCase", "1", "42", "3.14", "-1", "a,b", "a=b", "2024-02-29", "12:30", "key", "é", "x y", "foo.bar",
          "a/b", "{}", "[]")  # fmt: skip
_NUMBERS = (0, 1, 2, 3, -1, 5, 10, 4, 7, 100, -2, 8, 12, 20, 50, 1000, -10, 99, 255, 11)
_FLOATS = (0.0, 1.0, 0.5, 2.5, -1.5, 10.0, 0.1, 100.0, 3.14, -0.5, 1e6, 99.99, -100.0)
_EDGES = ("", " ", "\n", "ß", "a" * 30, "\t", "0", "-", "日本", "None")
_LAMBDAS = {
    0: ("lambda: 0", "lambda: None", "list", "dict"),
    1: ("lambda x: x", "str", "bool", "lambda x: x * 2", "len", "lambda x: None", "lambda x: x > 1", "int"),
    2: ("lambda x, y: x + y", "max", "lambda x, y: x < y", "lambda x, y: (x > y) - (x < y)", "lambda x, y: x"),
}
_FIXED = {
    "date": ("date(2024, 2, 29)", "date(2023, 1, 1)", "date(2023, 12, 31)", "date(2000, 6, 15)", "date(2024, 3, 2)",
    "date(2023, 7, 1)"),
    "datetime": ("datetime(2024, 2, 29, 12, 30)", "datetime(2023, 1, 1)", "datetime(2023, 12, 31, 23, 59, 59)",
                 "datetime(2024, 5, 6, 7, 8, 9, 10)", "datetime(2024, 3, 31, 1, 30, tzinfo=timezone.utc)"),
    "time": ("time(12, 30)", "time(0, 0)", "time(23, 59, 59)", "time(1, 2, 3, 4)"),
    "timedelta": ("timedelta(days=1)", "timedelta(0)", "timedelta(hours=1, minutes=30)", "timedelta(days=-1)",
    "timedelta(seconds=5)",
                  "timedelta(days=40)", "timedelta(microseconds=1)", "timedelta(weeks=1, seconds=61)"),
    "tzinfo": ("timezone.utc", "timezone(timedelta(hours=2))", "timezone(timedelta(hours=-5, minutes=-30))"),
    "decimal": ('Decimal("0")', 'Decimal("1.5")', 'Decimal("10")', 'Decimal("-1")', 'Decimal("99.99")',
    'Decimal("0.005")', 'Decimal("100")'),
    "fraction": ("Fraction(1, 2)", "Fraction(0, 1)", "Fraction(-3, 4)", "Fraction(2, 1)"),
    "uuid": ('UUID("12345678-1234-5678-1234-567812345678")', 'UUID("00000000-0000-0000-0000-000000000000")'),
    "path": ('PurePosixPath("a/b.txt")', 'PurePosixPath("x")', 'PurePosixPath("a/b/c.tar.gz")'),
    "pattern": ('re.compile("a+")', 're.compile(r"\\d+")', 're.compile(r"[^a-z]+")', 're.compile(r"(\\w)(\\w)")'),
    "type": ("int", "str", "list", "ValueError", "dict"),
    "range": ("range(3)", "range(0)", "range(1, 10, 2)"),
    "slice": ("slice(0, 2)", "slice(1, None)", "slice(None, None, 2)", "slice(-2, None)"),
    "complex": ("1j", "complex(1, 2)", "complex(0, 0)"),
}  # fmt: skip


@dataclasses.dataclass
class Pools:
    """What the subject's own text offers, by type."""

    texts: List[str]
    numbers: List[int]
    floats: List[float]
    blobs: List[bytes]
    patterns: List[Any]
    seeds: Dict[str, List[Recipe]] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, constants: Sequence[Any], patterns: Sequence[Any]) -> Pools:
        """Pools from the constants and regular expressions of one target; numbers bring their neighbours."""
        numbers = [v for v in constants if type(v) is int]
        near = [n + d for n in numbers for d in (0, 1, -1)]
        floats = [v for v in constants if type(v) is float]
        texts = [v for v in constants if type(v) is str]
        return cls(
            texts,
            list(dict.fromkeys(near)),
            floats + [f + 0.5 for f in floats],
            [v for v in constants if type(v) is bytes],
            list(patterns),
        )


_RESULT_KINDS: Dict[Any, str] = {str: "str", bytes: "bytes", list: "list", tuple: "tuples", dict: "dict"}


class Values:
    """Makes recipes for shapes. `providers` maps a class to recipes of calls that return it; it grows in time."""

    def __init__(self, rng: random.Random, names: Namespace, providers: Dict[type, List[Recipe]]) -> None:
        self.rng = rng
        self.names = names
        self.providers = providers
        self.pools = Pools([], [], [], [], [])
        self.constructor: Any = None
        self.untyped_share = 0.05
        self.echo: List[Atom] = []
        self.results: Dict[str, List[Recipe]] = {}
        self.topic = ""
        self._matched: Dict[Any, List[str]] = {}

    def learn_result(self, value: Any) -> None:
        """Remember a plain value that some call returned: what one function writes another one may read."""
        kind = _RESULT_KINDS.get(type(value))
        if kind is None or not 1 < len(value) <= 200:
            return
        made = recipe_of(value)
        if made is not None and len(made.source) <= 120:
            known = self.results.setdefault(kind, [])
            if len(known) < 40:
                known.append(made)
            else:
                known[self.rng.randrange(40)] = made

    def of(self, shapes: Sequence[Shape], depth: int = 3) -> Recipe:
        """A recipe for a parameter: mostly its best shape, sometimes a later one, rarely anything at all."""
        if self.rng.random() < self.untyped_share:
            return self.anything(depth)
        place = 0
        while place + 1 < len(shapes) and self.rng.random() < 0.4:
            place += 1
        return self.make(shapes[place], depth)

    def make(self, shape: Shape, depth: int = 3) -> Recipe:
        """A recipe for one shape."""
        known = self.results.get(shape.kind)
        if known and self.rng.random() < 0.06:
            return self.rng.choice(known)
        maker = getattr(self, "_" + shape.kind, None)
        if maker is not None:
            made: Recipe = maker(shape, depth)
            return made
        fixed = _FIXED.get(shape.kind)
        if fixed is not None:
            return self._fixed(shape.kind, fixed)
        return self.anything(depth)

    def _fixed(self, kind: str, choices: Tuple[str, ...]) -> Recipe:
        rng = self.rng
        if kind == "decimal" and rng.random() < 0.5:
            return Text('Decimal("%s")' % self._number_text())
        if kind == "date" and rng.random() < 0.4:
            return Text("date(%d, %d, %d)" % (rng.randint(1999, 2030), rng.randint(1, 12), rng.randint(1, 28)))
        if kind == "timedelta" and rng.random() < 0.3:
            return Text(
                "timedelta(%s=%d)" % (rng.choice(("days", "hours", "minutes", "seconds")), rng.choice(self._integers()))
            )
        if kind == "datetime" and rng.random() < 0.3:
            day = (
                rng.randint(1999, 2030),
                rng.randint(1, 12),
                rng.randint(1, 28),
                rng.randint(0, 23),
                rng.randint(0, 59),
            )
            return Text("datetime(%d, %d, %d, %d, %d)" % day)
        return Text(rng.choice(choices))

    def _number_text(self) -> str:
        rng = self.rng
        return rng.choice(
            (
                str(rng.choice(self._integers())),
                str(rng.choice(_FLOATS)),
                "%d.%02d" % (rng.randint(0, 200), rng.randint(0, 99)),
            )
        )

    def anything(self, depth: int = 3) -> Recipe:
        """A value without any hint of its shape."""
        kinds = ("int", "str", "str", "list", "float", "none", "bool", "dict", "tuples", "bytes")
        kind = self.rng.choice(kinds[:7] if depth < 2 else kinds)
        return self.make(Shape(kind), depth - 1)

    # ------------------------------------------------------------ atoms

    def _none(self, shape: Shape, depth: int) -> Recipe:
        return Atom(None)

    def _any(self, shape: Shape, depth: int) -> Recipe:
        return self.anything(depth)

    def _bool(self, shape: Shape, depth: int) -> Recipe:
        return Atom(self.rng.random() < 0.5)

    def _integers(self) -> Sequence[int]:
        return self.pools.numbers if self.pools.numbers and self.rng.random() < 0.45 else _NUMBERS

    def _int(self, shape: Shape, depth: int) -> Recipe:
        if self.echo and self.rng.random() < 0.12:
            heard = self._heard(int)
            if heard is not None:
                return heard
        if self.rng.random() < 0.12:
            return self._remember(Atom(self.rng.randint(-30, 130)))
        return self._remember(Atom(self.rng.choice(self._integers())))

    def _float(self, shape: Shape, depth: int) -> Recipe:
        rng = self.rng
        if self.echo and rng.random() < 0.12:
            heard = self._heard(float)
            if heard is not None:
                return heard
        if self.pools.floats and rng.random() < 0.3:
            return self._remember(Atom(rng.choice(self.pools.floats)))
        roll = rng.random()
        if roll < 0.25:
            return self._remember(Atom(float(rng.choice(self._integers()))))
        if roll < 0.45:
            return self._remember(Atom(round(rng.random(), 1)))
        if roll < 0.47:
            return Atom(float(rng.choice(("nan", "inf", "-inf"))))
        return self._remember(Atom(rng.choice(_FLOATS) if roll < 0.85 else round(rng.uniform(-10, 120), 2)))

    def _str(self, shape: Shape, depth: int) -> Recipe:
        if self.echo and self.rng.random() < 0.1:
            heard = self._heard(str)
            if heard is not None:
                return heard
        return self._remember(Atom(self.text()))

    def _heard(self, kind: type) -> Optional[Atom]:
        """A value that the case under construction holds already."""
        known = [atom for atom in self.echo if type(atom.value) is kind]
        if not known:
            return None
        chosen = self.rng.choice(known)
        if kind is str and self.rng.random() < 0.6:
            words = re.findall(r"\w+", chosen.value)
            return Atom(self.rng.choice(words)) if words else chosen
        return chosen

    def _remember(self, atom: Atom) -> Atom:
        self.echo.append(atom)
        return atom

    def text(self) -> str:
        """Text: a word, a constant of the subject, something a pattern matches, or pieces of these."""
        rng, roll = self.rng, self.rng.random()
        if self.pools.patterns and roll < 0.3:
            made = self._matching(rng.choice(self.pools.patterns))
            if made is not None:
                return made
        if self.pools.texts and roll < 0.5:
            return rng.choice(self.pools.texts)
        if roll < 0.58:
            return rng.choice(_EDGES)
        if roll < 0.68:
            return document(self.topic, rng)
        if roll < 0.75:
            pieces = [*self.pools.texts, *_WORDS] if self.pools.texts else list(_WORDS)
            return "".join(rng.choice(pieces) for _ in range(rng.randint(2, 3)))[:60]
        if roll < 0.8:
            return self._number_text()
        return rng.choice(_WORDS)

    def _matching(self, pattern: Any) -> Optional[str]:
        """A text that a pattern matches; after some have been written, mostly one of those."""
        key = pattern if isinstance(pattern, str) else pattern.pattern
        known = self._matched.setdefault(key, [])
        if len(known) >= 25 and self.rng.random() < 0.8:
            return self.rng.choice(known)
        made = matching_text(pattern, self.rng)
        if made is None:
            return self.rng.choice(known) if known else None
        if len(known) < 60:
            known.append(made)
        return made

    def _bytes(self, shape: Shape, depth: int) -> Recipe:
        if self.pools.blobs and self.rng.random() < 0.4:
            return Atom(self.rng.choice(self.pools.blobs))
        return Atom(self.text().encode("utf-8", "replace"))

    def _bytearray(self, shape: Shape, depth: int) -> Recipe:
        return Text("bytearray(%r)" % self.text().encode("utf-8", "replace"))

    def _literal(self, shape: Shape, depth: int) -> Recipe:
        return Atom(self.rng.choice(shape.value))

    def _union(self, shape: Shape, depth: int) -> Recipe:
        parts = [part for part in shape.inner if part != ANY] or list(shape.inner)
        return self.make(self.rng.choice(parts), depth - 1) if parts else Atom(None)

    # ------------------------------------------------------------ containers

    def _size(self) -> int:
        if self.pools.numbers and self.rng.random() < 0.06:
            return max(0, min(40, self.rng.choice(self.pools.numbers)))
        return self.rng.choice((0, 1, 1, 2, 2, 3, 3, 4, 5))

    def _element(self, shape: Shape, place: int = 0) -> Shape:
        if len(shape.inner) > place and shape.inner[place] != ANY:
            return shape.inner[place]
        return Shape(self.rng.choice(("int", "int", "int", "str", "str", "str", "any", "dict", "list", "float")))

    def _many(self, shape: Shape, depth: int) -> List[Recipe]:
        if depth <= 0:
            return []
        inner = self._element(shape)
        made = [self.make(inner, depth - 1) for _ in range(self._size())]
        if len(made) > 1 and self.rng.random() < 0.25:
            made[-1] = made[0]
        return made

    def _list(self, shape: Shape, depth: int) -> Recipe:
        if self.rng.random() < 0.02 and (not shape.inner or shape.inner[0].kind in ("any", "int")):
            large = [n for n in self.pools.numbers if 40 < n <= 2000]
            if large:
                return Text("list(range(%d))" % (self.rng.choice(large) * self.rng.choice((1, 2)) + 1))
        kind = tuple if not shape.inner and self.rng.random() < 0.1 else list
        return Items(kind, self._many(shape, depth))

    def _tuples(self, shape: Shape, depth: int) -> Recipe:
        return Items(tuple, self._many(shape, depth))

    def _tuple(self, shape: Shape, depth: int) -> Recipe:
        return Items(tuple, [self.make(part, depth - 1) for part in shape.inner])

    def _hashables(self, shape: Shape, depth: int) -> List[Recipe]:
        inner = self._element(shape)
        if inner.kind in ("any", "list", "dict", "set", "union"):
            inner = Shape(self.rng.choice(("int", "str")))
        made = [self.make(inner, min(depth - 1, 1)) for _ in range(self._size())]
        return list({one.source: one for one in made}.values())

    def _set(self, shape: Shape, depth: int) -> Recipe:
        return Items(set, self._hashables(shape, depth))

    def _frozenset(self, shape: Shape, depth: int) -> Recipe:
        return Items(frozenset, self._hashables(shape, depth))

    def _dict(self, shape: Shape, depth: int) -> Recipe:
        keys = self._hashables(Shape("set", (shape.inner[0] if shape.inner else Shape("str"),)), depth)
        inner = self._element(shape, 1)
        if len(shape.inner) < 2 and depth > 1 and self.rng.random() < 0.5:
            nested = ("dict", "list", "dict", "str", "float", "bool", "none", "int")
            return Pairs([(key, self.make(Shape(self.rng.choice(nested)), depth - 1)) for key in keys])
        return Pairs([(key, self.make(inner, depth - 1) if depth > 0 else Atom(1)) for key in keys])

    def _typeddict(self, shape: Shape, depth: int) -> Recipe:
        pairs: List[Tuple[Recipe, Recipe]] = []
        for name, hint in getattr(shape.value, "__annotations__", {}).items():
            if shape.value.__total__ or self.rng.random() < 0.6:
                pairs.append((Atom(name), self.make(shape_of(resolve(hint, self.names.globals)), depth - 1)))
        return Pairs(pairs)

    def _deque(self, shape: Shape, depth: int) -> Recipe:
        return Make("deque", [Items(list, self._many(shape, depth))])

    def _iterator(self, shape: Shape, depth: int) -> Recipe:
        return Make("iter", [Items(list, self._many(shape, depth))])

    def _callable(self, shape: Shape, depth: int) -> Recipe:
        count = shape.value if isinstance(shape.value, int) else self.rng.choice((1, 1, 1, 2, 0))
        choices = _LAMBDAS.get(count)
        result = shape.inner[0] if shape.inner else ANY
        if result.kind == "awaitable":
            names = ", ".join("abcdefgh"[: count or 0])
            return Text("lambda%s: %s" % (" " + names if names else "", self._awaitable(result, 2).source))
        if choices is None or (result != ANY and self.rng.random() < 0.5):
            names = ", ".join("abcdefgh"[: count or 0])
            return Text("lambda%s: %s" % (" " + names if names else "", self.make(result, 1).source))
        return Text(self.rng.choice(choices))

    def _awaitable(self, shape: Shape, depth: int) -> Recipe:
        inner = shape.inner[-1] if shape.inner else ANY
        return Text("asyncio.sleep(0, %s)" % self.make(inner, depth).source)

    def _textio(self, shape: Shape, depth: int) -> Recipe:
        lines = [self.text() for _ in range(self.rng.choice((0, 1, 2, 3)))]
        return Make("io.StringIO", [Atom("\n".join(lines))])

    def _bytesio(self, shape: Shape, depth: int) -> Recipe:
        return Make("io.BytesIO", [self._bytes(shape, depth)])

    # ------------------------------------------------------------ objects

    def _enum(self, shape: Shape, depth: int) -> Recipe:
        members = list(shape.value.__members__)
        name = self.names.name_of(shape.value)
        return Text("%s.%s" % (name, self.rng.choice(members))) if name and members else Atom(None)

    def _class(self, shape: Shape, depth: int) -> Recipe:
        kind = shape.value
        known = self.providers.get(kind)
        if known is None:
            known = [
                made
                for one, list_ in self.providers.items()
                if isinstance(one, type) and _is_sub(one, kind)
                for made in list_
            ]
        is_hidden = getattr(kind, "__name__", "").startswith("_")
        if known and (depth <= 0 or is_hidden or self.rng.random() < 0.5):
            return self.rng.choice(known)
        made = self.constructor(kind, depth - 1) if self.constructor is not None and depth > 0 else None
        if made is not None:
            return made  # type: ignore[no-any-return]
        return self.rng.choice(known) if known else _stand_in(kind, self)


def _is_sub(one: type, kind: Any) -> bool:
    try:
        return issubclass(one, kind)
    except TypeError:
        return False


_STAND_INS = {"SupportsInt": "int", "SupportsFloat": "float", "SupportsIndex": "int", "SupportsAbs": "int",
    "Number": "int", "Real": "float",
              "Integral": "int", "Sized": "list", "Hashable": "int", "Reversible": "list", "Rational": "fraction",
              "slice": "slice",
              "Buffer": "bytes", "ByteString": "bytes", "AnyStr": "str", "PathLike": "path"}  # fmt: skip


def _stand_in(kind: Any, values: Values) -> Recipe:
    """A plain value for a class that is only a protocol."""
    word: Optional[str] = _STAND_INS.get(getattr(kind, "__name__", ""))
    if word is not None:
        return values.make(Shape(word), 1)
    return values.anything(1)
