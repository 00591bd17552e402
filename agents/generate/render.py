"""From cases to the text of a pytest file that a person would keep."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from aqe.agents.generate import naming
from aqe.agents.generate.cases import Case
from aqe.agents.generate.layout import WIDTH, parse, statement
from aqe.agents.generate.outline import Outline
from aqe.agents.generate.script import (
    Names,
    body,
    fixtures,
    free_names,
    inner_literals,
    is_builtin,
    is_volatile,
    names_in,
    stable_message,
)
from aqe.agents.generate.shapes import Shape, argument_name, group, is_plain

MAX_LINES = 15
MAX_LITERAL = 160
_IDENTITIES = frozenset(
    {"function", "builtin_function_or_method", "method", "module", "method-wrapper", "wrapper_descriptor"}
)
_SIGNS = {"__eq__": "==", "__ne__": "!=", "__lt__": "<", "__le__": "<=", "__gt__": ">", "__ge__": ">="}
_SIGNS_OF: dict[type[ast.cmpop], str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.In: "in", ast.Is: "is",
}  # fmt: skip


@dataclass(frozen=True)
class Style:
    """How the project writes a test of this subject.

    `source` is the module that names are imported from (`exported` of them; the rest from the subject itself);
    with `prefix`, the module is imported whole and names are read off it.
    """

    module: str
    source: str = ""
    exported: frozenset[str] = frozenset()
    prefix: str = ""
    width: int = WIDTH
    first_party: frozenset[str] = frozenset()


@dataclass(frozen=True)
class PlannedTest:
    """One test function: its name, its lines, the cases behind it, each with the id of its row (empty when plain)."""

    name: str
    lines: tuple[str, ...]
    cases: tuple[Case, ...]
    row_ids: tuple[str, ...]
    needs: frozenset[str]

    def nodes(self) -> dict[str, Case]:
        """pytest's name of each case, without the file."""
        if not self.row_ids:
            return {self.name: self.cases[0]}
        return {f"{self.name}[{row}]": case for row, case in zip(self.row_ids, self.cases, strict=True)}


@dataclass(frozen=True)
class Plan:
    """The tests of one file, and how many cases could not be written readably."""

    tests: tuple[PlannedTest, ...]
    imports: Mapping[str, str] = field(default_factory=dict)
    left_out: int = 0


def plan(cases: Sequence[Case], outline: Outline, style: Style) -> Plan:
    """Test functions for `cases`, in the order of the subject's source; what would not be readable is left out."""
    readable = [case for case in _distinct(cases) if _is_readable(case)]
    imports: dict[str, str] = {}
    for case in readable:
        for line in case.imports:
            imports.update(dict.fromkeys(_bound_by(line), line))
    taken: set[str] = set()
    tests: list[PlannedTest] = []
    targets = sorted({case.target for case in readable}, key=lambda target: _place(target, outline))
    for target in targets:
        mine = sorted((case for case in readable if case.target == target), key=_order)
        for shape in group(mine, outline, MAX_LINES - 8):
            test = _test(shape, outline, style, imports, taken)
            if test is None and len(shape.cases) > 1:
                singles = (_test(Shape((case,), {}), outline, style, imports, taken) for case in shape.cases)
                tests += [single for single in singles if single is not None]
            elif test is not None:
                tests.append(test)
    shown = sum(len(test.cases) for test in tests)
    return Plan(tuple(tests), imports, len(cases) - shown)


def file_text(planned: Plan, style: Style) -> str:
    """The whole file, without aqe's marker line."""
    lines = [f'"""Tests of `{style.module}`, each executed before it was written.']
    if any(test.lines[0].startswith("# characterisation") for test in planned.tests):
        lines += ["", "`# characterisation` marks what only records the behaviour of today."]
        lines.append('"""')
    else:
        lines[0] += '"""'
    lines += ["", *_imports(planned, style)]
    for test in planned.tests:
        lines += ["", "", *test.lines]
    return "\n".join(lines) + "\n"


