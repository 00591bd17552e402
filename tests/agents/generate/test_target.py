"""What a target means, read from files."""

from __future__ import annotations

from pathlib import Path

import pytest

from aqe.agents.generate.target import resolve, search_path
from aqe.engine.errors import UserError


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


FUNCTION = "def one(value):\n    return value\n"


def test_file_in_package_has_its_dotted_name(tmp_path: Path) -> None:
    """A file in a package is named from the first folder without __init__.py."""
    write(tmp_path, {"pkg/__init__.py": "", "pkg/sub/__init__.py": "", "pkg/sub/mod.py": FUNCTION})
    (subject,) = resolve("pkg/sub/mod.py", tmp_path)
    assert (subject.module, subject.root) == ("pkg.sub.mod", tmp_path)


def test_src_layout_imports_from_src(tmp_path: Path) -> None:
    """A package under src is imported from src."""
    write(tmp_path, {"src/pkg/__init__.py": "", "src/pkg/mod.py": FUNCTION, "pyproject.toml": ""})
    (subject,) = resolve("src/pkg/mod.py", tmp_path)
    assert (subject.module, subject.root) == ("pkg.mod", tmp_path / "src")


def test_namespace_package_reaches_up_to_the_path(tmp_path: Path) -> None:
    """A folder without __init__.py below a folder of the path is a namespace package."""
    write(tmp_path, {"src/space/part/__init__.py": "", "src/space/part/mod.py": FUNCTION})
    (subject,) = resolve("src/space/part/mod.py", tmp_path)
    assert subject.module == "space.part.mod"


def test_pytest_pythonpath_is_searched_first(tmp_path: Path) -> None:
    """The pythonpath of the project's pytest settings comes before the project itself."""
    write(tmp_path, {"pyproject.toml": '[tool.pytest.ini_options]\npythonpath = ["lib"]\n', "lib/mod.py": FUNCTION})
    assert search_path(tmp_path)[0] == tmp_path / "lib"
    assert resolve("mod", tmp_path)[0].path == tmp_path / "lib" / "mod.py"


def test_module_is_found_on_the_interpreters_path_and_not_imported(tmp_path: Path) -> None:
    """A module name is found in the interpreter's folders, and its code does not run."""
    site = write(tmp_path / "site", {"installed/__init__.py": "", "installed/mod.py": "raise SystemExit\n" + FUNCTION})
    project = write(tmp_path / "project", {"pyproject.toml": ""})
    (subject,) = resolve("installed.mod", project, [str(site)])
    assert (subject.module, subject.root) == ("installed.mod", site)


def test_folder_gives_each_module_that_defines_something(tmp_path: Path) -> None:
    """A folder means its modules, without tests, scripts, environments and empty files."""
    write(
        tmp_path,
        {
            "pkg/__init__.py": "",
            "pkg/one.py": FUNCTION,
            "pkg/two.py": "class Two:\n    pass\n",
            "pkg/__main__.py": FUNCTION,
            "pkg/tests/test_one.py": FUNCTION,
            "pkg/.venv/lib/three.py": FUNCTION,
        },
    )
    assert [subject.module for subject in resolve("pkg", tmp_path)] == ["pkg.one", "pkg.two"]


def test_name_handed_on_by_a_star_is_followed(tmp_path: Path) -> None:
    """A name handed on by `import *` is tested where it is defined; a circle of stars ends in an error."""
    stars = {"labels/__init__.py": "from .special import *\nfrom .slug import *\n", "labels/slug.py": FUNCTION}
    write(tmp_path, {**stars, "labels/special.py": "from . import *\nDASH = '-'\n"})
    (subject,) = resolve("labels/__init__.py::one", tmp_path)
    assert (subject.module, subject.names) == ("labels.slug", ("one",))
    with pytest.raises(UserError, match="labels defines no two"):
        resolve("labels/__init__.py::two", tmp_path)


