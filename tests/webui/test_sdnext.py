"""SD.Next: fields and numbers of its own, samplers and models that are told by its infotext."""

from __future__ import annotations

import re
from typing import Any

import pytest

from stablenew.backends.webui.backend import WebUIBackend
from stablenew.backends.webui.sdnext.samplers import another_sampler
from stablenew.backends.webui.server import Flavour, read_models
from stablenew.errors import BackendProtocolError, BackendRejectedError, ConfigError
from tests.webui.driving import draw, stage_request
from tests.webui.pictures import png
from tests.webui.profiles import SDNEXT
from tests.webui.sdnext import Own
from tests.webui.server import serve

BOTH_LOOPS = True
START = png(64, 64, 5, {})


async def test_hires_fix_enlarges_and_samples_with_an_upscaler_that_it_has() -> None:
    with serve(SDNEXT) as webui:
        async with WebUIBackend(webui.url) as backend:
            picture = await draw(backend, enable_hr=True, denoising_strength=0.6)
        (sent,) = webui.paths("txt2img")
        passes = [each["job"] for each in webui.sdnext.history if each["op"] == "begin"]
    assert (picture.width, picture.height) == (128, 128)
    assert (sent["hr_resize_mode"], sent["hr_force"]) == (1, True)
    assert (sent["hr_denoising_strength"], sent["hr_upscaler"]) == (0.6, "Resize Lanczos")
    assert picture.settings["hr_upscaler"] == "Resize Lanczos"
    assert passes.count("inference") == 2


async def test_hires_fix_takes_the_upscaler_that_is_asked_for() -> None:
    with serve(SDNEXT) as webui:
        async with WebUIBackend(webui.url) as backend:
            capabilities = await backend.capabilities()
            picture = await draw(backend, enable_hr=True, hr_upscaler="latent nearest")
            with pytest.raises(ConfigError, match=r"hr_upscaler: given 'Latent'"):
                stage_request(capabilities, enable_hr=True, hr_upscaler="Latent")
            with pytest.raises(ConfigError, match=r"hr_prompt: .* no such setting"):
                stage_request(capabilities, enable_hr=True, hr_prompt="a dog")
    assert picture.settings["hr_upscaler"] == "Latent Nearest"


@pytest.mark.parametrize(("resize_mode", "theirs"), [(0, 1), (1, 2), (2, 3)])
async def test_img2img_makes_the_size_that_is_asked_for(resize_mode: int, theirs: int) -> None:
    with serve(SDNEXT) as webui:
        async with WebUIBackend(webui.url) as backend:
            picture = await draw(
                backend, "img2img", START, width=128, height=96, resize_mode=resize_mode
            )
        (sent,) = webui.paths("img2img")
    assert (picture.width, picture.height) == (128, 96)
    assert sent["resize_mode"] == theirs
    assert "resize_name" not in sent


async def test_img2img_resizes_in_latent_space_where_that_is_asked_for() -> None:
    with serve(SDNEXT) as webui:
        async with WebUIBackend(webui.url) as backend:
            await draw(backend, "img2img", START, width=128, height=128, resize_mode=3)
        (sent,) = webui.paths("img2img")
    assert (sent["resize_mode"], sent["resize_name"]) == (1, "Latent Bilinear")


async def test_upscaling_is_by_img2img_and_with_the_upscaler_that_is_asked_for() -> None:
    with serve(SDNEXT) as webui:
        async with WebUIBackend(webui.url) as backend:
            picture = await draw(backend, "upscale", START, upscaler_1="ESRGAN 4x Ultrasharp")
            plain = await draw(backend, "upscale", START, upscaling_resize=3)
        sent, other = webui.paths("img2img")
    assert (picture.width, picture.height, plain.width) == (128, 128, 192)
    assert (sent["resize_mode"], sent["resize_name"]) == (1, "ESRGAN 4x Ultrasharp")
    assert "resize_name" not in other


