"""The kill map says what running each test alone against a changed source file says."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aqe.agents.gate.evidence import MutantResult
from aqe.agents.gate.verify import VerifyRequest, verify

SUBJECT = """
import functools

RATES = {"a": 2, "b": 3}
UNIT = 10


def rate(kind, factor=UNIT):
    if kind not in RATES:
        raise KeyError("unknown " + kind)
    return RATES[kind] * factor


@functools.lru_cache(maxsize=None)
def triangle(n):
    total = 0
    for number in range(1, n + 1):
        if number % 7 == 0:
            continue
        total += number
    return total


def words(text, sep=" "):
    found = [word.lower() for word in text.split(sep) if word]
    return found[:3]


class Account:
    minimum = 0

    def __init__(self, balance=0):
        self.balance = balance

    def draw(self, amount):
        if amount <= 0 or not self.balance - amount >= self.minimum:
            return False
        self.balance -= amount
        return True
"""

TESTS = """
import pytest
from ledger import Account, rate, triangle, words


def test_rate():
    assert rate("a") == 20


def test_unknown_rate():
    with pytest.raises(KeyError):
        rate("z")


def test_triangle():
    assert triangle(4) == 10


def test_triangle_again():
    assert triangle(4) == 10 and triangle(8) == 29


def test_words():
    assert words("A b  C d") == ["a", "b", "c"]


def test_draw():
    account = Account(5)
    assert account.draw(5)
    assert not account.draw(1)
    assert account.balance == 0
"""


SINGLE = """
import importlib, json, os, signal, sys
import pytest
from _pytest.config import default_plugins
for name in default_plugins:
    importlib.import_module("_pytest." + name)
for line in sys.stdin:
    folder, test = json.loads(line)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        for number in (0, 1, 2):
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
        os.chdir(folder)
        os._exit(pytest.main(["-q", "-p", "no:cacheprovider", test]))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Runs one test in a fork of a process that has imported pytest and run nothing; a status below zero is a signal's."""


@pytest.mark.services
def test_kill_map_is_what_single_runs_say(tmp_path: Path) -> None:
    """For 50 mutants each test is run alone in a fresh process against the changed file: the same tests fail."""
    (tmp_path / "ledger.py").write_text(SUBJECT)
    (tmp_path / "test_ledger.py").write_text(TESTS)
    evidence = verify(
        VerifyRequest(tests=("test_ledger.py",), project=str(tmp_path), max_mutants=None, seed=3)
    ).evidence
    names = [test.name for test in evidence.tests]
    programs = [(mutant, text) for mutant in evidence.mutants for text in changed_sources(SUBJECT, mutant)]
    assert len(programs) >= 50
    step = len(programs) / 50
    chosen = [programs[int(position * step)] for position in range(50)]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", SINGLE], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as single:
        alone = [killers_alone(single, tmp_path, mutant.id, text, names) for mutant, text in chosen]
    differing = [
        (mutant.id, sorted(mutant.killed_by), killers)
        for (mutant, _), killers in zip(chosen, alone, strict=True)
        if sorted(mutant.killed_by) != killers
    ]
    assert differing == []


def killers_alone(single: subprocess.Popen[str], folder: Path, name: str, source: str, tests: list[str]) -> list[str]:
    """The tests that fail, each in a process of its own, beside this source of the subject."""
    place = folder / re.sub(r"\W", "_", name)
    place.mkdir()
    (place / "ledger.py").write_text(source)
    (place / "test_ledger.py").write_text(TESTS)
    assert single.stdin is not None
    assert single.stdout is not None
    failed = []
    for test in tests:
        single.stdin.write(json.dumps([str(place), test]) + "\n")
        single.stdin.flush()
        status = int(single.stdout.readline())
        assert status in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, -signal.SIGALRM)
        if status:
            failed.append(test)
    return sorted(failed)


def changed_sources(source: str, mutant: MutantResult) -> Iterator[str]:
    """The source with one mutant applied to its text, where the text alone says how."""
    _, line, column = mutant.id.split(":")[:3]
    lines = source.splitlines(keepends=True)
    row = lines[int(line) - 1]
    if mutant.operator in ("comparison", "arithmetic", "boolean operator", "augmented assignment"):
        start = row.index(f" {mutant.original} ", int(column)) + 1
    elif mutant.operator in ("number", "string", "returned value", "assigned value", "condition", "loop jump"):
        start = find(row, mutant.original, int(column))
    elif mutant.operator == "remove raise":
        start = int(column)
    else:
        return
    if start < 0:
        return
    changed = row[:start] + mutant.replacement + row[start + len(mutant.original) :]
    text = "".join([*lines[: int(line) - 1], changed, *lines[int(line) :]])
    try:
        ast.parse(text)
    except SyntaxError:
        return
    yield text


def find(row: str, original: str, column: int) -> int:
    """Where the original text stands in the row; strings may be quoted the other way."""
    spellings = (original, original.replace("'", '"'))
    return next((column for spelling in spellings if row.startswith(spelling, column)), row.find(original, column))
