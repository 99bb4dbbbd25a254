"""The same things on a real server: collected only where STABLENEW_REAL_WEBUI_URL names one.

Pictures of 64 × 64 and 2 to 4 steps, so that a server without a GPU answers in a second. Names are
the server's own, and what shall take long is as long as the server's steps make it.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
from PIL import Image

from stablenew.app import open_app
from stablenew.backends.base import Capabilities, Picture
from stablenew.backends.webui.backend import WebUIBackend
from stablenew.backends.webui.server import Flavour
from stablenew.config.pipeline_config import Setting
from stablenew.config.settings import Settings
from stablenew.errors import BackendProtocolError, BackendRejectedError, ConfigError
from stablenew.learning.learning_record_reader import read_records
from stablenew.pipeline.results import Outcome
from tests.webui.driving import SMALL, Reports, draw, open_studio, stage_request
from tests.webui.pictures import png

URL = os.environ["STABLENEW_REAL_WEBUI_URL"]
START = png(64, 64, 5, {})

_MOST_STEPS = 100
"""What every server takes: sd-server cuts off what is more."""

_LARGEST = 512

_REFUSED: Mapping[Flavour, tuple[dict[str, Setting], str]] = {
    Flavour.A1111: ({"sampler_name": "UniPC", "steps": 2}, "UniPC order must be < sampling steps"),
    Flavour.FORGE: ({"sampler_name": "UniPC", "steps": 2}, "UniPC order must be < sampling steps"),
    Flavour.SDNEXT: ({"sampler_name": "No Such Sampler"}, "Sampler not found"),
    Flavour.SDCPP: ({"prompt": ""}, "prompt"),
}
"""What each server refuses at once, and what it says."""


@pytest.fixture
async def capabilities() -> Capabilities:
    async with WebUIBackend(URL) as backend:
        return await backend.capabilities()


def pixels(picture: Picture) -> bytes:
    return Image.open(io.BytesIO(picture.data)).convert("RGB").tobytes()


async def lasting(backend: WebUIBackend, seconds: float) -> dict[str, Any]:
    """Return settings of a picture that takes about so long, by the server's own steps."""
    capabilities = await backend.capabilities()
    side = 64
    while True:
        request = stage_request(capabilities, steps=10, width=side, height=side, seed=side)
        started = anyio.current_time()
        await backend.run_stage(request, Reports())
        step = (anyio.current_time() - started) / 10
        if step * _MOST_STEPS >= seconds or side >= _LARGEST:
            steps = max(min(round(seconds / step), _MOST_STEPS), 20)
            return {"steps": steps, "width": side, "height": side}
        side *= 2


async def test_it_is_known(capabilities: Capabilities) -> None:
    assert capabilities.version
    assert capabilities.samplers
    assert capabilities.models


async def test_txt2img_is_reproducible() -> None:
    async with WebUIBackend(URL) as backend:
        one, two = [await draw(backend, seed=7) for _ in range(2)]
        other = await draw(backend, seed=8)
    assert Image.open(io.BytesIO(one.data)).size == (one.width, one.height)
    assert one.settings["seed"] == two.settings["seed"] == 7
    assert pixels(one) == pixels(two) != pixels(other)


async def test_every_model_makes_its_own_pictures(capabilities: Capabilities) -> None:
    names = capabilities.names_of("model")[:3]
    async with WebUIBackend(URL) as backend:
        made = [await draw(backend, model=name) for name in names]
        again = await draw(backend, model=names[0])
    assert [picture.settings["model"] for picture in made] == list(names)
    assert len({pixels(picture) for picture in made}) == len(names)
    assert pixels(again) == pixels(made[0])


async def test_a_sampler_makes_the_picture_or_is_said_not_to(capabilities: Capabilities) -> None:
    names = [name for name in capabilities.samplers if "euler" in name.lower()][:2]
    used: dict[str, Setting] = {}
    async with WebUIBackend(URL) as backend:
        for name in names:
            try:
                used[name] = (await draw(backend, sampler_name=name)).settings["sampler_name"]
            except BackendProtocolError as error:
                used[name] = str(error).partition(", the server used")[0]
    assert names
    assert all(used[name] in (name, f"asked for sampler_name {name!r}") for name in names)


async def test_img2img_and_hires_fix() -> None:
    async with WebUIBackend(URL) as backend:
        assert (await draw(backend, "img2img", START, denoising_strength=0.5)).width == 64
        larger = await draw(backend, "img2img", START, width=128, height=128)
        assert (larger.width, larger.height) == (128, 128)
        assert (await draw(backend, enable_hr=True, hr_scale=2.0)).width == 128


