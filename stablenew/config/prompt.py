"""A prompt with what comes along with it."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from stablenew._convert import frozen_mapping
from stablenew.config.pipeline_config import Setting
from stablenew.errors import ConfigError

PLACE = "{prompt}"
"""What stands in a style for the prompt that it wraps."""


@attrs.frozen(kw_only=True)
class Prompt:
    """One prompt of a pack.

    Attributes:
        positive: The prompt; a block's lines joined by commas.
        negative: The negative prompt, "" if there is none.
        pack_id: The pack's name without its ending.
        index: Its place in the pack, from 1.
        name: What the pack calls it, "" where it does not.
        overrides: Settings of its own, by path: those that stand with it in the pack.
        left_out: What else stands with it and has no counterpart: labels of an infotext, options.
        style: Whether it is to be put around another prompt, as the WebUI's styles are.
    """

    positive: str
    negative: str = ""
    pack_id: str = ""
    index: int = 0
    name: str = ""
    overrides: Mapping[str, Setting] = attrs.field(factory=dict, converter=frozen_mapping)
    left_out: tuple[str, ...] = ()
    style: bool = False

    @property
    def prompt_id(self) -> str:
        """What records call it: `heroes#3`."""
        return f"{self.pack_id}#{self.index}"

    @property
    def tags(self) -> Mapping[str, object]:
        """What the records of its runs are tagged with; nothing where it is of no pack."""
        if not self.pack_id:
            return {}
        return {"prompt_pack_id": self.pack_id, "prompt_id": self.prompt_id}


def styled(style: Prompt, prompt: str | None, negative: str | None = None) -> Prompt:
    """Return a style around a prompt, put together as the WebUI does it.

    Args:
        style: A style of `styles.csv`; any other prompt is returned as it is.
        prompt: In place of `{prompt}`, or before a style that has no such place; None for a style
            that is a prompt by itself.
        negative: Likewise for the negative prompt.

    Raises:
        ConfigError: The style is none by itself, and there is no prompt.
    """
    if not style.style:
        return style
    if prompt is None and (PLACE in style.positive or not style.positive):
        named = f" ({style.name!r})" if style.name else ""
        raise ConfigError(
            f"{style.prompt_id}{named}: a style to put around a prompt, expected --prompt as well"
        )
    return attrs.evolve(
        style,
        positive=_around(style.positive, prompt or ""),
        negative=_around(style.negative, negative or ""),
        style=False,
    )


def _around(style: str, prompt: str) -> str:
    if PLACE in style:
        return style.replace(PLACE, prompt)
    return ", ".join(part for part in (prompt.strip(), style.strip()) if part)
