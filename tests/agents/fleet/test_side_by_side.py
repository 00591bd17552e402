"""Work side by side in processes of its own: one that fails, dies or hangs stops no other."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from aqe.agents.fleet.side_by_side import Outcome, Task, side_by_side
from aqe.engine.budget import parse_budget
from aqe.engine.errors import Cancelled
from aqe.engine.privacy.network import is_held
from aqe.engine.progress import CancelToken, silent

OWN = Task("one", os.getpid, {})
STUCK = Task("stuck", subprocess.call, {"args": ["sleep", "3600"]})


def outcomes(*tasks: Task, deadline_s: float | None = None, cancel: CancelToken | None = None) -> dict[str, Outcome]:
    return side_by_side(tasks, deadline_s=deadline_s, progress=silent, cancel=cancel or CancelToken())


def test_what_fails_is_a_part_and_the_others_go_on() -> None:
    """Each task has a process of its own; an error keeps its code, a fault and a death are faults of aqe's own."""
    found = outcomes(
        OWN,
        Task("wrong", parse_budget, {"text": "soon"}),
        Task("fault", json.loads, {"s": "odd"}),
        Task("dead", os._exit, {"status": 9}),
    )
    assert list(found) == ["one", "wrong", "fault", "dead"]
    assert found["one"].value not in (None, os.getpid())
    assert found["one"].part.state == "done"
    wrong = found["wrong"].part
    assert (wrong.state, wrong.code, wrong.exit_status) == ("failed", "bad-budget", 2)
    assert "soon" in wrong.message
    assert "2m" in wrong.fix
    for name in ("fault", "dead"):
        assert (found[name].value, found[name].part.code, found[name].part.exit_status) == (None, "internal", 3)
    assert "Expecting value" in found["fault"].part.message


def test_what_does_not_end_is_ended() -> None:
    """After the deadline a task is killed and told as out of time."""
    found = outcomes(STUCK, deadline_s=0.1)
    assert (found["stuck"].part.code, found["stuck"].part.exit_status) == ("out-of-time", 4)


def test_a_cancelled_run_leaves_nothing_running() -> None:
    """A token that is set ends every process and raises."""
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        outcomes(STUCK, cancel=cancel)


def test_local_work_is_held_to_this_machine() -> None:
    """A local task runs under the strict privacy mode with its network held; another one as the settings say."""
    mode = {"key": "AQE_PRIVACY_MODE"}
    found = outcomes(
        Task("mode", os.getenv, mode, local=True), Task("held", is_held, {}, local=True), Task("free", is_held, {})
    )
    assert [found[name].value for name in ("mode", "held", "free")] == ["strict", True, False]
