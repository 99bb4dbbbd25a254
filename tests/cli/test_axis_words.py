"""The words of the command line, the environment and plan files that make axes."""

from __future__ import annotations

from pathlib import Path

import pytest

from stablenew.cli.arguments import run_parser
from stablenew.cli.job import Job, read_job
from stablenew.config.pipeline_config import Setting
from stablenew.errors import ConfigError
from stablenew.learning.axis import Axis, axis_in_step, axis_of_values
from stablenew.learning.learning_plan import LearningPlan

CFG = "txt2img.cfg_scale=2,4,6"
SAMPLERS = "txt2img.sampler_name=Euler,DPM++ 2M"


def job(*words: str, **environ: str) -> Job:
    return read_job(vars(run_parser().parse_args(words)), environ)


def plan_of(*words: str, **environ: str) -> LearningPlan:
    plan = job(*words, **environ).plan
    assert plan is not None
    return plan


def problems(*words: str, **environ: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        job(*words, **environ)
    return caught.value.problems


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def pack(here: Path) -> str:
    (here / "pets.txt").write_text("a cat\nneg: dark\n\na dog\n\na fish\n")
    return "pets"


def test_any_number_of_sweeps_is_a_product_and_a_part_of_it_can_be_taken() -> None:
    words = ("--sweep", CFG, "--sweep", "txt2img.steps=8,16", "--sweep", SAMPLERS)
    plan = plan_of(*words, "--images-per-step", "2")
    assert [axis.name for axis in plan.axes] == [
        "txt2img.cfg_scale",
        "txt2img.steps",
        "txt2img.sampler_name",
    ]
    assert (plan.count, plan.mode, plan.images_per_step) == (12, "grid", 2)
    skips = ("--skip", "sampler_name=Euler,steps=8", "--skip", "cfg_scale=2.0")
    plan = plan_of(*words, "--sample", "5", *skips, "--order", "given")
    assert (plan.count, plan.sample, plan.order) == (5, 5, "given")
    assert plan_of(*words, *skips).count == 6


def test_settings_with_a_sweep_change_in_step_with_it_wherever_they_stand() -> None:
    words = ("--with", "txt2img.steps=20,12", "--with", "txt2img.cfg_scale=5,7")
    plan = plan_of("--sweep", SAMPLERS, *words, "--sweep", "txt2img.seed=1:3")
    step: dict[str, list[Setting]] = {
        "txt2img.sampler_name": ["Euler", "DPM++ 2M"],
        "txt2img.steps": [20, 12],
        "txt2img.cfg_scale": [5, 7],
    }
    assert plan.axes == (axis_in_step(step), axis_of_values("txt2img.seed", [1, 2, 3]))


def test_axes_are_in_the_order_in_which_their_words_are_given(here: Path) -> None:
    (here / "soft.toml").write_text("[txt2img]\nwidth = 8\n")
    words = ("--replace", "red=red,blue", "--presets", "soft.toml", "--sweep", CFG)
    assert [axis.name for axis in plan_of("--prompt", "a red cat", *words).axes] == [
        "replace.red",
        "preset",
        "txt2img.cfg_scale",
    ]


@pytest.mark.parametrize(
    ("where", "path"),
    [("prompt", "replace.red"), ("negative", "replace_negative.red"), ("both", "replace_both.red")],
)
def test_a_word_is_replaced_where_that_is_wanted(where: str, path: str) -> None:
    words = ("--replace", 'red=red,"blue, pale"', "--replace-in", where)
    assert plan_of(*words).axes == (axis_of_values(path, ["red", "blue, pale"]),)


def test_several_prompts_are_an_axis_that_changes_last_and_a_condition() -> None:
    words = ("--prompt", "a cat", "--prompt", "a dog", "--sweep", CFG)
    plan = plan_of(*words)
    assert [axis.name for axis in plan.axes] == ["txt2img.cfg_scale", "prompt"]
    assert plan.axes[1].labels == ("a cat", "a dog")
    assert plan.conditions == ("txt2img.prompt",)
    assert plan_of(*words, "--compare-prompts").conditions == ()
    assert plan_of("--prompt", "a cat", "--prompt", "a dog").count == 2


@pytest.mark.parametrize(
    ("which", "labels"),
    [
        ("all", ("a cat", "a dog", "a fish")),
        ("2-3", ("a dog", "a fish")),
        ("3,1", ("a fish", "a cat")),
        (" 1 - 2 , 2", ("a cat", "a dog")),
    ],
)
def test_prompts_of_a_pack_are_an_axis_tagged_with_their_ids(
    pack: str, which: str, labels: tuple[str, ...]
) -> None:
    found = job("--pack", pack, "--prompts", which, "--sweep", CFG)
    assert found.plan is not None
    axis = found.plan.axes[1]
    assert axis.labels == labels
    assert found.metadata == {}
    ids = {"a cat": "pets#1", "a dog": "pets#2", "a fish": "pets#3"}
    for choice in axis.choices:
        assert choice.tags == {"prompt_pack_id": "pets", "prompt_id": ids[choice.label]}
    assert dict(axis.choices[labels.index("a cat")].overrides if "a cat" in labels else {}) in (
        {"txt2img.prompt": "a cat", "txt2img.negative_prompt": "dark"},
        {},
    )


def test_one_prompt_of_a_pack_is_no_axis(pack: str) -> None:
    found = job("--pack", pack, "--prompts", "2")
    assert found.plan is None
    assert found.config.txt2img.prompt == "a dog"
    assert found.metadata == {"prompt_pack_id": "pets", "prompt_id": "pets#2"}


def test_what_stands_beside_prompts_beats_what_they_bring_along(here: Path) -> None:
    (here / "own.json").write_text(
        '[{"prompt": "a cat", "steps": 9, "cfg_scale": 3, "negative_prompt": "x"}, "a dog"]'
    )
    words = ("--pack", "own.json", "--prompts", "all")
    cat, dog = plan_of(*words).axes[0].choices
    assert dict(cat.overrides) == {
        "txt2img.prompt": "a cat",
        "txt2img.negative_prompt": "x",
        "txt2img.steps": 9,
        "txt2img.cfg_scale": 3,
    }
    assert dict(dog.overrides) == {"txt2img.prompt": "a dog"}
    found = job(*words, "--sweep", CFG, "--set", "txt2img.steps=4", "--negative-prompt", "y")
    assert found.plan is not None
    cat, dog = found.plan.axes[1].choices
    assert cat.overrides == {"txt2img.prompt": "a cat", "txt2img.negative_prompt": "y"}
    assert found.config.txt2img.steps == 4
    assert found.config.txt2img.negative_prompt == "y"


def test_presets_are_called_as_their_files_and_set_what_these_set(here: Path) -> None:
    (here / "soft.toml").write_text("[txt2img]\ncfg_scale = 3\n[upscale]\nenabled = true\n")
    (here / "crisp.toml").write_text('negative_prompt = "blur"\nout = "x"\n[txt2img]\nsteps = 30\n')
    axis = Axis("preset", ())
    for words in (("soft.toml,crisp.toml",), ("soft.toml", "--presets", "crisp.toml")):
        (axis,) = plan_of("--presets", *words).axes
        assert axis.labels == ("soft", "crisp")
    soft, crisp = axis.choices
    assert soft.overrides == {"txt2img.cfg_scale": 3, "upscale.enabled": True}
    assert crisp.overrides == {"txt2img.steps": 30, "txt2img.negative_prompt": "blur"}


def test_presets_of_the_same_file_name_are_called_by_their_paths(here: Path) -> None:
    for name in ("old", "new"):
        (here / name).mkdir()
        (here / name / "soft.toml").write_text("[txt2img]\ncfg_scale = 3\n")
    (axis,) = plan_of("--presets", "old/soft.toml, new/soft.toml").axes
    assert axis.labels == ("old/soft.toml", "new/soft.toml")


def test_presets_of_a_plan_file_lie_beside_it(here: Path) -> None:
    (here / "plans").mkdir()
    (here / "plans" / "soft.toml").write_text("[txt2img]\ncfg_scale = 3\n")
    (here / "plans" / "plan.toml").write_text('presets = "soft.toml"\n')
    assert plan_of("plans/plan.toml").axes[0].labels == ("soft",)
    assert "soft.toml: No such file" in problems("--presets", "soft.toml")[0]


def test_every_preset_that_does_not_load_is_told_with_its_own_problems(here: Path) -> None:
    (here / "a.toml").write_text("[txt2img]\nstepz = 3\ncfg_scale = 'x'\n")
    (here / "b.toml").write_text("out = 'x'\n")
    found = problems("--presets", "a.toml,b.toml,c.toml", "--sweep", "txt2img.steps=x")
    assert [each.partition(", ")[0] for each in sorted(found)] == [
        "presets: a.toml: txt2img.cfg_scale: given 'x'",
        "presets: a.toml: txt2img.stepz: unknown key",
        "presets: b.toml: sets nothing",
        "presets: c.toml: No such file or directory",
        "sweep: txt2img.steps: given 'x'",
    ]


PLAN_FILE = """
pack = "pets"
prompts = "1-2"
compare_prompts = true
[learning]
sample = 3
skip = [{sampler_name = "Euler", cfg_scale = 3}, "cfg_scale=9"]
order = "given"
target_variable = "txt2img.cfg_scale"
sweep_values = "3:9:3"
[[learning.axes]]
path = "txt2img.sampler_name"
values = ["Euler", "Heun"]
with = {"txt2img.steps" = "20,12"}
"""


def test_a_plan_file_has_the_same_words(pack: str, here: Path) -> None:
    (here / "plan.toml").write_text(PLAN_FILE)
    plan = plan_of("plan.toml")
    assert [axis.name for axis in plan.axes] == [
        "txt2img.cfg_scale",
        "txt2img.sampler_name",
        "prompt",
    ]
    assert plan.sizes == (3, 2, 2)
    assert (plan.sample, plan.order, plan.conditions) == (3, "given", ())
    assert plan_of("plan.toml", "--sample", "40").count == 12 - 2 - 4
    replaced = plan_of("plan.toml", "--sweep", "txt2img.steps=4:6", "--skip", "steps=5")
    assert [axis.name for axis in replaced.axes] == ["txt2img.steps", "prompt"]


def test_a_plan_file_may_have_its_words_at_the_top_and_prompts_of_its_own(here: Path) -> None:
    (here / "plan.toml").write_text(
        'prompts = ["a cat", {prompt = "a dog", negative_prompt = "dark"}]\n'
        f'sweep = ["{CFG}", "txt2img.steps=4,5"]\nreplace = "a=a,one"\nsample = 4\n'
    )
    plan = plan_of("plan.toml")
    assert plan.sizes == (3, 2, 2, 2)
    assert plan.count == 4
    assert plan.axes[3].choices[1].overrides["txt2img.negative_prompt"] == "dark"
    (here / "plan.toml").write_text('prompt = ["a cat", "a dog"]\n')
    assert plan_of("plan.toml").axes[0].labels == ("a cat", "a dog")


def test_the_environment_has_them_too(pack: str) -> None:
    words = {"STABLENEW_PACK": pack, "STABLENEW_PROMPTS": "all", "STABLENEW_SAMPLE": "2"}
    plan = plan_of(**words, STABLENEW_SWEEP=CFG, STABLENEW_SKIP="cfg_scale=2")
    assert (plan.sizes, plan.count) == ((3, 3), 2)
    assert plan_of("--prompts", "2-3", **words).sizes == (2,)
    assert plan_of(STABLENEW_REPLACE="red=blue").axes[0].name == "replace.red"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ("--with", "txt2img.steps=1"),
            "with: given 'txt2img.steps=1', expected after the --sweep",
        ),
        (
            ("--sweep", SAMPLERS, "--with", "txt2img.steps=1,2,3"),
            "txt2img.steps: 3 values in step with the 2 of txt2img.sampler_name; expected as many",
        ),
        (("--sweep", CFG, "--with", CFG), "with: txt2img.cfg_scale: is in step with itself"),
        (("--replace", "red"), "replace: given 'red', expected WORD=FIRST,SECOND"),
        (("--replace", "=a"), "replace: given '=a', expected WORD=FIRST,SECOND"),
        (("--replace-in", "here"), "--replace-in: given 'here', there is prompt, negative, both"),
        (("--order", "modles"), "--order: given 'modles', did you mean models?"),
        (("--sample", "3"), "sample: of what? nothing varies"),
        (("--skip", "steps=3"), "skip: of what? nothing varies"),
        (("--sweep", CFG, "--skip", "steps"), "skip: given 'steps', expected NAME=VALUE"),
        (("--sweep", CFG, "--sample", "0"), "--sample: given 0"),
        (("--prompt", "a", "--compare-prompts"), "compare_prompts: given with 1 prompts"),
        (("--prompts", "all"), "prompts: given all without a pack"),
        (("--pack", "pets", "--prompts", "1-9"), "prompts: given 1-9, expected 1 to 3 (the"),
        (("--pack", "pets", "--prompts", "some"), "prompts: given 'some', expected all, or"),
        (
            ("--pack", "pets", "--prompts", "1", "--prompt-index", "2"),
            "prompt_index, prompts: both",
        ),
        (
            ("--prompt", "a", "--prompt", "b", "--set", "txt2img.prompt=c"),
            "--prompt, --set txt2img.prompt: both are given",
        ),
        (
            ("--pack", "pets", "--prompts", "all", "--set", "txt2img.prompt=c"),
            "--set txt2img.prompt: given with 3 prompts to vary",
        ),
    ],
)
def test_a_word_that_does_not_fit_is_one_line(
    pack: str, words: tuple[str, ...], expected: str
) -> None:
    (found,) = problems(*words)
    assert expected in found


def test_resuming_takes_the_plan_as_it_is() -> None:
    words = ("--sweep", CFG, "--with", "txt2img.steps=1,2,3", "--sample", "2", "--resume", "x")
    (found,) = problems(*words)
    assert found.startswith("--sample, --sweep, --with: --resume takes the plan as it is")
