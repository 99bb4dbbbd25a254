"""Wires that break and servers that die: what was done is kept, what was cut is made again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import anyio
import pytest

from stablenew.app import open_app
from stablenew.config.settings import Settings
from stablenew.errors import BackendUnavailableError
from stablenew.events.event import Event
from stablenew.events.mailbox import Overflow
from stablenew.learning.learning_record_reader import read_records
from stablenew.learning.learning_result import LearningExecutionResult
from stablenew.pipeline.results import Outcome
from stablenew.pipeline.stage_events import (
    BackendAwaited,
    BackendLost,
    BackendReturned,
    PictureSaved,
)
from tests.support import leftovers
from tests.webui.driving import SMALL, open_studio
from tests.webui.profiles import A1111, A1111_UI, Profile
from tests.webui.requests import Refusal
from tests.webui.server import serve
from tests.webui.wire import Fault, wired

PLAN = {"target_variable": "txt2img.cfg_scale", "sweep_values": [3, 5, 7, 9], "images_per_step": 2}
SHORT = {**PLAN, "sweep_values": [3, 5]}


async def run_plan(
    out: Path,
    url: str,
    watch: object = None,
    *,
    steps: int = 4,
    plan: Mapping[str, object] = PLAN,
    **settings: object,
) -> tuple[LearningExecutionResult, list[Event]]:
    """Run the plan as an app does; return what became of it and every event."""
    events: list[Event] = []

    async def note(event: Event) -> None:
        events.append(event)
        if callable(watch):
            watch(event)

    chosen = Settings(
        out=out,
        backend="webui",
        url=url,
        learning_enabled=True,
        **settings,  # type: ignore[arg-type]
    )
    async with open_app(chosen) as app:
        app.bus.subscribe(Event, note, overflow=Overflow.WAIT)
        config = {"txt2img": {**SMALL, "steps": steps}}
        result = await app.learning.run_learning_plan(plan, config)
    return result, events


def check_whole(out: Path, result: LearningExecutionResult, steps: int) -> None:
    """See that a plan ended as it would have on a good day."""
    assert result.outcome is Outcome.SUCCEEDED
    kept = list(read_records(out / "learning_records.jsonl"))
    assert len(kept) == len({record.run_id for record in kept}) == steps
    assert len(list(out.glob("*/txt2img_*.png"))) == 2 * steps
    assert leftovers(out) == []


@pytest.mark.parametrize("profile", [A1111, A1111_UI], ids=lambda profile: profile.name)
@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.name.lower())
async def test_a_plan_ends_as_if_the_wire_had_not_broken(
    fault: Fault, profile: Profile, runs: Path
) -> None:
    def strike(event: Event) -> None:
        if isinstance(event, PictureSaved):
            wire.fault = fault  # once there is something to lose

    with serve(profile, step_seconds=0.01) as webui, wired(webui.url) as wire:
        result, events = await run_plan(runs, wire.url, strike, plan=SHORT)
        assert webui.running is None
        made = len(webui.jobs)
    assert wire.befell == 1
    check_whole(runs, result, 2)
    lost = [event for event in events if isinstance(event, BackendLost)]
    harmless = fault in (Fault.SILENCE, Fault.DRIP)
    assert len(lost) == (0 if harmless else 1)
    assert made == (4 if harmless or fault is Fault.RESET_UNHEARD else 5)


async def test_a_wire_that_breaks_twice_fails_one_step_and_no_other(runs: Path) -> None:
    with serve(A1111) as webui, wired(webui.url, Fault.TRUNCATED_JSON, left=2) as wire:
        result, _ = await run_plan(runs, wire.url)
    outcomes = [step.outcome for step in result.step_results]
    assert outcomes == [Outcome.FAILED, *[Outcome.SUCCEEDED] * 3]


async def test_a_job_whose_answer_was_lost_is_stopped_before_it_is_asked_for_again() -> None:
    with serve(A1111, step_seconds=0.02) as webui, wired(webui.url, Fault.RESET_BEFORE) as wire:
        async with open_studio(wire.url) as studio:
            result = await studio.run(txt2img={"steps": 100})
        first, second = webui.jobs
    assert result.success
    assert first.interrupts == ["stablenew"] * len(first.interrupts) != []
    assert second.interrupts == []
    assert first.ended is not None
    assert first.ended - first.began < 1.5


async def test_no_room_for_the_answer_to_a_get_is_tried_again() -> None:
    with serve(A1111) as webui, wired(webui.url, Fault.RESET_BEFORE, path="/samplers") as wire:
        async with open_studio(wire.url) as studio:
            assert (await studio.run()).success
    assert wire.befell == 1


async def test_an_answer_that_is_no_is_not_asked_for_again(runs: Path) -> None:
    refusal = Refusal(500, "OutOfMemoryError", "CUDA out of memory")
    with serve(A1111, fail_with=refusal) as webui:
        result, events = await run_plan(runs, webui.url)
        assert len(webui.jobs) == 4
    assert not any(isinstance(event, BackendLost) for event in events)
    assert [step.outcome for step in result.step_results] == [Outcome.FAILED] * 4


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """A server that can really be killed."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = [sys.executable, "-m", "tests.webui.server", str(self.port), "a1111", "0.02"]
        root = Path(__file__).parents[2]
        self._process = subprocess.Popen(words, cwd=root)

    def kill(self) -> None:
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture
def server() -> Iterator[Process]:
    process = Process()
    process.start()
    try:
        yield process
    finally:
        process.kill()


