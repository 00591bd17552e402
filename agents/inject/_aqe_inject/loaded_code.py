"""Which code a run tested: one digest of every Python file of the project that is loaded, by content."""

import hashlib
import os
import sys
from typing import Set

ELSEWHERE = (os.sep + "site-packages" + os.sep, os.sep + "dist-packages" + os.sep)


def code_digest(project: str) -> str:
    """16 hexadecimal digits over path and content of the loaded files below `project`; "" where there are none."""
    root = os.path.join(os.path.realpath(project), "")
    paths: Set[str] = set()
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str) and path.endswith(".py"):
            path = os.path.realpath(path)
            if path.startswith(root) and not any(part in path for part in ELSEWHERE):
                paths.add(path)
    whole = hashlib.sha256()
    for path in sorted(paths):
        try:
            with open(path, "rb") as file:
                content = file.read()
        except OSError:
            continue
        name = path[len(root) :].replace(os.sep, "/").encode("utf-8", "surrogateescape")
        whole.update(b"%d:%s:%d:" % (len(name), name, len(content)))
        whole.update(content)
    return whole.hexdigest()[:16] if paths else ""
