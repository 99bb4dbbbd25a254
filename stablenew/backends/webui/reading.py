"""From an answer to a picture, or to the error that says how it is not what was asked for.

AUTOMATIC1111 answers 200 and takes another sampler, another model, leaves ADetailer out or returns
a picture that somebody interrupted. What it really used stands in `info` and in the picture.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath

import attrs
import msgspec

from stablenew.backends.answers import Answer
from stablenew.backends.base import Picture
from stablenew.backends.infotext import read_infotext
from stablenew.backends.picture_header import read_picture_header
from stablenew.backends.webui.answers import Pictures, read_info, read_pictures
from stablenew.backends.webui.calls import Call
from stablenew.backends.webui.loaded import CHOSEN_BY_SERVER
from stablenew.backends.webui.prompt_files import short_hash, told_by_picture
from stablenew.backends.webui.sdnext.faults import STOPPED_SIZE
from stablenew.backends.webui.sdnext.samplers import another_sampler, class_used
from stablenew.backends.webui.server import Flavour, Server
from stablenew.config.pipeline_config import Setting
from stablenew.errors import BackendProtocolError

_ROUNDED = 64
"""Pixels by which a side may differ from what was asked: sd-server rounds up to the next 64."""

_AUTOMATIC = ("Automatic", "Default", "NONE", "")
_COUNTED = {
    "seed": "seed",
    "steps": "steps",
    "cfg_scale": "cfg_scale",
    "clip_skip": "clip_skip",
}
_SHOWN = {"negative_prompt": "negative_prompt", "prompt": "prompt"}
_FROM_INFOTEXT = {
    "hires": ("enable_hr", ("Hires upscale", "Hires resize", "Hires upscaler", "Hires steps")),
    "refiner": ("refiner_checkpoint", ("Refiner",)),
}

_BRACKETS = re.compile(r"\[([0-9a-f]{6,})\]$")
"""A hash behind a name."""


@attrs.frozen(kw_only=True)
class Made:
    """A picture and what the server says of it.

    Attributes:
        timestamp: Names the job that made it; "" where the server does not say.
    """

    picture: Picture
    timestamp: str


def read_picture(answer: Answer, call: Call, server: Server) -> Made:
    """Return the picture that a call made; with big ones, in a thread.

    Raises:
        BackendProtocolError: The answer cannot be read, or is not what was asked for.
    """
    pictures = read_pictures(answer)
    info = read_info(pictures.info)
    encoded = _first(pictures, info)
    if encoded is None:
        raise BackendProtocolError("asked for 1 picture, got 0")
    data = _decoded(encoded)
    header = read_picture_header(data)
    size = (header.width, header.height)
    pairs = read_infotext(_infotext(info) or header.infotext)
    problems = [*_differences(call, info, pairs, server), *_wrong_size(call, size, server)]
    problems += _without_weights(call, data)
    if problems:
        raise BackendProtocolError("; ".join(problems))
    picture = Picture(
        data=data,
        width=size[0],
        height=size[1],
        settings=_used(call, info, pairs, server),
        warnings=tuple(_warnings(call, info, size)),
        hashes=_hashes(call, info, pairs),
    )
    return Made(picture=picture, timestamp=str(info.get("job_timestamp") or ""))


def _first(pictures: Pictures, info: Mapping[str, object]) -> msgspec.Raw | None:
    """Return the first picture that is not a grid of several."""
    if bytes(memoryview(pictures.image)[:4]) != b"null":
        return pictures.image
    first = info.get("index_of_first_image")
    images = (pictures.images or [])[first if isinstance(first, int) else 0 :]
    return images[0] if images else None


def _decoded(encoded: msgspec.Raw) -> bytes:
    import pybase64

    text = memoryview(encoded)[1:-1]  # without its quotes
    if bytes(text[:5]) == b"data:":
        text = text[bytes(text[:64]).find(b",") + 1 :]
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        pass  # maybe from an encoder of JSON that writes / as \\/
    try:
        return pybase64.b64decode(msgspec.json.decode(encoded), validate=True)
    except (ValueError, TypeError) as error:
        raise BackendProtocolError(f"the picture is no base64: {error}", retryable=True) from error


def _infotext(info: Mapping[str, object]) -> str:
    texts, first = info.get("infotexts"), info.get("index_of_first_image")
    if not isinstance(texts, list):
        return ""
    texts = texts[first if isinstance(first, int) else 0 :]
    return str(texts[0]) if texts else ""


def _differences(
    call: Call, info: Mapping[str, object], pairs: Mapping[str, str], server: Server
) -> Iterator[str]:
    """Yield how what was used differs from what was asked for, where the server tells."""
    if call.kind == "extras":
        return
    asked = call.settings
    counted = dict(_COUNTED)
    if call.kind == "adetailer":
        counted = {"seed": "seed", "clip_skip": "clip_skip"}
    for name, told in counted.items():
        used = info.get(told)
        if name in asked and isinstance(used, int | float) and used != asked[name] != -1:
            yield f"asked for {name} {asked[name]}, the server used {used}"
    yield from _other_names(call, info, pairs, server)
    for what, (name, labels) in _FROM_INFOTEXT.items():
        tells = bool(pairs) and server.flavour is not Flavour.SDCPP  # whose infotext lists less
        if asked.get(name) and tells and not any(label in pairs for label in labels):
            yield f"asked for {what}, the server left it out"
    detailed = any(label.startswith("ADetailer") for label in pairs)
    if call.kind == "adetailer" and pairs and not detailed:
        yield "asked for ADetailer, the server left it out (a value that it does not take?)"


def _other_names(
    call: Call, info: Mapping[str, object], pairs: Mapping[str, str], server: Server
) -> Iterator[str]:
    yield from _other_files(call, info, pairs, server)
    if call.kind != "adetailer":  # its own sampling is skipped, and says so
        yield from _other_sampling(call, info, pairs, server)


def _other_files(
    call: Call, info: Mapping[str, object], pairs: Mapping[str, str], server: Server
) -> Iterator[str]:
    asked = call.settings
    model, told = asked.get("model"), _model_used(info, pairs, server)
    if model and told and not server.is_model(str(model), told, info.get("sd_model_hash")):
        yield f"asked for model {model!r}, the server used {told!r}"
    vae, used = asked.get("vae"), info.get("sd_vae_name")
    if vae not in (None, *CHOSEN_BY_SERVER) and used and used != vae != server.vae_name(used):
        yield f"asked for vae {vae!r}, the server used {used!r}"
    if server.flavour is Flavour.FORGE and pairs and vae in server.vaes:
        modules = _modules(pairs)
        if PurePath(str(vae)).stem not in modules:  # dropped in silence
            yield f"asked for vae {vae!r}, the server used {', '.join(modules) or 'none'}"


def _other_sampling(
    call: Call, info: Mapping[str, object], pairs: Mapping[str, str], server: Server
) -> Iterator[str]:
    asked = call.settings
    sampler, used = asked.get("sampler_name"), info.get("sampler_name")
    if sampler and used and str(used).lower() != str(sampler).lower():
        yield f"asked for sampler_name {sampler!r}, the server used {used!r}"
    elif server.flavour is Flavour.SDNEXT and (other := another_sampler(str(sampler), pairs)):
        why = "the model's own, for it does not take the other"
        yield f"asked for sampler_name {sampler!r}, the server used {other} ({why})"
    scheduler, used = asked.get("scheduler"), _schedule_type(info, pairs)
    if scheduler and scheduler not in _AUTOMATIC and used and used != scheduler:
        yield f"asked for scheduler {scheduler!r}, the server used {used!r}"


def _model_used(info: Mapping[str, object], pairs: Mapping[str, str], server: Server) -> str:
    """Return the model as the picture names it; "" where it does not."""
    told = info.get("sd_model_name")
    if server.flavour is Flavour.SDNEXT:  # only its infotext does
        told = pairs.get("Model")
    return told if isinstance(told, str) else ""


def _schedule_type(info: Mapping[str, object], pairs: Mapping[str, str]) -> str:
    """Return the scheduler; sd-server's infotext has it behind the sampler, without a label."""
    more = info.get("extra_generation_params")
    told = more.get("Schedule type") if isinstance(more, Mapping) else None
    return pairs.get("Schedule type") or (told if isinstance(told, str) else "")


