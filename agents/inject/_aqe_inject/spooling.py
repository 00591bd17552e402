"""Where a pytest process writes what it records: the project's `.aqe/spool`."""

import os
from typing import Any, Optional, Tuple


def project_of(config: Any) -> str:
    """The folder that holds `.aqe`: AQE_PROJECT where it is a folder, else pytest's rootdir."""
    named = os.environ.get("AQE_PROJECT")
    if named and os.path.isdir(named):
        return os.path.abspath(named)
    return str(config.rootpath)


def open_spool(project: str) -> Tuple[Optional[str], str]:
    """Make `.aqe/spool`; the folder, or None and one line of trouble for the summary when that cannot be."""
    if os.environ.get("AQE_DB_KEY"):
        return None, "AQE_DB_KEY is set and the spool would lie in clear"
    if os.path.exists(os.path.join(project, ".aqe", "key-id")):
        return None, "the store's key is in the keyring and the spool would lie in clear"
    spool = os.path.join(project, ".aqe", "spool")
    try:
        make_inside(project, "spool")
        if not os.access(spool, os.W_OK):
            raise PermissionError(13, "Permission denied", spool)
    except OSError as error:
        return None, "cannot write %s (%s)" % (error.filename or ".aqe", error.strerror or error)
    return spool, ""


def make_inside(project: str, name: str) -> None:
    """Make the folder `.aqe/<name>`, and the `.gitignore` that keeps all of `.aqe` out of git; raises OSError."""
    home = os.path.join(project, ".aqe")
    try:
        os.mkdir(home, 0o700)  # for its owner alone; one that is there keeps its mode
    except FileExistsError:
        pass
    os.makedirs(os.path.join(home, name), exist_ok=True)
    ignore = os.path.join(home, ".gitignore")
    if os.path.exists(ignore):
        return
    fresh = "%s.%d" % (ignore, os.getpid())
    try:
        with open(fresh, "w", encoding="utf-8") as file:
            file.write("*\n")
        os.replace(fresh, ignore)
    finally:
        if os.path.exists(fresh):
            os.unlink(fresh)
