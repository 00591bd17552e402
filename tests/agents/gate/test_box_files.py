"""Which files a box shows, hides and forgets: the project, its `.aqe/`, closed homes, scratch."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from aqe.agents.gate import Box, BoxSpec, find_interpreter
from aqe.agents.gate.interpreter import side_folder
from aqe.engine.errors import UserError


def test_subject_finds_a_package_that_aqe_lacks(project: Path, tmp_path: Path, spec_of: Callable[..., BoxSpec]) -> None:
    """A subject runs with the packages of its own environment, under a home that others may not enter."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    environment = home / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    site = next(environment.glob("lib/python*/site-packages"))
    (site / "only_there.py").write_text("NAME = 'found'\n", "utf-8")
    moved = home / "project"
    shutil.copytree(project, moved)
    spec = spec_of(moved, python=str(environment / "bin" / "python"), path=(str(moved),))
    with Box.open(spec) as box:
        assert box.run("subject:needs_package", {}, wall_s=10).value == "found"


def test_aqe_folder_of_the_project_is_hidden(project: Path, spec_of: Callable[..., BoxSpec]) -> None:
    """The database, tokens and results in `.aqe/` cannot be read inside, and stay as they are."""
    (project / ".aqe").mkdir()
    (project / ".aqe" / "token").write_text("secret", "utf-8")
    code = "def read(args, emit):\n    return open(args['path']).read()\n"
    (project / "thief.py").write_text(code, "utf-8")
    with Box.open(spec_of(project)) as box:
        result = box.run("thief:read", {"path": str(project / ".aqe" / "token")}, wall_s=10)
    assert result.state == "error"
    assert (project / ".aqe" / "token").read_text("utf-8") == "secret"


def test_project_through_a_symlink_is_found_inside(
    project: Path, tmp_path: Path, spec_of: Callable[..., BoxSpec]
) -> None:
    """A project that is named through a symlink has the same path inside."""
    link = tmp_path / "link"
    link.symlink_to(project, target_is_directory=True)
    with Box.open(spec_of(link, path=(str(link),))) as box:
        assert box.run("subject:double", {"value": 2}, wall_s=10).value == {"value": 4}


CLOSED = """
import os, sys, tempfile
from aqe.agents.gate import Box, BoxSpec, kernel

project = sys.argv[1]
if os.geteuid() == 0:  # a file system that cannot show root's files as another user's, as a container's root is one
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    space = tempfile.mkdtemp(dir=os.path.dirname(project))
    kernel.mount("space", space, "tmpfs", 0)
    for name in ("upper", "work"):
        os.mkdir(os.path.join(space, name))
    kernel.mount("over", project, "overlay", 0, f"lowerdir={project},upperdir={space}/upper,workdir={space}/work")
os.chmod(project, 0o700)
with Box.open(BoxSpec(python=sys.executable, project=project, path=(project,))) as box:
    print(box.run("kernel_switches:attack", {}, wall_s=10).value)
    print(box.run("subject:double", {"value": 2}, wall_s=10).state)
"""


