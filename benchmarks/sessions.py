"""What a follow-up costs beside a new query: `python benchmarks/sessions.py [--rounds N] [--json]`.

Two corpora, indexed anew: aqe's own docs and engine, and the small project fixtures/shop. Each conversation has one
opening question and three follow-ups. "follow-up" is a follow-up in its session; "the same alone" is the same question
without a session (with the one before it in front where it leans on that), in shuffled order, in a process of its own
that was asked the openings too; "opening" is the first question of a session. Both processes are asked a few other
questions first, until what is read once in the background is read, and then in turns, one question each, so that what
else the machine does befalls both alike. `from the session` counts the follow-ups that needed
no search, and `same first quote` those whose answer begins with the quote that the question alone gets. Times are
milliseconds of processor time for the whole of `Engine.query`, so that a busy machine tells the same; the parts of an
answer are wall-clock times.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import multiprocessing
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from multiprocessing.connection import Connection
from operator import itemgetter
from pathlib import Path
from typing import Any

import anyio

from aqe.engine import Answer, Engine
from aqe.engine.sessions.followup import leans_on_what_was_said, standalone
from aqe.engine.settings import Settings

Timed = tuple[float, Answer]
"""Milliseconds, and the answer."""

Step = tuple[int | None, Timed]
"""The number of a follow-up, None for an opening, and how it was answered."""

Talks = tuple[tuple[str, ...], ...]
"""Conversations: each a question and its follow-ups."""

ROOT = Path(__file__).resolve().parent.parent
TALKS: Talks = (
    (
        "How is a memory searched by words and vector together?",
        "Which share has the vector in the score?",
        "How are the rows of equal score ordered?",
        "What happens to a query that has neither text nor vector?",
    ),
    (
        "How are migrations of the database applied?",
        "What happens when two processes open an earlier database?",
        "Is a backup taken before a migration?",
        "What is said of a database made by a newer aqe?",
    ),
    (
        "How does the plugin write test outcomes to the spool?",
        "How are spool files claimed?",
        "How long does a claimed spool file stay?",
        "What happens to half a line in the spool?",
    ),
    (
        "How does the circuit breaker decide to open?",
        "How long does the breaker stay open?",
        "What is a half-open breaker?",
        "Which calls count as slow for the breaker?",
    ),
    (
        "What does strict privacy mode allow to leave?",
        "What does balanced privacy mode send?",
        "Which files are never sent to a model elsewhere?",
        "What is written to the audit log?",
    ),
    (
        "How are long sessions summarised?",
        "Which sentences does the summary keep?",
        "What is the token budget of a session?",
        "Are summarised turns kept?",
    ),
    (
        "How does aqe generate judge a test?",
        "How many shuffled runs must a test pass?",
        "What are suspected bugs?",
        "What is a characterisation test?",
    ),
    (
        "Which settings limit the sandbox?",
        "How much memory does a box of the sandbox get?",
        "How many processes may a sandbox box have?",
        "What does allow_weak do in the sandbox?",
    ),
    (
        "How is the project's folder found?",
        "Which markers make a folder the project?",
        "What does the variable AQE_PROJECT do?",
        "Where is the store of a git worktree?",
    ),
    (
        "How are files written atomically?",
        "What does the marker on a file that aqe wrote hold?",
        "What happens to a file whose marker is missing?",
        "How is a target locked for two runs?",
    ),
    (
        "What does the job table keep?",
        "When is a job whose owner died failed?",
        "What happens to the same arguments while a job runs?",
        "How many ended jobs are kept?",
    ),
    (
        "How does feedback move retrieval?",
        "What is the success prior of a memory?",
        "How do marks lose weight with time?",
        "What does a correction become?",
    ),
)
SHOP_TALKS: Talks = (
    (
        "Which percentage does the bulk discount give?",
        "And from 100 pieces on?",
        "What does a percentage above 100 raise?",
        "Is it before the tax?",
    ),
    (
        "What does shipping cost?",
        "And express?",
        "What is the most that it costs?",
        "Which weight is in the first price?",
    ),
    (
        "What happens when the catalogue answers 429?",
        "How often is it tried again?",
        "How long is the wait without a Retry-After header?",
        "And when it is 404?",
    ),
    (
        "How is a reservation of stock made?",
        "What does a shipment take?",
        "Can it be released?",
        "When are whole packs ordered?",
    ),
    (
        "Which coupons are there?",
        "What does SAVE25 do below 100.00?",
        "And an unknown code?",
        "Does it go below zero?",
    ),
    (
        "What does an article number look like?",
        "How many digits does it have?",
        "And the variant?",
        "Which letters are the family?",
    ),
)
WARMING = (
    "Which licence does the project have?",
    "Who may read the notes on releases?",
    "Where are colours of the terminal chosen?",
    "Which year was the first release?",
)


def main() -> int:
    """Measure and print; exit 1 when a follow-up costs more than half of the same question alone."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is asked, each in a new session")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = {
        "docs and engine": measure(options.rounds, corpus, TALKS),
        "fixtures/shop": measure(options.rounds, shop, SHOP_TALKS),
    }
    if options.json:
        print(json.dumps(figures))
    else:
        print(f"{'':<38}" + "".join(f"{name:>18}" for name in figures))
        for row in zip(*[one.items() for one in figures.values()], strict=True):
            print(f"{row[0][0]:<38}" + "".join(f"{figure:>18.3f}" for _, figure in row))
    return int(any(one["follow-up / the same alone"] > 0.5 for one in figures.values()))


