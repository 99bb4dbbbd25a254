"""What lies behind a name, and what a server is set to, count for what is reused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from stablenew.app import open_app
from stablenew.backends.webui.backend import WebUIBackend
from stablenew.config.settings import Settings
from stablenew.errors import BackendProtocolError
from stablenew.learning.learning_result import LearningExecutionResult
from stablenew.pipeline.results import StageOutput
from tests.webui.driving import SMALL, Reports, stage_request
from tests.webui.profiles import A1111, FORGE, Profile
from tests.webui.server import WebUI, serve
from tests.webui.shelf import Shelf

A, B = "a" * 64, "b" * 64
VAE = "soft.safetensors"
SWEEP = {"target_variable": "txt2img.cfg_scale", "sweep_values": [3, 7, 9]}


def settings(webui: WebUI, runs: Path) -> Settings:
    return Settings(out=runs, backend="webui", url=webui.url)


async def sweep(
    webui: WebUI, runs: Path, prompt: str = "a cat", **stages: Mapping[str, object]
) -> tuple[LearningExecutionResult, int]:
    """Run the sweep in an app of its own; return what became of it, and how many were made."""
    before = len(webui.jobs)
    txt2img = {**SMALL, "steps": 2, "prompt": prompt, **stages.pop("txt2img", {})}
    on = {name: {"enabled": True, **values} for name, values in stages.items()}
    async with open_app(settings(webui, runs)) as app:
        result = await app.learning.run_learning_plan(SWEEP, {"txt2img": txt2img, **on})
    assert result.success
    return result, len(webui.jobs) - before


def outputs(result: LearningExecutionResult) -> list[StageOutput]:
    runs = [step.run_result for step in result.step_results if step.run_result]
    return [output for run in runs for output in run.outputs]


def shelf(**how: Any) -> Shelf:
    return Shelf(loras={"film": A, "grain": A}, embeddings={"foggy": A}, vaes={VAE: A}, **how)


Change = Callable[[WebUI], object]
CHANGES: dict[str, Change] = {
    "a LoRA": lambda webui: webui.shelf.loras.update(film=B),
    "an embedding": lambda webui: webui.shelf.embeddings.update(foggy=B),
    "a VAE": lambda webui: webui.shelf.vaes.update({VAE: B}),
    "the VAE's name": lambda webui: webui.options.update(sd_vae="None"),
    "clip skip": lambda webui: webui.options.update(CLIP_stop_at_last_layers=2),
    "ENSD": lambda webui: webui.options.update(eta_noise_seed_delta=31337),
    "eta": lambda webui: webui.options.update(eta_ancestral=0.5),
    "the source of noise": lambda webui: webui.options.update(randn_source="CPU"),
    "token merging": lambda webui: webui.options.update(token_merging_ratio=0.5),
    "the format": lambda webui: webui.options.update(samples_format="jpg"),
}
OPTIONS = {
    "sd_vae": VAE,
    "eta_noise_seed_delta": 0,
    "eta_ancestral": 1.0,
    "randn_source": "GPU",
    "token_merging_ratio": 0.0,
    "outdir_samples": "",
}


@pytest.mark.parametrize("in_metadata", [True, False], ids=["listed", "told by pictures"])
async def test_no_stale_picture_is_handed_out(runs: Path, in_metadata: bool) -> None:
    """One change after another, in one folder: after each everything is made again."""
    with serve(A1111, shelf=shelf(in_metadata=in_metadata), options=dict(OPTIONS)) as webui:
        prompt = "a foggy cat <lora:film:0.8>"
        assert (await sweep(webui, runs, prompt))[1] == 3
        for what, change in CHANGES.items():
            change(webui)
            assert (await sweep(webui, runs, prompt))[1] == 3, what


async def test_what_changes_no_picture_and_what_the_list_tells_leave_all_to_be_reused(
    runs: Path,
) -> None:
    options = {**OPTIONS, "sd_vae": "Automatic"}
    with serve(A1111, shelf=shelf(), options=options) as webui:
        assert (await sweep(webui, runs, "a cat <lora:film:0.8>"))[1] == 3
        webui.options["outdir_samples"] = "elsewhere"
        webui.shelf.loras["grain"] = B  # no tag names it
        webui.shelf.embeddings["foggy"] = B
        result, made = await sweep(webui, runs, "a cat <lora:film:0.8>")
    assert made == 0
    assert {str(step.outcome) for step in result.step_results} == {"reused"}


async def test_a_file_that_only_pictures_tell_is_looked_at_by_making_one(runs: Path) -> None:
    with serve(A1111, shelf=shelf(in_metadata=False), options=dict(OPTIONS)) as webui:
        first, made = await sweep(webui, runs, "a cat <lora:film:0.8>")
        assert made == 3
        again, made = await sweep(webui, runs, "a cat <lora:film:0.8>")
    assert made == 1
    told = {"lora:film": A[:8], f"vae:{VAE}": A[:8]}
    assert {tuple(each.hashes.items()) for each in outputs(first)} == {tuple(told.items())}
    assert [each.sha256 for each in outputs(again)] == [each.sha256 for each in outputs(first)]


async def test_what_nobody_can_tell_is_said_once_where_it_is_reused(runs: Path) -> None:
    upscale = {"upscaler_1": "SwinIR_4x"}
    with serve(A1111) as webui:
        first, _ = await sweep(webui, runs, upscale=upscale)
        assert [each.warnings for each in outputs(first)] == [()] * 6
        again, made = await sweep(webui, runs, upscale=upscale)
    assert made == 0
    notes = {warning for each in outputs(again) for warning in each.warnings}
    assert notes == {
        "reused by name alone: the backend tells no hash of model randsd15-tiny-a",
        "reused by name alone: the backend tells no hash of upscaler SwinIR_4x",
    }


async def test_a_lora_that_was_put_there_just_now_is_found(runs: Path) -> None:
    with serve(A1111, shelf=shelf()) as webui:
        webui.shelf.loras["new"] = A
        assert (await sweep(webui, runs, "a cat <lora:new:0.8>"))[1] == 3


@pytest.mark.parametrize("layers", [2, 2.0])
async def test_the_servers_own_clip_skip_and_vae_are_used_and_recorded(
    runs: Path, layers: float
) -> None:
    options = {"CLIP_stop_at_last_layers": layers, "sd_vae": VAE}
    with serve(A1111, shelf=shelf(), options=options) as webui:
        result, _ = await sweep(webui, runs)
        (sent, *_) = webui.paths("txt2img")
    assert sent["override_settings"]["CLIP_stop_at_last_layers"] == 2
    for output in outputs(result):
        assert (output.settings["clip_skip"], output.settings["vae"]) == (2, VAE)


MODULES = ("/srv/models/VAE/ae.safetensors", "/srv/models/VAE/mse.safetensors")
ENCODERS = ("/srv/models/text_encoder/clip_l.safetensors", "/srv/models/VAE/t5xxl_fp16.safetensors")


def forge_shelf() -> Shelf:
    return Shelf(modules=(*MODULES, *ENCODERS))


async def test_forges_own_modules_are_recorded_and_count(runs: Path) -> None:
    options = {"forge_additional_modules": [MODULES[0], *ENCODERS]}
    with serve(FORGE, shelf=forge_shelf(), options=options) as webui:
        webui.saved_options.add("forge_additional_modules")
        result, made = await sweep(webui, runs)
        assert made == 3
        for output in outputs(result):
            assert output.settings["vae"] == "ae.safetensors"
            assert output.settings["modules"] == "ae, clip_l, t5xxl_fp16"
        webui.options["forge_additional_modules"] = [MODULES[1], *ENCODERS]
        assert (await sweep(webui, runs))[1] == 3
        webui.options["forge_additional_modules"] = [MODULES[1], ENCODERS[0]]
        assert (await sweep(webui, runs))[1] == 3
        assert (await sweep(webui, runs))[1] == 0


async def test_a_vae_of_forge_takes_no_text_encoder_away(runs: Path) -> None:
    own = [MODULES[0], *ENCODERS]
    with serve(FORGE, shelf=forge_shelf(), options={"forge_additional_modules": own}) as webui:
        result, _ = await sweep(webui, runs, txt2img={"vae": "mse"})
        assert {each.settings["modules"] for each in outputs(result)} == {"mse, clip_l, t5xxl_fp16"}
        assert webui.options["forge_additional_modules"] == own


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
async def test_a_vae_of_forge_stays_for_nobody(runs: Path, busy: bool) -> None:
    with serve(FORGE, shelf=forge_shelf()) as webui:
        async with open_app(settings(webui, runs)) as app:
            await app.pipeline.capabilities()
            if busy:  # while a job runs that may be anybody's, nothing is written
                webui.state.job, webui.state.job_count = "Upscale", 1
                webui.state.sampling_steps = 1
            txt2img = {**SMALL, "vae": "mse.safetensors"}
            result = await app.learning.run_learning_plan(SWEEP, {"txt2img": txt2img})
        assert {each.settings["modules"] for each in outputs(result)} == {"mse"}
        assert webui.options["forge_additional_modules"] == []


async def test_a_module_that_forge_dropped_is_an_error() -> None:
    with serve(FORGE, shelf=forge_shelf()) as webui:
        async with WebUIBackend(webui.url) as backend:
            request = stage_request(await backend.capabilities(), vae="mse")
            webui.shelf.modules = MODULES[:1]
            with pytest.raises(BackendProtocolError, match=r"'mse.safetensors', the server used n"):
                await backend.run_stage(request, Reports())


@pytest.mark.parametrize("profile", [A1111, FORGE], ids=lambda profile: profile.name)
async def test_a_vae_is_named_without_its_ending_too(runs: Path, profile: Profile) -> None:
    with serve(profile, shelf=Shelf(vaes={VAE: A}, modules=(f"/srv/VAE/{VAE}",))) as webui:
        result, _ = await sweep(webui, runs, txt2img={"vae": "Soft"})
    assert {each.settings["vae"] for each in outputs(result)} == {VAE}


async def test_a_plan_that_goes_on_makes_again_what_had_another_lora(runs: Path) -> None:
    with serve(A1111, shelf=shelf()) as webui:
        result, _ = await sweep(webui, runs, "a cat <lora:film:0.8>")
        for digest, expected in ((A, 0), (B, 3), (B, 0)):
            webui.shelf.loras["film"] = digest
            before = len(webui.jobs)
            async with open_app(settings(webui, runs)) as app:
                assert (await app.learning.resume_plan(result.plan_id)).success
            assert len(webui.jobs) - before == expected


async def test_a_plan_that_goes_on_believes_its_pictures_where_only_they_can_tell(
    runs: Path,
) -> None:
    with serve(A1111, shelf=shelf(in_metadata=False), options=dict(OPTIONS)) as webui:
        result, made = await sweep(webui, runs, "a foggy cat <lora:film:0.8>")
        async with open_app(settings(webui, runs)) as app:
            again = await app.learning.resume_plan(result.plan_id)
        assert again.success
        assert len(webui.jobs) == made
