"""The steps of long plans: their order, their labels and what they cost, none of them made."""

from __future__ import annotations

import re

import attrs
import pytest

from stablenew._clock import Clock
from stablenew.backends.fake import FAKE_CAPABILITIES
from stablenew.errors import ConfigError
from stablenew.learning.axis import (
    Axis,
    axis_in_step,
    axis_of_presets,
    axis_of_prompts,
    axis_of_values,
)
from stablenew.learning.execution_context import LearningExecutionContext
from stablenew.learning.learning_plan import LearningPlan, LearningRunStep
from stablenew.learning.learning_steps import Steps, derive_steps
from stablenew.learning.plan_announcer import PlanAnnouncer
from stablenew.learning.plan_execution import PlanExecution
from stablenew.learning.step_order import in_order
from stablenew.learning.step_plans import checked_stages
from tests.support import config

CFG = axis_of_values("txt2img.cfg_scale", [3, 5])
MODELS = axis_of_values("txt2img.model", ["a", "b"])
HUNDRED = [axis_of_values(f"txt2img.{name}", range(1, 101)) for name in ("steps", "cfg_scale")]
MILLION = LearningPlan(axes=[*HUNDRED, axis_of_values("txt2img.seed", range(100))])


@pytest.fixture
def untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a step after the first that is made be an error."""
    make = Steps._step

    def made(self: Steps, index: int) -> LearningRunStep:
        assert index == 0, f"step {index} is made"
        return make(self, index)

    monkeypatch.setattr(Steps, "_step", made)


@pytest.mark.parametrize(
    ("axes", "order"),
    [
        ([CFG, MODELS], [0, 1, 2, 3]),
        ([MODELS, CFG], [0, 2, 1, 3]),
        (
            [axis_in_step({"txt2img.steps": [1, 2, 3], "txt2img.model": ["b", "a", "b"]}), CFG],
            [0, 2, 3, 5, 1, 4],
        ),
        ([CFG, axis_of_presets({"x": {"txt2img.vae": "v"}, "y": {"txt2img.steps": 2}}), MODELS],
         list(range(8))),
        (
            [axis_of_presets({"x": {"txt2img.vae": "v"}, "y": {"txt2img.steps": 2}}), CFG],
            [0, 2, 1, 3],
        ),
    ],
)  # fmt: skip
def test_each_model_is_loaded_once_whatever_axis_it_is_in_and_no_step_is_made_for_that(
    axes: list[Axis], order: list[int]
) -> None:
    plan = LearningPlan(axes=axes)
    steps = derive_steps(plan, config())
    assert [step.index for step in in_order(plan, steps)] == order
    given = LearningPlan(axes=axes, order="given")
    assert [step.index for step in in_order(given, steps)] == list(range(plan.count))


def test_the_first_steps_of_a_plan_are_put_in_order_among_themselves() -> None:
    plan = LearningPlan(axes=[MODELS, CFG])
    steps = derive_steps(plan, config())[:3]
    assert [step.index for step in in_order(plan, steps)] == [0, 2, 1]
    assert [step.index for step in in_order(plan, steps)[1:]] == [2, 1]


def test_values_and_labels_are_those_of_the_steps() -> None:
    plan = LearningPlan(axes=[CFG, MODELS, HUNDRED[0]], sample=7)
    steps = derive_steps(plan, config())[1:6]
    assert steps.values(0) == tuple(step.value for step in steps)
    assert steps.values(1) == tuple(step.y_value for step in steps)
    assert list(steps.labels()) == [step.label for step in steps]
    taken = [
        [axis.choices[each] for axis, each in zip(plan.axes, plan.places(step.index), strict=True)]
        for step in steps
    ]
    assert [[choice.label for choice in choices] for choices in taken] == [
        [text.partition("=")[2] for text in step.label.split(", ")] for step in steps
    ]


def test_steps_of_further_cells_come_after_the_others() -> None:
    plan = LearningPlan(
        target_variable="txt2img.cfg_scale", sweep_values=[3, 5], bounds=(1, 9), axes=[MODELS]
    )
    assert plan.is_adaptive
    steps = derive_steps(plan, config())
    more = steps.extended([1, len(plan.sweep_values)])
    assert [step.index for step in more] == [*range(len(steps) + 2)]
    assert [(step.value, step.y_value) for step in more[-2:]] == [(5, "a"), (3, "b")]
    assert list(more.labels())[-1] == "cfg_scale=3, model=b"
    assert len(steps) == plan.count


def test_a_step_of_long_prompts_is_called_by_what_differs_and_keeps_the_end() -> None:
    words = " ".join(["so it goes"] * 40)
    plan = LearningPlan(axes=[axis_of_prompts([f"red {words} one", f"blue {words} two"]), CFG])
    first, second, *_ = (step.label for step in derive_steps(plan, config()))
    assert len(first) < 90
    assert re.fullmatch(r"prompt=red .*…so it goes.* one, cfg_scale=3", first)
    assert re.fullmatch(r"prompt=blue .*…so it goes.* two, cfg_scale=3", second)


@pytest.mark.usefixtures("untouched")
def test_a_plan_of_a_million_steps_is_begun_without_making_one() -> None:
    steps = derive_steps(MILLION, config())
    assert in_order(MILLION, steps) is steps
    context = LearningExecutionContext(plan=MILLION, base_config=config(), max_steps=1_000)
    execution = PlanExecution(context=context, plan_id="p", steps=steps)
    started = PlanAnnouncer(execution, None, Clock()).beginning()
    assert (started.steps, started.images) == (1_000, 1)
    assert started.values[:2] + started.values[-1:] == (1, 2, 100)
    assert started.y_values[:2] + started.y_values[-1:] == (1, 1, 10)


@pytest.mark.usefixtures("untouched")
def test_each_choice_of_a_plan_of_a_million_steps_is_checked_and_no_step_is_visited() -> None:
    samplers = axis_of_values("txt2img.sampler_name", ["Euler", "Hoyn", "Euler a"])
    sizes = axis_of_values("txt2img.width", [*range(8, 2008), 4, *range(3000, 4000)])
    plan = LearningPlan(axes=[*MILLION.axes, samplers])
    with pytest.raises(ConfigError) as caught:
        list(checked_stages(plan, config(), FAKE_CAPABILITIES, {}))
    assert caught.value.problems == (
        "txt2img.sampler_name: given 'Hoyn', there is Euler, Euler a, DPM++ 2M",
    )
    right = LearningPlan(axes=MILLION.axes, skip=[{"steps": 1}])
    looked_at = list(checked_stages(right, config(), FAKE_CAPABILITIES, {}))
    assert 297 <= len(looked_at) <= 300
    assert {each.stages[0].settings["seed"] for each in looked_at} == set(range(100))
    with pytest.raises(ConfigError, match=r"txt2img.width: given 4, expected 8 to 16,384"):
        derive_steps(LearningPlan(axes=[sizes]), config())


def test_of_an_axis_of_very_many_numbers_the_smallest_and_the_largest_are_checked() -> None:
    limited = attrs.evolve(FAKE_CAPABILITIES, largest_seed=5_000)
    seeds = [*range(4_001), 9_999, *range(4_001, 5_000)]
    plan = LearningPlan(axes=[axis_of_values("txt2img.seed", seeds)])
    with pytest.raises(ConfigError, match="given 9999, the fake backend takes none above 5000"):
        list(checked_stages(plan, config(), limited, {}))


def test_words_that_are_replaced_in_very_many_steps_are_looked_for_in_each_prompt() -> None:
    prompts = axis_of_values("txt2img.prompt", ["a red cat", "a blue cat"])
    axes = [axis_of_values("replace.red", ["green"]), *MILLION.axes, prompts]
    with pytest.raises(ConfigError) as caught:
        derive_steps(LearningPlan(axes=axes), config())
    assert caught.value.problems == ("replace.red: 'red' is not in the prompt 'a blue cat'",)


def test_more_combinations_than_can_be_counted_are_refused() -> None:
    names = ("seed", "steps", "width", "height", "subseed", "cfg_scale")
    axes = [axis_of_values(f"txt2img.{name}", range(8, 1_000)) for name in names]
    with pytest.raises(ConfigError, match=r"axes: 1e\+18 combinations, expected fewer than"):
        derive_steps(LearningPlan(axes=axes), config())
