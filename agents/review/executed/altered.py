"""Which functions a change altered, which others show what they do, which to run first. It reads and never runs."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from aqe.agents.changes import Definition, FileChange, definitions
from aqe.agents.changes.definition import digest_of, without_docstring
from aqe.agents.review.executed.comparison import Skipped

MOST_CALLERS = 6
DEPTH = 3
"""Calls between a changed function and one through which it may be seen."""

_INIT = ("__init__", "__new__", "__post_init__")
_INNER = ".<locals>"
_Function = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Altered:
    """Something that changed, by qualified name: `runs` are the functions and classes that show it at once, `callers`
    those of the same module through which it may be seen. Names are such as the test generator gives to its targets:
    a class stands for its construction. `risk` sorts: the lower, the sooner."""

    path: str
    name: str
    line: int
    runs: tuple[str, ...]
    callers: tuple[str, ...]
    risk: tuple[int, int, str]
    is_function: bool = True


@dataclass(frozen=True)
class _Side:
    """One text: definitions by name, their nodes, what each assignment at module or class level is."""

    found: Mapping[str, tuple[Definition, ...]]
    nodes: Mapping[str, ast.AST]
    assigned: Mapping[str, tuple[str, int]]

    @cached_property
    def users(self) -> Mapping[str, tuple[str, ...]]:
        """For each name the functions whose body has it, by its bare name or as an attribute."""
        found: dict[str, list[str]] = {}
        for qualname, node in self.nodes.items():
            if isinstance(node, _Function):
                for name in _names_in(node):
                    found.setdefault(name, []).append(qualname)
        return {name: tuple(many) for name, many in found.items()}

    def digest(self, name: str) -> tuple[str, ...]:
        return tuple(one.digest for one in self.found.get(name, ()))


def find_altered(change: FileChange) -> tuple[tuple[Altered, ...], tuple[Skipped, ...]]:
    """What changed in one file and can be run on both sides; and what cannot. Raises `SyntaxError`."""
    old, new = _read(change.old_text or ""), _read(change.new_text or "")
    skipped = tuple(Skipped(change.path, name, "it is gone") for name in _gone(old, new))
    found = [*_functions(change, old, new), *_classes(change, old, new), *_names(change, old, new)]
    names = frozenset(one.name for one in found)
    lasts = frozenset(name.rpartition(".")[2] for name in names)
    found = [replace(one, callers=_clear_callers(one, names, lasts, new)) for one in found]
    return tuple(sorted(found, key=lambda one: one.risk)), skipped


def _read(text: str) -> _Side:
    tree = ast.parse(text)
    found: dict[str, list[Definition]] = {}
    for one in definitions(text):
        found.setdefault(one.qualname, []).append(one)
    nodes: dict[str, ast.AST] = {}
    assigned: dict[str, tuple[str, int]] = {}
    _note(tree, "", nodes, assigned)
    return _Side({name: tuple(many) for name, many in found.items()}, nodes, assigned)


def _note(holder: ast.AST, prefix: str, nodes: dict[str, ast.AST], assigned: dict[str, tuple[str, int]]) -> None:
    """Definitions and assignments that run at import; the bodies of functions are left alone."""
    for node in ast.iter_child_nodes(holder):
        if isinstance(node, (*_Function, ast.ClassDef)):
            nodes[prefix + node.name] = node
            if isinstance(node, ast.ClassDef):
                _note(node, f"{prefix}{node.name}.", nodes, assigned)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            for one in node.targets if isinstance(node, ast.Assign) else [node.target]:
                for part in ast.walk(one):
                    if isinstance(part, ast.Name):
                        before = assigned.get(prefix + part.id, ("", 0))[0]
                        assigned[prefix + part.id] = (before + digest_of(node), node.lineno)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                source = f"{getattr(node, 'module', '')} {getattr(node, 'level', '')} {alias.name}"
                assigned[prefix + name] = (source, node.lineno)
        elif isinstance(node, ast.If | ast.Try | ast.With | ast.For | ast.While | ast.ExceptHandler):
            _note(node, prefix, nodes, assigned)


def _gone(old: _Side, new: _Side) -> Iterator[str]:
    for name, many in old.found.items():
        if name not in new.found and many[0].kind == "function" and _INNER not in name:
            yield name


# ---------------------------------------------------------------- what changed


def _functions(change: FileChange, old: _Side, new: _Side) -> Iterator[Altered]:
    for name, many in new.found.items():
        if many[0].kind != "function" or _INNER in name or name not in old.found:
            continue
        if old.digest(name) == new.digest(name) or _differ_in_hints(old, new, name):
            continue
        line, size = _place(change, many)
        owner, _, last = name.rpartition(".")
        runs = (owner,) if owner and last in _INIT else (name,)
        callers = _callers(new, old, name, runs)
        risk = (0 if _has_condition(new.nodes.get(name), change.added) else 1, size, name)
        yield Altered(change.path, name, line, runs, callers, risk)


def _classes(change: FileChange, old: _Side, new: _Side) -> Iterator[Altered]:
    """Classes that changed outside of their methods: fields, bases, decorators."""
    for name, many in new.found.items():
        node, before = new.nodes.get(name), old.nodes.get(name)
        if many[0].kind != "class" or not isinstance(node, ast.ClassDef) or not isinstance(before, ast.ClassDef):
            continue
        if _own_part(node) == _own_part(before):
            continue
        members = tuple(one for one in _members(new, name) if one in old.found)
        line = _first_added(change, many[0].first_line, many[0].last_line) or many[0].first_line
        risk = (1, 5 + len(members), name)
        yield Altered(change.path, name, line, (name,), members[: 2 * MOST_CALLERS], risk, is_function=False)


def _names(change: FileChange, old: _Side, new: _Side) -> Iterator[Altered]:
    """Constants, tables and imports at module level."""
    for name, (text, line) in new.assigned.items():
        if "." in name or old.assigned.get(name, (text, 0))[0] == text:
            continue
        users = tuple(one for one in _users(new, name) if one in old.found and old.digest(one) == new.digest(one))
        if users:
            risk = (0, len(users), name)
            yield Altered(change.path, name, line, users[:MOST_CALLERS], (), risk, is_function=False)


def _own_part(node: ast.ClassDef) -> str:
    rest = [one for one in without_docstring(node.body) if not isinstance(one, (*_Function, ast.ClassDef))]
    return " ".join(digest_of(one) for one in (*node.bases, *node.keywords, *node.decorator_list, *rest))


def _differ_in_hints(old: _Side, new: _Side, name: str) -> bool:
    """Whether nothing but hints of one plain function differs."""
    before, after = old.nodes.get(name), new.nodes.get(name)
    if len(old.found[name]) > 1 or len(new.found[name]) > 1:
        return False
    if not isinstance(before, _Function) or not isinstance(after, _Function):
        return False
    try:
        return _without_hints(before) == _without_hints(after)
    except RecursionError:  # printing an expression of a thousand terms goes as deep; then its digest decides
        return False


def _without_hints(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """A function's tree without docstring and hints; where decorators may read the hints they stay."""
    copy = ast.parse(ast.unparse(node)).body[0]
    assert isinstance(copy, _Function)
    if not copy.decorator_list:
        copy.returns = None
        every = [*copy.args.posonlyargs, *copy.args.args, *copy.args.kwonlyargs, copy.args.vararg, copy.args.kwarg]
        for one in every:
            if one is not None:
                one.annotation = None
    copy.body = without_docstring(copy.body)
    return ast.dump(copy)


