"""`python -m stablenew.run` and `stablenew`: signals, logging set-up, and what an error looks like.

With `--json` the last line is the envelope, whatever happens short of a kill.
"""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import suppress

from stablenew.cli.stops import Stopped, Stops

# Signals are taken before anything that takes time is imported: so that is done in the functions.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from typing import TextIO

    from stablenew.backends.comfyui.object_info import ObjectInfo
    from stablenew.cli.commands import Work
    from stablenew.cli.json_lines import JsonLines


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Without arguments it is the program that ends with this: signals are ignored from then on.
    """
    return _entered(_program, arguments)


def command(arguments: Sequence[str] | None = None) -> int:
    """Run `stablenew COMMAND …` and return its exit code; without arguments as `main` is."""
    return _entered(_command, arguments)


def _entered(
    program: Callable[[Sequence[str], Stops], int], arguments: Sequence[str] | None
) -> int:
    """Run a program under its signals; leave them as they were where it is a part of another."""
    stops, stderr = Stops(), sys.stderr
    stops.arm()
    try:
        _open_closed_streams()
        with warnings.catch_warnings():
            # Pillow warns of broken EXIF, with the lines of its own code that do.
            warnings.filterwarnings("ignore", module="PIL")
            code = program(sys.argv[1:] if arguments is None else arguments, stops)
    finally:
        if arguments is not None:
            stops.restore()
            sys.stderr = stderr
    return code


def _program(words: Sequence[str], stops: Stops) -> int:
    if not words:
        from stablenew.cli.arguments import run_parser

        run_parser().print_help()
        return 0
    lines = _json_lines(words)
    code = _stopped_or(_main(words, stops, lines), stops)
    return code if lines is None else lines.finish(code)


def _stopped_or(code: int, stops: Stops) -> int:
    """Return the exit code that a signal makes of another; from here on no more signal counts."""
    stops.disarm()
    return code if stops.received is None else 128 + stops.received


def _main(words: Sequence[str], stops: Stops, lines: JsonLines | None) -> int:
    """Run the command line; every end of it is an exit code, but those that print help."""
    from stablenew.cli.arguments import run_parser
    from stablenew.cli.exit_codes import ExitCode

    errors = None if lines is None else lines.envelope.errors
    parser = run_parser()

    def work() -> int:
        flags = parser.parse_args(words)
        stops.stdin = flags.cancel_on_stdin_close
        _set_up_logging(verbose=flags.verbose, quiet=flags.quiet)
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


def _command(words: Sequence[str], stops: Stops) -> int:
    from stablenew._names import suggestion
    from stablenew.cli.commands import COMMANDS, read_command, usage
    from stablenew.cli.printing import say, say_all

    if not words or words[0] in ("-h", "--help"):
        say_all(usage().splitlines())
        return 0
    name, *rest = words
    if name == "run":
        return _program(rest, stops)
    if name == "studio":
        return _studio(rest, stops)
    if name not in COMMANDS:
        say(f"stablenew: given {name!r}, {suggestion(name, COMMANDS)}", err=True)
        return 2
    verbose = "-v" in rest or "--verbose" in rest
    _set_up_logging(verbose=verbose)
    load = read_command(name, rest)

    def work() -> int:
        return _reported(lambda: _awaited(load(), stops), None, verbose=verbose)

    return _stopped_or(_guarded(work, verbose=verbose), stops)


def _studio(words: list[str], stops: Stops) -> int:
    """Run the studio; what it stands on is imported now."""
    verbose = "-v" in words or "--verbose" in words
    _set_up_logging(verbose=verbose)

    def work() -> int:
        from functools import partial

        import anyio

        from stablenew.studio.command import read_studio, run_studio

        asked = read_studio(words)
        stops.check()
        return anyio.run(partial(run_studio, asked, stops))

    return _stopped_or(
        _guarded(lambda: _reported(work, None, verbose=verbose), verbose=verbose), stops
    )


def _awaited(work: Callable[[], Work], stops: Stops) -> int:
    """Return a command's exit code, which may have to be awaited."""
    with stops.raising():
        begun = work()
    if isinstance(begun, int):
        return begun
    import anyio

    async def wait() -> int:
        return await begun

    return anyio.run(stops.cancelling, wait)


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
    except KeyboardInterrupt:  # of somebody else's handler
        return 130
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            if verbose:
                import logging

                logging.getLogger(__name__).exception("stopped")
            where = f"{error.filename}: " if error.filename else ""
            _say(f"{where}{error.strerror or error}", errors)
        if errors is None and error.filename is None:  # of stdout, whose flush would fail again
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _say(line: str, errors: list[str] | None) -> None:
    from stablenew.cli.printing import say

    say(f"stablenew: {line}", err=True)
    if errors is not None:
        errors.append(line)


