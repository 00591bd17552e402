"""Docstrings and the code they describe: pairs of text that mean the same, read from Python files by their syntax."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import os
import re
import textwrap
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from archives import Package, python_files

SAME_SENTENCE = 2
SHORTEST_WORDS, LONGEST_WORDS = 3, 60
SHORTEST_BODY = 30
SHARED_LINES, SHARED_PART = 3, 0.6
_LINE_CHARACTERS = 12
_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[A-Z`'\"*(\[:])")
_WORD = re.compile(r"[A-Za-z]{2,}")


@dataclass(frozen=True)
class Pair:
    """A documented function: the docstring's first sentence and its rest, the code without the docstring.

    `code` names the function; in `nameless` the name reads `_` wherever it stood as a word.
    """

    package: str
    name: str
    sentence: str
    rest: str
    code: str
    nameless: str


def collect(archives: Mapping[Package, Path], cache: Path, *, workers: int = 2) -> dict[str, list[Pair]]:
    """All pairs of the packages, by package, repeated code included; kept in `cache` for the next time."""
    cache.mkdir(parents=True, exist_ok=True)
    sources = (Path(__file__), Path(__file__).with_name("archives.py"))
    state = hashlib.sha256("".join(ast.dump(ast.parse(path.read_bytes())) for path in sources).encode("utf-8"))
    jobs = []
    for package, archive in archives.items():
        kept = cache / f"{package.name}-{package.version}-{state.hexdigest()[:12]}.jsonl".replace(" ", "-")
        jobs.append((package.name, archive, kept))
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(_keep, jobs))
    found = {}
    for name, _, kept in jobs:
        with kept.open(encoding="utf-8") as lines:
            found[name] = [Pair(**json.loads(line)) for line in lines]
    return found


def _keep(job: tuple[str, Path, Path]) -> None:
    package, archive, kept = job
    if kept.exists():
        return
    part = kept.with_suffix(f".{os.getpid()}")
    with part.open("w", encoding="utf-8") as out:
        for _, text in python_files(archive):
            out.writelines(json.dumps(asdict(pair)) + "\n" for pair in pairs(text, package))
    part.replace(kept)


def pairs(text: str, package: str) -> Iterator[Pair]:
    """The pairs of one Python file; none where it does not parse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    lines = text.split("\n")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            pair = _pair(node, lines, package)
            if pair is not None:
                yield pair


def _pair(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str], package: str) -> Pair | None:
    docstring = ast.get_docstring(node, clean=False)
    if docstring is None or _is_stub(node.body[1:]):
        return None
    sentence, rest = split(docstring)
    if not SHORTEST_WORDS <= len(_WORD.findall(sentence)) <= LONGEST_WORDS:
        return None
    first, after = node.body[0], node.body[1]
    if first.lineno == node.lineno or after.lineno == first.end_lineno:
        return None
    kept = lines[node.lineno - 1 : first.lineno - 1] + lines[first.end_lineno : node.end_lineno]
    code = textwrap.dedent("\n".join(kept)).strip("\n")
    nameless = re.sub(rf"(?<![\w]){re.escape(node.name)}(?![\w])", "_", code)
    return Pair(package, node.name, sentence, rest, code, nameless)


def _is_stub(body: list[ast.stmt]) -> bool:
    """Whether nothing is left that a docstring could describe."""
    telling = [node for node in body if not _is_empty(node)]
    return not telling or sum(len(ast.unparse(node)) for node in telling[:20]) < SHORTEST_BODY


def _is_empty(node: ast.stmt) -> bool:
    if isinstance(node, ast.Pass):
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    return isinstance(node, ast.Raise) and "NotImplemented" in ast.unparse(node)


def split(docstring: str) -> tuple[str, str]:
    """The first sentence of a docstring on one line, and what comes after it.

    >>> split("Read a file. It must exist.\\n\\nMore on files.")
    ('Read a file.', 'It must exist.\\n\\nMore on files.')
    """
    first, _, others = inspect.cleandoc(docstring).strip().partition("\n\n")
    first = " ".join(first.split())
    parts = _END.split(first, maxsplit=1)
    rest = "\n\n".join(part for part in (*parts[1:], others.strip()) if part)
    return parts[0], rest


def without_repeats(found: Iterable[Pair]) -> list[Pair]:
    """The pairs whose code comes for the first time and whose sentence at most for the second."""
    codes: set[bytes] = set()
    sentences: Counter[str] = Counter()
    kept = []
    for pair in found:
        key, sentence = fingerprint(pair.nameless), pair.sentence.lower()
        if key in codes or sentences[sentence] >= SAME_SENTENCE:
            continue
        codes.add(key)
        sentences[sentence] += 1
        kept.append(pair)
    return kept


def without_tested(found: Iterable[Pair], tested: Iterable[Pair]) -> list[Pair]:
    """The pairs that no test split holds: not the code, not the sentence, not most of the code's lines."""
    codes, sentences, owners = set(), set(), defaultdict(set)
    for number, pair in enumerate(tested):
        codes.add(fingerprint(pair.nameless))
        sentences.add(pair.sentence.lower())
        for line in _lines(pair):
            owners[line].add(number)
    kept = []
    for pair in found:
        if fingerprint(pair.nameless) in codes or pair.sentence.lower() in sentences:
            continue
        lines = _lines(pair)
        shared = Counter(number for line in lines for number in owners.get(line, ()))
        most = max(shared.values(), default=0)
        if most < SHARED_LINES or most < SHARED_PART * len(lines):
            kept.append(pair)
    return kept


def _lines(pair: Pair) -> set[str]:
    stripped = ("".join(line.split()) for line in pair.nameless.split("\n")[1:])
    return {line for line in stripped if len(line) >= _LINE_CHARACTERS}


def fingerprint(code: str) -> bytes:
    """A hash of a text in which white space does not count."""
    return hashlib.sha256("".join(code.split()).encode("utf-8", errors="surrogatepass")).digest()[:16]
