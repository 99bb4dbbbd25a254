from __future__ import annotations

import attrs
import pytest

from stablenew.backends.embedded.capabilities import EMBEDDED_CAPABILITIES
from stablenew.backends.fake import FAKE_CAPABILITIES
from stablenew.config.pipeline_config import PipelineConfig
from stablenew.errors import ConfigError
from stablenew.pipeline.stage_plan import plan_stages
from tests.support import config


def problems(config: PipelineConfig, capabilities: object = FAKE_CAPABILITIES) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        plan_stages(config, capabilities)  # type: ignore[arg-type]
    return caught.value.problems


def test_stages_run_in_one_order_whatever_the_order_they_were_given_in() -> None:
    asked = config(upscale={}, adetailer={"ad_model": "face.pt"}, img2img={})
    plan = plan_stages(asked, FAKE_CAPABILITIES)
    assert plan.names == ("txt2img", "img2img", "adetailer", "upscale")


def test_what_is_not_given_is_the_backends_default() -> None:
    (stage,) = plan_stages(config(txt2img={"steps": 5}), FAKE_CAPABILITIES).stages
    assert stage.settings["steps"] == 5
    assert stage.settings["cfg_scale"] == 7.0
    assert stage.settings["sampler_name"] == "Euler"
    assert stage.settings["width"] == 512


def test_img2img_inherits_the_picture_and_how_it_was_sampled() -> None:
    txt2img = {
        "prompt": "a dog",
        "negative_prompt": "blurry",
        "seed": 9,
        "width": 640,
        "model": "other-model",
        "steps": 4,
        "cfg_scale": 3.5,
        "sampler_name": "Euler a",
        "scheduler": "Karras",
    }
    plan = plan_stages(config(txt2img=txt2img, img2img={}), FAKE_CAPABILITIES)
    settings = plan.stages[1].settings
    assert {name: settings[name] for name in txt2img} == txt2img
    assert settings["denoising_strength"] == 0.75


def test_what_img2img_says_itself_beats_what_it_inherits() -> None:
    plan = plan_stages(config(img2img={"prompt": "a fox", "steps": 7}), FAKE_CAPABILITIES)
    settings = plan.stages[1].settings
    assert (settings["prompt"], settings["steps"]) == ("a fox", 7)


def test_an_empty_plan_is_an_error() -> None:
    assert problems(config(txt2img={"enabled": False})) == (
        "stages: none is enabled, expected one of txt2img, img2img, adetailer, upscale",
    )


@pytest.mark.parametrize("stage", ["img2img", "adetailer", "upscale"])
def test_a_stage_without_an_image_to_work_on_is_an_error(stage: str) -> None:
    asked = config(txt2img={"enabled": False}, **{stage: {}})
    assert any(problem.startswith(f"{stage}: no image") for problem in problems(asked))


@pytest.mark.parametrize("prompt", [None, ""])
def test_none_and_empty_count_as_missing(prompt: str | None) -> None:
    (found,) = problems(PipelineConfig.from_dict({"txt2img": {"prompt": prompt}}))
    assert found.startswith("txt2img.prompt: missing")


def test_zero_and_false_do_not_count_as_missing() -> None:
    asked = config(txt2img={"cfg_scale": 0, "seed": 0}, img2img={"denoising_strength": 0})
    plan = plan_stages(asked, FAKE_CAPABILITIES)
    assert plan.stages[0].settings["cfg_scale"] == 0
    assert plan.stages[1].settings["denoising_strength"] == 0


def test_all_problems_come_at_once_with_path_value_and_the_nearest_names() -> None:
    asked = config(
        txt2img={"sampler_name": "euler", "scheduler": "Karas", "model": "fake-modl", "prompt": ""},
        adetailer={},
        upscale={"upscaler_1": "lanczos"},
    )
    found = dict(problem.split(": ", 1) for problem in problems(asked))
    assert found == {
        "txt2img.prompt": "missing, expected some text",
        "txt2img.sampler_name": "given 'euler', did you mean Euler or Euler a?",
        "txt2img.scheduler": "given 'Karas', did you mean Karras?",
        "txt2img.model": "given 'fake-modl', did you mean fake-model or other-model?",
        "adetailer.ad_model": "missing, expected a value",
        "upscale.upscaler_1": "given 'lanczos', did you mean Lanczos?",
    }


def test_a_backend_that_does_not_tell_its_names_is_not_second_guessed() -> None:
    silent = attrs.evolve(FAKE_CAPABILITIES, samplers=(), models=())
    plan = plan_stages(config(txt2img={"sampler_name": "whatever", "model": "any"}), silent)
    assert plan.stages[0].settings["sampler_name"] == "whatever"


def test_the_embedded_backend_says_what_it_has() -> None:
    asked = config(
        txt2img={"width": 512, "height": 512, "enable_hr": True, "refiner_checkpoint": "x"},
        adetailer={"ad_model": "face.pt"},
    )
    found = problems(asked, EMBEDDED_CAPABILITIES)
    assert "adetailer: the embedded backend has no such stage" in "\n".join(found)
    assert "it has txt2img, img2img, upscale" in "\n".join(found)
    text = "\n".join(found)
    assert "txt2img.enable_hr: given True, but the embedded backend has no such setting" in text
    assert "txt2img.refiner_checkpoint: given 'x'" in text
    assert "given 512x512, the embedded backend makes 64x64" in text


def test_one_side_of_a_size_is_checked_with_the_other_inherited() -> None:
    (found,) = problems(config(img2img={"width": 128}), EMBEDDED_CAPABILITIES)
    assert found.startswith("img2img.width, img2img.height: given 128x64")


