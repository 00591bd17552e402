"""The search on small real modules: what it finds, how it survives, and that it repeats itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

INJECT = Path(next(iter(import_module("aqe.agents.inject").__path__)))
DRIVER = """
import json, sys
sys.path[:0] = [sys.argv[1], "."]
from _aqe_inject import search
messages = []
result = search.run(json.loads(sys.argv[2]), messages.append)
print("\\n" + json.dumps({"result": result, "messages": len(messages)}))
"""


def search(folder: Path, source: str, python: str = sys.executable, **wanted: Any) -> dict[str, Any]:
    """The result of a search of `source` in a process of its own."""
    (folder / "subject.py").write_text(textwrap.dedent(source), encoding="utf-8")
    args = {"module": "subject", "names": None, "budget_s": None, "evaluations": 2000, "seed": 1, "example_sources": []}
    args.update(wanted)
    done = subprocess.run(
        [python, "-c", DRIVER, str(INJECT), json.dumps(args)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONHASHSEED": "0", "PATH": ""},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])["result"]


def cases_of(result: dict[str, Any], target: str) -> list[dict[str, Any]]:
    return [case for case in result["cases"] if case["target"] == target]


def run_case(folder: Path, case: dict[str, Any]) -> Any:
    """The value of a case evaluated from its own text, in the namespace that its test file would have."""
    sys.path.insert(0, str(folder))
    try:
        scope: dict[str, Any] = {}
        exec(f"from subject import *\nimport asyncio\n{chr(10).join(case['imports'])}", scope)
        value = None
        for step in case["steps"]:
            if case["statement"] and step is case["steps"][-1]:
                exec(step["expr"], scope)
                break
            value = eval(step["expr"], scope)
            if step["bind"]:
                scope[step["bind"]] = value
        for check in case["checks"]:
            assert eval(check["expr"], scope) == eval(check["src"], scope)
        if case["outcome"]["src"] is not None:
            assert value == eval(case["outcome"]["src"], scope)
        return value
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("subject", None)


STACK = '''
class Stack:
    """A stack with a size limit."""

    def __init__(self, limit: int = 3) -> None:
        self.limit = limit
        self.items: list[int] = []

    def push(self, value: int) -> None:
        """Put a value on top.

        Raises:
            ValueError: if the stack is full.
        """
        if len(self.items) >= self.limit:
            raise ValueError("full")
        self.items.append(value)

    def pop(self) -> int:
        if not self.items:
            raise LookupError("empty")
        return self.items.pop()

    def __len__(self) -> int:
        return len(self.items)

    def __contains__(self, value: int) -> bool:
        return value in self.items

    @property
    def is_full(self) -> bool:
        return len(self.items) == self.limit
'''


def test_a_class_is_constructed_and_its_methods_are_called_in_sequences(tmp_path: Path) -> None:
    """A stack's branches and most of its mutants need pushes before the call under test, and get them."""
    result = search(tmp_path, STACK)
    arms = {arm["id"] for arm in result["arms"]}
    assert arms == {arm for case in result["cases"] for arm in case["arms"]} & arms
    killed = [mutant["killed"] for mutant in result["mutants"] if not mutant["left_out"]]
    assert sum(killed) >= 0.7 * len(killed)
    assert any(len(case["steps"]) > 2 for case in result["cases"])
    assert any(case["outcome"]["exception"] == "LookupError" for case in cases_of(result, "Stack.pop"))


def test_every_case_repeats_from_its_own_text(tmp_path: Path) -> None:
    """The text of each case, run again in a plain namespace, gives the value and the state that it states."""
    result = search(tmp_path, STACK)
    for case in result["cases"]:
        if case["outcome"]["kind"] == "returns":
            run_case(tmp_path, case)
        else:
            with pytest.raises(Exception) as caught:
                run_case(tmp_path, case)
            assert type(caught.value).__name__ == case["outcome"]["exception"]


