"""How a threshold that is chosen on a few questions fares on others: python benchmarks/answer_thresholds.py [--kept F].

Halves as those of answers.py (40 questions with an answer, 40 without one) are drawn from the questions about public
packages that are worded near the text: packages at random, their questions dealt to two halves. The confidence in each
answer is that of a model fitted on other packages (fit_answers.py, whose --kept this takes too). Each rule chooses a
threshold on the unanswerable questions of one half, and the other half is asked at it. Printed are, as means of both
ways, how many answerable questions are answered right and how many unanswerable ones answered, in what share of the
ways no more than a tenth of those are, and in what share half of the answerable are right besides, one way and both.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from answers import RULES, Rule
from fit_answers import BAR, NEAR, Judged, judged_by_others, parted, read_questions

DRAWS, HALF, RIGHT = 1000, 40, 0.5


def main() -> None:
    """Fit, draw, compare, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kept", type=Path, help="a folder that keeps what is found for the questions")
    questions = read_questions(kept=parser.parse_args().kept)
    judged = judged_by_others(questions, parted(questions), 1.0, ())
    drawn = draw([one for one in judged if one.asked.file in NEAR])
    print(f"{len(drawn)} pairs of halves")
    print(f"{'rule':<10}  right  unanswerable answered  a tenth at most  and half right  both ways")
    for name, rule in RULES.items():
        figures = np.array([[ask(one, other, rule) for one, other in ((a, b), (b, a))] for a, b in drawn])
        few = figures[..., 1] <= BAR
        met = few & (figures[..., 0] >= RIGHT)
        right, answered = figures.mean(axis=(0, 1))
        print(
            f"{name:<10}{right:7.3f}{answered:23.3f}{few.mean():17.3f}{met.mean():16.3f}{met.all(axis=1).mean():11.3f}"
        )


def draw(judged: Sequence[Judged]) -> list[tuple[list[Judged], list[Judged]]]:
    """Pairs of halves, each of questions of the same packages."""
    random = np.random.default_rng(0)
    names = sorted({one.asked.project for one in judged})
    of = {name: [one for one in judged if one.asked.project == name] for name in names}
    found = []
    for _ in range(DRAWS):
        yes: list[Judged] = []
        no: list[Judged] = []
        for name in random.permutation(names):
            if len(yes) >= 2 * HALF and len(no) >= 2 * HALF:
                break
            yes += [one for one in of[name] if one.asked.is_answerable]
            no += [one for one in of[name] if not one.asked.is_answerable]
        yes, no = ([some[at] for at in random.permutation(len(some))[: 2 * HALF]] for some in (yes, no))
        found.append((yes[:HALF] + no[:HALF], yes[HALF:] + no[HALF:]))
    return found


def ask(chosen: Sequence[Judged], asked: Sequence[Judged], rule: Rule) -> tuple[float, float]:
    """Shares of right and of unanswerable questions of one half, at the threshold that a rule chooses on the other."""
    threshold = rule([one.confidence for one in chosen if not one.asked.is_answerable])
    yes = [one for one in asked if one.asked.is_answerable]
    no = [one for one in asked if not one.asked.is_answerable]
    return (
        float(np.mean([one.right and one.confidence >= threshold for one in yes])),
        float(np.mean([one.confidence >= threshold for one in no])),
    )


if __name__ == "__main__":
    main()
