"""Runs learning plans, on demand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import attrs
from anyio.lowlevel import checkpoint

from stablenew._arguments import FUNCTION, takes
from stablenew._clock import PLAN_ID_LENGTH, checked_id
from stablenew.backends.base import Capabilities
from stablenew.config.overrides import with_seed
from stablenew.config.pipeline_config import PipelineConfig, Setting
from stablenew.controller.activity import State
from stablenew.controller.engine import Engine, stoppable_once_called
from stablenew.controller.exploring import answer_of, explorer_of
from stablenew.controller.pinned_plan import new_plan, resumed_plan
from stablenew.controller.plan_beginning import context_of, not_begun, store_new_plan
from stablenew.controller.plan_nodes import PlanNodes
from stablenew.controller.plan_progress import prepared_progress
from stablenew.learning.execution_context import Resumption
from stablenew.learning.learning_adapter import build_learning_plan_from_dict
from stablenew.learning.learning_events import PlanExtended, PlanFinished, StepFinished
from stablenew.learning.learning_execution import LearningExecutionRunner, Rate
from stablenew.learning.learning_plan import LearningPlan
from stablenew.learning.learning_result import LearningExecutionResult
from stablenew.learning.plan_file import StoredPlan, read_plan_file
from stablenew.learning.plan_pictures import look_at_images
from stablenew.learning.seed_axis import with_seed_axis
from stablenew.pipeline.results import PipelineRunResult
from stablenew.pipeline.run_request import RunRequest
from stablenew.pipeline.stage_settings import with_defaults
from stablenew.pipeline.start_picture import StartPicture
from stablenew.storage.disk_errors import disk_errors

if TYPE_CHECKING:  # they load numpy
    from stablenew.advice.explorer import Explorer
    from stablenew.advice.joint_advice import JointAdvice

Pin = Callable[[StoredPlan, Capabilities], StoredPlan]
"""Returns a plan with everything settled that a backend decides, once it says what it has."""

Begin = Callable[[StoredPlan, Capabilities], Awaitable[Resumption]]
"""Makes a plan's folder ready and says where the plan begins."""


