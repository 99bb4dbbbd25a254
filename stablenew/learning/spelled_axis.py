"""An axis as a backend spells it: names as it has them, `*` and globs for all that match. Pure.

`txt2img.sampler_name=*` is every sampler, `txt2img.model=xl_*` every model of such a name, in the
backend's order; a name that the backend has is no glob, whatever is in it. `lora.*=0.8` is every
LoRA at that weight, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

import attrs

from stablenew._names import suggestion
from stablenew.backends.base import Capabilities
from stablenew.config.overrides import LORA
from stablenew.config.pipeline_config import STAGES, Setting
from stablenew.config.workflow_config import WORKFLOW
from stablenew.errors import ConfigError
from stablenew.learning.axis import Axis, Choice, label_of, label_of_all

_ANY = "*?"
_LORAS = f"{LORA}."


def spelled_axis(axis: Axis, capabilities: Capabilities) -> Axis:
    """Return an axis with its names as a backend has them, and every glob in full.

    Raises:
        ConfigError: With every glob that matches nothing, and every one in step with other settings
            that matches more than one name.
    """
    if axis.path.startswith(_LORAS) and _has_glob(axis.path):
        return _each_lora(axis, capabilities)
    problems: list[str] = []
    globbed: dict[tuple[tuple[str, Setting], ...], bool] = {}
    choices: list[Choice] = []
    for choice in axis.choices:
        spelled = {
            path: _spelled(path, choice.overrides[path], capabilities) for path in choice.overrides
        }
        try:
            expanded = list(_expanded(spelled, capabilities))
        except ConfigError as error:
            problems.extend(error.problems)
            continue
        is_glob = expanded != [spelled]
        for overrides in expanded:
            key = tuple(overrides.items())
            if key in globbed and (is_glob or globbed[key]):  # `Euler,*` has Euler once
                continue
            globbed[key] = is_glob
            choices.append(_renamed(choice, overrides))
    if problems:
        raise ConfigError(*problems)
    return axis if choices == list(axis.choices) else attrs.evolve(axis, choices=choices)


def _each_lora(axis: Axis, capabilities: Capabilities) -> Axis:
    """Return an axis of the LoRAs of a name, at each of the weights."""
    names = _matching(axis.path, axis.path.removeprefix(_LORAS), capabilities)
    choices = tuple(
        Choice(f"{name}:{label_of(weight)}", {f"{_LORAS}{name}": weight})
        for name in names
        for weight in axis.values
    )
    return attrs.evolve(axis, name=LORA, choices=choices)


def _renamed(choice: Choice, overrides: Mapping[str, Setting]) -> Choice:
    """Return a choice with other overrides; a label that was made of these is made of those."""
    if overrides == choice.overrides:
        return choice
    named = choice.label == label_of_all(choice.overrides)
    label = label_of_all(overrides) if named else choice.label
    return attrs.evolve(choice, label=label, overrides=overrides)


def _spelled(path: str, value: Setting, capabilities: Capabilities) -> Setting:
    return capabilities.spelled(path.partition(".")[2], value)


def _expanded(
    overrides: Mapping[str, Setting], capabilities: Capabilities
) -> Iterator[dict[str, Setting]]:
    """Yield what a choice sets for each name that its globs match."""
    globs = {
        path: _matching(path, value, capabilities)
        for path, value in overrides.items()
        if isinstance(value, str) and _is_glob(path, value, capabilities)
    }
    if len(overrides) == 1 and globs:
        for path, names in globs.items():
            for name in names:
                yield {path: name}
        return
    problems = [
        f"{path}: given {overrides[path]!r}, which matches {len(names)} names"
        f" ({', '.join(names[:6])}); in step with other settings, expected one"
        for path, names in globs.items()
        if len(names) > 1
    ]
    if problems:
        raise ConfigError(*problems)
    yield {**overrides, **{path: names[0] for path, names in globs.items()}}


def _is_glob(path: str, value: str, capabilities: Capabilities) -> bool:
    stage, _, name = path.partition(".")
    names = capabilities.names_of(name)
    if stage == WORKFLOW:  # whose inputs may be texts
        return bool(names) and value not in names and _has_glob(value)
    if stage not in STAGES or "prompt" in name or not _has_glob(value):
        return False
    return value not in names and (bool(names) or "*" in value)


def _has_glob(text: str) -> bool:
    return any(each in text for each in _ANY)


def _matching(path: str, glob: str, capabilities: Capabilities) -> tuple[str, ...]:
    """Return the names that a glob matches, in any case.

    Raises:
        ConfigError: There is none, or the backend does not tell; with the nearest.
    """
    kind = LORA if path.startswith(_LORAS) else path.partition(".")[2]
    names = capabilities.names_of(kind)
    if not names:
        title = capabilities.title
        raise ConfigError(f"{path}: given {glob!r}, but the {title} does not tell what there is")
    found = tuple(name for name in names if fnmatchcase(name.lower(), glob.lower()))
    if not found:
        near = suggestion(glob.strip(_ANY), names)
        raise ConfigError(f"{path}: given {glob!r}, which no name matches; {near}")
    return found