def nodes(planned: Plan) -> dict[str, Case]:
    """Every case by its pytest name, without the file."""
    return {name: case for test in planned.tests for name, case in test.nodes().items()}


def _distinct(cases: Iterable[Case]) -> list[Case]:
    seen: set[tuple[object, ...]] = set()
    kept: list[Case] = []
    for case in cases:
        key = (case.target, case.steps, case.outcome, case.checks)
        if key not in seen:
            seen.add(key)
            kept.append(case)
    return kept


def _is_readable(case: Case) -> bool:
    sources = [src for step in case.steps for src in (*step.args, *(src for _, src in step.kwargs))]
    sources += [check.src for check in case.checks] + [case.outcome.src or ""]
    if any(is_volatile(source) for source in sources):
        return False
    if case.origin != "doctest" and any(len(source) > MAX_LITERAL for source in sources):
        return False
    if _is_internal(case) or case.outcome.type.rpartition(".")[2] in _IDENTITIES:
        return False
    has_claim = case.outcome.kind == "raises" or case.outcome.src is not None or bool(case.checks)
    return has_claim or _is_subject_class(case.outcome.type)


def _is_internal(case: Case) -> bool:
    """A private function called for nothing to see, or with input that only its own callers could get wrong."""
    last = case.target.rpartition(".")[2]
    if case.documented or not last.startswith("_") or last.endswith("__"):
        return False
    silent = case.outcome.kind == "returns" and case.outcome.src in {None, "None"} and not case.checks
    return silent or case.outcome.kind == "raises"


def _is_subject_class(type_name: str) -> bool:
    return "." in type_name and type_name.rpartition(".")[2].isidentifier()


def _place(target: str, outline: Outline) -> tuple[int, str]:
    definition = outline.definitions.get(target) or outline.definitions.get(target.rpartition(".")[0])
    return (definition.line if definition else sys.maxsize, target)


def _order(case: Case) -> tuple[object, ...]:
    """Documented cases first, values before exceptions, short before long; ties by source, so that order is fixed."""
    size = sum(len(src) for step in case.steps for src in step.args)
    text = repr((case.steps, case.outcome.src, case.outcome.exception))
    return (case.origin != "doctest", not case.documented, case.outcome.kind == "raises", len(case.steps), size, text)


def _test(
    shape: Shape, outline: Outline, style: Style, imports: Mapping[str, str], taken: set[str]
) -> PlannedTest | None:
    case = shape.cases[0]
    names = _names(shape, outline, style, imports)
    lines = body(case, shape.holes, names, style.width)
    parameters = list(shape.holes.values())
    header: list[str] = []
    ids: list[str] = []
    if parameters:
        rows = shape.rows
        labels = [each.label for each in shape.cases]
        ids, is_written = naming.row_ids(rows, labels, parameters)
        written = [row_id if shown else "" for row_id, shown in zip(ids, is_written, strict=True)]
        header = _parametrize(parameters, rows, written, style.width)
    mark = [] if all(each.documented for each in shape.cases) else ["# characterisation"]
    if len(mark) + len(header) + 1 + len(lines) > MAX_LINES:
        return None
    name = naming.unique(_name(shape), _hints(shape, outline), taken, "table" if parameters else "case")
    taking = ", ".join([*fixtures(case), *parameters])
    signature = statement("def ", parse(f"{name}({taking})"), ":", indent=0, width=style.width)
    text = [*mark, *header, *signature, *lines]
    found = set().union(*(_needs(each) for each in shape.cases))
    needs = {name for name in found if name in imports or name in outline.names or not is_builtin(name)}
    needs |= _modules_in(lines + header)
    return PlannedTest(name, tuple(text), shape.cases, tuple(ids), frozenset(needs))


def _needs(case: Case) -> set[str]:
    found = free_names(case)
    if case.outcome.kind == "raises":
        found.add(case.outcome.exception.partition(".")[0])
    elif case.outcome.src is None and not case.checks:
        found.add(case.outcome.type.rpartition(".")[2])
    return found


