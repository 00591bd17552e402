"""ruff's rules that a review goes by: what may be wrong, insecure, slow or untested; nothing of style or naming.

One process looks at both sides. The project's ruff settings do not count (its `noqa` comments do), so that two people
get the same answer. Which rules, and how far each is trusted, is judgement: rules that mostly speak about sound code
(S101, S311 where nothing secret is near, B904, PERF401, ...) are left out.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aqe.agents.review.brought import Sighting
from aqe.agents.review.finding import Severity
from aqe.agents.review.sources import Source, printed
from aqe.engine.scratch import scratch_folder

WALL_S = 60.0
SYNTAX = "invalid-syntax"
PYTHON = "py314"
"""The newest grammar, so that no valid syntax is an error."""

_E: Severity = "error"
_W: Severity = "warning"
_N: Severity = "note"

TRUST: Mapping[tuple[Severity, float], str] = {
    # cannot work, or not as written
    (_E, 0.95): "F404 F407 F501 F502 F503 F505 F507 F508 F509 F521 F524 F621 F622 F632 F633 F634 F701 F702 F704 F706"
    " F707 F821 F822 F823 F901 PLE B029 B030",
    (_E, 0.85): "B002 B012 B016 B035 PLR1708 PLW0129 PLW0177 PLW0245 PLW0711 PLW1501 RUF008 RUF016 RUF026 RUF040"
    " F631 F811 PLW1507 LOG004",
    (_W, 0.8): "B005 B006 B015 B018 B020 B021 B022 B023 B025 B026 B031 B032 B039 F402 F504 F506 F522 F523 F525 F601"
    " F602 PLW0127 PLW0128 PLW0131 PLW0133 PLW0211 PLW0406 PLW2101 RUF006 RUF018 RUF024 RUF030 RUF033 RUF034 RUF049"
    " RUF060 RUF064 PIE794 PIE796 SIM220 SIM221 SIM222 SIM223 YTT INT W605 RUF048 RUF071",
    (_W, 0.6): "B003 B019 B033 E722 F841 F842 PLW1508 PLW1509 RUF009 RUF032 B004",
    (_N, 0.4): "ISC004 E721 F541 B034 PLW0120 PLW0642 PLW1641 BLE001 TRY203 SIM115 LOG007 LOG014 DTZ003 DTZ004 B014",
    # security
    (_E, 0.9): "S501 S502 S503 S506 S507 S508 S509 S602 S701 S702 S201 S323 S305 S304",
    (_W, 0.82): "S102 S103 S113 S202 S301 S302 S306 S307 S312 S321 S324 S303 S504 S505 S601 S604 S605 S608 S609 S612"
    " S610 S611",
    (_W, 0.65): "S104 S105 S106 S107 S110 S112 S308 S311 S704",
    (_N, 0.45): "S108 S310 S313 S314 S315 S316 S317 S318 S319",
    # async and performance
    (_W, 0.75): "ASYNC100 ASYNC105 ASYNC210 ASYNC212 ASYNC220 ASYNC221 ASYNC222 ASYNC230 ASYNC250 ASYNC251",
    (_N, 0.5): "ASYNC110 ASYNC115 ASYNC116 ASYNC240 PERF101 PERF102 PERF402 RUF015 RUF017",
    # tests
    (_W, 0.7): "B011 B017 PT010 PT014 PT015 PT017 PT019 PT020 PT025 PT026 PT028 PGH005",
    (_N, 0.42): "PT012 PT031",
}
"""How grave and how certain (0 to 1) the findings of these rules and groups of rules are."""

LEFT_OUT = ("PLE0604", "PLE0605", "PLE2515")
"""Rules of a chosen group that speak of sound code too often."""

_SECRET = re.compile(
    r"token|secret|passw|passphrase|nonce|salt|otp|csrf|session_?id|api_?key|credential|\bpin\b|crypt", re.IGNORECASE
)


def find_ruff(path: str | None = None) -> str | None:
    """The `ruff` that came with aqe, else one on PATH (`path` in its place), else None."""
    beside = Path(sysconfig.get_path("scripts")) / f"ruff{sysconfig.get_config_var('EXE') or ''}"
    return str(beside) if beside.is_file() else shutil.which("ruff", path=path)


def check(ruff: str, sources: Sequence[Source], *, wall_s: float = WALL_S) -> list[list[Sighting]]:
    """What ruff says about each source, in one process for all of them.

    Raises `OSError` or `subprocess.SubprocessError` where ruff cannot be run or takes longer than `wall_s` seconds.
    """
    found: list[list[Sighting]] = [[] for _ in sources]
    if not sources:
        return found
    with scratch_folder("review") as folder:
        for number, source in enumerate(sources):
            place = folder / str(number) / _plain_name(source.path)
            place.parent.mkdir()
            place.write_bytes(source.text.encode("utf-8", "surrogatepass"))
        for row in _ask(ruff, folder, wall_s):
            number = int(Path(row["filename"]).parent.name)
            sighting = _sighting(row, sources[number])
            if sighting is not None:
                found[number].append(sighting)
    return [_once_for_syntax(one) for one in found]


def _plain_name(path: str) -> str:
    """The bare name, which some rules go by, where it is harmless as a file's name anywhere."""
    name = path.rpartition("/")[2]
    return name if re.fullmatch(r"\w+\.py", name, re.ASCII) else "module.py"


