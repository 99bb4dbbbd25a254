"""Pictures from every kind of server; what was silently done otherwise is noticed."""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import anyio
import httpx2
import pytest

from stablenew.backends.picture_header import read_picture_header
from stablenew.backends.webui.backend import WebUIBackend
from stablenew.backends.webui.gpu import read_gpu
from stablenew.config.settings import Settings
from stablenew.errors import (
    BackendProtocolError,
    BackendRejectedError,
    BackendUnavailableError,
    ConfigError,
)
from stablenew.pipeline.results import Outcome
from tests.support import until
from tests.webui.driving import SMALL, OtherClient, Reports, draw, open_studio, stage_request
from tests.webui.pictures import png
from tests.webui.profiles import (
    A1111,
    A1111_AUTH,
    A1111_BARE,
    A1111_UI,
    ALL,
    FORGE,
    SDCPP,
    SDNEXT,
    Profile,
)
from tests.webui.requests import Refusal
from tests.webui.server import serve

BOTH_LOOPS = True
START = png(64, 64, 5, {"parameters": "a dog\nSteps: 4, Sampler: Euler, Seed: 5"})


@pytest.mark.parametrize("profile", ALL, ids=lambda profile: profile.name)
async def test_txt2img_and_img2img_work_on_every_server(profile: Profile) -> None:
    with serve(profile) as webui:
        async with WebUIBackend(webui.url) as backend:
            picture = await draw(backend, seed=7)
            assert (picture.width, picture.height) == (64, 64)
            assert picture.settings["seed"] == 7
            assert picture.settings["steps"] == 4
            assert "a cat" in read_picture_header(picture.data).infotext
            other = await draw(backend, "img2img", START, denoising_strength=0.5)
            assert (other.width, other.height) == (64, 64)
        sent = webui.paths("img2img")[0]
    assert base64.b64decode(sent["init_images"][0]) == START
    assert (sent["width"], sent["height"], sent["denoising_strength"]) == (64, 64, 0.5)


@pytest.mark.parametrize(
    ("profile", "flavour"),
    [
        (A1111, "AUTOMATIC1111"),
        (A1111_UI, "AUTOMATIC1111"),
        (FORGE, "Forge"),
        (SDNEXT, "SD.Next"),
        (SDCPP, "stable-diffusion.cpp"),
    ],
)
async def test_a_server_is_known_without_being_told(profile: Profile, flavour: str) -> None:
    with serve(profile) as webui:
        async with WebUIBackend(webui.url) as backend:
            capabilities = await backend.capabilities()
    assert capabilities.version == flavour
    assert ("Euler a" if profile.full else "euler_a") in capabilities.samplers
    models = ("randsd15-tiny-a", "randsd15-tiny-b")
    assert capabilities.models == (models if profile.full else models[:1])
    assert ("adetailer" in capabilities.stages) == profile.adetailer
    assert bool(capabilities.schedulers) == (not profile.sdnext)
    modes = capabilities.choices["upscale_mode"]
    assert modes == (("extras", "img2img") if profile.full else ("img2img",))


@pytest.mark.parametrize(
    ("memory", "listed", "gpu"),
    [
        ({"ram": {}, "cuda": {"error": "unavailable"}}, None, "no CUDA"),
        ({"cuda": {"system": {"free": 1, "total": 25_390_809_088}}}, None, "a GPU of 24 GB"),
        ({"ram": {}, "cuda": {"error": "CUDA error: busy"}}, [], ""),
        (None, [{"gpu": "RTX 4090", "vram": 24564}], "RTX 4090"),
        ({"cuda": {"error": "unavailable"}}, [{"name": "Arc A770", "data": {}}] * 2, "Arc A770"),
        (None, None, ""),
        ("what", {"is": "this"}, ""),
    ],
)
def test_what_a_server_draws_on_is_read(memory: object, listed: object, gpu: str) -> None:
    assert read_gpu(memory, listed) == gpu


async def test_a_server_is_asked_what_it_draws_on() -> None:
    with serve(SDNEXT, gpus=[{"gpu": "RTX 4090"}]) as webui:
        async with WebUIBackend(webui.url) as backend:
            assert (await backend.capabilities()).gpu == "RTX 4090"
            webui.gpus.clear()
            assert (await backend.capabilities()).gpu == "no CUDA"


