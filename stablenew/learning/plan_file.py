"""`plan.json`: everything that a plan needs to be run again, written before its first step."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import msgspec

from stablenew._convert import frozen_mapping, given, json_line
from stablenew.config.pipeline_config import PipelineConfig
from stablenew.errors import ConfigError
from stablenew.learning.gallery import PLAN_FILE
from stablenew.learning.learning_adapter import build_learning_plan_from_dict
from stablenew.learning.learning_plan import LearningPlan


@attrs.frozen(kw_only=True)
class StoredPlan:
    """A plan as it is kept.

    Attributes:
        config: What each step's config is derived from, the seed resolved.
        backend: Which backend made the pictures.
        url: The server's, without credentials; None for backends without one.
    """

    plan_id: str
    created_at: datetime
    plan: LearningPlan
    config: PipelineConfig
    max_steps: int | None = None
    step_timeout: float | None = None
    backend: str = "embedded"
    url: str | None = None
    learning_enabled: bool = False
    metadata: Mapping[str, object] = attrs.field(factory=dict, converter=frozen_mapping)


def encode_plan_file(stored: StoredPlan) -> bytes:
    """Return a plan as indented JSON."""
    content = {field.name: getattr(stored, field.name) for field in attrs.fields(StoredPlan)}
    content |= {"plan": given(stored.plan), "config": stored.config.to_dict()}
    return msgspec.json.format(json_line(content), indent=2) + b"\n"


def read_plan_file(folder: Path) -> StoredPlan:
    """Read a plan back.

    Raises:
        ConfigError: There is none, or it cannot be read.
    """
    path = folder / PLAN_FILE
    try:
        content: dict[str, Any] = msgspec.json.decode(path.read_bytes())
        return StoredPlan(
            plan_id=folder.resolve().name,
            created_at=datetime.fromisoformat(content["created_at"]),
            plan=build_learning_plan_from_dict(content["plan"]),
            config=PipelineConfig.from_dict(content["config"]),
            max_steps=content.get("max_steps"),
            step_timeout=content.get("step_timeout"),
            backend=content.get("backend") or "embedded",
            url=content.get("url"),
            learning_enabled=bool(content.get("learning_enabled")),
            metadata=content.get("metadata") or {},
        )
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; expected a plan's folder") from error
    except ConfigError as error:
        raise ConfigError(*(f"{path}: {problem}" for problem in error.problems)) from error
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(f"{path}: no plan: {error!r}") from error
