"""Runs learning plans, on demand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import anyio
import anyio.to_thread
import attrs
from anyio.lowlevel import checkpoint

from stablenew._clock import PLAN_ID_LENGTH, Clock, checked_id
from stablenew.backends.base import Capabilities
from stablenew.config.overrides import with_seed
from stablenew.config.pipeline_config import PipelineConfig
from stablenew.config.settings import Settings
from stablenew.controller.activity import State
from stablenew.controller.pipeline_controller import PipelineController
from stablenew.controller.plan_progress import PlanProgress, read_plan_progress
from stablenew.errors import ConfigError
from stablenew.events.bus import EventBus
from stablenew.learning.gallery import PLAN_FILE, plan_runs
from stablenew.learning.learning_adapter import build_learning_plan_from_dict
from stablenew.learning.learning_events import PlanFinished, StepFinished
from stablenew.learning.learning_execution import LearningExecutionRunner, NextValues, Rate
from stablenew.learning.learning_plan import (
    Earlier,
    LearningExecutionContext,
    LearningExecutionResult,
    LearningPlan,
    derive_steps,
    summarize,
)
from stablenew.learning.plan_file import StoredPlan, encode_plan_file, read_plan_file
from stablenew.pipeline.results import Outcome
from stablenew.pipeline.stage_plan import plan_stages
from stablenew.storage import files


class LearningExecutionController:
    """Starts plans, cancels them or a step of them, and keeps the last result.

    Args:
        pipeline: Runs each step and decides whether it is recorded.
        bus: Where plans are told.
        settings: Where things go and how long to wait.
        clock: Where ids and seeds come from.
    """

    def __init__(
        self,
        pipeline: PipelineController,
        bus: EventBus,
        settings: Settings,
        *,
        clock: Clock = Clock(),
    ) -> None:
        self._pipeline = pipeline
        self._settings = settings
        self._bus = bus
        self._clock = clock
        self._runner = LearningExecutionRunner(
            pipeline.runner.run,
            bus=bus,
            last_result=lambda: pipeline.runner.last_result,
            clock=clock,
        )
        self._last_result: LearningExecutionResult | None = None

    @property
    def state(self) -> State:
        """What is going on now."""
        return self._pipeline.state

    @property
    def last_result(self) -> LearningExecutionResult | None:
        """What became of the plan that ended last, in whatever way; None before the first."""
        return self._last_result

    def get_last_learning_execution_result_for_tests(self) -> LearningExecutionResult | None:
        """Return `last_result`, under the name that older callers know."""
        return self._last_result

    def cancel_plan(self) -> None:
        """Cancel the plan under way; `run_learning_plan` then returns what was done."""
        self._pipeline.activity.cancel()

    @property
    def paused(self) -> bool:
        """Whether the plan stops before its next step."""
        return self._runner.paused

    def pause(self) -> None:
        """Let the step under way end, and wait before the next one until `resume`.

        Where no plan is under way there is nothing to pause; the next one starts as always.
        """
        if self.state is State.RUNNING:
            self._runner.pause()

    def resume(self) -> None:
        """Go on with a plan that was paused."""
        self._runner.resume()

    def cancel_step(self) -> None:
        """Cancel the step under way; the plan goes on with the next."""
        self._runner.cancel_step()

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

        An adaptive plan asks for a rating of every picture, and goes on with the values that the
        ratings promise most of; it ends when one more picture would not change the advice. It tells
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
            StableNewError: Something is under way already.
        """
        plan_id = checked_id("plan_id", plan_id or self._clock.new_id(), PLAN_ID_LENGTH)
        if not isinstance(plan, LearningPlan):
            plan = build_learning_plan_from_dict(plan)
        if not isinstance(base_config, PipelineConfig):
            base_config = PipelineConfig.from_dict(base_config)
        if plan.mode == "adaptive":
            most = max(1, plan.max_pictures // plan.images_per_step)
            max_steps = min(max_steps or most, most)
        context = LearningExecutionContext(
            plan=plan,
            base_config=with_seed(base_config, self._clock.draw_seed),
            max_steps=max_steps,
            step_timeout=self._settings.step_timeout,
            metadata=metadata or {},
            plan_id=plan_id,
            max_seconds=max_seconds,
        )
        return await self._run_context(context, rate)

    async def resume_plan(
        self,
        plan_id: str,
        *,
        only_failed: bool = False,
        max_seconds: float | None = None,
        rate: Rate | None = None,
    ) -> LearningExecutionResult:
        """Go on with a plan that was cancelled, killed, or had steps that failed.

        What is finished is neither run nor recorded again; a step that was cut goes on after its
        last finished stage. A step that was under way when the process was killed, twice, is set
        aside. The backend is the app's, learning is as it was.

        Args:
            plan_id: Its folder is in the folder of all runs.
            only_failed: Run the steps again that failed, timed out or were set aside; no others.
            max_seconds: Begin no step that would not be done by then.
            rate: As for `run_learning_plan`.

        Raises:
            ConfigError: There is no such plan, or the backend lacks something; nothing ran.
            BackendUnavailableError: The backend cannot be reached; nothing ran.
            StableNewError: Something is under way already.
        """
        folder = self._settings.out / checked_id("plan_id", plan_id, PLAN_ID_LENGTH)
        stored = await anyio.to_thread.run_sync(read_plan_file, folder)
        context = LearningExecutionContext(
            plan=stored.plan,
            base_config=stored.config,
            max_steps=stored.max_steps,
            step_timeout=self._settings.step_timeout or stored.step_timeout,
            metadata=stored.metadata,
            plan_id=plan_id,
            max_seconds=max_seconds,
        )
        return await self._run_context(context, rate, stored, only_failed=only_failed)

    async def _run_context(
        self,
        context: LearningExecutionContext,
        rate: Rate | None,
        stored: StoredPlan | None = None,
        *,
        only_failed: bool = False,
    ) -> LearningExecutionResult:
        """Run a plan, or go on with one that is stored."""
        with anyio.CancelScope() as scope, self._pipeline.activity.under(scope):
            self._runner.resume()
            try:
                await self._run(context, rate, stored, only_failed)
            except anyio.get_cancelled_exc_class():  # also where it had not begun
                self._last_result = self._result(context)
                raise
            except BaseException:
                if self._ran(context):
                    self._last_result = self._runner.result
                raise
        self._last_result = self._result(context)
        return self._last_result

    async def _run(
        self,
        context: LearningExecutionContext,
        rate: Rate | None,
        stored: StoredPlan | None,
        only_failed: bool,
    ) -> None:
        folder = self._settings.out / str(context.plan_id)
        capabilities = await self._pipeline.runner.capabilities()
        context = attrs.evolve(context, plan=spelled_plan(context.plan, capabilities))
        await anyio.to_thread.run_sync(check_steps, context, capabilities)
        logging = self._pipeline.logging(folder, (StepFinished, PlanFinished), context.plan_id)
        async with logging as note:
            earlier = Earlier()
            if stored is None:
                stored = self._stored(context)
                await files.replace(folder / PLAN_FILE, encode_plan_file(stored))
            else:  # now that nobody else can change what there is
                progress = await anyio.to_thread.run_sync(_prepared, folder, stored)
                self._bus.sequence = max(self._bus.sequence, progress.sequence)
                earlier = progress.earlier(only_failed=only_failed)
            recording = self._pipeline.recording(earlier.recorded, enabled=stored.learning_enabled)
            async with recording:
                explorer = self._explorer(context, rate)
                await self._runner.run(context, explorer, earlier=earlier, begin=note)
        await checkpoint()  # a cancel that came with the last write ends here, not in the caller

    def _explorer(self, context: LearningExecutionContext, rate: Rate | None) -> NextValues | None:
        if context.plan.mode != "adaptive":
            return None
        from stablenew.advice.explorer import Explorer  # numpy: only where it is needed

        return Explorer(context.plan, self._settings.out, rate)

    def _stored(self, context: LearningExecutionContext) -> StoredPlan:
        return StoredPlan(
            plan_id=context.plan_id or "",
            created_at=self._clock.now(),
            plan=context.plan,
            config=context.base_config,
            max_steps=context.max_steps,
            step_timeout=context.step_timeout,
            backend=self._settings.backend,
            url=self._settings.url if self._settings.backend == "webui" else None,
            learning_enabled=self._pipeline.learning_enabled,
            metadata=context.metadata,
        )

    def _ran(self, context: LearningExecutionContext) -> bool:
        result = self._runner.result
        return result is not None and result.plan_id == context.plan_id

    def _result(self, context: LearningExecutionContext) -> LearningExecutionResult:
        """Return what became of the plan, or that it ended before its first step."""
        result = self._runner.result
        if result is not None and self._ran(context):
            return result
        return LearningExecutionResult(
            plan=context.plan,
            plan_id=context.plan_id or "",
            outcome=Outcome.CANCELLED,
            metadata={**context.plan.metadata, **context.metadata},
            summary=summarize((), context.plan.count, Outcome.CANCELLED),
        )


def _prepared(folder: Path, stored: StoredPlan) -> PlanProgress:
    """Return how far a plan got, rid of what was half-written; blocks, for a worker thread."""
    for each in (folder, *plan_runs(folder)):  # a kill may come after the end, over the page
        files.clear_temporaries(each)
    return read_plan_progress(folder, stored)


def spelled_plan(plan: LearningPlan, capabilities: Capabilities) -> LearningPlan:
    """Return a plan with its values spelled as the backend spells them; records keep those."""
    y_name = (plan.y_variable or "").partition(".")[2]
    return attrs.evolve(
        plan,
        sweep_values=tuple(
            capabilities.spelled(plan.target_variable, v) for v in plan.sweep_values
        ),
        y_values=tuple(capabilities.spelled(y_name, value) for value in plan.y_values),
    )


def check_steps(context: LearningExecutionContext, capabilities: Capabilities) -> None:
    """See that every step can be planned on a backend. Pure.

    Raises:
        ConfigError: With every problem of every step, each once.
    """
    problems: dict[str, None] = {}
    for step in derive_steps(context.plan, context.base_config):
        try:
            plan_stages(step.config_snapshot, capabilities)
        except ConfigError as error:
            problems.update(dict.fromkeys(error.problems))
    if problems:
        raise ConfigError(*problems)
