"""What stable-diffusion.cpp's sd-server does otherwise than the others, as it was recorded."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tests.webui.pictures import png
from tests.webui.requests import Refusal

if TYPE_CHECKING:
    from tests.webui.generation import Generation
    from tests.webui.server import WebUI

SAMPLERS = (
    *("default", "euler", "euler_a", "heun", "dpm2", "dpm++2s_a", "dpm++2m", "dpm++2mv2"),
    *("ipndm", "ipndm_v", "lcm", "ddim_trailing", "tcd", "res_multistep", "res_2s", "er_sde"),
    *("euler_cfg_pp", "euler_a_cfg_pp", "euler_ge", "dpm++2m_sde", "dpm++2m_sde_bt", "lms"),
)
SCHEDULERS = (
    *("default", "discrete", "normal", "karras", "exponential", "ays", "gits", "sgm_uniform"),
    *("simple", "smoothstep", "kl_optimal", "lcm", "bong_tangent", "ltx2", "logit_normal"),
    *("flux2", "flux", "beta"),
)
UPSCALERS = ("None", "Lanczos", "Nearest")
_UNDERSTOOD = {"euler a": "euler_a", "k_euler_a": "euler_a", "ddim": "ddim_trailing"}
_LARGEST_SEED = 2**31 - 1
_MOST_STEPS = 100
_MULTIPLE = 64


def samplers() -> list[dict[str, object]]:
    return [{"name": name, "aliases": [name], "options": {}} for name in SAMPLERS]


def schedulers() -> list[dict[str, object]]:
    return [{"name": name, "label": name} for name in SCHEDULERS]


def upscalers() -> list[dict[str, object]]:
    keys = ("model_name", "model_path", "model_url")
    return [{"name": name, **dict.fromkeys(keys), "scale": 4} for name in UPSCALERS]


def models(webui: WebUI) -> list[dict[str, object]]:
    """Return the one that it was started with; the hash is the same for any."""
    return [
        {
            "title": webui.model,
            "model_name": webui.model,
            "filename": f"{webui.model}.safetensors",
            "hash": "8" * 10,
            "sha256": "8" * 64,
            "config": None,
        }
    ]


def options(webui: WebUI) -> dict[str, object]:
    return {"samples_format": "png", "sd_model_checkpoint": webui.model}


def refused(refusal: Refusal) -> tuple[int, dict[str, object]]:
    """Return an error in its shape; what is no JSON is like any other error."""
    if refusal.status == 400:
        return 400, {"error": refusal.says}
    if isinstance(refusal.says, list):
        says = f"[json.exception.parse_error.101] {refusal.says[0]['msg']}"
        return 500, {"error": "server_error", "message": says}
    return refusal.status, {"error": "server_error", "message": refusal.says}


async def run(made: Generation) -> object:
    """Make pictures: little is checked, an unknown name is ignored, nothing is told on the way."""
    body, webui = _checked(made.body), made.webui
    body = {**body, "steps": min(max(int(body.get("steps", 20)), 1), _MOST_STEPS)}
    made.body = body
    for _ in range(body["steps"]):
        await asyncio.sleep(webui.step_seconds)
    first = _seed(body)
    seeds = [first + index for index in range(body.get("batch_size", 1))]
    hires = made.kind == "txt2img" and bool(body.get("enable_hr"))
    scale = float(body.get("hr_scale") or 2.0) if hires else 1.0
    width, height = (int(_side(body, side) * scale) for side in ("width", "height"))
    texts = [_infotext(webui, body, seed, hires=hires) for seed in seeds]
    images = [
        png(width, height, seed, {"parameters": text})
        for seed, text in zip(seeds, texts, strict=True)
    ]
    return {
        "images": [base64.b64encode(image).decode() for image in images],
        "parameters": dict(body),
        "info": json.dumps(_info(made, seeds, texts)),
    }


def _checked(body: Any) -> Mapping[str, Any]:
    if body is None:
        raise Refusal(400, "", "empty body")
    if not isinstance(body, Mapping):
        says = "[json.exception.type_error.306] cannot use value() with array"
        raise Refusal(500, "X", says)
    for name in ("steps", "width", "height", "seed"):
        if isinstance(body.get(name), str):
            says = "[json.exception.type_error.302] type must be number, but is string"
            raise Refusal(500, "X", says)
    if min(body.get("width", 512), body.get("height", 512)) <= 0:
        raise Refusal(400, "", "width and height must be positive")
    if not body.get("prompt"):
        raise Refusal(400, "", "prompt required")
    return body


def _seed(body: Mapping[str, Any]) -> int:
    """Return the seed; in the place of one that is too large, a random one, without a word."""
    seed = int(body.get("seed", -1))
    return seed if 0 <= seed <= _LARGEST_SEED else random.randrange(_LARGEST_SEED)


def _side(body: Mapping[str, Any], name: str) -> int:
    return -(-int(body.get(name, 512)) // _MULTIPLE) * _MULTIPLE


def _named(body: Mapping[str, Any]) -> tuple[str, str]:
    """Return the sampler and the scheduler, "" where none is known."""
    sampler = str(body.get("sampler_name", ""))
    sampler = _UNDERSTOOD.get(sampler.lower(), sampler)
    scheduler = str(body.get("scheduler", ""))
    known = sampler if sampler in SAMPLERS[1:] else "NONE"
    return known, scheduler if scheduler in SCHEDULERS[1:] else ""


def _infotext(webui: WebUI, body: Mapping[str, Any], seed: int, *, hires: bool) -> str:
    sampler, scheduler = _named(body)
    pairs: dict[str, object] = {
        "Steps": body.get("steps", 20),
        "CFG scale": f"{float(body.get('cfg_scale', 7.0)):.6f}",
        "Guidance": "3.500000",
        "Eta": "inf",
        "Seed": seed,
        "Size": f"{_side(body, 'width')}x{_side(body, 'height')}",
        "Model": f"{webui.model}.safetensors",
        "RNG": "cuda",
        "Sampler": f"{sampler} {scheduler}".strip(),
    }
    if body.get("clip_skip", -1) > 0:
        pairs["Clip skip"] = body["clip_skip"]
    if hires:
        pairs |= {
            "Hires upscale": body.get("hr_upscaler", "Latent"),
            "Hires scale": f"{float(body.get('hr_scale', 2.0)):.6f}",
            "Hires resize": "0x0",
            "Hires steps": body.get("hr_steps", 0),
            "Denoising strength": f"{float(body.get('denoising_strength', 0.7)):.6f}",
        }
    pairs |= {"Version": webui.profile.version, "SDCPP": json.dumps({"seed": seed})}
    negative = body.get("negative_prompt")
    line = ", ".join(f"{label}: {value}" for label, value in pairs.items())
    lines = [body["prompt"], *([f"Negative prompt: {negative}"] if negative else []), line]
    return "\n".join(lines)


def _info(made: Generation, seeds: list[int], texts: list[str]) -> dict[str, object]:
    body, webui = made.body, made.webui
    sampler, scheduler = _named(body)
    info: dict[str, object] = {
        "prompt": body["prompt"],
        "all_prompts": [body["prompt"]] * len(seeds),
        "all_negative_prompts": [body.get("negative_prompt", "")] * len(seeds),
        "seed": seeds[0],
        "all_seeds": seeds,
        "cfg_scale": float(body.get("cfg_scale", 7.0)),
        "width": _side(body, "width"),
        "height": _side(body, "height"),
        "steps": body.get("steps", 20),
        "sampler_name": sampler,
        "sd_model_name": f"{webui.model}.safetensors",
        "version": webui.profile.version,
        "infotexts": texts,
    }
    if body.get("negative_prompt"):
        info["negative_prompt"] = body["negative_prompt"]
    if body.get("clip_skip", -1) > 0:
        info["clip_skip"] = body["clip_skip"]
    if scheduler:
        info["extra_generation_params"] = {"Schedule type": scheduler}
    if made.kind == "img2img":
        info["denoising_strength"] = body.get("denoising_strength", 0.75)
    return info
