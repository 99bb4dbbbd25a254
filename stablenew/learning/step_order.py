"""The order in which the steps of a plan run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stablenew.config.pipeline_config import STAGES, PipelineConfig, Setting
from stablenew.learning.learning_plan import LearningRunStep

_LOADED = ("model", "vae", "refiner_checkpoint")
"""Settings that have a server load something large."""


def in_order(order: str, steps: Sequence[LearningRunStep]) -> Iterator[LearningRunStep]:
    """Yield steps as they are given, or so that each model is loaded once, else as given.

    Args:
        order: One of `ORDERS`.
        steps: The steps.
    """
    return iter(steps) if order == "given" else by_model(steps)


def by_model(steps: Sequence[LearningRunStep]) -> Iterator[LearningRunStep]:
    """Yield steps so that a model is loaded once; else in their order."""
    seen: dict[tuple[Setting, ...], int] = {}
    order = [seen.setdefault(_models(step.config_snapshot), len(seen)) for step in steps]
    for place in sorted(range(len(steps)), key=order.__getitem__):
        yield steps[place]


def _models(config: PipelineConfig) -> tuple[Setting, ...]:
    stages = [getattr(config, name) for name in STAGES]
    return tuple(
        getattr(stage, name, None) for stage in stages if stage.enabled for name in _LOADED
    )
