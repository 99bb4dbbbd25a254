"""Runs a plan: one pipeline coroutine per step, each in its own cancel scope.

- A failed step does not end the plan and loses nothing that was done.
- The runner's own cancel (`cancel_step`, a step's deadline) becomes an outcome; anybody
  else's cancellation passes through untouched, and `result` still says what was finished.
- When the backend could not be reached in three steps one after the other, all is wrong: the rest
  is not run.
- Steps that need another model come after those that do not, so that it is loaded once; results
  are in the plan's order.
- Seed −1 is drawn once per plan, so that steps differ by the swept value alone.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import anyio
import anyio.to_thread
import attrs

from stablenew._clock import PLAN_ID_LENGTH, Clock, checked_id
from stablenew.config.overrides import with_seed
from stablenew.config.pipeline_config import STAGES, PipelineConfig, Setting
from stablenew.errors import StageTimeoutError
from stablenew.events.bus import EventBus
from stablenew.events.event import Event
from stablenew.learning.feedback_reader import Rating
from stablenew.learning.gallery import Shown
from stablenew.learning.learning_events import (
    PlanExtended,
    PlanFinished,
    PlanPaused,
    PlanResumed,
    PlanStarted,
    StepFinished,
    StepStarted,
)
from stablenew.learning.learning_plan import (
    Earlier,
    LearningExecutionContext,
    LearningExecutionResult,
    LearningRunResult,
    LearningRunStep,
    derive_steps,
    further_steps,
    summarize,
)
from stablenew.pipeline.results import Failure, Outcome, PipelineRunResult
from stablenew.pipeline.run_request import RunRequest

logger = logging.getLogger(__name__)


Rate = Callable[[Shown], Awaitable[Rating | int | None]]
"""Asked for a picture's rating; None for none."""


class NextValues(Protocol):
    """Says what an adaptive plan makes next."""

    async def next_values(
        self, results: Sequence[LearningRunResult], tell: Callable[[Event], Awaitable[None]]
    ) -> Sequence[Setting]:
        """Return the next values, none when the plan is at its end."""
        ...


Begin = Callable[[int], Awaitable[None]]


async def _begin_nothing(index: int) -> None:
    """Take a step's beginning and do nothing."""


_DEADLY = Failure(
    kind="Quarantined", message="was under way when the process was killed, twice; set aside"
)

_UNREACHABLE_STEPS = 3
"""Steps in a row without a backend after which a plan ends."""