def _modules_in(lines: Sequence[str]) -> set[str]:
    text = "\n".join(lines)
    return {name for name in ("pytest", "asyncio", "math", "re") if re.search(rf"(?<![\w.]){name}\.\w", text)}


def _names(shape: Shape, outline: Outline, style: Style, imports: Mapping[str, str]) -> Names:
    """Local variables that would hide an imported name are renamed; with a prefix the subject's names get it."""
    used = set().union(*(_needs(case) for case in shape.cases))
    clashing = used | set(imports) | set(shape.holes.values()) | {"pytest", "asyncio", "math", "re", "expected"}
    renames: dict[str, str] = {}
    for step in shape.cases[0].steps:
        if step.bind and step.bind not in renames:
            built = outline.definitions.get(step.callee.partition(".")[0])
            wanted = (
                naming.snake(built.qualname) if step.bind == "result" and built and built.kind == "class" else step.bind
            )
            if wanted != step.bind or wanted in clashing or is_builtin(wanted):
                renames[step.bind] = naming.parameter(wanted, clashing)
    prefixed: dict[str, str] = {}
    if style.prefix:
        prefixed = {name: style.prefix for name in used if _from_subject(name, outline, imports)}
    return Names(renames, prefixed)


def _from_subject(name: str, outline: Outline, imports: Mapping[str, str]) -> bool:
    if name in imports:
        return False
    return name in outline.names or not is_builtin(name)


def _parametrize(parameters: list[str], rows: list[list[str]], ids: list[str], width: int) -> list[str]:
    names = f'"{parameters[0]}"' if len(parameters) == 1 else "(" + ", ".join(f'"{name}"' for name in parameters) + ")"
    items: list[str] = []
    for index, row in enumerate(rows):
        row_text = ", ".join(row)
        if ids[index]:
            items.append(f'pytest.param({row_text}, id="{ids[index]}")')
        else:
            items.append(row_text if len(row) == 1 else f"({row_text})")
    one = f"@pytest.mark.parametrize({names}, [{', '.join(items)}])"
    if len(parameters) == 1 and len(one) <= width and not any(ids):
        return statement("@", parse(one[1:]), indent=0, width=width)
    lines = ["@pytest.mark.parametrize(", f"    {names},", "    ["]
    for item in items:
        lines += statement("", parse(item), ",", indent=8, width=width)
    return [*lines, "    ],", ")"]


def _name(shape: Shape) -> str:
    case = shape.cases[0]
    words = _comparison(case) or _behaviour(shape)
    if case.origin == "doctest":
        words = f"{words}_as_documented"
    unit = naming.unit(case.target)
    if _comparison(case):
        unit = naming.unit(re.sub(r"\.__(?!init)\w+__$", "", case.target))
    return f"test_{unit}_{words}{_situation(shape)}"


def _behaviour(shape: Shape) -> str:
    """What the cases of a test show, as words."""
    case, outcome = shape.cases[0], shape.cases[0].outcome
    last = case.steps[-1]
    if outcome.kind == "returns" and _builds(case):
        sources = {src for step in case.steps for src in (*step.args, *(src for _, src in step.kwargs))}
        if not case.checks:
            return "can_be_built"
        if not sources:
            return "has_its_defaults"
        return "keeps_its_arguments" if any(check.src in sources for check in case.checks) else "sets_its_attributes"
    if outcome.kind == "returns" and case.checks and outcome.src in {None, "None"} and last.kind != "get":
        if last.bind and all(last.bind in names_in(check.expr) for check in case.checks):
            return naming.outcome_words("returns", type_name=outcome.type)
        return _changes(case)
    if ("value", 0, "") in shape.holes:
        inputs = [name for position, name in shape.holes.items() if position[0] in {"arg", "kw", "inner"}]
        if inputs and len(inputs) <= 3:
            return f"by_{'_and_'.join(naming.snake(name) for name in inputs)}"
        return naming.outcome_words("returns", type_name=outcome.type)
    return naming.outcome_words(outcome.kind, src=outcome.src, type_name=outcome.type, exception=outcome.exception)


