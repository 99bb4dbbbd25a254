"""What the controllers of one app share: the pipeline, one thing at a time, records, a journal."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import anyio

from stablenew._clock import Clock
from stablenew.config.settings import Settings
from stablenew.controller.activity import Activity, called_at
from stablenew.controller.marker import hold, note_step, release
from stablenew.errors import ConfigError
from stablenew.events.bus import GRACE, EventBus
from stablenew.events.event import Event
from stablenew.events.event_log import EVENTS_FILE, EventLog
from stablenew.events.mailbox import Overflow
from stablenew.events.subscription import Subscription
from stablenew.learning.learning_record_writer import LearningRecordWriter
from stablenew.learning.learning_recorder import LearningRecorder, RecordWriter
from stablenew.pipeline.node_pool import NodePool
from stablenew.storage import files, system

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C", bound="_Controller")


class Engine:
    """Runs the pipeline for every controller of an app.

    Args:
        pool: Runs the pipeline, on one backend or several.
        bus: Where everything is told.
        settings: Where things go and how long to wait.
        clock: Where times, ids and seeds come from.
        make_writer: Makes the writer of records; called only when learning is on.
        grace: Seconds to wait at the end for what was told to be written.

    Attributes:
        activity: What is under way: one thing at a time.
        learning_enabled: Whether runs leave learning records; False unless somebody turns it on.
        recorder: The recorder of what ran last with learning on.
    """

    def __init__(
        self,
        pool: NodePool,
        bus: EventBus,
        settings: Settings,
        *,
        clock: Clock = Clock(),
        make_writer: Callable[[Path], RecordWriter] = LearningRecordWriter,
        grace: float = GRACE,
    ) -> None:
        self.pool = pool
        self.bus = bus
        self.settings = settings
        self.clock = clock
        self.activity = Activity()
        self.learning_enabled = settings.learning_enabled
        self.recorder: LearningRecorder | None = None
        self._make_writer = make_writer
        self._grace = grace
        self._log: Subscription | None = None

    @asynccontextmanager
    async def recording(
        self, recorded: Collection[str] = (), *, enabled: bool | None = None
    ) -> AsyncIterator[None]:
        """Record the runs inside, if learning is on; wait for their records at the end.

        Args:
            recorded: Runs that have a record already.
            enabled: In place of `learning_enabled`.
        """
        if not (self.learning_enabled if enabled is None else enabled):
            yield
            return
        recorder = self.recorder = LearningRecorder(
            self._make_writer(self.settings.records_path), recorded
        )
        subscription = recorder.subscribe(self.bus)
        try:
            yield
        finally:
            if not await self._close(subscription):
                recorder.late(self._grace)

    @asynccontextmanager
    async def journal(
        self, folder: Path, forced_by: tuple[type[Event], ...], plan_id: str | None = None
    ) -> AsyncIterator[Callable[[int | None], None]]:
        """Keep the events inside in `events.jsonl` in `folder`, marked as under way until then.

        What it gives notes which step is under way.

        Raises:
            ConfigError: The folder of all runs cannot be written to.
            StableNewError: It is under way in another process.
        """
        base, name = folder.parent, folder.name
        try:
            marker = await files.in_thread(lambda: hold(base, name))
        except OSError as error:
            why = f"cannot write to {str(base)!r} ({error.strerror or error})"
            raise ConfigError(f"out: {why}; expected a folder to write to") from error
        try:
            await files.make_folder(folder)
            log = EventLog(folder / EVENTS_FILE, forced_by=forced_by, plan_id=plan_id)
            subscription = self.bus.subscribe(
                Event, log.write, overflow=Overflow.WAIT, name="event log"
            )
            self._log = subscription

            try:
                # Not noted, a step that kills the process is tried again: no reason to fail it now.
                yield lambda step: system.quietly(note_step, marker, step)
            finally:
                await self._close(subscription)
        finally:
            try:
                await files.in_thread(lambda: release(base, name, marker), finishing=True)
            except OSError as error:  # what became of it is told; the next start clears it away
                logger.warning("%s stays marked as under way: %s", name, error)

    async def logged(self) -> None:
        """Wait until all that was told is in `events.jsonl`; not for ever, where a disk hangs."""
        if self._log is not None:
            with anyio.move_on_after(self._grace):
                await self._log.drained()

    async def _close(self, subscription: Subscription) -> bool:
        """Wait for what a subscriber has left to do, and end it; False if it took too long."""
        try:
            return await subscription.drained_within(self._grace)
        finally:
            subscription.close()


class _Controller(Protocol):
    _engine: Engine


def stoppable_once_called(
    method: Callable[Concatenate[C, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[C, P], Coroutine[Any, Any, T]]:
    """Have a cancel or a pause count from the call of a controller's method, not its first step.

    When `create_task(controller.run_pipeline(…))` returns, nothing of the run has begun; a cancel
    that comes then is for it all the same, and one from before the call is not.
    """

    @wraps(method)
    def call(controller: C, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
        moment = controller._engine.activity.moment()

        async def run() -> T:
            called_at.set(moment)
            return await method(controller, *args, **kwargs)

        return run()

    return call
