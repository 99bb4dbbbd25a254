"""Prompt packs: files of prompts, as people have them.

Text in blocks or of a prompt a line (`pack_text.py`), JSON, YAML and CSV (`pack_tables.py`); UTF-8,
or UTF-16 with a byte order mark. The ending says which, and for `.txt` the text itself: lines with
no blank one among them, and no `neg:`, are a prompt each. What is no pack is refused by what it is,
never read as one long prompt.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import NoneType

import attrs

from stablenew._arguments import checked
from stablenew._names import checked_path, suggestion
from stablenew.config.input_file import decode_text, read_bytes, without_control_characters
from stablenew.config.pack_tables import read_csv_prompts, read_json_prompts, read_yaml_prompts
from stablenew.config.pack_text import has_a_prompt_a_line, read_blocks, read_lines, read_tsv
from stablenew.config.prompt import Prompt
from stablenew.errors import ConfigError

EXPECTED = (
    "expected a .txt of prompts in blocks (with `neg:` lines, a blank line between two), one a"
    " line, as copied from pictures, or for the WebUI's script; a .tsv; styles.csv; a list in JSON"
    " or YAML"
)
"""What a pack can be."""

STDIN = "-"
"""The pack that is read from standard input."""

_READERS: Mapping[str, Callable[[str], Iterator[Prompt]]] = {
    "blocks": read_blocks,
    "lines": read_lines,
    "tsv": read_tsv,
    "csv": read_csv_prompts,
    "json": read_json_prompts,
    "yaml": read_yaml_prompts,
}
PACK_FORMATS = tuple(_READERS)
"""What a pack can be said to be."""

_ENDINGS = {".tsv": "tsv", ".csv": "csv", ".json": "json", ".yaml": "yaml", ".yml": "yaml"}
_TEXT_ENDINGS = (".txt", ".text", "")
_BEGINNINGS = {
    "json": re.compile(r"[\[{\s]*[\[{]\s*\".*[}\]]\Z", re.DOTALL),
    "yaml": re.compile(r"(---|[\w-]+:[ ]*)\r?\n\s*(- |[\w-]+:)"),
    "csv": re.compile(r"\"?(name|prompt)\"?[,;]\"?(text|(negative_)?prompt)"),
}
"""How texts begin that are not blocks or lines, whatever the file is called."""

_SHIPPED = Path(__file__).parent / "packs"


def read_prompt_pack(path: Path, pack_format: str | None = None) -> tuple[Prompt, ...]:
    """Read every prompt of a pack.

    Args:
        path: A file; `-` for standard input.
        pack_format: One of `PACK_FORMATS`; None to go by the file's ending and its text.

    Raises:
        ConfigError: No such file, not text, or something in it that is no prompt.
    """
    path = checked_path("pack", path)
    if checked("pack_format", pack_format, (str, NoneType)) not in (None, *PACK_FORMATS):
        near = suggestion(str(pack_format), PACK_FORMATS)
        raise ConfigError(f"pack_format: given {pack_format!r:.80}, {near}")
    from_stdin = str(path) == STDIN
    shown = "standard input" if from_stdin else str(path)
    ending = "" if from_stdin else path.suffix.lower()
    if pack_format is None and ending not in (*_ENDINGS, *_TEXT_ENDINGS):
        raise ConfigError(f"{shown}: a {ending} file, {EXPECTED}")
    data = sys.stdin.buffer.read() if from_stdin else read_bytes(path)
    try:
        text = decode_text(data)
    except ConfigError as error:
        raise ConfigError(f"{shown}: {error}, {EXPECTED}") from None
    try:
        found = [*_read(text, pack_format or _ENDINGS.get(ending) or _kind(text))]
    except ConfigError as error:
        raise ConfigError(*(f"{shown}: {each}" for each in error.problems)) from None
    if not found:
        raise ConfigError(f"{shown}: no prompt in it, {EXPECTED}")
    pack_id = "stdin" if from_stdin else path.stem
    return tuple(
        attrs.evolve(prompt, pack_id=pack_id, index=index)
        for index, prompt in enumerate(found, start=1)
    )


def _read(text: str, pack_format: str) -> Iterator[Prompt]:
    try:
        for number, prompt in enumerate(_READERS[pack_format](text), start=1):
            if not prompt.positive and not prompt.style:
                raise ConfigError(f"prompt {number}: is empty")
            yield prompt
    except ConfigError as error:
        others = ", ".join(each for each in PACK_FORMATS if each != pack_format)
        *first, last = error.problems
        hint = f"read as {pack_format}; --pack-format has {others} as well"
        raise ConfigError(*first, f"{last} ({hint})") from None


def _kind(text: str) -> str:
    """Return the format of a text by itself."""
    bare = text.replace("\ufeff", "").strip()
    found = next((kind for kind, mark in _BEGINNINGS.items() if mark.match(bare)), None)
    return found or ("lines" if has_a_prompt_a_line(text) else "blocks")


def find_prompt_pack(name: str, beside: Path | None = None) -> Path:
    """Find a pack: a path, a name in the current folder, or one of the package's own.

    Args:
        name: With or without its ending; `-` for standard input.
        beside: A folder to look in first: that of the plan file which names the pack.

    Raises:
        ConfigError: There is none; where it was looked for and the package's own are named.
    """
    without_control_characters("pack", name)
    if name == STDIN:
        return Path(STDIN)
    for folder in [Path(), _SHIPPED] if beside is None else [beside, Path(), _SHIPPED]:
        for ending in ("", ".txt", *_ENDINGS):
            if (candidate := folder / f"{name}{ending}").is_file():
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