async def test_extras_that_fail_are_told_as_the_servers_fault() -> None:
    with serve(SDNEXT) as webui:
        async with WebUIBackend(webui.url) as backend:
            asked = {"upscale_mode": "extras", "upscaler_1": "Resize Lanczos"}
            with pytest.raises(
                BackendRejectedError, match=r"html_info.* a fault of the server's"
            ) as e:
                await draw(backend, "upscale", START, **asked)
    assert "upscale.upscale_mode=img2img" in str(e.value)


async def test_a_sampler_that_was_replaced_in_silence_is_noticed() -> None:
    with serve(SDNEXT, sdnext=Own(suits=("Euler",))) as webui:
        async with WebUIBackend(webui.url) as backend:
            with pytest.raises(
                BackendProtocolError, match=r"'Heun', the server used EulerDiscrete"
            ):
                await draw(backend, sampler_name="Heun")
            picture = await draw(backend, sampler_name="Euler")
    assert picture.settings["sampler_name"] == "Euler"
    assert picture.settings["sampler_class"] == "EulerDiscreteScheduler"


async def test_the_sampler_that_ran_is_recorded_where_none_was_asked_for() -> None:
    with serve(SDNEXT) as webui:
        async with WebUIBackend(webui.url) as backend:
            picture = await draw(backend)
    assert picture.settings["sampler_class"] == "EulerDiscreteScheduler"


def test_a_sampler_is_the_same_in_its_variant_for_flow_matching() -> None:
    flow = {"Scheduler": "FlowMatchHeunDiscreteScheduler"}
    assert another_sampler("Heun", flow) == ""
    assert another_sampler("Heun FlowMatch", {"Scheduler": "HeunDiscreteScheduler"}) == ""
    assert another_sampler("Euler", flow) == "FlowMatchHeunDiscreteScheduler"
    assert another_sampler("Lobatto 2", flow) == ""  # not known here: believed
    assert another_sampler("Heun", {}) == ""


async def test_another_model_than_was_asked_for_is_noticed_by_the_infotext() -> None:
    with serve(SDNEXT, models=("tiny-a", "tiny-b"), model="tiny-a") as webui:
        async with WebUIBackend(webui.url) as backend:
            request = stage_request(await backend.capabilities(), model="tiny-b")
            webui.models = ("tiny-a",)  # an unknown name is ignored, and the answer is 200
            says = "asked for model 'tiny-b', the server used 'tiny-a'"
            with pytest.raises(BackendProtocolError, match=re.escape(says)):
                await backend.run_stage(request, _silent)


async def test_the_model_that_was_used_is_recorded_where_none_was_asked_for() -> None:
    with serve(SDNEXT, models=("tiny-a", "tiny-b"), model="tiny-b") as webui:
        async with WebUIBackend(webui.url) as backend:
            assert (await draw(backend)).settings["model"] == "tiny-b"


@pytest.mark.parametrize("spelling", ["tiny-b", "Diffusers/local/tiny-b", "000b"])
async def test_a_diffusers_model_is_called_by_its_name(spelling: str) -> None:
    with serve(SDNEXT, models=("tiny-a", "tiny-b"), model="tiny-a") as webui:
        async with WebUIBackend(webui.url) as backend:
            before = await backend.capabilities()
            picture = await draw(backend, model=spelling)
            after = await backend.capabilities()
        (sent,) = webui.paths("txt2img")
    assert before.models == ("tiny-a", "tiny-b")
    assert picture.settings["model"] == "tiny-b"
    assert sent["override_settings"] == {"sd_model_checkpoint": "Diffusers/local/tiny-b [000b]"}
    # It tells the commit once the model was loaded, which makes it no other model.
    assert before.model_hashes == after.model_hashes == {}


def test_a_folders_name_has_no_ending() -> None:
    listed = {
        "title": "Diffusers/runwayml/stable-diffusion-v1.5 [39593d56]",
        "model_name": "Diffusers/runwayml/stable-diffusion-v1.5",
        "filename": "/srv/models/Diffusers/models--runwayml--stable/snapshots/39593d56",
        "type": "diffusers",
    }
    (model,) = read_models([listed], Flavour.SDNEXT)
    assert model.name == model.stem == "stable-diffusion-v1.5"


async def _silent(*_: Any, **__: Any) -> None:
    """Take no notice of progress."""