def _wrong_size(call: Call, size: tuple[int, int], server: Server) -> Iterator[str]:
    if server.flavour is Flavour.SDNEXT and size == STOPPED_SIZE != call.size:
        yield f"somebody else interrupted the job, which SD.Next answers with {_shown(size)} pixels"
    elif call.size and any(abs(got - want) >= _ROUNDED for got, want in _sides(call, size)):
        yield f"asked for {_shown(call.size)} pixels, got {_shown(size)}"


def _without_weights(call: Call, data: bytes) -> Iterator[str]:
    """Yield that a picture was enlarged with Lanczos: so AUTOMATIC1111 does without weights."""
    if call.image is None:
        return
    from PIL import Image

    with Image.open(io.BytesIO(data)) as made, Image.open(io.BytesIO(call.image)) as source:
        plain = source.convert("RGB").resize(made.size, Image.Resampling.LANCZOS)
        if made.size != source.size and plain.tobytes() == made.convert("RGB").tobytes():
            name = call.settings["upscaler_1"]
            yield f"asked for upscaler_1 {name!r}, the server has no weights of it and used Lanczos"


def _warnings(call: Call, info: Mapping[str, object], size: tuple[int, int]) -> Iterator[str]:
    if call.size and call.size != size:
        yield f"asked for {_shown(call.size)} pixels, got {_shown(size)}"
    # Styles are there to change prompts.
    for name, told in _SHOWN.items() if "styles" not in call.settings else ():
        used = info.get(told)
        if call.kind != "extras" and isinstance(used, str) and used != call.settings.get(name, ""):
            yield f"the server changed the {name.replace('_', ' ')} to {used[:80]!r}"


