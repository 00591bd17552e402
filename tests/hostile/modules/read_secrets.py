"""Reads keys of the user, the shadow file and the environment of every process it can see."""
import os


def attack(args, emit):
    done = []
    paths = [os.path.join(args["canary"], ".ssh", "id_ed25519"), "/etc/shadow", "/root/.ssh", args["home"] + "/.netrc"]
    paths += ["/proc/%s/environ" % name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]
    for path in paths:
        try:
            with open(path, "rb") as stream:
                text = stream.read()
            if not path.startswith("/proc/") or b"AQE_HOST_SECRET" in text:
                done.append(path)
        except OSError:
            pass
    if "AQE_HOST_SECRET" in os.environ:
        done.append("its own environment")
    return done
