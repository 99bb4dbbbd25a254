"""Names as a backend has them: other spellings, `*`, and globs."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest

from stablenew.app import open_app
from stablenew.backends.fake import FAKE_CAPABILITIES, FakeBackend
from stablenew.config.pipeline_config import Setting
from stablenew.config.settings import Settings
from stablenew.errors import ConfigError
from stablenew.learning.axis import Axis, axis_in_step, axis_of_values
from stablenew.learning.learning_plan import LearningPlan
from stablenew.learning.learning_record_reader import read_records
from stablenew.learning.learning_steps import derive_steps
from stablenew.learning.spelled_axis import spelled_axis
from stablenew.learning.step_plans import spelled_plan
from tests.support import config

CAPABILITIES = attrs.evolve(
    FAKE_CAPABILITIES,
    models=(
        "xl_base.safetensors",
        "xl_turbo.safetensors",
        "sd15.safetensors",
        "odd*name",
        "odd-name",
    ),
    choices={"vae": ("Automatic", "None"), "lora": ("film", "grain", "film_2")},
    aliases={"sampler_name": {"k_euler": "Euler"}},
)


def spelled(axis: Axis) -> Axis:
    return spelled_axis(axis, CAPABILITIES)


@pytest.mark.parametrize(
    ("path", "given", "found"),
    [
        ("txt2img.sampler_name", ["*"], ("Euler", "Euler a", "DPM++ 2M")),
        ("txt2img.scheduler", ["*"], ("Automatic", "Karras")),
        ("txt2img.vae", ["*"], ("Automatic", "None")),
        ("upscale.upscaler_1", ["*"], ("Lanczos", "Nearest")),
        ("txt2img.model", ["xl_*"], ("xl_base.safetensors", "xl_turbo.safetensors")),
        ("txt2img.model", ["SD15*", "xl_b*"], ("sd15.safetensors", "xl_base.safetensors")),
        ("txt2img.model", ["odd*name"], ("odd*name",)),
        ("txt2img.sampler_name", ["k_euler", "euler?a"], ("Euler", "Euler a")),
        ("txt2img.sampler_name", ["DPM++ 2M", "*"], ("DPM++ 2M", "Euler", "Euler a")),
        ("txt2img.prompt", ["a *very* red cat", "what?"], ("a *very* red cat", "what?")),
    ],
)
def test_a_glob_is_every_name_that_matches_and_a_literal_name_wins(
    path: str, given: list[str], found: tuple[str, ...]
) -> None:
    axis = spelled(axis_of_values(path, given))
    assert axis == axis_of_values(path, found)
    assert spelled(axis) == axis


def test_what_is_given_twice_without_a_glob_stays_so() -> None:
    axis = axis_of_values("txt2img.sampler_name", ["k_euler", "Euler"])
    assert spelled(axis).values == ("Euler", "Euler")


def test_globs_that_match_nothing_are_told_at_once_with_the_nearest_names() -> None:
    axes = [
        axis_of_values("txt2img.model", ["xi_base.safe*"]),
        axis_of_values("txt2img.sampler_name", ["Foo*"]),
        axis_of_values("txt2img.hr_upscaler", ["*"]),
    ]
    with pytest.raises(ConfigError) as caught:
        spelled_plan(LearningPlan(axes=axes), CAPABILITIES)
    one, other, third = caught.value.problems
    assert one.startswith(
        "txt2img.model: given 'xi_base.safe*', which no name matches; did you mean xl"
    )
    assert other.endswith("given 'Foo*', which no name matches; there is Euler, Euler a, DPM++ 2M")
    assert third == (
        "txt2img.hr_upscaler: given '*', but the fake backend does not tell what there is"
    )


def test_in_step_with_others_a_glob_is_one_name() -> None:
    values: dict[str, list[Setting]] = {
        "txt2img.model": ["sd15*", "xl_t*"],
        "txt2img.steps": [20, 8],
    }
    axis = spelled(axis_in_step(values))
    assert axis.labels == ("sd15.safetensors, steps=20", "xl_turbo.safetensors, steps=8")
    values["txt2img.model"] = ["sd15*", "xl_*"]
    with pytest.raises(ConfigError, match=r"'xl_\*', which matches 2 names \(xl_base"):
        spelled(axis_in_step(values))


def test_every_lora_of_a_name_is_tried_at_each_weight() -> None:
    axis = spelled(axis_of_values("lora.film*", [0.5, 1]))
    assert (axis.name, axis.labels) == ("lora", ("film:0.5", "film:1", "film_2:0.5", "film_2:1"))
    steps = derive_steps(LearningPlan(axes=[axis]), config(txt2img={"prompt": "a <lora:film:1>"}))
    assert [(step.label, step.config_snapshot.txt2img.prompt) for step in steps][1:3] == [
        ("lora=film:1", "a <lora:film:1>"),
        ("lora=film_2:0.5", "a <lora:film:1> <lora:film_2:0.5>"),
    ]
    assert len(spelled(axis_of_values("lora.*", [1])).choices) == 3
    assert spelled(axis_of_values("lora.film", [0.5])).name == "lora.film"
    with pytest.raises(ConfigError, match=r"lora.x\*: given 'x\*', which no name matches"):
        spelled(axis_of_values("lora.x*", [1]))


async def test_the_plan_that_is_kept_has_the_names_and_so_have_the_records(runs: Path) -> None:
    plan = {"target_variable": "sampler_name", "sweep_values": "Euler*"}
    async with open_app(Settings(out=runs, learning_enabled=True), backend=FakeBackend()) as app:
        result = await app.learning.run_learning_plan(plan, config())
    kept = json.loads((runs / result.plan_id / "plan.json").read_text())["plan"]["axes"]
    assert kept == [{"path": "txt2img.sampler_name", "values": ["Euler", "Euler a"]}]
    values = [r.metadata["variable_value"] for r in read_records(runs / "learning_records.jsonl")]
    assert values == ["Euler", "Euler a"]
