"""Pictures by a ComfyUI: every stage, what they say of themselves, and what is no picture."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from stablenew.app import open_app
from stablenew.backends.comfyui.backend import ComfyUIBackend
from stablenew.backends.comfyui.kept_nodes import KeptNodes
from stablenew.backends.infotext import read_infotext
from stablenew.backends.server_backend import ServerBackend
from stablenew.config.infotext_settings import settings_of_infotext
from stablenew.config.settings import Settings
from stablenew.errors import (
    BackendProtocolError,
    BackendRejectedError,
    BackendUnavailableError,
    ConfigError,
)
from stablenew.learning.learning_record_reader import read_records
from stablenew.pipeline.results import Outcome
from tests.comfyui.driving import draw, open_studio
from tests.comfyui.nodes import LORAS
from tests.comfyui.server import V0_3_64, V0_33, VERSIONS, Profile, serve
from tests.webui.driving import SMALL, Reports, stage_request
from tests.webui.pictures import png
from tests.webui.profiles import A1111
from tests.webui.server import serve as serve_webui

START = png(100, 80, 5, {"parameters": "a dog\nSteps: 4, Sampler: Euler, Seed: 3"})


def texts(data: bytes) -> dict[str, str]:
    return {str(name): str(text) for name, text in Image.open(io.BytesIO(data)).info.items()}


@pytest.mark.parametrize("profile", VERSIONS, ids=lambda profile: profile.version)
async def test_a_picture_is_made_and_fetched(profile: Profile) -> None:
    with serve(profile) as comfyui:
        async with ComfyUIBackend(comfyui.url) as backend:
            picture = await draw(backend)
    assert (picture.width, picture.height) == (64, 64)
    assert picture.settings["sampler_name"] == "Euler"
    assert picture.settings["model"] == "full-a.safetensors"
    assert not picture.warnings
    parameters = texts(picture.data)["parameters"]
    assert "a cat\nSteps: 4, Sampler: Euler" in parameters
    assert f"Version: ComfyUI {profile.version}" in parameters


async def test_a_server_says_what_it_draws_on() -> None:
    with serve(gpu="cuda:1 NVIDIA GeForce RTX 3090 : cudaMallocAsync") as comfyui:
        async with ComfyUIBackend(comfyui.url) as backend:
            assert (await backend.capabilities()).gpu == "NVIDIA GeForce RTX 3090"
            comfyui.gpu = "cpu"
            assert (await backend.capabilities()).gpu == "cpu"


async def test_the_same_settings_give_the_same_bytes_whatever_ran_before() -> None:
    pictures = []
    for warm in (False, True):
        with serve() as comfyui:
            async with ComfyUIBackend(comfyui.url) as backend:
                if warm:
                    await draw(backend, seed=5)
                upscaled = await draw(backend, "upscale", START, upscaler_1="Lanczos")
                pictures.append(upscaled.data)
    assert pictures[0] == pictures[1]


async def test_every_stage_in_one_run() -> None:
    with serve() as comfyui:
        async with open_studio(comfyui.url) as studio:
            result = await studio.run(
                images=2,
                txt2img={"enable_hr": True, "hr_scale": 1.5},
                img2img={"denoising_strength": 0.5},
                adetailer={"ad_model": "face_yolov8n"},
                upscale={"upscaler_1": "4x-UltraSharp"},
            )
    assert result.success, result.error
    assert result.variant_count == 2
    sizes = {(each.stage, each.width) for each in result.outputs}
    assert sizes == {("txt2img", 96), ("img2img", 64), ("adetailer", 64), ("upscale", 128)}
    assert [each.settings["seed"] for each in result.outputs if each.stage == "txt2img"] == [1, 2]


async def test_an_upscale_says_what_its_source_was_made_with() -> None:
    with serve() as comfyui:
        async with ComfyUIBackend(comfyui.url) as backend:
            picture = await draw(backend, "upscale", START, upscaler_1="Lanczos")
    assert texts(picture.data)["parameters"].startswith("a dog\nSteps: 4")
    assert json.loads(texts(picture.data)["prompt"])["scale"]["inputs"]["width"] == 200


async def test_a_picture_tells_all_that_it_takes_to_make_it_again() -> None:
    given = {
        "enable_hr": True,
        "hr_resize_x": 96,
        "hr_resize_y": 80,
        "hr_second_pass_steps": 3,
        "hr_upscaler": "Latent (bicubic)",
        "denoising_strength": 0.5,
        "clip_skip": 2,
        "vae": "vae-a.safetensors",
        "hr_prompt": 'a "lion", ü',
        "hr_scheduler": "Karras",
        "refiner_checkpoint": "sdxl/refiner.safetensors",
        "refiner_switch_at": 0.7,
    }
    with serve() as comfyui:
        async with ComfyUIBackend(comfyui.url) as backend:
            picture = await draw(backend, **given)  # type: ignore[arg-type]
            face = await draw(backend, "adetailer", picture.data, ad_model="face_yolov8n")
    settings, left_out = settings_of_infotext(read_infotext(texts(face.data)["parameters"]))
    assert left_out == ()
    assert {name: settings[f"txt2img.{name}"] for name in given} == given
    assert (settings["txt2img.width"], settings["txt2img.height"]) == (64, 64)
    assert settings["adetailer.ad_model"] == "bbox/face_yolov8n.pt"
    assert settings["adetailer.enabled"] is True


async def test_a_checkpoint_is_loaded_once_though_upscales_come_between() -> None:
    with serve() as comfyui:
        async with ComfyUIBackend(comfyui.url) as backend:
            for seed in (1, 2):
                await draw(backend, seed=seed)
                await draw(backend, "upscale", START, upscaler_1="4x-UltraSharp")
            assert comfyui.loads == ["full-a.safetensors"]
            await draw(backend, model="full-b")
            await draw(backend, "upscale", START, upscaler_1="Lanczos")
            nodes = comfyui.entries[-1].prompt.values()
    named = [each["inputs"].get("ckpt_name") for each in nodes]
    assert [name for name in named if name] == ["sd15/full-b.safetensors"]


def test_a_checkpoint_that_is_not_wanted_any_more_is_let_go() -> None:
    def loading(name: str) -> dict[str, dict[str, object]]:
        return {
            "model": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": name}},
            "positive": {"class_type": "CLIPTextEncode", "inputs": {"clip": ("model", 1)}},
        }

    kept = KeptNodes()
    kept.beside("txt2img", loading("a"))
    beside = kept.beside("img2img", loading("a"))
    assert beside["kept txt2img positive"]["inputs"] == {"clip": ("kept txt2img model", 1)}
    assert kept.beside("txt2img", loading("b")) == loading("b")
    assert "kept txt2img model" in kept.beside("upscale", {})


async def test_prompts_and_names_are_sent_as_the_server_has_them() -> None:
    with serve(embeddings=("EasyNegative",)) as comfyui:
        async with ComfyUIBackend(comfyui.url) as backend:
            await draw(
                backend,
                prompt="a [dull] cat<lora:film:0.5>",
                negative_prompt="easynegative",
                sampler_name="DPM++ 2M",
            )
        prompt = comfyui.entries[0].prompt
    assert prompt["positive"]["inputs"]["text"] == "a (dull:0.909090909) cat"
    assert prompt["negative"]["inputs"]["text"] == "embedding:EasyNegative"
    assert prompt["lora"]["inputs"]["lora_name"] == LORAS[0]
    assert prompt["sampler"]["inputs"]["sampler_name"] == "dpmpp_2m"
    assert prompt["sampler"]["inputs"]["scheduler"] == "karras"


async def test_a_picture_from_the_cache_is_written_anew() -> None:
    """Its file may have been deleted, and its name be another picture's by now."""
    with serve() as comfyui:
        async with ComfyUIBackend(comfyui.url) as backend:
            first = await draw(backend)
            comfyui.disk.files = {
                key: png(64, 64, 99, {}) if key[0] == "temp" else data
                for key, data in comfyui.disk.files.items()
            }
            again = await draw(backend)
    assert again.data == first.data
    assert again.warnings == ("the server had it in its cache: nothing was sampled anew",)
    assert not first.warnings


