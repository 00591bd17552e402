"""Tries to become root: directly, by a setuid copy, by the system's setuid programs."""
import os
import shutil
import subprocess


def attack(args, emit):
    done = []
    for act in (lambda: os.setuid(0), lambda: os.setresuid(0, 0, 0), lambda: os.setgroups([0])):
        try:
            act()
            done.append("set ids")
        except OSError:
            pass
    copy = os.path.join(os.environ["TMPDIR"], "id")
    shutil.copy("/usr/bin/id", copy)
    os.chmod(copy, 0o6755)
    for command in ([copy, "-u"], ["su", "-c", "id -u"], ["sudo", "-n", "id", "-u"]):
        try:
            said = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout.strip()
        except OSError:
            continue
        if said == "0":
            done.append(" ".join(command))
    return done
