from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from stablenew.app import App, open_app
from stablenew.backends.base import Capabilities, Picture, ReportProgress, StageRequest
from stablenew.backends.fake import Behaviour, FakeBackend
from stablenew.config.settings import Settings
from stablenew.controller.activity import State
from stablenew.errors import ConfigError, StableNewError
from stablenew.events.bus import EventBus
from stablenew.learning.learning_result import LearningExecutionResult
from stablenew.pipeline.results import Outcome, PipelineRunResult
from stablenew.pipeline.stage_events import StageProgress, StageStarted
from tests.support import config, leftovers, lines

Result = PipelineRunResult | LearningExecutionResult

PLAN = {"target_variable": "txt2img.steps", "sweep_values": [1, 2, 3]}


def state(app: App) -> State:
    return app.pipeline.state


class Hanging(FakeBackend):
    """Hangs until `free` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.free = False

    async def run_stage(self, request: StageRequest, report: ReportProgress) -> Sequence[Picture]:
        behaviour = Behaviour(hang=not self.free)
        self._behaviour = behaviour
        return await super().run_stage(request, report)


@pytest.fixture
async def app(runs: Path) -> AsyncIterator[App]:
    settings = Settings(out=runs, step_timeout=None)
    async with open_app(settings, backend=Hanging(), bus=EventBus(strict=True)) as app:
        yield app


async def cancel_when_it_hangs(app: App) -> None:
    with app.bus.stream(StageProgress) as events:
        async for event in events:
            if event.fraction == 1.0:
                break
    await anyio.wait_all_tasks_blocked()
    app.pipeline.cancel()


async def test_states_go_from_idle_over_running_and_stopping_back_to_idle(app: App) -> None:
    states = [app.pipeline.state]
    async with anyio.create_task_group() as tasks:

        async def watch(event: StageStarted) -> None:
            states.append(app.pipeline.state)

        app.bus.subscribe(StageStarted, watch)
        tasks.start_soon(cancel_when_it_hangs, app)
        result = await app.pipeline.run_pipeline(config())
    states.append(app.pipeline.state)
    assert states == [State.IDLE, State.RUNNING, State.IDLE]
    assert result.outcome is Outcome.CANCELLED
    assert app.pipeline.last_result is result


async def test_cancel_shows_that_it_is_stopping(app: App) -> None:
    async with anyio.create_task_group() as tasks:

        async def cancel() -> None:
            await anyio.wait_all_tasks_blocked()
            app.pipeline.cancel()
            assert state(app) == State.STOPPING

        tasks.start_soon(cancel)
        await app.pipeline.run_pipeline(config())


async def test_a_run_can_start_again_after_a_cancel(app: App, runs: Path) -> None:
    for _ in range(3):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cancel_when_it_hangs, app)
            cancelled = await app.pipeline.run_pipeline(config())
        assert cancelled.outcome is Outcome.CANCELLED
    assert isinstance(app.backend, Hanging)
    app.backend.free = True
    assert (await app.pipeline.run_pipeline(config())).success
    assert leftovers(runs) == []


async def test_a_run_can_start_again_from_error(app: App) -> None:
    with pytest.raises(ConfigError):
        await app.pipeline.run_pipeline({"txt2img": {"prompt": ""}})
    assert state(app) == State.ERROR
    assert isinstance(app.pipeline.error, ConfigError)
    assert isinstance(app.backend, Hanging)
    app.backend.free = True
    assert (await app.pipeline.run_pipeline(config())).success
    assert state(app) == State.IDLE


@pytest.mark.parametrize("what", ["a run", "a plan", "a resume"])
async def test_a_cancel_counts_for_what_was_called_for_and_has_not_begun(
    app: App, runs: Path, what: str
) -> None:
    assert isinstance(app.backend, Hanging)
    app.backend.free = True
    works: dict[str, Callable[[], Coroutine[Any, Any, Result]]] = {
        "a run": lambda: app.pipeline.run_pipeline(config()),
        "a plan": lambda: app.learning.run_learning_plan(PLAN, config()),
        "a resume": lambda: app.learning.resume_plan("plan-1"),
    }
    work = works[what]
    if what == "a resume":
        await app.learning.run_learning_plan(PLAN, config(), plan_id="plan-1", max_steps=1)
        await app.reports.drained()
    before, calls = sorted(runs.rglob("*")), len(app.backend.calls)
    task = asyncio.get_running_loop().create_task(work())
    app.pipeline.cancel()
    assert (await task).outcome is Outcome.CANCELLED
    assert sorted(runs.rglob("*")) == before
    assert len(app.backend.calls) == calls
    assert (await work()).outcome is Outcome.SUCCEEDED


async def test_a_cancel_from_before_the_call_is_not_for_it(app: App) -> None:
    assert isinstance(app.backend, Hanging)
    app.backend.free = True
    app.learning.cancel_plan()
    assert (await app.learning.run_learning_plan(PLAN, config())).outcome is Outcome.SUCCEEDED
    app.learning.cancel_plan()
    assert (await app.pipeline.run_pipeline(config())).success


async def test_idle_waits_for_the_end_of_what_was_started(app: App, runs: Path) -> None:
    await app.idle()
    assert isinstance(app.backend, Hanging)
    app.backend.free = True
    app.pipeline.learning_enabled = True
    task = asyncio.get_running_loop().create_task(app.learning.run_learning_plan(PLAN, config()))
    await app.idle()
    assert len(lines(app.settings.records_path)) == 3
    assert task.done()
    assert app.learning.last_result is task.result()


async def test_cancelling_when_nothing_runs_does_nothing(app: App) -> None:
    app.pipeline.cancel()
    assert state(app) == State.IDLE


async def test_a_second_start_is_refused_and_harms_nothing(app: App) -> None:
    async with anyio.create_task_group() as tasks:

        async def start_again() -> None:
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(StableNewError, match="under way"):
                await app.pipeline.run_pipeline(config())
            assert state(app) == State.RUNNING
            app.pipeline.cancel()

        tasks.start_soon(start_again)
        result = await app.pipeline.run_pipeline(config())
    assert result.outcome is Outcome.CANCELLED


async def test_somebody_elses_cancellation_passes_through(app: App) -> None:
    with anyio.move_on_after(0.05) as scope:
        await app.pipeline.run_pipeline(config())
        raise AssertionError("the cancellation was swallowed")
    assert scope.cancelled_caught
    assert state(app) == State.IDLE


async def test_a_single_run_past_the_step_timeout_is_timed_out(runs: Path) -> None:
    settings = Settings(out=runs, step_timeout=0.1)
    async with open_app(settings, backend=FakeBackend(Behaviour(hang=True))) as app:
        result = await app.pipeline.run_pipeline(config())
    assert result.outcome is Outcome.TIMED_OUT


async def test_a_cancel_before_the_first_event_gives_a_cancelled_result(app: App) -> None:
    async with anyio.create_task_group() as tasks:

        async def cancel() -> None:
            app.pipeline.cancel()

        tasks.start_soon(cancel)
        result = await app.pipeline.run_pipeline(config())
    assert result.outcome is Outcome.CANCELLED


async def test_the_last_result_is_there_after_somebody_elses_cancellation(app: App) -> None:
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:

            async def cancel() -> None:
                with app.bus.stream(StageProgress) as events:
                    await anext(aiter(events))
                scope.cancel()

            tasks.start_soon(cancel)
            await app.pipeline.run_pipeline(config())
    assert app.pipeline.last_result is not None
    assert app.pipeline.last_result.outcome is Outcome.CANCELLED


async def test_the_deadline_starts_when_the_backend_has_told_what_it_can(runs: Path) -> None:
    class Slow(FakeBackend):
        async def capabilities(self) -> Capabilities:
            await anyio.sleep(0.3)
            return await super().capabilities()

    settings = Settings(out=runs, step_timeout=0.2)
    async with open_app(settings, backend=Slow()) as app:
        assert (await app.pipeline.run_pipeline(config())).success


async def test_a_single_run_is_tagged_as_one_whatever_the_caller_says(runs: Path) -> None:
    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:
        result = await app.pipeline.run_pipeline(config(), metadata={"run_type": "x"})
    assert result.metadata["run_type"] == "single"


async def test_the_stall_timeout_of_the_settings_counts(runs: Path) -> None:
    settings = Settings(out=runs, stall_timeout=0.1)
    async with open_app(settings, backend=FakeBackend(Behaviour(hang=True))) as app:
        result = await app.pipeline.run_pipeline(config())
    assert result.error is not None
    assert result.error.kind == "StageTimeoutError"


async def test_no_event_log_is_left_after_a_cancelled_run(app: App) -> None:
    before = len(app.bus._inlets)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancel_when_it_hangs, app)
        await app.pipeline.run_pipeline(config())
    assert len(app.bus._inlets) == before
