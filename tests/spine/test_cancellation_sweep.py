"""Cancel a three-step plan at its first, second, third, … checkpoint; at each, all must hold.

Promises 8 (a cancelled run is still told), 19 (its own cancel is an outcome, somebody else's
passes, what was finished is there), 20 (a record for each run that succeeded) and 25 (nothing is
left behind).
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

import anyio
import attrs
import pytest

from stablenew.app import App, open_app
from stablenew.backends.base import Picture, ReportProgress, StageRequest
from stablenew.backends.fake import Behaviour
from stablenew.config.settings import Settings
from stablenew.controller.activity import State
from stablenew.events.bus import EventBus
from stablenew.learning.learning_adapter import build_learning_plan_from_dict
from stablenew.learning.learning_events import PlanFinished, PlanStarted, StepFinished, StepStarted
from stablenew.learning.learning_result import LearningExecutionResult
from stablenew.pipeline.results import Outcome
from stablenew.pipeline.stage_events import (
    PictureSaved,
    RunFinished,
    RunStarted,
    StageFinished,
    StageStarted,
)
from tests.support import (
    AheadBackend,
    Listener,
    cancelled_at,
    config,
    leftovers,
    lines,
    moments,
    open_handles,
)

PLAN = {"target_variable": "txt2img.steps", "sweep_values": [10, 20, 30]}
CONFIG = config(upscale={})
MOST_MOMENTS = 2_000
PAUSE = 0.002


class LargePictures(AheadBackend):
    """Makes pictures that are hashed and written in threads, and looks ahead."""

    async def run_stage(self, request: StageRequest, report: ReportProgress) -> Sequence[Picture]:
        pictures = await super().run_stage(request, report)
        return [attrs.evolve(each, data=each.data + bytes(100_000)) for each in pictures]


class Sweep:
    """One plan that is cancelled at one moment, and what is left of it."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self.backend = LargePictures(Behaviour(progress=(1.0,)))

    async def cancelled_by_controller(self, moment: int) -> tuple[LearningExecutionResult, bool]:
        async with self._open() as app:
            self.listener = Listener(app.bus)
            result, reached = await cancelled_at(
                moment,
                app.learning.cancel_plan,
                app.learning.run_learning_plan(PLAN, CONFIG),
            )
            self._check_state(app)
        return result, reached

    async def cancelled_from_outside(self, moment: int) -> tuple[LearningExecutionResult, bool]:
        async with self._open() as app:
            self.listener = Listener(app.bus)
            reached = False
            with anyio.CancelScope() as scope:
                _, reached = await cancelled_at(
                    moment, scope.cancel, app.learning.run_learning_plan(PLAN, CONFIG)
                )
            self._check_state(app)
            result = app.learning.last_result
            assert scope.cancelled_caught or (result and result.success)
        return result or self._nothing(), scope.cancel_called or reached

    async def cancelled_natively(self, moment: int) -> tuple[LearningExecutionResult, bool]:
        """Cancel as asyncio does, which knows of no shield."""
        task = asyncio.current_task()
        assert task is not None
        async with self._open() as app:
            self.listener = Listener(app.bus)
            cancelled = False
            try:
                await cancelled_at(
                    moment,
                    lambda: bool(task.cancel()),
                    app.learning.run_learning_plan(PLAN, CONFIG),
                )
            except asyncio.CancelledError:
                cancelled = True
                task.uncancel()
            while task.cancelling():
                task.uncancel()
            with anyio.CancelScope(shield=True):
                await app.bus.drain()
            self._check_state(app)
            result = app.learning.last_result
        return result or self._nothing(), cancelled

    async def timed_out(self, moment: int) -> tuple[LearningExecutionResult, bool]:
        """Cancel by asyncio's own timeout; nothing of it reaches what comes after."""
        task = asyncio.current_task()
        assert task is not None
        async with self._open() as app:
            self.listener = Listener(app.bus)
            reached = False
            with suppress(TimeoutError):
                async with asyncio.timeout(None) as timeout:
                    _, reached = await cancelled_at(
                        moment,
                        lambda: timeout.reschedule(0),
                        app.learning.run_learning_plan(PLAN, CONFIG),
                    )
            assert task.cancelling() == 0
            await app.bus.drain()
            self._check_state(app)
            result = app.learning.last_result
        return result or self._nothing(), reached or timeout.expired()

    async def step_cancelled(self, moment: int) -> tuple[LearningExecutionResult, bool]:
        """Cancel the step under way, if one is; the plan goes on."""
        result, reached = await self._steered(moment, lambda app: app.learning.cancel_step())
        assert len(result.step_results) == 3
        return result, reached

    async def paused_and_resumed(self, moment: int) -> tuple[LearningExecutionResult, bool]:
        """Pause, and go on a moment later: nothing is missing."""

        def pause(app: App) -> None:
            app.learning.pause()
            asyncio.get_running_loop().call_later(PAUSE, app.learning.resume)

        result, reached = await self._steered(moment, pause)
        assert result.success
        return result, reached

    async def paused_and_cancelled(self, moment: int) -> tuple[LearningExecutionResult, bool]:
        """Pause, and cancel a moment later."""

        def pause(app: App) -> None:
            app.learning.pause()
            asyncio.get_running_loop().call_later(PAUSE, app.learning.cancel_plan)

        return await self._steered(moment, pause)

    async def _steered(
        self, moment: int, steer: Callable[[App], None]
    ) -> tuple[LearningExecutionResult, bool]:
        async with self._open() as app:
            self.listener = Listener(app.bus)
            result, reached = await cancelled_at(
                moment, lambda: steer(app), app.learning.run_learning_plan(PLAN, CONFIG)
            )
            self._check_state(app)
        return result, reached

    def _nothing(self) -> LearningExecutionResult:
        plan = build_learning_plan_from_dict(PLAN)
        return LearningExecutionResult(plan=plan, outcome=Outcome.CANCELLED, summary={"not_run": 3})

    def _open(self) -> AbstractAsyncContextManager[App]:
        settings = Settings(out=self.runs, learning_enabled=True)
        return open_app(settings, backend=self.backend, bus=EventBus(strict=True))

    def _check_state(self, app: App) -> None:
        assert app.learning.state is State.IDLE
        assert self.backend.begun == {}
        # Promise 20 and the controller's wait: the records are there when the call returns.
        finished = [event.result for event in self.listener.of(RunFinished)]
        records = [
            json.loads(line)["run_id"] for line in lines(self.runs / "learning_records.jsonl")
        ]
        expected = [result.run_id for result in finished if result.success]
        assert records[: len(expected)] == expected

    def check(self, result: LearningExecutionResult) -> None:
        heard = self.listener
        # 8: whoever saw a start saw its end.
        assert len(heard.of(PlanStarted)) == len(heard.of(PlanFinished))
        assert len(heard.of(StepStarted)) <= len(heard.of(StepFinished)) <= 3
        assert len(heard.of(RunStarted)) == len(heard.of(RunFinished))
        assert len(heard.of(StageStarted)) == len(heard.of(StageFinished))
        sequences = [event.sequence for event in heard.events]
        assert sequences == list(range(1, len(sequences) + 1))
        # 19: what was finished is there, and told as it was.
        assert len(result.step_results) == len(heard.of(StepFinished))
        done = [step for step in result.step_results if step.outcome is Outcome.SUCCEEDED]
        assert len(result.step_results) - len(done) <= 1
        assert result.summary["not_run"] == 3 - len(result.step_results)
        # 20: a record for each run that succeeded, and no other.
        succeeded = [e.result.run_id for e in heard.of(RunFinished) if e.result.success]
        records = [json.loads(line) for line in lines(self.runs / "learning_records.jsonl")]
        assert [record["run_id"] for record in records] == succeeded
        assert {step.run_id for step in done} <= set(succeeded)
        # 25 and 15: nothing half-written, nothing that was not told.
        assert leftovers(self.runs) == []
        saved = sorted(event.output.path for event in heard.of(PictureSaved))
        on_disk = sorted(p.relative_to(self.runs).as_posix() for p in self.runs.rglob("*_*.png"))
        pictures = [path for path in on_disk if not path.endswith("contact_sheet.png")]
        told = sorted(
            output.path for event in heard.of(RunFinished) for output in event.result.outputs
        )
        assert pictures == told
        assert set(saved) <= set(told)
        for run in heard.of(RunFinished):
            metadata = json.loads((self.runs / run.result.run_id / "run_metadata.json").read_text())
            assert metadata["outcome"] == run.result.outcome


