"""A stage's settings become the graph that makes what AUTOMATIC1111 would make of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stablenew.backends.base import StageRequest
from stablenew.backends.comfyui.graph import loaders_of
from stablenew.backends.comfyui.server import Server
from stablenew.backends.comfyui.stage_graphs import Source, StageGraph, build_graph, img2img_steps
from stablenew.config.pipeline_config import PipelineConfig, Setting
from stablenew.errors import BackendProtocolError
from stablenew.pipeline.stage_plan import plan_stages
from tests.comfyui.nodes import object_info
from tests.comfyui.test_capabilities import capabilities, info
from tests.comfyui.validation import node_errors

SMALL = {"prompt": "a cat", "negative_prompt": "dog", "seed": 7, "steps": 4, "cfg_scale": 7.0}
SIZED = {**SMALL, "width": 64, "height": 64}
SOURCE = Source(name="stablenew/0.png", size=(100, 80))


def drawn(stage: str = "txt2img", source: Source | None = None, **settings: Setting) -> StageGraph:
    config: dict[str, Any] = {"txt2img": {**SIZED}}
    config[stage] = {**config.get(stage, {}), "enabled": True, **settings}
    plan = plan_stages(PipelineConfig.from_dict(config), capabilities())
    request = StageRequest(request_id="r", stage=stage, settings=plan.stages[-1].settings)
    return build_graph(request, Server(version="0.33.0", info=info()), source)


def inputs(graph: StageGraph, name: str) -> dict[str, Any]:
    found = graph.nodes[name]["inputs"]
    assert isinstance(found, dict)
    return found


def test_txt2img() -> None:
    graph = drawn()
    assert {name: node["class_type"] for name, node in graph.nodes.items()} == {
        "model": "CheckpointLoaderSimple",
        "positive": "CLIPTextEncode",
        "negative": "CLIPTextEncode",
        "latent": "EmptyLatentImage",
        "sampler": "KSampler",
        "decode": "VAEDecode",
        "picture": "PreviewImage",
    }
    assert inputs(graph, "sampler") == {
        "model": ("model", 0),
        "positive": ("positive", 0),
        "negative": ("negative", 0),
        "latent_image": ("latent", 0),
        "seed": 7,
        "steps": 4,
        "cfg": 7.0,
        "denoise": 1.0,
        "sampler_name": "euler",
        "scheduler": "normal",
    }
    assert inputs(graph, "decode")["vae"] == ("model", 2)
    assert (graph.size, graph.steps) == ((64, 64), {"sampler": 4})


def test_model_vae_clip_skip_and_loras() -> None:
    graph = drawn(
        prompt="a cat<lora:film:0.8:0.5><lora:styles/grain:1>",
        model="full-b",
        vae="vae-a",
        clip_skip=2,
    )
    assert inputs(graph, "model")["ckpt_name"] == "sd15/full-b.safetensors"
    assert inputs(graph, "lora") == {
        "model": ("model", 0),
        "clip": ("model", 1),
        "lora_name": "Film.safetensors",
        "strength_clip": 0.8,
        "strength_model": 0.5,
    }
    assert inputs(graph, "lora 2")["clip"] == ("lora", 1)
    assert inputs(graph, "clip") == {"clip": ("lora 2", 1), "stop_at_clip_layer": -2}
    assert inputs(graph, "positive") == {"clip": ("clip", 0), "text": "a cat"}
    assert inputs(graph, "sampler")["model"] == ("lora 2", 0)
    assert inputs(graph, "decode")["vae"] == ("vae", 0)


@pytest.mark.parametrize(
    ("sampler", "scheduler", "expected"),
    [
        ("DPM++ 2M", "Automatic", ("dpmpp_2m", "karras")),
        ("DPM++ 3M SDE", "Automatic", ("dpmpp_3m_sde", "exponential")),
        ("DDIM", "Automatic", ("ddim", "ddim_uniform")),
        ("Euler a", "Uniform", ("euler_ancestral", "normal")),
        ("heunpp2", "Beta", ("heunpp2", "beta")),
    ],
)
def test_samplers_and_schedulers(sampler: str, scheduler: str, expected: tuple[str, str]) -> None:
    node = inputs(drawn(sampler_name=sampler, scheduler=scheduler), "sampler")
    assert (node["sampler_name"], node["scheduler"]) == expected


def test_hires_fix_in_latent_space_makes_all_its_steps() -> None:
    graph = drawn(enable_hr=True, hr_scale=1.5, denoising_strength=0.5, hr_second_pass_steps=3)
    assert inputs(graph, "enlarge") == {
        "samples": ("sampler", 0),
        "upscale_method": "bilinear",
        "crop": "disabled",
        "width": 96,
        "height": 96,
    }
    hires = inputs(graph, "hires")
    assert (hires["steps"], hires["start_at_step"]) == (6, 3)
    assert hires["add_noise"] == "enable"
    assert graph.steps == {"sampler": 4, "hires": 3}
    assert graph.size == (96, 96)


def test_hires_fix_by_an_upscaler_has_prompts_and_a_sampler_of_its_own() -> None:
    graph = drawn(
        enable_hr=True,
        hr_upscaler="4x-UltraSharp",
        hr_resize_x=96,
        hr_resize_y=80,
        hr_prompt="a lion<lora:film:1>",
        hr_sampler_name="DPM++ 2M",
        denoising_strength=0.5,
    )
    assert inputs(graph, "upscaler")["model_name"] == "4x-UltraSharp.pth"
    assert inputs(graph, "scale")["crop"] == "center"
    assert inputs(graph, "encode")["pixels"] == ("scale", 0)
    hires = inputs(graph, "hires")
    assert (hires["sampler_name"], hires["scheduler"]) == ("dpmpp_2m", "karras")
    assert inputs(graph, hires["positive"][0])["text"] == "a lion"
    assert hires["model"] == ("lora", 0)
    assert inputs(graph, "sampler")["model"] == ("model", 0)


def test_a_refiner_takes_over() -> None:
    graph = drawn(steps=10, refiner_checkpoint="refiner", refiner_switch_at=0.8)
    first, second = inputs(graph, "sampler"), inputs(graph, "refiner")
    assert (first["start_at_step"], first["end_at_step"]) == (0, 8)
    assert (first["add_noise"], first["return_with_leftover_noise"]) == ("enable", "enable")
    assert (second["start_at_step"], second["add_noise"]) == (8, "disable")
    assert second["return_with_leftover_noise"] == "disable"
    assert second["model"] == ("model 2", 0)
    assert inputs(graph, "model 2")["ckpt_name"] == "sdxl/refiner.safetensors"
    assert graph.steps == {"sampler": 8, "refiner": 2}


def test_a_refiner_takes_over_by_the_noise_that_is_left() -> None:
    graph = drawn(steps=20, scheduler="Karras", refiner_checkpoint="refiner", refiner_switch_at=0.8)
    assert graph.steps == {"sampler": 12, "refiner": 8}


def test_with_hires_fix_the_refiner_has_the_second_pass() -> None:
    graph = drawn(
        steps=10, refiner_checkpoint="refiner", enable_hr=True, denoising_strength=0.5, hr_scale=2
    )
    assert graph.nodes["sampler"]["class_type"] == "KSampler"
    assert inputs(graph, "hires")["end_at_step"] == inputs(graph, "refiner")["start_at_step"] == 16
    assert graph.steps == {"sampler": 10, "hires": 6, "refiner": 4}


@pytest.mark.parametrize(
    ("steps", "strength", "made"),
    [(20, 0.75, 16), (8, 0.5, 5), (20, 1.0, 20), (20, 0.0, 1), (1, 0.4, 1)],
)
def test_img2img_makes_as_many_steps_as_automatic1111(
    steps: int, strength: float, made: int
) -> None:
    assert img2img_steps(steps, strength) == made
    graph = drawn("img2img", SOURCE, steps=steps, denoising_strength=strength)
    assert graph.steps == {"sampler": made}


def test_img2img() -> None:
    graph = drawn("img2img", SOURCE, steps=8, denoising_strength=0.5, resize_mode=1)
    assert inputs(graph, "image") == {"image": "stablenew/0.png"}
    assert inputs(graph, "scale") == {
        "image": ("image", 0),
        "upscale_method": "lanczos",
        "crop": "center",
        "width": 64,
        "height": 64,
    }
    sampler = inputs(graph, "sampler")
    assert (sampler["steps"], sampler["start_at_step"]) == (8, 3)
    assert sampler["latent_image"] == ("encode", 0)
    sized = Source(name="x.png", size=(64, 64))
    assert "scale" not in drawn("img2img", sized, denoising_strength=0.5).nodes


def test_upscaling_by_a_model_and_another_one_over_it() -> None:
    graph = drawn(
        "upscale",
        SOURCE,
        upscaler_1="4x-UltraSharp",
        upscaling_resize=1.5,
        upscaler_2="Nearest",
        extras_upscaler_2_visibility=0.25,
    )
    assert graph.size == (144, 120)
    assert inputs(graph, "enlarge")["image"] == ("image", 0)
    assert inputs(graph, "scale")["image"] == ("enlarge", 0)
    assert inputs(graph, "scale 2")["upscale_method"] == "nearest-exact"
    blend = inputs(graph, "blend")
    assert (blend["image1"], blend["image2"]) == (("scale", 0), ("scale 2", 0))
    assert inputs(graph, "picture") == {"images": ("blend", 0)}
    assert "model" not in graph.nodes


def test_upscaling_by_img2img_samples_with_the_settings_of_txt2img() -> None:
    graph = drawn("upscale", SOURCE, upscale_mode="img2img", upscaling_resize=2.0)
    assert graph.size == (200, 160)
    assert inputs(graph, "sampler")["start_at_step"] == 3  # of 4, at a strength of 0.2
    assert inputs(graph, "positive")["text"] == "a cat"


def test_adetailer_finds_and_draws_anew() -> None:
    graph = drawn("adetailer", SOURCE, ad_model="person_yolov8m-seg", ad_prompt="a face")
    node = inputs(graph, "detailer")
    assert node["bbox_detector"] == ("detector", 0)
    assert node["segm_detector_opt"] == ("detector", 1)
    assert node["steps"] == 2
    assert (node["bbox_threshold"], node["guide_size"], node["noise_mask"]) == (0.3, 512, True)
    assert inputs(graph, node["positive"][0])["text"] == "a face"
    assert inputs(graph, node["negative"][0])["text"] == "dog"
    assert graph.detailer == "detailer"
    assert "segm_detector_opt" not in inputs(
        drawn("adetailer", SOURCE, ad_model="face_yolov8n"), "detailer"
    )


@pytest.mark.parametrize(
    ("stage", "settings"),
    [
        ("txt2img", {"prompt": "a<lora:film:1><lora:grain:0.5>", "vae": "vae-a", "clip_skip": 2}),
        ("txt2img", {"enable_hr": True, "refiner_checkpoint": "refiner"}),
        ("txt2img", {"enable_hr": True, "hr_upscaler": "4x-UltraSharp", "hr_prompt": "b"}),
        ("img2img", {"denoising_strength": 0.5, "resize_mode": 1, "seed": 2**63 - 1}),
        ("adetailer", {"ad_model": "person_yolov8m-seg"}),
        ("upscale", {"upscale_mode": "img2img"}),
        (
            "upscale",
            {"upscaler_1": "None", "upscaler_2": "bicubic", "extras_upscaler_2_visibility": 1.0},
        ),
    ],
)
def test_every_graph_is_one_that_the_server_takes(stage: str, settings: dict[str, Any]) -> None:
    source = None if stage == "txt2img" else SOURCE
    sent = json.loads(json.dumps(drawn(stage, source, **settings).nodes))
    assert node_errors(sent, "picture", object_info(), lambda name: name == SOURCE.name) == {}


@pytest.mark.parametrize("strength", [0.1, 0.3, 0.7, 0.9])
def test_a_detector_draws_with_as_many_steps_as_are_asked_for(strength: float) -> None:
    """The node makes `int(steps / denoise)` of what it is given, which by rounding may miss."""
    for steps in range(1, 60, 3):
        settings = {"ad_steps": steps, "ad_denoising_strength": strength}
        node = inputs(drawn("adetailer", SOURCE, ad_model="face_yolov8n", **settings), "detailer")
        assert node["steps"] == img2img_steps(steps, strength)
        assert int(node["steps"] / node["denoise"]) == steps


def test_what_loads_is_kept_under_other_names() -> None:
    kept = loaders_of(drawn(prompt="a cat<lora:film:1>").nodes, "kept ")
    assert set(kept) == {"kept model", "kept lora", "kept positive", "kept negative"}
    assert kept["kept positive"]["inputs"] == {"clip": ("kept lora", 1), "text": "a cat"}


def test_a_stage_without_a_picture_to_start_from_is_refused() -> None:
    with pytest.raises(BackendProtocolError, match="no picture"):
        drawn("img2img", denoising_strength=0.5)
