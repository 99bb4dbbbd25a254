"""Several settings are explored at once: rated while the next are made, stopped, gone on with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from stablenew.advice import joint_model
from stablenew.advice.exploration import AT_ONCE, Exploration, Made
from stablenew.advice.priors import read_priors
from stablenew.advice.recommend_jointly import recommend_jointly
from stablenew.app import App, open_app
from stablenew.backends.base import Picture, ReportProgress, StageRequest
from stablenew.backends.fake import FakeBackend
from stablenew.config.pipeline_config import PipelineConfig
from stablenew.config.settings import Settings
from stablenew.controller.interruption import _read
from stablenew.controller.plan_progress import read_plan_progress
from stablenew.errors import ConfigError
from stablenew.events.event import Event
from stablenew.events.mailbox import Overflow
from stablenew.learning.axis import Axis, axis_of_presets, axis_of_prompts, axis_of_values
from stablenew.learning.feedback_manager import prefer, record_feedback
from stablenew.learning.feedback_reader import Feedback, Rating
from stablenew.learning.gallery import Shown
from stablenew.learning.learning_adapter import build_learning_plan_from_dict
from stablenew.learning.learning_events import (
    AdviceGiven,
    PlanExtended,
    RatingsAwaited,
    StepFinished,
    StepStarted,
)
from stablenew.learning.learning_execution import Rate, RateAnswer
from stablenew.learning.learning_plan import FIRST, LearningPlan
from stablenew.learning.learning_result import LearningExecutionResult
from stablenew.learning.learning_steps import derive_steps
from stablenew.learning.plan_file import read_plan_file
from stablenew.learning.seed_axis import with_seed_axis
from stablenew.pipeline.results import Outcome
from stablenew.report.page import rebuild_page
from tests.report.shown import data_of

SAMPLERS = ("Euler", "Euler a", "DPM++ 2M")
CONFIG = {"txt2img": {"prompt": "a cat", "seed": 7, "width": 64, "height": 64}}
PLAN = {
    "mode": "adaptive",
    "axes": [
        {"path": "txt2img.cfg_scale", "values": "1..12"},
        {"path": "txt2img.sampler_name", "values": SAMPLERS},
        {"prompts": ["a cat", "a dog"]},
    ],
    "max_pictures": FIRST + AT_ONCE,
}


@pytest.fixture(autouse=True)
def quick_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked next is not the question here: a few rounds of the chains will do."""
    monkeypatch.setattr(joint_model, "_SETTLING", 2)
    monkeypatch.setattr(joint_model, "_ROUNDS", 2)


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines()


async def liked(shown: Shown) -> int:
    off = abs(float(shown.varied["txt2img.cfg_scale"]) - 6)  # type: ignore[arg-type]
    return max(1, round(5 - off * 0.7 - (shown.varied["txt2img.sampler_name"] == "Euler a")))


async def explored(
    runs: Path,
    rate: Rate | None,
    *,
    heard: Callable[[App, Event], None] = lambda _, __: None,
    backend: FakeBackend | None = None,
    resume: str | None = None,
    plan: object = None,
) -> LearningExecutionResult:
    settings = Settings(out=runs, backend="fake", learning_enabled=True)
    async with open_app(settings, backend=backend or FakeBackend()) as app:

        async def hear(event: Event) -> None:
            heard(app, event)

        app.bus.subscribe(Event, hear, overflow=Overflow.WAIT)
        with anyio.fail_after(50):
            if resume is not None:
                return await app.learning.resume_plan(resume, rate=rate)
            return await app.learning.run_learning_plan(plan or PLAN, CONFIG, rate=rate)  # type: ignore[arg-type]


async def test_what_is_made_does_not_wait_for_ratings_nor_these_for_it(runs: Path) -> None:
    """Each side waits for the other's next step in turn; whoever waited for all would hang."""
    made = anyio.Event()

    async def rate(shown: Shown) -> int:
        if shown.run_id.endswith("-00003"):
            await made.wait()  # a step of the next batch ends while this one is being rated
        return await liked(shown)

    def heard(_: App, event: Event) -> None:
        if isinstance(event, StepFinished) and event.index >= FIRST:
            made.set()

    result = await explored(runs, rate, heard=heard)
    assert result.success
    assert result.steps_executed > FIRST


async def test_the_first_picture_is_rated_while_the_others_are_made(runs: Path) -> None:
    asked = anyio.Event()
    order: list[str] = []

    async def rate(shown: Shown) -> int:
        asked.set()
        order.append("asked")
        return await liked(shown)

    class Waits(FakeBackend):
        async def run_stage(
            self, request: StageRequest, report: ReportProgress
        ) -> Sequence[Picture]:
            if self.calls:
                await asked.wait()
            return await super().run_stage(request, report)

    await explored(runs, rate, backend=Waits(), plan={**PLAN, "max_pictures": FIRST})
    assert len(order) == FIRST


