"""The state of one engine is taken in by another."""

from __future__ import annotations

from pathlib import Path

import pytest

from aqe.engine.errors import UserError
from aqe.engine.sync import Engine


def test_a_state_moves_to_another_project(tmp_path: Path) -> None:
    """What was remembered, asked and said in one project is there in the other, once."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    archive = tmp_path / "state.aqe"
    with Engine.open(here) as engine:
        kept = engine.remember("prices round half up", metadata={"kind": "rule"})
        asked = engine.query("How are prices rounded?", session="talk")
        engine.feedback(asked.request_id, rating=5)
        written = engine.export_state(archive)
    assert written.bytes == archive.stat().st_size
    with Engine.open(there) as engine:
        told = engine.import_state(archive)
        assert told.memories.added == 1
        assert {name: told.added[name] for name in ("sessions", "interactions", "feedback")} == {
            "sessions": 1,
            "interactions": 1,
            "feedback": 1,
        }
        assert engine.search("rounding of prices").hits[0].memory.id == kept.id
        assert [one.name for one in engine.sessions.list()] == ["talk"]
        again = engine.import_state(archive)
        assert (again.memories.added, again.added["turns"]) == (0, 0)


def test_a_file_that_is_there_is_written_over_only_by_force(tmp_path: Path) -> None:
    """As `aqe memory export` does, an engine leaves a file alone that it was not told to write over."""
    archive = tmp_path / "state.aqe"
    archive.write_text("somebody's own")
    with Engine.open(tmp_path) as engine:
        with pytest.raises(UserError, match="is there already") as caught:
            engine.export_state(archive)
        assert (caught.value.code, archive.read_text()) == ("bad-output", "somebody's own")
        engine.export_state(archive, force=True)
    assert archive.read_bytes().startswith(b"PK")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """An archive in no folder is refused for that, and not for a project that cannot be written."""
    with Engine.open(tmp_path) as engine, pytest.raises(UserError, match="lies in no folder that exists") as caught:
        engine.export_state(tmp_path / "nope" / "x.aqe")
    assert caught.value.code == "bad-output"
    assert not (tmp_path / "nope").exists()
