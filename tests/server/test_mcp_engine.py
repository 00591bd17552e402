"""query, feedback and route over MCP: answers with their places, what was wrong remembered, routes told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from aqe.engine.memory.file.connection import open_connection

OnStdio = Callable[..., Any]


@pytest.fixture
def documented(project: Path) -> Path:
    """The small project with a page of docs."""
    (project / "README.md").write_text("# Ages\n\nA person is an adult from the age of 18 on.\n")
    return project


def test_question_is_answered_with_file_and_line(in_memory: OnStdio, documented: Path, mode: str) -> None:
    """query quotes the place that answers, in the text and as data, and says so where nothing does."""

    async def ask() -> None:
        async with in_memory(documented, mode) as client:
            found = await client.call_tool("query", {"prompt": "From what age on is a person an adult?"})
            data = found.structured_content
            assert not found.is_error
            assert data["answered"]
            assert data["citations"][0]["file"] == "README.md"
            assert data["citations"][0]["line"] == 3
            assert "from the age of 18 on. [README.md:3]" in found.content[0].text
            assert data["request_id"] in found.content[0].text
            unknown = await client.call_tool("query", {"prompt": "Which colour has the delivery van of Rotterdam?"})
            assert not unknown.structured_content["answered"]
            assert unknown.content[0].text.startswith("I do not know")

    anyio.run(ask)


@pytest.mark.services
def test_change_of_a_file_is_seen_by_the_next_question(in_memory: OnStdio, documented: Path) -> None:
    """The index follows the project while the server runs."""

    async def ask() -> None:
        async with in_memory(documented, "auto") as client:
            question = {"prompt": "Where is the warehouse?"}
            assert not (await client.call_tool("query", question)).structured_content["answered"]
            (documented / "docs.md").write_text("# Places\n\nThe warehouse is in Utrecht.\n")
            with anyio.fail_after(60):
                while "Utrecht" not in (await client.call_tool("query", question)).content[0].text:
                    await anyio.sleep(0.5)

    anyio.run(ask)


@pytest.mark.services
def test_what_an_answer_quoted_is_not_stored_as_a_memory(in_memory: OnStdio, documented: Path) -> None:
    """An assistant that remembers what query just told it is given the passage's id; a fact of its own is kept, for as
    many seconds as a number says."""

    async def ask() -> None:
        async with in_memory(documented, "auto") as client:
            question = {"prompt": "From what age on is a person an adult?"}
            assert (await client.call_tool("query", question)).structured_content["answered"]
            copy = {"text": "Remember: a person is an adult from the age of 18 on"}
            again = (await client.call_tool("memory_add", copy)).structured_content
            assert (again["existed"], again["recalled"]) == (True, True)
            assert again["namespace"].startswith("index/")
            own = {"text": "A person is an adult from the age of 21 on", "ttl": "30d"}
            assert not (await client.call_tool("memory_add", own)).structured_content["existed"]
            wrong = await client.call_tool("memory_add", {**own, "ttl": "soon"})
            assert wrong.structured_content["code"] == "bad-ttl"
            for number in (-1, "5"):
                wrong = await client.call_tool("memory_add", {**own, "ttl": number})
                assert wrong.structured_content["code"] == "bad-ttl"
            fact = {"text": "The build is green until tonight", "id": "tonight", "ttl": 3600}
            assert not (await client.call_tool("memory_add", fact)).is_error

    anyio.run(ask)


def test_a_memory_keeps_the_end_that_is_later(in_memory: OnStdio, documented: Path) -> None:
    """memory_add of a text that is there takes no end from it that is earlier than its own, and says so."""

    async def add() -> None:
        async with in_memory(documented, "auto") as client:
            fact = {"text": "The staging key is green"}
            await client.call_tool("memory_add", {**fact, "ttl": "never"})
            again = await client.call_tool("memory_add", {**fact, "ttl": "1s"})
            assert again.structured_content["kept_end"]
            assert "It has no end and keeps none" in again.content[0].text

    anyio.run(add)


def test_query_of_a_namespace_without_a_memory_says_so(in_memory: OnStdio, documented: Path) -> None:
    """query of a namespace that nothing is in says so, and which there are."""

    async def ask() -> None:
        async with in_memory(documented, "auto") as client:
            await client.call_tool("memory_add", {"text": "The staging key is green", "namespace": "notes"})
            said = await client.call_tool("query", {"prompt": "Which key is green?", "namespace": "note"})
            assert not said.structured_content["answered"]
            assert "No memory is in the namespace 'note'; there are memories in notes" in said.content[0].text
            assert said.structured_content["absent"]["nearest"] == ["notes"]

    anyio.run(ask)


def test_search_of_a_namespace_without_a_memory_says_so(in_memory: OnStdio, documented: Path) -> None:
    """memory_search says how many words of the query a hit holds, and whether any does; of a namespace that nothing is
    in it says so in both forms of its answer, where only the words find nothing in neither."""

    async def look() -> None:
        async with in_memory(documented, "auto") as client:
            await client.call_tool("memory_add", {"text": "The staging key is green", "namespace": "notes"})
            said = await client.call_tool("memory_search", {"query": "key", "namespace": "note"})
            near = await client.call_tool("memory_search", {"query": "what is the staging key", "namespace": "notes"})
            assert near.structured_content["found"][0]["words_held"] == 2
            assert " (2 of 2 words, cosine 0." in near.content[0].text
            far = await client.call_tool("memory_search", {"query": "zebra", "namespace": "notes"})
            assert "None holds a word of the query" in far.content[0].text
            told = "No memory is in the namespace 'note'; there are memories in notes."
            assert said.content[0].text.endswith(told)
            absent = {"namespace": "note", "nearest": ["notes"], "told": told}
            assert said.structured_content == {"mode": "hybrid", "found": [], "absent": absent}
            only = {"query": "key", "namespace": "notes", "metadata": {"team": "none"}}
            assert "absent" not in (await client.call_tool("memory_search", only)).structured_content

    anyio.run(look)


def test_search_without_its_vectors_says_so(in_memory: OnStdio, documented: Path) -> None:
    """Where the vectors cannot be read memory_search answers by words, and says so in both forms of its answer."""

    async def look() -> None:
        async with in_memory(documented, "auto") as client:
            await client.call_tool("memory_add", {"text": "The staging key is green"})
            connection = open_connection(documented / ".aqe" / "aqe.db")
            names = connection.execute("SELECT name FROM sqlite_schema WHERE name GLOB 'vectors_*_chunks00'").fetchall()
            for (table,) in names:
                connection.execute(f"UPDATE {table} SET vectors = x'00'")
            connection.close()
            found = await client.call_tool("memory_search", {"query": "staging key"})
            assert (found.structured_content["mode"], len(found.structured_content["found"])) == ("text", 1)
            assert "`aqe memory repair`" in found.structured_content["note"]
            assert found.structured_content["note"] in found.content[0].text

    anyio.run(look)


def test_query_says_that_a_session_begins(in_memory: OnStdio, documented: Path) -> None:
    """The first question of a session says that it begins one, and which name is near; the next one does not."""

    async def ask() -> None:
        async with in_memory(documented, "auto") as client:
            call = {"prompt": "When is shipping free?", "session": "pricing"}
            said = await client.call_tool("query", call)
            assert "The session 'pricing' begins with this question." in said.content[0].text
            assert "begun" not in (await client.call_tool("query", call)).structured_content
            other = (await client.call_tool("query", {**call, "session": "pricng"})).structured_content
            assert (other["begun"]["nearest"], other["begun"]["mistaken_for"]) == (["pricing"], "pricing")
            kept = await client.call_tool("memory_add", {"text": "A look at sessions keeps no hold of the store"})
            assert not kept.is_error

    anyio.run(ask)


def test_correction_is_remembered(in_memory: OnStdio, documented: Path) -> None:
    """What was corrected is found afterwards; an unknown request is refused by its code."""

    async def teach() -> None:
        async with in_memory(documented, "auto") as client:
            said = await client.call_tool("query", {"prompt": "Who owns the billing service?"})
            request = said.structured_content["request_id"]
            told = {"request_id": request, "correction": "The billing service is owned by team Heron."}
            taught = await client.call_tool("feedback", told)
            assert taught.structured_content["memory_id"]
            again = await client.call_tool("query", {"prompt": "Who owns the billing service?"})
            assert "team Heron" in again.content[0].text
            assert ", 1 memory marked. The correction is" in taught.content[0].text
            wrong = await client.call_tool("feedback", {"request_id": request, "used": ["bogus"]})
            assert "`used` names 'bogus'" in wrong.content[0].text
            wrong = await client.call_tool("query", {"question": "Who owns it?"})
            assert "Did you mean `prompt`?" in wrong.content[0].text
            refused = await client.call_tool("feedback", {"request_id": "nil", "rating": 5})
            assert refused.is_error
            assert refused.structured_content["code"] == "unknown-request"

    anyio.run(teach)


def test_route_is_explained(in_memory: OnStdio, documented: Path) -> None:
    """route says where a request would go and why; a completion without any model is the error that says how to add
    one."""

    async def look() -> None:
        async with in_memory(documented, "auto") as client:
            found = (await client.call_tool("route", {"prompt": "Where are refunds?"})).structured_content
            assert (found["provider"], found["tier"]) == ("extractive", "extractive")
            assert 0 <= found["score"] <= 1
            refused = await client.call_tool("route", {"prompt": "Write a poem", "needs_model": True})
            assert refused.structured_content["code"] == "no-model"

    anyio.run(look)


def test_text_of_withheld_files_does_not_come_back(in_memory: OnStdio, documented: Path) -> None:
    """A file that privacy.never_send covers is cited by its place, never by its words."""
    pyproject = documented / "pyproject.toml"
    pyproject.write_text(pyproject.read_text() + '[tool.aqe.privacy]\nnever_send = ["README.md"]\n')

    async def ask() -> None:
        async with in_memory(documented, "auto") as client:
            found = await client.call_tool("query", {"prompt": "From what age on is a person an adult?"})
            assert "README.md:3" in found.content[0].text
            assert "from the age" not in found.model_dump_json()

    anyio.run(ask)
