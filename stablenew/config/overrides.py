"""Derive a config from another one; the base is never changed."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from functools import cache

import attrs

from stablenew._convert import structure
from stablenew._names import suggestion
from stablenew.config.pipeline_config import STAGES, PipelineConfig
from stablenew.errors import ConfigError, OverrideError

SEEDED = ("txt2img", "img2img", "adetailer")
"""The stages that draw noise, in order: a later one takes the seed of the first."""


def override(config: PipelineConfig, path: str, value: object) -> PipelineConfig:
    """Return `config` with one setting changed.

    Args:
        config: The base, left as it is.
        path: Stage and setting: `txt2img.cfg_scale`.
        value: The new value, of the setting's own type.

    Raises:
        OverrideError: No such path, or a value that does not fit there.
    """
    stage, name = split_path(path)
    kind = type(getattr(config, stage))
    try:  # one field through the strict converter, the others as they are
        checked = getattr(structure({name: value}, kind, stage), name)
    except ConfigError as error:
        raise OverrideError(*error.problems) from None
    return attrs.evolve(config, **{stage: attrs.evolve(getattr(config, stage), **{name: checked})})


def override_all(config: PipelineConfig, values: Mapping[str, object]) -> PipelineConfig:
    """Return `config` with several settings changed.

    Raises:
        OverrideError: With every path and value that is wrong.
    """
    problems: list[str] = []
    for path, value in values.items():
        try:
            config = override(config, path, value)
        except OverrideError as error:
            problems.extend(error.problems)
    if problems:
        raise OverrideError(*problems)
    return config


def split_path(path: str) -> tuple[str, str]:
    """Split `txt2img.cfg_scale` into stage and setting.

    Raises:
        OverrideError: No config has such a path; the nearest ones are named.
    """
    stage, dot, name = path.partition(".")
    if stage in STAGES and name in setting_types(stage):
        return stage, name
    if stage in STAGES and not dot:
        raise OverrideError(f"{path}: a stage, expected one of its settings such as {path}.enabled")
    if stage in STAGES:
        near = suggestion(name, setting_types(stage), prefix=f"{stage}.")
        raise OverrideError(f"{path}: no such setting, {near}")
    every = (f"{known}.{each}" for known in STAGES for each in setting_types(known))
    same = [each for each in every if each.endswith(f".{path}")]
    if same:
        raise OverrideError(f"{path}: not a setting's path, did you mean {' or '.join(same)}?")
    raise OverrideError(f"{path}: no such setting, {suggestion(path, STAGES)}")


@cache
def setting_types(stage: str) -> Mapping[str, type]:
    """Map the names of a stage's settings to their types: str, int, float or bool."""
    kind = typing.get_type_hints(PipelineConfig)[stage]
    hints = typing.get_type_hints(kind)
    return {field.name: _bare(hints[field.name]) for field in attrs.fields(kind)}


def with_seed(config: PipelineConfig, draw: Callable[[], int]) -> PipelineConfig:
    """Return `config` with every seed of −1, and the first one if not given, drawn for good.

    Args:
        config: The base, left as it is.
        draw: Returns a seed, 0 or more.
    """
    for stage in SEEDED:
        seed = getattr(config, stage).seed
        if seed == -1 or (stage == "txt2img" and seed is None):
            config = override(config, f"{stage}.seed", draw())
    if config.txt2img.subseed == -1:
        config = override(config, "txt2img.subseed", draw())
    return config


def _bare(hint: object) -> type:
    """Return the type that is meant by `X | None`."""
    if isinstance(hint, types.UnionType):
        hint = next(each for each in typing.get_args(hint) if each is not type(None))
    assert isinstance(hint, type)
    return hint
