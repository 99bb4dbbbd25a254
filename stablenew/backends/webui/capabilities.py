"""What a server can do, in the words of every backend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePath

import attrs

from stablenew.backends.base import Capabilities
from stablenew.backends.webui.loaded import CHOSEN_BY_SERVER, loaded_settings
from stablenew.backends.webui.options import picture_options
from stablenew.backends.webui.request_fields import RANDN_SOURCE, extra_fields, named_fields
from stablenew.backends.webui.sdnext.fields import UNKNOWN, hires_upscalers
from stablenew.backends.webui.server import (
    CHECKPOINT,
    MODULES,
    VAE,
    WITHOUT_FILE,
    Flavour,
    Server,
)
from stablenew.config.pipeline_config import ADetailerConfig, Setting

_PROMPTS: Mapping[str, Setting] = {"prompt": None, "negative_prompt": "", "seed": -1}
_HIRES: tuple[str, ...] = (
    "hr_scale",
    "hr_upscaler",
    "hr_second_pass_steps",
    "hr_resize_x",
    "hr_resize_y",
    "hr_sampler_name",
    "hr_prompt",
    "hr_negative_prompt",
    "denoising_strength",
)
_RESTORING = ("gfpgan_visibility", "codeformer_visibility", "codeformer_weight")
_SIZES = ("upscaling_resize_w", "upscaling_resize_h")

_AD_DEFAULTS: Mapping[str, Setting] = {
    "ad_prompt": "",
    "ad_negative_prompt": "",
    "ad_confidence": 0.3,
    "ad_mask_k": 0,
    "ad_mask_blur": 4,
    "ad_dilate_erode": 4,
    "ad_denoising_strength": 0.4,
    "ad_inpaint_only_masked": True,
    "ad_inpaint_only_masked_padding": 32,
}
"""ADetailer's own."""

_DEFAULTS: Mapping[Flavour, Mapping[str, Setting]] = {
    Flavour.A1111: {"steps": 50, "cfg_scale": 7.0, "width": 512, "height": 512},
    Flavour.FORGE: {"steps": 50, "cfg_scale": 7.0, "width": 512, "height": 512},
    Flavour.SDNEXT: {"steps": 20, "cfg_scale": 6.0, "width": 1024, "height": 1024},
    Flavour.SDCPP: {"steps": 20, "cfg_scale": 7.0, "width": 512, "height": 512},
}
"""What each takes where a request says nothing: the API's values, not those of its page."""

_SDCPP_RANGES: Mapping[str, tuple[float, float]] = {"steps": (1, 100)}
"""What sd-server takes; it makes 100 steps of any more, without a word."""


def describe(server: Server) -> Capabilities:
    """Return what a server can do."""
    choices = _choices(server)
    return Capabilities(
        backend="webui",
        version=str(server.flavour),
        stages=_stages(server),
        samplers=tuple(server.samplers),
        schedulers=tuple(server.schedulers),
        models=tuple(model.name for model in server.models),
        upscalers=server.upscalers,
        model_hashes={each.name: each.sha256[:10] for each in server.models if each.sha256},
        files=_files(server),
        options=picture_options(server),
        extra=extra_fields(server),
        choices=choices,
        ranges=_SDCPP_RANGES if server.flavour is Flavour.SDCPP else {},
        gpu=server.gpu,
        largest_seed=2**31 - 1 if server.flavour is Flavour.SDCPP else None,
        aliases=_aliases(server, choices["hr_upscaler"]),
    )


def _choices(server: Server) -> dict[str, tuple[str, ...]]:
    """Return the values of settings whose lists are not a server's alone."""
    choices: dict[str, tuple[str, ...]] = {
        "upscale_mode": ("extras", "img2img") if server.extras else ("img2img",),
        "hr_upscaler": (*server.latent_modes, *server.upscalers),
    }
    if server.flavour is Flavour.SDNEXT:
        choices["hr_upscaler"] = hires_upscalers(server.upscalers)
    if server.ad_models:
        choices["ad_model"] = server.ad_models
    if server.overridable(RANDN_SOURCE):
        choices[RANDN_SOURCE] = ("GPU", "CPU", "NV")
    if server.lora_names:
        choices["lora"] = server.lora_names
    if server.overridable(VAE) or server.overridable(MODULES):
        choices["vae"] = (*CHOSEN_BY_SERVER, *server.vaes)
    if not server.overridable(CHECKPOINT):  # it has one, and that is what it takes
        loaded = server.model or next((model.name for model in server.models), None)
        choices["model"] = (loaded,) if loaded else ()
    return choices


