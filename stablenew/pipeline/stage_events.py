"""What the sequencer tells."""

from __future__ import annotations

from typing import ClassVar

import attrs

from stablenew.events.event import OFF_THE_RECORD, Event
from stablenew.pipeline.results import Failure, PipelineRunResult, StageOutput, StageResult


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
        seconds_left: Until this picture is done, where the backend says so.
    """

    transient: ClassVar[bool] = True

    fraction: float
    image: int
    images: int
    seconds_left: float | None = None


@attrs.frozen(kw_only=True)
class PreviewMade(StageEvent):
    """A picture in the making can be looked at; made only while somebody subscribes to this class.

    Attributes:
        image: The picture's number in the stage, from 1.
        data: What it looks like so far, encoded; not in the lines of JSON.
    """

    transient: ClassVar[bool] = True

    image: int
    data: bytes = attrs.field(repr=False, metadata=OFF_THE_RECORD)


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
class BackendLost(StageEvent):
    """The backend went away while it made a picture; the picture is made again when it is back.

    Attributes:
        error: What happened.
        patience: Seconds that it is waited for at the most.
    """

    error: Failure
    patience: float


@attrs.frozen(kw_only=True)
class BackendAwaited(StageEvent):
    """The backend is still away, and waited for.

    Attributes:
        seconds_left: Until it is given up.
    """

    transient: ClassVar[bool] = True

    seconds_left: float


@attrs.frozen(kw_only=True)
class BackendReturned(StageEvent):
    """The backend answers again.

    Attributes:
        seconds: How long it was waited for.
    """

    seconds: float


@attrs.frozen(kw_only=True)
class StageFinished(StageEvent):
    """A stage has ended, in whatever way."""

    terminal: ClassVar[bool] = True

    result: StageResult
