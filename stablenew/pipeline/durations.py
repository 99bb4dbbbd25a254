"""How long pictures take on this machine, from those that were made here."""

from __future__ import annotations

import math
import os
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import attrs
import msgspec

from stablenew.config.pipeline_config import Setting
from stablenew.pipeline.picture_index import INDEX_FILE
from stablenew.pipeline.stage_plan import PlannedStage
from stablenew.storage.record_reader import NOT_JSON

_LOOKED_AT = 1 << 22
"""Bytes of the index's end that are read: some six thousand pictures."""

_KEPT = 50
"""Pictures of one kind that count, the last ones."""

_DRIVERS: Mapping[str, tuple[str, ...]] = {
    "txt2img": ("model", "steps", "width", "height", "enable_hr", "hr_scale", "sampler_name"),
    "img2img": ("model", "steps", "width", "height", "denoising_strength", "sampler_name"),
    "adetailer": ("ad_model", "ad_steps", "model"),
    "upscale": ("upscaler_1", "upscaling_resize", "upscaling_resize_w", "upscale_mode"),
    "workflow": ("model", "steps", "sampler_name"),
}
"""The settings of each stage that its time depends on; the first says what does the work."""

_WORK = ("steps", "ad_steps", "width", "height", "upscaling_resize")
"""Settings that the time grows with."""

_Z = 1.645
"""Standard deviations to either side that hold 90 % of a normal distribution."""

_SYSTEMATIC = 0.1
"""Of the whole: by how much all pictures together may be slower or quicker than before."""


@attrs.frozen
class Estimate:
    """How long something will take, in seconds.

    Attributes:
        seconds: The expected value.
        low: The lower end of the interval that holds it in 9 of 10 cases.
        high: The upper end.
    """

    seconds: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"about {_spoken(self.seconds)} ({self.span})"

    @property
    def span(self) -> str:
        """The interval in words."""
        low, high = _spoken(self.low), _spoken(self.high)
        (amount, *unit), (_, *other) = low.split(), high.split()
        return f"{amount if unit == other else low} to {high}"


def _spoken(seconds: float) -> str:
    """Return a time in words, as exactly as an estimate is worth: `95 s`, `40 min`, `2 h 5 min`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{round(hours / 24):,} days"


class _Made(msgspec.Struct):
    """What is read of a line of the index."""

    stage: str
    settings: dict[str, str | int | float | bool | None]
    seconds: float | None = None


class Durations:
    """What pictures took.

    Args:
        seen: For each kind of picture, by stage and settings: seconds.
    """

    def __init__(self, seen: Mapping[tuple[Setting, ...], Sequence[float]]) -> None:
        self._seen = seen

    def estimate(self, wanted: Iterable[tuple[PlannedStage, float]]) -> Estimate | None:
        """Return how long so many pictures of some stages take; None where nothing is known.

        The pictures' own spread adds up by squares; that all of them are slower or quicker than
        before, a tenth of the whole, comes on top.
        """
        mean = variance = 0.0
        for planned, count in wanted:
            if not count:
                continue
            seconds = self._picture(planned)
            if seconds is None:
                return None
            mean += count * seconds[0]
            variance += count * seconds[1]
        spread = _Z * math.sqrt(variance + (_SYSTEMATIC * mean) ** 2)
        return Estimate(mean, max(0.0, mean - spread), mean + spread)

    def _picture(self, planned: PlannedStage) -> tuple[float, float] | None:
        """Return mean and variance of a picture's seconds: of its kind, or of the nearest."""
        key = _kind(planned.name, planned.settings)
        if key in self._seen:
            return _moments(self._seen[key], 1.0)
        alike = [each for each in self._seen if each[:2] == key[:2]]
        if not alike:
            return None
        work = _work(planned.name, key)
        nearest = min(alike, key=lambda each: abs(math.log(_work(planned.name, each) / work)))
        return _moments(self._seen[nearest], work / _work(planned.name, nearest))


def read_durations(base_dir: Path) -> Durations:
    """Read what the last pictures under a folder took; blocks, for a worker thread."""
    seen: dict[tuple[Setting, ...], deque[float]] = defaultdict(lambda: deque(maxlen=_KEPT))
    decoder = msgspec.json.Decoder(_Made)
    try:
        with (base_dir / INDEX_FILE).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _LOOKED_AT))
            lines = file.read().splitlines()
    except OSError:
        lines = []
    for line in lines:
        try:
            made = decoder.decode(line)
        except NOT_JSON:  # the first may be half a line
            continue
        if made.seconds is not None:
            seen[_kind(made.stage, made.settings)].append(made.seconds)
    return Durations(seen)


def _kind(stage: str, settings: Mapping[str, Setting]) -> tuple[Setting, ...]:
    return (stage, *(settings.get(name) for name in _DRIVERS[stage]))


def _work(stage: str, kind: tuple[Setting, ...]) -> float:
    settings = dict(zip(_DRIVERS[stage], kind[1:], strict=True))
    amounts = [settings.get(name) for name in _WORK]
    return math.prod(float(each) for each in amounts if isinstance(each, int | float) and each > 0)


def _moments(seconds: Sequence[float], scale: float) -> tuple[float, float]:
    """Return mean and variance; of few pictures, at least a fifth of the mean is uncertain."""
    mean = sum(seconds) / len(seconds)
    variance = sum((each - mean) ** 2 for each in seconds) / max(1, len(seconds) - 1)
    if len(seconds) < 3:
        variance = max(variance, (0.2 * mean) ** 2)
    return mean * scale, variance * scale**2
