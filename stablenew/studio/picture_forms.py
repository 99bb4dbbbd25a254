"""A picture's settings in the forms in which other programs take them; everything here blocks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from stablenew.backends.comfyui.picture_chunks import texts_of
from stablenew.config.infotext import infotext
from stablenew.config.overrides import setting_types
from stablenew.config.pipeline_config import STAGES, PipelineConfig
from stablenew.errors import ConfigError
from stablenew.pipeline.run_metadata import METADATA_FILE
from stablenew.storage.record_reader import NOT_JSON
from stablenew.studio.answers import NotThereError
from stablenew.studio.job_text import toml_of

_OPTIONS = {
    "model": "sd_model_checkpoint",
    "vae": "sd_vae",
    "clip_skip": "CLIP_stop_at_last_layers",
}
"""What the WebUI sets for a request as an option."""


def job_of_picture(out: Path, picture: Mapping[str, Any]) -> dict[str, Any]:
    """Return the job that makes a picture once more, all stages of it.

    Raises:
        NotThereError: Its run's metadata cannot be read.
    """
    try:
        data = msgspec.json.decode((out / picture["run_id"] / METADATA_FILE).read_bytes())
        config = PipelineConfig.from_dict(data["config"]).to_dict()
        backend = data.get("backend")
    except (OSError, *NOT_JSON, KeyError, TypeError, ConfigError) as error:
        raise NotThereError(f"{picture['run_id']}: its settings cannot be read") from error
    job: dict[str, Any] = {"backend": backend} if backend in ("embedded", "fake") else {}
    for stage in STAGES:
        own: Any = config.get(stage) or {}
        if own.get("enabled"):
            job[stage] = {k: v for k, v in own.items() if v is not None and k in _known(stage)}
    for first in ("txt2img", "img2img"):
        if first in job and picture["settings"].get("seed") is not None:
            job[first]["seed"] = picture["settings"]["seed"]
            break
    return job


def _known(stage: str) -> Mapping[str, type]:
    return {**setting_types(stage), "extra": dict}


def as_form(out: Path, picture: Mapping[str, Any], form: str) -> tuple[str, str]:
    """Return a picture's settings as text of a form, and the ending of a file of it.

    Raises:
        NotThereError: There is no such form of it.
    """
    settings = picture["settings"]
    if form == "plan":
        return toml_of(job_of_picture(out, picture)), "toml"
    if form == "infotext":
        sized = {"width": picture["width"], "height": picture["height"], **settings}
        return infotext(sized, "StableNew"), "txt"
    if form == "api":
        known = setting_types("txt2img")
        plain = {k: v for k, v in settings.items() if k in known and v not in (None, "")}
        options = {_OPTIONS[k]: plain.pop(k) for k in list(plain) if k in _OPTIONS}
        plain.pop("enabled", None)
        body = {**plain, **({"override_settings": options} if options else {})}
        return json.dumps(body, indent=2, ensure_ascii=False) + "\n", "json"
    if form == "comfyui":
        return _workflow(out / picture["url"].removeprefix("files/")), "json"
    raise NotThereError(f"no form {form[:50]!r}; there is plan, infotext, api, comfyui")


def _workflow(path: Path) -> str:
    """Return the workflow that a picture of ComfyUI's carries."""
    try:
        texts = texts_of(path.read_bytes()) if path.suffix.lower() == ".png" else {}
    except (OSError, ValueError, ConfigError):
        texts = {}
    for name in ("workflow", "prompt"):
        if name in texts:
            return texts[name].decode(errors="replace")
    raise NotThereError("no workflow: the picture was not made by ComfyUI")
