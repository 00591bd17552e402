"""Connects to a server of the host over TCP, by loopback and by its other addresses."""
import socket


def attack(args, emit):
    done = []
    for host in ("127.0.0.1", "localhost", args["address"], "192.0.2.1"):
        try:
            socket.create_connection((host, args["tcp_port"]), timeout=0.3).close()
            done.append(host)
        except OSError:
            pass
    return done
