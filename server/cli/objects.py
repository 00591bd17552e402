"""The JSON objects of commands that have no report of their own: the models behind their schemas in docs/schemas."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from aqe.agents.gate.diagnosis import InterpreterDiagnosis, SandboxDiagnosis
from aqe.agents.review.decisions import Decision
from aqe.engine.answer import Answer
from aqe.engine.knowledge.shelf import Shelved
from aqe.server.cli.doctor_models import Checked


@dataclass(frozen=True)
class ErrorShown:
    """What went wrong: a code of docs/messages.md, one sentence, and what to do next."""

    code: str
    message: str
    fix: str


@dataclass(frozen=True)
class Failure:
    """What a command prints for `--json` when it cannot do its work."""

    error: ErrorShown
    exit_status: int


@dataclass(frozen=True)
class SettingShown:
    """One setting of `aqe config`; `ignored` says what of the project's file has no effect and why, or is ""."""

    key: str
    value: Any
    origin: str
    description: str
    ignored: str


@dataclass(frozen=True)
class ConfigShown:
    """What `aqe config --json` prints."""

    settings: list[SettingShown]
    user_file: str


@dataclass(frozen=True)
class ProvenanceShown:
    """Where a memory comes from; "" or 0 is unknown."""

    file: str
    line: int
    commit: str
    run: str
    worktree: str


@dataclass(frozen=True)
class MemoryShown:
    """One memory; times are RFC 3339 in UTC, `valid_to` is null while it is the current revision, `expires_at` where it
    has no end. `stale` says that its file changed since, `end_note` why it ended where that was no wish of a user."""

    id: str
    namespace: str
    revision: int
    text: str
    metadata: dict[str, Any]
    created_at: str
    valid_from: str
    valid_to: str | None
    embedder_id: str | None
    dimension: int | None
    provenance: ProvenanceShown
    expires_at: str | None
    pinned: bool
    stale: bool
    end_note: str


@dataclass(frozen=True)
class HitExplained:
    """What a score by words and meaning is made of: vector_share * vector_standard + (1 - vector_share) * text_standard
    + prior, placed between the worst (0) and the best (1) candidate, is the `similarity`: the score, unless memory.rank
    or a changed file makes another of it. Ranks by one side alone are null where it had none. `graph_added` is what the
    edges between memories added in a search for tests, which makes another score of it."""

    text_standard: float
    vector_standard: float
    vector_share: float
    text_rank: int | None
    vector_rank: int | None
    reciprocal_score: float
    reciprocal_rank: int
    candidates: int
    similarity: float
    graph_added: float


@dataclass(frozen=True)
class HitShown(MemoryShown):
    """A memory that a search found, with its scores, which compare the hits of one answer (`score` is 1 for the best of
    them however little it says); how many of the query's telling words it holds, and the cosine (`vector_score`), mean
    the same in every answer. `explained` with --explain, where both sides took part."""

    score: float
    text_score: float | None
    vector_score: float | None
    prior: float
    words_held: int
    words_asked: int
    explained: HitExplained | None


@dataclass(frozen=True)
class AbsentShown:
    """A namespace that no memory is in, those that there are, nearest by name first, and both in a sentence."""

    namespace: str
    nearest: list[str]
    told: str


@dataclass(frozen=True)
class MemoryFound:
    """What `aqe memory search --json` prints; `other_spaces` are embedders that callers named for vectors of theirs,
    whose memories are found by their words alone; `absent` where no memory is in the namespace; `note` what the search
    had to do without, and what to do about it ("": nothing)."""

    mode: Literal["text", "vector", "hybrid"]
    hits: list[HitShown]
    note: str
    other_spaces: list[str]
    absent: AbsentShown | None = None


@dataclass(frozen=True)
class BegunShown:
    """A session that began with this question: its name, those of others near it, the one that it may be mistaken for
    (null: none), and a sentence."""

    session: str
    nearest: list[str]
    mistaken_for: str | None
    told: str


@dataclass(frozen=True)
class QueryShown(Answer):
    """What `aqe query --json` prints: the answer; `absent` where no memory is in the namespace that was asked, `begun`
    where no session had the name before."""

    absent: AbsentShown | None = None
    begun: BegunShown | None = None


@dataclass(frozen=True)
class VectorShown:
    """What `aqe embed --json` prints; the vector has 5 digits and length 1 (zeros: the text says nothing)."""

    embedder_id: str
    dimension: int
    vector: list[float]


@dataclass(frozen=True)
class SimilarityShown:
    """What `aqe similarity --json` prints; `similarity` from 0 to 1."""

    similarity: float
    embedder_id: str


@dataclass(frozen=True)
class MemoryKept:
    """What `aqe memory add --json` prints; `existed` where the same had been kept before, with what it took over in
    `joined` (metadata, vector, provenance, expires_at), `recalled` where the text only repeats a memory that was just
    recalled (then id and namespace are that one's); `expires_at` where it has an end, `kept_end` where another was
    asked for and it keeps its own, later one, or has none and keeps none; `warning` where the project has no such
    file."""

    id: str
    namespace: str
    existed: bool
    recalled: bool = False
    joined: list[str] = field(default_factory=list)
    expires_at: str | None = None
    kept_end: bool = False
    warning: str | None = None


