"""One answer out of several samples: by what they gave when executed, else by how alike they read.

Self-consistency (Wang and others, 2023) for what can be compared exactly; for free text the samples are clustered by
their vectors and the centre of the largest cluster wins.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from aqe.engine.answer import Sample, Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALIKE = 0.85
"""Cosine from which two free texts count as the same answer."""


def executed_majority(texts: Sequence[str], verdicts: Sequence[Verdict]) -> tuple[int, tuple[Sample, ...], float]:
    """The winner's place, every sample with its group, and the share of all samples in the winner's group.

    Only samples that passed can win; among them the group with the most equal outputs (equal texts where a check gave
    no output) does, the earlier one at a tie. Where none passed the first one stands, with share 0.
    """
    keys: list[Hashable] = [
        (verdict.passed, verdict.output if verdict.output is not None else _bare(text))
        for text, verdict in zip(texts, verdicts, strict=True)
    ]
    groups = _numbered(keys)
    samples = tuple(Sample(text, group, verdict) for text, group, verdict in zip(texts, groups, verdicts, strict=True))
    passed = [place for place, verdict in enumerate(verdicts) if verdict.passed]
    if not passed:
        return 0, samples, 0.0
    votes = [groups[place] for place in passed]
    best = max(passed, key=lambda place: (votes.count(groups[place]), -place))
    return best, samples, votes.count(groups[best]) / len(texts)


def exact_majority(texts: Sequence[str]) -> tuple[int, tuple[Sample, ...], float]:
    """As `executed_majority` for JSON: samples with equal values are one answer, whatever their spacing and order."""
    groups = _numbered([_canonical(text) for text in texts])
    best = max(range(len(texts)), key=lambda place: (groups.count(groups[place]), -place))
    samples = tuple(Sample(text, group) for text, group in zip(texts, groups, strict=True))
    return best, samples, groups.count(groups[best]) / len(texts)


def cluster_majority(texts: Sequence[str], vectors: NDArray[np.float32]) -> tuple[int, tuple[Sample, ...], float]:
    """As `executed_majority` for free text: clusters of samples that all are alike pairwise (complete linkage), and of
    the largest (of equal ones the most central) the sample that is nearest to all. `vectors` has a unit row for each
    text."""
    near = np.asarray(vectors @ vectors.T, dtype=np.float64)
    bare = [_bare(text) for text in texts]
    for one in range(len(texts)):
        for other in range(len(texts)):
            if bare[one] == bare[other]:
                near[one, other] = 1.0
    groups = _linked(near)
    central = near.sum(axis=1)
    best = max(range(len(texts)), key=lambda place: (groups.count(groups[place]), central[place], -place))
    members = [place for place, group in enumerate(groups) if group == groups[best]]
    samples = tuple(Sample(text, group) for text, group in zip(texts, groups, strict=True))
    return best, samples, len(members) / len(texts)


def _linked(near: NDArray[np.float64]) -> list[int]:
    """Complete linkage: the two clusters whose least alike members are most alike are joined, while those are alike."""
    clusters = [[place] for place in range(len(near))]
    while len(clusters) > 1:
        pairs = [(one, other) for one in range(len(clusters)) for other in range(one)]
        links = [float(near[np.ix_(clusters[one], clusters[other])].min()) for one, other in pairs]
        strongest = int(np.argmax(links))
        if links[strongest] < ALIKE:
            break
        one, other = pairs[strongest]
        clusters[other] = sorted(clusters[other] + clusters.pop(one))
    places = {place: number for number, cluster in enumerate(sorted(clusters)) for place in cluster}
    return [places[place] for place in range(len(near))]


def _numbered(keys: Sequence[Hashable]) -> list[int]:
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def _bare(text: str) -> str:
    """A text without what does not change its meaning: a fence around code, and trailing space."""
    lines = [line.rstrip() for line in text.strip().splitlines() if not re.fullmatch(r"```\w*", line.strip())]
    return "\n".join(line for line in lines if line)


def _canonical(text: str) -> str:
    try:
        return json.dumps(json.loads(_bare(text)), sort_keys=True, ensure_ascii=False)
    except (ValueError, RecursionError):
        return _bare(text)
