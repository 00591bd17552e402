"""The knowledge answers what is about testing, and stays out of questions about the project."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from aqe.engine.answer import Answer, QueryConfig
from aqe.engine.engine import Engine


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one page of docs."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "pyproject.toml").write_text("")
    (root / "README.md").write_text("# Parcels\n\nShipping a parcel of 400 grams costs 390 cents.\n")
    return root


def ask(project: Path, question: str) -> tuple[bool, set[str]]:
    """Whether the question is answered, and the namespaces of what it was answered from."""

    async def run() -> tuple[bool, set[str]]:
        async with await Engine.open(project, providers=()) as engine:
            await engine.index()
            answer = await engine.query(question)
            return answer.answered, {namespace for namespace, _ in answer.context}

    return anyio.run(run)


def test_question_about_testing_is_answered_with_an_entry(project: Path) -> None:
    """A question about testing that the project says nothing about is answered from the knowledge."""
    answered, namespaces = ask(project, "What is the most frequent reason for flaky tests in Python?")
    assert answered
    assert "knowledge/flaky" in namespaces


def test_question_about_the_project_is_answered_without_it(project: Path) -> None:
    """A question about the project rests on the project alone."""
    answered, namespaces = ask(project, "What does shipping a parcel of 400 grams cost?")
    assert answered
    assert not any(namespace.startswith("knowledge/") for namespace in namespaces)


def test_knowledge_can_be_switched_off(project: Path) -> None:
    """With `knowledge.enabled = false` nothing is put into the store and nothing is known about testing."""
    (project / "pyproject.toml").write_text("[tool.aqe]\nknowledge.enabled = false\n")
    answered, namespaces = ask(project, "What is the most frequent reason for flaky tests in Python?")
    assert (answered, namespaces & {"knowledge/flaky"}) == (False, set())


@pytest.mark.parametrize(
    ("question", "entry"),
    [
        ("What is an eager test?", "eager-test"),
        ("What is wrong with a test that calls several methods?", "eager-test"),
        ("Why should I run the suite in random order?", "independent-tests"),
        ("How do I skip tests when numpy is not installed?", "importorskip"),
    ],
)
def test_an_answer_about_testing_cites_its_entry(project: Path, question: str, entry: str) -> None:
    """An entry answers by what it says, however unlike the question it is as a whole, and the context names it."""

    async def run() -> Answer:
        async with await Engine.open(project, providers=()) as engine:
            await engine.index()
            return await engine.query(question)

    answer = anyio.run(run)
    assert answer.answered
    assert entry in {one.id for one in answer.citations}
    assert {one.id for one in answer.citations} <= {id for _, id in answer.context}


@pytest.mark.parametrize(
    "question",
    [
        "Which kernel does the firewall need?",
        "How do I export the calendar to a phone?",
        "How many tests are there?",
        "Which of our tests are flaky?",
        "What does the clock fixture return?",
    ],
)
def test_what_nobody_knows_is_not_answered_by_the_knowledge(project: Path, question: str) -> None:
    """A question that neither the project nor the knowledge answers stays without an answer."""
    answered, _ = ask(project, question)
    assert not answered


def test_a_namespace_of_the_knowledge_can_be_asked(project: Path) -> None:
    """A query of one namespace is answered by the entries in it, and of another one is not."""

    async def run(namespace: str) -> Answer:
        async with await Engine.open(project, providers=()) as engine:
            return await engine.query("What is an eager test?", config=QueryConfig(namespace=namespace))

    assert "eager-test" in {one.id for one in anyio.run(run, "knowledge/smells").citations}
    assert "eager-test" not in {one.id for one in anyio.run(run, "knowledge/flaky").citations}
