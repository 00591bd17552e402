"""A report of the privacy controls in force, each with what was executed just now to see it hold, or what was found.

It never says that anything is "compliant": it names the controls, the checks that were run with their results, the
figures of the audit log, and what none of it covers.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aqe.engine.errors import GateFailed
from aqe.engine.memory.entry import rfc3339
from aqe.engine.privacy import audit, consent
from aqe.engine.privacy.guard import Guard, open_guard
from aqe.engine.privacy.network import is_held
from aqe.engine.providers.configured import is_loopback, recipient_of

if TYPE_CHECKING:
    from aqe.engine.memory.store import Store
    from aqe.engine.settings import Settings

ELSEWHERE = "192.0.2.1"
"""An address kept for documentation (RFC 5737); no packet is sent to it, the check is refused before."""

SQLITE = b"SQLite format 3\0"
"""How a database begins that is not encrypted."""

NOT_COVERED = (
    "a C library with sockets of its own, and child processes, are not seen by the strict mode's hook",
    "secrets of forms that no rule knows, names of people and postal addresses are not recognised",
    "whoever may write the database can forge the audit log: keep the printed head elsewhere",
    "what a provider or an MCP client does with what it was given",
)


@dataclass(frozen=True)
class Check:
    """Something that was executed for this report, what it showed, and whether the control held."""

    what: str
    result: str
    held: bool


@dataclass(frozen=True)
class Control:
    """One control: its state in words, what was executed to see it, and facts that were read."""

    name: str
    state: str
    checks: tuple[Check, ...] = ()
    facts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Left:
    """What left to one recipient for one purpose: `event` as in the audit log, how often, how many bytes, when (RFC
    3339), and what had been taken out by class."""

    event: str
    recipient: str
    purpose: str
    times: int
    bytes: int
    first_at: str
    last_at: str
    taken_out: Mapping[str, int]


@dataclass(frozen=True)
class ControlsReport:
    """All controls, what left so far, the audit log's head ("" while it is empty), and what is not covered."""

    at: str
    project: str
    controls: tuple[Control, ...]
    left: tuple[Left, ...]
    head: str
    not_covered: tuple[str, ...] = NOT_COVERED

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks of controls that did not hold."""
        return tuple(check for control in self.controls for check in control.checks if not check.held)


def report_controls(project: Path, settings: Settings, store: Store) -> ControlsReport:
    """Run the checks of each control of the project; nothing leaves, and nothing is written."""
    verified = audit.verify(store)
    with open_guard(project, settings, store) as guard:
        controls = (
            _mode(guard),
            _redaction(guard, settings),
            _clients(guard),
            _files(guard, settings),
            _providers(guard, settings, store),
            _log(verified),
            _storage(project, settings, store),
        )
    head = f"{verified.entries}:{verified.head}" if verified.head else ""
    entries: list[audit.Entry] = []
    with contextlib.suppress(GateFailed):  # that it is not there, or broken, is what `_log` tells
        entries = audit.entries(store)
    return ControlsReport(rfc3339(store.now()), str(project), controls, left_so_far(entries), head)


def left_so_far(entries: list[audit.Entry]) -> tuple[Left, ...]:
    """The entries of what left or was refused, by event, recipient and purpose."""
    groups: dict[tuple[str, str, str], list[audit.Entry]] = {}
    for entry in entries:
        if not entry.event.startswith("consent"):
            groups.setdefault((entry.event, entry.recipient, entry.purpose), []).append(entry)
    found = []
    for (event, recipient, purpose), some in sorted(groups.items()):
        taken: Counter[str] = Counter()
        for entry in some:
            taken.update(entry.spans)
        size = sum(entry.bytes for entry in some)
        times = (rfc3339(some[0].at), rfc3339(some[-1].at))
        found.append(Left(event, recipient, purpose, len(some), size, *times, dict(sorted(taken.items()))))
    return tuple(found)


def planted() -> dict[str, str]:
    """One made-up value for each of some classes, put together here so that no file of aqe holds one."""
    return {
        "aws-access-token": "AKIA" + "QYLPMN5HNMZ2KJQP",
        "github-pat": "ghp_" + "x7Rk2mQ9vLp4Wn8Tz3Bc6Yd1Hs5Jf0GaEuXi",
        "email": "jane" + "@" + "acme-corp.io",
        "iban": "DE89" + "370400440532013000",
        "credit-card": "4111" + "111111111111",
    }


def _mode(guard: Guard) -> Control:
    if guard.mode != "strict":
        state = {
            "balanced": "balanced: text leaves redacted, and to a provider elsewhere only after consent",
            "off": "off: text leaves as it is",
        }[guard.mode]
        return Control("privacy mode", state)
    try:
        socket.getaddrinfo("aqe-check.example.com", 443)
        check = Check("a name was looked up", "the look-up was not refused", False)
    except OSError as error:
        check = Check("a name was looked up", f"refused: {error}", is_held())
    return Control("privacy mode", "strict: nothing leaves this machine", (check, *_connection()))


def _connection() -> Iterator[Check]:
    what = f"a datagram was sent towards {ELSEWHERE}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        try:
            sender.sendto(b"", (ELSEWHERE, 9))
        except OSError as error:
            yield Check(what, f"refused: {error}", is_held())
            return
    yield Check(what, "it was not refused", False)


def _redaction(guard: Guard, settings: Settings) -> Control:
    checks = []
    for kind, value in planted().items():
        done = guard.redact(f"the value is {value} today")
        gone = value not in done.text
        checks.append(Check(f"a made-up {kind} was given to the redactor", "taken out" if gone else "left in", gone))
    stored = "before a memory is written too" if settings.memory.redact else "memories are kept whole"
    return Control("redaction", f"secrets and personal data are replaced by placeholders; {stored}", tuple(checks))


def _clients(guard: Guard) -> Control:
    state = f"MCP clients are given: {guard.content}"
    if guard.content == "full":
        return Control("MCP clients", state)
    value = planted()["aws-access-token"]
    gone = value not in str(guard.client_view({"quote": f"key = {value}"}).value)
    what = "an answer with a made-up key was prepared for a client"
    return Control("MCP clients", state, (Check(what, "without the key" if gone else "with the key", gone),))


def _files(guard: Guard, settings: Settings) -> Control:
    globs = settings.privacy.never_send
    if not globs:
        return Control("files that never leave", "privacy.never_send is empty")
    covered = guard.covered_files()
    quoted = next((name for name in covered if _quotable(guard.project / name)), None)
    checks: tuple[Check, ...] = ()
    if quoted is not None:
        text = (guard.project / quoted).read_text(encoding="utf-8", errors="replace")
        caught = guard.quotes_covered(text)
        checks = (Check(f"a request that quotes {quoted} was judged", "refused" if caught else "let through", caught),)
    noun = "file" if len(covered) == 1 else "files"
    return Control(
        "files that never leave", f"{', '.join(globs)}: {len(covered)} {noun} now", checks, tuple(covered[:20])
    )


def _quotable(path: Path) -> bool:
    try:
        return len(path.read_text(encoding="utf-8").strip()) > 100
    except (OSError, UnicodeDecodeError):
        return False


def _providers(guard: Guard, settings: Settings, store: Store) -> Control:
    checks, facts = [], []
    now = {name: recipient_of(name, table) for name, table in settings.providers.items()}
    for name, table in settings.providers.items():
        if is_loopback(table.base_url):
            facts.append(f"{name} is on this machine")
        elif guard.may_reach(now[name]):
            facts.append(f"{name} is elsewhere and may be asked")
        else:
            checks.append(Check(f"whether {name}, which is elsewhere, may be asked", "refused", True))
    for given in consent.consents(store):
        flaw = consent.flaw(given, now.get(given.provider))
        purpose = "any purpose" if given.purpose == "*" else given.purpose
        facts.append(f"consent for {given.provider}, {purpose}: {flaw or 'counts'}")
    elsewhere = sum(not is_loopback(table.base_url) for table in settings.providers.values())
    return Control("consent", f"{elsewhere} of {len(now)} providers are elsewhere", tuple(checks), tuple(facts))


def _log(verified: audit.Verified) -> Control:
    result = "intact" if verified.intact else verified.problem
    check = Check("every entry, the chain and the head were checked", result, verified.intact)
    return Control("audit log", f"{verified.entries} entries, each bound to the one before by SHA-256", (check,))


def _storage(project: Path, settings: Settings, store: Store) -> Control:
    expire = settings.sessions.expire_days
    facts = [
        f"the last {settings.requests.kept} answers are kept",
        "sessions are kept for ever" if not expire else f"an unused session goes after {2 * expire} days",
    ]
    home = project / ".aqe"
    if os.name == "posix" and home.is_dir():
        facts.append(f"permissions of .aqe: {home.stat().st_mode & 0o777:o}")
    return Control("storage on this machine", _encryption(store.path), facts=tuple(facts))


def _encryption(path: Path) -> str:
    """What the database's own first bytes say: a key in the environment alone encrypts nothing that is there."""
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError:
        return "there is no database yet"
    return f"the database is {'not encrypted' if start == SQLITE else 'encrypted'}"
