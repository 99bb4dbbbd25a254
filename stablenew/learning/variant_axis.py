"""The variants of a plan's prompts as an axis. Pure but for the files of wildcards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import NoneType

import attrs

from stablenew._arguments import takes
from stablenew.config.pipeline_config import PipelineConfig
from stablenew.config.prompt import Prompt
from stablenew.config.variants import VariantReader, Variants, check_count
from stablenew.config.wildcards import Wildcards
from stablenew.errors import ConfigError
from stablenew.learning.axis import Axis, Choice, told_apart
from stablenew.learning.learning_adapter import build_learning_plan_from_dict
from stablenew.learning.learning_plan import LearningPlan

_PROMPT, _NEGATIVE = "txt2img.prompt", "txt2img.negative_prompt"


@takes(wildcards=(Wildcards, NoneType))
def with_variants(
    plan: LearningPlan | Mapping[str, object] | None,
    config: PipelineConfig | Mapping[str, object],
    number: int | None = None,
    *,
    wildcards: Wildcards | None = None,
    seed: object = "",
    images_per_step: int = 1,
) -> LearningPlan:
    """Return a plan that explores the variants of its prompts as well; they are compared.

    Args:
        plan: One whose prompts come from an axis of its own, or from the config; None for none.
        config: What every step's config is derived from.
        number: How many of each prompt to draw, None for all.
        wildcards: What `__name__` stands for.
        seed: What they are drawn with, beside the prompts themselves.
        images_per_step: Of a plan that is new.

    Raises:
        ConfigError: There is nothing to choose in any prompt, or a choice that cannot be read.
    """
    if plan is not None and not isinstance(plan, LearningPlan):
        plan = build_learning_plan_from_dict(plan)
    if not isinstance(config, PipelineConfig):
        config = PipelineConfig.from_dict(config)
    if number is not None and (type(number) is not int or number < 1):
        raise ConfigError(f"variants: given {number!r}, expected a number from 1 on, None for all")
    axes = plan.axes if plan else ()
    given = next((axis for axis in axes if _PROMPT in axis.paths), None)
    axis = given or Axis("prompt", (Choice("", {_PROMPT: config.txt2img.prompt or ""}),))
    varied = Axis(axis.name, _choices(axis, config, number, wildcards, seed))
    if plan is None:
        return LearningPlan(axes=(varied,), images_per_step=images_per_step)
    others = [varied if axis is given else axis for axis in axes]
    mode = plan.mode if plan.is_adaptive else None
    return attrs.evolve(plan, axes=others if given else [*others, varied], mode=mode)


def _choices(
    axis: Axis,
    config: PipelineConfig,
    number: int | None,
    wildcards: Wildcards | None,
    seed: object,
) -> tuple[Choice, ...]:
    """Return the choices of an axis of prompts with every variant of each."""
    reader = VariantReader(wildcards)
    found = [(choice, reader.variants_of(_prompt(choice, config))) for choice in axis.choices]
    wanted = sum(each.count if number is None else min(number, each.count) for _, each in found)
    shown = ", ".join(repr(each.prompt.positive[:60]) for _, each in found[:3])
    check_count(wanted, shown)
    choices = [each for choice, of in found for each in _varied(choice, of, number, seed)]
    if len(choices) == len(axis.choices) and all(map(_same, choices, axis.choices)):
        raise ConfigError(f"variants: nothing to choose in {shown}, expected {{a|b}} or __name__")
    return told_apart(list(_each_once(choices)))


def _prompt(choice: Choice, config: PipelineConfig) -> Prompt:
    negative = choice.overrides.get(_NEGATIVE, config.txt2img.negative_prompt)
    return Prompt(positive=str(choice.overrides.get(_PROMPT) or ""), negative=str(negative or ""))


def _varied(choice: Choice, found: Variants, number: int | None, seed: object) -> Iterator[Choice]:
    """Yield a choice with each variant of its prompts."""
    for each in found.all() if number is None else found.drawn(number, seed):
        label = each.positive
        overrides = {**choice.overrides, _PROMPT: each.positive}
        if each.negative != found.prompt.negative:
            label = f"{label} (negative: {each.negative})"
            overrides[_NEGATIVE] = each.negative
        yield attrs.evolve(choice, label=label, overrides=overrides)


def _same(variant: Choice, choice: Choice) -> bool:
    return variant.overrides == choice.overrides


def _each_once(choices: Sequence[Choice]) -> Iterator[Choice]:
    """Yield choices that set something else than those before: two prompts may share a variant."""
    seen = set()
    for choice in choices:
        key = tuple(sorted(choice.overrides.items(), key=str))
        if key not in seen:
            yield choice
        seen.add(key)
