"""What servers make of a generation's fields: defaults, coercions, complaints and silences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from tests.webui.profiles import (
    DETECTORS,
    LATENT_MODES,
    MODELS,
    SAMPLERS,
    SCHEDULERS,
    SCRIPTS,
    SDNEXT_SAMPLERS,
    UPSCALERS,
    Profile,
)

SHARED: dict[str, object] = {
    "prompt": "", "negative_prompt": "", "styles": None, "firstpass_image": None, "seed": -1,
    "subseed": -1,
    "subseed_strength": 0, "seed_resize_from_h": -1, "seed_resize_from_w": -1,
    "sampler_name": None, "scheduler": None, "batch_size": 1, "n_iter": 1, "steps": 50,
    "cfg_scale": 7.0, "width": 512, "height": 512, "restore_faces": None, "tiling": None,
    "do_not_save_samples": False, "do_not_save_grid": False, "eta": None,
    "denoising_strength": None, "s_min_uncond": None, "s_churn": None, "s_tmax": None,
    "s_tmin": None, "s_noise": None, "override_settings": None,
    "override_settings_restore_afterwards": True, "refiner_checkpoint": None,
    "refiner_switch_at": None, "disable_extra_networks": False,
    "comments": None, "force_task_id": None, "sampler_index": "Euler", "script_name": None,
    "script_args": [], "send_images": True, "save_images": False, "alwayson_scripts": {},
    "infotext": None,
}  # fmt: skip
TXT2IMG: dict[str, object] = {
    **SHARED, "enable_hr": False, "firstphase_width": 0,
    "firstphase_height": 0, "hr_scale": 2.0, "hr_upscaler": None, "hr_second_pass_steps": 0,
    "hr_resize_x": 0, "hr_resize_y": 0, "hr_checkpoint_name": None, "hr_sampler_name": None,
    "hr_scheduler": None, "hr_prompt": "", "hr_negative_prompt": "",
}  # fmt: skip
IMG2IMG: dict[str, object] = {
    **SHARED, "denoising_strength": 0.75, "init_images": None, "resize_mode": 0,
    "image_cfg_scale": None, "mask": None, "mask_blur_x": 4, "mask_blur_y": 4, "mask_blur": None,
    "mask_round": True, "inpainting_fill": 0, "inpaint_full_res": True,
    "inpaint_full_res_padding": 0, "inpainting_mask_invert": 0, "initial_noise_multiplier": None,
    "latent_mask": None, "include_init_images": False,
}  # fmt: skip
FORGE_ONLY: dict[str, object] = {"distilled_cfg_scale": 3.5}
FORGE_HIRES: dict[str, object] = {
    "hr_additional_modules": None, "hr_cfg": 1.0, "hr_distilled_cfg": 3.5
}  # fmt: skip

EXTRAS = (
    *("resize_mode", "show_extras_results", "gfpgan_visibility", "codeformer_visibility"),
    *("codeformer_weight", "upscaling_resize", "upscaling_resize_w", "upscaling_resize_h"),
    *("upscaling_crop", "upscaler_1", "upscaler_2", "extras_upscaler_2_visibility"),
    *("upscale_first", "image"),
)

_INTS = (
    *("seed", "subseed", "steps", "width", "height", "batch_size", "n_iter"),
    *("hr_resize_x", "hr_resize_y", "hr_second_pass_steps"),
)
_FLOATS = ("cfg_scale", "denoising_strength", "hr_scale", "refiner_switch_at")
_TEXTS = ("prompt", "negative_prompt")


class Refusal(Exception):
    """An answer that is no: a status, the error's class, and what it says."""

    def __init__(self, status: int, kind: str, says: object) -> None:
        super().__init__(status, kind, says)
        self.status, self.kind, self.says = status, kind, says


def http(status: int, says: str) -> Refusal:
    return Refusal(status, "HTTPException", says)


def invalid(field: str, says: str, kind: str, **more: object) -> Refusal:
    where = ["body", field] if field else ["body"]
    return Refusal(422, "", [{"loc": where, "msg": says, "type": kind, **more}])


@attrs.define(eq=False)
class Asked:
    """A generation, as the server understood it."""

    fields: dict[str, Any]
    kind: str
    sampler: str = ""
    scheduler: str = ""
    tabs: list[dict[str, Any]] = attrs.field(factory=list)
    skip_img2img: bool = False

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]


def openapi(profile: Profile) -> dict[str, Any]:
    """Return how a server describes its requests."""
    schemas, paths = {}, {}
    own = {"txt2img": TXT2IMG, "img2img": IMG2IMG, "extra-single-image": EXTRAS}
    for kind, fields in own.items():
        name = f"Request_{kind}"
        properties: dict[str, Any] = {key: {} for key in fields}
        if profile.forge and kind != "extra-single-image":
            properties |= {key: {} for key in (*FORGE_ONLY, *FORGE_HIRES)}
        if profile.sdnext:
            for lacked in ("s_churn", "s_noise", "restore_faces", "scheduler"):
                properties.pop(lacked, None)
        schemas[name] = {"properties": properties}
        body = {"content": {"application/json": {"schema": {"$ref": f"#/schemas/{name}"}}}}
        paths[f"/sdapi/v1/{kind}"] = {"post": {"requestBody": body}}
    return {"openapi": "3.0.2", "paths": paths, "components": {"schemas": schemas}}


