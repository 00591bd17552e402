"""The score of need: bounded, steady, explained, and of weights whose origin is told."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqe.engine.routing import explain_need, need_of
from aqe.engine.routing.scorer import trained
from aqe.simd import TextOdds

HARD = "In a certain village every man either shaves himself or is shaved. " * 12 + "Which statement must be false?"


@given(st.text(max_size=300))
def test_any_text_has_a_score(text: str) -> None:
    """Whatever the text, the score lies between 0 and 1 and is the same at every look."""
    score = need_of(text)
    assert 0 <= score <= 1
    assert need_of(text) == score == explain_need(text).score


@pytest.mark.parametrize("text", ["", " ", "\0" * 50, "\ud800", "a" * 10_000_000, "1" * 100_000], ids=len)
def test_odd_texts_have_one_too(text: str) -> None:
    """Empty, huge and malformed texts are scored as any other."""
    assert 0 <= need_of(text) <= 1


def test_what_moved_the_score_is_told() -> None:
    """The explanation lists features and words by how much they moved the log-odds."""
    because = explain_need(HARD, most=100).because
    shares = [abs(share) for _, share in because]
    assert shares == sorted(shares, reverse=True)
    assert {"length", "word 'statement'"} <= {what for what, _ in because}


def test_the_shares_add_up_to_the_score() -> None:
    """Bias and shares together are the log-odds of the score."""
    import math

    told = explain_need(HARD, most=1000)
    log_odds = trained().bias + sum(share for _, share in told.because)
    assert log_odds == pytest.approx(math.log(told.score / (1 - told.score)), abs=0.05)


def test_every_feature_has_a_weight() -> None:
    """The features that are measured are those that the weights are for, each on its own scale."""
    assert list(TextOdds.shape("x")) == list(trained().features)
    assert all(deviation > 0 and least < most for _, _, deviation, least, most in trained().features.values())


def test_a_prompt_unlike_any_in_training_is_held_at_its_edge() -> None:
    """A feature beyond what training saw counts as the edge of it: a ten times longer prompt scores the same."""
    assert need_of("z" * 20_000) == pytest.approx(need_of("z" * 200_000), abs=1e-9)
    assert need_of("hm") > 0.02


def test_code_is_told_from_prose() -> None:
    """A text of statements has a higher share of code than one of sentences."""
    code = ["import os", "", "def walk(top):", "    for name in os.listdir(top):", "        print(name)"]
    prose = "We import goods.\nThe class was full, for all it was worth."
    assert TextOdds.shape("\n".join(code))["code share"] > 0.9
    assert TextOdds.shape(prose)["code share"] == TextOdds.shape("")["code share"] == 0.0


def test_the_weights_tell_their_origin(repository: Path) -> None:
    """The weights name the script, the data by hash, the notice and the figures of their training."""
    told = trained().provenance
    data = repository / "benchmarks" / "data" / str(told["data"])
    assert hashlib.sha256(data.read_bytes()).hexdigest() == told["data_sha256"]
    assert (repository / str(told["made_by"])).is_file()
    notice = (repository / str(told["notice"])).read_text(encoding="utf-8")
    assert all(word in notice for word in ("RouteLLM", "Apache License", "MIT License", "MMLU", "GSM8K"))
    new = told["figures"]["draws"]["new prompts"]
    assert new["draws above length"] == {"auc": new["draws"], "area": new["draws"]}


def test_the_weights_are_small(repository: Path) -> None:
    """The weights stay a small file, so that the first decision is quick."""
    text = json.dumps({"words": dict(trained().words)})
    assert len(text) < 400_000
