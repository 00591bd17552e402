"""Plants of the other rows: copied code, smells of tests, branches without a test, insecure code, and for each of them
something harmless that looks alike. Every plant is a change that a developer could hand in."""

from __future__ import annotations

import ast
import random
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping

from plant import Function, Plant, Text

EACH = 2
"""Plants of each kind in each package."""

ANY = ("clone", "untested-branch", "test-smell-*", "S*", "B*", "F*", "PLE*", "PLW*", "ASYNC*", "RUF*", "PERF*", "E*")


def plant_kinds(package: str, files: dict[str, str], seed: int) -> list[Plant]:
    """Changes of every other kind in one package; `files` are its sources without the tests, by path."""
    chance = random.Random(f"kinds {seed} {package}")
    files = {path: text for path, text in files.items() if not path.endswith("version.py")}  # made, and ignored by git
    found: list[Plant] = []
    for plant in (_clones, _smells, _untested, _insecure, _harmless):
        made = plant(package, files, chance)
        found += [one for one, _ in zip(made, range(EACH), strict=False)]
    return found


# ---------------------------------------------------------------- copied code


def _clones(package: str, files: Mapping[str, str], chance: random.Random) -> Iterator[Plant]:
    """Functions of some size, copied as people copy: under another name, elsewhere, with small changes."""
    places = [
        (path, text, one)
        for path, text in ((path, Text(files[path])) for path in sorted(files))
        for one in text.functions()
        if not one.is_method and _size(one) >= 6
    ]
    chance.shuffle(places)
    ways = [_verbatim, _renamed, _reformatted, _into_a_longer_one]
    chance.shuffle(ways)
    for number, (path, text, function) in enumerate(places):
        way = ways[number % len(ways)]
        target = path if chance.random() < 0.5 else chance.choice(sorted(files))
        added = way(text, function)
        yield Plant(
            "clone", way.__name__.strip("_"), package, target, function.qualname,
            {target: f"{files[target].rstrip()}\n\n\n{added}\n"}, ("clone",),
        )  # fmt: skip


def _size(function: Function) -> int:
    return sum(isinstance(node, ast.stmt) for one in function.body for node in ast.walk(one))


def _verbatim(text: Text, function: Function) -> str:
    node = function.node
    return text.source(node).replace(f"def {node.name}(", f"def {node.name}_again(", 1)


def _reformatted(text: Text, function: Function) -> str:
    return ast.unparse(_named(function, f"{function.node.name}_too"))


