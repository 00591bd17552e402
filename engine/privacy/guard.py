"""The guard of one project: what may leave this machine, in which form, and the record of it.

Two doors lead out: to a provider of models elsewhere (`outgoing`) and to an MCP client, behind which a model may sit
anywhere (`client_view`). Both take text out that must not leave and both write the audit log; what goes to a provider
is logged before it is handed out, so that nothing leaves without its entry.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from aqe.engine.errors import UserError
from aqe.engine.memory.store import Store
from aqe.engine.privacy import audit, consent, redactor
from aqe.engine.privacy.network import hold_network, release_network
from aqe.engine.privacy.never_send import WITHHELD, NeverSend
from aqe.engine.privacy.redactor import Placeholders, Redacted, Span
from aqe.engine.privacy.structure import Taken
from aqe.engine.providers.configured import shown

if TYPE_CHECKING:
    from aqe.engine.providers.configured import Recipient
    from aqe.engine.providers.protocol import Message
    from aqe.engine.settings import Settings

Mode = Literal["strict", "balanced", "off"]
Content = Literal["full", "redacted", "references"]
NO_CONTENT = "[withheld: privacy.mcp_content = references]"
REFERENCES = frozenset(
    (
        "code",
        "commit",
        "embedder_id",
        "file",
        "files",
        "fix",
        "id",
        "job_id",
        "line",
        "mode",
        "model",
        "module",
        "name",
        "namespace",
        "namespaces",
        "next_offset",
        "nodeid",
        "outcome",
        "path",
        "project",
        "provider",
        "report",
        "request_id",
        "rule",
        "session_id",
        "severity",
        "state",
        "subject",
        "target",
        "tier",
        "verdict",
    )
)
"""Keys of an answer whose texts say where something is or how it went, and hold no content."""


@dataclass(frozen=True)
class ClientView:
    """What an MCP client is given: the value in the form that is allowed, and what was taken out by class."""

    value: Any
    spans: Mapping[str, int]


class Guard:
    """Made by `open_guard`; close it, since strict mode holds the whole process's network while it is open."""

    def __init__(
        self,
        project: Path,
        *,
        mode: Mode,
        content: Content,
        never_send: Sequence[str],
        store: Store | Callable[[], Store],
    ) -> None:
        self.project = project
        self.mode: Mode = mode
        self.content: Content = content
        self._never_send = NeverSend(project, never_send)
        self._given = store
        self._holding = mode == "strict"
        if self._holding:
            hold_network()

    def close(self) -> None:
        """Let go of the network; the store stays open. Closing twice is nothing."""
        if self._holding:
            self._holding = False
            release_network()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def scan(self, text: str, path: str | None = None) -> tuple[Span, ...]:
        """The secrets and personal data in `text`, a text of the file `path`."""
        return redactor.scan(text, path)

    def redact(self, text: str, path: str | None = None, *, placeholders: Placeholders | None = None) -> Redacted:
        """`text` with placeholders; of a file that `never_send` covers nothing stays."""
        if text and self.withholds(path):
            return Redacted(WITHHELD, (Span(0, len(text), "never-send"),))
        return redactor.redact(text, path, placeholders=placeholders)

    def withholds(self, path: str | os.PathLike[str] | None) -> bool:
        """Whether the text of a file may not leave at all; the path may end with :LINE."""
        return self._never_send.covers(path)

    def covered_files(self) -> list[str]:
        """The project's files that `never_send` covers now, relative to it."""
        return self._never_send.files()

    def quotes_covered(self, text: str) -> bool:
        """Whether a text quotes a file that `never_send` covers."""
        return self._never_send.source_of([text]) is not None

    def may_leave(self, provider_is_local: bool) -> bool:
        """Whether a provider may be used: one on this machine always, one elsewhere unless the mode is strict."""
        return provider_is_local or self.mode != "strict"

    def may_reach(self, to: Recipient) -> bool:
        """Whether a provider elsewhere may be asked for what needs no text of the project, and so be shown its key."""
        return self.mode != "strict" and self._unconsented(to, None) is None

    def outgoing(
        self, messages: tuple[Message, ...], *, to: Recipient, purpose: str, paths: Sequence[str] = ()
    ) -> tuple[Message, ...]:
        """What is sent to a provider elsewhere in place of `messages`, written to the audit log before it is returned.

        `paths` are the files that the messages quote. Raises `UserError` (strict-mode, never-send, no-consent), each
        of them logged too.
        """
        refusal = self._refusal(messages, to, purpose, paths)
        if refusal is not None:
            with contextlib.suppress(UserError):
                audit.append(self._store, "refused", recipient=to.label, purpose=purpose, mode=self.mode)
            raise refusal
        sent, spans = messages, Counter[str]()
        if self.mode == "balanced":
            sent, spans = _redacted_messages(messages)
        audit.append(
            self._store,
            "sent",
            recipient=to.label,
            purpose=purpose,
            mode=self.mode,
            payload=payload_of(sent),
            spans=spans,
        )
        return sent

    def for_client(self, value: Any, *, paths: Sequence[str] = ()) -> Any:
        """`client_view(value).value`."""
        return self.client_view(value, paths=paths).value

    def client_view(
        self, value: Any, *, paths: Sequence[str] = (), placeholders: Placeholders | None = None
    ) -> ClientView:
        """A text, or an object of texts, lists and objects, as an MCP client may have it.

        `paths` are the files that all of it comes from; an object that names its own in `file` or `path` is judged by
        that. The parts of one answer share their `placeholders`.
        """
        view = _View(self, value, Placeholders() if placeholders is None else placeholders)
        return ClientView(view.of(value, withheld=any(map(self.withholds, paths))), dict(sorted(view.spans.items())))

    def log_answer(self, client: str, tool: str, payload: str, spans: Mapping[str, int]) -> None:
        """Write to the audit log that an MCP client was given `payload`."""
        mode = f"{self.mode}/{self.content}"
        audit.append(self._store, "answered", recipient=client, purpose=tool, mode=mode, payload=payload, spans=spans)

    @property
    def _store(self) -> Store:
        return self._given if isinstance(self._given, Store) else self._given()

    def _refusal(
        self, messages: tuple[Message, ...], to: Recipient, purpose: str, paths: Sequence[str]
    ) -> UserError | None:
        if self.mode == "strict":
            return UserError(
                f"{to.label} is not on this machine, and the privacy mode is strict.",
                code="strict-mode",
                fix="Use a model on this machine, or set privacy.mode to balanced.",
            )
        covered = next((path for path in paths if self.withholds(path)), None)
        covered = covered or self._never_send.source_of(message.content for message in messages)
        if covered is not None:
            return UserError(
                f"The request holds text of {covered}, which privacy.never_send covers.",
                code="never-send",
                fix="Leave it out, ask a model on this machine, or change the setting.",
            )
        return self._unconsented(to, purpose)

    def _unconsented(self, to: Recipient, purpose: str | None) -> UserError | None:
        """The error where a consent is missing. Mode off asks for none where there is no key to be shown."""
        is_off = self.mode == "off"
        if is_off and not to.key_env:
            return None
        why = consent.missing(self._store, to, None if is_off else purpose)
        if not why:
            return None
        only = "" if purpose is None else f" --purpose {purpose}"
        name = to.name if to.name.isprintable() else shown(to.name)
        fix = f"To give it: aqe privacy consent grant {shlex.quote(name)}{only}"
        return UserError(why, code="no-consent", fix=fix)


