"""The frame around every verb: finds it, runs it, and words whatever goes wrong in one sentence.

Only the verb that is used is imported, and typer with it, so that `aqe --help` costs little more than a bare Python.
"""

from __future__ import annotations

import atexit
import codecs
import contextlib
import errno
import os
import signal
import sys

from aqe.engine.errors import AqeError, Cancelled, InternalError, UserError
from aqe.server.cli.usage import meant, nearest, usage_error
from aqe.server.cli.verbs import VERBS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType
    from typing import Any

USAGE = "Usage: aqe COMMAND [OPTIONS] [ARGS]..."
ABOUT = "The quality engineer beside a Python project: tests that were executed, with the evidence."
OPTIONS = (
    ("--project DIR", "The project's folder (else AQE_PROJECT, else found upwards from here)."),
    ("--show-completion SHELL", "Print the lines that switch completion on in bash, zsh or fish."),
    ("--debug", "Show the traceback of an error; may stand before or after the command."),
    ("--version", "Show the version and leave."),
    ("--help", "Show this page, or a command's own after its name; so does `aqe help`."),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the `aqe` command on `argv` (default: the process's) and return its exit status."""
    if argv is None:
        atexit.register(_end_as_told)
        _take_interrupts(_break_off)
    words, debug = _without_debug(list(sys.argv[1:] if argv is None else argv))
    _with_all_streams()
    _never_fail_on_a_character(_prints_json(words))
    report = _Failures(debug, _wants_json(words))
    status = _outcome(words, report, debug)
    with contextlib.suppress(KeyboardInterrupt):  # what was asked for is done, or its failure told
        _flush_or_let_go()
    if argv is None:
        _take_interrupts(lambda number, frame: os._exit(status))
    return status


def _take_interrupts(handler: Callable[[int, FrameType | None], None]) -> None:
    """Have Ctrl-C call `handler`, unless whoever started this process, or a server in it, wants something else."""
    if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, _break_off):
        signal.signal(signal.SIGINT, handler)


def _break_off(number: int, frame: FrameType | None) -> None:
    """The first Ctrl-C ends the work in good order, as Python's own handler does; the second one ends the process,
    whatever it still waits for."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if "rich.progress" in sys.modules:
        from aqe.server.cli.interrupts import show_cursor

        show_cursor()
    raise KeyboardInterrupt


def _end_as_told() -> None:
    """A Ctrl-C while the interpreter puts its things away changes no exit status any more: Python has let go of its
    handler there, so that the process would end by the signal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _outcome(words: list[str], report: _Failures, debug: bool) -> int:
    """The exit status of what was asked for, told where it failed."""
    try:
        status = _dispatch(words)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):
            if sys.stderr.isatty():
                print(file=sys.stderr)  # the terminal shows ^C where the cursor was
        return report.tell(Cancelled("Interrupted.", code="cancelled"))
    except AqeError as error:
        return report.tell(error)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            return report.tell(_no_space(error))
        return report.tell(_unexpected(error, debug))


def help_page() -> str:
    """The text of `aqe --help`."""
    width = max(len(name) for name in (*VERBS, *(option for option, _ in OPTIONS))) + 2
    lines = [USAGE, "", f"  {ABOUT}", "", "Commands:"]
    lines += [f"  {name:<{width}}{about}" for name, (_, about) in VERBS.items()]
    lines += ["", "Options:"]
    lines += [f"  {name:<{width}}{about}" for name, about in OPTIONS]
    return "\n".join(lines)


def load(verb: str, words: Sequence[str] = ()) -> Any:
    """The typer command (or group) of `verb`, which may leave out what the `words` behind it do not call."""
    from aqe.server.cli.loading import command_of

    return command_of(verb, words)


def _dispatch(words: list[str]) -> int:
    """Handle what stands before the verb, then run the verb on the rest."""
    project: list[str] = []
    while words and words[0].startswith("-"):
        option = words.pop(0)
        if option in ("--help", "-h"):
            print(help_page())
            return 0
        if option == "--version":
            from importlib.metadata import version

            print(f"aqe {version('aqe')}")
            return 0
        if option in ("--show-completion", "--complete"):
            return _complete(option, words)
        if option == "--project" or option.startswith("--project="):
            value = option.partition("=")[2] or (words.pop(0) if words else "")
            if not value:
                raise UserError("--project needs a folder.", code="usage", fix="Write `--project DIR`.")
            project = ["--project", value]
        else:
            fix = nearest(option, [name.split()[0] for name, _ in OPTIONS]) or "See `aqe --help`."
            if option == "--json":
                fix = "Put --json after the command."
            raise UserError(f"No such option {option!r} before the command.", code="usage", fix=fix)
    if not words:
        print(help_page())
        return 0
    verb = words.pop(0)
    if verb == "help":
        return _dispatch([*words, "--help"])
    if verb not in VERBS:
        fix = meant("aqe", verb, list(VERBS)) or "See `aqe --help`."
        raise UserError(f"No such command {verb!r}.", code="unknown-command", fix=fix)
    if project:
        end = words.index("--") if "--" in words else len(words)
        words[end:end] = project
    return _run(verb, words)


