"""`--events-from N`: what a plan told, from a number on, and what it goes on to tell."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import attrs
import msgspec

from stablenew.cli.exit_codes import ExitCode, exit_code
from stablenew.cli.json_lines import JsonLines
from stablenew.cli.outputs import left_in
from stablenew.config.pipeline_config import bounded
from stablenew.controller.marker import is_held
from stablenew.errors import ConfigError
from stablenew.events.event_log import EVENTS_FILE
from stablenew.pipeline.results import Outcome
from stablenew.storage.record_reader import NOT_JSON, read_piece

INTERRUPTED = "interrupted"
"""The outcome of what ended with its process."""

_INTERVAL = 0.2
_GOES_WITH = ("file", "events_from", "json", "quiet", "verbose", "out")


class _Result(msgspec.Struct):
    outcome: str


class _Output(msgspec.Struct):
    """What is read of a picture."""

    reused_from: str | None = None
    blank: bool = False


class _Head(msgspec.Struct):
    """What is read of a line."""

    type: str
    sequence: int
    plan_id: str | None = None
    run_id: str | None = None
    outcome: str | None = None
    out_of_time: bool = False
    result: _Result | None = None
    output: _Output | None = None


@attrs.frozen
class Replay:
    """What to print.

    Attributes:
        folder: The plan's, or the single run's.
        start: The first sequence number to print.
    """

    folder: Path
    start: int = attrs.field(validator=bounded(0, 2**63 - 1))


def read_replay(flags: Mapping[str, object]) -> Replay:
    """Read what the flags ask for.

    Raises:
        ConfigError: With what is wrong.
    """
    text = str(flags["events_from"])
    if not text.isdecimal():
        raise ConfigError(f"--events-from: given {text!r}, expected a whole number from 0 on")
    others = [name for name, value in flags.items() if value and name not in _GOES_WITH]
    if others:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in others)
        raise ConfigError(f"{names}: --events-from runs nothing; it takes a plan's folder alone")
    given = flags.get("file")
    if not given:
        raise ConfigError("--events-from: which plan? give its folder: runs/PLAN_ID")
    folder = Path(str(given))
    if not folder.exists() and folder.name == str(given):
        folder = Path(str(flags.get("out") or "runs")) / folder
    if not (folder / EVENTS_FILE).exists() and not _is_under_way(folder):
        raise ConfigError(f"{folder}: no {EVENTS_FILE} there; expected a plan's folder")
    return Replay(folder, int(text))


def replay(work: Replay, lines: JsonLines) -> ExitCode:
    """Print the lines; goes on for as long as the plan is under way. Blocks.

    Raises:
        OSError: Nobody reads any more, or the disk said no.
    """
    path = work.folder / EVENTS_FILE
    printer = _Printer(lines, work.start)
    offset = 0
    while True:
        held = _is_under_way(work.folder)  # before the look at what there is
        piece = read_piece(path, offset)
        offset += len(piece)
        for line in piece.splitlines():
            printer.take(line)
        lines.flush()
        if not piece and not held:
            break
        if not piece:
            time.sleep(_INTERVAL)
    envelope = lines.envelope
    envelope.outcome = printer.outcome or INTERRUPTED
    envelope.files = left_in(work.folder)
    if printer.outcome is None:
        return ExitCode.FAILED
    return exit_code(printer.outcome, out_of_time=printer.out_of_time)


def _is_under_way(folder: Path) -> bool:
    folder = folder.resolve()
    return is_held(folder.parent, folder.name)


class _Printer:
    """Prints what is asked for and says what is missing."""

    def __init__(self, lines: JsonLines, start: int) -> None:
        self.outcome: Outcome | None = None
        self.out_of_time = False
        self._lines = lines
        self._start = start
        self._last: int | None = None

    def take(self, line: bytes) -> None:
        try:
            head = msgspec.json.decode(line, type=_Head)
        except NOT_JSON:
            self._lines.envelope.errors.append(f"a line that is no event: {line[:60]!r}")
            return
        self._note(head)
        if head.sequence >= self._start:
            if self._last is not None and head.sequence > self._last + 1:
                missing = f"events {self._last + 1} to {head.sequence - 1} are missing"
                self._lines.envelope.errors.append(missing)
            self._lines.write(line, head.sequence)
        self._last = head.sequence

    def _note(self, head: _Head) -> None:
        envelope = self._lines.envelope
        envelope.plan_id = head.plan_id
        if head.plan_id is None:
            envelope.run_id = head.run_id
        if head.output is not None:
            envelope.pictures += 1
            envelope.reused += head.output.reused_from is not None
            envelope.blank += head.output.blank
        if head.type == ("RunStarted" if head.plan_id is None else "PlanStarted"):
            self.outcome = None  # it goes on, or its id was run again: with numbers of its own
            self._last = None
        if head.type == "PlanFinished" and head.outcome:
            self.outcome, self.out_of_time = Outcome(head.outcome), head.out_of_time
        elif head.type == "RunFinished" and head.plan_id is None and head.result:
            self.outcome = Outcome(head.result.outcome)
