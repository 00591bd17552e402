"""Settings: which place wins, where a value came from, and what is refused."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from aqe.engine.errors import UserError
from aqe.engine.settings import declared_keys, load_settings, origins, user_file, variable


def write_project(folder: Path, text: str) -> Path:
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return folder


def write_user_file(text: str) -> Path:
    path = user_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_each_place_wins_over_the_next(tmp_path: Path) -> None:
    """A flag wins over the environment, that over the project, that over the user's file, that over the default."""
    assert load_settings(tmp_path, environ={}).budget == 20
    write_user_file("budget = 5")
    assert load_settings(tmp_path, environ={}).budget == 5
    write_project(tmp_path, '[tool.aqe]\nbudget = "1m"')
    assert load_settings(tmp_path, environ={}).budget == 60
    assert load_settings(tmp_path, environ={"AQE_BUDGET": "90s"}).budget == 90
    assert load_settings(tmp_path, {"budget": "2m"}, {"AQE_BUDGET": "90s"}).budget == 120
    assert load_settings(tmp_path, {"budget": None}, {"AQE_BUDGET": "90s"}).budget == 90


def test_each_value_says_where_it_came_from(tmp_path: Path) -> None:
    """The origin is the flag, the variable, the file, or "default"."""
    user = write_user_file('python = "python3.11"')
    write_project(tmp_path, "[tool.aqe.sandbox]\nmemory_mb = 512")
    found = origins(tmp_path, {"budget": "2m"}, {"AQE_HTTP_PORT": "0"})
    known = {setting.key: (setting.value, setting.origin) for setting in found}
    assert known["budget"] == (120.0, "--budget")
    assert known["http.port"] == (0, "AQE_HTTP_PORT")
    assert known["sandbox.memory_mb"] == (512, str(tmp_path / "pyproject.toml"))
    assert known["python"] == ("python3.11", str(user))
    assert known["store"] == ("shared", "default")


def test_tables_of_two_places_are_joined(tmp_path: Path) -> None:
    """One key of a table in the project leaves the others to the user's file."""
    write_user_file("[sandbox]\nmemory_mb = 300\nprocesses = 9")
    write_project(tmp_path, "[tool.aqe.sandbox]\nmemory_mb = 512")
    sandbox = load_settings(tmp_path, environ={}).sandbox
    assert (sandbox.memory_mb, sandbox.processes) == (512, 9)


@pytest.mark.parametrize(
    ("text", "key", "seen", "allowed"),
    [
        ('store = "loca"', "store", "'loca'", "'shared' or 'local'"),
        ('budget = "soon"', "budget", "'soon'", "20s or 2m"),
        ("budget = -3", "budget", "-3", "20s or 2m"),
        ("budget = [1]", "budget", "[1]", "20s or 2m"),
        ("sandbox.memory_mb = 3", "sandbox.memory_mb", "3", "from 64 to"),
        ('sandbox.allow_weak = "maybe"', "sandbox.allow_weak", "'maybe'", "true or false"),
        ('python = ""', "python", "''", "not empty"),
        ("http.port = 70000", "http.port", "70000", "from 0 to 65535"),
    ],
)
def test_wrong_value_names_file_key_value_and_what_is_allowed(
    tmp_path: Path, text: str, key: str, seen: str, allowed: str
) -> None:
    """One sentence says where the value stands, what it is and what it may be."""
    write_project(tmp_path, f"[tool.aqe]\n{text}")
    with pytest.raises(UserError) as caught:
        load_settings(tmp_path, environ={})
    assert caught.value.code == "bad-setting"
    for part in (key, seen, str(tmp_path / "pyproject.toml")):
        assert part in caught.value.message
    assert allowed in caught.value.fix


def test_project_tightens_the_users_privacy_and_never_loosens_it(tmp_path: Path) -> None:
    """What the user's file forbids a project's file cannot allow; it may forbid more, and files that stay add up."""
    write_user_file('[privacy]\nmode = "balanced"\nmcp_content = "redacted"\nnever_send = "*.pem"\n')
    for name in ("loose", "tight"):
        (tmp_path / name).mkdir()
    loose = write_project(tmp_path / "loose", '[tool.aqe.privacy]\nmode = "off"\nmcp_content = "full"\n')
    tight = write_project(tmp_path / "tight", '[tool.aqe.privacy]\nmode = "strict"\nnever_send = ["secret/"]\n')
    found = load_settings(loose, environ={}).privacy
    assert (found.mode, found.mcp_content, found.never_send) == ("balanced", "redacted", ("*.pem",))
    found = load_settings(tight, environ={}).privacy
    assert (found.mode, found.never_send) == ("strict", ("*.pem", "secret/"))
    assert load_settings(loose, {"privacy.mode": "off"}, environ={}).privacy.mode == "off"


