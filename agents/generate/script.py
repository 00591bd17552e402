"""One case, or several of one shape, as the statements of a test: arrange, act, assert."""

from __future__ import annotations

import ast
import builtins
import copy
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aqe.agents.generate.cases import Case, Step
from aqe.agents.generate.layout import WIDTH, fits, inline, parse, statement

Position = tuple[str, int, str]
"""Where a source stands in a case: (`arg`, step, index), (`kw`, step, name), (`inner`, step, index of a literal within
an expression that is read), (`value`, 0, ``), (`check`, index, ``)."""

MAX_MATCH = 72
_PLACE = re.compile(r"0x[0-9a-fA-F]{4,}|/tmp/|/home/|/root/|/usr/|/var/|[A-Z]:\\|\bobject at\b|\bid=\d{6,}")
_COMPARE: dict[str, type[ast.cmpop]] = {
    "__eq__": ast.Eq, "__ne__": ast.NotEq, "__lt__": ast.Lt, "__le__": ast.LtE, "__gt__": ast.Gt, "__ge__": ast.GtE,
}  # fmt: skip
_BINARY: dict[str, type[ast.operator]] = {
    "__add__": ast.Add, "__sub__": ast.Sub, "__mul__": ast.Mult, "__truediv__": ast.Div, "__floordiv__": ast.FloorDiv,
    "__mod__": ast.Mod, "__pow__": ast.Pow, "__and__": ast.BitAnd, "__or__": ast.BitOr, "__xor__": ast.BitXor,
    "__lshift__": ast.LShift, "__rshift__": ast.RShift, "__matmul__": ast.MatMult,
}  # fmt: skip
_UNARY: dict[str, type[ast.unaryop]] = {"__neg__": ast.USub, "__pos__": ast.UAdd, "__invert__": ast.Invert}
_BUILTIN = {
    "__len__": "len", "__str__": "str", "__repr__": "repr", "__bool__": "bool", "__abs__": "abs", "__int__": "int",
    "__float__": "float", "__next__": "next",
}  # fmt: skip


@dataclass(frozen=True)
class Names:
    """How names are written: `renames` for local variables, `prefixed` for the subject's names read off its module."""

    renames: Mapping[str, str] = field(default_factory=dict)
    prefixed: Mapping[str, str] = field(default_factory=dict)


def positions(case: Case) -> Iterator[tuple[Position, str]]:
    """Each place of a case that may become a parameter, with its source."""
    for number, step in enumerate(case.steps):
        for index, src in enumerate(step.args):
            yield ("arg", number, str(index)), src
        for name, src in step.kwargs:
            yield ("kw", number, name), src
        for index, one in enumerate(inner_literals(step)):
            yield ("inner", number, str(index)), one.source
    if case.outcome.kind == "returns" and case.outcome.src is not None:
        yield ("value", 0, ""), case.outcome.src
    message = stable_message(case)
    if message:
        yield ("message", 0, ""), repr(message)
    for index, check in enumerate(case.checks):
        yield ("check", index, ""), check.src


@dataclass(frozen=True)
class Inner:
    """A literal inside an expression that is read: the call that takes it, and its place there (a number or a name)."""

    source: str
    callee: str
    place: str


def inner_literals(step: Step) -> list[Inner]:
    """The literals that calls inside a `get` step take, as `"1.2"` in `Version("1.2").major`."""
    if step.kind != "get":
        return []
    return [
        Inner(inline(_held(box, key)), inline(call.func), place) for call, box, key, place in _slots(parse(step.callee))
    ]


def outline_of(step: Step) -> str:
    """The expression of a step with its inner literals struck out: what is equal for steps of one shape."""
    if step.kind != "get":
        return step.callee
    tree = copy.deepcopy(parse(step.callee))
    for _, box, key, _ in _slots(tree):
        _put(box, key, ast.Constant(...))
    return inline(tree)


