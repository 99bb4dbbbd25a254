"""The variants of prompts that `--variants` and `--wildcards` ask for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from stablenew.cli.options import RunOptions
from stablenew.config.pipeline_config import PipelineConfig
from stablenew.config.prompt import Prompt
from stablenew.config.variants import unexpanded
from stablenew.config.wildcards import read_wildcards
from stablenew.errors import ConfigError
from stablenew.learning.learning_plan import LearningPlan
from stablenew.learning.variant_axis import with_variants


def plan_of_variants(
    plan: LearningPlan | None, config: PipelineConfig, options: RunOptions
) -> LearningPlan | None:
    """Return a plan that explores the variants of its prompts too, if they are asked for.

    Raises:
        ConfigError: No such number, folder, wildcard, or nothing to choose in any prompt.
    """
    if options.variants is None:
        if options.wildcards is not None:
            raise ConfigError("wildcards: for what? give --variants all, or a number, as well")
        return plan
    folder = options.wildcards
    return with_variants(
        plan,
        config,
        _number(options.variants),
        wildcards=None if folder is None else read_wildcards(Path(folder)),
        seed=options.seed if options.seed is not None else "",
        images_per_step=options.images_per_step or 1,
    )


def notes_on_variants(
    options: RunOptions, config: PipelineConfig, prompts: Iterable[Prompt]
) -> Iterator[str]:
    """Yield a note where a server may take what stands for several words as it is written."""
    if options.variants is not None or options.url is None:  # the embedded model says it itself
        return
    texts = [config.txt2img.prompt, config.txt2img.negative_prompt]
    for prompt in prompts:
        texts += [prompt.positive, prompt.negative]
    if found := unexpanded(texts):
        shown = ", ".join(dict.fromkeys(found))
        yield f"{shown} is sent as it is written; --variants all, or a number, chooses for you"


def _number(text: str) -> int | None:
    """Return how many variants are meant, None for all.

    Raises:
        ConfigError: It is neither.
    """
    if text == "all":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"variants: given {text!r}, expected all or a number from 1 on")
    return int(text)