def _ask(ruff: str, folder: Path, wall_s: float) -> list[dict[str, Any]]:
    wanted = [code for codes in TRUST.values() for code in codes.split()]
    status, said, why = _run(ruff, folder, wanted, LEFT_OUT, wall_s)
    if status != 0:  # another release, that does not know all of these rules
        known = _known_codes(ruff, wall_s)
        wanted = [code for code in wanted if any(one.startswith(code) for one in known)]
        left_out = [code for code in LEFT_OUT if code in known]
        status, said, why = _run(ruff, folder, wanted, left_out, wall_s)
    if status != 0:
        raise subprocess.SubprocessError(why.strip().splitlines()[-1] if why.strip() else f"exit status {status}")
    rows: list[dict[str, Any]] = json.loads(said)
    return sorted(rows, key=_place)


def _place(row: Mapping[str, Any]) -> tuple[str, int, int, str]:
    """Where a row stands: versions of ruff order those of one place differently."""
    location = row["location"]
    return str(row["filename"]), int(location["row"]), int(location["column"]), str(row.get("code") or "")


def _run(ruff: str, folder: Path, select: Iterable[str], ignore: Iterable[str], wall_s: float) -> tuple[int, str, str]:
    command = [ruff, "check", "--isolated", "--no-cache", "--exit-zero", "--output-format", "json"]
    command += ["--target-version", PYTHON, "--config", "exclude = []", "--select", ",".join(select)]
    command += ["--ignore", ",".join(ignore), "."]
    done = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=wall_s, check=False
    )
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def _known_codes(ruff: str, wall_s: float) -> frozenset[str]:
    done = subprocess.run(
        [ruff, "rule", "--all", "--output-format", "json"], capture_output=True, timeout=wall_s, check=False
    )
    rules = json.loads(done.stdout or b"[]")
    return frozenset(str(rule["code"]) for rule in rules if "Removed" not in str(rule.get("status", "")))


_BY_CODE = {code: trust for trust, codes in TRUST.items() for code in codes.split()}


def _trust(code: str) -> tuple[Severity, float]:
    while code:
        if code in _BY_CODE:
            return _BY_CODE[code]
        code = code[:-1]
    return _W, 0.6


def _sighting(row: Mapping[str, Any], source: Source) -> Sighting | None:
    code = row.get("code") or SYNTAX
    lines = (int(row["location"]["row"]), int(row["end_location"]["row"]))
    message = str(row["message"])
    if code == SYNTAX:
        return Sighting(SYNTAX, "error", 1.0, (lines[0], lines[0]), message, tool="ruff", statement=message)
    if not _counts(code, source, lines[0]):
        return None
    severity, confidence = _trust(code)
    first_line = source.lines[lines[0] - 1].strip() if lines[0] <= len(source.lines) else ""
    return Sighting(
        code, severity, confidence, lines, message.splitlines()[0], (first_line,) if first_line else (), "ruff"
    )


def _counts(code: str, source: Source, line: int) -> bool:
    """Whether a rule speaks to the point here: no security in tests, random numbers only near what is secret."""
    if code.startswith("S") and not code.startswith("SIM") and source.is_test:
        return False
    if code == "F811" and source.is_test:  # tests that hide tests are a smell of their own
        return not source.name_at(line).rpartition(".")[2].startswith("test")
    if code in ("B015", "B018") and source.is_test:
        return not _is_to_raise(source, line)
    if code == "S105":
        return "==" not in source.statement_at(line)
    if code == "S311":
        return bool(_SECRET.search(f"{source.name_at(line)} {source.statement_at(line)}"))
    return True


def _is_to_raise(source: Source, line: int) -> bool:
    """Whether a line stands in a block that expects an exception: there a bare expression is the act itself."""
    return any(
        isinstance(node, (ast.With, ast.AsyncWith))
        and node.lineno < line <= (node.end_lineno or line)
        and any(word in printed(item.context_expr) for item in node.items for word in ("raises", "Raises", "warns"))
        for node in (ast.walk(source.tree) if source.tree is not None else ())
    )


def _once_for_syntax(found: list[Sighting]) -> list[Sighting]:
    """Of a file that is no Python only the first error: the others follow from it."""
    broken = [one for one in found if one.rule == SYNTAX]
    return broken[:1] or found


def version_of(ruff: str) -> str:
    """The version of a ruff, "" where it does not say."""
    done = subprocess.run([ruff, "--version"], capture_output=True, timeout=WALL_S, check=False)
    words = done.stdout.decode("utf-8", "replace").split()
    return words[-1] if words else ""
