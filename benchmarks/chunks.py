"""A million chunks of real Python source as vectors: `python benchmarks/chunks.py [--corpus DIR] [--count N]`.

Fetches the packages that the built-in embedding was trained on and those that retrieval is measured on, as archives
(nothing is installed, nothing is committed), cuts each file into six lines that are not blank, keeps what is new but
for white space, and embeds it with the built-in table. The rows are in random order, so that the first N of them are a
fair sample of any size. Beside them: held-out chunks and first sentences of docstrings, both as vectors, to ask with.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from archives import Package, fetch, python_files, read_packages
from docstrings import fingerprint, pairs
from numpy.typing import NDArray
from splits import SPLITS

from aqe.engine.embedding.static import StaticEmbedder, open_static

ROOT = Path(__file__).resolve().parents[1]
CACHE = Path(platformdirs.user_cache_dir("aqe")) / "benchmarks"
LINES, FEWEST_LETTERS = 6, 60
BATCH = 4096
HELD_OUT_EVERY, PARSED_EVERY = 500, 10
MOST_QUERIES = 1_000


@dataclass(frozen=True)
class Corpus:
    """Vectors of chunks, float32 (N, 384) of length 1, mapped; the package of each; and the vectors to ask with."""

    vectors: NDArray[np.float32]
    packages: NDArray[np.uint16]
    held_out: NDArray[np.float32]
    sentences: NDArray[np.float32]

    def queries(self, each: int) -> dict[str, NDArray[np.float32]]:
        """`each` held-out chunks (q1) and as many first sentences of docstrings (q2)."""
        return {"q1": self.held_out[:each], "q2": self.sentences[:each]}


def open_corpus(folder: Path, count: int) -> Corpus:
    """The corpus of a folder, made first where it is missing or was made with another table or for fewer rows.

    It has what the packages hold, so it may have fewer rows than `count`.
    """
    told = folder / "corpus.json"
    facts = json.loads(told.read_text(encoding="utf-8")) if told.exists() else {}
    if facts.get("embedder") != open_static().id or facts["asked"] < count:
        facts = _make(folder, count)
        told.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    shape = (facts["chunks"], facts["dimension"])
    return Corpus(
        np.memmap(folder / "vectors.f32", np.float32, "r", shape=shape),
        np.load(folder / "packages.npy"),
        np.load(folder / "held_out.npy"),
        np.load(folder / "sentences.npy"),
    )


def chunks(text: str) -> Iterator[str]:
    """Six lines at a time, blank ones left out; what has hardly a letter is left out too."""
    lines = [line for line in text.split("\n") if line.strip()]
    for at in range(0, len(lines) - LINES + 1, LINES):
        chunk = "\n".join(lines[at : at + LINES])
        if sum(map(str.isalpha, chunk)) >= FEWEST_LETTERS:
            yield chunk


class _Sink:
    """Takes texts, and writes their vectors to a file in the order in which they came."""

    def __init__(self, path: Path, embedder: StaticEmbedder) -> None:
        self._file = path.open("wb")
        self._embedder = embedder
        self._texts: list[str] = []
        self.packages: list[int] = []

    def add(self, text: str, package: int) -> None:
        self._texts.append(text)
        self.packages.append(package)
        if len(self._texts) == BATCH:
            self._flush()

    def _flush(self) -> None:
        self._file.write(self._embedder.embed(self._texts).tobytes())
        self._texts.clear()

    def close(self) -> None:
        if self._texts:
            self._flush()
        self._file.close()


def _make(folder: Path, count: int) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    listed = read_packages(ROOT / "engine" / "embedding" / "data" / "training_packages.toml")
    listed += [package for split in SPLITS.values() for package in split]
    archives = fetch(listed, CACHE / "embedding" / "archives")
    order = sorted(archives, key=lambda package: package.pin)
    random.Random(5).shuffle(order)  # a smaller corpus has whole packages of all kinds
    embedder = open_static()
    part = folder / "vectors.part"
    sink = _Sink(part, embedder)
    held_out, sentences = _read(order, archives, sink, count)
    sink.close()
    rows, dimension = len(sink.packages), embedder.dimension
    _shuffled(part, folder / "vectors.f32", np.array(sink.packages, np.uint16), folder / "packages.npy", dimension)
    part.unlink()
    for name, texts in (("held_out", held_out), ("sentences", sentences)):
        random.Random(7).shuffle(texts)
        np.save(folder / f"{name}.npy", embedder.embed(texts[:MOST_QUERIES]))
    seconds = round(time.monotonic() - start, 1)
    facts = {"embedder": embedder.id, "dimension": dimension, "asked": count, "chunks": rows, "seconds": seconds}
    return facts | {"packages": [package.pin for package in order]}


def _read(order: list[Package], archives: dict[Package, Path], sink: _Sink, count: int) -> tuple[list[str], list[str]]:
    """Give the chunks of all packages to `sink`; the texts to ask with are returned and not among them."""
    seen: set[int] = set()
    asked: set[str] = set()
    held_out: list[str] = []
    sentences: list[str] = []
    files = 0
    for number, package in enumerate(order):
        for _, text in python_files(archives[package]):
            files += 1
            if files % PARSED_EVERY == 0:
                new = {pair.sentence for pair in pairs(text, package.name)} - asked
                asked |= new
                sentences += sorted(new)
            for chunk in chunks(text):
                key = int.from_bytes(fingerprint(chunk)[:8], "little")
                if key in seen:
                    continue
                seen.add(key)
                if key % HELD_OUT_EVERY == 0:
                    held_out.append(chunk)
                elif len(sink.packages) < count:
                    sink.add(chunk, number)
        print(f"{package.pin}: {len(sink.packages)} chunks", file=sys.stderr, flush=True)
        if len(sink.packages) >= count and min(len(held_out), len(sentences)) >= MOST_QUERIES:
            break
    return held_out, sentences


def _shuffled(part: Path, whole: Path, packages: NDArray[np.uint16], labels: Path, dimension: int) -> None:
    """Write the rows of `part` to `whole` in random order, and their packages likewise."""
    rows = len(packages)
    order = np.random.default_rng(11).permutation(rows)
    before = np.memmap(part, np.float32, "r", shape=(rows, dimension))
    with whole.open("wb") as file:
        for at in range(0, rows, BATCH):
            file.write(before[order[at : at + BATCH]].tobytes())
    np.save(labels, packages[order])


def main() -> int:
    """Make the corpus; exit 1 when the packages hold fewer chunks than asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=CACHE / "memory", help="folder that keeps the vectors")
    parser.add_argument("--count", type=int, default=1_000_000, help="the most chunks")
    options = parser.parse_args()
    corpus = open_corpus(options.corpus, options.count)
    print(f"{len(corpus.vectors)} chunks, {len(corpus.held_out)} held out, {len(corpus.sentences)} sentences")
    return int(len(corpus.vectors) < options.count)


if __name__ == "__main__":
    sys.exit(main())
