"""More nodes, for workflows of all kinds, and a few workflows."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from stablenew.backends.comfyui.object_info import ObjectInfo, read_object_info
from stablenew.backends.comfyui.workflows.api_format import read_api_format
from stablenew.backends.comfyui.workflows.workflow import Workflow
from tests.comfyui.nodes import SEED, integer, new, number, object_info, old

CONDITIONING = ["CONDITIONING"]
SCALED_BY = {
    "key": "by size",
    "inputs": {"required": {"width": integer(512, 0, 16_384), "crop": new("no", "center")}},
}
MORE: dict[str, tuple[dict[str, Any], list[str]]] = {
    "PrimitiveInt": (
        {"value": integer(0, -(2**63), 2**63 - 1, control_after_generate="fixed")},
        ["INT"],
    ),
    "PrimitiveStringMultiline": ({"value": ["STRING", {"multiline": True}]}, ["STRING"]),
    "ConditioningZeroOut": ({"conditioning": CONDITIONING}, CONDITIONING),
    "ConditioningCombine": (
        {"conditioning_1": CONDITIONING, "conditioning_2": CONDITIONING},
        CONDITIONING,
    ),
    "FluxGuidance": (
        {"conditioning": CONDITIONING, "guidance": number(3.5, 0, 100)},
        CONDITIONING,
    ),
    "BasicGuider": ({"model": ["MODEL"], "conditioning": CONDITIONING}, ["GUIDER"]),
    "RandomNoise": ({"noise_seed": SEED}, ["NOISE"]),
    "SamplerCustomAdvanced": ({"noise": ["NOISE"], "guider": ["GUIDER"]}, ["LATENT"]),
    "ControlNetApplyAdvanced": (
        {
            "positive": CONDITIONING,
            "negative": CONDITIONING,
            "strength": number(1.0, 0, 10),
            "image": ["IMAGE"],
        },
        [*CONDITIONING, *CONDITIONING],
    ),
    "LoadImageMask": (
        {"image": [["example.png"], {"image_upload": True}], "channel": old("alpha", "red")},
        ["MASK"],
    ),
    "Resize": (
        {
            "input": ["IMAGE"],
            "how": [
                "COMFY_DYNAMICCOMBO_V3",
                {
                    "options": [
                        SCALED_BY,
                        {"key": "by factor", "inputs": {"required": {"factor": number(1, 0, 8)}}},
                    ]
                },
            ],
            "sharp": ["BOOLEAN", {"default": False}],
        },
        ["IMAGE"],
    ),
    "Efficient Loader": (
        {
            "ckpt_name": old("full-a.safetensors"),
            "positive": ["STRING", {"multiline": True}],
            "negative": ["STRING", {"multiline": True}],
        },
        ["MODEL", "CONDITIONING", "CONDITIONING", "LATENT", "VAE"],
    ),
}


def answer() -> dict[str, Any]:
    """Return what `/object_info` answers."""
    more = {
        name: {
            "input": {"required": required},
            "input_order": {"required": list(required)},
            "output": gives,
            "output_node": False,
            "display_name": name,
            "python_module": "nodes",
        }
        for name, (required, gives) in MORE.items()
    }
    return {**object_info(), **more}


@cache
def info() -> ObjectInfo:
    return read_object_info(json.dumps(answer()).encode())


def node(kind: str, title: str = "", **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": title or kind}}


def txt2img() -> dict[str, Any]:
    """Return the simplest workflow there is, in API format."""
    return {
        "3": node(
            "KSampler", seed=42, steps=20, cfg=8, sampler_name="euler", scheduler="normal",
            denoise=1, model=["4", 0], positive=["6", 0], negative=["7", 0], latent_image=["5", 0],
        ),
        "4": node("CheckpointLoaderSimple", "Load Checkpoint", ckpt_name="full-a.safetensors"),
        "5": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "6": node("CLIPTextEncode", "Positive prompt", text="a cat", clip=["4", 1]),
        "7": node("CLIPTextEncode", "CLIP Text Encode", text="blurry", clip=["4", 1]),
        "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        "9": node("SaveImage", filename_prefix="ComfyUI", images=["8", 0]),
    }  # fmt: skip


def two_passes() -> dict[str, Any]:
    """Return a workflow that draws a picture, saves it, enlarges it and saves it again."""
    first = txt2img()
    again = {**first["3"]["inputs"], "denoise": 0.5, "latent_image": ["10", 0], "seed": 7}
    return {
        **first,
        "10": node(
            "LatentUpscale", samples=["3", 0], upscale_method="area", width=128, height=128,
            crop="disabled",
        ),
        "11": node("KSampler", **again),
        "12": node("SaveImage", "Large", filename_prefix="large", images=["13", 0]),
        "13": node("VAEDecode", samples=["11", 0], vae=["4", 2]),
    }  # fmt: skip


def workflow(nodes: dict[str, Any] | None = None) -> Workflow:
    return read_api_format(txt2img() if nodes is None else nodes)
