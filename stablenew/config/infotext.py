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
}


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
    pairs = [
        f"{label}: {_quoted(values[name])}"
        for name, label in _LABELS.items()
        if values.get(name) is not None
    ]
    negative = settings.get("negative_prompt")
    lines = [
        str(settings.get("prompt") or ""),
        *([f"Negative prompt: {negative}"] if negative else []),
        ", ".join([*pairs, f"Version: {version}"]),
    ]
    return "\n".join(lines)


def read_infotext(text: str) -> dict[str, str]:
    """Return the pairs of an infotext's last line; empty where it has none."""
    pairs = dict(_pairs(text.strip().rpartition("\n")[2]))
    if len(pairs) < _FEWEST_PAIRS:
        return {}
    return {label: _unquoted(value) for label, value in pairs.items()}


def read_pairs(line: str) -> dict[str, str]:
    """Return the pairs of a line that is known to be the last one of an infotext."""
    return {label: _unquoted(value) for label, value in _pairs(line)}


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
