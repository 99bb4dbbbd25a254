"""Runs the stages of one run, in order, one picture at a time, and tells everything.

What holds, whatever happens:

- Whoever saw `RunStarted` or `StageStarted` sees the matching end, once, with the outcome.
- A stage is never run twice because of its own error. One that fails ends the run; what was done
  is kept and told.
- A picture that is there already, whole, is not made again.
- A picture that was cut because the backend went away is asked for once more when it is back.
- A cancellation passes through after the backend was asked to stop and the ends were told; what a
  cancelled stage returned late is thrown away.
- A stage without a sign of progress for `stall_timeout` seconds fails as `StageTimeoutError`.
"""

from __future__ import annotations

import logging
from datetime import datetime
from functools import partial
from time import perf_counter
from typing import Protocol

import attrs
from anyio.lowlevel import checkpoint

from stablenew._clock import Clock
from stablenew.backends.base import (
    Backend,
    Capabilities,
    InterruptReceipt,
    Picture,
    Report,
    StageRequest,
)
from stablenew.config.pipeline_config import Setting
from stablenew.errors import BackendError, BackendProtocolError, StageTimeoutError
from stablenew.events.bus import GRACE, EventBus
from stablenew.events.event import Event
from stablenew.pipeline.backend_return import backend_returned, was_cut
from stablenew.pipeline.results import (
    Failure,
    Outcome,
    PipelineRunResult,
    StageOutput,
    StageResult,
)
from stablenew.pipeline.run_request import RunRequest
from stablenew.pipeline.stage_call import StageCall
from stablenew.pipeline.stage_events import (
    BackendAwaited,
    BackendLost,
    BackendReturned,
    PictureSaved,
    PreviewMade,
    RunFinished,
    RunStarted,
    StageFinished,
    StageProgress,
    StageStarted,
)
from stablenew.pipeline.stage_plan import PlannedStage, StagePlan, plan_stages

logger = logging.getLogger(__name__)

_TIMER_SLACK = 0.05
"""Seconds by which a cancel may come before the deadline it came from, as measured here."""


class RunStore(Protocol):
    """Keeps what a run makes."""

    async def save(
        self,
        run_id: str,
        stage: str,
        number: int,
        picture: Picture,
        fingerprint: str = "",
        seconds: float | None = None,
    ) -> StageOutput:
        """Keep a picture, never in the place of an earlier one.

        Raises:
            OSError: It could not be kept.
        """
        ...

    async def reuse(
        self, run_id: str, stage: str, number: int, fingerprint: str
    ) -> StageOutput | None:
        """Give a run the finished picture that has a fingerprint; None where there is none.

        Raises:
            OSError: It could not be kept.
        """
        ...

    async def load(self, output: StageOutput) -> bytes:
        """Return the encoded picture that was kept."""
        ...

    async def conclude(self, result: PipelineRunResult) -> None:
        """Keep what became of the run.

        Raises:
            OSError: It could not be kept.
        """
        ...


@attrs.define(eq=False)
class _Run:
    """One run under way."""

    plan: StagePlan
    request: RunRequest
    started_at: datetime
    started: float
    results: list[StageResult] = attrs.field(factory=list)


