"""Short English texts that the table of meanings learns from: sentences of packages' documentation, and of WordNet.

Sentences come from the docstrings, readmes and manuals of the packages that the embedding is trained on too
(engine/embedding/data/training_packages.toml); definitions and examples from WordNet 3.0 (`data.noun` and its like,
as in Debian's package wordnet-base). The same files give the same texts in the same order.
"""

from __future__ import annotations

import ast
import random
import re
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from aqe.engine.memory.terms.text import query_terms

FILES, OF_PACKAGE, LARGEST = 60, 500, 300_000
"""Manuals and modules that are read of a package, sentences that are taken of it, bytes of a file."""

SHORTEST, LONGEST, CHARACTERS = 4, 32, 220
EXAMPLES, SHORTEST_EXAMPLE, OF_WORDNET = 26_000, 5, 200
_MANUAL = re.compile(r"(METADATA|PKG-INFO|\.md|\.rst|README[^/]*|FAQ[^/]*)$")
_NO_MANUAL = re.compile(r"licen[cs]e|notice|changelog|history|news", re.IGNORECASE)
_FOREIGN = re.compile(r"(^|/)_?(vendor|vendored|extern)")
_NO_PROSE = re.compile(r"\s*(>>>|\.\. |\||```|:\w+|[-=~^]{3,})")
_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[A-Z`'\"*(\[:])")
_Read = Callable[[str], bytes]


def texts_of(archives: Iterable[Path], wordnet: Path, stems: Container[str], count: int) -> list[str]:
    """`count` texts, sentences of the archives and texts of WordNet in turns."""
    ours, theirs = sentences(archives), glosses(wordnet, stems)
    return [text for pair in zip(ours, theirs, strict=False) for text in pair][:count]


def sentences(archives: Iterable[Path]) -> list[str]:
    """Sentences of the documentation of packages, in a random but fixed order."""
    chance = random.Random(5)
    found: dict[str, set[str]] = {}
    for archive in sorted(archives, key=lambda path: path.name):
        with _opened(archive) as (names, read):
            manuals = [name for name in names if _MANUAL.search(name) and not _NO_MANUAL.search(name)]
            modules = [name for name in names if name.endswith(".py") and not _FOREIGN.search(name)]
            chance.shuffle(manuals)
            chance.shuffle(modules)
            texts = [read(name).decode("utf-8", "replace") for name in manuals[:FILES]]
            texts += [text for name in modules[:FILES] for text in _docstrings(read(name).decode("utf-8", "replace"))]
        mine = {sentence for text in texts for sentence in _sentences(text)}
        if mine:
            found.setdefault(re.split(r"-\d", archive.name)[0].lower(), set()).update(mine)
    every: list[str] = []
    for some in found.values():
        listed = sorted(some)
        chance.shuffle(listed)
        every += listed[:OF_PACKAGE]
    chance.shuffle(every)
    return every


def glosses(wordnet: Path, stems: Container[str]) -> list[str]:
    """Examples and definitions of WordNet's words that have one of the stems, in a random but fixed order."""
    chance = random.Random(7)
    definitions: list[str] = []
    examples: list[str] = []
    for kind in ("noun", "verb", "adj", "adv"):
        for line in (wordnet / f"data.{kind}").read_text(encoding="latin-1").splitlines():
            if line.startswith("  "):
                continue
            head, _, gloss = line.partition(" | ")
            fields = head.split()
            words = [fields[4 + 2 * at].replace("_", " ").split("(")[0] for at in range(int(fields[3], 16))]
            known = [word for word in words if word.isalpha() and word.islower() and query_terms(word)[0] in stems]
            parts = re.split(r';\s*(?=")', gloss.strip(), maxsplit=1)
            definition = parts[0].strip("; ")
            if known and len(definition.split()) >= SHORTEST:
                definitions.append(f"{', '.join(known[:3])}: {definition}"[:OF_WORDNET])
            told = re.findall(r'"([^"]+)"', parts[1]) if len(parts) > 1 else []
            examples += [one[:OF_WORDNET] for one in told if len(one.split()) >= SHORTEST_EXAMPLE]
    chance.shuffle(definitions)
    chance.shuffle(examples)
    every = examples[:EXAMPLES] + definitions[: 60_000 - EXAMPLES]
    chance.shuffle(every)
    return every


@contextmanager
def _opened(archive: Path) -> Iterator[tuple[list[str], _Read]]:
    """The names of an archive's files that are not too large, and what reads one."""
    if archive.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(archive) as zipped:
            yield [one.filename for one in zipped.infolist() if one.file_size < LARGEST], zipped.read
        return
    with tarfile.open(archive) as packed:
        members = {one.name: one for one in packed.getmembers() if one.isfile()}

        def read(name: str) -> bytes:
            file = packed.extractfile(members[name])
            return b"" if file is None else file.read()

        yield [name for name, one in members.items() if one.size < LARGEST], read


def _docstrings(source: str) -> Iterator[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield ast.get_docstring(node) or ""


def _sentences(text: str) -> Iterator[str]:
    """The sentences of a text that are mostly words."""
    for paragraph in re.split(r"\n\s*\n", text):
        if _NO_PROSE.match(paragraph):
            continue
        for sentence in _END.split(" ".join(paragraph.split())):
            words = sentence.split()
            plain = sum(word.isalpha() or word.rstrip(".,:;?").isalpha() for word in words)
            if SHORTEST <= len(words) <= LONGEST and plain > 0.6 * len(words):
                yield sentence[:CHARACTERS]
