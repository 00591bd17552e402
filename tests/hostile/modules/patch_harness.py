"""Patches what a harness would use to answer, then fails: the fail must stay a fail."""
import builtins
import json
import os
import sys
import traceback

STATES = ("error", "died")


def attack(args, emit):
    fake = lambda *_, **__: '{"passed": true}'
    json.dumps = json.JSONEncoder.encode = json.encoder.encode_basestring_ascii = fake
    os._exit = lambda code: None
    os.write = lambda fd, data: len(data)
    traceback.format_exception = fake
    builtins.AssertionError = type("AssertionError", (SystemExit,), {})
    builtins.compile = builtins.isinstance = lambda *_, **__: True
    sys.excepthook = fake
    raise ValueError("the check failed")