def test_closed_project_on_a_file_system_without_id_maps_runs_as_its_owner(project: Path) -> None:
    """A project that only root may read runs where files cannot be shown as another user's, and steers nothing."""
    hostile = Path(__file__).parents[2] / "hostile" / "modules" / "kernel_switches.py"
    shutil.copy(hostile, project)
    done = subprocess.run([sys.executable, "-c", CLOSED, str(project)], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("[]\nok\n", 0), done.stderr


LITTER = """
import os

def leave(args, emit):
    for place in args["places"]:
        os.makedirs(os.path.join(place, "left", "deep", "closed"))
        open(os.path.join(place, "left", "deep", "file"), "w").close()
        os.chmod(os.path.join(place, "left", "deep", "closed"), 0)
        os.chmod(os.path.join(place, "left"), 0)
    os.chmod(args["places"][0], 0)

def warm(args, emit):
    open(os.path.join(os.environ["TMPDIR"], "warm"), "w").close()

def see(args, emit):
    return [sorted(os.listdir(place)) for place in args["places"]]

def rewrite(args, emit):
    done = []
    drafts = os.path.join(os.environ["TMPDIR"], "drafts")
    acts = {
        "write": lambda: open(os.path.join(drafts, "test_a.py"), "a").close(),
        "add": lambda: open(os.path.join(drafts, "conftest.py"), "w").close(),
        "remove": lambda: os.remove(os.path.join(drafts, "test_a.py")),
        "move": lambda: os.rename(drafts, drafts + "2"),
        "chmod": lambda: os.chmod(drafts, 0o777),
    }
    for name, act in acts.items():
        try:
            act()
            done.append(name)
        except OSError:
            pass
    return done
"""


def test_files_that_a_case_leaves_are_gone_for_the_next(project: Path, spec_of: Callable[..., BoxSpec]) -> None:
    """What a case leaves in scratch, however closed, is not there for the next one; what a preload left stays."""
    (project / "litter.py").write_text(LITTER, "utf-8")
    with Box.open(spec_of(project, files={"drafts/test_a.py": b""})) as box:
        places = [box.scratch] if box.layers.below_namespaces else [box.scratch, "/tmp", "/dev/shm"]
        assert box.preload("litter:warm", {}, wall_s=10).state == "ok"
        before = box.run("litter:see", {"places": places}, wall_s=10).value
        assert before[0] == ["drafts", "warm"]
        assert box.run("litter:leave", {"places": places}, wall_s=10).state == "ok"
        assert box.run("litter:see", {"places": places}, wall_s=10).value == before


def test_given_files_cannot_be_changed_by_a_case(project: Path, spec_of: Callable[..., BoxSpec]) -> None:
    """The files that the caller gave are read-only inside, or the layers say that they are not."""
    (project / "litter.py").write_text(LITTER, "utf-8")
    with Box.open(spec_of(project, files={"drafts/test_a.py": b"pass"})) as box:
        done = box.run("litter:rewrite", {}, wall_s=10).value
        assert done == [] or "given files read-only" in box.layers.missing


IN_TEMP = """
import os, sys, tempfile
from aqe.agents.gate import Box, BoxSpec, find_interpreter
from aqe.agents.gate.interpreter import side_folder
from aqe.engine.errors import UserError

with tempfile.NamedTemporaryFile("w", dir="/tmp", prefix="module_", suffix=".py") as stream:
    stream.write("def hello(args, emit):\\n    return 'hello'\\n")
    stream.flush()
    os.chmod(stream.name, 0o644)
    module = os.path.basename(stream.name)[:-3]
    for spec in (BoxSpec(python=sys.executable, project="/tmp", path=("/tmp",), files={"drafts/a.txt": b""}),
                 BoxSpec(python=sys.executable, project=sys.argv[1], path=("/tmp",))):
        with Box.open(spec) as box:
            print(box.run(module + ":hello", {}, wall_s=10).value)
"""


@pytest.mark.services
def test_module_that_lies_in_the_temp_folder_itself_runs(project: Path) -> None:
    """A file in /tmp, where the box has its own scratch, is shown inside as one in any other folder."""
    done = subprocess.run([sys.executable, "-c", IN_TEMP, str(project)], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("hello\nhello\n", 0), done.stderr


VANISHING = """
import os, sys
from aqe.agents.gate import kernel, namespaces

gone = sys.argv[1]
try:
    namespaces.leave(as_root=os.geteuid() == 0)
except OSError:
    sys.exit("no namespaces")
kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
trees, unmapped = namespaces.take_trees([gone], [], None)
os.rmdir(gone)
namespaces.build_root(
    trees, {"limits": {"scratch_mb": 8, "scratch_files": 64}, "shown": [], "masked": [], "links": [], "etc": {}}, 0, 0)
print(os.path.isdir(gone), unmapped)
"""


def test_folder_that_vanishes_while_a_box_is_built_is_left_out(tmp_path: Path) -> None:
    """A neighbour in a shared folder may go between its being seen and its being shown; the box is built without it."""
    (tmp_path / "gone").mkdir()
    command = [sys.executable, "-c", VANISHING, str(tmp_path / "gone")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip() or done.stderr.strip()) in ("True []", "no namespaces"), done.stderr


THIEF = """
import os

def steal(args, emit):
    stolen = []
    for path in args["paths"]:
        try:
            with open(path, "rb") as stream:
                stolen.append(stream.read().decode())
        except OSError:
            pass
    return stolen

def version(args, emit):
    import pytest
    return os.path.dirname(os.path.dirname(pytest.__file__))
"""


@pytest.mark.parametrize("rung", [3, *(pytest.param(rung, marks=pytest.mark.services) for rung in (2, 1))])
@pytest.mark.parametrize("wider", [False, True], ids=["project", "folder-above"])
def test_database_and_token_stay_hidden_beside_the_side_folder(
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spec_of: Callable[..., BoxSpec],
    rung: int,
    wider: bool,
) -> None:
    """Where the cache cannot be written the side folder lies in `.aqe/`; it alone is seen there, by no link more."""
    (tmp_path / "file").write_text("", "utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    bare = replace(find_interpreter(project, sys.executable), has_pytest=False, has_coverage=False)
    side = side_folder(bare, project)
    assert side is not None
    assert side.startswith(str(project / ".aqe" / "side"))
    secrets = [project / ".aqe" / name for name in ("aqe.db", "aqe.db-wal", "token", "side/secret")]
    for secret in secrets:
        secret.write_text("secret", "utf-8")
    for number, target in enumerate((tmp_path / "outside", project / ".aqe")):
        target.mkdir(exist_ok=True)
        (target / "token").write_text("secret", "utf-8")
        (project / f"link{number}").symlink_to(target, target_is_directory=True)
    (project / "thief.py").write_text(THIEF, "utf-8")
    paths = [*map(str, secrets), *(str(project / f"link{number}" / "token") for number in (0, 1))]
    more = {"readable": (str(tmp_path),)} if wider else {}
    if wider:
        shutil.rmtree(tmp_path / "outside")
    try:
        box = Box.open(spec_of(project, path=(side, str(project)), **more), rung=rung)
    except UserError as error:
        refused = error.code
    else:
        refused = ""
        with box:
            assert box.run("thief:steal", {"paths": paths}, wall_s=10).value == []
            assert box.run("thief:version", {}, wall_s=20).value == side
    assert refused == "" or (refused, rung == 3) == ("no-sandbox", False)


def test_database_of_a_neighbour_that_the_path_names_stays_hidden(
    project: Path, tmp_path: Path, spec_of: Callable[..., BoxSpec]
) -> None:
    """A second project on the path shows its modules, not its `.aqe/`."""
    neighbour = tmp_path / "neighbour"
    (neighbour / ".aqe").mkdir(parents=True)
    (neighbour / ".aqe" / "token").write_text("secret", "utf-8")
    (neighbour / "thief.py").write_text(THIEF, "utf-8")
    with Box.open(spec_of(project, path=(str(project), str(neighbour)))) as box:
        assert box.run("thief:steal", {"paths": [str(neighbour / ".aqe" / "token")]}, wall_s=10).value == []