def _sides(call: Call, size: tuple[int, int]) -> Iterator[tuple[int, int]]:
    assert call.size is not None
    yield from zip(size, call.size, strict=True)


def _shown(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _hashes(call: Call, info: Mapping[str, object], pairs: Mapping[str, str]) -> dict[str, str]:
    """Return the hashes of the files that the picture was made with, as far as it tells them."""
    told = told_by_picture(pairs)
    vae, vae_hash = call.settings.get("vae"), short_hash(info.get("sd_vae_hash"))
    if vae and vae_hash:
        told[f"vae:{vae}"] = vae_hash
    refiner = _BRACKETS.search(pairs.get("Refiner", ""))
    if refiner:
        told[f"model:{call.settings.get('refiner_checkpoint')}"] = refiner[1]
    return told


def _modules(pairs: Mapping[str, str]) -> list[str]:
    """Return the modules that Forge used: the names of their files without the endings."""
    numbered = (f"Module {number}" for number in itertools.count(1))
    return [pairs[label] for label in itertools.takewhile(lambda each: each in pairs, numbered)]


def _used(
    call: Call, info: Mapping[str, object], pairs: Mapping[str, str], server: Server
) -> dict[str, Setting]:
    """Return what the picture was really made with."""
    used: dict[str, Setting] = dict(call.settings)
    if call.kind == "extras":
        return used
    told = {**_SHOWN, "seed": "seed"}
    if call.kind != "adetailer":
        told |= {**_COUNTED, "sampler_name": "sampler_name"}
    told |= {"model_hash": "sd_model_hash", "vae": "sd_vae_name"}
    for name, key in told.items():
        value = info.get(key)
        if isinstance(value, str | int | float) and value not in ("", "NONE"):
            used[name] = value
    if call.kind != "adetailer" and (schedule := _schedule_type(info, pairs)):
        used["scheduler"] = schedule
    model = _model_used(info, pairs, server)
    if model and "model" not in call.settings:
        used["model"] = server.model_name(model) or model
    if server.flavour is Flavour.SDNEXT and (sampler_class := class_used(pairs)):
        used["sampler_class"] = sampler_class
    if modules := _modules(pairs):
        used["modules"] = ", ".join(modules)
    if isinstance(version := info.get("version") or pairs.get("Version"), str):
        used["version"] = version
    return used
