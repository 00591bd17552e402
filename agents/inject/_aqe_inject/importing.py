"""The first import of a subject, in a fork of its own: does it work, and is it the file that was meant?"""

from __future__ import annotations

import importlib
import os
import sys
import time
import traceback
from typing import Any, Callable, Dict, Optional


def check(args: Dict[str, Any], emit: Callable[[Any], None]) -> Dict[str, Any]:
    """Import `args["module"]`; answers with `file` and `seconds`, or with `error`, `message`, `path` and `line`."""
    started = time.perf_counter()
    name = args["module"]
    try:
        module = importlib.import_module(name)
    except BaseException as error:  # a subject may raise anything, SystemExit included
        return failure(error, args.get("path"))
    return {"file": os.path.realpath(getattr(module, "__file__", None) or ""), "seconds": time.perf_counter() - started}


def failure(error: BaseException, path: Optional[str]) -> Dict[str, Any]:
    """What an import raised: `error`, `message`, `path` and `line` of the subject, `missing` module, `python`."""
    line, place = _place(error, path)
    try:
        message = str(error)
    except Exception:
        message = ""
    return {
        "error": type(error).__name__,
        "message": " ".join(message.split())[:300],
        "path": place,
        "line": line,
        "missing": getattr(error, "name", None) if isinstance(error, ImportError) else None,
        "python": "%d.%d" % sys.version_info[:2],
    }


def _place(error: BaseException, path: Optional[str]) -> "tuple[int, str]":
    """The deepest line of the subject's own file, else of any file."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if path and os.path.realpath(frame.filename) == path]
    for frame in reversed(own):
        return frame.lineno or 0, frame.filename
    if isinstance(error, SyntaxError):
        return error.lineno or 0, error.filename or ""
    outside = [frame for frame in frames if "importlib" not in frame.filename and "_aqe_inject" not in frame.filename]
    return (outside[-1].lineno or 0, outside[-1].filename) if outside else (0, "")