# ---------------------------------------------------------------- who shows it


def _callers(new: _Side, old: _Side, name: str, runs: tuple[str, ...]) -> tuple[str, ...]:
    """Functions of the module that use a changed one, at once or through others, nearest first; for a constructor the
    class's members."""
    owner, _, last = name.rpartition(".")
    found = list(_users(new, last))
    for _ in range(DEPTH - 1):
        found += [user for one in dict.fromkeys(found) for user in _users(new, one.rpartition(".")[2])]
    if owner and last.startswith("__") and last.endswith("__"):
        found += [owner, *_members(new, owner)]
    known = [one for one in dict.fromkeys(found) if one in old.found and one not in runs and one != name]
    known = [_constructed(one) for one in known]
    return tuple(dict.fromkeys(known))[: 2 * MOST_CALLERS if owner else MOST_CALLERS]


def _clear_callers(altered: Altered, names: frozenset[str], lasts: frozenset[str], new: _Side) -> tuple[str, ...]:
    """Callers that neither changed themselves nor lead to something else that changed: what they show is its doing.

    `names` is all that changed, `lasts` the last parts of them.
    """
    last = altered.name.rpartition(".")[2]
    return tuple(
        one
        for one in altered.callers
        if (one not in names or one == altered.name)
        and not (one in new.nodes and (_names_in(new.nodes[one]) & lasts) - {last})
    )


def _constructed(name: str) -> str:
    owner, _, last = name.rpartition(".")
    return owner if owner and last in _INIT else name


def _users(side: _Side, name: str) -> Iterator[str]:
    """Functions whose body names something, by its bare name or as an attribute."""
    for qualname in side.users.get(name, ()):
        if qualname.rpartition(".")[2] != name:
            yield _constructed(qualname)


@lru_cache(maxsize=4096)
def _names_in(node: ast.AST) -> frozenset[str]:
    """Names and attributes in a node; nodes are told apart by identity, so each is walked once."""
    parts = list(ast.walk(node))
    names = {part.id for part in parts if isinstance(part, ast.Name)}
    return frozenset(names | {part.attr for part in parts if isinstance(part, ast.Attribute)})


def _members(side: _Side, owner: str) -> Iterator[str]:
    for qualname, node in side.nodes.items():
        owned, _, last = qualname.rpartition(".")
        if owned == owner and last not in _INIT and isinstance(node, _Function):
            yield qualname


# ---------------------------------------------------------------- where, and how risky


def _place(change: FileChange, many: Iterable[Definition]) -> tuple[int, int]:
    """The first changed line of a definition on the head's side, and how many lines changed there."""
    spans = [(one.first_line, one.last_line) for one in many]
    lines = sorted({line for first, last in spans for line in range(first, last + 1) if line in change.added})
    return (lines[0], len(lines)) if lines else (spans[0][0], 1)


def _first_added(change: FileChange, first: int, last: int) -> int | None:
    return next((line for line in range(first, last + 1) if line in change.added), None)


def _has_condition(node: ast.AST | None, lines: frozenset[int]) -> bool:
    """Whether a changed line holds a comparison, a condition or a number."""
    for part in ast.walk(node) if node is not None else ():
        is_telling = isinstance(part, ast.Compare | ast.BoolOp | ast.IfExp | ast.Return | ast.Raise | ast.BinOp)
        if is_telling and getattr(part, "lineno", 0) in lines:
            return True
    return False
