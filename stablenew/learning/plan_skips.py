"""Which cells a plan leaves out, from the names and values that somebody gave. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stablenew._names import suggestion
from stablenew.config.pipeline_config import Setting
from stablenew.errors import ConfigError
from stablenew.learning.axis import Axis, label_of, without_stage
from stablenew.learning.cells import Skip


def skipped_places(axes: Sequence[Axis], skip: Mapping[str, Setting]) -> Skip:
    """Return the places on each axis that an entry of a plan's `skip` names.

    Raises:
        ConfigError: There is no such axis, or no such choice.
    """
    found: dict[int, frozenset[int]] = {}
    for name, value in skip.items():
        number, path = _named(axes, name)
        axis = axes[number]
        places = frozenset(
            place
            for place, choice in enumerate(axis.choices)
            if _is_meant(value, choice.overrides.get(path, choice.label))
            or _is_meant(value, choice.label)
        )
        if not places:
            raise ConfigError(f"skip: given {name}={value}, {suggestion(value, axis.labels)}")
        found[number] = places & found.get(number, places)
    return found


def _named(axes: Sequence[Axis], name: str) -> tuple[int, str]:
    """Return the axis of a name, by its own or that of a path that it sets, and that path.

    Raises:
        ConfigError: There is none, or several.
    """
    names = [{axis.name: axis.path, axis.short_name: axis.path} for axis in axes]
    for axis, spellings in zip(axes, names, strict=True):
        for path in axis.paths:
            spellings |= {path: path, without_stage(path): path}
    numbers = [number for number, spellings in enumerate(names) if name in spellings]
    if len(numbers) == 1:
        return numbers[0], names[numbers[0]][name]
    if numbers:
        paths = " or ".join(names[number][name] for number in numbers)
        raise ConfigError(f"skip: given {name!r}, expected {paths}")
    every = sorted({axis.short_name for axis in axes})
    raise ConfigError(f"skip: given {name!r}, {suggestion(name, every)}")


def _is_meant(given: Setting, value: Setting) -> bool:
    """Return whether what is skipped is a value: `8` and `8.0` are, as are its words."""
    if label_of(given) == label_of(value):
        return True
    try:
        return isinstance(value, int | float) and float(str(given)) == value
    except ValueError:
        return False
