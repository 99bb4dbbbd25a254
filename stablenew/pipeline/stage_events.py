"""What the sequencer tells."""

from __future__ import annotations

from typing import ClassVar

import attrs

from stablenew.events.event import Event
from stablenew.pipeline.results import PipelineRunResult, StageOutput, StageResult


@attrs.frozen(kw_only=True)
class RunEvent(Event):
    """About a run as a whole."""


@attrs.frozen(kw_only=True)
class RunStarted(RunEvent):
    """A run has begun.

    Attributes:
        stages: The stages it will go through.
        images: How many pictures each stage makes.
    """

    stages: tuple[str, ...]
    images: int


@attrs.frozen(kw_only=True)
class RunFinished(RunEvent):
    """A run has ended, in whatever way; its pictures and its metadata are on disk."""

    terminal: ClassVar[bool] = True

    result: PipelineRunResult


@attrs.frozen(kw_only=True)
class StageEvent(Event):
    """About one stage of a run."""

    stage: str


@attrs.frozen(kw_only=True)
class StageStarted(StageEvent):
    """A stage has begun.

    Attributes:
        images: How many pictures it will make, one at a time.
    """

    images: int


@attrs.frozen(kw_only=True)
class StageProgress(StageEvent):
    """A stage has got further.

    Attributes:
        fraction: Of the stage with all its pictures, 0 to 1, never going back.
        image: The number of the picture in the making, from 1.
        images: How many the stage makes.
    """

    transient: ClassVar[bool] = True

    fraction: float
    image: int
    images: int


@attrs.frozen(kw_only=True)
class PictureSaved(StageEvent):
    """A picture is on disk.

    Attributes:
        image: Its number in the stage, from 1.
        images: How many the stage makes.
    """

    output: StageOutput
    image: int
    images: int


@attrs.frozen(kw_only=True)
class StageFinished(StageEvent):
    """A stage has ended, in whatever way."""

    terminal: ClassVar[bool] = True

    result: StageResult
