"""Starts aqe for this plugin: `reach.py serve` is its MCP server, `reach.py after-edit` its hook.

Runs under any Python 3.8 or newer, with nothing installed. aqe is the command that `aqe mcp install` noted beside this
file, else the one on PATH, else that of the project's own environment.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from typing import Any, NoReturn

BUDGET_S = 20
LIMIT_S = 30
"""After so long the run is ended, whatever it does; the difference is for starting and for tidying up."""

SHOWN = 10
MESSAGE = 400
QUIET = (".md", ".rst", ".lock", ".svg", ".png")
"""Ends of files that no test reads as a rule; an edit of one starts nothing."""

ABSENT = (
    "The aqe plugin finds no aqe: it is neither on PATH nor in the project's .venv. "
    "Install it, then run `aqe mcp install claude --plugin`."
)


def main() -> int:
    """Do what the first word says; the status is the one that Claude Code expects."""
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    if word == "serve":
        serve()
    if word == "after-edit":
        return after_edit(sys.stdin.buffer.read().decode("utf-8", "replace"))
    print("reach.py serve | after-edit", file=sys.stderr)
    return 1


def serve() -> NoReturn:
    """Become the MCP server, in the project's folder."""
    project = os.environ.get("CLAUDE_PROJECT_DIR") or os.getcwd()
    aqe = find_aqe(project)
    if aqe is None:
        print(ABSENT, file=sys.stderr)
        raise SystemExit(1)
    os.chdir(project)
    if os.name == "nt":
        raise SystemExit(subprocess.call([*aqe, "serve"]))
    os.execvp(aqe[0], [*aqe, "serve"])


def after_edit(told: str) -> int:
    """Run the tests that an edit needs: 2 with the failures on stderr, which the model reads, else 0 and no word."""
    try:
        event = json.loads(told)
        edited = str(event["tool_input"]["file_path"])
        folder = os.path.dirname(os.path.join(str(event.get("cwd") or os.getcwd()), edited))
    except (ValueError, KeyError, TypeError):
        return 0
    if edited.lower().endswith(QUIET):
        return 0
    project = project_of(folder)
    if project is None:
        return 0
    aqe = find_aqe(project)
    if aqe is None:
        say_once(str(event.get("session_id") or ""))
        return 0
    asked = ["select", "--run", "--mapped-only", "--budget", f"{BUDGET_S}s", "--json", "--assistant"]
    report = selected([*aqe, *asked, "--project", project], project)
    text = failures(report)
    if not text:
        return 0
    print(text, file=sys.stderr)
    return 2


def project_of(folder: str) -> str | None:
    """The project around an edited file that aqe has worked in; nothing was recorded of any other."""
    while True:
        if os.path.isdir(os.path.join(folder, ".aqe")):
            return folder
        if os.path.isfile(os.path.join(folder, ".git")):  # a worktree: the records lie with the main one
            return folder
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent


def find_aqe(project: str) -> list[str] | None:
    """The words that start aqe; None where there is none."""
    noted = os.path.join(os.path.dirname(os.path.abspath(__file__)), "command.json")
    with contextlib.suppress(OSError, ValueError, TypeError):
        with open(noted, encoding="utf-8") as file:
            words = [str(word) for word in json.load(file)]
        if words and shutil.which(words[0]):
            return words
    found = shutil.which("aqe")
    if found:
        return [found]
    inside = ("Scripts", "aqe.exe") if os.name == "nt" else ("bin", "aqe")
    for name in (".venv", "venv"):
        script = os.path.join(project, name, *inside)
        if os.path.isfile(script) and not came_with(project, script):
            return [script]
    return None


def came_with(project: str, file: str) -> bool:
    """Whether git holds the file: then whoever wrote the project put it there, and it is not started unasked."""
    git = shutil.which("git")
    if git is None:
        return True
    asked = [git, "-c", "core.fsmonitor=false", "ls-files", "--error-unmatch", "--", file]
    held = subprocess.run(asked, cwd=project, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=10)
    return held.returncode == 0


def selected(command: list[str], project: str) -> dict[str, Any]:
    """The report of the selection; empty where it says nothing, or had to be ended."""
    alone: dict[str, Any] = {"creationflags": 0x200} if os.name == "nt" else {"start_new_session": True}
    run = subprocess.Popen(
        command,
        cwd=project,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **alone,
    )

    def leave(number: int, frame: Any) -> NoReturn:
        end(run)
        sys.exit(0)

    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), leave)
    try:
        printed, said = run.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        end(run)
        print(f"aqe was ended after {LIMIT_S} s", file=sys.stderr)
        return {}
    sys.stderr.write("" if run.returncode in (0, 1, 4) else said.decode("utf-8", "replace")[-2000:])
    try:
        report = json.loads(printed.decode("utf-8", "replace"))
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


def end(run: subprocess.Popen[bytes]) -> None:
    """End the run and what it started: a word first, so that it can tidy up, then by force."""
    for number in (getattr(signal, "SIGTERM", None), getattr(signal, "SIGKILL", None)):
        with contextlib.suppress(OSError):
            if os.name == "nt":
                subprocess.call(["taskkill", "/T", "/F", "/PID", str(run.pid)], stderr=subprocess.DEVNULL)
            elif number is not None:
                os.killpg(run.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(2)
            return


def failures(report: dict[str, Any]) -> str:
    """What failed, for the model: each test with its message and why it was run; empty where nothing did."""
    ran = report.get("run") or {}
    failed = ran.get("failures") or []
    if not failed:
        return ""
    why = {str(test.get("nodeid")): str(test.get("reason", "")) for test in report.get("tests") or []}
    count = len(failed)
    ran_tests, all_tests = ran.get("tests", count), report.get("all_tests", "?")
    lines = [f"aqe ran {ran_tests} of {all_tests} tests, those that the uncommitted changes need: {count} failed."]
    for one in failed[:SHOWN]:
        nodeid, message = str(one.get("nodeid")), " ".join(str(one.get("message", "")).split())
        if len(message) > MESSAGE:
            message = message[:MESSAGE] + "..."
        reason = f" (it ran because: {why[nodeid]})" if why.get(nodeid) else ""
        lines.append(f"- {nodeid} {one.get('outcome', 'failed')}: {message}{reason}")
    if count > SHOWN:
        lines.append(f"- and {count - SHOWN} more")
    if report.get("partial"):
        lines.append("Time ran out before all of them were run.")
    lines.append("If your edits are not finished, go on; else mend the code, or the test where the change was meant.")
    return "\n".join(lines)


def say_once(session: str) -> None:
    """Tell the user, once in a session, that there is no aqe."""
    folder = os.environ.get("CLAUDE_PLUGIN_DATA") or tempfile.gettempdir()
    name = "aqe-absent-" + hashlib.sha256(session.encode("utf-8", "replace")).hexdigest()[:16]
    with contextlib.suppress(OSError):
        os.makedirs(folder, exist_ok=True)
        os.close(os.open(os.path.join(folder, name), os.O_CREAT | os.O_EXCL, 0o600))
        print(json.dumps({"systemMessage": ABSENT}))


if __name__ == "__main__":
    sys.exit(main())
