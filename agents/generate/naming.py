"""Names that say the behaviour: test functions, parameters, row ids."""

from __future__ import annotations

import ast
import builtins
import keyword
import re
from collections.abc import Iterable, Sequence

MAX_NAME = 72
_ORDINALS = ("second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_NOUNS = {
    "str": "text", "int": "number", "float": "number", "list": "list", "dict": "mapping", "tuple": "tuple",
    "set": "set", "bytes": "bytes", "frozenset": "frozenset", "complex": "complex_number", "bytearray": "bytearray",
}  # fmt: skip
_VALUES = {
    "True": "true", "False": "false", "None": "none", '""': "empty_text", "''": "empty_text", "[]": "empty_list",
    "{}": "empty_mapping", "()": "empty_tuple", "set()": "empty_set", "0": "zero",
}  # fmt: skip
_COMPARISONS = {
    "==": "is_equal", "!=": "differs", "<": "is_less", "<=": "is_at_most", ">": "is_greater", ">=": "is_at_least",
    "in": "is_contained", "is": "is_the_same",
}  # fmt: skip
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_METHODS = {"__iter__": "iteration", "__aiter__": "iteration"}
_DANGLING = frozenset(
    ("for", "and", "with", "of", "after", "not", "a", "or", "without", "empty", "negative", "single", "max")
)
_PLAIN_ID = re.compile(r"[A-Za-z0-9 _.,;:+*=<>!?@#%&'()|~^$/-]{1,28}")


def snake(name: str) -> str:
    """`HTTPServer` becomes `http_server`; what is no letter, digit or underscore becomes one underscore."""
    spaced = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", spaced)
    return re.sub(r"_+", "_", re.sub(r"[^a-z0-9_]+", "_", spaced.lower())).strip("_")


def unit(target: str) -> str:
    """The words of a test's name for the thing under test: `Stack.push` becomes `stack_push`."""
    parts = [part for part in target.split(".") if part != "__init__"]
    return "_".join(filter(None, (_METHODS.get(part) or snake(part) for part in parts))) or "module"


def noun(type_name: str) -> str:
    """The word for a value of a type: `str` is text, other classes are called by their name."""
    last = type_name.rpartition(".")[2]
    return _NOUNS.get(last) or snake(last) or "value"


def slug(text: str, limit: int = 32) -> str:
    """Words of `text` for a name, cut at a word's end; empty where it has none."""
    words = snake(text).split("_")
    kept: list[str] = []
    for word in filter(None, words):
        if sum(map(len, kept)) + len(kept) + len(word) > limit:
            break
        kept.append(word)
    return "_".join(kept)


def reading(src: str, limit: int = 24) -> str:
    """Words of a literal that read well in a name; empty for what has digits or single letters."""
    said = slug(src, limit)
    return said if all(word.isalpha() and len(word) > 1 for word in said.split("_")) else ""


def call_words(src: str) -> str:
    """Words of a call for a name: `Duration(months=7)` is `duration_months`; empty where it names nothing of itself."""
    node = ast.parse(src.strip(), mode="eval").body
    if not isinstance(node, ast.Call) or not node.keywords:
        return ""
    return slug("_".join([ast.unparse(node.func).rpartition(".")[2], *(word.arg or "" for word in node.keywords)]), 32)


def number_words(src: str) -> str:
    """A small whole number in words, `minus_two`; empty for all else."""
    if not re.fullmatch(r"-?\d{1,2}", src) or abs(int(src)) >= len(_NUMBERS):
        return ""
    return f"{'minus_' if int(src) < 0 else ''}{_NUMBERS[abs(int(src))]}"


def outcome_words(kind: str, *, src: str | None = None, type_name: str = "", exception: str = "") -> str:
    """What happens, as words: `raises_value_error`, `returns_empty_list`, `returns_two`, `returns_new_york`."""
    if kind == "raises":
        return f"raises_{snake(exception.rpartition('.')[2])}"
    if src in _VALUES:
        return f"returns_{_VALUES[src]}"
    if src is not None and number_words(src):
        return f"returns_{number_words(src)}"
    word = noun(type_name) if type_name else "value"
    said = reading(src or "")
    if word == "text" and said and len(src or "") <= 26 and said.count("_") < 3:
        return f"returns_{said}"
    return f"returns_{word}"


