"""An app in a thread of its own, with a loop there: for `ThreadHost`, in a GUI's thread."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from typing import TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from stablenew.app import App, open_app
from stablenew.backends.base import Backend
from stablenew.config.settings import Settings
from stablenew.errors import StableNewError

T = TypeVar("T")


class AppThread:
    """A thread that an app lives in; what is asked of it is awaited there.

    Args:
        settings: As for `open_app`.
        backend: In place of the one that the settings name.
        backends: Several, likewise.
    """

    def __init__(
        self, settings: Settings, backend: Backend | None, backends: Sequence[Backend] | None = None
    ) -> None:
        self._settings = settings
        self._backend = backend
        self._backends = backends
        self._stack = ExitStack()
        self._opened: tuple[BlockingPortal, App] | None = None

    def start(self) -> None:
        """Open the app and return when it is open.

        Raises:
            StableNewError: It is open already, or cannot be opened.
        """
        if self._opened is not None:
            raise StableNewError("the host is started already")
        with ExitStack() as stack:
            # The loop is named: a GUI's library may have set a policy for everybody.
            options = {"loop_factory": _new_loop}
            portal = stack.enter_context(
                start_blocking_portal("asyncio", options, name="stablenew")
            )
            opened = open_app(self._settings, backend=self._backend, backends=self._backends)
            app = stack.enter_context(portal.wrap_async_context_manager(opened))
            self._opened = portal, app
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Cancel what is under way and end the thread; returns when it has ended."""
        self._stack.close()
        self._opened = None

    @property
    def app(self) -> App:
        """What is hosted; only what is safe from another thread may be read here."""
        return self._open()[1]

    def hosts(self, app: App) -> bool:
        """Say whether an app is the one that is open now."""
        return self._opened is not None and self._opened[1] is app

    def tell(self, call: Callable[[App], object]) -> None:
        """Have a function called in the app's loop, and do not wait for it."""
        portal, app = self._open()
        portal.start_task_soon(call, app)

    def ask(self, call: Callable[[App], T]) -> T:
        """Have a function called in the app's loop; return what it returns."""
        portal, app = self._open()
        return portal.call(call, app)

    def submit(self, work: Callable[[App], Awaitable[T]]) -> Future[T]:
        """Have something awaited in the app's loop."""
        portal, app = self._open()

        async def run() -> T:
            return await work(app)

        return portal.start_task_soon(run)

    def _open(self) -> tuple[BlockingPortal, App]:
        if self._opened is None:
            raise StableNewError("the host is not started")
        return self._opened


def _new_loop() -> asyncio.AbstractEventLoop:
    if sys.platform == "win32":
        return asyncio.ProactorEventLoop()
    return asyncio.SelectorEventLoop()
