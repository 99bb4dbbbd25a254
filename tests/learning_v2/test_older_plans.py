"""Plans that an earlier version made: they load, go on, and say what they said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from stablenew.advice.observations import gather_observations
from stablenew.app import open_app
from stablenew.backends.fake import FakeBackend
from stablenew.config.settings import Settings
from stablenew.learning.gallery import Shown
from stablenew.learning.learning_record_reader import read_records
from stablenew.learning.plan_file import encode_plan_file, read_plan_file

OLDER = Path(__file__).parents[1] / "data" / "version_0_1"
"""What version 0.1 left: a sweep, a grid, an adaptive plan with ratings, one that was cancelled."""

PLANS = ("old-sweep", "old-grid", "old-adaptive", "old-cut")


@pytest.fixture
def older(tmp_path: Path) -> Path:
    return Path(shutil.copytree(OLDER, tmp_path / "runs"))


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_file_says_what_it_said(older: Path, name: str) -> None:
    plan = read_plan_file(older / name).plan
    said = json.loads((older / name / "plan.json").read_text())["plan"]
    for key in ("mode", "stage", "target_variable", "images_per_step", "max_pictures"):
        assert getattr(plan, key) == said[key]
    begun = plan.cells if plan.is_adaptive else range(len(plan.sweep_values))
    assert [plan.sweep_values[cell] for cell in begun] == said["sweep_values"]
    assert list(plan.y_values) == said["y_values"]
    assert plan.y_variable == said.get("y_variable")
    if "bounds" in said:
        values = [float(str(value)) for value in plan.sweep_values]
        assert [min(values), max(values)] == said["bounds"]


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_file_of_today_has_the_same_plan(older: Path, name: str) -> None:
    stored = read_plan_file(older / name)
    (older / name / "plan.json").write_bytes(encode_plan_file(stored))
    assert read_plan_file(older / name).plan == stored.plan


@pytest.mark.parametrize("name", ["old-sweep", "old-grid"])
async def test_a_finished_plan_makes_nothing(older: Path, name: str) -> None:
    backend = FakeBackend()
    async with open_app(Settings(out=older), backend=backend) as app:
        result = await app.learning.resume_plan(name)
    assert {str(step.outcome) for step in result.step_results} == {"reused"}
    assert backend.calls == []


async def test_a_plan_that_was_cancelled_makes_what_is_missing(older: Path) -> None:
    before = (older / "learning_records.jsonl").read_bytes()
    backend = FakeBackend()
    async with open_app(Settings(out=older), backend=backend) as app:
        result = await app.learning.resume_plan("old-cut")
    outcomes = [str(step.outcome) for step in result.step_results]
    assert outcomes == ["reused", "reused", "succeeded", "succeeded"]
    assert [call.settings["steps"] for call in backend.calls] == [7, 8]
    assert (older / "learning_records.jsonl").read_bytes().startswith(before)


async def test_img2img_of_a_plan_goes_on_with_the_steps_that_it_began_with(older: Path) -> None:
    """It took the backend's own 20 then, and takes those of txt2img today."""
    file = older / "old-cut" / "plan.json"
    stored = json.loads(file.read_text())
    stored["config"]["img2img"] = {"enabled": True, "denoising_strength": 0.5}
    file.write_text(json.dumps(stored))
    backend = FakeBackend()
    async with open_app(Settings(out=older), backend=backend) as app:
        await app.learning.resume_plan("old-cut", only_failed=False)
    sampled = {call.settings["steps"] for call in backend.calls if call.stage == "img2img"}
    assert sampled == {20}


def test_records_keep_their_words_and_ratings_count(older: Path) -> None:
    for record in read_records(older / "learning_records.jsonl"):
        name = record.plan_id
        assert record.metadata["variable_name"] in ("cfg_scale", "steps")
        assert ("y_variable" in record.metadata) == (name == "old-grid")
    found = gather_observations(older, plan_id="old-adaptive")
    rated = [picture for picture in found.pictures.values() if picture.rating is not None]
    assert len(rated) == 6
    assert all(set(picture.settings) == {"txt2img.cfg_scale"} for picture in rated)


async def test_an_exploration_goes_on_where_it_was(older: Path) -> None:
    events = older / "old-adaptive" / "events.jsonl"
    lines = events.read_text().splitlines(keepends=True)
    events.write_text("".join(line for line in lines if '"type":"PlanFinished"' not in line))
    shutil.rmtree(older / "old-adaptive-00005")  # the second value that it chose
    backend = FakeBackend()

    async def rate(_: Shown) -> int:
        return 3

    async with open_app(Settings(out=older), backend=backend) as app:
        result = await app.learning.resume_plan("old-adaptive", rate=rate, on_this_backend=True)
    values = [step.step.value for step in result.step_results]
    assert values == [2.0, 6.0, 10.0, 12, 10.2, 8.8]
    assert backend.calls[0].settings["cfg_scale"] == 10.2
