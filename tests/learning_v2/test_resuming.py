"""A plan that goes on: what is finished is neither run nor recorded again."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import anyio
import pytest

from stablenew.app import App, open_app
from stablenew.backends.fake import Behaviour, FakeBackend
from stablenew.config.settings import Settings
from stablenew.controller import marker
from stablenew.controller.interruption import find_interruptions
from stablenew.controller.plan_progress import note_death
from stablenew.errors import ConfigError, StableNewError
from stablenew.learning.learning_events import StepFinished
from stablenew.learning.learning_record_reader import read_records
from stablenew.learning.learning_result import LearningExecutionResult
from stablenew.pipeline.results import Outcome
from stablenew.report.page import DATA
from tests.support import config, leftovers

PLAN = {"target_variable": "txt2img.steps", "sweep_values": [10, 20, 30, 40]}


async def begin(runs: Path, backend: FakeBackend, *, plan: object = PLAN) -> str:
    """Run a plan until it is cancelled in its third step; return its id."""
    settings = Settings(out=runs, learning_enabled=True)
    async with open_app(settings, backend=backend) as app:

        async def stop(event: StepFinished) -> None:
            if event.index == 1:
                app.learning.cancel_plan()

        app.bus.subscribe(StepFinished, stop)
        assert isinstance(plan, dict)
        result = await app.learning.run_learning_plan(plan, config(upscale={}))
        await app.bus.drain()
    assert result.outcome is Outcome.CANCELLED
    return result.plan_id


async def resume(
    runs: Path, plan_id: str, backend: FakeBackend, *, only_failed: bool = False
) -> LearningExecutionResult:
    async with open_app(Settings(out=runs), backend=backend) as app:
        result = await app.learning.resume_plan(plan_id, only_failed=only_failed)
        await app.bus.drain()
    return result


def records(runs: Path) -> Counter[str]:
    return Counter(record.run_id for record in read_records(runs / "learning_records.jsonl"))


def outcomes(result: LearningExecutionResult) -> list[str]:
    return [str(step.outcome) for step in result.step_results]


def told(runs: Path, plan_id: str) -> list[dict[str, object]]:
    path = runs / plan_id / "events.jsonl"
    return [json.loads(line) for line in path.read_bytes().splitlines()]


async def test_it_goes_on_where_it_stopped(runs: Path) -> None:
    plan_id = await begin(runs, FakeBackend())
    done = len(records(runs))
    backend = FakeBackend()
    result = await resume(runs, plan_id, backend)
    assert result.plan_id == plan_id
    assert result.success
    assert outcomes(result) == ["reused"] * done + ["succeeded"] * (4 - done)
    steps = [r.settings["steps"] for r in backend.calls if r.stage == "txt2img"]
    assert steps == [10, 20, 30, 40][done:]
    assert records(runs) == Counter({f"{plan_id}-{n:05d}": 1 for n in range(1, 5)})
    sequences = [line["sequence"] for line in told(runs, plan_id)]
    assert sequences == list(range(1, len(sequences) + 1))
    assert leftovers(runs) == []


async def test_a_torn_event_is_not_glued_to_what_is_told_when_it_goes_on(runs: Path) -> None:
    plan_id = await begin(runs, FakeBackend())
    path = runs / plan_id / "events.jsonl"
    path.write_bytes(path.read_bytes()[:-20])  # as a power cut leaves it
    whole = path.read_bytes().count(b"\n")
    await resume(runs, plan_id, FakeBackend())
    lines = told(runs, plan_id)
    assert lines[whole]["type"] == "PlanStarted"
    assert list(path.parent.glob("events.jsonl.torn-*"))


async def test_the_page_and_the_sheet_have_all_steps_afterwards(runs: Path) -> None:
    plan_id = await begin(runs, FakeBackend())
    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:
        await app.learning.resume_plan(plan_id)
        await app.reports.drained()
    text = (runs / plan_id / DATA).read_text()
    data = json.loads(text.partition(" = ")[2].rstrip(";\n"))
    assert [len(step["pictures"]) for step in data["steps"]] == [1, 1, 1, 1]
    assert data["done"]
    assert (runs / plan_id / "contact_sheet.png").exists()


async def test_a_step_that_was_cut_goes_on_after_its_last_finished_stage(runs: Path) -> None:
    backend = FakeBackend(lambda request, call: Behaviour(hang=request.stage == "upscale"))
    settings = Settings(out=runs, learning_enabled=True)
    async with open_app(settings, backend=backend) as app, anyio.create_task_group() as tasks:

        async def stop() -> None:
            while len(backend.calls) < 2:
                await anyio.sleep(0.005)
            app.learning.cancel_plan()

        tasks.start_soon(stop)
        first = await app.learning.run_learning_plan(PLAN, config(upscale={}))
    again = FakeBackend()
    result = await resume(runs, first.plan_id, again)
    assert result.success
    assert [r.stage for r in again.calls][:2] == ["upscale", "txt2img"]
    assert len(again.calls) == 7


async def test_a_finished_step_without_its_record_costs_only_the_record(runs: Path) -> None:
    """As after a kill between a run's end and its record."""
    plan_id = await begin(runs, FakeBackend())
    path = runs / "learning_records.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    backend = FakeBackend()
    await resume(runs, plan_id, backend)
    assert records(runs) == Counter({f"{plan_id}-{n:05d}": 1 for n in range(1, 5)})
    assert all(request.settings.get("steps") != 20 for request in backend.calls)


