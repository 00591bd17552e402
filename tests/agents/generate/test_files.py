"""Where test files go, and what is never overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from aqe.agents.generate.files import file_names, output_folder, refuse_foreign, write_tests
from aqe.agents.generate.target import resolve
from aqe.engine.errors import UserError
from aqe.engine.marker import is_ours


def test_modules_of_one_name_get_their_package_in_front(tmp_path: Path) -> None:
    """Two modules called `core` in one run become test_a_core.py and test_b_core.py, others keep the short name."""
    for name in ("a/core.py", "b/core.py", "b/edge.py"):
        (tmp_path / "pkg" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pkg" / name).write_text("def f():\n    return 1\n")
        (tmp_path / "pkg" / name).with_name("__init__.py").write_text("")
    (tmp_path / "pkg/__init__.py").write_text("")
    names = file_names(resolve("pkg", tmp_path))
    assert names == {
        "pkg.a.core": "test_a_core.py",
        "pkg.b.core": "test_b_core.py",
        "pkg.b.edge": "test_edge.py",
    }


def test_suffix_ends_the_name(tmp_path: Path) -> None:
    """--suffix gives a name beside an existing file; one without a letter is refused."""
    (tmp_path / "mod.py").write_text("def f():\n    return 1\n")
    subjects = resolve("mod.py", tmp_path)
    assert file_names(subjects, "aqe") == {"mod": "test_mod_aqe.py"}
    with pytest.raises(UserError, match="suffix"):
        file_names(subjects, "--")


def test_folder_is_the_projects_tests(tmp_path: Path) -> None:
    """Without --out the project's tests or test folder is used, else tests."""
    assert output_folder(tmp_path, None) == tmp_path / "tests"
    (tmp_path / "test").mkdir()
    assert output_folder(tmp_path, None) == tmp_path / "test"
    assert output_folder(tmp_path, str(tmp_path / "here")) == tmp_path / "here"


def test_out_lies_in_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative --out is below the working directory where that lies in the project, else below the project."""
    project = tmp_path / "project"
    (project / "sub").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert output_folder(project, "made") == project / "made"
    monkeypatch.chdir(project / "sub")
    assert output_folder(project, "made") == project / "sub" / "made"


def test_only_unchanged_files_of_aqe_are_replaced(tmp_path: Path) -> None:
    """A file that somebody wrote or edited stands; aqe's own unchanged file is replaced."""
    path = tmp_path / "tests" / "test_mod.py"
    write_tests(path, "x = 1\n")
    write_tests(path, "x = 2\n")
    assert is_ours(path)
    path.write_text(path.read_text() + "\n# a person was here\n")
    with pytest.raises(UserError) as caught:
        refuse_foreign([path])
    assert caught.value.code == "file-not-ours"
    with pytest.raises(UserError):
        write_tests(path, "x = 3\n")
    assert "a person was here" in path.read_text()