def open_guard(project: Path, settings: Settings, store: Store | Callable[[], Store]) -> Guard:
    """The guard that a project's settings ask for, with its consents and audit log in `store`.

    A function in the store's place is asked when something is to be looked up or written.
    """
    table = settings.privacy
    content: Content = table.mcp_content if table.mcp_content != "auto" else default_content(table.mode)
    return Guard(project, mode=table.mode, content=content, never_send=table.never_send, store=store)


def default_content(mode: Mode) -> Content:
    """What an MCP client is given where the settings leave it open: all of it only where no mode protects anything."""
    return "full" if mode == "off" else "redacted"


def payload_of(messages: Sequence[Message]) -> str:
    """The one text over which the audit log counts bytes and SHA-256: the messages as JSON, role and content."""
    turns = [{"role": message.role, "content": message.content} for message in messages]
    return json.dumps(turns, ensure_ascii=False, separators=(",", ":"))


def _redacted_messages(messages: tuple[Message, ...]) -> tuple[tuple[Message, ...], Counter[str]]:
    spans, kept = Counter[str](), []
    for message, done in zip(messages, redactor.redact_all(message.content for message in messages), strict=True):
        spans.update(done.counts)
        kept.append(replace(message, content=done.text))
    return tuple(kept), spans


class _View:
    """Walks one answer with one set of placeholders."""

    def __init__(self, guard: Guard, value: Any, names: Placeholders) -> None:
        self.spans: Counter[str] = Counter()
        self._guard = guard
        self._taken = Taken(value, names) if guard.content != "full" else None

    def of(self, value: Any, *, key: str = "", withheld: bool = False) -> Any:
        if isinstance(value, str):
            return self._text(value, key, withheld)
        if isinstance(value, Mapping):
            withheld = withheld or any(
                isinstance(value.get(name), str) and self._guard.withholds(value[name]) for name in ("file", "path")
            )
            return {self._name(name): self.of(below, key=str(name), withheld=withheld) for name, below in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.of(below, key=key, withheld=withheld) for below in value]
        return value if self._taken is None else self._counted(self._taken.number(value, key), value)

    def _name(self, name: Any) -> Any:
        return name if self._taken is None or not isinstance(name, str) else self._counted(self._taken.text(name), name)

    def _counted(self, done: Redacted | None, value: Any) -> Any:
        if done is None:
            return value
        self.spans.update(done.counts)
        return done.text

    def _text(self, text: str, key: str, withheld: bool) -> str:
        is_reference = key in REFERENCES
        if withheld and not is_reference and text:
            self.spans["never-send"] += 1
            return WITHHELD
        if self._guard.content == "full":
            return text
        if self._guard.content == "references" and not is_reference and text:
            return NO_CONTENT
        return str(self._counted(None if self._taken is None else self._taken.text(text), text))
