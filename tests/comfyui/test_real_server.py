"""The same things on a real server: collected only where STABLENEW_REAL_COMFYUI_URL names one.

Pictures of 64 × 64 and 2 to 4 steps, so that a server without a GPU answers in a second.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import anyio
import attrs
import httpx2
import numpy as np
import pytest
from PIL import Image

from stablenew.app import open_app
from stablenew.backends.base import Capabilities
from stablenew.backends.comfyui.backend import ComfyUIBackend
from stablenew.backends.comfyui.prompt_words import translated
from stablenew.backends.infotext import read_infotext
from stablenew.config.settings import Settings
from stablenew.learning.learning_record_reader import read_records
from stablenew.pipeline.results import Outcome
from tests.comfyui.driving import draw, open_studio
from tests.comfyui.test_comfyui_backend import texts
from tests.support import until
from tests.webui.driving import SMALL, Reports, stage_request
from tests.webui.pictures import png

URL = os.environ["STABLENEW_REAL_COMFYUI_URL"]
START = png(100, 80, 5, {})
LONG = 2_000


@pytest.fixture
async def capabilities() -> Capabilities:
    async with ComfyUIBackend(URL) as backend:
        return await backend.capabilities()


def pixels(data: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=np.int16)


def queue() -> dict[str, list[object]]:
    answer: dict[str, list[object]] = httpx2.get(f"{URL}/queue").json()
    return answer


async def test_it_is_known(capabilities: Capabilities) -> None:
    assert capabilities.backend == "comfyui"
    assert capabilities.version
    assert {"Euler", "DPM++ 2M", "UniPC"} <= set(capabilities.samplers)
    assert capabilities.models


async def test_every_sampler_and_scheduler_makes_a_picture(capabilities: Capabilities) -> None:
    async with ComfyUIBackend(URL) as backend:
        for name in capabilities.samplers:
            assert (await draw(backend, sampler_name=name, steps=3)).width == 64
        for name in capabilities.schedulers:
            assert (await draw(backend, scheduler=name, steps=3)).width == 64


async def test_the_same_seed_gives_the_same_bytes_and_another_gives_others() -> None:
    async with ComfyUIBackend(URL) as backend:
        one, other = await draw(backend, seed=7), await draw(backend, seed=8)
        again = await draw(backend, seed=7)
        cached = await draw(backend, seed=7)
    assert one.data == again.data == cached.data != other.data
    assert cached.warnings == ("the server had it in its cache: nothing was sampled anew",)


async def test_every_part_of_txt2img(capabilities: Capabilities) -> None:
    parts: dict[str, dict[str, object]] = {
        "nothing": {},
        "a weight": {"prompt": "a [cat]"},
        "clip skip": {"clip_skip": 2},
        "hires, latent": {"enable_hr": True, "hr_scale": 1.0, "hr_upscaler": "Latent"},
        "hires, lanczos": {"enable_hr": True, "hr_scale": 1.0, "hr_upscaler": "Lanczos"},
    }
    if len(capabilities.models) > 1:
        parts["model"] = {"model": capabilities.models[1]}
        parts["refiner"] = {"refiner_checkpoint": capabilities.models[1], "refiner_switch_at": 0.5}
    for name in capabilities.choices.get("lora", ())[:1]:
        parts["LoRA"] = {"prompt": f"a cat<lora:{name}:1>"}
    for name in capabilities.choices["hr_upscaler"][-1:]:  # a model's file, where it has one
        parts["hires, by model"] = {"enable_hr": True, "hr_scale": 1.0, "hr_upscaler": name}
    for name in capabilities.choices["vae"][1:2]:
        parts["VAE"] = {"vae": name}
    made = {}
    async with ComfyUIBackend(URL) as backend:
        for part, settings in parts.items():
            made[part] = (await draw(backend, **settings)).data  # type: ignore[arg-type]
    for part, data in made.items():
        assert part == "nothing" or np.abs(pixels(data) - pixels(made["nothing"])).max() > 0, part


async def test_a_nested_weight_is_the_product() -> None:
    nested, plain = "((cat:1.2) dog:1.5)", "(cat:1.8)( dog:1.5)"
    assert translated(nested, {}).text == plain
    async with ComfyUIBackend(URL) as backend:
        one, other = [await draw(backend, prompt=each) for each in (nested, plain)]
    assert np.array_equal(pixels(one.data), pixels(other.data))


async def test_img2img_keeps_more_with_less_denoising() -> None:
    start = png(64, 64, 5, {})
    async with ComfyUIBackend(URL) as backend:
        far = [
            np.abs(pixels((await draw(backend, "img2img", start, denoising_strength=s)).data)
                   - pixels(start)).mean()
            for s in (0.1, 0.9)
        ]  # fmt: skip
        assert (await draw(backend, "img2img", START, denoising_strength=0.5)).width == 64
    assert far[0] < far[1]


async def test_upscaling_in_every_way_it_has(capabilities: Capabilities) -> None:
    async with ComfyUIBackend(URL) as backend:
        for name in capabilities.upscalers:
            picture = await draw(backend, "upscale", START, upscaler_1=name)
            assert (picture.width, picture.height) == (200, 160)
        both = {"upscaler_1": "Lanczos", "upscaler_2": "Nearest"}
        await draw(backend, "upscale", START, extras_upscaler_2_visibility=0.5, **both)
        drawn = await draw(backend, "upscale", START, upscale_mode="img2img")
    assert (drawn.width, drawn.height) == (200, 160)


async def test_adetailer_where_it_is_installed(capabilities: Capabilities) -> None:
    if "adetailer" in capabilities.stages:
        async with ComfyUIBackend(URL) as backend:
            for model in capabilities.choices["ad_model"]:
                picture = await draw(backend, "adetailer", START, ad_model=model)
                changed = bool((pixels(picture.data) != pixels(START)).any())
                assert changed is not any("found nothing" in each for each in picture.warnings)


async def test_a_picture_says_what_it_was_made_with() -> None:
    async with ComfyUIBackend(URL) as backend:
        picture = await draw(backend, seed=7, prompt="a cat, ü")
    pairs = read_infotext(texts(picture.data)["parameters"])
    assert (pairs["Steps"], pairs["Seed"], pairs["Size"]) == ("4", "7", "64x64")
    assert "PreviewImage" in texts(picture.data)["prompt"]


async def test_steps_and_previews_are_told() -> None:
    async with ComfyUIBackend(URL) as backend:
        reports = Reports()
        request = stage_request(await backend.capabilities(), steps=60, seed=11)
        await backend.run_stage(attrs.evolve(request, previews=True), reports)
    assert reports.fractions == sorted(reports.fractions)
    assert len(set(reports.fractions)) > 3
    assert all(Image.open(io.BytesIO(each)).size for each in reports.previews)
    assert reports.previews


async def test_a_cancel_frees_the_server_and_leaves_others_alone() -> None:
    async with open_studio(URL) as studio:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: studio.run("run-1", 1, txt2img={"steps": LONG}))
            await until(lambda: queue()["queue_running"])
            tasks.cancel_scope.cancel()
        receipt = studio.receipt
        assert receipt.confirmed
        assert queue() == {"queue_running": [], "queue_pending": []}
        assert (await studio.run("run-2")).success


async def test_cancels_at_every_moment_leave_nothing() -> None:
    async with open_studio(URL) as studio:
        for number in range(20):
            with anyio.move_on_after(0.02 * number):
                await studio.run(f"run-{number}", 1, txt2img={"steps": 40, "seed": number})
            assert studio.backend.pending == 0
            assert queue() == {"queue_running": [], "queue_pending": []}


async def test_a_plan_leaves_a_record_for_each_step(runs: Path) -> None:
    settings = Settings(out=runs, backend="server", url=URL, learning_enabled=True)
    plan = {"target_variable": "txt2img.cfg_scale", "sweep_values": [3, 7], "images_per_step": 2}
    async with open_app(settings) as app:
        result = await app.learning.run_learning_plan(plan, {"txt2img": SMALL})
    assert result.outcome is Outcome.SUCCEEDED
    assert len(list(read_records(runs / "learning_records.jsonl"))) == 2
