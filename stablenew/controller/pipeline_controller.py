"""Runs the pipeline once, on demand; decides whether that leaves a learning record."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.lowlevel import checkpoint

from stablenew._cancelling import insist
from stablenew._clock import Clock
from stablenew.config.pipeline_config import PipelineConfig
from stablenew.config.settings import Settings
from stablenew.controller.activity import Activity, State
from stablenew.controller.marker import hold, note_step, release
from stablenew.events.bus import GRACE, EventBus
from stablenew.events.event import Event
from stablenew.events.event_log import EVENTS_FILE, EventLog
from stablenew.events.mailbox import Overflow
from stablenew.learning.learning_record_writer import LearningRecordWriter
from stablenew.learning.learning_recorder import LearningRecorder, RecordWriter
from stablenew.pipeline.pipeline_runner import PipelineRunner
from stablenew.pipeline.results import Outcome, PipelineRunResult
from stablenew.pipeline.run_request import RunRequest
from stablenew.pipeline.stage_events import RunFinished
from stablenew.pipeline.stage_plan import plan_stages
from stablenew.storage import files


class PipelineController:
    """Starts single runs and cancels them; at most one thing of an app is under way at a time.

    Args:
        runner: Runs the pipeline.
        bus: Where the runs are told.
        settings: Where things go and how long to wait.
        clock: Where ids come from.
        activity: Shared with the other controllers of an app.
        make_writer: Makes the writer of records; called only when learning is on.
        grace: Seconds to wait for the recorder at the end.

    Attributes:
        learning_enabled: Whether runs leave learning records; False unless somebody turns it on.
        last_result: Of the run that ended last, None before the first.
        recorder: The recorder of the last run with learning on.
    """

    def __init__(
        self,
        runner: PipelineRunner,
        bus: EventBus,
        settings: Settings,
        *,
        clock: Clock = Clock(),
        activity: Activity | None = None,
        make_writer: Callable[[Path], RecordWriter] = LearningRecordWriter,
        grace: float = GRACE,
    ) -> None:
        self.learning_enabled = settings.learning_enabled
        self.last_result: PipelineRunResult | None = None
        self.recorder: LearningRecorder | None = None
        self.runner = runner
        self._bus = bus
        self._settings = settings
        self._clock = clock
        self._activity = activity or Activity()
        self._make_writer = make_writer
        self._grace = grace

    @property
    def state(self) -> State:
        """What is going on now."""
        return self._activity.state

    @property
    def activity(self) -> Activity:
        """What the controllers of one app share."""
        return self._activity

    def cancel(self) -> None:
        """Cancel the run under way; `run_pipeline` then returns what was done."""
        self._activity.cancel()

    async def run_pipeline(
        self,
        config: PipelineConfig | Mapping[str, object],
        *,
        images: int = 1,
        metadata: Mapping[str, object] | None = None,
    ) -> PipelineRunResult:
        """Run the pipeline once. With learning on, its record is on disk when this returns.

        Args:
            config: What to run; plain data is checked strictly.
            images: How many pictures txt2img makes.
            metadata: Tags to keep with the run.

        Raises:
            ConfigError: The config is wrong; nothing ran.
            BackendUnavailableError: The backend cannot be reached; nothing ran.
            StableNewError: Something is under way already.
        """
        if not isinstance(config, PipelineConfig):
            config = PipelineConfig.from_dict(config)
        request = RunRequest(
            run_id=self._clock.new_id(),
            config=config,
            images=images,
            metadata={**(metadata or {}), "run_type": "single"},
            timeout=self._settings.step_timeout,
        )
        with anyio.CancelScope() as scope, self._activity.under(scope):
            try:
                async with self.recording():
                    await self._run_logged(request, scope)
            except anyio.get_cancelled_exc_class():  # also where it had not begun
                self.last_result = self._result(request)
                raise
            except BaseException:
                if self._ran(request):
                    self.last_result = self.runner.last_result
                raise
        self.last_result = self._result(request)
        return self.last_result

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
        writer = self._make_writer(self._settings.records_path)
        self.recorder = LearningRecorder(writer, recorded)
        subscription = self.recorder.subscribe(self._bus)
        try:
            yield
        finally:
            try:
                with anyio.move_on_after(self._grace, shield=True) as scope:
                    await insist(subscription.drained)
                if scope.cancelled_caught:
                    self.recorder.late(self._grace)
            finally:
                subscription.close()

    @asynccontextmanager
    async def logging(
        self, folder: Path, forced_by: tuple[type[Event], ...], plan_id: str | None = None
    ) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
        """Keep the events inside in `events.jsonl` in `folder`, marked as under way until then.

        What it gives notes which step is under way.

        Raises:
            StableNewError: It is under way in another process.
        """
        base, name = folder.parent, folder.name
        marker = await files.in_thread(lambda: hold(base, name))
        try:
            await files.make_folder(folder)
            log = EventLog(folder / EVENTS_FILE, forced_by=forced_by, plan_id=plan_id)
            subscription = self._bus.subscribe(
                Event, log.write, overflow=Overflow.WAIT, name="event log"
            )

            async def note(step: int) -> None:
                await files.in_thread(lambda: note_step(marker, step))

            try:
                yield note
            finally:
                try:
                    with anyio.move_on_after(self._grace, shield=True):
                        await insist(subscription.drained)
                finally:
                    subscription.close()
        finally:
            await files.in_thread(lambda: release(base, name, marker), finishing=True)

    async def _run_logged(self, request: RunRequest, scope: anyio.CancelScope) -> None:
        # A config that cannot run, or a backend that is not there, leaves no folder behind.
        plan_stages(request.config, await self.runner.capabilities())
        folder = self._settings.out / request.run_id
        async with self.logging(folder, (RunFinished,)):
            if request.timeout is not None:
                scope.deadline = anyio.current_time() + request.timeout
            await self.runner.run(request)
            scope.deadline = math.inf
        await checkpoint()  # a cancel that came with the last write ends here, not in the caller

    def _ran(self, request: RunRequest) -> bool:
        result = self.runner.last_result
        return result is not None and result.run_id == request.run_id

    def _result(self, request: RunRequest) -> PipelineRunResult:
        """Return what became of the run, or that it was cancelled before it began."""
        result = self.runner.last_result
        if result is not None and self._ran(request):
            return result
        return PipelineRunResult(
            run_id=request.run_id,
            outcome=Outcome.CANCELLED,
            metadata=request.metadata,
            config=request.config,
        )
