"""AUTOMATIC1111's names of ways to enlarge, and what ComfyUI calls the same."""

from __future__ import annotations

from collections.abc import Mapping

from stablenew.backends.comfyui import file_names

LATENT_MODES: Mapping[str, str] = {
    "Latent": "bilinear",
    "Latent (bicubic)": "bicubic",
    "Latent (nearest-exact)": "nearest-exact",
    "Latent (area)": "area",
    "Latent (bislerp)": "bislerp",
}
"""Of hires fix; the last two are ComfyUI's alone; AUTOMATIC1111's antialiased ones are not here."""

METHODS: Mapping[str, str] = {
    "None": "lanczos",
    "Lanczos": "lanczos",
    "Nearest": "nearest-exact",
    "bilinear": "bilinear",
    "bicubic": "bicubic",
    "area": "area",
}
"""What needs no model."""

_FILES: Mapping[str, str] = {
    "r-esrgan 4x+": "realesrgan_x4plus",
    "r-esrgan 4x+ anime6b": "realesrgan_x4plus_anime_6b",
    "r-esrgan general 4xv3": "realesr-general-x4v3",
    "r-esrgan 2x+": "realesrgan_x2plus",
}
"""AUTOMATIC1111's names of models, and what their files are called."""


def spellings(models: tuple[str, ...]) -> dict[str, str]:
    """Return every spelling of an upscaler in lower case with its name."""
    found = file_names.spellings(models)
    named = {name: found[file] for name, file in _FILES.items() if file in found}
    return {**named, **found, **{name.lower(): name for name in METHODS}}
