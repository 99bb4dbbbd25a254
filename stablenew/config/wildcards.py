"""Wildcards: folders of words to choose from, as people have them for `__name__` in prompts.

- `colours/warm.txt` is `__colours/warm__`: a value a line, `#` lines are comments.
- A `.yaml` (or `.json`) file is a tree of lists: `animals: {cats: [tabby]}` is `__animals/cats__`,
  below the folder of the file; a list alone has the file's name.

A value may have a weight (`3::red`, or `{text: red, weight: 3}` in a list) and choices of its own.
A name may be a pattern: `__colours/*__` has the values of every file that it matches.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

import attrs

from stablenew._arguments import shown
from stablenew._names import checked_path, suggestion
from stablenew.config.input_file import read_text
from stablenew.config.structured_text import read_json, read_yaml
from stablenew.errors import ConfigError
from stablenew.storage.disk_errors import disk_errors

_READERS = {".yaml": read_yaml, ".yml": read_yaml, ".json": read_json}
_WEIGHT = re.compile(r"\s*(\d+\.?\d*|\.\d+)::")
_DEEPEST = 20


@attrs.frozen
class Option:
    """A value that can be chosen: its text, and how likely it is to be drawn."""

    text: str
    weight: float = 1.0


def option_of(text: str) -> Option:
    """Return a value as it is written: `3::red`."""
    found = _WEIGHT.match(text)
    return Option(text[found.end() :], float(found[1])) if found else Option(text)


@attrs.frozen(slots=False)
class Wildcards:
    """The wildcards of a folder; a file is read when it is asked for."""

    folder: Path

    @cached_property
    def _files(self) -> Mapping[str, Path | tuple[Option, ...]]:
        found: dict[str, Path | tuple[Option, ...]] = {}
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).with_suffix("").as_posix()
            if path.suffix == ".txt":
                found[name] = path
            elif path.suffix in _READERS:
                found.update(_lists(path, name))
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each."""
        return tuple(self._files)

    def options(self, pattern: str) -> tuple[Option, ...]:
        """Return the values of a name or a pattern.

        Raises:
            ConfigError: There is none, with the nearest names; or a file cannot be read.
        """
        names = self.matching(pattern)
        found = tuple(option for name in names for option in self._options(name))
        if not names:
            near = _nearest(pattern, self.names)
            raise ConfigError(f"__{pattern}__: no such wildcard in {str(self.folder)!r}, {near}")
        if not found:
            raise ConfigError(f"__{pattern}__: no value in {', '.join(names)}")
        return found

    def matching(self, pattern: str) -> list[str]:
        """Return the names that a name or a pattern means."""
        return [name for name in self._files if name == pattern or fnmatchcase(name, pattern)]

    def _options(self, name: str) -> Iterator[Option]:
        values = self._files[name]
        if isinstance(values, tuple):
            yield from values
            return
        for line in map(str.strip, read_text(values).split("\n")):
            if line and not line.startswith("#"):
                yield option_of(line)


def read_wildcards(folder: Path) -> Wildcards:
    """Return the wildcards of a folder.

    Raises:
        ConfigError: It is no folder, or has none.
        RecordError: The disk failed.
    """
    folder = checked_path("wildcards", folder)
    if not os.path.isdir(folder):  # noqa: PTH112  # Path.is_dir raises at a name that is too long
        raise ConfigError(
            f"wildcards: given {shown(str(folder))}, expected a folder of .txt or .yaml"
        )
    found = Wildcards(folder)
    with disk_errors(folder):
        names = found.names
    if not names:
        raise ConfigError(f"wildcards: no .txt or .yaml file in {str(folder)!r}")
    return found


def _nearest(pattern: str, names: tuple[str, ...]) -> str:
    """Return the nearest names: by their last part, if they are not near as a whole."""
    same = [name for name in names if name.rpartition("/")[2] == pattern.rpartition("/")[2]]
    return f"did you mean {' or '.join(same[:3])}?" if same else suggestion(pattern, names)


def _lists(path: Path, name: str) -> Iterator[tuple[str, tuple[Option, ...]]]:
    """Yield the lists of a structured file, each with its name.

    Raises:
        ConfigError: The file is broken, or something in it is no value.
    """
    try:
        data = _READERS[path.suffix](read_text(path))
        if isinstance(data, list):
            yield name, tuple(map(_option, data))
        else:
            yield from _tree(name.rpartition("/")[0], data, 0)
    except ConfigError as error:
        where = "" if str(error).startswith(str(path)) else f"{path}: "
        raise ConfigError(*(f"{where}{each}" for each in error.problems)) from None


def _tree(name: str, data: object, depth: int) -> Iterator[tuple[str, tuple[Option, ...]]]:
    if depth > _DEEPEST:
        raise ConfigError(f"{name}: nested more than {_DEEPEST} deep")
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from _tree(f"{name}/{key}".lstrip("/"), value, depth + 1)
    elif isinstance(data, list):
        yield name, tuple(map(_option, data))
    elif data:
        yield name, (_option(data),)


def _option(value: object) -> Option:
    if isinstance(value, Mapping):
        text = value.get("text", value.get("content"))
        try:
            return Option(str(text), float(value.get("weight", 1))) if text else _no_value(value)
        except (TypeError, ValueError):
            return _no_value(value)
    if isinstance(value, list) or value is None:
        return _no_value(value)
    return option_of(str(value).strip())


def _no_value(value: object) -> Option:
    raise ConfigError(f"given {value!r:.60}, expected a text, or one with text and weight")
