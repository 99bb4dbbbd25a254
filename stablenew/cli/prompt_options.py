"""The prompts that the words of the command line ask for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import attrs

from stablenew.cli.options import RunFile, RunOptions, SharedOptions, as_texts, merged
from stablenew.config.pack_tables import prompts_from
from stablenew.config.prompt import Prompt, styled
from stablenew.config.prompt_pack import find_prompt_pack, pick_prompt, read_prompt_pack
from stablenew.errors import ConfigError

_NUMBERS = re.compile(r"\s*(\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?")


def chosen_prompts(
    sources: Sequence[RunOptions | RunFile], beside: Path | None
) -> tuple[Prompt, ...]:
    """Return the prompts that are asked for: a pack's, unless a stronger source has its own.

    The styles of a pack are put around the prompt that is given beside it, or by a weaker source.

    Args:
        sources: The strongest first; the last one is the plan file.
        beside: The plan file's folder, where a pack that it names is looked for.

    Raises:
        ConfigError: No such pack or prompt, or a prompt beside a pack of no styles.
    """
    options = merged(*sources)
    _check_pack_words(options)
    for source in sources:
        own = _own_prompts(source)
        if source.pack:
            path = find_prompt_pack(source.pack, beside if source is sources[-1] else None)
            picked = _picked(read_prompt_pack(path, options.pack_format), sources)
            if own and not picked[0].style:
                raise ConfigError("prompt, pack: both are given, expected one of them")
            return tuple(_with_words(prompt, options) for prompt in picked)
        if own:
            return tuple(_with_words(prompt, options) for prompt in own)
    return ()


def _check_pack_words(options: RunOptions) -> None:
    names = ["prompt_index", "pack_format", *(["prompts"] if _are_numbers(options) else [])]
    for name in names:
        if getattr(options, name) is not None and not options.pack:
            raise ConfigError(f"{name}: given {getattr(options, name)} without a pack")


def _are_numbers(source: SharedOptions) -> bool:
    """Return whether `prompts` says which prompts of a pack, and not what they are."""
    given = source.prompts
    if not isinstance(given, list | tuple):
        return given is not None
    return any(isinstance(each, int) for each in given)


def _own_prompts(source: SharedOptions) -> tuple[Prompt, ...]:
    """Return the prompts that a source has itself."""
    texts = tuple(Prompt(positive=text) for text in as_texts(source.prompt))
    if source.prompts is None or _are_numbers(source):
        return texts
    try:
        listed = tuple(prompts_from(source.prompts))
    except ConfigError as error:
        raise ConfigError(*(f"prompts: {problem}" for problem in error.problems)) from None
    if texts:
        raise ConfigError("prompt, prompts: both are given, expected one of them")
    return listed


def _with_words(prompt: Prompt, options: RunOptions) -> Prompt:
    """Return a prompt with the words that stand beside it: the negative one, and a style's own."""
    if prompt.style:
        around = as_texts(options.prompt)
        if len(around) > 1:
            raise ConfigError(
                f"prompt: {len(around)} are given to put a style around, expected one"
            )
        return styled(prompt, around[0] if around else None, options.negative_prompt)
    negative = options.negative_prompt  # "" means none, and beats the pack's
    return prompt if negative is None else attrs.evolve(prompt, negative=negative)


def _picked(prompts: tuple[Prompt, ...], sources: Sequence[SharedOptions]) -> tuple[Prompt, ...]:
    """Return the prompts of a pack that the strongest source which says so asks for."""
    for source in sources:
        if source.prompt_index is not None and source.prompts is not None:
            raise ConfigError("prompt_index, prompts: both are given, expected one of them")
        if source.prompt_index is not None:
            return (pick_prompt(prompts, source.prompt_index),)
        if _are_numbers(source):
            return tuple(prompts[number - 1] for number in _numbers(source.prompts, prompts))
    return prompts[:1]


def _numbers(given: object, prompts: tuple[Prompt, ...]) -> list[int]:
    """Return the numbers that `all`, `1-5` or `1,3,7` stands for, or those of a list.

    Raises:
        ConfigError: It is none of these, or the pack has no such prompt.
    """
    if given == "all":
        return list(range(1, len(prompts) + 1))
    items = given.split(",") if isinstance(given, str) else as_texts(given)
    found: dict[int, None] = {}
    for item in items:
        read = _NUMBERS.fullmatch(str(item))
        if read is None:
            raise ConfigError(f"prompts: given {item!r}, expected all, or numbers: 1-5 or 1,3,7")
        first, last = int(read[1]), int(read[2] or read[1])
        if not 1 <= first <= last <= len(prompts):
            there = f"1 to {len(prompts)} (the prompts of {prompts[0].pack_id})"
            raise ConfigError(f"prompts: given {item!s:.40}, expected {there}")
        found |= dict.fromkeys(range(first, last + 1))
    return list(found)


def notes_on(prompts: Iterable[Prompt]) -> Iterator[str]:
    """Yield what there is to say about prompts before they are run."""
    left_out: dict[str, dict[str, None]] = {}
    for prompt in prompts:
        left_out.setdefault(prompt.pack_id, {}).update(dict.fromkeys(prompt.left_out))
    for pack, names in left_out.items():
        if names:
            yield f"pack {pack}: left out, for there is no such setting here: {', '.join(names)}"
