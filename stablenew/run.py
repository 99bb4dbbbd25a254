"""`python -m stablenew.run` and `stablenew`: signals, logging set-up, and what an error looks like.

With `--json` the last line is the envelope, whatever happens short of a kill.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TextIO

from stablenew.cli.arguments import run_parser
from stablenew.cli.exit_codes import ExitCode
from stablenew.cli.printing import printable, say, say_all, take_any_text
from stablenew.cli.stops import Stopped, Stops

if TYPE_CHECKING:
    import argparse

    from stablenew.cli.commands import Work
    from stablenew.cli.json_lines import JsonLines


_LOG_FORMAT = "%(levelname)s %(name)s: %(message)s"


class _OneLine(logging.Formatter):
    """Leaves the traceback out."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(f"{record.levelname.lower()}: {record.getMessage()}")


class _Whole(logging.Formatter):
    """Keeps the lines of a traceback and of nothing else."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # its name there
        return printable(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(printable, super().format(record).split("\n")))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Without arguments it is the program that ends with this: signals are ignored from then on.
    """
    stops, stderr = Stops(), sys.stderr
    _open_closed_streams()
    try:
        return _program(sys.argv[1:] if arguments is None else list(arguments), stops)
    finally:
        if arguments is not None:
            stops.restore()
            sys.stderr = stderr


def _program(words: Sequence[str], stops: Stops) -> int:
    if not words:
        run_parser().print_help()
        return 0
    stops.arm()
    try:
        lines = _json_lines(words)
    except Stopped as stopped:
        stops.disarm()
        lines = _json_lines(words)
        code = 128 + stopped.number
    else:
        code = _main(words, stops, lines)
    if lines is None:
        return code
    stops.disarm()
    return lines.finish(code)


def _main(words: Sequence[str], stops: Stops, lines: JsonLines | None) -> int:
    """Run the command line; every end of it is an exit code, but those that print help."""
    errors = None if lines is None else lines.envelope.errors
    parser = run_parser()

    def work() -> int:
        flags = parser.parse_args(words)
        stops.stdin = flags.cancel_on_stdin_close
        _set_up_logging(verbose=flags.verbose)
        return _run(flags, stops, lines, errors)

    try:
        return _guarded(work, errors, verbose="-v" in words or "--verbose" in words)
    except SystemExit as stop:
        if errors is None or not stop.code:
            raise
        errors.append(parser.problem)
        return ExitCode.WRONG_INPUT
    except Exception as error:
        if lines is not None:  # a bug of ours: the contract holds all the same
            lines.envelope.errors.append(f"{type(error).__name__}: {error}")
            stops.disarm()
            lines.finish(ExitCode.FAILED)
        raise


def command(arguments: Sequence[str] | None = None) -> int:
    """Run `stablenew COMMAND …` and return its exit code."""
    _open_closed_streams()
    from stablenew._names import suggestion
    from stablenew.cli.commands import COMMANDS, read_command, usage

    words = sys.argv[1:] if arguments is None else list(arguments)
    if not words or words[0] in ("-h", "--help"):
        say_all(usage().splitlines())
        return 0
    name, *rest = words
    if name == "run":
        return main(rest) if arguments is not None else _program(rest, Stops())
    if name not in COMMANDS:
        say(f"stablenew: given {name!r}, {suggestion(name, COMMANDS)}", err=True)
        return 2
    verbose = "-v" in rest or "--verbose" in rest
    _set_up_logging(verbose=verbose)
    work = read_command(name, rest)
    return _guarded(lambda: _told(lambda: _awaited(work()), None, verbose=verbose), verbose=verbose)


def _awaited(work: Work) -> int:
    """Return a command's exit code, which may have to be awaited."""
    if isinstance(work, int):
        return work
    import anyio

    async def wait() -> int:
        return await work

    return anyio.run(wait)


def _json_lines(words: Sequence[str]) -> JsonLines | None:
    """Return where the lines of JSON go; None if the words ask for none."""
    if not any(word.startswith(("--json", "--events-from")) for word in words):
        return None
    from stablenew.cli.json_lines import JsonLines

    return JsonLines()


def _guarded(work: Callable[[], int], errors: list[str] | None = None, *, verbose: bool) -> int:
    """Return what some work returns; an interrupt or a disk's error is an exit code too.

    With `errors`, stdout stays as it is: their envelope is still to be printed.
    """
    try:
        return work()
    except Stopped as stopped:
        return 128 + stopped.number
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            if verbose:
                logging.getLogger(__name__).exception("stopped")
            where = f"{error.filename}: " if error.filename else ""
            _say(f"{where}{error.strerror or error}", errors)
        if errors is None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _say(line: str, errors: list[str] | None) -> None:
    say(f"stablenew: {line}", err=True)
    if errors is not None:
        errors.append(line)


def _open_closed_streams() -> None:
    """Give a stream that whoever started us has closed somewhere to write to."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115  # for good
    take_any_text()
    if not isinstance(sys.stderr, _Stderr):
        sys.stderr = _Stderr(sys.stderr)


class _Stderr:
    """Our stderr, where nobody reading it any more is no reason to stop."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def _set_up_logging(*, verbose: bool) -> None:
    """Log to stderr: errors as lines of their own, everything with tracebacks if `verbose`."""
    handler = logging.StreamHandler()
    handler.setFormatter((_Whole if verbose else _OneLine)(_LOG_FORMAT))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.ERROR, handlers=[handler])


def _run(
    flags: argparse.Namespace, stops: Stops, lines: JsonLines | None, errors: list[str] | None
) -> int:
    """Run what the flags ask for."""

    def work() -> int:
        import anyio

        if lines is not None and flags.events_from is not None:
            from stablenew.cli.replay import read_replay, replay

            return replay(read_replay(vars(flags)), lines)
        from stablenew.cli.job import read_job
        from stablenew.cli.run_command import dry_run, run_job, say_finished

        job = read_job(vars(flags), os.environ)
        if job.resumed is not None and job.resumed.progress.complete and not flags.dry_run:
            return say_finished(job.settings.out / job.resumed.plan_id, lines)
        if flags.dry_run:
            return anyio.run(dry_run, job, lines)
        run = partial(run_job, job, stops.watch, lines=lines, quiet=flags.quiet)
        code = anyio.run(run)
        return code if stops.received is None else 128 + stops.received

    return _told(work, errors, verbose=flags.verbose)


def _told(work: Callable[[], int], errors: list[str] | None, *, verbose: bool) -> int:
    """Return what some work returns; every error of ours is a line or two and an exit code."""
    from stablenew.errors import BackendUnavailableError, ConfigError, StableNewError

    try:
        return work()
    except StableNewError as error:
        if verbose:
            logging.getLogger(__name__).exception("stopped")
        for line in str(error).split("\n"):
            _say(line, errors)
        if isinstance(error, ConfigError):
            return ExitCode.WRONG_INPUT
        unreachable = isinstance(error, BackendUnavailableError)
        return ExitCode.UNREACHABLE if unreachable else ExitCode.FAILED


if __name__ == "__main__":
    sys.exit(main())
