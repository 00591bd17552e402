"""`aqe mcp install`: a client's file is changed as shown, with a backup, and the command in it starts the server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import jsonschema
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from aqe.engine.errors import UserError
from aqe.server.cli import main
from aqe.server.clients import CLIENTS, apply, own_command, plan_block, plan_server
from aqe.server.clients.block import BEGIN, END, with_block
from aqe.server.clients.installing import has_server

FILES = {"claude": ".mcp.json", "cursor": ".cursor/mcp.json", "vscode": ".vscode/mcp.json"}
Shown = dict[str, Any]


@pytest.fixture
def install(project: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Shown]:
    """Run `aqe mcp install` with --json and give back what it tells."""

    def run(*words: str, status: int = 0) -> Shown:
        assert main(["mcp", "install", *words, "--json", "--project", str(project)]) == status
        told: Shown = json.loads(capsys.readouterr().out)
        name = "error" if status else "mcp-install"
        schema = Path(__file__).resolve().parents[2] / "docs" / "schemas" / f"{name}.json"
        jsonschema.validate(told, json.loads(schema.read_text(encoding="utf-8")))
        return told

    return run


def entry_in(path: Path) -> dict[str, Any]:
    """aqe's entry in a client's file of plain JSON."""
    whole = json.loads(path.read_text(encoding="utf-8"))
    found: dict[str, Any] = whole["servers" if path.parent.name == ".vscode" else "mcpServers"]["aqe"]
    return found


@pytest.mark.parametrize("client", FILES)
def test_a_new_file_is_written_and_a_second_time_changes_nothing(
    client: str, project: Path, install: Callable[..., Shown]
) -> None:
    """Without a file one is made where the client looks for it; what was written is told, and done once."""
    path = project / FILES[client]
    shown = install(client)
    assert (shown["files"][0]["state"], shown["files"][0]["written"]) == ("new", False)
    assert not path.exists()
    told = install(client, "--yes")["files"][0]
    assert told["written"] is True
    assert told["backup"] is None
    assert f"+++ {path}" in told["difference"]
    before = path.read_bytes()
    assert install(client, "--yes")["files"] == [
        {"path": str(path), "state": "unchanged", "written": False, "backup": None, "difference": ""}
    ]
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.glob("*mcp.json*")] == [path.name]


@pytest.mark.services
@pytest.mark.parametrize(
    "client",
    ["cursor", pytest.param("claude", marks=pytest.mark.services), pytest.param("vscode", marks=pytest.mark.services)],
)
def test_written_command_starts_the_server(client: str, project: Path, install: Callable[..., Shown]) -> None:
    """What stands in the file, with the client's own variables filled in, is a server that answers."""
    install(client, "--yes")
    entry = entry_in(project / FILES[client])
    arguments = [word.replace("${workspaceFolder}", str(project)) for word in entry["args"]]
    parameters = StdioServerParameters(command=entry["command"], args=arguments, cwd=project, env=dict(os.environ))

    async def ask() -> None:
        async with Client(parameters, read_timeout_seconds=120) as connected:
            assert (await connected.call_tool("stats")).structured_content["project"] == str(project)

    anyio.run(ask)


def test_owners_file_keeps_comments_and_a_backup(project: Path, install: Callable[..., Shown]) -> None:
    """Comments, other servers and aqe's own `env` stay; the backup is the old file, also the second time."""
    path = project / ".vscode" / "mcp.json"
    path.parent.mkdir()
    mine = (
        '{\r\n\t// ours\r\n\t"servers": {\r\n\t\t"aqe": {"command": "old", "env": {"A": "1"}}, // mine\r\n\t},\r\n}\r\n'
    )
    path.write_bytes(b"\xef\xbb\xbf" + mine.encode())
    told = install("vscode", "--yes", "--command", "uvx aqe")["files"][0]
    after = path.read_bytes().decode("utf-8")
    assert after.startswith("\ufeff{\r\n\t// ours\r\n")
    assert '"command": "uvx", "env": {"A": "1"}' in after
    assert '"args": ["aqe", "serve", "--project", "${workspaceFolder}"]' in after
    assert "}, // mine\r\n\t},\r\n}\r\n" in after
    assert "\n" not in after.replace("\r\n", "")
    assert Path(told["backup"]).read_bytes() == b"\xef\xbb\xbf" + mine.encode()
    second = install("vscode", "--yes", "--command", "aqe")["files"][0]["backup"]
    assert Path(second).read_bytes().decode("utf-8") == after
    assert second != told["backup"]