async def test_the_bytes_are_kept_as_they_came() -> None:
    made = png(64, 64, 99, {"parameters": "a cat\nSteps: 4, Sampler: Euler, Seed: 1"})
    with serve(A1111, picture_bytes=made) as webui:
        async with WebUIBackend(webui.url) as backend:
            assert (await draw(backend)).data == made


@pytest.mark.parametrize(("kind", "head"), [("jpg", b"\xff\xd8\xff"), ("webp", b"RIFF")])
async def test_other_formats_are_read_and_kept(kind: str, head: bytes) -> None:
    with serve(A1111, options={"samples_format": kind}) as webui:
        async with WebUIBackend(webui.url) as backend:
            picture = await draw(backend)
    assert picture.data.startswith(head)
    assert (picture.width, picture.height) == (64, 64)
    assert picture.settings["scheduler"] == "Automatic"


async def test_what_was_really_used_is_kept() -> None:
    with serve(A1111) as webui:
        async with WebUIBackend(webui.url) as backend:
            picture = await draw(backend, sampler_name="k_euler_a", scheduler="karras")
    used = picture.settings
    assert (used["sampler_name"], used["scheduler"]) == ("Euler a", "Karras")
    assert (used["model"], used["version"]) == ("randsd15-tiny-a", "1.10.1")
    assert picture.warnings == ()


async def test_names_are_checked_before_anything_runs_with_the_nearest_valid_ones() -> None:
    with serve(A1111) as webui:
        async with WebUIBackend(webui.url) as backend:
            capabilities = await backend.capabilities()
            with pytest.raises(ConfigError) as caught:
                stage_request(
                    capabilities, "adetailer", ad_model="face_yolov8s.pt", ad_sampler="Oiler"
                )
            with pytest.raises(ConfigError) as wrong:
                stage_request(capabilities, sampler_name="Euler b", model="sdxl", vae="none.pt")
        assert webui.jobs == []
    assert any("did you mean face_yolov8n.pt?" in each for each in caught.value.problems)
    said = "\n".join(wrong.value.problems)
    assert "txt2img.sampler_name: given 'Euler b', did you mean" in said
    assert "txt2img.model: given 'sdxl', there is randsd15-tiny-a, randsd15-tiny-b" in said


async def test_a_server_without_adetailer_says_which_stages_it_has() -> None:
    with serve(A1111_BARE) as webui:
        async with WebUIBackend(webui.url) as backend:
            capabilities = await backend.capabilities()
    with pytest.raises(ConfigError, match="no such stage; it has txt2img, img2img, upscale"):
        stage_request(capabilities, "adetailer", ad_model="face_yolov8n.pt")


async def test_a_sampler_that_was_silently_replaced_is_an_error() -> None:
    with serve(A1111) as webui:
        async with WebUIBackend(webui.url) as backend:
            request = stage_request(await backend.capabilities(), sampler_name="Euler a")
            settings = {**request.settings, "sampler_name": "Eueler a"}
            request = type(request)(request_id="r", stage="txt2img", settings=settings)
            with pytest.raises(BackendProtocolError) as caught:
                await backend.run_stage(request, Reports())
    assert "'Eueler a', the server used 'DPM++ 2M'" in str(caught.value)
    assert caught.value.stage == "txt2img"


async def test_a_model_that_was_silently_replaced_is_an_error() -> None:
    with serve(A1111) as webui:
        async with WebUIBackend(webui.url) as backend:
            request = stage_request(await backend.capabilities(), model="randsd15-tiny-b")
            webui.models = ("randsd15-tiny-a",)  # somebody deletes it meanwhile
            with pytest.raises(BackendProtocolError, match="'randsd15-tiny-b', the server used"):
                await backend.run_stage(request, Reports())


async def test_a_model_is_asked_for_by_any_of_its_names_and_for_this_request_alone() -> None:
    with serve(A1111) as webui:
        async with WebUIBackend(webui.url) as backend:
            picture = await draw(backend, model="RANDSD15-tiny-b.safetensors")
            assert picture.settings["model"] == "randsd15-tiny-b"
            assert webui.model == "randsd15-tiny-a"
            back = await draw(backend)
    assert back.settings["model"] == "randsd15-tiny-a"
    overrides = [
        body["override_settings"]["sd_model_checkpoint"] for body in webui.paths("txt2img")
    ]
    assert overrides == ["randsd15-tiny-b.safetensors", "randsd15-tiny-a.safetensors"]


