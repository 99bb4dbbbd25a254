"""Names that come from outside: checked, and what to suggest when one is wrong."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

from stablenew._arguments import shown
from stablenew.errors import ConfigError


def suggestion(given: object, names: Iterable[str], *, listed: int = 12, prefix: str = "") -> str:
    """Say which names are nearest to `given`, or list the names when none is near.

    Args:
        given: The name that was not found, in any case.
        names: The names that would have been right.
        listed: How many names to list at the most when none is near.
        prefix: Put before each name, and of no account in what is near.
    """
    by_lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(str(given).lower(), by_lower, n=3, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(prefix + by_lower[name] for name in near) + "?"
    every = [prefix + name for name in by_lower.values()]
    if not every:
        return "there is none"
    more = f" and {len(every) - listed} more" if len(every) > listed else ""
    return "there is " + ", ".join(every[:listed]) + more


def checked_path(name: str, given: object) -> Path:
    """Return `given` as a path, if there can be a file of that name.

    Raises:
        ConfigError: It is none: no text, empty, with a zero byte or half of a surrogate pair.
    """
    if not isinstance(given, str | Path) or not str(given):
        raise ConfigError(f"{name}: given {shown(given)}, expected a path")
    try:
        possible = "\0" not in str(given) and bool(os.fsencode(given))
    except UnicodeEncodeError:
        possible = False
    if not possible:
        raise ConfigError(f"{name}: given {shown(str(given))}, which no file can be named")
    return Path(given)
