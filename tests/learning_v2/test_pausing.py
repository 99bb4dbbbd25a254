"""Pausing between two steps, and going on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from stablenew.app import App, open_app
from stablenew.backends.fake import Behaviour, FakeBackend
from stablenew.config.settings import Settings
from stablenew.errors import BackendError
from stablenew.events.event import Event
from stablenew.events.mailbox import Overflow
from stablenew.learning.learning_events import (
    PlanFinished,
    PlanPaused,
    PlanResumed,
    StepFinished,
    StepStarted,
)
from stablenew.learning.learning_result import LearningExecutionResult
from stablenew.pipeline.results import Outcome
from stablenew.pipeline.stage_events import RunStarted

PLAN = {"target_variable": "txt2img.steps", "sweep_values": [1, 2, 3]}
CONFIG = {"txt2img": {"prompt": "a cat", "seed": 1}}


async def told(
    runs: Path, act: Callable[[App, Event], None]
) -> tuple[list[str], LearningExecutionResult]:
    """Run the plan, act on its events, and return those that matter here."""
    events: list[str] = []
    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:

        async def take(event: Event) -> None:
            if isinstance(event, StepStarted | StepFinished | PlanPaused | PlanResumed):
                events.append(type(event).__name__)
            act(app, event)

        app.bus.subscribe(Event, take, overflow=Overflow.WAIT)
        with anyio.fail_after(50):
            result = await app.learning.run_learning_plan(PLAN, CONFIG)
        await app.bus.drain()
        assert app.learning.state == "idle"
    return events, result


async def test_the_step_under_way_ends_and_the_next_one_waits(runs: Path) -> None:
    def act(app: App, event: Event) -> None:
        if isinstance(event, StepStarted) and event.index == 0:
            app.learning.pause()
            assert app.learning.paused
        if isinstance(event, PlanPaused):
            app.learning.resume()

    events, result = await told(runs, act)
    step = ["StepStarted", "StepFinished"]
    assert events == [*step, "PlanPaused", "PlanResumed", *step, *step]
    assert result.success


async def test_a_paused_plan_can_be_cancelled_and_the_next_one_is_not_paused(runs: Path) -> None:
    def act(app: App, event: Event) -> None:
        if isinstance(event, StepStarted):
            app.learning.pause()
        if isinstance(event, PlanPaused):
            app.learning.cancel_plan()

    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:

        async def take(event: Event) -> None:
            act(app, event)

        subscription = app.bus.subscribe(Event, take)
        with anyio.fail_after(50):
            result = await app.learning.run_learning_plan(PLAN, CONFIG)
        assert result.outcome is Outcome.CANCELLED
        assert result.steps_executed == 1
        subscription.close()
        with anyio.fail_after(50):
            assert (await app.learning.run_learning_plan(PLAN, CONFIG)).success


async def test_a_pause_right_after_the_start_is_kept_and_one_before_it_is_none(runs: Path) -> None:
    async with (
        open_app(Settings(out=runs), backend=FakeBackend()) as app,
        anyio.create_task_group() as tasks,
    ):
        app.learning.pause()  # nothing is under way
        assert not app.learning.paused
        tasks.start_soon(app.learning.run_learning_plan, PLAN, CONFIG)
        await anyio.lowlevel.checkpoint()
        with app.bus.stream((PlanPaused, StepStarted)) as events:
            app.learning.pause()
            assert isinstance(await anext(events), PlanPaused)
            app.learning.resume()
            assert isinstance(await anext(events), StepStarted)


@pytest.mark.parametrize("what", ["a plan", "a resume"])
async def test_a_pause_before_the_task_begins_is_kept_until_the_resume(
    runs: Path, what: str
) -> None:
    backend = FakeBackend(Behaviour(error=BackendError("no")))  # so that there is always a rest
    async with open_app(Settings(out=runs), backend=backend) as app:
        if what == "a resume":
            await app.learning.run_learning_plan(PLAN, CONFIG, plan_id="plan-1")

        def start() -> asyncio.Task[LearningExecutionResult]:
            if what == "a resume":
                return asyncio.create_task(app.learning.resume_plan("plan-1"))
            return asyncio.create_task(app.learning.run_learning_plan(PLAN, CONFIG))

        with app.bus.stream((PlanPaused, StepStarted)) as events:
            task = start()
            app.learning.pause()
            assert isinstance(await anext(events), PlanPaused)
            app.learning.resume()
            assert isinstance(await anext(events), StepStarted)
            assert (await task).steps_executed == 3
        with app.bus.stream((PlanPaused, PlanFinished)) as ends:
            task = start()
            app.learning.pause()
            app.learning.resume()
            assert isinstance(await anext(ends), PlanFinished)
            assert (await task).steps_executed == 3


async def test_a_pause_of_a_single_run_does_not_hold_the_next_plan(runs: Path) -> None:
    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:

        async def take(event: Event) -> None:
            app.learning.pause()

        subscription = app.bus.subscribe(RunStarted, take, overflow=Overflow.WAIT)
        await app.pipeline.run_pipeline(CONFIG)
        await subscription.drained()
        subscription.close()
        with anyio.fail_after(50):
            assert (await app.learning.run_learning_plan(PLAN, CONFIG)).success
