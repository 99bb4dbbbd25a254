"""Waiting at the end for a server to be rid of what was cancelled, and saying what is left there.

A job that waits behind another client's cannot be stopped until it begins, and nobody else stops
it: once this program has gone, it runs to its end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Protocol

import anyio

from stablenew.backends.base import Backend, Draining
from stablenew.cli.printing import say
from stablenew.cli.progress import Display

_WITHIN = 600.0
"""Seconds to wait at the most."""

_LINE_EVERY = 60.0
"""Seconds between two lines that say how long it still waits."""


class Stopping(Protocol):
    """What ends a job from outside."""

    async def watch(self, cancel: Callable[[], None], /) -> None:
        """Call `cancel` when it is time."""
        ...

    def leaving(self, leave: Callable[[], None], /) -> AbstractContextManager[None]:
        """Call `leave` if it comes again, as long as this is entered."""
        ...


async def drained(
    backends: Iterable[Backend], stops: Stopping, display: Display | None
) -> Sequence[str]:
    """Wait until backends are rid of what was cancelled; return what they may still do, in words.

    Args:
        backends: Those that it was cancelled on.
        stops: What may end the wait.
        display: Shows how long it still waits.
    """
    draining = [each for each in backends if isinstance(each, Draining)]
    if any(each.pending for each in draining):
        with anyio.move_on_after(_WITHIN) as wait, stops.leaving(wait.cancel):
            async with anyio.create_task_group() as beside:
                beside.start_soon(_count_down, wait.deadline, display)
                async with anyio.create_task_group() as waiting:
                    for each in draining:
                        waiting.start_soon(each.drained)
                beside.cancel_scope.cancel()
    return [line for each in draining for line in each.left_behind]


async def _count_down(deadline: float, display: Display | None) -> None:
    """Say that it waits, and how long it still does: in a line now and then, and in between."""
    tell = partial(say, err=True, flush=True) if display is None else display.tell
    said_at = math.inf
    while (left := deadline - anyio.current_time()) > 0:
        waiting = f"waiting up to {_time(left)} until the server is rid of our job"
        if said_at - left >= _LINE_EVERY:
            said_at = left
            tell(f"{waiting}; once more to leave it behind")
        if display is not None:
            display.show(waiting, 1 - left / _WITHIN)
        await anyio.sleep(1)


def _time(seconds: float) -> str:
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}:{rest:02}"
