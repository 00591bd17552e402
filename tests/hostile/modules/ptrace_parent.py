"""Attaches to its parent and to pid 1, reads and writes their memory."""
import ctypes
import os

PTRACE_ATTACH, PTRACE_SEIZE = 16, 0x4206


def attack(args, emit):
    libc = ctypes.CDLL(None, use_errno=True)
    done = []
    for victim in (os.getppid(), 1, args["aqe_pid"]):
        if victim == os.getpid():
            continue
        for request in (PTRACE_ATTACH, PTRACE_SEIZE):
            if libc.ptrace(request, victim, None, None) == 0:
                done.append("ptrace %d" % victim)
        for mode in ("rb", "r+b"):
            try:
                with open("/proc/%d/mem" % victim, mode):
                    done.append("memory %d %s" % (victim, mode))
            except OSError:
                pass
        buffer = ctypes.create_string_buffer(8)
        vector = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 8)
        if libc.process_vm_readv(victim, vector, 1, vector, 1, 0) > 0:
            done.append("process_vm_readv %d" % victim)
    return done
