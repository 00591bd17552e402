"""Mounts, unmounts, leaves the root, makes device nodes."""
import ctypes
import os
import stat


def attack(args, emit):
    libc = ctypes.CDLL(None, use_errno=True)
    done = []
    scratch = os.fsencode(os.environ["TMPDIR"])
    if libc.mount(b"none", scratch, b"tmpfs", 0, None) == 0:
        done.append("mount")
    if libc.mount(None, b"/", None, 32 | 4096, None) == 0:
        done.append("remount")
    if libc.umount2(b"/proc", 2) == 0:
        done.append("umount")
    if libc.chroot(scratch) == 0:
        done.append("chroot")
    for device in ((8, 0), (1, 1)):
        try:
            os.mknod(os.path.join(os.environ["TMPDIR"], "node"), stat.S_IFBLK | 0o600, os.makedev(*device))
            done.append("mknod")
        except OSError:
            pass
    return done
