"""A plan tells the pipeline which step follows, as long as nothing stands between."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from stablenew.app import App, open_app
from stablenew.backends.fake import Behaviour
from stablenew.config.settings import Settings
from stablenew.events.event import Event
from stablenew.events.mailbox import Overflow
from stablenew.learning.feedback_reader import Rating
from stablenew.learning.gallery import Shown
from stablenew.learning.learning_events import PlanPaused
from stablenew.learning.learning_result import LearningExecutionResult
from stablenew.pipeline import picture_index
from stablenew.pipeline.picture_index import INDEX_FILE
from tests.support import AheadBackend, config

PLAN: dict[str, object] = {"target_variable": "txt2img.steps", "sweep_values": [10, 20, 30]}


def ignore(_: App, __: str) -> None:
    """Do nothing."""


async def run_plan(
    runs: Path,
    backend: AheadBackend,
    act: Callable[[App, str], None] = ignore,
    plan: dict[str, object] = PLAN,
    plan_id: str = "plan",
    **how: object,
) -> LearningExecutionResult:
    """Run a plan, and act on what the backend is told; a plan that is paused is resumed."""

    async def resume(_: Event) -> None:
        act(app, f"paused {[*backend.begun]}")
        app.learning.resume()

    async with open_app(Settings(out=runs), backend=backend) as app:
        app.bus.subscribe(PlanPaused, resume, overflow=Overflow.WAIT)
        backend.act = lambda line: act(app, line)
        return await app.learning.run_learning_plan(
            plan,
            config(),
            plan_id=plan_id,
            **how,  # type: ignore[arg-type]  # named as there
        )


def logged(backend: AheadBackend, what: str) -> list[str]:
    lines = [line.split() for line in backend.log]
    return [picture for did, picture in lines if did == what]


async def test_each_step_but_the_last_announces_the_next(runs: Path) -> None:
    backend = AheadBackend()
    assert (await run_plan(runs, backend)).success
    assert logged(backend, "announced") == ["plan-00002-txt2img_1", "plan-00003-txt2img_1"]
    assert logged(backend, "stopped") == []
    assert [request.settings["steps"] for request in backend.calls] == [10, 20, 30]


async def test_a_step_that_is_there_already_is_not_announced(runs: Path) -> None:
    await run_plan(runs, AheadBackend(), plan={**PLAN, "sweep_values": [20]}, plan_id="before")
    backend = AheadBackend()
    await run_plan(runs, backend)
    assert logged(backend, "announced") == []
    assert [request.settings["steps"] for request in backend.calls] == [10, 30]


async def test_what_was_made_elsewhere_meanwhile_is_taken_and_what_was_begun_is_stopped(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    await run_plan(elsewhere, AheadBackend(), plan={**PLAN, "sweep_values": [20]}, plan_id="other")
    monkeypatch.setattr(picture_index, "_LOOK_EVERY", 0.0)

    def bring(_: App, line: str) -> None:
        if line == "announced plan-00002-txt2img_1":
            shutil.copytree(elsewhere / "other-00001", runs / "other-00001")
            with (runs / INDEX_FILE).open("a") as index:
                index.write((elsewhere / INDEX_FILE).read_text())

    backend = AheadBackend()
    assert (await run_plan(runs, backend, bring)).success
    assert backend.log[2:4] == ["stopped plan-00002-txt2img_1", "asked plan-00003-txt2img_1"]
    assert logged(backend, "stopped") == ["plan-00002-txt2img_1"]
    assert [request.settings["steps"] for request in backend.calls] == [10, 30]


async def test_a_pause_before_the_last_picture_of_a_step_announces_nothing(runs: Path) -> None:
    def pause(app: App, line: str) -> None:
        if line == "asked plan-00001-txt2img_1":
            app.learning.pause()

    backend = AheadBackend()
    assert (await run_plan(runs, backend, pause)).success
    assert logged(backend, "announced") == ["plan-00003-txt2img_1"]
    assert logged(backend, "stopped") == []


async def test_a_pause_after_it_stops_what_was_begun_before_it_is_told(runs: Path) -> None:
    begun: list[str] = []

    def pause(app: App, line: str) -> None:
        if line == "announced plan-00002-txt2img_1":
            app.learning.pause()
        if line.startswith("paused"):
            begun.append(line)

    backend = AheadBackend()
    assert (await run_plan(runs, backend, pause)).success
    assert begun == ["paused []"]
    assert logged(backend, "stopped") == ["plan-00002-txt2img_1"]
    assert logged(backend, "asked") == [f"plan-0000{step}-txt2img_1" for step in (1, 2, 3)]


async def test_a_step_that_may_come_too_late_is_not_announced(runs: Path) -> None:
    backend = AheadBackend()
    result = await run_plan(runs, backend, max_seconds=0.001)
    assert result.out_of_time
    assert backend.begun == {}
    assert logged(backend, "stopped") == logged(backend, "announced") == ["plan-00002-txt2img_1"]


async def test_a_cancelled_step_takes_what_follows_it_with_it_and_the_plan_goes_on(
    runs: Path,
) -> None:
    def cancel(app: App, line: str) -> None:
        if line == "announced plan-00002-txt2img_1":
            app.learning.cancel_step()

    backend = AheadBackend(lambda _, call: Behaviour(hang=call == 1))
    result = await run_plan(runs, backend, cancel)
    assert [str(step.outcome) for step in result.step_results] == ["cancelled", *["succeeded"] * 2]
    assert logged(backend, "stopped") == ["plan-00001-txt2img_1", "plan-00002-txt2img_1"]
    assert logged(backend, "asked") == [f"plan-0000{step}-txt2img_1" for step in (1, 2, 3)]


async def test_a_step_that_fails_does_not_stop_the_one_that_follows(runs: Path) -> None:
    backend = AheadBackend(lambda _, call: Behaviour(error=OSError("no") if call == 1 else None))
    result = await run_plan(runs, backend)
    assert [str(step.outcome) for step in result.step_results] == ["failed", *["succeeded"] * 2]
    assert logged(backend, "stopped") == []


async def test_an_adaptive_plan_announces_no_step_that_depends_on_ratings(runs: Path) -> None:
    plan: dict[str, object] = {
        "bounds": [10, 20],
        "target_variable": "txt2img.steps",
        "sweep_values": [10, 20],
        "max_pictures": 4,
    }

    async def rate(_: Shown) -> Rating | int | None:
        assert backend.begun == {}
        return 3

    backend = AheadBackend()
    await run_plan(runs, backend, plan=plan, rate=rate)
    assert "plan-00002-txt2img_1" in logged(backend, "announced")
    assert "plan-00003-txt2img_1" not in logged(backend, "announced")


async def test_each_of_several_backends_is_told_of_its_own_next_step(runs: Path) -> None:
    nodes = [AheadBackend(Behaviour(delay=0.01)) for _ in range(2)]
    values = list(range(1, 13))
    async with open_app(Settings(out=runs), backends=nodes) as app:
        result = await app.learning.run_learning_plan({**PLAN, "sweep_values": values}, config())
    assert result.success
    made = [request.settings["steps"] for node in nodes for request in node.calls]
    assert sorted(made) == values  # type: ignore[type-var]  # numbers, as they were given
    for node in nodes:
        assert node.begun == {}
        taken_over = set(logged(node, "announced")) - set(logged(node, "asked"))
        assert len(taken_over) <= 1  # the last one may go to another that is done before
        assert logged(node, "announced")
