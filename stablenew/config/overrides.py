"""Derive a config from another one; the base is never changed.

Besides the settings themselves (`txt2img.cfg_scale`) there are paths that stand for a change:

- `image`: the file of the picture to start from.
- `workflow.NODE.INPUT`: what stands in an input of a node of the workflow: `workflow.3.cfg`.
- `txt2img.size`, `img2img.size`: width and height, as in `512x768`.
- `txt2img.extra.…`: what else is sent with a stage; see `extra_settings`.
- `lora.NAME`: the weight of that LoRA's tags in the positive prompts; a tag is added to that of
  txt2img where there is none.
- `replace.WORD`, `replace_negative.WORD`, `replace_both.WORD`: what stands in place of a word, in
  the positive prompts, the negative ones, or both.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from functools import cache

import attrs

from stablenew._arguments import checked, takes
from stablenew._convert import is_a_number, structure_field
from stablenew._names import suggestion
from stablenew.config.extra_settings import EXTRA, extra_path, extra_value, is_extra, refusal
from stablenew.config.pipeline_config import STAGES, PipelineConfig, Setting, stage_of
from stablenew.config.prompt_edits import add_lora, replace_word, set_lora_weight
from stablenew.config.workflow_config import WORKFLOW
from stablenew.errors import ConfigError, OverrideError

SEEDED = ("txt2img", "img2img", "adetailer")
"""The stages that draw noise, in order: a later one takes the seed of the first."""

_POSITIVE = ("prompt", "hr_prompt", "ad_prompt")
_NEGATIVE = ("negative_prompt", "hr_negative_prompt", "ad_negative_prompt")
_REPLACED_IN: Mapping[str, tuple[str, ...]] = {
    "replace": _POSITIVE,
    "replace_negative": _NEGATIVE,
    "replace_both": _POSITIVE + _NEGATIVE,
}
LORA = "lora"
TEXT_EDITS = (*_REPLACED_IN, LORA)
"""How the paths begin that change the text of prompts, whatever that is."""

IMAGE = "image"
"""The path of the picture to start from."""

_EXTRA = f"{EXTRA}."

_SIZED = ("txt2img.size", "img2img.size")
_SIZE = re.compile(r"\s*(\d+)\s*[xX×*]\s*(\d+)\s*")


@takes(config=PipelineConfig, path=str)
def override(config: PipelineConfig, path: str, value: object) -> PipelineConfig:
    """Return `config` with one setting changed.

    Args:
        config: The base, left as it is.
        path: Stage and setting: `txt2img.cfg_scale`, or one of the paths of the module.
        value: The new value, of the setting's own type.

    Raises:
        OverrideError: No such path, or a value that does not fit there.
    """
    if edits_text(path):
        return edit_prompts(config, path, checked_edit(path, value))
    return assign(config, checked_settings(path, value))


@takes(config=PipelineConfig, values=Mapping)
def override_all(config: PipelineConfig, values: Mapping[str, object]) -> PipelineConfig:
    """Return `config` with several settings changed; what changes the text of prompts comes last.

    Raises:
        OverrideError: With every path and value that is wrong.
    """
    for path in values:
        checked("path", path, str)
    problems: list[str] = []
    for path, value in sorted(values.items(), key=lambda item: edits_text(item[0])):
        try:
            config = override(config, path, value)
        except OverrideError as error:
            problems.extend(error.problems)
    if problems:
        raise OverrideError(*problems)
    return config


def edits_text(path: str) -> bool:
    """Return whether a path changes the text of prompts, and so depends on what that is."""
    return path.partition(".")[0] in TEXT_EDITS


def paths_set_by(path: str) -> tuple[str, ...]:
    """Return the settings that a path stands for: width and height for a size."""
    if path not in _SIZED:
        return (path,)
    stage = path.partition(".")[0]
    return f"{stage}.width", f"{stage}.height"


def checked_settings(path: str, value: object) -> dict[tuple[str, str], Setting]:
    """Return what a path and a value set, by stage ("" for none) and name, checked.

    Raises:
        OverrideError: No such path, or a value that does not fit there.
    """
    if path in _SIZED:
        stage, (width, height) = path.partition(".")[0], _size(path, value)
        return {
            **checked_settings(f"{stage}.width", width),
            **checked_settings(f"{stage}.height", height),
        }
    if sets_input(path):
        if value is None or not isinstance(value, str | int | float):
            raise OverrideError(f"{path}: given {value!r}, expected text, a number, true or false")
        return {(WORKFLOW, path.partition(".")[2]): value}
    stage, name = ("", path) if path == IMAGE else split_path(path)
    try:
        if name.startswith(_EXTRA):
            return {(stage, name): extra_value(path, value)}
        kind = _kind(stage) if stage else PipelineConfig
        checked = structure_field(value, kind, name, stage)
        return {(stage, name): typing.cast(Setting, checked)}
    except ConfigError as error:
        raise OverrideError(*error.problems) from None


def sets_input(path: str) -> bool:
    """Return whether a path is that of an input of the workflow."""
    return path.startswith(f"{WORKFLOW}.")


def assign(config: PipelineConfig, values: Mapping[tuple[str, str], Setting]) -> PipelineConfig:
    """Return a config with settings that were checked before.

    Raises:
        OverrideError: An input of a workflow, and there is none.
    """
    stages: dict[str, dict[str, Setting]] = {}
    for (stage, name), value in values.items():
        stages.setdefault(stage, {})[name] = value
    changed: dict[str, typing.Any] = dict(stages.pop("", {}))
    if inputs := stages.pop(WORKFLOW, None):
        if config.workflow is None:
            raise OverrideError(*(f"{WORKFLOW}.{name}: there is no workflow" for name in inputs))
        inputs = {**config.workflow.inputs, **inputs}
        changed[WORKFLOW] = attrs.evolve(config.workflow, inputs=inputs)
    changed |= {
        stage: _changed(getattr(config, stage), changes) for stage, changes in stages.items()
    }
    return attrs.evolve(config, **changed)


def _changed(settings: typing.Any, changes: Mapping[str, Setting]) -> object:
    """Return a stage's settings with others, among them perhaps extra ones.

    Raises:
        OverrideError: One of those is below another one.
    """
    extra = {path.removeprefix(_EXTRA): v for path, v in changes.items() if path.startswith(_EXTRA)}
    if not extra:
        return attrs.evolve(settings, **changes)
    named = {name: value for name, value in changes.items() if not name.startswith(_EXTRA)}
    before = getattr(settings, EXTRA) or {}
    try:
        return attrs.evolve(settings, **named, extra={**before, **extra})
    except ConfigError as error:
        stage = stage_of(settings)
        raise OverrideError(*(f"{stage}.{problem}" for problem in error.problems)) from None


def checked_edit(path: str, value: object) -> str | float:
    """Return the value of a change to prompts, checked.

    Raises:
        OverrideError: It names no word or LoRA, or the value does not fit.
    """
    kind, _, name = path.partition(".")
    if not name.strip():
        raise OverrideError(f"{path}: of what? expected {kind}.NAME")
    if kind != LORA:
        if not isinstance(value, str):
            raise OverrideError(f"{path}: given {value!r}, expected text")
        return value
    if not is_a_number(value) or not abs(value) <= 1_000:
        raise OverrideError(f"{path}: given {value!r}, expected a weight, such as 0.8")
    return float(value)


def edit_prompts(config: PipelineConfig, path: str, value: str | float) -> PipelineConfig:
    """Return a config with other prompts, by a change that was checked before.

    Raises:
        OverrideError: There is no such word in any of them.
    """
    kind, _, name = path.partition(".")
    names = _REPLACED_IN.get(kind, _POSITIVE)

    def change(text: str) -> str | None:
        if isinstance(value, str):
            return replace_word(text, name, value)
        return set_lora_weight(text, name, value)

    changed = {
        (stage, each): new
        for stage, each, text in _prompts(config, names)
        if (new := change(text)) is not None
    }
    if changed:
        return assign(config, changed)
    prompt = config.txt2img.prompt or ""
    if not isinstance(value, str):
        return assign(config, {("txt2img", "prompt"): add_lora(prompt, name, value)})
    where = {"replace": "prompt", "replace_negative": "negative prompt"}.get(kind, "prompts")
    shown = prompt if kind == "replace" else config.txt2img.negative_prompt or ""
    raise OverrideError(f"{path}: {name!r} is not in the {where} {shown!r}")


def _prompts(config: PipelineConfig, names: Iterable[str]) -> Iterable[tuple[str, str, str]]:
    for stage in STAGES:
        settings = getattr(config, stage)
        for name in names:
            text = getattr(settings, name, None)
            if text:
                yield stage, name, text


def _size(path: str, value: object) -> tuple[int, int]:
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise OverrideError(f"{path}: given {value!r}, expected width and height, such as 512x768")
    return int(found[1]), int(found[2])


def split_path(path: str) -> tuple[str, str]:
    """Split `txt2img.cfg_scale` into stage and setting.

    Raises:
        OverrideError: No config has such a path; the nearest ones are named.
    """
    stage, dot, name = path.partition(".")
    if stage in STAGES and name.startswith(_EXTRA):
        return stage, _EXTRA + _extra_path(stage, name.removeprefix(_EXTRA))
    if stage in STAGES and name == EXTRA:
        raise OverrideError(f"{path}: of what? expected {path}.NAME")
    if stage in STAGES and name in setting_types(stage):
        return stage, name
    if stage in STAGES and not dot:
        raise OverrideError(f"{path}: a stage, expected one of its settings such as {path}.enabled")
    if stage in STAGES:
        near = suggestion(name, setting_types(stage), prefix=f"{stage}.")
        raise OverrideError(f"{path}: no such setting, {near}")
    every = (f"{stage}.{each}" for stage in STAGES for each in setting_types(stage))
    same = [each for each in every if each.endswith(f".{path}")]
    if same:
        raise OverrideError(f"{path}: not a setting's path, did you mean {' or '.join(same)}?")
    raise OverrideError(f"{path}: no such setting, {suggestion(path, (*STAGES, IMAGE))}")


def _extra_path(stage: str, path: str) -> str:
    """Return the path of an extra setting as it is kept.

    Raises:
        OverrideError: It is none, or a setting of the stage itself.
    """
    try:
        kept = extra_path(path)
    except ConfigError as error:
        raise OverrideError(*(f"{stage}.{problem}" for problem in error.problems)) from None
    if problem := refusal(stage, kept, tuple(setting_types(stage))):
        raise OverrideError(f"{stage}.{EXTRA}.{path}: {problem}")
    return kept


def with_stage(name: str, stage: str = STAGES[0]) -> str:
    """Return the path of a setting that may have been given with its stage, or without it."""
    return f"{stage}.{name}" if "." not in name or is_extra(name) else name


def value_type(path: str) -> type:
    """Return the type of a path's values: str, int, float or bool; object where nobody knows.

    Raises:
        OverrideError: No such path.
    """
    if path == IMAGE or path in _SIZED:
        return str
    if edits_text(path):
        return float if path.partition(".")[0] == LORA else str
    if sets_input(path):
        return object  # known with the workflow alone
    stage, name = split_path(path)
    return object if name.startswith(_EXTRA) else setting_types(stage)[name]


@cache
def setting_types(stage: str) -> Mapping[str, type]:
    """Map the names of a stage's settings to their types: str, int, float or bool."""
    kind = _kind(stage)
    hints = typing.get_type_hints(kind)
    names = (field.name for field in attrs.fields(kind) if field.name != EXTRA)
    return {name: _bare(hints[name]) for name in names}


@cache
def _kind(stage: str) -> type:
    kind = typing.get_type_hints(PipelineConfig)[stage]
    assert isinstance(kind, type)
    return kind


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