def test_name_of_a_reexport_is_followed_to_its_module(tmp_path: Path) -> None:
    """A name that a package hands on is tested in the module that defines it."""
    write(tmp_path, {"pkg/__init__.py": "from .mod import one\n", "pkg/mod.py": FUNCTION})
    (subject,) = resolve("pkg::one", tmp_path)
    assert (subject.module, subject.names) == ("pkg.mod", ("one",))


def test_method_and_class_are_names(tmp_path: Path) -> None:
    """A name may be a function, a class or a method."""
    write(tmp_path, {"mod.py": "class Stack:\n    def push(self, item):\n        pass\n"})
    assert resolve("mod.py::Stack.push", tmp_path)[0].names == ("Stack.push",)
    assert resolve("mod::Stack", tmp_path)[0].names == ("Stack",)


TWICE = """try:
    import fast

    def load(text):
        return fast.load(text)
except ImportError:
    def load(text):
        return int(text)


class Cart:
    @property
    def size(self):
        return self._size

    @size.setter
    def size(self, value):
        self._size = value

    @overload
    def pay(self, price: int) -> int: ...
    @overload
    def pay(self, price: str) -> str: ...
    def pay(self, price):
        return price
"""


@pytest.mark.parametrize(
    ("name", "within"),
    [("load", ((4, 5), (7, 8))), ("Cart.size", ((13, 14), (17, 18))), ("Cart.pay", ((24, 25),))],
)
def test_all_that_has_the_name_is_meant(tmp_path: Path, name: str, within: tuple[tuple[int, int], ...]) -> None:
    """Both branches of a condition, a property with its setter, and of overloads the one that runs."""
    write(tmp_path, {"mod.py": TWICE})
    (subject,) = resolve(f"mod.py::{name}", tmp_path)
    assert subject.within() == within


def test_source_in_its_own_encoding_and_with_a_bom_is_read(tmp_path: Path) -> None:
    """Source is decoded as Python does: by its coding line or its byte order mark."""
    (tmp_path / "latin.py").write_bytes(b"# -*- coding: latin-1 -*-\ndef caf\xe9():\n    return 1\n")
    (tmp_path / "marked.py").write_bytes(b"\xef\xbb\xbfdef one():\r\n    return 1\r\n")
    assert set(resolve("latin.py", tmp_path)[0].outline.definitions) == {"café"}
    assert set(resolve("marked.py", tmp_path)[0].outline.definitions) == {"one"}


@pytest.mark.parametrize(
    ("target", "code", "words"),
    [
        ("gone.py", "no-such-path", "gone.py"),
        ("gone/", "no-such-path", "gone/"),
        ("empty_folder", "no-python", "empty_folder"),
        ("notes.txt", "not-python", "notes.txt"),
        ("binary.py", "not-python", "binary.py"),
        ("broken.py", "syntax-error", "line 2"),
        ("blank.py", "nothing-to-test", "blank.py"),
        ("fast.cpython-311-x86_64-linux-gnu.so", "c-extension", "wraps"),
        ("fast", "c-extension", "wraps"),
        ("no_such_module_anywhere", "module-not-found", "--python"),
        ("mod.py::onne", "name-not-found", "Did you mean one?"),
        ("my-script.py", "not-importable", "my-script"),
    ],
)
def test_wrong_target_is_said_in_one_sentence(tmp_path: Path, target: str, code: str, words: str) -> None:
    """Each wrong target has its own code and names what was wrong."""
    write(
        tmp_path,
        {
            "notes.txt": "text",
            "broken.py": "x = 1\ndef (:\n",
            "blank.py": '"""Nothing."""\nX = 1\n',
            "mod.py": FUNCTION,
            "my-script.py": FUNCTION,
            "fast.cpython-311-x86_64-linux-gnu.so": "",
        },
    )
    (tmp_path / "empty_folder").mkdir()
    (tmp_path / "binary.py").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UserError) as caught:
        resolve(target, tmp_path)
    assert caught.value.code == code
    assert words in str(caught.value)
