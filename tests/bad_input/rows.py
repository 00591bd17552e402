"""A row of the table: a command, the project that it meets, and what the contract says of the answer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MODULE = "def double(number):\n    return number * 2\n"
MINE = "from mod import double\n\n\ndef test_mine():\n    assert double(2) == 4\n"
"""What every project of the table holds: a module, and a test of it."""

READ_ONLY = ('mount --bind "$0" "$0"; mount -o remount,bind,ro "$0"',)
FULL_DISK = (
    'cp -a "$0/." "$0.was"; mount -t tmpfs -o size=512k tmpfs "$0"; cp -a "$0.was/." "$0";'
    ' dd if=/dev/zero of="$0/ballast" bs=4k 2>/dev/null || true',
    'rm "$0/ballast"; cp -a "$0/." "$0.after"',
)
"""What is done in a mount namespace before the command, and after it: the folder becomes read-only, or a full disk of
512 KB."""

SetUp = Callable[[Path, contextlib.ExitStack], "dict[str, str] | None"]


class NotHere(Exception):
    """What a row needs and this machine does not have."""


@dataclass(frozen=True)
class Row:
    """One mistake or oddity.

    `command` follows `aqe`; `{word}` in it stands for what `set_up` returns. `code` is empty where the command
    succeeds all the same. `inside` are scripts for a mount namespace around the command; `then` looks at the project
    afterwards. Rows that take more than about two seconds are `slow`.
    """

    name: str
    command: tuple[str, ...]
    set_up: SetUp
    code: str
    status: int = 2
    words: str = ""
    inside: tuple[str, ...] = ()
    then: Callable[[Path], None] | None = None
    slow: bool = False