async def test_a_detector_that_finds_nothing_is_told() -> None:
    with serve(faces=0) as comfyui:
        async with ComfyUIBackend(comfyui.url) as backend:
            picture = await draw(backend, "adetailer", START, ad_model="face_yolov8n")
            assert "unchanged: bbox/face_yolov8n.pt found nothing" in picture.warnings[0]
            comfyui.faces = 2
            assert not (
                await draw(backend, "adetailer", START, ad_model="face_yolov8n", seed=4)
            ).warnings


async def test_a_rounded_size_is_told() -> None:
    with serve() as comfyui:
        async with ComfyUIBackend(comfyui.url) as backend:
            assert (await draw(backend, width=70)).warnings == (
                "asked for 70x64 pixels, got 64x64",
            )


async def test_success_without_a_picture_is_none() -> None:
    with serve(without_pictures=True) as comfyui:
        async with ComfyUIBackend(comfyui.url) as backend:
            with pytest.raises(BackendProtocolError, match="asked for 1 picture, got 0"):
                await draw(backend)


async def test_a_node_that_fails_is_told_in_its_words() -> None:
    with serve(fail_at=("VAEDecode", "tried to allocate 2 GB\n")) as comfyui:
        async with ComfyUIBackend(comfyui.url) as backend:
            with pytest.raises(BackendRejectedError) as caught:
                await draw(backend)
    assert str(caught.value) == (
        "node decode (VAEDecode) failed: OutOfMemoryError: tried to allocate 2 GB"
    )
    assert not caught.value.retryable


