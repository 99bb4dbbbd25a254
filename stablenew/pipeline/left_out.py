"""Which of several backends can run none of some configs, and what they lack for it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stablenew.backends.base import Capabilities
from stablenew.config.pipeline_config import PipelineConfig
from stablenew.errors import ConfigError
from stablenew.pipeline.stage_plan import plan_stages
from stablenew.pipeline.start_picture import StartPicture

_MOST = 5
"""Things that one lacks that are told."""


def lacks(
    capabilities: Capabilities,
    config: PipelineConfig,
    pictures: Mapping[str, StartPicture],
    model_hashes: Mapping[str, str],
) -> tuple[str, ...]:
    """Return what a backend lacks for a config, one line each; nothing if it can run it.

    Args:
        capabilities: Of the backend.
        config: What is to be run.
        pictures: Those to start from, by path.
        model_hashes: Of the models that are meant, where other files may have their names.
    """
    try:
        stages = plan_stages(config, capabilities, pictures).stages
    except ConfigError as error:
        return error.problems
    named = {str(each.settings.get("model")): each.model_hash for each in stages}
    return tuple(
        f"model: its {model} is another file"
        for model, model_hash in named.items()
        if model_hash and model_hashes.get(model, model_hash) != model_hash
    )


def left_out(
    told: Mapping[str, Capabilities],
    configs: Iterable[PipelineConfig],
    pictures: Mapping[str, StartPicture],
    model_hashes: Mapping[str, str],
) -> dict[str, tuple[str, ...]]:
    """Return the backends that can run none of some configs, each with what it lacks.

    Args:
        told: What each can do, by its name.
        configs: Those that there are; looked at no further than it takes.
        pictures: Those to start from, by path.
        model_hashes: Of the models that are meant, where other files may have their names.
    """
    found: dict[str, dict[str, None]] = {name: {} for name in told}
    for config in configs:
        for name in [*found]:
            if lacking := lacks(told[name], config, pictures, model_hashes):
                found[name].update(dict.fromkeys(lacking))
            else:
                del found[name]
        if not found:
            break
    return {name: tuple(lines)[:_MOST] for name, lines in found.items() if lines}
