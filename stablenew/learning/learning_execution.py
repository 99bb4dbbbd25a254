"""Runs a plan: one pipeline coroutine per step, each in its own cancel scope.

- A failed step does not end the plan and loses nothing that was done.
- The runner's own cancel (`cancel_step`, a step's deadline) becomes an outcome; anybody
  else's cancellation passes through untouched, and `result` still says what was finished.
- Steps run one after the other on a backend, at the same time on several; see `plan_workers`.
- When the backend could not be reached in three steps one after the other, all is wrong: the rest
  is not run.
- An adaptive plan has its pictures rated beside its steps, and goes on with what these say.
- What says what it makes next (its scorer, above all) may fail: that ends the plan, failed, with
  the error; what was made is kept.
- Steps that need another model come after those that do not, so that it is loaded once; results
  are in the plan's order.
- Seed −1 is drawn once per plan, so that steps differ by the swept value alone.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import Protocol

import anyio
import anyio.to_thread
import attrs
from anyio.lowlevel import checkpoint

from stablenew._clock import PLAN_ID_LENGTH, Clock, checked_id
from stablenew.config.overrides import with_seed
from stablenew.errors import ungrouped
from stablenew.events.bus import EventBus
from stablenew.events.event import Event
from stablenew.learning.execution_context import LearningExecutionContext
from stablenew.learning.feedback_reader import Rating
from stablenew.learning.gallery import Shown
from stablenew.learning.learning_plan import LearningRunStep
from stablenew.learning.learning_result import LearningExecutionResult, LearningRunResult
from stablenew.learning.learning_steps import derive_steps
from stablenew.learning.nodes import Nodes, OneNode
from stablenew.learning.plan_announcer import PlanAnnouncer
from stablenew.learning.plan_execution import PlanExecution
from stablenew.learning.plan_pause import PlanPause
from stablenew.learning.plan_workers import PlanWorkers
from stablenew.learning.step_order import in_order
from stablenew.learning.step_runner import StepRunner
from stablenew.pipeline.results import Failure, PipelineRunResult, StageOutput
from stablenew.pipeline.run_request import RunRequest

logger = logging.getLogger(__name__)


class RateAnswer(Enum):
    """What whoever rates may say instead of a rating.

    `ENOUGH` ends the plan with the advice so far; it can be gone on with.
    """

    ENOUGH = "enough"


class Rate(Protocol):
    """What an adaptive plan asks for ratings; any `async def` of one picture is one."""

    def __call__(self, picture: Shown, /) -> Awaitable[Rating | int | RateAnswer | None]:
        """Return a picture's rating, a whole number from 1 (bad) to 5 (good).

        None skips a picture; several in a row are taken for `RateAnswer.ENOUGH`. A `Rating`
        without a number leaves it unrated as well, as often as that is said.
        """
        ...


class Explores(Protocol):
    """Has the pictures of an adaptive plan rated, and says what it goes on with."""

    @property
    def over(self) -> bool:
        """Whether no further step is to begin: whoever rates has had enough, or failed."""
        ...

    @property
    def had_enough(self) -> bool:
        """Whether whoever rates has had enough."""
        ...

    def stop(self) -> None:
        """Have no further step begin."""
        ...

    def take(self, result: LearningRunResult, outputs: Sequence[StageOutput]) -> None:
        """Take up a step that has ended, and its pictures; now or before this plan went on."""
        ...

    async def rate_all(self) -> None:
        """Have what is taken up rated, until this is cancelled."""
        ...

    async def next_cells(self, tell: Callable[[Event], Awaitable[None]]) -> Sequence[int]:
        """Return what to go on with, none when the plan is at its end.

        Args:
            tell: Awaited with what happens.
        """
        ...


class LearningExecutionRunner:
    """Runs plans, one at a time; see the module.

    Args:
        run_pipeline: Awaited once per step.
        bus: Hears of the plan and its steps, if given.
        result_of: Tells what became of a run that `run_pipeline` has just ended, if given: a step
            that was cut short then has its run's result too.
        nodes: What steps run on, several at a time; each run names its node where there are
            several.
        logged: Awaited before what was told is relied upon, if given: until it is on disk.
        clock: Where times, ids and seeds come from.
    """

    def __init__(
        self,
        run_pipeline: Callable[[RunRequest], Awaitable[PipelineRunResult]],
        *,
        bus: EventBus | None = None,
        result_of: Callable[[str], PipelineRunResult | None] = lambda _: None,
        nodes: Nodes | None = None,
        logged: Callable[[], Awaitable[None]] = checkpoint,
        clock: Clock = Clock(),
    ) -> None:
        self._steps = StepRunner(run_pipeline, result_of, clock)
        self._nodes: Nodes = nodes or OneNode()
        self._bus = bus
        self._logged = logged
        self._clock = clock
        self._execution: PlanExecution | None = None
        self._pause = PlanPause()

    @property
    def result(self) -> LearningExecutionResult | None:
        """What is known of the plan under way, or of the one that ended last."""
        return self._execution.result if self._execution else None

    def result_of(self, plan_id: str) -> LearningExecutionResult | None:
        """Return `result` if it is this plan's, else None."""
        result = self.result
        return result if result is not None and result.plan_id == plan_id else None

    def cancel_step(self, index: int | None = None) -> None:
        """Cancel a step under way, or all that are; the plan goes on with the next."""
        self._steps.cancel(index)

    @property
    def paused(self) -> bool:
        """Whether the plan stops before its next step."""
        return self._pause.on

    def pause(self) -> None:
        """Let what is under way end, and wait before the next step until `resume`."""
        self._pause.begin()

    def resume(self) -> None:
        """Go on with the plan."""
        self._pause.end()

    def make_ready(self, *, paused: bool) -> None:
        """Forget the plan that ended last, and that somebody paused it: another one begins."""
        self._execution = None
        self._pause = PlanPause()
        self._pause.on = paused

    async def run(
        self, context: LearningExecutionContext, explorer: Explores | None = None
    ) -> LearningExecutionResult:
        """Run every step of a plan that is not finished.

        Args:
            context: The plan, made ready to run.
            explorer: Says what an adaptive plan goes on with after its first steps.

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
        if context.resumption.added_cells:
            execution.extend(context.resumption.added_cells)
        self._execution = execution
        announcer = PlanAnnouncer(execution, self._bus, self._clock)
        beginning = await anyio.to_thread.run_sync(announcer.beginning)
        try:
            await announcer.publish(beginning)
            if explorer is None:
                await self._run_steps(execution, announcer, None)
            else:
                await self._explore(execution, announcer, explorer)
            execution.conclude()
        finally:
            self._pause.on = False
            await announcer.finished()
        return execution.result

    async def _explore(
        self, execution: PlanExecution, announcer: PlanAnnouncer, explorer: Explores
    ) -> None:
        """Run the steps of an adaptive plan while their pictures are rated."""
        execution.watched_by(explorer.take, lambda: explorer.over)
        with ungrouped():
            async with anyio.create_task_group() as beside:
                beside.start_soon(_rate_all, explorer, execution)
                await self._run_steps(execution, announcer, explorer)
                beside.cancel_scope.cancel()
        execution.had_enough = explorer.had_enough

    async def _run_steps(
        self, execution: PlanExecution, announcer: PlanAnnouncer, explorer: Explores | None
    ) -> None:
        started = self._clock.monotonic()
        aside: set[str] = set()
        to_run: Sequence[LearningRunStep] = execution.to_run
        while to_run:
            workers = PlanWorkers(
                execution=execution,
                announcer=announcer,
                steps=await anyio.to_thread.run_sync(in_order, execution.context.plan, to_run),
                nodes=self._nodes,
                runner=self._steps,
                pause=self._pause,
                aside=aside,
                clock=self._clock,
                started=started,
            )
            await workers.run()
            if workers.over and not execution.is_over():
                return
            to_run = await self._extend(execution, announcer, explorer)

    async def _extend(
        self, execution: PlanExecution, announcer: PlanAnnouncer, explorer: Explores | None
    ) -> Sequence[LearningRunStep]:
        """Return the next steps of an adaptive plan; none for any other."""
        if explorer is None or execution.context.resumption.only is not None:
            return ()
        cells = await explorer.next_cells(announcer.publish)
        to_run = execution.extend(cells)
        if to_run:
            await announcer.extended(to_run)
            await self._logged()  # a kill while it is made leaves what it was
        return to_run


async def _rate_all(explorer: Explores, execution: PlanExecution) -> None:
    """Have pictures rated beside a plan's steps; that it fails ends the plan after the next one."""
    try:
        await explorer.rate_all()
    except Exception as error:  # a scorer is code of others; its error is an outcome
        logger.warning("plan %s: %s", execution.plan_id, error, exc_info=True)
        execution.error = Failure.of(error)
        explorer.stop()
