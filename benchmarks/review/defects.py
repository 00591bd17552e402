"""Behaviour defects, planted by changing one node of a function's tree."""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterator, Sequence

from plant import Function, Plant, Text, same_tree

Edit = tuple[ast.AST, str]
_COMPARE = {ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">"}
_NEGATE = {ast.Eq: "!=", ast.NotEq: "==", ast.Is: "is not", ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in"}
_ARITHMETIC = {ast.Add: "-", ast.Sub: "+", ast.Mult: "//", ast.Div: "*", ast.FloorDiv: "/", ast.Mod: "*", ast.Pow: "*"}
_METHODS = ("strip", "lower", "upper", "lstrip", "rstrip", "title", "copy")
_CALLS = ("int", "abs", "sorted", "reversed", "round", "str", "float", "list", "tuple", "set")
_OTHER_ERROR = {"ValueError": "KeyError", "TypeError": "ValueError", "KeyError": "IndexError", "IndexError": "KeyError"}


def plant_defects(package: str, files: dict[str, str], count: int, chance: random.Random) -> list[Plant]:
    """`count` defects, spread over functions and operators; each changes the tree of its file and compiles."""
    places = [(path, text, one) for path in sorted(files) for text in [Text(files[path])] for one in text.functions()]
    found: list[Plant] = []
    seen: set[str] = set()
    for _ in range(60 * count):
        if len(found) == count:
            break
        path, text, function = chance.choice(places)
        operator = chance.choice(sorted(OPERATORS))
        edits = list(OPERATORS[operator](text, function, chance))
        if not edits:
            continue
        node, new = chance.choice(edits)
        changed = text.replaced([(node, new)])
        try:
            if changed in seen or same_tree(changed, text.text):
                continue
            compile(changed, path, "exec")
        except SyntaxError:
            continue
        seen.add(changed)
        found.append(Plant("behaviour", operator, package, path, function.qualname, {path: changed}))
    return found


def _inside(function: Function) -> Iterator[ast.AST]:
    for statement in function.body:
        yield from ast.walk(statement)


def _boundary(text: Text, function: Function, chance: random.Random) -> Iterator[Edit]:
    for node in _inside(function):
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARE:
            sign = _COMPARE[type(node.ops[0])]
            yield node, f"{text.source(node.left)} {sign} {text.source(node.comparators[0])}"


def _negated(text: Text, function: Function, chance: random.Random) -> Iterator[Edit]:
    for node in _inside(function):
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _NEGATE:
            sign = _NEGATE[type(node.ops[0])]
            yield node, f"{text.source(node.left)} {sign} {text.source(node.comparators[0])}"
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield node, f"({text.source(node.operand)})"


def _arithmetic(text: Text, function: Function, chance: random.Random) -> Iterator[Edit]:
    for node in _inside(function):
        if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            if isinstance(node.op, ast.Mod) and isinstance(node.left, ast.Constant | ast.JoinedStr):
                continue
            yield node, f"({text.source(node.left)} {_ARITHMETIC[type(node.op)]} {text.source(node.right)})"


def _logic(text: Text, function: Function, chance: random.Random) -> Iterator[Edit]:
    for node in _inside(function):
        if isinstance(node, ast.BoolOp):
            word = " or " if isinstance(node.op, ast.And) else " and "
            yield node, "(" + word.join(f"({text.source(one)})" for one in node.values) + ")"


def _off_by_one(text: Text, function: Function, chance: random.Random) -> Iterator[Edit]:
    for node in _inside(function):
        if isinstance(node, ast.Constant) and type(node.value) is int:
            yield node, str(node.value + chance.choice((1, -1)) if node.value else 1)


def _constant(text: Text, function: Function, chance: random.Random) -> Iterator[Edit]:
    inner = {id(part) for node in _inside(function) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in _inside(function):
        if isinstance(node, ast.Constant) and id(node) not in inner and node.col_offset >= 0:
            if isinstance(node.value, bool):
                yield node, repr(not node.value)
            elif isinstance(node.value, str) and node.value and len(node.value) < 40:
                yield node, repr(node.value[:-1] if chance.random() < 0.5 else node.value + "x")
            elif isinstance(node.value, float):
                yield node, repr(node.value * 2 or 1.0)


def _dropped_guard(text: Text, function: Function, chance: random.Random) -> Iterator[Edit]:
    for node in _inside(function):
        is_short = isinstance(node, ast.If) and not node.orelse and len(node.body) == 1
        if is_short and isinstance(node.body[0], ast.Return | ast.Raise | ast.Continue | ast.Break):
            yield node, "pass"


def _condition(text: Text, function: Function, chance: random.Random) -> Iterator[Edit]:
    for node in _inside(function):
        if isinstance(node, ast.If | ast.IfExp | ast.While):
            yield node.test, f"not ({text.source(node.test)})"


def _swapped(text: Text, function: Function, chance: random.Random) -> Iterator[Edit]:
    for node in _inside(function):
        if isinstance(node, ast.Call) and len(node.args) >= 2:
            one, other = node.args[0], node.args[1]
            if isinstance(one, ast.Starred) or isinstance(other, ast.Starred) or ast.dump(one) == ast.dump(other):
                continue
            arguments = [text.source(other), text.source(one), *(text.source(rest) for rest in node.args[2:])]
            arguments += [text.source(word) for word in node.keywords]
            yield node, f"{text.source(node.func)}({', '.join(arguments)})"


def _no_return(text: Text, function: Function, chance: random.Random) -> Iterator[Edit]:
    for node in _inside(function):
        if isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
            yield node, f"({text.source(node.value)})"


def _exception(text: Text, function: Function, chance: random.Random) -> Iterator[Edit]:
    for node in _inside(function):
        raised = node.exc if isinstance(node, ast.Raise) else None
        raised = raised.func if isinstance(raised, ast.Call) else raised
        named = node.type if isinstance(node, ast.ExceptHandler) else raised
        if isinstance(named, ast.Name):
            yield named, _OTHER_ERROR.get(named.id, "RuntimeError")


def _removed_call(text: Text, function: Function, chance: random.Random) -> Iterator[Edit]:
    for node in _inside(function):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            yield node, "pass"
        elif isinstance(node, ast.Call) and not node.keywords:
            func = node.func
            if isinstance(func, ast.Attribute) and not node.args and func.attr in _METHODS:
                yield node, text.source(func.value)
            elif isinstance(func, ast.Name) and len(node.args) == 1 and func.id in _CALLS:
                yield node, f"({text.source(node.args[0])})"


def _variable(text: Text, function: Function, chance: random.Random) -> Iterator[Edit]:
    names = [
        one.arg for one in (*function.node.args.args, *function.node.args.kwonlyargs) if one.arg not in ("self", "cls")
    ]
    if len(names) < 2:
        return
    for node in _inside(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names:
            yield node, chance.choice([one for one in names if one != node.id])


def _default(text: Text, function: Function, chance: random.Random) -> Iterator[Edit]:
    defaults: Sequence[ast.expr | None] = (*function.node.args.defaults, *function.node.args.kw_defaults)
    for node in defaults:
        if isinstance(node, ast.Constant):
            if isinstance(node.value, bool):
                yield node, repr(not node.value)
            elif isinstance(node.value, int):
                yield node, str(node.value + 1)
            elif isinstance(node.value, str):
                yield node, repr(node.value + "-")


OPERATORS: dict[str, Callable[[Text, Function, random.Random], Iterator[Edit]]] = {
    "boundary": _boundary,
    "negated comparison": _negated,
    "arithmetic operator": _arithmetic,
    "and for or": _logic,
    "off by one": _off_by_one,
    "wrong constant": _constant,
    "dropped guard": _dropped_guard,
    "negated condition": _condition,
    "swapped arguments": _swapped,
    "missing return": _no_return,
    "other exception": _exception,
    "removed call": _removed_call,
    "wrong variable": _variable,
    "wrong default": _default,
}
