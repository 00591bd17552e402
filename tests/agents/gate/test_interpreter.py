"""Which Python runs the project's code, and what it gets lent."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
import socket
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from aqe.agents.gate import Box, BoxSpec, find_interpreter, probing
from aqe.agents.gate.allow_list import make_allow_list
from aqe.agents.gate.diagnosis import diagnose_interpreter
from aqe.agents.gate.interpreter import Interpreter, probe, side_folder
from aqe.engine.errors import UserError

ROOT = Path(__file__).resolve().parents[3]


MINORS = [f"3.{minor}" for minor in range(9, 16)]


def find_python(minor: str) -> str | None:
    """A CPython of that minor version that starts on this machine."""
    spec = importlib.util.spec_from_file_location("interpreters", ROOT / "tools" / "interpreters.py")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: str | None = module.find(minor)
    return found


def first_python(minors: list[str]) -> tuple[str, str]:
    """The first of `minors` that is found, and its executable."""
    return next((minor, python) for minor in minors if (python := find_python(minor)))


def make_environment(folder: Path) -> Path:
    """A virtual environment without anything in it; returns its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty virtual environment."""
    folder = tmp_path_factory.mktemp("environments") / "one"
    make_environment(folder)
    return folder


def test_named_interpreter_wins_over_everything(tmp_path: Path, environment: Path) -> None:
    """--python is taken before the setting, VIRTUAL_ENV and the project's own environment."""
    environ = {**os.environ, "VIRTUAL_ENV": str(environment)}
    found = find_interpreter(tmp_path, sys.executable, str(environment / "bin" / "python"), environ)
    assert (found.origin, found.executable) == ("--python", sys.executable)
    assert found.version == sys.version_info[:3]
    assert found.has_pytest


def test_setting_is_relative_to_the_project(tmp_path: Path, environment: Path) -> None:
    """The setting may name an environment's folder, relative to the project."""
    (tmp_path / "env").symlink_to(environment, target_is_directory=True)
    found = find_interpreter(tmp_path, None, "env", {"PATH": os.environ["PATH"]})
    assert found.origin == "[tool.aqe] python"
    assert found.executable == str(tmp_path / "env" / "bin" / "python")
    assert not found.has_pytest


def test_virtual_env_comes_before_the_projects_folder(tmp_path: Path, environment: Path) -> None:
    """VIRTUAL_ENV wins over `.venv`, `.venv` over `venv`, both over aqe's own."""
    environ = {"PATH": os.environ["PATH"]}
    assert find_interpreter(tmp_path, environ=environ).origin == "aqe's own"
    (tmp_path / "venv").symlink_to(environment, target_is_directory=True)
    assert find_interpreter(tmp_path, environ=environ).origin == "venv"
    (tmp_path / ".venv").symlink_to(environment, target_is_directory=True)
    assert find_interpreter(tmp_path, environ=environ).origin == ".venv"
    environ["VIRTUAL_ENV"] = str(environment)
    assert find_interpreter(tmp_path, environ=environ).origin == "VIRTUAL_ENV"


def short_hash(path: Path) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(str(path.resolve()).encode()).digest()).decode()[:8]


@pytest.mark.parametrize("tool", ["poetry", "hatch", "pdm", "uv"])
def test_environment_of_a_project_tool_is_found(tmp_path: Path, environment: Path, tool: str) -> None:
    """The environment that poetry, hatch, pdm or uv keeps for the project is found without the tool."""
    project = tmp_path / "shop"
    project.mkdir()
    (project / "pyproject.toml").write_text(f'[project]\nname = "shop"\n[tool.{tool}]\n', "utf-8")
    places = {
        "poetry": tmp_path / "poetry" / "virtualenvs" / f"shop-{short_hash(project)}-py3.11",
        "hatch": tmp_path / "hatch" / "env" / "virtual" / "shop" / short_hash(project) / "shop",
        "pdm": tmp_path / "pdm",
        "uv": project / "elsewhere",
    }
    places[tool].parent.mkdir(parents=True, exist_ok=True)
    places[tool].symlink_to(environment, target_is_directory=True)
    (project / ".pdm-python").write_text(str(environment / "bin" / "python") if tool == "pdm" else "", "utf-8")
    environ = {"PATH": "", "POETRY_CACHE_DIR": str(tmp_path / "poetry"), "HATCH_DATA_DIR": str(tmp_path / "hatch")}
    if tool == "uv":
        environ["UV_PROJECT_ENVIRONMENT"] = "elsewhere"
    assert find_interpreter(project, environ=environ).origin == tool


