"""The servers' logs: JSON lines on stderr, never a word on stdout."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import logging
from aqe.server.logs import log_to_stderr
logging.basicConfig(level=logging.DEBUG)
log_to_stderr()
logging.getLogger("aqe.one").info("not shown")
logging.getLogger("aqe.two").warning("a %s", "line\\nbreak")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("other").exception("failed")
"""


def test_each_record_is_one_json_line_on_stderr() -> None:
    """A record is one object with time (UTC), level, logger and message, and the traceback where there is one."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == ""
    first, second = (json.loads(line) for line in done.stderr.splitlines())
    assert first["time"].endswith("Z")
    assert {key: first[key] for key in ("level", "logger", "message")} == {
        "level": "warning",
        "logger": "aqe.two",
        "message": "a line\nbreak",
    }
    assert "ZeroDivisionError" in second["traceback"]
