"""`aqe doctor` tells what this machine gives, and changes nothing."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from aqe.engine.memory import open_store
from aqe.server.cli.doctor import examine
from tests.warm_command import warm_command


def doctor(project: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `aqe doctor` on `project`."""
    command = ("doctor", "--project", str(project), *words)
    return warm_command().run(command, cwd=Path.cwd(), env={**os.environ, **environ}, limit_s=60)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty project."""
    (tmp_path / "pyproject.toml").write_text("[tool.aqe]\n", "utf-8")
    return tmp_path


def test_doctor_names_rung_interpreter_kernels_and_database(project: Path) -> None:
    """The plain report names each part on a line of its own, and nothing is made in the project."""
    done = doctor(project)
    assert done.returncode == 0, done.stderr
    heads = [line.split()[0] for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert heads == ["aqe", "project", "kernel", "sandbox", "interpreter", "kernels", "database", "models", "embedder"]
    assert "rung " in done.stdout
    assert [path.name for path in project.iterdir()] == ["pyproject.toml"]


def test_doctor_as_json_says_layers_and_reasons(project: Path) -> None:
    """The JSON report holds the rung, layers in force and missing, and why each higher rung does not hold."""
    done = doctor(project, "--json")
    report = json.loads(done.stdout)
    sandbox = report["sandbox"]
    assert report["schema"] == "aqe.doctor/1"
    assert sandbox["in_force"]
    assert sandbox["below_namespaces"] == (not sandbox["rung"].startswith("3"))
    assert bool(sandbox["higher"]) == sandbox["below_namespaces"]
    assert report["interpreter"]["has_pytest"]


def test_doctor_says_what_keeps_each_model_from_answering(project: Path) -> None:
    """A server on this machine that answers, one that says nothing, one that is not there, one elsewhere, which is not
    asked, a missing key and a missing embedder: a line each, with what to do."""
    with ExitStack() as stack:
        answering, silent, gone = (stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3))
        threading.Thread(target=_answer_once, args=(answering,), daemon=True).start()
        ports = {name: one.getsockname()[1] for name, one in (("a", answering), ("b", silent), ("c", gone))}
        gone.close()
        urls = {name: f"http://127.0.0.1:{port}/v1" for name, port in ports.items()}
        house = {"kind": "openai-compatible", "models": ["m"]}
        tables = {name: {**house, "base_url": url} for name, url in urls.items()}
        tables["d"] = {**house, "base_url": "https://models.invalid/v1?key=t0k-4711"}
        tables["e"] = {**house, "base_url": urls["a"], "api_key_env": "NO_SUCH_KEY"}
        environ = {"AQE_PROVIDERS": json.dumps(tables), "AQE_EMBEDDER": "sentence-transformers:no/such-model"}
        report = json.loads(doctor(project, "--json", **environ).stdout)
    found = {one["name"]: one for one in report["models"]}
    assert {name: one["ok"] for name, one in found.items()} == {
        "a": True,
        "b": False,
        "c": False,
        "d": True,
        "e": False,
    }
    assert found["b"]["state"].endswith("nothing within 2 s")
    assert found["c"]["fix"] == "Start its server, or correct base_url."
    assert found["d"]["state"] == "https://models.invalid is not this machine and was not asked"
    assert found["e"]["fix"] == "Set NO_SUCH_KEY."
    assert not report["embedder"]["ok"]
    assert report["embedder"]["fix"]
    environ["AQE_PROVIDERS"] = json.dumps({"e": tables["e"]})
    out = doctor(project, **environ).stdout
    assert "models       e: the variable NO_SUCH_KEY with its key is not set. Set NO_SUCH_KEY.\n" in out


def _answer_once(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(10_000)
        connection.sendall(b"HTTP/1.1 401 no\r\nContent-Length: 0\r\n\r\n")


def test_doctor_reports_what_is_broken_and_still_ends_well(project: Path) -> None:
    """A broken database, a wrong setting and a missing interpreter are told; the exit status stays 0."""
    (project / "pyproject.toml").write_text("[tool.aqe]\nbudgit = 3\n", "utf-8")
    (project / ".aqe").mkdir()
    (project / ".aqe" / "aqe.db").write_bytes(b"no database at all" * 100)
    done = doctor(project, "--json", "--python", "nowhere/python")
    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert "[no-interpreter]" in report["interpreter"]["error"]
    assert "budgit" in report["settings_error"]
    assert not report["store"]["state"].startswith("healthy")
    assert (project / ".aqe" / "aqe.db").read_bytes() == b"no database at all" * 100


def test_doctor_names_the_provider_whose_address_is_none(project: Path) -> None:
    """A port that is none is told as the setting of that provider, and all else of the machine is shown."""
    house = {"kind": "openai-compatible", "models": ["m"], "base_url": "http://localhost:99999/v1"}
    done = doctor(project, "--json", AQE_PROVIDERS=json.dumps({"house": house}))
    report = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert "'providers.house.base_url'" in report["settings_error"]
    assert report["sandbox"]


@pytest.mark.services
def test_doctor_lists_what_lies_in_clear_when_a_key_is_set(project: Path) -> None:
    """With AQE_DB_KEY set each readable file of `.aqe` is listed, a plain backup and those of a linked worktree too,
    the encrypted database not."""
    from aqe.engine.memory import Store

    with Store.open(made := project / "aqe.db") as store:
        store.add("kept in clear")
    (project / ".aqe" / "results").mkdir(parents=True)
    for name in ("results/verify.json", "token", "aqe.db.v1.bak"):
        (project / ".aqe" / name).write_bytes(made.read_bytes())
    made.unlink()
    with Store.open(project / ".aqe" / "aqe.db", key="k") as store:
        store.add("kept encrypted")
    git, linked = project / ".git" / "worktrees" / "linked", project.with_name("linked")
    for folder in (git, linked / ".aqe" / "results"):
        folder.mkdir(parents=True)
    (git / "gitdir").write_text(f"{linked / '.git'}\n")
    (linked / ".git").write_text(f"gitdir: {git}\n")
    (linked / ".aqe" / "results" / "verify.json").write_text("{}")
    done = doctor(project, AQE_DB_KEY="k")
    listed = [line.split(": ")[1] for line in done.stdout.splitlines() if "in clear although AQE_DB_KEY is set" in line]
    names = ["aqe.db.v1.bak", "results/verify.json", "token"]
    theirs = (linked / ".aqe" / "results" / "verify.json").as_posix()
    assert listed == sorted([theirs, *((project / ".aqe" / name).as_posix() for name in names)])
    assert "in clear" not in doctor(project).stdout


@pytest.mark.services
def test_doctor_names_an_order_that_every_search_refuses(project: Path) -> None:
    """A memory.rank that is no order is told with what it may be; one that is an order is not spoken of."""
    done = doctor(project, AQE_MEMORY_RANK="x y")
    (said,) = [line for line in done.stdout.splitlines() if line.startswith("settings ")]
    assert (done.returncode, "memory.rank = 'x y'" in said) == (0, True)
    assert "embedder     static: ready" in done.stdout
    assert "\nsettings" not in doctor(project, AQE_MEMORY_RANK="similarity * 2").stdout


def test_doctor_names_an_index_whose_library_is_not_there(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of memory.index = "hnsw" without its extra doctor says what to install, beside whatever else is refused."""
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    monkeypatch.setenv("AQE_MEMORY_INDEX", "hnsw")
    monkeypatch.setenv("AQE_MEMORY_RANK", "x y")
    said = examine(project, None)["settings_error"]
    assert all(part in said for part in ("memory.index = 'hnsw'", "aqe[hnsw]", "memory.rank = 'x y'"))


@pytest.mark.services
def test_doctor_says_once_which_kernels_there_are(project: Path) -> None:
    """A wrong AQE_SIMD is told in one sentence with what can be chosen, and nothing stands behind its full stop."""
    (told,) = (line for line in doctor(project, AQE_SIMD="avx999").stdout.splitlines() if line.startswith("kernels"))
    assert "'avx999' is not a path of aqe.simd" in told
    assert (told.count("numpy"), told[-1]) == (1, ".")


@pytest.mark.services
@pytest.mark.skipif(os.name == "nt", reason="POSIX modes")
def test_doctor_says_when_others_may_read_the_store(project: Path) -> None:
    """A store that the group or everybody may read is told with the line that mends it, which it does."""
    open_store(project).close()
    (project / ".aqe" / "aqe.db").chmod(0o644)
    assert "others on this machine" not in doctor(project).stdout
    (project / ".aqe").chmod(0o755)
    said = doctor(project).stdout
    mended = re.search(
        r"others on this machine may read it; unless a team shares it: (chmod 700 .*/\.aqe)$", said, re.M
    )
    assert mended is not None, said
    subprocess.run(mended[1], shell=True, check=True)
    assert json.loads(doctor(project, "--json").stdout)["store"]["read_by_others"] is False