CANCELS = [
    Sweep.cancelled_by_controller,
    Sweep.cancelled_from_outside,
    Sweep.cancelled_natively,
    Sweep.timed_out,
    Sweep.paused_and_cancelled,
]
OTHERS = [Sweep.step_cancelled, Sweep.paused_and_resumed]


@pytest.mark.parametrize("way", [*CANCELS, *OTHERS], ids=lambda way: way.__name__)
async def test_whatever_the_moment_of_a_cancel_everything_holds(
    tmp_path: Path, way: Callable[..., object]
) -> None:
    """Sweep the moment over the whole run, in one event loop."""
    tasks_before = len(asyncio.all_tasks())
    handles_before = 0
    outcomes = set()
    for moment in moments(every=9):
        assert moment < MOST_MOMENTS
        runs = tmp_path / "runs"
        sweep = Sweep(runs)
        result, reached = await way(sweep, moment)  # type: ignore[misc]
        sweep.check(result)
        outcomes.add((result.outcome, len(result.step_results)))
        assert len(asyncio.all_tasks()) == tasks_before
        if moment == 1:
            handles_before = open_handles()
        assert open_handles() == handles_before
        shutil.rmtree(runs, ignore_errors=True)
        if not reached:
            break
    assert moment > 15
    assert (Outcome.SUCCEEDED, 3) in outcomes
    cancelled = {count for outcome, count in outcomes if outcome is Outcome.CANCELLED}
    if way in CANCELS:
        assert cancelled >= ({1, 2} if way is Sweep.paused_and_cancelled else {1, 2, 3})
