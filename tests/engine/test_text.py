"""Stems of the text index: the same by Snowball's C and by its Python."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqe.engine.memory.terms import text

FIXTURES = Path(__file__).resolve().parent.parent.parent / "fixtures"
ENDINGS = "s es ies ied ing ed ly ational izer ousli ization iveness fulness biliti ical ful ness ance able ement ism"


def _words() -> list[str]:
    found = {word for path in FIXTURES.rglob("*.md") for word in re.findall(r"[^\W\d_]{3,}", path.read_text("utf-8"))}
    plain = sorted(word.casefold() for word in found)
    return [*plain, *(word + ending for word in plain[::7] for ending in ENDINGS.split()), "größe", "déjà", "naïvely"]


def test_stems_do_not_depend_on_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A word has one stem, whether Snowball's C library is there or its Python alone."""
    words = _words()
    compiled = [*map(text._new_stemmer(), words)]
    monkeypatch.setitem(sys.modules, "Stemmer", None)
    assert [*map(text._new_stemmer(), words)] == compiled
    assert len({*compiled}) < len(words) > 1000


@settings(max_examples=200)
@given(st.text(alphabet="aBcD é漢12_- .\n", max_size=60) | st.text(max_size=40))
def test_text_for_the_index_is_its_subtokens_with_blanks_between_them(given_text: str) -> None:
    """The text index is told exactly the subtokens of a text, in their order and with repetitions."""
    assert text.index_text(given_text).split(" ") == (text.subtokens(given_text) or [""])
