"""What the steps of a plan need of a node, what they have it load, and how long they take. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Sequence

from stablenew.config.overrides import edits_text
from stablenew.config.pipeline_config import PipelineConfig, Setting
from stablenew.learning.axis import Axis
from stablenew.learning.learning_plan import LearningPlan, LearningRunStep
from stablenew.learning.learning_steps import LOOKED_AT, Steps
from stablenew.learning.step_order import loaded_by

_SIDE, _STEPS = 512, 20
"""What a step is taken to have where nobody says."""


class StepNeeds:
    """Tells steps apart by what they need of a node; each need is a number.

    A step needs what its names say: models, samplers, LoRA. Of up to `LOOKED_AT` steps each is a
    need of its own, for numbers may be out of a node's range as well.

    Args:
        plan: Whose axes say what varies.
        steps: In the order in which they run.
        alike: Whether all nodes have the same: then only what they load counts.

    Attributes:
        of: The need of each step.
    """

    def __init__(
        self, plan: LearningPlan, steps: Sequence[LearningRunStep], *, alike: bool
    ) -> None:
        self._steps = steps
        self._first: list[int] = []
        self._loads: list[Hashable] = []
        self.of: Sequence[int] = array("I")
        if not isinstance(steps, Steps):  # those that an exploration added, which varies a number
            self.of = [0] * len(steps) if alike else range(len(steps))
            self._first = [0] if alike else list(range(len(steps)))
            self._loads = [()] * len(self._first)
            return
        loads = [axis for axis in range(len(plan.axes)) if any(loaded_by(plan.axes[axis]))]
        each = not alike and len(steps) <= LOOKED_AT
        named = [
            axis for axis in range(len(plan.axes)) if each or _names_something(plan.axes[axis])
        ]
        self._number(plan, steps, loads if alike else named, loads)

    def step(self, need: Hashable) -> LearningRunStep:
        """Return a step that has a need."""
        assert isinstance(need, int)
        return self._steps[self._first[need]]

    def load(self, need: Hashable) -> Hashable:
        """Return what steps with a need have a node load: paths and their values."""
        assert isinstance(need, int)
        return self._loads[need]

    def cost(self, place: int) -> float:
        """Return how long a step takes, in steps of a picture of 512 × 512."""
        step = self._steps[place]
        return step.images_requested * cost_of(step.config_snapshot)

    def _number(
        self, plan: LearningPlan, steps: Steps, axes: Sequence[int], loads: Sequence[int]
    ) -> None:
        """Number the combinations of what steps have on some axes."""
        numbers: dict[tuple[int, ...], int] = {}
        of = array("I")
        places = zip(*(steps.places(axis) for axis in axes), strict=True) if axes else None
        for place in range(len(steps)):
            key = next(places) if places is not None else ()
            number = numbers.setdefault(key, len(numbers))
            if number == len(self._first):
                self._first.append(place)
            of.append(number)
        self.of = of
        loaded = {axis: list(loaded_by(plan.axes[axis])) for axis in loads}
        for key in numbers:
            chosen = dict(zip(axes, key, strict=True))
            self._loads.append(tuple(x for axis in loads for x in loaded[axis][chosen[axis]]))


def model_of(load: Hashable) -> Setting:
    """Return the model that is part of what a node loads; None where there is none."""
    assert isinstance(load, tuple)
    return dict(load).get("txt2img.model")


def cost_of(config: PipelineConfig) -> float:
    """Return how long a picture takes, roughly: its steps, each times its size."""
    base = config.txt2img
    pixels = (base.width or _SIDE) * (base.height or _SIDE) / _SIDE**2
    steps = base.steps or _STEPS
    cost = 0.0
    if base.enabled:
        cost += steps * pixels
        if base.enable_hr:
            cost += (base.hr_second_pass_steps or steps) * pixels * (base.hr_scale or 2.0) ** 2
    if config.img2img.enabled:
        cost += (config.img2img.steps or steps) * pixels
    if config.adetailer.enabled:
        cost += (config.adetailer.ad_steps or steps) * pixels / 2
    if config.upscale.enabled:
        cost += pixels * (config.upscale.upscaling_resize or 2.0) ** 2
    return cost or 1.0


def _names_something(axis: Axis) -> bool:
    """Return whether a node may lack what an axis varies: not where that is numbers alone."""
    return any(
        edits_text(path) or isinstance(value, str | bool)
        for choice in axis.choices
        for path, value in choice.overrides.items()
    )
