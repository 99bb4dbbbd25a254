"""The plan that the words of the command line ask for: a sweep, a grid, an exploration."""

from __future__ import annotations

from stablenew.cli.options import LearningSection, RunOptions
from stablenew.config.sweep import parse_sweep, parse_values
from stablenew.errors import ConfigError
from stablenew.learning.learning_adapter import build_learning_plan_from_dict
from stablenew.learning.learning_plan import LearningPlan


def plan_of(options: RunOptions, section: LearningSection) -> LearningPlan | None:
    """Return the plan that options ask for, or else a plan file's section; None for a single run.

    Raises:
        ConfigError: With every problem.
    """
    images = options.images_per_step or 1
    if options.explore is not None:
        if options.sweep is not None:
            raise ConfigError("explore, sweep: both are given, expected one of them")
        return _exploration(options.explore, options)
    if options.sweep is not None:
        return build_learning_plan_from_dict({**_axes(options), "images_per_step": images})
    if section.target_variable is None and section.sweep_values is None:
        return None
    words = {
        "mode": section.mode,
        "stage": section.stage,
        "target_variable": section.target_variable,
        "sweep_values": section.sweep_values,
        "y_variable": section.y_variable,
        "y_values": section.y_values,
    }
    given = {name: value for name, value in words.items() if value is not None}
    try:
        return build_learning_plan_from_dict({**given, "images_per_step": images})
    except ConfigError as error:
        raise ConfigError(*(f"learning.{problem}" for problem in error.problems)) from error


def _axes(options: RunOptions) -> dict[str, object]:
    """Return the settings of `--sweep` with their values, in a plan's own words."""
    axes: dict[str, object] = {}
    words = (("target_variable", "sweep_values"), ("y_variable", "y_values"))
    for (variable, values), text in zip(words, (options.sweep, options.y_sweep), strict=True):
        if text is None:
            continue
        try:
            axes[variable], parsed = parse_sweep(text)
        except ConfigError as error:
            raise ConfigError(*(f"sweep: {problem}" for problem in error.problems)) from error
        axes[values] = list(parsed)
    return axes


def _exploration(text: str, options: RunOptions) -> LearningPlan:
    """Return the adaptive plan that `txt2img.cfg_scale=1..12` asks for."""
    from stablenew.advice.explorer import first_values  # numpy: only where it is needed

    path, _, span = text.partition("=")
    low, dots, high = span.partition("..")
    if not dots:
        raise ConfigError(f"explore: given {text!r}, expected PATH=LOW..HIGH")
    ends = []
    for end in (low, high):
        value, *more = parse_values(path.strip(), end)
        if more or isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"explore: given {text!r}, expected a setting that is a number")
        ends.append(float(value))
    if not ends[0] < ends[1]:
        raise ConfigError(f"explore: given {text!r}, expected a lower and a higher number")
    bounds = ends[0], ends[1]
    stage, _, name = path.strip().partition(".")
    return LearningPlan(
        stage=stage,
        target_variable=name,
        sweep_values=first_values(path.strip(), bounds),
        images_per_step=options.images_per_step or 1,
        bounds=bounds,
        max_pictures=options.max_pictures or 24,
    )
