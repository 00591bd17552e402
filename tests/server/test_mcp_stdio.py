"""The MCP server as a client meets it: a real process on stdio, in both protocols; in this process where a test is
about what an answer holds."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from aqe.server.mcp.recipes import RECIPES

OnStdio = Callable[..., Any]
Aqe = Callable[..., "subprocess.CompletedProcess[str]"]
NAMES = [
    "generate_tests",
    "verify_tests",
    "find_flaky_tests",
    "coverage_gaps",
    "select_tests",
    "review_changes",
    "query",
    "feedback",
    "route",
    "memory_add",
    "memory_search",
    "stats",
]
WRITING = {"generate_tests", "memory_add", "feedback"}


@pytest.mark.parametrize("mode", [pytest.param("legacy", marks=pytest.mark.services), "auto"])
def test_client_meets_the_server(on_stdio: OnStdio, project: Path, mode: str) -> None:
    """A client of either protocol gets the tools, prompts that name no others, a resource, and figures of an empty
    store."""

    async def meet() -> None:
        async with on_stdio(project, mode) as client:
            assert client.protocol_version == {"legacy": "2025-11-25", "auto": "2026-07-28"}[mode]
            assert "verify_tests" in client.instructions
            tools = (await client.list_tools()).tools
            assert [tool.name for tool in tools] == NAMES
            prompts = {prompt.name: prompt for prompt in (await client.list_prompts()).prompts}
            assert list(prompts) == [recipe.name for recipe in RECIPES]
            assert [str(found.uri) for found in (await client.list_resources()).resources] == ["aqe://reports/last"]
            prompt = await client.get_prompt("aqe-generate", {"target": "ages.py"})
            assert "ages.py" in prompt.messages[0].content.text
            for name in set(prompts) - {"aqe-generate"}:
                words = (await client.get_prompt(name)).messages[0].content.text
                named = re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", words)
                assert set(named) <= {*NAMES, "job_id"}
            figures = await client.call_tool("stats")
            assert not figures.is_error
            assert figures.structured_content["memories"] == 0

    anyio.run(meet)


def test_list_of_tools_is_small_and_plain(in_memory: OnStdio, project: Path) -> None:
    """The list is at most 14,000 bytes; each tool has hints, a short description and closed schemas without titles."""

    async def look() -> None:
        async with in_memory(project, "legacy") as client:
            listed = await client.list_tools()
        whole = json.dumps(listed.model_dump(mode="json", by_alias=True, exclude_none=True), separators=(",", ":"))
        print(f"list of tools: {len(whole)} bytes")
        assert len(whole) <= 14_000
        for tool in listed.tools:
            assert len(tool.description) <= 300
            assert tool.annotations.read_only_hint is (tool.name not in WRITING)
            assert tool.input_schema["additionalProperties"] is False
            assert tool.output_schema["type"] == "object"
            assert '"title"' not in json.dumps([tool.input_schema, tool.output_schema])
            assert "project" in tool.input_schema["properties"]

    anyio.run(look)


@pytest.mark.services
def test_memory_goes_in_and_comes_out(on_stdio: OnStdio, project: Path, mode: str) -> None:
    """What memory_add keeps, memory_search finds with its place, and stats counts, also after a restart."""

    async def remember() -> None:
        async with on_stdio(project, mode) as client:
            text = "The cart rounds half up, never bankers' rounding"
            (project / "cart.py").touch()
            added = await client.call_tool("memory_add", {"text": text, "file": "cart.py", "line": 3, "id": "rounding"})
            assert added.structured_content == {"id": "rounding", "existed": False, "namespace": "default"}
            await client.call_tool("memory_add", {"text": "Dates are UTC", "metadata": {"area": "time"}})
        async with on_stdio(project, mode) as client:
            found = (await client.call_tool("memory_search", {"query": "how does the cart round"})).structured_content
            assert found["mode"] == "hybrid"
            assert found["found"][0]["id"] == "rounding"
            assert 0 < found["found"][0]["vector_score"] < 1
            assert found["found"][0]["file"] == "cart.py:3"
            first = found["found"][0]
            assert (first["words_held"], first["words_asked"]) == (2, 2)
            narrow = await client.call_tool("memory_search", {"query": "dates UTC", "metadata": {"area": "space"}})
            assert narrow.structured_content["found"] == []
            assert (await client.call_tool("stats")).structured_content["memories"] == 2

    anyio.run(remember)


def test_adding_twice_and_figures_are_told(in_memory: OnStdio, project: Path) -> None:
    """memory_add says when it was kept already; stats tells each thing that its description names."""

    async def add() -> None:
        async with in_memory(project, "auto") as client:
            first = await client.call_tool("memory_add", {"text": "Dates are UTC"})
            again = await client.call_tool("memory_add", {"text": "Dates are UTC"})
            assert (first.structured_content["existed"], again.structured_content["existed"]) == (False, True)
            assert again.content[0].text.startswith("Kept already as ")
            about = await client.call_tool("memory_add", {"text": "Dates are UTC", "file": "gone/dates.py"})
            assert about.structured_content["warning"].startswith("The project has no file 'gone/dates.py'")
            assert about.content[0].text.endswith(about.structured_content["warning"])
            told = (await client.call_tool("stats")).content[0].text
            assert told.startswith("Memories: 1 (1 in default); 0 test outcomes, ")
            listed = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert "test outcomes" in listed["stats"].description
            assert "verdict" in listed["verify_tests"].input_schema["properties"]["detail"]["description"]

    anyio.run(add)


def test_figures_tell_what_was_asked_and_what_came_of_it(in_memory: OnStdio, project: Path) -> None:
    """stats counts questions, how sure their answers were, and feedback by its kind, as `aqe stats` does."""
    (project / "notes.md").write_text("# Cart\n\nA cart expires after 14 days.\n")

    async def ask() -> None:
        async with in_memory(project, "auto") as client:
            before = (await client.call_tool("stats")).structured_content["activity"]
            assert (before["queries"], before["mean_confidence"], before["signals"]) == (0, None, {})
            answer = (await client.call_tool("query", {"prompt": "When does a cart expire?"})).structured_content
            await client.call_tool("feedback", {"request_id": answer["request_id"], "rating": 5})
            after = await client.call_tool("stats")
            activity = after.structured_content["activity"]
            assert (activity["queries"], activity["signals"]) == (1, {"positive": 1})
            assert activity["mean_confidence"] == pytest.approx(answer["confidence"], abs=0.01)
            assert f"Asked: 1 query, 0 completions, mean confidence {activity['mean_confidence']:.2f}." in (
                after.content[0].text
            )
            assert after.content[0].text.endswith(" Feedback: 1 positive.")

    anyio.run(ask)


@pytest.mark.parametrize("blank", ["", "  \n"])
def test_a_search_for_nothing_is_refused(in_memory: OnStdio, project: Path, blank: str) -> None:
    """memory_search says, as the command line does, that there is nothing to look for."""

    async def search() -> None:
        async with in_memory(project, "auto") as client:
            refused = await client.call_tool("memory_search", {"query": blank})
            assert refused.is_error
            assert refused.structured_content["code"] == "bad-query"

    anyio.run(search)


def test_stats_see_what_another_process_writes(in_memory: OnStdio, aqe: Aqe, project: Path) -> None:
    """The figures kept by a server are counted anew as soon as somebody else writes."""

    async def count() -> None:
        async with in_memory(project, "legacy") as client:
            for expected in (0, 1, 2):
                assert (await client.call_tool("stats")).structured_content["memories"] == expected
                assert aqe("memory", "add", f"fact number {expected}", cwd=project).returncode == 0

    anyio.run(count)


def test_looking_leaves_no_trace(in_memory: OnStdio, project: Path) -> None:
    """stats and memory_search in a project where nothing is kept yet write nothing."""

    async def look() -> None:
        async with in_memory(project, "auto") as client:
            for _ in range(2):
                assert (await client.call_tool("stats")).structured_content["memories"] == 0
                assert (await client.call_tool("memory_search", {"query": "dates"})).structured_content["found"] == []
            assert not (project / ".aqe").exists()
            await client.call_tool("memory_add", {"text": "Dates are UTC"})
            assert (await client.call_tool("stats")).structured_content["memories"] == 1

    anyio.run(look)


MISTAKES: list[tuple[str, dict[str, Any], str]] = [
    ("stats", {"projet": "x"}, "stats has no argument 'projet'. Did you mean `project`? [unknown-argument]"),
    ("memory_add", {}, "memory_add needs `text`. Give it: one fact, complete by itself. [missing-argument]"),
    ("memory_search", {"query": "x", "k": 99}, "`k` of memory_search must lie between 1 and 50, not 99."),
    ("verify_tests", {}, "verify_tests needs `paths` or a `draft`. Or give a `job_id`. [missing-argument]"),
    ("generate_tests", {}, "generate_tests needs `target`. Or give a `job_id`. [missing-argument]"),
    ("generate_tests", {"job_id": "nil"}, "There is no job 'nil' in this project."),
    ("stats", {"project": "/no/such"}, "The project folder '/no/such' does not exist."),
    ("memory_add", {"text": "x", "namespace": "a b"}, "[bad-namespace]"),
    ("statz", {}, "There is no tool 'statz'. Did you mean `stats`? [unknown-command]"),
]
PROMPT_MISTAKES: list[tuple[str, dict[str, str], str]] = [
    (
        "aqe-generat",
        {"target": "x"},
        "There is no prompt 'aqe-generat'. Did you mean `aqe-generate`? [unknown-command]",
    ),
    ("aqe-generate", {}, "aqe-generate needs `target`."),
    ("aqe-generate", {"target": "x", "tone": "y"}, "aqe-generate has no argument 'tone'. It takes: target."),
]


def test_mistakes_are_answered_in_one_sentence(in_memory: OnStdio, project: Path) -> None:
    """A wrong call is an error the model can read: what was wrong, what to do, a code; the server goes on."""

    async def call() -> None:
        async with in_memory(project, "legacy") as client:
            for tool, arguments, sentence in MISTAKES:
                wrong = await client.call_tool(tool, arguments)
                assert wrong.is_error
                assert sentence in wrong.content[0].text
                assert "\n" not in wrong.content[0].text
                assert wrong.structured_content["code"] in wrong.content[0].text
            assert not (await client.call_tool("stats")).is_error

    anyio.run(call)


def test_wrong_prompt_is_the_protocols_error_for_wrong_params(in_memory: OnStdio, project: Path, mode: str) -> None:
    """An unknown prompt or wrong arguments of one are error -32602 with our sentence, in both protocols."""

    async def ask() -> None:
        async with in_memory(project, mode) as client:
            for prompt, arguments, sentence in PROMPT_MISTAKES:
                with pytest.raises(MCPError) as told:
                    await client.get_prompt(prompt, arguments)
                assert told.value.code == -32602
                assert told.value.message.startswith(sentence)
                assert told.value.data["code"] in told.value.message

    anyio.run(ask)


def test_answer_never_passes_8000_bytes(in_memory: OnStdio, project: Path, mode: str) -> None:
    """Many long memories come back cut, and the answer says how many fit; max_tokens moves the limit both ways."""

    async def ask() -> None:
        async with in_memory(project, mode) as client:
            for number in range(12):
                fact = {"text": f"fact {number} " + "žlutý kůň\n" * 400, "metadata": {"more": "x" * 20_000}}
                await client.call_tool("memory_add", fact)
            fit = {}
            for tokens in (None, 400, 10_000):
                asked = {"query": "fact", "k": 12, **({} if tokens is None else {"max_tokens": tokens})}
                found = await client.call_tool("memory_search", asked)
                assert len(found.model_dump_json(by_alias=True).encode()) <= 4 * (tokens or 2_000)
                fit[tokens] = len(found.structured_content["found"])
                assert ("fit; ask with a larger max_tokens" in found.content[0].text) == (fit[tokens] < 12)
            assert fit[400] < fit[None] < fit[10_000]

    anyio.run(ask)


def test_stdout_carries_the_protocol_only_and_end_of_input_ends_the_server(project: Path) -> None:
    """Every line on stdout is JSON-RPC, and the server leaves with status 0 when its input ends."""
    lines = [
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "initialize",
            "params": {
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": {"name": "by hand", "version": "1"},
            },
        },
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "stats", "arguments": {}}},
    ]
    command = [sys.executable, "-m", "aqe.server.cli", "serve", "--project", str(project)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    for line in lines:
        process.stdin.write(json.dumps(line) + "\n")
    process.stdin.flush()
    answers = [json.loads(process.stdout.readline()) for _ in range(2)]
    process.stdin.close()
    with process.stdout:
        rest = process.stdout.read()
    assert process.wait(10) == 0
    assert [answer["id"] for answer in answers] == [1, 2]
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in rest.splitlines())


@pytest.mark.parametrize(
    ("number", "status"), [pytest.param(signal.SIGINT, 130, marks=pytest.mark.services), (signal.SIGTERM, 0)]
)
def test_signal_ends_the_server_that_waits_for_input(project: Path, number: signal.Signals, status: int) -> None:
    """Ctrl-C and SIGTERM end the server although nobody closed its input."""
    command = [sys.executable, "-m", "aqe.server.cli", "serve", "--project", str(project)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"}) + "\n")
        process.stdin.flush()
        process.stdout.readline()
        process.send_signal(number)
        assert process.wait(20) == status


@pytest.mark.services
def test_project_is_the_clients_root_where_nothing_else_says_it(
    in_memory: OnStdio, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --project and outside any project, a 2025 client's first root is the project; else the call must say."""
    from mcp.client.stdio import StdioServerParameters
    from mcp_types import ListRootsResult, Root

    bare = Path("/")
    parameters = StdioServerParameters(command=sys.executable, args=["-m", "aqe.server.cli", "serve"], cwd=bare)

    async def roots(context: Any) -> ListRootsResult:
        return ListRootsResult(roots=[Root(uri=project.as_uri())])

    async def ask() -> None:
        async with Client(parameters, mode="legacy", list_roots_callback=roots) as client:
            assert (await client.call_tool("stats")).structured_content["project"] == str(project)
        monkeypatch.chdir(bare)
        async with in_memory(None, "legacy") as client:
            told = await client.call_tool("stats")
            assert "[no-project]" in told.content[0].text
            named = await client.call_tool("stats", {"project": str(project)})
            assert named.structured_content["project"] == str(project)

    anyio.run(ask)


