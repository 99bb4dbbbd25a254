"""From a request to what is sent: every field that matters, said explicitly.

What these servers do with a field that is missing, unknown or misspelt is their secret: the size of
an img2img is 512 × 512 then, hires fix fails or samples at a cfg_scale of 1, ADetailer runs with
whatever its page shows.
"""

from __future__ import annotations

import io
from collections.abc import Mapping

import anyio.to_thread
import attrs
import msgspec

from stablenew._convert import frozen_mapping
from stablenew.backends.base import StageRequest
from stablenew.backends.picture_sizes import hires_size, upscaled_size
from stablenew.backends.webui.loaded import modules_for
from stablenew.backends.webui.request_fields import RANDN_SOURCE
from stablenew.backends.webui.sdnext.fields import hires_fields, resize_fields
from stablenew.backends.webui.server import (
    CHECKPOINT,
    CLIP_SKIP,
    MODULES,
    VAE,
    Flavour,
    Server,
)
from stablenew.config.extra_settings import extra_of, is_extra, placed, style_names
from stablenew.config.pipeline_config import Setting
from stablenew.errors import BackendProtocolError

API = "/sdapi/v1"

_OVERRIDES = ("model", "vae", "clip_skip", RANDN_SOURCE)
_HIRES = "hr_"
_NOT_SENT = (*_OVERRIDES, "enable_hr", "upscale_mode")


@attrs.frozen(kw_only=True)
class Call:
    """A POST that makes one picture.

    Attributes:
        path: Where to.
        content: JSON.
        kind: `txt2img`, `img2img`, `adetailer` or `extras`.
        settings: What was asked for, without what was not.
        size: Width and height that the picture should have, None where the server decides.
        overrides: The server's options that it sets, as long as it runs.
        image: The picture to start from, where it is to be held against what comes back.
    """

    path: str
    content: bytes = attrs.field(repr=False)
    kind: str
    settings: Mapping[str, Setting] = attrs.field(converter=frozen_mapping)
    size: tuple[int, int] | None
    overrides: Mapping[str, object] = attrs.field(factory=dict, converter=frozen_mapping)
    image: bytes | None = attrs.field(default=None, repr=False)


async def call_for(request: StageRequest, server: Server, task_id: str | None) -> Call:
    """Build the POST for a request: in a thread where a picture goes with it."""
    if request.image is None:
        return build_call(request, server, task_id)
    return await anyio.to_thread.run_sync(build_call, request, server, task_id)


def build_call(request: StageRequest, server: Server, task_id: str | None = None) -> Call:
    """Build the POST for a request.

    Args:
        request: What to make.
        server: Who is to make it.
        task_id: What the server shall know the job by.

    Raises:
        BackendProtocolError: The picture to start from cannot be read.
    """
    given = {name: value for name, value in request.settings.items() if value is not None}
    settings = {name: value for name, value in given.items() if not is_extra(name)}
    extra = extra_of(given)
    by_sampling = request.stage != "upscale" or settings.get("upscale_mode") == "img2img"
    kind = request.stage if request.stage != "upscale" else "img2img" if by_sampling else "extras"
    if kind == "extras":
        return _extras(settings, extra, _image(request), server)
    if request.stage == "txt2img":
        body, size = _txt2img(settings, server)
    else:
        body, size = _img2img(request, settings, server)
    body |= {
        "batch_size": 1,
        "n_iter": 1,
        "send_images": True,
        "save_images": False,
        "do_not_save_samples": True,
        "do_not_save_grid": True,
    }
    if "styles" in settings:
        body["styles"] = style_names(str(settings["styles"]))
    overrides = _overrides(settings, server)
    others = any(path.startswith("override_settings.") for path in extra)
    if overrides:
        body["override_settings"] = dict(overrides)
    if overrides or others:
        # SD.Next would load its own model again after each picture: it gets that back in the end.
        restored = others or server.flavour is not Flavour.SDNEXT
        body["override_settings_restore_afterwards"] = restored
    placed(body, extra)
    if task_id is not None and server.task_ids:
        body["force_task_id"] = task_id
    path = f"{API}/txt2img" if kind == "txt2img" else f"{API}/img2img"
    return Call(
        path=path,
        content=msgspec.json.encode(body),
        kind=kind,
        settings=given,
        size=size,
        overrides=overrides,
    )


def _txt2img(
    settings: Mapping[str, Setting], server: Server
) -> tuple[dict[str, object], tuple[int, int] | None]:
    hires = bool(settings.get("enable_hr"))
    body: dict[str, object] = {
        name: value
        for name, value in settings.items()
        if name not in _NOT_SENT
        and (hires or not (name.startswith(_HIRES) or name == "denoising_strength"))
    }
    size = _pair(settings, "width", "height")
    if hires:
        body["enable_hr"] = True
        # Forge fails without the first and samples at 1.0 without the second; others do not mind.
        body["hr_additional_modules"] = ["Use same choices"]
        body["hr_cfg"] = settings.get("cfg_scale")
        if server.flavour is Flavour.SDNEXT:
            body |= hires_fields(settings)
        if settings.get("hr_second_pass_steps"):
            body["hr_steps"] = settings["hr_second_pass_steps"]  # sd-server's name
        size = hires_size(settings, size)
    if "refiner_checkpoint" in settings:
        body["refiner_checkpoint"] = server.model_title(str(settings["refiner_checkpoint"]))
    return body, size


