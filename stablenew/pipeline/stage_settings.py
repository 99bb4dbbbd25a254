"""What a stage runs with: what was asked for, what it inherits, what the backend takes. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache

import attrs

from stablenew.backends.base import Capabilities
from stablenew.config.extra_settings import EXTRA
from stablenew.config.pipeline_config import STAGES, PipelineConfig, Setting
from stablenew.pipeline.start_picture import StartPicture

BY_IMG2IMG = "img2img"
"""The `upscale_mode` that samples the picture anew at its new size."""

_FROM_TXT2IMG = {name: name for name in ("prompt", "negative_prompt", "seed")}
_FROM_TXT2IMG |= {name: name for name in ("model", "vae", "clip_skip")}
_MULTIPLE = 8
"""Pixels that a side is a multiple of: what is left over, servers cut off."""

_SIDES = ("width", "height")
_SAMPLED = {name: name for name in ("steps", "cfg_scale", "sampler_name", "scheduler")}
_AS_TXT2IMG = {
    name: name
    for name in (
        *("distilled_cfg_scale", "styles", "restore_faces", "tiling"),
        *("eta", "s_churn", "s_noise", "randn_source"),
    )
}
_INHERITED: Mapping[str, Mapping[str, str]] = {
    "img2img": {**_FROM_TXT2IMG, **_SAMPLED, **_AS_TXT2IMG, "width": "width", "height": "height"},
    "adetailer": {
        **_FROM_TXT2IMG,
        "ad_steps": "steps",
        "ad_cfg_scale": "cfg_scale",
        "ad_sampler": "sampler_name",
        "ad_scheduler": "scheduler",
    },
    "upscale": {},
}
"""What a stage takes from txt2img where it has no value of its own: its name here and there."""

_IMPLIED: Mapping[str, Mapping[str, Setting]] = {
    "enable_hr": {
        "denoising_strength": 0.75,
        "hr_upscaler": "Latent",
        "hr_second_pass_steps": 0,
        "hr_scale": 2.0,
    },
    "refiner_checkpoint": {"refiner_switch_at": 0.8},
}
"""What a setting needs beside it, and its value where nobody gives one: AUTOMATIC1111 fails without
the first, and switches to the refiner at step 0 without the last."""


_ONCE_ITS_OWN = {f"img2img.{name}" for name in _SAMPLED}
"""What img2img did not inherit in version 0.1, whose plans keep what they began with."""


def backend_defaults(
    capabilities: Capabilities, *, of_version_0_1: bool = False
) -> dict[str, Setting]:
    """Return what a backend takes where nobody gives a value, by path: `txt2img.sampler_name`.

    Args:
        capabilities: Of the backend.
        of_version_0_1: Whether they are for a plan that was begun with version 0.1.
    """
    defaults: dict[str, Setting] = {
        f"{stage}.{name}": value
        for stage, settings in capabilities.stages.items()
        for name, value in settings.items()
        if value not in (None, "") and name not in ("seed", "subseed")  # those are drawn
    }
    if of_version_0_1:
        return defaults
    return {path: value for path, value in defaults.items() if path not in _ONCE_ITS_OWN}


def with_defaults(config: PipelineConfig, defaults: Mapping[str, Setting]) -> PipelineConfig:
    """Return a config with what its stages were not given filled in, but for what they inherit.

    Args:
        config: What was asked for; left as it is.
        defaults: By path; settings that the config does not have are left out.
    """
    for stage in STAGES if config.workflow is None else ():  # which has values of its own
        if not getattr(config, stage).enabled:
            continue
        asked = asked_settings(config, stage)
        own = {name: defaults.get(f"{stage}.{name}") for name in asked_names(stage)}
        inherited = inherited_names(stage, {**own, **asked})
        if config.image is not None and stage == first_stage(config):
            sampled = sampled_names(stage)
            own |= {n: own[n] or defaults.get(f"txt2img.{there}") for n, there in sampled.items()}
            inherited = _given_by_txt2img(config, inherited)
        missing = {
            name: value
            for name, value in own.items()
            if value is not None
            and name not in asked
            and (name not in inherited or f"{stage}.{name}" in _ONCE_ITS_OWN)
        }
        if missing:
            changed = attrs.evolve(getattr(config, stage), **missing)
            config = attrs.evolve(config, **{stage: changed})
    return config


def sampled_names(stage: str) -> Mapping[str, str]:
    """Return what a first stage samples with as a txt2img that is off would: its name here, there.

    Only img2img: the others have values of their own for it.
    """
    return _SAMPLED if stage == "img2img" else {}


def first_stage(config: PipelineConfig) -> str | None:
    """Return the stage that runs first; None where none is enabled."""
    return next((stage for stage in STAGES if getattr(config, stage).enabled), None)


def _given_by_txt2img(config: PipelineConfig, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return what a first stage has from a txt2img that is off, or, its size, from its picture."""
    given = asked_settings(config, "txt2img")
    return {name: there for name, there in inherited.items() if there in given or name in _SIDES}


