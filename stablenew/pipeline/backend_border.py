"""A backend is code of others: what it raises becomes an error of ours, what it says is checked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio

from stablenew._cancelling import leak_of
from stablenew.backends.base import Backend, Capabilities
from stablenew.errors import BackendError, BackendProtocolError, StableNewError


@contextmanager
def backend_errors(doing: str) -> Iterator[None]:
    """Have whatever a backend raises inside leave as a `BackendError`, a cancellation as it is.

    Raises:
        BackendError: It raised something; its own errors of ours pass.
        LeakedCancelError: It ended in a cancel that nobody gave.
    """
    try:
        yield
    except StableNewError:
        raise
    except Exception as error:
        raise BackendError(f"{doing}: {type(error).__name__}: {error}") from error
    except anyio.get_cancelled_exc_class() as error:
        raise leak_of(doing, error) from error


@contextmanager
def _taking_back(given: BaseException) -> Iterator[None]:
    """Have an error end here that the backend was given and raises again, as a task group does."""
    try:
        yield
    except BaseException as error:
        if _unwrapped(error) is not _unwrapped(given):
            raise


def _unwrapped(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


async def asked_capabilities(backend: Backend) -> Capabilities:
    """Return what a backend says that it can do.

    Raises:
        BackendUnavailableError: Nobody answers.
        BackendProtocolError: What it says is no `Capabilities`.
    """
    with backend_errors("the backend's capabilities"):
        told: object = await backend.capabilities()
    if not isinstance(told, Capabilities):
        given = type(told).__name__
        raise BackendProtocolError(f"the backend's capabilities are {given}, no Capabilities")
    return told


@asynccontextmanager
async def entered(backend: Backend) -> AsyncIterator[Backend]:
    """Enter a backend, and leave it in the end; what is raised inside passes as it is.

    Raises:
        BackendError: It could not be entered or left.
    """
    with backend_errors("entering the backend"):
        inside = await backend.__aenter__()
    try:
        yield inside
    except BaseException as error:
        with backend_errors("leaving the backend"), _taking_back(error):
            await backend.__aexit__(type(error), error, error.__traceback__)
        raise
    with backend_errors("leaving the backend"):
        await backend.__aexit__(None, None, None)
