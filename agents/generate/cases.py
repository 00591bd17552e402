"""Cases as the search hands them over, checked: every source is an expression, every import an import."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

_COMPARISONS = frozenset({"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"})


@dataclass(frozen=True)
class Step:
    """One call, attribute read or write (`kind`: `call`, `get`, `set`). `bind` names its result for later steps.

    With `collects` the result is looped over with `async for`; `first` items of it are taken (0: all).
    """

    callee: str
    args: tuple[str, ...] = ()
    kwargs: tuple[tuple[str, str], ...] = ()
    bind: str = ""
    awaited: bool = False
    kind: str = "call"
    collects: bool = False
    first: int = 0


@dataclass(frozen=True)
class Outcome:
    """What the last step gave: a value (`src`, None where no literal stands for it) or an exception."""

    kind: str
    src: str | None = None
    type: str = ""
    approx: bool = False
    exception: str = ""
    exception_module: str = "builtins"
    message: str = ""


@dataclass(frozen=True)
class Check:
    """State after the call: `expr` equals `src`."""

    expr: str
    src: str


@dataclass(frozen=True)
class Case:
    """One observed call with the steps before it; `documented` when doctest, docstring or `raise` backs the outcome."""

    target: str
    steps: tuple[Step, ...]
    outcome: Outcome
    checks: tuple[Check, ...] = ()
    origin: str = "search"
    documented: bool = False
    arms: frozenset[int] = frozenset()
    kills: frozenset[str] = frozenset()
    imports: tuple[str, ...] = ()
    label: str = ""


@dataclass(frozen=True)
class SearchResult:
    """What one search found in one module; `suspects`, `functions` and `not_reached` stay as the worker wrote them."""

    module: str
    cases: tuple[Case, ...] = ()
    suspects: tuple[Mapping[str, Any], ...] = ()
    functions: tuple[Mapping[str, Any], ...] = ()
    not_reached: tuple[Mapping[str, Any], ...] = ()
    arms: int = 0
    arms_hit: int = 0
    executions: int = 0
    seconds: float = 0.0
    dropped: int = 0


def read_result(value: object, module: str) -> SearchResult:
    """A worker's answer as values; what does not have the agreed shape is dropped and counted, never trusted."""
    if not isinstance(value, Mapping):
        return SearchResult(module)
    cases: list[Case] = []
    dropped = 0
    for item in _items(value, "cases"):
        case = _case(item)
        if case is None:
            dropped += 1
        else:
            cases.append(case)
    functions = tuple(_items(value, "functions"))
    hit = {arm for function in functions for arm in _ints(function.get("hit"))}
    return SearchResult(
        module=module,
        cases=tuple(cases),
        suspects=tuple(_items(value, "suspects")),
        functions=functions,
        not_reached=tuple(_items(value, "not_reached")),
        arms=len(_items(value, "arms")),
        arms_hit=len(hit),
        executions=_int(value.get("executions")),
        seconds=_float(value.get("seconds")),
        dropped=dropped,
    )


def read_steps(value: object) -> tuple[Step, ...] | None:
    """The steps of a case or of a suspect, or None when one is not what was agreed."""
    if not isinstance(value, list) or not value:
        return None
    steps: list[Step] = []
    for item in value:
        step = _step(item)
        if step is None:
            return None
        steps.append(step)
    return tuple(steps)


def is_idle(step: Step) -> bool:
    """Whether a step is a bare name, attribute or comparison whose value nobody takes: a line that a test can spare."""
    if step.bind or step.awaited or step.kind == "set":
        return False
    if step.kind == "call":
        return step.callee.rpartition(".")[2] in _COMPARISONS
    tree = ast.parse(step.callee.strip(), mode="eval").body
    return isinstance(tree, ast.Compare | ast.Name | ast.Attribute | ast.Constant)


def _told(steps: Sequence[Step]) -> Iterator[Step]:
    """The steps that a test writes out: of an idle comparison of calls the first call stays, for what it does."""
    for step in steps:
        if not is_idle(step):
            yield step
        elif step.kind == "get":
            tree = ast.parse(step.callee.strip(), mode="eval").body
            if isinstance(tree, ast.Compare) and isinstance(tree.left, ast.Call):
                yield replace(step, callee=ast.unparse(tree.left))


def is_expression(text: object) -> bool:
    """Whether `text` is one Python expression and nothing more."""
    if not isinstance(text, str) or "\n" in text.strip():
        return False
    try:
        ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def is_import(text: object) -> bool:
    """Whether `text` is one import statement."""
    if not isinstance(text, str):
        return False
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError):
        return False
    return len(body) == 1 and isinstance(body[0], ast.Import | ast.ImportFrom)


def _step(item: object) -> Step | None:
    if not isinstance(item, Mapping) or not is_expression(item.get("callee")):
        return None
    args, kwargs = item.get("args") or [], item.get("kwargs") or []
    if not all(is_expression(arg) for arg in args):
        return None
    pairs: list[tuple[str, str]] = []
    for pair in kwargs:
        if len(pair) != 2 or not str(pair[0]).isidentifier() or not is_expression(pair[1]):
            return None
        pairs.append((str(pair[0]), str(pair[1])))
    bind = item.get("bind") or ""
    if bind and not str(bind).isidentifier():
        return None
    kind = str(item.get("kind") or "call")
    awaited, collects, first = bool(item.get("await")), bool(item.get("collect")), _int(item.get("first"))
    return Step(str(item["callee"]), tuple(args), tuple(pairs), str(bind), awaited, kind, collects, first)


def _case(item: Mapping[str, Any]) -> Case | None:
    steps = read_steps(item.get("steps"))
    outcome = _outcome(item.get("outcome"))
    if steps is None or outcome is None or not all(is_import(line) for line in item.get("imports") or ()):
        return None
    checks = tuple(
        Check(str(check["expr"]), str(check["src"]))
        for check in _items(item, "checks")
        if is_expression(check.get("expr")) and is_expression(check.get("src"))
    )
    return Case(
        target=str(item.get("target", "")),
        steps=(*_told(steps[:-1]), steps[-1]),
        outcome=outcome,
        checks=checks,
        origin=str(item.get("origin") or "search"),
        documented=bool(item.get("documented")),
        arms=frozenset(_ints(item.get("arms"))),
        kills=frozenset(str(kill) for kill in item.get("kills") or ()),
        imports=tuple(item.get("imports") or ()),
        label=re.sub(r"\s*\braises \w+$", "", str(item.get("label") or "")),
    )


def _outcome(value: object) -> Outcome | None:
    if not isinstance(value, Mapping):
        return None
    kind = str(value.get("kind"))
    if kind == "raises":
        name = str(value.get("exception") or "")
        if not all(part.isidentifier() for part in name.split(".")):
            return None
        module = str(value.get("exception_module") or "builtins")
        return Outcome("raises", exception=name, exception_module=module, message=str(value.get("message") or ""))
    if kind != "returns":
        return None
    src = value.get("src")
    if src is not None and not is_expression(src):
        return None
    return Outcome("returns", src, str(value.get("type") or ""), bool(value.get("approx")))


def _items(value: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    items = value.get(key)
    return [item for item in items if isinstance(item, Mapping)] if isinstance(items, list) else []


def _ints(value: object) -> list[int]:
    return [item for item in value if isinstance(item, int)] if isinstance(value, list) else []


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def _float(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
