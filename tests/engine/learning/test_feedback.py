"""Feedback: kept, filed as marks on what the answer rested on, and felt by the next search."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqe.engine.errors import UserError
from aqe.engine.learning import Feedback, feedback_figures, file_feedback, success_prior
from aqe.engine.learning.prior import CAP, HALF_LIFE_DAYS, Mark, prior_of, read_priors
from aqe.engine.memory import Store
from aqe.engine.requests import Interaction, RequestTable
from aqe.engine.settings import Settings, load_settings

DAY_US = 86_400_000_000


def ask(store: Store, *context: str) -> str:
    """File an answered request that rested on these memories; returns its id."""
    requests = RequestTable(store)
    id = requests.new_id()
    row = Interaction(
        id, "query", "when are totals rounded?", "half up", context=tuple(("default", c) for c in context)
    )
    with store.writing() as connection:
        requests.insert(connection, [row])
    return id


def settings(tmp_path: Path, **learning: Any) -> Settings:
    return load_settings(tmp_path, {f"learning.{key}": value for key, value in learning.items()}, environ={})


def test_rating_marks_the_memories_under_the_answer(store: Store) -> None:
    """A good rating lifts the memories that the answer rested on, the first one most; a bad one lowers them."""
    file_feedback(store, None, Feedback(ask(store, "a", "b"), rating=5))
    file_feedback(store, None, Feedback(ask(store, "c"), rating=1))
    priors = read_priors(store, [("default", name) for name in "abcd"])
    assert priors[("default", "a")] > priors[("default", "b")] > 0 > priors[("default", "c")]
    assert ("default", "d") not in priors


def test_later_word_on_a_request_replaces_the_earlier_one(store: Store) -> None:
    """Saying the same twice counts once; changing one's mind counts as the change."""
    request = ask(store, "a")
    once = file_feedback(store, None, Feedback(request, task_success=True))
    lifted = read_priors(store, [("default", "a")])
    file_feedback(store, None, Feedback(request, task_success=True))
    assert read_priors(store, [("default", "a")]) == pytest.approx(lifted)
    file_feedback(store, None, Feedback(request, task_success=False))
    assert read_priors(store, [("default", "a")])[("default", "a")] < 0
    assert once.success == 1.0
    assert feedback_figures(store)["signals"] == {"negative": 1}


def test_correction_becomes_a_memory(store: Store) -> None:
    """The right answer is remembered, found by its words, and what was wrong is lowered."""
    kept = file_feedback(store, None, Feedback(ask(store, "a"), correction="Totals are rounded to even."))
    (hit,) = store.search("rounded to even", namespace="corrections").hits
    assert hit.memory.id == kept.memory_id
    assert hit.memory.metadata["question"] == "when are totals rounded?"
    priors = read_priors(store, [("default", "a"), ("corrections", str(kept.memory_id))])
    assert priors[("default", "a")] < 0 < priors[("corrections", str(kept.memory_id))]


MISTAKES: list[tuple[str, dict[str, Any]]] = [
    ("bad-feedback", {}),
    ("bad-feedback", {"rating": 6}),
    ("bad-feedback", {"rating": True}),
    ("bad-feedback", {"task_success": "yes"}),
    ("bad-feedback", {"signal": "cheers"}),
    ("bad-feedback", {"signal": "correction"}),
    ("bad-feedback", {"signal": "implicit"}),
    ("bad-text", {"correction": ""}),
]


@pytest.mark.parametrize(("code", "said"), MISTAKES)
def test_feedback_that_says_nothing_is_refused(store: Store, code: str, said: dict[str, Any]) -> None:
    """Feedback without content, or with content that means nothing, is refused and leaves no trace."""
    with pytest.raises(UserError) as caught:
        file_feedback(store, None, Feedback(ask(store, "a"), **said))
    assert caught.value.code == code
    assert feedback_figures(store) == {"signals": {}, "success": None, "marks": 0}


@pytest.mark.parametrize("said", [{}, {"rating": 5}])
def test_an_id_that_the_answer_did_not_rest_on_is_named(store: Store, said: dict[str, Any]) -> None:
    """What `used` names wrongly is told before all else that is amiss, and nothing is kept; right names alone say
    nothing of how the answer went."""
    with pytest.raises(UserError, match="`used` names 'bogus', on which the answer did not rest") as caught:
        file_feedback(store, None, Feedback(ask(store, "a"), metadata={"used": ["a", "bogus"]}, **said))
    assert caught.value.code == "bad-feedback"
    with pytest.raises(UserError, match="`used` is 'a'"):
        file_feedback(store, None, Feedback(ask(store, "a"), metadata={"used": "a"}, **said))
    assert feedback_figures(store) == {"signals": {}, "success": None, "marks": 0}
    with pytest.raises(UserError, match="The feedback says nothing"):
        file_feedback(store, None, Feedback(ask(store, "a"), metadata={"used": ["a"]}))


def test_unknown_request_is_an_error(store: Store) -> None:
    """Feedback on a request that was never answered is refused by its id."""
    with pytest.raises(UserError, match="'nil'") as caught:
        file_feedback(store, None, Feedback("nil", rating=5))
    assert caught.value.code == "unknown-request"


def test_prior_waits_for_enough_marks_and_can_be_switched_off(store: Store, tmp_path: Path) -> None:
    """Ranking moves from `learning.min_marks` answers on, and never while learning is off."""
    for _ in range(2):
        file_feedback(store, None, Feedback(ask(store, "a"), rating=5))
    assert success_prior(store, settings(tmp_path, min_marks=3)) is None
    assert success_prior(store, settings(tmp_path, min_marks=1, enabled=False)) is None
    prior = success_prior(store, settings(tmp_path, min_marks=2))
    assert prior is not None
    assert prior([("default", "a")])[("default", "a")] > 0


MARKS = st.lists(st.builds(Mark, st.floats(0, 1), st.floats(0, 1), st.integers(0, 10**15)), max_size=40)


@given(MARKS, st.integers(0, 10**16))
def test_prior_stays_within_its_cap(marks: Sequence[Mark], now: int) -> None:
    """No number of marks moves a memory further than the cap, and a success never lowers it."""
    before = prior_of(marks, now)
    assert -CAP <= before <= CAP
    assert prior_of([*marks, Mark(1.0, 1.0, now)], now) >= before


def test_marks_lose_half_their_weight_in_a_half_life() -> None:
    """One mark of today weighs as much as two of one half-life ago."""
    then = int(HALF_LIFE_DAYS * DAY_US)
    assert prior_of([Mark(1.0, 1.0, 0)] * 2, then) == pytest.approx(prior_of([Mark(1.0, 1.0, then)], then))
