"""A rung falls to the next one where it does not hold, and the Evidence and `aqe doctor` say why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aqe.agents.gate.rungs import choose_rung

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def in_container(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What boxes get as root with the capabilities of Docker's default profile; empty for any other user."""
    if os.geteuid() != 0:
        return {}
    folder = tmp_path_factory.mktemp("container")
    os.chmod(folder, 0o755)
    script = str(HERE / "rungs_in_container.py")
    done = subprocess.run(
        [sys.executable, str(HERE / "as_user.py"), "0:open", str(folder), script, str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "HOME": str(folder), "XDG_CACHE_HOME": str(folder / ".cache"), "TMPDIR": "/tmp"},
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.services
def test_root_without_namespaces_gets_a_user_of_its_own(in_container: dict[str, Any]) -> None:
    """Without CAP_SYS_ADMIN the trial box proves rung 2, and a box for an open environment stands on it."""
    if not in_container:
        assert choose_rung(afresh=True).reasons.get(2, "needs root") == "needs root"
        return
    layers = in_container["open"]["layers"]
    assert (in_container["rung"], layers["rung"]) == (2, "2 own uid")
    assert "uid of its own" in layers["in_force"]
    (why,) = layers["why_not_higher"]
    assert "rung 3 namespaces does not hold here" in why
    assert "Operation not permitted" in why


@pytest.mark.services
def test_environment_closed_to_others_falls_to_landlock_and_says_why(in_container: dict[str, Any]) -> None:
    """An interpreter below a folder of mode 0700 runs on rung 1; box, Evidence and doctor name the folder."""
    if not in_container:
        return
    closed = in_container["closed"]
    assert closed["layers"]["rung"] == "1 landlock"
    assert "rung 2 own uid does not hold here" in closed["layers"]["why_not_higher"][1]
    assert "closed/.venv" in closed["layers"]["why_not_higher"][1]
    rung, verdict, message, notes = closed["evidence"]
    assert (rung, verdict) == ("1 landlock", "stable"), message
    assert [note for note in notes if note.startswith("sandbox: rung 2") and "closed/.venv" in note]
    assert "closed/.venv is closed to other users" in closed["notes"][0]
    assert not [note for note in in_container["open"]["notes"] if "this Python" in note]
