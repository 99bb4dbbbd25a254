"""Settings that changed nothing: found among a plan's pictures, and told everywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
import pytest

from stablenew import app as wiring
from stablenew.advice.observations import gather_observations
from stablenew.advice.recommendation import advise
from stablenew.app import open_app
from stablenew.backends.base import Picture, ReportProgress, StageRequest
from stablenew.backends.fake import FakeBackend, fake_picture
from stablenew.config.pipeline_config import Setting
from stablenew.config.settings import Settings
from stablenew.learning.feedback_manager import record_feedback
from stablenew.learning.learning_result import LearningExecutionResult
from stablenew.learning.same_pictures import SameFinder
from stablenew.pipeline.picture_index import INDEX_FILE
from tests.cli.program import run
from tests.support import config

SAMPLERS = ("Euler", "Euler a", "DPM++ 2M")
PLAN = {"target_variable": "txt2img.sampler_name", "sweep_values": SAMPLERS}
SAME = "sampler_name changes nothing here: Euler and Euler a are the same picture"


class Deaf(FakeBackend):
    """A backend that takes one sampler for another and says that it took what it was told."""

    def __init__(self, samplers: Sequence[str] = ("Euler a",)) -> None:
        super().__init__()
        self._samplers = samplers

    async def run_stage(self, request: StageRequest, report: ReportProgress) -> Sequence[Picture]:
        self.calls.append(request)
        if request.image is not None:  # a detailer that finds nothing
            return [Picture(data=request.image, width=8, height=8, settings=request.settings)]
        settings = dict(request.settings)
        if settings["sampler_name"] in self._samplers:
            settings["sampler_name"] = "Euler"
        made = fake_picture(attrs.evolve(request, settings=settings))
        return [attrs.evolve(made, settings=request.settings)]


async def explored(
    runs: Path, backend: FakeBackend, plan: Mapping[str, object] = PLAN
) -> LearningExecutionResult:
    async with open_app(Settings(out=runs, learning_enabled=True), backend=backend) as app:
        result = await app.learning.run_learning_plan(plan, config())
        await app.reports.drained()
    return result


def told(result: LearningExecutionResult) -> list[str]:
    return [str(each) for each in result.same_pictures]


def page_of(folder: Path) -> dict[str, object]:
    text = (folder / "report_data.js").read_text().partition(" = ")[2].rstrip(";\n")
    data = json.loads(text)
    assert isinstance(data, dict)
    return data


async def test_a_setting_that_changes_nothing_is_told(runs: Path) -> None:
    result = await explored(runs, Deaf())
    assert told(result) == [SAME]
    assert page_of(runs / result.plan_id)["same"] == [SAME]
    (end,) = [
        event
        for line in (runs / result.plan_id / "events.jsonl").read_bytes().splitlines()
        if (event := json.loads(line))["type"] == "PlanFinished"
    ]
    assert end["same_pictures"] == [
        {"paths": ["txt2img.sampler_name"], "values": ["Euler", "Euler a"], "pictures": 1}
    ]


async def test_where_every_setting_counts_nothing_is_told(runs: Path) -> None:
    result = await explored(runs, FakeBackend())
    assert told(result) == []
    assert page_of(runs / result.plan_id)["same"] == []


async def test_what_was_made_before_is_held_against_what_is_made_now(runs: Path) -> None:
    result = await explored(runs, Deaf(), {**PLAN, "sweep_values": SAMPLERS[:1]})
    assert told(result) == []
    again = await explored(runs, backend := Deaf())
    assert len(backend.calls) == 2
    assert told(again) == [SAME]
    async with open_app(Settings(out=runs), backend=Deaf()) as app:
        resumed = await app.learning.resume_plan(again.plan_id)
    assert told(resumed) == [SAME]


async def test_what_an_earlier_version_made_is_looked_at_when_it_is_used_again(runs: Path) -> None:
    await explored(runs, Deaf(), {**PLAN, "sweep_values": SAMPLERS[:1]})
    index = runs / INDEX_FILE
    lines = [json.loads(line) for line in index.read_bytes().splitlines()]
    index.write_text("".join(json.dumps({**line, "pixels": ""}) + "\n" for line in lines))
    assert told(await explored(runs, Deaf())) == [SAME]


async def test_the_advice_says_that_there_is_nothing_to_choose_by(runs: Path) -> None:
    result = await explored(runs, Deaf(SAMPLERS), {**PLAN, "images_per_step": 4})
    for step in result.step_results:
        for number in range(1, 5):
            stars = 5 if step.step.value == "Euler" else 2
            await record_feedback(step.run_id, f"txt2img_{number}", stars, base_dir=runs)
    (advice,) = advise(gather_observations(runs))
    assert not advice.enough
    assert advice.mean is None
    assert advice.why == (
        "sampler_name changes nothing here: Euler, Euler a and DPM++ 2M are the same picture"
        " (4 times)"
    )


async def test_the_advice_says_where_some_values_are_the_same(runs: Path) -> None:
    result = await explored(runs, Deaf(), {**PLAN, "images_per_step": 2})
    for step in result.step_results:
        stars = {"Euler": 2, "Euler a": 3, "DPM++ 2M": 5}[str(step.step.value)]
        for number in (1, 2):
            await record_feedback(step.run_id, f"txt2img_{number}", stars, base_dir=runs)
    (advice,) = advise(gather_observations(runs))
    assert advice.value == "DPM++ 2M"
    assert advice.why.endswith(f"; {SAME} (2 times)")


def test_the_command_line_says_it_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(wiring.BACKENDS, "fake", lambda _: Deaf())
    sweep = f"txt2img.sampler_name={','.join(SAMPLERS)}"
    done = run("--backend", "fake", "--prompt", "a cat", "--sweep", sweep, cwd=tmp_path)
    assert f"note: {SAME}" in done.stdout.splitlines()


async def test_a_stage_that_returns_what_it_began_with_is_told(runs: Path) -> None:
    detailed = config(adetailer={"enabled": True, "ad_model": "face_yolov8n.pt"})
    for _ in range(2):  # made, then used again
        async with open_app(Settings(out=runs), backend=Deaf()) as app:
            result = await app.pipeline.run_pipeline(detailed)
        (output,) = result.final_outputs
        assert output.warnings == (
            "adetailer changed nothing (it found nothing to detail): its picture is the one before"
            " it, to the pixel",
        )


def found(*pictures: tuple[dict[str, Setting], str]) -> list[str]:
    finder = SameFinder()
    for varied, pixels in pictures:
        finder.add_picture(varied, pixels, "seed 1")
    return [str(each) for each in finder.found]


def test_a_grid_tells_each_setting_by_itself() -> None:
    assert found(
        ({"txt2img.sampler_name": "A", "txt2img.steps": 4}, "x"),
        ({"txt2img.sampler_name": "B", "txt2img.steps": 4}, "x"),
        ({"txt2img.sampler_name": "A", "txt2img.steps": 8}, "y"),
        ({"txt2img.sampler_name": "B", "txt2img.steps": 8}, "y"),
    ) == ["sampler_name changes nothing here: A and B are the same picture (2 times)"]


def test_settings_that_changed_together_are_told_together() -> None:
    assert found(
        ({"txt2img.model": "a", "txt2img.clip_skip": 1}, "x"),
        ({"txt2img.model": "b", "txt2img.clip_skip": 2}, "x"),
    ) == ["model with clip_skip changes nothing here: a, 1 and b, 2 are the same picture"]


def test_other_seeds_and_prompts_are_not_held_against_each_other() -> None:
    finder = SameFinder()
    finder.add_picture({"txt2img.steps": 1}, "x", "seed 1")
    finder.add_picture({"txt2img.steps": 2}, "x", "seed 2")
    assert finder.found == ()


def test_what_has_no_digest_and_what_was_made_twice_says_nothing() -> None:
    one: dict[str, Setting] = {"txt2img.steps": 1}
    other: dict[str, Setting] = {"txt2img.steps": 2}
    assert found((one, ""), (other, "")) == []
    assert found((one, "x"), (one, "x")) == []
