"""Lets a child process, a shell, do the damage."""
import subprocess


def attack(args, emit):
    script = 'rm -rf "$0"; echo broken > "$0/notes.txt" && echo done; echo x >> "$1" && echo done'
    shell = subprocess.run(["/bin/sh", "-c", script, args["canary"], __file__], capture_output=True, text=True)
    return shell.stdout.split()