@attrs.define(eq=False)
class _Stage:
    """One stage under way; cancelled, unless it gets to say otherwise."""

    planned: PlannedStage
    sources: tuple[StageOutput, ...]
    images: int
    started_at: datetime
    started: float
    furthest: float = 0.0
    made: int = 0
    outputs: list[StageOutput] = attrs.field(factory=list)
    outcome: Outcome = Outcome.CANCELLED
    error: Failure | None = None
    receipt: InterruptReceipt | None = None

    def fail(self, error: Exception) -> None:
        timed_out = isinstance(error, StageTimeoutError)
        self.outcome = Outcome.TIMED_OUT if timed_out else Outcome.FAILED
        self.error = Failure.of(error, self.planned.name)

    def stopped(self, receipt: InterruptReceipt) -> None:
        self.receipt = receipt


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

    Attributes:
        last_result: Of the run that ended last, a cancelled one included.
        capabilities: What the backend could do when it last came back; None while it did not leave.
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
    ) -> None:
        self.last_result: PipelineRunResult | None = None
        self.capabilities: Capabilities | None = None
        self._backend = backend
        self._reuse = reuse
        self._wait_for_backend = wait_for_backend
        self._bus = bus
        self._store = store
        self._clock = clock
        self._hashes: dict[Setting, Setting] = {}
        self._call = StageCall(backend, stall_timeout=stall_timeout, grace=grace)

    async def run(self, plan: StagePlan, request: RunRequest) -> PipelineRunResult:
        """Run every stage of a plan and return what became of it; only a cancellation raises."""
        run = _Run(plan, request, self._clock.now(), self._clock.monotonic())
        outcome = Outcome.CANCELLED
        try:
            await self._tell(run, RunStarted, stages=plan.names, images=request.images)
            outcome = await self._run_stages(run)
        finally:
            result = await self._conclude(run, outcome)
        return result

    async def _run_stages(self, run: _Run) -> Outcome:
        for planned in run.plan.stages:
            outcome = await self._run_stage(run, planned)
            if not outcome.good:
                return outcome
        return Outcome.SUCCEEDED

    async def _run_stage(self, run: _Run, planned: PlannedStage) -> Outcome:
        sources = run.results[-1].outputs if run.results else ()
        images = len(sources) or run.request.images
        stage = _Stage(planned, sources, images, self._clock.now(), self._clock.monotonic())
        try:
            await self._tell(run, StageStarted, stage=planned.name, images=images)
            for number in range(1, images + 1):
                await self._keep_picture(run, stage, number)
            stage.outcome = Outcome.SUCCEEDED if stage.made else Outcome.REUSED
        except Exception as error:  # whatever a backend or a disk raises is an outcome
            logger.debug("run %s: %s failed", run.request.run_id, planned.name, exc_info=True)
            stage.fail(error)
        finally:
            result = self._stage_result(run, stage)
            run.results.append(result)
            await self._tell(run, StageFinished, stage=planned.name, result=result)
        return stage.outcome

    async def _keep_picture(self, run: _Run, stage: _Stage, number: int) -> None:
        """Find one picture of a stage or make it, keep it, and tell."""
        name, run_id = stage.planned.name, run.request.run_id
        source = stage.sources[number - 1] if stage.sources else None
        known = partial(
            run.plan.fingerprint, stage.planned, number, source.fingerprint if source else ""
        )
        output = None
        model = stage.planned.settings.get("model")
        if self._reuse:
            await checkpoint()
            output = await self._store.reuse(run_id, name, number, known(self._hashes.get(model)))
        if output is None:
            stage.made += 1
            began = perf_counter()
            picture = await self._made(run, stage, number, source)
            seconds = round(perf_counter() - began, 6)
            told = picture.settings.get("model_hash")
            if model and told:  # servers count it when they load one
                self._hashes[model] = told
            made = known(self._hashes.get(model))
            output = await self._store.save(run_id, name, number, picture, made, seconds)
        stage.outputs.append(output)
        await self._tell(
            run, PictureSaved, stage=name, output=output, image=number, images=stage.images
        )

    async def _made(
        self,
        run: _Run,
        stage: _Stage,
        number: int,
        source: StageOutput | None,
    ) -> Picture:
        """Have one picture of a stage made."""
        name, run_id = stage.planned.name, run.request.run_id
        request = StageRequest(
            request_id=f"{run_id}-{name}_{number}",
            stage=name,
            settings=stage.planned.of_picture(number),
            image=await self._store.load(source) if source else None,
            previews=self._bus.asked_for(PreviewMade),
        )
        picture = await self._picture(run, stage, request, self._reporter(run, stage, number))
        return _with_origin(picture, source) if source else picture

    async def _picture(
        self, run: _Run, stage: _Stage, request: StageRequest, report: Report
    ) -> Picture:
        """Have a picture made; if the backend goes away, wait for it and ask once more."""
        try:
            return await self._call.make(request, report, stage.stopped)
        except BackendError as error:
            if not was_cut(error) or not await self._back(run, stage, error):
                raise
        return await self._call.make(request, report, stage.stopped)

    async def _back(self, run: _Run, stage: _Stage, error: BackendError) -> bool:
        """Wait for the backend that `error` took away, and tell."""
        name, patience = stage.planned.name, self._wait_for_backend
        if not patience:
            return False

        async def tell(seconds_left: float) -> None:
            await self._tell(run, BackendAwaited, stage=name, seconds_left=seconds_left)

        failure = Failure.of(error, name)
        await self._tell(run, BackendLost, stage=name, error=failure, patience=patience)
        since = self._clock.monotonic()
        capabilities = await backend_returned(self._backend, patience, tell)
        if capabilities is None:
            return False
        self.capabilities = capabilities
        seconds = self._clock.monotonic() - since
        await self._tell(run, BackendReturned, stage=name, seconds=seconds)
        if plan_stages(run.request.config, capabilities) != run.plan:
            version = f"{capabilities.backend} {capabilities.version}".strip()
            raise BackendProtocolError(
                f"what came back is another backend ({version}): it would not do the same"
            ) from error
        return True

    def _reporter(self, run: _Run, stage: _Stage, number: int) -> Report:
        """Return what turns a picture's progress into the stage's, which never goes back."""

        async def report(
            fraction: float, *, seconds_left: float | None = None, preview: bytes | None = None
        ) -> None:
            so_far = (number - 1 + min(max(fraction, 0.0), 1.0)) / stage.images
            stage.furthest = max(stage.furthest, so_far)
            await self._tell(
                run,
                StageProgress,
                stage=stage.planned.name,
                fraction=stage.furthest,
                image=number,
                images=stage.images,
                seconds_left=seconds_left,
            )
            if preview is not None:
                name = stage.planned.name
                await self._tell(run, PreviewMade, stage=name, image=number, data=preview)

        return report

    def _stage_result(self, run: _Run, stage: _Stage) -> StageResult:
        return StageResult(
            stage=stage.planned.name,
            outcome=self._told_as(run, stage.outcome, stage.receipt),
            started_at=stage.started_at,
            finished_at=self._clock.now(),
            duration=self._clock.monotonic() - stage.started,
            images_requested=stage.images,
            outputs=tuple(stage.outputs),
            error=stage.error,
            receipt=stage.receipt,
        )

    async def _conclude(self, run: _Run, outcome: Outcome) -> PipelineRunResult:
        """Keep and tell what became of a run; the store and the bus shield what they do."""
        result = PipelineRunResult(
            run_id=run.request.run_id,
            plan_id=run.request.plan_id,
            outcome=self._told_as(run, outcome),
            error=next((stage.error for stage in run.results if stage.error), None),
            stage_plan=run.plan,
            stage_results=tuple(run.results),
            metadata=run.request.metadata,
            config=run.request.config,
            started_at=run.started_at,
            finished_at=self._clock.now(),
            duration=self._clock.monotonic() - run.started,
        )
        try:
            await self._store.conclude(result)
        except Exception as error:  # noqa: BLE001  # a full disk, metadata that no JSON can hold: an outcome
            logger.error("run %s: its metadata is lost: %s", result.run_id, error)
            if result.success:
                result = attrs.evolve(result, outcome=Outcome.FAILED, error=Failure.of(error))
        finally:
            self.last_result = result
            await self._tell(run, RunFinished, result=result)
        return result

    def _told_as(
        self, run: _Run, outcome: Outcome, receipt: InterruptReceipt | None = None
    ) -> Outcome:
        """Return `outcome`, or a timeout where a cancellation came with the run's deadline."""
        timeout = run.request.timeout
        receipts = [receipt, *(stage.receipt for stage in run.results)]
        # Asking the backend to stop came after the cancellation.
        asking = max((each.seconds for each in receipts if each), default=0.0)
        elapsed = self._clock.monotonic() - run.started - asking
        if outcome is Outcome.CANCELLED and timeout and elapsed >= timeout - _TIMER_SLACK:
            return Outcome.TIMED_OUT
        return outcome

    async def _tell(self, run: _Run, kind: type[Event], **values: object) -> None:
        event = kind(
            at=self._clock.now(),
            plan_id=run.request.plan_id,
            run_id=run.request.run_id,
            **values,  # type: ignore[arg-type]  # each caller names the fields of its event
        )
        await self._bus.publish(event)


def _with_origin(picture: Picture, source: StageOutput) -> Picture:
    """Give a picture what its source was made with, where its own stage does not say."""
    return attrs.evolve(
        picture,
        settings={**source.settings, **picture.settings},
        ignored_words=picture.ignored_words or source.ignored_words,
    )