async def test_hires_fix_with_an_upscaler_of_its_own(capabilities: Capabilities) -> None:
    upscaler = next(
        name for name in capabilities.choices["hr_upscaler"] if "lanczos" in name.lower()
    )
    async with WebUIBackend(URL) as backend:
        picture = await draw(backend, enable_hr=True, hr_scale=2.0, hr_upscaler=upscaler)
    assert picture.width == 128
    assert picture.settings["hr_upscaler"] == upscaler


async def test_upscaling_in_every_way_it_has(capabilities: Capabilities) -> None:
    lanczos = next((name for name in capabilities.upscalers if "lanczos" in name.lower()), "")
    async with WebUIBackend(URL) as backend:
        for mode in capabilities.choices["upscale_mode"]:
            upscaler = {"upscaler_1": lanczos} if mode == "extras" else {}
            if mode == "extras" and capabilities.version == Flavour.SDNEXT:
                with pytest.raises(BackendRejectedError, match="this is a fault of the server's"):
                    await draw(backend, "upscale", START, upscale_mode=mode, **upscaler)
                continue
            picture = await draw(backend, "upscale", START, upscale_mode=mode, **upscaler)
            assert (picture.width, picture.height) == (128, 128)


async def test_adetailer_where_it_is_installed(capabilities: Capabilities) -> None:
    if "adetailer" in capabilities.stages:
        async with WebUIBackend(URL) as backend:
            model = capabilities.choices["ad_model"][-1]
            assert (await draw(backend, "adetailer", START, ad_model=model)).width == 64


async def test_another_sampler_than_it_has_is_refused_before(capabilities: Capabilities) -> None:
    with pytest.raises(ConfigError, match="sampler_name"):
        stage_request(capabilities, sampler_name="No Such Sampler")


async def test_a_rounded_size_is_told() -> None:
    async with WebUIBackend(URL) as backend:
        assert (await draw(backend, width=70)).warnings


async def test_progress_is_told() -> None:
    async with WebUIBackend(URL) as backend:
        long = await lasting(backend, 3.0)
        reports = Reports()
        await backend.run_stage(stage_request(await backend.capabilities(), **long), reports)
    assert reports.fractions
    assert reports.fractions == sorted(reports.fractions)


async def test_a_cancel_frees_the_server() -> None:
    async with open_studio(URL) as studio:
        long = await lasting(studio.backend, 6.0)
        with anyio.move_on_after(1.0):
            await studio.run(txt2img=long)
        result = studio.runner.last_result
        assert result is not None
        receipt = result.stage_results[-1].receipt
        assert receipt is not None
        assert receipt.confirmed or "no interrupt" in receipt.detail
        assert (await studio.run("run-2")).success


async def test_a_cancel_while_another_model_loads_frees_the_server(
    capabilities: Capabilities,
) -> None:
    models = capabilities.names_of("model")
    async with open_studio(URL) as studio:
        long = await lasting(studio.backend, 6.0)
        with anyio.move_on_after(0.2):
            await studio.run(txt2img={**long, "model": models[-1]})
        result = studio.runner.last_result
        assert result is not None
        receipt = result.stage_results[-1].receipt
        assert receipt is not None
        assert receipt.confirmed or re.search("no interrupt|loads its model", receipt.detail)
        await studio.backend.drained()
        assert (await studio.run("run-2")).success


async def test_an_error_is_told_in_the_servers_words(capabilities: Capabilities) -> None:
    settings, says = _REFUSED[Flavour(capabilities.version)]
    request = stage_request(capabilities)
    request = attrs.evolve(request, settings={**request.settings, **settings})
    async with WebUIBackend(URL) as backend:
        with pytest.raises(BackendRejectedError, match=says):
            await backend.run_stage(request, Reports())
        assert (await draw(backend)).width == 64


async def test_a_plan_leaves_a_record_for_each_step(runs: Path) -> None:
    settings = Settings(out=runs, backend="webui", url=URL, learning_enabled=True)
    plan = {"target_variable": "txt2img.cfg_scale", "sweep_values": [3, 7], "images_per_step": 2}
    async with open_app(settings) as app:
        result = await app.learning.run_learning_plan(plan, {"txt2img": SMALL})
    assert result.outcome is Outcome.SUCCEEDED
    assert len(list(read_records(runs / "learning_records.jsonl"))) == 2