def _slots(tree: ast.expr) -> list[tuple[ast.Call, Any, Any, str]]:
    """Each literal that a call inside `tree` takes: the call, what holds it, the key there, its place."""
    slots: list[tuple[ast.Call, Any, Any, str]] = []
    for call in ast.walk(tree):
        if isinstance(call, ast.Call):
            slots += [(call, call.args, i, str(i)) for i, arg in enumerate(call.args) if _is_literal(arg)]
            slots += [(call, word, None, word.arg) for word in call.keywords if word.arg and _is_literal(word.value)]
    return slots


def _is_literal(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is not None and not isinstance(node.value, bool)


def _held(box: Any, key: Any) -> ast.expr:
    held: ast.expr = box.value if key is None else box[key]
    return held


def _put(box: Any, key: Any, node: ast.expr) -> None:
    if key is None:
        box.value = node
    else:
        box[key] = node


def stable_message(case: Case) -> str:
    """The exception's message where a test may match it: documented, one short line, nothing of this machine."""
    message = case.outcome.message
    if case.outcome.kind != "raises" or not case.documented or not message.strip():
        return ""
    if len(message) > MAX_MATCH or not message.isprintable() or _PLACE.search(message):
        return ""
    return "" if lists_inputs(message, case.steps[-1]) else message


def lists_inputs(message: str, step: Step) -> bool:
    """Whether a message counts words of the call up, one after the other: the order may be that of a set."""
    words = {name for name, _ in step.kwargs}
    for source in (*step.args, *(source for _, source in step.kwargs)):
        for node in ast.walk(parse(source)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.strip():
                words.add(node.value)
    found = sorted(match.span() for word in words for match in re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", message))
    between = (message[one[1] : other[0]] for one, other in itertools.pairwise(found) if one[1] < other[0])
    return any(re.fullmatch(r"[\s,;&|'\"]+(?:(?:and|or)[\s'\"]+)?", text) for text in between)


def is_volatile(source: str) -> bool:
    """Whether source holds what changes with the process or the machine: an address, a temporary path."""
    return _PLACE.search(source) is not None


def body(case: Case, holes: Mapping[Position, str], names: Names, width: int = WIDTH) -> list[str]:
    """The indented statements of a test for `case`, with parameter names in place of the sources in `holes`."""
    return _Writer(case, holes, names, width).lines()


class _Writer:
    def __init__(self, case: Case, holes: Mapping[Position, str], names: Names, width: int) -> None:
        self.case = case
        self.holes = holes
        self.names = names
        self.width = width

    def lines(self) -> list[str]:
        awaited = [number for number, step in enumerate(self.case.steps) if step.awaited]
        last = len(self.case.steps) - 1
        if self.case.steps[-1].collects:
            return self._collecting(bool(awaited))
        if awaited and awaited != [last]:
            inner = self._arrange(4) + self._act_and_assert(self._expression(last), 4)
            return ["    async def scenario():", *inner, "", "    asyncio.run(scenario())"]
        act = self._expression(last)
        if awaited and isinstance(act, ast.Await):
            act = ast.Call(parse("asyncio.run"), [act.value], [])
        return self._arrange(0) + self._act_and_assert(act, 0)

    def _collecting(self, in_scenario: bool) -> list[str]:
        """A coroutine that collects what an asynchronous generator gives, then what is asserted of the list."""
        deeper = 4 if in_scenario else 0
        name = self._free(("collect", "collect_items", "collect_all"))
        call = ast.Call(ast.Name(name), [], [])
        act: ast.expr = ast.Await(call) if in_scenario else ast.Call(parse("asyncio.run"), [call], [])
        arrange = self._arrange(deeper)
        pad = " " * (4 + deeper)
        collector = [f"{pad}async def {name}():", *self._loop(8 + deeper)]
        gap = [""] if arrange else []
        inner = [*arrange, *gap, *collector, "", *self._act_and_assert(act, deeper)]
        return ["    async def scenario():", *inner, "", "    asyncio.run(scenario())"] if in_scenario else inner

    def _loop(self, indent: int) -> list[str]:
        """The body of the coroutine: all items as a list, or the first few of a sequence that may have no end."""
        step, items = self.case.steps[-1], self._expression(len(self.case.steps) - 1)
        pad = " " * indent
        one, many = self._free(("item", "one", "each_item")), self._free(("items", "found", "all_items"))
        if step.first:
            loop = statement(f"async for {one} in ", items, ":", indent=indent, width=self.width)
            body = [f"    {many}.append({one})", f"    if len({many}) == {step.first}:", "        break"]
            return [f"{pad}{many} = []", *loop, *(pad + line for line in body), f"{pad}return {many}"]
        found = ast.ListComp(ast.Name(one), [ast.comprehension(ast.Name(one), items, [], 1)])
        if fits("return ", found, indent=indent, width=self.width):
            return statement("return ", found, indent=indent, width=self.width)
        lines = statement(f"{many} = ", items, indent=indent, width=self.width)
        return [*lines, f"{pad}return [{one} async for {one} in {many}]"]

    def _free(self, wanted: Sequence[str]) -> str:
        """The first of these names that nothing in the test has already; else the last one."""
        locals_ = {self._local(step.bind) for step in self.case.steps if step.bind}
        taken = locals_ | set(self.holes.values()) | free_names(self.case)
        return next((name for name in wanted if name not in taken), wanted[-1])

    def _arrange(self, deeper: int) -> list[str]:
        lines: list[str] = []
        for number, step in enumerate(self.case.steps[:-1]):
            lines += self._step_lines(number, step, self._expression(number), deeper)
        return lines

    def _step_lines(self, number: int, step: Step, node: ast.expr, deeper: int) -> list[str]:
        indent = 4 + deeper
        special = self._item_statement(number, step)
        if special is not None:
            return statement(special[0], special[1], indent=indent, width=self.width)
        prefix = f"{self._local(step.bind)} = " if step.bind and self._is_used(step.bind, number) else ""
        return statement(prefix, node, indent=indent, width=self.width)

    def _act_and_assert(self, act: ast.expr, deeper: int) -> list[str]:
        indent, number, step = 4 + deeper, len(self.case.steps) - 1, self.case.steps[-1]
        outcome = self.case.outcome
        checks = self._checks(indent)
        if outcome.kind == "raises":
            head = statement("with ", self._raises(), ":", indent=indent, width=self.width)
            return [
                *head,
                *self._step_lines(
                    number, Step(step.callee, step.args, step.kwargs, "", step.awaited, step.kind), act, deeper + 4
                ),
                *checks,
            ]
        if self._item_statement(number, step) is not None:
            return self._step_lines(number, step, act, deeper) + checks
        keep = bool(step.bind) and any(self._mentions(check.expr, step.bind) for check in self.case.checks)
        if outcome.src is None:
            if not checks:
                return statement("assert ", _isinstance(act, outcome.type), indent=indent, width=self.width)
            return self._step_lines(number, step, act, deeper) + checks
        if outcome.src == "None" and checks and step.kind != "get":
            return self._step_lines(number, step, act, deeper) + checks
        if keep:
            local = self._local(step.bind)
            lines = statement(f"{local} = ", act, indent=indent, width=self.width)
            return [*lines, *self._assert_value(ast.Name(local), indent), *checks]
        return [*self._assert_value(act, indent), *checks]

    def _assert_value(self, act: ast.expr, indent: int) -> list[str]:
        node = self._claim(act)
        if fits("assert ", node, indent=indent, width=self.width):
            return statement("assert ", node, indent=indent, width=self.width)
        lines: list[str] = []
        if not isinstance(act, ast.Name):
            binds = {self._local(step.bind) for step in self.case.steps if step.bind} | set(self.holes.values())
            result = "result" if "result" not in binds else "outcome"
            lines += statement(f"{result} = ", act, indent=indent, width=self.width)
            node = self._claim(ast.Name(result))
        if isinstance(node, ast.Compare) and not fits("assert ", node, indent=indent, width=self.width):
            lines += statement("expected = ", node.comparators[0], indent=indent, width=self.width)
            node = ast.Compare(node.left, node.ops, [ast.Name("expected")])
        return [*lines, *statement("assert ", node, indent=indent, width=self.width)]

    def _claim(self, act: ast.expr) -> ast.expr:
        """What is true of the result, as one expression."""
        outcome = self.case.outcome
        expected = self._source(("value", 0, ""), outcome.src or "None")
        if isinstance(expected, ast.Constant) and (expected.value is None or isinstance(expected.value, bool)):
            if isinstance(act, ast.Compare) and isinstance(expected.value, bool):
                return act if expected.value else ast.UnaryOp(ast.Not(), act)
            return ast.Compare(act, [ast.Is()], [expected])
        if (outcome.src or "").replace("'", '"') == 'float("nan")' and not isinstance(expected, ast.Name):
            return ast.Compare(act, [ast.NotEq()], [act]) if isinstance(act, ast.Name) else _call("math.isnan", act)
        if outcome.approx and _takes_approx(outcome.src or ""):
            expected = _call("pytest.approx", expected)
        return ast.Compare(act, [ast.Eq()], [expected])

    def _checks(self, indent: int) -> list[str]:
        lines: list[str] = []
        for index, check in enumerate(self.case.checks):
            left = self._rename(parse(check.expr))
            expected = self._source(("check", index, ""), check.src)
            single = isinstance(expected, ast.Constant) and (expected.value is None or isinstance(expected.value, bool))
            node: ast.expr = ast.Compare(left, [ast.Is() if single else ast.Eq()], [expected])
            if not fits("assert ", node, indent=indent, width=self.width):
                held = (
                    "expected"
                    if index == 0 and self.case.outcome.src in {None, "None"}
                    else f"expected_{_last_word(check.expr)}"
                )
                lines += statement(f"{held} = ", expected, indent=indent, width=self.width)
                node = ast.Compare(left, [ast.Eq()], [ast.Name(held)])
            lines += statement("assert ", node, indent=indent, width=self.width)
        return lines

    def _raises(self) -> ast.expr:
        call = _call("pytest.raises", self._rename(parse(self.case.outcome.exception)))
        message = stable_message(self.case)
        if message:
            hole = self.holes.get(("message", 0, ""))
            pattern: ast.expr = ast.Name(hole) if hole else ast.Constant(message)
            if hole or re.search(r"[.^$*+?{}\[\]\\|()]", message):
                pattern = _call("re.escape", pattern)
            call.keywords.append(ast.keyword("match", pattern))
        return call

    def _expression(self, number: int) -> ast.expr:
        step = self.case.steps[number]
        callee = self._rename(self._filled(number, step))
        if step.kind == "get":
            return ast.Await(callee) if step.awaited else callee
        args = [self._source(("arg", number, str(index)), src) for index, src in enumerate(step.args)]
        keywords = [ast.keyword(name, self._source(("kw", number, name), src)) for name, src in step.kwargs]
        if isinstance(callee, ast.Attribute) and not keywords and self.case.outcome.src != "NotImplemented":
            operator = _operator(callee, args)
            if operator is not None:
                return operator
        node = ast.Call(callee, args, keywords)
        return ast.Await(node) if step.awaited else node

    def _filled(self, number: int, step: Step) -> ast.expr:
        """The callee with parameters in place of the inner literals that differ."""
        tree = parse(step.callee)
        if any(position[:2] == ("inner", number) for position in self.holes):
            tree = copy.deepcopy(tree)
            for index, (_, box, key, _) in enumerate(_slots(tree)):
                hole = self.holes.get(("inner", number, str(index)))
                if hole:
                    _put(box, key, ast.Name(hole))
        return tree

    def _item_statement(self, number: int, step: Step) -> tuple[str, ast.expr] | None:
        """`stack[0] = 1` and `version.major = 2`, as text before the value and the value."""
        callee = self._rename(parse(step.callee))
        args = [self._source(("arg", number, str(index)), src) for index, src in enumerate(step.args)]
        if step.kind == "set" and len(args) == 1:
            return f"{inline(callee)} = ", args[0]
        if isinstance(callee, ast.Attribute) and not step.kwargs:
            if callee.attr == "__setitem__" and len(args) == 2:
                return f"{inline(ast.Subscript(callee.value, args[0]))} = ", args[1]
            if callee.attr == "__delitem__" and len(args) == 1:
                return "del ", ast.Subscript(callee.value, args[0])
        return None

    def _source(self, position: Position, src: str) -> ast.expr:
        hole = self.holes.get(position)
        return ast.Name(hole) if hole else self._rename(parse(src))

    def _rename(self, node: ast.expr) -> ast.expr:
        renamed: ast.expr = _Renaming(self.names).visit(node)
        return renamed

    def _local(self, bind: str) -> str:
        return self.names.renames.get(bind, bind)

    def _is_used(self, bind: str, number: int) -> bool:
        later = self.case.steps[number + 1 :]
        sources = [text for step in later for text in (step.callee, *step.args, *(src for _, src in step.kwargs))]
        sources += [check.expr for check in self.case.checks]
        return any(self._mentions(source, bind) for source in sources)

    @staticmethod
    def _mentions(source: str, name: str) -> bool:
        return name in names_in(source)


class _Renaming(ast.NodeTransformer):
    def __init__(self, names: Names) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self.names.renames:
            return ast.Name(self.names.renames[node.id])
        if node.id in self.names.prefixed:
            return parse(f"{self.names.prefixed[node.id]}.{node.id}")
        return node


def names_in(source: str) -> set[str]:
    """The names that an expression reads, without those it binds itself (lambda parameters, comprehensions)."""
    tree = parse(source)
    bound = {
        arg.arg
        for node in ast.walk(tree)
        if isinstance(node, ast.arguments)
        for arg in (*node.posonlyargs, *node.args, *node.kwonlyargs)
    }
    bound |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - bound


def free_names(case: Case) -> set[str]:
    """Names of a case that are neither its own variables nor builtins nor imported by its own import lines."""
    used: set[str] = set()
    for step in case.steps:
        for source in (step.callee, *step.args, *(src for _, src in step.kwargs)):
            used |= names_in(source)
    for check in case.checks:
        used |= names_in(check.expr) | names_in(check.src)
    if case.outcome.src:
        used |= names_in(case.outcome.src)
    return used - {step.bind for step in case.steps} - set(fixtures(case))


def fixtures(case: Case) -> list[str]:
    """The fixtures of pytest that the steps of a case use."""
    return ["monkeypatch"] if any(step.callee.startswith("monkeypatch.") for step in case.steps) else []


def is_builtin(name: str) -> bool:
    """Whether a bare name means a builtin."""
    return hasattr(builtins, name)


def _operator(callee: ast.Attribute, args: list[ast.expr]) -> ast.expr | None:
    """`a.__lt__(b)` as `a < b`: what a reader would write."""
    name, left = callee.attr, callee.value
    if isinstance(left, ast.Call) and isinstance(left.func, ast.Name) and left.func.id == "super":
        return None
    if len(args) == 1:
        if name in _COMPARE:
            return ast.Compare(left, [_COMPARE[name]()], [args[0]])
        if name in _BINARY:
            return ast.BinOp(left, _BINARY[name](), args[0])
        if name == "__contains__":
            return ast.Compare(args[0], [ast.In()], [left])
        if name == "__getitem__":
            return ast.Subscript(left, args[0])
    if not args and name in _BUILTIN:
        return _call(_BUILTIN[name], left)
    if not args and name in _UNARY:
        return ast.UnaryOp(_UNARY[name](), left)
    return ast.Call(left, args, []) if name == "__call__" else None


def _isinstance(act: ast.expr, type_name: str) -> ast.expr:
    last = type_name.rpartition(".")[2] or "object"
    return _call("isinstance", act, ast.Name(last))


def _call(function: str, *args: ast.expr) -> ast.Call:
    return ast.Call(parse(function), list(args), [])


def _takes_approx(source: str) -> bool:
    """Whether pytest.approx understands the value: a number, or one flat list, tuple or mapping of numbers."""
    node = parse(source)
    if isinstance(node, ast.List | ast.Tuple):
        return all(_is_number(item) for item in node.elts)
    if isinstance(node, ast.Dict):
        return all(_is_number(item) for item in node.values)
    return _is_number(node)


def _is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    if isinstance(node, ast.BinOp):
        return _is_number(node.left) and _is_number(node.right)
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, int | float | complex)
        and not isinstance(node.value, bool)
    )


def _last_word(expression: str) -> str:
    words = re.findall(r"[A-Za-z]\w*", expression)
    return words[-1].lower() if words else "state"
