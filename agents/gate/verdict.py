"""What comes out of a box, read as what it may be: the work of hostile code."""

from __future__ import annotations

import json
import os
import secrets
import signal
import struct
from collections.abc import Callable, Mapping
from typing import Any

TAIL_BYTES = 16_384
MAX_RESULT_BYTES = 256 << 20  # of one case
MAX_FRAME_BYTES = 64 << 20
MAX_VALUES = 3_000_000  # in one frame: three bytes of JSON can be a hundred of memory


class Tail:
    """The end of a stream and how much went through it."""

    def __init__(self, fd: int, keep: int = TAIL_BYTES) -> None:
        self.fd = fd
        self.total = 0
        self.ended = False
        self._keep = keep
        self._kept = b""

    def drain(self, on_chunk: Callable[[bytes], None] | None = None) -> None:
        """Take what is there now, a bounded amount; `on_chunk` gets it as well."""
        for _ in range(64):
            try:
                chunk = os.read(self.fd, 1 << 16)
            except OSError:
                return
            if not chunk:
                self.ended = True
                return
            self.total += len(chunk)
            self._kept = (self._kept + chunk)[-self._keep :]
            if on_chunk is not None:
                on_chunk(chunk)

    def take(self) -> str:
        """The tail as text; starts anew."""
        self.drain()
        text, self._kept, self.total = self._kept.decode("utf-8", "replace"), b"", 0
        return text


class Verdict:
    """Reads result frames (length, nonce, letter, JSON) and keeps the one answer that counts.

    A frame without the nonce, a second answer or bytes that are no frame make it `forged`; more than aqe wants to hold
    in its own memory makes it `excessive`.
    """

    def __init__(self, nonce: str, on_progress: Callable[[Any], None] | None) -> None:
        self._nonce = nonce.encode()
        self._on_progress = on_progress
        self._buffer = bytearray()
        self.total = 0
        self.forged = False
        self.excessive = False
        self.answer: tuple[bytes, Any] | None = None

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the case's pipe."""
        self.total += len(data)
        self.excessive = self.excessive or self.total > MAX_RESULT_BYTES
        if self.forged or self.excessive:
            return
        self._buffer += data
        while len(self._buffer) >= 4 and not self.forged and not self.excessive:
            (size,) = struct.unpack(">I", self._buffer[:4])
            head = bytes(self._buffer[4 : 4 + len(self._nonce)])
            if not len(self._nonce) < size or not self._nonce.startswith(head):
                self.forged = True
                return
            if size > MAX_FRAME_BYTES:
                self.excessive = True
                return
            if len(self._buffer) < 4 + size:
                return
            body = bytes(self._buffer[4 : 4 + size])
            del self._buffer[: 4 + size]
            self._take_frame(body)

    @property
    def unfinished(self) -> bool:
        """Whether the stream ended inside a frame."""
        return bool(self._buffer)

    def _take_frame(self, body: bytes) -> None:
        width = len(self._nonce)
        nonce, letter, text = body[:width], body[width : width + 1], body[width + 1 :]
        known = secrets.compare_digest(nonce, self._nonce) and letter in (b"P", b"V", b"X")
        if not known or self.answer is not None:
            self.forged = True
            return
        if sum(map(text.count, (b",", b"[", b"{"))) > MAX_VALUES:
            self.excessive = True
            return
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            self.forged = True
            return
        if letter != b"P":
            self.answer = (letter, value)
        elif self._on_progress is not None:
            self._on_progress(value)


def read_end(payload: bytes) -> dict[str, Any] | None:
    """How a case ended, as the zygote says it; None for what no zygote in its right mind says."""
    try:
        end = json.loads(payload) if len(payload) < TAIL_BYTES else None
    except (ValueError, RecursionError):
        return None
    kinds = {"exit": (int, type(None)), "signal": (int, type(None)), "killed": (str, type(None)), "leftovers": (int,)}
    if isinstance(end, dict) and all(type(end.get(name, "")) in types for name, types in kinds.items()):
        return end
    return None


def describe_exit(end: Mapping[str, Any]) -> str:
    """The signal or the exit status in words."""
    if end["signal"] is not None:
        try:
            return signal.Signals(end["signal"]).name
        except ValueError:
            return f"signal {end['signal']}"
    return f"exit status {end['exit']}"
