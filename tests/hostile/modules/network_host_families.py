"""Tries the kinds of sockets that no network namespace holds: to the hypervisor, Bluetooth, CAN, the kernel's ciphers."""

import socket

FAMILIES = {"vsock": 40, "alg": 38, "bluetooth": 31, "can": 29, "rds": 21, "tipc": 30, "packet": 17, "xdp": 44}


def attack(args, emit):
    done = []
    for name, number in FAMILIES.items():
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET, socket.SOCK_RAW):
            try:
                socket.socket(number, kind, 0).close()
                done.append(name)
            except OSError:
                pass
    return done