def test_tool_on_path_is_asked(tmp_path: Path, environment: Path) -> None:
    """Where poetry is installed, its own answer is taken."""
    (tmp_path / "poetry").write_text(f"#!/bin/sh\necho {environment}\n", "utf-8")
    (tmp_path / "poetry").chmod(0o755)
    (tmp_path / "pyproject.toml").write_text('[tool.poetry]\nname = "shop"\n', "utf-8")
    found = find_interpreter(tmp_path, environ={"PATH": f"{tmp_path}:/bin:/usr/bin"})
    assert (found.origin, found.prefix) == ("poetry", str(environment))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("#!/bin/sh\necho nothing; exit 3\n", "no-interpreter"),
        ('#!/bin/sh\necho \'aqe-probe:{"version": [3, 8, 1], "implementation": "cpython"}\'\n', "python-too-old"),
        ('#!/bin/sh\necho \'aqe-probe:{"version": [3, 10, 1], "implementation": "pypy"}\'\n', "not-cpython"),
    ],
)
def test_unusable_interpreter_is_refused_with_its_code(tmp_path: Path, text: str, code: str) -> None:
    """A named program that is no CPython 3.9 or newer is refused in one sentence."""
    program = tmp_path / "python"
    program.write_text(text, "utf-8")
    program.chmod(0o755)
    with pytest.raises(UserError) as caught:
        find_interpreter(tmp_path, str(program))
    assert (caught.value.code, caught.value.exit_status) == (code, 2)
    assert str(program) in caught.value.message


def test_dangling_environment_is_reported_and_not_passed_over(tmp_path: Path) -> None:
    """A `.venv` whose Python is gone is an error, not a reason to take another interpreter."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(tmp_path / "gone")
    with pytest.raises(UserError) as caught:
        find_interpreter(tmp_path, environ={"PATH": os.environ["PATH"]})
    assert caught.value.code == "no-interpreter"
    with pytest.raises(UserError, match="there is no Python there"):
        find_interpreter(tmp_path, "nowhere/python")


def test_probe_notices_what_is_installed_later(tmp_path: Path) -> None:
    """A package installed after the first look is seen by the next one."""
    python = make_environment(tmp_path / "env")
    assert not probe(str(python), "test").has_pytest
    site = next((tmp_path / "env").glob("lib/python*/site-packages"))
    (site / "pytest.py").write_text("", "utf-8")
    os.utime(site, ns=(1, 1))
    assert probe(str(python), "test").has_pytest


def test_folders_of_editable_installs_are_known(tmp_path: Path) -> None:
    """Folders that a .pth file or an editable finder names belong to the interpreter, and can be read in a box."""
    python = make_environment(tmp_path / "env")
    site = next((tmp_path / "env").glob("lib/python*/site-packages"))
    for name in ("plain", "mapped"):
        (tmp_path / name / name).mkdir(parents=True)
        (tmp_path / name / name / "__init__.py").write_text(f"NAME = {name!r}\n", "utf-8")
    (site / "plain.pth").write_text(f"{tmp_path / 'plain'}\n", "utf-8")
    (site / "_finder.py").write_text(
        f"import sys, importlib.util\nMAPPING = {{'mapped': {str(tmp_path / 'mapped' / 'mapped')!r}}}\n"
        "class Finder:\n    @classmethod\n    def find_spec(cls, name, path=None, target=None):\n"
        "        if name in MAPPING:\n"
        "            return importlib.util.spec_from_file_location(name, MAPPING[name] + '/__init__.py')\n"
        "sys.meta_path.append(Finder)\n",
        "utf-8",
    )
    (site / "mapped.pth").write_text("import _finder\n", "utf-8")
    interpreter = probe(str(python), "test")
    assert str(tmp_path / "plain") in interpreter.sys_path
    assert interpreter.editable == (str(tmp_path / "mapped" / "mapped"),)
    project = tmp_path / "project"
    project.mkdir()
    (project / "use.py").write_text(
        "import plain, mapped\ndef names(args, emit):\n    return [plain.NAME, mapped.NAME]\n", "utf-8"
    )
    with Box.open(BoxSpec(python=str(python), project=str(project), path=(str(project),))) as box:
        assert box.run("use:names", {}, wall_s=10).value == ["plain", "mapped"]


def check_python(version: str, python: str, folder: Path) -> None:
    """Cases run in a box under `python`, with aqe's copy of pytest where it has none and is 3.10 or newer."""
    interpreter = find_interpreter(folder, python)
    assert interpreter.version_text.startswith(version)
    side = None
    if interpreter.version < (3, 10) and not interpreter.has_pytest:
        with pytest.raises(UserError, match="no pytest") as caught:
            side_folder(interpreter, folder)
        assert caught.value.code == "no-pytest"
        assert "-m pip install pytest" in caught.value.fix
    else:
        side = side_folder(interpreter, folder)
    (folder / "use.py").write_text(
        "def pytest_version(args, emit):\n    import pytest\n    return pytest.__version__\n"
        "def version(args, emit):\n    import sys\n    return '%d.%d' % sys.version_info[:2]\n",
        "utf-8",
    )
    path = (str(folder), *([side] if side else []))
    with Box.open(BoxSpec(python=interpreter.executable, project=str(folder), path=path)) as box:
        assert box.run("use:version", {}, wall_s=20).value == version
        if side or interpreter.has_pytest:
            assert box.run("use:pytest_version", {}, wall_s=20).value


