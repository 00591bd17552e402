"""What comes out of a box, read as what it may be: the work of hostile code."""

from __future__ import annotations

import json
import os
import secrets
import struct
from collections.abc import Callable
from typing import Any

TAIL_BYTES = 16_384
MAX_RESULT_BYTES = 256 << 20


class Tail:
    """The end of a stream and how much went through it."""

    def __init__(self, fd: int, keep: int = TAIL_BYTES) -> None:
        self.fd = fd
        self.total = 0
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

    A frame without the nonce, a second answer or bytes that are no frame make it `forged`.
    """

    def __init__(self, nonce: str, on_progress: Callable[[Any], None] | None) -> None:
        self._nonce = nonce.encode()
        self._on_progress = on_progress
        self._buffer = bytearray()
        self.total = 0
        self.forged = False
        self.answer: tuple[bytes, Any] | None = None

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the case's pipe."""
        self.total += len(data)
        if self.forged:
            return
        self._buffer += data
        while len(self._buffer) >= 4 and not self.forged:
            (size,) = struct.unpack(">I", self._buffer[:4])
            head = bytes(self._buffer[4 : 4 + len(self._nonce)])
            if not len(self._nonce) < size <= MAX_RESULT_BYTES or not self._nonce.startswith(head):
                self.forged = True
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
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            self.forged = True
            return
        if letter != b"P":
            self.answer = (letter, value)
        elif self._on_progress is not None:
            self._on_progress(value)
