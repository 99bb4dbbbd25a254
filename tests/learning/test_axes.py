"""Plans of any number of axes: what they are made of, and the steps that follow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import pytest

from stablenew.config.pipeline_config import PipelineConfig, Setting
from stablenew.config.prompt import Prompt
from stablenew.errors import ConfigError, OverrideError
from stablenew.learning.axis import (
    Axis,
    Choice,
    axis_in_step,
    axis_of_presets,
    axis_of_prompts,
    axis_of_values,
)
from stablenew.learning.axis_table import axes_from, table_of
from stablenew.learning.learning_adapter import build_learning_plan_from_dict
from stablenew.learning.learning_plan import LearningPlan
from stablenew.learning.learning_record import LearningRecord
from stablenew.learning.learning_steps import derive_steps
from stablenew.learning.record_shapes import varied_settings
from tests.support import config

CFG = axis_of_values("txt2img.cfg_scale", [2, 4, 6])
STEPS = axis_of_values("txt2img.steps", [8, 16])
SAMPLER = axis_of_values("txt2img.sampler_name", ["Euler", "Heun"])


def labels(plan: LearningPlan, base: PipelineConfig | None = None) -> list[str]:
    return [step.label for step in derive_steps(plan, base or config())]


def test_a_plan_is_the_product_of_its_axes_and_the_first_changes_quickest() -> None:
    plan = LearningPlan(axes=[CFG, STEPS, SAMPLER])
    assert plan.count == 12
    steps = derive_steps(plan, config())
    assert [step.label for step in steps][:4] == [
        "cfg_scale=2, steps=8, sampler_name=Euler",
        "cfg_scale=4, steps=8, sampler_name=Euler",
        "cfg_scale=6, steps=8, sampler_name=Euler",
        "cfg_scale=2, steps=16, sampler_name=Euler",
    ]
    last = steps[-1]
    assert last.index == 11
    assert last.varied == {
        "txt2img.cfg_scale": 6,
        "txt2img.steps": 16,
        "txt2img.sampler_name": "Heun",
    }
    settings = last.config_snapshot.txt2img
    assert (settings.cfg_scale, settings.steps, settings.sampler_name) == (6, 16, "Heun")
    assert (last.variable, last.value, last.y_variable, last.y_value) == (
        "cfg_scale",
        6,
        "txt2img.steps",
        16,
    )


def test_one_setting_and_two_are_one_way_to_make_a_plan() -> None:
    one = LearningPlan("sweep", "txt2img", "cfg_scale", [2, 4, 6], 2, {"tag": "x"})
    assert one == LearningPlan(axes=[CFG], images_per_step=2, metadata={"tag": "x"})
    two = LearningPlan(
        target_variable="cfg_scale",
        sweep_values=[2, 4, 6],
        y_variable="txt2img.steps",
        y_values=[8, 16],
    )
    assert two == LearningPlan(axes=[CFG, STEPS])
    assert (two.mode, two.path, two.sweep_values) == ("grid", "txt2img.cfg_scale", (2, 4, 6))
    assert (two.y_variable, two.y_values) == ("txt2img.steps", (8, 16))


def test_without_an_axis_there_is_no_plan() -> None:
    with pytest.raises(ConfigError, match="axes: none is given"):
        LearningPlan()


def test_settings_in_step_change_together() -> None:
    axis = axis_in_step({"txt2img.sampler_name": ["Euler", "Heun"], "txt2img.steps": [20, 12]})
    steps = derive_steps(LearningPlan(axes=[axis]), config())
    found = [
        (step.config_snapshot.txt2img.sampler_name, step.config_snapshot.txt2img.steps)
        for step in steps
    ]
    assert found == [("Euler", 20), ("Heun", 12)]
    assert steps[1].label == "sampler_name=Heun, steps=12"


def test_settings_in_step_have_equally_many_values_or_an_error_with_both_numbers() -> None:
    with pytest.raises(ConfigError, match=r"txt2img.steps: 3 values in step with the 2 of"):
        axis_in_step({"txt2img.sampler_name": ["Euler", "Heun"], "txt2img.steps": [20, 12, 8]})


def test_prompts_are_a_condition_unless_they_are_compared() -> None:
    prompts = [("a cat", None), ("a dog", "blurry")]
    plan = LearningPlan(axes=[axis_of_prompts(prompts), CFG])
    assert plan.conditions == ("txt2img.prompt", "txt2img.negative_prompt")
    step = derive_steps(plan, config(txt2img={"prompt": "x", "negative_prompt": "ugly"}))[1]
    assert step.config_snapshot.txt2img.negative_prompt == "blurry"
    assert LearningPlan(axes=[axis_of_prompts(prompts, compare=True)]).conditions == ()


def test_the_prompts_of_a_pack_bring_settings_of_their_own_but_for_what_is_set_elsewhere() -> None:
    own: dict[str, Setting] = {"txt2img.steps": 9, "txt2img.width": 64, "txt2img.seed": 5}
    cat = Prompt(positive="a cat", negative="blurry", overrides=own)
    film = Prompt(positive="still of a cat", name="film")
    axis = axis_of_prompts([cat, film, cat], without=["txt2img.size", "txt2img.seed"])
    first, second, third = axis.choices
    expected = {"txt2img.prompt": "a cat", "txt2img.negative_prompt": "blurry", "txt2img.steps": 9}
    assert first.overrides == expected
    assert second.overrides == {"txt2img.prompt": "still of a cat"}
    assert [each.label for each in (first, second, third)] == ["a cat #1", "film", "a cat #3"]


def test_prompts_of_the_same_name_are_told_apart_and_keep_their_tags() -> None:
    prompts = [
        Prompt(positive=text, name="x", pack_id="p", index=n) for n, text in ((1, "a"), (2, "b"))
    ]
    choices = axis_of_prompts(prompts).choices
    assert [choice.label for choice in choices] == ["x #1", "x #2"]
    assert [choice.tags["prompt_id"] for choice in choices] == ["p#1", "p#2"]


@pytest.mark.parametrize(
    "given", ["a cat", 5, {"a": "b"}, [("a", "b", "c")], [("a", 2)], [(1, None)]]
)
def test_what_is_no_prompt_is_told(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"prompts: given .*, expected (a list|a prompt|text)"):
        axis_of_prompts(given)


def test_texts_are_prompts_as_well() -> None:
    assert axis_of_prompts(["a cat"]) == axis_of_prompts([("a cat", None)])


@pytest.mark.parametrize(
    ("axis", "variable", "values"),
    [
        (axis_of_prompts([("a cat", "blurry"), ("a dog", None)]), "prompt", ("a cat", "a dog")),
        (axis_of_values("replace.red", ["blue"]), "replace.red", ("blue",)),
        (Axis("look", (Choice("soft", {"txt2img.cfg_scale": 3.0}),)), "cfg_scale", (3.0,)),
        (
            axis_of_presets({"soft": {"txt2img.cfg_scale": 3, "txt2img.steps": 9}, "own": {}}),
            "preset",
            ("soft", "own"),
        ),
        (
            axis_in_step({"txt2img.steps": [20, 12], "txt2img.sampler_name": ["Euler", "Heun"]}),
            "steps",
            (20, 12),
        ),
    ],
)
def test_a_record_is_told_what_an_axis_is_about(
    axis: Axis, variable: str, values: tuple[Setting, ...]
) -> None:
    plan = LearningPlan(axes=[axis])
    assert (plan.target_variable, plan.sweep_values) == (variable, values)


def test_words_and_loras_are_called_by_their_name_unless_two_would_be() -> None:
    base = config(txt2img={"prompt": "a red cat", "negative_prompt": "red"})
    axes = [axis_of_values("replace.red", ["blue"]), axis_of_values("lora.film", [0.5])]
    assert labels(LearningPlan(axes=axes), base) == ["red=blue, film=0.5"]
    axes.append(axis_of_values("replace_negative.red", ["green"]))
    assert labels(LearningPlan(axes=axes), base) == [
        "replace.red=blue, film=0.5, replace_negative.red=green"
    ]


def test_a_preset_sets_what_it_names_and_leaves_the_rest_to_the_base() -> None:
    presets: dict[str, Mapping[str, Setting]] = {
        "soft": {"txt2img.cfg_scale": 3.0},
        "crisp": {"txt2img.cfg_scale": 8.0, "txt2img.steps": 30},
    }
    soft, crisp = derive_steps(LearningPlan(axes=[axis_of_presets(presets)]), config())
    assert (soft.label, crisp.label) == ("preset=soft", "preset=crisp")
    assert (soft.config_snapshot.txt2img.steps, crisp.config_snapshot.txt2img.steps) == (None, 30)


@pytest.mark.parametrize(
    ("path", "value", "prompt"),
    [
        ("replace.red", "blue", "a blue cat on a blue mat <lora:film:0.8>"),
        ("lora.film", 0.25, "a red cat on a red mat <lora:film:0.25>"),
        ("lora.paint", 1.0, "a red cat on a red mat <lora:film:0.8> <lora:paint:1>"),
    ],
)
def test_words_and_lora_weights_change_the_prompt(path: str, value: Setting, prompt: str) -> None:
    base = config(txt2img={"prompt": "a red cat on a red mat <lora:film:0.8>"})
    (step,) = derive_steps(LearningPlan(axes=[axis_of_values(path, [value])]), base)
    assert step.config_snapshot.txt2img.prompt == prompt
    assert base.txt2img.prompt == "a red cat on a red mat <lora:film:0.8>"


def test_replacements_work_on_what_another_axis_says_whatever_their_order() -> None:
    prompts = axis_of_prompts([("a red cat", None), ("a red dog", None)])
    colours = axis_of_values("replace.red", ["red", "blue"])
    steps = derive_steps(LearningPlan(axes=[colours, prompts]), config())
    found = [step.config_snapshot.txt2img.prompt for step in steps]
    assert found == ["a red cat", "a blue cat", "a red dog", "a blue dog"]


def test_a_word_that_is_not_in_every_prompt_is_told_with_that_prompt() -> None:
    prompts = axis_of_prompts([("a red cat", None), ("a dog", None)])
    plan = LearningPlan(axes=[prompts, axis_of_values("replace.red", ["blue"])])
    with pytest.raises(OverrideError, match=r"replace.red: 'red' is not in the prompt 'a dog'"):
        derive_steps(plan, config())


def test_only_the_negative_prompt_where_that_is_meant() -> None:
    base = config(txt2img={"prompt": "bad cat", "negative_prompt": "bad hands"})
    plan = LearningPlan(axes=[axis_of_values("replace_negative.bad", ["ugly"])])
    (step,) = derive_steps(plan, base)
    assert step.config_snapshot.txt2img.prompt == "bad cat"
    assert step.config_snapshot.txt2img.negative_prompt == "ugly hands"


def test_a_size_is_one_axis() -> None:
    plan = LearningPlan(axes=[axis_of_values("txt2img.size", ["512x768", "tall"])])
    with pytest.raises(OverrideError, match="size: given 'tall', expected width and"):
        derive_steps(plan, config())
    plan = LearningPlan(axes=[axis_of_values("txt2img.size", ["512x768", "768×512"])])
    sizes = [
        (s.config_snapshot.txt2img.width, s.config_snapshot.txt2img.height)
        for s in derive_steps(plan, config())
    ]
    assert sizes == [(512, 768), (768, 512)]


@pytest.mark.parametrize(
    ("axes", "problem"),
    [
        ([CFG, CFG], "txt2img.cfg_scale: is set by 2 axes"),
        (
            [axis_of_values("txt2img.size", ["8x8"]), axis_of_values("txt2img.width", [8])],
            "txt2img.width: is set by 2 axes (txt2img.size, txt2img.width)",
        ),
        ([axis_of_values("lora.film", ["much"])], "lora.film: given 'much', expected a weight"),
        ([axis_of_values("replace.", ["x"])], "replace.: of what?"),
        ([axis_of_values("txt2img.stepz", [1])], "did you mean txt2img.steps"),
        ([Axis("x", (Choice("a", {"txt2img.steps": 0}),))], "steps: given 0, expected 1 to"),
        ([axis_of_values("img2img.steps", [4])], "img2img is off"),
    ],
)
def test_what_is_wrong_with_an_axis_is_one_line(axes: list[Axis], problem: str) -> None:
    with pytest.raises(OverrideError) as caught:
        derive_steps(LearningPlan(axes=axes), config())
    assert len(caught.value.problems) == 1
    assert problem in str(caught.value)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    axes = [axis_of_values("txt2img.cfg_scale", ["x"]), axis_of_values("txt2img.steps", [0, -1])]
    with pytest.raises(OverrideError) as caught:
        derive_steps(LearningPlan(axes=axes), config())
    assert len(caught.value.problems) == 3


def test_cells_are_left_out_by_label_or_value() -> None:
    plan = LearningPlan(axes=[CFG, STEPS], skip=[{"cfg_scale": 2, "steps": 8}, {"cfg_scale": "6"}])
    assert labels(plan) == [
        "cfg_scale=4, steps=8",
        "cfg_scale=2, steps=16",
        "cfg_scale=4, steps=16",
    ]


@pytest.mark.parametrize(
    ("skip", "problem"),
    [
        ({"cfg": 2}, "skip: given 'cfg', there is cfg_scale, steps"),
        ({"cfg_scale": 3}, "skip: given cfg_scale=3, there is 2, 4, 6"),
        ({}, "skip: leaves no step"),
    ],
)
def test_a_cell_that_is_none_cannot_be_left_out(skip: dict[str, Setting], problem: str) -> None:
    with pytest.raises(OverrideError) as caught:
        derive_steps(LearningPlan(axes=[CFG, axis_of_values("x.y", [1])], skip=[skip]), config())
    assert len(caught.value.problems) == 2
    assert problem.replace("steps", "x.y") in caught.value.problems[0]


def test_cells_are_left_out_by_whatever_a_choice_sets() -> None:
    heun = axis_in_step({"txt2img.sampler_name": ["Euler", "Heun"], "txt2img.steps": [20, 12]})
    axes = [CFG, heun, axis_of_prompts([("a cat", None), ("a dog", "blurry")])]
    skip: list[dict[str, Setting]] = [{"steps": "12.0", "cfg_scale": 2}, {"prompt": "a dog"}]
    assert labels(LearningPlan(axes=axes, skip=[*skip, {"txt2img.cfg_scale": "4.0"}])) == [
        "cfg_scale=2, sampler_name=Euler, steps=20, prompt=a cat",
        "cfg_scale=6, sampler_name=Euler, steps=20, prompt=a cat",
        "cfg_scale=6, sampler_name=Heun, steps=12, prompt=a cat",
    ]
    images = [STEPS, axis_of_values("img2img.steps", [8])]
    base = config(img2img={"denoising_strength": 0.5})
    with pytest.raises(OverrideError, match=r"given 'steps', expected txt2img.steps or img2img"):
        derive_steps(LearningPlan(axes=images, skip=[{"steps": 8}]), base)


def test_a_product_of_a_million_cells_is_planned_when_it_is_looked_at() -> None:
    axes = [axis_of_values(f"txt2img.{name}", range(1, 101)) for name in ("steps", "cfg_scale")]
    axes.append(axis_of_values("txt2img.seed", range(100)))
    steps = derive_steps(LearningPlan(axes=axes), config())
    assert len(steps) == 1_000_000
    assert steps[999_999].label == "steps=100, cfg_scale=100, seed=99"
    assert [step.index for step in steps[10:13]] == [10, 11, 12]


AXES = [
    CFG,
    axis_in_step({"txt2img.sampler_name": ["Euler", "Heun"], "txt2img.steps": [20, 12]}),
    axis_of_prompts([("a cat", None), ("a dog", "blurry")]),
    axis_of_prompts([Prompt(positive="a cat", pack_id="pets", index=3)]),
    Axis("look", (Choice("soft", {"txt2img.cfg_scale": 3.0}),)),
]


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: axis.name)
def test_an_axis_survives_the_way_to_plain_data_and_back(axis: Axis) -> None:
    assert axes_from([table_of(axis)]) == (axis,)


@pytest.mark.parametrize(
    ("path", "given", "values"),
    [
        ("txt2img.cfg_scale", "1-5 (+2), 9", (1, 3, 5, 9)),
        ("txt2img.cfg_scale", ["1-5 (+2)", 9], (1, 3, 5, 9)),
        ("txt2img.cfg_scale", 4, (4,)),
        ("txt2img.prompt", "a cat,a dog", ("a cat", "a dog")),
        ("txt2img.prompt", ["a cat, sitting", "1-5"], ("a cat, sitting", "1-5")),
    ],
)
def test_values_are_read_alike_from_text_and_from_a_list(
    path: str, given: object, values: tuple[Setting, ...]
) -> None:
    (axis,) = axes_from([{"path": path, "values": given}])
    assert axis.values == values


def test_plain_data_may_have_prompts_which_are_a_condition_unless_it_says_otherwise() -> None:
    prompts = ["a cat", {"prompt": "a dog", "negative_prompt": "blurry", "steps": 9}]
    axis, compared = axes_from([{"prompts": prompts}, {"prompts": prompts, "condition": False}])
    assert axis.condition
    assert axis == axis_of_prompts(
        [
            Prompt(positive="a cat"),
            Prompt(positive="a dog", negative="blurry", overrides={"txt2img.steps": 9}),
        ]
    )
    assert compared == attrs.evolve(axis, condition=False)


def test_plain_data_may_have_values_as_a_person_types_them() -> None:
    plan = build_learning_plan_from_dict(
        {
            "axes": [
                {"path": "txt2img.cfg_scale", "values": "1:3:1"},
                {
                    "path": "txt2img.sampler_name",
                    "values": ["Euler", "Heun"],
                    "with": {"txt2img.steps": "20,12"},
                },
            ],
            "sample": 4,
            "order": "given",
        }
    )
    assert plan.sizes == (3, 2)
    assert (plan.count, plan.order) == (4, "given")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"axes": 5}, "axes: given 5, expected a list of tables"),
        ({"axes": [{"prompts": [5]}]}, r"axes\[0\]: prompt 1: given 5, expected text or a table"),
        ({"axes": [5]}, r"axes\[0\]: given 5, expected a table"),
        (
            {"axes": [{}]},
            r"axes\[0\]: given neither path and values nor prompts nor",
        ),
        ({"axes": [{"path": "txt2img.steps", "values": "x"}]}, r"axes\[0\]: txt2img.steps: given"),
        ({"axes": [{"path": "txt2img.steps", "value": 1}]}, r"axes\[0\]: value.*values"),
        ({"axis": []}, "axis: no such key, did you mean axes"),
        ({"axes": [table_of(CFG)], "order": "random"}, "order: given 'random'"),
        ({"axes": [table_of(CFG)], "sample": 0}, "sample: given 0, expected 1 to"),
    ],
)
def test_plain_data_that_is_no_plan_is_told(data: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        build_learning_plan_from_dict(data)


def test_what_varied_is_in_the_record_and_conditions_are_no_choice_of_the_advice() -> None:
    record = LearningRecord(
        run_id="a",
        metadata={
            "variable_name": "prompt",
            "variable_value": "a cat",
            "varied": {"txt2img.prompt": "a cat", "txt2img.steps": 8},
            "conditions": ["txt2img.prompt"],
        },
    )
    assert varied_settings(record) == {"txt2img.prompt": "a cat", "txt2img.steps": 8}
    assert varied_settings(record, conditions=False) == {"txt2img.steps": 8}
