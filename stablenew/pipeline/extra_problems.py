"""What is wrong with what a stage is given under `extra`, on a backend. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stablenew._names import suggestion
from stablenew.backends.base import Capabilities
from stablenew.config.extra_settings import EXTRA, extra_of, missing_places, parent
from stablenew.config.pipeline_config import Setting


def extra_problems(
    stage: str, asked: Mapping[str, Setting], capabilities: Capabilities
) -> Iterator[str]:
    """Yield what is wrong with what a stage is given under `extra`."""
    extra = extra_of(asked)
    if not extra:
        return
    taken = capabilities.extra.get(stage)
    if not taken:
        given = f"{stage}.{EXTRA}: given {', '.join(extra)}"
        yield f"{given}, but the {capabilities.title} takes nothing there"
        return
    for path in extra:
        if not any(_begins(path, each) for each in taken):
            near = suggestion(parent(path), _alike(path, taken), prefix=f"{stage}.{EXTRA}.")
            lacks = f"the {capabilities.title} has no such field"
            yield f"{stage}.{EXTRA}.{path}: given, but {lacks}; {near}"
    yield from (f"{stage}.{problem}" for problem in missing_places(extra))


def _begins(path: str, beginning: str) -> bool:
    """Return whether a path is that one or goes on from it; scripts have names in any case."""
    path, beginning = path.lower(), beginning.lower()
    return not beginning or path == beginning or path.startswith(f"{beginning}.")


def _alike(path: str, taken: tuple[str, ...]) -> list[str]:
    """Return what a path may have been meant for: of the same field, if that holds others."""
    first = path.partition(".")[0]
    return [each for each in taken if each.startswith(f"{first}.")] or list(taken)
