"""Sessions and their turns in a project's store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import apsw

from aqe.engine.errors import UserError
from aqe.engine.memory.entry import check_limit, check_text, made, metadata_json, rfc3339, uuid7
from aqe.engine.memory.file.row_sums import SESSIONS, TURNS, change, insert_sql, sealed
from aqe.engine.memory.store import Store
from aqe.engine.sessions.entry import Session, Turn, TurnRole, check_name, check_role
from aqe.engine.sessions.names import near_names

DAY_US = 86_400_000_000
TOKEN_BUDGET = 4000
MOST_LISTED = 1_000_000
"""Sessions, or turns of one, that are read at most."""
_SESSION = f"{SESSIONS.listed} FROM sessions"
_GROW = (
    "UPDATE sessions SET turns = ?1, tokens = ?2, bytes = ?3, used_at = ?4, expires_at = ?5, row_sum = CASE WHEN"
    " turns = ?7 AND tokens = ?8 AND bytes = ?9 AND used_at = ?10 AND expires_at IS ?11"
    " THEN (row_sum | ?6) - (row_sum & ?6) END WHERE id = ?12"
)
"""SQL has no exclusive or. A row that is another one than was read gets no sum."""
_NEW_SESSION, _NEW_TURN = insert_sql(SESSIONS), insert_sql(TURNS)
_TURN = "position, role, text, tokens, created_at, request_id FROM turns"


@dataclass(frozen=True)
class SessionLimits:
    """How long an unused session stays open (0: for ever), how many bytes of turns it may hold, and how many tokens of
    it a model is given."""

    expire_days: int = 30
    size_kb: int = 1024
    token_budget: int = TOKEN_BUDGET


@dataclass(frozen=True)
class NewTurn:
    """A turn to append, checked and counted; `vector` is its embedding as float32 bytes."""

    role: TurnRole
    text: str
    tokens: int
    request_id: str | None = None
    embedder_id: str | None = None
    vector: bytes | None = None
    created_at: int | None = None


@dataclass(frozen=True)
class Summary:
    """What stands for the first `turns` turns of a session where a model is shown it, and how it was made."""

    text: str
    turns: int
    method: str


class SessionTable:
    """The sessions of one store. Every method is one transaction; a name or an id may stand for a session."""

    def __init__(self, store: Store, limits: SessionLimits | None = None) -> None:
        self._store = store
        self.limits = limits or SessionLimits()

    def writing(self) -> AbstractContextManager[apsw.Connection]:
        """One write transaction, for what belongs together."""
        return self._store.writing()

    def create(
        self, name: str | None = None, *, metadata: Mapping[str, Any] | None = None, token_budget: int | None = None
    ) -> Session:
        """A new open session; without a name it gets one. Raises `UserError` (session-exists, bad-session)."""
        with self._store.writing() as connection:
            return self.insert(connection, name, metadata=metadata, token_budget=token_budget)

    def insert(
        self,
        connection: apsw.Connection,
        name: str | None = None,
        *,
        metadata: Mapping[str, Any] | None = None,
        token_budget: int | None = None,
        created_at: int | None = None,
    ) -> Session:
        """As `create`, in the caller's transaction."""
        now, here = self._store.now(), self._store.here
        id = uuid7(now)
        name = f"session-{id[-8:]}" if name is None else check_name(name)
        budget = self.limits.token_budget if token_budget is None else check_budget(token_budget)
        if connection.execute("SELECT 1 FROM sessions WHERE name = ?", (name,)).fetchone():
            raise UserError(
                f"There is a session {name!r} already.",
                code="session-exists",
                fix="Resume it, or take another name.",
            )
        row = (
            *(id, name, None, self._expiry(now), 0, 0, 0, budget, now if created_at is None else created_at, now),
            *(metadata_json(metadata), here.worktree, here.commit, "", 0, ""),
        )
        connection.execute(_NEW_SESSION, sealed(SESSIONS, row))
        return self.require(connection, id)

    def get(self, name: str) -> Session:
        """The session with this name or id. Raises `UserError` (unknown-session)."""
        with self._store.reading() as connection:
            return self.require(connection, name)

    def require(self, connection: apsw.Connection, name: str) -> Session:
        """As `get`, in the caller's transaction."""
        row = connection.execute(f"SELECT {_SESSION} WHERE name = ?1 OR id = ?1", (check_name(name),)).fetchone()
        if row is None:
            near = " or ".join(map(repr, near_names(connection, name)))
            fix = f"{f'Did you mean {near}? ' if near else ''}`aqe sessions list --all` shows the names."
            raise UserError(f"There is no session {name!r}.", code="unknown-session", fix=fix)
        return self._read(row)

    def opened(self, name: str, *, last: int = 0) -> tuple[Session, list[Turn]]:
        """The open session of this name, made when there is none; and of its turns, oldest first, the texts that it was
        given and the `last` few. Raises `UserError` (session-ended)."""
        with self._store.reading() as connection:
            known = self._find_open(connection, name)
            if known is not None:
                return known, _given_and_last(connection, known, last)
        with self._store.writing() as connection:
            known = self._find_open(connection, name)
            if known is None:
                return self.insert(connection, name), []
            return known, _given_and_last(connection, known, last)

    def _find_open(self, connection: apsw.Connection, name: str) -> Session | None:
        row = connection.execute(f"SELECT {_SESSION} WHERE name = ?1 OR id = ?1", (check_name(name),)).fetchone()
        return None if row is None else require_open(self._read(row))

    def turns(self, name: str, *, last: int | None = None) -> list[Turn]:
        """The turns of a session (the last few of them), oldest first."""
        with self._store.reading() as connection:
            most = None if last is None else min(last, MOST_LISTED)
            return read_turns(connection, self.require(connection, name).id, last=most)

    def append(self, connection: apsw.Connection, session: Session, turns: Sequence[NewTurn]) -> Session:
        """Write turns at the end of a session, as it was read in the caller's transaction; it stays open for another
        while.

        Raises `UserError` (session-full).
        """
        size = sum(len(turn.text.encode("utf-8")) for turn in turns)
        if session.bytes + size > self.limits.size_kb * 1024:
            raise UserError(
                f"The session {session.name!r} holds {session.bytes} bytes; {size} more pass its limit of "
                f"{self.limits.size_kb} kB.",
                code="session-full",
                fix="Begin another session, or raise the setting sessions.size_kb.",
            )
        now = self._store.now()
        rows = (
            (
                *(session.id, session.turns + place, turn.role, self._store.as_kept(turn.text), turn.tokens),
                *(now if turn.created_at is None else turn.created_at, turn.request_id, turn.embedder_id, turn.vector),
            )
            for place, turn in enumerate(turns)
        )
        connection.executemany(_NEW_TURN, [sealed(TURNS, row) for row in rows])
        grown = {
            "turns": session.turns + len(turns),
            "tokens": session.tokens + sum([turn.tokens for turn in turns]),
            "bytes": session.bytes + size,
            "used_at": now,
            "expires_at": self._expiry(now),
        }
        before = {name: getattr(session, name) for name in grown}
        connection.execute(_GROW, (*grown.values(), SESSIONS.differs_by(before, grown), *before.values(), session.id))
        state = "ended" if session.state == "ended" else "open"
        return made(Session, {**vars(session), **grown, "state": state})

    def end(self, name: str, *, remove: bool = False) -> Session:
        """End a session: it can be read and resumed, not talked to; with `remove` its turns go too."""
        with self._store.writing() as connection:
            session = self.require(connection, name)
            if remove:
                connection.execute("DELETE FROM sessions WHERE id = ?", (session.id,))
                return session
            if session.state == "ended":
                return session
            return self._change(connection, session.id, {"ended_at": self._store.now()})

    def resume(self, name: str) -> Session:
        """Open an ended or expired session again. Raises `UserError` (unknown-session)."""
        with self._store.writing() as connection:
            session, now = self.require(connection, name), self._store.now()
            opened = {"ended_at": None, "used_at": now, "expires_at": self._expiry(now)}
            return self._change(connection, session.id, opened)

    def set_metadata(self, name: str, metadata: Mapping[str, Any]) -> Session:
        """Join `metadata` into the session's; a key whose value is None goes. Raises `UserError` (bad-metadata)."""
        with self._store.writing() as connection:
            session = self.require(connection, name)
            metadata_json(metadata)
            joined = {key: value for key, value in {**session.metadata, **metadata}.items() if value is not None}
            return self._change(connection, session.id, {"metadata": metadata_json(joined)})

    def set_summary(self, id: str, summary: Summary) -> None:
        """Keep a session's summary, unless one of more turns was kept meanwhile."""
        with self._store.writing() as connection:
            self.keep_summary(connection, id, summary)

    def keep_summary(self, connection: apsw.Connection, id: str, summary: Summary) -> Session:
        """As `set_summary`, in the caller's transaction."""
        session = self.require(connection, id)
        if session.summarised >= summary.turns:
            return session
        kept = self._store.as_kept(summary.text)
        return self._change(
            connection,
            session.id,
            {"summary": kept, "summarised": summary.turns, "summary_method": summary.method},
        )

    def prune(self) -> int:
        """Remove the sessions that expired as long ago as they may lie unused, where that can be written; returns how
        many went."""
        if not self.limits.expire_days:
            return 0
        long_ago = self._store.now() - self.limits.expire_days * DAY_US
        try:
            with self._store.writing() as connection:
                connection.execute("DELETE FROM sessions WHERE expires_at < ?", (long_ago,))
                return int(connection.changes())
        except UserError as error:
            if error.code not in ("project-read-only", "disk-full"):
                raise
            return 0

    def list(self, *, every: bool = False, limit: int = 100) -> list[Session]:
        """The open sessions (`every`: all), the last used first. Raises `UserError` (bad-limit)."""
        check_limit(limit, MOST_LISTED)
        where = "" if every else "WHERE ended_at IS NULL AND (expires_at IS NULL OR expires_at > ?2)"
        bound = (limit,) if every else (limit, self._store.now())
        with self._store.reading() as connection:
            rows = connection.execute(f"SELECT {_SESSION} {where} ORDER BY used_at DESC, id DESC LIMIT ?1", bound)
            return [self._read(row) for row in rows]

    def _change(self, connection: apsw.Connection, id: str, changes: Mapping[str, Any]) -> Session:
        """Change the row of a session that is there, with its checksum; returns it as it is then."""
        row = change(connection, SESSIONS, ("id", id), changes)
        return self.require(connection, id) if row is None else self._read(row)

    def _expiry(self, now: int) -> int | None:
        return now + self.limits.expire_days * DAY_US if self.limits.expire_days else None

    def _read(self, row: Sequence[Any]) -> Session:
        expired = row[3] is not None and row[3] <= self._store.now()
        values = {
            "id": row[0],
            "name": row[1],
            "state": "ended" if row[2] is not None else "expired" if expired else "open",
            "turns": row[4],
            "tokens": row[5],
            "bytes": row[6],
            "token_budget": row[7],
            "created_at": row[8],
            "used_at": row[9],
            "expires_at": row[3],
            "metadata": json.loads(row[10]),
            "summary": row[13],
            "summarised": row[14],
            "summary_method": row[15],
            "worktree": row[11],
            "commit": row[12],
        }
        return made(Session, values)


