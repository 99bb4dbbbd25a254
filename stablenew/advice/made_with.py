"""What a record's pictures were made with, and how long they took, as far as advice is about it.

A setting that one plan varied is looked at in the records of all plans: where it was fixed, its
value is evidence as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from stablenew.config.overrides import paths_set_by
from stablenew.config.pipeline_config import STAGES, Setting
from stablenew.learning.learning_record import LearningRecord
from stablenew.learning.record_shapes import plain_setting, varied_settings

MODEL = "txt2img.model"
"""Looked at whether or not a plan varied it: several models are seldom a plan."""

_NAMED = ("cfg_scale", "steps", "sampler_name", "scheduler", "denoising_strength", "clip_skip")
"""What a rated run that varied nothing says something about."""


def named_settings(record: LearningRecord) -> Iterator[tuple[str, Setting]]:
    """Yield what the config of a run that varied nothing names."""
    for stage in STAGES:
        config = record.stage_config(stage)
        if config.get("enabled", stage == "txt2img"):
            for name in _NAMED:
                if config.get(name) is not None:
                    yield f"{stage}.{name}", plain_setting(config[name])


def compared_paths(records: Iterable[LearningRecord]) -> tuple[str, ...]:
    """Return the paths that records compare, conditions left out, and the model."""
    found: dict[str, None] = {}
    for record in records:
        varied = varied_settings(record, conditions=False) or dict(named_settings(record))
        found.update(dict.fromkeys(varied))
    return (*sorted(found.keys() - {MODEL}), MODEL)


def made_with(record: LearningRecord, paths: Collection[str], model: str) -> dict[str, Setting]:
    """Return the values that a record's run had of some paths; without those that it had not."""
    varied = varied_settings(record)
    on = set(record.stage_plan) if isinstance(record.stage_plan, tuple) else set()
    found: dict[str, Setting] = {}
    for path in paths:
        stage, _, name = path.partition(".")
        if path in varied:
            value = varied[path]
        elif stage not in on:
            continue
        elif len(parts := paths_set_by(path)) > 1:
            sides = [record.stage_config(stage).get(part.partition(".")[2]) for part in parts]
            value = "x".join(map(str, sides)) if None not in sides else None
        else:
            given = record.stage_config(stage).get(name)
            value = None if given is None else plain_setting(given)
        if value is None and path == MODEL:
            value = model or None
        if value is not None:
            found[path] = value
    return found


def seconds_each(record: LearningRecord) -> float | None:
    """Return how long each picture of a run took, None where that is not known or none was made."""
    pictures = record.pictures
    if any(output.get("reused_from") for output in pictures):
        return None
    events = record.stage_events if isinstance(record.stage_events, tuple) else ()
    known = [each for each in events if isinstance(each, Mapping)]
    took = [each.get("duration_s") for each in known]
    last = known[-1].get("images") if known else None
    seconds = [float(each) for each in took if isinstance(each, int | float)]
    if len(seconds) < len(took) or not all(0 <= each < 1e6 for each in seconds):
        return None
    total = sum(seconds)
    return total / last if isinstance(last, int) and last > 0 and total > 0 else None
