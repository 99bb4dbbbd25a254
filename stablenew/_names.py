"""What to suggest when a name is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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
