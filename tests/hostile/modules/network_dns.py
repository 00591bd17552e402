"""Asks a name server, the usual way and by hand."""
import socket


def attack(args, emit):
    done = []
    try:
        socket.getaddrinfo("example.org", 443)
        done.append("resolved")
    except OSError:
        pass
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.settimeout(0.3)
            sender.sendto(b"\0\1\1\0\0\1\0\0\0\0\0\0\7example\3org\0\0\1\0\1", ("1.1.1.1", 53))
            sender.recv(512)
            done.append("answered")
    except OSError:
        pass
    return done
