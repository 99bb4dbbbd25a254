"""The prompts that the words of the command line ask for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import attrs

from stablenew.cli.options import RunOptions, merged
from stablenew.config.prompt import Prompt, styled
from stablenew.config.prompt_pack import find_prompt_pack, pick_prompt, read_prompt_pack
from stablenew.errors import ConfigError


def chosen_prompt(sources: Sequence[RunOptions], beside: Path | None) -> Prompt | None:
    """Return the pack's prompt, unless a stronger source has a prompt of its own.

    A style of the pack is put around the prompt that is given beside it, or by a weaker source.

    Args:
        sources: The strongest first; the last one is the plan file.
        beside: The plan file's folder, where a pack that it names is looked for.

    Raises:
        ConfigError: No such pack or prompt, or a prompt beside a pack of no styles.
    """
    options = merged(*sources)
    for name in ("prompt_index", "pack_format"):
        if getattr(options, name) is not None and not options.pack:
            raise ConfigError(f"{name}: given {getattr(options, name)} without a pack")
    for source in sources:
        if source.pack:
            path = find_prompt_pack(source.pack, beside if source is sources[-1] else None)
            prompts = read_prompt_pack(path, options.pack_format)
            prompt = pick_prompt(prompts, options.prompt_index or 1)
            if source.prompt is not None and not prompt.style:
                raise ConfigError("prompt, pack: both are given, expected one of them")
            if prompt.style:
                return styled(prompt, options.prompt, options.negative_prompt)
            negative = options.negative_prompt  # "" means none, and beats the pack's
            return prompt if negative is None else attrs.evolve(prompt, negative=negative)
        if source.prompt is not None:
            return None
    return None


def notes_on(prompts: Iterable[Prompt]) -> Iterator[str]:
    """Yield what there is to say about prompts before they are run."""
    left_out: dict[str, dict[str, None]] = {}
    for prompt in prompts:
        left_out.setdefault(prompt.pack_id, {}).update(dict.fromkeys(prompt.left_out))
    for pack, names in left_out.items():
        if names:
            yield f"pack {pack}: left out, for there is no such setting here: {', '.join(names)}"
