"""`plan.json`: everything that a plan needs to be run again, written before its first step."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import msgspec

from stablenew._convert import frozen_mapping, json_line, structure, takes_numpy
from stablenew._metadata import as_metadata
from stablenew.config.overrides import override_all, setting_types
from stablenew.config.pipeline_config import STAGES, PipelineConfig, Setting, bounded, whole
from stablenew.errors import ConfigError
from stablenew.learning.axis_table import table_of
from stablenew.learning.gallery import PLAN_FILE
from stablenew.learning.learning_adapter import build_learning_plan_from_dict
from stablenew.learning.learning_plan import LearningPlan
from stablenew.pipeline.start_picture import StartPicture
from stablenew.storage.record_reader import NOT_JSON


@attrs.frozen(kw_only=True, field_transformer=takes_numpy)
class StoredPlan:
    """A plan as it is kept.

    Attributes:
        config: What each step's config is derived from, the seed resolved.
        backend: Which backend makes the pictures, as it says itself; "" where it was never asked.
        backend_version: Its version, likewise.
        url: The server's, without credentials; None for backends without one.
        urls: Those of several; empty where there is one.
        defaults: What that backend takes where nobody gives a value, by path.
        model_hashes: Of the models that the plan names, where that backend tells them.
        images: The pictures that its steps start from, as they were when it began, by path.
    """

    plan_id: str
    created_at: datetime
    plan: LearningPlan
    config: PipelineConfig
    max_steps: int | None = attrs.field(default=None, validator=whole(1, 10**9))
    step_timeout: float | None = attrs.field(default=None, validator=bounded(0.001, 1e9))
    backend: str = ""
    backend_version: str = ""
    url: str | None = None
    urls: tuple[str, ...] = ()
    learning_enabled: bool = False
    metadata: Mapping[str, object] = attrs.field(factory=dict, converter=as_metadata)
    defaults: Mapping[str, Setting] = attrs.field(factory=dict, converter=frozen_mapping)
    model_hashes: Mapping[str, str] = attrs.field(factory=dict, converter=frozen_mapping)
    images: Mapping[str, StartPicture] = attrs.field(factory=dict, converter=frozen_mapping)

    @property
    def made_by(self) -> str:
        """The backend and its version, in words."""
        return f"{self.backend} {self.backend_version}".strip()


_OF_ADAPTIVE = ("first", "added")


def encode_plan_file(stored: StoredPlan) -> bytes:
    """Return a plan as indented JSON."""
    content = {field.name: getattr(stored, field.name) for field in attrs.fields(StoredPlan)}
    names = [field.name for field in attrs.fields(LearningPlan)]
    implied = () if stored.plan.is_adaptive else ("mode", *_OF_ADAPTIVE)
    plan = {name: getattr(stored.plan, name) for name in names if name not in implied}
    if not stored.urls:
        del content["urls"]
    plan["axes"] = [table_of(axis) for axis in stored.plan.axes]
    content |= {"plan": plan, "config": stored.config.to_dict()}
    return msgspec.json.format(json_line(content), indent=2) + b"\n"


def read_plan_file(folder: Path) -> StoredPlan:
    """Read a plan back.

    Raises:
        ConfigError: There is none, or it cannot be read.
    """
    path = folder / PLAN_FILE
    try:
        content: dict[str, Any] = msgspec.json.decode(path.read_bytes())
        _check_place(folder, content)
        return StoredPlan(
            plan_id=folder.resolve().name,
            created_at=datetime.fromisoformat(content["created_at"]),
            plan=build_learning_plan_from_dict(content["plan"]),
            config=PipelineConfig.from_dict(content["config"]),
            max_steps=content.get("max_steps"),
            step_timeout=content.get("step_timeout"),
            backend=content.get("backend") or "",
            backend_version=content.get("backend_version") or "",
            url=content.get("url"),
            urls=tuple(map(str, content.get("urls") or ())),
            learning_enabled=bool(content.get("learning_enabled")),
            metadata=content.get("metadata") or {},
            defaults=_read_defaults(content.get("defaults") or {}),
            model_hashes=content.get("model_hashes") or {},
            images={
                path: structure(each, StartPicture)
                for path, each in (content.get("images") or {}).items()
            },
        )
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; expected a plan's folder") from error
    except ConfigError as error:
        raise ConfigError(*(f"{path}: {problem}" for problem in error.problems)) from error
    except KeyError as error:
        raise ConfigError(f"{path}: no plan: {error} is missing") from error
    except (TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: no plan: something in it is no table of keys") from error
    except (*NOT_JSON, ValueError) as error:
        raise ConfigError(f"{path}: no plan: {error}") from error


def _check_place(folder: Path, content: Mapping[str, object]) -> None:
    """See that a plan's folder has its name, which those of its runs begin with.

    Raises:
        ConfigError: It was renamed.
    """
    name, plan_id = folder.resolve().name, content.get("plan_id")
    if isinstance(plan_id, str) and plan_id != name:
        raise ConfigError(
            f"the plan {plan_id} in a folder that is named {name}; expected the name {plan_id},"
            " which those of its runs begin with"
        )


def _read_defaults(values: Mapping[str, Setting]) -> Mapping[str, Setting]:
    """Return stored defaults, checked; settings that this version does not have are left out.

    Raises:
        ConfigError: A value that is none of its setting's.
    """
    known = {f"{stage}.{name}" for stage in STAGES for name in setting_types(stage)}
    defaults = {path: value for path, value in values.items() if path in known}
    override_all(PipelineConfig(), defaults)
    return defaults
