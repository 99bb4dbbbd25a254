"""A job as text: the command line that does the same, and a plan file."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from stablenew.config.pipeline_config import STAGES
from stablenew.studio.jobs import Table, placed_files, with_learning


def command_line(table: Table, out: Path) -> tuple[str, bool]:
    """Return the command line that does what a job says, and whether it needs its plan file."""
    table = placed_files(table, out)
    words = ["stablenew", "run"]
    said = _words(with_learning(table))
    if said is None:
        return shlex.join([*words, "plan.toml", "--out", str(out)]), True
    return shlex.join([*words, *said, "--out", str(out)]), False


def _words(table: Table) -> list[str] | None:
    """Return a job as words of the command line; None where there are none for something."""
    learning = table.get("learning") or {}
    parts = _flags(table), _settings(table), _sweeps(learning)
    if any(part is None for part in parts):
        return None
    flags, settings, swept = (part or [] for part in parts)
    learn = table.get("learn", learning.get("enabled"))
    learns = ["--learn"] if learn else ["--no-learn"] if learn is False else []
    return [*flags, *settings, *learns, *swept]


def _flags(table: Table) -> list[str] | None:
    words: list[str] = []
    rest = {k: v for k, v in table.items() if k not in (*STAGES, "learning", "learn", "inputs")}
    for name, value in rest.items():
        flag = f"--{_FLAGS.get(name, name).replace('_', '-')}"
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, Mapping) or (isinstance(each, str) and each.startswith("-")):
                return None
            if isinstance(each, bool):
                words += [flag] if each else []
            else:
                words += [flag, str(each)]
    return words


def _settings(table: Table) -> list[str] | None:
    given = {
        f"{stage}.{name}": value
        for stage in STAGES
        for name, value in (table.get(stage) or {}).items()
    }
    if any(isinstance(value, Mapping | list) or value is None for value in given.values()):
        return None
    given |= table.get("inputs") or {}
    return [word for name, value in given.items() for word in ("--set", f"{name}={_text(value)}")]


_FLAGS = {"urls": "url"}
"""Words that the command line has otherwise."""

_SAID = ("enabled", "axes", "sample", "order", "images_per_step", "max_steps", "experiment_name")


def _sweeps(learning: Table) -> list[str] | None:
    words: list[str] = []
    for name, value in learning.items():
        if name not in _SAID:
            return None
        if name not in ("enabled", "axes"):
            words += [f"--{name.replace('_', '-')}", str(value)]
    for axis in learning.get("axes") or ():
        if not isinstance(axis, Mapping) or axis.keys() - {"path", "values"}:
            return None
        values = axis.get("values")
        texts = [values] if isinstance(values, str) else [_text(each) for each in values or ()]
        if not texts or any(
            "," in text or not text.strip() for text in texts if values is not text
        ):
            return None
        words += ["--sweep", f"{axis.get('path')}={','.join(texts)}"]
    return words


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def toml_of(table: Table) -> str:
    """Return a job as the text of a plan file."""
    return "\n".join(_toml(table)) + "\n"


def _toml(table: Table) -> Iterator[str]:
    for name, value in table.items():
        if not isinstance(value, Mapping) and value is not None:
            yield f"{_key(name)} = {_value(value)}"
    for name, value in table.items():
        if isinstance(value, Mapping) and value:
            yield f"\n[{_key(name)}]"
            yield from (f"{_key(k)} = {_value(v)}" for k, v in value.items() if v is not None)


def _key(name: str) -> str:
    bare = name.replace("_", "").replace("-", "").isalnum() and name.isascii()
    return name if bare else _value(name)


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        pairs = (f"{_key(str(k))} = {_value(v)}" for k, v in value.items() if v is not None)
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(each) for each in value if each is not None)}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", r"\u007f")  # all that TOML adds
