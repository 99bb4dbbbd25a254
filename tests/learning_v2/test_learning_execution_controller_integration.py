"""A plan through the whole app on the embedded model, and what it leaves is rated and gathered."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from stablenew import (
    FakeBackend,
    LearningPlan,
    Settings,
    build_learning_dataset,
    open_app,
    record_feedback,
)
from stablenew.app import App
from stablenew.backends.base import Capabilities, StageRequest
from stablenew.backends.embedded.backend import EmbeddedBackend
from stablenew.backends.fake import Behaviour
from stablenew.controller.activity import State
from stablenew.errors import BackendUnavailableError, ConfigError, StableNewError
from stablenew.events.bus import EventBus
from stablenew.events.mailbox import Overflow
from stablenew.learning.learning_events import StepFinished, StepStarted
from stablenew.pipeline.results import Outcome
from stablenew.pipeline.stage_events import StageStarted
from tests.support import config, leftovers, lines, pass_time

PLAN = {"target_variable": "txt2img.cfg_scale", "sweep_values": [1, 7], "images_per_step": 2}


def state(app: App) -> State:
    return app.pipeline.state


async def test_a_plan_leaves_pictures_records_and_files_that_fit_together(runs: Path) -> None:
    settings = Settings(out=runs, learning_enabled=True)
    base = config(txt2img={"steps": 3, "seed": -1}, upscale={})
    bus = EventBus(strict=True)
    async with open_app(settings, backend=EmbeddedBackend(), bus=bus) as app:
        result = await app.learning.run_learning_plan(PLAN, base, {"experiment_name": "x"})
        records = [json.loads(line) for line in lines(settings.records_path)]
        await app.reports.drained()
        assert app.learning.last_result == result
        assert app.learning.get_last_learning_execution_result_for_tests() == result
    assert result.success
    assert [record["metadata"]["variable_value"] for record in records] == [1, 7]
    assert [record["run_id"] for record in records] == [step.run_id for step in result.step_results]
    for record in records:
        assert record["metadata"]["experiment_name"] == "x"
        assert [output["seed"] for output in record["outputs"][:2]] == [
            records[0]["outputs"][0]["seed"],
            records[0]["outputs"][0]["seed"] + 1,
        ]
        for output in record["outputs"]:
            assert (runs / output["path"]).read_bytes().startswith(b"\x89PNG")
    plan_folder = runs / result.plan_id
    assert sorted(path.name for path in plan_folder.iterdir()) == [
        "contact_sheet.png",
        "events.jsonl",
        "plan.json",
        "report.html",
        "report_data.js",
    ]
    assert leftovers(runs) == []


async def test_ratings_and_the_dataset_take_a_results_files_without_glue(runs: Path) -> None:
    settings = Settings(out=runs, learning_enabled=True)
    async with open_app(settings, backend=FakeBackend()) as app:
        result = await app.learning.run_learning_plan(PLAN, config())
    for step in result.step_results:
        assert step.run_result is not None
        for output in step.run_result.final_outputs:
            await record_feedback(step.run_id, output.image_id, 4, base_dir=runs)
    dataset = build_learning_dataset(runs)
    assert len(dataset["runs"]) == 2
    rated = {(rating["run_id"], rating["image_id"]) for rating in dataset["feedback"]}
    made = {
        (run["run_id"], output["image_id"])
        for run in dataset["runs"]
        for output in run["outputs"]  # type: ignore[attr-defined]
    }
    assert rated == made


async def test_the_plan_is_on_disk_before_its_first_step(runs: Path) -> None:
    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:
        seen: list[dict[str, object]] = []

        async def look(event: StageStarted) -> None:
            seen.append(json.loads((runs / str(event.plan_id) / "plan.json").read_text()))

        app.bus.subscribe(StageStarted, look)
        result = await app.learning.run_learning_plan(PLAN, config(txt2img={"seed": -1}))
        await app.bus.drain()
    plan = seen[0]
    assert plan["plan_id"] == result.plan_id
    assert plan["learning_enabled"] is False
    assert plan["config"]["txt2img"]["seed"] >= 0  # type: ignore[index]
    assert plan["plan"]["axes"] == [  # type: ignore[index]
        {"path": "txt2img.cfg_scale", "values": [1, 7]}
    ]


async def test_the_event_log_has_every_event_of_the_plan_without_a_gap(runs: Path) -> None:
    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:
        result = await app.learning.run_learning_plan(PLAN, config())
    events = [json.loads(line) for line in lines(runs / result.plan_id / "events.jsonl")]
    sequences = [event["sequence"] for event in events]
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))
    assert (events[0]["type"], events[-1]["type"]) == ("PlanStarted", "PlanFinished")
    assert all(event["schema"] == "stablenew.event/1" for event in events)
    assert {event["plan_id"] for event in events} == {result.plan_id}


async def test_a_name_the_backend_lacks_is_found_before_the_first_run(runs: Path) -> None:
    backend = FakeBackend()
    plan = {"target_variable": "sampler_name", "sweep_values": ["Euler", "euler a", "x"]}
    async with open_app(Settings(out=runs), backend=backend) as app:
        with pytest.raises(ConfigError) as caught:
            await app.learning.run_learning_plan(plan, config())
        assert state(app) == State.ERROR
        assert len(caught.value.problems) == 2
        assert backend.calls == []
        assert not runs.exists()
        again = await app.learning.run_learning_plan(PLAN, config())
        assert again.success
        assert state(app) == State.IDLE


async def test_cancel_plan_returns_what_was_done_and_the_next_plan_runs(runs: Path) -> None:
    backend = FakeBackend(lambda request, call: Behaviour(hang=call == 3))
    settings = Settings(out=runs, learning_enabled=True)
    async with open_app(settings, backend=backend, bus=EventBus(strict=True)) as app:

        async def cancel(event: StageStarted) -> None:
            if event.run_id is not None and event.run_id.endswith("-00002"):
                app.learning.cancel_plan()
                assert state(app) == State.STOPPING

        app.bus.subscribe(StageStarted, cancel)
        with anyio.fail_after(50):
            result = await app.learning.run_learning_plan(PLAN, config())
        assert [step.outcome for step in result.step_results] == [
            Outcome.SUCCEEDED,
            Outcome.CANCELLED,
        ]
        assert result.outcome is Outcome.CANCELLED
        assert app.learning.last_result == result
        assert len(lines(settings.records_path)) == 1
        assert len(backend.interrupts) <= 1
        assert state(app) == State.IDLE
    assert leftovers(runs) == []


async def test_cancel_step_goes_on_with_the_next(runs: Path) -> None:
    backend = FakeBackend(lambda request, call: Behaviour(hang="-00001-" in request.request_id))
    async with open_app(Settings(out=runs), backend=backend) as app:

        async def cancel(event: StageStarted) -> None:
            if event.run_id is not None and event.run_id.endswith("-00001"):
                app.learning.cancel_step()

        app.bus.subscribe(StageStarted, cancel)
        result = await app.learning.run_learning_plan(PLAN, config())
    assert [str(step.outcome) for step in result.step_results] == ["cancelled", "succeeded"]


async def test_a_second_start_while_one_is_under_way_is_refused(runs: Path) -> None:
    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:
        errors: list[str] = []

        async def start_again(event: StageStarted) -> None:
            try:
                await app.pipeline.run_pipeline(config())
            except StableNewError as error:
                errors.append(str(error))

        app.bus.subscribe(StageStarted, start_again)
        result = await app.learning.run_learning_plan(PLAN, config())
        assert result.success
        assert errors[0] == "a run is under way; cancel it or wait for its end"


async def test_a_backend_that_is_not_there_is_told_and_leaves_nothing(runs: Path) -> None:
    class Gone(FakeBackend):
        async def capabilities(self) -> Capabilities:
            raise BackendUnavailableError("connection refused")

    async with open_app(Settings(out=runs), backend=Gone()) as app:
        with pytest.raises(BackendUnavailableError):
            await app.learning.run_learning_plan(PLAN, config())
    assert not runs.exists()


async def test_a_plan_that_is_cancelled_while_it_is_checked_never_began(runs: Path) -> None:
    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:

        async def cancel() -> None:
            app.learning.cancel_plan()

        plan = LearningPlan(target_variable="steps", sweep_values=range(1, 2_000))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cancel)
            result = await app.learning.run_learning_plan(plan, config())
        assert result.outcome is Outcome.CANCELLED
        assert result.steps_executed == 0
        assert result.summary["not_run"] == 1_999
        assert app.learning.last_result == result


async def test_a_failing_step_is_told_and_the_sheet_shows_it(runs: Path) -> None:
    backend = FakeBackend(lambda request, call: Behaviour(images=0 if call == 1 else 1))
    async with open_app(Settings(out=runs), backend=backend) as app:
        told: list[StepFinished] = []

        async def note(event: StepFinished) -> None:
            told.append(event)

        app.bus.subscribe(StepFinished, note)
        result = await app.learning.run_learning_plan(PLAN, config())
        await app.bus.drain()
        assert app.reporter.problem is None
    assert [event.outcome for event in told] == [Outcome.FAILED, Outcome.SUCCEEDED]
    assert (runs / result.plan_id / "contact_sheet.png").exists()


async def test_the_controller_runs_no_more_steps_than_asked_for(runs: Path) -> None:
    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:
        result = await app.learning.run_learning_plan(PLAN, config(), max_steps=1)
    assert (result.steps_executed, result.summary["not_run"]) == (1, 1)


async def test_a_wrong_plan_leaves_the_last_result_alone(runs: Path) -> None:
    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:
        first = await app.learning.run_learning_plan(PLAN, config())
        with pytest.raises(ConfigError):
            await app.learning.run_learning_plan({**PLAN, "sweep_values": [-5]}, config())
        assert app.learning.last_result == first


async def test_each_step_is_forced_into_the_event_log(runs: Path) -> None:
    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:
        seen: list[str] = []

        async def look(event: StepStarted) -> None:
            if event.index == 1:
                log = runs / str(event.plan_id) / "events.jsonl"
                while not seen or "StepFinished" not in seen:
                    await anyio.lowlevel.checkpoint()
                    seen[:] = [json.loads(line)["type"] for line in lines(log)]

        app.bus.subscribe(StepStarted, look, overflow=Overflow.WAIT, mailbox=1)
        await app.learning.run_learning_plan(PLAN, config())
        await app.bus.drain()
    assert "StepFinished" in seen


async def test_a_step_that_was_cut_short_keeps_the_pictures_that_it_finished(runs: Path) -> None:
    def behave(request: StageRequest, call: int) -> Behaviour:
        if call == 2:
            pass_time(30)
        return Behaviour(hang=call == 2)

    async with open_app(Settings(out=runs, step_timeout=20), backend=FakeBackend(behave)) as app:
        result = await app.learning.run_learning_plan(PLAN, config())
    cut, whole = result.step_results
    assert (cut.outcome, whole.outcome) == (Outcome.TIMED_OUT, Outcome.SUCCEEDED)
    assert cut.run_result is not None
    assert [output.image_id for output in cut.run_result.outputs] == ["txt2img_1"]
    assert cut.run_result.outcome is Outcome.TIMED_OUT