class LearningExecutionController:
    """Starts plans, cancels them or a step of them, and keeps the last result.

    Args:
        engine: Shared with the other controllers of an app.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._runner = LearningExecutionRunner(
            self._run_pipeline,
            bus=engine.bus,
            result_of=engine.pool.result_of,
            nodes=PlanNodes(engine.pool, self._settled, engine.settings.wait_for_server),
            logged=engine.logged,
            clock=engine.clock,
        )
        self._note_step: Callable[[int | None], None] | None = None
        self._under_way = 0
        self._noted: int | None = None
        self._defaults: Mapping[str, Setting] = {}
        self._images: Mapping[str, StartPicture] = {}
        self._last_result: LearningExecutionResult | None = None
        self._explorer: Explorer | None = None

    @property
    def state(self) -> State:
        """What is going on now."""
        return self._engine.activity.state

    @property
    def last_result(self) -> LearningExecutionResult | None:
        """What became of the plan that ended last, in whatever way; None before the first."""
        return self._last_result

    def get_last_learning_execution_result_for_tests(self) -> LearningExecutionResult | None:
        """Return `last_result`, under the name that older callers know."""
        return self._last_result

    def cancel_plan(self) -> None:
        """Cancel the plan under way; `run_learning_plan` then returns what was done."""
        self._engine.activity.cancel()

    @property
    def paused(self) -> bool:
        """Whether the plan stops before its next step."""
        return self._runner.paused

    def pause(self) -> None:
        """Let the step under way end, and wait before the next one until `resume`.

        Where no plan is under way, and none was called for, there is nothing to pause; the next one
        starts as always.
        """
        self._engine.activity.pause()
        if self.state is State.RUNNING:
            self._runner.pause()

    def resume(self) -> None:
        """Go on with a plan that was paused."""
        self._engine.activity.resume()
        self._runner.resume()

    def cancel_step(self, index: int | None = None) -> None:
        """Cancel the step under way, or that of several, or all; the plan goes on with the next.

        Args:
            index: Of the step, from 0; None for all that are under way.
        """
        self._runner.cancel_step(index)

    @stoppable_once_called
    @takes(
        metadata=(Mapping, NoneType),
        max_steps=(Integral, NoneType),
        max_seconds=(Real, NoneType),
        plan_id=(str, NoneType),
        rate=(FUNCTION, NoneType),
    )
    async def run_learning_plan(
        self,
        plan: LearningPlan | Mapping[str, object],
        base_config: PipelineConfig | Mapping[str, object],
        metadata: Mapping[str, object] | None = None,
        *,
        max_steps: int | None = None,
        max_seconds: float | None = None,
        plan_id: str | None = None,
        rate: Rate | None = None,
    ) -> LearningExecutionResult:
        """Run a plan. With learning on, its records are on disk when this returns.

        An adaptive plan asks for a rating of every picture while it makes the next ones, those that
        the ratings promise most of; it ends when one more would not change the advice. It tells
        `RatingsAwaited`, `AdviceGiven` and `PlanExtended` on the way.

        Args:
            plan: What to explore; plain data is checked strictly.
            base_config: What each step's config is derived from.
            metadata: Tags to keep with every record, over the plan's own.
            max_steps: Run the first so many steps, None for all.
            max_seconds: Begin no step that would not be done by then.
            plan_id: Safe as a file name; made up if not given.
            rate: Of an adaptive plan: awaited with each picture, returns its rating or None; if not
                given, the plan waits for what is rated in the terminal or from its page.

        Raises:
            ConfigError: Plan or config is wrong, or the backend lacks something; nothing ran.
            BackendUnavailableError: The backend cannot be reached; nothing ran.
            RecordError: The disk failed before the first step.
            StableNewError: Something is under way already.
        """
        plan_id = checked_id("plan_id", plan_id or self._engine.clock.new_id(), PLAN_ID_LENGTH)
        if not isinstance(plan, LearningPlan):
            plan = build_learning_plan_from_dict(plan)
        if not isinstance(base_config, PipelineConfig):
            base_config = PipelineConfig.from_dict(base_config)
        if plan.is_adaptive:
            max_steps = min(max_steps or plan.most_steps, plan.most_steps)
        settings = self._engine.settings
        config = with_seed(base_config, self._engine.clock.draw_seed)
        stored = StoredPlan(
            plan_id=plan_id,
            created_at=self._engine.clock.now(),
            plan=with_seed_axis(plan, config),
            config=config,
            max_steps=max_steps,
            step_timeout=settings.step_timeout,
            url=settings.server_url,
            urls=settings.urls,
            learning_enabled=self._engine.learning_enabled,
            metadata=metadata or {},
        )
        return await self._execute(stored, new_plan, self._store, max_seconds, rate)

    @stoppable_once_called
    @takes(
        only_failed=bool,
        max_seconds=(Real, NoneType),
        rate=(FUNCTION, NoneType),
        on_this_backend=bool,
    )
    async def resume_plan(
        self,
        plan_id: str,
        *,
        only_failed: bool = False,
        max_seconds: float | None = None,
        rate: Rate | None = None,
        on_this_backend: bool = False,
    ) -> LearningExecutionResult:
        """Go on with a plan that was cancelled, killed, or had steps that failed.

        What is finished is neither run nor recorded again: what is finished is what was made with
        the settings that the step has now, so that an edited plan makes the difference. A step that
        was cut goes on after its last finished stage. A step that was under way when the process
        was killed, twice, is set aside. Learning is as it was, and so is everything that the
        backend chose when the plan began: its defaults, its model.

        Args:
            plan_id: Its folder is in the folder of all runs.
            only_failed: Run the steps again that failed, timed out or were set aside; no others.
            max_seconds: Begin no step that would not be done by then.
            rate: As for `run_learning_plan`.
            on_this_backend: Go on though the app's backend is another one than the plan's, or of
                another version, or has another model under the plan's name; every run is tagged
                `resumed_on` then.

        Raises:
            ConfigError: There is no such plan, the app's backend is not the plan's, or lacks
                something; nothing ran.
            BackendUnavailableError: The backend cannot be reached; nothing ran.
            RecordError: The disk failed before the first step.
            StableNewError: Something is under way already.
        """
        folder = self._folder(checked_id("plan_id", plan_id, PLAN_ID_LENGTH))
        stored = await anyio.to_thread.run_sync(read_plan_file, folder)
        step_timeout = self._engine.settings.step_timeout or stored.step_timeout
        stored = attrs.evolve(stored, plan_id=plan_id, step_timeout=step_timeout)
        take_up = partial(self._take_up, only_failed=only_failed)
        pin = partial(resumed_plan, on_this_backend=on_this_backend)
        return await self._execute(stored, pin, take_up, max_seconds, rate)

    async def _execute(
        self,
        stored: StoredPlan,
        pin: Pin,
        begin: Begin,
        max_seconds: float | None,
        rate: Rate | None,
    ) -> LearningExecutionResult:
        """Run a plan, as the one thing that is under way, and keep what became of it."""
        plan_id = stored.plan_id
        with anyio.CancelScope() as scope, self._engine.activity.under(scope):
            self._runner.make_ready(paused=self._engine.activity.pause_awaits)
            try:
                with disk_errors(self._folder(plan_id), "cannot be written"):
                    await self._run(stored, pin, begin, max_seconds, rate)
            except anyio.get_cancelled_exc_class():
                self._last_result = self._runner.result_of(plan_id) or not_begun(stored)
                raise
            except BaseException:
                self._last_result = self._runner.result_of(plan_id) or self._last_result
                raise
        self._last_result = self._runner.result_of(plan_id) or not_begun(stored)
        return self._last_result

    async def _run(
        self,
        stored: StoredPlan,
        pin: Pin,
        begin: Begin,
        max_seconds: float | None,
        rate: Rate | None,
    ) -> None:
        await checkpoint()  # a cancel that came before this began leaves nothing behind
        capabilities = await self._engine.pool.capabilities()
        images = await look_at_images(stored.config, stored.plan, stored.images)
        stored = attrs.evolve(stored, images=images)
        stored = await anyio.to_thread.run_sync(pin, stored, capabilities)
        folder = self._folder(stored.plan_id)
        ends = (StepFinished, PlanFinished, PlanExtended)
        async with self._engine.journal(folder, ends, stored.plan_id) as self._note_step:
            resumption = await begin(stored, capabilities)
            self._defaults, self._images = stored.defaults, stored.images
            context = context_of(stored, resumption, max_seconds)
            recording = self._engine.recording(resumption.recorded, enabled=stored.learning_enabled)
            async with recording:
                plan = stored.plan.with_cells(resumption.added_cells)
                what = partial(explorer_of, plan, self._engine.settings.out, rate)
                nodes = len(self._engine.pool.names)
                self._explorer = await anyio.to_thread.run_sync(what, nodes)
                await self._runner.run(context, self._explorer)
        await checkpoint()  # a cancel that came with the last write ends here, not in the caller

    async def _run_pipeline(self, request: RunRequest) -> PipelineRunResult:
        """Run a step of a plan; if that kills the process, the next start knows which it was."""
        index = request.metadata["step_index"]
        assert isinstance(index, int), "every run of a plan is tagged with its step"
        self._note(None if self._under_way else index)
        self._under_way += 1
        try:
            return await self._engine.pool.run(self._settled(request))
        finally:
            self._under_way -= 1

    def _note(self, index: int | None) -> None:
        """Note which step is under way; of several, nobody knows which of them kills the process.

        What stands there already is not written again: several servers begin a step now and then.
        """
        assert self._note_step is not None, "it runs inside the journal"
        if index is not None or index != self._noted:
            self._note_step(index)
            self._noted = index

    def _settled(self, request: RunRequest) -> RunRequest:
        """Return a step's run, and what follows it, with what the plan has settled."""

        def following() -> RunRequest | None:
            later = request.following()
            return None if later is None else self._settled(later)

        config = with_defaults(request.config, self._defaults)
        return attrs.evolve(request, config=config, pictures=self._images, following=following)

    async def _store(self, stored: StoredPlan, _: Capabilities) -> Resumption:
        """Begin a plan that is new."""
        await store_new_plan(self._folder(stored.plan_id), stored)
        return Resumption()

    async def _take_up(
        self, stored: StoredPlan, capabilities: Capabilities, *, only_failed: bool
    ) -> Resumption:
        """Go on with a plan, now that nobody else can change what there is of it."""
        folder = self._folder(stored.plan_id)
        progress = await anyio.to_thread.run_sync(prepared_progress, folder, stored, capabilities)
        self._engine.bus.sequence = max(self._engine.bus.sequence, progress.sequence)
        return progress.resumption(only_failed=only_failed)

    def _folder(self, plan_id: str) -> Path:
        return self._engine.settings.out / plan_id

    async def advice(self) -> JointAdvice | None:
        """Return what the adaptive plan that ran last advises, all its settings together.

        None where nothing of it was rated, or the last plan was none.
        """
        return await anyio.to_thread.run_sync(answer_of, self._explorer)
