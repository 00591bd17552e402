"""Harmless rewrites: what a reader calls a refactoring. Each leaves what the function does alone, by construction."""

from __future__ import annotations

import ast
import copy
import random
import textwrap
from collections.abc import Callable, Iterator
from itertools import pairwise

from plant import Function, Plant, Text, same_tree

_FRESH = ("outcome", "answer", "current", "made", "piece")
_Function = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_SCOPED = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def plant_rewrites(package: str, files: dict[str, str], count: int, chance: random.Random) -> list[Plant]:
    """`count` rewrites, spread over functions and kinds; each changes its file and compiles."""
    places = [(path, text, one) for path in sorted(files) for text in [Text(files[path])] for one in text.functions()]
    found: list[Plant] = []
    seen: set[str] = set()
    for _ in range(80 * count):
        if len(found) == count:
            break
        path, text, function = chance.choice(places)
        operator = chance.choice(sorted(REWRITES))
        forms = [new for new in REWRITES[operator](text, function, chance) if new not in seen]
        if not forms:
            continue
        changed = chance.choice(forms)
        try:
            compile(changed, path, "exec")
            is_only_text = same_tree(changed, text.text)
        except SyntaxError:
            continue
        if changed == text.text or (is_only_text and operator != "comment"):
            continue
        seen.add(changed)
        found.append(Plant("harmless", operator, package, path, function.qualname, {path: changed}))
    return found


def _is_plain(function: Function) -> bool:
    """Whether the body has one scope, and nothing looks into it."""
    for statement in function.node.body:
        for node in ast.walk(statement):
            if isinstance(node, (*_Function, ast.Global, ast.Nonlocal, ast.NamedExpr)):
                return False
            if isinstance(node, ast.Name) and node.id in ("locals", "vars", "eval", "exec", "super", "__class__"):
                return False
    return True


def _names(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)} | {
        one.arg for one in ast.walk(node) if isinstance(one, ast.arg)
    }


def _fresh(function: Function, text: Text, chance: random.Random) -> str:
    taken = _names(text.tree) | {getattr(node, "name", "") for node in ast.walk(text.tree)}
    return next(name for name in (*chance.sample(_FRESH, len(_FRESH)), "renamed_value") if name not in taken)


