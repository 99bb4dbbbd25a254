"""An axis as plain data, in a plan file, in `plan.json`, or from a program.

One of:

- `{path = "txt2img.cfg_scale", values = [3, 5, 7]}`, or `values = "3:7:2"`, or of a plan that is
  adaptive `values = "1..12"`, all that is worth trying in between; with
  `with = {"txt2img.steps" = [20, 12, 8]}` these change in step with it.
- `{prompts = ["a cat", {prompt = "a dog", negative_prompt = "blurry"}]}`, a condition unless it has
  `condition = false`.
- `{images = ["photos/*.png"]}`, files, folders and globs to start from; a condition, likewise.
- `{name = "look", choices = [{label = "soft", overrides = {"txt2img.cfg_scale" = 3}}, …]}`

and `condition = true` where the advice is to hold over all of its choices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from stablenew._arguments import checked
from stablenew._convert import frozen_mapping, structure
from stablenew._metadata import as_metadata
from stablenew.config.image_files import find_images
from stablenew.config.number_range import is_range
from stablenew.config.overrides import IMAGE, value_type
from stablenew.config.pack_tables import prompts_from
from stablenew.config.pipeline_config import Setting
from stablenew.config.sweep import parse_span, parse_values
from stablenew.errors import ConfigError, OverrideError
from stablenew.learning.axis import (
    Axis,
    Choice,
    as_values,
    axis_in_step,
    axis_of_images,
    axis_of_prompts,
    axis_of_values,
)


@attrs.frozen(kw_only=True)
class _ChoiceTable:
    label: str
    overrides: Mapping[str, Setting] = attrs.field(converter=frozen_mapping)
    tags: Mapping[str, object] = attrs.field(factory=dict, converter=as_metadata)


@attrs.frozen(kw_only=True)
class AxisTable:
    """What an axis can be given as; see the module."""

    path: str | None = None
    values: object = None
    with_: Mapping[str, object] = attrs.field(factory=dict, converter=frozen_mapping)
    name: str | None = None
    choices: tuple[_ChoiceTable, ...] = ()
    prompts: object = None
    images: object = None
    condition: bool | None = None

    @property
    def axis(self) -> Axis:
        """The axis that is meant.

        Raises:
            ConfigError: None of these is given, or values that are none of the path's.
        """
        if self.prompts is not None:
            prompts = prompts_from(self.prompts)
            compare = self.condition is False
            return axis_of_prompts(prompts, compare=compare, name=self.name or "prompt")
        if self.images is not None:
            images = find_images(texts_of(self.images))
            compare = self.condition is False
            return axis_of_images(images, compare=compare, name=self.name or IMAGE)
        condition = bool(self.condition)
        if self.path is None:
            if self.name is None or not self.choices:
                ways = "path and values nor prompts nor images nor name and choices"
                raise ConfigError(f"given neither {ways}")
            choices = (Choice(each.label, each.overrides, each.tags) for each in self.choices)
            return Axis(self.name, tuple(choices), condition=condition)
        values = {
            path: values_of(path, given)
            for path, given in [(self.path, self.values), *self.with_.items()]
        }
        axis = axis_in_step(values) if self.with_ else axis_of_values(self.path, values[self.path])
        return attrs.evolve(axis, name=self.name or axis.name, condition=condition)


def texts_of(given: object) -> list[str]:
    """Return one text, or a list of them, as a list.

    Raises:
        ConfigError: There is something else in it.
    """
    return [str(checked("images", each, str)) for each in as_values(given)]


def values_of(path: str, given: object, folders: Sequence[Path] = (Path(),)) -> tuple[Setting, ...]:
    """Return the values of a path, from text as a person types it, or from a list.

    In a list, too, a range is its numbers: `[1, "3:9:2"]`; other text is one value as it is.

    Args:
        path: What the values are of.
        given: The text, or the list; pictures to start from may be folders and globs.
        folders: Where those are looked for.
    """
    if path == IMAGE:
        texts = parse_values(path, given) if isinstance(given, str) else texts_of(given)
        return find_images(map(str, texts), folders)
    if isinstance(given, str):
        return parse_span(path, given) or parse_values(path, given)
    values: list[Setting] = []
    for value in as_values(given):
        if isinstance(value, str) and is_range(value) and _takes_numbers(path):
            values += parse_values(path, value)
        else:
            values.append(value)
    return tuple(values)


def _takes_numbers(path: str) -> bool:
    try:
        return value_type(path) in (int, float)
    except OverrideError:  # told with all the others, once there is a plan
        return False


def axes_from(tables: object) -> tuple[Axis, ...]:
    """Read axes from plain data.

    Raises:
        ConfigError: With every problem.
    """
    if not isinstance(tables, list | tuple):
        raise ConfigError(f"axes: given {tables!r}, expected a list of tables")
    axes: list[Axis] = []
    problems: list[str] = []
    for number, table in enumerate(tables):
        if isinstance(table, Axis):
            axes.append(table)
            continue
        try:
            if not isinstance(table, Mapping):
                raise ConfigError(f"given {table!r}, expected a table with path and values")
            given = {("with_" if name == "with" else name): table[name] for name in table}
            axes.append(structure(given, AxisTable).axis)
        except ConfigError as error:
            problems += [f"axes[{number}]: {problem}" for problem in error.problems]
    if problems:
        raise ConfigError(*problems)
    return tuple(axes)


def table_of(axis: Axis) -> dict[str, object]:
    """Return an axis as plain data that `axes_from` takes."""
    condition = {"condition": True} if axis.condition else {}
    listed = axis.choices and axis.path != IMAGE  # pictures are not looked for a second time
    if listed and axis == attrs.evolve(
        axis_of_values(axis.path, axis.values), condition=axis.condition
    ):
        return {"path": axis.path, "values": list(axis.values), **condition}
    return {
        "name": axis.name,
        **condition,
        "choices": [_choice_table(choice) for choice in axis.choices],
    }


def _choice_table(choice: Choice) -> dict[str, object]:
    tags = {"tags": dict(choice.tags)} if choice.tags else {}
    return {"label": choice.label, "overrides": dict(choice.overrides), **tags}
