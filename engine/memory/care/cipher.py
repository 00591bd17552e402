"""Pages of an encrypted store, decrypted one by one: what SQLite does not do once it met a page that is damaged.

The format is that of SQLite3 Multiple Ciphers' default, ChaCha20-Poly1305 (RFC 8439): the key comes from the passphrase
and the 16 bytes of salt that begin the file; each page ends with a nonce and a tag of 16 bytes, and the first block of
its stream is its own key.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aqe.engine.memory.care.cells import USUAL, pages_of
from aqe.engine.memory.file.write_ahead import SIZES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROUNDS = 64007
SALT = 16
NONCE = 16
TAG = 16
RESERVED = NONCE + TAG
PLAIN = 24
"""Bytes at the begin of the first page that are not encrypted: salt, and the size of a page."""

MAGIC = b"SQLite format 3\0"
_HEX = re.compile(b"[0-9a-fA-F]+")
_PRIME = (1 << 130) - 5
_CLAMP = 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
_BATCH = 256


def derive_key(passphrase: str, salt: bytes) -> bytes:
    """The file's key; a passphrase `raw:` with 32 bytes (48: with the salt too), or those in hex, is the key itself."""
    if passphrase.startswith("raw:"):
        given = passphrase.encode("utf-8")[4:]
        if len(given) in (64, 96) and _HEX.fullmatch(given):
            return bytes.fromhex(given.decode("ascii"))[:32]
        if len(given) in (32, 48):
            return given[:32]
    return hashlib.pbkdf2_hmac("sha256", passphrase.encode("utf-8"), salt, ROUNDS, 32)


def decrypt_pages(pages: Mapping[int, bytes], key: bytes) -> dict[int, bytes]:
    """The pages (by number, from 1) that are whole, decrypted; those whose tag does not fit are left out."""
    numbers, found = sorted(pages), dict[int, bytes]()
    for at in range(0, len(numbers), _BATCH):
        batch = numbers[at : at + _BATCH]
        found |= _decrypt_batch({number: pages[number] for number in batch}, key)
    return found


def whole_pages(pages: Mapping[int, bytes], key: bytes) -> list[int]:
    """The numbers of those pages whose tag fits."""
    numbers, found = sorted(pages), list[int]()
    for at in range(0, len(numbers), _BATCH):
        batch = _Batch.of({number: pages[number] for number in numbers[at : at + _BATCH]}, key)
        found += [batch.numbers[place] for place in batch.whole]
    return found


def is_key_of(path: Path, passphrase: str) -> bool:
    """Whether pages of a file other than the first have this key: then it is the right one, whatever SQLite says."""
    try:
        with path.open("rb") as file:
            head = file.read(PLAIN)
    except OSError:
        return False
    key = derive_key(passphrase, head[:SALT])
    return any(decrypt_pages(pages_of(path, size, 16), key) for size in (USUAL, *SIZES))


def decrypt_first(page: bytes, key: bytes) -> dict[int, bytes]:
    """The first page (by its number), where only what it says in clear of the form of the file is damaged: that of
    aqe's files is tried in its place, in both forms of the journal."""
    size = len(page) % 65_536 or 1
    for journal in (2, 1):
        form = size.to_bytes(2, "big") + bytes((journal, journal, RESERVED, 64, 32, 32))
        found = _decrypt_batch({1: page[:SALT] + form + page[PLAIN:]}, key)
        if found:
            return found
    return {}


@dataclass(frozen=True)
class _Batch:
    """Some pages as they are stored, with the first block of the stream of each, and the places of those that are
    whole."""

    numbers: list[int]
    raw: NDArray[np.uint8]
    nonces: NDArray[np.uint32]
    counters: NDArray[np.uint32]
    own: NDArray[np.uint32]
    whole: list[int]

    @classmethod
    def of(cls, pages: Mapping[int, bytes], key: bytes) -> _Batch:
        import numpy as np

        numbers = list(pages)
        size = len(pages[numbers[0]])
        body = size - RESERVED
        raw = np.frombuffer(b"".join(pages[number] for number in numbers), np.uint8).reshape(len(numbers), size)
        nonces: NDArray[np.uint32] = np.frombuffer(raw[:, body : body + NONCE].tobytes(), np.uint32).reshape(-1, 4)
        counters = nonces[:, 3] ^ np.array(numbers, np.uint32)
        keys = np.broadcast_to(np.frombuffer(key, "<u4"), (len(numbers), 8))
        own = _blocks(keys, counters, nonces[:, :3])
        return cls(numbers, raw, nonces, counters, own, [at for at, page in enumerate(raw) if _fits(page, own[at])])


def _decrypt_batch(pages: Mapping[int, bytes], key: bytes) -> dict[int, bytes]:
    import numpy as np

    batch = _Batch.of(pages, key)
    whole, nonces = batch.whole, batch.nonces
    if not whole:
        return {}
    body = batch.raw.shape[1] - RESERVED
    count = -(-body // 64)
    steps = np.tile(np.arange(1, count + 1, dtype=np.uint32), len(whole))
    positions = np.repeat(batch.counters[whole], count) + steps
    keys = np.repeat(batch.own[whole, 8:16], count, axis=0)
    streams = _blocks(keys, positions, np.repeat(nonces[whole, :3], count, axis=0)).view(np.uint8)
    found = {}
    for at, bits in zip(whole, streams.reshape(len(whole), -1), strict=True):
        start = PLAIN if batch.numbers[at] == 1 else 0
        page = batch.raw[at].copy()
        page[start:body] ^= bits[: body - start]
        if batch.numbers[at] == 1:
            page[:SALT] = np.frombuffer(MAGIC, np.uint8)
        found[batch.numbers[at]] = page.tobytes()
    return found


def _fits(page: NDArray[np.uint8], own: NDArray[np.uint32]) -> bool:
    """Whether the tag of a page is that of its bytes (Poly1305)."""
    body = len(page) - RESERVED
    data, once = page[: body + NONCE].tobytes(), own[:8].tobytes()
    r, s = int.from_bytes(once[:16], "little") & _CLAMP, int.from_bytes(once[16:], "little")
    total = 0
    for at in range(0, len(data), 16):
        piece = data[at : at + 16]
        total = (total + int.from_bytes(piece, "little") + (1 << 8 * len(piece))) * r % _PRIME
    tag = ((total + s) & (1 << 128) - 1).to_bytes(16, "little")
    return hmac.compare_digest(tag, page[body + NONCE : body + RESERVED].tobytes())


def _blocks(keys: NDArray[np.uint32], counters: NDArray[np.uint32], nonces: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """ChaCha20 blocks of 16 words, one for each row of keys (8 words), counter and nonce (3 words)."""
    import numpy as np

    first = np.empty((len(counters), 16), np.uint32)
    first[:, :4] = np.frombuffer(b"expand 32-byte k", "<u4")
    first[:, 4:12], first[:, 12], first[:, 13:] = keys, counters, nonces
    state = [first[:, at].copy() for at in range(16)]
    for _ in range(10):
        for a, b, c, d in _QUARTERS:
            for x, y, z, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                state[x] += state[y]
                state[z] ^= state[x]
                state[z] = state[z] << np.uint32(bits) | state[z] >> np.uint32(32 - bits)
    return np.ascontiguousarray(np.stack(state, axis=1) + first)


_QUARTERS = (
    (0, 4, 8, 12),
    (1, 5, 9, 13),
    (2, 6, 10, 14),
    (3, 7, 11, 15),
    (0, 5, 10, 15),
    (1, 6, 11, 12),
    (2, 7, 8, 13),
    (3, 4, 9, 14),
)
