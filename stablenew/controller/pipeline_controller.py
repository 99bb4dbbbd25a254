"""Runs the pipeline once, on demand; decides whether that leaves a learning record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral
from types import NoneType

import anyio
from anyio.lowlevel import checkpoint

from stablenew._arguments import takes
from stablenew._metadata import as_metadata
from stablenew.backends.base import Capabilities
from stablenew.config.pipeline_config import PipelineConfig
from stablenew.controller.activity import State
from stablenew.controller.engine import Engine, stoppable_once_called
from stablenew.learning.learning_recorder import LearningRecorder
from stablenew.pipeline.results import Outcome, PipelineRunResult
from stablenew.pipeline.run_request import RunRequest
from stablenew.pipeline.stage_events import RunFinished
from stablenew.storage.disk_errors import disk_errors


class PipelineController:
    """Starts single runs and cancels them; at most one thing of an app is under way at a time.

    Args:
        engine: Shared with the other controllers of an app.

    Attributes:
        last_result: Of the run that ended last, None before the first.
    """

    def __init__(self, engine: Engine) -> None:
        self.last_result: PipelineRunResult | None = None
        self._engine = engine

    @property
    def state(self) -> State:
        """What is going on now."""
        return self._engine.activity.state

    @property
    def error(self) -> BaseException | None:
        """What the last run or plan raised, None if it did not."""
        return self._engine.activity.error

    @property
    def learning_enabled(self) -> bool:
        """Whether runs and plans leave learning records; False unless somebody turns it on."""
        return self._engine.learning_enabled

    @learning_enabled.setter
    def learning_enabled(self, enabled: bool) -> None:
        self._engine.learning_enabled = enabled

    @property
    def recorder(self) -> LearningRecorder | None:
        """The recorder of what ran last with learning on."""
        return self._engine.recorder

    async def capabilities(self) -> Capabilities:
        """Return what the backend can do, as it said the first time, or when it came back.

        Raises:
            BackendUnavailableError: Nobody answers.
        """
        return await self._engine.pool.capabilities()

    def cancel(self) -> None:
        """Cancel the run under way; `run_pipeline` then returns what was done."""
        self._engine.activity.cancel()

    async def idle(self) -> None:
        """Wait until no run and no plan is under way, and what they left is recorded.

        A task that was made before this is called counts: it has begun by then.
        """
        await self._engine.activity.ended()

    @stoppable_once_called
    @takes(images=Integral, metadata=(Mapping, NoneType))
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
            RecordError: The disk failed before the run began.
            StableNewError: Something is under way already.
        """
        if not isinstance(config, PipelineConfig):
            config = PipelineConfig.from_dict(config)
        request = RunRequest(
            run_id=self._engine.clock.new_id(),
            config=config,
            images=images,
            metadata={**as_metadata(metadata or {}), "run_type": "single"},
            timeout=self._engine.settings.step_timeout,
        )
        pool = self._engine.pool
        with anyio.CancelScope() as scope, self._engine.activity.under(scope):
            try:
                with disk_errors(self._engine.settings.out, "cannot be written"):
                    async with self._engine.recording():
                        await self._run(request, scope)
            except anyio.get_cancelled_exc_class():
                self.last_result = pool.result_of(request.run_id) or _not_begun(request)
                raise
            except BaseException:
                self.last_result = pool.result_of(request.run_id) or self.last_result
                raise
        self.last_result = pool.result_of(request.run_id) or _not_begun(request)
        return self.last_result

    async def _run(self, request: RunRequest, scope: anyio.CancelScope) -> None:
        await checkpoint()  # a cancel that came before this began leaves nothing behind
        # A config that cannot run, or a backend that is not there, leaves no folder behind.
        await self._engine.pool.planned(request)
        folder = self._engine.settings.out / request.run_id
        async with self._engine.journal(folder, (RunFinished,)):
            request = request.begun()
            scope.deadline = request.deadline
            await self._engine.pool.run(request)
            scope.deadline = math.inf
        await checkpoint()  # a cancel that came with the last write ends here, not in the caller


def _not_begun(request: RunRequest) -> PipelineRunResult:
    """Return the result of a run that was cancelled before it began."""
    return PipelineRunResult(
        run_id=request.run_id,
        outcome=Outcome.CANCELLED,
        metadata=request.metadata,
        config=request.config,
    )
