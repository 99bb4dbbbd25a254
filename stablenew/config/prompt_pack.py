"""Prompt packs: text files of prompts, as people have them.

A `.txt` pack is UTF-8 in blocks separated by blank lines; `#` lines are comments; lines from
`neg:` on are the negative prompt until the block ends, with or without the prefix repeated.
A `.tsv` pack has a prompt a line: positive, tab, negative.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs

from stablenew._names import suggestion
from stablenew.config.pipeline_config import read_text
from stablenew.errors import ConfigError

_NEGATIVE = "neg:"
_SHIPPED = Path(__file__).parent / "packs"


@attrs.frozen(kw_only=True)
class Prompt:
    """One prompt of a pack.

    Attributes:
        positive: The prompt; a block's lines joined by commas.
        negative: The negative prompt, "" if there is none.
        pack_id: The pack's name without its ending.
        index: Its place in the pack, from 1.
    """

    positive: str
    negative: str
    pack_id: str
    index: int


def read_prompt_pack(path: Path) -> tuple[Prompt, ...]:
    """Read every prompt of a pack.

    Raises:
        ConfigError: No such file, not text, or no prompt in it.
    """
    text = read_text(path)
    pairs = _tsv_pairs(text) if path.suffix == ".tsv" else _block_pairs(text)
    prompts = tuple(
        Prompt(positive=positive, negative=negative, pack_id=path.stem, index=index)
        for index, (positive, negative) in enumerate(pairs, start=1)
    )
    if not prompts:
        raise ConfigError(f"{path}: no prompt in it, expected text in blocks")
    return prompts


def find_prompt_pack(name: str) -> Path:
    """Find a pack: a path, a name in the current folder, or one of the package's own.

    Raises:
        ConfigError: There is none; the package's own are named.
    """
    for folder in (Path(), _SHIPPED):
        for candidate in (folder / name, folder / f"{name}.txt", folder / f"{name}.tsv"):
            if candidate.is_file():
                return candidate
    if Path(name).is_dir():
        raise ConfigError(f"pack: given {name!r}, which is a folder; expected a file")
    own = sorted(path.stem for path in _SHIPPED.glob("*.txt"))
    raise ConfigError(
        f"pack: there is no file {name!r}; of the package's own, {suggestion(name, own)}"
    )


def pick_prompt(prompts: tuple[Prompt, ...], index: int) -> Prompt:
    """Return a pack's prompt by its number, from 1.

    Raises:
        ConfigError: The pack has no such prompt.
    """
    if not 1 <= index <= len(prompts):
        raise ConfigError(
            f"prompt_index: given {index}, expected 1 to {len(prompts)}"
            f" (the prompts of {prompts[0].pack_id})"
        )
    return prompts[index - 1]


def _block_pairs(text: str) -> Iterator[tuple[str, str]]:
    positive: list[str] = []
    negative: list[str] = []
    current = positive
    for line in [*(line.strip() for line in text.splitlines()), ""]:
        if not line:
            if positive or negative:
                yield _joined(positive), _joined(negative)
            positive, negative = [], []
            current = positive
        elif line.lower().startswith(_NEGATIVE):
            current = negative
            current.append(line[len(_NEGATIVE) :])
        elif not line.startswith("#"):
            current.append(line)


def _tsv_pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            positive, _, negative = line.partition("\t")
            yield positive.strip(), negative.strip()


def _joined(lines: list[str]) -> str:
    parts = (line.strip().strip(",").strip() for line in lines)
    return ", ".join(part for part in parts if part)
