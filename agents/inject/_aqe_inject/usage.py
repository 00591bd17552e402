"""How a body uses its parameters and which constants it compares with: guesses for code without hints."""

from __future__ import annotations

import ast
import re
from typing import Any, Dict, Iterable, List, Optional, Set, Tuple

from .hints import ANY, Shape, shape_of

_STRING_ONLY = set(dir(str)) - set(dir(list)) - set(dir(dict)) - set(dir(bytes)) - {"format"} | {
    "strip", "split", "lower", "upper", "startswith", "endswith", "replace", "encode", "join", "rstrip", "lstrip",
    "title",
    "partition", "rpartition", "splitlines", "isdigit", "zfill", "find", "rfind", "capitalize", "format", "isalpha",
}  # fmt: skip
_LIST_ONLY = {"append", "extend", "sort", "reverse", "insert"}
_DICT_ONLY = {"items", "keys", "values", "setdefault", "get"}
_SET_ONLY = {"union", "intersection", "difference", "issubset", "issuperset", "add", "discard"}
_FILE_ONLY = {"read", "readline", "readlines", "write", "seek"}
_NUMBER_CALLS = {"abs", "round", "divmod", "pow", "range", "chr", "hex", "bin"}
_NUMBER_NAMES = re.compile(
    r"^(n|k|i|j|m|num|number|count|size|length|len|width|height|index|idx|start|stop|end|step"
    r"|limit|offset|depth|level|max_\w+|min_\w+|\w+_count|n_\w+|num_\w+|\w+_size|\w+_length|year"
    r"|month|day|days|hours|minutes|seconds|age|quantity|qty|port|base|digits|places|times|maxsize"
    r"|\w+_index|amount_cents|cents)$"
)
_FLOAT_NAMES = re.compile(
    r"^(x|y|z|a|b|c|ratio|rate|price|amount|total|weight|score|factor|percent|percentage|value"
    r"|\w*tolerance|epsilon|alpha|beta|timeout|delay|interval|temperature|lat|lon|latitude"
    r"|longitude)$"
)
_BOOL_NAMES = re.compile(
    r"^(is_\w+|has_\w+|use_\w+|allow_\w+|with_\w+|include_\w+|ignore_\w+|strict|reverse|inclusive"
    r"|verbose|flag|force|recursive|enabled?|raw|case_sensitive|\w+_if_possible)$"
)
_TEXT_NAMES = re.compile(
    r"^(s|st|string|text|name|word|words_text|line|key|prefix|suffix|sep|separator|delimiter|char"
    r"|ch|title|label|path|filename|url|uri|pattern|regex|fmt|format|msg|message|encoding|lang"
    r"|locale|code|token|template|\w+_(?:str|string|text|name)|\w*string|phrase|term|sentence|body"
    r"|content|source|pointer|email|html|xml|version|slug)$"
)
_LIST_NAMES = re.compile(
    r"^(items|values|seq|sequence|lst|list|iterable|elements|numbers|nums|words|lines|rows|parts"
    r"|tokens|names|keys|args|data_list|arr|array|points|\w+s_list|\w+_list|iterables?|stopwords"
    r"|columns|fields)$"
)
_DICT_NAMES = re.compile(
    r"^(d|dct|dict|mapping|map|config|options|kwargs|params|attrs|headers|context|env|record|doc"
    r"|obj|dictionary|\w+_map|\w+_dict|data|payload|settings)$"
)
_CALL_NAMES = re.compile(
    r"^(func|fn|f|callback|predicate|key_func|keyfunc|function|handler|getter|factory|cmp"
    r"|comparator|mapper|transform|hook)$"
)


def guess_by_name(name: str) -> Shape:
    """The shape that a parameter's name suggests, or ANY."""
    for pattern, kind in (
        (_BOOL_NAMES, "bool"), (_NUMBER_NAMES, "int"), (_TEXT_NAMES, "str"), (_CALL_NAMES, "callable"), (_LIST_NAMES,
            "list"),
        (_DICT_NAMES, "dict"), (_FLOAT_NAMES, "float"),
    ):  # fmt: skip
        if pattern.match(name.lower()):
            return Shape(kind)
    if name.lower() in ("dt", "date", "day", "when", "moment"):
        return Shape("datetime")
    if "delta" in name.lower() or name.lower().endswith("duration"):
        return Shape("timedelta")
    return ANY


