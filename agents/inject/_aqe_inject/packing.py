"""Cases as plain data, so that another process runs the very same calls: arguments travel as source."""

from __future__ import annotations

import ast
from typing import Any, Dict, FrozenSet, List, Optional, Tuple

from .recipes import Case, Items, Late, Make, Pairs, Recipe, Step, recipe_of

Data = Dict[str, Any]


def pack(case: Case) -> Data:
    """A case as JSON data."""
    return {"target": case.target, "origin": case.origin, "steps": [_packed(step) for step in case.steps]}


def _packed(step: Step) -> Data:
    return {
        "callee": step.callee,
        "form": step.form,
        "bind": step.bind,
        "receiver": step.receiver,
        "args": [recipe.source for recipe in step.args],
        "kwargs": [[name, recipe.source] for name, recipe in step.kwargs],
        "statement": step.is_statement,
        "awaits": step.awaits,
    }


def unpack(data: Data) -> Case:
    """The case again. Raises SyntaxError for a source that is no expression."""
    bound: FrozenSet[str] = frozenset(step["bind"] for step in data["steps"] if step["bind"])
    return Case(data["target"], tuple(_unpacked(step, bound) for step in data["steps"]), data.get("origin", "search"))


def _unpacked(data: Data, bound: FrozenSet[str]) -> Step:
    return Step(
        data["callee"],
        data["form"],
        data["bind"],
        data["receiver"],
        tuple(read_recipe(text, bound) for text in data["args"]),
        tuple((name, read_recipe(text, bound)) for name, text in data["kwargs"]),
        data["statement"],
        data["awaits"],
    )


def read_recipe(text: str, bound: FrozenSet[str] = frozenset()) -> Recipe:
    """The recipe that an expression stands for; `bound` are variables of earlier lines. Raises SyntaxError."""
    node = ast.parse(text.strip(), mode="eval").body
    leans = any(isinstance(part, ast.Name) and part.id in bound for part in ast.walk(node))
    return Late(text) if leans else _recipe(node)


def _recipe(node: ast.expr) -> Recipe:
    made = _plain(node) or _container(node) or _call(node)
    return made if made is not None else Late(ast.unparse(node))


def _plain(node: ast.expr) -> Optional[Recipe]:
    if isinstance(node, ast.Constant) and node.value is Ellipsis:
        return None
    try:
        return recipe_of(ast.literal_eval(node))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _container(node: ast.expr) -> Optional[Recipe]:
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        if any(isinstance(item, ast.Starred) for item in node.elts):
            return None
        kind = {ast.List: list, ast.Tuple: tuple, ast.Set: set}[type(node)]
        return Items(kind, [_recipe(item) for item in node.elts])
    if isinstance(node, ast.Dict) and None not in node.keys:
        return Pairs([(_recipe(key), _recipe(value)) for key, value in zip(node.keys, node.values) if key is not None])
    return None


def _call(node: ast.expr) -> Optional[Recipe]:
    if not isinstance(node, ast.Call) or any(isinstance(item, ast.Starred) for item in node.args):
        return None
    named: List[Tuple[str, Recipe]] = [(one.arg, _recipe(one.value)) for one in node.keywords if one.arg is not None]
    if len(named) != len(node.keywords) or not isinstance(node.func, (ast.Name, ast.Attribute)):
        return None
    return Make(ast.unparse(node.func), [_recipe(item) for item in node.args], named)