def understand(body: Mapping[str, Any], kind: str, profile: Profile) -> Asked:
    """Turn a body into a generation, or refuse it as the server would."""
    defaults = TXT2IMG if kind == "txt2img" else IMG2IMG
    if profile.forge:
        defaults = {**defaults, **FORGE_ONLY, **(FORGE_HIRES if kind == "txt2img" else {})}
    if profile.sdnext:
        sd_next: dict[str, object] = {"steps": 20, "cfg_scale": 6.0, "width": 1024, "height": 1024}
        defaults = {**defaults, **sd_next}
    given = dict(body)
    fields: dict[str, Any] = {**defaults, **{k: v for k, v in given.items() if k in defaults}}
    _check_types(fields, given, strict=profile.forge)
    asked = Asked(fields=fields, kind=kind)
    if profile.sdnext:
        for name in ("scheduler", "hr_scheduler", "refiner_checkpoint", "refiner_switch_at"):
            fields.pop(name, None)
    _read_infotext(fields, given)
    _choose_sampler(asked, profile)
    if fields["script_name"]:
        raise http(422, f"Script '{fields['script_name']}' not found")
    _read_scripts(asked, profile)
    return asked


def _check_types(fields: dict[str, Any], given: Mapping[str, Any], *, strict: bool) -> None:
    for name in _INTS:
        if name in given:
            fields[name] = _whole(name, given[name], strict=strict)
    for name in _TEXTS:
        value = given.get(name)
        if isinstance(value, int | float) and not strict:
            fields[name] = str(value)
        elif name in given and value is not None and not isinstance(value, str):
            raise invalid(name, "str type expected", "type_error.str")
    if not isinstance(fields["alwayson_scripts"], Mapping):
        raise invalid("alwayson_scripts", "value is not a valid dict", "type_error.dict")
    if isinstance(fields.get("init_images"), str):
        raise invalid("init_images", "value is not a valid list", "type_error.list")


def _whole(name: str, value: object, *, strict: bool) -> object:
    if isinstance(value, float) and strict and value != int(value):
        says = "Input should be a valid integer, got a number with a fractional part"
        raise invalid(name, says, "int_from_float", input=value)
    try:
        return value if value is None else int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        raise invalid(name, "value is not a valid integer", "type_error.integer") from None


