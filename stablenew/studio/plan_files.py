"""Plan files that a person gives: as a job, with what is wrong at its fields."""

from __future__ import annotations

import json
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from stablenew._clock import checked_id
from stablenew._convert import json_line
from stablenew.cli.options import RunFile, options_from_file
from stablenew.errors import ConfigError
from stablenew.learning.gallery import PLAN_FILE
from stablenew.learning.plan_file import StoredPlan, read_plan_file
from stablenew.studio.answers import said_errors
from stablenew.studio.jobs import REFUSED

_OF_PACKS = frozenset(("prompt", "negative_prompt", "prompts"))
"""Words that a pack of prompts has as well."""

_WORDS = frozenset(field.name for field in attrs.fields(RunFile)) - _OF_PACKS


def read_table(text: str, name: str) -> dict[str, Any]:
    """Return the table of a text: JSON where the name ends so, TOML else.

    Raises:
        ConfigError: It is neither; the line is named.
    """
    try:
        table = json.loads(text) if name.lower().endswith(".json") else tomllib.loads(text)
        if not isinstance(table, dict):
            raise ValueError(f"given a {type(table).__name__}, expected an object of keys")
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"no plan file: {error}") from error
    return table


def is_plan(table: Mapping[str, object]) -> bool:
    """Return whether a table is a plan file, and no pack of prompts: by what is in it."""
    if is_stored_plan(table) or table.keys() & _WORDS:
        return True
    return bool(table) and table.keys() <= _OF_PACKS and not isinstance(table.get("prompts"), list)


def is_stored_plan(table: Mapping[str, object]) -> bool:
    """Return whether a table is the `plan.json` of a plan's folder."""
    return isinstance(table.get("plan"), Mapping) and isinstance(table.get("config"), Mapping)


def job_of_table(table: Mapping[str, object]) -> dict[str, Any]:
    """Return a plan file's table as `job`, and as `errors` what is wrong with it.

    Raises:
        ConfigError: It cannot be said as JSON: a date, say.
    """
    job = {name: value for name, value in table.items() if name not in REFUSED}
    errors: list[dict[str, object]] = []
    try:
        options_from_file(job, "plan")
    except ConfigError as error:
        errors = said_errors(error.problems, ["plan"])
    try:
        json_line(job)
    except (TypeError, ValueError) as error:  # a date, say, or no number
        raise ConfigError(f"no plan file: {error}") from error
    return {"job": job, "errors": errors}


def stored_plan_of(table: Mapping[str, object]) -> StoredPlan:
    """Return the plan that a `plan.json` holds, wherever it came from; blocks.

    Raises:
        ConfigError: It is broken; each problem without the file's name.
    """
    name = checked_id("plan_id", str(table.get("plan_id")))
    with tempfile.TemporaryDirectory(prefix="stablenew-") as folder:
        path = Path(folder) / name
        path.mkdir()
        (path / PLAN_FILE).write_text(json.dumps(table))
        try:
            return read_plan_file(path)
        except ConfigError as error:
            prefix = f"{path / PLAN_FILE}: "
            raise ConfigError(*(each.removeprefix(prefix) for each in error.problems)) from None
