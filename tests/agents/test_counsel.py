"""What agents ask of memory and leave there, with a real engine on a real project."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aqe.agents.counsel import FLAKY, GuardedMemory, consult, open_memory, questions
from aqe.engine.privacy.never_send import WITHHELD, NeverSend
from aqe.engine.sync import Engine

PAID = "tests/test_pay.py::test_paid"


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Engine]:
    with Engine.open(tmp_path) as engine:
        yield engine


def verdict(category: str | None, *, flaky: bool = True, polluters: tuple[str, ...] = ()) -> Any:
    state = "flaky" if flaky else "stable"
    return SimpleNamespace(flaky=flaky, verdict=state, category=category, polluters=polluters)


def flaky_report(**tests: Any) -> Any:
    return SimpleNamespace(tests={f"tests/test_pay.py::{name}": test for name, test in tests.items()})


def test_what_the_hunter_found_is_told_to_the_other_agents(memory: Engine) -> None:
    """A selected test and a failing one that are known as flaky are told so, once; others are not."""
    consult(
        questions("flaky", flaky_report(test_paid=verdict("order", polluters=("tests/test_a.py::test_x",)))), memory
    )
    selected = SimpleNamespace(tests=(SimpleNamespace(nodeid=PAID), SimpleNamespace(nodeid="tests/test_b.py::test_y")))
    (advice,) = consult(questions("select", selected), memory)
    assert (advice.about, advice.source.rpartition("/")[0]) == (PAID, FLAKY)
    assert advice.text == f"{PAID} was found flaky (order). It fails after tests/test_a.py::test_x."
    failing = SimpleNamespace(failures=(SimpleNamespace(nodeid=PAID),))
    assert consult(questions("execute", failing), memory) == (advice,)


def test_the_same_lesson_is_kept_once(memory: Engine) -> None:
    """A hunt that is repeated leaves no second memory."""
    for _ in range(2):
        consult(questions("flaky", flaky_report(test_paid=verdict("order"))), memory)
    assert len(memory.search("test_paid flaky", namespace=FLAKY).hits) == 1


def test_a_mended_test_is_called_flaky_no_more(memory: Engine) -> None:
    """Once a hunt finds it stable nobody is told of it, until a hunt finds it flaky again."""
    failing = SimpleNamespace(failures=(SimpleNamespace(nodeid=PAID),))
    consult(questions("flaky", flaky_report(test_paid=verdict("order"))), memory)
    consult(questions("flaky", flaky_report(test_paid=verdict(None, flaky=False))), memory)
    assert consult(questions("execute", failing), memory) == ()
    consult(questions("flaky", flaky_report(test_paid=verdict("order"))), memory)
    assert [one.about for one in consult(questions("execute", failing), memory)] == [PAID]


def test_a_note_about_a_reviewed_file_is_told(memory: Engine) -> None:
    """What somebody remembered about a file comes back when a finding stands in it; notes on others do not."""
    memory.remember("pay.py must round half up, the tax office says so", file="pay.py", id="rounding")
    memory.remember("pay attention to the till", file="till.py", id="till")
    finding = SimpleNamespace(id="f1", rule="behaviour-changed", path="pay.py", name="total")
    (advice,) = consult(questions("review", SimpleNamespace(findings=(finding,))), memory)
    assert (advice.about, advice.source) == ("pay.py", "default/rounding")


def test_a_suspected_bug_is_remembered(memory: Engine) -> None:
    """What the generator suspects can be found later."""
    bug = SimpleNamespace(module="pay", target="total", line=3, why="it returns None")
    consult(questions("generate", SimpleNamespace(suspects=(bug,))), memory)
    (hit,) = memory.search("bug in total", namespace="agents/generate").hits
    assert hit.memory.text == "Suspected bug in pay::total line 3: it returns None"


def test_nothing_to_ask_is_nothing(tmp_path: Path) -> None:
    """A report without anything to ask opens no memory."""
    assert not questions("select", SimpleNamespace(tests=()))
    assert not questions("verify", SimpleNamespace())


def test_a_project_has_its_own_memory(tmp_path: Path) -> None:
    """Without a server in the settings the memory is the project's."""
    with open_memory(tmp_path) as memory:
        memory.remember("kept here", id="one")
    with Engine.open(tmp_path) as engine:
        assert "one" in {hit.memory.id for hit in engine.search("kept here").hits}


def test_a_memory_elsewhere_is_given_nothing_secret(memory: Engine, tmp_path: Path) -> None:
    """Text, metadata and filters go redacted, what is about a file that never leaves goes without its text."""
    elsewhere = GuardedMemory(memory, NeverSend(tmp_path, ["secret/"]), is_open=False)
    elsewhere.remember("deploy with password: hunter2x", id="one", metadata={"by": "jane@acme-corp.io", "state": "x"})
    elsewhere.remember("the price floor", id="two", file="secret/plan.py", metadata={"floor": 41})
    kept = {hit.memory.id: hit.memory for hit in memory.search("deploy price floor withheld").hits}
    one, two = kept["one"], kept["two"]
    assert (one.text, one.metadata) == (
        "deploy with password: [redacted:password-assignment]",
        {"by": "[redacted:email]", "state": "x"},
    )
    assert (two.text, two.metadata) == (WITHHELD, {})
    found = elsewhere.search("deploy", filter={"by": "jane@acme-corp.io"}).hits
    assert [hit.memory.id for hit in found] == ["one"]