class Usage(ast.NodeVisitor):
    """Votes for the shape of each parameter of one function, from what the body does with it."""

    def __init__(self, names: Iterable[str], scope: Dict[str, Any]) -> None:
        self.votes: Dict[str, Dict[str, int]] = {name: {} for name in names}
        self.attributes: Dict[str, Set[str]] = {name: set() for name in names}
        self.classes: Dict[str, List[type]] = {name: [] for name in names}
        self.passed: Dict[str, List[Tuple[str, int]]] = {name: [] for name in names}
        self.arity: Dict[str, int] = {}
        self.scope = scope

    def vote(self, node: ast.AST, kind: str, weight: int = 2) -> None:
        """Count one sign that the named parameter is of a kind."""
        if isinstance(node, ast.Name) and node.id in self.votes:
            self.votes[node.id][kind] = self.votes[node.id].get(kind, 0) + weight

    def visit_Call(self, node: ast.Call) -> None:
        callee = node.func
        if isinstance(callee, ast.Attribute):
            self._method(callee)
            self._pattern_method(callee, node.args)
        elif isinstance(callee, ast.Name):
            self.vote(callee, "callable", 4)
            if callee.id in self.votes and not any(isinstance(one, ast.Starred) for one in node.args):
                self.arity[callee.id] = len(node.args)
            self._plain_call(callee.id, node)
        self.generic_visit(node)

    def _method(self, callee: ast.Attribute) -> None:
        for names, kind in (
            (_LIST_ONLY, "list"),
            (_DICT_ONLY, "dict"),
            (_SET_ONLY, "set"),
            (_STRING_ONLY, "str"),
            (_FILE_ONLY, "textio"),
        ):
            if callee.attr in names:
                self.vote(callee.value, kind, 3)
        if callee.attr in ("total_seconds",):
            self.vote(callee.value, "timedelta", 4)
        if callee.attr in ("strftime", "isoformat", "date", "utcoffset", "timetuple"):
            self.vote(callee.value, "datetime", 3)

    def _pattern_method(self, callee: ast.Attribute, args: List[ast.expr]) -> None:
        if callee.attr in ("match", "search", "fullmatch", "findall", "finditer", "split") and args:
            self.vote(
                args[-1 if isinstance(callee.value, ast.Name) and callee.value.id == "re" and len(args) < 3 else 0],
                "str",
            )
        elif callee.attr == "sub" and len(args) >= 2:
            self.vote(args[-1], "str")
        elif callee.attr == "join" and args:
            self.vote(args[0], "list")

    def _plain_call(self, name: str, node: ast.Call) -> None:
        for place, argument in enumerate(node.args):
            if name in ("map", "filter", "reduce") and place == 0:
                self.vote(argument, "callable", 3)
                if isinstance(argument, ast.Name):
                    self.arity[argument.id] = 2 if name == "reduce" else max(1, len(node.args) - 1)
            elif name == "isinstance" and place == 0 and len(node.args) == 2:
                self._checked(argument, node.args[1])
            elif name == "len":
                self.vote(argument, "list", 1)
                self.vote(argument, "str", 1)
            elif name in ("int", "float"):
                self.vote(argument, "str" if name == "int" else "float", 1)
                self.vote(argument, "int", 1)
            elif name in _NUMBER_CALLS:
                self.vote(argument, "int")
            elif name in (
                "sorted",
                "sum",
                "min",
                "max",
                "list",
                "set",
                "tuple",
                "enumerate",
                "iter",
                "any",
                "all",
                "reversed",
                "zip",
            ):
                self.vote(argument, "list")
            elif name in ("dict",):
                self.vote(argument, "dict")
            elif isinstance(argument, ast.Name) and argument.id in self.passed:
                self.passed[argument.id].append((name, place))

    def _checked(self, subject: ast.expr, kinds: ast.expr) -> None:
        if not isinstance(subject, ast.Name) or subject.id not in self.votes:
            return
        for part in kinds.elts if isinstance(kinds, ast.Tuple) else [kinds]:
            try:
                found = eval(compile(ast.Expression(part), "<hint>", "eval"), dict(self.scope))
            except Exception:
                continue
            for one in found if isinstance(found, tuple) else (found,):
                if isinstance(one, type):
                    self.classes[subject.id].append(one)

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg == "key" and isinstance(node.value, ast.Name) and node.value.id in self.votes:
            self.vote(node.value, "callable", 3)
            self.arity[node.value.id] = 1
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        self.vote(node.iter, "list")
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self.vote(node.iter, "list")
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.value, ast.Name) and node.value.id in self.attributes:
            self.attributes[node.value.id].add(node.attr)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if isinstance(node.slice, ast.Slice):
            self.vote(node.value, "str", 1)
            self.vote(node.value, "list", 1)
        elif isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            self.vote(node.value, "dict", 3)
        else:
            self.vote(node.value, "list", 1)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        for side, other in ((node.left, node.right), (node.right, node.left)):
            if isinstance(other, ast.Constant) and isinstance(other.value, str):
                self.vote(side, "str", 2)
            elif isinstance(other, ast.Constant) and isinstance(other.value, (int, float)):
                self.vote(side, "float" if isinstance(other.value, float) else "int", 2)
            elif isinstance(node.op, (ast.Sub, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.Mult)):
                self.vote(side, "int", 1)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        sides = [node.left, *node.comparators]
        for operator, left, right in zip(node.ops, sides, sides[1:]):
            for side, other in ((left, right), (right, left)):
                if isinstance(other, ast.Constant) and other.value is not None:
                    self._compared(side, other.value, operator)
            if isinstance(operator, (ast.In, ast.NotIn)) and isinstance(left, ast.Constant):
                self.vote(right, "str" if isinstance(left.value, str) and len(left.value) < 2 else "dict", 1)
        self.generic_visit(node)

    def _compared(self, side: ast.expr, value: Any, operator: ast.cmpop) -> None:
        if isinstance(value, bool):
            self.vote(side, "bool", 2)
        elif isinstance(value, str) and not isinstance(operator, (ast.In, ast.NotIn)):
            self.vote(side, "str", 3)
        elif isinstance(value, (int, float)):
            self.vote(side, "float" if isinstance(value, float) else "int", 2)

    def shape(self, name: str) -> Tuple[Shape, ...]:
        """The shapes that the body supports, best first."""
        ranked = sorted(self.votes[name].items(), key=lambda pair: (-pair[1], pair[0]))
        shapes = [shape_of(kind) for kind in self.classes[name]]
        for kind, weight in ranked:
            if weight * 2 >= ranked[0][1]:
                shapes.append(Shape(kind, value=self.arity.get(name)) if kind == "callable" else Shape(kind))
        if not ranked:
            shapes.extend(Shape("class", value=kind) for kind in classes_with(self.attributes[name], self.scope))
        return tuple(shape for shape in shapes if shape != ANY)


