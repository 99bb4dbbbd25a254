"""The pictures to start from that the words of the command line ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from stablenew.cli.options import RunFile, RunOptions, as_texts
from stablenew.config.image_files import find_images
from stablenew.config.overrides import IMAGE
from stablenew.learning.axis import Axis, axis_of_images
from stablenew.learning.axis_table import texts_of, values_of


def chosen_images(
    sources: Sequence[RunOptions | RunFile], folders: Sequence[Path]
) -> tuple[str, ...]:
    """Return the pictures that the strongest source which names some asks for.

    Args:
        sources: The strongest first; the last one is the plan file.
        folders: Where those are looked for that the plan file names.

    Raises:
        ConfigError: There is none of a name.
    """
    for source in sources:
        if source.image is not None:
            of_file = source is sources[-1]
            return find_images(as_texts(source.image), folders if of_file else (Path(),))
    return ()


def image_axes(images: Sequence[str]) -> tuple[Axis, ...]:
    """Return the axis of several pictures; none for one."""
    return (axis_of_images(images),) if len(images) > 1 else ()


def with_found_images(axes: object, folders: Sequence[Path]) -> object:
    """Return the axes of a plan file with the pictures in them found.

    Raises:
        ConfigError: There is none of a name.
    """
    if not isinstance(axes, list | tuple):
        return axes
    return [_with_found(axis, folders) if isinstance(axis, Mapping) else axis for axis in axes]


def _with_found(axis: Mapping[str, object], folders: Sequence[Path]) -> Mapping[str, object]:
    if axis.get("path") == IMAGE:
        return {**axis, "values": values_of(IMAGE, axis.get("values"), folders)}
    if "images" in axis:
        return {**axis, "images": find_images(texts_of(axis["images"]), folders)}
    return axis