@pytest.mark.parametrize("profile", [A1111, FORGE], ids=lambda profile: profile.name)
async def test_what_a_request_overrides_does_not_stay(profile: Profile) -> None:
    with serve(profile) as webui:
        async with WebUIBackend(webui.url) as backend:
            picture = await draw(backend, clip_skip=2)
            assert picture.settings["clip_skip"] == 2
        assert webui.options["CLIP_stop_at_last_layers"] == 1
        answer = httpx2.post(f"{webui.url}/sdapi/v1/txt2img", json=SMALL)
    assert "Clip skip" not in answer.json()["info"]


async def test_nothing_is_changed_on_a_server_that_is_just_asked() -> None:
    with serve(A1111) as webui:
        async with WebUIBackend(webui.url) as backend:
            await backend.capabilities()
        posts = {path for method, path, _ in webui.requests if method == "POST"}
        assert posts <= {"/sdapi/v1/refresh-loras"}  # which has it look at its disk
        assert webui.saved_options == set()


async def test_hires_fix_and_the_refiner_belong_to_txt2img() -> None:
    with serve(FORGE) as webui:
        async with WebUIBackend(webui.url) as backend:
            picture = await draw(
                backend, enable_hr=True, hr_scale=2, refiner_checkpoint="randsd15-tiny-b"
            )
        (sent,) = webui.paths("txt2img")
    assert (picture.width, picture.height) == (128, 128)
    assert sent["denoising_strength"] == 0.75
    assert sent["hr_additional_modules"] == ["Use same choices"]
    assert sent["hr_cfg"] == sent["cfg_scale"]
    assert (sent["refiner_checkpoint"], sent["refiner_switch_at"]) == (
        "randsd15-tiny-b.safetensors",
        0.8,
    )
    assert picture.warnings == ()


async def test_a_hires_prompt_may_hold_whatever_separates_lines_elsewhere() -> None:
    prompt = "a cat\u2028hair: red, eyes: blue, dress: green"
    with serve(A1111) as webui:
        async with WebUIBackend(webui.url) as backend:
            assert (await draw(backend, enable_hr=True, hr_prompt=prompt)).width == 128


async def test_adetailer_is_sent_whole_with_a_switch_for_each_value() -> None:
    with serve(A1111) as webui:
        async with WebUIBackend(webui.url) as backend:
            await draw(backend, "adetailer", START, ad_model="face_yolov8n.pt", ad_confidence=0.4)
        (sent,) = webui.paths("img2img")
    enabled, skip_img2img, tab = sent["alwayson_scripts"]["ADetailer"]["args"]
    assert (enabled, skip_img2img) == (True, True)
    assert (tab["ad_model"], tab["ad_confidence"]) == ("face_yolov8n.pt", 0.4)
    assert (tab["ad_use_steps"], tab["ad_steps"]) == (True, 4)
    assert (tab["ad_use_sampler"], tab["ad_sampler"]) == (True, "Euler")
    assert (sent["width"], sent["height"]) == (64, 64)
    assert sent["prompt"] == "a cat"


async def test_a_missing_adetailer_pass_is_an_error() -> None:
    with serve(A1111) as webui:
        async with WebUIBackend(webui.url) as backend:
            request = stage_request(
                await backend.capabilities(), "adetailer", START, ad_model="face_yolov8n.pt"
            )
            settings = {**request.settings, "ad_nope": 1}  # silently turns the tab off
            request = type(request)(
                request_id="r", stage="adetailer", settings=settings, image=START
            )
            with pytest.raises(BackendProtocolError, match="asked for ADetailer"):
                await backend.run_stage(request, Reports())


async def test_upscaling_by_an_upscaler() -> None:
    with serve(A1111) as webui:
        async with WebUIBackend(webui.url) as backend:
            picture = await draw(
                backend, "upscale", START, upscaler_1="lanczos", upscaling_resize=1.5
            )
        (sent,) = webui.paths("extra-single-image")
    assert (picture.width, picture.height) == (96, 96)
    assert (sent["upscaler_1"], sent["upscaling_resize"]) == ("Lanczos", 1.5)
    assert "prompt" not in sent
    assert picture.settings == {
        "upscaler_1": "Lanczos", "upscaling_resize": 1.5, "resize_mode": 0,
    }  # fmt: skip


