"""How probable it is that a test is flaky, given how often it passed and failed.

A test is one of three kinds: stable, broken or flaky. A stable one passes each run but for a glitch of the machine, of
probability `GLITCH`; a broken one fails each run but for a glitch; a flaky one fails with a probability of its own, of
which nothing is known beforehand (uniform between 0 and 1). Before any run a test is flaky with probability
`PRIOR_FLAKY`, the share among 876,186 Python tests (Gruber et al., ICST 2021: 7,571 flaky), and broken with
`PRIOR_BROKEN`. Bayes' rule gives the rest. Runs are counted as independent, which runs under varied orders, hash seeds
and zones are not quite: the score of a test that flips with one of them says that it flips, not how often.
"""

from __future__ import annotations

import math

PRIOR_FLAKY = 0.0086
PRIOR_BROKEN = 0.005
GLITCH = 1e-5


def flakiness(passed: int, failed: int) -> float:
    """The posterior probability, from 0 to 1, that a test with these runs is flaky.

    >>> flakiness(12, 0) < 0.001 and flakiness(11, 1) > 0.8 and flakiness(0, 12) < 0.2
    True
    """
    runs = passed + failed
    if runs == 0:
        return PRIOR_FLAKY
    # each is the probability of one sequence with these counts, so that the binomial coefficient cancels
    stable = (1 - PRIOR_FLAKY - PRIOR_BROKEN) * (1 - GLITCH) ** passed * GLITCH**failed
    broken = PRIOR_BROKEN * (1 - GLITCH) ** failed * GLITCH**passed
    flaky = PRIOR_FLAKY * math.exp(math.lgamma(passed + 1) + math.lgamma(failed + 1) - math.lgamma(runs + 2))
    whole = stable + broken + flaky
    return flaky / whole if whole else 1.0  # hundreds of both: all three underflow, and only a flaky test does that


def runs_to_see(rate: float, confidence: float = 0.99) -> int:
    """In how many runs a failure of that rate shows at least once with this confidence, at most 200.

    >>> runs_to_see(0.5), runs_to_see(1.0), runs_to_see(0.2)
    (7, 1, 21)
    """
    if rate >= 1:
        return 1
    if rate <= 0:
        return 200
    return min(200, max(1, math.ceil(math.log(1 - confidence) / math.log(1 - rate))))
