"""`aqe generate` end to end: real packages, real processes, the real sandbox."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.warm_command import warm_command

TEMPERATURE = '''"""Temperatures."""


def to_celsius(degrees: float) -> float:
    """Degrees Fahrenheit in Celsius.

    >>> to_celsius(212)
    100.0
    """
    return (degrees - 32) / 1.8


def describe(degrees: float) -> str:
    """Words for a temperature in Celsius; below absolute zero there is none."""
    if degrees < -273.15:
        raise ValueError("colder than absolute zero")
    if degrees < 0:
        return "frost"
    if degrees < 18:
        return "cool"
    return "warm"
'''

STACK = '''"""A stack with a limit."""


class Full(Exception):
    """No room left."""


class Stack:
    """Last in, first out."""

    def __init__(self, limit: int = 3) -> None:
        self.limit = limit
        self.items: list[int] = []

    def push(self, item: int) -> None:
        """Put one item on top; raises Full when there is no room."""
        if len(self.items) >= self.limit:
            raise Full("no room")
        self.items.append(item)

    def pop(self) -> int:
        """Take the top item; raises IndexError when there is none."""
        if not self.items:
            raise IndexError("empty stack")
        return self.items.pop()

    def __len__(self) -> int:
        return len(self.items)
'''

RELAY = '''"""Relays."""

from .stack import Stack


async def double(number: int) -> int:
    """Twice the number."""
    return number * 2


def filled(count: int) -> Stack:
    """A stack of `count` items."""
    stack = Stack(10)
    for number in range(min(count, 10)):
        stack.push(number)
    return stack
'''


def make_project(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in {"pyproject.toml": "", **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def environment(project: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AQE_", "VIRTUAL_ENV", "COV"))}
    return kept | {"XDG_CONFIG_HOME": str(project.parent / "config")}


def argv(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "aqe.server.cli", "generate", *arguments]


def generate(project: Path, *arguments: str, status: int = 0) -> dict[str, Any]:
    """Run the command with --json and return its object."""
    words = ("generate", *arguments, "--json")
    done = warm_command().run(words, cwd=project, env=environment(project), limit_s=120)
    assert done.returncode == status, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def run_tests(project: Path, *arguments: str) -> str:
    """The last line of pytest over files in the project."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    path = f"{project / 'src'}{os.pathsep}{project}"
    done = subprocess.run(
        command,
        cwd=project,
        env=environment(project) | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip().splitlines()[-1]


def test_functions_get_a_readable_verified_file(tmp_path: Path) -> None:
    """A module of functions gets one marked file whose tests pass, with evidence of lines, branches and mutants."""
    project = make_project(tmp_path / "project", {"temperature.py": TEMPERATURE})
    answer = generate(project, "temperature.py", "--evaluations", "4000")
    text = (project / "tests" / "test_temperature.py").read_text()
    assert answer["files"] == ["tests/test_temperature.py"]
    assert text.startswith("# Written by aqe")
    assert "from temperature import describe, to_celsius\n" in text
    assert "assert to_celsius(212) == 100.0" in text
    assert 'pytest.raises(ValueError, match="colder than absolute zero")' in text
    names = [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    assert all(re.fullmatch(r"test_(to_celsius|describe)_[a-z]\w+", name) for name in names)
    assert not re.search(r"test_\d|var_\d", text)
    (subject,) = answer["evidence"]["subjects"]
    assert subject["branches_covered"] == subject["branches_total"] == 6
    assert answer["evidence"]["mutants_killed"] > answer["evidence"]["mutants_total"] * 0.6
    assert " passed" in run_tests(project, "tests")
    kept = json.loads((project / ".aqe" / "results" / "generate.json").read_text())
    assert kept["schema"] == answer["schema"] == "aqe.generate/1"


@pytest.mark.services
def test_same_seed_gives_the_same_bytes_and_a_second_run_replaces_its_own_file(tmp_path: Path) -> None:
    """With --seed and --evaluations the output is byte-identical, also when the first file lies in the project."""
    project = make_project(tmp_path / "project", {"stack.py": STACK})
    first = generate(project, "stack", "--evaluations", "300", "--seed", "7")
    before = (project / "tests" / "test_stack.py").read_bytes()
    second = generate(project, "stack", "--evaluations", "300", "--seed", "7")
    assert (project / "tests" / "test_stack.py").read_bytes() == before
    assert first["tests"] == second["tests"] > 0


@pytest.mark.services
def test_package_in_src_with_relative_imports_async_and_tests_of_its_own(tmp_path: Path) -> None:
    """Each module of a src package gets its file beside the project's tests, which stay as they are."""
    mine = "from deck import Stack\n\n\ndef test_size():\n    assert len(Stack()) == 0\n"
    files = {
        "src/deck/__init__.py": "from .stack import Full, Stack\n",
        "src/deck/stack.py": STACK,
        "src/deck/relay.py": RELAY,
        "tests/test_mine.py": mine,
    }
    project = make_project(tmp_path / "project", files)
    answer = generate(project, "src/deck", "--evaluations", "500")
    assert answer["files"] == ["tests/test_relay.py", "tests/test_stack.py"]
    stack = (project / "tests" / "test_stack.py").read_text()
    assert "from deck import Full, Stack\n" in stack
    assert 'pytest.raises(Full, match="no room")' in stack
    assert "assert asyncio.run(double(" in (project / "tests" / "test_relay.py").read_text()
    assert (project / "tests" / "test_mine.py").read_text() == mine
    assert " passed" in run_tests(project, "tests")
    assert any("PYTHONPATH=src" in note for note in answer["notes"])


@pytest.mark.services
def test_path_that_pytest_is_told_of_needs_no_word(tmp_path: Path) -> None:
    """Where the project's settings put src on the path, nothing is said of PYTHONPATH."""
    files = {
        "pyproject.toml": '[project]\nname = "deck"\nversion = "1"\n[tool.pytest.ini_options]\npythonpath = ["src"]\n',
        "src/deck/__init__.py": "",
        "src/deck/stack.py": STACK,
    }
    project = make_project(tmp_path / "project", files)
    answer = generate(project, "src/deck/stack.py", "--evaluations", "300")
    assert answer["files"] == ["tests/test_stack.py"]
    assert not any("PYTHONPATH" in note for note in answer["notes"])


POST = '''"""Postage."""


def _zone(country: str) -> int:
    if country == "se":
        return 1
    if country == "no":
        return 2
    return 3


def _dead(number: int) -> int:
    return number * 7


def postage(weight: int, country: str) -> int:
    """The price of a parcel."""
    if weight < 1:
        raise ValueError("weightless")
    if weight < 0:
        return -1
    return weight * _zone(country)


def stamps(price: int) -> list[int]:
    """Stamps for a price."""
    if price > 9:
        return [9] * (price // 9)
    return [price]
'''


@pytest.mark.services
def test_one_name_restricts_everything_that_is_reported(tmp_path: Path) -> None:
    """With MODULE::NAME lines, branches, mutants, tests and gaps are those of the function, and of nothing else."""
    project = make_project(tmp_path / "project", {"post.py": POST})
    answer = generate(project, "post::postage", "--evaluations", "1500")
    source = POST.splitlines()
    first = source.index("def postage(weight: int, country: str) -> int:") + 1
    evidence = answer["evidence"]
    (subject,) = evidence["subjects"]
    assert subject["within"] == [[first, first + 6]]
    assert (subject["lines_total"], subject["branches_total"]) == (6, 4)
    assert subject["missing_lines"] == [source.index("        return -1") + 1]
    assert evidence["mutants"]
    assert {one["function"] for one in evidence["mutants"]} == {"postage"}
    assert all(first <= one["line"] <= first + 6 for one in evidence["mutants"])
    assert all(test["lines"] <= 6 for test in evidence["tests"])
    assert {gap["function"] for gap in answer["unreached"]} == {"postage"}
    text = (project / "tests" / "test_post.py").read_text()
    assert "postage(" in text
    assert "stamps(" not in text


@pytest.mark.services
def test_helpers_that_public_names_reach_are_no_gaps(tmp_path: Path) -> None:
    """A private function is a gap only where nothing enters it, or with the branches that no caller takes."""
    project = make_project(tmp_path / "project", {"post.py": POST})
    gaps = generate(project, "post", "--evaluations", "1500")["unreached"]
    why = {gap["function"]: gap["why"] for gap in gaps}
    assert "_zone" not in why or why["_zone"].startswith("no call of postage found that goes from here to line")
    assert not any(gap["function"] == "_zone" and not gap["line"] for gap in gaps)
    assert why["postage"].startswith("no input found")


STREAM = '''"""Streams."""

from collections.abc import AsyncIterator, Iterator


def evens(start: int) -> Iterator[int]:
    """Even numbers without an end."""
    number = start + start % 2
    while True:
        yield number
        number += 2


async def countdown(start: int) -> AsyncIterator[int]:
    """Count down to one; raises ValueError below zero."""
    if start < 0:
        raise ValueError("cannot count down from below zero")
    for number in range(start, 0, -1):
        yield number


async def ticks(step: int) -> AsyncIterator[int]:
    """Multiples of a step without an end."""
    number = 0
    while True:
        yield number
        number += step


class Pages:
    """A document by pages."""

    def __init__(self, text: str) -> None:
        self.text = text

    async def cut(self, size: int) -> AsyncIterator[str]:
        """Pages of some size; raises ValueError for no size."""
        if size < 1:
            raise ValueError("a page holds at least one letter")
        for start in range(0, len(self.text), size):
            yield self.text[start : start + size]

    async def __aiter__(self) -> AsyncIterator[str]:
        for letter in self.text:
            yield letter.upper()
'''


@pytest.mark.services
def test_generators_are_asserted_by_what_they_give(tmp_path: Path) -> None:
    """Tests collect an asynchronous generator into a list with async for, and take the first items of endless ones."""
    project = make_project(tmp_path / "project", {"stream.py": STREAM})
    answer = generate(project, "stream.py", "--evaluations", "2500")
    text = (project / "tests" / "test_stream.py").read_text()
    assert "    async def collect():\n        return [item async for item in countdown(" in text
    assert "assert asyncio.run(collect()) == " in text
    assert re.search(r"pytest.raises\(ValueError, match=.*\):\n        asyncio.run\(collect\(\)\)", text)
    assert re.search(r"async for item in ticks\(.*\):\n            items.append\(item\)\n            if len", text)
    assert re.search(r"assert list\(islice\(evens\(.*\), 5\)\) == ", text)
    assert "[item async for item in pages.cut(" in text
    assert "[item async for item in pages]" in text
    assert answer["unreached"] == []
    assert answer["suspects"] == []
    (subject,) = answer["evidence"]["subjects"]
    assert subject["missing_lines"] == []
    assert max(len(block.splitlines()) for block in re.split(r"\n\n\n", text)[1:]) <= 15
    assert " passed" in run_tests(project, "tests", "-W", "error")


PLACES = '''"""Places of files."""

import os


def data_folder(app: str) -> str:
    """Where an app keeps its data."""
    chosen = os.environ.get("PLACES_DATA_HOME", "")
    if chosen.strip():
        return chosen + ":" + app
    return "share:" + app


def is_loud() -> bool:
    """Whether much is to be said."""
    return "PLACES_LOUD" in os.environ and os.getenv("PLACES_LOUD") == "1"
'''


@pytest.mark.services
def test_environment_variables_are_set_through_monkeypatch(tmp_path: Path) -> None:
    """What a function does with an environment variable is reached by tests that set it, readable and for that test."""
    project = make_project(tmp_path / "project", {"places.py": PLACES})
    answer = generate(project, "places.py", "--evaluations", "1500")
    text = (project / "tests" / "test_places.py").read_text()
    assert re.search(r'\(monkeypatch.*\):\n    monkeypatch.setenv\("PLACES_DATA_HOME", ', text)
    assert '    monkeypatch.setenv("PLACES_LOUD", "1")\n    assert is_loud() is True' in text
    assert "import monkeypatch" not in text
    (subject,) = answer["evidence"]["subjects"]
    assert subject["missing_branches"] == []
    assert " passed" in run_tests(project, "tests")


class Terminal:
    """A pseudo terminal for a command's stderr; `lines` are the different texts that were shown so far."""

    def __init__(self) -> None:
        self.main, self.end = pty.openpty()
        self.lines: set[str] = set()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self.main, 65536):
                text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", data.decode("utf-8", "replace"))
                self.lines |= set(re.findall(r"[A-Za-z][\w:. ]{8,}[a-z]", text))

    def wait_for(self, is_seen: Callable[[set[str]], bool], seconds: float = 60.0) -> None:
        """Until the lines satisfy `is_seen`; the time is generous, because machines are busy."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not is_seen(set(self.lines)):
            time.sleep(0.1)


def start(project: Path, terminal: Terminal, *arguments: str) -> subprocess.Popen[str]:
    """The command with its stderr on a terminal."""
    command = subprocess.Popen(
        argv(*arguments),
        cwd=project,
        env=environment(project) | {"TERM": "xterm", "COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=terminal.end,
        text=True,
        start_new_session=True,
    )
    os.close(terminal.end)
    return command


@pytest.mark.services
def test_ctrl_c_keeps_what_is_done(tmp_path: Path) -> None:
    """SIGINT in the middle of the search ends it; what was found is verified and written, with exit status 130."""
    project = make_project(tmp_path / "project", {"temperature.py": TEMPERATURE})
    terminal = Terminal()
    command = start(project, terminal, "temperature.py", "--budget", "300")
    terminal.wait_for(lambda lines: any("looking for" in line for line in lines))
    time.sleep(4.0)  # the search hands over what it has every two seconds
    command.send_signal(signal.SIGINT)
    out, _ = command.communicate(timeout=100)
    assert command.returncode == 130, out
    assert re.match(r"Stopped by Ctrl-C: \d+ tests? of temperature.py kept in tests/test_temperature.py", out), out
    assert (project / "tests" / "test_temperature.py").is_file()
    assert " passed" in run_tests(project, "tests")


@pytest.mark.services
def test_ctrl_c_while_verifying_says_so_at_once_and_keeps_what_stood(tmp_path: Path) -> None:
    """SIGINT during the verification is answered on the terminal, and what stands without mutants is written."""
    project = make_project(tmp_path / "project", {"temperature.py": TEMPERATURE})
    terminal = Terminal()
    command = start(project, terminal, "temperature.py", "--evaluations", "4000")
    steps = ("interpreters", "shuffled order", "instrumented", "measuring coverage")  # a quick one may not be shown
    terminal.wait_for(lambda lines: any(step in line for line in lines for step in steps))
    command.send_signal(signal.SIGINT)
    out, _ = command.communicate(timeout=100)
    terminal.wait_for(lambda lines: any("Stopping" in line for line in lines), seconds=10.0)
    assert any("Stopping: what was found so far is verified and kept" in line for line in terminal.lines)
    assert command.returncode == 130, out
    assert re.match(r"Stopped by Ctrl-C: \d+ tests? of temperature.py kept in tests/test_temperature.py", out), out
    assert " passed" in run_tests(project, "tests")


@pytest.mark.services
def test_a_second_ctrl_c_ends_at_once_and_writes_nothing(tmp_path: Path) -> None:
    """Two signals end the command with one sentence and status 130, and no file is left."""
    project = make_project(tmp_path / "project", {"temperature.py": TEMPERATURE})
    terminal = Terminal()
    command = start(project, terminal, "temperature.py", "--budget", "300")
    terminal.wait_for(lambda lines: any("looking for" in line for line in lines))
    time.sleep(4.0)  # so that there is something to verify after the first signal
    command.send_signal(signal.SIGINT)
    terminal.wait_for(lambda lines: any("Stopping" in line for line in lines), seconds=30.0)
    command.send_signal(signal.SIGINT)
    command.communicate(timeout=60)
    terminal.wait_for(lambda lines: any("nothing was written" in line for line in lines), seconds=10.0)
    assert command.returncode == 130
    assert any("Ending at once" in line for line in terminal.lines)
    assert any("nothing was written" in line for line in terminal.lines), terminal.lines
    assert not (project / "tests").exists()


@pytest.mark.services
def test_progress_says_what_it_is_doing(tmp_path: Path) -> None:
    """On a terminal different lines say what is going on from the first seconds."""
    project = make_project(tmp_path / "project", {"temperature.py": TEMPERATURE})
    terminal = Terminal()
    command = start(project, terminal, "temperature.py", "--budget", "60")
    terminal.wait_for(lambda lines: len(lines) >= 3, seconds=30.0)
    command.send_signal(signal.SIGINT)
    command.send_signal(signal.SIGTERM)
    command.communicate(timeout=60)
    assert len(terminal.lines) >= 3, terminal.lines


@pytest.mark.services
def test_command_ends_in_time_whatever_the_code_does(tmp_path: Path) -> None:
    """A module whose functions hang, fork and exit does not hold the command beyond 1.5 budgets and 15 seconds."""
    hostile = "import os\nimport time\n\n\ndef wait(seconds: float = 1000):\n    time.sleep(1000)\n\n\n"
    hostile += (
        "def leave(status: int):\n    os._exit(status)\n\n\ndef double(number: int) -> int:\n    return number * 2\n"
    )
    project = make_project(tmp_path / "project", {"hostile.py": hostile})
    started = time.monotonic()
    subprocess.run(
        argv("hostile.py", "--budget", "20"), cwd=project, env=environment(project), check=False, timeout=100
    )
    assert time.monotonic() - started < 1.5 * 20 + 15
    assert "double(" in (project / "tests" / "test_hostile.py").read_text()