def comparison_words(operator: str, *, holds: bool) -> str:
    """What a comparison says: `is_less`, `is_not_equal`; empty for what is none."""
    said = _COMPARISONS.get(operator, "")
    if operator == "!=":
        return "differs" if holds else "is_equal"
    return said if holds else said.replace("is_", "is_not_", 1)


def label_words(label: str) -> str:
    """A case's label as words of a name: `not strict` and `no separator` become `without_...`."""
    plain = re.sub(r"\b(?:not|no) (?=[a-z])(?!a number)", "without ", label)
    return slug(re.sub(r" and (?=with(?:out)? )", " ", plain), 40)


def unique(wanted: str, hints: Iterable[str], taken: set[str], what: str = "case") -> str:
    """`wanted`, or with the first hint that makes it free, or numbered in words; the result is added to `taken`."""
    base = _cut(wanted, MAX_NAME)
    tries = [base, *(_cut(f"{base}_{hint}", MAX_NAME + 16) for hint in hints if hint and not _is_said(hint, base))]
    tries += [f"{base}_{ordinal}_{what}" for ordinal in _ORDINALS]
    tries += [f"{base}_{what}_{letter}{other}" for letter in "abcdefgh" for other in "abcdefghijklmnopqrstuvwxyz"]
    chosen = next(name for name in tries if name not in taken)
    taken.add(chosen)
    return chosen


def _is_said(hint: str, name: str) -> bool:
    """Whether a name holds the words of a hint already."""
    return hint.removeprefix("with_").removeprefix("for_") in name


def _cut(name: str, limit: int) -> str:
    """`name` within `limit` characters, cut at a word's end, without a dangling `for`, `and` or `with`."""
    if len(name) <= limit:
        return name
    words = name[: limit + 1].split("_")[:-1]
    while len(words) > 2 and words[-1] in _DANGLING:
        words.pop()
    return "_".join(words) or name[:limit]


def parameter(wanted: str, taken: set[str]) -> str:
    """A parameter name near `wanted` that is no keyword, builtin, pytest word or taken name; added to `taken`."""
    base = snake(wanted) if not wanted.isidentifier() else wanted.strip("_")
    base = base or "value"
    if not base.isidentifier() or keyword.iskeyword(base) or hasattr(builtins, base) or base == "request":
        base = f"{base}_value" if f"{base}_value".isidentifier() else "value"
    name = base
    for extra in ("", "_given", *(f"_{ordinal}" for ordinal in _ORDINALS)):
        name = f"{base}{extra}"
        if name not in taken:
            break
    taken.add(name)
    return name


def row_ids(rows: Sequence[Sequence[str]], labels: Sequence[str], names: Sequence[str]) -> tuple[list[str], list[bool]]:
    """The id of each parametrized row, and whether it must be written out.

    pytest's own id is kept where it can be foretold (numbers, booleans, short plain text) and reads well; `rows` are
    literal sources, one for each of the parameters `names`.
    """
    own = ["-".join(parts) if all(parts := [_own_id(src) for src in row]) else "" for row in rows]
    is_written = [not one or own.count(one) > 1 for one in own]
    taken = {one for one, written in zip(own, is_written, strict=True) if not written}
    ids: list[str] = []
    for row, label, one, written in zip(rows, labels, own, is_written, strict=True):
        if not written:
            ids.append(one)
            continue
        said = [described for name, src in zip(names, row, strict=True) if (described := describe(name, src))]
        ids.append(unique(label_words(label) or next(iter(said), "punctuation"), said, taken, "row"))
    return ids, is_written


def describe(name: str, src: str) -> str:
    """A literal given for a parameter in words: its own, `limit_3`, `two_items`; empty where none read well."""
    if reading(src):
        return reading(src)
    try:
        value = ast.literal_eval(src)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return ""
    if isinstance(value, str) and value.isalnum() and slug(value):
        return f"{snake(name)}_{slug(value)}"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10_000:
        return f"{snake(name)}_{src.replace('-', 'minus_')}"
    if isinstance(value, list | tuple | dict | set) and value:
        size = number_words(str(len(value))) or "many"
        return f"{size}_item{'' if len(value) == 1 else 's'}"
    return ""


def _own_id(src: str) -> str:
    try:
        value = ast.literal_eval(src)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return ""
    if value is None or isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, str) and _PLAIN_ID.fullmatch(value) and "::" not in value:
        return value
    return ""