@attrs.define(eq=False)
class _Execution:
    """One plan under way."""

    context: LearningExecutionContext
    plan_id: str
    metadata: Mapping[str, object]
    steps: tuple[LearningRunStep, ...]
    results: list[LearningRunResult] = attrs.field(factory=list)
    outcome: Outcome = Outcome.CANCELLED
    explorer: NextValues | None = None
    started: float = 0.0
    earlier: Earlier = Earlier()
    begin: Begin = _begin_nothing

    @property
    def hopeless(self) -> bool:
        """Whether the last steps all failed because nobody answered."""
        last = self.results[-_UNREACHABLE_STEPS:]
        unreachable = [each.error for each in last if each.error and each.error.unreachable]
        return len(unreachable) == _UNREACHABLE_STEPS

    @property
    def to_run(self) -> tuple[LearningRunStep, ...]:
        return self.steps[: self.context.max_steps]

    def result(self) -> LearningExecutionResult:
        return LearningExecutionResult(
            plan=self.context.plan,
            plan_id=self.plan_id,
            outcome=self.outcome,
            step_results=tuple(sorted(self.results, key=lambda each: each.step.index)),
            metadata=self.metadata,
            summary=summarize(self.results, len(self.steps), self.outcome),
        )


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
        self._execution: _Execution | None = None
        self._step_scope: anyio.CancelScope | None = None
        self._paused = False
        self._resumed = anyio.Event()

    @property
    def result(self) -> LearningExecutionResult | None:
        """What is known of the plan under way, or of the one that ended last."""
        return self._execution.result() if self._execution else None

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

    async def run(
        self,
        context: LearningExecutionContext,
        explorer: NextValues | None = None,
        *,
        earlier: Earlier = Earlier(),
        begin: Begin = _begin_nothing,
    ) -> LearningExecutionResult:
        """Run every step of a plan.

        Args:
            context: The plan, made ready to run.
            explorer: Says what an adaptive plan goes on with after its own values.
            earlier: Of a plan that goes on: what it did before.
            begin: Awaited before each step that runs, with its index.

        Raises:
            ConfigError: The plan or its id is wrong; nothing ran and nothing was told.
        """
        plan_id = checked_id("plan_id", context.plan_id or self._clock.new_id(), PLAN_ID_LENGTH)
        config = with_seed(context.base_config, self._clock.draw_seed)
        steps = await anyio.to_thread.run_sync(
            derive_steps, context.plan, config, context.max_images_per_step
        )
        metadata = {**context.plan.metadata, **context.metadata}
        context = attrs.evolve(context, base_config=config)
        if earlier.further:
            steps += further_steps(context.plan, config, earlier.further, steps)
        execution = self._execution = _Execution(context, plan_id, metadata, steps)
        execution.started = self._clock.monotonic()
        execution.explorer, execution.earlier, execution.begin = explorer, earlier, begin
        try:
            await self._run_steps(execution)
        finally:
            self._paused = False
        return execution.result()

    async def _run_steps(self, execution: _Execution) -> None:
        plan = execution.context.plan
        to_run = execution.to_run
        try:
            await self._tell(
                execution,
                PlanStarted,
                steps=len(to_run),
                stage=plan.stage,
                variable=plan.target_variable,
                values=tuple(step.value for step in to_run),
                images=max((step.images_requested for step in to_run), default=0),
                metadata=execution.metadata,
                y_variable=plan.y_variable,
                y_values=tuple(step.y_value for step in to_run) if plan.y_variable else (),
            )
            await self._run_all(execution)
            succeeded = all(each.outcome.good for each in execution.results)
            execution.outcome = Outcome.SUCCEEDED if succeeded else Outcome.FAILED
        finally:
            summary = summarize(execution.results, len(execution.steps), execution.outcome)
            await self._tell(execution, PlanFinished, outcome=execution.outcome, summary=summary)

    async def _run_all(self, execution: _Execution) -> None:
        to_run = execution.to_run
        while to_run:
            for step in by_model(to_run):
                if await self._passed_over(execution, step):
                    continue
                if self._out_of_time(execution):
                    logger.info("plan %s: no time for another step", execution.plan_id)
                    return
                await self._wait_while_paused(execution)
                await execution.begin(step.index)
                await self._run_step(execution, step)
                if execution.hopeless:
                    logger.warning("plan %s: nobody answers; it ends", execution.plan_id)
                    return
            to_run = await self._extend(execution)

    async def _wait_while_paused(self, execution: _Execution) -> None:
        if self._paused:
            await self._tell(execution, PlanPaused)
            while self._paused:
                await self._resumed.wait()
            await self._tell(execution, PlanResumed)

    async def _extend(self, execution: _Execution) -> tuple[LearningRunStep, ...]:
        """Return the next steps of an adaptive plan; none for any other."""
        if execution.explorer is None:
            return ()

        async def tell(event: Event) -> None:
            if self._bus is not None:
                about = attrs.evolve(event, at=self._clock.now(), plan_id=execution.plan_id)
                await self._bus.publish(about)

        values = await execution.explorer.next_values(tuple(execution.results), tell)
        if not values:
            return ()
        context = execution.context
        steps = further_steps(context.plan, context.base_config, values, execution.steps)
        execution.steps += steps
        to_run = execution.to_run[len(execution.steps) - len(steps) :]
        if to_run:
            told = tuple(step.value for step in to_run)
            await self._tell(execution, PlanExtended, values=told, steps=len(execution.to_run))
        return to_run

    def _out_of_time(self, execution: _Execution) -> bool:
        """Return whether another step, as long as the longest so far, would take too long."""
        limit = execution.context.max_seconds
        longest = max((each.duration for each in execution.results), default=0.0)
        elapsed = self._clock.monotonic() - execution.started
        return limit is not None and longest > 0 and elapsed + longest > limit

    async def _passed_over(self, execution: _Execution, step: LearningRunStep) -> bool:
        """Tell of a step that is not run: finished before, or set aside; False for any other."""
        earlier = execution.earlier
        outputs = earlier.finished.get(step.index, ())
        error = None
        if step.index in earlier.finished:
            outcome = Outcome.REUSED
        elif step.index in earlier.quarantined:
            outcome, error = Outcome.QUARANTINED, _DEADLY
        else:
            return earlier.only is not None and step.index not in earlier.only
        request = self._request(execution, step)
        result = LearningRunResult(
            step=step,
            outcome=outcome,
            run_id=request.run_id,
            error=error,
            tags=request.metadata,
        )
        execution.results.append(result)
        await self._tell(
            execution,
            StepFinished,
            run_id=request.run_id,
            outcome=outcome,
            error=error,
            outputs=outputs,
            index=step.index,
            steps=len(execution.to_run),
            value=step.value,
            y_value=step.y_value,
        )
        return True

    async def _run_step(self, execution: _Execution, step: LearningRunStep) -> None:
        request = self._request(execution, step)
        about = {
            "index": step.index,
            "steps": len(execution.to_run),
            "value": step.value,
            "y_value": step.y_value,
        }
        started = self._clock.monotonic()
        result = LearningRunResult(
            step=step, outcome=Outcome.CANCELLED, run_id=request.run_id, tags=request.metadata
        )
        try:
            with anyio.CancelScope() as self._step_scope:
                await self._tell(execution, StepStarted, run_id=request.run_id, **about)
                result = await self._outcome(result, request, self._step_scope)
            if self._step_scope.cancelled_caught:
                result = self._cut(result, request, self._step_scope)
        finally:
            duration = self._clock.monotonic() - started
            result = attrs.evolve(result, duration=duration, run_result=self._run_result(result))
            execution.results.append(result)
            await self._tell(
                execution,
                StepFinished,
                run_id=request.run_id,
                outcome=result.outcome,
                error=result.error,
                outputs=result.run_result.final_outputs if result.run_result else (),
                **about,
            )

    def _run_result(self, result: LearningRunResult) -> PipelineRunResult | None:
        """Return what became of a step's run, also where it was cut short."""
        last = result.run_result or self._last_result()
        return last if last is not None and last.run_id == result.run_id else result.run_result

    async def _outcome(
        self, result: LearningRunResult, request: RunRequest, scope: anyio.CancelScope
    ) -> LearningRunResult:
        """Run one step and return `result` with what became of it; its deadline starts here."""
        if request.timeout is not None:
            scope.deadline = anyio.current_time() + request.timeout
        try:
            run = await self._run_pipeline(request)
        except StageTimeoutError as error:
            return attrs.evolve(result, outcome=Outcome.TIMED_OUT, error=Failure.of(error))
        except Exception as error:  # a failed step does not end the plan
            logger.warning("run %s failed: %s", request.run_id, error, exc_info=True)
            return attrs.evolve(result, outcome=Outcome.FAILED, error=Failure.of(error))
        return attrs.evolve(result, outcome=run.outcome, error=run.error, run_result=run)

    def _cut(
        self, result: LearningRunResult, request: RunRequest, scope: anyio.CancelScope
    ) -> LearningRunResult:
        """Return `result` for a step whose own scope ended it: its deadline, or `cancel_step`."""
        if anyio.current_time() < scope.deadline:
            return result
        late = Failure(kind="TimeoutError", message=f"not done after {request.timeout:g} s")
        return attrs.evolve(result, outcome=Outcome.TIMED_OUT, error=late)

    def _request(self, execution: _Execution, step: LearningRunStep) -> RunRequest:
        """Return the step's run, tagged as every learning run is."""
        tags = {
            **execution.metadata,
            "run_type": "learning",
            "plan_id": execution.plan_id,
            "step_index": step.index,
            "experiment_name": execution.metadata.get("experiment_name") or "",
            "stage": step.stage,
            "variable_name": step.variable,
            "variable_value": step.value,
            "plan_steps": len(execution.to_run),
        }
        if step.y_variable is not None:
            tags |= {"y_variable": step.y_variable, "y_value": step.y_value}
        return RunRequest(
            run_id=f"{execution.plan_id}-{step.index + 1:05d}",
            plan_id=execution.plan_id,
            config=step.config_snapshot,
            images=step.images_requested,
            metadata=tags,
            timeout=execution.context.step_timeout,
        )

    async def _tell(
        self,
        execution: _Execution,
        kind: type[Event],
        run_id: str | None = None,
        **values: object,
    ) -> None:
        if self._bus is None:
            return
        event = kind(
            at=self._clock.now(),
            plan_id=execution.plan_id,
            run_id=run_id,
            **values,  # type: ignore[arg-type]  # each caller names the fields of its event
        )
        await self._bus.publish(event)


def by_model(steps: Sequence[LearningRunStep]) -> list[LearningRunStep]:
    """Return steps so that a model is loaded once; else in their order."""
    seen: dict[tuple[Setting, ...], int] = {}
    order = [seen.setdefault(_models(step.config_snapshot), len(seen)) for step in steps]
    ranked = sorted(range(len(steps)), key=lambda place: (order[place], place))
    return [steps[place] for place in ranked]


def _models(config: PipelineConfig) -> tuple[Setting, ...]:
    stages = [getattr(config, name) for name in STAGES]
    return tuple(
        getattr(stage, name, None) for stage in stages if stage.enabled for name in _LOADED
    )


_LOADED = ("model", "vae", "refiner_checkpoint")
"""Settings that have a server load something large."""
