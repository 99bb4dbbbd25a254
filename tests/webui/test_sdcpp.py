"""stable-diffusion.cpp's sd-server: one model, names of its own, seeds of 31 bits."""

from __future__ import annotations

from typing import Any

import pytest

from stablenew.backends.webui.backend import WebUIBackend
from stablenew.errors import ConfigError
from tests.webui.driving import draw, stage_request
from tests.webui.profiles import SDCPP
from tests.webui.server import serve

BOTH_LOOPS = True


async def test_names_of_automatic1111_are_asked_for_as_it_spells_them() -> None:
    with serve(SDCPP) as webui:
        async with WebUIBackend(webui.url) as backend:
            picture = await draw(backend, sampler_name="DPM++ 2S a", scheduler="Karras")
        (sent,) = webui.paths("txt2img")
    assert (sent["sampler_name"], sent["scheduler"]) == ("dpm++2s_a", "karras")
    assert picture.settings["sampler_name"] == "dpm++2s_a"
    assert picture.settings["scheduler"] == "karras"


@pytest.mark.parametrize("setting", ["sampler_name", "scheduler"])
async def test_its_default_is_no_name_to_ask_for(setting: str) -> None:
    with serve(SDCPP) as webui:
        async with WebUIBackend(webui.url) as backend:
            capabilities = await backend.capabilities()
            given: dict[str, Any] = {setting: "default"}
            with pytest.raises(ConfigError, match=f"{setting}: given 'default'"):
                stage_request(capabilities, **given)
            assert setting not in (await draw(backend)).settings


async def test_a_seed_that_it_would_replace_is_refused_before_anything_runs() -> None:
    with serve(SDCPP) as webui:
        async with WebUIBackend(webui.url) as backend:
            capabilities = await backend.capabilities()
            with pytest.raises(ConfigError, match=r"seed: given 2147483648, .* above 2147483647"):
                stage_request(capabilities, seed=2**31)
            assert (await draw(backend, seed=2**31 - 1)).settings["seed"] == 2**31 - 1


async def test_a_hash_that_every_model_has_is_none() -> None:
    with serve(SDCPP) as webui:
        async with WebUIBackend(webui.url) as backend:
            assert (await backend.capabilities()).model_hashes == {}
            assert (await draw(backend)).settings["model"] == "randsd15-tiny-a"


async def test_more_steps_than_it_makes_are_refused_before_anything_runs() -> None:
    with serve(SDCPP) as webui:
        async with WebUIBackend(webui.url) as backend:
            capabilities = await backend.capabilities()
            with pytest.raises(ConfigError, match=r"steps: given 101, but .* takes 1 to 100"):
                stage_request(capabilities, steps=101)
            assert (await draw(backend, steps=100)).settings["steps"] == 100
