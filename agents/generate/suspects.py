"""The last word on suspected bugs: the clearest of each kind, with a snippet that runs as it stands."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from typing import Any

from aqe.agents.generate.cases import Case, Step, is_import, read_steps
from aqe.agents.generate.layout import inline, parse
from aqe.agents.generate.outline import Outline
from aqe.agents.generate.report import SuspectedBug
from aqe.agents.generate.script import is_builtin, names_in

MAX_FOR_TARGET = 3
SET_VARIABLE = "monkeypatch.setenv"


def select(found: Iterable[Mapping[str, Any]], module: str, outline: Outline) -> tuple[SuspectedBug, ...]:
    """One suspect for each function, exception and line: the one with the shortest reproduction, in source order."""
    best: dict[tuple[str, str, str, int], tuple[int, SuspectedBug]] = {}
    for item in found:
        bug = _bug(item, module, outline)
        if bug is None:
            continue
        key = (bug.target, bug.kind if not bug.exception else "", bug.exception, bug.line)
        size = len(bug.reproduction)
        if key not in best or size < best[key][0]:
            best[key] = (size, bug)
    ordered = sorted((bug for _, bug in best.values()), key=lambda bug: (_line(bug.target, outline), bug.line, bug.why))
    shown: dict[str, int] = {}
    kept: list[SuspectedBug] = []
    for bug in ordered:
        shown[bug.target] = shown.get(bug.target, 0) + 1
        if shown[bug.target] <= MAX_FOR_TARGET:
            kept.append(bug)
    return tuple(kept)


def without_suspects(cases: Iterable[Case], found: Iterable[Mapping[str, Any]]) -> list[Case]:
    """The cases whose calls are not those of a suspect: what may be wrong is never asserted as right."""
    doubted = {(str(item.get("target")), read_steps(item.get("steps"))) for item in found}
    calls = {(target, _calls(steps)) for target, steps in doubted if steps is not None}
    return [case for case in cases if (case.target, _calls(case.steps)) not in calls]


def _calls(steps: tuple[Step, ...]) -> tuple[object, ...]:
    return tuple((step.callee, step.args, step.kwargs, step.kind) for step in steps)


def _bug(item: Mapping[str, Any], module: str, outline: Outline) -> SuspectedBug | None:
    steps = read_steps(item.get("steps"))
    if steps is None or _is_contrived(steps) or _lacks_a_name(item) or _is_wrapped(item, steps):
        return None
    line = item.get("line")
    exception = str(item.get("exception") or "")
    imports = [str(text) for text in item.get("imports") or () if is_import(text)]
    return SuspectedBug(
        module=module,
        target=str(item.get("target") or ""),
        kind=str(item.get("kind") or "undocumented-exception"),
        line=line if isinstance(line, int) else 0,
        why=" ".join(str(item.get("why") or exception or "unexpected result").split()),
        reproduction=snippet(steps, module, outline, imports, _ending(item)),
        exception=exception,
        message=str(item.get("message") or ""),
        expected=str(item.get("expected") or ""),
        actual=str(item.get("actual") or ""),
    )


def _is_contrived(steps: tuple[Step, ...]) -> bool:
    """Whether the calls reach into what is private: no user of the subject would write them."""
    names = [name for step in steps for name, _ in step.kwargs]
    names += [part for step in steps for part in step.callee.split(".") if not part.endswith("__")]
    return any(name.startswith("_") for name in names)


def _lacks_a_name(item: Mapping[str, Any]) -> bool:
    """Whether it failed only because an example of the docstring takes an import for granted."""
    return str(item.get("exception") or item.get("actual") or "").startswith("NameError")


def _is_wrapped(item: Mapping[str, Any], steps: tuple[Step, ...]) -> bool:
    """Whether a broken hint was seen on `str(f())` and not on `f()` itself."""
    last = steps[-1]
    if item.get("kind") != "hint-broken" or last.kind != "get":
        return False
    node = parse(last.callee)
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and is_builtin(node.func.id)


def snippet(steps: tuple[Step, ...], module: str, outline: Outline, imports: list[str], ending: str = "") -> str:
    """Imports and calls as a script; `ending` says on the last line what happens."""
    sources = [source for step in steps for source in (step.callee, *step.args, *(src for _, src in step.kwargs))]
    used = set().union(*map(names_in, sources))
    collector = "collect_items" if "collect" in used else "collect"
    lines: list[str] = []
    for number, step in enumerate(steps):
        text = _call(step, collector)
        is_last = number == len(steps) - 1
        if step.bind and not is_last:
            text = f"{step.bind} = {text}"
        elif is_last and not ending.startswith("raises") and step.kind != "set":
            text = f"print({text})"
        lines.append(text)
    used -= {step.bind for step in steps} | {"monkeypatch"}
    head, known = _import_lines(imports, used)
    if any(step.awaited or step.collects for step in steps):
        head.append("import asyncio")
    if any(step.callee == SET_VARIABLE for step in steps):
        head.append("import os")
    if steps[-1].collects:
        lines[:0] = [f"async def {collector}(items):", "    return [item async for item in items]", ""]
    mine = sorted(name for name in used - known if name in outline.names or not is_builtin(name))
    if mine:
        head.append(f"from {module} import {', '.join(mine)}")
    if ending:
        lines[-1] += f"  # {ending}"
    return "\n".join(
        [*sorted(set(head), key=lambda text: (text.startswith("from"), text)), *([""] if head else []), *lines]
    )


def _import_lines(imports: list[str], used: set[str]) -> tuple[list[str], set[str]]:
    head: list[str] = []
    known: set[str] = set()
    for line in imports:
        node = ast.parse(line).body[0]
        aliases = node.names if isinstance(node, ast.Import | ast.ImportFrom) else []
        bound = {alias.asname or alias.name.partition(".")[0] for alias in aliases}
        if bound & used:
            head.append(line)
            known |= bound
    return head, known


def _call(step: Step, collector: str) -> str:
    arguments = [inline(parse(src)) for src in step.args] + [
        f"{name}={inline(parse(src))}" for name, src in step.kwargs
    ]
    callee = inline(parse(step.callee))
    if step.callee == SET_VARIABLE:  # a script has no monkeypatch
        return f"os.environ[{arguments[0]}] = {arguments[1]}"
    if step.kind == "get":
        return _run(step, callee, collector)
    if step.kind == "set":
        return f"{callee} = {', '.join(arguments)}"
    text = f"{callee}({', '.join(arguments)})"
    return _run(step, text, collector)


def _run(step: Step, text: str, collector: str) -> str:
    """What a script writes around a coroutine, and around an asynchronous generator."""
    if step.collects:
        return f"asyncio.run({collector}({text}))"
    return f"asyncio.run({text})" if step.awaited else text


def _ending(item: Mapping[str, Any]) -> str:
    if item.get("kind") == "hang":
        return "raises nothing and does not end"
    exception = str(item.get("exception") or "")
    if exception:
        message = " ".join(str(item.get("message") or "").split())[:80]
        return f"raises {exception}: {message}" if message else f"raises {exception}"
    expected, actual = str(item.get("expected") or ""), str(item.get("actual") or "")
    if expected and actual:
        return f"gives {' '.join(actual.split())[:60]}, expected {' '.join(expected.split())[:60]}"
    return ""


def _line(target: str, outline: Outline) -> int:
    definition = outline.definitions.get(target)
    return definition.line if definition else 0
