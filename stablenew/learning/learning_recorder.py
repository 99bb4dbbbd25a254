"""Turns runs that succeeded into records: a subscriber, and nothing a run waits for."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection
from typing import Protocol

from stablenew.events.bus import EventBus
from stablenew.events.mailbox import Overflow
from stablenew.events.subscription import Subscription
from stablenew.learning.learning_record import LearningRecord
from stablenew.learning.learning_record_builder import build_learning_record
from stablenew.pipeline.stage_events import RunFinished

logger = logging.getLogger(__name__)

MAILBOX = 1_000
"""Runs that may wait for the disk before a plan waits too."""


class RecordWriter(Protocol):
    """What the recorder needs of a writer."""

    async def append_record(self, record: LearningRecord) -> None:
        """Append one record.

        Raises:
            RecordError: It is not on disk.
        """
        ...


class LearningRecorder:
    """Appends a record for each run that succeeded, at most one a run.

    A failing writer never fails a run: it is logged, counted, and told by `problem`.

    Args:
        writer: Where records go.
        recorded: Runs that have a record already.

    Attributes:
        recorded: How many records were written.
        failed: How many could not be.
        problem: What the last of those failed with, None while all is well.
    """

    def __init__(self, writer: RecordWriter, recorded: Collection[str] = ()) -> None:
        self.recorded = 0
        self.failed = 0
        self.problem: str | None = None
        self._writer = writer
        self._seen: deque[str] = deque(maxlen=MAILBOX)
        self._before = recorded

    def subscribe(self, bus: EventBus) -> Subscription:
        """Have every run's end recorded from now on."""
        return bus.subscribe(
            RunFinished, self.record, overflow=Overflow.WAIT, mailbox=MAILBOX, name="recorder"
        )

    async def record(self, event: RunFinished) -> None:
        """Record one run, if it succeeded and was not recorded before."""
        result = event.result
        if not result.success or result.run_id in self._seen or result.run_id in self._before:
            return
        self._seen.append(result.run_id)
        try:
            await self._writer.append_record(build_learning_record(result))
        except Exception as error:  # noqa: BLE001  # whatever a writer raises fails no run
            self.failed += 1
            self.problem = str(error)
            logger.error("run %s: its record is lost: %s", result.run_id, error)
        else:
            self.recorded += 1

    def late(self, seconds: float) -> None:
        """Note that nobody waited any longer for records that are still being written."""
        self.problem = f"records were not written within {seconds:g} s; they may come later"
        logger.warning("%s", self.problem)
