"""What the author says that a change does: from its message, the function's docstring and the changed tests.

Pure: texts in, an answer out. A sentence is about a function where it names it, or shares the words of its name; it
announces other behaviour where it has a word of doing (fix, raise, return, support, ...), and denies it where it speaks
of form alone (refactor, rename, tidy, no behaviour change).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from aqe.agents.review.asserted import asserted
from aqe.agents.review.sources import Source

Stance = Literal["announced", "silent", "denied"]

_DENIES = re.compile(
    r"\b(no|without(?: any)?|not?\s+(?:a\s+)?|zero|same|identical|unchanged|keeps?|preserv\w+)\s+"
    r"(?:\w+\s+){0,2}?(behaviou?r\w*|functional\w*|semantics?|logic|api|output|results?)\b(?!\s+fix)"
    r"|\b(behaviou?r|semantics|logic|output)\s+(?:is|are|stays?|remains?)\s+(?:the same|unchanged|identical|as)"
    r"|\bnfc\b|\bnon[- ]functional\b|\bpure(?:ly)?\s+(?:a\s+)?(?:refactor|cosmetic|mechanical)",
    re.IGNORECASE,
)
_FORM = re.compile(
    r"\b(refactor\w*|renam\w+|reformat\w*|format(?:ting|ted)?|tid(?:y|ied|ying)|clean(?:ed|ing|s)?[ -]?up\w*|"
    r"simplif\w+|restructur\w+|reorgani[sz]\w+|lint\w*|style|styling|cosmetic\w*|typos?|whitespace|black|isort|ruff|"
    r"type hints?|typing|annotat\w+|docstrings?|comments?|docs?|documentation|extract\w*|inlin\w+|dedup\w*|"
    r"moderni[sz]\w+|readab\w+|chore|polish\w*|shorten\w*|faster|speed\w*|optimi[sz]\w+|performance|perf|"
    r"comprehension|f-strings?|walrus|early return|guard clause)\b",
    re.IGNORECASE,
)
_DOES = re.compile(
    r"\b(fix\w*|bug\w*|correct(?:s|ed|ly|ion)?|wrong\w*|handl\w+|support\w*|allow\w*|accept\w*|reject\w*|refus\w+|"
    r"rais\w+|throw\w*|return\w*|now|instead|no longer|add\w*|chang\w+|behaviou?r|include\w*|exclud\w+|ignor\w+|"
    r"default\w*|treat\w*|make\w*|ensur\w+|prevent\w*|avoid\w*|validat\w+|check\w*|limit\w*|round\w*|strip\w*|"
    r"trim\w*|escap\w+|normali[sz]\w+|drop\w*|remov\w+|deprecat\w+|replac\w+|implement\w*|introduc\w+|require\w*|"
    r"respect\w*|honou?r\w*|consider\w*|skip\w*|extend\w*|stop\w*|convert\w*|switch\w*|breaking|feat\w*|use[sd]?|"
    r"off[- ]by[- ]one|edge case\w*|crash\w*|error\w*|fail\w*|feature|let|keep|skip|revert\w*|restor\w+|updat\w+|"
    r"improv\w+|issue|closes?|regression)\b",
    re.IGNORECASE,
)
_FIXES_FORM = re.compile(
    r"\bfix(?:es|ed|ing)?\s+(?:\w+\s+)?(?:typos?|lint\w*|style|formatting|warnings?|types?|typing|comments?|docs?|spelling)\b",
    re.IGNORECASE,
)
_SENTENCES = re.compile(r"(?<=[.;!?])\s+|\n+|;\s*")
_WORD = re.compile(r"[A-Za-z][a-z]+|[A-Z]+(?![a-z])|[a-z]+")
_HEADINGS = frozenset(
    {
        "args",
        "arguments",
        "parameters",
        "returns",
        "return",
        "yields",
        "notes",
        "note",
        "examples",
        "example",
        "see also",
    }
)
_PROMISED = re.compile(r"\s*([A-Z][\w.]*|[a-z_]\w*(?:\.\w+)+)\s*(?::|$)")
_COMMON = frozenset(
    {"get", "set", "is", "has", "do", "make", "to", "from", "of", "the", "a", "on", "in", "self", "init"}
)


@dataclass(frozen=True)
class Told:
    """What the author said about one function: the stance, and where it was said, in words ("" where silent)."""

    stance: Stance
    where: str = ""


def stance_of_message(message: str, name: str, path: str, *, alone: bool) -> Told:
    """What a message says about the behaviour of one function.

    `name` is the qualified name, `path` the file's; `alone` says that nothing else changed behaviour, so that a
    sentence which names no function is about this one.
    """
    sentences = [part.strip() for part in _SENTENCES.split(message) if part.strip()]
    about = [part for part in sentences if names(part, name, path)]
    denial = next((part for part in (*about, *sentences) if _DENIES.search(part)), None)
    if denial is not None and not any(_announces(part) and not _DENIES.search(part) for part in about):
        return Told("denied", _quoted(denial))
    announcing = next((part for part in about if _announces(part)), None)
    if announcing is not None:
        return Told("announced", _quoted(announcing))
    general = next((part for part in sentences if _announces(part)), None)
    if general is not None and alone and not about:
        return Told("announced", _quoted(general))
    form = next((part for part in (*about, *sentences) if _FORM.search(part)), None)
    if form is not None and (about or general is None):
        return Told("denied", _quoted(form))
    return Told("silent")


def _announces(sentence: str) -> bool:
    """Whether a sentence speaks of what the code does and not of its form only."""
    if _DENIES.search(sentence):
        return False
    doing = {match[0].lower() for match in _DOES.finditer(_FIXES_FORM.sub("", sentence))}
    if _FORM.search(sentence):
        doing -= {"use", "used", "uses", "make", "makes", "let", "keep", "improve", "improved", "improves", "replace"}
        doing -= {"replaced", "update", "updated", "add", "adds", "added", "remove", "removed", "extracted", "now"}
        doing -= {"return", "returns", "instead", "drop", "convert", "switch", "check", "checks"}
    return bool(doing)


def names(sentence: str, name: str, path: str) -> bool:
    """Whether a sentence is about a function: by its name, or by most words of its name."""
    parts = [part for part in name.split(".") if part != "<locals>"]
    last = parts[-1] if parts else ""
    if last and re.search(rf"(?<!\w){re.escape(last)}(?!\w)", sentence):
        return True
    if last.startswith("__") and len(parts) > 1 and re.search(rf"(?<!\w){re.escape(parts[-2])}(?!\w)", sentence):
        return True
    said = {stem(word) for word in _WORD.findall(sentence)}
    words = {stem(word) for word in _WORD.findall(last)} - _COMMON
    if words and len(words & said) * 2 > len(words):
        return True
    owner = {stem(word) for word in _WORD.findall(parts[-2])} if len(parts) > 1 else set()
    module = {stem(word) for word in _WORD.findall(path.rpartition("/")[2].removesuffix(".py"))}
    near = (owner | module) - _COMMON
    return bool(words & said) and bool(near & said)


def stem(word: str) -> str:
    """A word without the usual endings, so that `parsing` meets `parse`."""
    word = word.lower()
    for ending in ("ingly", "ings", "ing", "edly", "ers", "er", "ed", "es", "s", "ly", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def _quoted(sentence: str) -> str:
    return f"the message says: {sentence[:120]!r}"


def stance_of_docstring(base: Source | None, head: Source | None, name: str) -> Told:
    """Whether the docstring of the function, or of its class, was changed with it."""
    if base is None or head is None:
        return Told("silent")
    before, after = docstring_of(base, name), docstring_of(head, name)
    if before is not None and after is not None and before != after:
        return Told("announced", "its docstring was changed too")
    return Told("silent")


def docstring_of(source: Source, name: str) -> str | None:
    """The docstring of a definition, "" where it has none; None where there is no such definition."""
    nodes: list[ast.AST] = [source.tree] if source.tree is not None else []
    for part in (part for part in name.split(".") if part != "<locals>"):
        found = [
            child
            for node in nodes
            for child in ast.walk(node)
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and child.name == part
        ]
        nodes = [found[0]] if found else []
    node = nodes[0] if nodes else None
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return None
    return ast.get_docstring(node) or ""


def promised_exceptions(docstring: str) -> frozenset[str]:
    """The exceptions that a docstring says are raised, in any of the usual styles, without their modules.

    >>> sorted(promised_exceptions("Add.\\n\\nRaises:\\n    ValueError: if below 1.\\n    shop.Gone: if sold.\\n"))
    ['Gone', 'ValueError']
    """
    found = {match[1] for match in re.finditer(r":(?:raises?|exception)\s+([\w.]+)\s*:", docstring)}
    lines = docstring.splitlines()
    for number, line in enumerate(lines):
        if line.strip().rstrip(":").lower() in ("raises", "raise", "exceptions"):
            for below in lines[number + 1 :]:
                if below.strip().rstrip(":").lower() in _HEADINGS:
                    break
                match = _PROMISED.match(below)
                found |= {match[1]} if match else set()
        for said in re.finditer(r"\b[Rr]aises\s+(?:an?\s+)?`{0,2}([\w.]+)`{0,2}", line):
            found.add(said[1])
    return frozenset(one.rpartition(".")[2] for one in found)


def stance_of_tests(tests: Iterable[Source], name: str, after: str = "") -> Told:
    """Whether a test that was changed asserts on what the function does now.

    A call alone announces nothing. `after` is what the new version does in words ("returns 1", "raises KeyError: ..."):
    where it raises, the test has to expect an exception, else to look at a result or at what the call changed.
    """
    wanted = "" if not after else "raises" if after.startswith("raise") else "value"
    for source in tests:
        touched = [line for line in sorted(source.touched) if line <= len(source.lines)]
        for definition in source.definitions:
            if definition.kind != "function" or not definition.qualname.rpartition(".")[2].startswith("test"):
                continue
            lines = [line for line in touched if definition.first_line <= line <= definition.last_line]
            if lines and source.tree is not None:
                found = asserted(source.tree, definition, name)
                if wanted in found or (found and not wanted):
                    where = f"{definition.qualname} in {source.path}, line {lines[0]},"
                    return Told("announced", f"{where} was changed with it and asserts on it")
    return Told("silent")
