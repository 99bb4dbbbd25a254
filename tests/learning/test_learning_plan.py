from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablenew.config.pipeline_config import PipelineConfig
from stablenew.errors import ConfigError, OverrideError
from stablenew.learning.learning_adapter import (
    build_learning_plan_from_config,
    build_learning_plan_from_dict,
    prepare_learning_run,
)
from stablenew.learning.learning_plan import LearningPlan
from stablenew.learning.learning_result import LearningRunResult, summarize
from stablenew.learning.learning_steps import derive_steps
from stablenew.pipeline.results import Outcome
from tests.support import config

FLAT = {
    "mode": "sweep",
    "stage": "txt2img",
    "target_variable": "cfg_scale",
    "sweep_values": [1, 3.5],
    "images_per_step": 2,
    "metadata": {"experiment_name": "first"},
}


def test_a_flat_dict_becomes_a_plan() -> None:
    plan = build_learning_plan_from_dict(FLAT)
    assert plan == LearningPlan(
        target_variable="cfg_scale",
        sweep_values=(1, 3.5),
        images_per_step=2,
        metadata={"experiment_name": "first"},
    )
    assert plan.path == "txt2img.cfg_scale"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (7, (7,)),
        (7.5, (7.5,)),
        ([7], (7,)),
        ((1, 2), (1, 2)),
        ("1:9:4", (1, 5, 9)),
        ("4", (4,)),
    ],
)
def test_a_scalar_becomes_a_list_of_one(values: object, expected: tuple[object, ...]) -> None:
    plan = build_learning_plan_from_dict({**FLAT, "sweep_values": values})
    assert plan.sweep_values == expected


def test_a_name_is_one_value_and_not_its_letters() -> None:
    flat = {"target_variable": "sampler_name", "sweep_values": "Euler a"}
    assert build_learning_plan_from_dict(flat).sweep_values == ("Euler a",)
    assert LearningPlan(target_variable="sampler_name", sweep_values="Euler").sweep_values == (
        "Euler",
    )


def test_the_variable_may_name_its_stage() -> None:
    plan = build_learning_plan_from_dict(
        {"target_variable": "img2img.denoising_strength", "sweep_values": [0.5]}
    )
    assert (plan.stage, plan.target_variable) == ("img2img", "denoising_strength")
    with pytest.raises(ConfigError, match="with stage 'txt2img'"):
        build_learning_plan_from_dict({**FLAT, "target_variable": "img2img.steps"})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"mode": "swep"}, "did you mean sweep"),
        ({"images_per_step": 0}, "1 to 100,000"),
        ({"images_per_step": "2"}, "a whole number"),
        ({"target_variable": None}, "target_variable: missing"),
        ({"sweep_values": None}, "sweep_values: missing"),
        ({"sweep_value": [1]}, "did you mean sweep_values"),
        ({"sweep_values": {"a": 1}}, "expected a list of values"),
        ({"sweep_values": [[1]]}, "expected text, a number"),
        ({"target_variable": "cfg"}, "txt2img.cfg"),
    ],
)
def test_a_wrong_plan_says_which_key_and_what_would_be_right(
    change: dict[str, object], expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        derive_steps(build_learning_plan_from_dict({**FLAT, **change}), config())
    assert expected in str(caught.value)


def test_a_plan_is_taken_from_the_learning_section_of_a_config() -> None:
    assert build_learning_plan_from_config({"learning": FLAT}) == build_learning_plan_from_dict(
        FLAT
    )
    with pytest.raises(ConfigError, match="learning: given None"):
        build_learning_plan_from_config({"txt2img": {}})
    with pytest.raises(ConfigError, match=r"^learning\.mode"):
        build_learning_plan_from_config({"learning": {**FLAT, "mode": 5}})


def test_steps_are_derived_and_the_base_is_left_as_it_was() -> None:
    base = config()
    before = base.to_dict()
    steps = derive_steps(build_learning_plan_from_dict(FLAT), base, max_images_per_step=1)
    assert [step.value for step in steps] == [1, 3.5]
    assert [step.index for step in steps] == [0, 1]
    assert [step.config_snapshot.txt2img.cfg_scale for step in steps] == [1, 3.5]
    assert [step.images_requested for step in steps] == [1, 1]
    assert base.to_dict() == before


@pytest.mark.parametrize(
    ("variable", "values", "expected"),
    [
        ("nope", [1], "no such setting"),
        ("steps", [5, "6", 0], "given '6'"),
        ("steps", [], "the sweep is empty"),
        ("steps", [5, 6, 5], "5 is given more than once"),
    ],
)
def test_a_sweep_that_cannot_run_is_an_error_before_the_first_run(
    variable: str, values: list[object], expected: str
) -> None:
    plan = {"target_variable": variable, "sweep_values": values}
    with pytest.raises(OverrideError) as caught:
        prepare_learning_run(plan, config())
    assert expected in str(caught.value)


def test_every_wrong_value_of_a_sweep_is_reported() -> None:
    plan = {"target_variable": "steps", "sweep_values": [0, 5, "6"]}
    with pytest.raises(OverrideError) as caught:
        prepare_learning_run(plan, config())
    assert len(caught.value.problems) == 2


def test_sweeping_a_stage_that_is_off_would_change_nothing_and_is_refused() -> None:
    plan = {"target_variable": "img2img.steps", "sweep_values": [5]}
    with pytest.raises(OverrideError, match="img2img is off"):
        prepare_learning_run(plan, config())
    prepare_learning_run(
        {**plan, "target_variable": "img2img.enabled", "sweep_values": [True]}, config()
    )


def test_plain_data_is_prepared_in_one_call() -> None:
    context = prepare_learning_run(FLAT, {"txt2img": {"prompt": "a"}}, max_steps=1, step_timeout=5)
    assert isinstance(context.base_config, PipelineConfig)
    assert (context.max_steps, context.step_timeout) == (1, 5)


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=20, unique=True))
def test_there_is_one_step_for_each_value_in_order(values: list[int]) -> None:
    plan = LearningPlan(target_variable="steps", sweep_values=values)
    steps = derive_steps(plan, config())
    assert [step.config_snapshot.txt2img.steps for step in steps] == values
    assert len({step.config_snapshot.txt2img.seed for step in steps}) == 1


def test_a_summary_counts_the_steps_that_were_not_run() -> None:
    (step,) = derive_steps(LearningPlan(target_variable="steps", sweep_values=5), config())
    results = [
        LearningRunResult(step=step, outcome=outcome)
        for outcome in (Outcome.SUCCEEDED, Outcome.SUCCEEDED, Outcome.TIMED_OUT)
    ]
    assert summarize(results, 5, Outcome.FAILED) == {
        "outcome": "failed",
        "steps": 5,
        "succeeded": 2,
        "failed": 0,
        "cancelled": 0,
        "reused": 0,
        "quarantined": 0,
        "timed_out": 1,
        "not_run": 2,
    }
