"""`python -m stablenew.run` and `stablenew`: signals, logging set-up, and what an error looks like.

The first Ctrl-C or SIGTERM cancels and keeps what is done; the second one ends at once.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from stablenew.cli.arguments import run_parser

if TYPE_CHECKING:
    import argparse

    from stablenew.cli.commands import Work


_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
_LOG_FORMAT = "%(levelname)s %(name)s: %(message)s"


class _OneLine(logging.Formatter):
    """Leaves the traceback out."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{record.levelname.lower()}: {record.getMessage()}"


class _Signals:
    """Turns the first signal into a cancel and lets the second one kill."""

    def __init__(self) -> None:
        self.received: int | None = None

    async def watch(self, cancel: Callable[[], None]) -> None:
        import anyio

        try:
            receiver = anyio.open_signal_receiver(*_SIGNALS)
        except NotImplementedError:  # Windows: Ctrl-C arrives as KeyboardInterrupt
            return
        with receiver as signals:
            async for number in signals:
                if self.received is not None:
                    signal.signal(number, signal.SIG_DFL)
                    os.kill(os.getpid(), number)
                self.received = number
                print("cancelling; once more to end at once", file=sys.stderr)
                cancel()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    _open_closed_streams()
    parser = run_parser()
    words = sys.argv[1:] if arguments is None else list(arguments)
    if not words:
        parser.print_help()
        return 0
    flags = parser.parse_args(words)
    _set_up_logging(verbose=flags.verbose)
    return _guarded(lambda: _run(flags), verbose=flags.verbose)


def command(arguments: Sequence[str] | None = None) -> int:
    """Run `stablenew COMMAND …` and return its exit code."""
    _open_closed_streams()
    from stablenew._names import suggestion
    from stablenew.cli.commands import COMMANDS, read_command, usage

    words = sys.argv[1:] if arguments is None else list(arguments)
    if not words or words[0] in ("-h", "--help"):
        print(usage(), end="")
        return 0
    name, *rest = words
    if name == "run":
        return main(rest)
    if name not in COMMANDS:
        print(f"stablenew: given {name!r}, {suggestion(name, COMMANDS)}", file=sys.stderr)
        return 2
    verbose = "-v" in rest or "--verbose" in rest
    _set_up_logging(verbose=verbose)
    work = read_command(name, rest)
    return _guarded(lambda: _told(lambda: _awaited(work()), verbose=verbose), verbose=verbose)


def _awaited(work: Work) -> int:
    """Return a command's exit code, which may have to be awaited."""
    if isinstance(work, int):
        return work
    import anyio

    async def wait() -> int:
        return await work

    return anyio.run(wait)


def _guarded(work: Callable[[], int], *, verbose: bool) -> int:
    """Return what some work returns; an interrupt or a disk's error is an exit code too."""
    try:
        return work()
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if verbose:
            logging.getLogger(__name__).exception("stopped")
        where = f"{error.filename}: " if error.filename else ""
        print(f"stablenew: {where}{error.strerror or error}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _open_closed_streams() -> None:
    """Give a stream that whoever started us has closed somewhere to write to."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115  # for good


def _set_up_logging(*, verbose: bool) -> None:
    """Log to stderr: errors as lines of their own, everything with tracebacks if `verbose`."""
    handler = logging.StreamHandler()
    handler.setFormatter((logging.Formatter if verbose else _OneLine)(_LOG_FORMAT))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.ERROR, handlers=[handler])


def _run(flags: argparse.Namespace) -> int:
    """Run what the flags ask for."""
    import anyio

    from stablenew.cli.job import read_job
    from stablenew.cli.run_command import Shown, dry_run, run_job

    signals = _Signals()

    def work() -> int:
        job = read_job(vars(flags), os.environ)
        if flags.dry_run:
            return anyio.run(dry_run, job, flags.json)
        shown = Shown(json=flags.json, quiet=flags.quiet)
        code = anyio.run(run_job, job, shown, signals.watch)
        return code if signals.received is None else 128 + signals.received

    return _told(work, verbose=flags.verbose)


def _told(work: Callable[[], int], *, verbose: bool) -> int:
    """Return what some work returns; every error of ours is a line or two and an exit code."""
    from stablenew.cli.exit_codes import ExitCode
    from stablenew.errors import BackendUnavailableError, ConfigError, StableNewError

    try:
        return work()
    except StableNewError as error:
        if verbose:
            logging.getLogger(__name__).exception("stopped")
        for line in str(error).splitlines():
            print(f"stablenew: {line}", file=sys.stderr)
        if isinstance(error, ConfigError):
            return ExitCode.WRONG_INPUT
        unreachable = isinstance(error, BackendUnavailableError)
        return ExitCode.UNREACHABLE if unreachable else ExitCode.FAILED


if __name__ == "__main__":
    sys.exit(main())
