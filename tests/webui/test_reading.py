"""Every way in which an answer may not be what was asked for; and errors of every shape."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stablenew.backends.answers import Answer, error_text, refusal
from stablenew.backends.base import StageRequest
from stablenew.backends.webui.calls import Call, adetailer_args, build_call
from stablenew.backends.webui.reading import read_picture
from stablenew.backends.webui.server import Flavour, Model, Server, read_models
from stablenew.config.infotext import infotext, read_infotext
from stablenew.errors import BackendProtocolError, BackendRejectedError, BackendUnavailableError
from tests.webui.pictures import png

MODELS = (
    Model(
        name="one",
        stem="one",
        title="one.safetensors [abc]",
        spellings=("one", "one.safetensors [abc]"),
    ),
    Model(name="two", stem="two", title="two.safetensors", spellings=("two",)),
)
SERVER = Server(
    flavour=Flavour.A1111,
    options={"sd_model_checkpoint": "one", "sd_vae": "Automatic", "CLIP_stop_at_last_layers": 1},
    models=MODELS,
)
SETTINGS: dict[str, Any] = {
    "prompt": "a cat",
    "seed": 5,
    "steps": 20,
    "cfg_scale": 7,
    "sampler_name": "Euler",
    "scheduler": "Karras",
    "model": "one",
    "clip_skip": 1,
    "width": 64,
    "height": 64,
}
INFO: dict[str, Any] = {
    "prompt": "a cat",
    "negative_prompt": "",
    "seed": 5,
    "steps": 20,
    "cfg_scale": 7.0,
    "sampler_name": "Euler",
    "sd_model_name": "one",
    "sd_model_hash": "abc",
    "clip_skip": 1,
    "index_of_first_image": 0,
    "job_timestamp": "20261120120000",
}
LINE = "Steps: 20, Sampler: Euler, Schedule type: Karras, CFG scale: 7, Seed: 5"


def answer(
    info: Mapping[str, Any] = INFO,
    *,
    line: str = LINE,
    size: tuple[int, int] = (64, 64),
    **more: Any,
) -> Answer:
    picture = base64.b64encode(png(*size, 1, {"parameters": f"a cat\n{line}"})).decode()
    told = {**info, "infotexts": [f"a cat\n{line}"]}
    body = {"images": [picture], "info": json.dumps(told), **more}
    return Answer(status=200, content_type="application/json", body=json.dumps(body).encode())


def call(stage: str = "txt2img", image: bytes | None = None, **settings: Any) -> Call:
    request = StageRequest(
        request_id="r", stage=stage, settings={**SETTINGS, **settings}, image=image
    )
    return build_call(request, SERVER)


def sent(**settings: Any) -> dict[str, Any]:
    content = json.loads(call(**settings).content)
    assert isinstance(content, dict)
    return content


def test_what_was_asked_for_is_taken() -> None:
    made = read_picture(answer(), call(), SERVER)
    assert made.timestamp == "20261120120000"
    assert made.picture.warnings == ()
    used = made.picture.settings
    assert (used["model"], used["model_hash"], used["scheduler"]) == ("one", "abc", "Karras")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"seed": 6}, "asked for seed 5, the server used 6"),
        ({"steps": 10}, "asked for steps 20, the server used 10"),
        ({"cfg_scale": 1.0}, "asked for cfg_scale 7, the server used 1.0"),
        ({"clip_skip": 2}, "asked for clip_skip 1, the server used 2"),
        ({"sampler_name": "DPM++ 2M"}, "sampler_name 'Euler', the server used 'DPM++ 2M'"),
        ({"sd_model_name": "two"}, "asked for model 'one', the server used 'two'"),
    ],
)
def test_what_was_used_instead_is_an_error_that_names_both(
    changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(BackendProtocolError) as caught:
        read_picture(answer({**INFO, **changed}), call(), SERVER)
    assert said in str(caught.value)
    assert not caught.value.retryable


def test_another_scheduler_is_an_error_unless_it_was_left_to_the_server() -> None:
    other = answer(line=LINE.replace("Karras", "Exponential"))
    with pytest.raises(BackendProtocolError, match="'Karras', the server used 'Exponential'"):
        read_picture(other, call(), SERVER)
    made = read_picture(other, call(scheduler="Automatic"), SERVER)
    assert made.picture.settings["scheduler"] == "Exponential"


def test_another_vae_is_an_error() -> None:
    used = answer({**INFO, "sd_vae_name": "b.pt"})
    with pytest.raises(BackendProtocolError, match=r"vae 'a.pt', the server used 'b.pt'"):
        read_picture(used, call(vae="a.pt"), SERVER)
    assert read_picture(used, call(vae="Automatic"), SERVER).picture.settings["vae"] == "b.pt"


def test_a_hires_pass_or_a_refiner_that_is_missing_is_an_error() -> None:
    hires = call(enable_hr=True, hr_scale=1, denoising_strength=0.5)
    with pytest.raises(BackendProtocolError, match="asked for hires, the server left it out"):
        read_picture(answer(), hires, SERVER)
    assert read_picture(answer(line=f"{LINE}, Hires upscale: 1"), hires, SERVER)
    refiner = call(refiner_checkpoint="two", refiner_switch_at=0.8)
    with pytest.raises(BackendProtocolError, match="asked for refiner"):
        read_picture(answer(), refiner, SERVER)
    assert read_picture(answer(line=f"{LINE}, Refiner: two"), refiner, SERVER)


def test_a_hires_pass_that_was_cut_short_is_an_error() -> None:
    hires = call(enable_hr=True, hr_scale=2, denoising_strength=0.5)
    with pytest.raises(BackendProtocolError, match="128x128 pixels, got 64x64"):
        read_picture(answer(line=f"{LINE}, Hires upscale: 2"), hires, SERVER)


def test_a_changed_prompt_is_told_and_kept() -> None:
    picture = read_picture(answer({**INFO, "prompt": "a cat, best"}), call(), SERVER).picture
    assert picture.settings["prompt"] == "a cat, best"
    assert picture.warnings == ("the server changed the prompt to 'a cat, best'",)


def test_a_grid_is_sliced_off_and_pictures_of_scripts_are_left_out() -> None:
    picture, grid, mask = (
        base64.b64encode(png(side, 64, side, {})).decode() for side in (64, 128, 72)
    )
    info = {**INFO, "index_of_first_image": 1, "infotexts": ["", f"a cat\n{LINE}"]}
    body = {"images": [grid, picture, mask], "info": json.dumps(info)}
    whole = Answer(status=200, content_type="", body=json.dumps(body).encode())
    assert read_picture(whole, call(), SERVER).picture.width == 64


@pytest.mark.parametrize("images", [[], None])
def test_fewer_pictures_than_asked_for_is_an_error(images: object) -> None:
    with pytest.raises(BackendProtocolError, match="asked for 1 picture, got 0"):
        read_picture(answer(images=images), call(), SERVER)


def test_a_picture_may_come_with_slashes_escaped_or_as_a_data_url() -> None:
    data = png(64, 64, 1, {"parameters": f"a cat\n{LINE}"})
    encoded = base64.b64encode(data).decode()
    plain = json.dumps({"images": [encoded], "info": json.dumps(INFO)})
    for body in (
        plain.replace("/", "\\/"),
        plain.replace(encoded, f"data:image/png;base64,{encoded}"),
    ):
        whole = Answer(status=200, content_type="", body=body.encode())
        assert read_picture(whole, call(), SERVER).picture.data == data


@pytest.mark.parametrize(
    "body",
    [
        b'{"images": ["not base64!"], "info": ""}',
        b'{"images": ["iVBORw0KGgo',
        b"<html>log in</html>",
        b"",
    ],
)
def test_what_was_cut_on_its_way_is_worth_another_try(body: bytes) -> None:
    whole = Answer(status=200, content_type="text/html", body=body)
    with pytest.raises(BackendProtocolError) as caught:
        read_picture(whole, call(), SERVER)
    assert caught.value.retryable


@pytest.mark.parametrize(
    "body",
    [
        b'{"images": ["aGVsbG8="], "info": ""}',
        b'{"images": 5}',
        b"[]",
        b"5",
    ],
)
def test_what_came_whole_and_is_something_else_is_not(body: bytes) -> None:
    whole = Answer(status=200, content_type="application/json", body=body)
    with pytest.raises(BackendProtocolError) as caught:
        read_picture(whole, call(), SERVER)
    assert not caught.value.retryable
    assert "0x" not in str(caught.value)


def test_a_picture_that_was_garbled_on_its_way_is_not_taken() -> None:
    data = bytearray(png(64, 64, 1, {}))
    data[len(data) // 2] ^= 1
    body = {"images": [base64.b64encode(data).decode()], "info": json.dumps(INFO)}
    whole = Answer(status=200, content_type="", body=json.dumps(body).encode())
    with pytest.raises(BackendProtocolError, match="cannot be read"):
        read_picture(whole, call(), SERVER)


def test_a_server_that_tells_nothing_is_believed() -> None:
    picture = read_picture(answer({}, line="x"), call(), SERVER).picture
    assert picture.settings["sampler_name"] == "Euler"


def test_what_goes_out_says_everything_and_nothing_twice() -> None:
    body = sent(negative_prompt="dog", subseed=3, subseed_strength=0.2, hr_scale=2)
    assert body["override_settings"] == {
        "sd_model_checkpoint": "one.safetensors [abc]",
        "CLIP_stop_at_last_layers": 1,
    }
    assert (body["batch_size"], body["n_iter"], body["save_images"]) == (1, 1, False)
    assert (body["subseed"], body["subseed_strength"]) == (3, 0.2)
    assert not {"model", "clip_skip", "hr_scale", "denoising_strength"} & body.keys()


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({"hr_scale": 1.5}, (96, 96)),
        ({"hr_resize_x": 96, "hr_resize_y": 128}, (96, 128)),
        ({"hr_resize_x": 128, "hr_resize_y": 0}, (128, 128)),
        ({"hr_resize_y": 96}, (96, 96)),
        ({}, (128, 128)),
    ],
)
def test_the_size_after_hires_fix(settings: dict[str, Any], size: tuple[int, int]) -> None:
    assert call(enable_hr=True, **settings).size == size


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({"upscaling_resize": 1.5}, (96, 96)),
        ({"upscaling_resize": 1.3}, (80, 80)),
        ({"resize_mode": 1, "upscaling_resize_w": 100, "upscaling_resize_h": 50}, (100, 50)),
        (
            {
                "resize_mode": 1,
                "upscaling_resize_w": 100,
                "upscaling_resize_h": 50,
                "upscaling_crop": False,
            },
            (96, 96),
        ),
    ],
)
def test_the_size_after_an_upscale_is_as_recorded(
    settings: dict[str, Any], size: tuple[int, int]
) -> None:
    image = png(64, 64, 1, {})
    assert call("upscale", image, upscaler_1="Lanczos", **settings).size == size


def test_forge_takes_its_vae_as_a_module() -> None:
    server = Server(
        flavour=Flavour.FORGE,
        options={"forge_additional_modules": []},
        vaes={"a.safetensors": "/vae/a.safetensors"},
    )
    request = StageRequest(request_id="r", stage="txt2img", settings={"vae": "a.safetensors"})
    body = json.loads(build_call(request, server).content)
    assert body["override_settings"] == {"forge_additional_modules": ["/vae/a.safetensors"]}


def test_a_broken_picture_to_start_from_is_told() -> None:
    with pytest.raises(BackendProtocolError, match="cannot read the picture to start from"):
        call("img2img", b"no picture")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error":"RuntimeError","detail":"","body":"","errors":"no"}', "RuntimeError: no"),
        (b'{"error":"RuntimeError","detail":"","body":"","message":"no"}', "RuntimeError: no"),
        (b'{"error":"HTTPException","detail":"gone","body":"","errors":""}', "gone"),
        (b'{"detail":"Not Found"}', "Not Found"),
        (b'{"detail":[{"loc":["body","steps"],"msg":"bad"},{"msg":"worse"}]}', "steps: bad; worse"),
        (b'{"error":"prompt required"}', "prompt required"),
        (b"<html><style>p{}</style><h1>502 Bad  Gateway</h1></html>", "502 Bad Gateway"),
        (b"", ""),
        (b"null", ""),
        (b"[]", ""),
    ],
)
def test_errors_of_every_shape_are_understood(body: bytes, said: str) -> None:
    assert error_text(body) == said


@given(st.binary(max_size=300) | st.recursive(
    st.none() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["error", "detail", "errors", "message", "loc"]), inner),
    max_leaves=8,
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
@example(b'{"detail": [{"loc": 1}]}')
def test_no_error_is_too_odd_to_be_told(body: bytes) -> None:
    assert len(error_text(body)) <= 300


@pytest.mark.parametrize(
    ("status", "kind"),
    [(500, BackendRejectedError), (422, BackendRejectedError), (503, BackendUnavailableError)],
)
def test_a_status_decides_whether_the_server_is_away(status: int, kind: type[Exception]) -> None:
    error = refusal(Answer(status=status, content_type="", body=b""), "POST /x")
    assert type(error) is kind
    assert error.retryable == (status == 503)


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20),
    st.integers(1, 100),
    st.sampled_from(["Euler a", "DPM++ 2M", 'odd, "name": x', "a\\b"]),
)
def test_an_infotext_is_read_as_it_was_written(prompt: str, steps: int, sampler: str) -> None:
    written = infotext(
        {
            "prompt": prompt,
            "steps": steps,
            "sampler_name": sampler,
            "width": 8,
            "height": 8,
            "seed": 1,
        },
        "1.0",
    )
    pairs = read_infotext(written)
    assert pairs["Steps"] == str(steps)
    assert pairs["Sampler"] == sampler
    assert pairs["Size"] == "8x8"


@pytest.mark.parametrize("text", ["", "a cat", "a cat\nSteps: 4, Seed: 1", "\n\n"])
def test_what_has_fewer_than_three_pairs_is_no_infotext(text: str) -> None:
    assert read_infotext(text) == {}


def test_models_in_two_folders_with_one_file_name_are_told_apart() -> None:
    listed = [
        {
            "title": f"{folder}/model.safetensors [{digest}]",
            "model_name": f"{folder}_model",
            "hash": digest,
            "sha256": digest * 6,
            "filename": f"/models/{folder}/model.safetensors",
        }
        for folder, digest in (("sd15", "aaaaaaaaaa"), ("sdxl", "bbbbbbbbbb"))
    ]
    models = read_models(listed)
    server = Server(
        flavour=Flavour.A1111,
        options={"sd_model_checkpoint": "sdxl/model.safetensors [bbbbbbbbbb]"},
        models=models,
    )
    assert [model.name for model in models] == ["sd15_model", "sdxl_model"]
    assert server.model == "sdxl_model"
    assert server.model_title("sdxl_model") == "sdxl/model.safetensors [bbbbbbbbbb]"
    assert server.model_name("bbbbbbbbbb") == "sdxl_model"
    assert server.model_name("model") is None
    assert server.is_model("sdxl_model", "model", "bbbbbbbbbb")
    assert not server.is_model("sdxl_model", "model", "aaaaaaaaaa")


def test_adetailer_gets_a_scheduler_only_beside_a_sampler() -> None:
    assert adetailer_args({"ad_model": "x", "ad_scheduler": "Karras"}) == {"ad_model": "x"}
    args = adetailer_args({"ad_sampler": "Euler", "ad_scheduler": "Karras", "ad_cfg_scale": 3})
    assert args["ad_scheduler"] == "Karras"
    assert (args["ad_use_sampler"], args["ad_use_cfg_scale"]) == (True, True)


def test_adetailers_seed_is_compared_and_its_skipped_sampling_is_not() -> None:
    image = png(64, 64, 1, {})
    asked = call("adetailer", image, ad_model="x", ad_steps=9)
    detailed = f"{LINE}, ADetailer model: x"
    skipped = {**INFO, "steps": 1, "sampler_name": "Euler a"}
    assert read_picture(answer(skipped, line=detailed), asked, SERVER)
    with pytest.raises(BackendProtocolError, match="asked for seed 5, the server used 6"):
        read_picture(answer({**skipped, "seed": 6}, line=detailed), asked, SERVER)


def test_hires_fix_says_its_steps_in_every_servers_words() -> None:
    body = sent(enable_hr=True, hr_second_pass_steps=7, denoising_strength=0.6)
    assert (body["hr_second_pass_steps"], body["hr_steps"]) == (7, 7)
    assert body["denoising_strength"] == 0.6
    assert "hr_steps" not in sent(enable_hr=True)
