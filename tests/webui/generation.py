"""How a server makes a picture: the queue, the steps, the interrupts, and what it says it did."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from tests.webui import sdcpp, sdnext
from tests.webui.pictures import converted, opened, png
from tests.webui.requests import Asked, Refusal, complaints, http
from tests.webui.shelf import vae_info

if TYPE_CHECKING:
    from tests.webui.server import WebUI

Reply = tuple[int, object]


@attrs.define(eq=False)
class Generation:
    """One request on its way through a server."""

    webui: WebUI
    asked: Asked | None
    body: Mapping[str, Any]
    kind: str
    owner: str
    model: str = ""
    clip_skip: int = 1
    vae: Mapping[str, str | None] = attrs.field(factory=dict)
    files: Mapping[str, str] = attrs.field(factory=dict)
    half_done: bool = False
    first_pass_only: bool = False


async def generate(made: Generation) -> Reply:
    """Queue a request, run it, and answer."""
    from tests.webui.server import Job

    webui = made.webui
    task = str(made.body.get("force_task_id") or id(made)) if webui.profile.ui else str(id(made))
    _check_images(made)
    webui.tasks[task] = "queued"
    async with webui._queue:
        await asyncio.sleep(webui.begin_delay)
        for other, told in webui.tasks.items():
            webui.tasks[other] = "gone" if told == "failed" else told
        webui.tasks[task] = "active"
        if not webui.profile.sdnext:
            webui.state.begin(f"scripts_{made.kind}")
        job = webui.running = Job(made.owner, made.kind, made.body, time.monotonic())
        webui.jobs.append(job)
        try:
            answer = await _run(made)
            webui.tasks[task] = "completed"
        except BaseException:
            webui.tasks[task] = "failed"
            raise
        finally:
            if not webui.profile.sdnext:
                webui.state.end()
            job.ended = time.monotonic()
            webui.running = None
    return 200, answer


def _check_images(made: Generation) -> None:
    if made.kind == "txt2img" or made.asked is None:
        return
    images = made.asked["init_images"]
    if any(str(each).startswith("http") for each in images):
        raise http(500, "Request to local resource not allowed")
    for each in [*images, *([made.asked["mask"]] if made.asked["mask"] else [])]:
        opened(each)
    if not images:
        says = "Expected 3D (unbatched) or 4D (batched) input to conv2d, but got input of size: [0]"
        raise Refusal(500, "RuntimeError", says)


async def _run(made: Generation) -> object:
    webui = made.webui
    if webui.fail_with:
        raise webui.fail_with
    if made.asked is None:
        return await sdcpp.run(made)
    if webui.profile.sdnext:
        return await sdnext.run(made)
    asked = made.asked
    restored = _override(made)
    try:
        if not isinstance(webui.options["CLIP_stop_at_last_layers"], int | float):
            raise Refusal(500, "TypeError", "bad operand type for unary -: 'str'")
        for complaint in complaints(asked):
            raise complaint
        images = await _images(made)
    finally:
        webui.options |= restored
        webui.model = webui.find_model(webui.options["sd_model_checkpoint"]) or webui.model
    return _answer(made, images)


def _override(made: Generation) -> dict[str, Any]:
    """Apply the options of one request; return what is restored, which is not all."""
    webui = made.webui
    assert made.asked is not None
    overrides = made.asked["override_settings"] or {}
    restored = {}
    for key, value in overrides.items():
        if key not in webui.options:
            raise Refusal(500, "KeyError", repr(key))
        if key == "sd_model_checkpoint":
            restored[key] = webui.options[key]
            value = webui.title(webui.find_model(value) or webui.model)  # unknown: no word
        elif key == "forge_additional_modules" and webui.options[key] == value:
            continue
        elif key in webui.saved_options:
            restored[key] = webui.options[key]
        if key == "forge_additional_modules":
            value = webui.shelf.module_files(value)
        webui.saved_options.add(key)  # from now on it is there to be restored
        webui.options[key] = value
    if not made.asked["override_settings_restore_afterwards"]:
        restored = {k: v for k, v in restored.items() if k == "sd_model_checkpoint"}
    made.model = webui.find_model(webui.options["sd_model_checkpoint"]) or webui.model
    layers = webui.options["CLIP_stop_at_last_layers"]
    made.clip_skip = int(layers) if isinstance(layers, float) else layers
    made.vae = vae_info(webui)
    made.files = webui.shelf.pairs(str(made.asked["prompt"]), webui.options)
    return restored


async def _images(made: Generation) -> int:
    """Go through the passes; return how many pictures there are in the end."""
    asked, webui = made.asked, made.webui
    assert asked is not None
    if made.model != webui.model:
        await asyncio.sleep(webui.load_seconds)
    hires = bool(asked.fields.get("enable_hr"))
    passes = 2 if hires else 1
    webui.state.job_count = asked["n_iter"] * passes
    done = 0
    for _ in range(asked["n_iter"]):
        if webui.state.interrupted:
            break
        steps = 1 if asked.skip_img2img else asked["steps"]
        done += asked["batch_size"]
        if not await _sample(made, steps):
            made.first_pass_only = hires
            if webui.state.interrupted:
                break
            continue
        if hires and not await _sample(made, asked["hr_second_pass_steps"] or steps):
            break
    for tab in asked.tabs:
        webui.state.job_count += 2  # progress goes back
        if not webui.state.interrupted:
            await _sample(made, tab.get("ad_steps", asked["steps"]))
    return done


async def _sample(made: Generation, steps: int) -> bool:
    """Go through the steps of a pass; False if somebody stopped it."""
    webui = made.webui
    webui.state.sampling_step = 0
    for step in range(steps):
        if step == webui.hang_at_step:
            webui.hang_at_step = None
            await webui.interrupted()
        if webui.state.interrupted or webui.state.skipped:
            made.half_done = True
            webui.state.skipped = False
            return False
        await asyncio.sleep(webui.step_seconds)
        webui.state.sampling_steps = steps
        webui.state.sampling_step = step + 1
    webui.state.job_no += 1
    webui.state.sampling_step = 0
    return True


def _answer(made: Generation, count: int) -> object:
    asked, webui = made.asked, made.webui
    assert asked is not None
    width, height = _size(made)
    infotexts = [_infotext(made, index) for index in range(count)]
    seeds = [_seed(asked) + index for index in range(count)]
    plain = webui.options["enable_pnginfo"] is False
    images = []
    for seed, text in zip(seeds, infotexts, strict=True):
        chunk = {} if plain else {"parameters": text}
        data = webui.picture_bytes or png(width, height, seed, chunk, half_done=made.half_done)
        kind = webui.options["samples_format"]
        if kind in ("jpg", "webp"):
            data = converted(data, {"jpg": "JPEG", "webp": "WEBP"}[kind], text)
        images.append(base64.b64encode(data).decode())
    grid = asked["save_images"] and count > 1 and webui.options["return_grid"]
    if grid:
        sheet = png(width * count, height, 0, {"parameters": infotexts[0]})
        images.insert(0, base64.b64encode(sheet).decode())
        infotexts.insert(0, infotexts[0])
    echo = dict(asked.fields)
    if made.kind == "img2img" and not asked["include_init_images"]:
        echo |= {"init_images": None, "mask": None}
    return {
        "images": images if asked["send_images"] and not webui.without_pictures else [],
        "parameters": echo,
        "info": json.dumps(_info(made, seeds, infotexts, int(grid))),
    }


def _info(made: Generation, seeds: list[int], infotexts: list[str], first: int) -> dict[str, Any]:
    asked, webui = made.asked, made.webui
    assert asked is not None
    steps, sampler = asked["steps"], asked.sampler
    width, height = asked["width"], asked["height"]
    if asked.skip_img2img:
        steps, sampler, width, height = 1, "Euler", 128, 128
    return {
        "prompt": asked["prompt"],
        "all_prompts": [asked["prompt"]] * len(seeds),
        "negative_prompt": asked["negative_prompt"],
        "all_negative_prompts": [asked["negative_prompt"]] * len(seeds),
        "seed": seeds[0],
        "all_seeds": seeds,
        "subseed": asked["subseed"],
        "all_subseeds": [asked["subseed"]] * len(seeds),
        "subseed_strength": asked["subseed_strength"],
        "width": width,
        "height": height,
        "sampler_name": sampler,
        "cfg_scale": asked["cfg_scale"],
        "steps": steps,
        "batch_size": asked["batch_size"],
        "restore_faces": False,
        "face_restoration_model": None,
        "sd_model_name": made.model,
        "sd_model_hash": None,
        **made.vae,
        "seed_resize_from_w": -1,
        "seed_resize_from_h": -1,
        "denoising_strength": asked["denoising_strength"],
        "extra_generation_params": {},
        "index_of_first_image": first,
        "infotexts": infotexts,
        "styles": [],
        "job_timestamp": webui.state.job_timestamp,
        "clip_skip": made.clip_skip,
        "is_using_inpainting_conditioning": False,
        "version": webui.profile.version,
    }


def _infotext(made: Generation, index: int) -> str:
    asked, webui = made.asked, made.webui
    assert asked is not None
    skipped = asked.skip_img2img
    pairs: dict[str, object] = {
        "Steps": 1 if skipped else asked["steps"],
        "Sampler": "Euler" if skipped else asked.sampler,
        **({"Schedule type": asked.scheduler} if asked.scheduler else {}),
        "CFG scale": float(asked["cfg_scale"]),
        "Seed": _seed(asked) + index,
        "Size": "128x128" if skipped else f"{asked['width']}x{asked['height']}",
        "Model": made.model,
    }
    if asked.fields.get("denoising_strength") is not None:
        pairs["Denoising strength"] = float(asked["denoising_strength"])
    if made.clip_skip > 1:
        pairs["Clip skip"] = made.clip_skip
    pairs |= _adetailer_pairs(asked)
    if asked.fields.get("enable_hr"):
        pairs |= _hires_pairs(asked)
    if asked.fields.get("refiner_checkpoint"):
        pairs["Refiner"] = str(asked["refiner_checkpoint"]).removesuffix(".safetensors")
        if asked["refiner_switch_at"] is not None:
            pairs["Refiner switch at"] = asked["refiner_switch_at"]
    pairs |= made.files
    pairs["Version"] = webui.profile.version
    negative = asked["negative_prompt"]
    line = ", ".join(f"{label}: {_quoted(value)}" for label, value in pairs.items())
    lines = [asked["prompt"], *([f"Negative prompt: {negative}"] if negative else []), line]
    return "\n".join(lines)


def _adetailer_pairs(asked: Asked) -> dict[str, object]:
    pairs: dict[str, object] = {}
    for index, tab in enumerate(asked.tabs):
        suffix = "" if not index else f" {index + 1}nd"
        pairs[f"ADetailer model{suffix}"] = tab["ad_model"]
        pairs[f"ADetailer confidence{suffix}"] = tab.get("ad_confidence", 0.3)
    if asked.tabs:
        pairs["ADetailer version"] = "25.3.0"
    return pairs


def _hires_pairs(asked: Asked) -> dict[str, object]:
    pairs: dict[str, object] = {}
    if asked["hr_resize_x"] or asked["hr_resize_y"]:
        pairs["Hires resize"] = f"{asked['hr_resize_x']}x{asked['hr_resize_y']}"
    else:
        pairs["Hires upscale"] = asked["hr_scale"]
    if asked["hr_second_pass_steps"]:
        pairs["Hires steps"] = asked["hr_second_pass_steps"]
    pairs["Hires upscaler"] = asked["hr_upscaler"] or "Latent"
    if asked["hr_prompt"] not in ("", asked["prompt"]):
        pairs["Hires prompt"] = asked["hr_prompt"]
    return pairs


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if any(c in text for c in ",:\n") else text


def _seed(asked: Asked) -> int:
    return int(asked["seed"]) if asked["seed"] not in (None, -1) else 1234567


def _size(made: Generation) -> tuple[int, int]:
    asked = made.asked
    assert asked is not None
    width, height = asked["width"], asked["height"]
    if made.kind == "img2img" and made.webui.profile.sdnext and not asked["resize_mode"]:
        width, height = opened(asked["init_images"][0]).size
    if asked.fields.get("enable_hr") and not made.first_pass_only:
        x, y = asked["hr_resize_x"], asked["hr_resize_y"]
        if x and y:
            width, height = x, y
        elif x or y:
            factor = x / width if x else y / height
            width, height = round(width * factor), round(height * factor)
        else:
            width, height = (int(side * asked["hr_scale"]) for side in (width, height))
    return width // 8 * 8, height // 8 * 8
