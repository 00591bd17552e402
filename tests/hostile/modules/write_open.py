"""Overwrites, appends to, deletes, renames and creates files of the user."""
import os
import shutil


def attack(args, emit):
    canary = args["canary"]
    victim = os.path.join(canary, "notes.txt")
    acts = {
        "overwrite": lambda: open(victim, "w").close(),
        "append": lambda: open(victim, "a").close(),
        "create": lambda: open(os.path.join(canary, "new.txt"), "w").close(),
        "delete": lambda: os.remove(victim),
        "rename": lambda: os.rename(victim, victim + ".gone"),
        "rmtree": lambda: shutil.rmtree(canary),
        "mkdir": lambda: os.mkdir(os.path.join(canary, "folder")),
        "project": lambda: open(__file__, "a").close(),
        "link": lambda: os.link(__file__, os.path.join(canary, "hard")),
        "truncate": lambda: os.truncate(__file__, 0),
    }
    done = []
    for name, act in acts.items():
        try:
            act()
            done.append(name)
        except OSError:
            pass
    return done
