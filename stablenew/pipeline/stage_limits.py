"""What a backend can do only so far: sizes and seeds. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stablenew.backends.base import Capabilities
from stablenew.config.pipeline_config import Setting


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
