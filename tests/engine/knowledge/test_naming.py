"""What something is, asked by its name, is told by the entry that bears the name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from aqe.engine.answer import Answer, QueryConfig
from aqe.engine.engine import Engine
from aqe.engine.knowledge import add_entry, refresh, remove_entries
from aqe.engine.knowledge.naming import named_entry
from aqe.engine.memory import Store
from aqe.engine.providers.extractive import Passage, extract_known, tell_entry


@pytest.fixture(scope="module")
def shelf() -> Iterator[Store]:
    """A store with the shipped entries."""
    with Store.open(Path(":memory:")) as store:
        refresh(store, None)
        yield store


@pytest.mark.parametrize(
    ("question", "entry"),
    [
        ("What is a flaky test?", "flaky-test"),
        ("what's a mutant", "mutant"),
        ("What are equivalent mutants?", "equivalent-mutants"),
        ("What does TDD stand for?", "test-driven-development"),
        ("What is meant by decision coverage?", "branch-coverage"),
        ("Can you explain what an eager test is?", "eager-test"),
        ("define golden master", "snapshot-test"),
        ("What is a pytest fixture?", "fixture"),
        ("What is characterization testing?", "characterisation-tests"),
        ("hypothesis health checks", "hypothesis-health-check"),
        ('What is "xfail"?', "skip-or-xfail"),
        ("What is the coupling effect?", "coupling-effect"),
    ],
)
def test_the_entry_of_that_name_is_found(shelf: Store, question: str, entry: str) -> None:
    """A question for what something is finds the entry of that name, in whatever form it is asked."""
    found = named_entry(shelf, question)
    assert found is not None
    assert found.id == entry


@pytest.mark.parametrize(
    "question",
    [
        "What is the default retry delay?",
        "What is the marker?",
        "What is our fixture?",
        "What is a marker on the map?",
        "How do I kill a mutant?",
        "What is a parcel?",
        "What is pytest?",
        "What is a time zone?",
        "?",
    ],
)
def test_another_question_finds_no_entry_by_name(shelf: Store, question: str) -> None:
    """A question for something of the project, or for more than what a thing is, names no entry."""
    assert named_entry(shelf, question) is None


def test_own_entry_is_found_by_its_title_and_a_removed_one_no_more(store: Store) -> None:
    """An entry of the project's own answers to its name; a shipped one that was removed does not."""
    refresh(store, None)
    text = "A parcel run is one night of the sorter."
    id = add_entry(store, None, text, namespace="quality", title="Parcel run")
    found = named_entry(store, "What is a parcel run?")
    assert found is not None
    assert found.id == id
    remove_entries(store, ["fuzzing"])
    assert named_entry(store, "What is fuzzing?") is None


@pytest.mark.parametrize(
    ("title", "question"),
    [
        ("Our clock", "What is our clock?"),
        ("Our clock", "our clock"),
        ("Our clock", "What is the clock?"),
        ("The night bell", "what's a night bell"),
        ("Harbour bell", "What is the harbour bell?"),
        ("Harbour bell", "What is a harbour bell?"),
        ("Harbour bell", "Can you explain what our harbour bell is?"),
        ("Clock", "What is the clock?"),
    ],
)
def test_whose_a_thing_is_is_no_part_of_the_name_of_an_own_entry(store: Store, title: str, question: str) -> None:
    """An entry of the project's own is found by its title with and without `the`, `our` and `a`, however it begins."""
    refresh(store, None)
    id = add_entry(store, None, "Use the fake one at noon.", namespace="quality", title=title)
    found = named_entry(store, question)
    assert found is not None
    assert found.id == id
    assert named_entry(store, "What is the bell of the harbour master?") is None


def test_an_own_entry_stands_before_quotes_without_its_name(tmp_path: Path) -> None:
    """A project whose lines have a word of the name alone says nothing of the thing: the own entry answers. A line that
    names it stands first."""
    (tmp_path / "pyproject.toml").write_text("")
    readme = tmp_path / "README.md"
    text = "The harbour fee is 3 euros.\n\nThe harbour master is Mr. Tide.\n\nThe bell is brass."
    readme.write_text(f"# Ferry\n\n{text}\n\nTickets are sold on board. Dogs travel for two euros.\n")

    async def run() -> list[str | None]:
        async with await Engine.open(tmp_path, providers=()) as engine:
            own = {"namespace": "quality", "title": "Harbour bell"}
            add_entry(engine._store, None, "Rung before each departure.", **own)
            await engine.index()
            first = await engine.query("What is the harbour bell?")
            readme.write_text("# Ferry\n\nThe harbour bell is a brass bell at the pier.\n")
            await engine.index()
            second = await engine.query("What is the harbour bell?")
            assert "Rung before each departure." in first.text
            return [one.file for one in (*first.citations, *second.citations)]

    assert anyio.run(run) == [None, "README.md"]


