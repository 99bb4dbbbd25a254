"""The variants of prompts that `--variants` and `--wildcards` ask for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from stablenew.cli.options import RunOptions
from stablenew.config.pipeline_config import STAGES, PipelineConfig
from stablenew.config.variants import unexpanded
from stablenew.config.wildcards import Wildcards, read_wildcards
from stablenew.errors import ConfigError
from stablenew.learning.learning_plan import LearningPlan
from stablenew.learning.variant_axis import with_variants
from stablenew.pipeline.stage_files import PROMPTS

_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


def plan_of_variants(
    plan: LearningPlan | None,
    config: PipelineConfig,
    options: RunOptions,
    folders: Sequence[Path],
) -> LearningPlan | None:
    """Return a plan that explores the variants of its prompts too, if they are asked for.

    Args:
        plan: What is explored besides; None for nothing.
        config: What every step's config is derived from.
        options: Of all sources.
        folders: Where the folder of wildcards is looked for.

    Raises:
        ConfigError: No such number, folder, wildcard, or nothing to choose in any prompt.
    """
    if options.variants is None:
        if options.wildcards is not None:
            raise ConfigError("wildcards: for what? give --variants all, or a number, as well")
        return plan
    return with_variants(
        plan,
        config,
        _number(options.variants),
        wildcards=_wildcards(options.wildcards, folders),
        seed=options.seed if options.seed is not None else "",
        images_per_step=options.images_per_step or 1,
    )


def notes_on_variants(plan: LearningPlan | None, config: PipelineConfig) -> Iterator[str]:
    """Yield a note where a backend gets as it is written what may stand for several words."""
    axes = plan.axes if plan else ()
    varied = {path for axis in axes for path in axis.paths}
    own = (
        getattr(getattr(config, stage), name, None)
        for stage in STAGES
        if getattr(config, stage).enabled
        for name in PROMPTS
        if f"{stage}.{name}" not in varied
    )
    of_axes = (
        str(value)
        for axis in axes
        for choice in axis.choices
        for path, value in choice.overrides.items()
        if path.endswith("prompt")
    )
    if found := unexpanded(chain(own, of_axes)):
        shown = ", ".join(found[:3]) + (", …" if len(found) > 3 else "")
        yield (
            f"{shown}: sent to the backend as written; --variants all, or a number,"
            " explores what the prompt can be"
        )


def _wildcards(name: str | None, folders: Sequence[Path]) -> Wildcards | None:
    if name is None:
        return None
    beside = (folder / name for folder in folders)
    # Path.is_dir raises at a name that is too long for a disk.
    return read_wildcards(next(filter(os.path.isdir, beside), Path(name)))


def _number(given: object) -> int | None:
    """Return how many variants are meant, None for all.

    Raises:
        ConfigError: It is neither.
    """
    text = str(given)
    if text == "all":
        return None
    if not _NUMBER.fullmatch(text):
        raise ConfigError(f"variants: given {given!r:.40}, expected all or a number from 1 on")
    return int(text)
