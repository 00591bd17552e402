"""Nothing is left behind by a call: of 600 each, memory or references left by one of them would show."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from aqe import simd

WORK = """
import gc, resource, sys
import numpy as np
from aqe import simd

a, b = np.ones(700, np.float32), np.arange(700, dtype=np.float32)
table, codes, small = np.ones((20, 700), np.float32), np.ones((3, 9), np.uint8), np.ones((5, 9), np.int8)
plain, mask = memoryview(bytes(2800)).cast("f"), np.ones(20, bool)
words = simd.vocabulary([b"a", b"word"], buckets=3)
one = words.embedding(np.ones((5, 700), np.int8), np.ones(5, np.float32), k=1.2)
odds = simd.text_odds(0.1, dict.fromkeys(simd.TextOdds.shape(""), (1.0, 0.0, 1.0, 0.0, 9.0)), {"word": (1.0, 2.0)})
ids, near = np.arange(200), np.random.default_rng(1).standard_normal((200, 128)).astype(np.float32)
store, listed, postings = simd.Vectors(128), simd.Vectors(128, "l2"), simd.Postings()
store.add(ids, near)
listed.add(ids, near)
listed.build(4)
allowed, groups = store.allowed(ids[::3]), np.array([True, False])
documents = [b"a word", b"words of a text", b""]
some = near[0, :3]
both = simd.Hybrid(store, postings)
sparse = simd.Vectors(128)
sparse.add(ids, near)
sparse.demote(ids[::2], "bits")
cold = simd.Hybrid(sparse, postings)
lexicon = simd.Lexicon(lambda word: [word], [b"the"])
sides = (ids[:3], some.astype("d")), some, (ids[1:4], some), some.astype("d")

lengths = np.ones(3, np.int32)

def unranked(text):
    return simd.rank_lists(["1,2", text], lengths, documents=9, tokens=36)

def sought(floor):
    return cold.search(near[0], [b"a"], 3, 0.5, floor=floor, rescore=lambda ids: near[ids])

def change(vectors):
    vectors.add(ids[:3], near[:3])
    vectors.delete(ids[:1])
    vectors.add(ids[:1], near[:1])

def write():
    postings.add(ids[:3], documents, groups=[0, 1, 0])
    postings.extend(b"last", ids[1:3], [1, 300])
    postings.delete(ids[2:3])

