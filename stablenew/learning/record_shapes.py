"""The shapes that records have had: which settings their runs varied, and ratings inside them.

A record says what set its run apart: `metadata.varied` has each path with its value, and
`metadata.conditions` those paths that were not compared. Older ones have `metadata.variable_name`
and `variable_value` (and `y_variable`, `y_value` for a second axis), the oldest
`variable_under_test` and `variant_value`. The `primary_*` fields are not looked at: older programs
left them empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stablenew._convert import is_a_number
from stablenew.config.overrides import setting_types
from stablenew.config.pipeline_config import STAGES, Setting
from stablenew.learning.learning_record import LearningRecord

_OLDER_NAMES = {
    "cfg": "cfg_scale",
    "denoise": "denoising_strength",
    "denoise_strength": "denoising_strength",
    "sampler": "sampler_name",
    "upscale_factor": "upscaling_resize",
    "upscaler": "upscaler_1",
}


def varied_settings(record: LearningRecord, *, conditions: bool = True) -> dict[str, Setting]:
    """Return the settings that a record's run varied, by their paths.

    Args:
        record: The record.
        conditions: Whether those are among them that the plan did not compare, such as prompts.
    """
    listed = record.tags.get("conditions")
    left_out = set(listed) if isinstance(listed, list | tuple) and not conditions else set()
    return {path: value for path, value in _varied(record) if path not in left_out}


def _varied(record: LearningRecord) -> Iterator[tuple[str, Setting]]:
    tags = record.tags
    if isinstance(varied := tags.get("varied"), Mapping):
        yield from ((str(path), plain_setting(value)) for path, value in varied.items())
    elif tags.get("variable_name"):
        stage = str(tags.get("stage") or "txt2img")
        yield f"{stage}.{tags['variable_name']}", plain_setting(tags.get("variable_value"))
        if tags.get("y_variable"):
            yield str(tags["y_variable"]), plain_setting(tags.get("y_value"))
    elif tags.get("variable_under_test"):
        config = record.base_config
        stage = str((isinstance(config, Mapping) and config.get("stage")) or "txt2img")
        name = str(tags["variable_under_test"]).strip().lower().replace(" ", "_")
        path = f"{stage}.{_OLDER_NAMES.get(name, name)}"
        yield path, _of_type(path, tags.get("variant_value"))


def older_rating(record: LearningRecord) -> int | None:
    """Return the rating that an older record has in its metadata."""
    for name in ("user_rating", "rating"):
        value = record.tags.get(name)
        if is_a_number(value) and 1 <= value <= 5:
            return round(value)
    return None


def _of_type(path: str, value: object) -> Setting:
    """Return an older value as the setting's own type: `7.0` that was written as text."""
    stage, _, name = path.partition(".")
    kind = setting_types(stage).get(name) if stage in STAGES else None
    if kind in (int, float) and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return plain_setting(value)


def plain_setting(value: object) -> Setting:
    """Return a value as one of a setting's kinds; what is no number to reckon with, as text."""
    if is_a_number(value) and not abs(value) < _MOST:
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)


_MOST = 1e30
"""Beyond any value that a setting could have."""
