"""What ends the program from outside: signals, and the end of its input.

The first one cancels and keeps what is done; a second signal ends at once. This is loaded before
anything else of ours, and imports next to nothing: until it has, Ctrl-C is Python's own, which is a
traceback. So the signals come from `_signal`, which is built into Python; `signal` itself gives its
numbers names, which takes longer than all the rest here.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    import signal
    from collections.abc import Callable, Coroutine, Iterator
    from contextlib import AbstractContextManager
    from types import FrameType
else:
    import _signal as signal

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

    Its handler stays the same; what it does with a first signal is one attribute, which is set in
    one step: there is no moment between two ways. While nothing else is said, it keeps the signal
    for `check`: an exception out of a handler gets lost where Python calls back out of an import.

    Attributes:
        received: The signal that came, None while none did.
        stdin: Whether the end of the input cancels as well.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.stdin = False
        self._act: Callable[[int], None] | None = _keep
        self._leave: Callable[[int], None] | None = None
        numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
        found = {each: signal.getsignal(each) for each in numbers}
        # What `nohup` has us ignore stays ignored.
        self._signals = {each: how for each, how in found.items() if how != signal.SIG_IGN}

    def arm(self) -> None:
        """Take the signals from here on."""
        for number in self._signals:
            signal.signal(number, self._take)

    def disarm(self) -> None:
        """Ignore signals from here on: how it ended is being said."""
        self._act = None  # in one step; what is still to be handled comes to nothing
        for number in self._signals:
            signal.signal(number, signal.SIG_IGN)  # Python lets go of its handlers before it ends

    def restore(self) -> None:
        """Have signals do what they did before."""
        for number, how in self._signals.items():
            signal.signal(number, how)

    def check(self) -> None:
        """Stop here if a signal came.

        Raises:
            Stopped: One did.
        """
        if self.received is not None:
            raise Stopped(self.received)

    def raising(self) -> AbstractContextManager[None]:
        """Have a signal raise `Stopped` inside: for work that blocks."""
        from contextlib import contextmanager

        @contextmanager
        def raising() -> Iterator[None]:
            self._act = _raise_stopped
            try:
                self.check()
                yield
            finally:
                self._act = _keep

        return raising()

    async def cancelling(self, work: Callable[[], Coroutine[object, object, int]]) -> int:
        """Return what some work returns; a signal cancels it, where `watch` has no other way."""
        import anyio

        with anyio.CancelScope() as scope:
            self._act = _in_loop(scope.cancel)
            try:
                return 0 if self.received is not None else await work()
            finally:
                self._act = _keep
        return 0  # `received` makes another code of it

    def leaving(self, leave: Callable[[], None]) -> AbstractContextManager[None]:
        """Have the next signal make a call instead of ending at once: for what waits at the end."""
        from contextlib import contextmanager

        @contextmanager
        def leaving() -> Iterator[None]:
            self._leave = _in_loop(leave)
            try:
                yield
            finally:
                self._leave = None

        return leaving()

    async def watch(self, cancel: Callable[[], None]) -> None:
        """Call `cancel` when it is time; runs until it is cancelled itself."""
        import asyncio

        import anyio

        if self.stdin:
            _watch_stdin(asyncio.get_running_loop(), cancel)

        def stop() -> None:
            print("cancelling; once more to end at once", file=sys.stderr)
            cancel()

        self._act = _in_loop(stop)
        try:
            if self.received is not None:
                stop()
            await anyio.sleep_forever()
        finally:
            self._act = _keep

    def _take(self, number: int, _: FrameType | None) -> None:
        if self._act is None:
            return
        leave, self._leave = self._leave, None
        if leave is not None:
            self.received = number
            leave(number)
            return
        if self.received is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.received = number
        self._act(number)


def _keep(_: int) -> None:
    """Do nothing yet; `check` asks."""


def _raise_stopped(number: int) -> None:
    raise Stopped(number)


def _in_loop(call: Callable[[], None]) -> Callable[[int], None]:
    """Return what has the running loop make a call, as asyncio's own handler of SIGINT does."""
    import asyncio

    loop = asyncio.get_running_loop()

    def act(_: int) -> None:
        loop.call_soon_threadsafe(call)

    return act


def _watch_stdin(loop: asyncio.AbstractEventLoop, cancel: Callable[[], None]) -> None:
    """Call `cancel` in a loop when nobody can write to our input any more."""
    import threading
    from contextlib import suppress

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
