"""asyncio's own cancel, which knows neither shields nor an order between tasks.

anyio cancels scopes, and a shield holds. `Task.cancel` and `asyncio.timeout` reach through every
shield, and a loop that ends (`asyncio.run`, when its main coroutine returns) cancels all tasks at
once.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import anyio

from stablenew.errors import LeakedCancelError

T = TypeVar("T")


async def insist(work: Callable[[], Awaitable[T]]) -> T:
    """Await what may be begun again until it is done; the shield around it alone gives it up.

    A cancel of asyncio's own that came meanwhile is given again at the next checkpoint.

    Raises:
        LeakedCancelError: It ends in a cancel again and again, which nobody gives.
    """
    cancelled = False
    before, pending = _cancels(), True
    while True:
        try:
            result = await work()
            break
        except asyncio.CancelledError as error:
            if anyio.current_effective_deadline() == -math.inf:
                raise
            if (now := _cancels()) == before:
                if now == 0 or not pending:
                    raise _leaked("what has to be done", error) from error
                pending = False  # it was given before, and came now
            before, cancelled = now, True
    if cancelled:
        cancel_again()
    return result


async def in_own_task(work: Coroutine[Any, Any, None], seconds: float) -> None:
    """Have something done that others depend on, and wait for it whatever is cancelled.

    Args:
        work: What has to end by itself: nothing else ends it.
        seconds: How long to wait at the most.

    Raises:
        TimeoutError: It did not end in time, and goes on.
    """
    task = asyncio.get_running_loop().create_task(work)
    asyncio._unregister_task(task)  # before its first step, when a cancel would undo it
    with anyio.fail_after(seconds, shield=True):
        await insist(lambda: asyncio.wait([task]))
    task.result()


def leak_of(source: str, error: BaseException) -> LeakedCancelError:
    """Return the error of code that ends in a cancel which nobody gave.

    Whoever awaits something that was cancelled elsewhere sees asyncio's `CancelledError`, though
    nobody cancels it. For every place that calls code of others:

        except anyio.get_cancelled_exc_class() as error:
            raise leak_of("the handler", error) from error

    Args:
        source: What the cancel came out of.
        error: The cancel; raised as it is where somebody does cancel the running task.
    """
    # A thread that looks (`check_cancelled`) hears of its scope's cancel before the task does.
    if _cancels() > 0 or anyio.current_effective_deadline() == -math.inf:
        raise error
    return _leaked(source, error)


def _leaked(source: str, error: BaseException) -> LeakedCancelError:
    return LeakedCancelError(f"{source} ended in {error!r}, but nobody had cancelled it")


def _cancels() -> int:
    """Return how many cancels of the running task are under way; 1 where nobody can tell."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # another library's loop, whose cancels do not leak
        return 1
    return task.cancelling() if task is not None else 1


def cancel_again() -> None:
    """Give the running task a cancel again that was held back; it counts once."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
        task.cancel()


def leave_to_owner() -> None:
    """Keep the running task out of what a loop cancels when it ends.

    For a task that another one ends, and waits for: it has to outlive those that it works for.
    """
    try:
        task = asyncio.current_task()
    except RuntimeError:  # another library's loop
        return
    if task is not None:
        asyncio._unregister_task(task)
