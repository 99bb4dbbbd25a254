"""From a prompt in AUTOMATIC1111's language to one that means the same to ComfyUI. Pure.

ComfyUI knows `(x:1.2)` and takes `[x]` and LoRA tags for words; a nested number is not multiplied
but replaces the outer one. So every part gets its whole weight and no bracket within another, LoRA
tags are cut out, and a word that names an embedding becomes `embedding:NAME`. What has no
counterpart is refused when the run is planned.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import attrs

from stablenew.config.prompt_syntax import weighted_parts

_LORA = re.compile(r"<(?:lora|lyco):([^>]*)>")
_BRACKETS = re.compile(r"[()]")


@attrs.frozen
class LoraTag:
    """What `<lora:NAME:1:0.5>` asks for.

    Attributes:
        name: As it stands there.
        clip: The weight on the text encoder: AUTOMATIC1111 names it first.
        model: The weight on the model; that of the text encoder where none is named.
    """

    name: str
    clip: float = 1.0
    model: float = 1.0


@attrs.frozen
class PromptWords:
    """A prompt for ComfyUI.

    Attributes:
        text: In its own language, without tags.
        loras: What the tags asked for, in their order.
    """

    text: str
    loras: tuple[LoraTag, ...] = ()


def translated(prompt: str, embeddings: Mapping[str, str]) -> PromptWords:
    """Return what a prompt means to ComfyUI.

    Args:
        prompt: In AUTOMATIC1111's language.
        embeddings: What the server has: by the word in lower case, the name that it takes.

    Raises:
        ValueError: A weight in it is no number.
    """
    loras = tuple(read_tag(tag) for tag in _LORA.findall(prompt))
    parts = weighted_parts(_LORA.sub("", prompt))
    said = [
        (_BRACKETS.sub(r"\\\g<0>", _with_embeddings(text, embeddings)), weight)
        for text, weight in parts
    ]
    return PromptWords(text="".join(_written(said)), loras=loras)


def read_tag(tag: str) -> LoraTag:
    """Return what stands between `<lora:` and `>`: `NAME:te:unet`, or `te=…` and `unet=…`.

    Raises:
        ValueError: A weight is no number, or something else is named (`dyn=…`).
    """
    places: list[str] = []
    named: dict[str, float] = {}
    for part in tag.split(":"):
        name, equals, value = part.partition("=")
        if not equals:
            places.append(part)
        elif name in ("te", "unet"):
            named[name] = float(value)
        else:
            raise ValueError(f"<lora:{tag}>: ComfyUI has no {name}=")
    weights = [float(each) for each in places[1:3]]
    clip = named.get("te", weights[0] if weights else 1.0)
    model = named.get("unet", weights[1] if len(weights) > 1 else clip)
    return LoraTag(name=places[0] if places else "", clip=clip, model=model)


def _written(parts: list[tuple[str, float]]) -> Iterator[str]:
    for number, (text, weight) in enumerate(parts):
        # A backslash would make a word of the bracket after it.
        guarded = text.endswith("\\") and number + 1 < len(parts)
        yield text if weight == 1.0 and not guarded else f"({text}:{weight:.9g})"


def _with_embeddings(text: str, embeddings: Mapping[str, str]) -> str:
    if not embeddings:
        return text
    names = "|".join(re.escape(name) for name in sorted(embeddings, key=len, reverse=True))

    def named(found: re.Match[str]) -> str:
        before, after = text[: found.start()][-1:], text[found.end() :][:1]
        left = " " if before and not before.isspace() else ""
        right = " " if after and not (after.isspace() or after == ",") else ""
        return f"{left}embedding:{embeddings[found[0].lower()]}{right}"

    return re.sub(rf"(?i)(?<!embedding:)(?<![\w/\\-])(?:{names})(?![\w/\\-])", named, text)
