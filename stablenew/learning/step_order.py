"""The order in which the steps of a plan run: a model is loaded once."""

from __future__ import annotations

from collections.abc import Sequence

from stablenew.config.pipeline_config import STAGES, PipelineConfig, Setting
from stablenew.learning.learning_plan import LearningRunStep

_LOADED = ("model", "vae", "refiner_checkpoint")
"""Settings that have a server load something large."""


def by_model(steps: Sequence[LearningRunStep]) -> list[LearningRunStep]:
    """Return steps so that a model is loaded once; else in their order."""
    seen: dict[tuple[Setting, ...], int] = {}
    order = [seen.setdefault(_models(step.config_snapshot), len(seen)) for step in steps]
    ranked = sorted(range(len(steps)), key=lambda place: (order[place], place))
    return [steps[place] for place in ranked]


def _models(config: PipelineConfig) -> tuple[Setting, ...]:
    stages = [getattr(config, name) for name in STAGES]
    return tuple(
        getattr(stage, name, None) for stage in stages if stage.enabled for name in _LOADED
    )
