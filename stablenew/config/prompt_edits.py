"""Changes to the text of a prompt: another word in its place, another weight of a LoRA. Pure."""

from __future__ import annotations

import re

_LORA = re.compile(r"<(lora|lyco):([^:<>]+)((?::[^:<>]*)*)>", re.IGNORECASE)
"""`<lora:NAME:WEIGHT>`, with more weights where a backend has them (`<lora:NAME:0.8:0.5>`)."""


def replace_word(text: str, word: str, by: str) -> str | None:
    """Return a text with every `word` replaced, as by the WebUI's Prompt S/R; None without one."""
    return text.replace(word, by) if word in text else None


def set_lora_weight(text: str, name: str, weight: float) -> str | None:
    """Return a prompt with another weight in each tag of a LoRA; None where it has no such tag."""

    def changed(tag: re.Match[str]) -> str:
        if tag[2].strip() != name:
            return tag[0]
        others = tag[3].split(":")[2:]
        return f"<{':'.join([tag[1], tag[2], f'{weight:g}', *others])}>"

    tagged = any(tag[2].strip() == name for tag in _LORA.finditer(text))
    return _LORA.sub(changed, text) if tagged else None


def add_lora(text: str, name: str, weight: float) -> str:
    """Return a prompt with a tag of a LoRA at its end."""
    return f"{text} <lora:{name}:{weight:g}>".lstrip()
