"""Settings that act while a process runs."""

from __future__ import annotations

from pathlib import Path

from aqe.engine.routing.switches import RECENT_S, LiveSettings

OFF = "[tool.aqe.knowledge]\nenabled = false\n"


def test_what_asks_no_model_looks_at_the_files_now_and_then(tmp_path: Path) -> None:
    """A change is seen by a call at once, and by what asks no model a tenth of a second after its last look."""
    now = [0.0]
    file = tmp_path / "pyproject.toml"
    file.write_text("", encoding="utf-8")
    settings = LiveSettings(tmp_path, clock=lambda: now[0])
    assert settings.recent().knowledge.enabled
    file.write_text(OFF, encoding="utf-8")
    now[0] += RECENT_S / 2
    assert settings.recent().knowledge.enabled
    now[0] += RECENT_S / 2
    assert not settings.recent().knowledge.enabled
    file.write_text("", encoding="utf-8")
    assert settings().knowledge.enabled
    assert settings.recent().knowledge.enabled