def _img2img(
    request: StageRequest, settings: Mapping[str, Setting], server: Server
) -> tuple[dict[str, object], tuple[int, int]]:
    image = _image(request)
    width, height = _size_of(image)
    if request.stage == "adetailer":
        # The script takes the size, steps and sampler of its own; img2img itself is skipped.
        names = ("prompt", "negative_prompt", "seed")
        body: dict[str, object] = {name: settings[name] for name in names if name in settings}
        body["alwayson_scripts"] = {"ADetailer": {"args": [True, True, adetailer_args(settings)]}}
        body["denoising_strength"] = settings.get("ad_denoising_strength", 0.4)
    else:
        left_out = (*_NOT_SENT, "upscaler_1", "resize_mode")
        body = {
            name: value
            for name, value in settings.items()
            if name not in left_out and not name.startswith("upscaling_")
        }
        upscaling = request.stage == "upscale"
        if upscaling:
            width, height = upscaled_size(settings, (width, height))
        else:
            width, height = _pair(settings, "width", "height") or (width, height)
        mode = 0 if upscaling else settings.get("resize_mode", 0)  # an upscale's is another one
        if server.flavour is Flavour.SDNEXT:
            body |= resize_fields(mode, settings.get("upscaler_1"))
        elif not upscaling:
            body["resize_mode"] = mode
    body |= {"width": width, "height": height, "init_images": [_encoded(image)]}
    body["include_init_images"] = False
    return body, (width, height)


def adetailer_args(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """Return the arguments of ADetailer's first tab.

    Each value with the switch that makes it count: without those the script takes the values of the
    picture's own sampling, which is skipped.
    """
    args = {name: value for name, value in settings.items() if name.startswith("ad_")}
    if "ad_steps" in args:
        args["ad_use_steps"] = True
    if "ad_cfg_scale" in args:
        args["ad_use_cfg_scale"] = True
    if "ad_sampler" in args:
        args["ad_use_sampler"] = True
    elif "ad_scheduler" in args:
        del args["ad_scheduler"]  # counts only beside a sampler
    return args


def _extras(
    settings: Mapping[str, Setting], extra: Mapping[str, Setting], image: bytes, server: Server
) -> Call:
    left_out = ("upscale_mode", "denoising_strength", "prompt", "negative_prompt", "seed")
    sent = {
        name: value
        for name, value in settings.items()
        if name not in (*left_out, *_OVERRIDES)
        and name not in ("steps", "cfg_scale", "sampler_name", "scheduler")
    }
    body: dict[str, object] = {**sent, "image": _encoded(image), "show_extras_results": True}
    placed(body, extra)
    return Call(
        path=f"{API}/extra-single-image",
        content=msgspec.json.encode(body),
        kind="extras",
        settings=sent,
        size=upscaled_size(sent, _size_of(image)),
        image=image if sent.get("upscaler_1") in server.unfetched else None,
    )


def _overrides(settings: Mapping[str, Setting], server: Server) -> dict[str, object]:
    """Return what a request changes for itself alone."""
    options: dict[str, object] = {}
    if "model" in settings and server.overridable(CHECKPOINT):
        options[CHECKPOINT] = server.model_title(str(settings["model"]))
    if "clip_skip" in settings and server.overridable(CLIP_SKIP):
        options[CLIP_SKIP] = settings["clip_skip"]
    if "vae" in settings and server.flavour is Flavour.FORGE and server.overridable(MODULES):
        options[MODULES] = modules_for(server, settings["vae"])
    elif "vae" in settings and server.overridable(VAE):
        options[VAE] = settings["vae"]
    if RANDN_SOURCE in settings and server.overridable(RANDN_SOURCE):
        options[RANDN_SOURCE] = settings[RANDN_SOURCE]
    return options


def _pair(settings: Mapping[str, Setting], *names: str) -> tuple[int, int] | None:
    width, height = (settings.get(name) for name in names)
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None


def _image(request: StageRequest) -> bytes:
    if request.image is None:
        raise BackendProtocolError("no picture to start from", stage=request.stage)
    return request.image


def _size_of(image: bytes) -> tuple[int, int]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(image)) as opened:
            return opened.size
    except (UnidentifiedImageError, OSError) as error:
        raise BackendProtocolError(f"cannot read the picture to start from: {error}") from error


def _encoded(image: bytes) -> str:
    import pybase64

    return pybase64.b64encode(image).decode()
