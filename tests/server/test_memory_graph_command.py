"""`aqe memory graph`, `neighbours`, `link` and `unlink` as a user types them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from aqe.engine.memory import open_store
from aqe.engine.memory.graph.attention import SIZE
from aqe.engine.memory.graph.own_weights import Trial, keep_weights

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def aqe(in_process: Run) -> Run:
    """Runs a command in an empty project, in this process; gives exit status, stdout and stderr."""
    return in_process


def test_linked_memories_are_neighbours_until_unlinked(aqe: Run) -> None:
    """An edge that a user gives is shown from both ends, and gone when it is dropped."""
    for id in ("crash", "fix"):
        aqe("memory", "add", f"what the {id} was", "--id", id)
    assert aqe("memory", "link", "crash", "fix", "--kind", "fixed-by") == (0, "2 memories are joined\n", "")
    status, out, _ = aqe("memory", "neighbours", "crash")
    assert (status, out) == (0, "-> fixed-by      1.00  fix  default  what the fix was\n")
    assert aqe("memory", "neighbours", "fix")[1].startswith("<- fixed-by")
    assert "1 edge joins 2 memories" in aqe("memory", "graph")[1]
    assert aqe("memory", "unlink", "crash", "fix", "--kind", "fixed-by")[1] == "They are joined no more\n"
    assert aqe("memory", "neighbours", "crash") == (0, "", "")
    assert aqe("memory", "unlink", "crash", "fix", "--kind", "fixed-by")[1] == "There is no such edge\n"


def test_members_of_other_namespaces_are_named_with_theirs(aqe: Run) -> None:
    """NAMESPACE:ID is a memory elsewhere; an id that has a colon itself is taken as it is."""
    aqe("memory", "add", "one", "--id", "a:b")
    aqe("memory", "add", "two", "--id", "two", "-n", "notes")
    assert aqe("memory", "link", "a:b", "notes:two", "--kind", "similar", "--weight", "0.5")[0] == 0
    found = json.loads(aqe("memory", "neighbours", "a:b", "--json")[1])["neighbours"]
    assert [(one["namespace"], one["id"], one["weight"], one["text"]) for one in found] == [
        ("notes", "two", 0.5, "two")
    ]


def test_graph_is_built_from_the_project(aqe: Run, tmp_path: Path) -> None:
    """After `aqe index`, building the graph joins tests with what they name."""
    project = tmp_path / "project"
    (project / "prices.py").write_text("def gross(cents):\n    return cents * 6 // 5\n")
    (project / "test_prices.py").write_text("from prices import gross\n\n\ndef test_it():\n    assert gross(5) == 6\n")
    assert aqe("index")[0] == 0
    built = json.loads(aqe("memory", "graph", "--build", "--json")[1])
    assert (built["kinds"]["covers"], built["built"]["went"]) == (1, 0)
    tests = json.loads(aqe("memory", "list", "-n", "index/tests", "--json")[1])["memories"]
    (test,) = [one["id"] for one in tests if one["metadata"]["name"] == "test_it"]
    out = aqe("memory", "neighbours", test, "-n", "index/tests", "--kind", "covers")[1]
    assert "def gross(cents)" in out


def test_index_keeps_the_graph_where_the_setting_says_so(aqe: Run, tmp_path: Path) -> None:
    """Indexing joins tests with what they name, by itself, unless memory.graph is off; switched on, it makes up for
    it although no file changed."""
    project = tmp_path / "project"
    (project / "prices.py").write_text("def gross(cents):\n    return cents * 6 // 5\n")
    (project / "test_prices.py").write_text("from prices import gross\n\n\ndef test_it():\n    assert gross(5) == 6\n")
    (project / "pyproject.toml").write_text("[tool.aqe.memory]\ngraph = false\n")
    aqe("index")
    assert json.loads(aqe("memory", "graph", "--json")[1])["edges"] == 0
    (project / "pyproject.toml").write_text("")
    aqe("index")
    assert json.loads(aqe("memory", "graph", "--json")[1])["kinds"]["covers"] == 1


def test_weights_of_its_own_are_told_and_dropped(aqe: Run, tmp_path: Path) -> None:
    """Without a recorded run nothing is learned, and the command says what to do; weights that are there are shown
    until they are dropped."""
    project = tmp_path / "project"
    status, out, _ = aqe("memory", "graph", "--learn")
    assert (status, out.splitlines()[-1].partition(":")[0]) == (0, "nothing was learned")
    with open_store(project) as store:
        keep_weights(store, Trial(40, 30, 0.125, 0.05, np.zeros(SIZE)))
    assert aqe("memory", "graph")[1].splitlines()[-1].endswith("+0.125 of 1 / rank on 30 queries held out")
    shown = json.loads(aqe("memory", "graph", "--json")[1])
    assert (shown["weights"]["functions"], shown["weights"]["low"], shown["tried"]) == (40, 0.05, None)
    assert json.loads(aqe("memory", "graph", "--unlearn", "--json")[1])["weights"] is None


def test_an_edge_of_one_memory_is_told_in_the_singular(aqe: Run) -> None:
    """One memory, named once or twice, is one member."""
    aqe("memory", "add", "text", "--id", "a")
    for members in (("a",), ("a", "a")):
        assert "has 1 different member." in aqe("memory", "link", *members, "--kind", "covers")[2]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("link", "a", "b", "--kind", "knows"), "bad-edge"),
        (("link", "a", "--kind", "covers"), "bad-edge"),
        (("link", "a", "b", "--kind", "covers", "--weight", "0"), "bad-edge"),
        (("link", "a", "gone", "--kind", "covers"), "unknown-id"),
        (("neighbours", "gone"), "unknown-id"),
        (("neighbours", "a", "--kind", "knows"), "bad-edge"),
        (("neighbours", "a", "--depth", "9"), "bad-limit"),
        (("neighbours", "a", "-k", "0"), "bad-limit"),
        (("unlink", "a", "b", "--kind", "knows"), "bad-edge"),
    ],
)
def test_bad_words_are_refused(aqe: Run, words: tuple[str, ...], code: str) -> None:
    """What cannot be is refused in one sentence with its code."""
    for id in "ab":
        aqe("memory", "add", f"text {id}", "--id", id)
    status, out, err = aqe("memory", *words)
    assert (status, out) == (2, "")
    assert f"[{code}]" in err


def test_looking_at_the_graph_of_nothing_writes_nothing(aqe: Run, tmp_path: Path) -> None:
    """A project for which nothing was kept has an empty graph, and stays as it was."""
    before = sorted(tmp_path.rglob("*"))
    assert "0 edges join 0 memories" in aqe("memory", "graph")[1]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.services
def test_recorded_run_joins_tests_with_all_that_they_executed(aqe: Run, tmp_path: Path, repository: Path) -> None:
    """A recorded run of the suite says what each test executed, named in it or not."""
    project = tmp_path / "project"
    shutil.copytree(repository / "fixtures/shop", project, ignore=shutil.ignore_patterns(".aqe"), dirs_exist_ok=True)
    assert aqe("index")[0] == 0
    command = [sys.executable, "-m", "aqe.server.cli", "execute", "--map", "--json", "--python", sys.executable]
    done = subprocess.run(command, cwd=project, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["tests"] > 60
    assert json.loads(aqe("memory", "graph", "--json")[1])["origins"]["impact"] > 50
    tests = json.loads(aqe("memory", "list", "-n", "index/tests", "--limit", "500", "--json")[1])["memories"]
    (test,) = [one["id"] for one in tests if one["metadata"]["name"] == "test_total_has_tax"]
    shown = json.loads(aqe("memory", "neighbours", test, "-n", "index/tests", "--kind", "covers", "--json")[1])
    texts = {one["text"].partition("\n")[0] for one in shown["neighbours"] if one["origin"] == "impact"}
    assert "shop/pricing.py: with_tax" in texts