async def test_it_is_never_more_than_a_batch_ahead(runs: Path) -> None:
    made = anyio.Event()
    known, ahead = [0], list[int]()

    async def rate(shown: Shown) -> int:
        await made.wait()  # all of the first are there before any is rated
        return await liked(shown)

    def heard(_: App, event: Event) -> None:
        if isinstance(event, RatingsAwaited):
            made.set()
        if isinstance(event, AdviceGiven):
            known.append(event.ratings)
        if isinstance(event, PlanExtended):
            ahead.append(event.steps - len(event.cells) - known[-1])

    result = await explored(runs, rate, heard=heard)
    assert result.success
    assert ahead
    assert max(ahead) <= AT_ONCE
    assert result.steps_executed <= FIRST + AT_ONCE


async def test_records_page_and_recommendation_know_all_that_varied(runs: Path) -> None:
    result = await explored(runs, liked)
    records = [json.loads(line) for line in lines_of(runs / "learning_records.jsonl")]
    assert len(records) == result.steps_executed
    for record in records:
        varied = record["metadata"]["varied"]
        assert {"txt2img.cfg_scale", "txt2img.sampler_name"} < varied.keys()
        assert record["metadata"]["conditions"] == ["txt2img.prompt", "txt2img.seed"]
    first = {json.dumps(each["metadata"]["varied"]["txt2img.prompt"]) for each in records[:FIRST]}
    assert first == {'"a cat"'}  # what it adds cancels
    assert {each["metadata"]["varied"]["txt2img.prompt"] for each in records} == {"a cat", "a dog"}
    advice = recommend_jointly(runs, plan_id=result.plan_id)
    assert advice is not None
    assert abs(float(advice.settings["txt2img.cfg_scale"]) - 6) < 3  # type: ignore[arg-type]
    folder = runs / result.plan_id
    told = data_of(folder)
    rebuild_page(folder, written="later")
    assert data_of(folder)["steps"] == told["steps"]
    assert len({tuple(step["at"]) for step in told["steps"]}) == result.steps_executed
    assert (folder / "contact_sheet.png").exists()
    assert not (folder / "contact_sheet_2.png").exists()


async def test_enough_ends_it_with_the_advice_and_it_can_be_gone_on_with(runs: Path) -> None:
    count = 0
    told: list[Event] = []

    async def rate(shown: Shown) -> int | RateAnswer:
        nonlocal count
        count += 1
        return RateAnswer.ENOUGH if count == 8 else await liked(shown)

    result = await explored(
        runs, rate, heard=lambda _, event: told.append(event), plan={**PLAN, "max_pictures": 14}
    )
    assert result.outcome is Outcome.SUCCEEDED
    assert result.had_enough
    assert [e for e in told if isinstance(e, AdviceGiven)][-1].ratings == 7
    chosen = [cell for e in told if isinstance(e, PlanExtended) for cell in e.cells]
    told.clear()
    again = await explored(
        runs, liked, resume=result.plan_id, heard=lambda _, event: told.append(event)
    )
    advice = next(event for event in told if isinstance(event, AdviceGiven))
    assert advice.ratings >= 7  # those from before count
    assert not again.had_enough
    assert list(again.plan.added)[: len(chosen)] == chosen
    assert again.steps_executed > result.steps_executed


@pytest.mark.parametrize("moment", [RatingsAwaited, AdviceGiven, PlanExtended])
async def test_a_cancel_in_any_phase_goes_on_with_the_same_batch(
    runs: Path, moment: type[Event]
) -> None:
    chosen: list[int] = []

    def heard(app: App, event: Event) -> None:
        if isinstance(event, PlanExtended):
            chosen.extend(event.cells)
        if isinstance(event, moment):
            app.learning.cancel_plan()

    result = await explored(runs, liked, heard=heard)
    assert result.outcome is Outcome.CANCELLED
    folder = runs / result.plan_id
    progress = read_plan_progress(folder, read_plan_file(folder))
    assert list(progress.added_cells) == chosen
    again = await explored(runs, liked, resume=result.plan_id)
    assert again.success
    assert list(again.plan.added)[: len(chosen)] == chosen
    cells = [again.plan.cells[step.step.index] for step in again.step_results]
    assert len(cells) == len(set(cells))


