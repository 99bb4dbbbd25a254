"""The base of every event."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import attrs

from stablenew._clock import utc_now

OFF_THE_RECORD = {"off_the_record": True}
"""Metadata of a field that is for subscribers in this process only, not for lines of JSON."""


@attrs.frozen(kw_only=True)
class Event:
    """Something that happened, told once: a frozen value named in the past participle.

    Attributes:
        at: When it happened, in UTC.
        plan_id: The plan it belongs to, None for a single run.
        run_id: The run it belongs to, None for what concerns a plan as a whole.
        node: Which of the backends it happened on: its server's URL, or its name; None for what
            concerns none.
        sequence: The number the bus gave it, from 1; 0 while it is not published.
        transient: Worth nothing once a newer one is there (progress): dropped first.
        terminal: The end of something: kept longest, and published even while cancelling.
    """

    transient: ClassVar[bool] = False
    terminal: ClassVar[bool] = False

    at: datetime = attrs.field(factory=utc_now)
    plan_id: str | None = None
    run_id: str | None = None
    node: str | None = None
    sequence: int = 0