def test_async_generators_and_operators_are_targets(tmp_path: Path) -> None:
    """A coroutine is awaited, a generator listed, and an operator written as one."""
    result = search(
        tmp_path,
        """
        import asyncio

        async def double(value: int) -> int:
            await asyncio.sleep(0)
            return value * 2 if value > 3 else value

        def evens(limit: int):
            for number in range(limit):
                if number % 2 == 0:
                    yield number

        class Money:
            def __init__(self, cents: int) -> None:
                self.cents = cents

            def __eq__(self, other: object) -> bool:
                return isinstance(other, Money) and self.cents == other.cents

            def __add__(self, other: "Money") -> "Money":
                return Money(self.cents + other.cents)
        """,
    )
    assert all(case["steps"][-1]["await"] for case in cases_of(result, "double"))
    assert cases_of(result, "double")
    assert any(
        case["outcome"]["src"] == "[0]" or "0, 2" in (case["outcome"]["src"] or "")
        for case in cases_of(result, "evens")
    )
    assert any(case["outcome"]["src"].startswith("Money(") for case in cases_of(result, "Money.__add__"))
    assert any(" == " in case["steps"][-1]["expr"] for case in cases_of(result, "Money.__eq__"))


def test_doctests_come_first_and_are_documented(tmp_path: Path) -> None:
    """A doctest is kept as a documented case; one that fails is a suspect and no case."""
    result = search(
        tmp_path,
        '''
        def half(number: int) -> int:
            """Half of it, rounded down.

            >>> half(9)
            4
            >>> half(8)
            5
            """
            return number // 2
        ''',
    )
    kept = [case for case in cases_of(result, "half") if case["origin"] == "doctest"]
    assert [case["steps"][-1]["expr"] for case in kept] == ["half(9)"]
    assert kept[0]["documented"]
    assert [(bug["expected"], bug["actual"]) for bug in result["suspects"]] == [("5", "4")]
    assert not any(case["steps"][-1]["expr"] == "half(8)" for case in result["cases"])


def test_the_same_seed_and_evaluations_give_the_same_answer(tmp_path: Path) -> None:
    """Two searches with one seed and a number of evaluations agree byte for byte; another seed may not."""
    first, second = (json.dumps(search(tmp_path, STACK, evaluations=1200), sort_keys=True) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("import os\n    os._exit(3)", "ends the process"),
        ("import os, signal\n    os.kill(os.getpid(), signal.SIGKILL)", "signal 9"),
        ("while True:\n        pass", "does not end"),
    ],
    ids=["exit", "kill", "loop"],
)
def test_a_function_that_ends_or_blocks_the_process_costs_only_itself(tmp_path: Path, body: str, why: str) -> None:
    """A hostile function is reported with its reason, and its neighbour still gets its cases."""
    bad = f"def bad(x: int) -> int:\n    {body}\n    return x\n\n"
    source = bad + "def good(x: int) -> str:\n    return 'up' if x > 10 else 'down'\n"
    result = search(tmp_path, source, evaluations=900)
    reasons = {entry["qualname"]: entry["why_not"] for entry in result["functions"]}
    assert why in reasons["bad"]
    assert {case["outcome"]["src"] for case in cases_of(result, "good")} == {'"up"', '"down"'}


