"""The Claude Code plugin: its files say the same as the server, and its script does as Claude Code's contract wants."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aqe.engine.memory.opening import open_to_read
from aqe.engine.privacy.audit import entries
from aqe.server.cli.guarded import guarded
from aqe.server.clients.plugin import SOURCE, plugin_files, write_plugin
from tests.alive import is_alive

ROOT = Path(__file__).resolve().parents[2]
REACH = SOURCE / "aqe" / "scripts" / "reach.py"
REPORT: dict[str, Any] = {
    "schema": "aqe.select/1",
    "tests": [{"nodeid": "tests/test_a.py::test_one", "reason": "runs shop.cart.total", "risk": 0.9}],
    "all_tests": 120,
    "run": {
        "tests": 3,
        "failures": [
            {"nodeid": "tests/test_a.py::test_one", "outcome": "failed", "message": "assert 1 == 2\n  where", "line": 4}
        ],
    },
    "partial": False,
}


@pytest.fixture
def edited(tmp_path: Path) -> Path:
    """An edited file of a project in which aqe has worked, below a folder with a space in its name."""
    project = tmp_path / "my project"
    (project / ".aqe").mkdir(parents=True)
    (project / "shop").mkdir()
    (project / "shop" / "cart.py").write_text("x = 1\n")
    return project / "shop" / "cart.py"


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[[str], Path]:
    """Install the plugin with a command that is this Python script; gives back the plugin's folder."""

    def make(script: str) -> Path:
        path = tmp_path / "stand_in.py"
        path.write_text(script)
        folder = tmp_path / "plugins of mine"
        write_plugin(folder, plugin_files([sys.executable, str(path)]))
        return folder / "aqe"

    return make