def _open_closed_streams() -> None:
    """Give a stream that whoever started us has closed somewhere to write to."""
    from stablenew.cli.printing import take_any_text

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


def _set_up_logging(*, verbose: bool, quiet: bool = False) -> None:
    """Log to stderr: errors as lines of their own, everything with tracebacks if `verbose`.

    What a server keeps one waiting for is a warning, and is told as well, unless `quiet`.
    """
    import logging

    from stablenew.cli.log_format import LOG_FORMAT, OneLine, Whole

    handler = logging.StreamHandler()
    handler.setFormatter((Whole if verbose else OneLine)(LOG_FORMAT))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.ERROR, handlers=[handler])
    if not (verbose or quiet):
        logging.getLogger("stablenew.backends").setLevel(logging.WARNING)
        # What is left behind is said at the end, with the rest.
        logging.getLogger("stablenew.backends.webui.backend").setLevel(logging.ERROR)


def _run(
    flags: argparse.Namespace, stops: Stops, lines: JsonLines | None, errors: list[str] | None
) -> int:
    """Run what the flags ask for."""

    def work() -> int:
        import anyio

        if lines is not None and flags.events_from is not None:
            from stablenew.cli.replay import read_replay, replay

            with stops.raising():
                return replay(read_replay(vars(flags)), lines)
        from functools import partial

        if flags.list:
            from stablenew.cli.workflow_command import list_workflow

            return anyio.run(stops.cancelling, partial(list_workflow, vars(flags), lines))
        from stablenew.cli.job import drafted_job
        from stablenew.cli.run_command import dry_run, run_job

        job = drafted_job(vars(flags), os.environ, _nodes(vars(flags), stops))
        stops.check()
        if flags.dry_run:
            return anyio.run(stops.cancelling, partial(dry_run, job, lines))
        run = partial(run_job, job, stops, lines=lines, quiet=flags.quiet)
        return anyio.run(stops.cancelling, run)

    return _reported(work, errors, verbose=flags.verbose)


def _nodes(flags: dict[str, object], stops: Stops) -> ObjectInfo | None:
    """Return the nodes of the server that a workflow needs to be read at all; mostly none."""
    from stablenew.cli.workflow_options import needs_nodes, server_nodes

    if not needs_nodes(flags, os.environ):
        return None
    import anyio

    found: list[ObjectInfo] = []

    async def ask() -> int:
        found.append(await server_nodes(flags))
        return 0

    anyio.run(stops.cancelling, ask)
    stops.check()
    return found[0]


def _reported(work: Callable[[], int], errors: list[str] | None, *, verbose: bool) -> int:
    """Return what some work returns; every error of ours is a line or two and an exit code."""
    from stablenew.cli.exit_codes import ExitCode
    from stablenew.errors import BackendUnavailableError, ConfigError, StableNewError

    try:
        return work()
    except StableNewError as error:
        if verbose:
            import logging

            logging.getLogger(__name__).exception("stopped")
        from stablenew.cli.problems import in_few_lines

        for line in in_few_lines(str(error).split("\n")):
            _say(line, errors)
        if isinstance(error, ConfigError):
            return ExitCode.WRONG_INPUT
        unreachable = isinstance(error, BackendUnavailableError)
        return ExitCode.UNREACHABLE if unreachable else ExitCode.FAILED


if __name__ == "__main__":
    sys.exit(main())