async def test_a_refusal_names_the_node_and_what_is_wrong_with_it() -> None:
    with serve() as comfyui:
        async with ComfyUIBackend(comfyui.url) as backend:
            request = stage_request(await backend.capabilities(), model="full-b")
            comfyui.info["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0].remove(
                "sd15/full-b.safetensors"
            )
            with pytest.raises(BackendRejectedError) as caught:
                await backend.run_stage(request, Reports())
    said = str(caught.value)
    assert "model (CheckpointLoaderSimple): Value not in list: ckpt_name" in said
    assert caught.value.status == 400


async def test_a_picture_that_is_too_large_to_be_sent_is_told() -> None:
    with serve(max_upload=1_000) as comfyui:
        async with ComfyUIBackend(comfyui.url) as backend:
            with pytest.raises(BackendRejectedError, match="max-upload-size"):
                await draw(backend, "upscale", START, upscaler_1="Lanczos")


async def test_credentials_are_sent_and_their_lack_is_told() -> None:
    with serve(auth="Basic dTpw") as comfyui:
        async with ComfyUIBackend(comfyui.url, "u:p") as backend:
            await draw(backend)
            assert comfyui.sockets.open
        async with ComfyUIBackend(comfyui.url) as backend:
            with pytest.raises(ConfigError, match="auth"):
                await backend.capabilities()


async def test_below_a_path_of_a_proxy_it_is_found_and_heard() -> None:
    with serve(prefix="/comfy") as comfyui:
        async with ServerBackend(f"{comfyui.url}/comfy/") as backend:
            request = stage_request(await backend.capabilities())
            assert backend.name == "comfyui"
            await backend.run_stage(request, Reports())
            assert comfyui.sockets.open


async def test_what_is_no_comfyui_is_said_to_be_none() -> None:
    with serve_webui(A1111) as webui:
        async with ComfyUIBackend(webui.url) as backend:
            with pytest.raises(BackendUnavailableError, match="no ComfyUI"):
                await backend.capabilities()


async def test_whatever_answers_is_found_out() -> None:
    with serve_webui(A1111) as webui, serve(V0_33) as comfyui:
        for url, name in ((webui.url, "webui"), (comfyui.url, "comfyui")):
            async with ServerBackend(url) as backend:
                request = stage_request(await backend.capabilities())
                assert backend.name == name
                (picture,) = await backend.run_stage(request, Reports())
                assert picture.width == 64
                receipt = await backend.interrupt(request.request_id)
                assert (receipt.confirmed, backend.pending) == (True, 0)


async def test_a_plan_leaves_a_record_for_each_step(runs: Path) -> None:
    with serve(V0_3_64) as comfyui:
        settings = Settings(out=runs, backend="server", url=comfyui.url, learning_enabled=True)
        plan = {
            "target_variable": "txt2img.cfg_scale",
            "sweep_values": [3, 5],
            "images_per_step": 2,
        }
        async with open_app(settings) as app:
            result = await app.learning.run_learning_plan(plan, {"txt2img": SMALL})
    assert result.outcome is Outcome.SUCCEEDED
    records = list(read_records(runs / "learning_records.jsonl"))
    assert len(records) == 2
    stored = json.loads((runs / result.plan_id / "plan.json").read_text())
    assert (stored["backend"], stored["backend_version"]) == ("comfyui", "0.3.64")
    assert stored["url"] == comfyui.url


def test_a_comfyui_listens_elsewhere() -> None:
    assert Settings(backend="comfyui").url == "http://127.0.0.1:8188"
    assert Settings(backend="webui").url == Settings().url == "http://127.0.0.1:7860"
