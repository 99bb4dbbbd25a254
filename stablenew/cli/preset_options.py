"""Whole presets, each a file with the stages' tables: a plan file, or what `recommend` writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from stablenew.cli.options import options_from_file
from stablenew.config.input_file import read_table
from stablenew.config.pipeline_config import STAGES, Setting
from stablenew.errors import ConfigError
from stablenew.learning.axis import Axis, axis_of_presets


def axis_of_files(names: Sequence[str], folders: Sequence[Path]) -> Axis:
    """Return presets as an axis; each is called as its file without the ending.

    Args:
        names: Of the files.
        folders: Where they are looked for.

    Raises:
        ConfigError: With every problem of every file.
    """
    problems: list[str] = []
    presets: dict[str, dict[str, Setting]] = {}
    counted = Counter(Path(name.strip()).stem for name in names)
    for name in map(str.strip, names):
        path = next((each / name for each in folders if (each / name).exists()), Path(name))
        label = path.stem if counted[path.stem] == 1 else name
        try:
            presets[label] = read_preset(path)
        except ConfigError as error:
            problems += [f"presets: {problem}" for problem in error.problems]
    if problems:
        raise ConfigError(*problems)
    return axis_of_presets(presets)


def read_preset(path: Path) -> dict[str, Setting]:
    """Return what a file sets, by path: the stages' tables, and its prompts and seed.

    Raises:
        ConfigError: With every problem.
    """
    table = read_table(path)
    file = options_from_file(table, str(path))
    found: dict[str, Setting] = {
        f"{stage}.{name}": getattr(getattr(file, stage), name)
        for stage in STAGES
        for name in _keys(table.get(stage))
    }
    for name in ("prompt", "negative_prompt", "seed"):
        value = getattr(file, name)
        if isinstance(value, list | tuple):
            raise ConfigError(f"{path}: {name}: given {len(value)} texts, expected one in a preset")
        if value is not None:
            found[f"txt2img.{name}"] = value
    if not found:
        raise ConfigError(f"{path}: sets nothing, expected a table for a stage such as [txt2img]")
    return found


def _keys(table: object) -> list[str]:
    return list(table) if isinstance(table, dict) else []
