"""One finding of a review: what is wrong, where, how sure, and an id that outlives moved lines."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
Tool = Literal["aqe", "ruff", "bandit"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""From the gravest to the mildest."""

ID_DIGITS = 12


@dataclass(frozen=True)
class Finding:
    """What the review found at one place of the head side.

    `id` is the fingerprint (see `fingerprint`). `confidence` is 0 to 1: how likely a reader agrees that it should be
    mended. `path` is posix and relative to the project; `line` and `end_line` are 1-based. `name` is the qualified
    name of the innermost function or class, empty at module level. `evidence` holds lines of words: what was executed
    or where the other copy stands.
    """

    id: str
    rule: str
    severity: Severity
    confidence: float
    path: str
    line: int
    end_line: int
    name: str
    message: str
    evidence: tuple[str, ...] = ()
    tool: Tool = "aqe"


def fingerprint(rule: str, name: str, statement: str) -> str:
    """The id of a finding: a digest of rule, qualified name and normalised statement; no line number, no path.

    `name` is the qualified name of the innermost function or class; for code at module level give the module's.
    """
    return hashlib.sha256("\0".join((rule, name, statement)).encode("utf-8", "surrogatepass")).hexdigest()[:ID_DIGITS]
