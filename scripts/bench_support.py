"""What several benchmarks share: a heartbeat on the loop, and servers in processes of their own."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The project's: benchmarks of the WebUI use the server that the tests run against."""

SERVE = "import sys; from tests.webui.server import main; main(sys.argv[2], 'a1111', sys.argv[1])"
"""For `process("-c", SERVE, seconds)`: that server, with steps of so many seconds."""


@contextmanager
def process(*words: str) -> Iterator[str]:
    """Run a server in a process of its own and yield its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = (sys.executable, *words, str(port))
    server = subprocess.Popen(words, cwd=ROOT)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


async def heartbeat(work: Callable[[], Awaitable[None]], interval: float) -> list[float]:
    """Return by how many ms each beat of the loop came late while `work` was done.

    Args:
        work: What is done beside it.
        interval: Seconds between two beats.
    """
    late: list[float] = []
    done = False

    async def beat() -> None:
        while not done:
            before = time.perf_counter()
            await asyncio.sleep(interval)
            late.append((time.perf_counter() - before - interval) * 1e3)

    beating = asyncio.ensure_future(beat())
    await asyncio.sleep(0.05)
    late.clear()
    await work()
    done = True
    await beating
    return late


def p99(late: list[float]) -> float:
    """Return what 99 of 100 do not exceed."""
    return sorted(late)[int(len(late) * 0.99)]


def shown(late: list[float]) -> str:
    """Return the longest and the 99th percentile, in words."""
    return f"longest {max(late):.1f} ms, p99 {p99(late):.2f} ms"
