"""What the execution of a plan tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import attrs

from stablenew._convert import frozen_mapping
from stablenew.config.pipeline_config import Setting
from stablenew.events.event import Event
from stablenew.learning.axis import Axis
from stablenew.learning.same_pictures import SamePictures
from stablenew.pipeline.results import Failure, Outcome, StageOutput


@attrs.frozen(kw_only=True)
class PlanEvent(Event):
    """About a plan as a whole."""


@attrs.frozen(kw_only=True)
class PlanStarted(PlanEvent):
    """A plan has begun.

    Attributes:
        steps: How many steps it will run.
        values: The first axis's value in each step.
        images: Pictures per step.
        metadata: What the plan is tagged with.
        y_variable: The second axis's path, None where there is none.
        y_values: Its value in each step.
        axes: All that varies, each with its choices.
        mode: How its steps follow from these: `sweep`, `grid` or `adaptive`.
    """

    steps: int
    stage: str
    variable: str
    values: tuple[Setting, ...]
    images: int
    metadata: Mapping[str, object] = attrs.field(factory=dict, converter=frozen_mapping)
    y_variable: str | None = None
    y_values: tuple[Setting, ...] = ()
    axes: tuple[Axis, ...] = ()
    mode: str = "sweep"


@attrs.frozen(kw_only=True)
class PlanExtended(PlanEvent):
    """An adaptive plan goes on with further steps; told before the first of them begins.

    Attributes:
        values: The first axis's value in each of them.
        steps: How many steps the plan has now.
        cells: Which they are: numbers of cells of the product of all axes.
        labels: What sets each of them apart, in words.
    """

    values: tuple[Setting, ...]
    steps: int
    cells: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class PlanPaused(PlanEvent):
    """A plan waits between two steps until it is resumed."""


@attrs.frozen(kw_only=True)
class PlanResumed(PlanEvent):
    """A plan that was paused goes on."""


@attrs.frozen(kw_only=True)
class NodeReturned(PlanEvent):
    """A node that went away is back, and gets steps again.

    Attributes:
        seconds: How long it was away.
    """

    seconds: float


@attrs.frozen(kw_only=True)
class NodeSetAside(PlanEvent):
    """A node gets no more steps: three in a row failed on it while others succeeded elsewhere.

    Attributes:
        error: Of the last one.
    """

    error: Failure | None = None


@attrs.frozen(kw_only=True)
class NodesAwaited(PlanEvent):
    """None of several nodes is there; they are waited for.

    Attributes:
        seconds_left: Until the plan ends.
    """

    transient: ClassVar[bool] = True

    seconds_left: float


@attrs.frozen(kw_only=True)
class RatingsAwaited(PlanEvent):
    """Pictures of an adaptive plan can be rated; it goes on making others meanwhile.

    Attributes:
        pictures: Of these: for each its run's id and its own.
    """

    pictures: tuple[tuple[str, str], ...]


@attrs.frozen(kw_only=True)
class AdviceGiven(PlanEvent):
    """What the ratings of an adaptive plan recommend so far, all settings together.

    Attributes:
        settings: What to use of each axis, by its path.
        mean: The expected quality, 1 to 5; None where the ratings say nothing.
        low: The lower end of its 90 % interval.
        high: The upper end.
        enough: Whether the ratings carry it.
        why: In words.
        expected_regret: By how much the best is expected to be better, in points.
        expected_gain: What the best next picture may be expected to add.
    """

    settings: Mapping[str, Setting] = attrs.field(converter=frozen_mapping)
    mean: float | None
    low: float | None
    high: float | None
    ratings: int
    enough: bool
    why: str
    expected_regret: float = 0.0
    expected_gain: float = 0.0


@attrs.frozen(kw_only=True)
class PlanFinished(PlanEvent):
    """A plan has ended, in whatever way.

    Attributes:
        summary: How many steps there were, how they ended, and how many were not run.
        error: What ended the plan, where that was none of its steps.
        had_enough: Whether whoever rates an adaptive plan ended it.
        out_of_time: Whether steps were left because they would not have been done in time.
        same_pictures: Settings that changed nothing, as the pixels show.
    """

    terminal: ClassVar[bool] = True

    outcome: Outcome
    summary: Mapping[str, object] = attrs.field(converter=frozen_mapping)
    error: Failure | None = None
    had_enough: bool = False
    out_of_time: bool = False
    same_pictures: tuple[SamePictures, ...] = ()


@attrs.frozen(kw_only=True)
class StepEvent(Event):
    """About one step of a plan.

    Attributes:
        index: From 0.
        steps: How many steps the plan will run.
        value: The first axis's value in this step.
        y_value: The second axis's.
        label: What sets the step apart, in words: `cfg_scale=5, steps=20`.
        places: Which choice of each axis of `PlanStarted` it takes, from 0.
    """

    index: int
    steps: int
    value: Setting
    y_value: Setting = None
    label: str = ""
    places: tuple[int, ...] = ()


@attrs.frozen(kw_only=True)
class StepStarted(StepEvent):
    """A step has begun."""


@attrs.frozen(kw_only=True)
class StepMoved(StepEvent):
    """A step begins anew on another node: its own went away; it is told to have started there.

    Attributes:
        error: What happened.
    """

    error: Failure | None = None


@attrs.frozen(kw_only=True)
class StepFinished(StepEvent):
    """A step has ended, in whatever way.

    Attributes:
        outputs: The pictures of the last stage.
    """

    terminal: ClassVar[bool] = True

    outcome: Outcome
    error: Failure | None = None
    outputs: tuple[StageOutput, ...] = ()
