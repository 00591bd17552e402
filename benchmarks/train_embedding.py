"""Train the built-in embedding's table: `python benchmarks/train_embedding.py [--cache DIR] [--quick]`.

Fetches the packages of engine/embedding/data/training_packages.toml as archives, reads pairs of docstring and code out
of them, trains a static table (docs/retrieval.md has the method and its figures) and writes it with its checksum and
provenance. Needs torch beside aqe, for training only: `python -m pip install torch==2.13.0`. `--quick` trains a small
table on a handful of packages in about a minute, to see that training learns.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from archives import STANDARD_LIBRARY, Package, fetch, read_packages
from docstrings import Pair, collect, without_repeats, without_tested
from numpy.typing import NDArray
from splits import SPLITS

from aqe import simd
from aqe.engine.embedding import write_table

try:
    from contrastive import VIEWS, Bags, Plan, reciprocal_rank, start_rows, train, vectors
except ModuleNotFoundError as missing:
    if missing.name != "torch":
        raise
    print("Training needs torch: python -m pip install torch==2.13.0", file=sys.stderr)
    raise SystemExit(2) from None

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "engine" / "embedding" / "data"
TF_K, NAME_WEIGHT = 1.2, 0.5
LARGEST_BYTES = 8_000_000
FEWEST_TOKENS_OF_REST = 16
CHUNK = 2_000
PARTS = ("sentence", "code", "nameless", "rest")


@dataclass(frozen=True)
class Size:
    """How large a table is and how many pairs are kept from training to see that it learns."""

    words: int = 17_500
    buckets: int = 2_500
    held_out: int = 1_000


QUICK = ("toolz", "funcy", "more-itertools", "packaging", "urllib3", "dnspython", "tornado", STANDARD_LIBRARY)
QUICK_SIZE = Size(words=6_000, buckets=500, held_out=500)
QUICK_PLAN = Plan(dimension=128, batch=256, epochs=8.0)


def main() -> int:
    """Fetch, read, train, write; exit 1 when the trained rows find held-out texts no better than the start's."""
    options = parse_arguments()
    size, plan = (QUICK_SIZE, QUICK_PLAN) if options.quick else (Size(), Plan())
    plan = replace(plan, seed=options.seed, epochs=options.epochs or plan.epochs)
    packages = [package for package in read_packages(options.packages) if not options.quick or package.name in QUICK]
    archives = fetch(packages, options.cache / "archives")
    found = collect(archives, options.cache / "pairs", workers=options.workers)
    pairs = without_repeats(itertools.chain.from_iterable(found[package.name] for package in archives))
    if not options.quick:
        tests = fetch([package for split in SPLITS.values() for package in split], options.cache / "archives")
        tested = collect(tests, options.cache / "pairs", workers=options.workers)
        pairs = without_tested(pairs, itertools.chain.from_iterable(tested.values()))
    print(f"{len(pairs)} pairs from {len(archives)} packages", flush=True)
    pairs = [pairs[at] for at in np.random.default_rng(plan.seed).permutation(len(pairs))]
    words = vocabulary(pairs[size.held_out :], size.words, options.workers)
    bags = encode(pairs, words, size.buckets, options.workers)
    rows, held = learn(bags, len(words), size, plan)
    print(f"MRR@10 on {size.held_out} held-out pairs: {held['start']:.3f} before, {held['trained']:.3f} after")
    options.out.mkdir(parents=True, exist_ok=True)
    trained = {"pairs": len(pairs) - size.held_out, "packages": len(archives), **asdict(plan), "held_out_mrr": held}
    used = Counter(pair.package for pair in pairs)
    write(options.out / "table.aqet", words, rows, size, trained, provenance(archives, used, trained))
    if options.out == DATA:
        note_functions(options.packages, used)
    return int(held["trained"] <= held["start"])


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = Path(platformdirs.user_cache_dir("aqe")) / "benchmarks" / "embedding"
    parser.add_argument("--cache", type=Path, default=cache, help="keeps the archives and the pairs read from them")
    parser.add_argument("--packages", type=Path, default=DATA / "training_packages.toml", help="what is trained on")
    parser.add_argument("--out", type=Path, help="folder for table.aqet and table.json (package data if left out)")
    parser.add_argument("--quick", action="store_true", help="a small table of a handful of packages; needs --out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=float, help="passes over the pairs")
    parser.add_argument("--workers", type=int, default=2, help="processes that read and tokenise")
    options = parser.parse_args()
    if options.quick and options.out is None:
        parser.error("--quick needs --out DIR: a small table never replaces the package's own")
    options.out = options.out or DATA
    return options


def vocabulary(pairs: Sequence[Pair], most: int, workers: int) -> list[bytes]:
    """The stems that the most pairs have, the most frequent first."""
    held: Counter[bytes] = Counter()
    with ProcessPoolExecutor(workers) as pool:
        for counted in pool.map(_count, _chunks(pairs)):
            held.update(counted)
    ranked = sorted(held.items(), key=lambda item: (-item[1], item[0]))
    return [word for word, _ in ranked if _is_utf8(word)][:most]


def _chunks(pairs: Sequence[Pair]) -> list[Sequence[Pair]]:
    return [pairs[at : at + CHUNK] for at in range(0, len(pairs), CHUNK)]


def _count(pairs: Sequence[Pair]) -> Counter[bytes]:
    held: Counter[bytes] = Counter()
    for pair in pairs:
        held.update(set(simd.tokens(_bytes(f"{pair.sentence}\n{pair.rest}\n{pair.code}"))))
    return held


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", errors="replace")


def _is_utf8(word: bytes) -> bool:
    try:
        word.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def encode(pairs: Sequence[Pair], words: Sequence[bytes], buckets: int, workers: int) -> dict[str, Bags]:
    """Each part of all pairs as weighted rows; the rest of a docstring is empty where it says little."""
    with ProcessPoolExecutor(workers, initializer=_prepare, initargs=(list(words), buckets)) as pool:
        chunks = list(pool.map(_encode, _chunks(pairs)))
    return {part: _joined([chunk[part] for chunk in chunks]) for part in PARTS}


_VOCABULARY: list[simd.Vocabulary] = []


def _prepare(words: list[bytes], buckets: int) -> None:
    _VOCABULARY[:] = [simd.vocabulary(words, buckets=buckets)]


def _encode(pairs: Sequence[Pair]) -> dict[str, Bags]:
    return {part: _bags([getattr(pair, part) for pair in pairs], part) for part in PARTS}


def _bags(texts: Iterable[str], part: str) -> Bags:
    starts, rows, weights = [0], [], []
    for text in texts:
        found, shares = _VOCABULARY[0].bag(_bytes(text), k=TF_K)
        if part != "rest" or len(set(found)) >= FEWEST_TOKENS_OF_REST:
            rows.append(np.asarray(found, np.int32))
            weights.append(np.asarray(shares, np.float32))
            starts.append(starts[-1] + len(found))
        else:
            starts.append(starts[-1])
    empty = [np.empty(0, np.int32)]
    return Bags(np.asarray(starts), np.concatenate(rows or empty), np.concatenate(weights or empty).astype(np.float32))


def _joined(chunks: Sequence[Bags]) -> Bags:
    starts, last = [np.zeros(1, np.int64)], 0
    for chunk in chunks:
        starts.append(chunk.starts[1:] + last)
        last += int(chunk.starts[-1])
    rows, weights = ([getattr(chunk, name) for chunk in chunks] for name in ("rows", "weights"))
    return Bags(np.concatenate(starts), np.concatenate(rows), np.concatenate(weights))


def learn(bags: Mapping[str, Bags], words: int, size: Size, plan: Plan) -> tuple[NDArray[np.float32], dict[str, float]]:
    """The trained rows, and how well start and trained rows find the code of held-out pairs by their sentence."""
    count = len(bags["code"])
    first, later = np.arange(size.held_out), np.arange(size.held_out, count)
    used = {part: bags[part].take(later) for part in PARTS}
    start = start_rows([used["sentence"], used["code"], used["rest"]], words + size.buckets, plan, words=words)
    rows = train(start, used["sentence"], {view: used[view] for view in VIEWS}, plan)
    left, right = bags["sentence"].take(first), bags["code"].take(first)
    held = {
        name: round(reciprocal_rank(vectors(table, left), vectors(table, right)), 4)
        for name, table in (("start", start), ("trained", rows))
    }
    return rows, held


def write(
    path: Path,
    words: Sequence[bytes],
    rows: NDArray[np.float32],
    size: Size,
    trained: Mapping[str, Any],
    origin: Mapping[str, Any],
) -> None:
    """The rows as int8 with a float16 scale each, in the file that run time reads."""
    scales = (np.abs(rows).max(axis=1) / 127).astype(np.float16)
    scales = np.maximum(scales, np.finfo(np.float16).tiny).astype(np.float32)
    eighths = np.clip(np.rint(rows / scales[:, None]), -127, 127).astype(np.int8)
    digest = write_table(
        path,
        words=[word.decode("utf-8") for word in words],
        rows=eighths,
        scales=scales,
        buckets=size.buckets,
        name_weight=NAME_WEIGHT,
        tf_k=TF_K,
        trained=trained,
        provenance=origin,
    )
    length = path.stat().st_size
    print(f"{path}: {length} bytes, SHA-256 {digest}")
    if length > LARGEST_BYTES:
        raise SystemExit(f"The table has {length} bytes, more than {LARGEST_BYTES}.")


def note_functions(path: Path, used: Mapping[str, int]) -> None:
    """Write into the list of packages how many functions of each were used."""
    package, lines = "", []
    for line in path.read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(" = ")
        if key == "name":
            package = value.strip('"')
        lines.append(f"functions = {used.get(package, 0)}" if key == "functions" else line)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def provenance(archives: Mapping[Package, Path], used: Mapping[str, int], trained: Mapping[str, Any]) -> dict[str, Any]:
    """Where a table comes from: what it was trained on, by which script, with which versions."""
    return {
        **trained,
        "command": f"python benchmarks/train_embedding.py --seed {trained['seed']} --epochs {trained['epochs']:g}",
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": sys.modules["torch"].__version__,
        "numpy": np.__version__,
        "sources": {package.pin: used[package.name] for package in archives},
    }


def _commit() -> str:
    """The commit that last touched the scripts, with `+` where they were changed since."""
    scripts = ["benchmarks/train_embedding.py", "benchmarks/contrastive.py", "benchmarks/docstrings.py"]
    scripts += ["benchmarks/archives.py", "benchmarks/splits.py"]
    commands = (["git", "log", "-1", "--format=%H", "--"], ["git", "status", "--porcelain", "--"])
    commit, changed = (
        subprocess.run([*command, *scripts], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
        for command in commands
    )
    return commit + ("+" if changed else "")


if __name__ == "__main__":
    raise SystemExit(main())
