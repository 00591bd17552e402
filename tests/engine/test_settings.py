"""Settings: which place wins, where a value came from, and what is refused."""

from __future__ import annotations

import functools
import json
import logging
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from aqe.engine.errors import UserError
from aqe.engine.settings import SettingValue, declared_keys, load_settings, origins, user_file, variable


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
        ('embedder = "minilm"', "embedder", "'minilm'", "static, or sentence-transformers:FOLDER"),
        ('engine_server = "here"', "engine_server", "'here'", "address of the aqe server"),
        ('engine_server = "http://localhost:x"', "engine_server", "'http://localhost:x'", "address of the aqe server"),
        ("http.port = 70000", "http.port", "70000", "from 0 to 65535"),
        ("memory.max_count = -1", "memory.max_count", "-1", "a whole number from 0 on"),
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


LOOSER = {
    "privacy.mode": [("strict", "balanced"), ("strict", "off"), ("balanced", "off"), (None, "off")],
    "privacy.mcp_content": [
        ("references", "redacted"),
        ("references", "auto"),
        ("redacted", "auto"),
        ("redacted", "full"),
        ("auto", "full"),
        (None, "full"),
    ],
    "memory.redact": [(True, False), (True, "no")],
    "cloud.enabled": [(False, True), (False, "yes"), (False, 1)],
    "router.force": [("local", "none"), ("local", "cloud")],
    "sandbox.allow_weak": [(None, True), (None, "on"), (False, True)],
}
BOOLEAN = {"memory.redact": False, "cloud.enabled": True, "sandbox.allow_weak": True}
TIGHTER = {
    "privacy.mode": [("off", "balanced"), ("off", "strict"), ("balanced", "strict"), (None, "strict"), ("off", "off")],
    "privacy.mcp_content": [("full", "auto"), ("full", "redacted"), (None, "redacted"), (None, "references")],
    "memory.redact": [(None, True), (False, True)],
    "cloud.enabled": [(None, False), (True, False)],
    "router.force": [(None, "cloud"), (None, "local"), ("cloud", "local"), ("none", "cloud")],
    "sandbox.allow_weak": [(True, False), (True, True)],
}


def _cases(table: dict[str, list[tuple[Any, Any]]]) -> list[tuple[str, Any, Any]]:
    return [(key, user, project) for key, pairs in table.items() for user, project in pairs]


def _say(key: str, user: Any, project: Any, folder: Path) -> None:
    """Write what the user's file (None: nothing) and the project's say of one key."""
    if user is not None:
        write_user_file(f"{key} = {json.dumps(user)}")
    write_project(folder, f"[tool.aqe]\n{key} = {json.dumps(project)}")


def _of(folder: Path, key: str, flags: Any = None, environ: Any = None) -> SettingValue:
    return next(one for one in origins(folder, flags, environ or {}) if one.key == key)


@pytest.mark.parametrize(("key", "user", "project"), _cases(LOOSER))
def test_a_project_loosens_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, key: str, user: Any, project: Any
) -> None:
    """What is looser in the project's file than the user's or the default has no effect, and that is told once."""
    table, _, name = key.partition(".")
    default = getattr(getattr(load_settings(tmp_path, environ={}), table), name)
    _say(key, user, project, tmp_path)
    with caplog.at_level(logging.WARNING):
        found = [getattr(getattr(load_settings(tmp_path, environ={}), table), name) for _ in range(2)]
    base = default if user is None else user
    assert found == [base, base]
    shown = _of(tmp_path, key)
    assert shown.value == base
    assert shown.origin == ("default" if user is None else str(user_file()))
    against = f"the default, {default!r}" if user is None else f"{user!r} in {user_file()}"
    assert shown.ignored == (
        f"{project!r} in {tmp_path / 'pyproject.toml'} has no effect: a project's file may only tighten this, "
        f"and it is looser than {against}"
    )
    assert [record.getMessage() for record in caplog.records] == [f"{key} = {shown.ignored}."]


@pytest.mark.parametrize(("key", "user", "project"), _cases(TIGHTER))
def test_a_project_may_tighten(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, key: str, user: Any, project: Any
) -> None:
    """What is as strict in the project's file as the user's, or stricter, holds, and nothing is said to be ignored."""
    _say(key, user, project, tmp_path)
    shown = _of(tmp_path, key)
    assert (shown.value, shown.origin, shown.ignored) == (project, str(tmp_path / "pyproject.toml"), "")
    load_settings(tmp_path, environ={})
    assert caplog.records == []


@pytest.mark.parametrize("key", sorted(LOOSER))
def test_the_users_word_of_the_moment_wins(tmp_path: Path, caplog: pytest.LogCaptureFixture, key: str) -> None:
    """A flag or a variable sets what a project's file cannot, and then nothing is said to be ignored."""
    user, project = LOOSER[key][-1]
    _say(key, user, project, tmp_path)
    for flags, environ in (({key: project}, {}), ({}, {variable(key): str(project)})):
        shown = _of(tmp_path, key, flags, environ)
        assert (shown.value, shown.ignored) == (BOOLEAN.get(key, project), "")
        load_settings(tmp_path, flags, environ)
    assert caplog.records == []


@pytest.mark.parametrize("key", ["privacy.never_send", "router.local_tasks"])
def test_lists_that_keep_things_here_add_up(tmp_path: Path, key: str) -> None:
    """A project adds to what the user's file keeps here and takes nothing away; the origin names both files."""
    table, _, name = key.partition(".")
    write_user_file(f'{key} = "a, b"')
    for text, both in (('["c", "a"]', ("a", "b", "c")), ("[]", ("a", "b"))):
        write_project(tmp_path, f"[tool.aqe]\n{key} = {text}")
        assert getattr(getattr(load_settings(tmp_path, environ={}), table), name) == both
        assert _of(tmp_path, key).origin == f"{user_file()} and {tmp_path / 'pyproject.toml'}"


