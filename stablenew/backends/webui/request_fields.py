"""Which fields a server's requests have, as it says itself; it leaves others out in silence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stablenew.backends.webui.server import Flavour, Server
from stablenew.config.extra_settings import SAME_AS, joined, refusal
from stablenew.config.overrides import setting_types

OPENAPI = "/openapi.json"
"""Where a server describes its requests."""

_PATHS = {
    "txt2img": "/sdapi/v1/txt2img",
    "img2img": "/sdapi/v1/img2img",
    "extras": "/sdapi/v1/extra-single-image",
}
_SDCPP = {
    "txt2img": ("lora", "extra_images"),
    "img2img": ("lora", "extra_images", "mask", "inpainting_mask_invert"),
}
"""What sd-server takes beside what has a name here: it does not describe itself."""

_ASKED_BY = {"txt2img": "txt2img", "img2img": "img2img", "adetailer": "img2img"}
_SEVERAL = ("override_settings", "alwayson_scripts")
"""Fields that hold others, whose names a server lists."""

NAMED = (
    *("distilled_cfg_scale", "styles", "restore_faces", "tiling", "eta", "s_churn", "s_noise"),
)
"""Settings that only some servers have a field for."""

RANDN_SOURCE = "randn_source"
"""An option that is set for a request, as the model is."""

_ALL = ""
"""What every path begins with."""


def read_fields(openapi: object) -> dict[str, tuple[str, ...]]:
    """Return the fields of each kind of request, from a server's description of itself."""
    found = {kind: _fields(openapi, path) for kind, path in _PATHS.items()}
    return {kind: fields for kind, fields in found.items() if fields}


def named_fields(server: Server, kind: str) -> dict[str, None]:
    """Return the settings among those that only some servers have, for a kind of request."""
    there = dict.fromkeys(name for name in NAMED if name in server.fields.get(kind, ()))
    return {**there, **({RANDN_SOURCE: None} if server.overridable(RANDN_SOURCE) else {})}


def extra_fields(server: Server) -> dict[str, tuple[str, ...]]:
    """Return how the paths begin that each stage may be given under `extra`."""
    if server.flavour is Flavour.SDCPP:
        return dict(_SDCPP)
    found = {stage: _of_kind(server, kind) for stage, kind in _ASKED_BY.items()}
    extras = server.fields.get("extras", (_ALL,)) if server.extras else ()
    found["upscale"] = tuple(dict.fromkeys((*extras, *found["img2img"])))
    return {stage: tuple(_unnamed(stage, fields)) for stage, fields in found.items()}


def _unnamed(stage: str, fields: Iterable[str]) -> Iterable[str]:
    """Return fields without those that have a name here, or are said by us."""
    named = tuple(setting_types(stage))
    for each in fields:
        if "." in each or not each:
            if SAME_AS.get(each) not in named:
                yield each
        elif refusal(stage, each, named) is None:
            yield each


def _of_kind(server: Server, kind: str) -> tuple[str, ...]:
    fields = server.fields.get(kind)
    if fields is None:
        return (_ALL,)
    options = (joined("override_settings", name) for name in server.options)
    scripts = (joined("alwayson_scripts", name) for name in server.scripts.get(kind, ()))
    return (*(name for name in fields if name not in _SEVERAL), *options, *scripts)


def _fields(openapi: object, path: str) -> tuple[str, ...]:
    keys = ("paths", path, "post", "requestBody", "content", "application/json", "schema", "$ref")
    name = str(_inside(openapi, *keys) or "").rpartition("/")[2]
    properties = _inside(openapi, "components", "schemas", name, "properties")
    return tuple(map(str, properties)) if isinstance(properties, Mapping) else ()


def _inside(data: object, *keys: str) -> object:
    for key in keys:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data
