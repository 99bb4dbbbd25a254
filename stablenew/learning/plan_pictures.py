"""The pictures that the steps of a plan start from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stablenew.config.image_files import image_path
from stablenew.config.overrides import IMAGE
from stablenew.config.pipeline_config import PipelineConfig
from stablenew.learning.learning_plan import LearningPlan
from stablenew.pipeline.start_picture import StartPicture, changed_pictures, look_at_pictures


async def look_at_images(
    config: PipelineConfig,
    plan: LearningPlan | None,
    before: Mapping[str, StartPicture] | None = None,
) -> dict[str, StartPicture]:
    """Look at every picture that a config, or a step of a plan, starts from.

    Args:
        config: What each step's config is derived from.
        plan: What is explored; None for a single run.
        before: Of a plan that goes on: the pictures as they were when it began. One that is another
            now has that for its problem.
    """
    now = await look_at_pictures(_named(config, plan))
    return now | {each.path: each for each in changed_pictures(before or {}, now)}


def _named(config: PipelineConfig, plan: LearningPlan | None) -> Iterator[str]:
    if config.image is not None:
        yield config.image
    for axis in plan.axes if plan is not None else ():
        for choice in axis.choices if IMAGE in axis.paths else ():
            path = choice.overrides.get(IMAGE)
            if isinstance(path, str) and path:
                yield str(image_path(path))
