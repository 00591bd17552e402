"""Metadata as the text that is stored, for whatever Python writes as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory.entry import metadata_json


def test_metadata_is_stored_as_python_writes_it() -> None:
    """Texts beyond ASCII, numbers, lists and odd keys within are written as json.dumps does without blanks."""
    given: dict[str, Any] = {
        "é\n\u2028\U0001f600": [1, -0.0, 1e22, 10**30, True, None, ("a", {})],
        "b": {2: "\\", None: 1},
    }
    assert metadata_json(given) == json.dumps(given, ensure_ascii=False, separators=(",", ":"))


def test_metadata_in_a_circle_is_refused_as_such() -> None:
    """A circle is told as one, not by the depth that it was followed to."""
    loop: dict[str, Any] = {}
    loop["a"] = [loop]
    with pytest.raises(UserError, match="Circular reference") as told:
        metadata_json(loop)
    assert told.value.code == "bad-metadata"
