"""The files that a stage names, in settings and in prompts, and what is known of them. Pure.

A name is no file: another LoRA, VAE or upscaler may lie behind it the next time. What the backend
tells of the file, a hash, goes into the fingerprint of the pictures that it makes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Protocol

from stablenew._names import suggestion
from stablenew.backends.base import Capabilities
from stablenew.config.extra_settings import style_names
from stablenew.config.pipeline_config import Setting

PROMPTS = (
    *("prompt", "negative_prompt", "hr_prompt", "hr_negative_prompt"),
    *("ad_prompt", "ad_negative_prompt"),
)
"""The settings that may hold tags and words that stand for files."""

_KINDS = {
    "model": "model",
    "refiner_checkpoint": "model",
    "vae": "vae",
    "upscaler_1": "upscaler",
    "upscaler_2": "upscaler",
    "hr_upscaler": "upscaler",
    "ad_model": "detector",
}
"""What kind of file a setting names."""

_LORA = re.compile(r"<(?:lora|lyco):([^>]*)>")
_LORA_LIKE = re.compile(r"<(lora|lyco):([^<>]*)(>?)", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")
_ELSEWHERE = re.compile(r"__|[{}|$*]")
"""What a server's own wildcards and dynamic prompts write in the place of a name."""

_LEFT_OUT = str.maketrans("", "", ":,")
"""AUTOMATIC1111 tells the hashes of LoRAs by their names without these."""


def file_key(kind: str, name: str) -> str:
    """Return what a file goes by: `lora:film`."""
    return f"{kind}:{name.translate(_LEFT_OUT) if kind == 'lora' else name}"


def named_files(settings: Mapping[str, Setting], capabilities: Capabilities) -> dict[str, str]:
    """Return the files that a stage's settings name, each with its hash, "" where it is not told.

    Files that the backend tells nothing about are left out.
    """
    found: dict[str, str] = {}
    for name, value in settings.items():
        if not isinstance(value, str) or not counts(name, settings):
            continue
        if name in PROMPTS:
            found |= _in_text(value, capabilities)
        elif name == "styles":
            known = capabilities.files.get("style", {})
            found |= {file_key("style", s): known[s] for s in style_names(value) if s in known}
        else:
            kind = _KINDS.get(name, "")
            known = capabilities.files.get(kind, {})
            if value in known:
                found[file_key(kind, value)] = known[value]
    return found


class Made(Protocol):
    """A picture, however it is kept."""

    @property
    def settings(self) -> Mapping[str, Setting]:
        """What it was made with."""
        ...

    @property
    def hashes(self) -> Mapping[str, str]:
        """Of the files that it was made with."""
        ...


def told_hashes(settings: Mapping[str, Setting], picture: Made) -> dict[str, str]:
    """Return what a backend told of files when it had made a picture, the model's included.

    Args:
        settings: Those that its stage was asked for.
        picture: What it made.
    """
    model, model_hash = settings.get("model"), picture.settings.get("model_hash")
    of_model = {file_key("model", str(model)): str(model_hash)} if model and model_hash else {}
    return {**of_model, **picture.hashes}


def lora_names(text: str) -> Iterator[str]:
    """Yield the names in `<lora:NAME:WEIGHT>`, as the WebUI reads them."""
    for tag in _LORA.findall(text):
        # `te=0.5` names a weight.
        yield next((part for part in tag.split(":") if "=" not in part), "")


def missing_loras(
    stage: str, settings: Mapping[str, Setting], capabilities: Capabilities
) -> Iterator[str]:
    """Yield a problem for each LoRA in a stage's prompts that the backend does not have.

    And for each tag that a server passes over in silence, or takes for words of the prompt.
    """
    there = capabilities.files.get("lora")
    if there is None:  # it does not tell
        return
    for setting in PROMPTS:
        text = str(settings.get(setting) or "") if counts(setting, settings) else ""
        for tag in dict.fromkeys(_broken_tags(text)):
            yield f"{stage}.{setting}: {tag}"
        for name in dict.fromkeys(lora_names(text)):
            if name not in there and not _ELSEWHERE.search(name):
                lacks = f"the {capabilities.title} has no such LoRA"
                near = suggestion(name, there)
                yield f"{stage}.{setting}: given <lora:{name}:…>, but {lacks}; {near}"


def _broken_tags(text: str) -> Iterator[str]:
    for tag in _LORA_LIKE.finditer(text):
        kind, inside, end = tag.groups()
        given = f"given {tag[0][:60]!r}"
        weights = [part for part in inside.split(":")[1:] if "=" not in part]
        if not end:
            yield f"{given}, which no '>' ends; expected <{kind.lower()}:NAME:WEIGHT>"
        elif kind != kind.lower():
            yield f"{given}, which is no tag; expected <{kind.lower()}:{inside}>"
        elif weights and not _NUMBER.fullmatch(weights[0]) and not _ELSEWHERE.search(weights[0]):
            yield f"{given}, expected a number as its weight"


def counts(name: str, settings: Mapping[str, Setting]) -> bool:
    """Return whether a setting does anything beside the others."""
    if name.startswith("hr_"):
        return bool(settings.get("enable_hr"))
    if name == "upscaler_2":
        return bool(settings.get("extras_upscaler_2_visibility"))
    return True


def _in_text(text: str, capabilities: Capabilities) -> dict[str, str]:
    """Return the LoRAs of a prompt and the embeddings that its words are."""
    loras, embeddings = (capabilities.files.get(kind, {}) for kind in ("lora", "embedding"))
    found = {file_key("lora", name): loras[name] for name in lora_names(text) if name in loras}
    words = text.lower()
    for name, known in embeddings.items():
        if re.search(rf"(?<!\w){re.escape(name.lower())}(?!\w)", words):
            found[file_key("embedding", name)] = known
    return found
