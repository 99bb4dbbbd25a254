"""The order in which the steps of a plan run."""

from __future__ import annotations

from collections.abc import Sequence

from stablenew.config.overrides import sets_input
from stablenew.config.pipeline_config import Setting
from stablenew.learning.axis import Axis, without_stage
from stablenew.learning.learning_plan import LearningPlan, LearningRunStep
from stablenew.learning.learning_steps import Steps

_LOADED = ("model", "vae", "refiner_checkpoint")
"""Settings that have a server load something large."""

_LOADED_BY_NODES = (".ckpt_name", ".unet_name", ".model_name", ".vae_name", ".clip_name")
"""How the inputs of workflows end that do."""


def in_order(plan: LearningPlan, steps: Sequence[LearningRunStep]) -> Sequence[LearningRunStep]:
    """Return steps as they are given, or so that each model is loaded once, else as given.

    No step is looked at for that: there may be a million. Blocks where there are.

    Args:
        plan: Whose `order` says which.
        steps: Some of its steps.
    """
    loading = [number for number, axis in enumerate(plan.axes) if any(loaded_by(axis))]
    if plan.order == "given" or not loading or not isinstance(steps, Steps):
        return steps  # an exploration, which goes on by itself, varies a number
    loaded = [list(loaded_by(plan.axes[number])) for number in loading]
    seen: dict[tuple[object, ...], int] = {}
    order = [
        seen.setdefault(
            tuple(each[place] for each, place in zip(loaded, places, strict=True)), len(seen)
        )
        for places in zip(*(steps.places(number) for number in loading), strict=True)
    ]
    return steps.picked(sorted(range(len(steps)), key=order.__getitem__))


def loaded_by(axis: Axis) -> Sequence[tuple[tuple[str, Setting], ...]]:
    """Return what each choice of an axis has a server load."""
    return [
        tuple(
            (path, value)
            for path, value in choice.overrides.items()
            if without_stage(path) in _LOADED
            or (sets_input(path) and path.endswith(_LOADED_BY_NODES))
        )
        for choice in axis.choices
    ]