async def test_what_a_newer_version_kept_is_understood(runs: Path) -> None:
    plan_id = await begin(runs, FakeBackend())
    for path in runs.glob("*/run_metadata.json"):
        data = json.loads(path.read_text())
        for output in data["stage_outputs"]:
            output["something_new"] = 1
        path.write_text(json.dumps(data))
    backend = FakeBackend()
    await resume(runs, plan_id, backend)
    assert all(request.settings.get("steps") not in (10, 20) for request in backend.calls)
    assert set(records(runs).values()) == {1}


async def test_a_run_is_never_recorded_twice_even_if_it_is_run_again(runs: Path) -> None:
    plan_id = await begin(runs, FakeBackend())
    (runs / f"{plan_id}-00001" / "run_metadata.json").unlink()
    assert (await resume(runs, plan_id, FakeBackend())).success
    assert records(runs) == Counter({f"{plan_id}-{n:05d}": 1 for n in range(1, 5)})


async def test_a_finished_plan_runs_nothing(runs: Path) -> None:
    plan_id = await begin(runs, FakeBackend())
    await resume(runs, plan_id, FakeBackend())
    backend = FakeBackend()
    result = await resume(runs, plan_id, backend)
    assert result.success
    assert outcomes(result) == ["reused"] * 4
    assert backend.calls == []
    assert set(records(runs).values()) == {1}


async def test_only_failed_runs_those_again(runs: Path) -> None:
    failing = FakeBackend(
        lambda request, call: Behaviour(
            error=ValueError("no") if request.settings.get("steps") == 20 else None
        )
    )
    settings = Settings(out=runs, learning_enabled=True)
    async with open_app(settings, backend=failing) as app:
        first = await app.learning.run_learning_plan(PLAN, config(), max_steps=3)
    assert outcomes(first) == ["succeeded", "failed", "succeeded"]
    backend = FakeBackend()
    result = await resume(runs, first.plan_id, backend, only_failed=True)
    assert [request.settings["steps"] for request in backend.calls] == [20]
    assert outcomes(result) == ["reused", "succeeded", "reused"]
    assert set(records(runs).values()) == {1}


async def test_what_was_half_written_when_a_finished_plans_process_died_is_removed(
    runs: Path,
) -> None:
    plan_id = await begin(runs, FakeBackend())
    halves = [
        runs / plan_id / ".contact_sheet.png.0a1b2c3d.tmp",
        runs / f"{plan_id}-00001" / ".txt2img_1.png.0a1b2c3d.tmp",
    ]
    for path in halves:
        path.write_bytes(b"half")
    await resume(runs, plan_id, FakeBackend())
    assert not any(path.exists() for path in halves)


async def test_only_failed_leaves_alone_what_was_never_run(runs: Path) -> None:
    plan_id = await begin(runs, FakeBackend())
    backend = FakeBackend()
    result = await resume(runs, plan_id, backend, only_failed=True)
    assert backend.calls == []
    assert result.summary["not_run"] == 4 - len(result.step_results) > 0


async def test_a_step_that_killed_the_process_twice_is_set_aside(runs: Path) -> None:
    plan_id = await begin(runs, FakeBackend())
    for times in (1, 2):
        note_death(runs / plan_id, 2)
        backend = FakeBackend()
        result = await resume(runs, plan_id, backend) if times == 2 else None
    assert result is not None
    assert outcomes(result)[2:] == ["quarantined", "succeeded"]
    assert not result.success
    assert "twice" in str(result.step_results[2].error)
    assert result.summary["quarantined"] == 1
    again = await resume(runs, plan_id, FakeBackend(), only_failed=True)
    assert again.success