def test_what_is_turned_off_by_hand_needs_no_backend_that_has_it() -> None:
    plan = plan_stages(config(txt2img={"enable_hr": False}), EMBEDDED_CAPABILITIES)
    assert plan.names == ("txt2img",)


def test_a_size_to_upscale_to_is_not_ignored() -> None:
    asked = config(upscale={"upscaling_resize_w": 100})
    plan = plan_stages(asked, EMBEDDED_CAPABILITIES)
    assert plan.stages[1].settings["resize_mode"] == 1


def test_planning_is_pure() -> None:
    asked = config(img2img={})
    assert plan_stages(asked, FAKE_CAPABILITIES) == plan_stages(asked, FAKE_CAPABILITIES)


WEBUI_LIKE = attrs.evolve(
    FAKE_CAPABILITIES,
    stages={
        **FAKE_CAPABILITIES.stages,
        "txt2img": {
            **FAKE_CAPABILITIES.stages["txt2img"],
            **dict.fromkeys(("enable_hr", "denoising_strength", "hr_upscaler")),
            **dict.fromkeys(("refiner_checkpoint", "refiner_switch_at")),
        },
        "adetailer": {
            **FAKE_CAPABILITIES.stages["adetailer"],
            **dict.fromkeys(("ad_steps", "ad_sampler")),
        },
        "upscale": {
            **FAKE_CAPABILITIES.stages["upscale"],
            **dict.fromkeys(("upscale_mode", "denoising_strength", "prompt", "steps")),
        },
    },
    choices={"upscale_mode": ("extras", "img2img"), "ad_model": ("face.pt",)},
    aliases={"sampler_name": {"k_euler_a": "Euler a", "euler a": "Euler a"}},
)


@pytest.mark.parametrize("spelling", ["Euler a", "EULER A", "k_euler_a", "K_Euler_A"])
def test_a_name_is_spelled_as_the_backend_spells_it(spelling: str) -> None:
    (stage,) = plan_stages(config(txt2img={"sampler_name": spelling}), WEBUI_LIKE).stages
    assert stage.settings["sampler_name"] == "Euler a"


def test_what_a_backend_lists_for_any_setting_is_checked() -> None:
    (said,) = problems(config(adetailer={"ad_model": "fase.pt"}), WEBUI_LIKE)
    assert said == "adetailer.ad_model: given 'fase.pt', did you mean face.pt?"


def test_hires_fix_and_refiner_get_what_they_need_beside_them() -> None:
    asked = {"enable_hr": True, "refiner_checkpoint": "other-model"}
    (stage,) = plan_stages(config(txt2img=asked), WEBUI_LIKE).stages
    assert stage.settings["denoising_strength"] == 0.75
    assert stage.settings["hr_upscaler"] == "Latent"
    assert stage.settings["refiner_switch_at"] == 0.8
    (plain,) = plan_stages(config(txt2img={"enable_hr": False}), WEBUI_LIKE).stages
    assert plain.settings["denoising_strength"] is None


def test_adetailer_samples_as_txt2img_does_unless_it_is_told_otherwise() -> None:
    asked = config(txt2img={"steps": 9}, adetailer={"ad_model": "face.pt", "ad_sampler": "Euler a"})
    stage = plan_stages(asked, WEBUI_LIKE).stages[1]
    assert (stage.settings["ad_steps"], stage.settings["ad_sampler"]) == (9, "Euler a")


def test_upscaling_by_img2img_samples_as_txt2img_does_and_needs_no_upscaler() -> None:
    asked = config(txt2img={"steps": 9}, upscale={"upscale_mode": "img2img", "upscaler_1": None})
    settings = plan_stages(asked, WEBUI_LIKE).stages[1].settings
    assert (settings["steps"], settings["prompt"]) == (9, "a cat")
    assert settings["denoising_strength"] == 0.2
    by_upscaler = plan_stages(config(upscale={"upscaler_1": "Lanczos"}), WEBUI_LIKE).stages[1]
    assert by_upscaler.settings["steps"] is None


def test_a_sampler_with_its_scheduler_in_its_name_is_taken_apart_in_the_hint() -> None:
    (said,) = problems(config(txt2img={"sampler_name": "DPM++ 2M Karras"}))
    assert said.endswith("expected sampler_name='DPM++ 2M' with scheduler='Karras'")


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("<lora:film:x>", "given '<lora:film:x>', expected a number as its weight"),
        ("<LORA:film:1>", "given '<LORA:film:1>', which is no tag; expected <lora:film:1>"),
        ("<lora:film:1", "given '<lora:film:1', which no '>' ends; expected <lora:NAME:WEIGHT>"),
    ],
)
def test_a_tag_that_a_server_passes_over_in_silence_is_a_problem(tag: str, said: str) -> None:
    films = attrs.evolve(FAKE_CAPABILITIES, files={"lora": {"film": ""}})
    assert problems(config(txt2img={"prompt": f"a cat {tag}"}), films) == (
        f"txt2img.prompt: {said}",
    )


@pytest.mark.parametrize(
    "tag", ["<lora:film:1>", "<lora:film:-.5:0.3>", "<lora:film>", "<lora:film:te=1>", "a < b"]
)
def test_a_tag_that_a_server_takes_is_none(tag: str) -> None:
    films = attrs.evolve(FAKE_CAPABILITIES, files={"lora": {"film": ""}})
    assert plan_stages(config(txt2img={"prompt": f"a cat {tag}"}), films).stages
