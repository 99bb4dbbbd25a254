"""What ends the program from outside: signals, and the end of its input.

The first one cancels and keeps what is done; a second signal ends at once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
_STDIN = 0


class Stopped(KeyboardInterrupt):
    """A signal came while nothing was under way that could be cancelled.

    Attributes:
        number: The signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Stops:
    """Turns the first signal into a cancel and lets the second one kill.

    Attributes:
        received: The signal that came, None while none did.
        stdin: Whether the end of the input cancels as well.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.stdin = False
        numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
        found = {each: signal.getsignal(each) for each in numbers}
        # What `nohup` has us ignore stays ignored.
        self._signals = {each: how for each, how in found.items() if how != signal.SIG_IGN}

    def arm(self) -> None:
        """Have a signal raise `Stopped` for as long as nothing watches."""
        for number in self._signals:
            signal.signal(number, _raise_stopped)

    def disarm(self) -> None:
        """Ignore signals from here on: how it ended is being said."""
        for number in self._signals:
            signal.signal(number, signal.SIG_IGN)

    def restore(self) -> None:
        """Have signals do what they did before."""
        for number, how in self._signals.items():
            signal.signal(number, how)

    async def watch(self, cancel: Callable[[], None]) -> None:
        """Call `cancel` when it is time; runs until it is cancelled itself."""
        import asyncio

        import anyio

        if self.stdin:
            _watch_stdin(asyncio.get_running_loop(), cancel)
        try:
            receiver = anyio.open_signal_receiver(*self._signals)
        except NotImplementedError:  # Windows: Ctrl-C arrives as KeyboardInterrupt
            return
        try:
            with receiver as signals:
                async for number in signals:
                    if self.received is not None:
                        signal.signal(number, signal.SIG_DFL)
                        os.kill(os.getpid(), number)
                    self.received = number
                    print("cancelling; once more to end at once", file=sys.stderr)
                    cancel()
        finally:
            self.arm()


def _raise_stopped(number: int, _: FrameType | None) -> None:
    raise Stopped(number)


def _watch_stdin(loop: asyncio.AbstractEventLoop, cancel: Callable[[], None]) -> None:
    """Call `cancel` in a loop when nobody can write to our input any more."""

    def closed() -> None:
        print("stdin was closed; cancelling", file=sys.stderr)
        cancel()

    def read() -> None:
        with suppress(OSError):  # there never was one
            while os.read(_STDIN, 4096):
                pass
        with suppress(RuntimeError):  # it is over
            loop.call_soon_threadsafe(closed)

    # A thread that may still wait when the program ends, so it must be one that nobody joins.
    threading.Thread(target=read, name="stablenew stdin", daemon=True).start()