def _aliases(server: Server, hr_upscalers: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return for each setting the other spellings of its values, in lower case."""
    samplers, schedulers = _spellings(server.samplers), _spellings(server.schedulers)
    models = {
        spelling.lower(): model.name
        for model in server.models
        for spelling in (*model.spellings, *model.hashes)
    }
    return {
        **dict.fromkeys(("sampler_name", "hr_sampler_name", "ad_sampler"), samplers),
        **dict.fromkeys(("scheduler", "hr_scheduler", "ad_scheduler"), schedulers),
        **dict.fromkeys(("model", "refiner_checkpoint"), models),
        **dict.fromkeys(("upscaler_1", "upscaler_2"), _lower(server.upscalers)),
        "hr_upscaler": _lower(hr_upscalers),
        "ad_model": _lower(server.ad_models),
        "vae": _vae_spellings(server),
    }


def _lower(names: Iterable[str]) -> dict[str, str]:
    return {name.lower(): name for name in names}


def _spellings(listed: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Return every spelling in lower case with its name; a name goes before others' aliases."""
    aliases = {alias.lower(): name for name, others in listed.items() for alias in others}
    return {**aliases, **{name.lower(): name for name in listed}}


def _vae_spellings(server: Server) -> dict[str, str]:
    """Return the names of VAEs, and those without their endings where that is one VAE's alone."""
    spelled = [*server.vaes, *(PurePath(name).stem for name in server.vaes), *CHOSEN_BY_SERVER]
    names = {spelling.lower(): server.vae_name(spelling) for spelling in spelled}
    names |= {name.lower(): name for name in CHOSEN_BY_SERVER}
    return {spelling: name for spelling, name in names.items() if name}


def _files(server: Server) -> dict[str, dict[str, str]]:
    """Return the files that names stand for, each with its hash where the server lists it."""
    files: dict[str, Iterable[str]] = {
        "vae": server.vaes,
        "upscaler": [name for name in server.upscalers if name not in WITHOUT_FILE],
        "embedding": server.embeddings,
        "detector": server.ad_models,
    }
    found = {kind: dict.fromkeys(names, "") for kind, names in files.items()}
    found["style"] = dict(server.styles)
    found["model"] = {each.name: each.sha256[:10] for each in server.models}
    if server.loras is not None:
        found["lora"] = dict(server.loras)
    return found


def _stages(server: Server) -> dict[str, dict[str, Setting]]:
    shared = {**_PROMPTS, **loaded_settings(server)}
    sampled = {**shared, **_DEFAULTS[server.flavour], **_sampler(server)}
    variation: dict[str, Setting] = {"subseed": -1, "subseed_strength": 0.0}
    unknown = UNKNOWN if server.flavour is Flavour.SDNEXT else ()
    hires: dict[str, Setting] = {"enable_hr": False}
    hires |= dict.fromkeys(name for name in _HIRES if name not in unknown)
    refiner: dict[str, Setting] = {}
    if server.schedulers:
        hires["hr_scheduler"] = None
    if server.flavour in (Flavour.A1111, Flavour.FORGE):
        refiner = dict.fromkeys(("refiner_checkpoint", "refiner_switch_at"))
    stages: dict[str, dict[str, Setting]] = {
        "txt2img": {
            **sampled,
            **variation,
            **hires,
            **refiner,
            **named_fields(server, "txt2img"),
        },
        "img2img": {
            **sampled,
            **named_fields(server, "img2img"),
            "denoising_strength": 0.5 if server.flavour is Flavour.SDNEXT else 0.75,
            "resize_mode": 0,
        },
        "upscale": _upscale(server, sampled),
    }
    if server.ad_models:
        stages["adetailer"] = {**shared, **_adetailer(server)}
    return stages


def _sampler(server: Server) -> dict[str, Setting]:
    """Return the defaults of what every server names in its own way, None for its own choice."""
    theirs = server.flavour in (Flavour.A1111, Flavour.FORGE)
    sampler: dict[str, Setting] = {
        "sampler_name": "Euler" if theirs and "Euler" in server.samplers else None
    }
    if server.schedulers:
        automatic = "Automatic" if "Automatic" in server.schedulers else None
        sampler["scheduler"] = automatic if theirs else None
    return sampler


def _upscale(server: Server, sampled: Mapping[str, Setting]) -> dict[str, Setting]:
    by_img2img = {
        **dict.fromkeys(name for name in sampled if name not in ("width", "height")),
        "denoising_strength": None,
    }
    sized: dict[str, Setting] = {"resize_mode": 0, "upscaling_resize": 2.0}
    if not server.extras:
        sizes = dict.fromkeys(_SIZES)
        return {"upscale_mode": "img2img", **by_img2img, **sized, **sizes}
    return {
        # SD.Next's own extras fail after the work, whatever they are asked.
        "upscale_mode": "img2img" if server.flavour is Flavour.SDNEXT else "extras",
        "upscaler_1": None,
        **by_img2img,
        **sized,
        **dict.fromkeys((*_SIZES, "upscaling_crop", "upscaler_2", "extras_upscaler_2_visibility")),
        **dict.fromkeys(_RESTORING),
    }


def _adetailer(server: Server) -> dict[str, Setting]:
    ours = [field.name for field in attrs.fields(ADetailerConfig) if field.name.startswith("ad_")]
    known = server.ad_settings or ours
    return {name: _AD_DEFAULTS.get(name) for name in ours if name in known}
