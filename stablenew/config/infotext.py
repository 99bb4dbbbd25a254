"""The WebUI's infotext: the line of parameters that pictures carry and other tools read.

Two or three lines: the prompt, `Negative prompt: …` where there is one, and `Steps: 20, Sampler:
Euler, …`. A value with a comma, a colon or a newline is quoted as JSON. It is read as AUTOMATIC1111
reads it: the last line counts if it has three pairs or more, and only a newline ends a line:
other separators, such as U+2028 in a prompt pasted from a page, stand in values as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from stablenew.config.pipeline_config import Setting

_LABELS = {
    "steps": "Steps",
    "sampler_name": "Sampler",
    "scheduler": "Schedule type",
    "cfg_scale": "CFG scale",
    "seed": "Seed",
    "size": "Size",
    "model_hash": "Model hash",
    "model": "Model",
    "denoising_strength": "Denoising strength",
    "clip_skip": "Clip skip",
    "vae": "VAE",
    "hr_scale": "Hires upscale",
    "hr_resize": "Hires resize",
    "hr_second_pass_steps": "Hires steps",
    "hr_upscaler": "Hires upscaler",
    "hr_sampler_name": "Hires sampler",
    "hr_scheduler": "Hires schedule type",
    "hr_prompt": "Hires prompt",
    "hr_negative_prompt": "Hires negative prompt",
    "refiner_checkpoint": "Refiner",
    "refiner_switch_at": "Refiner switch at",
}

_ADETAILER = {
    "ad_model": "ADetailer model",
    "ad_prompt": "ADetailer prompt",
    "ad_negative_prompt": "ADetailer negative prompt",
    "ad_confidence": "ADetailer confidence",
    "ad_dilate_erode": "ADetailer dilate erode",
    "ad_mask_blur": "ADetailer mask blur",
    "ad_denoising_strength": "ADetailer denoising strength",
    "ad_inpaint_only_masked": "ADetailer inpaint only masked",
}

_SAYS_NOTHING: Mapping[str, tuple[Setting, ...]] = {
    "clip_skip": (1,),
    "vae": ("Automatic", "None"),
    "hr_second_pass_steps": (0,),
}
"""Values that are written by leaving them out."""


_LABEL = re.compile(r"(?<![\w \-/])[ \-/]*+(\w[\w \-/]++):")
_VALUE = re.compile(r'\s*("(?:\\.|[^\\"])++"|[^,]*)(?:,|$)')
"""AUTOMATIC1111's pattern for a pair in two halves that look at each letter once: in one piece it
takes minutes for a long last line without a colon."""

_FEWEST_PAIRS = 3


def infotext(settings: Mapping[str, Setting], version: str) -> str:
    """Return the infotext for what a picture was made with.

    Args:
        settings: In the API's names; `width` and `height` become `Size`.
        version: What made it.
    """
    values = {**settings, "size": f"{settings['width']}x{settings['height']}"}
    if settings.get("hr_resize_x") and settings.get("hr_resize_y"):
        values["hr_resize"] = f"{settings['hr_resize_x']}x{settings['hr_resize_y']}"
        values.pop("hr_scale", None)
    if not settings.get("enable_hr"):
        values = {name: value for name, value in values.items() if not name.startswith("hr_")}
    if not settings.get("refiner_checkpoint"):
        values.pop("refiner_switch_at", None)
    pairs = _labelled(values, _LABELS)
    negative = settings.get("negative_prompt")
    lines = [
        str(settings.get("prompt") or ""),
        *([f"Negative prompt: {negative}"] if negative else []),
        ", ".join([*pairs, f"Version: {version}"]),
    ]
    return "\n".join(lines)


def with_adetailer(text: str, settings: Mapping[str, Setting]) -> str:
    """Return a picture's infotext with what ADetailer did to the picture; "" where it has none."""
    return ", ".join([text, *_labelled(settings, _ADETAILER)]) if text else ""


def read_infotext(text: str) -> dict[str, str]:
    """Return the pairs of an infotext's last line; empty where it has none."""
    pairs = dict(_pairs(text.strip().rpartition("\n")[2]))
    if len(pairs) < _FEWEST_PAIRS:
        return {}
    return {label: _unquoted(value) for label, value in pairs.items()}


def read_pairs(line: str) -> dict[str, str]:
    """Return the pairs of a line that is known to be the last one of an infotext."""
    return {label: _unquoted(value) for label, value in _pairs(line)}


def _labelled(values: Mapping[str, Setting], labels: Mapping[str, str]) -> list[str]:
    return [
        f"{label}: {_quoted(values[name])}"
        for name, label in labels.items()
        if values.get(name) not in (None, "", *_SAYS_NOTHING.get(name, ()))
    ]


def _pairs(line: str) -> Iterator[tuple[str, str]]:
    end = 0
    while label := _LABEL.search(line, end):
        value = _VALUE.match(line, label.end())
        assert value is not None  # its second half matches anything up to a comma
        yield label[1], value[1]
        end = value.end()


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value.strip()
    try:
        return str(json.loads(value))
    except ValueError:
        return value


def _quoted(value: Setting) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if any(c in text for c in ",:\n") else text