@pytest.mark.parametrize("minors", [MINORS, MINORS[::-1]], ids=["oldest", "newest"])
def test_box_runs_the_oldest_and_newest_python_found(minors: list[str], tmp_path: Path) -> None:
    """The oldest and the newest Python of this machine run cases in a box."""
    check_python(*first_python(minors), tmp_path)


@pytest.mark.services
def test_box_runs_every_python_found(tmp_path: Path) -> None:
    """Each Python of this machine from 3.9 on runs cases in a box."""
    for minor in MINORS:
        python = find_python(minor)
        if python is not None:
            folder = tmp_path / minor
            folder.mkdir()
            check_python(minor, python, folder)


ACTS = """
import os, socket
seen = {{}}
try:
    open({outside!r}, "w").close()
    seen["wrote"] = True
except OSError:
    pass
try:
    seen["read"] = open({secret!r}).read()
except OSError:
    pass
try:
    socket.create_connection(("127.0.0.1", {port}), timeout=2).close()
    seen["connected"] = True
except OSError:
    pass
open("/dev/stderr", "w").write("SEEN=%r" % (seen,))
"""


@pytest.mark.parametrize("way", ["script", "sitecustomize", "pth"])
def test_hostile_environment_is_asked_inside_the_sandbox(tmp_path: Path, way: str) -> None:
    """What runs when the project's interpreter starts cannot write, read the user's files nor use the network."""
    project, secret = tmp_path / "project", tmp_path / "secret"
    secret.write_text("key", "utf-8")
    python = make_environment(project / ".venv")
    site = next((project / ".venv").glob("lib/python*/site-packages"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        outside = tmp_path / "written"
        code = ACTS.format(outside=str(outside), secret=str(secret), port=server.getsockname()[1])
        (site / "acts.py").write_text(code, "utf-8")
        if way == "script":
            real = os.path.realpath(python)
            python.unlink()
            python.write_text(
                f"#!/bin/sh\ntouch {outside}\ncat {secret} >&2\n{real} -c 'import os' \nexit 3\n", "utf-8"
            )
            python.chmod(0o755)
        else:
            names = {"sitecustomize": ("sitecustomize.py", "import acts\n"), "pth": ("acts.pth", "import acts\n")}
            name, text = names[way]
            (site / name).write_text(text, "utf-8")
        said = ""
        try:
            find_interpreter(project, environ={"PATH": os.environ["PATH"]})
        except UserError as error:
            said = error.message
        with pytest.raises(BlockingIOError):
            server.accept()
    assert (said != "", "key" in said) == (way == "script", False)
    assert not outside.exists()


def test_program_that_never_answers_is_ended_with_all_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that hangs, and what it started in the background, are gone after the time that a probe has."""
    monkeypatch.setattr(probing, "PROBE_WALL_S", 1.0)
    program, marker = tmp_path / "python", uuid.uuid4().hex
    program.write_text(f"#!/bin/sh\nsetsid sh -c 'sleep 999; :' {marker} &\nsh -c 'sleep 999; :' {marker}\n", "utf-8")
    program.chmod(0o755)
    with pytest.raises(UserError, match="gave no answer"):
        find_interpreter(tmp_path, str(program))
    lines = [read_bytes(Path("/proc", name, "cmdline")) for name in os.listdir("/proc") if name.isdigit()]
    assert not [line for line in lines if marker.encode() in line]


def read_bytes(path: Path) -> bytes:
    """A file's content; nothing where it is gone."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_answer_is_remembered_until_something_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second process asks no interpreter again, unless a .pth file of it has changed in place."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    python = make_environment(tmp_path / "env")
    site = next((tmp_path / "env").glob("lib/python*/site-packages"))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    steering = site / "folder.pth"
    steering.write_text(f"{tmp_path / 'one'}\n", "utf-8")
    code = (
        "import sys\nfrom aqe.agents.gate import probing\nfrom aqe.agents.gate.probing import probe\n"
        "if sys.argv[2] == 'deaf':\n    probing._ask = None\n"
        "print(probe(sys.argv[1], 'test').sys_path[-1])\n"
    )

    def ask(how: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", code, str(python), how], capture_output=True, text=True)

    assert ask("hearing").stdout == f"{tmp_path / 'one'}\n"
    assert ask("deaf").stdout == f"{tmp_path / 'one'}\n"
    steering.write_text(f"{tmp_path / 'two'}\n", "utf-8")
    assert ask("deaf").returncode == 1
    assert ask("hearing").stdout == f"{tmp_path / 'two'}\n"


LIAR = """
import sys
class Finder:
    MAPPING = {{"keys": {keys!r}, "home": {home!r}}}
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None
MAPPING = Finder.MAPPING
sys.meta_path.append(Finder)
"""


def test_environment_cannot_have_keys_of_the_user_shown_in_a_box(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders that an environment names are shown inside, except the home itself and its hidden folders."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "id").write_text("key", "utf-8")
    monkeypatch.setenv("HOME", str(home))
    python = make_environment(home / "project" / ".venv")
    site = next((home / "project" / ".venv").glob("lib/python*/site-packages"))
    (site / "liar.py").write_text(LIAR.format(keys=str(home / ".ssh"), home=str(home)), "utf-8")
    (site / "liar.pth").write_text(f"import liar\n{home / '.ssh'}\n{home}\n", "utf-8")
    project = home / "project"
    (project / "thief.py").write_text("def steal(args, emit):\n    return open(args['path']).read()\n", "utf-8")
    assert str(home / ".ssh") in probe(str(python), "test").editable
    with Box.open(BoxSpec(python=str(python), project=str(project), path=(str(project),))) as box:
        stolen = box.run("thief:steal", {"path": str(home / ".ssh" / "id")}, wall_s=10)
    assert (stolen.state, stolen.value) == ("error", None)


def test_homes_are_closed_whatever_home_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where HOME is elsewhere, as in many CI jobs, root's home and other users' are no more shown than one's own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    places = ["/root", "/root/.ssh", "/home/somebody", "/home/somebody/.aws", "/home/somebody/.venvs/python3.12/lib"]
    monkeypatch.setattr(os.path, "exists", lambda path: True)
    told = Interpreter(sys.executable, (3, 12, 0), sys.prefix, sys.base_prefix, tuple(places), True, True, "test")
    shown = make_allow_list(told, str(tmp_path), ()).private
    assert [place for place in places if place in shown] == ["/home/somebody/.venvs/python3.12/lib"]


def test_python_without_ctypes_is_told_by_doctor_and_layers(tmp_path: Path) -> None:
    """An environment in which ctypes cannot be imported is described so, and its boxes name what is missing."""
    python = make_environment(tmp_path / ".venv")
    site = next((tmp_path / ".venv").glob("lib/python*/site-packages"))
    blocker = (
        "import sys\nclass Blocker:\n    @staticmethod\n    def find_spec(name, path=None, target=None):\n"
        "        if name in ('ctypes', '_ctypes'):\n            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Blocker)\n"
    )
    (site / "sitecustomize.py").write_text(blocker, "utf-8")
    told = diagnose_interpreter(tmp_path, None, None, {"PATH": os.environ["PATH"]})
    assert told.origin == ".venv"
    assert any("has no ctypes" in note for note in told.notes)
    with Box.open(BoxSpec(python=str(python), project=str(tmp_path))) as box:
        assert any("memory of the warm process" in layer for layer in box.layers.missing)