async def test_an_upscaler_without_weights_is_an_error() -> None:
    with serve(A1111, without_weights=frozenset({"R-ESRGAN 4x+", "SwinIR_4x"})) as webui:
        async with WebUIBackend(webui.url) as backend:
            with pytest.raises(BackendProtocolError, match=r"asked for upscaler_1 'R-ESRGAN 4x\+'"):
                await draw(backend, "upscale", START, upscaler_1="R-ESRGAN 4x+")
            webui.without_weights = frozenset()  # it was fetched when it was first used
            await draw(backend, "upscale", START, upscaler_1="SwinIR_4x")
            await draw(backend, "upscale", START, upscaler_1="Lanczos")


@pytest.mark.parametrize("profile", [A1111, SDCPP], ids=lambda profile: profile.name)
async def test_upscaling_by_img2img(profile: Profile) -> None:
    with serve(profile) as webui:
        async with WebUIBackend(webui.url) as backend:
            picture = await draw(
                backend, "upscale", START, upscale_mode="img2img", upscaling_resize=2
            )
        (sent,) = webui.paths("img2img")
    assert (picture.width, picture.height) == (128, 128)
    assert (sent["denoising_strength"], sent["steps"], sent["prompt"]) == (0.2, 4, "a cat")
    assert "upscaler_1" not in sent


async def test_a_rounded_size_is_a_warning() -> None:
    with serve(A1111) as webui:
        async with WebUIBackend(webui.url) as backend:
            picture = await draw(backend, width=70)
    assert (picture.width, picture.height) == (64, 64)
    assert picture.warnings == ("asked for 70x64 pixels, got 64x64",)


async def test_another_size_is_an_error() -> None:
    with serve(A1111, picture_bytes=png(64, 64, 1, {})) as webui:
        async with WebUIBackend(webui.url) as backend:
            with pytest.raises(BackendProtocolError, match="128x64 pixels, got 64x64"):
                await draw(backend, width=128)


async def test_no_picture_at_all_is_an_error() -> None:
    with serve(A1111, without_pictures=True) as webui:
        async with WebUIBackend(webui.url) as backend:
            with pytest.raises(BackendProtocolError, match="asked for 1 picture, got 0"):
                await draw(backend)


async def test_a_picture_that_somebody_else_interrupted_is_an_error() -> None:
    with serve(A1111, step_seconds=0.02) as webui:
        async with WebUIBackend(webui.url) as backend:
            request = stage_request(await backend.capabilities(), steps=100)

            def interrupt(_: float) -> None:
                webui.state.interrupted = True

            with pytest.raises(BackendProtocolError, match="somebody else interrupted"):
                await backend.run_stage(request, Reports(on_report=interrupt))
            assert (await draw(backend)).width == 64


OUT_OF_MEMORY = Refusal(500, "OutOfMemoryError", "CUDA out of memory. Tried to allocate 2 GiB")
NO_INTEGER = Refusal(422, "", [{"loc": ["body", "steps"], "msg": "not an integer"}])


@pytest.mark.parametrize(
    ("profile", "refusal", "said"),
    [
        (A1111, OUT_OF_MEMORY, "OutOfMemoryError: CUDA out of memory"),
        (FORGE, Refusal(500, "RuntimeError", "no room"), "RuntimeError: no room"),
        (A1111, Refusal(422, "HTTPException", "Script 'x' not found"), "Script 'x' not found"),
        (FORGE, Refusal(404, "HTTPException", "Init image not found"), "Init image not found"),
        (SDNEXT, Refusal(404, "HTTPException", "Sampler not found"), "Sampler not found"),
        (A1111, NO_INTEGER, "steps: not an integer"),
        (SDCPP, Refusal(500, "X", "std::bad_alloc"), "server_error: std::bad_alloc"),
    ],
)
async def test_a_servers_error_is_told_in_its_words_and_not_tried_again(
    profile: Profile, refusal: Refusal, said: str
) -> None:
    with serve(profile, fail_with=refusal) as webui:
        async with open_studio(webui.url) as studio:
            result = await studio.run()
        assert len(webui.jobs) == 1
    assert result.outcome is Outcome.FAILED
    assert result.error is not None
    assert result.error.kind == "BackendRejectedError"
    assert said in result.error.message
    assert result.error.stage == "txt2img"


