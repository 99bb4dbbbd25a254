"""The settings that an infotext tells, under our paths. Pure.

What the WebUI's "PNG Info" hands to txt2img: sampler, size, model, hires fix, ADetailer. A sampler
of before WebUI 1.9 holds its scheduler (`DPM++ 2M Karras`) and is split. A denoising strength
without a hires pass is that of an img2img picture, which cannot be made again from text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from stablenew.config.overrides import checked_settings
from stablenew.config.pipeline_config import Setting
from stablenew.config.sweep import parse_assignment
from stablenew.errors import ConfigError

_PATHS: Mapping[str, str] = {
    "Steps": "txt2img.steps",
    "Sampler": "txt2img.sampler_name",
    "Schedule type": "txt2img.scheduler",
    "CFG scale": "txt2img.cfg_scale",
    "Seed": "txt2img.seed",
    "Model": "txt2img.model",
    "VAE": "txt2img.vae",
    "Clip skip": "txt2img.clip_skip",
    "CLiP-skip": "txt2img.clip_skip",
    "Variation seed": "txt2img.subseed",
    "Variation seed strength": "txt2img.subseed_strength",
    "Refiner": "txt2img.refiner_checkpoint",
    "Refiner switch at": "txt2img.refiner_switch_at",
}
_HIRES: Mapping[str, str] = {
    "Hires upscale": "txt2img.hr_scale",
    "Hires upscaler": "txt2img.hr_upscaler",
    "Hires steps": "txt2img.hr_second_pass_steps",
    "Hires sampler": "txt2img.hr_sampler_name",
    "Hires schedule type": "txt2img.hr_scheduler",
    "Hires prompt": "txt2img.hr_prompt",
    "Hires negative prompt": "txt2img.hr_negative_prompt",
    "Denoising strength": "txt2img.denoising_strength",
}
_ADETAILER: Mapping[str, str] = {
    "ADetailer model": "adetailer.ad_model",
    "ADetailer prompt": "adetailer.ad_prompt",
    "ADetailer negative prompt": "adetailer.ad_negative_prompt",
    "ADetailer confidence": "adetailer.ad_confidence",
    "ADetailer dilate erode": "adetailer.ad_dilate_erode",
    "ADetailer mask blur": "adetailer.ad_mask_blur",
    "ADetailer denoising strength": "adetailer.ad_denoising_strength",
    "ADetailer inpaint only masked": "adetailer.ad_inpaint_only_masked",
    "ADetailer inpaint padding": "adetailer.ad_inpaint_only_masked_padding",
}
_SIZES: Mapping[str, tuple[str, str]] = {
    "Size": ("txt2img.width", "txt2img.height"),
    "Hires resize": ("txt2img.hr_resize_x", "txt2img.hr_resize_y"),
}
_SAYS_NO_MORE = ("Version", "VAE hash", "Lora hashes", "TI hashes", "ADetailer version")
"""What follows from the prompt and the other settings."""

_HASH = re.compile(r" *\[[0-9a-f]{6,}\]\Z")
_OLD_SCHEDULERS = (" Karras", " Exponential", " Polyexponential")
_SAME = ("Use same sampler", "Use same scheduler", "Use same upscaler")


def settings_of_infotext(
    pairs: Mapping[str, str],
) -> tuple[dict[str, Setting], tuple[str, ...]]:
    """Return settings by path, and the labels of those that have no counterpart.

    Args:
        pairs: What `read_infotext` returns.

    Raises:
        ConfigError: With every value that is none of its setting.
    """
    pairs = dict(pairs)
    sampler = pairs.get("Sampler", "")
    for scheduler in _OLD_SCHEDULERS:
        if sampler.endswith(scheduler) and "Schedule type" not in pairs:
            pairs["Sampler"] = sampler.removesuffix(scheduler)
            pairs["Schedule type"] = scheduler.strip()
    texts, left_out = _values(pairs)
    values: dict[str, Setting] = {}
    problems: list[str] = []
    for path, text in texts.items():
        try:
            values |= settings_of_text(path, text)
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(*problems)
    return values, tuple(left_out)


def _values(pairs: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return what pairs tell, as text by path, and the labels of the rest."""
    hires = any(label in pairs for label in ("Hires upscale", "Hires resize", "Hires upscaler"))
    adetailer = "ADetailer model" in pairs
    paths = {**_PATHS, **(_HIRES if hires else {}), **(_ADETAILER if adetailer else {})}
    values: dict[str, str] = {}
    values |= {"txt2img.enable_hr": "true"} if hires else {}
    values |= {"adetailer.enabled": "true"} if adetailer else {}
    left_out: list[str] = []
    for label, text in pairs.items():
        if label in _SIZES and (size := re.fullmatch(r"(\d+)x(\d+)", text)):
            values |= dict(zip(_SIZES[label], size.groups(), strict=True))
        elif label in paths and text not in _SAME:
            values[paths[label]] = _HASH.sub("", text) if label == "Refiner" else text
        elif label not in (*paths, *_SAYS_NO_MORE) and not (
            label == "Model hash" and "Model" in pairs
        ):
            left_out.append(label)
    return values, left_out


@lru_cache(maxsize=4096)
def _settings_of_text(path: str, text: str) -> tuple[tuple[str, Setting], ...]:
    path, value = parse_assignment(f"{path}={text}")
    return tuple(
        (f"{stage}.{name}", each) for (stage, name), each in checked_settings(path, value).items()
    )


def settings_of_text(path: str, text: str) -> dict[str, Setting]:
    """Return what a path and a value, as text, set; a seed of −1 is none of its own.

    Raises:
        ConfigError: No such path, or a value that does not fit there.
    """
    settings = dict(_settings_of_text(path, text))
    return {} if path.endswith("seed") and list(settings.values()) == [-1] else settings