@dataclass(frozen=True)
class MemoryUpdated:
    """What `aqe memory update --json` prints; `expires_at` is null where it has no end."""

    id: str
    namespace: str
    revision: int
    expires_at: str | None


@dataclass(frozen=True)
class MemoryDeleted:
    """What `aqe memory delete --json` prints."""

    id: str
    namespace: str
    erased: bool


@dataclass(frozen=True)
class MemoryListed:
    """What `aqe memory list --json` prints; `more` where the limit left some out, `absent` where no memory is in the
    namespace."""

    memories: list[MemoryShown]
    more: bool
    absent: AbsentShown | None = None


@dataclass(frozen=True)
class MemoryHistory:
    """What `aqe memory get --history --json` prints."""

    revisions: list[MemoryShown]


@dataclass(frozen=True)
class KnowledgeListed:
    """What `aqe knowledge list` and `show` print with --json; an id may be on the shelf in several namespaces."""

    entries: list[Shelved]


@dataclass(frozen=True)
class KnowledgeAdded:
    """What `aqe knowledge add --json` prints: the ids."""

    added: list[str]


@dataclass(frozen=True)
class KnowledgeRemoved:
    """What `aqe knowledge remove --json` prints: the ids."""

    removed: list[str]


@dataclass(frozen=True)
class InstallationShown:
    """Which aqe runs, on which Python."""

    version: str
    python: str
    executable: str


@dataclass(frozen=True)
class KernelsShown:
    """The vector kernels: the path in use, those that run here, whether the C extension is installed."""

    active: str
    paths: list[str]
    native: bool


@dataclass(frozen=True)
class StoreShown:
    """The database file; `in_clear` lists each file of `.aqe` that is not encrypted although a key is set, and
    `read_by_others` tells whether the modes of file and folder let other users of the machine read it."""

    path: str
    state: str
    bytes: int
    in_clear: list[str]
    read_by_others: bool


@dataclass(frozen=True)
class DoctorShown:
    """What `aqe doctor --json` prints."""

    aqe: InstallationShown
    project: str
    settings_error: str
    sandbox: SandboxDiagnosis
    interpreter: InterpreterDiagnosis
    kernels: KernelsShown
    store: StoreShown
    models: list[Checked]
    embedder: Checked | None


@dataclass(frozen=True)
class AuditEntryShown:
    """One entry of the audit log; `spans` counts what was taken out by class, the hash is of what left."""

    number: int
    at: str
    event: str
    recipient: str
    purpose: str
    mode: str
    spans: dict[str, int]
    bytes: int
    payload_sha256: str
    previous: str
    hash: str


@dataclass(frozen=True)
class AuditShown:
    """What `aqe privacy audit --json` prints, oldest first."""

    entries: list[AuditEntryShown]


@dataclass(frozen=True)
class AuditVerified:
    """What `aqe privacy verify --json` prints; `head` is "" where nothing is logged, `problem` where all is well."""

    intact: bool
    entries: int
    head: str
    problem: str


@dataclass(frozen=True)
class ConsentShown:
    """One consent; the purpose `*` is every one, the variable "" that there is no key. One that does not count says
    why."""

    provider: str
    purpose: str
    granted_at: str
    address: str
    key_env: str
    counts: bool
    why: str


@dataclass(frozen=True)
class ConsentsShown:
    """What `aqe privacy consent list --json` prints."""

    consents: list[ConsentShown]


@dataclass(frozen=True)
class ConsentsRevoked:
    """What `aqe privacy consent revoke --json` prints."""

    provider: str
    revoked: int


@dataclass(frozen=True)
class SessionShown:
    """A conversation; times are RFC 3339 in UTC, `summarised` of its turns stand in `summary` too."""

    id: str
    name: str
    state: Literal["open", "ended", "expired"]
    turns: int
    tokens: int
    bytes: int
    token_budget: int
    created_at: str
    used_at: str
    expires_at: str | None
    metadata: dict[str, Any]
    summary: str
    summarised: int
    summary_method: str
    worktree: str
    commit: str


@dataclass(frozen=True)
class TurnShown:
    """One turn of a conversation; `request_id` names the answer that it is."""

    position: int
    role: Literal["system", "user", "assistant", "context"]
    text: str
    tokens: int
    created_at: str
    request_id: str | None


@dataclass(frozen=True)
class SessionsListed:
    """What `aqe sessions list --json` prints."""

    sessions: list[SessionShown]


@dataclass(frozen=True)
class SessionTurns:
    """What `aqe sessions show --json` prints."""

    session: SessionShown
    turns: list[TurnShown]


@dataclass(frozen=True)
class SessionChanged:
    """What `aqe sessions resume`, `end` and `import` print with --json."""

    session: SessionShown


@dataclass(frozen=True)
class DecisionsShown:
    """What `aqe review --accept ID` and `--dismiss ID` print with --json: the decisions, and the file they stand in."""

    decisions: list[Decision]
    file: str
