"""Plans of two axes: one step per pair of values."""

from __future__ import annotations

from pathlib import Path

import pytest

from stablenew.advice.observations import gather_observations
from stablenew.app import open_app
from stablenew.config.settings import Settings
from stablenew.errors import ConfigError, OverrideError
from stablenew.learning.learning_adapter import build_learning_plan_from_dict
from stablenew.learning.learning_plan import LearningPlan
from stablenew.learning.learning_record_reader import read_records
from stablenew.learning.learning_steps import derive_steps
from tests.support import config

GRID = {
    "target_variable": "txt2img.cfg_scale",
    "sweep_values": [3, 7],
    "y_variable": "txt2img.steps",
    "y_values": [10, 20, 30],
}


def test_there_is_a_step_for_each_pair_the_first_axis_first() -> None:
    plan = build_learning_plan_from_dict(GRID)
    assert (plan.mode, plan.count) == ("grid", 6)
    steps = derive_steps(plan, config())
    assert [(step.value, step.y_value) for step in steps] == [
        (3, 10), (7, 10), (3, 20), (7, 20), (3, 30), (7, 30),
    ]  # fmt: skip
    last = steps[-1].config_snapshot.txt2img
    assert (last.cfg_scale, last.steps) == (7, 30)
    assert [step.index for step in steps] == list(range(6))


def test_values_may_be_a_range_in_words() -> None:
    plan = build_learning_plan_from_dict({**GRID, "y_values": "10:30:10"})
    assert plan.y_values == (10, 20, 30)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"y_variable": "txt2img.cfg_scale"}, "is set by 2 axes"),
        ({"y_variable": "txt2img.stps"}, "did you mean"),
        ({"y_variable": "img2img.steps"}, "img2img is off"),
        ({"y_values": []}, "the sweep is empty"),
        ({"y_values": [1, 1]}, "given more than once"),
        ({"y_values": ["x"]}, "expected"),
        ({"mode": "sweep"}, "a second axis"),
        ({"y_variable": None, "mode": "grid"}, "a second axis"),
    ],
)
def test_a_wrong_second_axis_is_told(changes: dict[str, object], said: str) -> None:
    given = {name: value for name, value in {**GRID, **changes}.items() if value is not None}
    with pytest.raises((OverrideError, ConfigError), match=said):
        derive_steps(build_learning_plan_from_dict(given), config())


@pytest.mark.parametrize(
    "path", ["txt2img.hr_scale", "txt2img.denoising_strength", "txt2img.refiner_switch_at"]
)
def test_a_sweep_that_would_change_nothing_is_told(path: str) -> None:
    plan = build_learning_plan_from_dict({"target_variable": path, "sweep_values": [0.2, 0.5]})
    with pytest.raises(OverrideError, match="changes nothing without txt2img"):
        derive_steps(plan, config())


def test_what_it_needs_may_be_the_other_axis_or_on() -> None:
    scales = {"target_variable": "txt2img.hr_scale", "sweep_values": [1.5, 2]}
    both = {**scales, "y_variable": "txt2img.enable_hr", "y_values": [False, True]}
    assert len(derive_steps(build_learning_plan_from_dict(both), config())) == 4
    on = config(txt2img={"enable_hr": True})
    assert len(derive_steps(build_learning_plan_from_dict(scales), on)) == 2


def test_a_step_says_what_sets_it_apart() -> None:
    (step,) = derive_steps(LearningPlan(target_variable="cfg_scale", sweep_values=[3.0]), config())
    assert step.label == "cfg_scale=3"
    plan = LearningPlan(axes=build_learning_plan_from_dict(GRID).axes)
    assert derive_steps(plan, config())[2].label == "cfg_scale=3, steps=20"


async def test_both_values_are_in_records_and_observations(runs: Path) -> None:
    settings = Settings(out=runs, backend="fake", learning_enabled=True)
    async with open_app(settings) as app:
        result = await app.learning.run_learning_plan(GRID, config())
    assert result.success
    records = list(read_records(runs / "learning_records.jsonl"))
    assert records[-1].variant_configs == ({"txt2img.cfg_scale": 7, "txt2img.steps": 30},)
    assert records[-1].metadata["y_value"] == 30
    observed = gather_observations(runs).pictures.values()
    assert {tuple(picture.settings) for picture in observed} == {
        ("txt2img.cfg_scale", "txt2img.steps")
    }


async def test_names_are_recorded_as_the_backend_spells_them(runs: Path) -> None:
    import attrs

    from stablenew.backends.fake import FAKE_CAPABILITIES, FakeBackend

    aliases = {"sampler_name": {"k_euler_a": "Euler a", "euler": "Euler"}}
    backend = FakeBackend(capabilities=attrs.evolve(FAKE_CAPABILITIES, aliases=aliases))
    plan = {"target_variable": "txt2img.sampler_name", "sweep_values": ["k_euler_a", "euler"]}
    async with open_app(Settings(out=runs, learning_enabled=True), backend=backend) as app:
        await app.learning.run_learning_plan(plan, config())
    values = [r.metadata["variable_value"] for r in read_records(runs / "learning_records.jsonl")]
    assert values == ["Euler a", "Euler"]
