"""The loop itself ends at any moment of a plan: every task is cancelled at once, by nobody's plan.

That is what `asyncio.run` does when its main coroutine returns, and what Textual and others do when
their screen is closed. asyncio's cancel knows of no shield and of no order between tasks.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from stablenew.app import App, open_app
from stablenew.backends.base import InterruptReceipt, Picture, ReportProgress, StageRequest
from stablenew.backends.fake import Behaviour, FakeBackend
from stablenew.config.settings import Settings
from stablenew.controller import marker
from stablenew.events.bus import EventBus
from stablenew.events.event import Event
from stablenew.events.mailbox import Overflow
from tests.support import cancelled_at, config, leftovers, lines, moments

PLAN = {"target_variable": "txt2img.steps", "sweep_values": [10, 20, 30]}
MOST_MOMENTS = 2_000


class Slow(FakeBackend):
    """Takes its time to draw and to stop, and knows what was cut."""

    def __init__(self) -> None:
        super().__init__(Behaviour(progress=(0.5, 1.0), delay=0.002))
        self.cut: list[str] = []

    async def run_stage(self, request: StageRequest, report: ReportProgress) -> Sequence[Picture]:
        try:
            return await super().run_stage(request, report)
        except asyncio.CancelledError:
            self.cut.append(request.request_id)
            raise

    async def interrupt(self, request_id: str) -> InterruptReceipt:
        await anyio.sleep(0.005)
        return await super().interrupt(request_id)


async def leave_at(moment: int, runs: Path, twice: bool, backend: Slow) -> bool:
    """Run a plan, and let the loop end at one of its moments; False if that never came."""
    opened: asyncio.Future[App] = asyncio.get_running_loop().create_future()
    time_to_go = asyncio.Event()

    async def host() -> None:
        settings = Settings(out=runs, learning_enabled=True)
        async with open_app(settings, backend=backend) as app:
            opened.set_result(app)
            await asyncio.Event().wait()

    hosting = asyncio.create_task(host())
    app = await opened
    plan = app.learning.run_learning_plan(PLAN, config(upscale={}))
    running = asyncio.create_task(cancelled_at(moment, time_to_go.set, plan))
    waiting = asyncio.create_task(time_to_go.wait())
    await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
    if twice:  # as Textual does: its workers first, then everything
        running.cancel()
        hosting.cancel()
    return time_to_go.is_set()


def check(runs: Path) -> None:
    told = [json.loads(line) for path in runs.glob("*/events.jsonl") for line in lines(path)]
    names = [line["type"] for line in told]
    for kind in ("Plan", "Run", "Stage"):
        assert names.count(f"{kind}Started") == names.count(f"{kind}Finished"), names
    succeeded = [
        line["run_id"]
        for line in told
        if line["type"] == "RunFinished" and line["result"]["outcome"] == "succeeded"
    ]
    records = [json.loads(line)["run_id"] for line in lines(runs / "learning_records.jsonl")]
    assert records == succeeded
    assert leftovers(runs) == []
    marked = runs / marker.FOLDER
    assert not marked.exists() or list(marked.iterdir()) == []


@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
def test_whenever_the_loop_ends_every_end_is_told_and_every_record_there(
    tmp_path: Path, twice: bool
) -> None:
    runs, cut = tmp_path / "runs", 0
    for moment in moments(every=3):
        assert moment < MOST_MOMENTS
        backend = Slow()
        reached = asyncio.run(leave_at(moment, runs, twice, backend))
        check(runs)
        assert set(backend.cut) == set(backend.interrupts)
        cut += len(backend.cut)
        shutil.rmtree(runs, ignore_errors=True)
        if not reached:
            break
    assert moment > 10
    assert cut > 2


def test_a_subscriber_that_never_began_is_given_what_was_told() -> None:
    heard: list[int] = []

    async def take(event: Event) -> None:
        heard.append(event.sequence)

    async def main() -> None:
        async def host() -> None:
            async with EventBus() as bus:
                bus.subscribe(Event, take, overflow=Overflow.WAIT)
                await bus.publish(Event())
                await asyncio.Event().wait()

        host_task = asyncio.create_task(host())
        await asyncio.sleep(0)
        assert not heard  # the subscriber's task is there, and has not begun
        host_task.cancel()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.wait([host_task])

    asyncio.run(main())
    assert heard == [1]