def test_wrong_variable_is_named(tmp_path: Path) -> None:
    """A wrong value in the environment names its variable."""
    with pytest.raises(UserError, match="AQE_HTTP_PORT is 'abc'"):
        load_settings(tmp_path, environ={"AQE_HTTP_PORT": "abc"})


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("stroe = 'local'", "'store'"),
        ("[tool.aqe.sandbox]\nmemory = 1", "'sandbox.memory_mb'"),
        ("zzz = 1", "aqe config"),
    ],
)
def test_unknown_key_suggests_the_near_name(tmp_path: Path, text: str, near: str) -> None:
    """A key that nothing reads is an error with the nearest that exists."""
    write_project(tmp_path, f"[tool.aqe]\n{text}")
    with pytest.raises(UserError) as caught:
        load_settings(tmp_path, environ={})
    assert caught.value.code == "unknown-setting"
    assert near in caught.value.fix


def test_unknown_key_in_the_users_file_is_an_error(tmp_path: Path) -> None:
    """The user's own file is held to the same names."""
    path = write_user_file("colour = 1")
    with pytest.raises(UserError, match="colour") as caught:
        load_settings(tmp_path, environ={})
    assert str(path) in caught.value.message


def test_broken_toml_is_an_error_with_the_file(tmp_path: Path) -> None:
    """A file that is not TOML is named with the place of the mistake."""
    write_project(tmp_path, "[tool.aqe\n")
    with pytest.raises(UserError, match="line 1") as caught:
        load_settings(tmp_path, environ={})
    assert caught.value.code == "bad-setting"


def test_unknown_variable_warns_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A misspelt AQE_ variable is said once, with the near name; build and secret variables are not settings."""
    environ = {"AQE_BUDGETT": "3", "AQE_NATIVE": "skip", "AQE_SIMD": "off", "AQE_DB_KEY": "k", "AQE_PROJECT": "."}
    with caplog.at_level(logging.WARNING):
        load_settings(tmp_path, environ=environ)
        load_settings(tmp_path, environ=environ)
    assert [record.getMessage() for record in caplog.records] == [
        "The variable AQE_BUDGETT is no setting of aqe and has no effect; did you mean AQE_BUDGET?"
    ]


def test_settings_are_frozen(tmp_path: Path) -> None:
    """Nobody changes a setting in passing."""
    settings = load_settings(tmp_path, environ={})
    with pytest.raises(ValueError, match="frozen"):
        settings.store = "local"
    with pytest.raises(ValueError, match="frozen"):
        settings.sandbox.memory_mb = 5


@pytest.mark.parametrize("key", sorted(declared_keys()))
def test_declared_key_is_read_by_something(key: str) -> None:
    """A key that nothing reads is not declared: each is read as an attribute in the source of the four floors."""
    *table, name = key.split(".")
    read = [re.compile(rf"\.{re.escape(part)}\b") for part in (*table, name)]
    floors = (import_module(f"aqe.{floor}").__path__ for floor in ("server", "agents", "engine"))
    sources = [path for folders in floors for folder in folders for path in Path(folder).rglob("*.py")]
    texts = [path.read_text(encoding="utf-8") for path in sources if path.name != "settings.py"]
    assert any("settings" in text and all(part.search(text) for part in read) for text in texts)


def test_no_two_keys_share_a_variable() -> None:
    """Each key has a variable of its own."""
    assert len({variable(key) for key in declared_keys()}) == len(declared_keys())


def test_help_imports_no_settings() -> None:
    """`aqe --help` pays for neither pydantic nor the settings."""
    script = (
        "import sys; from aqe.server.cli import main; main(['--help']);"
        "print(sorted({'pydantic', 'apsw', 'aqe.engine.settings'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_table_of_one_name_is_never_joined_over_two_places(tmp_path: Path) -> None:
    """A project that changes a provider's address does not inherit the key that the user's file gave it."""
    write_user_file(
        '[providers.a]\nkind = "openai-compatible"\nbase_url = "https://one.invalid/v1"\n'
        'models = ["m"]\napi_key_env = "K"\n'
        '[providers.b]\nkind = "openai-compatible"\nbase_url = "http://127.0.0.1:1/v1"\nmodels = ["m"]\n'
    )
    text = '[tool.aqe.providers.a]\nkind = "openai-compatible"\nbase_url = "https://two.invalid/v1"\nmodels = "x,y"\n'
    write_project(tmp_path, text)
    found = load_settings(tmp_path, environ={}).providers
    assert set(found) == {"a", "b"}
    assert (found["a"].base_url, found["a"].models, found["a"].api_key_env) == (
        "https://two.invalid/v1",
        ("x", "y"),
        None,
    )


@pytest.mark.parametrize(
    ("value", "code", "part"),
    [
        ("no json", "bad-setting", "a JSON object"),
        ('{"a": 3}', "bad-setting", "providers.a"),
        ('{"a": {"kind": "x"}}', "bad-setting", "'openai-compatible'"),
        ('{"a": {"base_urll": "x"}}', "unknown-setting", "Did you mean 'base_url'?"),
        ('{"a": {"kind": "openai-compatible"}}', "bad-setting", "providers.a.base_url"),
    ],
)
def test_wrong_table_of_a_variable_is_named(tmp_path: Path, value: str, code: str, part: str) -> None:
    """A variable that holds no tables, or one with a wrong, missing or misspelt key, is an error that names it."""
    with pytest.raises(UserError) as caught:
        load_settings(tmp_path, environ={"AQE_PROVIDERS": value})
    assert caught.value.code == code
    assert "AQE_PROVIDERS" in caught.value.message
    assert part in str(caught.value)