def test_an_own_entry_does_not_displace_the_section_of_its_name(tmp_path: Path) -> None:
    """What stands under a heading of that name tells of the thing, though its sentence has no word of it."""
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "README.md").write_text(
        "# Shop\n\n## Release train\n\nEvery Tuesday at noon all that is merged leaves.\n"
    )

    async def run() -> list[str | None]:
        async with await Engine.open(tmp_path, providers=()) as engine:
            add_entry(engine._store, None, "Gone since May.", namespace="quality", title="Release train")
            await engine.index()
            return [one.file for one in (await engine.query("What is the release train?")).citations]

    assert anyio.run(run) == ["README.md"]


def ask(project: Path, question: str, config: QueryConfig | None = None) -> Answer:
    """The answer of a fresh engine."""

    async def run() -> Answer:
        async with await Engine.open(project, providers=()) as engine:
            await engine.index()
            return await engine.query(question, config=config or QueryConfig())

    return anyio.run(run)


def test_the_answer_is_the_whole_entry(tmp_path: Path) -> None:
    """What something is is answered by one entry, whole and once, and the entry is cited and named as context."""
    (tmp_path / "pyproject.toml").write_text("")
    answer = ask(tmp_path, "What is fuzzing?")
    assert answer.text.startswith("Fuzzing feeds a program")
    assert answer.text.endswith("[memory fuzzing]")
    assert answer.text.count("Fuzzing feeds") == 1
    assert [one.id for one in answer.citations] == ["fuzzing"]
    assert ("knowledge/quality", "fuzzing") in answer.context
    assert ask(tmp_path, "What is an equivalent mutant?").text.startswith("An equivalent mutant behaves")


def test_the_project_comes_before_an_entry_of_that_name(tmp_path: Path) -> None:
    """What the project says of a thing stands before what the knowledge says of its name."""
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "README.md").write_text("# Map\n\nA marker is a coloured pin that a user puts on the map.\n")
    answer = ask(tmp_path, "What is a marker?")
    assert "coloured pin" in answer.text
    assert {one.file for one in answer.citations} == {"README.md"}


def test_a_namespace_that_is_asked_tells_its_own_names_alone(tmp_path: Path) -> None:
    """A query of one part of the knowledge is answered by a name of that part, and of another part is not."""
    (tmp_path / "pyproject.toml").write_text("")
    asked = "What is fuzzing?"
    assert ask(tmp_path, asked, QueryConfig(namespace="knowledge/quality")).citations[0].id == "fuzzing"
    assert "fuzzing" not in {one.id for one in ask(tmp_path, asked, QueryConfig(namespace="knowledge/flaky")).citations}


def test_names_are_not_told_with_the_knowledge_switched_off(tmp_path: Path) -> None:
    """With `knowledge.enabled = false` a name is not answered, also where the entries are in the store."""
    (tmp_path / "pyproject.toml").write_text("")
    assert ask(tmp_path, "What is fuzzing?").answered
    (tmp_path / "pyproject.toml").write_text("[tool.aqe]\nknowledge.enabled = false\n")
    assert not ask(tmp_path, "What is fuzzing?").answered


def test_a_long_entry_of_ones_own_is_quoted_in_part() -> None:
    """Of an entry too long for an answer the lines that answer are quoted, and it is not told by its name."""
    rest = "\n\n".join(f"Line {number} of the sorter is cleaned by hand." for number in range(40))
    text = f"Parcel run\nA parcel run is one night of the sorter.\n\n{rest}"
    entry = Passage("run", text, None, None, 1.0, "knowledge/quality")
    answer = extract_known("What is a parcel run?", [entry], threshold=0.0)
    assert "one night of the sorter" in answer.text
    assert len(answer.text) < len(text) / 2
    assert tell_entry(entry, 0.9) is None
