"""Nodes that join a pool while a plan runs, and those that are said to be back."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import attrs
import pytest
from anyio.streams.memory import MemoryObjectSendStream

from stablenew.app import App, open_app
from stablenew.backends.base import Backend, Picture, ReportProgress, StageRequest
from stablenew.backends.fake import FAKE_CAPABILITIES
from stablenew.config.settings import Settings
from stablenew.errors import BackendUnavailableError
from stablenew.events.bus import EventBus
from stablenew.learning import step_scheduler
from stablenew.learning.learning_events import NodeReturned, StepFinished, StepStarted
from stablenew.pipeline import pool_growth
from tests.learning_v2.test_several_nodes import (
    SLOW,
    Server,
    pictures,
    plan,
    records,
    undisturbed,
)
from tests.support import Listener, config


class Gated(Server):
    """Makes nothing after its first picture until its gate is open."""

    gate = anyio.Event()

    async def run_stage(self, request: StageRequest, report: ReportProgress) -> Sequence[Picture]:
        if self.calls:
            await self.gate.wait()
        return await super().run_stage(request, report)


class Leaving(Server):
    """Notes that it was left."""

    left = False

    async def __aexit__(self, *_: object) -> None:
        self.left = True


@asynccontextmanager
async def growing(
    runs: Path, *backends: Backend
) -> AsyncIterator[tuple[App, Listener, MemoryObjectSendStream[Backend]]]:
    join, joining = anyio.create_memory_object_stream[Backend](math.inf)
    bus = EventBus(strict=True)
    settings = Settings(out=runs, learning_enabled=True)
    with join, joining:
        async with open_app(settings, backends=backends, joining=joining, bus=bus) as app:
            yield app, Listener(bus), join


async def test_a_node_that_joins_while_a_plan_runs_takes_steps(tmp_path: Path) -> None:
    await undisturbed(tmp_path / "one")
    first, second = Gated("a"), Leaving("b", SLOW)
    first.gate = anyio.Event()
    async with growing(tmp_path / "grown", first) as (app, heard, join):
        async with anyio.create_task_group() as group:
            group.start_soon(run_plan, app)
            while len(heard.of(StepStarted)) < 2:
                await anyio.sleep(0.001)
            await join.send(second)
            while len(second.calls) < 6:
                await anyio.sleep(0.001)
            first.gate.set()
        assert [*app.backends] == [first, second]
        assert not second.left
    assert second.left
    assert {event.node for event in heard.of(StepFinished)} == {"a", "b"}
    assert pictures(tmp_path / "grown") == pictures(tmp_path / "one")
    assert records(tmp_path / "grown") == records(tmp_path / "one")


async def run_plan(app: App) -> None:
    assert (await app.learning.run_learning_plan(plan(), config(), plan_id="p")).success


async def test_one_that_is_said_to_be_back_is_looked_for_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_scheduler, "_FIRST_PAUSE", 1000.0)
    here, gone = Gated("a"), Server("b", SLOW, dies_at=[1], comes_back=False)
    here.gate = anyio.Event()
    async with growing(tmp_path / "runs", here, gone) as (app, heard, join):
        async with anyio.create_task_group() as group:
            group.start_soon(run_plan, app)
            while not (gone.away and len(here.calls)):
                await anyio.sleep(0.001)
            await join.send(gone)  # it is not: it is looked for again when it is time
            await anyio.wait_all_tasks_blocked()
            gone.comes_back = True
            await join.send(gone)
            while len(gone.calls) < 7:
                await anyio.sleep(0.001)
            here.gate.set()
    assert len(heard.of(NodeReturned)) == 1
    assert len(heard.of(StepFinished)) == 8


@pytest.mark.parametrize("odd", ["another version", "another model", "no answer"])
async def test_one_that_is_another_or_does_not_answer_is_told_and_left_alone(
    tmp_path: Path, odd: str, caplog: pytest.LogCaptureFixture
) -> None:
    told = attrs.evolve(FAKE_CAPABILITIES, model_hashes={"fake-model": "a" * 10})
    other = attrs.evolve(told, version="2")
    if odd == "another model":
        other = attrs.evolve(told, model_hashes={"fake-model": "b" * 10})
    server = Server("a", told=told)
    joiner = Server("b", told=other, away=odd == "no answer", comes_back=False)
    async with growing(tmp_path / "runs", server) as (app, _, join):
        await app.pipeline.capabilities()
        with caplog.at_level(logging.WARNING):
            await join.send(joiner)
            while not caplog.messages:
                await anyio.sleep(0.001)
        await run_plan(app)
    line = (
        "b: nobody answers; it is asked again"
        if odd == "no answer"
        else "b: is another one than those that are there"
    )
    assert caplog.messages[0].startswith(line)
    assert joiner.calls == []


@pytest.mark.parametrize("said_back", [True, False])
async def test_one_that_does_not_answer_yet_is_asked_again(
    said_back: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(pool_growth, "_FIRST_PAUSE", 1000.0 if said_back else 0.01)
    joiner = Server("b", away=True, comes_back=False)
    async with growing(tmp_path / "runs", Server("a")) as (app, _, join):
        await join.send(joiner)
        while not caplog.messages:
            await anyio.sleep(0.001)
        joiner.comes_back = True
        if said_back:
            await join.send(joiner)
        while len(app.backends) < 2:
            await anyio.sleep(0.001)
    assert caplog.messages == ["b: nobody answers; it is asked again"]


async def test_an_error_of_the_app_leaves_as_itself(tmp_path: Path) -> None:
    gone = Server("http://gone", away=True, comes_back=False)
    with pytest.raises(BackendUnavailableError, match=r"^http://gone: nobody answers$"):
        async with growing(tmp_path / "runs", gone) as (app, _, _):
            await app.pipeline.capabilities()
