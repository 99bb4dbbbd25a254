"""Prompt packs: text files of prompts, as people have them.

A `.txt` pack is UTF-8 in blocks separated by blank lines; `#` lines are comments; lines from
`neg:` (or the WebUI's `Negative prompt:`) on are the negative prompt until the block ends, with or
without the prefix repeated. Where no line is blank and none is a negative prompt, each line is a
prompt. A `.tsv` pack has a prompt a line: positive, tab, negative. Only CR and LF end a line.
Everything else is refused by what it is, never read as one long prompt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import attrs

from stablenew._names import suggestion
from stablenew.config.pipeline_config import read_text, without_control_characters
from stablenew.errors import ConfigError

EXPECTED = (
    "expected a .txt of prompts in blocks (with `neg:` lines, a blank line between two), a .txt of"
    " one prompt a line, or a .tsv of prompt and negative prompt"
)
"""What a pack can be."""

_ENDINGS = (".txt", ".tsv", "")
_NEGATIVE = re.compile(r"(neg|negative|negative prompt):", re.IGNORECASE)
_SETTINGS = re.compile(r"Steps: *\d+ *(,|$)|--[a-z_]+[ =]")
_FOREIGN = {
    "JSON": re.compile(r"[\[{\s]*[\[{]\s*\".*[}\]]\Z", re.DOTALL),
    "YAML": re.compile(r"(---|[\w-]+:[ ]*)\r?\n\s*(- |[\w-]+:)"),
    "CSV": re.compile(r"\"?(name|prompt)\"?,\"?(text|(negative_)?prompt)"),
}
"""How other formats begin, whatever the file is called."""

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
    ending = path.suffix.lower()
    if ending not in _ENDINGS:
        raise ConfigError(f"{path}: a {ending} file, {EXPECTED}")
    text = read_text(path)
    try:
        pairs = [*_prompt_pairs(text, ending)]
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    prompts = tuple(
        Prompt(positive=positive, negative=negative, pack_id=path.stem, index=index)
        for index, (positive, negative) in enumerate(pairs, start=1)
    )
    if not prompts:
        raise ConfigError(f"{path}: no prompt in it, expected text in blocks")
    return prompts


def find_prompt_pack(name: str, beside: Path | None = None) -> Path:
    """Find a pack: a path, a name in the current folder, or one of the package's own.

    Args:
        name: With or without `.txt` or `.tsv`.
        beside: A folder to look in first: that of the plan file which names the pack.

    Raises:
        ConfigError: There is none; where it was looked for and the package's own are named.
    """
    without_control_characters("pack", name)
    for folder in [Path(), _SHIPPED] if beside is None else [beside, Path(), _SHIPPED]:
        for candidate in (folder / name, folder / f"{name}.txt", folder / f"{name}.tsv"):
            if candidate.is_file():
                return candidate
    if Path(name).is_dir():
        raise ConfigError(f"pack: given {name!r}, which is a folder; expected a file")
    own = sorted(path.stem for path in _SHIPPED.glob("*.txt"))
    where = "" if beside is None else f" in {str(beside.resolve())!r} or the current folder"
    raise ConfigError(
        f"pack: there is no file {name!r}{where}; of the package's own, {suggestion(name, own)}"
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


def _prompt_pairs(text: str, ending: str) -> Iterator[tuple[str, str]]:
    """Return the positive and negative prompts of a pack's text."""
    # Only these end a line: a prompt may hold any other separator that `splitlines` knows.
    lines = text.replace("\ufeff", "").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if ending == ".tsv":
        return _tsv_pairs(lines)
    if kind := next((kind for kind, mark in _FOREIGN.items() if mark.match(text.strip())), None):
        raise ConfigError(f"{kind}, {EXPECTED}")
    return _line_pairs(lines) if _has_a_prompt_a_line(lines) else _block_pairs(lines)


def _has_a_prompt_a_line(lines: list[str]) -> bool:
    """Return whether neither blocks nor negative prompts are marked, so that each line is one."""
    whole = "\n".join(lines).strip().split("\n")
    return all(line.strip() and not _NEGATIVE.match(line.strip()) for line in whole)


def _line_pairs(lines: list[str]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(map(str.strip, lines), start=1):
        _refuse_settings(line, number)
        if line and not line.startswith("#"):
            yield _joined([line]), ""


def _block_pairs(lines: list[str]) -> Iterator[tuple[str, str]]:
    positive: list[str] = []
    negative: list[str] = []
    current = positive
    for number, line in enumerate([*map(str.strip, lines), ""], start=1):
        _refuse_settings(line, number)
        if not line:
            if positive or negative:
                yield _joined(positive), _joined(negative)
            positive, negative = [], []
            current = positive
        elif mark := _NEGATIVE.match(line):
            current = negative
            current.append(line[mark.end() :])
        elif not line.startswith("#"):
            current.append(line)


def _refuse_settings(line: str, number: int) -> None:
    """Refuse what the WebUI writes below a prompt, or its script takes: it is no prompt."""
    if _SETTINGS.match(line):
        raise ConfigError(f"line {number}: settings, {line[:40]!r}, {EXPECTED}")


def _tsv_pairs(lines: list[str]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.startswith("#"):
            positive, _, negative = line.partition("\t")
            if "\t" in negative.strip():
                raise ConfigError(f"line {number}: more than two columns, {EXPECTED}")
            yield positive.strip(), negative.strip()


def _joined(lines: list[str]) -> str:
    parts = (line.strip().strip(",").strip() for line in lines)
    return ", ".join(part for part in parts if part)
