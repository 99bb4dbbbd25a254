"""What a server can do is read from its nodes, and what it cannot is said by the plan."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stablenew.backends.base import Capabilities
from stablenew.backends.comfyui import file_names
from stablenew.backends.comfyui.capabilities import describe
from stablenew.backends.comfyui.object_info import ObjectInfo, read_object_info
from stablenew.backends.comfyui.server import Server, embedding_words
from stablenew.config.pipeline_config import PipelineConfig
from stablenew.errors import BackendProtocolError, ConfigError
from stablenew.pipeline.stage_plan import plan_stages
from tests.comfyui.nodes import LORAS, object_info


def info(**how: Any) -> ObjectInfo:
    return read_object_info(json.dumps(object_info(**how)).encode())


def capabilities(**how: Any) -> Capabilities:
    return describe(Server(version="0.33.0", info=info(**how)))


def planned(stage: str = "txt2img", **settings: object) -> dict[str, object]:
    config: dict[str, Any] = {"txt2img": {"prompt": "a cat"}}
    config[stage] = {**config.get(stage, {}), "enabled": True, **settings}
    plan = plan_stages(PipelineConfig.from_dict(config), capabilities())
    return dict(plan.stages[-1].settings)


def refused(stage: str = "txt2img", **settings: object) -> str:
    with pytest.raises(ConfigError) as caught:
        planned(stage, **settings)
    return str(caught.value)


def test_both_shapes_of_an_enumeration_are_read() -> None:
    assert info().choices("CheckpointLoaderSimple", "ckpt_name")[0] == "full-a.safetensors"
    assert "4x-UltraSharp.pth" in info().choices("UpscaleModelLoader", "model_name")
    assert info()["KSampler"].inputs["steps"].high == 10_000
    assert info()["KSampler"].inputs["seed"].is_seed
    assert not info()["KSampler"].inputs["model"].literal


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"KSampler": 5}', b"\xff"])
def test_what_is_no_list_of_nodes_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(BackendProtocolError, match="object_info"):
        read_object_info(body)["KSampler"]


def test_the_defaults_are_those_of_the_page() -> None:
    settings = planned()
    assert (settings["steps"], settings["cfg_scale"], settings["width"]) == (20, 8.0, 512)
    assert settings["model"] == "full-a.safetensors"
    assert (settings["sampler_name"], settings["scheduler"]) == ("Euler", "Automatic")


@pytest.mark.parametrize(
    ("setting", "given", "expected"),
    [
        ("sampler_name", "euler a", "Euler a"),
        ("sampler_name", "euler_ancestral", "Euler a"),
        ("sampler_name", "k_dpmpp_2m", "DPM++ 2M"),
        ("sampler_name", "heunpp2", "heunpp2"),
        ("scheduler", "karras", "Karras"),
        ("scheduler", "normal", "Normal"),
        ("scheduler", "linear_quadratic", "linear_quadratic"),
        ("model", "FULL-B", "sd15/full-b.safetensors"),
        ("model", "sd15\\full-b.safetensors", "sd15/full-b.safetensors"),
        ("model", "sd15_full-b", "sd15/full-b.safetensors"),
        ("vae", "vae-b", "vae-b.safetensors"),
        ("vae", "None", "Automatic"),
    ],
)
def test_names_are_taken_as_other_servers_have_them(
    setting: str, given: str, expected: str
) -> None:
    assert planned(**{setting: given})[setting] == expected


def test_an_upscaler_is_known_by_the_name_that_it_has_elsewhere() -> None:
    assert planned("upscale", upscaler_1="R-ESRGAN 4x+")["upscaler_1"] == "RealESRGAN_x4plus.pth"
    assert planned("upscale", upscaler_1="4x-ultrasharp")["upscaler_1"] == "4x-UltraSharp.pth"
    assert planned("adetailer", ad_model="face_yolov8n.pt")["ad_model"] == "bbox/face_yolov8n.pt"


@pytest.mark.parametrize(
    ("stage", "settings", "said"),
    [
        ("txt2img", {"sampler_name": "Restart"}, "txt2img.sampler_name: given 'Restart'"),
        ("txt2img", {"sampler_name": "PLMS"}, "txt2img.sampler_name: given 'PLMS'"),
        ("txt2img", {"scheduler": "Align Your Steps"}, "txt2img.scheduler"),
        ("txt2img", {"model": "nope"}, "txt2img.model: given 'nope'"),
        ("txt2img", {"subseed": 5}, "txt2img.subseed: given 5, but the comfyui backend"),
        ("txt2img", {"cfg_scale": 200}, "txt2img.cfg_scale: given 200"),
        ("txt2img", {"width": 8}, "txt2img.width: given 8"),
        ("txt2img", {"prompt": "a BREAK b"}, "txt2img.prompt: given 'BREAK'"),
        ("txt2img", {"prompt": "a [b:c:.5]"}, "given '[b:c:.5]' ([from:to:when])"),
        ("txt2img", {"negative_prompt": "<lora:Film:1>"}, "txt2img.negative_prompt"),
        ("txt2img", {"prompt": "(a:1.2.3)"}, "a weight is no number"),
        ("txt2img", {"prompt": "a <lora:nope:1>"}, "no such LoRA"),
        ("txt2img", {"enable_hr": True, "hr_upscaler": "Latent (antialiased)"}, "hr_upscaler"),
        ("img2img", {"denoising_strength": 0.5, "resize_mode": 2}, "img2img.resize_mode: given 2"),
        ("adetailer", {"ad_model": "face_yolov8n", "ad_mask_k": 2}, "adetailer.ad_mask_k"),
        ("upscale", {"upscaler_1": "Lanczos", "gfpgan_visibility": 0.5}, "gfpgan_visibility"),
    ],
)
def test_what_has_no_counterpart_is_an_error_of_the_plan(
    stage: str, settings: dict[str, object], said: str
) -> None:
    assert said in refused(stage, **settings)


def test_other_backends_take_what_this_one_does_not() -> None:
    other = Capabilities(backend="other", stages={"txt2img": {"prompt": None, "cfg_scale": 7.0}})
    config = PipelineConfig.from_dict({"txt2img": {"prompt": "a BREAK b", "cfg_scale": 200}})
    assert plan_stages(config, other).stages


def test_on_windows_a_folder_is_named_with_either_slash() -> None:
    told = json.loads(json.dumps(object_info()).replace("sd15/full-b", r"sd15\\full-b"))
    server = Server(version="0.33.0", info=read_object_info(json.dumps(told).encode()))
    windows = describe(server)
    named = [windows.spelled("model", each) for each in ("full-b", "sd15/full-b", r"SD15\full-b")]
    assert named == [r"sd15\full-b.safetensors"] * 3
    assert named[0] in windows.models


def test_a_name_of_two_files_is_none_without_its_folder() -> None:
    spelled = file_names.spellings(LORAS)
    assert "same" not in spelled
    assert spelled["old/same"] == "old/same.pt"
    assert capabilities().choices["lora"] == ("Film", "grain", "old/same.pt", "new/same.pt")


def test_adetailer_is_there_where_its_nodes_are() -> None:
    assert "adetailer" in capabilities().stages
    assert "adetailer" not in capabilities(detailer=False).stages


def test_an_embedding_is_known_by_its_file() -> None:
    listed = ["EasyNegative", "neg\\bad hands", "v1.5"]
    assert embedding_words(listed) == {"easynegative": "EasyNegative", "v1.5": "v1.5"}
    assert embedding_words(None) == {}
