"""The same things on a real server: collected only where STABLENEW_REAL_WEBUI_URL names one.

Pictures of 64 × 64 and 2 to 4 steps, so that a server without a GPU answers in a second.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import anyio
import pytest
from PIL import Image

from stablenew.app import open_app
from stablenew.backends.base import Capabilities
from stablenew.backends.webui.backend import WebUIBackend
from stablenew.config.settings import Settings
from stablenew.errors import BackendProtocolError, ConfigError
from stablenew.learning.learning_record_reader import read_records
from stablenew.pipeline.results import Outcome
from tests.webui.driving import SMALL, Reports, draw, open_studio, stage_request
from tests.webui.pictures import png

URL = os.environ["STABLENEW_REAL_WEBUI_URL"]
START = png(64, 64, 5, {})
LONG = 150


@pytest.fixture
async def capabilities() -> Capabilities:
    async with WebUIBackend(URL) as backend:
        return await backend.capabilities()


async def test_it_is_known(capabilities: Capabilities) -> None:
    assert capabilities.version
    assert capabilities.samplers
    assert capabilities.models


async def test_txt2img_is_reproducible() -> None:
    async with WebUIBackend(URL) as backend:
        one, two = [await draw(backend, seed=7) for _ in range(2)]
    assert Image.open(io.BytesIO(one.data)).size == (one.width, one.height)
    assert one.settings["seed"] == two.settings["seed"] == 7
    first, second = (Image.open(io.BytesIO(each.data)).convert("RGB") for each in (one, two))
    assert first.tobytes() == second.tobytes()


async def test_img2img_and_hires_fix() -> None:
    async with WebUIBackend(URL) as backend:
        assert (await draw(backend, "img2img", START, denoising_strength=0.5)).width == 64
        assert (await draw(backend, enable_hr=True, hr_scale=2.0)).width == 128


async def test_upscaling_in_every_way_it_has(capabilities: Capabilities) -> None:
    async with WebUIBackend(URL) as backend:
        for mode in capabilities.choices["upscale_mode"]:
            upscaler = {"upscaler_1": "Lanczos"} if mode == "extras" else {}
            picture = await draw(backend, "upscale", START, upscale_mode=mode, **upscaler)
            assert (picture.width, picture.height) == (128, 128)


async def test_adetailer_where_it_is_installed(capabilities: Capabilities) -> None:
    if "adetailer" in capabilities.stages:
        async with WebUIBackend(URL) as backend:
            model = capabilities.choices["ad_model"][-1]
            assert (await draw(backend, "adetailer", START, ad_model=model)).width == 64


async def test_another_sampler_than_was_asked_for_is_noticed(capabilities: Capabilities) -> None:
    with pytest.raises(ConfigError, match="sampler_name"):
        stage_request(capabilities, sampler_name="No Such Sampler")


async def test_a_rounded_size_is_told() -> None:
    async with WebUIBackend(URL) as backend:
        assert (await draw(backend, width=70)).warnings


async def test_progress_is_told() -> None:
    async with WebUIBackend(URL) as backend:
        reports = Reports()
        await backend.run_stage(stage_request(await backend.capabilities(), steps=LONG), reports)
    assert reports.fractions


async def test_a_cancel_frees_the_server() -> None:
    async with open_studio(URL) as studio:
        with anyio.move_on_after(1.0):
            await studio.run(txt2img={"steps": 2 * LONG})
        result = studio.runner.last_result
        assert result is not None
        receipt = result.stage_results[-1].receipt
        assert receipt is not None
        assert receipt.confirmed or "no interrupt" in receipt.detail
        assert (await studio.run("run-2")).success


async def test_an_error_is_told_in_the_servers_words(capabilities: Capabilities) -> None:
    if capabilities.version == "stable-diffusion.cpp":
        return  # takes any size, for hours
    async with open_studio(URL) as studio:
        result = await studio.run(txt2img={"width": 16_384, "height": 16_384})
    assert result.outcome in (Outcome.FAILED, Outcome.SUCCEEDED)
    if result.error is not None:
        assert result.error.kind in ("BackendRejectedError", BackendProtocolError.__name__)


async def test_a_plan_leaves_a_record_for_each_step(runs: Path) -> None:
    settings = Settings(out=runs, backend="webui", url=URL, learning_enabled=True)
    plan = {"target_variable": "txt2img.cfg_scale", "sweep_values": [3, 7], "images_per_step": 2}
    async with open_app(settings) as app:
        result = await app.learning.run_learning_plan(plan, {"txt2img": SMALL})
    assert result.outcome is Outcome.SUCCEEDED
    assert len(list(read_records(runs / "learning_records.jsonl"))) == 2
