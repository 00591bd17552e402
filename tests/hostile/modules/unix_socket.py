"""Connects to Unix sockets of the host, one by path and one abstract."""
import socket


def attack(args, emit):
    done = []
    for name in (args["unix_path"], "\0" + args["unix_abstract"]):
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(0.5)
                client.connect(name)
                done.append(name)
        except OSError:
            pass
    return done