def measure(rounds: int, make: Callable[[Path], Path], talks: Talks) -> dict[str, float]:
    """All figures of one project, in the order of the table."""
    openings: list[float] = []
    followed: list[Timed] = []
    alone: list[Timed] = []
    with tempfile.TemporaryDirectory() as folder:
        project = make(Path(folder) / "project")
        passages = in_a_process(index, project)
        for number in range(rounds):
            talked, asked = in_turns(
                partial(talk_on, project, talks, number), partial(ask_alone, project, talks, number)
            )
            openings += [took for at, (took, _) in talked if at is None]
            followed += [timed for at, timed in talked if at is not None]
            alone += [
                timed for _, timed in sorted([(at, timed) for at, timed in asked if at is not None], key=itemgetter(0))
            ]
    same = [first_quote(one) == first_quote(other) for (_, one), (_, other) in zip(followed, alone, strict=True)]
    follow_ms, alone_ms = [took for took, _ in followed], [took for took, _ in alone]
    return {
        "passages": passages,
        "questions": len(alone),
        "opening p50 ms": statistics.median(openings),
        "the same alone p50 ms": statistics.median(alone_ms),
        "the same alone p95 ms": statistics.quantiles(alone_ms, n=20)[-1],
        "follow-up p50 ms": statistics.median(follow_ms),
        "follow-up p95 ms": statistics.quantiles(follow_ms, n=20)[-1],
        "follow-up / the same alone": statistics.median(follow_ms) / statistics.median(alone_ms),
        "follow-up / opening": statistics.median(follow_ms) / statistics.median(openings),
        "from the session": sum(answer.reused for _, answer in followed) / len(followed),
        "same first quote": sum(same) / len(same),
        "follow-up from the session p50 ms": middle([took for took, answer in followed if answer.reused]),
        "follow-up searched anew p50 ms": middle([took for took, answer in followed if not answer.reused]),
        "answered, follow-ups": statistics.fmean(answer.answered for _, answer in followed),
        "answered, alone": statistics.fmean(answer.answered for _, answer in alone),
        "same first quote, from the session": statistics.fmean(
            one for one, (_, answer) in zip(same, followed, strict=True) if answer.reused
        ),
        "follow-up embed p50 ms": statistics.median(answer.timings.embed for _, answer in followed),
        "follow-up retrieve p50 ms": statistics.median(answer.timings.retrieve for _, answer in followed),
        "follow-up answer p50 ms": statistics.median(answer.timings.answer for _, answer in followed),
        "alone embed p50 ms": statistics.median(answer.timings.embed for _, answer in alone),
        "alone retrieve p50 ms": statistics.median(answer.timings.retrieve for _, answer in alone),
        "alone answer p50 ms": statistics.median(answer.timings.answer for _, answer in alone),
    }


def middle(times: list[float]) -> float:
    """The median, NaN of none."""
    return statistics.median(times) if times else math.nan


