"""The size of a picture after hires fix or an upscale, as AUTOMATIC1111 computes it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from stablenew.config.pipeline_config import Setting

MULTIPLE = 8
"""Pixels that a side is a multiple of: what is left over is cut off by the server."""


def hires_size(
    settings: Mapping[str, Setting], first: tuple[int, int] | None
) -> tuple[int, int] | None:
    """Return the size after hires fix: an explicit one, one side of it, or a factor."""
    if first is None:
        return None
    width, height = (int(settings.get(f"hr_resize_{side}") or 0) for side in "xy")
    if width and height:
        return width, height
    if width or height:
        factor = width / first[0] if width else height / first[1]
    else:
        factor = float(settings.get("hr_scale") or 2.0)
    return round(first[0] * factor), round(first[1] * factor)


def upscaled_size(settings: Mapping[str, Setting], size: tuple[int, int]) -> tuple[int, int]:
    """Return the size after an upscale, as `extra-single-image` computes it."""
    width, height = size
    if settings.get("resize_mode") == 1:
        wanted = (
            int(settings.get("upscaling_resize_w") or 512),
            int(settings.get("upscaling_resize_h") or 512),
        )
        if settings.get("upscaling_crop", True):
            return wanted
        factor = max(wanted[0] / width, wanted[1] / height)
    else:
        factor = float(settings.get("upscaling_resize") or 2.0)
    return floored(int(width * factor)), floored(int(height * factor))


def floored(side: int) -> int:
    """Return a side without what is left over."""
    return max(MULTIPLE, side // MULTIPLE * MULTIPLE)