right = [
    lambda: simd.dot(a, b), lambda: simd.cosine(a, b), lambda: simd.l2(a, plain), lambda: simd.dot(plain, plain),
    lambda: simd.dot(small[0], small[1]), lambda: simd.hamming(codes[0], codes[1]), lambda: simd.hamming(b"1", b"2"),
    lambda: simd.dot(a, table), lambda: simd.l2(table, a), lambda: simd.cosine(table, table),
    lambda: simd.l2(small, small),
    lambda: simd.hamming(codes, codes), lambda: simd.matvec(table, a), lambda: simd.matvec(small, small[0]),
    lambda: simd.softmax(a), lambda: simd.softmax(table), lambda: simd.normalize(a), lambda: simd.normalize(a, out=a),
    lambda: simd.topk(table, a, 3), lambda: simd.topk(table, a, 3, metric="l2", mask=mask),
    lambda: simd.topk(small, small[0], 3), lambda: simd.topk(codes, codes[0], 3, metric="hamming"),
    lambda: simd.dot(a.view(np.uint16), a.view(np.uint16), dtype="bfloat16"), lambda: simd.tokens(b"some words"),
    lambda: words.bag(b"a word or more", k=1.2), lambda: one(b"a word"), lambda: odds.of("a word (1.5) of more"),
    lambda: words.embedding(np.ones((5, 9), np.int8), np.ones(5, np.float32), k=1.2)(b"a"),
    lambda: store.search(near[0], 5), lambda: store.search(near[0], 5, allow=allowed), lambda: change(store),
    lambda: listed.search(near[0], 5), lambda: listed.search(near[0], 300, allow=ids[:9]), lambda: change(listed),
    write, lambda: postings.search([b"a", b"last"], 2), lambda: postings.scores([b"a"], ids[:2]),
    lambda: postings.search([b"a"], 2, groups=groups, allow=ids[:2]), lambda: postings.counts([b"a"], groups=groups),
    lambda: simd.fuse({1: 2.0, 2: 1.0}, {1: 0.5, 3: 0.9}, {1: 0.5, 2: 0.5, 3: 0.1}, 2, prior={1: 0.1}),
    lambda: store.scores(near[0], ids[:150]), lambda: simd.fuse_sides(*sides, 0.5, 2),
    lambda: both.search(near[0], [b"a"], 3, 0.5), lambda: sought(0.0), lambda: sought(2.0),
    lambda: simd.rank_lists(["0,1,1", "2"], lengths, documents=9, tokens=36), lambda: unranked("7"),
    lambda: lexicon.choose(postings, "a word of the text", groups=groups), lambda: lexicon.choose(postings, "\xe9"),
    lambda: simd.Lexicon(lambda word: [word, b"x"]).choose(postings, "words as they come"),
    lambda: simd.best_listed(ids[:3], np.arange(3.0), 2, groups=lengths, among=groups),
]
wrong = [
    lambda: unranked("2,1"), lambda: unranked(b"1"), lambda: simd.best_listed(ids[:3], np.arange(2.0), 2),
    lambda: store.scores(near[0, :3], [1]), lambda: simd.fuse_sides(sides[0], some[:2], *sides[2:], 0.5, 2),
    lambda: simd.fuse_sides((ids[[0, 0, 1]], sides[0][1]), *sides[1:], 0.5, 2),
    lambda: simd.dot(a), lambda: simd.dot(a, b[:9]), lambda: simd.dot(plain, b[:9]), lambda: simd.l2(a, [1.0]),
    lambda: simd.cosine(a, b.astype("d")), lambda: simd.dot(a[::2], a[::2]), lambda: simd.hamming(a, a),
    lambda: simd.softmax(a, out=b[:3]), lambda: simd.matvec(table, b[:3]), lambda: simd.topk(table, a, 0),
    lambda: simd.topk(table, a, 1, mask=mask[:3]), lambda: simd.normalize(a, a), lambda: simd.tokens("text"),
    lambda: store.add([1], near[:2]), lambda: store.search(near[0], 0), lambda: listed.search(near[0, :3], 1),
    lambda: postings.add([1], ["text"]), lambda: postings._index.add(ids[:1], np.zeros(1, "i"), ("text",)),
    lambda: cold.search(near[0], [b"a"], 3, 0.5, rescore=lambda ids: near[:1, :5]),
    lambda: postings._index.hold("soon"), lambda: postings.extend(b"a", [77], [1]),
    lambda: postings.search(["a"], 1), lambda: simd.fuse({1: ""}, {}, 0.5, 1),
]

def everything(times):
    for _ in range(times):
        for call in right:
            call()
        for call in wrong:
            try:
                call()
            except (TypeError, ValueError):
                continue
            raise AssertionError("no refusal")

def held():
    gc.collect()
    everyone = (a, b, table, codes, small, plain, mask, ids, near, groups, *documents, None, 1.0)
    return sys.getallocatedblocks(), sum(map(sys.getrefcount, everyone))

everything(600)
blocks, references = held()
most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
everything(600)
more_blocks, more_references = held()
print(more_blocks - blocks, more_references - references, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most)
"""


@pytest.mark.services
@pytest.mark.parametrize("name", simd.paths()[:1])
def test_a_call_leaves_nothing_behind(name: str) -> None:
    """After hundreds of right and wrong calls of everything no more blocks, references or pages are held."""
    done = subprocess.run(
        [sys.executable, "-c", WORK], env={**os.environ, "AQE_SIMD": name}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    blocks, references, pages_kb = map(int, done.stdout.split())
    assert blocks < 400
    assert references < 300
    assert pages_kb < 600
