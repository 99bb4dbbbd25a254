"""One line of the record file: what a successful run was made with and what it made.

The first keys are those of StableNew's earlier record files; those files load, and what this
program does not know is kept in `extra` and written back.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs
import msgspec

from stablenew._convert import frozen_mapping, sorted_json, unstructure
from stablenew.storage.record_reader import NOT_JSON

SCHEMA_VERSION = 3
"""The version of records that this program writes; older lines have none, or a smaller one."""

Table = Mapping[str, object]


def _tables(value: object) -> object:
    return tuple(value) if isinstance(value, list | tuple) else value


@attrs.frozen(kw_only=True)
class LearningRecord:
    """What one run was made with and what it made.

    Attributes:
        timestamp: When the run ended, ISO 8601.
        base_config: The config with every default filled in.
        variant_configs: What set this run apart from its base, such as `{"txt2img.steps": 20}`.
        randomizer_mode: How the run was varied: `sweep`, or "" for a single run.
        randomizer_plan_size: How many runs its plan has.
        metadata: The run's tags: `run_type`, `variable_name`, `variable_value`, …
        stage_plan: The names of the stages, in order.
        stage_events: One object per stage: status, started_at, finished_at, duration_s, images.
        outputs: One object per picture: stage, path, sha256, what it was made with.
        backend: What made the pictures, as it says itself; None in older records.
        backend_version: Its version, likewise.
        extra: Keys that this program does not know, as they came.
    """

    run_id: str
    timestamp: str = ""
    base_config: Table = attrs.field(factory=dict)
    variant_configs: tuple[Table, ...] = attrs.field(default=(), converter=_tables)
    randomizer_mode: str = ""
    randomizer_plan_size: int = 0
    primary_model: str = ""
    primary_sampler: str = ""
    primary_scheduler: str = ""
    primary_steps: int = 0
    primary_cfg_scale: float = 0.0
    metadata: Table = attrs.field(factory=dict)
    stage_plan: tuple[str, ...] = attrs.field(default=(), converter=_tables)
    stage_events: tuple[Table, ...] = attrs.field(default=(), converter=_tables)
    outputs: tuple[Table, ...] = attrs.field(default=(), converter=_tables)
    sidecar_priors: Table = attrs.field(factory=dict)
    schema_version: int | None = None
    plan_id: str | None = None
    prompt_pack_id: str | None = None
    prompt_id: str | None = None
    backend: str | None = None
    backend_version: str | None = None
    extra: Table = attrs.field(factory=dict, converter=frozen_mapping)

    def to_json(self) -> str:
        """Return the record as one line of JSON with sorted keys, without the newline.

        Raises:
            ValueError: There is a NaN or an infinity in it.
        """
        plain = {name: _plain(getattr(self, name)) for name in _NAMES}
        if self.schema_version is None:  # an older line, which has none of these unless it had
            plain = {name: value for name, value in plain.items() if not _is_absent(name, value)}
        return sorted_json({**plain, **self.extra})

    @property
    def tags(self) -> Table:
        """The metadata; empty where a foreign line has something else there."""
        return self.metadata if isinstance(self.metadata, Mapping) else {}

    @property
    def pictures(self) -> tuple[Table, ...]:
        """The outputs that are objects; a foreign line may have anything there."""
        listed = self.outputs if isinstance(self.outputs, list | tuple) else ()
        return tuple(output for output in listed if isinstance(output, Mapping))

    def stage_config(self, stage: str) -> Table:
        """Return what is configured for a stage; empty where it is not there."""
        config = self.base_config if isinstance(self.base_config, Mapping) else {}
        found = config.get(stage)
        return found if isinstance(found, Mapping) else {}

    @classmethod
    def from_json(cls, text: str | bytes) -> LearningRecord:
        """Read a record from a line of JSON.

        Raises:
            ValueError: It is no JSON object with a `run_id`.
        """
        data = _decode(text)
        if not isinstance(data, dict):
            raise ValueError(f"given a JSON {type(data).__name__}, expected an object")
        if not isinstance(data.get("run_id"), str) or not data["run_id"]:
            raise ValueError(f"run_id: given {data.get('run_id')!r}, expected some text")
        unknown = data.keys() - _NAMES
        extra = {name: data.pop(name) for name in unknown} if unknown else _NOTHING
        return cls(**data, extra=extra)


_NAMES = {field.name for field in attrs.fields(LearningRecord)} - {"extra"}
_NOTHING: Table = MappingProxyType({})
_ADDED = ("schema_version", "plan_id", "prompt_pack_id", "prompt_id", "backend", "backend_version")


def _is_absent(name: str, value: object) -> bool:
    return name in _ADDED and value is None


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | None) else unstructure(value)


def _decode(text: str | bytes) -> object:
    try:
        return msgspec.json.decode(text)
    except NOT_JSON as error:
        return _decode_leniently(text, error)


def _decode_leniently(text: str | bytes, error: Exception) -> object:
    """Read what the fast decoder refuses though it is a record: half of a surrogate pair."""
    import json

    try:
        return json.loads(text)
    except ValueError:
        raise ValueError(f"not JSON: {error}") from error
