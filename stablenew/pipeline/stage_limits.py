"""What a backend can do only so far: sizes, seeds, numbers, and the language of prompts. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stablenew.backends.base import Capabilities
from stablenew.config.pipeline_config import Setting
from stablenew.config.prompt_syntax import special_syntax, weighted_parts
from stablenew.pipeline.stage_files import PROMPTS, counts, lora_names


def size_problems(
    stage: str, settings: Mapping[str, Setting], capabilities: Capabilities
) -> Iterator[str]:
    """Yield a problem where a stage's width and height are none that the backend makes."""
    size = settings.get("width"), settings.get("height")
    if capabilities.sizes and None not in size and size not in capabilities.sizes:
        has = ", ".join(f"{width}x{height}" for width, height in capabilities.sizes)
        yield (
            f"{stage}.width, {stage}.height: given {size[0]}x{size[1]},"
            f" the {capabilities.title} makes {has}"
        )


def seed_problems(
    stage: str, settings: Mapping[str, Setting], capabilities: Capabilities
) -> Iterator[str]:
    """Yield a problem where a seed is larger than the backend takes: it would draw another one."""
    largest, seed = capabilities.largest_seed, settings.get("seed")
    if largest is not None and isinstance(seed, int) and seed > largest:
        yield f"{stage}.seed: given {seed}, the {capabilities.title} takes none above {largest}"


def range_problems(
    stage: str, settings: Mapping[str, Setting], capabilities: Capabilities
) -> Iterator[str]:
    """Yield a problem for each number that is further than the backend goes."""
    for name, (low, high) in capabilities.ranges.items():
        value = settings.get(name)
        if isinstance(value, int | float) and not low <= value <= high:
            expected = repr(low) if low == high else f"{low:,} to {high:,}"
            takes = f"the {capabilities.title} takes {expected}"
            yield f"{stage}.{name}: given {value!r}, but {takes}"


def prompt_problems(
    stage: str, settings: Mapping[str, Setting], capabilities: Capabilities
) -> Iterator[str]:
    """Yield a problem for what in a prompt the backend would take for plain words."""
    if not capabilities.plain_syntax:
        return
    backend = f"the {capabilities.title}"
    for name in PROMPTS:
        text = str(settings.get(name) or "") if counts(name, settings) else ""
        for kind, said in special_syntax(text):
            if kind in capabilities.plain_syntax:
                what = "" if kind == said else f" ({kind})"
                yield (
                    f"{stage}.{name}: given {said!r}{what}, which {backend} takes for plain words;"
                    " expected a prompt without it"
                )
        if "negative" in name and any(lora_names(text)):
            yield f"{stage}.{name}: given a LoRA, which counts in no negative prompt"
        try:
            weighted_parts(text)
        except ValueError as error:
            yield f"{stage}.{name}: a weight is no number ({error})"
