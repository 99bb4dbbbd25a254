"""Runs the stages of one run, in order, one picture at a time, and tells everything.

What holds, whatever happens:

- Whoever saw `RunStarted` or `StageStarted` sees the matching end, once, with the outcome.
- A stage is never run twice because of its own error. One that fails ends the run; what was done
  is kept and told.
- A cancellation passes through after the backend was asked to stop and the ends were told; what a
  cancelled stage returned late is thrown away, and what was announced after it is stopped as well.
- A stage without a sign of progress for `stall_timeout` seconds fails as `StageTimeoutError`.
"""

from __future__ import annotations

import logging
from typing import Protocol

import attrs

from stablenew._clock import Clock
from stablenew.backends.base import Backend, Capabilities
from stablenew.events.bus import GRACE, EventBus
from stablenew.events.publisher import Publisher
from stablenew.pipeline.picture_maker import PictureMaker, PictureStore
from stablenew.pipeline.results import Failure, Outcome, PipelineRunResult
from stablenew.pipeline.run_execution import NextRun, RunExecution, StageExecution, no_run
from stablenew.pipeline.run_request import RunRequest
from stablenew.pipeline.stage_call import StageCall
from stablenew.pipeline.stage_events import RunFinished, RunStarted, StageFinished, StageStarted
from stablenew.pipeline.stage_plan import PlannedStage, StagePlan

logger = logging.getLogger(__name__)


class RunStore(PictureStore, Protocol):
    """Keeps what a run makes."""

    async def conclude(self, result: PipelineRunResult) -> None:
        """Keep what became of the run.

        Raises:
            OSError: It could not be kept.
        """
        ...


class StageSequencer:
    """Runs stage plans on a backend; see the module.

    Args:
        backend: Makes the pictures, one at a time.
        bus: Hears of everything.
        store: Keeps the pictures and what became of the run.
        clock: Where times come from.
        stall_timeout: Seconds without a sign of progress after which a stage is given up.
        reuse: Whether a finished picture is used again.
        wait_for_backend: Seconds to wait for a backend that went away; 0 for not at all.
        grace: Seconds that the backend has to stop once it was asked to.
        node: What the backend is called in events.

    Attributes:
        last_result: Of the run that ended last, a cancelled one included.
    """

    def __init__(
        self,
        backend: Backend,
        bus: EventBus,
        store: RunStore,
        *,
        clock: Clock = Clock(),
        stall_timeout: float = 120.0,
        reuse: bool = True,
        wait_for_backend: float = 60.0,
        grace: float = GRACE,
        node: str | None = None,
    ) -> None:
        self.last_result: PipelineRunResult | None = None
        self._bus = bus
        self._store = store
        self._clock = clock
        self._node = node
        self._pictures = PictureMaker(
            backend,
            store,
            StageCall(backend, stall_timeout=stall_timeout, grace=grace),
            clock=clock,
            reuse=reuse,
            wait_for_backend=wait_for_backend,
        )

    @property
    def capabilities(self) -> Capabilities | None:
        """What the backend could do when it last came back; None while it did not leave."""
        return self._pictures.capabilities

    async def run(
        self, plan: StagePlan, request: RunRequest, following: NextRun = no_run
    ) -> PipelineRunResult:
        """Run every stage of a plan and return what became of it; only a cancellation raises.

        Args:
            plan: What to run.
            request: What asked for it.
            following: Asked for the run that follows, when the last picture is being made.
        """
        clock = self._clock
        run = RunExecution(plan, request, clock.now(), clock.monotonic(), clock, following)
        about = {"plan_id": request.plan_id, "run_id": request.run_id, "node": self._node}
        publisher = Publisher(self._bus, clock, **about)
        outcome = Outcome.CANCELLED
        try:
            await publisher.publish(RunStarted(stages=plan.names, images=request.images))
            outcome = await self._run_stages(run, publisher)
        finally:
            await self._withdraw(run, outcome)
            result = await self._conclude(run, outcome, publisher)
        return result

    async def withdraw(self) -> None:
        """Have the backend stop what it was told to follow, and will not be asked for."""
        await self._pictures.withdraw()

    async def _withdraw(
        self, run: RunExecution, outcome: Outcome, stage: StageExecution | None = None
    ) -> None:
        """Stop what comes after a run or stage that did not succeed.

        A run that follows one that failed goes on; with a cancel, nobody knows whether it does.
        """
        if not outcome.good:
            only = None if outcome is Outcome.CANCELLED else run.request.run_id
            await self._pictures.withdraw(stage, only)

    async def _run_stages(self, run: RunExecution, publisher: Publisher) -> Outcome:
        for planned in run.plan.stages:
            outcome = await self._run_stage(run, planned, publisher)
            if not outcome.good:
                return outcome
        return Outcome.SUCCEEDED

    async def _run_stage(
        self, run: RunExecution, planned: PlannedStage, publisher: Publisher
    ) -> Outcome:
        stage = run.begin_stage(planned)
        try:
            await publisher.publish(StageStarted(stage=planned.name, images=stage.images))
            for number in range(1, stage.images + 1):
                await self._pictures.keep(run, stage, number, publisher)
            stage.succeed()
        except Exception as error:  # whatever a backend or a disk raises is an outcome
            logger.debug("run %s: %s failed", run.request.run_id, planned.name, exc_info=True)
            stage.fail(error)
        finally:
            await self._withdraw(run, stage.outcome, stage)
            result = run.end_stage(stage)
            await publisher.publish(StageFinished(stage=planned.name, result=result))
        return stage.outcome

    async def _conclude(
        self, run: RunExecution, outcome: Outcome, publisher: Publisher
    ) -> PipelineRunResult:
        """Keep and tell what became of a run; the store and the bus shield what they do."""
        result = run.result(outcome)
        try:
            await self._store.conclude(result)
        except Exception as error:  # noqa: BLE001  # a full disk, metadata that no JSON can hold: an outcome
            logger.error("run %s: its metadata is lost: %s", result.run_id, error)
            if result.success:
                result = attrs.evolve(result, outcome=Outcome.FAILED, error=Failure.of(error))
        finally:
            self.last_result = result
            await publisher.publish(RunFinished(result=result))
        return result
