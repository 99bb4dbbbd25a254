"""The fields of a generation that SD.Next calls by other names, or means by other numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stablenew.config.pipeline_config import Setting

PREFERRED = "Resize Lanczos"
"""The upscaler of hires fix where nobody chooses one; SD.Next itself fails without one."""

UNKNOWN = ("hr_prompt", "hr_negative_prompt")
"""Settings that it ignores without a word."""

_FIXED = 1
_RESIZE_MODES = {0: _FIXED, 1: 2, 2: 3, 3: _FIXED}
"""AUTOMATIC1111's `resize_mode` and its own, where 0 is "none": the size that was asked for is
claimed, and the picture keeps that of the one it begins with."""

_LATENT = (3, "Latent Bilinear")
"""AUTOMATIC1111's `resize_mode` that resizes in latent space, and the upscaler that does so."""


def hires_upscalers(upscalers: Sequence[str]) -> tuple[str, ...]:
    """Return the upscalers of hires fix; the one to take where nobody chooses comes first."""
    return tuple(sorted(upscalers, key=lambda name: name != PREFERRED))


def hires_fields(settings: Mapping[str, Setting]) -> dict[str, object]:
    """Return what hires fix needs to be one: by itself it resizes nothing, and samples nothing."""
    return {
        "hr_resize_mode": _FIXED,
        "hr_force": True,
        "hr_denoising_strength": settings.get("denoising_strength"),
    }


def resize_fields(mode: Setting, upscaler: Setting = None) -> dict[str, object]:
    """Return how a picture gets another size.

    Args:
        mode: AUTOMATIC1111's `resize_mode`.
        upscaler: What enlarges it before it is sampled; None for its own way.
    """
    fields: dict[str, object] = {"resize_mode": _RESIZE_MODES.get(int(mode or 0), _FIXED)}
    name = upscaler or (_LATENT[1] if mode == _LATENT[0] else None)
    return {**fields, **({"resize_name": name} if name else {})}
