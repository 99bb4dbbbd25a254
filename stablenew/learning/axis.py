"""An axis: an ordered list of choices, each a label and the overrides that it makes. Pure.

Whatever is explored is an axis: values of one setting, of several settings in step, prompts, words
of a prompt, weights of a LoRA, whole presets, start pictures. A plan is the product of its axes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from functools import cached_property
from pathlib import Path
from types import NoneType

import attrs

from stablenew._arguments import checked, checked_list, shown, takes
from stablenew._convert import as_python, frozen_mapping
from stablenew._metadata import as_metadata
from stablenew.config.image_files import image_path, short_names
from stablenew.config.overrides import IMAGE, TEXT_EDITS, edits_text, paths_set_by
from stablenew.config.pipeline_config import STAGES, Setting
from stablenew.config.prompt import Prompt
from stablenew.config.workflow_config import WORKFLOW
from stablenew.errors import ConfigError


@attrs.frozen
class Choice:
    """One of the things that an axis tries.

    Attributes:
        label: What to call it.
        overrides: The value of each path that it sets: `{"txt2img.cfg_scale": 7}`.
        tags: Kept with every run that takes it, over the plan's: `prompt_id`, …
    """

    label: str
    overrides: Mapping[str, Setting] = attrs.field(converter=frozen_mapping)
    tags: Mapping[str, object] = attrs.field(factory=dict, converter=as_metadata)


def _choices(given: Iterable[Choice]) -> tuple[Choice, ...]:
    return checked_list("choices", given, Choice)


@attrs.frozen
class Axis:
    """Something that is explored.

    Attributes:
        name: What to call it: a path, where it is the values of one.
        choices: In order.
        condition: Whether the advice is to hold over all of its choices, as over prompts and start
            pictures, and is not about which of them is best.
    """

    name: str
    choices: tuple[Choice, ...] = attrs.field(converter=_choices)
    condition: bool = False

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that some choice sets, the first choice's first."""
        return self._paths

    @property
    def path(self) -> str:
        """What it is about: the one path that it sets, or the one of its name; else its name."""
        return self._path

    @property
    def values(self) -> tuple[Setting, ...]:
        """What each choice stands for: the value of what the axis is about, or its label."""
        return self._values

    # Kept, for they are asked for in every step; in names that no line of JSON has.

    @cached_property
    def _paths(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(path for choice in self.choices for path in choice.overrides))

    @cached_property
    def _path(self) -> str:
        if self.name in self.paths:
            return self.name
        named = [path for path in self.paths if without_stage(path) == self.name]
        if named or len(self.paths) == 1:
            return (named or self.paths)[0]
        return self.name

    @cached_property
    def _values(self) -> tuple[Setting, ...]:
        path = self.path
        return tuple(choice.overrides.get(path, choice.label) for choice in self.choices)

    @property
    def labels(self) -> tuple[str, ...]:
        """What to call the choices."""
        return tuple(choice.label for choice in self.choices)

    @property
    def short_name(self) -> str:
        """Its name without the stage, or without what is done to a word: `cfg_scale`, `red`."""
        kind, _, word = self.name.partition(".")
        return word if kind in TEXT_EDITS and word else without_stage(self.name)


def as_values(given: object) -> tuple[Setting, ...]:
    """Return the values of a sweep; a scalar is a sweep of one value."""
    given = as_python(given)
    if given is None or isinstance(given, str | int | float):
        given = () if given is None else (given,)
    if not isinstance(given, Iterable) or isinstance(given, Mapping | Set):
        raise ConfigError(f"sweep_values: given {given!r}, expected a list of values")
    values: list[Setting] = []
    for value in map(as_python, given):
        if value is not None and not isinstance(value, str | int | float):
            raise ConfigError(f"sweep_values: given {value!r}, expected text, a number, or a bool")
        values.append(value)
    return tuple(values)


def axis_of_values(path: str, values: Iterable[Setting]) -> Axis:
    """Return the values of one setting, or of one of the paths that stand for a change.

    Raises:
        ConfigError: They are no list of values.
    """
    checked("path", path, str)
    values = as_values(values)
    if path == IMAGE:
        return axis_of_images(values, compare=True)
    return Axis(path, tuple(Choice(label_of(value), {path: value}) for value in values))


@takes(name=str)
def axis_of_images(paths: Iterable[object], *, compare: bool = False, name: str = IMAGE) -> Axis:
    """Return pictures to start from, which are a condition unless they are to be compared.

    Args:
        paths: Of their files.
        compare: Whether the question is which of them is better.
        name: What to call the axis.

    Raises:
        ConfigError: One of them is no path.
    """
    files = [str(image_path(path)) for path in checked_list("paths", paths, (str, Path))]
    named = zip(short_names(files), files, strict=True)
    choices = tuple(Choice(label, {IMAGE: file}) for label, file in named)
    return Axis(name, choices, condition=not compare)


