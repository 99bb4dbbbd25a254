"""Events as JSON lines on stdout, and the one line that ends them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio.from_thread
import anyio.to_thread
import attrs

from stablenew._clock import utc_now
from stablenew._convert import json_line
from stablenew.controller.interruption import Interruption
from stablenew.events.event import Event
from stablenew.events.event_log import SCHEMA, encode_event


@attrs.define(kw_only=True)
class Envelope:
    """What the last line says, filled in on the way.

    Attributes:
        plan_id: The plan's, None for anything else.
        run_id: A single run's.
        outcome: How it ended; None where nothing ran.
        files: What it left, each with what it is.
        errors: What was said on stderr about what went wrong.
        interrupted: What an earlier process was at when it was killed.
        pictures: How many there are of the runs that got as far as a result.
        reused: How many of those an earlier run made.
        blank: How many of those are one single colour.
    """

    plan_id: str | None = None
    run_id: str | None = None
    outcome: str | None = None
    files: list[tuple[str, Path]] = attrs.field(factory=list)
    errors: list[str] = attrs.field(factory=list)
    interrupted: tuple[Interruption, ...] = ()
    pictures: int = 0
    reused: int = 0
    blank: int = 0


class JsonLines:
    """Prints every event as a line of JSON; a subscriber that waits, so that there is no gap.

    Attributes:
        envelope: What the last line will say.
        broken: Set once nobody reads any more.
        problem: Why no more lines could be written, None while all is well.
    """

    def __init__(self) -> None:
        self.envelope = Envelope()
        self.broken = anyio.Event()
        self.problem: OSError | None = None
        self._sequence = 0

    async def take(self, event: Event) -> None:
        """Print an event, in a thread: whoever reads may be slow."""
        if self.problem is None:
            await anyio.to_thread.run_sync(self._print_or_note, event)

    def tell(self, kind: str, **content: object) -> None:
        """Print a line that is no event, numbered after the last one.

        Raises:
            OSError: Nobody reads any more, or the disk said no.
        """
        envelope = self.envelope
        head = {
            "schema": SCHEMA,
            "type": kind,
            "sequence": self._sequence + 1,
            "at": utc_now(),
            "plan_id": envelope.plan_id,
            "run_id": envelope.run_id,
            "node": None,
        }
        self.write(json_line({**head, **content}), self._sequence + 1)
        self.flush()

    def write(self, line: bytes, sequence: int) -> None:
        """Print a line that is made already; it is out after `flush`.

        Raises:
            OSError: Nobody reads any more, or the disk said no.
        """
        self._sequence = sequence
        sys.stdout.buffer.write(line + b"\n")

    def flush(self) -> None:
        """Have what was printed go out.

        Raises:
            OSError: Nobody reads any more, or the disk said no.
        """
        sys.stdout.buffer.flush()

    def finish(self, exit_code: int) -> int:
        """Print the envelope and return the exit code: 1 where nobody reads it."""
        envelope = self.envelope
        if self.problem is None:
            try:
                self.tell(
                    "envelope",
                    outcome=envelope.outcome,
                    exit_code=exit_code,
                    files=[{"kind": kind, "path": str(path)} for kind, path in envelope.files],
                    errors=envelope.errors,
                    interrupted=envelope.interrupted,
                    pictures=envelope.pictures,
                    reused=envelope.reused,
                    blank=envelope.blank,
                )
            except OSError as error:
                self.problem = error
        if self.problem is None:
            return exit_code
        discard_stdout()
        return exit_code or 1

    def _print_or_note(self, event: Event) -> None:
        try:
            self.write(encode_event(event), event.sequence)
            self.flush()
        except OSError as error:
            self.problem = error
            anyio.from_thread.run_sync(self.broken.set)


def discard_stdout() -> None:
    """Let what is still to be printed go nowhere, where printing it would fail at the exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
