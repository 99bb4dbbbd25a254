"""Adaptive plans: ratings choose what is made next, and end the plan."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import anyio
import numpy as np
import pytest

from stablenew.advice.exploration import AT_ONCE
from stablenew.app import App, open_app
from stablenew.backends.fake import Behaviour, FakeBackend
from stablenew.config.pipeline_config import PipelineConfig
from stablenew.config.settings import Settings
from stablenew.errors import BackendRejectedError, ConfigError
from stablenew.events.event import Event
from stablenew.events.mailbox import Overflow
from stablenew.learning.feedback_manager import record_feedback
from stablenew.learning.feedback_reader import Rating, read_feedback
from stablenew.learning.gallery import Shown
from stablenew.learning.learning_adapter import build_learning_plan_from_dict
from stablenew.learning.learning_events import (
    AdviceGiven,
    PlanExtended,
    PlanFinished,
    RatingsAwaited,
)
from stablenew.learning.learning_execution import Rate
from stablenew.learning.learning_result import LearningExecutionResult
from stablenew.learning.learning_steps import derive_steps
from stablenew.pipeline.results import Outcome

PLAN = {
    "target_variable": "txt2img.cfg_scale",
    "sweep_values": [1, 6.5, 12],
    "bounds": [1, 12],
    "max_pictures": 24,
}
CONFIG = {"txt2img": {"prompt": "a cat", "seed": 1}}


async def explored(
    runs: Path, rate: Rate | None, events: list[Event] | None = None, **plan: object
) -> LearningExecutionResult:
    settings = Settings(out=runs, backend="fake", learning_enabled=True)
    async with open_app(settings) as app:
        if events is not None:

            async def note(event: Event) -> None:
                events.append(event)

            app.bus.subscribe(Event, note, overflow=Overflow.WAIT)
        return await app.learning.run_learning_plan({**PLAN, **plan}, CONFIG, rate=rate)


def quality(value: float, peak: float) -> int:
    return max(1, min(5, round(5 - abs(value - peak) * 0.9)))


@pytest.mark.parametrize("peak", [2.5, 6.0, 10.5])
async def test_it_narrows_down_to_what_is_liked(runs: Path, peak: float) -> None:
    async def rate(shown: Shown) -> int:
        return quality(float(shown.varied["txt2img.cfg_scale"]), peak)  # type: ignore[arg-type]

    events: list[Event] = []
    result = await explored(runs, rate, events)
    assert result.outcome is Outcome.SUCCEEDED
    advice = [event for event in events if isinstance(event, AdviceGiven)][-1]
    assert abs(float(advice.settings["txt2img.cfg_scale"]) - peak) < 2  # type: ignore[arg-type]
    values = [step.step.value for step in result.step_results]
    assert 3 < len(values) <= 24
    assert values[:3] == [1, 6.5, 12]
    kinds = [type(e).__name__ for e in events if isinstance(e, PlanExtended | AdviceGiven)]
    assert "AdviceGiven" in kinds
    assert "PlanExtended" in kinds
    assert len(read_feedback(runs).ratings) == len(values)


async def test_steps_go_on_with_their_numbers_and_records(runs: Path) -> None:
    async def rate(shown: Shown) -> int:
        return quality(float(shown.varied["txt2img.cfg_scale"]), 6)  # type: ignore[arg-type]

    result = await explored(runs, rate)
    assert [step.step.index for step in result.step_results] == list(range(result.steps_executed))
    assert result.summary["not_run"] == 0
    records = (runs / "learning_records.jsonl").read_text().splitlines()
    assert len(records) == result.steps_executed


async def test_it_ends_when_one_more_picture_would_change_nothing(runs: Path) -> None:
    async def always_three(_: Shown) -> int:
        return 3

    result = await explored(runs, always_three, max_pictures=400)
    assert result.steps_executed <= 9 + 2 * AT_ONCE


async def test_it_makes_no_more_pictures_than_it_may(runs: Path) -> None:
    async def rate(shown: Shown) -> int:
        return quality(float(shown.varied["txt2img.cfg_scale"]), 6)  # type: ignore[arg-type]

    result = await explored(runs, rate, images_per_step=2, max_pictures=9)
    assert result.steps_executed == 4


async def test_a_value_that_failed_is_not_made_again(runs: Path) -> None:
    error = BackendRejectedError("no")
    backend = FakeBackend(
        lambda request, _: Behaviour(error=error if request.settings["cfg_scale"] == 6.5 else None)
    )

    async def rate(shown: Shown) -> int:
        return quality(float(shown.varied["txt2img.cfg_scale"]), 6)  # type: ignore[arg-type]

    async with open_app(Settings(out=runs), backend=backend) as app:
        result = await app.learning.run_learning_plan(PLAN, CONFIG, rate=rate)
    tried = [tuple(step.step.varied.items()) for step in result.step_results]
    assert len(tried) == len(set(tried)) > 3


async def test_whoever_rates_nothing_has_had_enough(runs: Path) -> None:
    async def nothing(_: Shown) -> None:
        return None

    result = await explored(runs, nothing)
    assert result.steps_executed <= 3 + 2 * AT_ONCE
    assert result.outcome is Outcome.SUCCEEDED
    assert result.had_enough


async def test_a_whole_rating_with_notes_is_kept(runs: Path) -> None:
    async def rate(shown: Shown) -> Rating:
        return Rating(run_id="", image_id="", rating=4, notes="soft", subscores={"anatomy": 2})

    await explored(runs, rate, max_pictures=3)
    ratings = read_feedback(runs).ratings
    assert {each.notes for each in ratings.values()} == {"soft"}
    assert {key[0] for key in ratings} == {
        path.parent.name for path in runs.glob("*/feedback.jsonl")
    }


async def test_ratings_may_come_from_elsewhere(runs: Path) -> None:
    """From the terminal or the page of another process: the plan sees them on disk."""
    settings = Settings(out=runs, backend="fake")

    async with open_app(settings) as app, anyio.create_task_group() as tasks:

        async def answer(event: RatingsAwaited) -> None:
            for run_id, image_id in event.pictures:
                await record_feedback(run_id, image_id, 3, base_dir=runs)

        app.bus.subscribe(RatingsAwaited, answer)
        with anyio.fail_after(50):
            result = await app.learning.run_learning_plan({**PLAN, "max_pictures": 6}, CONFIG)
        tasks.cancel_scope.cancel()
    assert result.outcome is Outcome.SUCCEEDED


async def test_waiting_for_ratings_can_be_cancelled(runs: Path) -> None:
    async with open_app(Settings(out=runs, backend="fake")) as app:

        async def cancel(_: RatingsAwaited) -> None:
            app.learning.cancel_plan()

        app.bus.subscribe(RatingsAwaited, cancel)
        with anyio.fail_after(50):
            result = await app.learning.run_learning_plan(PLAN, CONFIG)
        assert result.outcome is Outcome.CANCELLED
        assert result.steps_executed >= 3
        assert app.learning.state == "idle"
        await _again(app)


async def _again(app: App) -> None:
    result = await app.learning.run_learning_plan(
        {"target_variable": "txt2img.steps", "sweep_values": [2]}, CONFIG
    )
    assert result.success


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bounds": [12, 1]}, "expected a lower and a higher number"),
        ({"sweep_values": [1, 20]}, "given 20, expected a number from 1 to 12"),
        ({"bounds": [1]}, "bounds: given .*, expected the lowest and the highest number"),
        ({"max_pictures": 2}, "max_pictures: given 2, expected 3 or more"),
        ({"images_per_step": 4, "max_pictures": 11}, "given 11, expected 12 or more"),
        ({"skip": [{"cfg_scale": 1}]}, "skip: given with an adaptive plan"),
        ({"sample": 3}, "sample: given with an adaptive plan"),
    ],
)
def test_a_wrong_plan_is_told_before_anything_runs(changes: dict[str, object], said: str) -> None:
    given = {name: value for name, value in {**PLAN, **changes}.items() if value is not None}
    with pytest.raises(ConfigError, match=said):
        derive_steps(build_learning_plan_from_dict(given), PipelineConfig.from_dict(CONFIG))


async def _raises(_: Shown) -> int:
    raise ValueError("the scorer is broken")


async def _leaks(_: Shown) -> int:
    gone = asyncio.ensure_future(asyncio.sleep(10))
    gone.cancel()
    await gone
    return 3


def _plain(_: Shown) -> int:
    return 3


def _says(answer: object) -> Callable[[Shown], Awaitable[object]]:
    async def rate(_: Shown) -> object:
        return answer

    return rate


@pytest.mark.parametrize(
    ("rate", "kind", "message"),
    [
        (_raises, "ValueError", "the scorer is broken"),
        (_leaks, "LeakedCancelError", "rate ended in CancelledError()"),
        (_plain, "ConfigError", "rate: 3 cannot be awaited, expected an `async def`"),
        (_says(3.7), "ConfigError", "rate: given 3.7, expected a whole number from 1 to 5"),
        (_says("good"), "ConfigError", "rate: given 'good', expected a whole number from 1 to 5"),
        (_says(9), "ConfigError", "rate: given 9, expected a whole number from 1 to 5"),
        (_says(True), "ConfigError", "rate: given True, expected a whole number from 1 to 5"),
        (_says(math.nan), "ConfigError", "rate: given nan, expected"),
        (_says(np.zeros(2)), "ConfigError", "expected a whole number from 1 to 5"),
        (
            _says(Rating(run_id="", image_id="", rating=7)),
            "ConfigError",
            "rating: given 7, expected a whole number from 1 to 5",
        ),
    ],
)
async def test_a_scorer_that_fails_is_the_plans_outcome_and_not_a_cancellation(
    runs: Path, rate: Any, kind: str, message: str
) -> None:
    events: list[Event] = []
    result = await explored(runs, rate, events)
    assert result.outcome is Outcome.FAILED
    assert result.error is not None
    assert result.error.kind == kind
    assert message in result.error.message
    assert {step.outcome for step in result.step_results} == {Outcome.SUCCEEDED}
    assert 1 <= result.steps_executed <= 3  # the one under way ends, no other begins
    (ended,) = [event for event in events if isinstance(event, PlanFinished)]
    assert (ended.outcome, ended.error) == (result.outcome, result.error)


@pytest.mark.parametrize("four", [np.int64(4), np.float32(4), 4.0])
async def test_a_scorer_may_say_a_whole_number_in_any_type(runs: Path, four: object) -> None:
    result = await explored(runs, cast("Rate", _says(four)), max_pictures=3)
    assert result.outcome is Outcome.SUCCEEDED
    assert [rating.rating for rating in read_feedback(runs).ratings.values()] == [4, 4, 4]


async def test_a_plan_whose_scorer_failed_goes_on_with_a_better_one(runs: Path) -> None:
    async with open_app(Settings(out=runs, backend="fake")) as app:
        failed = await app.learning.run_learning_plan(PLAN, CONFIG, rate=_raises)
        result = await app.learning.resume_plan(failed.plan_id, rate=cast("Rate", _says(3)))
    assert result.outcome is Outcome.SUCCEEDED
    assert result.error is None
    assert result.step_results[0].outcome is Outcome.REUSED


@pytest.mark.parametrize("goes_on", [False, True])
async def test_pictures_that_cannot_be_rated_end_no_plan_and_nothing_said_does(
    runs: Path, goes_on: bool
) -> None:
    calls = 0

    async def rate(shown: Shown) -> Rating | int | None:
        nonlocal calls
        calls += 1
        if calls <= 3:
            return calls + 1
        return (
            Rating(run_id=shown.run_id, image_id=shown.image_id, rating=None) if goes_on else None
        )

    result = await explored(runs, rate, max_pictures=8)
    assert result.had_enough is not goes_on
    assert result.steps_executed == 8 or not goes_on
    assert len(read_feedback(runs).ratings) == 3