async def test_late_ratings_and_skipped_pictures_are_welcome(runs: Path) -> None:
    skipped: list[Shown] = []
    ratings: list[int] = []

    async def rate(shown: Shown) -> Rating | int:
        if len(skipped) < 2:
            skipped.append(shown)
            return Rating(run_id=shown.run_id, image_id=shown.image_id, rating=None)
        if skipped and shown.run_id.endswith("-00008"):  # from the page, say
            await record_feedback(*skipped[0].key, 4, base_dir=runs)
        return await liked(shown)

    def heard(_: App, event: Event) -> None:
        if isinstance(event, AdviceGiven):
            ratings.append(event.ratings)

    result = await explored(runs, rate, heard=heard)
    assert result.success
    assert ratings[-1] == result.steps_executed - 1  # all but the one that stayed skipped


async def test_without_a_rater_a_picture_that_was_passed_over_holds_up_nothing(runs: Path) -> None:
    async with open_app(Settings(out=runs, backend="fake")) as app:
        batches = 0

        async def answer(event: RatingsAwaited) -> None:
            nonlocal batches
            batches += 1
            keys = event.pictures[2:] if batches == 1 else event.pictures
            for key in keys:
                await record_feedback(*key, 3 + len(key[0]) % 2, base_dir=runs)

        app.bus.subscribe(RatingsAwaited, answer)
        with anyio.fail_after(50):
            result = await app.learning.run_learning_plan(PLAN, CONFIG)
    assert result.steps_executed == 10


async def test_a_choice_between_two_pictures_says_something_of_both(runs: Path) -> None:
    async with open_app(Settings(out=runs, backend="fake")) as app:

        async def answer(event: RatingsAwaited) -> None:
            keys = iter(event.pictures)
            for better, worse in zip(keys, keys, strict=True):
                await prefer(better, worse, base_dir=runs)

        app.bus.subscribe(RatingsAwaited, answer)
        with anyio.fail_after(50):
            result = await app.learning.run_learning_plan(PLAN, CONFIG)
        advice = await app.learning.advice()
    assert result.steps_executed == FIRST + AT_ONCE
    assert advice is not None
    assert (advice.ratings, advice.choices) == (0, 5)


async def test_what_was_rated_before_is_not_asked_again(runs: Path) -> None:
    first = await explored(runs, liked, plan={**PLAN, "max_pictures": FIRST})
    asked = []

    async def rate(shown: Shown) -> int:
        asked.append(shown.run_id)
        return await liked(shown)

    again = await explored(runs, rate, plan={**PLAN, "max_pictures": FIRST})
    assert {step.outcome for step in again.step_results} == {Outcome.REUSED}
    assert again.plan_id != first.plan_id
    assert asked == []


AXES: tuple[Axis, ...] = (
    axis_of_values("txt2img.steps", range(4, 40)),
    axis_of_values("txt2img.eta", [0.2, 0.4, 0.6]),
    axis_of_values("txt2img.enable_hr", [True, False]),
    axis_of_values("txt2img.size", ["64x64", "128x64"]),
    axis_of_values("replace.cat", ["cat", "dog", "bird"]),
    axis_of_presets({"soft": {"txt2img.cfg_scale": 3}, "hard": {"txt2img.cfg_scale": 9}}),
    axis_of_prompts(["a cat", "the cat"]),
)


@pytest.mark.parametrize("axis", AXES[:-1], ids=lambda axis: axis.name)
def test_any_kind_of_axis_is_explored(axis: Axis) -> None:
    plan = LearningPlan(mode="adaptive", axes=(axis, AXES[-1]), max_pictures=40)
    config = PipelineConfig.from_dict(CONFIG)
    plan = with_seed_axis(plan, config)
    made: list[Made] = []
    feedback = Feedback()
    for batch in range(3):
        new = plan.cells[len(made) :]
        assert len(new) == len(set(new))
        made += [Made(keys=((f"r{cell}", "1"),), cell=cell) for cell in new]
        ratings = {key: Rating(run_id=key[0], image_id="1", rating=1 + n % 5)
                   for n, each in enumerate(made) for key in each.keys}  # fmt: skip
        feedback = Feedback(ratings=ratings)
        exploration = Exploration(plan=plan, prior=read_priors())
        cells, advice = exploration.next_cells(made, feedback)
        assert advice is not None
        assert set(advice.settings) == {axis.path}
        assert (cells, advice) == exploration.next_cells(made, feedback)  # the same again
        assert not set(cells) & {each.cell for each in made}
        plan = plan.with_cells(cells)
        assert len(plan.cells) > len(made) or batch
    steps = derive_steps(plan, config)
    assert len({tuple(step.varied.items()) for step in steps}) == len(steps)


