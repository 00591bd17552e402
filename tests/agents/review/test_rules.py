"""ruff's rules as a review goes by them: one process, both sides, the project's own settings aside."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import pytest

from aqe.agents.review import rules
from aqe.agents.review.looking import NO_RUFF, look
from aqe.agents.review.sources import Source
from aqe.engine.errors import Cancelled, UserError
from aqe.engine.progress import CancelToken
from tests.environments import install, new_environment


def source(text: str, path: str = "shop/a.py") -> Source:
    return Source(path, text, frozenset(range(1, 100)))


def codes(*sources: Source) -> list[list[str]]:
    ruff = rules.find_ruff()
    assert ruff is not None
    return [[one.rule for one in seen] for seen in rules.check(ruff, sources)]


def test_rules_speak_of_faults_and_not_of_style() -> None:
    """Insecure and wrong code is found; long lines, quotes, names and unused imports are not looked at."""
    style = "import os\nCamelCase = 'x'\nl = [1,2 ,3]\n" + f"x = '{'y' * 200}'\n"
    wrong = "import subprocess\n\ndef f(c, found=[]):\n    return subprocess.run(c, shell=True) is 'done'\n"
    assert codes(source(style), source(wrong)) == [[], ["B006", "F632", "S602"]]


def test_comments_that_switch_a_rule_off_are_respected() -> None:
    """The project's `noqa` comments hold here too."""
    assert codes(source("x = eval(input())  # noqa: S307\n")) == [[]]


def test_security_is_not_told_in_tests() -> None:
    """Passwords and the like in tests are made up."""
    text = "def test_login():\n    password = 'secret-of-a-test'\n    assert eval('1') == 1, password\n"
    assert codes(source(text, "tests/test_a.py")) == [[]]
    assert "S105" in codes(source(text))[0]


def test_a_bare_comparison_is_the_act_where_it_is_to_raise() -> None:
    """A comparison whose result is dropped is a mistake, but not inside `pytest.raises`."""
    text = "import pytest\n\ndef test_a():\n    with pytest.raises(TypeError):\n        1 < 'a'\n    1 == 2\n"
    ruff = rules.find_ruff()
    assert ruff is not None
    assert [one.lines for one in rules.check(ruff, [source(text, "tests/test_a.py")])[0] if one.rule == "B015"] == [
        (6, 6)
    ]


def test_random_numbers_matter_only_where_something_is_secret() -> None:
    """A random token is insecure, a random colour is not."""
    secret = "import random\ndef make_token():\n    return random.random()\n"
    assert codes(source(secret), source(secret.replace("token", "colour"))) == [["S311"], []]


def test_a_file_that_is_no_python_is_one_finding() -> None:
    """Only the first error of a broken file is told."""
    assert codes(source("def f(:\n    return (\n\nclass\n")) == [["invalid-syntax"]]


def test_new_grammar_is_no_error() -> None:
    """Syntax that is newer than this Python is not called wrong."""
    assert codes(source("type Pair[T] = tuple[T, T]\n")) == [[]]


def test_the_same_text_at_two_places_is_told_at_both() -> None:
    """Sources are told apart by their place in the call, also under one bare name."""
    one, two, three = source("eval('1')\n", "a/m.py"), source("x = 1\n", "b/m.py"), source("eval('2')\n", "c/m.py")
    assert codes(one, two, three) == [["S307"], [], ["S307"]]


def fake(folder: Path, script: str) -> str:
    """A program named ruff that runs a Python script."""
    path = folder / "ruff"
    path.write_text(f"#!{sys.executable}\nimport json, sys\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_a_release_that_does_not_know_all_rules_is_asked_for_those_it_knows(tmp_path: Path) -> None:
    """An older or newer ruff that refuses the list is asked again without what it does not know."""
    rows = [{"code": "S307", "status": {"Stable": {}}}, {"code": "F821", "status": {"Removed": {}}}]
    answer = [
        {
            "code": "S307",
            "message": "eval",
            "filename": "0/a.py",
            "location": {"row": 1, "column": 1},
            "end_location": {"row": 1, "column": 5},
        }
    ]
    script = (
        f"if sys.argv[1] == 'rule': print({json.dumps(json.dumps(rows))})\n"
        "elif sys.argv[sys.argv.index('--select') + 1] != 'S307': sys.exit('unknown rule selector')\n"
        f"else: print({json.dumps(json.dumps(answer))})"
    )
    assert [[one.rule for one in seen] for seen in rules.check(fake(tmp_path, script), [source("eval(1)\n")])] == [
        ["S307"]
    ]


def test_without_ruff_the_other_kinds_go_on_and_a_note_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A review without ruff is a review all the same."""
    monkeypatch.setattr(rules, "find_ruff", lambda: None)
    found = look([[source("def test_a():\n    pass\n", "test_a.py")]])
    assert found.notes == [NO_RUFF]
    assert [one.sighting.rule for one in found.placed[0]] == ["test-smell-no-assertion"]


def test_a_ruff_that_fails_is_a_note(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What ruff said last stands in the note."""
    broken = fake(tmp_path, "sys.exit('out of cheese')")
    monkeypatch.setattr(rules, "find_ruff", lambda: broken)
    assert look([[source("x = 1\n")]]).notes == ["ruff's rules were left out: out of cheese."]


def test_a_ruff_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A tool that gives no answer costs its own findings only."""
    hanging = fake(tmp_path, "import time; time.sleep(60)")
    monkeypatch.setattr(rules, "find_ruff", lambda: hanging)
    assert look([[source("x = 1\n")]], wall_s=0.2).notes == ["ruff's rules were left out: it gave no answer in time."]


def test_bandit_is_asked_only_on_request(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without bandit the request for it is an error that names the extra; without the request nothing is missed."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("aqe.agents.review.looking.find_spec", lambda name: None)
    assert look([[source("x = 1\n")]]).notes == []
    with pytest.raises(UserError, match=r"pip install 'aqe\[bandit\]'") as caught:
        look([[source("x = 1\n")]], bandit=True)
    assert caught.value.code == "missing-extra"


@pytest.mark.services
def test_bandits_findings_stand_beside_ruffs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A bandit on PATH is run over both sides, and its findings bear its name."""
    import os

    python = new_environment(tmp_path / "env")
    install(python, "bandit")
    monkeypatch.setenv("PATH", f"{python.parent}{os.pathsep}{os.environ['PATH']}")
    found = look([[source("import subprocess\nsubprocess.Popen('ls', shell=True)\n")]], bandit=True)
    assert ("B602", "bandit") in {(one.sighting.rule, one.sighting.tool) for one in found.placed[0]}


def test_a_ruff_that_takes_the_whole_time_leaves_the_look_partial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When ruff gives no answer in the time that is left, that is said and the answer is not whole."""
    slow = tmp_path / "ruff"
    slow.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(600)\n")
    slow.chmod(slow.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(rules, "find_ruff", lambda: str(slow))
    seen = look([[source("x = 1\n")]], wall_s=0.1)
    assert (seen.is_whole, seen.files) == (False, 1)
    assert seen.notes == ["ruff's rules were left out: it gave no answer in time."]


def test_a_cancelled_look_ends() -> None:
    """Who gave it up waits for no more files."""
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        look([[source("x = 1\n")]], cancel=cancel)
