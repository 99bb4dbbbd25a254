from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from stablenew.app import App, host_app, make_backend, open_app
from stablenew.backends.fake import Behaviour, FakeBackend
from stablenew.config.settings import Settings
from stablenew.errors import BusClosedError, ConfigError, StableNewError
from stablenew.events.event import Event
from stablenew.learning.learning_events import PlanFinished
from stablenew.learning.learning_result import LearningExecutionResult
from stablenew.pipeline.stage_events import RunFinished, StageProgress
from tests.support import config, lines


async def test_a_host_task_hands_the_app_over_and_ends_when_told(runs: Path) -> None:
    async with anyio.create_task_group() as tasks:
        app: App = await tasks.start(
            lambda task_status: host_app(
                Settings(out=runs), backend=FakeBackend(), task_status=task_status
            )
        )
        assert (await app.pipeline.run_pipeline(config())).success
        app.closing.set()
    with pytest.raises(BusClosedError):
        await app.bus.publish(Event())


async def test_a_host_task_ends_when_it_is_cancelled_in_the_middle_of_a_run(runs: Path) -> None:
    async with anyio.create_task_group() as tasks:
        app: App = await tasks.start(host_app, Settings(out=runs, backend="fake"))
        tasks.start_soon(app.pipeline.run_pipeline, config())
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()


async def test_a_plan_of_another_task_is_cancelled_and_told_when_the_app_is_left(
    runs: Path,
) -> None:
    results: list[LearningExecutionResult] = []
    plan = {"target_variable": "steps", "sweep_values": [5, 6]}
    backend = FakeBackend(lambda request, call: Behaviour(hang=call == 2))
    async with anyio.create_task_group() as tasks:
        async with open_app(Settings(out=runs), backend=backend) as app:

            async def run() -> None:
                results.append(await app.learning.run_learning_plan(plan, config()))

            tasks.start_soon(run)
            with app.bus.stream(StageProgress) as events:
                async for event in events:
                    if event.run_id is not None and event.run_id.endswith("-00002"):
                        break
    (result,) = results
    assert [str(step.outcome) for step in result.step_results] == ["succeeded", "cancelled"]
    last = json.loads(lines(runs / result.plan_id / "events.jsonl")[-1])
    assert (last["type"], last["outcome"]) == ("PlanFinished", "cancelled")


async def test_settings_take_a_folder_as_text_and_check_their_types(runs: Path) -> None:
    async with open_app(Settings(out=str(runs), backend="fake")) as app:
        assert (await app.pipeline.run_pipeline(config())).success
    assert runs.exists()
    with pytest.raises(ConfigError, match="learning_enabled"):
        Settings(learning_enabled="no")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="out: given 3"):
        Settings(out=3)


async def test_an_error_inside_leaves_as_itself(runs: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with open_app(Settings(out=runs), backend=FakeBackend()):
            raise ZeroDivisionError


async def test_an_unknown_backend_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean embedded"):
        async with open_app(Settings(backend="embeded")):
            raise AssertionError
    assert make_backend(Settings(backend="fake")).name == "fake"


def test_trio_is_refused_with_the_reason(runs: Path) -> None:
    async def main() -> None:
        async with open_app(Settings(out=runs), backend=FakeBackend()):
            raise AssertionError

    with pytest.raises(StableNewError, match="asyncio"):
        anyio.run(main, backend="trio")


def test_a_loop_that_never_fires_timeouts_is_refused_and_names_another(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        import asyncio

        loop = type(asyncio.get_running_loop())
        monkeypatch.setattr(loop, "__module__", "PySide6.QtAsyncio.events")
        async with open_app(Settings(out=runs), backend=FakeBackend()):
            raise AssertionError

    with pytest.raises(StableNewError, match="qasync"):
        anyio.run(main)


def test_a_whole_plan_runs_on_uvloop(runs: Path) -> None:
    async def main() -> bool:
        async with open_app(
            Settings(out=runs, learning_enabled=True), backend=FakeBackend()
        ) as app:
            plan = {"target_variable": "steps", "sweep_values": [5, 6]}
            return (await app.learning.run_learning_plan(plan, config())).success

    assert anyio.run(main, backend_options={"use_uvloop": True})


async def test_nothing_is_left_behind(runs: Path) -> None:
    import asyncio

    from tests.support import open_handles

    before = len(asyncio.all_tasks())
    for _ in range(3):
        async with open_app(Settings(out=runs), backend=FakeBackend()) as app:
            await app.pipeline.run_pipeline(config())
        handles = open_handles()
    assert len(asyncio.all_tasks()) == before
    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:
        await app.pipeline.run_pipeline(config())
    assert open_handles() == handles


async def test_the_backend_outlives_what_is_still_told(runs: Path) -> None:
    order: list[str] = []

    class Noting(FakeBackend):
        async def __aexit__(self, *_: object) -> None:
            order.append("backend left")

    async with open_app(Settings(out=runs), backend=Noting()) as app:

        async def note(event: Event) -> None:
            order.append(type(event).__name__)

        app.bus.subscribe(PlanFinished, note)
        app.bus.subscribe(RunFinished, note)
        await app.learning.run_learning_plan(
            {"target_variable": "steps", "sweep_values": [5]}, config()
        )
    assert sorted(order) == ["PlanFinished", "RunFinished", "backend left"]