def classes_with(attributes: Set[str], scope: Dict[str, Any]) -> List[type]:
    """Classes in sight that have all the attributes that a body asks of a parameter."""
    if not attributes:
        return []
    found = []
    for name in sorted(scope):
        kind = scope[name]
        if isinstance(kind, type) and not issubclass(kind, BaseException):
            held = set(dir(kind)) | set(getattr(kind, "__annotations__", {})) | _set_in_init(kind)
            if attributes <= held:
                found.append(kind)
    return found[:3]


def _set_in_init(kind: type) -> Set[str]:
    code = getattr(getattr(kind, "__init__", None), "__code__", None)
    return set(code.co_names) if code is not None else set()


# ---------------------------------------------------------------- constants


def constants_in(tree: ast.AST, skip_docstrings: bool = True) -> List[Any]:
    """Text, numbers and bytes written in a piece of code, in order, each once."""
    found: List[Any] = []
    skipped = _docstring_nodes(tree) if skip_docstrings else set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in skipped:
            value = node.value
            if isinstance(value, (str, bytes, int, float)) and not isinstance(value, bool) and _is_handy(value):
                if not any(type(one) is type(value) and one == value for one in found):
                    found.append(value)
    return found


def constants_by_line(source: str) -> Dict[int, List[str]]:
    """The text constants that start on each line outside of functions."""
    found: Dict[int, List[str]] = {}
    edge: List[ast.AST] = list(ast.parse(source).body)
    while edge:
        node = edge.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.setdefault(node.lineno, []).append(node.value)
        edge.extend(ast.iter_child_nodes(node))
    return found


def _is_handy(value: Any) -> bool:
    return len(value) <= 60 if isinstance(value, (str, bytes)) else abs(value) < 10**12


def _docstring_nodes(tree: ast.AST) -> Set[int]:
    nodes: Set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            nodes.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            nodes.update(id(part) for part in node.values)
    return nodes


def called_names(tree: ast.AST) -> Set[str]:
    """Bare names and attributes that a piece of code calls or reads: its possible helpers and tables."""
    found: Set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
    return found


def raised_names(tree: ast.AST) -> Set[str]:
    """The exceptions that `raise` statements name."""
    found: Set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and node.exc is not None:
            raised: Optional[ast.AST] = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            if isinstance(raised, ast.Name):
                found.add(raised.id)
            elif isinstance(raised, ast.Attribute):
                found.add(raised.attr)
    return found


def environment_names(tree: ast.AST) -> List[str]:
    """The environment variables that a piece of code names where it reads them, in order."""
    found: Dict[str, None] = {}
    for node in ast.walk(tree):
        key: Optional[ast.AST] = None
        if isinstance(node, ast.Call) and node.args:
            last = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if last == "getenv" or (last == "get" and _is_environment(getattr(node.func, "value", None))):
                key = node.args[0]
        elif isinstance(node, ast.Subscript) and _is_environment(node.value):
            key = node.slice
        elif isinstance(node, ast.Compare) and _is_environment(node.comparators[0]):
            key = node.left
        if isinstance(key, ast.Constant) and isinstance(key.value, str) and key.value:
            found[key.value] = None
    return list(found)


def _is_environment(node: Optional[ast.AST]) -> bool:
    return getattr(node, "attr", getattr(node, "id", "")) == "environ"