def test_seeds_grow_with_the_pictures_of_a_prompt() -> None:
    plan = LearningPlan(mode="adaptive", axes=[axis_of_values("txt2img.steps", range(4, 40))],
                        max_pictures=60)  # fmt: skip
    plan = with_seed_axis(plan, PipelineConfig.from_dict(CONFIG))
    seeds = plan.axes[1]
    assert (seeds.values, seeds.condition) == ((7, 8, 9, 10), True)
    while plan.count < 14:
        made = [Made(keys=((f"r{cell}", "1"),), cell=cell) for cell in plan.cells]
        ratings = {
            each.keys[0]: Rating(run_id=each.keys[0][0], image_id="1", rating=2 + n % 3)
            for n, each in enumerate(made)
        }
        exploration = Exploration(plan=plan, prior=read_priors())
        cells, _ = exploration.next_cells(made, Feedback(ratings=ratings))
        assert len(cells) == AT_ONCE
        plan = plan.with_cells(cells)
    assert [plan.places(n)[1] for n in range(14)] == [0] * 10 + [1] * 4


def test_a_grid_of_millions_costs_what_is_taken_of_it() -> None:
    axes = [axis_of_values(f"workflow.{n}.x", range(36)) for n in range(9)]
    plan = LearningPlan(mode="adaptive", axes=axes, max_pictures=48)
    assert len(plan.cells) == len(set(plan.cells)) == FIRST
    for axis in range(9):  # a Latin hypercube: each in its own sixth of every range
        assert sorted(plan.places(n)[axis] * FIRST // 36 for n in range(FIRST)) == [*range(FIRST)]
    assert plan.with_cells([36**9 - 1]).places(FIRST) == (35,) * 9


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"max_pictures": 5}, "max_pictures: given 5, expected 6 or more"),
        ({"sample": 9}, "sample: given with an adaptive plan"),
        ({"axes": [{"prompts": ["a", "b"]}]}, "nothing to choose in nothing but conditions"),
        ({"axes": [{"path": "txt2img.steps", "values": [4]}]}, "nothing to choose in txt2img"),
        ({"axes": [{"path": "txt2img.steps", "values": "5..6"}]}, "has nothing in between"),
        ({"axes": [{"path": "txt2img.steps", "values": "9..5"}]}, "expected a lower and a higher"),
        ({"axes": [{"path": "txt2img.steps", "values": "1:300"}]}, "300 choices are too many"),
    ],
)
def test_what_cannot_be_explored_is_said_in_a_line(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        derive_steps(
            build_learning_plan_from_dict({**PLAN, **changes}), PipelineConfig.from_dict(CONFIG)
        )


@pytest.mark.parametrize("moment", [AdviceGiven, StepStarted])
async def test_after_a_kill_the_same_batch_comes_next(
    runs: Path, tmp_path: Path, moment: type[Event]
) -> None:
    """Whether or not it was told already: it follows from the same ratings."""
    killed = tmp_path / "killed"
    chosen: list[tuple[int, ...]] = []
    decided = anyio.Event()

    async def rate(shown: Shown) -> int:
        if shown.run_id[-2:] not in ("01", "02"):
            await decided.wait()
        return await liked(shown)

    def heard(_: App, event: Event) -> None:
        late = not isinstance(event, StepStarted) or event.index == FIRST + 1
        if isinstance(event, moment) and late and not killed.exists():
            shutil.copytree(runs, killed)  # as a kill would leave it
        if isinstance(event, PlanExtended):
            chosen.append(event.cells)
            decided.set()

    result = await explored(runs, rate, heard=heard, plan=PLAN)
    first = chosen[0]
    if moment is StepStarted:
        assert (
            read_plan_progress(
                killed / result.plan_id, read_plan_file(killed / result.plan_id)
            ).added_cells
            == first
        )
    told = _read(killed / result.plan_id)
    assert told is not None
    assert told.steps == FIRST + len(first) * (moment is StepStarted)
    if moment is AdviceGiven:
        decided = anyio.Event()
    again = await explored(killed, rate, heard=heard, resume=result.plan_id)
    assert again.plan.added == first
    assert again.success


async def test_several_servers_explore_together(runs: Path) -> None:
    backends = [FakeBackend() for _ in range(5)]
    batches: list[int] = []

    async def note(event: PlanExtended) -> None:
        batches.append(len(event.cells))

    async with open_app(Settings(out=runs, backend="fake"), backends=backends) as app:
        app.bus.subscribe(PlanExtended, note)
        with anyio.fail_after(50):
            plan = {**PLAN, "max_pictures": 11}
            result = await app.learning.run_learning_plan(plan, CONFIG, rate=liked)
    assert result.success
    assert batches[0] == len(backends)  # one for each