async def test_a_long_error_is_cut_to_what_matters() -> None:
    with serve(A1111, fail_with=Refusal(500, "RuntimeError", "x" * 100_000)) as webui:
        async with WebUIBackend(webui.url) as backend:
            with pytest.raises(BackendRejectedError) as caught:
                await draw(backend)
    assert len(str(caught.value)) < 400
    assert caught.value.status == 500


async def test_credentials_are_sent_at_once_and_found_nowhere(
    runs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with serve(A1111_AUTH) as webui:
        url = webui.url.replace("//", "//alice:secret@")
        async with WebUIBackend(url) as backend:
            assert (await draw(backend)).width == 64
            assert "secret" not in backend.url
        assert all("authorization" in headers for headers in webui.headers)
        settings = Settings(out=runs, backend="webui", url=url, learning_enabled=True)
        assert "secret" not in repr(settings)
    assert "secret" not in caplog.text
    assert "alice" not in caplog.text


@pytest.mark.parametrize("auth", [None, "alice:wrong"])
async def test_missing_or_wrong_credentials_are_an_error_of_the_input(auth: str | None) -> None:
    with serve(A1111_AUTH) as webui:
        async with WebUIBackend(webui.url, auth) as backend:
            with pytest.raises(ConfigError, match=r"auth: http.* refused .*user") as caught:
                await backend.capabilities()
    assert "wrong" not in str(caught.value)


async def test_something_that_is_no_webui_is_unavailable() -> None:
    with serve(A1111) as webui:
        async with WebUIBackend(f"{webui.url}/elsewhere") as backend:
            with pytest.raises(BackendUnavailableError, match="started with --api"):
                await backend.capabilities()


async def test_one_generation_is_in_flight_at_most() -> None:
    with serve(A1111, step_seconds=0.01) as webui:
        async with WebUIBackend(webui.url) as backend:
            capabilities = await backend.capabilities()
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(backend.run_stage, stage_request(capabilities), Reports())
        spans = [(job.began, job.ended) for job in webui.jobs]
        asked = len(webui.paths("txt2img"))
    assert asked == len(spans) == 3
    assert all(end is not None and end <= start for (_, end), (start, _) in pairwise(spans))


async def test_a_run_waits_its_turn_behind_another_client() -> None:
    with serve(A1111, step_seconds=0.02) as webui:
        other = OtherClient(webui)
        other.start(steps=40)
        await until(lambda: webui.running)
        async with open_studio(webui.url, stall_timeout=0.5) as studio:
            result = await studio.run()
        other.join()
    assert result.success
    assert [job.owner for job in webui.jobs] == ["somebody else", "stablenew"]
    assert webui.jobs[0].interrupts == []


async def test_big_pictures_come_and_go() -> None:
    start = png(1024, 1024, 1, {})
    assert len(start) > 3_000_000
    with serve(A1111) as webui:
        async with WebUIBackend(webui.url) as backend:
            picture = await draw(backend, "img2img", start, width=1024, height=1024)
    assert (picture.width, picture.height) == (1024, 1024)
    assert len(picture.data) > 3_000_000


async def test_a_whole_pipeline_runs_and_every_picture_knows_what_made_it() -> None:
    stages: dict[str, Mapping[str, object]] = {
        "img2img": {"denoising_strength": 0.5},
        "adetailer": {"ad_model": "face_yolov8n.pt"},
        "upscale": {"upscaler_1": "Lanczos"},
    }
    with serve(A1111) as webui:
        async with open_studio(webui.url) as studio:
            result = await studio.run("run-1", 2, **stages)
    assert result.success
    assert [output.image_id for output in result.outputs] == [
        f"{stage}_{n}" for stage in ("txt2img", *stages) for n in (1, 2)
    ]
    last = result.outputs[-1].settings
    assert (last["seed"], last["sampler_name"], last["upscaler_1"]) == (2, "Euler", "Lanczos")
    assert last["ad_model"] == "face_yolov8n.pt"