def hook(folder: Path, edited: Path, tool: str = "Edit", **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the hook as Claude Code does: through a shell, with the event on stdin."""
    event = {
        "session_id": "abc123",
        "transcript_path": "/home/user/.claude/projects/x/transcript.jsonl",
        "cwd": str(edited.parent.parent),
        "permission_mode": "acceptEdits",
        "hook_event_name": "PostToolUse",
        "tool_name": tool,
        "tool_input": {"file_path": str(edited), "old_string": "x = 1", "new_string": "x = 2"},
        "tool_response": {"filePath": str(edited), "success": True},
        "tool_use_id": "toolu_01ABC123",
    }
    told = json.loads((folder / "hooks" / "hooks.json").read_text())
    (handler,) = told["hooks"]["PostToolUse"][0]["hooks"]
    return subprocess.run(
        ["sh", "-c", handler["command"]],
        input=json.dumps(event),
        env={**os.environ, "CLAUDE_PLUGIN_ROOT": str(folder), **environ},
        cwd=edited.parent.parent,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_failures_are_handed_to_the_model(plugin: Callable[[str], Path], edited: Path) -> None:
    """A failing selection ends with status 2 and names tests, messages and reasons on stderr, in few words."""
    many = [{**REPORT["run"]["failures"][0], "nodeid": f"t.py::test_{n}", "message": "x" * 900} for n in range(40)]
    report = {**REPORT, "run": {"tests": 41, "failures": REPORT["run"]["failures"] + many}}
    script = "import json, sys\nprint(json.dumps({**json.loads(%r), 'asked': sys.argv[1:]}))\nsys.exit(1)\n"
    done = hook(plugin(script % json.dumps(report)), edited)
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0] == "aqe ran 41 of 120 tests, those that the uncommitted changes need: 41 failed."
    assert lines[1] == (
        "- tests/test_a.py::test_one failed: assert 1 == 2 where (it ran because: runs shop.cart.total)"
    )
    assert "- and 31 more" in lines
    assert len(done.stderr) < 8_000


def test_selection_is_asked_for_the_edited_project(plugin: Callable[[str], Path], edited: Path) -> None:
    """The command is `aqe select --run` with the budget, for the file's project, and only where there is a map."""
    script = f"import os, sys\nopen({str(edited.with_name('asked'))!r}, 'w').write(repr((sys.argv[1:], os.getcwd())))\n"
    assert hook(plugin(script), edited, tool="Write").returncode == 0
    words, folder = ast.literal_eval(edited.with_name("asked").read_text())
    project = str(edited.parent.parent)
    assert (words, folder) == (
        ["select", "--run", "--mapped-only", "--budget", "20s", "--json", "--assistant", "--project", project],
        project,
    )


@pytest.mark.parametrize(
    "printed",
    [
        json.dumps({**REPORT, "run": {"tests": 3, "failures": []}}),
        json.dumps({**REPORT, "run": None, "tests": []}),
        json.dumps({"schema": "aqe.error/1", "error": {"code": "no-git", "message": "no"}, "exit_status": 2}),
        "no json",
        "[]",
        "",
    ],
)
def test_nothing_is_said_where_nothing_failed(printed: str, plugin: Callable[[str], Path], edited: Path) -> None:
    """Passing tests, no selection, an error of aqe and a broken answer: status 0 and no word to the model or user."""
    done = hook(plugin(f"print({printed!r})\n"), edited)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_nothing_is_started_where_aqe_never_worked(plugin: Callable[[str], Path], edited: Path) -> None:
    """Without `.aqe` around the file, and for a file that no test reads, nothing is started."""
    folder = plugin("import sys\nprint('started', file=sys.stderr)\nsys.exit(3)\n")
    started = edited.with_name("cart.py")
    assert "started" in hook(folder, started).stderr
    assert hook(folder, edited.with_name("README.md")).stderr == ""
    shutil.rmtree(edited.parent.parent / ".aqe")
    assert hook(folder, started).stderr == ""


def test_event_that_is_none_is_let_pass(plugin: Callable[[str], Path]) -> None:
    """What is no JSON, or has no file in it, ends with status 0."""
    script = str(plugin("raise SystemExit(9)\n") / "scripts" / "reach.py")
    for told in ("", '{"tool_input": null}', '{"tool_input": {"command": "ls"}}'):
        done = subprocess.run([sys.executable, script, "after-edit"], input=told, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.services
def test_run_that_does_not_end_is_ended_with_all_it_started(plugin: Callable[[str], Path], edited: Path) -> None:
    """After its limit the hook ends the run and its children, those too that do not listen, and says nothing."""
    pids = edited.with_name("pids")
    folder = plugin(
        "import os, signal, subprocess, sys, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\ntime.sleep(600)\n"
    )
    script = folder / "scripts" / "reach.py"
    script.write_text(re.sub(r"^LIMIT_S = \d+", "LIMIT_S = 2", script.read_text(), flags=re.M))
    done = hook(folder, edited)
    assert (done.returncode, done.stdout) == (0, "")
    for pid in map(int, pids.read_text().split()):
        deadline = time.monotonic() + 20
        while is_alive(pid):
            assert time.monotonic() < deadline, pid
            time.sleep(0.05)


def test_missing_aqe_is_said_once_in_a_session(tmp_path: Path, edited: Path) -> None:
    """Without a command noted, on PATH or in the project, the user is told, the model is not, and once only."""
    folder = tmp_path / "plugin"
    write_plugin(folder, plugin_files([]))
    environ = {"PATH": only_python(tmp_path), "CLAUDE_PLUGIN_DATA": str(tmp_path / "data")}
    first, second = (hook(folder / "aqe", edited, **environ) for _ in range(2))
    assert (first.returncode, second.returncode, second.stdout, second.stderr) == (0, 0, "", "")
    assert "finds no aqe" in json.loads(first.stdout)["systemMessage"]
    script = edited.parent.parent / ".venv" / "bin" / "aqe"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\necho found >&2\nexit 3\n")
    script.chmod(0o755)
    assert hook(folder / "aqe", edited, **environ).stderr == "found\n"
    for words in (["init", "-q"], ["add", "-f", ".venv"]):
        subprocess.run(["git", *words], cwd=edited.parent.parent, check=True, capture_output=True)
    assert hook(folder / "aqe", edited, **environ).stderr == "", "a command that came with the project was started"


def only_python(tmp_path: Path) -> str:
    """A PATH with nothing on it but sh, git and python3."""
    folder = tmp_path / "only"
    folder.mkdir()
    (folder / "python3").symlink_to(sys.executable)
    (folder / "sh").symlink_to("/bin/sh")
    (folder / "git").symlink_to(str(shutil.which("git")))
    return str(folder)


def test_server_of_the_plugin_is_aqe(tmp_path: Path, edited: Path) -> None:
    """What `.mcp.json` of the plugin starts becomes `aqe serve` in the project's folder."""
    noted = tmp_path / "stand_in.py"
    noted.write_text("import os, sys\nprint(sys.argv[1:], os.getcwd())\n")
    folder = tmp_path / "plugin"
    write_plugin(folder, plugin_files([sys.executable, str(noted)]))
    server = json.loads((folder / "aqe" / ".mcp.json").read_text())["mcpServers"]["aqe"]
    words = [word.replace("${CLAUDE_PLUGIN_ROOT}", str(folder / "aqe")) for word in server["args"]]
    project = edited.parent.parent
    environ = {**os.environ, "CLAUDE_PROJECT_DIR": str(project)}
    done = subprocess.run([server["command"], *words], env=environ, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"['serve'] {project}\n"


def test_files_of_the_plugin_are_whole() -> None:
    """Each file that Claude Code looks for is there and says what it must; commands and version are the server's."""
    marketplace = json.loads((SOURCE / ".claude-plugin" / "marketplace.json").read_text())
    (entry,) = marketplace["plugins"]
    manifest = json.loads((SOURCE / entry["source"] / ".claude-plugin" / "plugin.json").read_text())
    assert manifest["name"] == entry["name"] == "aqe"
    (group,) = json.loads((SOURCE / "aqe" / "hooks" / "hooks.json").read_text())["hooks"]["PostToolUse"]
    assert set(group["matcher"].split("|")) == {"Edit", "MultiEdit", "Write"}
    limits = dict(re.findall(r"^(BUDGET_S|LIMIT_S) = (\d+)", REACH.read_text(), flags=re.M))
    assert int(limits["BUDGET_S"]) < int(limits["LIMIT_S"]) < group["hooks"][0]["timeout"]
    for skill in SOURCE.glob("aqe/skills/*/SKILL.md"):
        head = skill.read_text().split("---")[1]
        assert f"name: {skill.parent.name}\n" in head
        assert "description: Use when" in head
    spec = importlib.util.spec_from_file_location("claude_plugin", ROOT / "tools" / "claude_plugin.py")
    assert spec is not None
    assert spec.loader is not None
    tool: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    made = tool.files()
    assert {name: (SOURCE / "aqe" / name).read_text() for name in made} == made
    assert {path.name for path in (SOURCE / "aqe" / "commands").iterdir()} == {Path(name).name for name in made} - {
        "plugin.json"
    }


def test_script_of_the_plugin_needs_an_old_python_alone() -> None:
    """It is Python 3.8 syntax and imports the standard library only."""
    tree = ast.parse(REACH.read_text(), feature_version=(3, 8))
    found = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    found |= {str(node.module).split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert found <= set(sys.stdlib_module_names)


def test_what_an_assistant_is_handed_is_redacted_and_logged(project: Path) -> None:
    """Secrets in a failing test's message are taken out, files that never leave are withheld, and the log knows."""
    key = "AKIA" + "Q3EGRIJ2KLMNOP7X"
    (project / "pyproject.toml").write_text('[tool.aqe.privacy]\nnever_send = ["secret/"]\n')
    whole = {**REPORT, "run": {"failures": [{"nodeid": "t.py::test_a", "message": f"assert '{key}' == ''"}]}}
    shown = guarded(project, "select", whole, ["t.py"])
    assert key not in json.dumps(shown)
    assert shown["run"]["failures"][0]["nodeid"] == "t.py::test_a"
    held_back = guarded(project, "select", whole, ["secret/t.py"])["run"]["failures"][0]["message"]
    assert "assert" not in held_back
    with open_to_read(project) as store:
        assert [(entry.recipient, entry.purpose) for entry in entries(store)] == [("hook", "aqe select")] * 2