def _renamed(text: Text, function: Function, chance: random.Random) -> Iterator[str]:
    """A local variable under another name."""
    if not _is_plain(function):
        return
    parameters = _names(function.node.args)
    inside = [node for one in function.node.body for node in ast.walk(one)]
    held = {node.name for node in inside if isinstance(node, ast.ExceptHandler) and node.name}
    scoped = {
        name for node in inside if isinstance(node, _SCOPED) for one in node.generators for name in _names(one.target)
    }
    stored = {node.id for node in inside if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    fresh = _fresh(function, text, chance)
    for name in sorted(stored - parameters - held - scoped):
        yield text.replaced([(node, fresh) for node in inside if isinstance(node, ast.Name) and node.id == name])


def _extracted(text: Text, function: Function, chance: random.Random) -> Iterator[str]:
    """A variable for what is returned."""
    fresh = _fresh(function, text, chance)
    for node in _statements(function):
        if isinstance(node, ast.Return) and node.value is not None and node.lineno == node.end_lineno:
            yield text.statement(node, f"{fresh} = {text.source(node.value)}\nreturn {fresh}")


def _inverted(text: Text, function: Function, chance: random.Random) -> Iterator[str]:
    """Both branches of a condition the other way round."""
    for node in _statements(function):
        if (
            isinstance(node, ast.If)
            and node.orelse
            and not isinstance(node.orelse[0], ast.If)
            and not _is_elif(text, node)
        ):
            yield text.statement(
                node, f"if not ({ast.unparse(node.test)}):\n{_block(node.orelse)}\nelse:\n{_block(node.body)}"
            )


def _early(text: Text, function: Function, chance: random.Random) -> Iterator[str]:
    """No else after a branch that always leaves."""
    for node in _statements(function):
        if not isinstance(node, ast.If) or not node.orelse or _is_elif(text, node):
            continue
        if isinstance(node.body[-1], ast.Return | ast.Raise) and not isinstance(node.orelse[0], ast.If):
            rest = "\n".join(ast.unparse(one) for one in node.orelse)
            yield text.statement(node, f"if {ast.unparse(node.test)}:\n{_block(node.body)}\n{rest}")


def _looped(text: Text, function: Function, chance: random.Random) -> Iterator[str]:
    """A loop for a comprehension that is returned or assigned."""
    taken = _names(function.node)
    fresh = _fresh(function, text, chance)
    for node in _statements(function):
        value = node.value if isinstance(node, ast.Return | ast.Assign) else None
        if not isinstance(value, ast.ListComp) or len(value.generators) != 1 or value.generators[0].is_async:
            continue
        one = value.generators[0]
        others = [part for part in ast.walk(function.node) if isinstance(part, ast.Name)]
        own = {id(part) for part in ast.walk(value)}
        if _names(one.target) & {part.id for part in others if id(part) not in own} or fresh in taken:
            continue
        lines = [f"{fresh} = []", f"for {ast.unparse(one.target)} in {ast.unparse(one.iter)}:"]
        depth = 1
        for test in one.ifs:
            lines.append("    " * depth + f"if {ast.unparse(test)}:")
            depth += 1
        lines.append("    " * depth + f"{fresh}.append({ast.unparse(value.elt)})")
        last = copy.deepcopy(node)
        last.value = ast.Name(fresh, ast.Load())
        yield text.statement(node, "\n".join([*lines, ast.unparse(last)]))


def _formatted(text: Text, function: Function, chance: random.Random) -> Iterator[str]:
    """`str.format` for an f-string without conversions and specifications, and the other way round."""
    for node in (part for one in function.body for part in ast.walk(one)):
        if isinstance(node, ast.JoinedStr):
            parts = [one for one in node.values if isinstance(one, ast.FormattedValue)]
            if parts and all(one.conversion == -1 and one.format_spec is None for one in parts):
                pattern = "".join("{}" if isinstance(one, ast.FormattedValue) else _braced(one) for one in node.values)
                yield text.replaced(
                    [(node, f"{pattern!r}.format({', '.join(ast.unparse(one.value) for one in parts)})")]
                )
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
            pattern = node.func.value.value if isinstance(node.func.value, ast.Constant) else None
            plain = all(isinstance(one, ast.Name) for one in node.args) and not node.keywords
            if isinstance(pattern, str) and plain and pattern.count("{}") == pattern.count("{") == len(node.args) > 0:
                pieces = pattern.split("{}")
                inner = "".join(
                    repr(piece)[1:-1] + (f"{{{ast.unparse(node.args[i])}}}" if i < len(node.args) else "")
                    for i, piece in enumerate(pieces)
                )
                if "'" not in pattern and '"' not in pattern and "\\" not in inner and "}" not in "".join(pieces):
                    yield text.replaced([(node, f'f"{inner}"')])


def _braced(part: ast.expr) -> str:
    value = part.value if isinstance(part, ast.Constant) else ""
    return str(value).replace("{", "{{").replace("}", "}}")


def _reordered(text: Text, function: Function, chance: random.Random) -> Iterator[str]:
    """Two neighbouring functions of the module in the other order."""
    body = text.tree.body
    for one, other in pairwise(body):
        if one is function.node and isinstance(other, ast.FunctionDef) and isinstance(one, ast.FunctionDef):
            plain = not (one.decorator_list or other.decorator_list or one.args.defaults or other.args.defaults)
            if plain and not (one.args.kw_defaults or other.args.kw_defaults):
                yield text.replaced([(one, text.source(other)), (other, text.source(one))])


def _hinted(text: Text, function: Function, chance: random.Random) -> Iterator[str]:
    """Hints where there were none."""
    if function.node.decorator_list or function.node.returns is not None:
        return
    node = copy.deepcopy(function.node)
    for one in (*node.args.args, *node.args.kwonlyargs):
        if one.arg not in ("self", "cls") and one.annotation is None:
            one.annotation = ast.Constant("object")
    yield text.statement(function.node, ast.unparse(node))


def _documented(text: Text, function: Function, chance: random.Random) -> Iterator[str]:
    """A docstring where there was none."""
    if ast.get_docstring(function.node) is None and function.node.body[0].lineno > function.node.lineno:
        first = function.node.body[0]
        yield text.statement(first, f'"""Do the work of this step."""\n{textwrap.dedent(_dedented(text, first))}')


def _commented(text: Text, function: Function, chance: random.Random) -> Iterator[str]:
    for node in _statements(function):
        if not _is_elif(text, node):
            yield text.statement(node, f"# one step of the way\n{_dedented(text, node)}")


def _morgan(text: Text, function: Function, chance: random.Random) -> Iterator[str]:
    """`not (a or b)` for `not a and not b` in a condition."""
    for node in (part for one in function.body for part in ast.walk(one)):
        if isinstance(node, ast.If | ast.While | ast.IfExp) and isinstance(node.test, ast.BoolOp):
            word = " or " if isinstance(node.test.op, ast.And) else " and "
            inside = word.join(f"not ({ast.unparse(one)})" for one in node.test.values)
            yield text.replaced([(node.test, f"not ({inside})")])


def _turned(text: Text, function: Function, chance: random.Random) -> Iterator[str]:
    """`1 < x` for `x > 1`."""
    turned = {ast.Lt: ">", ast.LtE: ">=", ast.Gt: "<", ast.GtE: "<=", ast.Eq: "=="}
    for node in (part for one in function.body for part in ast.walk(one)):
        if not isinstance(node, ast.Compare) or len(node.ops) != 1 or type(node.ops[0]) not in turned:
            continue
        right = node.comparators[0]
        if isinstance(right, ast.Constant) and isinstance(right.value, int | str):
            turning = f"{ast.unparse(right)} {turned[type(node.ops[0])]} {text.source(node.left)}"
            yield text.replaced([(node, turning)])


def _spelled(text: Text, function: Function, chance: random.Random) -> Iterator[str]:
    """`x = x + 1` for `x += 1`, `dict()` for `{}`."""
    for node in (part for one in function.body for part in ast.walk(one)):
        if (
            isinstance(node, ast.AugAssign)
            and isinstance(node.target, ast.Name)
            and isinstance(node.value, ast.Constant)
        ):
            if isinstance(node.value.value, int) and isinstance(node.op, ast.Add | ast.Sub):
                sign = "+" if isinstance(node.op, ast.Add) else "-"
                yield text.replaced([(node, f"{node.target.id} = {node.target.id} {sign} {node.value.value}")])
        elif isinstance(node, ast.List) and not node.elts and isinstance(node.ctx, ast.Load):
            yield text.replaced([(node, "list()")])
        elif isinstance(node, ast.Dict) and not node.keys:
            yield text.replaced([(node, "dict()")])


def _merged(text: Text, function: Function, chance: random.Random) -> Iterator[str]:
    """One condition for two nested ones."""
    for node in _statements(function):
        if isinstance(node, ast.If) and not node.orelse and len(node.body) == 1 and not _is_elif(text, node):
            inner = node.body[0]
            if isinstance(inner, ast.If) and not inner.orelse:
                test = f"({ast.unparse(node.test)}) and ({ast.unparse(inner.test)})"
                yield text.statement(node, f"if {test}:\n{_block(inner.body)}")


def _helped(text: Text, function: Function, chance: random.Random) -> Iterator[str]:
    """A private function for what is returned."""
    if function.is_method or not _is_plain(function) or isinstance(function.node, ast.AsyncFunctionDef):
        return
    local = _names(function.node.args) | {
        one.id for part in function.node.body for one in ast.walk(part)
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
    }  # fmt: skip
    name = f"_end_of_{function.node.name}"
    if function.node not in text.tree.body or name in _names(text.tree):
        return
    for node in _statements(function):
        if not isinstance(node, ast.Return) or node.value is None or isinstance(node.value, ast.Constant):
            continue
        if any(isinstance(one, ast.Yield | ast.YieldFrom | ast.Await) for one in ast.walk(function.node)):
            continue
        used = ", ".join(sorted(_names(node.value) & local))
        lines = text.statement(node, f"return {name}({used})").split("\n")
        first = min([function.node.lineno, *(one.lineno for one in function.node.decorator_list)]) - 1
        lines[first:first] = [f"def {name}({used}):", f"    return {ast.unparse(node.value)}", "", ""]
        yield "\n".join(lines)


def _statements(function: Function) -> Iterator[ast.stmt]:
    """All statements of the function's own scope, inner ones included."""
    waiting = list(function.body)
    while waiting:
        node = waiting.pop(0)
        yield node
        if not isinstance(node, _Function):
            waiting += [
                one for one in ast.walk(node) if isinstance(one, ast.stmt) and one is not node and _direct(node, one)
            ]


def _direct(holder: ast.stmt, node: ast.stmt) -> bool:
    parts = [*getattr(holder, "body", []), *getattr(holder, "orelse", []), *getattr(holder, "finalbody", [])]
    for one in getattr(holder, "handlers", []):
        parts += one.body
    return any(node is part for part in parts)


def _is_elif(text: Text, node: ast.stmt) -> bool:
    line = text.lines[node.lineno - 1][node.col_offset :]
    return line.startswith(b"elif") or bool(text.lines[node.lineno - 1][: node.col_offset].strip())


def _dedented(text: Text, node: ast.stmt) -> str:
    return textwrap.dedent(text.indent(node) + text.source(node))


def _block(body: list[ast.stmt]) -> str:
    return textwrap.indent("\n".join(ast.unparse(one) for one in body), "    ")


REWRITES: dict[str, Callable[[Text, Function, random.Random], Iterator[str]]] = {
    "renamed local": _renamed,
    "extracted variable": _extracted,
    "inverted condition": _inverted,
    "early return": _early,
    "loop for comprehension": _looped,
    "format for f-string": _formatted,
    "reordered functions": _reordered,
    "hints": _hinted,
    "docstring": _documented,
    "comment": _commented,
    "De Morgan": _morgan,
    "turned comparison": _turned,
    "other spelling": _spelled,
    "merged conditions": _merged,
    "extracted function": _helped,
}
