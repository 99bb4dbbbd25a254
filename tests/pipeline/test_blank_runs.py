"""Blank pictures are told wherever a picture is, and are no success."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from stablenew.advice.observations import gather_observations
from stablenew.app import open_app
from stablenew.backends.base import StageRequest
from stablenew.backends.fake import Behaviour, FakeBackend
from stablenew.cli.rate_command import Terminal, rate
from stablenew.config.settings import Settings
from stablenew.errors import RecordError
from stablenew.learning.dataset_builder import iter_dataset
from stablenew.learning.feedback_manager import prefer, record_feedback
from stablenew.learning.gallery import Shown
from stablenew.learning.learning_record_reader import read_records
from stablenew.learning.learning_result import LearningExecutionResult
from stablenew.pipeline.picture_index import INDEX_FILE
from stablenew.pipeline.results import Outcome, PipelineRunResult
from tests.report.shown import steps_of
from tests.support import config

PLAN = {"target_variable": "txt2img.cfg_scale", "sweep_values": [2, 4, 6], "images_per_step": 2}


def blank_at(*calls: int, stage: str = "txt2img") -> FakeBackend:
    """Return a backend whose calls of a stage give blank pictures, counted from 1."""
    counted = iter(range(1, 10**6))

    def behaviour(request: StageRequest, _: int) -> Behaviour:
        return Behaviour(blank=request.stage == stage and next(counted) in calls)

    return FakeBackend(behaviour)


async def single(
    runs: Path, backend: FakeBackend, images: int = 1, **stages: dict[str, object]
) -> PipelineRunResult:
    async with open_app(Settings(out=runs, learning_enabled=True), backend=backend) as app:
        return await app.pipeline.run_pipeline(config(**stages), images=images)


async def explored(runs: Path, backend: FakeBackend, **plan: object) -> LearningExecutionResult:
    async with open_app(Settings(out=runs, learning_enabled=True), backend=backend) as app:
        result = await app.learning.run_learning_plan({**PLAN, **plan}, config())
        await app.reports.drained()
    return result


def blanks(result: PipelineRunResult) -> list[bool]:
    return [output.blank for output in result.outputs]


async def test_a_stage_whose_every_picture_is_blank_has_failed(runs: Path) -> None:
    backend = blank_at(1, 2)
    result = await single(runs, backend, images=2, upscale={})
    assert [call.stage for call in backend.calls] == ["txt2img", "txt2img"]
    assert result.outcome is Outcome.FAILED
    assert str(result.error).startswith(
        "txt2img: every picture is blank, each one single colour: NaN in the VAE or the model"
    )
    assert "--no-half-vae" in str(result.error)
    assert "safety filter" in str(result.error)
    assert blanks(result) == [True, True]
    assert not (runs / "learning_records.jsonl").exists()


async def test_the_last_stage_counts_as_well(runs: Path) -> None:
    result = await single(runs, blank_at(1, stage="upscale"), upscale={})
    assert result.outcome is Outcome.FAILED
    assert str(result.error).startswith("upscale: the picture is blank, one single colour")
    assert blanks(result) == [False, True]


async def test_one_blank_picture_of_several_is_told_in_result_metadata_and_record(
    runs: Path,
) -> None:
    result = await single(runs, blank_at(2), images=3)
    assert result.outcome is Outcome.SUCCEEDED
    assert blanks(result) == [False, True, False]
    assert [len(output.warnings) for output in result.outputs] == [0, 1, 0]
    assert result.outputs[1].warnings[0].startswith("blank picture: one single colour")
    (record,) = read_records(runs / "learning_records.jsonl")
    assert [output.get("blank") for output in record.pictures] == [None, True, None]
    metadata = json.loads((runs / result.run_id / "run_metadata.json").read_text())
    assert [output["blank"] for output in metadata["stage_outputs"]] == [False, True, False]
    assert [row["blank"] for row in iter_dataset(runs)] == [False, True, False]


@pytest.mark.parametrize("index_lost", [False, True])
async def test_a_blank_picture_is_made_again(runs: Path, index_lost: bool) -> None:
    await single(runs, blank_at(2), images=3)
    if index_lost:
        (runs / INDEX_FILE).unlink()
    mended = FakeBackend()
    result = await single(runs, mended, images=3)
    assert len(mended.calls) == 1
    assert blanks(result) == [False, False, False]
    assert [bool(output.reused_from) for output in result.outputs] == [True, False, True]


async def test_what_was_made_from_a_blank_picture_is_made_again(runs: Path) -> None:
    await single(runs, blank_at(2), images=2, upscale={}, img2img={})
    mended = FakeBackend()
    await single(runs, mended, images=2, upscale={}, img2img={})
    assert [call.stage for call in mended.calls] == ["txt2img", "img2img", "upscale"]


async def test_a_blank_picture_is_no_evidence_and_no_riddle_either(runs: Path) -> None:
    result = await explored(runs, blank_at(1, 3, 4))
    assert [str(step.outcome) for step in result.step_results] == [
        *("succeeded", "failed", "succeeded"),
    ]
    keys = [
        (f"{result.plan_id}-0000{step}", f"txt2img_{number}")
        for step in (1, 2, 3)
        for number in (1, 2)
    ]
    for key in keys:
        await record_feedback(*key, 1, base_dir=runs)
    await prefer(keys[1], keys[0], base_dir=runs)
    problems: list[RecordError] = []
    found = gather_observations(runs, report=problems.append)
    assert sorted(found.pictures) == [keys[1], keys[4], keys[5]]
    assert found.choices == ()
    assert problems == []


@pytest.mark.parametrize("pairs", [False, True])
async def test_nobody_is_asked_about_a_blank_picture(
    runs: Path, capsys: pytest.CaptureFixture[str], pairs: bool
) -> None:
    result = await explored(runs, blank_at(1, 3, 4))
    asked: list[str] = []

    class Watched(Terminal):
        def show(self, pictures: Sequence[Shown]) -> None:
            asked.extend(f"{shown.run_id[-1]}/{shown.image_id[-1]}" for shown in pictures)

    terminal = Watched(key=lambda: "s")
    await rate(str(runs / result.plan_id), pairs=pairs, terminal=terminal)
    assert set(asked) == ({"1/2", "3/2"} if pairs else {"1/2", "3/1", "3/2"})
    assert "left out, for they are one single colour: 3\n" in capsys.readouterr().out


async def test_an_adaptive_plan_asks_about_the_others_alone(runs: Path) -> None:
    asked: list[str] = []

    async def rate(shown: Shown) -> None:
        asked.append(f"{shown.run_id[-1]}/{shown.image_id[-1]}")

    plan = {**PLAN, "bounds": [1, 12], "max_pictures": 6}
    async with open_app(Settings(out=runs), backend=blank_at(1, 3, 4)) as app:
        with anyio.fail_after(50):
            await app.learning.run_learning_plan(plan, config(), rate=rate)
    assert asked == ["1/2", "3/1", "3/2"]


async def test_the_page_marks_a_blank_picture(runs: Path) -> None:
    result = await explored(runs, blank_at(1), sweep_values=[2])
    (step,) = steps_of(runs / result.plan_id)
    assert ["blank" in picture for picture in step["pictures"]] == [True, False]
