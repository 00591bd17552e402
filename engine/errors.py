"""Every error that aqe raises on purpose.

    AqeError                 one sentence, a stable code, what to do next
     +-- UserError           the user's mistake                        exit 2
     +-- GateFailed          a gate said no, or some input lines failed exit 1
     +-- OutOfTime           out of time, with a partial result         exit 4
     +-- Cancelled           Ctrl-C or a cancelled call                 exit 130
     +-- InternalError       a fault of aqe's own                       exit 3

Each code in `CODES` has its paragraph in docs/messages.md.
"""

from __future__ import annotations

CODES: frozenset[str] = frozenset(
    {
        "argument-too-large",
        "audit-broken",
        "bad-argument",
        "bad-backup",
        "bad-budget",
        "bad-client-config",
        "bad-decisions",
        "bad-edge",
        "bad-embedder",
        "bad-feedback",
        "bad-filter",
        "bad-id",
        "bad-limit",
        "bad-line",
        "bad-metadata",
        "bad-moment",
        "bad-namespace",
        "bad-output",
        "bad-port",
        "bad-provenance",
        "bad-quarantine",
        "bad-query",
        "bad-record",
        "bad-session",
        "bad-setting",
        "bad-text",
        "bad-token",
        "bad-ttl",
        "bad-vector",
        "c-extension",
        "cancelled",
        "coverage-data",
        "database-broken",
        "database-failed",
        "database-key",
        "database-locked",
        "database-newer",
        "demo-tool-failed",
        "disk-full",
        "embedding-broken",
        "engine-closed",
        "engine-unreachable",
        "file-changed",
        "file-not-ours",
        "folder-not-empty",
        "id-taken",
        "import-conflict",
        "import-exits",
        "import-failed",
        "import-hangs",
        "import-shadowed",
        "internal",
        "keyring-failed",
        "lines-failed",
        "missing-argument",
        "missing-extra",
        "module-not-found",
        "name-not-found",
        "never-send",
        "no-consent",
        "no-coverage",
        "no-embedding-model",
        "no-git",
        "no-interpreter",
        "no-model",
        "no-project",
        "no-pytest",
        "no-python",
        "no-result",
        "no-route",
        "no-sandbox",
        "no-seal-key",
        "no-subject",
        "no-such-job",
        "no-such-path",
        "no-such-project",
        "no-such-provider",
        "no-tests",
        "not-cpython",
        "not-importable",
        "not-python",
        "nothing-measured",
        "nothing-to-test",
        "out-of-time",
        "outside-project",
        "owner-died",
        "port-in-use",
        "privacy-check-failed",
        "project-private",
        "project-read-only",
        "provider-failed",
        "pytest-usage",
        "python-too-old",
        "session-ended",
        "session-exists",
        "session-full",
        "shallow-clone",
        "snapshot-exists",
        "state-broken",
        "state-newer",
        "strict-mode",
        "suite-died",
        "suite-not-collected",
        "syntax-error",
        "target-busy",
        "test-file",
        "text-too-long",
        "unknown-argument",
        "unknown-command",
        "unknown-embedder",
        "unknown-finding",
        "unknown-format",
        "unknown-id",
        "unknown-ref",
        "unknown-request",
        "unknown-session",
        "unknown-setting",
        "unknown-snapshot",
        "usage",
        "weak-sandbox",
    }
)


class AqeError(Exception):
    """A failure worded for the user.

    `message` is one sentence that says what was wrong; `fix` says what to do next; `code` is one of `CODES`.
    """

    exit_status = 3

    def __init__(self, message: str, *, code: str, fix: str = "") -> None:
        if code not in CODES:
            raise ValueError(f"unknown error code {code!r}: add it to CODES and to docs/messages.md")
        super().__init__(message)
        self.message = message
        self.code = code
        self.fix = fix

    def __str__(self) -> str:
        return " ".join(part for part in (self.message, self.fix, f"[{self.code}]") if part)


class UserError(AqeError):
    """The user's mistake: a path, a name, a setting, a file."""

    exit_status = 2


class GateFailed(AqeError):
    """A gate failed, or some input lines failed."""

    exit_status = 1


class OutOfTime(AqeError):
    """The budget ended before anything could be finished."""

    exit_status = 4


class Cancelled(AqeError):
    """The user or the client cancelled the work."""

    exit_status = 130


class InternalError(AqeError):
    """A fault of aqe's own."""