async def listening(port: int) -> None:
    while True:
        try:
            stream = await anyio.connect_tcp("127.0.0.1", port)
        except OSError:
            await anyio.sleep(0.05)
        else:
            await stream.aclose()
            return


async def test_a_server_that_is_killed_and_started_again_costs_nothing_but_time(
    runs: Path, server: Process
) -> None:
    await listening(server.port)
    killed = anyio.Event()

    def watch(event: Event) -> None:
        if isinstance(event, PictureSaved) and event.output.path.endswith("2.png"):
            killed.set()

    async def kill_and_start() -> None:
        await killed.wait()
        await anyio.sleep(0.15)  # in the middle of the next picture
        server.kill()
        await anyio.sleep(1.0)
        server.start()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(kill_and_start)
        result, events = await run_plan(runs, server.url, watch, steps=20)
    check_whole(runs, result, 4)
    assert [
        type(event) for event in events if isinstance(event, BackendLost | BackendReturned)
    ] == [
        BackendLost,
        BackendReturned,
    ]
    left = [event.seconds_left for event in events if isinstance(event, BackendAwaited)]
    assert left == sorted(left, reverse=True)
    assert 58 < left[0] <= 60


async def test_a_server_that_stays_away_ends_the_plan_and_keeps_what_was_done(
    runs: Path, server: Process
) -> None:
    await listening(server.port)

    def watch(event: Event) -> None:
        if isinstance(event, PictureSaved) and event.output.path.endswith("2.png"):
            server.kill()

    result, events = await run_plan(runs, server.url, watch, wait_for_server=0.5)
    assert [step.outcome for step in result.step_results] == [
        Outcome.SUCCEEDED,
        *[Outcome.FAILED] * 3,
    ]
    assert result.step_results[1].error is not None
    assert result.step_results[1].error.kind == "BackendUnavailableError"
    assert len(list(read_records(runs / "learning_records.jsonl"))) == 1
    assert not any(isinstance(event, BackendReturned) for event in events)


async def test_after_three_steps_without_a_server_the_rest_is_not_run(
    runs: Path, server: Process
) -> None:
    await listening(server.port)

    def watch(event: Event) -> None:
        if isinstance(event, PictureSaved):
            server.kill()

    result, _ = await run_plan(runs, server.url, watch, wait_for_server=0)
    assert len(result.step_results) == 3
    assert result.summary["not_run"] == 1
    assert result.outcome is Outcome.FAILED


async def test_a_server_that_is_not_there_at_the_start_is_told_at_once(runs: Path) -> None:
    with pytest.raises(BackendUnavailableError, match="Connection refused"):
        with anyio.fail_after(20):
            await run_plan(runs, f"http://127.0.0.1:{free_port()}")
    assert not runs.exists()