def _builds(case: Case) -> bool:
    """Whether the last step makes an object of the class under test."""
    name = case.target.removesuffix(".__init__").rpartition(".")[2]
    return name[:1].isupper() and case.steps[-1].callee.rpartition(".")[2] == name


def _comparison(case: Case) -> str:
    """The words of a last step that compares; empty where it does not."""
    last, src = case.steps[-1], case.outcome.src
    if case.outcome.kind != "returns" or src not in {"True", "False"}:
        return ""
    sign = _SIGNS.get(last.callee.rpartition(".")[2], "")
    tree = parse(last.callee) if last.kind == "get" else None
    if isinstance(tree, ast.Compare) and len(tree.ops) == 1:
        sign = _SIGNS_OF.get(type(tree.ops[0]), "")
    return naming.comparison_words(sign, holds=src == "True")


def _changes(case: Case) -> str:
    parts = [naming.slug(_state_word(check.expr), 20) for check in case.checks[:2]]
    words = "_and_".join(dict.fromkeys(filter(None, parts)))
    return f"sets_{words}" if words else "changes_state"


def _state_word(expression: str) -> str:
    """`stack.items` is `items`, `len(stack)` is `length`, `str(stack)` is `text`."""
    head, bracket, _ = expression.partition("(")
    word = {"len": "length", "str": "text", "list": "items", "bool": "truth", "repr": "text"}.get(head)
    return word if bracket and word else expression.rpartition(".")[2].partition("(")[0]


def _situation(shape: Shape) -> str:
    labels = list(dict.fromkeys(naming.label_words(_label(case)) for case in shape.cases))
    if len(labels) == 1 and labels[0]:
        return _joined(labels[0])
    if 1 < len(labels) <= 2 and all(labels):
        return _joined("_or_".join(labels))
    keywords = [name for name, _ in shape.cases[0].steps[-1].kwargs]
    held = set(shape.holes.values())
    return f"_with_{'_and_'.join(keywords)}" if 0 < len(keywords) <= 3 and not held & set(keywords) else ""


def _label(case: Case) -> str:
    """The worker's label, unless it names a step that the test does not show."""
    if not case.label.startswith("after "):
        return case.label
    return case.label if any(not step.bind for step in case.steps[:-1]) else ""


def _joined(words: str) -> str:
    return (
        f"_{words}"
        if words.startswith(("for_", "with_", "when_", "without_", "after_", "on_", "if_"))
        else f"_for_{words}"
    )


def _hints(shape: Shape, outline: Outline) -> list[str]:
    """What may tell two tests of one name apart, best first; what a table varies tells nothing."""
    case = shape.cases[0]
    last = len(case.steps) - 1
    step = case.steps[last]
    hints = [f"with_{'_and_'.join(name for name, _ in step.kwargs)}"] if step.kwargs else []
    hints += _told(shape, last, "for", outline)
    for name, src in step.kwargs:
        word = naming.reading(src, 16) or naming.number_words(src)
        hints += [f"with_{name}_{word}"] if word and ("kw", last, name) not in shape.holes else []
    for before in case.steps[:-1][-1:]:
        word = naming.reading(before.callee.partition("(")[0].rpartition(".")[2])
        if not before.bind and word:
            hints.insert(0, f"after_{word}")
    for number in reversed(range(last)):
        hints += _told(shape, number, "of", outline)
    for index, inner in enumerate(inner_literals(step)):
        word = naming.reading(inner.source) if ("inner", last, str(index)) not in shape.holes else ""
        hints += [f"for_{word}"] if word else []
    if case.outcome.src not in {"True", "False", "None", None} and ("value", 0, "") not in shape.holes:
        hints.append(naming.reading(case.outcome.src or "", 20))
    said = naming.reading(stable_message(case), 32)
    return [*hints, f"saying_{said}"] if said else hints


