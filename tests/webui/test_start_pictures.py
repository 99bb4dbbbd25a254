"""Pictures of somebody's own, as every kind of server gets them."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from stablenew.app import open_app
from stablenew.config.settings import Settings
from stablenew.pipeline.results import Outcome, PipelineRunResult
from tests.pictures_to_start_from import noise, turned, write
from tests.webui.profiles import A1111, ALL, Profile
from tests.webui.server import WebUI, serve

TXT2IMG = {"enabled": False, "prompt": "a watercolour", "seed": 7}
STEPS = {"enabled": True, "steps": 2}


async def run(
    webui: WebUI, tmp_path: Path, image: Path, images: int = 1, **stages: object
) -> PipelineRunResult:
    settings = Settings(out=tmp_path / "runs", backend="webui", url=webui.url)
    async with open_app(settings) as app:
        asked = {"image": str(image), "txt2img": TXT2IMG, **stages}
        return await app.pipeline.run_pipeline(asked, images=images)


def sent_picture(encoded: object) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(str(encoded))))


@pytest.mark.parametrize("profile", ALL, ids=lambda profile: profile.name)
async def test_every_server_gets_a_photo_as_it_is_seen(profile: Profile, tmp_path: Path) -> None:
    photo = turned(tmp_path / "photo.jpg", 6, noise(80, 130))
    with serve(profile) as webui:
        result = await run(webui, tmp_path, photo, images=2, img2img=STEPS)
        sent = webui.paths("img2img")
    assert result.outcome is Outcome.SUCCEEDED, result.error
    assert [sent_picture(each["init_images"][0]).size for each in sent] == [(130, 80)] * 2
    assert [(each["width"], each["height"], each["seed"]) for each in sent] == [
        (128, 80, 7),
        (128, 80, 8),
    ]
    assert not webui.paths("txt2img")


@pytest.mark.parametrize("profile", ALL, ids=lambda profile: profile.name)
async def test_a_photo_is_resized_where_another_size_is_asked_for(
    profile: Profile, tmp_path: Path
) -> None:
    photo = write(tmp_path / "photo.png", noise(80, 130))
    with serve(profile) as webui:
        sized = {**STEPS, "width": 128, "height": 64, "resize_mode": 1}
        result = await run(webui, tmp_path, photo, img2img=sized)
        upscale = {"enabled": True, "upscale_mode": "img2img", "upscaling_resize": 2.4}
        larger = await run(webui, tmp_path, photo, upscale=upscale)
        modes = [each.get("resize_mode") for each in webui.paths("img2img")]
    assert [each.error for each in (result, larger)] == [None, None]
    assert (result.outputs[0].width, result.outputs[0].height) == (128, 64)
    assert modes == ([2, 1] if profile.sdnext else [1, None])


async def test_a_transparent_picture_is_sampled_on_white_and_upscaled_as_it_is(
    tmp_path: Path,
) -> None:
    logo = tmp_path / "logo.png"
    Image.new("RGBA", (64, 64), (255, 0, 0, 0)).save(logo)
    with serve(A1111) as webui:
        await run(webui, tmp_path, logo, img2img=STEPS)
        upscaled = await run(
            webui, tmp_path, logo, upscale={"enabled": True, "upscaler_1": "Lanczos"}
        )
        (sampled,) = (sent_picture(each["init_images"][0]) for each in webui.paths("img2img"))
        (resized,) = (sent_picture(each["image"]) for each in webui.paths("extra-single-image"))
    assert (sampled.mode, sampled.getpixel((3, 3))) == ("RGB", (255, 255, 255))
    assert (resized.mode, resized.getpixel((3, 3))) == ("RGBA", (255, 0, 0, 0))
    assert (upscaled.outputs[0].width, upscaled.outputs[0].height) == (128, 128)


async def test_adetailer_works_on_a_photo(tmp_path: Path) -> None:
    photo = turned(tmp_path / "photo.jpg", 6, noise(64, 96))
    with serve(A1111) as webui:
        detector = {"enabled": True, "ad_model": "face_yolov8n.pt"}
        result = await run(webui, tmp_path, photo, adetailer=detector)
        (sent,) = webui.paths("img2img")
    assert result.outcome is Outcome.SUCCEEDED, result.error
    assert (sent["prompt"], sent["width"], sent["height"]) == ("a watercolour", 96, 64)
