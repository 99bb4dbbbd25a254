"""Runs a step: a pipeline coroutine in its own cancel scope, told however it ends."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable

import anyio
import attrs

from stablenew._clock import Clock
from stablenew.errors import StageTimeoutError
from stablenew.learning.learning_plan import LearningRunStep
from stablenew.learning.learning_result import LearningRunResult
from stablenew.learning.plan_announcer import PlanAnnouncer
from stablenew.learning.plan_execution import PlanExecution
from stablenew.pipeline.results import Failure, Outcome, PipelineRunResult
from stablenew.pipeline.run_request import RunRequest

logger = logging.getLogger(__name__)

Moves = Callable[[LearningRunResult], bool]
"""Says of a step that ended whether it goes to another node instead."""


class StepRunner:
    """Runs steps, each in its own cancel scope.

    Args:
        run_pipeline: Awaited once per step.
        result_of: Tells what became of a run that `run_pipeline` has just ended.
        clock: Where durations come from.
    """

    def __init__(
        self,
        run_pipeline: Callable[[RunRequest], Awaitable[PipelineRunResult]],
        result_of: Callable[[str], PipelineRunResult | None],
        clock: Clock,
    ) -> None:
        self._run_pipeline = run_pipeline
        self._result_of = result_of
        self._clock = clock
        self._scopes: dict[int, anyio.CancelScope] = {}

    @property
    def running(self) -> int:
        """How many steps are under way."""
        return len(self._scopes)

    def cancel(self, index: int | None = None) -> None:
        """Cancel a step, or all that are under way."""
        for each, scope in self._scopes.items():
            if index is None or each == index:
                scope.deadline = math.inf  # so that it is not taken for a timeout
                scope.cancel()

    async def run(
        self,
        execution: PlanExecution,
        announcer: PlanAnnouncer,
        step: LearningRunStep,
        node: str,
        moves: Moves,
        following: Callable[[], RunRequest | None],
        *,
        several: bool,
    ) -> LearningRunResult:
        """Run a step.

        Args:
            execution: The plan, which notes what became of it.
            announcer: Tells it.
            step: One of the plan's.
            node: Where it runs; "" where that has no name.
            moves: Asked where it ended by itself; what moves is no end of the step.
            following: Asked for the run that follows on this node.
            several: Whether the run has to name its node, for there are others.
        """
        request = execution.request(step, node if several else None)
        request = attrs.evolve(request, following=following)
        started = self._clock.monotonic()
        result = LearningRunResult(
            step=step, outcome=Outcome.CANCELLED, run_id=request.run_id, tags=request.metadata
        )
        scope = self._scopes[step.index] = anyio.CancelScope()
        try:
            with scope:
                await announcer.step_started(step, request.run_id, node)
                result = await self._outcome(result, request, scope)
            if scope.cancelled_caught:
                result = self._cut(result, request, scope)
        finally:
            del self._scopes[step.index]
            duration = self._clock.monotonic() - started
            result = attrs.evolve(result, duration=duration, run_result=self._run_result(result))
            if moves(result):
                await announcer.step_moved(result, node)
            else:
                outputs = result.run_result.final_outputs if result.run_result else ()
                execution.end_step(result, outputs)
                await announcer.step_finished(result, outputs, node)
        return result

    def _run_result(self, result: LearningRunResult) -> PipelineRunResult | None:
        """Return what became of a step's run, also where it was cut short."""
        return result.run_result or self._result_of(result.run_id)

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
        """Return `result` for a step whose own scope ended it: its deadline, or `cancel`."""
        if anyio.current_time() < scope.deadline:
            return result
        late = Failure(kind="TimeoutError", message=f"not done after {request.timeout:g} s")
        return attrs.evolve(result, outcome=Outcome.TIMED_OUT, error=late)
