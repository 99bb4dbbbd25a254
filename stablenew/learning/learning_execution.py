"""Runs a plan: one pipeline coroutine per step, each in its own cancel scope.

- A failed step does not end the plan and loses nothing that was done.
- The runner's own cancel (`cancel_step`, a step's deadline) becomes an outcome; anybody
  else's cancellation passes through untouched, and `result` still says what was finished.
- When the backend could not be reached in three steps one after the other, all is wrong: the rest
  is not run.
- What says what an adaptive plan makes next (its scorer, above all) may fail: that ends the plan,
  failed, with the error; what was made is kept.
- Steps that need another model come after those that do not, so that it is loaded once; results
  are in the plan's order.
- Seed −1 is drawn once per plan, so that steps differ by the swept value alone.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import anyio
import anyio.to_thread
import attrs

from stablenew._clock import PLAN_ID_LENGTH, Clock, checked_id
from stablenew.config.overrides import with_seed
from stablenew.config.pipeline_config import Setting
from stablenew.errors import StageTimeoutError
from stablenew.events.bus import EventBus
from stablenew.events.event import Event
from stablenew.learning.execution_context import LearningExecutionContext
from stablenew.learning.feedback_reader import Rating
from stablenew.learning.gallery import Shown
from stablenew.learning.learning_plan import LearningRunStep
from stablenew.learning.learning_result import LearningExecutionResult, LearningRunResult
from stablenew.learning.learning_steps import derive_steps
from stablenew.learning.plan_announcer import PlanAnnouncer
from stablenew.learning.plan_execution import PlanExecution
from stablenew.learning.step_order import in_order
from stablenew.pipeline.results import Failure, Outcome, PipelineRunResult
from stablenew.pipeline.run_request import RunRequest

logger = logging.getLogger(__name__)


class Rate(Protocol):
    """What an adaptive plan asks for ratings; any `async def` of one picture is one."""

    def __call__(self, picture: Shown, /) -> Awaitable[Rating | int | None]:
        """Return a picture's rating, a whole number from 1 (bad) to 5 (good).

        None is none; where every picture of a round has none, that was enough. A `Rating` without
        a number leaves a picture unrated, and the plan goes on.
        """
        ...


class NextValues(Protocol):
    """Says what an adaptive plan makes next."""

    async def next_values(
        self, results: Sequence[LearningRunResult], tell: Callable[[Event], Awaitable[None]]
    ) -> Sequence[Setting]:
        """Return the next values, none when the plan is at its end."""
        ...


class LearningExecutionRunner:
    """Runs plans, one at a time; see the module.

    Args:
        run_pipeline: Awaited once per step.
        bus: Hears of the plan and its steps, if given.
        last_result: Tells what became of the run that `run_pipeline` ended last, if given: a step
            that was cut short then has its run's result too.
        clock: Where times, ids and seeds come from.
    """

    def __init__(
        self,
        run_pipeline: Callable[[RunRequest], Awaitable[PipelineRunResult]],
        *,
        bus: EventBus | None = None,
        last_result: Callable[[], PipelineRunResult | None] = lambda: None,
        clock: Clock = Clock(),
    ) -> None:
        self._run_pipeline = run_pipeline
        self._bus = bus
        self._last_result = last_result
        self._clock = clock
        self._execution: PlanExecution | None = None
        self._step_scope: anyio.CancelScope | None = None
        self._paused = False
        self._resumed = anyio.Event()

    @property
    def result(self) -> LearningExecutionResult | None:
        """What is known of the plan under way, or of the one that ended last."""
        return self._execution.result if self._execution else None

    def result_of(self, plan_id: str) -> LearningExecutionResult | None:
        """Return `result` if it is this plan's, else None."""
        result = self.result
        return result if result is not None and result.plan_id == plan_id else None

    def cancel_step(self) -> None:
        """Cancel the step under way; the plan goes on with the next."""
        if self._step_scope is not None:
            self._step_scope.deadline = math.inf  # so that it is not taken for a timeout
            self._step_scope.cancel()

    @property
    def paused(self) -> bool:
        """Whether the plan stops before its next step."""
        return self._paused

    def pause(self) -> None:
        """Let the step under way end, and wait before the next one until `resume`."""
        self._paused = True

    def resume(self) -> None:
        """Go on with the plan."""
        self._paused = False
        self._resumed.set()
        self._resumed = anyio.Event()

    def make_ready(self, *, paused: bool) -> None:
        """Forget the plan that ended last, and that somebody paused it: another one begins."""
        self._execution = None
        self.resume()
        self._paused = paused

    async def run(
        self, context: LearningExecutionContext, explorer: NextValues | None = None
    ) -> LearningExecutionResult:
        """Run every step of a plan that is not finished.

        Args:
            context: The plan, made ready to run.
            explorer: Says what an adaptive plan goes on with after its own values.

        Raises:
            ConfigError: The plan or its id is wrong; nothing ran and nothing was told.
        """
        plan_id = checked_id("plan_id", context.plan_id or self._clock.new_id(), PLAN_ID_LENGTH)
        config = with_seed(context.base_config, self._clock.draw_seed)
        steps = await anyio.to_thread.run_sync(
            derive_steps, context.plan, config, context.max_images_per_step
        )
        context = attrs.evolve(context, base_config=config)
        execution = PlanExecution(context=context, plan_id=plan_id, steps=steps)
        if context.resumption.added_values:
            execution.extend(context.resumption.added_values)
        self._execution = execution
        announcer = PlanAnnouncer(execution, self._bus, self._clock)
        beginning = await anyio.to_thread.run_sync(announcer.beginning)
        try:
            await announcer.publish(beginning)
            await self._run_steps(execution, announcer, explorer)
            execution.conclude()
        finally:
            self._paused = False
            await announcer.finished()
        return execution.result

    async def _run_steps(
        self, execution: PlanExecution, announcer: PlanAnnouncer, explorer: NextValues | None
    ) -> None:
        started = self._clock.monotonic()
        only = execution.context.resumption.only
        to_run = execution.to_run
        while to_run:
            for step in await anyio.to_thread.run_sync(in_order, execution.context.plan, to_run):
                if (before := execution.passed_over(step)) is not None:
                    execution.end_step(*before)
                    await announcer.step_finished(*before)
                    continue
                if only is not None and step.index not in only:
                    continue
                if execution.too_late(self._clock.monotonic() - started):
                    logger.info("plan %s: no time for another step", execution.plan_id)
                    execution.out_of_time = True
                    return
                await self._wait_while_paused(announcer)
                await self._run_step(execution, announcer, step)
                if execution.unreachable:
                    logger.warning("plan %s: nobody answers; it ends", execution.plan_id)
                    return
            to_run = await self._extend(execution, announcer, explorer)

    async def _wait_while_paused(self, announcer: PlanAnnouncer) -> None:
        if self._paused:
            await announcer.paused()
            while self._paused:
                await self._resumed.wait()
            await announcer.resumed()

    async def _extend(
        self, execution: PlanExecution, announcer: PlanAnnouncer, explorer: NextValues | None
    ) -> Sequence[LearningRunStep]:
        """Return the next steps of an adaptive plan; none for any other."""
        if explorer is None:
            return ()
        try:
            values = await explorer.next_values(tuple(execution.results), announcer.publish)
        except Exception as error:  # a scorer is code of others; its error is an outcome
            logger.warning("plan %s: %s", execution.plan_id, error, exc_info=True)
            execution.error = Failure.of(error)
            return ()
        if not values:
            return ()
        to_run = execution.extend(values)
        if to_run:
            await announcer.extended([step.value for step in to_run])
        return to_run

    async def _run_step(
        self, execution: PlanExecution, announcer: PlanAnnouncer, step: LearningRunStep
    ) -> None:
        request = execution.request(step)
        started = self._clock.monotonic()
        result = LearningRunResult(
            step=step, outcome=Outcome.CANCELLED, run_id=request.run_id, tags=request.metadata
        )
        try:
            with anyio.CancelScope() as self._step_scope:
                await announcer.step_started(step, request.run_id)
                result = await self._outcome(result, request, self._step_scope)
            if self._step_scope.cancelled_caught:
                result = self._cut(result, request, self._step_scope)
        finally:
            duration = self._clock.monotonic() - started
            result = attrs.evolve(result, duration=duration, run_result=self._run_result(result))
            outputs = result.run_result.final_outputs if result.run_result else ()
            execution.end_step(result, outputs)
            await announcer.step_finished(result, outputs)

    def _run_result(self, result: LearningRunResult) -> PipelineRunResult | None:
        """Return what became of a step's run, also where it was cut short."""
        last = result.run_result or self._last_result()
        return last if last is not None and last.run_id == result.run_id else result.run_result

    async def _outcome(
        self, result: LearningRunResult, request: RunRequest, scope: anyio.CancelScope
    ) -> LearningRunResult:
        """Run one step and return `result` with what became of it; its deadline starts here."""
        request = request.begun()
        scope.deadline = request.deadline
        try:
            run = await self._run_pipeline(request)
        except StageTimeoutError as error:
            return attrs.evolve(result, outcome=Outcome.TIMED_OUT, error=Failure.of(error))
        except Exception as error:  # a failed step does not end the plan
            logger.warning("run %s failed: %s", request.run_id, error, exc_info=True)
            return attrs.evolve(result, outcome=Outcome.FAILED, error=Failure.of(error))
        outcome = Outcome.REUSED if run.reused else run.outcome
        return attrs.evolve(result, outcome=outcome, error=run.error, run_result=run)

    def _cut(
        self, result: LearningRunResult, request: RunRequest, scope: anyio.CancelScope
    ) -> LearningRunResult:
        """Return `result` for a step whose own scope ended it: its deadline, or `cancel_step`."""
        if anyio.current_time() < scope.deadline:
            return result
        late = Failure(kind="TimeoutError", message=f"not done after {request.timeout:g} s")
        return attrs.evolve(result, outcome=Outcome.TIMED_OUT, error=late)
