"""Write v<number>.db, a store as each earlier version left it. Run it once, before a new migration is released:

python tests/engine/stored/write.py
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from aqe.engine.memory.entry import Provenance
from aqe.engine.memory.file.connection import open_connection, transaction
from aqe.engine.memory.file.migrations import MIGRATIONS, migrate
from aqe.engine.memory.rows import Row, insert_row

HERE = Path(__file__).resolve().parent
TEXTS = ("parse_header keeps its case", "totals round half up", "the cart is emptied after payment")


def write(version: int) -> None:
    """Write the store of `version`, unless it stands: what a released aqe wrote is never written anew."""
    path = HERE / f"v{version}.db"
    if path.exists():
        return
    connection = open_connection(path)
    migrate(connection, path, now=lambda: 0, open_again=functools.partial(open_connection), steps=MIGRATIONS[:version])
    with transaction(connection, path):
        for number, text in enumerate(TEXTS):
            digest = hashlib.sha256(text.encode()).digest()
            vector = bytes(4 * number) + b"\0\0\x80\x3f" + bytes(4 * (3 - number))
            row = Row(None, "default", text, digest, f'{{"n":{number}}}', vector, "toy", Provenance("a.py", number))
            insert_row(connection, row, f"id-{number}", id_given=True, created_at=None, now=1_700_000_000_000_000)
        if version >= 2:
            connection.execute(
                "INSERT INTO jobs VALUES ('job-1', 'verify', '{}', x'00', 'done', '', 1.0, 1.0, '{\"kept\": true}',"
                " NULL, 0, 1, '', '', 1700000000000000, 1700000000000000, 1700000000000001)"
            )
    connection.pragma("journal_mode", "delete")
    connection.close()


if __name__ == "__main__":
    for migration in MIGRATIONS[:-1]:
        write(migration.number)
