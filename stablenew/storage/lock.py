"""A lock between processes that is waited for with a timeout, and never stale."""

from __future__ import annotations

import errno
import threading
from pathlib import Path

import anyio
import anyio.from_thread
from anyio.lowlevel import current_token

from stablenew.storage import system


def try_lock(path: Path) -> tuple[int, bool]:
    """Open a lock file, made if missing with its folder, and try to lock it; for a thread.

    Returns:
        Its descriptor, whose closing unlocks, and whether it is locked.
    """
    try:
        descriptor = system.open_lock(path)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = system.open_lock(path)
    try:
        return descriptor, system.lock(descriptor, wait=False)
    except BaseException:
        system.close(descriptor)
        raise


async def wait_for_lock(descriptor: int, timeout: float) -> None:
    """Wait until an opened lock file is ours; one that is given up on is closed.

    Raises:
        OSError: Another process has held it for `timeout` seconds.
    """
    waiter = _Waiter(descriptor)
    try:
        with anyio.move_on_after(timeout):
            await waiter.granted.wait()
    finally:
        given_up = waiter.give_up()
    if given_up:
        raise OSError(errno.ETIMEDOUT, f"another process has held its lock for {timeout:g} s")


class _Waiter:
    """Waits in a thread of its own: a daemon, so that a stuck holder cannot keep us from exiting.

    Whoever comes second, the grant or the giving up, closes the descriptor.
    """

    def __init__(self, descriptor: int) -> None:
        self.granted = anyio.Event()
        self._descriptor = descriptor
        self._token = current_token()
        self._turn = threading.Lock()
        self._given_up = False
        self._has_lock = False
        threading.Thread(target=self._wait, name="record lock", daemon=True).start()

    def give_up(self) -> bool:
        """Stop waiting; False if the lock was granted after all."""
        with self._turn:
            self._given_up = not self._has_lock
            return self._given_up

    def _wait(self) -> None:
        while not system.lock(self._descriptor, wait=True):
            pass
        with self._turn:
            self._has_lock = True
            if self._given_up:
                system.close(self._descriptor)
                return
        anyio.from_thread.run_sync(self.granted.set, token=self._token)
