"""Run a Python script as another user: as_user.py UID[:open] FOLDER SCRIPT [ARGUMENT...].

The interpreter and this repository may lie under a folder that the other user cannot enter. So the script runs in a
mount namespace in which such a folder shows only what is needed; with ":open" root's too.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from aqe.agents.gate import kernel

REPOSITORY = str(Path(__file__).resolve().parents[2])


def closed_folders(path: str) -> list[str]:
    """The folders above `path` that others may not enter, outermost first."""
    parents = [str(parent) for parent in reversed(Path(path).parents)]
    return [parent for parent in parents if not os.stat(parent).st_mode & 0o001]


def open_up(paths: list[str]) -> None:
    """Show `paths` to everybody, in a mount namespace of our own."""
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    covered: dict[str, list[str]] = {}
    for path in paths:
        closed = closed_folders(path)
        if closed:
            covered.setdefault(closed[0], []).append(path)
    for folder, inside in covered.items():
        outermost = [p for p in inside if not any(p != q and p.startswith(q + "/") for q in inside)]
        trees = {path: kernel.open_tree(path) for path in sorted(set(outermost))}
        kernel.mount("cover", folder, "tmpfs", 0, "mode=755")
        for path, tree in trees.items():
            os.makedirs(path, exist_ok=True)
            kernel.move_mount(tree, path)
            os.close(tree)


def main() -> None:
    uid, folder, script, *arguments = sys.argv[1:]
    uid, _, opened = uid.partition(":")
    if int(uid) != os.geteuid() or opened:
        links = [os.path.realpath(path) for path in (sys.executable, sys.base_prefix, sys.prefix)]
        open_up([os.path.dirname(os.path.dirname(links[0])), *links[1:], REPOSITORY, folder])
        os.setgroups([])
        os.setresgid(int(uid), int(uid), int(uid))
        os.setresuid(int(uid), int(uid), int(uid))
    os.chdir(folder)
    os.execv(sys.executable, [sys.executable, script, *arguments])


if __name__ == "__main__":
    main()
