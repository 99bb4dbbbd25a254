"""What becomes of steps that fail, hang, or are cancelled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest
from anyio.lowlevel import checkpoint

from stablenew.errors import BackendRejectedError, ConfigError, StageTimeoutError
from stablenew.events.bus import EventBus
from stablenew.events.mailbox import Overflow
from stablenew.learning.execution_context import LearningExecutionContext
from stablenew.learning.learning_adapter import prepare_learning_run
from stablenew.learning.learning_events import PlanFinished, PlanStarted, StepFinished, StepStarted
from stablenew.learning.learning_execution import LearningExecutionRunner
from stablenew.learning.learning_result import LearningExecutionResult
from stablenew.pipeline.results import Failure, Outcome, PipelineRunResult
from stablenew.pipeline.run_request import RunRequest
from tests.support import Listener, config, pass_time

BOTH_LOOPS = True

Run = Callable[[RunRequest], Awaitable[PipelineRunResult]]


def context(**options: object) -> LearningExecutionContext:
    plan = {"target_variable": "txt2img.steps", "sweep_values": [10, 20, 30]}
    return prepare_learning_run(plan, config(), **options)  # type: ignore[arg-type]


def succeeded(request: RunRequest) -> PipelineRunResult:
    return PipelineRunResult(run_id=request.run_id, outcome=Outcome.SUCCEEDED)


def at_twenty(behave: Callable[[RunRequest], Awaitable[PipelineRunResult]]) -> Run:
    """Return a pipeline that behaves oddly in the second step."""

    async def run(request: RunRequest) -> PipelineRunResult:
        await checkpoint()
        return await behave(request) if request.config.txt2img.steps == 20 else succeeded(request)

    return run


async def hang(request: RunRequest) -> PipelineRunResult:
    await anyio.Event().wait()
    raise AssertionError


async def run_late(request: RunRequest) -> PipelineRunResult:
    pass_time(30)
    return await hang(request)


def outcomes(result: LearningExecutionResult | None) -> list[str]:
    assert result is not None
    return [str(step.outcome) for step in result.step_results]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (BackendRejectedError("out of memory"), "failed"),
        (ValueError("a bug"), "failed"),
        (StageTimeoutError("silent"), "timed_out"),
    ],
)
async def test_a_failing_step_does_not_end_the_plan(error: Exception, outcome: str) -> None:
    async def fail(request: RunRequest) -> PipelineRunResult:
        raise error

    result = await LearningExecutionRunner(at_twenty(fail)).run(context())
    assert outcomes(result) == ["succeeded", outcome, "succeeded"]
    assert result.step_results[1].error is not None
    assert str(error) in result.step_results[1].error.message
    assert result.outcome is Outcome.FAILED


async def test_a_run_that_says_it_failed_is_a_failed_step() -> None:
    async def fail(request: RunRequest) -> PipelineRunResult:
        failure = Failure(kind="X", message="no", stage="txt2img")
        return PipelineRunResult(run_id=request.run_id, outcome=Outcome.FAILED, error=failure)

    result = await LearningExecutionRunner(at_twenty(fail)).run(context())
    assert outcomes(result) == ["succeeded", "failed", "succeeded"]
    assert str(result.step_results[1].error) == "txt2img: no"


async def test_a_step_past_its_deadline_is_timed_out_and_the_plan_goes_on() -> None:
    runner = LearningExecutionRunner(at_twenty(run_late))
    result = await runner.run(context(step_timeout=20))
    assert outcomes(result) == ["succeeded", "timed_out", "succeeded"]
    assert "not done after 20 s" in str(result.step_results[1].error)


async def test_a_cancelled_step_is_an_outcome_and_the_plan_goes_on() -> None:
    runner = LearningExecutionRunner(at_twenty(hang))
    async with anyio.create_task_group() as tasks:

        async def cancel() -> None:
            while outcomes(runner.result) != ["succeeded"] if runner.result else True:
                await checkpoint()
            await anyio.wait_all_tasks_blocked()
            runner.cancel_step()

        tasks.start_soon(cancel)
        result = await runner.run(context(step_timeout=30))
    assert outcomes(result) == ["succeeded", "cancelled", "succeeded"]


async def test_somebody_elses_cancellation_passes_and_what_was_done_is_there() -> None:
    async with EventBus(strict=True) as bus:
        listener = Listener(bus)
        scope = anyio.CancelScope()

        async def cut(request: RunRequest) -> PipelineRunResult:
            scope.cancel()
            return await hang(request)

        runner = LearningExecutionRunner(at_twenty(cut), bus=bus)
        with scope:
            await runner.run(context())
            raise AssertionError("the cancellation was swallowed")
        await bus.drain()
    assert scope.cancelled_caught
    assert outcomes(runner.result) == ["succeeded", "cancelled"]
    assert runner.result is not None
    assert runner.result.summary["not_run"] == 1
    assert runner.result.outcome is Outcome.CANCELLED
    assert len(listener.of(StepStarted)) == len(listener.of(StepFinished)) == 2
    assert listener.of(PlanFinished)[0].outcome is Outcome.CANCELLED


async def test_a_plan_that_is_cancelled_before_its_first_step_still_tells_its_end() -> None:
    async with EventBus(strict=True) as bus:
        listener = Listener(bus)
        with anyio.CancelScope() as scope:

            async def cancel(request: RunRequest) -> PipelineRunResult:
                scope.cancel()
                await checkpoint()
                raise AssertionError

            await LearningExecutionRunner(cancel, bus=bus).run(context())
        await bus.drain()
    assert len(listener.of(PlanStarted)) == len(listener.of(PlanFinished)) == 1


@pytest.mark.parametrize("plan_id", ["../x", "a/b", ""])
async def test_a_plan_id_must_be_safe_as_a_file_name(plan_id: str) -> None:
    runner = LearningExecutionRunner(hang)
    if plan_id:
        with pytest.raises(ConfigError, match="plan_id"):
            await runner.run(context(plan_id=plan_id))
    else:
        assert context(plan_id=plan_id).plan_id == ""


async def test_cancelling_when_nothing_runs_does_nothing() -> None:
    runner = LearningExecutionRunner(at_twenty(hang))
    runner.cancel_step()
    assert runner.result is None


async def test_cancel_step_reaches_a_step_whose_start_waits_for_room() -> None:
    async with EventBus(strict=True) as bus:
        gate = anyio.Event()

        async def hold(event: StepStarted) -> None:
            await gate.wait()

        bus.subscribe(StepStarted, hold, overflow=Overflow.WAIT, mailbox=1)
        ran: list[int | None] = []

        async def run(request: RunRequest) -> PipelineRunResult:
            ran.append(request.config.txt2img.steps)
            return succeeded(request)

        runner = LearningExecutionRunner(run, bus=bus)
        async with anyio.create_task_group() as tasks:

            async def cancel() -> None:
                while ran != [10, 20]:
                    await checkpoint()
                await anyio.wait_all_tasks_blocked()  # the third start waits
                runner.cancel_step()
                await anyio.wait_all_tasks_blocked()
                gate.set()

            tasks.start_soon(cancel)
            result = await runner.run(context())
    assert outcomes(result) == ["succeeded", "succeeded", "cancelled"]
    assert ran == [10, 20]


async def test_cancel_step_is_no_timeout_although_stopping_outlasts_the_deadline() -> None:
    async def slow_to_stop(request: RunRequest) -> PipelineRunResult:
        begun.set()
        try:
            return await hang(request)
        finally:
            with anyio.CancelScope(shield=True):
                pass_time(30)
                await checkpoint()

    begun = anyio.Event()
    runner = LearningExecutionRunner(at_twenty(slow_to_stop))
    async with anyio.create_task_group() as tasks:

        async def cancel() -> None:
            await begun.wait()
            runner.cancel_step()

        tasks.start_soon(cancel)
        result = await runner.run(context(step_timeout=20))
    assert outcomes(result) == ["succeeded", "cancelled", "succeeded"]


async def test_our_tags_and_the_contexts_metadata_have_the_last_word() -> None:
    seen: list[RunRequest] = []

    async def note(request: RunRequest) -> PipelineRunResult:
        seen.append(request)
        return succeeded(request)

    plan = {
        "target_variable": "steps",
        "sweep_values": [5],
        "metadata": {"run_type": "x", "plan_id": "y", "note": "plan"},
    }
    await LearningExecutionRunner(note).run(
        prepare_learning_run(plan, config(), metadata={"note": "context"}, plan_id="mine")
    )
    assert (seen[0].metadata["run_type"], seen[0].metadata["plan_id"]) == ("learning", "mine")
    assert seen[0].metadata["note"] == "context"


async def test_a_plan_id_leaves_room_for_the_numbers_of_its_steps() -> None:
    runner = LearningExecutionRunner(at_twenty(hang))
    with pytest.raises(ConfigError, match="up to 90"):
        await runner.run(context(plan_id="x" * 91))
