"""How long pictures will take, from how long they took."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablenew._convert import json_line
from stablenew.app import open_app
from stablenew.backends.fake import FAKE_CAPABILITIES, Behaviour, FakeBackend
from stablenew.config.settings import Settings
from stablenew.pipeline.durations import Durations, Estimate, read_durations
from stablenew.pipeline.picture_index import INDEX_FILE
from stablenew.pipeline.stage_plan import PlannedStage, plan_stages
from tests.support import config


def planned(**settings: object) -> PlannedStage:
    return plan_stages(config(txt2img=settings), FAKE_CAPABILITIES).stages[0]


def known(folder: Path, *seconds: float, **settings: object) -> Durations:
    line = {"stage": "txt2img", "settings": dict(planned(**settings).settings)}
    text = b"".join(json_line({**line, "seconds": each}) + b"\n" for each in seconds)
    (folder / INDEX_FILE).write_bytes(text)
    return read_durations(folder)


def test_nothing_is_known_where_nothing_was_made(tmp_path: Path) -> None:
    assert read_durations(tmp_path / "nope").estimate([(planned(), 3)]) is None
    nothing = read_durations(tmp_path).estimate([(planned(), 0)])
    assert nothing is not None
    assert nothing.seconds == 0


def test_so_many_pictures_take_so_many_times_as_long(tmp_path: Path) -> None:
    estimate = known(tmp_path, 1.9, 2.0, 2.1).estimate([(planned(), 10)])
    assert estimate is not None
    assert estimate.seconds == pytest.approx(20)
    assert 15 < estimate.low < 18
    assert 22 < estimate.high < 25
    assert str(estimate).startswith("about 20 s (")


def test_another_size_or_number_of_steps_is_scaled_from_the_nearest(tmp_path: Path) -> None:
    durations = known(tmp_path, 2.0, 2.0, 2.0, steps=20)
    twice = durations.estimate([(planned(steps=40), 1)])
    wide = durations.estimate([(planned(steps=20, width=1024), 1)])
    assert twice is not None
    assert wide is not None
    assert twice.seconds == pytest.approx(4)
    assert wide.seconds == pytest.approx(4)


def test_another_model_or_stage_is_not_known(tmp_path: Path) -> None:
    durations = known(tmp_path, 2.0)
    assert durations.estimate([(planned(model="other-model"), 1)]) is None
    upscale = PlannedStage(name="upscale", settings={"upscaler_1": "Lanczos"})
    assert durations.estimate([(upscale, 1)]) is None


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=60), st.integers(1, 500))
def test_an_interval_holds_its_middle_and_narrows_with_nothing(
    seconds: list[float], count: int
) -> None:
    stage = planned()
    key = ("txt2img", *(stage.settings.get(n) for n in _DRIVERS))
    estimate = Durations({key: seconds}).estimate([(stage, count)])
    assert estimate is not None
    assert 0 <= estimate.low <= estimate.seconds <= estimate.high
    assert estimate.seconds == pytest.approx(count * math.fsum(seconds) / len(seconds))


_DRIVERS = ("model", "steps", "width", "height", "enable_hr", "hr_scale", "sampler_name")


async def test_what_was_made_is_what_is_known(runs: Path) -> None:
    backend = FakeBackend(Behaviour(delay=0.05))
    plan = {"target_variable": "txt2img.cfg_scale", "sweep_values": [1, 2, 3, 4]}
    async with open_app(Settings(out=runs), backend=backend) as app:
        await app.learning.run_learning_plan(plan, config(upscale={}))
    stages = plan_stages(config(upscale={}), FAKE_CAPABILITIES).stages
    estimate = read_durations(runs).estimate([(stage, 10) for stage in stages])
    assert estimate is not None
    assert 1.0 <= estimate.seconds < 5


def test_a_torn_index_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    durations = known(tmp_path, 2.0, 2.0)
    assert durations.estimate([(planned(), 1)]) is not None
    path = tmp_path / INDEX_FILE
    path.write_bytes(b'half a line"}\n' + path.read_bytes()[:-9])
    assert read_durations(tmp_path).estimate([(planned(), 1)]) is not None


@pytest.mark.parametrize(
    ("estimate", "words"),
    [
        (Estimate(20, 15, 25), "about 20 s (15 to 25 s)"),
        (Estimate(110, 90, 130), "about 110 s (90 s to 2 min)"),
        (Estimate(878, 555, 1201), "about 15 min (9 to 20 min)"),
        (Estimate(7_500, 7_000, 9_000), "about 2 h 5 min (117 min to 2 h 30 min)"),
        (Estimate(7_100, 500, 9_000), "about 118 min (8 min to 2 h 30 min)"),
        (Estimate(36_000, 33_000, 39_000), "about 10 h (9 h 10 min to 10 h 50 min)"),
        (Estimate(9e7, 8e7, 1e8), "about 1,042 days (926 to 1,157 days)"),
    ],
)
def test_an_estimate_is_said_as_exactly_as_it_is_worth(estimate: Estimate, words: str) -> None:
    assert str(estimate) == words