async def test_a_plan_that_was_cancelled_and_killed_when_it_went_on_is_interrupted(
    runs: Path,
) -> None:
    plan_id = await begin(runs, FakeBackend())
    line = {**told(runs, plan_id)[0], "sequence": 10_000}
    assert line["type"] == "PlanStarted"
    with (runs / plan_id / "events.jsonl").open("a") as file:  # as far as the second run got
        file.write(json.dumps(line) + "\n")
    held = marker.hold(runs, plan_id)
    marker.note_step(held, 2)
    os.close(held)  # as a kill does
    (found,) = find_interruptions(runs)
    assert (found.id, found.steps) == (plan_id, 4)
    assert "steps=30" in found.missing
    assert (runs / plan_id / "deaths.jsonl").exists()


async def test_going_on_changes_nothing_for_other_runs(runs: Path) -> None:
    plan_id = await begin(runs, FakeBackend())
    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:
        assert (await app.learning.resume_plan(plan_id)).success
        assert not app.pipeline.learning_enabled
        before = len(records(runs))
        assert (await app.learning.run_learning_plan(PLAN, config())).success
    assert len(records(runs)) == before == 4


async def test_a_start_that_is_refused_leaves_the_plan_under_way_alone(runs: Path) -> None:
    plan_id = await begin(runs, FakeBackend())
    path = runs / plan_id / "events.jsonl"
    path.write_text(path.read_text().replace('"sequence":1,', '"sequence":9000,'))
    other = FakeBackend(Behaviour(delay=0.05))
    async with open_app(Settings(out=runs), backend=other) as app:

        async def go_on(event: StepFinished) -> None:
            if event.index + 1 == event.steps:  # the plan may have ended by now
                return
            with pytest.raises(StableNewError, match="under way"):
                await app.learning.resume_plan(plan_id)

        subscription = app.bus.subscribe(StepFinished, go_on)
        result = await app.learning.run_learning_plan(PLAN, config())
        await app.bus.drain()
        assert subscription.handled == 4
    assert records(runs).keys() == {f"{plan_id}-{n:05d}" for n in range(1, len(records(runs)) + 1)}
    sequences = [line["sequence"] for line in told(runs, result.plan_id)]
    assert sequences == list(range(1, len(sequences) + 1))


def test_a_death_is_noted_with_its_step_once(runs: Path) -> None:
    folder = runs / "plan-1"
    folder.mkdir(parents=True)
    held = marker.hold(runs, "plan-1")
    marker.note_step(held, 12)
    marker.note_step(held, 3)
    os.close(held)  # as a kill does
    assert len(find_interruptions(runs)) == 1
    assert find_interruptions(runs) == ()
    assert (folder / "deaths.jsonl").read_text() == '{"step":3}\n'


async def test_the_step_under_way_is_marked(runs: Path) -> None:
    seen: list[str] = []

    async def look(app: App) -> None:
        async def take(event: StepFinished) -> None:
            seen.append((runs / marker.FOLDER / str(event.plan_id)).read_text())

        app.bus.subscribe(StepFinished, take)

    async with open_app(Settings(out=runs), backend=FakeBackend(Behaviour(delay=0.02))) as app:
        await look(app)
        await app.learning.run_learning_plan(PLAN, config())
        await app.bus.drain()
    assert seen[0] in ("0\n", "1\n")
    assert len(seen) == 4


@pytest.mark.parametrize("plan_id", ["nope", "../x"])
async def test_what_is_no_plan_is_said(runs: Path, plan_id: str) -> None:
    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:
        with pytest.raises(ConfigError, match="plan"):
            await app.learning.resume_plan(plan_id)


async def test_models_are_switched_as_little_as_possible(runs: Path) -> None:
    backend = FakeBackend()
    grid = {
        "target_variable": "txt2img.model",
        "sweep_values": ["fake-model", "other-model"],
        "y_variable": "txt2img.steps",
        "y_values": [1, 2, 3],
        "mode": "grid",
    }
    async with open_app(Settings(out=runs), backend=backend) as app:
        result = await app.learning.run_learning_plan(grid, config())
    assert [r.settings["model"] for r in backend.calls] == ["fake-model"] * 3 + ["other-model"] * 3
    assert [step.step.index for step in result.step_results] == list(range(6))


async def test_a_time_limit_takes_what_fits_and_the_rest_can_be_resumed(runs: Path) -> None:
    backend = FakeBackend(Behaviour(delay=0.2))
    async with open_app(Settings(out=runs), backend=backend) as app:
        result = await app.learning.run_learning_plan(PLAN, config(), max_seconds=0.55)
        assert result.success
        assert result.summary["not_run"] == 4 - len(result.step_results)
        assert 1 <= len(result.step_results) <= 2
        again = await app.learning.resume_plan(result.plan_id)
    assert again.success
    assert len(again.step_results) == 4
    assert len(backend.calls) == 4