def start_size(picture: StartPicture, capabilities: Capabilities) -> dict[str, Setting]:
    """Return the width and height that a start picture is worked on with, if none are given.

    Its own, in whole multiples of 8; of a backend that has only some sizes, the one that is most
    like it in shape.
    """
    width, height = (max(_MULTIPLE, side // _MULTIPLE * _MULTIPLE) for side in picture.size)
    if capabilities.sizes:
        shape = width / height
        width, height = min(
            capabilities.sizes, key=lambda size: abs(math.log(size[0] / size[1] / shape))
        )
    return {"width": width, "height": height}


@cache
def asked_names(stage: str) -> tuple[str, ...]:
    """Return the names of the settings that a config has for a stage."""
    return tuple(field.name for field in _fields(stage))


def asked_settings(config: PipelineConfig, stage: str) -> dict[str, Setting]:
    """Return the settings that a config gives a stage, extra ones by `extra.` and their paths."""
    own = getattr(config, stage)
    values = {field.name: getattr(own, field.name) for field in _fields(stage)}
    extra = {f"{EXTRA}.{path}": value for path, value in (own.extra or {}).items()}
    return {name: value for name, value in values.items() if value is not None} | extra


@cache
def _fields(stage: str) -> tuple[attrs.Attribute[object], ...]:
    kind = type(getattr(_DEFAULT, stage))
    return tuple(field for field in attrs.fields(kind) if field.name not in ("enabled", EXTRA))


def resolved_settings(
    stage: str,
    asked: Mapping[str, Setting],
    txt2img: Mapping[str, Setting],
    capabilities: Capabilities,
) -> dict[str, Setting]:
    """Fill in what was not given: from txt2img where a stage inherits, else the backend's own."""
    understood = capabilities.stages[stage]
    inherited = {
        name: txt2img[there]
        for name, there in inherited_names(stage, {**understood, **asked}).items()
        if name in understood and txt2img.get(there) is not None
    }
    settings = {**understood, **inherited, **asked}
    for trigger, implied in _IMPLIED.items():
        if settings.get(trigger):
            missing = {name: value for name, value in implied.items() if settings.get(name) is None}
            if settings.get("hr_resize_x") or settings.get("hr_resize_y"):
                missing.pop("hr_scale", None)
            settings |= {
                name: _had(name, value, capabilities)
                for name, value in missing.items()
                if name in understood
            }
    if by_img2img(stage, settings) and settings.get("denoising_strength") is None:
        settings["denoising_strength"] = 0.2
    sized = "upscaling_resize_w" in asked or "upscaling_resize_h" in asked
    if stage == "upscale" and sized and "resize_mode" not in asked:
        settings["resize_mode"] = 1
    return settings


def _had(name: str, value: Setting, capabilities: Capabilities) -> Setting:
    """Return a value, or the first one that a backend has where it does not have that one."""
    names = capabilities.names_of(name)
    return names[0] if names and value not in names else value


def inherited_names(stage: str, settings: Mapping[str, Setting]) -> Mapping[str, str]:
    """Return what a stage takes from txt2img where it has none: its name here, and there.

    Args:
        stage: One of the stages.
        settings: Its own.
    """
    if by_img2img(stage, settings):
        return {**_FROM_TXT2IMG, **_SAMPLED}
    return _INHERITED.get(stage, {})


def by_img2img(stage: str, settings: Mapping[str, Setting]) -> bool:
    """Return whether a stage upscales by sampling the picture anew."""
    return stage == "upscale" and settings.get("upscale_mode") == BY_IMG2IMG


def inherits(stage: str, name: str) -> bool:
    """Return whether a stage takes a setting from txt2img where it has none of its own."""
    return name in _INHERITED[stage] if stage in _INHERITED else False


_DEFAULT = PipelineConfig()
