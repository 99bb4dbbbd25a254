"""A backend that went away: whether an error means that, and waiting for it to come back."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable

import anyio

from stablenew.backends.base import Backend, Capabilities
from stablenew.errors import BackendError, BackendProtocolError, BackendUnavailableError
from stablenew.pipeline.backend_border import asked_capabilities

logger = logging.getLogger(__name__)

_EVERY = 1.0
"""Seconds between two looks, give or take a fifth, so that many clients do not come at once."""


def was_cut(error: BackendError) -> bool:
    """Return whether a picture was lost on the way, through no fault of its own.

    Such a picture may be asked for once more; one that was refused or that stalled may not.
    """
    return error.retryable and isinstance(error, BackendUnavailableError | BackendProtocolError)


async def backend_returned(
    backend: Backend, patience: float, tell: Callable[[float], Awaitable[None]]
) -> Capabilities | None:
    """Wait until a backend answers.

    Args:
        backend: Asked about once a second what it can do.
        patience: Seconds to wait at the most.
        tell: Awaited with the seconds left, before each look.

    Returns:
        What it can do now; None if it did not answer in time.
    """
    deadline = anyio.current_time() + patience
    while (left := deadline - anyio.current_time()) > 0:
        await tell(left)
        try:
            with anyio.move_on_after(left) as scope:
                capabilities = await asked_capabilities(backend)
        except BackendError as error:
            logger.debug("%s is still away: %s", backend.name, error)
        else:
            return capabilities if not scope.cancelled_caught else None
        await anyio.sleep(min(_EVERY * random.uniform(0.8, 1.2), max(left, 0)))
    return None
