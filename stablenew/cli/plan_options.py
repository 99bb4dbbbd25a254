"""The plan that the words of the command line ask for: a product of axes, or an exploration."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

import attrs

from stablenew.cli.image_options import image_axes, with_found_images
from stablenew.cli.options import REPLACE_IN, LearningSection, RunOptions, Varying, as_texts
from stablenew.cli.preset_options import axis_of_files
from stablenew.cli.problems import Problems
from stablenew.config.image_files import find_images
from stablenew.config.overrides import IMAGE
from stablenew.config.pipeline_config import Setting
from stablenew.config.prompt import Prompt
from stablenew.config.sweep import (
    Named,
    by_config,
    parse_exploration,
    parse_sweep,
    parse_values,
    split_items,
)
from stablenew.errors import ConfigError
from stablenew.learning.axis import Axis, axis_in_step, axis_of_prompts, axis_of_values
from stablenew.learning.learning_adapter import build_learning_plan_from_dict
from stablenew.learning.learning_plan import LearningPlan


def plan_of(
    options: RunOptions,
    section: LearningSection,
    axes: Sequence[Axis],
    prompts: Sequence[Prompt],
    images: Sequence[str],
    assigned: Collection[str],
    folders: Sequence[Path] = (Path(),),
) -> LearningPlan | None:
    """Return the plan that options ask for, or else a plan file's section; None for a single run.

    Args:
        options: Of all sources.
        section: The plan file's.
        axes: What the options vary.
        prompts: Those that are asked for; several are an axis, which changes last.
        images: Those to start from, likewise.
        assigned: The paths that are set for all steps, and beat the prompts' own settings.
        folders: Where the section's pictures are looked for.

    Raises:
        ConfigError: With every problem.
    """
    plan = None if options.varying is not None else section_plan(section, folders)
    axes = (*axes, *image_axes(images), *_prompt_axes(options, plan, axes, prompts, assigned))
    words = {each.word for each in options.varying or ()}
    adaptive = (plan is not None and plan.is_adaptive) or "explore" in words
    if options.max_pictures is not None and not adaptive:
        raise ConfigError("max_pictures: of what? expected --explore PATH=LOW..HIGH")
    if plan is None and not axes:
        _refuse_parts_of_nothing(options)
        return None
    base = plan or LearningPlan(axes=axes)
    if adaptive and words & {"sweep", "with"}:
        raise ConfigError(
            "sweep: given with --explore, which chooses what is made;"
            " give it the values to choose from: --explore PATH=VALUES"
        )
    kept = "adaptive" if adaptive else plan.mode if plan and not axes else None
    return attrs.evolve(
        base,
        axes=(*plan.axes, *axes) if plan else axes,
        mode=kept,
        max_pictures=options.max_pictures or base.max_pictures,
        images_per_step=options.images_per_step or 1,
        sample=options.sample,
        skip=_skips(options.skip),
        order=options.order or "models",
    )


def _prompt_axes(
    options: RunOptions,
    plan: LearningPlan | None,
    axes: Sequence[Axis],
    prompts: Sequence[Prompt],
    assigned: Collection[str],
) -> tuple[Axis, ...]:
    """Return the axis of several prompts; none for one prompt."""
    if len(prompts) > 1:
        others = (*axes, *(plan.axes if plan else ()))
        elsewhere = {*assigned, *(path for axis in others for path in axis.paths)}
        compare = bool(options.compare_prompts)
        return (axis_of_prompts(prompts, compare=compare, without=elsewhere),)
    if options.compare_prompts:
        raise ConfigError(f"compare_prompts: given with {len(prompts)} prompts, expected several")
    return ()


def _refuse_parts_of_nothing(options: RunOptions) -> None:
    for name in ("sample", "skip"):
        if getattr(options, name):
            raise ConfigError(f"{name}: of what? nothing varies; expected --sweep PATH=VALUES")


def section_plan(
    section: LearningSection, folders: Sequence[Path] = (Path(),)
) -> LearningPlan | None:
    """Return the plan of a plan file's section; None where it varies nothing.

    Args:
        section: That.
        folders: Where its pictures are looked for.

    Raises:
        ConfigError: With every problem.
    """
    words = ("mode", "stage", "target_variable", "sweep_values", "y_variable", "y_values", "axes")
    given = {word: getattr(section, word) for word in words}
    given = {word: value for word, value in given.items() if value is not None}
    if not given.keys() & {"target_variable", "sweep_values", "axes"}:
        return None
    try:
        if "axes" in given:
            given["axes"] = with_found_images(given["axes"], folders)
        return build_learning_plan_from_dict(given)
    except ConfigError as error:
        raise ConfigError(*(f"learning.{problem}" for problem in error.problems)) from error


def varied_axes(
    options: RunOptions, folders: Sequence[Path], wrong: Problems, named: Named = by_config
) -> tuple[Axis, ...]:
    """Return the axes that words make, in the order in which they were given.

    Args:
        options: Of all sources.
        folders: Where presets are looked for.
        wrong: Gets the problems of every word.
        named: What paths stand for.
    """
    replaced_by = REPLACE_IN[options.replace_in or "prompt"]
    groups: list[_Group] = []
    axes: list[Axis] = []
    for word in options.varying or ():
        try:
            _take(groups, word, replaced_by, named)
        except ConfigError as error:
            wrong.found += [f"{word.word}: {problem}" for problem in error.problems]
    for group in groups:
        axes += wrong.unless(partial(_axes_of, group, folders), [])
    return tuple(axes)


_Group = dict[str, tuple[Setting, ...]] | list[str] | Axis
"""What makes an axis: the values of settings in step, the names of presets, or the axis itself."""


def _take(groups: list[_Group], word: Varying, replaced_by: str, named: Named) -> None:
    """Take up a word: most begin an axis, some go on with one."""
    last = groups[-1] if groups else None
    if word.word == "presets":
        names = split_items("files", word.text)
        if (before := next((each for each in groups if isinstance(each, list)), None)) is None:
            groups.append(names)
        else:
            before += names
    elif word.word == "replace":
        groups.append(_replacement(word.text, replaced_by))
    elif word.word == "explore":
        groups.append(axis_of_values(*parse_exploration(word.text, named)))
    elif word.word == "sweep":
        swept: dict[str, tuple[Setting, ...]] = {}
        groups.append(swept)  # what follows is in step with it, whatever becomes of it
        swept.update([parse_sweep(word.text, named)])
    elif isinstance(last, dict):
        path, values = parse_sweep(word.text, named)
        if path in last:
            raise ConfigError(f"{path}: is in step with itself, expected another setting")
        last[path] = values
    else:
        raise ConfigError(
            f"given {word.text!r}, expected after the --sweep that it is in step with"
        )


def _axes_of(group: _Group, folders: Sequence[Path]) -> list[Axis]:
    if isinstance(group, Axis):
        return [group]
    if isinstance(group, list):
        return [axis_of_files(group, folders)]
    if IMAGE in group:
        group = {**group, IMAGE: find_images(map(str, group[IMAGE]), folders)}
    if len(group) > 1:
        return [axis_in_step(group)]
    return [axis_of_values(path, values) for path, values in group.items()]


def _replacement(text: str, kind: str) -> Axis:
    word, equals, values = text.partition("=")
    if not equals or not word.strip():
        raise ConfigError(f"given {text!r}, expected WORD=FIRST,SECOND such as red=red,blue")
    path = f"{kind}.{word.strip()}"
    return axis_of_values(path, parse_values(path, values))


def _skips(given: object) -> list[Mapping[str, Setting]]:
    """Return what is left out: each `sampler_name=Heun,steps=8`, or a table of the same.

    Raises:
        ConfigError: It is neither.
    """
    skips: list[Mapping[str, Setting]] = []
    for each in as_texts(given if not isinstance(given, Mapping) else [given]):
        if isinstance(each, Mapping):
            skips.append(each)
            continue
        pairs = [item.partition("=") for item in split_items("skip", str(each))]
        if not all(name.strip() and equals for name, equals, _ in pairs):
            raise ConfigError(f"skip: given {each!r}, expected NAME=VALUE,… such as steps=8")
        skips.append({name.strip(): value.strip() for name, _, value in pairs})
    return skips