def axis_in_step(values: Mapping[str, Sequence[Setting]]) -> Axis:
    """Return several settings that change together: their first values, their second ones, ….

    Args:
        values: Of each path, as many as of the first.

    Raises:
        ConfigError: Not as many; both numbers are named.
    """
    if not isinstance(values, Mapping) or not values:
        raise ConfigError(f"with: given {values!r}, expected a table of paths and their values")
    values = {checked("path", path, str): as_values(each) for path, each in values.items()}
    if IMAGE in values:
        values[IMAGE] = tuple(map(image_path, values[IMAGE]))
    (first, firsts), *others = values.items()
    problems = [
        f"{path}: {len(each)} values in step with the {len(firsts)} of {first}; expected as many"
        for path, each in others
        if len(each) != len(firsts)
    ]
    if problems:
        raise ConfigError(*problems)
    choices = [dict(zip(values, each, strict=True)) for each in zip(*values.values(), strict=True)]
    return Axis(first, tuple(Choice(label_of_all(each), each) for each in choices))


@takes(name=str)
def axis_of_prompts(
    prompts: Iterable[str | tuple[str, str | None] | Prompt],
    *,
    compare: bool = False,
    name: str = "prompt",
    without: Collection[str] = (),
) -> Axis:
    """Return prompts, which are a condition unless they are to be compared.

    Args:
        prompts: Those of a pack, with the settings of their own; or texts, or each with its
            negative prompt, None for that of the config.
        compare: Whether the question is which of them is better.
        name: What to call the axis.
        without: Paths that are set elsewhere, and beat the prompts' own settings.

    Raises:
        ConfigError: Something in it is no prompt.
    """
    beaten = {each for path in checked_list("without", without, str) for each in paths_set_by(path)}
    if isinstance(prompts, Mapping):  # whose values nobody would see
        raise ConfigError(f"prompts: given {shown(prompts)}, expected a list")
    choices = [_of_prompt(prompt, beaten) for prompt in checked_list("prompts", prompts)]
    return Axis(name, told_apart(choices), condition=not compare)


def _of_prompt(given: object, beaten: Collection[str]) -> Choice:
    """Return the choice of a prompt, or of a pair with its negative one."""
    if isinstance(given, Prompt):
        own = {path: value for path, value in given.overrides.items() if path not in beaten}
        texts = _texts(given.positive, given.negative or None)
        return Choice(given.name or given.positive, {**texts, **own}, given.tags)
    pair = (given, None) if isinstance(given, str) else given
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        expected = "a prompt, alone or with its negative prompt"
        raise ConfigError(f"prompts: given {shown(given)}, expected {expected}")
    prompt = checked("prompts", pair[0], str)
    return Choice(prompt, _texts(prompt, checked("prompts", pair[1], (str, NoneType))))


def _texts(prompt: str, negative: str | None) -> dict[str, Setting]:
    given = {} if negative is None else {"txt2img.negative_prompt": negative}
    return {"txt2img.prompt": prompt, **given}


def told_apart(choices: Sequence[Choice]) -> tuple[Choice, ...]:
    """Return choices with the number of each that is called as another one is."""
    counted = Counter(choice.label for choice in choices)
    return tuple(
        attrs.evolve(choice, label=f"{choice.label} #{n}") if counted[choice.label] > 1 else choice
        for n, choice in enumerate(choices, start=1)
    )


def axis_of_presets(presets: Mapping[str, Mapping[str, Setting]]) -> Axis:
    """Return whole presets, each with what it sets, by path.

    What one of them sets and another does not is the base config's in that other.
    """
    if not isinstance(presets, Mapping) or not all(map(_is_table, presets.values())):
        raise ConfigError(f"presets: given {presets!r}, expected a table of settings for each name")
    return Axis("preset", tuple(Choice(name, values) for name, values in presets.items()))


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def label_of(value: Setting) -> str:
    """Return a value in words: numbers without what changes nothing, true and false."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) and value.is_integer() else str(value)


def label_of_all(values: Mapping[str, Setting]) -> str:
    """Return several settings that change together in words: `Heun, steps=12`."""
    (_, first), *others = values.items()
    return ", ".join([label_of(first), *(f"{without_stage(p)}={label_of(v)}" for p, v in others)])


def without_stage(path: str) -> str:
    """Return a path without its stage: `cfg_scale`; whole where it begins with none."""
    stage, _, name = path.partition(".")
    return name if stage in (*STAGES, WORKFLOW) and name else path


def changes_text(axis: Axis) -> bool:
    """Return whether some choice changes the text of prompts, which has to be known before."""
    return any(edits_text(path) for path in axis.paths)


def axis_names(axes: Sequence[Axis]) -> tuple[str, ...]:
    """Return what to call each axis: without its stage, unless two would have the same name."""
    counted = Counter(axis.short_name for axis in axes)
    return tuple(axis.short_name if counted[axis.short_name] == 1 else axis.name for axis in axes)
