"""Generated tests hold on other machines: other zones, homes and temporary folders."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aqe.agents.gate.stability import clock
from aqe.agents.generate import GenerateRequest, generate

PLACES = '''"""What depends on where it runs, and what does not."""

import datetime
import os
import tempfile
import time


def hour(seconds: int) -> int:
    """The hour on the clock of this place."""
    return time.localtime(seconds).tm_hour


def zone() -> str:
    """The zone of this place."""
    return os.environ.get("TZ", "none")


def home() -> str:
    """The home of this user."""
    return os.path.expanduser("~")


def scratch() -> str:
    """Where temporary files go."""
    return tempfile.gettempdir()


def today() -> str:
    """The date of today."""
    return datetime.date.today().isoformat()


def greeting() -> str:
    """What one says at this hour."""
    return "Good morning" if datetime.datetime.now().hour < 12 else "Good day"


def double(count: int) -> int:
    """Twice the count."""
    return count * 2
'''


@pytest.mark.services
def test_what_belongs_to_this_machine_is_not_asserted(tmp_path: Path) -> None:
    """Tests of clock, local time, home and temporary folder are left out; those that are written pass elsewhere."""
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "places.py").write_text(PLACES)
    generate(GenerateRequest(target="places.py", project=str(tmp_path), budget_s=None, evaluations=600))
    text = (tmp_path / "tests" / "test_places.py").read_text()
    assert "double(" in text
    if clock() is not None:
        assert "today(" not in text
        assert "greeting(" not in text
    environ = {**os.environ, "TZ": "Asia/Kolkata", "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=tmp_path,
        env={**environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
