"""The file that points to the keyring's key is there only while the keyring has one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]


def test_a_key_that_the_keyring_did_not_take_leaves_no_pointer(
    in_process: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the library the command fails, the store stays in clear and usable, and nothing blames a keyring."""
    in_process("memory", "add", "one", "--id", "1")
    pointer = tmp_path / "project" / ".aqe" / "key-id"
    monkeypatch.setitem(sys.modules, "keyring", None)
    status, _, err = in_process("memory", "key", "set", "--keyring")
    assert (status, "[missing-extra]" in err, pointer.exists()) == (2, True, False)
    assert "one" in in_process("memory", "list")[1]


def test_a_pointer_to_nothing_goes_when_another_key_is_set_or_removed(
    in_process: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is encrypted by AQE_DB_KEY asks for that variable, not for a keyring."""
    monkeypatch.setitem(sys.modules, "keyring", None)
    in_process("memory", "add", "one", "--id", "1")
    pointer = tmp_path / "project" / ".aqe" / "key-id"
    pointer.write_text("0123\n")
    monkeypatch.setenv("AQE_DB_KEY", "a long enough key")
    assert in_process("memory", "key", "set")[0] == 0
    assert not pointer.exists()
    pointer.write_text("0123\n")
    assert in_process("memory", "key", "remove", "--yes")[0] == 0
    assert not pointer.exists()
    monkeypatch.delenv("AQE_DB_KEY")
    assert "one" in in_process("memory", "list")[1]
