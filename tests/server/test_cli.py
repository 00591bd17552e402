"""The frame of the `aqe` command: help, errors, statuses; each run is a process of its own."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from aqe.server.cli.app import main
from aqe.server.cli.verbs import VERBS

Aqe = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).resolve().parents[2]
NO_SUCH_PROJECT = (
    "The project folder '/no/such' given by --project does not exist. Name the folder that holds the project. "
    "[no-such-project]"
)


def test_help_lists_each_verb_and_loads_nothing_heavy() -> None:
    """`aqe --help` names every command with one line and imports neither pydantic, numpy, mcp, apsw nor typer."""
    script = (
        "import sys\nfrom aqe.server.cli import main\nstatus = main(['--help'])\n"
        "heavy = {'pydantic', 'numpy', 'mcp', 'apsw', 'typer', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else status)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    for name, (_, about) in VERBS.items():
        assert f"  {name} " in run.stdout
        assert about in run.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_exists_and_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command of the table has a module and a help page with a description."""
    importlib.import_module(VERBS[verb][0])
    assert main([verb, "--help"]) == 0
    page = capsys.readouterr().out
    assert page.startswith(f"Usage: aqe {verb}")
    assert "─" not in page


QUOTES = "A text of several words stands in quotes"
PIPED = "Give it, or - to read it from stdin"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["srve"], "No such command 'srve'. Did you mean `serve`? [unknown-command]"),
        (["xyzzy"], "No such command 'xyzzy'. See `aqe --help`. [unknown-command]"),
        (["--porject", "x"], "No such option '--porject' before the command. Did you mean `--project`? [usage]"),
        (["serve", "--htp"], "aqe serve has no option --htp. Did you mean `--http`? [usage]"),
        (["serve", "--http", "--stdio"], "--stdio and --http exclude each other. Give one of them. [usage]"),
        (["serve", "--port", "1"], "--port needs --http. Write `aqe serve --http --port N`. [usage]"),
        (["serve", "extra"], f"aqe serve has no place for 'extra'. {QUOTES}; see `aqe serve --help`. [usage]"),
        (
            ["memory", "add", "a", "b c"],
            f"aqe memory add has no place for 'b c'. {QUOTES}; see `aqe memory add --help`. [usage]",
        ),
        (
            ["memory", "get", "a", ""],
            f"aqe memory get has no place for one more, empty argument. {QUOTES}; see `aqe memory get --help`. [usage]",
        ),
        (
            ["query", "x", "--force", "banana"],
            "--force takes local or cloud, not 'banana'. See `aqe query --help`. [usage]",
        ),
        (
            ["memory", "get", "-dash"],
            "aqe memory get has no option -d. What begins with a dash and is no option stands behind `--`; see"
            " `aqe memory get --help`. [usage]",
        ),
        (["query"], f"aqe query needs PROMPT. {PIPED}; see `aqe query --help`. [usage]"),
        (["complete"], f"aqe complete needs PROMPT. {PIPED}; see `aqe complete --help`. [usage]"),
        (["memory", "get"], "aqe memory get needs ID. See `aqe memory get --help`. [usage]"),
        (["forget", "x"], "No such command 'forget'. Did you mean `memory delete`? [unknown-command]"),
        (["memory", "forget", "x"], "aqe memory has no command 'forget'. Did you mean `delete`? [usage]"),
        (["memory", "undelete", "x"], "aqe memory has no command 'undelete'. Did you mean `merge --undo`? [usage]"),
        (["memory", "serach", "x"], "aqe memory has no command 'serach'. Did you mean `search`? [usage]"),
        (["knowledge", "restore"], "aqe knowledge has no command 'restore'. Did you mean `add --starter`? [usage]"),
        (["sessions", "history", "x"], "aqe sessions has no command 'history'. Did you mean `show`? [usage]"),
        (["sessions", "rm", "x"], "aqe sessions has no command 'rm'. Did you mean `end`? [usage]"),
        (["memory", "link", "a", "b"], "aqe memory link needs --kind. See `aqe memory link --help`. [usage]"),
        (["memory", "add", "x", "--id"], "--id needs a value. See `aqe memory add --help`. [usage]"),
        (["sessions", "end", "a", "--remove=x"], "--remove takes no value. See `aqe sessions end --help`. [usage]"),
        (["serve", "--project", "/no/such"], NO_SUCH_PROJECT),
        (["--json", "stats"], "No such option '--json' before the command. Put --json after the command. [usage]"),
        (
            ["execute", "-x"],
            "aqe execute has no option -x. pytest's own options stand after `--`, as in `aqe execute -- -x`. [usage]",
        ),
        (["help", "srve"], "No such command 'srve'. Did you mean `serve`? [unknown-command]"),
        (["flaky", "--runs", "abc"], "--runs takes a whole number, not 'abc'. See `aqe flaky --help`. [usage]"),
        (
            ["coverage", "--fail-under", "120"],
            "--fail-under takes at most 100, not '120'. See `aqe coverage --help`. [usage]",
        ),
        (["--project"], "--project needs a folder. Write `--project DIR`. [usage]"),
    ],
)
def test_usage_errors_are_one_sentence(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong command line is answered on stderr in one sentence with the next step, and status 2."""
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert err == sentence + "\n"
    assert out == "" or "--json" in words


@pytest.mark.parametrize("words", [[], ["memory"], ["memory", "add"]])
def test_help_is_a_word_too(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """`aqe help COMMAND` shows what `aqe COMMAND --help` shows, and no summary in it is cut."""
    assert main(["help", *words]) == 0
    page = capsys.readouterr().out
    assert main([*words, "--help"]) == 0
    assert page == capsys.readouterr().out
    assert "..." not in page.partition("Commands:")[2]


@pytest.mark.parametrize(
    ("words", "code", "status"),
    [
        (["--json", "stats"], "usage", 2),
        (["stats", "--json", "--project", "/no/such"], "no-such-project", 2),
        (["memory", "get", "nothing", "--json"], "unknown-id", 2),
        (["break", "--json"], "internal", 3),
    ],
)
def test_errors_of_json_commands_are_objects_too(
    words: list[str],
    code: str,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """With --json an error is one object on stdout, as its schema says, and the sentence on stderr."""
    (tmp_path / "breaking_verb.py").write_text(
        "from aqe.server.cli.output import JsonOption\n"
        "def command(json: JsonOption = False) -> None:\n    'Break.'\n    raise ZeroDivisionError('oops')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(VERBS, "break", ("breaking_verb", "Break."))
    monkeypatch.chdir(tmp_path)
    assert main(words) == status
    out, err = capsys.readouterr()
    found = json.loads(out)
    jsonschema.validate(found, json.loads((ROOT / "docs" / "schemas" / "error.json").read_text()))
    assert (found["schema"], found["exit_status"]) == ("aqe.error/1", status)
    error = found["error"]
    assert err == f"{error['message']} {error['fix']} [{code}]\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is a matter of Linux")
@pytest.mark.parametrize("words", [["--help"], ["doctor", "--json"]])
def test_a_full_disk_behind_stdout_is_one_sentence(words: list[str], tmp_path: Path) -> None:
    """Where what is printed finds no space left, one sentence says so, and the status is 2."""
    command = [sys.executable, "-m", "aqe.server.cli", *words]
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, check=False)
    assert run.returncode == 2
    assert run.stderr == "There is no space left where the output goes. Free some space and try again. [disk-full]\n"


def test_a_reader_who_leaves_is_no_error() -> None:
    """A command whose reader closed the pipe ends in silence with status 0."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "aqe.server.cli", "--help"]
    run = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (run.returncode, run.stderr) == (0, "")


def test_bad_value_names_option_and_value(capsys: pytest.CaptureFixture[str]) -> None:
    """A value of the wrong type is named with its option."""
    assert main(["serve", "--http", "--port", "many"]) == 2
    err = capsys.readouterr().err
    assert "--port takes a whole number, not 'many'" in err
    assert err.count("\n") == 1


def test_version_is_that_of_the_package(aqe: Aqe) -> None:
    """`aqe --version` prints the installed version."""
    from importlib.metadata import version

    run = aqe("--version")
    assert (run.returncode, run.stdout) == (0, f"aqe {version('aqe')}\n")


def test_unexpected_failure_is_internal_and_keeps_its_traceback_for_debug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A fault of aqe exits 3 with one sentence; --debug, before or after the command, adds the traceback."""
    (tmp_path / "faulty_verb.py").write_text(
        "def command() -> None:\n    'Break.'\n    raise ZeroDivisionError('oops')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(VERBS, "break", ("faulty_verb", "Break."))
    assert main(["break"]) == 3
    plain = capsys.readouterr().err
    assert plain.startswith("aqe itself failed with ZeroDivisionError: oops.")
    assert plain.count("\n") == 1
    assert plain.endswith("[internal]\n")
    for words in (["--debug", "break"], ["break", "--debug"]):
        assert main(words) == 3
        assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("memory", "add", "x"), ("query", "x", "--no-index")], ids=lambda words: words[0])
def test_a_path_of_kernels_that_is_none_is_the_users_mistake(words: tuple[str, ...], project: Path) -> None:
    """An AQE_SIMD that no machine or not this one has is a bad setting, told with what can be chosen."""
    run = subprocess.run(
        [sys.executable, "-m", "aqe.server.cli", *words, "--project", str(project)],
        env={**os.environ, "AQE_SIMD": "avx9"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (2, "", 1)
    assert run.stderr.startswith("AQE_SIMD: 'avx9' is not a path of aqe.simd. Choose one of ")
    assert run.stderr.endswith(", numpy. [bad-setting]\n")


@pytest.mark.parametrize("words", [("verify", "round.py"), ("audit", "round.py")], ids=lambda words: words[0])
def test_link_to_itself_is_the_users_mistake(
    words: tuple[str, ...], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A link that leads back to itself is named in one sentence, and is no fault of aqe."""
    (project / "round.py").symlink_to(project / "round.py")
    assert main([words[0], str(project / words[1]), "--project", str(project)]) == 2
    told = capsys.readouterr().err
    assert "round.py" in told
    assert "[internal]" not in told
    if sys.version_info < (3, 13):  # from there on Python resolves such a link to itself
        assert told.endswith("Mend it, or name what it meant. [no-such-path]\n")


@pytest.mark.parametrize(("raised", "status"), [("KeyboardInterrupt", 130), ("typer.Exit(4)", 4)])
def test_statuses_pass_through(
    raised: str, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Ctrl-C exits 130; a command's own status is the process's."""
    name = f"leaving_{status}"
    (tmp_path / f"{name}.py").write_text(f"import typer\ndef command() -> None:\n    'Leave.'\n    raise {raised}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(VERBS, "leave", (name, "Leave."))
    assert main(["leave"]) == status
    assert "Traceback" not in capsys.readouterr().err


def test_project_before_the_command_reaches_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`aqe --project DIR COMMAND -- more` gives the command its --project and leaves what follows `--` alone."""
    (tmp_path / "echoing_verb.py").write_text(
        "from typing import Annotated\nimport typer\nfrom aqe.server.cli.output import ProjectOption\n"
        "def command(rest: Annotated[list[str] | None, typer.Argument()] = None, project: ProjectOption = None):\n"
        "    'Echo.'\n    print(project, rest)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(VERBS, "echo", ("echoing_verb", "Echo."))
    assert main(["--project", "here", "echo", "a", "--", "--debug", "-x"]) == 0
    assert capsys.readouterr().out == "here ['a', '--debug', '-x']\n"


def test_closed_pipe_is_quiet() -> None:
    """A reader that leaves early (`aqe --help | head -0`) sees no traceback."""
    read, write = os.pipe()
    os.close(read)
    process = subprocess.Popen(
        [sys.executable, "-m", "aqe.server.cli", "--help"], stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")


def test_console_without_unicode_gets_backslashes(aqe: Aqe, tmp_path: Path) -> None:
    """A console that cannot show a character gets its backslash form instead of a crash."""
    run = aqe("--project", "x", "caf\u00e9", PYTHONIOENCODING="ascii")
    assert run.returncode == 2
    assert "caf\\xe9" in run.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_json_is_json_on_a_console_without_unicode(encoding: str) -> None:
    """What --json prints where the console has no UTF-8 is ASCII with JSON's own escapes, which each reader decodes."""
    folder = "größe 漢 \N{SNAKE}"
    command = [sys.executable, "-m", "aqe.server.cli", "--project", folder, "route", "x", "--json"]
    run = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding}, timeout=60)
    assert repr(folder) in json.loads(run.stdout.decode("ascii"))["error"]["message"]


@pytest.mark.parametrize(("closed", "status"), [("<&-", 0), (">&-", 0), ("<&- >&- 2>&-", 0)])
def test_closed_streams_are_empty_ones(tmp_path: Path, closed: str, status: int) -> None:
    """A caller that closed stdin, stdout or all of them gets no internal fault."""
    line = f'"$0" -m aqe.server.cli embed --jsonl --project "$1" {closed}'
    run = subprocess.run(
        ["sh", "-c", line, sys.executable, str(tmp_path)], stdin=subprocess.DEVNULL, capture_output=True, timeout=60
    )
    assert (run.returncode, run.stderr) == (status, b"")
