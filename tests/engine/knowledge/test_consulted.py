"""The knowledge answers what is about testing, and stays out of questions about the project."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

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
