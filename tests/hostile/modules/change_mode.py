"""Changes mode, owner and times of the user's files."""
import os


def attack(args, emit):
    done = []
    for path in (os.path.join(args["canary"], "notes.txt"), __file__):
        for name, act in (
            ("chmod", lambda: os.chmod(path, 0o777)),
            ("utime", lambda: os.utime(path, (1, 1))),
            ("chown", lambda: os.chown(path, os.getuid(), os.getgid())),
            ("xattr", lambda: os.setxattr(path, "user.aqe", b"1")),
        ):
            try:
                act()
                done.append(name + " " + path)
            except OSError:
                pass
    return done
