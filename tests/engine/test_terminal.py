"""What others wrote, on a terminal."""

from __future__ import annotations

import pytest

from aqe.engine.terminal import one_line, page


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;owned\x07a.py", "\\x1b]0;owned\\x07a.py"),
        ("a\nb\r.py", "a\\nb\\r.py"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202eyp.b", "a\\u202eyp.b"),
        ("tür/日本\t.py", "tür/日本\t.py"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, shown: str) -> None:
    """Escapes, line ends and marks of direction are shown; letters of any language stay."""
    assert one_line(text) == shown
    assert page([text, "x"]) == f"{shown}\nx\n"
