"""One run under way, and each of its stages: what was made so far, and what became of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

import anyio
import attrs

from stablenew._clock import Clock
from stablenew.backends.base import InterruptReceipt
from stablenew.errors import BackendProtocolError, StageTimeoutError
from stablenew.pipeline.results import (
    BLANK,
    Failure,
    Outcome,
    PipelineRunResult,
    StageOutput,
    StageResult,
)
from stablenew.pipeline.run_request import RunRequest
from stablenew.pipeline.stage_plan import PlannedStage, StagePlan

_SLACK = 0.05
"""Seconds by which a backend may overstate how long it took to stop."""


@attrs.define(eq=False)
class StageExecution:
    """One stage under way; cancelled, unless it gets to say otherwise.

    Attributes:
        sources: The pictures that it starts from, one each; none for the first stage.
        images: How many pictures it is to make.
        fraction: How much is done, never going back.
        made: How many pictures the backend was asked for.
        receipt: What came of asking the backend to stop.
    """

    planned: PlannedStage
    sources: tuple[StageOutput, ...]
    images: int
    started_at: datetime
    started: float
    fraction: float = 0.0
    made: int = 0
    outputs: list[StageOutput] = attrs.field(factory=list)
    outcome: Outcome = Outcome.CANCELLED
    error: Failure | None = None
    receipt: InterruptReceipt | None = None

    @property
    def name(self) -> str:
        """The stage's."""
        return self.planned.name

    def source(self, number: int) -> StageOutput | None:
        """Return what picture `number`, from 1, starts from."""
        return self.sources[number - 1] if self.sources else None

    def advance(self, number: int, fraction: float) -> float:
        """Return how much is done when picture `number` is at `fraction`."""
        so_far = (number - 1 + min(max(fraction, 0.0), 1.0)) / self.images
        self.fraction = max(self.fraction, so_far)
        return self.fraction

    def succeed(self) -> None:
        """Note that every picture is there; where all of them are blank, the stage has failed."""
        if self.outputs and all(output.blank for output in self.outputs):
            many = len(self.outputs) > 1
            which = "every picture is blank, each" if many else "the picture is blank,"
            self.fail(BackendProtocolError(f"{which} {BLANK}"))
            return
        self.outcome = Outcome.SUCCEEDED if self.made else Outcome.REUSED

    def fail(self, error: Exception) -> None:
        """Note what went wrong."""
        timed_out = isinstance(error, StageTimeoutError)
        self.outcome = Outcome.TIMED_OUT if timed_out else Outcome.FAILED
        self.error = Failure.of(error, self.name)

    def stopped(self, receipt: InterruptReceipt) -> None:
        """Note what came of asking the backend to stop; of two, the one that says more is kept."""
        if self.receipt is not None:
            both = (self.receipt, receipt)
            told = min(both, key=lambda each: (each.confirmed, not each.call))
            receipt = attrs.evolve(told, seconds=sum(each.seconds for each in both))
        self.receipt = receipt


NextRun = Callable[[], Awaitable[tuple[StagePlan, RunRequest] | None]]
"""Returns the run that follows another and what it will run; None where none is known to."""


async def no_run() -> None:
    """Return that no run is known to follow."""


@attrs.define(eq=False)
class RunExecution:
    """One run under way.

    Attributes:
        following: Asked for the run that follows this one, when its last picture is being made.
    """

    plan: StagePlan
    request: RunRequest
    started_at: datetime
    started: float
    clock: Clock
    following: NextRun = no_run
    results: list[StageResult] = attrs.field(factory=list)

    def begin_stage(self, planned: PlannedStage) -> StageExecution:
        """Return the next stage, which starts from the pictures of the last."""
        sources = self.results[-1].outputs if self.results else ()
        images = len(sources) or self.request.images
        return StageExecution(planned, sources, images, self.clock.now(), self.clock.monotonic())

    def end_stage(self, stage: StageExecution) -> StageResult:
        """Return what became of a stage, and keep it."""
        result = StageResult(
            stage=stage.name,
            outcome=self._timed(stage.outcome, stage.receipt),
            started_at=stage.started_at,
            finished_at=self.clock.now(),
            duration=self.clock.monotonic() - stage.started,
            images_requested=stage.images,
            outputs=tuple(stage.outputs),
            error=stage.error,
            receipt=stage.receipt,
        )
        self.results.append(result)
        return result

    def result(self, outcome: Outcome) -> PipelineRunResult:
        """Return what became of the run."""
        request = self.request
        return PipelineRunResult(
            run_id=request.run_id,
            plan_id=request.plan_id,
            outcome=self._timed(outcome),
            error=next((stage.error for stage in self.results if stage.error), None),
            stage_plan=self.plan,
            stage_results=tuple(self.results),
            metadata=request.metadata,
            config=request.config,
            started_at=self.started_at,
            finished_at=self.clock.now(),
            duration=self.clock.monotonic() - self.started,
            node=request.node,
        )

    def _timed(self, outcome: Outcome, receipt: InterruptReceipt | None = None) -> Outcome:
        """Return `outcome`, or a timeout where a cancellation came with the run's deadline."""
        receipts = [receipt, *(stage.receipt for stage in self.results)]
        # Asking the backend to stop came after the cancellation.
        asking = max((each.seconds for each in receipts if each), default=0.0)
        late = anyio.current_time() - asking >= self.request.deadline - _SLACK
        return Outcome.TIMED_OUT if late and outcome is Outcome.CANCELLED else outcome
