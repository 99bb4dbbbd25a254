from __future__ import annotations

import io
import subprocess
import sys
import weakref
from collections.abc import AsyncIterator

import anyio
import pytest
from PIL import Image

from stablenew.backends.base import Picture, StageRequest
from stablenew.backends.embedded.backend import EmbeddedBackend
from stablenew.backends.embedded.capabilities import EMBEDDED_CAPABILITIES
from stablenew.errors import BackendProtocolError

BOTH_LOOPS = True


@pytest.fixture
async def backend() -> AsyncIterator[EmbeddedBackend]:
    async with EmbeddedBackend() as backend:
        yield backend


async def ignore(fraction: float, **_: object) -> None:
    pass


def stage_request(
    stage: str = "txt2img", image: bytes | None = None, **settings: object
) -> StageRequest:
    defaults = dict(EMBEDDED_CAPABILITIES.stages[stage])
    drawn = {"prompt": "a blue cat", "seed": 3, "steps": 2} if stage != "upscale" else {}
    return StageRequest(
        request_id="job-1",
        stage=stage,
        settings={**defaults, **drawn, **settings},
        image=image,
    )


async def draw(backend: EmbeddedBackend, request: StageRequest) -> Picture:
    (picture,) = await backend.run_stage(request, ignore)
    return picture


async def test_a_picture_is_a_png_with_the_webuis_infotext(backend: EmbeddedBackend) -> None:
    request = stage_request(prompt="a blue cat, flurb", negative_prompt="blurry")
    picture = await draw(backend, request)
    image = Image.open(io.BytesIO(picture.data))
    assert (image.format, image.size) == ("PNG", (64, 64))
    prompt, negative, parameters = image.info["parameters"].split("\n")
    assert prompt == "a blue cat, flurb"
    assert negative == "Negative prompt: blurry"
    assert parameters.startswith(
        "Steps: 2, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 5.0, Seed: 3, Size: 64x64,"
        " Model hash: "
    )
    assert picture.ignored_words == ("flurb",)
    assert picture.settings["model"] == "stablenew-tiny-v1"


async def test_the_same_settings_give_the_same_bytes(backend: EmbeddedBackend) -> None:
    one, two = [await draw(backend, stage_request()) for _ in range(2)]
    other = await draw(backend, stage_request(seed=4))
    assert one.data == two.data
    assert one.data != other.data


async def test_a_prompt_in_any_script_is_written_into_the_picture(
    backend: EmbeddedBackend,
) -> None:
    picture = await draw(backend, stage_request(prompt="美しい cat: a, b"))
    image = Image.open(io.BytesIO(picture.data))
    assert image.info["parameters"].startswith("美しい cat: a, b\n")


async def test_progress_is_reported_for_every_step(backend: EmbeddedBackend) -> None:
    fractions: list[float] = []

    async def note(fraction: float, **_: object) -> None:
        fractions.append(fraction)

    await backend.run_stage(stage_request(steps=5), note)
    assert fractions == [0.2, 0.4, 0.6, 0.8, 1.0]


async def test_img2img_keeps_more_of_the_picture_the_lower_the_strength(
    backend: EmbeddedBackend,
) -> None:
    start = await draw(backend, stage_request(prompt="a red apple", steps=5))

    async def distance(strength: float) -> float:
        request = stage_request(
            "img2img", start.data, prompt="a green pear", steps=5, denoising_strength=strength
        )
        picture = await draw(backend, request)
        images = [Image.open(io.BytesIO(data)).tobytes() for data in (start.data, picture.data)]
        return float(sum(abs(a - b) for a, b in zip(*images, strict=True)))

    assert await distance(0.2) < await distance(0.9)


@pytest.mark.parametrize("upscaler", EMBEDDED_CAPABILITIES.upscalers)
async def test_upscale_resizes_by_a_factor_and_keeps_the_infotext(
    backend: EmbeddedBackend, upscaler: str
) -> None:
    start = await draw(backend, stage_request())
    request = stage_request("upscale", start.data, upscaler_1=upscaler, upscaling_resize=2.5)
    picture = await draw(backend, request)
    image = Image.open(io.BytesIO(picture.data))
    assert image.size == (picture.width, picture.height) == (160, 160)
    before = Image.open(io.BytesIO(start.data)).info["parameters"]
    assert image.info["parameters"] == before
    assert upscaler in image.info["postprocessing"]


@pytest.mark.parametrize(("crop", "size"), [(True, (100, 50)), (False, (50, 50))])
async def test_upscale_resizes_to_a_size_cropped_or_whole(
    backend: EmbeddedBackend, crop: bool, size: tuple[int, int]
) -> None:
    start = await draw(backend, stage_request())
    request = stage_request(
        "upscale",
        start.data,
        resize_mode=1,
        upscaling_resize_w=100,
        upscaling_resize_h=50,
        upscaling_crop=crop,
    )
    picture = await draw(backend, request)
    assert (picture.width, picture.height) == size


async def test_a_picture_that_cannot_be_read_is_told(backend: EmbeddedBackend) -> None:
    with pytest.raises(BackendProtocolError, match="cannot read"):
        await draw(backend, stage_request("upscale", b"no picture"))


async def test_a_cancel_takes_effect_between_two_steps(backend: EmbeddedBackend) -> None:
    steps = 0
    with anyio.CancelScope() as scope:

        async def cancel_at_three(fraction: float, **_: object) -> None:
            nonlocal steps
            steps += 1
            if steps == 3:
                scope.cancel()

        await backend.run_stage(stage_request(steps=500), cancel_at_three)
    assert scope.cancelled_caught
    assert steps == 3
    assert (await draw(backend, stage_request())).width == 64


async def test_an_interrupt_returns_when_the_job_is_gone(backend: EmbeddedBackend) -> None:
    begun = anyio.Event()
    pictures: list[Picture] = []

    async def begin(fraction: float, **_: object) -> None:
        begun.set()

    async def run() -> None:
        pictures.extend(await backend.run_stage(stage_request(steps=10_000), begin))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await begun.wait()
        other = await backend.interrupt("another job")
        receipt = await backend.interrupt("job-1")
    assert other.confirmed
    assert receipt.confirmed
    assert receipt.call
    assert pictures == []


async def test_the_loop_breathes_while_a_picture_is_drawn(backend: EmbeddedBackend) -> None:
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await anyio.sleep(0.001)
            beats += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(beat)
        await draw(backend, stage_request(steps=6))
        tasks.cancel_scope.cancel()
    assert beats > 10


def test_numpy_and_pillow_wait_for_the_first_picture() -> None:
    code = """
import sys, anyio
from stablenew.backends.embedded.backend import EmbeddedBackend
async def main():
    async with EmbeddedBackend() as backend:
        assert (await backend.capabilities()).samplers
anyio.run(main)
assert not {"numpy", "PIL"} & set(sys.modules), "too early"
"""
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_backends_share_the_weights_and_a_closed_one_keeps_nothing() -> None:
    async with EmbeddedBackend() as one, EmbeddedBackend() as other:
        for backend in (one, other):
            await draw(backend, stage_request(steps=1))
        studio = weakref.ref(one._studio)
        model, same = (backend._studio._model for backend in (one, other))  # type: ignore[union-attr]
        assert model is not same
        assert model.encode._layers.operands is same.encode._layers.operands
        del model, same
    assert studio() is None