def _complete(option: str, words: list[str]) -> int:
    """Print the script that a shell sources, or what it asks for by it."""
    from aqe.server.cli.completion import candidates, script

    if option == "--show-completion":
        print(script(words[0] if words else ""), end="")
    else:
        print("\n".join(candidates(words, [name.split()[0] for name, _ in OPTIONS])))
    return 0


def _run(verb: str, words: list[str]) -> int:
    """Run one verb; typer's own exceptions become ours."""
    import typer

    command = load(verb, words)
    try:
        with command.make_context(f"aqe {verb}", words) as context:
            result = command.invoke(context)
    except typer.Exit as left:
        return left.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    except typer.TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message())
            return 0
        raise usage_error(error, verb, words, command) from error
    return result if isinstance(result, int) and not isinstance(result, bool) else 0


def _without_debug(words: list[str]) -> tuple[list[str], bool]:
    """Take `--debug` out of what stands before `--`."""
    end = words.index("--") if "--" in words else len(words)
    kept = [word for word in words[:end] if word != "--debug"]
    return kept + words[end:], len(kept) < end


def _with_all_streams() -> None:
    """A stream that was closed before aqe began is empty, and takes what nobody reads."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))


def _never_fail_on_a_character(json: bool) -> None:
    """A console that cannot show a character gets its backslash form.

    JSON is UTF-8, or else ASCII with the escapes that are JSON's own, so that any reader can decode it.
    """
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is None:
            continue
        reconfigure(errors="backslashreplace")
        if json and stream is sys.stdout and stream.encoding.lower().replace("-", "") != "utf8":
            codecs.register_error("json-escapes", _json_escapes)
            reconfigure(encoding="ascii", errors="json-escapes")


def _json_escapes(error: UnicodeError) -> tuple[str, int]:
    """What stands in JSON for characters that are not ASCII: one escape each, two beyond U+FFFF."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)), error.end


def _flush_or_let_go() -> None:
    """Where the reader left or the disk is full, what is still buffered goes nowhere, without a complaint at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


class _Failures:
    """Says what went wrong: the sentence on stderr and, for `--json`, one object on stdout."""

    def __init__(self, debug: bool, json: bool) -> None:
        self._debug = debug
        self._json = json

    def tell(self, error: AqeError) -> int:
        """Print `error` and return its exit status."""
        if self._debug:
            import traceback

            traceback.print_exc()
        if self._json:
            from aqe.engine.results import json_text

            said = {"code": error.code, "message": error.message, "fix": error.fix}
            with contextlib.suppress(OSError):  # stdout may be what failed
                print(json_text({"schema": "aqe.error/1", "error": said, "exit_status": error.exit_status}), flush=True)
        with contextlib.suppress(OSError):
            print(error, file=sys.stderr)
        return error.exit_status


def _wants_json(words: list[str]) -> bool:
    """Whether the user asked for one JSON object; with `--jsonl` each line has its own answer."""
    own = _own(words)
    return "--json" in own and "--jsonl" not in own


def _prints_json(words: list[str]) -> bool:
    """Whether stdout is for JSON and nothing else."""
    return not {"--json", "--jsonl"}.isdisjoint(_own(words))


def _own(words: list[str]) -> list[str]:
    """What stands before `--`."""
    return words[: words.index("--")] if "--" in words else words


_FULL = (errno.ENOSPC, errno.EDQUOT)


def _no_space(error: OSError) -> UserError:
    where = f"to write {str(error.filename)!r:.200}" if error.filename else "where the output goes"
    return UserError(f"There is no space left {where}.", code="disk-full", fix="Free some space and try again.")


def _unexpected(error: Exception, debug: bool) -> AqeError:
    from aqe.engine.mistakes import mistake_of

    if (mistake := mistake_of(error)) is not None:
        return mistake
    what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    fix = "" if debug else "Run it again with --debug for the traceback, and report it."
    return InternalError(f"aqe itself failed with {what}.", code="internal", fix=fix)