def _renamed(text: Text, function: Function) -> str:
    """Other local names, one text or number changed."""
    node = _named(function, f"{function.node.name}_of")
    own = {one.arg for one in ast.walk(node) if isinstance(one, ast.arg)}
    own |= {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
    for one in ast.walk(node):
        if isinstance(one, ast.Name) and one.id in own:
            one.id = f"the_{one.id}"
        elif isinstance(one, ast.arg):
            one.arg = f"the_{one.arg}"
    values = [one for part in node.body[1:] for one in ast.walk(part) if isinstance(one, ast.Constant)]
    if values and isinstance(values[-1].value, str):
        values[-1].value += "!"
    return ast.unparse(node)


def _into_a_longer_one(text: Text, function: Function) -> str:
    """The body pasted into a function that does something before."""
    node = _named(function, f"prepare_{function.node.name.strip('_')}")
    first = ast.parse("print('preparing')").body
    node.body = [*first, *node.body]
    return ast.unparse(node)


def _named(function: Function, name: str) -> ast.FunctionDef | ast.AsyncFunctionDef:
    node = ast.parse(ast.unparse(function.node)).body[0]
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    node.name = name
    node.decorator_list = []
    return node


# ---------------------------------------------------------------- smells of tests

SMELLS = {
    "no assertion": """
        def test_{name}_is_there():
            {name}
            {module}.{name}
        """,
    "asserts true": """
        def test_{name}_exists():
            found = {module}.{name}
            assert found is not None or True
        """,
    "tuple": """
        def test_{name}_is_callable():
            assert (callable({module}.{name}), "it can be called")
        """,
    "sleeps": """
        def test_{name}_later():
            time.sleep(2)
            assert callable({module}.{name})
        """,
    "swallows": """
        def test_{name}_takes_nothing_bad():
            try:
                {module}.{name}(object(), object(), object(), object(), object())
                assert False is True
            except Exception:
                pass
        """,
    "returns": """
        def test_{name}_has_a_name():
            return {module}.{name}.__name__ == "{name}"
        """,
    "defined twice": """
        def test_{name}_by_name():
            assert {module}.{name}.__name__


        def test_{name}_by_module():
            assert {module}.{name}.__module__


        def test_{name}_by_name():
            assert {module}.{name}.__qualname__
        """,
    "behind what raises": """
        def test_{name}_rejects():
            with pytest.raises(TypeError) as caught:
                {module}.{name}(1, 2, 3, 4, 5, 6, 7, 8, 9)
                assert "argument" in str(caught.value)
        """,
    "never called": """
        def test_{name}_inner():
            def check():
                assert {module}.{name}.__name__ == "other"

            assert callable({module}.{name})
        """,
    "under a condition": """
        def test_{name}_sometimes():
            found = getattr({module}, "{name}", None)
            if found:
                assert callable(found)
        """,
    "same twice": """
        def test_{name}_names():
            found = {module}.{name}
            assert found.__name__ == "{name}"
            assert found.__name__ == "{name}"
        """,
    "mocks its subject": """
        def test_{name}_answers(monkeypatch):
            monkeypatch.setattr({module}, "{name}", lambda *given: 7)
            assert {module}.{name}(1) == 7
        """,
    "changes the process": """
        def test_{name}_in_another_language():
            os.environ["LANG"] = "de_AT"
            assert callable({module}.{name})
        """,
    "file of this machine": """
        def test_{name}_from_a_file():
            text = open("/home/me/data/{name}.txt").read()
            assert text
        """,
    "the same as another": """
        def test_{name}_one():
            found = {module}.{name}
            assert callable(found)


        def test_{name}_two():
            found = {module}.{name}
            assert callable(found)
        """,
    "chance": """
        def test_{name}_with_any_number():
            number = random.randint(1, 100)
            assert number > 0
            assert callable({module}.{name})
        """,
}
_HEAD = "import os\nimport random\nimport time\n\nimport pytest\n\nimport {module}\n"


def _smells(package: str, files: Mapping[str, str], chance: random.Random) -> Iterator[Plant]:
    names = sorted(SMELLS)
    chance.shuffle(names)
    for smell in names:
        path, text = _test_file(files, chance, SMELLS[smell])
        yield Plant("test smell", smell, package, path, "", {path: text}, ("test-smell-*", "B0*", "PT*", "F811"))


def _test_file(files: Mapping[str, str], chance: random.Random, template: str) -> tuple[str, str]:
    """A new test file about one public function."""
    module, function = chance.choice(_public(files))
    body = textwrap.dedent(template).strip().format(module=module, name=function.node.name)
    head = _HEAD.format(module=module)
    used = [line for line in head.splitlines() if not line or re.search(rf"\b{re.escape(line.split()[1])}\b", body)]
    return "tests/test_added.py", "\n".join([*used, "", "", body]).lstrip() + "\n"


def _public(files: Mapping[str, str]) -> list[tuple[str, Function]]:
    found = [
        (_module(path), one)
        for path in sorted(files)
        for one in Text(files[path]).functions()
        if not one.is_method and not one.node.name.startswith("_")
    ]
    return found or [(_module(min(files)), next(Text(files[min(files)]).functions()))]


def _module(path: str) -> str:
    return path.removeprefix("src/").removesuffix(".py").replace("/", ".").removesuffix(".__init__")


# ---------------------------------------------------------------- branches without a test


def _untested(package: str, files: Mapping[str, str], chance: random.Random) -> Iterator[Plant]:
    """New ways through public functions that the package's suite calls, which no test of it can know."""
    places = [(path, text, one) for path, text, one in _with_parameter(files)]
    chance.shuffle(places)
    ways: list[Callable[[Text, Function, str], str]] = [_guard, _special_case, _caught]
    for number, (path, text, function) in enumerate(places):
        way = ways[number % len(ways)]
        changed = way(text, function, _parameter(function))
        name = way.__name__.strip("_").replace("_", " ")
        yield Plant("untested branch", name, package, path, function.qualname, {path: changed}, ("untested-branch",))


def _with_parameter(files: Mapping[str, str]) -> Iterator[tuple[str, Text, Function]]:
    for path in sorted(files):
        text = Text(files[path])
        for one in text.functions():
            if not one.is_method and not one.node.name.startswith("_") and _parameter(one):
                yield path, text, one


def _parameter(function: Function) -> str:
    arguments = function.node.args
    return next((one.arg for one in (*arguments.posonlyargs, *arguments.args)), "")


def _guard(text: Text, function: Function, name: str) -> str:
    return _before(text, function, f"if {name} is Ellipsis:\n    raise TypeError('{name} is missing')\n")


def _special_case(text: Text, function: Function, name: str) -> str:
    return _before(text, function, f"if {name} == 'a value that is special':\n    {name} = str({name}).upper()\n")


def _caught(text: Text, function: Function, name: str) -> str:
    first = function.body[0]
    inside = textwrap.indent(textwrap.dedent(" " * first.col_offset + text.source(first)), "    ")
    return text.statement(first, f"try:\n{inside}\nexcept RecursionError:\n    {name} = None\n    return {name}")


def _before(text: Text, function: Function, added: str) -> str:
    first = function.body[0]
    own = textwrap.dedent(" " * first.col_offset + text.source(first))
    return text.statement(first, f"{added}{own}")


# ---------------------------------------------------------------- insecure code

INSECURE = {
    "shell": "import subprocess\n\n\ndef {name}(command):\n"
    "    return subprocess.run(command, shell=True, check=True)\n",
    "eval": "def {name}(text):\n    return eval(text)\n",
    "pickle": "import pickle\n\n\ndef {name}(path):\n    with open(path, 'rb') as stream:\n"
    "        return pickle.load(stream)\n",
    "yaml": "def {name}(text):\n    import yaml\n\n    return yaml.load(text, Loader=yaml.Loader)\n",
    "md5": "import hashlib\n\n\ndef {name}(password):\n    return hashlib.md5(password.encode()).hexdigest()\n",
    "mktemp": "import tempfile\n\n\ndef {name}():\n    return tempfile.mktemp('.txt')\n",
    "no certificate": "def {name}(url):\n    import requests\n\n"
    "    return requests.get(url, verify=False, timeout=5)\n",
    "sql": "def {name}(cursor, user):\n    cursor.execute(f\"select * from users where name = '{{user}}'\")\n"
    "    return cursor.fetchall()\n",
    "password": "def {name}(connect):\n    password = 'hunter2-for-all'\n    return connect('admin', password)\n",
    "token": "import random\nimport string\n\n\ndef {name}():\n    letters = string.ascii_letters\n"
    "    token = ''.join(random.choice(letters) for _ in range(32))\n    return token\n",
    "tar": "import tarfile\n\n\ndef {name}(path, folder):\n    with tarfile.open(path) as archive:\n"
    "        archive.extractall(folder)\n",
    "tls": "import ssl\n\n\ndef {name}():\n    return ssl._create_unverified_context()\n",
    "permissions": "import os\n\n\ndef {name}(path):\n    os.chmod(path, 0o777)\n",
    "templates": "def {name}():\n    import jinja2\n\n    return jinja2.Environment(autoescape=False)\n",
    "everywhere": "def {name}(server):\n    return server.bind(('0.0.0.0', 8080))\n",
    "no timeout": "def {name}(url):\n    import requests\n\n    return requests.get(url)\n",
}


def _insecure(package: str, files: Mapping[str, str], chance: random.Random) -> Iterator[Plant]:
    names = sorted(INSECURE)
    chance.shuffle(names)
    for what in names:
        path = chance.choice(sorted(files))
        added = INSECURE[what].format(name=f"do_{what.replace(' ', '_')}")
        text = f"{files[path].rstrip()}\n\n\n{added}"
        yield Plant("security", what, package, path, "", {path: text}, ("S*",))


# ---------------------------------------------------------------- harmless ones that look alike


def _harmless(package: str, files: Mapping[str, str], chance: random.Random) -> Iterator[Plant]:
    ways = [_moved, _good_test, _tested_branch, _secure]
    chance.shuffle(ways)
    for way in ways:
        made = way(files, chance)
        if made is not None:
            yield Plant("harmless, other", way.__name__.strip("_"), package, "", "", made, ANY)


def _moved(files: Mapping[str, str], chance: random.Random) -> dict[str, str] | None:
    """A function that moves to the end of its module."""
    places = [
        (path, text, one)
        for path, text in ((path, Text(files[path])) for path in sorted(files))
        for one in text.functions()
        if not one.is_method and _size(one) >= 6 and not one.node.decorator_list and one.node in text.tree.body
    ]
    if not places:
        return None
    path, text, function = chance.choice(places)
    source = text.source(function.node)
    left = text.text.replace(f"{source}\n", "", 1)
    return {path: f"{left.rstrip()}\n\n\n{source}\n"}


def _good_test(files: Mapping[str, str], chance: random.Random) -> dict[str, str]:
    path, text = _test_file(
        files,
        chance,
        """
        def test_{name}_is_public():
            assert {module}.{name}.__name__ == "{name}"


        def test_{name}_needs_an_argument():
            with pytest.raises(TypeError):
                {module}.{name}(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
        """,
    )
    return {path: text}


def _tested_branch(files: Mapping[str, str], chance: random.Random) -> dict[str, str] | None:
    """A new branch with its test."""
    places = [
        (path, text, one)
        for path, text, one in _with_parameter(files)
        if not one.node.decorator_list and not isinstance(one.node, ast.AsyncFunctionDef)
        and not any(isinstance(node, ast.Yield | ast.YieldFrom) for node in ast.walk(one.node))
    ]  # fmt: skip
    if not places:
        return None
    path, text, function = chance.choice(places)
    arguments = function.node.args
    many = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    given = ", ".join(["..."] * max(1, many))
    module, name = _module(path), function.node.name
    test = f"import pytest\n\nfrom {module} import {name}\n\n\ndef test_{name}_refuses_an_ellipsis():\n"
    test += f"    with pytest.raises(TypeError, match='missing'):\n        {name}({given})\n"
    if arguments.kwonlyargs:
        return None
    return {path: _guard(text, function, _parameter(function)), "tests/test_ellipsis.py": test}


def _secure(files: Mapping[str, str], chance: random.Random) -> dict[str, str]:
    """A careful function at the end of a module, with a test that runs it."""
    path = chance.choice(sorted(files))
    added, call = chance.choice(
        [
            (
                "import subprocess\n\n\ndef do_run(command):\n    return subprocess.run([command], check=True)\n",
                "do_run('true').returncode == 0",
            ),
            (
                "import hashlib\n\n\ndef do_digest(data):\n    return hashlib.sha256(data).hexdigest()\n",
                "do_digest(b'').startswith('e3b0')",
            ),
            (
                "import secrets\n\n\ndef do_token():\n    return secrets.token_urlsafe(32)\n",
                "len(do_token()) > 30",
            ),
            (
                "import ast\n\n\ndef do_value(text):\n    return ast.literal_eval(text)\n",
                "do_value('[1]') == [1]",
            ),
        ]
    )
    name = added.split("def ")[1].split("(")[0]
    test = f"from {_module(path)} import {name}\n\n\ndef test_{name}():\n    assert {call}\n"
    return {path: f"{files[path].rstrip()}\n\n\n{added}", "tests/test_secure.py": test}