def test_home_is_no_project_by_what_a_command_left_there(
    in_memory: OnStdio, project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that a desktop client began at home asks which project is meant, `~/.aqe` there or not."""
    home = tmp_path_factory.mktemp("home")
    (home / ".aqe").mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)

    async def ask() -> None:
        async with in_memory(None, "legacy") as client:
            told = await client.call_tool("stats")
            assert "[no-project]" in told.content[0].text
            assert "no project of its own" in told.content[0].text
            named = await client.call_tool("stats", {"project": str(project)})
            assert named.structured_content["project"] == str(project)

    anyio.run(ask)


def test_missing_report_is_said(in_memory: OnStdio, project: Path) -> None:
    """Reading the last report before there is one says so; the server stays up."""

    async def read() -> None:
        async with in_memory(project, "legacy") as client:
            with pytest.raises(MCPError, match="no-result"):
                await client.read_resource("aqe://reports/last")
            assert not (await client.call_tool("stats")).is_error

    anyio.run(read)


def test_heavy_modules_load_after_the_handshake() -> None:
    """What must be imported before `initialize` is answered holds neither numpy, apsw, settings nor an agent."""
    script = (
        "import sys\nfrom aqe.server.mcp.app import create_server\nfrom aqe.server.mcp.service import Service\n"
        "from aqe.server.mcp.tools import make_tools\nfrom aqe.server.mcp.prompts import make_prompts, make_resources\n"
        "service = Service('.')\n"
        "create_server(make_tools(service), resources=make_resources(service), prompts=make_prompts())\n"
        "heavy = {'numpy', 'apsw', 'pydantic_settings', 'coverage', 'pytest', 'aqe.agents', 'aqe.simd'}\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    start = time.monotonic()
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stderr) == (0, ""), f"after {time.monotonic() - start:.1f} s"