def test_entry_of_another_kind_is_replaced_whole(project: Path, install: Callable[..., Shown]) -> None:
    """An entry for HTTP has no `url` left beside the command."""
    (project / ".mcp.json").write_text('{"mcpServers": {"aqe": {"type": "http", "url": "http://127.0.0.1:1/mcp"}}}')
    install("claude", "--yes")
    assert set(entry_in(project / ".mcp.json")) == {"type", "command", "args"}


def test_users_own_file_is_where_the_client_looks(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --user the file lies in the home folder or where CLAUDE_CONFIG_DIR says, and names no workspace."""
    monkeypatch.setenv("HOME", str(project / "home"))
    monkeypatch.delenv("CLAUDE_CONFIG_DIR", raising=False)
    places = {name: plan_server(client, project, user=True, command=["aqe"]) for name, client in CLIENTS.items()}
    assert places["claude"].path == project / "home" / ".claude.json"
    assert places["cursor"].path == project / "home" / ".cursor" / "mcp.json"
    assert all(b'"args": ["serve"]' in place.after for place in places.values())
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(project / "own"))
    assert CLIENTS["claude"].file(project, user=True) == project / "own" / ".claude.json"


def test_link_stays_a_link_and_rights_stay(project: Path) -> None:
    """A file that is a link into somebody's dotfiles is changed there, with the rights that it had."""
    real = project / "dotfiles" / "mcp.json"
    real.parent.mkdir()
    real.write_text("{}")
    real.chmod(0o600)
    (project / ".mcp.json").symlink_to(real)
    backup = apply(plan_server(CLIENTS["claude"], project, user=False, command=["aqe"]))
    assert (project / ".mcp.json").is_symlink()
    assert entry_in(real)["command"] == "aqe"
    assert backup == real.with_name("mcp.json.aqe-backup")
    assert [path.stat().st_mode & 0o777 for path in (real, backup)] == [0o600, 0o600]


def test_file_that_changed_meanwhile_is_left_alone(project: Path) -> None:
    """What was written between the showing and the writing is not lost."""
    change = plan_server(CLIENTS["claude"], project, user=False, command=["aqe"])
    (project / ".mcp.json").write_text('{"mine": 1}')
    with pytest.raises(UserError) as caught:
        apply(change)
    assert caught.value.code == "file-changed"
    assert (project / ".mcp.json").read_text() == '{"mine": 1}'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"mcpServers": {', "line 1, column 17"),
        (b"servers: yaml", "line 1, column 1"),
        (b'{"mcpServers": []}', "mcpServers must be an object"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8"),
    ],
)
def test_file_that_is_no_json_is_said_and_left(
    content: bytes, words: str, project: Path, install: Callable[..., Shown]
) -> None:
    """A broken file is named with the place of the mistake; neither it nor CLAUDE.md is written."""
    (project / ".mcp.json").write_bytes(content)
    error = install("claude", "--yes", "--block", status=2)["error"]
    assert error["code"] == "bad-client-config"
    assert words in error["message"]
    assert (project / ".mcp.json").read_bytes() == content
    assert sorted(path.name for path in project.iterdir() if "mcp" in path.name or "CLAUDE" in path.name) == [
        ".mcp.json"
    ]


def test_block_goes_between_its_markers_alone(project: Path, install: Callable[..., Shown]) -> None:
    """The block is added at the end, renewed in its place, and what stands around it stays, byte for byte."""
    guide = project / "CLAUDE.md"
    guide.write_bytes(b"# Rules\r\n\r\nNo tabs.")
    install("claude", "--yes", "--block")
    first = guide.read_bytes().decode()
    assert first.startswith("# Rules\r\n\r\nNo tabs.\r\n\r\n" + BEGIN)
    assert "verify_tests" in first
    assert "\n" not in first.replace("\r\n", "")
    moved = first.replace("verify_tests", "gone") + "\r\nMore.\r\n"
    guide.write_bytes(moved.encode())
    told = install("claude", "--yes", "--block")["files"][1]
    assert told["state"] == "changed"
    assert guide.read_bytes().decode() == first + "\r\nMore.\r\n"
    assert Path(told["backup"]).read_bytes() == moved.encode()
    assert install("cursor", "--yes", "--block")["files"][1]["path"] == str(project / "AGENTS.md")


@pytest.mark.parametrize(
    "text", [f"{BEGIN}\nx\n", f"x\n{END}\n", f"{END}\n{BEGIN}\n", f"{BEGIN}\n{END}\n{BEGIN}\n{END}"]
)
def test_half_a_block_is_said_and_left(text: str, project: Path) -> None:
    """Markers that do not stand once each in their order are not guessed at."""
    (project / "CLAUDE.md").write_text(text)
    with pytest.raises(UserError) as caught:
        plan_block(CLIENTS["claude"], project)
    assert caught.value.code == "bad-client-config"
    assert "CLAUDE.md" in caught.value.message


def test_block_names_tools_that_there_are() -> None:
    """Each name in the block that looks like a tool is one of the design's table."""
    from aqe.server.clients.block import WORDS
    from aqe.server.mcp.recipes import RECIPES

    known = {tool for recipe in RECIPES for tool in recipe.tools} | {"query", "feedback", "memory_add", "memory_search"}
    named = {word.strip("`,;. ") for word in WORDS.split() if word.startswith("`")}
    assert {name for name in named if "_" in name and "=" not in name} - {"job_id"} <= known
    assert with_block(with_block("x\n")) == with_block("x\n")
    assert len(WORDS) <= 1_500


def test_nothing_is_written_where_nobody_can_be_asked(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal and without --yes the command says so; --print shows the difference alone."""

    def tried(*words: str) -> tuple[int, str, str]:
        status = main(["mcp", "install", *words, "--project", str(project)])
        return (status, *capsys.readouterr())

    status, _, said = tried("claude")
    assert (status, "--yes" in said) == (2, True)
    status, shown, _ = tried("claude", "--print")
    assert (status, shown.startswith("--- /dev/null\n+++ ")) == (0, True)
    assert "Did you mean 'claude'?" in tried("claud", "--yes")[2]
    assert "[usage]" in tried("cursor", "--plugin", "--yes")[2]
    assert not (project / ".mcp.json").exists()


def test_person_at_a_terminal_is_asked(project: Path) -> None:
    """At a terminal each file is shown and asked about; "n" writes nothing of it."""
    import pty

    master, slave = pty.openpty()
    command = [sys.executable, "-m", "aqe.server.cli", "mcp", "install", "claude", "--command", "aqe"]
    with subprocess.Popen(command, cwd=project, stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        os.close(slave)
        os.write(master, b"y\nn\n")
        out, err = run.communicate(timeout=100)
    os.close(master)
    assert run.returncode == 0, err
    assert b'+  "mcpServers"' in out
    assert b"Write .mcp.json?" in err
    assert b"Write CLAUDE.md?" in err
    assert entry_in(project / ".mcp.json")["command"] == "aqe"
    assert not (project / "CLAUDE.md").exists()


def test_command_is_the_one_that_starts_this_aqe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is the script on PATH where that is this aqe, else this environment's; for `uvx` it is `uvx` itself."""
    words = own_command()
    assert Path(words[0]).is_absolute()
    done = subprocess.run([*words, "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("aqe ")
    other = tmp_path / "bin" / "aqe"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", f"{other.parent}{os.pathsep}{os.environ['PATH']}")
    assert own_command()[0] != str(other)
    assert own_command("uvx --from 'my aqe' aqe") == ("uvx", "--from", "my aqe", "aqe")
    with pytest.raises(UserError):
        own_command(" ")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "cache" / "archive-v0" / "abc"))
    passing = own_command()
    assert Path(passing[0]).name == "uvx"
    assert (passing[1], passing[-1]) == ("--from", "aqe")


def test_claude_is_told_of_the_plugin(
    project: Path, install: Callable[..., Shown], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The plugin's folder is written with the command noted in it, renewed without leftovers, and Claude Code told."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    alone = install("claude", "--plugin", "--yes")["plugin"]
    folder = Path(alone["folder"])
    assert (alone["written"], alone["registered"], "no `claude`" in alone["problem"]) == (True, False, True)
    assert json.loads((folder / "aqe" / "scripts" / "command.json").read_text()) == list(own_command())
    assert not (project / ".mcp.json").exists()
    (folder / "aqe" / "commands" / "old.md").write_text("old")
    claude = tmp_path / "bin" / "claude"
    claude.parent.mkdir()
    claude.write_text(f'#!{shutil.which("sh", path="/bin:/usr/bin")}\necho "$@" >> "{tmp_path}/told"\n')
    claude.chmod(0o755)
    monkeypatch.setenv("PATH", str(claude.parent))
    again = install("claude", "--plugin", "--yes", "--user")["plugin"]
    assert (again["differing"], again["registered"], again["problem"]) == (["aqe/commands/old.md"], True, "")
    assert not (folder / "aqe" / "commands" / "old.md").exists()
    assert (tmp_path / "told").read_text().splitlines() == [
        f"plugin marketplace add {folder} --scope user",
        "plugin install aqe@aqe --scope user",
    ]
    claude.write_text(f'#!{shutil.which("sh", path="/bin:/usr/bin")}\necho "no plugins here" >&2\nexit 1\n')
    assert install("claude", "--plugin", "--yes")["plugin"]["problem"] == "no plugins here"


def test_folder_of_somebody_else_is_no_plugin(
    install: Callable[..., Shown], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where something else lies in the plugin's place, nothing is written into it or taken away."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    place = tmp_path / "aqe" / "claude-plugin"
    place.mkdir(parents=True)
    (place / "mine.txt").write_text("mine")
    assert install("claude", "--plugin", "--yes", status=2)["error"]["code"] == "folder-not-empty"
    assert [path.name for path in place.iterdir()] == ["mine.txt"]


def test_file_of_the_project_that_lies_elsewhere_is_left_alone(
    project: Path, install: Callable[..., Shown], tmp_path: Path
) -> None:
    """A link that a project brings leads nobody to write outside of it."""
    outside = tmp_path / "profile"
    outside.write_text("export A=1\n")
    (project / "CLAUDE.md").symlink_to(outside)
    told = install("claude", "--yes", "--block", status=2)
    assert told["error"]["code"] == "bad-client-config"
    assert outside.read_text() == "export A=1\n"


def test_kept_result_holds_no_lines_of_the_file(project: Path, install: Callable[..., Shown]) -> None:
    """What stands around the change may be somebody's key: it is shown, and not kept."""
    (project / ".aqe").mkdir()
    (project / ".mcp.json").write_text('{"mcpServers": {"other": {"env": {"KEY": "very-secret"}}}}')
    assert "very-secret" in install("claude", "--yes")["files"][0]["difference"]
    assert "very-secret" not in (project / ".aqe" / "results" / "mcp-install.json").read_text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"mcpServers": {"aqe": {"command": "aqe"}}}', True),
        ('{"mcpServers": {"b": {}}}', False),
        ("{", False),
        (None, False),
    ],
)
def test_a_server_in_the_projects_file_is_seen(tmp_path: Path, text: str | None, expected: bool) -> None:
    """Only a file that names aqe's server has it; one that is missing or broken has not."""
    if text is not None:
        (tmp_path / ".mcp.json").write_text(text)
    assert has_server(CLIENTS["claude"], tmp_path) is expected


def test_the_plugin_beside_the_projects_server_is_warned_of(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where .mcp.json has the server already it would run twice; --block is offered only where it adds something."""
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(project / "claude"))
    words = ["mcp", "install", "claude", "--project", str(project)]
    assert main([*words, "--yes"]) == 0
    first = capsys.readouterr().err
    assert "--block also says" in first
    assert "asks about once" in first
    assert main([*words, "--yes", "--block"]) == 0
    assert main([*words, "--yes"]) == 0
    assert "--block also says" not in capsys.readouterr().err.rpartition("Wrote")[2]
    assert main([*words, "--plugin", "--print"]) == 0
    assert "would start it twice" in capsys.readouterr().err