READ_RATES = """
from typing import Union

def read_rates(path: Union[int, str]):
    out = {}
    with open(path) as f:
        for line in f:
            cur, rate = line.split()
            out[cur] = float(rate)
    return out
"""


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_number_given_for_a_path_takes_no_descriptor_along(tmp_path: Path, seed: int) -> None:
    """A function that opens what it is given gets its cases, and none of them opens another's descriptor by number."""
    result = search(tmp_path, READ_RATES, seed=seed)
    found = cases_of(result, "read_rates")
    assert found
    assert not [case for case in found if re.search(r"read_rates\(\+?(\d+|True|False)\)", case["steps"][-1]["expr"])]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("os.closerange(0, 51)", ""),
        ("os.closerange(3, 200)", ""),
        ("os.close(x if 0 <= x <= 2**31 else 5)", None),
        ("os.closerange(0, 1024)", "closes file descriptors"),
    ],
    ids=["0-50", "3-199", "one", "all"],
)
def test_a_subject_that_closes_descriptors_costs_at_most_itself(tmp_path: Path, body: str, why: str | None) -> None:
    """Whatever descriptors a function closes, the search goes on with the next candidates and finds its neighbour's."""
    bad = f"import os\n\ndef bad(x: int) -> int:\n    {body}\n    return x\n\n"
    source = bad + "def good(x: int) -> str:\n    return 'up' if x > 10 else 'down'\n"
    result = search(tmp_path, source, evaluations=900)
    reasons = {entry["qualname"]: entry["why_not"] for entry in result["functions"]}
    assert {case["outcome"]["src"] for case in cases_of(result, "good")} == {'"up"', '"down"'}
    assert why is None or (why in reasons["bad"] if why else not reasons["bad"])


def test_a_subject_that_prints_exits_and_changes_the_folder_does_no_harm(tmp_path: Path) -> None:
    """Output, sys.exit, a changed folder and closed descriptors of the subject do not reach the search."""
    result = search(
        tmp_path,
        """
        import os, sys

        def loud(x: int) -> int:
            print("noise" * 100)
            os.chdir("/")
            if x > 5:
                sys.exit(x)
            os.close(1)
            return x + 1
        """,
        evaluations=800,
    )
    assert any(case["outcome"]["exception"] == "SystemExit" for case in cases_of(result, "loud"))


def test_state_of_the_module_does_not_leak_from_case_to_case(tmp_path: Path) -> None:
    """A registry and a cache of the subject start every case as the import left them."""
    result = search(
        tmp_path,
        """
        import functools

        KNOWN = {"a": 1}

        def register(name: str) -> int:
            KNOWN[name] = len(KNOWN)
            return len(KNOWN)

        @functools.lru_cache(maxsize=None)
        def square(x: int) -> int:
            return x * x
        """,
        evaluations=900,
    )
    assert {case["outcome"]["src"] for case in cases_of(result, "register")} <= {"1", "2"}
    assert cases_of(result, "square")


def test_what_changes_with_the_process_is_never_asserted(tmp_path: Path) -> None:
    """Addresses, identities and random numbers are in no expectation."""
    result = search(
        tmp_path,
        """
        import random

        class Thing:
            pass

        def describe(x: int) -> str:
            return repr(Thing())

        def identity(x: int) -> int:
            return id(object()) + random.getrandbits(30)
        """,
        evaluations=800,
    )
    assert "0x" not in json.dumps(result["cases"])
    assert not cases_of(result, "identity")


def test_one_bad_annotation_harms_nobody_else(tmp_path: Path) -> None:
    """A name that does not exist in a hint leaves that parameter without a hint and the run alive."""
    result = search(
        tmp_path,
        """
        from __future__ import annotations

        def f(x: Missing, n: int) -> Gone:
            return "many" if n > 3 else "few"
        """,
        evaluations=1000,
    )
    assert {case["outcome"]["src"] for case in cases_of(result, "f")} == {'"many"', '"few"'}


def test_calls_in_other_files_are_seeds(tmp_path: Path) -> None:
    """A word that only an existing test knows opens the branch behind it."""
    source = """
        import hashlib

        def check(word: str) -> bool:
            return hashlib.sha256(word.encode()).hexdigest().startswith("5e884898")
        """
    calls = [["tests/test_x.py", "def test():\n    assert check('password')\n"]]
    result = search(tmp_path, source, evaluations=500, example_sources=calls)
    assert any(case["outcome"]["src"] == "True" for case in cases_of(result, "check"))
