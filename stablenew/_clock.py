"""Time and identity: one value that is handed in wherever either is used."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime

import attrs

from stablenew.errors import ConfigError

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")

ID_LENGTH = 100
"""Letters in an id at the most."""

PLAN_ID_LENGTH = 90
"""Letters in a plan's id at the most: its steps' run ids add a number."""

_SEEDS = 2**31 - 2**16
"""stable-diffusion.cpp takes seeds below 2³¹; each picture of a step has the next one."""


def utc_now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


def _token() -> str:
    return secrets.token_hex(3)


@attrs.frozen(kw_only=True)
class Clock:
    """Where times, durations, ids and random seeds come from.

    Attributes:
        now: The time in UTC, as events and records carry it.
        monotonic: Seconds from an arbitrary start, for durations.
        token: A few random letters that keep ids apart within a microsecond.
        draw_seed: A seed in place of −1, of which no picture's becomes larger than the smallest
            limit that a server has.
    """

    now: Callable[[], datetime] = utc_now
    monotonic: Callable[[], float] = time.monotonic
    token: Callable[[], str] = _token
    draw_seed: Callable[[], int] = lambda: secrets.randbelow(_SEEDS)

    def new_id(self) -> str:
        """Return an id that sorts by time and is safe as a file name."""
        return f"{self.now():%Y%m%dT%H%M%S-%f}-{self.token()}"


def checked_id(name: str, given: str, longest: int = ID_LENGTH) -> str:
    """Return `given` if it is safe as a file name.

    Raises:
        ConfigError: It is not: a separator, a dot or nothing at all.
    """
    if not isinstance(given, str) or len(given) > longest or not _ID.fullmatch(given):
        raise ConfigError(
            f"{name}: given {given!r}, expected up to {longest} letters, digits, '-' and '_'"
        )
    return given
