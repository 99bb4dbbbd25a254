"""Prompts in a text: in blocks, one a line, from pictures, for the WebUI's script.

- **blocks**, separated by blank lines: `#` lines are comments; lines from `neg:` (or the WebUI's
  `Negative prompt:`) on are the negative prompt until the block ends, with or without the prefix
  repeated. A line `Steps: 20, Sampler: …`, as below a picture, ends its block: its settings are the
  prompt's own, and the prompt's lines stay lines, for a comma would change the picture.
- **lines**: each is a prompt, or the words of the WebUI's "Prompts from file or textbox":
  `--prompt "a cat" --steps 20`.
- **tsv**: a prompt a line: positive, tab, negative.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from stablenew._names import suggestion
from stablenew.config.infotext import read_pairs
from stablenew.config.infotext_settings import settings_of_infotext, settings_of_text
from stablenew.config.overrides import setting_types
from stablenew.config.pipeline_config import Setting
from stablenew.config.prompt import Prompt
from stablenew.errors import ConfigError

_NEGATIVE = re.compile(r"\A(neg|negative|negative prompt):", re.IGNORECASE)
_STEPS = re.compile(r"Steps: *\d+ *(,|$)")
_OPTION = re.compile(r"--[a-z_]+([ =]|$)")
_CIVITAI = re.compile(r",? *(Hashes: *\{[^}]*\}|Civitai (resources|metadata): .*$)")
"""JSON that Civitai adds and does not quote."""

_WITHOUT_COUNTERPART = (
    *("outpath_samples", "outpath_grids", "prompt_for_display", "styles", "seed_resize_from_h"),
    *("seed_resize_from_w", "sampler_index", "batch_size", "n_iter", "restore_faces", "tiling"),
    *("do_not_save_samples", "do_not_save_grid"),
)
"""Options of the WebUI's script that are none of a prompt."""


def lines_of(text: str) -> list[str]:
    """Return the lines of a text; a prompt may hold any other separator that `splitlines` knows."""
    return text.replace("\ufeff", "").replace("\r\n", "\n").replace("\r", "\n").split("\n")


def has_a_prompt_a_line(text: str) -> bool:
    """Return whether each line is one: of the script, or no blank line and nothing else marked."""
    lines = [line.strip() for line in "\n".join(lines_of(text)).strip().split("\n")]
    if any(_OPTION.match(line) for line in lines):
        return True
    return all(line and not _NEGATIVE.match(line) and not _STEPS.match(line) for line in lines)


def read_lines(text: str) -> Iterator[Prompt]:
    """Yield the prompts of a text that has one a line.

    Raises:
        ConfigError: A line is none; it is named.
    """
    for number, line in enumerate(map(str.strip, lines_of(text)), start=1):
        if not line or line.startswith("#"):
            continue
        if _NEGATIVE.match(line) or _STEPS.match(line):
            raise ConfigError(f"line {number}: {line[:40]!r} where each line is a prompt")
        with _at(number):
            yield _of_options(line) if _OPTION.match(line) else Prompt(positive=_joined([line]))


def read_tsv(text: str) -> Iterator[Prompt]:
    """Yield the prompts of a table of two columns.

    Raises:
        ConfigError: A line has more; it is named.
    """
    for number, line in enumerate(lines_of(text), start=1):
        if line.strip() and not line.startswith("#"):
            positive, _, negative = line.partition("\t")
            if "\t" in negative.strip():
                raise ConfigError(f"line {number}: more than two columns")
            yield Prompt(positive=positive.strip(), negative=negative.strip())


def read_blocks(text: str) -> Iterator[Prompt]:
    """Yield the prompts of a text in blocks.

    Raises:
        ConfigError: A block is no prompt, or a setting is wrong; the line is named.
    """
    block: list[str] = []
    for number, line in enumerate([*map(str.strip, lines_of(text)), ""], start=1):
        if _OPTION.match(line):
            raise ConfigError(f"line {number}: options, {line[:40]!r}, in a block")
        if line and not line.startswith("#") and not _STEPS.match(line):
            block.append(line)
        elif block and not line.startswith("#"):
            with _at(number - (not line)):
                yield _of_block(block, line)
            block = []
        elif _STEPS.match(line):
            raise ConfigError(f"line {number}: settings, {line[:40]!r}, with no prompt above them")


class _at:  # noqa: N801  # used as a function
    """Names the line of an error."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, ConfigError):
            raise ConfigError(
                *(f"line {self._number}: {each}" for each in error.problems)
            ) from None


def _of_block(block: Sequence[str], settings: str) -> Prompt:
    start = next((n for n, line in enumerate(block) if _NEGATIVE.match(line)), len(block))
    if not start:
        raise ConfigError(f"a negative prompt with no prompt before it: {block[0][:40]!r}")
    positive, negative = block[:start], [_NEGATIVE.sub("", line, count=1) for line in block[start:]]
    if not settings:
        return Prompt(positive=_joined(positive), negative=_joined(negative))
    overrides, left_out = settings_of_infotext(read_pairs(_CIVITAI.sub("", settings)))
    return Prompt(
        positive="\n".join(positive),
        negative="\n".join(negative).strip(),
        overrides=overrides,
        left_out=left_out,
    )


def _of_options(line: str) -> Prompt:
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise ConfigError(f"{error}, expected quotes around a text: {line[:40]!r}") from None
    texts: dict[str, str] = {}
    overrides: dict[str, Setting] = {}
    left_out: list[str] = []
    for name, value in _options(words):
        stage_name = "model" if name == "sd_model" else name
        if name in ("prompt", "negative_prompt"):
            texts[name] = value
        elif stage_name in setting_types("txt2img"):
            overrides |= settings_of_text(f"txt2img.{stage_name}", value)
        elif name in _WITHOUT_COUNTERPART:
            left_out.append(f"--{name}")
        else:
            options = [*setting_types("txt2img"), *_WITHOUT_COUNTERPART]
            raise ConfigError(f"--{name}: no such option, {suggestion(name, options)}")
    if not texts.get("prompt"):
        raise ConfigError(f'no --prompt "…" in {line[:40]!r}')
    return Prompt(
        positive=texts["prompt"],
        negative=texts.get("negative_prompt", ""),
        overrides=overrides,
        left_out=tuple(left_out),
    )


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield options with what follows them; a prompt may be several words, without quotes."""
    place = 0
    while place < len(words):
        name, equals, value = words[place].removeprefix("--").partition("=")
        end = place + 1
        values = [value] if equals else []
        while end < len(words) and not words[end].startswith("--"):
            values.append(words[end])
            end += 1
        if not values or (len(values) > 1 and name not in ("prompt", "negative_prompt")):
            raise ConfigError(f"--{name}: given {' '.join(values)!r}, expected one value")
        yield name, " ".join(values)
        place = end


def _joined(lines: Sequence[str]) -> str:
    parts = (line.strip().strip(",").strip() for line in lines)
    return ", ".join(part for part in parts if part)
