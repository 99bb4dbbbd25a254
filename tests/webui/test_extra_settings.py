"""What is sent as it is, and what only some servers have, on every kind of server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from stablenew.app import open_app
from stablenew.backends.embedded.capabilities import EMBEDDED_CAPABILITIES
from stablenew.backends.fake import FAKE_CAPABILITIES
from stablenew.backends.webui.backend import WebUIBackend
from stablenew.config.pipeline_config import PipelineConfig
from stablenew.config.settings import Settings
from stablenew.errors import ConfigError
from stablenew.learning.learning_record_reader import read_records
from stablenew.pipeline.results import Outcome, PipelineRunResult
from stablenew.pipeline.stage_plan import StagePlan, plan_stages
from tests.pictures_to_start_from import write
from tests.webui.profiles import A1111, FORGE, SDCPP, SDNEXT, Profile
from tests.webui.server import WebUI, serve

TXT2IMG = {"prompt": "a cat", "seed": 7, "steps": 2, "width": 64, "height": 64}
DELTA = "override_settings.eta_noise_seed_delta"
OPTIONS = {"eta_noise_seed_delta": 0, "randn_source": "GPU"}


async def run(
    webui: WebUI, tmp_path: Path, asked: Mapping[str, object], **settings: Any
) -> PipelineRunResult:
    told = Settings(out=tmp_path / "runs", backend="webui", url=webui.url, **settings)
    async with open_app(told) as app:
        return await app.pipeline.run_pipeline(asked)


async def problems(webui: WebUI, asked: Mapping[str, object]) -> tuple[str, ...]:
    async with WebUIBackend(webui.url) as backend:
        capabilities = await backend.capabilities()
    with pytest.raises(ConfigError) as caught:
        plan_stages(PipelineConfig.from_dict(asked), capabilities)
    assert not webui.jobs
    return caught.value.problems


def txt2img(**settings: object) -> dict[str, object]:
    return {"txt2img": {**TXT2IMG, **settings}}


async def test_extra_settings_are_sent_as_they_are_and_recorded(tmp_path: Path) -> None:
    extra = {
        "s_min_uncond": 1.5,
        "override_settings": {"eta_noise_seed_delta": 31337},
        "alwayson_scripts": {"Hypertile": {"args": [True, {"size": 8}]}},
    }
    asked = txt2img(model="randsd15-tiny-b", extra=extra)
    with serve(A1111, options=dict(OPTIONS)) as webui:
        result = await run(webui, tmp_path, asked, learning_enabled=True)
        (sent,) = webui.paths("txt2img")
        assert webui.options["eta_noise_seed_delta"] == 0  # the server's own, as before
    assert result.outcome is Outcome.SUCCEEDED, result.error
    assert sent["s_min_uncond"] == 1.5
    overridden = sent["override_settings"]
    assert overridden["eta_noise_seed_delta"] == 31337
    assert overridden["sd_model_checkpoint"] == "randsd15-tiny-b.safetensors"
    assert sent["override_settings_restore_afterwards"] is True
    assert sent["alwayson_scripts"] == extra["alwayson_scripts"]
    assert not [name for name in sent if name.startswith("extra")]
    (record,) = read_records(tmp_path / "runs" / "learning_records.jsonl")
    base: Any = record.base_config["txt2img"]
    assert base["extra"][DELTA] == 31337


async def test_extra_settings_are_swept_and_tell_pictures_apart(tmp_path: Path) -> None:
    plan = {"axes": [{"path": f"txt2img.extra.{DELTA}", "values": "1:3"}]}
    with serve(A1111, options=dict(OPTIONS)) as webui:
        told = Settings(
            out=tmp_path / "runs", backend="webui", url=webui.url, learning_enabled=True
        )
        async with open_app(told) as app:
            result = await app.learning.run_learning_plan(plan, txt2img())
            again = await app.learning.run_learning_plan(plan, txt2img())
        sent = [each["override_settings"] for each in webui.paths("txt2img")]
    assert [each["eta_noise_seed_delta"] for each in sent] == [1, 2, 3]
    assert {step.outcome for step in again.step_results} == {Outcome.REUSED}
    assert [step.step.value for step in result.step_results] == [1, 2, 3]
    varied = [record.metadata["varied"] for record in read_records(told.records_path)]
    assert varied[:3] == [{f"txt2img.extra.{DELTA}": value} for value in (1, 2, 3)]


async def test_each_stage_has_its_own(tmp_path: Path) -> None:
    asked = {
        "image": str(write(tmp_path / "a.png")),
        "txt2img": {**TXT2IMG, "enabled": False},
        "img2img": {"enabled": True, "extra": {"image_cfg_scale": 2}},
        "adetailer": {
            "enabled": True,
            "ad_model": "face_yolov8n.pt",
            "extra": {"alwayson_scripts.ADetailer.args.2.ad_mask_min_ratio": 0.1},
        },
        "upscale": {"enabled": True, "upscaler_1": "Lanczos", "extra": {"upscale_first": True}},
    }
    with serve(A1111) as webui:
        result = await run(webui, tmp_path, asked)
        img2img, adetailer = webui.paths("img2img")
        (extras,) = webui.paths("extra-single-image")
    assert result.outcome is Outcome.SUCCEEDED, result.error
    assert (img2img["image_cfg_scale"], extras["upscale_first"]) == (2, True)
    tab = adetailer["alwayson_scripts"]["ADetailer"]["args"][2]
    assert (tab["ad_model"], tab["ad_mask_min_ratio"]) == ("face_yolov8n.pt", 0.1)
    assert "image_cfg_scale" not in adetailer


async def test_what_a_server_lacks_is_said_all_at_once_before_anything_runs() -> None:
    extra = {
        "s_min_uncnd": 1,
        "override_settings": {"eta_noise_seed_delt": 3},
        "alwayson_scripts": {"ControlNet": {"args": [{"weight": 1}]}},
        "script_args.1": 5,
    }
    with serve(A1111, options=dict(OPTIONS)) as webui:
        found = await problems(
            webui, txt2img(extra=extra, distilled_cfg_scale=3.5, randn_source="TPU", styles="x")
        )
    lacks = "given, but the webui backend (AUTOMATIC1111) has no such field; "
    assert found[0].startswith("txt2img.distilled_cfg_scale: given 3.5, but the webui backend")
    assert found[1:5] == (
        "txt2img.styles: given 'x', there is none",
        "txt2img.randn_source: given 'TPU', did you mean GPU or CPU?",
        f"txt2img.extra.s_min_uncnd: {lacks}did you mean txt2img.extra.s_min_uncond?",
        f"txt2img.extra.override_settings.eta_noise_seed_delt: {lacks}"
        "did you mean txt2img.extra.override_settings.eta_noise_seed_delta or txt2img.extra."
        "override_settings.return_grid or txt2img.extra.override_settings.enable_pnginfo?",
    )
    assert found[5].startswith(f"txt2img.extra.alwayson_scripts.ControlNet.args.0.weight: {lacks}")
    assert found[6:] == (
        "txt2img.extra.script_args.1: given, but not extra.script_args.0 before it",
    )


async def test_a_server_that_does_not_describe_itself_is_sent_what_is_given(
    tmp_path: Path,
) -> None:
    from tests.webui.requests import http

    with serve(A1111, refused={"/openapi.json": http(404, "Not Found")}) as webui:
        result = await run(webui, tmp_path, txt2img(extra={"whatever": 1}))
        (sent,) = webui.paths("txt2img")
    assert (result.outcome, sent["whatever"]) == (Outcome.SUCCEEDED, 1)


@pytest.mark.parametrize(
    ("profile", "has", "lacks"),
    [
        (A1111, {"eta", "s_churn", "s_noise", "restore_faces", "tiling"}, {"distilled_cfg_scale"}),
        (FORGE, {"eta", "distilled_cfg_scale", "styles"}, set()),
        (SDNEXT, {"eta", "tiling", "styles"}, {"s_churn", "s_noise", "restore_faces"}),
        (SDCPP, set(), {"eta", "tiling", "distilled_cfg_scale", "randn_source"}),
    ],
    ids=lambda each: getattr(each, "name", ""),
)
async def test_settings_that_only_some_servers_have_are_those_of_the_server(
    profile: Profile, has: set[str], lacks: set[str]
) -> None:
    with serve(profile) as webui:
        async with WebUIBackend(webui.url) as backend:
            stages = (await backend.capabilities()).stages
    for stage in ("txt2img", "img2img"):
        assert has <= set(stages[stage])
        assert not lacks & set(stages[stage])


async def test_settings_that_have_a_name_are_sent_as_the_api_has_them(tmp_path: Path) -> None:
    named = {"distilled_cfg_scale": 3.5, "restore_faces": True, "tiling": True, "eta": 0.5}
    sampled = {"s_churn": 1.0, "s_noise": 1.1, "styles": "Photo, Ink", "randn_source": "CPU"}
    styles = [{"name": name, "prompt": "x", "negative_prompt": ""} for name in ("Photo", "Ink")]
    with serve(FORGE, options=dict(OPTIONS)) as webui:
        webui.shelf.styles[:] = styles
        asked = {**txt2img(**named, **sampled), "img2img": {"enabled": True}}
        result = await run(webui, tmp_path, asked)
        (sent,), (inherited,) = webui.paths("txt2img"), webui.paths("img2img")
        assert webui.options["randn_source"] == "GPU"
    assert result.outcome is Outcome.SUCCEEDED, result.error
    for body in (sent, inherited):  # img2img is sampled as txt2img is
        assert {name: body[name] for name in named} == named
        assert (body["s_churn"], body["s_noise"]) == (1.0, 1.1)
        assert body["styles"] == ["Photo", "Ink"]
        assert body["override_settings"]["randn_source"] == "CPU"
        assert "randn_source" not in body
    for output in result.outputs:  # what a style does to a prompt is asked for, and recorded
        assert output.settings["prompt"] == "a cat, x, x"
        assert not any("changed the prompt" in warning for warning in output.warnings)


async def test_what_a_style_writes_is_in_the_fingerprint() -> None:
    async def planned(text: str) -> StagePlan:
        with serve(A1111) as webui:
            webui.shelf.styles.append({"name": "Ink", "prompt": text, "negative_prompt": ""})
            async with WebUIBackend(webui.url) as backend:
                capabilities = await backend.capabilities()
        return plan_stages(PipelineConfig.from_dict(txt2img(styles="Ink")), capabilities)

    one, same, other = [(await planned(text)).fingerprints(1) for text in ("a", "a", "b")]
    assert one == same != other


def test_a_fingerprint_without_extra_settings_is_what_it_was() -> None:
    plain = plan_stages(PipelineConfig.from_dict(txt2img()), FAKE_CAPABILITIES)
    extra = plan_stages(PipelineConfig.from_dict(txt2img(extra={"x": 1})), FAKE_CAPABILITIES)
    assert plain.fingerprints(1) != extra.fingerprints(1)
    before = "3421be1c51b129358173d36c08311864adfca941470acf03d04bb3839ff181dd"
    assert plain.fingerprints(1) == [[before]]


async def test_a_backend_that_sends_no_request_takes_nothing_there() -> None:
    asked = {"txt2img": {"prompt": "a cat", "extra": {"a": 1, DELTA: 2}}}
    with pytest.raises(ConfigError) as caught:
        plan_stages(PipelineConfig.from_dict(asked), EMBEDDED_CAPABILITIES)
    assert caught.value.problems == (
        f"txt2img.extra: given a, {DELTA}, but the embedded backend takes nothing there",
    )
    with serve(SDCPP) as webui:
        found = await problems(webui, txt2img(extra={DELTA: 2}))
    assert found[0].startswith(f"txt2img.extra.{DELTA}: given, but the webui backend (stable-diff")
