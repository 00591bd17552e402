"""What a source file defines, read without running it: functions, classes, parameters, re-exports."""

from __future__ import annotations

import ast
import tokenize
from dataclasses import dataclass, field, replace
from pathlib import Path

from aqe.engine.errors import UserError


@dataclass(frozen=True)
class Definition:
    """One function, method, property or class. `parameters` leaves out `self` and `cls`; lines are 1-based.

    `also` holds the first and last lines of what else has the name: a setter, the other branch of a condition.
    """

    qualname: str
    kind: str
    parameters: tuple[str, ...]
    line: int
    end_line: int
    star: str = ""
    also: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Outline:
    """A module's names: what it defines, what it hands on from elsewhere (`name -> (module, level, name)`), and the
    modules of which it hands on everything (module, level)."""

    definitions: dict[str, Definition] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    reexports: dict[str, tuple[str, int, str]] = field(default_factory=dict)
    stars: tuple[tuple[str, int], ...] = ()

    @property
    def is_empty(self) -> bool:
        return not self.definitions


def read_source(path: Path) -> str:
    """The text of a Python file in its own encoding; `UserError` when it is not text or cannot be read."""
    try:
        with tokenize.open(path) as stream:
            return stream.read()
    except (SyntaxError, UnicodeDecodeError, ValueError) as error:
        raise UserError(
            f"{path} is not Python source: {_first_line(error)}.",
            code="not-python",
            fix="Name a .py file that is text in its declared encoding.",
        ) from error
    except OSError as error:
        reason = error.strerror or error.__class__.__name__
        raise UserError(
            f"{path} cannot be read: {reason}.", code="no-such-path", fix="Check the path and its permissions."
        ) from error


def read_tree(path: Path, source: str | None = None) -> ast.Module:
    """The syntax tree of a file; `UserError` [syntax-error] names the line."""
    text = read_source(path) if source is None else source
    try:
        return ast.parse(text, filename=str(path))
    except (SyntaxError, ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        where = f", line {line}" if line else ""
        raise UserError(
            f"{path}{where} does not parse: {getattr(error, 'msg', None) or _first_line(error)}.",
            code="syntax-error",
            fix="Correct the file, or pass --python if it needs a newer Python.",
        ) from error


def read_outline(path: Path) -> Outline:
    """What the file at `path` defines."""
    tree = read_tree(path)
    definitions: dict[str, Definition] = {}
    names: set[str] = set()
    reexports: dict[str, tuple[str, int, str]] = {}
    stars: list[tuple[str, int]] = []
    for node in _module_level(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if not _decorated(node, "overload"):
                _add(definitions, _function(node, node.name, bound=False))
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            _class(node, node.name, definitions)
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.name == "*":
                    stars.append((node.module or "", node.level))
                    continue
                reexports[alias.asname or alias.name] = (node.module or "", node.level, alias.name)
                names.add(alias.asname or alias.name)
        elif isinstance(node, ast.Import):
            names.update(alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update(target.id for target in targets if isinstance(target, ast.Name))
            _lambda(node, definitions)
    return Outline(definitions, frozenset(names), reexports, tuple(stars))


def _module_level(tree: ast.Module) -> list[ast.stmt]:
    """Statements that run at import, also inside `if`, `try` and `with`."""
    found: list[ast.stmt] = []
    waiting: list[ast.stmt] = list(reversed(tree.body))
    while waiting:
        node = waiting.pop()
        found.append(node)
        if isinstance(node, ast.If) and _is_main_guard(node):
            continue
        if isinstance(node, ast.If | ast.Try | ast.With | ast.For | ast.While):
            inner = [*node.body, *getattr(node, "orelse", []), *getattr(node, "finalbody", [])]
            for handler in getattr(node, "handlers", []):
                inner += handler.body
            waiting += reversed(inner)
    return found


def _is_main_guard(node: ast.If) -> bool:
    return (
        isinstance(node.test, ast.Compare) and isinstance(node.test.left, ast.Name) and node.test.left.id == "__name__"
    )


def _class(node: ast.ClassDef, qualname: str, definitions: dict[str, Definition]) -> None:
    init: Definition | None = None
    for item in node.body:
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            if _decorated(item, "overload"):
                continue
            inner = _function(item, f"{qualname}.{item.name}", bound=not _decorated(item, "staticmethod"))
            _add(definitions, inner, is_first_meant=True)
            if item.name in {"__init__", "__new__"} and (init is None or item.name == "__init__"):
                init = inner
        elif isinstance(item, ast.ClassDef):
            _class(item, f"{qualname}.{item.name}", definitions)
    fields = tuple(
        item.target.id for item in node.body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    )
    parameters = init.parameters if init else fields
    star = init.star if init else ""
    end = node.end_lineno or node.lineno
    _add(definitions, Definition(qualname, "class", parameters, node.lineno, end, star))


def _add(definitions: dict[str, Definition], new: Definition, *, is_first_meant: bool = False) -> None:
    """Note a definition; of several with one name the last is meant, or the first, and the others' lines are kept."""
    known = definitions.get(new.qualname)
    if known is None:
        definitions[new.qualname] = new
        return
    meant, other = (known, new) if is_first_meant else (new, known)
    definitions[new.qualname] = replace(meant, also=(*known.also, (other.line, other.end_line)))


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef, qualname: str, *, bound: bool) -> Definition:
    positional = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args)]
    if bound and positional:
        positional = positional[1:]
    kind = "async" if isinstance(node, ast.AsyncFunctionDef) else "method" if "." in qualname else "function"
    if _decorated(node, "property") or _decorated(node, "cached_property"):
        kind = "property"
    star = node.args.vararg.arg if node.args.vararg else ""
    parameters = (*positional, *(arg.arg for arg in node.args.kwonlyargs)) if not star else tuple(positional)
    return Definition(qualname, kind, tuple(parameters), node.lineno, node.end_lineno or node.lineno, star)


def _lambda(node: ast.Assign | ast.AnnAssign, definitions: dict[str, Definition]) -> None:
    target = (
        node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else getattr(node, "target", None)
    )
    if isinstance(node.value, ast.Lambda) and isinstance(target, ast.Name):
        parameters = tuple(arg.arg for arg in (*node.value.args.posonlyargs, *node.value.args.args))
        end = node.end_lineno or node.lineno
        definitions[target.id] = Definition(target.id, "function", parameters, node.lineno, end)


def _decorated(node: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> bool:
    for decorator in node.decorator_list:
        last = decorator.attr if isinstance(decorator, ast.Attribute) else getattr(decorator, "id", "")
        if last == name:
            return True
    return False


def _first_line(error: BaseException) -> str:
    return (str(error) or error.__class__.__name__).splitlines()[0].rstrip(".")