@pytest.mark.parametrize("text", ['privacy.mode = "of"', "privacy.mode = []", 'cloud.enabled = "maybe"'])
def test_a_wrong_value_is_no_loosening(tmp_path: Path, text: str) -> None:
    """A value that its setting cannot have is an error that names the project's file, not something ignored."""
    write_user_file("privacy.mode = 'strict'\ncloud.enabled = false")
    write_project(tmp_path, f"[tool.aqe]\n{text}")
    with pytest.raises(UserError, match="bad-setting") as caught:
        load_settings(tmp_path, environ={})
    assert str(tmp_path / "pyproject.toml") in caught.value.message


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


@functools.cache
def _read_beside_settings() -> list[set[str]]:
    """What each source of the three upper floors that speaks of settings reads as an attribute."""
    floors = (import_module(f"aqe.{floor}").__path__ for floor in ("server", "agents", "engine"))
    sources = [path for folders in floors for folder in folders for path in Path(folder).rglob("*.py")]
    texts = [path.read_text(encoding="utf-8") for path in sources if path.name != "settings.py"]
    return [set(re.findall(r"\.(\w+)", text)) for text in texts if "settings" in text]


@pytest.mark.parametrize("key", sorted(declared_keys()))
def test_declared_key_is_read_by_something(key: str) -> None:
    """A key that nothing reads is not declared: each is read as an attribute in the source of the four floors."""
    assert any(attributes.issuperset(key.split(".")) for attributes in _read_beside_settings())


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


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost:99999/v1",
        "http://localhost:0/v1",
        "http://localhost:x/v1",
        "http://localhost:1:2/v1",
        "http://[::1/v1",
        "http://[::1]x/v1",
        "http://::1/v1",
        "http://:80/v1",
        "http://256.1.1.1/v1",
        "http://models..invalid/v1",
        "http://models.invalid/\x00",
        "http:///v1",
        "no URL at all",
    ],
)
def test_a_provider_that_nothing_can_connect_to_is_refused(tmp_path: Path, address: str) -> None:
    """An address whose host or port cannot be one is a wrong setting, which names the provider."""
    house = {"kind": "openai-compatible", "models": ["m"], "base_url": address}
    with pytest.raises(UserError) as caught:
        load_settings(tmp_path, environ={"AQE_PROVIDERS": json.dumps({"house": house})})
    assert caught.value.code == "bad-setting"
    assert "providers.house.base_url" in caught.value.message
    assert "port from 1 to 65535" in caught.value.fix


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost:11434/v1",
        "http://[::1]:8080",
        "http://[::1]/v1",
        "https://api.example.com",
        "http://my_box:1/v1",
        "http://10.0.0.5:65535/v1/",
        "https://münchen.example/v1",
    ],
)
def test_a_provider_may_be_named_numbered_or_foreign(tmp_path: Path, address: str) -> None:
    """Names, numbers of both versions and names beyond ASCII are addresses, kept as they were given."""
    house = {"kind": "openai-compatible", "models": ["m"], "base_url": address}
    found = load_settings(tmp_path, environ={"AQE_PROVIDERS": json.dumps({"house": house})})
    assert found.providers["house"].base_url == address


ODD: tuple[Any, ...] = (
    *(-1, 0, -(10**9), 10**9, 10**30, 1e9, 1.5, -0.5, float("nan"), float("inf"), True),
    *("", " ", "x", "x y", "-1", "nan", "1e9", "9" * 5000, "a\nb"),
    *([], [""], [1], {}, {"a": 1}),
)


@pytest.mark.parametrize("key", declared_keys())
def test_every_setting_takes_an_odd_value_or_refuses_it_in_one_sentence(tmp_path: Path, key: str) -> None:
    """Whatever the value, from a flag, a variable or a file: it is taken, or it is a bad setting that is named."""
    for at, value in enumerate(ODD):
        folder = tmp_path / str(at)
        folder.mkdir()
        plain = json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf")
        written = "{a = 1}" if value == {"a": 1} else plain
        write_project(folder, f"[tool.aqe]\n{key} = {written}\n")
        named = {variable(key): plain if isinstance(value, (list, dict)) else str(value)}
        for flags, environ, project in ({key: value}, {}, tmp_path), ({}, named, tmp_path), ({}, {}, folder):
            if (error := _refusal(project, flags, environ)) is not None:
                assert (error.code, str(error).count("\n")) == ("bad-setting", 0), (value, str(error))
                assert key in str(error) or variable(key) in str(error)


def _refusal(project: Path, flags: dict[str, Any], environ: dict[str, str]) -> UserError | None:
    try:
        load_settings(project, flags, environ)
    except UserError as error:
        return error
    return None


def test_a_refused_address_is_repeated_without_its_password(tmp_path: Path) -> None:
    """The error for an address with a password in it names key and file, and not the password."""
    (tmp_path / "pyproject.toml").write_text(
        "[tool.aqe.providers.far]\nkind = 'openai-compatible'\nmodels = ['m']\n"
        "base_url = 'https://bob:hunter2xyz@api.acme.io/v1?api_key=kd83hfk29sjf02ks9d'\n"
    )
    with pytest.raises(UserError) as caught:
        load_settings(tmp_path, environ={})
    assert "providers.far.base_url" in str(caught.value)
    assert "api.acme.io" in str(caught.value)
    assert "hunter2xyz" not in str(caught.value)
    assert "kd83hfk" not in str(caught.value)
