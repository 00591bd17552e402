"""The JSON of the commands and the schemas in docs/schemas: made from the models, true for real output."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from aqe.server.cli import main

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "schemas"
Aqe = Callable[..., subprocess.CompletedProcess[str]]


def _tool() -> Any:
    spec = importlib.util.spec_from_file_location("schemas_tool", ROOT / "tools" / "schemas.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


schemas = _tool()


@pytest.mark.parametrize("command", sorted(schemas.MODELS))
def test_schema_is_what_the_models_say(command: str) -> None:
    """Each file is what `python tools/schemas.py` writes, and a valid schema."""
    text = (FOLDER / f"{command}.json").read_text(encoding="utf-8")
    assert text == schemas.render(command)
    jsonschema.Draft202012Validator.check_schema(json.loads(text))


def test_every_schema_has_a_command() -> None:
    """No schema is left of a command that went."""
    assert {path.stem for path in FOLDER.glob("*.json")} == set(schemas.MODELS)


def test_every_command_that_shows_something_takes_json() -> None:
    """Each command of docs/cli.md, which is its --help, has --json; a server alone answers others."""
    pages = re.findall(r"^```text\n(Usage: aqe.*?)^```", (ROOT / "docs" / "cli.md").read_text("utf-8"), re.M | re.S)
    commands = {" ".join(page.split(" [", 1)[0].split()[2:]): page for page in pages if "\nCommands:\n" not in page}
    assert len(commands) > 70
    assert [name for name, page in commands.items() if "\n  --json " not in page] == ["serve"]


def closed(schema: Any) -> Any:
    """The schema with no property allowed that it does not name, at any depth."""
    if isinstance(schema, dict):
        inner = {key: closed(value) for key, value in schema.items()}
        if "properties" in schema and "additionalProperties" not in schema:
            inner["additionalProperties"] = False
        return inner
    return [closed(item) for item in schema] if isinstance(schema, list) else schema


def check(command: str, printed: str) -> dict[str, Any]:
    """What a command printed, after it was found to be one object that the schema describes wholly."""
    assert printed.count("\n") == 1, printed
    found: dict[str, Any] = json.loads(printed)
    schema = json.loads((FOLDER / f"{command}.json").read_text(encoding="utf-8"))
    jsonschema.validate(found, closed(schema), cls=jsonschema.Draft202012Validator)
    return found


def test_store_commands_print_what_their_schemas_say(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """config, doctor, stats and each memory command print one object that its schema describes, and keep it."""

    def shown(command: str, *words: str) -> dict[str, Any]:
        assert main([*command.split("-"), *words, "--project", str(project), "--json"]) == 0
        return check(command, capsys.readouterr().out)

    shown("config")
    added = shown("memory-add", "The cart rounds half up", "--file", "cart.py", "--line", "3")
    shown("memory-get", added["id"])
    shown("memory-update", added["id"], "The cart rounds half even")
    shown("memory-get", added["id"], "--history")
    shown("memory-search", "cart")
    shown("memory-list")
    shown("memory-snapshot", "then")
    shown("memory-snapshots")
    shown("memory-backup", str(project / "b.db"))
    shown("memory-verify")
    shown("memory-repair")
    shown("memory-migrate")
    shown("memory-delete", added["id"])
    shown("memory-diff", "then")
    shown("memory-rollback", "then")
    shown("memory-restore", str(project / "b.db"))
    assert shown("doctor")["store"]["state"] == "healthy"
    stats = shown("stats")
    assert json.loads((project / ".aqe" / "results" / "stats.json").read_text()) == stats


def test_execute_prints_what_its_schema_says(aqe: Aqe, project: Path) -> None:
    """execute prints its report alone on stdout, failures and all."""
    (project / "test_ages.py").write_text(
        "from ages import stage\ndef test_a():\n    print('noise')\n    assert stage(3) == 'child'\n"
        "def test_b():\n    assert stage(3) == 'adult'\n"
    )
    run = aqe("execute", "--project", str(project), "--json", cwd=project)
    assert check("execute", run.stdout)["failed"] == 1


@pytest.mark.services
def test_generate_and_verify_print_what_their_schemas_say(aqe: Aqe, project: Path) -> None:
    """generate and verify print evidence that their schemas describe wholly."""
    made = aqe("generate", "ages.py", "--evaluations", "60", "--out", "tests", "--json", cwd=project)
    report = check("generate", made.stdout)
    assert report["evidence"]["tests"]
    judged = aqe("verify", report["files"][0], "--json", cwd=project)
    assert check("verify", judged.stdout)["evidence"]["mutants_killed"] > 0
