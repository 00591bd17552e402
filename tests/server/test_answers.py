"""Answers stay small and say what was cut."""

from __future__ import annotations

import json

import pytest

from aqe.engine.errors import UserError
from aqe.server.mcp.answers import LARGEST_ANSWER_BYTES, answer, failure, page, shorten

TEXTS = ["plain words " * 5000, "žluťoučký kůň \u2028" * 3000, '"\\\n' * 9000, "\U0001f600" * 9000]


@pytest.mark.parametrize("text", TEXTS, ids=["ascii", "accents", "escapes", "emoji"])
def test_answer_never_passes_the_limit(text: str) -> None:
    """An answer with a long text is at most 8,000 bytes of JSON and says how much was cut."""
    result = answer(text, {"state": "done"})
    assert len(result.model_dump_json(by_alias=True).encode()) <= LARGEST_ANSWER_BYTES
    assert "more characters]" in result.content[0].text


@pytest.mark.parametrize("text", TEXTS, ids=["ascii", "accents", "escapes", "emoji"])
def test_pages_join_to_the_whole(text: str) -> None:
    """Pages read by their offsets give the whole text back, each small enough to stand in an answer twice."""
    parts, offset = [], 0
    while offset is not None:
        part, offset = page(text, offset)
        assert len(json.dumps(part)) <= 3_000
        parts.append(part)
    assert "".join(parts) == text


def test_page_after_the_end_is_empty() -> None:
    """An offset beyond the end gives an empty page and no next one."""
    assert page("short", 99) == ("", None)


def test_short_text_is_left_alone() -> None:
    """A text that fits is not touched."""
    assert shorten("fits", 100) == "fits"


def test_failure_carries_code_and_fix() -> None:
    """An error is marked as one and has sentence, code and next step, in text and in data."""
    result = failure(UserError("No such file.", code="usage", fix="Name one."))
    assert result.is_error
    assert result.content[0].text == "No such file. Name one. [usage]"
    assert result.structured_content == {"code": "usage", "message": "No such file.", "fix": "Name one."}