def _told(shape: Shape, number: int, preposition: str, outline: Outline) -> list[str]:
    """The arguments of a step that are the same for all cases, in words: `for_new_york`, `of_limit_two`."""
    case = shape.cases[0]
    hints: list[str] = []
    for index, src in enumerate(case.steps[number].args):
        if ("arg", number, str(index)) in shape.holes:
            continue
        if naming.reading(src):
            hints.append(f"{preposition}_{naming.reading(src)}")
        elif naming.number_words(src):
            name = naming.snake(argument_name(case, number, index, outline))
            hints.append(f"{preposition}_{name}_{naming.number_words(src)}")
        elif naming.call_words(src):
            hints.append(f"{preposition}_{naming.call_words(src)}")
    return hints


def _imports(planned: Plan, style: Style) -> list[str]:
    """Import lines of what the tests use, sorted and grouped as isort would."""
    used = set().union(*(test.needs for test in planned.tests)) if planned.tests else set()
    plain: set[str] = {name for name in used if name in {"pytest", "asyncio", "math", "re"}}
    members: dict[str, set[str]] = {}
    aliased: set[str] = set()
    exceptions = {
        case.outcome.exception.partition(".")[0]: case.outcome.exception_module
        for test in planned.tests
        for case in test.cases
        if case.outcome.kind == "raises"
    }
    for name in sorted(used - plain):
        line = planned.imports.get(name)
        if line is not None:
            _add_line(line, name, plain, members, aliased)
        elif name in exceptions and exceptions[name] not in {"builtins", style.module} and name not in style.exported:
            members.setdefault(exceptions[name], set()).add(name)
        elif style.prefix:
            plain.add(style.prefix)
        elif name in style.exported:
            members.setdefault(style.source, set()).add(name)
        else:
            members.setdefault(style.module, set()).add(name)
    return _sorted_imports(plain, members, aliased, style)


def _add_line(line: str, name: str, plain: set[str], members: dict[str, set[str]], aliased: set[str]) -> None:
    node = ast.parse(line).body[0]
    if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
        alias = next(alias for alias in node.names if (alias.asname or alias.name) == name)
        text = alias.name if alias.asname is None else f"{alias.name} as {alias.asname}"
        members.setdefault(node.module, set()).add(text)
    elif isinstance(node, ast.Import) and node.names[0].asname is None:
        plain.add(node.names[0].name)
    else:
        aliased.add(line)


def _sorted_imports(plain: set[str], members: Mapping[str, set[str]], aliased: set[str], style: Style) -> list[str]:
    groups: dict[int, list[tuple[int, str, list[str]]]] = {}
    for module in plain:
        groups.setdefault(_section(module, style), []).append((0, module, [f"import {module}"]))
    for line in aliased:
        module = line.split()[1]
        groups.setdefault(_section(module, style), []).append((0 if line.startswith("import") else 1, module, [line]))
    for module, names in members.items():
        ordered = sorted(names, key=_member_key)
        one = f"from {module} import {', '.join(ordered)}"
        lines = [one]
        if len(one) > style.width:
            lines = [f"from {module} import (", *(f"    {name}," for name in ordered), ")"]
        groups.setdefault(_section(module, style), []).append((1, module, lines))
    text: list[str] = []
    for section in sorted(groups):
        if text:
            text.append("")
        for _, _, lines in sorted(groups[section]):
            text += lines
    return text


def _section(module: str, style: Style) -> int:
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        return 0
    return 2 if top in style.first_party else 1


def _member_key(name: str) -> tuple[int, str]:
    bare = name.split()[0]
    rank = 0 if bare.isupper() and len(bare) > 1 else 1 if bare[:1].isupper() else 2
    return (rank, name)


def _bound_by(line: str) -> list[str]:
    node = ast.parse(line).body[0]
    if isinstance(node, ast.Import):
        return [alias.asname or alias.name.partition(".")[0] for alias in node.names]
    return [alias.asname or alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) else []


__all__ = ["Plan", "PlannedTest", "Style", "file_text", "is_plain", "names_in", "nodes", "plan"]
