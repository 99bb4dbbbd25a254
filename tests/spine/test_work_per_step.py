"""What a step costs does not grow with the steps before it: work is counted, no time is taken."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import attrs
import pytest

import stablenew
from stablenew._clock import Clock
from stablenew.app import open_app
from stablenew.backends.fake import FakeBackend
from stablenew.config.settings import Settings
from stablenew.events.mailbox import Overflow
from stablenew.learning.learning_events import StepFinished
from stablenew.learning.learning_plan import LearningRunStep
from stablenew.learning.learning_steps import Steps
from stablenew.pipeline import pipeline_runner
from stablenew.pipeline.stage_plan import StagePlan, plan_stages
from stablenew.storage import record_file
from tests.support import AheadBackend, config

if TYPE_CHECKING:
    import types
    from collections.abc import Callable

STEPS = 130
WINDOW = 30
EARLY, LATE = 10, 90  # in the end it is summed up
PACKAGE = str(Path(stablenew.__file__).parent)


@attrs.define(eq=False)
class Work:
    """What was done so far.

    Attributes:
        calls: Of functions of ours, on the loop, while they were counted.
        threads: How often something was given to another thread.
        read: Bytes that were read of files, where the system tells.
        written: Bytes that were written.
    """

    calls: int = 0
    threads: int = 0
    read: int = 0
    written: int = 0

    def looked_at(self) -> Work:
        """Return it as it is now."""
        if Path("/proc/self/io").exists():
            lines = Path("/proc/self/io").read_text().splitlines()
            told = dict(line.split(": ") for line in lines)
            self.read, self.written = int(told["rchar"]), int(told["wchar"])
        return attrs.evolve(self)

    def take(self, frame: types.FrameType, event: str, _: object) -> None:
        """Count a call."""
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            self.calls += 1


def counting_threads(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have all that goes to another thread counted."""

    def counted(run: Callable[..., Any]) -> Callable[..., Any]:
        def running(*given: Any, **more: Any) -> Any:
            work.threads += 1
            return run(*given, **more)

        return running

    loop = type(asyncio.get_running_loop())
    monkeypatch.setattr(loop, "run_in_executor", counted(loop.run_in_executor))
    monkeypatch.setattr(anyio.to_thread, "run_sync", counted(anyio.to_thread.run_sync))


async def test_a_late_step_of_a_plan_is_as_much_work_as_an_early_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_file, "SMALL", 4096)  # from here on the file is not copied any more
    work, seen = Work(), {}
    counting_threads(work, monkeypatch)
    settings = Settings(out=tmp_path, learning_enabled=True)
    # A clock that stands still: no page is written as time goes by.
    clock = Clock(monotonic=lambda: 0.0)
    async with open_app(settings, backends=[FakeBackend()], clock=clock) as app:

        async def look(event: StepFinished) -> None:
            if event.index in (EARLY, EARLY + WINDOW, LATE, LATE + WINDOW):
                seen[event.index] = work.looked_at()
                counts = event.index in (EARLY, LATE)
                sys.setprofile(work.take if counts else None)

        app.bus.subscribe(StepFinished, look, overflow=Overflow.WAIT)
        cfgs = [1 + number / 100 for number in range(STEPS)]
        plan = {"target_variable": "txt2img.cfg_scale", "sweep_values": cfgs}
        small = config(txt2img={"width": 64, "height": 64})
        result = await app.learning.run_learning_plan(plan, small)
    assert result.success
    early, late = (
        [
            (after - before) / WINDOW
            for before, after in zip(
                attrs.astuple(seen[first]), attrs.astuple(seen[first + WINDOW]), strict=True
            )
        ]
        for first in (EARLY, LATE)
    )
    assert late[0] == pytest.approx(early[0], rel=0.02), "calls"
    assert late[1] == pytest.approx(early[1], abs=0.5), "trips to other threads"
    # The file of records is some 100 kB by then; what runs the tests reads and writes too.
    assert late[2:] == pytest.approx(early[2:], abs=2_000), "bytes read and written"
    # The picture; the run's metadata; its events; its record: begun, written, finished.
    assert late[1] < 6.6


async def test_a_step_is_derived_and_planned_once_though_it_is_announced_before_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    derive = Steps._step

    def derived(steps: Steps, index: int) -> LearningRunStep:
        made.append(index)
        return derive(steps, index)

    def planned(*what: Any) -> StagePlan:
        made.append("plan")
        return plan_stages(*what)

    monkeypatch.setattr(Steps, "_step", derived)
    monkeypatch.setattr(pipeline_runner, "plan_stages", planned)
    plan = {"target_variable": "txt2img.cfg_scale", "sweep_values": [3, 5, 7, 9]}
    async with open_app(Settings(out=tmp_path), backends=[AheadBackend()]) as app:
        assert (await app.learning.run_learning_plan(plan, config())).success
    before, runs = made[: made.index("plan")], made[made.index("plan") :]
    assert sum(each == "plan" for each in runs) == 4
    assert all(runs.count(step) + before.count(step) >= 1 for step in range(4))
    assert all(runs.count(step) <= 1 for step in range(4))