def in_a_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """Do it in a process of its own, so that no cache of one part warms another."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        return executor.submit(work, *arguments).result()


def in_turns(*works: Callable[[], AsyncIterator[Step]]) -> list[list[Step]]:
    """What each yields in a process of its own, when in turns each is let do its next step; they have as many."""
    context = multiprocessing.get_context("spawn")
    found: list[list[Step]] = [[] for _ in works]
    with ExitStack() as stack:
        pipes: list[Connection] = []
        for work in works:
            here, there = context.Pipe()
            process = context.Process(target=in_steps, args=(there, work), daemon=True)
            process.start()
            there.close()
            stack.callback(process.join)
            pipes.append(stack.enter_context(here))
        while True:
            for pipe, steps in zip(pipes, found, strict=True):
                pipe.send(None)
                steps.append(pipe.recv())
            if all(steps[-1] is None for steps in found):
                return [[step for step in steps if step is not None] for steps in found]


def in_steps(pipe: Connection, work: Callable[[], AsyncIterator[Step]]) -> None:
    """Send what `work` yields, each item when it is asked for, and None at the end."""

    async def steps() -> None:
        made = work()
        step: Step | None = None
        while True:
            pipe.recv()
            step = await anext(made, None)
            pipe.send(step)
            if step is None:
                return

    anyio.run(steps)


def index(project: Path) -> int:
    """Index the corpus; the number of its passages."""

    async def work() -> int:
        async with await open_engine(project) as engine:
            return (await engine.index()).passages

    return anyio.run(work)


async def talk_on(project: Path, talks: Talks, number: int) -> AsyncIterator[Step]:
    """Hold every conversation: each opening, without a number, and the numbered follow-ups."""
    async with await open_engine(project) as engine:
        await warm(engine)
        numbers = itertools.count()
        for talk in talks:
            opening = await ask(engine, talk[0], f"{talk[0][:40]} {number}")
            yield None, opening
            for question in talk[1:]:
                yield next(numbers), await ask(engine, question, opening[1].session)


async def ask_alone(project: Path, talks: Talks, number: int) -> AsyncIterator[Step]:
    """Ask all openings without a session, and then the follow-ups in another order, with their numbers."""
    async with await open_engine(project) as engine:
        await warm(engine)
        for talk in talks:
            yield None, await ask(engine, talk[0], None)
        questions = [*enumerate([question for talk in talks for question in as_read(talk)])]
        for at, question in random.Random(number).sample(questions, len(questions)):
            yield at, await ask(engine, question, None)


def as_read(talk: tuple[str, ...]) -> list[str]:
    """The follow-ups of a conversation as its session reads them."""
    said, read = talk[0], []
    for question in talk[1:]:
        read.append(standalone(question, said))
        if not leans_on_what_was_said(question):
            said = question
    return read


async def warm(engine: Engine) -> None:
    """Ask a few questions and wait, a minute at most, until nothing is read in the background any more."""
    for question in WARMING:
        await engine.query(question)
    for _ in range(120):
        before = time.process_time()
        await anyio.sleep(0.5)
        if time.process_time() - before < 0.02:
            return


def shop(target: Path) -> Path:
    """The small project of the fixtures."""
    skip = shutil.ignore_patterns("__pycache__", ".aqe", ".pytest_cache")
    return Path(shutil.copytree(ROOT / "fixtures" / "shop", target, ignore=skip))


def corpus(target: Path) -> Path:
    """aqe's own docs and engine as a project of their own."""
    skip = shutil.ignore_patterns("__pycache__", "*.aqet", "*.gz", "schemas", "screenshots", "build", ".aqe")
    for part in ("docs", "engine", "agents", "server"):
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, target / part, ignore=skip)
    (target / "pyproject.toml").write_text('[project]\nname = "corpus"\nversion = "1"\n', encoding="utf-8")
    return target


async def open_engine(project: Path) -> Engine:
    """An engine with the built-in embedder, without models and the settings of this machine."""
    return await Engine.open(project, settings=Settings(), providers=())


async def ask(engine: Engine, question: str, session: str | None) -> Timed:
    """How long an answer took, in milliseconds, and the answer."""
    start = time.process_time()
    answer = await engine.query(question, session=session)
    return 1000 * (time.process_time() - start), answer


def first_quote(answer: Answer) -> tuple[str | None, int | None]:
    """Where the answer's first quote stands, nothing where there is none."""
    return (answer.citations[0].file, answer.citations[0].line) if answer.citations else (None, None)


if __name__ == "__main__":
    sys.exit(main())