def _read_infotext(fields: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Take from an infotext what the request does not say itself."""
    text = fields.get("infotext")
    if not text:
        return
    from stablenew.config.infotext import read_infotext

    pairs = read_infotext(text)
    lines = text.splitlines()
    width, _, height = pairs.get("Size", "512x512").partition("x")
    told: dict[str, Any] = {
        "prompt": lines[0],
        "negative_prompt": lines[1].removeprefix("Negative prompt: "),
        "steps": int(pairs["Steps"]),
        "sampler_name": pairs["Sampler"],
        "scheduler": pairs["Schedule type"],
        "cfg_scale": float(pairs["CFG scale"]),
        "seed": int(pairs["Seed"]),
        "width": int(width),
        "height": int(height),
    }
    fields |= {name: value for name, value in told.items() if name not in given}


def _choose_sampler(asked: Asked, profile: Profile) -> None:
    """Take what is named exactly; anything else is silently the first sampler, but on SD.Next."""
    name = asked.fields.get("sampler_name") or asked.fields.get("sampler_index")
    scheduler = asked.fields.get("scheduler") or "Automatic"
    if profile.sdnext:
        spelled = {each.lower(): each for each in (*SDNEXT_SAMPLERS, "Default")}
        name = str(asked.fields.get("sampler_name") or "Default").lower()
        if name not in spelled:
            raise http(404, "Sampler not found")
        asked.sampler = spelled[name]
        return
    labels = {**{label: label for label in SCHEDULERS}}
    labels |= {short: label for label, short in SCHEDULERS.items()}
    for label in SCHEDULERS:  # before 1.9 the scheduler was a part of the sampler's name
        if str(name).endswith(f" {label}") and str(name).removesuffix(f" {label}") in SAMPLERS:
            name, scheduler = str(name).removesuffix(f" {label}"), label
    if name not in SAMPLERS:
        name, scheduler = "DPM++ 2M", "Karras"
    asked.sampler, asked.scheduler = str(name), labels.get(scheduler, "Automatic")


def _read_scripts(asked: Asked, profile: Profile) -> None:
    for name, script in asked["alwayson_scripts"].items():
        if name.lower() in map(str.lower, SCRIPTS[asked.kind]):
            continue
        if name.lower() != "adetailer" or not profile.adetailer:
            raise http(422, f"Script '{name}' not found")
        args = script.get("args", [])
        switches = [each for each in args if not isinstance(each, Mapping)]
        tabs = [dict(each) for each in args if isinstance(each, Mapping)]
        if switches and switches[0] is False:
            continue
        asked.skip_img2img = len(switches) > 1 and switches[1] is True
        if args and not tabs:
            tabs = [{"ad_model": "face_yolov8n.pt"}]  # what the page shows
        asked.tabs = [tab for tab in tabs if _valid(tab)]


def _valid(tab: Mapping[str, Any]) -> bool:
    """Whether a tab runs: a wrong value or an unknown key silently turns it off."""
    confidence = tab.get("ad_confidence", 0.3)
    return (
        tab.get("ad_model", "None") != "None"
        and 0 <= confidence <= 1
        and all(key.startswith("ad_") and key != "ad_nope" for key in tab)
    )


def complaints(asked: Asked, model_error: str | None = None) -> Iterator[Refusal]:
    """Yield the errors that come up once the job runs."""
    fields = asked.fields
    if fields["prompt"] is None:
        yield Refusal(500, "AssertionError", "")
    if fields["steps"] is None:
        says = "unsupported operand type(s) for //: 'NoneType' and 'NoneType'"
        yield Refusal(500, "TypeError", says)
    if fields["cfg_scale"] is None:
        says = "unsupported operand type(s) for *: 'NoneType' and 'float'"
        yield Refusal(500, "TypeError", says)
    if isinstance(fields["cfg_scale"], float) and fields["cfg_scale"] != fields["cfg_scale"]:
        says = "A tensor with NaNs was produced in Unet. Use --disable-nan-check commandline"
        yield Refusal(500, "NansException", f"{says} argument to disable this check.")
    if not fields["batch_size"] or not fields["n_iter"]:
        yield Refusal(500, "IndexError", "list index out of range")
    if fields["steps"] == 0:
        yield Refusal(500, "ZeroDivisionError", "integer division or modulo by zero")
    if fields["steps"] is not None and fields["steps"] < 0:
        yield Refusal(500, "RuntimeError", "number of steps must be non-negative")
    if fields["seed"] is not None and fields["seed"] >= 2**64:
        yield Refusal(500, "RuntimeError", "Overflow when unpacking long")
    yield from _size_complaints(fields)
    yield from _refiner_complaints(fields)
    if fields.get("enable_hr"):
        yield from _hires_complaints(fields)
    if (fields.get("denoising_strength") or 0) < 0:
        says = "index 0 is out of bounds for dimension 0 with size 0"
        yield Refusal(500, "IndexError", says)


def _size_complaints(fields: Mapping[str, Any]) -> Iterator[Refusal]:
    width, height = fields["width"], fields["height"]
    if width < 0:
        says = f"Trying to create tensor with negative dimension -8: [4, 8, {width // 8}]"
        yield Refusal(500, "RuntimeError", says)
    elif width < 8:
        says = "Calculated padded input size per channel: (10 x 2). Kernel size: (3 x 3)."
        yield Refusal(
            500, "RuntimeError", f"{says} Kernel size can't be greater than actual input size"
        )
    elif width * height > 10**10:
        says = "[enforce fail at alloc_cpu.cpp:83] err == 0. DefaultCPUAllocator: can't allocate"
        yield Refusal(500, "RuntimeError", f"{says} memory: you tried to allocate 250000000000")
    elif width * height > 4096 * 4096:
        says = "CUDA out of memory. Tried to allocate 40.00 GiB. GPU 0 has a total capacity of"
        yield Refusal(500, "OutOfMemoryError", f"{says} 23.99 GiB")


def _refiner_complaints(fields: Mapping[str, Any]) -> Iterator[Refusal]:
    refiner = fields.get("refiner_checkpoint")
    if refiner and not any(model in refiner for model in MODELS):
        yield Refusal(500, "Exception", f"Could not find checkpoint with name {refiner}")


def _hires_complaints(fields: Mapping[str, Any]) -> Iterator[Refusal]:
    if "hr_additional_modules" in fields and fields["hr_additional_modules"] is None:
        says = "argument of type 'NoneType' is not iterable"
        yield Refusal(500, "TypeError", says)
    upscaler = fields["hr_upscaler"] or "Latent"
    if upscaler not in (*LATENT_MODES, *UPSCALERS):
        yield Refusal(500, "Exception", f"could not find upscaler named {upscaler}")
    if fields["denoising_strength"] is None:
        says = "'>' not supported between instances of 'NoneType' and 'int'"
        yield Refusal(500, "TypeError", says)
    if fields["hr_sampler_name"] and fields["hr_sampler_name"] not in SAMPLERS:
        says = f"bad sampler name: {fields['hr_sampler_name']}"
        yield Refusal(500, "AssertionError", says)
    if not fields["hr_scale"]:
        says = "Input and output sizes should be greater than 0, but got input (H: 8, W: 8)"
        yield Refusal(500, "RuntimeError", f"{says} output (H: 0, W: 0)")


def known_detector(tab: Mapping[str, Any]) -> bool:
    return tab.get("ad_model") in DETECTORS