def read_turns(connection: apsw.Connection, session: str, *, last: int | None = None, start: int = 0) -> list[Turn]:
    """The turns of a session from position `start` on (the `last` few of them), oldest first."""
    sql = f"SELECT {_TURN} WHERE session = ? AND position >= ? ORDER BY position DESC LIMIT ?"
    rows = connection.execute(sql, (session, start, -1 if last is None else last)).fetchall()
    return [Turn(*row) for row in reversed(rows)]


def read_given(connection: apsw.Connection, session: str) -> list[Turn]:
    """The texts that a session was given to answer from, oldest first."""
    sql = f"SELECT {_TURN} WHERE session = ? AND role = 'context' ORDER BY position"
    return [Turn(*row) for row in connection.execute(sql, (session,))]


def _given_and_last(connection: apsw.Connection, session: Session, last: int) -> list[Turn]:
    if not session.turns:
        return []
    sql = f"SELECT {_TURN} WHERE session = ? AND (role = 'context' OR position >= ?) ORDER BY position"
    return [Turn(*row) for row in connection.execute(sql, (session.id, session.turns - last))]


def new_turn(role: str, text: str, tokens: int, **rest: Any) -> NewTurn:
    """A turn whose role and text can be stored. Raises `UserError` (bad-session, bad-text, text-too-long)."""
    return NewTurn(check_role(role), check_text(text), tokens, **rest)


def require_open(session: Session) -> Session:
    """`session` if it can be talked to. Raises `UserError` (session-ended)."""
    if session.state == "open":
        return session
    when = f" on {rfc3339(session.expires_at)[:10]}" if session.state == "expired" and session.expires_at else ""
    raise UserError(
        f"The session {session.name!r} {'has ' * (session.state == 'ended')}{session.state}{when}.",
        code="session-ended",
        fix=f"Open it again: `aqe sessions resume {session.name}`.",
    )


def check_budget(tokens: int) -> int:
    """A token budget if it is one; raises `UserError` (bad-session)."""
    if isinstance(tokens, bool) or not isinstance(tokens, int) or not 64 <= tokens <= 10_000_000:
        raise UserError(
            f"{tokens!r:.40} is no token budget.", code="bad-session", fix="Give a whole number from 64 to 10000000."
        )
    return tokens
